//! Consumer groups of others: who they are, and how far behind.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{
    DescribeGroupsRequest, GroupId, ListGroupsRequest, OffsetFetchRequest,
};
use kafka_protocol::protocol::StrBytes;
use serde::Serialize;

use super::client::{Client, To, about_group};
use super::error::Error;
use super::offsets::At;
use crate::clock::Deadline;

/// A consumer group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    /// Its name.
    pub name: String,
    /// What it is doing, in Kafka's words: `Stable`, `Empty` and so on.
    pub state: String,
    /// Who is in it.
    pub members: Vec<Member>,
}

/// A member of a consumer group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// What the client calls itself.
    pub client: String,
    /// Where it connects from.
    pub host: String,
}

/// How far a group is in a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Lag {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset that the group will read next; none where it has not read
    /// anything of a partition yet.
    pub committed: Option<i64>,
    /// The first offset that is still there.
    pub earliest: i64,
    /// The offset that the next event will have.
    pub latest: i64,
}

impl Lag {
    /// How many events the group has yet to read.
    pub fn behind(&self) -> i64 {
        let next = self.committed.unwrap_or(self.earliest);
        (self.latest - next.max(self.earliest)).max(0)
    }
}

impl Client {
    /// The names of all consumer groups that the user may see.
    pub async fn groups(&self) -> Result<Vec<String>, Error> {
        let mut attempts = self.attempts();
        loop {
            match self.groups_once(&attempts.deadline).await {
                Ok(groups) => return Ok(groups),
                Err(error) => attempts.after(error).await?,
            }
        }
    }

    async fn groups_once(&self, deadline: &Deadline) -> Result<Vec<String>, Error> {
        let (cluster, _) = self.look(Some(&[]), deadline).await?;
        let mut names = BTreeSet::new();
        // Each broker knows the groups that it looks after, and no others.
        for broker in cluster.brokers.keys() {
            let request = ListGroupsRequest::default();
            let answer = self.call(To::Broker(*broker), &request, deadline).await?;
            if let Some(code) = ResponseError::try_from_code(answer.error_code) {
                return Err(super::client::coded(
                    code,
                    "listing consumer groups".into(),
                    None,
                ));
            }
            let consumers = answer
                .groups
                .into_iter()
                .filter(|group| ["", "consumer"].contains(&group.protocol_type.as_str()));
            names.extend(consumers.map(|group| group.group_id.0.to_string()));
        }
        Ok(names.into_iter().collect())
    }

    /// A consumer group and its members. One that never was is `Dead`.
    pub async fn group(&self, name: &str) -> Result<Group, Error> {
        let mut attempts = self.attempts();
        loop {
            match self.group_once(name, &attempts.deadline).await {
                Ok(group) => return Ok(group),
                Err(error) => attempts.after(error).await?,
            }
        }
    }

    async fn group_once(&self, name: &str, deadline: &Deadline) -> Result<Group, Error> {
        let coordinator = self.coordinator(name, deadline).await?;
        let request = DescribeGroupsRequest::default().with_groups(vec![group_id(name)]);
        let answer = self.call(coordinator, &request, deadline).await?;
        let mut group = Group {
            name: name.to_owned(),
            state: "Dead".to_owned(),
            members: Vec::new(),
        };
        for described in answer.groups {
            match ResponseError::try_from_code(described.error_code) {
                None => {}
                // Groups of the newer protocol have a description of their own.
                Some(ResponseError::GroupIdNotFound) => continue,
                Some(code) => return Err(about_group(name, code)),
            }
            group.state = described.group_state.to_string();
            group.members = described
                .members
                .into_iter()
                .map(|member| Member {
                    client: member.client_id.to_string(),
                    host: member.client_host.trim_start_matches('/').to_owned(),
                })
                .collect();
        }
        Ok(group)
    }

    /// How far a group is in every partition of the topics that it reads.
    pub async fn lag(&self, group: &str) -> Result<Vec<Lag>, Error> {
        let mut attempts = self.attempts();
        let committed = loop {
            match self.committed_once(group, &attempts.deadline).await {
                Ok(committed) => break committed,
                Err(error) => attempts.after(error).await?,
            }
        };
        let topics: BTreeSet<&str> = committed.keys().map(|(topic, _)| topic.as_str()).collect();
        let mut lags = Vec::with_capacity(committed.len());
        for topic in topics {
            let latest = match self.offsets(&[topic], At::Latest).await {
                Ok(latest) => latest,
                // Deleted since the group read it.
                Err(Error::TopicMissing { .. }) => continue,
                Err(error) => return Err(error),
            };
            let earliest = self.offsets(&[topic], At::Earliest).await?;
            for (partition, latest) in latest {
                lags.push(Lag {
                    committed: committed.get(&partition).copied(),
                    earliest: earliest.get(&partition).copied().unwrap_or_default(),
                    topic: partition.0,
                    partition: partition.1,
                    latest,
                });
            }
        }
        Ok(lags)
    }

    async fn committed_once(
        &self,
        group: &str,
        deadline: &Deadline,
    ) -> Result<BTreeMap<(String, i32), i64>, Error> {
        let coordinator = self.coordinator(group, deadline).await?;
        let request = OffsetFetchRequest::default()
            .with_group_id(group_id(group))
            .with_topics(None);
        let answer = self.call(coordinator, &request, deadline).await?;
        if let Some(code) = ResponseError::try_from_code(answer.error_code) {
            return Err(about_group(group, code));
        }
        let mut committed = BTreeMap::new();
        for topic in answer.topics {
            for p in topic.partitions {
                if let Some(code) = ResponseError::try_from_code(p.error_code) {
                    return Err(about_group(group, code));
                }
                if p.committed_offset >= 0 {
                    let key = (topic.name.0.to_string(), p.partition_index);
                    committed.insert(key, p.committed_offset);
                }
            }
        }
        Ok(committed)
    }
}

fn group_id(name: &str) -> GroupId {
    GroupId(StrBytes::from_string(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_counts_what_is_still_there() {
        for (committed, earliest, latest, behind) in [
            (Some(3), 0, 10, 7),
            (Some(3), 5, 10, 5),
            (None, 5, 10, 5),
            (Some(10), 0, 10, 0),
            (Some(12), 0, 10, 0),
        ] {
            let lag = Lag {
                topic: "t".to_owned(),
                partition: 0,
                committed,
                earliest,
                latest,
            };
            assert_eq!(lag.behind(), behind, "{lag:?}");
        }
    }
}
