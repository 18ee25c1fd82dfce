//! The path of every write: decode, default, prepare, note the manager,
//! validate, keep.

use serde_json::{Map, Value, json};

use super::admission::{Attempt, Operation};
use super::apply::managed::{ApplyError, Conflict, Managers, Write};
use super::catalog::{Resource, Sub};
use super::cluster::{key, present, presented, text};
use super::prepare::{
    blank, bump_generation, drop_version, ignored, is_finished, prepare_create, prepare_update,
    shape, to_storage,
};
use super::request::{Call, Verb};
use super::status::{Cause, Outcome, Status};
use super::{admission, body, defaults, kinds, patch, validate};
use crate::sandbox::store::Row;

/// How often a write starts again when somebody else was faster.
const ATTEMPTS: usize = 8;

/// A finished write.
pub struct Written {
    /// The object as it is now.
    pub object: Value,
    /// Whether it is new.
    pub created: bool,
}

/// Makes an object.
pub async fn create(call: &Call) -> Outcome<Written> {
    let mut object = body::object(call, &call.request.body)?;
    for attempt in 0..5 {
        let generated = name_it(call, &mut object, attempt)?;
        let made = insert(call, object.clone(), None).await;
        match made {
            Err(status) if generated && status.reason == "AlreadyExists" => {
                if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
                    metadata.shift_remove("name");
                }
            }
            other => return other,
        }
    }
    Err(Status::internal("no free name was found"))
}

/// Replaces an object.
pub async fn update(call: &Call) -> Outcome<Written> {
    let object = body::object(call, &call.request.body)?;
    check_place(call, &object)?;
    let name = text(&object, "/metadata/name");
    if name.is_empty() {
        return Err(Status::bad_request("name must be provided"));
    }
    modify(call, Note::Update, |_| Ok(object.clone())).await
}

/// Changes an object by a patch; applies make it when it is not there.
pub async fn patch(call: &Call) -> Outcome<Written> {
    let kind = patch::Kind::of(&call.request)?;
    if kind == patch::Kind::Apply {
        return apply(call).await;
    }
    if kind == patch::Kind::Strategic && call.resource.custom.is_some() {
        return Err(Status::unsupported_media_type(
            "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
        ));
    }
    if call.request.param("force").is_some() {
        let cause = Cause::forbidden("force", "may not be specified for non-apply patch");
        return Err(Status::invalid(
            "meta.k8s.io",
            "PatchOptions",
            "",
            vec![cause],
        ));
    }
    let patch = patch::Patch::parse(kind, &call.request.body)?;
    modify(call, Note::Update, |live| {
        let patched = patch.apply(&call.resource.schema, live)?;
        let bytes = serde_json::to_vec(&patched).unwrap_or_default();
        body::checked(call, patched, &bytes)
    })
    .await
}

async fn apply(call: &Call) -> Outcome<Written> {
    if call
        .request
        .param("fieldManager")
        .unwrap_or_default()
        .is_empty()
    {
        let cause = Cause::required("fieldManager", "is required for apply patch");
        return Err(Status::invalid(
            "meta.k8s.io",
            "PatchOptions",
            "",
            vec![cause],
        ));
    }
    let config = body::apply_configuration(call)?;
    let wanted = text(&config, "/metadata/name");
    if wanted.is_empty() {
        return Err(Status::bad_request(format!(
            "the name of the object ({} based on URL) was undeterminable: name must be provided",
            call.target.name
        )));
    }
    if wanted != call.target.name {
        return Err(Status::bad_request(format!(
            "the name of the object ({wanted}) does not match the name on the URL ({})",
            call.target.name
        )));
    }
    if config
        .pointer("/metadata/managedFields")
        .is_some_and(|m| !m.is_null())
    {
        return Err(Status::bad_request("metadata.managedFields must be nil"));
    }
    let force = matches!(call.request.param("force"), Some("true" | "1"));
    for _ in 0..ATTEMPTS {
        let row = find(call);
        if row.is_none() {
            if call.sub.is_some() {
                return Err(Status::not_found(&call.resource, &call.target.name));
            }
            if !text(&config, "/metadata/uid").is_empty() {
                return Err(Status::conflict(
                    &call.resource,
                    &call.target.name,
                    &format!(
                        "Precondition failed: UID in precondition: {}, UID in object meta: ",
                        text(&config, "/metadata/uid")
                    ),
                ));
            }
            let mut object = config.clone();
            if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
                metadata.insert("name".to_owned(), json!(call.target.name));
            }
            name_it(call, &mut object, 0)?;
            match insert(call, object, Some(&config)).await {
                Err(status) if status.reason == "AlreadyExists" => continue,
                other => return other,
            }
        }
        // What comes of it is a matter of the managers.
        let note = Note::Apply(&config, force);
        return modify(call, note, |_| Ok(Value::Null)).await;
    }
    Err(Status::modified(&call.resource, &call.target.name))
}

