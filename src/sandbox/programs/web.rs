//! HTTP as programs speak it: a server on one of the pod's ports that ends
//! without breaking off what it has begun, and calls to other pods.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::super::alter;
use super::super::faults::Verdict;
use super::super::http::{Reply, Request, read, wire};
use super::super::podnet::Binding;
use super::Process;
use crate::clock::Clock;

/// How long a closing port waits for those who are on the way, in real time.
const LATE: Duration = Duration::from_millis(30);

/// A server on one of the pod's ports. The port closes when it is dropped, and
/// so do its connections.
pub struct Server {
    listener: TcpListener,
    binding: Binding,
    tls: Option<TlsAcceptor>,
    http2: bool,
    faulty: Option<(&'static str, Process)>,
}

impl Server {
    /// Takes a port.
    pub async fn bind(process: &Process, port: u16) -> io::Result<Self> {
        let (listener, binding) = process.listen(port).await?;
        Ok(Self {
            listener,
            binding,
            tls: None,
            http2: false,
            faulty: None,
        })
    }

    /// Misbehaves as the fault plan says of this system.
    #[must_use]
    pub fn faulty(self, system: &'static str, process: &Process) -> Self {
        Self {
            faulty: Some((system, process.clone())),
            ..self
        }
    }

    /// Speaks HTTPS instead.
    #[must_use]
    pub fn with_tls(self, tls: TlsAcceptor) -> Self {
        Self {
            tls: Some(tls),
            ..self
        }
    }

    /// Speaks HTTP/2 from the first byte, as gRPC does.
    #[must_use]
    pub fn with_http2(self) -> Self {
        Self {
            http2: true,
            ..self
        }
    }

    /// Serves until `stop`: then the port closes at once, and requests that
    /// have begun are finished.
    pub async fn run<F, Fut>(self, stop: CancellationToken, handler: F)
    where
        F: Fn(Request) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Reply> + Send + 'static,
    {
        let faulty = self.faulty.clone();
        let whole = move |request| {
            let (handler, faulty) = (handler.clone(), faulty.clone());
            async move {
                let reply = match (read(request).await, faulty) {
                    (Ok(request), None) => handler(request).await,
                    (Ok(request), Some((system, process))) => {
                        judged(system, &process, request, handler).await
                    }
                    (Err(status), _) => Reply::empty(status),
                };
                wire(reply)
            }
        };
        self.run_streaming(stop, whole).await;
    }

    /// The same for a handler that takes and gives bodies as they come.
    pub async fn run_streaming<F, Fut, B>(self, stop: CancellationToken, handler: F)
    where
        F: Fn(http::Request<Incoming>) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = http::Response<B>> + Send + 'static,
        B: hyper::body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let mut connections = JoinSet::new();
        let serve = |connections: &mut JoinSet<()>, socket: TcpStream| {
            let _ = socket.set_nodelay(true);
            let (tls, handler, stop) = (self.tls.clone(), handler.clone(), stop.clone());
            let http2 = self.http2;
            connections.spawn(async move {
                match tls {
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(socket).await {
                            connection(stream, http2, handler, stop).await;
                        }
                    }
                    None => connection(socket, http2, handler, stop).await,
                }
            });
        };
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.listener.accept() => {
                    // A failed accept is the client's problem, or passes.
                    if let Ok((socket, _)) = accepted {
                        serve(&mut connections, socket);
                    }
                }
                Some(_) = connections.join_next() => {}
            }
        }
        drop(self.binding);
        // Who connected before the port was closed is served, too.
        let clock = Clock::default();
        let late = clock.sleep(LATE);
        tokio::pin!(late);
        loop {
            tokio::select! {
                _ = late.as_mut() => break,
                accepted = self.listener.accept() => {
                    if let Ok((socket, _)) = accepted {
                        serve(&mut connections, socket);
                    }
                }
            }
        }
        drop(self.listener);
        while connections.join_next().await.is_some() {}
    }
}

