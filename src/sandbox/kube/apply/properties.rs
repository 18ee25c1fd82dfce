//! Invariants of ownership, kept by random sequences of writes by several
//! managers.

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use serde_json::{Map, Value, json};

use super::managed::{Managers, Write};
use super::set::{Set, Step};
use super::{field_set, name_fields};
use crate::sandbox::kube::schema::{Schema, custom};

fn schema() -> Schema {
    custom::schema(
        &json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
            "a": {"type": "integer"},
            "b": {"type": "string"},
            "m": {"type": "object", "additionalProperties": {"type": "string"}},
            "l": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
                  "items": {"type": "object", "properties": {"k": {"type": "string"}, "v": {"type": "integer"}, "w": {"type": "integer"}}}},
            "s": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            "atom": {"type": "array", "items": {"type": "integer"}},
        }}}}),
    )
}

#[derive(Debug, Clone)]
enum Action {
    Apply(usize, Value, bool),
    Update(usize, Value),
}

fn spec() -> impl Strategy<Value = Value> {
    let number = 0..3_i64;
    let letter = prop::sample::select(vec!["x", "y", "z"]);
    let items = prop::collection::btree_map(
        letter.clone(),
        (
            prop::option::of(number.clone()),
            prop::option::of(number.clone()),
        ),
        0..3,
    );
    (
        prop::option::of(number.clone()),
        prop::option::of(letter.clone()),
        prop::option::of(prop::collection::btree_map(
            letter.clone(),
            letter.clone(),
            0..3,
        )),
        prop::option::of(items),
        prop::option::of(prop::collection::btree_set(letter, 0..3)),
        prop::option::of(prop::collection::vec(number, 0..3)),
    )
        .prop_map(|(a, b, m, l, s, atom)| {
            let mut spec = Map::new();
            let mut put = |name: &str, value: Option<Value>| {
                if let Some(value) = value {
                    spec.insert(name.to_owned(), value);
                }
            };
            put("a", a.map(Value::from));
            put("b", b.map(Value::from));
            put("m", m.map(|m| json!(m)));
            put("s", s.map(|s| json!(s)));
            put("atom", atom.map(|a| json!(a)));
            let l = l.map(|l| {
                let items = l.into_iter().map(|(k, (v, w))| {
                    let mut item = json!({"k": k});
                    if let Some(v) = v {
                        item["v"] = json!(v);
                    }
                    if let Some(w) = w {
                        item["w"] = json!(w);
                    }
                    item
                });
                Value::Array(items.collect())
            });
            put("l", l);
            json!({"metadata": {"name": "o"}, "spec": spec})
        })
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        (0..3_usize, spec(), any::<bool>())
            .prop_map(|(who, object, force)| Action::Apply(who, object, force)),
        (0..3_usize, spec()).prop_map(|(who, object)| Action::Update(who, object)),
    ]
}

fn write<'a>(name: &'a str, time: &'a str) -> Write<'a> {
    Write {
        name,
        api_version: "t/v1",
        subresource: "",
        time,
        ignored: &[],
    }
}

/// The value at a path, if it is there.
fn at<'a>(object: &'a Value, path: &[Step]) -> Option<&'a Value> {
    path.iter().try_fold(object, |value, step| match step {
        Step::Field(name) => value.get(&**name),
        Step::Item(wanted) => value
            .as_array()?
            .iter()
            .find(|v| super::set::Leaf::from(*v) == *wanted),
        Step::Key(keys) => value.as_array()?.iter().find(|item| {
            keys.iter().all(|(key, wanted)| {
                item.get(&**key)
                    .is_some_and(|v| super::set::Leaf::from(v) == *wanted)
            })
        }),
        Step::Index(n) => value.get(n),
    })
}

/// Whether a value is owned as a whole: objects and keyed lists are not.
fn is_leaf(value: &Value, path: &[Step]) -> bool {
    let atomic = path.last() == Some(&Step::field("atom"));
    !value.is_object() && (!value.is_array() || atomic)
}

