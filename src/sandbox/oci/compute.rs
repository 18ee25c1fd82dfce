//! Compute: instances with their boot volumes and network cards, shapes,
//! images and capacity reports.

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::call::{Answer, Call, Outcome};
use super::error::ApiError;
use super::events::Event;
use super::input::Input;
use super::ledger::{Doc, Kind, Ledger};
use super::network::address::{self, Holder};
use super::{identity, limits, listing, options};

/// The boot volume of an image, when the request names no size.
const BOOT_VOLUME_GB: u64 = 47;

/// Launches a node pool's instance in a placement.
pub(super) fn launch(
    books: &mut Ledger<'_, '_>,
    pool: &Doc,
    placement: &Value,
    name: &str,
) -> Result<Doc, ApiError> {
    let domain = placement["availabilityDomain"].as_str().unwrap_or_default();
    let shape = options::shape(pool.str("nodeShape"))
        .ok_or_else(|| ApiError::invalid("nodeShape is not available"))?;
    let (ocpus, memory) = size(pool, shape);
    check_limits(books, shape, ocpus, memory)?;
    let fault_domain = place(books, placement, domain)?;
    let subnet_id = placement["subnetId"].as_str().unwrap_or_default();
    let subnet = books.get_live(Kind::Subnet, subnet_id)?;
    let compartment = pool.str("compartmentId");
    let details = &pool.body["nodeConfigDetails"];
    let tags = details.get("freeformTags").filter(|tags| tags.is_object());
    let tags = tags.cloned().unwrap_or_else(|| json!({}));
    let body = json!({
        "compartmentId": compartment,
        "availabilityDomain": domain,
        "faultDomain": fault_domain,
        "displayName": name,
        "shape": shape.name,
        "shapeConfig": {"ocpus": ocpus, "memoryInGBs": memory},
        "imageId": pool.str("nodeImageId"),
        "sourceDetails": {"sourceType": "image", "imageId": pool.str("nodeImageId")},
        "region": super::REGION,
        "launchMode": "PARAVIRTUALIZED",
        "metadata": {},
        "extendedMetadata": {},
        "lifecycleState": "PROVISIONING",
        "timeCreated": books.now(),
        "freeformTags": tags,
        "definedTags": {},
        "systemTags": {"orcl-containerengine": {"Cluster": pool.str("clusterId")}},
    });
    let body = body.as_object().cloned().unwrap_or_default();
    let mut instance = books.create(Kind::Instance, name, body);
    let id = instance.id().to_owned();
    let groups = details["nsgIds"].as_array().cloned().unwrap_or_default();
    let holder = Holder {
        id: &id,
        compartment,
        name,
        public: subnet.body.get("prohibitPublicIpOnVnic") != Some(&true.into()),
        groups: &groups,
    };
    let vnic = address::attach(books, subnet_id, holder)?;
    instance.set_note("pool", pool.id());
    instance.set_note("privateIp", vnic.str("privateIp"));
    instance.set_note("publicIp", vnic.body["publicIp"].clone());
    books.put(Kind::Instance, &mut instance);
    let asked = &pool.body["nodeSourceDetails"]["bootVolumeSizeInGBs"];
    let gigabytes = asked.as_u64().unwrap_or(BOOT_VOLUME_GB);
    create_boot_volume(books, &instance, gigabytes);
    let starts = books.draw_ms(&format!("boots {id}"), 30_000, 70_000);
    let event = Event::State {
        kind: Kind::Instance,
        id,
        from: "PROVISIONING".to_owned(),
        to: "RUNNING".to_owned(),
    };
    books.after(starts, &event);
    Ok(instance)
}

fn size(pool: &Doc, shape: options::Shape) -> (f64, f64) {
    let config = &pool
        .body
        .get("nodeShapeConfig")
        .cloned()
        .unwrap_or_default();
    let ocpus = config["ocpus"].as_f64();
    let ocpus = ocpus.unwrap_or_else(|| f64::from(shape.ocpus.0));
    let memory = config["memoryInGBs"].as_f64().unwrap_or(ocpus * 6.0);
    (ocpus, memory.min(f64::from(shape.memory.1)))
}

fn check_limits(
    books: &mut Ledger<'_, '_>,
    shape: options::Shape,
    ocpus: f64,
    memory: f64,
) -> Result<(), ApiError> {
    if books.fault("quota", shape.name, |_| true).is_some() {
        let why = format!("The quota on {} of compartment is exceeded", shape.limits.0);
        return Err(ApiError::quota_exceeded(why));
    }
    let instances = books.live_where(Kind::Instance, |instance| {
        instance.str("shape") == shape.name
    });
    let used = |field: &str| -> f64 {
        let shapes = instances.iter().map(|i| &i.body["shapeConfig"]);
        shapes.filter_map(|config| config[field].as_f64()).sum()
    };
    for (name, total) in [
        (shape.limits.0, used("ocpus") + ocpus),
        (shape.limits.1, used("memoryInGBs") + memory),
    ] {
        limits::check_amount(books, name, total)?;
    }
    Ok(())
}

