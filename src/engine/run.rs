//! Planning, executing and destroying.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::LocalBoxFuture;
use serde_json::Value;

use super::event::{Event, Failure, StepEnd};
use super::report::{RunReport, StepReport};
use super::walk::{End, Node, walk};
use super::{Engine, InspectError};
use crate::clock::Clock;
use crate::journal;
use crate::names::StepId;
use crate::plan::{
    Action, Change, Class, DynStep, Inputs, Plan, PlannedStep, Progress, StepCx, StepError,
};

/// A mutex whose holder never panics while holding it.
struct Shared<T>(Mutex<T>);

impl<T: Default> Default for Shared<T> {
    fn default() -> Self {
        Self(Mutex::new(T::default()))
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a task needs of the engine.
struct Worker<C> {
    step: Arc<dyn DynStep<C>>,
    cx: Arc<C>,
    clock: Clock,
    journal: Arc<journal::Journal>,
    events: super::Sink,
}

impl<C: Send + Sync + 'static> Worker<C> {
    fn new(engine: &Engine<C>, step: &Arc<dyn DynStep<C>>) -> Self {
        Self {
            step: step.clone(),
            cx: engine.cx.clone(),
            clock: engine.clock.clone(),
            journal: engine.journal.clone(),
            events: engine.events.clone(),
        }
    }

    fn step_cx(&self, inputs: Inputs, report: Progress) -> StepCx<C> {
        let remembered = self
            .journal
            .record(&self.step.id())
            .and_then(|record| record.live);
        StepCx {
            cx: self.cx.clone(),
            inputs,
            clock: self.clock.clone(),
            remembered,
            report,
        }
    }

    /// Runs a part of the step under the watch for signs of life.
    async fn watched<T>(
        &self,
        inputs: Inputs,
        part: impl AsyncFnOnce(&StepCx<C>) -> Result<T, StepError>,
    ) -> Result<T, StepError> {
        let signs = Arc::new(Signs::new(self.clock.clone()));
        let (events, id, seen) = (self.events.clone(), self.step.id(), signs.clone());
        let report: Progress = Arc::new(move |message, percent| {
            seen.note(message);
            events(Event::Progress {
                step: id.clone(),
                message: message.to_owned(),
                percent,
            });
        });
        let cx = self.step_cx(inputs, report);
        // Twice the clock's floor: a wait inside the step has to end first.
        let quiet_limit = self.clock.patience(self.step.quiet_limit() / 2) * 2;
        tokio::select! {
            result = part(&cx) => result,
            error = signs.silence(quiet_limit) => Err(error),
        }
    }
}

/// When a step last gave a sign of life, and which.
struct Signs {
    clock: Clock,
    last: Shared<(Duration, String)>,
}

impl Signs {
    fn new(clock: Clock) -> Self {
        let last = Shared(Mutex::new((clock.elapsed(), String::new())));
        Self { clock, last }
    }

    fn note(&self, message: &str) {
        let mut last = self.last.lock();
        // Saying the same again is no progress.
        if last.1 != message {
            *last = (self.clock.elapsed(), message.to_owned());
        }
    }

    /// Ends when the step was silent for `limit`.
    async fn silence(&self, limit: Duration) -> StepError {
        loop {
            let (at, message) = self.last.lock().clone();
            let quiet = self.clock.elapsed().saturating_sub(at);
            if quiet >= limit {
                let seen = if message.is_empty() {
                    "nothing".to_owned()
                } else {
                    message
                };
                return StepError::new(
                    Class::Timeout,
                    format!(
                        "no progress for {}; last seen: {seen}",
                        crate::clock::human(quiet)
                    ),
                )
                .with_hint("run the same command again: it goes on from here");
            }
            if self.clock.sleep(limit.saturating_sub(quiet)).await.is_err() {
                // Cancelled: the step itself will notice at its next wait.
                futures::future::pending::<()>().await;
            }
        }
    }
}

fn quiet() -> Progress {
    Arc::new(|_, _| {})
}

/// What a planning walk collects.
#[derive(Default)]
struct Looked {
    steps: BTreeMap<StepId, PlannedStep>,
    failures: BTreeMap<StepId, StepError>,
}

pub(super) async fn plan<C: Send + Sync + 'static>(
    engine: &Engine<C>,
) -> Result<Plan, InspectError> {
    let looked: Arc<Shared<Looked>> = Arc::default();
    let total = engine.graph.steps().len();
    let nodes = forward_nodes(engine, |_| true);
    let ends = walk(nodes, &engine.limits, engine.clock.cancellation(), |id| {
        let Some(step) = engine.graph.step(id) else {
            return std::future::ready(true).boxed_local();
        };
        let (worker, looked) = (Worker::new(engine, step), looked.clone());
        async move { look(&worker, &looked, total).await }.boxed_local()
    })
    .await;
    let mut looked = std::mem::take(&mut *looked.lock());
    for (id, end) in ends {
        match end {
            End::Panicked(text) => {
                looked.failures.insert(id, StepError::bug(text));
            }
            End::NotStarted => {
                looked
                    .failures
                    .entry(id)
                    .or_insert(crate::clock::Cancelled.into());
            }
            _ => {}
        }
    }
    if !looked.failures.is_empty() {
        return Err(InspectError {
            failures: looked.failures.into_iter().collect(),
        });
    }
    let order = engine.graph.steps().iter().map(|step| step.id());
    Ok(Plan {
        steps: order.filter_map(|id| looked.steps.remove(&id)).collect(),
    })
}

