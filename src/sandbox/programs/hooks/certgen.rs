//! `kube-webhook-certgen`: `create` makes a Secret with a certificate, `patch`
//! tells the API server to trust it. Charts run both as hooks.

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::super::{Exit, Process, Program};
use super::{argument, keep_secret, pair, trust};
use crate::sandbox::api::ApiError;

const GROUP: &str = "/apis/admissionregistration.k8s.io/v1";

/// The image `kube-webhook-certgen`.
pub struct Certgen;

#[async_trait]
impl Program for Certgen {
    async fn run(&self, process: Process) -> Exit {
        let done = match process.args.first().map(String::as_str) {
            Some("create") => create(&process).await,
            Some("patch") => patch(&process).await,
            _ => Ok(()),
        };
        match done {
            Ok(()) => Exit::OK,
            Err(error) => {
                process.log(&format!("fatal: {}", error.message()));
                Exit::error(1)
            }
        }
    }
}

async fn create(process: &Process) -> Result<(), ApiError> {
    let hosts = argument(process, "host").unwrap_or_default();
    let hosts: Vec<String> = hosts.split(',').map(str::to_owned).collect();
    let made = match pair(&hosts) {
        Ok(made) => made,
        Err(error) => {
            process.log(&format!("cannot make a certificate: {error}"));
            return Ok(());
        }
    };
    let name =
        |part: &str, default: &'static str| argument(process, part).unwrap_or(default).to_owned();
    let data = json!({
        name("ca-name", "ca"): STANDARD.encode(&made.ca),
        name("cert-name", "cert"): STANDARD.encode(&made.certificate),
        name("key-name", "key"): STANDARD.encode(&made.key),
    });
    let (namespace, secret) = secret_of(process);
    keep_secret(process, namespace, secret, &data).await?;
    process.log(&format!(
        "the certificate is in secret {namespace}/{secret}"
    ));
    Ok(())
}

fn secret_of(process: &Process) -> (&str, &str) {
    let namespace = argument(process, "namespace").unwrap_or(&process.namespace);
    (
        namespace,
        argument(process, "secret-name").unwrap_or_default(),
    )
}

async fn patch(process: &Process) -> Result<(), ApiError> {
    let (namespace, secret) = secret_of(process);
    let path = format!("/api/v1/namespaces/{namespace}/secrets/{secret}");
    let secret = process.api.get(&path).await?;
    let bundle = secret["data"]["ca"].as_str().unwrap_or_default().to_owned();
    let name = argument(process, "webhook-name").unwrap_or_default();
    let policy = argument(process, "patch-failure-policy").unwrap_or_default();
    for (kind, switch) in [
        ("validatingwebhookconfigurations", "patch-validating"),
        ("mutatingwebhookconfigurations", "patch-mutating"),
    ] {
        if argument(process, switch) == Some("false") || name.is_empty() {
            continue;
        }
        let path = format!("{GROUP}/{kind}/{name}");
        let mut hooks = process.api.get(&path).await?;
        trust(&mut hooks, &bundle);
        if !policy.is_empty() {
            for hook in hooks["webhooks"].as_array_mut().into_iter().flatten() {
                hook["failurePolicy"] = Value::from(policy);
            }
        }
        process.api.update(&path, &hooks).await?;
        process.log(&format!("{kind} {name} is patched"));
    }
    Ok(())
}
