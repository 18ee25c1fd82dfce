//! `metadata.managedFields`: reading it, keeping it true on every write, and
//! the apply operation itself.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use super::set::{Set, Step, path_text};
use super::{MergeError, compare, field_set, merge, name_fields, remove};
use crate::sandbox::kube::schema::Schema;

/// More updaters than this are folded into one.
const MAX_UPDATERS: usize = 10;

/// Who owns fields, and how it came to own them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Manager {
    /// Its name.
    pub name: String,
    /// Whether by apply, rather than by any other write.
    pub applied: bool,
    /// The version that it wrote in; empty for an applier, which is the same
    /// one in every version.
    pub api_version: String,
    /// The subresource that it wrote through.
    pub subresource: String,
}

/// What a manager owns, and since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owned {
    /// The fields.
    pub set: Set,
    /// When that last changed.
    pub time: String,
    /// The version that it last wrote in.
    pub api_version: String,
}

/// All managers of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Managers {
    map: BTreeMap<Manager, Owned>,
}

/// Why an apply is refused.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Other managers own fields that it would change.
    #[error("fields are owned by other managers")]
    Conflicts(Vec<Conflict>),
    /// The configuration does not fit.
    #[error(transparent)]
    Merge(#[from] MergeError),
}

/// A field that another manager owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The owner.
    pub manager: Manager,
    /// The field.
    pub path: Vec<Step>,
}

impl Conflict {
    /// `conflict with "kubectl" using apps/v1`, as Kubernetes says it.
    pub fn message(&self) -> String {
        let Manager {
            name,
            applied,
            api_version,
            subresource,
        } = &self.manager;
        let mut text = format!("conflict with {}", json!(name));
        if !subresource.is_empty() {
            text = format!("{text} with subresource {}", json!(subresource));
        }
        if !applied {
            text = format!("{text} using {api_version}");
        }
        text
    }

    /// The field as the message writes it.
    pub fn field(&self) -> String {
        path_text(&self.path)
    }
}

/// Fields that nobody owns: identity and bookkeeping.
const UNOWNED: [&[&str]; 12] = [
    &["apiVersion"],
    &["kind"],
    &["metadata", "name"],
    &["metadata", "namespace"],
    &["metadata", "creationTimestamp"],
    &["metadata", "deletionTimestamp"],
    &["metadata", "deletionGracePeriodSeconds"],
    &["metadata", "selfLink"],
    &["metadata", "uid"],
    &["metadata", "resourceVersion"],
    &["metadata", "generation"],
    &["metadata", "managedFields"],
];

static UNOWNED_STEPS: LazyLock<Vec<Vec<Step>>> =
    LazyLock::new(|| UNOWNED.iter().map(|path| steps(path)).collect());

fn steps(path: &[&str]) -> Vec<Step> {
    path.iter().map(|name| Step::field(name)).collect()
}

