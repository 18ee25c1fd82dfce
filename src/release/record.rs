//! One revision of a release, as helm writes it down.
//!
//! The JSON is kept as it was read, so that what another version of helm put
//! there survives our updates; accessors know the fields that matter. New
//! records have the form that helm 3 and helm 4 both read: no zero times, no
//! lock, numbers as Go prints them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::helm::manifest::{Hook, HookEvent};

/// What became of a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names are helm's and say it")]
pub enum Status {
    Unknown,
    Deployed,
    Uninstalled,
    Superseded,
    Failed,
    Uninstalling,
    PendingInstall,
    PendingUpgrade,
    PendingRollback,
}

impl Status {
    const ALL: [Self; 9] = [
        Self::Unknown,
        Self::Deployed,
        Self::Uninstalled,
        Self::Superseded,
        Self::Failed,
        Self::Uninstalling,
        Self::PendingInstall,
        Self::PendingUpgrade,
        Self::PendingRollback,
    ];

    /// Helm's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Deployed => "deployed",
            Self::Uninstalled => "uninstalled",
            Self::Superseded => "superseded",
            Self::Failed => "failed",
            Self::Uninstalling => "uninstalling",
            Self::PendingInstall => "pending-install",
            Self::PendingUpgrade => "pending-upgrade",
            Self::PendingRollback => "pending-rollback",
        }
    }

    /// Reads helm's word.
    pub fn parse(word: &str) -> Self {
        let found = Self::ALL.into_iter().find(|s| s.as_str() == word);
        found.unwrap_or(Self::Unknown)
    }

    /// Whether an operation is under way, or was when its process died.
    pub fn is_pending(self) -> bool {
        matches!(
            self,
            Self::PendingInstall | Self::PendingUpgrade | Self::PendingRollback
        )
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a revision's objects were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApplyMethod {
    /// Server-side apply, which helm 4 prefers.
    ServerSide,
    /// Creation and three-way patches by the client, as helm 3 does.
    ClientSide,
}

/// One revision.
#[derive(Clone, PartialEq)]
pub struct Record {
    body: Value,
    /// Labels of the user's; those of the store are made from the body.
    pub labels: BTreeMap<String, String>,
}

impl std::fmt::Debug for Record {
    // Values and manifests may hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (name, revision) = (self.name(), self.revision());
        write!(f, "Record({name} v{revision} {})", self.status())
    }
}

/// What a new record is made of.
pub(super) struct NewRecord<'a> {
    pub(super) name: &'a str,
    pub(super) namespace: &'a str,
    pub(super) revision: u64,
    pub(super) chart: Value,
    pub(super) config: Value,
    pub(super) manifest: String,
    pub(super) hooks: &'a [Hook],
    pub(super) notes: &'a str,
    pub(super) first_deployed: String,
    pub(super) now: Timestamp,
    pub(super) status: Status,
    pub(super) description: &'a str,
    pub(super) labels: BTreeMap<String, String>,
}

impl Record {
    pub(super) fn new(new: NewRecord<'_>) -> Self {
        let mut info = json!({
            "first_deployed": new.first_deployed,
            "last_deployed": new.now.to_string(),
            "description": new.description,
            "status": new.status.as_str(),
        });
        if !new.notes.is_empty() {
            info["notes"] = json!(new.notes);
        }
        let mut body = json!({
            "name": new.name,
            "info": info,
            "chart": new.chart,
            "config": new.config,
            "manifest": new.manifest,
            "version": new.revision,
            "namespace": new.namespace,
            "apply_method": "ssa",
        });
        if !new.hooks.is_empty() {
            body["hooks"] = new.hooks.iter().map(hook_json).collect();
        }
        Self {
            body,
            labels: new.labels,
        }
    }

    /// A record out of its JSON.
    pub(super) fn from_json(body: Value, labels: BTreeMap<String, String>) -> Option<Self> {
        let named = body.get("name").and_then(Value::as_str).is_some();
        let numbered = body.get("version").and_then(Value::as_u64).is_some();
        (named && numbered).then_some(Self { body, labels })
    }

    /// Its JSON.
    pub(super) fn json(&self) -> &Value {
        &self.body
    }

    fn text(&self, pointer: &str) -> &str {
        let value = self.body.pointer(pointer).and_then(Value::as_str);
        value.unwrap_or_default()
    }

    /// The release.
    pub fn name(&self) -> &str {
        self.text("/name")
    }

    /// The release's namespace.
    pub fn namespace(&self) -> &str {
        self.text("/namespace")
    }

    /// The revision's number, from 1.
    pub fn revision(&self) -> u64 {
        let number = self.body.get("version").and_then(Value::as_u64);
        number.unwrap_or_default()
    }

