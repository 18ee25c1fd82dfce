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
    /// Those that fail if they look late enough.
    pub also: &'static [&'static str],
}

impl Fault {
    /// With more arguments of `verify`.
    const fn asked(self, args: &'static [&'static str]) -> Self {
        Self { args, ..self }
    }

    /// With checks that may fail as well.
    const fn also(self, also: &'static [&'static str]) -> Self {
        Self { also, ..self }
    }
}

const fn fault(
    what: &'static str,
    lines: &'static [&'static str],
    checks: &'static [&'static str],
) -> Fault {
    Fault {
        what,
        lines,
        args: &[],
        checks,
        also: &[],
    }
}

/// What cannot be asked where no pod has a sidecar.
const NO_SIDECAR: &[&str] = &[
    "dapr.injected",
    "dapr.identity",
    "dapr.ready",
    "dapr.skew",
    "dapr.scheduler-link",
    "dapr.app-channel",
    "components.loaded-pubsub",
    "components.loaded-state",
    "components.loaded-secretstore",
    "components.subscriptions",
    "secrets.api",
    "secrets.values",
    "secrets.unknown",
    "state.round-trip",
    "state.etag",
    "state.ttl",
    "state.delete",
    "state.transaction",
    "jobs.kept",
    "jobs.callback",
    "jobs.schedule",
    "events.publish",
    "events.lost",
    "events.doubled",
    "events.reordered",
    "slo.publish",
    "slo.sidecar-memory",
];

/// What needs all partitions of the topics.
const NO_LEADER: &[&str] = &[
    "events.leaders",
    "events.create",
    "events.update",
    "events.complete",
    "events.delete",
    "events.envelope",
    "events.fields",
    "events.trace",
    "events.once",
    "events.delivered",
    "events.publish",
    "events.lost",
    "events.doubled",
    "events.reordered",
    "slo.event",
    "slo.publish",
];

/// What needs the brokers.
const NO_KAFKA: &[&str] = &[
    "events.brokers",
    "events.topics",
    "events.leaders",
    "events.create",
    "events.update",
    "events.complete",
    "events.delete",
    "events.envelope",
    "events.fields",
    "events.trace",
    "events.once",
    "events.delivered",
    "events.lag",
    "events.publish",
    "events.lost",
    "events.doubled",
    "events.reordered",
    "slo.event",
    "slo.publish",
];

/// What asks the app in a user's name.
const NO_LOGIN: &[&str] = &[
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
];

