//! Request signatures and cluster tokens, checked from their specification:
//! draft-cavage-http-signatures-08 as profiled by Oracle's "Request
//! Signatures" page, with RSA PKCS#1 v1.5 and SHA-256.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use jiff::fmt::rfc2822::DateTimeParser;
use jiff::{SignedDuration, Timestamp};
use ring::signature::{RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, UnparsedPublicKey};

use super::account::KEYS;
use crate::sandbox::http::Request;
use crate::sandbox::store::Store;

/// How far a request's date may be off.
const SKEW: SignedDuration = SignedDuration::from_mins(5);

/// Why a request is not authenticated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// No usable `Authorization` header.
    #[error("the Authorization header is missing or malformed")]
    Header,
    /// A header that must be signed is not, or is absent.
    #[error("header {0} is not signed or not present")]
    Unsigned(String),
    /// The key is not known here.
    #[error("the key is unknown")]
    UnknownKey,
    /// The date is no date.
    #[error("the date cannot be read")]
    BadDate,
    /// The date is too far from the server's.
    #[error("the date is more than five minutes off the server's clock")]
    Skew,
    /// The body does not have the signed digest.
    #[error("x-content-sha256 does not match the body")]
    Digest,
    /// The signature is wrong.
    #[error("the signature does not match")]
    Signature,
    /// The cluster token is not one.
    #[error("the token is malformed")]
    Token,
    /// The cluster token is for another cluster.
    #[error("the token is for another cluster")]
    OtherCluster,
}

/// The parameters of an `Authorization: Signature …` value.
#[derive(Debug, Default, PartialEq, Eq)]
struct Signature {
    key_id: String,
    algorithm: String,
    headers: Vec<String>,
    signature: Vec<u8>,
}

/// Checks a request's signature against the raw target; returns the key's
/// identifier.
pub fn verify(store: &Store, request: &Request, now: Timestamp) -> Result<String, AuthError> {
    let header = request.header("authorization").ok_or(AuthError::Header)?;
    let signature = Signature::parse(header)?;
    let signs = |name: &str| signature.headers.iter().any(|h| h == name);
    let date = ["date", "x-date"]
        .into_iter()
        .find(|name| signs(name))
        .ok_or_else(|| AuthError::Unsigned("date".to_owned()))?;
    let method = request.method.as_str();
    let with_body = matches!(method, "POST" | "PUT" | "PATCH");
    let mut mandatory = vec!["(request-target)", "host"];
    if with_body {
        mandatory.extend(["content-length", "content-type", "x-content-sha256"]);
    }
    if let Some(name) = mandatory.into_iter().find(|name| !signs(name)) {
        return Err(AuthError::Unsigned(name.to_owned()));
    }
    let target = format!("{} {}", method.to_ascii_lowercase(), request.target);
    let text = signing_string(&signature.headers, &target, |name| request.header(name))?;
    check_date(request.header(date).unwrap_or_default(), now)?;
    if with_body {
        let digest = ring::digest::digest(&ring::digest::SHA256, &request.body);
        if request.header("x-content-sha256") != Some(&*STANDARD.encode(digest)) {
            return Err(AuthError::Digest);
        }
    }
    signature.check(store, &text)?;
    Ok(signature.key_id)
}

/// Checks a bearer token for a cluster: the base64 of a signed URL. Returns
/// the key's identifier.
pub fn verify_token(
    store: &Store,
    cluster: &str,
    token: &str,
    now: Timestamp,
) -> Result<String, AuthError> {
    let url = URL_SAFE.decode(token).map_err(|_| AuthError::Token)?;
    let url = String::from_utf8(url).map_err(|_| AuthError::Token)?;
    let url = url::Url::parse(&url).map_err(|_| AuthError::Token)?;
    let host = url.host_str().ok_or(AuthError::Token)?.to_owned();
    let host = match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host,
    };
    if url.path() != format!("/cluster_request/{cluster}") {
        return Err(AuthError::OtherCluster);
    }
    let query = |name: &str| {
        let mut pairs = url.query_pairs();
        pairs
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    };
    let signature = Signature::parse(&query("authorization").ok_or(AuthError::Token)?)?;
    let date = query("date").ok_or(AuthError::Token)?;
    let signed = ["date", "(request-target)", "host"];
    if let Some(name) = signed
        .iter()
        .find(|name| !signature.headers.iter().any(|h| h == *name))
    {
        return Err(AuthError::Unsigned((*name).to_owned()));
    }
    let target = format!("get {}", url.path());
    let text = signing_string(&signature.headers, &target, |name| match name {
        "date" => Some(&*date),
        "host" => Some(&*host),
        _ => None,
    })?;
    check_date(&date, now)?;
    signature.check(store, &text)?;
    Ok(signature.key_id)
}

fn signing_string<'a>(
    names: &[String],
    target: &str,
    header: impl Fn(&str) -> Option<&'a str>,
) -> Result<String, AuthError> {
    let lines: Result<Vec<_>, _> = names
        .iter()
        .map(|name| match name.as_str() {
            "(request-target)" => Ok(format!("{name}: {target}")),
            _ => header(name)
                .map(|value| format!("{name}: {value}"))
                .ok_or_else(|| AuthError::Unsigned(name.clone())),
        })
        .collect();
    Ok(lines?.join("\n"))
}

/// The weekday is not checked: Oracle's own published example has a wrong one.
fn parse_date(text: &str) -> Option<Timestamp> {
    static PARSER: DateTimeParser = DateTimeParser::new().relaxed_weekday(true);
    PARSER.parse_timestamp(text).ok()
}

fn check_date(text: &str, now: Timestamp) -> Result<(), AuthError> {
    let date = parse_date(text).ok_or(AuthError::BadDate)?;
    if now.duration_since(date).abs() > SKEW {
        return Err(AuthError::Skew);
    }
    Ok(())
}

impl Signature {
    fn parse(header: &str) -> Result<Self, AuthError> {
        let mut rest = header
            .strip_prefix("Signature ")
            .ok_or(AuthError::Header)?
            .trim();
        let mut parsed = Self::default();
        while !rest.is_empty() {
            let (name, after) = rest.split_once("=\"").ok_or(AuthError::Header)?;
            let (value, after) = after.split_once('"').ok_or(AuthError::Header)?;
            match name.trim_start_matches([',', ' ']) {
                "keyId" => value.clone_into(&mut parsed.key_id),
                "algorithm" => value.clone_into(&mut parsed.algorithm),
                "headers" => {
                    parsed.headers = value.split(' ').map(str::to_ascii_lowercase).collect();
                }
                "signature" => {
                    parsed.signature = STANDARD.decode(value).map_err(|_| AuthError::Header)?;
                }
                _ => {}
            }
            rest = after;
        }
        let complete = !parsed.key_id.is_empty()
            && !parsed.signature.is_empty()
            && parsed.algorithm == "rsa-sha256";
        complete.then_some(parsed).ok_or(AuthError::Header)
    }

    fn check(&self, store: &Store, text: &str) -> Result<(), AuthError> {
        let row = store.get(KEYS, &self.key_id).ok_or(AuthError::UnknownKey)?;
        let key = row.value["publicKey"].as_str().unwrap_or_default();
        let key = STANDARD.decode(key).map_err(|_| AuthError::UnknownKey)?;
        UnparsedPublicKey::new(&RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, key)
            .verify(text.as_bytes(), &self.signature)
            .map_err(|_| AuthError::Signature)
    }
}
