//! The proxy before pods that come and go.

use std::sync::Arc;

use http::{Method, StatusCode};
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::super::super::http::Reply;
use super::super::Process;
use super::super::dapr::plane::Counts;
use super::super::testing::Stage;
use super::super::web::{Answer, Call, Server};
use super::proxy::Proxy;
use super::routes::Table;

fn table(pods: &[u8]) -> Arc<Table> {
    let ingress = json!({
        "metadata": {"namespace": "todo", "name": "app"},
        "spec": {"rules": [{"http": {"paths": [{"path": "/api", "pathType": "Prefix",
            "backend": {"service": {"name": "backend", "port": {"number": 80}}}}]}}]},
    });
    let service = json!({
        "metadata": {"namespace": "todo", "name": "backend"},
        "spec": {"ports": [{"name": "http", "port": 80}]},
    });
    let endpoints: Vec<_> = pods
        .iter()
        .map(|last| json!({"addresses": [format!("10.244.0.{last}")]}))
        .collect();
    let slice = json!({
        "metadata": {"namespace": "todo", "name": "s", "labels": {"kubernetes.io/service-name": "backend"}},
        "ports": [{"name": "http", "port": 8000}],
        "endpoints": endpoints,
    });
    Arc::new(Table::build(&[ingress], &[service], &[slice], true).0)
}

/// A pod that answers with its number.
async fn pod(stage: &Stage, last: u8) -> CancellationToken {
    let (process, _) = stage.process("backend", last);
    let server = Server::bind(&process, 8000).await.unwrap();
    let stop = CancellationToken::new();
    tokio::spawn(server.run(stop.clone(), move |request| async move {
        let text = format!(
            "{last} {} {}",
            request.path,
            request.header("x-forwarded-proto").unwrap()
        );
        Reply::text(StatusCode::OK, "text/plain", text)
    }));
    stop
}

async fn ask(process: &Process, method: Method, path: &str) -> Answer {
    let call = Call::new(method, "localhost", 80, path);
    call.with_body("text/plain", "x")
        .send(process)
        .await
        .unwrap()
}

#[tokio::test]
async fn no_request_fails_while_pods_are_replaced() {
    let stage = Stage::new();
    let (process, _) = stage.process("nginx/nginx-ingress:5.5.4", 2);
    let (tables, receiver) = watch::channel(table(&[]));
    let proxy = Proxy::new(&process, None, receiver, Counts::default());
    let server = Server::bind(&process, 80).await.unwrap();
    tokio::spawn(server.run_streaming(process.stop.clone(), move |request| {
        let proxy = proxy.clone();
        async move { proxy.answer(request, "http").await }
    }));
    let nobody = ask(&process, Method::GET, "/api").await;
    assert_eq!(nobody.status, StatusCode::BAD_GATEWAY);
    let unknown = ask(&process, Method::GET, "/other").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    assert!(String::from_utf8_lossy(&unknown.body).contains("<center>nginx/"));

    let old = pod(&stage, 10).await;
    tables.send_replace(table(&[10]));
    let asking = tokio::spawn({
        let process = process.clone();
        async move {
            for _ in 0..200 {
                let answer = ask(&process, Method::POST, "/api/tasks").await;
                assert_eq!(answer.status, StatusCode::OK);
            }
            String::from_utf8_lossy(&ask(&process, Method::GET, "/api").await.body).into_owned()
        }
    });
    let _new = pod(&stage, 11).await;
    tables.send_replace(table(&[10, 11]));
    tokio::task::yield_now().await;
    // The old pod ends before the table knows.
    old.cancel();
    let clock = crate::clock::Clock::default();
    let _ = clock.sleep(std::time::Duration::from_millis(50)).await;
    tables.send_replace(table(&[11]));
    assert_eq!(asking.await.unwrap(), "11 /api http");
}
