//! The security rules that the cloud controller adds for a Service's load
//! balancer, in the oldest security list of each subnet, and takes away again.

use serde_json::{Value, json};

use super::ledger::{Doc, Kind, Ledger};

/// Where kube-proxy answers health checks.
pub(crate) const HEALTH_PORT: u64 = 10_256;
const MODE: &str = "service.beta.kubernetes.io/oci-load-balancer-security-list-management-mode";
const MODE_NEW: &str = "oci.oraclecloud.com/security-rule-management-mode";

/// A rule for a security list: the list's subnet, the field, and the rule.
type Wanted = (String, &'static str, Value);

/// Adds the rules that a Service needs.
pub(crate) fn open(books: &mut Ledger<'_, '_>, cluster: &Doc, service: &Value) {
    for (subnet, field, rule) in rules(books, cluster, service) {
        edit(books, &subnet, field, |rules| {
            if !rules.contains(&rule) {
                rules.push(rule);
            }
        });
    }
}

/// Removes the rules that only this Service needed.
pub(crate) fn close(books: &mut Ledger<'_, '_>, cluster: &Doc, service: &Value) {
    let table = format!("kube/{}/core/services", cluster.id());
    let others: Vec<Wanted> = books
        .tx
        .list(&table, "")
        .iter()
        .filter(|(_, row)| row.value["spec"]["type"] == "LoadBalancer")
        .filter(|(_, row)| row.value["metadata"]["uid"] != service["metadata"]["uid"])
        .flat_map(|(_, row)| rules(books, cluster, &row.value))
        .collect();
    for wanted in rules(books, cluster, service) {
        if !others.contains(&wanted) {
            let (subnet, field, rule) = wanted;
            edit(books, &subnet, field, |rules| rules.retain(|r| *r != rule));
        }
    }
}

fn rules(books: &Ledger<'_, '_>, cluster: &Doc, service: &Value) -> Vec<Wanted> {
    let annotations = &service["metadata"]["annotations"];
    let mode = annotations[MODE_NEW]
        .as_str()
        .or(annotations[MODE].as_str());
    let mode = mode.unwrap_or("All").trim_start_matches("SL-");
    if matches!(mode, "None" | "NSG") {
        return Vec::new();
    }
    let balancers = cluster.body["options"]["serviceLbSubnetIds"][0].as_str();
    let balancers = balancers.unwrap_or_default();
    let nodes = node_subnets(books, cluster);
    let cidr = |id: &str| {
        let subnet = books.live(Kind::Subnet, id);
        subnet.map_or_else(String::new, |subnet| subnet.str("cidrBlock").to_owned())
    };
    let sources = service["spec"]["loadBalancerSourceRanges"].as_array();
    let sources = match sources {
        Some(sources) if !sources.is_empty() => sources.clone(),
        _ => vec!["0.0.0.0/0".into()],
    };
    let ingress = "ingressSecurityRules";
    let mut wanted = Vec::new();
    for port in service["spec"]["ports"].as_array().into_iter().flatten() {
        for source in &sources {
            let source = source.as_str().unwrap_or_default();
            wanted.push((
                balancers.to_owned(),
                ingress,
                rule("source", source, &port["port"]),
            ));
        }
        if mode == "Frontend" {
            continue;
        }
        for nodes in &nodes {
            for port in [&port["nodePort"], &json!(HEALTH_PORT)] {
                let out = rule("destination", &cidr(nodes), port);
                wanted.push((balancers.to_owned(), "egressSecurityRules", out));
                let into = rule("source", &cidr(balancers), port);
                wanted.push((nodes.clone(), ingress, into));
            }
        }
    }
    wanted
}

fn node_subnets(books: &Ledger<'_, '_>, cluster: &Doc) -> Vec<String> {
    let pools = super::node_pool::of_cluster(books, cluster.id());
    let mut subnets: Vec<String> = pools
        .iter()
        .filter_map(|pool| pool.body["nodeConfigDetails"]["placementConfigs"].as_array())
        .flatten()
        .filter_map(|placement| Some(placement["subnetId"].as_str()?.to_owned()))
        .collect();
    subnets.sort();
    subnets.dedup();
    subnets
}

fn rule(peer: &str, cidr: &str, port: &Value) -> Value {
    let mut rule = json!({
        "protocol": "6",
        "isStateless": false,
        "tcpOptions": {"destinationPortRange": {"min": port, "max": port}},
    });
    rule[peer] = cidr.into();
    rule[format!("{peer}Type")] = "CIDR_BLOCK".into();
    rule
}

/// Changes the oldest security list of a subnet.
fn edit(
    books: &mut Ledger<'_, '_>,
    subnet: &str,
    field: &str,
    change: impl FnOnce(&mut Vec<Value>),
) {
    let Some(subnet) = books.live(Kind::Subnet, subnet) else {
        return;
    };
    let lists = subnet.array("securityListIds").iter();
    let oldest = lists
        .filter_map(|id| books.live(Kind::SecurityList, id.as_str()?))
        .min_by_key(|list| (list.born, list.id().to_owned()));
    if let Some(mut list) = oldest {
        let before = list.array(field).to_vec();
        let mut rules = before.clone();
        change(&mut rules);
        if rules != before {
            list.set(field, rules);
            books.put(Kind::SecurityList, &mut list);
        }
    }
}
