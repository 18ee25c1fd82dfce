//! A Kafka resource: certificates, Services and pods, and its status.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use serde_json::{Value, json};

use super::super::super::api::ApiError;
use super::super::brokers::{self, Entry};
use super::super::{Process, tag};
use super::conditions::{self, NotReady};
use super::{meta, pods};

const VERSIONS: [&str; 4] = ["4.2.0", "4.2.1", "4.3.0", "4.3.1"];

/// The broker that runs in one of the cluster's pods.
pub(super) fn broker(process: &Process, pods: &[Value]) -> Option<Entry> {
    pods.iter().find_map(|pod| {
        let address = pod["status"]["podIP"].as_str()?.parse().ok()?;
        brokers::find(process.net.socket(address, super::kafka::INTERNAL_PORT)?)
    })
}

/// Creates an object unless it is there.
pub(super) async fn ensure(
    process: &Process,
    collection: &str,
    object: &Value,
) -> Result<(), ApiError> {
    let path = format!("{collection}/{}", meta(object, "name"));
    if process.api.find(&path).await?.is_some() {
        return Ok(());
    }
    match process.api.create(collection, object).await {
        Err(error) if !error.is_conflict() => Err(error),
        _ => Ok(()),
    }
}

fn owner(kafka: &Value) -> Value {
    json!([{
        "apiVersion": "kafka.strimzi.io/v1", "kind": "Kafka", "name": kafka["metadata"]["name"],
        "uid": kafka["metadata"]["uid"], "controller": false, "blockOwnerDeletion": false,
    }])
}

/// Name, labels and owner of one of the cluster's objects.
pub(super) fn metadata(kafka: &Value, name: &str, component: &str) -> Value {
    let cluster = meta(kafka, "name");
    json!({
        "name": name,
        "namespace": kafka["metadata"]["namespace"],
        "labels": {
            "app.kubernetes.io/instance": cluster,
            "app.kubernetes.io/managed-by": "strimzi-cluster-operator",
            "app.kubernetes.io/name": component,
            "app.kubernetes.io/part-of": format!("strimzi-{cluster}"),
            "strimzi.io/cluster": cluster,
            "strimzi.io/component-type": component,
            "strimzi.io/kind": "Kafka",
            "strimzi.io/name": format!("{cluster}-{component}"),
        },
        "ownerReferences": owner(kafka),
    })
}

/// Brings a cluster about, and says how far it is.
pub(super) async fn reconcile(
    process: &Process,
    kafka: &Value,
    pools: &[Value],
    pods: &[Value],
) -> Result<(), ApiError> {
    let checked = check(kafka, pools);
    if let Err(why) = &checked {
        return conditions::write(process, "kafkas", kafka, Err(why), json!({})).await;
    }
    let (name, space) = (meta(kafka, "name"), meta(kafka, "namespace"));
    certificates(process, kafka).await?;
    services(process, kafka).await?;
    let mut wanted = 0;
    let mut next_id = 0;
    let mut roll = pods::Roll::new(pods);
    for pool in pools {
        let replicas = pool["spec"]["replicas"].as_u64().unwrap_or(0);
        let mut ids = Vec::new();
        for _ in 0..replicas {
            roll.ensure(process, kafka, pool, next_id).await?;
            ids.push(next_id);
            next_id += 1;
        }
        wanted += replicas;
        let status = json!({
            "nodeIds": ids,
            "clusterId": cluster_id(process, kafka),
            "roles": pool["spec"]["roles"],
            "replicas": replicas,
            "labelSelector": format!("strimzi.io/cluster={name},strimzi.io/pool-name={}", meta(pool, "name")),
        });
        conditions::write(process, "kafkanodepools", pool, Ok(()), status).await?;
    }
    if !kafka["spec"]["entityOperator"].is_null() {
        entity_operator(process, kafka).await?;
    }
    let ready = pods.iter().filter(|pod| is_ready(pod)).count() as u64;
    if ready < wanted || roll.goes_on {
        let why = NotReady::new("Creating", "Kafka cluster is being deployed");
        // No verdict yet is no condition: the real operator is silent, too,
        // until it is through with a generation.
        let judged = kafka["status"]["observedGeneration"] == kafka["metadata"]["generation"];
        if kafka["status"]["conditions"].is_null() || !judged || roll.goes_on {
            return Ok(());
        }
        return conditions::write(process, "kafkas", kafka, Err(&why), json!({})).await;
    }
    let path = format!("/api/v1/namespaces/{space}/secrets/{name}-cluster-ca-cert");
    let secret = process.api.get(&path).await?;
    let ca = secret["data"]["ca.crt"].as_str().unwrap_or_default();
    let status = status(process, kafka, pools, ca);
    conditions::write(process, "kafkas", kafka, Ok(()), status).await
}

