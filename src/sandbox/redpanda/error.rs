//! Errors as both planes tell them: a gRPC status name, a sentence, and the
//! reason in a detail.

use http::StatusCode;
use serde_json::json;

use super::super::http::Reply;

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: StatusCode,
    /// The name of the gRPC status.
    pub code: &'static str,
    /// The sentence.
    pub message: String,
    /// The reason, for machines.
    pub reason: &'static str,
}

impl Refusal {
    /// A refusal with its gRPC name, from which the status follows.
    pub fn new(code: &'static str, reason: &'static str, message: impl Into<String>) -> Self {
        let status = match code {
            "INVALID_ARGUMENT" | "FAILED_PRECONDITION" => StatusCode::BAD_REQUEST,
            "UNAUTHENTICATED" => StatusCode::UNAUTHORIZED,
            "NOT_FOUND" => StatusCode::NOT_FOUND,
            "ALREADY_EXISTS" => StatusCode::CONFLICT,
            "RESOURCE_EXHAUSTED" => StatusCode::TOO_MANY_REQUESTS,
            "UNAVAILABLE" => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self {
            status,
            code,
            message: message.into(),
            reason,
        }
    }

    /// What is asked for is not there.
    pub fn not_found(what: &str) -> Self {
        Self::new(
            "NOT_FOUND",
            "REASON_RESOURCE_NOT_FOUND",
            format!("{what} not found"),
        )
    }

    /// The request makes no sense.
    pub fn invalid(why: impl Into<String>) -> Self {
        Self::new("INVALID_ARGUMENT", "REASON_INVALID_INPUT", why)
    }

    /// The reply.
    pub fn reply(&self) -> Reply {
        let body = json!({
            "code": self.code,
            "message": self.message,
            "details": [{
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": self.reason,
                "domain": "redpanda.com/cloud",
                "metadata": {},
            }],
        });
        Reply::json(self.status, &body)
    }

    /// The refusal that a status of the fault plan stands for.
    pub fn of_status(status: StatusCode) -> Self {
        let (code, reason) = match status.as_u16() {
            401 => ("UNAUTHENTICATED", "REASON_TOKEN_INVALID"),
            404 => ("NOT_FOUND", "REASON_RESOURCE_NOT_FOUND"),
            409 => ("ALREADY_EXISTS", "REASON_RESOURCE_ALREADY_EXISTS"),
            429 => ("RESOURCE_EXHAUSTED", "REASON_RATE_LIMIT_EXCEEDED"),
            503 => ("UNAVAILABLE", "REASON_SERVER_ERROR"),
            400..=499 => ("INVALID_ARGUMENT", "REASON_INVALID_INPUT"),
            _ => ("INTERNAL", "REASON_SERVER_ERROR"),
        };
        Self {
            status,
            ..Self::new(code, reason, "the fault plan wants it so")
        }
    }
}
