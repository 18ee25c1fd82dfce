//! `todoctl events publish`.

use bytes::Bytes;
use clap::Args;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::super::error::{CliError, Result};
use super::super::exit::Exit;
use super::super::settings::Settings;
use crate::cloudevents::{Event, MEDIA_TYPE, TraceParent};
use crate::finding::Severity;
use crate::kafka::{Client, NewRecord};
use crate::names::nearest;
use crate::profile::Profile;

/// The type of an event that has none of its own.
const KIND: &str = "todoctl.event.published";

/// Arguments of `events publish`.
#[derive(Debug, Clone, Args)]
pub(super) struct PublishArgs {
    /// Topic to publish to
    topic: String,
    /// Content of the event, a JSON object; one with `specversion` is taken for
    /// a whole event in its envelope
    #[arg(long, value_name = "JSON")]
    data: String,
    /// Type of the event
    #[arg(long = "type", value_name = "TYPE", default_value = KIND)]
    kind: String,
    /// Key: events with the same key go to the same partition
    #[arg(long)]
    key: Option<String>,
    /// Identifier of the event [default: a random one]
    #[arg(long)]
    id: Option<String>,
    /// Source of the event
    #[arg(long, default_value = "todoctl")]
    source: String,
    /// Publish the text as it is, without an envelope
    #[arg(long, conflicts_with_all = ["id"])]
    raw: bool,
}

#[derive(Serialize)]
struct Document {
    schema: &'static str,
    topic: String,
    partition: i32,
    offset: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<String>,
}

/// Publishes.
pub(super) async fn run(
    settings: &Settings,
    args: &PublishArgs,
    profile: &Profile,
    client: &Client,
) -> Result {
    let event = match args.raw {
        true => None,
        false => Some(event(args, profile.dapr.components.pubsub.as_str())?),
    };
    let (value, headers) = match &event {
        None => (Bytes::from(args.data.clone()), Vec::new()),
        Some(event) => {
            let value = Value::Object(event.fields().clone()).to_string();
            let kind = Bytes::from(format!("{MEDIA_TYPE}; charset=utf-8"));
            (Bytes::from(value), vec![("content-type".to_owned(), kind)])
        }
    };
    let record = NewRecord {
        key: args.key.clone().map(Bytes::from),
        value,
        headers,
        partition: None,
    };
    let stored = match client.produce(&args.topic, record).await {
        Ok(stored) => stored,
        Err(error) => {
            let names = super::topics_of(profile);
            let near = nearest(&args.topic, names.iter().map(String::as_str));
            let missing = matches!(error, crate::kafka::Error::TopicMissing { .. });
            let error = CliError::from(error);
            return Err(match near.filter(|near| missing && *near != args.topic) {
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None => error,
            });
        }
    };
    let document = Document {
        schema: "todoctl/published/v1",
        topic: stored.topic,
        partition: stored.partition,
        offset: stored.offset,
        id: event.as_ref().and_then(Event::id).map(str::to_owned),
        trace: event
            .as_ref()
            .and_then(Event::trace)
            .map(|trace| trace.trace),
    };
    settings.ui.document(&document, || {
        let mut text = format!(
            "{}/{}@{}",
            document.topic, document.partition, document.offset
        );
        for (name, value) in [("id", &document.id), ("trace", &document.trace)] {
            if let Some(value) = value {
                text += &format!(" {name} {value}");
            }
        }
        text
    })?;
    Ok(Exit::Done)
}

/// The event, valid or refused.
fn event(args: &PublishArgs, pubsub: &str) -> Result<Event> {
    let data: Value = serde_json::from_str(&args.data).map_err(|error| {
        CliError::usage("`--data` is not JSON")
            .caused_by(&error)
            .hint("quote it for your shell, or publish any text with --raw")
    })?;
    let Value::Object(data) = data else {
        return Err(
            CliError::usage("`--data` is JSON, but no object").hint("publish any text with --raw")
        );
    };
    let fields = match data.contains_key("specversion") {
        true => data,
        false => envelope(args, pubsub, &data)?,
    };
    let event = Event::from_fields(fields);
    if event.is_valid() {
        return Ok(event);
    }
    let errors = event.problems().iter();
    let errors = errors.filter(|problem| problem.severity == Severity::Error);
    Err(errors.fold(
        CliError::usage("this would be no valid CloudEvent; nothing was published"),
        |error, problem| error.note(problem.to_string()),
    ))
}

/// The content in an envelope such as Dapr makes.
fn envelope(
    args: &PublishArgs,
    pubsub: &str,
    data: &Map<String, Value>,
) -> Result<Map<String, Value>> {
    let trace = TraceParent {
        trace: random_hex(16)?,
        span: random_hex(8)?,
        sampled: true,
    };
    let fields = json!({
        "specversion": "1.0",
        "id": match &args.id {
            Some(id) => id.clone(),
            None => uuid(&random_hex(16)?),
        },
        "source": args.source,
        "type": args.kind,
        "time": now(),
        "datacontenttype": "application/json",
        "topic": args.topic,
        "pubsubname": pubsub,
        "traceid": trace.to_string(),
        "traceparent": trace.to_string(),
        "data": data,
    });
    match fields {
        Value::Object(fields) => Ok(fields),
        _ => Ok(Map::new()),
    }
}

fn now() -> String {
    let now = crate::clock::Clock::default().now();
    format!("{now:.3}")
}

fn random_hex(bytes: usize) -> Result<String> {
    let mut buffer = vec![0_u8; bytes];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut buffer)
        .map_err(|_| CliError::failed("this machine has no random numbers"))?;
    Ok(buffer.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Random digits as a version 4 UUID.
fn uuid(hex: &str) -> String {
    let mut out = String::with_capacity(36);
    for (i, digit) in hex.chars().enumerate() {
        if matches!(i, 8 | 12 | 16 | 20) {
            out.push('-');
        }
        out.push(match i {
            12 => '4',
            16 => char::from_digit(digit.to_digit(16).unwrap_or(0) & 3 | 8, 16).unwrap_or('8'),
            _ => digit,
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(data: &str) -> PublishArgs {
        PublishArgs {
            topic: "task-events".to_owned(),
            data: data.to_owned(),
            kind: KIND.to_owned(),
            key: None,
            id: None,
            source: "todoctl".to_owned(),
            raw: false,
        }
    }

    #[test]
    fn what_is_published_is_valid() {
        let event = event(&args(r#"{"task_id": 7}"#), "kafka-pubsub").unwrap();
        assert_eq!(event.problems(), []);
        assert_eq!(event.task().as_deref(), Some("7"));
        assert!(event.trace().is_some());
        assert_eq!(event.id().map(str::len), Some(36));
    }

    #[test]
    fn what_would_not_be_is_refused() {
        for data in ["", "[1]", "\"text\"", r#"{"specversion": "1.0"}"#] {
            let error = event(&args(data), "kafka-pubsub").unwrap_err();
            assert_eq!(error.exit(), Exit::Usage, "{data}");
        }
        let mut args = args("{}");
        args.source = "two words".to_owned();
        assert!(event(&args, "kafka-pubsub").is_err());
    }

    #[test]
    fn identifiers_are_uuids_of_version_4() {
        assert_eq!(
            uuid(&"f".repeat(32)),
            "ffffffff-ffff-4fff-bfff-ffffffffffff"
        );
        assert_eq!(
            uuid(&"0".repeat(32)),
            "00000000-0000-4000-8000-000000000000"
        );
    }
}
