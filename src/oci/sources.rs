//! The config file and the environment, looked up together: the environment
//! wins, and every value knows where it comes from.

use std::path::PathBuf;

use url::Url;

use super::Region;
use super::config::{ConfigError, CredentialSource, Env, Given, Place, Selection, missing, read};
use super::ini::Ini;
use crate::secret::Secret;

const DEFAULT_PROFILE: &str = "DEFAULT";
const PLACES: [&str; 2] = [".oci/config", ".oraclebmc/config"];

/// The file and the environment, looked up together.
pub(super) struct Sources<'e> {
    env: &'e dyn Env,
    pub(super) file: Option<PathBuf>,
    ini: Ini,
    pub(super) profile: String,
}

impl<'e> Sources<'e> {
    pub(super) fn open(selection: &Selection, env: &'e dyn Env) -> Result<Self, ConfigError> {
        let profile = selection
            .profile
            .clone()
            .or_else(|| env.get("OCI_CLI_PROFILE"));
        let mut sources = Self {
            env,
            file: None,
            ini: Ini::default(),
            profile: profile.clone().unwrap_or_else(|| DEFAULT_PROFILE.into()),
        };
        let named = |name| env.get(name).map(|path| sources.path(&path));
        let usual = || {
            let home = env.home()?;
            PLACES.iter().map(|p| home.join(p)).find(|p| p.is_file())
        };
        // The SDKs look at OCI_CONFIG_FILE last; another order could pick
        // another account than they do.
        let chosen = selection
            .config_file
            .clone()
            .or_else(|| named("OCI_CLI_CONFIG_FILE"))
            .or_else(usual)
            .or_else(|| named("OCI_CONFIG_FILE"));
        let Some(path) = chosen else {
            return Ok(sources);
        };
        let text = read(&path, "the OCI config", "OCI_CLI_CONFIG_FILE")?;
        sources.ini = Ini::parse(&text).map_err(|bad| {
            ConfigError::new(
                Place::Line(path.clone(), bad.line),
                bad.problem,
                "the file has sections such as `[DEFAULT]` with lines `key=value`",
            )
        })?;
        sources.file = Some(path);
        sources.check_profile(profile.is_some())?;
        Ok(sources)
    }

    fn check_profile(&self, chosen: bool) -> Result<(), ConfigError> {
        if !chosen || self.ini.has(&self.profile) {
            return Ok(());
        }
        let names: Vec<String> = self.ini.names().map(|n| format!("`{n}`")).collect();
        Err(ConfigError::new(
            self.place(),
            format!("it has no profile `{}`", self.profile),
            format!("choose one of {}", names.join(", ")),
        ))
    }

    fn place(&self) -> Place {
        self.file.clone().map_or(Place::Nowhere, Place::File)
    }

    /// The environment wins over the file.
    pub(super) fn find(&self, key: &str, variables: &[&str]) -> Option<Given> {
        for name in variables {
            if let Some(text) = self.env.get(name) {
                return Some(Given {
                    text,
                    place: Place::Variable((*name).to_owned()),
                });
            }
        }
        let entry = self.ini.get(&self.profile, key)?;
        let path = self.file.clone()?;
        Some(Given {
            text: entry.value.clone(),
            place: Place::Line(path, entry.line),
        })
        .filter(|v| !v.text.is_empty())
    }

    pub(super) fn need(&self, key: &str, value: Option<Given>) -> Result<Given, ConfigError> {
        value.ok_or_else(|| missing(&self.place(), key))
    }

    pub(super) fn ocid(&self, key: &str, variable: &str) -> Result<Option<Given>, ConfigError> {
        let value = self.find(key, &[variable]);
        if let Some(value) = &value
            && !is_ocid(&value.text)
        {
            return Err(ConfigError::new(
                value.place.clone(),
                format!("`{key}` is `{}`, which is no OCID", value.text),
                format!("it looks like `ocid1.{key}.oc1..aaaa…`; the console shows it"),
            )
            .about(key));
        }
        Ok(value)
    }

    pub(super) fn fingerprint(&self, optional: bool) -> Result<Option<Given>, ConfigError> {
        let Some(value) = self.find("fingerprint", &["OCI_CLI_FINGERPRINT"]) else {
            return if optional {
                Ok(None)
            } else {
                Err(missing(&self.place(), "fingerprint"))
            };
        };
        let text = value.text.to_ascii_lowercase();
        if is_fingerprint(&text) {
            return Ok(Some(Given { text, ..value }));
        }
        Err(ConfigError::new(
            value.place,
            format!("`fingerprint` is `{}`, which is none", value.text),
            "it is 16 hexadecimal pairs with colons; the console lists it with the API key",
        )
        .about("fingerprint"))
    }

    pub(super) fn region(&self, value: &Given) -> Result<Region, ConfigError> {
        let region = Region::parse(&value.text).map_err(|error| {
            ConfigError::new(
                value.place.clone(),
                error.to_string(),
                "use a region's name such as `eu-frankfurt-1` or its key such as `fra`",
            )
            .about("region")
        })?;
        Ok(self.own_realm(region.name()).unwrap_or(region))
    }

