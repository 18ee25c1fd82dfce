//! Request signatures: draft-cavage-http-signatures-08 with `rsa-sha256`, in
//! the form Oracle calls version 1.
//!
//! The string to sign is built by a pure function; [`Signer`] adds the key. A
//! request is signed right before each attempt, because its date must be fresh
//! while its retry token stays.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue, Method, header};
use jiff::Timestamp;
use reqwest::{Request, Url};

use super::Key;
use crate::clock::Clock;
use crate::net::Prepare;
use crate::secret::Secret;

const CONTENT_SHA256: HeaderName = HeaderName::from_static("x-content-sha256");

/// Who signs.
#[derive(Debug, Clone)]
pub enum Identity {
    /// A user's API key.
    ApiKey {
        /// The tenancy's OCID.
        tenancy: String,
        /// The user's OCID.
        user: String,
    },
    /// A session token; the key is the session's.
    SessionToken(Secret),
}

/// A private key and whose it is.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// Whose.
    pub identity: Identity,
    /// The key.
    pub key: Arc<Key>,
}

/// Signs requests.
#[derive(Debug, Clone)]
pub struct Signer {
    // With a session token in it, the key id is as good as a password.
    key_id: Secret,
    key: Arc<Key>,
}

/// The key refused to sign.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the private key cannot sign")]
pub struct CannotSign;

impl Signer {
    /// A signer with the credentials.
    pub fn new(credentials: &Credentials) -> Self {
        let key_id = match &credentials.identity {
            Identity::ApiKey { tenancy, user } => {
                format!("{tenancy}/{user}/{}", credentials.key.fingerprint())
            }
            Identity::SessionToken(token) => format!("ST${}", token.expose().trim()),
        };
        Self {
            key_id: Secret::new(key_id),
            key: Arc::clone(&credentials.key),
        }
    }

    /// The `authorization` value for a message.
    pub(super) fn authorize(&self, message: &Message<'_>) -> Result<Secret, CannotSign> {
        let signature = self.key.sign(message.signing_string().as_bytes())?;
        Ok(Secret::new(format!(
            "Signature algorithm=\"rsa-sha256\",headers=\"{}\",keyId=\"{}\",signature=\"{}\",version=\"1\"",
            message.header_names(),
            self.key_id.expose(),
            STANDARD.encode(signature),
        )))
    }
}

/// What is signed of a request.
#[derive(Debug, Clone)]
pub(super) struct Message<'a> {
    pub(super) method: &'a Method,
    /// Path and query exactly as sent.
    pub(super) target: String,
    pub(super) host: String,
    pub(super) date: String,
    pub(super) body: Option<Digest>,
}

/// What is signed of a body.
#[derive(Debug, Clone)]
pub(super) struct Digest {
    pub(super) length: usize,
    pub(super) content_type: String,
    pub(super) sha256: String,
}

impl Digest {
    pub(super) fn of(body: &[u8], content_type: &str) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, body);
        Self {
            length: body.len(),
            content_type: content_type.to_owned(),
            sha256: STANDARD.encode(digest),
        }
    }
}

impl Message<'_> {
    fn header_names(&self) -> &'static str {
        match self.body {
            None => "date (request-target) host",
            Some(_) => "date (request-target) host content-length content-type x-content-sha256",
        }
    }

    /// One `name: value` line per signed header, without a newline at the end.
    fn signing_string(&self) -> String {
        let method = self.method.as_str().to_ascii_lowercase();
        let head = format!(
            "date: {}\n(request-target): {method} {}\nhost: {}",
            self.date, self.target, self.host
        );
        match &self.body {
            None => head,
            Some(body) => format!(
                "{head}\ncontent-length: {}\ncontent-type: {}\nx-content-sha256: {}",
                body.length, body.content_type, body.sha256
            ),
        }
    }
}

/// A date as HTTP wants it: `Tue, 03 Feb 2026 04:05:06 GMT`.
pub(super) fn http_date(now: Timestamp) -> String {
    now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// The value of a `host` header: the port only when it is not the usual one.
pub(super) fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

fn target_of(url: &Url) -> String {
    match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    }
}

/// The layer that signs each attempt.
pub(super) struct Signing {
    pub(super) signer: Signer,
    pub(super) clock: Clock,
}

