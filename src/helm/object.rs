//! Values with fields and methods: times, versions, certificates and the
//! cluster's capabilities.

use std::sync::Arc;

use super::gotime::Time;
use super::semver::Version;
use super::value::{List, ListType, Value};

/// A value that templates see as a Go struct, or as a number with a name.
#[derive(Clone, PartialEq)]
pub enum Object {
    /// `time.Time`
    Time(Arc<Time>),
    /// `time.Duration`, in nanoseconds
    Duration(i64),
    /// `time.Month`, 1 to 12
    Month(u8),
    /// `time.Weekday`, 0 is Sunday
    Weekday(u8),
    /// `*semver.Version`
    Semver(Arc<Version>),
    /// `sprig.certificate`: both PEM
    Certificate(Arc<Certificate>),
    /// `*common.Capabilities`
    Capabilities(Arc<Capabilities>),
    /// `common.KubeVersion`
    KubeVersion(Arc<KubeVersion>),
    /// `version.BuildInfo`
    HelmVersion(Arc<HelmVersion>),
}

/// What `genCA` and its kin return: two PEM texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The certificate.
    pub cert: String,
    /// Its private key.
    pub key: String,
}

/// What a chart may know about the cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct Capabilities {
    /// The cluster's version.
    pub kube_version: Arc<KubeVersion>,
    /// Group versions, and `group/version/Kind` when a cluster was asked.
    pub api_versions: Vec<String>,
    /// The Helm that charts believe to run under.
    pub helm_version: Arc<HelmVersion>,
}

/// A Kubernetes version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubeVersion {
    /// The full version, such as `v1.34.1`.
    pub version: String,
    /// The part of the version without vendor suffix, used for constraints.
    pub normalized: String,
    /// The major number as text.
    pub major: String,
    /// The minor number as text.
    pub minor: String,
}

/// The build of Helm that templates see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HelmVersion {
    /// Such as `v4.3.0`.
    pub version: String,
    /// The commit, often empty.
    pub git_commit: String,
    /// The tree state, often empty.
    pub git_tree_state: String,
    /// The Go release, such as `go1.26.0`.
    pub go_version: String,
    /// The client library, such as `v1.37`.
    pub kube_client_version: String,
}

impl KubeVersion {
    /// Parses a version such as `v1.34.1` or `1.34`; `None` when it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let version = Version::parse(text).ok()?;
        let normalized = format!("v{}.{}.{}", version.major, version.minor, version.patch);
        Some(Self {
            version: format!("v{}", version.to_text()),
            normalized,
            major: version.major.to_string(),
            minor: version.minor.to_string(),
        })
    }
}

impl Capabilities {
    /// The list that `.Capabilities.APIVersions` is.
    pub fn api_version_list(&self) -> Value {
        Value::List(List::typed(
            ListType::VersionSet,
            self.api_versions.iter().map(Value::str).collect(),
        ))
    }
}

impl Object {
    /// Go's truth: structs are true, numbers when they are not zero.
    pub fn truth(&self) -> bool {
        match self {
            Self::Duration(n) => *n != 0,
            Self::Month(n) | Self::Weekday(n) => *n != 0,
            _ => true,
        }
    }

    /// The Go type, as `%T` prints it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Time(_) => "time.Time",
            Self::Duration(_) => "time.Duration",
            Self::Month(_) => "time.Month",
            Self::Weekday(_) => "time.Weekday",
            Self::Semver(_) => "*semver.Version",
            Self::Certificate(_) => "sprig.certificate",
            Self::Capabilities(_) => "*common.Capabilities",
            Self::KubeVersion(_) => "common.KubeVersion",
            Self::HelmVersion(_) => "version.BuildInfo",
        }
    }

    /// The Go kind, as `kindOf` prints it.
    pub fn kind_name(&self) -> &'static str {
        match self {
            Self::Time(_) | Self::Certificate(_) | Self::KubeVersion(_) | Self::HelmVersion(_) => {
                "struct"
            }
            Self::Duration(_) => "int64",
            Self::Month(_) | Self::Weekday(_) => "int",
            Self::Semver(_) | Self::Capabilities(_) => "ptr",
        }
    }
}
