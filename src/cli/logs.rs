//! `todoctl logs`: what all replicas and sidecars write, as one stream.

use std::fmt::Write as _;
use std::time::Duration;
use std::{io, iter};

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use regex::bytes::Regex;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::error::{CliError, Result};
use super::exit::Exit;
use super::session::{Purpose, Session};
use super::settings::Settings;
use crate::observe::Source;
use crate::observe::follow::{self, Containers, Wanted};
use crate::observe::merge::{Merge, Sink};
use crate::observe::record::{Condition, Field, Fields, Filter, Level, Record};
use crate::profile::Profile;
use crate::ui::{Format, Paint, Style, Ui};

/// The label of the chart that names a pod's service.
const SERVICE_LABEL: &str = "app.kubernetes.io/name";
const RELEASE_LABEL: &str = "app.kubernetes.io/instance";
/// How many lanes may wait to be merged.
const LANES: usize = 16;
/// What is held back until there is nothing more at hand, or this much.
const BUFFER: usize = 64 * 1024;

/// Show the logs of all replicas and sidecars, in order of time
#[derive(Debug, Clone, Args)]
pub struct LogsArgs {
    /// The service; all of them by default
    pub service: Option<String>,
    /// Go on: across restarts, and with pods that come later
    #[arg(short, long)]
    pub follow: bool,
    /// Not what is older, for instance 10m
    #[arg(long, value_name = "DURATION", value_parser = super::args::duration)]
    pub since: Option<Duration>,
    /// Only this many lines of each container
    #[arg(long, value_name = "LINES")]
    pub tail: Option<u32>,
    /// Only the Dapr sidecars
    #[arg(long, conflicts_with = "app")]
    pub sidecar: bool,
    /// Only the app's own containers
    #[arg(long)]
    pub app: bool,
    /// Only what is at least this bad: trace, debug, info, warn, error, fatal
    #[arg(long)]
    pub level: Option<Level>,
    /// Only lines that match this regular expression
    #[arg(long, value_name = "REGEX")]
    pub grep: Option<Regex>,
    /// Only JSON lines with this field; may be repeated
    #[arg(long = "where", value_name = "KEY=VALUE")]
    pub conditions: Vec<Condition>,
    /// Only lines of this trace
    #[arg(long, value_name = "ID")]
    pub trace: Option<String>,
}

impl LogsArgs {
    fn filter(&self) -> Filter {
        Filter {
            level: self.level,
            grep: self.grep.clone(),
            conditions: self.conditions.clone(),
            trace: self.trace.clone(),
        }
    }

    fn containers(&self) -> Containers {
        match (self.sidecar, self.app) {
            (true, _) => Containers::Sidecar,
            (_, true) => Containers::App,
            _ => Containers::All,
        }
    }

    fn wanted(&self, profile: &Profile, now: Timestamp) -> Wanted {
        let mut selector = format!("{RELEASE_LABEL}={}", profile.app.release);
        if let Some(service) = &self.service {
            let _ = write!(selector, ",{SERVICE_LABEL}={service}");
        }
        let ago = self
            .since
            .and_then(|since| SignedDuration::try_from(since).ok());
        Wanted {
            namespace: profile.app.namespace.to_string(),
            selector,
            service_label: SERVICE_LABEL.to_owned(),
            containers: self.containers(),
            follow: self.follow,
            since: ago.and_then(|ago| now.checked_sub(ago).ok()),
            tail: self.tail.map(i64::from),
        }
    }
}

/// Prints the logs.
pub(super) async fn run(settings: &Settings, args: &LogsArgs, cancel: CancellationToken) -> Result {
    let session = Session::open(settings, cancel.clone(), Purpose::TearDown).await?;
    known_service(args, &session.profile)?;
    let kube = session.kube().await?;
    let wanted = args.wanted(&session.profile, session.clock.now());
    let (lanes, fresh) = mpsc::channel(LANES);
    let (notes, mut noted) = mpsc::unbounded_channel();
    let mut printer = Printer::new(&settings.ui, args.filter());
    let merge = Merge::new(fresh, args.follow, session.clock.clone());
    let read = follow::run(&kube, &wanted, lanes, &notes);
    let tell = async {
        while let Some(note) = noted.recv().await {
            settings.ui.warn(&note);
        }
    };
    let both = async { tokio::join!(read, merge.run(&mut printer)) };
    let (read, merged) = tokio::select! {
        ended = both => ended,
        () = cancel.cancelled() => return Ok(Exit::Done),
        () = tell => return Ok(Exit::Done),
    };
    match merged {
        // `logs | head` has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Exit::Done),
        other => other?,
    }
    read.map_err(|error| CliError::failed("cannot read the logs").caused_by(&error))?;
    if printer.seen == 0 && !args.follow {
        settings.ui.say(&format!(
            "No pod of {} has written anything.",
            args.service.as_deref().unwrap_or("the app")
        ));
    }
    Ok(Exit::Done)
}

fn known_service(args: &LogsArgs, profile: &Profile) -> Result<()> {
    let Some(service) = &args.service else {
        return Ok(());
    };
    let names: Vec<_> = profile
        .app
        .services
        .iter()
        .map(|s| s.name.as_str())
        .collect();
    if names.contains(&service.as_str()) || profile.app.chart.is_some() {
        return Ok(());
    }
    Err(
        CliError::usage(format!("the profile has no service `{service}`"))
            .hint(format!("it has {}", names.join(", "))),
    )
}

