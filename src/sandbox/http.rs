//! The HTTP/1.1 server of every emulated system: reads a request, lets the
//! fault plan have its say, asks the handler, and keeps the request log.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited, StreamBody, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::alter;
use super::faults::Verdict;
use super::world::World;

/// Larger request bodies are refused with 413.
const BODY_LIMIT: usize = 8 * 1024 * 1024;

/// A request with its body read.
#[derive(Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Path and query exactly as sent: signatures cover these bytes.
    pub target: String,
    /// The path part of the target, still percent-encoded.
    pub path: String,
    /// The decoded query, in order; `+` is a blank.
    pub query: Vec<(String, String)>,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// Takes the connection over after a 101 reply.
    pub upgrade: Option<hyper::upgrade::OnUpgrade>,
}

impl Request {
    /// The first value of a query parameter.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// All values of a repeated query parameter.
    pub fn params<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.query
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// A header as text, if it is there and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The path's segments, percent-decoded.
    pub fn segments(&self) -> Vec<String> {
        self.path
            .trim_matches('/')
            .split('/')
            .map(percent_decode)
            .collect()
    }

    /// Whether the request may change anything.
    pub fn is_mutating(&self) -> bool {
        !matches!(self.method, Method::GET | Method::HEAD | Method::OPTIONS)
    }
}

/// The body of a reply.
pub enum Body {
    /// All of it.
    Full(Bytes),
    /// A stream, for watches and logs.
    Stream(BoxStream<'static, Bytes>),
}

/// A reply.
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Body,
    /// Who asked, for the request log.
    pub who: Option<String>,
}

impl Reply {
    /// A reply without a body.
    pub fn empty(status: StatusCode) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
            body: Body::Full(Bytes::new()),
            who: None,
        }
    }

    /// A JSON reply.
    pub fn json(status: StatusCode, value: &impl serde::Serialize) -> Self {
        let body = serde_json::to_vec(value).unwrap_or_default();
        Self::text(status, "application/json", body)
    }

    /// A reply of any content type.
    pub fn text(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self::empty(status)
            .with_body(Body::Full(body.into()))
            .with(header::CONTENT_TYPE.as_str(), content_type)
    }

    /// Sets a header; a value that is no header value is left out.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl AsRef<str>) -> Self {
        let name = http::HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value.as_ref())) {
            self.headers.insert(name, value);
        }
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn with_body(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    /// Says who asked, for the request log.
    #[must_use]
    pub fn by(mut self, who: impl Into<String>) -> Self {
        self.who = Some(who.into());
        self
    }
}

/// An emulated system.
pub trait Handler: Send + Sync + 'static {
    /// The system's name in faults and in the request log: `oci`, `kube`.
    fn system(&self) -> &'static str;
    /// Whether its requests go into the request log and the fault plan.
    fn is_logged(&self) -> bool {
        true
    }
    /// Answers a request.
    fn handle(&self, request: Request) -> impl Future<Output = Reply> + Send;
    /// The reply for a status that the fault plan wants, in the system's own
    /// error format.
    fn fault(&self, status: StatusCode, request: &Request) -> Reply;
}

/// Serves a system on a listener until `stop` is cancelled.
pub async fn serve<H: Handler>(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    handler: Arc<H>,
    world: Arc<World>,
    stop: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        // A failed accept is the client's problem, or passes.
        let Ok((socket, _)) = accepted else { continue };
        let _ = socket.set_nodelay(true);
        let (tls, handler, world, stop) =
            (tls.clone(), handler.clone(), world.clone(), stop.clone());
        tokio::spawn(async move {
            let work = async {
                match tls {
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(socket).await {
                            connection(stream, handler, world).await;
                        }
                    }
                    None => connection(socket, handler, world).await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = work => {}
            }
        });
    }
}

