//! What the app needs inside the cluster, and the app: which steps there are,
//! and in which order. The steps themselves are in [`super::object`] and
//! [`super::release`].

use super::StepsError;
use super::access::Access;
use super::address::{AddressStep, Door};
use super::charts::ChartFrom;
use super::cx::Cx;
use super::kafka;
use super::object::{KAFKA, ObjectStep, PruneStep, is_shared};
use super::release::{ReleaseStep, Role, Spec};
use crate::backbone;
use crate::dapr;
use crate::finding::{Finding, Findings};
use crate::k8s::ObjectRef;
use crate::manifest::Manifest;
use crate::names::StepId;
use crate::plan::{Graph, Handle};
use crate::profile::{KafkaProvider, Profile};
use crate::redpanda::Cluster;
use crate::render;

/// Adds the steps inside the cluster. What runs there waits for `nodes`; what
/// is only written down does not.
pub(super) fn add(
    graph: &mut Graph<Cx>,
    profile: &Profile,
    manifests: Vec<Manifest>,
    access: &Handle<Access>,
    nodes: Option<StepId>,
) -> Result<(), StepsError> {
    let mut inside = Inside {
        graph,
        access: access.clone(),
        all: Vec::new(),
    };
    let keep: Vec<ObjectRef> = manifests.iter().map(ObjectRef::from).collect();
    let nodes: Vec<StepId> = nodes.into_iter().collect();

    let (leads, others): (Vec<_>, Vec<_>) = manifests.into_iter().partition(is_shared);
    let mut first = Vec::new();
    for manifest in leads {
        first.push(inside.object(manifest, Vec::new())?);
    }
    // Their own namespaces, and the app's, in which the operator gets rights.
    let placed: Vec<StepId> = nodes.iter().chain(&first).cloned().collect();
    let releases = releases(profile);
    let dapr = inside.release(releases.dapr, placed.clone())?;
    let strimzi = match releases.strimzi {
        Some(spec) => Some(inside.release(spec, placed.clone())?),
        None => None,
    };
    if let Some(spec) = releases.ingress {
        inside.release(spec, placed)?;
    }
    let outside = kafka::add(inside.graph, profile)?;
    if let Some(outside) = &outside {
        inside.all.push(outside.ready.clone());
    }
    for manifest in others {
        let mut after = first.clone();
        if manifest.group() == "dapr.io"
            && let Some(outside) = &outside
        {
            after.push(outside.ready.clone());
            after.push(dapr.clone());
            inside.dapr_object(manifest, after, outside.cluster.clone())?;
            continue;
        }
        match manifest.group() {
            "dapr.io" => after.push(dapr.clone()),
            KAFKA => after.extend(strimzi.clone()),
            _ => {}
        }
        inside.object(manifest, after)?;
    }
    let platform = inside.all.clone();
    let app = inside.release(releases.app, platform)?;
    let after = inside.all.clone();
    if let Some(door) = Door::of(profile) {
        graph.add(AddressStep {
            door,
            access: access.clone(),
            after: vec![app],
        })?;
    }
    graph.add(PruneStep {
        access: access.clone(),
        after,
        keep,
    })?;
    Ok(())
}

/// What the steps inside the cluster have in common.
struct Inside<'a> {
    graph: &'a mut Graph<Cx>,
    access: Handle<Access>,
    all: Vec<StepId>,
}

impl Inside<'_> {
    fn object(&mut self, manifest: Manifest, after: Vec<StepId>) -> Result<StepId, StepsError> {
        self.dapr_object(manifest, after, None)
    }

    /// The same for a resource that names the brokers of Redpanda Cloud.
    fn dapr_object(
        &mut self,
        manifest: Manifest,
        after: Vec<StepId>,
        brokers: Option<Handle<Cluster>>,
    ) -> Result<StepId, StepsError> {
        let step = ObjectStep {
            manifest,
            brokers,
            access: self.access.clone(),
            after,
        };
        let id = self.graph.add(step)?.id().clone();
        self.all.push(id.clone());
        Ok(id)
    }

    fn release(&mut self, spec: Spec, after: Vec<StepId>) -> Result<StepId, StepsError> {
        let step = ReleaseStep {
            spec,
            access: self.access.clone(),
            after,
        };
        let id = self.graph.add(step)?.id().clone();
        self.all.push(id.clone());
        Ok(id)
    }
}

/// A profile's releases.
pub(super) struct Specs {
    dapr: Spec,
    strimzi: Option<Spec>,
    ingress: Option<Spec>,
    app: Spec,
}

