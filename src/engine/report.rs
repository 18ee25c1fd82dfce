//! What a run did.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::event::{StepEnd, seconds};
use crate::journal::Outcome;
use crate::names::StepId;
use crate::plan::{Action, Graph};

/// One step of a run.
#[derive(Debug, Clone, Serialize)]
pub struct StepReport {
    /// The step.
    pub id: StepId,
    /// What it is about.
    pub title: String,
    /// How it ended.
    #[serde(flatten)]
    pub end: StepEnd,
    /// How long it took, in the clock's time.
    #[serde(serialize_with = "seconds", rename = "seconds")]
    pub took: Duration,
}

/// A whole run.
#[derive(Debug, Clone, Serialize)]
pub struct RunReport {
    /// How it ended.
    pub outcome: Outcome,
    /// Its steps, in graph order.
    pub steps: Vec<StepReport>,
    /// How long it took, in the clock's time.
    #[serde(serialize_with = "seconds", rename = "seconds")]
    pub took: Duration,
    /// The longest chain of steps that had to wait for each other: no run of
    /// these steps could be faster.
    #[serde(serialize_with = "seconds", rename = "criticalSeconds")]
    pub critical: Duration,
}

impl RunReport {
    pub(super) fn new<C>(graph: &Graph<C>, steps: Vec<StepReport>, took: Duration) -> Self {
        let interrupted =
            |s: &StepReport| matches!(s.end, StepEnd::Interrupted | StepEnd::NotStarted);
        let outcome = if steps.iter().any(|s| matches!(s.end, StepEnd::Failed(_))) {
            Outcome::Failed
        } else if steps.iter().any(interrupted) {
            Outcome::Interrupted
        } else {
            Outcome::Done
        };
        let critical = critical(graph, &steps);
        Self {
            outcome,
            steps,
            took,
            critical,
        }
    }

    /// How many steps did what.
    pub fn counts(&self) -> BTreeMap<Action, usize> {
        let mut counts = BTreeMap::new();
        for step in &self.steps {
            if let StepEnd::Done { action } = step.end {
                *counts.entry(action).or_insert(0) += 1;
            }
        }
        counts
    }

    /// The steps that failed.
    pub fn failures(&self) -> impl Iterator<Item = &StepReport> {
        self.steps
            .iter()
            .filter(|step| matches!(step.end, StepEnd::Failed(_)))
    }
}

fn critical<C>(graph: &Graph<C>, steps: &[StepReport]) -> Duration {
    let took: BTreeMap<_, _> = steps.iter().map(|step| (&step.id, step.took)).collect();
    let mut longest: BTreeMap<StepId, Duration> = BTreeMap::new();
    for step in graph.steps() {
        let id = step.id();
        let before = step
            .needs()
            .iter()
            .filter_map(|need| longest.get(need))
            .max()
            .copied();
        let own = took.get(&id).copied().unwrap_or_default();
        longest.insert(id, before.unwrap_or_default() + own);
    }
    longest.values().max().copied().unwrap_or_default()
}
