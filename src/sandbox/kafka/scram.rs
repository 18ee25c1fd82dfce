//! The server's side of SASL PLAIN (RFC 4616) and SCRAM (RFC 5802, RFC 7677
//! for SHA-256; SHA-512 likewise). Passwords are never kept, only what SCRAM
//! derives from them.

use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac, pbkdf2};
use serde::{Deserialize, Serialize};

/// What Kafka's own tools use, and the least that clients accept.
const ITERATIONS: u32 = 4096;

/// How a client proves who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Mechanism {
    /// The password itself.
    #[serde(rename = "PLAIN")]
    Plain,
    /// A proof made with SHA-256.
    #[serde(rename = "SCRAM-SHA-256")]
    Sha256,
    /// A proof made with SHA-512.
    #[serde(rename = "SCRAM-SHA-512")]
    Sha512,
}

impl Mechanism {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Plain, Self::Sha256, Self::Sha512];

    /// The name in SASL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Sha256 => "SCRAM-SHA-256",
            Self::Sha512 => "SCRAM-SHA-512",
        }
    }

    /// The mechanism with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|m| m.name() == name)
    }

    fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::Sha512 => hmac::HMAC_SHA512,
            _ => hmac::HMAC_SHA256,
        }
    }

    fn pbkdf2(self) -> pbkdf2::Algorithm {
        match self {
            Self::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
            _ => pbkdf2::PBKDF2_HMAC_SHA256,
        }
    }

    fn digest(self) -> &'static digest::Algorithm {
        self.hmac().digest_algorithm()
    }
}

/// What is kept of a password: enough to check a proof, not to make one.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Credential {
    mechanism: Mechanism,
    salt: String,
    stored_key: String,
    server_key: String,
}

impl Credential {
    /// Derives what is kept of a password. PLAIN keeps what SHA-256 would.
    pub fn derive(mechanism: Mechanism, password: &str, salt: &[u8]) -> Self {
        let salted = salted(mechanism, password, salt);
        let client_key = sign(mechanism, &salted, b"Client Key");
        let stored = digest::digest(mechanism.digest(), client_key.as_ref());
        Self {
            mechanism,
            salt: STANDARD.encode(salt),
            stored_key: STANDARD.encode(stored),
            server_key: STANDARD.encode(sign(mechanism, &salted, b"Server Key")),
        }
    }

    /// Whether this is the password.
    pub fn fits(&self, password: &str) -> bool {
        let salt = STANDARD.decode(&self.salt).unwrap_or_default();
        let derived = Self::derive(self.mechanism, password, &salt);
        derived.stored_key == self.stored_key
    }

    /// The mechanism that it is for.
    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }
}

fn salted(mechanism: Mechanism, password: &str, salt: &[u8]) -> Vec<u8> {
    let rounds = NonZeroU32::new(ITERATIONS).unwrap_or(NonZeroU32::MIN);
    let mut out = vec![0; mechanism.digest().output_len()];
    pbkdf2::derive(
        mechanism.pbkdf2(),
        rounds,
        salt,
        password.as_bytes(),
        &mut out,
    );
    out
}

fn sign(mechanism: Mechanism, key: &[u8], text: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(mechanism.hmac(), key), text)
}

/// Authentication did not succeed. Which part was wrong is not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Denied;

/// The user and password of a PLAIN message.
pub fn plain(message: &[u8]) -> Result<(&str, &str), Denied> {
    let text = std::str::from_utf8(message).map_err(|_| Denied)?;
    let mut parts = text.split('\0');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(_), Some(user), Some(password), None) => Ok((user, password)),
        _ => Err(Denied),
    }
}

/// A SCRAM exchange after the client's first message.
#[derive(Debug)]
pub struct Exchange {
    /// Who the client says it is.
    pub user: String,
    credential: Credential,
    gs2: String,
    nonce: String,
    first_bare: String,
    server_first: String,
}

