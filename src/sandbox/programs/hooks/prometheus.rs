//! The Prometheus operator, as far as the API server sees it: its webhooks
//! answer by the certificate that is mounted.

use async_trait::async_trait;

use super::super::dapr::plane::acceptor;
use super::super::generic::Generic;
use super::super::{Exit, Process, Program};
use super::{Verdict, argument, serve};

/// The image `prometheus-operator`.
pub struct PrometheusOperator;

#[async_trait]
impl Program for PrometheusOperator {
    async fn run(&self, process: Process) -> Exit {
        if argument(&process, "web.enable-tls") != Some("true") {
            return Generic.run(process).await;
        }
        let file = |name: &str| {
            let path = argument(&process, name).unwrap_or_default();
            let bytes = process.files.read(path).unwrap_or_default();
            String::from_utf8(bytes).unwrap_or_default()
        };
        let tls = acceptor(&file("web.cert-file"), &file("web.key-file"));
        let tls = match tls {
            Ok(tls) => tls,
            Err(error) => {
                process.log(&format!("fatal: cannot serve by the certificate: {error}"));
                return Exit::error(1);
            }
        };
        let address = argument(&process, "web.listen-address").unwrap_or_default();
        let port = address
            .rsplit(':')
            .next()
            .and_then(|port| port.parse().ok());
        serve(process, port.unwrap_or(8080), tls, |_, _| Verdict::Allowed).await
    }
}
