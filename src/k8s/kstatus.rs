//! Whether an object is what its manifest asks for, told from the object alone.
//!
//! The rules are those of kstatus, which kubectl's and helm's waiting share:
//! an object is current when its controller has seen the latest generation and
//! reports it done. They are pure; looking at pods for the reason is
//! `rollout`'s part.

use serde_json::Value;

use crate::manifest::Manifest;

/// What a look at an object says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// It is what it should be.
    Current,
    /// It is on its way, or nobody has begun.
    InProgress(String),
    /// It will not get there by itself.
    Failed(String),
}

/// What counts as ready beyond the usual.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rules {
    /// A job is ready when it has completed instead of when it has started.
    pub jobs: bool,
    /// A service of type `LoadBalancer` is ready when it has an address.
    pub load_balancers: bool,
    /// A pod is ready when it has succeeded, as hooks are.
    pub completion: bool,
    /// A custom resource is ready when it says so, and not when it says
    /// nothing: for kinds whose controller is known to report.
    pub says_so: bool,
}

/// One condition of an object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Condition<'a> {
    pub(super) status: &'a str,
    pub(super) reason: &'a str,
    pub(super) message: &'a str,
}

impl Condition<'_> {
    /// Message, or else reason, with the other beside it.
    fn words(&self) -> String {
        match (self.reason, self.message) {
            ("", "") => format!("status {}", self.status),
            (reason, "") => reason.to_owned(),
            ("", message) => message.to_owned(),
            (reason, message) => format!("{reason}: {message}"),
        }
    }
}

/// The condition of a type, if the object reports it.
pub(super) fn condition<'a>(object: &'a Value, kind: &str) -> Option<Condition<'a>> {
    let conditions = object.pointer("/status/conditions")?.as_array()?;
    let text = |condition: &'a Value, key: &str| {
        let value = condition.get(key).and_then(Value::as_str);
        value.unwrap_or_default()
    };
    let found = conditions.iter().find(|c| text(c, "type") == kind)?;
    Some(Condition {
        status: text(found, "status"),
        reason: text(found, "reason"),
        message: text(found, "message"),
    })
}

fn number(object: &Value, pointer: &str) -> Option<i64> {
    object.pointer(pointer).and_then(Value::as_i64)
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    let value = object.pointer(pointer).and_then(Value::as_str);
    value.unwrap_or_default()
}

fn pending(why: impl Into<String>) -> Readiness {
    Readiness::InProgress(why.into())
}

/// Judges a live object.
pub fn assess(object: &Manifest, rules: Rules) -> Readiness {
    let body = object.body();
    if body.pointer("/metadata/deletionTimestamp").is_some() {
        return pending("it is being deleted");
    }
    if let Some(unfinished) = generic(body) {
        return unfinished;
    }
    match (object.group(), object.kind()) {
        ("apps", "Deployment") => deployment(body),
        ("apps", "StatefulSet") => stateful_set(body),
        ("apps", "DaemonSet") => daemon_set(body),
        ("apps", "ReplicaSet") => replica_set(body),
        ("", "ReplicationController") => replica_set(body),
        ("", "Pod") => pod(body, rules),
        ("", "PersistentVolumeClaim") => phase(body, "Bound"),
        ("", "Namespace") => phase(body, "Active"),
        ("", "Service") => service(body, rules),
        ("batch", "Job") => job(body, rules),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => definition(body),
        ("apiregistration.k8s.io", "APIService") => must_be_true(body, "Available"),
        ("", "Node") => must_be_true(body, "Ready"),
        ("policy", "PodDisruptionBudget") | ("batch", "CronJob") | ("autoscaling", _) => {
            Readiness::Current
        }
        _ if rules.says_so => must_be_true(body, "Ready"),
        _ => by_ready_condition(body),
    }
}

/// What holds for every kind: the controller has seen the latest generation,
/// and says neither that it works on it nor that it is stuck.
fn generic(body: &Value) -> Option<Readiness> {
    let generation = number(body, "/metadata/generation");
    let observed = number(body, "/status/observedGeneration");
    if let (Some(generation), Some(observed)) = (generation, observed)
        && observed < generation
    {
        return Some(pending("its controller has not seen the latest change yet"));
    }
    if let Some(stalled) = condition(body, "Stalled").filter(|c| c.status == "True") {
        return Some(Readiness::Failed(stalled.words()));
    }
    let reconciling = condition(body, "Reconciling").filter(|c| c.status == "True");
    reconciling.map(|c| pending(c.words()))
}

