//! Serverless clusters: finding one, making one, waiting for it.

use std::time::Duration;

use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use super::{Ask, Cloud, DataPlane, Error};
use crate::clock::{Look, wait_until};

/// How long making or deleting a cluster may take: what their own tools allow.
const PATIENCE: Duration = Duration::from_mins(30);
/// The pause between two looks at it.
const PAUSE: Duration = Duration::from_secs(5);
/// The tag that names the deployment that made a cluster.
const OWNER_TAG: &str = "todoctl";
/// The resource group that is made when the organisation has none.
const GROUP: &str = "default";

/// What a cluster is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Its place is being looked for.
    Placing,
    /// It is being made.
    Creating,
    /// It works.
    Ready,
    /// It is going away.
    Deleting,
    /// It could not be made.
    Failed,
    /// The trial or its credit is over.
    Suspended,
    /// A state that this version does not know.
    #[serde(untagged)]
    Other(String),
}

impl State {
    fn of(text: &str) -> Self {
        match text.strip_prefix("STATE_").unwrap_or(text) {
            "PLACING" => Self::Placing,
            "CREATING" => Self::Creating,
            "READY" => Self::Ready,
            "DELETING" => Self::Deleting,
            "FAILED" => Self::Failed,
            "SUSPENDED" => Self::Suspended,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Placing => "placing",
            Self::Creating => "creating",
            Self::Ready => "ready",
            Self::Deleting => "deleting",
            Self::Failed => "failed",
            Self::Suspended => "suspended",
            Self::Other(text) => text,
        })
    }
}

/// When a cluster will be deleted, and why: the end of a trial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deletion {
    /// When.
    pub after: String,
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
}

/// A serverless cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cluster {
    /// Its identifier.
    pub id: String,
    /// Its name, the only one of that name in the organisation.
    pub name: String,
    /// What it is doing.
    pub state: State,
    /// Where it is.
    pub region: String,
    /// Kafka's addresses, `HOST:PORT`.
    pub brokers: Vec<String>,
    /// The data plane's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_plane: Option<String>,
    /// Its page for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub console: Option<String>,
    /// When it will be deleted, if that is planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion: Option<Deletion>,
    /// The deployment that made it, by its tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}

impl Cluster {
    /// Reads a cluster, wrapped or not.
    fn read(value: &Value) -> Option<Self> {
        let value = match &value["serverless_cluster"] {
            Value::Object(_) => &value["serverless_cluster"],
            _ => value,
        };
        let text = |value: &Value| {
            let text = value.as_str()?;
            (!text.is_empty()).then(|| text.to_owned())
        };
        let brokers = value["kafka_api"]["seed_brokers"].as_array();
        let planned = &value["planned_deletion"];
        Some(Self {
            id: text(&value["id"])?,
            name: text(&value["name"]).unwrap_or_default(),
            state: State::of(value["state"].as_str().unwrap_or_default()),
            region: text(&value["serverless_region"]).unwrap_or_default(),
            brokers: brokers.into_iter().flatten().filter_map(text).collect(),
            data_plane: text(&value["dataplane_api"]["url"]),
            console: text(&value["console_url"]),
            deletion: moment(&planned["delete_after"]).map(|after| Deletion {
                after,
                reason: text(&planned["reason"]),
            }),
            owner: text(&value["tags"][OWNER_TAG]),
        })
    }

    /// Why it cannot be used, if it cannot.
    pub fn check(&self) -> Result<(), Error> {
        match &self.state {
            State::Suspended => Err(Error::Suspended {
                name: self.name.clone(),
                deleted_after: self.deletion.as_ref().map(|d| d.after.clone()),
            }),
            State::Failed | State::Deleting => Err(Error::Failed {
                name: self.name.clone(),
                message: format!("it is {}", self.state),
            }),
            _ => Ok(()),
        }
    }
}

/// A time as text, or as the seconds of an older example.
fn moment(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Object(parts) => {
            let seconds = match parts.get("seconds")? {
                Value::String(text) => text.parse().ok()?,
                other => other.as_i64()?,
            };
            jiff::Timestamp::from_second(seconds)
                .ok()
                .map(|time| time.to_string())
        }
        _ => None,
    }
}

