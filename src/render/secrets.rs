//! The Kubernetes secrets of a deployment, built in code: a template would put
//! their values into a text.

use std::collections::BTreeMap;

use base64::Engine as _;
use serde_json::json;

use super::dapr::{mechanism, strimzi_user};
use super::{Inputs, Manifest, RenderError, owned};
use crate::profile::{Profile, SaslMechanism, SecretText};
use crate::secret::Secret;

/// Name of the secret that holds every entry of the profile's `secrets`.
pub const APP_SECRETS: &str = "app-secrets";

/// Name of the secret with the Kafka user name and password.
pub const KAFKA_CREDENTIALS: &str = "kafka-credentials";

/// Name of the secret with the state store's connection string.
pub const DAPR_STATE: &str = "dapr-state";

/// The Kubernetes secrets of a deployment whose references are looked up.
pub fn secrets(profile: &Profile, inputs: &Inputs) -> Result<Vec<Manifest>, RenderError> {
    let mut app = BTreeMap::new();
    for (name, entry) in &profile.secrets {
        let path = format!("secrets.{name}.value");
        app.insert(name.as_str(), looked_up(&entry.value, &path)?.clone());
    }
    let mut out = Vec::new();
    if let Some(url) = app.get(profile.dapr.state_secret.as_str()) {
        let state = BTreeMap::from([("connection-string", connection_string(url))]);
        out.push(manifest(profile, DAPR_STATE, &state)?);
    }
    if let Some(login) = kafka_login(profile, inputs)? {
        out.push(manifest(profile, KAFKA_CREDENTIALS, &login)?);
    }
    out.insert(0, manifest(profile, APP_SECRETS, &app)?);
    Ok(owned(out, profile))
}

/// What the restarts of pods depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprints {
    /// Of each of the profile's secrets, by name.
    pub app: BTreeMap<String, String>,
    /// Of what the sidecars read at start, by secret and key; and of what they
    /// are: the injector gives a new version to new pods only.
    pub components: BTreeMap<String, String>,
}

/// The fingerprints of a deployment's secrets, whose references are looked up.
pub fn fingerprints(profile: &Profile, inputs: &Inputs) -> Result<Fingerprints, RenderError> {
    let mut app = BTreeMap::new();
    let mut components = BTreeMap::new();
    for (name, entry) in &profile.secrets {
        let secret = looked_up(&entry.value, &format!("secrets.{name}.value"))?;
        app.insert(name.to_string(), secret.fingerprint());
        if *name == profile.dapr.state_secret {
            let print = connection_string(secret).fingerprint();
            components.insert(format!("{DAPR_STATE}/connection-string"), print);
        }
    }
    for (key, secret) in kafka_login(profile, inputs)?.into_iter().flatten() {
        components.insert(format!("{KAFKA_CREDENTIALS}/{key}"), secret.fingerprint());
    }
    if let Some(version) = &inputs.dapr_version {
        components.insert("dapr/version".to_owned(), version.clone());
    }
    Ok(Fingerprints { app, components })
}

fn looked_up<'a>(field: &'a SecretText, path: &str) -> Result<&'a Secret, RenderError> {
    field
        .secret()
        .ok_or_else(|| RenderError::Unresolved(path.to_owned()))
}

fn kafka_login(
    profile: &Profile,
    inputs: &Inputs,
) -> Result<Option<BTreeMap<&'static str, Secret>>, RenderError> {
    if mechanism(profile, inputs) == SaslMechanism::None || strimzi_user(profile, inputs).is_some()
    {
        return Ok(None);
    }
    let auth = &profile.kafka.auth;
    let (username, password) = match (&inputs.kafka_login, &auth.username, &auth.password) {
        (Some(login), ..) => (login.username.clone(), login.password.clone()),
        (None, Some(username), Some(password)) => (
            username.clone(),
            looked_up(password, "kafka.auth.password")?.clone(),
        ),
        _ => return Err(RenderError::NoLogin),
    };
    Ok(Some(BTreeMap::from([
        ("username", Secret::new(username)),
        ("password", password),
    ])))
}

