//! Load balancers of a cluster without a cloud: each Service of that type gets
//! a loopback address of its own, where the proxy then listens.

use std::net::Ipv4Addr;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::sandbox::api::ApiError;
use crate::sandbox::cache::{Client, News};
use crate::sandbox::controllers::Plane;
use crate::sandbox::controllers::queue::{Again, Controller};
use crate::sandbox::kind::{Kind, is_leaving, items, text, uid};

/// The controller.
pub(super) struct Balancers {
    plane: Arc<Plane>,
    client: Client,
}

impl Balancers {
    pub(super) fn new(plane: &Arc<Plane>) -> Self {
        Self {
            plane: plane.clone(),
            client: plane.client.as_controller("service-controller"),
        }
    }

    /// An address that follows from the Service: the same after a restart.
    fn address(&self, service: &Value) -> Ipv4Addr {
        let [a, b, c, ..] = self.plane.world.draw(uid(service)).to_le_bytes();
        // Neither the usual 127.0.0.x nor an end of a range.
        Ipv4Addr::new(127, a.max(1), b, c.clamp(1, 254))
    }
}

#[async_trait]
impl Controller for Balancers {
    fn concerns(&self, news: &News) -> Vec<String> {
        match news.kind {
            Kind::Services => vec![news.key.to_string()],
            _ => Vec::new(),
        }
    }

    async fn look(&self, key: &str) -> Result<Again, ApiError> {
        let Some(service) = self.plane.cache().get(Kind::Services, key) else {
            return Ok(None);
        };
        let wants = text(&service, "/spec/type") == "LoadBalancer" && !is_leaving(&service);
        if wants && items(&service, "/status/loadBalancer/ingress").is_empty() {
            let ingress = json!([{"ip": self.address(&service).to_string(), "ipMode": "VIP"}]);
            let status = json!({"loadBalancer": {"ingress": ingress}});
            self.client
                .set_status(Kind::Services, &service, status)
                .await?;
        }
        Ok(None)
    }
}
