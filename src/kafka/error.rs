//! What can go wrong with Kafka, in words, with the likely mend.

use std::io;
use std::time::Duration;

use kafka_protocol::error::ResponseError;

use super::access::{Address, Mechanism};
use crate::clock::{Cancelled, human};
use crate::net::{TlsProblem, TrustError};

/// How far a connection had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Opening the connection.
    Connect,
    /// Agreeing on encryption.
    Tls,
    /// Asking what the broker can do.
    Versions,
    /// Proving who the client is.
    Authenticate,
    /// A request; the name is the protocol's.
    Request(&'static str),
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Connect => f.write_str("opening the connection"),
            Self::Tls => f.write_str("the TLS handshake"),
            Self::Versions => f.write_str("the first request"),
            Self::Authenticate => f.write_str("authentication"),
            Self::Request(name) => write!(f, "{name}"),
        }
    }
}

/// What a broker may refuse access to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Guarded {
    /// A topic.
    Topic(String),
    /// A consumer group.
    Group(String),
    /// The cluster itself, for instance creating topics.
    Cluster,
}

impl std::fmt::Display for Guarded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Topic(name) => write!(f, "the topic `{name}`"),
            Self::Group(name) => write!(f, "the consumer group `{name}`"),
            Self::Cluster => f.write_str("the cluster"),
        }
    }
}

/// Why something at Kafka did not work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection.
    #[error("cannot connect to the broker {address}")]
    Unreachable {
        /// The broker.
        address: Address,
        /// Why.
        source: io::Error,
        /// The likely mend, if whoever knows the way knows it.
        advice: Option<String>,
    },
    /// The broker said nothing within the time limit.
    #[error("the broker {address} did not answer within {} ({stage})", human(*waited))]
    Silent {
        /// The broker.
        address: Address,
        /// What it did not answer to.
        stage: Stage,
        /// How long it had.
        waited: Duration,
    },
    /// The broker hung up.
    #[error("the broker {address} closed the connection during {stage}")]
    Closed {
        /// The broker.
        address: Address,
        /// What it did not answer to.
        stage: Stage,
        /// What the socket said, if anything.
        source: Option<io::Error>,
    },
    /// The client speaks plaintext, the broker TLS.
    #[error("the broker {address} does not take unencrypted connections")]
    NeedsTls {
        /// The broker.
        address: Address,
    },
    /// The client speaks TLS, the broker plaintext.
    #[error("the broker {address} does not answer in TLS")]
    NotTls {
        /// The broker.
        address: Address,
    },
    /// The broker hung up on a client that did not say who it is.
    #[error("the broker {address} closed the connection on a client without a name")]
    NeedsSasl {
        /// The broker.
        address: Address,
    },
    /// TLS could not be agreed on.
    #[error("no TLS connection to the broker {address}: {problem}")]
    Tls {
        /// The broker.
        address: Address,
        /// What is wrong.
        problem: TlsProblem,
        /// What TLS said.
        source: io::Error,
    },
    /// The given authorities cannot be used.
    #[error("cannot prepare TLS")]
    Trust(#[from] TrustError),
    /// The broker does not offer the mechanism.
    #[error("the broker {address} does not offer {wanted}, but {}", offered_text(.offered))]
    Mechanism {
        /// The broker.
        address: Address,
        /// What the client would use.
        wanted: Mechanism,
        /// What there is.
        offered: Vec<String>,
    },
    /// Wrong user or password.
    #[error("the broker {address} refused the user `{user}` ({mechanism})")]
    Denied {
        /// The broker.
        address: Address,
        /// The user.
        user: String,
        /// The mechanism.
        mechanism: Mechanism,
    },
    /// The broker could not show that it knows the password.
    #[error("the broker {address} could not prove that it knows the password of `{user}`")]
    Impostor {
        /// The broker.
        address: Address,
        /// The user.
        user: String,
    },
    /// The user may not do it.
    #[error("not authorised for {what}")]
    NotAuthorised {
        /// What it may not use.
        what: Guarded,
    },
    /// The topic does not exist.
    #[error("the topic `{topic}` does not exist")]
    TopicMissing {
        /// The topic.
        topic: String,
    },
    /// A partition has no leader at the moment.
    #[error("partition {partition} of `{topic}` has no leader")]
    Leaderless {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
    },
    /// The offset is not in the log.
    #[error(
        "offset {offset} of `{topic}` partition {partition} does not exist: the partition holds \
         {}", range_text(*earliest, *latest)
    )]
    OutOfRange {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// What was asked for.
        offset: i64,
        /// The first offset there is.
        earliest: i64,
        /// The offset that the next event will have.
        latest: i64,
    },
    /// Produced, but whether it was stored is not known.
    #[error("the connection was lost before the broker confirmed: the event may be stored or not")]
    Unconfirmed(#[source] Box<Self>),
    /// Any other refusal.
    #[error("the broker answered {code} to {about}{}", said_text(said.as_deref()))]
    Broker {
        /// The error.
        code: ResponseError,
        /// The request and its object.
        about: String,
        /// The broker's own words.
        said: Option<String>,
    },
    /// The broker is too old, too new or something else.
    #[error("the broker {address} does not speak a version of {api} that todoctl knows")]
    Version {
        /// The broker.
        address: Address,
        /// The request.
        api: &'static str,
    },
    /// The broker's bytes make no sense.
    #[error("cannot make sense of what {address} sent: {what}")]
    Garbled {
        /// The broker.
        address: Address,
        /// What is wrong with it.
        what: String,
    },
    /// A batch of events that cannot be read.
    #[error(
        "cannot read the events of `{topic}` partition {partition} from offset {offset}: {what}"
    )]
    Batch {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// Where the batch begins.
        offset: i64,
        /// What is wrong with it.
        what: String,
    },
    /// The run was interrupted.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

