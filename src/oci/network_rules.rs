//! The rules in route tables and security lists.

use serde::{Deserialize, Serialize};

use super::types::words;

words! {
    /// What a route's or rule's address is.
    AddressType {
        /// A CIDR block.
        CidrBlock = "CIDR_BLOCK",
        /// A service's name, such as `all-fra-services-in-oracle-services-network`.
        Service = "SERVICE_CIDR_BLOCK",
        /// A network security group.
        SecurityGroup = "NETWORK_SECURITY_GROUP",
    }
}

/// A route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteRule {
    /// The gateway.
    pub network_entity_id: String,
    /// Where to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    /// What the destination is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination_type: Option<AddressType>,
    /// A word for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// A range of ports, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortRange {
    /// The lowest.
    pub min: u16,
    /// The highest.
    pub max: u16,
}

/// Ports of TCP or UDP that a rule is about; absent means all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortOptions {
    /// Where to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination_port_range: Option<PortRange>,
    /// Where from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_port_range: Option<PortRange>,
}

impl PortOptions {
    /// Traffic to the ports from `min` to `max`.
    pub fn to(min: u16, max: u16) -> Self {
        Self {
            destination_port_range: Some(PortRange { min, max }),
            source_port_range: None,
        }
    }
}

/// ICMP messages that a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IcmpOptions {
    /// The type.
    #[serde(rename = "type")]
    pub kind: u8,
    /// The code; absent means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u8>,
}

/// What may enter. `protocol` is `all` or an IANA number as text: `6` for TCP,
/// `17` for UDP, `1` for ICMP.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IngressRule {
    /// The protocol.
    pub protocol: String,
    /// Where from.
    pub source: String,
    /// What the source is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_type: Option<AddressType>,
    /// Whether answers need a rule of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_stateless: Option<bool>,
    /// A word for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// TCP ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp_options: Option<PortOptions>,
    /// UDP ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub udp_options: Option<PortOptions>,
    /// ICMP messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icmp_options: Option<IcmpOptions>,
}

/// What may leave; the counterpart of [`IngressRule`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EgressRule {
    /// The protocol.
    pub protocol: String,
    /// Where to.
    pub destination: String,
    /// What the destination is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination_type: Option<AddressType>,
    /// Whether answers need a rule of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_stateless: Option<bool>,
    /// A word for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// TCP ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp_options: Option<PortOptions>,
    /// UDP ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub udp_options: Option<PortOptions>,
    /// ICMP messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icmp_options: Option<IcmpOptions>,
}
