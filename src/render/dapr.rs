//! The app's Dapr resources from the profile.

use std::collections::BTreeSet;

use serde::Serialize;

use super::engine::Engine;
use super::{
    APP_SECRETS, DAPR_CONFIG, DAPR_STATE, Inputs, KAFKA_CREDENTIALS, Manifest, RenderError,
    brokers, kafka,
};
use crate::profile::{KafkaProvider, Profile, SaslMechanism};

/// The store that every sidecar has without a component.
const BUILT_IN_STORE: &str = "kubernetes";

#[derive(Serialize)]
struct ComponentContext<'a> {
    name: &'a str,
    namespace: &'a str,
    scopes: &'a BTreeSet<&'a str>,
}

#[derive(Serialize)]
struct StateContext<'a> {
    #[serde(flatten)]
    component: ComponentContext<'a>,
    secret: &'a str,
}

#[derive(Serialize)]
struct KafkaContext<'a> {
    #[serde(flatten)]
    component: ComponentContext<'a>,
    brokers: Vec<String>,
    auth_type: &'static str,
    disable_tls: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    login: Option<LoginContext<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ca_secret: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ca: Option<&'a str>,
}

#[derive(Serialize)]
struct LoginContext<'a> {
    secret: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mechanism: Option<&'static str>,
}

#[derive(Serialize)]
struct ConfigurationContext<'a> {
    name: &'a str,
    namespace: &'a str,
    stores: [&'a str; 2],
    secret: &'a str,
}

#[derive(Serialize)]
struct ResiliencyContext<'a> {
    #[serde(flatten)]
    component: ComponentContext<'a>,
    pubsub: &'a str,
    state: &'a str,
}

#[derive(Serialize)]
struct SubscriptionContext<'a> {
    name: String,
    namespace: &'a str,
    pubsub: &'a str,
    topic: &'a str,
    route: &'a str,
    dead_letter_topic: String,
    app_id: &'a str,
}

/// The app IDs of the services.
fn app_ids(profile: &Profile) -> BTreeSet<&str> {
    let services = profile.app.services.iter();
    services
        .filter_map(|service| Some(service.dapr.as_ref()?.app_id.as_str()))
        .collect()
}

/// Secret store, state store and pub/sub.
pub(super) fn components(
    engine: &Engine,
    profile: &Profile,
    inputs: &Inputs,
) -> Result<Vec<Manifest>, RenderError> {
    let namespace = profile.app.namespace.as_str();
    let names = &profile.dapr.components;
    let scopes = app_ids(profile);
    let component = |name| ComponentContext {
        name,
        namespace,
        scopes: &scopes,
    };
    let mut out = engine.manifests(
        "dapr/secretstore-kubernetes",
        &component(names.secrets.as_str()),
    )?;
    out.extend(engine.manifests(
        "dapr/state-postgresql",
        &StateContext {
            component: component(names.state.as_str()),
            secret: DAPR_STATE,
        },
    )?);
    let pubsub = pubsub(profile, inputs, component(names.pubsub.as_str()))?;
    out.extend(engine.manifests("dapr/pubsub-kafka", &pubsub)?);
    Ok(out)
}

/// Configuration, resiliency and subscriptions.
pub(super) fn settings(engine: &Engine, profile: &Profile) -> Result<Vec<Manifest>, RenderError> {
    let namespace = profile.app.namespace.as_str();
    let names = &profile.dapr.components;
    let mut out = engine.manifests(
        "dapr/configuration",
        &ConfigurationContext {
            name: DAPR_CONFIG,
            namespace,
            stores: [BUILT_IN_STORE, names.secrets.as_str()],
            secret: APP_SECRETS,
        },
    )?;
    let scopes = app_ids(profile);
    out.extend(engine.manifests(
        "dapr/resiliency",
        &ResiliencyContext {
            component: ComponentContext {
                name: DAPR_CONFIG,
                namespace,
                scopes: &scopes,
            },
            pubsub: names.pubsub.as_str(),
            state: names.state.as_str(),
        },
    )?);
    for subscription in &profile.dapr.subscriptions {
        let topic = subscription.topic.as_str();
        let app_id = subscription.app_id.as_str();
        out.extend(engine.manifests(
            "dapr/subscription",
            &SubscriptionContext {
                name: kafka::object_name(&format!("{topic}-{app_id}")),
                namespace,
                pubsub: names.pubsub.as_str(),
                topic,
                route: &subscription.route,
                dead_letter_topic: subscription.dead_letter().to_string(),
                app_id,
            },
        )?);
    }
    Ok(out)
}

fn pubsub<'a>(
    profile: &'a Profile,
    inputs: &Inputs,
    component: ComponentContext<'a>,
) -> Result<KafkaContext<'a>, RenderError> {
    let mechanism = mechanism(profile, inputs);
    let user = strimzi_user(profile, inputs);
    let login = (mechanism != SaslMechanism::None).then_some(LoginContext {
        secret: user.unwrap_or(KAFKA_CREDENTIALS),
        username: user,
        mechanism: dapr_mechanism(mechanism),
    });
    let provider = profile.kafka.provider;
    let ca_secret = (provider == KafkaProvider::Strimzi && profile.kafka.tls)
        .then(|| kafka::ca_secret(profile));
    Ok(KafkaContext {
        component,
        brokers: brokers(profile, inputs)?,
        auth_type: if login.is_some() { "password" } else { "none" },
        disable_tls: !profile.kafka.tls && provider != KafkaProvider::RedpandaCloud,
        login,
        ca_secret,
        ca: match provider {
            KafkaProvider::External if profile.kafka.tls => profile.kafka.ca.as_deref(),
            _ => None,
        },
    })
}

pub(super) fn mechanism(profile: &Profile, inputs: &Inputs) -> SaslMechanism {
    inputs
        .kafka_login
        .as_ref()
        .map_or(profile.kafka.auth.mechanism, |login| login.mechanism)
}

/// The user whose password Strimzi makes and keeps in a secret of its name;
/// nobody where the login comes from elsewhere.
pub(super) fn strimzi_user<'a>(profile: &'a Profile, inputs: &Inputs) -> Option<&'a str> {
    let ours = profile.kafka.provider == KafkaProvider::Strimzi
        && profile.kafka.auth.mechanism == SaslMechanism::ScramSha512
        && inputs.kafka_login.is_none();
    ours.then(|| profile.kafka.strimzi.user.as_str())
}

/// Dapr knows SCRAM by other names than Kafka, and takes every text that it
/// does not know for PLAIN.
fn dapr_mechanism(mechanism: SaslMechanism) -> Option<&'static str> {
    match mechanism {
        SaslMechanism::ScramSha256 => Some("SHA-256"),
        SaslMechanism::ScramSha512 => Some("SHA-512"),
        SaslMechanism::None | SaslMechanism::Plain => None,
    }
}
