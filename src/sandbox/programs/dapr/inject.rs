//! What the injector does to a pod: the sidecar's container and what goes with
//! it, as a JSON patch. Annotations and defaults are those of Dapr 1.18.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::time::quantity_bytes;

/// What the injector was started with.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The sidecar's image.
    pub image: String,
    /// How the image is pulled.
    pub pull_policy: String,
    /// The control plane's namespace.
    pub namespace: String,
    /// The control plane's trust domain.
    pub trust_domain: String,
    /// Where sentry is.
    pub sentry: String,
    /// Where placement is, if actors are on.
    pub placement: Option<String>,
    /// Whether there is a scheduler.
    pub scheduler: bool,
    /// The authority's certificate.
    pub trust_anchors: String,
    /// Whether the sidecar may not run as root.
    pub non_root: bool,
    /// Whether the sidecar's file system is read-only.
    pub read_only: bool,
    /// Whether the sidecar drops all capabilities.
    pub drop_all: bool,
    /// Whether the sidecar is an init container that goes on running.
    pub native: bool,
}

/// A pod's `dapr.io/` annotations.
pub struct Annotations<'a>(pub &'a Value);

impl<'a> Annotations<'a> {
    /// The annotation's text.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.0[format!("dapr.io/{name}")].as_str()
    }

    /// Whether it is there and says `true`.
    pub fn is_true(&self, name: &str) -> bool {
        self.get(name)
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    fn number(&self, name: &str, otherwise: i64) -> i64 {
        let told = self.get(name).and_then(|value| value.parse().ok());
        told.unwrap_or(otherwise)
    }
}

/// Whether a pod asks for a sidecar that it does not have yet.
pub fn wants_sidecar(pod: &Value) -> bool {
    let annotations = Annotations(&pod["metadata"]["annotations"]);
    let containers = ["containers", "initContainers"];
    let has = containers.iter().any(|list| {
        let list = pod["spec"][list].as_array();
        list.into_iter()
            .flatten()
            .any(|container| container["name"] == "daprd")
    });
    annotations.is_true("enabled") && !has
}

/// The patch that gives a pod its sidecar.
pub fn patch(pod: &Value, app_id: &str, settings: &Settings) -> Vec<Value> {
    let annotations = Annotations(&pod["metadata"]["annotations"]);
    let mut operations = Vec::new();
    let native = match annotations.get("enable-native-sidecar") {
        Some(_) => annotations.is_true("enable-native-sidecar"),
        None => settings.native,
    };
    append(
        &mut operations,
        &pod["spec"]["volumes"],
        "/spec/volumes",
        &token_volume(settings),
    );
    let mut sidecar = container(&annotations, app_id, settings);
    if native {
        sidecar["restartPolicy"] = json!("Always");
        let list = &pod["spec"]["initContainers"];
        append(&mut operations, list, "/spec/initContainers", &sidecar);
    } else {
        append(
            &mut operations,
            &pod["spec"]["containers"],
            "/spec/containers",
            &sidecar,
        );
    }
    let labels = [
        ("dapr.io/sidecar-injected", "true".to_owned()),
        ("dapr.io/app-id", app_id.to_owned()),
        (
            "dapr.io/metrics-enabled",
            metrics_enabled(&annotations).to_string(),
        ),
    ];
    if pod["metadata"]["labels"].is_object() {
        for (name, value) in labels {
            let path = format!("/metadata/labels/{}", name.replace('/', "~1"));
            operations.push(json!({"op": "add", "path": path, "value": value}));
        }
    } else {
        let labels: BTreeMap<_, _> = labels.into_iter().collect();
        operations.push(json!({"op": "add", "path": "/metadata/labels", "value": labels}));
    }
    let apps = pod["spec"]["containers"].as_array();
    for (index, app) in apps.into_iter().flatten().enumerate() {
        tell_app(&mut operations, index, app, &annotations);
    }
    operations
}

/// Adds to a list, which may not be there.
fn append(operations: &mut Vec<Value>, list: &Value, path: &str, value: &Value) {
    operations.push(match list.is_array() {
        true => json!({"op": "add", "path": format!("{path}/-"), "value": value}),
        false => json!({"op": "add", "path": path, "value": [value]}),
    });
}