pub(super) fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    let mut all = conditions.into_iter().flatten();
    all.any(|one| one["type"] == "Ready" && one["status"] == "True")
}

/// What makes a cluster impossible.
fn check(kafka: &Value, pools: &[Value]) -> Result<(), NotReady> {
    let invalid = |message: String| Err(NotReady::new("InvalidResourceException", message));
    let name = meta(kafka, "name");
    if pools.is_empty() {
        return invalid(format!(
            "KafkaNodePools are enabled, but no KafkaNodePools found for Kafka cluster {name}"
        ));
    }
    let version = kafka["spec"]["kafka"]["version"].as_str();
    if let Some(version) = version.filter(|version| !VERSIONS.contains(version)) {
        return Err(NotReady::new(
            "UnsupportedKafkaVersionException",
            format!(
                "Unsupported Kafka.spec.kafka.version: {version}. Supported versions are: {VERSIONS:?}"
            ),
        ));
    }
    let has = |role: &str| {
        pools.iter().any(|pool| {
            let roles = pool["spec"]["roles"].as_array();
            let some = pool["spec"]["replicas"].as_u64().unwrap_or(0) > 0;
            some && roles.is_some_and(|roles| roles.iter().any(|one| one == role))
        })
    };
    for role in ["controller", "broker"] {
        if !has(role) {
            return invalid(format!(
                "The Kafka cluster {name} is invalid: [At least one KafkaNodePool with the {role} \
                 role and at least one replica is required when KRaft mode is enabled]"
            ));
        }
    }
    let brokers: u64 = pools
        .iter()
        .filter(|pool| {
            let roles = pool["spec"]["roles"].as_array();
            roles.is_some_and(|roles| roles.iter().any(|one| one == "broker"))
        })
        .filter_map(|pool| pool["spec"]["replicas"].as_u64())
        .sum();
    let config = &kafka["spec"]["kafka"]["config"];
    for (option, otherwise) in [
        ("default.replication.factor", 1),
        ("offsets.topic.replication.factor", 3),
        ("transaction.state.log.replication.factor", 3),
    ] {
        let told = &config[option];
        let told = told.as_u64().or_else(|| told.as_str()?.parse().ok());
        // Brokers complain only about what is said.
        if told.unwrap_or(otherwise) > brokers && told.is_some() {
            return invalid(format!(
                "Kafka configuration option '{option}' should be set to {brokers} or less because \
                 this cluster has only {brokers} Kafka broker(s)"
            ));
        }
    }
    Ok(())
}

fn cluster_id(process: &Process, kafka: &Value) -> String {
    process
        .world
        .letters(&format!("strimzi/{}", meta(kafka, "uid")), 22)
}

fn status(process: &Process, kafka: &Value, pools: &[Value], ca: &str) -> Value {
    let (name, space) = (meta(kafka, "name"), meta(kafka, "namespace"));
    let host = format!("{name}-kafka-bootstrap.{space}.svc");
    let decoded = STANDARD.decode(ca).unwrap_or_default();
    let ca = String::from_utf8_lossy(&decoded);
    let listeners = kafka["spec"]["kafka"]["listeners"].as_array();
    let listeners = listeners.into_iter().flatten().map(|listener| {
        let mut shown = json!({
            "name": listener["name"],
            "addresses": [{"host": host, "port": listener["port"]}],
            "bootstrapServers": format!("{host}:{}", listener["port"]),
        });
        if listener["tls"] == json!(true) {
            shown["certificates"] = json!([ca]);
        }
        shown
    });
    let version = kafka["spec"]["kafka"]["version"]
        .as_str()
        .unwrap_or("4.3.1");
    json!({
        "clusterId": cluster_id(process, kafka),
        "kafkaVersion": version,
        "kafkaMetadataVersion": kafka["spec"]["kafka"]["metadataVersion"].as_str().unwrap_or("4.3-IV0"),
        "kafkaMetadataState": "KRaft",
        "operatorLastSuccessfulVersion": tag(&process.image),
        "listeners": listeners.collect::<Vec<_>>(),
        "kafkaNodePools": pools.iter().map(|pool| json!({"name": pool["metadata"]["name"]})).collect::<Vec<_>>(),
    })
}

