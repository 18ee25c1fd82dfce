//! Bringing a release's objects into the cluster, and taking them out.
//!
//! Objects go in phases, coarser than helm's list of kinds: within a phase
//! nothing needs anything else, so that all of it is sent at once. Looks at
//! what exists ask once per kind and namespace.

use std::collections::HashSet;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::LocalBoxFuture;
use serde_json::{Value, json};

use super::error::ReleaseError;
use super::objects::{self, Identity, identity};
use super::store::MANAGER;
use crate::clock::{Backoff, WaitError};
use crate::helm::kinds;
use crate::k8s::{
    ApplyOptions, DeleteOptions, K8sError, Kube, ObjectRef, Progress, Rules, WaitOptions, Yielded,
};
use crate::manifest::Manifest;

/// How many requests are under way at once.
const AT_ONCE: usize = 32;
/// How long definitions may take until their kinds are served.
pub(super) const ESTABLISHED_WITHIN: Duration = Duration::from_mins(1);
/// How often a change of managers is tried again when somebody else writes
/// in between.
const HANDOVERS: u32 = 5;

/// The release that objects are applied for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner<'a> {
    pub(super) name: &'a str,
    pub(super) namespace: &'a str,
}

/// How to apply.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Applying {
    /// Take fields over from other managers.
    pub(super) force: bool,
    /// Objects of the revision before were written by patches of a client.
    pub(super) hand_over: bool,
}

/// The phase of a kind: what comes before what.
fn phase(object: &Manifest) -> u8 {
    let group = object.group();
    let built_in = !group.contains('.') || group.ends_with(".k8s.io");
    match object.kind() {
        _ if !built_in => 6,
        "Namespace" | "PriorityClass" => 0,
        // It is removed again where its account is missing.
        "Secret" if object.body()["type"] == "kubernetes.io/service-account-token" => 2,
        "ClusterRole"
        | "ConfigMap"
        | "CustomResourceDefinition"
        | "IngressClass"
        | "LimitRange"
        | "NetworkPolicy"
        | "PersistentVolume"
        | "PersistentVolumeClaim"
        | "PodDisruptionBudget"
        | "PodSecurityPolicy"
        | "ResourceQuota"
        | "Role"
        | "Secret"
        | "Service"
        | "ServiceAccount"
        | "StorageClass" => 1,
        "ClusterRoleBinding" | "RoleBinding" => 2,
        "CronJob"
        | "DaemonSet"
        | "Deployment"
        | "Job"
        | "Pod"
        | "ReplicaSet"
        | "ReplicationController"
        | "StatefulSet" => 3,
        "APIService" | "HorizontalPodAutoscaler" | "Ingress" => 4,
        "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration" => 5,
        _ => 6,
    }
}

/// A request that is under way.
type Work<'a> = LocalBoxFuture<'a, Result<(), ReleaseError>>;

/// Runs requests, many at a time. All are ended before the first failure is
/// told: a request that was begun is never abandoned.
async fn all(work: Vec<Work<'_>>) -> Result<(), ReleaseError> {
    let mut running = futures::stream::iter(work).buffer_unordered(AT_ONCE);
    let mut first = Ok(());
    while let Some(result) = running.next().await {
        if first.is_ok() {
            first = result;
        }
    }
    first
}

/// Refuses objects that exist and are not the release's.
pub(super) async fn check_adoption(
    kube: &Kube,
    fresh: &[&Manifest],
    owner: Owner<'_>,
) -> Result<(), ReleaseError> {
    let wanted: Vec<ObjectRef> = fresh.iter().map(|m| ObjectRef::from(*m)).collect();
    let live = kube.live_of(&wanted).await?;
    // In the order of the manifest, so that the same error comes each time.
    for object in wanted {
        let Some(found) = live.get(&object) else {
            continue;
        };
        let why = objects::lacks(found, owner.name, owner.namespace);
        if !why.is_empty() {
            return Err(ReleaseError::NotOwned {
                kind: object.kind,
                name: object.name,
                namespace: object.namespace.unwrap_or_default(),
                why,
            });
        }
    }
    Ok(())
}

