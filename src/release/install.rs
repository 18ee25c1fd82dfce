//! Installing and upgrading: one operation that does what is due.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::apply::{self, Applying, Owner};
use super::cluster;
use super::error::ReleaseError;
use super::objects::{at_home, identity, parse};
use super::record::{ApplyMethod, NewRecord, Record, Status};
use super::render::{Content, Numbered, definitions};
use super::store::{MANAGER, check_labels};
use super::{Options, Outcome, Releases, Request, Waiting, base};
use crate::helm::manifest::HookEvent;
use crate::helm::object::Capabilities;
use crate::k8s::{ApplyOptions, K8sError, ObjectRef, Progress, Rules, diff};
use crate::manifest::Manifest;

/// What the release's past means for the next revision.
struct Past {
    /// All records, oldest first.
    history: Vec<Record>,
    /// Whether the next revision installs instead of upgrading.
    installs: bool,
    /// An interrupted first installation, which can be taken up again.
    interrupted: Option<Record>,
}

impl Past {
    fn next(&self) -> u64 {
        self.history.last().map_or(0, Record::revision) + 1
    }

    fn deployed(&self) -> Option<&Record> {
        let last = self.history.last()?;
        (last.status() == Status::Deployed).then_some(last)
    }
}

impl Releases {
    /// Brings a release to what the request says: installs it, upgrades it,
    /// or finds that nothing is to do, and then writes nothing.
    pub async fn install_or_upgrade(
        &self,
        request: &Request,
        progress: Progress<'_>,
    ) -> Result<Outcome, ReleaseError> {
        let options = &request.options;
        check_labels(&options.labels)?;
        let (past, fresh, version) = futures::try_join!(
            Box::pin(self.past(&request.name, progress)),
            Box::pin(self.make_namespace(options)),
            cluster::version(&self.kube),
        )?;
        let mut brought = Vec::new();
        if past.installs && !options.skip_crds {
            brought = Box::pin(self.apply_crds(request, progress)).await?;
        }
        let capabilities = self.capabilities_of(version).await?;
        let next = Numbered {
            revision: past.next(),
            is_upgrade: !past.installs,
        };
        let (mut content, ()) = futures::try_join!(
            Box::pin(self.render(request, &capabilities, next)),
            apply::established(&self.kube, &brought, progress),
        )?;
        if let Some(deployed) = past.deployed() {
            let same = Box::pin(self.is_same(request, &content, deployed, &capabilities)).await?;
            if same && Box::pin(self.live(deployed, options)).await?.is_some() {
                return Ok(Outcome {
                    revision: deployed.revision(),
                    changed: false,
                    notes: deployed.notes().to_owned(),
                    transformed: content.transformed,
                });
            }
        }
        for change in &content.transformed {
            progress(&format!("changed by {change}"));
        }
        let transformed = std::mem::take(&mut content.transformed);
        if !past.installs && options.update_crds && !options.skip_crds {
            let brought = Box::pin(self.apply_crds(request, progress)).await?;
            apply::established(&self.kube, &brought, progress).await?;
        }
        let done = Box::pin(self.revise(request, past, content, fresh, progress)).await;
        let record = match done {
            Ok(record) => record,
            Err((error, before)) => {
                return Err(Box::pin(self.undo(request, error, before, progress)).await);
            }
        };
        Ok(Outcome {
            revision: record.revision(),
            changed: true,
            notes: record.notes().to_owned(),
            transformed,
        })
    }

    /// Applies the files of the chart's `crds/` and names what is in them.
    /// Whether the cluster serves them yet is the caller's question.
    async fn apply_crds(
        &self,
        request: &Request,
        progress: Progress<'_>,
    ) -> Result<Vec<ObjectRef>, ReleaseError> {
        let files = request.chart.crds(request.chart.name());
        let all = definitions(&files, &request.options.edits)?;
        let force = request.options.force_conflicts;
        apply::apply_definitions(&self.kube, &all, force, progress).await?;
        Ok(all.iter().map(ObjectRef::from).collect())
    }

    /// Whether a deployed revision has the content that the request comes to.
    pub(super) async fn is_same(
        &self,
        request: &Request,
        content: &Content,
        deployed: &Record,
        capabilities: &Arc<Capabilities>,
    ) -> Result<bool, ReleaseError> {
        if labels(Some(deployed), &request.options) != deployed.labels {
            return Ok(false);
        }
        if content.is_of(deployed) {
            return Ok(true);
        }
        // A chart may print its revision, which differs by itself.
        let as_before = Numbered {
            revision: deployed.revision(),
            is_upgrade: deployed.revision() > 1,
        };
        let again = self.render(request, capabilities, as_before).await?;
        Ok(again.is_of(deployed))
    }

