//! The Dapr control plane as a release of its official chart: values, the
//! changes that the chart does not offer, health, certificates and upgrades;
//! and the rules of Dapr's resources ([`components`]).
//!
//! Everything here is a function of values: what is read from the cluster
//! comes in as manifests, and nothing is applied. Specified by the chart
//! `dapr` 1.18.3, by the resource definitions in it, and by the metadata of
//! Dapr's components.

pub mod certificate;
pub mod components;
mod fields;
pub mod health;
pub mod upgrade;

use serde_json::{Map, Value, json};

use crate::manifest::Edit;
use crate::profile::{Profile, Scheduler};

/// Name of the release.
pub const RELEASE: &str = "dapr";

/// Name of the scheduler's `StatefulSet` and of its headless Service.
const SCHEDULER: &str = "dapr-scheduler-server";

/// Name of the scheduler's volume.
const SCHEDULER_VOLUME: &str = "dapr-scheduler-data-dir";

/// Name of the Secret and of the `ConfigMap` with the certificates.
pub const TRUST_BUNDLE: &str = "dapr-trust-bundle";

/// The values of the chart `dapr` that a profile comes to.
pub fn values(profile: &Profile) -> Value {
    let dapr = &profile.dapr;
    let mut global = json!({
        "logAsJson": true,
        "seccompProfile": "RuntimeDefault",
        // The app has no actors; placement would be one more part of every
        // sidecar's readiness.
        "actors": {"enabled": false},
        "ha": {"enabled": dapr.ha},
    });
    let arm = |shape: &str| shape.contains(".A1.") || shape.contains(".A2.");
    if profile
        .cloud
        .as_ref()
        .is_some_and(|cloud| arm(&cloud.nodes.shape))
    {
        global["daprControlPlaneArch"] = json!("arm64");
    }
    let mut cluster = Map::new();
    if let Some(gb) = dapr.scheduler.storage_gb {
        cluster.insert("storageSize".to_owned(), json!(format!("{gb}Gi")));
    }
    if let Some(class) = &dapr.scheduler.storage_class {
        cluster.insert("storageClassName".to_owned(), json!(class));
    }
    json!({
        "global": global,
        // The chart's role lets every pod of `default` read every secret there.
        "dapr_rbac": {"secretReader": {"enabled": false}},
        "dapr_operator": {"resources": requests("25m", "100Mi")},
        "dapr_sentry": {"resources": requests("25m", "64Mi")},
        "dapr_sidecar_injector": {
            "resources": requests("25m", "64Mi"),
            "sidecarDropALLCapabilities": true,
        },
        "dapr_scheduler": {"resources": requests("50m", "128Mi"), "cluster": cluster},
    })
}

/// Requests without limits: a control plane that is killed for its memory
/// takes every sidecar's readiness with it.
fn requests(cpu: &str, memory: &str) -> Value {
    json!({"requests": {"cpu": cpu, "memory": memory}})
}

/// The changes to what the chart renders, its resource definitions included,
/// in order.
pub fn edits(profile: &Profile) -> Vec<Edit> {
    let namespace = profile.dapr.namespace.to_string();
    let mut edits = vec![
        Edit::new("conversion webhook in its namespace", move |object| {
            let pointer = "/spec/conversion/webhook/clientConfig/service/namespace";
            replace(object, pointer, &json!("replaceme"), || json!(namespace))
        }),
        Edit::new("certificates of webhooks left to Dapr", drop_ca_bundles),
        Edit::new("trust bundle left to Sentry", drop_trust_data),
    ];
    // High availability is what the three schedulers are for.
    if !profile.dapr.ha {
        edits.extend(single_scheduler(&profile.dapr.scheduler));
    }
    edits
}

/// Sets a field that has a certain value.
fn replace(object: &mut Value, pointer: &str, from: &Value, to: impl Fn() -> Value) -> bool {
    match object.pointer_mut(pointer) {
        Some(field) if field == from => {
            *field = to();
            true
        }
        _ => false,
    }
}

fn is(object: &Value, kind: &str, name: &str) -> bool {
    object["kind"] == kind && object["metadata"]["name"] == name
}

