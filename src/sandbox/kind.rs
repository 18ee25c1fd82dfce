//! The kinds that controllers and kubelets deal with, where the API serves
//! them, and how fields of objects are read.

use serde_json::Value;

macro_rules! kinds {
    ($($kind:ident $group:literal $name:literal $plural:literal $namespaced:literal;)*) => {
        /// A kind of object.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $(#[doc = concat!("`", $name, "`")] $kind,)*
        }

        impl Kind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$kind,)*];

            /// Group and version, as objects state it.
            pub fn api_version(self) -> &'static str {
                match self { $(Self::$kind => $group,)* }
            }

            /// The kind's name.
            pub fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }

            /// The resource's name in paths.
            pub fn plural(self) -> &'static str {
                match self { $(Self::$kind => $plural,)* }
            }

            /// Whether its objects are in namespaces.
            pub fn is_namespaced(self) -> bool {
                match self { $(Self::$kind => $namespaced,)* }
            }
        }
    };
}

kinds! {
    Nodes "v1" "Node" "nodes" false;
    Namespaces "v1" "Namespace" "namespaces" false;
    Pods "v1" "Pod" "pods" true;
    Services "v1" "Service" "services" true;
    Endpoints "v1" "Endpoints" "endpoints" true;
    ConfigMaps "v1" "ConfigMap" "configmaps" true;
    Secrets "v1" "Secret" "secrets" true;
    ServiceAccounts "v1" "ServiceAccount" "serviceaccounts" true;
    Claims "v1" "PersistentVolumeClaim" "persistentvolumeclaims" true;
    Volumes "v1" "PersistentVolume" "persistentvolumes" false;
    StorageClasses "storage.k8s.io/v1" "StorageClass" "storageclasses" false;
    Deployments "apps/v1" "Deployment" "deployments" true;
    ReplicaSets "apps/v1" "ReplicaSet" "replicasets" true;
    StatefulSets "apps/v1" "StatefulSet" "statefulsets" true;
    DaemonSets "apps/v1" "DaemonSet" "daemonsets" true;
    Revisions "apps/v1" "ControllerRevision" "controllerrevisions" true;
    Jobs "batch/v1" "Job" "jobs" true;
    CronJobs "batch/v1" "CronJob" "cronjobs" true;
    Autoscalers "autoscaling/v2" "HorizontalPodAutoscaler" "horizontalpodautoscalers" true;
    Budgets "policy/v1" "PodDisruptionBudget" "poddisruptionbudgets" true;
    Slices "discovery.k8s.io/v1" "EndpointSlice" "endpointslices" true;
    Leases "coordination.k8s.io/v1" "Lease" "leases" true;
}

impl Kind {
    /// The kinds whose collections controllers and kubelets follow whole. Of
    /// the others there may be very many, which are nobody's business but
    /// that of the pods that name them.
    pub fn followed() -> impl Iterator<Item = Self> {
        let all = Self::ALL.iter().copied();
        all.filter(|kind| !matches!(kind, Self::ConfigMaps | Self::Secrets))
    }

    fn base(self) -> &'static str {
        match self.api_version() {
            "v1" => "/api/v1",
            "apps/v1" => "/apis/apps/v1",
            "batch/v1" => "/apis/batch/v1",
            "autoscaling/v2" => "/apis/autoscaling/v2",
            "policy/v1" => "/apis/policy/v1",
            "discovery.k8s.io/v1" => "/apis/discovery.k8s.io/v1",
            "coordination.k8s.io/v1" => "/apis/coordination.k8s.io/v1",
            _ => "/apis/storage.k8s.io/v1",
        }
    }

    /// The path of a collection; of all namespaces' if none is named.
    pub fn collection(self, namespace: &str) -> String {
        let (base, plural) = (self.base(), self.plural());
        if namespace.is_empty() || !self.is_namespaced() {
            format!("{base}/{plural}")
        } else {
            format!("{base}/namespaces/{namespace}/{plural}")
        }
    }

    /// The path of an object.
    pub fn path(self, namespace: &str, name: &str) -> String {
        format!("{}/{name}", self.collection(namespace))
    }

    /// The path of this object.
    pub fn path_of(self, object: &Value) -> String {
        self.path(
            text(object, "/metadata/namespace"),
            text(object, "/metadata/name"),
        )
    }

    /// The kind with this name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }
}

/// `namespace/name`, or the name of an object without namespace.
pub fn key_of(object: &Value) -> String {
    key(
        text(object, "/metadata/namespace"),
        text(object, "/metadata/name"),
    )
}

/// `namespace/name`, or the name.
pub fn key(namespace: &str, name: &str) -> String {
    if namespace.is_empty() {
        name.to_owned()
    } else {
        format!("{namespace}/{name}")
    }
}

/// Splits a key into namespace and name.
pub fn split(key: &str) -> (&str, &str) {
    key.split_once('/').unwrap_or(("", key))
}

/// A text field; empty if there is none.
pub fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// A whole number; none if there is none.
pub fn number(object: &Value, pointer: &str) -> Option<i64> {
    object.pointer(pointer).and_then(Value::as_i64)
}

/// The items of a list field.
pub fn items<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// Whether an object is being deleted.
pub fn is_leaving(object: &Value) -> bool {
    !text(object, "/metadata/deletionTimestamp").is_empty()
}

/// The object's uid.
pub fn uid(object: &Value) -> &str {
    text(object, "/metadata/uid")
}

/// The reference to the controller of an object.
pub fn controller_of(object: &Value) -> Option<&Value> {
    items(object, "/metadata/ownerReferences")
        .iter()
        .find(|reference| reference["controller"] == true)
}

/// A condition's status by its type.
pub fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    items(object, "/status/conditions")
        .iter()
        .find(|condition| condition["type"] == kind)
}

/// Whether a condition is `True`.
pub fn is_true(object: &Value, kind: &str) -> bool {
    condition(object, kind).is_some_and(|condition| condition["status"] == "True")
}
