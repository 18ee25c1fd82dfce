//! `todoctl events topics`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::super::error::Result;
use super::super::exit::Exit;
use super::super::settings::Settings;
use crate::kafka::{At, Client, Error, Group, Lag};
use crate::profile::Profile;
use crate::ui;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema: &'static str,
    cluster: Option<String>,
    topics: Vec<TopicFacts>,
    /// Topics of the profile that do not exist.
    missing: Vec<String>,
    groups: Vec<GroupFacts>,
}

#[derive(Debug, Serialize)]
struct TopicFacts {
    name: String,
    partitions: Vec<PartitionFacts>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PartitionFacts {
    id: i32,
    leader: Option<i32>,
    replicas: Vec<i32>,
    in_sync: Vec<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    earliest: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latest: Option<i64>,
    /// Events that each group has yet to read.
    lag: BTreeMap<String, i64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct GroupFacts {
    #[serde(flatten)]
    group: Group,
    behind: i64,
}

/// Surveys.
pub(super) async fn run(settings: &Settings, profile: &Profile, client: &Client) -> Result {
    let document = survey(settings, profile, client).await?;
    settings.ui.document(&document, || text(&document))?;
    Ok(Exit::Done)
}

async fn survey(settings: &Settings, profile: &Profile, client: &Client) -> Result<Document> {
    let cluster = client.cluster().await?;
    let mut groups = Vec::new();
    let mut lags: Vec<(String, Lag)> = Vec::new();
    match client.groups().await {
        Ok(names) => {
            for name in names {
                let lag = client.lag(&name).await?;
                groups.push(GroupFacts {
                    group: client.group(&name).await?,
                    behind: lag.iter().map(Lag::behind).sum(),
                });
                lags.extend(lag.into_iter().map(|lag| (name.clone(), lag)));
            }
        }
        Err(error @ Error::NotAuthorised { .. }) => {
            settings
                .ui
                .warn(&format!("consumer groups are left out: {error}"));
        }
        Err(error) => return Err(error.into()),
    }
    let mut topics = Vec::new();
    for topic in cluster.topics.into_iter().filter(|topic| !topic.internal) {
        let names = [topic.name.as_str()];
        // A partition without a leader cannot tell, and is shown all the same.
        let led = topic.partitions.iter().all(|p| p.leader.is_some());
        let (earliest, latest) = match led {
            true => (
                client.offsets(&names, At::Earliest).await?,
                client.offsets(&names, At::Latest).await?,
            ),
            false => Default::default(),
        };
        let partitions = topic.partitions.iter().map(|partition| {
            let key = (topic.name.clone(), partition.id);
            let here = |lag: &Lag| lag.topic == topic.name && lag.partition == partition.id;
            let lag = lags.iter().filter(|(_, lag)| here(lag));
            PartitionFacts {
                id: partition.id,
                leader: partition.leader,
                replicas: partition.replicas.clone(),
                in_sync: partition.in_sync.clone(),
                earliest: earliest.get(&key).copied(),
                latest: latest.get(&key).copied(),
                lag: lag
                    .map(|(group, lag)| (group.clone(), lag.behind()))
                    .collect(),
            }
        });
        topics.push(TopicFacts {
            partitions: partitions.collect(),
            name: topic.name.clone(),
        });
    }
    let missing = super::topics_of(profile)
        .into_iter()
        .filter(|name| topics.iter().all(|topic| topic.name != *name))
        .collect();
    Ok(Document {
        schema: "todoctl/topics/v1",
        cluster: cluster.id,
        topics,
        missing,
        groups,
    })
}

fn text(document: &Document) -> String {
    let shown = |number: Option<i64>| number.map_or("-".to_owned(), |n| n.to_string());
    let mut rows = Vec::new();
    for topic in &document.topics {
        for (i, p) in topic.partitions.iter().enumerate() {
            let lag: Vec<String> = p.lag.iter().map(|(g, n)| format!("{g} {n}")).collect();
            rows.push(vec![
                if i == 0 {
                    topic.name.clone()
                } else {
                    String::new()
                },
                p.id.to_string(),
                p.leader
                    .map_or("none".to_owned(), |leader| leader.to_string()),
                format!("{}/{}", p.in_sync.len(), p.replicas.len()),
                shown(p.earliest),
                shown(p.latest),
                lag.join(", "),
            ]);
        }
    }
    let heading = ["topic", "part", "leader", "in sync", "first", "next", "lag"];
    let mut text = ui::table(&heading, &rows, 80);
    for name in &document.missing {
        text += &format!("{name} does not exist; `todoctl up` creates it\n");
    }
    if !document.groups.is_empty() {
        let rows: Vec<Vec<String>> = document
            .groups
            .iter()
            .map(|facts| {
                vec![
                    facts.group.name.clone(),
                    facts.group.state.clone(),
                    facts.group.members.len().to_string(),
                    facts.behind.to_string(),
                ]
            })
            .collect();
        text += "\n";
        text += &ui::table(&["group", "state", "members", "behind"], &rows, 80);
    }
    text
}
