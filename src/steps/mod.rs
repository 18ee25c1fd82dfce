//! The steps of a deployment, by phase, and the graph between them.
//!
//! A profile becomes a graph in [`graph`]; the engine does the rest. A step
//! finds its thing by two tags (`todoctl=<deployment>` and
//! `todoctl-step=<step>`), so that nothing is lost when the journal is.

mod access;
mod charts;
mod cluster;
mod compartment;
mod cx;
mod fault;
pub mod guard;
mod leftovers;
mod network;
mod node_pool;
mod owned;
mod placement;
mod platform;
mod release;
pub mod survey;
mod tags;

pub use access::Access;
pub use cluster::ClusterLive;
pub use compartment::CompartmentLive;
pub use cx::{Cloud, Cx, CxError};
pub use node_pool::NodePoolLive;
pub use owned::Live;

use crate::clock::Clock;
use crate::helm::render::Rendered;
use crate::plan::{Class, Graph, GraphError, StepError};
use crate::profile::Profile;
use crate::release::Offline;
use crate::render::RenderError;

/// A profile's steps cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum StepsError {
    /// They do not fit together.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A manifest cannot be rendered.
    #[error(transparent)]
    Render(#[from] RenderError),
}

/// Every manifest that the steps apply, in the order of creation.
pub fn manifests(profile: &Profile) -> Result<Vec<crate::manifest::Manifest>, RenderError> {
    platform::wanted(profile)
}

/// A release as its step would install it first.
#[derive(Debug)]
pub struct RenderedRelease {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// What it consists of.
    pub content: Rendered,
}

/// Every release that the steps install, in that order, rendered without a
/// cluster from the same requests.
pub async fn releases(
    profile: &Profile,
    clock: &Clock,
    cluster: &Offline,
) -> Result<Vec<RenderedRelease>, StepError> {
    let specs = platform::releases(profile).map_err(|error| {
        StepError::new(Class::Invalid, "cannot make the app's values").caused_by(error)
    })?;
    let mut all = Vec::new();
    for spec in specs.all() {
        let request = spec.request(profile, clock).await?;
        all.push(RenderedRelease {
            content: crate::release::offline(request, &spec.namespace, cluster)?,
            name: spec.name,
            namespace: spec.namespace,
        });
    }
    Ok(all)
}

/// The steps that a profile asks for.
pub fn graph(profile: &Profile) -> Result<Graph<Cx>, StepsError> {
    let mut graph = Graph::default();
    let (access, nodes) = match &profile.cloud {
        Some(cloud) => {
            let compartment = graph.add(compartment::CompartmentStep)?;
            let network = network::add(&mut graph, cloud, &compartment)?;
            let (access, nodes) = cluster::add(&mut graph, &compartment, &network)?;
            (access, Some(nodes))
        }
        None => (graph.add(access::ContextAccess)?, None),
    };
    platform::add(&mut graph, profile, &access, nodes)?;
    Ok(graph)
}
