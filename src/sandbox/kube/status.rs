//! Refusals: the `Status` objects that Kubernetes answers with, in its words.

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::catalog::Resource;
use crate::sandbox::http::Reply;

/// A refusal, or the confirmation of a delete.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// The HTTP status.
    pub code: u16,
    /// The machine-readable reason.
    pub reason: &'static str,
    /// The text for people.
    pub message: String,
    /// What it is about.
    pub details: Details,
    /// The whole refusal as somebody else put it, e.g. an admission webhook.
    pub foreign: Option<Value>,
}

/// What a refusal is about.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Details {
    /// The object's name.
    pub name: String,
    /// The API group.
    pub group: String,
    /// The resource, or the kind for invalid objects.
    pub kind: String,
    /// The object's uid.
    pub uid: String,
    /// The single causes.
    pub causes: Vec<Cause>,
    /// How long to wait before trying again.
    pub retry_after: Option<u32>,
    /// Whether details are sent though nothing is in them.
    pub even_empty: bool,
}

/// One of several reasons for a refusal.
#[derive(Debug, Clone, PartialEq)]
pub struct Cause {
    /// `FieldValueRequired`, `FieldManagerConflict`, …
    pub reason: &'static str,
    /// The text for people.
    pub message: String,
    /// The path of the field.
    pub field: String,
}

/// What a handler gives back.
pub type Outcome<T> = Result<T, Box<Status>>;

/// `deployments.apps`, or `pods` in the core group.
fn qualified(resource: &Resource) -> String {
    qualify(&resource.plural, &resource.group)
}

fn qualify(name: &str, group: &str) -> String {
    if group.is_empty() {
        name.to_owned()
    } else {
        format!("{name}.{group}")
    }
}

impl Status {
    fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Box<Self> {
        Box::new(Self {
            code,
            reason,
            message: message.into(),
            details: Details::default(),
            foreign: None,
        })
    }

    fn with_empty_details(mut self: Box<Self>) -> Box<Self> {
        self.details.even_empty = true;
        self
    }

    fn about(mut self: Box<Self>, resource: &Resource, name: &str) -> Box<Self> {
        name.clone_into(&mut self.details.name);
        self.details.group.clone_from(&resource.group);
        self.details.kind.clone_from(&resource.plural);
        self
    }

    /// The object does not exist.
    pub fn not_found(resource: &Resource, name: &str) -> Box<Self> {
        let what = qualified(resource);
        Self::new(404, "NotFound", format!("{what} \"{name}\" not found")).about(resource, name)
    }

    /// No kubelet runs a pod of this name.
    pub fn no_pod(name: &str) -> Box<Self> {
        let mut status = Self::new(404, "NotFound", format!("pods \"{name}\" not found"));
        name.clone_into(&mut status.details.name);
        "pods".clone_into(&mut status.details.kind);
        status
    }

    /// The path leads nowhere.
    pub fn no_such_resource() -> Box<Self> {
        Self::new(
            404,
            "NotFound",
            "the server could not find the requested resource",
        )
        .with_empty_details()
    }

    /// The name is taken.
    pub fn already_exists(resource: &Resource, name: &str) -> Box<Self> {
        let what = qualified(resource);
        let message = format!("{what} \"{name}\" already exists");
        Self::new(409, "AlreadyExists", message).about(resource, name)
    }

    /// The object changed since the client read it.
    pub fn conflict(resource: &Resource, name: &str, why: &str) -> Box<Self> {
        let what = qualified(resource);
        let message = format!("Operation cannot be fulfilled on {what} \"{name}\": {why}");
        Self::new(409, "Conflict", message).about(resource, name)
    }

