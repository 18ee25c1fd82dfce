//! Whether a node's packets get to where they must, by the routes and
//! security rules that the VCN has: a node behind a wrong rule never joins.

use serde_json::Value;

use super::cidr::Cidr;
use super::ledger::{Doc, Kind, Ledger};

/// The ports of the API endpoint that a node must reach.
const API_PORTS: [u64; 2] = [6443, 12250];

/// Why nodes of this pool in this subnet cannot register, if so.
pub(super) fn why_not_joining(books: &Ledger<'_, '_>, pool: &Doc, subnet: &str) -> Option<String> {
    let nodes = books.live(Kind::Subnet, subnet)?;
    let cluster = books.live(Kind::Cluster, pool.str("clusterId"))?;
    let api = cluster.body["endpointConfig"]["subnetId"].as_str()?;
    let api = books.live(Kind::Subnet, api)?;
    if !has_way_out(books, &nodes) {
        return Some(format!("subnet {subnet} has no route to the internet"));
    }
    let from: Cidr = nodes.str("cidrBlock").parse().ok()?;
    let to: Cidr = api.str("cidrBlock").parse().ok()?;
    let in_groups = cluster.body["endpointConfig"]["nsgIds"]
        .as_array()
        .is_some_and(|groups| !groups.is_empty());
    for port in API_PORTS {
        if !in_groups && !passes(books, &api, "ingressSecurityRules", "source", from, port) {
            return Some(format!("the API endpoint does not let port {port} in"));
        }
        if !passes(
            books,
            &nodes,
            "egressSecurityRules",
            "destination",
            to,
            port,
        ) {
            return Some(format!("subnet {subnet} does not let port {port} out"));
        }
    }
    None
}

fn has_way_out(books: &Ledger<'_, '_>, subnet: &Doc) -> bool {
    let Some(table) = books.live(Kind::RouteTable, subnet.str("routeTableId")) else {
        return false;
    };
    let private = subnet.body.get("prohibitPublicIpOnVnic") == Some(&true.into());
    table.array("routeRules").iter().any(|rule| {
        let target = rule["networkEntityId"].as_str().unwrap_or_default();
        let internet = books.live(Kind::InternetGateway, target);
        let open =
            internet.is_some_and(|gateway| gateway.body.get("isEnabled") == Some(&true.into()));
        let nat = books.live(Kind::NatGateway, target);
        let translated =
            nat.is_some_and(|gateway| gateway.body.get("blockTraffic") != Some(&true.into()));
        rule["destination"] == "0.0.0.0/0" && ((open && !private) || translated)
    })
}

/// Whether any security list of the subnet lets TCP to this port pass.
fn passes(
    books: &Ledger<'_, '_>,
    subnet: &Doc,
    field: &str,
    peer: &str,
    block: Cidr,
    port: u64,
) -> bool {
    let lists = subnet.array("securityListIds").iter();
    lists
        .filter_map(|id| books.live(Kind::SecurityList, id.as_str()?))
        .any(|list| {
            let mut rules = list.array(field).iter();
            rules.any(|rule| allows(rule, peer, block, port))
        })
}

fn allows(rule: &Value, peer: &str, block: Cidr, port: u64) -> bool {
    let covers = rule[peer]
        .as_str()
        .and_then(|text| text.parse::<Cidr>().ok())
        .is_some_and(|outer| outer.contains(block));
    let protocol = matches!(rule["protocol"].as_str(), Some("all" | "6"));
    let range = &rule["tcpOptions"]["destinationPortRange"];
    let min = range["min"].as_u64().unwrap_or(0);
    let max = range["max"].as_u64().unwrap_or(65_535);
    covers && protocol && (min..=max).contains(&port)
}