impl Cloud {
    /// The cluster of that name.
    pub async fn find_cluster(&self, name: &str) -> Result<Option<Cluster>, Error> {
        let path = "/v1/serverless/clusters";
        let query = [("filter.name_contains", name)];
        let all = self
            .list(self.control(), path, &query, "serverless_clusters")
            .await?;
        let mut found = all.iter().filter_map(Cluster::read);
        Ok(found.find(|cluster| cluster.name == name && cluster.state != State::Deleting))
    }

    /// A cluster by its identifier.
    pub async fn cluster(&self, id: &str) -> Result<Cluster, Error> {
        const OPERATION: &str = "the cluster";
        let path = format!("/v1/serverless/clusters/{}", escape(id));
        let value = self
            .ask(Ask::new(self.control(), Method::GET, path, OPERATION))
            .await?;
        Cluster::read(&value).ok_or_else(|| Error::garbled(OPERATION, "it has no identifier"))
    }

    /// Finds the cluster of that name or makes it for `owner`, and waits until
    /// it works. `say` hears what it is doing.
    pub async fn ensure_cluster(
        &self,
        name: &str,
        region: &str,
        owner: &str,
        say: impl Fn(&str),
    ) -> Result<Cluster, Error> {
        let id = match self.find_cluster(name).await? {
            Some(cluster) => cluster.id,
            None => self.create_cluster(name, region, owner, &say).await?,
        };
        let looked = wait_until(&self.shared.clock, PATIENCE, async || {
            let cluster = self.cluster(&id).await?;
            cluster.check()?;
            let usable = !cluster.brokers.is_empty() && cluster.data_plane.is_some();
            if cluster.state == State::Ready && usable {
                return Ok(Look::Done(cluster));
            }
            let seen = format!("the Redpanda cluster `{name}` is {}", cluster.state);
            say(&seen);
            Ok(Look::Wait(seen, PAUSE))
        });
        looked.await.map_err(Error::from_wait)
    }

    async fn create_cluster(
        &self,
        name: &str,
        region: &str,
        owner: &str,
        say: impl Fn(&str),
    ) -> Result<String, Error> {
        const OPERATION: &str = "making the cluster";
        let group = self.resource_group().await?;
        let body = json!({"serverless_cluster": {
            "name": name,
            "resource_group_id": group,
            "serverless_region": region,
            "tags": {OWNER_TAG: owner},
        }});
        let ask = Ask::new(
            self.control(),
            Method::POST,
            "/v1/serverless/clusters",
            OPERATION,
        );
        let operation = match self.ask(ask.body(body)).await {
            Ok(value) => unwrap(value, "operation"),
            // A lost answer, or another run: it exists under that name.
            Err(error) if error.is_conflict() => {
                let found = self.find_cluster(name).await?;
                return found.map(|cluster| cluster.id).ok_or(error);
            }
            Err(error) => return Err(error),
        };
        if let Some(id) = resource_of(&operation) {
            return Ok(id);
        }
        // An operation without the cluster's identifier: ask it, and the list.
        let operation = operation["id"].as_str().unwrap_or_default().to_owned();
        let looked = wait_until(&self.shared.clock, PATIENCE, async || {
            if let Some(cluster) = self.find_cluster(name).await? {
                return Ok(Look::Done(cluster.id));
            }
            if !operation.is_empty() {
                let state = self.operation(&operation, name).await?;
                if let Some(id) = resource_of(&state) {
                    return Ok(Look::Done(id));
                }
            }
            let seen = format!("the Redpanda cluster `{name}` is ordered");
            say(&seen);
            Ok(Look::Wait(seen, PAUSE))
        });
        looked.await.map_err(Error::from_wait)
    }

    async fn operation(&self, id: &str, cluster: &str) -> Result<Value, Error> {
        let path = format!("/v1/operations/{}", escape(id));
        let ask = Ask::new(self.control(), Method::GET, path, "the operation");
        let value = unwrap(self.ask(ask).await?, "operation");
        if value["state"] == "STATE_FAILED" {
            let message = value["error"]["message"]
                .as_str()
                .unwrap_or("no reason given");
            return Err(Error::Failed {
                name: cluster.to_owned(),
                message: message.to_owned(),
            });
        }
        Ok(value)
    }

