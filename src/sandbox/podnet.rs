//! The pods' network. Every pod has an address of its own in the cluster;
//! what listens there really listens on a loopback port, and this table says
//! on which. Services are names and addresses in front of pods.
//!
//! Nothing outside this module needs privileges or addresses beyond
//! 127.0.0.1, so the world runs on every system.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::net::{TcpListener, TcpStream};

/// Who listens where, and which names lead there.
#[derive(Debug, Default)]
pub struct PodNet {
    sockets: RwLock<HashMap<(Ipv4Addr, u16), SocketAddr>>,
    services: RwLock<HashMap<(String, String), ServiceRoute>>,
    /// Connections to a Service take its pods in turn.
    turn: AtomicUsize,
}

/// What a Service leads to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServiceRoute {
    /// The cluster's address for it; none for a headless one.
    pub address: Option<Ipv4Addr>,
    /// The ready pods by the Service's port.
    pub ports: HashMap<u16, Vec<(Ipv4Addr, u16)>>,
    /// Pods that have a name of their own below a headless Service.
    pub hosts: HashMap<String, Ipv4Addr>,
}

/// A pod's open port. Dropping it closes the port to new connections.
#[derive(Debug)]
pub struct Binding {
    net: Arc<PodNet>,
    at: (Ipv4Addr, u16),
}

impl Drop for Binding {
    fn drop(&mut self) {
        let mut sockets = self
            .net
            .sockets
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        sockets.remove(&self.at);
    }
}

impl PodNet {
    /// Opens a port of a pod. Fails with [`io::ErrorKind::AddrInUse`] if
    /// another container of the pod has it.
    pub async fn listen(
        self: &Arc<Self>,
        pod: Ipv4Addr,
        port: u16,
    ) -> io::Result<(TcpListener, Binding)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let real = listener.local_addr()?;
        let mut sockets = self.sockets.write().unwrap_or_else(PoisonError::into_inner);
        if sockets.contains_key(&(pod, port)) {
            return Err(io::Error::new(
                io::ErrorKind::AddrInUse,
                format!("listen tcp :{port}: bind: address already in use"),
            ));
        }
        sockets.insert((pod, port), real);
        let binding = Binding {
            net: self.clone(),
            at: (pod, port),
        };
        Ok((listener, binding))
    }

    /// Where a pod's port is on the loopback interface.
    pub fn socket(&self, pod: Ipv4Addr, port: u16) -> Option<SocketAddr> {
        let sockets = self.sockets.read().unwrap_or_else(PoisonError::into_inner);
        sockets.get(&(pod, port)).copied()
    }

    /// Says where a Service leads; none takes it away.
    pub fn route(&self, namespace: &str, service: &str, route: Option<ServiceRoute>) {
        let mut services = self
            .services
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let key = (namespace.to_owned(), service.to_owned());
        match route {
            Some(route) => services.insert(key, route),
            None => services.remove(&key),
        };
    }

    /// Connects to a host as a pod of `namespace` would: an address of a pod
    /// or a Service, or one of a Service's names. A name that nobody has is
    /// [`io::ErrorKind::NotFound`]; a port where nobody listens is
    /// [`io::ErrorKind::ConnectionRefused`].
    pub async fn connect(&self, namespace: &str, host: &str, port: u16) -> io::Result<TcpStream> {
        let pod = self.endpoint(namespace, host, port)?;
        match self.socket(pod.0, pod.1) {
            Some(real) => TcpStream::connect(real).await,
            None => Err(refused(&format!("{}:{}", pod.0, pod.1))),
        }
    }

    /// The pod and port behind a host.
    pub fn endpoint(&self, namespace: &str, host: &str, port: u16) -> io::Result<(Ipv4Addr, u16)> {
        let services = self.services.read().unwrap_or_else(PoisonError::into_inner);
        if let Ok(address) = host.parse::<Ipv4Addr>() {
            let service = services
                .values()
                .find(|route| route.address == Some(address));
            return match service {
                Some(route) => self.pick(route, host, port),
                None => Ok((address, port)),
            };
        }
        let unknown = || {
            io::Error::new(
                io::ErrorKind::NotFound,
                format!("lookup {host}: no such host"),
            )
        };
        let name = host.strip_suffix(".cluster.local").unwrap_or(host);
        let name = name.strip_suffix(".svc").unwrap_or(name);
        let words: Vec<&str> = name.split('.').collect();
        let (pod, service, space) = match *words.as_slice() {
            [service] => (None, service, namespace),
            // A short name is looked for in the own namespace first.
            [pod, service]
                if name == host
                    && services
                        .get(&(namespace.to_owned(), service.to_owned()))
                        .is_some_and(|route| route.hosts.contains_key(pod)) =>
            {
                (Some(pod), service, namespace)
            }
            [service, space] => (None, service, space),
            [pod, service, space] => (Some(pod), service, space),
            _ => return Err(unknown()),
        };
        let route = services
            .get(&(space.to_owned(), service.to_owned()))
            .ok_or_else(unknown)?;
        match pod {
            Some(pod) => Ok((*route.hosts.get(pod).ok_or_else(unknown)?, port)),
            None => self.pick(route, host, port),
        }
    }

    fn pick(&self, route: &ServiceRoute, host: &str, port: u16) -> io::Result<(Ipv4Addr, u16)> {
        let pods = route.ports.get(&port).filter(|pods| !pods.is_empty());
        let pods = pods.ok_or_else(|| refused(&format!("{host}:{port}")))?;
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        Ok(pods[turn % pods.len()])
    }
}

fn refused(whom: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::ConnectionRefused,
        format!("dial tcp {whom}: connect: connection refused"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 5);

    #[tokio::test]
    async fn a_service_leads_to_what_listens_and_to_nothing_else() {
        let net = Arc::new(PodNet::default());
        let (_listener, binding) = net.listen(POD, 8000).await.unwrap();
        let route = ServiceRoute {
            address: Some(Ipv4Addr::new(10, 96, 0, 7)),
            ports: HashMap::from([(80, vec![(POD, 8000)])]),
            hosts: HashMap::new(),
        };
        net.route("todo", "backend", Some(route));
        for host in [
            "backend",
            "backend.todo",
            "backend.todo.svc.cluster.local",
            "10.96.0.7",
        ] {
            net.connect("todo", host, 80).await.unwrap();
        }
        let kind = |e: io::Error| e.kind();
        assert_eq!(
            net.connect("other", "backend", 80)
                .await
                .map_err(kind)
                .err(),
            Some(io::ErrorKind::NotFound)
        );
        assert_eq!(
            net.connect("todo", "backend", 81).await.map_err(kind).err(),
            Some(io::ErrorKind::ConnectionRefused)
        );
        let second = net.listen(POD, 8000).await.map_err(kind).err();
        assert_eq!(second, Some(io::ErrorKind::AddrInUse));
        drop(binding);
        assert_eq!(
            net.connect("todo", "backend", 80).await.map_err(kind).err(),
            Some(io::ErrorKind::ConnectionRefused)
        );
    }
}
