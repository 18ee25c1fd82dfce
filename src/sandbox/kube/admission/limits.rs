//! `LimitRange`s: what containers get that ask for nothing, and how much pods
//! and claims may ask for.

use serde_json::{Map, Value, json};

use super::super::cluster::text;
use super::super::request::Call;
use super::super::status::{Outcome, Status};
use crate::sandbox::controllers::resources::millis;
use crate::sandbox::kind::items;

/// The limits of a namespace.
fn limits(call: &Call) -> Vec<Value> {
    let table = call.cluster.table_of("", "limitranges");
    let prefix = format!("{}/", call.target.namespace);
    let rows = call.cluster.world.store.list(&table, &prefix).0;
    rows.iter()
        .flat_map(|(_, row)| items(&row.value, "/spec/limits").to_vec())
        .collect()
}

/// Gives a new pod's containers what they do not say themselves.
pub(super) fn fill(call: &Call, pod: &mut Value) {
    let limits = limits(call);
    let mut notes = Vec::new();
    for (list, what) in [
        ("initContainers", "init container"),
        ("containers", "container"),
    ] {
        let containers = pod.pointer_mut(&format!("/spec/{list}"));
        for container in containers
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            let name = text(container, "/name").to_owned();
            for (part, from) in [("requests", "defaultRequest"), ("limits", "default")] {
                let set = defaults(&limits, from, part, container);
                if !set.is_empty() {
                    let set = set.join(", ");
                    let part = part.trim_end_matches('s');
                    notes.push(format!("{set} {part} for {what} {name}"));
                }
            }
        }
    }
    if !notes.is_empty() {
        let note = format!("LimitRanger plugin set: {}", notes.join("; "));
        pod["metadata"]["annotations"]["kubernetes.io/limit-ranger"] = json!(note);
    }
}

/// Sets one part of a container's resources; gives the names of those set.
fn defaults(limits: &[Value], from: &str, part: &str, container: &mut Value) -> Vec<String> {
    let mut set = Vec::new();
    let of_containers = limits.iter().filter(|limit| limit["type"] == "Container");
    for values in of_containers.filter_map(|limit| limit.get(from)?.as_object()) {
        for (resource, quantity) in values {
            if container["resources"][part].get(resource).is_none() {
                container["resources"][part][resource] = quantity.clone();
                set.push(resource.clone());
            }
        }
    }
    set.sort();
    set
}

/// What a limit leaves open: the most by default, and the least or the default
/// as a request.
pub fn complete(limit: &mut Map<String, Value>) {
    if limit.get("type").is_none_or(|kind| kind != "Container") {
        return;
    }
    let part = |limit: &Map<String, Value>, name: &str| {
        let values = limit.get(name).and_then(Value::as_object);
        values.cloned().unwrap_or_default()
    };
    let mut default = part(limit, "default");
    for (resource, quantity) in part(limit, "max") {
        default.entry(resource).or_insert(quantity);
    }
    let mut request = part(limit, "defaultRequest");
    for (resource, quantity) in default.clone().into_iter().chain(part(limit, "min")) {
        request.entry(resource).or_insert(quantity);
    }
    for (name, values) in [("default", default), ("defaultRequest", request)] {
        if !values.is_empty() {
            limit.insert(name.to_owned(), Value::Object(values));
        }
    }
}

/// Refuses a pod or claim beyond the limits.
pub(super) fn check(call: &Call, object: &Value) -> Outcome<()> {
    let plural = call.resource.plural.as_str();
    let mut faults = Vec::new();
    for limit in limits(call) {
        match (plural, text(&limit, "/type")) {
            ("pods", "Container") => {
                for list in ["/spec/containers", "/spec/initContainers"] {
                    for container in items(object, list) {
                        let resources = container.get("resources").unwrap_or(&Value::Null);
                        judge("Container", &limit, resources, &mut faults);
                    }
                }
            }
            ("pods", "Pod") => judge("Pod", &limit, &total(object), &mut faults),
            ("persistentvolumeclaims", kind @ "PersistentVolumeClaim") => {
                let resources = object.pointer("/spec/resources").unwrap_or(&Value::Null);
                let asked =
                    json!({"requests": resources["requests"], "limits": resources["requests"]});
                judge(kind, &limit, &asked, &mut faults);
            }
            _ => {}
        }
    }
    let why = match faults.as_slice() {
        [] => return Ok(()),
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    };
    let name = text(object, "/metadata/name");
    Err(Status::forbidden(&call.resource, name, &why))
}

