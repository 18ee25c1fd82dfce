//! `todoctl events tail`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::super::args::duration;
use super::super::error::{CliError, Result};
use super::super::exit::Exit;
use super::super::settings::Settings;
use crate::clock::Clock;
use crate::cloudevents::Event;
use crate::finding::Severity;
use crate::kafka::{At, Chunk, Client, Error, Offsets, Record, ScanPlan};
use crate::profile::Profile;
use crate::ui::{Format, Paint, Style};

/// Arguments of `events tail`.
#[derive(Debug, Clone, Args)]
pub(super) struct TailArgs {
    /// Topics to watch [default: the profile's]
    #[arg(value_name = "TOPIC")]
    topics: Vec<String>,
    /// Where to begin: earliest, latest, an offset, a time such as
    /// 2026-11-22T02:00:00Z, or an age such as 15m
    #[arg(long, value_name = "PLACE", default_value = "latest", value_parser = place)]
    from: Place,
    /// End after so many events
    #[arg(long, value_name = "N")]
    max: Option<u64>,
    /// End at what is the last event now
    #[arg(long)]
    no_follow: bool,
    /// Only events of this type
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Only events about this task
    #[arg(long, value_name = "ID")]
    task: Option<String>,
    /// Only events of this trace
    #[arg(long, value_name = "ID")]
    trace: Option<String>,
    /// Go on until interrupted; this is the default
    #[arg(short, long, conflicts_with = "no_follow")]
    follow: bool,
}

/// A Kafka that answered once may be away for so long.
const AWAY: Duration = Duration::from_secs(30);

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Earliest,
    Latest,
    Offset(i64),
    Time(Timestamp),
    Ago(Duration),
}

fn place(text: &str) -> std::result::Result<Place, String> {
    match text {
        "earliest" => return Ok(Place::Earliest),
        "latest" => return Ok(Place::Latest),
        _ => {}
    }
    if let Ok(offset) = text.parse::<i64>() {
        return match offset {
            0.. => Ok(Place::Offset(offset)),
            _ => Err("an offset is not negative".to_owned()),
        };
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(Place::Time(time));
    }
    duration(text).map(Place::Ago).map_err(|_| {
        "not earliest, latest, an offset, a time such as 2026-11-22T02:00:00Z or an age such as 15m"
            .to_owned()
    })
}

/// Watches.
pub(super) async fn run(
    settings: &Settings,
    args: &TailArgs,
    profile: &Profile,
    client: &Client,
    clock: &Clock,
) -> Result {
    if settings.ui.options().format == Format::Yaml {
        return Err(
            CliError::usage("events come one after the other, which YAML cannot do")
                .hint("use -o json for JSON lines"),
        );
    }
    let topics = match args.topics.is_empty() {
        true => super::topics_of(profile),
        false => args.topics.clone(),
    };
    let unique: BTreeSet<&str> = topics.iter().map(String::as_str).collect();
    let topics: Vec<&str> = unique.into_iter().collect();
    let from = begin(client, &topics, args.from, clock).await?;
    let until = match args.no_follow {
        true => client.offsets(&topics, At::Latest).await?,
        false => Offsets::new(),
    };
    let mut printer = Printer {
        filter: Filter::new(args),
        json: settings.ui.options().format == Format::Json,
        paint: settings.ui.paint(),
        left: args.max.unwrap_or(u64::MAX),
        text: String::new(),
    };
    let patient = client.with_patience(client.patience().max(AWAY));
    let mut scan = patient.scan(&ScanPlan { from, until });
    while printer.left > 0 {
        let chunk = tokio::select! {
            biased;
            () = clock.cancellation().cancelled() => break,
            chunk = scan.next() => chunk?,
        };
        let Some(chunk) = chunk else { break };
        printer.chunk(&chunk)?;
        if !printer.text.is_empty() {
            settings.ui.data(&printer.text)?;
            printer.text.clear();
        }
    }
    Ok(Exit::Done)
}