    /// A region that nobody else knows: `OCI_REGION_METADATA` describes one,
    /// `~/.oci/regions-config.json` a list of them.
    fn own_realm(&self, name: &str) -> Option<Region> {
        let one = self.env.get("OCI_REGION_METADATA");
        let list = || {
            let path = self.env.home()?.join(".oci/regions-config.json");
            std::fs::read_to_string(path).ok()
        };
        let parse = |text: String| serde_json::from_str::<serde_json::Value>(&text).ok();
        let described = one.and_then(parse).into_iter();
        let listed = list().and_then(parse);
        let listed = listed.as_ref().and_then(|l| l.as_array()).into_iter();
        described
            .chain(listed.flatten().cloned())
            .find_map(|entry| {
                let text = |key: &str| entry.get(key)?.as_str();
                let domain = text("realmDomainComponent")?;
                (text("regionIdentifier")? == name).then(|| Region::in_domain(name, domain))
            })
    }

    /// How to sign: with the user's API key, or with a session token.
    pub(super) fn session_token_file(&self) -> Result<Option<PathBuf>, ConfigError> {
        let file = self.find("security_token_file", &["OCI_CLI_SECURITY_TOKEN_FILE"]);
        let auth = self.find("authentication_type", &["OCI_CLI_AUTH"]);
        match auth.as_ref().map(|a| a.text.as_str()) {
            Some("api_key") => Ok(None),
            Some("security_token") => {
                let file = self.need("security_token_file", file)?;
                Ok(Some(self.path(&file.text)))
            }
            None => Ok(file.map(|f| self.path(&f.text))),
            Some(other) => Err(ConfigError::new(
                auth.as_ref().map_or(Place::Nowhere, |a| a.place.clone()),
                format!("authentication by `{other}` is not supported"),
                "use an API key or a session token",
            )
            .about("authentication_type")),
        }
    }

    pub(super) fn key(&self) -> Result<CredentialSource, ConfigError> {
        if let Some(pem) = self.env.get("OCI_CLI_KEY_CONTENT") {
            return Ok(CredentialSource::Content(Secret::new(pem)));
        }
        if let Some(entry) = self.ini.get(&self.profile, "key_content")
            && let Some(path) = &self.file
        {
            return Err(ConfigError::new(
                Place::Line(path.clone(), entry.line),
                "`key_content` is not allowed in the file",
                "write the key to a file of its own and name it in `key_file`",
            )
            .about("key_content"));
        }
        let value = self.find("key_file", &["OCI_CLI_KEY_FILE"]);
        let value = self.need("key_file", value)?;
        Ok(CredentialSource::File(self.path(&value.text)))
    }

    pub(super) fn endpoint(&self) -> Result<Option<Url>, ConfigError> {
        let Some(value) = self.find("", &["OCI_CLI_ENDPOINT"]) else {
            return Ok(None);
        };
        Url::parse(&value.text).map(Some).map_err(|error| {
            ConfigError::new(
                value.place,
                format!("`{}` is no address", value.text),
                "it looks like `https://host` or `http://127.0.0.1:8080`",
            )
            .because(error)
        })
    }

    pub(super) fn ca_bundle(&self) -> Option<PathBuf> {
        [
            "OCI_CLI_CERT_BUNDLE",
            "REQUESTS_CA_BUNDLE",
            "CURL_CA_BUNDLE",
        ]
        .iter()
        .find_map(|name| self.env.get(name))
        .map(|path| self.path(&path))
    }

    /// A path with `~/` for the home folder.
    pub(super) fn path(&self, text: &str) -> PathBuf {
        match text.strip_prefix("~/").zip(self.env.home()) {
            Some((rest, home)) => home.join(rest),
            None => PathBuf::from(text),
        }
    }
}

/// Letters, digits, `-` and `_` in at least five parts, some of which may be
/// empty, joined by `.` or `:`.
fn is_ocid(text: &str) -> bool {
    let parts: Vec<&str> = text.split(['.', ':']).collect();
    let [first, middle @ .., last] = parts.as_slice() else {
        return false;
    };
    let plain = |part: &&str| {
        part.bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    middle.len() >= 3 && !first.is_empty() && !last.is_empty() && parts.iter().all(plain)
}

fn is_fingerprint(text: &str) -> bool {
    let mut pairs = 0;
    text.split(':').all(|pair| {
        pairs += 1;
        pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit())
    }) && pairs == 16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::testing::TENANCY;

    #[test]
    fn ocids_are_told_from_other_text() {
        let cases = [
            (TENANCY, true),
            ("ocid1.vcn.oc1.phx.abc", true),
            ("ocid1.tenancy.oc1", false),
            ("hello", false),
            ("ocid1.tenancy.oc1..a b", false),
        ];
        for (text, expected) in cases {
            assert_eq!(is_ocid(text), expected, "{text}");
        }
    }
}
