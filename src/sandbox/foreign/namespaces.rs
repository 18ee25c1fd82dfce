//! The life of namespaces: what a new one is told, and how one ends.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::sandbox::api::{Api, ApiError};
use crate::sandbox::cache::{Client, Minding, News};
use crate::sandbox::controllers::Plane;
use crate::sandbox::controllers::queue::{Again, Controller};
use crate::sandbox::kind::{Kind, is_leaving, items, split, text};

/// Between two looks at a namespace that is not empty yet, in real time.
const AGAIN: Duration = Duration::from_millis(500);
/// The authority's `ConfigMap` in every namespace.
const AUTHORITY: &str = "kube-root-ca.crt";

/// Empties namespaces that end, and lets them go.
pub(super) struct Emptying {
    plane: Arc<Plane>,
    api: Api,
}

impl Emptying {
    pub(super) fn new(plane: &Arc<Plane>) -> Self {
        let client = plane.client.as_controller("namespace-controller");
        Self {
            plane: plane.clone(),
            api: client.api,
        }
    }

    /// Deletes what a namespace holds of one resource; whether nothing is left.
    async fn empty(&self, collection: &str) -> Result<bool, ApiError> {
        let one = format!("{collection}?limit=1");
        let found = self.api.get(&one).await?;
        if items(&found, "/items").is_empty() {
            return Ok(true);
        }
        self.api.delete(collection).await?;
        let left = self.api.get(&one).await?;
        Ok(items(&left, "/items").is_empty())
    }
}

#[async_trait]
impl Controller for Emptying {
    fn concerns(&self, news: &News) -> Vec<String> {
        let ends = news.kind == Kind::Namespaces && news.after.as_deref().is_some_and(is_leaving);
        Vec::from_iter(ends.then(|| news.key.to_string()))
    }

    async fn look(&self, name: &str) -> Result<Again, ApiError> {
        let namespace = self.plane.cache().get(Kind::Namespaces, name);
        let Some(namespace) = namespace.filter(|namespace| is_leaving(namespace)) else {
            return Ok(None);
        };
        let mut is_empty = true;
        for resource in resources(&self.api).await? {
            if resource.is_namespaced && resource.is_collection {
                let collection = resource.collection(name);
                is_empty &= self.empty(&collection).await?;
            }
        }
        if !is_empty {
            return Ok(Some(AGAIN.mul_f64(self.plane.clock().rate())));
        }
        let mut done = Value::clone(&namespace);
        done["spec"]["finalizers"] = json!([]);
        let path = format!("{}/finalize", Kind::Namespaces.path("", name));
        match self.api.update(&path, &done).await {
            Err(error) if error.is_not_found() => Ok(None),
            answer => answer.map(|_| None),
        }
    }
}

/// Tells every namespace the authority of the API server.
pub(super) struct Authority {
    plane: Arc<Plane>,
    client: Client,
    ca_pem: String,
    told: OnceCell<Minding>,
}

impl Authority {
    pub(super) fn new(plane: &Arc<Plane>, ca_pem: &str) -> Self {
        Self {
            plane: plane.clone(),
            client: plane.client.as_controller("root-ca-cert-publisher"),
            ca_pem: ca_pem.to_owned(),
            told: OnceCell::new(),
        }
    }
}

#[async_trait]
impl Controller for Authority {
    fn concerns(&self, news: &News) -> Vec<String> {
        match news.kind {
            Kind::Namespaces => vec![news.key.to_string()],
            Kind::ConfigMaps if split(&news.key).1 == AUTHORITY => {
                vec![split(&news.key).0.to_owned()]
            }
            _ => Vec::new(),
        }
    }

    async fn look(&self, name: &str) -> Result<Again, ApiError> {
        let told = || self.plane.mind((Kind::ConfigMaps, AUTHORITY));
        self.told.get_or_init(told).await;
        let cache = self.plane.cache();
        let namespace = cache.get(Kind::Namespaces, name);
        if namespace.is_none_or(|namespace| is_leaving(&namespace)) {
            return Ok(None);
        }
        let wanted = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": AUTHORITY, "namespace": name},
            "data": {"ca.crt": self.ca_pem},
        });
        let done = match cache.get(Kind::ConfigMaps, &format!("{name}/{AUTHORITY}")) {
            Some(held) if held["data"] == wanted["data"] => return Ok(None),
            Some(held) => {
                let data = json!({ "data": wanted["data"] });
                self.client.merge(Kind::ConfigMaps, &held, &data).await
            }
            None => self.client.create(Kind::ConfigMaps, &wanted).await,
        };
        match done {
            Err(error) if error.is_conflict() || error.is_not_found() => Ok(None),
            done => done.map(|_| None),
        }
    }
}

/// A resource that the API serves.
#[derive(Debug, Clone)]
pub(super) struct Resource {
    /// E.g. `/api/v1`.
    base: String,
    /// E.g. `pods`.
    plural: String,
    /// E.g. `Pod`.
    pub kind: String,
    /// Whether its objects are in namespaces.
    pub is_namespaced: bool,
    /// Whether it can be listed and emptied at once.
    is_collection: bool,
}

impl Resource {
    fn collection(&self, namespace: &str) -> String {
        let (base, plural) = (&self.base, &self.plural);
        if self.is_namespaced {
            format!("{base}/namespaces/{namespace}/{plural}")
        } else {
            format!("{base}/{plural}")
        }
    }

    /// The path of an object.
    pub(super) fn path(&self, namespace: &str, name: &str) -> String {
        format!("{}/{name}", self.collection(namespace))
    }
}

/// All resources, each in its group's preferred version.
async fn resources(api: &Api) -> Result<Vec<Resource>, ApiError> {
    let groups = api.get("/apis").await?;
    let preferred = items(&groups, "/groups").iter();
    let preferred = preferred.map(|group| text(group, "/preferredVersion/groupVersion"));
    let mut all = of_version(api, "v1").await?;
    for version in preferred {
        match of_version(api, version).await {
            Ok(more) => all.extend(more),
            // A definition that has just gone, or a server behind this one.
            Err(error) => tracing::debug!(version, %error, "cannot read a group's resources"),
        }
    }
    Ok(all)
}

/// The resources of a version, e.g. `v1` or `apps/v1`.
pub(super) async fn of_version(api: &Api, version: &str) -> Result<Vec<Resource>, ApiError> {
    let base = match version {
        "v1" => "/api/v1".to_owned(),
        version => format!("/apis/{version}"),
    };
    let found = api.get(&base).await?;
    let own = items(&found, "/resources").iter();
    let own = own.filter(|resource| !text(resource, "/name").contains('/'));
    Ok(own
        .map(|resource| {
            let verbs = items(resource, "/verbs");
            Resource {
                base: base.clone(),
                plural: text(resource, "/name").to_owned(),
                kind: text(resource, "/kind").to_owned(),
                is_namespaced: resource["namespaced"] == true,
                is_collection: ["list", "deletecollection"]
                    .iter()
                    .all(|verb| verbs.iter().any(|v| v == verb)),
            }
        })
        .collect())
}
