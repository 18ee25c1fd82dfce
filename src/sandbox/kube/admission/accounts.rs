//! The service account of a new pod: the namespace's own by default, whose
//! token, with the cluster's authority and the namespace's name, is mounted
//! into every container that has nothing else there.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::cluster::text;
use super::super::request::Call;
use super::super::status::{Outcome, Status};
use crate::clock::Clock;
use crate::sandbox::store::Content;

/// Where containers look for their token.
const MOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// What the volumes' names begin with.
const VOLUME: &str = "kube-api-access-";
/// How often the account is looked for that every namespace gets soon.
const ATTEMPTS: usize = 10;
const PAUSE: Duration = Duration::from_millis(100);

/// Gives a pod its account.
pub(super) async fn admit(call: &Call, pod: &mut Value) -> Outcome<()> {
    // Pods that a node brings along need no account of the cluster's.
    if pod
        .pointer("/metadata/annotations/kubernetes.io~1config.mirror")
        .is_some()
    {
        return Ok(());
    }
    if text(pod, "/spec/serviceAccountName").is_empty() {
        pod["spec"]["serviceAccountName"] = json!("default");
    }
    let name = text(pod, "/spec/serviceAccountName").to_owned();
    pod["spec"]["serviceAccount"] = json!(name);
    let account = find(call, &name).await.ok_or_else(|| {
        let namespace = &call.target.namespace;
        let why = format!(
            "error looking up service account {namespace}/{name}: serviceaccount \"{name}\" not found"
        );
        Status::forbidden(&call.resource, text(pod, "/metadata/name"), &why)
    })?;
    if pod.pointer("/spec/imagePullSecrets").is_none()
        && let Some(secrets) = account.get("imagePullSecrets")
    {
        pod["spec"]["imagePullSecrets"] = secrets.clone();
    }
    let wants = |object: &Value, pointer: &str| object.pointer(pointer).and_then(Value::as_bool);
    let mounts = wants(pod, "/spec/automountServiceAccountToken")
        .or_else(|| wants(&account, "/automountServiceAccountToken"));
    if mounts.unwrap_or(true) {
        mount(call, pod);
    }
    Ok(())
}

async fn find(call: &Call, name: &str) -> Option<Content> {
    let cluster = &call.cluster;
    let table = cluster.table_of("", "serviceaccounts");
    let key = format!("{}/{name}", call.target.namespace);
    let clock = Clock::default();
    let attempts = if name == "default" { ATTEMPTS } else { 1 };
    for attempt in 0..attempts {
        if attempt > 0 && clock.sleep(PAUSE).await.is_err() {
            break;
        }
        if let Some(row) = cluster.world.store.get(&table, &key) {
            return Some(row.value);
        }
    }
    None
}

/// Mounts the token where nothing is mounted.
fn mount(call: &Call, pod: &mut Value) {
    let held = pod.pointer("/spec/volumes").and_then(Value::as_array);
    let held = held.into_iter().flatten().find_map(|volume| {
        let name = text(volume, "/name");
        (name.starts_with(VOLUME) && volume.get("projected").is_some()).then(|| name.to_owned())
    });
    let is_new = held.is_none();
    let volume = held.unwrap_or_else(|| {
        let subject = format!("{VOLUME}{}", text(pod, "/metadata/uid"));
        format!("{VOLUME}{}", call.cluster.suffix(&subject, 0))
    });
    let mut mounted = false;
    for list in ["initContainers", "containers"] {
        let list = pod.pointer_mut(&format!("/spec/{list}"));
        let containers = list.and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            let Some(container) = container.as_object_mut() else {
                continue;
            };
            let mounts = container.entry("volumeMounts").or_insert_with(|| json!([]));
            let Some(mounts) = mounts.as_array_mut() else {
                continue;
            };
            if mounts.iter().all(|mount| mount["mountPath"] != MOUNT) {
                mounts.push(json!({"name": volume, "readOnly": true, "mountPath": MOUNT}));
                mounted = true;
            }
        }
    }
    if !(mounted && is_new) {
        return;
    }
    let source = json!({
        "name": volume,
        "projected": {
            "sources": [
                {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                {"configMap": {
                    "name": "kube-root-ca.crt",
                    "items": [{"key": "ca.crt", "path": "ca.crt"}],
                }},
                {"downwardAPI": {"items": [{
                    "path": "namespace",
                    "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"},
                }]}},
            ],
            "defaultMode": 420,
        },
    });
    let volumes = &mut pod["spec"]["volumes"];
    match volumes.as_array_mut() {
        Some(list) => list.push(source),
        None => *volumes = json!([source]),
    }
}
