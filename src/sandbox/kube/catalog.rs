//! The built-in resources: what exists, under which names, with which verbs.

use std::sync::{Arc, LazyLock};

use super::crd::Custom;
use super::schema::Schema;

/// A served resource in one version.
#[derive(Debug, Clone)]
pub struct Resource {
    /// The API group; empty for the core.
    pub group: String,
    /// The version.
    pub version: String,
    /// The kind of its objects.
    pub kind: String,
    /// The kind of its lists.
    pub list_kind: String,
    /// The name in paths.
    pub plural: String,
    /// The name of one, for people.
    pub singular: String,
    /// Short names for the command line.
    pub short_names: Vec<String>,
    /// Categories, such as `all`.
    pub categories: Vec<String>,
    /// Whether objects live in a namespace.
    pub namespaced: bool,
    /// What may be done with it.
    pub verbs: Verbs,
    /// The subresources.
    pub subresources: Vec<Sub>,
    /// What objects look like.
    pub schema: Schema,
    /// The definition, for custom resources.
    pub custom: Option<Arc<Custom>>,
    /// The group whose table holds the rows: events are in two groups.
    pub storage_group: String,
    /// The version in which rows are kept.
    pub storage_version: String,
}

/// What may be done with a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verbs {
    /// Everything.
    All,
    /// Reviews: they are made and answered, never kept.
    Create,
    /// Metrics: they are measured when asked for.
    Read,
}

/// A part of an object with a path of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sub {
    /// What controllers observed.
    Status,
    /// How many.
    Scale,
    /// A pod's log.
    Log,
    /// A token for a service account.
    Token,
    /// Asking a pod to go.
    Eviction,
    /// Giving a pod a node.
    Binding,
    /// The end of a namespace.
    Finalize,
    /// Approving a certificate.
    Approval,
    /// A connection to a container's output.
    Attach,
    /// A command in a container.
    Exec,
    /// Connections to a pod's ports.
    PortForward,
    /// HTTP through the server.
    Proxy,
    /// Containers added to a running pod.
    EphemeralContainers,
    /// Other resources for a running pod.
    Resize,
}

impl Sub {
    /// The name in paths.
    pub fn name(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Scale => "scale",
            Self::Log => "log",
            Self::Token => "token",
            Self::Eviction => "eviction",
            Self::Binding => "binding",
            Self::Finalize => "finalize",
            Self::Approval => "approval",
            Self::Attach => "attach",
            Self::Exec => "exec",
            Self::PortForward => "portforward",
            Self::Proxy => "proxy",
            Self::EphemeralContainers => "ephemeralcontainers",
            Self::Resize => "resize",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "status" => Self::Status,
            "scale" => Self::Scale,
            "log" => Self::Log,
            "token" => Self::Token,
            "eviction" => Self::Eviction,
            "binding" => Self::Binding,
            "finalize" => Self::Finalize,
            "approval" => Self::Approval,
            "attach" => Self::Attach,
            "exec" => Self::Exec,
            "portforward" => Self::PortForward,
            "proxy" => Self::Proxy,
            "ephemeralcontainers" => Self::EphemeralContainers,
            "resize" => Self::Resize,
            _ => return None,
        })
    }

    /// Group, version and kind of what it takes, if not the object's own.
    pub fn kind(self) -> Option<(&'static str, &'static str, &'static str)> {
        match self {
            Self::Scale => Some(("autoscaling", "v1", "Scale")),
            Self::Token => Some(("authentication.k8s.io", "v1", "TokenRequest")),
            Self::Eviction => Some(("policy", "v1", "Eviction")),
            Self::Binding => Some(("", "v1", "Binding")),
            _ => None,
        }
    }

    /// What may be done with it.
    pub fn verbs(self) -> &'static [&'static str] {
        match self {
            Self::Log => &["get"],
            Self::Attach | Self::Exec | Self::PortForward => &["create", "get"],
            Self::Proxy => &["create", "delete", "get", "patch", "update"],
            Self::Token | Self::Eviction | Self::Binding => &["create"],
            Self::Finalize => &["update"],
            Self::Status
            | Self::Scale
            | Self::Approval
            | Self::EphemeralContainers
            | Self::Resize => &["get", "patch", "update"],
        }
    }
}

impl Verbs {
    /// The names, as discovery lists them.
    pub fn names(self) -> &'static [&'static str] {
        match self {
            Self::All => &[
                "create",
                "delete",
                "deletecollection",
                "get",
                "list",
                "patch",
                "update",
                "watch",
            ],
            Self::Create => &["create"],
            Self::Read => &["get", "list"],
        }
    }
}

impl Resource {
    /// `apps/v1`, or `v1` in the core group.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// Whether it has this subresource.
    pub fn has(&self, sub: Sub) -> bool {
        self.subresources.contains(&sub)
    }

