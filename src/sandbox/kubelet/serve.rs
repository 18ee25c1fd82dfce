//! What the kubelets serve: logs, connections, commands, usage.

use std::io;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use serde_json::Value;
use tokio::net::TcpStream;

use super::pod::{Pod, is_running};
use super::status::State;
use super::volumes::Mounts;
use super::{Kubelets, LogOptions, Output, Runtime, RuntimeError, Usage, env};
use crate::sandbox::controllers::resources::Amount;
use crate::sandbox::kind::{items, text};
use crate::sandbox::programs::Files as _;

/// A container's part of its pod.
fn spec<'a>(pod: &'a Value, container: &str) -> Option<&'a Value> {
    items(pod, "/spec/containers")
        .iter()
        .chain(items(pod, "/spec/initContainers"))
        .find(|spec| text(spec, "/name") == container)
}

#[async_trait]
impl Runtime for Kubelets {
    async fn logs(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        options: LogOptions,
    ) -> Result<BoxStream<'static, Bytes>, RuntimeError> {
        let runner = self
            .named(namespace, pod)
            .ok_or_else(|| RuntimeError::NoPod(pod.to_owned()))?;
        let held = runner
            .container(container)
            .ok_or_else(|| RuntimeError::NoContainer {
                pod: pod.to_owned(),
                container: container.to_owned(),
            })?;
        let run = match &held.state {
            State::Waiting { reason, message } if held.last.is_none() => {
                return Err(RuntimeError::Waiting {
                    pod: pod.to_owned(),
                    container: container.to_owned(),
                    reason: match reason.as_str() {
                        "ErrImagePull" | "ImagePullBackOff" => {
                            "trying and failing to pull image".to_owned()
                        }
                        "CreateContainerConfigError" => message.clone(),
                        reason => reason.to_owned(),
                    },
                });
            }
            // The last run is both this one and the one before.
            State::Waiting { .. } => held.restarts,
            _ if options.previous && held.restarts == 0 => {
                return Err(RuntimeError::NoPrevious {
                    pod: pod.to_owned(),
                    container: container.to_owned(),
                });
            }
            _ if options.previous => held.restarts - 1,
            _ => held.restarts,
        };
        let log = runner.log(container, run);
        if !is_running(&held) || options.previous {
            log.close();
        }
        Ok(log.read(options))
    }

    async fn dial(&self, namespace: &str, pod: &str, port: u16) -> io::Result<TcpStream> {
        let Some(runner) = self.named(namespace, pod) else {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("pods {pod:?} not found"),
            ));
        };
        match self.plane.net.socket(runner.address, port) {
            Some(address) => {
                let stream = TcpStream::connect(address).await?;
                // What comes in two pieces must not wait for an answer to the first.
                stream.set_nodelay(true)?;
                Ok(stream)
            }
            None => Err(io::Error::new(
                io::ErrorKind::ConnectionRefused,
                format!("dial tcp4 127.0.0.1:{port}: connect: connection refused"),
            )),
        }
    }

    async fn exec(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        command: &[String],
    ) -> Result<Output, RuntimeError> {
        let runner = self
            .named(namespace, pod)
            .ok_or_else(|| RuntimeError::NoPod(pod.to_owned()))?;
        let object = runner.object();
        let running = runner.container(container).is_some_and(|c| is_running(&c));
        let Some(spec) = spec(&object, container).filter(|_| running) else {
            return Err(RuntimeError::Failed(format!(
                "container not found ({container:?})"
            )));
        };
        answer(&runner, &object, spec, command)
    }

    fn usage(&self) -> Vec<Usage> {
        let mut usage = Vec::new();
        for runner in self.all() {
            let object = runner.object();
            let all = items(&object, "/spec/containers")
                .iter()
                .chain(items(&object, "/spec/initContainers"));
            for spec in all {
                let name = text(spec, "/name");
                if runner.container(name).is_some_and(|c| is_running(&c)) {
                    usage.push(used(&runner, &object, spec));
                }
            }
        }
        usage
    }
}

