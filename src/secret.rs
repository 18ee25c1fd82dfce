//! Secret values: a type that cannot be printed, and a redactor for text that
//! may hold one.

use std::borrow::Cow;
use std::fmt;
use std::sync::OnceLock;

use aho_corasick::{AhoCorasick, MatchKind};
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
#[derive(Clone, Default)]
pub struct Redactor {
    needles: Vec<Secret>,
    /// Looks for all of them at once: logs are long. Made when first used.
    finder: OnceLock<Option<AhoCorasick>>,
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
        self.finder = OnceLock::new();
    }

    /// The text with every known secret replaced by [`REDACTED`].
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if self.needles.is_empty() {
            return text.into();
        }
        let Some(finder) = self.finder.get_or_init(|| self.finder()) else {
            return REDACTED.into();
        };
        if !finder.is_match(text) {
            return text.into();
        }
        let mut out = String::with_capacity(text.len());
        finder.replace_all_with(text, &mut out, |_, _, out| {
            out.push_str(REDACTED);
            true
        });
        out.into()
    }

    /// None if the secrets are too many or too long for it: then nothing may
    /// be shown.
    fn finder(&self) -> Option<AhoCorasick> {
        AhoCorasick::builder()
            // No form may leave half of another standing.
            .match_kind(MatchKind::LeftmostLongest)
            .build(self.needles.iter().map(Secret::expose))
            .ok()
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor").finish_non_exhaustive()
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
    fn what_is_learned_later_is_removed_as_well_and_a_longer_one_whole() {
        let mut redactor = Redactor::default();
        assert_eq!(redactor.redact("abcdef-ghijkl"), "abcdef-ghijkl");
        redactor.learn(&Secret::new("abcdef"));
        assert_eq!(redactor.redact("abcdef-ghijkl"), "[redacted]-ghijkl");
        redactor.learn(&Secret::new("abcdef-ghijkl"));
        assert_eq!(
            redactor.redact("abcdef-ghijkl abcdef"),
            "[redacted] [redacted]"
        );
        assert_eq!(format!("{redactor:?}"), "Redactor { .. }");
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
