//! The sidecar's health: the conditions by name, in the words of its 500.

use http::StatusCode;

use super::super::super::http::{Reply, Request};
use super::super::dapr::plane::Targets;
use super::errors;
use super::runtime::Sidecar;

/// What must be ready, besides what its addresses ask for.
pub(super) const TARGETS: [&str; 11] = [
    "runtime",
    "security-provider",
    "metrics-exporter",
    "grpc-api-server",
    "grpc-internal-server",
    "component-reconciler",
    "subscription-reconciler",
    "mcpserver-reconciler",
    "workflowaccesspolicy-reconciler",
    "configuration-sighup-reconciler",
    "resiliency-sighup-reconciler",
];
/// Ready once a scheduler has told of its hosts.
pub(super) const SCHEDULER: &str = "scheduler-watch-hosts";
/// Ready once placement has told of its tables.
pub(super) const PLACEMENT: &str = "internal-placement-service";

/// Answers `/v1.0/healthz`.
pub(super) fn healthz(sidecar: &Sidecar, request: &Request) -> Reply {
    if request
        .param("appid")
        .is_some_and(|app| app != sidecar.options.app_id)
    {
        let message = "dapr app-id does not match";
        return errors::simple(
            StatusCode::INTERNAL_SERVER_ERROR,
            "ERR_HEALTH_APPID_NOT_MATCH",
            message,
        );
    }
    unready(&sidecar.targets).map_or_else(
        || Reply::empty(StatusCode::NO_CONTENT),
        |why| {
            errors::simple(
                StatusCode::INTERNAL_SERVER_ERROR,
                "ERR_HEALTH_NOT_READY",
                &why,
            )
        },
    )
}

fn unready(targets: &Targets) -> Option<String> {
    let missing = targets.missing();
    (!missing.is_empty()).then(|| format!("dapr is not ready: [{}]", missing.join(" ")))
}

/// Answers `/v1.0/healthz/outbound`.
pub(super) fn outbound(sidecar: &Sidecar) -> Reply {
    if sidecar.is_outbound_ready() {
        return Reply::empty(StatusCode::NO_CONTENT);
    }
    errors::simple(
        StatusCode::INTERNAL_SERVER_ERROR,
        "ERR_OUTBOUND_HEALTH_NOT_READY",
        "dapr outbound is not ready",
    )
}
