//! Redpanda Cloud's REST APIs: serverless clusters (control plane), and their
//! users, access rules and topics (data plane).
//!
//! This module owns the token, the paths and the words of both APIs. It stores
//! nothing, and deletes nothing by itself. Answers are read leniently: what is
//! documented in two ways, or only seen in examples, may be absent or wrapped.
//! Specified by the published interfaces `cloud-controlplane` and `cloud-dataplane`,
//! version 1 of each.
//!
//! Deliberately absent: anything but serverless clusters, and Kafka itself,
//! which is `kafka`'s business.

mod cluster;
mod data;
mod error;

pub use cluster::{Cluster, Deletion, State, nearest_region};
pub use data::{Acl, DataPlane, Mechanism, Operation, Pattern, Resource, TopicFacts};
pub use error::Error;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, StatusCode};
use serde_json::Value;
use tokio::sync::Mutex;
use url::Url;

use crate::clock::{Clock, Deadline};
use crate::net::{Answer, Budget, Call, Http, HttpBuilder, Trust};
use crate::secret::Secret;

/// A token is renewed this long before it ends.
const MARGIN: Duration = Duration::from_mins(1);
/// What a token lives when its answer does not say.
const LIFE: Duration = Duration::from_mins(10);
/// Nothing but waiting for a cluster takes longer than this.
const CALL_BUDGET: Budget = Budget {
    attempts: 6,
    total: Duration::from_mins(1),
};

/// A service account of an organisation.
#[derive(Debug, Clone)]
pub struct ServiceAccount {
    /// Its client identifier.
    pub client_id: String,
    /// Its client secret.
    pub client_secret: Secret,
}

/// Where the control plane is.
#[derive(Debug, Clone)]
pub struct Endpoints {
    /// Gives tokens.
    pub token: Url,
    /// The control plane, without its version.
    pub api: Url,
}

impl Default for Endpoints {
    #[expect(clippy::expect_used, reason = "the texts are constants of this file")]
    fn default() -> Self {
        let url = |text: &str| Url::parse(text).expect("invariant: a constant URL");
        Self {
            token: url("https://auth.prd.cloud.redpanda.com/oauth/token"),
            api: url("https://api.redpanda.com/"),
        }
    }
}

/// Which audience a token is for. Their documents leave it out; their own
/// Terraform provider always sends it.
const AUDIENCE: &str = "cloudv2-production.redpanda.cloud";

/// A client of one organisation, cheap to clone.
#[derive(Clone)]
pub struct Cloud {
    shared: Arc<Shared>,
}

struct Shared {
    http: Http,
    clock: Clock,
    endpoints: Endpoints,
    account: ServiceAccount,
    token: Mutex<Option<(Secret, Deadline)>>,
}

impl std::fmt::Debug for Cloud {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cloud")
            .field("client_id", &self.shared.account.client_id)
            .finish_non_exhaustive()
    }
}

/// A request before it is sent.
struct Ask<'a> {
    base: &'a Url,
    method: Method,
    path: String,
    query: Vec<(&'a str, String)>,
    body: Option<Value>,
    operation: &'static str,
}

impl<'a> Ask<'a> {
    fn new(
        base: &'a Url,
        method: Method,
        path: impl Into<String>,
        operation: &'static str,
    ) -> Self {
        Self {
            base,
            method,
            path: path.into(),
            query: Vec::new(),
            body: None,
            operation,
        }
    }

    fn query(mut self, name: &'a str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }
}

impl Cloud {
    /// A client of the account's organisation.
    pub fn new(
        account: ServiceAccount,
        endpoints: Endpoints,
        trust: Trust,
        clock: Clock,
    ) -> Result<Self, Error> {
        let mut http = HttpBuilder::new(clock.clone()).trust(trust);
        let local = |url: &Url| matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        if local(&endpoints.api) && local(&endpoints.token) {
            http = http.loopback();
        }
        Ok(Self {
            shared: Arc::new(Shared {
                http: http.build()?,
                clock,
                endpoints,
                account,
                token: Mutex::default(),
            }),
        })
    }

