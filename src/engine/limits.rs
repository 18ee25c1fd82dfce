//! How many steps may work on one outside system at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A bound for each outside system.
#[derive(Debug, Clone)]
pub struct Limits {
    default: Arc<Semaphore>,
    systems: BTreeMap<&'static str, Arc<Semaphore>>,
}

impl Limits {
    /// Bounds for named systems, and one that the others share.
    pub fn new(default: usize, systems: &[(&'static str, usize)]) -> Self {
        let semaphore = |n: usize| Arc::new(Semaphore::new(n.max(1)));
        Self {
            default: semaphore(default),
            systems: systems
                .iter()
                .map(|(name, n)| (*name, semaphore(*n)))
                .collect(),
        }
    }

    /// Waits for a place at a system.
    pub(super) async fn acquire(&self, system: &str) -> Option<OwnedSemaphorePermit> {
        let semaphore = self.systems.get(system).unwrap_or(&self.default);
        // None only if the semaphore were closed, which nobody does.
        semaphore.clone().acquire_owned().await.ok()
    }
}
