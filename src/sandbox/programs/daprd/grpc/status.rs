//! How a call ends that is refused: the codes of gRPC, and which of them the
//! refusals of the HTTP API are.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use super::super::super::super::http::{Body, Reply};
use super::calls::Call;
use super::wire::{Malformed, Writer};

/// The trailer with the code.
pub(super) const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");

/// The codes of gRPC that are given here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum Code {
    Ok = 0,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    Unauthenticated = 16,
}

impl Code {
    pub(super) fn number(self) -> u16 {
        self as u16
    }

    /// The code of a refusal, by its name or else by its HTTP status.
    fn of(status: u16, name: &str) -> Self {
        match (name, status) {
            ("ERR_STATE_SAVE" | "ERR_STATE_DELETE", 409) => Self::Aborted,
            (
                "ERR_STATE_STORE_NOT_CONFIGURED"
                | "ERR_PUBSUB_NOT_CONFIGURED"
                | "ERR_SECRET_STORES_NOT_CONFIGURED",
                _,
            ) => Self::FailedPrecondition,
            (
                "ERR_PUBSUB_NOT_FOUND"
                | "ERR_PUBSUB_EMPTY"
                | "ERR_TOPIC_NAME_EMPTY"
                | "ERR_SECRET_STORE_NOT_FOUND",
                _,
            ) => Self::InvalidArgument,
            ("ERR_NOT_SUPPORTED_STATE_OPERATION", _) => Self::Unimplemented,
            (_, 400) => Self::InvalidArgument,
            (_, 401) => Self::Unauthenticated,
            (_, 403) => Self::PermissionDenied,
            (_, 409) => Self::AlreadyExists,
            (_, 429) => Self::ResourceExhausted,
            (_, 502 | 503) => Self::Unavailable,
            (_, 504) => Self::DeadlineExceeded,
            _ => Self::Internal,
        }
    }
}

/// A call that is refused.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    pub(super) code: Code,
    message: String,
    /// As the HTTP API has them.
    details: Value,
}

impl From<Malformed> for Refusal {
    fn from(error: Malformed) -> Self {
        let why = format!("grpc: error unmarshalling request: {error}");
        Self::new(Code::Internal, why)
    }
}

impl Refusal {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            details: Value::Null,
        }
    }

    /// The HTTP API's refusal of a call.
    pub(super) fn of(reply: &Reply, call: &Call) -> Self {
        let body: Value = match &reply.body {
            Body::Full(bytes) => serde_json::from_slice(bytes).unwrap_or_default(),
            Body::Stream(_) => Value::Null,
        };
        let name = body["errorCode"].as_str().unwrap_or_default();
        let message = match body["message"].as_str() {
            Some(message) => message.to_owned(),
            None => format!("{} ended with HTTP status {}", call.name(), reply.status),
        };
        Self {
            code: Code::of(reply.status.as_u16(), name),
            message,
            details: body["details"].clone(),
        }
    }

    pub(super) fn trailers(&self) -> HeaderMap {
        let mut trailers = HeaderMap::from_iter([(STATUS, self.code.number().into())]);
        if let Ok(message) = HeaderValue::from_str(&escaped(&self.message)) {
            trailers.insert(MESSAGE, message);
        }
        if let Value::Array(details) = &self.details {
            let status = Writer::default()
                .number(1, self.code.number().into())
                .text(2, &self.message)
                .messages(3, details, detail)
                .finish();
            if let Ok(status) = HeaderValue::from_str(&STANDARD_NO_PAD.encode(status)) {
                trailers.insert(DETAILS, status);
            }
        }
        trailers
    }
}

/// One detail, as an `Any`.
fn detail(detail: &Value) -> Writer {
    let kind = detail["@type"].as_str().unwrap_or_default();
    let inner = match kind.rsplit('.').next() {
        Some("ResourceInfo") => Writer::default()
            .json_text(1, &detail["resource_type"])
            .json_text(2, &detail["resource_name"])
            .json_text(3, &detail["owner"])
            .json_text(4, &detail["description"]),
        Some("ErrorInfo") => Writer::default()
            .json_text(1, &detail["reason"])
            .json_text(2, &detail["domain"])
            .map(3, &detail["metadata"]),
        _ => Writer::default(),
    };
    Writer::default().text(1, kind).bytes(2, &inner.finish())
}

/// The text as a trailer carries it.
fn escaped(message: &str) -> String {
    let mut escaped = String::new();
    for byte in message.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => escaped.push(char::from(byte)),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_may_be_any_text() {
        for (message, trailer) in [
            ("state store x is not found", "state store x is not found"),
            ("100 %\n", "100 %25%0A"),
            ("\u{e4}", "%C3%A4"),
        ] {
            let trailers = Refusal::new(Code::Internal, message).trailers();
            assert_eq!(
                (&trailers[STATUS], &trailers[MESSAGE]),
                (&"13".parse().unwrap(), &trailer.parse().unwrap())
            );
            assert!(!trailers.contains_key(DETAILS));
        }
    }

    #[test]
    fn refusals_have_the_codes_of_the_real_sidecar() {
        for (status, name, code) in [
            (404, "ERR_PUBSUB_NOT_FOUND", Code::InvalidArgument),
            (403, "ERR_PUBSUB_FORBIDDEN", Code::PermissionDenied),
            (500, "ERR_PUBSUB_PUBLISH_MESSAGE", Code::Internal),
            (400, "ERR_STATE_STORE_NOT_FOUND", Code::InvalidArgument),
            (409, "ERR_STATE_SAVE", Code::Aborted),
            (500, "ERR_STATE_TRANSACTION", Code::Internal),
            (401, "ERR_SECRET_STORE_NOT_FOUND", Code::InvalidArgument),
            (409, "DAPR_SCHEDULER_SCHEDULE_JOB", Code::AlreadyExists),
            (500, "DAPR_SCHEDULER_GET_JOB", Code::Internal),
        ] {
            assert_eq!(Code::of(status, name), code, "{name}");
        }
    }
}
