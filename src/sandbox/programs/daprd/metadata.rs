//! `/v1.0/metadata`: what the sidecar knows about itself.

use std::sync::PoisonError;

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::super::super::http::Reply;
use super::super::tag;
use super::runtime::Sidecar;

pub(super) fn get(sidecar: &Sidecar) -> Reply {
    let options = &sidecar.options;
    let version = tag(&sidecar.process.image);
    let components = sidecar.all_components();
    let components = components.iter().map(|component| {
        json!({
            "name": component.name,
            "type": component.kind,
            "version": component.version,
            "capabilities": component.capabilities(),
        })
    });
    let subscriptions = sidecar
        .subscriptions
        .read()
        .unwrap_or_else(PoisonError::into_inner);
    let subscriptions: Vec<Value> = subscriptions
        .iter()
        .map(super::subscribe::Subscription::to_json)
        .collect();
    let mut extended = Map::from_iter([("daprRuntimeVersion".to_owned(), json!(version))]);
    let added = sidecar
        .extended
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    extended.extend(added.clone());
    let hosts = sidecar
        .scheduler_hosts
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let features = sidecar.config.0["features"].as_array();
    let enabled = features
        .into_iter()
        .flatten()
        .filter(|one| one["enabled"] == json!(true));
    let mut body = json!({
        "id": options.app_id,
        "runtimeVersion": version,
        "enabledFeatures": enabled.map(|one| one["name"].clone()).collect::<Vec<_>>(),
        "components": components.collect::<Vec<_>>(),
        "extended": extended,
        "subscriptions": subscriptions,
        "appConnectionProperties": {
            "protocol": "http",
            "channelAddress": "127.0.0.1",
        },
        "actorRuntime": {
            "runtimeStatus": if options.placement.is_some() { "RUNNING" } else { "DISABLED" },
            "hostReady": options.placement.is_some(),
            "placement": if options.placement.is_some() { "placement: connected" } else { "" },
        },
        "scheduler": {"connected_addresses": *hosts},
        "workflows": {},
    });
    if let Some(port) = options.app_port {
        body["appConnectionProperties"]["port"] = json!(port);
    }
    if !sidecar.resiliencies.is_empty() {
        let names = sidecar.resiliencies.iter();
        let names = names.map(|one| json!({"name": one["metadata"]["name"]}));
        body["resiliencies"] = names.collect();
    }
    Reply::json(StatusCode::OK, &body)
}

pub(super) fn put(sidecar: &Sidecar, key: &str, body: &[u8]) -> Reply {
    let text = String::from_utf8_lossy(body).into_owned();
    let mut extended = sidecar
        .extended
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    extended.insert(key.to_owned(), json!(text));
    Reply::empty(StatusCode::NO_CONTENT)
}
