//! A value and where it is, with the checks that most fields need.

use serde_json::{Value, json};

use super::names;
use crate::sandbox::kube::status::Cause;

/// The detail of a number that must not be negative.
pub(super) const NOT_NEGATIVE: &str = "must be greater than or equal to 0";
/// The detail of a port.
const PORT: &str = "must be between 1 and 65535, inclusive";
/// The detail of an address.
pub(super) const IP: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
/// The detail of a network.
pub(super) const CIDR: &str = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";

static NOTHING: Value = Value::Null;

/// A value and its path.
#[derive(Debug, Clone)]
pub(super) struct At<'a> {
    /// The value; null where there is none.
    pub(super) value: &'a Value,
    /// The path, as causes state it.
    pub(super) path: String,
}

impl<'a> At<'a> {
    /// A value at a path.
    pub(super) fn new(value: &'a Value, path: impl Into<String>) -> Self {
        Self {
            value,
            path: path.into(),
        }
    }

    /// The path of a field.
    pub(super) fn place(&self, name: &str) -> String {
        if self.path.is_empty() {
            return name.to_owned();
        }
        format!("{}.{name}", self.path)
    }

    /// A field.
    pub(super) fn field(&self, name: &str) -> Self {
        Self::new(self.value.get(name).unwrap_or(&NOTHING), self.place(name))
    }

    /// Whether a field is there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.value.get(name).is_some_and(|v| !v.is_null())
    }

    /// The items of a list.
    pub(super) fn list(&self, name: &str) -> Vec<Self> {
        let items = self.value.get(name).and_then(Value::as_array);
        let items = items.into_iter().flatten().enumerate();
        items
            .map(|(n, item)| Self::new(item, format!("{}[{n}]", self.place(name))))
            .collect()
    }

    /// The entries of a map.
    pub(super) fn entries(&self, name: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
        let map = self.value.get(name).and_then(Value::as_object);
        map.into_iter().flatten()
    }

    /// A text; empty where there is none.
    pub(super) fn text(&self, name: &str) -> &'a str {
        self.value
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// A number.
    pub(super) fn number(&self, name: &str) -> Option<i64> {
        self.value.get(name).and_then(Value::as_i64)
    }

    /// A field that breaks a rule.
    pub(super) fn invalid(&self, name: &str, detail: &str) -> Cause {
        let field = self.field(name);
        Cause::invalid(field.path, field.value, detail)
    }

    /// A field that is missing.
    pub(super) fn missing(&self, name: &str, detail: &str) -> Cause {
        Cause::required(self.place(name), detail)
    }

    /// A text must be there.
    pub(super) fn required(&self, name: &str, out: &mut Vec<Cause>) -> bool {
        let there = !self.text(name).is_empty();
        if !there {
            out.push(self.missing(name, ""));
        }
        there
    }

    /// A text that is there must be one of these.
    pub(super) fn one_of(&self, name: &str, known: &[&str], out: &mut Vec<Cause>) {
        if self.has(name) && !known.contains(&self.text(name)) {
            let field = self.field(name);
            out.push(Cause::unsupported(field.path, field.value, known));
        }
    }

    /// A number that is there must not be less.
    pub(super) fn at_least(&self, name: &str, least: i64, out: &mut Vec<Cause>) {
        if self.number(name).is_some_and(|n| n < least) {
            let detail = format!("must be greater than or equal to {least}");
            out.push(self.invalid(name, &detail));
        }
    }

    /// A port that is there must be one; it may have a name where `named`.
    pub(super) fn port(&self, name: &str, named: bool, out: &mut Vec<Cause>) {
        let field = self.field(name);
        match field.value {
            Value::String(text) if named => {
                for wrong in names::port(text) {
                    out.push(Cause::invalid(&field.path, field.value, wrong));
                }
            }
            Value::Null => {}
            value if value.as_i64().is_some_and(|n| (1..=65535).contains(&n)) => {}
            value => out.push(Cause::invalid(&field.path, value, PORT)),
        }
    }

    /// A text that is there must keep a rule.
    pub(super) fn named(&self, name: &str, rule: fn(&str) -> Option<String>, out: &mut Vec<Cause>) {
        if !self.has(name) {
            return;
        }
        if let Some(wrong) = rule(self.text(name)) {
            out.push(self.invalid(name, &wrong));
        }
    }

    /// A number or percentage that is there.
    pub(super) fn share(&self, name: &str, out: &mut Vec<Cause>) {
        match self.field(name).value {
            Value::String(text) => {
                let percent = text.strip_suffix('%').filter(|n| !n.is_empty());
                let percent = percent.and_then(|n| n.parse::<u32>().ok());
                match percent {
                    None => out.push(self.invalid(name, "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')")),
                    Some(101..) => out.push(self.invalid(name, "must not be greater than 100%")),
                    Some(_) => {}
                }
            }
            _ => self.at_least(name, 0, out),
        }
    }
}

/// The rules of a label selector.
pub(super) fn selector(at: &At<'_>, out: &mut Vec<Cause>) {
    for (key, value) in at.entries("matchLabels") {
        let place = at.place("matchLabels");
        if let Some(wrong) = names::qualified(key) {
            out.push(Cause::invalid(&place, &json!(key), &wrong));
        }
        if let Some(wrong) = names::label_value(value.as_str().unwrap_or_default()) {
            out.push(Cause::invalid(&place, value, &wrong));
        }
    }
    for expression in at.list("matchExpressions") {
        let values = expression.list("values");
        match expression.text("operator") {
            "In" | "NotIn" if values.is_empty() => {
                let detail = "must be specified when `operator` is 'In' or 'NotIn'";
                out.push(expression.missing("values", detail));
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                out.push(Cause::forbidden(expression.place("values"), detail));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            _ => out.push(expression.invalid("operator", "not a valid selector operator")),
        }
        let key = expression.field("key");
        for wrong in names::all_of_qualified(expression.text("key")) {
            let shown = json!(expression.text("key"));
            out.push(Cause::invalid(&key.path, &shown, &wrong));
        }
    }
}

/// Whether a selector has no broken rule about its operators.
pub(super) fn is_selector(at: &At<'_>) -> bool {
    let mut causes = Vec::new();
    selector(at, &mut causes);
    causes.is_empty()
}

/// Reads `address/length`; none when it is no network.
pub(super) fn network(text: &str) -> Option<(std::net::IpAddr, u8)> {
    let (address, length) = text.split_once('/')?;
    let address: std::net::IpAddr = address.parse().ok()?;
    let length = length.parse().ok()?;
    let limit = if address.is_ipv4() { 32 } else { 128 };
    (length <= limit).then_some((address, length))
}
