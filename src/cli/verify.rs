//! `todoctl verify` and `todoctl explain`: proof that the deployment works, and
//! what a check means.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::error::{CliError, Result};
use super::exit::Exit;
use super::session::{Purpose, Session};
use super::settings::Settings;
use crate::backbone;
use crate::clock::Clock;
use crate::files;
use crate::k8s::{Kube, Patience};
use crate::net::{HttpBuilder, Trust};
use crate::profile::Profile;
use crate::ui::{Format, Paint, Progress, Style};
use crate::verify::scope::Scope;
use crate::verify::{self, Outcome, Report, Soak, Status, Suite, Ways, World};

/// How long `--watch` rests between two runs.
const REST: Duration = Duration::from_secs(10);
/// A run that takes longer than this tells what it does.
const QUIET: Duration = Duration::from_millis(700);
/// Whoever looks wants to know what is, not what will be in minutes.
const PATIENCE: Patience = Patience {
    attempt: Duration::from_secs(5),
    retry: Duration::from_secs(2),
    unauthorized: Duration::ZERO,
};
/// Where reports may go, by their ending.
const FORMS: &str = "html, md, json, xml";

/// Prove that the deployment works
#[derive(Debug, Clone, Default, Args)]
pub struct VerifyArgs {
    /// Only this suite: cluster, dapr, components, secrets, state, jobs,
    /// ingress, events, slo, regressions; may be repeated
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub suite: Vec<Suite>,
    /// Write a report; its ending says in which form: html, md, json, xml
    /// (`JUnit`). May be repeated
    #[arg(long, value_name = "FILE")]
    pub report: Vec<ReportFile>,
    /// Go on, and tell when something changes
    #[arg(long, conflicts_with_all = ["repeat", "soak"])]
    pub watch: bool,
    /// Do it so many times
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub repeat: Option<u32>,
    /// Go on for so long, and tell percentiles
    #[arg(long = "for", value_name = "DURATION", value_parser = super::args::duration, conflicts_with = "repeat")]
    pub soak: Option<Duration>,
    /// How many probe events to publish, spread over all partitions; at least
    /// four in each
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub probes: u32,
}

/// A file for a report, and its form.
#[derive(Debug, Clone)]
pub struct ReportFile {
    path: PathBuf,
    form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Html,
    Markdown,
    Json,
    Junit,
}

impl FromStr for ReportFile {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let path = PathBuf::from(text);
        let form = match path.extension().and_then(|ending| ending.to_str()) {
            Some("html" | "htm") => Form::Html,
            Some("md") => Form::Markdown,
            Some("json") => Form::Json,
            Some("xml") => Form::Junit,
            _ => return Err(format!("its ending has to be one of {FORMS}")),
        };
        Ok(Self { path, form })
    }
}

/// Arguments of `explain`.
#[derive(Debug, Clone, Args)]
pub struct ExplainArgs {
    /// Code of a check, for instance `events.lost`; all of them by default
    pub code: Option<String>,
}

#[derive(Serialize)]
struct Catalogue {
    schema: &'static str,
    checks: Vec<Explained>,
}

#[derive(Serialize)]
struct Explained {
    code: &'static str,
    suite: Suite,
    title: &'static str,
    means: &'static str,
    mend: &'static str,
}

impl From<&'static verify::Check> for Explained {
    fn from(check: &'static verify::Check) -> Self {
        Self {
            code: check.code,
            suite: check.suite,
            title: check.title,
            means: check.means,
            mend: check.mend,
        }
    }
}

/// There is no such check; what was meant, if that can be told.
fn unknown(code: &str) -> CliError {
    let error = CliError::usage(format!("there is no check `{code}`"));
    let codes = verify::all().map(|check| check.code);
    match crate::names::nearest(code, codes) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error.hint("`todoctl explain` lists all of them"),
    }
}

/// Tells what a check means, without asking anybody.
pub(super) fn explain(settings: &Settings, args: &ExplainArgs) -> Result {
    let checks: Vec<Explained> = match &args.code {
        None => verify::all().map(Into::into).collect(),
        Some(code) => vec![verify::find(code).ok_or_else(|| unknown(code))?.into()],
    };
    let one = args.code.is_some();
    let document = Catalogue {
        schema: "todoctl/checks/v1",
        checks,
    };
    let text = || {
        let mut text = String::new();
        for check in &document.checks {
            // Writing into a String cannot fail.
            let _ = match one {
                true => writeln!(
                    text,
                    "{}: {}\n\nWhat a failure means\n  {}\n\nNext\n  {}",
                    check.code, check.title, check.means, check.mend
                ),
                false => writeln!(text, "{:<28} {}", check.code, check.title),
            };
        }
        text
    };
    settings.ui.document(&document, text)?;
    Ok(Exit::Done)
}

