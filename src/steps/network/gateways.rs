//! The ways out of the network.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::names::StepId;
use crate::oci::{
    CreateInternetGateway, CreateNatGateway, CreateServiceGateway, InternetGateway, NatGateway,
    ServiceGateway, ServiceId, UpdateNaming,
};
use crate::plan::{Change, Class, Handle, Inputs, Step, StepCx, StepError};
use crate::steps::cx::Cx;
use crate::steps::owned::{Common, Kind, Live, Wish, tags_step};

/// Oracle's own services in the region, as a network destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::steps) struct OracleServices {
    pub(super) id: String,
    pub(super) cidr: String,
}

/// Finds out what Oracle's own services are called in the region.
pub(super) struct ServicesStep;

impl Step<Cx> for ServicesStep {
    type Live = OracleServices;

    fn id(&self) -> StepId {
        tags_step("network/oracle-services")
    }

    fn title(&self) -> String {
        "Oracle's network services".to_owned()
    }

    fn needs(&self) -> Vec<StepId> {
        Vec::new()
    }

    fn system(&self) -> &'static str {
        "oci"
    }

    fn only_reads(&self) -> bool {
        true
    }

    async fn inspect(&self, cx: &StepCx<Cx>) -> Result<Option<OracleServices>, StepError> {
        let services = cx.cx.cloud()?.observed(cx).network().services().await?;
        let all = services.into_iter().find(crate::oci::OracleService::is_all);
        let all = all.ok_or_else(|| {
            StepError::new(
                Class::Invalid,
                "the region does not list its network services",
            )
        })?;
        Ok(Some(OracleServices {
            id: all.id,
            cidr: all.cidr_block,
        }))
    }

    fn plan(&self, _: &Cx, _: &Inputs, _: Option<&OracleServices>) -> Change {
        Change::none()
    }

    async fn apply(
        &self,
        _: &StepCx<Cx>,
        live: Option<OracleServices>,
    ) -> Result<OracleServices, StepError> {
        live.ok_or_else(|| StepError::bug("a step that only reads has nothing to apply"))
    }

    async fn destroy(&self, _: &StepCx<Cx>, _: OracleServices) -> Result<(), StepError> {
        Ok(())
    }
}

fn naming(cx: &StepCx<Cx>, suffix: &str) -> UpdateNaming {
    UpdateNaming {
        display_name: Some(cx.cx.name(suffix)),
        ..UpdateNaming::default()
    }
}

/// The way to and from the internet.
pub(super) struct Internet {
    pub(super) vcn: Handle<Live>,
}

impl Kind for Internet {
    type Resource = InternetGateway;
    type Create = CreateInternetGateway;

    fn step(&self) -> &'static str {
        "network/internet-gateway"
    }

    fn title(&self) -> &'static str {
        "internet gateway"
    }

    fn suffix(&self) -> &'static str {
        "internet"
    }

    fn needs(&self) -> Vec<StepId> {
        vec![self.vcn.id().clone()]
    }

    fn wish(&self, _: &Cx, _: &Inputs) -> Wish {
        Wish {
            spec: json!({}),
            unknown: vec![],
        }
    }

    fn spec_of(&self, _: &InternetGateway) -> Value {
        json!({})
    }

    async fn create(
        &self,
        cx: &StepCx<Cx>,
        common: Common,
    ) -> Result<CreateInternetGateway, StepError> {
        Ok(CreateInternetGateway {
            compartment_id: common.compartment,
            vcn_id: cx.input(&self.vcn)?.id,
            is_enabled: true,
            display_name: Some(common.name),
            freeform_tags: common.tags,
        })
    }

    fn update(&self, cx: &StepCx<Cx>, _: &InternetGateway) -> Result<UpdateNaming, StepError> {
        Ok(naming(cx, self.suffix()))
    }
}

/// The way out for nodes without public addresses.
pub(super) struct Nat {
    pub(super) vcn: Handle<Live>,
    pub(super) wanted: bool,
}

impl Kind for Nat {
    type Resource = NatGateway;
    type Create = CreateNatGateway;

    fn step(&self) -> &'static str {
        "network/nat-gateway"
    }

    fn title(&self) -> &'static str {
        "NAT gateway"
    }

    fn suffix(&self) -> &'static str {
        "nat"
    }

    fn needs(&self) -> Vec<StepId> {
        vec![self.vcn.id().clone()]
    }

    fn wanted(&self) -> bool {
        self.wanted
    }

    fn wish(&self, _: &Cx, _: &Inputs) -> Wish {
        Wish {
            spec: json!({}),
            unknown: vec![],
        }
    }

    fn spec_of(&self, _: &NatGateway) -> Value {
        json!({})
    }

    async fn create(&self, cx: &StepCx<Cx>, common: Common) -> Result<CreateNatGateway, StepError> {
        Ok(CreateNatGateway {
            compartment_id: common.compartment,
            vcn_id: cx.input(&self.vcn)?.id,
            display_name: Some(common.name),
            freeform_tags: common.tags,
        })
    }

    fn update(&self, cx: &StepCx<Cx>, _: &NatGateway) -> Result<UpdateNaming, StepError> {
        Ok(naming(cx, self.suffix()))
    }
}

/// The way to Oracle's own services that does not cross the internet.
pub(super) struct Services {
    pub(super) vcn: Handle<Live>,
    pub(super) names: Handle<OracleServices>,
    pub(super) wanted: bool,
}

impl Kind for Services {
    type Resource = ServiceGateway;
    type Create = CreateServiceGateway;

    fn step(&self) -> &'static str {
        "network/service-gateway"
    }

    fn title(&self) -> &'static str {
        "service gateway"
    }

    fn suffix(&self) -> &'static str {
        "services"
    }

    fn needs(&self) -> Vec<StepId> {
        vec![self.vcn.id().clone(), self.names.id().clone()]
    }

    fn wanted(&self) -> bool {
        self.wanted
    }

    fn wish(&self, _: &Cx, _: &Inputs) -> Wish {
        Wish {
            spec: json!({}),
            unknown: vec![],
        }
    }

    fn spec_of(&self, _: &ServiceGateway) -> Value {
        json!({})
    }

    async fn create(
        &self,
        cx: &StepCx<Cx>,
        common: Common,
    ) -> Result<CreateServiceGateway, StepError> {
        Ok(CreateServiceGateway {
            compartment_id: common.compartment,
            vcn_id: cx.input(&self.vcn)?.id,
            services: vec![ServiceId {
                service_id: cx.input(&self.names)?.id,
            }],
            display_name: Some(common.name),
            freeform_tags: common.tags,
        })
    }

    fn update(&self, cx: &StepCx<Cx>, _: &ServiceGateway) -> Result<UpdateNaming, StepError> {
        Ok(naming(cx, self.suffix()))
    }
}