    /// A label of the record.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name).map(String::as_str)
    }

    /// What became of it.
    pub fn status(&self) -> Status {
        Status::parse(self.text("/info/status"))
    }

    /// What helm would say about it.
    pub fn description(&self) -> &str {
        self.text("/info/description")
    }

    /// The text of the chart's notes.
    pub fn notes(&self) -> &str {
        self.text("/info/notes")
    }

    /// When the release was first installed, as written.
    pub fn first_deployed(&self) -> &str {
        self.text("/info/first_deployed")
    }

    /// When this revision was made, as written.
    pub fn last_deployed(&self) -> &str {
        self.text("/info/last_deployed")
    }

    /// All documents that belong to the release, as one text.
    pub fn manifest(&self) -> &str {
        self.text("/manifest")
    }

    /// The chart's name.
    pub fn chart_name(&self) -> &str {
        self.text("/chart/metadata/name")
    }

    /// The chart's version.
    pub fn chart_version(&self) -> &str {
        self.text("/chart/metadata/version")
    }

    /// The version of what the chart installs.
    pub fn app_version(&self) -> &str {
        self.text("/chart/metadata/appVersion")
    }

    /// The user's values.
    pub fn config(&self) -> Value {
        let config = self.body.get("config").filter(|c| !c.is_null()).cloned();
        go_numbers(config.unwrap_or_else(|| json!({})))
    }

    /// How the objects were written.
    pub fn apply_method(&self) -> ApplyMethod {
        match self.text("/apply_method") {
            "ssa" => ApplyMethod::ServerSide,
            _ => ApplyMethod::ClientSide,
        }
    }

    /// The revision that a rollback went to.
    pub fn rollback_of(&self) -> Option<u64> {
        let number = self.body.pointer("/info/rollback_revision");
        number.and_then(Value::as_u64).filter(|n| *n > 0)
    }

    /// The objects of the revision; none when the record is damaged.
    pub fn objects(&self) -> Vec<crate::manifest::Manifest> {
        super::objects::parse(self.manifest(), "").unwrap_or_default()
    }

    /// The images of the revision's workloads, in order and once each.
    pub fn images(&self) -> Vec<String> {
        let mut images = Vec::new();
        for object in self.objects() {
            let spec = match object.kind() {
                "Pod" => "/spec",
                "CronJob" => "/spec/jobTemplate/spec/template/spec",
                _ => "/spec/template/spec",
            };
            for list in ["initContainers", "containers"] {
                let found = object.body().pointer(&format!("{spec}/{list}"));
                for container in found.and_then(Value::as_array).into_iter().flatten() {
                    let image = container.get("image").and_then(Value::as_str);
                    images.extend(image.map(str::to_owned));
                }
            }
        }
        images.sort();
        images.dedup();
        images
    }

    /// The hooks.
    pub fn hooks(&self) -> Vec<Hook> {
        let hooks = self.body.get("hooks").and_then(Value::as_array);
        hooks.into_iter().flatten().map(hook_of).collect()
    }

    /// Sets what became of it.
    pub(super) fn set_status(&mut self, status: Status, description: &str) {
        self.body["info"]["status"] = json!(status.as_str());
        self.body["info"]["description"] = json!(description);
    }

    /// Sets the status and leaves the description.
    pub(super) fn supersede(&mut self) {
        self.body["info"]["status"] = json!(Status::Superseded.as_str());
    }

    pub(super) fn set_deleted(&mut self, now: Timestamp) {
        self.body["info"]["deleted"] = json!(now.to_string());
    }

    /// Notes that a hook ran.
    pub(super) fn set_last_run(&mut self, hook: &Hook, run: &Value) {
        let hooks = self.body.get_mut("hooks").and_then(Value::as_array_mut);
        for stored in hooks.into_iter().flatten() {
            let text = |key: &str| stored.get(key).and_then(Value::as_str);
            if text("name") == Some(&hook.name)
                && text("kind") == Some(&hook.kind)
                && text("path") == Some(&hook.path)
            {
                stored["last_run"] = run.clone();
            }
        }
    }

    /// The record of a rollback to this one.
    pub(super) fn rolled_back(&self, revision: u64, first: &str, now: Timestamp) -> Self {
        let mut copy = self.clone();
        let target = self.revision();
        let description = format!("Rollback to {target}");
        copy.body["version"] = json!(revision);
        copy.body["apply_method"] = json!("ssa");
        let mut info = json!({
            "first_deployed": first,
            "last_deployed": now.to_string(),
            "description": description,
            "status": Status::PendingRollback.as_str(),
            "rollback_revision": target,
        });
        if !self.notes().is_empty() {
            info["notes"] = json!(self.notes());
        }
        copy.body["info"] = info;
        copy
    }

    /// Leaves out of the stored chart what nothing ever reads again.
    pub(super) fn drop_chart_files(&mut self) {
        if let Some(files) = self.body.pointer_mut("/chart/files") {
            *files = json!([]);
        }
    }
}