/// The authority of the cluster and the brokers' certificate.
async fn certificates(process: &Process, kafka: &Value) -> Result<(), ApiError> {
    let (name, space) = (meta(kafka, "name"), meta(kafka, "namespace"));
    let collection = format!("/api/v1/namespaces/{space}/secrets");
    let ca_name = format!("{name}-cluster-ca-cert");
    if process
        .api
        .find(&format!("{collection}/{ca_name}"))
        .await?
        .is_some()
    {
        return Ok(());
    }
    let Ok(made) = make(name, space) else {
        process.log("ERROR no certificates could be made");
        return Ok(());
    };
    let secret = |name: &str, data: Value| {
        json!({
            "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
            "metadata": metadata(kafka, name, "certificate-authority"),
            "data": data,
        })
    };
    let text = |text: &str| json!(STANDARD.encode(text));
    let brokers = json!({"tls.crt": text(&made.broker), "tls.key": text(&made.broker_key), "ca.crt": text(&made.ca)});
    ensure(
        process,
        &collection,
        &secret(&format!("{name}-kafka-brokers"), brokers),
    )
    .await?;
    let key = json!({"ca.key": text(&made.ca_key)});
    ensure(
        process,
        &collection,
        &secret(&format!("{name}-cluster-ca"), key),
    )
    .await?;
    let ca = json!({"ca.crt": text(&made.ca)});
    ensure(process, &collection, &secret(&ca_name, ca)).await
}

struct Made {
    ca: String,
    ca_key: String,
    broker: String,
    broker_key: String,
}

fn make(name: &str, space: &str) -> Result<Made, rcgen::Error> {
    let ca_key = KeyPair::generate()?;
    let mut ca = CertificateParams::new(Vec::<String>::new())?;
    ca.distinguished_name
        .push(DnType::OrganizationName, "io.strimzi");
    ca.distinguished_name
        .push(DnType::CommonName, "cluster-ca v0");
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca_pem = ca.self_signed(&ca_key)?.pem();
    let ca_key_pem = ca_key.serialize_pem();
    let issuer = Issuer::new(ca, ca_key);
    let key = KeyPair::generate()?;
    let bootstrap = format!("{name}-kafka-bootstrap");
    let brokers = format!("*.{name}-kafka-brokers.{space}.svc");
    let mut params = CertificateParams::new(vec![
        bootstrap.clone(),
        format!("{bootstrap}.{space}"),
        format!("{bootstrap}.{space}.svc"),
        format!("{bootstrap}.{space}.svc.cluster.local"),
        brokers.clone(),
        format!("{brokers}.cluster.local"),
        "localhost".to_owned(),
    ])?;
    params
        .distinguished_name
        .push(DnType::CommonName, format!("{name}-kafka"));
    params.use_authority_key_identifier_extension = true;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(Made {
        broker: params.signed_by(&key, &issuer)?.pem(),
        broker_key: key.serialize_pem(),
        ca: ca_pem,
        ca_key: ca_key_pem,
    })
}

