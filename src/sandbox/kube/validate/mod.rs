//! The rules that objects must keep, in Kubernetes' words.

mod content;
mod metadata;
pub mod names;
mod service;
mod workload;

use serde_json::Value;

use super::catalog::{Resource, Sub};
use super::cluster::text;
use super::crd;
use super::status::{Cause, Outcome, Status};

pub use content::quantity;

/// Refuses an object that breaks rules.
pub fn check(resource: &Resource, old: Option<&Value>, new: &Value) -> Outcome<()> {
    let mut causes = Vec::new();
    metadata::check(resource, new, &mut causes);
    if let Some(custom) = &resource.custom {
        let mut broken = crd::validate(&custom.schema, new);
        if resource.has(Sub::Status) {
            // A write of the one half is not refused for the other.
            broken.retain(|c| old.is_none() || !c.field.starts_with("status"));
        }
        causes.extend(broken);
    } else {
        builtin(resource, old, new, &mut causes);
    }
    if causes.is_empty() {
        return Ok(());
    }
    let name = text(new, "/metadata/name");
    Err(Status::invalid(
        &resource.group,
        &resource.kind,
        name,
        causes,
    ))
}

fn builtin(resource: &Resource, old: Option<&Value>, new: &Value, out: &mut Vec<Cause>) {
    match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "configmaps") => content::config_map(old, new, out),
        ("", "secrets") => content::secret(old, new, out),
        ("", "services") => service::check(old, new, out),
        ("", "pods") => workload::pod(old, new, out),
        ("apps", "deployments" | "statefulsets" | "daemonsets" | "replicasets") => {
            workload::check(&resource.plural, old, new, out);
        }
        ("batch", "jobs") => workload::job(new, out),
        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings") => {
            content::binding(old, new, out);
        }
        ("apiextensions.k8s.io", _) => out.extend(crd::check_definition(old, new)),
        _ => {}
    }
}
