//! The controllers and kubelets at work, on the embedded API server.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::sandbox::api::{Api, Credential, Event};
use crate::sandbox::cache::Cache;
use crate::sandbox::kind::{Kind, is_true, text};
use crate::sandbox::kube::{Authenticator, Clusters, NodeSpec, User};
use crate::sandbox::world::World;
use crate::secret::Secret;

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
    let world = Arc::new(World::open(dir.path(), clock, 7).unwrap());
    let clusters = Clusters::new(world, Arc::new(Everybody));
    let endpoint = clusters.ensure(OCID).await.unwrap();
    let base = url::Url::parse(&format!("https://{}", endpoint.address)).unwrap();
    let api = Api::trusting(
        &endpoint.ca_pem,
        base,
        Credential::Token(Secret::new("admin")),
    )
    .unwrap();
    Rig {
        dir: Some(dir),
        clusters,
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
        let Ok(found) = tokio::time::timeout(Duration::from_secs(8), look).await else {
            panic!("{kind:?} {name} does not become as wanted: {last:#}")
        };
        found
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
    rig.make(Kind::Deployments, deployment("web", "web:1", 2))
        .await;
    let ready = rig
        .until(Kind::Deployments, "default", "web", |d| is_rolled_out(d, 2))
        .await;
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

#[tokio::test]
async fn pods_say_what_keeps_them_from_running() {
    let rig = rig().await;
    let waiting =
        |pod: &Value| text(pod, "/status/containerStatuses/0/state/waiting/reason").to_owned();
    let pod = |name: &str, image: &str| json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "app", "image": image}]}});
    rig.make(Kind::Pods, pod("missing", "a/b:missing")).await;
    rig.make(Kind::Pods, pod("crash", "a/b:crash")).await;
    rig.make(Kind::Pods, pod("oom", "a/b:oom")).await;
    rig.make(Kind::Pods, pod("arch", "a/b:amd64-only")).await;
    rig.make(Kind::Pods, pod("never", "a/b:never-ready")).await;
    let mut no_config = pod("config", "a/b:1");
    no_config["spec"]["containers"][0]["env"] =
        json!([{"name": "X", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]);
    rig.make(Kind::Pods, no_config).await;
    let mut large = pod("large", "a/b:1");
    large["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "64"}});
    rig.make(Kind::Pods, large).await;
    let until = |name: &'static str, is: Box<dyn Fn(&Value) -> bool>| {
        let rig = &rig;
        async move { rig.until(Kind::Pods, "default", name, is).await }
    };
    until(
        "missing",
        Box::new(move |p| waiting(p) == "ImagePullBackOff"),
    )
    .await;
    let crashed = until("crash", Box::new(move |p| waiting(p) == "CrashLoopBackOff")).await;
    let last = &crashed["status"]["containerStatuses"][0]["lastState"]["terminated"];
    assert_eq!(last["exitCode"], 1);
    let oom = "/status/containerStatuses/0/lastState/terminated/reason";
    until("oom", Box::new(move |p| text(p, oom) == "OOMKilled")).await;
    until("arch", Box::new(move |p| waiting(p) == "CrashLoopBackOff")).await;
    until(
        "never",
        Box::new(|p| text(p, "/status/phase") == "Running" && !is_true(p, "Ready")),
    )
    .await;
    until(
        "config",
        Box::new(move |p| waiting(p) == "CreateContainerConfigError"),
    )
    .await;
    let secret = json!({"metadata": {"name": "s"}, "data": {"k": "djE="}});
    rig.make(Kind::Secrets, secret).await;
    until("config", Box::new(|p| is_true(p, "Ready"))).await;
    let large = until(
        "large",
        Box::new(|p| crate::sandbox::kind::condition(p, "PodScheduled").is_some()),
    )
    .await;
    let why = crate::sandbox::kind::condition(&large, "PodScheduled").unwrap();
    assert!(text(why, "/message").starts_with("0/1 nodes are available: 1 Insufficient cpu."));
}

