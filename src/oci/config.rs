//! Where credentials come from: `~/.oci/config` and the environment, in the
//! order of Oracle's own command line. This is one of the two places that read
//! the environment, and it reads it through [`Env`].

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use jiff::Timestamp;
use url::Url;

use super::sign::{Credentials, Identity};
use super::sources::Sources;
use super::{Key, KeyError, Region};
use crate::secret::Secret;

/// The environment, as far as it matters here.
pub trait Env {
    /// A variable's value.
    fn get(&self, name: &str) -> Option<String>;

    /// The user's home folder.
    fn home(&self) -> Option<PathBuf> {
        self.get("HOME").map(PathBuf::from)
    }
}

/// The environment of this process.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessEnv;

impl Env for ProcessEnv {
    #[expect(
        clippy::disallowed_methods,
        reason = "one of the two places that read the environment"
    )]
    fn get(&self, name: &str) -> Option<String> {
        std::env::var(name).ok().filter(|value| !value.is_empty())
    }

    fn home(&self) -> Option<PathBuf> {
        etcetera::home_dir().ok()
    }
}

/// An environment of its own, for tests and for a server on this machine.
impl Env for BTreeMap<String, String> {
    fn get(&self, name: &str) -> Option<String> {
        Self::get(self, name).cloned()
    }
}

/// What the user chose; the rest comes from the environment and the file.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// The config file.
    pub config_file: Option<PathBuf>,
    /// The profile in it.
    pub profile: Option<String>,
    /// A region's name or key.
    pub region: Option<String>,
}

/// Where the private key is.
#[derive(Debug, Clone)]
pub enum CredentialSource {
    /// In a file.
    File(PathBuf),
    /// In the environment.
    Content(Secret),
}

/// Everything that a client needs to know about the user and the tenancy.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The tenancy's OCID.
    pub tenancy: String,
    /// The user's OCID; absent with a session token.
    pub user: Option<String>,
    /// The key's fingerprint as the config says it.
    pub fingerprint: Option<Given>,
    /// The region.
    pub region: Region,
    /// The private key.
    pub key: CredentialSource,
    /// The pass phrase of the key.
    pub pass_phrase: Option<Secret>,
    /// The file with the session token.
    pub session_token_file: Option<PathBuf>,
    /// One address that stands in for all services.
    pub endpoint: Option<Url>,
    /// More certificate authorities to trust, as a PEM file.
    pub ca_bundle: Option<PathBuf>,
    /// The config file that was read.
    pub config_file: Option<PathBuf>,
    /// The profile in it.
    pub profile: String,
}

/// A config that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct ConfigError {
    /// Where: a file with its line, or a variable.
    pub place: Place,
    /// The key in question.
    pub key: Option<String>,
    /// What is wrong.
    pub problem: String,
    /// The next thing to do.
    pub hint: String,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A line of the config file.
    Line(PathBuf, usize),
    /// A whole file.
    File(PathBuf),
    /// A variable of the environment.
    Variable(String),
    /// The command line.
    Argument(&'static str),
    /// Nowhere: neither the file nor the environment has it.
    Nowhere,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(path, line) => write!(f, "{}:{line}", path.display()),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Argument(name) => f.write_str(name),
            Self::Nowhere => f.write_str("no OCI config file"),
        }
    }
}

impl ConfigError {
    pub(super) fn new(place: Place, problem: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            place,
            key: None,
            problem: problem.into(),
            hint: hint.into(),
            source: None,
        }
    }

    pub(super) fn about(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned());
        self
    }

    pub(super) fn because(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }
}

/// A value and where it comes from.
#[derive(Debug, Clone)]
pub struct Given {
    /// The value.
    pub text: String,
    /// Where it comes from.
    pub place: Place,
}

