//! The chart cache: archives by digest, and a list of what came from where.
//!
//! ```text
//! charts/blobs/<hex>.tgz               an archive, named by its SHA-256
//! charts/refs/<hex>/<name>/<version>   its digest; <hex> hashes the repository
//! ```
//!
//! Files are written atomically and an archive is checked when it is read, so
//! a damaged cache heals itself.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::{Pin, digest_of};
use crate::files::{self, Access};

/// A folder of fetched charts.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// The user's own cache.
    pub fn standard() -> io::Result<Self> {
        Ok(Self::at(&files::cache_dir()?))
    }

    /// A cache below a given folder.
    pub fn at(folder: &Path) -> Self {
        Self {
            root: folder.join("charts"),
        }
    }

    /// The archive with that digest, when it is here and whole.
    pub fn read(&self, digest: &str) -> io::Result<Option<Bytes>> {
        let Some(path) = self.blob(digest) else {
            return Ok(None);
        };
        match fs::read(&path) {
            Ok(packed) if digest_of(&packed) == digest => Ok(Some(packed.into())),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Keeps an archive.
    pub fn store(&self, pin: &Pin, packed: &[u8]) -> io::Result<()> {
        if let Some(blob) = self.blob(&pin.digest)
            && self.read(&pin.digest)?.is_none()
        {
            files::write_atomic(&blob, packed, Access::Shared)?;
        }
        if let Some(folder) = self.refs(&pin.repository, &pin.name)
            && is_file_name(&pin.version)
        {
            let path = folder.join(&pin.version);
            files::write_atomic(&path, pin.digest.as_bytes(), Access::Shared)?;
        }
        Ok(())
    }

    /// What is here of a chart, in the order of the versions' texts.
    pub fn versions(&self, repository: &str, name: &str) -> io::Result<Vec<Pin>> {
        let Some(folder) = self.refs(repository, name) else {
            return Ok(Vec::new());
        };
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut pins = Vec::new();
        for entry in entries {
            let entry = entry?;
            let Ok(version) = entry.file_name().into_string() else {
                continue;
            };
            let digest = fs::read_to_string(entry.path())?;
            pins.push(Pin {
                repository: repository.to_owned(),
                name: name.to_owned(),
                version,
                digest: digest.trim().to_owned(),
            });
        }
        pins.sort_by(|a, b| a.version.cmp(&b.version));
        Ok(pins)
    }

    /// Where an archive lies; `None` when the digest is none.
    fn blob(&self, digest: &str) -> Option<PathBuf> {
        let hex = digest.strip_prefix("sha256:")?;
        let well_formed = hex.len() == 64 && hex.bytes().all(|c| c.is_ascii_hexdigit());
        well_formed.then(|| self.root.join("blobs").join(format!("{hex}.tgz")))
    }

    fn refs(&self, repository: &str, name: &str) -> Option<PathBuf> {
        let hash = digest_of(repository.trim_end_matches('/').as_bytes());
        let hash = hash.strip_prefix("sha256:")?.get(..16)?.to_owned();
        is_file_name(name).then(|| self.root.join("refs").join(hash).join(name))
    }
}

/// Names and versions come from outside: nothing may lead out of the cache.
fn is_file_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 200
        && !text.starts_with('.')
        && text
            .bytes()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'_' | b'+'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pin(name: &str, version: &str, packed: &[u8]) -> Pin {
        Pin {
            repository: "https://example.com/charts".to_owned(),
            name: name.to_owned(),
            version: version.to_owned(),
            digest: digest_of(packed),
        }
    }

    #[test]
    fn what_is_stored_is_found_by_digest_and_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path());
        let pin = pin("dapr", "1.2.3+x", b"packed");
        cache.store(&pin, b"packed").unwrap();
        assert_eq!(cache.read(&pin.digest).unwrap().unwrap(), "packed");
        let found = cache.versions("https://example.com/charts/", "dapr");
        assert_eq!(found.unwrap()[0].digest, pin.digest);
        assert!(
            cache
                .versions("https://other.com", "dapr")
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn a_damaged_archive_counts_as_absent() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path());
        let pin = pin("dapr", "1.0.0", b"packed");
        cache.store(&pin, b"packed").unwrap();
        let blob = cache.blob(&pin.digest).unwrap();
        files::write_atomic(&blob, b"pack", Access::Shared).unwrap();
        assert!(cache.read(&pin.digest).unwrap().is_none());
        cache.store(&pin, b"packed").unwrap();
        assert!(cache.read(&pin.digest).unwrap().is_some());
    }

    #[test]
    fn no_name_leads_out_of_the_cache() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path());
        for name in ["..", "../x", "a/b", "", ".x"] {
            cache.store(&pin(name, "1.0.0", b"p"), b"p").unwrap();
            cache.store(&pin("a", name, b"p"), b"p").unwrap();
            assert!(
                cache
                    .versions("https://example.com/charts", name)
                    .unwrap()
                    .is_empty()
            );
        }
        assert!(cache.read("sha256:../../etc/passwd").unwrap().is_none());
        let top: Vec<_> = fs::read_dir(dir.path()).unwrap().collect();
        assert_eq!(top.len(), 1);
    }
}
