//! CloudEvents 1.0 and W3C trace context: the one reader and judge of events.
//!
//! Reads the JSON format (cloudevents/spec, `json-format.md`) and the binary
//! mode of the Kafka binding, and lists what breaks the rules with the path of
//! the field. It is lenient exactly where Dapr's envelope differs from the
//! letter: empty `traceid`, `traceparent` and `tracestate`, and a `traceid`
//! that repeats the whole `traceparent`. It neither sends nor stores anything.

mod trace;

pub use trace::{TraceParent, check_tracestate};

use std::fmt;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use regex::Regex;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::finding::Severity;

/// What every intermediary must be able to forward.
pub const SAFE_SIZE: usize = 64 * 1024;

/// The media type of one event in JSON.
pub const MEDIA_TYPE: &str = "application/cloudevents+json";

/// One rule that an event breaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// How bad it is. An event without errors is valid.
    pub severity: Severity,
    /// The field, for instance `time` or `data`; empty for the whole event.
    pub path: String,
    /// What is wrong, as a fragment.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => write!(f, "{}: {}", self.severity, self.text),
            path => write!(f, "{}: `{path}` {}", self.severity, self.text),
        }
    }
}

/// An event as it came, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Event {
    fields: Map<String, Value>,
    problems: Vec<Problem>,
}

impl Event {
    /// Reads an event in the JSON format.
    pub fn from_json(bytes: &[u8]) -> Self {
        let mut judge = Judge::default();
        if bytes.len() > SAFE_SIZE {
            let text = format!(
                "is {} bytes long; up to {SAFE_SIZE} pass everywhere",
                bytes.len()
            );
            judge.warn("", text);
        }
        let fields = match serde_json::from_slice(bytes) {
            Ok(Value::Object(fields)) => fields,
            Ok(Value::Array(_)) => return judge.alone("a batch of events, where one belongs"),
            Ok(_) => return judge.alone("JSON, but no object"),
            Err(error) => return judge.alone(format!("no JSON ({error})")),
        };
        judge.fields(&fields);
        Self {
            fields,
            problems: judge.0,
        }
    }

    /// Judges an event that is a JSON object already.
    pub fn from_fields(fields: Map<String, Value>) -> Self {
        let mut judge = Judge::default();
        judge.fields(&fields);
        Self {
            fields,
            problems: judge.0,
        }
    }

    /// Reads an event out of a Kafka record: headers `ce_…` make it the binary
    /// mode, anything else is taken for JSON, because Dapr promises no header.
    pub fn from_record<'a>(
        headers: impl Iterator<Item = (&'a str, Option<&'a [u8]>)>,
        value: &[u8],
    ) -> Self {
        let mut fields = Map::new();
        let mut content_type = None;
        for (name, content) in headers {
            let text = content.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
            if let Some(attribute) = name.strip_prefix("ce_") {
                fields.insert(attribute.to_owned(), text.into());
            } else if name.eq_ignore_ascii_case("content-type") {
                content_type = text;
            }
        }
        if !fields.contains_key("specversion") {
            return Self::from_json(value);
        }
        let json = content_type.as_deref().is_none_or(is_json);
        if let Some(content_type) = content_type {
            fields.insert("datacontenttype".to_owned(), content_type.into());
        }
        let parsed = json.then(|| serde_json::from_slice(value).ok()).flatten();
        let (name, data) = match (parsed, std::str::from_utf8(value)) {
            (Some(data), _) => ("data", data),
            (None, Ok(text)) => ("data", text.into()),
            (None, Err(_)) => ("data_base64", STANDARD.encode(value).into()),
        };
        fields.insert(name.to_owned(), data);
        Self::from_fields(fields)
    }

    /// What is wrong with it, errors first.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Whether it obeys every rule that counts.
    pub fn is_valid(&self) -> bool {
        self.problems.iter().all(|p| p.severity != Severity::Error)
    }

    /// The whole event.
    pub fn fields(&self) -> &Map<String, Value> {
        &self.fields
    }

    /// A text attribute, unless it is empty.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        let text = self.fields.get(name)?.as_str()?;
        Some(text).filter(|text| !text.is_empty())
    }

    /// What makes it unique together with its source.
    pub fn id(&self) -> Option<&str> {
        self.attribute("id")
    }

    /// Who made it.
    pub fn source(&self) -> Option<&str> {
        self.attribute("source")
    }

    /// What happened.
    pub fn kind(&self) -> Option<&str> {
        self.attribute("type")
    }

    /// Source and identifier: a repeat of both is the same event again.
    pub fn identity(&self) -> Option<(&str, &str)> {
        Some((self.source()?, self.id()?))
    }

    /// Its content, unless that is binary.
    pub fn data(&self) -> Option<&Value> {
        self.fields.get("data")
    }

    /// The trace that it belongs to.
    pub fn trace(&self) -> Option<TraceParent> {
        ["traceparent", "traceid"]
            .iter()
            .find_map(|name| self.attribute(name)?.parse().ok())
    }

    /// The task that it is about: `task_id`, `taskId`, `task.id` or `id` of
    /// its content.
    pub fn task(&self) -> Option<String> {
        let data = self.data()?;
        let places = [
            data.get("task_id"),
            data.get("taskId"),
            data.get("task").and_then(|task| task.get("id")),
            data.get("id"),
        ];
        places.into_iter().flatten().find_map(|value| match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        })
    }
}

