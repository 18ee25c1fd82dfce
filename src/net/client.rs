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
    Answer, Classify, Limiter, NetError, NetKind, Observer, Tries, Trust, TrustError,
    install_crypto,
};
use crate::clock::Clock;

/// How todoctl introduces itself.
pub const USER_AGENT: &str = concat!("todoctl/", env!("CARGO_PKG_VERSION"));

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(60);
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
