//! Walks a graph: starts a node when everything before it is done, as many at
//! once as the limits allow, and blocks what comes after a failure.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;

use futures::future::LocalBoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
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
    start: impl Fn(&StepId) -> LocalBoxFuture<'static, bool>,
) -> BTreeMap<StepId, End> {
    let mut ends: BTreeMap<StepId, End> = BTreeMap::new();
    let mut waiting = nodes;
    let mut running = FuturesUnordered::new();
    let mut busy: BTreeSet<StepId> = BTreeSet::new();
    loop {
        let queued: BTreeSet<_> = waiting.iter().map(|node| node.id.clone()).collect();
        let mut held = Vec::new();
        for node in waiting {
            // What is neither queued nor busy nor ended is not part of this
            // walk, and holds nobody up.
            let ahead = |id: &StepId| queued.contains(id) || busy.contains(id);
            let blocker = node.after.iter().find_map(|id| match ends.get(id) {
                Some(End::Stopped | End::Panicked(_)) => Some(id.clone()),
                // Name the cause, not the echo.
                Some(End::Blocked(cause)) => Some(cause.clone()),
                _ => None,
            });
            if let Some(by) = blocker {
                ends.insert(node.id, End::Blocked(by));
            } else if node
                .after
                .iter()
                .any(|id| !ends.contains_key(id) && ahead(id))
            {
                held.push(node);
            } else if cancel.is_cancelled() {
                ends.insert(node.id, End::NotStarted);
            } else {
                let work = start(&node.id);
                busy.insert(node.id.clone());
                running.push(visit(node, limits, cancel, work));
            }
        }
        waiting = held;
        let Some((id, end)) = running.next().await else {
            break;
        };
        busy.remove(&id);
        ends.insert(id, end);
    }
    for node in waiting {
        ends.entry(node.id).or_insert(End::NotStarted);
    }
    ends
}

/// Waits for a place at the node's system, then does its work.
async fn visit(
    node: Node,
    limits: &Limits,
    cancel: &CancellationToken,
    work: LocalBoxFuture<'static, bool>,
) -> (StepId, End) {
    let _place = limits.acquire(node.system).await;
    if cancel.is_cancelled() {
        return (node.id, End::NotStarted);
    }
    // A step's state is its own, and is not looked at again after a panic.
    let end = match AssertUnwindSafe(work).catch_unwind().await {
        Ok(true) => End::Passed,
        Ok(false) => End::Stopped,
        Err(panic) => End::Panicked(panic_text(&*panic)),
    };
    (node.id, end)
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a step panicked".to_owned())
}