impl Specs {
    /// All of them in the order of installation.
    pub(super) fn all(self) -> impl Iterator<Item = Spec> {
        let platform = [Some(self.dapr), self.strimzi, self.ingress];
        platform.into_iter().flatten().chain([self.app])
    }
}

/// The releases that a profile asks for.
pub(super) fn releases(profile: &Profile) -> Specs {
    let strimzi = profile.kafka.provider == KafkaProvider::Strimzi;
    Specs {
        dapr: dapr_release(profile),
        strimzi: strimzi.then(|| strimzi_release(profile)),
        ingress: profile.ingress.install.then(|| ingress_release(profile)),
        app: app_release(profile),
    }
}

/// Dapr's control plane.
pub(super) fn dapr_release(profile: &Profile) -> Spec {
    Spec {
        id: "platform/dapr",
        title: "Dapr control plane".to_owned(),
        name: dapr::RELEASE.to_owned(),
        namespace: profile.dapr.namespace.to_string(),
        chart: ChartFrom::Source(profile.dapr.chart.clone()),
        values: dapr::values(profile),
        files: Vec::new(),
        edits: dapr::edits(profile),
        role: Role::Dapr,
    }
}

fn strimzi_release(profile: &Profile) -> Spec {
    Spec {
        id: "platform/strimzi",
        title: "Kafka operator".to_owned(),
        name: render::kafka::RELEASE.to_owned(),
        namespace: profile.kafka.strimzi.namespace.to_string(),
        chart: ChartFrom::Source(profile.kafka.strimzi.chart.clone()),
        values: render::kafka::operator_values(profile),
        files: Vec::new(),
        edits: Vec::new(),
        role: Role::Platform,
    }
}

fn ingress_release(profile: &Profile) -> Spec {
    Spec {
        id: "platform/ingress",
        title: "ingress controller".to_owned(),
        name: render::ingress::RELEASE.to_owned(),
        namespace: profile.ingress.namespace.to_string(),
        chart: ChartFrom::Source(profile.ingress.chart.clone()),
        values: render::ingress::values(profile),
        files: Vec::new(),
        edits: render::ingress::edits(),
        role: Role::Platform,
    }
}

fn app_release(profile: &Profile) -> Spec {
    let chart = match &profile.app.chart {
        Some(source) => ChartFrom::Source(source.clone()),
        None => ChartFrom::Own,
    };
    Spec {
        id: "app/release",
        title: "the app".to_owned(),
        name: profile.app.release.to_string(),
        namespace: profile.app.namespace.to_string(),
        values: serde_json::json!({}),
        chart,
        files: profile.app.values_files.clone(),
        edits: Vec::new(),
        role: Role::App,
    }
}

/// All objects of this phase, in the order of creation. Dapr's resources are
/// checked, the user's own among them, and what is doubtful about them comes
/// with the result.
pub(super) fn wanted(profile: &Profile) -> Result<(Vec<Manifest>, Findings), StepsError> {
    let inputs = backbone::inputs(profile, &[TOLD_LATER.to_owned()])?;
    let files: Result<Vec<_>, Finding> = profile.dapr.files.iter().map(|f| text_of(f)).collect();
    let files = files.map_err(Findings::from)?;
    let (dapr, warnings) = dapr::components::checked(profile, &inputs, &files)?;
    Ok((with_dapr(profile, &inputs, dapr)?, warnings))
}

/// The objects that a teardown has to look for. What is wrong with the user's
/// own files does not stop it: what came from them goes with the namespace.
pub(super) fn doomed(profile: &Profile) -> Result<Vec<Manifest>, StepsError> {
    let inputs = backbone::inputs(profile, &[TOLD_LATER.to_owned()])?;
    let dapr = render::dapr_resources(profile, &inputs)?;
    with_dapr(profile, &inputs, dapr)
}

fn text_of(path: &str) -> Result<(String, String), Finding> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok((path.to_owned(), text)),
        Err(error) => Err(Finding::error(format!("cannot read {path}: {error}"))
            .hint("`dapr.files` of the profile names it")),
    }
}

/// Stands for brokers that Redpanda Cloud has yet to tell.
const TOLD_LATER: &str = "(known after apply)";

fn with_dapr(
    profile: &Profile,
    inputs: &render::Inputs,
    dapr: Vec<Manifest>,
) -> Result<Vec<Manifest>, StepsError> {
    let mut all = render::manifests(profile, inputs)?;
    all.retain(|manifest| manifest.group() != "dapr.io");
    all.extend(render::namespaces(profile)?);
    all.extend(dapr);
    all.extend(render::kafka_resources(profile)?);
    all.extend(render::secrets(profile, inputs)?);
    all.sort_by_key(Manifest::rank);
    Ok(all)
}