/// Applies all objects in their phases.
pub(super) async fn apply(
    kube: &Kube,
    objects: &[Manifest],
    owner: Owner<'_>,
    how: Applying,
    progress: Progress<'_>,
) -> Result<(), ReleaseError> {
    if how.hand_over {
        hand_over(kube, objects).await?;
    }
    let options = ApplyOptions {
        force: how.force,
        dry_run: false,
    };
    for step in 0..=6 {
        let now: Vec<&Manifest> = objects.iter().filter(|o| phase(o) == step).collect();
        let Some(first) = now.first() else { continue };
        progress(&match now.len() {
            1 => format!("applying {first}"),
            n => format!("applying {first} and {} more", n - 1),
        });
        let mut work: Vec<Work<'_>> = Vec::new();
        for object in &now {
            let marked = objects::owned(object, owner.name, owner.namespace)?;
            work.push(Box::pin(apply_one(kube, marked, options, progress)));
        }
        all(work).await?;
        let definitions = now
            .iter()
            .filter(|o| o.kind() == "CustomResourceDefinition");
        let definitions: Vec<ObjectRef> = definitions.map(|o| ObjectRef::from(*o)).collect();
        established(kube, &definitions, progress).await?;
    }
    Ok(())
}

async fn apply_one(
    kube: &Kube,
    object: Manifest,
    options: ApplyOptions,
    progress: Progress<'_>,
) -> Result<(), ReleaseError> {
    yielding(kube, object, options, progress).await?;
    Ok(())
}

/// Applies an object as helm, and tells what is left to others.
pub(super) async fn yielding(
    kube: &Kube,
    object: Manifest,
    options: ApplyOptions,
    progress: Progress<'_>,
) -> Result<Yielded, ReleaseError> {
    let yielded = kube.apply_yielding(object, MANAGER, options).await?;
    for conflict in &yielded.left {
        progress(&conflict.told(&yielded.object));
    }
    Ok(yielded)
}

async fn delete_one(
    kube: &Kube,
    object: ObjectRef,
    options: DeleteOptions,
) -> Result<(), ReleaseError> {
    kube.delete(&object, &options).await?;
    Ok(())
}

/// Waits until definitions are served.
pub(super) async fn established(
    kube: &Kube,
    definitions: &[ObjectRef],
    progress: Progress<'_>,
) -> Result<(), ReleaseError> {
    if definitions.is_empty() {
        return Ok(());
    }
    let options = WaitOptions::within(ESTABLISHED_WITHIN);
    kube.wait_ready(definitions, &options, progress).await?;
    Ok(())
}

/// Applies the files of `crds/`, which belong to no release. Whether they are
/// served already is another question: see [`established`].
pub(super) async fn apply_definitions(
    kube: &Kube,
    definitions: &[Manifest],
    force: bool,
    progress: Progress<'_>,
) -> Result<(), ReleaseError> {
    if definitions.is_empty() {
        return Ok(());
    }
    progress(&format!(
        "applying {} resource definitions",
        definitions.len()
    ));
    let options = ApplyOptions {
        force,
        dry_run: false,
    };
    let mut work: Vec<Work<'_>> = Vec::new();
    for definition in definitions {
        kube.learn(definition).await;
        let object = definition.clone();
        work.push(Box::pin(apply_one(kube, object, options, progress)));
    }
    all(work).await
}

/// Deletes what an earlier revision made and the new one does not have. Live
/// objects that are somebody else's by now, or ask to be kept, stay.
pub(super) async fn prune(
    kube: &Kube,
    old: &[Manifest],
    new: &[Manifest],
    owner: Owner<'_>,
    progress: Progress<'_>,
) -> Result<Vec<ObjectRef>, ReleaseError> {
    let keep: HashSet<Identity> = new.iter().map(identity).collect();
    let mut gone: Vec<Manifest> = Vec::new();
    let mut seen = HashSet::new();
    for object in old {
        let id = identity(object);
        if !keep.contains(&id) && seen.insert(id) {
            gone.push(object.clone());
        }
    }
    delete(kube, gone, owner, progress).await
}

