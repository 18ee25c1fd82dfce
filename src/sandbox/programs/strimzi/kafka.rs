//! A node of a Kafka cluster: one node has the broker, the others of the
//! cluster show the same one.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use tokio::task::JoinSet;

use super::super::super::kafka::{Broker, Listener, Mechanism, Options};
use super::super::brokers::{self, Entry};
use super::super::dapr::plane::{acceptor, pause};
use super::super::{Exit, Process, Program};

/// Where nodes talk to each other; here only the operator and the probes do.
pub(super) const INTERNAL_PORT: u16 = 9091;

/// The image `strimzi/kafka`.
pub struct KafkaNode;

#[async_trait]
impl Program for KafkaNode {
    async fn run(&self, process: Process) -> Exit {
        let text = |name: &str| process.env.get(name).cloned().unwrap_or_default();
        let cluster = text("KAFKA_CLUSTER_NAME");
        if cluster.is_empty() {
            return super::super::generic::Generic.run(process).await;
        }
        let node: i32 = text("KAFKA_NODE_ID").parse().unwrap_or(0);
        process.log(&format!(
            "INFO [KafkaRaftServer nodeId={node}] Kafka Server starting"
        ));
        match serve(&process, &cluster, node).await {
            Ok(()) => {
                process.log(&format!(
                    "INFO [KafkaRaftServer nodeId={node}] Kafka Server stopped"
                ));
                Exit::OK
            }
            Err(error) => {
                process.log(&format!(
                    "ERROR Exiting Kafka due to fatal exception: {error}"
                ));
                Exit::error(1)
            }
        }
    }
}

/// The broker of the cluster: this node opens it if it is the first.
async fn broker(process: &Process, cluster: &str, node: i32) -> io::Result<Option<Arc<Broker>>> {
    let name = format!("{}-{cluster}", process.namespace);
    let text = |name: &str| process.env.get(name).map_or("", String::as_str);
    if node == 0 {
        let options = Options {
            node_id: node,
            auto_create: text("KAFKA_AUTO_CREATE") == "true",
            mechanisms: vec![Mechanism::Sha512],
            open: text("KAFKA_AUTHORIZER").is_empty(),
            strict: true,
            ..Options::default()
        };
        return Broker::open(&process.world, &name, options).map(Some);
    }
    let bootstrap = format!("{cluster}-kafka-bootstrap");
    loop {
        let found = process
            .net
            .endpoint(&process.namespace, &bootstrap, INTERNAL_PORT);
        let socket = found
            .ok()
            .and_then(|(pod, port)| process.net.socket(pod, port));
        if let Some(entry) = socket.and_then(brokers::find) {
            return Ok(Some(entry.broker));
        }
        if !pause(process, Duration::from_secs(1)).await {
            return Ok(None);
        }
    }
}

async fn serve(process: &Process, cluster: &str, node: i32) -> io::Result<()> {
    let Some(broker) = broker(process, cluster, node).await? else {
        return Ok(());
    };
    let file = |name: &str| {
        let bytes = process
            .files
            .read(&format!("/opt/kafka/broker-certs/{name}"));
        bytes
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .unwrap_or_default()
    };
    let listeners = process
        .env
        .get("KAFKA_LISTENERS")
        .map_or("[]", String::as_str);
    let listeners: Vec<Value> = serde_json::from_str(listeners).map_err(io::Error::other)?;
    let host = format!(
        "{}.{cluster}-kafka-brokers.{}.svc",
        process.pod, process.namespace
    );
    let mut tasks = JoinSet::new();
    let mut held = Vec::new();
    let internal = serde_json::json!({"port": INTERNAL_PORT, "tls": false});
    for listener in listeners.iter().chain([&internal]) {
        let port =
            u16::try_from(listener["port"].as_u64().unwrap_or(9092)).map_err(io::Error::other)?;
        let tls = listener["tls"] == Value::Bool(true);
        let (socket, binding) = process.listen(port).await?;
        let entry = Entry {
            broker: broker.clone(),
            tls,
            ca_pem: tls.then(|| file("ca.crt")),
            sasl: listener["authentication"]["type"] == "scram-sha-512",
        };
        let shown = Listener {
            tls: match tls {
                true => Some(acceptor(&file("tls.crt"), &file("tls.key"))?),
                false => None,
            },
            sasl: entry.sasl,
            advertised: (host.clone(), port),
        };
        held.push((brokers::register(socket.local_addr()?, entry), binding));
        tasks.spawn(broker.clone().serve(socket, shown, process.stop.clone()));
    }
    process.log(&format!(
        "INFO [KafkaRaftServer nodeId={node}] Kafka Server started"
    ));
    process.stop.cancelled().await;
    while tasks.join_next().await.is_some() {}
    drop(held);
    if node == 0 {
        broker.close();
    }
    Ok(())
}
