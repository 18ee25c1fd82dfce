//! The question that a hook is asked, and how its answer is read.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::hook::{Hook, Phase};
use super::{Attempt, Operation, dial};
use crate::sandbox::kube::catalog::{Resource, Sub};
use crate::sandbox::kube::cluster::text;
use crate::sandbox::kube::request::Verb;
use crate::sandbox::kube::status::Status;

/// What a hook said.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// Whether the write may go on.
    pub(super) allowed: bool,
    /// The JSON patch that the hook wants.
    pub(super) patch: Option<Vec<u8>>,
    /// What is to be told to the client.
    pub(super) warnings: Vec<String>,
    /// Why it may not.
    pub(super) status: Option<Value>,
}

/// Asks a hook; fails with the text that follows `failed calling webhook "…":`.
pub(super) async fn ask(
    attempt: &Attempt<'_>,
    hook: &Hook,
    seen: &Resource,
    object: Option<&Value>,
) -> Result<Verdict, String> {
    let known = |version: &&String| matches!(version.as_str(), "v1" | "v1beta1");
    let Some(version) = hook.versions.iter().find(known) else {
        return Err("could not create admission objects: webhook does not accept known AdmissionReview versions (v1, v1beta1)".to_owned());
    };
    let cluster = &attempt.call.cluster;
    let uid = cluster.uid(
        "admission",
        &format!("{}/{}", hook.name, attempt.call.target.name),
    );
    let review = json!({
        "kind": "AdmissionReview",
        "apiVersion": format!("admission.k8s.io/{version}"),
        "request": request(attempt, seen, object, &uid),
    });
    let answer = dial::post(cluster, &hook.target, &review, hook.timeout)
        .await
        .map_err(|why| format!("failed to call webhook: {why}"))?;
    read(&answer, version, &uid, hook.phase)
        .map_err(|why| format!("received invalid webhook response: {why}"))
}

fn request(attempt: &Attempt<'_>, seen: &Resource, object: Option<&Value>, uid: &str) -> Value {
    let call = attempt.call;
    let own = &call.resource;
    let kind = |r: &Resource| json!({"group": r.group, "version": r.version, "kind": r.kind});
    let place =
        |r: &Resource| json!({"group": r.group, "version": r.version, "resource": r.plural});
    let shown = |object: Option<&Value>| {
        let mut object = object?.clone();
        object["apiVersion"] = json!(seen.api_version());
        Some(object)
    };
    let name = object
        .or(attempt.old)
        .map_or("", |o| text(o, "/metadata/name"));
    let mut request = json!({
        "uid": uid,
        "kind": kind(seen),
        "resource": place(seen),
        "requestKind": kind(own),
        "requestResource": place(own),
        "name": name,
        "operation": attempt.operation.name(),
        "userInfo": call.user.info(),
        "object": shown(object),
        "oldObject": shown(attempt.old),
        "dryRun": attempt.dry_run,
        "options": options(attempt),
    });
    if let Some(sub) = call.sub.map(Sub::name) {
        request["subResource"] = json!(sub);
        request["requestSubResource"] = json!(sub);
    }
    let namespace = if own.is("", "namespaces") {
        name
    } else {
        call.target.namespace.as_str()
    };
    if !namespace.is_empty() {
        request["namespace"] = json!(namespace);
    }
    request
}

fn options(attempt: &Attempt<'_>) -> Value {
    let call = attempt.call;
    let kind = match (attempt.operation, call.verb) {
        (Operation::Create, _) => "CreateOptions",
        (Operation::Delete, _) => "DeleteOptions",
        (Operation::Update, Verb::Patch) => "PatchOptions",
        (Operation::Update, _) => "UpdateOptions",
    };
    let mut options = json!({"kind": kind, "apiVersion": "meta.k8s.io/v1"});
    for field in ["fieldManager", "fieldValidation"] {
        if let Some(value) = call.request.param(field) {
            options[field] = json!(value);
        }
    }
    if attempt.dry_run {
        options["dryRun"] = json!(["All"]);
    }
    if let Some(force) = call.request.param("force") {
        options["force"] = json!(matches!(force, "true" | "1"));
    }
    options
}

fn read(answer: &Value, version: &str, uid: &str, phase: Phase) -> Result<Verdict, String> {
    let strict = version == "v1";
    let Some(response) = answer.get("response").filter(|r| r.is_object()) else {
        return Err("webhook response was absent".to_owned());
    };
    let patch = text(response, "/patch");
    let patch_type = text(response, "/patchType");
    if strict {
        let got = text(response, "/uid");
        if got != uid {
            return Err(format!("expected response.uid={uid:?}, got {got:?}"));
        }
        let (group, kind) = (text(answer, "/apiVersion"), text(answer, "/kind"));
        if (group, kind) != ("admission.k8s.io/v1", "AdmissionReview") {
            return Err(format!(
                "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got {group}, Kind={kind}"
            ));
        }
        check_patch(patch, patch_type, phase)?;
    }
    let warnings = response.get("warnings").and_then(Value::as_array);
    let warnings = warnings.into_iter().flatten();
    let patch = if patch.is_empty() || phase == Phase::Validating {
        None
    } else {
        Some(STANDARD.decode(patch).map_err(|e| e.to_string())?)
    };
    Ok(Verdict {
        allowed: response["allowed"] == true,
        patch,
        warnings: warnings
            .filter_map(|w| w.as_str().map(str::to_owned))
            .collect(),
        status: response.get("status").filter(|s| s.is_object()).cloned(),
    })
}

fn check_patch(patch: &str, patch_type: &str, phase: Phase) -> Result<(), String> {
    let wrong = match (phase, patch.is_empty(), patch_type.is_empty()) {
        (Phase::Mutating, false, true) => {
            "webhook returned response.patch but not response.patchType"
        }
        (Phase::Mutating, true, false) => {
            "webhook returned response.patchType but not response.patch"
        }
        (Phase::Validating, false, _) => "validating webhook may not return response.patch",
        (Phase::Validating, true, false) => "validating webhook may not return response.patchType",
        _ => return Ok(()),
    };
    Err(wrong.to_owned())
}

/// The refusal that a hook's answer makes.
pub(super) fn denied(name: &str, status: Option<Value>) -> Box<Status> {
    let mut status = status.unwrap_or_else(|| json!({}));
    let code = status["code"].as_u64().and_then(|c| u16::try_from(c).ok());
    let code = code.filter(|c| *c >= 400).unwrap_or(400);
    let by = format!("admission webhook \"{name}\" denied the request");
    let message = match (text(&status, "/message"), text(&status, "/reason")) {
        ("", "") => format!("{by} without explanation"),
        ("", why) | (why, _) => format!("{by}: {why}"),
    };
    let mut full = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
    });
    for field in ["reason", "details"] {
        let value = status[field].take();
        if !value.is_null() && value != "" {
            full[field] = value;
        }
    }
    full["code"] = json!(code);
    Status::foreign(code, message, full)
}
