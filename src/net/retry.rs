//! The retry loop: one policy, spoken by small classifiers.
//!
//! Each attempt's outcome is shown to the classifiers in order, generic first
//! and specific last; the last one with an opinion decides. Waits go through
//! the clock, so they follow its rate and end when the run is cancelled.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{Extensions, Method, StatusCode};
use reqwest::{Request, Response};
use reqwest_middleware::{Middleware, Next};

use super::wire::peer;
use super::{Answer, Limiter, NetError, NetKind};
use crate::clock::{Backoff, Clock, human};

/// The first wait between attempts, before jitter.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait that back-off alone leads to.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// How often and for how long a request is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Attempts in all, the first included.
    pub attempts: u32,
    /// Time in attempts and waits until the last one starts.
    pub total: Duration,
}

impl Budget {
    /// Eight attempts within ten minutes: what the service's own clients do.
    pub const USUAL: Self = Self {
        attempts: 8,
        total: Duration::from_mins(10),
    };

    /// The smaller of both in each respect.
    fn min(self, other: Self) -> Self {
        Self {
            attempts: self.attempts.min(other.attempts),
            total: self.total.min(other.total),
        }
    }
}

/// A wish to try again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Again {
    /// Why, for people: `too many requests`.
    pub reason: String,
    /// The wait that the other side asked for.
    pub after: Option<Duration>,
    /// How far to go with it.
    pub budget: Budget,
    /// Whether the other side said "slow down".
    pub throttled: bool,
}

impl Again {
    /// Tries again for `reason` within the usual budget.
    pub fn usual(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            after: None,
            budget: Budget::USUAL,
            throttled: false,
        }
    }
}

/// What a classifier makes of an outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Somebody else should say.
    NoOpinion,
    /// Try again.
    Retry(Again),
    /// Hand the outcome to the caller.
    Stop,
}

/// What an attempt brought: an answer of any status, or none.
pub type Outcome = Result<Answer, NetError>;

/// One attempt, as classifiers see it.
#[derive(Debug)]
pub struct Attempt<'a> {
    /// The method of the request.
    pub method: &'a Method,
    /// Whether sending it twice does no harm.
    pub repeatable: bool,
    /// What it brought.
    pub outcome: &'a Outcome,
}

/// Decides whether a request is sent again.
pub trait Classify: Send + Sync {
    /// An opinion on the attempt.
    fn classify(&self, attempt: &Attempt<'_>) -> Verdict;
}

/// The general classifier: what holds for any HTTP service.
#[derive(Debug, Clone, Copy, Default)]
pub struct Transport;

impl Classify for Transport {
    fn classify(&self, attempt: &Attempt<'_>) -> Verdict {
        match attempt.outcome {
            Err(error) if error.is_transient() && (attempt.repeatable || error.is_unsent()) => {
                Verdict::Retry(Again::usual(reason(&error.kind)))
            }
            Err(_) => Verdict::Stop,
            Ok(answer) => classify_status(answer.status, attempt.repeatable),
        }
    }
}

fn reason(kind: &NetKind) -> &'static str {
    match kind {
        NetKind::Refused => "connection refused",
        NetKind::Dns => "name not found",
        NetKind::ConnectTimeout | NetKind::Timeout => "no answer in time",
        NetKind::Dropped => "connection dropped",
        _ => "no connection",
    }
}

fn classify_status(status: StatusCode, repeatable: bool) -> Verdict {
    match status {
        StatusCode::TOO_MANY_REQUESTS => Verdict::Retry(Again {
            throttled: true,
            ..Again::usual("too many requests")
        }),
        StatusCode::NOT_IMPLEMENTED => Verdict::Stop,
        status if status.is_server_error() && repeatable => {
            Verdict::Retry(Again::usual(format!("status {}", status.as_u16())))
        }
        _ => Verdict::Stop,
    }
}

/// How often a request was tried, and for how long.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tries {
    /// Attempts made.
    pub attempts: u32,
    /// Time spent in attempts and waits.
    pub waited: Duration,
}

impl fmt::Display for Tries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.attempts > 1 {
            write!(f, " ({} attempts in {})", self.attempts, human(self.waited))?;
        }
        Ok(())
    }
}

/// A request about to be repeated, for whoever tells the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retrying {
    /// What is being done, in the client's words.
    pub operation: String,
    /// Why it is tried again.
    pub reason: String,
    /// The attempt that failed, counted from one.
    pub attempt: u32,
    /// How long it now waits.
    pub wait: Duration,
}

/// Somebody who wants to know about repeated attempts.
pub type Observer = Arc<dyn Fn(&Retrying) + Send + Sync>;

/// What one request tells the layers below about itself.
#[derive(Clone, Default)]
pub(super) struct About {
    pub(super) operation: String,
    pub(super) repeatable: bool,
    pub(super) classifier: Option<Arc<dyn Classify>>,
    pub(super) observer: Option<Observer>,
    pub(super) at_most: Option<Budget>,
    pub(super) body_limit: Option<usize>,
}

