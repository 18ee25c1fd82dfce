//! What todoctl adds to the user's own chart: sidecars where the profile wants
//! them and the chart has none, and the images that the profile names.
//!
//! The chart has the first word: an annotation that is there stays.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::DAPR_CONFIG;
use crate::manifest::{Edit, Manifest};
use crate::profile::{Profile, Service};

/// Kinds with a pod template.
const WORKLOADS: [&str; 4] = ["Deployment", "StatefulSet", "DaemonSet", "Job"];

/// The annotation that restarts a pod when the version of Dapr changes.
const VERSION: &str = "checksum/dapr";

/// Labels that say which service a workload is.
const LABELS: [&str; 4] = [
    "app.kubernetes.io/component",
    "app.kubernetes.io/name",
    "app",
    "component",
];

/// The changes to what the user's own chart renders, in order. The chart says
/// how many pods a service has, unless that was set by hand. Pods with sidecars
/// restart when the version of Dapr changes.
pub fn edits(
    profile: &Profile,
    by_hand: &BTreeMap<&str, u32>,
    dapr_version: Option<&str>,
) -> Vec<Edit> {
    let mut edits = Vec::new();
    for service in &profile.app.services {
        if let Some(replicas) = by_hand.get(service.name.as_str()).copied() {
            let (release, of) = (profile.app.release.to_string(), service.clone());
            edits.push(Edit::new("number of pods set by hand", move |object| {
                is_of(object, &of, &release) && set_replicas(object, replicas)
            }));
        }
        let (release, of) = (profile.app.release.to_string(), service.clone());
        edits.push(Edit::new("image of the profile", move |object| {
            is_of(object, &of, &release) && set_image(object, &of)
        }));
        if service.dapr.is_none() {
            continue;
        }
        let (release, of) = (profile.app.release.to_string(), service.clone());
        let version = dapr_version.map(str::to_owned);
        edits.push(Edit::new("Dapr sidecar", move |object| {
            is_of(object, &of, &release) && annotate(object, &of, version.as_deref())
        }));
    }
    edits
}

/// Makes the images that are deployed those of the profile's services.
pub fn adopt_images(profile: &mut Profile, deployed: &[Manifest]) {
    let release = profile.app.release.to_string();
    for service in &mut profile.app.services {
        let of = deployed
            .iter()
            .find(|object| is_of(object.body(), service, &release));
        let containers = of.and_then(|o| o.body().pointer("/spec/template/spec/containers"));
        let containers = containers.and_then(Value::as_array).map(Vec::as_slice);
        let image = containers.and_then(|all| all.get(meant(all, service)?)?["image"].as_str());
        if let Some(image) = image {
            image.clone_into(&mut service.image);
        }
    }
}

/// Sets a workload's number of pods, where it has one.
fn set_replicas(object: &mut Value, replicas: u32) -> bool {
    let scales = matches!(object["kind"].as_str(), Some("Deployment" | "StatefulSet"));
    let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) else {
        return false;
    };
    let wanted = json!(replicas);
    let differs = scales && spec.get("replicas") != Some(&wanted);
    if differs {
        spec.insert("replicas".to_owned(), wanted);
    }
    differs
}

/// Whether an object runs a service: by its name, with or without the
/// release's, or by a label.
fn is_of(object: &Value, service: &Service, release: &str) -> bool {
    let kind = object["kind"].as_str().unwrap_or_default();
    if !WORKLOADS.contains(&kind) {
        return false;
    }
    let wanted = service.name.as_str();
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let within_release = name
        .strip_prefix(release)
        .and_then(|rest| rest.strip_prefix('-'));
    let ends_with =
        within_release.is_some_and(|rest| rest == wanted || rest.ends_with(&format!("-{wanted}")));
    let labels = &object["metadata"]["labels"];
    name == wanted || ends_with || LABELS.iter().any(|label| labels[*label] == wanted)
}

/// Names the service's image in the container that is meant: the one of the
/// service's name, or else the only one.
fn set_image(object: &mut Value, service: &Service) -> bool {
    let containers = object.pointer_mut("/spec/template/spec/containers");
    let Some(containers) = containers.and_then(Value::as_array_mut) else {
        return false;
    };
    let at = meant(containers, service);
    let container = at.and_then(|at| containers.get_mut(at));
    match container.and_then(Value::as_object_mut) {
        Some(container) if container.get("image") != Some(&json!(service.image)) => {
            container.insert("image".to_owned(), json!(service.image));
            true
        }
        _ => false,
    }
}

/// Which of the containers is the service's.
fn meant(containers: &[Value], service: &Service) -> Option<usize> {
    let named = containers
        .iter()
        .position(|c| c["name"] == service.name.as_str());
    named.or((containers.len() == 1).then_some(0))
}

