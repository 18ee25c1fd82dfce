//! Service limits: what the tenancy may have, and what of it is left.

use http::Method;
use serde::Deserialize;

use super::call::Request;
use super::types::words;
use super::{Client, OciError, Service};

/// Calls to the limits service.
#[derive(Debug, Clone, Copy)]
pub struct Limits<'c> {
    pub(super) client: &'c Client,
}

words! {
    /// What a limit is counted over.
    LimitScope {
        /// The tenancy.
        Global = "GLOBAL",
        /// A region.
        Region = "REGION",
        /// An availability domain.
        AvailabilityDomain = "AD",
    }
}

/// A limit.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LimitValue {
    /// Its name: `cluster-count`.
    pub name: String,
    /// What it is counted over.
    pub scope_type: LimitScope,
    /// Where, when it is counted per availability domain.
    #[serde(default)]
    pub availability_domain: Option<String>,
    /// How much.
    #[serde(default)]
    pub value: Option<i64>,
}

/// What of a limit is in use and left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceAvailability {
    /// In use.
    #[serde(default)]
    pub used: Option<i64>,
    /// Left; absent when the service does not know.
    #[serde(default)]
    pub available: Option<i64>,
    /// In use, to the fraction.
    #[serde(default)]
    pub fractional_usage: Option<f64>,
    /// Left, to the fraction.
    #[serde(default)]
    pub fractional_availability: Option<f64>,
    /// The quota in force on top of the limit.
    #[serde(default)]
    pub effective_quota_value: Option<f64>,
}

impl<'c> Limits<'c> {
    fn request(self, path: &[&str]) -> Request<'c> {
        self.client.request(Method::GET, Service::Limits, path)
    }

    /// The limits of a service, such as `container-engine`, all or one. The
    /// service answers for the tenancy only.
    pub async fn values(
        self,
        tenancy: &str,
        service: &str,
        name: Option<&str>,
    ) -> Result<Vec<LimitValue>, OciError> {
        self.request(&["limitValues"])
            .named("ListLimitValues", format!("list the limits of {service}"))
            .query("compartmentId", tenancy)
            .query("serviceName", service)
            .query_opt("name", name)
            .list()
            .await
    }

    /// What of a limit is left. The availability domain is given for limits
    /// that are counted per availability domain, and only for those.
    pub async fn availability(
        self,
        compartment: &str,
        service: &str,
        name: &str,
        availability_domain: Option<&str>,
    ) -> Result<ResourceAvailability, OciError> {
        let reply = self
            .request(&["services", service, "limits", name, "resourceAvailability"])
            .named(
                "GetResourceAvailability",
                format!("read what is left of {service} {name}"),
            )
            .query("compartmentId", compartment)
            .query_opt("availabilityDomain", availability_domain)
            .one()
            .await?;
        Ok(reply.value)
    }
}
