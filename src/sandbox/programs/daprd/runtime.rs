//! The sidecar's life: certificate, configuration, components, servers, the
//! wait for the app, subscriptions and jobs; and its end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Map, Value};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::super::super::http::Reply;
use super::super::dapr::plane::{Targets, pause};
use super::super::logger::Logger;
use super::super::web::Server;
use super::super::{Exit, Process, tag};
use super::components::Component;
use super::config::Configuration;
use super::metrics::Metrics;
use super::options::Options;
use super::plane::{self, PlaneError};
use super::subscribe::Subscription;
use super::{api, components, deliver, grpc, health, jobs, subscribe};

/// How long the sidecar waits for the control plane.
const PATIENCE: Duration = Duration::from_secs(30);
/// And in real time at least: a world that goes on starts everything at once.
const LEAST_PATIENCE: Duration = Duration::from_secs(5);

/// What the parts of a running sidecar share.
pub(super) struct Sidecar {
    pub(super) process: Process,
    pub(super) options: Options,
    pub(super) config: Configuration,
    pub(super) log: Logger,
    pub(super) targets: Targets,
    pub(super) metrics: Metrics,
    pub(super) components: RwLock<Vec<Arc<Component>>>,
    pub(super) subscriptions: RwLock<Vec<Subscription>>,
    pub(super) resiliencies: Vec<Value>,
    /// What `PUT /v1.0/metadata/{key}` added.
    pub(super) extended: Mutex<Map<String, Value>>,
    pub(super) scheduler_hosts: Mutex<Vec<String>>,
    /// Ends the sidecar from inside.
    pub(super) shutdown: CancellationToken,
    /// Whether it is to end with an error.
    pub(super) forced: AtomicBool,
    outbound: AtomicBool,
}

impl Sidecar {
    pub(super) fn is_outbound_ready(&self) -> bool {
        self.outbound.load(Ordering::Relaxed)
    }

    /// A loaded component.
    pub(super) fn component(&self, name: &str) -> Option<Arc<Component>> {
        let all = self
            .components
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        all.iter().find(|component| component.name == name).cloned()
    }

    /// All loaded components.
    pub(super) fn all_components(&self) -> Vec<Arc<Component>> {
        let all = self
            .components
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        all.clone()
    }

    /// Ends the sidecar because it cannot go on.
    fn fail(&self, message: &str) {
        self.log.fatal(message);
        self.forced.store(true, Ordering::Relaxed);
        self.shutdown.cancel();
    }
}

/// Runs a sidecar from start to end.
pub(super) async fn run(process: Process) -> Exit {
    let options = Options::of(&process);
    let log = Logger::new(&process, "dapr.runtime").for_app(&options.app_id);
    log.info(&format!(
        "Starting Dapr Runtime -- version {} -- commit 0000000",
        tag(&process.image)
    ));
    log.info(&format!(
        "Log level set to: {}",
        if log.is_debug() { "debug" } else { "info" }
    ));
    let targets = targets(&options);
    let metrics = Metrics::new(&options);
    let mut tasks = JoinSet::new();
    // What ends the sidecar from inside ends its servers, too.
    let shutdown = process.stop.child_token();
    let config = tokio::select! {
        () = process.stop.cancelled() => return Exit::OK,
        identity = identity(&process, &options, &log) => match identity {
            Ok(config) => config,
            Err(why) => {
                log.fatal(&why);
                return Exit::error(1);
            }
        },
    };
    targets.set("security-provider", true);
    let resiliencies = plane::ask(&process, &options, "resiliencies", "").await;
    let resiliencies = resiliencies.ok().and_then(|all| all.as_array().cloned());
    let sidecar = Arc::new(Sidecar {
        process: process.clone(),
        config,
        log,
        targets,
        metrics,
        components: RwLock::default(),
        subscriptions: RwLock::default(),
        resiliencies: scoped(resiliencies.unwrap_or_default(), &options.app_id),
        extended: Mutex::default(),
        scheduler_hosts: Mutex::default(),
        shutdown: shutdown.clone(),
        forced: AtomicBool::new(false),
        outbound: AtomicBool::new(false),
        options,
    });
    if let Err(error) = serve_public(&sidecar, &mut tasks).await {
        sidecar.fail(&format!("Fatal error from runtime: {error}"));
        return Exit::error(1);
    }
    let started = process.world.clock.elapsed();
    let worked = tokio::select! {
        () = shutdown.cancelled() => Ok(()),
        started = start(&sidecar, &mut tasks, started) => started,
    };
    if let Err(why) = worked {
        sidecar.fail(&format!("Fatal error from runtime: {why}"));
        return Exit::error(1);
    }
    shutdown.cancelled().await;
    end(&sidecar, tasks).await
}