/// The offset to begin at in every partition.
async fn begin(client: &Client, topics: &[&str], from: Place, clock: &Clock) -> Result<Offsets> {
    let at = match from {
        Place::Earliest => At::Earliest,
        Place::Latest => At::Latest,
        Place::Time(time) => At::Time(time),
        Place::Ago(age) => At::Time(
            clock
                .now()
                .checked_sub(jiff::SignedDuration::try_from(age).unwrap_or_default())
                .map_err(|error| CliError::usage("too long ago").caused_by(&error))?,
        ),
        Place::Offset(offset) => {
            // The same number means another event in every partition; where it
            // does not exist, the nearest that does is meant.
            let mut first = client.offsets(topics, At::Earliest).await?;
            let last = client.offsets(topics, At::Latest).await?;
            let longest = last.iter().max_by_key(|(_, latest)| **latest);
            if let Some(((topic, partition), latest)) = longest
                && offset > *latest
            {
                let earliest = first.get(&(topic.clone(), *partition));
                return Err(Error::OutOfRange {
                    topic: topic.clone(),
                    partition: *partition,
                    offset,
                    earliest: earliest.copied().unwrap_or_default(),
                    latest: *latest,
                }
                .into());
            }
            for (partition, first) in &mut first {
                let last = last.get(partition).copied().unwrap_or(*first).max(*first);
                *first = offset.clamp(*first, last);
            }
            return Ok(first);
        }
    };
    Ok(client.offsets(topics, at).await?)
}

/// Which events are wanted.
#[derive(Debug, Default)]
struct Filter {
    kind: Option<String>,
    task: Option<String>,
    trace: Option<String>,
    /// Texts that a wanted event is sure to hold: most of a long log is put
    /// aside without being read as JSON.
    holds: Vec<regex::bytes::Regex>,
}

impl Filter {
    fn new(args: &TailArgs) -> Self {
        let texts = [&args.kind, &args.task, &args.trace];
        // JSON may write other characters as escapes.
        let plain = |text: &&String| {
            text.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        };
        Self {
            kind: args.kind.clone(),
            task: args.task.clone(),
            trace: args.trace.clone(),
            holds: texts
                .into_iter()
                .flatten()
                .filter(plain)
                .filter_map(|text| regex::bytes::Regex::new(&regex::escape(text)).ok())
                .collect(),
        }
    }

    fn is_open(&self) -> bool {
        self.kind.is_none() && self.task.is_none() && self.trace.is_none()
    }

    /// Whether the bytes can hold a wanted event at all. Attributes may stand
    /// in headers, so an event with headers is always read.
    fn may_want(&self, record: &Record<'_>) -> bool {
        let value = record.value.unwrap_or_default();
        let inside = self.holds.iter().all(|text| text.is_match(value));
        inside
            || record
                .headers
                .iter()
                .any(|(name, _)| name.starts_with("ce_"))
    }

    fn wants(&self, event: &Event) -> bool {
        let kind = self
            .kind
            .as_deref()
            .is_none_or(|kind| event.kind() == Some(kind));
        let task = self
            .task
            .as_ref()
            .is_none_or(|task| event.task().as_ref() == Some(task));
        let trace = self.trace.as_deref().is_none_or(|trace| {
            let found = event.trace();
            found.is_some_and(|found| found.trace == trace || found.to_string() == trace)
        });
        kind && task && trace
    }
}

/// Turns events into lines.
struct Printer {
    filter: Filter,
    json: bool,
    paint: Paint,
    left: u64,
    text: String,
}

impl Printer {
    fn chunk(&mut self, chunk: &Chunk) -> Result<()> {
        chunk.each(|record| {
            self.record(chunk, &record);
            self.left > 0
        })?;
        Ok(())
    }

    fn record(&mut self, chunk: &Chunk, record: &Record<'_>) {
        if !self.filter.is_open() && !self.filter.may_want(record) {
            return;
        }
        let event = Event::from_record(record.headers.iter(), record.value.unwrap_or_default());
        if !self.filter.wants(&event) {
            return;
        }
        self.left -= 1;
        match self.json {
            true => self.json(chunk, record, &event),
            false => self.pretty(chunk, record, &event),
        }
    }

