//! The HTTP client that floor 2 builds upon.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Extensions, HeaderMap, Method};
use reqwest::{Request, Response, Url};
use reqwest_middleware::{ClientWithMiddleware, Middleware, Next};

use super::retry::{About, Retry};
use super::wire::{Wire, peer};
use super::{
    Answer, Budget, Classify, Limiter, NetError, NetKind, Observer, Tries, Trust, TrustError,
    install_crypto,
};
use crate::clock::Clock;

/// How todoctl introduces itself.
pub const USER_AGENT: &str = concat!("todoctl/", env!("CARGO_PKG_VERSION"));

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const ATTEMPT_TIMEOUT: Duration = Duration::from_mins(1);
/// On a fast clock an attempt still needs some real time on a busy machine.
const SHORTEST_TIMEOUT: Duration = Duration::from_secs(5);
const BODY_LIMIT: usize = 16 * 1024 * 1024;
const AT_A_TIME: usize = 16;

/// Changes a request right before each attempt, for instance by signing it.
pub trait Prepare: Send + Sync {
    /// Prepares the request in place.
    fn prepare(&self, request: &mut Request) -> Result<(), Box<dyn Error + Send + Sync>>;
}

/// A request and what the retry loop should know about it.
#[derive(Clone)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// The full address.
    pub url: Url,
    /// Headers.
    pub headers: HeaderMap,
    /// The body; empty for none.
    pub body: Bytes,
    /// What is being done, for the trace and the observer.
    pub operation: String,
    /// Whether sending it twice does no harm.
    pub repeatable: bool,
    /// The service's own opinion on outcomes.
    pub classifier: Option<Arc<dyn Classify>>,
    /// Who is told about repeated attempts.
    pub observer: Option<Observer>,
    /// Less patience than the classifiers have.
    pub at_most: Option<Budget>,
    /// A shorter body than the client's limit allows.
    pub body_limit: Option<usize>,
}

impl Call {
    /// A call that is repeatable when its method is, and has no body.
    pub fn new(method: Method, url: Url, operation: impl Into<String>) -> Self {
        Self {
            repeatable: method.is_idempotent(),
            method,
            url,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            operation: operation.into(),
            classifier: None,
            observer: None,
            at_most: None,
            body_limit: None,
        }
    }
}

/// Settings of an [`Http`] client.
pub struct HttpBuilder {
    clock: Clock,
    trust: Trust,
    limiter: Limiter,
    prepare: Option<Arc<dyn Prepare>>,
    attempt_timeout: Duration,
    body_limit: usize,
    loopback: bool,
}

impl HttpBuilder {
    /// The usual settings.
    pub fn new(clock: Clock) -> Self {
        Self {
            attempt_timeout: clock.real(ATTEMPT_TIMEOUT).max(SHORTEST_TIMEOUT),
            clock,
            trust: Trust::System,
            limiter: Limiter::new(AT_A_TIME),
            prepare: None,
            body_limit: BODY_LIMIT,
            loopback: false,
        }
    }

    /// Whom to trust.
    #[must_use]
    pub fn trust(self, trust: Trust) -> Self {
        Self { trust, ..self }
    }

    /// What happens to each attempt before it is sent.
    #[must_use]
    pub fn prepare(self, prepare: Arc<dyn Prepare>) -> Self {
        Self {
            prepare: Some(prepare),
            ..self
        }
    }

    /// How many calls may be in flight.
    #[must_use]
    pub fn limiter(self, limiter: Limiter) -> Self {
        Self { limiter, ..self }
    }

    /// Real time that one attempt may take, its body included.
    #[must_use]
    pub fn attempt_timeout(self, attempt_timeout: Duration) -> Self {
        Self {
            attempt_timeout,
            ..self
        }
    }

    /// The longest body that is read.
    #[must_use]
    pub fn body_limit(self, body_limit: usize) -> Self {
        Self { body_limit, ..self }
    }

    /// Only this machine is spoken to: no proxy from the environment.
    #[must_use]
    pub fn loopback(self) -> Self {
        Self {
            loopback: true,
            ..self
        }
    }

    /// Builds the client.
    pub fn build(self) -> Result<Http, TrustError> {
        install_crypto();
        let mut builder = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(self.attempt_timeout);
        if self.loopback {
            builder = builder.no_proxy();
        }
        let client = self
            .trust
            .apply(builder)?
            .build()
            .map_err(TrustError::Unusable)?;
        let mut stack = reqwest_middleware::ClientBuilder::new(client)
            .with(Retry {
                clock: self.clock.clone(),
                limiter: self.limiter,
            })
            .with(Wire {
                clock: self.clock,
                body_limit: self.body_limit,
            });
        if let Some(prepare) = self.prepare {
            stack = stack.with(Preparing(prepare));
        }
        Ok(Http {
            stack: stack.build(),
        })
    }
}

/// An HTTP client, cheap to clone.
#[derive(Debug, Clone)]
pub struct Http {
    stack: ClientWithMiddleware,
}