    /// The organisation's resource group, made if there is none.
    async fn resource_group(&self) -> Result<String, Error> {
        const OPERATION: &str = "the resource groups";
        let path = "/v1/resource-groups";
        let value = self
            .ask(Ask::new(self.control(), Method::GET, path, OPERATION))
            .await?;
        let groups = value["resource_groups"].as_array();
        let first = groups
            .into_iter()
            .flatten()
            .find_map(|group| group["id"].as_str());
        if let Some(id) = first {
            return Ok(id.to_owned());
        }
        let ask = Ask::new(self.control(), Method::POST, path, OPERATION);
        let value = self
            .ask(ask.body(json!({"resource_group": {"name": GROUP}})))
            .await?;
        let made = unwrap(value, "resource_group");
        made["id"]
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| Error::garbled(OPERATION, "the new one has no identifier"))
    }

    /// Deletes a cluster and waits until it is gone. One that does not exist
    /// is gone already.
    pub async fn delete_cluster(&self, id: &str) -> Result<(), Error> {
        let path = format!("/v1/serverless/clusters/{}", escape(id));
        let ask = Ask::new(self.control(), Method::DELETE, path, "deleting the cluster");
        if let Err(error) = self.ask(ask).await {
            // A lost answer, or another run: it is on its way, or gone by now.
            match self.cluster(id).await {
                Ok(cluster) if cluster.state == State::Deleting => {}
                Err(gone) if gone.is_not_found() => return Ok(()),
                _ => return Err(error),
            }
        }
        let looked = wait_until(&self.shared.clock, PATIENCE, async || {
            match self.cluster(id).await {
                Err(error) if error.is_not_found() => Ok(Look::Done(())),
                Err(error) => Err(error),
                Ok(cluster) => Ok(Look::Wait(format!("it is {}", cluster.state), PAUSE)),
            }
        });
        looked.await.map_err(Error::from_wait)
    }

    /// The data plane of a cluster that works.
    pub fn data_plane(&self, cluster: &Cluster) -> Result<DataPlane, Error> {
        cluster.check()?;
        let url = cluster
            .data_plane
            .as_deref()
            .and_then(|url| Url::parse(url).ok());
        let url = url.ok_or_else(|| Error::garbled("the cluster", "it has no data plane"))?;
        Ok(DataPlane::new(self.clone(), url))
    }
}

fn unwrap(mut value: Value, field: &str) -> Value {
    match value[field] {
        Value::Object(_) => value[field].take(),
        _ => value,
    }
}

fn resource_of(operation: &Value) -> Option<String> {
    let places = [
        &operation["resource_id"],
        &operation["metadata"]["serverless_cluster_id"],
        &operation["response"]["serverless_cluster"]["id"],
        &operation["response"]["id"],
    ];
    let mut texts = places.into_iter().filter_map(Value::as_str);
    texts.find(|text| !text.is_empty()).map(str::to_owned)
}

/// A text as one segment of a path.
pub(super) fn escape(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes())
        .collect::<String>()
        .replace('+', "%20")
}

/// The serverless region nearest to a region of Oracle's. There is none inside
/// Oracle's network.
pub fn nearest_region(oci: &str) -> &'static str {
    match oci {
        "us-phoenix-1" | "us-sanjose-1" | "mx-queretaro-1" | "mx-monterrey-1" => "us-west-2",
        "ap-mumbai-1" | "ap-hyderabad-1" => "ap-south-1",
        region => match region.split('-').next() {
            Some("uk") => "eu-west-2",
            Some("eu" | "il" | "me" | "af") => "eu-central-1",
            Some("ap") if region.contains("tokyo") || region.contains("osaka") => "ap-northeast-1",
            Some("ap") if region.contains("seoul") || region.contains("chuncheon") => {
                "ap-northeast-1"
            }
            Some("ap") => "ap-southeast-1",
            _ => "us-east-1",
        },
    }
}
