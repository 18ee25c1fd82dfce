//! The sidecar's HTTP API: which path is whose.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::Value;

use super::super::super::http::{Reply, Request};
use super::runtime::Sidecar;
use super::{errors, health, invoke, jobs, metadata, publish, secrets, state};

/// The public server: health and metadata.
pub(super) fn public(sidecar: &Sidecar, request: &Request) -> Reply {
    match (&request.method, request.path.as_str()) {
        (&Method::GET, "/v1.0/healthz") => health::healthz(sidecar, request),
        (&Method::GET, "/v1.0/healthz/outbound") => health::outbound(sidecar),
        (&Method::GET, "/v1.0/metadata") => metadata::get(sidecar),
        _ => Reply::text(StatusCode::NOT_FOUND, "text/plain", "404 page not found\n"),
    }
}

/// The app's server.
pub(super) async fn private(sidecar: &Arc<Sidecar>, request: Request) -> Reply {
    let started = sidecar.process.world.clock.elapsed();
    let is_health = request.path.starts_with("/v1.0/healthz");
    let (method, path) = (request.method.clone(), request.path.clone());
    let agent = request.header("user-agent").unwrap_or_default().to_owned();
    let size = request.body.len();
    let reply = answer(sidecar, request, is_health).await;
    let took = sidecar
        .process
        .world
        .clock
        .elapsed()
        .saturating_sub(started);
    sidecar.metrics.api_called(reply.status.as_u16(), took);
    let call = Called {
        scope: "dapr.runtime.http-info",
        title: "HTTP API Called",
        method: format!("{method} {path}"),
        code: reply.status.as_u16(),
        took,
        size,
        agent,
        is_health,
    };
    call.log(sidecar);
    reply
}

/// A call for the log.
pub(super) struct Called {
    pub(super) scope: &'static str,
    pub(super) title: &'static str,
    pub(super) method: String,
    pub(super) code: u16,
    pub(super) took: Duration,
    pub(super) size: usize,
    pub(super) agent: String,
    pub(super) is_health: bool,
}

impl Called {
    /// Writes it, if calls are to be written.
    pub(super) fn log(self, sidecar: &Sidecar) {
        let (enabled, omit_health) = sidecar.config.api_logging();
        if !sidecar.options.api_logging.unwrap_or(enabled) || self.is_health && omit_health {
            return;
        }
        sidecar
            .log
            .scope(self.scope)
            .with("method", self.method)
            .with("code", self.code)
            .with(
                "duration",
                u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX),
            )
            .with("size", self.size)
            .with("useragent", self.agent)
            .info(self.title);
    }
}

async fn answer(sidecar: &Arc<Sidecar>, request: Request, is_health: bool) -> Reply {
    if !is_health
        && let Some(token) = &sidecar.options.api_token
        && request.header("dapr-api-token") != Some(token)
    {
        return Reply::text(
            StatusCode::UNAUTHORIZED,
            "text/plain",
            "invalid api token\n",
        );
    }
    let segments = request.segments();
    let parts: Vec<&str> = segments.iter().map(String::as_str).collect();
    let group = parts.get(1).copied().unwrap_or_default();
    let version = parts.first().copied().unwrap_or_default();
    if !is_health && !sidecar.config.allows_api(group, version, "http") {
        return invoke::nowhere();
    }
    let writes = matches!(request.method, Method::POST | Method::PUT);
    match (&request.method, parts.as_slice()) {
        (&Method::GET, ["v1.0", "healthz"]) => health::healthz(sidecar, &request),
        (&Method::GET, ["v1.0", "healthz", "outbound"]) => health::outbound(sidecar),
        (&Method::GET, ["v1.0", "metadata"]) => metadata::get(sidecar),
        (&Method::PUT, ["v1.0", "metadata", key]) => metadata::put(sidecar, key, &request.body),
        (
            _,
            [
                "v1.0" | "v1.0-alpha1",
                "publish",
                "bulk",
                pubsub,
                topic @ ..,
            ],
        ) if writes => publish::bulk(sidecar, &request, pubsub, &topic.join("/")).await,
        (_, ["v1.0", "publish"]) if writes => publish::one(sidecar, &request, "", "").await,
        (_, ["v1.0", "publish", pubsub, topic @ ..]) if writes => {
            publish::one(sidecar, &request, pubsub, &topic.join("/")).await
        }
        (_, ["v1.0" | "v1.0-alpha1", "state", store, rest @ ..]) => {
            state::handle(sidecar, &request, store, rest)
        }
        (&Method::GET, ["v1.0", "secrets", store, "bulk"]) => secrets::bulk(sidecar, store).await,
        (&Method::GET, ["v1.0", "secrets", store, name @ ..]) => {
            let namespace = request.param("metadata.namespace");
            secrets::get(sidecar, store, &name.join("/"), namespace).await
        }
        (_, ["v1.0" | "v1.0-alpha1", "jobs", name]) => jobs::handle(sidecar, &request, name).await,
        (&Method::POST, ["v1.0", "shutdown"]) => shutdown(sidecar, &request),
        (_, ["v1.0", "invoke", app, "method", path @ ..]) => {
            invoke::call(sidecar, &request, app, &path.join("/")).await
        }
        _ => invoke::fallback(sidecar, &request).await,
    }
}

fn shutdown(sidecar: &Arc<Sidecar>, request: &Request) -> Reply {
    let force = request.header("dapr-force-shutdown") == Some("true");
    sidecar.forced.store(force, Ordering::Relaxed);
    let sidecar = sidecar.clone();
    tokio::spawn(async move {
        // The answer is sent first.
        tokio::task::yield_now().await;
        sidecar.shutdown.cancel();
    });
    Reply::empty(StatusCode::NO_CONTENT)
}

/// A body that must be JSON.
pub(super) fn json_body(request: &Request) -> Result<Value, Reply> {
    serde_json::from_slice(&request.body).map_err(|error| {
        let message = format!("failed deserializing HTTP body: {error}");
        errors::simple(StatusCode::BAD_REQUEST, "ERR_MALFORMED_REQUEST", &message)
    })
}

/// The query's `metadata.<name>` parameters.
pub(super) fn request_metadata(request: &Request) -> Vec<(String, String)> {
    let pairs = request.query.iter();
    let named = pairs.filter_map(|(key, value)| Some((key.strip_prefix("metadata.")?, value)));
    named
        .map(|(key, value)| (key.to_owned(), value.clone()))
        .collect()
}
