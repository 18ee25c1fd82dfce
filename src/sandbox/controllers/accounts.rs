//! What every namespace has: the service account `default`.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;

use super::Plane;
use super::queue::{Again, Controller};
use crate::sandbox::api::ApiError;
use crate::sandbox::cache::{Client, News};
use crate::sandbox::kind::{Kind, is_leaving, split};

/// The controller.
pub struct Accounts {
    plane: Arc<Plane>,
    client: Client,
}

impl Accounts {
    /// The controller of a plane.
    pub fn new(plane: &Arc<Plane>) -> Self {
        Self {
            plane: plane.clone(),
            client: plane.client.as_controller("service-account-controller"),
        }
    }
}

#[async_trait]
impl Controller for Accounts {
    fn concerns(&self, news: &News) -> Vec<String> {
        match news.kind {
            Kind::Namespaces => vec![news.key.to_string()],
            Kind::ServiceAccounts if news.after.is_none() => {
                vec![split(&news.key).0.to_owned()]
            }
            _ => Vec::new(),
        }
    }

    async fn look(&self, name: &str) -> Result<Again, ApiError> {
        let namespace = self.plane.cache().get(Kind::Namespaces, name);
        if namespace.is_none_or(|namespace| is_leaving(&namespace)) {
            return Ok(None);
        }
        let held = self
            .plane
            .cache()
            .get(Kind::ServiceAccounts, &format!("{name}/default"));
        if held.is_some() {
            return Ok(None);
        }
        let account = json!({
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "default", "namespace": name},
        });
        match self.client.create(Kind::ServiceAccounts, &account).await {
            Err(error) if error.is_conflict() || error.is_not_found() => Ok(None),
            made => made.map(|_| None),
        }
    }
}
