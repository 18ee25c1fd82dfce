//! Loading components: scopes, types, required fields, secrets, time limits.
//! One that fails ends the sidecar, unless it says `ignoreErrors`.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use serde_json::Value;

use super::bus::Bus;
use super::kafka::Kafka;
use super::plane;
use super::runtime::Sidecar;
use super::secrets;
use super::state::Store;

/// What a component is good for.
pub(super) enum Instance {
    PubSub(Arc<dyn Bus>),
    State(Store),
    Secrets,
    /// Loaded, but nothing uses it here.
    Other,
}

/// A loaded component.
pub(super) struct Component {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) version: String,
    pub(super) fields: BTreeMap<String, String>,
    pub(super) instance: Instance,
}

impl Component {
    pub(super) fn bus(&self) -> Option<&Arc<dyn Bus>> {
        match &self.instance {
            Instance::PubSub(bus) => Some(bus),
            _ => None,
        }
    }

    /// `name (type/version)`, as logs have it.
    pub(super) fn title(&self) -> String {
        format!("{} ({}/{})", self.name, self.kind, self.version)
    }

    pub(super) fn capabilities(&self) -> &'static [&'static str] {
        match (&self.instance, self.version.as_str()) {
            (Instance::PubSub(_), _) => &["BULK_PUBSUB"],
            (Instance::State(_), "v2") => &["ETAG", "TRANSACTIONAL", "TTL", "KEYS_LIKE", "ACTOR"],
            (Instance::State(_), _) => &["ETAG", "TRANSACTIONAL", "QUERY_API", "ACTOR", "TTL"],
            _ => &[],
        }
    }

    /// Whether an app may use a topic: `app1=t1,t2;app2=t3` in the field, and
    /// topics that are protected from all who are not named.
    pub(super) fn allows_topic(&self, field: &str, app: &str, topic: &str) -> bool {
        let list = |name: &str| {
            let text = self
                .fields
                .get(name)
                .map(String::as_str)
                .unwrap_or_default();
            let parts = text
                .split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty());
            parts.map(str::to_owned).collect::<Vec<_>>()
        };
        let allowed = list("allowedTopics");
        if !allowed.is_empty() && !allowed.iter().any(|entry| entry == topic) {
            return false;
        }
        let scopes = self
            .fields
            .get(field)
            .map(String::as_str)
            .unwrap_or_default();
        let own = scopes.split(';').filter_map(|scope| scope.split_once('='));
        let own = own.into_iter().find(|(name, _)| name.trim() == app);
        match own {
            Some((_, topics)) => topics.split(',').any(|entry| entry.trim() == topic),
            None => !list("protectedTopics").iter().any(|entry| entry == topic),
        }
    }
}

/// Whether an object is for an app: scopes are empty or name it.
pub(super) fn in_scope(object: &Value, app: &str) -> bool {
    let scopes = object["scopes"]
        .as_array()
        .filter(|scopes| !scopes.is_empty());
    scopes.is_none_or(|scopes| scopes.iter().any(|scope| scope == app))
}

/// Loads all components of the app. The error is the runtime's last word.
pub(super) async fn load(sidecar: &Sidecar) -> Result<(), String> {
    let log = &sidecar.log;
    log.info("Loading components…");
    let listed = plane::ask(&sidecar.process, &sidecar.options, "components", "").await;
    let listed = listed.map_err(|error| format!("failed to load components: {error}"))?;
    let mut mine: Vec<Value> = listed.as_array().cloned().unwrap_or_default();
    mine.retain(|object| in_scope(object, &sidecar.options.app_id));
    // Secret stores come first: others may refer to them.
    mine.sort_by_key(|object| {
        let kind = object["spec"]["type"].as_str().unwrap_or_default();
        !kind.starts_with("secretstores.")
    });
    if sidecar.options.builtin_secret_store {
        add(sidecar, builtin());
    }
    log.scope("dapr.runtime.processor")
        .info("Waiting for all outstanding components to be processed…");
    for object in &mine {
        load_one(sidecar, object).await?;
    }
    log.scope("dapr.runtime.processor")
        .info("All outstanding components processed");
    Ok(())
}

fn builtin() -> Component {
    Component {
        name: "kubernetes".to_owned(),
        kind: "secretstores.kubernetes".to_owned(),
        version: "v1".to_owned(),
        fields: BTreeMap::new(),
        instance: Instance::Secrets,
    }
}

fn add(sidecar: &Sidecar, component: Component) {
    sidecar
        .log
        .scope("dapr.runtime.processor")
        .info(&format!("Component loaded: {}", component.title()));
    sidecar.metrics.component_loaded(&component.kind);
    let mut all = sidecar
        .components
        .write()
        .unwrap_or_else(PoisonError::into_inner);
    all.retain(|held| held.name != component.name);
    all.push(Arc::new(component));
}

