//! What a profile says, with the default of everything that it leaves out.
//!
//! The doc comment of a field is its description in the JSON Schema and in
//! `docs/reference/profile.md`. The types use neither `flatten` nor untagged
//! enums, so that every value keeps its place in the file.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::chart_source::ChartSource;
use super::cloud::Cloud;
use super::platform::{Dapr, IngressController, Strimzi};
use super::secret_text::SecretText;
use super::verify::Verify;
use crate::names::{DeploymentName, Namespace, ReleaseName, SecretName, ServiceName, Topic};

/// Where and how to deploy the app.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Profile {
    /// Another profile, by name or by path, that this one builds on. Maps
    /// merge key by key, lists and scalars replace, `null` removes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extends: Option<String>,
    /// One line about the profile, for people.
    pub description: String,
    /// Name of the deployment. Everything that todoctl makes is named or
    /// tagged after it (`todoctl=<deployment>`).
    pub deployment: DeploymentName,
    /// The Oracle Cloud side. Without it the app goes to the cluster that
    /// `kubernetes` names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cloud: Option<Cloud>,
    /// An existing Kubernetes cluster, when there is no `cloud`.
    pub kubernetes: Kubernetes,
    /// Addresses that replace the ones that todoctl would work out.
    pub endpoints: Endpoints,
    /// The embedded rehearsal world. When this is present, `up` starts it and
    /// points `endpoints` at it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<Sandbox>,
    /// The application.
    pub app: App,
    /// The Dapr control plane and components.
    pub dapr: Dapr,
    /// The way in from the internet.
    pub ingress: IngressController,
    /// The event backbone.
    pub kafka: Kafka,
    /// Secret values by name. Each becomes a key of the Kubernetes secret
    /// `app-secrets` in the app's namespace.
    #[schemars(extend("propertyNames" = {"format": "secret-name"}))]
    pub secrets: BTreeMap<SecretName, SecretEntry>,
    /// What `verify` should know about the app.
    pub verify: Verify,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            extends: None,
            description: String::new(),
            deployment: fixed("todo"),
            cloud: None,
            kubernetes: Kubernetes::default(),
            endpoints: Endpoints::default(),
            sandbox: None,
            app: App::default(),
            dapr: Dapr::default(),
            ingress: IngressController::default(),
            kafka: Kafka::default(),
            secrets: BTreeMap::new(),
            verify: Verify::default(),
        }
    }
}

/// An existing Kubernetes cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Kubernetes {
    /// Path of the kubeconfig. By default `KUBECONFIG`, or else
    /// `~/.kube/config`.
    pub kubeconfig: Option<String>,
    /// Context inside the kubeconfig. By default its current context.
    pub context: Option<String>,
}

/// Addresses that replace the ones that todoctl would work out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Endpoints {
    /// Base URL that serves every Oracle Cloud API, for an emulator.
    pub oci: Option<String>,
    /// Address of a chart repository that takes the place of every other one,
    /// for a mirror or an emulator. Charts keep their names and versions.
    pub charts: Option<String>,
    /// Base URL of the registry in which images are looked up before a
    /// deployment, for a mirror or an emulator. By default each image's own.
    pub registry: Option<String>,
    /// Base URL of Redpanda Cloud's control plane and of its tokens, for an
    /// emulator.
    pub redpanda: Option<String>,
    /// An authority that Redpanda Cloud's certificates may have besides those
    /// that everybody knows, as PEM text.
    pub redpanda_ca: Option<String>,
    /// How many seconds the far side lives through while one passes here.
    /// Waits and deadlines shrink by it.
    #[schemars(range(min = 1.0))]
    pub clock_rate: f64,
}

impl Default for Endpoints {
    fn default() -> Self {
        Self {
            oci: None,
            charts: None,
            registry: None,
            redpanda: None,
            redpanda_ca: None,
            clock_rate: 1.0,
        }
    }
}

