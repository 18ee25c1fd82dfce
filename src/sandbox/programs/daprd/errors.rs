//! The two shapes of refusals: simple, and rich with details.

use http::StatusCode;
use serde_json::{Value, json};

use super::super::super::http::Reply;

/// A refusal with a code and a sentence.
pub(super) fn simple(status: StatusCode, code: &str, message: &str) -> Reply {
    Reply::json(status, &json!({"errorCode": code, "message": message}))
}

/// A refusal with details.
pub(super) struct Rich<'a> {
    pub(super) status: StatusCode,
    /// The code; the reason stands for it if it is empty.
    pub(super) code: &'a str,
    pub(super) reason: &'a str,
    pub(super) message: String,
    /// Kind and name of what it is about.
    pub(super) resource: Option<(&'a str, &'a str)>,
    pub(super) metadata: Value,
}

impl Rich<'_> {
    pub(super) fn reply(self) -> Reply {
        let mut details = Vec::new();
        if let Some((kind, name)) = self.resource {
            details.push(json!({
                "@type": "type.googleapis.com/google.rpc.ResourceInfo",
                "resource_type": kind,
                "resource_name": name,
                "owner": "",
                "description": self.message,
            }));
        }
        details.push(json!({
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": self.reason,
            "domain": "dapr.io",
            "metadata": self.metadata,
        }));
        let code = if self.code.is_empty() {
            self.reason
        } else {
            self.code
        };
        let body = json!({"errorCode": code, "message": self.message, "details": details});
        Reply::json(self.status, &body)
    }
}
