//! What the programs of the control plane share: `/healthz` on 8080 with named
//! targets, metrics on 9090, the wait for the trust bundle, certificates.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::StatusCode;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::super::super::http::{Reply, Request};
use super::super::Process;
use super::super::logger::Logger;
use super::super::web::Server;

/// Where pods find the authority's certificate.
const TRUST_ANCHORS: &str = "/var/run/secrets/dapr.io/tls/ca.crt";

/// Named conditions that must all hold before a program is healthy.
#[derive(Debug, Clone, Default)]
pub struct Targets(Arc<Mutex<BTreeMap<&'static str, bool>>>);

impl Targets {
    /// Targets that are not ready yet.
    pub fn new(names: &[&'static str]) -> Self {
        let all = names.iter().map(|name| (*name, false)).collect();
        Self(Arc::new(Mutex::new(all)))
    }

    /// Says whether one is ready.
    pub fn set(&self, name: &'static str, ready: bool) {
        self.lock().insert(name, ready);
    }

    /// The names of those that are not ready.
    pub fn missing(&self) -> Vec<&'static str> {
        let all = self.lock();
        let unready = all.iter().filter(|(_, ready)| !**ready);
        unready.map(|(name, _)| *name).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, bool>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counters and gauges by name and labels, in Prometheus' text format.
#[derive(Debug, Clone, Default)]
pub struct Counts(Arc<Mutex<BTreeMap<String, f64>>>);

impl Counts {
    /// Adds to a counter, e.g. `dapr_x_total{app_id="a"}`.
    pub fn add(&self, series: &str, by: f64) {
        *self.lock().entry(series.to_owned()).or_default() += by;
    }

    /// Sets a gauge.
    pub fn set(&self, series: &str, to: f64) {
        self.lock().insert(series.to_owned(), to);
    }

    /// All of it, as `/metrics` shows it.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (series, value) in self.lock().iter() {
            let _ = writeln!(text, "{series} {value}");
        }
        text
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, f64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A program of the control plane while it runs.
pub struct Plane {
    /// Its process.
    pub process: Process,
    /// Its log.
    pub log: Logger,
    /// What its health depends on.
    pub targets: Targets,
    /// Its metrics.
    pub counts: Counts,
    /// What runs beside it, and ends with it.
    pub tasks: JoinSet<()>,
}

impl Plane {
    /// Starts the health and metrics servers; says why if a port is taken.
    pub async fn start(
        process: &Process,
        scope: &'static str,
        targets: &[&'static str],
    ) -> io::Result<Self> {
        let log = Logger::new(process, scope);
        let targets = Targets::new(targets);
        let counts = Counts::default();
        counts.set("process_resident_memory_bytes", 42_000_000.0);
        counts.set("process_cpu_seconds_total", 0.1);
        let mut tasks = JoinSet::new();
        let shared = targets.clone();
        tasks.spawn(
            Server::bind(process, 8080)
                .await?
                .run(process.stop.clone(), move |request| {
                    let missing = shared.missing();
                    async move { health(&request, &missing) }
                }),
        );
        let shared = counts.clone();
        tasks.spawn(
            Server::bind(process, 9090)
                .await?
                .run(process.stop.clone(), move |_| {
                    let text = shared.text();
                    async move { Reply::text(StatusCode::OK, "text/plain; version=0.0.4", text) }
                }),
        );
        log.info(&format!(
            "Starting Dapr {} -- version {} -- commit 0000000",
            scope.rsplit('.').next().unwrap_or(scope),
            super::super::tag(&process.image),
        ));
        Ok(Self {
            process: process.clone(),
            log,
            targets,
            counts,
            tasks,
        })
    }

    /// Waits for the authority's certificate to be mounted. None if the
    /// program is told to stop before.
    pub async fn trust_anchors(&self) -> Option<String> {
        let mut told = false;
        loop {
            let file = self.process.files.read(TRUST_ANCHORS);
            let pem = file.and_then(|bytes| String::from_utf8(bytes).ok());
            if let Some(pem) = pem.filter(|pem| pem.contains("BEGIN CERTIFICATE")) {
                return Some(pem);
            }
            if !told {
                let text = format!("Trust anchors file '{TRUST_ANCHORS}' not found, waiting...");
                self.log.scope("dapr.security").warn(&text);
                told = true;
            }
            if !pause(&self.process, Duration::from_secs(1)).await {
                return None;
            }
        }
    }

    /// Runs until the process is told to stop, then lets the servers finish.
    pub async fn until_stopped(mut self) -> super::super::Exit {
        self.process.stop.cancelled().await;
        while self.tasks.join_next().await.is_some() {}
        super::super::Exit::OK
    }
}

fn health(request: &Request, missing: &[&str]) -> Reply {
    match (request.path.as_str(), missing) {
        ("/healthz", []) => Reply::empty(StatusCode::OK),
        ("/healthz", _) => Reply::empty(StatusCode::SERVICE_UNAVAILABLE),
        _ => Reply::text(StatusCode::NOT_FOUND, "text/plain", "404 page not found\n"),
    }
}

/// Waits in the world's time, but never so shortly that the machine does
/// nothing else; false when the process is told to stop.
pub async fn pause(process: &Process, time: Duration) -> bool {
    let clock = &process.world.clock;
    let time = time.max(Duration::from_millis(20).mul_f64(clock.rate()));
    tokio::select! {
        () = process.stop.cancelled() => false,
        slept = clock.sleep(time) => slept.is_ok(),
    }
}

/// A server's own certificate for webhooks, and what to trust to reach it.
pub struct WebhookCertificate {
    /// What clients are to trust.
    pub ca_pem: String,
    /// What accepts connections with it.
    pub acceptor: TlsAcceptor,
}

/// Makes a certificate for a Service's name.
pub fn webhook_certificate(service: &str, namespace: &str) -> io::Result<WebhookCertificate> {
    let key = KeyPair::generate().map_err(io::Error::other)?;
    let names = [
        format!("{service}.{namespace}.svc"),
        format!("{service}.{namespace}.svc.cluster.local"),
    ];
    let mut params = CertificateParams::new(names.to_vec()).map_err(io::Error::other)?;
    params.distinguished_name.push(DnType::CommonName, service);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = params.self_signed(&key).map_err(io::Error::other)?;
    Ok(WebhookCertificate {
        ca_pem: certificate.pem(),
        acceptor: acceptor(&certificate.pem(), &key.serialize_pem())?,
    })
}

/// What accepts TLS connections with a certificate.
pub fn acceptor(chain_pem: &str, key_pem: &str) -> io::Result<TlsAcceptor> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain_pem.as_bytes()).collect();
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(io::Error::other)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(chain.map_err(io::Error::other)?, key)
        .map_err(io::Error::other)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
