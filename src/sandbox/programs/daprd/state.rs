//! State: `/v1.0/state`, with the rules of the PostgreSQL store (version 2),
//! kept in the world's store under the database that the component names.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::super::super::http::{Body, Reply, Request};
use super::super::super::store::Transaction;
use super::super::super::world::World;
use super::super::ids;
use super::api::json_body;
use super::components::{Component, Instance};
use super::errors::{self, Rich};
use super::runtime::Sidecar;

/// A state store.
pub(super) struct Store {
    world: Arc<World>,
    table: String,
    prefix: String,
}

/// Why a write did not happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Conflict {
    /// The etag is not the row's.
    #[error("possible etag mismatch. error from state store: etag mismatch")]
    Mismatch,
    /// There is a row, and only the first write was to count.
    #[error("no item was updated")]
    NotFirst,
}

/// One write.
struct Write<'a> {
    key: String,
    value: Option<&'a Value>,
    etag: Option<String>,
    only_first: bool,
    ttl: Option<i64>,
}

impl Store {
    /// Opens the store of a component.
    pub(super) fn open(
        sidecar: &Sidecar,
        name: &str,
        kind: &str,
        fields: &BTreeMap<String, String>,
    ) -> Result<Self, String> {
        let get = |wanted: &str| {
            let found = fields
                .iter()
                .find(|(key, _)| key.eq_ignore_ascii_case(wanted));
            found
                .map(|(_, value)| value.as_str())
                .filter(|value| !value.is_empty())
        };
        let (app, namespace) = (&sidecar.options.app_id, &sidecar.options.namespace);
        let table = if kind == "state.in-memory" {
            format!("database/memory/{namespace}/{app}/{name}")
        } else {
            let text = get("connectionString").or(get("url"));
            let database = match (text, get("host")) {
                (Some(text), _) => database_of(text)?,
                (None, Some(host)) => format!("{host}/{}", get("database").unwrap_or("postgres")),
                (None, None) => return Err("missing connection string".to_owned()),
            };
            format!(
                "database/{database}/{}state",
                get("tablePrefix").unwrap_or_default()
            )
        };
        let prefix = match get("keyPrefix") {
            None | Some("appid") => format!("{app}||"),
            Some("name") => format!("{name}||"),
            Some("namespace") => format!("{namespace}.{app}||"),
            Some("none") => String::new(),
            Some(other) => format!("{other}||"),
        };
        Ok(Self {
            world: sidecar.process.world.clone(),
            table,
            prefix,
        })
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.world.age().as_millis()).unwrap_or(u64::MAX)
    }

    /// A row that has not expired.
    fn live(&self, row: Option<Arc<Value>>) -> Option<Arc<Value>> {
        let now = self.now_ms();
        row.filter(|row| row["expiresMs"].as_u64().is_none_or(|at| at > now))
    }

    fn get(&self, key: &str) -> Option<Arc<Value>> {
        let row = self
            .world
            .store
            .get(&self.table, &format!("{}{key}", self.prefix));
        self.live(row.map(|row| row.value))
    }

    /// One write inside a transaction. No value deletes.
    fn write(&self, tx: &mut Transaction<'_>, write: &Write<'_>) -> Result<(), Conflict> {
        let key = format!("{}{}", self.prefix, write.key);
        let held = self.live(tx.get(&self.table, &key).map(|row| row.value));
        if let Some(etag) = &write.etag {
            let fits = held
                .as_ref()
                .is_some_and(|row| row["etag"] == etag.as_str());
            if !ids::is_uuid(etag) || !fits {
                return Err(Conflict::Mismatch);
            }
        } else if write.only_first && held.is_some() {
            return Err(Conflict::NotFirst);
        }
        let Some(value) = write.value else {
            tx.delete(&self.table, &key);
            return Ok(());
        };
        let mut row = json!({"value": value, "etag": ids::uuid()});
        if let Some(ttl) = write.ttl.and_then(|ttl| u64::try_from(ttl).ok()) {
            row["expiresMs"] = json!(self.now_ms().saturating_add(ttl.saturating_mul(1000)));
            let at = self
                .world
                .clock
                .now()
                .as_second()
                .saturating_add(ttl.cast_signed());
            let at = jiff::Timestamp::from_second(at).unwrap_or_default();
            row["expires"] = json!(at.to_string());
        }
        tx.put(&self.table, &key, row);
        Ok(())
    }
}

