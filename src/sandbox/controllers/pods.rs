//! What controllers need to know about pods: made from templates, counted as
//! active, ready, available, and ranked when some must go.

use std::cmp::Ordering;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::Plane;
use crate::sandbox::cache::News;
use crate::sandbox::kind::{
    Kind, condition, controller_of, is_leaving, is_true, items, key, text, uid,
};

/// A pod as a template wants it, owned by `owner`. It has no name yet.
pub fn from_template(owner_kind: Kind, owner: &Value, template: &Value) -> Value {
    let mut metadata = Map::new();
    for field in ["labels", "annotations", "finalizers"] {
        if let Some(value) = template.pointer(&format!("/metadata/{field}")) {
            metadata.insert(field.to_owned(), value.clone());
        }
    }
    metadata.insert(
        "namespace".to_owned(),
        json!(text(owner, "/metadata/namespace")),
    );
    metadata.insert(
        "ownerReferences".to_owned(),
        json!([reference(owner_kind, owner)]),
    );
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": template.get("spec").cloned().unwrap_or_default(),
    })
}

/// The reference of a controller in what it owns.
pub fn reference(kind: Kind, owner: &Value) -> Value {
    json!({
        "apiVersion": kind.api_version(),
        "kind": kind.name(),
        "name": text(owner, "/metadata/name"),
        "uid": uid(owner),
        "controller": true,
        "blockOwnerDeletion": true,
    })
}

/// The key of the object of this kind that controls the pod of some news.
pub fn key_of_owner(news: &News, kind: &str) -> Option<String> {
    let pod = news.object()?;
    let reference = controller_of(pod).filter(|reference| reference["kind"] == kind)?;
    Some(key(
        text(pod, "/metadata/namespace"),
        text(reference, "/name"),
    ))
}

/// Whether an object is owned by the controller with this uid.
pub fn is_owned_by(object: &Value, owner: &str) -> bool {
    controller_of(object).is_some_and(|reference| reference["uid"] == owner)
}

/// Whether a pod has not ended and is not leaving.
pub fn is_active(pod: &Value) -> bool {
    !is_finished(pod) && !is_leaving(pod)
}

/// Whether a pod has ended.
pub fn is_finished(pod: &Value) -> bool {
    matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")
}

/// Whether a pod is ready.
pub fn is_ready(pod: &Value) -> bool {
    is_true(pod, "Ready")
}

/// Whether a pod has been ready for so many seconds; if not, how long it takes
/// until it has.
pub fn availability(plane: &Plane, pod: &Value, seconds: i64) -> Result<(), Option<Duration>> {
    if !is_ready(pod) {
        return Err(None);
    }
    let wanted = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
    let since = condition(pod, "Ready").map_or("", |c| text(c, "/lastTransitionTime"));
    let passed = plane.since(since);
    if passed >= wanted {
        Ok(())
    } else {
        Err(Some(wanted.saturating_sub(passed)))
    }
}

/// How many times the containers of a pod were started again.
fn restarts(pod: &Value) -> i64 {
    items(pod, "/status/containerStatuses")
        .iter()
        .filter_map(|status| status["restartCount"].as_i64())
        .sum()
}

/// Orders pods by who is to go first, as the `ReplicaSet` controller ranks them:
/// without a node, pending, not ready, cheap, on crowded nodes, ready for the
/// shortest time, with most restarts, youngest.
pub fn to_go_first(a: &Value, b: &Value, crowd: impl Fn(&Value) -> usize) -> Ordering {
    let bound = |pod: &Value| !text(pod, "/spec/nodeName").is_empty();
    let phase = |pod: &Value| match text(pod, "/status/phase") {
        "Pending" | "" => 0,
        "Unknown" => 1,
        _ => 2,
    };
    let cost = |pod: &Value| -> i64 {
        let note = pod.pointer("/metadata/annotations/controller.kubernetes.io~1pod-deletion-cost");
        note.and_then(Value::as_str)
            .and_then(|text| text.parse().ok())
            .unwrap_or_default()
    };
    let ready_since = |pod: &Value| {
        condition(pod, "Ready").map_or(String::new(), |c| text(c, "/lastTransitionTime").to_owned())
    };
    let born = |pod: &Value| text(pod, "/metadata/creationTimestamp").to_owned();
    bound(a)
        .cmp(&bound(b))
        .then_with(|| phase(a).cmp(&phase(b)))
        .then_with(|| is_ready(a).cmp(&is_ready(b)))
        .then_with(|| cost(a).cmp(&cost(b)))
        .then_with(|| crowd(b).cmp(&crowd(a)))
        .then_with(|| ready_since(b).cmp(&ready_since(a)))
        .then_with(|| restarts(b).cmp(&restarts(a)))
        .then_with(|| born(b).cmp(&born(a)))
        .then_with(|| text(a, "/metadata/name").cmp(text(b, "/metadata/name")))
}