/// Adds Dapr's annotations to the pod template. On the workload itself, where
/// they are often put, Dapr does not see them.
fn annotate(object: &mut Value, service: &Service, version: Option<&str>) -> bool {
    let Some(dapr) = &service.dapr else {
        return false;
    };
    let Some(template) = object
        .pointer_mut("/spec/template")
        .and_then(Value::as_object_mut)
    else {
        return false;
    };
    let empty = || Value::Object(Map::new());
    let metadata = template.entry("metadata").or_insert_with(empty);
    let Some(metadata) = metadata.as_object_mut() else {
        return false;
    };
    let annotations = metadata.entry("annotations").or_insert_with(empty);
    if annotations.is_null() {
        *annotations = empty();
    }
    let Some(annotations) = annotations.as_object_mut() else {
        return false;
    };
    let port = dapr.app_port.unwrap_or(service.port).to_string();
    let wanted = [
        ("enabled", "true"),
        ("app-id", dapr.app_id.as_str()),
        ("app-port", &port),
        ("config", DAPR_CONFIG),
        ("log-as-json", "true"),
        ("sidecar-cpu-request", "50m"),
        ("sidecar-memory-request", "64Mi"),
        ("sidecar-memory-limit", "256Mi"),
        ("sidecar-seccomp-profile-type", "RuntimeDefault"),
        ("env", "GOMEMLIMIT=230MiB"),
    ];
    let mut any = false;
    for (key, value) in wanted {
        let key = format!("dapr.io/{key}");
        // Dapr takes no other word than `true` for it.
        let counts = key != "dapr.io/enabled" || annotations.get(&key) == Some(&json!("true"));
        if !annotations.contains_key(&key) || !counts {
            annotations.insert(key, json!(value));
            any = true;
        }
    }
    if let Some(version) = version
        && !annotations.contains_key(VERSION)
    {
        annotations.insert(VERSION.to_owned(), json!(version));
        any = true;
    }
    any
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workload(name: &str, annotations: &Value) -> Manifest {
        Manifest::new(json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": name, "annotations": {"dapr.io/enabled": "true"}},
            "spec": {"template": {
                "metadata": {"annotations": annotations},
                "spec": {"containers": [{"name": "web", "image": "old:1"}]},
            }},
        }))
        .unwrap()
    }

    fn edited(manifest: Manifest) -> (Value, Vec<String>) {
        let profile = crate::profile::load("sandbox", &[]).unwrap().profile;
        let (out, log) =
            Edit::apply_all(&edits(&profile, &BTreeMap::new(), None), vec![manifest]).unwrap();
        (out[0].body()["spec"]["template"].clone(), log)
    }

    #[test]
    fn sidecars_and_images_come_from_the_profile() {
        let (template, log) = edited(workload("todo-app-backend", &Value::Null));
        let annotations = &template["metadata"]["annotations"];
        assert_eq!(annotations["dapr.io/app-id"], "backend");
        assert_eq!(annotations["dapr.io/app-port"], "8000");
        assert_eq!(
            template["spec"]["containers"][0]["image"],
            "ghcr.io/example/todo-backend:0.2.0"
        );
        assert_eq!(
            log,
            [
                "image of the profile: Deployment todo-app-backend",
                "Dapr sidecar: Deployment todo-app-backend"
            ]
        );
    }

    #[test]
    fn the_charts_own_annotations_stay() {
        let own = json!({"dapr.io/enabled": "yes", "dapr.io/app-port": "9000", "x": "y"});
        let (template, _) = edited(workload("backend", &own));
        let annotations = &template["metadata"]["annotations"];
        assert_eq!(annotations["dapr.io/enabled"], "true");
        assert_eq!(annotations["dapr.io/app-port"], "9000");
        assert_eq!(annotations["x"], "y");
    }

    #[test]
    fn a_number_set_by_hand_goes_before_the_charts() {
        let profile = crate::profile::load("sandbox", &[]).unwrap().profile;
        let by_hand = [("backend", 3)].into();
        let both = vec![
            workload("todo-app-backend", &json!({})),
            workload("todo-app-frontend", &json!({})),
        ];
        let (out, _) = Edit::apply_all(&edits(&profile, &by_hand, None), both).unwrap();
        assert_eq!(out[0].body()["spec"]["replicas"], 3);
        assert_eq!(out[1].body()["spec"].get("replicas"), None);
    }

    #[test]
    fn deployed_images_take_the_place_of_the_profiles() {
        let mut profile = crate::profile::load("sandbox", &[]).unwrap().profile;
        let before = profile.service("frontend").unwrap().image.clone();
        adopt_images(&mut profile, &[workload("todo-app-backend", &json!({}))]);
        assert_eq!(profile.service("backend").unwrap().image, "old:1");
        assert_eq!(profile.service("frontend").unwrap().image, before);
    }

    #[test]
    fn what_is_no_service_of_the_profile_is_left_alone() {
        let (template, log) = edited(workload("todo-app-backend-cache", &json!({})));
        assert_eq!(template["metadata"]["annotations"], json!({}));
        assert_eq!(log, Vec::<String>::new());
        let (template, _) = edited(workload("frontend", &json!({})));
        assert_eq!(template["metadata"]["annotations"], json!({}));
    }
}
