//! `ControllerRevisions`: the forms that a `StatefulSet`'s or `DaemonSet`'s
//! template has had.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{count, pods};
use crate::sandbox::api::ApiError;
use crate::sandbox::cache::Client;
use crate::sandbox::kind::{Kind, number, text, uid};

/// The label that tells a pod's revision.
pub const HASH: &str = "controller-revision-hash";

/// An owner's revisions, oldest first.
fn all(client: &Client, owner: &Value) -> Vec<Arc<Value>> {
    let namespace = text(owner, "/metadata/namespace");
    let mut own: Vec<_> = client
        .cache
        .list(Kind::Revisions, namespace)
        .into_iter()
        .filter(|revision| pods::is_owned_by(revision, uid(owner)))
        .collect();
    own.sort_by_key(|revision| number(revision, "/revision"));
    own
}

/// The revision of the present template, made if need be.
pub async fn present(client: &Client, kind: Kind, owner: &Value) -> Result<Arc<Value>, ApiError> {
    let mut template = owner.pointer("/spec/template").cloned().unwrap_or_default();
    template["$patch"] = json!("replace");
    let data = json!({"spec": {"template": template}});
    let held = all(client, owner);
    let next = held
        .iter()
        .filter_map(|revision| number(revision, "/revision"))
        .max()
        .unwrap_or(0)
        + 1;
    if let Some(same) = held.iter().rfind(|revision| revision["data"] == data) {
        if number(same, "/revision") == Some(next - 1) {
            return Ok(same.clone());
        }
        // A roll-back makes an old revision the newest.
        let patch = json!({"revision": next});
        return client.merge(Kind::Revisions, same, &patch).await;
    }
    let name = text(owner, "/metadata/name");
    let mut collisions = count(owner, "/status/collisionCount", 0);
    loop {
        let hash = pods::hash(&data, collisions);
        let mut labels = owner
            .pointer("/spec/template/metadata/labels")
            .cloned()
            .unwrap_or(json!({}));
        labels[HASH] = json!(hash);
        let revision = json!({
            "apiVersion": "apps/v1",
            "kind": "ControllerRevision",
            "metadata": {
                "name": format!("{name}-{hash}"),
                "namespace": text(owner, "/metadata/namespace"),
                "labels": labels,
                "ownerReferences": [pods::reference(kind, owner)],
            },
            "data": data,
            "revision": next,
        });
        match client.create(Kind::Revisions, &revision).await {
            Err(error) if error.is_conflict() && collisions < 16 => collisions += 1,
            made => return made,
        }
    }
}

/// The value of the hash label for a revision.
pub fn hash(revision: &Value) -> &str {
    revision
        .pointer("/metadata/labels")
        .and_then(|labels| labels.get(HASH))
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// Deletes revisions beyond the owner's limit that nothing uses.
pub async fn clean(client: &Client, owner: &Value, used: &[String]) -> Result<(), ApiError> {
    let kept = usize::try_from(count(owner, "/spec/revisionHistoryLimit", 10)).unwrap_or(10);
    let mut idle: Vec<_> = all(client, owner)
        .into_iter()
        .filter(|revision| {
            !used
                .iter()
                .any(|name| name == text(revision, "/metadata/name"))
        })
        .collect();
    let surplus = idle.len().saturating_sub(kept);
    for revision in idle.drain(..surplus) {
        client.delete(Kind::Revisions, &revision).await?;
    }
    Ok(())
}
