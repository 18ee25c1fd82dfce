//! How to reach a Kafka: addresses, encryption, credentials, and the way to a
//! broker's socket.

use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::net::Trust;
use crate::secret::Secret;

/// All that a client needs to know about a Kafka.
///
/// Whoever runs the brokers fills it in: from the profile for brokers that
/// exist already, from the addresses and certificates that Strimzi leaves in
/// the cluster (with a [`Connector`] that forwards ports), or from what
/// Redpanda Cloud tells.
#[derive(Debug, Clone)]
pub struct KafkaAccess {
    /// Brokers to ask first; the others are learned from them.
    pub brokers: Vec<Address>,
    /// Whose certificates count, or `None` for unencrypted connections. The
    /// certificate is always checked against the name that a broker
    /// advertises, whatever way the connector takes.
    pub tls: Option<Trust>,
    /// Who the client is, or `None` where everybody may connect.
    pub sasl: Option<Sasl>,
    /// The way to a broker.
    pub connector: Arc<dyn Connector>,
}

/// `HOST:PORT` of a broker.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    /// Name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl Address {
    /// A broker's address.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self {
            host: host.into(),
            port,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// A text that is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not HOST:PORT")]
pub struct AddressError(String);

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let bad = || AddressError(text.to_owned());
        let (host, port) = text.rsplit_once(':').ok_or_else(bad)?;
        let host = match host.strip_prefix('[') {
            Some(inner) => inner.strip_suffix(']').ok_or_else(bad)?,
            None if host.contains(':') => return Err(bad()),
            None => host,
        };
        let port: u16 = port.parse().map_err(|_| bad())?;
        if host.is_empty() || port == 0 {
            return Err(bad());
        }
        Ok(Self::new(host, port))
    }
}

/// Who the client is.
#[derive(Debug, Clone)]
pub struct Sasl {
    /// How it proves that.
    pub mechanism: Mechanism,
    /// The user.
    pub username: String,
    /// The password.
    pub password: Secret,
}

/// A way to prove who one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// The password as it is.
    Plain,
    /// SCRAM with SHA-256 (RFC 5802, RFC 7677).
    ScramSha256,
    /// SCRAM with SHA-512.
    ScramSha512,
}

impl Mechanism {
    /// The name in the protocol.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A connection's two directions.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection of any kind.
pub type BoxedStream = Box<dyn Stream>;

/// The way to a broker's socket: directly, or through the Kubernetes API.
#[async_trait]
pub trait Connector: fmt::Debug + Send + Sync {
    /// Opens a connection to the broker of that advertised address.
    async fn connect(&self, address: &Address) -> io::Result<BoxedStream>;

    /// The likely mend when that fails, unless it is the usual one.
    fn advice(&self, source: &io::Error) -> Option<String> {
        let _ = source;
        None
    }
}

/// Connects directly.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tcp;

#[async_trait]
impl Connector for Tcp {
    async fn connect(&self, address: &Address) -> io::Result<BoxedStream> {
        let stream = TcpStream::connect((address.host.as_str(), address.port)).await?;
        // Requests are small and wait for their answers.
        stream.set_nodelay(true)?;
        Ok(Box::new(stream))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written() {
        for text in ["localhost:9092", "10.0.0.1:1", "[::1]:9092"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "localhost",
            ":9092",
            "h:0",
            "h:70000",
            "::1:9092",
            "[::1:9092",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
