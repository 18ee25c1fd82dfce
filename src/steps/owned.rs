//! The step of every object in a virtual network: they are found, created,
//! changed and deleted alike, and differ only in what they say.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::cx::Cx;
use super::{compartment::CompartmentLive, fault, tags};
use crate::clock::{Look, wait_until};
use crate::names::StepId;
use crate::oci::{self, NetworkCreate, NetworkResource};
use crate::plan::{Action, Change, Class, Handle, Inputs, Step, StepCx, StepError};

/// Objects of a network are usable within seconds; this is patience.
const USABLE_WITHIN: Duration = Duration::from_mins(5);

/// An object of a network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Live {
    /// Its OCID.
    pub id: String,
    /// Its display name.
    pub name: String,
    /// What the profile decides of it, as it is.
    pub spec: Value,
    /// Other objects that came with it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub came_with: BTreeMap<String, String>,
}

/// What an object should say.
pub(super) struct Wish {
    /// The fields that the profile decides.
    pub(super) spec: Value,
    /// Those of them that other steps have yet to find out.
    pub(super) unknown: Vec<&'static str>,
}

/// A kind of object in a network.
pub(super) trait Kind: Send + Sync + 'static {
    /// The object in Oracle's API.
    type Resource: NetworkResource + Clone + 'static;
    /// The body that makes one.
    type Create: NetworkCreate<Made = Self::Resource>;

    /// The step's identity.
    fn step(&self) -> &'static str;
    /// What it is, for people.
    fn title(&self) -> &'static str;
    /// The last part of its display name.
    fn suffix(&self) -> &'static str;
    /// The steps that it needs besides the compartment.
    fn needs(&self) -> Vec<StepId>;
    /// Whether the profile asks for one.
    fn wanted(&self) -> bool {
        true
    }
    /// Fields of the spec that Oracle does not let change.
    fn fixed(&self) -> &'static [&'static str] {
        &[]
    }
    /// What it should say.
    fn wish(&self, cx: &Cx, inputs: &Inputs) -> Wish;
    /// What it says.
    fn spec_of(&self, resource: &Self::Resource) -> Value;
    /// What came with it.
    fn came_with(&self, _: &Self::Resource) -> BTreeMap<String, String> {
        BTreeMap::new()
    }
    /// The body that makes it.
    fn create(
        &self,
        cx: &StepCx<Cx>,
        common: Common,
    ) -> impl Future<Output = Result<Self::Create, StepError>>;
    /// The body that changes it to what it should say.
    fn update(
        &self,
        cx: &StepCx<Cx>,
        resource: &Self::Resource,
    ) -> Result<<Self::Resource as NetworkResource>::Update, StepError>;
    /// Looks at what holds up its deletion, for the user.
    fn holders(&self, _: &StepCx<Cx>, _: &str) -> impl Future<Output = Vec<String>> {
        std::future::ready(Vec::new())
    }
}

/// What all bodies that make something have in common.
pub(super) struct Common {
    pub(super) compartment: String,
    pub(super) name: String,
    pub(super) tags: oci::Tags,
}

/// The step of one object.
pub(super) struct Owned<K> {
    pub(super) kind: K,
    pub(super) compartment: Handle<CompartmentLive>,
}

impl<K: Kind> Owned<K> {
    fn live(&self, resource: &K::Resource) -> Live {
        use oci::Resource as _;
        Live {
            id: resource.id().to_owned(),
            name: resource.name().to_owned(),
            spec: self.kind.spec_of(resource),
            came_with: self.kind.came_with(resource),
        }
    }

    /// The one live object with this step's tags.
    async fn find(&self, cx: &StepCx<Cx>) -> Result<Option<K::Resource>, StepError> {
        use oci::Resource as _;
        let Some(compartment) = cx.known(&self.compartment) else {
            return Ok(None);
        };
        let cloud = cx.cx.cloud()?;
        let step = Step::id(self);
        let all = cloud.list::<K::Resource>(&compartment.id).await?;
        let mut found: Vec<_> = all
            .into_iter()
            .filter(|r| r.is_live() && tags::made_by(r, &cx.cx.deployment, &step))
            .collect();
        if found.len() > 1 {
            let ids: Vec<_> = found.iter().map(|r| r.id().to_owned()).collect();
            return Err(StepError::new(
                Class::Conflict,
                format!(
                    "there are {} of the {}: {}",
                    ids.len(),
                    self.kind.title(),
                    ids.join(", ")
                ),
            )
            .with_hint(format!(
                "delete all but one, or remove the tag `{}` from them",
                tags::STEP
            )));
        }
        if let Some(resource) = found.pop() {
            return Ok(Some(resource));
        }
        // Lists may lag behind a create; the journal remembers what it was.
        let Some(remembered) = cx.remembered::<Live>() else {
            return Ok(None);
        };
        let got = oci::found(
            cloud
                .client
                .network()
                .get::<K::Resource>(&remembered.id)
                .await,
        )?;
        Ok(got
            .map(|versioned| versioned.value)
            .filter(|r| r.is_live() && tags::made_by(r, &cx.cx.deployment, &step)))
    }

