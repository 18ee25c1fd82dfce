//! Hooks that listen behind a Service, as an injector does.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use ::kube::api::{Api, DynamicObject, PostParams};
use ::kube::core::{ApiResource, GroupVersionKind};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::{Value, json};

use crate::sandbox::http::{Handler, Reply, Request, serve};
use crate::sandbox::kube::tests::{OCID, Rig, still};
use crate::sandbox::kube::tls::Certificates;
use crate::sandbox::podnet::{Binding, ServiceRoute};

const POD: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 9);

/// Labels what it sees, and denies objects named `bad`.
struct Labeller;

impl Handler for Labeller {
    fn system(&self) -> &'static str {
        "hook"
    }

    fn is_logged(&self) -> bool {
        false
    }

    async fn handle(&self, request: Request) -> Reply {
        let review: Value = serde_json::from_slice(&request.body).unwrap();
        let asked = &review["request"];
        let mut response = json!({"uid": asked["uid"], "allowed": asked["name"] != "bad"});
        if asked["name"] == "bad" {
            response["status"] = json!({"message": "no bad names", "code": 403});
        } else if request.path == "/mutate" {
            let patch = json!([
                {"op": "add", "path": "/metadata/labels", "value": {"seen": "yes"}},
            ]);
            response["patch"] = json!(STANDARD.encode(patch.to_string()));
            response["patchType"] = json!("JSONPatch");
        }
        let answer = json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response,
        });
        Reply::json(StatusCode::OK, &answer)
    }

    fn fault(&self, status: StatusCode, _: &Request) -> Reply {
        Reply::empty(status)
    }
}

async fn hook(rig: &Rig) -> (String, Binding) {
    serve_hook(rig, Labeller).await
}

/// Serves a hook at `https://hook.default.svc:443`; gives the authority.
pub(in crate::sandbox::kube) async fn serve_hook<H: Handler>(
    rig: &Rig,
    handler: H,
) -> (String, Binding) {
    let net = rig.clusters.net(OCID).unwrap();
    let certificates = Certificates::generate("hook.default.svc").unwrap();
    let (listener, binding) = net.listen(POD, 8443).await.unwrap();
    let route = ServiceRoute {
        address: None,
        ports: HashMap::from([(443, vec![(POD, 8443)])]),
        hosts: HashMap::new(),
    };
    net.route("default", "hook", Some(route));
    tokio::spawn(serve(
        listener,
        Some(certificates.acceptor().unwrap()),
        Arc::new(handler),
        rig.world.clone(),
        rig.world.clock.cancellation().clone(),
    ));
    (certificates.ca_pem, binding)
}

/// Makes an object of a group's `v1`.
pub(in crate::sandbox::kube) async fn make(rig: &Rig, group: &str, kind: &str, object: Value) {
    let gvk = GroupVersionKind::gvk(group, "v1", kind);
    let api: Api<DynamicObject> = if kind == "Service" {
        Api::default_namespaced_with(rig.client.clone(), &ApiResource::from_gvk(&gvk))
    } else {
        Api::all_with(rig.client.clone(), &ApiResource::from_gvk(&gvk))
    };
    let object = serde_json::from_value(object).unwrap();
    api.create(&PostParams::default(), &object).await.unwrap();
}

fn configuration(kind: &str, path: &str, authority: &str, policy: &str) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind,
        "metadata": {"name": "h"},
        "webhooks": [{
            "name": "h.example.com",
            "clientConfig": {
                "service": {"namespace": "default", "name": "hook", "path": path},
                "caBundle": STANDARD.encode(authority),
            },
            "rules": [{
                "operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"],
                "resources": ["configmaps"],
            }],
            "failurePolicy": policy,
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
        }],
    })
}

async fn create(rig: &Rig, name: &str) -> Result<ConfigMap, String> {
    let maps: Api<ConfigMap> = Api::namespaced(rig.client.clone(), "default");
    let map = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
    match maps.create(&PostParams::default(), &map).await {
        Ok(map) => Ok(map),
        Err(::kube::Error::Api(status)) => Err(format!("{} {}", status.code, status.message)),
        Err(other) => panic!("{other}"),
    }
}

const GROUP: &str = "admissionregistration.k8s.io";

#[tokio::test]
async fn hooks_change_and_deny_what_is_made() {
    let rig = still().await;
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "hook"},
        "spec": {"selector": {"app": "hook"}, "ports": [{"port": 443}]},
    });
    make(&rig, "", "Service", service).await;
    let (authority, _binding) = hook(&rig).await;
    let kind = "MutatingWebhookConfiguration";
    let mutating = configuration(kind, "/mutate", &authority, "Fail");
    make(&rig, GROUP, kind, mutating).await;
    let kind = "ValidatingWebhookConfiguration";
    let validating = configuration(kind, "/validate", &authority, "Fail");
    make(&rig, GROUP, kind, validating).await;
    let made = create(&rig, "good").await.unwrap();
    assert_eq!(made.metadata.labels.unwrap()["seen"], "yes");
    assert_eq!(
        create(&rig, "bad").await.unwrap_err(),
        "403 admission webhook \"h.example.com\" denied the request: no bad names"
    );
}

#[tokio::test]
async fn a_hook_that_is_away_fails_the_write_or_is_ignored() {
    let rig = still().await;
    let kind = "ValidatingWebhookConfiguration";
    let away = configuration(kind, "/v", "", "Fail");
    make(&rig, GROUP, kind, away).await;
    assert_eq!(
        create(&rig, "a").await.unwrap_err(),
        "500 Internal error occurred: failed calling webhook \"h.example.com\": failed to call webhook: Post \"https://hook.default.svc:443/v?timeout=10s\": service \"hook\" not found"
    );
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "hook"},
        "spec": {"ports": [{"port": 443}]},
    });
    make(&rig, "", "Service", service).await;
    assert!(
        create(&rig, "a")
            .await
            .unwrap_err()
            .ends_with("no endpoints available for service \"hook\"")
    );
    let (_authority, _binding) = hook(&rig).await;
    let other = Certificates::generate("other").unwrap();
    let mut strange = configuration(kind, "/v", &other.ca_pem, "Fail");
    strange["metadata"]["name"] = json!("a-first");
    make(&rig, GROUP, kind, strange).await;
    assert!(create(&rig, "a").await.unwrap_err().ends_with(
        "tls: failed to verify certificate: x509: certificate signed by unknown authority"
    ));
}
