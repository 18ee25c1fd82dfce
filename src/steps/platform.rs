//! What the app needs inside the cluster: its namespace, its secrets, the
//! Dapr components. One step an object, applied server-side as field manager
//! `todoctl`, and a step that removes what is no longer wanted.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::StepsError;
use super::access::Access;
use super::charts::ChartFrom;
use super::cx::Cx;
use super::release::{ReleaseStep, Spec};
use crate::dapr;
use crate::k8s::{self, ApplyOptions, Kube, ObjectRef, Rules};
use crate::manifest::Manifest;
use crate::names::StepId;
use crate::plan::{
    Action, Change, Class, FieldChange, Graph, Handle, Inputs, Planned, Step, StepCx, StepError,
};
use crate::profile::{KafkaProvider, Profile};
use crate::render;

/// The kinds that this phase makes, and so may have to remove.
const KINDS: [(&str, &str); 11] = [
    ("dapr.io/v1alpha1", "Component"),
    ("dapr.io/v1alpha1", "Configuration"),
    ("dapr.io/v1alpha1", "Resiliency"),
    ("dapr.io/v2alpha1", "Subscription"),
    ("kafka.strimzi.io/v1", "Kafka"),
    ("kafka.strimzi.io/v1", "KafkaNodePool"),
    ("kafka.strimzi.io/v1", "KafkaTopic"),
    ("kafka.strimzi.io/v1", "KafkaUser"),
    ("rbac.authorization.k8s.io/v1", "Role"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"),
    ("v1", "Secret"),
];
/// Definitions are established within a second or two.
const ESTABLISHED_WITHIN: Duration = Duration::from_mins(2);
/// The group of Strimzi's resources: their operator says when they are ready.
const KAFKA: &str = "kafka.strimzi.io";
/// A broker's first start pulls half a gigabyte and formats a volume.
const KAFKA_READY_WITHIN: Duration = Duration::from_mins(15);
/// A namespace goes once everything in it has gone.
const GONE_WITHIN: Duration = Duration::from_mins(10);

/// Adds the steps inside the cluster. What runs there waits for `nodes`; what
/// is only written down does not.
pub(super) fn add(
    graph: &mut Graph<Cx>,
    profile: &Profile,
    access: &Handle<Access>,
    nodes: Option<StepId>,
) -> Result<(), StepsError> {
    let mut inside = Inside {
        graph,
        access: access.clone(),
        all: Vec::new(),
    };
    let manifests = wanted(profile)?;
    let keep: Vec<ObjectRef> = manifests.iter().map(ObjectRef::from).collect();
    let nodes: Vec<StepId> = nodes.into_iter().collect();

    let (leads, others): (Vec<_>, Vec<_>) = manifests.into_iter().partition(is_shared);
    let mut first = Vec::new();
    for manifest in leads {
        first.push(inside.object(manifest, Vec::new())?);
    }
    // The operator gets its rights in the app's namespace.
    let placed: Vec<StepId> = nodes.iter().chain(&first).cloned().collect();
    let releases = releases(profile)?;
    let dapr = inside.release(releases.dapr, nodes.clone())?;
    let strimzi = match releases.strimzi {
        Some(spec) => Some(inside.release(spec, placed)?),
        None => None,
    };
    if let Some(spec) = releases.ingress {
        inside.release(spec, nodes)?;
    }
    for manifest in others {
        let mut after = first.clone();
        match manifest.group() {
            "dapr.io" => after.push(dapr.clone()),
            KAFKA => after.extend(strimzi.clone()),
            _ => {}
        }
        inside.object(manifest, after)?;
    }
    let platform = inside.all.clone();
    inside.release(releases.app, platform)?;
    let after = inside.all.clone();
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
        let step = ObjectStep {
            manifest,
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
pub(super) fn releases(profile: &Profile) -> Result<Specs, render::RenderError> {
    let strimzi = profile.kafka.provider == KafkaProvider::Strimzi;
    Ok(Specs {
        dapr: dapr_release(profile),
        strimzi: strimzi.then(|| strimzi_release(profile)),
        ingress: profile.ingress.install.then(|| ingress_release(profile)),
        app: app_release(profile)?,
    })
}

fn dapr_release(profile: &Profile) -> Spec {
    Spec {
        id: "platform/dapr",
        title: "Dapr control plane".to_owned(),
        name: dapr::RELEASE.to_owned(),
        namespace: profile.dapr.namespace.to_string(),
        chart: ChartFrom::Source(profile.dapr.chart.clone()),
        values: dapr::values(profile),
        files: Vec::new(),
        edits: dapr::edits(profile),
        shared: true,
        reverts: false,
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
        shared: true,
        reverts: false,
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
        shared: true,
        reverts: false,
    }
}

fn app_release(profile: &Profile) -> Result<Spec, render::RenderError> {
    let inputs = render::Inputs::default();
    let chart = match &profile.app.chart {
        Some(source) => ChartFrom::Source(source.clone()),
        None => ChartFrom::Own,
    };
    Ok(Spec {
        id: "app/release",
        title: "the app".to_owned(),
        name: profile.app.release.to_string(),
        namespace: profile.app.namespace.to_string(),
        values: match &chart {
            ChartFrom::Own => render::app_values(profile, &inputs)?,
            ChartFrom::Source(_) => serde_json::json!({}),
        },
        chart,
        files: profile.app.values_files.clone(),
        edits: Vec::new(),
        shared: false,
        reverts: true,
    })
}

/// All objects of this phase, in the order of creation.
pub(super) fn wanted(profile: &Profile) -> Result<Vec<Manifest>, render::RenderError> {
    let inputs = render::Inputs::default();
    let mut all = render::manifests(profile, &inputs)?;
    all.retain(|manifest| manifest.group() != "dapr.io");
    all.extend(render::dapr_resources(profile, &inputs)?);
    all.extend(render::kafka_resources(profile)?);
    all.extend(render::secrets(profile, &inputs)?);
    all.sort_by_key(Manifest::rank);
    Ok(all)
}

/// An object in the cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ObjectLive {
    /// What it is: `Component todo/statestore`.
    object: String,
    /// Whether this deployment made it, and may delete it.
    #[serde(default = "yes")]
    ours: bool,
    /// In which fields it differs from what it should be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    differs: Vec<FieldChange>,
}

fn yes() -> bool {
    true
}

fn planned(change: k8s::FieldChange) -> FieldChange {
    FieldChange {
        path: change.path,
        before: change.before.map(Planned::Value),
        after: change.after.map(Planned::Value),
    }
}

/// Whether several deployments may use an object.
fn is_shared(manifest: &Manifest) -> bool {
    matches!(manifest.kind(), "Namespace" | "CustomResourceDefinition")
}

/// Applies one object.
struct ObjectStep {
    manifest: Manifest,
    access: Handle<Access>,
    after: Vec<StepId>,
}

impl ObjectStep {
    /// Whether several deployments may use the object.
    fn is_shared(&self) -> bool {
        is_shared(&self.manifest)
    }

    async fn kube(&self, cx: &StepCx<Cx>) -> Result<Kube, StepError> {
        let access = cx.input(&self.access)?;
        cx.cx.cluster.get(cx, &access).await
    }
}

impl Step<Cx> for ObjectStep {
    type Live = ObjectLive;

    #[expect(
        clippy::expect_used,
        reason = "Kubernetes names obey the rule of step names"
    )]
    fn id(&self) -> StepId {
        let kind = match self.manifest.kind() {
            "CustomResourceDefinition" => "crd".to_owned(),
            kind => kind.to_lowercase(),
        };
        let name = self.manifest.name().replace('.', "-");
        format!("platform/{kind}-{name}")
            .parse()
            .expect("invariant: object names are valid names")
    }

    fn title(&self) -> String {
        self.manifest.to_string()
    }

    fn needs(&self) -> Vec<StepId> {
        let mut needs = vec![self.access.id().clone()];
        needs.extend(self.after.iter().cloned());
        needs
    }

    fn system(&self) -> &'static str {
        "kubernetes"
    }

    fn quiet_limit(&self) -> Duration {
        KAFKA_READY_WITHIN + Duration::from_mins(1)
    }

    fn keeps(&self, live: &ObjectLive) -> bool {
        !live.ours
    }

    async fn inspect(&self, cx: &StepCx<Cx>) -> Result<Option<ObjectLive>, StepError> {
        let Some(access) = cx.known(&self.access) else {
            return Ok(None);
        };
        let compared = async {
            let kube = cx.cx.cluster.get(cx, &access).await?;
            Ok::<_, StepError>(kube.compare(&self.manifest).await?)
        };
        let compared = match compared.await {
            // What a cluster holds that cannot be reached goes with it.
            Err(error) if cx.cx.teardown && error.class() == Class::Unreachable => None,
            other => other?,
        };
        let Some(compared) = compared else {
            return Ok(None);
        };
        let ours = compared.owner.as_deref() == Some(cx.cx.deployment.as_str());
        match compared.owner {
            Some(other) if !ours && !self.is_shared() => Err(StepError::new(
                Class::Conflict,
                format!("{} belongs to deployment `{other}`", self.manifest),
            )
            .with_hint("choose another `app.namespace` or `deployment` in the profile")),
            // A namespace or a definition that was there before is used as it
            // is, and stays when the deployment goes.
            _ if !ours && self.is_shared() => Ok(Some(ObjectLive {
                object: self.manifest.to_string(),
                ours,
                differs: Vec::new(),
            })),
            _ => Ok(Some(ObjectLive {
                object: self.manifest.to_string(),
                ours: true,
                differs: compared.changes.into_iter().map(planned).collect(),
            })),
        }
    }

    fn plan(&self, _: &Cx, _: &Inputs, live: Option<&ObjectLive>) -> Change {
        match live {
            None => Change::create(&summary(&self.manifest)),
            Some(live) if live.differs.is_empty() => Change::none(),
            Some(live) => Change {
                action: Action::Update,
                fields: live.differs.clone(),
                reason: None,
            },
        }
    }

    async fn apply(&self, cx: &StepCx<Cx>, _: Option<ObjectLive>) -> Result<ObjectLive, StepError> {
        let kube = self.kube(cx).await?;
        cx.progress("applying it");
        kube.apply(&self.manifest, ApplyOptions::default()).await?;
        if self.manifest.kind() == "CustomResourceDefinition" {
            cx.progress("waiting until the cluster serves it");
            kube.wait_for_crd(self.manifest.name(), ESTABLISHED_WITHIN)
                .await?;
        }
        if self.manifest.group() == KAFKA {
            let report = cx.report.clone();
            kube.wait_ready(
                &[ObjectRef::from(&self.manifest)],
                &k8s::WaitOptions {
                    limit: KAFKA_READY_WITHIN,
                    rules: Rules {
                        // Node pools say nothing of themselves.
                        says_so: self.manifest.kind() != "KafkaNodePool",
                        ..Rules::default()
                    },
                },
                &move |text: &str| report(text, None),
            )
            .await?;
        }
        Ok(ObjectLive {
            object: self.manifest.to_string(),
            ours: true,
            differs: Vec::new(),
        })
    }

    async fn destroy(&self, cx: &StepCx<Cx>, _: ObjectLive) -> Result<(), StepError> {
        let kube = self.kube(cx).await?;
        if self.manifest.kind() == "CustomResourceDefinition"
            && !kube
                .list("dapr.io/v1alpha1", "Component", None, "")
                .await?
                .is_empty()
        {
            // Deleting the definition would delete the components of others.
            return Ok(());
        }
        let object = ObjectRef::from(&self.manifest);
        kube.delete_owned(&object, cx.cx.deployment.as_str())
            .await?;
        if matches!(
            self.manifest.kind(),
            "Namespace" | "CustomResourceDefinition"
        ) {
            cx.progress("waiting until all that is in it is gone");
            kube.wait_until_gone(&object, GONE_WITHIN).await?;
        }
        Ok(())
    }
}