/// What a container uses: a steady share of what it asks for, or a little.
fn used(runner: &Pod, object: &Value, spec: &Value) -> Usage {
    let asked = Amount::of(spec.pointer("/resources/requests"));
    let name = text(spec, "/name");
    let draw = runner.plane.world.draw(&format!(
        "usage/{}/{name}",
        crate::sandbox::kind::uid(object)
    ));
    let share = 20 + draw % 30;
    let asked_cpu = u64::try_from(asked.cpu).unwrap_or_default();
    let asked_memory = u64::try_from(asked.memory).unwrap_or_default();
    Usage {
        node: runner.host.name.clone(),
        namespace: text(object, "/metadata/namespace").to_owned(),
        pod: text(object, "/metadata/name").to_owned(),
        container: name.to_owned(),
        cpu_millis: (asked_cpu * share / 100).max(1 + draw % 4),
        memory_bytes: (asked_memory * (share + 20) / 100).max((12 + draw % 20) << 20),
    }
}

/// Answers a command from what the container sees.
fn answer(
    runner: &Pod,
    object: &Value,
    spec: &Value,
    command: &[String],
) -> Result<Output, RuntimeError> {
    let words: Vec<&str> = command.iter().map(String::as_str).collect();
    let program = words.first().copied().unwrap_or_default();
    let name = program.rsplit('/').next().unwrap_or_default();
    let rest = words.get(1..).unwrap_or_default();
    let said = |text: String| Output {
        stdout: text.into_bytes(),
        ..Output::default()
    };
    let failed = |text: String| Output {
        stderr: text.into_bytes(),
        code: 1,
        ..Output::default()
    };
    let mounts = Mounts::new(&runner.volumes, object, spec);
    Ok(match (name, rest) {
        ("echo", words) => said(format!("{}\n", words.join(" "))),
        ("true", _) => Output::default(),
        ("false", _) => failed(String::new()),
        ("hostname", _) => said(format!("{}\n", text(object, "/metadata/name"))),
        ("env" | "printenv", _) => {
            let env = env::environment(runner.plane.cache(), object, spec)
                .map_err(RuntimeError::Failed)?;
            said(env.iter().map(|(k, v)| format!("{k}={v}\n")).collect())
        }
        ("cat", paths) => {
            let mut out = Output::default();
            for path in paths {
                if let Some(content) = mounts.read(path) {
                    out.stdout.extend(content);
                } else {
                    let why = format!("cat: can't open '{path}': No such file or directory\n");
                    out.stderr.extend(why.into_bytes());
                    out.code = 1;
                }
            }
            out
        }
        ("ls", rest) => {
            let path = rest.iter().rfind(|word| !word.starts_with('-'));
            let path = path.map_or("", |path| path.trim_end_matches('/'));
            let mut names: Vec<String> = mounts
                .list()
                .iter()
                .filter_map(|file| file.strip_prefix(path)?.strip_prefix('/'))
                .filter_map(|rest| rest.split('/').next())
                .map(|name| format!("{name}\n"))
                .collect();
            names.sort();
            names.dedup();
            if names.is_empty() {
                failed(format!("ls: {path}: No such file or directory\n"))
            } else {
                said(names.concat())
            }
        }
        ("sh" | "bash" | "ash", ["-c", script, ..]) => {
            let words: Vec<String> = script.split_whitespace().map(str::to_owned).collect();
            let inner = words.first().map_or("", String::as_str);
            if matches!(inner, "sh" | "bash" | "ash") {
                failed(format!("sh: {inner}: not found\n"))
            } else {
                answer(runner, object, spec, &words)?
            }
        }
        _ => {
            return Err(RuntimeError::Failed(format!(
                "exec failed: unable to start container process: exec: {program:?}: executable file not found in $PATH"
            )));
        }
    })
}
