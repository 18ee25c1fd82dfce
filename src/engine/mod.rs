//! The step engine: looks, plans, applies, destroys. Generic over the context,
//! so that it cannot know a cloud.
//!
//! A step runs as soon as everything it needs is there, bounded per outside
//! system. A failed step blocks what needs it and nothing else. A cancelled
//! run starts nothing new and lets every running step reach its next wait.

mod event;
mod limits;
mod report;
mod run;
#[cfg(test)]
mod tests;
mod walk;

pub use event::{Event, Failure, Sink, StepEnd};
pub use limits::Limits;
pub use report::{RunReport, StepReport};

use std::sync::Arc;

use crate::clock::Clock;
use crate::journal::Journal;
use crate::names::StepId;
use crate::plan::{Graph, Plan, PlannedStep, StepError};

/// A graph of steps with everything that it takes to run it.
pub struct Engine<C> {
    graph: Arc<Graph<C>>,
    cx: Arc<C>,
    clock: Clock,
    journal: Arc<Journal>,
    limits: Limits,
    events: Sink,
}

/// Looking at some steps failed, so there is no plan.
#[derive(Debug)]
pub struct InspectError {
    /// The steps that could not be looked at, in graph order.
    pub failures: Vec<(StepId, StepError)>,
}

impl<C: Send + Sync + 'static> Engine<C> {
    /// Puts an engine together.
    pub fn new(
        graph: Graph<C>,
        cx: Arc<C>,
        clock: Clock,
        journal: Arc<Journal>,
        limits: Limits,
        events: Sink,
    ) -> Self {
        Self {
            graph: Arc::new(graph),
            cx,
            clock,
            journal,
            limits,
            events,
        }
    }

    /// The graph.
    pub fn graph(&self) -> &Graph<C> {
        &self.graph
    }

    /// Looks at everything and says what would change. Writes nothing.
    pub async fn plan(&self) -> Result<Plan, InspectError> {
        run::plan(self).await
    }

    /// Makes a plan true.
    pub async fn execute(&self, plan: &Plan) -> RunReport {
        run::execute(self, plan).await
    }

    /// What a teardown would remove of what a plan found.
    pub fn doomed<'a>(&'a self, plan: &'a Plan) -> impl Iterator<Item = &'a PlannedStep> {
        plan.steps.iter().filter(|entry| {
            let step = self.graph.step(&entry.id);
            match (&entry.live, step) {
                (Some(live), Some(step)) => !entry.kept && !step.only_reads() && !step.keeps(live),
                _ => false,
            }
        })
    }

    /// Removes everything that a plan found, dependants first.
    pub async fn destroy(&self, plan: &Plan) -> RunReport {
        run::destroy(self, plan).await
    }
}
