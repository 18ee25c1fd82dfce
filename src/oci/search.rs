//! Search over all objects of the tenancy. Its index lags by minutes: right
//! for a last look after a teardown, wrong as truth before a create.

use http::Method;
use serde::{Deserialize, Serialize};

use super::types::null_as_default;
use super::{Client, Lifecycle, OciError, Service, Tags};

/// Calls to the search service.
#[derive(Debug, Clone, Copy)]
pub struct Search<'c> {
    pub(super) client: &'c Client,
}

/// An object that matched.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    /// Its type: `Vcn`.
    pub resource_type: String,
    /// Its OCID.
    pub identifier: String,
    /// The compartment that it is in.
    #[serde(default, deserialize_with = "null_as_default")]
    pub compartment_id: String,
    /// Its name.
    #[serde(default, deserialize_with = "null_as_default")]
    pub display_name: String,
    /// Where it was in its life when it was indexed.
    #[serde(default)]
    pub lifecycle_state: Lifecycle,
    /// Its tags.
    #[serde(default, deserialize_with = "null_as_default")]
    pub freeform_tags: Tags,
}

#[derive(Serialize)]
struct Query {
    #[serde(rename = "type")]
    kind: &'static str,
    query: String,
}

impl Search<'_> {
    /// Everything with the tag, whatever its state.
    pub async fn by_tag(self, key: &str, value: &str) -> Result<Vec<Found>, OciError> {
        let query = format!(
            "query all resources where freeformTags.key = '{}' && freeformTags.value = '{}'",
            quoted(key),
            quoted(value)
        );
        self.client
            .request(Method::POST, Service::Search, &["resources"])
            .named(
                "SearchResources",
                format!("search for what is tagged {key}={value}"),
            )
            .json(&Query {
                kind: "Structured",
                query,
            })
            .only_reads()
            .items()
            .await
    }
}

/// A text within the query language's single quotes.
fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\'', "\\'")
}
