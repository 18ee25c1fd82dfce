//! Connections into pods, by unmodified clients.

use std::io;
use std::sync::Arc;

use ::kube::api::{Api, AttachParams, LogParams, PostParams};
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use super::spdy::tests::Client;
use crate::sandbox::kube::tests::{OCID, Rig, still};
use crate::sandbox::kubelet::{LogOptions, Output, Runtime, RuntimeError, Usage};

/// Pods that log two lines, echo what they get and run `echo`.
struct Echo;

#[async_trait]
impl Runtime for Echo {
    async fn logs(
        &self,
        _: &str,
        pod: &str,
        container: &str,
        options: LogOptions,
    ) -> Result<BoxStream<'static, Bytes>, RuntimeError> {
        if options.previous {
            return Err(RuntimeError::NoPrevious {
                pod: pod.to_owned(),
                container: container.to_owned(),
            });
        }
        let lines = ["one\n", "two\n"].map(Bytes::from);
        let skip = 2 - options.tail_lines.unwrap_or(2).min(2);
        let lines = lines.into_iter().skip(usize::try_from(skip).unwrap());
        Ok(futures::stream::iter(lines.collect::<Vec<_>>()).boxed())
    }

    async fn dial(&self, _: &str, _: &str, port: u16) -> io::Result<TcpStream> {
        if port != 80 {
            return Err(io::Error::from(io::ErrorKind::ConnectionRefused));
        }
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 5];
            socket.read_exact(&mut buffer).await.unwrap();
            socket.write_all(&buffer).await.unwrap();
        });
        TcpStream::connect(address).await
    }

    async fn exec(
        &self,
        _: &str,
        _: &str,
        _: &str,
        command: &[String],
    ) -> Result<Output, RuntimeError> {
        Ok(Output {
            stdout: command[1..].join(" ").into_bytes(),
            stderr: Vec::new(),
            code: i32::from(command[0] != "echo"),
        })
    }

    fn usage(&self) -> Vec<Usage> {
        Vec::new()
    }
}

async fn pod() -> (Rig, Api<Pod>) {
    let rig = still().await;
    let cluster = rig.clusters.cluster(OCID).unwrap();
    assert!(cluster.kubelets.set(Arc::new(Echo)).is_ok());
    let pods: Api<Pod> = Api::namespaced(rig.client.clone(), "default");
    let pod = json!({
        "metadata": {"name": "p"},
        "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]},
    });
    let pod = serde_json::from_value(pod).unwrap();
    pods.create(&PostParams::default(), &pod).await.unwrap();
    (rig, pods)
}

#[tokio::test]
async fn logs_are_those_of_the_container() {
    let (_rig, pods) = pod().await;
    let ask = |params: LogParams| {
        let pods = pods.clone();
        async move {
            match pods.logs("p", &params).await {
                Ok(text) => text,
                Err(::kube::Error::Api(status)) => status.message.clone(),
                Err(other) => panic!("{other}"),
            }
        }
    };
    assert_eq!(ask(LogParams::default()).await, "one\ntwo\n");
    let tail = LogParams {
        tail_lines: Some(1),
        ..LogParams::default()
    };
    assert_eq!(ask(tail).await, "two\n");
    let other = LogParams {
        container: Some("x".to_owned()),
        ..LogParams::default()
    };
    assert_eq!(ask(other).await, "container x is not valid for pod p");
    let before = LogParams {
        previous: true,
        ..LogParams::default()
    };
    assert_eq!(
        ask(before).await,
        "previous terminated container \"c\" in pod \"p\" not found"
    );
}

#[tokio::test]
async fn ports_are_forwarded_through_channels() {
    let (_rig, pods) = pod().await;
    let mut forwarder = pods.portforward("p", &[80]).await.unwrap();
    let mut stream = forwarder.take_stream(80).unwrap();
    stream.write_all(b"hello").await.unwrap();
    let mut back = String::new();
    stream.read_to_string(&mut back).await.unwrap();
    assert_eq!(back, "hello");
    let mut forwarder = pods.portforward("p", &[81]).await.unwrap();
    let error = forwarder.take_error(81).unwrap().await.unwrap();
    assert!(
        error.starts_with("error forwarding port 81 to pod p"),
        "{error}"
    );
}

#[tokio::test]
async fn ports_are_forwarded_through_tunnelled_streams() {
    let (rig, _pods) = pod().await;
    let url = format!(
        "wss://{}/api/v1/namespaces/default/pods/p/portforward",
        rig.endpoint.address
    );
    let mut request = url.into_client_request().unwrap();
    for (name, value) in [
        ("sec-websocket-protocol", "SPDY/3.1+portforward.k8s.io"),
        ("authorization", "Bearer admin"),
    ] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let tls = rig.tls().await;
    let (socket, _) = tokio_tungstenite::client_async(request, tls).await.unwrap();
    let mut client = Client::new(super::websocket::tunnel(socket));
    let headers = |kind| [("streamtype", kind), ("port", "80"), ("requestid", "0")];
    let error = client.open(&headers("error")).await;
    let data = client.open(&headers("data")).await;
    client.send(data, b"hello").await;
    assert_eq!(client.read(data).await, b"hello");
    assert_eq!(client.read(error).await, b"");
}

#[tokio::test]
async fn commands_print_and_end() {
    let (_rig, pods) = pod().await;
    for (command, wanted) in [("echo", "Success"), ("false", "Failure")] {
        let params = AttachParams::default();
        let run = pods.exec("p", [command, "a", "b"], &params).await;
        let mut run = run.unwrap();
        let mut said = String::new();
        let mut stdout = run.stdout().unwrap();
        stdout.read_to_string(&mut said).await.unwrap();
        let status = run.take_status().unwrap().await.unwrap();
        assert_eq!(
            (said.as_str(), status.status.as_deref()),
            ("a b", Some(wanted))
        );
    }
}
