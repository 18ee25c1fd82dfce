//! Route tables and security lists: the rules, checked one by one.

use serde_json::{Value, json};

use super::super::cidr::Cidr;
use super::super::error::ApiError;
use super::super::input::Input;
use super::super::ledger::{Doc, Kind, Ledger};
use super::{common, gateway, parent, settle, subject};

/// How many ingress and how many egress rules a security list may hold.
const MOST_RULES: usize = 200;

/// Which way a rule looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// Packets that come in.
    Ingress,
    /// Packets that go out.
    Egress,
}

/// Makes a route table.
pub(crate) fn create_route_table(
    books: &mut Ledger<'_, '_>,
    input: &Input<'_>,
) -> Result<Doc, ApiError> {
    let vcn = parent(books, input)?;
    let rules = route_rules(books, input.need_array("routeRules")?, vcn.id())?;
    let mut body = common(books, input, "routetable")?;
    body.insert("routeRules".into(), rules);
    let subject = subject(&body);
    Ok(settle(books, Kind::RouteTable, &subject, body))
}

/// Replaces a route table's rules.
pub(crate) fn update_route_table(
    books: &Ledger<'_, '_>,
    input: &Input<'_>,
    doc: &mut Doc,
) -> Result<(), ApiError> {
    if let Some(rules) = input.array("routeRules")? {
        let rules = route_rules(books, rules, doc.str("vcnId"))?;
        doc.set("routeRules", rules);
    }
    Ok(())
}

fn route_rules(books: &Ledger<'_, '_>, rules: &[Value], vcn: &str) -> Result<Value, ApiError> {
    let mut out: Vec<Value> = Vec::new();
    for rule in rules {
        let input = Input::within(rule, "routeRules")?;
        let target = input.need("networkEntityId")?;
        let gateway = gateway_of(books, target)
            .filter(|gateway| gateway.str("vcnId") == vcn)
            .ok_or_else(|| {
                ApiError::invalid(format!(
                    "routeRules.networkEntityId: {target} is no gateway of this VCN"
                ))
            })?;
        let kind = input.text("destinationType")?.unwrap_or("CIDR_BLOCK");
        let destination = match input.text("destination")? {
            Some(destination) => destination,
            None => input.need("cidrBlock")?,
        };
        check_peer(books, "routeRules.destination", kind, destination)?;
        let to_services = gateway.id().starts_with("ocid1.servicegateway.");
        if to_services != (kind == "SERVICE_CIDR_BLOCK") {
            return Err(ApiError::invalid(format!(
                "routeRules: destination {destination} of type {kind} cannot have the target {target}"
            )));
        }
        if out.iter().any(|other| other["destination"] == destination) {
            let why = format!("routeRules: two rules have the destination {destination}");
            return Err(ApiError::invalid(why));
        }
        let mut whole = json!({
            "networkEntityId": target,
            "destination": destination,
            "destinationType": kind,
            "routeType": "STATIC",
        });
        whole["description"] = input.text("description")?.into();
        out.push(whole);
    }
    Ok(out.into())
}

fn gateway_of(books: &Ledger<'_, '_>, id: &str) -> Option<Doc> {
    [
        Kind::InternetGateway,
        Kind::NatGateway,
        Kind::ServiceGateway,
    ]
    .into_iter()
    .find_map(|kind| books.live(kind, id))
}

/// Makes a security list.
pub(crate) fn create_security_list(
    books: &mut Ledger<'_, '_>,
    input: &Input<'_>,
) -> Result<Doc, ApiError> {
    parent(books, input)?;
    let egress = input.need_array("egressSecurityRules")?;
    let egress = security_rules(books, egress, Direction::Egress)?;
    let ingress = input.need_array("ingressSecurityRules")?;
    let ingress = security_rules(books, ingress, Direction::Ingress)?;
    let mut body = common(books, input, "securitylist")?;
    body.insert("egressSecurityRules".into(), egress);
    body.insert("ingressSecurityRules".into(), ingress);
    let subject = subject(&body);
    Ok(settle(books, Kind::SecurityList, &subject, body))
}

/// Replaces a security list's rules.
pub(crate) fn update_security_list(
    books: &Ledger<'_, '_>,
    input: &Input<'_>,
    doc: &mut Doc,
) -> Result<(), ApiError> {
    for (field, direction) in [
        ("egressSecurityRules", Direction::Egress),
        ("ingressSecurityRules", Direction::Ingress),
    ] {
        if let Some(rules) = input.array(field)? {
            doc.set(field, security_rules(books, rules, direction)?);
        }
    }
    Ok(())
}

