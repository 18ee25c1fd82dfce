//! Protobuf bodies.

use serde_json::Value;

use super::status::{Outcome, Status};

/// Reads a body in Kubernetes' protobuf envelope.
pub fn decode(_bytes: &[u8]) -> Outcome<Value> {
    Err(Status::unsupported_media_type("application/json"))
}
