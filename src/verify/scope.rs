//! What was read of the cluster, once, for all checks that only look.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use jiff::Timestamp;
use serde_json::Value;

use super::check::Verdict;
use crate::k8s::{K8sError, Kube};
use crate::manifest::Manifest;
use crate::profile::{KafkaProvider, Profile, Service};
use crate::release::{Record, Releases};

/// How many lists are read at once.
const AT_ONCE: usize = 16;

/// A list: API version, kind and namespace; without one, of the whole cluster.
type Key = (&'static str, &'static str, Option<String>);

/// A list as it was read, or why it was not.
type Listed = Result<Vec<Manifest>, String>;

/// What was read, and the profile beside it.
#[derive(Debug)]
pub struct Scope {
    /// What should be.
    pub profile: Profile,
    /// The wall clock when it was read.
    pub now: Timestamp,
    /// The server's version, `v1.34.2`.
    pub version: Result<String, String>,
    lists: BTreeMap<(&'static str, Option<String>), Listed>,
    releases: BTreeMap<String, Result<Vec<Record>, String>>,
}

/// The kinds of each namespace.
const OF_NAMESPACES: [(&str, &str); 7] = [
    ("v1", "Pod"),
    ("v1", "Service"),
    ("v1", "PersistentVolumeClaim"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "StatefulSet"),
    ("discovery.k8s.io/v1", "EndpointSlice"),
    ("policy/v1", "PodDisruptionBudget"),
];

/// The kinds that only the app's namespace has.
const OF_THE_APP: [(&str, &str); 5] = [
    ("networking.k8s.io/v1", "Ingress"),
    ("dapr.io/v1alpha1", "Component"),
    ("dapr.io/v1alpha1", "Configuration"),
    ("dapr.io/v1alpha1", "Resiliency"),
    ("dapr.io/v2alpha1", "Subscription"),
];

const OF_THE_CLUSTER: [(&str, &str); 4] = [
    ("v1", "Node"),
    ("v1", "Namespace"),
    ("v1", "PersistentVolume"),
    ("networking.k8s.io/v1", "IngressClass"),
];

const OF_STRIMZI: [(&str, &str); 2] = [
    ("kafka.strimzi.io/v1", "Kafka"),
    ("kafka.strimzi.io/v1", "KafkaTopic"),
];

fn keys(profile: &Profile) -> Vec<Key> {
    let app = profile.app.namespace.to_string();
    let mut namespaces = vec![
        app.clone(),
        profile.dapr.namespace.to_string(),
        profile.ingress.namespace.to_string(),
    ];
    let mut in_app: Vec<(&str, &str)> = OF_THE_APP.to_vec();
    if profile.kafka.provider == KafkaProvider::Strimzi {
        namespaces.push(profile.kafka.strimzi.namespace.to_string());
        in_app.extend(OF_STRIMZI);
    }
    namespaces.sort_unstable();
    namespaces.dedup();
    let mut keys: Vec<Key> = OF_THE_CLUSTER.iter().map(|(v, k)| (*v, *k, None)).collect();
    keys.extend(in_app.iter().map(|(v, k)| (*v, *k, Some(app.clone()))));
    for namespace in namespaces {
        let all = OF_NAMESPACES.iter();
        keys.extend(all.map(|(v, k)| (*v, *k, Some(namespace.clone()))));
    }
    keys
}

/// Single objects: those whose lists are long, or hold more secrets than are
/// anybody's business.
fn singles(profile: &Profile) -> Vec<(&'static str, &'static str, Option<String>, String)> {
    let app = Some(profile.app.namespace.to_string());
    let dapr = Some(profile.dapr.namespace.to_string());
    let mut all: Vec<_> = crate::dapr::health::wanted(profile)
        .into_iter()
        .filter(|(_, kind, _)| !matches!(*kind, "Deployment" | "StatefulSet" | "EndpointSlice"))
        .map(|(version, kind, name)| {
            let namespaced = matches!(kind, "Secret" | "ConfigMap" | "Configuration");
            let namespace = dapr.clone().filter(|_| namespaced);
            (version, kind, namespace, name.to_owned())
        })
        .collect();
    for name in [crate::render::APP_SECRETS, crate::render::DAPR_STATE] {
        all.push(("v1", "Secret", app.clone(), name.to_owned()));
    }
    if let Some(https) = &profile.ingress.https {
        all.push(("v1", "Secret", app, https.secret.to_string()));
    }
    all
}

/// The releases of a deployment: name and namespace.
pub(super) fn releases_of(profile: &Profile) -> Vec<(String, String)> {
    let mut all = vec![
        (
            profile.app.release.to_string(),
            profile.app.namespace.to_string(),
        ),
        (
            crate::dapr::RELEASE.to_owned(),
            profile.dapr.namespace.to_string(),
        ),
    ];
    if profile.ingress.install {
        all.push((
            crate::render::ingress::RELEASE.to_owned(),
            profile.ingress.namespace.to_string(),
        ));
    }
    if profile.kafka.provider == KafkaProvider::Strimzi {
        all.push((
            crate::render::kafka::RELEASE.to_owned(),
            profile.kafka.strimzi.namespace.to_string(),
        ));
    }
    all
}

/// A failure in words, with its causes.
pub(super) fn words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

impl Scope {
    /// Reads everything, a few lists at a time. What cannot be read is noted,
    /// and fails the checks that need it.
    pub async fn read(kube: &Kube, profile: &Profile) -> Self {
        let version = async {
            let read = async |client: kube::Client| client.apiserver_version().await;
            let version = kube.call("read the version", read).await;
            version.map(|v| v.git_version).map_err(|e| words(&e))
        };
        let lists =
            futures::stream::iter(keys(profile)).map(|(version, kind, namespace)| async move {
                let read = kube.list(version, kind, namespace.as_deref(), "").await;
                ((kind, namespace), read)
            });
        let singles = futures::stream::iter(singles(profile)).map(
            |(version, kind, namespace, name)| async move {
                let object = crate::k8s::ObjectRef {
                    api_version: version.to_owned(),
                    kind: kind.to_owned(),
                    namespace: namespace.clone(),
                    name,
                };
                let read = kube.get(&object).await;
                (
                    (kind, namespace),
                    read.map(|found| found.into_iter().collect()),
                )
            },
        );
        let releases =
            futures::stream::iter(releases_of(profile)).map(|(name, namespace)| async move {
                let history = Releases::new(kube.clone(), &namespace).history(&name).await;
                (name, history.map_err(|error| words(&error)))
            });
        let (version, lists, singles, releases): (_, Vec<_>, Vec<_>, BTreeMap<_, _>) = tokio::join!(
            version,
            lists.buffer_unordered(AT_ONCE).collect(),
            singles.buffer_unordered(AT_ONCE).collect(),
            releases.buffer_unordered(AT_ONCE).collect(),
        );
        let mut scope = Self {
            profile: profile.clone(),
            now: kube.clock().now(),
            version,
            lists: BTreeMap::new(),
            releases,
        };
        for (key, read) in lists.into_iter().chain(singles) {
            scope.note(key, read);
        }
        scope
    }

