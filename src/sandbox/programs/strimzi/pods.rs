//! The pods of a cluster: one a node, made anew one after the other when what
//! they should be has changed.

use serde_json::{Value, json};

use super::super::super::api::ApiError;
use super::super::super::world::hex;
use super::super::{Process, tag};
use super::cluster::{ensure, is_ready, metadata};
use super::{belongs, meta};

/// Where a pod says out of which description it was made.
const REVISION: &str = "strimzi.io/revision";

/// One pass over the pods of a cluster.
pub(super) struct Roll<'a> {
    pods: &'a [Value],
    /// Whether pods still have to be replaced.
    pub(super) goes_on: bool,
}

impl<'a> Roll<'a> {
    pub(super) fn new(pods: &'a [Value]) -> Self {
        Self {
            pods,
            goes_on: false,
        }
    }

    /// Makes the pod of a node. One that is not as it should be is deleted
    /// when all others are ready, and comes back in a later pass.
    pub(super) async fn ensure(
        &mut self,
        process: &Process,
        kafka: &Value,
        pool: &Value,
        id: u64,
    ) -> Result<(), ApiError> {
        let (cluster, space) = (meta(kafka, "name"), meta(kafka, "namespace"));
        let name = format!("{cluster}-{}-{id}", meta(pool, "name"));
        let volumes = volumes(process, kafka, pool, &name).await?;
        let mut pod = pod(process, kafka, pool, id, &name, &volumes);
        let revision = revision(&pod["spec"]);
        pod["metadata"]["annotations"] = json!({REVISION: revision});
        let collection = format!("/api/v1/namespaces/{space}/pods");
        let held = self.pods.iter();
        let held = held
            .into_iter()
            .find(|pod| meta(pod, "name") == name && belongs(pod, kafka));
        let Some(held) = held else {
            return ensure(process, &collection, &pod).await;
        };
        let leaving = !held["metadata"]["deletionTimestamp"].is_null();
        let stale = held["metadata"]["annotations"][REVISION] != revision.as_str();
        if stale && !leaving && !self.goes_on && self.others_are_ready(&name) {
            process.log(&format!(
                "INFO Rolling Pod {space}/{name}: its description has changed"
            ));
            match process.api.delete(&format!("{collection}/{name}")).await {
                Err(error) if !error.is_not_found() => return Err(error),
                _ => {}
            }
        }
        self.goes_on |= stale || leaving;
        Ok(())
    }

    fn others_are_ready(&self, name: &str) -> bool {
        let mut others = self.pods.iter().filter(|pod| meta(pod, "name") != name);
        others.all(is_ready)
    }
}

fn revision(spec: &Value) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, spec.to_string().as_bytes());
    hex(digest.as_ref()).chars().take(8).collect()
}

/// The storage that a node asks for: the first volume, of whatever kind.
fn claim_size(pool: &Value) -> Option<&str> {
    let storage = &pool["spec"]["storage"];
    let first = match storage["type"].as_str() {
        Some("jbod") => &storage["volumes"][0],
        _ => storage,
    };
    (first["type"] == "persistent-claim").then(|| first["size"].as_str())?
}

/// The volumes of a node, whose claim is made unless it is there.
async fn volumes(
    process: &Process,
    kafka: &Value,
    pool: &Value,
    name: &str,
) -> Result<Vec<Value>, ApiError> {
    let (cluster, space) = (meta(kafka, "name"), meta(kafka, "namespace"));
    let mut volumes = vec![
        json!({"name": "broker-certs", "secret": {"secretName": format!("{cluster}-kafka-brokers")}}),
    ];
    let claim = format!("data-0-{name}");
    match claim_size(pool) {
        Some(size) => {
            let object = json!({
                "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "metadata": metadata(kafka, &claim, "kafka"),
                "spec": {
                    "accessModes": ["ReadWriteOnce"],
                    "resources": {"requests": {"storage": size}},
                },
            });
            let collection = format!("/api/v1/namespaces/{space}/persistentvolumeclaims");
            ensure(process, &collection, &object).await?;
            volumes.push(json!({"name": "data-0", "persistentVolumeClaim": {"claimName": claim}}));
        }
        None => volumes.push(json!({"name": "data-0", "emptyDir": {}})),
    }
    Ok(volumes)
}

