//! The brokers themselves: whether they answer, what topics they have, and who
//! lags behind.

use crate::verify::check::{Found, Verdict};
use crate::verify::scope::words;
use crate::verify::world::World;

/// How many events may wait before it is worth a word, and before it is a
/// failure.
const LAG: (i64, i64) = (100, 10_000);

pub(super) async fn brokers(world: &World) -> Found {
    let client = world.kafka()?;
    let cluster = client.cluster().await.map_err(|error| {
        Verdict::fail("the brokers do not answer").saw("metadata of the brokers", words(&error))
    })?;
    let all: Vec<String> = cluster.brokers.values().map(ToString::to_string).collect();
    Ok(Verdict::pass(format!("{} answer", all.len()))
        .saw("metadata of the brokers", all.join(", ")))
}

async fn described(world: &World) -> Result<Vec<crate::kafka::Topic>, Verdict> {
    let client = world.kafka()?;
    let cluster = client.cluster().await.map_err(|error| {
        Verdict::fail("the topics cannot be read").saw("metadata of the topics", words(&error))
    })?;
    Ok(cluster.topics)
}

pub(super) async fn topics(world: &World) -> Found {
    let known = described(world).await?;
    let mut all = Vec::new();
    for wanted in world.scope.profile.topics() {
        let name = wanted.name.as_str();
        let asked = format!("partitions of {name}");
        let count = known
            .iter()
            .find(|topic| topic.name == name)
            .map(|topic| topic.partitions.len());
        all.push(match count {
            None => Verdict::fail(format!("the topic {name} is missing")).saw(asked, "not found"),
            Some(n) if n < wanted.partitions as usize => Verdict::fail(format!(
                "{name} has {n} of {} partitions",
                wanted.partitions
            ))
            .saw(asked, n.to_string()),
            Some(n) if n > wanted.partitions as usize => Verdict::warn(format!(
                "{name} has {n} partitions, the profile says {}",
                wanted.partitions
            ))
            .saw(asked, n.to_string()),
            Some(n) => Verdict::pass("").saw(asked, n.to_string()),
        });
    }
    let good = format!("{} topics", all.len());
    Ok(Verdict::worst(all, good))
}

pub(super) async fn leaders(world: &World) -> Found {
    let known = described(world).await?;
    let ours: Vec<_> = world.scope.profile.topics();
    let ours = known
        .iter()
        .filter(|topic| ours.iter().any(|own| own.name.as_str() == topic.name));
    let mut all = Vec::new();
    let mut count = 0;
    for topic in ours {
        for partition in &topic.partitions {
            count += 1;
            let asked = format!("partition {} of {}", partition.id, topic.name);
            let shown = format!(
                "leader {:?}, replicas {:?}, in step {:?}",
                partition.leader, partition.replicas, partition.in_sync
            );
            if partition.leader.is_none() {
                all.push(
                    Verdict::fail(format!("{}/{} has no leader", topic.name, partition.id))
                        .saw(asked, shown),
                );
            } else if partition.in_sync.len() < partition.replicas.len() {
                all.push(
                    Verdict::warn(format!(
                        "{}/{} has replicas that are not in step",
                        topic.name, partition.id
                    ))
                    .saw(asked, shown),
                );
            }
        }
    }
    Ok(Verdict::worst(
        all,
        format!("{count} partitions with leaders"),
    ))
}

pub(super) async fn lag(world: &World) -> Found {
    let client = world.kafka()?;
    let mut all = Vec::new();
    for (_, app_id) in world.scope.with_sidecar() {
        let asked = format!("lag of the group {app_id}");
        let lag = client.lag(app_id).await.map_err(|error| {
            Verdict::fail(format!("the group {app_id} cannot be read")).saw(&asked, words(&error))
        })?;
        let behind: i64 = lag.iter().map(crate::kafka::Lag::behind).sum();
        let summary = format!("{app_id} is {behind} events behind");
        all.push(match behind {
            n if n >= LAG.1 => Verdict::fail(summary).saw(asked, behind.to_string()),
            n if n >= LAG.0 => Verdict::warn(summary).saw(asked, behind.to_string()),
            _ => Verdict::pass("").saw(asked, behind.to_string()),
        });
    }
    if all.is_empty() {
        return Err(Verdict::skip("the profile has no service with a sidecar"));
    }
    Ok(Verdict::worst(all, "nothing waits"))
}
