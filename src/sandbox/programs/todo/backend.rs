//! The backend: an API for tasks that publishes an event for each change
//! through its sidecar, receives events, and is called when a reminder is due.
//!
//! Every request has a correlation id, taken from `x-correlation-id` or made;
//! it is in the log lines, the answer and the event.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use async_trait::async_trait;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::super::super::http::{Reply, Request};
use super::super::ids::{self, Trace};
use super::super::web::{Call, Server};
use super::super::{Exit, Process, Program, tag};
use super::database::Database;
use super::events::{self, Event};
use super::tasks::{self, Asker, Outcome};

/// The image `todo-backend`.
pub struct Backend;

/// What the requests share.
struct App {
    process: Process,
    database: Database,
    log: Log,
    /// Keys of the outbox for the publisher.
    outbox: mpsc::UnboundedSender<String>,
}

#[async_trait]
impl Program for Backend {
    async fn run(&self, process: Process) -> Exit {
        let port = super::port(&process, 8000);
        let log = Log::new(&process);
        let server = match Server::bind(&process, port).await {
            Ok(server) => server.faulty("app", &process),
            Err(error) => {
                log.write("ERROR", &format!("cannot listen: {error}"), &json!({}));
                return Exit::error(1);
            }
        };
        let database = Database::of(&process);
        let (outbox, work) = mpsc::unbounded_channel();
        for key in events::left_over(&database) {
            // The receiver lives as long as this function.
            let _ = outbox.send(key);
        }
        log.info(
            "started",
            &json!({"port": port, "version": tag(&process.image)}),
        );
        let app = Arc::new(App {
            process: process.clone(),
            database,
            log,
            outbox,
        });
        let shared = app.clone();
        let serving = server.run(process.stop.clone(), move |request| {
            let app = shared.clone();
            async move { app.answer(request).await }
        });
        tokio::select! {
            () = serving => {}
            () = app.publish(work) => {}
        }
        app.log.info("stopped", &json!({}));
        Exit::OK
    }
}

impl App {
    /// Publishes what comes into the outbox: what is about one task in its
    /// order, and nothing held up by what is about another.
    async fn publish(&self, mut work: mpsc::UnboundedReceiver<String>) {
        let mut running = JoinSet::new();
        let mut waiting: HashMap<String, VecDeque<String>> = HashMap::new();
        loop {
            let lane = tokio::select! {
                Some(key) = work.recv() => {
                    let lane = events::lane(&key).to_owned();
                    let is_busy = waiting.contains_key(&lane);
                    waiting.entry(lane.clone()).or_default().push_back(key);
                    if is_busy {
                        continue;
                    }
                    lane
                }
                Some(Ok(lane)) = running.join_next() => lane,
                else => return,
            };
            let Some(key) = waiting.get_mut(&lane).and_then(VecDeque::pop_front) else {
                waiting.remove(&lane);
                continue;
            };
            let (process, database) = (self.process.clone(), self.database.clone());
            let log = self.log.clone();
            running.spawn(async move {
                events::deliver(&process, &database, &log, &key).await;
                lane
            });
        }
    }

    async fn answer(&self, request: Request) -> Reply {
        let started = self.process.world.clock.elapsed();
        let asker = self.asker(&request);
        let reply = self.route(&request, &asker).await;
        let took = self.process.world.clock.elapsed().saturating_sub(started);
        if !request.path.ends_with("/health") {
            let log = self.log.with("correlation_id", json!(asker.correlation));
            let line = json!({
                "method": request.method.as_str(),
                "path": request.path,
                "status": reply.status.as_u16(),
                "trace_id": Trace::parse(&asker.traceparent).map(|trace| trace.trace_id),
                "duration_ms": took.as_millis(),
            });
            log.info("request", &line);
        }
        reply
            .with("x-correlation-id", &asker.correlation)
            .with("traceparent", &asker.traceparent)
    }

    fn asker(&self, request: &Request) -> Asker {
        let trace = request.header("traceparent").and_then(Trace::parse);
        let trace = trace.map_or_else(Trace::start, |trace| trace.child());
        let correlation = request.header("x-correlation-id").map(str::to_owned);
        let bearer = request.header("authorization");
        let user = bearer
            .and_then(|header| header.strip_prefix("Bearer session-"))
            .or_else(|| request.header("x-user-id"))
            .unwrap_or("demo");
        Asker {
            user: user.to_owned(),
            correlation: correlation.unwrap_or_else(ids::uuid),
            traceparent: trace.header(),
            now: self.process.world.clock.now(),
        }
    }

    async fn route(&self, request: &Request, asker: &Asker) -> Reply {
        let path = request.path.trim_matches('/');
        let parts: Vec<&str> = path.split('/').collect();
        match (&request.method, parts.as_slice()) {
            (_, ["health"] | ["api", "health"]) => self.health(),
            (&Method::POST, ["api", "auth", "login"]) => login(&request.body),
            (method, ["api", "tasks", rest @ ..]) => {
                let outcome = tasks::handle(&self.database, asker, method, rest, &request.body);
                self.finish(outcome, asker).await
            }
            (&Method::GET, ["api", "events"]) => {
                let all = self.database.rows("received").into_iter();
                Reply::json(StatusCode::OK, &all.map(|(_, row)| row).collect::<Value>())
            }
            (&Method::GET, ["dapr", "subscribe"]) => self.subscriptions(),
            (&Method::POST, ["events", topic]) => self.receive(topic, &request.body),
            (&Method::POST, ["job", name]) => self.job(name, &request.body, asker),
            _ => problem(StatusCode::NOT_FOUND, "not found"),
        }
    }

    fn health(&self) -> Reply {
        let version = tag(&self.process.image);
        let body = json!({"status": "ok", "service": "todo-backend", "version": version});
        Reply::json(StatusCode::OK, &body)
    }

