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

    /// The resource of a kind.
    pub fn kind(&self, group: &str, version: &str, kind: &str) -> Option<Arc<Resource>> {
        self.resources
            .iter()
            .find(|r| r.group == group && r.version == version && r.kind == kind)
            .cloned()
    }

    /// Any version of a resource of a group.
    pub fn any_version(&self, group: &str, plural: &str) -> Option<Arc<Resource>> {
        self.resources.iter().find(|r| r.is(group, plural)).cloned()
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

    /// Each stored resource once, whatever versions it is served in.
    pub fn stored(&self) -> Vec<Arc<Resource>> {
        let mut seen: Vec<(&str, &str)> = Vec::new();
        let mut out = Vec::new();
        for resource in &self.resources {
            let key = (resource.storage_group.as_str(), resource.plural.as_str());
            if resource.verbs == catalog::Verbs::All && !seen.contains(&key) {
                seen.push(key);
                out.push(resource.clone());
            }
        }
        out
    }
}
