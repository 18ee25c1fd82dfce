//! Network security groups and their rules.

use serde_json::{Value, json};

use super::super::call::{Answer, Call, Outcome};
use super::super::error::ApiError;
use super::super::input::Input;
use super::super::ledger::{Doc, Kind, Ledger};
use super::super::listing;
use super::rules::{self, Direction};
use super::{common, parent, settle, subject};

/// Makes a group without rules.
pub(crate) fn create(books: &mut Ledger<'_, '_>, input: &Input<'_>) -> Result<Doc, ApiError> {
    parent(books, input)?;
    let body = common(books, input, "networksecuritygroup")?;
    let subject = subject(&body);
    Ok(settle(books, Kind::SecurityGroup, &subject, body))
}

/// A group goes only when no VNIC is in it.
pub(crate) fn before_delete(books: &Ledger<'_, '_>, doc: &Doc) -> Result<(), ApiError> {
    match members(books, doc.id()).first() {
        Some(vnic) => Err(ApiError::conflict(format!(
            "{} has the VNIC {} in it",
            doc.id(),
            vnic.id()
        ))),
        None => Ok(()),
    }
}

fn members(books: &Ledger<'_, '_>, id: &str) -> Vec<Doc> {
    books.live_where(Kind::Vnic, |vnic| vnic.array_has("nsgIds", id))
}

/// `ListNetworkSecurityGroupVnics`.
pub(crate) fn list_vnics(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    books.get_live(Kind::SecurityGroup, call.id())?;
    let rows = members(books, call.id())
        .into_iter()
        .map(|vnic| json!({"vnicId": vnic.id(), "timeAssociated": vnic.str("timeCreated")}))
        .collect();
    listing::page(books, call, rows)
}

/// `ListNetworkSecurityGroupSecurityRules`.
pub(crate) fn list_rules(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let doc = books.get_live(Kind::SecurityGroup, call.id())?;
    let direction = call.request.param("direction");
    let rows = rules_of(&doc)
        .into_iter()
        .filter(|rule| direction.is_none_or(|wanted| rule["direction"] == wanted))
        .collect();
    listing::page(books, call, rows)
}

/// `AddNetworkSecurityGroupSecurityRules`.
pub(crate) fn add_rules(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let mut doc = books.get_live(Kind::SecurityGroup, call.id())?;
    let mut held = rules_of(&doc);
    let mut added = Vec::new();
    for rule in call.input().need_array("securityRules")? {
        let mut rule = checked(books, rule)?;
        let nth = books.count(&format!("rule {}", doc.id()));
        let drawn = books.world.draw(&format!("rule {} {nth}", doc.id()));
        rule["id"] = format!("{:06X}", drawn & 0xFF_FFFF).into();
        rule["isValid"] = true.into();
        rule["timeCreated"] = books.now().into();
        added.push(rule);
    }
    held.extend(added.iter().cloned());
    if held.len() > 120 {
        let why = "A network security group may hold at most 120 rules";
        return Err(ApiError::limit_exceeded(why));
    }
    doc.set_note("rules", held);
    books.put(Kind::SecurityGroup, &mut doc);
    Ok(Answer::ok(json!({ "securityRules": added })))
}

/// `UpdateNetworkSecurityGroupSecurityRules`.
pub(crate) fn update_rules(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let mut doc = books.get_live(Kind::SecurityGroup, call.id())?;
    let mut held = rules_of(&doc);
    let mut updated = Vec::new();
    for rule in call.input().need_array("securityRules")? {
        let id = Input::within(rule, "securityRules")?.need("id")?;
        let mut new = checked(books, rule)?;
        let old = held
            .iter_mut()
            .find(|held| held["id"] == id)
            .ok_or_else(|| ApiError::invalid(format!("There is no rule {id}")))?;
        for field in ["id", "isValid", "timeCreated"] {
            new[field] = old[field].clone();
        }
        old.clone_from(&new);
        updated.push(new);
    }
    doc.set_note("rules", held);
    books.put(Kind::SecurityGroup, &mut doc);
    Ok(Answer::ok(json!({ "securityRules": updated })))
}

/// `RemoveNetworkSecurityGroupSecurityRules`.
pub(crate) fn remove_rules(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let mut doc = books.get_live(Kind::SecurityGroup, call.id())?;
    let mut held = rules_of(&doc);
    for id in call.input().texts("securityRuleIds")? {
        let at = held.iter().position(|rule| rule["id"] == id);
        let at = at.ok_or_else(|| ApiError::invalid(format!("There is no rule {id}")))?;
        held.remove(at);
    }
    doc.set_note("rules", held);
    books.put(Kind::SecurityGroup, &mut doc);
    Ok(Answer::no_content())
}

fn checked(books: &Ledger<'_, '_>, rule: &Value) -> Result<Value, ApiError> {
    let input = Input::within(rule, "securityRules")?;
    let (direction, name) = match input.need("direction")? {
        "INGRESS" => (Direction::Ingress, "INGRESS"),
        "EGRESS" => (Direction::Egress, "EGRESS"),
        other => {
            let why = format!("direction must be INGRESS or EGRESS, not {other}");
            return Err(ApiError::invalid(why));
        }
    };
    let mut rule = rules::security_rule(books, &input, direction, true)?;
    rule["direction"] = name.into();
    Ok(rule)
}

fn rules_of(doc: &Doc) -> Vec<Value> {
    let rules = doc.hidden.get("rules").and_then(Value::as_array);
    rules.cloned().unwrap_or_default()
}
