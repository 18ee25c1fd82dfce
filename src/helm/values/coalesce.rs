//! Bringing a user's values together with the defaults of a chart and of all
//! charts below it, by the rules of helm 4.2 and later.
//!
//! The user wins over the chart, a chart over its sub-charts. Maps merge, the
//! rest is replaced. A null of the user's removes a default that is there and
//! stays where there is none; a null among a chart's own defaults disappears.
//! Globals flow down. Maps of the result may be shared between charts, exactly
//! where helm shares them, because templates can see it.

use super::super::chart::Chart;
use super::super::value::{Map, Value};

/// Values are of no use to a chart.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CoalesceError {
    /// A sub-chart's name holds something else than a table.
    #[error("type mismatch on {name}: a sub-chart's values must be a table, not {got}")]
    SubChart {
        /// The sub-chart.
        name: String,
        /// What its values are.
        got: &'static str,
    },
}

/// What becomes of nulls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nulls {
    /// They remove defaults: the last step before rendering.
    Apply,
    /// They stay, for a later step to apply.
    Keep,
}

/// A chart tree's values: the user's over the defaults. The user's are copied.
pub fn coalesce(chart: &Chart, user: &Map, nulls: Nulls) -> Result<Map, CoalesceError> {
    let values = user.deep_copy();
    chart_into(chart, &values, nulls)?;
    Ok(values)
}

fn chart_into(chart: &Chart, values: &Map, nulls: Nulls) -> Result<(), CoalesceError> {
    defaults_into(chart, values, nulls);
    for child in &chart.dependencies {
        let name = child.name();
        let inner = match values.get(name) {
            None => {
                let inner = Map::new();
                values.set(name, inner.clone());
                inner
            }
            Some(Value::Map(inner)) => inner,
            Some(other) => {
                return Err(CoalesceError::SubChart {
                    name: name.to_owned(),
                    got: other.type_name(),
                });
            }
        };
        globals_into(&inner, values);
        chart_into(child, &inner, nulls)?;
    }
    Ok(())
}

/// Fills the chart's own defaults in below the values.
fn defaults_into(chart: &Chart, values: &Map, nulls: Nulls) {
    for (key, default) in chart.values.deep_copy().entries() {
        match values.get(&key) {
            Some(Value::Nil) if nulls == Nulls::Apply => {
                values.remove(&key);
            }
            Some(Value::Map(table)) => {
                let Value::Map(default) = default else {
                    continue;
                };
                // Nulls below a sub-chart's name are for the sub-chart.
                let is_child = chart
                    .dependencies
                    .iter()
                    .any(|child| child.name().as_bytes() == &key[..]);
                let nulls = if is_child { Nulls::Keep } else { nulls };
                if nulls == Nulls::Apply {
                    drop_nulls(&default);
                }
                tables(&table, &default, nulls);
            }
            Some(_) => {}
            None => {
                if nulls == Nulls::Apply {
                    match &default {
                        Value::Nil => continue,
                        Value::Map(table) => drop_nulls(table),
                        _ => {}
                    }
                }
                values.set(key, default);
            }
        }
    }
}

/// Hands the globals of a chart down to a sub-chart, the chart's winning.
fn globals_into(child: &Map, parent: &Map) {
    let table = |values: &Map| match values.get("global") {
        None => Some(Map::new()),
        Some(Value::Map(table)) => Some(table),
        Some(_) => None,
    };
    let (Some(below), Some(above)) = (table(child), table(parent)) else {
        return;
    };
    for (key, value) in above.entries() {
        match (value, below.get(&key)) {
            (Value::Map(value), old) => {
                let merged = value.retyped(value.ty());
                match old {
                    None => below.set(key, merged),
                    Some(Value::Map(old)) => {
                        tables(&merged, &old, Nulls::Keep);
                        below.set(key, merged);
                    }
                    Some(_) => {}
                }
            }
            (_, Some(Value::Map(_))) => {}
            (value, _) => below.set(key, value),
        }
    }
    child.set("global", below);
}

/// Merges `lower` into `upper`, the upper winning. As in helm, a null of the
/// upper's shows in the lower map, too: it matters where maps are shared, as
/// in imported values.
pub fn tables(upper: &Map, lower: &Map, nulls: Nulls) {
    for (key, high) in upper.entries() {
        if !high.is_nil() {
            continue;
        }
        let had = lower.get(&key).is_some_and(|low| !low.is_nil());
        lower.set(&key, Value::Nil);
        if had && nulls == Nulls::Apply {
            upper.remove(&key);
            // Not to be filled in again below.
            lower.remove(&key);
        }
    }
    for (key, low) in lower.entries() {
        match (upper.get(&key), low) {
            (None, low) => upper.set(key, low),
            (Some(Value::Map(high)), Value::Map(low)) => tables(&high, &low, nulls),
            _ => {}
        }
    }
}

