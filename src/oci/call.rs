//! One call: built from parts, sent, and its answer read.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::class::Circumstances;
use super::types::hex;
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
        let id = request_id();
        if let Ok(id) = HeaderValue::from_str(&id) {
            call.headers.insert(REQUEST_ID, id);
        }
        call.repeatable = self.repeatable;
        call.classifier = Some(std::sync::Arc::new(client.mode().policy()));
        call.observer = client.observer().cloned();
        call.at_most = client.mode().at_most();
        let result = client.http().send(call).await;
        let about = Circumstances {
            deed: &deed,
            region: client.region(),
            mode: client.mode(),
            now: client.clock().now(),
        };
        let (answer, tries) = result.map_err(|e| OciError::from_net(about, e, id))?;
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
    hex(&bytes).to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use crate::net::Retrying;
    use crate::net::testing::{Act, Seen, Server, error, reply};
    use crate::oci::testing::{client, fast_clock};
    use crate::oci::{Class, CreateVcn, OciError, Region, Subnet, Vcn, VcnScope, gone};

    const VCN: &str = r#"{"id":"ocid1.vcn.oc1.eu-frankfurt-1.aa","compartmentId":"c","displayName":null,"lifecycleState":"AVAILABLE","novelField":1}"#;

    fn body() -> CreateVcn {
        CreateVcn {
            compartment_id: "c".into(),
            cidr_blocks: vec!["10.0.0.0/16".into()],
            display_name: Some("todo".into()),
            ..CreateVcn::default()
        }
    }

    fn headers<'a>(seen: &'a [Seen], name: &str) -> Vec<&'a str> {
        seen.iter().filter_map(|s| s.header(name)).collect()
    }

    #[tokio::test]
    async fn throttling_waits_as_asked_with_the_same_token_and_a_new_signature() {
        let throttle = error(429, "TooManyRequests", "Too many requests for the user");
        let server = Server::start([
            throttle.clone().with("retry-after", "1100"),
            throttle,
            reply(200, VCN).with("etag", "e1"),
        ])
        .await;
        let clock = fast_clock();
        let told: Arc<Mutex<Vec<Retrying>>> = Arc::default();
        let listener = Arc::clone(&told);
        let client = client(&server, clock.clone())
            .observed(move |retry| listener.lock().unwrap().push(retry.clone()));
        let refused = client.network().create(&body(), "tok").await.unwrap_err();
        // The service asked for more than the whole budget of ten minutes.
        assert_eq!(refused.class, Class::Throttled);
        assert!(told.lock().unwrap().is_empty());

        let before = clock.elapsed();
        let vcn = client.network().create(&body(), "tok").await.unwrap();
        assert_eq!(vcn.etag.as_deref(), Some("e1"));
        assert!(clock.elapsed().saturating_sub(before).as_millis() >= 500);
        let told = told.lock().unwrap();
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].operation, "create virtual network `todo`");
        assert_eq!(told[0].reason, "too many requests");
        assert_eq!(headers(&server.seen(), "opc-retry-token"), ["tok"; 3]);
    }

    #[tokio::test]
    async fn each_attempt_is_signed_anew_and_waits_at_least_as_long_as_asked() {
        let throttle = error(429, "TooManyRequests", "m").with("retry-after", "2");
        let server = Server::start([throttle, reply(200, VCN)]).await;
        // Slow enough for the date of a signature to move on.
        let clock = crate::clock::Clock::new(1.7, tokio_util::sync::CancellationToken::new())
            .with_random(|| 0.0);
        let before = clock.elapsed();
        client(&server, clock.clone())
            .network()
            .create(&body(), "tok")
            .await
            .unwrap();
        assert!(clock.elapsed().saturating_sub(before).as_secs() >= 2);
        let seen = server.seen();
        let mut signatures = headers(&seen, "authorization");
        signatures.dedup();
        assert_eq!(signatures.len(), 2);
        assert_eq!(headers(&seen, "opc-retry-token"), ["tok"; 2]);
    }

    #[tokio::test]
    async fn a_hasty_client_gives_up_soon() {
        let server = Server::start([error(503, "ServiceUnavailable", "m")]).await;
        let client = client(&server, fast_clock()).hasty();
        assert!(client.network().get::<Vcn>("v").await.is_err());
        assert_eq!(server.seen().len(), 2);
    }

    #[tokio::test]
    async fn a_change_is_made_again_when_somebody_was_faster() {
        let table = |etag: &str, rules: &str| {
            let body =
                format!(r#"{{"id":"rt","compartmentId":"c","vcnId":"v","routeRules":[{rules}]}}"#);
            reply(200, body).with("etag", etag)
        };
        let rule = r#"{"networkEntityId":"igw","destination":"0.0.0.0/0"}"#;
        let server = Server::start([
            table("e1", rule),
            error(412, "NoEtagMatch", "changed"),
            table("e2", rule),
            table("e3", ""),
        ])
        .await;
        let client = client(&server, fast_clock());
        client.network().clear_routes("rt").await.unwrap();
        let seen = server.seen();
        assert_eq!(headers(&seen, "if-match"), ["e1", "e2"]);
        assert_eq!(seen[3].body, r#"{"routeRules":[]}"#);
    }

    #[tokio::test]
    async fn a_lost_reply_is_asked_for_again_with_the_same_token() {
        let script = [Act::Drop, Act::Cut, reply(200, VCN).into()];
        let server = Server::start(script).await;
        let client = client(&server, fast_clock());
        let vcn = client.network().create(&body(), "tok").await.unwrap();
        assert_eq!(vcn.display_name, "");
        let seen = server.seen();
        assert_eq!(headers(&seen, "opc-retry-token"), ["tok"; 3]);
        assert_eq!(seen[0].line, "POST /20160918/vcns");
        assert!(seen.iter().all(|s| s.body == seen[0].body));
        assert_eq!(
            seen[0].body,
            r#"{"compartmentId":"c","cidrBlocks":["10.0.0.0/16"],"displayName":"todo"}"#
        );
    }

    #[tokio::test]
    async fn a_server_that_always_hangs_up_is_given_up_on() {
        let server = Server::start([Act::Drop]).await;
        let client = client(&server, fast_clock());
        let error = client.network().get::<Vcn>("v").await.unwrap_err();
        assert_eq!(error.class, Class::Transient);
        assert_eq!(error.to_string(), "could not read the virtual network v");
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("dropped the connection"), "{cause}");
        assert!(cause.contains("(8 attempts in "), "{cause}");
        assert_eq!(server.seen().len(), 8);
    }

    #[tokio::test]
    async fn pages_are_followed_through_empty_ones() {
        let subnet = |id: &str| {
            format!(r#"[{{"id":"{id}","compartmentId":"c","vcnId":"v","freeformTags":null}}]"#)
        };
        let server = Server::start([
            reply(200, subnet("a")).with("opc-next-page", "p/1"),
            reply(200, "[]").with("opc-next-page", "p2"),
            reply(200, subnet("b")),
        ])
        .await;
        let client = client(&server, fast_clock());
        let scope = VcnScope::vcn("c d", "v");
        let subnets: Vec<Subnet> = client.network().list(&scope).await.unwrap();
        let ids: Vec<&str> = subnets.iter().map(|s| s.id.as_str()).collect();
        assert_eq!(ids, ["a", "b"]);
        let lines: Vec<String> = server.seen().into_iter().map(|s| s.line).collect();
        assert_eq!(
            lines,
            [
                "GET /20160918/subnets?compartmentId=c+d&vcnId=v",
                "GET /20160918/subnets?compartmentId=c+d&vcnId=v&page=p%2F1",
                "GET /20160918/subnets?compartmentId=c+d&vcnId=v&page=p2",
            ]
        );
    }

    #[tokio::test]
    async fn pages_without_end_are_an_error() {
        let server = Server::start([reply(200, "[]").with("opc-next-page", "again")]).await;
        let client = client(&server, fast_clock());
        let scope = VcnScope::compartment("c");
        let error = client.network().list::<Vcn>(&scope).await.unwrap_err();
        assert!(
            error.to_string().contains("its pages have no end"),
            "{error}"
        );
        assert_eq!(server.seen().len(), 2);
    }

    #[tokio::test]
    async fn missing_capacity_is_reported_at_once() {
        let answer = error(500, "InternalError", "Out of host capacity.");
        let server = Server::start([answer]).await;
        let client = client(&server, fast_clock());
        let error = client.network().create(&body(), "t").await.unwrap_err();
        assert_eq!(error.class, Class::Capacity);
        assert_eq!(server.seen().len(), 1);
    }

    #[tokio::test]
    async fn a_post_without_a_token_is_not_repeated_after_a_failure() {
        let server = Server::start([error(500, "InternalError", "oops")]).await;
        let client = client(&server, fast_clock());
        let request = client.request(http::Method::POST, crate::oci::Service::Core, &["x"]);
        assert!(request.named("X", "x").done().await.is_err());
        assert_eq!(server.seen().len(), 1);
    }

    #[tokio::test]
    async fn an_oversized_answer_is_refused() {
        let long = vec![b' '; 16 * 1024 * 1024 + 1];
        let server = Server::start([reply(200, long)]).await;
        let client = client(&server, fast_clock());
        let error = client.network().get::<Vcn>("v").await.unwrap_err();
        assert_eq!(error.class, Class::Bug);
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.ends_with("sent an answer longer than 16777216 bytes"));
    }

    #[tokio::test]
    async fn cancellation_ends_the_wait_between_attempts() {
        let throttle = error(429, "TooManyRequests", "m").with("retry-after", "500");
        let server = Server::start([throttle]).await;
        let clock = crate::clock::Clock::default();
        let cancel = clock.cancellation().clone();
        let client = client(&server, clock).observed(move |_| cancel.cancel());
        let error = client.network().get::<Vcn>("v").await.unwrap_err();
        assert!(error.is_cancelled());
        assert_eq!(server.seen().len(), 1);
    }

    #[tokio::test]
    async fn a_teardown_waits_for_what_still_holds_the_object() {
        let held = error(409, "Conflict", "The Subnet references the VNIC x.");
        let script = [held.clone(), held, reply(204, "")];
        let server = Server::start(script.clone()).await;
        let client = client(&server, fast_clock());
        let plain = client.network().delete::<Subnet>("s", Some("e")).await;
        assert_eq!(plain.unwrap_err().class, Class::Conflict);
        let patient = client.tearing_down();
        patient
            .network()
            .delete::<Subnet>("s", Some("e"))
            .await
            .unwrap();
        assert_eq!(headers(&server.seen(), "if-match"), ["e"; 3]);
    }

    #[tokio::test]
    async fn a_new_compartment_is_waited_for_only_after_its_creation() {
        let unseen = error(404, "NotAuthorizedOrNotFound", "Authorization failed");
        let server = Server::start([unseen.clone(), unseen, reply(200, VCN)]).await;
        // Real waiting counts in the window, so it must not pass too fast.
        let clock = crate::clock::Clock::new(60.0, tokio_util::sync::CancellationToken::new());
        let client = client(&server, clock.clone());
        let refused = client.network().create(&body(), "t").await.unwrap_err();
        assert_eq!(refused.class, Class::Denied);
        let window = clock.deadline(crate::oci::CREATION_WINDOW);
        client
            .creating(window)
            .network()
            .create(&body(), "t")
            .await
            .unwrap();
        assert_eq!(server.seen().len(), 3);
    }

    #[tokio::test]
    async fn deleting_what_is_gone_is_success() {
        let server = Server::start([error(404, "NotAuthorizedOrNotFound", "no")]).await;
        let client = client(&server, fast_clock());
        let id = "ocid1.subnet.oc1.eu-frankfurt-1.aaaa";
        gone(client.network().delete::<Subnet>(id, None).await).unwrap();
        let other = client.in_region(Region::parse("phx").unwrap());
        let error = other
            .network()
            .delete::<Subnet>(id, None)
            .await
            .unwrap_err();
        assert_eq!(error.class, Class::WrongRegion);
    }

    #[test]
    fn calls_can_move_between_threads() {
        fn sendable<T: Send>(_: T) {}
        fn check(client: &crate::oci::Client) {
            use crate::oci::{Patience, WorkKind, WorkStatus};
            sendable(client.network().list::<Vcn>(&VcnScope::compartment("c")));
            sendable(client.network().holders("s"));
            sendable(client.search().by_tag("a", "b"));
            let patience = Patience {
                limit: std::time::Duration::ZERO,
                typical: None,
            };
            let work = client.work_requests(WorkKind::Identity);
            sendable(work.wait("w", "x", patience, |p| {
                assert_ne!(p.status, WorkStatus::Failed);
            }));
        }
        sendable(check);
        sendable(std::marker::PhantomData::<OciError>);
    }
}
