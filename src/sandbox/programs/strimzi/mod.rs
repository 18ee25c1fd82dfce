//! Strimzi: the operator that makes Kafka clusters, topics and users out of
//! resources, and the broker that its pods run.
//!
//! The cluster operator does the entity operator's work, too; the entity
//! operator's own containers only run, so that pods and readiness count as
//! with the real one.

mod cluster;
mod conditions;
mod kafka;
mod pods;
mod topics;
mod users;

use std::time::Duration;

use async_trait::async_trait;
use http::StatusCode;
use serde_json::Value;
use tokio::task::JoinSet;

use super::super::http::Reply;
use super::dapr::plane::{Targets, pause};
use super::follow::Follow;
use super::web::Server;
use super::{Exit, Process, Program, tag};

pub use kafka::KafkaNode;

/// The image `strimzi/operator`.
pub struct Operator;

/// The API of its resources.
const API: &str = "/apis/kafka.strimzi.io/v1";

/// The collections that the operator follows.
struct Watched {
    kafkas: Follow,
    pools: Follow,
    topics: Follow,
    users: Follow,
    pods: Follow,
}

#[async_trait]
impl Program for Operator {
    async fn run(&self, process: Process) -> Exit {
        let entity = process
            .args
            .iter()
            .any(|arg| arg.contains("topic_operator") || arg.contains("user_operator"));
        let ready = Targets::new(&["started"]);
        let mut tasks = JoinSet::new();
        let port = process.ports.first().copied().unwrap_or(8080);
        let Ok(server) = Server::bind(&process, port).await else {
            process.log("ERROR Failed to start the health check server");
            return Exit::error(1);
        };
        let shared = ready.clone();
        tasks.spawn(server.run(process.stop.clone(), move |request| {
            let started = shared.missing().is_empty();
            let status = match (request.path.as_str(), started) {
                ("/healthy", _) | ("/ready", true) => StatusCode::NO_CONTENT,
                ("/ready", false) => StatusCode::SERVICE_UNAVAILABLE,
                _ => StatusCode::NOT_FOUND,
            };
            async move { Reply::empty(status) }
        }));
        process.log(&format!(
            "INFO ClusterOperator {} is starting",
            tag(&process.image)
        ));
        ready.set("started", true);
        tokio::select! {
            () = process.stop.cancelled() => {}
            () = operate(&process), if !entity => {}
        }
        while tasks.join_next().await.is_some() {}
        Exit::OK
    }
}

/// Reconciles whatever changes, for ever.
async fn operate(process: &Process) {
    let spaces = process.env.get("STRIMZI_NAMESPACE").cloned();
    let spaces = spaces.unwrap_or_else(|| process.namespace.clone());
    let mut watching: Vec<Watched> = Vec::new();
    for space in spaces.split(',') {
        let at = |api: &str, what: &str| match space.trim() {
            "*" => format!("{api}/{what}"),
            space => format!("{api}/namespaces/{space}/{what}"),
        };
        watching.push(Watched {
            kafkas: Follow::start(process, &at(API, "kafkas"), ""),
            pools: Follow::start(process, &at(API, "kafkanodepools"), ""),
            topics: Follow::start(process, &at(API, "kafkatopics"), ""),
            users: Follow::start(process, &at(API, "kafkausers"), ""),
            pods: Follow::start(
                process,
                &at("/api/v1", "pods"),
                "labelSelector=strimzi.io%2Fkind%3DKafka",
            ),
        });
    }
    let mut seen = topics::Seen::default();
    let clock = &process.world.clock;
    let again = Duration::from_mins(2).max(Duration::from_secs(2).mul_f64(clock.rate()));
    loop {
        for watched in &watching {
            reconcile(process, watched, &mut seen).await;
        }
        let changes = watching.iter().flat_map(|watched| {
            let all = [
                &watched.kafkas,
                &watched.pools,
                &watched.topics,
                &watched.users,
                &watched.pods,
            ];
            all.map(|follow| Box::pin(follow.changed()))
        });
        tokio::select! {
            _ = futures::future::select_all(changes) => {}
            // What was not possible may be now.
            more = pause(process, again) => if !more { return },
        }
        if !pause(process, Duration::from_millis(200)).await {
            return;
        }
    }
}

async fn reconcile(process: &Process, watched: &Watched, seen: &mut topics::Seen) {
    let (kafkas, pools) = (watched.kafkas.all(), watched.pools.all());
    let (topics, users, pods) = (
        watched.topics.all(),
        watched.users.all(),
        watched.pods.all(),
    );
    for kafka in &kafkas {
        let own = |all: &[Value]| -> Vec<Value> {
            let fits = |one: &&Value| belongs(one, kafka);
            all.iter().filter(fits).cloned().collect()
        };
        let pods = own(&pods);
        let outcome = cluster::reconcile(process, kafka, &own(&pools), &pods).await;
        if let Err(error) = outcome {
            process.log(&format!(
                "ERROR Reconciliation of {} failed: {}",
                title(kafka),
                error.message()
            ));
        }
        let broker = cluster::broker(process, &pods);
        seen.reconcile(process, kafka, &own(&topics), broker.as_ref())
            .await;
        users::reconcile(process, kafka, &own(&users), broker.as_ref()).await;
    }
}

/// Whether a resource is one of a cluster's.
fn belongs(resource: &Value, kafka: &Value) -> bool {
    resource["metadata"]["namespace"] == kafka["metadata"]["namespace"]
        && resource["metadata"]["labels"]["strimzi.io/cluster"] == kafka["metadata"]["name"]
}

/// A field of the metadata.
fn meta<'a>(resource: &'a Value, name: &str) -> &'a str {
    resource["metadata"][name].as_str().unwrap_or_default()
}

fn title(kafka: &Value) -> String {
    format!(
        "Kafka({}/{})",
        meta(kafka, "namespace"),
        meta(kafka, "name")
    )
}
