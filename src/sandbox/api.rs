//! The Kubernetes API as the sandbox's own controllers, kubelets and programs
//! use it: as clients, over HTTPS, so that they can animate any API server.

use serde_json::Value;

/// An API server, and who asks it.
#[derive(Debug, Clone)]
pub struct Api {
    http: reqwest::Client,
    base: url::Url,
    token: String,
    user: Option<String>,
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
}

impl Api {
    /// A client that authenticates with a bearer token.
    pub fn new(http: reqwest::Client, base: url::Url, token: String) -> Self {
        Self {
            http,
            base,
            token,
            user: None,
        }
    }

    /// The same client in somebody else's name, by impersonation.
    #[must_use]
    pub fn as_user(&self, user: &str) -> Self {
        Self {
            user: Some(user.to_owned()),
            ..self.clone()
        }
    }

    /// GET of a path below the server, e.g. `/api/v1/nodes`.
    pub async fn get(&self, path: &str) -> Result<Value, ApiError> {
        self.call(http::Method::GET, path, None, None).await
    }

    /// POST of an object to its collection.
    pub async fn create(&self, path: &str, object: &Value) -> Result<Value, ApiError> {
        self.call(http::Method::POST, path, Some(object), None)
            .await
    }

    /// PUT of an object.
    pub async fn update(&self, path: &str, object: &Value) -> Result<Value, ApiError> {
        self.call(http::Method::PUT, path, Some(object), None).await
    }

    /// A JSON merge patch (RFC 7396).
    pub async fn merge(&self, path: &str, patch: &Value) -> Result<Value, ApiError> {
        self.call(
            http::Method::PATCH,
            path,
            Some(patch),
            Some("application/merge-patch+json"),
        )
        .await
    }

    /// DELETE of an object.
    pub async fn delete(&self, path: &str) -> Result<Value, ApiError> {
        self.call(http::Method::DELETE, path, None, None).await
    }

    async fn call(
        &self,
        method: http::Method,
        path: &str,
        body: Option<&Value>,
        content_type: Option<&'static str>,
    ) -> Result<Value, ApiError> {
        let mut request = self
            .http
            .request(method, self.base.join(path)?)
            .bearer_auth(&self.token);
        if let Some(user) = &self.user {
            request = request.header("Impersonate-User", user);
        }
        if let Some(body) = body {
            request = request
                .header("content-type", content_type.unwrap_or("application/json"))
                .body(body.to_string());
        }
        let answer = request.send().await?;
        let status = answer.status();
        let value: Value = answer.json().await?;
        if status.is_success() {
            return Ok(value);
        }
        let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
        Err(ApiError::Refused {
            code: status.as_u16(),
            reason: text("reason"),
            message: text("message"),
        })
    }
}