/// The first fault domain of the placement with a free host.
fn place(books: &mut Ledger<'_, '_>, placement: &Value, domain: &str) -> Result<String, ApiError> {
    let asked = placement["faultDomains"].as_array();
    let asked: Vec<String> = asked
        .into_iter()
        .flatten()
        .filter_map(|name| Some(name.as_str()?.to_owned()))
        .collect();
    let choices = if asked.is_empty() {
        identity::fault_domain_names().to_vec()
    } else {
        asked
    };
    for choice in choices {
        let full = books.fault("out-of-capacity", domain, |arg| {
            is_full(arg, domain, &choice)
        });
        if full.is_none() {
            return Ok(choice);
        }
    }
    let mut error = ApiError::of_status(StatusCode::INTERNAL_SERVER_ERROR);
    error.code = "InternalError";
    "Out of host capacity.".clone_into(&mut error.message);
    Err(error)
}

/// Whether a fault's argument (`AD-1`, `AD-1/FAULT-DOMAIN-2` or nothing) names
/// this place.
fn is_full(arg: Option<&str>, domain: &str, fault_domain: &str) -> bool {
    let Some(arg) = arg.filter(|arg| !arg.is_empty()) else {
        return true;
    };
    let (wanted, part) = match arg.split_once('/') {
        Some((domain, part)) => (domain, Some(part)),
        None => (arg, None),
    };
    domain.ends_with(wanted) && part.is_none_or(|part| part == fault_domain)
}

fn create_boot_volume(books: &mut Ledger<'_, '_>, instance: &Doc, gigabytes: u64) {
    let name = format!("{} (Boot Volume)", instance.str("displayName"));
    let body = json!({
        "compartmentId": instance.str("compartmentId"),
        "availabilityDomain": instance.str("availabilityDomain"),
        "displayName": name,
        "imageId": instance.str("imageId"),
        "sizeInGBs": gigabytes,
        "sizeInMBs": gigabytes * 1024,
        "vpusPerGB": 10,
        "lifecycleState": "AVAILABLE",
        "timeCreated": books.now(),
        "freeformTags": instance.body["freeformTags"],
        "definedTags": {},
        "systemTags": instance.body["systemTags"],
    });
    let body = body.as_object().cloned().unwrap_or_default();
    let mut volume = books.create(Kind::BootVolume, &name, body);
    volume.set_note("instance", instance.id());
    books.put(Kind::BootVolume, &mut volume);
}

/// Terminates an instance with its boot volume and network card.
pub(super) fn terminate(books: &mut Ledger<'_, '_>, id: &str) {
    let Some(mut instance) = books.live(Kind::Instance, id) else {
        return;
    };
    address::release(books, id);
    for mut volume in books.live_where(Kind::BootVolume, |volume| volume.note("instance") == id) {
        books.bury(Kind::BootVolume, &mut volume);
    }
    books.bury(Kind::Instance, &mut instance);
}

/// `ListInstances`.
pub(super) fn list(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let filters = ["displayName", "availabilityDomain"];
    listing::list(books, call, Kind::Instance, &filters)
}

/// `GetInstance`.
pub(super) fn get(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let instance = books.get(Kind::Instance, call.id())?;
    Ok(Answer::doc(books, &instance))
}

/// `TerminateInstance`.
pub(super) fn delete(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let instance = books.get_live(Kind::Instance, call.id())?;
    call.check_match(books, &instance)?;
    terminate(books, instance.id());
    Ok(Answer::no_content())
}

/// `ListVnicAttachments`.
pub(super) fn vnic_attachments(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let compartment = call.need_param("compartmentId")?;
    identity::compartment(books, compartment)?;
    let wanted = |name: &str, value: &str| call.request.param(name).is_none_or(|w| w == value);
    let rows = books
        .live_where(Kind::Vnic, |vnic| vnic.str("compartmentId") == compartment)
        .into_iter()
        .filter(|vnic| vnic.note("holder").starts_with("ocid1.instance."))
        .filter(|vnic| wanted("vnicId", vnic.id()) && wanted("instanceId", vnic.note("holder")))
        .filter_map(|vnic| {
            let instance = books.find(Kind::Instance, vnic.note("holder"))?;
            Some(json!({
                "id": vnic.id().replacen("ocid1.vnic.", "ocid1.vnicattachment.", 1),
                "availabilityDomain": instance.str("availabilityDomain"),
                "compartmentId": compartment,
                "instanceId": instance.id(),
                "lifecycleState": "ATTACHED",
                "subnetId": vnic.str("subnetId"),
                "vnicId": vnic.id(),
                "timeCreated": vnic.str("timeCreated"),
            }))
        })
        .collect();
    listing::page(books, call, rows)
}

