//! In what two manifests of a release differ, object by object.

use serde_json::Value;

use super::objects::{self, identity};
use crate::k8s::FieldChange;
use crate::k8s::diff::between;
use crate::manifest::Manifest;

/// The changed fields of objects that stay, as `Kind name: path`, and the
/// objects that come and go as a whole. A manifest that cannot be read has no
/// objects.
pub fn differences(before: &str, after: &str) -> Vec<FieldChange> {
    let read = |text| objects::parse(text, "manifest").unwrap_or_default();
    let (before, after): (Vec<Manifest>, Vec<Manifest>) = (read(before), read(after));
    let name = |object: &Manifest| format!("{} {}", object.kind(), object.name());
    let is_in = |all: &[Manifest], object: &Manifest| {
        let wanted = identity(object);
        all.iter().position(|other| identity(other) == wanted)
    };
    let mut changes = Vec::new();
    for object in &after {
        let Some(old) = is_in(&before, object).and_then(|at| before.get(at)) else {
            changes.push(FieldChange {
                path: name(object),
                before: None,
                after: Some(Value::from("new")),
            });
            continue;
        };
        changes.extend(between(old, object).into_iter().map(|change| FieldChange {
            path: format!("{}: {}", name(object), change.path),
            ..change
        }));
    }
    let gone = before
        .iter()
        .filter(|object| is_in(&after, object).is_none());
    changes.extend(gone.map(|object| FieldChange {
        path: name(object),
        before: Some(Value::from("there")),
        after: None,
    }));
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: one}\n\
        ---\napiVersion: v1\nkind: Service\nmetadata: {name: old}\n";
    const AFTER: &str = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: two}\n\
        ---\napiVersion: v1\nkind: Secret\nmetadata: {name: s}\n";

    #[test]
    fn objects_change_come_and_go() {
        let shown: Vec<String> = differences(BEFORE, AFTER)
            .iter()
            .map(|change| format!("{} {:?} {:?}", change.path, change.before, change.after))
            .collect();
        assert_eq!(
            shown,
            [
                r#"ConfigMap a: data.k Some(String("one")) Some(String("two"))"#,
                r#"Secret s None Some(String("new"))"#,
                r#"Service old Some(String("there")) None"#,
            ]
        );
        assert_eq!(differences(AFTER, AFTER), []);
    }
}
