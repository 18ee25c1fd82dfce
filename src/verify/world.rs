//! The ways to what is checked: the cluster, the sidecars, the public address
//! and Kafka. What several checks need is asked for once.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::{Mutex, OnceCell};
use url::Url;

use super::check::Verdict;
use super::flow::Flow;
use super::metrics::Metrics;
use super::probes::Account;
use super::scope::{Scope, is_current, items, text, words};
use crate::clock::Clock;
use crate::k8s::{Kube, Line};
use crate::kafka;
use crate::net::{Budget, Call, Http};

/// The port of a sidecar's API, which listens on the pod's loopback interface.
const API: u16 = 3500;
/// The port of a sidecar's metrics.
const METRICS: u16 = 9090;
/// How long one answer may take, in real time.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// What a run of checks works with.
pub struct World {
    /// What was read of the cluster, and the profile.
    pub scope: Scope,
    /// The cluster.
    pub kube: Kube,
    /// The internet.
    pub http: Http,
    /// The brokers, or why there is no way to them.
    pub kafka: Result<kafka::Client, String>,
    /// Real time. Latencies are measured by it, and a rehearsal's sockets are
    /// as real as any.
    pub clock: Clock,
    /// What distinguishes this run: part of every name that it makes.
    pub run: String,
    /// How many probe events to send.
    pub probes: usize,
    sidecars: OnceCell<Result<Vec<Sidecar>, Verdict>>,
    flow: OnceCell<Flow>,
    account: OnceCell<Result<Account, Verdict>>,
    token: OnceCell<Result<Option<String>, Verdict>>,
    answers: std::sync::Mutex<Vec<Timed>>,
}

/// How long the public address took for a request.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Timed {
    /// The request.
    pub request: String,
    /// In milliseconds.
    pub ms: f64,
}

/// A pod's sidecar, and what it says of itself.
#[derive(Debug)]
pub struct Sidecar {
    /// The pod.
    pub pod: String,
    /// The service that the pod belongs to.
    pub service: String,
    /// The identity that the profile gives it.
    pub app_id: String,
    /// Status and body of its health.
    pub health: Result<Answer, String>,
    /// Its metadata.
    pub metadata: Result<Value, String>,
    /// Its metrics, before anything was tried out.
    pub metrics: Result<Metrics, String>,
    line: Mutex<Option<Line>>,
}

/// What something answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// How long it took, in real time.
    pub took: Duration,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON, or null.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Status and body, for evidence.
    pub fn shown(&self) -> String {
        format!("{} {}", self.status.as_u16(), self.text())
    }
}

/// What a [`World`] is made of.
pub struct Ways {
    /// The cluster.
    pub kube: Kube,
    /// The internet, without retries of its own.
    pub http: Http,
    /// The brokers, or why there is no way to them.
    pub kafka: Result<kafka::Client, String>,
    /// Real time.
    pub clock: Clock,
    /// How many probe events to send.
    pub probes: usize,
}

impl World {
    /// A world over what was read.
    pub fn new(scope: Scope, ways: Ways) -> Arc<Self> {
        let Ways {
            kube,
            http,
            kafka,
            clock,
            probes,
        } = ways;
        let run = format!("{:012x}", unique());
        Arc::new(Self {
            scope,
            kube,
            http,
            kafka,
            clock,
            run,
            probes,
            sidecars: OnceCell::new(),
            flow: OnceCell::new(),
            account: OnceCell::new(),
            token: OnceCell::new(),
            answers: std::sync::Mutex::default(),
        })
    }

    /// The brokers.
    pub fn kafka(&self) -> Result<&kafka::Client, Verdict> {
        self.kafka.as_ref().map_err(|why| {
            Verdict::fail("there is no way to Kafka").saw("connect to the brokers", why)
        })
    }

