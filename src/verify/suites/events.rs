//! Tasks, their events in Kafka, and what came of them.

use std::collections::BTreeMap;

use futures::FutureExt as _;

use crate::verify::check::{Check, Found, Probe, Suite, Verdict};
use crate::verify::flow::{self, Deed, Flow, Step, id_text};
use crate::verify::metrics::Metrics;
use crate::verify::world::{Sidecar, World};

mod account;
mod brokers;

const LOGS: &str = "todoctl logs backend";
const TAIL: &str = "todoctl events tail --from earliest";

/// The checks of the suite.
pub(super) const CHECKS: &[Check] = &[
    Check {
        code: "events.brokers",
        suite: Suite::Events,
        title: "the brokers answer",
        means: "Kafka is away, or refuses todoctl's login. Events wait in the app until it is back.",
        mend: "todoctl events topics",
        probe: Probe::Ask(|world| brokers::brokers(world).boxed()),
    },
    Check {
        code: "events.topics",
        suite: Suite::Events,
        title: "every topic is there with its partitions",
        means: "A topic is missing, or has fewer partitions than the profile says. Publishing to it fails, or order is kept among fewer consumers than thought.",
        mend: "todoctl up --only platform",
        probe: Probe::Ask(|world| brokers::topics(world).boxed()),
    },
    Check {
        code: "events.leaders",
        suite: Suite::Events,
        title: "every partition has a leader, and its replicas are in step",
        means: "A partition without a leader takes no events. One with fewer replicas in step than it should have is one failure away from it.",
        mend: "todoctl events topics",
        probe: Probe::Ask(|world| brokers::leaders(world).boxed()),
    },
    Check {
        code: "events.login",
        suite: Suite::Events,
        title: "the profile's login gives a token",
        means: "Nobody can log in, or the login in the profile is wrong. No task can be created.",
        mend: "todoctl profile",
        probe: Probe::Ask(|world| login(world).boxed()),
    },
    Check {
        code: "events.create",
        suite: Suite::Events,
        title: "creating a task works and its event is in Kafka",
        means: "The request failed, or it succeeded and no event came: then the app does not publish, or its sidecar cannot.",
        mend: LOGS,
        probe: Probe::Ask(|world| deed(world, Deed::Create).boxed()),
    },
    Check {
        code: "events.update",
        suite: Suite::Events,
        title: "changing a task works and its event is in Kafka",
        means: "The request failed, or it succeeded and no event came: then the app does not publish, or its sidecar cannot.",
        mend: LOGS,
        probe: Probe::Ask(|world| deed(world, Deed::Update).boxed()),
    },
    Check {
        code: "events.complete",
        suite: Suite::Events,
        title: "completing a task works and its event is in Kafka",
        means: "The request failed, or it succeeded and no event came: then the app does not publish, or its sidecar cannot.",
        mend: LOGS,
        probe: Probe::Ask(|world| deed(world, Deed::Complete).boxed()),
    },
    Check {
        code: "events.delete",
        suite: Suite::Events,
        title: "deleting a task works and its event is in Kafka",
        means: "The request failed, or it succeeded and no event came: then the app does not publish, or its sidecar cannot.",
        mend: LOGS,
        probe: Probe::Ask(|world| deed(world, Deed::Delete).boxed()),
    },
    Check {
        code: "events.envelope",
        suite: Suite::Events,
        title: "every event is a valid CloudEvent",
        means: "Consumers that go by the standard refuse the event, and a sidecar that cannot read it blocks its partition.",
        mend: TAIL,
        probe: Probe::Ask(|world| envelope(world).boxed()),
    },
    Check {
        code: "events.fields",
        suite: Suite::Events,
        title: "every event tells task, user, title and time",
        means: "Consumers cannot know what the event is about.",
        mend: TAIL,
        probe: Probe::Ask(|world| fields(world).boxed()),
    },
    Check {
        code: "events.trace",
        suite: Suite::Events,
        title: "every event carries the trace of its request",
        means: "A request cannot be followed through Kafka to its consumers: the app does not hand the trace context to its sidecar.",
        mend: TAIL,
        probe: Probe::Ask(|world| traced(world).boxed()),
    },
    Check {
        code: "events.once",
        suite: Suite::Events,
        title: "every event is there once, in the order of the requests",
        means: "The app publishes twice, or without a key, so that consumers see a task's events in another order.",
        mend: TAIL,
        probe: Probe::Ask(|world| once(world).boxed()),
    },
    Check {
        code: "events.delivered",
        suite: Suite::Events,
        title: "the subscriber has taken every event",
        means: "Events are in Kafka and the app does not take them: the subscription, its route or its consumer group is wrong, or an event that fails blocks the partition.",
        mend: "todoctl events topics",
        probe: Probe::Ask(|world| delivered(world).boxed()),
    },
    Check {
        code: "events.state",
        suite: Suite::Events,
        title: "the app shows what was done",
        means: "The request was answered and the app's own state does not show it.",
        mend: LOGS,
        probe: Probe::Ask(|world| state(world).boxed()),
    },
    Check {
        code: "events.lag",
        suite: Suite::Events,
        title: "the subscriber keeps up",
        means: "Events wait to be taken. A consumer that fails or is too slow falls behind until events are older than the topic keeps them.",
        mend: "todoctl events topics",
        probe: Probe::Ask(|world| brokers::lag(world).boxed()),
    },
    Check {
        code: "events.publish",
        suite: Suite::Events,
        title: "the sidecar publishes to every partition of every topic",
        means: "The sidecar refuses publications: the component is not loaded, its scopes forbid the topic, or the broker refuses it.",
        mend: "todoctl logs --sidecar --level warn",
        probe: Probe::Ask(|world| account::publish(world).boxed()),
    },
    Check {
        code: "events.lost",
        suite: Suite::Events,
        title: "no probe event is lost",
        means: "The sidecar said that it had published an event that is not in Kafka.",
        mend: "todoctl events topics",
        probe: Probe::Ask(|world| account::lost(world).boxed()),
    },
    Check {
        code: "events.doubled",
        suite: Suite::Events,
        title: "no probe event is there twice",
        means: "A publication was repeated although it had succeeded. Consumers see the event twice unless they look at its id.",
        mend: "todoctl events topics",
        probe: Probe::Ask(|world| account::doubled(world).boxed()),
    },
    Check {
        code: "events.reordered",
        suite: Suite::Events,
        title: "probe events are in their order",
        means: "Events of one partition came in another order than they were published. Consumers apply changes in the wrong order.",
        mend: "todoctl events topics",
        probe: Probe::Ask(|world| account::reordered(world).boxed()),
    },
];

