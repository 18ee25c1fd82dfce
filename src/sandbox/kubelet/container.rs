//! One container: its image, its runs one after the other, its probes.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::backoff::{backoff, shown};
use super::pod::Pod;
use super::probe::Probe;
use super::status::{Ended, State};
use super::volumes::Mounts;
use super::{env, images};
use crate::sandbox::kind::{items, text, uid};
use crate::sandbox::programs::{self, Exit, LogSink as _, Process};
use crate::sandbox::world::hex;

/// A run that lasts longer starts the pauses anew.
const LONG_RUN: Duration = Duration::from_mins(10);
/// A kubelet looks this often which containers have ended, so that an end is
/// seen before the next start.
const NOTICED_WITHIN: Duration = Duration::from_secs(1);
/// The least real time between two runs: a node keeps the log of one ended run,
/// and who follows it has to hear of the end before that is gone.
const LEAST_BETWEEN: Duration = Duration::from_millis(200);
/// A liveness probe must fail at least this long in real time: on a fast clock
/// the machine is no faster.
const LEAST_FAILING: Duration = Duration::from_secs(1);
/// How long a drain takes at least, in real time.
const LEAST_DRAIN: Duration = Duration::from_millis(250);

/// What a container is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It ends before the next one starts.
    Init,
    /// An init container that stays.
    Sidecar,
    /// One of the pod's containers.
    Main,
}

/// Runs a container until it does not start again; whether it ended well.
pub async fn live(pod: Arc<Pod>, spec: Value, role: Role) -> bool {
    let name = text(&spec, "/name").to_owned();
    let mut life = Life {
        stop: if role == Role::Sidecar {
            pod.stop_last.clone()
        } else {
            pod.stop.clone()
        },
        pod,
        spec,
        role,
        name,
        nth: 0,
        failures: 0,
    };
    life.run().await
}

struct Life {
    pod: Arc<Pod>,
    spec: Value,
    role: Role,
    name: String,
    stop: CancellationToken,
    /// The number of the present run, or of the next. The status shows it once
    /// that has begun, as it does where the runtime counts.
    nth: u32,
    /// Ends in a row, for the pauses in between.
    failures: u32,
}

impl Life {
    async fn run(&mut self) -> bool {
        let Some(known) = self.pod.container(&self.name) else {
            return false;
        };
        // After a restart of the sandbox a container goes on as it was.
        let mut resumes = matches!(known.state, State::Running(_));
        self.failures = known.restarts.min(5);
        self.nth = known.restarts;
        if matches!(known.state, State::Waiting { .. }) && known.last.is_some() {
            self.nth += 1;
        }
        if let State::Ended(ended) = &known.state {
            if !self.starts_again(ended.code) {
                return ended.code == 0;
            }
            self.wait_for_restart().await;
        }
        loop {
            if self.stop.is_cancelled() {
                return self.stopped();
            }
            if !resumes && !self.pull().await {
                return self.stopped();
            }
            let Some(process) = self.prepare().await else {
                return self.stopped();
            };
            let (ended, long) = self.once(process, resumes).await;
            resumes = false;
            if long {
                self.failures = 0;
            }
            if self.stop.is_cancelled() || !self.starts_again(ended.code) {
                return ended.code == 0;
            }
            self.wait_for_restart().await;
        }
    }

    /// A container that never came to run is over.
    fn stopped(&self) -> bool {
        self.pod.change(&self.name, |container| {
            container.ready = false;
            container.started = false;
        });
        false
    }

    fn starts_again(&self, code: i32) -> bool {
        let pod = self.pod.object();
        match (self.role, text(&pod, "/spec/restartPolicy")) {
            (Role::Sidecar, _) => true,
            (Role::Init, "Never") => false,
            (Role::Init, _) => code != 0,
            (Role::Main, "Never") => false,
            (Role::Main, "OnFailure") => code != 0,
            (Role::Main, _) => true,
        }
    }

    async fn wait_for_restart(&mut self) {
        let failures = self.failures;
        self.failures += 1;
        let least = LEAST_BETWEEN.mul_f64(self.pod.plane.clock().rate());
        if failures > 0 {
            let pause = backoff(failures - 1);
            let pod = self.pod.object();
            let (namespace, name) = (
                text(&pod, "/metadata/namespace"),
                text(&pod, "/metadata/name"),
            );
            let whose = format!("{}_{namespace}({})", name, uid(&pod));
            let waiting = State::Waiting {
                reason: "CrashLoopBackOff".to_owned(),
                message: format!(
                    "back-off {} restarting failed container={} pod={whose}",
                    shown(pause),
                    self.name
                ),
            };
            self.pod
                .change(&self.name, |container| container.becomes(waiting));
            let message = format!(
                "Back-off restarting failed container {} in pod {whose}",
                self.name
            );
            self.pod.tell(Some(&self.name), true, "BackOff", message);
            self.rest(pause.max(least)).await;
        } else {
            self.rest(NOTICED_WITHIN.max(least)).await;
        }
        self.nth += 1;
    }