impl Managers {
    /// Reads an object's managers.
    pub fn read(object: &Value) -> Self {
        let entries = object
            .pointer("/metadata/managedFields")
            .and_then(Value::as_array);
        let text = |entry: &Value, key: &str| {
            entry
                .get(key)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let mut map: BTreeMap<Manager, Owned> = BTreeMap::new();
        for entry in entries.into_iter().flatten() {
            let applied = text(entry, "operation") == "Apply";
            let api_version = text(entry, "apiVersion");
            let manager = Manager {
                name: text(entry, "manager"),
                applied,
                api_version: if applied {
                    String::new()
                } else {
                    api_version.clone()
                },
                subresource: text(entry, "subresource"),
            };
            let set = Set::from_json(entry.get("fieldsV1").unwrap_or(&Value::Null));
            let time = text(entry, "time");
            map.entry(manager)
                .and_modify(|owned| owned.set = std::mem::take(&mut owned.set).union(&set))
                .or_insert(Owned {
                    set,
                    time,
                    api_version,
                });
        }
        Self { map }
    }

    /// The managers that a writer of the object states itself: none by an empty
    /// list or one empty entry, which resets them. `None` leaves those of the
    /// live object, as clients that know nothing of managers must not lose them.
    pub fn stated(object: &Value) -> Option<Self> {
        let entries = object.pointer("/metadata/managedFields")?.as_array()?;
        match entries.as_slice() {
            [] => return Some(Self::default()),
            [only] if only.as_object().is_some_and(Map::is_empty) => return Some(Self::default()),
            _ => {}
        }
        let text = |entry: &Value, key: &str| entry.get(key).and_then(Value::as_str).is_some();
        let readable = entries.iter().all(|entry| {
            let operation = entry.get("operation").and_then(Value::as_str);
            matches!(operation, Some("Apply" | "Update"))
                && text(entry, "apiVersion")
                && entry.get("fieldsV1").is_none_or(Value::is_object)
        });
        let stated = Self::read(object);
        (readable && !stated.map.is_empty()).then_some(stated)
    }

    /// Writes the managers into an object: appliers first, then by time.
    pub fn write(&self, object: &mut Value) {
        let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else {
            return;
        };
        let mut entries: Vec<_> = self.map.iter().collect();
        entries.sort_by(|(a, x), (b, y)| {
            let key = |m: &'_ Manager, o: &'_ Owned| {
                (
                    !m.applied,
                    o.time.clone(),
                    m.name.clone(),
                    m.subresource.clone(),
                )
            };
            key(a, x).cmp(&key(b, y))
        });
        let entries: Vec<_> = entries
            .into_iter()
            .map(|(manager, owned)| entry(manager, owned))
            .collect();
        if entries.is_empty() {
            metadata.shift_remove("managedFields");
        } else {
            metadata.insert("managedFields".to_owned(), Value::Array(entries));
        }
    }

    /// Everything that anybody owns.
    pub fn everything(&self) -> Set {
        self.map
            .values()
            .fold(Set::default(), |all, owned| all.union(&owned.set))
    }

    /// All managers with what they own.
    pub fn iter(&self) -> impl Iterator<Item = (&Manager, &Owned)> {
        self.map.iter()
    }

    /// Notes a write other than apply: the writer owns what it changed.
    pub fn update(&mut self, schema: &Schema, old: &Value, new: &Value, change: &Write<'_>) {
        let comparison = change.compare(schema, old, new);
        let manager = change.manager(false);
        let changed = comparison.modified.clone().union(&comparison.added);
        for (other, owned) in &mut self.map {
            if *other != manager {
                owned.set = owned
                    .set
                    .difference(&changed)
                    .difference(&comparison.removed);
            }
        }
        let before = self.map.remove(&manager);
        let set = before
            .as_ref()
            .map(|o| o.set.difference(&comparison.removed))
            .unwrap_or_default()
            .union(&changed);
        let time = match before {
            Some(before) if changed.is_empty() => before.time,
            _ => change.time.to_owned(),
        };
        self.map.insert(manager, change.owned(set, time));
        self.tidy(change.time);
    }

    /// Applies a configuration; gives the new object, without managers.
    pub fn apply(
        &mut self,
        schema: &Schema,
        live: &Value,
        config: &Value,
        change: &Write<'_>,
        force: bool,
    ) -> Result<Value, ApplyError> {
        let types = &schema.types;
        let root = schema.root;
        let mut new = merge(types, root, live, config)?;
        let manager = change.manager(true);
        let last = self.map.get(&manager).cloned();
        let mut set = field_set(types, root, config);
        change.cut(&mut set);
        let before = last.as_ref().map(|l| l.time.clone()).unwrap_or_default();
        let now = change.time.to_owned();
        let stated = set.clone();
        self.map.insert(manager.clone(), change.owned(set, now));
        // Who states all that it stated last time takes nothing away.
        if let Some(last) = last.filter(|last| !last.set.difference(&stated).is_empty()) {
            new = self.prune(schema, new, &last.set);
        }
        let comparison = change.compare(schema, live, &new);
        let changed = comparison.modified.clone().union(&comparison.added);
        let mut conflicts = Vec::new();
        for (other, owned) in self.map.iter_mut().filter(|(m, _)| **m != manager) {
            let taken = owned.set.intersection(&changed);
            conflicts.extend(taken.paths().into_iter().map(|path| Conflict {
                manager: other.clone(),
                path,
            }));
            owned.set = owned.set.difference(&taken).difference(&comparison.removed);
        }
        if !force && !conflicts.is_empty() {
            return Err(ApplyError::Conflicts(conflicts));
        }
        // Only a write that changed the object has a time.
        if comparison.is_same()
            && let Some(owned) = self.map.get_mut(&manager)
        {
            owned.time = before;
        }
        self.tidy(change.time);
        Ok(new)
    }

    /// Takes away what the applier stated last time and nobody states now.
    fn prune(&self, schema: &Schema, merged: Value, last: &Set) -> Value {
        let types = &schema.types;
        let root = schema.root;
        let named = |set: &Set| name_fields(types, root, set);
        let last = named(last);
        let pruned = remove(types, root, &merged, &last);
        let all = named(&field_set(types, root, &merged));
        let kept = named(&field_set(types, root, &pruned)).union(&named(&self.everything()));
        let pruned = remove(types, root, &merged, &all.difference(&kept));
        let kept = named(&field_set(types, root, &pruned));
        // An object that holds nothing but empty lists states no field, so it
        // is not in `kept`; whoever owns it keeps it.
        let gone = all
            .difference(&kept)
            .intersection(&last)
            .difference(&self.everything());
        if gone.is_empty() {
            return merged;
        }
        remove(types, root, &merged, &gone)
    }

    fn tidy(&mut self, now: &str) {
        self.map.retain(|_, owned| !owned.set.is_empty());
        let mut updaters: Vec<_> = self
            .map
            .iter()
            .filter(|(m, _)| !m.applied)
            .map(|(m, o)| (o.time.clone(), m.clone()))
            .collect();
        if updaters.len() <= MAX_UPDATERS {
            return;
        }
        updaters.sort();
        let surplus = updaters.len() - MAX_UPDATERS + 1;
        for (_, manager) in updaters.into_iter().take(surplus) {
            let Some(owned) = self.map.remove(&manager) else {
                continue;
            };
            let ancient = Manager {
                name: "ancient-changes".to_owned(),
                applied: false,
                ..manager
            };
            let entry = self.map.entry(ancient).or_insert_with(|| Owned {
                set: Set::default(),
                time: now.to_owned(),
                api_version: owned.api_version.clone(),
            });
            entry.set = std::mem::take(&mut entry.set).union(&owned.set);
        }
    }
}

/// A write, as its manager is noted.
#[derive(Debug, Clone, Copy)]
pub struct Write<'a> {
    /// Who writes.
    pub name: &'a str,
    /// In which version.
    pub api_version: &'a str,
    /// Through which subresource.
    pub subresource: &'a str,
    /// When.
    pub time: &'a str,
    /// What this endpoint does not write, so that nobody owns it by it.
    pub ignored: &'a [&'a [&'a str]],
}

impl Write<'_> {
    fn manager(&self, applied: bool) -> Manager {
        Manager {
            name: self.name.to_owned(),
            applied,
            api_version: if applied { "" } else { self.api_version }.to_owned(),
            subresource: self.subresource.to_owned(),
        }
    }

