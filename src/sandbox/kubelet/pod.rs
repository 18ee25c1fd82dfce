//! One pod on its node: volumes, init containers, containers, and its end.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::container::{self, Role};
use super::logs::{self, Log};
use super::status::{self, Container, Containers, Facts, State};
use super::volumes::{self, Volumes};
use crate::sandbox::api::ApiError;
use crate::sandbox::cache::{Client, Minding};
use crate::sandbox::controllers::Plane;
use crate::sandbox::controllers::events::Note;
use crate::sandbox::kind::{Kind, is_leaving, items, number, text, uid};

/// The longest pause between two tries to mount volumes.
const LONGEST_PAUSE: Duration = Duration::from_secs(122);
/// The shortest pause before something is tried again, in real time.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
/// The least real time that a container gets for its end.
const LEAST_GRACE: Duration = Duration::from_millis(500);

/// The node that a pod runs on.
#[derive(Debug, Clone)]
pub struct Host {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: String,
    /// `arm64` or `amd64`.
    pub arch: String,
}

/// A pod that a kubelet looks after.
#[derive(Debug)]
pub struct Pod {
    /// The cluster.
    pub plane: Arc<Plane>,
    /// The API, as the node.
    pub client: Client,
    /// The node.
    pub host: Host,
    /// Its address in the cluster.
    pub address: Ipv4Addr,
    /// Its files.
    pub volumes: Arc<Volumes>,
    /// Stops the containers.
    pub stop: CancellationToken,
    /// Stops those that go last: the init containers that stay.
    pub stop_last: CancellationToken,
    latest: watch::Receiver<Arc<Value>>,
    containers: Mutex<Containers>,
    changed: Notify,
    logs: Mutex<HashMap<(String, u32), Arc<Log>>>,
    folder: PathBuf,
    since: String,
    /// What it refers to.
    minded: tokio::sync::Mutex<HashMap<(Kind, String), Minding>>,
}

impl Pod {
    /// Takes a pod over, as its status shows it.
    pub fn new(
        plane: &Arc<Plane>,
        client: Client,
        host: Host,
        address: Ipv4Addr,
        latest: watch::Receiver<Arc<Value>>,
    ) -> Arc<Self> {
        let pod = latest.borrow().clone();
        let since = match text(&pod, "/status/startTime") {
            "" => plane.now(),
            since => since.to_owned(),
        };
        Arc::new(Self {
            volumes: Volumes::new(plane.cache(), &pod),
            stop: CancellationToken::new(),
            stop_last: CancellationToken::new(),
            containers: Mutex::new(containers_of(&pod)),
            changed: Notify::new(),
            logs: Mutex::default(),
            folder: logs::folder(
                &plane.world.dir,
                text(&pod, "/metadata/namespace"),
                text(&pod, "/metadata/name"),
                uid(&pod),
            ),
            plane: plane.clone(),
            client,
            host,
            address,
            latest,
            since,
            minded: tokio::sync::Mutex::default(),
        })
    }

    /// The pod as it was last seen.
    pub fn object(&self) -> Arc<Value> {
        self.latest.borrow().clone()
    }

    /// A container's state.
    pub fn container(&self, name: &str) -> Option<Container> {
        self.containers().get(name).cloned()
    }

    /// Changes a container's state and lets it be reported.
    pub fn change(&self, name: &str, change: impl FnOnce(&mut Container)) {
        if let Some(container) = self.containers().get_mut(name) {
            change(container);
        }
        self.changed.notify_one();
    }

    /// The log of a container's run.
    pub fn log(&self, container: &str, run: u32) -> Arc<Log> {
        let mut logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.folder.join(container).join(format!("{run}.log"));
        if run >= 2 {
            // Only this run and the one before can be asked for.
            logs.remove(&(container.to_owned(), run - 2));
            let _ = std::fs::remove_file(path.with_file_name(format!("{}.log", run - 2)));
        }
        logs.entry((container.to_owned(), run))
            .or_insert_with(|| Log::open(path, self.plane.clock().clone()))
            .clone()
    }

    /// Tells something about a container, or the whole pod.
    pub fn tell(
        &self,
        container: Option<&str>,
        warning: bool,
        reason: &'static str,
        message: String,
    ) {
        let pod = self.object();
        let mut note = Note::new("kubelet", &pod, reason, message);
        note.host.clone_from(&self.host.name);
        note.warning = warning;
        note.part = container.map(|name| {
            let list = "/spec/initContainers";
            let init = items(&pod, list).iter().any(|c| text(c, "/name") == name);
            let list = if init { "initContainers" } else { "containers" };
            format!("spec.{list}{{{name}}}")
        });
        self.plane.events.tell(note);
    }

