//! The injector: an admission webhook over HTTPS that gives annotated pods
//! their sidecar, if one who may ask for it creates them.

use std::collections::BTreeSet;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use serde_json::{Value, json};

use super::super::super::api::PatchKind;
use super::super::super::http::{Reply, Request};
use super::super::logger::Logger;
use super::super::web::Server;
use super::super::{Exit, Process, Program};
use super::inject::{Annotations, Settings, patch, wants_sidecar};
use super::plane::{Counts, Plane, webhook_certificate};

/// The controllers of `kube-system` whose pods get sidecars.
const CONTROLLERS: [&str; 7] = [
    "replicaset-controller",
    "deployment-controller",
    "replication-controller",
    "cronjob-controller",
    "job-controller",
    "statefulset-controller",
    "daemon-set-controller",
];
const WEBHOOK: &str =
    "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/dapr-sidecar-injector";

/// The image `dapr/injector`.
pub struct Injector;

#[async_trait]
impl Program for Injector {
    async fn run(&self, process: Process) -> Exit {
        let targets = ["webhook-configuration", "injector-service"];
        let Ok(mut plane) = Plane::start(&process, "dapr.injector", &targets).await else {
            return Exit::error(1);
        };
        let Some(anchors) = plane.trust_anchors().await else {
            return Exit::OK;
        };
        let accounts = process
            .api
            .get("/api/v1/namespaces/kube-system/serviceaccounts")
            .await;
        if let Err(error) = accounts {
            let text = format!(
                "Failed to get authentication uids from services accounts: {}",
                error.message()
            );
            plane.log.fatal(&text);
            return Exit::error(1);
        }
        let served = serve(&mut plane, settings(&process, anchors)).await;
        if let Err(why) = served {
            plane.log.fatal(&why.to_string());
            return Exit::error(1);
        }
        plane.until_stopped().await
    }
}

async fn serve(plane: &mut Plane, settings: Settings) -> std::io::Result<()> {
    let process = plane.process.clone();
    let certificate = webhook_certificate("dapr-sidecar-injector", &process.namespace)?;
    let server = Server::bind(&process, 4000).await?;
    let server = server.with_tls(certificate.acceptor);
    let webhook = std::sync::Arc::new(Webhook {
        settings,
        allowed: allowed(process.env.get("ALLOWED_SERVICE_ACCOUNTS")),
        log: plane.log.scope("dapr.injector.service"),
        counts: plane.counts.clone(),
    });
    plane
        .tasks
        .spawn(server.run(process.stop.clone(), move |request| {
            let webhook = webhook.clone();
            async move { webhook.answer(&request) }
        }));
    plane
        .log
        .info("Sidecar injector is listening on :4000, patching Dapr-enabled pods");
    plane.targets.set("injector-service", true);
    let patch = json!([{
        "op": "replace",
        "path": "/webhooks/0/clientConfig/caBundle",
        "value": STANDARD.encode(&certificate.ca_pem),
    }]);
    let (api, targets, log) = (
        process.api.clone(),
        plane.targets.clone(),
        plane.log.clone(),
    );
    plane.tasks.spawn(async move {
        // The configuration may be applied after the injector.
        loop {
            match api.patch(WEBHOOK, PatchKind::Json, &patch).await {
                Ok(_) => {
                    targets.set("webhook-configuration", true);
                    return;
                }
                Err(error) => log.error(&format!(
                    "Failed to patch webhook configuration: {}",
                    error.message()
                )),
            }
            if !super::plane::pause(&process, std::time::Duration::from_secs(1)).await {
                return;
            }
        }
    });
    Ok(())
}

fn settings(process: &Process, trust_anchors: String) -> Settings {
    let text = |name: &str| process.env.get(name).cloned().unwrap_or_default();
    let is = |name: &str| text(name) == "true";
    let scheduler = process
        .args
        .iter()
        .any(|arg| arg == "--scheduler-enabled=true");
    Settings {
        image: text("SIDECAR_IMAGE"),
        pull_policy: text("SIDECAR_IMAGE_PULL_POLICY"),
        namespace: process.namespace.clone(),
        trust_domain: text("DAPR_CONTROL_PLANE_TRUST_DOMAIN"),
        sentry: text("DAPR_SENTRY_ADDRESS"),
        placement: is("ACTORS_ENABLED").then(|| text("ACTORS_SERVICE_ADDRESS")),
        scheduler,
        trust_anchors,
        non_root: is("SIDECAR_RUN_AS_NON_ROOT"),
        read_only: is("SIDECAR_READ_ONLY_ROOT_FILESYSTEM"),
        drop_all: is("SIDECAR_DROP_ALL_CAPABILITIES"),
        native: is("NATIVE_SIDECAR_ENABLED"),
    }
}

