//! The serverless cluster at Redpanda Cloud that a profile means, and who the
//! app is there.

use super::{BackboneError, Told};
use crate::clock::Clock;
use crate::kafka::{Mechanism, Sasl};
use crate::net::Trust;
use crate::profile::{Profile, SaslMechanism};
use crate::redpanda::{self, Cloud, Endpoints, ServiceAccount};
use crate::secret::Secret;

/// The cluster's name in the organisation.
pub fn cluster_name(profile: &Profile) -> String {
    format!("todoctl-{}", profile.deployment)
}

/// A client of the profile's organisation.
pub fn cloud(profile: &Profile, clock: &Clock) -> Result<Cloud, BackboneError> {
    let account = profile.kafka.redpanda_cloud.as_ref();
    let account = account.ok_or(BackboneError::Untold("Redpanda Cloud"))?;
    let secret = account.client_secret.secret();
    let secret = secret.filter(|secret| !secret.expose().is_empty());
    let account = ServiceAccount {
        client_id: account.client_id.clone(),
        client_secret: secret.ok_or(BackboneError::NoAccount)?.clone(),
    };
    let endpoints = match &profile.endpoints.redpanda {
        None => Endpoints::default(),
        Some(base) => {
            let at = |path: &str| {
                let url = format!("{}{path}", base.trim_end_matches('/'));
                url.parse()
                    .map_err(|_| BackboneError::Endpoint(base.clone()))
            };
            Endpoints {
                token: at("/oauth/token")?,
                api: at("/")?,
            }
        }
    };
    Ok(Cloud::new(
        account,
        endpoints,
        trust(profile),
        clock.clone(),
    )?)
}

fn trust(profile: &Profile) -> Trust {
    match &profile.endpoints.redpanda_ca {
        Some(pem) => Trust::SystemAnd(pem.clone().into_bytes()),
        None => Trust::System,
    }
}

/// Who the app and todoctl are: the profile's user, or one named after the
/// deployment. Where the profile gives no password, it follows from the
/// account's secret: passwords can be set there and never be read, and this
/// way every machine and every run after a crash knows the same one.
pub fn login(profile: &Profile) -> Result<Sasl, BackboneError> {
    let kafka = &profile.kafka;
    let mechanism = match kafka.auth.mechanism {
        SaslMechanism::ScramSha512 => Mechanism::ScramSha512,
        _ => Mechanism::ScramSha256,
    };
    let username = kafka.auth.username.clone();
    let username = username.unwrap_or_else(|| cluster_name(profile));
    let given = kafka.auth.password.as_ref().and_then(|p| p.secret());
    let password = match given.filter(|password| !password.expose().is_empty()) {
        Some(password) => password.clone(),
        None => derived(profile, &username)?,
    };
    Ok(Sasl {
        mechanism,
        username,
        password,
    })
}

fn derived(profile: &Profile, username: &str) -> Result<Secret, BackboneError> {
    let account = profile.kafka.redpanda_cloud.as_ref();
    let secret = account.and_then(|account| account.client_secret.secret());
    let secret = secret.ok_or(BackboneError::NoAccount)?;
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.expose().as_bytes());
    let tag = ring::hmac::sign(&key, format!("todoctl/kafka/{username}").as_bytes());
    let hex: String = tag.as_ref().iter().map(|b| format!("{b:02x}")).collect();
    Ok(Secret::new(hex))
}

/// How the brokers of a cluster are reached.
pub fn told(profile: &Profile, cluster: &redpanda::Cluster) -> Result<Told, BackboneError> {
    let mut told = Told::by_redpanda(cluster, Some(login(profile)?))?;
    told.tls = Some(trust(profile));
    Ok(told)
}

/// Asks Redpanda Cloud where the brokers are.
pub(super) async fn ask(profile: &Profile, clock: &Clock) -> Result<Told, BackboneError> {
    let cloud = cloud(profile, clock)?;
    let found = cloud.find_cluster(&cluster_name(profile)).await?;
    let found = found.filter(|cluster| !cluster.brokers.is_empty());
    let cluster = found.ok_or(BackboneError::Untold("Redpanda Cloud"))?;
    cluster.check()?;
    told(profile, &cluster)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{KafkaProvider, RedpandaCloud, SecretText};

    fn profile(secret: &str) -> Profile {
        let mut profile = Profile::default();
        profile.kafka.provider = KafkaProvider::RedpandaCloud;
        profile.kafka.redpanda_cloud = Some(RedpandaCloud {
            client_id: "id".to_owned(),
            client_secret: SecretText::resolved(Secret::new(secret)),
            region: "eu-central-1".to_owned(),
        });
        profile
    }

    #[test]
    fn a_password_that_nobody_gives_follows_from_the_account() {
        let one = login(&profile("s1")).unwrap();
        let same = login(&profile("s1")).unwrap();
        let other = login(&profile("s2")).unwrap();
        assert_eq!(one.password.expose(), same.password.expose());
        assert_ne!(one.password.expose(), other.password.expose());
        assert_eq!(one.mechanism, Mechanism::ScramSha256);
        let mut given = profile("s1");
        given.kafka.auth.username = Some("app".to_owned());
        given.kafka.auth.password = Some(SecretText::resolved(Secret::new("pw")));
        let given = login(&given).unwrap();
        assert_eq!((&*given.username, given.password.expose()), ("app", "pw"));
    }

    #[test]
    fn without_the_account_s_secret_there_is_no_client() {
        let error = cloud(&profile(""), &Clock::default()).unwrap_err();
        assert!(matches!(error, BackboneError::NoAccount), "{error}");
    }
}
