//! The values that absent fields of built-in kinds get.

use serde_json::Value;

use super::catalog::Resource;

/// Fills in what is absent.
pub fn fill(resource: &Resource, object: &mut Value) {
    let _ = (resource, object);
}
