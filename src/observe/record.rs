//! One log line, understood as far as it lets itself be: JSON lines of apps
//! and of Dapr, or plain text.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use regex::bytes::Regex;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{self, Deserializer, MapAccess, SeqAccess};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use serde_json::Value;

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
        Self::named(text).ok_or_else(|| UnknownLevel(text.to_owned()))
    }
}

/// What loggers call the levels.
const NAMES: [(Level, &[&str]); 6] = [
    (Level::Info, &["info", "information", "notice", "inf"]),
    (Level::Debug, &["debug", "dbg"]),
    (Level::Warn, &["warn", "warning", "wrn"]),
    (Level::Error, &["error", "err"]),
    (Level::Trace, &["trace", "trc"]),
    (
        Level::Fatal,
        &["fatal", "critical", "crit", "panic", "emerg", "alert"],
    ),
];

impl Level {
    fn named(text: &str) -> Option<Self> {
        let found = NAMES.iter().find(|(_, names)| {
            let mut names = names.iter();
            names.any(|name| name.eq_ignore_ascii_case(text))
        });
        found.map(|(level, _)| *level)
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

/// A line. It borrows from the bytes that came: a busy service writes hundreds
/// of thousands.
#[derive(Debug, Clone, PartialEq)]
pub struct Record<'a> {
    /// How bad it is, if it says so.
    pub level: Option<Level>,
    /// What it says to people.
    pub message: Cow<'a, str>,
    /// Everything else that a JSON line says.
    pub fields: Fields<'a>,
}

/// As many fields as most lines have.
const FIELDS: usize = 12;

/// The fields of a JSON line in their order. A key that stands twice is there
/// twice, as some loggers write it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fields<'a>(Vec<(Cow<'a, str>, Field<'a>)>);

/// A field's value.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Field<'a> {
    /// Text.
    Text(Cow<'a, str>),
    /// Anything else.
    Other(Value),
}

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

impl<'a> Fields<'a> {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The keys and their values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Field<'a>)> {
        self.0.iter().map(|(key, value)| (key.as_ref(), value))
    }

