//! Admission: who else has a say in a write, and what they say. The server's
//! own parts (service accounts, limits, quotas) come first and last, webhooks in
//! between.
//!
//! Mutating hooks are asked before an object is validated, validating hooks
//! after; no transaction is open meanwhile, so the caller must check again
//! that nobody else wrote. Protocol: `admission.k8s.io/v1`.

mod accounts;
mod dial;
mod hook;
pub mod limits;
pub mod quota;
mod review;
#[cfg(test)]
pub(super) mod tests;

use std::collections::BTreeSet;

use serde_json::Value;

use self::hook::Hook;
use self::review::Verdict;
use super::request::Call;
use super::status::{Outcome, Status};
use super::{defaults, patch, prepare};

pub use dial::{Target, post};

/// What is attempted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A new object.
    Create,
    /// Another content.
    Update,
    /// The end of an object.
    Delete,
}

impl Operation {
    /// The name in rules and reviews.
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
        }
    }
}

/// A write that hooks are asked about.
pub struct Attempt<'a> {
    /// The request.
    pub call: &'a Call,
    /// What is attempted.
    pub operation: Operation,
    /// The live object, in the request's version.
    pub old: Option<&'a Value>,
    /// Whether nothing will be kept.
    pub dry_run: bool,
}

/// Lets the mutating hooks change an object that is about to be written; says
/// whether one did.
pub async fn mutate(attempt: &Attempt<'_>, object: &mut Value) -> Outcome<bool> {
    if is_new(attempt, "pods") {
        limits::fill(attempt.call, object);
        accounts::admit(attempt.call, object).await?;
    }
    let changed = ask_mutating(attempt, object).await?;
    // What hooks have added needs limits and tokens, too.
    if changed && is_new(attempt, "pods") {
        limits::fill(attempt.call, object);
        accounts::admit(attempt.call, object).await?;
    }
    Ok(changed)
}

/// Whether this makes an object of the core's kind of this name.
fn is_new(attempt: &Attempt<'_>, plural: &str) -> bool {
    let resource = &attempt.call.resource;
    attempt.operation == Operation::Create && resource.group.is_empty() && resource.plural == plural
}

/// Asks the mutating hooks; whether they changed anything.
async fn ask_mutating(attempt: &Attempt<'_>, object: &mut Value) -> Outcome<bool> {
    let mut changed = false;
    let hooks = hook::load(attempt.call, hook::Phase::Mutating);
    // Those that want to be asked again if a later one changes the object.
    let mut asked = BTreeSet::new();
    let mut again = BTreeSet::new();
    for round in 0..2 {
        for (index, hook) in hooks.iter().enumerate() {
            if round == 1 && !again.contains(&index) {
                continue;
            }
            let Some(verdict) = ask(attempt, hook, Some(object)).await? else {
                continue;
            };
            if let Some(patched) = apply(attempt, hook, object, &verdict)? {
                *object = patched;
                changed = true;
                again.append(&mut asked);
            }
            if hook.reinvoked {
                asked.insert(index);
            }
        }
        if again.is_empty() {
            break;
        }
    }
    Ok(changed)
}

/// Asks the validating hooks about a finished object.
pub async fn validate(attempt: &Attempt<'_>, object: Option<&Value>) -> Outcome<()> {
    if let Some(object) = object
        && (is_new(attempt, "pods") || is_new(attempt, "persistentvolumeclaims"))
    {
        limits::check(attempt.call, object)?;
    }
    ask_validating(attempt, object).await?;
    let counts =
        attempt.operation == Operation::Create || attempt.call.resource.plural == "services";
    match object {
        Some(object) if counts && attempt.call.sub.is_none() => {
            quota::check(attempt.call, object, attempt.old)
        }
        _ => Ok(()),
    }
}

async fn ask_validating(attempt: &Attempt<'_>, object: Option<&Value>) -> Outcome<()> {
    let hooks = hook::load(attempt.call, hook::Phase::Validating);
    let answers = hooks.iter().map(|hook| ask(attempt, hook, object));
    for answer in futures::future::join_all(answers).await {
        answer?;
    }
    Ok(())
}

/// Both kinds about a delete, which has nothing to change.
pub async fn delete(call: &Call, old: &Value, dry_run: bool) -> Outcome<()> {
    let attempt = Attempt {
        call,
        operation: Operation::Delete,
        old: Some(old),
        dry_run,
    };
    for hook in hook::load(call, hook::Phase::Mutating) {
        if let Some(Verdict { patch: Some(_), .. }) = ask(&attempt, &hook, None).await? {
            let why = format!(
                "admission webhook \"{}\" attempted to modify the object, which is not supported for this operation",
                hook.name
            );
            return Err(Status::internal_because(&why));
        }
    }
    validate(&attempt, None).await
}

/// Asks one hook, if it wants to be asked; a refusal is an error.
async fn ask(
    attempt: &Attempt<'_>,
    hook: &Hook,
    object: Option<&Value>,
) -> Outcome<Option<Verdict>> {
    let Some(seen) = hook.wants(attempt, object) else {
        return Ok(None);
    };
    if attempt.dry_run && !hook.dry_runs {
        return Err(Status::bad_request(format!(
            "admission webhook \"{}\" does not support dry run",
            hook.name
        )));
    }
    let verdict = match review::ask(attempt, hook, &seen, object).await {
        Ok(verdict) => verdict,
        Err(_) if hook.fails_open => return Ok(None),
        Err(why) => {
            let why = format!("failed calling webhook \"{}\": {why}", hook.name);
            return Err(Status::internal_because(&why));
        }
    };
    for warning in &verdict.warnings {
        attempt.call.warn(warning.clone());
    }
    if !verdict.allowed {
        return Err(review::denied(&hook.name, verdict.status));
    }
    Ok(Some(verdict))
}

/// The object with a hook's patch, if the patch changes anything.
fn apply(
    attempt: &Attempt<'_>,
    hook: &Hook,
    object: &Value,
    verdict: &Verdict,
) -> Outcome<Option<Value>> {
    let Some(bytes) = &verdict.patch else {
        return Ok(None);
    };
    let undecodable = |why: &str| {
        Status::internal_because(&format!(
            "failed calling webhook \"{}\": received undecodable patch in webhook response: {why}",
            hook.name
        ))
    };
    let parsed = patch::json::parse(bytes).map_err(|status| undecodable(&status.message))?;
    let patched =
        patch::json::try_apply(&parsed, object).map_err(|why| Status::internal_because(&why))?;
    let resource = &attempt.call.resource;
    let mut patched = prepare::to_storage(resource, patched);
    prepare::shape(resource, &mut patched);
    defaults::fill(resource, &mut patched);
    prepare::shape(resource, &mut patched);
    Ok((patched != *object).then_some(patched))
}
