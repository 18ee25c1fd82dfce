//! Connections to a pod's ports, through the API server.
//!
//! Pods have addresses that only the cluster can reach. The API server passes
//! a stream on (`pods/portforward` over a websocket), so a laptop needs no way
//! into the cluster but the API. A port on the pod's loopback interface, such
//! as a Dapr sidecar's, can be reached as well.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

use super::{K8sError, Kube};

/// A connection to a port of a pod. Closing it ends the forwarding.
pub struct PodStream {
    stream: DuplexStream,
    /// What the kubelet says if it cannot connect; it comes before the end of
    /// the stream or not at all.
    refused: Option<BoxFuture<'static, Option<String>>>,
    _session: Arc<Session>,
}

/// The task behind a connection ends with it.
struct Session(kube::api::Portforwarder);

impl Drop for Session {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl std::fmt::Debug for PodStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PodStream").finish_non_exhaustive()
    }
}

impl Kube {
    /// Connects to a port of a pod. Whether anything listens there shows when
    /// the stream is used: reading then fails with the kubelet's words.
    pub async fn dial(&self, namespace: &str, pod: &str, port: u16) -> Result<PodStream, K8sError> {
        let what = format!("forward port {port} of pod {namespace}/{pod}");
        let pods: Api<Pod> = Api::namespaced(self.client().clone(), namespace);
        let mut attempts = self.attempts(&what);
        // Not `call`: what this returns may be sent between threads.
        let mut session = loop {
            match self.attempt(&what, pods.portforward(pod, &[port])).await {
                Ok(session) => break session,
                Err(error) => attempts.after(error).await?,
            }
        };
        let stream = session.take_stream(port);
        let refused = session.take_error(port);
        let stream = stream.ok_or_else(|| K8sError::Answer {
            what,
            source: "the forwarding has no stream".into(),
        })?;
        Ok(PodStream {
            stream,
            refused: refused.map(futures::FutureExt::boxed),
            _session: Arc::new(Session(session)),
        })
    }
}

impl AsyncRead for PodStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        let ended = matches!(read, Poll::Ready(Ok(()))) && buf.filled().len() == before;
        let quiet = read.is_pending() || ended;
        if quiet
            && buf.remaining() > 0
            && let Some(refused) = &mut self.refused
            && let Poll::Ready(words) = refused.poll_unpin(cx)
        {
            self.refused = None;
            if let Some(words) = words {
                let error =
                    io::Error::new(io::ErrorKind::ConnectionRefused, words.trim().to_owned());
                return Poll::Ready(Err(error));
            }
        }
        read
    }
}

impl AsyncWrite for PodStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
