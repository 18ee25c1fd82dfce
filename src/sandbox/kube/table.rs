//! Tables: what `kubectl get` prints. Built-in kinds have the columns below,
//! custom ones those of their definitions.

use serde_json::{Value, json};

use super::catalog::Resource;
use super::columns;
use super::render::{Include, Shown, partial};

/// A column of a table.
pub struct Column {
    /// The heading.
    pub name: String,
    /// `string`, `integer`, `date`, …
    pub kind: String,
    /// Columns above 0 are shown in wide tables only.
    pub priority: i64,
}

impl Column {
    fn to_json(&self) -> Value {
        let format = if self.name == "Name" { "name" } else { "" };
        json!({
            "name": self.name,
            "type": self.kind,
            "format": format,
            "description": "",
            "priority": self.priority,
        })
    }
}

/// A table of objects.
pub fn table(resource: &Resource, shown: &Shown, objects: &[Value], metadata: &Value) -> Value {
    let columns = columns::of(resource);
    let rows: Vec<_> = objects
        .iter()
        .map(|object| {
            let mut row = json!({"cells": columns::cells(resource, object)});
            match shown.include {
                Include::None => {}
                Include::Metadata => row["object"] = partial(object),
                Include::Object => row["object"] = object.clone(),
            }
            row
        })
        .collect();
    let definitions: Vec<_> = columns.iter().map(Column::to_json).collect();
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": if shown.headers { json!(definitions) } else { json!([]) },
        "rows": rows,
    })
}