fn by_ready_condition(body: &Value) -> Readiness {
    match condition(body, "Ready") {
        None => Readiness::Current,
        Some(ready) if ready.status == "True" => Readiness::Current,
        Some(ready) => pending(ready.words()),
    }
}

fn must_be_true(body: &Value, kind: &str) -> Readiness {
    match condition(body, kind) {
        Some(found) if found.status == "True" => Readiness::Current,
        Some(found) => pending(found.words()),
        None => pending(format!("nothing says that it is {}", kind.to_lowercase())),
    }
}

fn phase(body: &Value, wanted: &str) -> Readiness {
    match text(body, "/status/phase") {
        phase if phase == wanted => Readiness::Current,
        "" => pending("it has no phase yet"),
        phase => pending(format!("its phase is {phase}")),
    }
}

fn deployment(body: &Value) -> Readiness {
    // A paused rollout goes nowhere on purpose.
    if body.pointer("/spec/paused").and_then(Value::as_bool) == Some(true) {
        return Readiness::Current;
    }
    let progressing = condition(body, "Progressing");
    if let Some(stuck) = progressing.filter(|c| c.reason == "ProgressDeadlineExceeded") {
        // A controller keeps the word until something moves: about a form that
        // is newer than the word, it says nothing.
        return match is_no_newer_than_the_spec(body, "Progressing") {
            true => pending("its controller has not judged the newest form yet"),
            false => Readiness::Failed(stuck.words()),
        };
    }
    if number(body, "/status/observedGeneration").is_none() {
        return pending("its controller has not seen it yet");
    }
    let wanted = number(body, "/spec/replicas").unwrap_or(1);
    let count = |field: &str| number(body, &format!("/status/{field}")).unwrap_or(0);
    let (updated, total) = (count("updatedReplicas"), count("replicas"));
    if updated < wanted {
        return pending(format!("{updated} of {wanted} new pods are there"));
    }
    if total > updated {
        return pending(format!("{} old pods are still there", total - updated));
    }
    let available = count("availableReplicas");
    if available < wanted {
        return pending(format!("{available} of {wanted} pods are available"));
    }
    let ready = count("readyReplicas");
    if ready < wanted {
        return pending(format!("{ready} of {wanted} pods are ready"));
    }
    match condition(body, "Available").filter(|c| c.status != "True") {
        Some(unavailable) => pending(unavailable.words()),
        None => Readiness::Current,
    }
}

/// Whether a condition was not written after the object's spec was, as its
/// managed fields tell. Both times are the server's, to the second; what takes
/// a second or more, as every deadline does, is no word about a form that was
/// written in the same second.
fn is_no_newer_than_the_spec(body: &Value, kind: &str) -> bool {
    let time = |value: &Value, key: &str| -> Option<jiff::Timestamp> {
        value.get(key)?.as_str()?.parse().ok()
    };
    let list = |pointer: &str| body.pointer(pointer).and_then(Value::as_array);
    let conditions = list("/status/conditions").into_iter().flatten();
    let said = conditions
        .filter(|condition| condition.get("type").is_some_and(|t| t == kind))
        .find_map(|condition| time(condition, "lastUpdateTime"));
    let entries = list("/metadata/managedFields").into_iter().flatten();
    let written = entries
        .filter(|entry| entry.get("subresource").is_none())
        .filter_map(|entry| time(entry, "time"))
        .max();
    matches!((said, written), (Some(said), Some(written)) if said <= written)
}

fn stateful_set(body: &Value) -> Readiness {
    if text(body, "/spec/updateStrategy/type") == "OnDelete" {
        return Readiness::Current;
    }
    if number(body, "/status/observedGeneration").is_none() {
        return pending("its controller has not seen it yet");
    }
    let wanted = number(body, "/spec/replicas").unwrap_or(1);
    let count = |field: &str| number(body, &format!("/status/{field}")).unwrap_or(0);
    let ready = count("readyReplicas");
    if ready < wanted {
        return pending(format!("{ready} of {wanted} pods are ready"));
    }
    if count("replicas") > wanted {
        return pending("it has too many pods");
    }
    let partition = number(body, "/spec/updateStrategy/rollingUpdate/partition").unwrap_or(0);
    if partition > 0 {
        let (updated, due) = (count("updatedReplicas"), (wanted - partition).max(0));
        return match updated < due {
            true => pending(format!("{updated} of {due} pods are updated")),
            false => Readiness::Current,
        };
    }
    let (current, update) = (
        text(body, "/status/currentRevision"),
        text(body, "/status/updateRevision"),
    );
    if current != update {
        let updated = count("updatedReplicas");
        return pending(format!("{updated} of {wanted} pods are updated"));
    }
    Readiness::Current
}