    async fn rest(&self, pause: Duration) {
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = self.pod.pause(pause) => {}
        }
    }

    /// Gets the image; false if the pod is stopped before it is there.
    async fn pull(&self) -> bool {
        let image = text(&self.spec, "/image");
        let policy = text(&self.spec, "/imagePullPolicy");
        let store = &self.pod.plane.world.store;
        let table = format!("kubelet/{}/images", self.pod.plane.cluster);
        let id = format!("{}/{}", self.pod.host.name, images::full_name(image));
        if store.get(&table, &id).is_some() && !images::is_always_pulled(image, policy) {
            let message = format!("Container image {image:?} already present on machine");
            self.tell(false, "Pulled", message);
            return true;
        }
        let mut failures = 0;
        loop {
            self.tell(false, "Pulling", format!("Pulling image {image:?}"));
            let takes = self.pod.plane.world.latency(
                &format!("pull/{id}"),
                Duration::from_millis(600),
                Duration::from_secs(6),
            );
            self.rest_exactly(takes).await;
            if self.stop.is_cancelled() {
                return false;
            }
            let Some(why) = images::refusal(image) else {
                let took = format!("{:.3}s", takes.as_secs_f64());
                let bytes = 20_000_000 + self.pod.plane.world.draw(&id) % 180_000_000;
                let message = format!(
                    "Successfully pulled image {image:?} in {took} ({took} including waiting). Image size: {bytes} bytes."
                );
                self.tell(false, "Pulled", message);
                store.put(&table, &id, Value::from(bytes));
                return true;
            };
            let message = format!("Failed to pull image {image:?}: {why}");
            self.tell(true, "Failed", message);
            self.tell(true, "Failed", "Error: ErrImagePull".to_owned());
            self.wait_because("ErrImagePull", why.clone());
            let pause = backoff(failures);
            failures += 1;
            // Both states are seen: the failure itself, then the pause.
            self.rest(Duration::ZERO).await;
            let message = format!("Back-off pulling image {image:?}");
            self.tell(false, "BackOff", message.clone());
            self.tell(true, "Failed", "Error: ImagePullBackOff".to_owned());
            self.wait_because(
                "ImagePullBackOff",
                format!("{message}: ErrImagePull: {why}"),
            );
            self.rest(pause).await;
        }
    }

    /// Waits, or until the container has to stop. When the world stops,
    /// containers stay as they are: nothing comes after.
    async fn rest_exactly(&self, time: Duration) {
        tokio::select! {
            () = self.stop.cancelled() => {}
            slept = self.pod.plane.clock().sleep(time) => if slept.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    fn tell(&self, warning: bool, reason: &'static str, message: String) {
        self.pod.tell(Some(&self.name), warning, reason, message);
    }

    fn wait_because(&self, reason: &str, message: String) {
        let waiting = State::Waiting {
            reason: reason.to_owned(),
            message,
        };
        self.pod
            .change(&self.name, |container| container.becomes(waiting));
    }

    /// What the process will see; none if the pod is stopped before all that
    /// it refers to exists.
    async fn prepare(&self) -> Option<Process> {
        self.pod.mind(env::references(&self.spec)).await;
        loop {
            let pod = self.with_address();
            match env::environment(self.pod.plane.cache(), &pod, &self.spec) {
                Ok(env) => return Some(self.process(&pod, env)),
                Err(why) => {
                    self.tell(true, "Failed", format!("Error: {why}"));
                    self.wait_because("CreateContainerConfigError", why);
                    self.rest(Duration::from_secs(10)).await;
                    if self.stop.is_cancelled() {
                        return None;
                    }
                }
            }
        }
    }

    /// The pod with the addresses that its status will have.
    fn with_address(&self) -> Value {
        let mut pod = (*self.pod.object()).clone();
        let (address, host) = (self.pod.address.to_string(), &self.pod.host.address);
        pod["status"]["podIPs"] = serde_json::json!([{"ip": address}]);
        pod["status"]["podIP"] = address.into();
        pod["status"]["hostIPs"] = serde_json::json!([{"ip": host}]);
        pod["status"]["hostIP"] = host.clone().into();
        pod
    }

    fn process(&self, pod: &Value, env: std::collections::BTreeMap<String, String>) -> Process {
        let map = |pointer: &str| {
            pod.pointer(pointer)
                .and_then(Value::as_object)
                .into_iter()
                .flatten()
                .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()))
                .collect()
        };
        let namespace = text(pod, "/metadata/namespace").to_owned();
        let account = match text(pod, "/spec/serviceAccountName") {
            "" => "default",
            account => account,
        };
        let user = format!("system:serviceaccount:{namespace}:{account}");
        let program = programs::name(text(&self.spec, "/image"));
        Process {
            world: self.pod.plane.world.clone(),
            image: text(&self.spec, "/image").to_owned(),
            args: env::arguments(&self.spec, &env),
            env,
            pod: text(pod, "/metadata/name").to_owned(),
            container: self.name.clone(),
            annotations: map("/metadata/annotations"),
            labels: map("/metadata/labels"),
            service_account: account.to_owned(),
            ports: self.ports(),
            once: self.role == Role::Init
                || (self.role == Role::Main && text(pod, "/spec/restartPolicy") != "Always"),
            address: self.pod.address,
            log: self.pod.log(&self.name, self.nth),
            files: Mounts::new(&self.pod.volumes, pod, &self.spec),
            net: self.pod.plane.net.clone(),
            api: self
                .pod
                .plane
                .client
                .api
                .as_user(&user)
                .by_program(program.rsplit('/').next().unwrap_or(program)),
            namespace,
            stop: CancellationToken::new(),
        }
    }

    /// The ports that the container declares, and those that it is probed at.
    fn ports(&self) -> Vec<u16> {
        let declared = items(&self.spec, "/ports")
            .iter()
            .filter(|port| !matches!(text(port, "/protocol"), "UDP" | "SCTP"))
            .filter_map(|port| u16::try_from(port["containerPort"].as_u64()?).ok());
        let probed = ["startupProbe", "livenessProbe", "readinessProbe"]
            .into_iter()
            .filter_map(|name| Probe::of(&self.spec, name)?.port(&self.spec));
        let mut ports: Vec<u16> = declared.chain(probed).collect();
        ports.sort_unstable();
        ports.dedup();
        ports
    }

    /// One run, and whether it was a long one.
    async fn once(&self, process: Process, resumes: bool) -> (Ended, bool) {
        let log = self.pod.log(&self.name, self.nth);
        let begun = self.pod.plane.clock().elapsed();
        let (started, id) = self.begin(resumes);
        let exit = if images::runs_on(&process.image, &self.pod.host.arch) {
            self.supervise(process).await
        } else {
            log.line("exec /app: exec format error");
            self.rest_exactly(Duration::from_millis(200)).await;
            Exit::error(255)
        };
        log.close();
        let ended = Ended {
            code: exit.code,
            reason: exit.reason.to_owned(),
            started,
            finished: self.pod.plane.now(),
            id,
        };
        let state = State::Ended(ended.clone());
        self.pod.change(&self.name, |container| {
            container.state = state;
            container.ready = false;
            container.started = false;
        });
        let took = self.pod.plane.clock().elapsed().saturating_sub(begun);
        (ended, took >= LONG_RUN)
    }

    /// Shows the container as running; gives the time and its id.
    fn begin(&self, resumes: bool) -> (String, String) {
        let known = self.pod.container(&self.name);
        if resumes
            && let Some(known) = &known
            && let State::Running(since) = &known.state
        {
            return (since.clone(), known.id.clone());
        }
        let pod = self.pod.object();
        let subject = format!("{}/{}/{}", uid(&pod), self.name, self.nth);
        let digest = ring::digest::digest(&ring::digest::SHA256, subject.as_bytes());
        let id = format!("cri-o://{}", hex(digest.as_ref()));
        let since = self.pod.plane.now();
        let (shown, running) = (id.clone(), State::Running(since.clone()));
        self.pod.change(&self.name, |container| {
            container.becomes(running);
            container.restarts = self.nth;
            container.id = shown;
        });
        self.tell(
            false,
            "Created",
            format!("Created container: {}", self.name),
        );
        self.tell(false, "Started", format!("Started container {}", self.name));
        (since, id)
    }

    /// Lets the program run under its probes until it ends or has to.
    async fn supervise(&self, process: Process) -> Exit {
        let stop = process.stop.clone();
        let log = process.log.clone();
        let program = programs::program(&process.image);
        let mut task = JoinSet::new();
        task.spawn(async move { program.run(process).await });
        let ended = |result: Option<Result<Exit, tokio::task::JoinError>>| {
            if let Some(Ok(exit)) = result {
                exit
            } else {
                log.line("fatal: the program panicked");
                Exit::error(2)
            }
        };
        tokio::select! {
            exit = task.join_next() => return ended(exit),
            () = self.stop.cancelled() => self.before_stop().await,
            () = self.watch() => {}
        }
        stop.cancel();
        tokio::select! {
            exit = task.join_next() => ended(exit),
            _ = self.pod.plane.clock().sleep(self.pod.grace()) => {
                task.shutdown().await;
                Exit::error(137)
            }
        }
    }

    /// The container's own wish before its end.
    async fn before_stop(&self) {
        self.tell(
            false,
            "Killing",
            format!("Stopping container {}", self.name),
        );
        let seconds = self
            .spec
            .pointer("/lifecycle/preStop/sleep/seconds")
            .and_then(Value::as_u64)
            .unwrap_or_default();
        // A drain is for the proxies to hear of the end, which is no faster on
        // a fast clock.
        let least = match seconds {
            0 => Duration::ZERO,
            _ => LEAST_DRAIN.mul_f64(self.pod.plane.clock().rate()),
        };
        let wait = Duration::from_secs(seconds).max(least);
        let wait = wait.min(self.pod.grace().max(least));
        let _ = self.pod.plane.clock().sleep(wait).await;
    }

    /// Probes until the container has to be started again.
    async fn watch(&self) {
        if let Some(probe) = Probe::of(&self.spec, "startupProbe")
            && !self.start_up(&probe).await
        {
            return;
        }
        let never = images::is_never_ready(text(&self.spec, "/image"));
        let readiness = Probe::of(&self.spec, "readinessProbe");
        let ready = readiness.is_none() && !never;
        self.pod.change(&self.name, |container| {
            container.started = true;
            container.ready = container.ready || ready;
        });
        let is_alive = async {
            match Probe::of(&self.spec, "livenessProbe") {
                Some(probe) => self.keep_alive(&probe).await,
                None => std::future::pending().await,
            }
        };
        let is_ready = async {
            if let Some(probe) = readiness {
                self.keep_ready(&probe, never).await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = is_alive => {}
            () = is_ready => {}
        }
    }

    async fn ask(&self, probe: &Probe, what: &str) -> bool {
        let pod = &self.pod;
        let result = probe
            .ask(pod.plane.clock(), &pod.plane.net, pod.address, &self.spec)
            .await;
        if let Err(why) = &result {
            self.tell(true, "Unhealthy", format!("{what} probe failed: {why}"));
        }
        result.is_ok()
    }

    async fn start_up(&self, probe: &Probe) -> bool {
        let crowd = self.pod.plane.crowd.enter();
        let clock = self.pod.plane.clock();
        self.rest_exactly(probe.delay).await;
        let mut failures = 0;
        let begun = clock.elapsed();
        loop {
            if self.ask(probe, "Startup").await {
                return true;
            }
            failures += 1;
            let failing = clock.elapsed().saturating_sub(begun);
            if failures >= probe.failures && clock.real(failing) >= LEAST_FAILING {
                let message = format!(
                    "Container {} failed startup probe, will be restarted",
                    self.name
                );
                self.tell(false, "Killing", message);
                return false;
            }
            self.rest_exactly(probe.pause(clock, 0, crowd.size())).await;
        }
    }

    async fn keep_alive(&self, probe: &Probe) {
        let crowd = self.pod.plane.crowd.enter();
        let clock = self.pod.plane.clock();
        self.rest_exactly(probe.delay).await;
        let (mut failures, mut successes, mut since) = (0, 0, clock.elapsed());
        loop {
            if self.ask(probe, "Liveness").await {
                failures = 0;
                successes += 1;
            } else {
                if failures == 0 {
                    since = clock.elapsed();
                }
                failures += 1;
                successes = 0;
                let failing = clock.elapsed().saturating_sub(since);
                if failures >= probe.failures && clock.real(failing) >= LEAST_FAILING {
                    break;
                }
            }
            self.rest_exactly(probe.pause(clock, successes, crowd.size()))
                .await;
        }
        let message = format!(
            "Container {} failed liveness probe, will be restarted",
            self.name
        );
        self.tell(false, "Killing", message);
    }

    async fn keep_ready(&self, probe: &Probe, never: bool) {
        let crowd = self.pod.plane.crowd.enter();
        let clock = self.pod.plane.clock();
        self.rest_exactly(probe.delay).await;
        let (mut good, mut bad, mut same) = (0, 0, 0);
        loop {
            let fine = if never {
                let why = "Readiness probe failed: HTTP probe failed with statuscode: 503";
                self.tell(true, "Unhealthy", why.to_owned());
                false
            } else {
                self.ask(probe, "Readiness").await
            };
            let known = self.pod.container(&self.name).is_some_and(|c| c.ready);
            if fine {
                (good, bad) = (good + 1, 0);
            } else {
                (good, bad) = (0, bad + 1);
            }
            let now = if fine {
                known || good >= probe.successes
            } else {
                known && bad < probe.failures
            };
            // The first result after a restart of the sandbox is news, too.
            if now != known {
                self.pod
                    .change(&self.name, |container| container.ready = now);
            }
            same = if now == known && fine == known {
                same + 1
            } else {
                0
            };
            self.rest_exactly(probe.pause(clock, same, crowd.size()))
                .await;
        }
    }
}
