//! Taking a release away.

use std::time::Duration;

use super::apply::{self, Owner};
use super::error::ReleaseError;
use super::record::{Record, Status};
use super::{PATIENCE, Releases};
use crate::helm::manifest::HookEvent;
use crate::k8s::Progress;

/// How to uninstall.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Uninstall {
    /// Keep the records, so that a rollback can bring the release back.
    pub keep_history: bool,
    /// Run no hooks.
    pub no_hooks: bool,
    /// How long what is deleted may take to go.
    pub limit: Option<Duration>,
}

impl Releases {
    /// Removes a release with its objects. False when there was none.
    pub async fn uninstall(
        &self,
        name: &str,
        options: &Uninstall,
        progress: Progress<'_>,
    ) -> Result<bool, ReleaseError> {
        let history = self.store.history(name).await?;
        let Some(last) = history.last() else {
            return Ok(false);
        };
        if last.status() == Status::Uninstalled {
            if !options.keep_history {
                self.forget(&history).await?;
            }
            return Ok(!options.keep_history);
        }
        self.uninstall_records(history, options, progress).await?;
        Ok(true)
    }

    pub(super) async fn uninstall_records(
        &self,
        mut history: Vec<Record>,
        options: &Uninstall,
        progress: Progress<'_>,
    ) -> Result<(), ReleaseError> {
        let limit = options.limit.unwrap_or(PATIENCE);
        // What failed or interrupted revisions made goes, too.
        let old = self.old_objects(&history).await?;
        let Some(mut record) = history.pop() else {
            return Ok(());
        };
        let name = record.name().to_owned();
        let owner = Owner {
            name: &name,
            namespace: &self.namespace,
        };
        let again = record.status() == Status::Uninstalling;
        record.set_deleted(self.kube.clock().now());
        record.set_status(
            Status::Uninstalling,
            "Deletion in progress (or silently failed)",
        );
        self.store.update(&mut record).await?;
        if !options.no_hooks && !again {
            self.run_hooks(&mut record, HookEvent::PreDelete, limit, progress)
                .await?;
        }
        let gone = apply::delete(&self.kube, old, owner, progress).await?;
        apply::wait_gone(&self.kube, gone, limit, progress).await?;
        if !options.no_hooks {
            self.run_hooks(&mut record, HookEvent::PostDelete, limit, progress)
                .await?;
        }
        if options.keep_history {
            self.supersede(&mut history).await?;
            record.set_status(Status::Uninstalled, "Uninstallation complete");
            return self.store.update(&mut record).await;
        }
        // The one that says what is going on goes last.
        history.push(record);
        self.forget(&history).await
    }

    async fn forget(&self, history: &[Record]) -> Result<(), ReleaseError> {
        for record in history {
            self.store.delete(record).await?;
        }
        Ok(())
    }
}