async fn look<C: Send + Sync + 'static>(
    worker: &Worker<C>,
    looked: &Shared<Looked>,
    total: usize,
) -> bool {
    let step = &worker.step;
    let needs: Vec<_> = step.needs();
    // While looking, a step may use whatever exists, even what will be made
    // anew: that is where its own old thing is to be found.
    let existing = Inputs::new(
        needs
            .iter()
            .filter_map(|need| Some((need.clone(), looked.lock().steps.get(need)?.live.clone()?))),
    );
    let result = match step.inspect(&worker.step_cx(existing, quiet())).await {
        Ok(live) => planned(worker, looked, live),
        Err(error) => Err(error),
    };
    let id = step.id();
    let mut looked = looked.lock();
    let good = result.is_ok();
    match result {
        Ok(entry) => {
            looked.steps.insert(id.clone(), entry);
        }
        Err(error) => {
            looked.failures.insert(id.clone(), error);
        }
    }
    let done = looked.steps.len();
    drop(looked);
    (worker.events)(Event::Inspecting {
        step: id,
        done,
        total,
    });
    good
}

/// Plans a step that was looked at.
fn planned<C: Send + Sync + 'static>(
    worker: &Worker<C>,
    looked: &Shared<Looked>,
    live: Option<Value>,
) -> Result<PlannedStep, StepError> {
    let step = &worker.step;
    let (mut certain, mut replaced, mut inputs) = (true, None, Vec::new());
    for need in step.needs() {
        let looked = looked.lock();
        let Some(entry) = looked.steps.get(&need) else {
            continue;
        };
        match (entry.change.action, &entry.live) {
            (Action::None | Action::Update, Some(live)) => {
                inputs.push((need.clone(), live.clone()));
            }
            (Action::Replace, _) => {
                replaced = Some(need.clone());
                certain = false;
            }
            (Action::Delete | Action::None, _) => {}
            _ => certain = false,
        }
        certain &= entry.certain && matches!(entry.change.action, Action::None | Action::Delete);
    }
    let change = match (&replaced, &live) {
        (Some(need), Some(_)) => {
            Change::replace(format!("it belongs to {need}, which is replaced"))
        }
        _ => step.plan(&worker.cx, &Inputs::new(inputs), live.as_ref())?,
    };
    Ok(PlannedStep {
        id: step.id(),
        title: step.title(),
        change,
        live,
        certain,
        kept: false,
    })
}

/// What a run collects.
#[derive(Default)]
struct Done {
    outputs: BTreeMap<StepId, Value>,
    /// What does not exist, and is not to be made.
    left_out: BTreeSet<StepId>,
    ends: BTreeMap<StepId, (StepEnd, Duration)>,
}

pub(super) async fn execute<C: Send + Sync + 'static>(
    engine: &Engine<C>,
    plan: &Plan,
) -> RunReport {
    let started = engine.clock.elapsed();
    let done: Arc<Shared<Done>> = Arc::default();
    let with = |action| {
        plan.steps
            .iter()
            .filter(move |s| s.change.action == action && !s.kept)
            .map(|s| s.id.clone())
            .collect()
    };
    let replaced: BTreeSet<StepId> = with(Action::Replace);
    let deleted: BTreeSet<StepId> = with(Action::Delete);

    let mut blocked = destroy_steps(engine, plan, &replaced, &done).await;
    if blocked.is_empty() {
        blocked = apply_steps(engine, plan, &deleted, &done).await;
    }
    if blocked.is_empty() {
        blocked = destroy_steps(engine, plan, &deleted, &done).await;
    }
    finish(engine, plan, &done, &blocked, started)
}

