//! The chart repository of the rehearsal: small charts written here that stand
//! in for the official ones, served as a Helm repository over HTTP.
//!
//! It owns the stand-ins' archives and the index; the charts themselves are
//! files in `templates/sandbox/charts`. Names, versions and objects are the
//! official charts', so a profile differs by the repository's address only.
//! Archives are the same bytes for the same version, so their digests can be
//! pinned.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::StatusCode;

use crate::files;

use super::http::{Handler, Reply, Request};
use super::world::hex;

/// When the stand-ins were made, for the index.
const CREATED: &str = "2026-08-20T00:00:00Z";

/// A stand-in's sources and the versions that it is served in.
struct Source {
    name: &'static str,
    description: &'static str,
    /// What the files say; other versions are the same with another number.
    version: (&'static str, &'static str),
    versions: &'static [(&'static str, &'static str)],
    files: &'static [(&'static str, &'static str)],
}

macro_rules! files {
    ($chart:literal: $($path:literal),* $(,)?) => {
        &[$((
            $path,
            include_str!(concat!("../../templates/sandbox/charts/", $chart, "/", $path)),
        )),*]
    };
}

const SOURCES: [Source; 3] = [
    Source {
        name: "dapr",
        description: "Dapr on Kubernetes, a stand-in for the rehearsal",
        version: ("1.18.3", "1.18.3"),
        versions: &[("1.18.3", "1.18.3"), ("1.18.2", "1.18.2")],
        files: files!("dapr":
            "Chart.yaml",
            "values.yaml",
            "crds/components.yaml",
            "crds/configurations.yaml",
            "crds/httpendpoints.yaml",
            "crds/mcpservers.yaml",
            "crds/resiliencies.yaml",
            "crds/subscriptions.yaml",
            "crds/workflowaccesspolicies.yaml",
            "templates/_helpers.tpl",
            "templates/accounts.yaml",
            "templates/config.yaml",
            "templates/disruption.yaml",
            "templates/injector.yaml",
            "templates/operator.yaml",
            "templates/placement.yaml",
            "templates/roles.yaml",
            "templates/scheduler.yaml",
            "templates/sentry.yaml",
        ),
    },
    Source {
        name: "nginx-ingress",
        description: "NGINX Ingress Controller, a stand-in for the rehearsal",
        version: ("2.6.4", "5.5.4"),
        versions: &[("2.6.4", "5.5.4")],
        files: files!("nginx-ingress":
            "Chart.yaml",
            "values.yaml",
            "templates/_helpers.tpl",
            "templates/controller.yaml",
            "templates/rbac.yaml",
            "templates/service.yaml",
        ),
    },
    Source {
        name: "strimzi-kafka-operator",
        description: "Strimzi, a stand-in for the rehearsal",
        version: ("1.2.0", "1.2.0"),
        versions: &[("1.2.0", "1.2.0")],
        files: files!("strimzi-kafka-operator":
            "Chart.yaml",
            "values.yaml",
            "crds/kafkanodepools.yaml",
            "crds/kafkas.yaml",
            "crds/kafkatopics.yaml",
            "crds/kafkausers.yaml",
            "templates/_helpers.tpl",
            "templates/operator.yaml",
            "templates/rbac.yaml",
        ),
    },
];

/// A packed chart.
#[derive(Debug, Clone)]
pub struct Archive {
    /// The chart's name.
    pub name: &'static str,
    /// The chart's version.
    pub version: &'static str,
    /// The version of what it installs.
    pub app_version: &'static str,
    /// The SHA-256 of the archive, in hexadecimal digits.
    pub digest: String,
    description: &'static str,
    bytes: Bytes,
}

impl Archive {
    fn file_name(&self) -> String {
        format!("{}-{}.tgz", self.name, self.version)
    }
}

/// All packed stand-ins; made on first use.
pub fn archives() -> &'static [Archive] {
    static ARCHIVES: OnceLock<Vec<Archive>> = OnceLock::new();
    ARCHIVES.get_or_init(|| {
        let each = |source: &'static Source| {
            let packed = |&(version, app): &'static (_, _)| archive(source, version, app);
            source.versions.iter().filter_map(packed)
        };
        SOURCES.iter().flat_map(each).collect()
    })
}

/// Writes a stand-in into a folder: the newest of that name, or the one of a
/// version. Returns the archive's path, or nothing when there is none.
pub fn write(folder: &Path, name: &str, version: Option<&str>) -> io::Result<Option<PathBuf>> {
    let mut named = archives().iter().filter(|archive| archive.name == name);
    let exact = named.clone().find(|a| Some(a.version) == version);
    let Some(archive) = exact.or_else(|| named.next()) else {
        return Ok(None);
    };
    let path = folder.join(archive.file_name());
    files::write_atomic(&path, &archive.bytes, files::Access::Shared)?;
    Ok(Some(path))
}