/// The layer that repeats requests.
pub(super) struct Retry {
    pub(super) clock: Clock,
    pub(super) limiter: Limiter,
}

#[async_trait::async_trait]
impl Middleware for Retry {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        let about = extensions.get::<About>().cloned().unwrap_or_default();
        let peer = peer(request.url());
        self.run(&request, extensions, next, &about, &peer)
            .await
            .map_err(reqwest_middleware::Error::middleware)
    }
}

impl Retry {
    async fn run(
        &self,
        request: &Request,
        extensions: &mut Extensions,
        next: Next<'_>,
        about: &About,
        peer: &str,
    ) -> Result<Response, NetError> {
        let mut spent = Duration::ZERO;
        let mut backoff = Backoff::new(FIRST_WAIT, 2.0, LONGEST_WAIT);
        let mut attempts = 0;
        loop {
            attempts += 1;
            let started = self.clock.elapsed();
            let outcome = self.attempt(request, extensions, &next, peer).await?;
            // Sockets do not run faster with the clock, so attempts count in
            // real time and only the waits in the clock's.
            spent += self
                .clock
                .real(self.clock.elapsed().saturating_sub(started));
            let tries = Tries {
                attempts,
                waited: spent,
            };
            let verdict = about.judge(request.method(), &outcome);
            self.adapt(&outcome, &verdict);
            let Verdict::Retry(again) = verdict else {
                return finish(outcome, tries);
            };
            let mut wait = backoff.next(&self.clock);
            if let Some(asked) = again.after.or_else(|| self.asked_wait(&outcome)) {
                wait = wait.max(asked);
            }
            let budget = about.at_most.map_or(again.budget, |b| b.min(again.budget));
            if attempts >= budget.attempts || tries.waited + wait > budget.total {
                return finish(outcome, tries);
            }
            about.report(again.reason, attempts, wait);
            spent += wait;
            self.clock.sleep(wait).await.map_err(|cancelled| {
                NetError::new(NetKind::Cancelled, peer)
                    .because(cancelled)
                    .after(tries)
            })?;
        }
    }

    async fn attempt(
        &self,
        request: &Request,
        extensions: &mut Extensions,
        next: &Next<'_>,
        peer: &str,
    ) -> Result<Outcome, NetError> {
        let cancelled = |e| NetError::new(NetKind::Cancelled, peer).because(e);
        let _pass = self.limiter.enter(&self.clock).await.map_err(cancelled)?;
        let Some(copy) = request.try_clone() else {
            return Err(NetError::new(NetKind::Request, peer));
        };
        Ok(match next.clone().run(copy, extensions).await {
            // The wire layer buffered it: there is nothing left to fail or to bound.
            Ok(response) => Answer::read(response, usize::MAX).await,
            Err(error) => Err(NetError::from_stack(error, peer)),
        })
    }

    fn adapt(&self, outcome: &Outcome, verdict: &Verdict) {
        match (outcome, verdict) {
            (_, Verdict::Retry(again)) if again.throttled => self.limiter.throttled(),
            (Ok(_), Verdict::Stop | Verdict::NoOpinion) => self.limiter.went_well(),
            _ => {}
        }
    }

    /// `retry-after`: seconds, or a date.
    fn asked_wait(&self, outcome: &Outcome) -> Option<Duration> {
        let value = outcome.as_ref().ok()?.header("retry-after")?;
        if let Ok(seconds) = value.trim().parse::<u64>() {
            return Some(Duration::from_secs(seconds));
        }
        let date = jiff::fmt::rfc2822::parse(value).ok()?.timestamp();
        Duration::try_from(date.duration_since(self.clock.now())).ok()
    }
}

impl About {
    fn judge(&self, method: &Method, outcome: &Outcome) -> Verdict {
        let attempt = Attempt {
            method,
            repeatable: self.repeatable,
            outcome,
        };
        let general = Transport.classify(&attempt);
        match self.classifier.as_ref().map(|c| c.classify(&attempt)) {
            None | Some(Verdict::NoOpinion) => general,
            Some(specific) => specific,
        }
    }

    fn report(&self, reason: String, attempt: u32, wait: Duration) {
        tracing::debug!(
            target: "todoctl::wire",
            operation = self.operation,
            reason,
            attempt,
            wait = human(wait),
            "trying again",
        );
        if let Some(observer) = &self.observer {
            observer(&Retrying {
                operation: self.operation.clone(),
                reason,
                attempt,
                wait,
            });
        }
    }
}

fn finish(outcome: Outcome, tries: Tries) -> Result<Response, NetError> {
    match outcome {
        Ok(answer) => {
            let mut response = answer.into_response();
            response.extensions_mut().insert(tries);
            Ok(response)
        }
        Err(error) => Err(error.after(tries)),
    }
}
