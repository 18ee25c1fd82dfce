//! Label selectors, as objects carry them.

use serde_json::Value;

use crate::sandbox::kind::{items, text};

/// Whether a selector object (`matchLabels`, `matchExpressions`) selects an
/// object. An empty one selects everything, a missing one nothing.
pub fn selects(selector: Option<&Value>, object: &Value) -> bool {
    let Some(selector) = selector.filter(|s| s.is_object()) else {
        return false;
    };
    let labels = object.pointer("/metadata/labels").unwrap_or(&Value::Null);
    matches_all(selector.get("matchLabels"), labels)
        && items(selector, "/matchExpressions")
            .iter()
            .all(|expression| holds(expression, labels))
}

/// Whether labels have all these pairs.
pub fn matches_all(pairs: Option<&Value>, labels: &Value) -> bool {
    pairs
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .all(|(key, value)| labels.get(key) == Some(value))
}

/// Whether an expression holds for labels; also for those of nodes, which
/// have two operators more.
pub fn holds(expression: &Value, labels: &Value) -> bool {
    let held = labels.get(text(expression, "/key")).and_then(Value::as_str);
    let listed = |value: &str| items(expression, "/values").iter().any(|v| v == value);
    let order = || {
        let wanted = items(expression, "/values").first()?.as_str()?;
        let wanted: i64 = wanted.parse().ok()?;
        Some(held?.parse::<i64>().ok()?.cmp(&wanted))
    };
    match text(expression, "/operator") {
        "In" => held.is_some_and(listed),
        "NotIn" => !held.is_some_and(listed),
        "Exists" => held.is_some(),
        "DoesNotExist" => held.is_none(),
        "Gt" => order().is_some_and(std::cmp::Ordering::is_gt),
        "Lt" => order().is_some_and(std::cmp::Ordering::is_lt),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn selectors_select_by_all_their_terms() {
        let object = json!({"metadata": {"labels": {"app": "a", "tier": "2"}}});
        let term = |key: &str, operator: &str, values: Value| json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
        for (selector, expected) in [
            (json!({}), true),
            (json!({"matchLabels": {"app": "a"}}), true),
            (json!({"matchLabels": {"app": "b"}}), false),
            (term("app", "In", json!(["a", "b"])), true),
            (term("app", "NotIn", json!(["a"])), false),
            (term("other", "NotIn", json!(["a"])), true),
            (term("app", "Exists", json!([])), true),
            (term("app", "DoesNotExist", json!([])), false),
            (term("tier", "Gt", json!(["1"])), true),
            (term("tier", "Lt", json!(["2"])), false),
        ] {
            assert_eq!(selects(Some(&selector), &object), expected, "{selector}");
        }
        assert!(!selects(None, &object));
    }
}
