//! A cluster's own API: topics, users and rules of the broker behind it.

use std::collections::BTreeMap;

use http::StatusCode;
use serde_json::{Value, json};

use super::super::http::Request;
use super::super::kafka::acl::{Acl, Filter, Operation, Pattern, Resource};
use super::super::kafka::topics::{CONFIGS, NewTopic, Topic, TopicError};
use super::super::kafka::{Broker, Code, Mechanism};
use super::error::Refusal;
use super::{Answer, body, page, text};

/// What a serverless cluster may have at most.
const MOST_USERS: usize = 30;
const MOST_ACLS: usize = 120;

/// Answers a request about a cluster.
pub fn answer(broker: &Broker, request: &Request) -> Answer {
    let segments = request.segments();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    match (request.method.as_str(), segments.as_slice()) {
        ("GET", ["v1", "topics"]) => Ok(list_topics(broker, request)),
        ("POST", ["v1", "topics"]) => create_topic(broker, request),
        ("DELETE", ["v1", "topics", name]) => match broker.delete_topic(name) {
            true => Ok((StatusCode::NO_CONTENT, Value::Null)),
            false => Err(Refusal::not_found("topic")),
        },
        ("GET", ["v1", "topics", name, "configurations"]) => configurations(broker, name),
        (method @ ("PUT" | "PATCH"), ["v1", "topics", name, "configurations"]) => {
            configure(broker, name, request, method == "PUT")
        }
        (method @ ("PUT" | "PATCH"), ["v1", "topics", name, "partitions"]) => {
            grow(broker, name, request, method == "PUT")
        }
        ("GET", ["v1", "users"]) => Ok(list_users(broker, request)),
        ("POST", ["v1", "users"]) => create_user(broker, request),
        ("PUT", ["v1", "users", name]) => update_user(broker, name, request),
        ("DELETE", ["v1", "users", name]) => match broker.users.remove(name) {
            true => Ok((StatusCode::NO_CONTENT, Value::Null)),
            false => Err(Refusal::not_found("user")),
        },
        ("GET", ["v1", "acls"]) => {
            let found = broker.acls.list(&filter(request)?);
            Ok((
                StatusCode::OK,
                json!({"resources": by_resource(&found), "next_page_token": ""}),
            ))
        }
        ("POST", ["v1", "acls"]) => create_acl(broker, request),
        ("DELETE", ["v1", "acls"]) => delete_acls(broker, request),
        _ => Err(Refusal::not_found("resource")),
    }
}

fn refusal(error: TopicError) -> Refusal {
    let code = match error.code {
        Code::TopicAlreadyExists => "ALREADY_EXISTS",
        Code::UnknownTopicOrPartition => "NOT_FOUND",
        Code::KafkaStorage => "INTERNAL",
        _ => "INVALID_ARGUMENT",
    };
    Refusal::new(code, "REASON_KAFKA_API_ERROR", error.why)
}

fn topic(broker: &Broker, name: &str) -> Result<std::sync::Arc<Topic>, Refusal> {
    let found = broker.topics.get(name);
    found.ok_or_else(|| Refusal::not_found("topic"))
}

fn list_topics(broker: &Broker, request: &Request) -> (StatusCode, Value) {
    let part = request.param("filter.name_contains").unwrap_or_default();
    let all = broker.topics.all().into_iter();
    let shown = all.filter(|topic| topic.name.contains(part)).map(|topic| {
        json!({
            "name": topic.name,
            "internal": false,
            "partition_count": topic.partitions(),
            "replication_factor": topic.replicas,
        })
    });
    page(request, "topics", shown.collect())
}