/// Changes an object by a rule of the server's own, for subresources.
pub async fn change(call: &Call, change: impl Fn(&Value) -> Outcome<Value>) -> Outcome<Written> {
    modify(call, Note::Update, change).await
}

/// How a write is noted.
#[derive(Clone, Copy)]
enum Note<'a> {
    Update,
    Apply(&'a Value, bool),
}

fn find(call: &Call) -> Option<Row> {
    call.cluster
        .row(&call.resource, &call.target.namespace, &call.target.name)
}

/// Gives a new object its name and namespace; says whether it made the name up.
fn name_it(call: &Call, object: &mut Value, attempt: u64) -> Outcome<bool> {
    check_place(call, object)?;
    let name = text(object, "/metadata/name").to_owned();
    let base = text(object, "/metadata/generateName").to_owned();
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else {
        return Err(Status::bad_request("metadata must be an object"));
    };
    if call.resource.namespaced {
        metadata.insert("namespace".to_owned(), json!(call.target.namespace));
    } else {
        metadata.shift_remove("namespace");
    }
    if !name.is_empty() || base.is_empty() {
        return Ok(false);
    }
    let suffix = call.cluster.suffix(&base, attempt);
    let base: String = base.chars().take(58).collect();
    metadata.insert("name".to_owned(), json!(format!("{base}{suffix}")));
    Ok(true)
}

fn check_place(call: &Call, object: &Value) -> Outcome<()> {
    let namespace = text(object, "/metadata/namespace");
    if call.resource.namespaced && !namespace.is_empty() && namespace != call.target.namespace {
        return Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    let name = text(object, "/metadata/name");
    if call.verb != Verb::Create && !name.is_empty() && name != call.target.name {
        return Err(Status::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            call.target.name
        )));
    }
    Ok(())
}

/// Keeps a new object, made by a create or (with `config`) by an apply.
async fn insert(call: &Call, mut object: Value, config: Option<&Value>) -> Outcome<Written> {
    let (cluster, resource) = (&call.cluster, &call.resource);
    let dry_run = call.dry_run()?;
    check_namespace(call)?;
    if !text(&object, "/metadata/resourceVersion").is_empty() {
        return Err(Status::internal(
            "resourceVersion should not be set on objects to be created",
        ));
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.shift_remove("managedFields");
    }
    let mut managers = Managers::default();
    let time = cluster.now();
    let manager = call.manager();
    let ignored = ignored(resource, call.sub);
    let api_version = resource.api_version();
    let write = Write {
        name: &manager,
        api_version: &api_version,
        subresource: "",
        time: &time,
        ignored: &ignored,
    };
    let blank = blank(resource);
    if let Some(config) = config {
        managers
            .apply(&resource.schema, &blank, config, &write, true)
            .map_err(|e| refused(call, config, e))?;
    }
    shape(resource, &mut object);
    let mut object = to_storage(resource, object);
    defaults::fill(resource, &mut object);
    kinds::convert(resource, &mut object);
    prepare_create(cluster, resource, &mut object);
    shape(resource, &mut object);
    // What the server itself fills in from here on is nobody's.
    if config.is_none() {
        managers.update(&resource.schema, &blank, &object, &write);
    }
    managers.write(&mut object);
    let attempt = Attempt {
        call,
        operation: Operation::Create,
        old: None,
        dry_run,
    };
    let has_changed = admission::mutate(&attempt, &mut object).await?;
    kinds::prepare_create(call, &mut object)?;
    shape(resource, &mut object);
    if has_changed {
        managers.write(&mut object);
    }
    validate::check(resource, None, &object)?;
    admission::validate(&attempt, Some(&object)).await?;
    let name = text(&object, "/metadata/name").to_owned();
    let namespace = text(&object, "/metadata/namespace").to_owned();
    let table = cluster.table(resource);
    let key = key(&namespace, &name);
    if dry_run {
        if cluster.world.store.get(&table, &key).is_some() {
            return Err(Status::already_exists(resource, &name));
        }
        let mut object = presented(object, 0, resource);
        drop_version(&mut object);
        return Ok(Written {
            object,
            created: true,
        });
    }
    let revision = cluster
        .put(&table, &key, object.clone(), None)
        .ok_or_else(|| Status::already_exists(resource, &name))?;
    Ok(Written {
        object: presented(object, revision, resource),
        created: true,
    })
}

