//! The values that `secrets set` keeps for a deployment: one private file in
//! its folder, which goes before the sources that the profile names.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use crate::files::{self, Access};
use crate::secret::Secret;

/// Name of the file.
const FILE: &str = "secrets.json";

/// The values of one deployment.
#[derive(Debug)]
pub(super) struct Vault {
    path: PathBuf,
    values: BTreeMap<String, Secret>,
}

impl Vault {
    /// Reads the values of the deployment whose folder it is; none when nobody
    /// has set any.
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        let path = dir.join(FILE);
        let values = match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(io::Error::other)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error),
        };
        Ok(Self { path, values })
    }

    /// The names that have a value.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// The value of a name.
    pub(super) fn get(&self, name: &str) -> Option<&Secret> {
        self.values.get(name)
    }

    /// Keeps a value, or forgets it, and writes the file.
    pub(super) fn put(&mut self, name: &str, value: Option<Secret>) -> io::Result<()> {
        match value {
            Some(value) => self.values.insert(name.to_owned(), value),
            None => self.values.remove(name),
        };
        if self.values.is_empty() && !self.path.exists() {
            return Ok(());
        }
        if let Some(dir) = self.path.parent() {
            files::create_dir(dir, Access::Private)?;
        }
        let text: serde_json::Map<String, serde_json::Value> = self
            .values
            .iter()
            .map(|(name, value)| (name.clone(), value.expose().into()))
            .collect();
        let text = serde_json::Value::Object(text).to_string();
        files::write_atomic(&self.path, text.as_bytes(), Access::Private)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_kept_in_a_private_file() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("deployment");
        let mut vault = Vault::open(&dir).unwrap();
        vault.put("nothing", None).unwrap();
        assert!(!dir.exists());
        vault.put("a", Some(Secret::new("one\"two"))).unwrap();
        let read = Vault::open(&dir).unwrap();
        assert_eq!(read.get("a").unwrap().expose(), "one\"two");
        assert_eq!(read.names().collect::<Vec<_>>(), ["a"]);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::metadata(dir.join(FILE))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        vault.put("a", None).unwrap();
        assert_eq!(Vault::open(&dir).unwrap().names().count(), 0);
    }
}