fn create_topic(broker: &Broker, request: &Request) -> Answer {
    let body = body(request)?;
    let number = |field: &str| body[field].as_i64().unwrap_or(-1);
    let configs = body["configs"].as_array().into_iter().flatten();
    let pair = |config: &Value| {
        let value = config["value"].as_str().unwrap_or_default().to_owned();
        Some((config["name"].as_str()?.to_owned(), value))
    };
    let new = NewTopic {
        name: text(&body, "name")?.to_owned(),
        partitions: i32::try_from(number("partition_count")).unwrap_or(i32::MAX),
        replicas: i16::try_from(number("replication_factor")).unwrap_or(i16::MAX),
        configs: configs.filter_map(pair).collect::<BTreeMap<_, _>>(),
    };
    let only_check = request.param("validate_only") == Some("true");
    broker.topics.create(&new, only_check).map_err(refusal)?;
    let made = broker.topics.get(&new.name);
    let (partitions, replicas) = made.map_or((new.partitions.max(1), 3), |topic| {
        (topic.partitions(), topic.replicas)
    });
    Ok((
        StatusCode::CREATED,
        json!({
            "topic_name": new.name,
            "partition_count": partitions,
            "replication_factor": replicas,
        }),
    ))
}

fn configurations(broker: &Broker, name: &str) -> Answer {
    let topic = topic(broker, name)?;
    let shown: Vec<_> = CONFIGS
        .iter()
        .map(|(key, _)| {
            let own = topic.configs.contains_key(*key);
            json!({
                "name": key,
                "value": topic.config(key),
                "source": match own {
                    true => "CONFIG_SOURCE_DYNAMIC_TOPIC_CONFIG",
                    false => "CONFIG_SOURCE_DEFAULT_CONFIG",
                },
                "read_only": false,
                "sensitive": false,
            })
        })
        .collect();
    Ok((StatusCode::OK, json!({ "configurations": shown })))
}

fn configure(broker: &Broker, name: &str, request: &Request, all: bool) -> Answer {
    let held = topic(broker, name)?;
    let body = body(request)?;
    let asked = body
        .as_array()
        .ok_or_else(|| Refusal::invalid("an array of configurations is wanted"))?;
    let mut changes: Vec<(String, Option<String>)> = Vec::new();
    if all {
        changes.extend(held.configs.keys().map(|key| (key.clone(), None)));
    }
    for one in asked {
        let deletes = one["operation"] == "CONFIG_ALTER_OPERATION_DELETE";
        let value = one["value"].as_str().map(str::to_owned);
        let value = value.filter(|_| !deletes);
        changes.push((text(one, "name")?.to_owned(), value));
    }
    broker
        .topics
        .configure(name, &changes, false)
        .map_err(refusal)?;
    configurations(broker, name)
}

fn grow(broker: &Broker, name: &str, request: &Request, total: bool) -> Answer {
    let held = topic(broker, name)?;
    let body = body(request)?;
    let wanted = body["partition_count"].as_i64().unwrap_or(0);
    let wanted = i32::try_from(wanted).unwrap_or(i32::MAX);
    let count = match total {
        true => wanted,
        false => held.partitions().saturating_add(wanted),
    };
    broker.topics.grow(name, count, false).map_err(refusal)?;
    Ok((StatusCode::OK, json!({})))
}

fn mechanism(body: &Value) -> Result<Mechanism, Refusal> {
    match text(body, "mechanism")? {
        "SASL_MECHANISM_SCRAM_SHA_256" => Ok(Mechanism::Sha256),
        "SASL_MECHANISM_SCRAM_SHA_512" => Ok(Mechanism::Sha512),
        other => Err(Refusal::invalid(format!(
            "mechanism: {other} is not defined"
        ))),
    }
}

fn user(name: &str, mechanisms: &[Mechanism]) -> Value {
    let shown = mechanisms.first().map(|mechanism| match mechanism {
        Mechanism::Sha512 => "SASL_MECHANISM_SCRAM_SHA_512",
        _ => "SASL_MECHANISM_SCRAM_SHA_256",
    });
    json!({"name": name, "mechanism": shown})
}

