//! Forwarded ports, in the three ways that clients ask for them: channels of
//! a WebSocket (`v4.channel.k8s.io`), SPDY streams, and SPDY streams through a
//! WebSocket.

use std::collections::HashMap;

use futures::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::protocol::Message;

use super::spdy::{self, Stream};
use super::websocket::{self, Socket, on_channel};
use super::{Place, scheduled, switching, taken_over, upgrades_to};
use crate::sandbox::http::{Reply, Request};
use crate::sandbox::kube::request::Call;
use crate::sandbox::kube::status::{Outcome, Status};

const PROTOCOL: &str = "portforward.k8s.io";
const TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";
const CHANNELS: &str = "v4.channel.k8s.io";

/// What is said when a port cannot be reached.
fn failure(pod: &Place, port: u16, why: &str) -> String {
    format!(
        "error forwarding port {port} to pod {}, uid {}: {why}",
        pod.pod, pod.uid
    )
}

/// Answers `…/pods/NAME/portforward`.
pub(super) fn forward(call: Call) -> Outcome<Reply> {
    let object = scheduled(&call)?;
    into(Place::of(&call, &object)?, call.request)
}

/// Forwards ports of a pod over the connection of this request.
pub(in crate::sandbox) fn into(pod: Place, request: Request) -> Outcome<Reply> {
    if websocket::is_wanted(&request) {
        let protocol = websocket::protocol(&request, &[TUNNEL, CHANNELS]);
        let reply = websocket::accept(&request, protocol);
        if protocol == Some(TUNNEL) {
            tokio::spawn(async move {
                if let Some(socket) = websocket::open(request).await {
                    streams(websocket::tunnel(socket), pod).await;
                }
            });
            return Ok(reply);
        }
        // The API says `ports`, the kubelet `port`.
        let ports = ports(request.params("ports").chain(request.params("port")))?;
        tokio::spawn(async move {
            if let Some(socket) = websocket::open(request).await {
                channels(socket, pod, ports).await;
            }
        });
        return Ok(reply);
    }
    if !upgrades_to(&request, "SPDY/3.1") {
        return Err(Status::bad_request("Upgrade request required"));
    }
    tokio::spawn(async move {
        if let Some(io) = taken_over(request).await {
            streams(io, pod).await;
        }
    });
    Ok(switching("SPDY/3.1").with("x-stream-protocol-version", PROTOCOL))
}

fn ports<'a>(given: impl Iterator<Item = &'a str>) -> Outcome<Vec<u16>> {
    let ports: Option<Vec<u16>> = given
        .flat_map(|list| list.split(','))
        .map(|port| port.parse().ok().filter(|p| *p > 0))
        .collect();
    ports.filter(|ports| !ports.is_empty()).ok_or_else(|| {
        Status::bad_request(
            "query parameter \"ports\" is required and must be numbers from 1 to 65535",
        )
    })
}

/// Serves pairs of an error and a data stream, one pair for each connection.
async fn streams<S>(io: S, pod: Place)
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let mut waiting: HashMap<String, Stream> = HashMap::new();
    spdy::serve(io, move |stream| {
        let header = |name: &str| stream.headers.get(name).cloned().unwrap_or_default();
        let (kind, request) = (header("streamtype"), header("requestid"));
        let Some(first) = waiting.remove(&request) else {
            waiting.insert(request, stream);
            return;
        };
        let (error, data) = if kind == "data" {
            (first, stream)
        } else {
            (stream, first)
        };
        tokio::spawn(connection(pod.clone(), error, data));
    })
    .await;
}

/// One forwarded connection over a pair of streams.
async fn connection(pod: Place, error: Stream, data: Stream) {
    let port = data
        .headers
        .get("port")
        .and_then(|p| p.parse().ok())
        .unwrap_or(0);
    let Stream {
        mut incoming,
        outgoing,
        ..
    } = data;
    let target = match pod.kubelets.dial(&pod.namespace, &pod.pod, port).await {
        Ok(target) => target,
        Err(why) => {
            let text = failure(&pod, port, &why.to_string());
            error.outgoing.send(text.as_bytes()).await;
            error.outgoing.finish().await;
            outgoing.finish().await;
            return;
        }
    };
    let (mut from, mut to) = target.into_split();
    let upward = tokio::spawn(async move {
        while let Some(data) = incoming.recv().await {
            if to.write_all(&data).await.is_err() {
                return;
            }
        }
        let _ = to.shutdown().await;
    });
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        if !outgoing.send(buffer.get(..read).unwrap_or_default()).await {
            break;
        }
    }
    outgoing.finish().await;
    error.outgoing.finish().await;
    upward.abort();
}

/// Serves two channels for each port: data and errors. Both begin with the
/// port's number.
async fn channels(mut socket: Socket, pod: Place, ports: Vec<u16>) {
    let (out, mut messages) = mpsc::channel::<Message>(64);
    let mut inward = Vec::new();
    for (port, channel) in ports.into_iter().zip((0..u8::MAX).step_by(2)) {
        for channel in [channel, channel + 1] {
            if socket
                .send(on_channel(channel, &port.to_le_bytes()))
                .await
                .is_err()
            {
                return;
            }
        }
        let (sender, receiver) = mpsc::unbounded_channel::<bytes::Bytes>();
        inward.push(sender);
        tokio::spawn(channel_pair(
            pod.clone(),
            port,
            channel,
            receiver,
            out.clone(),
        ));
    }
    drop(out);
    loop {
        tokio::select! {
            message = messages.recv() => {
                // Every connection has ended.
                let Some(message) = message else { break };
                if socket.send(message).await.is_err() {
                    return;
                }
            }
            message = socket.next() => match message {
                Some(Ok(Message::Binary(data))) => {
                    let Some((channel, _)) = data.split_first() else { continue };
                    if channel % 2 == 0 && let Some(sender) = inward.get(usize::from(channel / 2)) {
                        let _ = sender.send(data.slice(1..));
                    }
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {}
            },
        }
    }
    websocket::close(socket).await;
}

async fn channel_pair(
    pod: Place,
    port: u16,
    channel: u8,
    mut incoming: mpsc::UnboundedReceiver<bytes::Bytes>,
    out: mpsc::Sender<Message>,
) {
    let target = match pod.kubelets.dial(&pod.namespace, &pod.pod, port).await {
        Ok(target) => target,
        Err(why) => {
            let text = failure(&pod, port, &why.to_string());
            let _ = out.send(on_channel(channel + 1, text.as_bytes())).await;
            return;
        }
    };
    let (mut from, mut to) = target.into_split();
    let upward = tokio::spawn(async move {
        while let Some(data) = incoming.recv().await {
            if to.write_all(&data).await.is_err() {
                return;
            }
        }
        let _ = to.shutdown().await;
    });
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let message = on_channel(channel, buffer.get(..read).unwrap_or_default());
        if out.send(message).await.is_err() {
            break;
        }
    }
    upward.abort();
}
