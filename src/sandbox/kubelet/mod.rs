//! The nodes' agents: they run the pods that are bound to them, by programs
//! chosen by image, and report as kubelets do.
//!
//! All nodes of a cluster share one agent; each writes in its own node's name.
//! After a restart of the sandbox, pods that ran run again where they were:
//! same address, same number of restarts.

pub mod backoff;
pub mod container;
pub mod env;
pub mod images;
pub mod logs;
pub mod nodes;
pub mod pod;
pub mod probe;
mod runtime;
mod serve;
pub mod status;
pub mod volumes;

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;

pub use self::runtime::{LogOptions, Output, Runtime, RuntimeError, Usage};

use self::pod::{Host, Pod};
use super::cache::{Client, News};
use super::controllers::Plane;
use super::kind::{Kind, is_leaving, key, text, uid};

/// Between two tries to remove a pod whose node is no more.
const AGAIN: Duration = Duration::from_secs(40);

/// The kubelets of a cluster.
#[derive(Debug)]
pub struct Kubelets {
    plane: Arc<Plane>,
    workers: Mutex<HashMap<String, Worker>>,
    addresses: Mutex<HashMap<Ipv4Addr, String>>,
}

#[derive(Debug)]
struct Worker {
    latest: watch::Sender<Arc<Value>>,
    pod: Arc<Pod>,
    task: tokio::task::AbortHandle,
}

impl Kubelets {
    /// Starts the kubelets of all nodes that there are and will be.
    pub fn start(plane: &Arc<Plane>) -> Arc<Self> {
        let kubelets = Arc::new(Self {
            plane: plane.clone(),
            workers: Mutex::default(),
            addresses: Mutex::default(),
        });
        tokio::spawn(kubelets.clone().run());
        tokio::spawn(nodes::heartbeats(plane.clone()));
        kubelets
    }

    async fn run(self: Arc<Self>) {
        let mut news = self.plane.cache().listen();
        self.plane.cache().synced().await;
        let known = self.plane.cache().list(Kind::Pods, "");
        // Addresses in use first, so that nobody new gets one.
        for pod in &known {
            if let Ok(address) = text(pod, "/status/podIP").parse() {
                self.addresses().insert(address, uid(pod).to_owned());
            }
        }
        for pod in known {
            self.follow(&pod).await;
        }
        loop {
            let heard = tokio::select! {
                () = self.plane.stop.cancelled() => return,
                heard = news.recv() => heard,
            };
            let Some(heard) = heard else { return };
            match (heard.kind, &heard.after) {
                (Kind::Pods, Some(pod)) => self.follow(pod).await,
                (Kind::Pods, None) => self.drop_pod(&heard),
                (Kind::Nodes, Some(_)) => self.node_news(&heard).await,
                (Kind::Nodes, None) => self.collect(&heard.key).await,
                _ => {}
            }
        }
    }

    /// A node that becomes known, or gets its range, may have pods already.
    async fn node_news(&self, news: &News) {
        if let Some(node) = &news.after
            && text(node, "/spec/podCIDR").is_empty()
        {
            nodes::give_range(&self.plane, node).await;
        }
        let before = news.before.as_deref();
        if before.is_none_or(|node| text(node, "/spec/podCIDR").is_empty()) {
            for pod in self.plane.cache().list(Kind::Pods, "") {
                if text(&pod, "/spec/nodeName") == &*news.key {
                    self.follow(&pod).await;
                }
            }
        }
    }

    /// Passes a pod's change on, or takes the pod over.
    async fn follow(&self, pod: &Arc<Value>) {
        let id = uid(pod).to_owned();
        {
            let workers = self.workers();
            if let Some(worker) = workers.get(&id) {
                worker.latest.send_replace(pod.clone());
                return;
            }
        }
        let name = text(pod, "/spec/nodeName");
        let Some(node) = self.plane.cache().get(Kind::Nodes, name) else {
            // Bound to it when it was going already: its pods had been removed.
            if !name.is_empty() {
                tokio::spawn(remove_orphan(self.plane.clone(), pod.clone()));
            }
            return;
        };
        let client = self.client_of(name);
        if is_leaving(pod) && text(pod, "/status/phase") == "Pending" {
            // Nothing runs that would have to end.
            let _ = client.delete_within(Kind::Pods, pod, Some(0)).await;
            return;
        }
        let host = Host {
            name: name.to_owned(),
            address: nodes::address(&node),
            arch: text(&node, "/status/nodeInfo/architecture").to_owned(),
        };
        let Some(address) = self.address_of(pod, &node, &host).await else {
            return;
        };
        let (latest, receiver) = watch::channel(pod.clone());
        let runner = Pod::new(&self.plane, client, host, address, receiver);
        let task = tokio::spawn(runner.clone().run()).abort_handle();
        let worker = Worker {
            latest,
            pod: runner,
            task,
        };
        self.workers().insert(id, worker);
    }

