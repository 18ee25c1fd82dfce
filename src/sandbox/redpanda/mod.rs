//! Redpanda Cloud Serverless as its REST APIs show it: tokens, resource
//! groups, clusters with their operations, and each cluster's own API for
//! users, rules and topics. Behind every cluster stands a broker of the world.
//!
//! Specified by the `OpenAPI` files of the control plane and data plane, both
//! v1, read in 2026. The organisation has one service account, on trial.

pub mod control;
pub mod data;
pub mod error;
pub mod token;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::http::{self as server, Handler, Reply, Request};
use super::kafka::fleet::listen;
use super::kafka::{Addresses, Broker, Fleet, Mechanism, Wanted};
use super::world::World;
use crate::files::{self, Access};
use error::Refusal;
use token::Account;

/// The faults that only Redpanda Cloud has, and what their arguments mean.
pub const FAULT_KINDS: [(&str, &str); 3] = [
    ("trial-ended", "the clusters are suspended"),
    ("create-fails", "the operation that makes a cluster fails"),
    ("no-quota", "no cluster can be made"),
];

/// The system's name in faults and in the request log.
pub const SYSTEM: &str = "redpanda";

/// The file in the world's folder that says how to get in.
pub const ACCESS_FILE: &str = "redpanda.json";

/// Where the emulated cloud is and how to get in: the content of
/// [`ACCESS_FILE`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CloudAccess {
    /// The base URL of control plane and token issuer.
    pub endpoint: String,
    /// The certificate authority to trust, a file.
    pub ca: std::path::PathBuf,
    /// The service account.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
}

/// The emulated cloud.
pub struct Cloud {
    world: Arc<World>,
    fleet: Arc<Fleet>,
    account: Account,
    stop: CancellationToken,
    /// The URLs of the data planes by cluster.
    doors: Mutex<BTreeMap<String, String>>,
}

impl Cloud {
    /// Serves the cloud on loopback, with the clusters that it had before.
    pub async fn open(
        world: &Arc<World>,
        fleet: &Arc<Fleet>,
        stop: &CancellationToken,
    ) -> io::Result<(Arc<Self>, CloudAccess)> {
        let cloud = Arc::new(Self {
            world: world.clone(),
            fleet: fleet.clone(),
            account: Account::of(world),
            stop: stop.clone(),
            doors: Mutex::default(),
        });
        let endpoint = cloud.serve("redpanda", None).await?;
        for id in cloud.cluster_ids() {
            cloud.start(&id).await?;
        }
        let access = CloudAccess {
            endpoint,
            ca: fleet.authority().file.clone(),
            client_id: cloud.account.id.clone(),
            client_secret: cloud.account.secret.clone(),
        };
        let text = serde_json::to_vec_pretty(&access)?;
        files::write_atomic(&world.dir.join(ACCESS_FILE), &text, Access::Private)?;
        tokio::spawn(control::sweep(cloud.clone()));
        Ok((cloud, access))
    }

    /// Opens a door of the cloud on a port of its own; its URL.
    async fn serve(self: &Arc<Self>, name: &str, cluster: Option<String>) -> io::Result<String> {
        let socket = listen(&self.world, name).await?;
        let url = format!("https://localhost:{}", socket.local_addr()?.port());
        let tls = self
            .fleet
            .authority()
            .acceptor(&["localhost", "127.0.0.1"])?;
        let door = Arc::new(Door {
            cloud: self.clone(),
            cluster,
        });
        let (world, stop) = (self.world.clone(), self.stop.clone());
        tokio::spawn(server::serve(socket, Some(tls), door, world, stop));
        Ok(url)
    }