impl Settings {
    /// Reads the config file and the environment.
    pub fn load(selection: &Selection, env: &dyn Env) -> Result<Self, ConfigError> {
        let sources = Sources::open(selection, env)?;
        let region = match &selection.region {
            Some(text) => Some(Given {
                text: text.clone(),
                place: Place::Argument("--region"),
            }),
            None => sources.find("region", &["OCI_CLI_REGION", "OCI_REGION"]),
        };
        let region = sources.need("region", region)?;
        let session_token_file = sources.session_token_file()?;
        let user = sources.ocid("user", "OCI_CLI_USER")?;
        if user.is_none() && session_token_file.is_none() {
            sources.need("user", None)?;
        }
        let tenancy = sources.ocid("tenancy", "OCI_CLI_TENANCY")?;
        Ok(Self {
            tenancy: sources.need("tenancy", tenancy)?.text,
            user: user.map(|v| v.text),
            fingerprint: sources.fingerprint(session_token_file.is_some())?,
            region: sources.region(&region)?,
            key: sources.key()?,
            pass_phrase: sources
                .find("pass_phrase", &["OCI_CLI_PASSPHRASE"])
                .or_else(|| sources.find("passphrase", &[]))
                .map(|v| Secret::new(v.text)),
            session_token_file,
            endpoint: sources.endpoint()?,
            ca_bundle: sources.ca_bundle(),
            config_file: sources.file.clone(),
            profile: sources.profile.clone(),
        })
    }

    /// Reads the key, and the session token when there is one.
    pub fn credentials(&self) -> Result<Credentials, ConfigError> {
        let key = self.read_key()?;
        let identity = match (&self.session_token_file, &self.user) {
            (Some(path), _) => Identity::SessionToken(session_token(path)?),
            (None, Some(user)) => {
                self.check_fingerprint(&key)?;
                Identity::ApiKey {
                    tenancy: self.tenancy.clone(),
                    user: user.clone(),
                }
            }
            (None, None) => return Err(missing(&Place::Nowhere, "user")),
        };
        Ok(Credentials {
            identity,
            key: Arc::new(key),
        })
    }

    /// What is unwise about the settings but works.
    pub fn warnings(&self) -> Vec<String> {
        let CredentialSource::File(path) = &self.key else {
            return Vec::new();
        };
        if is_private(path) {
            return Vec::new();
        }
        vec![format!(
            "others on this machine can read the private key: `chmod 600 {}`",
            path.display()
        )]
    }

    /// When the session token ends, as it says itself.
    pub fn session_ends(&self) -> Option<Timestamp> {
        let token = session_token(self.session_token_file.as_deref()?).ok()?;
        expiry(token.expose())
    }

    fn read_key(&self) -> Result<Key, ConfigError> {
        let (place, pem) = match &self.key {
            CredentialSource::Content(pem) => {
                (Place::Variable("OCI_CLI_KEY_CONTENT".into()), pem.clone())
            }
            CredentialSource::File(path) => {
                let pem = read(path, "the private key", "key_file")?;
                (Place::File(path.clone()), Secret::new(pem))
            }
        };
        Key::from_pem(pem.expose().as_bytes(), self.pass_phrase.as_ref()).map_err(|error| {
            let hint = error.hint().unwrap_or_default();
            unusable_key(place, &error, hint)
        })
    }

    fn check_fingerprint(&self, key: &Key) -> Result<(), ConfigError> {
        let Some(said) = &self.fingerprint else {
            return Ok(());
        };
        if said.text == key.fingerprint() {
            return Ok(());
        }
        Err(ConfigError::new(
            said.place.clone(),
            format!(
                "`fingerprint` is {}, but the key in `key_file` has {}",
                said.text,
                key.fingerprint()
            ),
            format!(
                "if the key is listed for the user in the console, set `fingerprint={}`; if not, \
                 point `key_file` to the right key",
                key.fingerprint()
            ),
        )
        .about("fingerprint"))
    }
}

#[cfg(unix)]
fn is_private(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    let others = std::fs::metadata(path).map(|m| m.permissions().mode() & 0o077);
    others.is_ok_and(|mode| mode == 0)
}

#[cfg(not(unix))]
fn is_private(_: &Path) -> bool {
    true
}

fn unusable_key(place: Place, error: &KeyError, hint: &str) -> ConfigError {
    ConfigError::new(
        place,
        format!("the private key cannot be used: {error}"),
        hint,
    )
    .about("key_file")
}

