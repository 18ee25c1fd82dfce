//! Block storage: volumes, boot volumes and their attachments.

use serde_json::{Map, Value, json};

use super::call::{Answer, Call, Outcome};
use super::error::ApiError;
use super::ledger::{Doc, Kind, Ledger};
use super::{identity, limits, listing};

/// The smallest block volume, to which smaller requests are rounded up by the
/// cluster's volume driver.
pub(super) const SMALLEST_GB: u64 = 50;

fn kind(call: &Call<'_>) -> Kind {
    match call.segment(1) {
        "bootVolumes" => Kind::BootVolume,
        _ => Kind::Volume,
    }
}

/// `ListVolumes`, `ListBootVolumes`.
pub(super) fn list(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let filters = ["availabilityDomain", "displayName"];
    listing::list(books, call, kind(call), &filters)
}

/// `GetVolume`, `GetBootVolume`.
pub(super) fn get(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let volume = books.get(kind(call), call.id())?;
    Ok(Answer::doc(books, &volume))
}

/// `CreateVolume`.
pub(super) fn create(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let input = call.input();
    identity::compartment(books, input.need("compartmentId")?)?;
    identity::check_domain(books, input.need("availabilityDomain")?)?;
    let size = input.whole("sizeInGBs")?.unwrap_or(1024);
    if !(SMALLEST_GB..=32_768).contains(&size) {
        let why = format!("sizeInGBs: {size} is not within {SMALLEST_GB} to 32768");
        return Err(ApiError::invalid(why));
    }
    let volume = make(books, &call.body, size)?;
    Ok(Answer::doc(books, &volume).made(Kind::Volume, volume.id()))
}

/// Makes a volume of a checked body; also for the cluster's volume driver.
pub(super) fn make(
    books: &mut Ledger<'_, '_>,
    asked: &Map<String, Value>,
    gigabytes: u64,
) -> Result<Doc, ApiError> {
    let input = super::input::Input::new(asked);
    let count = books.live_where(Kind::Volume, |_| true).len() as u64;
    limits::check(books, "volume-count", count + 1)?;
    let mut body = Map::new();
    let fields = ["compartmentId", "availabilityDomain", "systemTags"];
    input.copy(&fields, &mut body);
    let name = input.text("displayName")?.unwrap_or("volume").to_owned();
    body.insert("displayName".into(), name.clone().into());
    input.copy_tags(&mut body)?;
    body.insert("sizeInGBs".into(), gigabytes.into());
    body.insert("sizeInMBs".into(), (gigabytes * 1024).into());
    body.insert("vpusPerGB".into(), 10.into());
    body.insert("isHydrated".into(), true.into());
    body.insert("lifecycleState".into(), "PROVISIONING".into());
    body.insert("timeCreated".into(), books.now().into());
    let volume = books.create(Kind::Volume, &name, body);
    let takes = books.draw_ms(&format!("takes {}", volume.id()), 4_000, 12_000);
    let event = super::events::Event::State {
        kind: Kind::Volume,
        id: volume.id().to_owned(),
        from: "PROVISIONING".to_owned(),
        to: "AVAILABLE".to_owned(),
    };
    books.after(takes, &event);
    Ok(volume)
}

/// `DeleteVolume`, `DeleteBootVolume`.
pub(super) fn delete(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let kind = kind(call);
    let mut volume = books.get_live(kind, call.id())?;
    call.check_match(books, &volume)?;
    let instance = volume.note("instance");
    if let Some(holder) = books.live(Kind::Instance, instance) {
        let why = format!("{} is attached to {}", volume.id(), holder.id());
        return Err(ApiError::conflict(why));
    }
    books.bury(kind, &mut volume);
    Ok(Answer::no_content())
}

/// `ListBootVolumeAttachments`.
pub(super) fn boot_attachments(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let compartment = call.need_param("compartmentId")?;
    identity::compartment(books, compartment)?;
    let domain = call.need_param("availabilityDomain")?;
    let wanted = |volume: &Doc| {
        volume.str("compartmentId") == compartment && volume.str("availabilityDomain") == domain
    };
    let rows = books
        .live_where(Kind::BootVolume, wanted)
        .into_iter()
        .map(|volume| {
            json!({
                "id": volume.note("instance"),
                "instanceId": volume.note("instance"),
                "bootVolumeId": volume.id(),
                "displayName": "Remote boot attachment for instance",
                "availabilityDomain": domain,
                "compartmentId": compartment,
                "lifecycleState": "ATTACHED",
                "timeCreated": volume.str("timeCreated"),
            })
        })
        .collect();
    listing::page(books, call, rows)
}

/// `ListVolumeAttachments`: the volume driver's attachments are not shown.
pub(super) fn attachments(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    identity::compartment(books, call.need_param("compartmentId")?)?;
    listing::page(books, call, Vec::new())
}