    /// Starts what stands behind a cluster: a broker and a data plane.
    async fn start(self: &Arc<Self>, id: &str) -> io::Result<()> {
        let gone_with = Some((SYSTEM.to_owned(), "trial-ended".to_owned()));
        let wanted = Wanted {
            mechanisms: vec![Mechanism::Sha256, Mechanism::Sha512],
            replicas: Some(3),
            strict: true,
            trusted: true,
            gone_with,
            ..Wanted::named(&format!("redpanda-{id}"))
        };
        self.fleet.add(wanted).await?;
        let url = self
            .serve(&format!("redpanda/{id}"), Some(id.to_owned()))
            .await?;
        let mut doors = self.doors.lock().unwrap_or_else(PoisonError::into_inner);
        doors.insert(id.to_owned(), url);
        Ok(())
    }

    fn broker(&self, id: &str) -> Option<(Arc<Broker>, Addresses)> {
        self.fleet.get(&format!("redpanda-{id}"))
    }

    fn door(&self, id: &str) -> Option<String> {
        let doors = self.doors.lock().unwrap_or_else(PoisonError::into_inner);
        doors.get(id).cloned()
    }

    fn age_ms(&self) -> u64 {
        u64::try_from(self.world.age().as_millis()).unwrap_or(u64::MAX)
    }

    fn suspended(&self) -> bool {
        let faults = self.world.faults.list();
        faults
            .iter()
            .any(|f| f.system == SYSTEM && f.kind == "trial-ended")
    }
}

/// One of the cloud's listeners: the control plane, or a cluster's own API.
struct Door {
    cloud: Arc<Cloud>,
    cluster: Option<String>,
}

/// A status and a body, or a refusal.
type Answer = Result<(StatusCode, Value), Refusal>;

impl Handler for Door {
    fn system(&self) -> &'static str {
        SYSTEM
    }

    async fn handle(&self, request: Request) -> Reply {
        let cloud = &self.cloud;
        if self.cluster.is_none() && request.path == "/oauth/token" {
            return cloud.account.issue(&request, cloud.age_ms());
        }
        if let Err(refusal) = cloud.account.check(&request, cloud.age_ms()) {
            return refusal.reply();
        }
        let answer = match &self.cluster {
            None => control::answer(cloud, &request).await,
            Some(id) => match cloud.broker(id) {
                Some(_) if cloud.suspended() => Err(Refusal::new(
                    "UNAVAILABLE",
                    "REASON_CLUSTER_SUSPENDED",
                    "the cluster is suspended",
                )),
                Some((broker, _)) => data::answer(&broker, &request),
                None => Err(Refusal::not_found("cluster")),
            },
        };
        let reply = match answer {
            Ok((status, Value::Null)) => Reply::empty(status),
            Ok((status, body)) => Reply::json(status, &body),
            Err(refusal) => refusal.reply(),
        };
        reply.by(cloud.account.id.clone())
    }

    fn fault(&self, status: StatusCode, _: &Request) -> Reply {
        Refusal::of_status(status).reply()
    }
}

/// The body of a request as JSON.
fn body(request: &Request) -> Result<Value, Refusal> {
    serde_json::from_slice(&request.body).map_err(|why| Refusal::invalid(why.to_string()))
}

/// A field of a body that must be a text.
fn text<'a>(body: &'a Value, field: &str) -> Result<&'a str, Refusal> {
    body[field]
        .as_str()
        .filter(|text| !text.is_empty())
        .ok_or_else(|| Refusal::invalid(format!("{field}: value is required")))
}

/// One page of a list, in the form of both planes.
fn page(request: &Request, field: &str, rows: Vec<Value>) -> (StatusCode, Value) {
    let number = |name: &str| request.param(name).and_then(|n| n.parse::<usize>().ok());
    let size = number("page_size").filter(|n| *n > 0).unwrap_or(100);
    let start = number("page_token").unwrap_or(0);
    let next = match start + size < rows.len() {
        true => (start + size).to_string(),
        false => String::new(),
    };
    let shown: Vec<_> = rows.into_iter().skip(start).take(size).collect();
    let mut body = serde_json::Map::new();
    body.insert(field.to_owned(), shown.into());
    body.insert("next_page_token".to_owned(), next.into());
    (StatusCode::OK, body.into())
}

#[cfg(test)]
mod tests;
