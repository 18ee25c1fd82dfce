//! Block storage: the volumes that a cluster leaves behind.

use http::Method;
use serde::Deserialize;

use super::call::Request;
use super::network::short;
use super::types::{null_as_default, resource};
use super::{Client, Lifecycle, OciError, Service, Tags};

/// Calls to the block storage part of the core service.
#[derive(Debug, Clone, Copy)]
pub struct Storage<'c> {
    pub(super) client: &'c Client,
}

macro_rules! volume {
    ($(#[$meta:meta])* $name:ident, $noun:literal) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Deserialize)]
        #[serde(rename_all = "camelCase")]
        pub struct $name {
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
            /// Its size.
            #[serde(default, rename = "sizeInGBs")]
            pub size_in_gbs: Option<u64>,
            /// Where it is in its life.
            #[serde(default)]
            pub lifecycle_state: Lifecycle,
            /// Its tags.
            #[serde(default, deserialize_with = "null_as_default")]
            pub freeform_tags: Tags,
        }
        resource!($name, $noun, display_name);
    };
}

volume! {
    /// A block volume; one of a persistent volume claim is called `csi-…`.
    Volume, "block volume"
}
volume! {
    /// The volume that an instance boots from.
    BootVolume, "boot volume"
}

/// Which instance a boot volume belongs to.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BootVolumeAttachment {
    /// Its OCID.
    pub id: String,
    /// The boot volume.
    pub boot_volume_id: String,
    /// The instance.
    pub instance_id: String,
    /// Where it is in its life.
    #[serde(default)]
    pub lifecycle_state: Lifecycle,
}

/// Which instance a block volume is attached to.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeAttachment {
    /// Its OCID.
    pub id: String,
    /// The volume.
    pub volume_id: String,
    /// The instance.
    pub instance_id: String,
    /// Where it is in its life.
    #[serde(default)]
    pub lifecycle_state: Lifecycle,
}

impl<'c> Storage<'c> {
    fn request(self, method: Method, path: &[&str]) -> Request<'c> {
        self.client.request(method, Service::Core, path)
    }

    /// The block volumes of a compartment.
    pub async fn volumes(self, compartment: &str) -> Result<Vec<Volume>, OciError> {
        self.request(Method::GET, &["volumes"])
            .named("ListVolumes", "list the block volumes")
            .query("compartmentId", compartment)
            .list()
            .await
    }

    /// A block volume.
    pub async fn volume(self, id: &str) -> Result<Volume, OciError> {
        let request = self.request(Method::GET, &["volumes", id]);
        let doing = format!("read the block volume {}", short(id));
        Ok(request.named("GetVolume", doing).one().await?.value)
    }

    /// Deletes a block volume that nothing is attached to.
    pub async fn delete_volume(self, id: &str) -> Result<(), OciError> {
        self.request(Method::DELETE, &["volumes", id])
            .named(
                "DeleteVolume",
                format!("delete the block volume {}", short(id)),
            )
            .done()
            .await
    }

    /// Which instances the block volumes are attached to.
    pub async fn volume_attachments(
        self,
        compartment: &str,
    ) -> Result<Vec<VolumeAttachment>, OciError> {
        self.request(Method::GET, &["volumeAttachments"])
            .named("ListVolumeAttachments", "list the volume attachments")
            .query("compartmentId", compartment)
            .list()
            .await
    }

    /// The boot volumes of a compartment in an availability domain.
    pub async fn boot_volumes(
        self,
        compartment: &str,
        availability_domain: &str,
    ) -> Result<Vec<BootVolume>, OciError> {
        self.request(Method::GET, &["bootVolumes"])
            .named("ListBootVolumes", "list the boot volumes")
            .query("compartmentId", compartment)
            .query("availabilityDomain", availability_domain)
            .list()
            .await
    }

    /// A boot volume.
    pub async fn boot_volume(self, id: &str) -> Result<BootVolume, OciError> {
        let request = self.request(Method::GET, &["bootVolumes", id]);
        let doing = format!("read the boot volume {}", short(id));
        Ok(request.named("GetBootVolume", doing).one().await?.value)
    }

    /// Which instances the boot volumes belong to.
    pub async fn boot_volume_attachments(
        self,
        compartment: &str,
        availability_domain: &str,
    ) -> Result<Vec<BootVolumeAttachment>, OciError> {
        self.request(Method::GET, &["bootVolumeAttachments"])
            .named(
                "ListBootVolumeAttachments",
                "list the boot volume attachments",
            )
            .query("compartmentId", compartment)
            .query("availabilityDomain", availability_domain)
            .list()
            .await
    }

    /// Deletes a boot volume whose instance is gone.
    pub async fn delete_boot_volume(self, id: &str) -> Result<(), OciError> {
        self.request(Method::DELETE, &["bootVolumes", id])
            .named(
                "DeleteBootVolume",
                format!("delete the boot volume {}", short(id)),
            )
            .done()
            .await
    }
}
