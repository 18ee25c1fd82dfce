//! A definition with two versions, and the webhook that knows both.

use ::kube::api::{
    Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, WatchEvent,
    WatchParams,
};
use ::kube::core::{ApiResource, GroupVersionKind};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt as _;
use http::StatusCode;
use serde_json::{Value, json};

use crate::sandbox::http::{Handler, Reply, Request};
use crate::sandbox::kube::admission::tests::{make, serve_hook};
use crate::sandbox::kube::tests::{Rig, still};

/// `v1` has `spec.route`, `v2` has it in `spec.routes.default`. It breaks
/// objects named `broken`, and answers nothing of use about `odd`.
struct Converter;

fn converted(mut object: Value, wanted: &str) -> Value {
    object["apiVersion"] = json!(wanted);
    object["metadata"]["generation"] = json!(99);
    object["metadata"]["labels"]["by"] = json!("webhook");
    if object["metadata"]["name"] == "broken" {
        object["metadata"]["name"] = json!("other");
    }
    let spec = object["spec"].as_object_mut().unwrap();
    if wanted.ends_with("v2") {
        let route = spec.remove("route").unwrap_or_default();
        spec.insert("routes".to_owned(), json!({ "default": route }));
    } else {
        let route = spec.remove("routes").unwrap_or_default()["default"].take();
        spec.insert("route".to_owned(), route);
    }
    object
}

impl Handler for Converter {
    fn system(&self) -> &'static str {
        "converter"
    }

    fn is_logged(&self) -> bool {
        false
    }

    async fn handle(&self, request: Request) -> Reply {
        let review: Value = serde_json::from_slice(&request.body).unwrap();
        let asked = &review["request"];
        let wanted = asked["desiredAPIVersion"].as_str().unwrap();
        let objects = asked["objects"].as_array().unwrap().clone();
        let odd = objects.iter().any(|o| o["metadata"]["name"] == "odd");
        let objects = objects.into_iter().map(|o| converted(o, wanted));
        let result = match odd {
            true => json!({"status": "Failure", "message": "odd things are not converted"}),
            false => json!({"status": "Success"}),
        };
        let answer = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview",
            "response": {
                "uid": asked["uid"], "result": result,
                "convertedObjects": objects.collect::<Vec<_>>(),
            },
        });
        Reply::json(StatusCode::OK, &answer)
    }

    fn fault(&self, status: StatusCode, _: &Request) -> Reply {
        Reply::empty(status)
    }
}

fn definition(authority: &str) -> Value {
    let version = |name: &str, spec: Value| {
        json!({
            "name": name, "served": true, "storage": name == "v2",
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                "spec": {"type": "object", "properties": spec},
            }}},
        })
    };
    let text = json!({"type": "string"});
    let routes = json!({"type": "object", "properties": {"default": text}});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "ways.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "ways", "singular": "way", "kind": "Way", "listKind": "WayList"},
            "versions": [
                version("v1", json!({"route": text, "topic": text})),
                version("v2", json!({"routes": routes, "topic": text})),
            ],
            "conversion": {"strategy": "Webhook", "webhook": {
                "conversionReviewVersions": ["v1"],
                "clientConfig": {
                    "service": {"namespace": "default", "name": "hook", "path": "/convert"},
                    "caBundle": STANDARD.encode(authority),
                },
            }},
        },
    })
}

fn api(rig: &Rig, version: &str) -> Api<DynamicObject> {
    let gvk = GroupVersionKind::gvk("example.com", version, "Way");
    let resource = ApiResource::from_gvk_with_plural(&gvk, "ways");
    Api::namespaced_with(rig.client.clone(), "default", &resource)
}

fn way(version: &str, name: &str, spec: &Value) -> DynamicObject {
    let object = json!({
        "apiVersion": format!("example.com/{version}"), "kind": "Way",
        "metadata": {"name": name}, "spec": spec,
    });
    serde_json::from_value(object).unwrap()
}

/// A cluster that serves the definition.
async fn rig(authority: &str) -> Rig {
    let rig = still().await;
    define(&rig, authority).await;
    rig
}

async fn define(rig: &Rig, authority: &str) {
    let definition = definition(authority);
    let group = "apiextensions.k8s.io";
    make(rig, group, "CustomResourceDefinition", definition).await;
    let is_served = || async { api(rig, "v1").list(&ListParams::default()).await.is_ok() };
    let served = async {
        while !is_served().await {
            tokio::task::yield_now().await;
        }
    };
    let limit = std::time::Duration::from_secs(8);
    tokio::time::timeout(limit, served).await.unwrap();
}

fn refusal<T: std::fmt::Debug>(answer: Result<T, ::kube::Error>) -> String {
    match answer {
        Err(::kube::Error::Api(status)) => format!("{} {}", status.code, status.message),
        other => panic!("{other:?}"),
    }
}