/// The lower-case names of attributes that the specification defines.
const REQUIRED: [&str; 4] = ["specversion", "id", "source", "type"];

/// Attributes that Dapr writes empty when tracing is off.
const TRACE: [&str; 3] = ["traceid", "traceparent", "tracestate"];

#[derive(Default)]
struct Judge(Vec<Problem>);

impl Judge {
    fn say(&mut self, severity: Severity, path: &str, text: impl Into<String>) {
        self.0.push(Problem {
            severity,
            path: path.to_owned(),
            text: text.into(),
        });
    }

    fn error(&mut self, path: &str, text: impl Into<String>) {
        self.say(Severity::Error, path, text);
    }

    fn warn(&mut self, path: &str, text: impl Into<String>) {
        self.say(Severity::Warning, path, text);
    }

    /// Nothing but one error.
    fn alone(mut self, text: impl Into<String>) -> Event {
        self.error("", text);
        self.0.sort_by_key(|problem| problem.severity);
        Event {
            fields: Map::new(),
            problems: self.0,
        }
    }

    fn fields(&mut self, fields: &Map<String, Value>) {
        for name in REQUIRED {
            match fields.get(name) {
                None | Some(Value::Null) => self.error(name, "is missing"),
                Some(Value::String(text)) if text.is_empty() => self.error(name, "is empty"),
                Some(Value::String(_)) => {}
                Some(_) => self.error(name, "is no text"),
            }
        }
        for (name, value) in fields {
            if matches!(name.as_str(), "data" | "data_base64") || value.is_null() {
                continue;
            }
            self.name(name);
            self.value(name, value);
            if let Value::String(text) = value {
                self.meaning(name, text);
            } else if is_text_attribute(name) {
                self.error(name, "is no text");
            }
        }
        self.traces(fields);
        self.data(fields);
        self.0.sort_by_key(|problem| problem.severity);
    }

    fn name(&mut self, name: &str) {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        if name.is_empty() || !name.bytes().all(plain) {
            self.error(name, "is no attribute name: only a-z and 0-9 are allowed");
        } else if name.len() > 20 {
            self.warn(name, "is a name of more than 20 characters");
        } else if name.starts_with(|c: char| c.is_ascii_digit()) {
            self.warn(name, "is a name that begins with a digit");
        }
    }

    fn value(&mut self, name: &str, value: &Value) {
        match value {
            Value::String(text) => {
                if let Some(c) = text.chars().find(|c| is_forbidden(*c)) {
                    self.error(name, format!("holds the character U+{:04X}", u32::from(c)));
                }
            }
            Value::Number(number) => {
                let small = number.as_i64().is_some_and(|n| i32::try_from(n).is_ok());
                if !small {
                    self.error(name, "is no whole number of 32 bits");
                }
            }
            Value::Bool(_) | Value::Null => {}
            Value::Array(_) | Value::Object(_) => {
                self.error(name, "is a list or an object; attributes are simple values");
            }
        }
    }

    fn meaning(&mut self, name: &str, text: &str) {
        match name {
            "specversion" if text != "1.0" && !text.is_empty() => {
                self.error(name, "is not `1.0`");
            }
            "source" if !is_uri_reference(text) => self.error(name, "is no URI reference"),
            "subject" if text.is_empty() => self.error(name, "is empty; leave it out instead"),
            "dataschema" if url::Url::parse(text).is_err() => {
                self.error(name, "is no absolute URI");
            }
            "datacontenttype" if !is_media_type(text) => self.error(name, "is no media type"),
            "time" | "expiration" if !is_rfc3339(text) => {
                self.error(name, "is no RFC 3339 time, such as 2026-11-22T02:00:00Z");
            }
            _ => {}
        }
    }