/// Proves it, once or for as long as is asked.
pub(super) async fn run(
    settings: &Settings,
    args: &VerifyArgs,
    cancel: CancellationToken,
) -> Result {
    for report in &args.report {
        writable(&report.path)?;
    }
    let session = Session::open(settings, cancel.clone(), Purpose::Build).await?;
    let kube = session.kube().await?.with_patience(PATIENCE);
    let runner = Runner {
        settings,
        profile: &session.profile,
        kube,
        clock: Clock::new(1.0, cancel),
        suites: &args.suite,
        probes: args.probes as usize,
    };
    if args.watch {
        return runner.watch().await;
    }
    let soak = match (args.soak, args.repeat) {
        (None, None | Some(1)) => None,
        (limit, times) => Some((limit, times)),
    };
    let report = match soak {
        None => runner.once().await?,
        Some((limit, times)) => runner.soak(limit, times).await?,
    };
    for file in &args.report {
        write(&file.path, &rendered(&report, file.form)?)?;
    }
    if soak.is_none() {
        settings
            .ui
            .document(&report, || text(&report, settings.ui.paint()))?;
        for file in &args.report {
            settings.ui.say(&format!("Report: {}", file.path.display()));
        }
    }
    Ok(exit(&report))
}

/// Proves it at the end of `up`: the report, and what it comes to.
pub(super) async fn after_up(settings: &Settings, session: &Session) -> Result<Report> {
    let kube = session.kube().await?.with_patience(PATIENCE);
    let clock = Clock::new(1.0, session.clock.cancellation().clone());
    let runner = Runner {
        settings,
        profile: &session.profile,
        kube,
        clock,
        suites: &[],
        probes: 0,
    };
    runner.once().await
}

/// What a report means for the exit code.
pub(super) fn exit(report: &Report) -> Exit {
    match report.is_good() {
        true => Exit::Done,
        false => Exit::CheckFailed,
    }
}

struct Runner<'a> {
    settings: &'a Settings,
    profile: &'a Profile,
    kube: Kube,
    clock: Clock,
    suites: &'a [Suite],
    probes: usize,
}

impl Runner<'_> {
    /// One run, with a word on what it waits for when it takes long.
    async fn once(&self) -> Result<Report> {
        let ui = &self.settings.ui;
        let begun = self.clock.elapsed();
        let tells = !matches!(ui.options().progress, Progress::Off | Progress::Json);
        let told = std::sync::atomic::AtomicBool::new(false);
        let (scope, kafka) = tokio::join!(
            Box::pin(Scope::read(&self.kube, self.profile)),
            Box::pin(self.kafka()),
        );
        let http = HttpBuilder::new(self.clock.clone())
            .trust(Trust::System)
            .build();
        let http = http.map_err(|error| CliError::failed("no HTTPS here").caused_by(&error))?;
        let ways = Ways {
            kube: self.kube.clone(),
            http,
            kafka,
            clock: self.clock.clone(),
            probes: self.probes,
        };
        let world = World::new(scope, ways);
        let tell = |outcome: &Outcome, ended: usize, all: usize| {
            let late = self.clock.elapsed().saturating_sub(begun) > QUIET;
            let first = late && !told.swap(true, std::sync::atomic::Ordering::Relaxed);
            if tells && (first || outcome.status == Status::Fail) {
                let mark = if outcome.status == Status::Fail {
                    "failed"
                } else {
                    "done"
                };
                ui.say(&format!("  {mark:<10} {} ({ended} of {all})", outcome.code));
            }
        };
        let report = Box::pin(verify::run(&world, self.suites, &tell)).await;
        self.clock
            .check()
            .map_err(|_| CliError::new(Exit::Interrupted, "interrupted"))?;
        Ok(report)
    }

    async fn kafka(&self) -> std::result::Result<crate::kafka::Client, String> {
        let inside = backbone::is_inside(self.profile).then_some(&self.kube);
        let client = backbone::reach(self.profile, inside, &self.clock).await;
        client.map_err(|error| {
            let mut text = error.to_string();
            let mut cause = std::error::Error::source(&error);
            while let Some(next) = cause {
                let _ = write!(text, ": {next}");
                cause = next.source();
            }
            text
        })
    }

    /// Runs until it is interrupted, and tells what has changed.
    async fn watch(&self) -> Result {
        let ui = &self.settings.ui;
        let mut before: Option<Report> = None;
        loop {
            let report = self.once().await?;
            if ui.options().format == Format::Text {
                let now = report.began.get(11..19).unwrap_or_default();
                ui.data(&format!("{now}  {}", report.headline()))?;
                for outcome in changed(before.as_ref(), &report) {
                    ui.data(&format!(
                        "          {:<5} {}: {}",
                        outcome.status, outcome.code, outcome.summary
                    ))?;
                }
            } else {
                ui.document(&report, String::new)?;
            }
            before = Some(report);
            if self.clock.sleep(REST).await.is_err() {
                return Ok(Exit::Done);
            }
        }
    }

    /// Runs again and again; the last report, or the first that is not good.
    async fn soak(&self, limit: Option<Duration>, times: Option<u32>) -> Result<Report> {
        let ui = &self.settings.ui;
        let begun = self.clock.elapsed();
        let mut soak = Soak::default();
        loop {
            let report = self.once().await?;
            soak.add(&report);
            ui.say(&format!("{:>4}  {}", soak.runs, report.headline()));
            let over = limit.is_some_and(|l| self.clock.elapsed().saturating_sub(begun) >= l);
            if over || times.is_some_and(|times| soak.runs >= times) {
                let took = self.clock.elapsed().saturating_sub(begun);
                let summary = soak.summary(took);
                ui.document(&summary, || summary.text())?;
                return Ok(soak.worst.unwrap_or(report));
            }
        }
    }
}

