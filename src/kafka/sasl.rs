//! Authentication on a connection: SASL PLAIN (RFC 4616) and SCRAM, in Kafka's
//! frames (`SaslHandshake` 1, then `SaslAuthenticate`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{SaslAuthenticateRequest, SaslHandshakeRequest};
use kafka_protocol::protocol::StrBytes;
use ring::rand::{SecureRandom as _, SystemRandom};

use super::access::{Mechanism, Sasl};
use super::error::Error;
use super::scram::{Hash, Scram, ScramError};
use super::wire::Connection;
use crate::clock::Deadline;

/// The name of the request that picks the mechanism.
pub(super) const HANDSHAKE: &str = "SaslHandshake";
/// The name of the request that carries the mechanism's words.
pub(super) const AUTHENTICATE: &str = "SaslAuthenticate";

/// Proves to the broker who the client is, and with SCRAM lets the broker prove
/// that it knows the password, too.
pub(super) async fn authenticate(
    connection: &mut Connection,
    sasl: &Sasl,
    deadline: &Deadline,
) -> Result<(), Error> {
    handshake(connection, sasl, deadline).await?;
    let hash = match sasl.mechanism {
        Mechanism::Plain => {
            let message = format!("\0{}\0{}", sasl.username, sasl.password.expose());
            send(connection, sasl, message, deadline).await?;
            return Ok(());
        }
        Mechanism::ScramSha256 => Hash::Sha256,
        Mechanism::ScramSha512 => Hash::Sha512,
    };
    let scram = Scram::new(hash, &sasl.username, &sasl.password, nonce(connection)?);
    let first = send(connection, sasl, scram.first(), deadline).await?;
    let (last, proven) = scram
        .answer(&first)
        .map_err(|error| explain(connection, sasl, &error))?;
    let end = send(connection, sasl, last, deadline).await?;
    proven
        .check(&end)
        .map_err(|error| explain(connection, sasl, &error))
}

async fn handshake(
    connection: &mut Connection,
    sasl: &Sasl,
    deadline: &Deadline,
) -> Result<(), Error> {
    let wanted = sasl.mechanism;
    let request =
        SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str(wanted.name()));
    let answer = match connection.call(&request, deadline).await {
        // A port without authentication does not know the request.
        Err(Error::Version { address, .. }) => {
            return Err(Error::Mechanism {
                address,
                wanted,
                offered: Vec::new(),
            });
        }
        other => other?,
    };
    let offered = || answer.mechanisms.iter().map(ToString::to_string).collect();
    match ResponseError::try_from_code(answer.error_code) {
        None => Ok(()),
        Some(ResponseError::UnsupportedSaslMechanism) => Err(Error::Mechanism {
            address: connection.address().clone(),
            wanted,
            offered: offered(),
        }),
        Some(ResponseError::IllegalSaslState) => Err(Error::Mechanism {
            address: connection.address().clone(),
            wanted,
            offered: Vec::new(),
        }),
        Some(code) => Err(Error::Broker {
            code,
            about: HANDSHAKE.to_owned(),
            said: None,
        }),
    }
}

/// Sends the mechanism's next words; returns the broker's.
async fn send(
    connection: &mut Connection,
    sasl: &Sasl,
    message: String,
    deadline: &Deadline,
) -> Result<Bytes, Error> {
    let request = SaslAuthenticateRequest::default().with_auth_bytes(Bytes::from(message));
    let answer = match connection.call(&request, deadline).await {
        // Some brokers hang up on a wrong password instead of saying so.
        Err(Error::Closed { .. }) => return Err(denied(connection, sasl)),
        other => other?,
    };
    match ResponseError::try_from_code(answer.error_code) {
        None => Ok(answer.auth_bytes),
        Some(ResponseError::SaslAuthenticationFailed) => Err(denied(connection, sasl)),
        Some(code) => Err(Error::Broker {
            code,
            about: AUTHENTICATE.to_owned(),
            said: answer.error_message.map(|text| text.to_string()),
        }),
    }
}

fn denied(connection: &Connection, sasl: &Sasl) -> Error {
    Error::Denied {
        address: connection.address().clone(),
        user: sasl.username.clone(),
        mechanism: sasl.mechanism,
    }
}

fn explain(connection: &Connection, sasl: &Sasl, error: &ScramError) -> Error {
    match error {
        ScramError::Refused(_) => denied(connection, sasl),
        ScramError::Impostor => Error::Impostor {
            address: connection.address().clone(),
            user: sasl.username.clone(),
        },
        ScramError::Malformed(what) => Error::Garbled {
            address: connection.address().clone(),
            what: format!("{what} in the SCRAM exchange"),
        },
    }
}

fn nonce(connection: &Connection) -> Result<String, Error> {
    let mut bytes = [0; 24];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| Error::Garbled {
            address: connection.address().clone(),
            what: "no random numbers on this machine".to_owned(),
        })?;
    Ok(STANDARD_NO_PAD.encode(bytes))
}