async fn login(world: &World) -> Found {
    let token = world.token().await?;
    match (token, &world.scope.profile.verify.login) {
        (Some(_), Some(login)) => {
            Ok(Verdict::pass("a token was given").saw(format!("POST {}", login.path), "a token"))
        }
        _ => Err(Verdict::skip("the profile has no login (`verify.login`)")),
    }
}

/// The flow, if it came to anything.
async fn flow(world: &World) -> Result<&Flow, Verdict> {
    let flow = world.flow().await;
    match &flow.trouble {
        Some(trouble) => Err(trouble.clone()),
        None => Ok(flow),
    }
}

fn asked(step: &Step) -> String {
    format!("{} in trace {}", step.asked, step.trace)
}

/// The step was done, and answered well.
fn done(flow: &Flow, deed: Deed) -> Result<&Step, Verdict> {
    let Some(step) = flow.step(deed) else {
        return Err(
            Verdict::fail(format!("there was no task to {}", deed.name()))
                .saw("the task's id", "none"),
        );
    };
    let answer = step.answer.as_ref().map_err(Clone::clone)?;
    match answer.status.is_success() {
        true => Ok(step),
        false => Err(
            Verdict::fail(format!("the request answers {}", answer.status.as_u16()))
                .saw(asked(step), answer.shown()),
        ),
    }
}

