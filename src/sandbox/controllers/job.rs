//! Jobs: pods that end well as often as asked for.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::queue::{Again, Controller};
use super::{Plane, count, pods};
use crate::sandbox::api::ApiError;
use crate::sandbox::cache::{Client, News};
use crate::sandbox::kind::{Kind, is_leaving, is_true, items, number, text, uid};

const NAME: &str = "job-controller";
const INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// The first pause after a failed pod, doubled with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_mins(10);

/// A Job that is over stays for this long in real time, unless it wants to go
/// at once: whoever waits for its end has to see it on a fast clock, too.
const LEAST_KEPT: Duration = Duration::from_secs(2);

/// The controller.
pub struct Jobs {
    plane: Arc<Plane>,
    client: Client,
    cleaner: Client,
}

/// The numbers of a Job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Numbers {
    active: i64,
    succeeded: i64,
    failed: i64,
    parallelism: i64,
    /// None: one success ends it.
    completions: Option<i64>,
    limit: i64,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Complete,
    Fail,
    /// So many pods shall run.
    Run(i64),
}

impl Numbers {
    fn next(self) -> Next {
        if self.failed > self.limit {
            return Next::Fail;
        }
        match self.completions {
            Some(wanted) if self.succeeded >= wanted => Next::Complete,
            Some(wanted) => Next::Run(self.parallelism.min(wanted - self.succeeded)),
            None if self.succeeded > 0 && self.active == 0 => Next::Complete,
            None if self.succeeded > 0 => Next::Run(self.active),
            None => Next::Run(self.parallelism),
        }
    }
}

/// Numbers as a Job shows them: `0-2,5`.
fn ranges(mut numbers: Vec<i64>) -> String {
    numbers.sort_unstable();
    numbers.dedup();
    let mut parts: Vec<(i64, i64)> = Vec::new();
    for number in numbers {
        match parts.last_mut() {
            Some((_, end)) if *end + 1 == number => *end = number,
            _ => parts.push((number, number)),
        }
    }
    let shown = parts.iter().map(|(first, last)| match last - first {
        0 => first.to_string(),
        1 => format!("{first},{last}"),
        _ => format!("{first}-{last}"),
    });
    shown.collect::<Vec<_>>().join(",")
}

fn index(pod: &Value) -> Option<i64> {
    pod.pointer("/metadata/annotations")?
        .get(INDEX)?
        .as_str()?
        .parse()
        .ok()
}

impl Jobs {
    /// The controller of a plane.
    pub fn new(plane: &Arc<Plane>) -> Self {
        Self {
            plane: plane.clone(),
            client: plane.client.as_controller(NAME),
            cleaner: plane.client.as_controller("ttl-after-finished-controller"),
        }
    }

    fn pods(&self, job: &Value) -> Vec<Arc<Value>> {
        self.plane
            .cache()
            .list(Kind::Pods, text(job, "/metadata/namespace"))
            .into_iter()
            .filter(|pod| pods::is_owned_by(pod, uid(job)))
            .collect()
    }

    async fn create(&self, job: &Value, index: Option<i64>) -> Result<(), ApiError> {
        let template = job.pointer("/spec/template").unwrap_or(&Value::Null);
        let mut pod = pods::from_template(Kind::Jobs, job, template);
        let name = text(job, "/metadata/name");
        pod["metadata"]["generateName"] = json!(format!("{name}-"));
        if let Some(index) = index {
            pod["metadata"]["generateName"] = json!(format!("{name}-{index}-"));
            pod["metadata"]["annotations"][INDEX] = json!(index.to_string());
            pod["metadata"]["labels"][INDEX] = json!(index.to_string());
            pod["spec"]["hostname"] = json!(format!("{name}-{index}"));
            let containers = pod["spec"]["containers"].as_array_mut();
            for container in containers.into_iter().flatten() {
                let mut env = items(container, "/env").to_vec();
                env.push(json!({"name": "JOB_COMPLETION_INDEX", "value": index.to_string()}));
                container["env"] = json!(env);
            }
        }
        let made = self.client.create(Kind::Pods, &pod).await;
        match &made {
            Ok(pod) => {
                let message = format!("Created pod: {}", text(pod, "/metadata/name"));
                self.plane
                    .events
                    .normal(NAME, job, "SuccessfulCreate", message);
            }
            Err(error) => {
                let message = format!("Error creating: {}", error.message());
                self.plane
                    .events
                    .warning(NAME, job, "FailedCreate", message);
            }
        }
        made.map(drop)
    }

    async fn stop_pods(&self, job: &Value, active: &[Arc<Value>]) -> Result<(), ApiError> {
        for pod in active {
            self.client.delete(Kind::Pods, pod).await?;
            let message = format!("Deleted pod: {}", text(pod, "/metadata/name"));
            self.plane
                .events
                .normal(NAME, job, "SuccessfulDelete", message);
        }
        Ok(())
    }