fn remove(object: &mut Value, pointer: &str, key: &str) -> bool {
    let parent = object.pointer_mut(pointer).and_then(Value::as_object_mut);
    parent.is_some_and(|parent| parent.shift_remove(key).is_some())
}

/// The operator and the injector write `caBundle` at run time. A manifest that
/// claims the field would take it away from them.
fn drop_ca_bundles(object: &mut Value) -> bool {
    let webhooks = object["kind"].as_str().is_some_and(|kind| {
        matches!(
            kind,
            "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration"
        )
    });
    if !webhooks {
        return remove(object, "/spec/conversion/webhook/clientConfig", "caBundle");
    }
    let count = object["webhooks"].as_array().map_or(0, Vec::len);
    let mut any = false;
    for i in 0..count {
        any |= remove(object, &format!("/webhooks/{i}/clientConfig"), "caBundle");
    }
    any
}

/// Sentry fills the trust bundle at run time; to write it again would change
/// the certificate authority under every sidecar.
fn drop_trust_data(object: &mut Value) -> bool {
    let bundle = is(object, "Secret", TRUST_BUNDLE) || is(object, "ConfigMap", TRUST_BUNDLE);
    let mut any = false;
    for key in ["data", "stringData", "binaryData"] {
        any |= bundle && remove(object, "", key);
    }
    any
}

/// The chart runs three schedulers with a volume each, whatever `ha` says.
/// Oracle's smallest volume has 50 GB; three of them leave nothing of the free
/// 200 GB for Kafka and a second node.
fn single_scheduler(scheduler: &Scheduler) -> Vec<Edit> {
    let mut edits = vec![
        Edit::new("one scheduler", |object| {
            is(object, "StatefulSet", SCHEDULER)
                && replace(object, "/spec/replicas", &json!(3), || json!(1))
        }),
        Edit::new("one member in the scheduler's cluster", |object| {
            is(object, "StatefulSet", SCHEDULER) && first_member_only(object)
        }),
        Edit::new("disruption budget of one scheduler", |object| {
            let budget = "dapr-scheduler-server-disruption-budget";
            is(object, "PodDisruptionBudget", budget)
                && replace(object, "/spec/maxUnavailable", &json!("25%"), || json!(1))
        }),
    ];
    if scheduler.storage_gb.is_none() {
        edits.push(Edit::new("scheduler without a volume", |object| {
            is(object, "StatefulSet", SCHEDULER) && volume_in_pod(object)
        }));
    }
    edits
}

/// Cuts `--etcd-initial-cluster` down to its first member.
fn first_member_only(object: &mut Value) -> bool {
    let containers = object.pointer_mut("/spec/template/spec/containers");
    let mut any = false;
    for container in containers
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        let args = container.get_mut("args").and_then(Value::as_array_mut);
        let Some(args) = args else { continue };
        let option = args.iter().position(|arg| arg == "--etcd-initial-cluster");
        let members = option.and_then(|at| args.get_mut(at + 1));
        let first = members
            .as_ref()
            .and_then(|members| members.as_str()?.split_once(','))
            .map(|(first, _)| first.to_owned());
        if let (Some(members), Some(first)) = (members, first) {
            *members = json!(first);
            any = true;
        }
    }
    any
}

/// Replaces the volume claim by a folder that lives as long as the pod. A
/// single member that comes back empty starts anew; a member of three would
/// not be let back in.
fn volume_in_pod(object: &mut Value) -> bool {
    if !remove(object, "/spec", "volumeClaimTemplates") {
        return false;
    }
    let volumes = object.pointer_mut("/spec/template/spec/volumes");
    if let Some(volumes) = volumes.and_then(Value::as_array_mut) {
        volumes.push(json!({"name": SCHEDULER_VOLUME, "emptyDir": {"sizeLimit": "1Gi"}}));
    }
    true
}

