//! Reading and deleting objects.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::catalog::Resource;
use super::cluster::{Cluster, key, key_prefix, present, text};
use super::request::Call;
use super::select::Selector;
use super::status::{Cause, Outcome, Status};
use super::{admission, kinds, prepare};
use crate::sandbox::store::Row;

/// One object.
pub fn get(call: &Call) -> Outcome<Value> {
    let row = find(call)?;
    Ok(present(&row.value, row.revision, &call.resource))
}

fn find(call: &Call) -> Outcome<Row> {
    call.cluster
        .row(&call.resource, &call.target.namespace, &call.target.name)
        .ok_or_else(|| Status::not_found(&call.resource, &call.target.name))
}

/// The selector in a call's query.
pub fn selector(call: &Call) -> Outcome<Selector> {
    Selector::parse(
        &call.resource,
        call.request.param("labelSelector").unwrap_or_default(),
        call.request.param("fieldSelector").unwrap_or_default(),
    )
}

/// A page of a list.
pub struct Page {
    /// The objects.
    pub items: Vec<Value>,
    /// The revision at which they were like this.
    pub revision: u64,
    /// How to ask for the next page.
    pub next: Option<String>,
    /// How many follow.
    pub remaining: Option<usize>,
}

impl Page {
    /// What has just been deleted.
    pub fn of_deleted(items: Vec<Value>, cluster: &Cluster) -> Self {
        Self {
            items,
            revision: cluster.world.store.revision(),
            next: None,
            remaining: None,
        }
    }
}

/// Where a list goes on: the revision that it shows and the last key sent.
struct Continue {
    revision: u64,
    after: String,
}

impl Continue {
    fn parse(token: &str) -> Outcome<Self> {
        let read = || {
            let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
            let value: Value = serde_json::from_slice(&bytes).ok()?;
            Some(Self {
                revision: value.get("rv")?.as_u64()?,
                after: value.get("start")?.as_str()?.to_owned(),
            })
        };
        read().ok_or_else(|| Status::bad_request("continue key is not valid: illegal base64 data"))
    }

    fn to_token(&self) -> String {
        let value = json!({"v": "meta.k8s.io/v1", "rv": self.revision, "start": self.after});
        URL_SAFE_NO_PAD.encode(value.to_string())
    }
}

/// What a list's revision parameter asks for.
enum Moment {
    Now,
    NotBefore(u64),
    Exactly(u64),
}

fn moment(call: &Call) -> Outcome<Moment> {
    let version = call.request.param("resourceVersion").unwrap_or_default();
    let rule = call
        .request
        .param("resourceVersionMatch")
        .unwrap_or_default();
    let invalid = |field: &str, cause: Cause| {
        let _ = field;
        Status::invalid("meta.k8s.io", "ListOptions", "", vec![cause])
    };
    if !rule.is_empty() && version.is_empty() {
        return Err(invalid(
            "resourceVersionMatch",
            Cause::forbidden(
                "resourceVersionMatch",
                "resourceVersionMatch is forbidden unless resourceVersion is provided",
            ),
        ));
    }
    if version.is_empty() {
        return Ok(Moment::Now);
    }
    let Ok(revision) = version.parse::<u64>() else {
        return Err(Status::invalid(
            "meta.k8s.io",
            "ListOptions",
            "",
            vec![Cause::invalid(
                "resourceVersion",
                &json!(version),
                "strconv.ParseUint: parsing: invalid syntax",
            )],
        ));
    };
    match rule {
        "Exact" if revision == 0 => Err(invalid(
            "resourceVersionMatch",
            Cause::forbidden(
                "resourceVersionMatch",
                "resourceVersionMatch \"Exact\" is forbidden for resourceVersion \"0\"",
            ),
        )),
        "Exact" => Ok(Moment::Exactly(revision)),
        "" | "NotOlderThan" => Ok(Moment::NotBefore(revision)),
        other => Err(invalid(
            "resourceVersionMatch",
            Cause::unsupported(
                "resourceVersionMatch",
                &json!(other),
                &["Exact", "NotOlderThan", ""],
            ),
        )),
    }
}

