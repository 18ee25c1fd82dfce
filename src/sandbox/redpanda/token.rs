//! The service account and its tokens: OAuth 2.0 client credentials
//! (RFC 6749, section 4.4). A token says until when it is valid and is signed,
//! so nothing is kept of it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use ring::hmac;
use serde_json::json;

use super::super::http::{Reply, Request};
use super::super::world::{World, hex};
use super::error::Refusal;

/// What a token is for; other audiences are refused.
const AUDIENCE: &str = "cloudv2-production.redpanda.cloud";
/// How long a token is valid.
const LIFE_SECONDS: u64 = 3600;

/// The organisation's service account.
#[derive(Debug, Clone)]
pub struct Account {
    /// The client id.
    pub id: String,
    /// The client secret.
    pub secret: String,
}

impl Account {
    /// The account of a world, the same for the same seed.
    pub fn of(world: &World) -> Self {
        Self {
            id: world.letters("redpanda/client-id", 32),
            secret: world.letters("redpanda/client-secret", 64),
        }
    }

    fn sign(&self, text: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.secret.as_bytes());
        hex(hmac::sign(&key, text.as_bytes()).as_ref())
    }

    /// Answers a request for a token.
    pub fn issue(&self, request: &Request, age_ms: u64) -> Reply {
        let form: Vec<(String, String)> = url::form_urlencoded::parse(&request.body)
            .into_owned()
            .collect();
        let is = |name: &str, wanted: &str| {
            form.iter()
                .any(|(key, value)| key == name && value == wanted)
        };
        let audience = form.iter().find(|(key, _)| key == "audience");
        let refuse = |status, error: &str, why: &str| {
            Reply::json(status, &json!({"error": error, "error_description": why}))
        };
        if request.method != http::Method::POST || !is("grant_type", "client_credentials") {
            let why = "Grant type not allowed";
            return refuse(StatusCode::FORBIDDEN, "unauthorized_client", why);
        }
        if !is("client_id", &self.id) || !is("client_secret", &self.secret) {
            return refuse(StatusCode::UNAUTHORIZED, "access_denied", "Unauthorized");
        }
        if audience.is_some_and(|(_, value)| value != AUDIENCE) {
            let why = "Service not found";
            return refuse(StatusCode::FORBIDDEN, "access_denied", why);
        }
        let until = (age_ms + LIFE_SECONDS * 1000).to_string();
        let token = URL_SAFE_NO_PAD.encode(format!("{until}.{}", self.sign(&until)));
        Reply::json(
            StatusCode::OK,
            &json!({
                "access_token": token,
                "expires_in": LIFE_SECONDS,
                "token_type": "Bearer",
            }),
        )
        .by(self.id.clone())
    }

    /// Checks the token of a request.
    pub fn check(&self, request: &Request, age_ms: u64) -> Result<(), Refusal> {
        let refuse = |reason, why: &str| Err(Refusal::new("UNAUTHENTICATED", reason, why));
        let header = request.header("authorization").unwrap_or_default();
        let Some(token) = header.strip_prefix("Bearer ") else {
            return refuse("REASON_NO_TOKEN", "no token");
        };
        let plain = URL_SAFE_NO_PAD.decode(token).unwrap_or_default();
        let plain = String::from_utf8(plain).unwrap_or_default();
        let valid = plain
            .split_once('.')
            .filter(|(until, signature)| *signature == self.sign(until))
            .and_then(|(until, _)| until.parse::<u64>().ok());
        match valid {
            Some(until) if age_ms < until => Ok(()),
            Some(_) => refuse("REASON_TOKEN_EXPIRED", "the token has expired"),
            None => refuse("REASON_TOKEN_INVALID", "the token is invalid"),
        }
    }
}
