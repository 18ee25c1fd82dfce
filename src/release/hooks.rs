//! Hooks: objects that run at a moment of a release's life, one after the
//! other by weight.
//!
//! They are not part of the release's manifest and carry no ownership; what
//! is left of them is decided by their delete policies.

use std::time::Duration;

use serde_json::json;

use super::Releases;
use super::apply::wait_gone;
use super::error::ReleaseError;
use super::objects::{at_home, parse};
use super::record::Record;
use super::store::MANAGER;
use crate::helm::manifest::{Hook, HookEvent, hooks_for};
use crate::k8s::{ApplyOptions, DeleteOptions, ObjectRef, Progress, Rules, WaitOptions};
use crate::manifest::Manifest;

/// A hook with the objects of its text.
struct Ready<'a> {
    hook: &'a Hook,
    objects: Vec<Manifest>,
}

impl Ready<'_> {
    fn has_policy(&self, policy: &str) -> bool {
        match self.hook.delete_policies.as_slice() {
            [] => policy == "before-hook-creation",
            given => given.iter().any(|word| word == policy),
        }
    }

    fn refs(&self) -> Vec<ObjectRef> {
        // Deleting a definition would delete everybody's objects of its kind.
        self.objects
            .iter()
            .filter(|object| object.kind() != "CustomResourceDefinition")
            .map(ObjectRef::from)
            .collect()
    }
}

impl Releases {
    /// Runs the hooks of a moment. The record learns of each run when it is
    /// written next.
    pub(super) async fn run_hooks(
        &self,
        record: &mut Record,
        event: HookEvent,
        limit: Duration,
        progress: Progress<'_>,
    ) -> Result<(), ReleaseError> {
        let all = record.hooks();
        let mut done: Vec<Ready<'_>> = Vec::new();
        for hook in hooks_for(&all, event) {
            let objects = parse(&hook.manifest, &hook.path)?;
            let objects = at_home(&self.kube, objects, &self.namespace, false).await?;
            let ready = Ready { hook, objects };
            progress(&format!(
                "{} hook {} {}",
                event.as_str(),
                hook.kind,
                hook.name
            ));
            let started = self.now();
            let result = self.run_hook(&ready, limit, progress).await;
            let phase = if result.is_ok() {
                "Succeeded"
            } else {
                "Failed"
            };
            let run = json!({
                "started_at": started,
                "completed_at": self.now(),
                "phase": phase,
            });
            record.set_last_run(hook, &run);
            if let Err(error) = result {
                if ready.has_policy("hook-failed") {
                    self.remove(&ready, limit, progress).await?;
                }
                for earlier in done.iter().filter(|r| r.has_policy("hook-succeeded")) {
                    self.remove(earlier, limit, progress).await?;
                }
                return Err(ReleaseError::Hook {
                    event: event.as_str(),
                    hook: format!("{} {}", hook.kind, hook.name),
                    source: Box::new(error),
                });
            }
            done.push(ready);
        }
        for ready in done.iter().rev() {
            if ready.has_policy("hook-succeeded") {
                self.remove(ready, limit, progress).await?;
            }
        }
        Ok(())
    }

    async fn run_hook(
        &self,
        ready: &Ready<'_>,
        limit: Duration,
        progress: Progress<'_>,
    ) -> Result<(), ReleaseError> {
        if ready.has_policy("before-hook-creation") {
            self.remove(ready, limit, progress).await?;
        }
        for object in &ready.objects {
            let options = ApplyOptions {
                force: true,
                dry_run: false,
            };
            self.kube.apply_as(object, MANAGER, options).await?;
        }
        let awaited = |o: &&Manifest| {
            matches!(
                (o.api_version(), o.kind()),
                ("batch/v1", "Job") | ("v1", "Pod")
            )
        };
        let refs: Vec<ObjectRef> = ready
            .objects
            .iter()
            .filter(awaited)
            .map(ObjectRef::from)
            .collect();
        let options = WaitOptions {
            limit,
            rules: Rules {
                jobs: true,
                completion: true,
                ..Rules::default()
            },
        };
        self.kube.wait_ready(&refs, &options, progress).await?;
        Ok(())
    }

    async fn remove(
        &self,
        ready: &Ready<'_>,
        limit: Duration,
        progress: Progress<'_>,
    ) -> Result<(), ReleaseError> {
        let mut deleted = Vec::new();
        for object in ready.refs() {
            let options = DeleteOptions::default();
            if self.kube.delete(&object, &options).await? {
                deleted.push(object);
            }
        }
        wait_gone(&self.kube, deleted, limit, progress).await
    }
}
