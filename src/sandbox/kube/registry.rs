//! What a cluster serves at the moment: the built-in resources and the custom
//! ones that are established.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::catalog::{self, Resource};

/// All served resources.
#[derive(Debug, Default)]
pub struct Registry {
    /// In the order of discovery.
    pub resources: Vec<Arc<Resource>>,
    by_path: HashMap<(String, String, String), Arc<Resource>>,
}

impl Registry {
    /// The built-in resources and these.
    pub fn new(custom: Vec<Arc<Resource>>) -> Self {
        let resources: Vec<_> = catalog::builtin().iter().cloned().chain(custom).collect();
        let by_path = resources
            .iter()
            .map(|r| {
                let key = (r.group.clone(), r.version.clone(), r.plural.clone());
                (key, r.clone())
            })
            .collect();
        Self { resources, by_path }
    }

    /// The resource with this path.
    pub fn find(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Resource>> {
        let key = (group.to_owned(), version.to_owned(), plural.to_owned());
        self.by_path.get(&key).cloned()
    }

    /// Each group with its versions, in the order of discovery.
    pub fn groups(&self) -> Vec<(String, Vec<String>)> {
        let mut groups: Vec<(String, Vec<String>)> = Vec::new();
        for resource in &self.resources {
            match groups.iter_mut().find(|(g, _)| *g == resource.group) {
                Some((_, versions)) if versions.contains(&resource.version) => {}
                Some((_, versions)) => versions.push(resource.version.clone()),
                None => groups.push((resource.group.clone(), vec![resource.version.clone()])),
            }
        }
        groups
    }

    /// The resources of a group's version.
    pub fn of(&self, group: &str, version: &str) -> Vec<Arc<Resource>> {
        self.resources
            .iter()
            .filter(|r| r.group == group && r.version == version)
            .cloned()
            .collect()
    }
}

/// The registry that requests are answered from.
#[derive(Debug)]
pub struct Served {
    registry: RwLock<Arc<Registry>>,
    renewing: Mutex<()>,
}

impl Default for Served {
    /// The built-in resources.
    fn default() -> Self {
        Self {
            registry: RwLock::new(Arc::new(Registry::new(Vec::new()))),
            renewing: Mutex::default(),
        }
    }
}

impl Served {
    /// What is served now.
    pub fn now(&self) -> Arc<Registry> {
        let held = self.registry.read();
        held.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Serves what `read` finds from now on. One at a time: who has read
    /// first must not be the last to have a say.
    pub fn renew(&self, read: impl FnOnce() -> Registry) {
        let renewing = self.renewing.lock();
        let _alone = renewing.unwrap_or_else(PoisonError::into_inner);
        let registry = Arc::new(read());
        let mut held = self
            .registry
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *held = registry;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_was_read_last_is_served() {
        let served = Served::default();
        let (begin, begun) = mpsc::channel();
        let (end, ended) = mpsc::channel();
        std::thread::scope(|threads| {
            let served = &served;
            threads.spawn(move || {
                begun.recv().unwrap();
                served.renew(Registry::default);
                let _ = end.send(());
            });
            served.renew(|| {
                let old = Registry::new(Vec::new());
                begin.send(()).unwrap();
                // The other has all the time that it needs, if nothing holds it.
                let _ = ended.recv_timeout(Duration::from_millis(100));
                old
            });
        });
        assert!(served.now().resources.is_empty());
    }
}
