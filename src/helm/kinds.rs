//! The orders in which helm installs and removes objects, by their kinds. A
//! kind that is not listed comes last, by its name.

/// The order in which kinds are installed.
const INSTALL: &[&str] = &[
    "PriorityClass",
    "Namespace",
    "NetworkPolicy",
    "ResourceQuota",
    "LimitRange",
    "PodSecurityPolicy",
    "PodDisruptionBudget",
    "ServiceAccount",
    "Secret",
    "SecretList",
    "ConfigMap",
    "StorageClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "CustomResourceDefinition",
    "ClusterRole",
    "ClusterRoleList",
    "ClusterRoleBinding",
    "ClusterRoleBindingList",
    "Role",
    "RoleList",
    "RoleBinding",
    "RoleBindingList",
    "Service",
    "DaemonSet",
    "Pod",
    "ReplicationController",
    "ReplicaSet",
    "Deployment",
    "HorizontalPodAutoscaler",
    "StatefulSet",
    "Job",
    "CronJob",
    "IngressClass",
    "Ingress",
    "APIService",
    "MutatingWebhookConfiguration",
    "ValidatingWebhookConfiguration",
];

/// The order of helm 3, which ends before the two kinds of webhooks.
const INSTALL_WITHOUT_WEBHOOKS: &[&str] = INSTALL.split_at(INSTALL.len() - 2).0;

/// The order in which kinds are removed.
const UNINSTALL: &[&str] = &[
    "ValidatingWebhookConfiguration",
    "MutatingWebhookConfiguration",
    "APIService",
    "Ingress",
    "IngressClass",
    "Service",
    "CronJob",
    "Job",
    "StatefulSet",
    "HorizontalPodAutoscaler",
    "Deployment",
    "ReplicaSet",
    "ReplicationController",
    "Pod",
    "DaemonSet",
    "RoleBindingList",
    "RoleBinding",
    "RoleList",
    "Role",
    "ClusterRoleBindingList",
    "ClusterRoleBinding",
    "ClusterRoleList",
    "ClusterRole",
    "CustomResourceDefinition",
    "PersistentVolumeClaim",
    "PersistentVolume",
    "StorageClass",
    "ConfigMap",
    "SecretList",
    "Secret",
    "ServiceAccount",
    "PodDisruptionBudget",
    "PodSecurityPolicy",
    "LimitRange",
    "ResourceQuota",
    "NetworkPolicy",
    "Namespace",
    "PriorityClass",
];

/// A sort key for installing: known kinds in order, then the others by name.
pub fn install(kind: &str) -> (usize, &str) {
    order(INSTALL, kind)
}

/// A sort key for installing as helm 3 does.
pub fn install_helm3(kind: &str) -> (usize, &str) {
    order(INSTALL_WITHOUT_WEBHOOKS, kind)
}

/// A sort key for uninstalling.
pub fn uninstall(kind: &str) -> (usize, &str) {
    order(UNINSTALL, kind)
}

fn order<'a>(kinds: &[&str], kind: &'a str) -> (usize, &'a str) {
    match kinds.iter().position(|known| *known == kind) {
        Some(place) => (place, ""),
        None => (kinds.len(), kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_sort_in_both_directions_and_unknown_ones_come_last() {
        let mut kinds = ["Zebra", "Deployment", "", "Ape", "Namespace", "Service"];
        kinds.sort_by(|a, b| install(a).cmp(&install(b)));
        assert_eq!(
            kinds,
            ["Namespace", "Service", "Deployment", "", "Ape", "Zebra"]
        );
        kinds.sort_by(|a, b| uninstall(a).cmp(&uninstall(b)));
        assert_eq!(
            kinds,
            ["Service", "Deployment", "Namespace", "", "Ape", "Zebra"]
        );
        let (mut a, mut b) = (INSTALL.to_vec(), UNINSTALL.to_vec());
        a.sort_unstable();
        b.sort_unstable();
        assert_eq!(a, b);
    }
}
