//! Conditions: ready, or why not.

use serde_json::{Value, json};

use super::super::super::api::ApiError;
use super::super::Process;
use super::{API, meta};

/// Why a resource is not ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NotReady {
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl NotReady {
    pub(super) fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }
}

/// The conditions of a resource; the time stays as long as nothing changes.
fn conditions(process: &Process, resource: &Value, state: Result<(), &NotReady>) -> Value {
    let mut condition = match state {
        Ok(()) => json!({"type": "Ready", "status": "True"}),
        Err(why) => json!({
            "type": "NotReady", "status": "True", "reason": why.reason, "message": why.message,
        }),
    };
    let held = &resource["status"]["conditions"][0];
    let same = ["type", "reason", "message"]
        .iter()
        .all(|name| held[name] == condition[name]);
    condition["lastTransitionTime"] = match same {
        true => held["lastTransitionTime"].clone(),
        false => json!(
            process
                .world
                .clock
                .now()
                .strftime("%Y-%m-%dT%H:%M:%S.%fZ")
                .to_string()
        ),
    };
    json!([condition])
}

/// Writes a resource's status, unless it is so already.
pub(super) async fn write(
    process: &Process,
    plural: &str,
    resource: &Value,
    state: Result<(), &NotReady>,
    more: Value,
) -> Result<(), ApiError> {
    let mut status = more;
    status["conditions"] = conditions(process, resource, state);
    status["observedGeneration"] = resource["metadata"]["generation"].clone();
    let held = &resource["status"];
    let known = status.as_object().into_iter().flatten();
    if known.into_iter().all(|(name, value)| held[name] == *value) {
        return Ok(());
    }
    let path = format!(
        "{API}/namespaces/{}/{plural}/{}/status",
        meta(resource, "namespace"),
        meta(resource, "name")
    );
    let patch = json!({ "status": status });
    match process.api.merge(&path, &patch).await {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}
