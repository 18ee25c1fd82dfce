//! What Redpanda Cloud refuses, with the likely mend.

use std::time::Duration;

use http::StatusCode;
use serde_json::Value;

use crate::clock::{Cancelled, WaitError, human};
use crate::net::{Answer, NetError, TrustError};

/// Why something at Redpanda Cloud did not work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No answer.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The authorities cannot be used.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The service account is wrong.
    #[error("Redpanda Cloud does not know the service account `{client_id}` by that secret")]
    Account {
        /// Its client identifier.
        client_id: String,
    },
    /// It said no.
    #[error("Redpanda Cloud refused {operation}: {message}")]
    Refused {
        /// What was asked.
        operation: &'static str,
        /// The status.
        status: StatusCode,
        /// The gRPC name of the failure, for instance `ALREADY_EXISTS`.
        code: String,
        /// The reason in Redpanda's words, for instance
        /// `REASON_INSUFFICIENT_QUOTA`.
        reason: Option<String>,
        /// What it says about it.
        message: String,
        /// Its name for the request.
        request_id: Option<String>,
    },
    /// The trial is over, or nobody paid.
    #[error("the Redpanda cluster `{name}` is suspended{}", until(deleted_after.as_deref()))]
    Suspended {
        /// The cluster.
        name: String,
        /// When its data goes, if that is known.
        deleted_after: Option<String>,
    },
    /// The cluster could not be made.
    #[error("the Redpanda cluster `{name}` failed: {message}")]
    Failed {
        /// The cluster.
        name: String,
        /// What is said about it.
        message: String,
    },
    /// It takes too long.
    #[error("waited {} for the Redpanda cluster: {last}", human(*waited))]
    TooLong {
        /// How long.
        waited: Duration,
        /// What was seen last.
        last: String,
    },
    /// The answer makes no sense.
    #[error("cannot make sense of what Redpanda Cloud answered to {operation}: {what}")]
    Garbled {
        /// What was asked.
        operation: &'static str,
        /// What is wrong with it.
        what: String,
    },
    /// The run was interrupted.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

fn until(deleted_after: Option<&str>) -> String {
    match deleted_after {
        Some(time) => format!(", and is deleted with its data after {time}"),
        None => String::new(),
    }
}

impl Error {
    pub(super) fn garbled(operation: &'static str, what: impl Into<String>) -> Self {
        Self::Garbled {
            operation,
            what: what.into(),
        }
    }

    pub(super) fn refused(operation: &'static str, answer: &Answer) -> Self {
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let text = |field: &str| body[field].as_str().unwrap_or_default().to_owned();
        let details = body["details"].as_array();
        let reason = details.into_iter().flatten().find_map(|detail| {
            let reason = detail["reason"].as_str()?;
            Some(reason.to_owned())
        });
        let code = match &body["code"] {
            Value::String(code) => code.clone(),
            Value::Number(code) => code.to_string(),
            _ => String::new(),
        };
        let message = match text("message") {
            message if message.is_empty() => format!("status {}", answer.status.as_u16()),
            message => message,
        };
        Self::Refused {
            operation,
            status: answer.status,
            code,
            reason,
            message,
            request_id: answer.request_id().map(str::to_owned),
        }
    }

    pub(super) fn from_wait(error: WaitError<Self>) -> Self {
        match error {
            WaitError::TimedOut { waited, last } => Self::TooLong { waited, last },
            WaitError::Cancelled(cancelled) => cancelled.into(),
            WaitError::Failed(error) => error,
        }
    }

    /// Whether the thing in question does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status, code, .. }
            if *status == StatusCode::NOT_FOUND || code == "NOT_FOUND")
    }

    /// Whether the thing in question exists already.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Refused { status, code, .. }
            if *status == StatusCode::CONFLICT || code == "ALREADY_EXISTS")
    }

    /// The likely mend.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Net(error) => return error.hint(),
            Self::Account { .. } => "check `kafka.redpanda_cloud.client_id` and `client_secret`; \
                 service accounts are under Organization IAM"
                .to_owned(),
            Self::Suspended { .. } => "the trial or its credit is over: add a card in Redpanda \
                 Cloud, or set `kafka.provider: strimzi`"
                .to_owned(),
            Self::TooLong { .. } => "run the same command again: it goes on from here".to_owned(),
            Self::Refused { reason, status, .. } => match reason.as_deref() {
                Some("REASON_INSUFFICIENT_QUOTA") => {
                    "delete a cluster, users or topics that nobody needs in Redpanda Cloud"
                }
                Some("REASON_PRODUCT_NOT_SUPPORTED_BY_SUBSCRIPTION") => {
                    "the subscription has no serverless clusters: add a card in Redpanda Cloud, or \
                     set `kafka.provider: strimzi`"
                }
                Some("REASON_RATE_LIMIT_EXCEEDED") => "wait a minute, then run it again",
                Some("REASON_NO_TOKEN" | "REASON_TOKEN_INVALID" | "REASON_TOKEN_EXPIRED") => {
                    "check `kafka.redpanda_cloud.client_id` and `client_secret`"
                }
                _ if *status == StatusCode::FORBIDDEN => {
                    "give the service account the role Admin in Organization IAM"
                }
                _ => return None,
            }
            .to_owned(),
            _ => return None,
        })
    }
}
