//! Who may talk to whom: one security list a role.
//!
//! Our rules carry a description that starts with [`MARK`]. Everything else in
//! a list belongs to somebody else, above all to the cloud controller, which
//! adds rules for each load balancer; it is neither compared nor removed.

use serde_json::{Value, json};

use super::gateways::OracleServices;
use crate::names::StepId;
use crate::oci::{
    AddressType, CreateSecurityList, EgressRule, IcmpOptions, IngressRule, PortOptions,
    SecurityList, UpdateSecurityList,
};
use crate::plan::{Handle, Inputs, StepCx, StepError};
use crate::profile;
use crate::steps::cx::Cx;
use crate::steps::owned::{Common, Kind, Live, Wish};

/// How the description of our rules starts.
const MARK: &str = "todoctl: ";
/// The Kubernetes API.
const API: u16 = 6443;
/// The nodes' way to the control plane.
const CONTROL_PLANE: u16 = 12250;
/// Where load balancers ask whether a node is well.
const HEALTH: u16 = 10256;
/// Kubernetes' node ports.
const NODE_PORTS: (u16, u16) = (30000, 32767);

/// Whose list it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The Kubernetes API endpoint.
    Api,
    /// The worker nodes.
    Nodes,
    /// The load balancers.
    Balancer,
}

impl Role {
    pub(super) const ALL: [Self; 3] = [Self::Api, Self::Nodes, Self::Balancer];
}

/// What a rule lets through.
#[derive(Debug, Clone, Copy)]
enum Traffic {
    All,
    AllTcp,
    Tcp(u16, u16),
    Udp(u16, u16),
    /// "Fragmentation needed": without it, path MTU discovery fails.
    PathMtu,
}

impl Traffic {
    fn port(port: u16) -> Self {
        Self::Tcp(port, port)
    }

    fn protocol(self) -> String {
        match self {
            Self::All => "all",
            Self::AllTcp | Self::Tcp(..) => "6",
            Self::Udp(..) => "17",
            Self::PathMtu => "1",
        }
        .to_owned()
    }

    fn tcp(self) -> Option<PortOptions> {
        match self {
            Self::Tcp(min, max) => Some(PortOptions::to(min, max)),
            _ => None,
        }
    }

    fn udp(self) -> Option<PortOptions> {
        match self {
            Self::Udp(min, max) => Some(PortOptions::to(min, max)),
            _ => None,
        }
    }

    fn icmp(self) -> Option<IcmpOptions> {
        matches!(self, Self::PathMtu).then_some(IcmpOptions {
            kind: 3,
            code: Some(4),
        })
    }
}

/// The other end of a rule.
#[derive(Debug, Clone)]
struct Peer {
    address: String,
    kind: AddressType,
}

impl Peer {
    fn cidr(address: profile::Cidr) -> Self {
        Self::text(&address.to_string())
    }

    fn text(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            kind: AddressType::CidrBlock,
        }
    }
}

fn from(peer: &Peer, traffic: Traffic, why: &str) -> IngressRule {
    IngressRule {
        protocol: traffic.protocol(),
        source: peer.address.clone(),
        source_type: Some(peer.kind.clone()),
        is_stateless: Some(false),
        description: Some(format!("{MARK}{why}")),
        tcp_options: traffic.tcp(),
        udp_options: traffic.udp(),
        icmp_options: traffic.icmp(),
    }
}

fn to(peer: &Peer, traffic: Traffic, why: &str) -> EgressRule {
    EgressRule {
        protocol: traffic.protocol(),
        destination: peer.address.clone(),
        destination_type: Some(peer.kind.clone()),
        is_stateless: Some(false),
        description: Some(format!("{MARK}{why}")),
        tcp_options: traffic.tcp(),
        udp_options: traffic.udp(),
        icmp_options: traffic.icmp(),
    }
}

type Rules = (Vec<IngressRule>, Vec<EgressRule>);