/// What a plan shows of a new object: all of it but what every object has, and
/// no schema.
fn summary(manifest: &Manifest) -> serde_json::Value {
    let mut body = manifest.printable();
    if let Some(fields) = body.as_object_mut() {
        fields.retain(|key, _| !matches!(key.as_str(), "apiVersion" | "kind" | "metadata"));
        if manifest.kind() == "CustomResourceDefinition" {
            fields.clear();
        }
    }
    body
}

/// Objects that carry the deployment's label and that nothing asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Stale {
    objects: Vec<String>,
}

/// Removes what left the profile.
struct PruneStep {
    access: Handle<Access>,
    after: Vec<StepId>,
    keep: Vec<ObjectRef>,
}

impl PruneStep {
    async fn stale(&self, cx: &StepCx<Cx>) -> Result<Vec<ObjectRef>, StepError> {
        let access = cx.input(&self.access)?;
        let kube = cx.cx.cluster.get(cx, &access).await?;
        let owned = kube.list_owned(&KINDS, cx.cx.deployment.as_str()).await?;
        let all = owned.iter().map(ObjectRef::from);
        Ok(all.filter(|object| !self.keep.contains(object)).collect())
    }
}

impl Step<Cx> for PruneStep {
    type Live = Stale;

    fn id(&self) -> StepId {
        super::owned::tags_step("platform/prune")
    }

