//! Certificates and private keys.
//!
//! Keys are PEM as Go writes them: RSA in PKCS #1, P-256 in SEC 1, Ed25519 in
//! PKCS #8. The `rsa` crate completes and encodes RSA keys; signatures are
//! ring's.

use std::net::IpAddr;
use std::time::Duration;

use pem::{EncodeConfig, LineEnding, Pem};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, DnValue,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, SanType,
    SerialNumber,
};
use ring::signature::KeyPair as _;
use rsa::BigUint;
use rsa::pkcs1::EncodeRsaPrivateKey as _;

use super::crypto::SLOW;
use super::der::{self, Reader};
use super::{Args, FnError, Function, Param, Returned, encoding, plain, primes};
use crate::helm::engine::Run;
use crate::helm::object::{Certificate, Object};
use crate::helm::value::Value;

const S: Param = Param::Str;
const I: Param = Param::Int;
const L: Param = Param::List;
const C: Param = Param::Certificate;

pub(super) const FUNCTIONS: &[Function] = &[
    plain("genPrivateKey", &[S], gen_private_key),
    plain("buildCustomCert", &[S, S], build_custom),
    plain("genCA", &[S, I], |run, v| authority(run, v, false)),
    plain("genCAWithKey", &[S, I, S], |run, v| authority(run, v, true)),
    plain("genSelfSignedCert", &[S, L, L, I], |run, v| {
        self_signed(run, v, false)
    }),
    plain("genSelfSignedCertWithKey", &[S, L, L, I, S], |run, v| {
        self_signed(run, v, true)
    }),
    plain("genSignedCert", &[S, L, L, I, C], |run, v| {
        signed(run, v, false)
    }),
    plain("genSignedCertWithKey", &[S, L, L, I, C, S], |run, v| {
        signed(run, v, true)
    }),
];

fn failed(what: &str, error: impl std::fmt::Display) -> FnError {
    FnError::text(format!("{what}: {error}"))
}

fn pem_text(tag: &str, der: Vec<u8>) -> String {
    pem::encode_config(
        &Pem::new(tag, der),
        EncodeConfig::new().set_line_ending(LineEnding::LF),
    )
}

/// Makes an RSA key of `2 * 64 * L` bits as PKCS #1 PEM.
fn rsa_key<const L: usize>(run: &mut Run<'_>) -> Result<String, FnError> {
    run.work(SLOW)?;
    let random = |buffer: &mut [u8]| run.random(buffer);
    let prime = || BigUint::from_bytes_be(&primes::prime::<L>(random));
    let key = rsa::RsaPrivateKey::from_p_q(prime(), prime(), primes::EXPONENT.into())
        .map_err(|error| failed("error generating rsa key", error))?;
    let der = key
        .to_pkcs1_der()
        .map_err(|error| failed("error generating rsa key", error))?;
    Ok(pem_text("RSA PRIVATE KEY", der.as_bytes().to_vec()))
}

/// The number of words in each prime of a key of 2048 bits.
const RSA_2048: usize = 16;
/// Likewise of 4096 bits.
const RSA_4096: usize = 32;

fn gen_private_key(run: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let kind = Args::new(values).text();
    let random = ring::rand::SystemRandom::new();
    Ok(Value::from(match kind.as_str() {
        "" | "rsa" => {
            run.work(4 * SLOW)?;
            rsa_key::<RSA_4096>(run)?
        }
        "ecdsa" => {
            let algorithm = &ring::signature::ECDSA_P256_SHA256_ASN1_SIGNING;
            let key = ring::signature::EcdsaKeyPair::generate_pkcs8(algorithm, &random)
                .map_err(|error| failed("failed to generate private key", error))?;
            let sec1 = der::sec1_of_pkcs8(key.as_ref())
                .ok_or_else(|| FnError::text("failed to generate private key"))?;
            pem_text("EC PRIVATE KEY", sec1)
        }
        "ed25519" => {
            let mut seed = [0; 32];
            run.random(&mut seed);
            pem_text("PRIVATE KEY", der::pkcs8_ed25519(&seed))
        }
        "dsa" => "failed to generate private key: dsa keys are not supported".to_owned(),
        other => format!("Unknown type {other}"),
    }))
}

