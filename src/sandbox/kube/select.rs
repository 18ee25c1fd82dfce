//! Label and field selectors.

use serde_json::Value;

use super::catalog::Resource;
use super::cluster::text;
use super::status::{Outcome, Status};

/// What a list, watch or deletecollection is about.
#[derive(Debug, Clone, Default)]
pub struct Selector {
    labels: Vec<Requirement>,
    fields: Vec<(String, bool, String)>,
}

#[derive(Debug, Clone, PartialEq)]
enum Requirement {
    Exists(String),
    Missing(String),
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Greater(String, i64),
    Less(String, i64),
}

impl Selector {
    /// Reads both query parameters.
    pub fn parse(resource: &Resource, labels: &str, fields: &str) -> Outcome<Self> {
        Ok(Self {
            labels: parse_labels(labels)?,
            fields: parse_fields(resource, labels, fields)?,
        })
    }

    /// Reads a label selector as objects have it, with `matchLabels` and
    /// `matchExpressions`; none selects everything.
    pub fn of_labels(selector: Option<&Value>) -> Self {
        let part = |name: &str| selector.and_then(|s| s.get(name));
        let equal = part("matchLabels").and_then(Value::as_object);
        let equal = equal.into_iter().flatten().map(|(key, value)| {
            let value = value.as_str().unwrap_or_default().to_owned();
            Requirement::In(key.clone(), vec![value])
        });
        let expressions = part("matchExpressions").and_then(Value::as_array);
        let expressions = expressions.into_iter().flatten().map(|expression| {
            let key = text(expression, "/key").to_owned();
            let values = expression.get("values").and_then(Value::as_array);
            let values = values.into_iter().flatten();
            let values = values
                .filter_map(|v| v.as_str().map(str::to_owned))
                .collect();
            match text(expression, "/operator") {
                "In" => Requirement::In(key, values),
                "NotIn" => Requirement::NotIn(key, values),
                "Exists" => Requirement::Exists(key),
                _ => Requirement::Missing(key),
            }
        });
        Self {
            labels: equal.chain(expressions).collect(),
            fields: Vec::new(),
        }
    }

    /// Whether everything is selected.
    pub fn is_everything(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// The name that objects must have, if the selector says so.
    pub fn exact_name(&self) -> Option<&str> {
        self.fields
            .iter()
            .find(|(field, equal, _)| field == "metadata.name" && *equal)
            .map(|(_, _, name)| name.as_str())
    }

    /// Whether an object is selected.
    pub fn matches(&self, object: &Value) -> bool {
        let labels = object.pointer("/metadata/labels");
        self.labels.iter().all(|r| r.holds(labels))
            && self.fields.iter().all(|(field, equal, wanted)| {
                let pointer = format!("/{}", field.replace('.', "/"));
                let value = match object.pointer(&pointer) {
                    Some(Value::String(s)) => s.clone(),
                    Some(Value::Null) | None => default_of(field).to_owned(),
                    Some(other) => other.to_string(),
                };
                (value == *wanted) == *equal
            })
    }
}

/// What an absent field compares as.
fn default_of(field: &str) -> &'static str {
    match field {
        "spec.unschedulable" => "false",
        _ => "",
    }
}

impl Requirement {
    fn holds(&self, labels: Option<&Value>) -> bool {
        let value = |key: &str| labels.and_then(|l| l.get(key)).and_then(Value::as_str);
        let number = |key: &str| value(key).and_then(|v| v.parse::<i64>().ok());
        match self {
            Self::Exists(key) => value(key).is_some(),
            Self::Missing(key) => value(key).is_none(),
            Self::In(key, set) => value(key).is_some_and(|v| set.iter().any(|s| s == v)),
            Self::NotIn(key, set) => value(key).is_none_or(|v| set.iter().all(|s| s != v)),
            Self::Greater(key, than) => number(key).is_some_and(|v| v > *than),
            Self::Less(key, than) => number(key).is_some_and(|v| v < *than),
        }
    }
}

/// Reads a label selector: `a=b,c!=d,e in (f,g),h,!i`.
fn parse_labels(text: &str) -> Outcome<Vec<Requirement>> {
    split_outside_brackets(text)
        .into_iter()
        .map(|part| {
            parse_requirement(part).ok_or_else(|| {
                Status::bad_request(format!(
                    "unable to parse requirement: found '{part}', expected a requirement"
                ))
            })
        })
        .collect()
}

fn split_outside_brackets(text: &str) -> Vec<&str> {
    let mut depth = 0_i32;
    text.split(move |c: char| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    })
    .map(str::trim)
    .filter(|part| !part.is_empty())
    .collect()
}