/// A reply as the fault plan wants it. A connection cannot be cut from here:
/// what would be dropped is answered with 502.
pub(super) async fn judged<F, Fut>(
    system: &'static str,
    process: &Process,
    request: Request,
    handler: F,
) -> Reply
where
    F: Fn(Request) -> Fut,
    Fut: Future<Output = Reply>,
{
    let world = &process.world;
    if world.faults.is_empty() {
        return handler(request).await;
    }
    let age = u64::try_from(world.age().as_millis()).unwrap_or(u64::MAX);
    let (method, path) = (request.method.clone(), request.path.clone());
    let mut verdict = world.faults.judge(system, method.as_str(), &path, age);
    if let Verdict::Delay(pause) | Verdict::DelayThen(pause, _) = &verdict {
        let _ = world.clock.sleep(*pause).await;
    }
    if let Verdict::DelayThen(_, then) = verdict {
        verdict = *then;
    }
    match verdict {
        Verdict::Status(status) => Reply::json(
            status,
            &serde_json::json!({"errorCode": "ERR_FAULT", "message": "a fault of the rehearsal"}),
        ),
        Verdict::Drop => Reply::empty(StatusCode::BAD_GATEWAY),
        Verdict::LoseReply => {
            handler(request).await;
            Reply::empty(StatusCode::BAD_GATEWAY)
        }
        Verdict::Hold(fault) => {
            world.faults.cleared(fault).await;
            handler(request).await
        }
        Verdict::HoldReply(fault) => {
            let reply = handler(request).await;
            world.faults.cleared(fault).await;
            reply
        }
        Verdict::Pass | Verdict::Delay(_) | Verdict::DelayThen(..) => {
            let mut reply = handler(request).await;
            alter::reply(&world.faults, system, method.as_str(), &path, &mut reply);
            reply
        }
    }
}

async fn connection<S, F, Fut, B>(stream: S, http2: bool, handler: F, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(http::Request<Incoming>) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = http::Response<B>> + Send + 'static,
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let started = Arc::new(AtomicBool::new(false));
    let seen = started.clone();
    let service = service_fn(move |request| {
        let handler = handler.clone();
        seen.store(true, Ordering::Relaxed);
        async move { Ok::<_, Infallible>(handler(request).await) }
    });
    if http2 {
        let executor = TokioExecutor::new();
        let serving = hyper::server::conn::http2::Builder::new(executor)
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(serving);
        tokio::select! {
            _ = serving.as_mut() => return,
            () = stop.cancelled() => {}
        }
        serving.as_mut().graceful_shutdown();
        // Errors are dropped connections.
        let _ = serving.await;
        return;
    }
    let serving = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(serving);
    tokio::select! {
        _ = serving.as_mut() => return,
        () = stop.cancelled() => {}
    }
    if !started.load(Ordering::Relaxed) {
        // Its first request may be on the way.
        let clock = Clock::default();
        tokio::select! {
            _ = serving.as_mut() => return,
            _ = clock.sleep(LATE) => {}
        }
    }
    serving.as_mut().graceful_shutdown();
    // Errors are dropped connections.
    let _ = serving.await;
}

/// A request to another program.
#[derive(Debug, Clone)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// The host's name or address, as this pod resolves it.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Path and query.
    pub target: String,
    /// The headers; `Host` and the length are added.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Call {
    /// A request without a body.
    pub fn new(method: Method, host: &str, port: u16, target: impl Into<String>) -> Self {
        Self {
            method,
            host: host.to_owned(),
            port,
            target: target.into(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }

    /// Sets a header; a value that is no header value is left out.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        let name = http::HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
            self.headers.insert(name, value);
        }
        self
    }

    /// Sets the body and what it is.
    #[must_use]
    pub fn with_body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self.with(header::CONTENT_TYPE.as_str(), content_type)
    }

    /// Sends it as a program of this pod, over a connection of its own.
    pub async fn send(self, process: &Process) -> Result<Answer, CallError> {
        let stream = process.connect(&self.host, self.port).await?;
        let _ = stream.set_nodelay(true);
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let host = format!("{}:{}", self.host, self.port);
        let mut request = http::Request::builder()
            .method(self.method)
            .uri(&self.target)
            .header(header::HOST, host)
            .body(Full::new(self.body))?;
        for (name, value) in &self.headers {
            request.headers_mut().append(name, value.clone());
        }
        let exchange = async {
            let answer = sender.send_request(request).await?;
            let (parts, body) = answer.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok(Answer {
                status: parts.status,
                headers: parts.headers,
                body,
            })
        };
        tokio::pin!(connection);
        tokio::pin!(exchange);
        tokio::select! {
            answer = exchange.as_mut() => answer,
            // The connection may end with the last byte of the answer.
            _ = connection => exchange.await,
        }
    }
}

/// What a program answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// Why a program was not reached.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nobody has the name, or nobody listens.
    #[error(transparent)]
    Connect(#[from] io::Error),
    /// It went away, or does not speak HTTP.
    #[error(transparent)]
    Http(#[from] hyper::Error),
    /// The request is none.
    #[error(transparent)]
    Request(#[from] http::Error),
}