    /// The life of one task, lived once for all checks that look at it.
    pub fn flow(&self) -> BoxFuture<'_, &Flow> {
        let live = || Box::pin(Flow::live(self)) as BoxFuture<'_, Flow>;
        Box::pin(self.flow.get_or_init(live))
    }

    /// The flow, if a check has asked for it.
    pub fn flow_if_any(&self) -> Option<&Flow> {
        self.flow.get()
    }

    /// The probe events, sent once for all checks that look at them.
    pub async fn account(&self) -> Result<&Account, Verdict> {
        let take = || Box::pin(Account::take(self)) as BoxFuture<'_, Result<Account, Verdict>>;
        let account = self.account.get_or_init(take).await;
        account.as_ref().map_err(Clone::clone)
    }

    /// The token of the profile's login; none when it has no login.
    pub async fn token(&self) -> Result<Option<&str>, Verdict> {
        let login = || Box::pin(super::flow::login(self)) as BoxFuture<'_, Result<_, _>>;
        let token = self.token.get_or_init(login).await;
        token.as_ref().map(Option::as_deref).map_err(Clone::clone)
    }

    /// The sidecars of the profile's services, with what they say of
    /// themselves.
    pub async fn sidecars(&self) -> Result<&[Sidecar], Verdict> {
        let look = || Box::pin(self.look()) as BoxFuture<'_, Result<_, _>>;
        let sidecars = self.sidecars.get_or_init(look).await;
        sidecars.as_deref().map_err(Clone::clone)
    }

    async fn look(&self) -> Result<Vec<Sidecar>, Verdict> {
        let mut all: Vec<BoxFuture<'_, Sidecar>> = Vec::new();
        for (service, app_id) in self.scope.with_sidecar() {
            for pod in self.scope.pods(service)? {
                if has_sidecar(pod) {
                    all.push(Box::pin(self.meet(
                        pod.name(),
                        service.name.as_str(),
                        app_id,
                    )));
                }
            }
        }
        Ok(futures::future::join_all(all).await)
    }

    async fn meet(&self, pod: &str, service: &str, app_id: &str) -> Sidecar {
        let (health, metadata, metrics) = tokio::join!(
            self.get(pod, API, "/v1.0/healthz"),
            self.get(pod, API, "/v1.0/metadata"),
            self.get(pod, METRICS, "/metrics"),
        );
        let good = |answer: Answer| match answer.status.is_success() {
            true => Ok(answer),
            false => Err(answer.shown()),
        };
        Sidecar {
            pod: pod.to_owned(),
            service: service.to_owned(),
            app_id: app_id.to_owned(),
            health,
            metadata: metadata.and_then(good).map(|answer| answer.json()),
            metrics: metrics
                .and_then(good)
                .map(|answer| Metrics::parse(&answer.text())),
            line: Mutex::new(None),
        }
    }

    async fn get(&self, pod: &str, port: u16, path: &str) -> Result<Answer, String> {
        let request = request(Method::GET, path, &[], Bytes::new())?;
        let started = self.clock.elapsed();
        let namespace = self.scope.namespace();
        let answer = self
            .kube
            .exchange(namespace, pod, port, request, PATIENCE)
            .await;
        Ok(self.answer(answer.map_err(|error| words(&error))?, started))
    }

    fn answer(&self, answer: http::Response<Bytes>, started: Duration) -> Answer {
        let (parts, body) = answer.into_parts();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body,
            took: self.clock.elapsed().saturating_sub(started),
        }
    }

    /// One sidecar that can be asked: a healthy one if there is any.
    pub async fn sidecar(&self) -> Result<&Sidecar, Verdict> {
        let all = self.sidecars().await?;
        let healthy = |s: &&Sidecar| s.health.as_ref().is_ok_and(|h| h.status.is_success());
        let some = all.iter().find(healthy).or_else(|| all.first());
        some.ok_or_else(|| match self.scope.with_sidecar().next() {
            None => Verdict::skip("the profile has no service with a sidecar"),
            Some(_) => Verdict::fail("no running pod has a sidecar").saw(
                format!("pods of {}", self.scope.namespace()),
                "none with a container daprd",
            ),
        })
    }

    /// Asks a sidecar's API, over one connection for all that is asked.
    pub async fn ask(
        &self,
        sidecar: &Sidecar,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Answer, Verdict> {
        let what = format!("{method} {path} at the sidecar of {}", sidecar.pod);
        let failed = |why: String| Verdict::fail("the sidecar does not answer").saw(&what, why);
        let request = request(method, path, headers, body.into()).map_err(failed)?;
        let mut line = sidecar.line.lock().await;
        let mut open = match line.take().filter(Line::is_open) {
            Some(open) => open,
            None => self.line(sidecar).await?,
        };
        let started = self.clock.elapsed();
        let answer = open
            .send(request)
            .await
            .map_err(|error| failed(words(&error)))?;
        *line = Some(open);
        Ok(self.answer(answer, started))
    }

    /// A connection of one's own to a sidecar's API.
    pub(super) async fn line(&self, sidecar: &Sidecar) -> Result<Line, Verdict> {
        let namespace = self.scope.namespace();
        let line = self.kube.line(namespace, &sidecar.pod, API, PATIENCE).await;
        line.map_err(|error| {
            Verdict::fail("the sidecar does not answer")
                .saw(format!("port {API} of pod {}", sidecar.pod), words(&error))
        })
    }

    /// A sidecar's metrics now.
    pub async fn metrics(&self, sidecar: &Sidecar) -> Result<Metrics, String> {
        let answer = self.get(&sidecar.pod, METRICS, "/metrics").await?;
        match answer.status.is_success() {
            true => Ok(Metrics::parse(&answer.text())),
            false => Err(answer.shown()),
        }
    }

    /// The public address.
    pub fn public(&self) -> Result<Url, Verdict> {
        let address = self.scope.address()?;
        let Some(address) = address else {
            return Err(Verdict::fail("the load balancer has no address").saw(
                "status.loadBalancer of the ingress controller's Service",
                "empty",
            ));
        };
        let url = format!("http://{address}/");
        Url::parse(&url).map_err(|error| {
            Verdict::fail("the load balancer's address makes no sense").saw(url, error.to_string())
        })
    }

    /// Sends a request to the public address, once.
    pub async fn visit(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Answer, Verdict> {
        let base = self.public()?;
        let request = format!("{method} {path}");
        let what = format!(
            "{method} {}",
            base.join(path).map_or_else(|_| path.to_owned(), Into::into)
        );
        let failed =
            |why: String| Verdict::fail("the public address does not answer").saw(&what, why);
        let url = base.join(path).map_err(|error| failed(error.to_string()))?;
        let mut call = Call::new(method, url, "verify");
        call.repeatable = false;
        call.at_most = Some(Budget {
            attempts: 1,
            total: PATIENCE,
        });
        for (name, value) in headers.iter().copied().chain(self.host()) {
            let name = http::HeaderName::from_bytes(name.as_bytes());
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
                call.headers.insert(name, value);
            }
        }
        if let Some(body) = body {
            let json = HeaderValue::from_static("application/json");
            call.headers.insert(http::header::CONTENT_TYPE, json);
            call.body = body.to_string().into();
        }
        let started = self.clock.elapsed();
        let sent = tokio::time::timeout(PATIENCE, self.http.send(call)).await;
        let took = self.clock.elapsed().saturating_sub(started);
        let ms = took.as_secs_f64() * 1e3;
        self.timed().push(Timed { request, ms });
        match sent {
            Ok(Ok((answer, _))) => Ok(Answer {
                status: answer.status,
                headers: answer.headers,
                body: answer.body,
                took,
            }),
            Ok(Err(error)) => Err(failed(words(&error))),
            Err(_) => Err(failed(format!("no answer within {} s", PATIENCE.as_secs()))),
        }
    }

    fn timed(&self) -> std::sync::MutexGuard<'_, Vec<Timed>> {
        let held = self.answers.lock();
        held.unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// How long the public address took for each request so far.
    pub fn answers(&self) -> Vec<Timed> {
        self.timed().clone()
    }

    /// The host that the app's rules ask for.
    fn host(&self) -> Option<(&'static str, &str)> {
        let mut services = self.scope.profile.app.services.iter();
        let host = services.find_map(|s| s.ingress.as_ref()?.host.as_deref());
        Some(("host", host?))
    }
}

