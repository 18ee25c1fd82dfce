//! The hooks that are configured, and which writes they want to hear of.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::dial::Target;
use super::{Attempt, Operation};
use crate::sandbox::kube::catalog::{Resource, Sub};
use crate::sandbox::kube::cluster::text;
use crate::sandbox::kube::request::Call;
use crate::sandbox::kube::select::Selector;

const GROUP: &str = "admissionregistration.k8s.io";

/// When a hook is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Before validation; it may change the object.
    Mutating,
    /// After it.
    Validating,
}

/// A configured hook.
#[derive(Debug)]
pub(super) struct Hook {
    /// Its name.
    pub(super) name: String,
    /// When it is asked.
    pub(super) phase: Phase,
    /// Where it listens.
    pub(super) target: Target,
    /// How long it may take.
    pub(super) timeout: Duration,
    /// Whether a hook that cannot be asked counts as consent.
    pub(super) fails_open: bool,
    /// Whether it may be asked about writes that are not kept.
    pub(super) dry_runs: bool,
    /// Whether it is asked again after later hooks changed the object.
    pub(super) reinvoked: bool,
    /// The versions of reviews that it understands.
    pub(super) versions: Vec<String>,
    equivalent: bool,
    rules: Vec<Value>,
    namespaces: Selector,
    objects: Selector,
}

/// The hooks of a phase, in the order in which they are asked.
pub(super) fn load(call: &Call, phase: Phase) -> Vec<Hook> {
    // Hooks have no say about hooks, nor about parts that are no objects.
    if call.resource.group == GROUP || !matches!(call.sub, None | Some(Sub::Status | Sub::Finalize))
    {
        return Vec::new();
    }
    let plural = match phase {
        Phase::Mutating => "mutatingwebhookconfigurations",
        Phase::Validating => "validatingwebhookconfigurations",
    };
    let table = call.cluster.table_of(GROUP, plural);
    let rows = call.cluster.world.store.list(&table, "").0;
    let hooks = rows.iter().flat_map(|(_, row)| {
        let hooks = row.value.get("webhooks").and_then(Value::as_array);
        let hooks: Vec<_> = hooks
            .into_iter()
            .flatten()
            .map(|h| read(h, phase))
            .collect();
        hooks
    });
    hooks.collect()
}

fn read(hook: &Value, phase: Phase) -> Hook {
    let list = |field: &str| hook.get(field).and_then(Value::as_array).cloned();
    let versions = list("admissionReviewVersions").unwrap_or_default();
    let seconds = hook.get("timeoutSeconds").and_then(Value::as_u64);
    Hook {
        name: text(hook, "/name").to_owned(),
        phase,
        target: Target::of(hook.get("clientConfig").unwrap_or(&Value::Null)),
        timeout: Duration::from_secs(seconds.unwrap_or(10)),
        fails_open: text(hook, "/failurePolicy") == "Ignore",
        dry_runs: matches!(text(hook, "/sideEffects"), "None" | "NoneOnDryRun"),
        reinvoked: text(hook, "/reinvocationPolicy") == "IfNeeded",
        versions: versions
            .iter()
            .filter_map(|v| v.as_str().map(str::to_owned))
            .collect(),
        equivalent: text(hook, "/matchPolicy") != "Exact",
        rules: list("rules").unwrap_or_default(),
        namespaces: Selector::of_labels(hook.get("namespaceSelector")),
        objects: Selector::of_labels(hook.get("objectSelector")),
    }
}

impl Hook {
    /// The resource as which the hook wants to see a write; none if it does
    /// not want to.
    pub(super) fn wants(
        &self,
        attempt: &Attempt<'_>,
        object: Option<&Value>,
    ) -> Option<Arc<Resource>> {
        let call = attempt.call;
        if !self.selects(attempt, object) {
            return None;
        }
        let sub = call.sub.map_or("", Sub::name);
        let fits = |resource: &Resource| {
            self.rules
                .iter()
                .any(|rule| covers(rule, attempt.operation, resource, sub))
        };
        if fits(&call.resource) {
            return Some(call.resource.clone());
        }
        if !self.equivalent {
            return None;
        }
        let registry = call.cluster.registry();
        let same = registry.resources.iter().find(|r| {
            r.storage_group == call.resource.storage_group
                && r.plural == call.resource.plural
                && fits(r)
        });
        same.cloned()
    }

    fn selects(&self, attempt: &Attempt<'_>, object: Option<&Value>) -> bool {
        let call = attempt.call;
        let chosen = object.into_iter().chain(attempt.old);
        let mut chosen = chosen.peekable();
        let of_namespace = if call.resource.is("", "namespaces") {
            let own = chosen.peek();
            own.is_none_or(|namespace| self.namespaces.matches(namespace))
        } else if call.target.namespace.is_empty() || self.namespaces.is_everything() {
            true
        } else {
            let table = call.cluster.table_of("", "namespaces");
            let row = call.cluster.world.store.get(&table, &call.target.namespace);
            row.is_some_and(|row| self.namespaces.matches(&row.value))
        };
        of_namespace && (self.objects.is_everything() || chosen.any(|o| self.objects.matches(o)))
    }
}

fn covers(rule: &Value, operation: Operation, resource: &Resource, sub: &str) -> bool {
    let has = |field: &str, wanted: &str| {
        let list = rule.get(field).and_then(Value::as_array);
        list.into_iter().flatten().any(|v| v == "*" || v == wanted)
    };
    let scope = match text(rule, "/scope") {
        "Namespaced" => resource.namespaced,
        "Cluster" => !resource.namespaced,
        _ => true,
    };
    let stated = rule.get("resources").and_then(Value::as_array);
    let covered = stated
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .any(|stated| {
            let (plural, part) = stated.split_once('/').unwrap_or((stated, ""));
            (plural == "*" || plural == resource.plural) && (part == sub || part == "*")
        });
    scope
        && covered
        && has("operations", operation.name())
        && has("apiGroups", &resource.group)
        && has("apiVersions", &resource.version)
}
