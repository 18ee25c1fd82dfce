//! The step: the smallest unit of change.
//!
//! Rules for authors:
//! 1. [`Step::inspect`] only reads, and finds what an earlier, killed run made
//!    by tag, label or deterministic name, never by a remembered identifier
//!    alone.
//! 2. [`Step::apply`] is idempotent and returns when the thing is usable.
//! 3. [`Step::destroy`] treats "already gone" as success and touches only what
//!    carries the deployment's tag.
//! 4. [`Step::plan`] is pure and says `None` when nothing is to be done.
//!
//! Steps wait for networks and compute nothing, so all of them run on one
//! thread: their futures need not be `Send`.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Change, Handle, StepError};
use crate::clock::Clock;
use crate::names::StepId;

/// The author's side of a step. `C` is the context: the clients in `steps`, a
/// toy in the engine's tests.
pub trait Step<C>: Send + Sync + 'static {
    /// What exists: what inspecting finds, applying returns, and dependants
    /// read. It is written to the journal, so it holds no secret.
    type Live: Serialize + DeserializeOwned + Clone + Send + Sync;

    /// The stable identity, `phase/name`.
    fn id(&self) -> StepId;
    /// What it makes, for people: `virtual network`.
    fn title(&self) -> String;
    /// The steps whose outputs this one reads, or that must be there first.
    fn needs(&self) -> Vec<StepId>;
    /// The outside system that bounds how many such steps run at once.
    fn system(&self) -> &'static str;
    /// For how long the step may report nothing before it counts as stuck.
    fn quiet_limit(&self) -> Duration {
        Duration::from_mins(5)
    }
    /// Whether the step only finds something out and makes nothing.
    fn only_reads(&self) -> bool {
        false
    }
    /// Whether a teardown leaves the thing alone, because it was there before
    /// the deployment.
    fn keeps(&self, _: &Self::Live) -> bool {
        false
    }
    /// Looks for the thing.
    fn inspect(
        &self,
        cx: &StepCx<C>,
    ) -> impl Future<Output = Result<Option<Self::Live>, StepError>>;
    /// Compares what is with what should be.
    fn plan(&self, cx: &C, inputs: &Inputs, live: Option<&Self::Live>) -> Change;
    /// Makes it so.
    fn apply(
        &self,
        cx: &StepCx<C>,
        live: Option<Self::Live>,
    ) -> impl Future<Output = Result<Self::Live, StepError>>;
    /// Removes it.
    fn destroy(
        &self,
        cx: &StepCx<C>,
        live: Self::Live,
    ) -> impl Future<Output = Result<(), StepError>>;
}

/// What a step says while it works.
pub type Progress = Arc<dyn Fn(&str, Option<u8>) + Send + Sync>;

/// What a step may use while it works.
pub struct StepCx<C> {
    /// The clients and settings.
    pub cx: Arc<C>,
    /// What the steps before it know.
    pub inputs: Inputs,
    /// Time and waiting.
    pub clock: Clock,
    /// What the journal remembers of this step from an earlier run, for far
    /// sides whose lists lag behind.
    pub remembered: Option<Value>,
    /// Reports progress; goes through [`StepCx::progress`].
    pub report: Progress,
}

impl<C> StepCx<C> {
    /// Tells the user what is happening now. It also counts as a sign of life.
    pub fn progress(&self, message: &str) {
        (self.report)(message, None);
    }

    /// The same with the far side's own percentage.
    pub fn percent(&self, message: &str, percent: u8) {
        (self.report)(message, Some(percent));
    }

    /// An input; none when its step has not run yet.
    pub fn known<T: DeserializeOwned>(&self, handle: &Handle<T>) -> Option<T> {
        self.inputs.get(handle)
    }

    /// An input that must be there by now.
    pub fn input<T: DeserializeOwned>(&self, handle: &Handle<T>) -> Result<T, StepError> {
        self.inputs
            .get(handle)
            .ok_or_else(|| StepError::bug(format!("the output of `{}` is missing", handle.id())))
    }

    /// What the journal remembers, typed.
    pub fn remembered<T: DeserializeOwned>(&self) -> Option<T> {
        T::deserialize(self.remembered.as_ref()?).ok()
    }
}

