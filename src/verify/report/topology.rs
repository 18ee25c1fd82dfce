//! The deployment as found: what talks to what.

use serde::Serialize;

use crate::verify::check::Status;
use crate::verify::scope::number;
use crate::verify::world::World;

/// The deployment as found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Topology {
    /// What there is, column by column from the outside in.
    pub nodes: Vec<Node>,
    /// Who talks to whom, by names of nodes.
    pub edges: Vec<(String, String)>,
}

/// Something that runs.
#[derive(Debug, Clone, Serialize)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// More about it.
    pub detail: String,
    /// How well it is, as far as one can see from outside.
    pub status: Status,
    /// Its column.
    #[serde(skip)]
    pub column: usize,
}

impl Topology {
    pub(super) fn of(world: &World) -> Self {
        let mut out = Self::default();
        let scope = &world.scope;
        let address = scope.address().ok().flatten();
        let status = if address.is_some() {
            Status::Pass
        } else {
            Status::Fail
        };
        out.add(
            0,
            "load balancer",
            address.unwrap_or_else(|| "no address".to_owned()),
            status,
        );
        let services: Vec<_> = scope.profile.app.services.iter().collect();
        for service in &services {
            let found = scope.deployment(service).ok().flatten();
            let ready = found.map_or(0, |found| number(found, "/status/readyReplicas"));
            let wanted = u64::from(service.replicas);
            let status = if ready >= wanted {
                Status::Pass
            } else {
                Status::Fail
            };
            out.add(
                1,
                service.name.as_str(),
                format!("{ready} of {wanted} ready"),
                status,
            );
            if service.ingress.is_some() {
                out.join("load balancer", service.name.as_str());
            }
        }
        let names = &scope.profile.dapr.components;
        for (service, app_id) in scope.with_sidecar() {
            let sidecar = format!("sidecar {app_id}");
            out.add(
                2,
                &sidecar,
                format!(
                    "Dapr {}",
                    scope.profile.dapr.chart.version.as_deref().unwrap_or("")
                ),
                Status::Pass,
            );
            out.join(service.name.as_str(), &sidecar);
            for (name, detail) in [
                (names.pubsub.as_str(), "Kafka"),
                (names.state.as_str(), "PostgreSQL"),
                (names.secrets.as_str(), "secrets"),
            ] {
                let there = scope.find("Component", scope.namespace(), name);
                let status = if matches!(there, Ok(Some(_))) {
                    Status::Pass
                } else {
                    Status::Fail
                };
                out.add(3, name, detail.to_owned(), status);
                out.join(&sidecar, name);
            }
        }
        for topic in scope.profile.topics() {
            let name = topic.name.as_str();
            out.add(
                4,
                name,
                format!("{} partitions", topic.partitions),
                Status::Pass,
            );
            out.join(names.pubsub.as_str(), name);
        }
        out
    }

    fn add(&mut self, column: usize, name: &str, detail: String, status: Status) {
        if self.nodes.iter().all(|node| node.name != name) {
            self.nodes.push(Node {
                name: name.to_owned(),
                detail,
                status,
                column,
            });
        }
    }

    fn join(&mut self, from: &str, to: &str) {
        let edge = (from.to_owned(), to.to_owned());
        if !self.edges.contains(&edge) {
            self.edges.push(edge);
        }
    }
}
