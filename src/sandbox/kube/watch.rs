//! Watches: changes as they happen, from a revision on.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};

use super::catalog::Resource;
use super::cluster::{Cluster, key_prefix, present};
use super::crd::Conversion;
use super::objects::selector;
use super::render::{self, Shown};
use super::request::{Call, Format};
use super::select::Selector;
use super::status::{Cause, Outcome, Status};
use crate::sandbox::http::{Body, Reply};
use crate::sandbox::store::Change;

/// How often a quiet watch says where it is.
const BOOKMARK_EVERY: Duration = Duration::from_mins(1);
/// How long a watch lasts when the client does not say.
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(30);

struct Watcher {
    cluster: Arc<Cluster>,
    resource: Arc<Resource>,
    table: String,
    prefix: String,
    selector: Selector,
    shown: Shown,
    revision: u64,
    latest: tokio::sync::watch::Receiver<u64>,
    pending: VecDeque<Bytes>,
    bookmarks: bool,
    ends: tokio::time::Instant,
    next_bookmark: tokio::time::Instant,
    over: bool,
    /// The way to the version that is asked for, where that is one.
    conversion: Option<Conversion>,
}

/// Answers a watch.
pub async fn watch(call: &Call, shown: Shown, conversion: Option<Conversion>) -> Outcome<Reply> {
    let store = &call.cluster.world.store;
    let truth = |name: &str| matches!(call.request.param(name), Some("true" | "1"));
    let version = call.request.param("resourceVersion").unwrap_or_default();
    let revision: u64 = if version.is_empty() {
        0
    } else {
        version.parse().map_err(|_| {
            Status::plain_internal(format!(
                "resourceVersion: Invalid value: {version:?}: strconv.ParseUint: parsing {version:?}: invalid syntax"
            ))
        })?
    };
    let initial = truth("sendInitialEvents");
    check_options(call, initial)?;
    let latest = store.subscribe_to(&call.cluster.table(&call.resource));
    let now = tokio::time::Instant::now();
    let timeout = call
        .request
        .param("timeoutSeconds")
        .and_then(|t| t.parse().ok())
        .map_or(DEFAULT_TIMEOUT, Duration::from_secs);
    let mut watcher = Watcher {
        cluster: call.cluster.clone(),
        resource: call.resource.clone(),
        table: call.cluster.table(&call.resource),
        prefix: key_prefix(&call.target.namespace),
        selector: selector(call)?,
        shown,
        revision,
        latest,
        pending: VecDeque::new(),
        bookmarks: truth("allowWatchBookmarks"),
        ends: now + timeout,
        next_bookmark: now + BOOKMARK_EVERY,
        over: false,
        conversion,
    };
    let current = store.revision();
    if revision > current {
        return Err(Status::too_large_version(revision, current));
    }
    if initial || revision == 0 {
        watcher.send_everything().await;
        if initial {
            watcher.send_bookmark(true);
        }
    } else if let Err(gone) = store.changes_of(&watcher.table, &watcher.prefix, revision) {
        let oldest = gone.oldest;
        let status = Status::expired(format!("too old resource version: {revision} ({oldest})"));
        watcher.push("ERROR", &status.to_json());
        watcher.over = true;
    }
    let events = stream::unfold(watcher, |mut watcher| async move {
        let bytes = watcher.next().await?;
        Some((bytes, watcher))
    });
    Ok(Reply::empty(StatusCode::OK)
        .with("content-type", "application/json")
        .with_body(Body::Stream(Box::pin(events))))
}

