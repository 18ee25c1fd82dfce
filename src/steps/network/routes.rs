//! Which way packets leave a subnet.

use serde_json::{Value, json};

use super::gateways::OracleServices;
use crate::names::StepId;
use crate::oci::{AddressType, CreateRouteTable, RouteRule, RouteTable, UpdateRouteTable};
use crate::plan::{Handle, Inputs, StepCx, StepError};
use crate::steps::cx::Cx;
use crate::steps::owned::{Common, Kind, Live, Wish};

const EVERYWHERE: &str = "0.0.0.0/0";

fn to_everywhere(gateway: Live) -> RouteRule {
    RouteRule {
        network_entity_id: gateway.id,
        destination: Some(EVERYWHERE.to_owned()),
        destination_type: Some(AddressType::CidrBlock),
        description: None,
    }
}

/// Rules as a plan shows them: destination to gateway.
fn spec(rules: &[RouteRule]) -> Value {
    let text = |rule: &RouteRule| {
        format!(
            "{} -> {}",
            rule.destination.as_deref().unwrap_or("?"),
            rule.network_entity_id
        )
    };
    let mut rules: Vec<_> = rules.iter().map(text).collect();
    rules.sort();
    json!({"rules": rules})
}

fn wish(rules: Option<Vec<RouteRule>>) -> Wish {
    match rules {
        Some(rules) => Wish {
            spec: spec(&rules),
            unknown: vec![],
        },
        None => Wish {
            spec: json!({}),
            unknown: vec!["rules"],
        },
    }
}

fn create(vcn: Live, rules: Vec<RouteRule>, common: Common) -> CreateRouteTable {
    CreateRouteTable {
        compartment_id: common.compartment,
        vcn_id: vcn.id,
        route_rules: rules,
        display_name: Some(common.name),
        freeform_tags: common.tags,
    }
}

fn unknown(what: &str) -> StepError {
    StepError::bug(format!("{what} is not known when the routes are made"))
}

/// Public subnets: everything by the internet gateway.
pub(super) struct Public {
    pub(super) vcn: Handle<Live>,
    pub(super) internet: Handle<Live>,
}

impl Public {
    fn rules(&self, inputs: &Inputs) -> Option<Vec<RouteRule>> {
        Some(vec![to_everywhere(inputs.get(&self.internet)?)])
    }
}

impl Kind for Public {
    type Resource = RouteTable;
    type Create = CreateRouteTable;

    fn step(&self) -> &'static str {
        "network/routes-public"
    }

    fn title(&self) -> &'static str {
        "public route table"
    }

    fn suffix(&self) -> &'static str {
        "public"
    }

    fn needs(&self) -> Vec<StepId> {
        vec![self.vcn.id().clone(), self.internet.id().clone()]
    }

    fn wish(&self, _: &Cx, inputs: &Inputs) -> Wish {
        wish(self.rules(inputs))
    }

    fn spec_of(&self, table: &RouteTable) -> Value {
        spec(&table.route_rules)
    }

    async fn create(&self, cx: &StepCx<Cx>, common: Common) -> Result<CreateRouteTable, StepError> {
        let rules = self
            .rules(&cx.inputs)
            .ok_or_else(|| unknown("the internet gateway"))?;
        Ok(create(cx.input(&self.vcn)?, rules, common))
    }

    fn update(&self, cx: &StepCx<Cx>, _: &RouteTable) -> Result<UpdateRouteTable, StepError> {
        let rules = self
            .rules(&cx.inputs)
            .ok_or_else(|| unknown("the internet gateway"))?;
        Ok(UpdateRouteTable {
            route_rules: Some(rules),
            ..UpdateRouteTable::default()
        })
    }
}

/// The nodes' subnet: Oracle's services by the service gateway, the rest by
/// NAT. Never together with an internet gateway, which would make the return
/// path asymmetric ("Known Issues", service gateway).
pub(super) struct Private {
    pub(super) vcn: Handle<Live>,
    pub(super) nat: Handle<Live>,
    pub(super) gateway: Handle<Live>,
    pub(super) services: Handle<OracleServices>,
    pub(super) wanted: bool,
}

impl Private {
    fn rules(&self, inputs: &Inputs) -> Option<Vec<RouteRule>> {
        let services = RouteRule {
            network_entity_id: inputs.get(&self.gateway)?.id,
            destination: Some(inputs.get(&self.services)?.cidr),
            destination_type: Some(AddressType::Service),
            description: None,
        };
        Some(vec![to_everywhere(inputs.get(&self.nat)?), services])
    }
}

impl Kind for Private {
    type Resource = RouteTable;
    type Create = CreateRouteTable;

    fn step(&self) -> &'static str {
        "network/routes-private"
    }

    fn title(&self) -> &'static str {
        "private route table"
    }

    fn suffix(&self) -> &'static str {
        "private"
    }

    fn needs(&self) -> Vec<StepId> {
        [
            self.vcn.id(),
            self.nat.id(),
            self.gateway.id(),
            self.services.id(),
        ]
        .into_iter()
        .cloned()
        .collect()
    }

    fn wanted(&self) -> bool {
        self.wanted
    }

    fn wish(&self, _: &Cx, inputs: &Inputs) -> Wish {
        wish(self.rules(inputs))
    }

    fn spec_of(&self, table: &RouteTable) -> Value {
        spec(&table.route_rules)
    }

    async fn create(&self, cx: &StepCx<Cx>, common: Common) -> Result<CreateRouteTable, StepError> {
        let rules = self.rules(&cx.inputs).ok_or_else(|| unknown("a gateway"))?;
        Ok(create(cx.input(&self.vcn)?, rules, common))
    }

    fn update(&self, cx: &StepCx<Cx>, _: &RouteTable) -> Result<UpdateRouteTable, StepError> {
        let rules = self.rules(&cx.inputs).ok_or_else(|| unknown("a gateway"))?;
        Ok(UpdateRouteTable {
            route_rules: Some(rules),
            ..UpdateRouteTable::default()
        })
    }
}