/// The embedded rehearsal world.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Sandbox {
    /// Seed of everything random: the same seed gives the same latencies,
    /// identifiers and faults.
    pub seed: u64,
    /// How fast the world's clock runs: `fast`, `real`, or a factor.
    pub clock: SandboxClock,
}

impl Default for Sandbox {
    fn default() -> Self {
        Self {
            seed: 7,
            clock: SandboxClock::Fast,
        }
    }
}

/// How fast the sandbox's clock runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SandboxClock {
    /// A thousand seconds in one: what takes Oracle 20 minutes takes 1.2 s.
    Fast,
    /// As on the wall.
    Real,
    /// Some factor.
    Rate(f64),
}

impl SandboxClock {
    /// Seconds of the world per second of the wall.
    pub fn rate(self) -> f64 {
        match self {
            Self::Fast => 1000.0,
            Self::Real => 1.0,
            Self::Rate(rate) => rate,
        }
    }
}

impl Serialize for SandboxClock {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Fast => s.serialize_str("fast"),
            Self::Real => s.serialize_str("real"),
            Self::Rate(rate) => s.serialize_f64(*rate),
        }
    }
}

impl<'de> Deserialize<'de> for SandboxClock {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(d)? {
            serde_json::Value::String(word) if word == "fast" => Ok(Self::Fast),
            serde_json::Value::String(word) if word == "real" => Ok(Self::Real),
            value => value
                .as_f64()
                .filter(|rate| *rate >= 1.0)
                .map(Self::Rate)
                .ok_or_else(|| {
                    serde::de::Error::custom("not `fast`, `real` or a factor of at least 1")
                }),
        }
    }
}

impl JsonSchema for SandboxClock {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SandboxClock".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "anyOf": [
                {"type": "string", "enum": ["fast", "real"]},
                {"type": "number", "minimum": 1}
            ]
        })
    }
}

/// The application.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct App {
    /// Namespace of the app, its components and its secrets.
    pub namespace: Namespace,
    /// A Helm chart of your own. By default todoctl's own chart deploys the
    /// `services`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chart: Option<ChartSource>,
    /// Values files for a chart of your own, from the profile's folder. Later
    /// ones win.
    pub values_files: Vec<String>,
    /// Name of the app's Helm release.
    pub release: ReleaseName,
    /// The services that make up the app.
    pub services: Vec<Service>,
}

impl Default for App {
    fn default() -> Self {
        Self {
            namespace: fixed("todo"),
            chart: None,
            values_files: Vec::new(),
            release: fixed("todo-app"),
            services: Vec::new(),
        }
    }
}

/// One service of the app: a Deployment, a Service, and what belongs to them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Name of the Deployment and the Service.
    pub name: ServiceName,
    /// Container image with its registry and a tag or digest. OKE's nodes do
    /// not complete short names.
    pub image: String,
    /// Port on which the container listens.
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
    /// Number of pods.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 100))]
    pub replicas: u32,
    /// A Dapr sidecar beside each pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dapr: Option<ServiceDapr>,
    /// A way in from the internet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<Ingress>,
    /// Path that answers 200 when the container is ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_path: Option<String>,
    /// Number of the user that the container runs as; never root. By default
    /// 10001, whatever the image says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4_294_967_294_u32))]
    pub run_as_user: Option<u32>,
    /// Plain environment variables. Secrets do not belong here.
    #[serde(default)]
    #[schemars(extend("propertyNames" = {"format": "env-name"}))]
    pub env: BTreeMap<String, String>,
    /// Names out of `secrets`. `database-url` arrives as `DATABASE_URL`.
    #[serde(default)]
    pub secrets: Vec<SecretName>,
    /// What each pod asks of its node.
    #[serde(default)]
    pub resources: Resources,
}

/// A service's Dapr sidecar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceDapr {
    /// Identity of the service in Dapr: other services call it by this name,
    /// and component scopes list it.
    pub app_id: ServiceName,
    /// Port on which the sidecar calls the app. By default the service's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub app_port: Option<u16>,
}

