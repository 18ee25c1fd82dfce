//! `todoctl logs`: what all replicas and sidecars write, as one stream.

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use regex::bytes::Regex;
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::error::{CliError, Result};
use super::exit::Exit;
use super::session::{Purpose, Session};
use super::settings::Settings;
use crate::observe::Source;
use crate::observe::follow::{self, Containers, Wanted};
use crate::observe::merge::{Merge, Sink};
use crate::observe::record::{Condition, Filter, Level, Record};
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
    #[serde(skip_serializing_if = "Map::is_empty")]
    fields: &'a Map<String, Value>,
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

    fn text(&mut self, source: &Source, time: Timestamp, record: &Record) {
        let clock = time.strftime("%H:%M:%S%.3f");
        let whom = format!("{} {}", source.service, source.short_pod());
        let container = if source.is_sidecar() { " daprd" } else { "" };
        let head = format!("{clock} {whom}{container}");
        self.held.push_str(&self.paint.apply(Style::Dim, &head));
        self.held.push(' ');
        if let Some(level) = record.level {
            let style = match level {
                Level::Trace | Level::Debug => Style::Dim,
                Level::Info => Style::Good,
                Level::Warn => Style::Warning,
                Level::Error | Level::Fatal => Style::Bad,
            };
            let word = format!("{:<5}", level.word());
            self.held.push_str(&self.paint.apply(style, &word));
            self.held.push(' ');
        }
        push_harmless(&mut self.held, &record.message);
        for (key, value) in &record.fields {
            let value = match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            self.held.push(' ');
            push_harmless(&mut self.held, &format!("{key}={value}"));
        }
        self.held.push('\n');
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

/// Appends text that somebody else wrote: escape sequences could move the
/// cursor, change the window's title, or worse.
fn push_harmless(to: &mut String, text: &str) {
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
    fn what_others_wrote_moves_no_cursor() {
        let table = [
            ("plain\ttext", "plain\ttext"),
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("\u{1b}]0;title\u{7}x", "]0;titlex"),
            ("back\u{8}space\r", "backspace"),
            ("\u{1b}[", ""),
        ];
        for (text, shown) in table {
            let mut out = String::new();
            push_harmless(&mut out, text);
            assert_eq!(out, shown);
        }
    }
}
