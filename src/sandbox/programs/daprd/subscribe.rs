//! Which topics the app wants: what it says itself, and Subscriptions.

use std::sync::PoisonError;

use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde_json::{Value, json};

use super::runtime::Sidecar;
use super::{app, components, plane};

/// A subscription of the app.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Subscription {
    pub(super) pubsub: String,
    pub(super) topic: String,
    /// Conditions and paths; one without a condition takes what is left.
    pub(super) rules: Vec<(String, String)>,
    pub(super) dead_letter: Option<String>,
    pub(super) metadata: Value,
    declarative: bool,
}

impl Subscription {
    fn read(spec: &Value, declarative: bool) -> Option<Self> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let routes = &spec["routes"];
        let mut rules: Vec<(String, String)> = routes["rules"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|rule| (text(&rule["match"]), text(&rule["path"])))
            .collect();
        let last = [&routes["default"], &spec["route"]];
        let last = last.into_iter().find_map(|value| value.as_str());
        rules.extend(last.map(|path| (String::new(), path.to_owned())));
        let found = Self {
            pubsub: text(&spec["pubsubname"]),
            topic: text(&spec["topic"]),
            rules,
            dead_letter: spec["deadLetterTopic"].as_str().map(str::to_owned),
            metadata: spec["metadata"].clone(),
            declarative,
        };
        (!found.pubsub.is_empty() && !found.topic.is_empty()).then_some(found)
    }

    /// Whether records come without an envelope.
    pub(super) fn is_raw(&self) -> bool {
        self.metadata["rawPayload"] == "true" || self.metadata["rawPayload"] == json!(true)
    }

    /// Where an event goes; none if no rule takes it.
    pub(super) fn path(&self, event: &Value) -> Option<&str> {
        let fits =
            |(condition, _): &&(String, String)| condition.is_empty() || holds(condition, event);
        self.rules.iter().find(fits).map(|(_, path)| path.as_str())
    }

    /// As metadata shows it.
    pub(super) fn to_json(&self) -> Value {
        let rules = self
            .rules
            .iter()
            .map(|(condition, path)| match condition.as_str() {
                "" => json!({ "path": path }),
                told => json!({"match": told, "path": path}),
            });
        json!({
            "pubsubname": self.pubsub,
            "topic": self.topic,
            "rules": rules.collect::<Vec<_>>(),
            "deadLetterTopic": self.dead_letter.as_deref().unwrap_or_default(),
            "type": if self.declarative { "DECLARATIVE" } else { "PROGRAMMATIC" },
        })
    }
}

/// Whether a condition holds for an event; one that cannot be decided does not.
fn holds(condition: &str, event: &Value) -> bool {
    let Ok(program) = cel::Program::compile(condition) else {
        return false;
    };
    let mut context = cel::Context::default();
    if context.add_variable("event", event.clone()).is_err() {
        return false;
    }
    matches!(program.execute(&context), Ok(cel::Value::Bool(true)))
}

/// Asks the app and the operator what the app wants.
pub(super) async fn load(sidecar: &Sidecar) -> Result<(), String> {
    let log = &sidecar.log;
    log.info("Loading Declarative Subscriptions…");
    let listed = plane::ask(&sidecar.process, &sidecar.options, "subscriptions", "").await;
    let listed = listed.map_err(|error| format!("failed to load subscriptions: {error}"))?;
    let declared = listed.as_array().cloned().unwrap_or_default();
    let declared = declared
        .iter()
        .filter(|object| components::in_scope(object, &sidecar.options.app_id))
        .filter_map(|object| Subscription::read(&object["spec"], true));
    let mut all: Vec<Subscription> = Vec::new();
    for one in programmatic(sidecar).await.into_iter().chain(declared) {
        let same = |held: &Subscription| held.pubsub == one.pubsub && held.topic == one.topic;
        if all.iter().any(same) {
            log.warn(&format!(
                "two identical subscriptions found (sub/topic: {}/{})",
                one.pubsub, one.topic
            ));
            continue;
        }
        all.push(one);
    }
    if !all.is_empty() {
        let topics: Vec<&str> = all.iter().map(|one| one.topic.as_str()).collect();
        log.info(&format!(
            "app is subscribed to the following topics: {topics:?} through pubsub={}",
            all[0].pubsub
        ));
    }
    *sidecar
        .subscriptions
        .write()
        .unwrap_or_else(PoisonError::into_inner) = all;
    Ok(())
}

/// What the app answers to `GET /dapr/subscribe`.
async fn programmatic(sidecar: &Sidecar) -> Vec<Subscription> {
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_str(&sidecar.options.app_id) {
        headers.insert("dapr-app-id", value);
    }
    let answer = app::call(sidecar, Method::GET, "/dapr/subscribe", headers, None).await;
    let Some(Ok(answer)) = answer else {
        return Vec::new();
    };
    if answer.status != StatusCode::OK {
        return Vec::new();
    }
    let Ok(all) = serde_json::from_slice::<Vec<Value>>(&answer.body) else {
        sidecar
            .log
            .error("unexpected response of the app to /dapr/subscribe: no list");
        return Vec::new();
    };
    all.iter()
        .filter_map(|spec| Subscription::read(spec, false))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_tried_in_their_order() {
        let spec = json!({
            "pubsubname": "p", "topic": "t",
            "routes": {
                "rules": [{"match": "event.type == \"task.created\"", "path": "/created"}],
                "default": "/other",
            },
        });
        let subscription = Subscription::read(&spec, true).unwrap();
        assert_eq!(
            subscription.path(&json!({"type": "task.created"})),
            Some("/created")
        );
        assert_eq!(subscription.path(&json!({"type": "x"})), Some("/other"));
        let simple = json!({"pubsubname": "p", "topic": "t", "route": "/events"});
        let subscription = Subscription::read(&simple, false).unwrap();
        assert_eq!(subscription.path(&json!({})), Some("/events"));
        assert_eq!(
            subscription.to_json()["rules"],
            json!([{"path": "/events"}])
        );
    }
}
