//! Walks a graph: starts a node when everything before it is done, as many at
//! once as the limits allow, and blocks what comes after a failure.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::BoxFuture;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Limits;
use crate::names::StepId;

/// A node of the walk.
pub(super) struct Node {
    pub(super) id: StepId,
    pub(super) after: BTreeSet<StepId>,
    pub(super) system: &'static str,
}

/// What became of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// It ran and let the walk go on.
    Passed,
    /// It ran and stops what comes after it.
    Stopped,
    /// It panicked.
    Panicked(String),
    /// Something before it stopped.
    Blocked(StepId),
    /// The walk was cancelled before its turn.
    NotStarted,
}

/// Walks all nodes. `start` makes the future of a node; it yields whether the
/// walk may go on behind it.
pub(super) async fn walk(
    nodes: Vec<Node>,
    limits: &Limits,
    cancel: &CancellationToken,
    start: impl Fn(&StepId) -> BoxFuture<'static, bool>,
) -> BTreeMap<StepId, End> {
    let mut ends: BTreeMap<StepId, End> = BTreeMap::new();
    let mut waiting = nodes;
    let mut running = JoinSet::new();
    let mut names = BTreeMap::new();
    loop {
        let known: BTreeSet<_> = waiting.iter().map(|node| node.id.clone()).collect();
        let mut held = Vec::new();
        for node in waiting {
            // What is neither waiting nor running nor ended is not part of
            // this walk, and holds nobody up.
            let busy = |id: &StepId| known.contains(id) || names.values().any(|n| n == id);
            let blocker = node.after.iter().find(|id| {
                matches!(
                    ends.get(*id),
                    Some(End::Stopped | End::Panicked(_) | End::Blocked(_))
                )
            });
            if let Some(blocker) = blocker {
                // Name the cause, not the echo.
                let by = match ends.get(blocker) {
                    Some(End::Blocked(cause)) => cause.clone(),
                    _ => blocker.clone(),
                };
                ends.insert(node.id, End::Blocked(by));
            } else if node
                .after
                .iter()
                .any(|id| !ends.contains_key(id) && busy(id))
            {
                held.push(node);
            } else if cancel.is_cancelled() {
                ends.insert(node.id, End::NotStarted);
            } else {
                let (work, limits, system) = (start(&node.id), limits.clone(), node.system);
                let cancel = cancel.clone();
                let task = running.spawn(async move {
                    let _place = limits.acquire(system).await;
                    if cancel.is_cancelled() {
                        None
                    } else {
                        Some(work.await)
                    }
                });
                names.insert(task.id(), node.id);
            }
        }
        waiting = held;
        let Some(joined) = running.join_next_with_id().await else {
            break;
        };
        let (task, end) = match joined {
            Ok((task, Some(true))) => (task, End::Passed),
            Ok((task, Some(false))) => (task, End::Stopped),
            Ok((task, None)) => (task, End::NotStarted),
            Err(error) => (error.id(), End::Panicked(panic_text(error))),
        };
        if let Some(id) = names.remove(&task) {
            ends.insert(id, end);
        }
    }
    for node in waiting {
        ends.entry(node.id).or_insert(End::NotStarted);
    }
    ends
}

fn panic_text(error: tokio::task::JoinError) -> String {
    match error.try_into_panic() {
        Ok(panic) => panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "a step panicked".to_owned()),
        Err(_) => "a step was aborted".to_owned(),
    }
}