    /// Sends a request with a token, a fresh one if the old has just ended.
    async fn ask(&self, ask: Ask<'_>) -> Result<Value, Error> {
        let mut renewed = false;
        loop {
            let token = self.token().await?;
            let answer = self.send(&ask, &token).await?;
            if answer.status == StatusCode::UNAUTHORIZED && !renewed {
                renewed = true;
                *self.shared.token.lock().await = None;
                continue;
            }
            return read(ask.operation, &answer);
        }
    }

    async fn send(&self, ask: &Ask<'_>, token: &Secret) -> Result<Answer, Error> {
        let mut url = ask.base.clone();
        url.set_path(&format!(
            "{}{}",
            ask.base.path().trim_end_matches('/'),
            ask.path
        ));
        if !ask.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&ask.query);
        }
        let mut call = Call::new(ask.method.clone(), url, ask.operation);
        call.at_most = Some(CALL_BUDGET);
        // Everything has its name or identifier there: what is made twice is
        // refused the second time, and callers take that for made.
        call.repeatable = true;
        let bearer = HeaderValue::try_from(format!("Bearer {}", token.expose()));
        let mut bearer = bearer.map_err(|_| Error::garbled("token", "it is no header"))?;
        bearer.set_sensitive(true);
        call.headers.insert(AUTHORIZATION, bearer);
        call.headers
            .insert(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(body) = &ask.body {
            call.headers
                .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            call.body = Bytes::from(body.to_string());
        }
        Ok(self.shared.http.send(call).await?.0)
    }

    async fn token(&self) -> Result<Secret, Error> {
        let mut kept = self.shared.token.lock().await;
        if let Some((token, until)) = &*kept
            && !until.passed()
        {
            return Ok(token.clone());
        }
        let account = &self.shared.account;
        let body = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .append_pair("client_id", &account.client_id)
            .append_pair("client_secret", account.client_secret.expose())
            .append_pair("audience", AUDIENCE)
            .finish();
        let mut call = Call::new(Method::POST, self.shared.endpoints.token.clone(), "token");
        call.at_most = Some(CALL_BUDGET);
        // Asking twice only makes two tokens.
        call.repeatable = true;
        call.headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        );
        call.body = Bytes::from(body);
        let (answer, _) = self.shared.http.send(call).await?;
        if matches!(answer.status.as_u16(), 400 | 401 | 403) {
            return Err(Error::Account {
                client_id: account.client_id.clone(),
            });
        }
        let value = read("token", &answer)?;
        let token = value["access_token"]
            .as_str()
            .map(Secret::new)
            .ok_or_else(|| Error::garbled("token", "it holds no access_token"))?;
        let life = value["expires_in"]
            .as_u64()
            .map_or(LIFE, Duration::from_secs);
        // Tokens live in real time, whatever the rate of the clock.
        let real = life
            .saturating_sub(MARGIN)
            .mul_f64(self.shared.clock.rate());
        *kept = Some((token.clone(), self.shared.clock.deadline(real)));
        Ok(token)
    }

    fn control(&self) -> &Url {
        &self.shared.endpoints.api
    }

    /// All pages of a list; `field` holds the items of one.
    async fn list(
        &self,
        base: &Url,
        path: &str,
        query: &[(&str, &str)],
        field: &str,
    ) -> Result<Vec<Value>, Error> {
        let mut all = Vec::new();
        let mut page = String::new();
        loop {
            let mut ask = Ask::new(base, Method::GET, path, "a list");
            for (name, value) in query {
                ask = ask.query(name, *value);
            }
            if !page.is_empty() {
                ask = ask.query("page_token", page.clone());
            }
            let mut value = self.ask(ask).await?;
            if let Value::Array(items) = value[field].take() {
                all.extend(items);
            }
            match value["next_page_token"].as_str() {
                Some(next) if !next.is_empty() && next != page => next.clone_into(&mut page),
                _ => return Ok(all),
            }
        }
    }
}

fn read(operation: &'static str, answer: &Answer) -> Result<Value, Error> {
    if answer.status.is_success() {
        if answer.body.is_empty() {
            return Ok(Value::Null);
        }
        return serde_json::from_slice(&answer.body)
            .map_err(|error| Error::garbled(operation, error.to_string()));
    }
    Err(Error::refused(operation, answer))
}

#[cfg(test)]
mod tests;