async fn load_one(sidecar: &Sidecar, object: &Value) -> Result<(), String> {
    let spec = &object["spec"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (name, kind) = (text(&object["metadata"]["name"]), text(&spec["type"]));
    let version = match text(&spec["version"]) {
        empty if empty.is_empty() => "v1".to_owned(),
        version => version.to_lowercase(),
    };
    let title = format!("{name} ({kind}/{version})");
    let fields = match fields(sidecar, object).await {
        Ok(fields) => fields,
        Err(why) => return give_up(sidecar, spec, &title, &why),
    };
    match open(sidecar, &name, &kind, &version, &fields) {
        Ok(instance) => {
            add(
                sidecar,
                Component {
                    name,
                    kind,
                    version,
                    fields,
                    instance,
                },
            );
            Ok(())
        }
        Err(why) => give_up(sidecar, spec, &title, &why),
    }
}

fn give_up(sidecar: &Sidecar, spec: &Value, title: &str, why: &str) -> Result<(), String> {
    let unknown = why.starts_with("couldn't find") || why.starts_with("incorrect type");
    let (code, phase) = match unknown {
        true => ("CREATE_COMPONENT_FAILURE", "creation"),
        false => ("INIT_COMPONENT_FAILURE", "initialization"),
    };
    let message = format!("[{code}]: {phase} error occurred for {title}: {why}");
    sidecar.metrics.component_failed(title, code);
    if spec["ignoreErrors"] == Value::Bool(true) {
        sidecar
            .log
            .scope("dapr.runtime.processor")
            .error(&format!("Ignoring error processing component: {message}"));
        return Ok(());
    }
    sidecar
        .log
        .scope("dapr.runtime.processor")
        .error(&format!("Failed to init component {title}: {message}"));
    Err(format!("process component {title} error: {message}"))
}

/// The component's fields, templates filled in and secrets put in their place.
async fn fields(sidecar: &Sidecar, object: &Value) -> Result<BTreeMap<String, String>, String> {
    let options = &sidecar.options;
    let store = object["auth"]["secretStore"].as_str().unwrap_or_default();
    let mut fields = BTreeMap::new();
    for item in object["spec"]["metadata"].as_array().into_iter().flatten() {
        let name = item["name"].as_str().unwrap_or_default().to_owned();
        let by_reference = item["secretKeyRef"]["name"].as_str();
        let value = match by_reference {
            Some(secret) if !matches!(store, "" | "kubernetes") => {
                let key = item["secretKeyRef"]["key"].as_str().unwrap_or(secret);
                secrets::referenced(sidecar, store, secret, key).await?
            }
            _ => match &item["value"] {
                Value::String(text) => text.clone(),
                Value::Null => match item["envRef"].as_str() {
                    Some(env) => sidecar.process.env.get(env).cloned().unwrap_or_default(),
                    None => String::new(),
                },
                other => other.to_string(),
            },
        };
        let value = value
            .replace("{uuid}", &super::super::ids::uuid())
            .replace("{podName}", &sidecar.process.pod)
            .replace(
                "{namespace}",
                &format!("{}.{}", options.namespace, options.app_id),
            )
            .replace("{appID}", &options.app_id);
        fields.insert(name, value);
    }
    Ok(fields)
}

fn open(
    sidecar: &Sidecar,
    name: &str,
    kind: &str,
    version: &str,
    fields: &BTreeMap<String, String>,
) -> Result<Instance, String> {
    if sidecar.config.denies_component(kind) {
        return Err(format!(
            "component {name} of type {kind} is not allowed by the configuration"
        ));
    }
    let app = &sidecar.options.app_id;
    let log = sidecar
        .log
        .scope("dapr.contrib")
        .with("component", format!("{name} ({kind}/{version})"));
    match (kind, version) {
        ("pubsub.kafka", "v1") => {
            let bus = Kafka::open(&sidecar.process, fields, app)?;
            log.debug("Kafka message bus initialization complete");
            Ok(Instance::PubSub(Arc::new(bus)))
        }
        ("state.postgresql" | "state.postgres", "v1" | "v2") | ("state.in-memory", "v1") => {
            Store::open(sidecar, name, kind, fields).map(Instance::State)
        }
        ("secretstores.kubernetes", "v1") => Ok(Instance::Secrets),
        _ => {
            let lacks = |what: &str| Err(format!("couldn't find {what} {kind}/{version}"));
            match kind.split('.').next().unwrap_or_default() {
                "pubsub" => lacks("message bus"),
                "state" => lacks("state store"),
                "secretstores" => lacks("secret store"),
                "bindings" | "middleware" | "configuration" | "lock" | "crypto"
                | "conversation" | "workflowbackend" => Ok(Instance::Other),
                _ => Err(format!("incorrect type {kind}")),
            }
        }
    }
}