fn rules(role: Role, network: &profile::Network, oracle: &OracleServices) -> Rules {
    let (min, max) = NODE_PORTS;
    let oracle = Peer {
        address: oracle.cidr.clone(),
        kind: AddressType::Service,
    };
    let everyone = Peer::text("0.0.0.0/0");
    let [api, nodes, lb] =
        [network.api_subnet, network.node_subnet, network.lb_subnet].map(Peer::cidr);
    match role {
        Role::Api => {
            let clients = network.api_access.iter().copied().map(Peer::cidr);
            let mut ingress: Vec<_> = clients
                .map(|peer| from(&peer, Traffic::port(API), "clients"))
                .collect();
            ingress.extend([
                from(&nodes, Traffic::port(API), "nodes and pods to the API"),
                from(
                    &nodes,
                    Traffic::port(CONTROL_PLANE),
                    "nodes to the control plane",
                ),
                from(&nodes, Traffic::PathMtu, "path MTU"),
            ]);
            let egress = vec![
                to(&oracle, Traffic::AllTcp, "control plane"),
                // All ports: admission webhooks listen on any.
                to(&nodes, Traffic::AllTcp, "kubelet and webhooks"),
                to(&nodes, Traffic::PathMtu, "path MTU"),
            ];
            (ingress, egress)
        }
        Role::Nodes => {
            let mut ingress = vec![
                from(&nodes, Traffic::All, "between nodes and pods"),
                from(&api, Traffic::AllTcp, "kubelet and webhooks"),
                from(&everyone, Traffic::PathMtu, "path MTU"),
                from(&lb, Traffic::Tcp(min, max), "node ports"),
                from(&lb, Traffic::Udp(min, max), "node ports"),
                from(&lb, Traffic::port(HEALTH), "node health"),
            ];
            let admins = network.ssh_access.iter().copied().map(Peer::cidr);
            ingress.extend(admins.map(|peer| from(&peer, Traffic::port(22), "SSH")));
            let egress = vec![
                to(&nodes, Traffic::All, "between nodes and pods"),
                to(&api, Traffic::port(API), "nodes and pods to the API"),
                to(
                    &api,
                    Traffic::port(CONTROL_PLANE),
                    "nodes to the control plane",
                ),
                to(&api, Traffic::PathMtu, "path MTU"),
                to(&oracle, Traffic::AllTcp, "Oracle's services"),
                to(
                    &everyone,
                    Traffic::All,
                    "registries, database, language model",
                ),
            ];
            (ingress, egress)
        }
        Role::Balancer => {
            let ingress = vec![
                from(&everyone, Traffic::port(80), "users"),
                from(&everyone, Traffic::port(443), "users"),
            ];
            let egress = vec![
                to(&nodes, Traffic::Tcp(min, max), "node ports"),
                to(&nodes, Traffic::Udp(min, max), "node ports"),
                to(&nodes, Traffic::port(HEALTH), "node health"),
            ];
            (ingress, egress)
        }
    }
}

fn ours(description: Option<&str>) -> bool {
    description.is_some_and(|text| text.starts_with(MARK))
}

/// A rule on one line: `tcp 6443 from 10.0.10.0/24 (nodes to the API)`.
fn line(
    protocol: &str,
    ports: Option<&PortOptions>,
    icmp: Option<IcmpOptions>,
    peer: &str,
    why: Option<&str>,
) -> String {
    let name = match protocol {
        "1" => "icmp",
        "6" => "tcp",
        "17" => "udp",
        other => other,
    };
    let ports =
        ports
            .and_then(|p| p.destination_port_range)
            .map(|range| match range.min == range.max {
                true => format!(" {}", range.min),
                false => format!(" {}-{}", range.min, range.max),
            });
    let icmp = icmp.map(|icmp| format!(" {}", icmp.kind));
    let detail = ports.or(icmp).unwrap_or_default();
    let why = why
        .and_then(|text| text.strip_prefix(MARK))
        .unwrap_or_default();
    format!("{name}{detail} {peer} ({why})")
}

