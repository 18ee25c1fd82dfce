//! Remote errors as step errors.

use crate::backbone::BackboneError;
use crate::clock::WaitError;
use crate::k8s::{self, K8sError};
use crate::kafka;
use crate::oci::{self, OciError};
use crate::plan::{Class, StepError};
use crate::redpanda;

impl From<OciError> for StepError {
    fn from(error: OciError) -> Self {
        let class = match &error.class {
            oci::Class::Transient | oci::Class::Throttled | oci::Class::NotYetVisible => {
                Class::Transient
            }
            oci::Class::Quota | oci::Class::Limit => Class::Quota,
            oci::Class::Capacity => Class::Capacity,
            oci::Class::Denied | oci::Class::NotAuthenticated { .. } | oci::Class::NotFound => {
                Class::Denied
            }
            oci::Class::Conflict | oci::Class::Precondition => Class::Conflict,
            oci::Class::Invalid | oci::Class::WrongRegion => Class::Invalid,
            oci::Class::Timeout => Class::Timeout,
            oci::Class::Tls | oci::Class::Connect => Class::Unreachable,
            oci::Class::Cancelled => Class::Interrupted,
            _ => Class::Bug,
        };
        let hint = error.hint();
        let mut step =
            Self::new(class, error.to_string()).with_request_id(error.request_id.clone());
        if let Some(hint) = hint {
            step = step.with_hint(hint);
        }
        match std::error::Error::source(&error) {
            // The text of the error itself is the message already.
            Some(source) => step.caused_by(source.to_string()),
            None => step,
        }
    }
}

/// A step's failure with its mend and what is behind it.
fn told(
    class: Class,
    error: &(dyn std::error::Error + 'static),
    hint: Option<String>,
) -> StepError {
    let mut step = StepError::new(class, error.to_string());
    if let Some(hint) = hint {
        step = step.with_hint(hint);
    }
    match error.source() {
        Some(source) => step.caused_by(source.to_string()),
        None => step,
    }
}

impl From<kafka::Error> for StepError {
    fn from(error: kafka::Error) -> Self {
        use kafka::Error;
        let class = match &error {
            Error::Cancelled(_) => Class::Interrupted,
            Error::Unreachable { .. } | Error::Silent { .. } | Error::Closed { .. } => {
                Class::Unreachable
            }
            Error::Denied { .. } | Error::NotAuthorised { .. } | Error::NeedsSasl { .. } => {
                Class::Denied
            }
            Error::Leaderless { .. } => Class::Transient,
            _ => Class::Invalid,
        };
        told(class, &error, error.hint())
    }
}

impl From<redpanda::Error> for StepError {
    fn from(error: redpanda::Error) -> Self {
        use redpanda::Error;
        let class = match &error {
            Error::Cancelled(_) => Class::Interrupted,
            Error::Net(_) => Class::Unreachable,
            Error::Account { .. } => Class::Denied,
            Error::Suspended { .. } => Class::Quota,
            Error::TooLong { .. } => Class::Timeout,
            Error::Refused { status, .. } if *status == http::StatusCode::FORBIDDEN => {
                Class::Denied
            }
            Error::Refused { reason, .. }
                if reason.as_deref() == Some("REASON_INSUFFICIENT_QUOTA") =>
            {
                Class::Quota
            }
            _ => Class::Invalid,
        };
        told(class, &error, error.hint())
    }
}

impl From<BackboneError> for StepError {
    fn from(error: BackboneError) -> Self {
        match error {
            BackboneError::Cluster(error) => error.into(),
            BackboneError::Cloud(error) => error.into(),
            BackboneError::Client(error) => error.into(),
            error => told(Class::Invalid, &error, error.hint()),
        }
    }
}

/// A wait that ended without what it waited for.
pub(super) fn waited<E: Into<StepError>>(what: &str, error: WaitError<E>) -> StepError {
    match error {
        WaitError::Failed(error) => error.into(),
        WaitError::Cancelled(cancelled) => cancelled.into(),
        WaitError::TimedOut { waited, last } => StepError::new(
            Class::Timeout,
            format!(
                "{what} did not happen within {}; last seen: {last}",
                crate::clock::human(waited)
            ),
        )
        .with_hint("run the same command again: it goes on from here"),
    }
}

/// The class of a cluster's error.
pub(super) fn class_of(error: &K8sError) -> Class {
    match error.class() {
        k8s::Class::Denied => Class::Denied,
        k8s::Class::Conflict => Class::Conflict,
        k8s::Class::Invalid | k8s::Class::NotFound => Class::Invalid,
        k8s::Class::Timeout => Class::Timeout,
        k8s::Class::Unreachable => Class::Unreachable,
        k8s::Class::Cancelled => Class::Interrupted,
        k8s::Class::Transient => Class::Transient,
        _ => Class::Bug,
    }
}

impl From<K8sError> for StepError {
    fn from(error: K8sError) -> Self {
        let class = class_of(&error);
        let hint = error.hint();
        let mut step = Self::new(class, error.to_string());
        if let Some(hint) = hint {
            step = step.with_hint(hint);
        }
        match std::error::Error::source(&error) {
            Some(source) => step.caused_by(source.to_string()),
            None => step,
        }
    }
}
