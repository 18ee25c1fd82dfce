//! The proxy: HTTP to a port of a pod or a service, through the server.

use bytes::Bytes;
use futures::StreamExt as _;
use http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::sandbox::http::{Body, Reply};
use crate::sandbox::kube::cluster::text;
use crate::sandbox::kube::request::Call;
use crate::sandbox::kube::status::{Outcome, Status};

/// Headers that are about one connection only, or for the server only.
const OWN: [&str; 9] = [
    "authorization",
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// `[scheme:]name[:port]`, as paths have it.
struct Named<'a> {
    scheme: &'a str,
    name: &'a str,
    port: &'a str,
}

impl<'a> Named<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (scheme, name, port) = match *text.split(':').collect::<Vec<_>>().as_slice() {
            [name] => ("", name, ""),
            [name, port] => ("", name, port),
            [scheme @ ("" | "http" | "https"), name, port] => (scheme, name, port),
            _ => return None,
        };
        Some(Self { scheme, name, port })
    }
}

/// Answers `…/pods/NAME/proxy/PATH` and `…/services/NAME/proxy/PATH`.
pub(super) async fn proxy(call: &Call) -> Outcome<Reply> {
    let path = call
        .request
        .path
        .split_once("/proxy")
        .map_or("", |(_, p)| p);
    if path.is_empty() && matches!(call.request.method.as_str(), "GET" | "HEAD") {
        let query = call.request.target.split_once('?');
        let query = query.map_or_else(String::new, |(_, q)| format!("?{q}"));
        let to = format!("{}/{query}", call.request.path);
        return Ok(Reply::empty(StatusCode::MOVED_PERMANENTLY).with("location", to));
    }
    let socket = connect(call).await?;
    exchange(call, path, socket)
        .await
        .map_err(|why| unreachable(&why))
}

fn unreachable(why: &str) -> Box<Status> {
    Status::unavailable(format!("error trying to reach service: {why}"))
}

async fn connect(call: &Call) -> Outcome<TcpStream> {
    let (cluster, target) = (&call.cluster, &call.target);
    let invalid = || {
        let kind = if call.resource.plural == "pods" {
            "pod"
        } else {
            "service"
        };
        Status::bad_request(format!("invalid {kind} request {:?}", target.name))
    };
    let named = Named::parse(&target.name).ok_or_else(invalid)?;
    let row = cluster
        .row(&call.resource, &target.namespace, named.name)
        .ok_or_else(|| Status::not_found(&call.resource, named.name))?;
    if named.scheme == "https" {
        return Err(unreachable("the sandbox's programs speak plain HTTP only"));
    }
    let (host, port) = if call.resource.plural == "pods" {
        if text(&row.value, "/status/podIP").is_empty() {
            return Err(Status::bad_request("address not allowed"));
        }
        pod_address(&row.value, &named)
    } else {
        service_address(&row.value, &named)?
    };
    let reached = cluster.net.connect(&target.namespace, &host, port).await;
    reached.map_err(|why| {
        if call.resource.plural == "services" {
            let text = format!("no endpoints available for service {:?}", target.name);
            return Status::unavailable(text);
        }
        unreachable(&why.to_string())
    })
}

fn pod_address(pod: &Value, named: &Named<'_>) -> (String, u16) {
    let containers = pod.pointer("/spec/containers").and_then(Value::as_array);
    let first = containers
        .into_iter()
        .flatten()
        .find_map(|c| c.pointer("/ports/0/containerPort")?.as_u64());
    let port = named.port.parse().ok();
    let port = port.or_else(|| u16::try_from(first?).ok()).unwrap_or(80);
    (text(pod, "/status/podIP").to_owned(), port)
}

fn service_address(service: &Value, named: &Named<'_>) -> Outcome<(String, u16)> {
    let ports = service.pointer("/spec/ports").and_then(Value::as_array);
    let ports = ports.map_or(&[][..], Vec::as_slice);
    let number = |port: &Value| u16::try_from(port["port"].as_u64()?).ok();
    let found = match ports {
        [only] if named.port.is_empty() => number(only),
        ports => ports
            .iter()
            .find(|p| {
                text(p, "/name") == named.port && !named.port.is_empty() || p["port"] == named.port
            })
            .and_then(number),
    };
    let port = found.ok_or_else(|| {
        Status::unavailable(format!(
            "no service port {} found for service {:?}",
            named.port, named.name
        ))
    })?;
    Ok((named.name.to_owned(), port))
}

async fn exchange(call: &Call, path: &str, socket: TcpStream) -> Result<Reply, String> {
    let text = |e: hyper::Error| e.to_string();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket))
        .await
        .map_err(text)?;
    tokio::spawn(connection);
    let query = call.request.target.split_once('?');
    let query = query.map_or_else(String::new, |(_, q)| format!("?{q}"));
    let mut request = http::Request::new(Full::new(call.request.body.clone()));
    *request.method_mut() = call.request.method.clone();
    *request.uri_mut() = format!("{path}{query}")
        .parse()
        .map_err(|_| "bad path".to_owned())?;
    *request.headers_mut() = passed_on(&call.request.headers);
    let answer = sender.send_request(request).await.map_err(text)?;
    let (parts, body) = answer.into_parts();
    let mut reply = Reply::empty(parts.status);
    reply.headers = passed_on(&parts.headers);
    let body = body.into_data_stream();
    // A broken answer ends as one that is whole: its length tells.
    let body = body.filter_map(|chunk| std::future::ready(chunk.ok()));
    Ok(reply.with_body(Body::Stream(body.map(Bytes::from).boxed())))
}

fn passed_on(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    for name in OWN {
        headers.remove(name);
    }
    if !headers.contains_key(header::HOST) {
        return headers;
    }
    headers.insert("x-forwarded-proto", http::HeaderValue::from_static("https"));
    headers
}
