//! Where the charts of releases come from.

use std::fmt;
use std::sync::Arc;

use crate::charts::{self, SourceError};
use crate::clock::Clock;
use crate::helm::chart::Chart;
use crate::helm::repo::cache::Cache;
use crate::helm::repo::http::Http;
use crate::helm::repo::load::LoadError;
use crate::helm::repo::{Puller, RepoError};
use crate::plan::{Class, StepError};
use crate::profile::{ChartPlace, ChartSource, Profile};
use crate::render;

/// The chart of a release.
#[derive(Debug, Clone)]
pub(super) enum ChartFrom {
    /// The one that todoctl brings for the app.
    Own,
    /// One that the profile names.
    Source(ChartSource),
}

/// What plans call it.
impl fmt::Display for ChartFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Source(source) = self else {
            return f.write_str("todo-app (todoctl's own)");
        };
        let name = match source.place() {
            Ok(ChartPlace::Repo { name, .. } | ChartPlace::Oci { name, .. }) => name,
            Ok(ChartPlace::Path(path)) => path,
            Err(fault) => fault.summary,
        };
        f.write_str(name)?;
        match &source.version {
            Some(version) => write!(f, " {version}"),
            None => Ok(()),
        }
    }
}

/// Fetches and loads a chart. `endpoints.charts` of the profile stands in for
/// every repository and registry: a mirror's archives have the pinned digests,
/// an emulator's have none, and drops the pins where it is set.
pub(super) async fn load(
    from: &ChartFrom,
    profile: &Profile,
    clock: &Clock,
) -> Result<Chart, StepError> {
    let unusable = |class, error: &dyn std::error::Error| {
        StepError::new(class, format!("cannot use chart {from}")).caused_by(in_full(error))
    };
    let source = match from {
        ChartFrom::Own => {
            return render::app_chart().map_err(|error| unusable(Class::Bug, &error));
        }
        ChartFrom::Source(source) => mirrored(source, profile.endpoints.charts.as_deref()),
    };
    let http = Http::new(clock.clone()).map_err(|error| unusable(Class::Unreachable, &error))?;
    let cache = Cache::standard().map_err(|error| unusable(Class::Invalid, &error))?;
    let puller = Puller::new(Arc::new(http), cache);
    charts::load(&source, &puller).await.map_err(|error| {
        let class = match &error {
            SourceError::Load(LoadError::Repo(RepoError::Fetch(_) | RepoError::Offline { .. })) => {
                Class::Unreachable
            }
            _ => Class::Invalid,
        };
        unusable(class, &error)
    })
}

/// The same chart out of a mirror.
fn mirrored(source: &ChartSource, mirror: Option<&str>) -> ChartSource {
    match (mirror, source.place()) {
        (Some(mirror), Ok(ChartPlace::Repo { name, .. } | ChartPlace::Oci { name, .. })) => {
            ChartSource {
                repo: Some(mirror.to_owned()),
                oci: None,
                name: Some(name.to_owned()),
                ..source.clone()
            }
        }
        _ => source.clone(),
    }
}

/// An error with its causes.
fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