/// Deletes objects of the release in the order of uninstalling, and returns
/// those that it deleted.
pub(super) async fn delete(
    kube: &Kube,
    mut gone: Vec<Manifest>,
    owner: Owner<'_>,
    progress: Progress<'_>,
) -> Result<Vec<ObjectRef>, ReleaseError> {
    gone.retain(|object| !objects::is_kept(object));
    if gone.is_empty() {
        return Ok(Vec::new());
    }
    let wanted: Vec<ObjectRef> = gone.iter().map(ObjectRef::from).collect();
    let live = kube.live_of(&wanted).await?;
    let mut doomed: Vec<(ObjectRef, DeleteOptions)> = Vec::new();
    for object in wanted {
        let Some(found) = live.get(&object) else {
            continue;
        };
        if objects::is_kept(found) {
            progress(&format!("keeping {object}, as it asks for"));
        } else if !objects::belongs(found, owner.name, owner.namespace) {
            progress(&format!(
                "leaving {object}, which is not the release's any more"
            ));
        } else {
            let uid = found.body().pointer("/metadata/uid");
            let uid = uid.and_then(Value::as_str).map(str::to_owned);
            let foreground = false;
            doomed.push((object, DeleteOptions { uid, foreground }));
        }
    }
    doomed.sort_by(|(a, _), (b, _)| kinds::uninstall(&a.kind).cmp(&kinds::uninstall(&b.kind)));
    let mut rest = doomed.as_slice();
    while let Some(((first, _), _)) = rest.split_first() {
        let same = rest
            .iter()
            .take_while(|(o, _)| o.kind == first.kind)
            .count();
        let (now, later) = rest.split_at(same);
        progress(&match now.len() {
            1 => format!("deleting {first}"),
            n => format!("deleting {first} and {} more", n - 1),
        });
        let mut work: Vec<Work<'_>> = Vec::new();
        for (object, options) in now {
            work.push(Box::pin(delete_one(kube, object.clone(), options.clone())));
        }
        all(work).await?;
        rest = later;
    }
    Ok(doomed.into_iter().map(|(object, _)| object).collect())
}

/// Waits until objects are gone.
pub(super) async fn wait_gone(
    kube: &Kube,
    mut objects: Vec<ObjectRef>,
    limit: Duration,
    progress: Progress<'_>,
) -> Result<(), ReleaseError> {
    let deadline = kube.clock().deadline(limit);
    let mut pauses = Backoff::new(Duration::from_millis(200), 2.0, Duration::from_secs(2));
    loop {
        let live = kube.live_of(&objects).await?;
        objects.retain(|object| live.contains_key(object));
        let Some(first) = objects.first() else {
            return Ok(());
        };
        let seen = format!("{} objects are still there, such as {first}", objects.len());
        progress(&seen);
        let what = "the release's objects to go".to_owned();
        match deadline
            .pause::<K8sError>(seen, pauses.next(kube.clock()))
            .await
        {
            Ok(()) => {}
            Err(WaitError::TimedOut { waited, last }) => {
                return Err(K8sError::NotReady { what, waited, last }.into());
            }
            Err(WaitError::Cancelled(cancelled)) => {
                return Err(K8sError::Cancelled(cancelled).into());
            }
            Err(WaitError::Failed(error)) => return Err(error.into()),
        }
    }
}

/// Waits until what has a state of readiness is ready.
pub(super) async fn wait(
    kube: &Kube,
    objects: &[Manifest],
    limit: Duration,
    rules: Rules,
    progress: Progress<'_>,
) -> Result<(), ReleaseError> {
    let all: Vec<ObjectRef> = objects.iter().map(ObjectRef::from).collect();
    let options = WaitOptions { limit, rules };
    kube.wait_ready(&all, &options, progress).await?;
    Ok(())
}

/// Turns the fields that helm once wrote by patches into fields of its
/// server-side apply. Without that, an apply would not remove what left the
/// manifest, and would meet helm's own earlier writes as a conflict.
async fn hand_over(kube: &Kube, objects: &[Manifest]) -> Result<(), ReleaseError> {
    let wanted: Vec<ObjectRef> = objects.iter().map(ObjectRef::from).collect();
    let live = kube.live_of(&wanted).await?;
    let mut work: Vec<Work<'_>> = Vec::new();
    for live in live.into_values() {
        work.push(Box::pin(hand_over_one(kube, live)));
    }
    all(work).await
}

