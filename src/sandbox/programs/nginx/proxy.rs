//! Passing requests on: bodies stream both ways, and an endpoint that does not
//! take the connection gives way to the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Body as _, Incoming};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::super::Process;
use super::super::dapr::plane::Counts;
use super::pages::page;
use super::routes::{Endpoint, Table};

pub(super) type Answer = Response<BoxBody<Bytes, hyper::Error>>;

/// Headers that belong to one connection.
const HOP_BY_HOP: [&str; 5] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "upgrade",
];

/// The proxy of a controller.
#[derive(Clone)]
pub(super) struct Proxy {
    process: Process,
    health: Option<String>,
    table: watch::Receiver<Arc<Table>>,
    counts: Counts,
    turn: Arc<AtomicUsize>,
}

fn whole(answer: Response<Bytes>) -> Answer {
    answer.map(|body| Full::new(body).map_err(|never| match never {}).boxed())
}

impl Proxy {
    pub(super) fn new(
        process: &Process,
        health: Option<String>,
        table: watch::Receiver<Arc<Table>>,
        counts: Counts,
    ) -> Self {
        Self {
            process: process.clone(),
            health,
            table,
            counts,
            turn: Arc::default(),
        }
    }

    /// Answers one request.
    pub(super) async fn answer(&self, request: Request<Incoming>, scheme: &str) -> Answer {
        let line = format!("{} {}", request.method(), request.uri());
        let answer = self.route(request, scheme).await;
        let status = answer.status().as_u16();
        let time = self.process.world.clock.now();
        self.process.log(&format!(
            "127.0.0.1 - - [{time}] \"{line} HTTP/1.1\" {status}"
        ));
        let series = format!("nginx_ingress_controller_requests_total{{status=\"{status}\"}}");
        self.counts.add(&series, 1.0);
        answer
    }

    async fn route(&self, request: Request<Incoming>, scheme: &str) -> Answer {
        let path = request.uri().path();
        if self.health.as_deref() == Some(path) {
            return whole(Response::new(Bytes::from_static(b"healthy\n")));
        }
        let host = request.headers().get(header::HOST);
        let host = host.and_then(|host| host.to_str().ok()).unwrap_or_default();
        let bare = host.rsplit_once(':').map_or(host, |(bare, _)| bare);
        let table = self.table.borrow().clone();
        match table.find(bare, path) {
            None => whole(page(StatusCode::NOT_FOUND)),
            Some([]) => whole(page(StatusCode::BAD_GATEWAY)),
            Some(endpoints) => {
                let request = forwarded(request, scheme);
                self.pass(request, endpoints).await
            }
        }
    }

    /// Asks the endpoints in turn, until one takes the request.
    async fn pass(&self, request: Request<Incoming>, endpoints: &[Endpoint]) -> Answer {
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        let order = (0..endpoints.len()).map(|at| endpoints[(first + at) % endpoints.len()]);
        // Without a body an idempotent request can be asked again.
        let again = request.body().is_end_stream()
            && matches!(
                *request.method(),
                Method::GET | Method::HEAD | Method::OPTIONS
            );
        let (parts, body) = request.into_parts();
        let mut body = Some(body);
        for endpoint in order {
            let Ok(stream) = self.connect(endpoint).await else {
                continue;
            };
            let body = match (again, body.take()) {
                (false, Some(body)) => body.boxed(),
                (false, None) => break,
                (true, _) => Empty::new().map_err(|never| match never {}).boxed(),
            };
            let attempt = Request::from_parts(parts.clone(), body);
            match exchange(stream, attempt).await {
                Ok(answer) => return answer,
                Err(error) => self.process.log(&format!(
                    "[error] upstream prematurely closed connection while reading response \
                     header from upstream, upstream: \"{}:{}\": {error}",
                    endpoint.0, endpoint.1
                )),
            }
            if !again {
                break;
            }
        }
        whole(page(StatusCode::BAD_GATEWAY))
    }

    async fn connect(&self, endpoint: Endpoint) -> std::io::Result<TcpStream> {
        let connected = self
            .process
            .connect(&endpoint.0.to_string(), endpoint.1)
            .await;
        match &connected {
            Ok(stream) => {
                let _ = stream.set_nodelay(true);
            }
            Err(_) => self.process.log(&format!(
                "[error] connect() failed (111: Connection refused) while connecting to \
                 upstream, upstream: \"{}:{}\"",
                endpoint.0, endpoint.1
            )),
        }
        connected
    }
}

/// The request as it goes on: without what belongs to this connection, with
/// what tells where it came from.
fn forwarded(mut request: Request<Incoming>, scheme: &str) -> Request<Incoming> {
    let target = request
        .uri()
        .path_and_query()
        .map_or("/", |target| target.as_str());
    if let Ok(uri) = target.parse() {
        *request.uri_mut() = uri;
    }
    let headers = request.headers_mut();
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
    let host = headers.get(header::HOST).cloned();
    let scheme = HeaderValue::from_str(scheme).ok();
    let here = HeaderValue::from_static("127.0.0.1");
    for (name, value) in [
        ("x-real-ip", Some(here.clone())),
        ("x-forwarded-for", Some(here)),
        ("x-forwarded-host", host),
        ("x-forwarded-proto", scheme),
        ("connection", Some(HeaderValue::from_static("close"))),
    ] {
        if let Some(value) = value {
            headers.insert(name, value);
        }
    }
    request
}

/// One request over a connection of its own; the answer's body comes as the
/// endpoint sends it.
async fn exchange(
    stream: TcpStream,
    request: Request<BoxBody<Bytes, hyper::Error>>,
) -> Result<Answer, hyper::Error> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the answer's last byte, or when the client goes away.
    tokio::spawn(connection);
    let mut answer = sender.send_request(request).await?;
    for name in HOP_BY_HOP {
        answer.headers_mut().remove(name);
    }
    answer
        .headers_mut()
        .insert(header::SERVER, HeaderValue::from_static("nginx/1.29.4"));
    Ok(answer.map(http_body_util::BodyExt::boxed))
}
