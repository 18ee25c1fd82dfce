//! The Kubernetes API as the sandbox's own controllers, kubelets and programs
//! use it: as clients, over HTTPS, so that they can animate any API server.
//!
//! Reading and following whole collections is [`super::cache`]'s business.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use serde_json::{Value, json};

use crate::secret::Secret;

/// An API server, and who asks it. Copies share their connections.
#[derive(Debug, Clone)]
pub struct Api {
    http: reqwest::Client,
    base: url::Url,
    /// None for a client that shows a certificate.
    token: Option<Arc<Secret>>,
    user: Option<Arc<str>>,
    groups: Arc<[String]>,
    agent: Arc<str>,
}

/// How a client shows who it is.
#[derive(Debug, Clone)]
pub enum Credential {
    /// By a bearer token.
    Token(Secret),
    /// By a certificate: it and its key, as PEM.
    Certificate(Secret),
}

/// What an API server refused, or why it was not reached.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// It answered with a Status.
    #[error("{reason} ({code}): {message}")]
    Refused {
        /// The HTTP status.
        code: u16,
        /// The machine-readable reason, e.g. `NotFound`.
        reason: String,
        /// The sentence.
        message: String,
    },
    /// It was not reached, or did not answer with JSON.
    #[error(transparent)]
    Transport(#[from] reqwest::Error),
    /// A path that is none.
    #[error(transparent)]
    Path(#[from] url::ParseError),
    /// A watch sent what is no event.
    #[error("cannot read an event of a watch")]
    Event(#[source] serde_json::Error),
}

impl ApiError {
    /// Whether the server gave this status.
    pub fn is(&self, status: u16) -> bool {
        matches!(self, Self::Refused { code, .. } if *code == status)
    }

    /// Whether the object is not there.
    pub fn is_not_found(&self) -> bool {
        self.is(404)
    }

    /// Whether somebody else was faster: the object exists, or has changed.
    pub fn is_conflict(&self) -> bool {
        self.is(409)
    }

    /// The sentence of a refusal, or the whole error.
    pub fn message(&self) -> String {
        match self {
            Self::Refused { message, .. } => message.clone(),
            other => other.to_string(),
        }
    }
}

/// How a patch is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchKind {
    /// JSON merge patch (RFC 7396).
    Merge,
    /// Kubernetes' own: lists are merged by their keys.
    Strategic,
    /// JSON patch (RFC 6902).
    Json,
}

impl PatchKind {
    fn content_type(self) -> &'static str {
        match self {
            Self::Merge => "application/merge-patch+json",
            Self::Strategic => "application/strategic-merge-patch+json",
            Self::Json => "application/json-patch+json",
        }
    }
}

impl Api {
    /// A client that authenticates with a bearer token, or not at all.
    pub fn new(http: reqwest::Client, base: url::Url, token: Option<Secret>) -> Self {
        Self {
            http,
            base,
            token: token.map(Arc::new),
            user: None,
            groups: Arc::new([]),
            agent: "kube-controller-manager".into(),
        }
    }

    /// A client that trusts one authority, for the server at `base`.
    pub fn trusting(ca_pem: &str, base: url::Url, login: Credential) -> Result<Self, ApiError> {
        let authorities = reqwest::Certificate::from_pem_bundle(ca_pem.as_bytes())?;
        let http = reqwest::Client::builder()
            .tls_certs_only(authorities)
            .no_proxy()
            .tcp_nodelay(true)
            .pool_max_idle_per_host(64);
        let (http, token) = match login {
            Credential::Token(token) => (http, Some(token)),
            Credential::Certificate(pem) => {
                let identity = reqwest::Identity::from_pem(pem.expose().as_bytes())?;
                (http.identity(identity), None)
            }
        };
        Ok(Self::new(http.build()?, base, token))
    }

    /// The same client in somebody else's name, by impersonation. A service
    /// account is in its groups without being told.
    #[must_use]
    pub fn as_user(&self, user: &str) -> Self {
        Self {
            user: Some(user.into()),
            groups: Arc::new([]),
            ..self.clone()
        }
    }

    /// The same client as a member of these groups.
    #[must_use]
    pub fn in_groups(&self, groups: &[&str]) -> Self {
        Self {
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            ..self.clone()
        }
    }

