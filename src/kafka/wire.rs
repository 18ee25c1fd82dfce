//! One connection to one broker: TLS, frames, versions, authentication.
//!
//! Specified by the Kafka protocol guide: a request is a length, a header and
//! a body, and answers come in the order of the requests. A connection that
//! was left in the middle of a call is not used again.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use kafka_protocol::messages::{
    ApiVersionsRequest, ApiVersionsResponse, RequestHeader, ResponseHeader,
};
use kafka_protocol::protocol::{
    Decodable, HeaderVersion, StrBytes, VersionRange, encode_request_header_into_buffer,
};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsConnector;

use super::access::{Address, BoxedStream, KafkaAccess};
use super::api::Api;
use super::error::{Error, Stage};
use super::sasl;
use crate::clock::{Clock, Deadline};
use crate::net::TlsProblem;

/// The longest answer that is read.
const LONGEST_ANSWER: usize = 256 * 1024 * 1024;

/// How long an answer may take beyond what the request itself waits for.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

/// What every connection of a client shares.
pub(super) struct Shared {
    pub(super) access: KafkaAccess,
    pub(super) tls: Option<TlsConnector>,
    pub(super) clock: Clock,
    served: Arc<AtomicBool>,
}

impl Shared {
    pub(super) fn new(access: KafkaAccess, clock: Clock) -> Result<Self, Error> {
        let tls = match &access.tls {
            Some(trust) => Some(TlsConnector::from(Arc::new(trust.client_config()?))),
            None => None,
        };
        Ok(Self {
            access,
            tls,
            clock,
            served: Arc::default(),
        })
    }
}

/// A connection that is ready for requests.
pub(super) struct Connection {
    wire: Wire,
    versions: ApiVersionsResponse,
    /// Whether a broker of this Kafka has ever served this client.
    served: Arc<AtomicBool>,
    named: bool,
}

impl Connection {
    /// Connects, agrees on encryption and versions, and authenticates.
    pub(super) async fn open(
        shared: &Shared,
        address: &Address,
        deadline: &Deadline,
    ) -> Result<Self, Error> {
        let stream = connect(shared, address, deadline).await?;
        let mut wire = Wire {
            stream,
            address: address.clone(),
            clock: shared.clock.clone(),
            correlation: 0,
        };
        let versions = wire
            .versions(deadline)
            .await
            .map_err(|error| refused_late(shared, address, error))?;
        let mut this = Self {
            wire,
            versions,
            served: shared.served.clone(),
            named: shared.access.sasl.is_some(),
        };
        if let Some(sasl) = &shared.access.sasl {
            sasl::authenticate(&mut this, sasl, deadline).await?;
        }
        Ok(this)
    }

    /// The broker.
    pub(super) fn address(&self) -> &Address {
        &self.wire.address
    }

    /// The newest version of a request that both sides speak.
    pub(super) fn version<R: Api>(&self) -> Result<i16, Error> {
        let theirs = self.versions.api_keys.iter().find(|v| v.api_key == R::KEY);
        let both = theirs.map(|v| {
            R::KNOWN.intersect(&VersionRange {
                min: v.min_version,
                max: v.max_version,
            })
        });
        match both {
            Some(both) if !both.is_empty() => Ok(both.max),
            _ => Err(Error::Version {
                address: self.address().clone(),
                api: R::NAME,
            }),
        }
    }

    /// Sends a request and waits for its answer.
    pub(super) async fn call<R: Api>(
        &mut self,
        request: &R,
        deadline: &Deadline,
    ) -> Result<R::Response, Error> {
        let stage = match R::NAME {
            sasl::HANDSHAKE | sasl::AUTHENTICATE => Stage::Authenticate,
            name => Stage::Request(name),
        };
        let version = self.version::<R>()?;
        let answer = self.wire.call(request, version, stage, deadline).await;
        match answer {
            Ok(bytes) => {
                self.served.store(true, Ordering::Relaxed);
                self.wire.decode::<R::Response>(bytes, version)
            }
            Err(Error::Closed { address, .. })
                if !self.named && !self.served.load(Ordering::Relaxed) =>
            {
                Err(Error::NeedsSasl { address })
            }
            Err(error) => Err(error),
        }
    }
}