async fn connection<S, H>(stream: S, handler: Arc<H>, world: Arc<World>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handler,
{
    let service = service_fn(move |request| {
        let (handler, world) = (handler.clone(), world.clone());
        async move { exchange(request, &*handler, &world).await.ok_or(Dropped) }
    });
    // Errors here are dropped connections: a client's or the fault plan's.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
}

/// The fault plan wants this connection closed without a reply.
#[derive(Debug, thiserror::Error)]
#[error("connection dropped by the fault plan")]
struct Dropped;

pub(super) type WireReply = http::Response<BoxBody<Bytes, Infallible>>;

/// One request and its reply; `None` closes the connection without a reply.
async fn exchange<H: Handler>(
    request: http::Request<Incoming>,
    handler: &H,
    world: &World,
) -> Option<WireReply> {
    let request = match read(request).await {
        Ok(request) => request,
        Err(status) => return Some(wire(Reply::empty(status))),
    };
    if !handler.is_logged() {
        return Some(wire(handler.handle(request).await));
    }
    let started = world.clock.elapsed();
    let entry = world.requests.start(handler.system(), &request);
    let age = u64::try_from(world.age().as_millis()).unwrap_or(u64::MAX);
    let verdict = world.faults.judge(
        handler.system(),
        request.method.as_str(),
        &request.path,
        age,
    );
    if let Verdict::Delay(delay) | Verdict::DelayThen(delay, _) = &verdict {
        let _ = world.clock.sleep(*delay).await;
    }
    let verdict = if let Verdict::DelayThen(_, then) = verdict {
        *then
    } else {
        verdict
    };
    if let Verdict::Hold(fault) = verdict {
        // A client that goes away takes this future with it.
        world.faults.cleared(fault).await;
    }
    let (method, path) = (request.method.clone(), request.path.clone());
    let mut reply = match &verdict {
        Verdict::Drop => None,
        Verdict::Status(status) => Some(handler.fault(*status, &request)),
        _ => Some(handler.handle(request).await),
    };
    if let Some(reply) = &mut reply {
        alter::reply(
            &world.faults,
            handler.system(),
            method.as_str(),
            &path,
            reply,
        );
    }
    let took = world.clock.elapsed().saturating_sub(started);
    let (status, who) = reply
        .as_ref()
        .map_or((0, None), |r| (r.status.as_u16(), r.who.as_deref()));
    world
        .requests
        .finish(&entry, status, who, took, verdict.name());
    match verdict {
        Verdict::LoseReply => return None,
        Verdict::HoldReply(fault) => world.faults.cleared(fault).await,
        _ => {}
    }
    reply.map(wire)
}

pub(super) async fn read(mut request: http::Request<Incoming>) -> Result<Request, StatusCode> {
    let upgrade = request
        .headers()
        .contains_key(header::UPGRADE)
        .then(|| hyper::upgrade::on(&mut request));
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, BODY_LIMIT)
        .collect()
        .await
        .map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?
        .to_bytes();
    let target = parts
        .uri
        .path_and_query()
        .map_or("/", |t| t.as_str())
        .to_owned();
    let query = url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes())
        .filter(|(key, _)| !key.is_empty())
        .map(|(key, value)| (key.into_owned(), value.into_owned()))
        .collect();
    Ok(Request {
        method: parts.method,
        path: parts.uri.path().to_owned(),
        target,
        query,
        headers: parts.headers,
        body,
        upgrade,
    })
}

pub(super) fn wire(reply: Reply) -> WireReply {
    let body = match reply.body {
        Body::Full(bytes) => Full::new(bytes).boxed(),
        Body::Stream(stream) => BodyExt::boxed(StreamBody::new(SyncStream::new(
            stream.map(|b| Ok(Frame::data(b))),
        ))),
    };
    let mut response = http::Response::new(body);
    *response.status_mut() = reply.status;
    *response.headers_mut() = reply.headers;
    response
}

pub(super) fn percent_decode(segment: &str) -> String {
    if !segment.contains('%') {
        return segment.to_owned();
    }
    let plus_safe = segment.replace('+', "%2B");
    url::form_urlencoded::parse(plus_safe.replace('&', "%26").replace('=', "%3D").as_bytes())
        .next()
        .map_or_else(String::new, |(key, _)| key.into_owned())
}

/// Makes a `Send` stream `Sync`, which hyper's boxed body asks for: a stream
/// is only ever polled through `&mut`.
struct SyncStream<S>(std::sync::Mutex<S>);

impl<S> SyncStream<S> {
    fn new(stream: S) -> Self {
        Self(std::sync::Mutex::new(stream))
    }
}

impl<S: futures::Stream + Unpin> futures::Stream for SyncStream<S> {
    type Item = S::Item;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<S::Item>> {
        let stream = self
            .0
            .get_mut()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        stream.poll_next_unpin(cx)
    }
}
