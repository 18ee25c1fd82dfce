//! How a step fails: what happened, of which class, and what to do next.

use std::error::Error;
use std::fmt;

use serde::{Deserialize, Serialize};

/// What kind of failure it is. The class picks the hint and the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// It may work when tried again.
    Transient,
    /// A limit or quota of the tenancy stands in the way.
    Quota,
    /// The region has no capacity of that shape now.
    Capacity,
    /// The credentials are wrong or may not do it.
    Denied,
    /// The far side refused the values.
    Invalid,
    /// Somebody else changes or owns the thing.
    Conflict,
    /// It made no progress for too long.
    Timeout,
    /// It cannot be reached.
    Unreachable,
    /// The run was cancelled.
    Interrupted,
    /// todoctl is wrong.
    Bug,
}

/// A failed step.
#[derive(Debug)]
pub struct StepError {
    class: Class,
    message: String,
    hint: Option<String>,
    request_id: Option<String>,
    cause: Option<Box<dyn Error + Send + Sync>>,
}

impl StepError {
    /// A failure of a class; the message is a lower-case fragment.
    pub fn new(class: Class, message: impl Into<String>) -> Self {
        Self {
            class,
            message: message.into(),
            hint: None,
            request_id: None,
            cause: None,
        }
    }

    /// A failure that todoctl itself is to blame for.
    pub fn bug(message: impl Into<String>) -> Self {
        Self::new(Class::Bug, message).with_hint(
            "this is a defect of todoctl: report it with the journal that `todoctl status` names",
        )
    }

    /// The same failure with the next thing to do.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same failure with the far side's request id.
    #[must_use]
    pub fn with_request_id(mut self, id: Option<String>) -> Self {
        self.request_id = id;
        self
    }

    /// The same failure with its cause.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// The class.
    pub fn class(&self) -> Class {
        self.class
    }

    /// The next thing to do.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The far side's request id.
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    /// The messages of the causes, outermost first.
    pub fn causes(&self) -> Vec<String> {
        let mut texts = Vec::new();
        let mut next = self.source();
        while let Some(error) = next {
            texts.push(error.to_string());
            next = error.source();
        }
        texts.dedup();
        texts
    }
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for StepError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause
            .as_deref()
            .map(|cause| cause as &(dyn Error + 'static))
    }
}

impl From<crate::clock::Cancelled> for StepError {
    fn from(_: crate::clock::Cancelled) -> Self {
        Self::new(Class::Interrupted, "interrupted")
    }
}
