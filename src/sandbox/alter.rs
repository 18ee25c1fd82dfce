//! Answers that are not true: the fault `alter`.
//!
//! It changes what a system says, not what is: the world's own controllers and
//! programs go on seeing the truth, so that whoever asks from outside sees
//! exactly one thing that is wrong. The argument is `POINTER=JSON`, a JSON
//! pointer (RFC 6901) and the value that is put there (`null` removes it);
//! `gone`; `STATUS=JSON` for another answer altogether (`null` is an empty
//! one); or `NAME=VALUE` for a sample of a page of metrics. A segment of the
//! pointer may be `*` for every element of a list, or `field:text` for those
//! whose field has that text.
//!
//! Its sibling `spoil` changes events in the sidecar, before they are written.
//!
//! The path of `--match` is an object's own: an object that comes in a list is
//! altered by the same fault.

use bytes::Bytes;
use http::{StatusCode, header};
use serde_json::{Value, json};

use super::faults::{Fault, Faults, glob_matches};
use super::http::{Body, Reply};

/// The name of the fault.
pub const KIND: &str = "alter";

/// What the fault means, for lists of faults.
pub const MEANS: &str = "what is said instead: POINTER=JSON, STATUS=JSON, NAME=VALUE or gone";

/// The fault that changes events in the sidecar.
pub const SPOIL: &str = "spoil";

/// What that one means.
pub const SPOIL_MEANS: &str = "POINTER=JSON: what an event says instead when it is published";

/// Whether an argument makes sense.
pub fn fits(arg: &str) -> bool {
    match arg.split_once('=') {
        Some((pointer, value)) if pointer.starts_with('/') => {
            serde_json::from_str::<Value>(value).is_ok()
        }
        Some((status, value)) if is_status(status) => serde_json::from_str::<Value>(value).is_ok(),
        Some((name, value)) => !name.is_empty() && value.parse::<f64>().is_ok(),
        None => arg == "gone",
    }
}

fn is_status(text: &str) -> bool {
    text.len() == 3 && text.parse().is_ok_and(|n: u16| (200..=599).contains(&n))
}

/// Spoils an event that is published by this path, as the fault plan says.
pub fn event(faults: &Faults, path: &str, event: &mut Value) {
    if faults.is_empty() {
        return;
    }
    let spoils = |fault: &&Fault| fault.kind == SPOIL && fault.concerns("dapr", "POST");
    for fault in faults.list().iter().filter(spoils) {
        let glob = fault.path.as_deref().unwrap_or("*");
        if glob_matches(glob, path) && faults.counts(fault) {
            put(event, fault.arg.as_deref().unwrap_or_default());
        }
    }
}

/// Alters a reply as the fault plan says.
pub fn reply(faults: &Faults, system: &str, method: &str, path: &str, reply: &mut Reply) {
    if faults.is_empty()
        || reply
            .who
            .as_deref()
            .is_some_and(|who| who.starts_with("system:"))
    {
        return;
    }
    for fault in faults.list().iter().filter(|fault| fault.kind == KIND) {
        if fault.concerns(system, method) {
            one(faults, fault, path, reply);
        }
    }
}

fn one(faults: &Faults, fault: &Fault, path: &str, reply: &mut Reply) {
    let Body::Full(bytes) = &reply.body else {
        return;
    };
    let glob = fault.path.as_deref().unwrap_or("*");
    let arg = fault.arg.as_deref().unwrap_or_default();
    let itself = glob_matches(glob, path);
    if let Some((status, body)) = arg.split_once('=').filter(|(status, _)| is_status(status)) {
        if itself
            && faults.counts(fault)
            && let Ok(status) = status.parse::<StatusCode>()
        {
            *reply = match body {
                "null" => Reply::empty(status),
                body => Reply::text(status, "application/json", body.to_owned()),
            };
        }
        return;
    }
    let Ok(mut value) = serde_json::from_slice::<Value>(bytes) else {
        if itself
            && reply.status.is_success()
            && let Some(page) = sample(bytes, arg)
            && faults.counts(fault)
        {
            set(reply, page.into());
        }
        return;
    };
    if let Some(items) = value.get_mut("items").and_then(Value::as_array_mut) {
        let own = |item: &Value| {
            let name = item.pointer("/metadata/name").and_then(Value::as_str);
            let path = format!("{path}/{}", name.unwrap_or_default());
            glob_matches(glob, &path)
        };
        if !items.iter().any(own) || !faults.counts(fault) {
            return;
        }
        if arg == "gone" {
            items.retain(|item| !own(item));
        } else {
            for item in items.iter_mut().filter(|item| own(item)) {
                put(item, arg);
            }
        }
    } else if itself && reply.status.is_success() && faults.counts(fault) {
        if arg == "gone" {
            reply.status = StatusCode::NOT_FOUND;
            value = json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "reason": "NotFound", "code": 404, "message": format!("{path} not found"),
            });
        } else {
            put(&mut value, arg);
        }
    } else {
        return;
    }
    set(reply, value.to_string().into());
}