impl Prepare for Signing {
    fn prepare(
        &self,
        request: &mut Request,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let has_body = matches!(
            *request.method(),
            Method::POST | Method::PUT | Method::PATCH
        );
        let bytes = request.body().and_then(reqwest::Body::as_bytes);
        let message = Message {
            method: request.method(),
            target: target_of(request.url()),
            host: host_of(request.url()),
            date: http_date(self.clock.now()),
            body: has_body.then(|| Digest::of(bytes.unwrap_or_default(), "application/json")),
        };
        let mut authorization = HeaderValue::from_str(self.signer.authorize(&message)?.expose())?;
        authorization.set_sensitive(true);
        let (date, host, body) = (message.date, message.host, message.body);
        let headers = request.headers_mut();
        headers.insert(header::DATE, HeaderValue::from_str(&date)?);
        headers.insert(header::HOST, HeaderValue::from_str(&host)?);
        headers.insert(header::AUTHORIZATION, authorization);
        if let Some(body) = body {
            headers.insert(header::CONTENT_LENGTH, body.length.into());
            headers.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_str(&body.content_type)?,
            );
            headers.insert(CONTENT_SHA256, HeaderValue::from_str(&body.sha256)?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ring::signature::{RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, UnparsedPublicKey};

    use super::*;
    use crate::oci::testing::{FINGERPRINT, TENANCY, USER, credentials};
    use crate::oci::types::hex;

    const DATE: &str = "Tue, 03 Feb 2026 04:05:06 GMT";
    const CORE: &str = "iaas.eu-frankfurt-1.oraclecloud.com";
    const OKE: &str = "containerengine.eu-frankfurt-1.oci.oraclecloud.com";

    fn message<'a>(method: &'a Method, target: &str, host: &str) -> Message<'a> {
        Message {
            method,
            target: target.into(),
            host: host.into(),
            date: DATE.into(),
            body: None,
        }
    }