    /// Reads the history, and puts right what a dead process left.
    async fn past(&self, name: &str, progress: Progress<'_>) -> Result<Past, ReleaseError> {
        let mut history = self.store.history(name).await?;
        if history
            .last()
            .is_some_and(|r| r.status() == Status::Uninstalling)
        {
            progress("finishing the uninstallation that a run left unfinished");
            self.uninstall_records(history, &super::uninstall::Uninstall::default(), progress)
                .await?;
            history = Vec::new();
        }
        if let [only] = history.as_slice()
            && only.status() == Status::PendingInstall
        {
            return Ok(Past {
                interrupted: history.pop(),
                history,
                installs: true,
            });
        }
        let history = self.recover(history, progress).await?;
        let last = history.last().map(Record::status);
        let ever = history
            .iter()
            .any(|r| matches!(r.status(), Status::Deployed | Status::Superseded));
        Ok(Past {
            installs: last.is_none_or(|s| s == Status::Uninstalled) || !ever,
            history,
            interrupted: None,
        })
    }

    /// Makes the namespace when asked to; true when it was not there before,
    /// so that nothing can be in it.
    async fn make_namespace(&self, options: &Options) -> Result<bool, ReleaseError> {
        if !options.create_namespace {
            return Ok(false);
        }
        let namespace = Manifest::new(serde_json::json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": self.namespace, "labels": {"name": self.namespace}}
        }))
        .map_err(|source| ReleaseError::Object {
            path: "the namespace".to_owned(),
            source,
        })?;
        match self.kube.create(&namespace, MANAGER).await {
            Ok(_) => Ok(true),
            Err(K8sError::Api { code: 409, .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the cluster has what a record says, field by field, and what of
    /// it is left to other managers; none when it has not. What looks
    /// different is shown to the server, which knows defaults and spellings.
    pub(super) async fn live(
        &self,
        record: &Record,
        options: &Options,
    ) -> Result<Option<Vec<String>>, ReleaseError> {
        let wanted = parse(record.manifest(), "the stored manifest")?;
        let wanted = at_home(&self.kube, wanted, &self.namespace, false).await;
        let wanted = match wanted {
            Err(ReleaseError::Kube(K8sError::UnknownKind { .. })) => return Ok(None),
            other => other?,
        };
        let refs: Vec<ObjectRef> = wanted.iter().map(ObjectRef::from).collect();
        let live = self.kube.live_of(&refs).await?;
        let mut left = Vec::new();
        for object in wanted {
            let Some(found) = live.get(&ObjectRef::from(&object)) else {
                return Ok(None);
            };
            let marked = super::objects::owned(&object, record.name(), &self.namespace)?;
            if diff::owned(found, &marked).is_empty() {
                continue;
            }
            let trial = ApplyOptions {
                force: options.force_conflicts,
                dry_run: true,
            };
            let after = apply::yielding(&self.kube, marked, trial, &|_| {}).await?;
            if !diff::between(found, &after.object).is_empty() {
                return Ok(None);
            }
            left.extend(after.left.iter().map(|conflict| conflict.told(&object)));
        }
        Ok(Some(left))
    }

    /// Makes the next revision. A failure comes with the revision that was
    /// deployed before; none when the failure left no record, so that there
    /// is nothing to undo.
    async fn revise(
        &self,
        request: &Request,
        past: Past,
        content: Content,
        fresh: bool,
        progress: Progress<'_>,
    ) -> Result<Record, (ReleaseError, Option<Before>)> {
        let begun = self.begin(request, past, content, fresh, progress).await;
        let mut begun = begun.map_err(|error| (error, None))?;
        let installs = begun.installs;
        let result = self.carry_out(request, &mut begun, progress).await;
        let Begun {
            mut record,
            mut history,
            ..
        } = begun;
        let result = match result {
            Ok(()) => {
                self.complete(request, installs, &mut record, &mut history)
                    .await
            }
            Err(error) => Err(error),
        };
        let Err(error) = result else {
            return Ok(record);
        };
        let what = if installs { "Release" } else { "Upgrade" };
        let why = error.on_one_line();
        let description = format!("{what} \"{}\" failed: {why}", record.name());
        record.set_status(Status::Failed, &description);
        // The first error is the one to tell.
        let _ = self.store.update(&mut record).await;
        let deployed = history
            .iter()
            .rev()
            .find(|r| r.status() == Status::Deployed);
        let before = match deployed {
            Some(record) => Before::Revision(record.revision()),
            None => Before::Nothing,
        };
        Err((error, Some(before)))
    }

    /// Everything up to the pending record.
    async fn begin(
        &self,
        request: &Request,
        past: Past,
        content: Content,
        fresh: bool,
        progress: Progress<'_>,
    ) -> Result<Begun, ReleaseError> {
        let options = &request.options;
        let new = parse(&content.manifest, &request.name)?;
        let new = at_home(&self.kube, new, &self.namespace, false).await?;
        let resumes = past
            .interrupted
            .as_ref()
            .is_some_and(|record| content.is_of(record));
        let next = past.next();
        let mut history = past.history;
        let mut first_deployed = history.first().map(|r| r.first_deployed().to_owned());
        let mut revision = next;
        if let Some(interrupted) = past.interrupted {
            first_deployed = Some(interrupted.first_deployed().to_owned());
            if !resumes {
                history = self.recover(vec![interrupted], progress).await?;
                revision += 1;
            }
        }
        let old = self.old_objects(&history).await?;
        let known: std::collections::HashSet<_> = old.iter().map(identity).collect();
        let unknown: Vec<&Manifest> = new
            .iter()
            .filter(|object| !known.contains(&identity(object)))
            // Nothing is in a namespace that was made a moment ago.
            .filter(|object| !fresh || object.namespace() != Some(&self.namespace))
            .collect();
        let owner = Owner {
            name: &request.name,
            namespace: &self.namespace,
        };
        if !options.take_ownership {
            apply::check_adoption(&self.kube, &unknown, owner).await?;
        }
        let hand_over = base(&history).is_some_and(|r| r.apply_method() == ApplyMethod::ClientSide);
        let (status, description) = match past.installs {
            true => (Status::PendingInstall, "Initial install underway"),
            false => (Status::PendingUpgrade, "Preparing upgrade"),
        };
        let labels = labels(base(&history), options);
        let now = self.kube.clock().now();
        let mut record = Record::new(NewRecord {
            name: &request.name,
            namespace: &self.namespace,
            revision,
            chart: content.chart,
            config: content.config,
            manifest: content.manifest,
            hooks: &content.hooks,
            notes: &content.notes,
            first_deployed: first_deployed.unwrap_or_else(|| now.to_string()),
            now,
            status,
            description,
            labels,
        });
        if resumes {
            progress("taking up the installation that a run left unfinished");
            self.store.update(&mut record).await?;
        } else {
            self.limit_history(&mut history, options.history_limit)
                .await?;
            self.store.create(&mut record).await?;
        }
        Ok(Begun {
            record,
            history,
            old,
            new,
            hand_over,
            installs: past.installs,
        })
    }

    /// From the pending record to the objects being there.
    async fn carry_out(
        &self,
        request: &Request,
        begun: &mut Begun,
        progress: Progress<'_>,
    ) -> Result<(), ReleaseError> {
        let options = &request.options;
        let owner = Owner {
            name: &request.name,
            namespace: &self.namespace,
        };
        let (pre, post) = match begun.installs {
            true => (HookEvent::PreInstall, HookEvent::PostInstall),
            false => (HookEvent::PreUpgrade, HookEvent::PostUpgrade),
        };
        if !options.no_hooks {
            self.run_hooks(&mut begun.record, pre, options.hook_limit, progress)
                .await?;
        }
        let how = Applying {
            force: options.force_conflicts,
            hand_over: begun.hand_over,
        };
        apply::apply(&self.kube, &begun.new, owner, how, progress).await?;
        let gone = apply::prune(&self.kube, &begun.old, &begun.new, owner, progress).await?;
        self.wait_for(&begun.new, options.wait, progress).await?;
        if let Some(waiting) = options.wait {
            apply::wait_gone(&self.kube, gone, waiting.limit, progress).await?;
        }
        if !options.no_hooks {
            self.run_hooks(&mut begun.record, post, options.hook_limit, progress)
                .await?;
        }
        Ok(())
    }

    /// Waits for what was applied, as far as wanted.
    pub(super) async fn wait_for(
        &self,
        objects: &[Manifest],
        wait: Option<Waiting>,
        progress: Progress<'_>,
    ) -> Result<(), ReleaseError> {
        let Some(waiting) = wait else { return Ok(()) };
        let rules = Rules {
            jobs: waiting.jobs,
            load_balancers: waiting.load_balancers,
            completion: false,
            ..Rules::default()
        };
        apply::wait(&self.kube, objects, waiting.limit, rules, progress).await
    }

    /// The new revision is the deployed one from now on.
    async fn complete(
        &self,
        request: &Request,
        installs: bool,
        record: &mut Record,
        history: &mut [Record],
    ) -> Result<(), ReleaseError> {
        self.supersede(history).await?;
        let usual = match installs {
            true => "Install complete",
            false => "Upgrade complete",
        };
        let description = request.options.description.as_deref().unwrap_or(usual);
        record.set_status(Status::Deployed, description);
        self.store.update(record).await
    }

    /// Every deployed revision is one of the past from now on.
    pub(super) async fn supersede(&self, history: &mut [Record]) -> Result<(), ReleaseError> {
        for record in history {
            if record.status() == Status::Deployed {
                let mut superseded = record.clone();
                superseded.supersede();
                self.store.update(&mut superseded).await?;
                *record = superseded;
            }
        }
        Ok(())
    }

    /// What may be left of earlier revisions: of the one to go on from, and of
    /// everything that was tried after it.
    pub(super) async fn old_objects(
        &self,
        history: &[Record],
    ) -> Result<Vec<Manifest>, ReleaseError> {
        let from = base(history).map_or(0, Record::revision);
        let mut old = Vec::new();
        for record in history.iter().filter(|r| r.revision() >= from) {
            if record.status() != Status::Uninstalled {
                old.extend(parse(record.manifest(), "the stored manifest")?);
            }
        }
        at_home(&self.kube, old, &self.namespace, true).await
    }

    /// Deletes the oldest records until one more fits.
    pub(super) async fn limit_history(
        &self,
        history: &mut Vec<Record>,
        limit: usize,
    ) -> Result<(), ReleaseError> {
        if limit == 0 {
            return Ok(());
        }
        let deployed = history
            .iter()
            .rev()
            .find(|r| r.status() == Status::Deployed);
        let spared = deployed.map(Record::revision);
        while history.len() >= limit {
            let Some(oldest) = history.iter().position(|r| Some(r.revision()) != spared) else {
                break;
            };
            let oldest = history.remove(oldest);
            self.store.delete(&oldest).await?;
        }
        Ok(())
    }

    /// Goes back after a failure, if that is wanted, and tells both.
    async fn undo(
        &self,
        request: &Request,
        error: ReleaseError,
        before: Option<Before>,
        progress: Progress<'_>,
    ) -> ReleaseError {
        let (Some(before), Some(budget)) = (before, request.options.rollback_on_failure) else {
            return error;
        };
        // An interrupted run must end now; the next one goes on.
        if self.kube.clock().check().is_err() {
            return error;
        }
        let name = request.name.clone();
        let why = error.on_one_line();
        progress(&format!("it failed ({why}): going back"));
        let undone = match before {
            Before::Revision(revision) => {
                let back = self.go_back(request, revision, budget, progress).await;
                back.map(|()| format!("rolled back to revision {revision}"))
            }
            Before::Nothing => {
                let options = super::uninstall::Uninstall {
                    limit: Some(budget),
                    ..super::uninstall::Uninstall::default()
                };
                let gone = self.uninstall(&name, &options, progress).await;
                gone.map(|_| "uninstalled".to_owned())
            }
        };
        match undone {
            Ok(undone) => ReleaseError::Undone {
                name,
                undone,
                source: Box::new(error),
            },
            Err(undo) => ReleaseError::Stuck {
                name,
                undo: undo.on_one_line(),
                source: Box::new(error),
            },
        }
    }

    async fn go_back(
        &self,
        request: &Request,
        revision: u64,
        budget: Duration,
        progress: Progress<'_>,
    ) -> Result<(), ReleaseError> {
        let options = Options {
            wait: request.options.wait.map(|waiting| Waiting {
                limit: budget,
                ..waiting
            }),
            hook_limit: budget,
            rollback_on_failure: None,
            force_conflicts: request.options.force_conflicts,
            no_hooks: request.options.no_hooks,
            history_limit: request.options.history_limit,
            ..Options::default()
        };
        Box::pin(self.rollback(&request.name, Some(revision), &options, progress)).await?;
        Ok(())
    }
}

/// What a new label says that takes one away, in helm's way.
const NO_LABEL: &str = "null";

/// The labels of the next revision: those of the one to go on from, and those
/// that the options add or take away.
pub(super) fn labels(base: Option<&Record>, options: &Options) -> BTreeMap<String, String> {
    let mut labels = base.map(|r| r.labels.clone()).unwrap_or_default();
    labels.extend(options.labels.clone());
    labels.retain(|_, value| value != NO_LABEL);
    labels
}

/// What there was before a revision that failed.
enum Before {
    /// A deployed revision.
    Revision(u64),
    /// Nothing.
    Nothing,
}

/// A revision that is under way.
struct Begun {
    record: Record,
    history: Vec<Record>,
    old: Vec<Manifest>,
    new: Vec<Manifest>,
    hand_over: bool,
    installs: bool,
}
