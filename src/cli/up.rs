//! `todoctl up`: makes the deployment as the profile says.

use std::path::Path;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::args::UpArgs;
use super::error::{CliError, Result};
use super::exit::Exit;
use super::plan as plan_command;
use super::session::{Purpose, Session};
use super::settings::Settings;
use super::status::{self, Moment};
use super::summary::{bill_text, counts_text, exit_of, run_error};
use super::verify;
use crate::clock::human;
use crate::engine::RunReport;
use crate::finding::Severity;
use crate::journal::{Event, Outcome};
use crate::plan::{Action, Plan, SavedPlan};
use crate::ui::Answer;
use crate::verify::Report as Proof;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    schema: &'static str,
    deployment: &'a str,
    profile: &'a str,
    run: &'a str,
    /// Where the app is.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(flatten)]
    report: &'a RunReport,
    /// What was proved afterwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    verify: Option<&'a Proof>,
}

/// Makes it so.
pub(super) async fn run(settings: &Settings, args: &UpArgs, cancel: CancellationToken) -> Result {
    let saved = args.file.as_deref().map(read_saved).transpose()?;
    let settings = &match &saved {
        Some(saved) => settings.with_profile(&saved.profile, &saved.set),
        None => settings.with_sets(&args.image),
    };
    let session = Session::open(settings, cancel, Purpose::Build).await?;
    if args.force_conflicts {
        session.cx.force();
    }
    if args.dry_run {
        let plan = session.plan().await?;
        let verdict = plan_command::judge(&session, &plan).await?;
        plan_command::show(settings, &session, &plan, &verdict)?;
        return Ok(Exit::Done);
    }
    let _lock = session.lock(settings, "up")?;
    let mut plan = session.plan().await?;
    if let Some(saved) = &saved {
        refuse_stale(saved, &plan, &session.digest)?;
    }
    args.restrict(&mut plan);
    allow(settings, args, &session, &plan).await?;

    let report = execute(settings, &session, &plan, "up").await?;
    if report.outcome != Outcome::Done {
        print(settings, &session, &plan, &report, None, String::new)?;
        return Err(run_error(&report, "bring the deployment up", "up"));
    }
    let proof = match args.proves() && !session.profile.app.services.is_empty() {
        true => {
            settings.ui.say("Proving that it works.");
            Some(Box::pin(verify::after_up(settings, &session)).await?)
        }
        false => None,
    };
    print(settings, &session, &plan, &report, proof.as_ref(), || {
        let told = proof
            .as_ref()
            .map(|proof| verify::text(proof, settings.ui.paint()));
        let summary = summary(settings, &session, &plan, &report);
        format!(
            "{summary}{}",
            told.map(|told| format!("\n{told}")).unwrap_or_default()
        )
    })?;
    Ok(proof
        .as_ref()
        .map_or_else(|| exit_of(report.outcome), verify::exit))
}

/// Runs the plan under the journal, within the user's time limit.
pub(super) async fn execute(
    settings: &Settings,
    session: &Session,
    plan: &Plan,
    command: &str,
) -> Result<RunReport> {
    if plan.is_empty() {
        return Ok(session.engine.execute(plan).await);
    }
    session.cx.read_anew();
    let started = Event::RunStarted {
        command: command.to_owned(),
        profile: settings.profile.clone(),
    };
    session.journal.write(started)?;
    let report = session
        .within(settings.timeout, session.engine.execute(plan))
        .await;
    session.journal.write(Event::RunFinished {
        outcome: report.outcome,
    })?;
    Ok(report)
}

