//! The load balancer and network load balancer services. Load balancers are
//! mostly made by the cluster's cloud controller.

use serde_json::{Map, Value, json};

use super::call::{Answer, Call, Outcome};
use super::error::ApiError;
use super::events::Event;
use super::ledger::{Doc, Kind, Ledger};
use super::network::address::{self, Holder};
use super::{identity, limits, listing};

/// `ListLoadBalancers`.
pub(super) fn list(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    listing::list(books, call, Kind::LoadBalancer, &["displayName"])
}

/// `GetLoadBalancer`.
pub(super) fn get(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let balancer = books.get(Kind::LoadBalancer, call.id())?;
    Ok(Answer::doc(books, &balancer))
}

/// `CreateLoadBalancer`.
pub(super) fn create(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let input = call.input();
    identity::compartment(books, input.need("compartmentId")?)?;
    input.need("displayName")?;
    input.need("shapeName")?;
    if input.texts("subnetIds")?.is_empty() {
        return Err(ApiError::missing("subnetIds"));
    }
    let (balancer, request) = make(books, &call.body)?;
    Ok(Answer::accepted(&request).made(Kind::LoadBalancer, balancer.id()))
}

/// Makes a load balancer of a checked body; also for the cloud controller.
/// Returns it and its work request's OCID.
pub(super) fn make(
    books: &mut Ledger<'_, '_>,
    asked: &Map<String, Value>,
) -> Result<(Doc, String), ApiError> {
    let input = super::input::Input::new(asked);
    let count = books.live_where(Kind::LoadBalancer, |_| true).len() as u64;
    limits::check(books, "lb-flexible-count", count + 1)?;
    let private = input.flag("isPrivate")?.unwrap_or(false);
    let mut body = Map::new();
    let fields = [
        "compartmentId",
        "displayName",
        "shapeName",
        "shapeDetails",
        "subnetIds",
        "networkSecurityGroupIds",
        "listeners",
        "backendSets",
        "systemTags",
    ];
    for field in ["listeners", "backendSets", "systemTags"] {
        body.insert(field.into(), json!({}));
    }
    body.insert("networkSecurityGroupIds".into(), json!([]));
    input.copy(&fields, &mut body);
    input.copy_tags(&mut body)?;
    body.insert("isPrivate".into(), private.into());
    body.insert(
        "isDeleteProtectionEnabled".into(),
        input
            .flag("isDeleteProtectionEnabled")?
            .unwrap_or(false)
            .into(),
    );
    body.insert("ipAddresses".into(), json!([]));
    body.insert("lifecycleState".into(), "CREATING".into());
    body.insert("timeCreated".into(), books.now().into());
    let name = input.need("displayName")?.to_owned();
    let compartment = input.need("compartmentId")?.to_owned();
    let mut balancer = books.create(Kind::LoadBalancer, &format!("{compartment} {name}"), body);
    let id = balancer.id().to_owned();
    let groups = balancer.array("networkSecurityGroupIds").to_vec();
    let mut addresses = Vec::new();
    for subnet in input.texts("subnetIds")? {
        let holder = Holder {
            id: &id,
            compartment: &compartment,
            name: &format!("VNIC for LB {id}"),
            public: !private,
            groups: &groups,
        };
        let vnic = address::attach(books, subnet, holder)?;
        let address = if private {
            vnic.str("privateIp").to_owned()
        } else {
            loopback(books, &id)
        };
        addresses.push(json!({"ipAddress": address, "isPublic": !private}));
        if !private {
            break;
        }
    }
    balancer.set_note("addresses", addresses);
    books.put(Kind::LoadBalancer, &mut balancer);
    let request = open(
        books,
        &balancer,
        Kind::LoadBalancer,
        "CreateLoadBalancer",
        (25_000, 50_000),
    );
    Ok((balancer, request))
}

/// `UpdateLoadBalancer`.
pub(super) fn update(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let mut balancer = books.get_live(Kind::LoadBalancer, call.id())?;
    call.check_match(books, &balancer)?;
    let input = call.input();
    input.flag("isDeleteProtectionEnabled")?;
    let fields = ["displayName", "isDeleteProtectionEnabled"];
    input.copy(&fields, &mut balancer.body);
    input.copy_tags(&mut balancer.body)?;
    books.put(Kind::LoadBalancer, &mut balancer);
    let request = open(
        books,
        &balancer,
        Kind::LoadBalancer,
        "UpdateLoadBalancer",
        (3_000, 8_000),
    );
    Ok(Answer::accepted(&request))
}

