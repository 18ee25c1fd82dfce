//! The `CloudEvent` around what is published: made, or filled up.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{Timestamp, ToSpan as _};
use serde_json::{Map, Value, json};

use super::super::ids;

/// What the envelope is made from.
#[derive(Debug, Clone, Default)]
pub(super) struct Context<'a> {
    pub(super) app_id: &'a str,
    pub(super) pubsub: &'a str,
    pub(super) topic: &'a str,
    pub(super) content_type: &'a str,
    pub(super) traceparent: &'a str,
    pub(super) tracestate: &'a str,
    /// The request's metadata.
    pub(super) metadata: &'a [(String, String)],
    pub(super) now: Timestamp,
}

impl Context<'_> {
    fn told(&self, name: &str) -> Option<&str> {
        let mut pairs = self.metadata.iter();
        let found = pairs.find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// What the publisher says itself about an attribute.
    fn own(&self, attribute: &str) -> Option<&str> {
        self.told(&format!("cloudevent.{attribute}"))
    }

    fn time(&self) -> String {
        let second = Timestamp::from_second(self.now.as_second()).unwrap_or(self.now);
        second.to_string()
    }

    fn expiration(&self) -> Option<String> {
        let seconds: i64 = self.told("ttlInSeconds")?.parse().ok()?;
        let at = self.now.checked_add(seconds.seconds()).ok()?;
        let at = Timestamp::from_second(at.as_second()).ok()?;
        Some(at.to_string())
    }
}

/// The media type without its parameters, in lower case.
fn media(content_type: &str) -> String {
    let bare = content_type.split(';').next().unwrap_or_default();
    bare.trim().to_ascii_lowercase()
}

fn is_json(content_type: &str) -> bool {
    let media = media(content_type);
    media == "application/json" || media.ends_with("+json")
}

/// Whether the publisher made the `CloudEvent` itself.
pub(super) fn is_cloud_event(content_type: &str) -> bool {
    media(content_type) == "application/cloudevents+json"
}

fn is_binary(content_type: &str) -> bool {
    let media = media(content_type);
    media == "application/octet-stream" || media.ends_with("protobuf")
}

/// Puts an envelope around the data.
pub(super) fn wrap(context: &Context<'_>, data: &[u8]) -> Value {
    let own = |name: &str, otherwise: &str| json!(context.own(name).unwrap_or(otherwise));
    let content_type = match context.content_type {
        "" => "text/plain",
        told => told,
    };
    let trace = context.own("traceid").or(context.own("traceparent"));
    let trace = trace.unwrap_or(context.traceparent);
    let source = if context.app_id.is_empty() {
        "Dapr"
    } else {
        context.app_id
    };
    let mut event = Map::new();
    event.insert("data".to_owned(), Value::Null);
    event.insert("datacontenttype".to_owned(), json!(content_type));
    event.insert(
        "id".to_owned(),
        json!(context.own("id").map_or_else(ids::uuid, str::to_owned)),
    );
    event.insert("pubsubname".to_owned(), json!(context.pubsub));
    event.insert("source".to_owned(), own("source", source));
    event.insert("specversion".to_owned(), json!("1.0"));
    event.insert("time".to_owned(), json!(context.time()));
    event.insert("topic".to_owned(), json!(context.topic));
    event.insert("traceid".to_owned(), json!(trace));
    event.insert("traceparent".to_owned(), own("traceparent", trace));
    event.insert(
        "tracestate".to_owned(),
        own("tracestate", context.tracestate),
    );
    event.insert("type".to_owned(), own("type", "com.dapr.event.sent"));
    if let Some(subject) = context.own("subject") {
        event.insert("subject".to_owned(), json!(subject));
    }
    if let Some(expiration) = context.expiration() {
        event.insert("expiration".to_owned(), json!(expiration));
    }
    if is_binary(content_type) {
        event.remove("data");
        event.insert("data_base64".to_owned(), json!(STANDARD.encode(data)));
    } else {
        let text = || json!(String::from_utf8_lossy(data));
        let value = match is_json(content_type) {
            true => serde_json::from_slice(data).unwrap_or_else(|_| text()),
            false => text(),
        };
        event.insert("data".to_owned(), value);
    }
    Value::Object(event)
}

