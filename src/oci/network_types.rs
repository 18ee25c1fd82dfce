//! The objects of virtual networks, and the bodies that make and change them.

use serde::{Deserialize, Serialize};

use super::network_rules::{EgressRule, IngressRule, RouteRule};
use super::types::{null_as_default, resource};
use super::{Lifecycle, Tags};

/// A virtual cloud network.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Vcn {
    /// Its OCID.
    pub id: String,
    /// The compartment that it is in.
    pub compartment_id: String,
    /// Its name, not necessarily unique.
    #[serde(default, deserialize_with = "null_as_default")]
    pub display_name: String,
    /// Its address blocks.
    #[serde(default, deserialize_with = "null_as_default")]
    pub cidr_blocks: Vec<String>,
    /// Its DNS label.
    #[serde(default)]
    pub dns_label: Option<String>,
    /// The route table that came with it and goes with it.
    #[serde(default)]
    pub default_route_table_id: Option<String>,
    /// The security list that came with it and goes with it.
    #[serde(default)]
    pub default_security_list_id: Option<String>,
    /// The DHCP options that came with it and go with it.
    #[serde(default)]
    pub default_dhcp_options_id: Option<String>,
    /// Where it is in its life.
    #[serde(default)]
    pub lifecycle_state: Lifecycle,
    /// Its tags.
    #[serde(default, deserialize_with = "null_as_default")]
    pub freeform_tags: Tags,
}
resource!(Vcn, "virtual network", display_name);

/// A virtual cloud network to create.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateVcn {
    /// The compartment.
    pub compartment_id: String,
    /// Its address blocks.
    pub cidr_blocks: Vec<String>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Its DNS label: at most 15 letters and digits, a letter first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns_label: Option<String>,
    /// Its tags.
    #[serde(skip_serializing_if = "Tags::is_empty")]
    pub freeform_tags: Tags,
}

/// Changes that objects with only a name and tags to change have in common.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UpdateNaming {
    /// A new name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// All tags from now on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub freeform_tags: Option<Tags>,
}

/// An internet gateway.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InternetGateway {
    /// Its OCID.
    pub id: String,
    /// The compartment that it is in.
    pub compartment_id: String,
    /// The network that it belongs to.
    pub vcn_id: String,
    /// Its name.
    #[serde(default, deserialize_with = "null_as_default")]
    pub display_name: String,
    /// Whether it lets traffic through.
    #[serde(default)]
    pub is_enabled: Option<bool>,
    /// Where it is in its life.
    #[serde(default)]
    pub lifecycle_state: Lifecycle,
    /// Its tags.
    #[serde(default, deserialize_with = "null_as_default")]
    pub freeform_tags: Tags,
}
resource!(InternetGateway, "internet gateway", display_name);

/// An internet gateway to create.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateInternetGateway {
    /// The compartment.
    pub compartment_id: String,
    /// The network.
    pub vcn_id: String,
    /// Whether it lets traffic through.
    pub is_enabled: bool,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Its tags.
    #[serde(skip_serializing_if = "Tags::is_empty")]
    pub freeform_tags: Tags,
}

/// A NAT gateway.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NatGateway {
    /// Its OCID.
    pub id: String,
    /// The compartment that it is in.
    pub compartment_id: String,
    /// The network that it belongs to.
    pub vcn_id: String,
    /// Its name.
    #[serde(default, deserialize_with = "null_as_default")]
    pub display_name: String,
    /// The public address behind which it hides.
    #[serde(default)]
    pub nat_ip: Option<String>,
    /// Whether it blocks all traffic.
    #[serde(default)]
    pub block_traffic: Option<bool>,
    /// Where it is in its life.
    #[serde(default)]
    pub lifecycle_state: Lifecycle,
    /// Its tags.
    #[serde(default, deserialize_with = "null_as_default")]
    pub freeform_tags: Tags,
}
resource!(NatGateway, "NAT gateway", display_name);

/// A NAT gateway to create.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateNatGateway {
    /// The compartment.
    pub compartment_id: String,
    /// The network.
    pub vcn_id: String,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Its tags.
    #[serde(skip_serializing_if = "Tags::is_empty")]
    pub freeform_tags: Tags,
}

