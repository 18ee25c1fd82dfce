//! cert-manager's webhook, which keeps its certificate in a Secret, and the
//! injector, which tells the API server whom to trust by annotations.

use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::super::dapr::plane::{acceptor, pause};
use super::super::follow::Follow;
use super::super::generic::Generic;
use super::super::{Exit, Process, Program};
use super::{Verdict, argument, arguments, keep_secret, pair, serve, trust};
use crate::sandbox::api::ApiError;

/// What says which Secret holds the authority: `namespace/name`.
const FROM_SECRET: &str = "cert-manager.io/inject-ca-from-secret";
/// What may be told to trust an authority.
const TARGETS: [&str; 3] = [
    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations",
    "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations",
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
];

/// The pause before what failed is tried again.
const AGAIN: Duration = Duration::from_secs(10);

/// The image `cert-manager-webhook`.
pub struct Webhook;

#[async_trait]
impl Program for Webhook {
    async fn run(&self, process: Process) -> Exit {
        // One name an argument, or several in one.
        let names = arguments(&process, "dynamic-serving-dns-names").join(",");
        let names: Vec<String> = names.split(',').map(str::to_owned).collect();
        let Ok(made) = pair(&names) else {
            process.log("fatal: cannot make a certificate");
            return Exit::error(1);
        };
        let data = json!({
            "ca.crt": STANDARD.encode(&made.ca),
            "tls.crt": STANDARD.encode(&made.certificate),
            "tls.key": STANDARD.encode(&made.key),
        });
        let secret = match kept(&process, &data).await {
            Ok(secret) => secret,
            Err(error) => {
                process.log(&format!("fatal: {}", error.message()));
                return Exit::error(1);
            }
        };
        let part = |name: &str| {
            let text = secret["data"][name].as_str().unwrap_or_default();
            String::from_utf8(STANDARD.decode(text).unwrap_or_default()).unwrap_or_default()
        };
        let Ok(tls) = acceptor(&part("tls.crt"), &part("tls.key")) else {
            process.log("fatal: the certificate of the secret cannot be used");
            return Exit::error(1);
        };
        let port = argument(&process, "secure-port").and_then(|port| port.parse().ok());
        serve(process, port.unwrap_or(10250), tls, judge).await
    }
}

async fn kept(process: &Process, data: &Value) -> Result<Value, ApiError> {
    let namespace = argument(process, "dynamic-serving-ca-secret-namespace");
    let namespace = namespace.unwrap_or(&process.namespace);
    let name = argument(process, "dynamic-serving-ca-secret-name");
    keep_secret(
        process,
        namespace,
        name.unwrap_or("cert-manager-webhook-ca"),
        data,
    )
    .await
}

/// The rules that people meet: a certificate is for something, and a request
/// says who made it.
fn judge(path: &str, request: &Value) -> Verdict {
    let object = &request["object"];
    match (path, object["kind"].as_str()) {
        ("/validate", Some("Certificate")) if !is_for_something(&object["spec"]) => {
            Verdict::Denied(
                "spec: Invalid value: \"\": at least one of commonName (from the commonName field or \
                 from a literalSubject), dnsNames, uriSANs, emailSANs, ipAddresses or otherNames must be set"
                    .to_owned(),
            )
        }
        ("/mutate", Some("CertificateRequest")) if request["operation"] == "CREATE" => {
            let user = &request["userInfo"];
            let operations = ["username", "uid", "groups"].map(|field| {
                json!({"op": "add", "path": format!("/spec/{field}"), "value": user[field]})
            });
            let known = operations.iter().filter(|o| !o["value"].is_null());
            Verdict::Changed(known.cloned().collect())
        }
        _ => Verdict::Allowed,
    }
}

fn is_for_something(spec: &Value) -> bool {
    let fields = [
        "commonName",
        "literalSubject",
        "dnsNames",
        "uris",
        "emailAddresses",
        "ipAddresses",
        "otherNames",
    ];
    fields.iter().any(|field| match &spec[*field] {
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    })
}

/// The image `cert-manager-cainjector`.
pub struct CaInjector;

#[async_trait]
impl Program for CaInjector {
    async fn run(&self, process: Process) -> Exit {
        let secrets = Follow::start(&process, "/api/v1/secrets", "");
        let targets = TARGETS.map(|path| (path, Follow::start(&process, path, "")));
        let inject = async {
            loop {
                let known = secrets.all();
                let mut failed = false;
                for (path, target) in &targets {
                    for object in target.all() {
                        if let Err(error) = inject(&process, path, object, &known).await {
                            process.log(&format!("error: {}", error.message()));
                            failed = true;
                        }
                    }
                }
                let [first, second, third] = &targets;
                tokio::select! {
                    () = process.stop.cancelled() => return,
                    go_on = pause(&process, AGAIN), if failed => if !go_on { return },
                    () = secrets.changed() => {}
                    () = first.1.changed() => {}
                    () = second.1.changed() => {}
                    () = third.1.changed() => {}
                }
            }
        };
        let ((), exit) = tokio::join!(inject, Generic.run(process.clone()));
        exit
    }
}

/// Lets an object trust the authority that it asks for.
async fn inject(
    process: &Process,
    path: &str,
    mut object: Value,
    secrets: &[Value],
) -> Result<(), ApiError> {
    let Some(bundle) = authority(&object, secrets) else {
        return Ok(());
    };
    if !trust(&mut object, &bundle) {
        return Ok(());
    }
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    match process.api.update(&format!("{path}/{name}"), &object).await {
        // It changed or went meanwhile: then there is news of it, too.
        Err(error) if !(error.is_conflict() || error.is_not_found()) => Err(error),
        _ => Ok(()),
    }
}

/// The authority that an object asks for, once its Secret has it.
fn authority(object: &Value, secrets: &[Value]) -> Option<String> {
    let wanted = object["metadata"]["annotations"][FROM_SECRET].as_str()?;
    let (namespace, name) = wanted.split_once('/')?;
    let secret = secrets.iter().find(|secret| {
        secret["metadata"]["namespace"] == namespace && secret["metadata"]["name"] == name
    })?;
    secret["data"]["ca.crt"].as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_for_nothing_is_refused() {
        let judged = |spec: Value| {
            let object = json!({"kind": "Certificate", "spec": spec});
            judge(
                "/validate",
                &json!({"object": object, "operation": "CREATE"}),
            )
        };
        assert_eq!(judged(json!({"dnsNames": ["a.example"]})), Verdict::Allowed);
        assert!(matches!(
            judged(json!({"dnsNames": []})),
            Verdict::Denied(_)
        ));
    }

    #[test]
    fn an_authority_comes_from_the_secret_that_the_annotation_names() {
        let object = json!({"metadata": {"annotations": {FROM_SECRET: "ns/hook-ca"}}});
        let secret = |namespace: &str| json!({"metadata": {"namespace": namespace, "name": "hook-ca"}, "data": {"ca.crt": "Y2E="}});
        assert_eq!(authority(&object, &[secret("other")]), None);
        let all = [secret("other"), secret("ns")];
        assert_eq!(authority(&object, &all).as_deref(), Some("Y2E="));
        assert_eq!(authority(&json!({}), &all), None);
    }
}