/// Replaces the live object by what `change` makes of it, again and again
/// until nobody else was faster.
async fn modify(
    call: &Call,
    note: Note<'_>,
    change: impl Fn(&Value) -> Outcome<Value>,
) -> Outcome<Written> {
    let (cluster, resource) = (&call.cluster, &call.resource);
    let dry_run = call.dry_run()?;
    let name = &call.target.name;
    let table = cluster.table(resource);
    let key = key(&call.target.namespace, name);
    for _ in 0..ATTEMPTS {
        let row = find(call).ok_or_else(|| Status::not_found(resource, name))?;
        let live = present(&row.value, row.revision, resource);
        let wanted = change(&live)?;
        check_preconditions(call, &live, &wanted, row.revision, note)?;
        let attempt = Attempt {
            call,
            operation: Operation::Update,
            old: Some(&live),
            dry_run,
        };
        let new = next(&attempt, &row, &live, wanted, note).await?;
        validate::check(resource, Some(&row.value), &new)?;
        admission::validate(&attempt, Some(&new)).await?;
        if new == *row.value {
            return Ok(Written {
                object: live,
                created: false,
            });
        }
        if dry_run {
            return Ok(Written {
                object: presented(new, row.revision, resource),
                created: false,
            });
        }
        let done = if is_finished(&new) {
            cluster.delete(&table, &key, row.revision)
        } else {
            cluster.put(&table, &key, new.clone(), Some(row.revision))
        };
        if let Some(revision) = done {
            return Ok(Written {
                object: presented(new, revision, resource),
                created: false,
            });
        }
    }
    Err(Status::modified(resource, name))
}

fn check_preconditions(
    call: &Call,
    live: &Value,
    wanted: &Value,
    revision: u64,
    note: Note<'_>,
) -> Outcome<()> {
    let (resource, name) = (&call.resource, &call.target.name);
    let stated = match note {
        Note::Apply(config, _) => config,
        Note::Update => wanted,
    };
    let version = text(stated, "/metadata/resourceVersion");
    if !version.is_empty() && version != "0" {
        let Ok(version) = version.parse::<u64>() else {
            let cause = Cause::invalid(
                "metadata.resourceVersion",
                &json!(version),
                "must be an unsigned integer",
            );
            return Err(Status::invalid(
                &resource.group,
                &resource.kind,
                name,
                vec![cause],
            ));
        };
        if version != revision {
            return Err(Status::modified(resource, name));
        }
    } else if call.verb == Verb::Update && must_state_version(resource) {
        let cause = Cause::invalid(
            "metadata.resourceVersion",
            &json!(0),
            "must be specified for an update",
        );
        return Err(Status::invalid(
            &resource.group,
            &resource.plural,
            name,
            vec![cause],
        ));
    }
    let uid = text(stated, "/metadata/uid");
    let have = text(live, "/metadata/uid");
    if !uid.is_empty() && uid != have {
        return Err(Status::conflict(
            resource,
            name,
            &format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {have}"),
        ));
    }
    Ok(())
}

/// Resources that are never replaced without saying which version is meant.
fn must_state_version(resource: &Resource) -> bool {
    resource.custom.is_some()
        || matches!(
            (resource.group.as_str(), resource.plural.as_str()),
            ("apiextensions.k8s.io", "customresourcedefinitions")
                | ("policy", "poddisruptionbudgets")
                | ("coordination.k8s.io", "leases")
                | ("scheduling.k8s.io", "priorityclasses")
                | ("admissionregistration.k8s.io" | "apiregistration.k8s.io", _)
        )
}

/// The object that a write leaves behind.
async fn next(
    attempt: &Attempt<'_>,
    row: &Row,
    live: &Value,
    wanted: Value,
    note: Note<'_>,
) -> Outcome<Value> {
    let call = attempt.call;
    let (cluster, resource) = (&call.cluster, &call.resource);
    let old = row.value.as_ref();
    let time = cluster.now();
    let manager = call.manager();
    let ignored = ignored(resource, call.sub);
    let api_version = resource.api_version();
    let write = Write {
        name: &manager,
        api_version: &api_version,
        subresource: call.sub.map_or("", Sub::name),
        time: &time,
        ignored: &ignored,
    };
    let mut managers = Managers::read(old);
    let mut new = match note {
        Note::Update => {
            // Only writes of the whole object may say who its managers are.
            if call.sub.is_none()
                && let Some(stated) = Managers::stated(&wanted)
            {
                managers = stated;
            }
            wanted
        }
        Note::Apply(config, force) => {
            let base = without(live, &["managedFields", "resourceVersion"]);
            managers
                .apply(&resource.schema, &base, config, &write, force)
                .map_err(|e| refused(call, config, e))?
        }
    };
    shape(resource, &mut new);
    let mut new = to_storage(resource, new);
    defaults::fill(resource, &mut new);
    kinds::convert(resource, &mut new);
    prepare_update(resource, call.sub, old, &mut new);
    shape(resource, &mut new);
    if matches!(note, Note::Update) {
        let old = without(old, &["managedFields"]);
        managers.update(&resource.schema, &old, &new, &write);
    }
    managers.write(&mut new);
    let has_changed = admission::mutate(attempt, &mut new).await?;
    kinds::prepare_update(call, old, &mut new)?;
    shape(resource, &mut new);
    bump_generation(resource, call.sub, old, &mut new);
    if has_changed {
        managers.write(&mut new);
    }
    keep_times(old, &mut new);
    Ok(new)
}

