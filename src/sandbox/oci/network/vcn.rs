//! VCNs, the defaults that come with them, and DHCP options.

use serde_json::{Map, Value, json};

use super::super::cidr::Cidr;
use super::super::error::ApiError;
use super::super::input::Input;
use super::super::ledger::{Doc, Kind, Ledger};
use super::super::limits;
use super::{check_dns_label, common, parent, settle, subject};

/// What lives in a VCN and keeps it from being deleted.
const CHILDREN: [(Kind, &str); 8] = [
    (Kind::Subnet, "subnet"),
    (Kind::InternetGateway, "internet gateway"),
    (Kind::NatGateway, "NAT gateway"),
    (Kind::ServiceGateway, "service gateway"),
    (Kind::RouteTable, "route table"),
    (Kind::SecurityList, "security list"),
    (Kind::SecurityGroup, "network security group"),
    (Kind::DhcpOptions, "DHCP options"),
];

/// Makes a VCN with its default route table, security list and DHCP options.
pub(crate) fn create(books: &mut Ledger<'_, '_>, input: &Input<'_>) -> Result<Doc, ApiError> {
    let blocks = blocks(input)?;
    check_dns_label(input.text("dnsLabel")?)?;
    let count = books.live_where(Kind::Vcn, |_| true).len() as u64;
    limits::check(books, "vcn-count", count + 1)?;
    let mut body = common(books, input, "vcn")?;
    let texts: Vec<_> = blocks.iter().map(ToString::to_string).collect();
    body.insert("cidrBlock".into(), json!(texts.first()));
    body.insert("cidrBlocks".into(), json!(texts));
    if let Some(label) = input.text("dnsLabel")? {
        body.insert("dnsLabel".into(), label.to_ascii_lowercase().into());
        let domain = format!("{}.oraclevcn.com", label.to_ascii_lowercase());
        body.insert("vcnDomainName".into(), domain.into());
    }
    let subject = subject(&body);
    let mut vcn = settle(books, Kind::Vcn, &subject, body);
    for (kind, field, label) in [
        (
            Kind::RouteTable,
            "defaultRouteTableId",
            "Default Route Table for",
        ),
        (
            Kind::SecurityList,
            "defaultSecurityListId",
            "Default Security List for",
        ),
        (
            Kind::DhcpOptions,
            "defaultDhcpOptionsId",
            "Default DHCP Options for",
        ),
    ] {
        let id = create_default(books, kind, &vcn, label);
        vcn.set(field, id);
    }
    books.put(Kind::Vcn, &mut vcn);
    Ok(vcn)
}

fn blocks(input: &Input<'_>) -> Result<Vec<Cidr>, ApiError> {
    let mut texts = input.texts("cidrBlocks")?;
    texts.extend(input.text("cidrBlock")?.filter(|_| texts.is_empty()));
    if texts.is_empty() {
        return Err(ApiError::missing("cidrBlocks"));
    }
    let mut blocks: Vec<Cidr> = Vec::new();
    for text in texts {
        let block: Cidr = text
            .parse()
            .map_err(|why| ApiError::invalid(format!("cidrBlocks: {text} is {why}")))?;
        if !(16..=30).contains(&block.length()) {
            let why = format!("cidrBlocks: {block} must be between /16 and /30");
            return Err(ApiError::invalid(why));
        }
        if let Some(other) = blocks.iter().find(|other| other.overlaps(block)) {
            let why = format!("cidrBlocks: {block} overlaps {other}");
            return Err(ApiError::invalid(why));
        }
        blocks.push(block);
    }
    Ok(blocks)
}

fn create_default(books: &mut Ledger<'_, '_>, kind: Kind, vcn: &Doc, label: &str) -> String {
    let mut body = Map::new();
    body.insert("compartmentId".into(), vcn.str("compartmentId").into());
    body.insert("vcnId".into(), vcn.id().into());
    let name = format!("{label} {}", vcn.str("displayName"));
    body.insert("displayName".into(), name.into());
    body.insert("freeformTags".into(), json!({}));
    body.insert("definedTags".into(), json!({}));
    body.insert("lifecycleState".into(), "AVAILABLE".into());
    body.insert("timeCreated".into(), books.now().into());
    match kind {
        Kind::RouteTable => {
            body.insert("routeRules".into(), json!([]));
        }
        Kind::SecurityList => {
            body.insert("egressSecurityRules".into(), default_egress());
            let cidr = vcn.str("cidrBlock");
            body.insert("ingressSecurityRules".into(), default_ingress(cidr));
        }
        _ => {
            body.insert("options".into(), default_dhcp());
            body.insert("domainNameType".into(), "CUSTOM_DOMAIN".into());
        }
    }
    let subject = subject(&body);
    books.create(kind, &subject, body).id().to_owned()
}

fn default_egress() -> Value {
    json!([{
        "destination": "0.0.0.0/0",
        "destinationType": "CIDR_BLOCK",
        "protocol": "all",
        "isStateless": false,
    }])
}

fn default_ingress(vcn_cidr: &str) -> Value {
    let rule = |protocol: &str, source: &str| {
        json!({
            "source": source,
            "sourceType": "CIDR_BLOCK",
            "protocol": protocol,
            "isStateless": false,
        })
    };
    let mut ssh = rule("6", "0.0.0.0/0");
    ssh["tcpOptions"] = json!({"destinationPortRange": {"min": 22, "max": 22}});
    let mut fragments = rule("1", "0.0.0.0/0");
    fragments["icmpOptions"] = json!({"type": 3, "code": 4});
    let mut unreachable = rule("1", vcn_cidr);
    unreachable["icmpOptions"] = json!({"type": 3});
    json!([ssh, fragments, unreachable])
}

fn default_dhcp() -> Value {
    json!([{"type": "DomainNameServer", "serverType": "VcnLocalPlusInternet"}])
}

/// Makes DHCP options.
pub(crate) fn create_dhcp(books: &mut Ledger<'_, '_>, input: &Input<'_>) -> Result<Doc, ApiError> {
    parent(books, input)?;
    for option in input.need_array("options")? {
        let option = Input::within(option, "options")?;
        let kind = option.need("type")?;
        if !matches!(kind, "DomainNameServer" | "SearchDomain") {
            let why = format!("options.type must be DomainNameServer or SearchDomain, not {kind}");
            return Err(ApiError::invalid(why));
        }
    }
    let mut body = common(books, input, "dhcpoptions")?;
    input.copy(&["options", "domainNameType"], &mut body);
    let subject = subject(&body);
    Ok(settle(books, Kind::DhcpOptions, &subject, body))
}

/// A VCN goes only when nothing but its defaults is in it; they go with it.
pub(crate) fn before_delete(books: &mut Ledger<'_, '_>, vcn: &Doc) -> Result<(), ApiError> {
    let defaults = [
        (Kind::RouteTable, vcn.str("defaultRouteTableId")),
        (Kind::SecurityList, vcn.str("defaultSecurityListId")),
        (Kind::DhcpOptions, vcn.str("defaultDhcpOptionsId")),
    ];
    for (kind, what) in CHILDREN {
        let child = |doc: &Doc| {
            doc.str("vcnId") == vcn.id() && !defaults.iter().any(|(_, id)| *id == doc.id())
        };
        if let Some(child) = books.live_where(kind, child).first() {
            let why = format!("VCN {} still has the {what} {}", vcn.id(), child.id());
            return Err(ApiError::conflict(why));
        }
    }
    for (kind, id) in defaults {
        if let Some(mut doc) = books.live(kind, id) {
            books.bury(kind, &mut doc);
        }
    }
    Ok(())
}
