//! The data plane of a cluster: users, access rules, topics.

use http::Method;
use serde::Serialize;
use serde_json::{Value, json};
use url::Url;

use super::cluster::escape;
use super::{Ask, Cloud, Error};
use crate::secret::Secret;

/// The data plane of one cluster.
#[derive(Debug, Clone)]
pub struct DataPlane {
    cloud: Cloud,
    base: Url,
}

/// How a user proves who they are. A user has one mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// SCRAM with SHA-256.
    ScramSha256,
    /// SCRAM with SHA-512.
    ScramSha512,
}

impl Mechanism {
    fn word(self) -> &'static str {
        match self {
            Self::ScramSha256 => "SASL_MECHANISM_SCRAM_SHA_256",
            Self::ScramSha512 => "SASL_MECHANISM_SCRAM_SHA_512",
        }
    }
}

/// What an access rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// A topic.
    Topic,
    /// A consumer group.
    Group,
    /// The cluster.
    Cluster,
}

/// How the name of an access rule is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pattern {
    /// This name.
    Literal,
    /// Every name that begins so.
    Prefixed,
}

/// What an access rule allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Everything.
    All,
    /// Reading.
    Read,
    /// Writing.
    Write,
    /// Looking at it.
    Describe,
}

/// A rule that allows a user something, from anywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acl {
    /// The user.
    pub user: String,
    /// What it is about.
    pub resource: Resource,
    /// Its name.
    pub name: String,
    /// How the name is meant.
    pub pattern: Pattern,
    /// What is allowed.
    pub operation: Operation,
}

impl Acl {
    /// The smallest set for an app: everything with its topics, and its
    /// consumer groups by the beginning of their names.
    pub fn for_app(user: &str, topics: &[&str], group_prefixes: &[&str]) -> Vec<Self> {
        let rule = |resource, name: &str, pattern, operation| Self {
            user: user.to_owned(),
            resource,
            name: name.to_owned(),
            pattern,
            operation,
        };
        let topics = topics
            .iter()
            .map(|name| rule(Resource::Topic, name, Pattern::Literal, Operation::All));
        let groups = group_prefixes.iter().flat_map(|prefix| {
            [Operation::Read, Operation::Describe]
                .map(|operation| rule(Resource::Group, prefix, Pattern::Prefixed, operation))
        });
        topics.chain(groups).collect()
    }

    fn words(&self) -> [(&'static str, String); 7] {
        let resource = match self.resource {
            Resource::Topic => "RESOURCE_TYPE_TOPIC",
            Resource::Group => "RESOURCE_TYPE_GROUP",
            Resource::Cluster => "RESOURCE_TYPE_CLUSTER",
        };
        let pattern = match self.pattern {
            Pattern::Literal => "RESOURCE_PATTERN_TYPE_LITERAL",
            Pattern::Prefixed => "RESOURCE_PATTERN_TYPE_PREFIXED",
        };
        let operation = match self.operation {
            Operation::All => "OPERATION_ALL",
            Operation::Read => "OPERATION_READ",
            Operation::Write => "OPERATION_WRITE",
            Operation::Describe => "OPERATION_DESCRIBE",
        };
        [
            ("resource_type", resource.to_owned()),
            ("resource_name", self.name.clone()),
            ("resource_pattern_type", pattern.to_owned()),
            ("principal", format!("User:{}", self.user)),
            ("host", "*".to_owned()),
            ("operation", operation.to_owned()),
            ("permission_type", "PERMISSION_TYPE_ALLOW".to_owned()),
        ]
    }
}

/// A topic as the data plane lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TopicFacts {
    /// Its name.
    pub name: String,
    /// How many partitions it has, if that is said.
    pub partitions: Option<i64>,
}

impl DataPlane {
    pub(super) fn new(cloud: Cloud, base: Url) -> Self {
        Self { cloud, base }
    }