/// Reads a private key from PEM; the error is sprig's text.
fn read_key(text: &str) -> Result<KeyPair, String> {
    let block = pem::parse(text).map_err(|_| "no PEM data in input".to_owned())?;
    let contents = block.contents();
    let pkcs8 = match block.tag() {
        "PRIVATE KEY" => contents.to_vec(),
        "RSA PRIVATE KEY" => der::pkcs8_rsa(contents),
        "EC PRIVATE KEY" => der::pkcs8_of_sec1(contents)
            .ok_or("parsing EC private key from PEM: unsupported key")?,
        tag => {
            return Err(match tag.strip_suffix(" PRIVATE KEY") {
                Some(kind) => format!("invalid private key type {kind}"),
                None => format!("no private key data in PEM block of type {tag}"),
            });
        }
    };
    let pkcs8 = der::ed25519_for_ring(&pkcs8).unwrap_or(pkcs8);
    KeyPair::try_from(pkcs8).map_err(|error| format!("decoding PEM as PKCS#8: {error}"))
}

fn parsed_key(text: &str) -> Result<KeyPair, FnError> {
    read_key(text).map_err(|error| failed("parsing private key", error))
}

fn build_custom(_: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let mut args = Args::new(values);
    let cert = encoding::decode_base64(&args.bytes())
        .map_err(|_| FnError::text("unable to decode base64 certificate"))?;
    let key = encoding::decode_base64(&args.bytes())
        .map_err(|_| FnError::text("unable to decode base64 private key"))?;
    let block = pem::parse(&cert).map_err(|_| FnError::text("unable to decode certificate"))?;
    if der::subject(block.contents()).is_none() {
        return Err(FnError::text(
            "error parsing certificate: decodedCert.Bytes: x509: malformed certificate",
        ));
    }
    let key = String::from_utf8_lossy(&key).into_owned();
    read_key(&key).map_err(|error| failed("error parsing private key", error))?;
    Ok(pair(String::from_utf8_lossy(&cert).into_owned(), key))
}

fn pair(cert: String, key: String) -> Value {
    Value::Obj(Object::Certificate(Certificate { cert, key }.into()))
}

fn base_params(run: &Run<'_>, cn: &str, days: i64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, cn);
    let now = u64::try_from(run.now().unix).unwrap_or(0);
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    // The end of the calendar that certificates can show.
    let latest = 253_402_300_799_u64;
    let lifetime = days.unsigned_abs().saturating_mul(86_400);
    let end = if days < 0 {
        now.saturating_sub(lifetime)
    } else {
        now.saturating_add(lifetime).min(latest)
    };
    params.not_before = epoch + Duration::from_secs(now);
    params.not_after = epoch + Duration::from_secs(end);
    let mut serial = [0; 16];
    run.random(&mut serial);
    // A positive number: the first bit stays clear.
    if let Some(first) = serial.first_mut() {
        *first &= 0x7f;
    }
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyEncipherment,
    ];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    params.is_ca = IsCa::ExplicitNoCa;
    params.custom_extensions = Vec::<CustomExtension>::new();
    params
}

fn shown(value: &Value) -> String {
    String::from_utf8_lossy(&crate::helm::gofmt::sprint_value(value)).into_owned()
}

fn alternative_names(ips: &[Value], names: &[Value]) -> Result<Vec<SanType>, FnError> {
    let mut out = Vec::new();
    for name in names {
        let Some(text) = name.as_str() else {
            return Err(FnError::text(format!(
                "error processing alternate dns name: {} is not a string",
                shown(name)
            )));
        };
        let name = text
            .try_into()
            .map_err(|_| failed("error creating certificate", "x509: malformed dns name"))?;
        out.push(SanType::DnsName(name));
    }
    for ip in ips {
        let Some(text) = ip.as_str() else {
            return Err(FnError::text(format!(
                "error parsing ip: {} is not a string",
                shown(ip)
            )));
        };
        let address: IpAddr = text
            .parse()
            .map_err(|_| FnError::text(format!("error parsing ip: {text}")))?;
        out.push(SanType::IpAddress(address));
    }
    Ok(out)
}

