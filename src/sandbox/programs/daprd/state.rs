//! State: `/v1.0/state`, with the rules of the PostgreSQL store (version 2),
//! kept in the world's store under the database that the component names.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::super::super::http::{Body, Reply, Request};
use super::super::super::store::{Content, Transaction};
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
#[derive(Debug, Clone)]
pub(super) struct Write {
    pub(super) key: String,
    /// The bytes to keep; none deletes.
    pub(super) value: Option<Bytes>,
    pub(super) etag: Option<String>,
    pub(super) only_first: bool,
    pub(super) ttl: Option<i64>,
}

/// What is asked of a store.
#[derive(Debug, Clone)]
pub(super) enum Operation {
    Save(Vec<Write>),
    Get(String),
    Bulk(Vec<String>),
    Delete(Write),
    Transaction(Vec<Write>),
}

impl Operation {
    fn name(&self) -> &'static str {
        match self {
            Self::Save(_) => "set",
            Self::Get(_) => "get",
            Self::Bulk(_) => "bulk_get",
            Self::Delete(_) => "delete",
            Self::Transaction(_) => "transaction",
        }
    }
}

/// What a row keeps of these bytes: JSON that prints as it came, or else what
/// it is in base64.
fn kept(bytes: &[u8]) -> Value {
    match serde_json::from_slice::<Value>(bytes) {
        Ok(value) if value.to_string().as_bytes() == bytes => json!({ "value": value }),
        _ => json!({ "base64": STANDARD.encode(bytes) }),
    }
}

/// The bytes of a row.
fn bytes_of(row: &Value) -> Bytes {
    match row["base64"].as_str() {
        Some(text) => STANDARD.decode(text).unwrap_or_default().into(),
        None => row["value"].to_string().into(),
    }
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
    fn live(&self, row: Option<Content>) -> Option<Content> {
        let now = self.now_ms();
        row.filter(|row| row["expiresMs"].as_u64().is_none_or(|at| at > now))
    }

    fn get(&self, key: &str) -> Option<Content> {
        let row = self
            .world
            .store
            .get(&self.table, &format!("{}{key}", self.prefix));
        self.live(row.map(|row| row.value))
    }

    /// One write inside a transaction. No value deletes.
    fn write(&self, tx: &mut Transaction<'_>, write: &Write) -> Result<(), Conflict> {
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
        let Some(value) = &write.value else {
            tx.delete(&self.table, &key);
            return Ok(());
        };
        let mut row = kept(value);
        row["etag"] = json!(ids::uuid());
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
    // Whether there is such a store comes before what it is asked.
    if let Err(reply) = find(sidecar, store) {
        return reply;
    }
    let writes = matches!(request.method, Method::POST | Method::PUT);
    let operation = match (&request.method, rest) {
        (_, []) if writes => read_save(request),
        (_, ["bulk"]) if writes => read_bulk(request),
        (_, ["transaction"]) if writes => read_transaction(request),
        (&Method::GET, key) if !key.is_empty() => Ok(Operation::Get(key.join("/"))),
        (&Method::DELETE, key) if !key.is_empty() => Ok(Operation::Delete(Write {
            key: key.join("/"),
            value: None,
            etag: request.header("if-match").map(str::to_owned),
            only_first: false,
            ttl: None,
        })),
        (_, ["query"]) => {
            let message = format!("state store {store} doesn't support query");
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            return errors::simple(status, "ERR_STATE_STORE_NOT_SUPPORTED", &message);
        }
        _ => return super::invoke::nowhere(),
    };
    match operation {
        Ok(operation) => perform(sidecar, store, &operation),
        Err(reply) => reply,
    }
}

/// Asks a store, whichever API the question came by.
pub(super) fn perform(sidecar: &Sidecar, store: &str, operation: &Operation) -> Reply {
    let component = match find(sidecar, store) {
        Ok(component) => component,
        Err(reply) => return reply,
    };
    let Instance::State(state) = &component.instance else {
        return super::invoke::nowhere();
    };
    let clock = &sidecar.process.world.clock;
    let started = clock.elapsed();
    let reply = match operation {
        Operation::Save(writes) => save(state, store, writes),
        Operation::Get(key) => get(state, key),
        Operation::Bulk(keys) => bulk(state, keys),
        Operation::Delete(write) => delete(state, write),
        Operation::Transaction(writes) => transaction(state, writes),
    };
    let took = clock.elapsed().saturating_sub(started);
    let (name, done) = (operation.name(), reply.status.is_success());
    sidecar.metrics.state(store, name, done, took);
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
fn read_item(item: &Value, deletes: bool) -> Result<Write, Reply> {
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
        value: (!deletes).then(|| item["value"].to_string().into()),
        etag,
        only_first: item["options"]["concurrency"] == "first-write",
        ttl: ttl.filter(|ttl| *ttl > 0),
    })
}

