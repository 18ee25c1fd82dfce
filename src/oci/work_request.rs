//! Work requests: how the service tells what became of a long operation.

use std::convert::Infallible;
use std::time::Duration;

use http::Method;
use jiff::Timestamp;
use serde::Deserialize;

use super::call::{Deed, Request};
use super::class::{is_capacity, is_unregistered};
use super::network::short;
use super::types::{null_as_default, words};
use super::{Class, Client, OciError, Service};
use crate::clock::{WaitError, human};

/// Pause between looks in the first minute.
const EAGER: Duration = Duration::from_secs(5);
/// How long that lasts.
const EAGER_FOR: Duration = Duration::from_mins(1);
/// Pause afterwards, unless the service names one.
const CALM: Duration = Duration::from_secs(15);
/// How long a new work request may be unknown.
const UNSEEN_FOR: Duration = Duration::from_mins(1);
/// Lines of a failed work request's log that are kept.
const LOG_LINES: usize = 10;

/// An operation that goes on after its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The work request that carries it out.
    pub work_request: String,
    /// The service's name for the request.
    pub request_id: Option<String>,
}

/// Whose work request it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkKind<'a> {
    /// The container engine's; its logs are kept per compartment.
    ContainerEngine {
        /// The compartment.
        compartment: &'a str,
    },
    /// Identity's: compartments.
    Identity,
    /// The load balancer service's.
    LoadBalancer,
    /// The network load balancer service's; its logs are kept per compartment.
    NetworkLoadBalancer {
        /// The compartment.
        compartment: &'a str,
    },
}

words! {
    /// How far a work request is.
    WorkStatus {
        /// Not begun.
        Accepted = "ACCEPTED",
        /// Under way.
        InProgress = "IN_PROGRESS",
        /// Failed.
        Failed = "FAILED",
        /// Done.
        Succeeded = "SUCCEEDED",
        /// Being given up.
        Canceling = "CANCELING",
        /// Given up.
        Canceled = "CANCELED",
    }
}

impl WorkStatus {
    /// Whether it will not change any more.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Failed | Self::Succeeded | Self::Canceled)
    }
}

/// An object that a work request is about.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Affected {
    /// What happens to it: `CREATED`, `IN_PROGRESS`, …
    #[serde(default, deserialize_with = "null_as_default")]
    pub action_type: String,
    /// What it is: `cluster`, `nodepool`.
    #[serde(default, deserialize_with = "null_as_default")]
    pub entity_type: String,
    /// Its OCID.
    #[serde(default, deserialize_with = "null_as_default")]
    pub identifier: String,
}

/// A work request.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkRequest {
    /// Its OCID.
    pub id: String,
    /// What it does: `CLUSTER_CREATE`.
    #[serde(default, alias = "type", deserialize_with = "null_as_default")]
    pub operation_type: String,
    /// How far it is. Load balancers call it their lifecycle state.
    #[serde(alias = "lifecycleState")]
    pub status: WorkStatus,
    /// How far in percent, where the service tells.
    #[serde(default)]
    pub percent_complete: Option<f64>,
    /// What it is about.
    #[serde(default, deserialize_with = "null_as_default")]
    pub resources: Vec<Affected>,
    /// When it was asked for.
    #[serde(default)]
    pub time_accepted: Option<Timestamp>,
    /// When it ended.
    #[serde(default)]
    pub time_finished: Option<Timestamp>,
    /// What went wrong, where it is not kept apart.
    #[serde(default, alias = "errorDetails", deserialize_with = "null_as_default")]
    pub errors: Vec<WorkError>,
}

impl WorkRequest {
    /// The OCID of the object of a type, such as `cluster`, as soon as the
    /// service knows it.
    pub fn identifier(&self, entity_type: &str) -> Option<&str> {
        self.resources
            .iter()
            .find(|r| r.entity_type.eq_ignore_ascii_case(entity_type) && !r.identifier.is_empty())
            .map(|r| r.identifier.as_str())
    }
}

/// Something that went wrong in a work request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkError {
    /// The code.
    #[serde(default, alias = "errorCode", deserialize_with = "null_as_default")]
    pub code: String,
    /// The message.
    #[serde(default, deserialize_with = "null_as_default")]
    pub message: String,
}

/// A line of a work request's log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct WorkLog {
    /// The line.
    #[serde(default, deserialize_with = "null_as_default")]
    pub message: String,
    /// When.
    #[serde(default)]
    pub timestamp: Option<Timestamp>,
}

/// How long to wait for a work request.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// At most.
    pub limit: Duration,
    /// Usually, to guess the percentage where the service does not tell.
    pub typical: Option<Duration>,
}

