//! The brokers outside the cluster: those that a profile calls external, and
//! those behind Redpanda Cloud. They listen on loopback, start with the
//! world, and keep their ports.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::super::authority::Authority;
use super::super::programs::brokers::{self, Entry, Registration};
use super::super::world::World;
use super::broker::{Broker, Options};
use super::scram::Mechanism;
use super::server::Listener;

const TABLE: &str = "sandbox/brokers";
const PORTS: &str = "sandbox/ports";

/// A broker as it is asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Wanted {
    /// Its name in the world.
    pub name: String,
    /// Users that may do everything.
    #[serde(default)]
    pub superusers: Vec<String>,
    /// The mechanisms that it offers; all when there are none.
    #[serde(default)]
    pub mechanisms: Vec<Mechanism>,
    /// The replicas that every topic is said to have.
    #[serde(default)]
    pub replicas: Option<i16>,
    /// Whether nothing is allowed that no rule allows, even without rules.
    #[serde(default)]
    pub strict: bool,
    /// Whether everybody trusts the authority of its certificate, as for a
    /// cloud's.
    #[serde(default)]
    pub trusted: bool,
    /// A fault of another system that takes the broker away as well.
    #[serde(default)]
    pub gone_with: Option<(String, String)>,
}

impl Wanted {
    /// A broker with nothing special.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            superusers: Vec::new(),
            mechanisms: Vec::new(),
            replicas: None,
            strict: false,
            trusted: false,
            gone_with: None,
        }
    }
}

/// Where a broker can be reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Addresses {
    /// Without encryption and authentication.
    pub plain: String,
    /// With authentication.
    pub sasl: String,
    /// With both, under a certificate of the world's authority.
    pub sasl_tls: String,
}

#[derive(Debug)]
struct Running {
    broker: Arc<Broker>,
    addresses: Addresses,
    /// By these the rehearsal's own programs find it.
    _found: Vec<Registration>,
}

/// The running brokers.
#[derive(Debug)]
pub struct Fleet {
    world: Arc<World>,
    authority: Authority,
    held: Mutex<BTreeMap<String, Running>>,
}

impl Fleet {
    /// Starts every broker that the world had before.
    pub async fn open(world: &Arc<World>) -> io::Result<Arc<Self>> {
        let fleet = Arc::new(Self {
            world: world.clone(),
            authority: Authority::open(world)?,
            held: Mutex::default(),
        });
        for (_, row) in world.store.list(TABLE, "").0 {
            let wanted = Wanted::deserialize(&*row.value).map_err(io::Error::other)?;
            fleet.start(wanted).await?;
        }
        Ok(fleet)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Running>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The authority that signs the brokers' certificates.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// A broker and its addresses.
    pub fn get(&self, name: &str) -> Option<(Arc<Broker>, Addresses)> {
        let held = self.lock();
        let running = held.get(name)?;
        Some((running.broker.clone(), running.addresses.clone()))
    }

    /// The names of all brokers.
    pub fn names(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }

    /// Adds a broker to the world, or finds the one with that name.
    pub async fn add(&self, wanted: Wanted) -> io::Result<(Arc<Broker>, Addresses)> {
        if let Some(found) = self.get(&wanted.name) {
            return Ok(found);
        }
        self.world.store.put(TABLE, &wanted.name, json!(wanted));
        self.start(wanted).await
    }

    async fn start(&self, wanted: Wanted) -> io::Result<(Arc<Broker>, Addresses)> {
        let name = wanted.name;
        let mechanisms = match wanted.mechanisms.is_empty() {
            true => Mechanism::ALL.to_vec(),
            false => wanted.mechanisms,
        };
        let options = Options {
            superusers: wanted.superusers,
            fixed_replicas: wanted.replicas,
            strict: wanted.strict,
            mechanisms,
            gone_with: wanted.gone_with,
            ..Options::default()
        };
        let broker = Broker::open(&self.world, &name, options)?;
        let tls = self.authority.acceptor(&["localhost", "127.0.0.1"])?;
        let mut addresses = Vec::new();
        let mut found = Vec::new();
        for (kind, sasl, tls) in [
            ("plain", false, None),
            ("sasl", true, None),
            ("sasl-tls", true, Some(tls)),
        ] {
            let socket = listen(&self.world, &format!("kafka/{name}/{kind}")).await?;
            let at = socket.local_addr()?;
            let private = tls.is_some() && !wanted.trusted;
            found.push(brokers::register(
                at,
                Entry {
                    broker: broker.clone(),
                    tls: tls.is_some(),
                    ca_pem: private.then(|| self.authority.pem.clone()),
                    sasl,
                },
            ));
            addresses.push(at.to_string());
            let listener = Listener {
                tls,
                sasl,
                advertised: (at.ip().to_string(), at.port()),
            };
            let stop = CancellationToken::new();
            tokio::spawn(broker.clone().serve(socket, listener, stop));
        }
        let [plain, sasl, sasl_tls] = <[String; 3]>::try_from(addresses).unwrap_or_default();
        let addresses = Addresses {
            plain,
            sasl,
            sasl_tls,
        };
        let running = Running {
            broker: broker.clone(),
            addresses: addresses.clone(),
            _found: found,
        };
        self.lock().insert(name, running);
        Ok((broker, addresses))
    }

    /// Takes a broker out of the world, with everything that it held.
    pub fn remove(&self, name: &str) {
        if let Some(running) = self.lock().remove(name) {
            running.broker.close();
        }
        self.world.store.delete(TABLE, name);
        Broker::destroy(&self.world, name);
    }
}

/// Binds the loopback port that this listener had before, or a new one.
pub async fn listen(world: &World, name: &str) -> io::Result<TcpListener> {
    let before = world.store.get(PORTS, name);
    let port = before.and_then(|row| u16::try_from(row.value.as_u64()?).ok());
    let bind = |port| TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let listener = match bind(port.unwrap_or(0)).await {
        Ok(listener) => listener,
        Err(_) => bind(0).await?,
    };
    let now = listener.local_addr()?.port();
    if port != Some(now) {
        world.store.put(PORTS, name, json!(now));
    }
    Ok(listener)
}

/// Removes what brokers inside clusters held, once no cluster is left: their
/// volumes went with the nodes. The fleet's own stay.
pub fn forget_clusters_brokers(world: &World) {
    let fleet: Vec<_> = world.store.list(TABLE, "").0;
    let names: std::collections::BTreeSet<String> = world
        .store
        .tables()
        .into_iter()
        .filter_map(|(table, _)| Some(table.strip_prefix("kafka/")?.split('/').next()?.to_owned()))
        .filter(|name| !fleet.iter().any(|(key, _)| **key == **name))
        .collect();
    for name in names {
        Broker::destroy(world, &name);
    }
}
