//! Which chart a release is made of: where it lies, and what pins it.
//!
//! The type says what the profile says. Fetching and checking is the business
//! of whoever deploys.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::names::{NameError, text_form};

/// A Helm chart. One of `repo`, `oci` and `path` says where it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ChartSource {
    /// Address of a chart repository, for instance
    /// `https://dapr.github.io/helm-charts`. `name` is the chart in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repo: Option<String>,
    /// A chart in an OCI registry: `oci://HOST/PATH/NAME`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oci: Option<String>,
    /// A chart's folder or `.tgz` on this machine, from the profile's folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Name of the chart in `repo`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Version of the chart, or a range such as `1.x`. By default the newest
    /// that is no prerelease.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// SHA-256 of the packed chart. With it, no other content is deployed
    /// whatever the repository says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<ChartDigest>,
}

/// Where a chart is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChartPlace<'a> {
    /// In an HTTP repository.
    Repo {
        /// The repository's address.
        url: &'a str,
        /// The chart's name in it.
        name: &'a str,
    },
    /// In an OCI registry.
    Oci {
        /// The address up to the last `/`.
        parent: &'a str,
        /// What follows it.
        name: &'a str,
    },
    /// On this machine.
    Path(&'a str),
}

/// What is wrong with a chart's source, and at which of its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChartSourceFault {
    /// The field; empty for the source as a whole.
    pub field: &'static str,
    /// What is wrong.
    pub summary: &'static str,
    /// What to write instead.
    pub hint: &'static str,
}

impl ChartSource {
    /// Where the chart is.
    pub fn place(&self) -> Result<ChartPlace<'_>, ChartSourceFault> {
        let fault = |field, summary, hint| ChartSourceFault {
            field,
            summary,
            hint,
        };
        let place = match (&self.repo, &self.oci, &self.path) {
            (Some(url), None, None) => {
                let name = self.name.as_deref().ok_or_else(|| {
                    fault(
                        "name",
                        "the chart's name is missing",
                        "name the chart in `repo`",
                    )
                })?;
                if !["https://", "http://"].iter().any(|s| url.starts_with(s)) {
                    let hint = "for instance `https://dapr.github.io/helm-charts`";
                    return Err(fault("repo", "not the address of a chart repository", hint));
                }
                return Ok(ChartPlace::Repo { url, name });
            }
            (None, Some(address), None) => oci(address).ok_or_else(|| {
                let hint = "for instance `oci://ghcr.io/example/charts/app`, without a tag";
                fault("oci", "not the address of a chart in a registry", hint)
            })?,
            (None, None, Some(path)) => ChartPlace::Path(path),
            (repo, oci, path) => {
                let summary = "a chart has one place";
                // Of several, the default profiles' is most often the first.
                let field = match (repo, oci, path) {
                    (_, _, Some(_)) => "path",
                    (_, Some(_), _) => "oci",
                    _ => "",
                };
                let hint = "write one of `repo`, `oci` and `path`, and null where one is inherited";
                return Err(fault(field, summary, hint));
            }
        };
        if self.name.is_some() {
            let hint = "`oci` and `path` name the chart themselves";
            return Err(fault("name", "a name belongs to `repo` only", hint));
        }
        Ok(place)
    }

    /// The rule that the source breaks, if it does.
    pub fn fault(&self) -> Option<ChartSourceFault> {
        let place = match self.place() {
            Ok(place) => place,
            Err(fault) => return Some(fault),
        };
        let pinned = self.digest.is_some() && self.version.is_none();
        (pinned && !matches!(place, ChartPlace::Path(_))).then_some(ChartSourceFault {
            field: "digest",
            summary: "a digest without the version that it belongs to",
            hint: "add `version`",
        })
    }
}

/// `oci://HOST/PATH/NAME`; tags and digests have fields of their own.
fn oci(address: &str) -> Option<ChartPlace<'_>> {
    let rest = address.strip_prefix("oci://")?;
    let (host, path) = rest.split_once('/')?;
    let sound =
        !host.is_empty() && !path.contains([':', '@']) && !path.split('/').any(str::is_empty);
    let (parent, name) = address.rsplit_once('/')?;
    sound.then_some(ChartPlace::Oci { parent, name })
}

/// The SHA-256 of a packed chart: `sha256:` and 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ChartDigest(String);

impl ChartDigest {
    const RULE: &'static str = "`sha256:` and the 64 hexadecimal digits of the packed chart's hash";

    /// The digest with its prefix.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ChartDigest {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let hex = text.strip_prefix("sha256:").unwrap_or_default();
        let sound = hex.len() == 64 && hex.bytes().all(|c| c.is_ascii_hexdigit());
        if sound {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(NameError::new("chart digest", Self::RULE, text))
        }
    }
}

impl fmt::Display for ChartDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_form!(ChartDigest, "chart-digest", ChartDigest::RULE);

#[cfg(test)]
mod tests {
    use super::*;

    fn source(json: serde_json::Value) -> ChartSource {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn one_place_is_enough_and_two_are_too_many() {
        let good = [
            serde_json::json!({"repo": "https://a.example/charts", "name": "dapr"}),
            serde_json::json!({"oci": "oci://ghcr.io/org/charts/app", "version": "1.x"}),
            serde_json::json!({"path": "./chart"}),
        ];
        for json in good {
            assert_eq!(source(json.clone()).fault(), None, "{json}");
        }
        let bad = [
            (serde_json::json!({}), ""),
            (serde_json::json!({"path": "a", "oci": "oci://h/n"}), "path"),
            (
                serde_json::json!({"repo": "https://h", "oci": "oci://h/n"}),
                "oci",
            ),
            (serde_json::json!({"repo": "https://a.example"}), "name"),
            (
                serde_json::json!({"repo": "a.example", "name": "x"}),
                "repo",
            ),
            (serde_json::json!({"oci": "oci://ghcr.io"}), "oci"),
            (serde_json::json!({"oci": "oci://h/n:1.0"}), "oci"),
            (serde_json::json!({"path": "a", "name": "x"}), "name"),
        ];
        for (json, field) in bad {
            let fault = source(json.clone()).fault().unwrap();
            assert_eq!(fault.field, field, "{json}");
        }
    }

    #[test]
    fn a_digest_is_whole_and_goes_with_a_version() {
        let hex = "A".repeat(64);
        let digest: ChartDigest = format!("sha256:{hex}").parse().unwrap();
        assert_eq!(digest.as_str(), format!("sha256:{}", "a".repeat(64)));
        assert!("sha256:abc".parse::<ChartDigest>().is_err());
        assert!(hex.parse::<ChartDigest>().is_err());
        let mut pinned = source(serde_json::json!({"oci": "oci://h/n"}));
        pinned.digest = Some(digest);
        assert_eq!(pinned.fault().unwrap().field, "digest");
        pinned.version = Some("1.0.0".to_owned());
        assert_eq!(pinned.fault(), None);
    }
}
