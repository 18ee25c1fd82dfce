//! Files: atomic writes with permissions, an advisory lock, and the standard
//! folders. Nothing else creates or replaces a file of the user's.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy as _;

/// Who may read a file that todoctl writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// The owner only (0600): anything that holds or names a secret.
    Private,
    /// As the user's umask says.
    Shared,
}

/// Replaces `path` by `content` in one step: readers see the old file or the
/// new one, never a part. Missing parent folders are made, private ones (0700)
/// for private files.
pub fn write_atomic(path: &Path, content: &[u8], access: Access) -> io::Result<()> {
    let parent = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    create_dir(parent, access)?;
    // tempfile makes its files 0600.
    let mut file = tempfile::NamedTempFile::new_in(parent)?;
    file.write_all(content)?;
    if access == Access::Shared {
        set_mode(file.path(), 0o644)?;
    }
    file.as_file().sync_all()?;
    file.persist(path).map_err(|e| e.error)?;
    Ok(())
}

/// Makes a folder and its parents; private ones get mode 0700.
pub fn create_dir(path: &Path, access: Access) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path)?;
    if access == Access::Private {
        set_mode(path, 0o700)
    } else {
        Ok(())
    }
}

/// Opens a private file for appending, creating it (0600) when it is absent.
pub fn open_append(path: &Path) -> io::Result<File> {
    if let Some(parent) = path.parent() {
        create_dir(parent, Access::Private)?;
    }
    let mut options = OpenOptions::new();
    options.create(true).append(true).read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn set_mode(_: &Path, _: u32) -> io::Result<()> {
    Ok(())
}

/// Where todoctl keeps what it must remember: `$XDG_STATE_HOME/todoctl` or
/// `~/.local/state/todoctl`.
pub fn state_dir() -> io::Result<PathBuf> {
    let base = etcetera::choose_base_strategy().map_err(io::Error::other)?;
    Ok(base
        .state_dir()
        .unwrap_or_else(|| base.data_dir())
        .join("todoctl"))
}

/// Where todoctl keeps what it can fetch again: `$XDG_CACHE_HOME/todoctl`.
pub fn cache_dir() -> io::Result<PathBuf> {
    let base = etcetera::choose_base_strategy().map_err(io::Error::other)?;
    Ok(base.cache_dir().join("todoctl"))
}

/// Replaces a leading `~/` by the user's home folder.
pub fn expand_home(path: &str) -> PathBuf {
    match path.strip_prefix("~/").zip(etcetera::home_dir().ok()) {
        Some((rest, home)) => home.join(rest),
        None => PathBuf::from(path),
    }
}

/// An exclusive lock on a file, held until dropped or until the process dies.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock and writes `note` (who holds it, since when) into the
    /// file; or returns the holder's note when somebody else holds it.
    pub fn take(path: &Path, note: &str) -> io::Result<Result<Self, String>> {
        let mut file = open_append(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Ok(Err(fs::read_to_string(path)?)),
            Err(fs::TryLockError::Error(error)) => return Err(error),
        }
        file.set_len(0)?;
        file.write_all(note.as_bytes())?;
        file.sync_all()?;
        Ok(Ok(Self { file }))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // The lock goes with the file in any case; the note should not outlive it.
        let _ = self.file.set_len(0);
        let _ = self.file.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_file_is_unreadable_for_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/er/key.pem");
        write_atomic(&path, b"k", Access::Private).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(
                fs::metadata(&path).unwrap().permissions().mode() & 0o777,
                0o600
            );
        }
        assert_eq!(fs::read(&path).unwrap(), b"k");
    }

    #[test]
    fn the_second_taker_of_a_lock_reads_who_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = Lock::take(&path, "pid 1").unwrap().unwrap();
        assert_eq!(Lock::take(&path, "pid 2").unwrap().unwrap_err(), "pid 1");
        drop(held);
        assert!(Lock::take(&path, "pid 2").unwrap().is_ok());
    }
}