/// A service's way in from the internet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ingress {
    /// Path prefix that leads to this service.
    #[serde(default = "root_path")]
    pub path: String,
    /// Host name that leads to this service. By default any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

/// What each pod asks of its node, as Kubernetes quantities.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Resources {
    /// CPU request, for instance `100m`.
    pub cpu: String,
    /// Memory request and limit, for instance `256Mi`.
    pub memory: String,
}

impl Default for Resources {
    fn default() -> Self {
        Self {
            cpu: "100m".to_owned(),
            memory: "256Mi".to_owned(),
        }
    }
}

/// The event backbone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Kafka {
    /// Who runs Kafka.
    pub provider: KafkaProvider,
    /// `HOST:PORT` of the brokers, for `external`. The other providers tell
    /// their own.
    pub brokers: Vec<String>,
    /// Whether connections to the brokers are encrypted.
    pub tls: bool,
    /// The authority that signed the brokers' certificates, where it is none
    /// that everybody knows, as PEM text: for instance `${file:ca.pem}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// How the app proves who it is.
    pub auth: KafkaAuth,
    /// The topics that todoctl creates.
    pub topics: Vec<KafkaTopic>,
    /// Kafka in the cluster, for `strimzi`.
    pub strimzi: Strimzi,
    /// Access to Redpanda Cloud, for `redpanda-cloud`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redpanda_cloud: Option<RedpandaCloud>,
}

impl Default for Kafka {
    fn default() -> Self {
        Self {
            provider: KafkaProvider::Strimzi,
            brokers: Vec::new(),
            tls: false,
            ca: None,
            auth: KafkaAuth::default(),
            topics: ["task-events", "task-updates", "reminders"]
                .into_iter()
                .map(|name| KafkaTopic {
                    name: fixed(name),
                    partitions: 3,
                })
                .collect(),
            strimzi: Strimzi::default(),
            redpanda_cloud: None,
        }
    }
}

/// Who runs Kafka.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KafkaProvider {
    /// The Strimzi operator, inside the cluster.
    Strimzi,
    /// A serverless cluster at Redpanda Cloud, which todoctl creates.
    RedpandaCloud,
    /// Brokers that exist already.
    External,
}

/// How the app proves to Kafka who it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct KafkaAuth {
    /// The SASL mechanism.
    pub mechanism: SaslMechanism,
    /// User name.
    pub username: Option<String>,
    /// Password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretText>,
}

/// A SASL mechanism.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SaslMechanism {
    /// No authentication.
    #[default]
    None,
    /// User name and password as they are; for TLS connections only.
    Plain,
    /// SCRAM with SHA-256.
    #[serde(rename = "scram-sha-256")]
    ScramSha256,
    /// SCRAM with SHA-512.
    #[serde(rename = "scram-sha-512")]
    ScramSha512,
}

/// A Kafka topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KafkaTopic {
    /// Name of the topic.
    pub name: Topic,
    /// Number of partitions.
    #[serde(default = "three")]
    #[schemars(range(min = 1, max = 1000))]
    pub partitions: u32,
}

/// Access to Redpanda Cloud: a service account of its organisation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RedpandaCloud {
    /// Client ID of the service account.
    pub client_id: String,
    /// Client secret of the service account.
    pub client_secret: SecretText,
    /// Region of the serverless cluster, for instance `eu-central-1`.
    pub region: String,
}

/// One secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretEntry {
    /// Where the value comes from, for instance `${env:DATABASE_URL}`.
    pub value: SecretText,
}

