//! One log line, understood as far as it lets itself be: JSON lines of apps
//! and of Dapr, or plain text.

use std::str::FromStr;

use regex::bytes::Regex;
use serde::Serialize;
use serde_json::{Map, Value};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Everything.
    Trace,
    /// For developers.
    Debug,
    /// What happens.
    Info,
    /// What may become a failure.
    Warn,
    /// A failure.
    Error,
    /// The end.
    Fatal,
}

impl Level {
    /// The word for it, as wide as the others.
    pub fn word(self) -> &'static str {
        match self {
            Self::Trace => "TRACE",
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
        }
    }
}

/// A word that is no level.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is none of trace, debug, info, warn, error, fatal")]
pub struct UnknownLevel(String);

impl FromStr for Level {
    type Err = UnknownLevel;

    fn from_str(text: &str) -> Result<Self, UnknownLevel> {
        Ok(match text.to_ascii_lowercase().as_str() {
            "trace" | "trc" => Self::Trace,
            "debug" | "dbg" => Self::Debug,
            "info" | "information" | "notice" | "inf" => Self::Info,
            "warn" | "warning" | "wrn" => Self::Warn,
            "error" | "err" => Self::Error,
            "fatal" | "critical" | "crit" | "panic" | "emerg" | "alert" => Self::Fatal,
            _ => return Err(UnknownLevel(text.to_owned())),
        })
    }
}

/// The names under which loggers put the level, the text and the trace.
const LEVEL_KEYS: [&str; 4] = ["level", "severity", "levelname", "log_level"];
const TEXT_KEYS: [&str; 4] = ["msg", "message", "event", "log"];
const TRACE_KEYS: [&str; 6] = [
    "trace_id",
    "traceId",
    "traceid",
    "traceparent",
    "trace",
    "correlation_id",
];
/// Said by the line already, or by the columns before it.
const TIME_KEYS: [&str; 5] = ["time", "timestamp", "ts", "@timestamp", "asctime"];

/// A line.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// How bad it is, if it says so.
    pub level: Option<Level>,
    /// What it says to people.
    pub message: String,
    /// Everything else that a JSON line says.
    pub fields: Map<String, Value>,
}

impl Record {
    /// Understands a line.
    pub fn parse(line: &[u8]) -> Self {
        if line.first() == Some(&b'{')
            && let Ok(Value::Object(fields)) = serde_json::from_slice(line)
        {
            return Self::structured(fields);
        }
        let text = String::from_utf8_lossy(line).into_owned();
        Self {
            level: level_in_text(&text),
            message: text,
            fields: Map::new(),
        }
    }

    fn structured(mut fields: Map<String, Value>) -> Self {
        let level = LEVEL_KEYS
            .iter()
            .find_map(|key| level_of(fields.get(*key)?));
        let text = TEXT_KEYS
            .iter()
            .find(|key| fields.get(**key).is_some_and(Value::is_string));
        let message = match text.and_then(|key| fields.shift_remove(*key)) {
            Some(Value::String(text)) => text,
            _ => String::new(),
        };
        if level.is_some() {
            LEVEL_KEYS
                .iter()
                .for_each(|key| drop(fields.shift_remove(*key)));
        }
        TIME_KEYS
            .iter()
            .for_each(|key| drop(fields.shift_remove(*key)));
        Self {
            level,
            message,
            fields,
        }
    }

    /// A field by its path, `request.method`; a key with dots in it is found
    /// as well.
    pub fn field(&self, path: &str) -> Option<&Value> {
        if let Some(value) = self.fields.get(path) {
            return Some(value);
        }
        let mut words = path.split('.');
        let first = self.fields.get(words.next()?)?;
        words.try_fold(first, |value, word| value.get(word))
    }
}

fn level_of(value: &Value) -> Option<Level> {
    match value {
        Value::String(word) => word.parse().ok(),
        // bunyan and pino count: 10 trace, 20 debug, 30 info and so on.
        Value::Number(number) => match number.as_u64()? {
            10 => Some(Level::Trace),
            20 => Some(Level::Debug),
            30 => Some(Level::Info),
            40 => Some(Level::Warn),
            50 => Some(Level::Error),
            60 => Some(Level::Fatal),
            _ => None,
        },
        _ => None,
    }
}

/// The level that a plain line begins with: `INFO:     127.0.0.1 - ...`,
/// `2026/11/22 02:03:04 [error] ...`, `level=warn msg=...`.
fn level_in_text(text: &str) -> Option<Level> {
    text.split_whitespace().take(4).find_map(|word| {
        let word = word.strip_prefix("level=").unwrap_or(word);
        let word = word.trim_matches(|c: char| !c.is_ascii_alphabetic());
        // Short words such as `err` and `inf` are too common in sentences.
        if word.len() < 4 {
            return None;
        }
        let shouted = word.chars().all(|c| c.is_ascii_uppercase());
        let marked = text.contains(&format!("[{word}]")) || text.contains(&format!("level={word}"));
        (shouted || marked).then(|| word.parse().ok()).flatten()
    })
}

/// `--where key=value`: a field of a JSON line must have this value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    path: String,
    wanted: String,
}

/// Text that is no condition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not KEY=VALUE")]
pub struct NotACondition(String);

impl FromStr for Condition {
    type Err = NotACondition;

    fn from_str(text: &str) -> Result<Self, NotACondition> {
        match text.split_once('=') {
            Some((path, wanted)) if !path.is_empty() => Ok(Self {
                path: path.to_owned(),
                wanted: wanted.to_owned(),
            }),
            _ => Err(NotACondition(text.to_owned())),
        }
    }
}