fn parse_requirement(part: &str) -> Option<Requirement> {
    if let Some(key) = part.strip_prefix('!') {
        return Some(Requirement::Missing(label_key(key)?));
    }
    if let Some((head, set)) = part.split_once('(') {
        let set: Vec<_> = set
            .strip_suffix(')')?
            .split(',')
            .map(|v| v.trim().to_owned())
            .collect();
        let mut words = head.split_whitespace();
        let key = label_key(words.next()?)?;
        return match words.next()? {
            "in" => Some(Requirement::In(key, set)),
            "notin" => Some(Requirement::NotIn(key, set)),
            _ => None,
        };
    }
    for (operator, unequal) in [("!=", true), ("==", false), ("=", false)] {
        if let Some((key, value)) = part.split_once(operator) {
            let key = label_key(key)?;
            let values = vec![value.trim().to_owned()];
            return Some(if unequal {
                Requirement::NotIn(key, values)
            } else {
                Requirement::In(key, values)
            });
        }
    }
    if let Some((key, value)) = part.split_once('>') {
        return Some(Requirement::Greater(
            label_key(key)?,
            value.trim().parse().ok()?,
        ));
    }
    if let Some((key, value)) = part.split_once('<') {
        return Some(Requirement::Less(
            label_key(key)?,
            value.trim().parse().ok()?,
        ));
    }
    Some(Requirement::Exists(label_key(part)?))
}

fn label_key(text: &str) -> Option<String> {
    let key = text.trim();
    let fine = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    (!key.is_empty() && key.chars().all(fine)).then(|| key.to_owned())
}

fn parse_fields(
    resource: &Resource,
    labels: &str,
    text: &str,
) -> Outcome<Vec<(String, bool, String)>> {
    let mut fields = Vec::new();
    for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
        let found = [("!=", false), ("==", true), ("=", true)]
            .into_iter()
            .find_map(|(operator, equal)| {
                let (field, value) = part.split_once(operator)?;
                Some((field.trim().to_owned(), equal, value.trim().to_owned()))
            });
        let Some(found) = found else {
            return Err(Status::bad_request(format!(
                "invalid field selector: \"{part}\"; can't understand '{part}'"
            )));
        };
        if !selectable(resource, &found.0) {
            return Err(unselectable(resource, labels, text, &found.0));
        }
        fields.push(found);
    }
    Ok(fields)
}

/// The refusal of a field that objects cannot be selected by.
fn unselectable(resource: &Resource, labels: &str, fields: &str, field: &str) -> Box<Status> {
    if !special(resource).is_empty() {
        return Status::bad_request(format!("field label not supported: {field}"));
    }
    let scope = if resource.namespaced {
        "only \"metadata.name\", \"metadata.namespace\""
    } else {
        "only \"metadata.name\""
    };
    Status::bad_request(format!(
        "Unable to find \"{}/{}, Resource={}\" that match label selector {labels:?}, field selector {fields:?}: {field:?} is not a known field selector: {scope}",
        resource.group, resource.version, resource.plural
    ))
}

/// The fields that objects of a kind can be selected by, besides their names.
fn special(resource: &Resource) -> &'static [&'static str] {
    match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "pods") => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ],
        ("", "nodes") => &["spec.unschedulable"],
        ("", "namespaces") => &["status.phase"],
        ("", "secrets") => &["type"],
        ("", "services") => &["spec.clusterIP", "spec.type"],
        ("apps", "replicasets") => &["status.replicas"],
        ("batch", "jobs") => &["status.successful"],
        ("" | "events.k8s.io", "events") => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
            "regarding.kind",
            "regarding.namespace",
            "regarding.name",
            "regarding.uid",
        ],
        _ => &[],
    }
}

/// Whether objects can be selected by this field.
fn selectable(resource: &Resource, field: &str) -> bool {
    let own = special(resource);
    let custom = resource.custom.as_ref().map(|c| &c.selectable);
    field == "metadata.name"
        || (field == "metadata.namespace" && resource.namespaced)
        || own.contains(&field)
        || custom.is_some_and(|s| s.iter().any(|f| f == field))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn label_selectors_select() {
        let object = json!({"metadata": {"labels": {"app": "todo", "tier": "web", "n": "5"}}});
        let cases = [
            ("app=todo", true),
            ("app==todo,tier!=db", true),
            ("app in (a, todo),tier notin (db)", true),
            ("app,!gone", true),
            ("!app", false),
            ("gone!=x", true),
            ("gone notin (x)", true),
            ("gone in (x)", false),
            ("n>4,n<6", true),
            ("n>5", false),
        ];
        for (text, expected) in cases {
            let selector = Selector {
                labels: parse_labels(text).unwrap(),
                fields: Vec::new(),
            };
            assert_eq!(selector.matches(&object), expected, "{text}");
        }
        assert!(parse_labels("a in b").is_err());
    }
}
