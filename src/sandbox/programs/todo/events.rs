//! The app's events: CloudEvents that wait in the outbox, written in the same
//! transaction as the task, until the sidecar has taken them. An event keeps
//! its id over all tries, so that one that comes twice is noticed.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::super::Process;
use super::super::ids;
use super::super::web::Call;
use super::backend::Log;
use super::database::{Database, Rows};
use super::tasks::Asker;

const OUTBOX: &str = "outbox";
/// The pauses between tries: doubled up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LAST_PAUSE: Duration = Duration::from_secs(10);

/// An event and the topics that it goes to.
#[derive(Debug, Clone)]
pub(super) struct Event {
    topics: Vec<&'static str>,
    body: Value,
    /// Where it is in the outbox.
    keys: Vec<String>,
}

impl Event {
    /// What happened to a task.
    pub(super) fn about(task: &Value, kind: &'static str, asker: &Asker) -> Self {
        let mut topics = vec!["task-events"];
        if matches!(kind, "task.updated" | "task.completed") {
            topics.push("task-updates");
        }
        let data = json!({
            "task_id": task["id"],
            "user_id": task["user_id"],
            "title": task["title"],
            "description": task["description"],
            "due_date": task["due_date"],
            "completed": task["completed"],
            "timestamp": asker.now.to_string(),
            "correlation_id": asker.correlation,
        });
        Self::new(kind, topics, &data, asker)
    }

    /// A reminder that is due.
    pub(super) fn reminder(job: &str, payload: &Value, asker: &Asker) -> Self {
        let data = json!({
            "job": job,
            "task_id": payload["task_id"],
            "user_id": payload["user_id"],
            "title": payload["title"],
            "timestamp": asker.now.to_string(),
            "correlation_id": asker.correlation,
        });
        Self::new("reminder.due", vec!["reminders"], &data, asker)
    }

    fn new(kind: &str, topics: Vec<&'static str>, data: &Value, asker: &Asker) -> Self {
        let subject = match &data["task_id"] {
            Value::Null => data["job"].as_str().unwrap_or_default().to_owned(),
            id => format!("tasks/{id}"),
        };
        let body = json!({
            "specversion": "1.0",
            "id": ids::uuid(),
            "source": "todo-backend",
            "type": kind,
            "subject": subject,
            "time": asker.now.to_string(),
            "datacontenttype": "application/json",
            "traceparent": asker.traceparent,
            "data": data,
        });
        Self {
            topics,
            body,
            keys: Vec::new(),
        }
    }

    /// The event's id.
    pub(super) fn id(&self) -> &str {
        self.body["id"].as_str().unwrap_or_default()
    }

    /// The event's type.
    pub(super) fn kind(&self) -> &str {
        self.body["type"].as_str().unwrap_or_default()
    }

    /// Puts it into the outbox, once for each topic.
    pub(super) fn keep(&mut self, rows: &mut Rows<'_, '_>) {
        for topic in &self.topics {
            let number = rows.next(OUTBOX);
            let subject = self.body["subject"].as_str().unwrap_or_default();
            let key = format!("{number:012} {topic} {subject}");
            rows.put(OUTBOX, &key, json!({"topic": topic, "event": self.body}));
            self.keys.push(key);
        }
    }

    /// The keys under which it is in the outbox.
    pub(super) fn keys(&self) -> &[String] {
        &self.keys
    }
}

/// What keeps its order: the events of one subject in one topic.
pub(super) fn lane(key: &str) -> &str {
    key.split_once(' ').map_or(key, |(_, lane)| lane)
}

/// What an earlier process left in the outbox, the oldest first.
pub(super) fn left_over(database: &Database) -> Vec<String> {
    let rows = database.rows(OUTBOX);
    rows.into_iter().map(|(key, _)| key).collect()
}

/// Hands an event of the outbox to the sidecar, as often as it takes.
pub(super) async fn deliver(process: &Process, database: &Database, log: &Log, key: &str) {
    let mut pause = FIRST_PAUSE;
    let started = process.world.clock.elapsed();
    // Another replica may have delivered it meanwhile.
    while let Some(row) = database.row(OUTBOX, key) {
        let topic = row["topic"].as_str().unwrap_or_default();
        let event = &row["event"];
        match publish(process, topic, event).await {
            Ok(()) => {
                database.delete(OUTBOX, key);
                let took = process.world.clock.elapsed().saturating_sub(started);
                log.about(event).info(
                    "event published",
                    &json!({"topic": topic, "duration_ms": took.as_millis()}),
                );
                return;
            }
            Err(why) => log.about(event).write(
                "WARNING",
                "event not published, it stays in the outbox",
                &json!({"topic": topic, "error": why, "retry_in_ms": pause.as_millis()}),
            ),
        }
        if process.world.clock.sleep(pause).await.is_err() {
            return;
        }
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

async fn publish(process: &Process, topic: &str, event: &Value) -> Result<(), String> {
    let Some(port) = sidecar(process) else {
        return Err("there is no sidecar: DAPR_HTTP_PORT is not set".to_owned());
    };
    let pubsub = process.env.get("PUBSUB_NAME");
    let pubsub = pubsub.map_or("kafka-pubsub", String::as_str);
    let task = &event["data"]["task_id"];
    // Events of one task stay in their order.
    let target = match task {
        Value::Null => format!("/v1.0/publish/{pubsub}/{topic}"),
        id => format!("/v1.0/publish/{pubsub}/{topic}?metadata.partitionKey={id}"),
    };
    let traceparent = event["traceparent"].as_str().unwrap_or_default();
    let answer = with_token(process, Call::new(Method::POST, "localhost", port, target))
        .with("traceparent", traceparent)
        .with_body("application/cloudevents+json", event.to_string())
        .send(process)
        .await;
    match answer {
        Ok(answer) if answer.status.is_success() => Ok(()),
        Ok(answer) => Err(format!(
            "{}: {}",
            answer.status.as_u16(),
            String::from_utf8_lossy(&answer.body)
        )),
        Err(error) => Err(error.to_string()),
    }
}

/// Where the sidecar's API is.
pub(super) fn sidecar(process: &Process) -> Option<u16> {
    process.env.get("DAPR_HTTP_PORT")?.parse().ok()
}

/// The same call with the sidecar's token, if it wants one.
pub(super) fn with_token(process: &Process, call: Call) -> Call {
    match process.env.get("DAPR_API_TOKEN") {
        Some(token) => call.with("dapr-api-token", token),
        None => call,
    }
}
