//! A field of a profile that holds a secret, or says where to get it.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::secret::{REDACTED, Secret};

/// A secret field as the profile has it: a template such as
/// `${env:DATABASE_URL}` until [`resolve`](super::resolve) puts the secret in
/// its place.
///
/// The template prints when it consists of references and nothing else; a
/// value written out prints as [`REDACTED`].
#[derive(Clone)]
pub struct SecretText(State);

#[derive(Clone)]
enum State {
    Template(Secret),
    Resolved { template: Secret, value: Secret },
}

impl SecretText {
    /// A field with this text in the profile.
    pub fn template(text: impl Into<String>) -> Self {
        Self(State::Template(Secret::new(text)))
    }

    /// A value that was looked up elsewhere.
    pub fn resolved(value: Secret) -> Self {
        Self(State::Resolved {
            template: value.clone(),
            value,
        })
    }

    /// The secret, once resolved.
    pub fn secret(&self) -> Option<&Secret> {
        match &self.0 {
            State::Template(_) => None,
            State::Resolved { value, .. } => Some(value),
        }
    }

    /// The text in the profile.
    pub(super) fn text(&self) -> &Secret {
        match &self.0 {
            State::Template(template) | State::Resolved { template, .. } => template,
        }
    }

    pub(super) fn set(&mut self, value: Secret) {
        let template = self.text().clone();
        self.0 = State::Resolved { template, value };
    }

    /// Whether the profile holds the value itself, or a part of it.
    pub fn is_literal(&self) -> bool {
        !only_references(self.text().expose())
    }
}

/// Whether a template is made of references only, so that it may be shown.
fn only_references(template: &str) -> bool {
    let mut rest = template;
    while let Some(inner) = rest.strip_prefix("${") {
        let Some((_, after)) = inner.split_once('}') else {
            return false;
        };
        rest = after;
    }
    rest.is_empty() && !template.is_empty()
}

impl fmt::Display for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_literal() {
            REDACTED
        } else {
            self.text().expose()
        })
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretText({self})")
    }
}

impl PartialEq for SecretText {
    fn eq(&self, other: &Self) -> bool {
        self.text().expose() == other.text().expose()
            && self.secret().map(Secret::expose) == other.secret().map(Secret::expose)
    }
}

impl Serialize for SecretText {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Secret::deserialize(d).map(|text| Self(State::Template(text)))
    }
}

impl JsonSchema for SecretText {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SecretText".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        // `writeOnly` is how the loader knows secret fields.
        schemars::json_schema!({"type": "string", "writeOnly": true})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pure_references_are_shown() {
        for (template, shown) in [
            ("${env:DATABASE_URL}", "${env:DATABASE_URL}"),
            ("${env:A}${file:b}", "${env:A}${file:b}"),
            ("postgres://me:hunter2@${env:HOST}", REDACTED),
            ("hunter2", REDACTED),
            ("", REDACTED),
        ] {
            let field = SecretText::template(template);
            assert_eq!(field.to_string(), shown);
            assert_eq!(serde_json::to_value(&field).unwrap(), shown);
            assert_eq!(format!("{field:?}"), format!("SecretText({shown})"));
        }
    }
}