/// A write that changes nothing but times of managers changes nothing.
fn keep_times(old: &Value, new: &mut Value) {
    if old != new && is_same(old, new, &["metadata", "managedFields", "", "time"]) {
        new.clone_from(old);
    }
}

/// Whether two objects differ at most in the last field of a path; an empty
/// name stands for every item of a list.
fn is_same(old: &Value, new: &Value, path: &[&str]) -> bool {
    let Some((step, rest)) = path.split_first() else {
        return true;
    };
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            let others =
                |map: &Map<String, Value>| map.len() - usize::from(map.contains_key(*step));
            let same = |(name, value): (&String, &Value)| {
                name == step || new.get(name).is_some_and(|other| other == value)
            };
            let inner = match (old.get(*step), new.get(*step)) {
                (Some(old), Some(new)) => is_same(old, new, rest),
                (None, None) => true,
                _ => rest.is_empty(),
            };
            inner && others(old) == others(new) && old.iter().all(same)
        }
        (Value::Array(old), Value::Array(new)) if step.is_empty() => {
            let mut pairs = old.iter().zip(new);
            old.len() == new.len() && pairs.all(|(old, new)| is_same(old, new, rest))
        }
        (old, new) => old == new,
    }
}

/// A copy of an object without some fields of its metadata.
fn without(object: &Value, left_out: &[&str]) -> Value {
    let Some(fields) = object.as_object() else {
        return object.clone();
    };
    let kept = |(name, value): (&String, &Value)| match value {
        Value::Object(metadata) if name == "metadata" => {
            let kept = metadata
                .iter()
                .filter(|(n, _)| !left_out.contains(&n.as_str()));
            let kept = kept.map(|(name, value)| (name.clone(), value.clone()));
            (name.clone(), Value::Object(kept.collect()))
        }
        value => (name.clone(), value.clone()),
    };
    Value::Object(fields.iter().map(kept).collect())
}

fn refused(call: &Call, config: &Value, error: ApplyError) -> Box<Status> {
    match error {
        ApplyError::Conflicts(conflicts) => conflict_status(&conflicts),
        ApplyError::Merge(error) => body::not_typed(call, config, &error.to_string()),
    }
}

fn conflict_status(conflicts: &[Conflict]) -> Box<Status> {
    let causes: Vec<_> = conflicts
        .iter()
        .map(|c| Cause::new("FieldManagerConflict", c.message(), c.field()))
        .collect();
    let message = match conflicts {
        [one] => format!(
            "Apply failed with 1 conflict: {}: {}",
            one.message(),
            one.field()
        ),
        many => {
            let mut lines = Vec::new();
            let mut last = None;
            for conflict in many {
                if last != Some(&conflict.manager) {
                    let message = conflict.message().replacen("conflict", "conflicts", 1);
                    lines.push(format!("{message}:"));
                    last = Some(&conflict.manager);
                }
                lines.push(format!("- {}", conflict.field()));
            }
            format!(
                "Apply failed with {} conflicts: {}",
                many.len(),
                lines.join("\n")
            )
        }
    };
    Status::apply_conflict(message, causes)
}

/// Objects are made in namespaces that exist and stay.
fn check_namespace(call: &Call) -> Outcome<()> {
    if !call.resource.namespaced {
        return Ok(());
    }
    let registry = call.cluster.registry();
    let Some(namespaces) = registry.find("", "v1", "namespaces") else {
        return Ok(());
    };
    let name = &call.target.namespace;
    let Some(row) = call.cluster.row(&namespaces, "", name) else {
        return Err(Status::not_found(&namespaces, name));
    };
    if row.value.pointer("/metadata/deletionTimestamp").is_none() {
        return Ok(());
    }
    let why =
        format!("unable to create new content in namespace {name} because it is being terminated");
    let object = body::stated_name(call);
    let mut status = Status::forbidden(&call.resource, &object, &why);
    status.details.causes = vec![Cause::new(
        "NamespaceTerminating",
        format!("namespace {name} is being terminated"),
        "metadata.namespace",
    )];
    Err(status)
}
