//! Owners and what they own, for the kinds that the cluster's own controllers
//! deal with: deleting the one deletes the other, first it (foreground), or
//! not at all (orphan). Objects of custom kinds end with their namespace.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::namespaces::of_version;
use crate::sandbox::api::ApiError;
use crate::sandbox::cache::{Client, News};
use crate::sandbox::controllers::Plane;
use crate::sandbox::controllers::queue::{Again, Controller};
use crate::sandbox::kind::{Kind, is_leaving, items, text, uid};

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";
/// How often an owner is looked for that is not followed, in real time.
const AGAIN: Duration = Duration::from_secs(2);

/// The controller.
pub(super) struct Garbage {
    plane: Arc<Plane>,
    client: Client,
}

/// What becomes of an object.
enum Fate {
    /// It has an owner, or needs none; when to look again.
    Stays(Again),
    /// All its owners are gone.
    Goes,
}

impl Garbage {
    pub(super) fn new(plane: &Arc<Plane>) -> Self {
        Self {
            plane: plane.clone(),
            client: plane.client.as_controller("generic-garbage-collector"),
        }
    }

    /// What refers to an owner.
    fn owned(&self, owner: &str) -> Vec<(Kind, Arc<Value>)> {
        let refers = |object: &Arc<Value>| references(object).any(|r| uid_of(r) == owner);
        let of = |kind: &Kind| {
            let all = self.plane.cache().list(*kind, "");
            let kind = *kind;
            all.into_iter().filter(refers).map(move |o| (kind, o))
        };
        Kind::ALL.iter().flat_map(of).collect()
    }

    /// Whether an owner is there. Followed kinds are known; others are asked
    /// for.
    async fn is_there(&self, owner: &Value, namespace: &str) -> Result<bool, ApiError> {
        let (kind, name) = (text(owner, "/kind"), text(owner, "/name"));
        if let Some(kind) = followed(owner) {
            let space = if kind.is_namespaced() { namespace } else { "" };
            let key = crate::sandbox::kind::key(space, name);
            let held = self.plane.cache().get(kind, &key);
            if held.is_some_and(|held| uid(&held) == uid_of(owner)) {
                return Ok(true);
            }
            // It may be newer than what is known.
            let found = self.client.api.find(&kind.path(space, name)).await?;
            return Ok(found.is_some_and(|found| uid(&found) == uid_of(owner)));
        }
        let served = match of_version(&self.client.api, text(owner, "/apiVersion")).await {
            Err(error) if error.is_not_found() => return Ok(false),
            served => served?,
        };
        let Some(resource) = served.iter().find(|resource| resource.kind == kind) else {
            return Ok(false);
        };
        let found = self
            .client
            .api
            .find(&resource.path(namespace, name))
            .await?;
        Ok(found.is_some_and(|found| uid(&found) == uid_of(owner)))
    }

    /// What is to become of an object, by its owners.
    async fn fate(&self, object: &Value) -> Result<Fate, ApiError> {
        let namespace = text(object, "/metadata/namespace");
        for owner in references(object) {
            if self.is_there(owner, namespace).await? {
                // News of a followed owner's end will come.
                let again = followed(owner).is_none().then(|| self.soon());
                return Ok(Fate::Stays(again));
            }
        }
        let is_owned = references(object).next().is_some();
        Ok(if is_owned {
            Fate::Goes
        } else {
            Fate::Stays(None)
        })
    }

    /// Goes on with an owner that waits for what it owns.
    async fn end(&self, kind: Kind, owner: &Value, finalizer: &str) -> Result<Again, ApiError> {
        let owned = self.owned(uid(owner));
        for (kind, object) in &owned {
            if finalizer == ORPHAN {
                let left: Vec<_> = references(object)
                    .filter(|r| uid_of(r) != uid(owner))
                    .collect();
                let patch = json!({"metadata": {"uid": uid(object), "ownerReferences": left}});
                let freed = self.client.api.merge(&kind.path_of(object), &patch).await?;
                self.plane.cache().observe(*kind, freed);
            } else if !is_leaving(object) {
                self.client.delete(*kind, object).await?;
            }
        }
        if finalizer == FOREGROUND && !owned.is_empty() {
            return Ok(Some(self.soon()));
        }
        let left: Vec<_> = items(owner, "/metadata/finalizers")
            .iter()
            .filter(|name| **name != finalizer)
            .collect();
        let patch = json!({"metadata": {"uid": uid(owner), "finalizers": left}});
        match self.client.api.merge(&kind.path_of(owner), &patch).await {
            Err(error) if error.is_not_found() => Ok(None),
            done => done.map(|_| None),
        }
    }

    fn soon(&self) -> Duration {
        AGAIN.mul_f64(self.plane.clock().rate())
    }
}

fn references(object: &Value) -> impl Iterator<Item = &Value> {
    items(object, "/metadata/ownerReferences").iter()
}

fn uid_of(reference: &Value) -> &str {
    text(reference, "/uid")
}

/// The kind of an owner, if its objects are followed.
fn followed(owner: &Value) -> Option<Kind> {
    Kind::by_name(text(owner, "/kind"))
        .filter(|kind| kind.api_version() == text(owner, "/apiVersion"))
}

/// Kind and key of an object as one word.
fn word(kind: Kind, key: &str) -> String {
    format!("{} {key}", kind.name())
}

#[async_trait]
impl Controller for Garbage {
    fn concerns(&self, news: &News) -> Vec<String> {
        let Some(object) = &news.after else {
            let gone = news.before.as_deref().map_or("", uid);
            let owned = self.owned(gone).into_iter();
            return owned
                .map(|(kind, object)| word(kind, &crate::sandbox::kind::key_of(&object)))
                .collect();
        };
        let is_owned = references(object).next().is_some();
        let waits = is_leaving(object)
            && items(object, "/metadata/finalizers")
                .iter()
                .any(|name| name == FOREGROUND || name == ORPHAN);
        Vec::from_iter((is_owned || waits).then(|| word(news.kind, &news.key)))
    }

    async fn look(&self, what: &str) -> Result<Again, ApiError> {
        let found = what.split_once(' ').and_then(|(kind, key)| {
            let kind = Kind::by_name(kind)?;
            Some((kind, self.plane.cache().get(kind, key)?))
        });
        let Some((kind, object)) = found else {
            return Ok(None);
        };
        if is_leaving(&object) {
            let waits = |name: &&str| {
                items(&object, "/metadata/finalizers")
                    .iter()
                    .any(|f| f == name)
            };
            return match [ORPHAN, FOREGROUND].iter().find(|name| waits(name)) {
                Some(finalizer) => self.end(kind, &object, finalizer).await,
                None => Ok(None),
            };
        }
        if let Fate::Stays(again) = self.fate(&object).await? {
            return Ok(again);
        }
        // It may have been set free since.
        match self.client.api.find(&kind.path_of(&object)).await? {
            Some(now) if references(&now).eq(references(&object)) => {
                self.client.delete(kind, &object).await?;
            }
            Some(now) => {
                self.plane.cache().observe(kind, now);
            }
            None => {}
        }
        Ok(None)
    }
}
