//! What kube-proxy and the load balancers do: Services lead to ready pods, in
//! the pods' network and, for those of type `LoadBalancer`, from a real
//! loopback address.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

use super::Plane;
use super::endpoints::SERVICE;
use super::queue::{Again, Controller};
use crate::sandbox::api::ApiError;
use crate::sandbox::cache::News;
use crate::sandbox::kind::{Kind, is_leaving, items, key, split, text};
use crate::sandbox::podnet::{PodNet, ServiceRoute};

/// Ports below need privileges.
const FIRST_FREE_PORT: u16 = 1024;
/// When a door that could not be opened is tried again, in real time.
const AGAIN: Duration = Duration::from_millis(500);

/// The proxy.
pub struct Proxy {
    plane: Arc<Plane>,
    /// The open doors of each Service, by address and port.
    doors: Mutex<Doors>,
}

/// The doors of each Service, by address and port.
type Doors = HashMap<String, BTreeMap<(IpAddr, u16), Door>>;

/// A real listener. Dropping it closes it.
struct Door(AbortHandle);

impl Drop for Door {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Proxy {
    /// The proxy of a plane.
    pub fn new(plane: &Arc<Plane>) -> Self {
        Self {
            plane: plane.clone(),
            doors: Mutex::default(),
        }
    }

    fn route(&self, service: &Value) -> ServiceRoute {
        let name = text(service, "/metadata/name");
        let slices = self
            .plane
            .cache()
            .list(Kind::Slices, text(service, "/metadata/namespace"));
        let mut route = ServiceRoute {
            address: text(service, "/spec/clusterIP").parse().ok(),
            ..ServiceRoute::default()
        };
        let headless = route.address.is_none();
        for slice in slices.iter().filter(|slice| {
            slice
                .pointer("/metadata/labels")
                .is_some_and(|labels| labels[SERVICE] == name)
        }) {
            for endpoint in items(slice, "/endpoints") {
                let Ok(address) = text(endpoint, "/addresses/0").parse::<Ipv4Addr>() else {
                    continue;
                };
                // A missing condition counts as true.
                if endpoint.pointer("/conditions/ready") == Some(&Value::Bool(false)) {
                    continue;
                }
                let hostname = text(endpoint, "/hostname");
                if !hostname.is_empty() {
                    route.hosts.insert(hostname.to_owned(), address);
                }
                for port in items(slice, "/ports") {
                    let number = |port: &Value| u16::try_from(port["port"].as_u64()?).ok();
                    let Some(target) = number(port) else { continue };
                    let named = items(service, "/spec/ports")
                        .iter()
                        .find(|own| text(own, "/name") == text(port, "/name"));
                    // The name of a headless Service is its pods' addresses.
                    let own = named.and_then(number);
                    let doors = [own, headless.then_some(target)];
                    let mut doors: Vec<u16> = doors.into_iter().flatten().collect();
                    doors.dedup();
                    for door in doors {
                        route.ports.entry(door).or_default().push((address, target));
                    }
                }
            }
        }
        route
    }

    /// Opens and closes the doors of a Service's load balancer. Whether all that
    /// are wanted are open.
    async fn doors(&self, key: &str, service: Option<&Value>) -> bool {
        let mut wanted = Vec::new();
        if let Some(service) = service
            && text(service, "/spec/type") == "LoadBalancer"
            && !is_leaving(service)
        {
            let addresses = items(service, "/status/loadBalancer/ingress")
                .iter()
                .filter_map(|ingress| text(ingress, "/ip").parse::<IpAddr>().ok())
                .filter(IpAddr::is_loopback);
            for address in addresses {
                let ports = items(service, "/spec/ports").iter();
                let ports = ports.filter_map(|port| u16::try_from(port["port"].as_u64()?).ok());
                let ports = ports.filter(|port| *port >= FIRST_FREE_PORT);
                wanted.extend(ports.map(|port| (address, port)));
            }
        }
        let missing: Vec<_> = {
            let mut all = self.all_doors();
            let open = all.entry(key.to_owned()).or_default();
            open.retain(|door, _| wanted.contains(door));
            wanted
                .into_iter()
                .filter(|door| !open.contains_key(door))
                .collect()
        };
        let mut all_are_open = true;
        for (address, port) in missing {
            match TcpListener::bind((address, port)).await {
                Ok(listener) => {
                    let (namespace, name) = split(key);
                    let task = tokio::spawn(serve(
                        listener,
                        self.plane.net.clone(),
                        namespace.to_owned(),
                        name.to_owned(),
                        port,
                    ));
                    let door = Door(task.abort_handle());
                    self.all_doors()
                        .entry(key.to_owned())
                        .or_default()
                        .insert((address, port), door);
                }
                Err(error) => {
                    tracing::warn!(%address, port, %error, "cannot listen for a load balancer");
                    all_are_open = false;
                }
            }
        }
        let mut all = self.all_doors();
        if all.get(key).is_some_and(BTreeMap::is_empty) {
            all.remove(key);
        }
        all_are_open
    }

    fn all_doors(&self) -> std::sync::MutexGuard<'_, Doors> {
        self.doors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forwards connections into the pods' network.
async fn serve(
    listener: TcpListener,
    net: Arc<PodNet>,
    namespace: String,
    service: String,
    port: u16,
) {
    let mut open = JoinSet::new();
    loop {
        while open.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let (net, namespace, service) = (net.clone(), namespace.clone(), service.clone());
        open.spawn(async move { forward(stream, &net, &namespace, &service, port).await });
    }
}

async fn forward(mut outer: TcpStream, net: &PodNet, namespace: &str, service: &str, port: u16) {
    match net.connect(namespace, service, port).await {
        // Either side may end the connection; the other learns it so.
        Ok(mut inner) => {
            let _ = outer.set_nodelay(true);
            let _ = tokio::io::copy_bidirectional(&mut outer, &mut inner).await;
        }
        // Without a backend the connection is reset.
        Err(_) => {
            let _ = outer.set_zero_linger();
        }
    }
}

#[async_trait]
impl Controller for Proxy {
    fn concerns(&self, news: &News) -> Vec<String> {
        match news.kind {
            Kind::Services => vec![news.key.to_string()],
            Kind::Slices => news
                .object()
                .and_then(|slice| {
                    let name = slice.pointer("/metadata/labels")?.get(SERVICE)?.as_str()?;
                    Some(key(text(slice, "/metadata/namespace"), name))
                })
                .into_iter()
                .collect(),
            _ => Vec::new(),
        }
    }

    async fn look(&self, key: &str) -> Result<Again, ApiError> {
        let (namespace, name) = split(key);
        let service = self.plane.cache().get(Kind::Services, key);
        let route = service.as_ref().map(|service| self.route(service));
        self.plane.net.route(namespace, name, route);
        if self.doors(key, service.as_deref()).await {
            return Ok(None);
        }
        // Whoever has the port may leave it.
        Ok(Some(AGAIN.mul_f64(self.plane.clock().rate())))
    }
}
