//! `todoctl plan`: what `up` would change.

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::args::PlanArgs;
use super::error::{CliError, Result};
use super::exit::Exit;
use super::session::{Purpose, Session};
use super::settings::Settings;
use super::summary::{bill_text, obstacles_text};
use crate::files::{self, Access};
use crate::finding::{Finding, Severity};
use crate::journal::Status;
use crate::plan::{Action, Plan, SavedPlan};
use crate::steps::guard::{self, Verdict};
use crate::steps::preflight;
use crate::ui::plan_text;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    schema: &'static str,
    deployment: &'a str,
    profile: &'a str,
    changes: bool,
    #[serde(flatten)]
    plan: &'a Plan,
    #[serde(skip_serializing_if = "Option::is_none")]
    bill: Option<&'a guard::Bill>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    obstacles: &'a [Finding],
}

/// Shows the plan, and saves it when asked to.
pub(super) async fn run(settings: &Settings, args: &PlanArgs, cancel: CancellationToken) -> Result {
    let settings = &settings.with_sets(&args.image);
    let session = Session::open(settings, cancel, Purpose::Build).await?;
    if args.force_conflicts {
        session.cx.force();
    }
    if args.dot {
        settings.ui.data(&session.engine.graph().dot())?;
        return Ok(Exit::Done);
    }
    let plan = session.plan().await?;
    let verdict = judge(&session, &plan).await?;
    show(settings, &session, &plan, &verdict)?;
    if let Some(file) = &args.save {
        let saved = saved(settings, &session, &plan);
        let text = serde_json::to_vec_pretty(&saved)
            .map_err(|error| CliError::failed("cannot save the plan").caused_by(&error))?;
        files::write_atomic(file, &text, Access::Private).map_err(|error| {
            CliError::failed(format!("cannot save the plan to {}", file.display()))
                .caused_by(&error)
        })?;
        settings.ui.say(&format!(
            "Apply exactly this with: todoctl up {}",
            file.display()
        ));
    }
    Ok(if args.exit_code && !plan.is_empty() {
        Exit::Pending
    } else {
        Exit::Done
    })
}

/// Prints a plan with its bill.
pub(super) fn show(
    settings: &Settings,
    session: &Session,
    plan: &Plan,
    judged: &Judged,
) -> Result<()> {
    let document = Document {
        schema: "todoctl/plan/v1",
        deployment: session.profile.deployment.as_str(),
        profile: &settings.profile,
        changes: !plan.is_empty(),
        plan,
        bill: judged.bill.as_ref(),
        obstacles: &judged.obstacles,
    };
    settings.ui.document(&document, || {
        let mut text = plan_text(plan, settings.ui.paint());
        if let Some(bill) = &judged.bill {
            text += "\n";
            text += &bill_text(bill, settings.ui.paint());
        }
        text + &obstacles_text(&judged.obstacles)
    })?;
    Ok(())
}

/// What is known of a plan before it is carried out.
pub(super) struct Judged {
    /// What it costs, when it makes or changes something at Oracle.
    pub(super) bill: Option<guard::Bill>,
    /// What makes it impossible or doubtful.
    pub(super) obstacles: Vec<Finding>,
    /// Whether an image is in the way.
    pub(super) images: bool,
}

/// Asks the guard and the registries.
pub(super) async fn judge(session: &Session, plan: &Plan) -> Result<Judged> {
    let verdict = guarded(session, plan).await?;
    let images = preflight::images(&session.cx, &session.clock, plan).await;
    let (bill, mut obstacles) = match verdict {
        Some(verdict) => (Some(verdict.bill), verdict.obstacles),
        None => (None, Vec::new()),
    };
    let broken = images.iter().any(|f| f.severity == Severity::Error);
    obstacles.extend(images);
    obstacles.extend(left_to_others(plan));
    Ok(Judged {
        bill,
        obstacles,
        images: broken,
    })
}

/// Fields that other managers have set since, and that are left to them.
fn left_to_others(plan: &Plan) -> impl Iterator<Item = Finding> {
    let left = |live: &serde_json::Value| {
        let told = live.get("left")?.as_array()?.clone();
        Some(
            told.into_iter()
                .filter_map(|t| Some(t.as_str()?.to_owned())),
        )
    };
    let lives = plan.steps.iter().filter_map(|step| step.live.as_ref());
    let told = lives.filter_map(left).flatten();
    told.map(|told| Finding::warning(told).hint("take it over with `todoctl up --force-conflicts`"))
}

/// Asks the guard, when the plan makes or changes something at Oracle.
async fn guarded(session: &Session, plan: &Plan) -> Result<Option<Verdict>> {
    let Some(cloud) = session.cx.cloud_if_any() else {
        return Ok(None);
    };
    let at_oracle = |id: &str| !id.starts_with("platform/") && !id.starts_with("app/");
    if !plan.pending().any(|step| at_oracle(step.id.as_str())) {
        return Ok(None);
    }
    let compartment = plan
        .steps
        .iter()
        .find(|step| step.id.as_str() == "account/compartment")
        .and_then(|step| step.live.as_ref()?.get("id")?.as_str().map(str::to_owned));
    // What an interrupted run began may exist without showing in lists yet.
    let begun = |id| {
        let record = session.journal.record(id);
        record.is_some_and(|record| record.status == Status::Started)
    };
    let new = plan
        .pending()
        .filter(|s| s.change.action == Action::Create && !begun(&s.id))
        .map(|s| s.id.as_str())
        .collect();
    let ours: Vec<_> = compartment.into_iter().collect();
    Ok(Some(Box::pin(guard::judge(cloud, &ours, &new)).await?))
}

fn saved(settings: &Settings, session: &Session, plan: &Plan) -> SavedPlan {
    SavedPlan {
        schema: SavedPlan::SCHEMA.to_owned(),
        created: session.clock.now().to_string(),
        profile: settings.profile.clone(),
        set: settings.sets.clone(),
        profile_digest: session.digest.clone(),
        deployment: session.profile.deployment.to_string(),
        steps: SavedPlan::steps_of(plan),
    }
}
