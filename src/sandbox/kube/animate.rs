//! What makes a cluster live: its controllers and kubelets, as clients of its
//! API server. They have a door of their own, so that the request log shows
//! what the cluster's users ask, and the fault plan meets nobody else.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use http::StatusCode;
use tokio_util::sync::CancellationToken;

use super::cluster::Cluster;
use super::server::Server;
use super::tls::Certificates;
use crate::sandbox::api::{Api, Credential};
use crate::sandbox::controllers::claims::Disks;
use crate::sandbox::controllers::{self, Ground, Plane};
use crate::sandbox::http::{Handler, Reply, Request};
use crate::sandbox::kubelet::Kubelets;

/// The API server as the cluster's own components reach it.
pub struct Components(pub Server);

impl Handler for Components {
    fn system(&self) -> &'static str {
        self.0.system()
    }

    fn is_logged(&self) -> bool {
        false
    }

    async fn handle(&self, request: Request) -> Reply {
        self.0.handle(request).await
    }

    fn fault(&self, status: StatusCode, request: &Request) -> Reply {
        self.0.fault(status, request)
    }
}

/// Starts the controllers and kubelets of a cluster whose components' door is
/// at `address`.
pub fn start(
    cluster: &Arc<Cluster>,
    disks: Arc<OnceLock<Arc<dyn Disks>>>,
    address: SocketAddr,
    certificates: &Certificates,
    stop: &CancellationToken,
) -> io::Result<()> {
    let base = url::Url::parse(&format!("https://{address}")).map_err(io::Error::other)?;
    let login = Credential::Token(cluster.component_token.clone());
    let api = Api::trusting(&certificates.ca_pem, base, login).map_err(io::Error::other)?;
    let ground = Ground {
        net: cluster.net.clone(),
        disks,
    };
    let plane = Plane::start(cluster.world.clone(), &cluster.ocid, api, ground, stop);
    controllers::run(&plane);
    let kubelets = Kubelets::start(&plane);
    // A cluster is started once.
    let _ = cluster.kubelets.set(kubelets);
    Ok(())
}
