//! WebSocket (RFC 6455) as Kubernetes uses it: the handshake with a
//! subprotocol, channels that are told apart by a message's first byte, and
//! a tunnel for another protocol's bytes.

use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use http::StatusCode;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{
    CloseFrame, Message, Role, frame::coding::CloseCode,
};

use super::{switching, taken_over, upgrades_to};
use crate::sandbox::http::{Reply, Request};

/// A WebSocket over a taken-over connection.
pub(super) type Socket = WebSocketStream<hyper_util::rt::TokioIo<hyper::upgrade::Upgraded>>;

/// How much of a tunnel's bytes is held back for a slow reader.
const TUNNEL: usize = 64 * 1024;

/// Whether a request asks for a WebSocket.
pub(super) fn is_wanted(request: &Request) -> bool {
    upgrades_to(request, "websocket")
}

/// The first of the client's subprotocols that is known here.
pub(super) fn protocol(request: &Request, known: &[&'static str]) -> Option<&'static str> {
    let offered = request.headers.get_all("sec-websocket-protocol");
    offered
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .find_map(|offer| known.iter().find(|k| **k == offer.trim()).copied())
}

/// The reply that opens the socket.
pub(super) fn accept(request: &Request, protocol: Option<&str>) -> Reply {
    let Some(key) = request.header("sec-websocket-key") else {
        return Reply::text(
            StatusCode::BAD_REQUEST,
            "text/plain; charset=utf-8",
            "challenge is missing",
        );
    };
    let reply =
        switching("websocket").with("sec-websocket-accept", derive_accept_key(key.as_bytes()));
    match protocol {
        Some(protocol) => reply.with("sec-websocket-protocol", protocol),
        None => reply,
    }
}

/// The socket, once the reply is sent.
pub(super) async fn open(request: Request) -> Option<Socket> {
    let io = taken_over(request).await?;
    Some(WebSocketStream::from_raw_socket(io, Role::Server, None).await)
}

/// A message for a channel.
pub(super) fn on_channel(channel: u8, data: &[u8]) -> Message {
    let mut message = Vec::with_capacity(data.len() + 1);
    message.push(channel);
    message.extend_from_slice(data);
    Message::Binary(Bytes::from(message))
}

/// Ends a socket in good order.
pub(super) async fn close(mut socket: Socket) {
    let frame = CloseFrame {
        code: CloseCode::Normal,
        reason: "".into(),
    };
    let _ = socket.send(Message::Close(Some(frame))).await;
    // The client closes the connection when it has read everything.
    while let Some(Ok(_)) = socket.next().await {}
}

/// Carries another protocol's bytes: what is written here goes out in binary
/// messages, and theirs can be read.
pub(super) fn tunnel<S>(socket: WebSocketStream<S>) -> DuplexStream
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (near, far) = tokio::io::duplex(TUNNEL);
    let (mut from_far, mut to_far) = tokio::io::split(far);
    let (mut sink, mut stream) = socket.split();
    tokio::spawn(async move {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(read @ 1..) = from_far.read(&mut buffer).await {
            let chunk = buffer.get(..read).unwrap_or_default();
            let message = Message::Binary(Bytes::copy_from_slice(chunk));
            if sink.send(message).await.is_err() {
                return;
            }
        }
        let _ = sink.close().await;
    });
    tokio::spawn(async move {
        while let Some(Ok(message)) = stream.next().await {
            let written = match message {
                Message::Binary(data) => to_far.write_all(&data).await,
                Message::Close(_) => return,
                _ => Ok(()),
            };
            if written.is_err() {
                return;
            }
        }
    });
    near
}
