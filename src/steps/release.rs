//! Helm releases as steps: Dapr, the ingress controller, Kafka's operator, and
//! the app itself.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::access::{self, Access};
use super::charts::{self, ChartFrom};
use super::cx::Cx;
use super::owned::tags_step;
use super::platform;
use super::scale::{self, Scaled, Wish};
use crate::backbone;
use crate::dapr::{
    self,
    upgrade::{self, Upgrade},
};
use crate::helm::chart::Chart;
use crate::helm::value;
use crate::helm::values::{Layers, from_json};
use crate::k8s::{Kube, ObjectRef};
use crate::manifest::Edit;
use crate::names::StepId;
use crate::plan::{
    Action, Change, Class, FieldChange, Handle, Inputs, Planned, Step, StepCx, StepError,
};
use crate::profile::Profile;
use crate::release::{
    Options, Preview, Record, ReleaseError, Releases, Request, Status, Uninstall, Waiting,
};
use crate::render;

/// The label of a record that says whose release it is.
const OWNER: &str = "todoctl";
/// A release may wait as long for its objects.
const READY_WITHIN: Duration = Duration::from_mins(10);
/// A rollback has its own time.
const BACK_WITHIN: Duration = Duration::from_mins(5);

/// What a step's release is made of.
pub(super) struct Spec {
    /// The step's identity, `phase/name`.
    pub(super) id: &'static str,
    /// What it is called for people.
    pub(super) title: String,
    /// Name of the release.
    pub(super) name: String,
    /// Its namespace.
    pub(super) namespace: String,
    /// Its chart.
    pub(super) chart: ChartFrom,
    /// The values that the profile comes to.
    pub(super) values: Value,
    /// Files of values that the user adds.
    pub(super) files: Vec<String>,
    /// What is changed after rendering.
    pub(super) edits: Vec<Edit>,
    /// What it is to the deployment.
    pub(super) role: Role,
}

/// What a release is to a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// A part of the platform. Several deployments may use it: one that is
    /// there already is used as it is, and stays.
    Platform,
    /// Dapr: a part of the platform that cannot go from any version to any
    /// other.
    Dapr,
    /// The app itself: values and changes are those of the services, with the
    /// numbers of pods that hold. A failure goes back to the revision before.
    App,
}

/// What a revision depends on besides the profile; nothing for the first.
#[derive(Default)]
pub(super) struct Now<'a> {
    /// The revisions so far, oldest first.
    pub(super) history: &'a [Record],
    /// The number of pods that is to be the only change.
    pub(super) wish: Option<&'a Wish>,
    /// Whether fields of others are taken over.
    pub(super) forces: bool,
    /// The version of Dapr that new sidecars have, if that is known.
    pub(super) dapr: Option<String>,
}

/// What a revision is made of besides its chart.
struct Content {
    values: Value,
    edits: Vec<Edit>,
    scaled: Vec<Scaled>,
}

impl Spec {
    /// What the release should be.
    pub(super) fn request(
        &self,
        chart: Chart,
        profile: &Profile,
        now: &Now<'_>,
    ) -> Result<Request, StepError> {
        let content = self.content(profile, now)?;
        let layers = Layers {
            files: self.files.iter().map(Into::into).collect(),
            documents: match from_json(&content.values) {
                value::Value::Map(map) => vec![map],
                _ => Vec::new(),
            },
            ..Layers::default()
        };
        let mut labels = match self.role {
            Role::App => scale::labels(&content.scaled, profile),
            _ => std::collections::BTreeMap::new(),
        };
        labels.insert(OWNER.to_owned(), profile.deployment.to_string());
        Ok(Request {
            name: self.name.clone(),
            chart,
            values: layers,
            options: Options {
                wait: Some(Waiting::within(READY_WITHIN)),
                rollback_on_failure: (self.role == Role::App).then_some(BACK_WITHIN),
                force_conflicts: now.forces,
                create_namespace: true,
                // The platform's controllers and their kinds belong together.
                update_crds: self.role != Role::App,
                labels,
                edits: content.edits,
                ..Options::default()
            },
        })
    }

