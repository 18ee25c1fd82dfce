//! Jobs: `/v1.0/jobs`, kept by the scheduler, and the callback into the app.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method, StatusCode};
use serde_json::{Map, Value, json};

use super::super::super::http::{Reply, Request};
use super::super::dapr::jobs::retries;
use super::super::dapr::plane::pause;
use super::super::ids::Trace;
use super::errors::Rich;
use super::plane::{self, PlaneError};
use super::runtime::Sidecar;
use super::{app, errors};

/// How long a call waits for a scheduler.
const PATIENCE: Duration = Duration::from_secs(30);
/// Where a job keeps the `Any` that its data came in by gRPC, if that is of
/// another type than JSON.
pub(super) const ANY: &str = "any";

fn refusal(sidecar: &Sidecar, status: StatusCode, reason: &str, message: String) -> Reply {
    Rich {
        status,
        code: "",
        reason,
        message,
        resource: None,
        metadata: json!({
            "appID": sidecar.options.app_id,
            "namespace": sidecar.options.namespace,
        }),
    }
    .reply()
}

/// Asks the scheduler; waits for it when it is not there.
async fn ask(
    sidecar: &Sidecar,
    method: Method,
    name: &str,
    body: Option<&Value>,
) -> Result<super::super::web::Answer, PlaneError> {
    let Some(address) = sidecar.options.scheduler.as_deref() else {
        return Err(PlaneError::Refused(
            "rpc error: code = Unimplemented desc = scheduler is not enabled".to_owned(),
        ));
    };
    let pairs = [
        ("namespace", sidecar.options.namespace.as_str()),
        ("app", sidecar.options.app_id.as_str()),
        ("name", name),
    ];
    let clock = &sidecar.process.world.clock;
    let deadline = clock.deadline(PATIENCE);
    loop {
        let process = &sidecar.process;
        let asked = plane::call(process, address, method.clone(), "/jobs", &pairs, body).await;
        match asked {
            Err(PlaneError::Unreachable(_)) if deadline.passed() => {
                return Err(PlaneError::Refused(
                    "rpc error: code = DeadlineExceeded desc = context deadline exceeded"
                        .to_owned(),
                ));
            }
            Err(PlaneError::Unreachable(_)) => {
                pause(process, Duration::from_millis(500)).await;
            }
            other => return other,
        }
    }
}

/// The name without what stands around it, unless nothing is left.
pub(super) fn named<'a>(sidecar: &Sidecar, name: &'a str) -> Result<&'a str, Reply> {
    match name.trim() {
        "" => {
            let message = "Name is empty".to_owned();
            let reason = "DAPR_SCHEDULER_JOB_NAME_EMPTY";
            Err(refusal(sidecar, StatusCode::BAD_REQUEST, reason, message))
        }
        name => Ok(name),
    }
}

/// `/v1.0/jobs/{name}`.
pub(super) async fn handle(sidecar: &Sidecar, request: &Request, name: &str) -> Reply {
    let name = match named(sidecar, name) {
        Ok(name) => name,
        Err(reply) => return reply,
    };
    match request.method {
        Method::POST => match read(sidecar, request) {
            Ok(job) => schedule(sidecar, &job, name).await,
            Err(reply) => reply,
        },
        Method::GET => get(sidecar, name).await,
        Method::DELETE => delete(sidecar, name).await,
        _ => super::invoke::nowhere(),
    }
}

pub(super) async fn delete(sidecar: &Sidecar, name: &str) -> Reply {
    match ask(sidecar, Method::DELETE, name, None).await {
        Ok(_) => Reply::empty(StatusCode::NO_CONTENT),
        Err(error) => refusal(
            sidecar,
            StatusCode::INTERNAL_SERVER_ERROR,
            "DAPR_SCHEDULER_DELETE_JOB",
            format!("failed to delete job due to: {error}"),
        ),
    }
}

/// The job of a request.
fn read(sidecar: &Sidecar, request: &Request) -> Result<Value, Reply> {
    let body = match request.body.is_empty() {
        true => Ok(json!({})),
        false => serde_json::from_slice::<Map<String, Value>>(&request.body).map(Value::Object),
    };
    let Ok(mut job) = body else {
        let message = "failed deserializing HTTP body: proto: syntax error";
        let status = StatusCode::BAD_REQUEST;
        return Err(errors::simple(status, "ERR_MALFORMED_REQUEST", message));
    };
    if job["name"].as_str().is_some_and(|name| !name.is_empty()) {
        let message = "Set the job name in the url only".to_owned();
        let (status, reason) = (StatusCode::BAD_REQUEST, "DAPR_SCHEDULER_JOB_NAME");
        return Err(refusal(sidecar, status, reason, message));
    }
    if let Some(job) = job.as_object_mut() {
        job.remove(ANY);
        for (snake, camel) in [("due_time", "dueTime"), ("failure_policy", "failurePolicy")] {
            if let Some(value) = job.remove(snake) {
                job.insert(camel.to_owned(), value);
            }
        }
    }
    Ok(job)
}