/// `DeleteLoadBalancer`.
pub(super) fn delete(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let balancer = books.get_live(Kind::LoadBalancer, call.id())?;
    call.check_match(books, &balancer)?;
    let request = remove(books, balancer)?;
    Ok(Answer::accepted(&request))
}

/// Starts to delete a load balancer; also for the cloud controller.
pub(super) fn remove(books: &mut Ledger<'_, '_>, mut balancer: Doc) -> Result<String, ApiError> {
    if balancer.body.get("isDeleteProtectionEnabled") == Some(&true.into()) {
        let why = format!("Load balancer {} has delete protection", balancer.id());
        return Err(ApiError::conflict(why));
    }
    if balancer.state() == "DELETING" {
        let why = format!("Load balancer {} is being deleted", balancer.id());
        return Err(ApiError::incorrect_state(why));
    }
    balancer.set("lifecycleState", "DELETING");
    books.put(Kind::LoadBalancer, &mut balancer);
    Ok(open(
        books,
        &balancer,
        Kind::LoadBalancer,
        "DeleteLoadBalancer",
        (20_000, 60_000),
    ))
}

/// Opens a work request of the balancer's service, which ends by itself.
fn open(
    books: &mut Ledger<'_, '_>,
    balancer: &Doc,
    kind: Kind,
    operation: &str,
    (low, high): (u64, u64),
) -> String {
    let (record, body) = match kind {
        Kind::Nlb => (
            Kind::NlbWorkRequest,
            json!({
                "operationType": operation,
                "status": "IN_PROGRESS",
                "compartmentId": balancer.str("compartmentId"),
                "resources": [{
                    "entityType": "networkloadbalancer",
                    "actionType": "IN_PROGRESS",
                    "identifier": balancer.id(),
                    "entityUri": format!("/networkLoadBalancers/{}", balancer.id()),
                }],
                "percentComplete": 0.0,
                "timeAccepted": books.now(),
                "timeStarted": books.now(),
            }),
        ),
        _ => (
            Kind::LbWorkRequest,
            json!({
                "type": operation,
                "lifecycleState": "IN_PROGRESS",
                "compartmentId": balancer.str("compartmentId"),
                "loadBalancerId": balancer.id(),
                "message": "",
                "errorDetails": [],
                "timeAccepted": books.now(),
            }),
        ),
    };
    let body = body.as_object().cloned().unwrap_or_default();
    let subject = format!("{operation} {}", balancer.id());
    let mut request = books.create(record, &subject, body);
    request.set_note("balancer", balancer.id());
    request.set_note("operation", operation);
    books.put(record, &mut request);
    let id = request.id().to_owned();
    let takes = books.draw_ms(&format!("takes {id}"), low, high);
    let event = Event::Done {
        kind: record,
        request: id.clone(),
    };
    books.after(takes, &event);
    id
}

/// A work request of these services, or of identity, ends.
pub(super) fn done(books: &mut Ledger<'_, '_>, kind: Kind, id: &str) {
    let Some(mut request) = books.live(kind, id) else {
        return;
    };
    let of = match kind {
        Kind::IamWorkRequest => return identity::compartment_done(books, request),
        Kind::NlbWorkRequest => Kind::Nlb,
        _ => Kind::LoadBalancer,
    };
    if kind == Kind::NlbWorkRequest {
        request.set("status", "SUCCEEDED");
        request.set("percentComplete", 100.0);
    } else {
        request.set("lifecycleState", "SUCCEEDED");
        request.set("message", "OK");
    }
    request.set("timeFinished", books.now());
    books.put(kind, &mut request);
    let Some(mut balancer) = books.live(of, request.note("balancer")) else {
        return;
    };
    if request
        .note("operation")
        .to_ascii_uppercase()
        .starts_with("DELETE")
    {
        address::release(books, balancer.id());
        books.bury(of, &mut balancer);
        return;
    }
    if balancer.state() == "CREATING" {
        balancer.set("lifecycleState", "ACTIVE");
        let addresses = balancer.hidden.get("addresses").cloned();
        balancer.set("ipAddresses", addresses.unwrap_or_default());
        books.put(of, &mut balancer);
    }
}

