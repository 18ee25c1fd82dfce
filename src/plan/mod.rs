//! What a run would do, as data: steps, the graph between them, and one
//! [`Change`] each. Nothing here reads or writes anything outside.

mod change;
mod error;
mod graph;
mod saved;
mod step;

pub use change::{Action, Change, FieldChange, Planned, diff, shorten};
pub use error::{Class, StepError};
pub use graph::{Graph, GraphError, Handle};
pub use saved::{SavedPlan, Stale};
pub use step::{DynStep, Inputs, Progress, Step, StepCx};

use std::collections::BTreeMap;

use serde::Serialize;

use crate::names::StepId;

/// The change of every step of a graph, in an order in which they could run.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Plan {
    /// One entry a step.
    pub steps: Vec<PlannedStep>,
}

/// What would happen to one step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlannedStep {
    /// The step.
    pub id: StepId,
    /// What it is about, for people.
    pub title: String,
    /// What would happen.
    #[serde(flatten)]
    pub change: Change,
    /// What exists now; none when nothing does, or when it cannot be known
    /// before other steps ran.
    #[serde(skip)]
    pub live: Option<serde_json::Value>,
    /// Whether everything that the step reads was known when it was planned.
    #[serde(skip)]
    pub certain: bool,
    /// Whether the user wants it left as it is.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub kept: bool,
}

impl Plan {
    /// Whether nothing would happen.
    pub fn is_empty(&self) -> bool {
        self.steps
            .iter()
            .all(|step| step.change.action == Action::None)
    }

    /// The steps to which something would happen.
    pub fn pending(&self) -> impl Iterator<Item = &PlannedStep> {
        self.steps
            .iter()
            .filter(|step| step.change.action != Action::None)
    }

    /// The entry of a step.
    pub fn step(&self, id: &StepId) -> Option<&PlannedStep> {
        self.steps.iter().find(|step| step.id == *id)
    }

    /// How many steps have each action.
    pub fn counts(&self) -> BTreeMap<Action, usize> {
        let mut counts = BTreeMap::new();
        for step in &self.steps {
            *counts.entry(step.change.action).or_insert(0) += 1;
        }
        counts
    }
}
