//! The virtual network itself.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::names::StepId;
use crate::oci::{CreateVcn, UpdateNaming, Vcn};
use crate::plan::{Inputs, StepCx, StepError};
use crate::steps::cx::Cx;
use crate::steps::owned::{Common, Kind, Wish};

pub(super) struct VcnKind;

impl Kind for VcnKind {
    type Resource = Vcn;
    type Create = CreateVcn;

    fn step(&self) -> &'static str {
        "network/vcn"
    }

    fn title(&self) -> &'static str {
        "virtual network"
    }

    fn suffix(&self) -> &'static str {
        "vcn"
    }

    fn needs(&self) -> Vec<StepId> {
        Vec::new()
    }

    fn fixed(&self) -> &'static [&'static str] {
        &["cidr"]
    }

    fn wish(&self, cx: &Cx, _: &Inputs) -> Wish {
        let cidr = cx
            .cloud_if_any()
            .map(|c| c.profile.network.vcn_cidr.to_string());
        Wish {
            spec: json!({"cidr": cidr}),
            unknown: vec![],
        }
    }

    fn spec_of(&self, vcn: &Vcn) -> Value {
        json!({"cidr": vcn.cidr_blocks.first()})
    }

    fn came_with(&self, vcn: &Vcn) -> BTreeMap<String, String> {
        let table = vcn.default_route_table_id.clone();
        table
            .map(|id| ("routeTable".to_owned(), id))
            .into_iter()
            .collect()
    }

    async fn create(&self, cx: &StepCx<Cx>, common: Common) -> Result<CreateVcn, StepError> {
        Ok(CreateVcn {
            compartment_id: common.compartment,
            cidr_blocks: vec![cx.cx.cloud()?.profile.network.vcn_cidr.to_string()],
            display_name: Some(common.name),
            dns_label: Some("todoctl".to_owned()),
            freeform_tags: common.tags,
        })
    }

    fn update(&self, cx: &StepCx<Cx>, _: &Vcn) -> Result<UpdateNaming, StepError> {
        let display_name = Some(cx.cx.name(self.suffix()));
        Ok(UpdateNaming {
            display_name,
            ..UpdateNaming::default()
        })
    }
}
