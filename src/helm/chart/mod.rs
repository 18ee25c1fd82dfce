//! Charts: reading a folder or an archive into memory.
//!
//! A [`Chart`] is what its author wrote, checked and sorted into metadata,
//! default values, schema, templates and other files; nothing is rendered
//! here and nothing is fetched. The format is helm's chart API v1 and v2.

pub mod archive;
pub mod fields;
mod folder;
pub mod glob;
pub mod ignore;
pub mod metadata;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use self::archive::{ArchiveError, Budget};
use self::ignore::IgnoreError;
use self::metadata::{Lock, Metadata, MetadataError};
use super::value::{Map, Str};
use super::values::{self, ValuesError};
use super::yaml11::{self, YamlError};

/// Charts within charts go no deeper than that.
const MAX_NESTING: usize = 32;

/// A file of a chart, its path relative to the chart's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChartFile {
    /// The path, with `/`.
    pub name: String,
    /// The content.
    pub data: Str,
}

/// A chart with everything that came in it.
#[derive(Debug, Clone)]
pub struct Chart {
    /// What `Chart.yaml` says.
    pub metadata: Metadata,
    /// The lock file, when there is one.
    pub lock: Option<Lock>,
    /// The default values. Shared; copy before changing.
    pub values: Map,
    /// The text of `values.yaml`.
    pub values_text: Option<Str>,
    /// `values.schema.json` as written.
    pub schema: Option<Str>,
    /// Everything below `templates/`.
    pub templates: Vec<ChartFile>,
    /// Everything else, which `.Files` shows.
    pub files: Vec<ChartFile>,
    /// The charts in `charts/`.
    pub dependencies: Vec<Self>,
}

/// A file of `crds/`, named with the path of its chart.
#[derive(Debug, Clone)]
pub struct CrdFile {
    /// Such as `dapr/crds/components.yaml`.
    pub name: String,
    /// The content, which is never rendered.
    pub data: Str,
}

/// Why a chart cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum ChartError {
    /// A file or folder cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A folder links back to itself.
    #[error("{} leads back into itself", .0.display())]
    Loop(PathBuf),
    /// A socket, a device or the like.
    #[error("cannot load irregular file {}", .0.display())]
    Irregular(PathBuf),
    /// `.helmignore` is broken.
    #[error("cannot use {}", path.display())]
    Ignore {
        /// Which.
        path: PathBuf,
        /// Why.
        source: IgnoreError,
    },
    /// The archive is refused, or the chart is too large.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The file is no archive.
    #[error("{} is not a gzipped archive", .0.display())]
    NotArchive(PathBuf),
    /// There is no `Chart.yaml`.
    #[error("Chart.yaml file is missing")]
    NoChartYaml,
    /// A file is not YAML.
    #[error("cannot load {file}")]
    Yaml {
        /// Which.
        file: String,
        /// Why.
        source: YamlError,
    },
    /// `values.yaml` holds something else than values.
    #[error("cannot load values.yaml")]
    Values(#[source] ValuesError),
    /// A metadata file does not say what it must.
    #[error("{file}: {source}")]
    Metadata {
        /// Which.
        file: String,
        /// Why.
        source: MetadataError,
    },
    /// A chart in `charts/` cannot be loaded.
    #[error("cannot load sub-chart {name} of {parent}")]
    SubChart {
        /// Its folder or file in `charts/`.
        name: String,
        /// The chart that holds it.
        parent: String,
        /// Why.
        source: Box<Self>,
    },
    /// Charts nest too deep.
    #[error("charts are nested more than {MAX_NESTING} deep")]
    TooDeep,
}

