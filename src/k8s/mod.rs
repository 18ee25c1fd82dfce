//! The Kubernetes client: connection, discovery, server-side apply, lists by
//! owner label, readiness, diffs, and connections to pods.
//!
//! Every call goes through [`Kube::call`], which limits and repeats it; the
//! client library's own retries are off, so that progress and journal see each
//! attempt. All calls made here are idempotent, writes included: server-side
//! apply and delete may be repeated after a lost reply.
//!
//! Specified by the Kubernetes API concepts and server-side apply pages
//! (v1.34).

pub mod connect;
pub mod diff;
mod discover;
mod error;
mod exchange;
mod fieldpath;
pub mod forward;
mod judge;
pub mod kstatus;
pub mod logs;
pub mod object;
mod pods;
mod ready;
mod rollout;
#[cfg(test)]
pub(crate) mod script;
mod trouble;
mod write;
mod yielding;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::version::Info;
use kube::discovery::Discovery;
use tokio::sync::{Mutex, OnceCell, RwLock};

pub use self::connect::{Connect, Credentials, Kubeconfig, Login, TokenSource, credentials};
pub use self::diff::FieldChange;
pub use self::error::{Class, FieldConflict, K8sError};
pub use self::exchange::Line;
pub use self::forward::PodStream;
pub use self::kstatus::{Readiness, Rules};
pub use self::object::{ApplyOptions, Compared, ObjectRef, compared};
pub use self::pods::Pods;
pub use self::ready::NodeState;
pub use self::rollout::{Progress, WaitOptions};
pub use self::write::DeleteOptions;
pub use self::yielding::Yielded;
use crate::clock::{Backoff, Clock, Deadline};

/// How calls are limited and repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// How long one attempt may take, in real time.
    pub attempt: Duration,
    /// How long to go on repeating what may pass.
    pub retry: Duration,
    /// How long to go on repeating a 401. A cluster that has just become
    /// active refuses good tokens for a while.
    pub unauthorized: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            attempt: Duration::from_secs(30),
            retry: Duration::from_mins(2),
            unauthorized: Duration::ZERO,
        }
    }
}

/// A connection to one Kubernetes API server, cheap to clone.
#[derive(Clone)]
pub struct Kube {
    client: kube::Client,
    clock: Clock,
    patience: Patience,
    discovery: Arc<RwLock<Option<Arc<Discovery>>>>,
    discovering: Arc<Mutex<()>>,
    version: Arc<OnceCell<Info>>,
    /// Kinds whose definitions were seen before discovery shows them.
    learned: Arc<RwLock<Vec<(kube::core::ApiResource, kube::discovery::Scope)>>>,
}

impl std::fmt::Debug for Kube {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kube")
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}

impl Kube {
    /// However short the limit, this many attempts are made: on a fast clock
    /// the limit may be over before the first answer is there.
    const FEWEST_ATTEMPTS: u32 = 4;

    /// Wraps a client that is built already.
    pub fn new(client: kube::Client, clock: Clock, patience: Patience) -> Self {
        Self {
            client,
            clock,
            patience,
            discovery: Arc::default(),
            discovering: Arc::default(),
            version: Arc::default(),
            learned: Arc::default(),
        }
    }

    /// The client beneath, for streams that must not be repeated.
    pub fn client(&self) -> &kube::Client {
        &self.client
    }

    /// The same connection, with other limits for each call.
    #[must_use]
    pub fn with_patience(&self, patience: Patience) -> Self {
        Self {
            patience,
            ..self.clone()
        }
    }

    /// The clock that waits go by.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Makes a call until it succeeds, fails for good, or patience ends.
    /// `what` names it for people: `apply Component todo/statestore`.
    pub async fn call<T>(
        &self,
        what: &str,
        mut attempt: impl AsyncFnMut(kube::Client) -> Result<T, kube::Error>,
    ) -> Result<T, K8sError> {
        let mut attempts = self.attempts(what);
        loop {
            let attempt = attempt(self.client.clone());
            match self.attempt(what, attempt).await {
                Ok(value) => return Ok(value),
                Err(error) => attempts.after(error).await?,
            }
        }
    }

    /// One attempt, limited in real time: the far side's network does not go
    /// by our clock.
    async fn attempt<T>(
        &self,
        what: &str,
        attempt: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, K8sError> {
        let limit = self.patience.attempt;
        match tokio::time::timeout(limit, attempt).await {
            Ok(result) => result.map_err(|error| K8sError::new(what, error)),
            Err(_) => Err(K8sError::Silent {
                what: what.to_owned(),
                waited: limit,
            }),
        }
    }

    fn attempts<'a>(&'a self, what: &'a str) -> Attempts<'a> {
        Attempts {
            kube: self,
            what,
            started: self.clock.deadline(self.patience.retry),
            backoff: Backoff::new(Duration::from_millis(500), 2.0, Duration::from_secs(15)),
            made: 0,
        }
    }

    /// How long an error of this kind is worth repeating.
    fn patience_with(&self, error: &K8sError) -> Duration {
        match error.class() {
            Class::Transient | Class::Timeout | Class::Unreachable => self.patience.retry,
            Class::Unauthorized => self.patience.unauthorized,
            _ => Duration::ZERO,
        }
    }
}

/// The attempts at one call.
struct Attempts<'a> {
    kube: &'a Kube,
    what: &'a str,
    started: Deadline,
    backoff: Backoff,
    made: u32,
}

