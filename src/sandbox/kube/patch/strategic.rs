//! Strategic merge patch: a merge patch whose lists merge by the keys that
//! the schema of a built-in kind names, with `$patch`, `$retainKeys`,
//! `$deleteFromPrimitiveList` and `$setElementOrder` directives.

use serde_json::{Map, Value};

use crate::sandbox::kube::schema::{PatchRule, Schema, Type, TypeId, Types};
use crate::sandbox::kube::status::{Outcome, Status};

/// The object with the patch applied.
pub(super) fn apply(schema: &Schema, object: &Value, patch: &Value) -> Outcome<Value> {
    let (Value::Object(object), Value::Object(patch)) = (object, patch) else {
        return Err(Status::bad_request("error decoding patch"));
    };
    objects(&schema.types, schema.root, object, patch, false).map(Value::Object)
}

fn objects(
    types: &Types,
    id: TypeId,
    object: &Map<String, Value>,
    patch: &Map<String, Value>,
    retain: bool,
) -> Outcome<Map<String, Value>> {
    match patch.get("$patch").and_then(Value::as_str) {
        Some("replace") => {
            let plain = patch.iter().filter(|(name, _)| *name != "$patch");
            return Ok(plain.map(|(n, v)| (n.clone(), v.clone())).collect());
        }
        Some("delete") => return Ok(Map::new()),
        Some("merge") | None => {}
        Some(other) => {
            return Err(Status::bad_request(format!("unknown patch type: {other}")));
        }
    }
    let mut out = object.clone();
    let retained = patch.get("$retainKeys").and_then(Value::as_array);
    if let Some(keys) = retained.filter(|_| retain || patch.contains_key("$retainKeys")) {
        out.retain(|name, _| keys.iter().any(|k| k == name));
    }
    for (name, value) in patch {
        if let Some(field) = name.strip_prefix("$deleteFromPrimitiveList/") {
            let gone = value.as_array().map_or(&[][..], Vec::as_slice);
            if let Some(items) = out.get_mut(field).and_then(Value::as_array_mut) {
                items.retain(|item| !gone.contains(item));
            }
            continue;
        }
        if name.starts_with('$') {
            continue;
        }
        if value.is_null() {
            out.shift_remove(name);
            continue;
        }
        let (ty, rule) = field(types, id, name);
        let merged = match (out.get(name), value) {
            (Some(Value::Object(old)), Value::Object(new)) => {
                Value::Object(objects(types, ty, old, new, rule.retain_keys)?)
            }
            (old, Value::Array(new)) if rule.merge => {
                let old = old.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
                Value::Array(lists(types, ty, old, new, &rule)?)
            }
            (_, Value::Object(new)) => {
                Value::Object(objects(types, ty, &Map::new(), new, rule.retain_keys)?)
            }
            (_, other) => other.clone(),
        };
        out.insert(name.clone(), merged);
    }
    for (name, order) in patch {
        if let Some(field_name) = name.strip_prefix("$setElementOrder/") {
            let (_, rule) = field(types, id, field_name);
            if let Some((items, order)) = out
                .get_mut(field_name)
                .and_then(Value::as_array_mut)
                .zip(order.as_array())
            {
                sort(items, order, rule.key.as_deref());
            }
        }
    }
    Ok(out)
}

fn field(types: &Types, id: TypeId, name: &str) -> (TypeId, PatchRule) {
    match types.get(id) {
        Type::Object(object) => match object.fields.get(name) {
            Some(field) => (field.ty, field.patch.clone()),
            None => (object.rest.unwrap_or(TypeId::MAX), PatchRule::default()),
        },
        _ => (TypeId::MAX, PatchRule::default()),
    }
}

