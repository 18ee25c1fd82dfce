//! Rendering: embedded handlebars templates become Kubernetes manifests with
//! our owner labels.
//!
//! No network and no files: the templates are in the binary. The app's chart is
//! one of them ([`app`]); rendering it is the business of `helm`. Secret values never pass through a template:
//! [`secrets`] builds their manifests in code.

pub mod app;
mod dapr;
mod engine;
pub mod ingress;
pub mod kafka;
pub mod overlay;
mod secrets;
pub mod templates;

use serde::Serialize;

pub use self::app::{app_chart, app_values};
use self::engine::Engine;
pub use self::engine::RenderError;
pub use self::secrets::{
    APP_SECRETS, DAPR_STATE, Fingerprints, KAFKA_CREDENTIALS, fingerprints, secrets,
};
pub use crate::manifest::Manifest;
use crate::profile::{KafkaProvider, Profile, SaslMechanism};
use crate::secret::Secret;

/// Name of the Dapr Configuration that the app's sidecars follow.
pub const DAPR_CONFIG: &str = "todo-app";

/// What rendering needs beyond the profile: what earlier steps learned.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    /// `HOST:PORT` of the Kafka brokers. Empty means the profile's own.
    pub brokers: Vec<String>,
    /// How the app logs in to Kafka. Absent means the profile's own way.
    pub kafka_login: Option<KafkaLogin>,
    /// The version of Dapr that new sidecars have, if that is known.
    pub dapr_version: Option<String>,
}

/// A way to log in to Kafka.
#[derive(Debug, Clone)]
pub struct KafkaLogin {
    /// The SASL mechanism; not [`SaslMechanism::None`].
    pub mechanism: SaslMechanism,
    /// User name.
    pub username: String,
    /// Password.
    pub password: Secret,
}

/// Every manifest of the platform that holds no secret and needs no more than
/// the Component definition, in the order of creation: the namespace, the Dapr
/// components, and what lets the app read its own secrets.
pub fn manifests(profile: &Profile, inputs: &Inputs) -> Result<Vec<Manifest>, RenderError> {
    let engine = Engine::new()?;
    let namespace = profile.app.namespace.as_str();
    let mut out = engine.manifests("namespace", &NamespaceContext { namespace })?;
    out.extend(engine.manifests(
        "dapr/secret-reader",
        &SecretContext {
            namespace,
            secret: APP_SECRETS,
        },
    )?);
    out.extend(dapr::components(&engine, profile, inputs)?);
    Ok(owned(out, profile))
}

/// The namespaces of the platform's releases, besides the app's own: with them
/// goes what the releases leave behind, such as claims for volumes.
pub fn namespaces(profile: &Profile) -> Result<Vec<Manifest>, RenderError> {
    let engine = Engine::new()?;
    let mut names = profile.namespaces();
    names.remove(profile.app.namespace.as_str());
    let mut out = Vec::new();
    for namespace in names {
        out.extend(engine.manifests("namespace", &NamespaceContext { namespace })?);
    }
    Ok(owned(out, profile))
}

/// The app's Dapr resources: components, the sidecars' configuration,
/// resiliency and subscriptions.
pub fn dapr_resources(profile: &Profile, inputs: &Inputs) -> Result<Vec<Manifest>, RenderError> {
    let engine = Engine::new()?;
    let mut out = dapr::components(&engine, profile, inputs)?;
    out.extend(dapr::settings(&engine, profile)?);
    Ok(owned(out, profile))
}

/// Kafka itself, for the Strimzi operator; nothing for other providers.
pub fn kafka_resources(profile: &Profile) -> Result<Vec<Manifest>, RenderError> {
    if profile.kafka.provider != KafkaProvider::Strimzi {
        return Ok(Vec::new());
    }
    Ok(owned(kafka::resources(&Engine::new()?, profile)?, profile))
}

/// The manifests with owner labels, in the order of creation.
fn owned(manifests: Vec<Manifest>, profile: &Profile) -> Vec<Manifest> {
    let mut manifests: Vec<Manifest> = manifests
        .into_iter()
        .map(|manifest| manifest.owned_by(profile.deployment.as_str()))
        .collect();
    manifests.sort_by_key(Manifest::rank);
    manifests
}

