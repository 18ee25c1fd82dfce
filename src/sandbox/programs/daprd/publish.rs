//! Publishing: `/v1.0/publish`, one event or many.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use super::super::super::alter;
use super::super::super::http::{Reply, Request};
use super::super::ids::Trace;
use super::api::request_metadata;
use super::bus::{BusError, Message};
use super::components::Component;
use super::config::Tracing;
use super::envelope::{self, Context};
use super::errors::Rich;
use super::resiliency::{Direction, Policy};
use super::runtime::Sidecar;

/// How often the Kafka client itself tries, and how far apart.
const PRODUCER_RETRIES: u32 = 5;
const PRODUCER_PAUSE: Duration = Duration::from_millis(100);

/// What is to be published.
struct Wanted<'a> {
    pubsub: &'a str,
    topic: &'a str,
    content_type: &'a str,
    metadata: Vec<(String, String)>,
    body: &'a [u8],
}

fn refusal(status: StatusCode, code: &str, reason: &str, message: String, pubsub: &str) -> Reply {
    Rich {
        status,
        code,
        reason,
        message,
        resource: Some(("pubsub", pubsub)),
        metadata: Value::Null,
    }
    .reply()
}

/// `POST /v1.0/publish/{pubsub}/{topic}`.
pub(super) async fn one(sidecar: &Sidecar, request: &Request, pubsub: &str, topic: &str) -> Reply {
    let component = match check(sidecar, pubsub, topic) {
        Ok(component) => component,
        Err(reply) => return reply,
    };
    let (traceparent, ours) = trace(sidecar, request.header("traceparent"));
    let wanted = Wanted {
        pubsub,
        topic,
        content_type: request.header("content-type").unwrap_or_default(),
        metadata: request_metadata(request),
        body: &request.body,
    };
    let tracestate = request.header("tracestate").unwrap_or_default();
    let reply = match message(sidecar, &wanted, &traceparent, tracestate) {
        Ok(message) => send(sidecar, &component, &wanted, message).await,
        Err(reply) => return reply,
    };
    let reply = match reply {
        Ok(()) => Reply::empty(StatusCode::NO_CONTENT),
        Err(error) => refused(pubsub, topic, &error.to_string()),
    };
    if ours {
        reply.with("traceparent", &traceparent)
    } else {
        reply
    }
}

/// Whether the app may publish there.
fn check(sidecar: &Sidecar, pubsub: &str, topic: &str) -> Result<Arc<Component>, Reply> {
    let not_found = StatusCode::NOT_FOUND;
    if pubsub.is_empty() {
        let message = "pubsub name is empty".to_owned();
        return Err(refusal(
            not_found,
            "ERR_PUBSUB_EMPTY",
            "DAPR_PUBSUB_NAME_EMPTY",
            message,
            pubsub,
        ));
    }
    if topic.is_empty() {
        let message = format!("topic is empty in pubsub {pubsub}");
        let reason = "DAPR_PUBSUB_TOPIC_NAME_EMPTY";
        return Err(refusal(
            not_found,
            "ERR_TOPIC_NAME_EMPTY",
            reason,
            message,
            pubsub,
        ));
    }
    let component = sidecar
        .component(pubsub)
        .filter(|found| found.bus().is_some());
    let Some(component) = component else {
        let message = format!("pubsub {pubsub} is not found");
        let reason = "DAPR_PUBSUB_NOT_FOUND";
        return Err(refusal(
            not_found,
            "ERR_PUBSUB_NOT_FOUND",
            reason,
            message,
            pubsub,
        ));
    };
    let app = &sidecar.options.app_id;
    if !component.allows_topic("publishingScopes", app, topic) {
        let message = format!("topic {topic} is not allowed for app id {app}");
        let reason = "DAPR_PUBSUB_FORBIDDEN";
        return Err(refusal(
            StatusCode::FORBIDDEN,
            "ERR_PUBSUB_FORBIDDEN",
            reason,
            message,
            pubsub,
        ));
    }
    Ok(component)
}

/// The trace context of what is published, and whether a span was made for it.
fn trace(sidecar: &Sidecar, told: Option<&str>) -> (String, bool) {
    match sidecar.config.tracing() {
        Tracing::Off => (String::new(), false),
        Tracing::Untouched => {
            let valid = told.filter(|text| Trace::parse(text).is_some());
            (valid.unwrap_or_default().to_owned(), false)
        }
        Tracing::On(sampled) => {
            let parent = told.and_then(Trace::parse);
            let mut span = parent.as_ref().map_or_else(Trace::start, Trace::child);
            if parent.is_none() {
                let flags = if sampled { "01" } else { "00" };
                flags.clone_into(&mut span.flags);
            }
            (span.header(), true)
        }
    }
}

