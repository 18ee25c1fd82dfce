//! `CronJobs`: Jobs by the clock. The next time is waited for in the world's
//! time: on a fast clock the hours of a schedule pass faster, too.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::cron::Schedule;
use super::queue::{Again, Controller};
use super::{Plane, count, pods, stamp};
use crate::sandbox::api::ApiError;
use crate::sandbox::cache::{Client, News};
use crate::sandbox::kind::{Kind, controller_of, is_leaving, is_true, key, text, uid};

const NAME: &str = "cronjob-controller";

/// The controller.
pub struct CronJobs {
    plane: Arc<Plane>,
    client: Client,
    /// For each `CronJob`, by uid: its schedule's time and when, on the clock,
    /// that time is reached.
    due: Mutex<HashMap<String, (Timestamp, Duration)>>,
}

impl CronJobs {
    /// The controller of a plane.
    pub fn new(plane: &Arc<Plane>) -> Self {
        Self {
            plane: plane.clone(),
            client: plane.client.as_controller(NAME),
            due: Mutex::default(),
        }
    }

    fn jobs(&self, owner: &Value) -> Vec<Arc<Value>> {
        self.plane
            .cache()
            .list(Kind::Jobs, text(owner, "/metadata/namespace"))
            .into_iter()
            .filter(|job| pods::is_owned_by(job, uid(owner)))
            .collect()
    }

    /// The time that comes next and how long until then; moves on if it is
    /// reached.
    fn reached(&self, object: &Value, schedule: &Schedule) -> (Option<Timestamp>, Again) {
        let zone = match text(object, "/spec/timeZone") {
            "" => TimeZone::UTC,
            name => TimeZone::get(name).unwrap_or(TimeZone::UTC),
        };
        let now = self.plane.clock().elapsed();
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = |from: Timestamp, to: Timestamp| {
            Duration::try_from(to.duration_since(from)).unwrap_or_default()
        };
        let id = uid(object).to_owned();
        let (at, when) = if let Some(known) = due.get(&id) {
            *known
        } else {
            let last = text(object, "/status/lastScheduleTime").parse::<Timestamp>();
            let wall = self.plane.clock().now();
            let from = last.map_or(wall, |last| last.max(wall));
            let Some(at) = schedule.next(from, &zone) else {
                return (None, None);
            };
            let known = (at, now + wait(from, at));
            due.insert(id.clone(), known);
            known
        };
        if when > now {
            return (None, Some(when.saturating_sub(now)));
        }
        let Some(next) = schedule.next(at, &zone) else {
            return (Some(at), None);
        };
        let then = when + wait(at, next);
        due.insert(id, (next, then));
        (Some(at), Some(then.saturating_sub(now)))
    }