    /// Values, changes and numbers of pods.
    fn content(&self, profile: &Profile, now: &Now<'_>) -> Result<Content, StepError> {
        if self.role != Role::App {
            return Ok(Content {
                values: self.values.clone(),
                edits: self.edits.clone(),
                scaled: Vec::new(),
            });
        }
        let scaled = scale::scaled(now.history, profile);
        let Some(wish) = now.wish else {
            return self.of_services(&scale::applied(profile, &scaled), scaled, now);
        };
        // Everything else stays as it is deployed, whatever the profile says.
        let Some(deployed) = deployed(now.history) else {
            return Err(StepError::new(Class::Invalid, "the app is not deployed")
                .with_hint("deploy it with `todoctl up`"));
        };
        let mut profile = profile.clone();
        render::overlay::adopt_images(&mut profile, &deployed.objects());
        let scaled = scale::with(scaled, wish, &profile);
        let content = self.of_services(&scale::applied(&profile, &scaled), scaled, now)?;
        let values = scale::revalued(deployed.config(), wish);
        Ok(Content { values, ..content })
    }

    fn of_services(
        &self,
        profile: &Profile,
        scaled: Vec<Scaled>,
        now: &Now<'_>,
    ) -> Result<Content, StepError> {
        let by_hand = scaled.iter().map(|s| (s.service.as_str(), s.replicas));
        let (values, edits) = match &self.chart {
            ChartFrom::Own => {
                // Of the brokers only their port matters, which is Kafka's usual one there.
                let inputs = render::Inputs {
                    dapr_version: now.dapr.clone(),
                    ..backbone::inputs(profile, &["any:9092".to_owned()])?
                };
                let values = render::app_values(profile, &inputs);
                let cannot = |error| {
                    StepError::new(Class::Invalid, "cannot work out the app's values")
                        .caused_by(error)
                };
                (values.map_err(cannot)?, Vec::new())
            }
            ChartFrom::Source(_) => (
                serde_json::json!({}),
                render::overlay::edits(profile, &by_hand.collect(), now.dapr.as_deref()),
            ),
        };
        Ok(Content {
            values,
            edits,
            scaled,
        })
    }
}

/// A release as it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseLive {
    /// Name of the release.
    pub release: String,
    /// Its namespace.
    pub namespace: String,
    /// The newest revision.
    pub revision: u64,
    /// Name and version of its chart.
    pub chart: String,
    /// What has become of the newest revision.
    pub status: String,
    /// Whether this deployment made it.
    ours: bool,
    /// In what it differs from what it should be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    differs: Vec<FieldChange>,
    /// Fields that are left to other managers, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    left: Vec<String>,
    /// What has another number of pods than the profile says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scaled: Vec<Scaled>,
}

/// Installs and upgrades a release.
pub(super) struct ReleaseStep {
    pub(super) spec: Spec,
    pub(super) access: Handle<Access>,
    pub(super) after: Vec<StepId>,
}

impl ReleaseStep {
    async fn releases(&self, cx: &StepCx<Cx>) -> Result<(Kube, Releases), StepError> {
        let access = cx.input(&self.access)?;
        let kube = cx.cx.cluster.get(cx, &access).await?;
        let releases = Releases::new(kube.clone(), &self.spec.namespace);
        Ok((kube, releases))
    }

    async fn request(&self, cx: &StepCx<Cx>, history: &[Record]) -> Result<Request, StepError> {
        let chart = load(&self.spec, cx).await?;
        let version = chart.metadata.version.clone();
        let dapr = match self.spec.role {
            Role::App => Some(self.sidecars(cx).await?),
            _ => None,
        };
        let now = Now {
            history,
            wish: cx.cx.wished(),
            forces: cx.cx.forces(),
            dapr,
        };
        let mut request = self.spec.request(chart, &cx.cx.profile, &now)?;
        if self.spec.role == Role::Dapr
            && let Some(deployed) = deployed(history)
        {
            let way = self.way(cx, deployed.chart_version(), &version).await?;
            request.options.update_crds = way.definitions;
        }
        Ok(request)
    }

    /// The version of Dapr that new sidecars will have: that of the release, if
    /// it stays as it is, or else of the chart that it will be of.
    async fn sidecars(&self, cx: &StepCx<Cx>) -> Result<String, StepError> {
        let spec = platform::dapr_release(&cx.cx.profile);
        let (kube, _) = self.releases(cx).await?;
        let history = Releases::new(kube, &spec.namespace);
        let history = history.history(&spec.name).await?;
        let stays = |record: &&Record| cx.cx.wished().is_some() || !is_ours(record, &cx.cx);
        match history.last().filter(stays) {
            Some(record) => Ok(record.chart_version().to_owned()),
            None => Ok(load(&spec, cx).await?.metadata.version.clone()),
        }
    }