/// A line with `-o json`.
#[derive(Serialize)]
struct Document<'a> {
    time: Timestamp,
    service: &'a str,
    pod: &'a str,
    container: &'a str,
    level: Option<Level>,
    message: &'a str,
    #[serde(skip_serializing_if = "Fields::is_empty")]
    fields: &'a Fields<'a>,
}

/// Prints the lines that are wanted.
struct Printer<'a> {
    ui: &'a Ui,
    paint: Paint,
    json: bool,
    filter: Filter,
    held: String,
    /// How many lines there were, wanted or not.
    seen: u64,
}

impl<'a> Printer<'a> {
    fn new(ui: &'a Ui, filter: Filter) -> Self {
        Self {
            ui,
            paint: ui.paint(),
            json: ui.options().format != Format::Text,
            filter,
            held: String::new(),
            seen: 0,
        }
    }

    fn text(&mut self, source: &Source, time: Timestamp, record: &Record<'_>) {
        let held = &mut self.held;
        self.paint.write(held, Style::Dim, |held| {
            push_time(held, time);
            for word in [&source.service, source.short_pod()] {
                held.push(' ');
                held.push_str(word);
            }
            if source.is_sidecar() {
                held.push_str(" daprd");
            }
        });
        held.push(' ');
        if let Some(level) = record.level {
            let style = match level {
                Level::Trace | Level::Debug => Style::Dim,
                Level::Info => Style::Good,
                Level::Warn => Style::Warning,
                Level::Error | Level::Fatal => Style::Bad,
            };
            let word = level.word();
            self.paint.write(held, style, |held| {
                held.push_str(word);
                held.extend(iter::repeat_n(' ', 5 - word.len()));
            });
            held.push(' ');
        }
        push_harmless(held, &record.message);
        for (key, value) in record.fields.iter() {
            held.push(' ');
            push_harmless(held, key);
            held.push('=');
            match value {
                Field::Text(text) => push_harmless(held, text),
                Field::Other(value) => push_harmless(held, &value.to_string()),
            }
        }
        held.push('\n');
    }
}

impl Sink for Printer<'_> {
    fn line(&mut self, source: &Source, time: Timestamp, line: &[u8]) -> io::Result<()> {
        self.seen += 1;
        if !self.filter.wants_raw(line) {
            return Ok(());
        }
        let record = Record::parse(line);
        if !self.filter.wants(&record) {
            return Ok(());
        }
        if self.json {
            let document = Document {
                time,
                service: &source.service,
                pod: &source.pod,
                container: &source.container,
                level: record.level,
                message: &record.message,
                fields: &record.fields,
            };
            self.held.push_str(&serde_json::to_string(&document)?);
            self.held.push('\n');
        } else {
            self.text(source, time, &record);
        }
        if self.held.len() > BUFFER {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.held.is_empty() {
            self.ui.data(&self.held)?;
            self.held.clear();
        }
        Ok(())
    }
}

/// Appends a time of day, `02:03:04.567`: by hand, because it is done for each
/// line.
fn push_time(to: &mut String, time: Timestamp) {
    let second = time.as_second().rem_euclid(24 * 3600);
    let parts = [
        (second / 3600, ':'),
        (second / 60 % 60, ':'),
        (second % 60, '.'),
    ];
    let digit = |n: i64| char::from_digit(u32::try_from(n % 10).unwrap_or(0), 10).unwrap_or('0');
    for (number, after) in parts {
        to.extend([digit(number / 10), digit(number), after]);
    }
    let millis = i64::from(time.subsec_millisecond());
    to.extend([digit(millis / 100), digit(millis / 10), digit(millis)]);
}

/// Appends text that somebody else wrote: escape sequences could move the
/// cursor, change the window's title, or worse.
fn push_harmless(to: &mut String, text: &str) {
    // C2 begins the control characters beyond ASCII.
    let suspicious = |b: u8| b < b' ' || b == 0x7f || b == 0xc2;
    if !text.bytes().any(suspicious) {
        return to.push_str(text);
    }
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\u{1b}' if rest.peek() == Some(&'[') => {
                rest.next();
                while rest.next().is_some_and(|c| !('@'..='~').contains(&c)) {}
            }
            '\t' => to.push('\t'),
            c if c.is_control() => {}
            c => to.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_day_is_written_as_the_library_writes_it() {
        for nanos in [0, 1_000_000, 1_763_776_984_567_999_999] {
            let time = Timestamp::from_nanosecond(nanos).unwrap();
            let mut out = String::new();
            push_time(&mut out, time);
            assert_eq!(out, time.strftime("%H:%M:%S%.3f").to_string());
        }
    }

    #[test]
    fn what_others_wrote_moves_no_cursor() {
        let table = [
            ("plain\ttext", "plain\ttext"),
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("\u{1b}]0;title\u{7}x", "]0;titlex"),
            ("back\u{8}space\r", "backspace"),
            ("\u{1b}[", ""),
            ("grün\u{9b}31m ©", "grün31m ©"),
        ];
        for (text, shown) in table {
            let mut out = String::new();
            push_harmless(&mut out, text);
            assert_eq!(out, shown);
        }
    }
}
