//! Delivery: records of subscribed topics, one partition after its order, to
//! the app; retries and dead letters.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::Value;
use tokio::task::JoinSet;

use super::super::dapr::plane::pause;
use super::bus::{Bus, BusError, Message};
use super::components::Component;
use super::resiliency::{Direction, Policy};
use super::runtime::Sidecar;
use super::subscribe::Subscription;
use super::{app, envelope, publish};

/// How long a fetch waits, in real time.
const WAIT: Duration = Duration::from_secs(5);
/// The component's own pause between tries, endless, when no policy says more.
const RETRY: Duration = Duration::from_secs(5);

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Taken,
    Again,
    Dropped,
}

/// Starts the delivery of every subscription.
pub(super) fn start(sidecar: &Arc<Sidecar>, tasks: &mut JoinSet<()>) {
    let all = sidecar
        .subscriptions
        .read()
        .unwrap_or_else(PoisonError::into_inner);
    for subscription in all.iter() {
        let component = sidecar.component(&subscription.pubsub);
        let Some(component) = component.filter(|found| found.bus().is_some()) else {
            sidecar
                .log
                .error(&format!("pubsub {} is not found", subscription.pubsub));
            continue;
        };
        let app = &sidecar.options.app_id;
        if !component.allows_topic("subscriptionScopes", app, &subscription.topic) {
            sidecar.log.warn(&format!(
                "subscription to topic '{}' on pubsub '{}' is not allowed",
                subscription.topic, subscription.pubsub
            ));
            continue;
        }
        let (sidecar, subscription) = (sidecar.clone(), subscription.clone());
        tasks.spawn(async move {
            let stopped = sidecar.shutdown.clone();
            tokio::select! {
                () = stopped.cancelled() => {}
                () = follow(&sidecar, &component, &subscription) => {}
            }
        });
    }
}

/// Reads all partitions of a topic, each in a task of its own.
async fn follow(sidecar: &Arc<Sidecar>, component: &Arc<Component>, subscription: &Subscription) {
    let log = sidecar
        .log
        .scope("dapr.contrib")
        .with("component", component.title());
    let Some(bus) = component.bus().cloned() else {
        return;
    };
    let mut told = false;
    let count = loop {
        match bus.bounds(&subscription.topic).await {
            Ok(bounds) => break bounds.len(),
            Err(error) if !told => {
                told = true;
                log.error(&format!(
                    "Error consuming [{}]. Retrying...: {error}",
                    subscription.topic
                ));
            }
            Err(_) => {}
        }
        if !pause(&sidecar.process, RETRY).await {
            return;
        }
    };
    log.debug(&format!(
        "Subscribed and listening to topics: [{}]",
        subscription.topic
    ));
    let mut readers = JoinSet::new();
    for partition in 0..i32::try_from(count).unwrap_or(0) {
        let reader = Reader {
            sidecar: sidecar.clone(),
            component: component.clone(),
            bus: bus.clone(),
            subscription: subscription.clone(),
            partition,
        };
        readers.spawn(async move { reader.run().await });
    }
    while readers.join_next().await.is_some() {}
}

/// One partition for one group.
struct Reader {
    sidecar: Arc<Sidecar>,
    component: Arc<Component>,
    bus: Arc<dyn Bus>,
    subscription: Subscription,
    partition: i32,
}

impl Reader {
    async fn run(&self) {
        loop {
            // Only one replica reads a partition; it gives it back at its end.
            let claim = self
                .bus
                .claim(&self.subscription.topic, self.partition)
                .await;
            let ended = self.read().await;
            drop(claim);
            if let Err(error) = ended {
                self.log().warn(&format!("Error consuming: {error}"));
            }
            if !pause(&self.sidecar.process, Duration::from_millis(500)).await {
                return;
            }
        }
    }

    fn log(&self) -> super::super::logger::Logger {
        self.sidecar
            .log
            .scope("dapr.contrib")
            .with("component", self.component.title())
    }

