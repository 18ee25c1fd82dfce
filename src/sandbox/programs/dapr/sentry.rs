//! Sentry: the certificate authority. It fills the trust bundle when it is
//! empty or does not fit together, and signs for those who may have a
//! certificate.

use std::io;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ED25519,
};
use serde_json::{Value, json};

use super::super::super::api::{Api, ApiError};
use super::super::super::http::{Reply, Request};
use super::super::web::Server;
use super::super::{Exit, Process, Program};
use super::plane::{Plane, pause};

const LIFETIME: Duration = Duration::from_hours(365 * 24);

/// The image `dapr/sentry`.
pub struct Sentry;

#[async_trait]
impl Program for Sentry {
    async fn run(&self, process: Process) -> Exit {
        let targets = ["sentry-server", "sentry-kubernetes-validator"];
        let Ok(mut plane) = Plane::start(&process, "dapr.sentry", &targets).await else {
            return Exit::error(1);
        };
        if let Err(error) = fill_bundle(&plane).await {
            plane.log.fatal(&format!("error creating CA: {error}"));
            return Exit::error(1);
        }
        let Ok(server) = Server::bind(&process, 50001).await else {
            plane.log.fatal("failed to listen on :50001");
            return Exit::error(1);
        };
        let expiry = process.world.clock.now().as_second() + LIFETIME.as_secs().cast_signed();
        let gauge = "dapr_sentry_issuercert_expiry_timestamp";
        plane.counts.set(gauge, expiry as f64);
        plane.log.info("Running gRPC server on port 50001");
        plane.targets.set("sentry-server", true);
        plane.targets.set("sentry-kubernetes-validator", true);
        let (api, counts) = (process.api.clone(), plane.counts.clone());
        plane
            .tasks
            .spawn(server.run(process.stop.clone(), move |request| {
                let (api, counts) = (api.clone(), counts.clone());
                async move {
                    counts.add("dapr_sentry_cert_sign_request_received_total", 1.0);
                    let reply = sign(&api, &request).await;
                    let outcome = match reply.status.is_success() {
                        true => "dapr_sentry_cert_sign_success_total",
                        false => "dapr_sentry_cert_sign_failure_total{reason=\"sign\"}",
                    };
                    counts.add(outcome, 1.0);
                    reply
                }
            }));
        plane.until_stopped().await
    }
}

/// Makes an authority unless there is one. The Secret and the `ConfigMap` are
/// the chart's: sentry may not create them.
async fn fill_bundle(plane: &Plane) -> Result<(), ApiError> {
    let process = &plane.process;
    let (secret_path, map_path) = (
        format!(
            "/api/v1/namespaces/{}/secrets/dapr-trust-bundle",
            process.namespace
        ),
        format!(
            "/api/v1/namespaces/{}/configmaps/dapr-trust-bundle",
            process.namespace
        ),
    );
    // The role binding may come after the pod.
    let (mut secret, mut map) = loop {
        let got = (
            process.api.get(&secret_path).await,
            process.api.get(&map_path).await,
        );
        match got {
            (Ok(secret), Ok(map)) => break (secret, map),
            (Err(error), _) | (_, Err(error)) if !error.is(403) => return Err(error),
            _ => {
                if !pause(process, Duration::from_secs(1)).await {
                    return Ok(());
                }
            }
        }
    };
    let decoded = |key: &str| {
        let text = secret["data"][key].as_str()?;
        String::from_utf8(STANDARD.decode(text).ok()?).ok()
    };
    let complete = ["ca.crt", "issuer.crt", "issuer.key"]
        .iter()
        .all(|key| decoded(key).is_some_and(|text| !text.is_empty()));
    if complete && decoded("ca.crt").as_deref() == map["data"]["ca.crt"].as_str() {
        plane
            .log
            .info("Root and issuer certs found: using existing certs");
        return Ok(());
    }
    plane
        .log
        .info("Root and issuer certs not found: generating self signed CA");
    let Ok(bundle) = generate(plane) else {
        return Ok(());
    };
    let encoded = |text: &str| STANDARD.encode(text);
    secret["data"] = json!({
        "ca.crt": encoded(&bundle.ca),
        "issuer.crt": encoded(&bundle.issuer),
        "issuer.key": encoded(&bundle.key),
    });
    map["data"] = json!({"ca.crt": bundle.ca});
    process.api.update(&secret_path, &secret).await?;
    process.api.update(&map_path, &map).await?;
    plane.log.info("Root and issuer certs generated");
    Ok(())
}

struct Bundle {
    ca: String,
    issuer: String,
    key: String,
}

/// An authority and an issuer below it, both Ed25519 as from 1.18 on.
fn generate(plane: &Plane) -> io::Result<Bundle> {
    let now = plane.process.world.clock.now().as_second();
    let params = |name: &str, depth: u8| {
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(depth));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let end = now + LIFETIME.as_secs().cast_signed();
        let (from, to) = (date(now - 900), date(end));
        params.not_before = rcgen::date_time_ymd(from.0, from.1, from.2);
        params.not_after = rcgen::date_time_ymd(to.0, to.1, to.2);
        Ok::<_, rcgen::Error>(params)
    };
    let make = || {
        let ca_key = KeyPair::generate_for(&PKCS_ED25519)?;
        let ca = params("dapr.io/sentry", 1)?;
        let ca_pem = ca.self_signed(&ca_key)?.pem();
        let root = Issuer::new(ca, ca_key);
        let key = KeyPair::generate_for(&PKCS_ED25519)?;
        let issuer = params("dapr.io/sentry/issuer", 0)?.signed_by(&key, &root)?;
        Ok::<_, rcgen::Error>(Bundle {
            ca: ca_pem,
            issuer: issuer.pem(),
            key: key.serialize_pem(),
        })
    };
    make().map_err(io::Error::other)
}

/// Year, month and day of a time in UTC.
fn date(second: i64) -> (i32, u8, u8) {
    let at = jiff::Timestamp::from_second(second).unwrap_or_default();
    let date = at.to_zoned(jiff::tz::TimeZone::UTC).date();
    let small = |n: i8| u8::try_from(n).unwrap_or(1);
    (
        i32::from(date.year()),
        small(date.month()),
        small(date.day()),
    )
}

/// Signs for an app whose Configuration exists.
async fn sign(api: &Api, request: &Request) -> Reply {
    let namespace = request.param("namespace").unwrap_or_default();
    let refused = |why: &str| {
        let text = format!("rpc error: code = PermissionDenied desc = {why}");
        Reply::json(StatusCode::FORBIDDEN, &json!({ "error": text }))
    };
    if let Some(name) = request.param("config") {
        let path = format!("/apis/dapr.io/v1alpha1/namespaces/{namespace}/configurations/{name}");
        if name.is_empty() || api.get(&path).await.is_err() {
            return refused("failed to get configuration");
        }
    }
    let pod = request.param("pod").unwrap_or_default();
    let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}");
    let expected = api.get(&path).await.ok().and_then(|pod: Value| {
        let told = pod["metadata"]["annotations"]["dapr.io/app-id"].as_str();
        told.or(pod["metadata"]["name"].as_str()).map(str::to_owned)
    });
    let received = request.param("app").unwrap_or_default();
    match expected {
        Some(expected) if expected != received => refused(&format!(
            "app-id mismatch. expected: {expected}, received: {received}"
        )),
        _ => Reply::json(StatusCode::OK, &json!({"validHours": 24})),
    }
}