impl Attempts<'_> {
    /// Waits after a failure that may pass, or returns it.
    async fn after(&mut self, error: K8sError) -> Result<(), K8sError> {
        let limit = self.kube.patience_with(&error);
        self.within(limit, error).await
    }

    /// Waits after a failure that may pass within this time, or returns it.
    async fn within(&mut self, limit: Duration, error: K8sError) -> Result<(), K8sError> {
        self.made += 1;
        let spent = self.started.waited() >= limit && self.made >= Kube::FEWEST_ATTEMPTS;
        if limit.is_zero() || spent {
            return Err(error);
        }
        let (what, attempts) = (self.what, self.made);
        tracing::debug!(what, attempts, %error, "repeating a Kubernetes call");
        let clock = &self.kube.clock;
        let pause = self.backoff.next(clock).max(error.retry_after());
        Ok(clock.sleep(pause).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::script::{Script, json_status, ok};
    use super::*;
    use serde_json::json;

    async fn version(kube: &Kube) -> Result<String, K8sError> {
        kube.call("read the version", async |client| {
            client.apiserver_version().await
        })
        .await
        .map(|info| info.git_version)
    }

    fn info() -> serde_json::Value {
        json!({"major": "1", "minor": "34", "gitVersion": "v1.34.1", "gitCommit": "", "gitTreeState": "",
               "buildDate": "", "goVersion": "", "compiler": "", "platform": ""})
    }

    #[tokio::test]
    async fn what_may_pass_is_repeated() {
        let (kube, script) = Script::new()
            .answer(
                "GET /version",
                json_status(503, "ServiceUnavailable", "starting"),
            )
            .answer(
                "GET /version",
                json_status(429, "TooManyRequests", "slow down"),
            )
            .drop_connection("GET /version")
            .answer("GET /version", ok(&info()))
            .kube();
        assert_eq!(version(&kube).await.unwrap(), "v1.34.1");
        assert_eq!(script.seen().len(), 4);
    }

    #[tokio::test]
    async fn what_will_not_pass_is_not_repeated() {
        for (code, reason, class) in [
            (403, "Forbidden", Class::Denied),
            (401, "Unauthorized", Class::Unauthorized),
            (404, "NotFound", Class::NotFound),
            (409, "AlreadyExists", Class::Conflict),
            (422, "Invalid", Class::Invalid),
        ] {
            let (kube, script) = Script::new()
                .answer("GET /version", json_status(code, reason, "no"))
                .kube();
            let error = version(&kube).await.unwrap_err();
            assert_eq!(error.class(), class);
            assert_eq!(error.to_string(), "cannot read the version: no");
            assert_eq!(script.seen().len(), 1);
        }
    }

    #[tokio::test]
    async fn patience_ends() {
        let mut script = Script::new();
        for _ in 0..40 {
            script = script.answer(
                "GET /version",
                json_status(503, "ServiceUnavailable", "down"),
            );
        }
        let (kube, script) = script.kube();
        let error = version(&kube).await.unwrap_err();
        assert_eq!(error.class(), Class::Transient);
        assert!(
            (4..40).contains(&script.seen().len()),
            "{}",
            script.seen().len()
        );
    }

    #[tokio::test]
    async fn a_young_cluster_may_refuse_a_good_token() {
        let (kube, _) = Script::new()
            .answer(
                "GET /version",
                json_status(401, "Unauthorized", "Unauthorized"),
            )
            .answer("GET /version", ok(&info()))
            .kube();
        let young = Kube {
            patience: Patience {
                unauthorized: Duration::from_mins(1),
                ..Patience::default()
            },
            ..kube
        };
        assert_eq!(version(&young).await.unwrap(), "v1.34.1");
    }

    #[tokio::test]
    async fn a_silent_server_is_given_up() {
        let (kube, script) = Script::new().silence("GET /version").kube();
        let impatient = Kube {
            patience: Patience {
                attempt: Duration::from_millis(20),
                retry: Duration::ZERO,
                unauthorized: Duration::ZERO,
            },
            ..kube
        };
        let error = version(&impatient).await.unwrap_err();
        assert_eq!(error.class(), Class::Timeout);
        assert_eq!(
            error.to_string(),
            "cannot read the version: no answer within 0.0s"
        );
        assert_eq!(script.seen().len(), 1);
    }
}
