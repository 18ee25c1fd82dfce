//! Profiles: where and how to deploy.
//!
//! Owns the profile's types and defaults, its layering, its validation to
//! findings and its JSON Schema. It reads embedded files and the paths it is
//! given; it knows no network, no environment and no clock.

pub mod chart_source;
mod check;
pub mod cloud;
pub mod embedded;
pub mod load;
mod mask;
pub mod model;
mod path;
pub mod platform;
pub mod resolve;
mod rules;
pub mod schema;
pub mod secret_text;
pub mod value;
pub mod verify;

pub use chart_source::{ChartDigest, ChartPlace, ChartSource, ChartSourceFault};
pub use cloud::{Allowance, Cloud, Cluster, LoadBalancer, Network, Nodes};
pub use load::{Loaded, load};
pub use model::{
    App, Endpoints, Ingress, Kafka, KafkaAuth, KafkaProvider, KafkaTopic, Kubernetes, Profile,
    RedpandaCloud, Resources, Sandbox, SandboxClock, SaslMechanism, SecretEntry, Service,
    ServiceDapr,
};
pub use platform::{Components, Dapr, Https, IngressController, Scheduler, Strimzi, Subscription};
pub use resolve::Sources;
pub use secret_text::SecretText;
pub use value::{Cidr, CompartmentRef, KubernetesVersion, Period};
pub use verify::{Expect, Login, Scenario, ScenarioStep, Targets, TaskApi, Verify};