/// The objects that a call selects.
pub fn list(call: &Call) -> Outcome<Page> {
    let (cluster, resource) = (&call.cluster, &call.resource);
    let selector = selector(call)?;
    let limit = call
        .request
        .param("limit")
        .and_then(|l| l.parse::<usize>().ok())
        .filter(|l| *l > 0);
    let token = call.request.param("continue").unwrap_or_default();
    let (rows, revision, after) = if token.is_empty() {
        let (rows, now) = match selector.exact_name() {
            Some(name) if !(resource.namespaced && call.target.namespace.is_empty()) => {
                let now = cluster.world.store.revision();
                let row = cluster.row(resource, &call.target.namespace, name);
                let key: Arc<str> = key(&call.target.namespace, name).into();
                (row.map(|row| (key, row)).into_iter().collect(), now)
            }
            _ => cluster.rows(resource, &call.target.namespace),
        };
        match moment(call)? {
            Moment::NotBefore(revision) | Moment::Exactly(revision) if revision > now => {
                return Err(Status::too_large_version(revision, now));
            }
            Moment::Exactly(revision) => (at_revision(call, revision)?, revision, String::new()),
            Moment::Now | Moment::NotBefore(_) => (rows, now, String::new()),
        }
    } else {
        let token = Continue::parse(token)?;
        (
            at_revision(call, token.revision)?,
            token.revision,
            token.after,
        )
    };
    let mut page = Page {
        items: Vec::new(),
        revision,
        next: None,
        remaining: None,
    };
    let mut last: Option<Arc<str>> = None;
    let total = rows.len();
    let start = match after.as_str() {
        "" => 0,
        after => rows.partition_point(|(key, _)| **key <= *after),
    };
    // A row that was looked at is parsed for as long as it is held.
    for (at, (key, row)) in rows.into_iter().enumerate().skip(start) {
        if limit.is_some_and(|limit| page.items.len() == limit) {
            let after = last.as_deref().unwrap_or_default().to_owned();
            page.next = Some(Continue { revision, after }.to_token());
            // With a selector nobody knows how many of the rest fit.
            page.remaining = selector.is_everything().then_some(total - at);
            break;
        }
        last = Some(key);
        if selector.is_everything() || selector.matches(&row.value) {
            page.items.push(present(&row.value, row.revision, resource));
        }
    }
    Ok(page)
}

/// The rows as they were at a revision: today's with later changes undone.
fn at_revision(call: &Call, revision: u64) -> Outcome<Vec<(Arc<str>, Row)>> {
    let (cluster, resource) = (&call.cluster, &call.resource);
    let store = &cluster.world.store;
    let (rows, _) = cluster.rows(resource, &call.target.namespace);
    let changes = store.changes_since(revision).map_err(|_| {
        let newest = Continue {
            revision: store.revision(),
            after: String::new(),
        };
        let _ = newest;
        Status::expired(
            "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.",
        )
    })?;
    let mut rows: std::collections::BTreeMap<_, _> = rows.into_iter().collect();
    let table = cluster.table(resource);
    let prefix = key_prefix(&call.target.namespace);
    for change in changes.iter().rev() {
        if *change.table != *table || !change.key.starts_with(&prefix) {
            continue;
        }
        match &change.before {
            None => {
                rows.remove(&change.key);
            }
            Some(before) => {
                let row = Row {
                    value: before.clone(),
                    revision,
                };
                rows.insert(change.key.clone(), row);
            }
        }
    }
    Ok(rows.into_iter().collect())
}