#[tokio::test]
async fn objects_are_followed_while_somebody_minds_them() {
    let rig = rig().await;
    let secret = |name: &str| json!({"metadata": {"name": name}});
    for name in ["a", "b"] {
        rig.make(Kind::Secrets, secret(name)).await;
    }
    let cache = Arc::new(Cache::default());
    let (clock, stop) = (Clock::default(), CancellationToken::new());
    let mind = |name| cache.mind(&rig.api, (Kind::Secrets, name), &clock, &stop);
    let is_known = |name: &str| {
        cache
            .get(Kind::Secrets, &format!("default/{name}"))
            .is_some()
    };
    let first = mind("a").await;
    assert!(is_known("a") && !is_known("b"));
    let again = mind("a").await;
    let late = mind("late").await;
    assert!(!is_known("late"));
    let mut news = cache.listen();
    rig.make(Kind::Secrets, secret("late")).await;
    assert_eq!(&*news.recv().await.unwrap().key, "default/late");
    drop(first);
    assert!(is_known("a") && is_known("late"));
    drop(again);
    assert!(!is_known("a") && is_known("late"));
    drop(late);
    rig.make(Kind::Secrets, json!({"metadata": {"name": "c"}}))
        .await;
    let third = mind("c").await;
    assert!(is_known("c") && !is_known("late") && news.try_recv().is_ok());
    drop(third);
}

#[tokio::test]
async fn a_stateful_set_has_volumes_and_names_and_a_service_leads_to_it() {
    let rig = rig().await;
    rig.make(
        Kind::Services,
        json!({
            "metadata": {"name": "db"},
            "spec": {"clusterIP": "None", "selector": {"app": "db"}, "ports": [{"port": 5432}]},
        }),
    )
    .await;
    rig.make(
        Kind::StatefulSets,
        json!({
            "metadata": {"name": "db"},
            "spec": {
                "replicas": 2, "serviceName": "db",
                "selector": {"matchLabels": {"app": "db"}},
                "template": {
                    "metadata": {"labels": {"app": "db"}},
                    "spec": {"containers": [{
                        "name": "app", "image": "db:1", "ports": [{"containerPort": 5432}],
                        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                    }]},
                },
                "volumeClaimTemplates": [{
                    "metadata": {"name": "data"},
                    "spec": {
                        "accessModes": ["ReadWriteOnce"], "storageClassName": "oci-bv",
                        "resources": {"requests": {"storage": "1Gi"}},
                    },
                }],
            },
        }),
    )
    .await;
    rig.until(Kind::StatefulSets, "default", "db", |set| {
        set["status"]["readyReplicas"] == 2
            && set["status"]["currentRevision"] == set["status"]["updateRevision"]
    })
    .await;
    let claim = rig.get(Kind::Claims, "data-db-0").await;
    assert_eq!(claim["status"]["capacity"]["storage"], "50Gi");
    rig.until(Kind::Endpoints, "default", "db", |endpoints| {
        endpoints["subsets"][0]["addresses"]
            .as_array()
            .is_some_and(|all| all.len() == 2)
    })
    .await;
    let net = rig.clusters.net(OCID).unwrap();
    let connected = async {
        while net.connect("default", "db-1.db", 5432).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(4), connected)
        .await
        .unwrap();
    net.connect("default", "db.default.svc.cluster.local", 5432)
        .await
        .unwrap();
}