    /// The subresource of this name.
    pub fn sub(&self, name: &str) -> Option<Sub> {
        Sub::parse(name).filter(|sub| self.has(*sub))
    }

    /// Whether this is that built-in resource.
    pub fn is(&self, group: &str, plural: &str) -> bool {
        self.group == group && self.plural == plural
    }
}

/// Group, version, its package in the tables of types, and its resources:
/// kind, plural, scope (`N`amespaced or `C`luster), verbs (`A`ll, `C`reate, `R`ead),
/// short names, categories, subresources.
type Group = (
    &'static str,
    &'static str,
    &'static str,
    &'static [(
        &'static str,
        &'static str,
        &'static str,
        &'static str,
        &'static str,
        &'static str,
    )],
);

#[rustfmt::skip]
const CATALOG: &[Group] = &[
    (
        "",
        "v1",
        "core",
        &[
            ("Binding", "bindings", "NC", "", "", ""),
            ("ConfigMap", "configmaps", "NA", "cm", "", ""),
            ("Endpoints", "endpoints", "NA", "ep", "", ""),
            ("Event", "events", "NA", "ev", "", ""),
            ("LimitRange", "limitranges", "NA", "limits", "", ""),
            ("Namespace", "namespaces", "CA", "ns", "", "finalize status"),
            ("Node", "nodes", "CA", "no", "", "proxy status"),
            ("PersistentVolumeClaim", "persistentvolumeclaims", "NA", "pvc", "", "status"),
            ("PersistentVolume", "persistentvolumes", "CA", "pv", "", "status"),
            ("Pod", "pods", "NA", "po", "all", "attach binding ephemeralcontainers eviction exec log portforward proxy resize status"),
            ("PodTemplate", "podtemplates", "NA", "", "", ""),
            ("ReplicationController", "replicationcontrollers", "NA", "rc", "all", "scale status"),
            ("ResourceQuota", "resourcequotas", "NA", "quota", "", "status"),
            ("Secret", "secrets", "NA", "", "", ""),
            ("ServiceAccount", "serviceaccounts", "NA", "sa", "", "token"),
            ("Service", "services", "NA", "svc", "all", "proxy status"),
        ],
    ),
    (
        "apiregistration.k8s.io",
        "v1",
        "apiregistration",
        &[("APIService", "apiservices", "CA", "", "api-extensions", "status")],
    ),
    (
        "apps",
        "v1",
        "apps",
        &[
            ("ControllerRevision", "controllerrevisions", "NA", "", "", ""),
            ("DaemonSet", "daemonsets", "NA", "ds", "all", "status"),
            ("Deployment", "deployments", "NA", "deploy", "all", "scale status"),
            ("ReplicaSet", "replicasets", "NA", "rs", "all", "scale status"),
            ("StatefulSet", "statefulsets", "NA", "sts", "all", "scale status"),
        ],
    ),
    (
        "events.k8s.io",
        "v1",
        "events",
        &[("Event", "events", "NA", "ev", "", "")],
    ),
    (
        "authentication.k8s.io",
        "v1",
        "authentication",
        &[
            ("SelfSubjectReview", "selfsubjectreviews", "CC", "", "", ""),
            ("TokenReview", "tokenreviews", "CC", "", "", ""),
        ],
    ),
    (
        "authorization.k8s.io",
        "v1",
        "authorization",
        &[
            ("LocalSubjectAccessReview", "localsubjectaccessreviews", "NC", "", "", ""),
            ("SelfSubjectAccessReview", "selfsubjectaccessreviews", "CC", "", "", ""),
            ("SelfSubjectRulesReview", "selfsubjectrulesreviews", "CC", "", "", ""),
            ("SubjectAccessReview", "subjectaccessreviews", "CC", "", "", ""),
        ],
    ),
    (
        "autoscaling",
        "v2",
        "autoscaling",
        &[("HorizontalPodAutoscaler", "horizontalpodautoscalers", "NA", "hpa", "all", "status")],
    ),
    (
        "autoscaling",
        "v1",
        "autoscaling",
        &[("HorizontalPodAutoscaler", "horizontalpodautoscalers", "NA", "hpa", "all", "status")],
    ),
    (
        "batch",
        "v1",
        "batch",
        &[
            ("CronJob", "cronjobs", "NA", "cj", "all", "status"),
            ("Job", "jobs", "NA", "", "all", "status"),
        ],
    ),
    (
        "certificates.k8s.io",
        "v1",
        "certificates",
        &[("CertificateSigningRequest", "certificatesigningrequests", "CA", "csr", "", "approval status")],
    ),
    (
        "networking.k8s.io",
        "v1",
        "networking",
        &[
            ("IngressClass", "ingressclasses", "CA", "", "", ""),
            ("Ingress", "ingresses", "NA", "ing", "", "status"),
            ("NetworkPolicy", "networkpolicies", "NA", "netpol", "", ""),
        ],
    ),
    (
        "policy",
        "v1",
        "policy",
        &[("PodDisruptionBudget", "poddisruptionbudgets", "NA", "pdb", "", "status")],
    ),
    (
        "rbac.authorization.k8s.io",
        "v1",
        "rbac",
        &[
            ("ClusterRoleBinding", "clusterrolebindings", "CA", "", "", ""),
            ("ClusterRole", "clusterroles", "CA", "", "", ""),
            ("RoleBinding", "rolebindings", "NA", "", "", ""),
            ("Role", "roles", "NA", "", "", ""),
        ],
    ),
    (
        "storage.k8s.io",
        "v1",
        "storage",
        &[
            ("CSIDriver", "csidrivers", "CA", "", "", ""),
            ("CSINode", "csinodes", "CA", "", "", ""),
            ("CSIStorageCapacity", "csistoragecapacities", "NA", "", "", ""),
            ("StorageClass", "storageclasses", "CA", "sc", "", ""),
            ("VolumeAttachment", "volumeattachments", "CA", "", "", "status"),
        ],
    ),
    (
        "admissionregistration.k8s.io",
        "v1",
        "admissionregistration",
        &[
            ("MutatingWebhookConfiguration", "mutatingwebhookconfigurations", "CA", "", "api-extensions", ""),
            ("ValidatingAdmissionPolicy", "validatingadmissionpolicies", "CA", "", "api-extensions", "status"),
            ("ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings", "CA", "", "api-extensions", ""),
            ("ValidatingWebhookConfiguration", "validatingwebhookconfigurations", "CA", "", "api-extensions", ""),
        ],
    ),
    (
        "apiextensions.k8s.io",
        "v1",
        "apiextensions",
        &[("CustomResourceDefinition", "customresourcedefinitions", "CA", "crd crds", "api-extensions", "status")],
    ),
    (
        "scheduling.k8s.io",
        "v1",
        "scheduling",
        &[("PriorityClass", "priorityclasses", "CA", "pc", "", "")],
    ),
    (
        "coordination.k8s.io",
        "v1",
        "coordination",
        &[("Lease", "leases", "NA", "", "", "")],
    ),
    (
        "node.k8s.io",
        "v1",
        "node",
        &[("RuntimeClass", "runtimeclasses", "CA", "", "", "")],
    ),
    (
        "discovery.k8s.io",
        "v1",
        "discovery",
        &[("EndpointSlice", "endpointslices", "NA", "", "", "")],
    ),
    (
        "metrics.k8s.io",
        "v1beta1",
        "metrics",
        &[
            ("NodeMetrics", "nodes", "CR", "", "", ""),
            ("PodMetrics", "pods", "NR", "", "", ""),
        ],
    ),
];

