//! The scheduler: keeps jobs and tells sidecars that wait for them. Members
//! share the world's store, so any of them answers.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::super::super::http::{Reply, Request};
use super::super::web::Server;
use super::super::{Exit, Process, Program};
use super::jobs::Jobs;
use super::plane::{Counts, Plane, pause};

/// How long a sidecar's question for due jobs is held, in real time.
const HOLD: Duration = Duration::from_secs(10);

/// The image `dapr/scheduler`.
pub struct Scheduler;

#[async_trait]
impl Program for Scheduler {
    async fn run(&self, process: Process) -> Exit {
        let targets = [
            "scheduler-etcd-embed",
            "scheduler-server",
            "scheduler-controller",
        ];
        let Ok(mut plane) = Plane::start(&process, "dapr.scheduler", &targets).await else {
            return Exit::error(1);
        };
        if plane.trust_anchors().await.is_none() {
            return Exit::OK;
        }
        let id = process.env.get("SCHEDULER_ID").unwrap_or(&process.pod);
        let mut args = process
            .args
            .iter()
            .skip_while(|arg| *arg != "--etcd-initial-cluster");
        let members = args.nth(1).map(String::as_str).unwrap_or_default();
        if !members
            .split(',')
            .any(|member| member.split('=').next() == Some(id))
        {
            plane.log.fatal(&format!(
                "scheduler ID: {id} is not found in initial cluster"
            ));
            return Exit::error(1);
        }
        let Ok(server) = Server::bind(&process, 50006).await else {
            plane.log.fatal("failed to listen on :50006");
            return Exit::error(1);
        };
        plane
            .log
            .scope("dapr.scheduler.server.etcd")
            .info("Etcd server is ready!");
        plane.targets.set("scheduler-etcd-embed", true);
        plane
            .log
            .info("Running Scheduler gRPC server on port 50006");
        plane.targets.set("scheduler-server", true);
        plane.targets.set("scheduler-controller", true);
        plane.counts.set("etcd_server_has_leader", 1.0);
        let desk = Arc::new(Desk {
            process: process.clone(),
            jobs: Jobs::new(process.world.clone()),
            counts: plane.counts.clone(),
        });
        plane
            .tasks
            .spawn(server.run(process.stop.clone(), move |request| {
                let desk = desk.clone();
                async move { desk.answer(&request).await }
            }));
        plane.until_stopped().await
    }
}

struct Desk {
    process: Process,
    jobs: Jobs,
    counts: Counts,
}

impl Desk {
    async fn answer(&self, request: &Request) -> Reply {
        let text = |name: &str| request.param(name).unwrap_or_default();
        let (namespace, app, name) = (text("namespace"), text("app"), text("name"));
        match (&request.method, request.path.as_str()) {
            (&Method::GET, "/hosts") => {
                let id = self
                    .process
                    .env
                    .get("SCHEDULER_ID")
                    .unwrap_or(&self.process.pod);
                Reply::json(StatusCode::OK, &json!({"hosts": [format!("{id}:50006")]}))
            }
            (&Method::GET, "/due") => self.due(namespace, app).await,
            (&Method::POST, "/jobs") => {
                let job: Value = serde_json::from_slice(&request.body).unwrap_or_default();
                match self.jobs.schedule(namespace, app, name, &job) {
                    Ok(()) => {
                        self.counts.add("dapr_scheduler_jobs_created_total", 1.0);
                        Reply::empty(StatusCode::NO_CONTENT)
                    }
                    Err(error) => Reply::json(
                        StatusCode::CONFLICT,
                        &json!({"code": error.code, "error": error.to_string()}),
                    ),
                }
            }
            (&Method::GET, "/jobs") => match self.jobs.get(namespace, app, name) {
                Some(job) => Reply::json(StatusCode::OK, &job),
                None => Reply::empty(StatusCode::NOT_FOUND),
            },
            (&Method::DELETE, "/jobs") => {
                self.jobs.delete(namespace, app, name);
                self.counts.add("dapr_scheduler_jobs_deleted_total", 1.0);
                Reply::empty(StatusCode::NO_CONTENT)
            }
            _ => Reply::empty(StatusCode::NOT_FOUND),
        }
    }

    /// Answers as soon as a job of the app is due, or with nothing after a
    /// while.
    async fn due(&self, namespace: &str, app: &str) -> Reply {
        let clock = &self.process.world.clock;
        let until = clock.elapsed() + HOLD.mul_f64(clock.rate());
        let mut changes = self.process.world.store.subscribe();
        while clock.elapsed() < until && !self.process.stop.is_cancelled() {
            changes.borrow_and_update();
            let wait = match self.jobs.take(namespace, app) {
                Ok(due) => {
                    self.counts.add("dapr_scheduler_jobs_triggered_total", 1.0);
                    let body = json!({
                        "name": due.name, "data": due.data, "failurePolicy": due.failure_policy,
                    });
                    return Reply::json(StatusCode::OK, &body);
                }
                Err(wait) => wait.unwrap_or(until.saturating_sub(clock.elapsed())),
            };
            let wait = wait.min(until.saturating_sub(clock.elapsed()));
            tokio::select! {
                more = pause(&self.process, wait) => if !more { break },
                changed = changes.changed() => {
                    // A busy world changes all the time: look at most so often.
                    if changed.is_err() || !pause(&self.process, Duration::from_millis(50)).await {
                        break;
                    }
                }
            }
        }
        Reply::empty(StatusCode::NO_CONTENT)
    }
}
