//! One call: built from parts, sent, and its answer read.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::error::Circumstances;
use super::{Accepted, Class, Client, OciError, Service, Versioned};
use crate::net::{Answer, Call, Tries};

const RETRY_TOKEN: HeaderName = HeaderName::from_static("opc-retry-token");
const REQUEST_ID: HeaderName = HeaderName::from_static("opc-request-id");
const CLIENT_RETRIES: HeaderName = HeaderName::from_static("opc-client-retries");
const NEXT_PAGE: &str = "opc-next-page";
const WORK_REQUEST: &str = "opc-work-request-id";
/// Far more pages than anything that todoctl lists can have.
const MOST_PAGES: usize = 1000;

/// What a call does, for errors and for people.
#[derive(Debug, Clone, Default)]
pub(super) struct Deed {
    /// The operation's name in Oracle's interface.
    pub(super) operation: &'static str,
    /// "create virtual network `todo`".
    pub(super) doing: String,
    /// The OCID of the object that it looks up.
    pub(super) subject: Option<String>,
}

/// A call being put together.
#[must_use]
pub(super) struct Request<'c> {
    client: &'c Client,
    method: Method,
    url: Result<Url, url::ParseError>,
    headers: HeaderMap,
    body: Result<Bytes, serde_json::Error>,
    repeatable: bool,
    deed: Deed,
}

impl<'c> Request<'c> {
    pub(super) fn new(client: &'c Client, method: Method, service: Service, path: &[&str]) -> Self {
        Self {
            client,
            url: client.endpoints().url(service, client.region(), path),
            repeatable: method.is_idempotent(),
            method,
            headers: HeaderMap::new(),
            body: Ok(Bytes::new()),
            deed: Deed {
                // An OCID in the path is what the call looks up.
                subject: path
                    .iter()
                    .find(|p| p.starts_with("ocid1."))
                    .map(|&p| p.to_owned()),
                ..Deed::default()
            },
        }
    }

    /// Names the call.
    pub(super) fn named(mut self, operation: &'static str, doing: impl Into<String>) -> Self {
        self.deed.operation = operation;
        self.deed.doing = doing.into();
        self
    }

    pub(super) fn query(mut self, key: &str, value: &str) -> Self {
        if let Ok(url) = &mut self.url {
            url.query_pairs_mut().append_pair(key, value);
        }
        self
    }

