//! The compartment that everything lives in.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::cx::Cx;
use super::survey::survey;
use super::{fault, owned::tags_step, tags};
use crate::clock::{Look, WaitError, wait_until};
use crate::names::StepId;
use crate::oci::{self, Client, Compartment, CreateCompartment, OciError, Region, Resource as _};
use crate::plan::{Change, Class, Inputs, Step, StepCx, StepError};
use crate::profile::CompartmentRef;

/// A compartment appears within a minute; this is patience.
const VISIBLE_WITHIN: Duration = Duration::from_mins(10);
/// A deletion may take an hour at Oracle; nothing depends on its end.
const DELETED_WITHIN: Duration = Duration::from_mins(5);

/// The compartment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompartmentLive {
    /// Its OCID.
    pub id: String,
    /// Its name; empty for one given by OCID.
    pub name: String,
    /// Whether this deployment made it, and may delete it.
    pub owned: bool,
}

/// Finds or creates the compartment.
pub(super) struct CompartmentStep;

impl CompartmentStep {
    fn name(cx: &Cx) -> Option<String> {
        match &cx.cloud_if_any()?.profile.compartment {
            CompartmentRef::Name(name) => Some(name.clone()),
            CompartmentRef::Id(_) => None,
        }
    }

    async fn find(cx: &StepCx<Cx>, name: &str) -> Result<Option<Compartment>, StepError> {
        let cloud = cx.cx.cloud()?;
        let tenancy = cloud.settings.tenancy.as_str();
        let all = cloud
            .client
            .identity()
            .compartments(tenancy, Some(name))
            .await?;
        if let Some(found) = all.into_iter().find(|c| c.name == name && c.is_live()) {
            return Ok(Some(found));
        }
        let Some(remembered) = cx.remembered::<CompartmentLive>() else {
            return Ok(None);
        };
        let got = oci::found(cloud.client.identity().compartment(&remembered.id).await)?;
        Ok(got
            .map(|versioned| versioned.value)
            .filter(|c| c.name == name && c.is_live()))
    }

    fn live(&self, cx: &Cx, compartment: &Compartment) -> CompartmentLive {
        CompartmentLive {
            id: compartment.id.clone(),
            name: compartment.name.clone(),
            owned: tags::made_by(compartment, &cx.deployment, &Step::id(self)),
        }
    }

    /// The client for the home region, where identity is written.
    async fn home(cx: &StepCx<Cx>) -> Result<Client, StepError> {
        let cloud = cx.cx.cloud()?;
        let client = cloud.observed(cx);
        let regions = client
            .identity()
            .region_subscriptions(&cloud.settings.tenancy)
            .await?;
        let Some(home) = regions.into_iter().find(|r| r.is_home_region) else {
            return Ok(client);
        };
        let region = Region::parse(&home.region_name)
            .map_err(|error| StepError::new(Class::Invalid, error.to_string()))?;
        Ok(client.in_region(region))
    }

    async fn visible(cx: &StepCx<Cx>, id: &str) -> Result<(), StepError> {
        let client = cx.cx.cloud()?.client.clone();
        let wait = wait_until(&cx.clock, VISIBLE_WITHIN, async || {
            let seen = oci::found(client.identity().compartment(id).await)?;
            let active = seen.is_some_and(|c| c.lifecycle().is_active());
            cx.progress("waiting until Oracle's services know the compartment");
            Ok::<_, OciError>(match active {
                true => Look::Done(()),
                false => Look::Wait("not visible yet".to_owned(), Duration::from_secs(3)),
            })
        });
        wait.await
            .map_err(|error| fault::waited("the compartment's appearance", error))
    }
}

impl Step<Cx> for CompartmentStep {
    type Live = CompartmentLive;

    fn id(&self) -> StepId {
        tags_step("account/compartment")
    }

    fn title(&self) -> String {
        "compartment".to_owned()
    }

    fn needs(&self) -> Vec<StepId> {
        Vec::new()
    }

    fn system(&self) -> &'static str {
        "oci"
    }

    fn quiet_limit(&self) -> Duration {
        VISIBLE_WITHIN + Duration::from_mins(5)
    }

    fn keeps(&self, live: &CompartmentLive) -> bool {
        !live.owned
    }

    async fn inspect(&self, cx: &StepCx<Cx>) -> Result<Option<CompartmentLive>, StepError> {
        match &cx.cx.cloud()?.profile.compartment {
            CompartmentRef::Id(id) => Ok(Some(CompartmentLive {
                id: id.to_string(),
                name: String::new(),
                owned: false,
            })),
            CompartmentRef::Name(name) => Ok(Self::find(cx, name)
                .await?
                .map(|found| self.live(&cx.cx, &found))),
        }
    }

    fn plan(&self, cx: &Cx, _: &Inputs, live: Option<&CompartmentLive>) -> Change {
        match live {
            Some(_) => Change::none(),
            None => Change::create(&json!({"name": Self::name(cx)})).then_known("id"),
        }
    }

    async fn apply(
        &self,
        cx: &StepCx<Cx>,
        live: Option<CompartmentLive>,
    ) -> Result<CompartmentLive, StepError> {
        if let Some(live) = live {
            return Ok(live);
        }
        let name = Self::name(&cx.cx).unwrap_or_default();
        let tenancy = cx.cx.cloud()?.settings.tenancy.clone();
        let body = CreateCompartment {
            compartment_id: tenancy.clone(),
            name,
            description: format!("Made by todoctl for deployment {}", cx.cx.deployment),
            freeform_tags: tags::of(&cx.cx.deployment, &Step::id(self)),
        };
        let home = Self::home(cx).await?;
        let made = cx
            .cx
            .with_token(&Step::id(self), &tenancy, &body, async |token| {
                home.identity()
                    .create_compartment(&body, token)
                    .await
                    .map(Some)
            })
            .await?;
        Self::visible(cx, &made.id).await?;
        Ok(self.live(&cx.cx, &made))
    }

    async fn destroy(&self, cx: &StepCx<Cx>, live: CompartmentLive) -> Result<(), StepError> {
        cx.progress("looking for anything that is left in it");
        let looked = Box::pin(survey(cx.cx.cloud()?, &live.id, &cx.cx.deployment)).await?;
        let left: Vec<_> = looked
            .iter()
            .flat_map(|kind| &kind.left)
            .map(|l| l.id.clone())
            .collect();
        cx.cx.surveyed(looked);
        if !left.is_empty() {
            return Err(StepError::new(
                Class::Conflict,
                format!("it is not empty: {}", left.join(", ")),
            )
            .with_hint("run `todoctl down` again in a few minutes"));
        }
        let home = Self::home(cx).await?.tearing_down();
        cx.progress("asking Oracle to delete it");
        oci::gone(home.identity().delete_compartment(&live.id).await)?;
        let wait = wait_until(&cx.clock, DELETED_WITHIN, async || {
            let seen = oci::found(home.identity().compartment(&live.id).await)?;
            let Some(seen) = seen.filter(|c| !c.lifecycle().is_gone()) else {
                return Ok::<_, OciError>(Look::Done(()));
            };
            let state = format!("{:?}", seen.lifecycle());
            cx.progress(&state);
            Ok(Look::Wait(state, Duration::from_secs(5)))
        });
        match wait.await {
            // Oracle goes on deleting; an empty compartment costs nothing.
            Ok(()) | Err(WaitError::TimedOut { .. }) => Ok(()),
            Err(error) => Err(fault::waited("the compartment's deletion", error)),
        }
    }
}