impl Exchange {
    /// Reads the client's first message and answers it. `credential` finds
    /// what is kept for a user.
    pub fn start(
        message: &[u8],
        server_nonce: &str,
        credential: impl FnOnce(&str) -> Option<Credential>,
    ) -> Result<(Self, String), Denied> {
        let text = std::str::from_utf8(message).map_err(|_| Denied)?;
        let mut parts = text.splitn(3, ',');
        let flag = parts.next().ok_or(Denied)?;
        let authorization = parts.next().ok_or(Denied)?;
        let bare = parts.next().ok_or(Denied)?;
        // `p=` asks for channel binding, which Kafka does not offer.
        if !matches!(flag, "n" | "y") {
            return Err(Denied);
        }
        let user = field(bare, "n").ok_or(Denied)?;
        let user = user.replace("=2C", ",").replace("=3D", "=");
        let client_nonce = field(bare, "r").filter(|r| !r.is_empty()).ok_or(Denied)?;
        let credential = credential(&user).ok_or(Denied)?;
        let nonce = format!("{client_nonce}{server_nonce}");
        let server_first = format!("r={nonce},s={},i={ITERATIONS}", credential.salt);
        let exchange = Self {
            user,
            credential,
            gs2: format!("{flag},{authorization},"),
            nonce,
            first_bare: bare.to_owned(),
            server_first: server_first.clone(),
        };
        Ok((exchange, server_first))
    }

    /// The mechanism in use.
    pub fn mechanism(&self) -> Mechanism {
        self.credential.mechanism
    }

    /// Checks the client's proof; the server's own.
    pub fn finish(&self, message: &[u8]) -> Result<String, Denied> {
        let text = std::str::from_utf8(message).map_err(|_| Denied)?;
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or(Denied)?;
        let binding = field(without_proof, "c").ok_or(Denied)?;
        if binding != STANDARD.encode(&self.gs2)
            || field(without_proof, "r") != Some(self.nonce.as_str())
        {
            return Err(Denied);
        }
        let signed = format!("{},{},{without_proof}", self.first_bare, self.server_first);
        let mechanism = self.credential.mechanism;
        let bytes = |text: &str| STANDARD.decode(text).map_err(|_| Denied);
        let stored = bytes(&self.credential.stored_key)?;
        let signature = sign(mechanism, &stored, signed.as_bytes());
        let proof = bytes(proof)?;
        if proof.len() != stored.len() {
            return Err(Denied);
        }
        let pairs = proof.iter().zip(signature.as_ref());
        let client_key: Vec<u8> = pairs.map(|(a, b)| a ^ b).collect();
        if digest::digest(mechanism.digest(), &client_key).as_ref() != stored {
            return Err(Denied);
        }
        let server_key = bytes(&self.credential.server_key)?;
        let verifier = sign(mechanism, &server_key, signed.as_bytes());
        Ok(format!("v={}", STANDARD.encode(verifier)))
    }
}

/// The value of a field `name=value` in a list with commas.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.split(',')
        .find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The exchange printed in RFC 7677, section 3.
    #[test]
    fn the_exchange_of_the_rfc_succeeds() {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let kept = Credential::derive(Mechanism::Sha256, "pencil", &salt);
        let (exchange, reply) = Exchange::start(
            b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
            "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
            |user| (user == "user").then(|| kept.clone()),
        )
        .unwrap();
        assert_eq!(
            reply,
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
        );
        let last = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                    p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        let verifier = exchange.finish(last.as_bytes()).unwrap();
        assert_eq!(verifier, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        assert!(
            exchange
                .finish(last.replace("biws", "eSws").as_bytes())
                .is_err()
        );
        assert!(
            exchange
                .finish(last.replace("p=d", "p=e").as_bytes())
                .is_err()
        );
        assert!(
            exchange
                .finish(last.replace("k0,", "k1,").as_bytes())
                .is_err()
        );
        assert!(exchange.finish(b"c=biws").is_err());
    }

    #[test]
    fn first_messages_that_make_no_sense_are_denied() {
        let kept = Credential::derive(Mechanism::Sha512, "x", b"salt");
        for message in [
            &b"n,,n=user,r=abc"[..],
            b"p=tls-unique,,n=todo,r=abc",
            b"n,,n=todo,r=",
            b"n,,r=abc",
            b"n",
            b"\xff",
        ] {
            let started = Exchange::start(message, "s", |u| (u == "todo").then(|| kept.clone()));
            assert!(started.is_err(), "{message:?}");
        }
    }

    #[test]
    fn plain_names_a_user_and_a_password() {
        assert_eq!(plain(b"\0todo\0secret"), Ok(("todo", "secret")));
        assert_eq!(plain(b"as\0todo\0secret"), Ok(("todo", "secret")));
        assert!(plain(b"todo secret").is_err() && plain(b"\0a\0b\0c").is_err());
        let kept = Credential::derive(Mechanism::Plain, "secret", b"salt");
        assert!(kept.fits("secret") && !kept.fits("Secret"));
    }
}
