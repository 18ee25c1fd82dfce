//! The part of a chart that a record keeps: the root chart in helm's JSON.
//!
//! Helm never renders from it; it serves `helm get`, `--reuse-values` and the
//! list of releases. Documentation is left out, as records have little room.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::record::go_numbers;
use crate::helm::chart::metadata::{Dependency, Import, Maintainer, Metadata};
use crate::helm::chart::{Chart, ChartFile};
use crate::helm::value::Value as HelmValue;
use crate::helm::values::to_json;

/// A chart as a record stores it.
pub(super) fn stored(chart: &Chart) -> Value {
    let kept = chart.files.iter().filter(|f| !is_documentation(&f.name));
    let schema = chart.schema.as_ref().map(|text| STANDARD.encode(text));
    json!({
        "metadata": metadata(&chart.metadata),
        "lock": null,
        "templates": chart.templates.iter().map(file).collect::<Vec<_>>(),
        "values": go_numbers(to_json(&HelmValue::Map(chart.values.clone()))),
        "schema": schema,
        "files": kept.map(file).collect::<Vec<_>>(),
    })
}

fn file(file: &ChartFile) -> Value {
    json!({"name": file.name, "data": STANDARD.encode(&file.data)})
}

/// Whether a file is for people only.
fn is_documentation(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let base = lower.rsplit('/').next().unwrap_or(&lower);
    let written = [".md", ".md.gotmpl", ".png", ".svg", ".adoc"];
    written.iter().any(|end| base.ends_with(end))
        || lower.starts_with("docs/")
        || ["license", "notice", "changelog"].contains(&base)
}

/// The metadata without empty fields.
fn metadata(of: &Metadata) -> Value {
    let mut out = Map::new();
    for (key, text) in [
        ("name", &of.name),
        ("home", &of.home),
        ("version", &of.version),
        ("description", &of.description),
        ("icon", &of.icon),
        ("apiVersion", &of.api_version),
        ("condition", &of.condition),
        ("tags", &of.tags),
        ("appVersion", &of.app_version),
        ("kubeVersion", &of.kube_version),
        ("type", &of.kind),
    ] {
        put(&mut out, key, json!(text));
    }
    put(&mut out, "sources", json!(of.sources));
    put(&mut out, "keywords", json!(of.keywords));
    put(&mut out, "deprecated", json!(of.deprecated));
    let annotations: Map<String, Value> = of
        .annotations
        .iter()
        .map(|(key, value)| (key.clone(), json!(value)))
        .collect();
    put(&mut out, "annotations", Value::Object(annotations));
    let people = of.maintainers.iter().map(maintainer);
    put(&mut out, "maintainers", people.collect());
    let needs = of.needs().iter().map(dependency);
    put(&mut out, "dependencies", needs.collect());
    Value::Object(out)
}

/// Sets a field unless its value is empty.
fn put(map: &mut Map<String, Value>, key: &str, value: Value) {
    let empty = match &value {
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(flag) => !flag,
        _ => false,
    };
    if !empty {
        map.insert(key.to_owned(), value);
    }
}

fn maintainer(of: &Maintainer) -> Value {
    let mut out = Map::new();
    put(&mut out, "name", json!(of.name));
    put(&mut out, "email", json!(of.email));
    put(&mut out, "url", json!(of.url));
    Value::Object(out)
}

fn dependency(of: &Dependency) -> Value {
    let mut out = Map::new();
    out.insert("name".to_owned(), json!(of.name));
    put(&mut out, "version", json!(of.version));
    out.insert("repository".to_owned(), json!(of.repository));
    put(&mut out, "condition", json!(of.condition));
    put(&mut out, "tags", json!(of.tags));
    put(&mut out, "enabled", json!(of.enabled));
    let imports = of.import_values.iter().map(|import| match import {
        Import::Export(name) => json!(name),
        Import::Table { child, parent } => json!({"child": child, "parent": parent}),
    });
    put(&mut out, "import-values", imports.collect());
    put(&mut out, "alias", json!(of.alias));
    Value::Object(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(files: &[(&str, &str)]) -> Chart {
        let files = files.iter().map(|(name, text)| ChartFile {
            name: (*name).to_owned(),
            data: text.as_bytes().to_vec().into(),
        });
        Chart::from_files(files.collect()).unwrap()
    }

    #[test]
    fn a_chart_is_stored_without_its_documentation() {
        let chart = chart(&[
            (
                "Chart.yaml",
                "apiVersion: v2\nname: c\nversion: 1.0.0\nappVersion: \"2\"\n",
            ),
            ("values.yaml", "replicas: 2\n"),
            ("templates/a.yaml", "a: 1\n"),
            ("README.md", "read me"),
            ("docs/x.txt", "more"),
            ("files/settings.json", "{}"),
        ]);
        let stored = stored(&chart);
        assert_eq!(
            stored["metadata"],
            json!({"name": "c", "version": "1.0.0", "apiVersion": "v2", "appVersion": "2"})
        );
        assert_eq!(stored["values"].to_string(), r#"{"replicas":2}"#);
        assert_eq!(stored["templates"][0]["data"], "YTogMQo=");
        let names: Vec<_> = stored["files"].as_array().unwrap().iter().collect();
        assert_eq!(names.len(), 1, "{names:?}");
    }
}
