//! Config maps, secrets, bindings; and quantities.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::names;
use crate::sandbox::kube::cluster::text;
use crate::sandbox::kube::status::Cause;

/// Config maps and secrets may not hold more.
const LIMIT: usize = 1024 * 1024;

fn entries<'a>(object: &'a Value, field: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    object
        .get(field)
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
}

fn keys(object: &Value, field: &str, out: &mut Vec<Cause>) {
    for (key, _) in entries(object, field) {
        if let Some(wrong) = names::config_key(key) {
            out.push(Cause::invalid(
                format!("{field}[{key}]"),
                &json!(key),
                &wrong,
            ));
        }
    }
}

/// What is immutable stays as it is.
fn immutable(old: Option<&Value>, new: &Value, fields: &[&str], out: &mut Vec<Cause>) {
    let Some(old) = old.filter(|o| o["immutable"] == true) else {
        return;
    };
    let detail = "field is immutable when `immutable` is set";
    if new["immutable"] != true {
        out.push(Cause::forbidden("immutable", detail));
    }
    for field in fields {
        if old.get(field) != new.get(field) {
            out.push(Cause::forbidden(*field, detail));
        }
    }
}

pub(super) fn config_map(old: Option<&Value>, new: &Value, out: &mut Vec<Cause>) {
    keys(new, "data", out);
    keys(new, "binaryData", out);
    let size: usize = entries(new, "data")
        .chain(entries(new, "binaryData"))
        .map(|(_, v)| v.as_str().map_or(0, str::len))
        .sum();
    if size > LIMIT {
        out.push(Cause::too_long("[]", LIMIT));
    }
    for (key, _) in entries(new, "data") {
        if entries(new, "binaryData").any(|(other, _)| other == key) {
            let detail = "duplicate of key present in binaryData";
            out.push(Cause::invalid(format!("data[{key}]"), &json!(key), detail));
        }
    }
    immutable(old, new, &["data", "binaryData"], out);
}

pub(super) fn secret(old: Option<&Value>, new: &Value, out: &mut Vec<Cause>) {
    keys(new, "data", out);
    let size: usize = entries(new, "data")
        .map(|(_, v)| v.as_str().map_or(0, |s| s.len() / 4 * 3))
        .sum();
    if size > LIMIT {
        out.push(Cause::too_long("data", LIMIT));
    }
    kind_of_secret(new, out);
    if let Some(old) = old
        && old.get("type") != new.get("type")
    {
        out.push(Cause::invalid("type", &new["type"], "field is immutable"));
    }
    immutable(old, new, &["data"], out);
}

/// What secrets of the known types hold.
fn kind_of_secret(new: &Value, out: &mut Vec<Cause>) {
    let kind = text(new, "/type");
    let has = |key: &str| entries(new, "data").any(|(k, _)| k == key);
    let required: &[&str] = match kind {
        "kubernetes.io/tls" => &["tls.crt", "tls.key"],
        "kubernetes.io/dockerconfigjson" => &[".dockerconfigjson"],
        "kubernetes.io/dockercfg" => &[".dockercfg"],
        "kubernetes.io/ssh-auth" => &["ssh-privatekey"],
        "kubernetes.io/basic-auth" if !has("username") && !has("password") => {
            &["username", "password"]
        }
        _ => &[],
    };
    for key in required {
        let empty = kind == "kubernetes.io/ssh-auth" && new["data"][*key] == "";
        if !has(key) || empty {
            out.push(Cause::required(format!("data[{key}]"), ""));
        }
    }
    let account = "kubernetes.io/service-account.name";
    let annotations = new.pointer("/metadata/annotations");
    let named = annotations.and_then(|a| a.get(account)).is_some();
    if kind == "kubernetes.io/service-account-token" && !named {
        out.push(Cause::required(
            format!("metadata.annotations[{account}]"),
            "",
        ));
    }
    let json_key = match kind {
        "kubernetes.io/dockerconfigjson" => ".dockerconfigjson",
        "kubernetes.io/dockercfg" => ".dockercfg",
        _ => return,
    };
    let Some(config) = new["data"][json_key].as_str() else {
        return;
    };
    let bytes = STANDARD.decode(config).unwrap_or_default();
    if serde_json::from_slice::<Value>(&bytes).is_err() {
        let why = match bytes.first() {
            None => "unexpected end of JSON input".to_owned(),
            Some(first) => format!(
                "invalid character '{}' looking for beginning of value",
                char::from(*first)
            ),
        };
        let message = format!("Invalid value: \"<secret contents redacted>\": {why}");
        let field = format!("data[{json_key}]");
        out.push(Cause::new("FieldValueInvalid", message, field));
    }
}

/// A quantity as a number; none when it is none.
pub fn quantity(text: &str) -> Option<f64> {
    let split = text
        .find(|c: char| !(c.is_ascii_digit() || ".+-".contains(c)))
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at_checked(split)?;
    let factor = match suffix {
        "" => 1.0,
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1024.0,
        "Mi" => 1024_f64.powi(2),
        "Gi" => 1024_f64.powi(3),
        "Ti" => 1024_f64.powi(4),
        "Pi" => 1024_f64.powi(5),
        "Ei" => 1024_f64.powi(6),
        exponent => {
            let exponent = exponent.strip_prefix(['e', 'E'])?;
            10_f64.powi(exponent.parse().ok()?)
        }
    };
    Some(number.parse::<f64>().ok()? * factor)
}

#[cfg(test)]
mod tests {
    use super::quantity;

    #[test]
    fn quantities_are_numbers_with_units() {
        let cases = [
            ("100m", Some(0.1)),
            ("1Gi", Some(1_073_741_824.0)),
            ("1.5", Some(1.5)),
            ("2e3", Some(2000.0)),
            ("x", None),
            ("1x", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(quantity(text), expected, "{text}");
        }
    }
}