async fn with_webhook() -> (Rig, impl Sized) {
    let rig = still().await;
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "hook"},
        "spec": {"ports": [{"port": 443}]},
    });
    make(&rig, "", "Service", service).await;
    let (authority, binding) = serve_hook(&rig, Converter).await;
    define(&rig, &authority).await;
    (rig, binding)
}

#[tokio::test]
async fn each_version_shows_and_takes_its_own_fields() {
    let (rig, _binding) = with_webhook().await;
    let (v1, v2) = (api(&rig, "v1"), api(&rig, "v2"));
    let post = PostParams::default();
    let made = way("v1", "a", &json!({"route": "/a", "topic": "t"}));
    let made = v1.create(&post, &made).await.unwrap();
    assert_eq!(made.data["spec"], json!({"topic": "t", "route": "/a"}));
    // The webhook has a say in labels, and none in the rest of the metadata.
    assert_eq!(made.metadata.generation, Some(1));
    assert_eq!(made.metadata.labels.unwrap()["by"], "webhook");
    let stored = v2.get("a").await.unwrap();
    let wanted = json!({"topic": "t", "routes": {"default": "/a"}});
    assert_eq!(stored.data["spec"], wanted);

    let patch = json!({"spec": {"route": "/b"}});
    let (params, patch) = (PatchParams::default(), Patch::Merge(&patch));
    let merged = v1.patch("a", &params, &patch).await.unwrap();
    assert_eq!(merged.data["spec"]["route"], "/b");
    let applied = way("v1", "a", &json!({"route": "/c"}));
    let force = PatchParams::apply("one").force();
    let applied = v1
        .patch("a", &force, &Patch::Apply(&applied))
        .await
        .unwrap();
    assert_eq!(applied.data["spec"], json!({"topic": "t", "route": "/c"}));
    let mut replaced = v1.get("a").await.unwrap();
    let version = replaced.metadata.resource_version.clone();
    replaced.data["spec"] = json!({"route": "/d"});
    v1.replace("a", &post, &replaced).await.unwrap();
    assert_eq!(
        v2.get("a").await.unwrap().data["spec"]["routes"]["default"],
        "/d"
    );
    replaced.metadata.resource_version = version;
    assert!(refusal(v1.replace("a", &post, &replaced).await).starts_with("409"));
    let wrong = way("v1", "b", &json!({"route": 3}));
    assert!(refusal(v1.create(&post, &wrong).await).starts_with("422"));

    let gone = v1.delete("a", &DeleteParams::default()).await.unwrap();
    assert!(gone.is_right());
}

#[tokio::test]
async fn lists_and_watches_are_converted() {
    let (rig, _binding) = with_webhook().await;
    let (v1, v2) = (api(&rig, "v1"), api(&rig, "v2"));
    let post = PostParams::default();
    let spec = |route: &str| json!({"routes": {"default": route}});
    for name in ["a", "b"] {
        v2.create(&post, &way("v2", name, &spec("/x")))
            .await
            .unwrap();
    }
    let list = v1.list(&ListParams::default()).await.unwrap();
    let routes: Vec<_> = list
        .items
        .iter()
        .map(|way| &way.data["spec"]["route"])
        .collect();
    assert_eq!(routes, ["/x", "/x"]);
    let mut watch = Box::pin(v1.watch(&WatchParams::default(), "0").await.unwrap());
    v2.create(&post, &way("v2", "c", &spec("/y")))
        .await
        .unwrap();
    let mut seen = Vec::new();
    while seen.len() < 3 {
        if let WatchEvent::Added(way) = watch.next().await.unwrap().unwrap() {
            seen.push(way.data["spec"]["route"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(seen, ["/x", "/x", "/y"]);
}

#[tokio::test]
async fn a_webhook_that_is_away_or_wrong_fails_one_version_only() {
    let rig = rig("").await;
    let (v1, v2) = (api(&rig, "v1"), api(&rig, "v2"));
    let post = PostParams::default();
    v2.create(&post, &way("v2", "a", &json!({}))).await.unwrap();
    assert_eq!(
        refusal(v1.get("a").await),
        "500 conversion webhook for example.com/v2, Kind=Way failed: Post \
         \"https://hook.default.svc:443/convert?timeout=30s\": service \"hook\" not found"
    );
    assert!(v2.get("a").await.is_ok());

    let (rig, _binding) = with_webhook().await;
    let (v1, v2) = (api(&rig, "v1"), api(&rig, "v2"));
    for name in ["odd", "broken"] {
        v2.create(&post, &way("v2", name, &json!({})))
            .await
            .unwrap();
    }
    assert_eq!(
        refusal(v1.get("odd").await),
        "500 conversion webhook for example.com/v2, Kind=Way failed: odd things are not converted"
    );
    assert_eq!(
        refusal(v1.get("broken").await),
        "500 conversion webhook for example.com/v2, Kind=Way returned invalid converted object: \
         must have the same name: broken != other"
    );
}
