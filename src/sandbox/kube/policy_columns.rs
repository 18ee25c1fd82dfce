//! What tables show of kinds that steer others: autoscalers, budgets, cron
//! jobs, policies, quotas, classes, hooks.

use serde_json::{Value, json};

use super::age::age;
use super::cluster::text;

/// The columns after the name, with their types; `+` marks those for `-o wide`.
pub(super) fn columns(group: &str, plural: &str) -> &'static [(&'static str, &'static str)] {
    match (group, plural) {
        ("autoscaling", _) => &[
            ("Reference", "string"),
            ("Targets", "string"),
            ("MinPods", "string"),
            ("MaxPods", "string"),
            ("Replicas", "string"),
            ("Age", "string"),
        ],
        ("policy", _) => &[
            ("Min Available", "string"),
            ("Max Unavailable", "string"),
            ("Allowed Disruptions", "integer"),
            ("Age", "string"),
        ],
        ("batch", "cronjobs") => &[
            ("Schedule", "string"),
            ("Timezone", "string"),
            ("Suspend", "boolean"),
            ("Active", "integer"),
            ("Last Schedule", "string"),
            ("Age", "string"),
        ],
        ("", "resourcequotas") => &[
            ("Request", "string"),
            ("Limit", "string"),
            ("Age", "string"),
        ],
        ("networking.k8s.io", "networkpolicies") => {
            &[("Pod-Selector", "string"), ("Age", "string")]
        }
        ("discovery.k8s.io", _) => &[
            ("AddressType", "string"),
            ("Ports", "string"),
            ("Endpoints", "string"),
            ("Age", "string"),
        ],
        ("scheduling.k8s.io", _) => &[
            ("Value", "integer"),
            ("Global-Default", "boolean"),
            ("Age", "string"),
            ("PreemptionPolicy", "string"),
        ],
        ("admissionregistration.k8s.io", p) if p.ends_with("webhookconfigurations") => {
            &[("Webhooks", "integer"), ("Age", "string")]
        }
        _ => &[("Created At", "date")],
    }
}

/// What a column shows of an object.
pub(super) fn cell(plural: &str, column: &str, object: &Value) -> Value {
    let at = |pointer: &str| object.pointer(pointer).filter(|v| !v.is_null());
    let shown = |pointer: &str, nothing: &str| match at(pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => nothing.to_owned(),
    };
    let count = |pointer: &str| at(pointer).and_then(Value::as_array).map_or(0, Vec::len);
    match (plural, column) {
        ("horizontalpodautoscalers", "Reference") => json!(format!(
            "{}/{}",
            text(object, "/spec/scaleTargetRef/kind"),
            text(object, "/spec/scaleTargetRef/name")
        )),
        ("horizontalpodautoscalers", "Targets") => json!(targets(object)),
        ("horizontalpodautoscalers", "MinPods") => json!(shown("/spec/minReplicas", "<unset>")),
        ("horizontalpodautoscalers", "MaxPods") => json!(shown("/spec/maxReplicas", "0")),
        ("horizontalpodautoscalers", "Replicas") => json!(shown("/status/currentReplicas", "0")),
        ("poddisruptionbudgets", "Min Available") => json!(shown("/spec/minAvailable", "N/A")),
        ("poddisruptionbudgets", "Max Unavailable") => json!(shown("/spec/maxUnavailable", "N/A")),
        ("poddisruptionbudgets", _) => at("/status/disruptionsAllowed")
            .cloned()
            .unwrap_or(json!(0)),
        ("cronjobs", "Schedule") => json!(text(object, "/spec/schedule")),
        ("cronjobs", "Timezone") => json!(shown("/spec/timeZone", "<none>")),
        ("cronjobs", "Suspend") => json!(shown("/spec/suspend", "<unset>") == "true"),
        ("cronjobs", "Active") => json!(count("/status/active")),
        ("cronjobs", _) => match text(object, "/status/lastScheduleTime") {
            "" => json!("<none>"),
            time => json!(age(time)),
        },
        ("networkpolicies", _) => {
            let labels = at("/spec/podSelector/matchLabels").and_then(Value::as_object);
            let labels = labels.into_iter().flatten();
            let labels: Vec<_> = labels
                .map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default()))
                .collect();
            json!(if labels.is_empty() {
                "<none>".to_owned()
            } else {
                labels.join(",")
            })
        }
        ("resourcequotas", "Request") => json!(quotas(object, false)),
        ("resourcequotas", "Limit") => json!(quotas(object, true)),
        ("endpointslices", "AddressType") => json!(text(object, "/addressType")),
        ("endpointslices", "Ports") => json!(listed(object, "/ports", "port", "<unset>")),
        ("endpointslices", _) => json!(addresses(object)),
        ("priorityclasses", "Value") => at("/value").cloned().unwrap_or(json!(0)),
        ("priorityclasses", "Global-Default") => json!(object["globalDefault"] == true),
        ("priorityclasses", _) => json!(text(object, "/preemptionPolicy")),
        (_, "Webhooks") => json!(count("/webhooks")),
        _ => json!(""),
    }
}

/// `pods: 3/50, services: 1/20`: what is used of what a quota grants.
fn quotas(quota: &Value, limits: bool) -> String {
    let hard = quota.pointer("/status/hard").and_then(Value::as_object);
    let mut shown: Vec<_> = hard
        .into_iter()
        .flatten()
        .filter(|(name, _)| matches!(name.as_str(), "limits.cpu" | "limits.memory") == limits)
        .map(|(name, hard)| {
            let used = quota.pointer("/status/used").and_then(|u| u.get(name));
            let amount =
                |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or("0").to_owned();
            format!("{name}: {}/{}", amount(used), amount(Some(hard)))
        })
        .collect();
    shown.sort();
    shown.join(", ")
}

fn listed(object: &Value, pointer: &str, field: &str, nothing: &str) -> String {
    let items = object.pointer(pointer).and_then(Value::as_array);
    let items: Vec<_> = items
        .into_iter()
        .flatten()
        .filter_map(|item| item.get(field).map(ToString::to_string))
        .collect();
    if items.is_empty() {
        nothing.to_owned()
    } else {
        items.join(",")
    }
}

fn addresses(slice: &Value) -> String {
    let endpoints = slice.pointer("/endpoints").and_then(Value::as_array);
    let all: Vec<&str> = endpoints
        .into_iter()
        .flatten()
        .filter_map(|e| e.pointer("/addresses/0")?.as_str())
        .collect();
    match all.as_slice() {
        [] => "<unset>".to_owned(),
        few if few.len() <= 3 => few.join(","),
        [a, b, c, rest @ ..] => format!("{a},{b},{c} + {} more...", rest.len()),
        _ => String::new(),
    }
}

fn targets(autoscaler: &Value) -> String {
    let metrics = autoscaler
        .pointer("/spec/metrics")
        .and_then(Value::as_array);
    let shown: Vec<_> = metrics
        .into_iter()
        .flatten()
        .map(|metric| {
            let name = text(metric, "/resource/name");
            let wanted = metric.pointer("/resource/target/averageUtilization");
            let wanted = wanted.map_or_else(|| "<auto>".to_owned(), |n| format!("{n}%"));
            format!("{name}: <unknown>/{wanted}")
        })
        .collect();
    if shown.is_empty() {
        "<none>".to_owned()
    } else {
        shown.join(", ")
    }
}
