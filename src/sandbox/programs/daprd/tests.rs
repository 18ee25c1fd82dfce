//! A sidecar between a broker, an app and a control plane that answers what
//! the test says.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::handshake;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};

use super::super::super::http::Reply;
use super::super::super::kafka::{Broker, NewTopic, Options};
use super::super::brokers::{self, Entry, Registration};
use super::super::testing::{Lines, Stage, eventually};
use super::super::web::{Answer, Call, Server};
use super::super::{Exit, Process, Program as _};
use super::Daprd;

/// Keeps what stands around the sidecar.
struct Around {
    stage: Stage,
    broker: Arc<Broker>,
    _binding: super::super::super::podnet::Binding,
    _registration: Registration,
}

impl Around {
    /// A broker with a topic at 10.244.0.9, and a control plane at 10.244.0.1.
    async fn new(components: Value) -> Self {
        let stage = Stage::new();
        let broker = Broker::open(&stage.world, "test", Options::default()).unwrap();
        for name in ["task-events", "dead"] {
            let topic = NewTopic {
                name: name.to_owned(),
                partitions: 3,
                replicas: 1,
                ..NewTopic::default()
            };
            broker.topics.create(&topic, false).unwrap();
        }
        let address = "10.244.0.9".parse().unwrap();
        let (listener, binding) = stage.net.listen(address, 9092).await.unwrap();
        let entry = Entry {
            broker: broker.clone(),
            tls: false,
            ca_pem: None,
            sasl: false,
        };
        let registration = brokers::register(listener.local_addr().unwrap(), entry);
        let (plane, _) = stage.process("plane", 1);
        let server = Server::bind(&plane, 6500).await.unwrap();
        tokio::spawn(server.run(plane.stop.clone(), move |request| {
            let answer = match request.path.as_str() {
                "/components" => components.clone(),
                _ => json!([]),
            };
            async move { Reply::json(StatusCode::OK, &answer) }
        }));
        Self {
            stage,
            broker,
            _binding: binding,
            _registration: registration,
        }
    }

    /// A sidecar beside an app on port 8000, if there is one.
    fn sidecar(&self, app: bool) -> (Process, Arc<Lines>) {
        let (mut process, lines) = self.stage.process("ghcr.io/dapr/daprd:1.18.3", 5);
        let mut args = vec![
            "/daprd",
            "--app-id",
            "backend",
            "--control-plane-address",
            "10.244.0.1:6500",
            "--sentry-address",
            "10.244.0.1:6500",
            "--enable-metrics",
            "--log-as-json",
            "--log-level",
            "debug",
        ];
        if app {
            args.extend(["--app-port", "8000"]);
        }
        process.args = args.into_iter().map(str::to_owned).collect();
        (process, lines)
    }
}

fn kafka(name: &str) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "todo"},
        "spec": {"type": "pubsub.kafka", "version": "v1", "metadata": [
            {"name": "brokers", "value": "10.244.0.9:9092"},
            {"name": "authType", "value": "none"},
            {"name": "initialOffset", "value": "oldest"},
        ]},
    })
}

fn state() -> Value {
    json!({
        "metadata": {"name": "statestore", "namespace": "todo"},
        "spec": {"type": "state.postgresql", "version": "v2", "metadata": [
            {"name": "connectionString", "value": "postgres://u:p@db.example/todo"},
        ]},
    })
}

fn run(process: &Process) -> tokio::task::JoinHandle<Exit> {
    let process = process.clone();
    tokio::spawn(async move { Daprd.run(process).await })
}

async fn ask(process: &Process, method: Method, path: &str, body: &str) -> Answer {
    let call = Call::new(method, "localhost", 3500, path);
    call.with_body("application/json", body.to_owned())
        .send(process)
        .await
        .unwrap()
}

/// One gRPC call: its status and, if it is good, its message.
async fn rpc(process: &Process, token: &str, method: &str, frame: Vec<u8>) -> (String, Bytes) {
    let stream = process.connect("localhost", 50_001).await.unwrap();
    let io = TokioIo::new(stream);
    let (mut sender, connection) = handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::post(format!("http://sidecar/{method}"))
        .header("content-type", "application/grpc")
        .header("dapr-api-token", token)
        .body(Full::new(Bytes::from(frame)))
        .unwrap();
    let answer = sender.send_request(request).await.unwrap();
    let whole = answer.into_body().collect().await.unwrap();
    let status = whole.trailers().unwrap()["grpc-status"].to_str().unwrap();
    let status = status.to_owned();
    let mut bytes = whole.to_bytes();
    let message = bytes.split_off(bytes.len().min(5));
    (status, message)
}

