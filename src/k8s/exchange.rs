//! HTTP with a port of a pod, over a forwarded stream: one exchange, or many
//! over one connection.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use tokio_util::task::AbortOnDropHandle;

use super::{K8sError, Kube};

type Failure = Box<dyn std::error::Error + Send + Sync>;

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

/// A connection to a port of a pod that carries one request after the other.
pub struct Line {
    what: String,
    limit: Duration,
    sender: http1::SendRequest<Full<Bytes>>,
    /// Ends with the line.
    _connection: AbortOnDropHandle<()>,
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line")
            .field("to", &self.what)
            .finish_non_exhaustive()
    }
}

impl Line {
    /// Whether another request can be sent.
    pub fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Sends a request, once, and reads the whole answer, of at most 4 MiB.
    pub async fn send(&mut self, request: Request<Bytes>) -> Result<Response<Bytes>, K8sError> {
        let work = async {
            self.sender.ready().await?;
            answered(&mut self.sender, request).await
        };
        match tokio::time::timeout(self.limit, work).await {
            Ok(answer) => answer.map_err(|source| K8sError::Unreachable {
                what: self.what.clone(),
                source,
            }),
            Err(_) => Err(K8sError::Silent {
                what: self.what.clone(),
                waited: self.limit,
            }),
        }
    }
}

impl Kube {
    /// Opens a connection to a port of a pod. The limit is each request's, and
    /// the opening's, in real time.
    pub async fn line(
        &self,
        namespace: &str,
        pod: &str,
        port: u16,
        limit: Duration,
    ) -> Result<Line, K8sError> {
        let what = format!("port {port} of pod {namespace}/{pod}");
        let work = async {
            let stream = self.dial(namespace, pod, port).await?;
            let shaken = http1::handshake(TokioIo::new(stream)).await;
            shaken.map_err(|error| K8sError::Unreachable {
                what: what.clone(),
                source: error.into(),
            })
        };
        let Ok(opened) = tokio::time::timeout(limit, work).await else {
            return Err(K8sError::Silent {
                what,
                waited: limit,
            });
        };
        let (sender, connection) = opened?;
        let connection = tokio::spawn(async move {
            // Its failure is that of the request which it carries.
            let _ = connection.await;
        });
        Ok(Line {
            what,
            limit,
            sender,
            _connection: AbortOnDropHandle::new(connection),
        })
    }
}

async fn talk(
    stream: super::PodStream,
    request: Request<Bytes>,
) -> Result<Response<Bytes>, Failure> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let exchange = answered(&mut sender, request);
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

async fn answered(
    sender: &mut http1::SendRequest<Full<Bytes>>,
    mut request: Request<Bytes>,
) -> Result<Response<Bytes>, Failure> {
    let headers = request.headers_mut();
    if !headers.contains_key(header::HOST) {
        headers.insert(header::HOST, HeaderValue::from_static("localhost"));
    }
    let response = sender.send_request(request.map(Full::new)).await?;
    let (parts, body) = response.into_parts();
    let body = Limited::new(body, ANSWER_LIMIT).collect().await?.to_bytes();
    Ok(Response::from_parts(parts, body))
}