    fn request(&self, method: Method, path: impl Into<String>, operation: &'static str) -> Ask<'_> {
        Ask::new(&self.base, method, path, operation)
    }

    /// The names of all users.
    pub async fn users(&self) -> Result<Vec<String>, Error> {
        let users = self
            .cloud
            .list(&self.base, "/v1/users", &[], "users")
            .await?;
        let names = users.iter().filter_map(|user| user["name"].as_str());
        Ok(names.map(str::to_owned).collect())
    }

    /// Makes a user, or gives an existing one this password: passwords can be
    /// set and never be read.
    pub async fn set_user(
        &self,
        name: &str,
        password: &Secret,
        mechanism: Mechanism,
    ) -> Result<(), Error> {
        const OPERATION: &str = "setting the user";
        let body = |with_name: bool| {
            let mut body = json!({"password": password.expose(), "mechanism": mechanism.word()});
            if with_name {
                body["name"] = json!(name);
            }
            body
        };
        let ask = self
            .request(Method::POST, "/v1/users", OPERATION)
            .body(body(true));
        match self.cloud.ask(ask).await {
            Ok(_) => return Ok(()),
            Err(error) if error.is_conflict() => {}
            Err(error) => return Err(error),
        }
        let path = format!("/v1/users/{}", escape(name));
        let ask = self.request(Method::PUT, path, OPERATION).body(body(false));
        self.cloud.ask(ask).await.map(drop)
    }

    /// Deletes a user. One that does not exist is gone already.
    pub async fn delete_user(&self, name: &str) -> Result<(), Error> {
        let path = format!("/v1/users/{}", escape(name));
        let ask = self.request(Method::DELETE, path, "deleting the user");
        gone(self.cloud.ask(ask).await)
    }

    /// Those of the access rules that do not exist.
    pub async fn missing_acls<'a>(&self, acls: &'a [Acl]) -> Result<Vec<&'a Acl>, Error> {
        let found = self
            .cloud
            .list(&self.base, "/v1/acls", &[], "resources")
            .await?;
        Ok(acls.iter().filter(|acl| !exists(&found, acl)).collect())
    }

    /// Makes the access rules that do not exist yet; returns how many those
    /// were.
    pub async fn ensure_acls(&self, acls: &[Acl]) -> Result<usize, Error> {
        let mut made = 0;
        for acl in self.missing_acls(acls).await? {
            let words = acl.words().into_iter();
            let body: serde_json::Map<String, Value> = words
                .map(|(name, word)| (name.to_owned(), word.into()))
                .collect();
            let ask = self.request(Method::POST, "/v1/acls", "making an access rule");
            match self.cloud.ask(ask.body(Value::Object(body))).await {
                Ok(_) => made += 1,
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(made)
    }

    /// Deletes access rules.
    pub async fn delete_acls(&self, acls: &[Acl]) -> Result<(), Error> {
        for acl in acls {
            let mut ask = self.request(Method::DELETE, "/v1/acls", "deleting an access rule");
            ask.query = acl
                .words()
                .into_iter()
                .map(|(name, word)| (FILTERS.iter().find(|f| f.ends_with(name)), word))
                .filter_map(|(name, word)| Some((*name?, word)))
                .collect();
            gone(self.cloud.ask(ask).await)?;
        }
        Ok(())
    }

    /// All topics but Redpanda's own.
    pub async fn topics(&self) -> Result<Vec<TopicFacts>, Error> {
        let topics = self
            .cloud
            .list(&self.base, "/v1/topics", &[], "topics")
            .await?;
        let own = topics.iter().filter(|topic| topic["internal"] != true);
        Ok(own
            .filter_map(|topic| {
                Some(TopicFacts {
                    name: topic["name"].as_str()?.to_owned(),
                    partitions: number(&topic["partition_count"]),
                })
            })
            .collect())
    }

    /// Makes a topic. One that exists is left as it is; returns whether it was
    /// made. The replication factor is always three there.
    pub async fn create_topic(&self, name: &str, partitions: i32) -> Result<bool, Error> {
        let body = json!({"name": name, "partition_count": partitions, "replication_factor": 3});
        let ask = self
            .request(Method::POST, "/v1/topics", "making the topic")
            .body(body);
        match self.cloud.ask(ask).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_conflict() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Adds partitions until there are so many.
    pub async fn grow_topic(&self, name: &str, partitions: i32) -> Result<(), Error> {
        let path = format!("/v1/topics/{}/partitions", escape(name));
        let ask = self.request(Method::PUT, path, "adding partitions");
        let ask = ask.body(json!({"partition_count": partitions}));
        self.cloud.ask(ask).await.map(drop)
    }

    /// Deletes a topic. One that does not exist is gone already.
    pub async fn delete_topic(&self, name: &str) -> Result<(), Error> {
        let path = format!("/v1/topics/{}", escape(name));
        let ask = self.request(Method::DELETE, path, "deleting the topic");
        gone(self.cloud.ask(ask).await)
    }
}

/// The names of the filters that pick access rules.
const FILTERS: [&str; 7] = [
    "filter.resource_type",
    "filter.resource_name",
    "filter.resource_pattern_type",
    "filter.principal",
    "filter.host",
    "filter.operation",
    "filter.permission_type",
];

fn gone(result: Result<Value, Error>) -> Result<(), Error> {
    match result {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}

/// Numbers come as numbers or as texts.
fn number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

/// Whether a list of resources, each with its rules, holds a rule.
fn exists(resources: &[Value], acl: &Acl) -> bool {
    let words = acl.words();
    resources.iter().any(|resource| {
        let same = |from: &Value, names: &[&str]| {
            words
                .iter()
                .filter(|(name, _)| names.contains(name))
                .all(|(name, word)| from[*name] == **word)
        };
        let of_resource = ["resource_type", "resource_name", "resource_pattern_type"];
        let of_rule = ["principal", "host", "operation", "permission_type"];
        let rules = resource["acls"].as_array();
        same(resource, &of_resource)
            && rules.is_some_and(|rules| rules.iter().any(|rule| same(rule, &of_rule)))
    })
}
