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
    bytes: Vec<u8>,
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
                    parsed.bytes = STANDARD.decode(value).map_err(|_| AuthError::Header)?;
                }
                _ => {}
            }
            rest = after;
        }
        let complete = !parsed.key_id.is_empty()
            && !parsed.bytes.is_empty()
            && parsed.algorithm == "rsa-sha256";
        complete.then_some(parsed).ok_or(AuthError::Header)
    }

    fn check(&self, store: &Store, text: &str) -> Result<(), AuthError> {
        let row = store.get(KEYS, &self.key_id).ok_or(AuthError::UnknownKey)?;
        let key = row.value["publicKey"].as_str().unwrap_or_default();
        let key = STANDARD.decode(key).map_err(|_| AuthError::UnknownKey)?;
        UnparsedPublicKey::new(&RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, key)
            .verify(text.as_bytes(), &self.bytes)
            .map_err(|_| AuthError::Signature)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rsa::pkcs8::DecodePublicKey as _;
    use serde_json::json;

    use super::super::account::{fingerprint, parse_private_key};
    use super::super::testing::{KEY, request};
    use super::*;

    /// The 1024-bit sample key of draft-cavage-http-signatures, appendix C.
    const DRAFT_KEY: &str = "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDCFENGw33yGihy92pDjZQhl0C36rPJj+CvfSC8\
         +q28hxA161QFNUd13wuCTUcq0Qd2qsBe/2hFyc2DCJJg0h1L78+6Z4UMR7EOcpfdUE9Hf3m/hs+F\
         UR45uBJeDK1HSFHD8bHKD6kv8FPGfJTotc+2xjJwoYi+1hqp1fIekaxsyQIDAQAB";
    const DRAFT_KEY_ID: &str = "ocid1.tenancy.oc1..aaaaaaaaba3pv6wkcr4jqae5f15p2b2m2yt2j6rx32uzr4h25vqstifsfdsq/\
         ocid1.user.oc1..aaaaaaaat5nvwcna5j6aqzjcaty5eqbb6qt2jvpkanghtgdaqedqw3rynjq/\
         20:3b:97:13:55:1c:5b:0d:d3:37:d8:50:4e:c5:3a:34";
    const KEY_ID: &str = "ocid1.tenancy.oc1..aaaaaaaatodoctltesttenancy/\
         ocid1.user.oc1..aaaaaaaatodoctltestuser/\
         08:f1:3f:37:58:22:5a:cb:6f:e8:5e:4b:c3:02:3c:55";
    const SESSION: &str = "ST$eyJhbGciOiJSUzI1NiJ9.\
         eyJzdWIiOiJ0b2RvY3RsIiwiZXhwIjo0MTAyNDQ0ODAwfQ.c2lnbmF0dXJl";
    const DATE: &str = "Tue, 03 Feb 2026 04:05:06 GMT";
    const READ: &str = "date (request-target) host";
    const WRITE: &str = "date (request-target) host content-length content-type x-content-sha256";
    const CLUSTER: &str = "ocid1.cluster.oc1.eu-frankfurt-1.aaaaaaaatodoctl";

    fn store() -> (tempfile::TempDir, Arc<Store>) {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(dir.path()).unwrap());
        let own = parse_private_key(KEY).unwrap().to_public_key();
        let draft = STANDARD.decode(DRAFT_KEY).unwrap();
        let draft = rsa::RsaPublicKey::from_public_key_der(&draft).unwrap();
        for (id, key) in [(KEY_ID, &own), (SESSION, &own), (DRAFT_KEY_ID, &draft)] {
            use rsa::pkcs1::EncodeRsaPublicKey as _;
            let der = key.to_pkcs1_der().unwrap();
            let row = json!({"publicKey": STANDARD.encode(der.as_bytes())});
            store.put(KEYS, id, row);
        }
        (dir, store)
    }

    struct Vector {
        key_id: &'static str,
        date: &'static str,
        host: &'static str,
        method: &'static str,
        target: &'static str,
        body: Option<&'static str>,
        signature: &'static str,
    }

    impl Vector {
        fn request(&self) -> Request {
            let body = self.body.unwrap_or_default();
            let length = body.len().to_string();
            let digest = ring::digest::digest(&ring::digest::SHA256, body.as_bytes());
            let digest = STANDARD.encode(digest);
            let names = if self.body.is_some() { WRITE } else { READ };
            let authorization = format!(
                r#"Signature version="1",keyId="{}",algorithm="rsa-sha256",headers="{names}",signature="{}""#,
                self.key_id, self.signature
            );
            let headers = [
                ("date", self.date),
                ("host", self.host),
                ("content-length", &length),
                ("content-type", "application/json"),
                ("x-content-sha256", &digest),
                ("authorization", &authorization),
            ];
            request(self.method, self.target, &headers, body.as_bytes())
        }

        fn verify(&self) -> Result<String, AuthError> {
            let (_dir, store) = store();
            verify(&store, &self.request(), parse_date(self.date).unwrap())
        }
    }

    /// Oracle's two published vectors, and four signed by Oracle's Python SDK.
    const VECTORS: [Vector; 6] = [
        Vector {
            key_id: DRAFT_KEY_ID,
            date: "Thu, 05 Jan 2014 21:31:40 GMT",
            host: "iaas.us-phoenix-1.oraclecloud.com",
            method: "GET",
            target: "/20160918/instances?availabilityDomain=Pjwf%3A%20PHX-AD-1&\
                     compartmentId=ocid1.compartment.oc1..aaaaaaaam3we6vgnherjq5q2idnccdflvjsnog7mlr6rtdb25gilchfeyjxa&\
                     displayName=TeamXInstances&\
                     volumeId=ocid1.volume.oc1.phx.abyhqljrgvttnlx73nmrwfaux7kcvzfs3s66izvxf2h4lgvyndsdsnoiwr5q",
            body: None,
            signature: "GBas7grhyrhSKHP6AVIj/h5/Vp8bd/peM79H9Wv8kjoaCivujVXlpbKLjMPeDUhxkFIWtTtLBj3s\
         UzaFj34XE6YZAHc9r2DmE4pMwOAy/kiITcZxa1oHPOeRheC0jP2dqbTll8fmTZVwKZOKHYPtrLJI\
         JQHJjNvxFWeHQjMaR7M=",
        },
        Vector {
            key_id: DRAFT_KEY_ID,
            date: "Thu, 05 Jan 2014 21:31:40 GMT",
            host: "iaas.us-phoenix-1.oraclecloud.com",
            method: "POST",
            target: "/20160918/volumeAttachments",
            body: Some(concat!(
                "{\n",
                "    \"compartmentId\": \"ocid1.compartment.oc1..aaaaaaaam3we6vgnherjq5q2idnccdflvjsnog7mlr6rtdb25gilchfeyjxa\",\n",
                "    \"instanceId\": \"ocid1.instance.oc1.phx.abuw4ljrlsfiqw6vzzxb43vyypt4pkodawglp3wqxjqofakrwvou52gb6s5a\",\n",
                "    \"volumeId\": \"ocid1.volume.oc1.phx.abyhqljrgvttnlx73nmrwfaux7kcvzfs3s66izvxf2h4lgvyndsdsnoiwr5q\"\n",
                "}"
            )),
            signature: "Mje8vIDPlwIHmD/cTDwRxE7HaAvBg16JnVcsuqaNRim23fFPgQfLoOOxae6WqKb1uPjYEl0qIdaz\
         WaBy/Ml8DRhqlocMwoSXv0fbukP8J5N80LCmzT/FFBvIvTB91XuXI3hYfP9Zt1l7S6ieVadHUfqB\
         edWH0itrtPJBgKmrWso=",
        },
        Vector {
            key_id: KEY_ID,
            date: DATE,
            host: "iaas.eu-frankfurt-1.oraclecloud.com",
            method: "GET",
            target: "/20160918/vcns?compartmentId=ocid1.compartment.oc1..aaaaaaaatodoctl&\
                     displayName=todoctl+vcn%2F1&limit=50",
            body: None,
            signature: "kNjnI7yIjNRqS+Wf+zjN/l0qOnZl696Jpo5Rmi/BVdgI+S7L7eieqTm/0+wXV3H1ypydYAk9/oSE\
         ZujWBJ7Htf2OEXraD/jZevXvtsj/bo0HKAirH6mLIFvw5xOAoWdsGnMYrmZY0DgVYNxnynBYd6Ll\
         Abbi3isGLhtxXCOHOPOq0BED4saAbCle0rhdmsHT2O38smViopJyHJofcuP40vqPIXLa1ttH8wKG\
         WmDjCYFRJjjUUxAw2TK59whx4i/PjCMhpqdb6N+bA1AA3cLLIjGfMIHvQyq30laYRq1oO0aTE6sF\
         UIUH9TE2p6ty3z7bicw7whESNoDz0M2jtEZGbA==",
        },
        Vector {
            key_id: KEY_ID,
            date: DATE,
            host: "iaas.eu-frankfurt-1.oraclecloud.com",
            method: "POST",
            target: "/20160918/vcns",
            body: Some(concat!(
                r#"{"compartmentId": "ocid1.compartment.oc1..aaaaaaaatodoctl", "#,
                r#""cidrBlocks": ["10.0.0.0/16"], "displayName": "todoctl-vcn", "#,
                r#""freeformTags": {"todoctl": "demo"}}"#
            )),
            signature: "Nkqsb7lDQ1pPkDN4de1x5RUekYrUpdEir9B2Qpf6apeNfGh9o7e8EnuTGKbbI3i3UzfrCn1yJwYW\
         RVMENWTHTN1hDrzJw6186Iu4gbLg6R8eBDfRaZP8rr8dOAM61i5m4dyxvLiL3CAhdKWwyYc9DLwr\
         +iyPkhBJhw+EFLgNmB/TOBs1BEQyq1Ol9J9ovdstEtrID7xYMvOwOiJUZnBKKGT0/NSNgecRioZv\
         VUxUfR0IPzJW8Tq83FERwZAsseFHwHuIs+t17wYe90/tgMNyufykbMrkEbUGQoRuuRPpGF9R0QJA\
         wyqWYMOFNv0KTXqwZMLoQW30/exQvZqVWWC1kw==",
        },
        Vector {
            key_id: SESSION,
            date: DATE,
            host: "containerengine.eu-frankfurt-1.oci.oraclecloud.com",
            method: "DELETE",
            target: "/20180222/clusters/ocid1.cluster.oc1.eu-frankfurt-1.aaaaaaaatodoctl",
            body: None,
            signature: "RQTCPmGZtUfHYGUnhfharAzQzGs9vFOV0yQ+p6L9q0uTsRwBIJutyHjRmCiwmi342coQllwpvGMX\
         AS7UI+bqPdhPYkDOD0pRe9Mzp6K5lerQNvINYAxmVOc1OY5hn3aItxPkn1z/mza4pwFIxf6WuYsx\
         ab6E7mZVsda1KgIaDMwiOuakShn7JH9ZhZ+NbbN2p0SDodnxBn7RKKIZ/CUvVBw51piOf+ywYzFr\
         GpX+UkxEQPksdBII4mfHg7d7r55YY8afrTb9YFUFTnIKEpLS4I3OgTOLOvD1DK/hAY6iqWPBEjdT\
         4rB/ziomb9Xp6T3tSgskYG8e+mzezq0PsRWL6g==",
        },
        Vector {
            key_id: KEY_ID,
            date: DATE,
            host: "containerengine.eu-frankfurt-1.oci.oraclecloud.com",
            method: "POST",
            target: "/20180222/clusters/ocid1.cluster.oc1.eu-frankfurt-1.aaaaaaaatodoctl/\
                     actions/completeCredentialRotation",
            body: Some(""),
            signature: "hRuVRYGJSkLVsmnZW6xoD17iFoGaE6HYWMQ4X1hWlxNgalsYaPHqWy/Ys4vJX7MXVHwonNcjxGl2\
         mvp8Y+H+sZMsyvj1J0gmdwP/yLaV1gDDwWQsYWldnzdV4q7ocDxwRrfP5aE46AR/jd5BtNb4E9v0\
         4O7MhxDg60Vb3b6ervlIJ4o97QVcDbX/rQB9DOn6cSBIhWHWedwfqDrfdwGO2/MKL6vCSmzW1FeR\
         ZptXEMudyrHoUXU4e9P+TXN4Hp6cQr54nY9WUp9x9rZn480eZQlNX8W+uwoxtSSc9QQNcZgwuSiL\
         hckWSGmUNxiudQGnGT7VROMfnZRw2eDLbe0OZw==",
        },
    ];
    const TOKEN_SIGNATURE: &str = "l5xF7VE/5YDFiO6NFVUB99z1fUVTec0l2416DdLzCWZkdf+UTDRXDap6HP+MuDBDNAZX1LSyTrhg\
         EgqX8R0QWnc3x3+gMT1BceJY4jXNUe4cCrg7Oj/Lch5z4q/UUPBTJpyaioPfCQPEl4lGSRGjfnbR\
         0rn5k/UBKpHLswRSM8wv/foDBUqPMwdIS8nJxO9k/rRtYuYF9nKjipHY49RkctHRtcbPUh3CON9z\
         qUVp7ZzA/B5kR9CSyP6cd7hsHU+2xbV8qWebMvEpPo98qccFW/NFlYQqzbC0UjghgfVZJVXR2zbd\
         v5wTZ6rw8wkD7UdWhQTyZTRR88Yph34PKaIHIw==";

    #[test]
    fn published_and_recorded_signatures_verify() {
        for vector in &VECTORS {
            assert_eq!(
                vector.verify(),
                Ok(vector.key_id.to_owned()),
                "{}",
                vector.target
            );
        }
    }

    #[test]
    fn the_fingerprint_is_the_one_that_openssl_prints() {
        use rsa::pkcs8::EncodePublicKey as _;
        let key = parse_private_key(&format!("{KEY}OCI_API_KEY\n")).unwrap();
        let der = key.to_public_key().to_public_key_der().unwrap();
        let expected = KEY_ID.rsplit('/').next();
        assert_eq!(Some(&*fingerprint(der.as_bytes())), expected);
    }

    #[test]
    fn anything_changed_on_the_way_is_noticed() {
        let [_, _, get, post, ..] = &VECTORS;
        let (_dir, store) = store();
        let now = parse_date(DATE).unwrap();
        let check = |request: &Request| verify(&store, request, now).unwrap_err();
        let mut moved = get.request();
        moved.target = moved.target.replace("+vcn", "%20vcn");
        assert_eq!(check(&moved), AuthError::Signature);
        let mut edited = post.request();
        edited.body = edited.body.to_vec().repeat(2).into();
        assert_eq!(check(&edited), AuthError::Digest);
        let mut elsewhere = get.request();
        elsewhere
            .headers
            .insert("host", "localhost:1".parse().unwrap());
        assert_eq!(check(&elsewhere), AuthError::Signature);
        let mut anonymous = get.request();
        anonymous.headers.remove("authorization");
        assert_eq!(check(&anonymous), AuthError::Header);
        let mut unsigned_body = get.request();
        unsigned_body.method = http::Method::PUT;
        let missing = AuthError::Unsigned("content-length".to_owned());
        assert_eq!(check(&unsigned_body), missing);
        store.delete(KEYS, KEY_ID);
        assert_eq!(check(&get.request()), AuthError::UnknownKey);
    }

    #[test]
    fn a_date_may_be_five_minutes_off() {
        let (_dir, store) = store();
        let [_, _, get, ..] = &VECTORS;
        let date = parse_date(DATE).unwrap();
        for (seconds, fine) in [(299, true), (301, false), (-299, true), (-301, false)] {
            let now = date + SignedDuration::from_secs(seconds);
            let verified = verify(&store, &get.request(), now);
            assert_eq!(verified.is_ok(), fine, "{seconds}: {verified:?}");
        }
    }

    fn token(signature: &str) -> String {
        let authorization = format!(
            r#"Signature algorithm="rsa-sha256",headers="{READ}",keyId="{KEY_ID}",signature="{signature}",version="1""#
        );
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("authorization", &authorization);
        query.append_pair("date", DATE);
        let host = "containerengine.eu-frankfurt-1.oraclecloud.com";
        let url = format!(
            "https://{host}/cluster_request/{CLUSTER}?{}",
            query.finish()
        );
        URL_SAFE.encode(url)
    }

    #[test]
    fn a_cluster_token_opens_its_own_cluster_for_a_while() {
        let (_dir, store) = store();
        let good = token(TOKEN_SIGNATURE);
        let digest = ring::digest::digest(&ring::digest::SHA256, good.as_bytes());
        let hex = crate::sandbox::world::hex(digest.as_ref());
        assert_eq!(
            hex,
            "1311659e5d9bfe151af329e9da8e97d2be621bd619edd6c7d83a39c2953240c1"
        );
        let now = parse_date(DATE).unwrap();
        assert_eq!(
            verify_token(&store, CLUSTER, &good, now),
            Ok(KEY_ID.to_owned())
        );
        let other = verify_token(&store, "ocid1.cluster.other", &good, now);
        assert_eq!(other, Err(AuthError::OtherCluster));
        let late = now + SignedDuration::from_mins(6);
        assert_eq!(
            verify_token(&store, CLUSTER, &good, late),
            Err(AuthError::Skew)
        );
        let forged = token(&TOKEN_SIGNATURE.replacen('l', "m", 1));
        assert_eq!(
            verify_token(&store, CLUSTER, &forged, now),
            Err(AuthError::Signature)
        );
        assert_eq!(
            verify_token(&store, CLUSTER, "hello", now),
            Err(AuthError::Token)
        );
    }
}
