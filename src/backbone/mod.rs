//! From a profile to the Kafka that it means.
//!
//! The profile alone says all about a Kafka that exists already. What only a
//! running deployment knows (the addresses and the authority of Strimzi's
//! brokers, the way to them through the Kubernetes API, the seed brokers of a
//! serverless cluster) is [`Told`] by the provider; [`reach`] asks it.

pub mod redpanda;
mod strimzi;

use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, human};
use crate::k8s::{K8sError, Kube};
use crate::kafka::{
    self, Address, AddressError, Client, Connector, KafkaAccess, Mechanism, Sasl, Tcp,
};
use crate::net::Trust;
use crate::profile::{KafkaProvider, Profile, SaslMechanism};
use crate::redpanda as cloud;
use crate::render;

/// What the provider told about its brokers once they existed. Every field
/// comes before what the profile says.
#[derive(Debug, Clone)]
pub struct Told {
    /// Brokers to ask first, by the names that their certificates are for.
    pub brokers: Vec<Address>,
    /// Whether connections are encrypted, and by whose certificates.
    pub tls: Option<Trust>,
    /// Who todoctl is.
    pub sasl: Option<Sasl>,
    /// The way to a broker: [`Tcp`], or a port-forward.
    pub connector: Arc<dyn Connector>,
}

impl Told {
    /// What a serverless cluster of Redpanda Cloud tells: public addresses, and
    /// certificates that everybody trusts.
    pub fn by_redpanda(
        cluster: &cloud::Cluster,
        sasl: Option<Sasl>,
    ) -> Result<Self, BackboneError> {
        let brokers: Result<Vec<Address>, _> = cluster.brokers.iter().map(|b| b.parse()).collect();
        Ok(Self {
            brokers: brokers?,
            tls: Some(Trust::System),
            sasl,
            connector: Arc::new(Tcp),
        })
    }
}