    /// The API in a node's name. Where no Node authorizer knows the group of
    /// nodes, that of the administrators stands in for it.
    fn client_of(&self, node: &str) -> Client {
        let api = self
            .plane
            .client
            .api
            .as_user(&format!("system:node:{node}"))
            .in_groups(&["system:nodes", "system:masters"])
            .by_program("kubelet");
        Client {
            api,
            cache: self.plane.cache().clone(),
        }
    }

    /// The pod's address: the one that it has, its node's, or a new one.
    async fn address_of(&self, pod: &Value, node: &Value, host: &Host) -> Option<Ipv4Addr> {
        if pod.pointer("/spec/hostNetwork") == Some(&Value::Bool(true)) {
            return host.address.parse().ok();
        }
        if let Ok(address) = text(pod, "/status/podIP").parse() {
            return Some(address);
        }
        let range = match text(node, "/spec/podCIDR") {
            "" => nodes::give_range(&self.plane, node).await?,
            range => range.to_owned(),
        };
        let mut addresses = self.addresses();
        let address = nodes::free_address(&range, &addresses)?;
        addresses.insert(address, uid(pod).to_owned());
        Some(address)
    }

    /// The object is gone: so is everything of it.
    fn drop_pod(&self, news: &News) {
        let Some(gone) = &news.before else { return };
        let id = uid(gone);
        if let Some(worker) = self.workers().remove(id) {
            worker.pod.stop.cancel();
            worker.pod.stop_last.cancel();
            worker.task.abort();
            worker.pod.forget_logs();
        }
        self.addresses().retain(|_, owner| owner != id);
    }

    /// Removes the pods of a node that is no more.
    async fn collect(&self, node: &str) {
        for pod in self.plane.cache().list(Kind::Pods, "") {
            if text(&pod, "/spec/nodeName") == node {
                remove_orphan(self.plane.clone(), pod).await;
            }
        }
    }

    /// The pod with this name.
    fn named(&self, namespace: &str, name: &str) -> Option<Arc<Pod>> {
        let pod = self.plane.cache().get(Kind::Pods, &key(namespace, name))?;
        self.workers()
            .get(uid(&pod))
            .map(|worker| worker.pod.clone())
    }

    fn all(&self) -> Vec<Arc<Pod>> {
        let workers = self.workers();
        workers.values().map(|worker| worker.pod.clone()).collect()
    }

    fn workers(&self) -> std::sync::MutexGuard<'_, HashMap<String, Worker>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn addresses(&self) -> std::sync::MutexGuard<'_, HashMap<Ipv4Addr, String>> {
        self.addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes a pod whose node is no more, as the garbage collector of pods does:
/// nobody is left who could say that it has ended.
async fn remove_orphan(plane: Arc<Plane>, pod: Arc<Value>) {
    let client = plane.client.as_controller("pod-garbage-collector");
    let key = key(
        text(&pod, "/metadata/namespace"),
        text(&pod, "/metadata/name"),
    );
    let node = text(&pod, "/spec/nodeName");
    let is_there = || {
        let found = plane.cache().get(Kind::Pods, &key);
        found.is_some_and(|found| uid(&found) == uid(&pod))
    };
    while is_there() && plane.cache().get(Kind::Nodes, node).is_none() {
        let Err(error) = client.delete_within(Kind::Pods, &pod, Some(0)).await else {
            return;
        };
        tracing::debug!(%error, "cannot remove the pod of a lost node");
        if plane.clock().sleep(AGAIN).await.is_err() {
            return;
        }
    }
}