/// The record as it goes to the broker.
fn message(
    sidecar: &Sidecar,
    wanted: &Wanted<'_>,
    traceparent: &str,
    tracestate: &str,
) -> Result<Message, Reply> {
    let told = |name: &str| {
        let pair = wanted
            .metadata
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        pair.map(|(_, value)| value.as_str())
    };
    let raw = match told("rawPayload").map(str::parse::<bool>) {
        Some(Err(_)) => {
            let text = told("rawPayload").unwrap_or_default();
            return Err(refusal(
                StatusCode::BAD_REQUEST,
                "ERR_PUBSUB_REQUEST_METADATA",
                "DAPR_PUBSUB_METADATA_DESERIALIZATION",
                format!(
                    "failed deserializing metadata. Error: rawPayload value must be a valid \
                     boolean: actual is '{text}'"
                ),
                wanted.pubsub,
            ));
        }
        Some(Ok(raw)) => raw,
        None => false,
    };
    let context = Context {
        app_id: &sidecar.options.app_id,
        pubsub: wanted.pubsub,
        topic: wanted.topic,
        content_type: wanted.content_type,
        traceparent,
        tracestate,
        metadata: &wanted.metadata,
        now: sidecar.process.world.clock.now(),
    };
    let faults = &sidecar.process.world.faults;
    let path = format!("/v1.0/publish/{}/{}", wanted.pubsub, wanted.topic);
    let value = match raw {
        true => wanted.body.to_vec(),
        false if envelope::is_cloud_event(wanted.content_type) => {
            let Some(mut event) = envelope::complete(&context, wanted.body) else {
                return Err(refusal(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "ERR_PUBSUB_CLOUD_EVENTS_SER",
                    "DAPR_PUBSUB_CLOUD_EVENT_CREATION",
                    "cannot create cloudevent".to_owned(),
                    wanted.pubsub,
                ));
            };
            alter::event(faults, &path, &mut event);
            event.to_string().into_bytes()
        }
        false => {
            let mut event = envelope::wrap(&context, wanted.body);
            alter::event(faults, &path, &mut event);
            event.to_string().into_bytes()
        }
    };
    let key = told("partitionKey").or(told("__key"));
    let headers = wanted.metadata.iter();
    Ok(Message {
        key: key.map(|key| key.as_bytes().to_vec()),
        value,
        headers: headers
            .map(|(k, v)| (k.clone(), v.clone().into_bytes()))
            .collect(),
        ..Message::default()
    })
}

/// Writes the record, as often as the client and the policy allow.
async fn send(
    sidecar: &Sidecar,
    component: &Component,
    wanted: &Wanted<'_>,
    message: Message,
) -> Result<(), BusError> {
    let started = sidecar.process.world.clock.elapsed();
    let partition = wanted
        .metadata
        .iter()
        .find(|(key, _)| key == "partitionNumber");
    let partition = partition.and_then(|(_, value)| value.parse().ok());
    let policy = Policy::of(sidecar, &component.name, Direction::Outbound);
    let done = policy
        .run(
            sidecar,
            |error: &BusError| error.passes,
            || produce(sidecar, component, wanted.topic, partition, &message),
        )
        .await;
    let took = sidecar
        .process
        .world
        .clock
        .elapsed()
        .saturating_sub(started);
    let (name, topic) = (&component.name, wanted.topic);
    sidecar.metrics.published(name, topic, done.is_ok(), took);
    done
}

/// One try of the component, with the producer's own retries.
async fn produce(
    sidecar: &Sidecar,
    component: &Component,
    topic: &str,
    partition: Option<i32>,
    message: &Message,
) -> Result<(), BusError> {
    let log = sidecar
        .log
        .scope("dapr.contrib")
        .with("component", component.title());
    let Some(bus) = component.bus() else {
        return Ok(());
    };
    log.debug(&format!("Publishing on topic {topic}"));
    let mut tries = 0;
    loop {
        match bus.publish(topic, partition, message.clone()).await {
            Ok((partition, offset)) => {
                log.debug(&format!("Partition: {partition}, offset: {offset}"));
                return Ok(());
            }
            Err(error) if error.passes && tries < PRODUCER_RETRIES => tries += 1,
            Err(error) => return Err(error),
        }
        if sidecar
            .process
            .world
            .clock
            .sleep(PRODUCER_PAUSE)
            .await
            .is_err()
        {
            return Ok(());
        }
    }
}

/// Publishes what could not be delivered to the dead letter topic.
pub(super) async fn dead_letter(
    sidecar: &Sidecar,
    component: &Component,
    topic: &str,
    message: Message,
) -> Result<(), BusError> {
    produce(sidecar, component, topic, None, &message).await
}

/// One event of many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// What its failure is told by.
    pub(super) id: String,
    pub(super) content_type: String,
    /// The event's own.
    pub(super) metadata: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