/// What a delete asks for.
#[derive(Debug, Clone, Default)]
pub struct DeleteOptions {
    /// Seconds that a pod gets.
    pub grace: Option<u64>,
    /// `Background`, `Foreground` or `Orphan`.
    pub propagation: Option<String>,
    /// The uid that the object must have.
    pub uid: Option<String>,
    /// The version that the object must have.
    pub version: Option<String>,
    /// Whether nothing shall be done.
    pub dry_run: bool,
}

/// Reads the options of a delete from its body and query.
pub fn delete_options(call: &Call) -> Outcome<DeleteOptions> {
    let bytes = &call.request.body;
    let body = if bytes.is_empty() {
        Value::Null
    } else if call
        .request
        .header("content-type")
        .is_some_and(|m| m.contains("protobuf"))
    {
        super::proto::decode(bytes)?
    } else {
        serde_json::from_slice(bytes).map_err(|e| {
            Status::bad_request(format!("couldn't get version/kind; json parse error: {e}"))
        })?
    };
    let query = |name: &str| call.request.param(name).map(str::to_owned);
    let string = |pointer: &str| {
        Some(text(&body, pointer))
            .filter(|t| !t.is_empty())
            .map(str::to_owned)
    };
    let propagation = string("/propagationPolicy").or_else(|| query("propagationPolicy"));
    let orphan = body.get("orphanDependents").and_then(Value::as_bool);
    if let Some(policy) = &propagation
        && !["Foreground", "Background", "Orphan"].contains(&policy.as_str())
    {
        return Err(Status::invalid(
            "meta.k8s.io",
            "DeleteOptions",
            "",
            vec![Cause::unsupported(
                "propagationPolicy",
                &json!(policy),
                &["Foreground", "Background", "Orphan", "nil"],
            )],
        ));
    }
    let dry = body
        .get("dryRun")
        .and_then(Value::as_array)
        .is_some_and(|d| !d.is_empty());
    Ok(DeleteOptions {
        grace: body
            .get("gracePeriodSeconds")
            .and_then(Value::as_u64)
            .or_else(|| query("gracePeriodSeconds")?.parse().ok()),
        propagation: propagation
            .or_else(|| orphan.map(|o| if o { "Orphan" } else { "Background" }.to_owned())),
        uid: string("/preconditions/uid"),
        version: string("/preconditions/resourceVersion"),
        dry_run: dry || call.dry_run()?,
    })
}

/// What is left after a delete.
pub enum Deleted {
    /// Nothing; the object's uid.
    Gone(String, Box<Value>),
    /// The object, which waits for its finalizers or its grace period.
    Waiting(Value),
}

/// Deletes one object.
pub async fn delete(call: &Call, options: &DeleteOptions) -> Outcome<Deleted> {
    let resource = &call.resource;
    for _ in 0..8 {
        let row = find(call)?;
        check_preconditions(call, options, &row)?;
        kinds::check_delete(call, &row.value)?;
        let live = present(&row.value, row.revision, resource);
        admission::delete(call, &live, options.dry_run).await?;
        let uid = text(&row.value, "/metadata/uid").to_owned();
        let mut marked = row.value.as_ref().clone();
        mark(call, options, &mut marked);
        let gone = prepare::is_finished(&marked);
        if options.dry_run {
            return Ok(if gone {
                Deleted::Gone(uid, Box::new(present(&marked, row.revision, resource)))
            } else {
                Deleted::Waiting(present(&marked, row.revision, resource))
            });
        }
        let table = call.cluster.table(resource);
        let key = key(&call.target.namespace, &call.target.name);
        if gone {
            if let Some(revision) = call.cluster.delete(&table, &key, row.revision) {
                let last = present(&row.value, revision, resource);
                return Ok(Deleted::Gone(uid, Box::new(last)));
            }
        } else if marked == *row.value {
            return Ok(Deleted::Waiting(present(&marked, row.revision, resource)));
        } else if let Some(revision) =
            call.cluster
                .put(&table, &key, marked.clone(), Some(row.revision))
        {
            return Ok(Deleted::Waiting(present(&marked, revision, resource)));
        }
    }
    Err(Status::modified(resource, &call.target.name))
}