/// What a pod's containers ask for together.
fn total(pod: &Value) -> Value {
    let mut total = json!({"requests": {}, "limits": {}});
    for part in ["requests", "limits"] {
        for resource in ["cpu", "memory", "ephemeral-storage"] {
            if let Some(sum) = super::quota::asked(pod, part, resource) {
                total[part][resource] = json!(super::quota::shown(resource, sum));
            }
        }
    }
    total
}

/// Compares what is asked for with one limit.
fn judge(kind: &str, limit: &Value, resources: &Value, faults: &mut Vec<String>) {
    let each = |part: &str| {
        limit
            .get(part)
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
    };
    let asked = |part: &str, resource: &str| resources[part].get(resource).cloned();
    for (resource, least) in each("min") {
        let rule = format!("minimum {resource} usage per {kind} is {}", plain(least));
        match (asked("requests", resource), asked("limits", resource)) {
            (None, _) => faults.push(format!("{rule}.  No request is specified")),
            (Some(request), _) if millis(&request) < millis(least) => {
                faults.push(format!("{rule}, but request is {}", plain(&request)));
            }
            (_, Some(most)) if millis(&most) < millis(least) => {
                faults.push(format!("{rule}, but limit is {}", plain(&most)));
            }
            _ => {}
        }
    }
    for (resource, most) in each("max") {
        let rule = format!("maximum {resource} usage per {kind} is {}", plain(most));
        match (asked("limits", resource), asked("requests", resource)) {
            (None, _) => faults.push(format!("{rule}.  No limit is specified")),
            (Some(limit), _) if millis(&limit) > millis(most) => {
                faults.push(format!("{rule}, but limit is {}", plain(&limit)));
            }
            (_, Some(request)) if millis(&request) > millis(most) => {
                faults.push(format!("{rule}, but request is {}", plain(&request)));
            }
            _ => {}
        }
    }
    for (resource, most) in each("maxLimitRequestRatio") {
        let rule = format!(
            "{resource} max limit to request ratio per {kind} is {}",
            plain(most)
        );
        let request = asked("requests", resource).map_or(0, |r| millis(&r));
        let limit = asked("limits", resource).map_or(0, |l| millis(&l));
        if request == 0 {
            let why = "no request is specified or request is 0";
            faults.push(format!("{rule}, but {why}"));
        } else if limit == 0 {
            faults.push(format!("{rule}, but no limit is specified or limit is 0"));
        } else {
            let ratio = limit as f64 / request as f64;
            if ratio > millis(most) as f64 / 1000.0 {
                faults.push(format!("{rule}, but provided ratio is {ratio:.6}"));
            }
        }
    }
}

fn plain(quantity: &Value) -> String {
    quantity
        .as_str()
        .map_or_else(|| quantity.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_completes_itself() {
        let limit = json!({"type": "Container", "max": {"cpu": "2"}, "min": {"cpu": "100m", "memory": "1Mi"}});
        let mut limit = limit.as_object().unwrap().clone();
        complete(&mut limit);
        assert_eq!(limit["default"], json!({"cpu": "2"}));
        assert_eq!(
            limit["defaultRequest"],
            json!({"cpu": "2", "memory": "1Mi"})
        );
    }

    #[test]
    fn limits_say_what_is_wrong() {
        let limit = json!({
            "min": {"memory": "64Mi"}, "max": {"cpu": "500m"},
            "maxLimitRequestRatio": {"cpu": "2"},
        });
        let asked = json!({"requests": {"cpu": "100m", "memory": "32Mi"}, "limits": {"cpu": "1"}});
        let mut faults = Vec::new();
        judge("Container", &limit, &asked, &mut faults);
        assert_eq!(
            faults,
            [
                "minimum memory usage per Container is 64Mi, but request is 32Mi",
                "maximum cpu usage per Container is 500m, but limit is 1",
                "cpu max limit to request ratio per Container is 2, but provided ratio is 10.000000",
            ]
        );
        faults.clear();
        judge(
            "Pod",
            &json!({"max": {"cpu": "1"}}),
            &json!({}),
            &mut faults,
        );
        assert_eq!(
            faults,
            ["maximum cpu usage per Pod is 1.  No limit is specified"]
        );
    }
}
