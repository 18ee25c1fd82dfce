//! The jobs API: a probe job that is due at once.

use std::time::Duration;

use futures::FutureExt as _;
use http::Method;
use serde_json::json;

use crate::verify::check::{Check, Found, Probe, Suite, Verdict};
use crate::verify::metrics::Metrics;
use crate::verify::world::{Answer, Sidecar, World};

const LOGS: &str = "todoctl logs --sidecar --grep job";

/// The checks of the suite.
pub(super) const CHECKS: &[Check] = &[
    Check {
        code: "jobs.kept",
        suite: Suite::Jobs,
        title: "a job that is scheduled is kept, and forgotten when told to",
        means: "The scheduler does not take jobs, or loses them. Reminders are never sent.",
        mend: LOGS,
        probe: Probe::Ask(|world| kept(world).boxed()),
    },
    Check {
        code: "jobs.callback",
        suite: Suite::Jobs,
        title: "a job that is due reaches the app",
        means: "Jobs are kept and never delivered: the sidecar is not connected to the scheduler, or it does not reach its app.",
        mend: LOGS,
        probe: Probe::Ask(|world| callback(world).boxed()),
    },
    Check {
        code: "jobs.schedule",
        suite: Suite::Jobs,
        title: "a schedule that makes no sense is refused",
        means: "Schedules are taken that will never be due. A reminder that was misspelt is lost without a word.",
        mend: LOGS,
        probe: Probe::Ask(|world| schedule(world).boxed()),
    },
];

/// How long a due job may take, in real time.
const DUE_WITHIN: Duration = Duration::from_secs(5);

struct Job<'a> {
    world: &'a World,
    sidecar: &'a Sidecar,
    path: String,
}

impl<'a> Job<'a> {
    async fn new(world: &'a World, purpose: &str) -> Result<Self, Verdict> {
        let sidecar = world.sidecar().await?;
        let version = sidecar
            .metadata
            .as_ref()
            .ok()
            .and_then(|m| m["runtimeVersion"].as_str());
        let old = version.is_some_and(|v| v.starts_with("1.17.") || v.starts_with("1.16."));
        let api = if old { "v1.0-alpha1" } else { "v1.0" };
        Ok(Self {
            world,
            sidecar,
            path: format!("/{api}/jobs/todoctl-probe-{}-{purpose}", world.run),
        })
    }

    async fn send(&self, method: Method, body: String) -> Result<(String, Answer), Verdict> {
        let asked = format!(
            "{method} {} at the sidecar of {}",
            self.path, self.sidecar.pod
        );
        let headers = [("content-type", "application/json")];
        let answer = self
            .world
            .ask(self.sidecar, method, &self.path, &headers, body)
            .await?;
        Ok((asked, answer))
    }

    async fn schedule(&self, body: &serde_json::Value) -> Result<(String, Answer), Verdict> {
        let (asked, answer) = self.send(Method::POST, body.to_string()).await?;
        match answer.status.is_success() {
            true => Ok((asked, answer)),
            false => Err(
                Verdict::fail(format!("scheduling answers {}", answer.status.as_u16()))
                    .saw(asked, answer.shown()),
            ),
        }
    }
}

async fn kept(world: &World) -> Found {
    let job = Job::new(world, "kept").await?;
    let later = json!({"dueTime": "24h", "ttl": "25h", "repeats": 1, "data": {"probe": world.run}});
    let (asked, answer) = job.schedule(&later).await?;
    let (read, back) = job.send(Method::GET, String::new()).await?;
    let (removal, removed) = job.send(Method::DELETE, String::new()).await?;
    let (_, gone) = job.send(Method::GET, String::new()).await?;
    Ok(if !back.status.is_success() {
        Verdict::fail(format!(
            "a job that was taken cannot be read: {}",
            back.status.as_u16()
        ))
        .saw(asked, answer.shown())
        .saw(read, back.shown())
    } else if !removed.status.is_success() {
        Verdict::fail(format!(
            "a job cannot be removed: {}",
            removed.status.as_u16()
        ))
        .saw(removal, removed.shown())
    } else if gone.status.is_success() {
        Verdict::fail("a job that was removed is still there")
            .saw(removal, removed.shown())
            .saw(read, gone.shown())
    } else {
        Verdict::pass("taken, read and removed")
            .saw(asked, answer.shown())
            .saw(read, back.shown())
            .saw(removal, removed.shown())
    })
}

/// How often a sidecar has handed a job to its app, well or not.
fn calls(metrics: &Metrics) -> f64 {
    let names = [
        "dapr_component_job_success_count",
        "dapr_component_job_failure_count",
    ];
    names.iter().filter_map(|name| metrics.sum(name, &[])).sum()
}

async fn total(world: &World) -> Result<f64, Verdict> {
    let mut sum = 0.0;
    for sidecar in world.sidecars().await? {
        let metrics = world.metrics(sidecar).await.map_err(|error| {
            Verdict::fail(format!("the sidecar of {} shows no metrics", sidecar.pod))
                .saw(format!("metrics of {}", sidecar.pod), error)
        })?;
        sum += calls(&metrics);
    }
    Ok(sum)
}

async fn callback(world: &World) -> Found {
    let job = Job::new(world, "due").await?;
    let before = total(world).await?;
    let now = json!({"dueTime": "0s", "ttl": "24h", "repeats": 1, "data": {"probe": world.run}});
    let (asked, answer) = job.schedule(&now).await?;
    let limit = world.clock.deadline(DUE_WITHIN);
    // Any replica of the app may get it.
    loop {
        let calls = total(world).await? - before;
        let shown = format!("{calls} more callbacks in the sidecars' metrics");
        if calls >= 1.0 {
            let after = limit.waited().as_secs_f64() * 1e3;
            return Ok(Verdict::pass(format!("delivered after {after:.0} ms"))
                .saw(asked, answer.shown())
                .saw("callbacks to the app", shown));
        }
        if limit.passed() {
            job.send(Method::DELETE, String::new()).await?;
            let seconds = DUE_WITHIN.as_secs();
            return Ok(Verdict::fail(format!(
                "a due job did not reach the app within {seconds} s"
            ))
            .saw(asked, answer.shown())
            .saw("callbacks to the app", shown));
        }
        if world.clock.sleep(Duration::from_millis(50)).await.is_err() {
            return Err(Verdict::fail("interrupted"));
        }
    }
}

async fn schedule(world: &World) -> Found {
    let job = Job::new(world, "odd").await?;
    let odd = json!({"schedule": "every second thursday", "ttl": "24h"});
    let (asked, answer) = job.send(Method::POST, odd.to_string()).await?;
    if answer.status.is_success() {
        job.send(Method::DELETE, String::new()).await?;
        return Ok(
            Verdict::fail("a schedule that makes no sense was taken").saw(asked, answer.shown())
        );
    }
    let refused = format!("refused with {}", answer.status.as_u16());
    Ok(Verdict::pass(refused).saw(asked, answer.shown()))
}