    async fn read(&self) -> Result<(), BusError> {
        let topic = self.subscription.topic.as_str();
        let mut at = match self.bus.committed(topic, self.partition).await? {
            Some(offset) => offset,
            None => self.first().await?,
        };
        loop {
            let (messages, next) = self.bus.fetch(topic, self.partition, at, WAIT).await?;
            for message in messages {
                let offset = message.offset;
                if self.one(message).await {
                    self.bus.commit(topic, self.partition, offset + 1).await?;
                }
            }
            at = next;
        }
    }

    /// Where a group begins that has read nothing yet.
    async fn first(&self) -> Result<i64, BusError> {
        let bounds = self.bus.bounds(&self.subscription.topic).await?;
        let index = usize::try_from(self.partition).unwrap_or(0);
        let (oldest, newest) = bounds.get(index).copied().unwrap_or((0, 0));
        Ok(if self.bus.starts_at_oldest() {
            oldest
        } else {
            newest
        })
    }

    /// Delivers a record as often as it takes. False if it is given up without
    /// being committed.
    async fn one(&self, message: Message) -> bool {
        let sidecar = &self.sidecar;
        let policy = Policy::of(sidecar, &self.component.name, Direction::Inbound);
        let dead_letter = self.subscription.dead_letter.as_deref();
        let place = format!(
            "{}/{}/{}",
            self.subscription.topic, self.partition, message.offset
        );
        let log = self.log();
        log.debug(&format!("Processing Kafka message: {place}"));
        let mut tries = 0;
        loop {
            let outcome = self.attempt(&message).await;
            if outcome == Outcome::Taken {
                if tries > 0 {
                    log.info("Successfully processed Kafka message after it previously failed");
                }
                return true;
            }
            // A policy is exhausted at some time; the component's own retries
            // never are, but with a dead letter topic they are not begun.
            let exhausted = match (policy.retry, outcome) {
                (_, Outcome::Dropped) => true,
                (Some(retry), _) => retry.most.is_some_and(|most| tries >= most),
                (None, _) => dead_letter.is_some(),
            };
            if exhausted {
                if let Some(topic) = dead_letter {
                    return self.bury(topic, message).await;
                }
                if outcome == Outcome::Dropped {
                    return true;
                }
                if policy.retry.is_some() {
                    let text = "Too many failed attempts at processing Kafka message";
                    log.error(&format!("{text}: {place}"));
                    return false;
                }
            }
            if tries == 0 {
                log.warn(&format!(
                    "Error processing Kafka message: {place}. Retrying..."
                ));
            }
            tries += 1;
            let wait = policy.retry.map_or(RETRY, |retry| retry.pause(tries));
            if !pause(&sidecar.process, wait).await || sidecar.shutdown.is_cancelled() {
                return false;
            }
        }
    }

    async fn bury(&self, topic: &str, message: Message) -> bool {
        let sent = publish::dead_letter(&self.sidecar, &self.component, topic, message).await;
        if let Err(error) = &sent {
            self.sidecar
                .log
                .scope("dapr.runtime.processor.subscription")
                .error(&format!(
                    "error sending message to dead letter topic {topic}: {error}"
                ));
        }
        sent.is_ok()
    }

