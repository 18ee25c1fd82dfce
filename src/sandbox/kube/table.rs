//! Tables: what `kubectl get` prints.

use serde_json::{Value, json};

use super::catalog::Resource;
use super::render::{Include, Shown, partial};

/// A table of objects.
pub fn table(resource: &Resource, shown: &Shown, objects: &[Value], metadata: Value) -> Value {
    let _ = resource;
    let columns = json!([
        {"name": "Name", "type": "string", "format": "name", "description": "", "priority": 0},
        {"name": "Created At", "type": "date", "format": "", "description": "", "priority": 0},
    ]);
    let rows: Vec<_> = objects
        .iter()
        .map(|object| {
            let cells = json!([
                object.pointer("/metadata/name"),
                object.pointer("/metadata/creationTimestamp"),
            ]);
            let mut row = json!({"cells": cells});
            match shown.include {
                Include::None => {}
                Include::Metadata => row["object"] = partial(object),
                Include::Object => row["object"] = object.clone(),
            }
            row
        })
        .collect();
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": if shown.headers { columns } else { Value::Array(Vec::new()) },
        "rows": rows,
    })
}
