//! What a kubelet serves to the API server: logs, connections into pods,
//! commands in containers, and how much they use.

use std::io;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use jiff::Timestamp;
use tokio::net::TcpStream;

/// The kubelets of a cluster, as its API server uses them.
#[async_trait]
pub trait Runtime: Send + Sync + 'static {
    /// A container's log. The stream ends with the log, or with the container
    /// if it is followed.
    async fn logs(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        options: LogOptions,
    ) -> Result<BoxStream<'static, Bytes>, RuntimeError>;

    /// Connects to a port inside a pod, as `port-forward` does: from the pod's
    /// own loopback interface.
    async fn dial(&self, namespace: &str, pod: &str, port: u16) -> io::Result<TcpStream>;

    /// Runs a command in a container. There is no shell and there are no
    /// tools: a few commands are answered from what the container sees.
    async fn exec(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        command: &[String],
    ) -> Result<Output, RuntimeError>;

    /// What the running containers use now.
    fn usage(&self) -> Vec<Usage>;
}

/// Which part of a log is wanted, as the query of the `log` subresource says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// Goes on with new lines until the container ends.
    pub follow: bool,
    /// The container's last run instead of this one.
    pub previous: bool,
    /// Puts each line's time in front of it.
    pub timestamps: bool,
    /// No more than the last lines.
    pub tail_lines: Option<u64>,
    /// Only lines not older than this time; `sinceSeconds` is counted back
    /// from now by the caller.
    pub since: Option<Timestamp>,
    /// Ends after so many bytes.
    pub limit_bytes: Option<u64>,
}

/// What a command left behind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// What it printed.
    pub stdout: Vec<u8>,
    /// What it complained about.
    pub stderr: Vec<u8>,
    /// Its exit code.
    pub code: i32,
}

/// What a container uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// The node that runs it.
    pub node: String,
    /// The pod's namespace.
    pub namespace: String,
    /// The pod.
    pub pod: String,
    /// The container.
    pub container: String,
    /// Thousandths of a cpu.
    pub cpu_millis: u64,
    /// Bytes of memory.
    pub memory_bytes: u64,
}

/// Why a kubelet has no answer. The texts are the kubelet's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuntimeError {
    /// No kubelet runs the pod (404).
    #[error("pods {0:?} not found")]
    NoPod(String),
    /// The pod has no such container (400).
    #[error("container {container} is not valid for pod {pod}")]
    NoContainer {
        /// The pod.
        pod: String,
        /// The container.
        container: String,
    },
    /// The container has not run yet (400).
    #[error("container {container:?} in pod {pod:?} is waiting to start: {reason}")]
    Waiting {
        /// The pod.
        pod: String,
        /// The container.
        container: String,
        /// E.g. `ContainerCreating`, `trying and failing to pull image`.
        reason: String,
    },
    /// There was no run before this one (400).
    #[error("previous terminated container {container:?} in pod {pod:?} not found")]
    NoPrevious {
        /// The pod.
        pod: String,
        /// The container.
        container: String,
    },
    /// The command cannot be run (500).
    #[error("{0}")]
    Failed(String),
}
