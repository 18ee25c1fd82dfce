//! The objects of the platform, one step each: applied server-side as field
//! manager `todoctl`, and a last step that removes what is no longer wanted.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::access::{self, Access};
use super::cx::Cx;
use crate::backbone;
use crate::k8s::{self, ApplyOptions, Compared, Kube, ObjectRef, Rules};
use crate::manifest::{MANAGER, Manifest};
use crate::names::StepId;
use crate::plan::{
    Action, Change, Class, FieldChange, Handle, Inputs, Planned, Step, StepCx, StepError,
};
use crate::redpanda::Cluster;
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
pub(super) const KAFKA: &str = "kafka.strimzi.io";
/// A broker's first start pulls half a gigabyte and formats a volume.
const KAFKA_READY_WITHIN: Duration = Duration::from_mins(15);
/// A namespace goes once everything in it has gone.
const GONE_WITHIN: Duration = Duration::from_mins(10);

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
    /// Fields that are left to other managers, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    left: Vec<String>,
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
pub(super) fn is_shared(manifest: &Manifest) -> bool {
    matches!(manifest.kind(), "Namespace" | "CustomResourceDefinition")
}

/// Applies one object.
pub(super) struct ObjectStep {
    pub(super) manifest: Manifest,
    /// Redpanda's cluster, when the object may name its brokers.
    pub(super) brokers: Option<Handle<Cluster>>,
    pub(super) access: Handle<Access>,
    pub(super) after: Vec<StepId>,
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

    /// The object as it is against what it should be. While planning, it is
    /// among what all steps have listed, or else it may be somebody else's.
    async fn compare(
        &self,
        cx: &StepCx<Cx>,
        kube: &Kube,
        wanted: &Manifest,
    ) -> Result<Option<Compared>, StepError> {
        let kind = (self.manifest.api_version(), self.manifest.kind());
        let cluster = &cx.cx.cluster;
        if !cx.cx.teardown && !cluster.reads_anew() && KINDS.contains(&kind) {
            let deployment = cx.cx.deployment.as_str();
            let owned = cluster.owned(kube, &KINDS, deployment).await?;
            let object = ObjectRef::from(wanted);
            let live = owned.iter().find(|live| ObjectRef::from(*live) == object);
            if let Some(live) = live {
                return Ok(Some(k8s::compared(live, wanted)));
            }
        }
        Ok(kube.compare(wanted).await?)
    }

    /// What applying would change once the fields that others have set are
    /// left to them, and which these are. The server knows; it is asked only
    /// where something differs.
    async fn without_others(
        &self,
        cx: &StepCx<Cx>,
        wanted: &Manifest,
        changes: Vec<k8s::FieldChange>,
    ) -> Result<(Vec<k8s::FieldChange>, Vec<String>), StepError> {
        if changes.is_empty() || cx.cx.teardown || cx.cx.forces() {
            return Ok((changes, Vec::new()));
        }
        let kube = self.kube(cx).await?;
        let trial = ApplyOptions {
            force: false,
            dry_run: true,
        };
        let after = kube.apply_yielding(wanted.clone(), MANAGER, trial).await?;
        if after.left.is_empty() {
            return Ok((changes, Vec::new()));
        }
        let live = kube.live(&self.manifest).await?;
        let changes = live.map_or_else(Vec::new, |live| k8s::diff::between(&live, &after.object));
        let left = after.left.iter().map(|l| l.told(&self.manifest)).collect();
        Ok((changes, left))
    }

    /// The object as it should be, with everything in it that is known by
    /// now.
    fn manifest(&self, cx: &Cx, inputs: &Inputs) -> Result<Manifest, StepError> {
        let told = self.brokers.as_ref().and_then(|handle| inputs.get(handle));
        let Some(cluster) = told.filter(|cluster: &Cluster| !cluster.brokers.is_empty()) else {
            return Ok(self.manifest.clone());
        };
        let known = backbone::inputs(&cx.profile, &cluster.brokers)?;
        let all = render::dapr_resources(&cx.profile, &known);
        let all = all.map_err(|error| {
            StepError::bug(format!("{} cannot be rendered", self.manifest)).caused_by(error)
        })?;
        let wanted = ObjectRef::from(&self.manifest);
        let mut all = all.into_iter();
        let found = all.find(|manifest| ObjectRef::from(manifest) == wanted);
        Ok(found.unwrap_or_else(|| self.manifest.clone()))
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
        let mut needs = access::needs(&self.access, &self.after);
        needs.extend(self.brokers.iter().map(|handle| handle.id().clone()));
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
        let Some(way) = cx.known(&self.access) else {
            return Ok(None);
        };
        let manifest = self.manifest(&cx.cx, &cx.inputs)?;
        let compared = async {
            let kube = cx.cx.cluster.get(cx, &way).await?;
            self.compare(cx, &kube, &manifest).await
        };
        let Some(compared) = access::found(cx, compared.await)? else {
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
                left: Vec::new(),
            })),
            _ => {
                let changes = compared.changes;
                let (changes, left) = self.without_others(cx, &manifest, changes).await?;
                Ok(Some(ObjectLive {
                    object: self.manifest.to_string(),
                    ours: true,
                    differs: changes.into_iter().map(planned).collect(),
                    left,
                }))
            }
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
        let manifest = self.manifest(&cx.cx, &cx.inputs)?;
        let options = ApplyOptions {
            force: cx.cx.forces(),
            dry_run: false,
        };
        let applied = kube.apply_yielding(manifest, MANAGER, options).await?;
        let left: Vec<String> = applied
            .left
            .iter()
            .map(|l| l.told(&self.manifest))
            .collect();
        for left in &left {
            cx.progress(left);
        }
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
            left,
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
pub(super) struct PruneStep {
    pub(super) access: Handle<Access>,
    pub(super) after: Vec<StepId>,
    pub(super) keep: Vec<ObjectRef>,
}

impl PruneStep {
    async fn stale(&self, cx: &StepCx<Cx>) -> Result<Vec<ObjectRef>, StepError> {
        let access = cx.input(&self.access)?;
        let kube = cx.cx.cluster.get(cx, &access).await?;
        let deployment = cx.cx.deployment.as_str();
        let owned = cx.cx.cluster.owned(&kube, &KINDS, deployment).await?;
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
        access::needs(&self.access, &self.after)
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