fn drop_nulls(table: &Map) {
    for (key, value) in table.entries() {
        match value {
            Value::Nil => {
                table.remove(&key);
            }
            Value::Map(inner) => drop_nulls(&inner),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::to_json;
    use super::*;
    use crate::helm::chart::metadata::Metadata;
    use proptest::prelude::*;
    use serde_json::{Value as Json, json};

    fn map(value: &Json) -> Map {
        Value::from_json(value).as_map().unwrap().clone()
    }

    fn chart(name: &str, values: &Json, dependencies: Vec<Chart>) -> Chart {
        Chart {
            metadata: Metadata {
                name: name.to_owned(),
                ..Metadata::default()
            },
            lock: None,
            values: map(values),
            values_text: None,
            schema: None,
            templates: Vec::new(),
            files: Vec::new(),
            dependencies,
        }
    }

    fn run(chart: &Chart, user: &Json) -> Json {
        let values = coalesce(chart, &map(user), Nulls::Apply).unwrap();
        to_json(&Value::Map(values))
    }

    #[test]
    fn nulls_remove_defaults_and_only_defaults() {
        let cases = [
            (json!({"a": 1}), json!({"a": null}), json!({})),
            (json!({}), json!({"a": null}), json!({"a": null})),
            (json!({"a": null}), json!({}), json!({})),
            (
                json!({"a": {"b": null, "c": 1}}),
                json!({}),
                json!({"a": {"c": 1.0}}),
            ),
            (
                json!({"a": {"b": 1, "c": 1}}),
                json!({"a": {"b": null}}),
                json!({"a": {"c": 1.0}}),
            ),
            (
                json!({"a": {"c": 1}}),
                json!({"a": {"b": null}}),
                json!({"a": {"b": null, "c": 1.0}}),
            ),
            (
                json!({"a": {"b": {"c": 1}}}),
                json!({"a": {"b": {"c": null, "d": null}}}),
                json!({"a": {"b": {"d": null}}}),
            ),
            (json!({"a": null}), json!({"a": null}), json!({})),
        ];
        for (defaults, user, want) in cases {
            let got = run(&chart("c", &defaults, vec![]), &user);
            assert_eq!(got, want, "{defaults} under {user}");
        }
    }

    #[test]
    fn tables_merge_and_the_rest_is_replaced() {
        let c = chart(
            "c",
            &json!({"t": {"x": 1, "y": {"z": 1}}, "l": [1, 2], "s": {"k": 1}, "n": 1}),
            vec![],
        );
        let got = run(
            &c,
            &json!({"t": {"y": {"w": 2}}, "l": [3], "s": "text", "n": {"m": 1}}),
        );
        assert_eq!(
            got,
            json!({"t": {"x": 1.0, "y": {"z": 1.0, "w": 2.0}}, "l": [3.0], "s": "text", "n": {"m": 1.0}})
        );
    }

    #[test]
    fn sub_charts_get_their_share_and_the_globals() {
        let sub = chart(
            "sub",
            &json!({"a": 1, "b": 2, "global": {"g": "sub", "own": 1, "t": {"x": 1}}}),
            vec![],
        );
        let top = chart(
            "top",
            &json!({"sub": {"b": 3}, "global": {"g": "top", "t": {"y": 2}}}),
            vec![sub],
        );
        let got = run(&top, &json!({"sub": {"a": null}}));
        assert_eq!(
            got,
            json!({
                "global": {"g": "top", "t": {"y": 2.0}},
                "sub": {"b": 3.0, "global": {"g": "top", "own": 1.0, "t": {"x": 1.0, "y": 2.0}}},
            })
        );
    }

    #[test]
    fn a_parent_charts_null_no_longer_removes_a_sub_charts_default() {
        let sub = chart("sub", &json!({"a": 1}), vec![]);
        let top = chart("top", &json!({"sub": {"a": null}}), vec![sub]);
        let got = run(&top, &json!({}));
        assert_eq!(got, json!({"sub": {"a": 1.0, "global": {}}}));
    }

    #[test]
    fn a_sub_chart_whose_values_are_no_table_is_an_error() {
        let top = chart("top", &json!({}), vec![chart("sub", &json!({}), vec![])]);
        let error = coalesce(&top, &map(&json!({"sub": 1})), Nulls::Apply).unwrap_err();
        assert!(error.to_string().starts_with("type mismatch on sub"));
    }

    #[test]
    fn defaults_are_never_changed() {
        let defaults = json!({"a": {"b": 1.0, "c": null}});
        let c = chart("c", &defaults, vec![]);
        run(&c, &json!({"a": {"b": null, "x": 1}}));
        assert_eq!(to_json(&Value::Map(c.values)), defaults);
    }

    fn tree() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            Just(json!(true)),
            Just(json!(1.5)),
            Just(json!("x")),
            Just(json!([1.0])),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop::collection::hash_map("[abcd]|global|sub", inner, 0..4)
                .prop_map(|m| Json::Object(m.into_iter().collect()))
        })
    }

    fn object() -> impl Strategy<Value = Json> {
        prop::collection::hash_map("[abcd]|global|sub", tree(), 0..5)
            .prop_map(|m| Json::Object(m.into_iter().collect()))
    }

    proptest! {
        #[test]
        fn merging_never_panics_and_the_user_wins(a in object(), b in object(), user in object()) {
            let top = chart("top", &a, vec![chart("sub", &b, vec![])]);
            if let Ok(values) = coalesce(&top, &map(&user), Nulls::Apply) {
                for (key, value) in user.as_object().unwrap() {
                    if !value.is_null() && !value.is_object() {
                        prop_assert_eq!(&to_json(&values.get(key).unwrap()), value);
                    }
                }
            }
        }
    }
}