fn read_save(request: &Request) -> Result<Operation, Reply> {
    let Value::Array(items) = json_body(request)? else {
        return Err(malformed(
            "failed deserializing HTTP body: expected an array",
        ));
    };
    let writes = items.iter().map(|item| read_item(item, false));
    Ok(Operation::Save(writes.collect::<Result<_, _>>()?))
}

fn read_bulk(request: &Request) -> Result<Operation, Reply> {
    let body = json_body(request)?;
    let keys = body["keys"].as_array().into_iter().flatten();
    let keys = keys.filter_map(Value::as_str).map(str::to_owned);
    Ok(Operation::Bulk(keys.collect()))
}

/// A refusal of an operation that no transaction has.
pub(super) fn unsupported(kind: &str) -> Reply {
    let message = format!("operation type {kind} not supported");
    let status = StatusCode::BAD_REQUEST;
    errors::simple(status, "ERR_NOT_SUPPORTED_STATE_OPERATION", &message)
}

fn read_transaction(request: &Request) -> Result<Operation, Reply> {
    let body = json_body(request)?;
    let mut writes = Vec::new();
    for operation in body["operations"].as_array().into_iter().flatten() {
        let kind = operation["operation"].as_str().unwrap_or_default();
        if !matches!(kind, "upsert" | "delete") {
            return Err(unsupported(kind));
        }
        writes.push(read_item(&operation["request"], kind == "delete")?);
    }
    Ok(Operation::Transaction(writes))
}

/// A refusal if one of the keys is none.
fn check_keys(writes: &[Write]) -> Result<(), Reply> {
    writes.iter().try_for_each(|write| check_key(&write.key))
}

fn save(state: &Store, store: &str, writes: &[Write]) -> Reply {
    if let Err(reply) = check_keys(writes) {
        return reply;
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
    let reply = Reply::empty(StatusCode::OK)
        .with_body(Body::Full(bytes_of(&row)))
        .with("content-type", "application/json")
        .with("etag", row["etag"].as_str().unwrap_or_default());
    match row["expires"].as_str() {
        Some(at) => reply.with("metadata.ttlExpireTime", at),
        None => reply,
    }
}

fn delete(state: &Store, write: &Write) -> Reply {
    let key = &write.key;
    if let Err(reply) = check_key(key) {
        return reply;
    }
    match state.world.store.write(|tx| state.write(tx, write)) {
        Ok(()) => Reply::empty(StatusCode::NO_CONTENT),
        Err(conflict) => {
            let message = format!("failed deleting state with key {key}: {conflict}");
            errors::simple(StatusCode::CONFLICT, "ERR_STATE_DELETE", &message)
        }
    }
}

fn bulk(state: &Store, keys: &[String]) -> Reply {
    let found = keys.iter().map(|key| match state.get(key) {
        Some(row) => {
            let bytes = bytes_of(&row);
            let data = serde_json::from_slice::<Value>(&bytes);
            let data = data.unwrap_or_else(|_| json!(String::from_utf8_lossy(&bytes)));
            json!({"key": key, "data": data, "etag": row["etag"]})
        }
        None => json!({ "key": key }),
    });
    Reply::json(StatusCode::OK, &found.collect::<Vec<_>>())
}

fn transaction(state: &Store, writes: &[Write]) -> Reply {
    if let Err(reply) = check_keys(writes) {
        return reply;
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