    /// Tells of what was done, and answers.
    async fn finish(&self, outcome: Outcome, asker: &Asker) -> Reply {
        if let Some(event) = &outcome.event {
            let data = json!({"type": event.kind(), "event_id": event.id()});
            self.log
                .with("correlation_id", json!(asker.correlation))
                .info("task changed", &data);
            self.tell(event);
            if let Some(task) = &outcome.body {
                self.remind(task).await;
            }
        }
        match outcome.body {
            Some(body) => Reply::json(outcome.status, &body),
            None => Reply::empty(outcome.status),
        }
    }

    fn tell(&self, event: &Event) {
        for key in event.keys() {
            // The publisher lives as long as the server.
            let _ = self.outbox.send(key.clone());
        }
    }

    /// A task with a date gets a job at that time; a failure costs the
    /// reminder, not the request.
    async fn remind(&self, task: &Value) {
        let (Some(due), Some(port)) = (task["due_date"].as_str(), events::sidecar(&self.process))
        else {
            return;
        };
        let job = json!({
            "dueTime": due,
            "overwrite": true,
            "data": {"task_id": task["id"], "user_id": task["user_id"], "title": task["title"]},
        });
        let target = format!("/v1.0/jobs/reminder-{}", task["id"]);
        let call = Call::new(Method::POST, "localhost", port, target);
        let answer = events::with_token(&self.process, call)
            .with_body("application/json", job.to_string())
            .send(&self.process)
            .await;
        let why = match answer {
            Ok(answer) if answer.status.is_success() => return,
            Ok(answer) => String::from_utf8_lossy(&answer.body).into_owned(),
            Err(error) => error.to_string(),
        };
        self.log.write(
            "WARNING",
            "no reminder was scheduled",
            &json!({"task_id": task["id"], "error": why}),
        );
    }

    fn subscriptions(&self) -> Reply {
        let pubsub = self.process.env.get("PUBSUB_NAME");
        let pubsub = pubsub.map_or("kafka-pubsub", String::as_str);
        let all = ["task-events", "reminders"].map(|topic| {
            json!({"pubsubname": pubsub, "topic": topic, "route": format!("/events/{topic}")})
        });
        Reply::json(StatusCode::OK, &all)
    }

    /// Notes an event; one that was noted before is only counted.
    fn receive(&self, topic: &str, body: &[u8]) -> Reply {
        let Ok(event) = serde_json::from_slice::<Value>(body) else {
            return problem(StatusCode::BAD_REQUEST, "the body is no event");
        };
        let id = format!("{topic}/{}", event["id"].as_str().unwrap_or_default());
        let times = self.database.transaction(|rows| {
            let held = rows.get("received", &id);
            let times = held.map_or(0, |row| row["times"].as_u64().unwrap_or(0)) + 1;
            let row = json!({"topic": topic, "times": times, "event": event});
            rows.put("received", &id, row);
            times
        });
        self.log
            .about(&event)
            .info("event received", &json!({"topic": topic, "times": times}));
        Reply::json(StatusCode::OK, &json!({"status": "SUCCESS"}))
    }

    fn job(&self, name: &str, body: &[u8], asker: &Asker) -> Reply {
        let payload: Value = serde_json::from_slice(body).unwrap_or_default();
        self.log
            .with("correlation_id", json!(asker.correlation))
            .info("job triggered", &json!({"job": name, "payload": payload}));
        let mut event = Event::reminder(name, &payload, asker);
        self.database.transaction(|rows| event.keep(rows));
        self.tell(&event);
        Reply::empty(StatusCode::OK)
    }
}

/// Anybody may log in: there are no secrets to keep here.
fn login(body: &[u8]) -> Reply {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let user = body["email"].as_str().or_else(|| body["username"].as_str());
    match user.filter(|user| !user.is_empty()) {
        Some(user) => {
            let answer = json!({
                "access_token": format!("session-{user}"),
                "token_type": "bearer",
                "user_id": user,
            });
            Reply::json(StatusCode::OK, &answer)
        }
        None => problem(StatusCode::UNPROCESSABLE_ENTITY, "email is required"),
    }
}

fn problem(status: StatusCode, detail: &str) -> Reply {
    Reply::json(status, &json!({ "detail": detail }))
}

/// The log: a JSON object a line.
#[derive(Clone)]
pub(super) struct Log {
    process: Process,
    fields: serde_json::Map<String, Value>,
}

impl Log {
    fn new(process: &Process) -> Self {
        Self {
            process: process.clone(),
            fields: serde_json::Map::new(),
        }
    }

    fn with(&self, name: &str, value: Value) -> Self {
        let mut log = self.clone();
        log.fields.insert(name.to_owned(), value);
        log
    }

    /// The same log with what identifies an event.
    pub(super) fn about(&self, event: &Value) -> Self {
        let trace = event["traceparent"].as_str().and_then(Trace::parse);
        self.with("event_id", event["id"].clone())
            .with("type", event["type"].clone())
            .with("correlation_id", event["data"]["correlation_id"].clone())
            .with("trace_id", json!(trace.map(|trace| trace.trace_id)))
    }

    pub(super) fn info(&self, message: &str, more: &Value) {
        self.write("INFO", message, more);
    }

    pub(super) fn write(&self, level: &str, message: &str, more: &Value) {
        let mut line = json!({
            "timestamp": self.process.world.clock.now().to_string(),
            "level": level,
            "logger": "todo-backend",
            "message": message,
        });
        let more = more.as_object().into_iter().flatten();
        for (name, value) in self.fields.iter().chain(more) {
            line[name] = value.clone();
        }
        self.process.log(&line.to_string());
    }
}
