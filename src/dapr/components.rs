//! Checks Dapr's resources before they are applied.
//!
//! What is wrong with a component shows late: an unknown metadata name is
//! ignored, a wrong SASL mechanism means PLAIN, and a missing secret or an
//! invented type takes every sidecar of the namespace down. Here each is an
//! error with the name that was probably meant.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::fields::{CATEGORIES, TYPES, Type};
use crate::finding::{Finding, Findings};
use crate::manifest::Manifest;
use crate::names::nearest;
use crate::profile::{KafkaProvider, Profile};
use crate::render;

/// The API group of Dapr's resources.
const GROUP: &str = "dapr.io";

/// The store that every sidecar has without a component.
const BUILT_IN_STORE: &str = "kubernetes";

/// Kinds of Dapr's resources.
const KINDS: [&str; 7] = [
    "Component",
    "Configuration",
    "HTTPEndpoint",
    "MCPServer",
    "Resiliency",
    "Subscription",
    "WorkflowAccessPolicy",
];

/// What resources may refer to.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// The keys of each Kubernetes secret in the app's namespace. A secret
    /// without keys may have any.
    pub secrets: BTreeMap<String, BTreeSet<String>>,
    /// The app IDs of the services. Empty means that nobody knows them.
    pub app_ids: BTreeSet<String>,
    /// The topics that exist. Empty means that nobody knows them.
    pub topics: BTreeSet<String>,
}

impl Surroundings {
    /// What a profile says is there. Its Kubernetes secrets are added by
    /// [`with_secrets`](Self::with_secrets).
    pub fn of(profile: &Profile) -> Self {
        let services = profile.app.services.iter();
        let app_ids = services.filter_map(|s| Some(s.dapr.as_ref()?.app_id.to_string()));
        let mut secrets = BTreeMap::new();
        if profile.kafka.provider == KafkaProvider::Strimzi {
            let keys = |keys: &[&str]| keys.iter().map(|k| (*k).to_owned()).collect();
            let user = profile.kafka.strimzi.user.to_string();
            secrets.insert(user, keys(&["password", "sasl.jaas.config"]));
            secrets.insert(render::kafka::ca_secret(profile), keys(&["ca.crt"]));
        }
        Self {
            secrets,
            app_ids: app_ids.collect(),
            topics: profile
                .topics()
                .iter()
                .map(|t| t.name.to_string())
                .collect(),
        }
    }

    /// Adds the secrets among some manifests, with their keys.
    #[must_use]
    pub fn with_secrets(mut self, manifests: &[Manifest]) -> Self {
        for secret in manifests.iter().filter(|m| m.kind() == "Secret") {
            let keys = ["data", "stringData"]
                .into_iter()
                .filter_map(|field| secret.body().get(field)?.as_object())
                .flat_map(|entries| entries.keys().cloned());
            let known = self.secrets.entry(secret.name().to_owned()).or_default();
            known.extend(keys);
        }
        self
    }
}

/// Every Dapr resource of a deployment: the rendered ones and those of the
/// user's files, each with its path. Errors anywhere are findings; warnings
/// come with the result.
pub fn checked(
    profile: &Profile,
    inputs: &render::Inputs,
    files: &[(String, String)],
) -> Result<(Vec<Manifest>, Findings), Findings> {
    let failed = |error: &dyn std::error::Error| {
        Findings::from(Finding::error(format!(
            "cannot render the components: {error}"
        )))
    };
    let mut all = render::dapr_resources(profile, inputs).map_err(|e| failed(&e))?;
    let secrets = render::secrets(profile, inputs).map_err(|e| failed(&e))?;
    for (path, text) in files {
        for manifest in read(text, path)? {
            all.push(manifest.owned_by(profile.deployment.as_str()));
        }
    }
    let around = Surroundings::of(profile).with_secrets(&secrets);
    let warnings = check(&all, &around).into_result()?;
    Ok((all, warnings))
}