static BUILTIN: LazyLock<Vec<Arc<Resource>>> = LazyLock::new(|| {
    CATALOG
        .iter()
        .flat_map(|(group, version, package, rows)| {
            rows.iter().filter_map(move |row| {
                let (kind, plural, flags, short, categories, subs) = row;
                let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
                let schema = Schema::builtin(&format!("{package}.{version}.{kind}"))?;
                Some(Arc::new(Resource {
                    group: (*group).to_owned(),
                    version: (*version).to_owned(),
                    kind: (*kind).to_owned(),
                    list_kind: format!("{kind}List"),
                    plural: (*plural).to_owned(),
                    singular: kind.to_ascii_lowercase(),
                    short_names: words(short),
                    categories: words(categories),
                    namespaced: flags.starts_with('N'),
                    verbs: match flags.chars().last() {
                        Some('C') => Verbs::Create,
                        Some('R') => Verbs::Read,
                        _ => Verbs::All,
                    },
                    subresources: subs.split_whitespace().filter_map(Sub::parse).collect(),
                    schema,
                    custom: None,
                    storage_group: storage_group(group).to_owned(),
                    storage_version: storage_version(group, version).to_owned(),
                }))
            })
        })
        .collect()
});

fn storage_group(group: &str) -> &str {
    if group == "events.k8s.io" { "" } else { group }
}

fn storage_version<'a>(group: &str, version: &'a str) -> &'a str {
    if group == "autoscaling" {
        "v2"
    } else {
        version
    }
}

/// All built-in resources, in the order of discovery.
pub fn builtin() -> &'static [Arc<Resource>] {
    &BUILTIN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_catalog_has_a_schema() {
        let rows: usize = CATALOG.iter().map(|(.., rows)| rows.len()).sum();
        assert_eq!(builtin().len(), rows);
    }
}