/// How long asking for the way may take, in real time.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why there is no way to Kafka.
#[derive(Debug, thiserror::Error)]
pub enum BackboneError {
    /// The provider has not told where its brokers are.
    #[error("the brokers of {0} are not known yet")]
    Untold(&'static str),
    /// Asking for the way took too long.
    #[error("nobody told within {} where the brokers are", human(PATIENCE))]
    Silent,
    /// The cluster cannot be asked.
    #[error(transparent)]
    Cluster(#[from] K8sError),
    /// No broker runs in the cluster.
    #[error("no broker of Kafka {kafka} is ready{}", starting_text(*starting))]
    NoBroker {
        /// Namespace and name of the Kafka resource.
        kafka: String,
        /// How many there are that are not ready.
        starting: usize,
    },
    /// A secret that its operator makes is not there, or incomplete.
    #[error("the secret {secret} in the cluster does not hold `{key}`")]
    Secret {
        /// Namespace and name.
        secret: String,
        /// What is missing.
        key: String,
    },
    /// The service account's secret was not looked up, or is empty.
    #[error("`kafka.redpanda_cloud.client_secret` is not known")]
    NoAccount,
    /// An address of the profile is none.
    #[error("`endpoints.redpanda` is `{0}`, which is no URL")]
    Endpoint(String),
    /// Redpanda Cloud says no.
    #[error(transparent)]
    Cloud(#[from] cloud::Error),
    /// The client cannot be made.
    #[error(transparent)]
    Client(#[from] kafka::Error),
    /// A broker's address makes no sense.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// There is no password for the user.
    #[error("`kafka.auth` names a mechanism, but no user with a password")]
    NoPassword,
}

fn starting_text(starting: usize) -> String {
    match starting {
        0 => ": none runs".to_owned(),
        1 => ": one is starting".to_owned(),
        n => format!(": {n} are starting"),
    }
}

impl BackboneError {
    /// The likely mend, as the user would do it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Untold(_) => "run `todoctl up` first".to_owned(),
            Self::NoBroker { starting: 0, .. } | Self::Secret { .. } => {
                "run `todoctl up`; it waits until Kafka is there".to_owned()
            }
            Self::NoBroker { .. } => {
                "wait a minute; `todoctl status` shows what its pods do".to_owned()
            }
            Self::Silent => "check with `todoctl status` that the cluster answers".to_owned(),
            Self::Address(_) | Self::NoPassword | Self::NoAccount | Self::Endpoint(_) => {
                "check the section `kafka` of the profile".to_owned()
            }
            Self::Cluster(error) => error.hint()?.to_owned(),
            Self::Cloud(error) => error.hint()?,
            Self::Client(error) => error.hint()?,
        })
    }
}

/// Whether the way to the profile's Kafka leads through its cluster.
pub fn is_inside(profile: &Profile) -> bool {
    profile.kafka.provider == KafkaProvider::Strimzi
}

/// A client of the profile's Kafka, wherever that is. Nothing is connected
/// before the client's first call; what that needs to know (brokers, authority
/// and password) is asked for here, within five seconds.
///
/// `kube` is the deployment's cluster; [`is_inside`] tells whether it is needed.
/// Of the clock only the cancellation counts: brokers live in real time,
/// whatever a rehearsal's clock does.
pub async fn reach(
    profile: &Profile,
    kube: Option<&Kube>,
    clock: &Clock,
) -> Result<Client, BackboneError> {
    let told = async {
        Ok::<_, BackboneError>(match (profile.kafka.provider, kube) {
            (KafkaProvider::Strimzi, Some(kube)) => Some(strimzi::told(profile, kube).await?),
            (KafkaProvider::RedpandaCloud, _) => Some(redpanda::ask(profile, clock).await?),
            _ => None,
        })
    };
    let told = tokio::time::timeout(PATIENCE, told).await;
    client(profile, told.map_err(|_| BackboneError::Silent)??, clock)
}

/// A client of the profile's Kafka, of which this was told. Nothing is
/// connected, and of the clock only the cancellation counts.
pub fn client(
    profile: &Profile,
    told: Option<Told>,
    clock: &Clock,
) -> Result<Client, BackboneError> {
    let real = Clock::new(1.0, clock.cancellation().clone());
    Ok(Client::new(brokers(profile, told)?, real)?)
}

/// What the manifests need to know of Kafka beyond the profile: the login at
/// Redpanda Cloud, and the brokers that it told.
pub fn inputs(profile: &Profile, brokers: &[String]) -> Result<render::Inputs, BackboneError> {
    if profile.kafka.provider != KafkaProvider::RedpandaCloud {
        return Ok(render::Inputs::default());
    }
    let login = redpanda::login(profile)?;
    Ok(render::Inputs {
        brokers: brokers.to_vec(),
        kafka_login: Some(render::KafkaLogin {
            mechanism: match login.mechanism {
                Mechanism::ScramSha512 => SaslMechanism::ScramSha512,
                _ => SaslMechanism::ScramSha256,
            },
            username: login.username,
            password: login.password,
        }),
        ..render::Inputs::default()
    })
}

/// How the profile's Kafka is reached.
pub fn brokers(profile: &Profile, told: Option<Told>) -> Result<KafkaAccess, BackboneError> {
    let kafka = &profile.kafka;
    if let Some(told) = told {
        return Ok(KafkaAccess {
            brokers: told.brokers,
            tls: told.tls,
            sasl: told.sasl,
            connector: told.connector,
        });
    }
    match kafka.provider {
        KafkaProvider::External => {}
        KafkaProvider::Strimzi => return Err(BackboneError::Untold("Strimzi")),
        KafkaProvider::RedpandaCloud => return Err(BackboneError::Untold("Redpanda Cloud")),
    }
    let addresses: Result<Vec<Address>, _> = kafka.brokers.iter().map(|b| b.parse()).collect();
    let trust = match &kafka.ca {
        Some(pem) => Trust::SystemAnd(pem.clone().into_bytes()),
        None => Trust::System,
    };
    Ok(KafkaAccess {
        brokers: addresses?,
        tls: kafka.tls.then_some(trust),
        sasl: sasl(profile)?,
        connector: Arc::new(Tcp),
    })
}

/// Who the profile says that todoctl is.
pub fn sasl(profile: &Profile) -> Result<Option<Sasl>, BackboneError> {
    let auth = &profile.kafka.auth;
    let mechanism = match auth.mechanism {
        SaslMechanism::None => return Ok(None),
        SaslMechanism::Plain => Mechanism::Plain,
        SaslMechanism::ScramSha256 => Mechanism::ScramSha256,
        SaslMechanism::ScramSha512 => Mechanism::ScramSha512,
    };
    let password = auth.password.as_ref().and_then(|field| field.secret());
    match (&auth.username, password) {
        (Some(username), Some(password)) => Ok(Some(Sasl {
            mechanism,
            username: username.clone(),
            password: password.clone(),
        })),
        _ => Err(BackboneError::NoPassword),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_external_kafka_is_as_the_profile_says() {
        let mut profile = Profile::default();
        profile.kafka.provider = KafkaProvider::External;
        profile.kafka.brokers = vec!["one.example.com:9092".to_owned(), "two:9093".to_owned()];
        let access = brokers(&profile, None).unwrap();
        assert_eq!(access.brokers[1], Address::new("two", 9093));
        assert!(access.tls.is_none() && access.sasl.is_none());
        profile.kafka.tls = true;
        profile.kafka.ca = Some("pem".to_owned());
        let access = brokers(&profile, None).unwrap();
        assert!(matches!(access.tls, Some(Trust::SystemAnd(_))));
        profile.kafka.auth.mechanism = SaslMechanism::ScramSha512;
        let error = brokers(&profile, None).unwrap_err();
        assert!(matches!(error, BackboneError::NoPassword));
    }

    #[test]
    fn the_others_have_to_tell() {
        let profile = Profile::default();
        let error = brokers(&profile, None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the brokers of Strimzi are not known yet"
        );
        let told = Told {
            brokers: vec![Address::new("kafka", 9093)],
            tls: None,
            sasl: None,
            connector: Arc::new(Tcp),
        };
        assert_eq!(brokers(&profile, Some(told)).unwrap().brokers.len(), 1);
    }
}
