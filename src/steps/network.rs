//! The virtual network: gateways, route tables, security lists, subnets.
//!
//! The layout is the one of Oracle's "Example Network Resource Configurations"
//! for a public Kubernetes API endpoint, private (or public) worker nodes and
//! a public load balancer. One security list and one route table a role,
//! because the cloud controller edits the oldest list of a subnet.

mod gateways;
mod routes;
mod security;
mod subnets;
mod vcn;

use super::compartment::CompartmentLive;
use super::cx::Cx;
use super::leftovers::Leftovers;
use super::owned::{Kind, Live, Owned};
use crate::plan::{Graph, GraphError, Handle};
use crate::profile;

/// What later steps read of the network.
pub(super) struct Network {
    pub(super) vcn: Handle<Live>,
    pub(super) api_subnet: Handle<Live>,
    pub(super) node_subnet: Handle<Live>,
    pub(super) lb_subnet: Handle<Live>,
    pub(super) leftovers: Handle<super::leftovers::None>,
}

/// Adds the network's steps.
pub(super) fn add(
    graph: &mut Graph<Cx>,
    cloud: &profile::Cloud,
    compartment: &Handle<CompartmentLive>,
) -> Result<Network, GraphError> {
    let private = cloud.network.private_nodes;
    let mut adding = Adding { graph, compartment };
    let vcn = adding.add(vcn::VcnKind)?;
    let internet = adding.add(gateways::Internet { vcn: vcn.clone() })?;
    let nat = adding.add(gateways::Nat {
        vcn: vcn.clone(),
        wanted: private,
    })?;
    let services = adding.graph.add(gateways::ServicesStep)?;
    let gateway = adding.add(gateways::Services {
        vcn: vcn.clone(),
        names: services.clone(),
        wanted: private,
    })?;

    let public_routes = adding.add(routes::Public {
        vcn: vcn.clone(),
        internet,
    })?;
    let private_routes = adding.add(routes::Private {
        vcn: vcn.clone(),
        nat,
        gateway,
        services: services.clone(),
        wanted: private,
    })?;
    let node_routes = if private {
        &private_routes
    } else {
        &public_routes
    };

    let [api, nodes, lb] = security::Role::ALL.map(|role| security::List {
        vcn: vcn.clone(),
        services: services.clone(),
        role,
    });
    let (api, nodes, lb) = (adding.add(api)?, adding.add(nodes)?, adding.add(lb)?);

    let subnet = |role, routes: &Handle<Live>, list| subnets::Subnet {
        vcn: vcn.clone(),
        routes: routes.clone(),
        list,
        role,
        private: private && role == security::Role::Nodes,
    };
    let api_subnet = adding.add(subnet(security::Role::Api, &public_routes, api))?;
    let node_subnet = adding.add(subnet(security::Role::Nodes, node_routes, nodes))?;
    let lb_subnet = adding.add(subnet(security::Role::Balancer, &public_routes, lb))?;

    let leftovers = graph.add(Leftovers {
        compartment: compartment.clone(),
        subnets: vec![api_subnet.clone(), node_subnet.clone(), lb_subnet.clone()],
    })?;
    Ok(Network {
        vcn,
        api_subnet,
        node_subnet,
        lb_subnet,
        leftovers,
    })
}

struct Adding<'a> {
    graph: &'a mut Graph<Cx>,
    compartment: &'a Handle<CompartmentLive>,
}

impl Adding<'_> {
    fn add<K: Kind>(&mut self, kind: K) -> Result<Handle<Live>, GraphError> {
        self.graph.add(Owned {
            kind,
            compartment: self.compartment.clone(),
        })
    }
}
