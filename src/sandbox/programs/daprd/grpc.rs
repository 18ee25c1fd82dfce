//! The sidecar's gRPC API: the service `dapr.proto.runtime.v1.Dapr` on 50001.
//!
//! It owns the framing and the meaning of the messages' fields, and no
//! behaviour: each call is answered by the very functions that answer HTTP, and
//! a refusal is theirs in gRPC's words. Calls that are not here are answered
//! with `UNIMPLEMENTED`. Specified in Dapr's `dapr/proto/runtime/v1` and
//! in <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>.

mod calls;
mod status;
mod wire;

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited, StreamBody};
use hyper::body::{Frame, Incoming};

use super::super::super::http::{Reply, Request};
use super::super::web::{Server, judged};
use super::api::Called;
use super::runtime::Sidecar;
use calls::Call;
use status::{Code, Refusal};

const SERVICE: &str = "/dapr.proto.runtime.v1.Dapr/";
/// The largest message: the default of `--max-body-size`.
const LARGEST: usize = 4 * 1024 * 1024;
/// What stands before a message: whether it is compressed, and its length.
const PREFIX: usize = 5;

type Frames = StreamBody<stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, Infallible>>>>;

/// What a call ends with, and the trace context that goes back with it.
type Outcome = (Result<Vec<u8>, Refusal>, Option<HeaderValue>);

/// Answers calls until the sidecar ends.
pub(super) async fn serve(sidecar: Arc<Sidecar>, server: Server) {
    let stop = sidecar.shutdown.clone();
    let answer = move |request| {
        let sidecar = sidecar.clone();
        async move { exchange(&sidecar, request).await }
    };
    server.with_http2().run_streaming(stop, answer).await;
}

async fn exchange(
    sidecar: &Arc<Sidecar>,
    request: http::Request<Incoming>,
) -> http::Response<Frames> {
    let content = request.headers().get(header::CONTENT_TYPE);
    let is_grpc = content.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
    if !is_grpc || request.method() != Method::POST {
        let mut response = http::Response::new(StreamBody::new(stream::iter(Vec::new())));
        *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return response;
    }
    let clock = &sidecar.process.world.clock;
    let started = clock.elapsed();
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let agent = parts.headers.get(header::USER_AGENT);
    let agent = agent.and_then(|value| value.to_str().ok());
    let agent = agent.unwrap_or_default().to_owned();
    let mut size = 0;
    let (outcome, trace) = match message(body).await {
        Ok(message) => {
            size = message.len();
            answer(sidecar, &path, parts.headers, &message).await
        }
        Err(refusal) => (Err(refusal), None),
    };
    let code = outcome
        .as_ref()
        .map_or_else(|refusal| refusal.code, |_| Code::Ok);
    let call = Called {
        scope: "dapr.runtime.grpc.api-info",
        title: "gRPC API Called",
        method: path,
        code: code.number(),
        took: clock.elapsed().saturating_sub(started),
        size,
        agent,
        is_health: false,
    };
    call.log(sidecar);
    let mut response = reply(outcome);
    if let Some(trace) = trace {
        response.headers_mut().insert("traceparent", trace);
    }
    response
}

/// The one message of a call.
async fn message(body: Incoming) -> Result<Bytes, Refusal> {
    let whole = Limited::new(body, LARGEST + PREFIX).collect().await;
    let mut bytes = match whole {
        Ok(whole) => whole.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            let why = format!("grpc: received message larger than max ({LARGEST})");
            return Err(Refusal::new(Code::ResourceExhausted, why));
        }
        Err(_) => return Err(Refusal::new(Code::Internal, "the message is cut off")),
    };
    if bytes.len() < PREFIX {
        return Err(Refusal::new(Code::Internal, "the message is cut off"));
    }
    let prefix = bytes.split_to(PREFIX);
    let (compressed, length) = prefix.split_at(1);
    if compressed != [0] {
        let why = "grpc: decompressor is not installed for the message's grpc-encoding";
        return Err(Refusal::new(Code::Unimplemented, why));
    }
    let length = length
        .iter()
        .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    if length != bytes.len() {
        let why = "grpc: the message has another length than it says";
        return Err(Refusal::new(Code::Internal, why));
    }
    Ok(bytes)
}

async fn answer(sidecar: &Arc<Sidecar>, path: &str, headers: HeaderMap, message: &[u8]) -> Outcome {
    let refused = |code, why: &str| (Err(Refusal::new(code, why)), None);
    if let Some(token) = &sidecar.options.api_token {
        let told = headers.get("dapr-api-token");
        if told.is_none_or(|told| told.as_bytes() != token.as_bytes()) {
            let why = "authentication error: api token mismatch";
            return refused(Code::Unauthenticated, why);
        }
    }
    let Some(method) = path.strip_prefix(SERVICE) else {
        return refused(Code::Unimplemented, &format!("unknown service {path}"));
    };
    let call = match Call::read(method, message) {
        Ok(Some(call)) => call,
        Ok(None) => {
            let why = format!("unknown method {method} for service dapr.proto.runtime.v1.Dapr");
            return refused(Code::Unimplemented, &why);
        }
        Err(refusal) => return (Err(refusal), None),
    };
    let (group, version) = call.group();
    if !sidecar.config.allows_api(group, version, "grpc") {
        return refused(Code::Unimplemented, "requested endpoint is not available");
    }
    let request = call_as_http(&call, headers);
    let call = Arc::new(call);
    // What is to go wrong is told of the paths of the HTTP API.
    let shared = sidecar.clone();
    let asked = call.clone();
    let reply = judged(
        "dapr",
        &sidecar.process,
        request,
        move |request: Request| {
            let (sidecar, call) = (shared.clone(), asked.clone());
            async move { call.ask(&sidecar, &request).await }
        },
    );
    let reply: Reply = reply.await;
    let trace = reply.headers.get("traceparent").cloned();
    match reply.status.is_success() {
        true => (Ok(call.encode(&reply)), trace),
        false => (Err(Refusal::of(&reply, &call)), trace),
    }
}

/// The call as the request of the HTTP API that means the same.
fn call_as_http(call: &Call, mut headers: HeaderMap) -> Request {
    headers.remove(header::CONTENT_TYPE);
    let (method, path, query) = call.target();
    Request {
        method,
        target: path.clone(),
        path,
        query,
        headers,
        body: Bytes::new(),
        upgrade: None,
    }
}

/// A response whose trailers tell how the call ended.
fn reply(outcome: Result<Vec<u8>, Refusal>) -> http::Response<Frames> {
    let mut frames = Vec::new();
    let trailers = match outcome {
        Ok(message) => {
            let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
            let mut whole = vec![0];
            whole.extend(length.to_be_bytes());
            whole.extend(message);
            frames.push(Ok(Frame::data(Bytes::from(whole))));
            HeaderMap::from_iter([(status::STATUS, HeaderValue::from_static("0"))])
        }
        Err(refusal) => refusal.trailers(),
    };
    frames.push(Ok(Frame::trailers(trailers)));
    let mut response = http::Response::new(StreamBody::new(stream::iter(frames)));
    let content = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(header::CONTENT_TYPE, content);
    response
}