/// How far a work request is, for whoever tells the user.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// How far.
    pub status: WorkStatus,
    /// Time since the wait began.
    pub elapsed: Duration,
    /// How far in percent, told or guessed. A guess stays below 100.
    pub percent: Option<u8>,
    /// The last line of its log.
    pub last_log: Option<String>,
    /// What it is about, as far as it is known.
    pub resources: Vec<Affected>,
}

/// Calls about the work requests of one service.
#[derive(Debug, Clone, Copy)]
pub struct WorkRequests<'c> {
    client: &'c Client,
    kind: WorkKind<'c>,
}

impl Client {
    /// The work requests of a service.
    pub fn work_requests<'c>(&'c self, kind: WorkKind<'c>) -> WorkRequests<'c> {
        WorkRequests { client: self, kind }
    }
}

impl<'c> WorkRequests<'c> {
    fn request(self, client: &'c Client, tail: &[&str]) -> Request<'c> {
        let (service, collection) = match self.kind {
            WorkKind::ContainerEngine { .. } => (Service::ContainerEngine, "workRequests"),
            WorkKind::Identity => (Service::Identity, "workRequests"),
            WorkKind::LoadBalancer => (Service::LoadBalancer, "loadBalancerWorkRequests"),
            WorkKind::NetworkLoadBalancer { .. } => (Service::NetworkLoadBalancer, "workRequests"),
        };
        let path: Vec<&str> = std::iter::once(collection)
            .chain(tail.iter().copied())
            .collect();
        client.request(Method::GET, service, &path)
    }

    /// A work request.
    pub async fn get(self, id: &str) -> Result<WorkRequest, OciError> {
        Ok(self.look(self.client, id).await?.0)
    }

    async fn look(
        self,
        client: &Client,
        id: &str,
    ) -> Result<(WorkRequest, Option<Duration>), OciError> {
        let this = WorkRequests {
            client,
            kind: self.kind,
        };
        this.request(client, &[id])
            .named("GetWorkRequest", format!("read work request {}", short(id)))
            .polled()
            .await
    }

    /// The newest work requests of the container engine about an object, or
    /// all of the compartment.
    pub async fn list(self, resource: Option<&str>) -> Result<Vec<WorkRequest>, OciError> {
        let WorkKind::ContainerEngine { compartment } = self.kind else {
            return Ok(Vec::new());
        };
        self.request(self.client, &[])
            .named("ListWorkRequests", "list the work requests")
            .query("compartmentId", compartment)
            .query_opt("resourceId", resource)
            .query("sortBy", "TIME_ACCEPTED")
            .query("sortOrder", "DESC")
            .list()
            .await
    }

    /// What went wrong in a work request, where it is kept apart from it.
    pub async fn errors(self, id: &str) -> Result<Vec<WorkError>, OciError> {
        let request = self.request(self.client, &[id, "errors"]).named(
            "ListWorkRequestErrors",
            format!("read the errors of work request {}", short(id)),
        );
        match self.kind {
            WorkKind::ContainerEngine { compartment } => {
                request.query("compartmentId", compartment).list().await
            }
            WorkKind::NetworkLoadBalancer { compartment } => {
                request.query("compartmentId", compartment).items().await
            }
            WorkKind::Identity | WorkKind::LoadBalancer => Ok(self.get(id).await?.errors),
        }
    }

    /// The log of a work request, oldest line first. Load balancers and
    /// compartments have none.
    pub async fn logs(self, id: &str) -> Result<Vec<WorkLog>, OciError> {
        let request = self.request(self.client, &[id, "logs"]).named(
            "ListWorkRequestLogs",
            format!("read the log of work request {}", short(id)),
        );
        let mut lines: Vec<WorkLog> = match self.kind {
            WorkKind::ContainerEngine { compartment } => {
                request.query("compartmentId", compartment).list().await?
            }
            WorkKind::NetworkLoadBalancer { compartment } => {
                request.query("compartmentId", compartment).items().await?
            }
            WorkKind::Identity | WorkKind::LoadBalancer => Vec::new(),
        };
        lines.sort_by_key(|line| line.timestamp);
        Ok(lines)
    }

    /// Waits until a work request succeeds, and tells how it goes. `doing` is
    /// what it does, for errors: "create cluster `todo`".
    ///
    /// It fails with the work request's own errors and log when that fails, as
    /// [`Class::Timeout`] when it takes too long, and as [`Class::Cancelled`]
    /// when the run is cancelled; the work request goes on in the last two.
    pub async fn wait(
        self,
        id: &str,
        doing: &str,
        patience: Patience,
        mut progress: impl FnMut(&Progress) + Send,
    ) -> Result<WorkRequest, OciError> {
        let clock = self.client.clock();
        let deadline = clock.deadline(patience.limit);
        let patient = self.client.creating(clock.deadline(UNSEEN_FOR));
        let deed = Deed {
            operation: "GetWorkRequest",
            doing: doing.to_owned(),
            subject: None,
        };
        loop {
            let (work, asked) = self.look(&patient, id).await?;
            match work.status {
                WorkStatus::Succeeded => return Ok(work),
                WorkStatus::Failed | WorkStatus::Canceled => {
                    return Err(self.failure(&deed, &work).await);
                }
                _ => {}
            }
            let elapsed = deadline.waited();
            let seen = Progress {
                elapsed,
                percent: percent(&work, elapsed, patience.typical),
                last_log: self.last_log(id).await,
                resources: work.resources,
                status: work.status,
            };
            progress(&seen);
            let pause = if elapsed < EAGER_FOR {
                EAGER
            } else {
                asked.unwrap_or(CALM)
            };
            deadline
                .pause(describe(&seen), pause)
                .await
                .map_err(|end| unfinished(&deed, id, end))?;
        }
    }

    /// The log is a comfort: without it the wait goes on.
    async fn last_log(self, id: &str) -> Option<String> {
        let lines = self.logs(id).await.ok()?;
        lines.into_iter().last().map(|line| line.message)
    }

    async fn failure(self, deed: &Deed, work: &WorkRequest) -> OciError {
        let errors = match self.errors(&work.id).await {
            Ok(errors) if !errors.is_empty() => errors,
            _ => work.errors.clone(),
        };
        let mut log: Vec<String> = self
            .logs(&work.id)
            .await
            .unwrap_or_default()
            .into_iter()
            .map(|line| line.message)
            .collect();
        log.drain(..log.len().saturating_sub(LOG_LINES));
        let messages: Vec<&str> = errors.iter().map(|e| e.message.as_str()).collect();
        let message = if messages.is_empty() {
            format!("work request {} ended as {}", short(&work.id), work.status)
        } else {
            messages.join("; ")
        };
        let code = errors.first().map(|e| e.code.clone());
        let class = classify(work, &errors);
        OciError::new(deed, class, message).with_log(code.filter(|c| !c.is_empty()), log)
    }
}

fn classify(work: &WorkRequest, errors: &[WorkError]) -> Class {
    let says = |needle: &str| {
        errors
            .iter()
            .any(|e| e.message.contains(needle) || e.code.contains(needle))
    };
    if work.status == WorkStatus::Canceled {
        return Class::Conflict;
    }
    if errors.iter().any(|e| is_capacity(&e.message)) {
        Class::Capacity
    } else if says("QuotaExceeded") {
        Class::Quota
    } else if says("LimitExceeded") {
        Class::Limit
    } else if errors.iter().any(|e| is_unregistered(&e.message)) {
        Class::Timeout
    } else if says("NotAuthorized") {
        Class::Denied
    } else {
        Class::Transient
    }
}

fn unfinished(deed: &Deed, id: &str, end: WaitError<Infallible>) -> OciError {
    match end {
        WaitError::Cancelled(_) => OciError::new(
            deed,
            Class::Cancelled,
            format!("interrupted; work request {} goes on", short(id)),
        ),
        WaitError::TimedOut { waited, last } => OciError::new(
            deed,
            Class::Timeout,
            format!("no end after {}, last seen {last}", human(waited)),
        ),
        WaitError::Failed(never) => match never {},
    }
}

fn describe(progress: &Progress) -> String {
    match &progress.last_log {
        Some(line) => format!("{}: {line}", progress.status),
        None => progress.status.to_string(),
    }
}

/// What the service tells, else what the usual time lets guess.
fn percent(work: &WorkRequest, elapsed: Duration, typical: Option<Duration>) -> Option<u8> {
    let share = match work.percent_complete {
        Some(told) => told / 100.0,
        None => (elapsed.as_secs_f64() / typical?.as_secs_f64()).min(0.95),
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to 0..=100 first"
    )]
    Some((share * 100.0).clamp(0.0, 100.0) as u8)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::net::testing::{Reply, Server, error, reply};
    use crate::oci::testing::{client, fast_clock};

