//! What `kubectl explain` says about kinds and the fields that people look
//! up. The words are ours; what is not listed is shown without any.

/// Kinds, and types inside them, by the last part of their names.
#[rustfmt::skip]
const TYPES: &[(&str, &str)] = &[
    ("Binding", "Assigns a pod to a node."),
    ("ClusterRole", "Rules that may be granted in all namespaces, or for objects outside of them."),
    ("ClusterRoleBinding", "Grants a ClusterRole everywhere."),
    ("ConfigMap", "Configuration that is no secret, for pods to read."),
    ("Container", "One container that a pod runs."),
    ("ControllerRevision", "A former state of a StatefulSet's or DaemonSet's template."),
    ("CronJob", "Makes Jobs at times that a schedule gives."),
    ("CustomResourceDefinition", "Defines a kind that the API server serves from then on."),
    ("DaemonSet", "Keeps one pod on every node that fits."),
    ("Deployment", "Keeps a number of equal pods running, and replaces them step by step when their template changes."),
    ("DeploymentSpec", "What a Deployment is to be like."),
    ("DeploymentStatus", "What was last seen of a Deployment."),
    ("EndpointSlice", "A part of the addresses behind a Service."),
    ("Endpoints", "The addresses behind a Service."),
    ("Event", "Something that happened to an object, told by a component."),
    ("HorizontalPodAutoscaler", "Scales a workload by what its pods use."),
    ("Ingress", "Rules that lead HTTP requests from outside to Services."),
    ("IngressClass", "A controller that Ingresses can name."),
    ("Job", "Runs pods until enough of them have ended well."),
    ("Lease", "A claim of one holder that must be renewed in time."),
    ("LimitRange", "Defaults and bounds for what containers and claims of a namespace may ask for."),
    ("MutatingWebhookConfiguration", "Webhooks that may change objects before they are kept."),
    ("Namespace", "A scope for names."),
    ("NetworkPolicy", "Which traffic to and from pods is allowed."),
    ("Node", "A machine that runs pods."),
    ("ObjectMeta", "What every object has: its name, labels, owners and history."),
    ("PersistentVolume", "A piece of storage of the cluster."),
    ("PersistentVolumeClaim", "A namespace's wish for a piece of storage."),
    ("Pod", "Containers that run together on one node and share its network and volumes."),
    ("PodDisruptionBudget", "How many of some pods may be missing on purpose at a time."),
    ("PodSpec", "What a pod is to be like."),
    ("PodStatus", "What its node last told of a pod."),
    ("PodTemplate", "A template that pods can be made from."),
    ("PodTemplateSpec", "The metadata and the specification that new pods get."),
    ("PriorityClass", "A name for how important pods are."),
    ("ReplicaSet", "Keeps a number of equal pods running."),
    ("ReplicationController", "Keeps a number of equal pods running; ReplicaSets have taken its place."),
    ("ResourceQuota", "Bounds of what a namespace may hold and ask for altogether."),
    ("Role", "Rules that may be granted in a namespace."),
    ("RoleBinding", "Grants a Role or ClusterRole in a namespace."),
    ("Secret", "Confidential data for pods to read."),
    ("Service", "One name and address in front of a changing set of pods."),
    ("ServiceAccount", "An identity for what runs in pods."),
    ("StatefulSet", "Keeps pods with lasting names and volumes of their own, in order."),
    ("StorageClass", "How volumes are provided for claims."),
    ("ValidatingWebhookConfiguration", "Webhooks that may refuse objects."),
];