async fn deed(world: &World, deed: Deed) -> Found {
    let flow = flow(world).await?;
    let step = done(flow, deed)?;
    let topic = world
        .scope
        .profile
        .verify
        .tasks
        .as_ref()
        .map_or("", |tasks| tasks.topic.as_str());
    let answer = step.answer.as_ref().map_err(Clone::clone)?;
    if let Some(unread) = &flow.unread {
        return Err(unread.clone());
    }
    let Some(found) = flow.events(deed).find(|found| found.topic == topic) else {
        return Ok(Verdict::fail(format!(
            "the request was answered, and no event came to {topic}"
        ))
        .saw(asked(step), answer.shown())
        .saw(format!("events of the task in {topic}"), "none"));
    };
    let after = found.at.saturating_sub(step.began).as_secs_f64() * 1e3;
    let place = format!(
        "{}/{} offset {}",
        found.topic, found.partition, found.offset
    );
    let kind = found.event.attribute("type").unwrap_or_default();
    Ok(
        Verdict::pass(format!("{kind} after {after:.0} ms at {place}"))
            .saw(asked(step), answer.shown())
            .saw(
                place,
                format!("{kind}, id {}", found.event.id().unwrap_or_default()),
            ),
    )
}

/// The flow with events in it; what was not found is another check's business.
async fn with_events(world: &World) -> Result<&Flow, Verdict> {
    let flow = flow(world).await?;
    if let Some(unread) = &flow.unread {
        return Err(unread.clone());
    }
    match flow.found.is_empty() {
        true => {
            Err(Verdict::fail("there are no events to look at").saw("events of the task", "none"))
        }
        false => Ok(flow),
    }
}

fn place(found: &flow::Found) -> String {
    format!(
        "{} at {}/{} offset {}",
        found.deed.name(),
        found.topic,
        found.partition,
        found.offset
    )
}

async fn envelope(world: &World) -> Found {
    let flow = with_events(world).await?;
    let all = flow.found.iter().map(|found| {
        let problems: Vec<String> = found
            .event
            .problems()
            .iter()
            .filter(|problem| problem.severity != crate::finding::Severity::Info)
            .map(ToString::to_string)
            .collect();
        match (problems.is_empty(), found.event.is_valid()) {
            (true, _) => Verdict::pass("").saw(place(found), "valid"),
            (false, true) => Verdict::warn(format!("{}: {}", place(found), problems.join("; ")))
                .saw(place(found), problems.join("; ")),
            (false, false) => Verdict::fail(format!("{}: {}", place(found), problems.join("; ")))
                .saw(place(found), problems.join("; ")),
        }
    });
    Ok(Verdict::worst(
        all.collect(),
        format!("{} valid", flow.found.len()),
    ))
}

async fn fields(world: &World) -> Found {
    let flow = with_events(world).await?;
    let task = flow.task.clone().unwrap_or_default();
    let all = flow.found.iter().map(|found| {
        let data = found
            .event
            .fields()
            .get("data")
            .cloned()
            .unwrap_or_default();
        let mut missing = Vec::new();
        if data["task_id"].is_null() || id_text(&data["task_id"]) != task {
            missing.push(format!("task_id is {}, not {task}", data["task_id"]));
        }
        for name in ["user_id", "title"] {
            if data[name].is_null() || data[name] == "" {
                missing.push(format!("{name} is missing"));
            }
        }
        let time = data["timestamp"]
            .as_str()
            .map(str::parse::<jiff::Timestamp>);
        if !matches!(time, Some(Ok(_))) {
            missing.push("timestamp is no time".to_owned());
        }
        match missing.is_empty() {
            true => Verdict::pass("").saw(place(found), "task_id, user_id, title, timestamp"),
            false => Verdict::fail(format!("{}: {}", place(found), missing.join(", ")))
                .saw(place(found), data.to_string()),
        }
    });
    Ok(Verdict::worst(
        all.collect(),
        format!("{} complete", flow.found.len()),
    ))
}

