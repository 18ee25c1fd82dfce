//! What a cluster serves at the moment: the built-in resources and the custom
//! ones that are established.

use std::collections::HashMap;
use std::sync::Arc;

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