/// Has the scheduler keep a job.
pub(super) async fn schedule(sidecar: &Sidecar, job: &Value, name: &str) -> Reply {
    if job["schedule"].as_str().is_none() && job["dueTime"].as_str().is_none() {
        let message = "Schedule is empty".to_owned();
        let reason = "DAPR_SCHEDULER_SCHEDULE_EMPTY";
        return refusal(sidecar, StatusCode::BAD_REQUEST, reason, message);
    }
    let failed = |status, error: &str| {
        let message = format!("failed to schedule job due to: {error}");
        refusal(sidecar, status, "DAPR_SCHEDULER_SCHEDULE_JOB", message)
    };
    match ask(sidecar, Method::POST, name, Some(job)).await {
        Ok(answer) if answer.status.is_success() => Reply::empty(StatusCode::NO_CONTENT),
        Ok(answer) => {
            let refused: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            let status = match refused["code"].as_str() {
                Some("AlreadyExists") => StatusCode::CONFLICT,
                Some("InvalidArgument") => StatusCode::BAD_REQUEST,
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            };
            failed(status, refused["error"].as_str().unwrap_or_default())
        }
        Err(error) if error.to_string().contains("DeadlineExceeded") => {
            failed(StatusCode::GATEWAY_TIMEOUT, &error.to_string())
        }
        Err(error) => failed(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// A job as the scheduler keeps it.
pub(super) async fn held(sidecar: &Sidecar, name: &str) -> Result<Value, Reply> {
    let failed = |why: &str| {
        let message = format!("failed to get job due to: {why}");
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        refusal(sidecar, status, "DAPR_SCHEDULER_GET_JOB", message)
    };
    match ask(sidecar, Method::GET, name, None).await {
        Ok(answer) if answer.status.is_success() => {
            Ok(serde_json::from_slice(&answer.body).unwrap_or_default())
        }
        Ok(_) => Err(failed(&format!(
            "rpc error: code = NotFound desc = job not found: {name}"
        ))),
        Err(error) => Err(failed(&error.to_string())),
    }
}

async fn get(sidecar: &Sidecar, name: &str) -> Reply {
    let held = match held(sidecar, name).await {
        Ok(held) => held,
        Err(reply) => return reply,
    };
    let mut job = json!({ "name": name });
    for field in ["schedule", "repeats", "dueTime", "ttl", "failurePolicy"] {
        if !held[field].is_null() {
            job[field] = held[field].clone();
        }
    }
    if !held["data"].is_null() {
        job["data"] = json!({
            "@type": "type.googleapis.com/google.protobuf.Value",
            "value": held["data"],
        });
    }
    Reply::json(StatusCode::OK, &job)
}

/// Waits for due jobs and calls the app, one after the other.
pub(super) async fn receive(sidecar: Arc<Sidecar>) {
    let Some(address) = sidecar.options.scheduler.clone() else {
        return;
    };
    let pairs = [
        ("namespace", sidecar.options.namespace.clone()),
        ("app", sidecar.options.app_id.clone()),
    ];
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(k, v)| (*k, v.as_str())).collect();
    loop {
        let asked = plane::call(
            &sidecar.process,
            &address,
            Method::GET,
            "/due",
            &pairs,
            None,
        );
        let answer = tokio::select! {
            () = sidecar.shutdown.cancelled() => return,
            answer = asked => answer,
        };
        match answer {
            Ok(answer) if answer.status == StatusCode::OK => {
                let due: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
                deliver(&sidecar, &due).await;
            }
            Ok(_) => {}
            Err(_) => {
                if !pause(&sidecar.process, Duration::from_secs(1)).await {
                    return;
                }
            }
        }
    }
}

/// Calls the app for a job, again as its policy says.
async fn deliver(sidecar: &Sidecar, due: &Value) {
    let name = due["name"].as_str().unwrap_or_default();
    let (most, interval) = retries(&due["failurePolicy"]);
    let log = sidecar.log.scope("dapr.runtime.scheduler");
    let mut tries = 0;
    loop {
        let body = match &due["data"] {
            Value::Null => Vec::new(),
            data => data.to_string().into_bytes(),
        };
        let mut headers = HeaderMap::new();
        if let Ok(value) = Trace::start().header().parse() {
            headers.insert("traceparent", value);
        }
        let started = sidecar.process.world.clock.elapsed();
        let path = format!("/job/{name}");
        let body = Some(("application/json", body));
        let answer = app::call(sidecar, Method::POST, &path, headers, body).await;
        let took = sidecar
            .process
            .world
            .clock
            .elapsed()
            .saturating_sub(started);
        let status = match answer {
            Some(Ok(answer)) => answer.status.as_u16(),
            Some(Err(_)) => 0,
            None => return,
        };
        sidecar.metrics.job((200..300).contains(&status), took);
        match status {
            200..300 => {
                log.debug(&format!("Job {name} was triggered"));
                return;
            }
            404 => {
                log.error(&format!(
                    "Job {name} returned with status 404: app has no handler"
                ));
                return;
            }
            _ => log.error(&format!(
                "Error invoking job {name}: app answered with {status}"
            )),
        }
        if most.is_some_and(|most| tries >= most) {
            return;
        }
        tries += 1;
        if !pause(&sidecar.process, interval).await {
            return;
        }
    }
}
