//! Which charts of `charts/` take part: conditions, tags, aliases and
//! import-values, in helm's order.
//!
//! The work happens on a chart in memory before its values are coalesced for
//! good; afterwards `metadata.dependencies` holds the enabled ones only, under
//! their aliases, as a release record stores them.

use super::chart::Chart;
use super::chart::metadata::{Dependency, Import};
use super::semver::{Constraint, Version};
use super::value::{Map, Value};
use super::values::coalesce::{CoalesceError, Nulls, coalesce, tables};
use super::values::{scalar, table};

/// A listed dependency is not in `charts/`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("found in Chart.yaml, but missing in charts/ directory: {}", .0.join(", "))]
pub struct Missing(pub Vec<String>);

/// Whether every listed dependency is in `charts/`, by name alone.
pub fn check(chart: &Chart) -> Result<(), Missing> {
    let missing: Vec<String> = chart
        .metadata
        .needs()
        .iter()
        .filter(|need| !chart.dependencies.iter().any(|c| c.name() == need.name))
        .map(|need| need.name.clone())
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(Missing(missing))
    }
}

/// Enables, renames and removes the charts below `chart` and imports values
/// from them, as the user's values ask.
pub fn process(chart: &mut Chart, user: &Map) -> Result<(), CoalesceError> {
    enable(chart, user, "")?;
    import(chart)
}

/// Whether a version satisfies a range; texts that are neither satisfy none.
pub fn satisfies(range: &str, version: &str) -> bool {
    match (Constraint::parse(range), Version::parse(version)) {
        (Ok(range), Ok(version)) => range.matches(&version),
        _ => false,
    }
}

fn enable(chart: &mut Chart, values: &Map, path: &str) -> Result<(), CoalesceError> {
    let Some(mut needs) = chart.metadata.dependencies.take() else {
        return Ok(());
    };
    chart.dependencies = select(&chart.dependencies, &needs);
    for need in &mut needs {
        need.enabled = true;
        if !need.alias.is_empty() {
            need.name.clone_from(&need.alias);
        }
    }
    let values = coalesce(chart, values, Nulls::Apply)?;
    if let Some(tags) = table(&values, "tags") {
        apply_tags(&mut needs, &tags);
    }
    apply_conditions(&mut needs, &values, path);

    let off = |name: &str| needs.iter().any(|need| !need.enabled && need.name == name);
    chart.dependencies.retain(|child| !off(child.name()));
    let on = needs.iter().filter(|need| !off(&need.name)).cloned();
    let on: Vec<Dependency> = on.collect();
    for child in &mut chart.dependencies {
        let path = format!("{path}{}.", child.name());
        enable(child, &values, &path)?;
    }
    chart.metadata.dependencies = (!on.is_empty()).then_some(on);
    Ok(())
}

/// The charts that are not listed, then one chart for each listed dependency
/// that finds one, under its alias.
fn select(present: &[Chart], needs: &[Dependency]) -> Vec<Chart> {
    let fits = |chart: &Chart, need: &Dependency| {
        chart.name() == need.name && satisfies(&need.version, &chart.metadata.version)
    };
    let mut selected: Vec<Chart> = present
        .iter()
        .filter(|chart| !needs.iter().any(|need| fits(chart, need)))
        .cloned()
        .collect();
    for need in needs {
        if let Some(found) = present.iter().find(|chart| fits(chart, need)) {
            let mut chart = found.clone();
            if !need.alias.is_empty() {
                chart.metadata.name.clone_from(&need.alias);
            }
            selected.push(chart);
        }
    }
    selected
}

fn apply_tags(needs: &mut [Dependency], tags: &Map) {
    for need in needs {
        let states: Vec<bool> = need
            .tags
            .iter()
            .filter_map(|tag| match tags.get(tag) {
                Some(Value::Bool(on)) => Some(on),
                _ => None,
            })
            .collect();
        need.enabled = states.is_empty() || states.contains(&true);
    }
}