async fn hand_over_one(kube: &Kube, mut live: Manifest) -> Result<(), ReleaseError> {
    for _ in 0..HANDOVERS {
        let Some(fields) = handed_over(live.body()) else {
            return Ok(());
        };
        match kube.set_managed_fields(&live, &fields).await {
            Ok(()) => return Ok(()),
            // It changed in between, or the answer was lost: look again.
            Err(K8sError::Api {
                code: 409 | 422, ..
            }) => {}
            Err(error) if error.is_not_found() => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        match kube.get(&ObjectRef::from(&live)).await? {
            Some(now) => live = now,
            None => return Ok(()),
        }
    }
    Ok(())
}

/// The managed fields of an object with helm's updates as applies; none when
/// there are no such updates.
fn handed_over(body: &Value) -> Option<Value> {
    let entries = body.pointer("/metadata/managedFields")?.as_array()?;
    let is = |entry: &Value, operation: &str| {
        let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default();
        text("manager") == MANAGER
            && text("operation") == operation
            && text("subresource").is_empty()
    };
    let updates: Vec<&Value> = entries.iter().filter(|e| is(e, "Update")).collect();
    let last = *updates.last()?;
    let mut apply = entries
        .iter()
        .find(|e| is(e, "Apply"))
        .unwrap_or(last)
        .clone();
    let mut fields = json!({});
    for entry in updates
        .into_iter()
        .chain(entries.iter().filter(|e| is(e, "Apply")))
    {
        union(&mut fields, entry.get("fieldsV1").unwrap_or(&Value::Null));
    }
    apply["operation"] = json!("Apply");
    apply["fieldsV1"] = fields;
    let others = entries
        .iter()
        .filter(|e| !is(e, "Update") && !is(e, "Apply"));
    let mut all = vec![apply];
    all.extend(others.cloned());
    Some(Value::Array(all))
}

/// Adds the fields of one set to another.
fn union(into: &mut Value, from: &Value) {
    let (Some(into), Some(from)) = (into.as_object_mut(), from.as_object()) else {
        return;
    };
    for (key, value) in from {
        union(into.entry(key.clone()).or_insert_with(|| json!({})), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(manager: &str, operation: &str, fields: &Value) -> Value {
        json!({"manager": manager, "operation": operation, "apiVersion": "v1",
               "time": "2026-01-01T00:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": fields})
    }

    #[test]
    fn updates_of_helm_become_its_apply_and_others_stay() {
        let data = |key: &str| json!({"f:data": {key: {}}});
        let body = json!({"metadata": {"managedFields": [
            entry("helm", "Update", &data("f:a")),
            entry("kubectl", "Update", &data("f:b")),
            entry("helm", "Apply", &data("f:c")),
        ]}});
        let all = handed_over(&body).unwrap();
        let all = all.as_array().unwrap();
        assert_eq!(all.len(), 2);
        assert_eq!(all[0]["operation"], "Apply");
        assert_eq!(
            all[0]["fieldsV1"],
            json!({"f:data": {"f:a": {}, "f:c": {}}})
        );
        assert_eq!(all[1]["manager"], "kubectl");
    }

    #[test]
    fn nothing_is_handed_over_where_helm_applied() {
        let body = json!({"metadata": {"managedFields": [
            entry("helm", "Apply", &json!({})),
            entry("kubectl", "Update", &json!({})),
        ]}});
        assert_eq!(handed_over(&body), None);
        assert_eq!(handed_over(&json!({"metadata": {}})), None);
    }

    #[test]
    fn what_others_need_goes_first() {
        let object = |api: &str, kind: &str| {
            Manifest::new(json!({"apiVersion": api, "kind": kind, "metadata": {"name": "x"}}))
                .unwrap()
        };
        let order = [
            ("v1", "Namespace"),
            ("v1", "ServiceAccount"),
            ("v1", "Secret"),
            ("rbac.authorization.k8s.io/v1", "RoleBinding"),
            ("apps/v1", "Deployment"),
            ("networking.k8s.io/v1", "Ingress"),
            (
                "admissionregistration.k8s.io/v1",
                "MutatingWebhookConfiguration",
            ),
            ("dapr.io/v1alpha1", "Component"),
        ];
        let phases: Vec<u8> = order.iter().map(|(a, k)| phase(&object(a, k))).collect();
        assert!(phases.is_sorted(), "{phases:?}");
        // A custom kind is not the built-in one of its name.
        assert_eq!(phase(&object("example.com/v1", "Service")), 6);
    }
}
