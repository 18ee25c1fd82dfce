//! What the container images of the rehearsal do when they run.
//!
//! A program is chosen by its image's name. It gets what a process in a
//! container gets, and nothing else: arguments, environment, mounted files, a
//! place to write its log, the pod's network, and the API server as its
//! service account.

pub mod brokers;
pub mod dapr;
pub mod daprd;
pub mod follow;
pub mod generic;
pub mod hooks;
pub mod ids;
pub mod logger;
pub mod nginx;
pub mod strimzi;
#[cfg(test)]
mod testing;
pub mod todo;
pub mod web;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::podnet::{Binding, PodNet};
use super::world::World;

/// The program of an image, chosen by its name without registry and tag.
pub fn program(image: &str) -> Arc<dyn Program> {
    let misbehaves = matches!(tag(image), "crash" | "oom");
    let name = name(image);
    match name {
        _ if misbehaves => Arc::new(generic::Generic),
        "dapr/operator" | "daprio/operator" => Arc::new(dapr::Operator),
        "dapr/sentry" | "daprio/sentry" => Arc::new(dapr::Sentry),
        "dapr/injector" | "daprio/injector" => Arc::new(dapr::Injector),
        "dapr/placement" | "daprio/placement" => Arc::new(dapr::Placement),
        "dapr/scheduler" | "daprio/scheduler" => Arc::new(dapr::Scheduler),
        "dapr/daprd" | "daprio/daprd" => Arc::new(daprd::Daprd),
        "nginx/nginx-ingress" | "nginx-ingress" => Arc::new(nginx::Nginx),
        "strimzi/operator" => Arc::new(strimzi::Operator),
        "strimzi/kafka" => Arc::new(strimzi::KafkaNode),
        _ if name.contains("todo-frontend") => Arc::new(todo::Frontend),
        _ if name.contains("todo-backend") => Arc::new(todo::Backend),
        _ => hooks::program(name).unwrap_or_else(|| Arc::new(generic::Generic)),
    }
}

/// An image's path without registry, tag and digest: `dapr/daprd`.
pub fn name(image: &str) -> &str {
    let image = image.split('@').next().unwrap_or(image);
    let image = match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => image,
    };
    match image.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => rest,
        _ => image,
    }
}

/// An image's tag; `latest` if it has none.
pub fn tag(image: &str) -> &str {
    let image = image.split('@').next().unwrap_or(image);
    match image.rsplit_once(':') {
        Some((_, tag)) if !tag.contains('/') => tag,
        _ => "latest",
    }
}

/// What an image does.
#[async_trait]
pub trait Program: Send + Sync + 'static {
    /// Runs until it ends by itself or is told to stop, and says how it ended.
    async fn run(&self, process: Process) -> Exit;
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// The exit code; 137 after a kill.
    pub code: i32,
    /// `Completed`, `Error` or `OOMKilled`.
    pub reason: &'static str,
}

impl Exit {
    /// It did what it was to do, or was told to stop.
    pub const OK: Self = Self {
        code: 0,
        reason: "Completed",
    };

    /// It failed.
    pub const fn error(code: i32) -> Self {
        Self {
            code,
            reason: "Error",
        }
    }
}

/// Takes a container's log, line by line, stamped with the world's time.
pub trait LogSink: Send + Sync + 'static {
    /// Appends one line.
    fn line(&self, text: &str);
}

/// Reads the files that volumes mount into the container.
pub trait Files: Send + Sync + 'static {
    /// The content of a file, if some volume has it.
    fn read(&self, path: &str) -> Option<Vec<u8>>;
}

/// What a container's process sees.
#[derive(Clone)]
pub struct Process {
    /// The world that it runs in.
    pub world: Arc<World>,
    /// The image, e.g. `ghcr.io/dapr/daprd:1.18.3`.
    pub image: String,
    /// Entry point and arguments as the pod gives them, variables expanded.
    pub args: Vec<String>,
    /// The environment, references resolved.
    pub env: BTreeMap<String, String>,
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub pod: String,
    /// The container's name.
    pub container: String,
    /// The pod's annotations and labels.
    pub annotations: BTreeMap<String, String>,
    /// The pod's labels.
    pub labels: BTreeMap<String, String>,
    /// The name of the pod's service account.
    pub service_account: String,
    /// The ports that the container declares or is probed at.
    pub ports: Vec<u16>,
    /// Whether it is to end by itself: an init container, or one of a Job.
    pub once: bool,
    /// The pod's address.
    pub address: Ipv4Addr,
    /// Where the log goes.
    pub log: Arc<dyn LogSink>,
    /// The mounted files.
    pub files: Arc<dyn Files>,
    /// The network.
    pub net: Arc<PodNet>,
    /// The API server, as the pod's service account.
    pub api: super::api::Api,
    /// SIGTERM. What has not ended within the grace period is dropped.
    pub stop: CancellationToken,
}

impl Process {
    /// Writes a line to the container's log.
    pub fn log(&self, text: &str) {
        self.log.line(text);
    }

    /// Listens on one of the pod's ports, on all its interfaces.
    pub async fn listen(&self, port: u16) -> std::io::Result<(TcpListener, Binding)> {
        self.net.listen(self.address, port).await
    }

    /// Connects as this pod would: to a Service's name, a pod's address, or
    /// `localhost`.
    pub async fn connect(&self, host: &str, port: u16) -> std::io::Result<TcpStream> {
        let own = matches!(host, "localhost" | "127.0.0.1" | "::1");
        let host = if own {
            self.address.to_string()
        } else {
            host.to_owned()
        };
        self.net.connect(&self.namespace, &host, port).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_tags_are_told_apart() {
        for (image, name_of, tag_of) in [
            ("nginx", "nginx", "latest"),
            ("ghcr.io/dapr/daprd:1.18.3", "dapr/daprd", "1.18.3"),
            ("localhost:5000/a/b", "a/b", "latest"),
            (
                "fra.ocir.io/ns/todo/backend:abc@sha256:12",
                "ns/todo/backend",
                "abc",
            ),
            ("library/redis:7", "library/redis", "7"),
        ] {
            assert_eq!((name(image), tag(image)), (name_of, tag_of), "{image}");
        }
    }
}
