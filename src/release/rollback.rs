//! Going back: a new revision with the content of an old one.

use super::apply::{self, Applying, Owner};
use super::error::ReleaseError;
use super::objects::{at_home, parse};
use super::record::{ApplyMethod, Record, Status};
use super::{Options, Outcome, Releases};
use crate::helm::manifest::HookEvent;
use crate::k8s::Progress;
use crate::manifest::Manifest;

impl Releases {
    /// Goes back to a revision; without a number to the last good one before
    /// the current: the newest earlier revision that is or was deployed.
    pub async fn rollback(
        &self,
        name: &str,
        revision: Option<u64>,
        options: &Options,
        progress: Progress<'_>,
    ) -> Result<Outcome, ReleaseError> {
        let history = self.store.history(name).await?;
        let mut history = self.recover(history, progress).await?;
        let Some(last) = history.last().map(Record::revision) else {
            return Err(ReleaseError::NotFound(name.to_owned()));
        };
        let target = target(&history, name, revision)?.clone();
        progress(&format!("rolling back to revision {}", target.revision()));
        let new = parse(target.manifest(), "the stored manifest")?;
        let new = at_home(&self.kube, new, &self.namespace, false).await?;
        let old = self.old_objects(&history).await?;
        // Fields that a client wrote since must be handed over, too.
        let hand_over = history
            .iter()
            .any(|r| r.apply_method() == ApplyMethod::ClientSide);
        let first = history.first().map(|r| r.first_deployed().to_owned());
        let now = self.kube.clock().now();
        let mut record = target.rolled_back(last + 1, &first.unwrap_or_default(), now);
        let current = record.description().to_owned();
        self.limit_history(&mut history, options.history_limit)
            .await?;
        self.store.create(&mut record).await?;
        let how = Applying {
            force: options.force_conflicts,
            hand_over,
        };
        let applied = self
            .go(&mut record, &old, &new, how, options, progress)
            .await;
        let done = match applied {
            Ok(()) => {
                let complete = async {
                    self.supersede(&mut history).await?;
                    record.set_status(Status::Deployed, &current);
                    self.store.update(&mut record).await
                };
                complete.await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = done {
            let description = format!("Rollback \"{name}\" failed: {}", error.on_one_line());
            record.set_status(Status::Failed, &description);
            // The first error is the one to tell.
            let _ = self.store.update(&mut record).await;
            return Err(error);
        }
        Ok(Outcome {
            revision: record.revision(),
            changed: true,
            notes: record.notes().to_owned(),
            transformed: Vec::new(),
        })
    }

    async fn go(
        &self,
        record: &mut Record,
        old: &[Manifest],
        new: &[Manifest],
        how: Applying,
        options: &Options,
        progress: Progress<'_>,
    ) -> Result<(), ReleaseError> {
        let name = record.name().to_owned();
        let owner = Owner {
            name: &name,
            namespace: &self.namespace,
        };
        if !options.no_hooks {
            let event = HookEvent::PreRollback;
            self.run_hooks(record, event, options.hook_limit, progress)
                .await?;
        }
        apply::apply(&self.kube, new, owner, how, progress).await?;
        apply::prune(&self.kube, old, new, owner, progress).await?;
        self.wait_for(new, options.wait, progress).await?;
        if !options.no_hooks {
            let event = HookEvent::PostRollback;
            self.run_hooks(record, event, options.hook_limit, progress)
                .await?;
        }
        Ok(())
    }
}

/// The revision to go back to.
fn target<'a>(
    history: &'a [Record],
    name: &str,
    revision: Option<u64>,
) -> Result<&'a Record, ReleaseError> {
    if let Some(revision) = revision.filter(|n| *n > 0) {
        let found = history.iter().find(|r| r.revision() == revision);
        return found.ok_or_else(|| ReleaseError::NoRevision {
            name: name.to_owned(),
            revision,
        });
    }
    let earlier = history.split_last().map_or(&[][..], |(_, rest)| rest);
    let good = |r: &&Record| matches!(r.status(), Status::Deployed | Status::Superseded);
    let found = earlier.iter().rev().find(good);
    found.ok_or_else(|| ReleaseError::NothingBefore(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::collections::BTreeMap;

    fn history(statuses: &[&str]) -> Vec<Record> {
        let numbered = statuses.iter().zip(1..);
        numbered
            .map(|(status, n)| {
                let body = json!({"name": "r", "version": n, "info": {"status": status}});
                Record::from_json(body, BTreeMap::new()).unwrap()
            })
            .collect()
    }

    #[test]
    fn without_a_number_it_goes_to_the_last_good_revision() {
        for (statuses, wanted) in [
            (&["superseded", "superseded", "deployed"][..], Some(2)),
            (&["superseded", "deployed", "failed"][..], Some(2)),
            (&["superseded", "failed", "deployed"][..], Some(1)),
            (&["deployed"][..], None),
            (&["failed", "deployed"][..], None),
        ] {
            let history = history(statuses);
            let found = target(&history, "r", None).ok().map(Record::revision);
            assert_eq!(found, wanted, "{statuses:?}");
        }
    }

    #[test]
    fn a_number_names_the_revision_whatever_became_of_it() {
        let history = history(&["failed", "deployed"]);
        assert_eq!(target(&history, "r", Some(1)).unwrap().revision(), 1);
        let error = target(&history, "r", Some(7)).unwrap_err();
        assert_eq!(error.to_string(), "release r has no revision 7");
    }
}