    fn owned(&self, set: Set, time: String) -> Owned {
        Owned {
            set,
            time,
            api_version: self.api_version.to_owned(),
        }
    }

    fn cut(&self, set: &mut Set) {
        if set.is_empty() {
            return;
        }
        for path in UNOWNED_STEPS.iter() {
            set.cut(path);
        }
        for path in self.ignored {
            set.cut(&steps(path));
        }
    }

    fn compare(&self, schema: &Schema, old: &Value, new: &Value) -> super::Comparison {
        let mut comparison = compare(&schema.types, schema.root, old, new);
        self.cut(&mut comparison.added);
        self.cut(&mut comparison.modified);
        comparison
    }
}

fn entry(manager: &Manager, owned: &Owned) -> Value {
    let mut entry = Map::new();
    let operation = if manager.applied { "Apply" } else { "Update" };
    entry.insert("manager".to_owned(), json!(manager.name));
    entry.insert("operation".to_owned(), json!(operation));
    entry.insert("apiVersion".to_owned(), json!(owned.api_version));
    if !owned.time.is_empty() {
        entry.insert("time".to_owned(), json!(owned.time));
    }
    entry.insert("fieldsType".to_owned(), json!("FieldsV1"));
    entry.insert("fieldsV1".to_owned(), owned.set.to_json());
    if !manager.subresource.is_empty() {
        entry.insert("subresource".to_owned(), json!(manager.subresource));
    }
    Value::Object(entry)
}