impl Chart {
    /// Loads a chart from a folder or from a `.tgz`.
    pub fn load(path: &Path) -> Result<Self, ChartError> {
        let failed = |source| ChartError::Read {
            path: path.to_owned(),
            source,
        };
        let meta = fs::metadata(path).map_err(failed)?;
        let mut budget = Budget::default();
        if meta.is_dir() {
            let files = folder::read(path, &mut budget)?;
            return Self::assemble(files, &mut budget, 0);
        }
        if meta.len() > archive::MAX_CHART_BYTES {
            return Err(ArchiveError::TooLarge.into());
        }
        let packed = fs::read(path).map_err(failed)?;
        if !packed.starts_with(b"\x1f\x8b") {
            return Err(ChartError::NotArchive(path.to_owned()));
        }
        Self::unpack(&packed, &mut budget, 0)
    }

    /// Loads a packed chart from memory.
    pub fn from_archive(packed: &[u8]) -> Result<Self, ChartError> {
        Self::unpack(packed, &mut Budget::default(), 0)
    }

    /// Loads a chart from files in memory, as the charts embedded in todoctl
    /// are.
    pub fn from_files(files: Vec<ChartFile>) -> Result<Self, ChartError> {
        Self::assemble(files, &mut Budget::default(), 0)
    }

    /// The chart's name; within another chart, its alias when it has one.
    pub fn name(&self) -> &str {
        &self.metadata.name
    }

    /// The CRD files of this chart, then those of its dependencies. `path` is
    /// the chart's own path, for the root its name.
    pub fn crds(&self, path: &str) -> Vec<CrdFile> {
        let own = self.files.iter().filter(|f| is_crd(&f.name));
        let mut crds: Vec<CrdFile> = own
            .map(|file| CrdFile {
                name: format!("{path}/{}", file.name),
                data: file.data.clone(),
            })
            .collect();
        for child in &self.dependencies {
            crds.extend(child.crds(&format!("{path}/charts/{}", child.name())));
        }
        crds
    }

    fn unpack(packed: &[u8], budget: &mut Budget, depth: usize) -> Result<Self, ChartError> {
        let files = archive::unpack(packed, budget)?;
        Self::assemble(files, budget, depth)
    }

    fn assemble(
        files: Vec<ChartFile>,
        budget: &mut Budget,
        depth: usize,
    ) -> Result<Self, ChartError> {
        if depth > MAX_NESTING {
            return Err(ChartError::TooDeep);
        }
        let mut chart = Self {
            metadata: metadata_of(&files)?,
            lock: None,
            values: Map::new(),
            values_text: None,
            schema: None,
            templates: Vec::new(),
            files: Vec::new(),
            dependencies: Vec::new(),
        };
        let mut nested: BTreeMap<String, Vec<ChartFile>> = BTreeMap::new();
        for file in files {
            if let Some((folder, file)) = in_charts(&file) {
                nested.entry(folder).or_default().push(file);
            } else {
                chart.place(file)?;
            }
        }
        let validated = chart.metadata.validate();
        validated.map_err(|source| ChartError::Metadata {
            file: "Chart.yaml".to_owned(),
            source,
        })?;
        for (name, files) in nested {
            let child = sub_chart(&name, files, budget, depth + 1);
            let child = child.map_err(|source| ChartError::SubChart {
                parent: chart.name().to_owned(),
                name,
                source: Box::new(source),
            })?;
            chart.dependencies.extend(child);
        }
        Ok(chart)
    }

    /// Puts one file where it belongs.
    fn place(&mut self, file: ChartFile) -> Result<(), ChartError> {
        match file.name.as_str() {
            "Chart.yaml" => {}
            "Chart.lock" => self.lock = Some(lock_of(&file)?),
            "values.yaml" => {
                self.values = values::read(&file.data).map_err(ChartError::Values)?;
                self.values_text = Some(file.data);
            }
            "values.schema.json" => self.schema = Some(file.data),
            "requirements.yaml" => {
                let read = self.metadata.read_requirements(&document(&file)?);
                read.map_err(|source| in_file(&file, source))?;
                self.keep_if_v1(file);
            }
            "requirements.lock" => {
                self.lock = Some(lock_of(&file)?);
                self.keep_if_v1(file);
            }
            name if name.starts_with("templates/") => self.templates.push(file),
            _ => self.files.push(file),
        }
        Ok(())
    }