/// The volume claims that stay behind when the release is uninstalled, and go
/// on costing: those of the scheduler.
pub fn leftover_claims() -> Vec<String> {
    (0..3)
        .map(|i| format!("{SCHEDULER_VOLUME}-{SCHEDULER}-{i}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Manifest;

    fn profile(sets: &[&str]) -> Profile {
        let sets: Vec<String> = sets.iter().map(|s| (*s).to_owned()).collect();
        crate::profile::load("oke", &images(&sets)).unwrap().profile
    }

    fn images(sets: &[String]) -> Vec<String> {
        let mut all = vec![
            "app.services.frontend.image=ghcr.io/example/f:1".to_owned(),
            "app.services.backend.image=ghcr.io/example/b:1".to_owned(),
        ];
        all.extend_from_slice(sets);
        all
    }

    fn scheduler() -> Value {
        let members = "s-0=https://s-0:2380,s-1=https://s-1:2380,s-2=https://s-2:2380";
        json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet",
            "metadata": {"name": SCHEDULER, "namespace": "dapr-system"},
            "spec": {
                "replicas": 3,
                "volumeClaimTemplates": [{"metadata": {"name": SCHEDULER_VOLUME}}],
                "template": {"spec": {
                    "containers": [{"name": "s", "args": ["--id", "x", "--etcd-initial-cluster", members, "--y"]}],
                    "volumes": [{"name": "dapr-trust-bundle"}],
                }},
            },
        })
    }

    fn edited(profile: &Profile, object: Value) -> (Value, Vec<String>) {
        let manifests = vec![Manifest::new(object).unwrap()];
        let (out, log) = Edit::apply_all(&edits(profile), manifests).unwrap();
        (out[0].body().clone(), log)
    }

    #[test]
    fn three_schedulers_become_one() {
        let (object, log) = edited(&profile(&[]), scheduler());
        assert_eq!(object["spec"]["replicas"], 1);
        assert_eq!(
            object["spec"]["template"]["spec"]["containers"][0]["args"][3],
            "s-0=https://s-0:2380"
        );
        assert!(object["spec"].get("volumeClaimTemplates").is_some());
        assert_eq!(
            log,
            [
                "one scheduler: StatefulSet dapr-system/dapr-scheduler-server",
                "one member in the scheduler's cluster: StatefulSet dapr-system/dapr-scheduler-server",
            ]
        );
        let (object, log) = edited(&profile(&["dapr.scheduler.storage_gb=null"]), scheduler());
        assert_eq!(object["spec"].get("volumeClaimTemplates"), None);
        let volumes = &object["spec"]["template"]["spec"]["volumes"];
        assert_eq!(volumes[1]["name"], SCHEDULER_VOLUME);
        assert_eq!(log.len(), 3);
        let (object, log) = edited(&profile(&["dapr.ha=true"]), scheduler());
        assert_eq!(object, scheduler());
        assert_eq!(log, Vec::<String>::new());
    }

    #[test]
    fn what_dapr_writes_at_run_time_is_not_claimed() {
        let profile = profile(&["dapr.namespace=dapr"]);
        let (crd, _) = edited(
            &profile,
            json!({
                "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
                "metadata": {"name": "subscriptions.dapr.io"},
                "spec": {"conversion": {"strategy": "Webhook", "webhook": {"clientConfig": {
                    "service": {"namespace": "replaceme", "name": "dapr-webhook"}, "caBundle": "Zg==",
                }}}},
            }),
        );
        let client = &crd["spec"]["conversion"]["webhook"]["clientConfig"];
        assert_eq!(client["service"]["namespace"], "dapr");
        assert_eq!(client.get("caBundle"), None);
        let (hook, _) = edited(
            &profile,
            json!({
                "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
                "metadata": {"name": "dapr-sidecar-injector"},
                "webhooks": [{"name": "w", "clientConfig": {"caBundle": "", "service": {}}}],
            }),
        );
        assert_eq!(hook["webhooks"][0]["clientConfig"], json!({"service": {}}));
        let (bundle, log) = edited(
            &profile,
            json!({
                "apiVersion": "v1", "kind": "Secret", "data": {},
                "metadata": {"name": TRUST_BUNDLE, "namespace": "dapr"},
            }),
        );
        assert_eq!(bundle.get("data"), None);
        assert_eq!(log.len(), 1);
    }

    #[test]
    fn values_follow_the_profile() {
        let values = values(&profile(&["dapr.scheduler.storage_class=oci-bv"]));
        assert_eq!(values["global"]["daprControlPlaneArch"], "arm64");
        assert_eq!(
            values["dapr_scheduler"]["cluster"],
            json!({"storageSize": "50Gi", "storageClassName": "oci-bv"})
        );
    }
}