    async fn make(&self, cx: &StepCx<Cx>) -> Result<K::Resource, StepError> {
        let compartment = cx.input(&self.compartment)?;
        let common = Common {
            compartment: compartment.id.clone(),
            name: cx.cx.name(self.kind.suffix()),
            tags: tags::of(&cx.cx.deployment, &Step::id(self)),
        };
        let body = self.kind.create(cx, common).await?;
        let client = cx.cx.cloud()?.creating(cx, &compartment);
        let step = Step::id(self);
        cx.progress("asking Oracle to create it");
        cx.cx
            .with_token(&step, &compartment.id, &body, async |token| {
                client
                    .network()
                    .create(&body, token)
                    .await
                    .map(|made| Some(made.value))
            })
            .await
    }

    async fn usable(&self, cx: &StepCx<Cx>, made: K::Resource) -> Result<K::Resource, StepError> {
        use oci::Resource as _;
        if !made.lifecycle().is_moving() {
            return Ok(made);
        }
        let client = cx.cx.cloud()?.client.clone();
        let id = made.id().to_owned();
        let wait = wait_until(&cx.clock, USABLE_WITHIN, async || {
            let now = client.network().get::<K::Resource>(&id).await?.value;
            let state = format!("{:?}", now.lifecycle());
            cx.progress(&state);
            Ok::<_, oci::OciError>(match now.lifecycle().is_moving() {
                true => Look::Wait(state, Duration::from_secs(2)),
                false => Look::Done(now),
            })
        });
        wait.await
            .map_err(|error| fault::waited(self.kind.title(), error))
    }
}

impl<K: Kind> Step<Cx> for Owned<K> {
    type Live = Live;

    fn id(&self) -> StepId {
        tags_step(self.kind.step())
    }

    fn title(&self) -> String {
        self.kind.title().to_owned()
    }

    fn needs(&self) -> Vec<StepId> {
        let mut needs = vec![self.compartment.id().clone()];
        needs.extend(self.kind.needs());
        needs
    }

    fn system(&self) -> &'static str {
        "oci"
    }

    async fn inspect(&self, cx: &StepCx<Cx>) -> Result<Option<Live>, StepError> {
        Ok(self.find(cx).await?.map(|resource| self.live(&resource)))
    }

    fn plan(&self, cx: &Cx, inputs: &Inputs, live: Option<&Live>) -> Change {
        match live {
            None if !self.kind.wanted() => return Change::none(),
            Some(_) if !self.kind.wanted() => {
                return Change::delete("the profile does not ask for one");
            }
            _ => {}
        }
        let wish = self.kind.wish(cx, inputs);
        let Some(live) = live else {
            let mut change = Change::create(&wish.spec);
            for path in wish.unknown.iter().chain(&["id"]) {
                change = change.then_known(path);
            }
            return change;
        };
        // What is not known yet cannot differ; the engine looks again later.
        let mut wished = wish.spec;
        for path in wish.unknown {
            if let (Some(into), Some(now)) = (wished.as_object_mut(), live.spec.get(path)) {
                into.insert(path.to_owned(), now.clone());
            }
        }
        let change = Change::update(&live.spec, &wished);
        let fixed = change
            .fields
            .iter()
            .find(|f| self.kind.fixed().contains(&f.path.as_str()));
        match fixed {
            Some(field) => {
                let reason = format!("`{}` of a {} cannot change", field.path, self.kind.title());
                Change {
                    action: Action::Replace,
                    reason: Some(reason),
                    ..change
                }
            }
            None => change,
        }
    }

    async fn apply(&self, cx: &StepCx<Cx>, live: Option<Live>) -> Result<Live, StepError> {
        let resource = match live {
            Some(live) => {
                let network = cx.cx.cloud()?.client.clone();
                let current = network.network().get::<K::Resource>(&live.id).await?;
                let body = self.kind.update(cx, &current.value)?;
                let etag = current.etag.as_deref();
                network
                    .network()
                    .update::<K::Resource>(&live.id, &body, etag)
                    .await?
                    .value
            }
            None => self.make(cx).await?,
        };
        Ok(self.live(&self.usable(cx, resource).await?))
    }

    async fn destroy(&self, cx: &StepCx<Cx>, live: Live) -> Result<(), StepError> {
        let client = cx.cx.cloud()?.tearing_down(cx);
        cx.progress("asking Oracle to delete it");
        match oci::gone(client.network().delete::<K::Resource>(&live.id, None).await) {
            Ok(()) => Ok(()),
            Err(error) => {
                let holders = self.kind.holders(cx, &live.id).await;
                let error = StepError::from(error);
                if holders.is_empty() {
                    return Err(error);
                }
                Err(error.with_hint(format!(
                    "still in it: {}; delete that, then run `todoctl down` again",
                    holders.join(", ")
                )))
            }
        }
    }
}

/// A step's identity out of a constant.
#[expect(clippy::expect_used, reason = "the text is a constant of the steps")]
pub(super) fn tags_step(id: &'static str) -> StepId {
    id.parse()
        .expect("invariant: step constants are valid names")
}
