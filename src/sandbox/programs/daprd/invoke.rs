//! Calling other apps: `/v1.0/invoke`, and everything that is no route.

use http::{StatusCode, header};

use super::super::super::http::{Body, Reply, Request};
use super::super::web::Call;
use super::errors;
use super::runtime::Sidecar;

/// Headers that are a connection's own.
const HOP_BY_HOP: [&str; 6] = [
    "connection",
    "keep-alive",
    "transfer-encoding",
    "upgrade",
    "host",
    "content-length",
];

/// What an unknown route answers.
pub(super) fn nowhere() -> Reply {
    errors::simple(
        StatusCode::NOT_FOUND,
        "ERR_DIRECT_INVOKE",
        "failed getting app id either from the URL path or the header dapr-app-id",
    )
}

/// A path that is no route may be meant for another app.
pub(super) async fn fallback(sidecar: &Sidecar, request: &Request) -> Reply {
    match request.header("dapr-app-id").map(str::to_owned) {
        Some(app) => {
            let path = request.path.trim_start_matches('/').to_owned();
            call(sidecar, request, &app, &path).await
        }
        None => nowhere(),
    }
}

/// Passes a request on to an app, by the Service of its sidecars.
pub(super) async fn call(sidecar: &Sidecar, request: &Request, app: &str, path: &str) -> Reply {
    let failed = |why: &str| {
        let message = format!("failed to invoke, id: {app}, err: {why}");
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        errors::simple(status, "ERR_DIRECT_INVOKE", &message)
    };
    let query = request.target.split_once('?').map(|(_, query)| query);
    let target = match query {
        Some(query) => format!("/{path}?{query}"),
        None => format!("/{path}"),
    };
    let (id, namespace) = app
        .split_once('.')
        .unwrap_or((app, &sidecar.options.namespace));
    let own = id == sidecar.options.app_id && namespace == sidecar.options.namespace;
    let mut call = match (own, sidecar.options.app_port) {
        (true, Some(port)) => Call::new(request.method.clone(), "localhost", port, target),
        (true, None) => return failed("app channel is not initialized"),
        (false, _) => {
            // The other sidecar passes it on to its app.
            let host = format!("{id}-dapr.{namespace}.svc.cluster.local");
            let target = format!("/v1.0/invoke/{id}/method{target}");
            Call::new(request.method.clone(), &host, 80, target)
        }
    };
    for (name, value) in &request.headers {
        let mine = HOP_BY_HOP.contains(&name.as_str()) || name == "dapr-app-id";
        if !mine {
            call.headers.append(name, value.clone());
        }
    }
    call.body = request.body.clone();
    match call.send(&sidecar.process).await {
        Ok(answer) => {
            let mut reply = Reply::empty(answer.status).with_body(Body::Full(answer.body));
            for (name, value) in &answer.headers {
                if !HOP_BY_HOP.contains(&name.as_str()) && name != header::CONTENT_LENGTH {
                    reply.headers.append(name, value.clone());
                }
            }
            reply
        }
        Err(error) => failed(&error.to_string()),
    }
}
