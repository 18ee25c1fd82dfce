//! What a user writes to name a chart: a path, `REPO/NAME`, `oci://…`, or the
//! address of an archive.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Wanted;

/// Where a chart is.
#[derive(Debug, Clone)]
pub enum ChartRef {
    /// A folder or an archive on this machine.
    Path(PathBuf),
    /// A chart of a repository or registry.
    Repository(Wanted),
}

/// A name leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// Neither a path nor a repository's chart.
    #[error("no chart at {0:?}, and it names no known repository")]
    Unknown(String),
    /// `oci://` without a chart's path.
    #[error("{0:?} has no registry and chart path")]
    Oci(String),
}

/// What goes with a chart's name.
#[derive(Debug, Clone, Default)]
pub struct Hints {
    /// `--version`: a version or a range.
    pub version: String,
    /// `--repo`: the repository that a bare name is looked up in.
    pub repository: Option<String>,
    /// Repositories by their short names.
    pub known: BTreeMap<String, String>,
}

impl ChartRef {
    /// Reads a chart's name. An existing path wins over a repository's name.
    pub fn parse(text: &str, hints: &Hints) -> Result<Self, ReferenceError> {
        if let Some(rest) = text.strip_prefix("oci://") {
            return oci(text, rest, hints);
        }
        if let Some(repository) = &hints.repository {
            return Ok(wanted(repository, text, hints));
        }
        if Path::new(text).exists() || text.starts_with(['.', '/', '~']) {
            return Ok(Self::Path(crate::files::expand_home(text)));
        }
        let named = text.split_once('/').and_then(|(repository, name)| {
            let url = hints.known.get(repository)?;
            Some(wanted(url, name, hints))
        });
        named.ok_or_else(|| ReferenceError::Unknown(text.to_owned()))
    }
}

fn wanted(repository: &str, name: &str, hints: &Hints) -> ChartRef {
    ChartRef::Repository(Wanted {
        repository: repository.to_owned(),
        name: name.to_owned(),
        version: hints.version.clone(),
        digest: None,
    })
}

/// `oci://HOST/PATH/NAME[:TAG][@DIGEST]`
fn oci(text: &str, rest: &str, hints: &Hints) -> Result<ChartRef, ReferenceError> {
    let broken = || ReferenceError::Oci(text.to_owned());
    let (rest, digest) = match rest.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (rest, None),
    };
    let (path, last) = rest.rsplit_once('/').ok_or_else(broken)?;
    let (name, tag) = last.split_once(':').unwrap_or((last, ""));
    if path.is_empty() || name.is_empty() {
        return Err(broken());
    }
    let version = match (digest, tag) {
        // A manifest's digest, which the registry resolves like a tag.
        (Some(digest), _) => format!("@{digest}"),
        (None, "") => hints.version.clone(),
        (None, tag) => tag.replace('_', "+"),
    };
    Ok(ChartRef::Repository(Wanted {
        repository: format!("oci://{path}"),
        name: name.to_owned(),
        version,
        digest: None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, hints: &Hints) -> String {
        match ChartRef::parse(text, hints) {
            Ok(ChartRef::Path(path)) => format!("path {}", path.display()),
            Ok(ChartRef::Repository(w)) => format!("{} {} {}", w.repository, w.name, w.version),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn names_are_read_as_helm_reads_them() {
        let hints = Hints {
            version: "1.x".to_owned(),
            repository: None,
            known: [("dapr".to_owned(), "https://d.io".to_owned())].into(),
        };
        let cases = [
            ("./nowhere", "path ./nowhere"),
            ("dapr/dapr", "https://d.io dapr 1.x"),
            ("oci://ghcr.io/org/c", "oci://ghcr.io/org c 1.x"),
            ("oci://h:5000/org/c:1.2_3", "oci://h:5000/org c 1.2+3"),
            ("oci://h/c@sha256:ab", "oci://h c @sha256:ab"),
        ];
        for (text, want) in cases {
            assert_eq!(parse(text, &hints), want);
        }
        assert!(parse("bitnami/x", &hints).contains("no known repository"));
        assert!(parse("oci://ghcr.io", &hints).contains("no registry"));
        let hints = Hints {
            repository: Some("https://e.com".to_owned()),
            ..Hints::default()
        };
        assert_eq!(parse("c", &hints), "https://e.com c ");
    }
}