/// The resources in a file of the user's.
fn read(text: &str, path: &str) -> Result<Vec<Manifest>, Finding> {
    let documents: Vec<Value> = crate::yaml::documents(text, path)?;
    documents
        .into_iter()
        .filter(|document| !document.is_null())
        .map(|document| {
            let manifest = Manifest::new(document)
                .map_err(|error| Finding::error(format!("{path}: {error}")))?;
            if manifest.group() == GROUP {
                return Ok(manifest);
            }
            let summary = format!("{path}: {manifest} is no resource of Dapr's");
            Err(Finding::error(summary).hint("`dapr.files` is for components and the like"))
        })
        .collect()
}

/// Everything that is wrong with the Dapr resources among some manifests.
/// Others are passed over.
pub fn check(manifests: &[Manifest], around: &Surroundings) -> Findings {
    let ours = || manifests.iter().filter(|m| m.group() == GROUP);
    let named = |category: &str| -> BTreeMap<&str, &str> {
        ours()
            .filter(|m| m.kind() == "Component")
            .map(|m| (m.name(), text(m.body(), "/spec/type")))
            .filter(|(_, of)| category.is_empty() || of.split('.').next() == Some(category))
            .collect()
    };
    let mut checker = Checker {
        around,
        components: named(""),
        stores: named("secretstores"),
        brokers: named("pubsub"),
        findings: Findings::default(),
        object: String::new(),
    };
    let mut seen = BTreeSet::new();
    for manifest in ours() {
        checker.object = format!("{} `{}`", manifest.kind(), manifest.name());
        if !seen.insert((manifest.kind(), manifest.name())) {
            checker.error("is there twice", None);
        }
        checker.resource(manifest);
    }
    checker.findings
}

struct Checker<'a> {
    around: &'a Surroundings,
    components: BTreeMap<&'a str, &'a str>,
    stores: BTreeMap<&'a str, &'a str>,
    brokers: BTreeMap<&'a str, &'a str>,
    findings: Findings,
    object: String,
}

fn text<'a>(body: &'a Value, pointer: &str) -> &'a str {
    let found = body.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_default()
}

fn list<'a>(body: &'a Value, pointer: &str) -> &'a [Value] {
    let found = body.pointer(pointer).and_then(Value::as_array);
    found.map_or(&[], Vec::as_slice)
}

/// A scalar as Dapr reads it.
fn scalar(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn meant<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(word, known).map(|near| format!("did you mean `{near}`?"))
}

/// What was probably meant, or else the whole choice.
fn choice<'a>(word: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> Option<String> {
    meant(word, known.clone()).or_else(|| {
        let all: Vec<&str> = known.into_iter().collect();
        (!all.is_empty()).then(|| format!("one of: {}", all.join(", ")))
    })
}