/// A service gateway.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceGateway {
    /// Its OCID.
    pub id: String,
    /// The compartment that it is in.
    pub compartment_id: String,
    /// The network that it belongs to.
    pub vcn_id: String,
    /// Its name.
    #[serde(default, deserialize_with = "null_as_default")]
    pub display_name: String,
    /// The services that it leads to.
    #[serde(default, deserialize_with = "null_as_default")]
    pub services: Vec<ServiceId>,
    /// Where it is in its life.
    #[serde(default)]
    pub lifecycle_state: Lifecycle,
    /// Its tags.
    #[serde(default, deserialize_with = "null_as_default")]
    pub freeform_tags: Tags,
}
resource!(ServiceGateway, "service gateway", display_name);

/// A service that a gateway leads to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceId {
    /// The service's OCID.
    pub service_id: String,
}

/// A service gateway to create.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateServiceGateway {
    /// The compartment.
    pub compartment_id: String,
    /// The network.
    pub vcn_id: String,
    /// The services.
    pub services: Vec<ServiceId>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Its tags.
    #[serde(skip_serializing_if = "Tags::is_empty")]
    pub freeform_tags: Tags,
}

/// A set of Oracle services that a service gateway can lead to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OracleService {
    /// Its OCID, for the gateway.
    pub id: String,
    /// Its name for people.
    #[serde(default)]
    pub name: String,
    /// Its name in route and security rules.
    #[serde(default)]
    pub cidr_block: String,
}

impl OracleService {
    /// Whether it stands for all services of the region.
    pub fn is_all(&self) -> bool {
        self.cidr_block.starts_with("all-")
    }
}

/// A route table.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteTable {
    /// Its OCID.
    pub id: String,
    /// The compartment that it is in.
    pub compartment_id: String,
    /// The network that it belongs to.
    pub vcn_id: String,
    /// Its name.
    #[serde(default, deserialize_with = "null_as_default")]
    pub display_name: String,
    /// Its rules.
    #[serde(default, deserialize_with = "null_as_default")]
    pub route_rules: Vec<RouteRule>,
    /// Where it is in its life.
    #[serde(default)]
    pub lifecycle_state: Lifecycle,
    /// Its tags.
    #[serde(default, deserialize_with = "null_as_default")]
    pub freeform_tags: Tags,
}
resource!(RouteTable, "route table", display_name);

/// A route table to create.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateRouteTable {
    /// The compartment.
    pub compartment_id: String,
    /// The network.
    pub vcn_id: String,
    /// Its rules.
    pub route_rules: Vec<RouteRule>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Its tags.
    #[serde(skip_serializing_if = "Tags::is_empty")]
    pub freeform_tags: Tags,
}

/// Changes to a route table. Rules replace all that are there.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UpdateRouteTable {
    /// All rules from now on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route_rules: Option<Vec<RouteRule>>,
    /// A new name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// All tags from now on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub freeform_tags: Option<Tags>,
}

/// A security list.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecurityList {
    /// Its OCID.
    pub id: String,
    /// The compartment that it is in.
    pub compartment_id: String,
    /// The network that it belongs to.
    pub vcn_id: String,
    /// Its name.
    #[serde(default, deserialize_with = "null_as_default")]
    pub display_name: String,
    /// What may leave.
    #[serde(default, deserialize_with = "null_as_default")]
    pub egress_security_rules: Vec<EgressRule>,
    /// What may enter.
    #[serde(default, deserialize_with = "null_as_default")]
    pub ingress_security_rules: Vec<IngressRule>,
    /// Where it is in its life.
    #[serde(default)]
    pub lifecycle_state: Lifecycle,
    /// Its tags.
    #[serde(default, deserialize_with = "null_as_default")]
    pub freeform_tags: Tags,
}
resource!(SecurityList, "security list", display_name);

/// A security list to create.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateSecurityList {
    /// The compartment.
    pub compartment_id: String,
    /// The network.
    pub vcn_id: String,
    /// What may leave.
    pub egress_security_rules: Vec<EgressRule>,
    /// What may enter.
    pub ingress_security_rules: Vec<IngressRule>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Its tags.
    #[serde(skip_serializing_if = "Tags::is_empty")]
    pub freeform_tags: Tags,
}

/// Changes to a security list. Rules replace all that are there, including
/// those that the cluster's cloud controller added: merge first.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UpdateSecurityList {
    /// All outgoing rules from now on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress_security_rules: Option<Vec<EgressRule>>,
    /// All incoming rules from now on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ingress_security_rules: Option<Vec<IngressRule>>,
    /// A new name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// All tags from now on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub freeform_tags: Option<Tags>,
}