async fn traced(world: &World) -> Found {
    let flow = with_events(world).await?;
    let all = flow.found.iter().map(|found| {
        let carried = found
            .event
            .attribute("traceparent")
            .unwrap_or("no traceparent");
        match found.traced {
            true => Verdict::pass("").saw(place(found), carried),
            false => Verdict::warn(format!("{} carries another trace", place(found)))
                .saw(place(found), carried),
        }
    });
    Ok(Verdict::worst(
        all.collect(),
        format!("{} traced", flow.found.len()),
    ))
}

async fn once(world: &World) -> Found {
    let flow = with_events(world).await?;
    let mut all = Vec::new();
    for (i, found) in flow.found.iter().enumerate() {
        let before = flow.found.iter().take(i);
        let same = |f: &&flow::Found| {
            f.topic == found.topic && f.event.id() == found.event.id() && f.event.id().is_some()
        };
        if let Some(first) = before.clone().find(same) {
            all.push(
                Verdict::fail(format!(
                    "the event of the {} is there twice",
                    found.deed.name()
                ))
                .saw(place(first), "the first")
                .saw(place(found), "the same id"),
            );
        }
        let late = |f: &&flow::Found| {
            f.topic == found.topic
                && f.partition == found.partition
                && f.deed < found.deed
                && f.offset > found.offset
        };
        if let Some(first) = before.clone().find(late) {
            all.push(
                Verdict::fail(format!(
                    "the event of the {} is behind that of the {}",
                    first.deed.name(),
                    found.deed.name()
                ))
                .saw(place(first), "behind")
                .saw(place(found), "in front"),
            );
        }
        let scattered = |f: &&flow::Found| f.topic == found.topic && f.partition != found.partition;
        if let Some(first) = before.clone().find(scattered) {
            all.push(
                Verdict::warn(format!(
                    "the task's events are in several partitions of {}",
                    found.topic
                ))
                .saw(place(first), "one partition")
                .saw(place(found), "another"),
            );
        }
    }
    Ok(Verdict::worst(
        all,
        format!("{} events in order", flow.found.len()),
    ))
}

async fn delivered(world: &World) -> Found {
    let flow = with_events(world).await?;
    let topic = world
        .scope
        .profile
        .verify
        .tasks
        .as_ref()
        .map_or("", |tasks| tasks.topic.as_str());
    let subscribed = |sidecar: &&Sidecar| {
        let metadata = sidecar.metadata.as_ref().ok();
        let all = metadata.and_then(|m| m["subscriptions"].as_array());
        all.into_iter().flatten().any(|s| s["topic"] == topic)
    };
    let subscribers: Vec<_> = world.sidecars().await?.iter().filter(subscribed).collect();
    if subscribers.is_empty() {
        return Err(Verdict::skip(format!("nobody is subscribed to {topic}")));
    }
    let all = flow
        .found
        .iter()
        .filter(|found| found.topic == topic)
        .map(|found| match found.delivered {
            Some(at) => {
                let after = at.saturating_sub(found.at).as_secs_f64() * 1e3;
                Verdict::pass("").saw(
                    place(found),
                    format!("taken {after:.0} ms after it was read here"),
                )
            }
            None => Verdict::fail(format!(
                "the subscriber has not taken the event of the {}",
                found.deed.name()
            ))
            .saw(place(found), "the consumer group has not passed it"),
        });
    let mut all: Vec<Verdict> = all.collect();
    let good = format!("{} taken", all.len());
    let wanted = all.len() as f64;
    // The group also passes what was refused until the sidecar gave it up.
    for (app, told) in answers(world, &subscribers, topic).await {
        let refused = told.refused();
        let seen = format!("{refused} deliveries refused, {} taken", told.taken);
        let place = format!("the metrics of {app}'s sidecars");
        if refused > 0.0 && told.taken < wanted {
            all.push(Verdict::fail(format!("{app} refuses events: {seen}")).saw(place, seen));
        } else if told.again > 0.0 {
            all.push(Verdict::pass("").saw(place, seen));
        }
    }
    Ok(Verdict::worst(all, good))
}