/// The first path of a condition that leads to a boolean decides.
fn apply_conditions(needs: &mut [Dependency], values: &Map, path: &str) {
    for need in needs {
        let found = need
            .condition
            .trim()
            .split(',')
            .filter(|condition| !condition.is_empty())
            .find_map(
                |condition| match scalar(values, &format!("{path}{condition}")) {
                    Some(Value::Bool(on)) => Some(on),
                    _ => None,
                },
            );
        if let Some(on) = found {
            need.enabled = on;
        }
    }
}

/// Imports values, the deepest charts first.
fn import(chart: &mut Chart) -> Result<(), CoalesceError> {
    for child in &mut chart.dependencies {
        import(child)?;
    }
    let Some(needs) = &chart.metadata.dependencies else {
        return Ok(());
    };
    let values = coalesce(chart, &Map::new(), Nulls::Keep)?;
    let imported = Map::new();
    for need in needs {
        for wanted in &need.import_values {
            let (child, parent) = match wanted {
                Import::Export(name) => (format!("exports.{name}"), "."),
                Import::Table { child, parent } => (child.clone(), parent.as_str()),
            };
            if let Some(found) = table(&values, &format!("{}.{child}", need.name)) {
                // The imported tables are the child's own, which a later
                // import may add to, as in helm; an empty one is not.
                let found = if found.is_empty() { Map::new() } else { found };
                tables(&imported, &at_path(parent, found), Nulls::Keep);
            }
        }
    }
    // What the parent says itself wins over what it imports.
    chart.values = if imported.is_empty() {
        values
    } else {
        let merged = values.deep_copy();
        tables(&merged, &imported, Nulls::Keep);
        merged
    };
    Ok(())
}

/// Wraps a table into the tables of a dotted path.
fn at_path(path: &str, inner: Map) -> Map {
    if path == "." {
        return inner;
    }
    path.rsplit('.').fold(inner, |inner, key| {
        let outer = Map::new();
        outer.set(key, inner);
        outer
    })
}

#[cfg(test)]
mod tests {
    use super::super::chart::metadata::Metadata;
    use super::super::values::to_json;
    use super::*;
    use serde_json::{Value as Json, json};

    fn map(value: &Json) -> Map {
        Value::from_json(value).as_map().unwrap().clone()
    }

    /// A chart from its name, dependencies as in `Chart.yaml`, values and
    /// sub-charts.
    fn chart(name: &str, needs: &Json, values: &Json, children: Vec<Chart>) -> Chart {
        let document = json!({
            "apiVersion": "v2", "name": name, "version": "1.2.3", "dependencies": needs,
        });
        Chart {
            metadata: Metadata::read(&Value::from_json(&document)).unwrap(),
            lock: None,
            values: map(values),
            values_text: None,
            schema: None,
            templates: Vec::new(),
            files: Vec::new(),
            dependencies: children,
        }
    }

    fn leaf(name: &str) -> Chart {
        chart(name, &Json::Null, &json!({}), vec![])
    }

    fn names(chart: &Chart) -> Vec<&str> {
        chart.dependencies.iter().map(Chart::name).collect()
    }

    #[test]
    fn conditions_override_tags_and_the_first_boolean_decides() {
        let needs = json!([
            {"name": "a", "version": "1.x", "condition": "a.enabled,global.a"},
            {"name": "b", "version": "1.x", "tags": ["back", "all"]},
            {"name": "c", "version": "1.x", "tags": ["back"], "condition": "c.enabled"},
        ]);
        let all = ["a", "b", "c"];
        let cases: [(Json, &[&str]); 8] = [
            (json!({}), &all),
            (json!({"a": {"enabled": false}}), &["b", "c"]),
            (json!({"global": {"a": false}}), &["b", "c"]),
            (
                json!({"a": {"enabled": "no"}, "global": {"a": false}}),
                &["b", "c"],
            ),
            (
                json!({"a": {"enabled": true}, "global": {"a": false}}),
                &all,
            ),
            (json!({"tags": {"back": false}}), &["a"]),
            (json!({"tags": {"back": false, "all": true}}), &["a", "b"]),
            (
                json!({"tags": {"back": false}, "c": {"enabled": true}}),
                &["a", "c"],
            ),
        ];
        for (values, want) in cases {
            let mut top = chart(
                "top",
                &needs,
                &json!({}),
                vec![leaf("a"), leaf("b"), leaf("c")],
            );
            process(&mut top, &map(&values)).unwrap();
            assert_eq!(names(&top), want, "{values}");
            assert_eq!(top.metadata.needs().len(), want.len());
        }
    }