/// Refuses what cannot work, what costs money unasked, and what
/// destroys without a yes.
async fn allow(settings: &Settings, args: &UpArgs, session: &Session, plan: &Plan) -> Result<()> {
    let judged = plan_command::judge(session, plan).await?;
    let (errors, warnings): (Vec<_>, Vec<_>) = judged
        .obstacles
        .into_iter()
        .partition(|f| f.severity == Severity::Error);
    for warning in &warnings {
        settings.ui.stderr(&warning.to_string());
    }
    if !errors.is_empty() {
        let what = match judged.images {
            true => "an image of the deployment cannot run; nothing was touched",
            false => "this tenancy cannot carry the deployment; nothing was touched",
        };
        return Err(CliError::failed(what).findings(errors));
    }
    if let Some(bill) = judged
        .bill
        .filter(|bill| bill.is_beyond() && !args.accept_cost)
    {
        settings
            .ui
            .stderr(&bill_text(&bill, settings.ui.paint_stderr()));
        return Err(CliError::failed(
            "the deployment goes beyond the free allowance; nothing was touched",
        )
        .hint("run it again with --accept-cost, or choose a smaller size in the profile"));
    }
    let lost: Vec<_> = plan
        .pending()
        .filter(|step| matches!(step.change.action, Action::Delete | Action::Replace))
        .map(|step| step.title.clone())
        .collect();
    if lost.is_empty() {
        return Ok(());
    }
    match settings
        .ui
        .confirm(&format!("This deletes or replaces: {}.", lost.join(", ")))
    {
        Answer::Yes => Ok(()),
        Answer::No => Err(CliError::failed("not confirmed; nothing was touched")),
        Answer::Nobody => Err(CliError::failed(format!(
            "this would delete or replace {}; nothing was touched",
            lost.join(", ")
        ))
        .hint("look at `todoctl plan`, then run it again with --yes")),
    }
}

fn read_saved(file: &Path) -> Result<SavedPlan> {
    let unusable = |error: &dyn std::error::Error| {
        CliError::usage(format!("{} is not a saved plan", file.display()))
            .caused_by(error)
            .hint("make one with `todoctl plan --save FILE`")
    };
    let text = std::fs::read(file).map_err(|error| unusable(&error))?;
    let saved: SavedPlan = serde_json::from_slice(&text).map_err(|error| unusable(&error))?;
    if saved.schema != SavedPlan::SCHEMA {
        return Err(CliError::usage(format!(
            "{} is a plan in format `{}`, not `{}`",
            file.display(),
            saved.schema,
            SavedPlan::SCHEMA
        )));
    }
    Ok(saved)
}

fn refuse_stale(saved: &SavedPlan, now: &Plan, digest: &str) -> Result<()> {
    saved.check(now, digest).map_err(|stale| {
        let mut error = CliError::failed(
            "the world is not as it was when the plan was reviewed; nothing was touched",
        );
        for difference in stale.differences {
            error = error.note(difference);
        }
        error.hint("review it anew with `todoctl plan --save FILE`")
    })
}

fn print(
    settings: &Settings,
    session: &Session,
    plan: &Plan,
    report: &RunReport,
    proof: Option<&Proof>,
    text: impl FnOnce() -> String,
) -> Result<()> {
    let document = Document {
        schema: "todoctl/run/v1",
        deployment: session.profile.deployment.as_str(),
        profile: &settings.profile,
        run: &session.run,
        url: status::facts(settings, session, plan, Moment::Ran).url,
        report,
        verify: proof,
    };
    if settings.ui.options().format == crate::ui::Format::Text && report.outcome != Outcome::Done {
        return Ok(());
    }
    settings.ui.document(&document, text)?;
    Ok(())
}

fn summary(settings: &Settings, session: &Session, plan: &Plan, report: &RunReport) -> String {
    let deployment = &session.profile.deployment;
    let head = match plan.is_empty() {
        true => format!("No changes: deployment {deployment} is as the profile says.\n"),
        false => format!(
            "Deployment {deployment} is up after {}: {}.\n",
            human(report.took),
            counts_text(report)
        ),
    };
    format!(
        "{head}\n{}",
        status::text(&status::facts(settings, session, plan, Moment::Ran))
    )
}
