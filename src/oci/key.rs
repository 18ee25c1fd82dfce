//! Private keys: every form in which Oracle's tools and OpenSSL write an RSA
//! key, plain or encrypted.

use std::fmt;

use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt, KeyIvInit};
use md5::{Digest as _, Md5};
use pem::Pem;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use zeroize::Zeroizing;

use super::sign::CannotSign;
use super::types::hex;
use crate::secret::Secret;

/// An RSA private key that can sign requests.
pub struct Key {
    pair: RsaKeyPair,
    fingerprint: String,
}

/// A private key that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// No PEM block with a private key.
    #[error("it holds no private key in PEM form")]
    NoKey,
    /// A public key where a private one should be.
    #[error("it holds a public key, not the private one")]
    Public,
    /// Encrypted, and there is no pass phrase.
    #[error("it is encrypted and there is no pass phrase")]
    NeedsPassPhrase,
    /// Wrong pass phrase or damaged file.
    #[error("the pass phrase is wrong or the key is damaged")]
    WrongPassPhrase,
    /// Encrypted in a way that is not supported.
    #[error("it is encrypted with {0}, which is not supported")]
    Cipher(String),
    /// Not an RSA key that the service accepts.
    #[error("it is no RSA key of 2048 bits or more: {0}")]
    Rejected(String),
}

impl KeyError {
    /// The next thing to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::NoKey | Self::Public => {
                "`key_file` must name the private key, the file that begins with \
                 `-----BEGIN PRIVATE KEY-----`"
            }
            Self::NeedsPassPhrase => "set `pass_phrase` in the config or `OCI_CLI_PASSPHRASE`",
            Self::WrongPassPhrase => "check `pass_phrase` in the config or `OCI_CLI_PASSPHRASE`",
            Self::Cipher(_) => {
                "convert it: `openssl pkcs8 -topk8 -v2 aes-256-cbc -in old.pem -out new.pem`"
            }
            Self::Rejected(_) => "make a new key: `openssl genrsa -out oci_api_key.pem 2048`",
        })
    }
}

impl Key {
    /// Reads a PEM text. What follows the key, such as the label line
    /// `OCI_API_KEY`, does not matter, nor does a pass phrase that a plain key
    /// does not need.
    pub fn from_pem(text: &[u8], pass_phrase: Option<&Secret>) -> Result<Self, KeyError> {
        let blocks = pem::parse_many(text).map_err(|_| KeyError::NoKey)?;
        let Some(block) = blocks.iter().find(|b| b.tag().ends_with("PRIVATE KEY")) else {
            let public = blocks.iter().any(|b| b.tag().ends_with("PUBLIC KEY"));
            return Err(if public {
                KeyError::Public
            } else {
                KeyError::NoKey
            });
        };
        let (pair, encrypted) = match block.tag() {
            "PRIVATE KEY" => (RsaKeyPair::from_pkcs8(block.contents()), false),
            "ENCRYPTED PRIVATE KEY" => (RsaKeyPair::from_pkcs8(&pbes2(block, pass_phrase)?), true),
            "RSA PRIVATE KEY" => match block.headers().get("DEK-Info") {
                None => (RsaKeyPair::from_der(block.contents()), false),
                Some(info) => (RsaKeyPair::from_der(&dek(block, info, pass_phrase)?), true),
            },
            other => return Err(KeyError::Rejected(format!("it is an {other}"))),
        };
        match pair {
            Ok(pair) => Ok(Self {
                fingerprint: fingerprint(pair.public().as_ref()),
                pair,
            }),
            // A wrong pass phrase can decrypt to noise that has valid padding.
            Err(error) if encrypted && error.to_string() == "InvalidEncoding" => {
                Err(KeyError::WrongPassPhrase)
            }
            Err(error) => Err(KeyError::Rejected(error.to_string())),
        }
    }