fn owners(managers: &Managers, path: &[Step]) -> Vec<String> {
    managers
        .iter()
        .filter(|(_, owned)| owned.set.contains(path))
        .map(|(m, _)| format!("{}/{}", m.name, m.applied))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        // What failed once is tried first.
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(
            "tests/regressions/kube-apply.txt",
        ))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn ownership_stays_true(actions in prop::collection::vec(action(), 1..12)) {
        let schema = schema();
        let types = &schema.types;
        let mut object = json!({"metadata": {"name": "o"}});
        let mut managers = Managers::default();
        for (n, action) in actions.into_iter().enumerate() {
            let time = format!("t{n:02}");
            let before = object.clone();
            let owned_before = managers.clone();
            match action {
                Action::Update(who, new) => {
                    let name = format!("u{who}");
                    managers.update(&schema, &object, &new, &write(&name, &time));
                    object = new;
                }
                Action::Apply(who, config, force) => {
                    let name = format!("m{who}");
                    let mut next = managers.clone();
                    let applied = next.apply(&schema, &object, &config, &write(&name, &time), force);
                    let Ok(new) = applied else {
                        prop_assert!(!force, "a forced apply has no conflicts");
                        continue;
                    };
                    // What the configuration states is so, and is the applier's.
                    let stated = field_set(types, schema.root, &config);
                    for path in stated.paths() {
                        if path.first() == Some(&Step::field("metadata")) {
                            continue;
                        }
                        let (wanted, found) = (at(&config, &path), at(&new, &path));
                        if wanted.is_some_and(|v| is_leaf(v, &path)) {
                            prop_assert_eq!(wanted, found, "{:?}", path);
                        }
                        let owner = format!("{name}/true");
                        prop_assert!(owners(&next, &path).contains(&owner));
                    }
                    if !force {
                        // Nobody else's field changed, unless it went with a list
                        // item that the applier had put there: Kubernetes removes
                        // such an item whole.
                        let mine: Set = owned_before
                            .iter()
                            .filter(|(m, _)| m.name == name && m.applied)
                            .fold(Set::default(), |set, (_, owned)| set.union(&owned.set));
                        let went_along = |path: &[Step]| {
                            (1..path.len()).any(|n| {
                                let item = &path[..n];
                                mine.contains(item) && at(&new, item).is_none()
                            })
                        };
                        for (manager, owned) in owned_before.iter().filter(|(m, _)| m.name != name) {
                            for path in owned.set.paths() {
                                let (was, is) = (at(&before, &path), at(&new, &path));
                                if was.is_some_and(|v| is_leaf(v, &path)) && !went_along(&path) {
                                    prop_assert_eq!(was, is, "{:?} of {:?}", path, manager);
                                }
                            }
                        }
                    }
                    // What it no longer states is gone, if it was its alone.
                    let last: Set = owned_before
                        .iter()
                        .filter(|(m, _)| m.name == name && m.applied)
                        .fold(Set::default(), |set, (_, owned)| set.union(&owned.set));
                    for path in last.difference(&stated).paths() {
                        let alone = owners(&next, &path).is_empty();
                        let everything = next.everything();
                        let below = name_fields(types, schema.root, &everything);
                        let kept = path.iter().try_fold(&below, |set, step| set.below(step)).is_some();
                        if alone && !kept {
                            prop_assert!(at(&new, &path).is_none(), "{path:?} is still in {new}");
                        }
                    }
                    managers = next;
                    object = new;
                }
            }
            // Every owned field exists.
            for path in managers.everything().paths() {
                prop_assert!(at(&object, &path).is_some(), "{path:?} is not in {object}");
            }
            // The notation says all of it.
            let mut written = object.clone();
            managers.write(&mut written);
            prop_assert_eq!(Managers::read(&written), managers.clone());
        }
    }
}
