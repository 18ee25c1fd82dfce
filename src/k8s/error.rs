//! What went wrong between us and a Kubernetes API server.

use std::time::Duration;

use crate::clock::{Cancelled, human};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What kind of failure it is: it picks retry, exit code and hint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// The server says that it may pass.
    Transient,
    /// The server cannot be reached, or not trusted.
    Unreachable,
    /// It took too long.
    Timeout,
    /// The server does not know who we are.
    Unauthorized,
    /// The server knows, and says no.
    Denied,
    /// The object, or its kind, is not there.
    NotFound,
    /// Somebody else's change stands against ours.
    Conflict,
    /// The server refuses what was sent.
    Invalid,
    /// The run was cancelled.
    Cancelled,
    /// None of these.
    Other,
}

/// A field that another manager owns.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct FieldConflict {
    /// Path of the field, for instance `.spec.replicas`.
    pub field: String,
    /// Who owns it, for instance `kubectl`.
    pub manager: String,
}

/// Why a Kubernetes call failed.
#[derive(Debug, thiserror::Error)]
pub enum K8sError {
    /// The server answered with a status.
    #[error("cannot {what}: {message}")]
    Api {
        /// What was to be done.
        what: String,
        /// HTTP status code.
        code: u16,
        /// The machine-readable reason.
        reason: String,
        /// The server's words.
        message: String,
        /// Seconds after which the server wants to be asked again.
        retry_after: u32,
    },
    /// Other managers own fields that we set.
    #[error("cannot {what}: {}", in_words(fields))]
    FieldConflict {
        /// What was to be done.
        what: String,
        /// The fields, and who owns them.
        fields: Vec<FieldConflict>,
    },
    /// No answer came within the limit of one attempt.
    #[error("cannot {what}: no answer within {}", human(*waited))]
    Silent {
        /// What was to be done.
        what: String,
        /// The limit.
        waited: Duration,
    },
    /// The request did not get through.
    #[error("cannot {what}: the Kubernetes API cannot be reached")]
    Unreachable {
        /// What was to be done.
        what: String,
        /// The transport's reason.
        #[source]
        source: BoxError,
    },
    /// The answer was not what the API promises.
    #[error("cannot {what}: the answer makes no sense")]
    Answer {
        /// What was to be done.
        what: String,
        /// The reason.
        #[source]
        source: BoxError,
    },
    /// The server does not serve the kind.
    #[error("the cluster does not know the kind {kind} of {api_version}")]
    UnknownKind {
        /// API version of the kind.
        api_version: String,
        /// The kind.
        kind: String,
    },
    /// The object belongs to somebody else.
    #[error("{object} exists and does not belong to this deployment ({owner})")]
    NotOurs {
        /// The object.
        object: String,
        /// What its labels say.
        owner: String,
    },
    /// The kubeconfig cannot be used.
    #[error("the kubeconfig cannot be used")]
    Kubeconfig(#[source] BoxError),
    /// No token could be made.
    #[error("no token for the cluster")]
    Token(#[source] BoxError),
    /// Something did not become ready in time.
    #[error("waited {} for {what}: {last}", human(*waited))]
    NotReady {
        /// What was waited for.
        what: String,
        /// How long.
        waited: Duration,
        /// What was seen last.
        last: String,
    },
    /// Something will not become ready by waiting.
    #[error("{what} cannot become ready: {why}")]
    Hopeless {
        /// What was waited for.
        what: String,
        /// What stands against it.
        why: String,
    },
    /// The run was cancelled.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

fn in_words(fields: &[FieldConflict]) -> String {
    let told: Vec<String> = fields
        .iter()
        .map(|conflict| format!("`{}` belongs to {}", conflict.field, conflict.manager))
        .collect();
    told.join(", ")
}

impl K8sError {
    /// Sorts the client library's error. `what` names what was to be done.
    pub(super) fn new(what: &str, error: kube::Error) -> Self {
        let what = what.to_owned();
        match error {
            kube::Error::Api(status) => Self::from_status(what, *status),
            kube::Error::Service(source) => Self::Unreachable { what, source },
            kube::Error::HyperError(source) => Self::Unreachable {
                what,
                source: source.into(),
            },
            kube::Error::Auth(source) => Self::Token(source.into()),
            other => Self::Answer {
                what,
                source: other.into(),
            },
        }
    }

    fn from_status(what: String, status: kube::core::Status) -> Self {
        let causes = status.details.as_ref().map(|details| &details.causes);
        let fields: Vec<FieldConflict> = causes
            .into_iter()
            .flatten()
            .filter(|cause| cause.reason == "FieldManagerConflict")
            .map(|cause| FieldConflict {
                field: cause.field.clone(),
                manager: manager_of(&cause.message),
            })
            .collect();
        if !fields.is_empty() {
            return Self::FieldConflict { what, fields };
        }
        Self::Api {
            what,
            code: status.code,
            message: if status.message.is_empty() {
                format!("HTTP status {}", status.code)
            } else {
                // A proxy's error page is no message.
                status.message.chars().take(400).collect()
            },
            reason: status.reason,
            retry_after: status.details.map_or(0, |d| d.retry_after_seconds),
        }
    }

    /// What kind of failure it is.
    pub fn class(&self) -> Class {
        match self {
            Self::Api { code, .. } => match code {
                401 => Class::Unauthorized,
                403 => Class::Denied,
                404 | 410 => Class::NotFound,
                409 => Class::Conflict,
                400 | 405 | 406 | 413 | 415 | 422 => Class::Invalid,
                408 | 429 | 500 | 502 | 503 | 504 => Class::Transient,
                _ => Class::Other,
            },
            Self::FieldConflict { .. } | Self::NotOurs { .. } => Class::Conflict,
            Self::Silent { .. } | Self::NotReady { .. } => Class::Timeout,
            Self::Unreachable { source, .. } => {
                if is_untrusted(source.as_ref()) {
                    Class::Denied
                } else {
                    Class::Unreachable
                }
            }
            Self::UnknownKind { .. } => Class::NotFound,
            Self::Kubeconfig(_) => Class::Invalid,
            Self::Token(_) => Class::Unauthorized,
            Self::Cancelled(_) => Class::Cancelled,
            Self::Answer { .. } | Self::Hopeless { .. } => Class::Other,
        }
    }

    /// Whether the server does not know the kind, as it says for a moment also
    /// of one whose definition it has just established.
    pub fn is_unserved(&self) -> bool {
        const WORDS: [&str; 2] = [
            "the server could not find the requested resource",
            "404 page not found",
        ];
        matches!(self, Self::Api { code: 404, message, .. }
            if WORDS.iter().any(|words| message.trim_end() == *words))
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::FieldConflict { .. } => Some(
                "another tool set these fields; let it give them up, or take them over with \
                 `todoctl up --force-conflicts`",
            ),
            Self::NotOurs { .. } => {
                Some("choose another namespace or deployment name, or remove the object yourself")
            }
            Self::UnknownKind { .. } => {
                Some("the chart or resource definition that brings this kind is not installed")
            }
            Self::Kubeconfig(_) => Some("todoctl kubeconfig --write makes a new one"),
            Self::Api { reason, .. } if reason == "AlreadyExists" => None,
            _ => match self.class() {
                Class::Unauthorized => {
                    Some("the cluster does not accept the token; todoctl token shows who you are")
                }
                Class::Denied if matches!(self, Self::Unreachable { .. }) => Some(
                    "the server's certificate is not signed by the authority in the kubeconfig; \
                     todoctl kubeconfig --write fetches it again",
                ),
                Class::Denied => Some("the user lacks a role for this in the cluster"),
                Class::Unreachable | Class::Timeout => Some(
                    "todoctl status tells whether the cluster is active and its API open to you",
                ),
                _ => None,
            },
        }
    }

    /// Whether the object is not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Api { code: 404, .. })
    }

    pub(super) fn retry_after(&self) -> Duration {
        match self {
            Self::Api { retry_after, .. } => Duration::from_secs((*retry_after).into()),
            _ => Duration::ZERO,
        }
    }
}

/// The manager in `conflict with "kubectl" using apps/v1`.
fn manager_of(message: &str) -> String {
    message
        .split('"')
        .nth(1)
        .unwrap_or("another manager")
        .to_owned()
}

/// Whether a transport failed because it does not trust the server: trying
/// again changes nothing.
fn is_untrusted(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(current) = cause {
        if let Some(rustls::Error::InvalidCertificate(_)) = current.downcast_ref() {
            return true;
        }
        // An I/O error's source is the source of what it wraps: the wrapped
        // error itself would be skipped.
        let wrapped = current
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref);
        cause = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => current.source(),
        };
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn from(status: serde_json::Value) -> K8sError {
        let status: kube::core::Status = serde_json::from_value(status).unwrap();
        K8sError::new(
            "apply Deployment todo/web",
            kube::Error::Api(status.boxed()),
        )
    }

