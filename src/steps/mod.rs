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
mod kafka;
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

use crate::backbone::BackboneError;
use crate::plan::{Graph, GraphError};
use crate::profile::Profile;
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
    /// What the profile says about Kafka is not enough.
    #[error(transparent)]
    Backbone(#[from] BackboneError),
}

/// Every manifest that the steps apply, in the order of creation.
pub fn manifests(profile: &Profile) -> Result<Vec<crate::manifest::Manifest>, StepsError> {
    platform::wanted(profile)
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