    const ID: &str = "ocid1.clustersworkrequest.oc1.eu-frankfurt-1.aaaaaaaawork01";
    const OKE: WorkKind<'_> = WorkKind::ContainerEngine { compartment: "c" };
    const PATIENCE: Patience = Patience {
        limit: Duration::from_hours(1),
        typical: Some(Duration::from_mins(8)),
    };

    fn work(status: &str) -> Reply {
        let body = json!({
            "id": ID,
            "operationType": "NODEPOOL_CREATE",
            "status": status,
            "resources": [{"actionType": "IN_PROGRESS", "entityType": "NodePool", "identifier": "np1"}],
            "timeAccepted": "2026-02-03T04:05:06Z",
            "timeFinished": null,
        });
        reply(200, body.to_string())
    }

    fn rows(rows: &Value) -> Reply {
        reply(200, rows.to_string())
    }

    fn log() -> Reply {
        rows(&json!([
            {"message": "second", "timestamp": "2026-02-03T04:06:06Z"},
            {"message": "first", "timestamp": "2026-02-03T04:05:06.5Z"},
        ]))
    }

    async fn wait(
        script: Vec<Reply>,
        patience: Patience,
    ) -> (Result<WorkRequest, OciError>, Vec<Progress>, Vec<String>) {
        let server = Server::start(script).await;
        let client = client(&server, fast_clock());
        let mut told = Vec::new();
        let doing = "create node pool `a1`";
        let requests = client.work_requests(OKE);
        let result = requests
            .wait(ID, doing, patience, |p| told.push(p.clone()))
            .await;
        let lines = server.seen().into_iter().map(|s| s.line).collect();
        (result, told, lines)
    }