/// Fields: of the type that ends so (or of any, when empty), and their names.
#[rustfmt::skip]
const FIELDS: &[(&str, &str, &str)] = &[
    ("ObjectMeta", "annotations", "Texts by key that programs attach to the object; nothing is selected by them."),
    ("ObjectMeta", "creationTimestamp", "When the server made the object."),
    ("ObjectMeta", "deletionTimestamp", "When the object is to be gone; set once its deletion is asked for."),
    ("ObjectMeta", "finalizers", "What must be finished before the object is removed."),
    ("ObjectMeta", "generateName", "The beginning of a name that the server completes."),
    ("ObjectMeta", "generation", "Counts the changes of what the object asks for."),
    ("ObjectMeta", "labels", "Texts by key that objects are selected by."),
    ("ObjectMeta", "managedFields", "Which writer owns which fields."),
    ("ObjectMeta", "name", "The name, unique among objects of the kind in a namespace."),
    ("ObjectMeta", "namespace", "The namespace that the object is in."),
    ("ObjectMeta", "ownerReferences", "The objects that this one depends on; it goes with the last of them."),
    ("ObjectMeta", "resourceVersion", "The version of the object, for conditional writes and watches."),
    ("ObjectMeta", "uid", "Tells the object from all others, also earlier ones of its name."),
    ("Container", "args", "The arguments of the command; the image's own by default."),
    ("Container", "command", "What is run; the image's entry point by default."),
    ("Container", "env", "Environment variables."),
    ("Container", "envFrom", "ConfigMaps and Secrets whose entries become environment variables."),
    ("Container", "image", "The image that the container is made from."),
    ("Container", "imagePullPolicy", "When the image is pulled: Always, IfNotPresent or Never."),
    ("Container", "livenessProbe", "Asks whether the container must be started again."),
    ("Container", "name", "The container's name in its pod."),
    ("Container", "ports", "The ports that it listens on."),
    ("Container", "readinessProbe", "Asks whether Services may send requests to the container."),
    ("Container", "resources", "What it asks of its node, and what it may use at most."),
    ("Container", "securityContext", "The user, rights and file system that it runs with."),
    ("Container", "startupProbe", "Asks whether the container has started; the other probes wait for it."),
    ("Container", "volumeMounts", "Where the pod's volumes are in its file system."),
    ("PodSpec", "affinity", "Which nodes and which company the pod prefers or needs."),
    ("PodSpec", "containers", "The containers that run side by side; at least one."),
    ("PodSpec", "initContainers", "Containers that end, one after the other, before the others start."),
    ("PodSpec", "imagePullSecrets", "Secrets with the credentials of image registries."),
    ("PodSpec", "nodeName", "The node that the pod is assigned to."),
    ("PodSpec", "nodeSelector", "Labels that the pod's node must have."),
    ("PodSpec", "restartPolicy", "Whether containers that end are started again: Always, OnFailure or Never."),
    ("PodSpec", "serviceAccountName", "The service account that the pod acts as."),
    ("PodSpec", "terminationGracePeriodSeconds", "How long containers get between the request to end and their kill."),
    ("PodSpec", "tolerations", "The taints of nodes that the pod puts up with."),
    ("PodSpec", "topologySpreadConstraints", "How evenly the pods are spread over zones and nodes."),
    ("PodSpec", "volumes", "Files that containers can mount."),
    ("PodStatus", "phase", "Pending, Running, Succeeded, Failed or Unknown."),
    ("PodStatus", "podIP", "The pod's address in the cluster."),
    ("DeploymentSpec", "minReadySeconds", "How long a new pod must be ready before it counts."),
    ("DeploymentSpec", "paused", "Whether changes of the template wait."),
    ("DeploymentSpec", "progressDeadlineSeconds", "How long a rollout may stand still before it counts as failed."),
    ("DeploymentSpec", "revisionHistoryLimit", "How many old ReplicaSets are kept to go back to."),
    ("DeploymentSpec", "strategy", "How old pods are replaced by new ones."),
    ("ServiceSpec", "clusterIP", "The Service's address in the cluster; None for a Service without one."),
    ("ServiceSpec", "externalTrafficPolicy", "Whether requests from outside stay on the node that they come to."),
    ("ServiceSpec", "ports", "The ports of the Service, and where they lead."),
    ("ServiceSpec", "selector", "The labels of the pods behind the Service."),
    ("ServiceSpec", "type", "ClusterIP, NodePort, LoadBalancer or ExternalName."),
    ("ConfigMap", "binaryData", "Entries that are no text, as base64."),
    ("ConfigMap", "data", "Entries by name."),
    ("ConfigMap", "immutable", "Whether the entries may never change."),
    ("Secret", "data", "Entries by name, as base64."),
    ("Secret", "stringData", "Entries as plain text, which only writes know."),
    ("Secret", "type", "What the Secret is for."),
    ("JobSpec", "backoffLimit", "How many failures make the Job fail."),
    ("JobSpec", "completions", "How many pods must end well."),
    ("JobSpec", "parallelism", "How many pods run at the same time."),
    ("CronJobSpec", "concurrencyPolicy", "What happens while an earlier Job still runs: Allow, Forbid or Replace."),
    ("CronJobSpec", "schedule", "When Jobs are made, in the format of cron."),
    ("StatefulSetSpec", "podManagementPolicy", "Whether pods start one after the other or all at once."),
    ("StatefulSetSpec", "serviceName", "The Service that gives the pods their names."),
    ("StatefulSetSpec", "volumeClaimTemplates", "Claims that every pod gets for itself."),
    ("", "replicas", "How many pods there are to be."),
    ("", "selector", "Which objects are meant, by their labels."),
    ("", "template", "What new pods are made from."),
    ("", "apiVersion", "The version of the schema that the object is written in."),
    ("", "kind", "The kind of the object."),
    ("", "metadata", "Name, labels and what else every object has."),
    ("", "spec", "What the object is to be like."),
    ("", "status", "What was last seen of the object; controllers write it."),
];

/// What a type is, by its name, e.g. `apps.v1.Deployment`.
pub fn kind(name: &str) -> Option<&'static str> {
    let last = last(name);
    let found = TYPES.iter().find(|(name, _)| *name == last);
    found.map(|(_, text)| *text)
}

/// What a field of a type is.
pub fn field(owner: &str, name: &str) -> Option<&'static str> {
    let owner = last(owner);
    let found = FIELDS
        .iter()
        .find(|(of, field, _)| *field == name && (of.is_empty() || *of == owner));
    found.map(|(_, _, text)| *text)
}

fn last(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fields_own_description_goes_before_the_general_one() {
        assert_eq!(
            field("core.v1.ServiceSpec", "selector"),
            Some("The labels of the pods behind the Service.")
        );
        assert!(field("apps.v1.DeploymentSpec", "selector").is_some());
        assert_eq!(field("core.v1.PodSpec", "hostAliases"), None);
    }

    #[test]
    fn every_served_kind_that_is_kept_is_described() {
        let registry = crate::sandbox::kube::registry::Registry::new(Vec::new());
        for resource in &registry.resources {
            let passing = resource.kind.ends_with("Review");
            let known = kind(&resource.kind).is_some();
            if resource.group.is_empty() || resource.group == "apps" || resource.group == "batch" {
                assert!(known || passing, "{}", resource.kind);
            }
        }
    }
}