/// The outputs of the steps that a step needs.
#[derive(Debug, Clone, Default)]
pub struct Inputs(BTreeMap<StepId, Value>);

impl Inputs {
    /// Collects outputs.
    pub fn new(outputs: impl IntoIterator<Item = (StepId, Value)>) -> Self {
        Self(outputs.into_iter().collect())
    }

    /// An output; none when it is not known yet.
    pub fn get<T: DeserializeOwned>(&self, handle: &Handle<T>) -> Option<T> {
        T::deserialize(self.0.get(handle.id())?).ok()
    }
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T, StepError>> + 'a>>;

/// The engine's side of a step: the same with JSON for the types.
pub trait DynStep<C>: Send + Sync {
    /// See [`Step::id`].
    fn id(&self) -> StepId;
    /// See [`Step::title`].
    fn title(&self) -> String;
    /// See [`Step::needs`].
    fn needs(&self) -> Vec<StepId>;
    /// See [`Step::system`].
    fn system(&self) -> &'static str;
    /// See [`Step::quiet_limit`].
    fn quiet_limit(&self) -> Duration;
    /// See [`Step::only_reads`].
    fn only_reads(&self) -> bool;
    /// See [`Step::keeps`].
    fn keeps(&self, live: &Value) -> bool;
    /// See [`Step::inspect`].
    fn inspect<'a>(&'a self, cx: &'a StepCx<C>) -> Boxed<'a, Option<Value>>;
    /// See [`Step::plan`].
    fn plan(&self, cx: &C, inputs: &Inputs, live: Option<&Value>) -> Result<Change, StepError>;
    /// See [`Step::apply`].
    fn apply<'a>(&'a self, cx: &'a StepCx<C>, live: Option<Value>) -> Boxed<'a, Value>;
    /// See [`Step::destroy`].
    fn destroy<'a>(&'a self, cx: &'a StepCx<C>, live: Value) -> Boxed<'a, ()>;
}

impl<C: Send + Sync, S: Step<C>> DynStep<C> for S {
    fn id(&self) -> StepId {
        Step::id(self)
    }

    fn title(&self) -> String {
        Step::title(self)
    }

    fn needs(&self) -> Vec<StepId> {
        Step::needs(self)
    }

    fn system(&self) -> &'static str {
        Step::system(self)
    }

    fn quiet_limit(&self) -> Duration {
        Step::quiet_limit(self)
    }

    fn only_reads(&self) -> bool {
        Step::only_reads(self)
    }

    fn keeps(&self, live: &Value) -> bool {
        from_json(live).is_ok_and(|live| Step::keeps(self, &live))
    }

    fn inspect<'a>(&'a self, cx: &'a StepCx<C>) -> Boxed<'a, Option<Value>> {
        Box::pin(async move {
            let live = Step::inspect(self, cx).await?;
            live.as_ref().map(to_json).transpose()
        })
    }

    fn plan(&self, cx: &C, inputs: &Inputs, live: Option<&Value>) -> Result<Change, StepError> {
        let live: Option<S::Live> = live.map(from_json).transpose()?;
        Ok(Step::plan(self, cx, inputs, live.as_ref()))
    }

    fn apply<'a>(&'a self, cx: &'a StepCx<C>, live: Option<Value>) -> Boxed<'a, Value> {
        Box::pin(async move {
            let live = live.as_ref().map(from_json).transpose()?;
            to_json(&Step::apply(self, cx, live).await?)
        })
    }

    fn destroy<'a>(&'a self, cx: &'a StepCx<C>, live: Value) -> Boxed<'a, ()> {
        Box::pin(async move { Step::destroy(self, cx, from_json(&live)?).await })
    }
}

fn to_json<T: Serialize>(live: &T) -> Result<Value, StepError> {
    serde_json::to_value(live)
        .map_err(|error| StepError::bug("a step's output is not JSON").caused_by(error))
}

fn from_json<T: DeserializeOwned>(live: &Value) -> Result<T, StepError> {
    T::deserialize(live)
        .map_err(|error| StepError::bug("a step's output has another shape").caused_by(error))
}
