//! The kubelets' API, as an API server uses it for its users: logs, forwarded
//! ports and commands. All nodes share one door; the pod's name tells which.
//!
//! Paths and parameters are those of the kubelet's server:
//! `/containerLogs/NAMESPACE/POD/CONTAINER`, `/portForward/NAMESPACE/POD`,
//! `/exec/NAMESPACE/POD/CONTAINER` and `/attach/…`, each also with the pod's
//! uid after its name.

use std::sync::Arc;

use http::StatusCode;

use crate::sandbox::controllers::Plane;
use crate::sandbox::http::{Handler, Reply, Request};
use crate::sandbox::kind::{Kind, key, uid};
use crate::sandbox::kube::connect::{Place, exec, forward, logs};
use crate::sandbox::kube::status::Outcome;
use crate::sandbox::kubelet::Kubelets;

/// The door.
pub(super) struct Door {
    plane: Arc<Plane>,
    kubelets: Arc<Kubelets>,
}

impl Door {
    pub(super) fn new(plane: Arc<Plane>, kubelets: Arc<Kubelets>) -> Self {
        Self { plane, kubelets }
    }

    /// The pod of a path.
    fn place(&self, namespace: &str, pod: &str) -> Place {
        let held = self.plane.cache().get(Kind::Pods, &key(namespace, pod));
        Place {
            kubelets: self.kubelets.clone(),
            namespace: namespace.to_owned(),
            pod: pod.to_owned(),
            uid: held.map_or_else(String::new, |pod| uid(&pod).to_owned()),
        }
    }

    async fn answer(&self, request: Request) -> Outcome<Reply> {
        let path = request.segments();
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        match *path.as_slice() {
            ["containerLogs", namespace, pod, container] => {
                let place = self.place(namespace, pod);
                logs::read(&place, container, &request, self.plane.clock()).await
            }
            ["portForward", namespace, pod] | ["portForward", namespace, pod, _] => {
                forward::into(self.place(namespace, pod), request)
            }
            ["exec", namespace, pod, container] | ["exec", namespace, pod, _, container] => {
                exec::run_in(self.place(namespace, pod), container, request)
            }
            ["attach", namespace, pod, container] | ["attach", namespace, pod, _, container] => {
                exec::listen_to(self.place(namespace, pod), container, request)
            }
            _ => Ok(Reply::empty(StatusCode::NOT_FOUND)),
        }
    }
}

impl Handler for Door {
    fn system(&self) -> &'static str {
        "kubelet"
    }

    fn is_logged(&self) -> bool {
        false
    }

    async fn handle(&self, request: Request) -> Reply {
        // A kubelet refuses in plain words; the API server makes a Status.
        self.answer(request).await.unwrap_or_else(|status| {
            let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::BAD_REQUEST);
            Reply::text(code, "text/plain; charset=utf-8", status.message.clone())
        })
    }

    fn fault(&self, status: StatusCode, _: &Request) -> Reply {
        Reply::empty(status)
    }
}
