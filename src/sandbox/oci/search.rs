//! Resource Search: the structured queries that find resources by tag. Its
//! index lags behind by minutes, as the real one does.

use serde_json::{Value, json};

use super::call::{Call, Outcome};
use super::error::ApiError;
use super::ledger::{Doc, Kind, Ledger};
use super::listing;

/// How long the index takes to see a new or a deleted resource.
const LAG_MS: u64 = 180_000;

/// What the service finds, and how it calls them.
const TYPES: [(Kind, &str); 16] = [
    (Kind::Compartment, "Compartment"),
    (Kind::Vcn, "Vcn"),
    (Kind::InternetGateway, "InternetGateway"),
    (Kind::NatGateway, "NatGateway"),
    (Kind::ServiceGateway, "ServiceGateway"),
    (Kind::RouteTable, "RouteTable"),
    (Kind::SecurityList, "SecurityList"),
    (Kind::SecurityGroup, "NetworkSecurityGroup"),
    (Kind::Subnet, "Subnet"),
    (Kind::PublicIp, "PublicIp"),
    (Kind::Cluster, "ClustersCluster"),
    (Kind::NodePool, "ClustersNodePool"),
    (Kind::Instance, "Instance"),
    (Kind::BootVolume, "BootVolume"),
    (Kind::Volume, "Volume"),
    (Kind::LoadBalancer, "LoadBalancer"),
];

/// `SearchResources`.
pub(super) fn resources(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let input = call.input();
    let text = match input.need("type")? {
        "Structured" => input.need("query")?,
        "FreeText" => input.need("text")?,
        other => {
            let why = format!("type must be Structured or FreeText, not {other}");
            return Err(ApiError::invalid(why));
        }
    };
    let query = Query::parse(text)
        .ok_or_else(|| ApiError::invalid(format!("query cannot be parsed: {text}")))?;
    let mut rows = Vec::new();
    for (kind, name) in TYPES {
        if !query.wants(name) {
            continue;
        }
        for doc in books.all(kind) {
            let seen = doc.born + LAG_MS <= books.age;
            let forgotten = doc.gone.is_some_and(|gone| gone + LAG_MS <= books.age);
            if seen && !forgotten && query.matches(&doc) {
                rows.push(row(&doc, name));
            }
        }
    }
    listing::items(books, call, rows)
}

fn row(doc: &Doc, name: &str) -> Value {
    let display = match doc.str("displayName") {
        "" => doc.str("name"),
        display => display,
    };
    json!({
        "resourceType": name,
        "identifier": doc.id(),
        "compartmentId": doc.str("compartmentId"),
        "displayName": display,
        "availabilityDomain": doc.body.get("availabilityDomain"),
        "lifecycleState": doc.state(),
        "timeCreated": doc.body.get("timeCreated"),
        "freeformTags": doc.body.get("freeformTags"),
        "definedTags": {},
        "systemTags": doc.body.get("systemTags"),
    })
}

/// `query RESOURCES resources [where FIELD = 'VALUE' && …]`.
#[derive(Debug, PartialEq, Eq)]
struct Query {
    types: Vec<String>,
    terms: Vec<(String, bool, String)>,
}

impl Query {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let lower = text.to_ascii_lowercase();
        let rest = lower.strip_prefix("query ")?;
        let types_end = rest.find("resource")?;
        let types = rest
            .get(..types_end)?
            .split(',')
            .map(|t| t.trim().to_owned());
        let types = types.filter(|t| !t.is_empty()).collect();
        let Some(at) = lower.find(" where ") else {
            return Some(Self {
                types,
                terms: Vec::new(),
            });
        };
        let terms: Option<Vec<_>> = text
            .get(at + " where ".len()..)?
            .split("&&")
            .map(parse_term)
            .collect();
        Some(Self {
            types,
            terms: terms?,
        })
    }

    fn wants(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        self.types
            .iter()
            .any(|wanted| *wanted == "all" || *wanted == name)
    }

    fn matches(&self, doc: &Doc) -> bool {
        self.terms
            .iter()
            .all(|(field, equal, value)| field_is(doc, field, value) == *equal)
    }
}

fn parse_term(text: &str) -> Option<(String, bool, String)> {
    let text = text.trim().trim_matches(['(', ')']);
    let (field, value, equal) = if let Some((field, value)) = text.split_once("!=") {
        (field, value, false)
    } else {
        let (field, value) = text.split_once('=')?;
        (field, value, true)
    };
    let value = value.trim().trim_matches(['\'', '"']);
    Some((field.trim().to_owned(), equal, value.to_owned()))
}

fn field_is(doc: &Doc, field: &str, value: &str) -> bool {
    let tags = doc.body.get("freeformTags").and_then(Value::as_object);
    match field {
        "freeformTags.key" => tags.is_some_and(|tags| tags.contains_key(value)),
        "freeformTags.value" => tags.is_some_and(|tags| tags.values().any(|v| v == value)),
        "identifier" => doc.id() == value,
        "displayName" if doc.str(field).is_empty() => doc.str("name") == value,
        "lifecycleState" => doc.state().eq_ignore_ascii_case(value),
        field => doc.str(field) == value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_parse() {
        let query = Query::parse(
            "query all resources where freeformTags.key = 'todoctl' && lifecycleState != 'DELETED'",
        )
        .unwrap();
        assert!(query.wants("Vcn"));
        assert_eq!(
            query.terms,
            [
                ("freeformTags.key".into(), true, "todoctl".into()),
                ("lifecycleState".into(), false, "DELETED".into()),
            ]
        );
        let some = Query::parse("query vcn, subnet resources").unwrap();
        assert!(some.wants("Subnet") && !some.wants("Instance"));
        assert_eq!(Query::parse("select all"), None);
    }
}
