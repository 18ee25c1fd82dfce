//! How the server reaches a webhook: by a Service's name through the pods'
//! network, or by URL, always over TLS that the configuration's own
//! authorities must vouch for. Failures are told as the real server tells them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::sandbox::kube::cluster::{Cluster, key, text};

/// A hook gets this long at least, however fast the world's clock runs: TLS
/// and the machine are no faster for it.
const FLOOR: Duration = Duration::from_secs(2);
/// More of an answer than this is not read.
const ANSWER_LIMIT: usize = 8 * 1024 * 1024;

/// Where a webhook listens, and who vouches for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Namespace and name of the Service; none for a URL.
    service: Option<(String, String)>,
    host: String,
    port: u16,
    path: String,
    /// Whether the URL states the port.
    shows_port: bool,
    authorities: Vec<u8>,
}

impl Target {
    /// Reads a `clientConfig`.
    pub fn of(config: &Value) -> Self {
        let authorities = STANDARD.decode(text(config, "/caBundle"));
        let authorities = authorities.unwrap_or_default();
        let Some(service) = config.get("service").filter(|s| s.is_object()) else {
            let url = url::Url::parse(text(config, "/url")).ok();
            let url = url.as_ref();
            return Self {
                service: None,
                host: url
                    .and_then(url::Url::host_str)
                    .unwrap_or_default()
                    .to_owned(),
                port: url.and_then(url::Url::port_or_known_default).unwrap_or(443),
                path: url.map_or("", url::Url::path).to_owned(),
                shows_port: url.is_some_and(|u| u.port().is_some()),
                authorities,
            };
        };
        let (namespace, name) = (text(service, "/namespace"), text(service, "/name"));
        let port = service.get("port").and_then(Value::as_u64);
        let path = text(service, "/path").trim_start_matches('/');
        Self {
            service: Some((namespace.to_owned(), name.to_owned())),
            host: format!("{name}.{namespace}.svc"),
            port: port.and_then(|p| u16::try_from(p).ok()).unwrap_or(443),
            path: format!("/{path}"),
            shows_port: true,
            authorities,
        }
    }

    fn url(&self, seconds: u64) -> String {
        let port = if self.shows_port {
            format!(":{}", self.port)
        } else {
            String::new()
        };
        format!(
            "https://{}{port}{}?timeout={seconds}s",
            self.host, self.path
        )
    }
}

/// Sends a review and gives what comes back; fails with the text of Go's HTTP
/// client, or of the answer that is none.
pub async fn post(
    cluster: &Cluster,
    target: &Target,
    review: &Value,
    timeout: Duration,
) -> Result<Value, String> {
    let url = target.url(timeout.as_secs());
    let named = |why: String| format!("Post {url:?}: {why}");
    let patience = cluster.world.clock.real(timeout).max(FLOOR);
    let exchange = exchange(cluster, target, &url, review.to_string());
    let (status, body) = tokio::time::timeout(patience, exchange)
        .await
        .unwrap_or_else(|_| Err("context deadline exceeded".to_owned()))
        .map_err(named)?;
    if !status.is_success() {
        return Err(refusal(status, &body));
    }
    serde_json::from_slice(&body)
        .map_err(|e| format!("couldn't get version/kind; json parse error: {e}"))
}

/// What an answer that is no success means.
fn refusal(status: http::StatusCode, body: &[u8]) -> String {
    let stated: Option<Value> = serde_json::from_slice(body).ok();
    let stated = stated.filter(|s| text(s, "/kind") == "Status");
    if let Some(status) = stated {
        return text(&status, "/message").to_owned();
    }
    let body = String::from_utf8_lossy(body);
    match status.as_u16() {
        404 => "the server could not find the requested resource".to_owned(),
        403 => "forbidden".to_owned(),
        400 => "the server rejected our request for an unknown reason".to_owned(),
        503 => "the server is currently unable to handle the request".to_owned(),
        500.. => format!(
            "an error on the server ({:?}) has prevented the request from succeeding",
            body.trim()
        ),
        _ => format!(
            "the server responded with the status code {status} but did not return more information"
        ),
    }
}

