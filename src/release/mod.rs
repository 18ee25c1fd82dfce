//! Helm releases without helm: records that every helm can read, and the
//! operations that make them.
//!
//! A release is a rendered chart with a history. The history lives in Secrets
//! in the release's namespace ([helm's own format][1], written so that helm 3
//! and helm 4 both read it), and every operation leaves the same sequence of
//! records that helm leaves. So `helm list`, `history`, `get`, `rollback` and
//! `upgrade` work on our releases, and we work on helm's.
//!
//! Charts come rendered by [`crate::helm`]; objects go through
//! [`crate::k8s`]. This module neither fetches charts nor prints.
//!
//! **What a record holds.** The chart's metadata, templates and default
//! values, the user's values and the rendered manifest, packed but not
//! encrypted. Secrets of a profile must therefore not become chart values:
//! they are Secret objects of their own, which charts refer to by name.
//!
//! **After a crash.** A process that dies leaves a `pending-*` record. The
//! next operation on the release marks it failed and goes on from the last
//! revision that was deployed. An interrupted first installation is taken up
//! again under its number when it would install the same. What interrupted
//! revisions made and nobody wants is deleted with the next one.
//!
//! **Two writers.** Like helm, we do not detect another process that works on
//! the release at the same moment, except when both create the same revision.
//! The deployment's lock keeps two runs of todoctl on one machine apart.
//!
//! [1]: https://helm.sh/docs/topics/advanced/#storage-backends

mod apply;
mod chart;
mod cluster;
mod diff;
mod error;
mod hooks;
mod install;
mod objects;
mod preview;
mod record;
mod render;
mod rollback;
mod store;
mod uninstall;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

pub use self::diff::differences;
pub use self::error::ReleaseError;
pub use self::preview::Preview;
pub use self::record::{ApplyMethod, Record, Status};
pub use self::render::{Offline, offline};
use self::store::Store;
pub use self::uninstall::Uninstall;
use crate::helm::chart::Chart;
use crate::helm::values::Layers;
use crate::k8s::Kube;
pub use crate::k8s::Progress;
use crate::manifest::{Edit, Manifest};

/// How many revisions are kept, as helm does.
pub const HISTORY_LIMIT: usize = 10;

/// How long hooks, and things to go, may take where nothing is said.
const PATIENCE: Duration = Duration::from_mins(5);

/// The releases of one namespace.
#[derive(Debug, Clone)]
pub struct Releases {
    kube: Kube,
    namespace: String,
    store: Store,
}

/// How long to wait for what a release made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// For how long.
    pub limit: Duration,
    /// Also for jobs to complete.
    pub jobs: bool,
    /// Also for load balancers to have an address.
    pub load_balancers: bool,
}

impl Waiting {
    /// So long for all objects but jobs and load balancers.
    pub fn within(limit: Duration) -> Self {
        Self {
            limit,
            jobs: false,
            load_balancers: false,
        }
    }
}

/// How an operation goes about it.
#[derive(Clone)]
pub struct Options {
    /// Wait until what was applied is ready.
    pub wait: Option<Waiting>,
    /// How long each hook, and each deletion that is waited for, may take.
    pub hook_limit: Duration,
    /// When it fails, go back to the revision that was deployed before, or
    /// uninstall where there was none, and take so long for it.
    pub rollback_on_failure: Option<Duration>,
    /// Take over objects that exist and belong to no release or to another.
    pub take_ownership: bool,
    /// Take fields over from other managers. Otherwise they are left to those
    /// that have set them, and that is told.
    pub force_conflicts: bool,
    /// Make the namespace where it is missing.
    pub create_namespace: bool,
    /// Leave the files of `crds/` out.
    pub skip_crds: bool,
    /// Apply the files of `crds/` with every new revision. Helm does so for
    /// installations only, and leaves old definitions under a new controller.
    pub update_crds: bool,
    /// Run no hooks.
    pub no_hooks: bool,
    /// Do without `values.schema.json`.
    pub skip_schema: bool,
    /// How many revisions are kept; 0 for all.
    pub history_limit: usize,
    /// Labels of the record, besides those of the revision before; one with the
    /// value `null` is taken away, as helm does.
    pub labels: BTreeMap<String, String>,
    /// What the record says when all went well, instead of helm's words.
    pub description: Option<String>,
    /// Changes to what the chart renders, in order.
    pub edits: Vec<Edit>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            wait: None,
            hook_limit: PATIENCE,
            rollback_on_failure: None,
            take_ownership: false,
            force_conflicts: false,
            create_namespace: false,
            skip_crds: false,
            update_crds: false,
            no_hooks: false,
            skip_schema: false,
            history_limit: HISTORY_LIMIT,
            labels: BTreeMap::new(),
            description: None,
            edits: Vec::new(),
        }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("wait", &self.wait)
            .finish_non_exhaustive()
    }
}

