//! SCRAM, the client's half (RFC 5802; RFC 7677 for SHA-256; Kafka takes SHA-512
//! the same way). No input or output: texts in, texts out.

use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac, pbkdf2};

use crate::secret::Secret;

/// Fewer iterations than this would make a stolen exchange cheap to try
/// passwords on; the RFC and Kafka ask for as many.
const LEAST_ITERATIONS: u32 = 4096;

/// More than this only keeps the client busy.
const MOST_ITERATIONS: u32 = 10_000_000;

/// The hash function of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hash {
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl Hash {
    fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha512 => hmac::HMAC_SHA512,
        }
    }

    fn pbkdf2(self) -> pbkdf2::Algorithm {
        match self {
            Self::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
            Self::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
        }
    }

    fn digest(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha512 => &digest::SHA512,
        }
    }
}

/// Why an exchange ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ScramError {
    /// The server's words make no sense.
    Malformed(&'static str),
    /// The server refused, in its words.
    Refused(String),
    /// The server's signature is wrong: it does not know the password.
    Impostor,
}

/// The exchange before the server's first word.
#[derive(Debug)]
pub(super) struct Scram {
    hash: Hash,
    bare: String,
    nonce: String,
    password: Secret,
}

/// The exchange before the server's last word.
#[derive(Debug)]
pub(super) struct Proven {
    signature: Vec<u8>,
}

impl Scram {
    /// Begins an exchange. The nonce must be new and unguessable.
    pub(super) fn new(hash: Hash, user: &str, password: &Secret, nonce: String) -> Self {
        let user = user.replace('=', "=3D").replace(',', "=2C");
        Self {
            hash,
            bare: format!("n={user},r={nonce}"),
            nonce,
            password: password.clone(),
        }
    }

    /// The client's first message.
    pub(super) fn first(&self) -> String {
        format!("n,,{}", self.bare)
    }

    /// Answers the server's first message.
    pub(super) fn answer(self, server: &[u8]) -> Result<(String, Proven), ScramError> {
        let text = text(server)?;
        if let Some(error) = field(text, "e=") {
            return Err(ScramError::Refused(error.to_owned()));
        }
        let nonce = field(text, "r=").ok_or(ScramError::Malformed("no nonce"))?;
        if nonce.len() <= self.nonce.len() || !nonce.starts_with(&self.nonce) {
            return Err(ScramError::Malformed("another nonce"));
        }
        let salt = field(text, "s=")
            .and_then(|salt| STANDARD.decode(salt).ok())
            .ok_or(ScramError::Malformed("no salt"))?;
        let iterations = field(text, "i=")
            .and_then(|i| i.parse::<u32>().ok())
            .filter(|i| (LEAST_ITERATIONS..=MOST_ITERATIONS).contains(i))
            .and_then(NonZeroU32::new)
            .ok_or(ScramError::Malformed("an unsafe number of iterations"))?;

        let mut salted = vec![0; self.hash.digest().output_len()];
        let password = self.password.expose().as_bytes();
        pbkdf2::derive(self.hash.pbkdf2(), iterations, &salt, password, &mut salted);
        let without_proof = format!("c=biws,r={nonce}");
        let auth = format!("{},{text},{without_proof}", self.bare);

        let client_key = self.hmac(&salted, b"Client Key");
        let stored_key = digest::digest(self.hash.digest(), &client_key);
        let client_signature = self.hmac(stored_key.as_ref(), auth.as_bytes());
        let proof: Vec<u8> = client_key
            .iter()
            .zip(&client_signature)
            .map(|(key, signature)| key ^ signature)
            .collect();
        let server_key = self.hmac(&salted, b"Server Key");
        let signature = self.hmac(&server_key, auth.as_bytes());
        let last = format!("{without_proof},p={}", STANDARD.encode(proof));
        Ok((last, Proven { signature }))
    }

    fn hmac(&self, key: &[u8], data: &[u8]) -> Vec<u8> {
        let key = hmac::Key::new(self.hash.hmac(), key);
        hmac::sign(&key, data).as_ref().to_vec()
    }
}

impl Proven {
    /// Checks the server's last message.
    pub(super) fn check(&self, server: &[u8]) -> Result<(), ScramError> {
        let text = text(server)?;
        if let Some(error) = field(text, "e=") {
            return Err(ScramError::Refused(error.to_owned()));
        }
        let signature = field(text, "v=")
            .and_then(|v| STANDARD.decode(v).ok())
            .ok_or(ScramError::Malformed("no signature"))?;
        // Both are known to both sides by now: nothing to learn from timing.
        if signature == self.signature {
            Ok(())
        } else {
            Err(ScramError::Impostor)
        }
    }
}

fn text(bytes: &[u8]) -> Result<&str, ScramError> {
    std::str::from_utf8(bytes).map_err(|_| ScramError::Malformed("not a text"))
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.split(',').find_map(|part| part.strip_prefix(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The exchange of RFC 7677, section 3.
    const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
    const FIRST: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                         s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

    fn scram() -> Scram {
        Scram::new(Hash::Sha256, "user", &Secret::new("pencil"), NONCE.into())
    }

    #[test]
    fn the_exchange_of_the_rfc() {
        assert_eq!(scram().first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let (last, proven) = scram().answer(FIRST.as_bytes()).unwrap();
        assert_eq!(
            last,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        let right = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
        assert_eq!(proven.check(right), Ok(()));
        let wrong = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G8=";
        assert_eq!(proven.check(wrong), Err(ScramError::Impostor));
        assert_eq!(
            proven.check(b"e=invalid-proof"),
            Err(ScramError::Refused("invalid-proof".into()))
        );
        assert!(matches!(proven.check(b""), Err(ScramError::Malformed(_))));
    }

    #[test]
    fn a_server_that_weakens_the_exchange_is_refused() {
        let cases = [
            "r=another,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "r=rOprNGfwEbeRWgbNEkqO,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=1",
            "r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4000000000",
            "r=rOprNGfwEbeRWgbNEkqOx,i=4096",
            "",
        ];
        for case in cases {
            let result = scram().answer(case.as_bytes());
            assert!(matches!(result, Err(ScramError::Malformed(_))), "{case}");
        }
    }

    #[test]
    fn names_are_escaped() {
        let scram = Scram::new(Hash::Sha512, "a,b=c", &Secret::new("x"), "n".into());
        assert_eq!(scram.first(), "n,,n=a=2Cb=3Dc,r=n");
    }
}