fn list_users(broker: &Broker, request: &Request) -> (StatusCode, Value) {
    let wanted = request.param("filter.name");
    let part = request.param("filter.name_contains").unwrap_or_default();
    let all = broker.users.list().into_iter();
    let shown = all
        .filter(|(name, _)| wanted.is_none_or(|wanted| wanted == name) && name.contains(part))
        .map(|(name, mechanisms)| user(&name, &mechanisms));
    page(request, "users", shown.collect())
}

fn create_user(broker: &Broker, request: &Request) -> Answer {
    let body = body(request)?;
    let name = text(&body, "name")?;
    let (password, mechanism) = (text(&body, "password")?, mechanism(&body)?);
    let users = broker.users.list();
    if users.iter().any(|(held, _)| held == name) {
        return Err(Refusal::new(
            "ALREADY_EXISTS",
            "REASON_REDPANDA_ADMIN_API_ERROR",
            format!("user {name} already exists"),
        ));
    }
    if users.len() >= MOST_USERS {
        return Err(exhausted("users"));
    }
    broker.users.set(name, password, &[mechanism]);
    Ok((StatusCode::CREATED, user(name, &[mechanism])))
}

fn update_user(broker: &Broker, name: &str, request: &Request) -> Answer {
    if !broker.users.list().iter().any(|(held, _)| held == name) {
        return Err(Refusal::not_found("user"));
    }
    let body = body(request)?;
    let (password, mechanism) = (text(&body, "password")?, mechanism(&body)?);
    broker.users.set(name, password, &[mechanism]);
    Ok((StatusCode::OK, user(name, &[mechanism])))
}

fn exhausted(what: &str) -> Refusal {
    Refusal::new(
        "RESOURCE_EXHAUSTED",
        "REASON_INSUFFICIENT_QUOTA",
        format!("the cluster's quota of {what} is used up"),
    )
}

const RESOURCES: [(&str, Resource); 4] = [
    ("RESOURCE_TYPE_TOPIC", Resource::Topic),
    ("RESOURCE_TYPE_GROUP", Resource::Group),
    ("RESOURCE_TYPE_CLUSTER", Resource::Cluster),
    ("RESOURCE_TYPE_TRANSACTIONAL_ID", Resource::TransactionalId),
];
const PATTERNS: [(&str, Pattern); 2] = [
    ("RESOURCE_PATTERN_TYPE_LITERAL", Pattern::Literal),
    ("RESOURCE_PATTERN_TYPE_PREFIXED", Pattern::Prefixed),
];
const OPERATIONS: [(&str, Operation); 11] = [
    ("OPERATION_ALL", Operation::All),
    ("OPERATION_READ", Operation::Read),
    ("OPERATION_WRITE", Operation::Write),
    ("OPERATION_CREATE", Operation::Create),
    ("OPERATION_DELETE", Operation::Delete),
    ("OPERATION_ALTER", Operation::Alter),
    ("OPERATION_DESCRIBE", Operation::Describe),
    ("OPERATION_CLUSTER_ACTION", Operation::ClusterAction),
    ("OPERATION_DESCRIBE_CONFIGS", Operation::DescribeConfigs),
    ("OPERATION_ALTER_CONFIGS", Operation::AlterConfigs),
    ("OPERATION_IDEMPOTENT_WRITE", Operation::IdempotentWrite),
];
const PERMISSIONS: [(&str, bool); 2] = [
    ("PERMISSION_TYPE_ALLOW", true),
    ("PERMISSION_TYPE_DENY", false),
];

/// The value of an enum's name. `…_UNSPECIFIED` and `…_ANY` are none.
fn of<T: Copy>(table: &[(&str, T)], name: &str) -> Result<Option<T>, Refusal> {
    if name.is_empty() || name.ends_with("_UNSPECIFIED") || name.ends_with("_ANY") {
        return Ok(None);
    }
    let found = table.iter().find(|(known, _)| *known == name);
    let found = found.ok_or_else(|| Refusal::invalid(format!("{name} is not defined")))?;
    Ok(Some(found.1))
}