/// The app's containers learn where the sidecar is, unless they know already.
fn tell_app(operations: &mut Vec<Value>, index: usize, app: &Value, annotations: &Annotations<'_>) {
    let protocol = annotations.get("app-protocol").unwrap_or("http");
    let known = |name: &str| {
        let env = app["env"].as_array();
        env.into_iter().flatten().any(|entry| entry["name"] == name)
    };
    let wanted = [
        ("DAPR_HTTP_PORT", "3500"),
        (
            "DAPR_GRPC_PORT",
            annotations.get("grpc-port").unwrap_or("50001"),
        ),
        ("APP_PROTOCOL", protocol),
    ];
    let mut listed = app["env"].is_array();
    let path = format!("/spec/containers/{index}/env");
    for (name, value) in wanted.into_iter().filter(|(name, _)| !known(name)) {
        let entry = json!({"name": name, "value": value});
        operations.push(match listed {
            true => json!({"op": "add", "path": format!("{path}/-"), "value": entry}),
            false => json!({"op": "add", "path": path, "value": [entry]}),
        });
        listed = true;
    }
}

fn metrics_enabled(annotations: &Annotations<'_>) -> bool {
    annotations.get("enable-metrics").is_none() || annotations.is_true("enable-metrics")
}

fn token_volume(settings: &Settings) -> Value {
    let audience = format!(
        "spiffe://{}/ns/{}/dapr-sentry",
        settings.trust_domain, settings.namespace
    );
    json!({
        "name": "dapr-identity-token",
        "projected": {
            "defaultMode": 420,
            "sources": [{"serviceAccountToken": {
                "path": "token", "expirationSeconds": 7200, "audience": audience,
            }}],
        },
    })
}

fn container(annotations: &Annotations<'_>, app_id: &str, settings: &Settings) -> Value {
    let number = |name: &str, otherwise: i64| annotations.number(name, otherwise);
    let mut security = json!({
        "allowPrivilegeEscalation": false,
        "runAsNonRoot": settings.non_root,
        "readOnlyRootFilesystem": settings.read_only,
    });
    if settings.drop_all {
        security["capabilities"] = json!({"drop": ["ALL"]});
    }
    if let Some(profile) = annotations.get("sidecar-seccomp-profile-type") {
        security["seccompProfile"] = json!({ "type": profile });
    }
    let readiness = json!({
        "httpGet": {"path": "/v1.0/healthz", "port": 3501},
        "initialDelaySeconds": number("sidecar-readiness-probe-delay-seconds", 1),
        "timeoutSeconds": number("sidecar-readiness-probe-timeout-seconds", 1),
        "periodSeconds": number("sidecar-readiness-probe-period-seconds", 1),
        "failureThreshold": number("sidecar-readiness-probe-threshold", 5),
    });
    let liveness = json!({
        "tcpSocket": {"port": 3501},
        "initialDelaySeconds": number("sidecar-liveness-probe-delay-seconds", 180),
        "timeoutSeconds": number("sidecar-liveness-probe-timeout-seconds", 3),
        "periodSeconds": number("sidecar-liveness-probe-period-seconds", 10),
        "failureThreshold": number("sidecar-liveness-probe-threshold", 5),
    });
    let mut ports = vec![
        json!({"name": "dapr-http", "containerPort": 3500}),
        json!({"name": "dapr-grpc", "containerPort": number("grpc-port", 50001)}),
        json!({"name": "dapr-internal", "containerPort": number("internal-grpc-port", 50002)}),
    ];
    if metrics_enabled(annotations) {
        ports.push(json!({"name": "dapr-metrics", "containerPort": number("metrics-port", 9090)}));
    }
    let mut sidecar = json!({
        "name": "daprd",
        "image": annotations.get("sidecar-image").unwrap_or(&settings.image),
        "imagePullPolicy": settings.pull_policy,
        "args": args(annotations, app_id, settings),
        "env": env(annotations, settings),
        "ports": ports,
        "securityContext": security,
        "readinessProbe": readiness,
        "livenessProbe": liveness,
        "volumeMounts": [{
            "name": "dapr-identity-token",
            "mountPath": "/var/run/secrets/dapr.io/sentrytoken",
            "readOnly": true,
        }],
    });
    let resources = resources(annotations);
    if resources != json!({}) {
        sidecar["resources"] = resources;
    }
    sidecar
}

fn resources(annotations: &Annotations<'_>) -> Value {
    let mut resources = json!({});
    for (list, suffix) in [("requests", "request"), ("limits", "limit")] {
        for resource in ["cpu", "memory"] {
            if let Some(amount) = annotations.get(&format!("sidecar-{resource}-{suffix}")) {
                resources[list][resource] = json!(amount);
            }
        }
    }
    resources
}