    /// Follows objects that the pod refers to, for as long as it is here.
    pub async fn mind(&self, references: Vec<(Kind, String)>) {
        let mut minded = self.minded.lock().await;
        for (kind, name) in references {
            if !minded.contains_key(&(kind, name.clone())) {
                let minding = self.plane.mind((kind, &name)).await;
                minded.insert((kind, name), minding);
            }
        }
    }

    /// How long the containers get for their end.
    pub fn grace(&self) -> Duration {
        let pod = self.object();
        let seconds = number(&pod, "/metadata/deletionGracePeriodSeconds")
            .or_else(|| number(&pod, "/spec/terminationGracePeriodSeconds"))
            .and_then(|seconds| u64::try_from(seconds).ok());
        let least = LEAST_GRACE.mul_f64(self.plane.clock().rate());
        Duration::from_secs(seconds.unwrap_or(30)).max(least)
    }

    /// Waits, no shorter than what keeps a fast clock from being a busy loop.
    pub async fn pause(&self, time: Duration) {
        let clock = self.plane.clock();
        let time = time.max(SHORTEST_PAUSE.mul_f64(clock.rate()));
        // Both ends are looked at by the caller.
        tokio::select! {
            () = self.stop.cancelled() => {}
            slept = clock.sleep(time) => if slept.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Runs the pod to its end, and the end of its object.
    pub async fn run(self: Arc<Self>) {
        let reporter = async {
            loop {
                self.changed.notified().await;
                self.report().await;
            }
        };
        let life = async {
            let live = self.clone().live();
            tokio::pin!(live);
            let mut latest = self.latest.clone();
            tokio::select! {
                // A pod that comes with its end announced does not start.
                biased;
                () = until_leaving(&mut latest) => {
                    self.stop.cancel();
                    live.await;
                }
                () = &mut live => {}
            }
            until_leaving(&mut latest).await;
        };
        tokio::select! {
            // When the sandbox stops, pods stay as they were.
            biased;
            () = self.plane.stop.cancelled() => return,
            () = reporter => {}
            () = life => {}
        }
        self.report().await;
        self.remove().await;
    }

    /// Ends the object, and what the node keeps of it.
    async fn remove(&self) {
        let pod = self.object();
        loop {
            match self.client.delete_within(Kind::Pods, &pod, Some(0)).await {
                Ok(()) => break,
                Err(error) => {
                    tracing::debug!(pod = text(&pod, "/metadata/name"), %error, "cannot end a pod");
                    if self.plane.stop.is_cancelled() {
                        return;
                    }
                    let pause = SHORTEST_PAUSE.mul_f64(self.plane.clock().rate());
                    let _ = self.plane.clock().sleep(pause).await;
                }
            }
        }
        self.forget_logs();
    }

    /// Deletes the logs.
    pub fn forget_logs(&self) {
        // What cannot be deleted is in nobody's way.
        let _ = std::fs::remove_dir_all(&self.folder);
    }

    async fn live(self: Arc<Self>) {
        let pod = self.object();
        if matches!(text(&pod, "/status/phase"), "Succeeded" | "Failed") {
            return;
        }
        if !self.set_up_volumes(&pod).await {
            return;
        }
        self.changed.notify_one();
        let refresh = self.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { refresh.refresh_tokens().await });
        let mut sidecars = JoinSet::new();
        let initialised = self.initialise(&pod, &mut sidecars).await;
        if initialised {
            let mut mains = JoinSet::new();
            for spec in items(&pod, "/spec/containers") {
                mains.spawn(container::live(self.clone(), spec.clone(), Role::Main));
            }
            while mains.join_next().await.is_some() {}
        }
        self.stop_last.cancel();
        while sidecars.join_next().await.is_some() {}
        self.changed.notify_one();
    }

    /// Runs the init containers one after the other; whether all are done.
    async fn initialise(self: &Arc<Self>, pod: &Value, sidecars: &mut JoinSet<bool>) -> bool {
        for spec in items(pod, "/spec/initContainers") {
            let name = text(spec, "/name");
            if status::is_sidecar(spec) {
                sidecars.spawn(container::live(self.clone(), spec.clone(), Role::Sidecar));
                if !self.wait_until_started(name).await {
                    return false;
                }
            } else if !self.container(name).is_some_and(|c| c.succeeded())
                && !container::live(self.clone(), spec.clone(), Role::Init).await
            {
                return false;
            }
        }
        !self.stop.is_cancelled()
    }

    async fn wait_until_started(&self, name: &str) -> bool {
        loop {
            if self.container(name).is_some_and(|c| c.started) {
                return true;
            }
            if self.stop.is_cancelled() {
                return false;
            }
            // Sidecars start within a probe's period; this is no idle loop.
            self.pause(Duration::ZERO).await;
        }
    }

    /// Mounts the volumes; false if the pod is stopped before it succeeds.
    async fn set_up_volumes(&self, pod: &Value) -> bool {
        let mut pause = Duration::from_millis(500);
        self.mind(volumes::references(pod)).await;
        loop {
            if self.stop.is_cancelled() {
                return false;
            }
            match self.volumes.set_up(&self.client.api, pod).await {
                Ok(()) => return true,
                Err((volume, why)) => {
                    let message = format!("MountVolume.SetUp failed for volume {volume:?} : {why}");
                    self.tell(None, true, "FailedMount", message);
                    self.changed.notify_one();
                }
            }
            self.pause(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Keeps the tokens in the volumes valid: they expire by the wall clock.
    async fn refresh_tokens(&self) {
        let rate = self.plane.clock().rate();
        let pause = Duration::from_mins(6).mul_f64(rate);
        while self.plane.clock().sleep(pause).await.is_ok() {
            let pod = self.object();
            if let Err(error) = self.volumes.refresh_tokens(&self.client.api, &pod).await {
                tracing::debug!(%error, "cannot renew a pod's tokens");
            }
        }
    }

    /// Writes the status, if it has changed.
    async fn report(&self) {
        let pod = self.object();
        let known = self
            .plane
            .cache()
            .get(Kind::Pods, &crate::sandbox::kind::key_of(&pod));
        let pod = known.filter(|known| uid(known) == uid(&pod)).unwrap_or(pod);
        let facts = Facts {
            host: self.host.address.clone(),
            address: Some(self.address.to_string()),
            now: self.plane.now(),
            since: self.since.clone(),
        };
        let status = status::pod_status(&pod, &self.containers(), &facts);
        let differs = status
            .as_object()
            .into_iter()
            .flatten()
            .any(|(field, value)| pod.pointer(&format!("/status/{field}")) != Some(value));
        if !differs {
            return;
        }
        let path = format!("{}/status", Kind::Pods.path_of(&pod));
        let patch = json!({"metadata": {"uid": uid(&pod)}, "status": status});
        match self.client.api.merge(&path, &patch).await {
            Ok(made) => {
                self.client.cache.observe(Kind::Pods, made);
            }
            // It is gone, or another has its name.
            Err(error) if error.is_not_found() || error.is_conflict() => {}
            Err(error) => self.report_later(&error).await,
        }
    }

    async fn report_later(&self, error: &ApiError) {
        tracing::debug!(%error, "cannot report a pod's status");
        let pause = Duration::from_millis(200).mul_f64(self.plane.clock().rate());
        if self.plane.clock().sleep(pause).await.is_ok() {
            self.changed.notify_one();
        }
    }

    fn containers(&self) -> std::sync::MutexGuard<'_, Containers> {
        self.containers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

async fn until_leaving(latest: &mut watch::Receiver<Arc<Value>>) {
    // Without a sender the worker is being dropped.
    let _ = latest.wait_for(|pod| is_leaving(pod)).await;
}

/// The containers of a pod as its status shows them, new ones as they begin.
fn containers_of(pod: &Value) -> Containers {
    let mut containers = Containers::new();
    let inits = items(pod, "/spec/initContainers");
    let waits = if inits.is_empty() {
        "ContainerCreating"
    } else {
        "PodInitializing"
    };
    for (specs, statuses) in [
        ("/spec/initContainers", "/status/initContainerStatuses"),
        ("/spec/containers", "/status/containerStatuses"),
    ] {
        for spec in items(pod, specs) {
            let name = text(spec, "/name");
            let known = items(pod, statuses)
                .iter()
                .find(|status| text(status, "/name") == name);
            let container = known.map_or_else(|| Container::new(waits), Container::from_status);
            containers.insert(name.to_owned(), container);
        }
    }
    containers
}

/// Whether a container runs by its state.
pub fn is_running(container: &Container) -> bool {
    matches!(container.state, State::Running(_))
}