    fn with_body<'a>(message: Message<'a>, body: &str) -> Message<'a> {
        Message {
            body: Some(Digest::of(body.as_bytes(), "application/json")),
            ..message
        }
    }

    fn sha256(text: &str) -> String {
        hex(ring::digest::digest(&ring::digest::SHA256, text.as_bytes()).as_ref())
    }

    /// The vectors were made with Oracle's Python SDK and checked with OpenSSL.
    #[test]
    fn signatures_equal_those_of_the_python_sdk() {
        let api_key = Signer::new(&credentials());
        let session = Signer::new(&Credentials {
            identity: Identity::SessionToken(Secret::new(
                "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ0b2RvY3RsIiwiZXhwIjo0MTAyNDQ0ODAwfQ.c2lnbmF0dXJl\n",
            )),
            ..credentials()
        });
        let cluster = "/20180222/clusters/ocid1.cluster.oc1.eu-frankfurt-1.aaaaaaaatodoctl";
        let rotate = format!("{cluster}/actions/completeCredentialRotation");
        let vcn = r#"{"compartmentId": "ocid1.compartment.oc1..aaaaaaaatodoctl", "cidrBlocks": ["10.0.0.0/16"], "displayName": "todoctl-vcn", "freeformTags": {"todoctl": "demo"}}"#;
        let cases = [
            (
                &api_key,
                message(
                    &Method::GET,
                    "/20160918/vcns?compartmentId=ocid1.compartment.oc1..aaaaaaaatodoctl&displayName=todoctl+vcn%2F1&limit=50",
                    CORE,
                ),
                "e6b441a5bb1790a1c8b7b79aea774955b60709e026d6950af063dcbd6b8cb7d8",
                "kNjnI7yIjNRqS+Wf+zjN/l0qOnZl696Jpo5Rmi/BVdgI+S7L7eieqTm/0+wXV3H1ypydYAk9/oSEZujWBJ7Htf2OEXraD/jZevXvtsj/bo0HKAirH6mLIFvw5xOAoWdsGnMYrmZY0DgVYNxnynBYd6LlAbbi3isGLhtxXCOHOPOq0BED4saAbCle0rhdmsHT2O38smViopJyHJofcuP40vqPIXLa1ttH8wKGWmDjCYFRJjjUUxAw2TK59whx4i/PjCMhpqdb6N+bA1AA3cLLIjGfMIHvQyq30laYRq1oO0aTE6sFUIUH9TE2p6ty3z7bicw7whESNoDz0M2jtEZGbA==",
            ),
            (
                &api_key,
                with_body(message(&Method::POST, "/20160918/vcns", CORE), vcn),
                "fca5acc99036040215bbdffaae71ab27a6c4672cc73789f35023a409edf200b4",
                "Nkqsb7lDQ1pPkDN4de1x5RUekYrUpdEir9B2Qpf6apeNfGh9o7e8EnuTGKbbI3i3UzfrCn1yJwYWRVMENWTHTN1hDrzJw6186Iu4gbLg6R8eBDfRaZP8rr8dOAM61i5m4dyxvLiL3CAhdKWwyYc9DLwr+iyPkhBJhw+EFLgNmB/TOBs1BEQyq1Ol9J9ovdstEtrID7xYMvOwOiJUZnBKKGT0/NSNgecRioZvVUxUfR0IPzJW8Tq83FERwZAsseFHwHuIs+t17wYe90/tgMNyufykbMrkEbUGQoRuuRPpGF9R0QJAwyqWYMOFNv0KTXqwZMLoQW30/exQvZqVWWC1kw==",
            ),
            (
                &session,
                message(&Method::DELETE, cluster, OKE),
                "901cb42a626499262796127addb51e4f40fb489318ad0c7e5f699c7a735e799c",
                "RQTCPmGZtUfHYGUnhfharAzQzGs9vFOV0yQ+p6L9q0uTsRwBIJutyHjRmCiwmi342coQllwpvGMXAS7UI+bqPdhPYkDOD0pRe9Mzp6K5lerQNvINYAxmVOc1OY5hn3aItxPkn1z/mza4pwFIxf6WuYsxab6E7mZVsda1KgIaDMwiOuakShn7JH9ZhZ+NbbN2p0SDodnxBn7RKKIZ/CUvVBw51piOf+ywYzFrGpX+UkxEQPksdBII4mfHg7d7r55YY8afrTb9YFUFTnIKEpLS4I3OgTOLOvD1DK/hAY6iqWPBEjdT4rB/ziomb9Xp6T3tSgskYG8e+mzezq0PsRWL6g==",
            ),
            (
                &api_key,
                with_body(message(&Method::POST, &rotate, OKE), ""),
                "578c72157e1c36be14759652084fd1d9c3acfc762080447f19194034146ca999",
                "hRuVRYGJSkLVsmnZW6xoD17iFoGaE6HYWMQ4X1hWlxNgalsYaPHqWy/Ys4vJX7MXVHwonNcjxGl2mvp8Y+H+sZMsyvj1J0gmdwP/yLaV1gDDwWQsYWldnzdV4q7ocDxwRrfP5aE46AR/jd5BtNb4E9v04O7MhxDg60Vb3b6ervlIJ4o97QVcDbX/rQB9DOn6cSBIhWHWedwfqDrfdwGO2/MKL6vCSmzW1FeRZptXEMudyrHoUXU4e9P+TXN4Hp6cQr54nY9WUp9x9rZn480eZQlNX8W+uwoxtSSc9QQNcZgwuSiLhckWSGmUNxiudQGnGT7VROMfnZRw2eDLbe0OZw==",
            ),
        ];
        for (signer, message, digest, signature) in cases {
            assert_eq!(sha256(&message.signing_string()), digest);
            let header = signer.authorize(&message).unwrap();
            let signature = format!("signature=\"{signature}\"");
            assert!(header.expose().contains(&signature), "{message:?}");
        }
    }

    #[test]
    fn the_key_id_says_who_signs() {
        let header = Signer::new(&credentials())
            .authorize(&message(&Method::GET, "/", CORE))
            .unwrap();
        let start = format!(
            "Signature algorithm=\"rsa-sha256\",headers=\"date (request-target) host\",\
             keyId=\"{TENANCY}/{USER}/{FINGERPRINT}\",signature=\""
        );
        assert!(header.expose().starts_with(&start));
        assert!(header.expose().ends_with("\",version=\"1\""));
    }

    /// Oracle's "Request Signatures" page, with the public half of its sample
    /// key, which is too short for us to sign with.
    #[test]
    fn the_published_signatures_verify_over_our_signing_strings() {
        let date = "Thu, 05 Jan 2014 21:31:40 GMT".to_owned();
        let host = "iaas.us-phoenix-1.oraclecloud.com".to_owned();
        let get = Message {
            method: &Method::GET,
            target: "/20160918/instances?availabilityDomain=Pjwf%3A%20PHX-AD-1&compartmentId=ocid1.compartment.oc1..aaaaaaaam3we6vgnherjq5q2idnccdflvjsnog7mlr6rtdb25gilchfeyjxa&displayName=TeamXInstances&volumeId=ocid1.volume.oc1.phx.abyhqljrgvttnlx73nmrwfaux7kcvzfs3s66izvxf2h4lgvyndsdsnoiwr5q".into(),
            host,
            date,
            body: None,
        };
        let body = r#"{
    "compartmentId": "ocid1.compartment.oc1..aaaaaaaam3we6vgnherjq5q2idnccdflvjsnog7mlr6rtdb25gilchfeyjxa",
    "instanceId": "ocid1.instance.oc1.phx.abuw4ljrlsfiqw6vzzxb43vyypt4pkodawglp3wqxjqofakrwvou52gb6s5a",
    "volumeId": "ocid1.volume.oc1.phx.abyhqljrgvttnlx73nmrwfaux7kcvzfs3s66izvxf2h4lgvyndsdsnoiwr5q"
}"#;
        let post = Message {
            method: &Method::POST,
            target: "/20160918/volumeAttachments".into(),
            body: Some(Digest::of(body.as_bytes(), "application/json")),
            ..get.clone()
        };
        let cases = [
            (
                get,
                "GBas7grhyrhSKHP6AVIj/h5/Vp8bd/peM79H9Wv8kjoaCivujVXlpbKLjMPeDUhxkFIWtTtLBj3sUzaFj34XE6YZAHc9r2DmE4pMwOAy/kiITcZxa1oHPOeRheC0jP2dqbTll8fmTZVwKZOKHYPtrLJIJQHJjNvxFWeHQjMaR7M=",
            ),
            (
                post,
                "Mje8vIDPlwIHmD/cTDwRxE7HaAvBg16JnVcsuqaNRim23fFPgQfLoOOxae6WqKb1uPjYEl0qIdazWaBy/Ml8DRhqlocMwoSXv0fbukP8J5N80LCmzT/FFBvIvTB91XuXI3hYfP9Zt1l7S6ieVadHUfqBedWH0itrtPJBgKmrWso=",
            ),
        ];
        let key = "MIGJAoGBAMIUQ0bDffIaKHL3akONlCGXQLfqs8mP4K99ILz6rbyHEDXrVAU1R3XfC4JNRyrRB3aqwF7/aEXJzYMIkmDSHUvvz7pnhQxHsQ5yl91QT0d/eb+Gz4VRHjm4El4MrUdIUcPxscoPqS/wU8Z8lOi1z7bGMnChiL7WGqnV8h6RrGzJAgMBAAE=";
        let key = UnparsedPublicKey::new(
            &RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
            STANDARD.decode(key).unwrap(),
        );
        for (message, signature) in cases {
            let signature = STANDARD.decode(signature).unwrap();
            key.verify(message.signing_string().as_bytes(), &signature)
                .unwrap_or_else(|_| panic!("{}", message.signing_string()));
        }
    }

    #[test]
    fn dates_have_the_form_of_http() {
        let now: Timestamp = "2026-02-03T04:05:06.789Z".parse().unwrap();
        assert_eq!(http_date(now), DATE);
    }

    #[test]
    fn the_port_is_part_of_the_host_unless_it_is_the_usual_one() {
        let cases = [
            ("https://a.example:443/", "a.example"),
            ("https://a.example:8443/", "a.example:8443"),
            ("http://127.0.0.1:80/", "127.0.0.1"),
        ];
        for (url, host) in cases {
            assert_eq!(host_of(&Url::parse(url).unwrap()), host);
        }
    }

    /// The service verifies what arrives, so this does too: the request line
    /// and headers as a server read them, against the public key.
    #[tokio::test]
    async fn what_is_sent_is_what_is_signed() {
        use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

        use crate::net::testing::{Server, reply};
        use crate::oci::testing::{client, fast_clock};
        use crate::oci::{Key, Service};

        let server = Server::start([reply(204, "")]).await;
        let client = client(&server, fast_clock());
        let odd = "a b/c:d+e&f=g%h\u{fc}~*";
        let request = |method: Method| {
            let request = client.request(method, Service::Core, &["x", odd]);
            request.query("q", odd).named("X", "x")
        };
        request(Method::GET).done().await.unwrap();
        request(Method::DELETE).done().await.unwrap();
        request(Method::POST).done().await.unwrap();
        request(Method::PUT).json(&odd).done().await.unwrap();

        let pem = crate::oci::testing::pem("plain");
        let key = Key::from_pem(pem.as_bytes(), None).unwrap();
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public());
        for seen in server.seen() {
            let authorization = seen.header("authorization").unwrap();
            let part = |name: &str| {
                let (_, rest) = authorization.split_once(&format!("{name}=\"")).unwrap();
                rest.split_once('"').unwrap().0
            };
            let lines: Vec<String> = part("headers")
                .split(' ')
                .map(|name| match name {
                    "(request-target)" => {
                        let (method, target) = seen.line.split_once(' ').unwrap();
                        format!("{name}: {} {target}", method.to_ascii_lowercase())
                    }
                    name => {
                        let mut values = seen.headers.iter().filter(|(n, _)| n == name);
                        let value = &values.next().unwrap().1;
                        assert!(values.next().is_none(), "{name} is sent once");
                        format!("{name}: {value}")
                    }
                })
                .collect();
            let signature = STANDARD.decode(part("signature")).unwrap();
            let verified = public.verify(lines.join("\n").as_bytes(), &signature);
            assert!(verified.is_ok(), "{seen:?}");
            if seen.header("x-content-sha256").is_some() {
                let digest = Digest::of(seen.body.as_bytes(), "").sha256;
                assert_eq!(seen.header("x-content-sha256"), Some(digest.as_str()));
            }
        }
    }
}
