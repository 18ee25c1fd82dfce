//! A request on its way to an operation, and the operation's answer.

use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::error::ApiError;
use super::input::Input;
use super::ledger::{Doc, Kind, Ledger};
use crate::sandbox::http::{Reply, Request};

/// What an operation returns.
pub(super) type Outcome = Result<Answer, ApiError>;

/// One operation of the API.
#[derive(Clone, Copy)]
pub(super) struct Operation {
    /// Its name in Oracle's reference.
    pub name: &'static str,
    /// What it does, within one transaction.
    pub run: fn(&mut Ledger<'_, '_>, &Call<'_>) -> Outcome,
    /// Whether it honours `opc-retry-token`.
    pub retry_token: bool,
}

/// A request, read.
pub(super) struct Call<'a> {
    /// The request.
    pub request: &'a Request,
    /// The path's segments.
    pub segments: Vec<String>,
    /// The body, empty when there is none.
    pub body: Map<String, Value>,
}

impl<'a> Call<'a> {
    /// Reads the body as a JSON object.
    pub(super) fn read(request: &'a Request) -> Result<Self, ApiError> {
        let body = if request.body.is_empty() {
            Map::new()
        } else {
            match serde_json::from_slice(&request.body) {
                Ok(Value::Object(body)) => body,
                Ok(_) => return Err(ApiError::cannot_parse("the body is no JSON object")),
                Err(why) => return Err(ApiError::cannot_parse(&why.to_string())),
            }
        };
        Ok(Self {
            request,
            segments: request.segments(),
            body,
        })
    }

    /// The body's fields.
    pub(super) fn input(&self) -> Input<'_> {
        Input::new(&self.body)
    }

    /// A segment of the path; empty when there is none.
    pub(super) fn segment(&self, at: usize) -> &str {
        self.segments.get(at).map_or("", String::as_str)
    }

    /// The identifier after the version and the collection.
    pub(super) fn id(&self) -> &str {
        self.segment(2)
    }

    /// A mandatory query parameter.
    pub(super) fn need_param(&self, name: &str) -> Result<&str, ApiError> {
        self.request
            .param(name)
            .filter(|value| !value.is_empty())
            .ok_or_else(|| ApiError::missing(name))
    }

    /// Fails unless the `if-match` header, if any, names the current version.
    pub(super) fn check_match(&self, books: &Ledger<'_, '_>, doc: &Doc) -> Result<(), ApiError> {
        match self.request.header("if-match") {
            Some(wanted) if wanted != "*" && wanted.trim_matches('"') != books.etag(doc) => {
                Err(ApiError::no_etag_match())
            }
            _ => Ok(()),
        }
    }
}

/// An answer that can be kept for repeated requests.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Answer {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Option<Value>,
    /// A body that is not JSON: its content type and text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<(String, String)>,
    /// The headers, but for the request id.
    pub headers: Vec<(String, String)>,
    /// What the operation made, so that a retry token can tell whether it
    /// still exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<(Kind, String)>,
}

impl Answer {
    fn new(status: u16, body: Option<Value>) -> Self {
        Self {
            status,
            body,
            text: None,
            headers: Vec::new(),
            made: None,
        }
    }

    /// 200 with a body.
    pub(super) fn ok(body: impl Into<Value>) -> Self {
        Self::new(200, Some(body.into()))
    }

    /// 200 with a resource and its etag.
    pub(super) fn doc(books: &Ledger<'_, '_>, doc: &Doc) -> Self {
        Self::ok(doc.body.clone()).with("etag", books.etag(doc))
    }

    /// 204.
    pub(super) fn no_content() -> Self {
        Self::new(204, None)
    }

    /// 202 with the work request to follow.
    pub(super) fn accepted(work_request: &str) -> Self {
        Self::new(202, None).with("opc-work-request-id", work_request)
    }

    /// 200 with a text that is not JSON.
    pub(super) fn text(content_type: &str, text: String) -> Self {
        let mut answer = Self::new(200, None);
        answer.text = Some((content_type.to_owned(), text));
        answer
    }

    /// Adds a header.
    #[must_use]
    pub(super) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Says what the operation made.
    #[must_use]
    pub(super) fn made(mut self, kind: Kind, id: &str) -> Self {
        self.made = Some((kind, id.to_owned()));
        self
    }

    /// The answer on the wire.
    pub(super) fn reply(self) -> Reply {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::OK);
        let mut reply = match (self.body, self.text) {
            (Some(body), _) => Reply::json(status, &body),
            (None, Some((content_type, text))) => {
                Reply::text(status, "text/plain", text).with("content-type", content_type)
            }
            (None, None) => Reply::empty(status),
        };
        for (name, value) in &self.headers {
            reply = reply.with(name, value);
        }
        reply
    }
}
