//! The parts of pods and services that are connections: logs, forwarded
//! ports, commands, and the proxy. What is at the other end comes from the
//! kubelets ([`crate::sandbox::kubelet::Runtime`]) and the pods' network.
//!
//! A kubelet's own API has the same connections ([`crate::sandbox::foreign`]),
//! so each is written for a `Place`, and not for a call of this server.

pub(in crate::sandbox) mod exec;
pub(in crate::sandbox) mod forward;
pub(in crate::sandbox) mod logs;
mod proxy;
mod spdy;
#[cfg(test)]
mod tests;
mod websocket;

use std::sync::Arc;

use http::StatusCode;
use serde_json::Value;

use super::catalog::Sub;
use super::cluster::text;
use super::objects;
use super::request::Call;
use super::status::{Outcome, Status};
use crate::sandbox::http::{Reply, Request};
use crate::sandbox::kubelet::{Runtime, RuntimeError};

/// A pod that somebody wants to be connected with.
#[derive(Clone)]
pub(in crate::sandbox) struct Place {
    /// Who runs it.
    pub kubelets: Arc<dyn Runtime>,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub pod: String,
    /// What tells it from others of this name.
    pub uid: String,
}

impl Place {
    /// The pod that a call names.
    fn of(call: &Call, object: &Value) -> Outcome<Self> {
        Ok(Self {
            kubelets: kubelets(call)?,
            namespace: call.target.namespace.clone(),
            pod: call.target.name.clone(),
            uid: text(object, "/metadata/uid").to_owned(),
        })
    }
}

/// Answers a subresource that is a connection; gives other calls back.
pub async fn perform(call: Call) -> Result<Outcome<Reply>, Box<Call>> {
    Ok(match call.sub {
        Some(Sub::Log) => logs::logs(&call).await,
        Some(Sub::PortForward) => forward::forward(call),
        Some(Sub::Exec) => exec::exec(call),
        Some(Sub::Attach) => exec::attach(call),
        Some(Sub::Proxy) => proxy::proxy(&call).await,
        _ => return Err(Box::new(call)),
    })
}

/// The kubelets, or why nobody answers for them.
fn kubelets(call: &Call) -> Outcome<Arc<dyn Runtime>> {
    call.cluster
        .kubelets
        .get()
        .cloned()
        .ok_or_else(|| Status::internal("error dialing backend: no kubelet serves this node"))
}

/// The container that a request means.
fn container(call: &Call, pod: &Value) -> Outcome<String> {
    let names = |field: &str| -> Vec<String> {
        let list = pod.pointer(&format!("/spec/{field}"));
        let list = list.and_then(Value::as_array).into_iter().flatten();
        list.map(|c| text(c, "/name").to_owned()).collect()
    };
    let main = names("containers");
    let all: Vec<_> = [
        names("initContainers"),
        main.clone(),
        names("ephemeralContainers"),
    ]
    .concat();
    let wanted = call.request.param("container").unwrap_or_default();
    let pod = text(pod, "/metadata/name");
    if !wanted.is_empty() {
        return if all.iter().any(|name| name == wanted) {
            Ok(wanted.to_owned())
        } else {
            Err(Status::bad_request(format!(
                "container {wanted} is not valid for pod {pod}"
            )))
        };
    }
    match main.as_slice() {
        [only] => Ok(only.clone()),
        _ => Err(Status::bad_request(format!(
            "a container name must be specified for pod {pod}, choose one of: [{}]",
            all.join(" ")
        ))),
    }
}

/// The pod that a stream leads to; it runs somewhere.
fn scheduled(call: &Call) -> Outcome<Value> {
    let pod = objects::get(call)?;
    if text(&pod, "/spec/nodeName").is_empty() {
        let name = &call.target.name;
        return Err(Status::bad_request(format!(
            "pod {name} does not have a host assigned"
        )));
    }
    Ok(pod)
}

/// A kubelet's refusal as a server passes it on.
fn refused(error: &RuntimeError) -> Box<Status> {
    match error {
        RuntimeError::NoPod(name) => Status::no_pod(name),
        RuntimeError::Failed(why) => Status::internal(why.clone()),
        other => Status::bad_request(other.to_string()),
    }
}

/// Whether a request asks for this protocol in place of HTTP.
fn upgrades_to(request: &Request, protocol: &str) -> bool {
    request
        .header("upgrade")
        .is_some_and(|u| u.eq_ignore_ascii_case(protocol))
}

/// The reply that hands the connection over.
fn switching(protocol: &str) -> Reply {
    Reply::empty(StatusCode::SWITCHING_PROTOCOLS)
        .with("connection", "Upgrade")
        .with("upgrade", protocol)
}

/// The connection behind a request, once the reply is sent.
async fn taken_over(request: Request) -> Option<hyper_util::rt::TokioIo<hyper::upgrade::Upgraded>> {
    let upgraded = request.upgrade?.await.ok()?;
    Some(hyper_util::rt::TokioIo::new(upgraded))
}
