//! Names: newtypes that can only hold a valid name, so that nothing below
//! checks one twice.
//!
//! Each type parses ([`FromStr`]), prints ([`Display`](std::fmt::Display)),
//! and reads and writes as a plain string. The error of a bad name says the
//! rule that it breaks. In a JSON Schema each type carries a `format` of its
//! own, and [`check_format`] applies the rule to a text by that format.

use std::fmt;
use std::str::FromStr;

/// A text that is not the name it should be, and the rule that says so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a valid {what}: {rule}")]
pub struct NameError {
    what: &'static str,
    rule: &'static str,
    text: String,
}

impl NameError {
    /// An error for `text`, which should have been a `what` and breaks `rule`.
    pub fn new(what: &'static str, rule: &'static str, text: &str) -> Self {
        Self {
            what,
            rule,
            text: text.to_owned(),
        }
    }

    /// The rule alone, as a fragment for a hint.
    pub fn rule(&self) -> &'static str {
        self.rule
    }
}

/// Gives a type that has `FromStr` and `Display` the string form in serde and
/// the JSON Schema: `text_form!(Type, "format", "rule")`.
macro_rules! text_form {
    ($type:ty, $format:literal, $rule:expr) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                <String as serde::Deserialize>::deserialize(d)?
                    .parse()
                    .map_err(serde::de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({"type": "string", "format": $format, "description": $rule})
            }
        }
    };
}
pub(crate) use text_form;

macro_rules! names {
    ($($(#[$doc:meta])* $type:ident: $what:literal, $format:literal, $rule:literal, $valid:expr;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
            pub struct $type(String);

            impl $type {
                /// The rule that every value of this type obeys.
                pub const RULE: &'static str = $rule;

                /// The name as a plain string.
                pub fn as_str(&self) -> &str {
                    &self.0
                }
            }

            impl FromStr for $type {
                type Err = NameError;

                fn from_str(text: &str) -> Result<Self, NameError> {
                    let valid: fn(&str) -> bool = $valid;
                    if valid(text) {
                        Ok(Self(text.to_owned()))
                    } else {
                        Err(NameError::new($what, $rule, text))
                    }
                }
            }

            impl fmt::Display for $type {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str(&self.0)
                }
            }

            impl AsRef<str> for $type {
                fn as_ref(&self) -> &str {
                    &self.0
                }
            }

            text_form!($type, $format, $rule);
        )*

        /// Applies the rule of a name type, found by the `format` that the type
        /// has in the JSON Schema. Other formats are not ours to judge.
        pub fn check_format(format: &str, text: &str) -> Result<(), NameError> {
            match format {
                $($format => text.parse::<$type>().map(drop),)*
                _ => Ok(()),
            }
        }
    };
}

names! {
    /// The name of one deployment. It becomes part of the names of cloud
    /// resources, hence shorter than a DNS label may be.
    DeploymentName: "deployment name", "deployment-name",
        "lower-case letters, digits and `-`, first a letter, last no `-`, at most 30 characters",
        |t| t.len() <= 30 && dns_label(t) && starts_with_letter(t);
    /// The stable identity of a step: `phase/name`.
    StepId: "step", "step-id",
        "`phase/name`, both lower-case letters, digits and `-`, for instance `network/vcn`",
        |t| t.split_once('/').is_some_and(|(phase, name)| {
            dns_label(phase) && name.split('/').all(dns_label)
        });
    /// An Oracle Cloud identifier.
    Ocid: "OCID", "ocid",
        "`ocid1.TYPE.REALM.[REGION].UNIQUE`, for instance `ocid1.vcn.oc1.eu-frankfurt-1.aaaa`",
        ocid;
    /// A Kubernetes namespace.
    Namespace: "namespace", "namespace",
        "lower-case letters, digits and `-`, first and last no `-`, at most 63 characters",
        dns_label;
    /// A Kafka topic.
    Topic: "topic", "kafka-topic",
        "letters, digits, `.`, `_` and `-`, 1 to 249 characters, not `.` or `..`",
        |t| {
            (1..=249).contains(&t.len())
                && !matches!(t, "." | "..")
                && t.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
    /// A service of the app: the name of its Deployment and Service.
    ServiceName: "service name", "service-name",
        "lower-case letters, digits and `-`, first a letter, last no `-`, at most 63 characters",
        |t| dns_label(t) && starts_with_letter(t);
    /// A key of the app's Kubernetes secret.
    SecretName: "secret name", "secret-name",
        "letters, digits, `-`, `_` and `.`, 1 to 253 characters",
        |t| {
            (1..=253).contains(&t.len())
                && !t.starts_with('.')
                && t.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
    /// The name of an environment variable.
    EnvName: "environment variable", "env-name",
        "letters, digits and `_`, first no digit",
        |t| {
            !t.is_empty()
                && !t.starts_with(|c: char| c.is_ascii_digit())
                && t.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        };
    /// The name of a Helm release.
    ReleaseName: "release name", "release-name",
        "lower-case letters, digits and `-`, first and last no `-`, at most 53 characters",
        |t| t.len() <= 53 && dns_label(t);
    /// The name of a Kubernetes object, such as a Dapr component.
    ObjectName: "object name", "object-name",
        "lower-case letters, digits, `-` and `.`, first and last a letter or digit, at most 253 characters",
        |t| t.len() <= 253 && t.split('.').all(dns_label);
}

fn dns_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn starts_with_letter(text: &str) -> bool {
    text.bytes().next().is_some_and(|b| b.is_ascii_lowercase())
}

/// `ocid1.TYPE.REALM.[REGION][.FUTURE].UNIQUE`; the region is empty for
/// tenancy-wide resources.
fn ocid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    let word = |part: &str| {
        part.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    parts.len() >= 5
        && parts.first() == Some(&"ocid1")
        && parts.iter().all(|part| word(part))
        && [1, 2, parts.len() - 1]
            .iter()
            .all(|&i| parts.get(i).is_some_and(|part| !part.is_empty()))
}

/// The candidate that `text` was probably meant to be, if one is near.
pub fn nearest<'a>(text: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (text.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| (edit_distance(text, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= limit || is_part_of(text, candidate))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Whether one is the other with something added, as `cpu` and `cpus`.
fn is_part_of(text: &str, candidate: &str) -> bool {
    text.len() >= 3
        && (candidate.contains(text) || text.contains(candidate) && candidate.len() >= 3)
}

/// Insertions, deletions, replacements and swaps of neighbours that lead from
/// one text to the other; case counts for nothing.
fn edit_distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.to_lowercase().chars().collect();
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x);
            let at = |row: &[usize], k: usize| row.get(k).copied().unwrap_or(usize::MAX / 2);
            let mut best = (at(&last, j) + usize::from(x != y))
                .min(at(&last, j + 1) + 1)
                .min(at(&row, j) + 1);
            if swapped {
                best = best.min(at(&before, j - 1) + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(0)
}

impl StepId {
    /// The phase that the step belongs to.
    pub fn phase(&self) -> &str {
        self.0.split_once('/').map_or("", |(phase, _)| phase)
    }

    /// The step's name inside its phase.
    pub fn name(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, name)| name)
    }
}

