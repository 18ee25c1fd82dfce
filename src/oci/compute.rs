//! Compute: shapes, instances, and whether there is room for more.

use http::Method;
use serde::{Deserialize, Serialize};

use super::call::Request;
use super::network::short;
use super::types::{null_as_default, resource, words};
use super::{Client, Lifecycle, OciError, Service, Tags};

/// Calls to the compute part of the core service.
#[derive(Debug, Clone, Copy)]
pub struct Compute<'c> {
    pub(super) client: &'c Client,
}

words! {
    /// What a shape costs.
    BillingType {
        /// Nothing.
        AlwaysFree = "ALWAYS_FREE",
        /// Nothing up to the allowance.
        LimitedFree = "LIMITED_FREE",
        /// Its price.
        Paid = "PAID",
    }
}

/// A range that a flexible shape allows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RangeOptions {
    /// The least, as OCPUs.
    #[serde(default)]
    pub min: Option<f64>,
    /// The most, as OCPUs.
    #[serde(default)]
    pub max: Option<f64>,
    /// The least, as GB.
    #[serde(default, rename = "minInGBs")]
    pub min_in_gbs: Option<f64>,
    /// The most, as GB.
    #[serde(default, rename = "maxInGBs")]
    pub max_in_gbs: Option<f64>,
}

/// A shape of instances.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Shape {
    /// Its name: `VM.Standard.A1.Flex`.
    pub shape: String,
    /// How many OCPUs it can have.
    #[serde(default)]
    pub ocpu_options: Option<RangeOptions>,
    /// How much memory it can have.
    #[serde(default)]
    pub memory_options: Option<RangeOptions>,
    /// What it costs.
    #[serde(default)]
    pub billing_type: Option<BillingType>,
    /// Whether OCPUs and memory can be chosen.
    #[serde(default)]
    pub is_flexible: Option<bool>,
    /// The quotas that count it.
    #[serde(default, deserialize_with = "null_as_default")]
    pub quota_names: Vec<String>,
}

/// Which shapes to list.
#[derive(Debug, Clone, Copy, Default)]
pub struct ShapeQuery<'a> {
    /// The compartment.
    pub compartment: &'a str,
    /// Only those offered in this availability domain.
    pub availability_domain: Option<&'a str>,
    /// Only this one.
    pub shape: Option<&'a str>,
}

/// OCPUs and memory of a flexible shape.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShapeConfig {
    /// OCPUs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ocpus: Option<f64>,
    /// Memory.
    #[serde(
        default,
        rename = "memoryInGBs",
        skip_serializing_if = "Option::is_none"
    )]
    pub memory_in_gbs: Option<f64>,
}

/// An instance.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Instance {
    /// Its OCID.
    pub id: String,
    /// The compartment that it is in.
    #[serde(default)]
    pub compartment_id: String,
    /// Its name.
    #[serde(default, deserialize_with = "null_as_default")]
    pub display_name: String,
    /// The availability domain that it is in.
    #[serde(default)]
    pub availability_domain: String,
    /// Its shape.
    #[serde(default)]
    pub shape: String,
    /// OCPUs and memory of that shape.
    #[serde(default)]
    pub shape_config: Option<ShapeConfig>,
    /// Where it is in its life.
    #[serde(default)]
    pub lifecycle_state: Lifecycle,
    /// Its tags.
    #[serde(default, deserialize_with = "null_as_default")]
    pub freeform_tags: Tags,
}
resource!(Instance, "instance", display_name);

/// Which network card belongs to which instance.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VnicAttachment {
    /// Its OCID.
    pub id: String,
    /// The instance.
    pub instance_id: String,
    /// The network card.
    #[serde(default)]
    pub vnic_id: Option<String>,
    /// The subnet.
    #[serde(default)]
    pub subnet_id: Option<String>,
    /// Where it is in its life.
    #[serde(default)]
    pub lifecycle_state: Lifecycle,
}

/// A question: is there room for such an instance?
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShapeAvailability {
    /// The shape.
    pub instance_shape: String,
    /// In this fault domain; in any when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault_domain: Option<String>,
    /// OCPUs and memory of a flexible shape.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_shape_config: Option<ShapeConfig>,
}

words! {
    /// Whether there is room.
    AvailabilityStatus {
        /// There is, now.
        Available = "AVAILABLE",
        /// There is none now.
        OutOfHostCapacity = "OUT_OF_HOST_CAPACITY",
        /// There never is.
        HardwareNotSupported = "HARDWARE_NOT_SUPPORTED",
    }
}

/// The answer to a [`ShapeAvailability`]: a snapshot, not a reservation.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CapacityReport {
    /// The shape.
    pub instance_shape: String,
    /// The fault domain that was asked about.
    #[serde(default)]
    pub fault_domain: Option<String>,
    /// Whether there is room.
    pub availability_status: AvailabilityStatus,
    /// For how many.
    #[serde(default)]
    pub available_count: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AskCapacity<'a> {
    compartment_id: &'a str,
    availability_domain: &'a str,
    shape_availabilities: &'a [ShapeAvailability],
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CapacityAnswer {
    #[serde(default, deserialize_with = "null_as_default")]
    shape_availabilities: Vec<CapacityReport>,
}

impl<'c> Compute<'c> {
    fn request(self, method: Method, path: &[&str]) -> Request<'c> {
        self.client.request(method, Service::Core, path)
    }

    /// The shapes on offer.
    pub async fn shapes(self, query: &ShapeQuery<'_>) -> Result<Vec<Shape>, OciError> {
        self.request(Method::GET, &["shapes"])
            .named("ListShapes", "list the shapes")
            .query("compartmentId", query.compartment)
            .query_opt("availabilityDomain", query.availability_domain)
            .query_opt("shape", query.shape)
            .list()
            .await
    }

    /// The instances of a compartment, also those that are gone but still
    /// shown.
    pub async fn instances(self, compartment: &str) -> Result<Vec<Instance>, OciError> {
        self.request(Method::GET, &["instances"])
            .named("ListInstances", "list the instances")
            .query("compartmentId", compartment)
            .list()
            .await
    }

    /// Ends an instance and its boot volume. Nodes are better deleted through
    /// their pool.
    pub async fn terminate(self, id: &str) -> Result<(), OciError> {
        self.request(Method::DELETE, &["instances", id])
            .named(
                "TerminateInstance",
                format!("terminate the instance {}", short(id)),
            )
            .query("preserveBootVolume", "false")
            .done()
            .await
    }

    /// Which network cards belong to which instances.
    pub async fn vnic_attachments(
        self,
        compartment: &str,
        instance: Option<&str>,
    ) -> Result<Vec<VnicAttachment>, OciError> {
        self.request(Method::GET, &["vnicAttachments"])
            .named("ListVnicAttachments", "list the network card attachments")
            .query("compartmentId", compartment)
            .query_opt("instanceId", instance)
            .list()
            .await
    }

    /// Asks whether there is room in an availability domain. The service
    /// answers for the tenancy only.
    pub async fn capacity(
        self,
        tenancy: &str,
        availability_domain: &str,
        shapes: &[ShapeAvailability],
    ) -> Result<Vec<CapacityReport>, OciError> {
        let body = AskCapacity {
            compartment_id: tenancy,
            availability_domain,
            shape_availabilities: shapes,
        };
        let reply = self
            .request(Method::POST, &["computeCapacityReports"])
            .named(
                "CreateComputeCapacityReport",
                format!("ask for room in {availability_domain}"),
            )
            .json(&body)
            .only_reads()
            .one::<CapacityAnswer>()
            .await?;
        Ok(reply.value.shape_availabilities)
    }
}
