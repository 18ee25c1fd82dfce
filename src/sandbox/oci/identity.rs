//! Identity: compartments, availability and fault domains, regions, policies
//! and auth tokens.

use serde_json::{Map, Value, json};

use super::call::{Answer, Call, Outcome};
use super::error::ApiError;
use super::events::Event;
use super::ledger::{Doc, Kind, Ledger, REGION};
use super::{limits, listing};

/// A new compartment is invisible everywhere for about this long.
const COMPARTMENT_LAG_MS: (u64, u64) = (12_000, 25_000);

/// A compartment that resources may be in or be listed from; 404 for one that
/// is not visible yet.
pub(super) fn compartment(books: &Ledger<'_, '_>, id: &str) -> Result<Doc, ApiError> {
    let doc = books.get(Kind::Compartment, id)?;
    if doc.listed_from > books.age || !doc.is_live() {
        return Err(ApiError::not_found(id));
    }
    Ok(doc)
}

/// `ListAvailabilityDomains`.
pub(super) fn availability_domains(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let compartment = compartment(books, call.need_param("compartmentId")?)?;
    let rows: Vec<Value> = books
        .account
        .domains()
        .iter()
        .map(|name| {
            let unique = books.world.letters(&format!("ad {name}"), 56);
            let id = format!("ocid1.availabilitydomain.oc1..aaaa{unique}");
            json!({"id": id, "name": name, "compartmentId": compartment.id()})
        })
        .collect();
    Ok(Answer::ok(rows))
}

/// `ListFaultDomains`.
pub(super) fn fault_domains(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let compartment = compartment(books, call.need_param("compartmentId")?)?;
    let domain = call.need_param("availabilityDomain")?;
    check_domain(books, domain)?;
    let rows: Vec<Value> = fault_domain_names()
        .iter()
        .map(|name| {
            let unique = books.world.letters(&format!("fd {domain} {name}"), 56);
            json!({
                "id": format!("ocid1.faultdomain.oc1..aaaa{unique}"),
                "name": name,
                "availabilityDomain": domain,
                "compartmentId": compartment.id(),
            })
        })
        .collect();
    Ok(Answer::ok(rows))
}

/// The fault domains that every availability domain has.
pub(super) fn fault_domain_names() -> [String; 3] {
    [1, 2, 3].map(|n| format!("FAULT-DOMAIN-{n}"))
}

/// Fails for a name that is no availability domain of the tenancy.
pub(super) fn check_domain(books: &Ledger<'_, '_>, name: &str) -> Result<(), ApiError> {
    if books.account.domains().iter().any(|domain| domain == name) {
        return Ok(());
    }
    let why = format!("{name} is not an availability domain of this tenancy");
    Err(ApiError::invalid(why))
}

/// `ListRegions`.
#[expect(clippy::unnecessary_wraps, reason = "operations have one signature")]
pub(super) fn regions(_: &mut Ledger<'_, '_>, _: &Call<'_>) -> Outcome {
    Ok(Answer::ok(json!([
        {"key": "AMS", "name": "eu-amsterdam-1"},
        {"key": "FRA", "name": REGION},
        {"key": "IAD", "name": "us-ashburn-1"},
    ])))
}

/// `ListRegionSubscriptions`.
pub(super) fn region_subscriptions(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    own_tenancy(books, call.id())?;
    Ok(Answer::ok(json!([{
        "regionKey": "FRA",
        "regionName": REGION,
        "status": "READY",
        "isHomeRegion": true,
    }])))
}

/// `GetTenancy`.
pub(super) fn tenancy(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    own_tenancy(books, call.id())?;
    Ok(Answer::ok(json!({
        "id": books.account.tenancy,
        "name": "todoctl-sandbox",
        "description": "",
        "homeRegionKey": "FRA",
        "freeformTags": {},
        "definedTags": {},
    })))
}

/// `GetUser`.
pub(super) fn user(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    own_user(books, call.id())?;
    Ok(Answer::ok(json!({
        "id": books.account.user,
        "compartmentId": books.account.tenancy,
        "name": "sandbox@example.com",
        "description": "The administrator of the sandbox",
        "timeCreated": books.time_at(0),
        "lifecycleState": "ACTIVE",
        "isMfaActivated": false,
        "freeformTags": {},
        "definedTags": {},
    })))
}

/// `ListApiKeys`.
pub(super) fn api_keys(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    own_user(books, call.id())?;
    Ok(Answer::ok(json!([{
        "keyId": books.account.key_id(),
        "fingerprint": books.account.fingerprint,
        "userId": books.account.user,
        "timeCreated": books.time_at(0),
        "lifecycleState": "ACTIVE",
    }])))
}

