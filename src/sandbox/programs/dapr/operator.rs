//! The operator: hands Components and their secrets to sidecars, makes a
//! Service for every annotated workload, and mends the conversion webhook of
//! the Subscription definition.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use serde_json::{Value, json};

use super::super::super::api::{Api, ApiError, PatchKind};
use super::super::super::http::{Reply, Request};
use super::super::follow::Follow;
use super::super::web::Server;
use super::super::{Exit, Process, Program};
use super::plane::{Counts, Plane, pause, webhook_certificate};

/// The image `dapr/operator`.
pub struct Operator;

#[async_trait]
impl Program for Operator {
    async fn run(&self, process: Process) -> Exit {
        let targets = [
            "operator-security",
            "operator-api-server",
            "operator-webhook",
            "operator-cache",
        ];
        let Ok(mut plane) = Plane::start(&process, "dapr.operator", &targets).await else {
            return Exit::error(1);
        };
        if plane.trust_anchors().await.is_none() {
            return Exit::OK;
        }
        plane.targets.set("operator-security", true);
        let system = format!(
            "/apis/dapr.io/v1alpha1/namespaces/{}/configurations/daprsystem",
            process.namespace
        );
        if let Err(error) = process.api.get(&system).await {
            let text = format!(
                "error loading configuration daprsystem: {}",
                error.message()
            );
            plane.log.fatal(&text);
            return Exit::error(1);
        }
        if let Err(why) = serve(&mut plane).await {
            plane.log.fatal(&why.to_string());
            return Exit::error(1);
        }
        let (process, counts) = (process.clone(), plane.counts.clone());
        let log = plane.log.scope("dapr.operator.handlers");
        plane.targets.set("operator-cache", true);
        plane.tasks.spawn(async move {
            let stopped = process.stop.clone();
            tokio::select! {
                () = stopped.cancelled() => {}
                () = reconcile_services(&process, &counts, &log) => {}
            }
        });
        plane.until_stopped().await
    }
}

/// The interface for sidecars on 6500 and the conversion webhook on 19443.
async fn serve(plane: &mut Plane) -> std::io::Result<()> {
    let process = plane.process.clone();
    let server = Server::bind(&process, 6500).await?;
    let api = process.api.clone();
    plane
        .tasks
        .spawn(server.run(process.stop.clone(), move |request| {
            let api = api.clone();
            async move { tell(&api, &request).await }
        }));
    plane.targets.set("operator-api-server", true);
    plane
        .log
        .info("Dapr operator API server listening on :6500");

    let certificate = webhook_certificate("dapr-webhook", &process.namespace)?;
    let server = Server::bind(&process, 19443).await?;
    let server = server.with_tls(certificate.acceptor);
    plane.tasks.spawn(server.run(
        process.stop.clone(),
        |request| async move { convert(&request) },
    ));
    let patch = json!([
        {"op": "replace", "path": "/spec/conversion/webhook/clientConfig/service/namespace",
         "value": process.namespace},
        {"op": "add", "path": "/spec/conversion/webhook/clientConfig/caBundle",
         "value": STANDARD.encode(&certificate.ca_pem)},
    ]);
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/subscriptions.dapr.io";
    match process.api.patch(path, PatchKind::Json, &patch).await {
        Ok(_) => plane
            .log
            .info("Conversion webhook patched for subscriptions.dapr.io"),
        Err(error) => plane.log.error(&format!(
            "Failed to patch the conversion webhook: {}",
            error.message()
        )),
    }
    plane.targets.set("operator-webhook", true);
    Ok(())
}

