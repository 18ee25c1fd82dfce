//! Identity: the tenancy, its regions, compartments and availability domains.

use http::Method;
use serde::{Deserialize, Serialize};

use super::call::Request;
use super::types::{null_as_default, resource};
use super::{Accepted, Client, Lifecycle, OciError, Service, Tags, Versioned};

/// Calls to the identity service. Writes go to the home region.
#[derive(Debug, Clone, Copy)]
pub struct Identity<'c> {
    pub(super) client: &'c Client,
}

/// A region that the tenancy uses.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RegionSubscription {
    /// Upper-case key: `FRA`.
    #[serde(default)]
    pub region_key: String,
    /// Name: `eu-frankfurt-1`.
    pub region_name: String,
    /// `READY` or `IN_PROGRESS`.
    #[serde(default)]
    pub status: String,
    /// Whether compartments and policies are changed there.
    #[serde(default)]
    pub is_home_region: bool,
}

/// A region that exists.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RegionName {
    /// Upper-case key.
    pub key: String,
    /// Name.
    pub name: String,
}

/// The tenancy.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tenancy {
    /// Its OCID.
    pub id: String,
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// The key of its home region.
    #[serde(default)]
    pub home_region_key: Option<String>,
}

/// An availability domain. Its name has a prefix of the tenancy's own.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AvailabilityDomain {
    /// `Uocm:EU-FRANKFURT-1-AD-1`.
    pub name: String,
    /// Its OCID.
    #[serde(default)]
    pub id: Option<String>,
}

/// A fault domain within an availability domain.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FaultDomain {
    /// `FAULT-DOMAIN-1`.
    pub name: String,
    /// The availability domain that it is in.
    #[serde(default)]
    pub availability_domain: Option<String>,
}

/// A compartment.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Compartment {
    /// Its OCID.
    pub id: String,
    /// Its parent; absent for the tenancy.
    #[serde(default)]
    pub compartment_id: Option<String>,
    /// Its name, unique among its siblings.
    #[serde(default)]
    pub name: String,
    /// What it is for.
    #[serde(default)]
    pub description: Option<String>,
    /// Where it is in its life.
    #[serde(default)]
    pub lifecycle_state: Lifecycle,
    /// Its tags.
    #[serde(default, deserialize_with = "null_as_default")]
    pub freeform_tags: Tags,
}

resource!(Compartment, "compartment", name);

/// A compartment to create.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateCompartment {
    /// The parent.
    pub compartment_id: String,
    /// Its name.
    pub name: String,
    /// What it is for; the service insists on it.
    pub description: String,
    /// Its tags.
    #[serde(skip_serializing_if = "Tags::is_empty")]
    pub freeform_tags: Tags,
}

impl<'c> Identity<'c> {
    fn request(self, method: Method, path: &[&str]) -> Request<'c> {
        self.client.request(method, Service::Identity, path)
    }

    /// The regions that the tenancy uses. Also the cheapest proof that the
    /// credentials work.
    pub async fn region_subscriptions(
        self,
        tenancy: &str,
    ) -> Result<Vec<RegionSubscription>, OciError> {
        self.request(Method::GET, &["tenancies", tenancy, "regionSubscriptions"])
            .named("ListRegionSubscriptions", "list the tenancy's regions")
            .list()
            .await
    }

    /// All regions.
    pub async fn regions(self) -> Result<Vec<RegionName>, OciError> {
        self.request(Method::GET, &["regions"])
            .named("ListRegions", "list the regions")
            .list()
            .await
    }

    /// The tenancy.
    pub async fn tenancy(self, tenancy: &str) -> Result<Tenancy, OciError> {
        let request = self.request(Method::GET, &["tenancies", tenancy]);
        let reply = request
            .named("GetTenancy", "read the tenancy")
            .one()
            .await?;
        Ok(reply.value)
    }

    /// The availability domains of the client's region.
    pub async fn availability_domains(
        self,
        compartment: &str,
    ) -> Result<Vec<AvailabilityDomain>, OciError> {
        self.request(Method::GET, &["availabilityDomains"])
            .named("ListAvailabilityDomains", "list the availability domains")
            .query("compartmentId", compartment)
            .list()
            .await
    }

    /// The fault domains of an availability domain.
    pub async fn fault_domains(
        self,
        compartment: &str,
        availability_domain: &str,
    ) -> Result<Vec<FaultDomain>, OciError> {
        self.request(Method::GET, &["faultDomains"])
            .named(
                "ListFaultDomains",
                format!("list the fault domains of {availability_domain}"),
            )
            .query("compartmentId", compartment)
            .query("availabilityDomain", availability_domain)
            .list()
            .await
    }

    /// The direct children of a compartment, all or those of one name.
    pub async fn compartments(
        self,
        parent: &str,
        name: Option<&str>,
    ) -> Result<Vec<Compartment>, OciError> {
        self.request(Method::GET, &["compartments"])
            .named("ListCompartments", "list the compartments")
            .query("compartmentId", parent)
            .query_opt("name", name)
            .list()
            .await
    }

    /// Every compartment below the tenancy that the user may use.
    pub async fn all_compartments(self, tenancy: &str) -> Result<Vec<Compartment>, OciError> {
        self.request(Method::GET, &["compartments"])
            .named("ListCompartments", "list all compartments")
            .query("compartmentId", tenancy)
            .query("compartmentIdInSubtree", "true")
            .query("accessLevel", "ACCESSIBLE")
            .list()
            .await
    }

    /// A compartment; the tenancy's OCID names the root.
    pub async fn compartment(self, id: &str) -> Result<Versioned<Compartment>, OciError> {
        self.request(Method::GET, &["compartments", id])
            .named("GetCompartment", "read the compartment")
            .one()
            .await
    }

    /// Creates a compartment, in the home region.
    pub async fn create_compartment(
        self,
        body: &CreateCompartment,
        token: &str,
    ) -> Result<Versioned<Compartment>, OciError> {
        self.request(Method::POST, &["compartments"])
            .named(
                "CreateCompartment",
                format!("create compartment `{}`", body.name),
            )
            .json(body)
            .token(token)
            .one()
            .await
    }

    /// Starts to delete an empty compartment, in the home region. It can take
    /// an hour.
    pub async fn delete_compartment(self, id: &str) -> Result<Accepted, OciError> {
        self.request(Method::DELETE, &["compartments", id])
            .named("DeleteCompartment", "delete the compartment")
            .accepted()
            .await
    }
}