fn own_tenancy(books: &Ledger<'_, '_>, id: &str) -> Result<(), ApiError> {
    let own = id == books.account.tenancy;
    own.then_some(()).ok_or_else(|| ApiError::not_found(id))
}

fn own_user(books: &Ledger<'_, '_>, id: &str) -> Result<(), ApiError> {
    let own = id == books.account.user;
    own.then_some(()).ok_or_else(|| ApiError::not_found(id))
}

/// `ListCompartments`.
pub(super) fn list_compartments(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let parent = call.need_param("compartmentId")?;
    compartment(books, parent)?;
    let request = call.request;
    let subtree = request.param("compartmentIdInSubtree") == Some("true");
    if subtree && parent != books.account.tenancy {
        let why = "compartmentIdInSubtree is only allowed for the root compartment";
        return Err(ApiError::invalid(why));
    }
    let rows = books
        .all(Kind::Compartment)
        .into_iter()
        .filter(|doc| doc.id() != books.account.tenancy)
        .filter(|doc| subtree || doc.str("compartmentId") == parent)
        .filter(|doc| listing::is_listed(books, doc))
        .filter(|doc| listing::matches(request, doc, &["name"]))
        .map(|doc| doc.body.into())
        .collect();
    listing::page(books, call, rows)
}

/// `GetCompartment`.
pub(super) fn get_compartment(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let doc = books.get(Kind::Compartment, call.id())?;
    if doc.listed_from > books.age {
        return Err(ApiError::not_found(call.id()));
    }
    Ok(Answer::doc(books, &doc))
}

/// `CreateCompartment`.
pub(super) fn create_compartment(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let input = call.input();
    let parent = input.need("compartmentId")?;
    let name = input.need("name")?;
    input.need("description")?;
    compartment(books, parent)?;
    let siblings = books.live_where(Kind::Compartment, |doc| doc.str("compartmentId") == parent);
    if siblings.iter().any(|doc| doc.str("name") == name) {
        return Err(ApiError::already_exists(&format!("Compartment '{name}'")));
    }
    limits::check(books, "compartment-count", 1)?;
    let mut body = Map::new();
    input.copy(&["compartmentId", "name", "description"], &mut body);
    input.copy_tags(&mut body)?;
    body.insert("timeCreated".into(), books.now().into());
    body.insert("lifecycleState".into(), "ACTIVE".into());
    body.insert("isAccessible".into(), true.into());
    let mut doc = books.create(Kind::Compartment, &format!("{parent} {name}"), body);
    let (low, high) = COMPARTMENT_LAG_MS;
    doc.listed_from = books.age + books.draw_ms(&format!("lag {}", doc.id()), low, high);
    books.put(Kind::Compartment, &mut doc);
    Ok(Answer::doc(books, &doc).made(Kind::Compartment, doc.id()))
}

/// `UpdateCompartment`.
pub(super) fn update_compartment(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let mut doc = compartment(books, call.id())?;
    call.check_match(books, &doc)?;
    let input = call.input();
    input.copy(&["name", "description"], &mut doc.body);
    input.copy_tags(&mut doc.body)?;
    books.put(Kind::Compartment, &mut doc);
    Ok(Answer::doc(books, &doc))
}

/// `DeleteCompartment`.
pub(super) fn delete_compartment(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let mut doc = compartment(books, call.id())?;
    call.check_match(books, &doc)?;
    if doc.id() == books.account.tenancy {
        return Err(ApiError::invalid("The root compartment cannot be deleted"));
    }
    if doc.state() != "ACTIVE" {
        let why = format!("Compartment {} is {}", doc.id(), doc.state());
        return Err(ApiError::incorrect_state(why));
    }
    let held = Kind::ALL.into_iter().filter(|kind| !kind.is_record());
    for kind in held {
        let inside = |other: &Doc| other.str("compartmentId") == doc.id();
        if let Some(other) = books.live_where(kind, inside).first() {
            let why = format!("Compartment is not empty: it holds {}", other.id());
            return Err(ApiError::conflict(why));
        }
    }
    doc.set("lifecycleState", "DELETING");
    books.put(Kind::Compartment, &mut doc);
    let body = json!({
        "operationType": "DELETE_COMPARTMENT",
        "status": "IN_PROGRESS",
        "compartmentId": doc.str("compartmentId"),
        "resources": [{
            "identifier": doc.id(),
            "entityType": "compartment",
            "actionType": "IN_PROGRESS",
            "entityUri": format!("/compartments/{}", doc.id()),
        }],
        "percentComplete": 0.0,
        "timeAccepted": books.now(),
        "timeStarted": books.now(),
        "errors": [],
        "logs": [],
    });
    let Value::Object(body) = body else {
        return Err(ApiError::cannot_parse("no work request"));
    };
    let kind = Kind::IamWorkRequest;
    let request = books.create(kind, &format!("delete {}", doc.id()), body);
    let takes = books.draw_ms(&format!("takes {}", request.id()), 60_000, 240_000);
    let event = Event::Done {
        kind,
        request: request.id().to_owned(),
    };
    books.after(takes, &event);
    Ok(Answer::accepted(request.id()))
}