    /// How Dapr gets from one version to another, if it can.
    async fn way(&self, cx: &StepCx<Cx>, from: &str, to: &str) -> Result<Upgrade, StepError> {
        let mut modern = false;
        if from != to {
            let (kube, _) = self.releases(cx).await?;
            let bundle = &dapr::TRUST_BUNDLE;
            let bundle = ObjectRef::namespaced("v1", "Secret", &self.spec.namespace, bundle);
            let bundle = kube.get(&bundle).await?;
            modern = bundle.is_some_and(|bundle| upgrade::is_modern(&bundle));
        }
        upgrade::path(from, to, modern).map_err(|error| {
            let hint = error.hint();
            StepError::new(Class::Invalid, error.to_string()).with_hint(hint)
        })
    }

    fn live(&self, cx: &Cx, record: &Record) -> ReleaseLive {
        ReleaseLive {
            release: self.spec.name.clone(),
            namespace: self.spec.namespace.clone(),
            revision: record.revision(),
            chart: format!("{}-{}", record.chart_name(), record.chart_version()),
            status: record.status().to_string(),
            ours: is_ours(record, cx),
            differs: Vec::new(),
            left: Vec::new(),
            scaled: match self.spec.role {
                Role::App => scale::scaled(std::slice::from_ref(record), &cx.profile),
                _ => Vec::new(),
            },
        }
    }

    /// What differs between a release that is deployed and what it should be.
    async fn differences(
        &self,
        releases: &Releases,
        request: &Request,
        history: &[Record],
    ) -> Result<(Vec<FieldChange>, Vec<String>), StepError> {
        let manifest = match releases.preview(request, history).await? {
            Preview::Same { left } => return Ok((Vec::new(), left)),
            Preview::Changes(manifest) => manifest,
        };
        let deployed = deployed(history);
        let before = deployed.map_or("", |record| record.manifest());
        let mut changes: Vec<FieldChange> = crate::release::differences(before, &manifest)
            .into_iter()
            .map(|change| FieldChange {
                path: change.path,
                before: change.before.map(Planned::Value),
                after: change.after.map(Planned::Value),
            })
            .collect();
        if let Some(change) = chart_change(deployed, &request.chart) {
            changes.insert(0, change);
        }
        if changes.is_empty() {
            let last = history.last().map_or("absent", |r| r.status().as_str());
            if let Some(change) = label_change(deployed, request) {
                return Ok((vec![change], Vec::new()));
            }
            let live = if last == "deployed" {
                "changed by somebody else"
            } else {
                last
            };
            changes.push(FieldChange {
                path: "release".to_owned(),
                before: Some(Planned::Value(live.into())),
                after: Some(Planned::Value("deployed".into())),
            });
        }
        Ok((changes, Vec::new()))
    }
}

/// The chart of a release.
async fn load(spec: &Spec, cx: &StepCx<Cx>) -> Result<Chart, StepError> {
    let Cx {
        profile, indexes, ..
    } = &*cx.cx;
    charts::load(&spec.chart, profile, indexes, &cx.clock).await
}

/// The revision that is deployed.
fn deployed(history: &[Record]) -> Option<&Record> {
    let mut newest_first = history.iter().rev();
    newest_first.find(|record| record.status() == Status::Deployed)
}

/// Whether this deployment made a revision.
fn is_ours(record: &Record, cx: &Cx) -> bool {
    record.label(OWNER) == Some(cx.deployment.as_str())
}

/// Passes progress on.
fn tell(cx: &StepCx<Cx>) -> impl Fn(&str) + Send + Sync + use<> {
    let report = cx.report.clone();
    move |text| report(text, None)
}

fn chart_change(deployed: Option<&Record>, chart: &Chart) -> Option<FieldChange> {
    let wanted = format!("{}-{}", chart.name(), chart.metadata.version);
    let had = deployed.map(|r| format!("{}-{}", r.chart_name(), r.chart_version()));
    (had.as_ref() != Some(&wanted)).then(|| FieldChange {
        path: "chart".to_owned(),
        before: had.map(|had| Planned::Value(had.into())),
        after: Some(Planned::Value(wanted.into())),
    })
}