/// How an app has answered to the deliveries of a topic's events.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
struct Answers {
    taken: f64,
    /// Answered with an error, and delivered again.
    again: f64,
    /// Answered with 404 or `DROP`; or of a kind that its subscription leaves
    /// out on purpose, or expired.
    dropped: f64,
    leaves_out: bool,
}

impl Answers {
    fn refused(self) -> f64 {
        match self.leaves_out {
            true => self.again,
            false => self.again + self.dropped,
        }
    }
}

/// What each app has answered since the run began; nothing of an app with a
/// sidecar that does not tell, or is another process by now.
async fn answers<'a>(
    world: &World,
    sidecars: &[&'a Sidecar],
    topic: &str,
) -> Vec<(&'a str, Answers)> {
    let mut all: BTreeMap<&str, Option<Answers>> = BTreeMap::new();
    for sidecar in sidecars {
        let new = match (&sidecar.metrics, world.metrics(sidecar).await) {
            (Ok(before), Ok(now)) => new_answers(before, &now, topic),
            _ => None,
        };
        let sum = all.entry(&sidecar.app_id).or_insert_with(|| {
            Some(Answers {
                leaves_out: leaves_out(sidecar, topic),
                ..Answers::default()
            })
        });
        *sum = sum.zip(new).map(|(sum, new)| Answers {
            taken: sum.taken + new.taken,
            again: sum.again + new.again,
            dropped: sum.dropped + new.dropped,
            ..sum
        });
    }
    let told = all.into_iter();
    told.filter_map(|(app, sum)| Some((app, sum?))).collect()
}

fn new_answers(before: &Metrics, now: &Metrics, topic: &str) -> Option<Answers> {
    let new = |status: &str| {
        let labels = [("topic", topic), ("process_status", status)];
        let count = |m: &Metrics| m.sum("dapr_component_pubsub_ingress_count", &labels);
        let new = count(now).unwrap_or(0.0) - count(before).unwrap_or(0.0);
        (new >= 0.0).then_some(new)
    };
    Some(Answers {
        taken: new("success")?,
        again: new("retry")?,
        dropped: new("drop")?,
        leaves_out: false,
    })
}

/// Whether an app's subscription takes events of some kinds only.
fn leaves_out(sidecar: &Sidecar, topic: &str) -> bool {
    let metadata = sidecar.metadata.as_ref().ok();
    let all = metadata.and_then(|m| m["subscriptions"].as_array());
    let own = all.into_iter().flatten().filter(|s| s["topic"] == topic);
    let rules = own.filter_map(|s| s["rules"].as_array()).flatten();
    let mut matches = rules.filter_map(|rule| rule["match"].as_str());
    matches.any(|text| !text.is_empty())
}

async fn state(world: &World) -> Found {
    let flow = flow(world).await?;
    let mut all = Vec::new();
    for deed in [Deed::Create, Deed::Delete] {
        let Ok(step) = done(flow, deed) else { continue };
        match &step.shown {
            Some(Ok(_)) => all.push(Verdict::pass("").saw(
                format!("the task after the {}", deed.name()),
                "as it should be",
            )),
            Some(Err(why)) => all.push(why.clone()),
            None => {
                let answer = step
                    .answer
                    .as_ref()
                    .map(super::super::world::Answer::shown)
                    .unwrap_or_default();
                all.push(Verdict::fail("the answer has no `id`").saw(asked(step), answer));
            }
        }
    }
    if all.is_empty() {
        return done(flow, Deed::Create).map(|_| Verdict::pass(""));
    }
    Ok(Verdict::worst(
        all,
        "there after it was made, gone after it was deleted",
    ))
}
