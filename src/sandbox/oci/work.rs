//! Container Engine's work requests: every change of a cluster or node pool
//! is accepted at once, starts a moment later, and ends minutes later.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::call::{Answer, Call, Outcome};
use super::error::ApiError;
use super::events::Event;
use super::ledger::{Doc, Kind, Ledger};
use super::{cluster, listing, node_pool};

/// Why a work request failed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Failure {
    /// The code in the error list.
    pub code: String,
    /// The text in the error list.
    pub message: String,
}

/// What a work request is about to do.
#[derive(Debug, Clone)]
pub(super) struct Job<'a> {
    /// The operation, e.g. `CLUSTER_CREATE`.
    pub operation: &'a str,
    /// The kind of what changes: a cluster or a node pool.
    pub kind: Kind,
    /// What else goes with it: the node pools of a deleted cluster.
    pub also: Vec<String>,
    /// How long it takes, in milliseconds: the least and the most.
    pub takes: (u64, u64),
    /// What its log says as time passes.
    pub logs: &'a [&'a str],
}

/// Accepts a job for a resource, which is busy until it ends.
pub(super) fn open(books: &mut Ledger<'_, '_>, doc: &mut Doc, job: &Job<'_>) -> String {
    let cluster = match job.kind {
        Kind::Cluster => doc.id().to_owned(),
        _ => doc.str("clusterId").to_owned(),
    };
    let body = json!({
        "operationType": job.operation,
        "status": "ACCEPTED",
        "compartmentId": doc.str("compartmentId"),
        "resources": [],
        "timeAccepted": books.now(),
        "timeStarted": null,
        "timeFinished": null,
    });
    let body = body.as_object().cloned().unwrap_or_default();
    let subject = format!("{} {}", job.operation, doc.id());
    let mut request = books.create(Kind::WorkRequest, &subject, body);
    let id = request.id().to_owned();
    let (low, high) = job.takes;
    let takes = books.draw_ms(&format!("takes {id}"), low, high);
    request.set_note("cluster", cluster);
    request.set_note("target", doc.id());
    request.set_note("also", job.also.clone());
    request.set_note("takes", takes);
    request.set_note("plannedLogs", job.logs);
    books.put(Kind::WorkRequest, &mut request);
    doc.set_note("busy", id.clone());
    books.put(job.kind, doc);
    let wait = books.draw_ms(&format!("starts {id}"), 1_000, 4_000);
    books.after(
        wait,
        &Event::Start {
            request: id.clone(),
        },
    );
    id
}

/// Fails while another job runs on the resource.
pub(super) fn refuse_busy(doc: &Doc) -> Result<(), ApiError> {
    match doc.note("busy") {
        "" => Ok(()),
        busy => Err(ApiError::incorrect_state(format!(
            "{} is being changed by work request {busy}",
            doc.id()
        ))),
    }
}

fn target_kind(operation: &str) -> Kind {
    if operation.starts_with("CLUSTER") {
        Kind::Cluster
    } else {
        Kind::NodePool
    }
}

/// The work starts: the resources show, and the end is planned.
pub(super) fn start(books: &mut Ledger<'_, '_>, id: &str) {
    let Some(mut request) = books.live(Kind::WorkRequest, id) else {
        return;
    };
    if request.str("status") != "ACCEPTED" {
        return;
    }
    let operation = request.str("operationType").to_owned();
    let takes = request.hidden.get("takes").and_then(Value::as_u64);
    let mut end = (takes.unwrap_or(0), None);
    let target = request.note("target").to_owned();
    if matches!(&*operation, "NODEPOOL_CREATE" | "NODEPOOL_UPDATE") {
        end = node_pool::reconcile(books, &target);
    }
    let fault = books.fault("work-request", &operation, |_| true);
    let fault = fault.unwrap_or_default();
    let stuck = fault == "stuck";
    if fault == "fail" {
        end.1 = Some(Failure {
            code: "InternalError".to_owned(),
            message: format!("{operation} failed: an internal error occurred"),
        });
    }
    if let Some(factor) = fault.strip_prefix("slow") {
        let factor: f64 = factor.trim().parse().unwrap_or(3.0);
        let slowed = std::time::Duration::from_millis(end.0).mul_f64(factor.clamp(1.0, 1e4));
        end.0 = super::millis(slowed);
    }
    request.set("status", "IN_PROGRESS");
    request.set("timeStarted", books.now());
    request.set("resources", resources(&request, "IN_PROGRESS"));
    plan_logs(books, &mut request, end.0, stuck);
    books.put(Kind::WorkRequest, &mut request);
    if !stuck {
        let event = Event::Finish {
            request: id.to_owned(),
            error: end.1,
        };
        books.after(end.0, &event);
    }
}

fn resources(request: &Doc, action: &str) -> Value {
    let row = |kind: Kind, id: &str| {
        let (entity, path) = match kind {
            Kind::Cluster => ("cluster", "clusters"),
            _ => ("nodepool", "nodePools"),
        };
        json!({
            "actionType": action,
            "entityType": entity,
            "identifier": id,
            "entityUri": format!("/{path}/{id}"),
        })
    };
    let kind = target_kind(request.str("operationType"));
    let mut rows = vec![row(kind, request.note("target"))];
    let also = request.hidden.get("also").and_then(Value::as_array);
    let also = also.into_iter().flatten().filter_map(Value::as_str);
    rows.extend(also.map(|id| row(Kind::NodePool, id)));
    rows.into()
}