    async fn start(
        &self,
        object: &Value,
        at: Timestamp,
        active: &[Arc<Value>],
    ) -> Result<bool, ApiError> {
        match text(object, "/spec/concurrencyPolicy") {
            "Forbid" if !active.is_empty() => {
                let message = "Not starting job because prior execution is running and concurrency policy is Forbid";
                self.plane
                    .events
                    .normal(NAME, object, "JobAlreadyActive", message.to_owned());
                return Ok(false);
            }
            "Replace" => {
                for job in active {
                    self.client.delete(Kind::Jobs, job).await?;
                }
            }
            _ => {}
        }
        let name = format!(
            "{}-{}",
            text(object, "/metadata/name"),
            at.as_second().div_euclid(60)
        );
        let template = object.pointer("/spec/jobTemplate").unwrap_or(&Value::Null);
        let mut job = json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {
                "name": name,
                "namespace": text(object, "/metadata/namespace"),
                "annotations": template.pointer("/metadata/annotations").cloned().unwrap_or(json!({})),
                "ownerReferences": [pods::reference(Kind::CronJobs, object)],
            },
            "spec": template["spec"],
        });
        if let Some(labels) = template.pointer("/metadata/labels") {
            job["metadata"]["labels"] = labels.clone();
        }
        job["metadata"]["annotations"]["batch.kubernetes.io/cronjob-scheduled-timestamp"] =
            json!(stamp(at));
        match self.client.create(Kind::Jobs, &job).await {
            Err(error) if error.is_conflict() => {}
            made => {
                made?;
                let message = format!("Created job {name}");
                self.plane
                    .events
                    .normal(NAME, object, "SuccessfulCreate", message);
            }
        }
        Ok(true)
    }

    /// Deletes Jobs beyond the limits of history.
    async fn clean(&self, object: &Value, jobs: &[Arc<Value>]) -> Result<(), ApiError> {
        for (condition, limit) in [
            (
                "Complete",
                count(object, "/spec/successfulJobsHistoryLimit", 3),
            ),
            ("Failed", count(object, "/spec/failedJobsHistoryLimit", 1)),
        ] {
            let mut over: Vec<_> = jobs.iter().filter(|job| is_true(job, condition)).collect();
            over.sort_by_key(|job| text(job, "/metadata/name").to_owned());
            let surplus = over
                .len()
                .saturating_sub(usize::try_from(limit).unwrap_or_default());
            for job in over.into_iter().take(surplus) {
                self.client.delete(Kind::Jobs, job).await?;
                let message = format!("Deleted job {}", text(job, "/metadata/name"));
                self.plane
                    .events
                    .normal(NAME, object, "SuccessfulDelete", message);
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Controller for CronJobs {
    fn concerns(&self, news: &News) -> Vec<String> {
        match news.kind {
            Kind::CronJobs => vec![news.key.to_string()],
            Kind::Jobs => news
                .object()
                .and_then(|job| {
                    let reference = controller_of(job).filter(|r| r["kind"] == "CronJob")?;
                    Some(key(
                        text(job, "/metadata/namespace"),
                        text(reference, "/name"),
                    ))
                })
                .into_iter()
                .collect(),
            _ => Vec::new(),
        }
    }

    async fn look(&self, key: &str) -> Result<Again, ApiError> {
        let Some(object) = self.plane.cache().get(Kind::CronJobs, key) else {
            return Ok(None);
        };
        if is_leaving(&object) {
            return Ok(None);
        }
        let is_over = |job: &Value| is_true(job, "Complete") || is_true(job, "Failed");
        let mut last = text(&object, "/status/lastScheduleTime").to_owned();
        let mut again = None;
        let suspended = object.pointer("/spec/suspend") == Some(&json!(true));
        match Schedule::parse(text(&object, "/spec/schedule")) {
            Some(schedule) if !suspended => {
                let (at, wait) = self.reached(&object, &schedule);
                again = wait;
                let active: Vec<_> = self
                    .jobs(&object)
                    .into_iter()
                    .filter(|job| !is_over(job))
                    .collect();
                if let Some(at) = at
                    && self.start(&object, at, &active).await?
                {
                    last = stamp(at);
                }
            }
            _ => {}
        }
        let jobs = self.jobs(&object);
        let mut status = json!({});
        let active: Vec<Value> = jobs
            .iter()
            .filter(|job| !is_over(job))
            .map(|job| {
                json!({
                    "kind": "Job", "apiVersion": "batch/v1",
                    "namespace": text(job, "/metadata/namespace"),
                    "name": text(job, "/metadata/name"),
                    "uid": uid(job),
                    "resourceVersion": text(job, "/metadata/resourceVersion"),
                })
            })
            .collect();
        if !active.is_empty() {
            status["active"] = json!(active);
        }
        if !last.is_empty() {
            status["lastScheduleTime"] = json!(last);
        }
        let success = jobs
            .iter()
            .map(|job| text(job, "/status/completionTime"))
            .chain([text(&object, "/status/lastSuccessfulTime")])
            .max()
            .unwrap_or_default();
        if !success.is_empty() {
            status["lastSuccessfulTime"] = json!(success);
        }
        self.client
            .set_status(Kind::CronJobs, &object, status)
            .await?;
        self.clean(&object, &jobs).await?;
        Ok(again)
    }
}