    fn note(&mut self, key: (&'static str, Option<String>), read: Result<Vec<Manifest>, K8sError>) {
        let read = read.map_err(|error| words(&error));
        let entry = self.lists.entry(key).or_insert_with(|| Ok(Vec::new()));
        match (entry, read) {
            (Ok(all), Ok(more)) => all.extend(more),
            (entry @ Ok(_), Err(error)) => *entry = Err(error),
            (Err(_), _) => {}
        }
    }

    /// The objects of a kind in a namespace, or a failure that says why they
    /// are not known.
    pub fn list(&self, kind: &'static str, namespace: &str) -> Result<&[Manifest], Verdict> {
        self.read_list(kind, Some(namespace.to_owned()))
    }

    /// The objects of a kind of the whole cluster.
    pub fn cluster(&self, kind: &'static str) -> Result<&[Manifest], Verdict> {
        self.read_list(kind, None)
    }

    fn read_list(
        &self,
        kind: &'static str,
        namespace: Option<String>,
    ) -> Result<&[Manifest], Verdict> {
        let of = namespace.as_deref().unwrap_or("the cluster").to_owned();
        match self.lists.get(&(kind, namespace)) {
            Some(Ok(all)) => Ok(all),
            Some(Err(error)) => Err(Verdict::fail(format!("cannot read {kind} objects of {of}"))
                .saw(format!("list {kind} of {of}"), error)),
            None => Ok(&[]),
        }
    }

    /// One object, or none.
    pub fn find(
        &self,
        kind: &'static str,
        namespace: &str,
        name: &str,
    ) -> Result<Option<&Manifest>, Verdict> {
        let all = self.list(kind, namespace)?;
        Ok(all.iter().find(|object| object.name() == name))
    }

    /// Revisions of a release, the newest last.
    pub fn release(&self, name: &str) -> Result<&[Record], Verdict> {
        match self.releases.get(name) {
            Some(Ok(all)) => Ok(all),
            Some(Err(error)) => Err(Verdict::fail(format!("cannot read the release {name}"))
                .saw(format!("history of {name}"), error)),
            None => Ok(&[]),
        }
    }

    /// Everything that was read in Dapr's namespace and of its definitions.
    pub(super) fn control_plane(&self) -> Result<Vec<Manifest>, Verdict> {
        let namespace = self.profile.dapr.namespace.as_str();
        let mut all = Vec::new();
        for kind in ["CustomResourceDefinition", "MutatingWebhookConfiguration"] {
            all.extend_from_slice(self.cluster(kind)?);
        }
        for kind in [
            "Deployment",
            "StatefulSet",
            "EndpointSlice",
            "Secret",
            "ConfigMap",
        ] {
            all.extend_from_slice(self.list(kind, namespace)?);
        }
        all.extend_from_slice(self.list("Configuration", namespace)?);
        Ok(all)
    }

    /// The app's namespace.
    pub fn namespace(&self) -> &str {
        self.profile.app.namespace.as_str()
    }

    /// The Deployment of a service.
    pub fn deployment(&self, service: &Service) -> Result<Option<&Manifest>, Verdict> {
        let all = self.list("Deployment", self.namespace())?;
        let name = service.name.as_str();
        let labelled = |m: &&Manifest| m.label("app.kubernetes.io/name") == Some(name);
        let named = all.iter().find(|m| m.name() == name);
        Ok(named.or_else(|| all.iter().find(labelled)))
    }

    /// The pods of a service that are not on their way out.
    pub fn pods(&self, service: &Service) -> Result<Vec<&Manifest>, Verdict> {
        let Some(deployment) = self.deployment(service)? else {
            return Ok(Vec::new());
        };
        let labels = deployment.body().pointer("/spec/selector/matchLabels");
        let labels = labels.and_then(Value::as_object);
        let pods = self.list("Pod", self.namespace())?.iter();
        Ok(pods
            .filter(|pod| is_current(pod))
            .filter(|pod| {
                labels.is_some_and(|labels| labels.iter().all(|(k, v)| pod.label(k) == v.as_str()))
            })
            .collect())
    }

    /// The services that have a sidecar.
    pub fn with_sidecar(&self) -> impl Iterator<Item = (&Service, &str)> {
        let services = self.profile.app.services.iter();
        services.filter_map(|s| Some((s, s.dapr.as_ref()?.app_id.as_str())))
    }

    /// Where the public address is: the load balancer's, with the port.
    pub fn address(&self) -> Result<Option<String>, Verdict> {
        let port = self.profile.ingress.http_port;
        let namespace = self.profile.ingress.namespace.as_str();
        let services = self.list("Service", namespace)?.iter();
        let balancer =
            services.filter(|s| s.body().pointer("/spec/type") == Some(&"LoadBalancer".into()));
        let given = balancer.clone().find_map(|s| host_of(s.body()));
        let from_ingress = || {
            let all = self.list("Ingress", self.namespace()).ok()?;
            all.iter().find_map(|ingress| host_of(ingress.body()))
        };
        Ok(given.or_else(from_ingress).map(|host| match port {
            80 => host,
            port => format!("{host}:{port}"),
        }))
    }
}

/// The address in a `status.loadBalancer`.
fn host_of(body: &Value) -> Option<String> {
    let first = body.pointer("/status/loadBalancer/ingress/0")?;
    let host = first.get("ip").or_else(|| first.get("hostname"))?;
    Some(host.as_str()?.to_owned())
}

/// Whether a pod is neither finished nor on its way out.
pub(super) fn is_current(pod: &Manifest) -> bool {
    let phase = text(pod, "/status/phase");
    !matches!(phase, "Succeeded" | "Failed")
        && pod.body().pointer("/metadata/deletionTimestamp").is_none()
}

/// A text at a JSON pointer, or nothing.
pub(super) fn text<'a>(object: &'a Manifest, pointer: &str) -> &'a str {
    let found = object.body().pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_default()
}

/// A number at a JSON pointer, or 0.
pub(super) fn number(object: &Manifest, pointer: &str) -> u64 {
    let found = object.body().pointer(pointer).and_then(Value::as_u64);
    found.unwrap_or_default()
}

/// A list at a JSON pointer, or an empty one.
pub(super) fn items<'a>(object: &'a Manifest, pointer: &str) -> &'a [Value] {
    let found = object.body().pointer(pointer).and_then(Value::as_array);
    found.map(Vec::as_slice).unwrap_or_default()
}

/// A condition of an object's status.
pub(super) fn condition<'a>(object: &'a Manifest, kind: &str) -> Option<&'a Value> {
    let all = items(object, "/status/conditions").iter();
    all.clone().find(|c| c["type"] == kind)
}
