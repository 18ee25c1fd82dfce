//! From which version of Dapr to which one may go, and what goes with it.
//!
//! Dapr tests steps from patch to patch and from one minor version to the
//! next. Sentry 1.18 makes Ed25519 certificates, on which Sentry before 1.17.7
//! crashes: with such an authority there is no way further back.

use semver::Version;

use super::certificate::pem_of;
use crate::manifest::Manifest;

/// The oldest version that reads what 1.18 writes.
const ROLLBACK_FLOOR: Version = Version::new(1, 17, 7);

/// What a change of version needs besides applying the chart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upgrade {
    /// Apply the new resource definitions first. Never the old ones over newer
    /// ones: that would take fields away from objects that use them.
    pub definitions: bool,
    /// Restart the pods with sidecars afterwards: the injector changes new
    /// pods only.
    pub restart_sidecars: bool,
}

/// A change of version that must not happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpgradeError {
    /// Not a version.
    #[error("`{0}` is not a version of Dapr")]
    Version(String),
    /// More than one minor version at once.
    #[error("Dapr {from} cannot become {to} in one step")]
    Leap {
        /// What runs.
        from: Version,
        /// What is wanted.
        to: Version,
        /// What to go to first, such as `1.17`.
        next: String,
    },
    /// Back before what the certificates allow.
    #[error("Dapr {to} cannot read the certificates that {from} made")]
    Floor {
        /// What runs.
        from: Version,
        /// What is wanted.
        to: Version,
    },
}

impl UpgradeError {
    /// What to do instead.
    pub fn hint(&self) -> String {
        match self {
            Self::Version(_) => "for instance `1.18.3`".to_owned(),
            Self::Leap { next, .. } => {
                format!("set `dapr.chart.version` to the newest {next} first, then run `up` again")
            }
            Self::Floor { .. } => format!("{ROLLBACK_FLOOR} is the oldest version to go back to"),
        }
    }
}

/// What it takes to come from one version to another. `modern_authority` says
/// whether Sentry 1.18 or later made the certificates ([`is_modern`]).
pub fn path(from: &str, to: &str, modern_authority: bool) -> Result<Upgrade, UpgradeError> {
    let read = |text: &str| {
        let text = text.trim_start_matches('v');
        Version::parse(text).map_err(|_| UpgradeError::Version(text.to_owned()))
    };
    let (from, to) = (read(from)?, read(to)?);
    let from_new = from.cmp_precedence(&Version::new(1, 18, 0)).is_ge();
    if to < ROLLBACK_FLOOR && (modern_authority || from_new) {
        return Err(UpgradeError::Floor { from, to });
    }
    if from.major != to.major || from.minor.abs_diff(to.minor) > 1 {
        let minor = if to > from {
            from.minor + 1
        } else {
            from.minor.saturating_sub(1)
        };
        let next = format!("{}.{minor}", from.major);
        return Err(UpgradeError::Leap { from, to, next });
    }
    Ok(Upgrade {
        definitions: to >= from,
        restart_sidecars: to != from,
    })
}

/// Whether the trust bundle's issuer key is one that Sentry before 1.17.7
/// cannot read: Ed25519, whose PKCS#8 form begins with its object identifier
/// 1.3.101.112 (RFC 8410).
pub fn is_modern(bundle: &Manifest) -> bool {
    const ED25519: [u8; 5] = [0x06, 0x03, 0x2b, 0x65, 0x70];
    let key = pem_of(bundle, "issuer.key").and_then(|text| pem::parse(text).ok());
    key.is_some_and(|key| {
        key.tag() == "PRIVATE KEY" && key.contents().windows(5).take(16).any(|w| w == ED25519)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_minor_version_at_a_time_and_never_below_the_floor() {
        let cases = [
            ("1.18.2", "1.18.3", false, "definitions restart"),
            ("1.18.3", "1.18.3", false, "definitions"),
            ("v1.17.13", "1.18.3", false, "definitions restart"),
            ("1.18.3", "1.17.13", true, "restart"),
            ("1.17.7", "1.16.19", false, "restart"),
            ("1.17.9", "1.16.19", true, "floor"),
            ("1.18.3", "1.17.6", false, "floor"),
            ("1.16.19", "1.18.3", false, "leap 1.17"),
            ("1.18.0-rc.2", "1.18.3", false, "definitions restart"),
            ("1.18", "1.18.3", false, "version"),
        ];
        for (from, to, modern, wanted) in cases {
            let found = match path(from, to, modern) {
                Ok(upgrade) => {
                    let words = [
                        upgrade.definitions.then_some("definitions"),
                        upgrade.restart_sidecars.then_some("restart"),
                    ];
                    words.into_iter().flatten().collect::<Vec<_>>().join(" ")
                }
                Err(UpgradeError::Floor { .. }) => "floor".to_owned(),
                Err(UpgradeError::Leap { next, .. }) => format!("leap {next}"),
                Err(UpgradeError::Version(_)) => "version".to_owned(),
            };
            assert_eq!(found, wanted, "{from} to {to}");
        }
    }

    #[test]
    fn an_ed25519_authority_is_recognised() {
        use base64::Engine as _;
        let bundle = |algorithm: &'static rcgen::SignatureAlgorithm| {
            let key = rcgen::KeyPair::generate_for(algorithm)
                .unwrap()
                .serialize_pem();
            let key = base64::engine::general_purpose::STANDARD.encode(key);
            Manifest::new(serde_json::json!({
                "apiVersion": "v1", "kind": "Secret",
                "metadata": {"name": super::super::TRUST_BUNDLE}, "data": {"issuer.key": key},
            }))
            .unwrap()
        };
        assert!(is_modern(&bundle(&rcgen::PKCS_ED25519)));
        assert!(!is_modern(&bundle(&rcgen::PKCS_ECDSA_P256_SHA256)));
    }
}