pub(super) async fn destroy<C: Send + Sync + 'static>(
    engine: &Engine<C>,
    plan: &Plan,
) -> RunReport {
    let started = engine.clock.elapsed();
    let done: Arc<Shared<Done>> = Arc::default();
    let there = engine.doomed(plan).map(|entry| entry.id.clone()).collect();
    let blocked = destroy_steps(engine, plan, &there, &done).await;
    let mut report = finish(engine, plan, &done, &blocked, started);
    report.steps.retain(|step| {
        step.end
            != StepEnd::Done {
                action: Action::None,
            }
    });
    report
}

/// Applies everything that is not deleted, in graph order. Returns what did
/// not get its turn.
async fn apply_steps<C: Send + Sync + 'static>(
    engine: &Engine<C>,
    plan: &Plan,
    deleted: &BTreeSet<StepId>,
    done: &Arc<Shared<Done>>,
) -> BTreeMap<StepId, End> {
    let nodes = forward_nodes(engine, |id| !deleted.contains(id));
    let ends = walk(nodes, &engine.limits, engine.clock.cancellation(), |id| {
        let parts = engine.graph.step(id).zip(plan.step(id));
        let Some((step, entry)) = parts else {
            return std::future::ready(true).boxed_local();
        };
        apply_one(Worker::new(engine, step), entry.clone(), done.clone()).boxed_local()
    })
    .await;
    unfinished(ends, done)
}

fn apply_one<C: Send + Sync + 'static>(
    worker: Worker<C>,
    entry: PlannedStep,
    done: Arc<Shared<Done>>,
) -> LocalBoxFuture<'static, bool> {
    async move {
        let started = worker.clock.elapsed();
        let id = entry.id.clone();
        let action = entry.change.action;
        if action == Action::None && entry.certain {
            let mut done = done.lock();
            done.outputs
                .extend(entry.live.map(|live| (id.clone(), live)));
            done.ends
                .insert(id, (StepEnd::Done { action }, Duration::ZERO));
            return true;
        }
        let inputs = Inputs::new({
            let done = done.lock();
            let needs = worker.step.needs();
            needs
                .into_iter()
                .filter_map(|n| Some((n.clone(), done.outputs.get(&n)?.clone())))
                .collect::<Vec<_>>()
        });
        let missing = {
            let done = done.lock();
            let needs = worker.step.needs();
            needs.into_iter().find(|need| done.left_out.contains(need))
        };
        let result = match (entry.kept, missing) {
            (true, Some(_)) => Ok((Action::None, None)),
            (true, None) => leave(&worker, &entry, inputs).await,
            (false, Some(need)) => Err(left_out(&need)),
            (false, None) => make_true(&worker, &entry, inputs).await,
        };
        if entry.kept && matches!(result, Ok((_, None))) {
            done.lock().left_out.insert(id.clone());
        }
        let took = worker.clock.elapsed().saturating_sub(started);
        let (end, passed) = match result {
            Ok((action, live)) => {
                done.lock()
                    .outputs
                    .extend(live.map(|live| (id.clone(), live)));
                (StepEnd::Done { action }, true)
            }
            Err(error) => (end_of(&error), false),
        };
        settle(&worker, &done, &entry, end, took);
        passed
    }
    .boxed_local()
}

/// Looks at a step that is left as it is, for those that need it.
async fn leave<C: Send + Sync + 'static>(
    worker: &Worker<C>,
    entry: &PlannedStep,
    inputs: Inputs,
) -> Result<(Action, Option<Value>), StepError> {
    let live = if entry.certain {
        entry.live.clone()
    } else {
        worker
            .step
            .inspect(&worker.step_cx(inputs, quiet()))
            .await?
    };
    Ok((Action::None, live))
}

fn left_out(need: &StepId) -> StepError {
    StepError::new(
        Class::Invalid,
        format!("it needs {need}, which does not exist and is left out"),
    )
    .with_hint("run `todoctl up` without --only and --skip, or with more phases")
}

