//! What the programs' tests share: a pod without a kubelet around it.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use tokio_util::sync::CancellationToken;

use super::super::api::Api;
use super::super::podnet::PodNet;
use super::super::world::World;
use super::{Files, LogSink, Process};
use crate::clock::Clock;
use crate::secret::Secret;

/// Keeps what a program writes.
#[derive(Default)]
pub(super) struct Lines(Mutex<Vec<String>>);

impl Lines {
    pub(super) fn text(&self) -> String {
        self.0.lock().unwrap().join("\n")
    }
}

impl LogSink for Lines {
    fn line(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
}

/// Mounted files by path.
pub(super) struct Mounts(pub(super) BTreeMap<String, Vec<u8>>);

impl Files for Mounts {
    fn read(&self, path: &str) -> Option<Vec<u8>> {
        self.0.get(path).cloned()
    }
}

/// A world with a network, in which pods can be made.
pub(super) struct Stage {
    _dir: tempfile::TempDir,
    pub(super) world: Arc<World>,
    pub(super) net: Arc<PodNet>,
    /// Where the API server is, if there is one.
    pub(super) base: url::Url,
}

impl Stage {
    pub(super) fn new() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::new(100.0, CancellationToken::new());
        let world = Arc::new(World::open(dir.path(), clock, 7).unwrap());
        Self {
            _dir: dir,
            world,
            net: Arc::new(PodNet::default()),
            base: url::Url::parse("http://127.0.0.1:1/").unwrap(),
        }
    }

    /// A process of a pod, and its log.
    pub(super) fn process(&self, image: &str, last: u8) -> (Process, Arc<Lines>) {
        let lines = Arc::new(Lines::default());
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let process = Process {
            world: self.world.clone(),
            image: image.to_owned(),
            args: Vec::new(),
            env: BTreeMap::new(),
            namespace: "todo".to_owned(),
            pod: format!("pod-{last}"),
            container: "main".to_owned(),
            annotations: BTreeMap::new(),
            labels: BTreeMap::new(),
            service_account: "default".to_owned(),
            ports: Vec::new(),
            once: false,
            address: Ipv4Addr::new(10, 244, 0, last),
            log: lines.clone(),
            files: Arc::new(Mounts(BTreeMap::new())),
            net: self.net.clone(),
            api: Api::new(http, self.base.clone(), Some(Secret::new("token"))),
            stop: CancellationToken::new(),
        };
        (process, lines)
    }
}

/// Waits in real time for something that other tasks bring about.
pub(super) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let clock = Clock::default();
    for _ in 0..400 {
        if holds() {
            return;
        }
        let _ = clock.sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("it never came to pass: {what}");
}
