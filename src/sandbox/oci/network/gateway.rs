//! Internet, NAT and service gateways.

use serde_json::{Map, Value, json};

use super::super::error::ApiError;
use super::super::input::Input;
use super::super::ledger::{Doc, Kind, Ledger};
use super::super::limits;
use super::{address, common, parent, settle, subject};

/// The networks of Oracle's own services that a service gateway reaches.
pub(crate) fn services(books: &Ledger<'_, '_>) -> [Value; 2] {
    [
        (
            "All FRA Services In Oracle Services Network",
            "all-fra-services-in-oracle-services-network",
        ),
        ("OCI FRA Object Storage", "oci-fra-objectstorage"),
    ]
    .map(|(name, block)| {
        let unique = books.world.letters(&format!("service {block}"), 56);
        json!({
            "id": format!("ocid1.service.oc1.eu-frankfurt-1.aaaa{unique}"),
            "name": name,
            "description": name,
            "cidrBlock": block,
        })
    })
}

/// Makes an internet gateway: one per VCN.
pub(crate) fn create_internet(
    books: &mut Ledger<'_, '_>,
    input: &Input<'_>,
) -> Result<Doc, ApiError> {
    let vcn = parent(books, input)?;
    let enabled = input
        .flag("isEnabled")?
        .ok_or_else(|| ApiError::missing("isEnabled"))?;
    let count = in_vcn(books, Kind::InternetGateway, &vcn);
    if count > 0 {
        return Err(ApiError::limit_exceeded(
            "Internet gateway limit per VCN reached",
        ));
    }
    let mut body = common(books, input, "internetgateway")?;
    body.insert("isEnabled".into(), enabled.into());
    Ok(make(books, Kind::InternetGateway, body))
}

/// Makes a NAT gateway with a public address.
pub(crate) fn create_nat(books: &mut Ledger<'_, '_>, input: &Input<'_>) -> Result<Doc, ApiError> {
    let vcn = parent(books, input)?;
    let count = in_vcn(books, Kind::NatGateway, &vcn);
    if count >= limits::value(books, "nat-gateway-count") {
        return Err(ApiError::limit_exceeded(
            "NAT gateway limit per VCN reached",
        ));
    }
    let mut body = common(books, input, "natgateway")?;
    body.insert(
        "blockTraffic".into(),
        input.flag("blockTraffic")?.unwrap_or(false).into(),
    );
    let subject = subject(&body);
    body.insert(
        "natIp".into(),
        address::public_address(books, &subject).into(),
    );
    input.copy(&["publicIpId", "routeTableId"], &mut body);
    Ok(make(books, Kind::NatGateway, body))
}

/// Makes a service gateway: one per VCN.
pub(crate) fn create_service(
    books: &mut Ledger<'_, '_>,
    input: &Input<'_>,
) -> Result<Doc, ApiError> {
    let vcn = parent(books, input)?;
    let services = chosen(books, input.need_array("services")?)?;
    let most = limits::value(books, "service-gateway-count");
    if in_vcn(books, Kind::ServiceGateway, &vcn) >= most {
        let why = format!("The maximum limit of {most} service gateways per VCN is reached");
        return Err(ApiError::invalid(why));
    }
    let mut body = common(books, input, "servicegateway")?;
    body.insert("blockTraffic".into(), false.into());
    body.insert("services".into(), services);
    input.copy(&["routeTableId"], &mut body);
    Ok(make(books, Kind::ServiceGateway, body))
}

/// Changes a service gateway.
pub(crate) fn update_service(
    books: &Ledger<'_, '_>,
    input: &Input<'_>,
    doc: &mut Doc,
) -> Result<(), ApiError> {
    if let Some(services) = input.array("services")? {
        doc.set("services", chosen(books, services)?);
    }
    input.copy(&["blockTraffic", "routeTableId"], &mut doc.body);
    Ok(())
}

fn chosen(books: &Ledger<'_, '_>, asked: &[Value]) -> Result<Value, ApiError> {
    let known = services(books);
    let mut chosen = Vec::new();
    for service in asked {
        let id = Input::within(service, "services")?.need("serviceId")?;
        let found = known
            .iter()
            .find(|known| known["id"] == id)
            .ok_or_else(|| ApiError::not_found(id))?;
        chosen.push(json!({"serviceId": id, "serviceName": found["name"]}));
    }
    Ok(chosen.into())
}

fn make(books: &mut Ledger<'_, '_>, kind: Kind, body: Map<String, Value>) -> Doc {
    let subject = subject(&body);
    settle(books, kind, &subject, body)
}

fn in_vcn(books: &Ledger<'_, '_>, kind: Kind, vcn: &Doc) -> u64 {
    let inside = |doc: &Doc| doc.str("vcnId") == vcn.id();
    books.live_where(kind, inside).len() as u64
}

/// A gateway goes only when no route leads to it.
pub(crate) fn before_delete(books: &Ledger<'_, '_>, doc: &Doc) -> Result<(), ApiError> {
    let leads_here = |table: &Doc| {
        table
            .array("routeRules")
            .iter()
            .any(|rule| rule["networkEntityId"] == doc.id())
    };
    match books.live_where(Kind::RouteTable, leads_here).first() {
        Some(table) => Err(ApiError::conflict(format!(
            "{} is the target of a route rule of {}",
            doc.id(),
            table.id()
        ))),
        None => Ok(()),
    }
}
