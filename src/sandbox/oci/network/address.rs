//! Addresses: the VNICs that hold private ones in a subnet, and public ones.

use serde_json::{Map, Value, json};

use super::super::call::{Answer, Call, Outcome};
use super::super::cidr::Cidr;
use super::super::error::ApiError;
use super::super::events::Event;
use super::super::input::Input;
use super::super::ledger::{Doc, Kind, Ledger};
use super::super::listing;
use super::{common, settle};

/// Who wants a network card, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Holder<'a> {
    /// The OCID of what holds it.
    pub id: &'a str,
    /// The compartment of what holds it.
    pub compartment: &'a str,
    /// The display name.
    pub name: &'a str,
    /// Whether it gets a public address.
    pub public: bool,
    /// The security groups that it is in.
    pub groups: &'a [Value],
}

/// Gives the holder a network card in a subnet: the lowest free address.
pub(crate) fn attach(
    books: &mut Ledger<'_, '_>,
    subnet: &str,
    holder: Holder<'_>,
) -> Result<Doc, ApiError> {
    let subnet = books.get_live(Kind::Subnet, subnet)?;
    let block: Cidr = subnet
        .str("cidrBlock")
        .parse()
        .map_err(|_| ApiError::not_found(subnet.id()))?;
    let taken: Vec<_> = books
        .live_where(Kind::Vnic, |vnic| vnic.str("subnetId") == subnet.id())
        .iter()
        .map(|vnic| vnic.str("privateIp").to_owned())
        .collect();
    let free = block
        .hosts()
        .map(|address| address.to_string())
        .find(|address| !taken.contains(address))
        .ok_or_else(|| {
            let why = format!("Subnet {} has no free addresses left", subnet.id());
            ApiError::limit_exceeded(why)
        })?;
    let body = json!({
        "compartmentId": holder.compartment,
        "subnetId": subnet.id(),
        "vlanId": null,
        "displayName": holder.name,
        "privateIp": free,
        "publicIp": holder.public.then(|| public_address(books, holder.id)),
        "isPrimary": true,
        "nsgIds": holder.groups,
        "skipSourceDestCheck": false,
        "lifecycleState": "AVAILABLE",
        "timeCreated": books.now(),
        "freeformTags": {},
        "definedTags": {},
    });
    let Value::Object(body) = body else {
        return Err(ApiError::not_found(subnet.id()));
    };
    let mut vnic = books.create(Kind::Vnic, &format!("{} {}", holder.id, subnet.id()), body);
    vnic.set_note("holder", holder.id);
    books.put(Kind::Vnic, &mut vnic);
    Ok(vnic)
}

/// Takes the holder's network cards away some seconds from now: deleting their
/// subnet right after the holder must be refused for a while.
pub(crate) fn release(books: &mut Ledger<'_, '_>, holder: &str) {
    for vnic in held_by(books, holder) {
        let wait = books.draw_ms(&format!("release {}", vnic.id()), 4_000, 25_000);
        let event = Event::Bury {
            kind: Kind::Vnic,
            id: vnic.id().to_owned(),
        };
        books.after(wait, &event);
    }
}

/// The holder's network cards.
pub(crate) fn held_by(books: &Ledger<'_, '_>, holder: &str) -> Vec<Doc> {
    books.live_where(Kind::Vnic, |vnic| vnic.note("holder") == holder)
}

/// A public address drawn from the documentation blocks of RFC 5737.
pub(crate) fn public_address(books: &Ledger<'_, '_>, subject: &str) -> String {
    let drawn = books.world.draw(&format!("public ip {subject}"));
    let host = drawn >> 8 & 0xFF;
    match drawn % 3 {
        0 => format!("192.0.2.{host}"),
        1 => format!("198.51.100.{host}"),
        _ => format!("203.0.113.{host}"),
    }
}

/// `GetVnic`.
pub(crate) fn get_vnic(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let vnic = books.get(Kind::Vnic, call.id())?;
    Ok(Answer::doc(books, &vnic))
}

/// `ListPrivateIps`, by subnet or by VNIC.
pub(crate) fn list_private(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let subnet = call.request.param("subnetId");
    let vnic = call.request.param("vnicId");
    if subnet.is_none() && vnic.is_none() && call.request.param("ipAddress").is_none() {
        return Err(ApiError::missing("subnetId"));
    }
    if let Some(id) = subnet {
        books.get_live(Kind::Subnet, id)?;
    }
    let rows = books
        .live_where(Kind::Vnic, |doc| {
            subnet.is_none_or(|id| doc.str("subnetId") == id)
                && vnic.is_none_or(|id| doc.id() == id)
                && call
                    .request
                    .param("ipAddress")
                    .is_none_or(|ip| doc.str("privateIp") == ip)
        })
        .iter()
        .map(private_ip)
        .collect();
    listing::page(books, call, rows)
}

fn private_ip(vnic: &Doc) -> Value {
    json!({
        "id": vnic.id().replacen("ocid1.vnic.", "ocid1.privateip.", 1),
        "compartmentId": vnic.str("compartmentId"),
        "displayName": vnic.str("displayName"),
        "ipAddress": vnic.str("privateIp"),
        "isPrimary": true,
        "subnetId": vnic.str("subnetId"),
        "vnicId": vnic.id(),
        "timeCreated": vnic.str("timeCreated"),
        "freeformTags": {},
        "definedTags": {},
    })
}

/// Reserves a public address.
pub(crate) fn create_public(
    books: &mut Ledger<'_, '_>,
    input: &Input<'_>,
) -> Result<Doc, ApiError> {
    let lifetime = input.need("lifetime")?;
    if !matches!(lifetime, "RESERVED" | "EPHEMERAL") {
        return Err(ApiError::invalid("lifetime must be RESERVED or EPHEMERAL"));
    }
    let mut body: Map<String, Value> = common(books, input, "publicip")?;
    body.insert("lifetime".into(), lifetime.into());
    body.insert("scope".into(), "REGION".into());
    let subject = super::subject(&body);
    let address = public_address(books, &subject);
    body.insert("ipAddress".into(), address.into());
    Ok(settle(books, Kind::PublicIp, &subject, body))
}

/// `GetPublicIpByIpAddress`.
pub(crate) fn public_by_address(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let address = call.input().need("ipAddress")?;
    let found = books.live_where(Kind::PublicIp, |doc| doc.str("ipAddress") == address);
    let doc = found.first().ok_or_else(|| ApiError::not_found(address))?;
    Ok(Answer::doc(books, doc))
}

/// `ListServices`: the networks of Oracle's services in the region.
pub(crate) fn list_services(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let rows = super::gateway::services(books).to_vec();
    listing::page(books, call, rows)
}