/// The log lines, each with the age from which it shows. A stuck request stops
/// logging halfway.
fn plan_logs(books: &Ledger<'_, '_>, request: &mut Doc, takes: u64, stuck: bool) {
    let lines = request.hidden.get("plannedLogs").and_then(Value::as_array);
    let lines = lines.cloned().unwrap_or_default();
    let count = lines.len() as u64;
    let shown = if stuck { count.div_ceil(2) } else { count };
    let logs: Vec<_> = (0..shown)
        .zip(lines)
        .map(|(n, line)| {
            let at = books.age + takes * n / count.max(1);
            json!({"message": line, "timestamp": books.time_at(at), "at": at})
        })
        .collect();
    request.set_note("logs", logs);
}

/// The work ends, well or not.
pub(super) fn finish(books: &mut Ledger<'_, '_>, id: &str, error: Option<Failure>) {
    let Some(mut request) = books.live(Kind::WorkRequest, id) else {
        return;
    };
    let operation = request.str("operationType").to_owned();
    let target = request.note("target").to_owned();
    if operation == "CLUSTER_CREATE" && error.is_none() && !cluster::is_served(books, &target) {
        // The cluster's API server is still being started.
        let event = Event::Finish {
            request: id.to_owned(),
            error,
        };
        books.after(1_000, &event);
        return;
    }
    let failed = error.is_some();
    let (status, action) = match operation.rsplit('_').next() {
        _ if failed => ("FAILED", "FAILED"),
        Some("CREATE") => ("SUCCEEDED", "CREATED"),
        Some("DELETE") => ("SUCCEEDED", "DELETED"),
        _ => ("SUCCEEDED", "UPDATED"),
    };
    request.set("status", status);
    request.set("timeFinished", books.now());
    request.set("resources", resources(&request, action));
    let ending = match &error {
        Some(error) => error.message.clone(),
        None => format!("{operation} succeeded"),
    };
    append_log(books, &mut request, &ending);
    if let Some(error) = &error {
        let row = json!({
            "code": error.code,
            "message": error.message,
            "timestamp": books.now(),
        });
        request.set_note("errors", vec![row]);
    }
    books.put(Kind::WorkRequest, &mut request);
    let kind = target_kind(&operation);
    if let Some(mut doc) = books.live(kind, &target) {
        doc.hidden.remove("busy");
        books.put(kind, &mut doc);
        match kind {
            Kind::Cluster => cluster::finished(books, doc, &operation, error),
            _ => node_pool::finished(books, doc, &operation, error),
        }
    }
}

fn append_log(books: &Ledger<'_, '_>, request: &mut Doc, message: &str) {
    let mut logs = notes(request, "logs");
    let line = json!({"message": message, "timestamp": books.now(), "at": books.age});
    logs.push(line);
    request.set_note("logs", logs);
}

fn notes(request: &Doc, field: &str) -> Vec<Value> {
    let rows = request.hidden.get(field).and_then(Value::as_array);
    rows.cloned().unwrap_or_default()
}

/// `GetWorkRequest`.
pub(super) fn get(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let request = books.get(Kind::WorkRequest, call.id())?;
    let answer = Answer::doc(books, &request);
    let ended = matches!(request.str("status"), "SUCCEEDED" | "FAILED" | "CANCELED");
    // The header is in whole seconds of the client's clock.
    Ok(if ended {
        answer
    } else {
        answer.with("retry-after", "5")
    })
}

/// `ListWorkRequests`.
pub(super) fn list(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let requests = listing::select(books, call, Kind::WorkRequest, &[])?;
    let wanted = |name: &str, field: &str| {
        call.request
            .param(name)
            .is_none_or(|value| field.eq_ignore_ascii_case(value))
    };
    let statuses: Vec<_> = call.request.params("status").collect();
    let rows = requests
        .into_iter()
        .filter(|request| wanted("clusterId", request.note("cluster")))
        .filter(|request| wanted("resourceId", request.note("target")))
        .filter(|request| {
            let kind = target_kind(request.str("operationType")).ocid_type();
            wanted("resourceType", kind)
        })
        .filter(|request| statuses.is_empty() || statuses.contains(&request.str("status")))
        .map(|request| request.body.into())
        .collect();
    listing::page(books, call, rows)
}

/// `ListWorkRequestErrors`.
pub(super) fn errors(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    call.need_param("compartmentId")?;
    let request = books.get(Kind::WorkRequest, call.id())?;
    Ok(Answer::ok(notes(&request, "errors")))
}

/// `ListWorkRequestLogs`.
pub(super) fn logs(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    call.need_param("compartmentId")?;
    let request = books.get(Kind::WorkRequest, call.id())?;
    let rows: Vec<_> = notes(&request, "logs")
        .into_iter()
        .filter(|line| line["at"].as_u64().is_some_and(|at| at <= books.age))
        .map(|line| json!({"message": line["message"], "timestamp": line["timestamp"]}))
        .collect();
    Ok(Answer::ok(rows))
}

/// `DeleteWorkRequest` cancels, but only before the work starts.
pub(super) fn cancel(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let mut request = books.get_live(Kind::WorkRequest, call.id())?;
    if request.str("status") != "ACCEPTED" {
        let why = format!("{} has started and cannot be canceled", request.id());
        return Err(ApiError::incorrect_state(why));
    }
    request.set("status", "CANCELED");
    request.set("timeFinished", books.now());
    books.put(Kind::WorkRequest, &mut request);
    let kind = target_kind(request.str("operationType"));
    if let Some(mut doc) = books.live(kind, request.note("target")) {
        doc.hidden.remove("busy");
        if request.str("operationType").ends_with("_CREATE") {
            books.bury(kind, &mut doc);
            super::network::address::release(books, doc.id());
        } else {
            books.put(kind, &mut doc);
        }
    }
    Ok(Answer::no_content())
}