    #[test]
    fn one_chart_can_appear_under_several_aliases() {
        let needs = json!([
            {"name": "db", "version": "^1", "alias": "first"},
            {"name": "db", "version": "^1", "alias": "second", "condition": "second.on"},
            {"name": "db", "version": "^2", "alias": "third"},
        ]);
        let top = chart("top", &needs, &json!({}), vec![leaf("db"), leaf("other")]);
        let mut on = top.clone();
        process(&mut on, &map(&json!({}))).unwrap();
        assert_eq!(names(&on), ["other", "first", "second"]);
        let mut off = top;
        process(&mut off, &map(&json!({"second": {"on": false}}))).unwrap();
        assert_eq!(names(&off), ["other", "first"]);
    }

    #[test]
    fn without_a_list_every_chart_is_on() {
        let mut top = chart(
            "top",
            &Json::Null,
            &json!({"a": {"enabled": false}}),
            vec![leaf("a")],
        );
        process(&mut top, &Map::new()).unwrap();
        assert_eq!(names(&top), ["a"]);
    }

    #[test]
    fn conditions_of_nested_charts_are_looked_up_in_their_scope() {
        let needs = json!([{"name": "leaf", "version": "1", "condition": "leaf.enabled"}]);
        let needs = |version: &str| {
            let mut needs = needs.clone();
            needs[0]["version"] = json!(version);
            needs
        };
        let mid = chart(
            "mid",
            &needs(">=1"),
            &json!({"leaf": {"enabled": false}}),
            vec![leaf("leaf")],
        );
        let listed = json!([{"name": "mid", "version": ">=1"}]);
        for (values, want) in [
            (json!({}), 0),
            (json!({"mid": {"leaf": {"enabled": true}}}), 1),
        ] {
            let mut top = chart("top", &listed, &json!({}), vec![mid.clone()]);
            process(&mut top, &map(&values)).unwrap();
            assert_eq!(top.dependencies[0].dependencies.len(), want, "{values}");
        }
    }

    #[test]
    fn imported_values_are_below_the_parents_own() {
        let needs = json!([{
            "name": "sub", "version": ">=1",
            "import-values": ["data", {"child": "conf.inner", "parent": "mine.deep"}, "absent"],
        }]);
        let sub = chart(
            "sub",
            &Json::Null,
            &json!({"exports": {"data": {"x": 1, "y": 1}}, "conf": {"inner": {"k": "v"}}}),
            vec![],
        );
        let mut top = chart("top", &needs, &json!({"x": 2}), vec![sub]);
        process(&mut top, &Map::new()).unwrap();
        let values = to_json(&Value::Map(top.values));
        assert_eq!(values["x"], json!(2.0));
        assert_eq!(values["y"], json!(1.0));
        assert_eq!(values["mine"]["deep"]["k"], json!("v"));
    }

    #[test]
    fn what_is_listed_but_absent_is_named() {
        let needs = json!([{"name": "a", "version": "1"}, {"name": "b", "version": "1"}]);
        let top = chart("top", &needs, &json!({}), vec![leaf("a")]);
        assert_eq!(check(&top), Err(Missing(vec!["b".to_owned()])));
    }
}