fn args(annotations: &Annotations<'_>, app_id: &str, settings: &Settings) -> Vec<String> {
    let space = &settings.namespace;
    let number = |name: &str, otherwise: i64| annotations.number(name, otherwise).to_string();
    let text = |name: &str, otherwise: &str| annotations.get(name).unwrap_or(otherwise).to_owned();
    let listen = text("sidecar-listen-addresses", "[::1],127.0.0.1");
    let mut args: Vec<String> = [
        ("--dapr-http-port", "3500".to_owned()),
        ("--dapr-grpc-port", number("grpc-port", 50001)),
        (
            "--dapr-internal-grpc-port",
            number("internal-grpc-port", 50002),
        ),
        ("--dapr-listen-addresses", listen),
        ("--dapr-public-port", "3501".to_owned()),
        ("--app-id", app_id.to_owned()),
        ("--app-protocol", text("app-protocol", "http")),
        ("--log-level", text("log-level", "info")),
        (
            "--dapr-graceful-shutdown-seconds",
            number("graceful-shutdown-seconds", -1),
        ),
        ("--mode", "kubernetes".to_owned()),
        (
            "--control-plane-address",
            format!("dapr-api.{space}.svc.cluster.local:443"),
        ),
        ("--sentry-address", settings.sentry.clone()),
    ]
    .into_iter()
    .flat_map(|(flag, value)| [flag.to_owned(), value])
    .collect();
    args.insert(0, "/daprd".to_owned());
    let mut push = |flag: &str, value: Option<String>| {
        args.push(flag.to_owned());
        args.extend(value);
    };
    if let Some(port) = annotations.get("app-port").filter(|port| *port != "0") {
        push("--app-port", Some(port.to_owned()));
    }
    if metrics_enabled(annotations) {
        push("--enable-metrics", None);
        push("--metrics-port", Some(number("metrics-port", 9090)));
    } else {
        push("--enable-metrics=false", None);
    }
    if let Some(config) = annotations.get("config") {
        push("--config", Some(config.to_owned()));
    }
    let placement = annotations.get("placement-host-address").map(str::to_owned);
    match placement.or_else(|| settings.placement.clone()) {
        Some(address) if !address.is_empty() => push("--placement-host-address", Some(address)),
        _ => {}
    }
    let scheduler = format!("dapr-scheduler-server-a.{space}.svc.cluster.local:443");
    let told = annotations.get("scheduler-host-address").map(str::to_owned);
    match told.or_else(|| settings.scheduler.then_some(scheduler)) {
        Some(address) if !address.is_empty() => push("--scheduler-host-address", Some(address)),
        _ => {}
    }
    let concurrency = annotations.number("app-max-concurrency", -1);
    if concurrency > 0 {
        push("--app-max-concurrency", Some(concurrency.to_string()));
    }
    if annotations.is_true("log-as-json") {
        push("--log-as-json", None);
    }
    if annotations.get("enable-api-logging").is_some() {
        let on = annotations.is_true("enable-api-logging");
        push(&format!("--enable-api-logging={on}"), None);
    }
    if annotations.is_true("disable-builtin-k8s-secret-store") {
        push("--disable-builtin-k8s-secret-store", None);
    }
    if annotations.is_true("enable-app-health-check") {
        push("--enable-app-health-check", None);
        push(
            "--app-health-check-path",
            Some(text("app-health-check-path", "/healthz")),
        );
        push(
            "--app-health-probe-interval",
            Some(number("app-health-probe-interval", 5)),
        );
        push(
            "--app-health-probe-timeout",
            Some(number("app-health-probe-timeout", 500)),
        );
        push(
            "--app-health-threshold",
            Some(number("app-health-threshold", 3)),
        );
    }
    if let Some(size) = annotations.get("max-body-size").and_then(quantity_bytes) {
        push("--max-body-size", Some(size.to_string()));
    }
    push("--enable-mtls", None);
    args
}