    /// What counts of a key that stands twice is the last.
    fn get(&self, key: &str) -> Option<&Field<'a>> {
        let mut all = self.0.iter().rev();
        all.find(|(known, _)| known == key).map(|(_, value)| value)
    }

    /// Takes the last text of a key out.
    fn take_text(&mut self, key: &str) -> Option<Cow<'a, str>> {
        let is_text = |field: &Field<'_>| matches!(field, Field::Text(_));
        let mut all = self.0.iter();
        let at = all.rposition(|(known, field)| known == key && is_text(field))?;
        match self.0.remove(at).1 {
            Field::Text(text) => Some(text),
            Field::Other(_) => None,
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                #[derive(Deserialize)]
                struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

                let mut fields = Vec::with_capacity(FIELDS);
                while let Some((Key(key), value)) = map.next_entry()? {
                    fields.push((key, value));
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(Visitor)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Field<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Field<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Field<'de>, E> {
                Ok(Field::Text(text.into()))
            }

            fn visit_str<E>(self, text: &str) -> Result<Field<'de>, E> {
                Ok(Field::Text(text.to_owned().into()))
            }

            fn visit_bool<E>(self, value: bool) -> Result<Field<'de>, E> {
                Ok(Field::Other(value.into()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Field<'de>, E> {
                Ok(Field::Other(value.into()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Field<'de>, E> {
                Ok(Field::Other(value.into()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Field<'de>, E> {
                Ok(Field::Other(value.into()))
            }

            fn visit_unit<E>(self) -> Result<Field<'de>, E> {
                Ok(Field::Other(Value::Null))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Field<'de>, A::Error> {
                Value::deserialize(SeqAccessDeserializer::new(seq)).map(Field::Other)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Field<'de>, A::Error> {
                Value::deserialize(MapAccessDeserializer::new(map)).map(Field::Other)
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl<'a> Record<'a> {
    /// Understands a line.
    pub fn parse(line: &'a [u8]) -> Self {
        if line.first() == Some(&b'{')
            && let Ok(fields) = serde_json::from_slice(line)
        {
            return Self::structured(fields);
        }
        let text = String::from_utf8_lossy(line);
        Self {
            level: level_in_text(&text),
            message: text,
            fields: Fields::default(),
        }
    }

    fn structured(mut fields: Fields<'a>) -> Self {
        let mut levels = LEVEL_KEYS.iter();
        let level = levels.find_map(|key| level_of(fields.get(key)?));
        let mut texts = TEXT_KEYS.iter();
        let message = texts.find_map(|key| fields.take_text(key));
        let is_said =
            |key: &str| TIME_KEYS.contains(&key) || (level.is_some() && LEVEL_KEYS.contains(&key));
        fields.0.retain(|(key, _)| !is_said(key));
        Self {
            level,
            message: message.unwrap_or_default(),
            fields,
        }
    }

    /// A field by its path, `request.method`, as text; a key with dots in it
    /// is found as well.
    pub fn field(&self, path: &str) -> Option<Cow<'_, str>> {
        if let Some(field) = self.fields.get(path) {
            return Some(match field {
                Field::Text(text) => Cow::Borrowed(text),
                Field::Other(value) => value.to_string().into(),
            });
        }
        let mut words = path.split('.');
        let Field::Other(first) = self.fields.get(words.next()?)? else {
            return None;
        };
        let found = words.try_fold(first, |value, word| value.get(word))?;
        Some(match found {
            Value::String(text) => Cow::Borrowed(text),
            other => other.to_string().into(),
        })
    }
}

fn level_of(field: &Field<'_>) -> Option<Level> {
    match field {
        Field::Text(word) => Level::named(word),
        // bunyan and pino count: 10 trace, 20 debug, 30 info and so on.
        Field::Other(value) => match value.as_u64()? {
            10 => Some(Level::Trace),
            20 => Some(Level::Debug),
            30 => Some(Level::Info),
            40 => Some(Level::Warn),
            50 => Some(Level::Error),
            60 => Some(Level::Fatal),
            _ => None,
        },
    }
}

/// The level that a plain line begins with: `INFO:     127.0.0.1 - ...`,
/// `2026/11/22 02:03:04 [error] ...`, `level=warn msg=...`.
fn level_in_text(text: &str) -> Option<Level> {
    text.split_whitespace().take(4).find_map(|word| {
        let named = word.strip_prefix("level=");
        let word = named.unwrap_or(word);
        let bare = word.trim_matches(|c: char| !c.is_ascii_alphabetic());
        // Short words such as `err` and `inf` are too common in sentences.
        if bare.len() < 4 {
            return None;
        }
        let shouted = bare.bytes().all(|b| b.is_ascii_uppercase());
        let marked = named.is_some() || (word.contains('[') && word.contains(']'));
        (shouted || marked).then(|| Level::named(bare)).flatten()
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
    fn holds(&self, record: &Record<'_>) -> bool {
        let field = record.field(&self.path);
        field.is_some_and(|text| text == self.wanted)
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
    pub fn wants(&self, record: &Record<'_>) -> bool {
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
fn in_trace(record: &Record<'_>, trace: &str) -> bool {
    let texts = TRACE_KEYS.iter().filter_map(|key| record.field(key));
    let mut known = texts.peekable();
    match known.peek() {
        Some(_) => known.any(|text| text.contains(trace)) || record.message.contains(trace),
        None => true,
    }
}

fn contains(line: &[u8], wanted: &[u8]) -> bool {
    memchr::memmem::find(line, wanted).is_some()
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
                (record.level, record.message.as_ref()),
                (level, message),
                "{line}"
            );
        }
    }

    #[test]
    fn what_a_json_line_says_is_kept_as_it_is() {
        let line = r#"{"time":"x","level":"info","msg":"a \"b\"","n":1.5,"on":true,"none":null,
            "list":[1,"2"],"of":{"b":{"c":"d"}},"x.y":"z","level":"warn","n":2}"#;
        let record = Record::parse(line.as_bytes());
        assert_eq!(
            (record.level, record.message.as_ref()),
            (Some(Level::Warn), "a \"b\"")
        );
        assert_eq!(
            serde_json::to_string(&record.fields).unwrap(),
            r#"{"n":1.5,"on":true,"none":null,"list":[1,"2"],"of":{"b":{"c":"d"}},"x.y":"z","n":2}"#
        );
        let fields = ["n", "on", "none", "list", "of.b.c", "of.b", "x.y", "of.x"];
        let found = fields.map(|path| record.field(path).map(Cow::into_owned));
        assert_eq!(
            found.map(Option::unwrap_or_default),
            [
                "2",
                "true",
                "null",
                r#"[1,"2"]"#,
                "d",
                r#"{"c":"d"}"#,
                "z",
                ""
            ]
        );
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
