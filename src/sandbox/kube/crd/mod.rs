//! Custom resources: definitions, and what they make the server serve.

mod conversion;
mod defaulting;
mod define;
mod prune;
mod rules;
mod validate;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::admission::Target;
use super::catalog::{Resource, Sub, Verbs};
use super::cluster::{Cluster, text};
use super::controllers::{delete, has_finalizer, is_terminating, modify, without_finalizer};
use super::registry::Registry;
use super::schema::custom;
use crate::sandbox::store::Change;

pub use conversion::Conversion;
pub use defaulting::fill;
pub use define::{
    check as check_definition, prepare as prepare_definition, start as start_definition,
};
pub use prune::prune;
pub use rules::Rules;
pub use validate::validate;

/// Keeps a definition until its objects are gone.
pub const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";
/// How long a definition takes to be served.
const ESTABLISHED_AFTER: (Duration, Duration) =
    (Duration::from_millis(20), Duration::from_millis(120));

/// What a definition says about a served version.
#[derive(Debug, Clone)]
pub struct Custom {
    /// The `OpenAPI` schema, as written.
    pub schema: Value,
    /// The printer columns, as written.
    pub columns: Vec<Value>,
    /// The fields that objects can be selected by.
    pub selectable: Vec<String>,
    /// The `scale` subresource, as written.
    pub scale: Option<Value>,
    /// The rules in CEL.
    pub rules: Arc<Rules>,
    /// The webhook that converts between versions, if one does.
    pub webhook: Option<Target>,
}

const GROUP: &str = "apiextensions.k8s.io";
const PLURAL: &str = "customresourcedefinitions";

/// Serves the definitions that are established.
pub fn refresh(cluster: &Cluster) {
    let table = cluster.table_of(GROUP, PLURAL);
    cluster.served.renew(|| {
        let rows = cluster.world.store.list(&table, "").0;
        let resources = rows
            .iter()
            .filter(|(_, row)| condition(&row.value, "Established") == Some(true))
            .flat_map(|(_, row)| resources(&row.value))
            .collect();
        Registry::new(resources)
    });
}

fn condition(definition: &Value, kind: &str) -> Option<bool> {
    let conditions = definition.pointer("/status/conditions")?.as_array()?;
    let condition = conditions.iter().find(|c| c["type"] == kind)?;
    Some(condition["status"] == "True")
}

/// The resources of a definition, one for each served version.
fn resources(definition: &Value) -> Vec<Arc<Resource>> {
    let group = text(definition, "/spec/group");
    let names = |field: &str| text(definition, &format!("/spec/names/{field}")).to_owned();
    let words = |field: &str| -> Vec<String> {
        let list = definition.pointer(&format!("/spec/names/{field}"));
        let list = list.and_then(Value::as_array).into_iter().flatten();
        list.filter_map(|w| w.as_str().map(str::to_owned)).collect()
    };
    let webhook = definition
        .pointer("/spec/conversion/webhook/clientConfig")
        .filter(|_| text(definition, "/spec/conversion/strategy") == "Webhook")
        .map(Target::of);
    let versions = definition
        .pointer("/spec/versions")
        .and_then(Value::as_array);
    let versions: Vec<_> = versions.into_iter().flatten().collect();
    let storage = versions
        .iter()
        .find(|v| v["storage"] == true)
        .map_or("", |v| text(v, "/name"));
    let mut served: Vec<_> = versions.iter().filter(|v| v["served"] == true).collect();
    served.sort_by_key(|v| std::cmp::Reverse(version_rank(text(v, "/name"))));
    let list = |version: &Value, field: &str| -> Vec<Value> {
        version
            .get(field)
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default()
    };
    served
        .into_iter()
        .map(|version| {
            let schema = version
                .pointer("/schema/openAPIV3Schema")
                .cloned()
                .unwrap_or_else(
                    || json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}),
                );
            let mut subresources = Vec::new();
            if version.pointer("/subresources/status").is_some() {
                subresources.push(Sub::Status);
            }
            let scale = version.pointer("/subresources/scale").cloned();
            if scale.is_some() {
                subresources.push(Sub::Scale);
            }
            Arc::new(Resource {
                group: group.to_owned(),
                version: text(version, "/name").to_owned(),
                kind: names("kind"),
                list_kind: names("listKind"),
                plural: names("plural"),
                singular: names("singular"),
                short_names: words("shortNames"),
                categories: words("categories"),
                namespaced: text(definition, "/spec/scope") == "Namespaced",
                verbs: Verbs::All,
                subresources,
                schema: custom::schema(&schema),
                custom: Some(Arc::new(Custom {
                    schema,
                    columns: list(version, "additionalPrinterColumns"),
                    selectable: list(version, "selectableFields")
                        .iter()
                        .map(|f| text(f, "/jsonPath").trim_start_matches('.').to_owned())
                        .collect(),
                    scale,
                    rules: Arc::default(),
                    webhook: webhook.clone(),
                })),
                storage_group: group.to_owned(),
                storage_version: storage.to_owned(),
            })
        })
        .collect()
}