fn pod(
    process: &Process,
    kafka: &Value,
    pool: &Value,
    id: u64,
    name: &str,
    volumes: &[Value],
) -> Value {
    let cluster = meta(kafka, "name");
    let version = kafka["spec"]["kafka"]["version"]
        .as_str()
        .unwrap_or("4.3.1");
    let images = process
        .env
        .get("STRIMZI_KAFKA_IMAGES")
        .map(String::as_str)
        .unwrap_or_default();
    let image = images
        .lines()
        .find_map(|line| line.trim().strip_prefix(&format!("{version}=")));
    let image = image.map_or_else(
        || {
            format!(
                "quay.io/strimzi/kafka:{}-kafka-{version}",
                tag(&process.image)
            )
        },
        str::to_owned,
    );
    let listeners = kafka["spec"]["kafka"]["listeners"].clone();
    let ports = listeners.as_array().into_iter().flatten().map(|listener| {
        let name = listener["name"].as_str().unwrap_or_default();
        json!({"name": format!("tcp-{name}"), "containerPort": listener["port"]})
    });
    let mut all =
        vec![json!({"name": "tcp-replication", "containerPort": super::kafka::INTERNAL_PORT})];
    all.extend(ports);
    let resources = [
        &pool["spec"]["resources"],
        &kafka["spec"]["kafka"]["resources"],
    ];
    let resources = resources.into_iter().find(|one| !one.is_null());
    let mut metadata = metadata(kafka, name, "kafka");
    metadata["labels"]["strimzi.io/pool-name"] = pool["metadata"]["name"].clone();
    metadata["labels"]["strimzi.io/pod-name"] = json!(name);
    let broker = pool["spec"]["roles"].as_array();
    let broker = broker.is_some_and(|roles| roles.iter().any(|role| role == "broker"));
    metadata["labels"]["strimzi.io/broker-role"] = json!(broker.to_string());
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": metadata,
        "spec": {
            "hostname": name,
            "subdomain": format!("{cluster}-kafka-brokers"),
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 30,
            "containers": [{
                "name": "kafka",
                "image": image,
                "args": ["/opt/kafka/kafka_run.sh"],
                "ports": all,
                "env": [
                    {"name": "KAFKA_CLUSTER_NAME", "value": cluster},
                    {"name": "KAFKA_NODE_ID", "value": id.to_string()},
                    {"name": "KAFKA_LISTENERS", "value": listeners.to_string()},
                    {"name": "KAFKA_AUTHORIZER", "value":
                        kafka["spec"]["kafka"]["authorization"]["type"].as_str().unwrap_or_default()},
                    {"name": "KAFKA_AUTO_CREATE", "value":
                        (kafka["spec"]["kafka"]["config"]["auto.create.topics.enable"] == json!(true)).to_string()},
                ],
                "readinessProbe": {
                    "tcpSocket": {"port": super::kafka::INTERNAL_PORT},
                    "initialDelaySeconds": 15, "timeoutSeconds": 5,
                },
                "livenessProbe": {
                    "tcpSocket": {"port": super::kafka::INTERNAL_PORT},
                    "initialDelaySeconds": 15, "timeoutSeconds": 5,
                },
                "resources": resources.cloned().unwrap_or_else(|| json!({})),
                "volumeMounts": [
                    {"name": "data-0", "mountPath": "/var/lib/kafka/data-0"},
                    {"name": "broker-certs", "mountPath": "/opt/kafka/broker-certs"},
                ],
            }],
            "volumes": volumes,
        },
    })
}