impl SecretName {
    /// The environment variable in which a service finds this secret:
    /// `database-url` arrives as `DATABASE_URL`.
    pub fn env_name(&self) -> String {
        self.0.to_ascii_uppercase().replace(['-', '.'], "_")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_obey_their_rules() {
        let cases: &[(&str, &str, bool)] = &[
            ("deployment-name", "todo", true),
            ("deployment-name", "todo-2", true),
            ("deployment-name", "2todo", false),
            ("deployment-name", "Todo", false),
            ("deployment-name", "", false),
            ("deployment-name", "a23456789012345678901234567890", true),
            ("deployment-name", "a234567890123456789012345678901", false),
            ("step-id", "network/vcn", true),
            ("step-id", "network/subnet/api", true),
            ("step-id", "network", false),
            ("step-id", "network/", false),
            ("step-id", "Network/vcn", false),
            ("ocid", "ocid1.tenancy.oc1..aaaa", true),
            ("ocid", "ocid1.vcn.oc1.eu-frankfurt-1.aaaa", true),
            ("ocid", "ocid1.vcn.oc1.eu-frankfurt-1.", false),
            ("ocid", "ocid1.vcn.oc1", false),
            ("ocid", "ocid2.vcn.oc1..a", false),
            ("namespace", "todo", true),
            ("namespace", "-todo", false),
            ("namespace", "to_do", false),
            ("kafka-topic", "task-events", true),
            ("kafka-topic", "Task.Events_1", true),
            ("kafka-topic", "..", false),
            ("kafka-topic", "task events", false),
            ("service-name", "backend", true),
            ("service-name", "back.end", false),
            ("secret-name", "database-url", true),
            ("secret-name", "", false),
            ("secret-name", "a/b", false),
            ("object-name", "kafka-pubsub.v1", true),
            ("object-name", "kafka..pubsub", false),
        ];
        for (format, text, valid) in cases {
            assert_eq!(
                check_format(format, text).is_ok(),
                *valid,
                "{format} {text:?}"
            );
        }
    }

    #[test]
    fn the_nearest_candidate_is_near() {
        let keys = ["replicas", "resources", "port", "name", "image"];
        for (text, meant) in [
            ("replica", Some("replicas")),
            ("Replicas", Some("replicas")),
            ("repilcas", Some("replicas")),
            ("prot", Some("port")),
            ("nmae", Some("name")),
            ("volumes", None),
        ] {
            assert_eq!(nearest(text, keys), meant, "{text}");
        }
    }

    #[test]
    fn a_bad_name_is_told_its_rule() {
        let error = "To Do".parse::<DeploymentName>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "`To Do` is not a valid deployment name: lower-case letters, digits and `-`, first a letter, \
             last no `-`, at most 30 characters"
        );
    }

    #[test]
    fn names_read_and_write_as_strings() {
        let id: StepId = serde_json::from_str("\"network/vcn\"").unwrap();
        assert_eq!((id.phase(), id.name()), ("network", "vcn"));
        assert_eq!(serde_json::to_string(&id).unwrap(), "\"network/vcn\"");
        assert!(serde_json::from_str::<StepId>("\"vcn\"").is_err());
    }
}