    #[tokio::test]
    async fn progress_is_told_until_the_work_is_done() {
        let script = vec![
            error(404, "NotAuthorizedOrNotFound", "not yet"),
            work("ACCEPTED"),
            rows(&json!([])),
            work("IN_PROGRESS").with("retry-after", "7"),
            log(),
            work("SUCCEEDED"),
        ];
        let (result, told, lines) = wait(script, PATIENCE).await;
        let work = result.unwrap();
        assert_eq!(work.identifier("nodepool"), Some("np1"));
        assert_eq!(work.identifier("cluster"), None);
        let statuses: Vec<&WorkStatus> = told.iter().map(|p| &p.status).collect();
        assert_eq!(statuses, [&WorkStatus::Accepted, &WorkStatus::InProgress]);
        assert_eq!(told[0].last_log, None);
        assert_eq!(told[1].last_log.as_deref(), Some("second"));
        assert!(told[1].percent > told[0].percent);
        assert!(lines[2].ends_with(&format!("/workRequests/{ID}/logs?compartmentId=c")));
    }

    #[tokio::test]
    async fn a_failure_comes_with_its_errors_and_log() {
        let cases = [
            (
                "InternalError",
                "(500, InternalError, false) Out of host capacity.",
                Class::Capacity,
            ),
            (
                "InternalError",
                "1 node(s) register timeout",
                Class::Timeout,
            ),
            ("LimitExceeded", "standard-a1-core-count", Class::Limit),
            ("InternalError", "something", Class::Transient),
        ];
        for (code, message, class) in cases {
            let errors = json!([{"code": code, "message": message, "timestamp": "x"}]);
            let script = vec![work("FAILED"), rows(&errors), log()];
            let error = wait(script, PATIENCE).await.0.unwrap_err();
            assert_eq!(error.class, class);
            assert_eq!(error.log, ["first", "second"]);
            assert_eq!(
                error.to_string(),
                format!(
                    "could not create node pool `a1`: {} ({code})",
                    message.trim_end_matches('.')
                )
            );
        }
    }

    #[tokio::test]
    async fn work_that_never_ends_times_out_with_what_was_seen_last() {
        let patience = Patience {
            limit: Duration::from_secs(30),
            typical: None,
        };
        // The last answer repeats; it serves as work request and as log.
        let (result, told, _) = wait(vec![work("IN_PROGRESS")], patience).await;
        let error = result.unwrap_err();
        assert_eq!(error.class, Class::Timeout);
        assert!(
            error.to_string().ends_with("last seen IN_PROGRESS"),
            "{error}"
        );
        assert!(told.iter().all(|p| p.percent.is_none()));
    }

    #[tokio::test]
    async fn cancellation_leaves_the_work_running() {
        let server = Server::start([work("IN_PROGRESS")]).await;
        let clock = crate::clock::Clock::default();
        let cancel = clock.cancellation().clone();
        let client = client(&server, clock);
        let error = client
            .work_requests(OKE)
            .wait(ID, "create cluster `todo`", PATIENCE, |_| cancel.cancel())
            .await
            .unwrap_err();
        assert!(error.is_cancelled());
        assert!(error.to_string().ends_with("work request …work01 goes on"));
    }

    #[test]
    fn other_services_work_requests_are_read_too() {
        let balancer = json!({
            "id": "w", "type": "DeleteLoadBalancer", "lifecycleState": "FAILED",
            "errorDetails": [{"errorCode": "BAD_INPUT", "message": "no"}],
        });
        let work: WorkRequest = serde_json::from_value(balancer).unwrap();
        assert_eq!(work.status, WorkStatus::Failed);
        assert_eq!(work.operation_type, "DeleteLoadBalancer");
        assert_eq!(work.errors[0].code, "BAD_INPUT");
        let compartment = json!({
            "id": "w", "operationType": "DELETE_COMPARTMENT", "status": "IN_PROGRESS",
            "percentComplete": 40.0, "errors": null,
        });
        let work: WorkRequest = serde_json::from_value(compartment).unwrap();
        assert_eq!(percent(&work, Duration::ZERO, None), Some(40));
    }
}