/// A certificate that its own key signs.
fn sign_self(params: &CertificateParams, key: String) -> Returned {
    let signer = parsed_key(&key)?;
    let cert = params
        .self_signed(&signer)
        .map_err(|error| failed("error creating certificate", error))?;
    Ok(pair(pem_text("CERTIFICATE", cert.der().to_vec()), key))
}

fn authority(run: &mut Run<'_>, values: Vec<Value>, with_key: bool) -> Returned {
    let mut args = Args::new(values);
    let (cn, days) = (args.text(), args.int());
    let key = if with_key {
        args.text()
    } else {
        rsa_key::<RSA_2048>(run)?
    };
    let mut params = base_params(run, &cn, days);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages.push(KeyUsagePurpose::KeyCertSign);
    sign_self(&params, key)
}

fn self_signed(run: &mut Run<'_>, values: Vec<Value>, with_key: bool) -> Returned {
    let mut args = Args::new(values);
    let cn = args.text();
    let (ips, names, days) = (args.list(), args.list(), args.int());
    let key = if with_key {
        args.text()
    } else {
        rsa_key::<RSA_2048>(run)?
    };
    let mut params = base_params(run, &cn, days);
    params.subject_alt_names = alternative_names(ips.items(), names.items())?;
    sign_self(&params, key)
}

/// The issuer's name as rcgen holds it, string types included.
fn distinguished_name(name: &[u8]) -> Option<DistinguishedName> {
    let mut out = DistinguishedName::new();
    let mut sets = Reader::new(name).enter(der::SEQUENCE)?;
    while let Some((_, set)) = sets.next() {
        let mut attribute = Reader::new(set).enter(der::SEQUENCE)?;
        let (_, oid) = attribute.next()?;
        let (tag, value) = attribute.next()?;
        let text = String::from_utf8_lossy(value).into_owned();
        let value = match tag {
            der::PRINTABLE => DnValue::PrintableString(text.as_str().try_into().ok()?),
            der::IA5 => DnValue::Ia5String(text.as_str().try_into().ok()?),
            _ => DnValue::Utf8String(text),
        };
        out.push(DnType::from_oid(&der::oid(oid)?), value);
    }
    Some(out)
}

fn signed(run: &mut Run<'_>, values: Vec<Value>, with_key: bool) -> Returned {
    let mut args = Args::new(values);
    let cn = args.text();
    let (ips, names, days) = (args.list(), args.list(), args.int());
    let Value::Obj(Object::Certificate(ca)) = args.any() else {
        return Err(FnError::text("unable to decode certificate"));
    };
    let key = if with_key {
        args.text()
    } else {
        rsa_key::<RSA_2048>(run)?
    };
    let block = pem::parse(&ca.cert).map_err(|_| FnError::text("unable to decode certificate"))?;
    let malformed = || {
        FnError::text(
            "error parsing certificate: decodedSignerCert.Bytes: x509: malformed certificate",
        )
    };
    let name = der::subject(block.contents())
        .and_then(distinguished_name)
        .ok_or_else(malformed)?;
    let signer = read_key(&ca.key).map_err(|error| failed("error parsing private key", error))?;
    let mut issuer = CertificateParams::default();
    issuer.distinguished_name = name;
    let ca_key_id = der::subject_key_id(block.contents()).map(<[u8]>::to_vec);
    let names_issuer = ca_key_id.is_some();
    issuer.key_identifier_method = KeyIdMethod::PreSpecified(ca_key_id.unwrap_or_default());
    let issuer = Issuer::new(issuer, signer);
    let mut params = base_params(run, &cn, days);
    params.subject_alt_names = alternative_names(ips.items(), names.items())?;
    // As Go does, the certificate names its issuer's key by the issuer's words.
    params.use_authority_key_identifier_extension = names_issuer;
    let public = parsed_key(&key)?;
    let cert = params
        .signed_by(&public, &issuer)
        .map_err(|error| failed("error creating certificate", error))?;
    Ok(pair(pem_text("CERTIFICATE", cert.der().to_vec()), key))
}

/// Ed25519 public keys, which ring wants beside the seed.
pub(super) fn ed25519_public(seed: &[u8]) -> Option<Vec<u8>> {
    let pair = ring::signature::Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
    Some(pair.public_key().as_ref().to_vec())
}
