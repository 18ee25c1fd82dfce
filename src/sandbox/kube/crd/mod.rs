//! Custom resources.

use serde_json::Value;

/// What a definition says about a served version.
#[derive(Debug, Clone)]
pub struct Custom {
    /// The OpenAPI schema, as written.
    pub schema: Value,
    /// The printer columns, as written.
    pub columns: Vec<Value>,
    /// The fields that objects can be selected by.
    pub selectable: Vec<String>,
}

/// Removes what a structural schema does not know, and notes it.
pub fn prune(schema: &Value, object: &mut Value, unknown: &mut Vec<String>) {
    let _ = (schema, object, unknown);
}