    #[test]
    fn a_field_conflict_names_field_and_manager() {
        let error = from(json!({
            "status": "Failure", "code": 409, "reason": "Conflict",
            "message": "Apply failed with 1 conflict: conflict with \"kubectl\" using apps/v1: .spec.replicas",
            "details": {"causes": [{
                "reason": "FieldManagerConflict",
                "message": "conflict with \"kubectl\" using apps/v1",
                "field": ".spec.replicas"
            }]}
        }));
        assert_eq!(error.class(), Class::Conflict);
        assert_eq!(
            error.to_string(),
            "cannot apply Deployment todo/web: `.spec.replicas` belongs to kubectl"
        );
        assert!(error.hint().is_some());
    }

    #[test]
    fn a_status_without_words_still_says_something() {
        let error = from(json!({"code": 502}));
        assert_eq!(
            error.to_string(),
            "cannot apply Deployment todo/web: HTTP status 502"
        );
        assert_eq!(error.class(), Class::Transient);
    }

    #[test]
    fn a_certificate_that_is_not_trusted_is_final() {
        let tls = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let wrapped = std::io::Error::other(std::io::Error::other(tls));
        let error = kube::Error::Service(wrapped.into());
        let error = K8sError::new("read the version", error);
        assert_eq!(error.class(), Class::Denied);
        assert!(error.hint().unwrap().contains("certificate"));
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let error = K8sError::new("read the version", kube::Error::Service(refused.into()));
        assert_eq!(error.class(), Class::Unreachable);
    }
}