/// A release that should exist.
#[derive(Debug, Clone)]
pub struct Request {
    /// The release's name.
    pub name: String,
    /// What to install.
    pub chart: Chart,
    /// The user's values.
    pub values: Layers,
    /// How to go about it.
    pub options: Options,
}

/// What came of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The revision that is deployed now.
    pub revision: u64,
    /// Whether anything was written.
    pub changed: bool,
    /// The chart's notes.
    pub notes: String,
    /// What edits changed: `name: Kind namespace/name`.
    pub transformed: Vec<String>,
}

impl Releases {
    /// The releases of a namespace.
    pub fn new(kube: Kube, namespace: &str) -> Self {
        Self {
            store: Store::new(kube.clone(), namespace),
            kube,
            namespace: namespace.to_owned(),
        }
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The newest revision of each release of the namespace, by name.
    pub async fn list(&self) -> Result<Vec<Record>, ReleaseError> {
        let all = store::read(&self.kube, Some(&self.namespace), "owner=helm").await?;
        Ok(newest(all))
    }

    /// The newest revision of each release of the whole cluster, by namespace
    /// and name.
    pub async fn list_everywhere(kube: &Kube) -> Result<Vec<Record>, ReleaseError> {
        Ok(newest(store::read(kube, None, "owner=helm").await?))
    }

    /// Every revision of a release, oldest first; empty when there is none.
    pub async fn history(&self, name: &str) -> Result<Vec<Record>, ReleaseError> {
        self.store.history(name).await
    }

    fn now(&self) -> String {
        self.kube.clock().now().to_string()
    }

    /// Marks what a dead process left pending as failed; returns the history
    /// as it is then.
    async fn recover(
        &self,
        mut history: Vec<Record>,
        progress: Progress<'_>,
    ) -> Result<Vec<Record>, ReleaseError> {
        for record in &mut history {
            let status = record.status();
            if status.is_pending() {
                let revision = record.revision();
                progress(&format!(
                    "revision {revision} was left {status} by a run that ended: marking it failed"
                ));
                let what = match status {
                    Status::PendingInstall => "Release",
                    Status::PendingUpgrade => "Upgrade",
                    _ => "Rollback",
                };
                let description = format!("{what} \"{}\" failed: interrupted", record.name());
                record.set_status(Status::Failed, &description);
                self.store.update(record).await?;
            }
        }
        Ok(history)
    }
}

/// The objects of a text with documents, such as a manifest; `name` is what
/// errors call it.
pub fn objects(text: &str, name: &str) -> Result<Vec<Manifest>, ReleaseError> {
    objects::parse(text, name)
}

/// The newest revision of each release.
fn newest(all: Vec<Record>) -> Vec<Record> {
    let mut newest: HashMap<(String, String), Record> = HashMap::new();
    for record in all {
        let key = (record.namespace().to_owned(), record.name().to_owned());
        let known = newest.get(&key).map_or(0, Record::revision);
        if record.revision() > known {
            newest.insert(key, record);
        }
    }
    let mut list: Vec<Record> = newest.into_values().collect();
    list.sort_by(|a, b| (a.namespace(), a.name()).cmp(&(b.namespace(), b.name())));
    list
}

/// The revision to go on from: the newest that is deployed, or else the
/// newest that was, or else the newest at all.
fn base(history: &[Record]) -> Option<&Record> {
    let of = |status: Status| history.iter().rev().find(move |r| r.status() == status);
    of(Status::Deployed)
        .or_else(|| of(Status::Superseded))
        .or_else(|| history.last())
}
