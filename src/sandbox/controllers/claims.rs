//! `PersistentVolumeClaims`: a block volume of at least 50 GB for each, once a
//! pod needs it, and its end.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::queue::{Again, Controller};
use super::resources::millis;
use super::{Plane, stamp};
use crate::sandbox::api::ApiError;
use crate::sandbox::cache::{Client, News};
use crate::sandbox::kind::{Kind, is_leaving, items, key_of, text, uid};

const NAME: &str = "persistentvolume-controller";
const DRIVER: &str = "blockvolume.csi.oraclecloud.com";
const SELECTED: &str = "volume.kubernetes.io/selected-node";
const PROTECTED: &str = "kubernetes.io/pvc-protection";
/// The smallest block volume there is.
const SMALLEST_GB: i64 = 50;

/// Where block volumes come from.
pub trait Disks: fmt::Debug + Send + Sync + 'static {
    /// Makes a volume for a cluster and gives its OCID, or says why not.
    fn make(&self, cluster: &str, name: &str, gigabytes: u64) -> Result<String, String>;

    /// Deletes a volume.
    fn remove(&self, id: &str);
}

/// The controller.
pub struct Claims {
    plane: Arc<Plane>,
    binder: Client,
    keeper: Client,
}

/// The gigabytes of a volume for a request.
fn gigabytes(request: &Value) -> i64 {
    let bytes = millis(request) / 1000;
    let whole = bytes.div_euclid(1 << 30) + i64::from(bytes.rem_euclid(1 << 30) > 0);
    whole.max(SMALLEST_GB)
}

impl Claims {
    /// The controller of a plane.
    pub fn new(plane: &Arc<Plane>) -> Self {
        Self {
            plane: plane.clone(),
            binder: plane.client.as_controller("persistent-volume-binder"),
            keeper: plane.client.as_controller("pvc-protection-controller"),
        }
    }

    fn is_used(&self, claim: &Value) -> bool {
        let name = text(claim, "/metadata/name");
        self.plane
            .cache()
            .list(Kind::Pods, text(claim, "/metadata/namespace"))
            .iter()
            .filter(|pod| !super::pods::is_finished(pod))
            .flat_map(|pod| items(pod, "/spec/volumes").to_vec())
            .any(|volume| text(&volume, "/persistentVolumeClaim/claimName") == name)
    }

