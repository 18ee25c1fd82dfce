//! Which brokers are there, by the sockets that they listen on: how a program
//! of the rehearsal finds the broker behind an address without a connection.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::broker::Broker;

/// The brokers of a world.
#[derive(Debug, Default)]
pub struct Directory {
    sockets: Mutex<HashMap<SocketAddr, Weak<Broker>>>,
}

/// A socket that a broker listens on; dropping it takes it off the list.
#[derive(Debug)]
pub struct Listed<'a> {
    directory: &'a Directory,
    at: SocketAddr,
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        self.directory.lock().remove(&self.at);
    }
}

impl Directory {
    fn lock(&self) -> MutexGuard<'_, HashMap<SocketAddr, Weak<Broker>>> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a listening broker on the list.
    pub fn list(&self, at: SocketAddr, broker: &Arc<Broker>) -> Listed<'_> {
        self.lock().insert(at, Arc::downgrade(broker));
        Listed {
            directory: self,
            at,
        }
    }

    /// The broker that listens on a loopback socket.
    pub fn at(&self, socket: SocketAddr) -> Option<Arc<Broker>> {
        self.lock().get(&socket)?.upgrade()
    }
}