fn request(
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: Bytes,
) -> Result<Request<Bytes>, String> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body).map_err(|error| error.to_string())
}

/// Whether a pod has the sidecar's container, in either of its two forms.
pub(super) fn has_sidecar(pod: &crate::manifest::Manifest) -> bool {
    let lists = ["/spec/containers", "/spec/initContainers"].map(|list| items(pod, list));
    is_current(pod)
        && text(pod, "/status/phase") == "Running"
        && lists.into_iter().flatten().any(|c| c["name"] == "daprd")
}

/// A number that no other run has.
fn unique() -> u64 {
    let mut bytes = [0; 6];
    let random = ring::rand::SystemRandom::new();
    // Without randomness TLS would not work either, so nothing would be here.
    let _ = ring::rand::SecureRandom::fill(&random, &mut bytes);
    bytes.iter().fold(0, |n, byte| n << 8 | u64::from(*byte))
}

/// A trace of our own: the header, and the trace's id.
pub(super) fn trace() -> (String, String) {
    let id = format!(
        "{:012x}{:012x}{:08x}",
        unique(),
        unique(),
        unique() & 0xffff_ffff
    );
    let span = format!("{:012x}{:04x}", unique(), unique() & 0xffff);
    // The flag asks for sampling, so that a trace can be looked up afterwards.
    (format!("00-{id}-{span}-01"), id)
}
