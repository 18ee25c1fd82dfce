//! Why a request got no answer, told apart as far as a user can act on it.

use std::error::Error;
use std::fmt;
use std::io;

use super::Tries;

/// A request that got no complete answer.
#[derive(Debug)]
pub struct NetError {
    /// What went wrong.
    pub kind: NetKind,
    /// The host and port that was spoken to.
    pub peer: String,
    /// How often it was tried before giving up.
    pub tries: Tries,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// The kinds of [`NetError`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NetKind {
    /// Nobody listens at the address.
    Refused,
    /// The host name has no address.
    Dns,
    /// No way to the address, or the connection broke while being made.
    Unreachable,
    /// TLS could not be agreed on.
    Tls(TlsProblem),
    /// No connection within the time limit.
    ConnectTimeout,
    /// Connected, but no complete answer within the time limit.
    Timeout,
    /// The connection ended before the answer was complete.
    Dropped,
    /// The answer is longer than the limit, in bytes.
    TooLarge(usize),
    /// The run was cancelled while waiting for the next attempt.
    Cancelled,
    /// The request could not be made at all.
    Request,
}

/// What is wrong with the other side's certificate or TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsProblem {
    /// No trusted authority signed the certificate.
    UnknownIssuer,
    /// The certificate ended before now.
    Expired,
    /// The certificate begins after now.
    NotYetValid,
    /// The certificate is for another name.
    WrongName,
    /// Anything else, in the words of the TLS library.
    Other(String),
}

impl NetError {
    /// Makes an error of the kind without a cause.
    pub fn new(kind: NetKind, peer: impl Into<String>) -> Self {
        Self {
            kind,
            peer: peer.into(),
            tries: Tries::default(),
            source: None,
        }
    }

    /// Links the cause.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Says how often it was tried.
    #[must_use]
    pub fn after(self, tries: Tries) -> Self {
        Self { tries, ..self }
    }

    /// Whether the same request may fare better a little later.
    pub fn is_transient(&self) -> bool {
        matches!(
            self.kind,
            NetKind::Refused
                | NetKind::Dns
                | NetKind::Unreachable
                | NetKind::ConnectTimeout
                | NetKind::Timeout
                | NetKind::Dropped
        )
    }

    /// Whether the request surely never reached the other side.
    pub fn is_unsent(&self) -> bool {
        !matches!(
            self.kind,
            NetKind::Timeout | NetKind::Dropped | NetKind::TooLarge(_)
        )
    }

    /// The next thing to do about it.
    pub fn hint(&self) -> Option<String> {
        let host = self.peer.split(':').next().unwrap_or(&self.peer);
        Some(match &self.kind {
            NetKind::Refused => format!("check that the service at {} is running", self.peer),
            NetKind::Dns => {
                format!("check the network and the name `{host}`, for instance the region in it")
            }
            NetKind::Unreachable | NetKind::ConnectTimeout => format!(
                "check the network, a firewall, or a proxy between this machine and {}",
                self.peer
            ),
            NetKind::Tls(TlsProblem::UnknownIssuer) => {
                "a proxy may be replacing certificates: give its CA as a PEM file in \
                 `OCI_CLI_CERT_BUNDLE`, or install `ca-certificates`"
                    .into()
            }
            NetKind::Tls(TlsProblem::Expired | TlsProblem::NotYetValid) => {
                "check this machine's clock with `date -u`".into()
            }
            NetKind::Tls(_) => format!("check that nothing stands between this machine and {host}"),
            NetKind::Timeout | NetKind::Dropped => {
                "run the same command again: it goes on from here".into()
            }
            NetKind::Cancelled => "run the same command again: it goes on from here".into(),
            NetKind::TooLarge(_) | NetKind::Request => return None,
        })
    }

