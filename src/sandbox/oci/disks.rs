//! The clusters' volume driver: block volumes for persistent volume claims.

use serde_json::{Map, json};

use super::ledger::{Kind, Ledger};
use super::{Oci, blockstorage, millis};
use crate::sandbox::controllers::claims::Disks;

impl Disks for Oci {
    fn make(&self, cluster: &str, name: &str, gigabytes: u64) -> Result<String, String> {
        self.world.store.write(|tx| {
            let mut books = self.books(tx);
            let owner = books
                .get_live(Kind::Cluster, cluster)
                .map_err(|error| error.message)?;
            let mut asked = Map::new();
            asked.insert(
                "compartmentId".into(),
                owner.str("compartmentId").to_owned().into(),
            );
            asked.insert("displayName".into(), name.into());
            let zone = super::node_pool::of_cluster(&books, cluster)
                .iter()
                .flat_map(|pool| pool.array("nodes").to_vec())
                .find_map(|node| node.get("availabilityDomain").cloned());
            if let Some(zone) = zone {
                asked.insert("availabilityDomain".into(), zone);
            }
            let tags = owner.body.get("freeformTags").cloned();
            asked.insert("freeformTags".into(), tags.unwrap_or_else(|| json!({})));
            asked.insert(
                "systemTags".into(),
                json!({"orcl-containerengine": {"Cluster": cluster}}),
            );
            blockstorage::make(&mut books, &asked, gigabytes)
                .map(|volume| volume.id().to_owned())
                .map_err(|error| error.message)
        })
    }

    fn remove(&self, id: &str) {
        let done: Result<(), std::convert::Infallible> = self.world.store.write(|tx| {
            let mut books = self.books(tx);
            if let Some(mut volume) = books.live(Kind::Volume, id) {
                books.bury(Kind::Volume, &mut volume);
            }
            Ok(())
        });
        done.unwrap_or_else(|never| match never {});
    }
}

impl Oci {
    fn books<'a, 'b>(
        &'a self,
        tx: &'a mut crate::sandbox::store::Transaction<'b>,
    ) -> Ledger<'a, 'b> {
        Ledger {
            world: &self.world,
            account: &self.account,
            age: millis(self.world.age()),
            tx,
        }
    }
}