/// Writing to memory does not fail; nothing is served of a chart that cannot
/// be packed.
fn archive(source: &Source, version: &'static str, app_version: &'static str) -> Option<Archive> {
    let bytes = pack(source, version, app_version).ok()?;
    let digest = ring::digest::digest(&ring::digest::SHA256, &bytes);
    Some(Archive {
        name: source.name,
        version,
        app_version,
        digest: hex(digest.as_ref()),
        description: source.description,
        bytes: bytes.into(),
    })
}

fn pack(source: &Source, version: &str, app_version: &str) -> io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for (path, text) in source.files {
        let text = if matches!(*path, "Chart.yaml" | "values.yaml") {
            text.replace(source.version.1, app_version)
                .replace(source.version.0, version)
        } else {
            (*text).to_owned()
        };
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        let inside = format!("{}/{path}", source.name);
        tar.append_data(&mut header, inside, text.as_bytes())?;
    }
    tar.into_inner()?.finish()
}

/// `index.yaml` as `helm repo index` writes it, with addresses relative to it.
fn index() -> String {
    let mut text = String::from("apiVersion: v1\nentries:\n");
    let mut before = "";
    for archive in archives() {
        if archive.name != before {
            let _ = writeln!(text, "  {}:", archive.name);
            before = archive.name;
        }
        let _ = write!(
            text,
            "  - apiVersion: v2\n    appVersion: {app}\n    created: \"{CREATED}\"\n    \
             description: {description}\n    digest: {digest}\n    name: {name}\n    \
             type: application\n    urls:\n    - {file}\n    version: {version}\n",
            app = archive.app_version,
            description = archive.description,
            digest = archive.digest,
            name = archive.name,
            file = archive.file_name(),
            version = archive.version,
        );
    }
    let _ = writeln!(text, "generated: \"{CREATED}\"");
    text
}

/// Serves the repository.
#[derive(Debug, Default)]
pub struct Charts;

impl Handler for Charts {
    fn system(&self) -> &'static str {
        "charts"
    }

    async fn handle(&self, request: Request) -> Reply {
        let wanted = request.path.trim_start_matches('/');
        if wanted == "index.yaml" {
            return Reply::text(StatusCode::OK, "text/yaml", index());
        }
        let archive = archives().iter().find(|a| a.file_name() == wanted);
        match archive {
            Some(archive) => Reply::text(StatusCode::OK, "application/gzip", archive.bytes.clone()),
            None => Reply::text(StatusCode::NOT_FOUND, "text/plain", "404 page not found\n"),
        }
    }

    fn fault(&self, status: StatusCode, _: &Request) -> Reply {
        Reply::empty(status)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::io::Read as _;

    use super::*;

    #[test]
    fn an_archive_holds_the_chart_under_its_version() {
        let old = archives().iter().find(|a| a.version == "1.18.2").unwrap();
        let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(&old.bytes[..]));
        let mut chart = String::new();
        let mut names = BTreeSet::new();
        for entry in tar.entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().to_str().unwrap().to_owned();
            if path == "dapr/Chart.yaml" {
                entry.read_to_string(&mut chart).unwrap();
            }
            names.insert(path);
        }
        assert!(chart.contains("\nversion: 1.18.2\nappVersion: 1.18.2\n"));
        assert!(names.contains("dapr/crds/components.yaml"), "{names:?}");
    }

    #[test]
    fn the_same_version_is_the_same_bytes() {
        let source = &SOURCES[0];
        let pack = || pack(source, "1.18.3", "1.18.3").unwrap();
        assert_eq!(pack(), pack());
        let listed = index();
        for archive in archives() {
            assert!(listed.contains(&archive.digest));
        }
    }

    /// A file that is added to a stand-in's folder is served only when it is
    /// listed here.
    #[test]
    fn every_file_of_a_stand_in_is_in_its_archive() {
        for source in &SOURCES {
            let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("templates/sandbox/charts")
                .join(source.name);
            let mut found = BTreeSet::new();
            for folder in ["", "crds", "templates"] {
                let Ok(entries) = root.join(folder).read_dir() else {
                    continue;
                };
                for entry in entries.map(Result::unwrap) {
                    if entry.file_type().unwrap().is_file() {
                        let path = std::path::Path::new(folder).join(entry.file_name());
                        found.insert(path.to_str().unwrap().to_owned());
                    }
                }
            }
            let listed = source.files.iter().map(|f| f.0.to_owned()).collect();
            assert_eq!(found, listed, "{}", source.name);
        }
    }
}
