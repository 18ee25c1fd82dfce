//! One step's change and its field-level difference.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What happens to a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// It is as it should be.
    None,
    /// It does not exist yet.
    Create,
    /// It exists and is changed in place.
    Update,
    /// It exists, cannot be changed in place, and is made anew.
    Replace,
    /// It exists and is no longer wanted.
    Delete,
}

impl Action {
    /// The mark in front of a planned step.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::None => " ",
            Self::Create => "+",
            Self::Update => "~",
            Self::Replace => "±",
            Self::Delete => "-",
        }
    }

    /// The verb of a finished step.
    pub fn done(self) -> &'static str {
        match self {
            Self::None => "unchanged",
            Self::Create => "created",
            Self::Update => "updated",
            Self::Replace => "replaced",
            Self::Delete => "deleted",
        }
    }
}

/// The value that a field will have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Planned {
    /// This one.
    Value(Value),
    /// One that the far side decides.
    KnownAfterApply,
    /// A secret one, known by its fingerprint.
    Secret(String),
}

/// One field that changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FieldChange {
    /// Dotted path inside the thing.
    pub path: String,
    /// The value now; none when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Planned>,
    /// The value then; none when the field goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Planned>,
}

/// What happens to one step's thing, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// What happens.
    pub action: Action,
    /// The fields that change, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldChange>,
    /// Why, where the fields do not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Change {
    /// Nothing happens.
    pub fn none() -> Self {
        Self {
            action: Action::None,
            fields: Vec::new(),
            reason: None,
        }
    }

    /// Something appears with these values. Objects and lists of objects are
    /// shown leaf by leaf.
    pub fn create(after: &Value) -> Self {
        let mut fields = Vec::new();
        diff(&Value::Null, after, &mut fields);
        Self {
            action: Action::Create,
            fields,
            reason: None,
        }
    }

    /// Something changes from one value to another; nothing when they are
    /// equal.
    pub fn update(before: &Value, after: &Value) -> Self {
        let mut fields = Vec::new();
        diff(before, after, &mut fields);
        let action = if fields.is_empty() {
            Action::None
        } else {
            Action::Update
        };
        Self {
            action,
            fields,
            reason: None,
        }
    }

    /// Something is no longer wanted.
    pub fn delete(reason: impl Into<String>) -> Self {
        Self {
            action: Action::Delete,
            fields: Vec::new(),
            reason: Some(reason.into()),
        }
    }

    /// Something has to be made anew.
    pub fn replace(reason: impl Into<String>) -> Self {
        Self {
            action: Action::Replace,
            fields: Vec::new(),
            reason: Some(reason.into()),
        }
    }

    /// The same change with a reason.
    #[must_use]
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// The same change with a field that only the far side can fill.
    #[must_use]
    pub fn then_known(mut self, path: &str) -> Self {
        let after = Some(Planned::KnownAfterApply);
        self.fields.push(FieldChange {
            path: path.to_owned(),
            before: None,
            after,
        });
        self
    }
}

/// Collects the leaves in which two values differ. Lists are compared whole:
/// their order means something wherever todoctl compares one.
pub fn diff(before: &Value, after: &Value, fields: &mut Vec<FieldChange>) {
    walk(String::new(), before, after, fields);
}

fn walk(path: String, before: &Value, after: &Value, fields: &mut Vec<FieldChange>) {
    let join = |key: &str| {
        if path.is_empty() {
            key.to_owned()
        } else {
            format!("{path}.{key}")
        }
    };
    match (before, after) {
        (Value::Object(old), Value::Object(new)) => {
            for (key, value) in old {
                walk(
                    join(key),
                    value,
                    new.get(key).unwrap_or(&Value::Null),
                    fields,
                );
            }
            for (key, value) in new.iter().filter(|(key, _)| !old.contains_key(*key)) {
                walk(join(key), &Value::Null, value, fields);
            }
        }
        (Value::Null, Value::Object(new)) if !new.is_empty() => {
            for (key, value) in new {
                walk(join(key), &Value::Null, value, fields);
            }
        }
        _ if before == after => {}
        (Value::Null, Value::Object(_)) if path.is_empty() => {}
        _ => {
            let known = |v: &Value| (!v.is_null()).then(|| Planned::Value(v.clone()));
            fields.push(FieldChange {
                path,
                before: known(before),
                after: known(after),
            });
        }
    }
}

/// A value on one line, cut to `width` characters.
pub fn shorten(value: &Value, width: usize) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if text.chars().count() <= width {
        return text;
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{kept}…")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn equal_values_are_no_change() {
        let value = json!({"a": [1, 2], "b": {"c": null}});
        assert_eq!(Change::update(&value, &value), Change::none());
    }

    #[test]
    fn a_difference_names_its_path_and_both_values() {
        let change = Change::update(
            &json!({"name": "a", "tags": {"x": "1", "gone": "2"}}),
            &json!({"name": "a", "tags": {"x": "3", "new": "4"}}),
        );
        assert_eq!(change.action, Action::Update);
        let paths: Vec<_> = change.fields.iter().map(|f| f.path.as_str()).collect();
        assert_eq!(paths, ["tags.x", "tags.gone", "tags.new"]);
        assert_eq!(change.fields[1].after, None);
        assert_eq!(change.fields[2].before, None);
    }

    #[test]
    fn long_values_are_cut() {
        assert_eq!(shorten(&json!("abcdef"), 4), "abc…");
    }
}
