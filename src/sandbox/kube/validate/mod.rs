//! The rules that objects must keep, in Kubernetes' words.

mod at;
mod batch;
mod container;
mod content;
mod hooks;
mod metadata;
pub mod names;
mod network;
mod pod;
mod policy;
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
        if broken.is_empty() {
            broken = custom.rules.check(&custom.schema, new, old);
        }
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
        ("", "pods") => pod::check(old, new, out),
        ("", "persistentvolumeclaims") => policy::claim(old, new, out),
        ("", "resourcequotas") => policy::quota(new, out),
        ("apps", "deployments" | "statefulsets" | "daemonsets" | "replicasets") => {
            workload::check(&resource.plural, old, new, out);
        }
        ("batch", "jobs") => batch::job(old, new, out),
        ("batch", "cronjobs") => batch::cron_job(new, out),
        ("networking.k8s.io", "ingresses") => network::ingress(new, out),
        ("networking.k8s.io", "ingressclasses") => network::class(new, out),
        ("networking.k8s.io", "networkpolicies") => network::policy(new, out),
        ("policy", "poddisruptionbudgets") => policy::budget(new, out),
        ("autoscaling", "horizontalpodautoscalers") => policy::autoscaler(new, out),
        ("scheduling.k8s.io", "priorityclasses") => policy::priority(new, out),
        ("storage.k8s.io", "storageclasses") => policy::storage_class(new, out),
        ("rbac.authorization.k8s.io", "roles" | "clusterroles") => {
            policy::role(new, resource.namespaced, out);
        }
        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings") => {
            policy::binding(old, new, resource.namespaced, out);
        }
        ("admissionregistration.k8s.io", p) if p.ends_with("webhookconfigurations") => {
            hooks::check(new, out);
        }
        ("apiextensions.k8s.io", _) => out.extend(crd::check_definition(old, new)),
        _ => {}
    }
}