    async fn release(&self, claim: &Value) -> Result<(), ApiError> {
        let finalizers = items(claim, "/metadata/finalizers");
        if !finalizers.iter().any(|name| name == PROTECTED) || self.is_used(claim) {
            return Ok(());
        }
        let left: Vec<_> = finalizers
            .iter()
            .filter(|name| **name != PROTECTED)
            .collect();
        let mut changed = claim.clone();
        changed["metadata"]["finalizers"] = json!(left);
        let path = Kind::Claims.path_of(claim);
        match self.keeper.api.update(&path, &changed).await {
            Ok(made) if left.is_empty() => self.plane.cache().forget(Kind::Claims, &made),
            Ok(made) => {
                self.plane.cache().observe(Kind::Claims, made);
            }
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Binds a claim to a new volume, if it is time.
    async fn provide(&self, claim: &Value) -> Result<(), ApiError> {
        let class_name = text(claim, "/spec/storageClassName");
        let Some(class) = self.plane.cache().get(Kind::StorageClasses, class_name) else {
            let message = if class_name.is_empty() {
                "no persistent volumes available for this claim and no storage class is set"
                    .to_owned()
            } else {
                format!("storageclass.storage.k8s.io {class_name:?} not found")
            };
            let (reason, warning) = if class_name.is_empty() {
                ("FailedBinding", false)
            } else {
                ("ProvisioningFailed", true)
            };
            if warning {
                self.plane.events.warning(NAME, claim, reason, message);
            } else {
                self.plane.events.normal(NAME, claim, reason, message);
            }
            return self.pend(claim).await;
        };
        let waits = text(&class, "/volumeBindingMode") == "WaitForFirstConsumer";
        let node = claim
            .pointer("/metadata/annotations")
            .and_then(|all| all.get(SELECTED))
            .and_then(Value::as_str);
        if waits && node.is_none() {
            self.plane.events.normal(
                NAME,
                claim,
                "WaitForFirstConsumer",
                "waiting for first consumer to be created before binding".to_owned(),
            );
            return self.pend(claim).await;
        }
        let name = format!("pvc-{}", uid(claim));
        let size = gigabytes(&claim["spec"]["resources"]["requests"]["storage"]);
        let provisioner = text(&class, "/provisioner");
        if self.plane.cache().get(Kind::Volumes, &name).is_some() {
            // An earlier try made it and was interrupted.
            return self.bind(claim, &name, provisioner, size).await;
        }
        let whole = u64::try_from(size).unwrap_or_default();
        let handle = match self.plane.disks.get() {
            Some(disks) => disks.make(&self.plane.cluster, &name, whole),
            None => Ok(format!(
                "ocid1.volume.oc1..{}",
                self.plane.world.letters(&name, 60)
            )),
        };
        let handle = match handle {
            Ok(handle) => handle,
            Err(why) => {
                let message =
                    format!("failed to provision volume with StorageClass {class_name:?}: {why}");
                self.plane
                    .events
                    .warning(DRIVER, claim, "ProvisioningFailed", message);
                return self.pend(claim).await;
            }
        };
        self.make_volume(claim, &class, &name, &handle, size, node)
            .await?;
        let message = format!("Successfully provisioned volume {name}");
        self.plane
            .events
            .normal(DRIVER, claim, "ProvisioningSucceeded", message);
        self.bind(claim, &name, provisioner, size).await
    }

    async fn pend(&self, claim: &Value) -> Result<(), ApiError> {
        if text(claim, "/status/phase") == "Pending" {
            return Ok(());
        }
        self.binder
            .set_status(Kind::Claims, claim, json!({"phase": "Pending"}))
            .await
    }

    async fn make_volume(
        &self,
        claim: &Value,
        class: &Value,
        name: &str,
        handle: &str,
        size: i64,
        node: Option<&str>,
    ) -> Result<(), ApiError> {
        let node = node.and_then(|name| self.plane.cache().get(Kind::Nodes, name));
        let zone = node
            .as_ref()
            .and_then(|node| node.pointer("/metadata/labels/topology.kubernetes.io~1zone"));
        let mut volume = json!({
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {
                "name": name,
                "annotations": {
                    "pv.kubernetes.io/provisioned-by": text(class, "/provisioner"),
                },
            },
            "spec": {
                "capacity": {"storage": format!("{size}Gi")},
                "csi": {
                    "driver": DRIVER,
                    "fsType": "ext4",
                    "volumeHandle": handle,
                    "volumeAttributes": {"vpusPerGB": "10", "needResize": "false"},
                },
                "accessModes": claim["spec"]["accessModes"],
                "claimRef": {
                    "kind": "PersistentVolumeClaim", "apiVersion": "v1",
                    "namespace": text(claim, "/metadata/namespace"),
                    "name": text(claim, "/metadata/name"),
                    "uid": uid(claim),
                },
                "persistentVolumeReclaimPolicy": match text(class, "/reclaimPolicy") {
                    "" => "Delete",
                    policy => policy,
                },
                "storageClassName": text(class, "/metadata/name"),
                "volumeMode": "Filesystem",
            },
        });
        if let Some(zone) = zone {
            volume["spec"]["nodeAffinity"] = json!({"required": {"nodeSelectorTerms": [{
                "matchExpressions": [{
                    "key": "topology.kubernetes.io/zone", "operator": "In", "values": [zone],
                }],
            }]}});
        }
        match self.binder.create(Kind::Volumes, &volume).await {
            Err(error) if error.is_conflict() => Ok(()),
            made => {
                let made = made?;
                let status = json!({
                    "phase": "Bound",
                    "lastPhaseTransitionTime": stamp(self.plane.clock().now()),
                });
                self.binder.set_status(Kind::Volumes, &made, status).await
            }
        }
    }

    async fn bind(
        &self,
        claim: &Value,
        volume: &str,
        provisioner: &str,
        size: i64,
    ) -> Result<(), ApiError> {
        let patch = json!({
            "metadata": {"annotations": {
                "pv.kubernetes.io/bind-completed": "yes",
                "pv.kubernetes.io/bound-by-controller": "yes",
                "volume.kubernetes.io/storage-provisioner": provisioner,
                "volume.beta.kubernetes.io/storage-provisioner": provisioner,
            }},
            "spec": {"volumeName": volume},
        });
        let bound = self.binder.merge(Kind::Claims, claim, &patch).await?;
        let capacity = json!({"storage": format!("{size}Gi")});
        self.confirm(&bound, &capacity).await
    }

    /// Says of a claim that has its volume that it is bound.
    async fn confirm(&self, claim: &Value, capacity: &Value) -> Result<(), ApiError> {
        let status = json!({
            "phase": "Bound",
            "accessModes": claim["spec"]["accessModes"],
            "capacity": capacity,
        });
        self.binder.set_status(Kind::Claims, claim, status).await
    }

    /// A volume whose claim is gone: deleted, or kept as released.
    async fn reclaim(&self, volume: &Value) -> Result<(), ApiError> {
        let claim = volume.pointer("/spec/claimRef").unwrap_or(&Value::Null);
        let key = crate::sandbox::kind::key(text(claim, "/namespace"), text(claim, "/name"));
        let held = self.plane.cache().get(Kind::Claims, &key);
        let lost = !text(claim, "/uid").is_empty()
            && held.is_none_or(|held| uid(&held) != text(claim, "/uid"));
        if !lost && !is_leaving(volume) {
            return Ok(());
        }
        if text(volume, "/spec/persistentVolumeReclaimPolicy") != "Delete" {
            let status = json!({"phase": "Released"});
            return self.binder.set_status(Kind::Volumes, volume, status).await;
        }
        if let Some(disks) = self.plane.disks.get() {
            disks.remove(text(volume, "/spec/csi/volumeHandle"));
        }
        if !items(volume, "/metadata/finalizers").is_empty() {
            let patch = json!({"metadata": {"finalizers": null}});
            self.binder.merge(Kind::Volumes, volume, &patch).await?;
        }
        self.binder.delete(Kind::Volumes, volume).await
    }
}

#[async_trait]
impl Controller for Claims {
    fn concerns(&self, news: &News) -> Vec<String> {
        match news.kind {
            Kind::Claims => {
                let mut keys = vec![news.key.to_string()];
                let volume = news.object().map_or("", |c| text(c, "/spec/volumeName"));
                if news.after.is_none() && !volume.is_empty() {
                    keys.push(volume.to_owned());
                }
                keys
            }
            Kind::Volumes if news.after.is_some() => vec![news.key.to_string()],
            Kind::StorageClasses => {
                let all = self.plane.cache().list(Kind::Claims, "");
                let open = all
                    .iter()
                    .filter(|claim| text(claim, "/spec/volumeName").is_empty());
                open.map(|claim| key_of(claim)).collect()
            }
            // A claim that is to go waits for its last user.
            Kind::Pods
                if news
                    .after
                    .as_ref()
                    .is_none_or(|p| super::pods::is_finished(p)) =>
            {
                let namespace = news.object().map_or("", |p| text(p, "/metadata/namespace"));
                let all = self.plane.cache().list(Kind::Claims, namespace);
                let leaving = all.iter().filter(|claim| is_leaving(claim));
                leaving.map(|claim| key_of(claim)).collect()
            }
            _ => Vec::new(),
        }
    }

    async fn look(&self, key: &str) -> Result<Again, ApiError> {
        if !key.contains('/') {
            if let Some(volume) = self.plane.cache().get(Kind::Volumes, key) {
                self.reclaim(&volume).await?;
            }
            return Ok(None);
        }
        let Some(claim) = self.plane.cache().get(Kind::Claims, key) else {
            return Ok(None);
        };
        if is_leaving(&claim) {
            self.release(&claim).await?;
            return Ok(None);
        }
        let volume = text(&claim, "/spec/volumeName");
        if volume.is_empty() {
            self.provide(&claim).await?;
        } else if text(&claim, "/status/phase") != "Bound" {
            // It names its volume itself, or binding it was interrupted.
            match self.plane.cache().get(Kind::Volumes, volume) {
                Some(volume) => self.confirm(&claim, &volume["spec"]["capacity"]).await?,
                None => self.pend(&claim).await?,
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_volume_is_smaller_than_fifty_gigabytes() {
        for (request, expected) in [("1Gi", 50), ("16Gi", 50), ("50Gi", 50), ("60000Mi", 59)] {
            assert_eq!(gigabytes(&json!(request)), expected, "{request}");
        }
    }
}