impl Condition {
    fn holds(&self, record: &Record) -> bool {
        match record.field(&self.path) {
            Some(Value::String(text)) => *text == self.wanted,
            Some(value) => *value == self.wanted,
            None => false,
        }
    }
}

/// Which lines are wanted. All that is asked for must hold.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// At least this bad. A line that says nothing about it counts as info.
    pub level: Option<Level>,
    /// The raw line matches.
    pub grep: Option<Regex>,
    /// Fields of the line.
    pub conditions: Vec<Condition>,
    /// The line belongs to this trace, or names it.
    pub trace: Option<String>,
}

impl Filter {
    /// Whether lines have to be understood to tell.
    pub fn reads_lines(&self) -> bool {
        self.level.is_some() || !self.conditions.is_empty()
    }

    /// What can be told from the raw line, which costs little.
    pub fn wants_raw(&self, line: &[u8]) -> bool {
        self.grep.as_ref().is_none_or(|grep| grep.is_match(line))
            && self
                .trace
                .as_ref()
                .is_none_or(|trace| contains(line, trace.as_bytes()))
    }

    /// What can be told from the line's content only.
    pub fn wants(&self, record: &Record) -> bool {
        let bad = |least| record.level.unwrap_or(Level::Info) >= least;
        self.level.is_none_or(bad)
            && self
                .conditions
                .iter()
                .all(|condition| condition.holds(record))
            && self
                .trace
                .as_ref()
                .is_none_or(|trace| in_trace(record, trace))
    }
}

/// Whether a trace's field holds it, or else the message.
fn in_trace(record: &Record, trace: &str) -> bool {
    let texts = TRACE_KEYS
        .iter()
        .filter_map(|key| record.field(key)?.as_str());
    let mut known = texts.peekable();
    match known.peek() {
        Some(_) => known.any(|text| text.contains(trace)) || record.message.contains(trace),
        None => true,
    }
}

fn contains(line: &[u8], wanted: &[u8]) -> bool {
    wanted.is_empty() || line.windows(wanted.len()).any(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_says_how_bad_it_is_in_many_ways() {
        let table = [
            (
                r#"{"level":"info","msg":"app is subscribed"}"#,
                Some(Level::Info),
                "app is subscribed",
            ),
            (
                r#"{"levelname":"WARNING","message":"slow"}"#,
                Some(Level::Warn),
                "slow",
            ),
            (
                r#"{"severity":"CRITICAL","event":"gone"}"#,
                Some(Level::Fatal),
                "gone",
            ),
            (r#"{"level":50,"msg":"no"}"#, Some(Level::Error), "no"),
            (r#"{"a":1}"#, None, ""),
            (
                "INFO:     127.0.0.1 - \"GET / HTTP/1.1\"",
                Some(Level::Info),
                "INFO:     127.0.0.1 - \"GET / HTTP/1.1\"",
            ),
            (
                "2026/11/22 02:03:04 [error] 7#7: *1 connect() failed",
                Some(Level::Error),
                "2026/11/22 02:03:04 [error] 7#7: *1 connect() failed",
            ),
            ("level=warn msg=x", Some(Level::Warn), "level=warn msg=x"),
            ("the error was mine", None, "the error was mine"),
            ("{not json", None, "{not json"),
        ];
        for (line, level, message) in table {
            let record = Record::parse(line.as_bytes());
            assert_eq!(
                (record.level, record.message.as_str()),
                (level, message),
                "{line}"
            );
        }
    }

    #[test]
    fn a_filter_wants_all_that_it_was_asked() {
        let line = br#"{"level":"warn","msg":"task created","task":{"id":"t-7"},"n":3,"traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}"#;
        let record = Record::parse(line);
        let wants = |filter: &Filter| filter.wants_raw(line) && filter.wants(&record);
        let with = |texts: &[&str]| Filter {
            conditions: texts.iter().map(|text| text.parse().unwrap()).collect(),
            ..Filter::default()
        };
        assert!(wants(&with(&["task.id=t-7", "n=3"])));
        assert!(!wants(&with(&["task.id=t-7", "n=4"])));
        assert!(!wants(&with(&["task.none=t-7"])));
        for (level, wanted) in [
            (Level::Info, true),
            (Level::Warn, true),
            (Level::Error, false),
        ] {
            assert_eq!(
                wants(&Filter {
                    level: Some(level),
                    ..Filter::default()
                }),
                wanted
            );
        }
        for (trace, wanted) in [
            ("4bf92f3577b34da6a3ce929d0e0e4736", true),
            ("4bf92f3577b34da6a3ce929d0e0e4737", false),
        ] {
            assert_eq!(
                wants(&Filter {
                    trace: Some(trace.to_owned()),
                    ..Filter::default()
                }),
                wanted
            );
        }
        for (grep, wanted) in [("task (created|deleted)", true), ("^task", false)] {
            assert_eq!(
                wants(&Filter {
                    grep: Some(Regex::new(grep).unwrap()),
                    ..Filter::default()
                }),
                wanted
            );
        }
    }

    #[test]
    fn conditions_and_levels_are_checked_when_typed() {
        assert_eq!(
            "=x".parse::<Condition>(),
            Err(NotACondition("=x".to_owned()))
        );
        assert_eq!(
            "loud".parse::<Level>(),
            Err(UnknownLevel("loud".to_owned()))
        );
    }

    proptest! {
        #[test]
        fn any_line_is_a_record(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            Record::parse(&bytes);
        }
    }
}