fn framed(message: &[u8]) -> Vec<u8> {
    let mut frame = vec![0, 0, 0, 0, u8::try_from(message.len()).unwrap()];
    frame.extend(message);
    frame
}

fn code_of(answer: &Answer) -> (u16, String) {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let code = body["errorCode"].as_str().unwrap_or_default();
    (answer.status.as_u16(), code.to_owned())
}

/// An app that wants one topic, refuses the first event and takes the others.
async fn app(process: &Process, dead_letter: Option<&str>) -> Arc<Mutex<Vec<Value>>> {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let notes = heard.clone();
    let subscription = json!([{
        "pubsubname": "kafka-pubsub", "topic": "task-events", "route": "/events",
        "deadLetterTopic": dead_letter,
    }]);
    let server = Server::bind(process, 8000).await.unwrap();
    tokio::spawn(server.run(process.stop.clone(), move |request| {
        let (notes, subscription) = (notes.clone(), subscription.clone());
        async move {
            if request.path == "/dapr/subscribe" {
                return Reply::json(StatusCode::OK, &subscription);
            }
            let event: Value = serde_json::from_slice(&request.body).unwrap();
            let mut notes = notes.lock().unwrap();
            notes.push(event);
            match notes.len() {
                1 => Reply::empty(StatusCode::INTERNAL_SERVER_ERROR),
                _ => Reply::empty(StatusCode::OK),
            }
        }
    }));
    heard
}