fn hook_json(hook: &Hook) -> Value {
    let events: Vec<&str> = hook.events.iter().map(|e| e.as_str()).collect();
    let mut body = json!({
        "name": hook.name,
        "kind": hook.kind,
        "path": hook.path,
        "manifest": hook.manifest,
        "events": events,
        "last_run": {"phase": ""},
    });
    if hook.weight != 0 {
        body["weight"] = json!(hook.weight);
    }
    // Empty means before the next creation, which helm writes out.
    let policies = match hook.delete_policies.as_slice() {
        [] => vec!["before-hook-creation".to_owned()],
        given => given.to_vec(),
    };
    body["delete_policies"] = json!(policies);
    if !hook.output_log_policies.is_empty() {
        body["output_log_policies"] = json!(hook.output_log_policies);
    }
    body
}

fn hook_of(body: &Value) -> Hook {
    let text = |key: &str| {
        let value = body.get(key).and_then(Value::as_str);
        value.unwrap_or_default().to_owned()
    };
    let texts = |key: &str| -> Vec<String> {
        let list = body.get(key).and_then(Value::as_array);
        let items = list.into_iter().flatten().filter_map(Value::as_str);
        items.map(str::to_owned).collect()
    };
    Hook {
        name: text("name"),
        kind: text("kind"),
        path: text("path"),
        manifest: text("manifest"),
        line: 0,
        events: texts("events")
            .iter()
            .filter_map(|e| HookEvent::parse(e))
            .collect(),
        weight: body.get("weight").and_then(Value::as_i64).unwrap_or(0),
        delete_policies: texts("delete_policies"),
        output_log_policies: texts("output_log_policies"),
    }
}

/// Numbers as Go's JSON prints them: a float without a fraction is a whole
/// number. Values come from YAML, where every number is a float.
pub(super) fn go_numbers(value: Value) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::Number(number) => {
            let float = number.as_f64().filter(|_| number.is_f64());
            match float {
                Some(f) if f.fract() == 0.0 && f.abs() <= EXACT =>
                {
                    #[expect(clippy::cast_possible_truncation, reason = "whole and in range")]
                    Value::from(f as i64)
                }
                _ => Value::Number(number),
            }
        }
        Value::Array(items) => items.into_iter().map(go_numbers).collect(),
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(k, v)| (k, go_numbers(v)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_go_writes_them() {
        let read = json!({"a": 3.0, "b": [1.5, -2.0], "c": 1e300, "d": 7});
        assert_eq!(
            go_numbers(read).to_string(),
            r#"{"a":3,"b":[1.5,-2],"c":1e+300,"d":7}"#
        );
    }

    #[test]
    fn a_record_of_helm_3_keeps_what_we_do_not_know() {
        let body = json!({
            "name": "r", "namespace": "n", "version": 2, "manifest": "m", "future": {"x": 1},
            "info": {"first_deployed": "2026-01-01T00:00:00Z", "deleted": "", "status": "deployed"},
            "chart": {"metadata": {"name": "c", "version": "1.0.0"}},
            "hooks": [{"name": "h", "kind": "Job", "path": "p", "manifest": "x",
                       "events": ["pre-install"], "last_run": {"started_at": ""}}]
        });
        let mut record = Record::from_json(body, BTreeMap::new()).unwrap();
        assert_eq!(record.apply_method(), ApplyMethod::ClientSide);
        assert_eq!(record.hooks()[0].events, [HookEvent::PreInstall]);
        record.supersede();
        assert_eq!(record.status(), Status::Superseded);
        assert_eq!(record.json()["future"]["x"], 1);
        let now = Timestamp::UNIX_EPOCH;
        let back = record.rolled_back(5, "2026-01-01T00:00:00Z", now);
        assert_eq!((back.revision(), back.rollback_of()), (5, Some(2)));
        assert_eq!(back.description(), "Rollback to 2");
        assert_eq!(back.status(), Status::PendingRollback);
    }

    #[test]
    fn every_status_is_read_as_written() {
        for status in Status::ALL {
            assert_eq!(Status::parse(status.as_str()), status);
        }
        assert_eq!(Status::parse("new-in-helm-5"), Status::Unknown);
    }
}