    /// The MD5 of the public key, as the service lists it: lower-case
    /// hexadecimal pairs with colons.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The public key in PKCS#1 form.
    #[cfg(test)]
    pub(super) fn public(&self) -> &[u8] {
        self.pair.public().as_ref()
    }

    /// Signs with RSASSA-PKCS1-v1_5 and SHA-256.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, CannotSign> {
        let mut signature = vec![0; self.pair.public().modulus_len()];
        self.pair
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                message,
                &mut signature,
            )
            .map_err(|_| CannotSign)?;
        Ok(signature)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}

/// PKCS#8 encryption as RFC 8018 defines it.
fn pbes2(block: &Pem, pass_phrase: Option<&Secret>) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let pass_phrase = pass_phrase.ok_or(KeyError::NeedsPassPhrase)?;
    let info = pkcs8::EncryptedPrivateKeyInfoRef::try_from(block.contents())
        .map_err(|_| KeyError::Cipher("an outdated scheme (PBES1)".into()))?;
    let plain = info
        .decrypt(pass_phrase.expose())
        .map_err(|_| KeyError::WrongPassPhrase)?;
    Ok(Zeroizing::new(plain.as_bytes().to_vec()))
}

/// OpenSSL's own encryption of PKCS#1 keys: `DEK-Info: AES-128-CBC,<iv>`, the
/// key derived from the pass phrase and the first 8 bytes of the IV by MD5.
fn dek(
    block: &Pem,
    info: &str,
    pass_phrase: Option<&Secret>,
) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let pass_phrase = pass_phrase.ok_or(KeyError::NeedsPassPhrase)?;
    let (cipher, iv) = info.split_once(',').ok_or(KeyError::WrongPassPhrase)?;
    let iv = unhex(iv.trim()).ok_or(KeyError::WrongPassPhrase)?;
    let mut data = Zeroizing::new(block.contents().to_vec());
    let length = match cipher.trim() {
        "AES-128-CBC" => open::<cbc::Decryptor<aes::Aes128>>(&mut data, 16, &iv, pass_phrase),
        "AES-192-CBC" => open::<cbc::Decryptor<aes::Aes192>>(&mut data, 24, &iv, pass_phrase),
        "AES-256-CBC" => open::<cbc::Decryptor<aes::Aes256>>(&mut data, 32, &iv, pass_phrase),
        "DES-EDE3-CBC" => open::<cbc::Decryptor<des::TdesEde3>>(&mut data, 24, &iv, pass_phrase),
        other => return Err(KeyError::Cipher(other.to_owned())),
    };
    data.truncate(length.ok_or(KeyError::WrongPassPhrase)?);
    Ok(data)
}

/// Decrypts in place and returns how long the plain text is.
fn open<C: KeyIvInit + BlockModeDecrypt>(
    data: &mut [u8],
    key_length: usize,
    iv: &[u8],
    pass_phrase: &Secret,
) -> Option<usize> {
    let key = derive(pass_phrase.expose().as_bytes(), iv.get(..8)?, key_length);
    let cipher = C::new_from_slices(&key, iv).ok()?;
    Some(cipher.decrypt_padded::<Pkcs7>(data).ok()?.len())
}

fn derive(pass_phrase: &[u8], salt: &[u8], length: usize) -> Zeroizing<Vec<u8>> {
    let mut key = Zeroizing::new(Vec::new());
    let mut block: Vec<u8> = Vec::new();
    while key.len() < length {
        let digest = Md5::new()
            .chain_update(&block)
            .chain_update(pass_phrase)
            .chain_update(salt)
            .finalize();
        block = digest.to_vec();
        key.extend_from_slice(&block);
    }
    key.truncate(length);
    key
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(16)).collect();
    digits?
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => u8::try_from(high * 16 + low).ok(),
            _ => None,
        })
        .collect()
}

