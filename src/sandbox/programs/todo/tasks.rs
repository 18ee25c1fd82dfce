//! Tasks: what a request wants done with them, and the event that tells of it.

use http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::database::Database;
use super::events::Event;

const TABLE: &str = "tasks";

/// What came of a request about tasks.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) status: StatusCode,
    pub(super) body: Option<Value>,
    /// What there is to tell; it is in the outbox already.
    pub(super) event: Option<Event>,
}

impl Outcome {
    fn of(status: StatusCode, body: Value) -> Self {
        Self {
            status,
            body: Some(body),
            event: None,
        }
    }

    fn problem(status: StatusCode, detail: &str) -> Self {
        Self::of(status, json!({ "detail": detail }))
    }
}

/// Who asks, and in which trace.
#[derive(Debug, Clone)]
pub(super) struct Asker {
    pub(super) user: String,
    pub(super) correlation: String,
    pub(super) traceparent: String,
    pub(super) now: Timestamp,
}

/// Answers a request for `/api/tasks` and what is below it.
pub(super) fn handle(
    database: &Database,
    asker: &Asker,
    method: &Method,
    rest: &[&str],
    body: &[u8],
) -> Outcome {
    let parsed: Option<Map<String, Value>> = serde_json::from_slice(body).ok();
    match (method, rest) {
        (&Method::GET, []) => {
            let all = database.rows(TABLE).into_iter().map(|(_, task)| task);
            Outcome::of(StatusCode::OK, all.collect())
        }
        (&Method::POST, []) => create(database, asker, parsed),
        (&Method::GET, [id]) => match database.row(TABLE, &key(id)) {
            Some(task) => Outcome::of(StatusCode::OK, task),
            None => unknown(),
        },
        (&Method::PUT | &Method::PATCH, [id]) => match parsed {
            Some(fields) => change(database, asker, id, "task.updated", &fields),
            None => Outcome::problem(StatusCode::UNPROCESSABLE_ENTITY, "the body is no object"),
        },
        (&Method::PATCH | &Method::POST, [id, "complete"]) => {
            let done = Map::from_iter([("completed".to_owned(), json!(true))]);
            change(database, asker, id, "task.completed", &done)
        }
        (&Method::DELETE, [id]) => remove(database, asker, id),
        _ => Outcome::problem(StatusCode::METHOD_NOT_ALLOWED, "method not allowed"),
    }
}

fn unknown() -> Outcome {
    Outcome::problem(StatusCode::NOT_FOUND, "task not found")
}

/// Rows are in the order of their numbers.
fn key(id: &str) -> String {
    format!("{id:0>12}")
}

fn create(database: &Database, asker: &Asker, fields: Option<Map<String, Value>>) -> Outcome {
    let fields = fields.unwrap_or_default();
    let title = fields.get("title").and_then(Value::as_str).map(str::trim);
    let Some(title) = title.filter(|title| !title.is_empty()) else {
        return Outcome::problem(StatusCode::UNPROCESSABLE_ENTITY, "title is required");
    };
    let (task, event) = database.transaction(|rows| {
        let id = rows.next(TABLE);
        let task = json!({
            "id": id,
            "user_id": asker.user,
            "title": title,
            "description": fields.get("description").cloned().unwrap_or_default(),
            "due_date": fields.get("due_date").cloned().unwrap_or_default(),
            "completed": false,
            "created_at": asker.now.to_string(),
            "updated_at": asker.now.to_string(),
        });
        rows.put(TABLE, &key(&id.to_string()), task.clone());
        let mut event = Event::about(&task, "task.created", asker);
        event.keep(rows);
        (task, event)
    });
    Outcome {
        event: Some(event),
        ..Outcome::of(StatusCode::CREATED, task)
    }
}

fn change(
    database: &Database,
    asker: &Asker,
    id: &str,
    kind: &'static str,
    fields: &Map<String, Value>,
) -> Outcome {
    let changed = database.transaction(|rows| {
        let mut task = rows.get(TABLE, &key(id))?;
        let was_done = task["completed"] == json!(true);
        for name in ["title", "description", "due_date", "completed"] {
            if let Some(value) = fields.get(name) {
                task[name] = value.clone();
            }
        }
        task["updated_at"] = json!(asker.now.to_string());
        rows.put(TABLE, &key(id), task.clone());
        // Ticking a task off is its completion, however it is asked for.
        let done = !was_done && task["completed"] == json!(true);
        let kind = if done { "task.completed" } else { kind };
        let mut event = Event::about(&task, kind, asker);
        event.keep(rows);
        Some((task, event))
    });
    let Some((task, event)) = changed else {
        return unknown();
    };
    Outcome {
        event: Some(event),
        ..Outcome::of(StatusCode::OK, task)
    }
}

fn remove(database: &Database, asker: &Asker, id: &str) -> Outcome {
    let gone = database.transaction(|rows| {
        let task = rows.get(TABLE, &key(id))?;
        rows.delete(TABLE, &key(id));
        let mut event = Event::about(&task, "task.deleted", asker);
        event.keep(rows);
        Some(event)
    });
    match gone {
        None => unknown(),
        event => Outcome {
            status: StatusCode::NO_CONTENT,
            body: None,
            event,
        },
    }
}