    /// The same client as one of the controllers of `kube-system`.
    #[must_use]
    pub fn as_controller(&self, name: &str) -> Self {
        self.as_user(&format!("system:serviceaccount:kube-system:{name}"))
    }

    /// The same client with another token, in its own name: what a process in
    /// a pod has.
    #[must_use]
    pub fn with_token(&self, token: String) -> Self {
        Self {
            token: Some(Arc::new(Secret::new(token))),
            user: None,
            groups: Arc::new([]),
            ..self.clone()
        }
    }

    /// The same client under another program's name, which the server notes as
    /// the manager of the fields that it writes.
    #[must_use]
    pub fn by_program(&self, name: &str) -> Self {
        Self {
            agent: name.into(),
            ..self.clone()
        }
    }

    /// GET of a path below the server, e.g. `/api/v1/nodes`.
    pub async fn get(&self, path: &str) -> Result<Value, ApiError> {
        self.call(http::Method::GET, path, None, None).await
    }

    /// GET of an object that may not be there.
    pub async fn find(&self, path: &str) -> Result<Option<Value>, ApiError> {
        match self.get(path).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// POST of an object to its collection, or to a subresource.
    pub async fn create(&self, path: &str, object: &Value) -> Result<Value, ApiError> {
        self.call(http::Method::POST, path, Some(object), None)
            .await
    }

    /// PUT of an object; also of its status, at its `/status` path.
    pub async fn update(&self, path: &str, object: &Value) -> Result<Value, ApiError> {
        self.call(http::Method::PUT, path, Some(object), None).await
    }

    /// A JSON merge patch (RFC 7396).
    pub async fn merge(&self, path: &str, patch: &Value) -> Result<Value, ApiError> {
        self.patch(path, PatchKind::Merge, patch).await
    }

    /// A patch of any kind.
    pub async fn patch(
        &self,
        path: &str,
        kind: PatchKind,
        patch: &Value,
    ) -> Result<Value, ApiError> {
        let kind = Some(kind.content_type());
        self.call(http::Method::PATCH, path, Some(patch), kind)
            .await
    }

    /// Server-side apply, taking over contested fields.
    pub async fn apply(
        &self,
        path: &str,
        manager: &str,
        object: &Value,
    ) -> Result<Value, ApiError> {
        let path = format!("{path}?fieldManager={manager}&force=true");
        let kind = Some("application/apply-patch+yaml");
        self.call(http::Method::PATCH, &path, Some(object), kind)
            .await
    }

    /// DELETE of an object.
    pub async fn delete(&self, path: &str) -> Result<Value, ApiError> {
        self.call(http::Method::DELETE, path, None, None).await
    }

    /// DELETE of an object if it still is the one meant, e.g. a pod whose name
    /// another may have by now. `grace` are a pod's seconds.
    pub async fn delete_uid(
        &self,
        path: &str,
        uid: &str,
        grace: Option<u64>,
    ) -> Result<Value, ApiError> {
        let mut options = json!({
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "preconditions": {"uid": uid},
        });
        if let Some(grace) = grace {
            options["gracePeriodSeconds"] = json!(grace);
        }
        self.call(http::Method::DELETE, path, Some(&options), None)
            .await
    }

    /// Follows a collection from a version on; `query` is further parameters,
    /// e.g. `labelSelector=app%3Dtodo`.
    pub async fn watch(&self, path: &str, version: &str, query: &str) -> Result<Watch, ApiError> {
        let more = if query.is_empty() { "" } else { "&" };
        let path = format!(
            "{path}?watch=1&allowWatchBookmarks=true&resourceVersion={version}{more}{query}"
        );
        let answer = self
            .request(http::Method::GET, &path, None, None)?
            .send()
            .await?;
        if !answer.status().is_success() {
            return Err(refusal(answer).await);
        }
        Ok(Watch {
            answer,
            held: BytesMut::new(),
        })
    }

    fn request(
        &self,
        method: http::Method,
        path: &str,
        body: Option<&Value>,
        content_type: Option<&'static str>,
    ) -> Result<reqwest::RequestBuilder, ApiError> {
        let mut request = self
            .http
            .request(method, self.base.join(path)?)
            .header("user-agent", format!("{}/v1.34.1", self.agent));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose());
        }
        if let Some(user) = &self.user {
            request = request.header("impersonate-user", &**user);
            for group in self.groups.iter() {
                request = request.header("impersonate-group", group);
            }
        }
        if let Some(body) = body {
            request = request
                .header("content-type", content_type.unwrap_or("application/json"))
                .body(body.to_string());
        }
        Ok(request)
    }

    async fn call(
        &self,
        method: http::Method,
        path: &str,
        body: Option<&Value>,
        content_type: Option<&'static str>,
    ) -> Result<Value, ApiError> {
        let answer = self
            .request(method, path, body, content_type)?
            .send()
            .await?;
        if !answer.status().is_success() {
            return Err(refusal(answer).await);
        }
        Ok(answer.json().await?)
    }
}

