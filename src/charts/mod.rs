//! What releases are made of: the charts that a profile names, and what their
//! templates see of the cluster that they go to.
//!
//! The chart engine knows neither profiles nor clusters; this is where the
//! three meet. Nothing is applied here.

mod live;

use std::path::Path;

use http::HeaderMap;
use url::Url;

use crate::clock::Clock;
use crate::helm::chart::Chart;
use crate::helm::repo::http::Http;
use crate::helm::repo::load::{self, LoadError};
use crate::helm::repo::{Fetch as _, Puller, Request, Wanted};
use crate::helm::values::schema::{self, Fetched};
use crate::net::TrustError;
use crate::profile::{ChartDigest, ChartPlace, ChartSource};

pub use live::{ClusterLookup, LiveError, capabilities, render};

/// The largest schema that is fetched.
const MAX_SCHEMA: u64 = 8 * 1024 * 1024;
/// More schemas than that are not followed.
const MAX_SCHEMAS: usize = 32;

/// Why a profile's chart cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The profile does not say where it is.
    #[error("{0}")]
    Source(&'static str),
    /// It is not there, or not what is pinned.
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// Fetches, checks and loads the chart that a profile names.
pub async fn load(source: &ChartSource, puller: &Puller) -> Result<Chart, SourceError> {
    let place = source
        .place()
        .map_err(|fault| SourceError::Source(fault.summary))?;
    let version = source.version.clone().unwrap_or_default();
    let digest = source.digest.as_ref().map(ChartDigest::as_str);
    let (repository, name) = match place {
        ChartPlace::Path(path) => return Ok(load::from_path(Path::new(path), &version, digest)?),
        ChartPlace::Repo { url, name } => (url, name),
        ChartPlace::Oci { parent, name } => (parent, name),
    };
    let wanted = Wanted {
        repository: repository.to_owned(),
        name: name.to_owned(),
        version,
        digest: digest.map(str::to_owned),
    };
    Ok(load::from_repository(puller, &wanted).await?)
}

/// Fetches the schemas that a chart's schemas refer to, and those that these
/// refer to. One that cannot be had is left out: it then holds for everything.
pub async fn fetch_schemas(chart: &Chart, clock: &Clock) -> Result<Fetched, TrustError> {
    let mut fetched = Fetched::new();
    let mut wanted: Vec<String> = schema::addresses(chart).into_iter().collect();
    if wanted.is_empty() {
        return Ok(fetched);
    }
    let http = Http::new(clock.clone())?;
    let mut tried = 0;
    while let Some(address) = wanted.pop().filter(|_| tried < MAX_SCHEMAS) {
        if fetched.contains_key(&address) {
            continue;
        }
        tried += 1;
        let Some(schema) = fetch_schema(&http, &address).await else {
            tracing::warn!(address, "cannot fetch a schema; it is taken as satisfied");
            continue;
        };
        wanted.extend(schema::addresses_in(&schema));
        fetched.insert(address, schema);
    }
    Ok(fetched)
}

async fn fetch_schema(http: &Http, address: &str) -> Option<serde_json::Value> {
    let request = Request {
        url: Url::parse(address).ok()?,
        headers: HeaderMap::new(),
        limit: MAX_SCHEMA,
    };
    let answer = http.get(request).await.ok()?;
    (answer.status == 200).then(|| serde_json::from_slice(&answer.body).ok())?
}
