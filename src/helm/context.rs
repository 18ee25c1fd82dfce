//! What templates see: one shared map for each chart, with its values, files,
//! metadata and sub-charts, and the templates that are rendered with it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::chart::metadata::{Dependency, Import, Metadata};
use super::chart::{Chart, ChartFile};
use super::engine::TemplateSource;
use super::object::{Capabilities, Object};
use super::value::{List, ListType, Map, MapType, Str, Value};
use super::values::table;

/// What a release is, as templates see it.
#[derive(Debug, Clone)]
pub struct Release {
    /// Its name.
    pub name: String,
    /// Where it goes.
    pub namespace: String,
    /// Its number, from 1.
    pub revision: i64,
    /// Whether an earlier revision is there.
    pub is_upgrade: bool,
}

/// The templates of a chart and of all charts below it. `values` are the
/// coalesced values, which are shared, not copied: a template may change them.
pub fn sources(
    chart: &Chart,
    values: &Map,
    release: &Release,
    capabilities: &Arc<Capabilities>,
) -> Vec<TemplateSource> {
    let shared = Shared {
        release: release_map(release),
        capabilities: Value::Obj(Object::Capabilities(capabilities.clone())),
    };
    let mut found = Vec::new();
    let values = values.clone();
    chart_into(chart, chart.name(), true, values, &shared, &mut found);
    found
}

struct Shared {
    release: Map,
    capabilities: Value,
}

fn chart_into(
    chart: &Chart,
    path: &str,
    is_root: bool,
    values: Map,
    shared: &Shared,
    found: &mut Vec<TemplateSource>,
) -> Map {
    let data = Map::new();
    let metadata = metadata_map(&chart.metadata);
    metadata.set("IsRoot", is_root);
    data.set("Chart", metadata);
    data.set("Files", files_map(&chart.files));
    data.set("Release", shared.release.clone());
    data.set("Capabilities", shared.capabilities.clone());
    let children = Map::new();
    data.set("Subcharts", children.clone());
    for child in &chart.dependencies {
        let child_path = format!("{path}/charts/{}", child.name());
        // The same map: its parent sees what a sub-chart sets in it.
        let child_values = table(&values, child.name()).unwrap_or_default();
        let child_values = child_values.seen_as(MapType::Values);
        let context = chart_into(child, &child_path, false, child_values, shared, found);
        children.set(child.name(), context);
    }
    data.set("Values", Value::Map(values));
    let base_path = format!("{path}/templates");
    for file in &chart.templates {
        let base = file.name.rsplit('/').next().unwrap_or(&file.name);
        if chart.metadata.is_library() && !base.starts_with('_') {
            continue;
        }
        found.push(TemplateSource {
            name: format!("{path}/{}", file.name),
            text: String::from_utf8_lossy(&file.data).into(),
            base_path: base_path.clone(),
            context: data.clone(),
        });
    }
    data
}

fn release_map(release: &Release) -> Map {
    let map = Map::new();
    map.set("Name", release.name.as_str());
    map.set("Namespace", release.namespace.as_str());
    map.set("IsUpgrade", release.is_upgrade);
    map.set("IsInstall", !release.is_upgrade);
    map.set("Revision", Value::int(release.revision));
    map.set("Service", "Helm");
    map
}

fn files_map(files: &[ChartFile]) -> Map {
    let entries = files.iter();
    let entries: BTreeMap<Str, Value> = entries
        .map(|file| {
            let content = Value::Bytes(file.data.clone());
            (Str::from(file.name.as_bytes()), content)
        })
        .collect();
    Map::typed(MapType::Files, entries)
}