/// The public address of a balancer: in this world one of the loopback
/// addresses, so that what it serves can really be reached. Systems that have
/// only one give all balancers that one. Worlds of one seed may run side by
/// side, so where a world lives has its part in it.
fn loopback(books: &Ledger<'_, '_>, id: &str) -> String {
    let subject = format!("address of {id} in {}", books.world.dir.display());
    let draw = books.world.draw(&subject).to_le_bytes();
    let [a, b, c, ..] = draw.map(|byte| byte % 250 + 2);
    let drawn = std::net::Ipv4Addr::new(127, a, b, c);
    if std::net::TcpListener::bind((drawn, 0)).is_ok() {
        drawn.to_string()
    } else {
        std::net::Ipv4Addr::LOCALHOST.to_string()
    }
}

/// `GetWorkRequest` of the load balancer service.
pub(super) fn work_request(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let request = books.get(Kind::LbWorkRequest, call.id())?;
    Ok(Answer::ok(request.body))
}

/// `ListWorkRequests` of a load balancer.
pub(super) fn work_requests(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let of = |request: &Doc| request.str("loadBalancerId") == call.id();
    let rows = books
        .live_where(Kind::LbWorkRequest, of)
        .into_iter()
        .map(|request| request.body.into())
        .collect();
    listing::page(books, call, rows)
}

/// `ListNetworkLoadBalancers`.
pub(super) fn list_nlbs(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let docs = listing::select(books, call, Kind::Nlb, &["displayName"])?;
    let rows = docs.into_iter().map(|doc| doc.body.into()).collect();
    listing::items(books, call, rows)
}

/// `GetNetworkLoadBalancer`.
pub(super) fn get_nlb(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let balancer = books.get(Kind::Nlb, call.id())?;
    Ok(Answer::doc(books, &balancer))
}

/// `CreateNetworkLoadBalancer`.
pub(super) fn create_nlb(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let input = call.input();
    let compartment = input.need("compartmentId")?;
    identity::compartment(books, compartment)?;
    let name = input.need("displayName")?;
    let subnet = input.need("subnetId")?;
    let count = books.live_where(Kind::Nlb, |_| true).len() as u64;
    limits::check(books, "max-nlb-flexible-count", count + 1)?;
    let private = input.flag("isPrivate")?.unwrap_or(false);
    let mut body = Map::new();
    input.copy(
        &[
            "compartmentId",
            "displayName",
            "subnetId",
            "listeners",
            "backendSets",
        ],
        &mut body,
    );
    input.copy_tags(&mut body)?;
    body.insert("isPrivate".into(), private.into());
    body.insert("ipAddresses".into(), json!([]));
    body.insert("lifecycleState".into(), "CREATING".into());
    body.insert("timeCreated".into(), books.now().into());
    let mut balancer = books.create(Kind::Nlb, &format!("{compartment} {name}"), body);
    let id = balancer.id().to_owned();
    let holder = Holder {
        id: &id,
        compartment,
        name: "VNIC for NLB",
        public: !private,
        groups: &[],
    };
    let vnic = address::attach(books, subnet, holder)?;
    let address = if private {
        vnic.str("privateIp").to_owned()
    } else {
        loopback(books, &id)
    };
    let addresses = json!([{"ipAddress": address, "isPublic": !private}]);
    balancer.set_note("addresses", addresses);
    books.put(Kind::Nlb, &mut balancer);
    let request = open(
        books,
        &balancer,
        Kind::Nlb,
        "CREATE_NETWORK_LOAD_BALANCER",
        (20_000, 40_000),
    );
    let answer = Answer::ok(balancer.body.clone()).with("opc-work-request-id", request);
    Ok(answer.made(Kind::Nlb, &id))
}

/// `DeleteNetworkLoadBalancer`.
pub(super) fn delete_nlb(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let mut balancer = books.get_live(Kind::Nlb, call.id())?;
    call.check_match(books, &balancer)?;
    balancer.set("lifecycleState", "DELETING");
    books.put(Kind::Nlb, &mut balancer);
    let request = open(
        books,
        &balancer,
        Kind::Nlb,
        "DELETE_NETWORK_LOAD_BALANCER",
        (20_000, 60_000),
    );
    Ok(Answer::accepted(&request))
}

/// `GetWorkRequest` of the network load balancer service.
pub(super) fn nlb_work_request(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let request = books.get(Kind::NlbWorkRequest, call.id())?;
    Ok(Answer::ok(request.body))
}