/// A subnet.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Subnet {
    /// Its OCID.
    pub id: String,
    /// The compartment that it is in.
    pub compartment_id: String,
    /// The network that it belongs to.
    pub vcn_id: String,
    /// Its name.
    #[serde(default, deserialize_with = "null_as_default")]
    pub display_name: String,
    /// Its address block.
    #[serde(default)]
    pub cidr_block: Option<String>,
    /// The route table that it uses.
    #[serde(default)]
    pub route_table_id: Option<String>,
    /// The security lists that it uses.
    #[serde(default, deserialize_with = "null_as_default")]
    pub security_list_ids: Vec<String>,
    /// Whether nothing in it may have a public address.
    #[serde(default)]
    pub prohibit_public_ip_on_vnic: Option<bool>,
    /// Its DNS label.
    #[serde(default)]
    pub dns_label: Option<String>,
    /// Where it is in its life.
    #[serde(default)]
    pub lifecycle_state: Lifecycle,
    /// Its tags.
    #[serde(default, deserialize_with = "null_as_default")]
    pub freeform_tags: Tags,
}
resource!(Subnet, "subnet", display_name);

/// A regional subnet to create.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateSubnet {
    /// The compartment.
    pub compartment_id: String,
    /// The network.
    pub vcn_id: String,
    /// Its address block.
    pub cidr_block: String,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Its DNS label.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns_label: Option<String>,
    /// Its route table; the network's default one when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route_table_id: Option<String>,
    /// Its security lists, at most five; the network's default one when
    /// empty, which leaves SSH open to the world.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub security_list_ids: Vec<String>,
    /// Whether nothing in it may have a public address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prohibit_public_ip_on_vnic: Option<bool>,
    /// Its tags.
    #[serde(skip_serializing_if = "Tags::is_empty")]
    pub freeform_tags: Tags,
}

/// Changes to a subnet.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UpdateSubnet {
    /// A new name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Another route table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route_table_id: Option<String>,
    /// All security lists from now on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_list_ids: Option<Vec<String>>,
    /// All tags from now on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub freeform_tags: Option<Tags>,
}

/// A network security group. todoctl makes none; it sweeps what others made.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecurityGroup {
    /// Its OCID.
    pub id: String,
    /// The compartment that it is in.
    pub compartment_id: String,
    /// The network that it belongs to.
    pub vcn_id: String,
    /// Its name.
    #[serde(default, deserialize_with = "null_as_default")]
    pub display_name: String,
    /// Where it is in its life.
    #[serde(default)]
    pub lifecycle_state: Lifecycle,
    /// Its tags.
    #[serde(default, deserialize_with = "null_as_default")]
    pub freeform_tags: Tags,
}
resource!(SecurityGroup, "network security group", display_name);

/// A network security group to create.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateSecurityGroup {
    /// The compartment.
    pub compartment_id: String,
    /// The network.
    pub vcn_id: String,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Its tags.
    #[serde(skip_serializing_if = "Tags::is_empty")]
    pub freeform_tags: Tags,
}

/// A private address in use: what holds a subnet.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PrivateIp {
    /// Its OCID.
    pub id: String,
    /// The address.
    #[serde(default)]
    pub ip_address: Option<String>,
    /// The network card that has it.
    #[serde(default)]
    pub vnic_id: Option<String>,
    /// Its name.
    #[serde(default, deserialize_with = "null_as_default")]
    pub display_name: String,
}

/// A virtual network card.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Vnic {
    /// Its OCID.
    pub id: String,
    /// Its name: usually that of the instance or service.
    #[serde(default, deserialize_with = "null_as_default")]
    pub display_name: String,
    /// Its private address.
    #[serde(default)]
    pub private_ip: Option<String>,
    /// Its public address.
    #[serde(default)]
    pub public_ip: Option<String>,
    /// The subnet that it is in.
    #[serde(default)]
    pub subnet_id: Option<String>,
    /// Where it is in its life.
    #[serde(default)]
    pub lifecycle_state: Lifecycle,
}

/// A reserved or assigned public address.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PublicIp {
    /// Its OCID.
    pub id: String,
    /// The address.
    #[serde(default)]
    pub ip_address: Option<String>,
    /// Its name.
    #[serde(default, deserialize_with = "null_as_default")]
    pub display_name: String,
    /// `RESERVED` or `EPHEMERAL`.
    #[serde(default, deserialize_with = "null_as_default")]
    pub lifetime: String,
    /// What it is assigned to.
    #[serde(default)]
    pub assigned_entity_id: Option<String>,
    /// Where it is in its life.
    #[serde(default)]
    pub lifecycle_state: Lifecycle,
    /// Its tags.
    #[serde(default, deserialize_with = "null_as_default")]
    pub freeform_tags: Tags,
}
resource!(PublicIp, "public address", display_name);
