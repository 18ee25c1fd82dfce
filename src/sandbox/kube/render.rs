//! Objects in the form that the caller asked for.

use serde_json::{Value, json};

use super::catalog::Resource;
use super::objects::{Page, list_value};
use super::request::{Call, Format};
use super::table;

/// How objects are shown.
#[derive(Debug, Clone, Copy)]
pub struct Shown {
    /// The form.
    pub format: Format,
    /// Whether a table states its columns.
    pub headers: bool,
    /// What a table's rows carry of their objects.
    pub include: Include,
}

/// What a table's rows carry of their objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Include {
    /// Nothing.
    None,
    /// The metadata.
    Metadata,
    /// All of it.
    Object,
}

impl Shown {
    /// As a call asks.
    pub fn of(call: &Call, format: Format) -> Self {
        let include = match call.request.param("includeObject") {
            Some("None") => Include::None,
            Some("Object") => Include::Object,
            _ => Include::Metadata,
        };
        Self {
            format,
            headers: true,
            include,
        }
    }
}

/// One object.
pub fn one(resource: &Resource, shown: &Shown, object: Value) -> Value {
    match shown.format {
        Format::Object => object,
        Format::Partial => partial(&object),
        Format::Table => {
            let version = object.pointer("/metadata/resourceVersion").cloned();
            let metadata = version.map_or_else(|| json!({}), |v| json!({"resourceVersion": v}));
            table::table(resource, shown, &[object], &metadata)
        }
    }
}

/// A list.
pub fn many(resource: &Resource, shown: &Shown, page: Page) -> Value {
    match shown.format {
        Format::Object => list_value(resource, page),
        Format::Table => {
            let items = page.items.clone();
            let metadata = list_value(
                resource,
                Page {
                    items: Vec::new(),
                    ..page
                },
            );
            let metadata = metadata.get("metadata").cloned().unwrap_or_default();
            table::table(resource, shown, &items, &metadata)
        }
        Format::Partial => {
            let mut list = list_value(resource, page);
            if let Some(items) = list.get_mut("items").and_then(Value::as_array_mut) {
                for item in items {
                    *item = partial(item);
                }
            }
            list["kind"] = json!("PartialObjectMetadataList");
            list["apiVersion"] = json!("meta.k8s.io/v1");
            list
        }
    }
}

/// Only an object's metadata.
pub fn partial(object: &Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": object.get("metadata").cloned().unwrap_or_else(|| json!({})),
    })
}