/// The MD5 of a public key's `SubjectPublicKeyInfo`, made from its PKCS#1 form.
fn fingerprint(pkcs1: &[u8]) -> String {
    // SEQUENCE { OBJECT IDENTIFIER rsaEncryption, NULL }
    const RSA: [u8; 15] = [
        0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
    ];
    let mut bits = vec![0];
    bits.extend_from_slice(pkcs1);
    let content = [&RSA[..], &der(0x03, &bits)].concat();
    let digest = Md5::digest(der(0x30, &content));
    let pairs: Vec<String> = digest.iter().map(|b| hex(&[*b])).collect();
    pairs.join(":")
}

/// One DER element.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let length: Vec<u8> = length.into_iter().skip_while(|b| *b == 0).collect();
    let mut out = vec![tag];
    match length.as_slice() {
        [] => out.push(0),
        [short] if *short < 0x80 => out.push(*short),
        long => {
            // A length has at most eight bytes.
            out.push(0x80 | u8::try_from(long.len()).unwrap_or_default());
            out.extend_from_slice(long);
        }
    }
    out.extend_from_slice(content);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::testing::{FINGERPRINT, PASS_PHRASE, pem};

    fn load(pem: &str, pass_phrase: Option<&str>) -> Result<Key, KeyError> {
        Key::from_pem(pem.as_bytes(), pass_phrase.map(Secret::new).as_ref())
    }

    #[test]
    fn every_form_of_a_key_leads_to_the_same_key() {
        let plain = ["plain", "pkcs1"];
        let encrypted = [
            "dek-aes128",
            "dek-aes192",
            "dek-aes256",
            "dek-des3",
            "pbes2-aes256",
            "pbes2-des3",
            "pbes2-scrypt",
        ];
        for form in plain {
            // A pass phrase may be inherited from the default profile.
            for phrase in [None, Some("unneeded")] {
                let key = load(&pem(form), phrase).unwrap();
                assert_eq!(key.fingerprint(), FINGERPRINT, "{form}");
            }
        }
        for form in encrypted {
            let key = load(&pem(form), Some(PASS_PHRASE)).unwrap();
            assert_eq!(key.fingerprint(), FINGERPRINT, "{form}");
            assert_eq!(
                load(&pem(form), None).unwrap_err(),
                KeyError::NeedsPassPhrase
            );
        }
    }

    #[test]
    fn a_wrong_pass_phrase_is_told() {
        for form in ["dek-aes128", "dek-des3", "pbes2-aes256"] {
            let error = load(&pem(form), Some("wrong")).unwrap_err();
            assert_eq!(error, KeyError::WrongPassPhrase, "{form}");
        }
    }

    #[test]
    fn the_label_line_and_windows_line_ends_do_not_matter() {
        for form in ["plain", "dek-aes128"] {
            let text = format!("{}OCI_API_KEY\n", pem(form)).replace('\n', "\r\n");
            let key = load(&text, Some(PASS_PHRASE)).unwrap();
            assert_eq!(key.fingerprint(), FINGERPRINT);
        }
    }

    #[test]
    fn what_is_no_usable_key_is_told() {
        let cases = [
            ("", KeyError::NoKey),
            ("ssh-rsa AAAA me", KeyError::NoKey),
            (&pem("public"), KeyError::Public),
            (
                &pem("pbes1"),
                KeyError::Cipher("an outdated scheme (PBES1)".into()),
            ),
            (
                &pem("dek-aes128").replace("AES-128-CBC", "IDEA-CBC"),
                KeyError::Cipher("IDEA-CBC".into()),
            ),
            (
                &pem("dek-aes128").replace("AES-128-CBC,", "AES-128-CBC,zz"),
                KeyError::WrongPassPhrase,
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(load(text, Some(PASS_PHRASE)).unwrap_err(), expected);
        }
    }

    #[test]
    fn debug_shows_the_fingerprint_only() {
        let text = format!("{:?}", load(&pem("plain"), None).unwrap());
        assert_eq!(
            text,
            format!("Key {{ fingerprint: \"{FINGERPRINT}\", .. }}")
        );
    }
}