/// Users whose pods get sidecars, with `*` as a wildcard.
fn allowed(more: Option<&String>) -> BTreeSet<String> {
    let own = CONTROLLERS.map(|name| format!("system:serviceaccount:kube-system:{name}"));
    let more = more.map(String::as_str).unwrap_or_default().split(',');
    let more = more.filter(|entry| !entry.trim().is_empty());
    let more = more.map(|entry| format!("system:serviceaccount:{}", entry.trim()));
    own.into_iter().chain(more).collect()
}

struct Webhook {
    settings: Settings,
    allowed: BTreeSet<String>,
    log: Logger,
    counts: Counts,
}

impl Webhook {
    fn answer(&self, request: &Request) -> Reply {
        if request.path != "/mutate" {
            return Reply::empty(StatusCode::NOT_FOUND);
        }
        let Ok(review) = serde_json::from_slice::<Value>(&request.body) else {
            return Reply::text(StatusCode::BAD_REQUEST, "text/plain", "empty body\n");
        };
        self.counts
            .add("dapr_injector_sidecar_injection_requests_total", 1.0);
        let mut response = json!({"uid": review["request"]["uid"], "allowed": true});
        if let Some(operations) = self.inject(&review["request"]) {
            let text = Value::from(operations).to_string();
            response["patchType"] = json!("JSONPatch");
            response["patch"] = json!(STANDARD.encode(text));
        }
        let answer = json!({
            "apiVersion": review["apiVersion"],
            "kind": "AdmissionReview",
            "response": response,
        });
        Reply::json(StatusCode::OK, &answer)
    }

    fn inject(&self, request: &Value) -> Option<Vec<Value>> {
        let pod = &request["object"];
        if !wants_sidecar(pod) {
            return None;
        }
        let app = app_id(pod);
        let user = request["userInfo"]["username"].as_str().unwrap_or_default();
        let groups = request["userInfo"]["groups"].as_array();
        let master = groups
            .into_iter()
            .flatten()
            .any(|group| group == "system:masters");
        if !master && !self.allowed.iter().any(|pattern| matches(pattern, user)) {
            let uid = request["userInfo"]["uid"].as_str().unwrap_or_default();
            self.log.error(&format!(
                "service account '{user}' not on the list of allowed controller accounts (uid {uid})"
            ));
            let series = format!(
                "dapr_injector_sidecar_injection_failed_total{{app_id=\"{app}\",reason=\"unauthorized\"}}"
            );
            self.counts.add(&series, 1.0);
            return None;
        }
        let series = format!("dapr_injector_sidecar_injection_succeeded_total{{app_id=\"{app}\"}}");
        self.counts.add(&series, 1.0);
        self.log.info(&format!(
            "Sidecar injector succeeded injection for app '{app}'"
        ));
        Some(patch(pod, &app, &self.settings))
    }
}

/// The annotation, or the pod's name.
fn app_id(pod: &Value) -> String {
    let told = Annotations(&pod["metadata"]["annotations"]).get("app-id");
    let name = pod["metadata"]["name"].as_str();
    let name = name.or(pod["metadata"]["generateName"].as_str());
    told.or(name).unwrap_or_default().to_owned()
}

/// `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let mut last = None;
    for part in parts {
        last = Some(part);
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    match last {
        None => rest.is_empty(),
        Some(part) => text.ends_with(part),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_as_globs_do() {
        for (pattern, text, fits) in [
            (
                "system:serviceaccount:ci:runner",
                "system:serviceaccount:ci:runner",
                true,
            ),
            (
                "system:serviceaccount:ci:*",
                "system:serviceaccount:ci:runner-7",
                true,
            ),
            (
                "system:serviceaccount:ci:*",
                "system:serviceaccount:dev:runner",
                false,
            ),
            ("a*c", "abd", false),
            ("a", "ab", false),
        ] {
            assert_eq!(matches(pattern, text), fits, "{pattern} {text}");
        }
    }
}
