//! The virtual network: VCNs, gateways, route tables, security lists and
//! groups, DHCP options, subnets and the addresses in them.

pub(super) mod address;
pub(super) mod gateway;
pub(super) mod group;
pub(super) mod rules;
pub(super) mod subnet;
pub(super) mod vcn;

use serde_json::{Map, Value};

use super::call::{Answer, Call, Outcome};
use super::error::ApiError;
use super::identity;
use super::input::Input;
use super::ledger::{Doc, Kind, Ledger};
use super::listing;

/// The kind behind a collection of the path.
pub(super) fn kind_of(collection: &str) -> Option<Kind> {
    Some(match collection {
        "vcns" => Kind::Vcn,
        "internetGateways" => Kind::InternetGateway,
        "natGateways" => Kind::NatGateway,
        "serviceGateways" => Kind::ServiceGateway,
        "routeTables" => Kind::RouteTable,
        "securityLists" => Kind::SecurityList,
        "networkSecurityGroups" => Kind::SecurityGroup,
        "dhcps" => Kind::DhcpOptions,
        "subnets" => Kind::Subnet,
        "publicIps" => Kind::PublicIp,
        _ => return None,
    })
}

fn kind(call: &Call<'_>) -> Result<Kind, ApiError> {
    kind_of(call.segment(1)).ok_or_else(|| ApiError::unknown_path(&call.request.path))
}

/// `Get…` of any network resource.
pub(super) fn get(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let doc = books.get(kind(call)?, call.id())?;
    Ok(Answer::doc(books, &doc))
}

/// `List…` of any network resource.
pub(super) fn list(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let kind = kind(call)?;
    if kind == Kind::PublicIp {
        call.need_param("scope")?;
    }
    let filters: &[&str] = match kind {
        Kind::Vcn => &["displayName"],
        Kind::ServiceGateway => &["vcnId"],
        Kind::PublicIp => &["scope", "lifetime"],
        _ => &["vcnId", "displayName"],
    };
    listing::list(books, call, kind, filters)
}

/// `Create…` of any network resource.
pub(super) fn create(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let kind = kind(call)?;
    let input = call.input();
    let compartment = input.need("compartmentId")?;
    identity::compartment(books, compartment)?;
    let doc = match kind {
        Kind::Vcn => vcn::create(books, &input)?,
        Kind::InternetGateway => gateway::create_internet(books, &input)?,
        Kind::NatGateway => gateway::create_nat(books, &input)?,
        Kind::ServiceGateway => gateway::create_service(books, &input)?,
        Kind::RouteTable => rules::create_route_table(books, &input)?,
        Kind::SecurityList => rules::create_security_list(books, &input)?,
        Kind::SecurityGroup => group::create(books, &input)?,
        Kind::DhcpOptions => vcn::create_dhcp(books, &input)?,
        Kind::Subnet => subnet::create(books, &input)?,
        _ => address::create_public(books, &input)?,
    };
    let answer = Answer::doc(books, &doc).made(kind, doc.id());
    Ok(if kind == Kind::ServiceGateway {
        Answer::ok(doc.body.clone()).made(kind, doc.id())
    } else {
        answer
    })
}

/// `Update…` of any network resource.
pub(super) fn update(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let kind = kind(call)?;
    let mut doc = books.get_live(kind, call.id())?;
    call.check_match(books, &doc)?;
    let input = call.input();
    match kind {
        Kind::InternetGateway => input.copy(&["isEnabled", "routeTableId"], &mut doc.body),
        Kind::NatGateway => input.copy(&["blockTraffic", "routeTableId"], &mut doc.body),
        Kind::ServiceGateway => gateway::update_service(books, &input, &mut doc)?,
        Kind::RouteTable => rules::update_route_table(books, &input, &mut doc)?,
        Kind::SecurityList => rules::update_security_list(books, &input, &mut doc)?,
        Kind::DhcpOptions => input.copy(&["options"], &mut doc.body),
        Kind::Subnet => subnet::update(books, &input, &mut doc)?,
        _ => {}
    }
    input.copy(&["displayName"], &mut doc.body);
    input.copy_tags(&mut doc.body)?;
    books.put(kind, &mut doc);
    Ok(Answer::doc(books, &doc))
}

