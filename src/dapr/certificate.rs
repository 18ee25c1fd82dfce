//! When the certificates of Dapr's trust bundle end.
//!
//! Sentry makes an authority of its own that lives for 365 days, and nothing
//! renews it: on the last day every sidecar stops to trust every other. Only
//! the validity of X.509 certificates (RFC 5280, 4.1.2.5) is read here; who
//! trusts whom is decided by Dapr.

use base64::Engine as _;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::TRUST_BUNDLE;
use crate::manifest::Manifest;

/// From this many days before the end it is worth a warning.
const WARN_DAYS: i64 = 30;
/// From this many days before the end it is a failure.
const FAIL_DAYS: i64 = 7;

const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// The optional version of a certificate.
const VERSION: u8 = 0xa0;

/// Why the end of a certificate is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// The bundle does not have it yet.
    #[error("the trust bundle has no `{0}`")]
    Missing(&'static str),
    /// It is no certificate.
    #[error("`{0}` of the trust bundle is no certificate")]
    Unreadable(&'static str),
}

/// How long a certificate still holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// Long enough.
    Good,
    /// It ends within a month.
    Ending,
    /// It ends within a week.
    Urgent,
    /// It has ended.
    Ended,
}

/// The end of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expiry {
    /// Which of the bundle's certificates.
    pub name: &'static str,
    /// Its last moment.
    pub until: Timestamp,
    /// What that means today.
    pub validity: Validity,
}

/// The ends of the root and the issuer in the Secret of the trust bundle.
pub fn expiries(bundle: &Manifest, now: Timestamp) -> Vec<Result<Expiry, CertificateError>> {
    ["ca.crt", "issuer.crt"]
        .into_iter()
        .map(|name| expiry_of(bundle, name, now))
        .collect()
}

/// The end of one certificate of a Secret.
pub fn expiry_of(
    secret: &Manifest,
    name: &'static str,
    now: Timestamp,
) -> Result<Expiry, CertificateError> {
    let until = until(secret, name)?;
    Ok(Expiry {
        name,
        until,
        validity: validity(until, now),
    })
}

fn validity(until: Timestamp, now: Timestamp) -> Validity {
    let days = (until.as_second() - now.as_second()).div_euclid(24 * 3600);
    match days {
        ..0 => Validity::Ended,
        0..FAIL_DAYS => Validity::Urgent,
        FAIL_DAYS..WARN_DAYS => Validity::Ending,
        _ => Validity::Good,
    }
}

/// The text of a certificate in the trust bundle's Secret or `ConfigMap`.
pub fn pem_of(bundle: &Manifest, name: &str) -> Option<String> {
    debug_assert_eq!(bundle.name(), TRUST_BUNDLE);
    let data = bundle.body().get("data").and_then(Value::as_object)?;
    let text = data.get(name)?.as_str()?;
    if bundle.kind() == "ConfigMap" {
        return Some(text.to_owned());
    }
    let decoded = base64::engine::general_purpose::STANDARD
        .decode(text)
        .ok()?;
    String::from_utf8(decoded).ok()
}

fn until(bundle: &Manifest, name: &'static str) -> Result<Timestamp, CertificateError> {
    let text = pem_of(bundle, name).filter(|text| !text.trim().is_empty());
    let text = text.ok_or(CertificateError::Missing(name))?;
    // A bundle may hold the old root beside the new one; the first to end
    // decides.
    let blocks = pem::parse_many(&text).map_err(|_| CertificateError::Unreadable(name))?;
    let ends = blocks.iter().map(|block| not_after(block.contents()));
    let ends: Option<Vec<Timestamp>> = ends.collect();
    ends.and_then(|ends| ends.into_iter().min())
        .ok_or(CertificateError::Unreadable(name))
}