    fn keep_if_v1(&mut self, file: ChartFile) {
        if self.metadata.api_version == "v1" {
            self.files.push(file);
        }
    }
}

fn is_crd(name: &str) -> bool {
    let extension = name.rsplit_once('.').map_or("", |(_, e)| e);
    name.starts_with("crds/")
        && ["yaml", "yml", "json"]
            .iter()
            .any(|e| extension.eq_ignore_ascii_case(e))
}

fn document(file: &ChartFile) -> Result<super::value::Value, ChartError> {
    yaml11::parse(&file.data).map_err(|source| ChartError::Yaml {
        file: file.name.clone(),
        source,
    })
}

fn in_file(file: &ChartFile, source: MetadataError) -> ChartError {
    ChartError::Metadata {
        file: file.name.clone(),
        source,
    }
}

fn metadata_of(files: &[ChartFile]) -> Result<Metadata, ChartError> {
    let file = files
        .iter()
        .find(|f| f.name == "Chart.yaml")
        .ok_or(ChartError::NoChartYaml)?;
    Metadata::read(&document(file)?).map_err(|source| in_file(file, source))
}

fn lock_of(file: &ChartFile) -> Result<Lock, ChartError> {
    Lock::read(&document(file)?).map_err(|source| in_file(file, source))
}

/// The folder of `charts/` that a file belongs to, and the file below
/// `charts/`. Provenance files are ordinary files.
fn in_charts(file: &ChartFile) -> Option<(String, ChartFile)> {
    let inner = file.name.strip_prefix("charts/")?;
    let is_provenance = Path::new(inner).extension().is_some_and(|e| e == "prov");
    if is_provenance {
        return None;
    }
    let folder = inner.split('/').next().unwrap_or(inner).to_owned();
    let inner = ChartFile {
        name: inner.to_owned(),
        data: file.data.clone(),
    };
    Some((folder, inner))
}

/// Loads one entry of `charts/`; `None` for names that helm passes over.
fn sub_chart(
    name: &str,
    files: Vec<ChartFile>,
    budget: &mut Budget,
    depth: usize,
) -> Result<Option<Chart>, ChartError> {
    if name.starts_with(['_', '.']) {
        return Ok(None);
    }
    if Path::new(name).extension().is_some_and(|e| e == "tgz") {
        let Some(packed) = files.iter().find(|f| f.name == name) else {
            return Err(ChartError::NotArchive(PathBuf::from(name)));
        };
        return Chart::unpack(&packed.data, budget, depth).map(Some);
    }
    let inside = files.into_iter().filter_map(|file| {
        let (_, rest) = file.name.split_once('/')?;
        Some(ChartFile {
            name: rest.to_owned(),
            data: file.data,
        })
    });
    Chart::assemble(inside.collect(), budget, depth).map(Some)
}

#[cfg(test)]
mod tests {
    use super::archive::tests::pack;
    use super::*;
    use crate::helm::values::to_json;
    use serde_json::json;

    fn files(files: &[(&str, &str)]) -> Vec<ChartFile> {
        files
            .iter()
            .map(|(name, text)| ChartFile {
                name: (*name).to_owned(),
                data: text.as_bytes().into(),
            })
            .collect()
    }

    fn load(list: &[(&str, &str)]) -> Result<Chart, String> {
        Chart::from_files(files(list)).map_err(|error| {
            let mut text = error.to_string();
            let mut source = std::error::Error::source(&error);
            while let Some(inner) = source {
                text = format!("{text}: {inner}");
                source = inner.source();
            }
            text
        })
    }

    const CHART: (&str, &str) = ("Chart.yaml", "apiVersion: v2\nname: c\nversion: 1.0.0\n");