fn offered_text(offered: &[String]) -> String {
    match offered {
        [] => "nothing".to_owned(),
        list => list.join(", "),
    }
}

fn range_text(earliest: i64, latest: i64) -> String {
    if latest <= earliest {
        return format!("no events, and its next is {latest}");
    }
    format!("{earliest} to {}", latest - 1)
}

fn said_text(said: Option<&str>) -> String {
    match said {
        Some(said) if !said.is_empty() => format!(": {said}"),
        _ => String::new(),
    }
}

impl Error {
    /// The likely mend, as the user would do it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Unreachable {
                advice: Some(advice),
                ..
            } => advice.clone(),
            Self::Unreachable {
                address, source, ..
            } => match source.kind() {
                io::ErrorKind::ConnectionRefused => {
                    format!(
                        "nothing listens there: check `kafka.brokers` and port {}",
                        address.port
                    )
                }
                _ => format!(
                    "check that `{}` is the right name, and that this machine may reach port {}",
                    address.host, address.port
                ),
            },
            Self::Silent {
                stage: Stage::Tls, ..
            }
            | Self::NotTls { .. } => {
                "the port most likely expects plaintext: set `kafka.tls: false`, or use the \
                 broker's TLS port"
                    .to_owned()
            }
            Self::Silent {
                stage: Stage::Versions,
                ..
            }
            | Self::NeedsTls { .. } => {
                "the port most likely expects TLS: set `kafka.tls: true`".to_owned()
            }
            Self::Silent {
                stage: Stage::Connect,
                ..
            } => "a firewall or a wrong address: check `kafka.brokers`".to_owned(),
            Self::NeedsSasl { .. } => {
                "set `kafka.auth.mechanism`, `username` and `password`".to_owned()
            }
            Self::Tls { problem, .. } => match problem {
                TlsProblem::UnknownIssuer => {
                    "give the authority that signed the certificate as a PEM file".to_owned()
                }
                TlsProblem::Expired | TlsProblem::NotYetValid => {
                    "check this machine's clock with `date -u`".to_owned()
                }
                TlsProblem::WrongName => {
                    "use the name that the certificate is for in `kafka.brokers`".to_owned()
                }
                _ => return None,
            },
            Self::Mechanism { offered, .. } if offered.is_empty() => {
                "the port takes no authentication: set `kafka.auth.mechanism: none`".to_owned()
            }
            Self::Mechanism { .. } => "set `kafka.auth.mechanism` to one that it offers".to_owned(),
            Self::Denied { mechanism, .. } => format!(
                "check `kafka.auth.username` and `password`, and that the user exists for \
                 {mechanism}"
            ),
            Self::Impostor { .. } => "check the address: this may not be your broker".to_owned(),
            Self::NotAuthorised { what } => match what {
                Guarded::Topic(name) => {
                    format!("give the user READ, WRITE and DESCRIBE on the topic `{name}`")
                }
                Guarded::Group(name) => {
                    format!("give the user READ and DESCRIBE on the group `{name}`")
                }
                Guarded::Cluster => "give the user CREATE and DESCRIBE on the cluster".to_owned(),
            },
            Self::TopicMissing { .. } => {
                "`todoctl events topics` lists the topics, `todoctl up` creates the profile's"
                    .to_owned()
            }
            Self::Leaderless { .. } => "wait for a broker to come back, then try again".to_owned(),
            Self::OutOfRange { .. } => "use --from earliest or --from latest".to_owned(),
            Self::Unconfirmed(_) => {
                "look with `todoctl events tail` before publishing again".to_owned()
            }
            _ => return None,
        })
    }

    /// Whether the same request may work a little later.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Closed { stage, .. } => matches!(stage, Stage::Request(_)),
            Self::Leaderless { .. } => true,
            Self::Broker { code, .. } => code.is_retriable(),
            _ => false,
        }
    }

    /// Whether it is about the way to a broker, so that another broker, or
    /// the same a little later, may do better.
    pub(super) fn is_about_the_way(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::Closed { .. } | Self::Silent { .. }
        )
    }
}
