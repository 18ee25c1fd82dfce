//! Charts that are what they are said to be: loaded from a path or from a
//! repository, with version and digest checked.

use std::path::{Path, PathBuf};

use super::super::chart::{Chart, ChartError};
use super::super::dependency;
use super::{Puller, RepoError, Wanted, as_pinned, digest_of};

/// Why a chart is not there, or is another one.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It cannot be fetched, or its digest is not the one that is pinned.
    #[error(transparent)]
    Repo(#[from] RepoError),
    /// What was fetched or found is no chart.
    #[error(transparent)]
    Chart(#[from] ChartError),
    /// A folder has no digest.
    #[error("{} is a folder, and only a packed chart has a digest", .0.display())]
    Folder(PathBuf),
    /// The archive is another version's.
    #[error("{place} holds {name} {got}, not version {wanted}")]
    Version {
        /// Where it was found.
        place: String,
        /// The chart's name.
        name: String,
        /// Its version.
        got: String,
        /// The version or range that is wanted.
        wanted: String,
    },
    /// The archive is another chart's.
    #[error("{place} holds the chart {got}, not {wanted}")]
    Name {
        /// Where it was found.
        place: String,
        /// The chart's name.
        got: String,
        /// The name that is wanted.
        wanted: String,
    },
}

/// Loads a folder or an archive of this machine. An empty version is any.
pub fn from_path(path: &Path, version: &str, digest: Option<&str>) -> Result<Chart, LoadError> {
    if let Some(pinned) = digest {
        if path.is_dir() {
            return Err(LoadError::Folder(path.to_owned()));
        }
        let packed = std::fs::read(path).map_err(|source| ChartError::Read {
            path: path.to_owned(),
            source,
        })?;
        as_pinned(&path.display().to_string(), pinned, &digest_of(&packed))?;
    }
    let chart = Chart::load(path)?;
    of_version(chart, version, &path.display().to_string())
}

/// Fetches and loads a chart of a repository or registry.
pub async fn from_repository(puller: &Puller, wanted: &Wanted) -> Result<Chart, LoadError> {
    let chart = Chart::from_archive(&puller.pull(wanted).await?.packed)?;
    if chart.name() != wanted.name {
        return Err(LoadError::Name {
            place: wanted.repository.clone(),
            got: chart.name().to_owned(),
            wanted: wanted.name.clone(),
        });
    }
    // `@` and a digest name a manifest, not a version.
    let version = if wanted.version.starts_with('@') {
        ""
    } else {
        &wanted.version
    };
    of_version(chart, version, &wanted.repository)
}

fn of_version(chart: Chart, wanted: &str, place: &str) -> Result<Chart, LoadError> {
    let got = &chart.metadata.version;
    let same = |a: &str, b: &str| a.trim_start_matches('v') == b.trim_start_matches('v');
    if wanted.is_empty() || same(wanted, got) || dependency::satisfies(wanted, got) {
        return Ok(chart);
    }
    Err(LoadError::Version {
        place: place.to_owned(),
        name: chart.name().to_owned(),
        got: got.clone(),
        wanted: wanted.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(version: &str) -> Vec<u8> {
        let text = format!("apiVersion: v2\nname: c\nversion: {version}\n");
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let mut archive = tar::Builder::new(gzip);
        let added = archive.append_data(&mut header, "c/Chart.yaml", text.as_bytes());
        added.unwrap();
        archive.into_inner().unwrap().finish().unwrap()
    }

    #[test]
    fn an_archive_must_have_the_pinned_digest_and_version() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.tgz");
        let bytes = packed("1.2.3");
        crate::files::write_atomic(&path, &bytes, crate::files::Access::Shared).unwrap();
        let digest = digest_of(&bytes);
        for version in ["", "1.2.3", "v1.2.3", "1.x"] {
            let chart = from_path(&path, version, Some(&digest)).unwrap();
            assert_eq!(chart.metadata.version, "1.2.3");
        }
        let error = from_path(&path, "2.x", None).unwrap_err();
        assert!(error.to_string().contains("holds c 1.2.3, not version 2.x"));
        let other = format!("sha256:{}", "0".repeat(64));
        let text = from_path(&path, "", Some(&other)).unwrap_err().to_string();
        assert!(text.contains(&other) && text.contains(&format!("`digest: {digest}`")));
        let error = from_path(dir.path(), "", Some(&digest)).unwrap_err();
        assert!(matches!(error, LoadError::Folder(_)));
    }
}