/// What differs from the run before; of the first run what is not well.
fn changed<'a>(before: Option<&Report>, now: &'a Report) -> Vec<&'a Outcome> {
    let was = |code: &str| {
        let found = before?.checks.iter().find(|outcome| outcome.code == code);
        found.map(|outcome| outcome.status)
    };
    let differs = |outcome: &&Outcome| match before {
        None => outcome.status >= Status::Warn,
        Some(_) => was(outcome.code) != Some(outcome.status),
    };
    now.checks.iter().filter(differs).collect()
}

fn rendered(report: &Report, form: Form) -> Result<String> {
    Ok(match form {
        Form::Html => report.html(),
        Form::Markdown => report.markdown(),
        Form::Junit => report.junit(),
        Form::Json => serde_json::to_string_pretty(report)
            .map_err(|error| CliError::failed("the report is no JSON").caused_by(&error))?,
    })
}

/// Whether a report can be written there, before anything is done for it.
fn writable(path: &Path) -> Result<()> {
    let folder = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    match folder {
        Some(folder) if !folder.is_dir() => Err(CliError::usage(format!(
            "there is no folder {}",
            folder.display()
        ))
        .hint("make it first, or write the report elsewhere")),
        _ if path.is_dir() => Err(CliError::usage(format!("{} is a folder", path.display()))),
        _ => Ok(()),
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    files::write_atomic(path, text.as_bytes(), files::Access::Shared).map_err(|error| {
        CliError::failed(format!("cannot write {}", path.display())).caused_by(&error)
    })
}

/// The report for people: a line for each suite, and all about what is not
/// well.
pub(super) fn text(report: &Report, paint: Paint) -> String {
    let mut text = String::new();
    let mut line = |args: std::fmt::Arguments<'_>| {
        // Writing into a String cannot fail.
        let _ = writeln!(text, "{args}");
    };
    for suite in Suite::ALL {
        let all: Vec<&Outcome> = report.suite(suite).collect();
        let Some(worst) = all.iter().map(|outcome| outcome.status).max() else {
            continue;
        };
        let count = |status| {
            all.iter()
                .filter(|outcome| outcome.status == status)
                .count()
        };
        let skipped = match count(Status::Skip) {
            0 => String::new(),
            n => format!(", {n} skipped"),
        };
        line(format_args!(
            "  {} {:<12} {} of {}{skipped}",
            paint.apply(style(worst), &format!("{worst:<5}")),
            suite.name(),
            count(Status::Pass),
            all.len()
        ));
    }
    let bad = |outcome: &&Outcome| matches!(outcome.status, Status::Fail | Status::Warn);
    for outcome in report.checks.iter().filter(bad) {
        line(format_args!(
            "\n{} {}",
            paint.apply(style(outcome.status), &outcome.status.to_string()),
            outcome.code
        ));
        line(format_args!("  {}", outcome.summary));
        for evidence in outcome.evidence.iter().take(4) {
            let answered = evidence.answered.replace('\n', "\n      ");
            line(format_args!("    {}\n      {answered}", evidence.asked));
        }
        if let Some(mend) = &outcome.mend {
            line(format_args!("  next: {mend}"));
        }
    }
    line(format_args!("\n{}", report.headline()));
    text
}

fn style(status: Status) -> Style {
    match status {
        Status::Pass => Style::Good,
        Status::Skip => Style::Dim,
        Status::Warn => Style::Warning,
        Status::Fail => Style::Bad,
    }
}
