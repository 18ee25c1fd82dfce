//! Go's `fmt` and `strconv`: how values become text.
//!
//! Specified by the package documentation of `fmt`; mismatches of verb and
//! value print marks such as `%!d(string=x)` and are never errors.

mod float;
mod printf;
mod quote;

pub use float::{float_e, float_f, float_g, float_json, float32_g};
pub use printf::sprintf;
pub use quote::{is_printable, quote, quote_into, quote_rune};

use super::gotime;
use super::object::Object;
use super::value::{MAX_DEPTH, Value};

/// `fmt.Sprint` of one value: what a template action prints.
pub fn sprint_value(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    write_value(&mut out, value);
    out
}

/// Appends `fmt.Sprint` of one value.
pub fn write_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Str(s) => out.extend_from_slice(s),
        other => printf::write_plain(out, other),
    }
}

/// `fmt.Sprint`: a blank between two operands when neither is a string.
pub fn sprint(values: &[Value]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut last_is_string = true;
    for (i, value) in values.iter().enumerate() {
        let is_string = matches!(value, Value::Str(_));
        if i > 0 && !is_string && !last_is_string {
            out.push(b' ');
        }
        write_value(&mut out, value);
        last_is_string = is_string;
    }
    out
}

/// `fmt.Sprintln`: blanks between all operands and a newline.
pub fn sprintln(values: &[Value]) -> Vec<u8> {
    let mut out = Vec::new();
    for (i, value) in values.iter().enumerate() {
        if i > 0 {
            out.push(b' ');
        }
        write_value(&mut out, value);
    }
    out.push(b'\n');
    out
}

/// The text of an object that has a `String` method.
fn stringer(object: &Object) -> Option<String> {
    match object {
        Object::Time(time) => Some(time.to_go_string()),
        Object::Duration(nanos) => Some(gotime::duration_text(*nanos)),
        Object::Month(month) => Some(gotime::month_name(*month)),
        Object::Weekday(day) => Some(gotime::weekday_name(*day)),
        Object::Semver(version) => Some(version.to_text()),
        Object::Certificate(_)
        | Object::Capabilities(_)
        | Object::KubeVersion(_)
        | Object::HelmVersion(_) => None,
    }
}

/// The fields of a struct in their order, as `%v` prints them.
fn fields(object: &Object) -> Vec<(&'static str, Value)> {
    match object {
        Object::Certificate(pair) => vec![
            ("Cert", Value::str(&pair.cert)),
            ("Key", Value::str(&pair.key)),
        ],
        Object::Capabilities(caps) => vec![
            (
                "KubeVersion",
                Value::Obj(Object::KubeVersion(caps.kube_version.clone())),
            ),
            ("APIVersions", caps.api_version_list()),
            (
                "HelmVersion",
                Value::Obj(Object::HelmVersion(caps.helm_version.clone())),
            ),
        ],
        Object::KubeVersion(v) => vec![
            ("Version", Value::str(&v.version)),
            ("normalizedVersion", Value::str(&v.normalized)),
            ("Major", Value::str(&v.major)),
            ("Minor", Value::str(&v.minor)),
        ],
        Object::HelmVersion(v) => vec![
            ("Version", Value::str(&v.version)),
            ("GitCommit", Value::str(&v.git_commit)),
            ("GitTreeState", Value::str(&v.git_tree_state)),
            ("GoVersion", Value::str(&v.go_version)),
            ("KubeClientVersion", Value::str(&v.kube_client_version)),
        ],
        _ => Vec::new(),
    }
}

/// Whether a walk at this depth must stop.
fn too_deep(depth: usize) -> bool {
    depth > MAX_DEPTH
}

#[cfg(test)]
mod tests;