/// The end of a certificate in DER.
fn not_after(der: &[u8]) -> Option<Timestamp> {
    let certificate = enter(der, SEQUENCE)?;
    let mut fields = enter(certificate, SEQUENCE)?;
    let (tag, _, after) = element(fields)?;
    if tag == VERSION {
        fields = after;
    }
    // The serial number, the algorithm, the issuer.
    for _ in 0..3 {
        fields = element(fields)?.2;
    }
    let validity = enter(fields, SEQUENCE)?;
    let (_, _, after_begin) = element(validity)?;
    let (tag, text, _) = element(after_begin)?;
    time(tag, std::str::from_utf8(text).ok()?)
}

/// The contents of the first element, which must have that tag.
fn enter(bytes: &[u8], tag: u8) -> Option<&[u8]> {
    element(bytes)
        .filter(|(found, ..)| *found == tag)
        .map(|(_, contents, _)| contents)
}

/// The first element: its tag, its contents, and what follows.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (first, mut rest) = rest.split_first()?;
    let mut len = usize::from(*first);
    if len >= 0x80 {
        let (digits, after) = rest.split_at_checked(len & 0x7f)?;
        if digits.len() > 4 {
            return None;
        }
        len = digits
            .iter()
            .fold(0, |n, digit| n << 8 | usize::from(*digit));
        rest = after;
    }
    let (contents, after) = rest.split_at_checked(len)?;
    Some((*tag, contents, after))
}

/// `YYMMDDHHMMSSZ` until 2049, `YYYYMMDDHHMMSSZ` from then on.
fn time(tag: u8, text: &str) -> Option<Timestamp> {
    let text = text.strip_suffix('Z')?;
    if !text.bytes().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            let year: i16 = year.parse().ok()?;
            (year + if year < 50 { 2000 } else { 1900 }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = text.split_at_checked(4)?;
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    let number = |at: usize| rest.get(at..at + 2)?.parse::<i8>().ok();
    let date = DateTime::new(
        year,
        number(0)?,
        number(2)?,
        number(4)?,
        number(6)?,
        number(8)?,
        0,
    );
    date.ok()?
        .to_zoned(TimeZone::UTC)
        .ok()
        .map(|z| z.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn certificate(until: (i32, u8, u8)) -> String {
        let mut params = rcgen::CertificateParams::new(vec!["x".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(until.0, until.1, until.2);
        let key = rcgen::KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().pem()
    }

    fn bundle(data: &Value) -> Manifest {
        Manifest::new(json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": TRUST_BUNDLE, "namespace": "dapr-system"},
            "data": data,
        }))
        .unwrap()
    }

    fn encoded(text: &str) -> String {
        base64::engine::general_purpose::STANDARD.encode(text)
    }

    #[test]
    fn the_first_certificate_to_end_decides() {
        let both = format!("{}{}", certificate((2052, 3, 4)), certificate((2031, 1, 2)));
        let data =
            json!({"ca.crt": encoded(&both), "issuer.crt": encoded(&certificate((2050, 1, 1)))});
        let now: Timestamp = "2026-11-22T00:00:00Z".parse().unwrap();
        let ends: Vec<String> = expiries(&bundle(&data), now)
            .into_iter()
            .map(|e| e.unwrap().until.to_string())
            .collect();
        assert_eq!(ends, ["2031-01-02T00:00:00Z", "2050-01-01T00:00:00Z"]);
    }

    #[test]
    fn a_bundle_that_sentry_has_not_filled_is_told_apart_from_rubbish() {
        let now = Timestamp::UNIX_EPOCH;
        let found = expiries(&bundle(&json!({"issuer.crt": encoded("rubbish")})), now);
        assert_eq!(
            found,
            [
                Err(CertificateError::Missing("ca.crt")),
                Err(CertificateError::Unreadable("issuer.crt"))
            ]
        );
    }

    #[test]
    fn the_end_is_told_in_time() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        for (until, validity) in [
            ("2027-11-22T12:00:00Z", Validity::Good),
            ("2026-12-22T11:00:00Z", Validity::Ending),
            ("2026-11-29T11:00:00Z", Validity::Urgent),
            ("2026-11-22T11:59:59Z", Validity::Ended),
        ] {
            assert_eq!(
                super::validity(until.parse().unwrap(), now),
                validity,
                "{until}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = not_after(&bytes);
        }
    }
}