#[tokio::test]
async fn what_is_published_comes_to_the_app_in_its_envelope() {
    let around = Around::new(json!([kafka("kafka-pubsub"), state()])).await;
    let (process, lines) = around.sidecar(true);
    let heard = app(&process, None).await;
    let running = run(&process);
    eventually("it is initialised", || {
        lines.text().contains("dapr initialized")
    })
    .await;
    let health = Call::new(Method::GET, "localhost", 3501, "/v1.0/healthz");
    assert_eq!(
        health.send(&process).await.unwrap().status,
        StatusCode::NO_CONTENT
    );

    let path = "/v1.0/publish/kafka-pubsub/task-events?metadata.partitionKey=7";
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let call = Call::new(Method::POST, "localhost", 3500, path).with("traceparent", trace);
    let call = call.with_body("application/json", r#"{"task_id": 7}"#);
    assert_eq!(
        call.send(&process).await.unwrap().status,
        StatusCode::NO_CONTENT
    );
    // Refused once, and brought again.
    eventually("it is delivered", || heard.lock().unwrap().len() == 2).await;
    let event = heard.lock().unwrap()[1].clone();
    assert_eq!(event["data"], json!({"task_id": 7}));
    assert_eq!(
        (&event["topic"], &event["source"]),
        (&json!("task-events"), &json!("backend"))
    );
    assert_eq!(event["traceparent"], trace);
    assert!(lines.text().contains("Retrying..."));

    let metadata = ask(&process, Method::GET, "/v1.0/metadata", "").await;
    let metadata: Value = serde_json::from_slice(&metadata.body).unwrap();
    assert_eq!(metadata["components"][0]["name"], "kubernetes");
    assert_eq!(metadata["subscriptions"][0]["type"], "PROGRAMMATIC");
    let metrics = Call::new(Method::GET, "localhost", 9090, "/");
    let metrics = metrics.send(&process).await.unwrap();
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    assert!(metrics.contains("dapr_component_pubsub_egress_count{app_id=\"backend\",component=\"kafka-pubsub\",namespace=\"todo\",success=\"true\",topic=\"task-events\"} 1"), "{metrics}");

    for (method, path, body, code) in [
        (
            Method::POST,
            "/v1.0/publish/other/t",
            "1",
            (404, "ERR_PUBSUB_NOT_FOUND"),
        ),
        (
            Method::POST,
            "/v1.0/publish/kafka-pubsub",
            "1",
            (404, "ERR_TOPIC_NAME_EMPTY"),
        ),
        (
            Method::POST,
            "/v1.0/publish/kafka-pubsub/unknown",
            "1",
            (500, "ERR_PUBSUB_PUBLISH_MESSAGE"),
        ),
        (
            Method::GET,
            "/v1.0/secrets/other/x",
            "",
            (401, "ERR_SECRET_STORE_NOT_FOUND"),
        ),
        (Method::GET, "/v1.0/nothing", "", (404, "ERR_DIRECT_INVOKE")),
        (
            Method::POST,
            "/v1.0/jobs/x",
            "{}",
            (400, "DAPR_SCHEDULER_SCHEDULE_EMPTY"),
        ),
    ] {
        let answer = ask(&process, method, path, body).await;
        assert_eq!(code_of(&answer), (code.0, code.1.to_owned()), "{path}");
    }
    process.stop.cancel();
    assert_eq!(running.await.unwrap(), Exit::OK);
}

#[tokio::test]
async fn with_a_dead_letter_topic_the_first_failure_is_the_last() {
    let around = Around::new(json!([kafka("kafka-pubsub")])).await;
    let (process, lines) = around.sidecar(true);
    let heard = app(&process, Some("dead")).await;
    let running = run(&process);
    eventually("it is initialised", || {
        lines.text().contains("dapr initialized")
    })
    .await;
    ask(
        &process,
        Method::POST,
        "/v1.0/publish/kafka-pubsub/task-events",
        "1",
    )
    .await;
    let dead = around.broker.topics.get("dead").unwrap();
    eventually("it is buried", || {
        dead.logs.iter().any(|log| log.bounds().1 == 1)
    })
    .await;
    assert_eq!(heard.lock().unwrap().len(), 1);
    process.stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn state_follows_the_rules_of_the_postgresql_store() {
    let around = Around::new(json!([state()])).await;
    let (process, lines) = around.sidecar(false);
    let running = run(&process);
    eventually("it is initialised", || {
        lines.text().contains("dapr initialized")
    })
    .await;
    let store = "/v1.0/state/statestore";
    let set = |body: &'static str| ask(&process, Method::POST, store, body);
    assert_eq!(
        set(r#"[{"key": "a", "value": {"n": 1}}]"#).await.status,
        StatusCode::NO_CONTENT
    );
    let got = ask(&process, Method::GET, "/v1.0/state/statestore/a", "").await;
    assert_eq!(&got.body[..], br#"{"n":1}"#);
    let etag = got.headers["etag"].to_str().unwrap().to_owned();
    for (body, code) in [
        (
            r#"[{"key": "a", "value": 2, "etag": "0"}]"#,
            (409, "ERR_STATE_SAVE"),
        ),
        (
            r#"[{"key": "a", "value": 2, "options": {"concurrency": "first-write"}}]"#,
            (500, "ERR_STATE_SAVE"),
        ),
        (r#"[{"value": 2}]"#, (400, "ERR_MALFORMED_REQUEST")),
        (
            r#"[{"key": "x||y", "value": 2}]"#,
            (400, "ERR_MALFORMED_REQUEST"),
        ),
        ("{}", (400, "ERR_MALFORMED_REQUEST")),
    ] {
        assert_eq!(
            code_of(&set(body).await),
            (code.0, code.1.to_owned()),
            "{body}"
        );
    }
    let body = format!(r#"[{{"key": "a", "value": 3, "etag": "{etag}"}}]"#);
    let saved = ask(&process, Method::POST, store, &body).await;
    assert_eq!(saved.status, StatusCode::NO_CONTENT);
    let body = format!(
        r#"{{"operations": [{{"operation": "upsert", "request": {{"key": "b", "value": 1}}}}, {{"operation": "delete", "request": {{"key": "a", "etag": "{etag}"}}}}]}}"#
    );
    let path = "/v1.0/state/statestore/transaction";
    let failed = ask(&process, Method::POST, path, &body).await;
    assert_eq!(code_of(&failed), (500, "ERR_STATE_TRANSACTION".to_owned()));
    let absent = ask(&process, Method::GET, "/v1.0/state/statestore/b", "").await;
    assert_eq!(absent.status, StatusCode::NO_CONTENT);
    process.stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn what_is_called_by_grpc_is_answered_as_by_http() {
    let around = Around::new(json!([state()])).await;
    let (mut process, lines) = around.sidecar(false);
    let token = ("DAPR_API_TOKEN".to_owned(), "right".to_owned());
    process.env.extend([token]);
    let running = run(&process);
    eventually("it is initialised", || {
        lines.text().contains("dapr initialized")
    })
    .await;
    let service = "dapr.proto.runtime.v1.Dapr";
    let save = framed(b"\x0a\x0astatestore\x12\x07\x0a\x01a\x12\x02hi");
    let get = framed(b"\x0a\x0astatestore\x12\x01a");
    for (token, method, frame, status) in [
        ("wrong", "Dapr/SaveState", save.clone(), "16"),
        ("right", "Dapr/SaveState", save.clone(), "0"),
        ("right", "Dapr/GetState", framed(b"\x0a\x01x\x12\x01a"), "3"),
        ("right", "Dapr/GetState", framed(b"\x0a\x0astate"), "13"),
        ("right", "Dapr/GetState", save[..9].to_vec(), "13"),
        ("right", "Dapr/GetState", Vec::new(), "13"),
        ("right", "Dapr/GetState", vec![1, 0, 0, 0, 0], "12"),
        ("right", "Dapr/TryLockAlpha1", framed(b""), "12"),
        ("right", "Other/GetState", get.clone(), "12"),
        ("right", "Dapr/GetState", vec![0; 5 << 20], "8"),
    ] {
        let method = format!("dapr.proto.runtime.v1.{method}");
        let (got, _) = rpc(&process, token, &method, frame).await;
        assert_eq!(got, status, "{method}");
    }
    let (_, held) = rpc(&process, "right", &format!("{service}/GetState"), get).await;
    assert!(held.starts_with(b"\x0a\x02hi\x12\x24"), "{held:?}");
    let metadata = format!("{service}/GetMetadata");
    let (_, about) = rpc(&process, "right", &metadata, framed(b"")).await;
    assert!(about.starts_with(b"\x0a\x07backend"), "{about:?}");
    process.stop.cancel();
    assert_eq!(running.await.unwrap(), Exit::OK);
}

#[tokio::test]
async fn a_component_that_fails_ends_the_sidecar_unless_it_may() {
    let mut unknown = kafka("kafka-pubsub");
    unknown["spec"]["type"] = json!("pubsub.pigeon");
    let mut away = kafka("kafka-pubsub");
    away["spec"]["metadata"][0]["value"] = json!("10.244.0.77:9092");
    let mut ignored = away.clone();
    ignored["spec"]["ignoreErrors"] = json!(true);
    let mut foreign = unknown.clone();
    foreign["scopes"] = json!(["other"]);
    for (component, code, text) in [
        (unknown, 1, "couldn't find message bus pubsub.pigeon/v1"),
        (
            away,
            1,
            "[INIT_COMPONENT_FAILURE]: initialization error occurred for kafka-pubsub (pubsub.kafka/v1): kafka: client has run out of available brokers to talk to",
        ),
        (ignored, 0, "Ignoring error processing component"),
        (foreign, 0, "dapr initialized"),
    ] {
        let around = Around::new(json!([component])).await;
        let (process, lines) = around.sidecar(false);
        let running = run(&process);
        eventually(text, || lines.text().contains(text)).await;
        process.stop.cancel();
        assert_eq!(running.await.unwrap().code, code, "{}", lines.text());
    }
}

#[tokio::test]
async fn an_unready_sidecar_names_what_it_waits_for() {
    let around = Around::new(json!([])).await;
    let (mut process, lines) = around.sidecar(true);
    process.args.extend([
        "--scheduler-host-address".to_owned(),
        "10.244.0.1:50006".to_owned(),
    ]);
    let running = run(&process);
    eventually("it waits", || {
        lines.text().contains("waiting for application")
    })
    .await;
    let health = Call::new(Method::GET, "localhost", 3501, "/v1.0/healthz");
    let answer = health.send(&process).await.unwrap();
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(body["errorCode"], "ERR_HEALTH_NOT_READY");
    let message = body["message"].as_str().unwrap();
    assert_eq!(
        message,
        "dapr is not ready: [runtime scheduler-watch-hosts subscription-reconciler]"
    );
    process.stop.cancel();
    running.await.unwrap();
}