/// Our rules of a list, as a plan shows and compares them.
fn spec(ingress: &[IngressRule], egress: &[EgressRule]) -> Value {
    let ingress: Vec<_> = ingress
        .iter()
        .filter(|rule| ours(rule.description.as_deref()))
        .map(|rule| {
            let ports = rule.tcp_options.as_ref().or(rule.udp_options.as_ref());
            let why = rule.description.as_deref();
            line(
                &rule.protocol,
                ports,
                rule.icmp_options,
                &format!("from {}", rule.source),
                why,
            )
        })
        .collect();
    let egress: Vec<_> = egress
        .iter()
        .filter(|rule| ours(rule.description.as_deref()))
        .map(|rule| {
            let ports = rule.tcp_options.as_ref().or(rule.udp_options.as_ref());
            let why = rule.description.as_deref();
            line(
                &rule.protocol,
                ports,
                rule.icmp_options,
                &format!("to {}", rule.destination),
                why,
            )
        })
        .collect();
    // A map by rule, so that a plan names the rules that come and go.
    let map = |lines: Vec<String>| -> Value {
        lines
            .into_iter()
            .map(|line| (line, json!("allow")))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    json!({"ingress": map(ingress), "egress": map(egress)})
}

/// The security list of a role.
pub(super) struct List {
    pub(super) vcn: Handle<Live>,
    pub(super) services: Handle<OracleServices>,
    pub(super) role: Role,
}

impl List {
    fn rules(&self, cx: &Cx, inputs: &Inputs) -> Option<Rules> {
        let network = &cx.cloud_if_any()?.profile.network;
        Some(rules(self.role, network, &inputs.get(&self.services)?))
    }

    fn known_rules(&self, cx: &StepCx<Cx>) -> Result<Rules, StepError> {
        self.rules(&cx.cx, &cx.inputs)
            .ok_or_else(|| StepError::bug("Oracle's services are not known when rules are made"))
    }
}

impl Kind for List {
    type Resource = SecurityList;
    type Create = CreateSecurityList;

    fn step(&self) -> &'static str {
        match self.role {
            Role::Api => "network/security-api",
            Role::Nodes => "network/security-nodes",
            Role::Balancer => "network/security-lb",
        }
    }

    fn title(&self) -> &'static str {
        match self.role {
            Role::Api => "API security list",
            Role::Nodes => "node security list",
            Role::Balancer => "load balancer security list",
        }
    }

    fn suffix(&self) -> &'static str {
        match self.role {
            Role::Api => "api",
            Role::Nodes => "nodes",
            Role::Balancer => "lb",
        }
    }

    fn needs(&self) -> Vec<StepId> {
        vec![self.vcn.id().clone(), self.services.id().clone()]
    }

    fn wish(&self, cx: &Cx, inputs: &Inputs) -> Wish {
        match self.rules(cx, inputs) {
            Some((ingress, egress)) => Wish {
                spec: spec(&ingress, &egress),
                unknown: vec![],
            },
            None => Wish {
                spec: json!({}),
                unknown: vec!["ingress", "egress"],
            },
        }
    }

    fn spec_of(&self, list: &SecurityList) -> Value {
        spec(&list.ingress_security_rules, &list.egress_security_rules)
    }

    async fn create(
        &self,
        cx: &StepCx<Cx>,
        common: Common,
    ) -> Result<CreateSecurityList, StepError> {
        let (ingress, egress) = self.known_rules(cx)?;
        Ok(CreateSecurityList {
            compartment_id: common.compartment,
            vcn_id: cx.input(&self.vcn)?.id,
            ingress_security_rules: ingress,
            egress_security_rules: egress,
            display_name: Some(common.name),
            freeform_tags: common.tags,
        })
    }

    fn update(&self, cx: &StepCx<Cx>, now: &SecurityList) -> Result<UpdateSecurityList, StepError> {
        let (mut ingress, mut egress) = self.known_rules(cx)?;
        // A PUT replaces all rules: those of others go back in unchanged.
        let theirs = now.ingress_security_rules.iter();
        ingress.extend(theirs.filter(|r| !ours(r.description.as_deref())).cloned());
        let theirs = now.egress_security_rules.iter();
        egress.extend(theirs.filter(|r| !ours(r.description.as_deref())).cloned());
        Ok(UpdateSecurityList {
            ingress_security_rules: Some(ingress),
            egress_security_rules: Some(egress),
            ..UpdateSecurityList::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oracle() -> OracleServices {
        OracleServices {
            id: "s".into(),
            cidr: "all-fra-services".into(),
        }
    }

    #[test]
    fn the_api_may_call_webhooks_on_any_port_of_the_nodes() {
        let (_, egress) = rules(Role::Api, &profile::Network::default(), &oracle());
        assert!(egress.iter().any(|r| r.destination == "10.0.10.0/24"
            && r.protocol == "6"
            && r.tcp_options.is_none()));
    }

    #[test]
    fn rules_of_others_are_not_compared() {
        let (ingress, egress) = rules(Role::Balancer, &profile::Network::default(), &oracle());
        let mut more = ingress.clone();
        more.push(IngressRule {
            protocol: "6".into(),
            source: "0.0.0.0/0".into(),
            ..IngressRule::default()
        });
        assert_eq!(spec(&ingress, &egress), spec(&more, &egress));
    }

    #[test]
    fn a_rule_reads_like_a_sentence() {
        let network = profile::Network::default();
        let (ingress, egress) = rules(Role::Api, &network, &oracle());
        let text = spec(&ingress, &egress).to_string();
        assert!(text.contains("tcp 6443 from 0.0.0.0/0 (clients)"), "{text}");
    }
}
