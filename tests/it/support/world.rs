//! A world as a value: everything that exists in it, under names that do not
//! change from run to run, so that two worlds can be compared.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde_json::{Map, Value, json};
use todoctl::sandbox::oci::Kind;
use todoctl::sandbox::store::Store;

use super::Env;

static OCID: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"ocid1\.([a-z]+)\.[a-z0-9.-]+").unwrap());
static ADDRESS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\b(\d+\.\d+\.\d+)\.\d+(:\d+)?(/\d+)?").unwrap());

static MAC: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\b([0-9A-F]{2}:){5}[0-9A-F]{2}\b").unwrap());

/// Everything that exists, by kind and name. Two things of one kind and name
/// are two entries of the list: a duplicate never hides.
pub(crate) type Things = BTreeMap<String, Vec<Value>>;

/// Reads the world of an environment; stops its sandbox for that.
pub(crate) fn things(env: &Env) -> Things {
    env.stop_world();
    let store = Store::open(&env.world()).unwrap();
    let mut docs = Vec::new();
    for kind in Kind::ALL.into_iter().filter(|kind| !kind.is_record()) {
        for (id, row) in store.list(kind.table(), "").0 {
            if row.value["gone"].is_null() {
                docs.push((kind.table(), id.to_string(), row.value["body"].clone()));
            }
        }
    }
    let names: BTreeMap<_, _> = docs
        .iter()
        .map(|(table, id, body)| (id.clone(), label(table, body)))
        .collect();
    let mut things = Things::new();
    for (table, id, body) in &docs {
        // The root compartment is the account's, not ours.
        if body["id"] == body["compartmentId"] {
            assert_eq!(*table, "oci/compartments");
        } else {
            let body = normal(body, &names);
            things.entry(names[id].clone()).or_default().push(body);
        }
    }
    for (table, _) in store.tables() {
        let Some((_, rest)) = table.strip_prefix("kube/").and_then(|t| t.split_once('/')) else {
            continue;
        };
        if matches!(
            rest,
            "core/events" | "events.k8s.io/events" | "coordination.k8s.io/leases"
        ) {
            continue;
        }
        for (key, row) in store.list(&table, "").0 {
            let name = normal_text(&format!("kube {rest} {key}"), &names);
            let mut body = normal(&row.value, &names);
            if rest == "core/nodes" {
                // Its kubelet may not have given it a range of addresses yet.
                body["metadata"]["managedFields"].take();
            }
            things.entry(name).or_default().push(body);
        }
    }
    for same in things.values_mut() {
        same.sort_by_cached_key(ToString::to_string);
    }
    things
}

/// What is in one of two worlds only, or differs, for an assertion's message.
pub(crate) fn difference(wanted: &Things, found: &Things) -> Vec<String> {
    let mut lines = Vec::new();
    let names: BTreeSet<_> = wanted.keys().chain(found.keys()).collect();
    for name in names {
        let (a, b) = (wanted.get(name), found.get(name));
        let count = |v: Option<&Vec<Value>>| v.map_or(0, Vec::len);
        if count(a) != count(b) {
            lines.push(format!("{name}: {} wanted, {} found", count(a), count(b)));
        } else if a != b {
            for (a, b) in a.into_iter().flatten().zip(b.into_iter().flatten()) {
                fields(name, a, b, &mut lines);
            }
        }
    }
    lines
}

fn fields(at: &str, a: &Value, b: &Value, lines: &mut Vec<String>) {
    match (a, b) {
        _ if a == b => {}
        (Value::Object(x), Value::Object(y)) => {
            let keys: BTreeSet<_> = x.keys().chain(y.keys()).collect();
            for key in keys {
                let (a, b) = (&a[key.as_str()], &b[key.as_str()]);
                fields(&format!("{at}.{key}"), a, b, lines);
            }
        }
        (Value::Array(x), Value::Array(y)) if x.len() == y.len() => {
            for (n, (a, b)) in x.iter().zip(y).enumerate() {
                fields(&format!("{at}[{n}]"), a, b, lines);
            }
        }
        _ => lines.push(format!("{at}: {a} wanted, {b} found")),
    }
}

fn label(table: &str, body: &Value) -> String {
    let name = ["displayName", "name"]
        .iter()
        .find_map(|field| body[*field].as_str())
        .unwrap_or("nameless");
    normal_text(&format!("{table} {name}"), &BTreeMap::new())
}

fn normal(value: &Value, names: &BTreeMap<String, String>) -> Value {
    match value {
        Value::Object(map) => {
            let mut out = Map::new();
            for (key, value) in map {
                // Which node gets which range is a race between them.
                let volatile = [
                    "resourceVersion",
                    "uid",
                    "etag",
                    "timeCreated",
                    "podCIDR",
                    "podCIDRs",
                    "f:podCIDRs",
                ];
                if !volatile.contains(&key.as_str()) {
                    out.insert(normal_text(key, names), normal(value, names));
                }
            }
            out.sort_keys();
            Value::Object(out)
        }
        Value::Array(list) => {
            let mut list: Vec<_> = list.iter().map(|v| normal(v, names)).collect();
            list.sort_by_cached_key(ToString::to_string);
            Value::Array(list)
        }
        Value::String(text) => json!(normal_text(text, names)),
        other => other.clone(),
    }
}

fn normal_text(text: &str, names: &BTreeMap<String, String>) -> String {
    if text.len() > 300 || text.starts_with("-----BEGIN") {
        return "[BLOB]".to_owned();
    }
    let text = OCID.replace_all(text, |found: &Captures<'_>| {
        let known = names.get(&found[0]);
        known.map_or_else(
            || format!("[OCID {}]", &found[1]),
            |name| format!("[{name}]"),
        )
    });
    let text = ADDRESS.replace_all(&text, |found: &Captures<'_>| {
        match found.get(3) {
            // A range is ours; an address is drawn.
            Some(_) => found[0].to_owned(),
            None => "[ADDRESS]".to_owned(),
        }
    });
    let text = MAC.replace_all(&text, "[MAC]");
    super::redact(&text)
}
