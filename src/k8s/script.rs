//! A scripted API server for tests: it expects requests in order and gives the
//! answers that it was told.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use kube::client::Body;
use serde_json::{Value, json};

use super::{Kube, Patience};
use crate::clock::Clock;

/// What a request gets.
enum Answer {
    Json(u16, Value),
    Drop,
    Silence,
}

/// A request as the server saw it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) request: String,
    pub(crate) query: String,
    pub(crate) body: Value,
}

#[derive(Clone, Default)]
pub(crate) struct Script {
    answers: Arc<Mutex<VecDeque<(String, Answer)>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
    any_order: bool,
}

pub(crate) fn ok(body: &Value) -> (u16, Value) {
    (200, body.clone())
}

pub(crate) fn json_status(code: u16, reason: &str, message: &str) -> (u16, Value) {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure",
        "code": code, "reason": reason, "message": message
    });
    (code, body)
}

impl Script {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// The requests may come in any order: they are made at the same time.
    pub(crate) fn in_any_order(self) -> Self {
        Self {
            any_order: true,
            ..self
        }
    }

    fn then(self, request: &str, answer: Answer) -> Self {
        self.answers
            .lock()
            .unwrap()
            .push_back((request.to_owned(), answer));
        self
    }

    /// The next request must be this one, and gets this answer.
    pub(crate) fn answer(self, request: &str, (code, body): (u16, Value)) -> Self {
        self.then(request, Answer::Json(code, body))
    }

    pub(crate) fn drop_connection(self, request: &str) -> Self {
        self.then(request, Answer::Drop)
    }

    pub(crate) fn silence(self, request: &str) -> Self {
        self.then(request, Answer::Silence)
    }

    /// The two requests of aggregated discovery, with the given resources:
    /// group, version, kind, plural, scope.
    pub(crate) fn discovery(self, resources: &[(&str, &str, &str, &str, &str)]) -> Self {
        let list = |core: bool| {
            let mut versions: BTreeMap<(&str, &str), Vec<Value>> = BTreeMap::new();
            for (group, version, kind, plural, scope) in resources {
                if group.is_empty() == core {
                    versions.entry((group, version)).or_default().push(json!({
                        "resource": plural, "scope": scope, "singularResource": plural,
                        "responseKind": {"group": group, "version": version, "kind": kind},
                        "verbs": ["get", "list", "patch", "delete"]
                    }));
                }
            }
            let items: Vec<Value> = versions
                .into_iter()
                .map(|((group, version), resources)| {
                    json!({
                        "metadata": if core { json!({}) } else { json!({"name": group}) },
                        "versions": [{"version": version, "resources": resources}]
                    })
                })
                .collect();
            ok(&json!({
                "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2",
                "metadata": {}, "items": items
            }))
        };
        self.answer("GET /apis", list(false))
            .answer("GET /api", list(true))
    }

    /// How many requests have yet to come.
    pub(crate) fn left(&self) -> usize {
        self.answers.lock().unwrap().len()
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// A client of this server, and the server to ask afterwards.
    pub(crate) fn kube(self) -> (Kube, Self) {
        let script = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let script = script.clone();
            async move { script.serve(request).await }
        });
        let client = kube::Client::new(service, "default");
        // Minutes of waiting pass in milliseconds.
        let clock = Clock::new(10_000.0, tokio_util::sync::CancellationToken::new());
        let kube = Kube::new(client, clock, Patience::default());
        (kube, self)
    }

    async fn serve(self, request: Request<Body>) -> Result<Response<Body>, std::io::Error> {
        let (parts, body) = request.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let name = format!("{} {}", parts.method, parts.uri.path());
        self.seen.lock().unwrap().push(Seen {
            request: name.clone(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            body: serde_json::from_slice(&bytes).unwrap_or_default(),
        });
        let next = {
            let mut answers = self.answers.lock().unwrap();
            let place = answers.iter().position(|(expected, _)| *expected == name);
            answers.remove(place.filter(|_| self.any_order).unwrap_or_default())
        };
        let Some((expected, answer)) = next else {
            panic!("the script is over, but here comes {name}")
        };
        assert_eq!(name, expected);
        match answer {
            Answer::Drop => Err(std::io::ErrorKind::ConnectionReset.into()),
            Answer::Silence => std::future::pending().await,
            Answer::Json(code, body) => {
                let mut response = Response::new(Body::from(body.to_string().into_bytes()));
                *response.status_mut() = StatusCode::from_u16(code).unwrap();
                Ok(response)
            }
        }
    }
}