/// Host and name of a database: from a URL, or from `key=value` pairs.
fn database_of(text: &str) -> Result<String, String> {
    if text.contains("://") {
        let url = url::Url::parse(text).map_err(|error| {
            format!(
                "cannot parse `{}`: failed to parse as URL ({error})",
                "xxxxx"
            )
        })?;
        let host = url.host_str().unwrap_or("localhost");
        return Ok(format!("{host}{}", url.path()));
    }
    let pair = |wanted: &str| {
        let mut pairs = text
            .split_whitespace()
            .filter_map(|pair| pair.split_once('='));
        pairs
            .find(|(key, _)| *key == wanted)
            .map(|(_, value)| value.to_owned())
    };
    match pair("host") {
        Some(host) => Ok(format!(
            "{host}/{}",
            pair("dbname").or(pair("database")).unwrap_or_default()
        )),
        None => Err(
            "cannot parse `xxxxx`: failed to parse as keyword/value (invalid keyword/value)"
                .to_owned(),
        ),
    }
}

/// The part of the API below `/v1.0/state/{store}`.
pub(super) fn handle(sidecar: &Sidecar, request: &Request, store: &str, rest: &[&str]) -> Reply {
    let component = match find(sidecar, store) {
        Ok(component) => component,
        Err(reply) => return reply,
    };
    let Instance::State(state) = &component.instance else {
        return super::invoke::nowhere();
    };
    let writes = matches!(request.method, Method::POST | Method::PUT);
    let started = sidecar.process.world.clock.elapsed();
    let (operation, reply) = match (&request.method, rest) {
        (_, []) if writes => ("set", save(state, store, request)),
        (_, ["bulk"]) if writes => ("bulk_get", bulk(state, request)),
        (_, ["transaction"]) if writes => ("transaction", transaction(state, request)),
        (&Method::GET, key) if !key.is_empty() => ("get", get(state, &key.join("/"))),
        (&Method::DELETE, key) if !key.is_empty() => {
            ("delete", delete(state, request, &key.join("/")))
        }
        (_, ["query"]) => {
            let message = format!("state store {store} doesn't support query");
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            return errors::simple(status, "ERR_STATE_STORE_NOT_SUPPORTED", &message);
        }
        _ => return super::invoke::nowhere(),
    };
    let took = sidecar
        .process
        .world
        .clock
        .elapsed()
        .saturating_sub(started);
    sidecar
        .metrics
        .state(store, operation, reply.status.is_success(), took);
    reply
}

fn find(sidecar: &Sidecar, store: &str) -> Result<Arc<Component>, Reply> {
    let all = sidecar.all_components();
    let stores = all
        .iter()
        .filter(|one| matches!(one.instance, Instance::State(_)));
    if let Some(found) = stores.clone().find(|one| one.name == store) {
        return Ok(found.clone());
    }
    let (status, code, reason, what) = match stores.count() {
        0 => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "ERR_STATE_STORE_NOT_CONFIGURED",
            "DAPR_STATE_NOT_CONFIGURED",
            "configured",
        ),
        _ => (
            StatusCode::BAD_REQUEST,
            "ERR_STATE_STORE_NOT_FOUND",
            "DAPR_STATE_NOT_FOUND",
            "found",
        ),
    };
    Err(Rich {
        status,
        code,
        reason,
        message: format!("state store {store} is not {what}"),
        resource: Some(("state", store)),
        metadata: Value::Null,
    }
    .reply())
}

fn malformed(message: &str) -> Reply {
    errors::simple(StatusCode::BAD_REQUEST, "ERR_MALFORMED_REQUEST", message)
}

/// A refusal of a key that looks like two.
fn check_key(key: &str) -> Result<(), Reply> {
    if key.is_empty() {
        return Err(malformed("\"key\" is a required field"));
    }
    if key.contains("||") {
        return Err(Rich {
            status: StatusCode::BAD_REQUEST,
            code: "ERR_MALFORMED_REQUEST",
            reason: "DAPR_STATE_ILLEGAL_KEY",
            message: format!("input key/keyPrefix '{key}' can't contain '||'"),
            resource: Some(("state", key)),
            metadata: Value::Null,
        }
        .reply());
    }
    Ok(())
}