fn env(annotations: &Annotations<'_>, settings: &Settings) -> Vec<Value> {
    let field = |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}});
    let secret = |name: &str, secret: &str, key: &str| json!({"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}});
    let mut all = vec![
        field("NAMESPACE", "metadata.namespace"),
        field("POD_NAME", "metadata.name"),
        json!({"name": "DAPR_TRUST_ANCHORS", "value": settings.trust_anchors}),
        json!({"name": "DAPR_CONTROLPLANE_NAMESPACE", "value": settings.namespace}),
        json!({"name": "DAPR_CONTROLPLANE_TRUST_DOMAIN", "value": settings.trust_domain}),
    ];
    let mut keys = Vec::new();
    for pair in annotations.get("env").unwrap_or_default().split(',') {
        if let Some((name, value)) = pair.trim().split_once('=') {
            keys.push(name.to_owned());
            all.push(json!({"name": name, "value": value}));
        }
    }
    for pair in annotations
        .get("env-from-secret")
        .unwrap_or_default()
        .split(',')
    {
        if let Some((name, source)) = pair.trim().split_once('=') {
            let (from, key) = source.split_once(':').unwrap_or((source, source));
            keys.push(name.to_owned());
            all.push(secret(name, from, key));
        }
    }
    if !keys.is_empty() {
        all.push(json!({"name": "DAPR_ENV_KEYS", "value": keys.join(" ")}));
    }
    for (annotation, name) in [
        ("api-token-secret", "DAPR_API_TOKEN"),
        ("app-token-secret", "APP_API_TOKEN"),
    ] {
        if let Some(from) = annotations.get(annotation) {
            all.push(secret(name, from, "token"));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            image: "ghcr.io/dapr/daprd:1.18.3".to_owned(),
            pull_policy: "IfNotPresent".to_owned(),
            namespace: "dapr-system".to_owned(),
            trust_domain: "cluster.local".to_owned(),
            sentry: "dapr-sentry.dapr-system.svc.cluster.local:443".to_owned(),
            scheduler: true,
            non_root: true,
            ..Settings::default()
        }
    }

    fn pod(annotations: &Value) -> Value {
        json!({
            "metadata": {"name": "backend-1", "annotations": annotations, "labels": {"app": "backend"}},
            "spec": {"containers": [{"name": "backend", "env": [{"name": "DAPR_HTTP_PORT", "value": "1"}]}]},
        })
    }

    #[test]
    fn only_the_text_true_asks_for_a_sidecar() {
        for (value, wanted) in [("true", true), ("True", true), ("yes", false), ("1", false)] {
            assert_eq!(
                wants_sidecar(&pod(&json!({"dapr.io/enabled": value}))),
                wanted,
                "{value}"
            );
        }
        let mut has = pod(&json!({"dapr.io/enabled": "true"}));
        has["spec"]["containers"][0]["name"] = json!("daprd");
        assert!(!wants_sidecar(&has));
    }

    #[test]
    fn the_sidecar_comes_last_with_its_arguments() {
        let pod = pod(&json!({
            "dapr.io/enabled": "true", "dapr.io/app-port": "8000", "dapr.io/log-as-json": "true",
            "dapr.io/sidecar-memory-limit": "256Mi", "dapr.io/env": "GOMEMLIMIT=230MiB",
            "dapr.io/config": "appconfig",
        }));
        let operations = patch(&pod, "backend", &settings());
        let at = |path: &str| {
            let found = operations
                .iter()
                .find(|operation| operation["path"] == path);
            found.map(|operation| operation["value"].clone())
        };
        let sidecar = at("/spec/containers/-").unwrap();
        let args: Vec<&str> = sidecar["args"]
            .as_array()
            .unwrap()
            .iter()
            .map(|a| a.as_str().unwrap())
            .collect();
        assert_eq!(args[0], "/daprd");
        for pair in [
            ["--app-id", "backend"],
            ["--app-port", "8000"],
            ["--config", "appconfig"],
            [
                "--scheduler-host-address",
                "dapr-scheduler-server-a.dapr-system.svc.cluster.local:443",
            ],
        ] {
            assert!(
                args.windows(2).any(|window| window == pair),
                "{pair:?} in {args:?}"
            );
        }
        assert!(!args.contains(&"--placement-host-address"));
        assert_eq!(sidecar["resources"], json!({"limits": {"memory": "256Mi"}}));
        assert_eq!(
            at("/spec/volumes").unwrap()[0]["name"],
            "dapr-identity-token"
        );
        assert_eq!(
            at("/metadata/labels/dapr.io~1sidecar-injected").unwrap(),
            "true"
        );
        // What the app says itself stays.
        let told: Vec<_> = operations
            .iter()
            .filter(|o| o["path"] == "/spec/containers/0/env/-")
            .collect();
        assert_eq!(told.len(), 2);
    }
}
