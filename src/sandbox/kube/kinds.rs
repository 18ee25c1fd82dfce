//! What is special about single kinds.

use serde_json::Value;

use super::objects::DeleteOptions;
use super::request::Call;
use super::status::Outcome;

/// Readies a new object of a kind.
pub fn prepare_create(call: &Call, object: &mut Value) -> Outcome<()> {
    let _ = (call, object);
    Ok(())
}

/// Readies a changed object of a kind.
pub fn prepare_update(call: &Call, old: &Value, new: &mut Value) -> Outcome<()> {
    let _ = (call, old, new);
    Ok(())
}

/// After a write.
pub fn written(call: &Call, old: Option<&Value>, new: &Value) {
    let _ = (call, old, new);
}

/// After a delete.
pub fn deleted(call: &Call, last: &Value) {
    let _ = (call, last);
}

/// Whether an object may be deleted.
pub fn check_delete(call: &Call, object: &Value) -> Outcome<()> {
    let _ = (call, object);
    Ok(())
}

/// How long an object gets before it is gone.
pub fn grace(call: &Call, options: &DeleteOptions, object: &Value) -> u64 {
    let _ = (call, options, object);
    0
}

/// What happens to an object when its delete begins.
pub fn start_delete(call: &Call, object: &mut Value) {
    let _ = (call, object);
}
