//! Where the charts of releases come from.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Mutex;
use url::Url;

use crate::charts::{self, SourceError};
use crate::clock::Clock;
use crate::helm::chart::Chart;
use crate::helm::repo::cache::Cache;
use crate::helm::repo::http::Http;
use crate::helm::repo::load::LoadError;
use crate::helm::repo::{Fetch, FetchError, Puller, RepoError, Request, Response};
use crate::net::TrustError;
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
    indexes: &Indexes,
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
    let fetch = indexes
        .fetch(clock)
        .map_err(|error| unusable(Class::Unreachable, &error))?;
    let cache = Cache::standard().map_err(|error| unusable(Class::Invalid, &error))?;
    let puller = Puller::new(fetch, cache);
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

/// The indexes of repositories, read once in a run: several charts may come
/// from one.
#[derive(Default)]
pub(super) struct Indexes {
    read: Arc<Mutex<HashMap<Url, Response>>>,
}

impl Indexes {
    fn fetch(&self, clock: &Clock) -> Result<Arc<dyn Fetch>, TrustError> {
        Ok(Arc::new(Remembering {
            http: Http::new(clock.clone())?,
            read: self.read.clone(),
        }))
    }
}

struct Remembering {
    http: Http,
    read: Arc<Mutex<HashMap<Url, Response>>>,
}

#[async_trait]
impl Fetch for Remembering {
    async fn get(&self, request: Request) -> Result<Response, FetchError> {
        if !request.url.path().ends_with("/index.yaml") {
            return self.http.get(request).await;
        }
        // Whoever else wants it waits here, and profits.
        let mut read = self.read.lock().await;
        if let Some(known) = read.get(&request.url) {
            return Ok(known.clone());
        }
        let url = request.url.clone();
        let response = self.http.get(request).await?;
        read.insert(url, response.clone());
        Ok(response)
    }
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