struct Wire {
    stream: BoxedStream,
    address: Address,
    clock: Clock,
    correlation: i32,
}

impl Wire {
    /// Asks for the versions. A broker that does not know this version of the
    /// question answers in the form of the first, with error 35.
    async fn versions(&mut self, deadline: &Deadline) -> Result<ApiVersionsResponse, Error> {
        const NEWEST: i16 = 3;
        let request = ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str("todoctl"))
            .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")));
        let bytes = self
            .call(&request, NEWEST, Stage::Versions, deadline)
            .await?;
        let old = bytes.len() >= 6 && bytes.get(4..6) == Some(&35_i16.to_be_bytes()[..]);
        if !old {
            return self.decode::<ApiVersionsResponse>(bytes, NEWEST);
        }
        let request = ApiVersionsRequest::default();
        let bytes = self.call(&request, 0, Stage::Versions, deadline).await?;
        self.decode::<ApiVersionsResponse>(bytes, 0)
    }

    /// Sends a request; returns the answer's frame.
    async fn call<R: Api>(
        &mut self,
        request: &R,
        version: i16,
        stage: Stage,
        deadline: &Deadline,
    ) -> Result<Bytes, Error> {
        self.correlation = self.correlation.wrapping_add(1);
        let frame = self.frame(request, version)?;
        let limit = deadline.remaining().max(SHORTEST_WAIT);
        let work = async {
            self.stream.write_all(&frame).await?;
            self.stream.flush().await?;
            read_frame(&mut self.stream).await
        };
        let cancel = self.clock.cancellation().clone();
        let outcome = tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(crate::clock::Cancelled.into()),
            outcome = tokio::time::timeout(self.clock.real(limit), work) => outcome,
        };
        let address = self.address.clone();
        match outcome {
            Err(_) => Err(Error::Silent {
                address,
                stage,
                waited: limit,
            }),
            Ok(Err(ReadError::Io(source))) => Err(Error::Closed {
                address,
                stage,
                source: (source.kind() != io::ErrorKind::UnexpectedEof).then_some(source),
            }),
            Ok(Err(ReadError::Tls)) if stage == Stage::Versions => Err(Error::NeedsTls { address }),
            Ok(Err(ReadError::Tls | ReadError::Length)) => Err(Error::Garbled {
                address,
                what: "an answer of an impossible length".to_owned(),
            }),
            Ok(Ok(bytes)) => Ok(bytes),
        }
    }

    fn frame<R: Api>(&self, request: &R, version: i16) -> Result<BytesMut, Error> {
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.correlation)
            .with_client_id(Some(StrBytes::from_static_str("todoctl")));
        let mut frame = BytesMut::with_capacity(256);
        frame.put_i32(0);
        let encoded = encode_request_header_into_buffer(&mut frame, &header)
            .and_then(|()| request.encode(&mut frame, version));
        encoded.map_err(|error| self.garbled(&error))?;
        let length = i32::try_from(frame.len() - 4).unwrap_or(i32::MAX);
        if let Some(prefix) = frame.get_mut(..4) {
            prefix.copy_from_slice(&length.to_be_bytes());
        }
        Ok(frame)
    }

    fn decode<T: Decodable + HeaderVersion>(
        &self,
        mut bytes: Bytes,
        version: i16,
    ) -> Result<T, Error> {
        let header = ResponseHeader::decode(&mut bytes, T::header_version(version))
            .map_err(|error| self.garbled(&error))?;
        if header.correlation_id != self.correlation {
            return Err(Error::Garbled {
                address: self.address.clone(),
                what: "an answer to another request".to_owned(),
            });
        }
        T::decode(&mut bytes, version).map_err(|error| self.garbled(&error))
    }

    fn garbled(&self, error: &dyn std::fmt::Display) -> Error {
        Error::Garbled {
            address: self.address.clone(),
            what: error.to_string(),
        }
    }
}