/// Fills up the publisher's own `CloudEvent`. Its id is never made up. None if
/// it is no JSON object.
pub(super) fn complete(context: &Context<'_>, body: &[u8]) -> Option<Value> {
    let mut event: Map<String, Value> = serde_json::from_slice(body).ok()?;
    let overrides = [
        "id",
        "source",
        "type",
        "subject",
        "traceid",
        "traceparent",
        "tracestate",
    ];
    for name in overrides {
        if let Some(told) = context.own(name) {
            event.insert(name.to_owned(), json!(told));
        }
    }
    event.insert("topic".to_owned(), json!(context.topic));
    event.insert("pubsubname".to_owned(), json!(context.pubsub));
    let held = event.get("traceparent").or(event.get("traceid"));
    let trace = held.cloned().unwrap_or_else(|| json!(context.traceparent));
    let source = if context.app_id.is_empty() {
        "Dapr"
    } else {
        context.app_id
    };
    for (name, value) in [
        ("time", json!(context.time())),
        ("traceid", trace.clone()),
        ("traceparent", trace),
        ("tracestate", json!(context.tracestate)),
        ("source", json!(source)),
        ("type", json!("com.dapr.event.sent")),
        ("specversion", json!("1.0")),
    ] {
        event.entry(name).or_insert(value);
    }
    if let Some(expiration) = context.expiration() {
        event.insert("expiration".to_owned(), json!(expiration));
    }
    Some(Value::Object(event))
}

/// The envelope for a record that was published without one.
pub(super) fn raw(pubsub: &str, topic: &str, data: &[u8]) -> Value {
    json!({
        "id": ids::uuid(),
        "specversion": "1.0",
        "source": "Dapr",
        "type": "com.dapr.event.sent",
        "datacontenttype": "application/octet-stream",
        "pubsubname": pubsub,
        "topic": topic,
        "data_base64": STANDARD.encode(data),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context<'a>(content_type: &'a str, metadata: &'a [(String, String)]) -> Context<'a> {
        Context {
            app_id: "backend",
            pubsub: "kafka-pubsub",
            topic: "task-events",
            content_type,
            traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            metadata,
            now: "2026-08-20T10:00:00.9Z".parse().unwrap(),
            ..Context::default()
        }
    }

    #[test]
    fn data_is_json_text_or_base64_by_its_type() {
        for (content_type, body, field, value) in [
            ("application/json", "{\"a\":1}", "data", json!({"a": 1})),
            ("application/json", "{a", "data", json!("{a")),
            ("", "{\"a\":1}", "data", json!("{\"a\":1}")),
            (
                "application/octet-stream",
                "ab",
                "data_base64",
                json!("YWI="),
            ),
        ] {
            let event = wrap(&context(content_type, &[]), body.as_bytes());
            assert_eq!(event[field], value, "{content_type} {body}");
            assert_eq!(event["source"], "backend");
            assert_eq!(event["type"], "com.dapr.event.sent");
            assert_eq!(event["time"], "2026-08-20T10:00:00Z");
            assert_eq!(event["traceid"], event["traceparent"]);
        }
    }

    #[test]
    fn the_publisher_may_say_attributes_itself() {
        let metadata = [
            ("cloudevent.Type".to_owned(), "task.created".to_owned()),
            ("cloudevent.id".to_owned(), "7".to_owned()),
            ("ttlInSeconds".to_owned(), "60".to_owned()),
        ];
        let event = wrap(&context("application/json", &metadata), b"1");
        assert_eq!(
            (&event["type"], &event["id"]),
            (&json!("task.created"), &json!("7"))
        );
        assert_eq!(event["expiration"], "2026-08-20T10:01:00Z");
        assert!(event.get("subject").is_none());
    }

    #[test]
    fn an_event_of_the_publishers_own_is_filled_up_but_for_its_id() {
        let body = br#"{"type": "task.created", "topic": "other", "data": {"a": 1}}"#;
        let event = complete(&context("application/cloudevents+json", &[]), body).unwrap();
        assert_eq!(event["topic"], "task-events");
        assert_eq!(
            (&event["type"], &event["source"]),
            (&json!("task.created"), &json!("backend"))
        );
        assert!(event.get("id").is_none());
        assert!(complete(&context("", &[]), b"[1]").is_none());
    }
}