    /// Somebody else wrote in between.
    pub fn modified(resource: &Resource, name: &str) -> Box<Self> {
        Self::conflict(
            resource,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    /// An apply would take fields from other managers.
    pub fn apply_conflict(message: String, causes: Vec<Cause>) -> Box<Self> {
        let mut status = Self::new(409, "Conflict", message);
        status.details.causes = causes;
        status
    }

    /// The object breaks rules.
    pub fn invalid(group: &str, kind: &str, name: &str, causes: Vec<Cause>) -> Box<Self> {
        let mut texts: Vec<_> = causes
            .iter()
            .map(|c| format!("{}: {}", c.field, c.message))
            .collect();
        texts.dedup();
        let text = match texts.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let what = qualify(kind, group);
        let mut status = Self::new(
            422,
            "Invalid",
            format!("{what} \"{name}\" is invalid: {text}"),
        );
        status.details = Details {
            name: name.to_owned(),
            group: group.to_owned(),
            kind: kind.to_owned(),
            causes,
            ..Details::default()
        };
        status
    }

    /// The request makes no sense.
    pub fn bad_request(message: impl Into<String>) -> Box<Self> {
        Self::new(400, "BadRequest", message)
    }

    /// No valid token.
    pub fn unauthorized() -> Box<Self> {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    /// The user may not, or the object's state forbids it.
    pub fn forbidden(resource: &Resource, name: &str, why: &str) -> Box<Self> {
        Self::forbidden_to(&resource.group, &resource.plural, name, why)
    }

    /// The same for a resource that is only named.
    pub fn forbidden_to(group: &str, plural: &str, name: &str, why: &str) -> Box<Self> {
        let what = qualify(plural, group);
        let message = if name.is_empty() {
            format!("{what} is forbidden: {why}")
        } else {
            format!("{what} \"{name}\" is forbidden: {why}")
        };
        let mut status = Self::new(403, "Forbidden", message);
        name.clone_into(&mut status.details.name);
        group.clone_into(&mut status.details.group);
        plural.clone_into(&mut status.details.kind);
        status
    }

    /// The resource does not have this verb.
    pub fn method_not_allowed() -> Box<Self> {
        Self::new(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        )
        .with_empty_details()
    }

    /// None of the accepted formats can be had.
    pub fn not_acceptable(available: &str) -> Box<Self> {
        Self::new(
            406,
            "NotAcceptable",
            format!("406: Not Acceptable\n\nAvailable representations: {available}"),
        )
        .with_empty_details()
    }

    /// The body's format is unknown.
    pub fn unsupported_media_type(accepted: &str) -> Box<Self> {
        Self::new(
            415,
            "UnsupportedMediaType",
            format!(
                "the body of the request was in an unknown format - accepted media types include: {accepted}"
            ),
        )
    }

    /// The patch's format is unknown.
    pub fn unsupported_patch() -> Box<Self> {
        Self::new(415, "UnsupportedMediaType", "415: Unsupported Media Type").with_empty_details()
    }

    /// A resource version or page that is no longer kept.
    pub fn expired(message: impl Into<String>) -> Box<Self> {
        Self::new(410, "Expired", message)
    }

    /// A resource version that does not exist yet.
    pub fn too_large_version(asked: u64, latest: u64) -> Box<Self> {
        let message = format!("Timeout: Too large resource version: {asked}, current: {latest}");
        let mut status = Self::new(504, "Timeout", message);
        status.details.causes = vec![Cause {
            reason: "ResourceVersionTooLarge",
            message: "Too large resource version".to_owned(),
            field: String::new(),
        }];
        status.details.retry_after = Some(1);
        status
    }

    /// Too much at once.
    pub fn too_many_requests(message: &str, seconds: u32) -> Box<Self> {
        let mut status = Self::new(429, "TooManyRequests", message);
        status.details.retry_after = Some(seconds);
        status
    }

    /// The patch does not fit the object.
    pub fn unprocessable(message: impl Into<String>) -> Box<Self> {
        Self::new(422, "Invalid", message).with_empty_details()
    }

    /// Something that should not happen.
    pub fn internal(message: impl Into<String>) -> Box<Self> {
        let message = format!("Internal error occurred: {}", message.into());
        Self::new(500, "InternalError", message)
    }

    /// What is behind the server does not answer.
    pub fn unavailable(message: impl Into<String>) -> Box<Self> {
        Self::new(503, "ServiceUnavailable", message)
    }

    /// An internal error with its text as the cause, as the server says what
    /// went wrong outside of it.
    pub fn internal_because(why: &str) -> Box<Self> {
        let mut status = Self::internal(why);
        status.details.causes = vec![Cause::new("", why.to_owned(), "")];
        status
    }

    /// What somebody else refused, in their words.
    pub fn foreign(code: u16, message: String, status: Value) -> Box<Self> {
        let mut own = Self::new(code, "", message);
        own.foreign = Some(status);
        own
    }

    /// An internal error whose text stands for itself.
    pub fn plain_internal(message: String) -> Box<Self> {
        Self::new(500, "", message)
    }

    /// What the fault plan wants to be answered.
    pub fn fault(code: StatusCode) -> Box<Self> {
        let (reason, message) = match code.as_u16() {
            401 => return Self::unauthorized(),
            429 => {
                return Self::too_many_requests(
                    "the server has received too many requests and has asked us to try again later",
                    1,
                );
            }
            403 => ("Forbidden", "forbidden"),
            409 => ("Conflict", "the server reported a conflict"),
            500 => (
                "InternalError",
                "an error on the server has prevented the request from succeeding",
            ),
            503 => (
                "ServiceUnavailable",
                "the server is currently unable to handle the request",
            ),
            504 => (
                "Timeout",
                "the server was unable to return a response in the time allotted, but may still be processing the request",
            ),
            _ => ("Unknown", "the server refused"),
        };
        Self::new(code.as_u16(), reason, message)
    }

    /// The object as it travels.
    pub fn to_json(&self) -> Value {
        if let Some(foreign) = &self.foreign {
            return foreign.clone();
        }
        let d = &self.details;
        let mut details = Map::new();
        for (key, text) in [
            ("name", &d.name),
            ("group", &d.group),
            ("kind", &d.kind),
            ("uid", &d.uid),
        ] {
            if !text.is_empty() {
                details.insert(key.to_owned(), json!(text));
            }
        }
        if !d.causes.is_empty() {
            let causes: Vec<_> = d.causes.iter().map(Cause::to_json).collect();
            details.insert("causes".to_owned(), json!(causes));
        }
        if let Some(seconds) = d.retry_after {
            details.insert("retryAfterSeconds".to_owned(), json!(seconds));
        }
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
        });
        if !self.reason.is_empty() {
            status["reason"] = json!(self.reason);
        }
        if !details.is_empty() || d.even_empty {
            status["details"] = Value::Object(details);
        }
        status["code"] = json!(self.code);
        status
    }

    /// The reply.
    pub fn reply(&self) -> Reply {
        let code = StatusCode::from_u16(self.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let reply = Reply::json(code, &self.to_json());
        match self.details.retry_after {
            Some(seconds) => reply.with("retry-after", seconds.to_string()),
            None => reply,
        }
    }
}

impl Cause {
    /// A required field is missing.
    pub fn required(field: impl Into<String>, detail: &str) -> Self {
        let message = if detail.is_empty() {
            "Required value".to_owned()
        } else {
            format!("Required value: {detail}")
        };
        Self::new("FieldValueRequired", message, field)
    }

    /// A field's value breaks a rule.
    pub fn invalid(field: impl Into<String>, value: &Value, detail: &str) -> Self {
        let message = format!("Invalid value: {}: {detail}", shown(value));
        Self::new("FieldValueInvalid", message, field)
    }

    /// A field may not be set, or not be changed.
    pub fn forbidden(field: impl Into<String>, detail: &str) -> Self {
        Self::new("FieldValueForbidden", format!("Forbidden: {detail}"), field)
    }

    /// A field's value is none of the known ones.
    pub fn unsupported(field: impl Into<String>, value: &Value, known: &[&str]) -> Self {
        let known: Vec<_> = known.iter().map(|k| format!("\"{k}\"")).collect();
        let known = known.join(", ");
        let message = format!(
            "Unsupported value: {}: supported values: {known}",
            shown(value)
        );
        Self::new("FieldValueNotSupported", message, field)
    }

    /// A list has the same item twice.
    pub fn duplicate(field: impl Into<String>, value: &Value) -> Self {
        let message = format!("Duplicate value: {}", shown(value));
        Self::new("FieldValueDuplicate", message, field)
    }

    /// A value is of the wrong type.
    pub fn type_invalid(field: impl Into<String>, value: &Value, detail: &str) -> Self {
        let message = format!("Invalid value: {}: {detail}", shown(value));
        Self::new("FieldValueTypeInvalid", message, field)
    }

    /// A text is too long.
    pub fn too_long(field: impl Into<String>, limit: usize) -> Self {
        let message = format!("Too long: may not be more than {limit} bytes");
        Self::new("FieldValueTooLong", message, field)
    }

    /// Any other reason.
    pub fn new(reason: &'static str, message: String, field: impl Into<String>) -> Self {
        Self {
            reason,
            message,
            field: field.into(),
        }
    }

    fn to_json(&self) -> Value {
        let mut cause =
            json!({"reason": self.reason, "message": self.message, "field": self.field});
        if let Some(map) = cause.as_object_mut() {
            map.retain(|_, text| text != "");
        }
        cause
    }
}

/// A value as the messages quote it.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        other => other.to_string(),
    }
}
