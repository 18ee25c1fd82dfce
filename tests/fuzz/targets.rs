//! One function for each way in which a stranger's text reaches the chart
//! engine. A target returns; what must not happen is a panic, an endless loop,
//! or memory without bound.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;

use todoctl::helm::capabilities;
use todoctl::helm::chart::{Chart, ChartFile};
use todoctl::helm::engine::{Engine, Limits, Options, TemplateSource};
use todoctl::helm::error::TemplateError;
use todoctl::helm::object::Object;
use todoctl::helm::render::{PrintOptions, RenderError, RenderOptions, render};
use todoctl::helm::repo::index::Index;
use todoctl::helm::value::{Map, MapType, Value};
use todoctl::helm::values::{self, set};
use todoctl::helm::yaml11;

/// A target's name, and what is done with the input.
type Target = (&'static str, fn(&[u8]));

/// Every target by its name.
pub(super) const TARGETS: &[Target] = &[
    ("template", template),
    ("evaluator", evaluator),
    ("values", values),
    ("yaml", yaml),
    ("index", index),
    ("archive", archive),
    ("chart", chart),
];

fn limits() -> Limits {
    Limits {
        output: 1 << 20,
        memory: 16 << 20,
        steps: 20_000,
        stack: 64 << 20,
    }
}

/// A failure that is a mistake of the engine's.
fn sound(error: &TemplateError) {
    assert!(!matches!(error, TemplateError::Engine(_)), "{error}");
}

fn run(name: &str, text: &[u8]) {
    let values = Map::typed(MapType::Values, BTreeMap::new());
    let list = Value::list(vec![Value::str("a"), Value::Float(1.5), Value::Nil]);
    values.set("list", list);
    values.set("str", "text");
    values.set("num", Value::Float(8080.0));
    values.set("map", Map::new());
    let context = Map::new();
    context.set("Values", Value::Map(values));
    if let Ok(offline) = capabilities::offline(None, &[]) {
        let offline = Value::Obj(Object::Capabilities(Arc::new(offline)));
        context.set("Capabilities", offline);
    }
    let source = TemplateSource {
        name: format!("c/templates/{name}"),
        text: String::from_utf8_lossy(text).into(),
        context,
        base_path: "c/templates".to_owned(),
    };
    let engine = Engine::new(Options {
        limits: limits(),
        // A key out of a fixed source would be sought for ever.
        random: None,
        ..Options::default()
    });
    if let Err(error) = engine.render(&[source]) {
        sound(&error);
    }
}

/// The parser: a partial is parsed and not executed.
pub(super) fn template(data: &[u8]) {
    run("_x.tpl", data);
}

/// The evaluator.
pub(super) fn evaluator(data: &[u8]) {
    run("x.txt", data);
}

/// `--set` and its kin, and values files.
pub(super) fn values(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for apply in [set::typed, set::strings, set::json, set::literal] {
        let base = Map::new();
        let _ = apply(&text, &base);
        let _ = values::to_json(&Value::Map(base));
    }
    let _ = values::read(data);
}

/// The YAML reader; what is read is written, and reads back the same.
pub(super) fn yaml(data: &[u8]) {
    let _ = yaml11::parse_all(data);
    let Ok(value) = yaml11::parse(data) else {
        return;
    };
    let Ok(written) = yaml11::to_yaml(&value) else {
        return;
    };
    let again = yaml11::parse(&written).map(|again| yaml11::to_yaml(&again));
    match again {
        Ok(Ok(again)) => assert!(again == written, "{}", String::from_utf8_lossy(&written)),
        other => panic!("{other:?}: {}", String::from_utf8_lossy(&written)),
    }
}

/// Repository indexes.
pub(super) fn index(data: &[u8]) {
    let index = Index::new(data);
    for name in ["a", "dapr", ""] {
        for range in ["", "*", ">1.0.0-0"] {
            let _ = index.find(name, range);
        }
        let _ = index.versions(name);
    }
}

/// Archives, as they come and as what is inside of the compression.
pub(super) fn archive(data: &[u8]) {
    let _ = Chart::from_archive(data);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    if gzip.write_all(data).is_ok()
        && let Ok(packed) = gzip.finish()
    {
        let _ = Chart::from_archive(&packed);
    }
}

/// A whole chart: files parted by a NUL, the first of them `Chart.yaml`.
pub(super) fn chart(data: &[u8]) {
    let names = [
        "Chart.yaml",
        "values.yaml",
        "templates/a.yaml",
        "values.schema.json",
        "templates/_b.tpl",
        "charts/sub/Chart.yaml",
        "charts/sub/templates/NOTES.txt",
        ".helmignore",
    ];
    let parts = data.split(|byte| *byte == 0);
    let files = names.iter().zip(parts).map(|(name, part)| ChartFile {
        name: (*name).to_owned(),
        data: part.to_vec().into(),
    });
    let Ok(chart) = Chart::from_files(files.collect()) else {
        return;
    };
    match render(chart, &RenderOptions::default()) {
        Ok(rendered) => {
            let _ = rendered.text(&PrintOptions::default());
        }
        Err(RenderError::Template(error)) => sound(&error),
        Err(_) => {}
    }
}
