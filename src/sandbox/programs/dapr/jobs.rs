//! The scheduler's jobs: what is due when, kept in the world's store as in the
//! real one's etcd. Due times count in the world's time: a job in an hour is
//! due after an hour of the world.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::super::world::World;
use super::time::{Schedule, go_duration, point};

const TABLE: &str = "dapr/jobs";

/// A refusal, with the gRPC code that the scheduler gives.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("rpc error: code = {code} desc = {why}")]
pub struct JobError {
    /// E.g. `AlreadyExists`.
    pub code: &'static str,
    /// The sentence.
    pub why: String,
}

/// The jobs of a world.
#[derive(Debug, Clone)]
pub struct Jobs {
    world: Arc<World>,
}

/// A job that is due.
#[derive(Debug, Clone, PartialEq)]
pub struct Due {
    /// The job's name.
    pub name: String,
    /// What the app is to get.
    pub data: Value,
    /// What happens when the app fails.
    pub failure_policy: Value,
}

fn key(namespace: &str, app: &str, name: &str) -> String {
    format!("{namespace}||{app}||{name}")
}

impl Jobs {
    /// The jobs of this world.
    pub fn new(world: Arc<World>) -> Self {
        Self { world }
    }

    fn age_ms(&self) -> u64 {
        u64::try_from(self.world.age().as_millis()).unwrap_or(u64::MAX)
    }

    /// Keeps a job, as its app asks for it.
    pub fn schedule(
        &self,
        namespace: &str,
        app: &str,
        name: &str,
        job: &Value,
    ) -> Result<(), JobError> {
        let refused = |code, why: String| JobError { code, why };
        let now = self.world.clock.now();
        let schedule =
            match job["schedule"].as_str() {
                Some(text) => Some(Schedule::parse(text).map_err(|why| {
                    refused("Unknown", format!("failed to parse schedule: {why}"))
                })?),
                None => None,
            };
        let at = |name: &str| match job[name].as_str() {
            Some(text) => point(text, now)
                .map(Some)
                .ok_or_else(|| refused("InvalidArgument", format!("invalid {name}: {text}"))),
            None => Ok(None),
        };
        let (due, expires) = (at("dueTime")?, at("ttl")?);
        let first = match (&schedule, due) {
            (_, Some(due)) => due,
            (Some(Schedule::Every(_)) | None, None) => now,
            (Some(cron), None) => cron.next(now).ok_or_else(|| {
                refused("InvalidArgument", "the schedule has no next time".into())
            })?,
        };
        let first = match (&schedule, due) {
            (Some(Schedule::Every(wait)), None) => now.checked_add(*wait).unwrap_or(now),
            _ => first,
        };
        let from_now = |at: Timestamp| {
            let wait = at.duration_since(now).as_millis().max(0);
            self.age_ms()
                .saturating_add(u64::try_from(wait).unwrap_or(0))
        };
        let repeats = match (&schedule, job["repeats"].as_u64()) {
            (None, _) => Some(1),
            (Some(_), told) => told,
        };
        let mut spec = job.clone();
        if let Some(spec) = spec.as_object_mut() {
            spec.remove("overwrite");
        }
        let row = json!({
            "spec": spec,
            "nextMs": from_now(first),
            "next": first.to_string(),
            "expiresMs": expires.map(from_now),
            "left": repeats,
        });
        let key = key(namespace, app, name);
        let overwrite = job["overwrite"] == json!(true);
        self.world.store.write(|tx| {
            if tx.get(TABLE, &key).is_some() && !overwrite {
                return Err(refused(
                    "AlreadyExists",
                    format!("job already exists: '{name}'"),
                ));
            }
            tx.put(TABLE, &key, row);
            Ok(())
        })
    }

    /// A job as it was asked for.
    pub fn get(&self, namespace: &str, app: &str, name: &str) -> Option<Value> {
        let row = self.world.store.get(TABLE, &key(namespace, app, name))?;
        Some(row.value["spec"].clone())
    }

    /// Forgets a job.
    pub fn delete(&self, namespace: &str, app: &str, name: &str) {
        self.world.store.delete(TABLE, &key(namespace, app, name));
    }

