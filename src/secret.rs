//! Secret values: a type that cannot be printed, and a redactor for text that
//! may hold one.

use std::fmt;

use base64::Engine as _;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};

/// What stands in the place of a secret in any text.
pub const REDACTED: &str = "[redacted]";

/// A secret text. `Debug` prints [`REDACTED`]; there is no `Display` and no
/// `Serialize`. Reading it takes the conspicuous [`Secret::expose`].
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Wraps a secret text; the memory is wiped when the last clone goes.
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// The secret text itself. Pass it on to the one place that needs it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// The first 12 hexadecimal digits of the text's SHA-256: enough to see
    /// that two values differ, useless to recover either.
    pub fn fingerprint(&self) -> String {
        let digest = ring::digest::digest(&ring::digest::SHA256, self.expose().as_bytes());
        digest
            .as_ref()
            .iter()
            .take(6)
            .map(|b| format!("{b:02x}"))
            .collect()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d).map(Self::new)
    }
}

/// Removes known secrets from text, in every form in which they may leave:
/// raw, base64, URL-encoded and JSON-escaped.
#[derive(Debug, Clone, Default)]
pub struct Redactor {
    needles: Vec<Secret>,
}

impl Redactor {
    /// Shorter texts are not looked for: they would hit ordinary words.
    const SHORTEST: usize = 6;

    /// Adds a secret to look for.
    pub fn learn(&mut self, secret: &Secret) {
        let text = secret.expose();
        if text.len() < Self::SHORTEST {
            return;
        }
        let std64 = base64::engine::general_purpose::STANDARD.encode(text);
        let json = serde_json::Value::from(text).to_string();
        let url: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
        let forms = [
            text,
            std64.trim_end_matches('='),
            json.trim_matches('"'),
            &url,
        ];
        self.needles.extend(forms.into_iter().map(Secret::new));
        // The longest first, so that no form leaves half of another standing.
        self.needles
            .sort_by_key(|n| std::cmp::Reverse(n.expose().len()));
    }

    /// The text with every known secret replaced by [`REDACTED`].
    pub fn redact(&self, text: &str) -> String {
        let mut out = text.to_owned();
        for needle in &self.needles {
            if out.contains(needle.expose()) {
                out = out.replace(needle.expose(), REDACTED);
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing_of_the_secret() {
        let secret = Secret::new("hunter2-hunter2");
        assert_eq!(
            format!("{secret:?} {:?}", Some(&secret)),
            "[redacted] Some([redacted])"
        );
    }

    #[test]
    fn every_form_of_a_known_secret_is_removed() {
        let mut redactor = Redactor::default();
        redactor.learn(&Secret::new("p\"ss w/rd+1"));
        let text =
            r#"raw p"ss w/rd+1 json p\"ss w/rd+1 b64 cCJzcyB3L3JkKzE= url p%22ss+w%2Frd%2B1"#;
        assert_eq!(
            redactor.redact(text),
            "raw [redacted] json [redacted] b64 [redacted]= url [redacted]"
        );
    }

    #[test]
    fn fingerprints_tell_values_apart() {
        assert_ne!(
            Secret::new("a").fingerprint(),
            Secret::new("b").fingerprint()
        );
        assert_eq!(Secret::new("a").fingerprint().len(), 12);
    }
}