    fn traces(&mut self, fields: &Map<String, Value>) {
        let text = |name: &str| fields.get(name).and_then(Value::as_str);
        for name in TRACE.iter().filter(|name| text(name) == Some("")) {
            match *name {
                // Dapr writes it into every event, and hardly anybody fills it.
                "tracestate" => self.say(Severity::Info, name, "is empty"),
                _ => self.warn(name, "is empty: the sender does not trace"),
            }
        }
        let parent = text("traceparent").filter(|text| !text.is_empty());
        if let Some(parent) = parent {
            match parent.parse::<TraceParent>() {
                Ok(_) => {}
                Err(trace::BadTrace::Zero) => self.warn("traceparent", "belongs to no trace"),
                Err(error) => self.error("traceparent", error.to_string()),
            }
        }
        if let Some(state) = text("tracestate").filter(|text| !text.is_empty())
            && let Err(error) = check_tracestate(state)
        {
            self.warn("tracestate", error.to_string());
        }
        let id = text("traceid").filter(|text| !text.is_empty());
        if let (Some(id), Some(parent)) = (id, parent) {
            let trace = parent.parse::<TraceParent>().map(|parent| parent.trace);
            if id != parent && trace.is_ok_and(|trace| trace != id) {
                self.warn("traceid", "is another trace than `traceparent`");
            }
        }
    }

    fn data(&mut self, fields: &Map<String, Value>) {
        let data = fields.get("data");
        let binary = fields.get("data_base64").filter(|value| !value.is_null());
        if data.is_some() && binary.is_some() {
            self.error("data_base64", "stands beside `data`; only one may be there");
        }
        if let Some(binary) = binary {
            let fits = binary
                .as_str()
                .is_some_and(|text| STANDARD.decode(text).is_ok());
            if !fits {
                self.error("data_base64", "is no base64 text with padding");
            }
        }
        let content_type = fields.get("datacontenttype").and_then(Value::as_str);
        let json = content_type.is_none_or(is_json);
        match data {
            Some(Value::String(_)) if json && content_type.is_some() => self.warn(
                "data",
                "is a text although `datacontenttype` is JSON: what was published was no JSON",
            ),
            Some(Value::String(_) | Value::Null) | None => {}
            Some(_) if !json => {
                self.error("data", "is no text although `datacontenttype` is not JSON");
            }
            Some(_) => {}
        }
    }
}

fn is_text_attribute(name: &str) -> bool {
    TRACE.contains(&name)
        || [
            "time",
            "subject",
            "dataschema",
            "datacontenttype",
            "expiration",
        ]
        .contains(&name)
}

/// Control characters and the code points that never become characters.
fn is_forbidden(c: char) -> bool {
    let code = u32::from(c);
    c.is_control() || (0xFDD0..=0xFDEF).contains(&code) || code & 0xFFFE == 0xFFFE
}

/// Whether a media type is JSON: `application/json`, `*/json`, `*+json`.
pub fn is_json(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    let essence = essence.to_ascii_lowercase();
    essence
        .split_once('/')
        .is_some_and(|(_, subtype)| subtype == "json" || subtype.ends_with("+json"))
}

fn matches(pattern: &LazyLock<Option<Regex>>, text: &str) -> bool {
    pattern.as_ref().is_some_and(|regex| regex.is_match(text))
}

fn is_media_type(text: &str) -> bool {
    static PATTERN: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let token = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+";
        let quoted = r#""(?:[^"\\]|\\.)*""#;
        let parameter = format!(r"\s*;\s*{token}=(?:{token}|{quoted})");
        Regex::new(&format!(r"^{token}/{token}(?:{parameter})*\s*;?$")).ok()
    });
    matches(&PATTERN, text)
}

/// The shape of RFC 3339, then whether there is such a moment.
fn is_rfc3339(text: &str) -> bool {
    static PATTERN: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let pattern = r"^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$";
        Regex::new(pattern).ok()
    });
    if !matches(&PATTERN, text) {
        return false;
    }
    // More digits of a second than a clock has are allowed, and mean nothing.
    let cut: String = match text.find('.') {
        Some(dot) => {
            let (head, rest) = text.split_at(dot);
            let zone = rest.find(['Z', 'z', '+', '-']).unwrap_or(rest.len());
            format!("{head}{}", &rest[zone..])
        }
        None => text.to_owned(),
    };
    cut.parse::<jiff::Timestamp>().is_ok()
}

/// RFC 3986: the characters that a reference may be made of.
fn is_uri_reference(text: &str) -> bool {
    static PATTERN: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let pattern = r"^(?:[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})+$";
        Regex::new(pattern).ok()
    });
    // Emptiness is told as such.
    text.is_empty() || matches(&PATTERN, text)
}

#[cfg(test)]
mod tests;