fn manifest(
    profile: &Profile,
    name: &str,
    data: &BTreeMap<&str, Secret>,
) -> Result<Manifest, RenderError> {
    let encoded: serde_json::Map<String, serde_json::Value> = data
        .iter()
        .map(|(key, secret)| {
            let text = base64::engine::general_purpose::STANDARD.encode(secret.expose());
            ((*key).to_owned(), json!(text))
        })
        .collect();
    let body = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": profile.app.namespace},
        "type": "Opaque",
        "data": encoded,
    });
    Manifest::new(body).map_err(|source| RenderError::Manifest {
        name: name.to_owned(),
        source,
    })
}

/// The app's connection string as Dapr's PostgreSQL driver reads it: Python
/// backends name a driver in the scheme (`postgresql+asyncpg://`) and give it
/// options that no other driver knows.
fn connection_string(url: &Secret) -> Secret {
    let text = url.expose();
    let Some((scheme, rest)) = text.split_once("://") else {
        return url.clone();
    };
    let Some((_, driver)) = scheme.split_once('+') else {
        return url.clone();
    };
    let (base, query) = rest.split_once('?').unwrap_or((rest, ""));
    let kept: Vec<String> = query
        .split('&')
        .filter(|option| !option.is_empty())
        .map(|option| match option.strip_prefix("ssl=") {
            Some(mode) if driver == "asyncpg" => format!("sslmode={mode}"),
            _ => option.to_owned(),
        })
        .collect();
    let separator = if kept.is_empty() { "" } else { "?" };
    Secret::new(format!("postgres://{base}{separator}{}", kept.join("&")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Sources;

    struct Nothing;

    impl Sources for Nothing {
        fn env(&self, _: &str) -> Option<String> {
            None
        }

        fn file(&self, _: &std::path::Path) -> std::io::Result<String> {
            Err(std::io::ErrorKind::NotFound.into())
        }

        fn secret(&self, _: &str) -> Option<Secret> {
            None
        }
    }

    #[test]
    fn secrets_hold_the_values_and_print_fingerprints() {
        let loaded = crate::profile::load(
            "sandbox",
            &[
                "kafka.provider=external".to_owned(),
                "kafka.brokers=[b.example:9092]".to_owned(),
                "kafka.auth={mechanism: scram-sha-256, username: u, password: pw-pw-pw}".to_owned(),
            ],
        )
        .unwrap();
        let unresolved = secrets(&loaded.profile, &Inputs::default());
        assert!(matches!(unresolved, Err(RenderError::Unresolved(_))));
        let profile = loaded.resolve(&Nothing).unwrap();
        let manifests = secrets(&profile, &Inputs::default()).unwrap();
        let names: Vec<&str> = manifests.iter().map(Manifest::name).collect();
        assert_eq!(names, [APP_SECRETS, DAPR_STATE, KAFKA_CREDENTIALS]);
        assert_eq!(
            manifests[0].body()["data"]["cohere-api-key"],
            base64::engine::general_purpose::STANDARD.encode("rehearsal-cohere-key")
        );
        let shown = format!("{manifests:?} {:?}", manifests[0].printable());
        assert!(!shown.contains("cmVoZWFyc2Fs"), "{shown}");
    }

    #[test]
    fn python_connection_strings_become_plain_ones() {
        for (given, wanted) in [
            (
                "postgres://u:p@h/db?sslmode=require",
                "postgres://u:p@h/db?sslmode=require",
            ),
            (
                "postgresql+asyncpg://u:p@h/db?ssl=require&a=b",
                "postgres://u:p@h/db?sslmode=require&a=b",
            ),
            ("postgresql+psycopg2://u:p@h/db", "postgres://u:p@h/db"),
            ("host=h user=u", "host=h user=u"),
        ] {
            assert_eq!(connection_string(&Secret::new(given)).expose(), wanted);
        }
    }
}
