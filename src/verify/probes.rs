//! Probe events: numbered, published through a sidecar to every partition of
//! every topic, and accounted for one by one in Kafka.
//!
//! They are valid CloudEvents that have expired: a sidecar drops such an event
//! instead of handing it to its app, so that no app ever sees a probe.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::json;

use super::check::Verdict;
use super::metrics::Metrics;
use super::scope::words;
use super::world::{Sidecar, World};
use crate::cloudevents::{Event, MEDIA_TYPE};
use crate::k8s::Line;
use crate::kafka::{At, Offsets, ScanPlan};

/// The type of probe events.
const TYPE: &str = "dev.todoctl.probe";
/// How many go to each partition at least: with fewer, none could be late.
const FEWEST: usize = 4;
/// How long nothing new may come, in real time.
const QUIET: Duration = Duration::from_secs(3);

/// A partition of a topic.
type Place = (String, i32);

/// What became of the probe events.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Account {
    /// How many the sidecar took.
    pub sent: usize,
    /// What it refused, in its words.
    pub refused: Vec<String>,
    /// Events that are not in Kafka: topic, partition and number.
    pub missing: Vec<String>,
    /// Events that are there more than once.
    pub doubled: Vec<String>,
    /// Events that are behind a later one.
    pub reordered: Vec<String>,
    /// Events in another partition than they were sent to.
    pub misplaced: Vec<String>,
    /// How many partitions they were spread over.
    pub places: usize,
    /// How long it took from the first to the last.
    pub took: Duration,
    /// How many calls of the sidecar had to be repeated meanwhile, by its
    /// retry policies. What Kafka's own client repeats is not counted there.
    pub repeated: f64,
}

/// Numbers in the order of their offsets, by where they were sent and found.
type Seen = BTreeMap<Place, Vec<(Place, usize)>>;

impl Account {
    /// Sends the probes and finds them again.
    pub(super) async fn take(world: &World) -> Result<Self, Verdict> {
        let sidecar = world.sidecar().await?;
        let client = world.kafka()?;
        let topics: Vec<_> = world.scope.profile.kafka.topics.clone();
        let names: Vec<&str> = topics.iter().map(|topic| topic.name.as_str()).collect();
        if names.is_empty() {
            return Err(Verdict::skip("the profile names no topics"));
        }
        let from = client.offsets(&names, At::Latest).await.map_err(|error| {
            Verdict::fail("the topics cannot be read").saw(
                format!("latest offsets of {}", names.join(", ")),
                words(&error),
            )
        })?;
        let places: Vec<Place> = from.keys().cloned().collect();
        let started = world.clock.elapsed();
        let mut account = Self {
            places: places.len(),
            ..Self::default()
        };
        let mut sent: BTreeMap<Place, usize> = BTreeMap::new();
        let all = world.probes.max(FEWEST * places.len());
        let streams: Vec<BoxFuture<'_, _>> = places
            .iter()
            .enumerate()
            .map(|(i, place)| {
                let count = all / places.len() + usize::from(i < all % places.len());
                Box::pin(stream(world, sidecar, place, count)) as BoxFuture<'_, _>
            })
            .collect();
        for (place, streamed) in places.iter().zip(futures::future::join_all(streams).await) {
            let (taken, refused) = streamed?;
            sent.insert(place.clone(), taken);
            account.refused.extend(refused);
        }
        account.sent = sent.values().sum();
        let seen = find(world, client, from, account.sent).await?;
        account.took = world.clock.elapsed().saturating_sub(started);
        let before = sidecar.metrics.as_ref().map_or(0.0, repeated);
        let now = world.metrics(sidecar).await;
        // Of another process it says nothing.
        account.repeated = now.map_or(0.0, |now| (repeated(&now) - before).max(0.0));
        account.judge(&sent, &seen);
        Ok(account)
    }

    /// Compares what was sent with what was found.
    fn judge(&mut self, sent: &BTreeMap<Place, usize>, seen: &Seen) {
        let name =
            |(topic, partition): &Place, number| format!("{topic}/{partition} number {number}");
        for (place, count) in sent {
            let mut times = vec![0_usize; *count];
            let found = seen.get(place).map(Vec::as_slice).unwrap_or_default();
            let mut last: Option<usize> = None;
            for (at, number) in found {
                let first = match times.get_mut(*number) {
                    Some(times) => {
                        *times += 1;
                        *times == 1
                    }
                    None => continue,
                };
                if at != place {
                    self.misplaced
                        .push(format!("{} in {}/{}", name(place, *number), at.0, at.1));
                }
                if first && last.is_some_and(|last| last > *number) {
                    self.reordered.push(name(place, *number));
                }
                last = last.max(Some(*number));
            }
            for (number, times) in times.into_iter().enumerate() {
                match times {
                    0 => self.missing.push(name(place, number)),
                    1 => {}
                    n => self
                        .doubled
                        .push(format!("{} {n} times", name(place, number))),
                }
            }
        }
    }
}

/// How often the retry policies for what goes to components were used.
fn repeated(metrics: &Metrics) -> f64 {
    let labels = [("policy", "retry"), ("flow_direction", "outbound")];
    let used = metrics.sum("dapr_resiliency_activations_total", &labels);
    used.unwrap_or(0.0)
}