/// Looks again where planning could not see everything, then applies.
async fn make_true<C: Send + Sync + 'static>(
    worker: &Worker<C>,
    entry: &PlannedStep,
    inputs: Inputs,
) -> Result<(Action, Option<Value>), StepError> {
    let step = &worker.step;
    let mut live = entry.live.clone();
    let mut action = entry.change.action;
    if !entry.certain || action == Action::Replace {
        live = step
            .inspect(&worker.step_cx(inputs.clone(), quiet()))
            .await?;
        let change = step.plan(&worker.cx, &inputs, live.as_ref())?;
        if change.action == Action::None {
            // It came to be with what it needs; what it is may be asked later.
            if let Some(live) = &live {
                let started = journal::Event::Started {
                    step: step.id(),
                    action,
                };
                write(worker, started)?;
                let found = journal::Event::Succeeded {
                    step: step.id(),
                    live: live.clone(),
                };
                write(worker, found)?;
            }
            return Ok((Action::None, live));
        }
        // A replaced thing was destroyed by now, so that making it is the rest.
        action = if action == Action::Replace {
            action
        } else {
            change.action
        };
    }
    begin(
        worker,
        journal::Event::Started {
            step: step.id(),
            action,
        },
        action,
    )?;
    let result = worker
        .watched(inputs, async |cx| step.apply(cx, live).await)
        .await;
    let event = match &result {
        Ok(live) => journal::Event::Succeeded {
            step: step.id(),
            live: live.clone(),
        },
        Err(error) => journal::Event::Failed {
            step: step.id(),
            class: error.class(),
            message: error.to_string(),
        },
    };
    write(worker, event)?;
    Ok((action, Some(result?)))
}

/// Destroys some steps, dependants first.
async fn destroy_steps<C: Send + Sync + 'static>(
    engine: &Engine<C>,
    plan: &Plan,
    steps: &BTreeSet<StepId>,
    done: &Arc<Shared<Done>>,
) -> BTreeMap<StepId, End> {
    if steps.is_empty() {
        return BTreeMap::new();
    }
    let behind = reach(&engine.graph.dependants());
    let nodes = engine
        .graph
        .steps()
        .iter()
        .rev()
        .filter(|step| steps.contains(&step.id()))
        .map(|step| Node {
            id: step.id(),
            after: behind.get(&step.id()).cloned().unwrap_or_default(),
            system: step.system(),
        })
        .collect();
    let ends = walk(nodes, &engine.limits, engine.clock.cancellation(), |id| {
        let parts = engine.graph.step(id).zip(plan.step(id));
        let Some((step, entry)) = parts else {
            return std::future::ready(true).boxed_local();
        };
        // Destroying may read what exists, for instance the parent's id.
        let inputs = Inputs::new(step.needs().into_iter().filter_map(|need| {
            let live = plan.step(&need)?.live.clone()?;
            Some((need, live))
        }));
        destroy_one(
            Worker::new(engine, step),
            entry.clone(),
            inputs,
            done.clone(),
        )
        .boxed_local()
    })
    .await;
    unfinished(ends, done)
}

async fn destroy_one<C: Send + Sync + 'static>(
    worker: Worker<C>,
    entry: PlannedStep,
    inputs: Inputs,
    done: Arc<Shared<Done>>,
) -> bool {
    let Some(live) = entry.live.clone() else {
        return true;
    };
    let started = worker.clock.elapsed();
    let result = async {
        let step = worker.step.id();
        let begun = journal::Event::DestroyStarted { step: step.clone() };
        begin(&worker, begun, Action::Delete)?;
        let inner = &worker.step;
        let result = worker
            .watched(inputs, async |cx| inner.destroy(cx, live).await)
            .await;
        let event = match &result {
            Ok(()) => journal::Event::Destroyed { step },
            Err(error) => journal::Event::DestroyFailed {
                step,
                class: error.class(),
                message: error.to_string(),
            },
        };
        write(&worker, event)?;
        result
    }
    .await;
    let took = worker.clock.elapsed().saturating_sub(started);
    let end = match &result {
        Ok(()) => StepEnd::Done {
            action: Action::Delete,
        },
        Err(error) => end_of(error),
    };
    settle(&worker, &done, &entry, end, took);
    result.is_ok()
}