fn session_token(path: &Path) -> Result<Secret, ConfigError> {
    let token = read(path, "the session token", "security_token_file")?;
    let token = token.trim();
    if token.is_empty() {
        return Err(ConfigError::new(
            Place::File(path.to_owned()),
            "the session token is empty",
            "run `oci session authenticate`",
        )
        .about("security_token_file"));
    }
    Ok(Secret::new(token))
}

/// The `exp` claim of a JSON Web Token.
fn expiry(token: &str) -> Option<Timestamp> {
    let claims = token.split('.').nth(1)?;
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(claims.trim_end_matches('='))
        .ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&claims).ok()?;
    Timestamp::from_second(claims.get("exp")?.as_i64()?).ok()
}

pub(super) fn read(path: &Path, what: &str, key: &str) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|error| {
        ConfigError::new(
            Place::File(path.to_owned()),
            format!("cannot read {what}"),
            format!("check `{key}` in the config and the file's permissions"),
        )
        .about(key)
        .because(error)
    })
}

pub(super) fn missing(place: &Place, key: &str) -> ConfigError {
    let variable = format!("OCI_CLI_{}", key.to_ascii_uppercase());
    if matches!(place, Place::Nowhere) {
        return ConfigError::new(
            place.clone(),
            format!("~/.oci/config does not exist, and {variable} is not set"),
            "make an API key in Oracle's console (User settings, API keys) and save the config \
             that it shows as ~/.oci/config",
        )
        .about(key);
    }
    ConfigError::new(
        place.clone(),
        format!("`{key}` is missing"),
        format!(
            "add `{key}=…` to the profile, or set {variable}; the console shows a ready-made \
             config under User settings, API keys"
        ),
    )
    .about(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::testing::{FINGERPRINT, PASS_PHRASE, TENANCY, USER, pem};

    /// A home folder with a config and keys in it.
    struct Home {
        dir: tempfile::TempDir,
        env: BTreeMap<String, String>,
    }

    impl Home {
        fn new(config: &str) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let folder = dir.path().join(".oci");
            std::fs::create_dir(&folder).unwrap();
            let home = dir.path().to_str().unwrap().to_owned();
            let this = Self {
                env: BTreeMap::from([("HOME".to_owned(), home)]),
                dir,
            };
            this.put("key.pem", &pem("plain"));
            this.put("locked.pem", &pem("pbes2-aes256"));
            this.put("config", config);
            this
        }

        fn put(&self, name: &str, text: &str) {
            use crate::files::{Access, write_atomic};
            let path = self.dir.path().join(".oci").join(name);
            write_atomic(&path, text.as_bytes(), Access::Private).unwrap();
        }

        fn set(mut self, name: &str, value: &str) -> Self {
            self.env.insert(name.into(), value.into());
            self
        }

        fn load(&self) -> Result<Settings, ConfigError> {
            Settings::load(&Selection::default(), &self.env)
        }

        /// The error and its hint, without the folder that differs each time.
        fn refusal(&self) -> String {
            let error = match self.load() {
                Ok(settings) => settings.credentials().unwrap_err(),
                Err(error) => error,
            };
            let text = format!("{error}\n  hint: {}", error.hint);
            text.replace(self.dir.path().to_str().unwrap(), "~")
        }
    }

    fn config() -> String {
        format!(
            "[DEFAULT]\nuser={USER}\nfingerprint={FINGERPRINT}\nkey_file=~/.oci/key.pem\n\
             tenancy={TENANCY}\nregion=fra\n"
        )
    }

    #[test]
    fn the_usual_config_is_read() {
        let home = Home::new(&config());
        let settings = home.load().unwrap();
        assert_eq!(settings.region.name(), "eu-frankfurt-1");
        assert_eq!(settings.profile, "DEFAULT");
        let credentials = settings.credentials().unwrap();
        assert_eq!(credentials.key.fingerprint(), FINGERPRINT);
        assert!(matches!(credentials.identity, Identity::ApiKey { user, .. } if user == USER));
        assert!(settings.warnings().is_empty());
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_others_can_read_is_warned_of() {
        use std::os::unix::fs::PermissionsExt as _;
        let home = Home::new(&config());
        let key = home.dir.path().join(".oci/key.pem");
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o640)).unwrap();
        let warnings = home.load().unwrap().warnings();
        assert!(warnings[0].ends_with(&format!("`chmod 600 {}`", key.display())));
    }

    #[test]
    fn regions_of_ones_own_come_from_a_file() {
        let home = Home::new(&config()).set("OCI_CLI_REGION", "xx-own-1");
        home.put(
            "regions-config.json",
            r#"[{"regionIdentifier":"xx-own-1","realmDomainComponent":"own.example"}]"#,
        );
        assert_eq!(home.load().unwrap().region.domain(), "own.example");
    }

    #[test]
    fn the_environment_wins_and_the_selection_wins_over_that() {
        let home = Home::new(&config())
            .set("OCI_CLI_REGION", "lhr")
            .set("OCI_CLI_ENDPOINT", "http://127.0.0.1:8080")
            .set("REQUESTS_CA_BUNDLE", "~/ca.pem");
        let settings = home.load().unwrap();
        assert_eq!(settings.region.name(), "uk-london-1");
        assert_eq!(settings.endpoint.unwrap().port(), Some(8080));
        assert_eq!(settings.ca_bundle.unwrap(), home.dir.path().join("ca.pem"));
        let selection = Selection {
            region: Some("us-phoenix-1".into()),
            ..Selection::default()
        };
        let settings = Settings::load(&selection, &home.env).unwrap();
        assert_eq!(settings.region.key(), Some("phx"));
    }

    #[test]
    fn the_environment_alone_is_enough() {
        let env = BTreeMap::from(
            [
                ("OCI_CLI_USER", USER),
                ("OCI_CLI_TENANCY", TENANCY),
                ("OCI_CLI_FINGERPRINT", FINGERPRINT),
                ("OCI_CLI_REGION", "xx-nowhere-1"),
                ("OCI_CLI_KEY_CONTENT", &pem("dek-aes256")),
                ("OCI_CLI_PASSPHRASE", PASS_PHRASE),
                (
                    "OCI_REGION_METADATA",
                    r#"{"realmKey":"ocx","realmDomainComponent":"cloud.example","regionKey":"xxx","regionIdentifier":"xx-nowhere-1"}"#,
                ),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        let settings = Settings::load(&Selection::default(), &env).unwrap();
        assert_eq!(settings.region.domain(), "cloud.example");
        assert_eq!(settings.config_file, None);
        settings.credentials().unwrap();
    }

    #[test]
    fn a_profile_inherits_and_a_session_needs_no_user() {
        let config = format!(
            "[DEFAULT]\nregion=fra\npass_phrase={PASS_PHRASE}\n[s]\ntenancy={TENANCY}\n\
             key_file=~/.oci/locked.pem\nsecurity_token_file=~/.oci/token\n"
        );
        let home = Home::new(&config).set("OCI_CLI_PROFILE", "s");
        // {"exp":4102444800}
        home.put("token", "e30.eyJleHAiOjQxMDI0NDQ4MDB9.c2ln\n");
        let settings = home.load().unwrap();
        let credentials = settings.credentials().unwrap();
        let Identity::SessionToken(token) = credentials.identity else {
            panic!("a session")
        };
        assert_eq!(token.expose(), "e30.eyJleHAiOjQxMDI0NDQ4MDB9.c2ln");
        let ends = settings.session_ends().unwrap();
        assert_eq!(ends.to_string(), "2100-01-01T00:00:00Z");
    }

    #[test]
    fn every_mistake_is_told_with_its_place_and_the_next_step() {
        let without = |key: &str| {
            let config = config();
            let kept = config.lines().filter(|l| !l.starts_with(key));
            kept.collect::<Vec<_>>().join("\n")
        };
        let with = |key: &str, value: &str| format!("{}\n{key}={value}\n", without(key));
        let cases = [
            Home::new(&without("region")),
            Home::new(&without("user")),
            Home::new(&without("fingerprint")),
            Home::new(&with("region", "eu-frankfurt1")),
            Home::new(&with("tenancy", "my tenancy")),
            Home::new(&with("fingerprint", "08:f1")),
            Home::new(&with(
                "fingerprint",
                "00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00",
            )),
            Home::new(&with("key_file", "~/.oci/none.pem")),
            Home::new(&with("key_file", "~/.oci/locked.pem")),
            Home::new(&with("key_file", "~/.oci/config")),
            Home::new("user=x\n"),
            Home::new(&config()).set("OCI_CLI_PROFILE", "work"),
            Home::new(&config()).set("OCI_CLI_REGION", "mars"),
            Home::new(&config()).set("OCI_CLI_AUTH", "instance_principal"),
            Home::new(&config()).set("OCI_CLI_AUTH", "security_token"),
        ];
        let told: Vec<String> = cases.iter().map(Home::refusal).collect();
        insta::assert_snapshot!(told.join("\n"), @r"
        ~/.oci/config: `region` is missing
          hint: add `region=…` to the profile, or set OCI_CLI_REGION; the console shows a ready-made config under User settings, API keys
        ~/.oci/config: `user` is missing
          hint: add `user=…` to the profile, or set OCI_CLI_USER; the console shows a ready-made config under User settings, API keys
        ~/.oci/config: `fingerprint` is missing
          hint: add `fingerprint=…` to the profile, or set OCI_CLI_FINGERPRINT; the console shows a ready-made config under User settings, API keys
        ~/.oci/config:6: `eu-frankfurt1` is not a region, did you mean `eu-frankfurt-1`?
          hint: use a region's name such as `eu-frankfurt-1` or its key such as `fra`
        ~/.oci/config:6: `tenancy` is `my tenancy`, which is no OCID
          hint: it looks like `ocid1.tenancy.oc1..aaaa…`; the console shows it
        ~/.oci/config:6: `fingerprint` is `08:f1`, which is none
          hint: it is 16 hexadecimal pairs with colons; the console lists it with the API key
        ~/.oci/config:6: `fingerprint` is 00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00, but the key in `key_file` has 08:f1:3f:37:58:22:5a:cb:6f:e8:5e:4b:c3:02:3c:55
          hint: if the key is listed for the user in the console, set `fingerprint=08:f1:3f:37:58:22:5a:cb:6f:e8:5e:4b:c3:02:3c:55`; if not, point `key_file` to the right key
        ~/.oci/none.pem: cannot read the private key
          hint: check `key_file` in the config and the file's permissions
        ~/.oci/locked.pem: the private key cannot be used: it is encrypted and there is no pass phrase
          hint: set `pass_phrase` in the config or `OCI_CLI_PASSPHRASE`
        ~/.oci/config: the private key cannot be used: it holds no private key in PEM form
          hint: `key_file` must name the private key, the file that begins with `-----BEGIN PRIVATE KEY-----`
        ~/.oci/config:1: there is no section such as `[DEFAULT]` above it
          hint: the file has sections such as `[DEFAULT]` with lines `key=value`
        ~/.oci/config: it has no profile `work`
          hint: choose one of `DEFAULT`
        environment variable OCI_CLI_REGION: `mars` is not a region
          hint: use a region's name such as `eu-frankfurt-1` or its key such as `fra`
        environment variable OCI_CLI_AUTH: authentication by `instance_principal` is not supported
          hint: use an API key or a session token
        ~/.oci/config: `security_token_file` is missing
          hint: add `security_token_file=…` to the profile, or set OCI_CLI_SECURITY_TOKEN_FILE; the console shows a ready-made config under User settings, API keys
        ");
    }

    #[test]
    fn nothing_at_all_says_what_is_missing_first() {
        let env = BTreeMap::new();
        let error = Settings::load(&Selection::default(), &env).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no OCI config file: ~/.oci/config does not exist, and OCI_CLI_REGION is not set"
        );
    }
}
