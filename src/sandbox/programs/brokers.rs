//! Which loopback socket of this process is which Kafka broker's. A program
//! that connects to a broker finds it here by the socket that its address
//! leads to, and talks to it without the detour over the socket.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::net::TcpListener;

use super::super::kafka::{Broker, Listener};

/// A broker's listener.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The broker behind it.
    pub broker: Arc<Broker>,
    /// Whether it speaks TLS.
    pub tls: bool,
    /// The authority of its certificate, unless everybody trusts it.
    pub ca_pem: Option<String>,
    /// Whether clients must log in.
    pub sasl: bool,
}

type Table = HashMap<SocketAddr, Entry>;

fn table() -> MutexGuard<'static, Table> {
    static TABLE: OnceLock<Mutex<Table>> = OnceLock::new();
    let table = TABLE.get_or_init(Mutex::default);
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A broker's entry. Dropping it takes the entry away.
#[derive(Debug)]
pub struct Registration(SocketAddr);

impl Drop for Registration {
    fn drop(&mut self) {
        table().remove(&self.0);
    }
}

/// Says that a broker listens on a socket.
#[must_use]
pub fn register(socket: SocketAddr, entry: Entry) -> Registration {
    table().insert(socket, entry);
    Registration(socket)
}

/// The same for a listener that nobody has told of yet: everybody trusts its
/// certificate.
#[must_use]
pub fn announce(
    socket: &TcpListener,
    broker: &Arc<Broker>,
    listener: &Listener,
) -> Option<Registration> {
    let at = socket.local_addr().ok().filter(|at| find(*at).is_none())?;
    let entry = Entry {
        broker: broker.clone(),
        tls: listener.tls.is_some(),
        ca_pem: None,
        sasl: listener.sasl,
    };
    Some(register(at, entry))
}

/// The broker that listens on a socket.
pub fn find(socket: SocketAddr) -> Option<Entry> {
    table().get(&socket).cloned()
}

/// The right to read a partition for a group: only one member has it at a
/// time, the others wait for it.
#[derive(Debug)]
pub struct Claim(
    #[expect(dead_code, reason = "held until it is dropped")] tokio::sync::OwnedMutexGuard<()>,
);

type Seats = HashMap<(String, String, String, i32), Arc<tokio::sync::Mutex<()>>>;

/// Waits for the right to read a partition.
pub async fn claim(broker: &Broker, group: &str, topic: &str, partition: i32) -> Claim {
    static SEATS: OnceLock<Mutex<Seats>> = OnceLock::new();
    // A broker is told apart by its identity: names repeat between worlds.
    let key = (
        format!("{broker:p}"),
        group.to_owned(),
        topic.to_owned(),
        partition,
    );
    let seat = {
        let seats = SEATS.get_or_init(Mutex::default);
        let mut seats = seats.lock().unwrap_or_else(PoisonError::into_inner);
        seats.entry(key).or_default().clone()
    };
    Claim(seat.lock_owned().await)
}
