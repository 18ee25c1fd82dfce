//! The roles of the cluster's own components: what each controller may do.

use serde_json::{Value, json};

const RBAC: &str = "rbac.authorization.k8s.io";

/// Group, resources and verbs of a rule.
type Rule = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
);

const READ: &[&str] = &["get", "list", "watch"];
const CHANGE: &[&str] = &["get", "list", "watch", "update"];
const PATCH: &[&str] = &["get", "list", "watch", "patch", "update"];
const OWN: &[&str] = &[
    "create", "delete", "get", "list", "patch", "update", "watch",
];
const WRITE: &[&str] = &["get", "patch", "update"];

/// The controllers of `kube-system` and their rules. All may write events.
const CONTROLLERS: &[(&str, &[Rule])] = &[
    (
        "deployment-controller",
        &[
            ("apps", &["deployments"], CHANGE),
            (
                "apps",
                &["deployments/status", "deployments/finalizers"],
                WRITE,
            ),
            ("apps", &["replicasets"], OWN),
            ("", &["pods"], CHANGE),
        ],
    ),
    (
        "replicaset-controller",
        &[
            ("apps", &["replicasets"], CHANGE),
            (
                "apps",
                &["replicasets/status", "replicasets/finalizers"],
                WRITE,
            ),
            ("", &["pods"], OWN),
        ],
    ),
    (
        "statefulset-controller",
        &[
            ("apps", &["statefulsets"], CHANGE),
            (
                "apps",
                &["statefulsets/status", "statefulsets/finalizers"],
                WRITE,
            ),
            ("apps", &["controllerrevisions"], OWN),
            ("", &["pods", "persistentvolumeclaims"], OWN),
        ],
    ),
    (
        "daemon-set-controller",
        &[
            ("apps", &["daemonsets"], CHANGE),
            (
                "apps",
                &["daemonsets/status", "daemonsets/finalizers"],
                WRITE,
            ),
            ("apps", &["controllerrevisions"], OWN),
            ("", &["nodes"], READ),
            ("", &["pods"], OWN),
            ("", &["pods/binding"], &["create"]),
        ],
    ),
    (
        "job-controller",
        &[
            ("batch", &["jobs"], CHANGE),
            ("batch", &["jobs/status", "jobs/finalizers"], WRITE),
            ("", &["pods"], OWN),
        ],
    ),
    (
        "ttl-after-finished-controller",
        &[("batch", &["jobs"], OWN)],
    ),
    (
        "cronjob-controller",
        &[
            ("batch", &["cronjobs"], CHANGE),
            ("batch", &["cronjobs/status", "cronjobs/finalizers"], WRITE),
            ("batch", &["jobs"], OWN),
            ("", &["pods"], READ),
        ],
    ),
    (
        "horizontal-pod-autoscaler",
        &[
            ("autoscaling", &["horizontalpodautoscalers"], READ),
            ("autoscaling", &["horizontalpodautoscalers/status"], WRITE),
            ("*", &["*/scale"], WRITE),
            ("", &["pods"], READ),
            ("metrics.k8s.io", &["pods"], READ),
        ],
    ),
    (
        "persistent-volume-binder",
        &[
            ("", &["persistentvolumes", "persistentvolumeclaims"], OWN),
            (
                "",
                &["persistentvolumes/status", "persistentvolumeclaims/status"],
                WRITE,
            ),
            ("storage.k8s.io", &["storageclasses"], READ),
        ],
    ),
    (
        "pvc-protection-controller",
        &[("", &["persistentvolumeclaims", "pods"], CHANGE)],
    ),
    (
        "pv-protection-controller",
        &[("", &["persistentvolumes"], CHANGE)],
    ),
    (
        "endpoint-controller",
        &[("", &["services", "pods"], READ), ("", &["endpoints"], OWN)],
    ),
    (
        "endpointslice-controller",
        &[
            ("", &["services", "pods", "nodes"], READ),
            ("", &["services/finalizers"], WRITE),
            ("discovery.k8s.io", &["endpointslices"], OWN),
        ],
    ),
    (
        "disruption-controller",
        &[
            ("policy", &["poddisruptionbudgets"], READ),
            ("policy", &["poddisruptionbudgets/status"], WRITE),
            ("", &["pods"], READ),
        ],
    ),
    (
        "pod-garbage-collector",
        &[("", &["pods"], OWN), ("", &["pods/status"], WRITE)],
    ),
    (
        "node-controller",
        &[("", &["nodes"], PATCH), ("", &["nodes/status"], WRITE)],
    ),
    (
        "service-account-controller",
        &[("", &["serviceaccounts"], OWN)],
    ),
    ("root-ca-cert-publisher", &[("", &["configmaps"], OWN)]),
];

const SCHEDULER: &[Rule] = &[
    ("", &["nodes", "pods", "persistentvolumes"], READ),
    ("", &["persistentvolumeclaims"], PATCH),
    ("", &["pods"], &["delete"]),
    ("", &["pods/binding", "bindings"], &["create"]),
    ("", &["pods/status"], WRITE),
    ("storage.k8s.io", &["storageclasses"], READ),
];

fn rules(rules: &[Rule]) -> Vec<Value> {
    let events: Rule = ("", &["events"], &["create", "patch", "update"]);
    rules
        .iter()
        .chain([&events])
        .map(|(group, resources, verbs)| {
            json!({"apiGroups": [group], "resources": resources, "verbs": verbs})
        })
        .collect()
}

/// Roles and their bindings.
pub fn objects() -> Vec<(&'static str, &'static str, Value)> {
    let mut objects = Vec::new();
    let mut add = |name: &str, rules: Vec<Value>, subject: Value| {
        let metadata = json!({
            "name": name,
            "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
            "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
        });
        let role = json!({
            "apiVersion": format!("{RBAC}/v1"),
            "kind": "ClusterRole",
            "metadata": metadata,
            "rules": rules,
        });
        let binding = json!({
            "apiVersion": format!("{RBAC}/v1"),
            "kind": "ClusterRoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": name},
            "subjects": [subject],
        });
        objects.push((RBAC, "clusterroles", role));
        objects.push((RBAC, "clusterrolebindings", binding));
    };
    for (name, own) in CONTROLLERS {
        let subject = json!({"kind": "ServiceAccount", "name": name, "namespace": "kube-system"});
        add(&format!("system:controller:{name}"), rules(own), subject);
    }
    let user = json!({"kind": "User", "apiGroup": RBAC, "name": "system:kube-scheduler"});
    add("system:kube-scheduler", rules(SCHEDULER), user);
    objects
}