/// Answers a sidecar.
async fn tell(api: &Api, request: &Request) -> Reply {
    let namespace = request.param("namespace").unwrap_or_default();
    let at = |what: &str| format!("/apis/dapr.io/v1alpha1/namespaces/{namespace}/{what}");
    let answer = match request.path.as_str() {
        "/components" => components(api, &at("components")).await,
        "/resiliencies" => list(api, &at("resiliencies")).await,
        "/subscriptions" => {
            let path = format!("/apis/dapr.io/v2alpha1/namespaces/{namespace}/subscriptions");
            list(api, &path).await
        }
        "/configuration" => {
            let name = request.param("name").unwrap_or_default();
            let found = api.get(&at(&format!("configurations/{name}"))).await;
            found.map_err(|error| error.message())
        }
        _ => return Reply::empty(StatusCode::NOT_FOUND),
    };
    match answer {
        Ok(value) => Reply::json(StatusCode::OK, &value),
        Err(why) => Reply::json(StatusCode::INTERNAL_SERVER_ERROR, &json!({ "error": why })),
    }
}

async fn list(api: &Api, path: &str) -> Result<Value, String> {
    let found = api.get(path).await.map_err(|error| error.message())?;
    Ok(found["items"].clone())
}

/// All Components of a namespace, with the Secrets that they refer to. One
/// that is missing spoils the whole list, as it does with the real operator.
async fn components(api: &Api, path: &str) -> Result<Value, String> {
    let mut items = list(api, path).await?;
    for component in items.as_array_mut().into_iter().flatten() {
        let store = component["auth"]["secretStore"]
            .as_str()
            .unwrap_or_default();
        if !matches!(store, "" | "kubernetes") {
            continue;
        }
        let namespace = component["metadata"]["namespace"]
            .as_str()
            .unwrap_or_default();
        let namespace = namespace.to_owned();
        for item in component["spec"]["metadata"]
            .as_array_mut()
            .into_iter()
            .flatten()
        {
            let Some(name) = item["secretKeyRef"]["name"].as_str().map(str::to_owned) else {
                continue;
            };
            let key = item["secretKeyRef"]["key"]
                .as_str()
                .unwrap_or(&name)
                .to_owned();
            let path = format!("/api/v1/namespaces/{namespace}/secrets/{name}");
            let secret = match api.get(&path).await {
                Ok(secret) => secret,
                Err(error) if error.is_not_found() => {
                    return Err(format!("error getting secret: Secret \"{name}\" not found"));
                }
                Err(error) => return Err(format!("error getting secret: {}", error.message())),
            };
            let text = secret["data"][&key].as_str();
            let bytes = text.and_then(|text| STANDARD.decode(text).ok());
            item["value"] = json!(String::from_utf8_lossy(&bytes.unwrap_or_default()));
        }
    }
    Ok(items)
}

/// Both versions of a Subscription hold the same, but for the routes.
fn convert(request: &Request) -> Reply {
    let review: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let wanted = review["request"]["desiredAPIVersion"]
        .as_str()
        .unwrap_or_default();
    let objects = review["request"]["objects"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let converted: Vec<Value> = objects
        .into_iter()
        .map(|object| convert_one(object, wanted))
        .collect();
    let answer = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "ConversionReview",
        "response": {
            "uid": review["request"]["uid"],
            "result": {"status": "Success"},
            "convertedObjects": converted,
        },
    });
    Reply::json(StatusCode::OK, &answer)
}

fn convert_one(mut object: Value, wanted: &str) -> Value {
    object["apiVersion"] = json!(wanted);
    // An applied configuration may state none.
    let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) else {
        return object;
    };
    if wanted.ends_with("/v2alpha1") {
        if let Some(route) = spec.shift_remove("route") {
            spec.insert("routes".to_owned(), json!({ "default": route }));
        }
    } else if let Some(routes) = spec.shift_remove("routes") {
        let route = routes["default"].as_str().unwrap_or_default();
        spec.insert("route".to_owned(), json!(route));
    }
    object
}