impl Checker<'_> {
    fn error(&mut self, summary: &str, hint: Option<String>) {
        let mut finding = Finding::error(format!("{} {summary}", self.object));
        finding.hint = hint;
        self.findings.push(finding);
    }

    fn resource(&mut self, manifest: &Manifest) {
        let body = manifest.body();
        match manifest.kind() {
            "Component" => self.component(body),
            "Subscription" => self.subscription(manifest),
            "Resiliency" => self.resiliency(body),
            kind if KINDS.contains(&kind) => {}
            kind => self.error("is of a kind that Dapr does not have", choice(kind, KINDS)),
        }
        self.scopes(body);
    }

    fn scopes(&mut self, body: &Value) {
        if self.around.app_ids.is_empty() {
            return;
        }
        for scope in list(body, "/scopes") {
            let scope = scalar(scope);
            if !self.around.app_ids.contains(&scope) {
                let known = self.around.app_ids.iter().map(String::as_str);
                let hint = choice(&scope, known);
                self.error(
                    &format!("is for the app ID `{scope}`, which no service has"),
                    hint,
                );
            }
        }
    }

    fn component(&mut self, body: &Value) {
        for wrong in ["scopes", "auth"] {
            if body.pointer(&format!("/spec/{wrong}")).is_some() {
                self.error(
                    &format!("has `{wrong}` inside `spec`, where Dapr does not look"),
                    Some(format!("move `{wrong}` to the top level, beside `spec`")),
                );
            }
        }
        let store = text(body, "/auth/secretStore");
        if !store.is_empty() && store != BUILT_IN_STORE && !self.stores.contains_key(store) {
            let known: Vec<&str> = self
                .stores
                .keys()
                .copied()
                .chain([BUILT_IN_STORE])
                .collect();
            let hint = choice(store, known);
            self.error(
                &format!("takes its secrets from the store `{store}`, which is not there"),
                hint,
            );
        }
        let timeout = text(body, "/spec/initTimeout");
        if !timeout.is_empty() && !is_duration(timeout) {
            self.error(
                &format!("has `{timeout}` as its initTimeout"),
                Some("a duration such as `60s`".to_owned()),
            );
        }
        let name = text(body, "/spec/type");
        let Some(of) = TYPES.iter().find(|t| t.name == name) else {
            self.unknown_type(name);
            self.references(body, &[]);
            return;
        };
        let version = text(body, "/spec/version");
        if !of.versions.contains(&version) {
            self.error(
                &format!("asks for version `{version}` of {name}"),
                Some(format!("there is {}", of.versions.join(" and "))),
            );
        }
        self.metadata(body, of);
        self.references(body, of.secret);
        if name == "pubsub.kafka" {
            self.login(body);
        }
    }

    /// A type beyond the tables may exist; one that cannot exist is an error.
    fn unknown_type(&mut self, name: &str) {
        let (category, rest) = name.split_once('.').unwrap_or((name, ""));
        let names = TYPES.iter().map(|t| t.name);
        // Kubernetes has no job component: jobs are an API of the scheduler.
        if name.contains("job") || name.contains("scheduler") {
            self.error(
                &format!("has the invented type `{name}`"),
                Some(
                    "jobs need no component: the app schedules them through its sidecar".to_owned(),
                ),
            );
        } else if !CATEGORIES.contains(&category) || rest.is_empty() {
            let hint = meant(name, names).or_else(|| choice(category, CATEGORIES.iter().copied()));
            self.error(&format!("has the invented type `{name}`"), hint);
        } else if let Some(near) = near_miss(name) {
            self.error(
                &format!("has the type `{name}`, which Dapr does not have"),
                Some(format!("did you mean `{near}`?")),
            );
        } else {
            let finding = Finding::warning(format!(
                "{} has the type `{name}`, whose metadata todoctl cannot check",
                self.object
            ));
            self.findings.push(finding);
        }
    }

    fn metadata(&mut self, body: &Value, of: &Type) {
        let items = list(body, "/spec/metadata");
        let mut seen = BTreeSet::new();
        for item in items {
            let name = text(item, "/name");
            if !of.takes(name) {
                let hint = meant(name, of.names());
                self.error(&format!("has the unknown metadata `{name}`"), hint);
            }
            if !seen.insert(name.to_ascii_lowercase()) {
                self.error(
                    &format!("has the metadata `{name}` twice"),
                    Some("Dapr takes the later one".to_owned()),
                );
            }
            self.word(item, name, of);
        }
        let has = |name: &str| seen.contains(&name.to_ascii_lowercase());
        for name in of.required.iter().filter(|name| !has(name)) {
            self.error(&format!("lacks the metadata `{name}`"), None);
        }
        for names in of.one_of {
            if !names.iter().any(|name| has(name)) {
                let all = names.join("`, `");
                self.error(&format!("lacks one of the metadata `{all}`"), None);
            }
        }
    }

    fn word(&mut self, item: &Value, name: &str, of: &Type) {
        let words = of.words.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        let (Some((_, words)), Some(value)) = (words, item.get("value")) else {
            return;
        };
        let value = scalar(value);
        if words.contains(&value.as_str()) {
            return;
        }
        let hint = if name.eq_ignore_ascii_case("saslMechanism") {
            Some(sasl_hint(&value))
        } else {
            choice(&value, words.iter().copied())
        };
        self.error(&format!("has `{value}` as its {name}"), hint);
    }

    /// Each item's value has one source, and secrets come from secrets that
    /// are there.
    fn references(&mut self, body: &Value, secret: &[&str]) {
        for item in list(body, "/spec/metadata") {
            let name = text(item, "/name");
            let sources = ["value", "secretKeyRef", "envRef"];
            let count = sources.iter().filter(|s| item.get(**s).is_some()).count();
            if count != 1 {
                self.error(
                    &format!("needs one value for `{name}`, and has {count}"),
                    Some("write `value`, `secretKeyRef` or `envRef`".to_owned()),
                );
            }
            let literal = item.get("value").is_some_and(|v| !scalar(v).is_empty());
            if literal && secret.iter().any(|s| s.eq_ignore_ascii_case(name)) {
                self.error(
                    &format!("shows `{name}` to everyone who may read components"),
                    Some("put it into a Kubernetes secret and write `secretKeyRef`".to_owned()),
                );
            }
            let env = text(item, "/envRef");
            if env.starts_with("DAPR_") || env == "APP_API_TOKEN" {
                self.error(
                    &format!("takes `{name}` from `{env}`, which Dapr refuses"),
                    None,
                );
            }
            if let Some(reference) = item.get("secretKeyRef") {
                self.secret(name, reference);
            }
        }
    }

    fn secret(&mut self, item: &str, reference: &Value) {
        let (name, key) = (text(reference, "/name"), text(reference, "/key"));
        let Some(keys) = self.around.secrets.get(name) else {
            let hint = choice(name, self.around.secrets.keys().map(String::as_str));
            self.error(
                &format!("takes `{item}` from the secret `{name}`, which is not there"),
                hint,
            );
            return;
        };
        // Without a key, Dapr takes the secret's name for it.
        let key = if key.is_empty() { name } else { key };
        if !keys.is_empty() && !keys.contains(key) {
            let hint = choice(key, keys.iter().map(String::as_str));
            self.error(
                &format!("takes `{item}` from the key `{key}`, which the secret `{name}` lacks"),
                hint,
            );
        }
    }

    /// A password needs a user and an encrypted connection.
    fn login(&mut self, body: &Value) {
        let items = list(body, "/spec/metadata");
        let find = |name: &str| {
            let is = |item: &&Value| text(item, "/name").eq_ignore_ascii_case(name);
            items.iter().find(is)
        };
        let value = |name: &str| find(name).and_then(|item| item.get("value")).map(scalar);
        if value("authType").as_deref() != Some("password") {
            if find("saslPassword").is_some() {
                self.error(
                    "has a password that its authType does not use",
                    Some("write `authType: password`".to_owned()),
                );
            }
            return;
        }
        for name in ["saslUsername", "saslPassword"] {
            if find(name).is_none() {
                self.error(
                    &format!("lacks the metadata `{name}`, which authType `password` needs"),
                    None,
                );
            }
        }
        let plain = value("saslMechanism").is_none_or(|mechanism| mechanism == "PLAIN");
        if plain && value("disableTls").as_deref() == Some("true") {
            self.error(
                "would send its password in the clear",
                Some("use TLS, or a SCRAM mechanism".to_owned()),
            );
        }
    }

    fn subscription(&mut self, manifest: &Manifest) {
        let body = manifest.body();
        let broker = text(body, "/spec/pubsubname");
        if !self.brokers.contains_key(broker) {
            let hint = choice(broker, self.brokers.keys().copied().collect::<Vec<_>>());
            self.error(
                &format!("listens to the pub/sub component `{broker}`, which is not there"),
                hint,
            );
        }
        for (field, pointer) in [
            ("topic", "/spec/topic"),
            ("deadLetterTopic", "/spec/deadLetterTopic"),
        ] {
            let topic = text(body, pointer);
            if topic.is_empty() {
                if field == "topic" {
                    self.error("lacks its topic", None);
                }
            } else if !self.around.topics.is_empty() && !self.around.topics.contains(topic) {
                let hint = choice(topic, self.around.topics.iter().map(String::as_str));
                self.error(
                    &format!("names the {field} `{topic}`, which does not exist"),
                    hint,
                );
            }
        }
        let (wanted, other) = match manifest.version() {
            "v1alpha1" => ("/spec/route", "/spec/routes"),
            _ => ("/spec/routes", "/spec/route"),
        };
        if body.pointer(other).is_some() || body.pointer(wanted).is_none() {
            let field = wanted.trim_start_matches("/spec/");
            self.error(
                &format!("needs `{field}` in version {}", manifest.version()),
                Some("`v1alpha1` has `route`, `v2alpha1` has `routes`".to_owned()),
            );
        }
    }

    /// Targets are components and policies that are there.
    fn resiliency(&mut self, body: &Value) {
        for part in ["policies", "targets"] {
            if !body["spec"][part].is_object() {
                self.error(&format!("lacks `spec.{part}`"), None);
            }
        }
        let targets = body.pointer("/spec/targets/components");
        for (name, target) in targets.and_then(Value::as_object).into_iter().flatten() {
            if !self.components.contains_key(name.as_str()) {
                let hint = choice(name, self.components.keys().copied().collect::<Vec<_>>());
                self.error(
                    &format!("is for the component `{name}`, which is not there"),
                    hint,
                );
            }
            for direction in ["inbound", "outbound"] {
                for (field, kind) in [
                    ("timeout", "timeouts"),
                    ("retry", "retries"),
                    ("circuitBreaker", "circuitBreakers"),
                ] {
                    let policy = text(target, &format!("/{direction}/{field}"));
                    let known = body.pointer(&format!("/spec/policies/{kind}"));
                    let known = known.and_then(Value::as_object);
                    if !policy.is_empty() && known.is_none_or(|k| !k.contains_key(policy)) {
                        let names = known.into_iter().flat_map(|k| k.keys());
                        let names: Vec<&str> = names.map(String::as_str).collect();
                        self.error(
                            &format!("uses the {field} `{policy}`, which it does not define"),
                            choice(policy, names),
                        );
                    }
                }
            }
        }
    }
}

