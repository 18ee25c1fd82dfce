//! Secrets: `/v1.0/secrets`, read as the pod's service account, so the
//! cluster's rules apply.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::super::super::http::Reply;
use super::components::Instance;
use super::errors;
use super::runtime::Sidecar;

/// The data of a Secret as text.
fn decoded(secret: &Value) -> Map<String, Value> {
    let data = secret["data"].as_object();
    let text = |value: &Value| {
        let bytes = STANDARD.decode(value.as_str().unwrap_or_default());
        json!(String::from_utf8_lossy(&bytes.unwrap_or_default()))
    };
    let entries = data.into_iter().flatten();
    entries
        .map(|(key, value)| (key.clone(), text(value)))
        .collect()
}

fn refusal(status: StatusCode, code: &str, message: &str) -> Reply {
    errors::simple(status, code, message)
}

/// A refusal unless there is such a store.
fn check(sidecar: &Sidecar, store: &str) -> Result<(), Reply> {
    let all = sidecar.all_components();
    let mut stores = all
        .iter()
        .filter(|one| matches!(one.instance, Instance::Secrets));
    if stores.clone().next().is_none() {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        let message = "secret store is not configured";
        return Err(refusal(status, "ERR_SECRET_STORES_NOT_CONFIGURED", message));
    }
    if stores.any(|one| one.name == store) {
        return Ok(());
    }
    let message = format!("failed finding secret store with key {store}");
    Err(refusal(
        StatusCode::UNAUTHORIZED,
        "ERR_SECRET_STORE_NOT_FOUND",
        &message,
    ))
}

/// Reads a Secret as the pod's service account.
async fn read(sidecar: &Sidecar, namespace: &str, name: &str) -> Result<Value, String> {
    let path = format!("/api/v1/namespaces/{namespace}/secrets/{name}");
    sidecar
        .process
        .api
        .get(&path)
        .await
        .map_err(|error| error.message())
}

/// The namespace that a store reads: the request's, the sidecar's own, or the
/// component's.
fn namespace<'a>(sidecar: &'a Sidecar, told: Option<&'a str>) -> &'a str {
    told.unwrap_or(&sidecar.options.namespace)
}

/// One key of a Secret, for a component's field.
pub(super) async fn referenced(
    sidecar: &Sidecar,
    store: &str,
    name: &str,
    key: &str,
) -> Result<String, String> {
    if check(sidecar, store).is_err() {
        return Err(format!(
            "component references a secret store that isn't loaded: {store}"
        ));
    }
    let secret = read(sidecar, &sidecar.options.namespace, name).await?;
    let data = decoded(&secret);
    Ok(data
        .get(key)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned())
}

/// `GET /v1.0/secrets/{store}/{name}`.
pub(super) async fn get(sidecar: &Sidecar, store: &str, name: &str, told: Option<&str>) -> Reply {
    if let Err(reply) = check(sidecar, store) {
        return reply;
    }
    if !sidecar.config.allows_secret(store, name) {
        let message = format!("access denied by policy to get \"{name}\" from \"{store}\"");
        return refusal(StatusCode::FORBIDDEN, "ERR_PERMISSION_DENIED", &message);
    }
    let started = sidecar.process.world.clock.elapsed();
    let read = read(sidecar, namespace(sidecar, told), name).await;
    let took = sidecar
        .process
        .world
        .clock
        .elapsed()
        .saturating_sub(started);
    sidecar.metrics.secret(store, "get", read.is_ok(), took);
    match read {
        Ok(secret) => {
            let data = decoded(&secret);
            match data.is_empty() {
                true => Reply::empty(StatusCode::NO_CONTENT),
                false => Reply::json(StatusCode::OK, &data),
            }
        }
        Err(cause) => {
            let message =
                format!("failed getting secret with key {name} from secret store {store}: {cause}");
            refusal(
                StatusCode::INTERNAL_SERVER_ERROR,
                "ERR_SECRET_GET",
                &message,
            )
        }
    }
}

/// `GET /v1.0/secrets/{store}/bulk`.
pub(super) async fn bulk(sidecar: &Sidecar, store: &str) -> Reply {
    if let Err(reply) = check(sidecar, store) {
        return reply;
    }
    let path = format!("/api/v1/namespaces/{}/secrets", sidecar.options.namespace);
    match sidecar.process.api.get(&path).await {
        Ok(list) => {
            let mut all = Map::new();
            for secret in list["items"].as_array().into_iter().flatten() {
                let name = secret["metadata"]["name"].as_str().unwrap_or_default();
                if sidecar.config.allows_secret(store, name) {
                    all.insert(name.to_owned(), Value::Object(decoded(secret)));
                }
            }
            Reply::json(StatusCode::OK, &all)
        }
        Err(error) => {
            let message = format!(
                "failed getting secrets from secret store {store}: {}",
                error.message()
            );
            refusal(
                StatusCode::INTERNAL_SERVER_ERROR,
                "ERR_SECRET_GET",
                &message,
            )
        }
    }
}
