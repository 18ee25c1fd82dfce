//! A copy of a cluster's collections, kept up to date by watches, and told at
//! once of what its own user writes: controllers and kubelets read here, so
//! they never act on a state older than their own last deed.
//!
//! Of `ConfigMaps` and Secrets the copy has what somebody minds, by name, as
//! kubelets follow what their pods refer to.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::api::{Api, ApiError, Event};
use super::kind::{Kind, key_of, text};
use crate::clock::Clock;

mod client;

pub use self::client::Client;

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

/// What is followed by one watch: a collection, or the objects of one name in
/// all namespaces.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Selection {
    kind: Kind,
    name: Option<Arc<str>>,
}

impl Selection {
    /// The query that selects it.
    fn query(&self) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        if let Some(name) = &self.name {
            query.append_pair("fieldSelector", &format!("metadata.name={name}"));
        }
        query.finish()
    }

    fn has(&self, object: &Value) -> bool {
        let name = self.name.as_deref();
        name.is_none_or(|name| text(object, "/metadata/name") == name)
    }
}

/// The watch for objects that somebody minds.
#[derive(Debug)]
struct Follower {
    /// How many mind them.
    count: usize,
    /// Whether they have been read once.
    read: watch::Receiver<bool>,
    stop: CancellationToken,
}

/// Objects of one name that are followed for as long as this lives.
#[derive(Debug)]
pub struct Minding {
    cache: Arc<Cache>,
    selection: Selection,
}

impl Drop for Minding {
    fn drop(&mut self) {
        self.cache.leave(&self.selection);
    }
}

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
    minded: Mutex<HashMap<Selection, Follower>>,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            tables: RwLock::default(),
            graves: Mutex::default(),
            listeners: Mutex::default(),
            listed: watch::Sender::new(HashSet::new()),
            minded: Mutex::default(),
        }
    }
}

impl Cache {
    /// Follows the collections that are followed whole until `stop` is
    /// cancelled.
    pub fn follow(self: &Arc<Self>, api: &Api, clock: &Clock, stop: &CancellationToken) {
        for kind in Kind::followed() {
            let selection = Selection { kind, name: None };
            let cache = self.clone();
            let read = move || {
                cache.listed.send_if_modified(|listed| listed.insert(kind));
            };
            self.spawn(api, selection, clock, stop.clone(), read);
        }
    }

    /// Waits until all these collections have been read once.
    pub async fn synced(&self) {
        let mut listed = self.listed.subscribe();
        // The sender lives as long as the cache.
        let _ = listed
            .wait_for(|listed| Kind::followed().all(|kind| listed.contains(&kind)))
            .await;
    }

    /// Follows the objects of a name, in all namespaces, and waits until they
    /// have been read. They stay until the last who minds them does so no
    /// more, or `stop` is cancelled.
    pub async fn mind(
        self: &Arc<Self>,
        api: &Api,
        (kind, name): (Kind, &str),
        clock: &Clock,
        stop: &CancellationToken,
    ) -> Minding {
        let name = Some(name.into());
        let selection = Selection { kind, name };
        let (minding, mut read) = self.join(api, selection, clock, stop);
        // An error is the end of everything.
        let _ = read.wait_for(|read| *read).await;
        minding
    }

    fn join(
        self: &Arc<Self>,
        api: &Api,
        selection: Selection,
        clock: &Clock,
        stop: &CancellationToken,
    ) -> (Minding, watch::Receiver<bool>) {
        let mut minded = self.minded();
        let follower = minded.entry(selection.clone()).or_insert_with(|| {
            let stop = stop.child_token();
            let (sender, read) = watch::channel(false);
            let told = move || {
                sender.send_replace(true);
            };
            self.spawn(api, selection.clone(), clock, stop.clone(), told);
            let count = 0;
            Follower { count, read, stop }
        });
        follower.count += 1;
        let read = follower.read.clone();
        let cache = self.clone();
        (Minding { cache, selection }, read)
    }

    /// One less minds these objects; when nobody does, they are dropped, which
    /// is no news of them.
    fn leave(&self, selection: &Selection) {
        let mut minded = self.minded();
        let Some(follower) = minded.get_mut(selection) else {
            return;
        };
        follower.count -= 1;
        if follower.count == 0 {
            follower.stop.cancel();
            minded.remove(selection);
            if let Some(table) = self.write().get_mut(&selection.kind) {
                table.retain(|_, object| !selection.has(object));
            }
        }
    }

    fn spawn(
        self: &Arc<Self>,
        api: &Api,
        selection: Selection,
        clock: &Clock,
        stop: CancellationToken,
        read: impl Fn() + Send + Sync + 'static,
    ) {
        let (cache, api, clock) = (self.clone(), api.clone(), clock.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = cache.follow_one(&api, &selection, &clock, &read) => {}
            }
        });
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

    async fn follow_one(
        &self,
        api: &Api,
        selection: &Selection,
        clock: &Clock,
        read: &(impl Fn() + Sync),
    ) {
        loop {
            // Both fail when the server goes away, or when the version is too
            // old; the answer to both is to read everything again.
            if let Err(error) = self.list_and_watch(api, selection, read).await {
                tracing::debug!(?selection, %error, "following a collection is interrupted");
                let pause = RETRY.mul_f64(clock.rate());
                if !error.is(410) && clock.sleep(pause).await.is_err() {
                    return;
                }
            }
        }
    }

    async fn list_and_watch(
        &self,
        api: &Api,
        selection: &Selection,
        read: &(impl Fn() + Sync),
    ) -> Result<(), ApiError> {
        let kind = selection.kind;
        let (path, query) = (kind.collection(""), selection.query());
        let mut list = api.get(&format!("{path}?{query}")).await?;
        let mut at = text(&list, "/metadata/resourceVersion").to_owned();
        let items = list.get_mut("items").map(Value::take).unwrap_or_default();
        self.replace(selection, items);
        read();
        loop {
            let mut watch = api.watch(&path, &at, &query).await?;
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

    /// Takes note of a whole selection, and of what is no longer in it.
    fn replace(&self, selection: &Selection, items: Value) {
        let kind = selection.kind;
        let items = match items {
            Value::Array(items) => items,
            _ => Vec::new(),
        };
        let present: HashSet<String> = items
            .iter()
            .map(|item| text(item, "/metadata/uid").to_owned())
            .collect();
        let held = self.list(kind, "").into_iter();
        for held in held.filter(|object| selection.has(object)) {
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

    fn minded(&self) -> std::sync::MutexGuard<'_, HashMap<Selection, Follower>> {
        self.minded.lock().unwrap_or_else(PoisonError::into_inner)
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