/// Dapr knows SCRAM by the hash's name; all other words mean PLAIN to it.
fn sasl_hint(value: &str) -> String {
    let bits = ["512", "256"].into_iter().find(|bits| value.contains(bits));
    match bits {
        Some(bits) => format!("Dapr's word for it is `SHA-{bits}`; it takes all others for PLAIN"),
        None => "`SHA-256`, `SHA-512` or `PLAIN`".to_owned(),
    }
}

/// A known type, when a name is one slip away from it.
fn near_miss(name: &str) -> Option<&'static str> {
    let near = nearest(name, TYPES.iter().map(|t| t.name))?;
    let (category, rest) = near.split_once('.')?;
    let (given, word) = name.split_once('.')?;
    // `state.mysql` is a type of its own, `state.postgres` is none.
    let same_word = rest.starts_with(word) || word.starts_with(rest) || {
        let (a, b) = (rest.to_ascii_lowercase(), word.to_ascii_lowercase());
        nearest(&a, [b.as_str()]).is_some() && a.get(..2) == b.get(..2)
    };
    (given == category && same_word).then_some(near)
}

/// Whether a text is one of Go's durations, which begin with a number and end
/// with a unit.
fn is_duration(text: &str) -> bool {
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let unit = ["ns", "us", "ms", "s", "m", "h"]
            .into_iter()
            .find(|unit| after.starts_with(unit));
        let (Ok(_), Some(unit)) = (number.parse::<f64>(), unit) else {
            return false;
        };
        rest = after.get(unit.len()..).unwrap_or_default();
    }
    !text.is_empty()
}

#[cfg(test)]
mod tests;
