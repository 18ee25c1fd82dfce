//! The template corpus against golden outputs recorded from helm 4.
//!
//! Every template of a chart under `tests/conformance/corpus` and
//! `tests/conformance/errors` is rendered alone, beside the chart's partials,
//! and compared byte for byte with `tests/golden/helm`, where `.out` holds an
//! output and `.err` the text of an error. `SOURCE.md` there says how the
//! golden files are made.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use todoctl::helm::engine::{Engine, Options, TemplateSource};
use todoctl::helm::object::{Capabilities, HelmVersion, KubeVersion, Object};
use todoctl::helm::value::{List, ListType, Map, MapType, Str, Value};
use todoctl::helm::yaml11;

struct Chart {
    name: String,
    metadata: Map,
    values: Map,
    templates: Vec<(String, String)>,
    files: BTreeMap<Str, Value>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// Chart defaults that are null count for nothing.
fn without_nulls(map: &Map) {
    for (key, value) in map.entries() {
        match value {
            Value::Nil => {
                map.remove(&key);
            }
            Value::Map(inner) => without_nulls(&inner),
            _ => {}
        }
    }
}

fn read_yaml(path: &Path) -> Map {
    let text = fs::read(path).unwrap_or_default();
    match yaml11::parse(&text).unwrap() {
        Value::Map(map) => map,
        _ => Map::new(),
    }
}

fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            walk(&path, found);
        } else {
            found.push(path);
        }
    }
}

impl Chart {
    fn load(dir: &Path) -> Self {
        let metadata = read_yaml(&dir.join("Chart.yaml"));
        let mut paths = Vec::new();
        walk(dir, &mut paths);
        let values = read_yaml(&dir.join("values.yaml"));
        without_nulls(&values);
        let mut chart = Self {
            name: metadata.get("name").unwrap().as_str().unwrap().to_owned(),
            values,
            metadata,
            templates: Vec::new(),
            files: BTreeMap::new(),
        };
        for path in paths {
            let name = path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
            let content = fs::read(&path).unwrap();
            if name.starts_with("templates/") {
                chart
                    .templates
                    .push((name, String::from_utf8(content).unwrap()));
            } else if !matches!(name.as_str(), "Chart.yaml" | "values.yaml") {
                let key = Str::from(name.into_bytes());
                chart.files.insert(key, Value::Bytes(content.into()));
            }
        }
        chart
    }

    fn context(&self) -> Map {
        let text = |key: &str| self.metadata.get(key).unwrap_or_else(|| Value::str(""));
        let about = Map::new();
        about.set("Name", text("name"));
        about.set("Version", text("version"));
        about.set("AppVersion", text("appVersion"));
        about.set("Description", text("description"));
        about.set("Type", text("type"));
        about.set("IsRoot", true);
        if let Some(annotations) = self.metadata.get_map("annotations") {
            about.set("Annotations", annotations.retyped(MapType::Strings));
        }
        if let Some(Value::List(keywords)) = self.metadata.get("keywords") {
            let keywords = List::typed(ListType::Strings, keywords.items().to_vec());
            about.set("Keywords", keywords);
        }
        let release = Map::new();
        release.set("Name", "rel");
        release.set("Namespace", "ns");
        release.set("IsUpgrade", false);
        release.set("IsInstall", true);
        release.set("Revision", Value::int(1));
        release.set("Service", "Helm");
        let context = Map::typed(MapType::Values, BTreeMap::new());
        context.set("Chart", about);
        context.set("Release", release);
        context.set("Capabilities", Object::Capabilities(capabilities()));
        context.set("Values", self.values.seen_as(MapType::Values));
        context.set("Files", Map::typed(MapType::Files, self.files.clone()));
        context.set("Subcharts", Map::new());
        context
    }

    fn render(&self, template: &str) -> Result<String, String> {
        let context = self.context();
        let full = |name: &str| format!("{}/{name}", self.name);
        let sources: Vec<TemplateSource> = self
            .templates
            .iter()
            .filter(|(name, _)| name == template || is_partial(name))
            .map(|(name, text)| TemplateSource {
                name: full(name),
                text: text.as_str().into(),
                context: context.clone(),
                base_path: full("templates"),
            })
            .collect();
        let mut files = Engine::new(Options {
            zone: Some(jiff::tz::TimeZone::UTC),
            ..Options::default()
        })
        .render(&sources)
        .map_err(|error| error.to_string())?;
        Ok(files.remove(&full(template)).unwrap_or_default())
    }
}

fn capabilities() -> Arc<Capabilities> {
    Arc::new(Capabilities {
        kube_version: Arc::new(KubeVersion::parse("v1.34.1").unwrap()),
        api_versions: ["v1", "apps/v1", "batch/v1", "apps/v1/Deployment"]
            .map(str::to_owned)
            .to_vec(),
        helm_version: Arc::new(HelmVersion {
            version: "v4.3.1".to_owned(),
            git_commit: String::new(),
            git_tree_state: String::new(),
            go_version: "go1.26.8".to_owned(),
            kube_client_version: "v1.37".to_owned(),
        }),
    })
}

fn is_partial(name: &str) -> bool {
    name.rsplit('/').next().unwrap().starts_with('_')
}

/// Renders all charts of a folder and returns how many templates there were
/// and which of them differ.
fn compare(folder: &str) -> (usize, Vec<String>) {
    let mut count = 0;
    let mut different = Vec::new();
    let mut charts: Vec<PathBuf> = fs::read_dir(root().join("conformance").join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    charts.sort();
    for dir in charts {
        let chart = Chart::load(&dir);
        let group = dir.file_name().unwrap().to_str().unwrap();
        let golden = root().join("golden/helm").join(folder).join(group);
        for (name, _) in chart.templates.iter().filter(|(n, _)| !is_partial(n)) {
            count += 1;
            let short = name.strip_prefix("templates/").unwrap();
            let expected = match fs::read_to_string(golden.join(format!("{short}.out"))) {
                Ok(text) => Ok(text),
                Err(_) => Err(fs::read_to_string(golden.join(format!("{short}.err")))
                    .unwrap_or_else(|_| "no golden file".to_owned())),
            };
            let found = chart.render(name);
            if found != expected {
                different.push(format!(
                    "{group}/{short}\n  want {expected:?}\n  have {found:?}\n"
                ));
            }
        }
    }
    (count, different)
}

#[test]
fn corpus_renders_as_helm_does() {
    let (count, different) = compare("corpus");
    assert!(count >= 400, "only {count} templates");
    let differ = different.len();
    assert!(
        different.is_empty(),
        "{differ} of {count} differ:\n{}",
        different.join("\n")
    );
}

#[test]
fn errors_read_as_helm_says_them() {
    let (count, different) = compare("errors");
    assert!(count > 0);
    let differ = different.len();
    assert!(
        different.is_empty(),
        "{differ} of {count} differ:\n{}",
        different.join("\n")
    );
}