/// How versions are ordered: `v2` before `v1` before `v1beta2` before `v1beta1`
/// before `v1alpha1` before all other names.
fn version_rank(name: &str) -> (u8, u64, u64) {
    let parse = || {
        let rest = name.strip_prefix('v')?;
        let split = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        let (major, rest) = rest.split_at(split);
        let major = major.parse().ok()?;
        if rest.is_empty() {
            return Some((3, major, 0));
        }
        for (stage, rank) in [("beta", 2), ("alpha", 1)] {
            if let Some(minor) = rest.strip_prefix(stage) {
                return Some((rank, major, minor.parse().ok()?));
            }
        }
        None
    };
    parse().unwrap_or_default()
}

/// Does what a change of a definition asks for.
pub fn follow(cluster: &Arc<Cluster>, change: &Change) {
    let Some(definition) = change.after.as_deref() else {
        refresh(cluster);
        return;
    };
    if is_terminating(definition) {
        let group = text(definition, "/spec/group");
        let plural = text(definition, "/spec/names/plural");
        let table = cluster.table_of(group, plural);
        for (key, _) in cluster.world.store.list(&table, "").0 {
            delete(cluster, &table, &key);
        }
        finish(cluster, group, plural);
        return;
    }
    if condition(definition, "Established") == Some(true) {
        refresh(cluster);
        return;
    }
    let (low, high) = ESTABLISHED_AFTER;
    let name = change.key.clone();
    let wait = cluster
        .world
        .latency(&format!("crd/{}/{name}", cluster.ocid), low, high);
    let cluster = cluster.clone();
    tokio::spawn(async move {
        if cluster.world.clock.sleep(wait).await.is_ok() {
            establish(&cluster, &name);
        }
    });
}

/// Accepts a definition's names and serves it.
fn establish(cluster: &Cluster, name: &str) {
    let table = cluster.table_of(GROUP, PLURAL);
    let now = cluster.now();
    modify(cluster, &table, name, |definition| {
        let mut definition = definition.clone();
        let names = definition.pointer("/spec/names")?.clone();
        let condition = |kind: &str, reason: &str, message: &str| {
            json!({
                "type": kind, "status": "True", "lastTransitionTime": now,
                "reason": reason, "message": message,
            })
        };
        let stored: Vec<_> = definition
            .pointer("/spec/versions")?
            .as_array()?
            .iter()
            .filter(|v| v["storage"] == true)
            .map(|v| v["name"].clone())
            .collect();
        definition["status"] = json!({
            "conditions": [
                condition("NamesAccepted", "NoConflicts", "no conflicts found"),
                condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
            ],
            "acceptedNames": names,
            "storedVersions": stored,
        });
        Some(definition)
    });
    refresh(cluster);
}

/// Lets a definition that is being deleted go once its objects are gone.
pub fn finish(cluster: &Cluster, group: &str, plural: &str) {
    let table = cluster.table_of(GROUP, PLURAL);
    let name = format!("{plural}.{group}");
    let Some(row) = cluster.world.store.get(&table, &name) else {
        return;
    };
    if !is_terminating(&row.value) || !has_finalizer(&row.value, CLEANUP) {
        return;
    }
    let objects = cluster.table_of(group, plural);
    if !cluster.world.store.list(&objects, "").0.is_empty() {
        return;
    }
    modify(cluster, &table, &name, |d| {
        Some(without_finalizer(d, CLEANUP))
    });
    refresh(cluster);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_sort_by_maturity() {
        let mut names = ["v1alpha1", "v1", "v1beta1", "v2", "foo", "v1beta2"];
        names.sort_by_key(|n| std::cmp::Reverse(version_rank(n)));
        assert_eq!(names, ["v2", "v1", "v1beta2", "v1beta1", "v1alpha1", "foo"]);
    }
}