/// Keeps a Service for the sidecars of every annotated workload.
async fn reconcile_services(
    process: &Process,
    counts: &Counts,
    log: &super::super::logger::Logger,
) {
    let paths = ["/apis/apps/v1/deployments", "/apis/apps/v1/statefulsets"];
    let follows: Vec<Follow> = paths
        .iter()
        .map(|path| Follow::start(process, path, ""))
        .collect();
    let [deployments, sets] = follows.as_slice() else {
        return;
    };
    loop {
        for workload in deployments.all().into_iter().chain(sets.all()) {
            let outcome = ensure_service(process, &workload, counts).await;
            if let Err(error) = outcome {
                log.error(&format!(
                    "unable to create service, err: {}",
                    error.message()
                ));
            }
        }
        tokio::select! {
            () = deployments.changed() => {}
            () = sets.changed() => {}
        }
        // What comes in a burst is looked at once.
        if !pause(process, Duration::from_millis(100)).await {
            return;
        }
    }
}

async fn ensure_service(
    process: &Process,
    workload: &Value,
    counts: &Counts,
) -> Result<(), ApiError> {
    let template = &workload["spec"]["template"]["metadata"]["annotations"];
    let text = |name: &str| template[format!("dapr.io/{name}")].as_str();
    let enabled = text("enabled").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let (Some(app), true) = (text("app-id"), enabled) else {
        return Ok(());
    };
    let namespace = workload["metadata"]["namespace"]
        .as_str()
        .unwrap_or_default();
    let collection = format!("/api/v1/namespaces/{namespace}/services");
    let name = format!("{app}-dapr");
    if process
        .api
        .find(&format!("{collection}/{name}"))
        .await?
        .is_some()
    {
        return Ok(());
    }
    let metrics: u64 = text("metrics-port")
        .and_then(|port| port.parse().ok())
        .unwrap_or(9090);
    let owner = json!([{
        "apiVersion": "apps/v1",
        "kind": workload["kind"].as_str().unwrap_or("Deployment"),
        "name": workload["metadata"]["name"],
        "uid": workload["metadata"]["uid"],
        "controller": true,
        "blockOwnerDeletion": true,
    }]);
    let mut notes = BTreeMap::from([
        ("dapr.io/app-id".to_owned(), app.to_owned()),
        ("prometheus.io/probe".to_owned(), "true".to_owned()),
        ("prometheus.io/scrape".to_owned(), "true".to_owned()),
        ("prometheus.io/port".to_owned(), metrics.to_string()),
        ("prometheus.io/path".to_owned(), "/".to_owned()),
    ]);
    if text("enable-metrics") == Some("false") {
        notes.retain(|key, _| !key.starts_with("prometheus.io/"));
    }
    let port = |name: &str, port: u64, target: u64| json!({"name": name, "port": port, "targetPort": target, "protocol": "TCP"});
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {"dapr.io/enabled": "true"},
            "annotations": notes,
            "ownerReferences": owner,
        },
        "spec": {
            "clusterIP": "None",
            "selector": workload["spec"]["selector"]["matchLabels"],
            "ports": [
                port("dapr-http", 80, 3500),
                port("dapr-grpc", 50001, 50001),
                port("dapr-internal", 50002, 50002),
                port("dapr-metrics", metrics, metrics),
            ],
        },
    });
    match process.api.create(&collection, &service).await {
        Ok(_) => {
            let series = format!("dapr_operator_service_created_total{{app_id=\"{app}\"}}");
            counts.add(&series, 1.0);
            Ok(())
        }
        Err(error) if error.is_conflict() => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscription_is_converted_both_ways() {
        let old = json!({"apiVersion": "dapr.io/v1alpha1", "spec": {"topic": "t", "route": "/a"}});
        let new = convert_one(old.clone(), "dapr.io/v2alpha1");
        let spec = json!({"topic": "t", "routes": {"default": "/a"}});
        assert_eq!(new["spec"], spec);
        assert_eq!(convert_one(new, "dapr.io/v1alpha1"), old);
        let partial = json!({"apiVersion": "dapr.io/v2alpha1"});
        assert_eq!(convert_one(partial.clone(), "dapr.io/v2alpha1"), partial);
    }
}