    #[test]
    fn every_file_finds_its_place() {
        let chart = load(&[
            CHART,
            ("values.yaml", "a: {x: 1}\n---\na: {z: 2}\n"),
            ("values.schema.json", "{}"),
            (
                "Chart.lock",
                "digest: sha256:1\ngenerated: 2020-01-01T00:00:00Z\n",
            ),
            ("templates/a.yaml", ""),
            ("templates/sub/b.txt", ""),
            ("crds/x.YAML", ""),
            ("crds/x.txt", ""),
            ("README.md", ""),
            ("charts/s/Chart.yaml", "name: s\nversion: 1\n"),
            ("charts/s/crds/y.json", ""),
            ("charts/s-1.tgz.prov", ""),
            ("charts/_ignored/x", ""),
            ("charts/.hidden", ""),
        ])
        .unwrap();
        assert_eq!(
            to_json(&super::super::value::Value::Map(chart.values.clone())),
            json!({"a": {"x": 1.0, "z": 2.0}})
        );
        assert_eq!(chart.templates.len(), 2);
        let names: Vec<&str> = chart.files.iter().map(|f| f.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "crds/x.YAML",
                "crds/x.txt",
                "README.md",
                "charts/s-1.tgz.prov"
            ]
        );
        assert_eq!(chart.lock.as_ref().unwrap().digest, "sha256:1");
        assert_eq!(chart.dependencies.len(), 1);
        let crds: Vec<String> = chart.crds("c").into_iter().map(|c| c.name).collect();
        assert_eq!(crds, ["c/crds/x.YAML", "c/charts/s/crds/y.json"]);
    }

    #[test]
    fn the_old_requirements_file_is_read() {
        let chart = load(&[
            ("Chart.yaml", "name: c\nversion: 1.0.0\n"),
            (
                "requirements.yaml",
                "dependencies:\n- name: x\n  version: 1.x\n",
            ),
            ("requirements.lock", "digest: d\n"),
        ])
        .unwrap();
        assert_eq!(chart.metadata.needs()[0].name, "x");
        assert_eq!(chart.files.len(), 2);
        assert!(chart.lock.is_some());
    }

    #[test]
    fn packed_charts_nest() {
        let inner = pack(&[("s/Chart.yaml", b"name: s\nversion: 1.0.0\n")]);
        let outer = pack(&[
            ("c/Chart.yaml", CHART.1.as_bytes()),
            ("c/charts/s-1.0.0.tgz", &inner),
        ]);
        let chart = Chart::from_archive(&outer).unwrap();
        assert_eq!(chart.dependencies[0].name(), "s");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_file() {
        let cases: [(&[(&str, &str)], &str); 7] = [
            (&[("values.yaml", "")], "Chart.yaml file is missing"),
            (&[("Chart.yaml", "a: [")], "cannot load Chart.yaml: "),
            (
                &[("Chart.yaml", "name: c\n")],
                "chart.metadata.version is required",
            ),
            (
                &[CHART, ("values.yaml", "- 1")],
                "cannot load values.yaml: values must be a mapping",
            ),
            (
                &[CHART, ("values.yaml", "a: b: c")],
                "cannot load values.yaml: cannot unmarshal",
            ),
            (
                &[CHART, ("charts/x/a", "")],
                "cannot load sub-chart x of c: Chart.yaml file is missing",
            ),
            (
                &[CHART, ("charts/x.tgz", "no")],
                "cannot load sub-chart x.tgz of c: not a readable",
            ),
        ];
        for (list, want) in cases {
            let error = load(list).unwrap_err();
            assert!(error.contains(want), "{error}");
        }
    }

    #[test]
    fn a_chart_that_nests_for_ever_is_refused() {
        let mut name = String::new();
        let mut list = Vec::new();
        for _ in 0..40 {
            list.push(format!("{name}Chart.yaml"));
            name.push_str("charts/c/");
        }
        let list: Vec<(&str, &str)> = list.iter().map(|n| (n.as_str(), CHART.1)).collect();
        assert!(load(&list).unwrap_err().contains("nested more than"));
    }
}