    /// Reads the kind out of what the HTTP library says.
    pub(super) fn from_reqwest(error: reqwest::Error, peer: &str) -> Self {
        let kind = kind_of(&error);
        // The URL is in the message of every one of its errors; the peer is enough.
        Self::new(kind, peer).because(error.without_url())
    }

    /// The one place where errors come back through the middleware stack.
    pub(super) fn from_stack(error: reqwest_middleware::Error, peer: &str) -> Self {
        match error {
            reqwest_middleware::Error::Reqwest(error) => Self::from_reqwest(error, peer),
            reqwest_middleware::Error::Middleware(error) => match error.downcast::<Self>() {
                Ok(error) => error,
                Err(other) => Self::new(NetKind::Request, peer).because(other),
            },
        }
    }
}

fn kind_of(error: &reqwest::Error) -> NetKind {
    if error.is_builder() {
        return NetKind::Request;
    }
    if let Some(tls) = find::<rustls::Error>(error) {
        return NetKind::Tls(TlsProblem::of(tls));
    }
    if error.is_timeout() {
        return if error.is_connect() {
            NetKind::ConnectTimeout
        } else {
            NetKind::Timeout
        };
    }
    if !error.is_connect() {
        return NetKind::Dropped;
    }
    if find::<io::Error>(error).is_some_and(|e| e.kind() == io::ErrorKind::ConnectionRefused) {
        return NetKind::Refused;
    }
    // The resolver's error type is private to the connector; its text is not.
    if chain(error).any(|e| e.to_string().starts_with("dns error")) {
        return NetKind::Dns;
    }
    NetKind::Unreachable
}

/// The causes of an error, including those that `io::Error` hides from
/// `source()`.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&e: &&'a (dyn Error + 'static)| {
        let inside = e
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
            .map(|inner| inner as &(dyn Error + 'static));
        inside.or_else(|| e.source())
    })
}

fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    chain(error).find_map(|e| e.downcast_ref::<T>())
}

impl TlsProblem {
    /// Reads it out of what the TLS library says.
    pub fn of(error: &rustls::Error) -> Self {
        use rustls::CertificateError as C;
        let rustls::Error::InvalidCertificate(problem) = error else {
            return Self::Other(error.to_string());
        };
        match problem {
            C::UnknownIssuer => Self::UnknownIssuer,
            C::Expired | C::ExpiredContext { .. } => Self::Expired,
            C::NotValidYet | C::NotValidYetContext { .. } => Self::NotYetValid,
            C::NotValidForName | C::NotValidForNameContext { .. } => Self::WrongName,
            other => Self::Other(format!("{other:?}")),
        }
    }
}

impl fmt::Display for TlsProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownIssuer => "its certificate is signed by nobody this machine trusts",
            Self::Expired => "its certificate has expired",
            Self::NotYetValid => "its certificate is not valid yet",
            Self::WrongName => "its certificate is for another name",
            Self::Other(text) => text,
        })
    }
}

impl fmt::Display for NetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let peer = &self.peer;
        match &self.kind {
            NetKind::Refused => write!(f, "connection to {peer} refused"),
            NetKind::Dns => write!(f, "no address found for {peer}"),
            NetKind::Unreachable => write!(f, "no connection to {peer}"),
            NetKind::Tls(problem) => write!(f, "no secure connection to {peer}: {problem}"),
            NetKind::ConnectTimeout => write!(f, "connecting to {peer} took too long"),
            NetKind::Timeout => write!(f, "{peer} did not answer in time"),
            NetKind::Dropped => write!(f, "{peer} dropped the connection before its answer ended"),
            NetKind::TooLarge(limit) => {
                write!(f, "{peer} sent an answer longer than {limit} bytes")
            }
            NetKind::Cancelled => write!(f, "interrupted while waiting to try {peer} again"),
            NetKind::Request => write!(f, "the request to {peer} could not be made"),
        }?;
        write!(f, "{}", self.tries)
    }
}

impl Error for NetError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|e| e as &(dyn Error + 'static))
    }
}