/// `Delete…` of any network resource.
pub(super) fn delete(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let kind = kind(call)?;
    let mut doc = books.get_live(kind, call.id())?;
    call.check_match(books, &doc)?;
    match kind {
        Kind::Vcn => vcn::before_delete(books, &doc)?,
        Kind::InternetGateway | Kind::NatGateway | Kind::ServiceGateway => {
            gateway::before_delete(books, &doc)?;
        }
        Kind::RouteTable => {
            refuse_default(books, &doc, "defaultRouteTableId")?;
            refuse_used(books, &doc, |subnet, id| subnet.str("routeTableId") == id)?;
        }
        Kind::SecurityList => {
            refuse_default(books, &doc, "defaultSecurityListId")?;
            refuse_used(books, &doc, |subnet, id| {
                subnet.array_has("securityListIds", id)
            })?;
        }
        Kind::DhcpOptions => {
            refuse_default(books, &doc, "defaultDhcpOptionsId")?;
            refuse_used(books, &doc, |subnet, id| subnet.str("dhcpOptionsId") == id)?;
        }
        Kind::SecurityGroup => group::before_delete(books, &doc)?,
        Kind::Subnet => subnet::before_delete(books, &doc)?,
        _ => {}
    }
    books.bury(kind, &mut doc);
    Ok(Answer::no_content())
}

/// The VCN's own resources of this kind go with the VCN only.
fn refuse_default(books: &Ledger<'_, '_>, doc: &Doc, field: &str) -> Result<(), ApiError> {
    let owner = books.live(Kind::Vcn, doc.str("vcnId"));
    if owner.is_some_and(|vcn| vcn.str(field) == doc.id()) {
        let why = format!("{} is a default of its VCN and cannot be deleted", doc.id());
        return Err(ApiError::conflict(why));
    }
    Ok(())
}

fn refuse_used(
    books: &Ledger<'_, '_>,
    doc: &Doc,
    uses: impl Fn(&Doc, &str) -> bool,
) -> Result<(), ApiError> {
    let found = books.live_where(Kind::Subnet, |subnet| uses(subnet, doc.id()));
    match found.first() {
        Some(subnet) => Err(ApiError::conflict(format!(
            "{} is associated with subnet {}",
            doc.id(),
            subnet.id()
        ))),
        None => Ok(()),
    }
}

/// The VCN that a request names.
fn parent(books: &Ledger<'_, '_>, input: &Input<'_>) -> Result<Doc, ApiError> {
    let id = input.need("vcnId")?;
    books
        .live(Kind::Vcn, id)
        .ok_or_else(|| ApiError::not_found(id))
}

/// The fields that every network resource starts with.
fn common(
    books: &Ledger<'_, '_>,
    input: &Input<'_>,
    prefix: &str,
) -> Result<Map<String, Value>, ApiError> {
    let now = books.now();
    let digits: String = now.chars().filter(char::is_ascii_digit).take(14).collect();
    let name = match input.text("displayName")? {
        Some(name) if !name.is_empty() => name.to_owned(),
        _ => format!("{prefix}{digits}"),
    };
    if name.chars().count() > 255 {
        return Err(ApiError::invalid(
            "displayName may have at most 255 characters",
        ));
    }
    let mut body = Map::new();
    input.copy(&["compartmentId", "vcnId"], &mut body);
    body.insert("displayName".into(), name.into());
    input.copy_tags(&mut body)?;
    body.insert("lifecycleState".into(), "AVAILABLE".into());
    body.insert("timeCreated".into(), now.into());
    Ok(body)
}

/// Makes the resource: PROVISIONING for up to two seconds, or at once there.
fn settle(books: &mut Ledger<'_, '_>, kind: Kind, subject: &str, body: Map<String, Value>) -> Doc {
    let mut doc = books.create(kind, subject, body);
    let takes = books.draw_ms(&format!("settles {}", doc.id()), 0, 2000);
    if takes > 800 {
        doc.set("lifecycleState", "PROVISIONING");
        books.put(kind, &mut doc);
        let event = super::events::Event::State {
            kind,
            id: doc.id().to_owned(),
            from: "PROVISIONING".to_owned(),
            to: "AVAILABLE".to_owned(),
        };
        books.after(takes, &event);
    }
    doc
}

/// What a resource's identifier is drawn from: its parent and its name.
fn subject(body: &Map<String, Value>) -> String {
    let text = |field: &str| body.get(field).and_then(Value::as_str).unwrap_or("");
    let parent = match text("vcnId") {
        "" => text("compartmentId"),
        vcn => vcn,
    };
    format!("{parent} {}", text("displayName"))
}

/// An optional DNS label: up to 15 letters and digits, a letter first.
fn check_dns_label(label: Option<&str>) -> Result<(), ApiError> {
    let Some(label) = label else { return Ok(()) };
    let fits = label.len() <= 15
        && label.starts_with(|c: char| c.is_ascii_alphabetic())
        && label.chars().all(|c| c.is_ascii_alphanumeric());
    if fits {
        return Ok(());
    }
    Err(ApiError::invalid(
        "dnsLabel must be up to 15 letters and digits and start with a letter",
    ))
}
