//! The emulated account: a tenancy with one administrator and one API key,
//! made when the world is made, and the configuration file by which the `oci`
//! command, Oracle's SDKs and todoctl find it.

use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::Digest as _;
use rsa::pkcs1::{DecodeRsaPrivateKey as _, EncodeRsaPublicKey as _};
use rsa::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, EncodePublicKey as _, LineEnding};
use rsa::{RsaPrivateKey, RsaPublicKey};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::ledger::{Doc, Kind, REGION};
use crate::files::{self, Access};
use crate::sandbox::world::World;

/// The table of public keys by key identifier.
pub const KEYS: &str = "oci/keys";
const TABLE: &str = "oci/account";
const KEY_BITS: usize = 2048;

/// Who the emulated cloud's only customer is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    /// The tenancy's OCID; the root compartment has the same.
    pub tenancy: String,
    /// The administrator's OCID.
    pub user: String,
    /// The API key's fingerprint.
    pub fingerprint: String,
    /// The object storage and registry namespace.
    pub namespace: String,
    /// The tenancy's own prefix of availability domain names.
    pub ad_prefix: String,
}

impl Account {
    /// Opens the world's account, or makes it. A private key already at
    /// `oci/key.pem` in the folder is used instead of a new one.
    pub fn open(world: &World, dir: &Path) -> io::Result<Self> {
        let key = private_key(dir)?;
        let public = key.to_public_key();
        let spki = public.to_public_key_der().map_err(io::Error::other)?;
        let fingerprint = fingerprint(spki.as_bytes());
        let account = Self {
            tenancy: format!("ocid1.tenancy.oc1..aaaa{}", world.letters("tenancy", 56)),
            user: format!("ocid1.user.oc1..aaaa{}", world.letters("user", 56)),
            namespace: format!("ax{}", world.letters("namespace", 10)),
            ad_prefix: capitalised(&world.letters("ad-prefix", 4)),
            fingerprint,
        };
        if world.store.get(TABLE, "account").is_none() {
            world.store.put(TABLE, "account", json!(account));
        }
        let root = Kind::Compartment.table();
        if world.store.get(root, &account.tenancy).is_none() {
            world
                .store
                .put(root, &account.tenancy, account.root_compartment(world));
        }
        register_key(world, &account.key_id(), &public)?;
        write_config(dir, &account)?;
        Ok(account)
    }

    /// The identifier under which requests name the API key.
    pub fn key_id(&self) -> String {
        format!("{}/{}/{}", self.tenancy, self.user, self.fingerprint)
    }

    /// The names of the region's availability domains.
    pub fn domains(&self) -> [String; 3] {
        [1, 2, 3].map(|n| format!("{}:EU-FRANKFURT-1-AD-{n}", self.ad_prefix))
    }

    fn root_compartment(&self, world: &World) -> Value {
        let created = world.clock.now().to_string();
        let body = json!({
            "id": self.tenancy,
            "compartmentId": self.tenancy,
            "name": "todoctl-sandbox",
            "description": "The root compartment of the tenancy",
            "timeCreated": created,
            "lifecycleState": "ACTIVE",
            "isAccessible": true,
            "freeformTags": {},
            "definedTags": {},
        });
        let Value::Object(body) = body else {
            return Value::Null;
        };
        json!(Doc {
            version: 1,
            born: 0,
            listed_from: 0,
            gone: None,
            body,
            hidden: serde_json::Map::new(),
        })
    }
}

/// Where the account's configuration file is.
pub fn config_path(dir: &Path) -> PathBuf {
    dir.join("oci/config")
}

/// Lets requests be signed with a key.
pub fn register_key(world: &World, key_id: &str, public: &RsaPublicKey) -> io::Result<()> {
    let der = public.to_pkcs1_der().map_err(io::Error::other)?;
    let row = json!({"publicKey": STANDARD.encode(der.as_bytes())});
    if world
        .store
        .get(KEYS, key_id)
        .is_none_or(|held| *held.value != row)
    {
        world.store.put(KEYS, key_id, row);
    }
    Ok(())
}

fn private_key(dir: &Path) -> io::Result<RsaPrivateKey> {
    let path = dir.join("oci/key.pem");
    match std::fs::read_to_string(&path) {
        Ok(pem) => parse_private_key(&pem),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut random = rsa::rand_core::OsRng;
            let key = RsaPrivateKey::new(&mut random, KEY_BITS).map_err(io::Error::other)?;
            let pem = key.to_pkcs8_pem(LineEnding::LF).map_err(io::Error::other)?;
            // Oracle's own tools warn about keys that do not end with this label.
            let labelled = zeroize::Zeroizing::new(format!("{}OCI_API_KEY\n", pem.as_str()));
            files::write_atomic(&path, labelled.as_bytes(), Access::Private)?;
            Ok(key)
        }
        Err(error) => Err(error),
    }
}

/// Reads an unencrypted PKCS#8 or PKCS#1 private key with or without a label
/// after it.
pub fn parse_private_key(pem: &str) -> io::Result<RsaPrivateKey> {
    let end = pem.rfind("-----").map_or(pem.len(), |at| at + 5);
    let pem = pem.get(..end).unwrap_or(pem);
    RsaPrivateKey::from_pkcs8_pem(pem)
        .or_else(|_| RsaPrivateKey::from_pkcs1_pem(pem))
        .map_err(io::Error::other)
}

/// The MD5 of a public key's DER form, as Oracle writes it.
pub fn fingerprint(spki_der: &[u8]) -> String {
    let hex: Vec<_> = md5::Md5::digest(spki_der)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    hex.join(":")
}

fn write_config(dir: &Path, account: &Account) -> io::Result<()> {
    let key_file = std::path::absolute(dir.join("oci/key.pem"))?;
    let text = format!(
        "[DEFAULT]\nuser={}\nfingerprint={}\ntenancy={}\nregion={REGION}\nkey_file={}\n",
        account.user,
        account.fingerprint,
        account.tenancy,
        key_file.display(),
    );
    let path = config_path(dir);
    if std::fs::read(&path).is_ok_and(|held| held == text.as_bytes()) {
        return Ok(());
    }
    files::write_atomic(&path, text.as_bytes(), Access::Private)
}

fn capitalised(letters: &str) -> String {
    let mut chars = letters.chars();
    let first = chars.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(chars).collect()
}
