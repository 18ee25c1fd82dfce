//! The programs around admission webhooks that charts bring along: those that
//! make their certificates, those that tell the API server whom to trust, and
//! those that answer.
//!
//! What else such images do is not rehearsed; their other ports answer as any
//! program's.

mod cert_manager;
mod certgen;
mod prometheus;

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use serde_json::{Value, json};
use tokio_rustls::TlsAcceptor;

use super::super::api::ApiError;
use super::super::http::{Reply, Request};
use super::generic::Generic;
use super::web::Server;
use super::{Exit, Process, Program};

pub use cert_manager::{CaInjector, Webhook};
pub use certgen::Certgen;
pub use prometheus::PrometheusOperator;

/// A certificate for a webhook, as PEM.
pub(super) struct Pair {
    /// The authority, which clients are to trust.
    pub ca: String,
    /// The server's certificate.
    pub certificate: String,
    /// The server's key.
    pub key: String,
}

/// Makes an authority, and a certificate for a server of these names.
pub(super) fn pair(names: &[String]) -> io::Result<Pair> {
    issue(names).map_err(io::Error::other)
}

fn issue(names: &[String]) -> Result<Pair, rcgen::Error> {
    let ca_key = KeyPair::generate()?;
    let mut ca = CertificateParams::new(Vec::<String>::new())?;
    ca.distinguished_name
        .push(DnType::CommonName, "webhook authority");
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca_pem = ca.self_signed(&ca_key)?.pem();
    let issuer = Issuer::new(ca, ca_key);
    let key = KeyPair::generate()?;
    let mut server = CertificateParams::new(names.to_vec())?;
    let subject = names.first().map_or("webhook", String::as_str);
    server.distinguished_name.push(DnType::CommonName, subject);
    server.use_authority_key_identifier_extension = true;
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(Pair {
        ca: ca_pem,
        certificate: server.signed_by(&key, &issuer)?.pem(),
        key: key.serialize_pem(),
    })
}

/// The value of `--name=value` among a process's arguments.
fn argument<'a>(process: &'a Process, name: &str) -> Option<&'a str> {
    arguments(process, name).first().copied()
}

/// The values of an argument that may be given several times.
fn arguments<'a>(process: &'a Process, name: &str) -> Vec<&'a str> {
    let prefix = format!("--{name}=");
    let given = process.args.iter();
    given
        .filter_map(|argument| argument.strip_prefix(&*prefix))
        .collect()
}

/// Makes a Secret unless there is one of its name; gives the one that is.
async fn keep_secret(
    process: &Process,
    namespace: &str,
    name: &str,
    data: &Value,
) -> Result<Value, ApiError> {
    let collection = format!("/api/v1/namespaces/{namespace}/secrets");
    let path = format!("{collection}/{name}");
    if let Some(held) = process.api.find(&path).await? {
        return Ok(held);
    }
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {"name": name, "namespace": namespace},
        "data": data,
    });
    match process.api.create(&collection, &secret).await {
        // Another replica was faster.
        Err(error) if error.is(409) => process.api.get(&path).await,
        made => made,
    }
}

/// Puts an authority into all webhooks of a configuration, or into a
/// definition's conversion; whether that changed anything.
fn trust(object: &mut Value, bundle: &str) -> bool {
    let before = object.clone();
    for hook in object["webhooks"].as_array_mut().into_iter().flatten() {
        hook["clientConfig"]["caBundle"] = json!(bundle);
    }
    if let Some(client) = object.pointer_mut("/spec/conversion/webhook/clientConfig") {
        client["caBundle"] = json!(bundle);
    }
    *object != before
}

/// Answers one port by TLS and reviews, and all others as any program does.
async fn serve<F>(process: Process, port: u16, tls: TlsAcceptor, judge: F) -> Exit
where
    F: Fn(&str, &Value) -> Verdict + Clone + Send + Sync + 'static,
{
    let server = match Server::bind(&process, port).await {
        Ok(server) => server.with_tls(tls),
        Err(error) => {
            process.log(&format!("fatal: {error}"));
            return Exit::error(1);
        }
    };
    process.log(&format!("serving webhooks on port {port}"));
    let mut rest = process.clone();
    rest.ports.retain(|other| *other != port);
    let stop = process.stop.clone();
    let hooks = server.run(stop, move |request| {
        let reply = answer(&request, &judge);
        async move { reply }
    });
    let ((), exit) = tokio::join!(hooks, Generic.run(rest));
    exit
}

/// What a webhook says about a request.
#[derive(Debug, Clone, PartialEq)]
enum Verdict {
    /// It may pass.
    Allowed,
    /// It may pass with these changes: operations of RFC 6902.
    Changed(Value),
    /// It may not, and why.
    Denied(String),
}

/// Answers a review; anything else is asked about health or metrics.
fn answer(request: &Request, judge: &impl Fn(&str, &Value) -> Verdict) -> Reply {
    let Ok(review) = serde_json::from_slice::<Value>(&request.body) else {
        return Reply::text(StatusCode::OK, "text/plain", "ok\n");
    };
    let mut response = json!({"uid": review["request"]["uid"], "allowed": true});
    match judge(&request.path, &review["request"]) {
        Verdict::Allowed => {}
        Verdict::Changed(operations) => {
            response["patchType"] = json!("JSONPatch");
            response["patch"] = json!(STANDARD.encode(operations.to_string()));
        }
        Verdict::Denied(why) => {
            response["allowed"] = json!(false);
            response["status"] = json!({"code": 403, "message": why, "reason": "Forbidden"});
        }
    }
    let review = json!({
        "apiVersion": review["apiVersion"], "kind": "AdmissionReview", "response": response,
    });
    Reply::json(StatusCode::OK, &review)
}

/// A program of this module by its image's name.
pub(super) fn program(name: &str) -> Option<std::sync::Arc<dyn Program>> {
    let last = name.rsplit('/').next().unwrap_or(name);
    Some(match last {
        "kube-webhook-certgen" => std::sync::Arc::new(Certgen),
        "cert-manager-webhook" => std::sync::Arc::new(Webhook),
        "cert-manager-cainjector" => std::sync::Arc::new(CaInjector),
        "prometheus-operator" => std::sync::Arc::new(PrometheusOperator),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_goes_into_every_webhook_once() {
        let mut hooks = json!({"webhooks": [
            {"name": "a", "clientConfig": {"service": {"name": "s"}}}, {"name": "b"},
        ]});
        assert!(trust(&mut hooks, "Y2E="));
        assert_eq!(hooks["webhooks"][0]["clientConfig"]["caBundle"], "Y2E=");
        assert_eq!(hooks["webhooks"][1]["clientConfig"]["caBundle"], "Y2E=");
        assert!(!trust(&mut hooks, "Y2E="));
        let mut definition = json!({"spec": {"conversion": {"webhook": {"clientConfig": {}}}}});
        assert!(trust(&mut definition, "Y2E="));
    }

    #[test]
    fn a_certificate_is_good_for_its_names() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let pair = pair(&["hook.ns.svc".to_owned()]).unwrap();
        assert!(pair.ca.contains("BEGIN CERTIFICATE") && pair.ca != pair.certificate);
        assert!(super::super::dapr::plane::acceptor(&pair.certificate, &pair.key).is_ok());
    }

    #[test]
    fn images_are_known_by_their_last_name() {
        for (name, known) in [
            ("ingress-nginx/kube-webhook-certgen", true),
            ("jetstack/cert-manager-webhook", true),
            ("jetstack/cert-manager-controller", false),
        ] {
            assert_eq!(program(name).is_some(), known, "{name}");
        }
    }
}