/// The value of a field that must name one.
fn required<T: Copy>(table: &[(&str, T)], body: &Value, field: &str) -> Result<T, Refusal> {
    let found = of(table, text(body, field)?)?;
    found.ok_or_else(|| Refusal::invalid(format!("{field}: value is required")))
}

fn name_of<T: PartialEq>(table: &[(&'static str, T)], value: &T) -> &'static str {
    let found = table.iter().find(|(_, known)| known == value);
    found.map_or("", |(name, _)| name)
}

fn create_acl(broker: &Broker, request: &Request) -> Answer {
    let body = body(request)?;
    let acl = Acl {
        resource: required(&RESOURCES, &body, "resource_type")?,
        name: text(&body, "resource_name")?.to_owned(),
        pattern: required(&PATTERNS, &body, "resource_pattern_type")?,
        principal: text(&body, "principal")?.to_owned(),
        host: text(&body, "host")?.to_owned(),
        operation: required(&OPERATIONS, &body, "operation")?,
        allow: required(&PERMISSIONS, &body, "permission_type")?,
    };
    let held = broker.acls.list(&Filter::default());
    if held.len() >= MOST_ACLS && !held.contains(&acl) {
        return Err(exhausted("ACLs"));
    }
    broker.acls.add(&acl);
    Ok((StatusCode::CREATED, json!({})))
}

fn filter(request: &Request) -> Result<Filter, Refusal> {
    let param = |name: &str| request.param(&format!("filter.{name}"));
    let word = |name: &str| param(name).unwrap_or_default();
    let own = |name: &str| param(name).map(str::to_owned);
    Ok(Filter {
        resource: of(&RESOURCES, word("resource_type"))?,
        name: own("resource_name"),
        pattern: of(&PATTERNS, word("resource_pattern_type"))?,
        covering: false,
        principal: own("principal"),
        host: own("host"),
        operation: of(&OPERATIONS, word("operation"))?,
        allow: of(&PERMISSIONS, word("permission_type"))?,
    })
}

fn rule(acl: &Acl) -> Value {
    json!({
        "principal": acl.principal,
        "host": acl.host,
        "operation": name_of(&OPERATIONS, &acl.operation),
        "permission_type": name_of(&PERMISSIONS, &acl.allow),
    })
}

fn by_resource(acls: &[Acl]) -> Vec<Value> {
    let mut shown: Vec<Value> = Vec::new();
    for acl in acls {
        let kind = name_of(&RESOURCES, &acl.resource);
        let pattern = name_of(&PATTERNS, &acl.pattern);
        let same = |row: &&mut Value| {
            row["resource_type"] == kind
                && row["resource_name"] == acl.name.as_str()
                && row["resource_pattern_type"] == pattern
        };
        if let Some(rules) = shown
            .iter_mut()
            .find(same)
            .and_then(|row| row["acls"].as_array_mut())
        {
            rules.push(rule(acl));
        } else {
            shown.push(json!({
                "resource_type": kind,
                "resource_name": acl.name,
                "resource_pattern_type": pattern,
                "acls": [rule(acl)],
            }));
        }
    }
    shown
}

fn delete_acls(broker: &Broker, request: &Request) -> Answer {
    for field in [
        "resource_type",
        "resource_pattern_type",
        "operation",
        "permission_type",
    ] {
        if request.param(&format!("filter.{field}")).is_none() {
            let why = format!("filter.{field}: value is required");
            return Err(Refusal::invalid(why));
        }
    }
    let removed = broker.acls.remove(&filter(request)?);
    let shown: Vec<_> = removed
        .iter()
        .map(|acl| {
            let mut row = rule(acl);
            row["resource_type"] = json!(name_of(&RESOURCES, &acl.resource));
            row["resource_name"] = json!(acl.name);
            row["resource_pattern_type"] = json!(name_of(&PATTERNS, &acl.pattern));
            row
        })
        .collect();
    Ok((StatusCode::OK, json!({ "matching_acls": shown })))
}