async fn exchange(
    cluster: &Cluster,
    target: &Target,
    url: &str,
    body: String,
) -> Result<(http::StatusCode, Vec<u8>), String> {
    let socket = connect(cluster, target).await?;
    let tls = client(&target.authorities)?;
    let name = ServerName::try_from(target.host.clone()).map_err(|e| e.to_string())?;
    let stream = tls.connect(name, socket).await.map_err(|e| tls_error(&e))?;
    let plain = |e: hyper::Error| {
        if e.is_incomplete_message() {
            "EOF".to_owned()
        } else {
            e.to_string()
        }
    };
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(plain)?;
    let connection = tokio::spawn(connection);
    let target_uri = url.splitn(4, '/').nth(3).unwrap_or_default();
    let request = http::Request::post(format!("/{target_uri}"))
        .header("host", format!("{}:{}", target.host, target.port))
        .header("user-agent", "kube-apiserver-admission")
        .header("content-type", "application/json")
        .header("accept", "application/json")
        .body(Full::<bytes::Bytes>::from(body))
        .map_err(|e| e.to_string())?;
    let answer = sender.send_request(request).await.map_err(plain)?;
    let status = answer.status();
    let body = http_body_util::Limited::new(answer.into_body(), ANSWER_LIMIT);
    let body = body.collect().await.map_err(|e| e.to_string())?.to_bytes();
    connection.abort();
    Ok((status, body.to_vec()))
}

async fn connect(cluster: &Cluster, target: &Target) -> Result<TcpStream, String> {
    let Some((namespace, name)) = &target.service else {
        let to = (target.host.as_str(), target.port);
        return TcpStream::connect(to).await.map_err(|e| {
            let why = match e.kind() {
                io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
                _ => e.to_string(),
            };
            format!("dial tcp {}:{}: {why}", target.host, target.port)
        });
    };
    let table = cluster.table_of("", "services");
    let service = cluster.world.store.get(&table, &key(namespace, name));
    let Some(service) = service else {
        return Err(format!("service {name:?} not found"));
    };
    let ports = service
        .value
        .pointer("/spec/ports")
        .and_then(Value::as_array);
    let listed = ports
        .into_iter()
        .flatten()
        .any(|p| p["port"] == target.port);
    if !listed {
        return Err(format!(
            "no service port {} found for service {name:?}",
            target.port
        ));
    }
    cluster
        .net
        .connect(namespace, &target.host, target.port)
        .await
        .map_err(|_| format!("no endpoints available for service {name:?}"))
}

fn client(authorities: &[u8]) -> Result<TlsConnector, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authorities) {
        let certificate = certificate.map_err(|e| e.to_string())?;
        roots.add(certificate).map_err(|e| e.to_string())?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// A failed handshake, as Go's TLS tells it.
fn tls_error(error: &io::Error) -> String {
    let inner = error
        .get_ref()
        .and_then(|e| e.downcast_ref::<rustls::Error>());
    let why = match inner {
        Some(rustls::Error::InvalidCertificate(why)) => match why {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "certificate signed by unknown authority".to_owned()
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "certificate has expired or is not yet valid".to_owned()
            }
            CertificateError::NotValidForNameContext {
                expected,
                presented,
                ..
            } => {
                let names: Vec<_> = presented
                    .iter()
                    .map(|n| n.trim_start_matches("DnsName(\"").trim_end_matches("\")"))
                    .collect();
                format!(
                    "certificate is valid for {}, not {}",
                    names.join(", "),
                    expected.to_str()
                )
            }
            other => format!("{other:?}"),
        },
        Some(other) => return other.to_string(),
        None => return error.to_string(),
    };
    format!("tls: failed to verify certificate: x509: {why}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_target_is_a_service_or_a_url() {
        let cases = [
            (
                json!({"service": {"namespace": "n", "name": "s", "path": "/mutate"}}),
                "https://s.n.svc:443/mutate?timeout=10s",
            ),
            (
                json!({"service": {"namespace": "n", "name": "s", "port": 8443}}),
                "https://s.n.svc:8443/?timeout=10s",
            ),
            (
                json!({"url": "https://hooks.example/a"}),
                "https://hooks.example/a?timeout=10s",
            ),
        ];
        for (config, url) in cases {
            assert_eq!(Target::of(&config).url(10), url);
        }
    }
}