#[derive(Serialize)]
struct NamespaceContext<'a> {
    namespace: &'a str,
}

#[derive(Serialize)]
struct SecretContext<'a> {
    namespace: &'a str,
    secret: &'a str,
}

fn brokers(profile: &Profile, inputs: &Inputs) -> Result<Vec<String>, RenderError> {
    let given = [&inputs.brokers, &profile.kafka.brokers]
        .into_iter()
        .find(|brokers| !brokers.is_empty());
    match (given, profile.kafka.provider) {
        (Some(brokers), _) => Ok(brokers.clone()),
        // Strimzi names the bootstrap service after its Kafka resource, and
        // that one is named after the deployment.
        (None, KafkaProvider::Strimzi) => Ok(vec![kafka::bootstrap(profile)]),
        (None, _) => Err(RenderError::NoBrokers),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(sets: &[&str]) -> Profile {
        let sets: Vec<String> = sets.iter().map(|s| (*s).to_owned()).collect();
        crate::profile::load("sandbox", &sets).unwrap().profile
    }

    fn printed(manifests: &[Manifest]) -> String {
        let values: Vec<_> = manifests.iter().map(Manifest::printable).collect();
        crate::yaml::documents_to_string(&values).unwrap()
    }

    #[test]
    fn the_platform_of_the_sandbox() {
        let manifests = manifests(&profile(&[]), &Inputs::default()).unwrap();
        insta::assert_snapshot!(printed(&manifests));
    }

    #[test]
    fn a_login_becomes_secret_references_in_daprs_words() {
        let inputs = Inputs {
            brokers: vec!["a.example:9092".to_owned(), "b.example:9092".to_owned()],
            kafka_login: Some(KafkaLogin {
                mechanism: SaslMechanism::ScramSha512,
                username: "app".to_owned(),
                password: Secret::new("hunter2hunter2"),
            }),
            ..Inputs::default()
        };
        let profile = profile(&["kafka.tls=true"]);
        let manifests = manifests(&profile, &inputs).unwrap();
        let pubsub = manifests
            .iter()
            .find(|m| m.name() == "kafka-pubsub")
            .unwrap();
        insta::assert_snapshot!(printed(std::slice::from_ref(pubsub)));
    }

    #[test]
    fn the_settings_of_the_sandbox() {
        let profile = profile(&[
            "dapr.subscriptions=[{topic: task-events, app_id: backend, route: /events}]",
        ]);
        let all = dapr_resources(&profile, &Inputs::default()).unwrap();
        let settings: Vec<_> = all
            .into_iter()
            .filter(|m| m.kind() != "Component")
            .collect();
        insta::assert_snapshot!(printed(&settings));
    }

    #[test]
    fn strimzis_user_needs_no_password_of_ours() {
        let profile = profile(&["kafka.auth.mechanism=scram-sha-512", "kafka.tls=true"]);
        let all = dapr_resources(&profile, &Inputs::default()).unwrap();
        let pubsub = all.iter().find(|m| m.name() == "kafka-pubsub").unwrap();
        let text = printed(std::slice::from_ref(pubsub));
        for part in [
            "value: todo-app",
            "todo-cluster-ca-cert",
            ":9093",
            "value: SHA-512",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        assert!(!text.contains(KAFKA_CREDENTIALS), "{text}");
    }

    #[test]
    fn an_unknown_broker_is_an_error() {
        let profile = profile(&[
            "kafka.provider=redpanda-cloud",
            "kafka.redpanda_cloud={client_id: i, client_secret: s, region: r}",
        ]);
        assert!(matches!(
            manifests(&profile, &Inputs::default()),
            Err(RenderError::NoBrokers)
        ));
    }

    #[test]
    fn every_object_carries_its_owner() {
        let profile = profile(&["deployment=team"]);
        for manifest in manifests(&profile, &Inputs::default()).unwrap() {
            assert_eq!(manifest.label(crate::manifest::OWNER_LABEL), Some("team"));
        }
    }
}
