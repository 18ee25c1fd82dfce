//! Calls into the app.

use http::{HeaderMap, Method};

use super::super::web::{Answer, Call, CallError};
use super::runtime::Sidecar;

/// A request to the app's port; none if it has none.
pub(super) async fn call(
    sidecar: &Sidecar,
    method: Method,
    path: &str,
    headers: HeaderMap,
    body: Option<(&str, Vec<u8>)>,
) -> Option<Result<Answer, CallError>> {
    let port = sidecar.options.app_port?;
    let path = match path.starts_with('/') {
        true => path.to_owned(),
        false => format!("/{path}"),
    };
    let mut call = Call::new(method, "localhost", port, path);
    call.headers = headers;
    if let Some((content_type, body)) = body {
        call = call.with_body(content_type, body);
    }
    if let Some(token) = &sidecar.options.app_token {
        call = call.with("dapr-api-token", token);
    }
    let started = sidecar.process.world.clock.elapsed();
    let answer = call.send(&sidecar.process).await;
    let took = sidecar
        .process
        .world
        .clock
        .elapsed()
        .saturating_sub(started);
    let status = answer.as_ref().map_or(0, |answer| answer.status.as_u16());
    sidecar.metrics.app_called(status, took);
    Some(answer)
}
