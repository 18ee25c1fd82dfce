//! `todoctl history` and `todoctl rollback`: the revisions of a release, and
//! the way back to one of them.

use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::error::{CliError, Result};
use super::exit::Exit;
use super::session::{Purpose, Session};
use super::settings::Settings;
use crate::release::{Options, Record, ReleaseError, Releases, Waiting};
use crate::ui;

/// The width of tables.
const WIDTH: u16 = 80;
/// How long what was rolled back may take to become ready.
const READY_WITHIN: Duration = Duration::from_mins(5);

/// Show the revisions of the app's release, or of another
#[derive(Debug, Clone, Args)]
pub struct HistoryArgs {
    /// The release; by default the app's
    pub release: Option<String>,
    /// The newest revision of every release in the cluster instead
    #[arg(long, conflicts_with = "release")]
    pub all: bool,
    /// The namespace of the release; by default the app's
    #[arg(short, long, value_name = "NAME")]
    pub namespace: Option<String>,
}

/// Go back to a revision of the app's release, or of another
#[derive(Debug, Clone, Args)]
pub struct RollbackArgs {
    /// The revision; by default the last good one before the current
    pub revision: Option<u64>,
    /// The release; by default the app's
    #[arg(long, value_name = "NAME")]
    pub release: Option<String>,
    /// The namespace of the release; by default the app's
    #[arg(short, long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Do not wait until it is ready
    #[arg(long)]
    pub no_wait: bool,
    /// Take fields over from other managers
    #[arg(long)]
    pub force_conflicts: bool,
}

/// One revision, for people and programs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    release: String,
    namespace: String,
    revision: u64,
    updated: String,
    status: String,
    chart: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    app_version: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    images: Vec<String>,
    description: String,
}

#[derive(Debug, Serialize)]
struct Document {
    schema: &'static str,
    revisions: Vec<Row>,
}

impl Row {
    fn new(record: &Record) -> Self {
        Self {
            release: record.name().to_owned(),
            namespace: record.namespace().to_owned(),
            revision: record.revision(),
            updated: record.last_deployed().to_owned(),
            status: record.status().to_string(),
            chart: format!("{}-{}", record.chart_name(), record.chart_version()),
            app_version: record.app_version().to_owned(),
            images: record.images(),
            description: record.description().to_owned(),
        }
    }

    /// The time to the second.
    fn when(&self) -> String {
        let short = self.updated.get(..19).unwrap_or(&self.updated);
        short.replace('T', " ")
    }
}

/// The release that the arguments name, and its namespace.
fn named(
    session: &Session,
    release: Option<&String>,
    namespace: Option<&String>,
) -> (String, String) {
    let app = &session.profile.app;
    (
        release.map_or_else(|| app.release.to_string(), Clone::clone),
        namespace.map_or_else(|| app.namespace.to_string(), Clone::clone),
    )
}

/// Prints the revisions.
pub(super) async fn history(
    settings: &Settings,
    args: &HistoryArgs,
    cancel: CancellationToken,
) -> Result {
    let session = Session::open(settings, cancel, Purpose::TearDown).await?;
    let kube = session.kube().await?;
    let (name, namespace) = named(&session, args.release.as_ref(), args.namespace.as_ref());
    let records = if args.all {
        let all = match &args.namespace {
            Some(namespace) => Releases::new(kube, namespace).list().await,
            None => Releases::list_everywhere(&kube).await,
        };
        all.map_err(|error| failed("cannot list the releases", &error))?
    } else {
        let found = Releases::new(kube, &namespace).history(&name).await;
        let found = found.map_err(|error| failed("cannot read the history", &error))?;
        if found.is_empty() {
            return Err(CliError::failed(format!(
                "there is no release {name} in namespace {namespace}"
            ))
            .hint("todoctl history --all lists all releases"));
        }
        found
    };
    let document = Document {
        schema: "todoctl/history/v1",
        revisions: records.iter().map(Row::new).collect(),
    };
    settings.ui.document(&document, || match args.all {
        true => releases(&document.revisions),
        false => revisions(&document.revisions),
    })?;
    Ok(Exit::Done)
}

/// A line for each revision, and below it what ran and what happened.
fn revisions(rows: &[Row]) -> String {
    let width = |of: fn(&Row) -> usize, heading: &str| {
        let longest = rows.iter().map(of).max().unwrap_or_default();
        longest.max(heading.len())
    };
    let rev = width(|row| row.revision.to_string().len(), "REV");
    let status = width(|row| row.status.len(), "STATUS");
    let line = |number: &str, when: &str, state: &str, chart: &str| {
        let text = format!(" {number:<rev$}  {when:<19}  {state:<status$}  {chart}");
        format!("{}\n", text.trim_end())
    };
    let mut text = line("REV", "UPDATED (UTC)", "STATUS", "CHART");
    for row in rows {
        let number = row.revision.to_string();
        text += &line(&number, &row.when(), &row.status, &row.chart);
        let images: Vec<_> = row.images.iter().map(|image| short(image)).collect();
        text += &ui::paragraph(&images.join(", "), rev + 3, WIDTH.into());
        text += &ui::paragraph(&row.description, rev + 3, WIDTH.into());
    }
    text
}