/// Those of an object list that are for the app.
fn scoped(objects: Vec<Value>, app: &str) -> Vec<Value> {
    let fits = |object: &Value| components::in_scope(object, app);
    objects.into_iter().filter(fits).collect()
}

fn targets(options: &Options) -> Targets {
    let targets = Targets::new(&health::TARGETS);
    for ready in [
        "grpc-internal-server",
        "mcpserver-reconciler",
        "workflowaccesspolicy-reconciler",
        "configuration-sighup-reconciler",
        "resiliency-sighup-reconciler",
    ] {
        targets.set(ready, true);
    }
    if options.scheduler.is_some() {
        targets.set(health::SCHEDULER, false);
    }
    if options.placement.is_some() {
        targets.set(health::PLACEMENT, false);
    }
    targets
}

/// The certificate and the app's Configuration.
async fn identity(
    process: &Process,
    options: &Options,
    log: &Logger,
) -> Result<Configuration, String> {
    let clock = &process.world.clock;
    let deadline = clock.deadline(PATIENCE.max(LEAST_PATIENCE.mul_f64(clock.rate())));
    loop {
        match plane::certificate(process, options).await {
            Ok(()) => break,
            Err(error) if deadline.passed() || matches!(error, PlaneError::Refused(_)) => {
                return Err(format!(
                    "Fatal error from runtime: failed to retrieve the initial identity \
                     certificate: error from sentry SignCertificate: {error}"
                ));
            }
            Err(error) => log
                .scope("dapr.security")
                .warn(&format!("Failed to connect to sentry, retrying: {error}")),
        }
        pause(process, Duration::from_secs(1)).await;
    }
    log.scope("dapr.security")
        .info("Security is initialized successfully");
    let Some(name) = options.config.as_deref() else {
        return Ok(Configuration::default());
    };
    loop {
        match plane::ask(process, options, "configuration", name).await {
            Ok(found) => return Ok(Configuration(found["spec"].clone())),
            Err(error) if deadline.passed() || matches!(error, PlaneError::Refused(_)) => {
                return Err(format!("error loading configuration: {error}"));
            }
            Err(_) => pause(process, Duration::from_secs(1)).await,
        };
    }
}

async fn serve_public(sidecar: &Arc<Sidecar>, tasks: &mut JoinSet<()>) -> std::io::Result<()> {
    let (process, stop) = (&sidecar.process, &sidecar.shutdown);
    let shared = sidecar.clone();
    let public = Server::bind(process, sidecar.options.public_port).await?;
    tasks.spawn(public.run(stop.clone(), move |request| {
        let sidecar = shared.clone();
        async move { api::public(&sidecar, &request) }
    }));
    if let Some(port) = sidecar.options.metrics_port {
        let shared = sidecar.clone();
        let metrics = Server::bind(process, port).await?.faulty("dapr", process);
        tasks.spawn(metrics.run(stop.clone(), move |_| {
            let text = shared.metrics.text(&shared.process);
            async {
                Reply::text(
                    StatusCode::OK,
                    "text/plain; version=0.0.4; charset=utf-8",
                    text,
                )
            }
        }));
    }
    sidecar.targets.set("metrics-exporter", true);
    Ok(())
}