fn lists(
    types: &Types,
    id: TypeId,
    old: &[Value],
    new: &[Value],
    rule: &PatchRule,
) -> Outcome<Vec<Value>> {
    let item = match types.get(id) {
        Type::List(list) => list.item,
        _ => TypeId::MAX,
    };
    let Some(key) = rule.key.as_deref() else {
        let mut out = old.to_vec();
        for value in new {
            if !out.contains(value) {
                out.push(value.clone());
            }
        }
        return Ok(out);
    };
    let directive = |value: &Value| {
        value
            .get("$patch")
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    if new
        .iter()
        .any(|v| directive(v).as_deref() == Some("replace"))
    {
        let plain = new.iter().filter(|v| directive(v).is_none());
        return Ok(plain.cloned().collect());
    }
    let mut out = old.to_vec();
    for value in new {
        let Some(id_value) = value.get(key) else {
            return Err(Status::bad_request(format!(
                "map: {value} does not contain declared merge key: {key}"
            )));
        };
        if directive(value).as_deref() == Some("delete") {
            out.retain(|o| o.get(key) != Some(id_value));
            continue;
        }
        let held = out.iter_mut().find(|o| o.get(key) == Some(id_value));
        let empty = Map::new();
        let patch = value.as_object().unwrap_or(&empty);
        match held {
            Some(held) => {
                let merged = objects(
                    types,
                    item,
                    held.as_object().unwrap_or(&empty),
                    patch,
                    rule.retain_keys,
                )?;
                *held = Value::Object(merged);
            }
            None => out.push(Value::Object(objects(types, item, &empty, patch, false)?)),
        }
    }
    Ok(out)
}

/// Sorts items into the stated order; others keep their place relative to the
/// item before them.
fn sort(items: &mut [Value], order: &[Value], key: Option<&str>) {
    let rank = |item: &Value| {
        order.iter().position(|wanted| match key {
            Some(key) => wanted.get(key) == item.get(key) && item.get(key).is_some(),
            None => wanted == item,
        })
    };
    let mut listed: Vec<_> = items
        .iter()
        .filter_map(|item| rank(item).map(|r| (r, item.clone())))
        .collect();
    listed.sort_by_key(|(rank, _)| *rank);
    let mut listed = listed.into_iter().map(|(_, item)| item);
    for item in items.iter_mut() {
        if rank(item).is_some()
            && let Some(next) = listed.next()
        {
            *item = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn deployment(containers: &Value) -> Value {
        json!({"spec": {"template": {"spec": {"containers": containers}}}})
    }

    #[test]
    fn lists_merge_by_the_keys_of_the_kind() {
        let schema = Schema::builtin("apps.v1.Deployment").unwrap();
        let live = deployment(
            &json!([{"name": "a", "image": "x", "env": [{"name": "E", "value": "1"}]}, {"name": "b", "image": "y"}]),
        );
        let cases = [
            (
                json!([{"name": "a", "image": "z"}]),
                json!([{"name": "a", "image": "z", "env": [{"name": "E", "value": "1"}]}, {"name": "b", "image": "y"}]),
            ),
            (
                json!([{"name": "b", "$patch": "delete"}]),
                json!([{"name": "a", "image": "x", "env": [{"name": "E", "value": "1"}]}]),
            ),
            (
                json!([{"$patch": "replace"}, {"name": "c", "image": "w"}]),
                json!([{"name": "c", "image": "w"}]),
            ),
        ];
        for (patch, expected) in cases {
            let out = apply(&schema, &live, &deployment(&patch)).unwrap();
            assert_eq!(out, deployment(&expected));
        }
    }

    #[test]
    fn the_stated_order_rules() {
        let schema = Schema::builtin("apps.v1.Deployment").unwrap();
        let live = deployment(&json!([{"name": "a"}, {"name": "b"}]));
        let patch = json!({"spec": {"template": {"spec": {
            "$setElementOrder/containers": [{"name": "b"}, {"name": "a"}],
            "containers": [{"name": "b", "image": "i"}]
        }}}});
        let out = apply(&schema, &live, &patch).unwrap();
        assert_eq!(
            out,
            deployment(&json!([{"name": "b", "image": "i"}, {"name": "a"}]))
        );
    }
}
