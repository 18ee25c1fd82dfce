//! A copy of a cluster's collections, kept up to date by watches, and told at
//! once of what its own user writes: controllers and kubelets read here, so
//! they never act on a state older than their own last deed.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::api::{Api, ApiError, Event};
use super::kind::{Kind, key_of, text};
use crate::clock::Clock;

/// How many deleted objects are remembered, so that a late event about one
/// does not bring it back.
const GRAVES: usize = 1024;
/// The pause before a failed list or watch is tried again, in real time.
const RETRY: Duration = Duration::from_millis(200);

/// One change of an object.
#[derive(Debug, Clone)]
pub struct News {
    /// What it is.
    pub kind: Kind,
    /// `namespace/name`, or the name.
    pub key: Arc<str>,
    /// As it was.
    pub before: Option<Arc<Value>>,
    /// As it is; none if it is gone.
    pub after: Option<Arc<Value>>,
}

impl News {
    /// The object, or how it was last.
    pub fn object(&self) -> Option<&Value> {
        self.after.as_deref().or(self.before.as_deref())
    }
}

type Table = BTreeMap<Arc<str>, Arc<Value>>;

#[derive(Debug, Default)]
struct Graves {
    uids: HashSet<String>,
    order: VecDeque<String>,
}

impl Graves {
    fn dig(&mut self, uid: &str) {
        if uid.is_empty() || !self.uids.insert(uid.to_owned()) {
            return;
        }
        self.order.push_back(uid.to_owned());
        if self.order.len() > GRAVES
            && let Some(oldest) = self.order.pop_front()
        {
            self.uids.remove(&oldest);
        }
    }
}

/// The copy.
#[derive(Debug)]
pub struct Cache {
    tables: RwLock<HashMap<Kind, Table>>,
    graves: Mutex<Graves>,
    listeners: Mutex<Vec<mpsc::UnboundedSender<News>>>,
    listed: watch::Sender<HashSet<Kind>>,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            tables: RwLock::default(),
            graves: Mutex::default(),
            listeners: Mutex::default(),
            listed: watch::Sender::new(HashSet::new()),
        }
    }
}