fn check_options(call: &Call, initial: bool) -> Outcome<()> {
    let rule = call
        .request
        .param("resourceVersionMatch")
        .unwrap_or_default();
    let cause = if initial && rule != "NotOlderThan" {
        Cause::forbidden(
            "resourceVersionMatch",
            "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        )
    } else if !initial && !rule.is_empty() && call.request.param("sendInitialEvents").is_none() {
        Cause::forbidden(
            "resourceVersionMatch",
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
        )
    } else {
        return Ok(());
    };
    Err(Status::invalid(
        "meta.k8s.io",
        "ListOptions",
        "",
        vec![cause],
    ))
}

impl Watcher {
    /// The next bytes to send; none at the end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(bytes) = self.pending.pop_front() {
                return Some(bytes);
            }
            if self.over {
                return None;
            }
            self.collect().await;
            if !self.pending.is_empty() {
                continue;
            }
            tokio::select! {
                changed = self.latest.changed() => {
                    if changed.is_err() {
                        return None;
                    }
                }
                () = tokio::time::sleep_until(self.ends) => return None,
                () = tokio::time::sleep_until(self.next_bookmark) => {
                    self.next_bookmark = tokio::time::Instant::now() + BOOKMARK_EVERY;
                    if self.bookmarks {
                        self.send_bookmark(false);
                    }
                }
            }
        }
    }

    /// Queues the events for what changed since the last look.
    async fn collect(&mut self) {
        self.latest.borrow_and_update();
        let store = &self.cluster.world.store;
        let news = store.changes_of(&self.table, &self.prefix, self.revision);
        let Ok((changes, now)) = news else {
            let status = Status::expired(format!("too old resource version: {}", self.revision));
            self.push("ERROR", &status.to_json());
            self.over = true;
            return;
        };
        let mut seen = Vec::new();
        for change in &changes {
            self.revision = change.revision;
            seen.extend(self.event(change));
        }
        self.tell(seen).await;
        self.revision = self.revision.max(now);
    }

    /// Queues the event of a change; gives what has to be converted before.
    fn event(&mut self, change: &Change) -> Option<(&'static str, Value)> {
        let before = change.before.as_deref();
        let before = before.filter(|v| self.selector.matches(v));
        let after = change.after.as_deref();
        let after = after.filter(|v| self.selector.matches(v));
        let (kind, value) = match (before, after) {
            (None, Some(after)) => ("ADDED", after),
            (Some(_), Some(after)) => ("MODIFIED", after),
            // What left the selection is shown as it was while selected.
            (Some(before), None) => ("DELETED", before),
            (None, None) => return None,
        };
        if let Some(conversion) = &self.conversion {
            return Some((kind, present(value, change.revision, &conversion.stored)));
        }
        if self.shown.format == Format::Object {
            // All who watch get the same bytes.
            let resource = &self.resource;
            let line = self.cluster.lines.of(change.revision, kind, resource, || {
                line(kind, &present(value, change.revision, resource))
            });
            self.pending.push_back(line);
            return None;
        }
        let object = present(value, change.revision, &self.resource);
        self.show(kind, object);
        None
    }

    /// Queues events of rows that have to be converted.
    async fn tell(&mut self, seen: Vec<(&'static str, Value)>) {
        let Some(conversion) = &self.conversion else {
            return;
        };
        let (kinds, rows): (Vec<_>, Vec<_>) = seen.into_iter().unzip();
        match conversion.to_asked(&self.cluster, rows).await {
            Ok(objects) => {
                for (kind, object) in kinds.into_iter().zip(objects) {
                    self.show(kind, object);
                }
            }
            Err(status) => {
                self.push("ERROR", &status.to_json());
                self.over = true;
            }
        }
    }

    fn show(&mut self, kind: &str, object: Value) {
        let object = render::one(&self.resource, &self.shown, object);
        self.push(kind, &object);
        self.shown.headers = false;
    }

    async fn send_everything(&mut self) {
        let (rows, revision) = self.cluster.world.store.list(&self.table, &self.prefix);
        self.revision = revision;
        let mut seen = Vec::new();
        for (_, row) in rows {
            if !self.selector.matches(&row.value) {
                continue;
            }
            if let Some(conversion) = &self.conversion {
                let row = present(&row.value, row.revision, &conversion.stored);
                seen.push(("ADDED", row));
            } else {
                // One after the other: there may be very many.
                let object = present(&row.value, row.revision, &self.resource);
                self.show("ADDED", object);
            }
        }
        self.tell(seen).await;
    }

    fn send_bookmark(&mut self, initial_end: bool) {
        let mut metadata = json!({"resourceVersion": self.revision.to_string()});
        if self.resource.custom.is_none() {
            metadata["creationTimestamp"] = Value::Null;
        }
        if initial_end {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let object = json!({
            "kind": self.resource.kind,
            "apiVersion": self.resource.api_version(),
            "metadata": metadata,
        });
        let object = render::one(&self.resource, &self.shown, object);
        self.push("BOOKMARK", &object);
    }

    fn push(&mut self, kind: &str, object: &Value) {
        self.pending.push_back(line(kind, object));
    }
}

/// An event as it is sent.
fn line(kind: &str, object: &Value) -> Bytes {
    #[derive(Serialize)]
    struct Event<'a> {
        #[serde(rename = "type")]
        kind: &'a str,
        object: &'a Value,
    }
    let mut bytes = serde_json::to_vec(&Event { kind, object }).unwrap_or_default();
    bytes.push(b'\n');
    bytes.into()
}

/// The last events as they are sent, so that many watchers cost little more
/// than one.
#[derive(Debug, Default)]
pub struct Lines(Mutex<VecDeque<(Key, Bytes)>>);

/// The revision, the kind of event, and the version that it is told in.
type Key = (u64, &'static str, String);

/// How many are kept: watchers are seldom further apart.
const KEPT: usize = 64;

impl Lines {
    fn of(
        &self,
        revision: u64,
        kind: &'static str,
        resource: &Resource,
        make: impl FnOnce() -> Bytes,
    ) -> Bytes {
        let key = (revision, kind, resource.version.clone());
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, line)) = lines.iter().rev().find(|(held, _)| *held == key) {
            return line.clone();
        }
        let line = make();
        if lines.len() >= KEPT {
            lines.pop_front();
        }
        lines.push_back((key, line.clone()));
        line
    }
}