#[tokio::test]
async fn jobs_end_and_daemons_are_everywhere() {
    let rig = rig().await;
    let job = |name: &str, command: Value| {
        json!({
            "metadata": {"name": name},
            "spec": {
                "completions": 2, "backoffLimit": 0,
                "template": {"spec": {
                    "restartPolicy": "Never",
                    "containers": [{"name": "app", "image": "busybox:1", "command": command}],
                }},
            },
        })
    };
    rig.make(
        Kind::Jobs,
        job("good", json!(["sh", "-c", "echo hello; sleep 1"])),
    )
    .await;
    rig.make(Kind::Jobs, job("bad", json!(["false"]))).await;
    rig.until(Kind::Jobs, "default", "good", |job| {
        is_true(job, "Complete")
    })
    .await;
    rig.until(Kind::Jobs, "default", "bad", |job| is_true(job, "Failed"))
        .await;
    for (name, ttl) in [("brief", 60), ("briefest", 0)] {
        let mut brief = job(name, json!(["true"]));
        brief["spec"]["ttlSecondsAfterFinished"] = json!(ttl);
        rig.make(Kind::Jobs, brief).await;
    }
    rig.until_gone(Kind::Jobs, "briefest").await;
    // A minute is 60 ms here, too short for anybody to see how it ended.
    let done = rig.until(Kind::Jobs, "default", "brief", |job| {
        is_true(job, "Complete")
    });
    let done = done.await["status"]["completionTime"].clone();
    rig.until_gone(Kind::Jobs, "brief").await;
    let done: jiff::Timestamp = done.as_str().unwrap().parse().unwrap();
    let kept = Clock::default().now().duration_since(done).as_secs_f64();
    assert!(kept > 1.0, "{kept} s");
    rig.make(
        Kind::DaemonSets,
        json!({
            "metadata": {"name": "agent"},
            "spec": {
                "selector": {"matchLabels": {"app": "agent"}},
                "template": {
                    "metadata": {"labels": {"app": "agent"}},
                    "spec": {"containers": [{"name": "app", "image": "agent:1"}]},
                },
            },
        }),
    )
    .await;
    rig.until(Kind::DaemonSets, "default", "agent", |set| {
        set["status"]["numberReady"] == 1
    })
    .await;
    rig.clusters.register_node(OCID, node("10.0.10.3", "amd64"));
    rig.until(Kind::DaemonSets, "default", "agent", |set| {
        set["status"]["numberReady"] == 2
    })
    .await;
    rig.clusters.remove_node(OCID, "10.0.10.3");
    rig.until(Kind::DaemonSets, "default", "agent", |set| {
        set["status"]["desiredNumberScheduled"] == 1 && set["status"]["numberReady"] == 1
    })
    .await;
    let cron = json!({
        "metadata": {"name": "tick"},
        "spec": {"schedule": "* * * * *", "jobTemplate": job("x", json!(["true"]))},
    });
    rig.make(Kind::CronJobs, cron).await;
    rig.until(Kind::CronJobs, "default", "tick", |cron| {
        !text(cron, "/status/lastSuccessfulTime").is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_deleted_deployment_takes_its_pods_with_it() {
    let rig = rig().await;
    rig.make(Kind::Deployments, deployment("web", "web:1", 1))
        .await;
    rig.until(Kind::Deployments, "default", "web", |d| is_rolled_out(d, 1))
        .await;
    let pod = text(&rig.list(Kind::Pods).await[0], "/metadata/name").to_owned();
    rig.api
        .delete(&Kind::Deployments.path("default", "web"))
        .await
        .unwrap();
    rig.until_gone(Kind::Pods, &pod).await;
}

#[tokio::test]
async fn pods_run_again_where_they_were_after_a_restart() {
    let mut rig = rig().await;
    rig.make(Kind::Deployments, deployment("web", "web:1", 1))
        .await;
    rig.until(Kind::Deployments, "default", "web", |d| is_rolled_out(d, 1))
        .await;
    let before = rig.list(Kind::Pods).await;
    let name = text(&before[0], "/metadata/name").to_owned();
    let dir = rig.dir.take().unwrap();
    rig.clusters.stop_all();
    drop(rig);
    let rig = open(dir).await;
    let net = rig.clusters.net(OCID).unwrap();
    let address = text(&before[0], "/status/podIP").parse().unwrap();
    let listening = async {
        while net.socket(address, 8080).is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(8), listening)
        .await
        .unwrap();
    let after = rig.get(Kind::Pods, &name).await;
    for field in [
        "/status/podIP",
        "/status/containerStatuses/0/restartCount",
        "/metadata/uid",
    ] {
        assert_eq!(after.pointer(field), before[0].pointer(field), "{field}");
    }
}