    /// Why a Job that is over failed; none if it may go on.
    fn deadline(&self, job: &Value) -> Result<Again, &'static str> {
        let Some(limit) = number(job, "/spec/activeDeadlineSeconds") else {
            return Ok(None);
        };
        let started = text(job, "/status/startTime");
        if started.is_empty() {
            return Ok(None);
        }
        let limit = Duration::from_secs(u64::try_from(limit).unwrap_or_default());
        let passed = self.plane.since(started);
        if passed >= limit {
            Err("DeadlineExceeded")
        } else {
            Ok(Some(limit.saturating_sub(passed)))
        }
    }

    /// Deletes a Job that has been over for long enough.
    async fn expire(&self, job: &Value) -> Result<Again, ApiError> {
        let Some(seconds) = number(job, "/spec/ttlSecondsAfterFinished") else {
            return Ok(None);
        };
        let ended = items(job, "/status/conditions")
            .iter()
            .filter(|c| c["status"] == "True" && (c["type"] == "Complete" || c["type"] == "Failed"))
            .map(|c| text(c, "/lastTransitionTime"))
            .next()
            .unwrap_or_default();
        let mut limit = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
        if !limit.is_zero() {
            limit = limit.max(LEAST_KEPT.mul_f64(self.plane.clock().rate()));
        }
        let passed = self.plane.since(ended);
        if passed < limit {
            return Ok(Some(limit.saturating_sub(passed)));
        }
        self.cleaner.delete(Kind::Jobs, job).await?;
        Ok(None)
    }

    fn ended(&self, job: &Value, status: &mut Value, failed: Option<&str>) {
        let now = self.plane.now();
        let condition = |kind: &str, reason: &str, message: &str| {
            json!({
                "type": kind, "status": "True", "reason": reason, "message": message,
                "lastProbeTime": now, "lastTransitionTime": now,
            })
        };
        let mut conditions = items(job, "/status/conditions").to_vec();
        let (first, last, reason, message) = match failed {
            None => (
                "SuccessCriteriaMet",
                "Complete",
                "CompletionsReached",
                "Reached expected number of succeeded pods",
            ),
            Some("DeadlineExceeded") => (
                "FailureTarget",
                "Failed",
                "DeadlineExceeded",
                "Job was active longer than specified deadline",
            ),
            Some(_) => (
                "FailureTarget",
                "Failed",
                "BackoffLimitExceeded",
                "Job has reached the specified backoff limit",
            ),
        };
        conditions.push(condition(first, reason, message));
        conditions.push(condition(last, reason, message));
        status["conditions"] = json!(conditions);
        if failed.is_none() {
            status["completionTime"] = json!(now);
            self.plane
                .events
                .normal(NAME, job, "Completed", "Job completed".to_owned());
        } else if reason == "DeadlineExceeded" {
            self.plane
                .events
                .warning(NAME, job, "DeadlineExceeded", message.to_owned());
        } else {
            self.plane
                .events
                .warning(NAME, job, "BackoffLimitExceeded", message.to_owned());
        }
    }

    async fn work(&self, job: &Value) -> Result<Again, ApiError> {
        let all = self.pods(job);
        let in_phase = |phase: &str| -> Vec<Arc<Value>> {
            let of = |pod: &&Arc<Value>| text(pod, "/status/phase") == phase;
            all.iter().filter(of).cloned().collect()
        };
        let (good, bad) = (in_phase("Succeeded"), in_phase("Failed"));
        let active: Vec<_> = all.iter().filter(|p| pods::is_active(p)).cloned().collect();
        let whole = |list: &[Arc<Value>]| i64::try_from(list.len()).unwrap_or_default();
        let indexed = text(job, "/spec/completionMode") == "Indexed";
        let done: Vec<i64> = good.iter().filter_map(|pod| index(pod)).collect();
        let mut unique = done.clone();
        unique.sort_unstable();
        unique.dedup();
        let succeeded = if indexed {
            i64::try_from(unique.len()).unwrap_or_default()
        } else {
            whole(&good).max(count(job, "/status/succeeded", 0))
        };
        let failed = whole(&bad).max(count(job, "/status/failed", 0));
        let numbers = Numbers {
            active: whole(&active),
            succeeded,
            failed: failed + restarts(&active),
            parallelism: count(job, "/spec/parallelism", 1),
            completions: number(job, "/spec/completions"),
            limit: count(job, "/spec/backoffLimit", 6),
        };
        let suspended = job.pointer("/spec/suspend") == Some(&json!(true));
        let mut status = json!({
            "startTime": match text(job, "/status/startTime") {
                "" => self.plane.now(),
                known => known.to_owned(),
            },
            "uncountedTerminatedPods": {},
        });
        if let Some(conditions) = job.pointer("/status/conditions") {
            status["conditions"] = conditions.clone();
        }
        let mut put = |field: &str, value: i64| {
            if value > 0 {
                status[field] = json!(value);
            }
        };
        put("succeeded", succeeded);
        put("failed", failed);
        let mut again = None;
        let next = match self.deadline(job) {
            Err(_) => Next::Fail,
            Ok(wait) => {
                again = wait;
                numbers.next()
            }
        };
        let late = self.deadline(job).err();
        status["ready"] = json!(active.iter().filter(|pod| pods::is_ready(pod)).count());
        status["terminating"] = json!(0);
        if indexed && !unique.is_empty() {
            status["completedIndexes"] = json!(ranges(unique.clone()));
        }
        match next {
            _ if suspended => {
                self.stop_pods(job, &active).await?;
                if let Some(fields) = status.as_object_mut() {
                    fields.shift_remove("startTime");
                }
            }
            Next::Complete => self.ended(job, &mut status, None),
            Next::Fail => {
                self.stop_pods(job, &active).await?;
                self.ended(job, &mut status, Some(late.unwrap_or_default()));
            }
            Next::Run(wanted) => {
                let missing = wanted - numbers.active;
                let pause = self.pause_after(&bad);
                if missing < 0 {
                    let surplus = usize::try_from(-missing).unwrap_or_default();
                    self.stop_pods(job, active.get(..surplus).unwrap_or_default())
                        .await?;
                } else if missing > 0 && pause.is_some() {
                    again = pause;
                } else {
                    let running: Vec<i64> = active.iter().filter_map(|pod| index(pod)).collect();
                    let mut free =
                        (0..).filter(|index| !unique.contains(index) && !running.contains(index));
                    for _ in 0..missing {
                        let index = indexed.then(|| free.next()).flatten();
                        self.create(job, index).await?;
                    }
                }
                let now = self.pods(job);
                let now = now.iter().filter(|pod| pods::is_active(pod)).count();
                if now > 0 {
                    status["active"] = json!(now);
                }
            }
        }
        if job["status"].get("startTime").is_none() || job["status"] != status {
            self.client.set_status(Kind::Jobs, job, status).await?;
        }
        Ok(again)
    }

    /// How long to wait after the last failure.
    fn pause_after(&self, failed: &[Arc<Value>]) -> Again {
        let last = failed
            .iter()
            .flat_map(|pod| items(pod, "/status/containerStatuses"))
            .map(|status| text(status, "/state/terminated/finishedAt"))
            .max()?;
        let times = u32::try_from(failed.len().saturating_sub(1)).unwrap_or(16);
        let pause = (FIRST_PAUSE * 2_u32.saturating_pow(times.min(10))).min(LONGEST_PAUSE);
        let left = pause.saturating_sub(self.plane.since(last));
        (!left.is_zero()).then_some(left)
    }
}