    /// One delivery to the app.
    async fn attempt(&self, message: &Message) -> Outcome {
        let (sidecar, subscription) = (&self.sidecar, &self.subscription);
        let (pubsub, topic) = (&subscription.pubsub, &subscription.topic);
        let log = sidecar.log.scope("dapr.runtime.processor.subscription");
        let event = match subscription.is_raw() {
            true => envelope::raw(pubsub, topic, &message.value),
            false => match serde_json::from_slice::<Value>(&message.value) {
                Ok(event) if event.is_object() => event,
                _ => {
                    log.error(&format!(
                        "error deserializing cloud event in pubsub {pubsub} and topic {topic}: \
                         the record is no JSON object"
                    ));
                    return Outcome::Again;
                }
            },
        };
        let counts = &sidecar.metrics;
        let dropped = || counts.delivered(&self.component.name, topic, "drop", Duration::ZERO);
        if is_expired(&event, sidecar) {
            log.warn(&format!(
                "dropping expired pub/sub event {} as of {}",
                event["id"], event["expiration"]
            ));
            dropped();
            return Outcome::Taken;
        }
        let Some(path) = subscription.path(&event) else {
            log.warn(&format!(
                "no matching route for event {} in pubsub {pubsub} and topic {topic}; skipping",
                event["id"]
            ));
            dropped();
            return Outcome::Dropped;
        };
        let started = sidecar.process.world.clock.elapsed();
        let body = Some((
            "application/cloudevents+json",
            event.to_string().into_bytes(),
        ));
        let headers = self.headers(&event, message);
        let answer = app::call(sidecar, Method::POST, path, headers, body).await;
        let took = sidecar
            .process
            .world
            .clock
            .elapsed()
            .saturating_sub(started);
        let (outcome, status) = match answer {
            Some(Ok(answer)) => judge(answer.status.as_u16(), &answer.body),
            Some(Err(_)) => (Outcome::Again, "retry"),
            None => (Outcome::Dropped, "drop"),
        };
        sidecar
            .metrics
            .delivered(&self.component.name, topic, status, took);
        if status == "drop" {
            log.warn(&format!(
                "DROP status returned from app while processing pub/sub event {}",
                event["id"]
            ));
        }
        outcome
    }

    fn headers(&self, event: &Value, message: &Message) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let mut put = |name: &str, value: &str| {
            let name = HeaderName::from_bytes(name.as_bytes());
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
                headers.insert(name, value);
            }
        };
        for (name, value) in &message.headers {
            put(name, &String::from_utf8_lossy(value));
        }
        let trace = event["traceparent"]
            .as_str()
            .filter(|text| !text.is_empty());
        let none = "00-00000000000000000000000000000000-0000000000000000-00";
        put("traceparent", trace.unwrap_or(none));
        put("pubsubname", &self.subscription.pubsub);
        put("__topic", &self.subscription.topic);
        put("__partition", &self.partition.to_string());
        put("__offset", &message.offset.to_string());
        put("__timestamp", &message.time.to_string());
        if let Some(key) = &message.key {
            put("__key", &String::from_utf8_lossy(key));
        }
        headers
    }
}

fn is_expired(event: &Value, sidecar: &Sidecar) -> bool {
    let told = event["expiration"].as_str();
    let at = told.and_then(|text| text.parse::<jiff::Timestamp>().ok());
    at.is_some_and(|at| at < sidecar.process.world.clock.now())
}

/// What the app's answer means, and the word for it in metrics.
fn judge(status: u16, body: &[u8]) -> (Outcome, &'static str) {
    match status {
        200..300 => {
            let told: Value = serde_json::from_slice(body).unwrap_or_default();
            match told["status"].as_str() {
                None | Some("SUCCESS" | "") => (Outcome::Taken, "success"),
                Some("DROP") => (Outcome::Dropped, "drop"),
                Some(_) => (Outcome::Again, "retry"),
            }
        }
        404 => (Outcome::Dropped, "drop"),
        _ => (Outcome::Again, "retry"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_the_app_mean_what_dapr_says() {
        for (status, body, outcome) in [
            (200, "", Outcome::Taken),
            (204, "", Outcome::Taken),
            (200, "thanks", Outcome::Taken),
            (200, r#"{"status": "SUCCESS"}"#, Outcome::Taken),
            (200, r#"{"status": "RETRY"}"#, Outcome::Again),
            (200, r#"{"status": "WHAT"}"#, Outcome::Again),
            (200, r#"{"status": "DROP"}"#, Outcome::Dropped),
            (404, "", Outcome::Dropped),
            (500, "", Outcome::Again),
        ] {
            assert_eq!(judge(status, body.as_bytes()).0, outcome, "{status} {body}");
        }
    }
}
