//! Errors as Oracle's REST API answers them: a status, a code and a message.
//! The codes are those of the public page "API Errors".

use http::StatusCode;
use serde_json::json;

use crate::sandbox::http::Reply;

/// An error answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} {code}: {message}", status.as_u16())]
pub(super) struct ApiError {
    /// The HTTP status.
    pub status: StatusCode,
    /// The machine-readable code.
    pub code: &'static str,
    /// The text for people.
    pub message: String,
}

impl ApiError {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            status,
            code,
            message,
        }
    }

    /// The resource is absent, or the caller may not see it: Oracle does not
    /// tell which.
    pub(super) fn not_found(what: &str) -> Self {
        let message = format!("Authorization failed or requested resource not found: {what}");
        Self::new(StatusCode::NOT_FOUND, "NotAuthorizedOrNotFound", message)
    }

    /// No such path.
    pub(super) fn unknown_path(path: &str) -> Self {
        let message = format!("Unknown resource {path}");
        Self::new(StatusCode::NOT_FOUND, "NotFound", message)
    }

    /// The path exists, but not with this method.
    pub(super) fn method_not_allowed(method: &str) -> Self {
        let message = format!("Method {method} is not allowed here");
        let status = StatusCode::METHOD_NOT_ALLOWED;
        Self::new(status, "MethodNotAllowed", message)
    }

    /// The body is no JSON object.
    pub(super) fn cannot_parse(why: &str) -> Self {
        let message = format!("Incorrectly formatted request: {why}");
        Self::new(StatusCode::BAD_REQUEST, "CannotParseRequest", message)
    }

    /// A parameter has a wrong value.
    pub(super) fn invalid(why: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "InvalidParameter", why)
    }

    /// A mandatory parameter is absent.
    pub(super) fn missing(field: &str) -> Self {
        let message = format!("{field} is a required parameter and was not given");
        Self::new(StatusCode::BAD_REQUEST, "MissingParameter", message)
    }

    /// A service limit of the tenancy is reached.
    pub(super) fn limit_exceeded(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "LimitExceeded", message)
    }

    /// A quota that an administrator set is reached.
    pub(super) fn quota_exceeded(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "QuotaExceeded", message)
    }

    /// The signature, the key or the date is wrong.
    pub(super) fn not_authenticated(why: &str) -> Self {
        let message = format!(
            "The required information to complete authentication was not provided or was \
             incorrect: {why}"
        );
        Self::new(StatusCode::UNAUTHORIZED, "NotAuthenticated", message)
    }

    /// Something else still uses the resource.
    pub(super) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "Conflict", message)
    }

    /// The resource is busy with another change.
    pub(super) fn incorrect_state(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "IncorrectState", message)
    }

    /// The retry token belongs to a resource that was deleted since.
    pub(super) fn invalidated_retry_token() -> Self {
        let message = "The provided retry token was used in an earlier request, and the resource \
                       that it created was deleted since";
        Self::new(StatusCode::CONFLICT, "InvalidatedRetryToken", message)
    }

    /// The name is taken within its parent.
    pub(super) fn already_exists(what: &str) -> Self {
        let message = format!("{what} already exists");
        let code = "NotAuthorizedOrResourceAlreadyExists";
        Self::new(StatusCode::CONFLICT, code, message)
    }

    /// The `if-match` header names an older version.
    pub(super) fn no_etag_match() -> Self {
        let message = "The if-match header does not match the current etag of the resource";
        Self::new(StatusCode::PRECONDITION_FAILED, "NoEtagMatch", message)
    }

    /// Oracle's API or the fault plan answers with a bare status.
    pub(super) fn of_status(status: StatusCode) -> Self {
        let (code, message) = match status.as_u16() {
            400 => ("InvalidParameter", "Invalid request"),
            401 => (
                "NotAuthenticated",
                "The required information to complete authentication was not provided or was \
                 incorrect.",
            ),
            403 => ("NotAuthorized", "The caller may not do this"),
            404 => (
                "NotAuthorizedOrNotFound",
                "Authorization failed or requested resource not found",
            ),
            405 => ("MethodNotAllowed", "Method not allowed"),
            409 => ("Conflict", "The resource is in use"),
            412 => ("NoEtagMatch", "The resource was changed since"),
            413 => ("PayloadTooLarge", "The request is too large"),
            429 => ("TooManyRequests", "Too many requests for the user"),
            500 => ("InternalServerError", "Internal server error"),
            501 => ("MethodNotImplemented", "Not implemented"),
            503 => (
                "ServiceUnavailable",
                "The service is temporarily unavailable",
            ),
            _ => ("InternalServerError", "Unexpected answer"),
        };
        Self::new(status, code, message)
    }

    /// The answer on the wire.
    pub(super) fn reply(&self) -> Reply {
        let body = json!({"code": self.code, "message": self.message});
        Reply::json(self.status, &body)
    }
}
