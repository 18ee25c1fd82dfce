//! Subnets.

use serde_json::json;

use super::super::cidr::Cidr;
use super::super::error::ApiError;
use super::super::input::Input;
use super::super::ledger::{Doc, Kind, Ledger};
use super::super::{identity, limits};
use super::{check_dns_label, common, parent, settle, subject};

/// Makes a subnet within its VCN's blocks, beside its siblings.
pub(crate) fn create(books: &mut Ledger<'_, '_>, input: &Input<'_>) -> Result<Doc, ApiError> {
    let vcn = parent(books, input)?;
    let block = block(input, &vcn)?;
    let siblings = books.live_where(Kind::Subnet, |doc| doc.str("vcnId") == vcn.id());
    for sibling in &siblings {
        if sibling
            .str("cidrBlock")
            .parse::<Cidr>()
            .is_ok_and(|other| other.overlaps(block))
        {
            return Err(ApiError::invalid(format!(
                "cidrBlock: {block} overlaps {} of subnet {}",
                sibling.str("cidrBlock"),
                sibling.id()
            )));
        }
    }
    limits::check(books, "subnet-count", siblings.len() as u64 + 1)?;
    check_dns_label(input.text("dnsLabel")?)?;
    if let Some(domain) = input.text("availabilityDomain")? {
        identity::check_domain(books, domain)?;
    }
    let mut body = common(books, input, "subnet")?;
    body.insert("cidrBlock".into(), block.to_string().into());
    body.insert("ipv4CidrBlocks".into(), json!([block.to_string()]));
    input.copy(&["availabilityDomain"], &mut body);
    let closed = input.flag("prohibitPublicIpOnVnic")?;
    let no_internet = input.flag("prohibitInternetIngress")?;
    let prohibited = closed.or(no_internet).unwrap_or(false);
    body.insert("prohibitPublicIpOnVnic".into(), prohibited.into());
    body.insert("prohibitInternetIngress".into(), prohibited.into());
    body.insert("routeTableId".into(), vcn.str("defaultRouteTableId").into());
    body.insert(
        "dhcpOptionsId".into(),
        vcn.str("defaultDhcpOptionsId").into(),
    );
    let lists = json!([vcn.str("defaultSecurityListId")]);
    body.insert("securityListIds".into(), lists);
    if let Some(label) = input.text("dnsLabel")? {
        body.insert("dnsLabel".into(), label.to_ascii_lowercase().into());
        let domain = format!(
            "{}.{}",
            label.to_ascii_lowercase(),
            vcn.str("vcnDomainName")
        );
        body.insert("subnetDomainName".into(), domain.into());
    }
    let router = block.address(1).map(|address| address.to_string());
    body.insert("virtualRouterIp".into(), router.into());
    let mac = books.world.draw(&format!("router {block} {}", vcn.id()));
    let mac = format!(
        "00:00:17:{:02X}:{:02X}:{:02X}",
        mac & 255,
        mac >> 8 & 255,
        mac >> 16 & 255
    );
    body.insert("virtualRouterMac".into(), mac.into());
    associate(books, input, vcn.id(), &mut body)?;
    let subject = subject(&body);
    Ok(settle(books, Kind::Subnet, &subject, body))
}

fn block(input: &Input<'_>, vcn: &Doc) -> Result<Cidr, ApiError> {
    let text = match input.text("cidrBlock")? {
        Some(text) => text,
        None => input
            .texts("ipv4CidrBlocks")?
            .first()
            .copied()
            .ok_or_else(|| ApiError::missing("cidrBlock"))?,
    };
    let block: Cidr = text
        .parse()
        .map_err(|why| ApiError::invalid(format!("cidrBlock: {text} is {why}")))?;
    let inside = vcn
        .array("cidrBlocks")
        .iter()
        .filter_map(|outer| outer.as_str()?.parse::<Cidr>().ok())
        .any(|outer| outer.contains(block));
    if !inside || block.length() > 30 {
        let why = format!(
            "cidrBlock: {block} is not within the blocks of VCN {}",
            vcn.id()
        );
        return Err(ApiError::invalid(why));
    }
    Ok(block)
}

/// Takes over the route table, the security lists and the DHCP options that a
/// request names, all of the same VCN.
fn associate(
    books: &Ledger<'_, '_>,
    input: &Input<'_>,
    vcn: &str,
    body: &mut serde_json::Map<String, serde_json::Value>,
) -> Result<(), ApiError> {
    let check = |kind: Kind, id: &str| {
        let found = books.live(kind, id).filter(|doc| doc.str("vcnId") == vcn);
        found.map(drop).ok_or_else(|| ApiError::not_found(id))
    };
    for (field, kind) in [
        ("routeTableId", Kind::RouteTable),
        ("dhcpOptionsId", Kind::DhcpOptions),
    ] {
        if let Some(id) = input.text(field)? {
            check(kind, id)?;
            body.insert(field.into(), id.into());
        }
    }
    let lists = input.texts("securityListIds")?;
    if lists.len() > 5 {
        let why = "securityListIds: a subnet may have at most 5 security lists";
        return Err(ApiError::invalid(why));
    }
    for id in &lists {
        check(Kind::SecurityList, id)?;
    }
    if !lists.is_empty() {
        body.insert("securityListIds".into(), json!(lists));
    }
    Ok(())
}

/// Changes a subnet.
pub(crate) fn update(
    books: &Ledger<'_, '_>,
    input: &Input<'_>,
    doc: &mut Doc,
) -> Result<(), ApiError> {
    let vcn = doc.str("vcnId").to_owned();
    if let Some(cidr) = input
        .text("cidrBlock")?
        .filter(|cidr| *cidr != doc.str("cidrBlock"))
    {
        let why = format!("cidrBlock: {cidr} differs, and resizing is not supported here");
        return Err(ApiError::invalid(why));
    }
    associate(books, input, &vcn, &mut doc.body)
}

/// A subnet goes only when nothing has an address in it.
pub(crate) fn before_delete(books: &Ledger<'_, '_>, doc: &Doc) -> Result<(), ApiError> {
    let inside = |vnic: &Doc| vnic.str("subnetId") == doc.id();
    match books.live_where(Kind::Vnic, inside).first() {
        Some(vnic) => Err(ApiError::conflict(format!(
            "The Subnet {} references the VNIC {}. You must remove the reference to proceed with \
             this operation.",
            doc.id(),
            vnic.id()
        ))),
        None => Ok(()),
    }
}
