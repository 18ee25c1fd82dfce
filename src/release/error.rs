//! What went wrong with a release.

use crate::helm::manifest::ManifestError;
use crate::helm::render::RenderError;
use crate::helm::yaml11::YamlError;
use crate::k8s::K8sError;
use crate::manifest::ManifestError as ObjectError;

/// Why something could not be done to a release.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// The cluster said no, or cannot be reached.
    #[error(transparent)]
    Kube(#[from] K8sError),
    /// The chart cannot be rendered.
    #[error("cannot render chart {chart}")]
    Render {
        /// Which chart.
        chart: String,
        /// Why.
        #[source]
        source: Box<RenderError>,
    },
    /// A document of the manifest is not YAML.
    #[error("cannot read a document of the manifest")]
    Yaml(#[from] YamlError),
    /// The rendered text holds something that is no manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A document of the manifest is no object.
    #[error("cannot use a document of {path}")]
    Object {
        /// The template it came from.
        path: String,
        /// Why.
        source: ObjectError,
    },
    /// A record cannot be read.
    #[error("the record {name} cannot be read: {why}")]
    Record {
        /// The Secret's name.
        name: String,
        /// Why.
        why: String,
    },
    /// A record does not fit into a Secret.
    #[error(
        "the record of release {name} has {size} bytes once packed, and a Secret holds at most {limit}"
    )]
    TooLarge {
        /// The release.
        name: String,
        /// Bytes that it would take.
        size: usize,
        /// Bytes that there are.
        limit: usize,
    },
    /// Somebody else made this revision in the meantime.
    #[error("revision {revision} of release {name} was made by somebody else just now")]
    Raced {
        /// The release.
        name: String,
        /// The revision.
        revision: u64,
    },
    /// An object exists that is not the release's.
    #[error(
        "{kind} \"{name}\" in namespace \"{namespace}\" exists and cannot be imported into the \
         current release: invalid ownership metadata; {why}"
    )]
    NotOwned {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
        /// Its namespace, empty for the whole cluster.
        namespace: String,
        /// What its labels and annotations lack.
        why: String,
    },
    /// There is no such release.
    #[error("release {0} not found")]
    NotFound(String),
    /// There is no such revision.
    #[error("release {name} has no revision {revision}")]
    NoRevision {
        /// The release.
        name: String,
        /// The revision.
        revision: u64,
    },
    /// There is nothing to go back to.
    #[error("release {0} has no earlier revision that was deployed")]
    NothingBefore(String),
    /// Labels that helm keeps for itself.
    #[error("label {0} belongs to the release store")]
    SystemLabel(String),
    /// A hook failed.
    #[error("{event} hook {hook} failed")]
    Hook {
        /// The moment.
        event: &'static str,
        /// The hook's object.
        hook: String,
        /// Why.
        source: Box<Self>,
    },
    /// It failed, and was rolled back.
    #[error("release {name} failed and was {undone}")]
    Undone {
        /// The release.
        name: String,
        /// What was done about it.
        undone: String,
        /// Why it failed.
        source: Box<Self>,
    },
    /// It failed, and could not be rolled back either.
    #[error("release {name} failed, and rolling it back failed, too ({undo})")]
    Stuck {
        /// The release.
        name: String,
        /// Why it cannot be undone.
        undo: String,
        /// Why it failed.
        source: Box<Self>,
    },
    /// A task of our own ended without an answer.
    #[error("rendering ended without a result")]
    Task,
}

impl ReleaseError {
    /// The cluster's error at the bottom of it, if that is what it is.
    pub fn kube(&self) -> Option<&K8sError> {
        match self {
            Self::Kube(error) => Some(error),
            Self::Hook { source, .. }
            | Self::Undone { source, .. }
            | Self::Stuck { source, .. } => source.kube(),
            _ => None,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Kube(error) => error.hint(),
            Self::NotOwned { .. } => Some(
                "another tool made the object; delete it, or let the release take it over with \
                 take-ownership",
            ),
            Self::TooLarge { .. } => {
                Some("take large files out of the chart, or split it into several releases")
            }
            Self::NotFound(_) => Some("todoctl history --all lists all releases"),
            Self::NoRevision { .. } | Self::NothingBefore(_) => {
                Some("todoctl history lists the revisions")
            }
            Self::Hook { source, .. } | Self::Undone { source, .. } => source.hint(),
            Self::Stuck { .. } => Some("the same command again goes on from here"),
            _ => None,
        }
    }

    /// The error and its causes on one line, for a record's description.
    pub(super) fn on_one_line(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let more = error.to_string();
            if !text.ends_with(&more) {
                text = format!("{text}: {more}");
            }
            cause = error.source();
        }
        text
    }
}