    pub(super) fn query_opt(self, key: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.query(key, value),
            None => self,
        }
    }

    pub(super) fn json(mut self, body: &impl Serialize) -> Self {
        self.body = serde_json::to_vec(body).map(Bytes::from);
        self
    }

    /// With this token, sending it twice makes one object.
    pub(super) fn token(mut self, token: &str) -> Self {
        self.repeatable = true;
        self.header(RETRY_TOKEN, token)
    }

    /// Only when the object is still the one that was read.
    pub(super) fn if_match(self, etag: Option<&str>) -> Self {
        match etag {
            Some(etag) => self.header(header::IF_MATCH, etag),
            None => self,
        }
    }

    /// A POST that changes nothing.
    pub(super) fn only_reads(mut self) -> Self {
        self.repeatable = true;
        self
    }

    fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    /// Sends it and reads an object.
    pub(super) async fn one<T: DeserializeOwned>(self) -> Result<Versioned<T>, OciError> {
        let reply = self.send().await?;
        let value = reply.read()?;
        let etag = reply.answer.header("etag").map(str::to_owned);
        Ok(Versioned { value, etag })
    }

    /// Sends it and reads text.
    pub(super) async fn text(self) -> Result<String, OciError> {
        let reply = self.send().await?;
        String::from_utf8(reply.answer.body.to_vec()).map_err(|e| reply.unreadable(&e))
    }

    /// Sends it; success is all that counts.
    pub(super) async fn done(self) -> Result<(), OciError> {
        self.send().await.map(drop)
    }

    /// Sends it and reads which work request carries it out.
    pub(super) async fn accepted(self) -> Result<Accepted, OciError> {
        let reply = self.send().await?;
        let Some(id) = reply.answer.header(WORK_REQUEST) else {
            return Err(reply.unreadable(&format_args!("it lacks {WORK_REQUEST}")));
        };
        Ok(Accepted {
            work_request: id.to_owned(),
            request_id: reply.answer.request_id().map(str::to_owned),
        })
    }

    /// Sends it and reads which work request carries it out, when one does.
    pub(super) async fn maybe_accepted(self) -> Result<Option<Accepted>, OciError> {
        let reply = self.send().await?;
        Ok(reply.answer.header(WORK_REQUEST).map(|id| Accepted {
            work_request: id.to_owned(),
            request_id: reply.answer.request_id().map(str::to_owned),
        }))
    }

    /// Sends it and reads an object, and how long to wait before the next look.
    pub(super) async fn polled<T: DeserializeOwned>(
        self,
    ) -> Result<(T, Option<Duration>), OciError> {
        let reply = self.send().await?;
        let value = reply.read()?;
        let seconds = reply
            .answer
            .header("retry-after")
            .and_then(|s| s.parse().ok());
        Ok((value, seconds.map(Duration::from_secs)))
    }

    /// Reads all pages of a list.
    pub(super) async fn list<T: DeserializeOwned>(self) -> Result<Vec<T>, OciError> {
        self.pages::<Vec<T>, T>().await
    }

    /// Reads all pages of a list whose rows are in `items`.
    pub(super) async fn items<T: DeserializeOwned>(self) -> Result<Vec<T>, OciError> {
        self.pages::<Items<T>, T>().await
    }

    async fn pages<P, T>(self) -> Result<Vec<T>, OciError>
    where
        P: DeserializeOwned + Into<Vec<T>>,
    {
        let mut all = Vec::new();
        let mut seen = HashSet::new();
        let mut page: Option<String> = None;
        loop {
            let reply = self
                .copy()
                .query_opt("page", page.as_deref())
                .send()
                .await?;
            // A page may be empty while more follow: only the header counts.
            all.append(&mut reply.read::<P>()?.into());
            let next = reply.answer.header(NEXT_PAGE).filter(|p| !p.is_empty());
            let Some(next) = next.map(str::to_owned) else {
                return Ok(all);
            };
            if seen.len() >= MOST_PAGES || !seen.insert(next.clone()) {
                return Err(reply.unreadable(&"its pages have no end"));
            }
            page = Some(next);
        }
    }

    /// The same call again, for another page. Lists have no body that could
    /// have failed to be written.
    fn copy(&self) -> Self {
        Self {
            client: self.client,
            method: self.method.clone(),
            url: self.url.clone(),
            headers: self.headers.clone(),
            body: Ok(self.body.as_ref().map(Bytes::clone).unwrap_or_default()),
            repeatable: self.repeatable,
            deed: self.deed.clone(),
        }
    }

    async fn send(self) -> Result<Reply<'c>, OciError> {
        let client = self.client;
        let deed = self.deed;
        let own = |e: &dyn std::fmt::Display| OciError::new(&deed, Class::Bug, e.to_string());
        let mut call = Call::new(
            self.method,
            self.url.map_err(|e| own(&e))?,
            deed.doing.as_str(),
        );
        call.body = self.body.map_err(|e| own(&e))?;
        call.headers = self.headers;
        call.headers
            .insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        call.headers
            .insert(CLIENT_RETRIES, HeaderValue::from_static("true"));
        if let Ok(id) = HeaderValue::from_str(&request_id()) {
            call.headers.insert(REQUEST_ID, id);
        }
        call.repeatable = self.repeatable;
        call.classifier = Some(std::sync::Arc::new(client.mode().policy()));
        call.observer = client.observer().cloned();
        let result = client.http().send(call).await;
        let about = Circumstances {
            deed: &deed,
            region: client.region(),
            mode: client.mode(),
            now: client.clock().now(),
        };
        let (answer, tries) = result.map_err(|e| OciError::from_net(about, e))?;
        if !answer.status.is_success() {
            return Err(OciError::from_answer(about, &answer, tries));
        }
        Ok(Reply {
            client,
            deed,
            answer,
            tries,
        })
    }
}

/// A successful answer and what it answers.
struct Reply<'c> {
    client: &'c Client,
    deed: Deed,
    answer: Answer,
    tries: Tries,
}

impl Reply<'_> {
    fn read<T: DeserializeOwned>(&self) -> Result<T, OciError> {
        serde_json::from_slice(&self.answer.body).map_err(|e| self.unreadable(&e))
    }

    fn unreadable(&self, why: &dyn std::fmt::Display) -> OciError {
        let about = Circumstances {
            deed: &self.deed,
            region: self.client.region(),
            mode: self.client.mode(),
            now: self.client.clock().now(),
        };
        OciError::unreadable(about, &self.answer, self.tries, why)
    }
}

#[derive(serde::Deserialize)]
struct Items<T> {
    // Spelt out, because the derived bound would ask for `T: Default`.
    #[serde(default = "Vec::new")]
    items: Vec<T>,
}

impl<T> From<Items<T>> for Vec<T> {
    fn from(page: Items<T>) -> Self {
        page.items
    }
}

/// A name for the request by which support can find it: 32 hexadecimal digits.
fn request_id() -> String {
    let mut bytes = [0_u8; 16];
    let rng = ring::rand::SystemRandom::new();
    // Without randomness the service makes up a name of its own.
    let _ = ring::rand::SecureRandom::fill(&rng, &mut bytes);
    bytes.iter().map(|b| format!("{b:02X}")).collect()
}
