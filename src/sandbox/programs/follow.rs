//! A live copy of one collection of the API, read as the process's service
//! account: list, then watch, and again when the watch breaks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::super::api::{Api, ApiError, Event};
use super::Process;
use crate::clock::Clock;

/// The pause before a failed list or watch is tried again, in real time.
const RETRY: Duration = Duration::from_millis(200);

#[derive(Debug)]
struct Shared {
    objects: Mutex<BTreeMap<String, Value>>,
    version: watch::Sender<u64>,
}

/// The copy. It is kept up to date until it is dropped.
#[derive(Debug)]
pub struct Follow {
    shared: Arc<Shared>,
    seen: Mutex<u64>,
    task: JoinHandle<()>,
}

impl Drop for Follow {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Follow {
    /// Follows the collection at `path`, e.g. `/api/v1/services`.
    pub fn start(process: &Process, path: &str, query: &str) -> Self {
        let shared = Arc::new(Shared {
            objects: Mutex::default(),
            version: watch::Sender::new(0),
        });
        let (api, clock) = (process.api.clone(), process.world.clock.clone());
        let (copy, path, query) = (shared.clone(), path.to_owned(), query.to_owned());
        let task = tokio::spawn(async move { follow(&api, &clock, &copy, &path, &query).await });
        Self {
            shared,
            seen: Mutex::new(0),
            task,
        }
    }

    /// All objects as they are now.
    pub fn all(&self) -> Vec<Value> {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = *self.shared.version.borrow();
        self.shared.lock().values().cloned().collect()
    }

    /// Waits until the collection has been read once.
    pub async fn synced(&self) {
        let mut version = self.shared.version.subscribe();
        // The sender lives as long as this.
        let _ = version.wait_for(|version| *version > 0).await;
    }

    /// Waits until something differs from what [`Follow::all`] last gave.
    pub async fn changed(&self) {
        let seen = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut version = self.shared.version.subscribe();
        let _ = version.wait_for(|version| *version != seen).await;
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Value>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<String, Value>)) {
        change(&mut self.lock());
        self.version.send_modify(|version| *version += 1);
    }
}

async fn follow(api: &Api, clock: &Clock, copy: &Shared, path: &str, query: &str) {
    loop {
        if let Err(error) = once(api, copy, path, query).await {
            tracing::debug!(path, %error, "following a collection is interrupted");
            let pause = RETRY.mul_f64(clock.rate());
            if !error.is(410) && clock.sleep(pause).await.is_err() {
                return;
            }
        }
    }
}

async fn once(api: &Api, copy: &Shared, path: &str, query: &str) -> Result<(), ApiError> {
    let listed = match query {
        "" => api.get(path).await?,
        query => api.get(&format!("{path}?{query}")).await?,
    };
    let version = |object: &Value| {
        let text = object["metadata"]["resourceVersion"].as_str();
        text.unwrap_or_default().to_owned()
    };
    let mut at = version(&listed);
    let items = listed["items"].as_array().cloned().unwrap_or_default();
    let items = items.into_iter().map(|item| (key(&item), item)).collect();
    copy.change(|objects| *objects = items);
    loop {
        let mut watch = api.watch(path, &at, query).await?;
        while let Some(event) = watch.next().await? {
            match event {
                Event::Is(object) => {
                    at = version(&object);
                    copy.change(|objects| {
                        objects.insert(key(&object), object);
                    });
                }
                Event::Gone(object) => {
                    at = version(&object);
                    copy.change(|objects| {
                        objects.remove(&key(&object));
                    });
                }
                Event::Bookmark(version) => at = version,
            }
        }
    }
}

fn key(object: &Value) -> String {
    let text = |name: &str| object["metadata"][name].as_str().unwrap_or_default();
    format!("{}/{}", text("namespace"), text("name"))
}