/// The hash of a template and a collision count, as it is part of names.
pub fn hash(template: &Value, collisions: i64) -> String {
    let mut hash = 0x811c_9dc5_u32;
    let mut feed = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        }
    };
    feed(canonical(template).as_bytes());
    if collisions > 0 {
        feed(&collisions.to_le_bytes());
    }
    safe(&hash.to_string())
}

/// Digits in letters that form no words.
pub fn safe(digits: &str) -> String {
    const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    digits
        .bytes()
        .map(|byte| char::from(LETTERS[usize::from(byte) % LETTERS.len()]))
        .collect()
}

/// JSON with sorted keys: the same for equal values.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut fields: Vec<_> = map.iter().collect();
            fields.sort_by_key(|(key, _)| *key);
            let fields = fields
                .iter()
                .map(|(key, value)| format!("{}:{}", json!(key), canonical(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
        }
        Value::Array(list) => {
            format!(
                "[{}]",
                list.iter().map(canonical).collect::<Vec<_>>().join(",")
            )
        }
        other => other.to_string(),
    }
}

/// A number or percentage of a total, e.g. of `maxSurge`.
pub fn scaled(value: Option<&Value>, total: i64, round_up: bool) -> i64 {
    match value {
        Some(Value::Number(number)) => number.as_i64().unwrap_or_default(),
        Some(Value::String(percent)) => {
            let percent: i64 = percent.trim_end_matches('%').parse().unwrap_or_default();
            let product = percent * total;
            if round_up {
                product.div_euclid(100) + i64::from(product.rem_euclid(100) > 0)
            } else {
                product.div_euclid(100)
            }
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_round_up_or_down() {
        let quarter = json!("25%");
        assert_eq!(scaled(Some(&quarter), 2, true), 1);
        assert_eq!(scaled(Some(&quarter), 2, false), 0);
        assert_eq!(scaled(Some(&json!(3)), 2, false), 3);
        assert_eq!(scaled(None, 2, true), 0);
    }

    #[test]
    fn a_hash_depends_on_content_and_not_on_order() {
        let one = json!({"a": 1, "b": [1, {"c": "d"}]});
        let same: Value = serde_json::from_str(r#"{"b": [1, {"c": "d"}], "a": 1}"#).unwrap();
        assert_eq!(hash(&one, 0), hash(&same, 0));
        assert_ne!(hash(&one, 0), hash(&one, 1));
        assert_ne!(hash(&one, 0), hash(&json!({}), 0));
    }

    #[test]
    fn pods_that_do_not_serve_go_first() {
        let pod = |name: &str, node: &str, ready: &str, cost: &str| {
            json!({
                "metadata": {"name": name, "annotations": {"controller.kubernetes.io/pod-deletion-cost": cost}},
                "spec": {"nodeName": node},
                "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]},
            })
        };
        let mut pods = [
            pod("ready", "n", "True", "0"),
            pod("cheap", "n", "True", "-5"),
            pod("unready", "n", "False", "0"),
            pod("unbound", "", "True", "0"),
        ];
        pods.sort_by(|a, b| to_go_first(a, b, |_| 0));
        let names: Vec<_> = pods.iter().map(|p| text(p, "/metadata/name")).collect();
        assert_eq!(names, ["unbound", "unready", "cheap", "ready"]);
    }
}
