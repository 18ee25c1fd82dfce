//! A plan on disk: exactly what was reviewed, to be applied or refused.

use serde::{Deserialize, Serialize};

use super::{Change, Plan};
use crate::names::StepId;

/// What `plan --save` writes. It holds no secret and no more of the world than
/// the review showed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SavedPlan {
    /// The format: `todoctl/saved-plan/v1`.
    pub schema: String,
    /// When it was made.
    pub created: String,
    /// The name or path of the profile.
    pub profile: String,
    /// The `--set` arguments.
    pub set: Vec<String>,
    /// The digest of the profile with everything merged into it.
    pub profile_digest: String,
    /// The deployment.
    pub deployment: String,
    /// The reviewed change of each step.
    pub steps: Vec<SavedStep>,
}

/// The reviewed change of one step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SavedStep {
    /// The step.
    pub id: StepId,
    /// Its change.
    pub change: Change,
    /// The digest of what existed; none when nothing did.
    pub live_digest: Option<String>,
}

/// Why a saved plan cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stale {
    /// One line for each thing that differs.
    pub differences: Vec<String>,
}

impl SavedPlan {
    /// The format that this version reads and writes.
    pub const SCHEMA: &'static str = "todoctl/saved-plan/v1";

    /// The steps of a plan, as they are saved.
    pub fn steps_of(plan: &Plan) -> Vec<SavedStep> {
        plan.steps
            .iter()
            .map(|step| SavedStep {
                id: step.id.clone(),
                change: step.change.clone(),
                live_digest: step.live.as_ref().map(digest),
            })
            .collect()
    }

    /// Compares with a plan made just now.
    pub fn check(&self, now: &Plan, profile_digest: &str) -> Result<(), Stale> {
        let mut differences = Vec::new();
        if self.profile_digest != profile_digest {
            differences.push("the profile is another one now".to_owned());
        }
        let current = Self::steps_of(now);
        for saved in &self.steps {
            match current.iter().find(|step| step.id == saved.id) {
                None => differences.push(format!("{}: no longer part of the plan", saved.id)),
                Some(step) if step.change != saved.change => differences.push(format!(
                    "{}: reviewed as {}, now {}",
                    saved.id,
                    describe(&saved.change),
                    describe(&step.change)
                )),
                Some(step)
                    if saved.change.action != super::Action::None
                        && step.live_digest != saved.live_digest =>
                {
                    differences.push(format!("{}: changed since the review", saved.id));
                }
                Some(_) => {}
            }
        }
        for step in current
            .iter()
            .filter(|s| !self.steps.iter().any(|saved| saved.id == s.id))
        {
            differences.push(format!("{}: not part of the reviewed plan", step.id));
        }
        if differences.is_empty() {
            Ok(())
        } else {
            Err(Stale { differences })
        }
    }
}

fn describe(change: &Change) -> String {
    let action = match change.action {
        super::Action::None => "no change".to_owned(),
        other => serde_json::to_value(other)
            .ok()
            .and_then(|v| v.as_str().map(str::to_owned))
            .unwrap_or_default(),
    };
    match change.fields.len() {
        0 => action,
        n => format!("{action} of {n} field(s)"),
    }
}

fn digest(live: &serde_json::Value) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, live.to_string().as_bytes());
    digest
        .as_ref()
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
