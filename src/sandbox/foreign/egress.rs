//! The way from an API server to what runs in the cluster: an HTTP proxy
//! (CONNECT, RFC 9110 section 9.3.6) that knows the nodes, pods and Services
//! of this world by their addresses.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixListener};
use tokio_util::sync::CancellationToken;

use super::nodes;
use crate::sandbox::podnet::PodNet;

/// What the proxy leads to.
#[derive(Debug)]
pub(super) struct Egress {
    /// The pods and Services.
    pub net: Arc<PodNet>,
    /// Where all nodes' kubelets listen.
    pub kubelet: SocketAddr,
}

impl Egress {
    async fn connect(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        if port == nodes::KUBELET_PORT && nodes::is_node(host) {
            return TcpStream::connect(self.kubelet).await;
        }
        self.net.connect("default", host, port).await
    }
}

/// Opens the proxy's socket; one that a killed process left is replaced.
pub(super) fn listen(socket: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => UnixListener::bind(socket),
    }
}

/// The configuration that tells an API server of a proxy. A socket, because
/// kube-apiserver 1.36 does not start with a proxy at a plain TCP port.
pub(super) fn config(socket: &Path) -> String {
    let socket = serde_json::Value::from(socket.to_string_lossy());
    format!(
        "apiVersion: apiserver.k8s.io/v1beta1\n\
         kind: EgressSelectorConfiguration\n\
         egressSelections:\n\
         - name: cluster\n\
         \x20 connection:\n\
         \x20   proxyProtocol: HTTPConnect\n\
         \x20   transport:\n\
         \x20     uds: {{udsName: {socket}}}\n"
    )
}

/// Serves the proxy until `stop` is cancelled.
pub(super) async fn serve(listener: UnixListener, egress: Arc<Egress>, stop: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((socket, _)) = accepted else { continue };
        let (egress, stop) = (egress.clone(), stop.clone());
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let (egress, stop) = (egress.clone(), stop.clone());
                async move { Ok::<_, Infallible>(answer(&egress, request, stop).await) }
            });
            let serving = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(socket), service)
                .with_upgrades();
            tokio::select! {
                () = stop.cancelled() => {}
                _ = serving => {}
            }
        });
    }
}

async fn answer(
    egress: &Egress,
    request: Request<Incoming>,
    stop: CancellationToken,
) -> Response<Full<Bytes>> {
    let refusal = |status, why: String| {
        let mut response = Response::new(Full::from(why));
        *response.status_mut() = status;
        response
    };
    let to = request.uri().authority();
    let to = to.and_then(|to| Some((to.host().to_owned(), to.port_u16()?)));
    let (Method::CONNECT, Some((host, port))) = (request.method().clone(), to) else {
        let why = "this proxy only connects (CONNECT host:port)".to_owned();
        return refusal(StatusCode::METHOD_NOT_ALLOWED, why);
    };
    let mut inner = match egress.connect(&host, port).await {
        Ok(inner) => inner,
        Err(error) => {
            tracing::debug!(host, port, %error, "no way for the API server");
            return refusal(StatusCode::BAD_GATEWAY, error.to_string());
        }
    };
    tokio::spawn(async move {
        let Ok(upgraded) = hyper::upgrade::on(request).await else {
            return;
        };
        let mut outer = TokioIo::new(upgraded);
        tokio::select! {
            () = stop.cancelled() => {}
            // Either side may end the connection; the other learns it so.
            _ = tokio::io::copy_bidirectional(&mut outer, &mut inner) => {}
        }
    });
    Response::new(Full::default())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, UnixStream};

    use super::*;

    async fn ask(proxy: &Path, request: &str) -> (UnixStream, String) {
        let mut stream = UnixStream::connect(proxy).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = vec![0; 1024];
        let read = stream.read(&mut head).await.unwrap();
        (stream, String::from_utf8_lossy(&head[..read]).into_owned())
    }

    #[tokio::test]
    async fn connections_lead_to_pods_and_kubelets_and_nowhere_else() {
        let net = Arc::<PodNet>::default();
        let address = Ipv4Addr::new(10, 244, 0, 2);
        let (pod, _open) = net.listen(address, 8080).await.unwrap();
        let kubelet = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let egress = Arc::new(Egress {
            net,
            kubelet: kubelet.local_addr().unwrap(),
        });
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("egress.sock");
        drop(listen(&at).unwrap());
        let proxy = listen(&at).unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(serve(proxy, egress, stop.clone()));

        for (host, listener) in [("10.244.0.2:8080", &pod), ("10.0.10.2:10250", &kubelet)] {
            let request = format!("CONNECT {host} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
            let (mut outer, said) = ask(&at, &request).await;
            assert!(said.starts_with("HTTP/1.1 200"), "{host}: {said}");
            let (mut inner, _) = listener.accept().await.unwrap();
            outer.write_all(b"ping").await.unwrap();
            let mut held = [0; 4];
            inner.read_exact(&mut held).await.unwrap();
            assert_eq!(&held, b"ping");
        }
        for (request, status) in [
            ("CONNECT 10.244.0.3:8080 HTTP/1.1\r\n\r\n", "502"),
            ("GET http://10.244.0.2:8080/ HTTP/1.1\r\n\r\n", "405"),
        ] {
            let (_, said) = ask(&at, request).await;
            assert!(said.starts_with(&format!("HTTP/1.1 {status}")), "{said}");
        }
        stop.cancel();
    }
}
