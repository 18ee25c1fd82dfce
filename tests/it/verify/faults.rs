//! The faults: what is wrong, how the rehearsal is made so, and which checks
//! have to tell.

/// A fault, and who finds it.
pub(crate) struct Fault {
    /// What is wrong.
    pub what: &'static str,
    /// Lines of the fault plan; ` @ ` stands before the match.
    pub lines: &'static [&'static str],
    /// More arguments of `verify`.
    pub args: &'static [&'static str],
    /// The checks that fail or warn, and no others.
    pub checks: &'static [&'static str],
}

/// All of them.
pub(crate) const FAULTS: &[Fault] = &[
    Fault {
        what: "the API does not tell its version",
        lines: &["kube status 503 @ GET /version"],
        args: &[],
        checks: &["cluster.api", "cluster.version"],
    },
    Fault {
        what: "a kubelet is far too old",
        lines: &[r#"kube alter /status/nodeInfo/kubeletVersion="v1.20.0" @ GET /api/v1/nodes/*"#],
        args: &[],
        checks: &["cluster.version"],
    },
    Fault {
        what: "a kubelet is newer than the server",
        lines: &[r#"kube alter /status/nodeInfo/kubeletVersion="v1.50.0" @ GET /api/v1/nodes/*"#],
        args: &[],
        checks: &["cluster.version"],
    },
    Fault {
        what: "a node is not ready",
        lines: &[
            r#"kube alter /status/conditions/type:Ready/status="False" @ GET /api/v1/nodes/*"#,
        ],
        args: &[],
        checks: &["cluster.nodes"],
    },
    Fault {
        what: "nobody knows how the nodes are",
        lines: &[
            r#"kube alter /status/conditions/type:Ready/status="Unknown" @ GET /api/v1/nodes/*"#,
        ],
        args: &[],
        checks: &["cluster.nodes"],
    },
    Fault {
        what: "the nodes are gone",
        lines: &["kube alter gone @ GET /api/v1/nodes/*"],
        args: &[],
        checks: &["cluster.nodes"],
    },
    Fault {
        what: "nodes say MemoryPressure",
        lines: &[
            r#"kube alter /status/conditions/type:MemoryPressure/status="True" @ GET /api/v1/nodes/*"#,
        ],
        args: &[],
        checks: &["cluster.pressure"],
    },
    Fault {
        what: "nodes say DiskPressure",
        lines: &[
            r#"kube alter /status/conditions/type:DiskPressure/status="True" @ GET /api/v1/nodes/*"#,
        ],
        args: &[],
        checks: &["cluster.pressure"],
    },
    Fault {
        what: "nodes say PIDPressure",
        lines: &[
            r#"kube alter /status/conditions/type:PIDPressure/status="True" @ GET /api/v1/nodes/*"#,
        ],
        args: &[],
        checks: &["cluster.pressure"],
    },
    Fault {
        what: "the nodes are cordoned",
        lines: &["kube alter /spec/unschedulable=true @ GET /api/v1/nodes/*"],
        args: &[],
        checks: &["cluster.schedulable"],
    },
    Fault {
        what: "the nodes keep pods away",
        lines: &[
            r#"kube alter /spec/taints=[{"key":"example.com/full","effect":"NoSchedule"}] @ GET /api/v1/nodes/*"#,
        ],
        args: &[],
        checks: &["cluster.schedulable"],
    },
    Fault {
        what: "the nodes have more cores than are free",
        lines: &[r#"kube alter /status/capacity/cpu="4" @ GET /api/v1/nodes/*"#],
        args: &[],
        checks: &["cluster.free-tier"],
    },
    Fault {
        what: "the nodes have more memory than is free",
        lines: &[r#"kube alter /status/capacity/memory="64Gi" @ GET /api/v1/nodes/*"#],
        args: &[],
        checks: &["cluster.free-tier"],
    },
    Fault {
        what: "the volumes are larger than is free",
        lines: &[r#"kube alter /spec/capacity/storage="500Gi" @ GET /api/v1/persistentvolumes/*"#],
        args: &[],
        checks: &["cluster.free-tier"],
    },
    Fault {
        what: "Kafka's volume is not bound",
        lines: &[
            r#"kube alter /status/phase="Pending" @ GET /api/v1/namespaces/todo/persistentvolumeclaims/*"#,
        ],
        args: &[],
        checks: &["cluster.storage"],
    },
    Fault {
        what: "the scheduler's volume is not bound",
        lines: &[
            r#"kube alter /status/phase="Pending" @ GET /api/v1/namespaces/dapr-system/persistentvolumeclaims/*"#,
        ],
        args: &[],
        checks: &["cluster.storage"],
    },
    Fault {
        what: "the app's namespace is being removed",
        lines: &[r#"kube alter /status/phase="Terminating" @ GET /api/v1/namespaces/todo"#],
        args: &[],
        checks: &["cluster.namespaces"],
    },
    Fault {
        what: "Dapr's namespace is gone",
        lines: &["kube alter gone @ GET /api/v1/namespaces/dapr-system"],
        args: &[],
        checks: &["cluster.namespaces"],
    },
    Fault {
        what: "the app's release is not recorded",
        lines: &["kube alter gone @ GET /api/v1/namespaces/todo/secrets/sh.helm.release.*"],
        args: &[],
        checks: &["cluster.releases"],
    },
    Fault {
        what: "Dapr's release is not recorded",
        lines: &["kube alter gone @ GET /api/v1/namespaces/dapr-system/secrets/sh.helm.release.*"],
        args: &[],
        checks: &["cluster.releases"],
    },
    Fault {
        what: "the ingress controller's release is not recorded",
        lines: &[
            "kube alter gone @ GET /api/v1/namespaces/nginx-ingress/secrets/sh.helm.release.*",
        ],
        args: &[],
        checks: &["cluster.releases"],
    },
    Fault {
        what: "the backend has no ready replica",
        lines: &[
            "kube alter /status/readyReplicas=0 @ GET /apis/apps/v1/namespaces/todo/deployments/backend",
        ],
        args: &[],
        checks: &["cluster.workloads"],
    },
    Fault {
        what: "the frontend's rollout has not ended",
        lines: &[
            "kube alter /status/updatedReplicas=0 @ GET /apis/apps/v1/namespaces/todo/deployments/frontend",
        ],
        args: &[],
        checks: &["cluster.workloads"],
    },
    Fault {
        what: "the cluster has not noticed the newest backend",
        lines: &[
            "kube alter /metadata/generation=99 @ GET /apis/apps/v1/namespaces/todo/deployments/backend",
        ],
        args: &[],
        checks: &["cluster.workloads"],
    },
    Fault {
        what: "the frontend's Deployment is gone",
        lines: &["kube alter gone @ GET /apis/apps/v1/namespaces/todo/deployments/frontend"],
        args: &[],
        checks: &["cluster.workloads", "cluster.pods", "cluster.images"],
    },
    Fault {
        what: "the backend's container is not ready",
        lines: &[
            "kube alter /status/containerStatuses/name:backend/ready=false @ GET /api/v1/namespaces/todo/pods/backend-*",
        ],
        args: &[],
        checks: &["cluster.pods"],
    },
    Fault {
        what: "the backend's container crashes",
        lines: &[
            r#"kube alter /status/containerStatuses/name:backend={"name":"backend","ready":false,"restartCount":1,"state":{"waiting":{"reason":"CrashLoopBackOff","message":"back-off 10s"}}} @ GET /api/v1/namespaces/todo/pods/backend-*"#,
        ],
        args: &[],
        checks: &["cluster.pods"],
    },
    Fault {
        what: "the frontend's image cannot be pulled",
        lines: &[
            r#"kube alter /status/containerStatuses/name:frontend={"name":"frontend","ready":false,"restartCount":0,"state":{"waiting":{"reason":"ImagePullBackOff","message":"not found"}}} @ GET /api/v1/namespaces/todo/pods/frontend-*"#,
        ],
        args: &[],
        checks: &["cluster.pods"],
    },
    Fault {
        what: "the sidecar's container is not ready",
        lines: &[
            "kube alter /status/containerStatuses/name:daprd/ready=false @ GET /api/v1/namespaces/todo/pods/backend-*",
        ],
        args: &[],
        checks: &["cluster.pods"],
    },
    Fault {
        what: "the backend restarts now and then",
        lines: &[
            "kube alter /status/containerStatuses/name:backend/restartCount=4 @ GET /api/v1/namespaces/todo/pods/backend-*",
        ],
        args: &[],
        checks: &["cluster.restarts"],
    },
    Fault {
        what: "the sidecar restarts again and again",
        lines: &[
            "kube alter /status/containerStatuses/name:daprd/restartCount=12 @ GET /api/v1/namespaces/todo/pods/backend-*",
        ],
        args: &[],
        checks: &["cluster.restarts"],
    },
    Fault {
        what: "a pod runs an older image",
        lines: &[
            r#"kube alter /spec/containers/name:backend/image="ghcr.io/example/todo-backend:0.1.0" @ GET /api/v1/namespaces/todo/pods/backend-*"#,
        ],
        args: &[],
        checks: &["cluster.images"],
    },
    Fault {
        what: "the frontend has no ready endpoint",
        lines: &[
            "kube alter /endpoints/*/conditions/ready=false @ GET /apis/discovery.k8s.io/v1/namespaces/todo/endpointslices/frontend-*",
        ],
        args: &[],
        checks: &["cluster.endpoints", "ingress.rules"],
    },
    Fault {
        what: "the backend's Service is gone",
        lines: &["kube alter gone @ GET /api/v1/namespaces/todo/services/backend"],
        args: &[],
        checks: &["cluster.endpoints", "ingress.rules"],
    },
    Fault {
        what: "a Service has another port than its rule",
        lines: &[
            "kube alter /spec/ports/0/port=81 @ GET /api/v1/namespaces/todo/services/frontend",
        ],
        args: &[],
        checks: &["ingress.rules"],
    },
    Fault {
        what: "a disruption budget lets no pod go",
        lines: &[
            "kube alter /status/expectedPods=2 @ GET /apis/policy/v1/namespaces/todo/poddisruptionbudgets/*",
            "kube alter /status/disruptionsAllowed=0 @ GET /apis/policy/v1/namespaces/todo/poddisruptionbudgets/*",
        ],
        args: &[],
        checks: &["cluster.disruption"],
    },
    Fault {
        what: "Dapr's operator is not ready",
        lines: &[
            "kube alter /status/readyReplicas=0 @ GET /apis/apps/v1/namespaces/dapr-system/deployments/dapr-operator",
        ],
        args: &[],
        checks: &["dapr.operator"],
    },
    Fault {
        what: "Dapr's operator is gone",
        lines: &[
            "kube alter gone @ GET /apis/apps/v1/namespaces/dapr-system/deployments/dapr-operator",
        ],
        args: &[],
        checks: &["dapr.operator"],
    },
    Fault {
        what: "the control plane is older than the sidecars",
        lines: &[
            r#"kube alter /spec/template/spec/containers/0/image="ghcr.io/dapr/operator:1.17.0" @ GET /apis/apps/v1/namespaces/dapr-system/deployments/dapr-operator"#,
        ],
        args: &[],
        checks: &["dapr.operator", "dapr.skew"],
    },
    Fault {
        what: "Sentry is not ready",
        lines: &[
            "kube alter /status/readyReplicas=0 @ GET /apis/apps/v1/namespaces/dapr-system/deployments/dapr-sentry",
        ],
        args: &[],
        checks: &["dapr.sentry"],
    },
    Fault {
        what: "nobody answers for Sentry",
        lines: &[
            "kube alter gone @ GET /apis/discovery.k8s.io/v1/namespaces/dapr-system/endpointslices/dapr-sentry-*",
        ],
        args: &[],
        checks: &["dapr.sentry"],
    },
    Fault {
        what: "the injector is not ready",
        lines: &[
            "kube alter /status/readyReplicas=0 @ GET /apis/apps/v1/namespaces/dapr-system/deployments/dapr-sidecar-injector",
        ],
        args: &[],
        checks: &["dapr.injector"],
    },
    Fault {
        what: "the scheduler is not ready",
        lines: &[
            "kube alter /status/readyReplicas=0 @ GET /apis/apps/v1/namespaces/dapr-system/statefulsets/dapr-scheduler-server",
        ],
        args: &[],
        checks: &["dapr.scheduler"],
    },
    Fault {
        what: "the scheduler is gone",
        lines: &[
            "kube alter gone @ GET /apis/apps/v1/namespaces/dapr-system/statefulsets/dapr-scheduler-server",
        ],
        args: &[],
        checks: &["dapr.scheduler"],
    },
    Fault {
        what: "the definition of components is gone",
        lines: &[
            "kube alter gone @ GET /apis/apiextensions.k8s.io/v1/customresourcedefinitions/components.dapr.io",
        ],
        args: &[],
        checks: &["dapr.definitions"],
    },
    Fault {
        what: "subscriptions are converted in a wrong namespace",
        lines: &[
            r#"kube alter /spec/conversion/webhook/clientConfig/service/namespace="replaceme" @ GET /apis/apiextensions.k8s.io/v1/customresourcedefinitions/subscriptions.dapr.io"#,
        ],
        args: &[],
        checks: &["dapr.definitions"],
    },
    Fault {
        what: "subscriptions are converted without a certificate",
        lines: &[
            r#"kube alter /spec/conversion/webhook/clientConfig/caBundle="" @ GET /apis/apiextensions.k8s.io/v1/customresourcedefinitions/subscriptions.dapr.io"#,
        ],
        args: &[],
        checks: &["dapr.definitions"],
    },
    Fault {
        what: "the sidecar webhook has no certificate",
        lines: &[
            r#"kube alter /webhooks/0/clientConfig/caBundle="" @ GET /apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/dapr-sidecar-injector"#,
        ],
        args: &[],
        checks: &["dapr.webhook"],
    },
    Fault {
        what: "the sidecar webhook is gone",
        lines: &[
            "kube alter gone @ GET /apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/dapr-sidecar-injector",
        ],
        args: &[],
        checks: &["dapr.webhook"],
    },
    Fault {
        what: "the trust bundle is gone",
        lines: &["kube alter gone @ GET /api/v1/namespaces/dapr-system/secrets/dapr-trust-bundle"],
        args: &[],
        checks: &["dapr.certificates"],
    },
    Fault {
        what: "pods trust another authority than Sentry's",
        lines: &[
            r#"kube alter /data/ca.crt="another" @ GET /api/v1/namespaces/dapr-system/configmaps/dapr-trust-bundle"#,
        ],
        args: &[],
        checks: &["dapr.certificates"],
    },
    Fault {
        what: "the issuer's certificate makes no sense",
        lines: &[
            r#"kube alter /data/issuer.crt="bm8gY2VydGlmaWNhdGU=" @ GET /api/v1/namespaces/dapr-system/secrets/dapr-trust-bundle"#,
        ],
        args: &[],
        checks: &["dapr.certificates"],
    },
    Fault {
        what: "the control plane's Configuration is gone",
        lines: &[
            "kube alter gone @ GET /apis/dapr.io/v1alpha1/namespaces/dapr-system/configurations/daprsystem",
        ],
        args: &[],
        checks: &["dapr.configuration"],
    },
    Fault {
        what: "sidecars talk in the clear",
        lines: &[
            "kube alter /spec/mtls/enabled=false @ GET /apis/dapr.io/v1alpha1/namespaces/dapr-system/configurations/daprsystem",
        ],
        args: &[],
        checks: &["dapr.configuration"],
    },
    Fault {
        what: "a sidecar has another identity",
        lines: &[r#"dapr alter /id="somebody" @ GET /v1.0/metadata"#],
        args: &[],
        checks: &["dapr.identity"],
    },
    Fault {
        what: "a sidecar says that it is not ready",
        lines: &[
            r#"dapr alter 500={"errorCode":"ERR_HEALTH_NOT_READY","message":"dapr is not ready: [scheduler-watch-hosts]"} @ GET /v1.0/healthz"#,
        ],
        args: &[],
        checks: &["dapr.ready"],
    },
    Fault {
        what: "a sidecar is a minor version behind",
        lines: &[r#"dapr alter /runtimeVersion="1.17.13" @ GET /v1.0/metadata"#],
        args: &[],
        checks: &["dapr.skew"],
    },
    Fault {
        what: "a sidecar is a patch version behind",
        lines: &[r#"dapr alter /runtimeVersion="1.18.2" @ GET /v1.0/metadata"#],
        args: &[],
        checks: &["dapr.skew"],
    },
    Fault {
        what: "a sidecar is connected to no scheduler",
        lines: &["dapr alter /scheduler/connected_addresses=[] @ GET /v1.0/metadata"],
        args: &[],
        checks: &["dapr.scheduler-link"],
    },
    Fault {
        what: "a sidecar calls another port of its app",
        lines: &["dapr alter /appConnectionProperties/port=9999 @ GET /v1.0/metadata"],
        args: &[],
        checks: &["dapr.app-channel"],
    },
    Fault {
        what: "the sidecar was not injected",
        lines: &[
            "kube alter /spec/containers/name:daprd=null @ GET /api/v1/namespaces/todo/pods/backend-*",
        ],
        args: &[],
        checks: &["dapr.injected"],
    },
    Fault {
        what: "the pub/sub component is gone",
        lines: &[
            "kube alter gone @ GET /apis/dapr.io/v1alpha1/namespaces/todo/components/kafka-pubsub",
        ],
        args: &[],
        checks: &[
            "components.pubsub",
            "components.loaded-pubsub",
            "components.scopes",
        ],
    },
    Fault {
        what: "the pub/sub component is of another type",
        lines: &[
            r#"kube alter /spec/type="pubsub.redis" @ GET /apis/dapr.io/v1alpha1/namespaces/todo/components/kafka-pubsub"#,
        ],
        args: &[],
        checks: &["components.pubsub"],
    },
    Fault {
        what: "the state store is gone",
        lines: &[
            "kube alter gone @ GET /apis/dapr.io/v1alpha1/namespaces/todo/components/statestore",
        ],
        args: &[],
        checks: &[
            "components.state",
            "components.loaded-state",
            "components.scopes",
        ],
    },
    Fault {
        what: "the state store is of another version",
        lines: &[
            r#"kube alter /spec/version="v1" @ GET /apis/dapr.io/v1alpha1/namespaces/todo/components/statestore"#,
        ],
        args: &[],
        checks: &["components.state"],
    },
    Fault {
        what: "the secret store is gone",
        lines: &[
            "kube alter gone @ GET /apis/dapr.io/v1alpha1/namespaces/todo/components/kubernetes-secrets",
        ],
        args: &[],
        checks: &[
            "components.secretstore",
            "components.loaded-secretstore",
            "components.scopes",
        ],
    },
    Fault {
        what: "the secret store is of another type",
        lines: &[
            r#"kube alter /spec/type="secretstores.local.file" @ GET /apis/dapr.io/v1alpha1/namespaces/todo/components/kubernetes-secrets"#,
        ],
        args: &[],
        checks: &["components.secretstore"],
    },
    Fault {
        what: "a component refers to a key that is not there",
        lines: &[
            r#"kube alter /spec/metadata/name:connectionString/secretKeyRef/key="nowhere" @ GET /apis/dapr.io/v1alpha1/namespaces/todo/components/statestore"#,
        ],
        args: &[],
        checks: &["components.references"],
    },
    Fault {
        what: "a component refers to a Secret that is gone",
        lines: &["kube alter gone @ GET /api/v1/namespaces/todo/secrets/dapr-state"],
        args: &[],
        checks: &["components.references"],
    },
    Fault {
        what: "a sidecar has not loaded kafka-pubsub",
        lines: &["dapr alter /components/name:kafka-pubsub=null @ GET /v1.0/metadata"],
        args: &[],
        checks: &["components.loaded-pubsub"],
    },
    Fault {
        what: "a sidecar has not loaded statestore",
        lines: &["dapr alter /components/name:statestore=null @ GET /v1.0/metadata"],
        args: &[],
        checks: &["components.loaded-state"],
    },
    Fault {
        what: "a sidecar has not loaded kubernetes-secrets",
        lines: &["dapr alter /components/name:kubernetes-secrets=null @ GET /v1.0/metadata"],
        args: &[],
        checks: &["components.loaded-secretstore"],
    },
    Fault {
        what: "a sidecar has loaded another version of the state store",
        lines: &[r#"dapr alter /components/name:statestore/version="v1" @ GET /v1.0/metadata"#],
        args: &[],
        checks: &["components.loaded-state"],
    },
    Fault {
        what: "a component is open to everybody",
        lines: &[
            "kube alter /scopes=null @ GET /apis/dapr.io/v1alpha1/namespaces/todo/components/statestore",
        ],
        args: &[],
        checks: &["components.scopes"],
    },
    Fault {
        what: "a component is open to a stranger only",
        lines: &[
            r#"kube alter /scopes=["stranger"] @ GET /apis/dapr.io/v1alpha1/namespaces/todo/components/statestore"#,
        ],
        args: &[],
        checks: &["components.scopes"],
    },
    Fault {
        what: "the app's Configuration is gone",
        lines: &[
            "kube alter gone @ GET /apis/dapr.io/v1alpha1/namespaces/todo/configurations/todo-app",
        ],
        args: &[],
        checks: &["components.configuration"],
    },
    Fault {
        what: "no policy repeats publications",
        lines: &["kube alter gone @ GET /apis/dapr.io/v1alpha1/namespaces/todo/resiliencies/*"],
        args: &[],
        checks: &["components.resiliency"],
    },
    Fault {
        what: "nobody is subscribed",
        lines: &["dapr alter /subscriptions=[] @ GET /v1.0/metadata"],
        args: &[],
        checks: &["components.subscriptions"],
    },
    Fault {
        what: "Strimzi says that Kafka is not ready",
        lines: &[
            r#"kube alter /status/conditions/type:Ready/status="False" @ GET /apis/kafka.strimzi.io/v1/namespaces/todo/kafkas/todo"#,
        ],
        args: &[],
        checks: &["components.kafka"],
    },
    Fault {
        what: "a KafkaTopic is gone",
        lines: &[
            "kube alter gone @ GET /apis/kafka.strimzi.io/v1/namespaces/todo/kafkatopics/reminders",
        ],
        args: &[],
        checks: &["components.kafka-topics"],
    },
    Fault {
        what: "Strimzi could not make a topic",
        lines: &[
            r#"kube alter /status/conditions/type:Ready/status="False" @ GET /apis/kafka.strimzi.io/v1/namespaces/todo/kafkatopics/task-updates"#,
        ],
        args: &[],
        checks: &["components.kafka-topics"],
    },
    Fault {
        what: "a secret is missing",
        lines: &[
            "kube alter /data/cohere-api-key=null @ GET /api/v1/namespaces/todo/secrets/app-secrets",
        ],
        args: &[],
        checks: &["secrets.present"],
    },
    Fault {
        what: "a secret is empty",
        lines: &[
            r#"kube alter /data/better-auth-secret="" @ GET /api/v1/namespaces/todo/secrets/app-secrets"#,
        ],
        args: &[],
        checks: &["secrets.present", "secrets.values"],
    },
    Fault {
        what: "the secrets API does not work",
        lines: &["dapr status 500 @ GET /v1.0/secrets/kubernetes-secrets/app-secrets"],
        args: &[],
        checks: &["secrets.api", "secrets.values"],
    },
    Fault {
        what: "the secrets API lacks a key",
        lines: &[
            "dapr alter /cohere-api-key=null @ GET /v1.0/secrets/kubernetes-secrets/app-secrets",
        ],
        args: &[],
        checks: &["secrets.api"],
    },
    Fault {
        what: "the secrets API has another value",
        lines: &[
            r#"dapr alter /cohere-api-key="another" @ GET /v1.0/secrets/kubernetes-secrets/app-secrets"#,
        ],
        args: &[],
        checks: &["secrets.values"],
    },
    Fault {
        what: "the app may read the root of all identities",
        lines: &[
            r#"dapr alter 200={"ca.crt":"x"} @ GET /v1.0/secrets/kubernetes-secrets/dapr-trust-bundle"#,
        ],
        args: &[],
        checks: &["secrets.unknown"],
    },
    Fault {
        what: "the state API does not save",
        lines: &["dapr status 500 @ POST /v1.0/state/statestore"],
        args: &[],
        checks: &[
            "state.round-trip",
            "state.etag",
            "state.ttl",
            "state.delete",
        ],
    },
    Fault {
        what: "the state API returns another value",
        lines: &[r#"dapr alter /probe="another" @ GET /v1.0/state/statestore/*-value"#],
        args: &[],
        checks: &["state.round-trip"],
    },
    Fault {
        what: "the state API gives no etags",
        lines: &[r#"dapr alter 200={"probe":"first"} @ GET /v1.0/state/statestore/*-etag"#],
        args: &[],
        checks: &["state.etag"],
    },
    Fault {
        what: "a key outlives its time",
        lines: &[r#"dapr alter 200={"probe":"short"} @ GET /v1.0/state/statestore/*-ttl"#],
        args: &[],
        checks: &["state.ttl"],
    },
    Fault {
        what: "a key outlives its deletion",
        lines: &[r#"dapr alter 200={"probe":"here"} @ GET /v1.0/state/statestore/*-gone"#],
        args: &[],
        checks: &["state.delete"],
    },
    Fault {
        what: "the state API does not delete",
        lines: &["dapr status 500 @ DELETE /v1.0/state/statestore/*-gone"],
        args: &[],
        checks: &["state.delete"],
    },
    Fault {
        what: "the state API takes no transactions",
        lines: &["dapr status 500 @ POST /v1.0/state/statestore/transaction"],
        args: &[],
        checks: &["state.transaction"],
    },
    Fault {
        what: "the scheduler takes no jobs",
        lines: &["dapr status 503 @ POST /v1.0/jobs/*"],
        args: &[],
        checks: &["jobs.kept", "jobs.callback"],
    },
    Fault {
        what: "the scheduler loses jobs",
        lines: &["dapr status 500 @ GET /v1.0/jobs/*-kept"],
        args: &[],
        checks: &["jobs.kept"],
    },
    Fault {
        what: "the scheduler does not forget jobs",
        lines: &["dapr status 500 @ DELETE /v1.0/jobs/*-kept"],
        args: &[],
        checks: &["jobs.kept"],
    },
    Fault {
        what: "jobs do not reach the app",
        lines: &[
            "dapr alter dapr_component_job_success_count=0 @ GET /metrics",
            "dapr alter dapr_component_job_failure_count=0 @ GET /metrics",
        ],
        args: &[],
        checks: &["jobs.callback"],
    },
    Fault {
        what: "schedules that make no sense are taken",
        lines: &["dapr alter 204=null @ POST /v1.0/jobs/*-odd"],
        args: &[],
        checks: &["jobs.schedule"],
    },
    Fault {
        what: "the ingress controller is not ready",
        lines: &[
            "kube alter /status/readyReplicas=0 @ GET /apis/apps/v1/namespaces/nginx-ingress/deployments/*",
        ],
        args: &[],
        checks: &["ingress.controller"],
    },
    Fault {
        what: "the ingress controller is gone",
        lines: &["kube alter gone @ GET /apis/apps/v1/namespaces/nginx-ingress/deployments/*"],
        args: &[],
        checks: &["ingress.controller"],
    },
    Fault {
        what: "the ingress class is gone",
        lines: &["kube alter gone @ GET /apis/networking.k8s.io/v1/ingressclasses/nginx"],
        args: &[],
        checks: &["ingress.class"],
    },
    Fault {
        what: "the app's rules are of another class",
        lines: &[
            r#"kube alter /spec/ingressClassName="other" @ GET /apis/networking.k8s.io/v1/namespaces/todo/ingresses/*"#,
        ],
        args: &[],
        checks: &["ingress.class"],
    },
    Fault {
        what: "the load balancer has no address",
        lines: &[
            "kube alter /status/loadBalancer={} @ GET /api/v1/namespaces/nginx-ingress/services/*",
            "kube alter /status/loadBalancer={} @ GET /apis/networking.k8s.io/v1/namespaces/todo/ingresses/*",
        ],
        args: &[],
        checks: &[
            "ingress.address",
            "ingress.page",
            "ingress.health",
            "slo.response",
            "regressions.scenarios",
            "events.login",
            "events.create",
            "events.update",
            "events.complete",
            "events.delete",
            "events.envelope",
            "events.fields",
            "events.trace",
            "events.once",
            "events.delivered",
            "events.state",
            "slo.event",
        ],
    },
    Fault {
        what: "the frontend answers with errors",
        lines: &["app status 503 @ GET /"],
        args: &[],
        checks: &["ingress.page", "slo.response"],
    },
    Fault {
        what: "the frontend's page is empty",
        lines: &["app alter 200=null @ GET /"],
        args: &[],
        checks: &["ingress.page"],
    },
    Fault {
        what: "the backend says that it is not well",
        lines: &["app status 500 @ GET /api/health"],
        args: &[],
        checks: &["ingress.health"],
    },
    Fault {
        what: "the login is refused",
        lines: &["app status 401 @ POST /api/auth/login"],
        args: &[],
        checks: &[
            "events.login",
            "regressions.scenarios",
            "slo.event",
            "events.create",
            "events.update",
            "events.complete",
            "events.delete",
            "events.envelope",
            "events.fields",
            "events.trace",
            "events.once",
            "events.delivered",
            "events.state",
        ],
    },
    Fault {
        what: "the login gives no token",
        lines: &["app alter /access_token=null @ POST /api/auth/login"],
        args: &[],
        checks: &[
            "events.login",
            "regressions.scenarios",
            "slo.event",
            "events.create",
            "events.update",
            "events.complete",
            "events.delete",
            "events.envelope",
            "events.fields",
            "events.trace",
            "events.once",
            "events.delivered",
            "events.state",
        ],
    },
    Fault {
        what: "tasks cannot be created",
        lines: &["app status 500 @ POST /api/tasks"],
        args: &[],
        checks: &[
            "regressions.scenarios",
            "slo.event",
            "events.create",
            "events.update",
            "events.complete",
            "events.delete",
            "events.envelope",
            "events.fields",
            "events.trace",
            "events.once",
            "events.delivered",
            "events.state",
        ],
    },
    Fault {
        what: "tasks cannot be changed",
        lines: &["app status 500 @ PUT /api/tasks/*"],
        args: &[],
        checks: &["events.update"],
    },
    Fault {
        what: "tasks cannot be completed",
        lines: &["app status 500 @ PATCH /api/tasks/*"],
        args: &[],
        checks: &["events.complete"],
    },
    Fault {
        what: "tasks cannot be deleted",
        lines: &["app status 500 @ DELETE /api/tasks/*"],
        args: &[],
        checks: &["events.delete", "regressions.scenarios"],
    },
    Fault {
        what: "tasks that were made are not shown",
        lines: &["app status 404 @ GET /api/tasks/*"],
        args: &[],
        checks: &["events.state", "regressions.scenarios"],
    },
    Fault {
        what: "the app forgets what a task is",
        lines: &["app alter /completed=true @ GET /api/tasks/*"],
        args: &[],
        checks: &["regressions.scenarios"],
    },
    Fault {
        what: "events are of another specification",
        lines: &[r#"dapr spoil /specversion="0.3" @ POST /v1.0/publish/kafka-pubsub/task-events"#],
        args: &[],
        checks: &["events.envelope"],
    },
    Fault {
        what: "events have no type",
        lines: &[r#"dapr spoil /type="" @ POST /v1.0/publish/kafka-pubsub/task-events"#],
        args: &[],
        checks: &["events.envelope"],
    },
    Fault {
        what: "events do not tell their user",
        lines: &["dapr spoil /data/user_id=null @ POST /v1.0/publish/kafka-pubsub/task-events"],
        args: &[],
        checks: &["events.fields"],
    },
    Fault {
        what: "events do not tell their title",
        lines: &[r#"dapr spoil /data/title="" @ POST /v1.0/publish/kafka-pubsub/task-events"#],
        args: &[],
        checks: &["events.fields"],
    },
    Fault {
        what: "events do not tell their time",
        lines: &[
            r#"dapr spoil /data/timestamp="soon" @ POST /v1.0/publish/kafka-pubsub/task-events"#,
        ],
        args: &[],
        checks: &["events.fields"],
    },
    Fault {
        what: "events carry another trace",
        lines: &[
            r#"dapr spoil /traceparent="00-11111111111111111111111111111111-2222222222222222-01" @ POST /v1.0/publish/kafka-pubsub/task-events"#,
            r#"dapr spoil /traceid="00-11111111111111111111111111111111-2222222222222222-01" @ POST /v1.0/publish/kafka-pubsub/task-events"#,
        ],
        args: &[],
        checks: &["events.trace"],
    },
    Fault {
        what: "events are written twice",
        lines: &["kafka double-record task-events"],
        args: &[],
        checks: &["events.once", "events.doubled"],
    },
    Fault {
        what: "the subscriber refuses events",
        lines: &["app status 500 @ POST /events/*"],
        args: &[],
        checks: &["events.delivered"],
    },
    Fault {
        what: "the sidecar does not publish to a topic",
        lines: &["dapr status 500 @ POST /v1.0/publish/kafka-pubsub/reminders"],
        args: &[],
        checks: &["events.publish"],
    },
    Fault {
        what: "records of a topic are lost",
        lines: &["kafka lose-record reminders"],
        args: &[],
        checks: &["events.lost"],
    },
    Fault {
        what: "records of a topic are written twice",
        lines: &["kafka double-record reminders"],
        args: &[],
        checks: &["events.doubled"],
    },
    Fault {
        what: "records of a topic come late",
        lines: &["kafka late-record reminders"],
        args: &[],
        checks: &["events.reordered"],
    },
    Fault {
        what: "a topic has too few partitions",
        lines: &[],
        args: &[
            "--set",
            "kafka.topics=[{name: task-events, partitions: 6}, {name: task-updates}, {name: reminders}]",
        ],
        checks: &["events.topics"],
    },
    Fault {
        what: "the task topic's events are lost",
        lines: &["kafka lose-record task-events"],
        args: &[],
        checks: &[
            "events.create",
            "events.update",
            "events.complete",
            "events.delete",
            "events.lost",
        ],
    },
    Fault {
        what: "a partition has no leader",
        lines: &["kafka leaderless task-updates/1"],
        args: &[],
        checks: &["events.leaders"],
    },
    Fault {
        what: "Kafka refuses the login",
        lines: &["kafka auth-refused"],
        args: &[],
        checks: &["events.brokers"],
    },
    Fault {
        what: "Kafka is away",
        lines: &["kafka away"],
        args: &[],
        checks: &["events.brokers"],
    },
    Fault {
        what: "the app is slow",
        lines: &["app delay 400s @ GET /"],
        args: &["--set", "verify.targets.response_ms=50"],
        checks: &["slo.response"],
    },
    Fault {
        what: "the sidecar does not measure",
        lines: &["dapr alter dapr_component_pubsub_egress_latencies_bucket=0 @ GET /metrics"],
        args: &[],
        checks: &["slo.publish"],
    },
    Fault {
        what: "a sidecar holds too much memory",
        lines: &["dapr alter process_resident_memory_bytes=200000000 @ GET /metrics"],
        args: &[],
        checks: &["slo.sidecar-memory"],
    },
    Fault {
        what: "events come late",
        lines: &["dapr delay 500s @ POST /v1.0/publish/kafka-pubsub/task-events"],
        args: &["--set", "verify.targets.event_ms=100"],
        checks: &["slo.event"],
    },
    Fault {
        what: "a pod took long to start",
        lines: &[
            r#"kube alter /status/conditions/type:Ready/lastTransitionTime="2040-01-01T00:00:00Z" @ GET /api/v1/namespaces/todo/pods/backend-*"#,
        ],
        args: &[],
        checks: &["slo.start"],
    },
];