/// A number that was set by hand and that the profile has overruled with the
/// very same one.
fn label_change(deployed: Option<&Record>, request: &Request) -> Option<FieldChange> {
    let deployed = deployed?;
    let mut wanted = request.options.labels.iter();
    let (name, value) =
        wanted.find(|(name, value)| deployed.label(name).unwrap_or("null") != value.as_str())?;
    let told = |value: &str| (value != "null").then(|| Planned::Value(value.into()));
    Some(FieldChange {
        path: format!("labels.{name}"),
        before: deployed.label(name).and_then(told),
        after: told(value),
    })
}

impl Step<Cx> for ReleaseStep {
    type Live = ReleaseLive;

    fn id(&self) -> StepId {
        tags_step(self.spec.id)
    }

    fn title(&self) -> String {
        self.spec.title.clone()
    }

    fn needs(&self) -> Vec<StepId> {
        access::needs(&self.access, &self.after)
    }

    fn system(&self) -> &'static str {
        "kubernetes"
    }

    fn quiet_limit(&self) -> Duration {
        READY_WITHIN + Duration::from_mins(1)
    }

    fn keeps(&self, live: &ReleaseLive) -> bool {
        !live.ours
    }

    async fn inspect(&self, cx: &StepCx<Cx>) -> Result<Option<ReleaseLive>, StepError> {
        if cx.known(&self.access).is_none() {
            return Ok(None);
        }
        let look = async {
            let (_, releases) = self.releases(cx).await?;
            let history = releases.history(&self.spec.name).await?;
            Ok(Some((releases, history)))
        };
        let Some((releases, history)) = access::found(cx, look.await)? else {
            return Ok(None);
        };
        let Some(last) = history.last() else {
            return Ok(None);
        };
        let mut live = self.live(&cx.cx, last);
        if !live.ours && self.spec.role == Role::App {
            let text = format!(
                "release {} of namespace {} is not of deployment `{}`",
                live.release, live.namespace, cx.cx.deployment
            );
            return Err(StepError::new(Class::Conflict, text)
                .with_hint("choose another `app.release` or `app.namespace` in the profile"));
        }
        if live.ours && !cx.cx.teardown {
            let request = self.request(cx, &history).await?;
            let compared = self.differences(&releases, &request, &history);
            (live.differs, live.left) = compared.await?;
        }
        Ok(Some(live))
    }

    fn plan(&self, _: &Cx, _: &Inputs, live: Option<&ReleaseLive>) -> Change {
        match live {
            None => Change::create(&serde_json::json!({
                "release": self.spec.name,
                "namespace": self.spec.namespace,
                "chart": self.spec.chart.to_string(),
            })),
            Some(live) if live.differs.is_empty() => Change::none(),
            Some(live) => Change {
                action: Action::Update,
                fields: live.differs.clone(),
                reason: Some(format!(
                    "revision {} becomes {}",
                    live.revision,
                    live.revision + 1
                )),
            },
        }
    }

    async fn apply(
        &self,
        cx: &StepCx<Cx>,
        _: Option<ReleaseLive>,
    ) -> Result<ReleaseLive, StepError> {
        let (_, releases) = self.releases(cx).await?;
        let history = releases.history(&self.spec.name).await?;
        let request = self.request(cx, &history).await?;
        let outcome = releases.install_or_upgrade(&request, &tell(cx)).await?;
        let history = releases.history(&self.spec.name).await?;
        let record = history.iter().find(|r| r.revision() == outcome.revision);
        let record = record.ok_or_else(|| StepError::bug("a release has no record"))?;
        Ok(self.live(&cx.cx, record))
    }

    async fn destroy(&self, cx: &StepCx<Cx>, _: ReleaseLive) -> Result<(), StepError> {
        let (_, releases) = self.releases(cx).await?;
        releases
            .uninstall(&self.spec.name, &Uninstall::default(), &tell(cx))
            .await?;
        Ok(())
    }
}

impl From<ReleaseError> for StepError {
    fn from(error: ReleaseError) -> Self {
        let class = match error.kube() {
            Some(kube) => super::fault::class_of(kube),
            None => match &error {
                ReleaseError::NotOwned { .. } | ReleaseError::Raced { .. } => Class::Conflict,
                ReleaseError::Task => Class::Bug,
                _ => Class::Invalid,
            },
        };
        let hint = error.hint();
        let step = Self::new(class, error.to_string());
        let step = match hint {
            Some(hint) => step.with_hint(hint),
            None => step,
        };
        match std::error::Error::source(&error) {
            Some(source) => step.caused_by(source.to_string()),
            None => step,
        }
    }
}
