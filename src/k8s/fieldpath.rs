//! Paths of fields as the API server writes them in conflicts, such as
//! `.spec.template.spec.containers[name="app"].image`.

use serde_json::Value;

/// Removes the field at a path; false when the object has none there, or when
/// the path is of a form that we do not know.
pub(super) fn remove(object: &mut Value, path: &str) -> bool {
    if let Some(rest) = path.strip_prefix('.') {
        let Value::Object(fields) = object else {
            return false;
        };
        // Keys may hold dots: the longest that fits is meant.
        let keys = fields.keys().filter(|key| {
            rest.strip_prefix(key.as_str())
                .is_some_and(|after| after.is_empty() || after.starts_with(['.', '[']))
        });
        let Some(key) = keys.max_by_key(|key| key.len()).cloned() else {
            return false;
        };
        let after = rest.get(key.len()..).unwrap_or_default();
        if after.is_empty() {
            return fields.remove(&key).is_some();
        }
        return fields
            .get_mut(&key)
            .is_some_and(|below| remove(below, after));
    }
    let Some((selector, after)) = path.strip_prefix('[').and_then(selector) else {
        return false;
    };
    let Value::Array(items) = object else {
        return false;
    };
    let Some(at) = items.iter().position(|item| fits(item, &selector)) else {
        return false;
    };
    if after.is_empty() {
        items.remove(at);
        return true;
    }
    items.get_mut(at).is_some_and(|item| remove(item, after))
}

/// Keys and JSON values up to the closing bracket, and what follows it. An
/// empty key stands for the item itself.
fn selector(text: &str) -> Option<(Vec<(String, Value)>, &str)> {
    let mut wanted = Vec::new();
    let mut rest = text;
    loop {
        let (key, value) = rest.split_once('=')?;
        let mut values = serde_json::Deserializer::from_str(value).into_iter::<Value>();
        let found = values.next()?.ok()?;
        rest = value.get(values.byte_offset()..)?;
        wanted.push((key.to_owned(), found));
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None => return Some((wanted, rest.strip_prefix(']')?)),
        }
    }
}

fn fits(item: &Value, wanted: &[(String, Value)]) -> bool {
    wanted.iter().all(|(key, value)| match key.as_str() {
        "" => item == value,
        // What the server fills in is not in the manifest.
        key => match item.get(key) {
            Some(found) => found == value,
            None => key == "protocol",
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_field_is_found_by_the_servers_path() {
        let object = json!({
            "metadata": {"labels": {"app.kubernetes.io/name": "x", "app": "y"}},
            "spec": {"replicas": 2, "containers": [
                {"name": "a", "image": "i"},
                {"name": "b", "ports": [{"containerPort": 80, "name": "http"}]}
            ], "finalizers": ["one", "two"]}
        });
        for (path, gone) in [
            (".spec.replicas", "/spec/replicas"),
            (".metadata.labels.app", "/metadata/labels/app"),
            (
                ".metadata.labels.app.kubernetes.io/name",
                "/metadata/labels/app.kubernetes.io~1name",
            ),
            (
                ".spec.containers[name=\"a\"].image",
                "/spec/containers/0/image",
            ),
            (
                ".spec.containers[name=\"b\"].ports[containerPort=80,protocol=\"TCP\"].name",
                "/spec/containers/1/ports/0/name",
            ),
            (".spec.finalizers[=\"two\"]", "/spec/finalizers/1"),
        ] {
            let mut rest = object.clone();
            assert!(remove(&mut rest, path), "{path}");
            assert_eq!(rest.pointer(gone), None, "{path}");
            assert_ne!(rest, object);
        }
    }

    #[test]
    fn what_is_not_there_is_not_removed() {
        let object = json!({"spec": {"list": [1]}});
        for path in [
            ".spec.none",
            ".spec.list[name=\"a\"]",
            ".spec.list[0]",
            "spec",
            "",
            "[",
            ".spec.list[",
        ] {
            let mut rest = object.clone();
            assert!(!remove(&mut rest, path), "{path}");
            assert_eq!(rest, object);
        }
    }
}