impl Cache {
    /// Follows these collections until `stop` is cancelled.
    pub fn follow(
        self: &Arc<Self>,
        api: &Api,
        kinds: &[Kind],
        clock: &Clock,
        stop: &CancellationToken,
    ) {
        for kind in kinds {
            let (cache, api, clock, kind) = (self.clone(), api.clone(), clock.clone(), *kind);
            let stop = stop.clone();
            tokio::spawn(async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = cache.follow_one(&api, kind, &clock) => {}
                }
            });
        }
    }

    /// Waits until all these collections have been read once.
    pub async fn synced(&self, kinds: &[Kind]) {
        let mut listed = self.listed.subscribe();
        // The sender lives as long as the cache.
        let _ = listed
            .wait_for(|listed| kinds.iter().all(|kind| listed.contains(kind)))
            .await;
    }

    /// Everything that changes from now on.
    pub fn listen(&self) -> mpsc::UnboundedReceiver<News> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.listeners().push(sender);
        receiver
    }

    /// One object by its key.
    pub fn get(&self, kind: Kind, key: &str) -> Option<Arc<Value>> {
        self.read().get(&kind)?.get(key).cloned()
    }

    /// The objects of a namespace; of all if it is empty.
    pub fn list(&self, kind: Kind, namespace: &str) -> Vec<Arc<Value>> {
        let tables = self.read();
        let Some(table) = tables.get(&kind) else {
            return Vec::new();
        };
        if namespace.is_empty() {
            return table.values().cloned().collect();
        }
        let prefix = format!("{namespace}/");
        table
            .range::<str, _>((
                std::ops::Bound::Included(&*prefix),
                std::ops::Bound::Unbounded,
            ))
            .take_while(|(key, _)| key.starts_with(&prefix))
            .map(|(_, object)| object.clone())
            .collect()
    }

    /// Takes note of an object, unless a newer one is known or it is deleted.
    pub fn observe(&self, kind: Kind, object: Value) -> Arc<Value> {
        let key: Arc<str> = key_of(&object).into();
        let object = Arc::new(object);
        let buried = |uid: &str| self.graves().uids.contains(uid);
        if buried(text(&object, "/metadata/uid")) {
            return object;
        }
        let before = {
            let mut tables = self.write();
            let table = tables.entry(kind).or_default();
            if let Some(held) = table.get(&key)
                && version(held) >= version(&object)
            {
                return object;
            }
            table.insert(key.clone(), object.clone())
        };
        self.tell(&News {
            kind,
            key,
            before,
            after: Some(object.clone()),
        });
        object
    }

    /// Takes note of an object's end.
    pub fn forget(&self, kind: Kind, object: &Value) {
        let uid = text(object, "/metadata/uid");
        self.graves().dig(uid);
        let key = key_of(object);
        let before = {
            let mut tables = self.write();
            let Some(table) = tables.get_mut(&kind) else {
                return;
            };
            // Another may have the name by now.
            if table
                .get(&*key)
                .is_none_or(|held| text(held, "/metadata/uid") != uid)
            {
                return;
            }
            table.remove(&*key)
        };
        self.tell(&News {
            kind,
            key: key.into(),
            before,
            after: None,
        });
    }

    async fn follow_one(&self, api: &Api, kind: Kind, clock: &Clock) {
        loop {
            // Both fail when the server goes away, or when the version is too
            // old; the answer to both is to read everything again.
            if let Err(error) = self.list_and_watch(api, kind).await {
                tracing::debug!(?kind, %error, "following a collection is interrupted");
                let pause = RETRY.mul_f64(clock.rate());
                if !error.is(410) && clock.sleep(pause).await.is_err() {
                    return;
                }
            }
        }
    }

    async fn list_and_watch(&self, api: &Api, kind: Kind) -> Result<(), ApiError> {
        let path = kind.collection("");
        let mut list = api.get(&path).await?;
        let mut at = text(&list, "/metadata/resourceVersion").to_owned();
        let items = list.get_mut("items").map(Value::take).unwrap_or_default();
        self.replace(kind, items);
        self.listed.send_if_modified(|listed| listed.insert(kind));
        loop {
            let mut watch = api.watch(&path, &at, "").await?;
            while let Some(event) = watch.next().await? {
                match event {
                    Event::Is(object) => {
                        text(&object, "/metadata/resourceVersion").clone_into(&mut at);
                        self.observe(kind, object);
                    }
                    Event::Gone(object) => {
                        text(&object, "/metadata/resourceVersion").clone_into(&mut at);
                        self.forget(kind, &object);
                    }
                    Event::Bookmark(version) => at = version,
                }
            }
        }
    }

    /// Takes note of a whole collection, and of what is no longer in it.
    fn replace(&self, kind: Kind, items: Value) {
        let items = match items {
            Value::Array(items) => items,
            _ => Vec::new(),
        };
        let present: HashSet<String> = items
            .iter()
            .map(|item| text(item, "/metadata/uid").to_owned())
            .collect();
        for held in self.list(kind, "") {
            if !present.contains(text(&held, "/metadata/uid")) {
                self.forget(kind, &held);
            }
        }
        for mut item in items {
            // Items of lists do not repeat their kind.
            item["apiVersion"] = kind.api_version().into();
            item["kind"] = kind.name().into();
            self.observe(kind, item);
        }
    }

    fn tell(&self, news: &News) {
        self.listeners()
            .retain(|listener| listener.send(news.clone()).is_ok());
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, HashMap<Kind, Table>> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, HashMap<Kind, Table>> {
        self.tables.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn graves(&self) -> std::sync::MutexGuard<'_, Graves> {
        self.graves.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listeners(&self) -> std::sync::MutexGuard<'_, Vec<mpsc::UnboundedSender<News>>> {
        self.listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn version(object: &Value) -> u64 {
    text(object, "/metadata/resourceVersion")
        .parse()
        .unwrap_or_default()
}

/// A JSON merge patch (RFC 7396), applied here.
fn merge_into(target: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        target.clone_from(patch);
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Some(target) = target.as_object_mut() else {
        return;
    };
    for (name, value) in fields {
        if value.is_null() {
            target.shift_remove(name);
        } else {
            merge_into(target.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

/// A client whose deeds the cache knows at once.
#[derive(Debug, Clone)]
pub struct Client {
    /// Who acts.
    pub api: Api,
    /// What is known.
    pub cache: Arc<Cache>,
}

impl Client {
    /// The same in a controller's name.
    #[must_use]
    pub fn as_controller(&self, name: &str) -> Self {
        Self {
            api: self.api.as_controller(name),
            cache: self.cache.clone(),
        }
    }

    /// Makes an object.
    pub async fn create(&self, kind: Kind, object: &Value) -> Result<Arc<Value>, ApiError> {
        let path = kind.collection(text(object, "/metadata/namespace"));
        let made = self.api.create(&path, object).await?;
        Ok(self.cache.observe(kind, made))
    }

    /// Replaces an object, if it is still in the version given.
    pub async fn update(&self, kind: Kind, object: &Value) -> Result<Arc<Value>, ApiError> {
        let made = self.api.update(&kind.path_of(object), object).await?;
        Ok(self.cache.observe(kind, made))
    }

    /// Changes an object by a merge patch. The real controllers may patch pods
    /// and nodes, but only replace most of what else they change: then it is
    /// the known version that is changed, or a conflict.
    pub async fn merge(
        &self,
        kind: Kind,
        object: &Value,
        patch: &Value,
    ) -> Result<Arc<Value>, ApiError> {
        if matches!(kind, Kind::Pods | Kind::Nodes) {
            let made = self.api.merge(&kind.path_of(object), patch).await?;
            return Ok(self.cache.observe(kind, made));
        }
        let mut changed = object.clone();
        merge_into(&mut changed, patch);
        self.update(kind, &changed).await
    }

    /// Replaces an object's status, unless it is so already.
    pub async fn set_status(
        &self,
        kind: Kind,
        object: &Value,
        status: Value,
    ) -> Result<(), ApiError> {
        if object.get("status") == Some(&status) {
            return Ok(());
        }
        let mut object = object.clone();
        object["status"] = status;
        let path = format!("{}/status", kind.path_of(&object));
        let made = self.api.update(&path, &object).await?;
        self.cache.observe(kind, made);
        Ok(())
    }

    /// Deletes an object; one that is gone already is fine.
    pub async fn delete(&self, kind: Kind, object: &Value) -> Result<(), ApiError> {
        self.delete_within(kind, object, None).await
    }

    /// Deletes a pod with this grace period.
    pub async fn delete_within(
        &self,
        kind: Kind,
        object: &Value,
        grace: Option<u64>,
    ) -> Result<(), ApiError> {
        let uid = text(object, "/metadata/uid");
        let answer = match self.api.delete_uid(&kind.path_of(object), uid, grace).await {
            Ok(answer) => answer,
            Err(error) if error.is_not_found() => {
                self.cache.forget(kind, object);
                return Ok(());
            }
            // Another object has the name.
            Err(error) if error.is_conflict() && error.message().contains("UID") => return Ok(()),
            Err(error) => return Err(error),
        };
        let waits = answer
            .pointer("/metadata/finalizers")
            .and_then(Value::as_array)
            .is_some_and(|all| !all.is_empty())
            || answer
                .pointer("/metadata/deletionGracePeriodSeconds")
                .and_then(Value::as_u64)
                .is_some_and(|seconds| seconds > 0);
        if waits {
            self.cache.observe(kind, answer);
        } else {
            self.cache.forget(kind, object);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(name: &str, uid: &str, version: u64) -> Value {
        json!({"metadata": {
            "namespace": "n", "name": name, "uid": uid, "resourceVersion": version.to_string()
        }})
    }

    #[test]
    fn late_news_change_nothing() {
        let cache = Cache::default();
        let mut heard = cache.listen();
        cache.observe(Kind::Pods, pod("a", "1", 5));
        cache.observe(Kind::Pods, pod("a", "1", 4));
        cache.forget(Kind::Pods, &pod("a", "1", 6));
        cache.observe(Kind::Pods, pod("a", "1", 5));
        assert!(cache.list(Kind::Pods, "n").is_empty());
        cache.observe(Kind::Pods, pod("a", "2", 7));
        cache.forget(Kind::Pods, &pod("a", "1", 6));
        assert_eq!(cache.list(Kind::Pods, "n").len(), 1);
        let mut count = 0;
        while heard.try_recv().is_ok() {
            count += 1;
        }
        assert_eq!(count, 3);
    }

    #[test]
    fn a_merge_patch_sets_nests_and_removes() {
        let mut object = json!({"a": {"b": 1, "c": 2}, "d": [1]});
        merge_into(
            &mut object,
            &json!({"a": {"b": null, "e": {"f": 3, "g": null}}, "d": [2]}),
        );
        assert_eq!(object, json!({"a": {"c": 2, "e": {"f": 3}}, "d": [2]}));
    }

    #[test]
    fn a_namespace_is_no_prefix_of_another() {
        let cache = Cache::default();
        let mut other = pod("a", "1", 5);
        other["metadata"]["namespace"] = json!("n-2");
        cache.observe(Kind::Pods, other);
        cache.observe(Kind::Pods, pod("b", "2", 6));
        assert_eq!(cache.list(Kind::Pods, "n").len(), 1);
        assert_eq!(cache.list(Kind::Pods, "").len(), 2);
    }
}
