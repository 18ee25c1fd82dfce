//! `KafkaUsers`: a password in a Secret, a credential and rules on the broker.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::super::super::api::ApiError;
use super::super::super::kafka::{Acl, Filter, Mechanism, Operation, Pattern, Resource};
use super::super::brokers::Entry;
use super::super::{Process, ids};
use super::conditions::{self, NotReady};
use super::meta;

/// Brings the users of a cluster about.
pub(super) async fn reconcile(
    process: &Process,
    kafka: &Value,
    users: &[Value],
    broker: Option<&Entry>,
) {
    let Some(entry) = broker else { return };
    forget(users, entry);
    for user in users {
        let name = meta(user, "name");
        let state = one(process, kafka, user, entry).await;
        let (state, more) = match &state {
            Ok(()) => (Ok(()), json!({"username": name, "secret": name})),
            Err(why) => (Err(why), json!({})),
        };
        if let Err(error) = conditions::write(process, "kafkausers", user, state, more).await {
            process.log(&format!("ERROR status of user {name}: {}", error.message()));
        }
    }
}

/// Whoever has no resource has no password and no rules.
fn forget(users: &[Value], entry: &Entry) {
    let is_wanted = |name: &str| users.iter().any(|user| meta(user, "name") == name);
    for (name, _) in entry.broker.users.list() {
        if !is_wanted(&name) {
            entry.broker.users.remove(&name);
        }
    }
    for acl in entry.broker.acls.list(&Filter::default()) {
        let name = acl.principal.strip_prefix("User:");
        if !name.is_some_and(is_wanted) {
            entry.broker.acls.remove(&Filter {
                principal: Some(acl.principal),
                ..Filter::default()
            });
        }
    }
}

async fn one(
    process: &Process,
    kafka: &Value,
    user: &Value,
    entry: &Entry,
) -> Result<(), NotReady> {
    let name = meta(user, "name");
    let kind = user["spec"]["authentication"]["type"].as_str();
    if kind.is_some_and(|kind| kind != "scram-sha-512") {
        let why = "only scram-sha-512 is part of the rehearsal";
        return Err(NotReady::new("InvalidResourceException", why));
    }
    let wants_rules = !user["spec"]["authorization"].is_null();
    if wants_rules && kafka["spec"]["kafka"]["authorization"].is_null() {
        return Err(NotReady::new(
            "InvalidResourceException",
            "Simple authorization ACL rules are configured but not supported in the Kafka cluster configuration.",
        ));
    }
    let api = |error: ApiError| NotReady::new("KubernetesClientException", error.message());
    if kind.is_some() {
        let password = password(process, user).await.map_err(api)?;
        let held = entry.broker.users.credential(name, Mechanism::Sha512);
        if !held.is_some_and(|held| held.fits(&password)) {
            let users = &entry.broker.users;
            users.set(name, &password, &[Mechanism::Sha512]);
        }
    }
    let principal = format!("User:{name}");
    let rules = user["spec"]["authorization"]["acls"].as_array();
    let rules = rules.into_iter().flatten();
    let wanted: Vec<Acl> = rules.flat_map(|rule| acls(rule, &principal)).collect();
    let own = Filter {
        principal: Some(principal),
        ..Filter::default()
    };
    let held = entry.broker.acls.list(&own);
    for acl in wanted.iter().filter(|acl| !held.contains(acl)) {
        entry.broker.acls.add(acl);
    }
    for acl in held.iter().filter(|acl| !wanted.contains(acl)) {
        entry.broker.acls.remove(&Filter {
            resource: Some(acl.resource),
            name: Some(acl.name.clone()),
            pattern: Some(acl.pattern),
            host: Some(acl.host.clone()),
            operation: Some(acl.operation),
            allow: Some(acl.allow),
            ..own.clone()
        });
    }
    Ok(())
}

/// The password of the user's Secret, which is made unless it is there.
async fn password(process: &Process, user: &Value) -> Result<String, ApiError> {
    let (name, space) = (meta(user, "name"), meta(user, "namespace"));
    let collection = format!("/api/v1/namespaces/{space}/secrets");
    if let Some(held) = process.api.find(&format!("{collection}/{name}")).await? {
        let text = held["data"]["password"].as_str().unwrap_or_default();
        let bytes = STANDARD.decode(text).unwrap_or_default();
        return Ok(String::from_utf8_lossy(&bytes).into_owned());
    }
    let password: String = ids::uuid().replace('-', "");
    let login = format!(
        "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"{name}\" \
         password=\"{password}\";"
    );
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {
            "name": name, "namespace": space,
            "labels": {
                "app.kubernetes.io/managed-by": "strimzi-user-operator",
                "strimzi.io/cluster": user["metadata"]["labels"]["strimzi.io/cluster"],
                "strimzi.io/kind": "KafkaUser",
            },
            "ownerReferences": [{
                "apiVersion": "kafka.strimzi.io/v1", "kind": "KafkaUser", "name": name,
                "uid": user["metadata"]["uid"], "controller": false, "blockOwnerDeletion": false,
            }],
        },
        "data": {"password": STANDARD.encode(&password), "sasl.jaas.config": STANDARD.encode(&login)},
    });
    process.api.create(&collection, &secret).await?;
    Ok(password)
}

/// The broker's rules for one of a resource's.
fn acls(rule: &Value, principal: &str) -> Vec<Acl> {
    let resource = match rule["resource"]["type"].as_str() {
        Some("topic") => Resource::Topic,
        Some("group") => Resource::Group,
        Some("cluster") => Resource::Cluster,
        _ => return Vec::new(),
    };
    let operations = rule["operations"].as_array().into_iter().flatten();
    operations
        .filter_map(|operation| operation_of(operation.as_str()?))
        .map(|operation| Acl {
            resource,
            name: match resource {
                Resource::Cluster => "kafka-cluster".to_owned(),
                _ => rule["resource"]["name"].as_str().unwrap_or("*").to_owned(),
            },
            pattern: match rule["resource"]["patternType"].as_str() {
                Some("prefix") => Pattern::Prefixed,
                _ => Pattern::Literal,
            },
            principal: principal.to_owned(),
            host: rule["host"].as_str().unwrap_or("*").to_owned(),
            operation,
            allow: rule["type"] != "deny",
        })
        .collect()
}

fn operation_of(text: &str) -> Option<Operation> {
    Operation::EVERY
        .into_iter()
        .find(|operation| format!("{operation:?}") == text)
}