impl Http {
    /// Sends a call, repeating it as its classifiers say. An answer of any
    /// status is an answer; [`NetError`] means that there was none.
    pub async fn send(&self, call: Call) -> Result<(Answer, Tries), NetError> {
        let peer = peer(&call.url);
        let mut request = Request::new(call.method, call.url);
        *request.headers_mut() = call.headers;
        if !call.body.is_empty() {
            *request.body_mut() = Some(call.body.into());
        }
        let mut extensions = Extensions::new();
        extensions.insert(About {
            operation: call.operation,
            repeatable: call.repeatable,
            classifier: call.classifier,
            observer: call.observer,
            at_most: call.at_most,
            body_limit: call.body_limit,
        });
        let response = self
            .stack
            .execute_with_extensions(request, &mut extensions)
            .await
            .map_err(|error| NetError::from_stack(error, &peer))?;
        let tries = response.extensions().get::<Tries>().copied();
        let answer = Answer::read(response, usize::MAX).await?;
        Ok((answer, tries.unwrap_or_default()))
    }
}

struct Preparing(Arc<dyn Prepare>);

#[async_trait::async_trait]
impl Middleware for Preparing {
    async fn handle(
        &self,
        mut request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        let peer = peer(request.url());
        self.0.prepare(&mut request).map_err(|error| {
            reqwest_middleware::Error::middleware(
                NetError::new(NetKind::Request, peer).because(error),
            )
        })?;
        next.run(request, extensions).await
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::net::TlsProblem;
    use crate::net::testing::{Act, Server, reply};

    fn clock() -> Clock {
        Clock::new(1000.0, CancellationToken::new())
    }

    fn nobody() -> HttpBuilder {
        let mut params = rcgen::CertificateParams::new(vec!["other".into()]).unwrap();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, "another authority");
        let key = rcgen::KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        HttpBuilder::new(clock())
            .loopback()
            .trust(Trust::Only(pem.into_bytes()))
    }

    async fn failure(http: HttpBuilder, url: &str) -> NetError {
        let call = Call::new(Method::GET, Url::parse(url).unwrap(), "look");
        http.build().unwrap().send(call).await.unwrap_err()
    }

    #[tokio::test]
    async fn an_unknown_issuer_is_told_at_once() {
        let server = Server::start_tls(vec![reply(200, "").into()]).await;
        let error = failure(nobody(), &server.base()).await;
        assert_eq!(error.kind, NetKind::Tls(TlsProblem::UnknownIssuer));
        assert_eq!(error.tries.attempts, 1);
        assert!(
            error
                .to_string()
                .ends_with("its certificate is signed by nobody this machine trusts")
        );
        assert!(error.hint().unwrap().contains("OCI_CLI_CERT_BUNDLE"));
        assert!(error.source().is_some());
    }

    #[tokio::test]
    async fn a_port_where_nobody_listens_is_tried_again_and_told() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let error = failure(nobody(), &format!("http://127.0.0.1:{port}/")).await;
        assert_eq!(error.kind, NetKind::Refused);
        assert_eq!(error.tries.attempts, 8);
        assert!(error.to_string().starts_with(&format!(
            "connection to 127.0.0.1:{port} refused (8 attempts in "
        )));
    }

    #[tokio::test]
    async fn a_name_without_address_is_told() {
        let error = failure(nobody(), "http://nowhere.invalid/").await;
        assert_eq!(error.kind, NetKind::Dns);
        assert!(error.hint().unwrap().contains("`nowhere.invalid`"));
    }

    #[tokio::test]
    async fn silence_is_a_timeout() {
        let server = Server::start([Act::Hang]).await;
        let http = nobody().attempt_timeout(Duration::from_millis(40));
        let error = failure(http, &server.base()).await;
        assert_eq!(error.kind, NetKind::Timeout);
    }

    #[tokio::test]
    async fn redirects_are_not_followed() {
        let server = Server::start([reply(302, "").with("location", "http://nowhere.invalid/")]);
        let server = server.await;
        let call = Call::new(Method::GET, Url::parse(&server.base()).unwrap(), "look");
        let (answer, _) = nobody().build().unwrap().send(call).await.unwrap();
        assert_eq!(answer.status.as_u16(), 302);
        let agent = server.seen()[0].header("user-agent").map(str::to_owned);
        assert_eq!(agent.as_deref(), Some(USER_AGENT));
    }

    #[tokio::test]
    async fn throttling_leaves_fewer_calls_in_flight() {
        let server = Server::start([reply(429, ""), reply(200, "")]).await;
        let limiter = Limiter::new(8);
        let http = nobody().limiter(limiter.clone()).build().unwrap();
        let call = Call::new(Method::POST, Url::parse(&server.base()).unwrap(), "look");
        let (answer, tries) = http.send(call).await.unwrap();
        assert_eq!((answer.status.as_u16(), tries.attempts), (200, 2));
        assert_eq!(limiter.allowed(), 4);
    }

    #[test]
    fn bad_certificates_are_told() {
        let text = b"no certificate".to_vec();
        let error = HttpBuilder::new(clock()).trust(Trust::Only(text)).build();
        assert!(matches!(error, Err(TrustError::Empty)));
        let error = Trust::with_file("/nowhere/ca.pem".into()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot read the CA certificates in /nowhere/ca.pem"
        );
    }
}