/// `.Chart`: the metadata under helm's own field names.
fn metadata_map(metadata: &Metadata) -> Map {
    let map = Map::new();
    map.set("Name", metadata.name.as_str());
    map.set("Home", metadata.home.as_str());
    map.set("Sources", texts(&metadata.sources));
    map.set("Version", metadata.version.as_str());
    map.set("Description", metadata.description.as_str());
    map.set("Keywords", texts(&metadata.keywords));
    let maintainers = metadata.maintainers.iter().map(|who| {
        let map = Map::new();
        map.set("Name", who.name.as_str());
        map.set("Email", who.email.as_str());
        map.set("URL", who.url.as_str());
        Value::Map(map)
    });
    map.set("Maintainers", Value::list(maintainers.collect()));
    map.set("Icon", metadata.icon.as_str());
    map.set("APIVersion", metadata.api_version.as_str());
    map.set("Condition", metadata.condition.as_str());
    map.set("Tags", metadata.tags.as_str());
    map.set("AppVersion", metadata.app_version.as_str());
    map.set("Deprecated", metadata.deprecated);
    let annotations = metadata.annotations.iter();
    map.set("Annotations", text_map(annotations.map(|(k, v)| (k, v))));
    map.set("KubeVersion", metadata.kube_version.as_str());
    let needs = metadata.needs().iter().map(dependency_map);
    map.set("Dependencies", Value::list(needs.collect()));
    map.set("Type", metadata.kind.as_str());
    map
}

fn dependency_map(need: &Dependency) -> Value {
    let map = Map::new();
    map.set("Name", need.name.as_str());
    map.set("Version", need.version.as_str());
    map.set("Repository", need.repository.as_str());
    map.set("Condition", need.condition.as_str());
    map.set("Tags", texts(&need.tags));
    map.set("Enabled", need.enabled);
    let imports = need.import_values.iter().map(|import| {
        let (child, parent) = match import {
            Import::Export(name) => (format!("exports.{name}"), ".".to_owned()),
            Import::Table { child, parent } => (child.clone(), parent.clone()),
        };
        let sides = [
            (&"child".to_owned(), &child),
            (&"parent".to_owned(), &parent),
        ];
        text_map(sides.into_iter())
    });
    map.set("ImportValues", Value::list(imports.collect()));
    map.set("Alias", need.alias.as_str());
    Value::Map(map)
}

/// Lists of metadata have the type `[]interface {}`.
fn texts(items: &[String]) -> Value {
    let items = items.iter().map(Value::str).collect();
    Value::List(List::typed(ListType::Any, items))
}

fn text_map<'a>(entries: impl Iterator<Item = (&'a String, &'a String)>) -> Value {
    let entries = entries.map(|(k, v)| (Str::from(k.as_bytes()), Value::str(v)));
    Value::Map(Map::typed(MapType::Strings, entries.collect()))
}

#[cfg(test)]
mod tests {
    use super::super::capabilities;
    use super::*;

    fn file(name: &str, text: &str) -> ChartFile {
        ChartFile {
            name: name.to_owned(),
            data: text.as_bytes().into(),
        }
    }

    fn sources_of(files: Vec<ChartFile>) -> Vec<TemplateSource> {
        let chart = Chart::from_files(files).unwrap();
        let release = Release {
            name: "r".to_owned(),
            namespace: "n".to_owned(),
            revision: 1,
            is_upgrade: false,
        };
        let caps = Arc::new(capabilities::offline(None, &[]).unwrap());
        let values = Map::new();
        values.set("sub", Map::new());
        sources(&chart, &values, &release, &caps)
    }

    #[test]
    fn a_sub_chart_shares_its_values_with_its_parent() {
        let found = sources_of(vec![
            file("Chart.yaml", "apiVersion: v2\nname: top\nversion: 1.0.0\n"),
            file("templates/a.yaml", ""),
            file("charts/sub/Chart.yaml", "name: sub\nversion: 1.0.0\n"),
            file("charts/sub/templates/b.yaml", ""),
        ]);
        let names: Vec<&str> = found.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(
            names,
            ["top/charts/sub/templates/b.yaml", "top/templates/a.yaml"]
        );
        assert_eq!(found[0].base_path, "top/charts/sub/templates");
        let own = found[0].context.get_map("Values").unwrap();
        own.set("x", true);
        let seen = found[1].context.get_map("Values").unwrap();
        assert!(seen.get_map("sub").unwrap().contains("x"));
        let context = found[1].context.get_map("Subcharts").unwrap();
        assert!(context.get_map("sub").unwrap().same(&found[0].context));
    }

    #[test]
    fn a_library_contributes_its_partials_only() {
        let found = sources_of(vec![
            file("Chart.yaml", "name: lib\nversion: 1.0.0\ntype: library\n"),
            file("templates/_a.tpl", ""),
            file("templates/b.yaml", ""),
        ]);
        assert_eq!(found.len(), 1);
    }
}
