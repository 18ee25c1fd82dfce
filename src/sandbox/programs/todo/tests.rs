//! The reference app against a sidecar that notes what it is told.

use std::sync::{Arc, Mutex};

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::super::super::http::Reply;
use super::super::testing::{Stage, eventually};
use super::super::web::{Answer, Call, Server};
use super::super::{Process, Program as _};
use super::{Backend, Frontend};

async fn ask(process: &Process, method: Method, path: &str, body: &str) -> Answer {
    Call::new(method, "localhost", 8000, path)
        .with("x-correlation-id", "corr-1")
        .with(
            "traceparent",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        )
        .with_body("application/json", body.to_owned())
        .send(process)
        .await
        .unwrap()
}

fn json_of(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap()
}

async fn listening(process: &Process, port: u16) {
    let (net, address) = (process.net.clone(), process.address);
    eventually("the port is open", || net.socket(address, port).is_some()).await;
}

/// A sidecar that refuses once and then takes everything.
async fn sidecar(process: &Process) -> Arc<Mutex<Vec<(String, Value)>>> {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let (server, notes) = (Server::bind(process, 3500).await.unwrap(), heard.clone());
    let refused = Arc::new(Mutex::new(false));
    tokio::spawn(server.run(process.stop.clone(), move |request| {
        let (notes, refused) = (notes.clone(), refused.clone());
        async move {
            if !std::mem::replace(&mut *refused.lock().unwrap(), true) {
                return Reply::empty(StatusCode::INTERNAL_SERVER_ERROR);
            }
            let body = serde_json::from_slice(&request.body).unwrap();
            notes.lock().unwrap().push((request.target, body));
            Reply::empty(StatusCode::NO_CONTENT)
        }
    }));
    heard
}

#[tokio::test]
async fn each_change_of_a_task_is_told_once_and_in_its_trace() {
    let stage = Stage::new();
    let (mut process, lines) = stage.process("ghcr.io/acme/todo-backend:0.2.0", 5);
    process.env.insert("DAPR_HTTP_PORT".into(), "3500".into());
    let heard = sidecar(&process).await;
    let running = tokio::spawn({
        let process = process.clone();
        async move { Backend.run(process).await }
    });
    listening(&process, 8000).await;

    let made = ask(
        &process,
        Method::POST,
        "/api/tasks",
        r#"{"title": "write"}"#,
    )
    .await;
    assert_eq!(made.status, StatusCode::CREATED);
    assert_eq!(made.headers["x-correlation-id"], "corr-1");
    let task = json_of(&made);
    assert_eq!((&task["id"], &task["title"]), (&json!(1), &json!("write")));
    let done = ask(&process, Method::PATCH, "/api/tasks/1/complete", "").await;
    assert_eq!(json_of(&done)["completed"], json!(true));
    let gone = ask(&process, Method::DELETE, "/api/tasks/1", "").await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    let bad = ask(&process, Method::POST, "/api/tasks", "{}").await;
    assert_eq!(bad.status, StatusCode::UNPROCESSABLE_ENTITY);

    // Created, completed (to two topics) and deleted; the refused one again.
    eventually("all is published", || heard.lock().unwrap().len() == 4).await;
    let mut told: Vec<(String, String)> = Vec::new();
    for (target, event) in heard.lock().unwrap().iter() {
        assert!(target.ends_with("?metadata.partitionKey=1"), "{target}");
        let trace = event["traceparent"].as_str().unwrap();
        assert!(trace.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"));
        assert_eq!(event["data"]["correlation_id"], "corr-1");
        let topic = target.split(['/', '?']).nth(4).unwrap();
        told.push((topic.to_owned(), event["type"].as_str().unwrap().to_owned()));
    }
    // Each topic has them in the order in which they happened.
    told.sort_by(|(a, _), (b, _)| a.cmp(b));
    let expected = [
        ("task-events", "task.created"),
        ("task-events", "task.completed"),
        ("task-events", "task.deleted"),
        ("task-updates", "task.completed"),
    ];
    assert_eq!(told, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
    assert!(lines.text().contains("it stays in the outbox"));
    assert!(lines.text().contains(r#""correlation_id":"corr-1""#));
    process.stop.cancel();
    assert_eq!(running.await.unwrap(), super::super::Exit::OK);
}

#[tokio::test]
async fn an_event_that_comes_twice_is_counted() {
    let stage = Stage::new();
    let (process, _) = stage.process("todo-backend", 6);
    tokio::spawn({
        let process = process.clone();
        async move { Backend.run(process).await }
    });
    listening(&process, 8000).await;
    let topics = ask(&process, Method::GET, "/dapr/subscribe", "").await;
    assert_eq!(json_of(&topics)[0]["topic"], "task-events");
    let event = r#"{"id": "a", "type": "task.created"}"#;
    for _ in 0..2 {
        let taken = ask(&process, Method::POST, "/events/task-events", event).await;
        assert_eq!(json_of(&taken)["status"], "SUCCESS");
    }
    let seen = ask(&process, Method::GET, "/api/events", "").await;
    assert_eq!(json_of(&seen)[0]["times"], json!(2));
}

#[tokio::test]
async fn the_frontend_serves_its_page() {
    let stage = Stage::new();
    let (mut process, _) = stage.process("todo-frontend:0.2.0", 7);
    process.ports = vec![3000];
    tokio::spawn({
        let process = process.clone();
        async move { Frontend.run(process).await }
    });
    listening(&process, 3000).await;
    let call = Call::new(Method::GET, "localhost", 3000, "/");
    let page = call.send(&process).await.unwrap();
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    assert!(String::from_utf8_lossy(&page.body).contains("todo-frontend 0.2.0"));
}
