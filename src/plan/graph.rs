//! The graph of steps. A step can need only what was added before it, so there
//! are no cycles, and the order of adding is an order in which steps can run.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::marker::PhantomData;
use std::sync::Arc;

use super::{DynStep, Step};
use crate::names::StepId;

/// A typed promise of what a step will know.
#[derive(Debug)]
pub struct Handle<T> {
    id: StepId,
    output: PhantomData<fn() -> T>,
}

impl<T> Handle<T> {
    /// The step that keeps the promise.
    pub fn id(&self) -> &StepId {
        &self.id
    }
}

impl<T> Clone for Handle<T> {
    fn clone(&self) -> Self {
        Self {
            id: self.id.clone(),
            output: PhantomData,
        }
    }
}

/// A step that cannot be added.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// There is one of that name.
    #[error("step `{0}` is there twice")]
    Twice(StepId),
    /// It needs what is not there.
    #[error("step `{step}` needs `{missing}`, which is not there")]
    Missing {
        /// The step.
        step: StepId,
        /// What it needs.
        missing: StepId,
    },
}

/// The steps of a deployment.
pub struct Graph<C> {
    steps: Vec<Arc<dyn DynStep<C>>>,
    index: BTreeMap<StepId, usize>,
}

impl<C> Default for Graph<C> {
    fn default() -> Self {
        Self {
            steps: Vec::new(),
            index: BTreeMap::new(),
        }
    }
}

impl<C: Send + Sync + 'static> Graph<C> {
    /// Adds a step and returns the handle by which later ones read its output.
    pub fn add<S: Step<C>>(&mut self, step: S) -> Result<Handle<S::Live>, GraphError> {
        let id = Step::id(&step);
        if self.index.contains_key(&id) {
            return Err(GraphError::Twice(id));
        }
        if let Some(missing) = Step::needs(&step)
            .into_iter()
            .find(|n| !self.index.contains_key(n))
        {
            return Err(GraphError::Missing { step: id, missing });
        }
        self.index.insert(id.clone(), self.steps.len());
        self.steps.push(Arc::new(step));
        Ok(Handle {
            id,
            output: PhantomData,
        })
    }
}

impl<C> Graph<C> {
    /// The steps, each after everything that it needs.
    pub fn steps(&self) -> &[Arc<dyn DynStep<C>>] {
        &self.steps
    }

    /// A step by its identity.
    pub fn step(&self, id: &StepId) -> Option<&Arc<dyn DynStep<C>>> {
        self.steps.get(*self.index.get(id)?)
    }

    /// The steps that need each step, directly.
    pub fn dependants(&self) -> BTreeMap<StepId, BTreeSet<StepId>> {
        let mut map: BTreeMap<_, BTreeSet<_>> = self
            .index
            .keys()
            .map(|id| (id.clone(), BTreeSet::new()))
            .collect();
        for step in &self.steps {
            for need in step.needs() {
                map.entry(need).or_default().insert(step.id());
            }
        }
        map
    }

    /// The graph in Graphviz' dot language.
    pub fn dot(&self) -> String {
        let mut text = String::from("digraph steps {\n  rankdir=LR;\n");
        for step in &self.steps {
            let _ = writeln!(text, "  \"{}\" [label=\"{}\"];", step.id(), step.title());
            for need in step.needs() {
                let _ = writeln!(text, "  \"{need}\" -> \"{}\";", step.id());
            }
        }
        text + "}\n"
    }
}