    /// Takes the next job of an app that is due; otherwise says how long it
    /// takes until one is.
    pub fn take(&self, namespace: &str, app: &str) -> Result<Due, Option<Duration>> {
        let prefix = key(namespace, app, "");
        let now = self.age_ms();
        let found = self.world.store.list(TABLE, &prefix).0;
        let expired = |row: &Value| row["expiresMs"].as_u64().is_some_and(|at| at <= now);
        let next = |row: &Value| row["nextMs"].as_u64().unwrap_or(u64::MAX);
        if !found
            .iter()
            .any(|(_, row)| next(&row.value) <= now || expired(&row.value))
        {
            let soonest = found.iter().map(|(_, row)| next(&row.value)).min();
            return Err(soonest.map(|at| Duration::from_millis(at.saturating_sub(now))));
        }
        let taken: Result<Option<Due>, Infallible> = self.world.store.write(|tx| {
            for (key, row) in tx.list(TABLE, &prefix) {
                if expired(&row.value) {
                    tx.delete(TABLE, &key);
                } else if next(&row.value) <= now {
                    let mut held = row.value.as_ref().clone();
                    if advance(&mut held) {
                        tx.put(TABLE, &key, held.clone());
                    } else {
                        tx.delete(TABLE, &key);
                    }
                    return Ok(Some(Due {
                        name: key.rsplit("||").next().unwrap_or_default().to_owned(),
                        data: held["spec"]["data"].clone(),
                        failure_policy: held["spec"]["failurePolicy"].clone(),
                    }));
                }
            }
            Ok(None)
        });
        match taken {
            Ok(Some(due)) => Ok(due),
            Ok(None) => Err(Some(Duration::ZERO)),
            Err(never) => match never {},
        }
    }
}

/// Moves a job to its next time; false if there is none.
fn advance(row: &mut Value) -> bool {
    let left = row["left"].as_u64().map(|left| left.saturating_sub(1));
    let schedule = row["spec"]["schedule"].as_str().map(Schedule::parse);
    let (Some(Ok(schedule)), false) = (schedule, left == Some(0)) else {
        return false;
    };
    let last: Timestamp = match row["next"].as_str().map(str::parse) {
        Some(Ok(last)) => last,
        _ => return false,
    };
    let Some(next) = schedule.next(last) else {
        return false;
    };
    let wait = u64::try_from(next.duration_since(last).as_millis()).unwrap_or(0);
    let at = row["nextMs"].as_u64().unwrap_or(0).saturating_add(wait);
    row["nextMs"] = json!(at);
    row["next"] = json!(next.to_string());
    row["left"] = json!(left);
    true
}

/// How often and how far apart a failed job is tried again; none is endless.
pub fn retries(policy: &Value) -> (Option<u64>, Duration) {
    let constant = &policy["constant"];
    if !policy["drop"].is_null() {
        return (Some(0), Duration::ZERO);
    }
    if constant.is_null() {
        return (Some(3), Duration::from_secs(1));
    }
    let interval = constant["interval"].as_str().and_then(go_duration);
    let most = constant["maxRetries"]
        .as_u64()
        .or(constant["max_retries"].as_u64());
    (most, interval.unwrap_or(Duration::from_secs(1)))
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::Stage;
    use super::*;

    #[test]
    fn a_job_is_due_once_and_a_schedule_again_and_again() {
        let stage = Stage::new();
        let jobs = Jobs::new(stage.world.clone());
        jobs.schedule(
            "n",
            "a",
            "once",
            &json!({"dueTime": "0s", "data": {"x": 1}}),
        )
        .unwrap();
        let again = jobs.schedule("n", "a", "once", &json!({"dueTime": "0s"}));
        assert_eq!(again.unwrap_err().code, "AlreadyExists");
        let due = jobs.take("n", "a").unwrap();
        assert_eq!((due.name.as_str(), &due.data), ("once", &json!({"x": 1})));
        assert_eq!(jobs.take("n", "a"), Err(None));
        assert!(jobs.get("n", "a", "once").is_none());

        jobs.schedule(
            "n",
            "a",
            "tick",
            &json!({"schedule": "@every 1h", "dueTime": "0s", "repeats": 2}),
        )
        .unwrap();
        assert_eq!(jobs.take("n", "a").unwrap().name, "tick");
        assert!(matches!(jobs.take("n", "a"), Err(Some(wait)) if wait > Duration::from_secs(3000)));
        assert!(jobs.get("n", "a", "tick").is_some());
        assert_eq!(jobs.take("n", "other"), Err(None));
    }

    #[test]
    fn policies_say_how_often_to_try_again() {
        assert_eq!(retries(&Value::Null), (Some(3), Duration::from_secs(1)));
        assert_eq!(retries(&json!({"drop": {}})).0, Some(0));
        assert_eq!(
            retries(&json!({"constant": {"interval": "2s"}})),
            (None, Duration::from_secs(2))
        );
    }
}