/// `ListShapes`.
pub(super) fn shapes(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    identity::compartment(books, call.need_param("compartmentId")?)?;
    if let Some(domain) = call.request.param("availabilityDomain") {
        identity::check_domain(books, domain)?;
    }
    let wanted = call.request.param("shape");
    let rows = options::SHAPES
        .iter()
        .filter(|shape| wanted.is_none_or(|name| shape.name == name))
        .map(shape_row)
        .collect();
    listing::page(books, call, rows)
}

fn shape_row(shape: &options::Shape) -> Value {
    let mut row = json!({
        "shape": shape.name,
        "billingType": shape.billing,
        "isFlexible": shape.ocpus.0 != shape.ocpus.1,
        "ocpus": f64::from(shape.ocpus.0),
        "memoryInGBs": f64::from(shape.memory.0),
        "quotaNames": [shape.limits.0, shape.limits.1],
        "processorDescription": "",
        "maxVnicAttachments": 2,
    });
    if shape.ocpus.0 != shape.ocpus.1 {
        row["ocpuOptions"] = json!({"min": shape.ocpus.0, "max": shape.ocpus.1});
        row["memoryOptions"] = json!({
            "minInGBs": shape.memory.0,
            "maxInGBs": shape.memory.1,
            "defaultPerOcpuInGBs": 6,
            "minPerOcpuInGBs": 1,
            "maxPerOcpuInGBs": 64,
        });
        row["maxVnicAttachmentOptions"] = json!({"min": 2, "max": 24, "defaultPerOcpu": 1});
    }
    row
}

/// `ListImages`: the worker images.
pub(super) fn images(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    identity::compartment(books, call.need_param("compartmentId")?)?;
    let name = call.request.param("displayName");
    let shape = call.request.param("shape").and_then(options::shape);
    let created = books.time_at(0);
    let rows = options::images(books)
        .into_iter()
        .filter(|image| name.is_none_or(|name| image.name == name))
        .filter(|image| shape.is_none_or(|shape| shape.arch == image.arch))
        .map(|image| {
            json!({
                "id": image.id,
                "displayName": image.name,
                "compartmentId": null,
                "operatingSystem": "Oracle Linux",
                "operatingSystemVersion": "8",
                "createImageAllowed": true,
                "lifecycleState": "AVAILABLE",
                "timeCreated": created,
                "freeformTags": {},
                "definedTags": {},
            })
        })
        .collect();
    listing::page(books, call, rows)
}

/// `CreateComputeCapacityReport`: what a launch would find now. It reserves
/// nothing, and counts against no fault.
pub(super) fn capacity_report(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let input = call.input();
    let compartment = input.need("compartmentId")?;
    if compartment != books.account.tenancy {
        let why = "compartmentId must be the tenancy (the root compartment)";
        return Err(ApiError::invalid(why));
    }
    let domain = input.need("availabilityDomain")?;
    identity::check_domain(books, domain)?;
    let faults: Vec<_> = crate::sandbox::faults::Faults::list_in(books.tx)
        .into_iter()
        .filter(|f| f.system == "oci" && f.kind == "out-of-capacity" && !f.is_spent())
        .collect();
    let mut rows = Vec::new();
    for asked in input.need_array("shapeAvailabilities")? {
        let asked = Input::within(asked, "shapeAvailabilities")?;
        let name = asked.need("instanceShape")?;
        let part = asked.text("faultDomain")?;
        let parts = match part {
            Some(part) => vec![part.to_owned()],
            None => identity::fault_domain_names().to_vec(),
        };
        let full = parts.iter().all(|part| {
            let mut all = faults.iter();
            all.any(|fault| is_full(fault.arg.as_deref(), domain, part))
        });
        let status = match options::shape(name) {
            None => "HARDWARE_NOT_SUPPORTED",
            Some(_) if full => "OUT_OF_HOST_CAPACITY",
            Some(_) => "AVAILABLE",
        };
        let mut row = Map::new();
        asked.copy(
            &["instanceShape", "faultDomain", "instanceShapeConfig"],
            &mut row,
        );
        row.insert("availabilityStatus".into(), status.into());
        let count = if status == "AVAILABLE" { 10 } else { 0 };
        row.insert("availableCount".into(), count.into());
        rows.push(row);
    }
    Ok(Answer::ok(json!({
        "compartmentId": compartment,
        "availabilityDomain": domain,
        "timeCreated": books.now(),
        "shapeAvailabilities": rows,
    })))
}
