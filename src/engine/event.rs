//! What the engine tells while it works: the whole contract between doing and
//! showing.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::names::StepId;
use crate::plan::{Action, Class, StepError};

/// Receives events, in order for each step.
pub type Sink = Arc<dyn Fn(Event) + Send + Sync>;

/// One thing that happened.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The engine is looking at a step.
    Inspecting {
        /// The step.
        step: StepId,
        /// How many steps were looked at.
        done: usize,
        /// How many there are.
        total: usize,
    },
    /// A step began to change something.
    Started {
        /// The step.
        step: StepId,
        /// What it is about.
        title: String,
        /// What it does.
        action: Action,
    },
    /// A step says what happens.
    Progress {
        /// The step.
        step: StepId,
        /// The far side's state, or why it waits.
        message: String,
        /// The far side's own percentage.
        #[serde(skip_serializing_if = "Option::is_none")]
        percent: Option<u8>,
    },
    /// A step ended.
    Ended {
        /// The step.
        step: StepId,
        /// What it is about.
        title: String,
        /// How it ended.
        end: StepEnd,
        /// How long it took, in the clock's time.
        #[serde(serialize_with = "seconds", rename = "seconds")]
        took: Duration,
    },
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub enum StepEnd {
    /// It did what was planned, or found nothing to do any more.
    Done {
        /// What it did.
        action: Action,
    },
    /// It failed.
    Failed(Failure),
    /// The run was cancelled while it worked; running again goes on.
    Interrupted,
    /// Something it needs failed, so it was not started.
    Blocked {
        /// What it waited for.
        by: StepId,
    },
    /// The run was cancelled before its turn.
    NotStarted,
}

/// A failure, as people and programs read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The kind.
    pub class: Class,
    /// What happened.
    pub message: String,
    /// Why, outermost first.
    pub causes: Vec<String>,
    /// The next thing to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The far side's request id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

impl From<&StepError> for Failure {
    fn from(error: &StepError) -> Self {
        Self {
            class: error.class(),
            message: error.to_string(),
            causes: error.causes(),
            hint: error.hint().map(str::to_owned),
            request_id: error.request_id().map(str::to_owned),
        }
    }
}

pub(super) fn seconds<S: serde::Serializer>(took: &Duration, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_f64((took.as_secs_f64() * 1000.0).round() / 1000.0)
}