/// One item of a save request, or of a transaction.
fn read_item(item: &Value, deletes: bool) -> Result<Write<'_>, Reply> {
    let key = item["key"].as_str().unwrap_or_default();
    check_key(key)?;
    let etag = match &item["etag"] {
        Value::Null => None,
        Value::String(etag) => Some(etag.clone()),
        _ => {
            return Err(malformed(
                "failed deserializing HTTP body: etag must be a string",
            ));
        }
    };
    let ttl = match &item["metadata"]["ttlInSeconds"] {
        Value::String(text) => text.parse::<i64>().ok(),
        _ => None,
    };
    Ok(Write {
        key: key.to_owned(),
        value: (!deletes).then_some(&item["value"]),
        etag,
        only_first: item["options"]["concurrency"] == "first-write",
        ttl: ttl.filter(|ttl| *ttl > 0),
    })
}

fn save(state: &Store, store: &str, request: &Request) -> Reply {
    let body = match json_body(request) {
        Ok(Value::Array(items)) => items,
        Ok(_) => return malformed("failed deserializing HTTP body: expected an array"),
        Err(reply) => return reply,
    };
    let mut writes = Vec::new();
    for item in &body {
        match read_item(item, false) {
            Ok(write) => writes.push(write),
            Err(reply) => return reply,
        }
    }
    let done = state
        .world
        .store
        .write(|tx| writes.iter().try_for_each(|write| state.write(tx, write)));
    match done {
        Ok(()) => Reply::empty(StatusCode::NO_CONTENT),
        Err(conflict) => {
            let status = match conflict {
                Conflict::Mismatch => StatusCode::CONFLICT,
                Conflict::NotFirst => StatusCode::INTERNAL_SERVER_ERROR,
            };
            let message = format!("failed saving state in state store {store}: {conflict}");
            errors::simple(status, "ERR_STATE_SAVE", &message)
        }
    }
}

fn get(state: &Store, key: &str) -> Reply {
    if let Err(reply) = check_key(key) {
        return reply;
    }
    let Some(row) = state.get(key) else {
        return Reply::empty(StatusCode::NO_CONTENT);
    };
    let text = row["value"].to_string();
    let reply = Reply::empty(StatusCode::OK)
        .with_body(Body::Full(text.into()))
        .with("content-type", "application/json")
        .with("etag", row["etag"].as_str().unwrap_or_default());
    match row["expires"].as_str() {
        Some(at) => reply.with("metadata.ttlExpireTime", at),
        None => reply,
    }
}

fn delete(state: &Store, request: &Request, key: &str) -> Reply {
    if let Err(reply) = check_key(key) {
        return reply;
    }
    let write = Write {
        key: key.to_owned(),
        value: None,
        etag: request.header("if-match").map(str::to_owned),
        only_first: false,
        ttl: None,
    };
    match state.world.store.write(|tx| state.write(tx, &write)) {
        Ok(()) => Reply::empty(StatusCode::NO_CONTENT),
        Err(conflict) => {
            let message = format!("failed deleting state with key {key}: {conflict}");
            errors::simple(StatusCode::CONFLICT, "ERR_STATE_DELETE", &message)
        }
    }
}

fn bulk(state: &Store, request: &Request) -> Reply {
    let body = match json_body(request) {
        Ok(body) => body,
        Err(reply) => return reply,
    };
    let keys = body["keys"].as_array().cloned().unwrap_or_default();
    let found = keys
        .iter()
        .filter_map(Value::as_str)
        .map(|key| match state.get(key) {
            Some(row) => json!({"key": key, "data": row["value"], "etag": row["etag"]}),
            None => json!({ "key": key }),
        });
    Reply::json(StatusCode::OK, &found.collect::<Vec<_>>())
}

fn transaction(state: &Store, request: &Request) -> Reply {
    let body = match json_body(request) {
        Ok(body) => body,
        Err(reply) => return reply,
    };
    let mut writes = Vec::new();
    for operation in body["operations"].as_array().into_iter().flatten() {
        let kind = operation["operation"].as_str().unwrap_or_default();
        if !matches!(kind, "upsert" | "delete") {
            let message = format!("operation type {kind} not supported");
            let status = StatusCode::BAD_REQUEST;
            return errors::simple(status, "ERR_NOT_SUPPORTED_STATE_OPERATION", &message);
        }
        match read_item(&operation["request"], kind == "delete") {
            Ok(write) => writes.push(write),
            Err(reply) => return reply,
        }
    }
    let done = state
        .world
        .store
        .write(|tx| writes.iter().try_for_each(|write| state.write(tx, write)));
    match done {
        Ok(()) => Reply::empty(StatusCode::NO_CONTENT),
        Err(conflict) => {
            let message = format!("error while executing state transaction: {conflict}");
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            errors::simple(status, "ERR_STATE_TRANSACTION", &message)
        }
    }
}
