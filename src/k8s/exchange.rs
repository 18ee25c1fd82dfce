//! One HTTP exchange with a port of a pod, over a forwarded stream.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use super::{K8sError, Kube};

/// Longer answers are cut off with an error: what a pod says is untrusted.
const ANSWER_LIMIT: usize = 4 * 1024 * 1024;

impl Kube {
    /// Sends a request to a port of a pod and reads the whole answer, of at
    /// most 4 MiB. The limit is in real time and covers connecting as well.
    /// The request is sent once: whether it may be repeated, only its author
    /// knows.
    pub async fn exchange(
        &self,
        namespace: &str,
        pod: &str,
        port: u16,
        request: Request<Bytes>,
        limit: Duration,
    ) -> Result<Response<Bytes>, K8sError> {
        let what = format!(
            "{} {} on port {port} of pod {namespace}/{pod}",
            request.method(),
            request.uri().path()
        );
        let work = async {
            let stream = self.dial(namespace, pod, port).await?;
            talk(stream, request)
                .await
                .map_err(|source| K8sError::Unreachable {
                    what: what.clone(),
                    source,
                })
        };
        match tokio::time::timeout(limit, work).await {
            Ok(answer) => answer,
            Err(_) => Err(K8sError::Silent {
                what,
                waited: limit,
            }),
        }
    }
}

async fn talk(
    stream: super::PodStream,
    mut request: Request<Bytes>,
) -> Result<Response<Bytes>, Box<dyn std::error::Error + Send + Sync>> {
    if !request.headers().contains_key(header::HOST) {
        request
            .headers_mut()
            .insert(header::HOST, HeaderValue::from_static("localhost"));
    }
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let exchange = async {
        let response = sender.send_request(request.map(Full::new)).await?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_LIMIT).collect().await?.to_bytes();
        Ok(Response::from_parts(parts, body))
    };
    let mut exchange = std::pin::pin!(exchange);
    tokio::select! {
        biased;
        answer = &mut exchange => answer,
        // What it delivered before it ended can still be read.
        ended = connection => {
            ended?;
            exchange.await
        }
    }
}
