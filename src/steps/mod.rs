//! The steps of a deployment, by phase, and the graph between them.
//!
//! A profile becomes a graph in [`graph`]; the engine does the rest. A step
//! finds its thing by two tags (`todoctl=<deployment>` and
//! `todoctl-step=<step>`), so that nothing is lost when the journal is.

mod access;
mod address;
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
mod object;
mod owned;
mod placement;
mod platform;
pub mod preflight;
mod release;
mod scale;
pub mod survey;
mod tags;

pub use access::Access;
pub use address::AddressLive;
pub use cluster::ClusterLive;
pub use compartment::CompartmentLive;
pub use cx::{Cloud, Cx, CxError};
pub use node_pool::NodePoolLive;
pub use owned::Live;
pub use release::ReleaseLive;
use release::{Now, Role};
pub use scale::{Scaled, Wish};

use crate::backbone::BackboneError;
use crate::clock::Clock;
use crate::finding::Findings;
use crate::helm::render::Rendered;
use crate::manifest::Manifest;
use crate::plan::{Graph, GraphError, StepError};
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
    /// What the profile says about Kafka is not enough.
    #[error(transparent)]
    Backbone(#[from] BackboneError),
    /// Something is wrong with the Dapr resources.
    #[error("the Dapr resources of the profile cannot work")]
    Resources(Findings),
}

impl From<Findings> for StepsError {
    fn from(findings: Findings) -> Self {
        Self::Resources(findings)
    }
}

/// Every manifest that the steps apply, in the order of creation, and what is
/// doubtful about them.
pub fn manifests(profile: &Profile) -> Result<(Vec<Manifest>, Findings), StepsError> {
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
    let indexes = charts::Indexes::default();
    let mut all = Vec::new();
    let mut now = Now::default();
    for spec in platform::releases(profile).all() {
        let chart = charts::load(&spec.chart, profile, &indexes, clock).await?;
        if spec.role == Role::Dapr {
            now.dapr = Some(chart.metadata.version.clone());
        }
        let request = spec.request(chart, profile, &now)?;
        all.push(RenderedRelease {
            content: crate::release::offline(request, &spec.namespace, cluster)?,
            name: spec.name,
            namespace: spec.namespace,
        });
    }
    Ok(all)
}

/// The steps that a profile asks for, and what is doubtful about it.
pub fn graph(profile: &Profile) -> Result<(Graph<Cx>, Findings), StepsError> {
    let (manifests, warnings) = platform::wanted(profile)?;
    Ok((graph_of(profile, manifests)?, warnings))
}

/// The same steps for looking and tearing down, which need no more than the
/// names of things.
pub fn teardown_graph(profile: &Profile) -> Result<Graph<Cx>, StepsError> {
    graph_of(profile, platform::doomed(profile)?)
}

fn graph_of(profile: &Profile, manifests: Vec<Manifest>) -> Result<Graph<Cx>, StepsError> {
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
    platform::add(&mut graph, profile, manifests, &access, nodes)?;
    Ok(graph)
}