async fn services(process: &Process, kafka: &Value) -> Result<(), ApiError> {
    let (name, space) = (meta(kafka, "name"), meta(kafka, "namespace"));
    let listeners = kafka["spec"]["kafka"]["listeners"].as_array();
    let mut ports = vec![
        json!({"name": "tcp-replication", "port": super::kafka::INTERNAL_PORT, "protocol": "TCP"}),
    ];
    ports.extend(listeners.into_iter().flatten().map(|listener| {
        let name = listener["name"].as_str().unwrap_or_default();
        json!({"name": format!("tcp-{name}"), "port": listener["port"], "protocol": "TCP"})
    }));
    let collection = format!("/api/v1/namespaces/{space}/services");
    for (suffix, headless) in [("bootstrap", false), ("brokers", true)] {
        let mut service = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": metadata(kafka, &format!("{name}-kafka-{suffix}"), "kafka"),
            "spec": {
                "type": "ClusterIP",
                "ports": ports,
                "selector": {
                    "strimzi.io/cluster": name, "strimzi.io/kind": "Kafka",
                    "strimzi.io/name": format!("{name}-kafka"),
                },
            },
        });
        if headless {
            service["spec"]["clusterIP"] = json!("None");
            service["spec"]["publishNotReadyAddresses"] = json!(true);
        }
        let path = format!("{collection}/{}", meta(&service, "name"));
        match process.api.find(&path).await? {
            Some(held) if ports_of(&held) != ports_of(&service) => {
                let patch = json!({"spec": {"ports": ports}});
                process.api.merge(&path, &patch).await?;
            }
            Some(_) => {}
            None => ensure(process, &collection, &service).await?,
        }
    }
    Ok(())
}

/// A Service's ports by their names.
fn ports_of(service: &Value) -> Vec<(&Value, &Value)> {
    let ports = service["spec"]["ports"].as_array().into_iter().flatten();
    ports.map(|port| (&port["name"], &port["port"])).collect()
}

/// The Deployment whose containers do nothing here.
async fn entity_operator(process: &Process, kafka: &Value) -> Result<(), ApiError> {
    let (name, space) = (meta(kafka, "name"), meta(kafka, "namespace"));
    let title = format!("{name}-entity-operator");
    let asked = &kafka["spec"]["entityOperator"];
    let containers = [
        ("topicOperator", "topic-operator", 8080),
        ("userOperator", "user-operator", 8081),
    ];
    let containers = containers
        .into_iter()
        .filter(|(field, _, _)| !asked[field].is_null());
    let containers: Vec<Value> = containers
        .map(|(field, container, port)| {
            let probe = |path: &str| json!({"httpGet": {"path": path, "port": port}, "initialDelaySeconds": 10});
            json!({
                "name": container,
                "image": process.image,
                "args": [format!("/opt/strimzi/bin/{}_run.sh", container.replace('-', "_"))],
                "ports": [{"name": "healthcheck", "containerPort": port}],
                "readinessProbe": probe("/ready"),
                "livenessProbe": probe("/healthy"),
                "resources": asked[field]["resources"].as_object().cloned().unwrap_or_default(),
            })
        })
        .collect();
    if containers.is_empty() {
        return Ok(());
    }
    let metadata = metadata(kafka, &title, "entity-operator");
    let labels = metadata["labels"].clone();
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata,
        "spec": {
            "replicas": 1,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": {
                "strimzi.io/cluster": name, "strimzi.io/name": title, "strimzi.io/kind": "Kafka",
            }},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}},
        },
    });
    let collection = format!("/apis/apps/v1/namespaces/{space}/deployments");
    ensure(process, &collection, &deployment).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_a_cluster_impossible_is_said() {
        let kafka = |config: Value| {
            json!({
                "metadata": {"name": "events", "namespace": "kafka"},
                "spec": {"kafka": {"version": "4.3.1", "config": config}},
            })
        };
        let pool = |roles: Value| json!({"spec": {"replicas": 1, "roles": roles}});
        let both = pool(json!(["controller", "broker"]));
        let why = |kafka: &Value, pools: &[Value]| check(kafka, pools).unwrap_err().message;
        assert!(why(&kafka(json!({})), &[]).contains("no KafkaNodePools found"));
        let lacks = why(&kafka(json!({})), &[pool(json!(["broker"]))]);
        assert!(lacks.contains("controller role"), "{lacks}");
        let many = kafka(json!({"default.replication.factor": 3}));
        assert!(why(&many, std::slice::from_ref(&both)).contains("should be set to 1 or less"));
        let mut old = kafka(json!({}));
        old["spec"]["kafka"]["version"] = json!("3.9.0");
        assert_eq!(
            check(&old, std::slice::from_ref(&both)).unwrap_err().reason,
            "UnsupportedKafkaVersionException"
        );
        assert_eq!(check(&kafka(json!({})), &[both]), Ok(()));
    }
}