    fn title(&self) -> String {
        "objects that are no longer wanted".to_owned()
    }

    fn needs(&self) -> Vec<StepId> {
        let mut needs = vec![self.access.id().clone()];
        needs.extend(self.after.iter().cloned());
        needs
    }

    fn system(&self) -> &'static str {
        "kubernetes"
    }

    async fn inspect(&self, cx: &StepCx<Cx>) -> Result<Option<Stale>, StepError> {
        // A teardown removes the namespace with all that is in it.
        if cx.cx.teardown || cx.known(&self.access).is_none() {
            return Ok(None);
        }
        let stale = self.stale(cx).await?;
        let objects: Vec<_> = stale.iter().map(ToString::to_string).collect();
        Ok((!objects.is_empty()).then_some(Stale { objects }))
    }

    fn plan(&self, _: &Cx, _: &Inputs, live: Option<&Stale>) -> Change {
        match live {
            Some(stale) => Change::delete(format!(
                "the profile no longer asks for {}",
                stale.objects.join(", ")
            )),
            None => Change::none(),
        }
    }

    async fn apply(&self, _: &StepCx<Cx>, live: Option<Stale>) -> Result<Stale, StepError> {
        Ok(live.unwrap_or(Stale {
            objects: Vec::new(),
        }))
    }

    async fn destroy(&self, cx: &StepCx<Cx>, _: Stale) -> Result<(), StepError> {
        let access = cx.input(&self.access)?;
        let kube = cx.cx.cluster.get(cx, &access).await?;
        for object in self.stale(cx).await? {
            cx.progress(&format!("deleting {object}"));
            kube.delete_owned(&object, cx.cx.deployment.as_str())
                .await?;
        }
        Ok(())
    }
}