/// What a refusal says; a body that is no Status is the sentence itself.
async fn refusal(answer: reqwest::Response) -> ApiError {
    let code = answer.status().as_u16();
    let body = match answer.text().await {
        Ok(body) => body,
        Err(error) => return error.into(),
    };
    let value: Value = serde_json::from_str(&body).unwrap_or_default();
    let text = |key: &str| value[key].as_str().map(str::to_owned);
    ApiError::Refused {
        code,
        reason: text("reason").unwrap_or_default(),
        message: text("message").unwrap_or(body),
    }
}

/// What happened to an object that is watched.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// It is new, or has changed.
    Is(Value),
    /// It is gone; this is how it was last.
    Gone(Value),
    /// Nothing happened up to this version.
    Bookmark(String),
}

/// A running watch.
#[derive(Debug)]
pub struct Watch {
    answer: reqwest::Response,
    held: BytesMut,
}

impl Watch {
    /// The next event; none at the watch's regular end. An outdated version is
    /// a refusal with 410.
    pub async fn next(&mut self) -> Result<Option<Event>, ApiError> {
        loop {
            if let Some(line) = self.line() {
                return event(&line).map(Some);
            }
            match self.answer.chunk().await? {
                Some(bytes) => self.held.extend_from_slice(&bytes),
                None => return Ok(None),
            }
        }
    }

    /// A whole line, if one has arrived. Safe to drop in between.
    fn line(&mut self) -> Option<Bytes> {
        let end = self.held.iter().position(|byte| *byte == b'\n')?;
        Some(self.held.split_to(end + 1).freeze())
    }
}

fn event(line: &[u8]) -> Result<Event, ApiError> {
    let mut value: Value = serde_json::from_slice(line).map_err(ApiError::Event)?;
    let object = value["object"].take();
    let text = |key: &str| object[key].as_str().unwrap_or_default().to_owned();
    match value["type"].as_str() {
        Some("ADDED" | "MODIFIED") => Ok(Event::Is(object)),
        Some("DELETED") => Ok(Event::Gone(object)),
        Some("BOOKMARK") => {
            let version = object["metadata"]["resourceVersion"].as_str();
            Ok(Event::Bookmark(version.unwrap_or_default().to_owned()))
        }
        _ => Err(ApiError::Refused {
            code: object["code"]
                .as_u64()
                .and_then(|code| u16::try_from(code).ok())
                .unwrap_or(500),
            reason: text("reason"),
            message: text("message"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_told_apart() {
        let read = |text: &str| event(text.as_bytes());
        let object = json!({"metadata": {"resourceVersion": "7"}});
        let line = |kind: &str, object: &Value| json!({"type": kind, "object": object}).to_string();
        let is = read(&line("MODIFIED", &object)).unwrap();
        assert_eq!(is, Event::Is(object.clone()));
        let gone = read(&line("DELETED", &object)).unwrap();
        assert_eq!(gone, Event::Gone(object.clone()));
        let mark = read(&line("BOOKMARK", &object)).unwrap();
        assert_eq!(mark, Event::Bookmark("7".to_owned()));
        let status = json!({"code": 410, "reason": "Expired", "message": "too old"});
        assert!(read(&line("ERROR", &status)).unwrap_err().is(410));
        assert!(matches!(read("{"), Err(ApiError::Event(_))));
    }
}