    fn json(&mut self, chunk: &Chunk, record: &Record<'_>, event: &Event) {
        let mut line = Map::new();
        line.insert("topic".to_owned(), json!(&*chunk.topic));
        line.insert("partition".to_owned(), json!(chunk.partition));
        line.insert("offset".to_owned(), json!(record.offset));
        line.insert("timestamp".to_owned(), json!(time(record.timestamp)));
        insert_bytes(&mut line, "key", record.key);
        let headers: Map<String, Value> = record
            .headers
            .iter()
            .map(|(name, value)| {
                let text = value.map(|value| String::from_utf8_lossy(value).into_owned());
                (name.to_owned(), json!(text))
            })
            .collect();
        if !headers.is_empty() {
            line.insert("headers".to_owned(), Value::Object(headers));
        }
        match event.fields().is_empty() {
            true => insert_bytes(&mut line, "value", record.value),
            false => {
                line.insert("event".to_owned(), Value::Object(event.fields().clone()));
            }
        }
        let problems = told(event);
        if !problems.is_empty() {
            line.insert("problems".to_owned(), json!(problems));
        }
        let _ = writeln!(self.text, "{}", Value::Object(line));
    }

    fn pretty(&mut self, chunk: &Chunk, record: &Record<'_>, event: &Event) {
        let place = format!("{}/{}@{}", chunk.topic, chunk.partition, record.offset);
        let _ = write!(
            self.text,
            "{} {}",
            self.paint.apply(Style::Dim, &time(record.timestamp)),
            self.paint.apply(Style::Strong, &place)
        );
        let value = record.value.unwrap_or_default();
        if event.fields().is_empty() {
            let _ = writeln!(self.text, " {}", printable(&String::from_utf8_lossy(value)));
        } else {
            let kind = event.kind().unwrap_or("no type");
            let _ = write!(
                self.text,
                " {}",
                self.paint.apply(Style::Good, &printable(kind))
            );
            if let Some(task) = event.task() {
                let _ = write!(self.text, " task {}", printable(&task));
            }
            if let Some(trace) = event.trace() {
                let _ = write!(self.text, " trace {}", trace.trace);
            }
            let data = event.data().map(ToString::to_string).unwrap_or_default();
            let _ = writeln!(self.text, "\n    {}", printable(&data));
        }
        for problem in told(event) {
            let style = match problem.severity {
                Severity::Error => Style::Bad,
                _ => Style::Warning,
            };
            let text = self.paint.apply(style, &printable(&problem.to_string()));
            let _ = writeln!(self.text, "    {text}");
        }
    }
}

/// The problems that a reader should know of.
fn told(event: &Event) -> Vec<&crate::cloudevents::Problem> {
    let problems = event.problems().iter();
    problems.filter(|p| p.severity != Severity::Info).collect()
}

fn time(millis: i64) -> String {
    Timestamp::from_millisecond(millis)
        .map_or_else(|_| "no time".to_owned(), |time| format!("{time:.3}"))
}

fn insert_bytes(line: &mut Map<String, Value>, name: &str, bytes: Option<&[u8]>) {
    let Some(bytes) = bytes else {
        return;
    };
    match std::str::from_utf8(bytes) {
        Ok(text) => line.insert(name.to_owned(), json!(text)),
        Err(_) => line.insert(format!("{name}Base64"), json!(STANDARD.encode(bytes))),
    };
}

/// Without what would steer a terminal.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read() {
        let time: Timestamp = "2026-11-22T02:00:00Z".parse().unwrap();
        let cases = [
            ("earliest", Some(Place::Earliest)),
            ("latest", Some(Place::Latest)),
            ("42", Some(Place::Offset(42))),
            ("-1", None),
            ("2026-11-22T02:00:00Z", Some(Place::Time(time))),
            ("2026-11-22T03:00:00+01:00", Some(Place::Time(time))),
            ("15m", Some(Place::Ago(Duration::from_mins(15)))),
            ("soon", None),
        ];
        for (text, expected) in cases {
            assert_eq!(place(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn a_terminal_is_not_steered() {
        assert_eq!(printable("a\u{1b}[2Jb\nc"), "a\u{fffd}[2Jb\u{fffd}c");
        assert_eq!(time(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
    }
}