impl Profile {
    /// The service of that name.
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.app.services.iter().find(|s| s.name.as_str() == name)
    }

    /// The namespaces in which the deployment has something.
    pub fn namespaces(&self) -> BTreeSet<&str> {
        let mut names = BTreeSet::from([self.app.namespace.as_str(), self.dapr.namespace.as_str()]);
        if self.kafka.provider == KafkaProvider::Strimzi {
            names.insert(self.kafka.strimzi.namespace.as_str());
        }
        if self.ingress.install {
            names.insert(self.ingress.namespace.as_str());
        }
        names
    }

    /// SHA-256 of what the profile says, in hexadecimal: the same for every
    /// way of writing it. Secrets take part as their templates only.
    pub fn digest(&self) -> String {
        let json = serde_json::to_value(self).unwrap_or_default();
        let text = sorted(json).to_string();
        let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
        digest.as_ref().iter().fold(String::new(), |mut hex, byte| {
            use std::fmt::Write as _;
            // Writing into a String cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }

    /// Every secret that was looked up.
    pub fn known_secrets(&self) -> Vec<crate::secret::Secret> {
        let mut copy = self.clone();
        let fields = copy.secret_fields_mut();
        fields
            .into_iter()
            .filter_map(|(_, field)| field.secret().cloned())
            .collect()
    }

    /// The charts that the profile names, each with its path in the profile.
    pub fn chart_sources_mut(&mut self) -> Vec<(String, &mut ChartSource)> {
        let mut charts = vec![
            ("dapr.chart".to_owned(), &mut self.dapr.chart),
            ("ingress.chart".to_owned(), &mut self.ingress.chart),
            (
                "kafka.strimzi.chart".to_owned(),
                &mut self.kafka.strimzi.chart,
            ),
        ];
        if let Some(chart) = &mut self.app.chart {
            charts.push(("app.chart".to_owned(), chart));
        }
        charts
    }

    /// The files that the profile names, each with its path in the profile.
    pub(super) fn files_mut(&mut self) -> Vec<(String, &mut String)> {
        let values = self.app.values_files.iter_mut().enumerate();
        let values = values.map(|(i, file)| (format!("app.values_files[{i}]"), file));
        let dapr = self.dapr.files.iter_mut().enumerate();
        let dapr = dapr.map(|(i, file)| (format!("dapr.files[{i}]"), file));
        values.chain(dapr).collect()
    }

    /// The topics that the deployment needs: the profile's, and those that
    /// take undeliverable events.
    pub fn topics(&self) -> Vec<KafkaTopic> {
        let mut topics = self.kafka.topics.clone();
        for subscription in &self.dapr.subscriptions {
            let name = subscription.dead_letter();
            if topics.iter().all(|topic| topic.name != name) {
                topics.push(KafkaTopic {
                    name,
                    partitions: 1,
                });
            }
        }
        topics
    }

    /// The fields that hold secrets, each with its path in the profile.
    pub fn secret_fields_mut(&mut self) -> Vec<(String, &mut SecretText)> {
        let mut fields: Vec<(String, &mut SecretText)> = Vec::new();
        for (name, entry) in &mut self.secrets {
            fields.push((format!("secrets.{name}.value"), &mut entry.value));
        }
        if let Some(password) = &mut self.kafka.auth.password {
            fields.push(("kafka.auth.password".to_owned(), password));
        }
        if let Some(login) = &mut self.verify.login {
            let members = login.body.iter_mut();
            fields.extend(members.map(|(name, text)| (format!("verify.login.body.{name}"), text)));
        }
        if let Some(redpanda) = &mut self.kafka.redpanda_cloud {
            fields.push((
                "kafka.redpanda_cloud.client_secret".to_owned(),
                &mut redpanda.client_secret,
            ));
        }
        fields
    }
}

/// A default name, written in this source.
#[expect(clippy::expect_used, reason = "the text is a constant of this file")]
pub(super) fn fixed<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &'static str) -> T {
    text.parse()
        .expect("invariant: default names obey their own rules")
}

/// The same JSON with the keys of every object in order.
fn sorted(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::Object(map) => {
            let ordered: BTreeMap<String, Value> = map.into_iter().collect();
            ordered
                .into_iter()
                .map(|(key, value)| (key, sorted(value)))
                .collect()
        }
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        other => other,
    }
}

fn one() -> u32 {
    1
}

fn three() -> u32 {
    3
}

fn root_path() -> String {
    "/".to_owned()
}
