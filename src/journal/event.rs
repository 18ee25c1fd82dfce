//! Events, and the pure transitions between a step's states.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::names::StepId;
use crate::plan::{Action, Class};

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// When, RFC 3339 in UTC.
    pub at: String,
    /// Which run.
    pub run: String,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Everything as it should be.
    Done,
    /// Some step failed.
    Failed,
    /// The user interrupted it.
    Interrupted,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A run began.
    RunStarted {
        /// The command.
        command: String,
        /// The profile.
        profile: String,
    },
    /// A step is about to change something.
    Started {
        /// The step.
        step: StepId,
        /// What it is about to do.
        action: Action,
    },
    /// The step did it.
    Succeeded {
        /// The step.
        step: StepId,
        /// What exists now.
        live: Value,
    },
    /// The step failed, or was interrupted.
    Failed {
        /// The step.
        step: StepId,
        /// The kind of failure.
        class: Class,
        /// What happened.
        message: String,
    },
    /// A step is about to remove what it made.
    DestroyStarted {
        /// The step.
        step: StepId,
    },
    /// It is gone.
    Destroyed {
        /// The step.
        step: StepId,
    },
    /// It could not be removed.
    DestroyFailed {
        /// The step.
        step: StepId,
        /// The kind of failure.
        class: Class,
        /// What happened.
        message: String,
    },
    /// The run ended by itself.
    RunFinished {
        /// How.
        outcome: Outcome,
    },
}

impl Event {
    /// The step that the event is about.
    pub fn step(&self) -> Option<&StepId> {
        match self {
            Self::Started { step, .. }
            | Self::Succeeded { step, .. }
            | Self::Failed { step, .. }
            | Self::DestroyStarted { step }
            | Self::Destroyed { step }
            | Self::DestroyFailed { step, .. } => Some(step),
            Self::RunStarted { .. } | Self::RunFinished { .. } => None,
        }
    }
}

/// Where a step stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Nothing was ever begun, or all of it is gone.
    #[default]
    Absent,
    /// Begun, not ended: its far side may hold anything.
    Started,
    /// It exists.
    Present,
    /// It failed on the way.
    Failed,
    /// Its removal was begun, not ended.
    DestroyStarted,
    /// Its removal failed: leftovers are likely.
    Stuck,
}

/// What the journal knows of one step.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Record {
    /// Where it stands.
    pub status: Status,
    /// What existed when it last succeeded.
    pub live: Option<Value>,
    /// When it last changed.
    pub at: String,
    /// The run of that change.
    pub run: String,
}

/// An event that cannot follow a status: the journal is damaged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a step that is {status:?} cannot be followed by `{event}`")]
pub struct IllegalTransition {
    status: Status,
    event: &'static str,
}

/// The status after an event. A killed run leaves a step at `Started` or
/// `DestroyStarted`; the next run may start either again.
pub fn next_status(status: Status, event: &Event) -> Result<Status, IllegalTransition> {
    use Status::{Absent, DestroyStarted, Failed, Present, Started, Stuck};
    let illegal = |event| Err(IllegalTransition { status, event });
    match event {
        Event::Started { .. } => Ok(Started),
        Event::Succeeded { .. } if status == Started => Ok(Present),
        Event::Succeeded { .. } => illegal("succeeded"),
        Event::Failed { .. } if status == Started => Ok(Failed),
        Event::Failed { .. } => illegal("failed"),
        Event::DestroyStarted { .. } => Ok(DestroyStarted),
        Event::Destroyed { .. } if status == DestroyStarted => Ok(Absent),
        Event::Destroyed { .. } => illegal("destroyed"),
        Event::DestroyFailed { .. } if status == DestroyStarted => Ok(Stuck),
        Event::DestroyFailed { .. } => illegal("destroy-failed"),
        Event::RunStarted { .. } | Event::RunFinished { .. } => Ok(status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> StepId {
        "network/vcn".parse().unwrap()
    }

    #[test]
    fn an_end_without_a_beginning_is_illegal() {
        let ends = [
            Event::Succeeded {
                step: id(),
                live: Value::Null,
            },
            Event::Failed {
                step: id(),
                class: Class::Bug,
                message: String::new(),
            },
            Event::Destroyed { step: id() },
            Event::DestroyFailed {
                step: id(),
                class: Class::Bug,
                message: String::new(),
            },
        ];
        for event in ends {
            assert!(next_status(Status::Absent, &event).is_err(), "{event:?}");
            assert!(next_status(Status::Present, &event).is_err(), "{event:?}");
        }
    }

    #[test]
    fn a_killed_step_may_be_started_again() {
        let started = Event::Started {
            step: id(),
            action: Action::Create,
        };
        for status in [
            Status::Started,
            Status::DestroyStarted,
            Status::Stuck,
            Status::Failed,
        ] {
            assert_eq!(next_status(status, &started), Ok(Status::Started));
        }
    }

    #[test]
    fn events_survive_their_line() {
        let entry = Entry {
            at: "2026-01-01T00:00:00Z".into(),
            run: "r1".into(),
            event: Event::Succeeded {
                step: id(),
                live: serde_json::json!({"id": "x"}),
            },
        };
        let line = serde_json::to_string(&entry).unwrap();
        assert_eq!(serde_json::from_str::<Entry>(&line).unwrap(), entry);
    }
}
