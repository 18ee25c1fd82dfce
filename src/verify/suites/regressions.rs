//! What the profile says that the app can do: requests and what must answer.

use std::collections::BTreeMap;

use futures::FutureExt as _;
use http::Method;
use serde_json::Value;

use crate::profile::{Scenario, ScenarioStep};
use crate::verify::check::{Check, Found, Probe, Suite, Verdict};
use crate::verify::flow::id_text;
use crate::verify::world::{Answer, World};

/// The checks of the suite.
pub(super) const CHECKS: &[Check] = &[Check {
    code: "regressions.scenarios",
    suite: Suite::Regressions,
    title: "the app does what the profile's scenarios say",
    means: "A feature that worked before does not. The evidence shows the request and its answer.",
    mend: "todoctl rollback",
    probe: Probe::Ask(|world| scenarios(world).boxed()),
}];

async fn scenarios(world: &World) -> Found {
    let all = &world.scope.profile.verify.scenarios;
    if all.is_empty() {
        return Err(Verdict::skip(
            "the profile has no scenarios (`verify.scenarios`)",
        ));
    }
    let token = world.token().await?;
    let played = all.iter().map(|scenario| async move {
        play(world, scenario, token)
            .await
            .unwrap_or_else(|why| Verdict {
                summary: format!("{}: {}", scenario.name, why.summary),
                ..why
            })
    });
    let verdicts = futures::future::join_all(played).await;
    Ok(Verdict::worst(verdicts, format!("{} scenarios", all.len())))
}

async fn play(world: &World, scenario: &Scenario, token: Option<&str>) -> Found {
    let mut saved = BTreeMap::new();
    let mut verdict = Verdict::pass("");
    for step in &scenario.steps {
        let path = fill(&step.path, &saved);
        let method = Method::from_bytes(step.method.as_bytes())
            .map_err(|_| Verdict::fail(format!("`{}` is no method", step.method)))?;
        let body = step.body.as_ref().map(|body| filled(body, &saved));
        let bearer = token.map(|token| format!("Bearer {token}"));
        let headers: Vec<_> = bearer
            .iter()
            .map(|bearer| ("authorization", bearer.as_str()))
            .collect();
        let asked = format!("{method} {path}");
        let answer = world.visit(method, &path, &headers, body.as_ref()).await?;
        if let Some(why) = differs(step, &answer, &saved) {
            return Err(Verdict::fail(format!("{asked} {why}")).saw(asked, answer.shown()));
        }
        for (name, pointer) in &step.save {
            match answer.json().pointer(pointer) {
                Some(value) => saved.insert(name.clone(), id_text(value)),
                None => {
                    return Err(Verdict::fail(format!("{asked} has nothing at {pointer}"))
                        .saw(asked, answer.shown()));
                }
            };
        }
        verdict = verdict.saw(asked, answer.shown());
    }
    Ok(verdict)
}

/// In what an answer is not what the step expects.
fn differs(
    step: &ScenarioStep,
    answer: &Answer,
    saved: &BTreeMap<String, String>,
) -> Option<String> {
    let expect = &step.expect;
    let status = answer.status.as_u16();
    match expect.status {
        Some(wanted) if wanted != status => return Some(format!("answers {status}, not {wanted}")),
        None if !answer.status.is_success() => return Some(format!("answers {status}")),
        _ => {}
    }
    if let Some(wanted) = &expect.contains
        && !answer.text().contains(wanted)
    {
        return Some(format!("answers without `{wanted}`"));
    }
    let json = answer.json();
    expect.json.iter().find_map(|(pointer, wanted)| {
        let found = json.pointer(pointer).unwrap_or(&Value::Null);
        let wanted = filled(wanted, saved);
        (*found != wanted).then(|| format!("has {found} at {pointer}, not {wanted}"))
    })
}

/// A text with what was saved in the place of `{NAME}`.
fn fill(text: &str, saved: &BTreeMap<String, String>) -> String {
    saved.iter().fold(text.to_owned(), |text, (name, value)| {
        text.replace(&format!("{{{name}}}"), value)
    })
}

fn filled(value: &Value, saved: &BTreeMap<String, String>) -> Value {
    match value {
        Value::String(text) => fill(text, saved).into(),
        Value::Array(all) => all.iter().map(|value| filled(value, saved)).collect(),
        Value::Object(all) => {
            let entries = all
                .iter()
                .map(|(key, value)| (key.clone(), filled(value, saved)));
            Value::Object(entries.collect())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_was_saved_is_filled_in() {
        let saved = BTreeMap::from([("id".to_owned(), "7".to_owned())]);
        assert_eq!(fill("/tasks/{id}/x", &saved), "/tasks/7/x");
        let body = json!({"a": ["{id}", 1], "b": "{other}"});
        assert_eq!(
            filled(&body, &saved),
            json!({"a": ["7", 1], "b": "{other}"})
        );
    }
}
