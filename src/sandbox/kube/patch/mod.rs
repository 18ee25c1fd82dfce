//! The three kinds of patches that change a live object.

pub mod json;
pub mod merge;
mod strategic;

use serde_json::Value;

use super::schema::Schema;
use super::status::{Outcome, Status};
use crate::sandbox::http::Request;

/// The kind of a patch, by its content type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// RFC 6902.
    Json,
    /// RFC 7396.
    Merge,
    /// A merge patch that knows the lists of built-in kinds.
    Strategic,
    /// Server-side apply.
    Apply,
}

impl Kind {
    /// The kind of a request's patch.
    pub fn of(request: &Request) -> Outcome<Self> {
        let media = request.header("content-type").unwrap_or_default();
        match media.split(';').next().unwrap_or_default().trim() {
            "application/json-patch+json" => Ok(Self::Json),
            "application/merge-patch+json" => Ok(Self::Merge),
            "application/strategic-merge-patch+json" => Ok(Self::Strategic),
            "application/apply-patch+yaml" => Ok(Self::Apply),
            _ => Err(Status::unsupported_patch()),
        }
    }
}

/// A patch that was read.
#[derive(Debug)]
pub enum Patch {
    /// RFC 6902.
    Json(Vec<json::Operation>),
    /// RFC 7396.
    Merge(Value),
    /// Strategic merge.
    Strategic(Value),
}

impl Patch {
    /// Reads a patch.
    pub fn parse(kind: Kind, bytes: &[u8]) -> Outcome<Self> {
        if kind == Kind::Json {
            return json::parse(bytes).map(Self::Json);
        }
        let patch: Value = serde_json::from_slice(bytes)
            .map_err(|e| Status::bad_request(format!("error decoding patch: {e}")))?;
        if !patch.is_object() {
            return Err(Status::bad_request(
                "error decoding patch: json: cannot unmarshal into Go value of type map[string]interface {}",
            ));
        }
        Ok(match kind {
            Kind::Strategic => Self::Strategic(patch),
            _ => Self::Merge(patch),
        })
    }

    /// The object with the patch applied.
    pub fn apply(&self, schema: &Schema, object: &Value) -> Outcome<Value> {
        match self {
            Self::Json(operations) => json::apply(operations, object),
            Self::Merge(patch) => {
                let mut object = object.clone();
                merge::apply(&mut object, patch);
                Ok(object)
            }
            Self::Strategic(patch) => strategic::apply(schema, object, patch),
        }
    }
}