fn check_preconditions(call: &Call, options: &DeleteOptions, row: &Row) -> Outcome<()> {
    let name = &call.target.name;
    let have = text(&row.value, "/metadata/uid");
    if let Some(uid) = options.uid.as_deref().filter(|uid| *uid != have) {
        return Err(Status::conflict(
            &call.resource,
            name,
            &format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {have}"),
        ));
    }
    let have = row.revision.to_string();
    if let Some(version) = options.version.as_deref().filter(|v| *v != have) {
        return Err(Status::conflict(
            &call.resource,
            name,
            &format!(
                "Precondition failed: ResourceVersion in precondition: {version}, ResourceVersion in object meta: {have}"
            ),
        ));
    }
    Ok(())
}

/// Marks an object as being deleted.
fn mark(call: &Call, options: &DeleteOptions, object: &mut Value) {
    let grace = kinds::grace(call, options, object);
    let now = call.cluster.now();
    kinds::start_delete(call, object);
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else {
        return;
    };
    let finalizer = match options.propagation.as_deref() {
        Some("Foreground") => Some("foregroundDeletion"),
        Some("Orphan") => Some("orphan"),
        _ => None,
    };
    if let Some(finalizer) = finalizer {
        let list = metadata
            .entry("finalizers")
            .or_insert_with(|| Value::Array(Vec::new()));
        if let Some(list) = list.as_array_mut()
            && !list.iter().any(|f| f == finalizer)
        {
            list.push(json!(finalizer));
        }
    }
    if metadata.contains_key("deletionTimestamp") {
        if grace == 0 {
            metadata.insert("deletionGracePeriodSeconds".to_owned(), json!(0));
        }
        return;
    }
    metadata.insert("deletionTimestamp".to_owned(), json!(now));
    // Namespaces and definitions end in their own way.
    let own_way = call.resource.is("", "namespaces")
        || call
            .resource
            .is("apiextensions.k8s.io", "customresourcedefinitions");
    if !own_way {
        metadata.insert("deletionGracePeriodSeconds".to_owned(), json!(grace));
        prepare::raise_generation(object);
    }
}

/// Deletes what a call selects; gives the objects as they were.
pub async fn delete_collection(call: &Call, options: &DeleteOptions) -> Outcome<Vec<Value>> {
    let page = list(call)?;
    let mut deleted = Vec::new();
    for object in page.items {
        let mut target = call.target.clone();
        text(&object, "/metadata/name").clone_into(&mut target.name);
        text(&object, "/metadata/namespace").clone_into(&mut target.namespace);
        let one = call.for_object(target);
        match delete(&one, options).await {
            Ok(Deleted::Gone(_, object)) => deleted.push(*object),
            Ok(Deleted::Waiting(object)) => deleted.push(object),
            Err(status) if status.reason == "NotFound" => {}
            Err(status) => return Err(status),
        }
    }
    Ok(deleted)
}

/// A list as it travels.
pub fn list_value(resource: &Resource, page: Page) -> Value {
    let mut metadata = json!({"resourceVersion": page.revision.to_string()});
    if page.next.is_some() || resource.custom.is_some() {
        metadata["continue"] = json!(page.next.unwrap_or_default());
    }
    if let Some(remaining) = page.remaining {
        metadata["remainingItemCount"] = json!(remaining);
    }
    let items = page.items.into_iter().map(|mut item| {
        // Items of built-in lists do not repeat their kind.
        if resource.custom.is_none()
            && let Some(map) = item.as_object_mut()
        {
            map.shift_remove("apiVersion");
            map.shift_remove("kind");
        }
        item
    });
    json!({
        "kind": resource.list_kind,
        "apiVersion": resource.api_version(),
        "metadata": metadata,
        "items": items.collect::<Vec<_>>(),
    })
}