fn end_of(error: &StepError) -> StepEnd {
    match error.class() {
        Class::Interrupted => StepEnd::Interrupted,
        _ => StepEnd::Failed(Failure::from(error)),
    }
}

fn begin<C: Send + Sync + 'static>(
    worker: &Worker<C>,
    event: journal::Event,
    action: Action,
) -> Result<(), StepError> {
    write(worker, event)?;
    let (step, title) = (worker.step.id(), worker.step.title());
    (worker.events)(Event::Started {
        step,
        title,
        action,
    });
    Ok(())
}

fn write<C: Send + Sync + 'static>(
    worker: &Worker<C>,
    event: journal::Event,
) -> Result<(), StepError> {
    worker.journal.write(event).map_err(|error| {
        StepError::new(
            Class::Invalid,
            "cannot remember what it does, so it does nothing",
        )
        .with_hint("make room or mend the permissions, then run the same command again")
        .caused_by(error)
    })
}

fn settle<C: Send + Sync + 'static>(
    worker: &Worker<C>,
    done: &Shared<Done>,
    entry: &PlannedStep,
    end: StepEnd,
    took: Duration,
) {
    done.lock()
        .ends
        .insert(entry.id.clone(), (end.clone(), took));
    let (step, title) = (entry.id.clone(), entry.title.clone());
    (worker.events)(Event::Ended {
        step,
        title,
        end,
        took,
    });
}

/// The nodes of a forward walk.
fn forward_nodes<C: Send + Sync + 'static>(
    engine: &Engine<C>,
    keep: impl Fn(&StepId) -> bool,
) -> Vec<Node> {
    engine
        .graph
        .steps()
        .iter()
        .filter(|step| keep(&step.id()))
        .map(|step| Node {
            id: step.id(),
            after: step.needs().into_iter().collect(),
            system: step.system(),
        })
        .collect()
}

/// Everything that needs a step, directly or through others.
fn reach(direct: &BTreeMap<StepId, BTreeSet<StepId>>) -> BTreeMap<StepId, BTreeSet<StepId>> {
    let mut all = BTreeMap::new();
    for id in direct.keys() {
        let mut found = BTreeSet::new();
        let mut next: Vec<_> = direct.get(id).into_iter().flatten().cloned().collect();
        while let Some(id) = next.pop() {
            if found.insert(id.clone()) {
                next.extend(direct.get(&id).into_iter().flatten().cloned());
            }
        }
        all.insert(id.clone(), found);
    }
    all
}

/// What a walk did not bring to a good end.
fn unfinished(ends: BTreeMap<StepId, End>, done: &Shared<Done>) -> BTreeMap<StepId, End> {
    let mut done = done.lock();
    for (id, end) in &ends {
        if let End::Panicked(text) = end {
            let failure = Failure::from(&StepError::bug(text.clone()));
            done.ends
                .insert(id.clone(), (StepEnd::Failed(failure), Duration::ZERO));
        }
    }
    ends.into_iter()
        .filter(|(_, end)| *end != End::Passed)
        .collect()
}

fn finish<C: Send + Sync + 'static>(
    engine: &Engine<C>,
    plan: &Plan,
    done: &Shared<Done>,
    unfinished: &BTreeMap<StepId, End>,
    started: Duration,
) -> RunReport {
    let mut ends = std::mem::take(&mut done.lock().ends);
    let cancelled = engine.clock.check().is_err();
    let steps = plan
        .steps
        .iter()
        .map(|entry| {
            let (end, took) = ends.remove(&entry.id).unwrap_or_else(|| {
                let end = match (unfinished.get(&entry.id), entry.change.action) {
                    (Some(End::Blocked(by)), _) => StepEnd::Blocked { by: by.clone() },
                    (Some(End::NotStarted), _) => StepEnd::NotStarted,
                    (_, Action::None) => StepEnd::Done {
                        action: Action::None,
                    },
                    _ if cancelled => StepEnd::NotStarted,
                    // It never got its turn: an earlier part of the run failed.
                    _ if unfinished.is_empty() => StepEnd::Done {
                        action: Action::None,
                    },
                    _ => StepEnd::NotStarted,
                };
                (end, Duration::ZERO)
            });
            StepReport {
                id: entry.id.clone(),
                title: entry.title.clone(),
                end,
                took,
            }
        })
        .collect();
    let took = engine.clock.elapsed().saturating_sub(started);
    RunReport::new(&engine.graph, steps, took)
}