/// All of them.
pub(crate) const FAULTS: &[Fault] = &[
    fault(
        "the API does not tell its version",
        &["kube status 503 @ GET /version"],
        &["cluster.api", "cluster.version"],
    ),
    fault(
        "a kubelet is far too old",
        &[r#"kube alter /status/nodeInfo/kubeletVersion="v1.20.0" @ GET /api/v1/nodes/*"#],
        &["cluster.version"],
    ),
    fault(
        "a kubelet is newer than the server",
        &[r#"kube alter /status/nodeInfo/kubeletVersion="v1.50.0" @ GET /api/v1/nodes/*"#],
        &["cluster.version"],
    ),
    fault(
        "a node is not ready",
        &[r#"kube alter /status/conditions/type:Ready/status="False" @ GET /api/v1/nodes/*"#],
        &["cluster.nodes"],
    ),
    fault(
        "nobody knows how the nodes are",
        &[r#"kube alter /status/conditions/type:Ready/status="Unknown" @ GET /api/v1/nodes/*"#],
        &["cluster.nodes"],
    ),
    fault("the nodes are gone", &["kube alter gone @ GET /api/v1/nodes/*"], &["cluster.nodes"]),
    fault(
        "nodes say MemoryPressure",
        &[
            r#"kube alter /status/conditions/type:MemoryPressure/status="True" @ GET /api/v1/nodes/*"#,
        ],
        &["cluster.pressure"],
    ),
    fault(
        "nodes say DiskPressure",
        &[r#"kube alter /status/conditions/type:DiskPressure/status="True" @ GET /api/v1/nodes/*"#],
        &["cluster.pressure"],
    ),
    fault(
        "nodes say PIDPressure",
        &[r#"kube alter /status/conditions/type:PIDPressure/status="True" @ GET /api/v1/nodes/*"#],
        &["cluster.pressure"],
    ),
    fault(
        "the nodes are cordoned",
        &["kube alter /spec/unschedulable=true @ GET /api/v1/nodes/*"],
        &["cluster.schedulable"],
    ),
    fault(
        "the nodes keep pods away",
        &[
            r#"kube alter /spec/taints=[{"key":"example.com/full","effect":"NoSchedule"}] @ GET /api/v1/nodes/*"#,
        ],
        &["cluster.schedulable"],
    ),
    fault(
        "the nodes have more cores than are free",
        &[r#"kube alter /status/capacity/cpu="4" @ GET /api/v1/nodes/*"#],
        &["cluster.free-tier"],
    ),
    fault(
        "the nodes have more memory than is free",
        &[r#"kube alter /status/capacity/memory="64Gi" @ GET /api/v1/nodes/*"#],
        &["cluster.free-tier"],
    ),
    fault(
        "the volumes are larger than is free",
        &[r#"kube alter /spec/capacity/storage="500Gi" @ GET /api/v1/persistentvolumes/*"#],
        &["cluster.free-tier"],
    ),
    fault(
        "Kafka's volume is not bound",
        &[
            r#"kube alter /status/phase="Pending" @ GET /api/v1/namespaces/todo/persistentvolumeclaims/*"#,
        ],
        &["cluster.storage"],
    ),
    fault(
        "the scheduler's volume is not bound",
        &[
            r#"kube alter /status/phase="Pending" @ GET /api/v1/namespaces/dapr-system/persistentvolumeclaims/*"#,
        ],
        &["cluster.storage"],
    ),
    fault(
        "the app's namespace is being removed",
        &[r#"kube alter /status/phase="Terminating" @ GET /api/v1/namespaces/todo"#],
        &["cluster.namespaces"],
    ),
    fault(
        "Dapr's namespace is gone",
        &["kube alter gone @ GET /api/v1/namespaces/dapr-system"],
        &["cluster.namespaces"],
    ),
    fault(
        "the app's release is not recorded",
        &["kube alter gone @ GET /api/v1/namespaces/todo/secrets/sh.helm.release.*"],
        &["cluster.releases"],
    ),
    fault(
        "Dapr's release is not recorded",
        &["kube alter gone @ GET /api/v1/namespaces/dapr-system/secrets/sh.helm.release.*"],
        &["cluster.releases"],
    ),
    fault(
        "the ingress controller's release is not recorded",
        &["kube alter gone @ GET /api/v1/namespaces/nginx-ingress/secrets/sh.helm.release.*"],
        &["cluster.releases"],
    ),
    fault(
        "the backend has no ready replica",
        &[
            "kube alter /status/readyReplicas=0 @ GET /apis/apps/v1/namespaces/todo/deployments/backend",
        ],
        &["cluster.workloads"],
    ),
    fault(
        "the frontend's rollout has not ended",
        &[
            "kube alter /status/updatedReplicas=0 @ GET /apis/apps/v1/namespaces/todo/deployments/frontend",
        ],
        &["cluster.workloads"],
    ),
    fault(
        "the cluster has not noticed the newest backend",
        &[
            "kube alter /metadata/generation=99 @ GET /apis/apps/v1/namespaces/todo/deployments/backend",
        ],
        &["cluster.workloads"],
    ),
    fault(
        "the frontend's Deployment is gone",
        &["kube alter gone @ GET /apis/apps/v1/namespaces/todo/deployments/frontend"],
        &["cluster.workloads", "cluster.pods", "cluster.images"],
    ),
    fault(
        "the backend's container is not ready",
        &[
            "kube alter /status/containerStatuses/name:backend/ready=false @ GET /api/v1/namespaces/todo/pods/backend-*",
        ],
        &["cluster.pods"],
    ),
    fault(
        "the backend's container crashes",
        &[
            r#"kube alter /status/containerStatuses/name:backend={"name":"backend","ready":false,"restartCount":1,"state":{"waiting":{"reason":"CrashLoopBackOff","message":"back-off 10s"}}} @ GET /api/v1/namespaces/todo/pods/backend-*"#,
        ],
        &["cluster.pods"],
    ),
    fault(
        "the frontend's image cannot be pulled",
        &[
            r#"kube alter /status/containerStatuses/name:frontend={"name":"frontend","ready":false,"restartCount":0,"state":{"waiting":{"reason":"ImagePullBackOff","message":"not found"}}} @ GET /api/v1/namespaces/todo/pods/frontend-*"#,
        ],
        &["cluster.pods"],
    ),
    fault(
        "the sidecar's container is not ready",
        &[
            "kube alter /status/containerStatuses/name:daprd/ready=false @ GET /api/v1/namespaces/todo/pods/backend-*",
        ],
        &["cluster.pods"],
    ),
    fault(
        "the backend restarts now and then",
        &[
            "kube alter /status/containerStatuses/name:backend/restartCount=4 @ GET /api/v1/namespaces/todo/pods/backend-*",
        ],
        &["cluster.restarts"],
    ),
    fault(
        "the sidecar restarts again and again",
        &[
            "kube alter /status/containerStatuses/name:daprd/restartCount=12 @ GET /api/v1/namespaces/todo/pods/backend-*",
        ],
        &["cluster.restarts"],
    ),
    fault(
        "a pod runs an older image",
        &[
            r#"kube alter /spec/containers/name:backend/image="ghcr.io/example/todo-backend:0.1.0" @ GET /api/v1/namespaces/todo/pods/backend-*"#,
        ],
        &["cluster.images"],
    ),
    fault(
        "the frontend has no ready endpoint",
        &[
            "kube alter /endpoints/*/conditions/ready=false @ GET /apis/discovery.k8s.io/v1/namespaces/todo/endpointslices/frontend-*",
        ],
        &["cluster.endpoints", "ingress.rules"],
    ),
    fault(
        "the backend's Service is gone",
        &["kube alter gone @ GET /api/v1/namespaces/todo/services/backend"],
        &["cluster.endpoints", "ingress.rules"],
    ),
    fault(
        "a Service has another port than its rule",
        &["kube alter /spec/ports/0/port=81 @ GET /api/v1/namespaces/todo/services/frontend"],
        &["ingress.rules"],
    ),
    fault(
        "a disruption budget lets no pod go",
        &[
            "kube alter /status/expectedPods=2 @ GET /apis/policy/v1/namespaces/todo/poddisruptionbudgets/*",
            "kube alter /status/disruptionsAllowed=0 @ GET /apis/policy/v1/namespaces/todo/poddisruptionbudgets/*",
        ],
        &["cluster.disruption"],
    ),
    fault(
        "Dapr's operator is not ready",
        &[
            "kube alter /status/readyReplicas=0 @ GET /apis/apps/v1/namespaces/dapr-system/deployments/dapr-operator",
        ],
        &["dapr.operator"],
    ),
    fault(
        "Dapr's operator is gone",
        &["kube alter gone @ GET /apis/apps/v1/namespaces/dapr-system/deployments/dapr-operator"],
        &["dapr.operator"],
    ),
    fault(
        "the control plane is older than the sidecars",
        &[
            r#"kube alter /spec/template/spec/containers/0/image="ghcr.io/dapr/operator:1.17.0" @ GET /apis/apps/v1/namespaces/dapr-system/deployments/dapr-operator"#,
        ],
        &["dapr.operator", "dapr.skew"],
    ),
    fault(
        "Sentry is not ready",
        &[
            "kube alter /status/readyReplicas=0 @ GET /apis/apps/v1/namespaces/dapr-system/deployments/dapr-sentry",
        ],
        &["dapr.sentry"],
    ),
    fault(
        "nobody answers for Sentry",
        &[
            "kube alter gone @ GET /apis/discovery.k8s.io/v1/namespaces/dapr-system/endpointslices/dapr-sentry-*",
        ],
        &["dapr.sentry"],
    ),
    fault(
        "the injector is not ready",
        &[
            "kube alter /status/readyReplicas=0 @ GET /apis/apps/v1/namespaces/dapr-system/deployments/dapr-sidecar-injector",
        ],
        &["dapr.injector"],
    ),
    fault(
        "the scheduler is not ready",
        &[
            "kube alter /status/readyReplicas=0 @ GET /apis/apps/v1/namespaces/dapr-system/statefulsets/dapr-scheduler-server",
        ],
        &["dapr.scheduler"],
    ),
    fault(
        "the scheduler is gone",
        &[
            "kube alter gone @ GET /apis/apps/v1/namespaces/dapr-system/statefulsets/dapr-scheduler-server",
        ],
        &["dapr.scheduler"],
    ),
    fault(
        "the definition of components is gone",
        &[
            "kube alter gone @ GET /apis/apiextensions.k8s.io/v1/customresourcedefinitions/components.dapr.io",
        ],
        &["dapr.definitions"],
    ),
    fault(
        "subscriptions are converted in a wrong namespace",
        &[
            r#"kube alter /spec/conversion/webhook/clientConfig/service/namespace="replaceme" @ GET /apis/apiextensions.k8s.io/v1/customresourcedefinitions/subscriptions.dapr.io"#,
        ],
        &["dapr.definitions"],
    ),
    fault(
        "subscriptions are converted without a certificate",
        &[
            r#"kube alter /spec/conversion/webhook/clientConfig/caBundle="" @ GET /apis/apiextensions.k8s.io/v1/customresourcedefinitions/subscriptions.dapr.io"#,
        ],
        &["dapr.definitions"],
    ),
    fault(
        "the sidecar webhook has no certificate",
        &[
            r#"kube alter /webhooks/0/clientConfig/caBundle="" @ GET /apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/dapr-sidecar-injector"#,
        ],
        &["dapr.webhook"],
    ),
    fault(
        "the sidecar webhook is gone",
        &[
            "kube alter gone @ GET /apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/dapr-sidecar-injector",
        ],
        &["dapr.webhook"],
    ),
    fault(
        "the trust bundle is gone",
        &["kube alter gone @ GET /api/v1/namespaces/dapr-system/secrets/dapr-trust-bundle"],
        &["dapr.certificates"],
    ),
    fault(
        "pods trust another authority than Sentry's",
        &[
            r#"kube alter /data/ca.crt="another" @ GET /api/v1/namespaces/dapr-system/configmaps/dapr-trust-bundle"#,
        ],
        &["dapr.certificates"],
    ),
    fault(
        "the issuer's certificate makes no sense",
        &[
            r#"kube alter /data/issuer.crt="bm8gY2VydGlmaWNhdGU=" @ GET /api/v1/namespaces/dapr-system/secrets/dapr-trust-bundle"#,
        ],
        &["dapr.certificates"],
    ),
    fault(
        "the control plane's Configuration is gone",
        &[
            "kube alter gone @ GET /apis/dapr.io/v1alpha1/namespaces/dapr-system/configurations/daprsystem",
        ],
        &["dapr.configuration"],
    ),
    fault(
        "sidecars talk in the clear",
        &[
            "kube alter /spec/mtls/enabled=false @ GET /apis/dapr.io/v1alpha1/namespaces/dapr-system/configurations/daprsystem",
        ],
        &["dapr.configuration"],
    ),
    fault(
        "a sidecar has another identity",
        &[r#"dapr alter /id="somebody" @ GET /v1.0/metadata"#],
        &["dapr.identity"],
    ),
    fault(
        "a sidecar says that it is not ready",
        &[
            r#"dapr alter 500={"errorCode":"ERR_HEALTH_NOT_READY","message":"dapr is not ready: [scheduler-watch-hosts]"} @ GET /v1.0/healthz"#,
        ],
        &["dapr.ready"],
    ),
    fault(
        "a sidecar is a minor version behind",
        &[r#"dapr alter /runtimeVersion="1.17.13" @ GET /v1.0/metadata"#],
        &["dapr.skew"],
    ),
    fault(
        "a sidecar is a patch version behind",
        &[r#"dapr alter /runtimeVersion="1.18.2" @ GET /v1.0/metadata"#],
        &["dapr.skew"],
    ),
    fault(
        "a sidecar is connected to no scheduler",
        &["dapr alter /scheduler/connected_addresses=[] @ GET /v1.0/metadata"],
        &["dapr.scheduler-link"],
    ),
    fault(
        "a sidecar calls another port of its app",
        &["dapr alter /appConnectionProperties/port=9999 @ GET /v1.0/metadata"],
        &["dapr.app-channel"],
    ),
    fault(
        "the sidecar was not injected",
        &[
            "kube alter /spec/containers/name:daprd=null @ GET /api/v1/namespaces/todo/pods/backend-*",
        ],
        NO_SIDECAR,
    ),
    fault(
        "the pub/sub component is gone",
        &["kube alter gone @ GET /apis/dapr.io/v1alpha1/namespaces/todo/components/kafka-pubsub"],
        &["components.pubsub", "components.loaded-pubsub", "components.scopes"],
    ),
    fault(
        "the pub/sub component is of another type",
        &[
            r#"kube alter /spec/type="pubsub.redis" @ GET /apis/dapr.io/v1alpha1/namespaces/todo/components/kafka-pubsub"#,
        ],
        &["components.pubsub"],
    ),
    fault(
        "the state store is gone",
        &["kube alter gone @ GET /apis/dapr.io/v1alpha1/namespaces/todo/components/statestore"],
        &["components.state", "components.loaded-state", "components.scopes"],
    ),
    fault(
        "the state store is of another version",
        &[
            r#"kube alter /spec/version="v1" @ GET /apis/dapr.io/v1alpha1/namespaces/todo/components/statestore"#,
        ],
        &["components.state"],
    ),
    fault(
        "the secret store is gone",
        &[
            "kube alter gone @ GET /apis/dapr.io/v1alpha1/namespaces/todo/components/kubernetes-secrets",
        ],
        &["components.secretstore", "components.loaded-secretstore", "components.scopes"],
    ),
    fault(
        "the secret store is of another type",
        &[
            r#"kube alter /spec/type="secretstores.local.file" @ GET /apis/dapr.io/v1alpha1/namespaces/todo/components/kubernetes-secrets"#,
        ],
        &["components.secretstore"],
    ),
    fault(
        "a component refers to a key that is not there",
        &[
            r#"kube alter /spec/metadata/name:connectionString/secretKeyRef/key="nowhere" @ GET /apis/dapr.io/v1alpha1/namespaces/todo/components/statestore"#,
        ],
        &["components.references"],
    ),
    fault(
        "a component refers to a Secret that is gone",
        &["kube alter gone @ GET /api/v1/namespaces/todo/secrets/dapr-state"],
        &["components.references"],
    ),
    fault(
        "a sidecar has not loaded kafka-pubsub",
        &["dapr alter /components/name:kafka-pubsub=null @ GET /v1.0/metadata"],
        &["components.loaded-pubsub"],
    ),
    fault(
        "a sidecar has not loaded statestore",
        &["dapr alter /components/name:statestore=null @ GET /v1.0/metadata"],
        &["components.loaded-state"],
    ),
    fault(
        "a sidecar has not loaded kubernetes-secrets",
        &["dapr alter /components/name:kubernetes-secrets=null @ GET /v1.0/metadata"],
        &["components.loaded-secretstore"],
    ),
    fault(
        "a sidecar has loaded another version of the state store",
        &[r#"dapr alter /components/name:statestore/version="v1" @ GET /v1.0/metadata"#],
        &["components.loaded-state"],
    ),
    fault(
        "a component is open to everybody",
        &[
            "kube alter /scopes=null @ GET /apis/dapr.io/v1alpha1/namespaces/todo/components/statestore",
        ],
        &["components.scopes"],
    ),
    fault(
        "a component is open to a stranger only",
        &[
            r#"kube alter /scopes=["stranger"] @ GET /apis/dapr.io/v1alpha1/namespaces/todo/components/statestore"#,
        ],
        &["components.scopes"],
    ),
    fault(
        "the app's Configuration is gone",
        &["kube alter gone @ GET /apis/dapr.io/v1alpha1/namespaces/todo/configurations/todo-app"],
        &["components.configuration"],
    ),
    fault(
        "no policy repeats publications",
        &["kube alter gone @ GET /apis/dapr.io/v1alpha1/namespaces/todo/resiliencies/*"],
        &["components.resiliency"],
    ),
    fault(
        "nobody is subscribed",
        &["dapr alter /subscriptions=[] @ GET /v1.0/metadata"],
        &["components.subscriptions"],
    ),
    fault(
        "Strimzi says that Kafka is not ready",
        &[
            r#"kube alter /status/conditions/type:Ready/status="False" @ GET /apis/kafka.strimzi.io/v1/namespaces/todo/kafkas/todo"#,
        ],
        &["components.kafka"],
    ),
    fault(
        "a KafkaTopic is gone",
        &["kube alter gone @ GET /apis/kafka.strimzi.io/v1/namespaces/todo/kafkatopics/reminders"],
        &["components.kafka-topics"],
    ),
    fault(
        "Strimzi could not make a topic",
        &[
            r#"kube alter /status/conditions/type:Ready/status="False" @ GET /apis/kafka.strimzi.io/v1/namespaces/todo/kafkatopics/task-updates"#,
        ],
        &["components.kafka-topics"],
    ),
    fault(
        "a secret is missing",
        &["kube alter /data/cohere-api-key=null @ GET /api/v1/namespaces/todo/secrets/app-secrets"],
        &["secrets.present"],
    ),
    fault(
        "a secret is empty",
        &[
            r#"kube alter /data/better-auth-secret="" @ GET /api/v1/namespaces/todo/secrets/app-secrets"#,
        ],
        &["secrets.present", "secrets.values"],
    ),
    fault(
        "the secrets API does not work",
        &["dapr status 500 @ GET /v1.0/secrets/kubernetes-secrets/app-secrets"],
        &["secrets.api", "secrets.values"],
    ),
    fault(
        "the secrets API lacks a key",
        &["dapr alter /cohere-api-key=null @ GET /v1.0/secrets/kubernetes-secrets/app-secrets"],
        &["secrets.api"],
    ),
    fault(
        "the secrets API has another value",
        &[
            r#"dapr alter /cohere-api-key="another" @ GET /v1.0/secrets/kubernetes-secrets/app-secrets"#,
        ],
        &["secrets.values"],
    ),
    fault(
        "the app may read the root of all identities",
        &[
            r#"dapr alter 200={"ca.crt":"x"} @ GET /v1.0/secrets/kubernetes-secrets/dapr-trust-bundle"#,
        ],
        &["secrets.unknown"],
    ),
    fault(
        "the state API does not save",
        &["dapr status 500 @ POST /v1.0/state/statestore"],
        &["state.round-trip", "state.etag", "state.ttl", "state.delete"],
    ),
    fault(
        "the state API returns another value",
        &[r#"dapr alter /probe="another" @ GET /v1.0/state/statestore/*-value"#],
        &["state.round-trip"],
    ),
    fault(
        "the state API gives no etags",
        &[r#"dapr alter 200={"probe":"first"} @ GET /v1.0/state/statestore/*-etag"#],
        &["state.etag"],
    ),
    fault(
        "a key outlives its time",
        &[r#"dapr alter 200={"probe":"short"} @ GET /v1.0/state/statestore/*-ttl"#],
        &["state.ttl"],
    ),
    fault(
        "a key outlives its deletion",
        &[r#"dapr alter 200={"probe":"here"} @ GET /v1.0/state/statestore/*-gone"#],
        &["state.delete"],
    ),
    fault(
        "the state API does not delete",
        &["dapr status 500 @ DELETE /v1.0/state/statestore/*-gone"],
        &["state.delete"],
    ),
    fault(
        "the state API takes no transactions",
        &["dapr status 500 @ POST /v1.0/state/statestore/transaction"],
        &["state.transaction"],
    ),
    fault(
        "the scheduler takes no jobs",
        &["dapr status 503 @ POST /v1.0/jobs/*"],
        &["jobs.kept", "jobs.callback"],
    ),
    fault(
        "the scheduler loses jobs",
        &["dapr status 500 @ GET /v1.0/jobs/*-kept"],
        &["jobs.kept"],
    ),
    fault(
        "the scheduler does not forget jobs",
        &["dapr status 500 @ DELETE /v1.0/jobs/*-kept"],
        &["jobs.kept"],
    ),
    fault(
        "jobs do not reach the app",
        &[
            "dapr alter dapr_component_job_success_count=0 @ GET /metrics",
            "dapr alter dapr_component_job_failure_count=0 @ GET /metrics",
        ],
        &["jobs.callback"],
    ),
    fault(
        "schedules that make no sense are taken",
        &["dapr alter 204=null @ POST /v1.0/jobs/*-odd"],
        &["jobs.schedule"],
    ),
    fault(
        "the ingress controller is not ready",
        &[
            "kube alter /status/readyReplicas=0 @ GET /apis/apps/v1/namespaces/nginx-ingress/deployments/*",
        ],
        &["ingress.controller"],
    ),
    fault(
        "the ingress controller is gone",
        &["kube alter gone @ GET /apis/apps/v1/namespaces/nginx-ingress/deployments/*"],
        &["ingress.controller"],
    ),
    fault(
        "the ingress class is gone",
        &["kube alter gone @ GET /apis/networking.k8s.io/v1/ingressclasses/nginx"],
        &["ingress.class"],
    ),
    fault(
        "the app's rules are of another class",
        &[
            r#"kube alter /spec/ingressClassName="other" @ GET /apis/networking.k8s.io/v1/namespaces/todo/ingresses/*"#,
        ],
        &["ingress.class"],
    ),
    fault(
        "the load balancer has no address",
        &[
            "kube alter /status/loadBalancer={} @ GET /api/v1/namespaces/nginx-ingress/services/*",
            "kube alter /status/loadBalancer={} @ GET /apis/networking.k8s.io/v1/namespaces/todo/ingresses/*",
        ],
        &[
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
    ),
    fault(
        "the frontend answers with errors",
        &["app status 503 @ GET /"],
        &["ingress.page", "slo.response"],
    ),
    fault("the frontend's page is empty", &["app alter 200=null @ GET /"], &["ingress.page"]),
    fault(
        "the backend says that it is not well",
        &["app status 500 @ GET /api/health"],
        &["ingress.health"],
    ),
    fault(
        "the login is refused",
        &["app status 401 @ POST /api/auth/login"],
        NO_LOGIN,
    ),
    fault(
        "the login gives no token",
        &["app alter /access_token=null @ POST /api/auth/login"],
        NO_LOGIN,
    ),
    fault(
        "tasks cannot be created",
        &["app status 500 @ POST /api/tasks"],
        &[
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
    ),
    fault(
        "tasks cannot be changed",
        &["app status 500 @ PUT /api/tasks/*"],
        &["events.update"],
    ),
    fault(
        "tasks cannot be completed",
        &["app status 500 @ PATCH /api/tasks/*"],
        &["events.complete"],
    ),
    fault(
        "tasks cannot be deleted",
        &["app status 500 @ DELETE /api/tasks/*"],
        &["events.delete", "regressions.scenarios"],
    ),
    fault(
        "tasks that were made are not shown",
        &["app status 404 @ GET /api/tasks/*"],
        &["events.state", "regressions.scenarios"],
    ),
    fault(
        "the app forgets what a task is",
        &["app alter /completed=true @ GET /api/tasks/*"],
        &["regressions.scenarios"],
    ),
    fault(
        "events are of another specification",
        &[r#"dapr spoil /specversion="0.3" @ POST /v1.0/publish/kafka-pubsub/task-events"#],
        &["events.envelope"],
    ),
    fault(
        "events have no type",
        &[r#"dapr spoil /type="" @ POST /v1.0/publish/kafka-pubsub/task-events"#],
        &["events.envelope"],
    ),
    fault(
        "events do not tell their user",
        &["dapr spoil /data/user_id=null @ POST /v1.0/publish/kafka-pubsub/task-events"],
        &["events.fields"],
    ),
    fault(
        "events do not tell their title",
        &[r#"dapr spoil /data/title="" @ POST /v1.0/publish/kafka-pubsub/task-events"#],
        &["events.fields"],
    ),
    fault(
        "events do not tell their time",
        &[r#"dapr spoil /data/timestamp="soon" @ POST /v1.0/publish/kafka-pubsub/task-events"#],
        &["events.fields"],
    ),
    fault(
        "events carry another trace",
        &[
            r#"dapr spoil /traceparent="00-11111111111111111111111111111111-2222222222222222-01" @ POST /v1.0/publish/kafka-pubsub/task-events"#,
            r#"dapr spoil /traceid="00-11111111111111111111111111111111-2222222222222222-01" @ POST /v1.0/publish/kafka-pubsub/task-events"#,
        ],
        &["events.trace"],
    ),
    fault(
        "events are written twice",
        &["kafka double-record task-events"],
        &["events.once", "events.doubled"],
    ),
    fault(
        "the subscriber refuses events",
        &["app status 500 @ POST /events/*"],
        &["events.delivered"],
    ),
    fault(
        "the subscriber does not know its route",
        &["app status 404 @ POST /events/*"],
        &["events.delivered"],
    ),
    fault(
        "the sidecar does not publish to a topic",
        &["dapr status 500 @ POST /v1.0/publish/kafka-pubsub/reminders"],
        &["events.publish"],
    ),
    fault("records of a topic are lost", &["kafka lose-record reminders"], &["events.lost"]),
    fault(
        "records of a topic are written twice",
        &["kafka double-record reminders"],
        &["events.doubled"],
    ),
    fault(
        "records of a topic come late",
        &["kafka late-record reminders"],
        &["events.reordered"],
    ),
    fault(
        "a topic has too few partitions",
        &[],
        &["events.topics"],
    )
    .asked(&[
        "--set",
        "kafka.topics=[{name: task-events, partitions: 6}, {name: task-updates}, {name: reminders}]",
    ]),
    fault(
        "the task topic's events are lost",
        &["kafka lose-record task-events"],
        &["events.create", "events.update", "events.complete", "events.delete", "events.lost"],
    ),
    fault("a partition has no leader", &["kafka leaderless task-updates/1"], NO_LEADER),
    fault(
        "the app is slow",
        &["app delay 400s @ GET /"],
        &["slo.response"],
    )
    .asked(&["--set", "verify.targets.response_ms=50"]),
    fault(
        "the sidecar does not measure",
        &["dapr alter dapr_component_pubsub_egress_latencies_bucket=0 @ GET /metrics"],
        &["slo.publish"],
    ),
    fault(
        "a sidecar holds too much memory",
        &["dapr alter process_resident_memory_bytes=200000000 @ GET /metrics"],
        &["slo.sidecar-memory"],
    ),
    fault(
        "events come late",
        &["dapr delay 500s @ POST /v1.0/publish/kafka-pubsub/task-events"],
        &["slo.event"],
    )
    .asked(&["--set", "verify.targets.event_ms=100"]),
    fault(
        "a pod took long to start",
        &[
            r#"kube alter /status/conditions/type:Ready/lastTransitionTime="2040-01-01T00:00:00Z" @ GET /api/v1/namespaces/todo/pods/backend-*"#,
        ],
        &["slo.start"],
    ),
    // The last: Strimzi takes its time to see Kafka go, and come back.
    fault("Kafka is away", &["kafka away 10000h"], NO_KAFKA).also(&["components.kafka"]),
];