fn daemon_set(body: &Value) -> Readiness {
    if text(body, "/spec/updateStrategy/type") == "OnDelete" {
        return Readiness::Current;
    }
    let Some(wanted) = number(body, "/status/desiredNumberScheduled") else {
        return pending("its controller has not seen it yet");
    };
    if number(body, "/status/observedGeneration").is_none() {
        return pending("its controller has not seen it yet");
    }
    for (field, word) in [
        ("currentNumberScheduled", "scheduled"),
        ("updatedNumberScheduled", "updated"),
        ("numberAvailable", "available"),
        ("numberReady", "ready"),
    ] {
        let count = number(body, &format!("/status/{field}")).unwrap_or(0);
        if count < wanted {
            return pending(format!("{count} of {wanted} pods are {word}"));
        }
    }
    Readiness::Current
}

fn replica_set(body: &Value) -> Readiness {
    if let Some(failure) = condition(body, "ReplicaFailure").filter(|c| c.status == "True") {
        return pending(failure.words());
    }
    let wanted = number(body, "/spec/replicas").unwrap_or(1);
    for (field, word) in [
        ("replicas", "there"),
        ("availableReplicas", "available"),
        ("readyReplicas", "ready"),
    ] {
        let count = number(body, &format!("/status/{field}")).unwrap_or(0);
        if count < wanted {
            return pending(format!("{count} of {wanted} pods are {word}"));
        }
    }
    if number(body, "/status/replicas").unwrap_or(0) > wanted {
        return pending("it has too many pods");
    }
    Readiness::Current
}

fn pod(body: &Value, rules: Rules) -> Readiness {
    match text(body, "/status/phase") {
        "Succeeded" => Readiness::Current,
        "Failed" => Readiness::Failed(match text(body, "/status/message") {
            "" => "its containers ended with an error".to_owned(),
            message => message.to_owned(),
        }),
        "Running" if rules.completion => pending("it is still running"),
        "Running" => must_be_true(body, "Ready"),
        _ => match condition(body, "PodScheduled").filter(|c| c.status == "False") {
            Some(unscheduled) => pending(unscheduled.words()),
            None => pending("its containers are not running yet"),
        },
    }
}

fn service(body: &Value, rules: Rules) -> Readiness {
    if text(body, "/spec/type") != "LoadBalancer" {
        return Readiness::Current;
    }
    let addresses = body.pointer("/status/loadBalancer/ingress");
    let has_address = addresses
        .and_then(Value::as_array)
        .is_some_and(|list| !list.is_empty());
    if rules.load_balancers && !has_address {
        return pending("its load balancer has no address yet");
    }
    Readiness::Current
}

fn job(body: &Value, rules: Rules) -> Readiness {
    let holds = |kind: &str| condition(body, kind).filter(|c| c.status == "True");
    if holds("Complete").is_some() {
        return Readiness::Current;
    }
    if let Some(failed) = holds("Failed").or_else(|| holds("FailureTarget")) {
        return Readiness::Failed(failed.words());
    }
    if !rules.jobs {
        let started = body.pointer("/status/startTime").is_some() || holds("Suspended").is_some();
        return match started {
            true => Readiness::Current,
            false => pending("it has not started yet"),
        };
    }
    let count = |field: &str| number(body, &format!("/status/{field}")).unwrap_or(0);
    pending(format!(
        "{} pods run, {} succeeded, {} failed",
        count("active"),
        count("succeeded"),
        count("failed")
    ))
}

fn definition(body: &Value) -> Readiness {
    if let Some(refused) = condition(body, "NamesAccepted").filter(|c| c.status == "False") {
        return Readiness::Failed(refused.words());
    }
    match condition(body, "Established") {
        Some(found) if found.status == "True" => Readiness::Current,
        Some(found) if found.reason != "Installing" => pending(found.words()),
        _ => pending("it is not established yet"),
    }
}

#[cfg(test)]
mod tests;