/// Restarts count as failures where containers are started again.
fn restarts(active: &[Arc<Value>]) -> i64 {
    active
        .iter()
        .flat_map(|pod| items(pod, "/status/containerStatuses"))
        .filter_map(|status| status["restartCount"].as_i64())
        .sum()
}

#[async_trait]
impl Controller for Jobs {
    fn concerns(&self, news: &News) -> Vec<String> {
        match news.kind {
            Kind::Jobs => vec![news.key.to_string()],
            Kind::Pods => pods::key_of_owner(news, "Job").into_iter().collect(),
            _ => Vec::new(),
        }
    }

    async fn look(&self, key: &str) -> Result<Again, ApiError> {
        let Some(job) = self.plane.cache().get(Kind::Jobs, key) else {
            return Ok(None);
        };
        if is_leaving(&job) {
            return Ok(None);
        }
        if is_true(&job, "Complete") || is_true(&job, "Failed") {
            return self.expire(&job).await;
        }
        self.work(&job).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_runs_what_is_missing_and_ends_at_its_limits() {
        let start = Numbers {
            active: 0,
            succeeded: 0,
            failed: 0,
            parallelism: 2,
            completions: Some(3),
            limit: 1,
        };
        assert_eq!(start.next(), Next::Run(2));
        let with = |succeeded, failed| Numbers {
            succeeded,
            failed,
            ..start
        };
        assert_eq!(with(2, 0).next(), Next::Run(1));
        assert_eq!(with(3, 0).next(), Next::Complete);
        assert_eq!(with(0, 1).next(), Next::Run(2));
        assert_eq!(with(0, 2).next(), Next::Fail);
        let open = Numbers {
            completions: None,
            ..with(1, 0)
        };
        assert_eq!(open.next(), Next::Complete);
    }

    #[test]
    fn indexes_are_shown_as_ranges() {
        assert_eq!(ranges(vec![5, 0, 2, 1]), "0-2,5");
        assert_eq!(ranges(vec![0, 1, 3]), "0,1,3");
    }
}