enum ReadError {
    Io(io::Error),
    /// The first bytes are a TLS record.
    Tls,
    /// No answer is that long.
    Length,
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

async fn read_frame(stream: &mut BoxedStream) -> Result<Bytes, ReadError> {
    let mut prefix = [0; 4];
    stream.read_exact(&mut prefix).await?;
    if let [0x15 | 0x16, 0x03, ..] = prefix {
        return Err(ReadError::Tls);
    }
    let signed = i32::from_be_bytes(prefix);
    let Ok(length @ 4..=LONGEST_ANSWER) = usize::try_from(signed) else {
        return Err(ReadError::Length);
    };
    let mut frame = BytesMut::with_capacity(length);
    while frame.len() < length {
        let missing = length - frame.len();
        let mut rest = (&mut frame).limit(missing);
        if stream.read_buf(&mut rest).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    }
    Ok(frame.freeze())
}

/// What the end of a connection means on which nothing has come yet.
fn refused_late(shared: &Shared, address: &Address, error: Error) -> Error {
    match error {
        Error::Closed {
            source: Some(source),
            ..
        } if is_refusal(&source) => unreachable(shared, address, source),
        // A TLS port drops what is no TLS, with or without an alert.
        Error::Closed { .. } if shared.tls.is_none() => Error::NeedsTls {
            address: address.clone(),
        },
        error => error,
    }
}

/// A forwarded port tells only on the first use that nobody listens there.
fn is_refusal(source: &io::Error) -> bool {
    source.kind() == io::ErrorKind::ConnectionRefused
}

fn unreachable(shared: &Shared, address: &Address, source: io::Error) -> Error {
    Error::Unreachable {
        address: address.clone(),
        advice: shared.access.connector.advice(&source),
        source,
    }
}

async fn connect(
    shared: &Shared,
    address: &Address,
    deadline: &Deadline,
) -> Result<BoxedStream, Error> {
    let unreachable = |source| unreachable(shared, address, source);
    let connecting = shared.access.connector.connect(address);
    let stream = within(shared, address, Stage::Connect, deadline, connecting)
        .await?
        .map_err(unreachable)?;
    let Some(tls) = &shared.tls else {
        return Ok(stream);
    };
    let name = ServerName::try_from(address.host.clone())
        .map_err(|error| unreachable(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
    let shaking = tls.connect(name, stream);
    match within(shared, address, Stage::Tls, deadline, shaking).await? {
        Ok(stream) => Ok(Box::new(stream)),
        Err(source) if is_refusal(&source) => Err(unreachable(source)),
        Err(source) => Err(tls_error(address, source)),
    }
}

fn tls_error(address: &Address, source: io::Error) -> Error {
    let address = address.clone();
    let inner = source
        .get_ref()
        .and_then(|e| e.downcast_ref::<rustls::Error>());
    match inner {
        // A plaintext port either hangs up or answers with something else.
        None | Some(rustls::Error::InvalidMessage(_)) => Error::NotTls { address },
        Some(error) => Error::Tls {
            address,
            problem: TlsProblem::of(error),
            source,
        },
    }
}

/// Waits for something within the time limit, or until the run is cancelled.
async fn within<T>(
    shared: &Shared,
    address: &Address,
    stage: Stage,
    deadline: &Deadline,
    work: impl Future<Output = T>,
) -> Result<T, Error> {
    let limit = deadline.remaining().max(SHORTEST_WAIT);
    tokio::select! {
        biased;
        () = shared.clock.cancellation().cancelled() => Err(crate::clock::Cancelled.into()),
        outcome = tokio::time::timeout(shared.clock.real(limit), work) => {
            outcome.map_err(|_| Error::Silent { address: address.clone(), stage, waited: limit })
        }
    }
}
