//! The subnets: one for the API endpoint, one for the nodes, one for load
//! balancers. All span the whole region.

use serde_json::{Value, json};

use super::security::Role;
use crate::names::StepId;
use crate::oci::{self, CreateSubnet, UpdateSubnet};
use crate::plan::{Handle, Inputs, StepCx, StepError};
use crate::steps::cx::Cx;
use crate::steps::owned::{Common, Kind, Live, Wish};

pub(super) struct Subnet {
    pub(super) vcn: Handle<Live>,
    pub(super) routes: Handle<Live>,
    pub(super) list: Handle<Live>,
    pub(super) role: Role,
    /// Whether addresses in it are private.
    pub(super) private: bool,
}

impl Subnet {
    fn cidr(&self, cx: &Cx) -> Option<String> {
        let network = &cx.cloud_if_any()?.profile.network;
        let cidr = match self.role {
            Role::Api => network.api_subnet,
            Role::Nodes => network.node_subnet,
            Role::Balancer => network.lb_subnet,
        };
        Some(cidr.to_string())
    }
}

fn spec(cidr: Option<&str>, private: bool, routes: Option<&str>, lists: &[String]) -> Value {
    json!({"cidr": cidr, "private": private, "routeTable": routes, "securityLists": lists})
}

impl Kind for Subnet {
    type Resource = oci::Subnet;
    type Create = CreateSubnet;

    fn step(&self) -> &'static str {
        match self.role {
            Role::Api => "network/subnet-api",
            Role::Nodes => "network/subnet-nodes",
            Role::Balancer => "network/subnet-lb",
        }
    }

    fn title(&self) -> &'static str {
        match self.role {
            Role::Api => "API subnet",
            Role::Nodes => "node subnet",
            Role::Balancer => "load balancer subnet",
        }
    }

    fn suffix(&self) -> &'static str {
        match self.role {
            Role::Api => "api",
            Role::Nodes => "nodes",
            Role::Balancer => "lb",
        }
    }

    fn needs(&self) -> Vec<StepId> {
        [self.vcn.id(), self.routes.id(), self.list.id()]
            .into_iter()
            .cloned()
            .collect()
    }

    fn fixed(&self) -> &'static [&'static str] {
        &["cidr", "private"]
    }

    fn wish(&self, cx: &Cx, inputs: &Inputs) -> Wish {
        let cidr = self.cidr(cx);
        match inputs.get(&self.routes).zip(inputs.get(&self.list)) {
            Some((routes, list)) => Wish {
                spec: spec(cidr.as_deref(), self.private, Some(&routes.id), &[list.id]),
                unknown: vec![],
            },
            None => Wish {
                spec: json!({"cidr": cidr, "private": self.private}),
                unknown: vec!["routeTable", "securityLists"],
            },
        }
    }

    fn spec_of(&self, subnet: &oci::Subnet) -> Value {
        let private = subnet.prohibit_public_ip_on_vnic.unwrap_or(false);
        let routes = subnet.route_table_id.as_deref();
        spec(
            subnet.cidr_block.as_deref(),
            private,
            routes,
            &subnet.security_list_ids,
        )
    }

    async fn create(&self, cx: &StepCx<Cx>, common: Common) -> Result<CreateSubnet, StepError> {
        Ok(CreateSubnet {
            compartment_id: common.compartment,
            vcn_id: cx.input(&self.vcn)?.id,
            cidr_block: self.cidr(&cx.cx).unwrap_or_default(),
            display_name: Some(common.name),
            dns_label: Some(self.suffix().to_owned()),
            route_table_id: Some(cx.input(&self.routes)?.id),
            security_list_ids: vec![cx.input(&self.list)?.id],
            prohibit_public_ip_on_vnic: Some(self.private),
            freeform_tags: common.tags,
        })
    }

    fn update(&self, cx: &StepCx<Cx>, _: &oci::Subnet) -> Result<UpdateSubnet, StepError> {
        Ok(UpdateSubnet {
            route_table_id: Some(cx.input(&self.routes)?.id),
            security_list_ids: Some(vec![cx.input(&self.list)?.id]),
            ..UpdateSubnet::default()
        })
    }

    async fn holders(&self, cx: &StepCx<Cx>, id: &str) -> Vec<String> {
        let Ok(cloud) = cx.cx.cloud() else {
            return Vec::new();
        };
        cloud.client.network().holders(id).await.unwrap_or_default()
    }
}
