//! Go's `fmt` and `strconv`: how values become text.

use super::value::Value;

/// `fmt.Sprint` of one value: what a template action prints.
pub fn sprint_value(value: &Value) -> Vec<u8> {
    let _ = value;
    Vec::new()
}
