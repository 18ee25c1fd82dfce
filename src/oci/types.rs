//! Words that all services share.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Freeform tags: plain names and values.
pub type Tags = BTreeMap<String, String>;

/// An object as it was when it was read, with the tag that later writes can
/// insist on.
#[derive(Debug, Clone)]
pub struct Versioned<T> {
    /// The object.
    pub value: T,
    /// Its entity tag, when the service sent one.
    pub etag: Option<String>,
}

impl<T> Deref for Versioned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// What every tagged object has in common.
pub trait Resource {
    /// What people call it: `subnet`.
    const NOUN: &'static str;

    /// Its OCID.
    fn id(&self) -> &str;
    /// Its display name, empty when it has none.
    fn name(&self) -> &str;
    /// Where it is in its life.
    fn lifecycle(&self) -> &Lifecycle;
    /// Its freeform tags.
    fn tags(&self) -> &Tags;

    /// Whether it exists and is not on its way out.
    fn is_live(&self) -> bool {
        self.lifecycle().is_live()
    }

    /// Whether it carries the tag.
    fn has_tag(&self, key: &str, value: &str) -> bool {
        self.tags().get(key).is_some_and(|v| v == value)
    }
}

/// Implements [`Resource`] for structs with the usual fields.
macro_rules! resource {
    ($type:ty, $noun:literal, $name:ident) => {
        impl crate::oci::types::Resource for $type {
            const NOUN: &'static str = $noun;

            fn id(&self) -> &str {
                &self.id
            }

            fn name(&self) -> &str {
                self.$name.as_ref()
            }

            fn lifecycle(&self) -> &crate::oci::types::Lifecycle {
                &self.lifecycle_state
            }

            fn tags(&self) -> &crate::oci::types::Tags {
                &self.freeform_tags
            }
        }
    };
}
pub(super) use resource;

/// Declares an enum of the service's words that keeps words it does not know.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum $name {
            $($(#[$vmeta])* $variant,)*
            /// A word that this version does not know.
            Other(String),
        }

        impl $name {
            /// The service's word for it.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $word,)*
                    Self::Other(word) => word,
                }
            }
        }

        impl From<&str> for $name {
            fn from(word: &str) -> Self {
                match word {
                    $($word => Self::$variant,)*
                    other => Self::Other(other.to_owned()),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                Ok(Self::from(String::deserialize(d)?.as_str()))
            }
        }
    };
}
pub(super) use words;

/// Where an object is in its life, over all services.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Lifecycle {
    /// Being made.
    Creating,
    /// Ready; `ACTIVE`, `AVAILABLE` and `RUNNING` alike.
    Active,
    /// Being changed.
    Updating,
    /// Present but not working; an instance is stopped.
    Inactive,
    /// A node pool that wants somebody to look at it.
    NeedsAttention,
    /// Broken; still there to be deleted.
    Failed,
    /// On its way out.
    Deleting,
    /// Gone, though still shown for a while.
    Deleted,
    /// The service did not say.
    #[default]
    Unknown,
    /// A word that this version does not know.
    Other(String),
}

impl Lifecycle {
    /// Whether it exists and is not broken or on its way out.
    pub fn is_live(&self) -> bool {
        !matches!(self, Self::Failed | Self::Deleting | Self::Deleted)
    }

    /// Whether it still needs to be deleted: live or broken.
    pub fn is_deletable(&self) -> bool {
        !matches!(self, Self::Deleting | Self::Deleted)
    }

    /// Whether nothing is left of it.
    pub fn is_gone(&self) -> bool {
        *self == Self::Deleted
    }

    /// Whether it can be used.
    pub fn is_active(&self) -> bool {
        *self == Self::Active
    }

    /// Whether it is between two states and will move by itself.
    pub fn is_moving(&self) -> bool {
        matches!(self, Self::Creating | Self::Updating | Self::Deleting)
    }

    fn parse(word: &str) -> Self {
        match word {
            "CREATING" | "PROVISIONING" | "STARTING" | "RESTORING" | "ATTACHING" => Self::Creating,
            "ACTIVE" | "AVAILABLE" | "RUNNING" | "ATTACHED" | "ASSIGNED" => Self::Active,
            "UPDATING" | "MOVING" | "STOPPING" | "CREATING_IMAGE" | "ASSIGNING" | "UNASSIGNING" => {
                Self::Updating
            }
            "INACTIVE" | "STOPPED" | "UNASSIGNED" => Self::Inactive,
            "NEEDS_ATTENTION" => Self::NeedsAttention,
            "FAILED" | "FAILING" | "FAULTY" => Self::Failed,
            "DELETING" | "TERMINATING" | "DETACHING" => Self::Deleting,
            "DELETED" | "TERMINATED" | "DETACHED" => Self::Deleted,
            "" => Self::Unknown,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl fmt::Display for Lifecycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Creating => "CREATING",
            Self::Active => "ACTIVE",
            Self::Updating => "UPDATING",
            Self::Inactive => "INACTIVE",
            Self::NeedsAttention => "NEEDS_ATTENTION",
            Self::Failed => "FAILED",
            Self::Deleting => "DELETING",
            Self::Deleted => "DELETED",
            Self::Unknown => "UNKNOWN",
            Self::Other(word) => word,
        })
    }
}

impl Serialize for Lifecycle {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Lifecycle {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let word = Option::<String>::deserialize(d)?;
        Ok(Self::parse(word.as_deref().unwrap_or_default()))
    }
}

/// Bytes as lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
    ];
    let nibbles = bytes.iter().flat_map(|b| [b >> 4, b & 0x0f]);
    nibbles.filter_map(|n| DIGITS.get(usize::from(n))).collect()
}

/// Reads JSON `null` like an absent field.
pub(super) fn null_as_default<'de, D, T>(d: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(d)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_objects_that_stay_are_live() {
        let cases = [
            ("AVAILABLE", true),
            ("PROVISIONING", true),
            ("NEEDS_ATTENTION", true),
            ("SOMETHING_NEW", true),
            ("TERMINATING", false),
            ("TERMINATED", false),
            ("DELETING", false),
            ("DELETED", false),
            ("FAILED", false),
        ];
        for (word, live) in cases {
            assert_eq!(Lifecycle::parse(word).is_live(), live, "{word}");
        }
        assert!(Lifecycle::parse("FAILED").is_deletable());
    }

    #[test]
    fn an_unknown_or_absent_state_does_not_fail_parsing() {
        let state: Lifecycle = serde_json::from_str("\"HIBERNATING\"").unwrap();
        assert_eq!(state, Lifecycle::Other("HIBERNATING".into()));
        let state: Lifecycle = serde_json::from_str("null").unwrap();
        assert_eq!(state, Lifecycle::Unknown);
    }
}