fn security_rules(
    books: &Ledger<'_, '_>,
    rules: &[Value],
    direction: Direction,
) -> Result<Value, ApiError> {
    if rules.len() > MOST_RULES {
        let why = format!("A security list may hold at most {MOST_RULES} rules per direction");
        return Err(ApiError::limit_exceeded(why));
    }
    let mut out = Vec::new();
    for rule in rules {
        let place = match direction {
            Direction::Ingress => "ingressSecurityRules",
            Direction::Egress => "egressSecurityRules",
        };
        let input = Input::within(rule, place)?;
        out.push(security_rule(books, &input, direction, false)?);
    }
    Ok(out.into())
}

/// Checks one security rule and completes its defaults. Rules of groups may
/// name a group as their peer.
pub(crate) fn security_rule(
    books: &Ledger<'_, '_>,
    input: &Input<'_>,
    direction: Direction,
    of_group: bool,
) -> Result<Value, ApiError> {
    let protocol = input.need("protocol")?;
    let known = protocol == "all" || protocol.parse::<u8>().is_ok();
    if !known {
        let why =
            format!("protocol must be 'all' or a protocol number as a string, not {protocol}");
        return Err(ApiError::invalid(why));
    }
    let (peer, peer_type) = match direction {
        Direction::Ingress => ("source", "sourceType"),
        Direction::Egress => ("destination", "destinationType"),
    };
    let address = input.need(peer)?;
    let kind = input.text(peer_type)?.unwrap_or("CIDR_BLOCK");
    let is_group = of_group && kind == "NETWORK_SECURITY_GROUP";
    if !(is_group && books.live(Kind::SecurityGroup, address).is_some()) {
        check_peer(books, peer, kind, address)?;
    }
    let mut rule =
        json!({"protocol": protocol, "isStateless": input.flag("isStateless")?.unwrap_or(false)});
    rule[peer] = address.into();
    rule[peer_type] = kind.into();
    rule["description"] = input.text("description")?.into();
    for (field, number) in [("tcpOptions", "6"), ("udpOptions", "17")] {
        if let Some(options) = input.object(field)? {
            if protocol != number {
                let why = format!("{field} needs protocol {number}, not {protocol}");
                return Err(ApiError::invalid(why));
            }
            check_ports(&options)?;
        }
        rule[field] = input.value(field).cloned().unwrap_or_default();
    }
    if let Some(options) = input.object("icmpOptions")? {
        if !matches!(protocol, "1" | "58") {
            let why = format!("icmpOptions needs protocol 1 or 58, not {protocol}");
            return Err(ApiError::invalid(why));
        }
        if options.whole("type")?.is_none() {
            return Err(ApiError::missing("icmpOptions.type"));
        }
    }
    rule["icmpOptions"] = input.value("icmpOptions").cloned().unwrap_or_default();
    if let Some(fields) = rule.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    Ok(rule)
}

fn check_ports(options: &Input<'_>) -> Result<(), ApiError> {
    for field in ["destinationPortRange", "sourcePortRange"] {
        let Some(range) = options.object(field)? else {
            continue;
        };
        let bound = |name: &str| {
            let port = range.whole(name)?;
            port.ok_or_else(|| ApiError::missing(&format!("{field}.{name}")))
        };
        let (min, max) = (bound("min")?, bound("max")?);
        if min == 0 || min > max || max > 65_535 {
            let why = format!("{field}: {min} to {max} is no port range");
            return Err(ApiError::invalid(why));
        }
    }
    Ok(())
}

fn check_peer(
    books: &Ledger<'_, '_>,
    field: &str,
    kind: &str,
    address: &str,
) -> Result<(), ApiError> {
    let known = match kind {
        "CIDR_BLOCK" => {
            address.parse::<Cidr>().is_ok()
                || address.parse::<std::net::Ipv6Addr>().is_ok()
                || address == "::/0"
        }
        "SERVICE_CIDR_BLOCK" => gateway::services(books)
            .iter()
            .any(|service| service["cidrBlock"] == address),
        _ => false,
    };
    if known {
        return Ok(());
    }
    Err(ApiError::invalid(format!(
        "{field}: {address} is not a valid {kind}"
    )))
}
