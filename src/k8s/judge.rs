//! When waiting is in vain: what a wait has seen since it began.
//!
//! A run that died half way leaves pods that fail for want of what was to
//! come, and the next run brings just that. So what stood when the wait began
//! is no verdict; what happens while it lasts is.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;

use super::object::ObjectRef;
use super::trouble::{Before, Kind, Trouble};
use crate::clock::Clock;
use crate::manifest::Manifest;

/// A Deployment's deadline may have run since before the wait, unless the wait
/// has lasted as long, or so long.
const DEADLINE_AFTER: Duration = Duration::from_mins(5);

/// What a wait knows of the pods that it looks at.
pub(super) struct Judge {
    clock: Clock,
    /// When the wait began.
    begun: Duration,
    /// The workloads that it has met, and whether anything of them had failed
    /// by then.
    met: HashMap<ObjectRef, bool>,
    /// Their containers at that look, by [`Trouble::subject`].
    before: HashMap<String, Before>,
    /// When each trouble was first seen, by [`Trouble::key`].
    since: HashMap<(String, Kind), Duration>,
}

impl Judge {
    /// For a wait that begins now.
    pub(super) fn new(clock: &Clock) -> Self {
        Self {
            clock: clock.clone(),
            begun: clock.elapsed(),
            met: HashMap::new(),
            before: HashMap::new(),
            since: HashMap::new(),
        }
    }

    /// Keeps in mind how a workload is at the first look.
    pub(super) fn meet<C: Iterator<Item = (String, Before)>>(
        &mut self,
        workload: &ObjectRef,
        has_failed: bool,
        containers: impl Fn() -> C,
    ) {
        if !self.met.contains_key(workload) {
            let stood = has_failed || containers().any(|(_, before)| before.has_failed());
            self.met.insert(workload.clone(), stood);
            self.before.extend(containers());
        }
    }

    /// Takes note of all troubles of a look. One that went away begins anew
    /// when it comes back; pulls alternate between two reasons of one kind.
    pub(super) fn hear<'a>(&mut self, troubles: impl Iterator<Item = &'a Trouble>) {
        let now = self.clock.elapsed();
        let old = std::mem::take(&mut self.since);
        let keys = troubles.map(Trouble::key);
        let since = |key| (old.get(&key).copied().unwrap_or(now), key);
        self.since = keys.map(since).map(|(since, key)| (key, since)).collect();
    }

    /// Whether a trouble will not go away by itself.
    pub(super) fn is_hopeless(&self, trouble: &Trouble) -> bool {
        let now = self.clock.elapsed();
        let since = self.since.get(&trouble.key()).copied().unwrap_or(now);
        let patience = trouble.patience(self.before.get(&trouble.subject()));
        patience.is_some_and(|limit| now.saturating_sub(since) >= self.limit(limit))
    }

    /// Whether an object that has failed stays so. A Deployment whose deadline
    /// has passed comes back as soon as its pods are ready: where something
    /// had failed before, only the wait's own limit ends it.
    pub(super) fn is_final(&self, object: &ObjectRef, live: Option<&Manifest>) -> bool {
        if object.kind != "Deployment" {
            return true;
        }
        let body = live.map(Manifest::body);
        let deadline = body.and_then(|body| body.pointer("/spec/progressDeadlineSeconds"));
        let deadline = deadline.and_then(Value::as_u64).map(Duration::from_secs);
        let deadline = deadline.map_or(DEADLINE_AFTER, |limit| limit.min(DEADLINE_AFTER));
        let stood = self.met.get(object).copied().unwrap_or(false);
        let waited = self.clock.elapsed().saturating_sub(self.begun);
        !stood && waited >= self.limit(deadline)
    }

    /// A limit inside a wait: of half the clock's floor, so that it passes
    /// before the wait's own.
    fn limit(&self, limit: Duration) -> Duration {
        match limit {
            Duration::ZERO => limit,
            limit => self.clock.patience(limit * 2) / 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio_util::sync::CancellationToken;

    use super::*;

    fn deployment(deadline: u64) -> (ObjectRef, Manifest) {
        let live = Manifest::new(json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "d", "namespace": "n"},
            "spec": {"progressDeadlineSeconds": deadline}
        }))
        .unwrap();
        (ObjectRef::from(&live), live)
    }

    fn container(restarts: i64) -> impl Fn() -> std::vec::IntoIter<(String, Before)> {
        let rests = false;
        move || vec![("p/c".to_owned(), Before { restarts, rests })].into_iter()
    }

    #[test]
    fn a_deadline_counts_when_the_wait_has_lasted_as_long() {
        let (object, live) = deployment(1);
        let mut judge = Judge::new(&Clock::new(1e9, CancellationToken::new()));
        judge.meet(&object, false, container(0));
        while !judge.is_final(&object, Some(&live)) {}
        let (_, slow) = deployment(u64::MAX);
        while !judge.is_final(&object, Some(&slow)) {}
        let judge = Judge::new(&Clock::default());
        assert!(!judge.is_final(&object, Some(&live)));
    }

    #[test]
    fn a_deadline_of_what_had_failed_before_never_counts() {
        let (object, live) = deployment(0);
        for (has_failed, restarts, wanted) in
            [(true, 0, false), (false, 1, false), (false, 0, true)]
        {
            let mut judge = Judge::new(&Clock::default());
            judge.meet(&object, has_failed, container(restarts));
            judge.meet(&object, false, container(0));
            assert_eq!(judge.is_final(&object, Some(&live)), wanted);
        }
    }

    #[test]
    fn a_limit_passes_before_that_of_the_wait() {
        let clock = Clock::new(1000.0, CancellationToken::new());
        let judge = Judge::new(&clock.with_floor(Duration::from_secs(20)));
        let minute = Duration::from_mins(1);
        assert_eq!(judge.limit(minute), Duration::from_secs(10_000));
        assert_eq!(Judge::new(&Clock::default()).limit(minute), minute);
    }
}