fn set(reply: &mut Reply, bytes: Bytes) {
    reply.headers.remove(header::CONTENT_LENGTH);
    reply.body = Body::Full(bytes);
}

/// Puts a value at a pointer; objects on the way there are made.
fn put(value: &mut Value, arg: &str) {
    let Some((pointer, text)) = arg.split_once('=') else {
        return;
    };
    let Ok(wanted) = serde_json::from_str::<Value>(text) else {
        return;
    };
    let segments: Vec<String> = pointer
        .trim_start_matches('/')
        .split('/')
        .map(|s| s.replace("~1", "/").replace("~0", "~"))
        .collect();
    descend(value, &segments, &wanted);
}

fn descend(value: &mut Value, segments: &[String], wanted: &Value) {
    let Some((first, rest)) = segments.split_first() else {
        *value = wanted.clone();
        return;
    };
    if let Value::Array(items) = value {
        let is = |i: usize, item: &Value| match first.split_once(':') {
            Some((field, text)) => item[field] == text,
            None => first == "*" || first.parse() == Ok(i),
        };
        if rest.is_empty() && wanted.is_null() {
            let mut i = 0;
            items.retain(|item| {
                i += 1;
                !is(i - 1, item)
            });
            return;
        }
        for (i, item) in items.iter_mut().enumerate() {
            if is(i, item) {
                descend(item, rest, wanted);
            }
        }
        return;
    }
    if !value.is_object() {
        *value = json!({});
    }
    let Some(fields) = value.as_object_mut() else {
        return;
    };
    if rest.is_empty() && wanted.is_null() {
        fields.shift_remove(first);
        return;
    }
    let field = fields.entry(first.clone()).or_insert(Value::Null);
    descend(field, rest, wanted);
}

/// A page of metrics with another value for one name.
fn sample(page: &[u8], arg: &str) -> Option<String> {
    let (name, value) = arg.split_once('=')?;
    let page = std::str::from_utf8(page).ok()?;
    let mut found = false;
    let mut out = String::with_capacity(page.len());
    for line in page.lines() {
        let series = line.rsplit_once(' ').map(|(series, _)| series);
        let own = series.filter(|series| {
            let bare = series.split_once('{').map_or(*series, |(name, _)| name);
            bare == name && !series.starts_with('#')
        });
        match own {
            Some(series) => {
                found = true;
                out.push_str(series);
                out.push(' ');
                out.push_str(value);
            }
            None => out.push_str(line),
        }
        out.push('\n');
    }
    found.then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_reaches_into_lists() {
        let mut node = json!({"status": {"conditions": [
            {"type": "Ready", "status": "True"}, {"type": "DiskPressure", "status": "False"}]}});
        put(&mut node, r#"/status/conditions/type:Ready/status="False""#);
        assert_eq!(node["status"]["conditions"][0]["status"], "False");
        assert_eq!(node["status"]["conditions"][1]["status"], "False");
        put(&mut node, "/status/conditions/type:Ready=null");
        assert_eq!(node["status"]["conditions"].as_array().unwrap().len(), 1);
        put(&mut node, "/spec/unschedulable=true");
        assert_eq!(node["spec"]["unschedulable"], true);
        put(&mut node, r#"/metadata/annotations/a~1b="c""#);
        assert_eq!(node["metadata"]["annotations"]["a/b"], "c");
        put(&mut node, "/status=null");
        assert_eq!(node.get("status"), None);
    }

    #[test]
    fn a_sample_is_replaced_in_all_of_its_series() {
        let page = "# HELP x y\nx{a=\"1\"} 3\nx 4\nxy 5\n";
        assert_eq!(
            sample(page.as_bytes(), "x=9").unwrap(),
            "# HELP x y\nx{a=\"1\"} 9\nx 9\nxy 5\n"
        );
        assert_eq!(sample(page.as_bytes(), "z=9"), None);
    }

    #[test]
    fn arguments_are_checked() {
        for good in [
            "gone",
            "/a/b=1",
            "/a=null",
            "503={}",
            "204=null",
            "process_resident_memory_bytes=2e8",
        ] {
            assert!(fits(good), "{good}");
        }
        for bad in ["", "away", "/a/b", "/a=x", "=1", "name=word"] {
            assert!(!fits(bad), "{bad}");
        }
    }
}
