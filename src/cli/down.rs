//! `todoctl down`: removes everything that the deployment created, and proves
//! that nothing is left.

use std::fmt::Write as _;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::args::DownArgs;
use super::error::{CliError, Result};
use super::exit::Exit;
use super::session::{Purpose, Session};
use super::settings::Settings;
use super::summary::{counts_text, run_error};
use crate::clock::human;
use crate::engine::RunReport;
use crate::journal::{Event, Outcome};
use crate::plan::Plan;
use crate::steps::survey::{Looked, survey};
use crate::ui::{Answer, table};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    schema: &'static str,
    deployment: &'a str,
    profile: &'a str,
    run: &'a str,
    #[serde(flatten)]
    report: &'a RunReport,
    looked_at: &'a [Looked],
    left: usize,
}

/// Removes it.
pub(super) async fn run(settings: &Settings, args: &DownArgs, cancel: CancellationToken) -> Result {
    let session = Session::open(settings, cancel, Purpose::TearDown).await?;
    let _lock = session.lock(settings, "down")?;
    let mut plan = session.plan().await?;
    if args.keep_cluster {
        for step in plan
            .steps
            .iter_mut()
            .filter(|s| !s.id.as_str().starts_with("platform/"))
        {
            step.kept = true;
        }
    }
    let doomed: Vec<_> = session
        .engine
        .doomed(&plan)
        .map(|step| step.title.clone())
        .collect();
    if !doomed.is_empty() {
        confirm(settings, &session, &doomed)?;
    }
    session.cx.read_anew();
    let command = "down".to_owned();
    session.journal.write(Event::RunStarted {
        command,
        profile: settings.profile.clone(),
    })?;
    let report = session
        .within(settings.timeout, session.engine.destroy(&plan))
        .await;
    session.journal.write(Event::RunFinished {
        outcome: report.outcome,
    })?;

    if report.outcome != Outcome::Done {
        print(settings, &session, &report, &[], 0, args.keep_cluster)?;
        return Err(run_error(&report, "remove the deployment", "down"));
    }
    let looked = match args.keep_cluster {
        true => Vec::new(),
        false => look(&session, &plan).await?,
    };
    let left = looked.iter().map(|kind| kind.left.len()).sum();
    print(
        settings,
        &session,
        &report,
        &looked,
        left,
        args.keep_cluster,
    )?;
    if left > 0 {
        return Err(
            CliError::failed(format!("{left} thing(s) of the deployment are left")).hint(
                "run `todoctl down` again in a few minutes; what stays then needs Oracle's console",
            ),
        );
    }
    Ok(Exit::Done)
}

fn confirm(settings: &Settings, session: &Session, doomed: &[String]) -> Result<()> {
    let deployment = &session.profile.deployment;
    let list = doomed.join(", ");
    let question = format!("This destroys deployment {deployment} with all its data: {list}.");
    match settings.ui.confirm(&question) {
        Answer::Yes => Ok(()),
        Answer::No => Err(CliError::failed("not confirmed; nothing was touched")),
        Answer::Nobody => Err(CliError::failed(format!(
            "this would destroy {list}; nothing was touched"
        ))
        .hint("run it again with --yes")),
    }
}

/// Looks everywhere by direct lists.
async fn look(session: &Session, plan: &Plan) -> Result<Vec<Looked>> {
    let Some(cloud) = session.cx.cloud_if_any() else {
        return Ok(Vec::new());
    };
    let before = session.cx.survey();
    if !before.is_empty() {
        // The compartment was found empty, and then deleted.
        return Ok(before);
    }
    let compartment = plan
        .steps
        .iter()
        .find(|step| step.id.as_str() == "account/compartment")
        .and_then(|step| step.live.as_ref()?.get("id")?.as_str().map(str::to_owned));
    let Some(compartment) = compartment else {
        return Ok(Vec::new());
    };
    Ok(Box::pin(survey(cloud, &compartment, &session.profile.deployment)).await?)
}

fn print(
    settings: &Settings,
    session: &Session,
    report: &RunReport,
    looked: &[Looked],
    left: usize,
    kept_cluster: bool,
) -> Result<()> {
    let document = Document {
        schema: "todoctl/down/v1",
        deployment: session.profile.deployment.as_str(),
        profile: &settings.profile,
        run: &session.run,
        report,
        looked_at: looked,
        left,
    };
    if settings.ui.options().format == crate::ui::Format::Text && report.outcome != Outcome::Done {
        return Ok(());
    }
    settings
        .ui
        .document(&document, || text(session, report, looked, kept_cluster))?;
    Ok(())
}

fn text(session: &Session, report: &RunReport, looked: &[Looked], kept_cluster: bool) -> String {
    let deployment = &session.profile.deployment;
    let mut text = match report.steps.is_empty() {
        true => format!("Nothing to remove: deployment {deployment} does not exist.\n"),
        false => format!(
            "{} after {}: {}.\n",
            match kept_cluster {
                true => format!("What deployment {deployment} had in the cluster is gone"),
                false => format!("Deployment {deployment} is gone"),
            },
            human(report.took),
            counts_text(report)
        ),
    };
    if looked.is_empty() {
        return text;
    }
    let rows: Vec<_> = looked
        .iter()
        .map(|kind| {
            let left: Vec<_> = kind
                .left
                .iter()
                .map(|l| format!("{} ({}) {}", l.name, l.state, l.id))
                .collect();
            let billed = if kind.billed && !left.is_empty() {
                "yes"
            } else {
                ""
            };
            let left = if left.is_empty() {
                "none".to_owned()
            } else {
                left.join("\n")
            };
            vec![kind.kind.to_owned(), left, billed.to_owned()]
        })
        .collect();
    let _ = write!(
        text,
        "\n{}",
        table(&["looked at", "left", "billed"], &rows, 78)
    );
    text
}