/// Everything up to "initialized". An error is the runtime's last word.
async fn start(
    sidecar: &Arc<Sidecar>,
    tasks: &mut JoinSet<()>,
    started: Duration,
) -> Result<(), String> {
    let (process, log) = (&sidecar.process, &sidecar.log);
    components::load(sidecar).await?;
    sidecar.targets.set("component-reconciler", true);
    let shared = sidecar.clone();
    let server = Server::bind(process, sidecar.options.http_port).await;
    let server = server.map_err(|error| format!("could not start HTTP server: {error}"))?;
    let server = server.faulty("dapr", process);
    tasks.spawn(server.run(sidecar.shutdown.clone(), move |request| {
        let sidecar = shared.clone();
        async move { api::private(&sidecar, request).await }
    }));
    log.scope("dapr.runtime.http")
        .info("enabled max body size: 4Mi");
    log.info(&format!(
        "HTTP server is running on port {}",
        sidecar.options.http_port
    ));
    let server = Server::bind(process, sidecar.options.grpc_port).await;
    let server = server.map_err(|error| format!("could not start gRPC server: {error}"))?;
    tasks.spawn(grpc::serve(sidecar.clone(), server));
    sidecar.targets.set("grpc-api-server", true);
    log.info(&format!(
        "gRPC server is running on port {}",
        sidecar.options.grpc_port
    ));
    sidecar.outbound.store(true, Ordering::Relaxed);
    for (address, target) in [
        (sidecar.options.scheduler.clone(), health::SCHEDULER),
        (sidecar.options.placement.clone(), health::PLACEMENT),
    ] {
        if let Some(address) = address {
            tasks.spawn(connect(sidecar.clone(), address, target));
        }
    }
    if sidecar.options.scheduler.is_none() {
        log.info("No scheduler host addresses provided. Scheduler disabled");
    }
    wait_for_app(sidecar).await;
    subscribe::load(sidecar).await?;
    sidecar.targets.set("subscription-reconciler", true);
    deliver::start(sidecar, tasks);
    if sidecar.options.app_port.is_some() && sidecar.options.scheduler.is_some() {
        tasks.spawn(jobs::receive(sidecar.clone()));
    }
    let took = process.world.clock.elapsed().saturating_sub(started);
    sidecar.targets.set("runtime", true);
    log.info(&format!(
        "dapr initialized. Status: Running. Init Elapsed {}ms",
        took.as_millis()
    ));
    Ok(())
}

/// Asks a control plane service until it answers.
async fn connect(sidecar: Arc<Sidecar>, address: String, target: &'static str) {
    let (process, is_scheduler) = (&sidecar.process, target == health::SCHEDULER);
    let path = if is_scheduler { "/hosts" } else { "/tables" };
    loop {
        let answer = plane::call(process, &address, Method::GET, path, &[], None).await;
        match answer {
            Ok(answer) if answer.status.is_success() => {
                if is_scheduler {
                    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
                    let hosts = body["hosts"].as_array().cloned().unwrap_or_default();
                    let hosts = hosts
                        .iter()
                        .filter_map(|host| host.as_str().map(str::to_owned));
                    let mut held = sidecar
                        .scheduler_hosts
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner);
                    *held = hosts.collect();
                    sidecar.log.scope("dapr.runtime.scheduler").info(&format!(
                        "Connected and received scheduler hosts addresses: {held:?}"
                    ));
                }
                sidecar.targets.set(target, true);
                return;
            }
            Ok(_) => {}
            Err(error) if is_scheduler => sidecar
                .log
                .scope("dapr.runtime.scheduler")
                .error(&format!("Failed to connect to scheduler host: {error}")),
            Err(error) => sidecar
                .log
                .scope("dapr.runtime.actors.placement")
                .error(&format!(
                    "Error connecting to placement service (will retry): {error}"
                )),
        }
        if !pause(process, Duration::from_secs(1)).await {
            return;
        }
    }
}

async fn wait_for_app(sidecar: &Sidecar) {
    let (Some(port), log) = (sidecar.options.app_port, &sidecar.log) else {
        return;
    };
    log.info(&format!(
        "application protocol: http. waiting on port {port}. This will block until the app is \
         listening on that port."
    ));
    let mut asked = 0_u32;
    while sidecar.process.connect("localhost", port).await.is_err() {
        if asked % 50 == 1 {
            log.info(&format!("waiting for application to listen on port {port}"));
        }
        asked = asked.saturating_add(1);
        if !pause(&sidecar.process, Duration::from_millis(100)).await {
            return;
        }
    }
    log.info(&format!("application discovered on port {port}"));
}

/// What has begun is finished, within the time that the annotation allows.
async fn end(sidecar: &Sidecar, mut tasks: JoinSet<()>) -> Exit {
    sidecar.log.info("Dapr is shutting down");
    let drained = async { while tasks.join_next().await.is_some() {} };
    tokio::select! {
        () = drained => {}
        _ = sidecar.process.world.clock.sleep(sidecar.options.graceful) => {}
    }
    sidecar.log.info("Dapr runtime stopped");
    match sidecar.forced.load(Ordering::Relaxed) {
        true => Exit::error(1),
        false => Exit::OK,
    }
}