/// Publishes to one partition, one event after the other; how many were taken,
/// and the words of refusals.
async fn stream(
    world: &World,
    sidecar: &Sidecar,
    place: &Place,
    count: usize,
) -> Result<(usize, Vec<String>), Verdict> {
    let mut line = world.line(sidecar).await?;
    let mut refused = Vec::new();
    let mut taken = 0;
    for number in 0..count {
        match publish(world, &mut line, place, taken).await? {
            None => taken += 1,
            Some(why) => refused.push(format!("{}/{}: {why}", place.0, place.1)),
        }
        // Nothing is learned from the same refusal a thousand times.
        if refused.len() >= 3 || number + 1 == count {
            break;
        }
    }
    Ok((taken, refused))
}

/// Publishes one; the sidecar's words if it refuses.
async fn publish(
    world: &World,
    line: &mut Line,
    (topic, partition): &Place,
    number: usize,
) -> Result<Option<String>, Verdict> {
    let pubsub = &world.scope.profile.dapr.components.pubsub;
    let event = json!({
        "specversion": "1.0",
        "id": format!("{}-{topic}-{partition}-{number}", world.run),
        "source": "todoctl/verify",
        "type": TYPE,
        "datacontenttype": "application/json",
        "expiration": "2000-01-01T00:00:00Z",
        "data": {"run": world.run, "topic": topic, "partition": partition, "number": number},
    });
    let path = format!("/v1.0/publish/{pubsub}/{topic}?metadata.partitionNumber={partition}");
    let failed =
        |why: String| Verdict::fail("the sidecar does not answer").saw(format!("POST {path}"), why);
    let request = http::Request::post(&path)
        .header("content-type", MEDIA_TYPE)
        .body(event.to_string().into())
        .map_err(|error| failed(error.to_string()))?;
    let answer = line
        .send(request)
        .await
        .map_err(|error| failed(words(&error)))?;
    let status = answer.status();
    Ok((!status.is_success()).then(|| {
        format!(
            "{} {}",
            status.as_u16(),
            String::from_utf8_lossy(answer.body())
        )
    }))
}

/// Reads until as many as were sent are found, or nothing comes any more.
async fn find(
    world: &World,
    client: &crate::kafka::Client,
    from: Offsets,
    sent: usize,
) -> Result<Seen, Verdict> {
    let latest = |error| {
        Verdict::fail("the probe events cannot be read back")
            .saw("fetch from the brokers", words(&error))
    };
    let mut seen = Seen::new();
    let mut scan = client.scan(&ScanPlan {
        from,
        until: Offsets::new(),
    });
    // One more look after the last: what is doubled comes late.
    let mut count = 0;
    let mut patience = QUIET;
    while !patience.is_zero() {
        let next = tokio::time::timeout(patience, scan.next()).await;
        let Ok(chunk) = next else { break };
        let Some(chunk) = chunk.map_err(latest)? else {
            break;
        };
        chunk
            .each(|record| {
                let event =
                    Event::from_record(record.headers.iter(), record.value.unwrap_or_default());
                let data = event
                    .fields()
                    .get("data")
                    .unwrap_or(&serde_json::Value::Null);
                if data["run"] == world.run.as_str()
                    && let (Some(topic), Some(partition), Some(number)) = (
                        data["topic"].as_str(),
                        data["partition"].as_i64(),
                        data["number"].as_u64(),
                    )
                {
                    let was = (topic.to_owned(), i32::try_from(partition).unwrap_or(-1));
                    let is = (chunk.topic.to_string(), chunk.partition);
                    let number = usize::try_from(number).unwrap_or(usize::MAX);
                    seen.entry(was).or_default().push((is, number));
                    count += 1;
                }
                true
            })
            .map_err(latest)?;
        if count >= sent {
            patience = LINGER;
        }
    }
    Ok(seen)
}

/// How long a duplicate may take to show after everything has come.
const LINGER: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    fn place(partition: i32) -> Place {
        ("t".to_owned(), partition)
    }

    fn judged(found: &[(i32, &[usize])]) -> Account {
        let sent = BTreeMap::from([(place(0), 4), (place(1), 2)]);
        let mut seen = Seen::new();
        for (partition, numbers) in found {
            let at = seen.entry(place(*partition)).or_default();
            at.extend(numbers.iter().map(|n| (place(*partition), *n)));
        }
        let mut account = Account::default();
        account.judge(&sent, &seen);
        account
    }

    #[test]
    fn when_all_is_there_there_is_nothing_to_say() {
        assert_eq!(
            judged(&[(0, &[0, 1, 2, 3]), (1, &[0, 1])]),
            Account::default()
        );
    }

    #[test]
    fn each_event_that_is_lost_doubled_or_late_is_named() {
        let account = judged(&[(0, &[0, 2, 1, 2]), (1, &[1, 0])]);
        assert_eq!(account.missing, ["t/0 number 3"]);
        assert_eq!(account.doubled, ["t/0 number 2 2 times"]);
        assert_eq!(account.reordered, ["t/0 number 1", "t/1 number 0"]);
        assert_eq!(judged(&[]).missing.len(), 6);
    }

    #[test]
    fn an_event_in_a_wrong_partition_is_named() {
        let sent = BTreeMap::from([(place(0), 1)]);
        let seen = Seen::from([(place(0), vec![(place(2), 0)])]);
        let mut account = Account::default();
        account.judge(&sent, &seen);
        assert_eq!(account.misplaced, ["t/0 number 0 in t/2"]);
    }
}