/// `POST /v1.0/publish/bulk/{pubsub}/{topic}`.
pub(super) async fn bulk(sidecar: &Sidecar, request: &Request, pubsub: &str, topic: &str) -> Reply {
    if let Err(reply) = check(sidecar, pubsub, topic) {
        return reply;
    }
    let Ok(entries) = serde_json::from_slice::<Vec<Value>>(&request.body) else {
        let why = "error when unmarshaling the request";
        return malformed("DAPR_PUBSUB_UNMARSHAL_EVENTS", why, pubsub);
    };
    let entries: Vec<Entry> = entries
        .iter()
        .map(|entry| entry_of(entry, request_metadata(request)))
        .collect();
    match all(sidecar, request, (pubsub, topic), &entries).await {
        Err(reply) => reply,
        Ok(failed) if failed.is_empty() => Reply::empty(StatusCode::NO_CONTENT),
        Ok(failed) => {
            let failed = failed
                .into_iter()
                .map(|(id, why)| json!({"entryId": id, "error": why}));
            let code = "ERR_PUBSUB_PUBLISH_MESSAGE";
            let body = json!({"failedEntries": failed.collect::<Vec<_>>(), "errorCode": code});
            Reply::json(StatusCode::INTERNAL_SERVER_ERROR, &body)
        }
    }
}

/// `BulkPublishEvent`, which says of a failure no more than the first cause.
pub(super) async fn bulk_call(
    sidecar: &Sidecar,
    request: &Request,
    (pubsub, topic): (&str, &str),
    entries: &[Entry],
) -> Reply {
    let failed = match all(sidecar, request, (pubsub, topic), entries).await {
        Err(reply) => return reply,
        Ok(failed) => failed,
    };
    match failed.first() {
        None => Reply::empty(StatusCode::NO_CONTENT),
        Some((_, why)) => refused(pubsub, topic, why),
    }
}

/// An event as the HTTP API has it; its own metadata outrank the request's.
fn entry_of(entry: &Value, mut metadata: Vec<(String, String)>) -> Entry {
    let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
    let content_type = text("contentType");
    let body = match &entry["event"] {
        Value::String(text) if !content_type.contains("json") => text.clone(),
        other => other.to_string(),
    };
    for (name, value) in entry["metadata"].as_object().into_iter().flatten() {
        let value = value.as_str().unwrap_or_default().to_owned();
        metadata.retain(|(known, _)| known != name);
        metadata.push((name.clone(), value));
    }
    Entry {
        id: text("entryId"),
        content_type,
        metadata,
        body: body.into_bytes(),
    }
}

fn malformed(reason: &str, why: &str, pubsub: &str) -> Reply {
    let (status, code) = (StatusCode::BAD_REQUEST, "ERR_PUBSUB_EVENTS_SER");
    refusal(status, code, reason, why.to_owned(), pubsub)
}

/// Publishes one after the other; those that failed, and why.
async fn all<'a>(
    sidecar: &Sidecar,
    request: &Request,
    (pubsub, topic): (&str, &str),
    entries: &'a [Entry],
) -> Result<Vec<(&'a str, String)>, Reply> {
    let component = check(sidecar, pubsub, topic)?;
    let mut ids = BTreeSet::new();
    let unique = entries
        .iter()
        .all(|entry| !entry.id.is_empty() && ids.insert(entry.id.as_str()));
    if !unique {
        let why = "error: entryId is duplicated or not present for entry";
        return Err(malformed("DAPR_PUBSUB_MARSHAL_EVENTS", why, pubsub));
    }
    let mut failed = Vec::new();
    for entry in entries {
        let wanted = Wanted {
            pubsub,
            topic,
            content_type: &entry.content_type,
            metadata: entry.metadata.clone(),
            body: &entry.body,
        };
        let (traceparent, _) = trace(sidecar, request.header("traceparent"));
        let done = match message(sidecar, &wanted, &traceparent, "") {
            Ok(message) => send(sidecar, &component, &wanted, message)
                .await
                .map_err(|error| error.to_string()),
            Err(_) => Err("cannot create cloudevent".to_owned()),
        };
        if let Err(why) = done {
            failed.push((entry.id.as_str(), why));
        }
    }
    Ok(failed)
}

/// The broker did not take it.
fn refused(pubsub: &str, topic: &str, why: &str) -> Reply {
    refusal(
        StatusCode::INTERNAL_SERVER_ERROR,
        "ERR_PUBSUB_PUBLISH_MESSAGE",
        "DAPR_PUBSUB_PUBLISH_MESSAGE",
        format!("error when publishing to topic {topic} in pubsub {pubsub}: {why}"),
        pubsub,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_s_own_metadata_outrank_the_request_s() {
        let of_request = [("partitionKey", "all"), ("ttlInSeconds", "9")];
        let of_request = of_request.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let entry = json!({
            "entryId": "1", "contentType": "text/plain", "event": "words",
            "metadata": {"partitionKey": "one"},
        });
        let entry = entry_of(&entry, of_request.to_vec());
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let wanted = Entry {
            id: "1".to_owned(),
            content_type: "text/plain".to_owned(),
            metadata: vec![pair("ttlInSeconds", "9"), pair("partitionKey", "one")],
            body: b"words".to_vec(),
        };
        assert_eq!(entry, wanted);
    }

    #[test]
    fn an_entry_of_json_is_its_json() {
        for (event, body) in [(json!({"n": 1}), "{\"n\":1}"), (json!("a"), "\"a\"")] {
            let entry = json!({"entryId": "1", "contentType": "application/json", "event": event});
            assert_eq!(entry_of(&entry, Vec::new()).body, body.as_bytes());
        }
    }
}