/// A compartment's deletion ends.
pub(super) fn compartment_done(books: &mut Ledger<'_, '_>, mut request: Doc) {
    let id = request.body["resources"][0]["identifier"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    if let Some(mut doc) = books.live(Kind::Compartment, &id) {
        let name = format!("{}.{}", doc.str("name"), books.world.letters(&id, 6));
        doc.set("name", name);
        books.bury(Kind::Compartment, &mut doc);
    }
    request.set("status", "SUCCEEDED");
    request.set("percentComplete", 100.0);
    request.set("timeFinished", books.now());
    if let Some(Value::Array(resources)) = request.body.get_mut("resources") {
        for resource in resources {
            resource["actionType"] = "DELETED".into();
        }
    }
    books.put(Kind::IamWorkRequest, &mut request);
}

/// `ListPolicies`.
pub(super) fn list_policies(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    listing::list(books, call, Kind::Policy, &["name"])
}

/// `CreatePolicy`.
pub(super) fn create_policy(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let input = call.input();
    let parent = input.need("compartmentId")?;
    let name = input.need("name")?;
    input.need("description")?;
    compartment(books, parent)?;
    if input.need_array("statements")?.is_empty() {
        return Err(ApiError::missing("statements"));
    }
    let mut body = Map::new();
    input.copy(
        &["compartmentId", "name", "description", "statements"],
        &mut body,
    );
    input.copy_tags(&mut body)?;
    body.insert("timeCreated".into(), books.now().into());
    body.insert("lifecycleState".into(), "ACTIVE".into());
    let doc = books.create(Kind::Policy, &format!("{parent} {name}"), body);
    Ok(Answer::doc(books, &doc).made(Kind::Policy, doc.id()))
}

/// `GetPolicy`.
pub(super) fn get_policy(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let policy = books.get(Kind::Policy, call.id())?;
    Ok(Answer::doc(books, &policy))
}

/// `DeletePolicy`.
pub(super) fn delete_policy(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let mut policy = books.get_live(Kind::Policy, call.id())?;
    call.check_match(books, &policy)?;
    books.bury(Kind::Policy, &mut policy);
    Ok(Answer::no_content())
}

/// `GetWorkRequest` of identity.
pub(super) fn work_request(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let request = books.get(Kind::IamWorkRequest, call.id())?;
    Ok(Answer::doc(books, &request))
}

/// `ListAuthTokens`.
pub(super) fn list_auth_tokens(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    own_user(books, call.id())?;
    let rows: Vec<Value> = books
        .live_where(Kind::AuthToken, |_| true)
        .into_iter()
        .map(|doc| doc.body.into())
        .collect();
    Ok(Answer::ok(rows))
}

/// `CreateAuthToken`: the only answer that shows the token.
pub(super) fn create_auth_token(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    own_user(books, call.id())?;
    let description = call.input().need("description")?;
    if books.live_where(Kind::AuthToken, |_| true).len() >= 2 {
        return Err(ApiError::limit_exceeded(
            "A user may have at most 2 auth tokens",
        ));
    }
    let mut body = Map::new();
    body.insert("userId".into(), books.account.user.clone().into());
    body.insert("description".into(), description.into());
    body.insert("timeCreated".into(), books.now().into());
    body.insert("lifecycleState".into(), "ACTIVE".into());
    let doc = books.create(Kind::AuthToken, description, body);
    let token = books.world.letters(&format!("token {}", doc.id()), 20);
    let mut answer = Answer::doc(books, &doc).made(Kind::AuthToken, doc.id());
    if let Some(Value::Object(body)) = &mut answer.body {
        body.insert("token".into(), token.into());
    }
    Ok(answer)
}

/// `DeleteAuthToken`.
pub(super) fn delete_auth_token(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    own_user(books, call.id())?;
    let mut doc = books.get_live(Kind::AuthToken, call.segment(4))?;
    books.bury(Kind::AuthToken, &mut doc);
    Ok(Answer::no_content())
}
