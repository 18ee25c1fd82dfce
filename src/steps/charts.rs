//! Where the charts of releases come from.

use std::fmt;
use std::sync::Arc;

use crate::clock::Clock;
use crate::files;
use crate::helm::chart::Chart;
use crate::helm::repo::cache::Cache;
use crate::helm::repo::http::Http;
use crate::helm::repo::{Puller, RepoError, Wanted};
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
/// every repository and registry.
pub(super) async fn load(
    from: &ChartFrom,
    profile: &Profile,
    _clock: &Clock,
) -> Result<Chart, StepError> {
    let unusable = |error: &dyn std::error::Error| {
        StepError::new(Class::Invalid, format!("cannot use chart {from}"))
            .caused_by(error.to_string())
    };
    let source = match from {
        ChartFrom::Own => return render::app_chart().map_err(|error| unusable(&error)),
        ChartFrom::Source(source) => source,
    };
    let place = source
        .place()
        .map_err(|fault| StepError::new(Class::Invalid, fault.summary).with_hint(fault.hint))?;
    let (repository, name) = match place {
        ChartPlace::Path(path) => {
            return Chart::load(&files::expand_home(path)).map_err(|error| unusable(&error));
        }
        ChartPlace::Repo { url, name } => (url, name),
        ChartPlace::Oci { parent, name } => (parent, name),
    };
    let mirror = profile.endpoints.charts.as_deref();
    let wanted = Wanted {
        repository: mirror.unwrap_or(repository).to_owned(),
        name: name.to_owned(),
        version: source.version.clone().unwrap_or_default(),
        digest: source.digest.as_ref().map(ToString::to_string),
    };
    let http = Http::new().map_err(|error| unusable(&error))?;
    let cache = Cache::standard().map_err(|error| unusable(&error))?;
    let pulled = Puller::new(Arc::new(http), cache).pull(&wanted).await;
    let packed = pulled.map_err(|error| refused(from, &error))?.packed;
    Chart::from_archive(&packed).map_err(|error| unusable(&error))
}

fn refused(from: &ChartFrom, error: &RepoError) -> StepError {
    let class = match error {
        RepoError::Fetch(_) | RepoError::Offline { .. } => Class::Unreachable,
        _ => Class::Invalid,
    };
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    StepError::new(class, format!("cannot fetch chart {from}")).caused_by(text)
}
