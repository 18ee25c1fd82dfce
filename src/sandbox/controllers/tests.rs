//! The controllers and kubelets at work, on the embedded API server.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::sandbox::api::{Api, ApiError, Event};
use crate::sandbox::kind::{Kind, is_true, text};
use crate::sandbox::kube::{Authenticator, Clusters, NodeSpec, User};
use crate::sandbox::world::World;

struct Everybody;

impl Authenticator for Everybody {
    fn authenticate(&self, _: &str, bearer: &str) -> Result<User, String> {
        Ok(User::new(bearer, &["system:masters"]))
    }
}

const OCID: &str = "ocid1.cluster.test";

/// A cluster with a node in a world that runs 1000 times as fast.
struct Rig {
    dir: Option<tempfile::TempDir>,
    clusters: Arc<Clusters>,
    clock: Clock,
    api: Api,
}

async fn rig() -> Rig {
    let dir = tempfile::tempdir().unwrap();
    let rig = open(dir).await;
    rig.clusters.register_node(OCID, node("10.0.10.2", "arm64"));
    rig.until(Kind::Nodes, "", "10.0.10.2", |node| is_true(node, "Ready"))
        .await;
    rig
}

async fn open(dir: tempfile::TempDir) -> Rig {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let clock = Clock::new(1000.0, CancellationToken::new());
    let world = Arc::new(World::open(dir.path(), clock.clone(), 7).unwrap());
    let clusters = Clusters::new(world, Arc::new(Everybody));
    let endpoint = clusters.ensure(OCID).await.unwrap();
    let base = url::Url::parse(&format!("https://{}", endpoint.address)).unwrap();
    let api = Api::trusting(&endpoint.ca_pem, base, "admin".to_owned()).unwrap();
    Rig {
        dir: Some(dir),
        clusters,
        clock,
        api,
    }
}

fn node(name: &str, arch: &str) -> NodeSpec {
    NodeSpec {
        name: name.to_owned(),
        provider_id: "ocid1.instance.x".to_owned(),
        internal_ip: name.to_owned(),
        cpus: 2,
        memory_gb: 12,
        arch: arch.to_owned(),
        kubelet_version: "v1.34.1".to_owned(),
        zone: "AD-1".to_owned(),
        fault_domain: "FAULT-DOMAIN-1".to_owned(),
        labels: BTreeMap::new(),
        pods: 110,
    }
}

impl Rig {
    async fn make(&self, kind: Kind, mut object: Value) -> Value {
        object["apiVersion"] = kind.api_version().into();
        object["kind"] = kind.name().into();
        let path = kind.collection("default");
        self.api.create(&path, &object).await.unwrap()
    }

    async fn get(&self, kind: Kind, name: &str) -> Value {
        self.api.get(&kind.path("default", name)).await.unwrap()
    }

    async fn list(&self, kind: Kind) -> Vec<Value> {
        let list = self.api.get(&kind.collection("default")).await.unwrap();
        list["items"].as_array().unwrap().clone()
    }

    /// Waits until an object is as wanted; shows how it is if that takes long.
    async fn until(
        &self,
        kind: Kind,
        namespace: &str,
        name: &str,
        is: impl Fn(&Value) -> bool,
    ) -> Value {
        let mut last = Value::Null;
        let look = async {
            let path = kind.collection(namespace);
            let list = self.api.get(&path).await.unwrap();
            let version = text(&list, "/metadata/resourceVersion");
            let items = list["items"].as_array().unwrap().iter();
            for item in items.filter(|item| text(item, "/metadata/name") == name) {
                last = item.clone();
                if is(item) {
                    return item.clone();
                }
            }
            let mut watch = self.api.watch(&path, version, "").await.unwrap();
            loop {
                match watch.next().await.unwrap().unwrap() {
                    Event::Is(item) if text(&item, "/metadata/name") == name => {
                        last = item.clone();
                        if is(&item) {
                            return item;
                        }
                    }
                    _ => {}
                }
            }
        };
        match tokio::time::timeout(Duration::from_secs(8), look).await {
            Ok(found) => found,
            Err(_) => panic!("{kind:?} {name} does not become as wanted: {last:#}"),
        }
    }

    async fn until_gone(&self, kind: Kind, name: &str) {
        let path = kind.path("default", name);
        let gone = async {
            while !matches!(self.api.get(&path).await, Err(ref e) if e.is_not_found()) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(8), gone)
            .await
            .unwrap();
    }

    async fn events(&self, reason: &str) -> Vec<Value> {
        let list = self
            .api
            .get("/api/v1/namespaces/default/events")
            .await
            .unwrap();
        let all = list["items"].as_array().unwrap().iter();
        all.filter(|event| event["reason"] == reason)
            .cloned()
            .collect()
    }
}

fn deployment(name: &str, image: &str, replicas: u64) -> Value {
    json!({
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{
                    "name": "app",
                    "image": image,
                    "ports": [{"name": "http", "containerPort": 8080}],
                    "readinessProbe": {"httpGet": {"path": "/", "port": "http"}},
                }]},
            },
        },
    })
}

fn is_rolled_out(object: &Value, replicas: u64) -> bool {
    let status = &object["status"];
    status["observedGeneration"] == object["metadata"]["generation"]
        && status["updatedReplicas"] == replicas
        && status["availableReplicas"] == replicas
        && status["replicas"] == replicas
}

#[tokio::test]
async fn a_deployment_becomes_ready_and_rolls() {
    let rig = rig().await;
    let begun = rig.clock.elapsed();
    rig.make(Kind::Deployments, deployment("web", "web:1", 2))
        .await;
    let ready = rig
        .until(Kind::Deployments, "default", "web", |d| is_rolled_out(d, 2))
        .await;
    let took = rig.clock.real(rig.clock.elapsed().saturating_sub(begun));
    assert!(took < Duration::from_secs(2), "{took:?}");
    let progressing = crate::sandbox::kind::condition(&ready, "Progressing");
    assert!(progressing.is_some());
    rig.until(Kind::Deployments, "default", "web", |d| {
        crate::sandbox::kind::condition(d, "Progressing")
            .is_some_and(|c| c["reason"] == "NewReplicaSetAvailable")
    })
    .await;
    assert_eq!(
        ready["metadata"]["annotations"]["deployment.kubernetes.io/revision"],
        "1"
    );
    let patch = json!({"spec": {"template": {"spec": {"containers": [{
        "name": "app", "image": "web:2", "ports": [{"name": "http", "containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/", "port": "http"}},
    }]}}}});
    let path = Kind::Deployments.path("default", "web");
    rig.api.merge(&path, &patch).await.unwrap();
    rig.until(Kind::Deployments, "default", "web", |d| {
        is_rolled_out(d, 2)
            && d["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"
    })
    .await;
    let pods = rig.list(Kind::Pods).await;
    let new = pods
        .iter()
        .filter(|pod| text(pod, "/spec/containers/0/image") == "web:2")
        .filter(|pod| is_true(pod, "Ready"));
    assert_eq!(new.count(), 2);
    assert_eq!(rig.list(Kind::ReplicaSets).await.len(), 2);
    let scaled = rig.events("ScalingReplicaSet").await;
    assert!(
        scaled
            .iter()
            .any(|e| text(e, "/message").starts_with("Scaled up replica set web-"))
    );
}