/// An image without its registry and owner, and with the beginning of its
/// digest. The whole of it is in the document for programs.
fn short(image: &str) -> String {
    let name = image.rsplit('/').next().unwrap_or(image);
    match name.split_once("@sha256:") {
        Some((name, digest)) => {
            let digest: String = digest.chars().take(12).collect();
            format!("{name}@{digest}")
        }
        None => name.to_owned(),
    }
}

/// A line for each release, and its chart below it.
fn releases(rows: &[Row]) -> String {
    let name = |row: &Row| format!("{}/{}", row.namespace, row.release);
    let width = |of: &dyn Fn(&Row) -> usize, heading: &str| {
        let longest = rows.iter().map(of).max().unwrap_or_default();
        longest.max(heading.len())
    };
    let release = width(&|row| name(row).chars().count(), "RELEASE");
    let rev = width(&|row| row.revision.to_string().len(), "REV");
    let line = |whose: &str, number: &str, when: &str, state: &str| {
        let text = format!(" {whose:<release$}  {number:<rev$}  {when:<19}  {state}");
        format!("{}\n", text.trim_end())
    };
    let mut text = line("RELEASE", "REV", "UPDATED (UTC)", "STATUS");
    for row in rows {
        let number = row.revision.to_string();
        text += &line(&name(row), &number, &row.when(), &row.status);
        text += &ui::paragraph(&row.chart, 3, WIDTH.into());
    }
    text
}

/// What a rollback came to.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Done {
    schema: &'static str,
    release: String,
    namespace: String,
    revision: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    rolled_back_to: Option<u64>,
}

/// Goes back.
pub(super) async fn rollback(
    settings: &Settings,
    args: &RollbackArgs,
    cancel: CancellationToken,
) -> Result {
    let session = Session::open(settings, cancel, Purpose::TearDown).await?;
    let _lock = session.lock(settings, "rollback")?;
    let kube = session.kube().await?;
    let (name, namespace) = named(&session, args.release.as_ref(), args.namespace.as_ref());
    let releases = Releases::new(kube, &namespace);
    let options = Options {
        wait: (!args.no_wait).then(|| Waiting::within(settings.timeout.unwrap_or(READY_WITHIN))),
        force_conflicts: args.force_conflicts,
        ..Options::default()
    };
    let say = |text: &str| settings.ui.say(&format!("{name}: {text}"));
    let rolled = releases.rollback(&name, args.revision, &options, &say);
    let outcome = rolled
        .await
        .map_err(|error| failed(&format!("cannot roll back release {name}"), &error))?;
    let history = releases.history(&name).await;
    let history = history.map_err(|error| failed("cannot read the history", &error))?;
    let target = history
        .iter()
        .find(|record| record.revision() == outcome.revision)
        .and_then(Record::rollback_of);
    let done = Done {
        schema: "todoctl/rollback/v1",
        release: name.clone(),
        namespace,
        revision: outcome.revision,
        rolled_back_to: target,
    };
    settings.ui.document(&done, || match target {
        Some(target) => format!(
            "Release {name} is back at revision {target}, as revision {}.",
            outcome.revision
        ),
        None => format!("Release {name} is at revision {}.", outcome.revision),
    })?;
    Ok(Exit::Done)
}

fn failed(what: &str, error: &ReleaseError) -> CliError {
    let exit = match error.kube().map(crate::k8s::K8sError::class) {
        Some(crate::k8s::Class::Cancelled) => Exit::Interrupted,
        _ => Exit::Failed,
    };
    let told = CliError::new(exit, what).caused_by(error);
    match error.hint() {
        Some(hint) => told.hint(hint),
        None => told,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(revision: u64, status: &str, description: &str, images: &[&str]) -> Row {
        Row {
            release: "todo".to_owned(),
            namespace: "todo".to_owned(),
            revision,
            updated: "2026-11-22T02:03:04.123456789Z".to_owned(),
            status: status.to_owned(),
            chart: "todo-app-0.2.0".to_owned(),
            app_version: String::new(),
            images: images.iter().map(ToString::to_string).collect(),
            description: description.to_owned(),
        }
    }

    #[test]
    fn tables_fit_eighty_columns() {
        let long = "Upgrade \"todo\" failed: Deployment todo/backend cannot become ready: \
                    container app of Pod todo/backend-1: it ended with exit code 3";
        let rows = [
            row(
                1,
                "superseded",
                "Install complete",
                &["ghcr.io/acme/backend:1"],
            ),
            row(2, "pending-rollback", long, &[]),
        ];
        assert_eq!(
            revisions(&rows[..1]),
            " REV  UPDATED (UTC)        STATUS      CHART\n \
             1    2026-11-22 02:03:04  superseded  todo-app-0.2.0\n      \
             backend:1\n      Install complete\n"
        );
        for text in [revisions(&rows), releases(&rows)] {
            assert!(
                text.lines().all(|line| line.chars().count() <= 80),
                "{text}"
            );
            assert!(text.contains("2026-11-22"), "{text}");
        }
    }

    #[test]
    fn images_are_told_by_what_differs() {
        for (image, wanted) in [
            ("ghcr.io/acme/backend:1", "backend:1"),
            ("localhost:5000/backend:1", "backend:1"),
            (
                "ghcr.io/acme/backend:1@sha256:0123456789abcdef",
                "backend:1@0123456789ab",
            ),
        ] {
            assert_eq!(short(image), wanted);
        }
    }
}
