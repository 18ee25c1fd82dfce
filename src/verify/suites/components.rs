//! Dapr's resources, and whether the sidecars have loaded them.

use std::collections::BTreeSet;

use futures::FutureExt as _;
use serde_json::Value;

use super::dapr::{by_metadata, some_sidecars};
use crate::manifest::Manifest;
use crate::profile::KafkaProvider;
use crate::verify::check::{Check, Found, Probe, Suite, Verdict};
use crate::verify::scope::{Scope, condition, items, text};
use crate::verify::world::World;

const UP: &str = "todoctl up --only platform";

/// The checks of the suite.
pub(super) const CHECKS: &[Check] = &[
    Check {
        code: "components.pubsub",
        suite: Suite::Components,
        title: "the pub/sub component is there, of the right type",
        means: "The component that carries events is missing, or is of another type than Kafka's.",
        mend: UP,
        probe: Probe::Look(|scope| component(scope, Role::Pubsub)),
    },
    Check {
        code: "components.state",
        suite: Suite::Components,
        title: "the state store is there, of the right type and version",
        means: "The component that keeps state is missing, or of another type or version. Versions 1 and 2 of the PostgreSQL store keep their data in incompatible tables.",
        mend: UP,
        probe: Probe::Look(|scope| component(scope, Role::State)),
    },
    Check {
        code: "components.secretstore",
        suite: Suite::Components,
        title: "the secret store is there, of the right type",
        means: "The component that reads Kubernetes secrets is missing, or of another type.",
        mend: UP,
        probe: Probe::Look(|scope| component(scope, Role::Secrets)),
    },
    Check {
        code: "components.references",
        suite: Suite::Components,
        title: "every secret that a component refers to is there",
        means: "A component refers to a secret or a key that does not exist. Every sidecar that starts in the namespace fails, even those that do not use the component.",
        mend: "todoctl up --only platform",
        probe: Probe::Look(references),
    },
    Check {
        code: "components.loaded-pubsub",
        suite: Suite::Components,
        title: "every sidecar in scope has loaded the pub/sub component",
        means: "The component exists and the sidecar does not have it: its scopes leave the app out, or it came after the sidecar and failed.",
        mend: "todoctl logs --sidecar --grep component",
        probe: Probe::Ask(|world| loaded(world, Role::Pubsub).boxed()),
    },
    Check {
        code: "components.loaded-state",
        suite: Suite::Components,
        title: "every sidecar in scope has loaded the state store",
        means: "The component exists and the sidecar does not have it: its scopes leave the app out, or it came after the sidecar and failed.",
        mend: "todoctl logs --sidecar --grep component",
        probe: Probe::Ask(|world| loaded(world, Role::State).boxed()),
    },
    Check {
        code: "components.loaded-secretstore",
        suite: Suite::Components,
        title: "every sidecar in scope has loaded the secret store",
        means: "The component exists and the sidecar does not have it: its scopes leave the app out, or it came after the sidecar and failed.",
        mend: "todoctl logs --sidecar --grep component",
        probe: Probe::Ask(|world| loaded(world, Role::Secrets).boxed()),
    },
    Check {
        code: "components.scopes",
        suite: Suite::Components,
        title: "components are open to the profile's apps and to no others",
        means: "A component without scopes is loaded by every sidecar of the namespace, with its credentials. One whose scopes name nobody of the profile is loaded by none.",
        mend: UP,
        probe: Probe::Look(scopes),
    },
    Check {
        code: "components.configuration",
        suite: Suite::Components,
        title: "the Configuration that the app's pods name exists",
        means: "A pod names a Configuration that does not exist. Its sidecar gets no certificate and does not start.",
        mend: UP,
        probe: Probe::Look(configuration),
    },
    Check {
        code: "components.resiliency",
        suite: Suite::Components,
        title: "publishing is repeated when the broker is away",
        means: "Without a Resiliency policy the sidecar gives up a publication as soon as the broker refuses it.",
        mend: UP,
        probe: Probe::Look(resiliency),
    },
    Check {
        code: "components.subscriptions",
        suite: Suite::Components,
        title: "somebody is subscribed to the task events",
        means: "Events are kept in Kafka, and nobody gets them.",
        mend: "todoctl logs --sidecar --grep subscri",
        probe: Probe::Ask(|world| subscriptions(world).boxed()),
    },
    Check {
        code: "components.kafka",
        suite: Suite::Components,
        title: "Strimzi says that Kafka is ready",
        means: "The operator could not make the brokers as the profile says. Its condition tells why.",
        mend: "kubectl get kafka -A -o yaml",
        probe: Probe::Look(kafka),
    },
    Check {
        code: "components.kafka-topics",
        suite: Suite::Components,
        title: "Strimzi says that every topic is ready",
        means: "The operator could not make a topic as the profile says.",
        mend: "kubectl get kafkatopic -A",
        probe: Probe::Look(kafka_topics),
    },
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Pubsub,
    State,
    Secrets,
}

impl Role {
    fn name(self, scope: &Scope) -> &str {
        let names = &scope.profile.dapr.components;
        match self {
            Self::Pubsub => names.pubsub.as_str(),
            Self::State => names.state.as_str(),
            Self::Secrets => names.secrets.as_str(),
        }
    }

    /// Type and version.
    fn kind(self) -> (&'static str, &'static str) {
        match self {
            Self::Pubsub => ("pubsub.kafka", "v1"),
            Self::State => ("state.postgresql", "v2"),
            Self::Secrets => ("secretstores.kubernetes", "v1"),
        }
    }
}

fn found(scope: &Scope, role: Role) -> Result<&Manifest, Verdict> {
    let name = role.name(scope);
    scope
        .find("Component", scope.namespace(), name)?
        .ok_or_else(|| {
            Verdict::fail(format!("the component {name} is missing")).saw(
                format!("Component {}/{name}", scope.namespace()),
                "not found",
            )
        })
}

fn component(scope: &Scope, role: Role) -> Found {
    let found = found(scope, role)?;
    let (kind, version) = role.kind();
    let own = format!(
        "{}/{}",
        text(found, "/spec/type"),
        text(found, "/spec/version")
    );
    let asked = format!("type of Component {}", found.name());
    Ok(match own == format!("{kind}/{version}") {
        true => Verdict::pass(format!("{} is {own}", found.name())).saw(asked, own),
        false => Verdict::fail(format!("{} is {own}, not {kind}/{version}", found.name()))
            .saw(asked, own),
    })
}

fn references(scope: &Scope) -> Found {
    let mut all = Vec::new();
    for component in scope.list("Component", scope.namespace())? {
        for entry in items(component, "/spec/metadata") {
            let Some(reference) = entry.get("secretKeyRef") else {
                continue;
            };
            let name = reference["name"].as_str().unwrap_or_default();
            let key = reference["key"]
                .as_str()
                .filter(|key| !key.is_empty())
                .unwrap_or(name);
            let asked = format!(
                "key {key} of Secret {name}, for {} of {}",
                entry["name"].as_str().unwrap_or_default(),
                component.name()
            );
            // Other secrets than the deployment's own were not read.
            if ![crate::render::APP_SECRETS, crate::render::DAPR_STATE].contains(&name) {
                continue;
            }
            all.push(match scope.find("Secret", scope.namespace(), name)? {
                None => Verdict::fail(format!(
                    "{} refers to the Secret {name}, which is missing",
                    component.name()
                ))
                .saw(asked, "not found"),
                Some(secret) if secret.body().pointer(&format!("/data/{key}")).is_none() => {
                    Verdict::fail(format!(
                        "{} refers to `{key}` of the Secret {name}, which it lacks",
                        component.name()
                    ))
                    .saw(asked, "no such key")
                }
                Some(_) => Verdict::pass("").saw(asked, "there"),
            });
        }
    }
    let good = format!("{} references", all.len());
    Ok(Verdict::worst(all, good))
}

async fn loaded(world: &World, role: Role) -> Found {
    let component = found(&world.scope, role)?;
    let scopes = scopes_of(component);
    let (kind, version) = role.kind();
    let name = component.name();
    by_metadata(
        world,
        |n| format!("{name} in {n} sidecars"),
        |sidecar, metadata| {
            let asked = format!("component {name} in the metadata of {}", sidecar.pod);
            if !scopes.is_empty() && !scopes.contains(sidecar.app_id.as_str()) {
                return Verdict::pass("").saw(asked, "not in its scopes");
            }
            let mut all = metadata["components"].as_array().into_iter().flatten();
            match all.find(|c| c["name"] == name) {
                None => Verdict::fail(format!("{} has not loaded {name}", sidecar.pod))
                    .saw(asked, "not loaded"),
                Some(own) if own["type"] != kind || own["version"] != version => {
                    Verdict::fail(format!(
                        "{} has loaded {name} as {} {}",
                        sidecar.pod, own["type"], own["version"]
                    ))
                    .saw(asked, own.to_string())
                }
                Some(own) => Verdict::pass("").saw(asked, own.to_string()),
            }
        },
    )
    .await
}

fn scopes_of(component: &Manifest) -> BTreeSet<&str> {
    items(component, "/scopes")
        .iter()
        .filter_map(Value::as_str)
        .collect()
}

fn scopes(scope: &Scope) -> Found {
    let apps: BTreeSet<&str> = scope.with_sidecar().map(|(_, id)| id).collect();
    let mut all = Vec::new();
    for role in [Role::Pubsub, Role::State, Role::Secrets] {
        let component = found(scope, role)?;
        let scopes = scopes_of(component);
        let asked = format!("scopes of Component {}", component.name());
        let shown = scopes.iter().copied().collect::<Vec<_>>().join(", ");
        all.push(if scopes.is_empty() {
            Verdict::warn(format!(
                "{} is open to every app of the namespace",
                component.name()
            ))
            .saw(asked, "none")
        } else if scopes.is_disjoint(&apps) {
            Verdict::fail(format!(
                "{} is open to no app of the profile",
                component.name()
            ))
            .saw(asked, shown)
        } else if let Some(stranger) = scopes.iter().find(|id| !apps.contains(**id)) {
            Verdict::warn(format!(
                "{} is open to `{stranger}`, which the profile does not know",
                component.name()
            ))
            .saw(asked, shown)
        } else {
            Verdict::pass("").saw(asked, shown)
        });
    }
    Ok(Verdict::worst(all, "as the profile says"))
}

fn configuration(scope: &Scope) -> Found {
    const ANNOTATION: &str = "/metadata/annotations/dapr.io~1config";
    let mut all = Vec::new();
    for (service, _) in scope.with_sidecar() {
        for pod in scope.pods(service)? {
            let name = text(pod, ANNOTATION);
            let asked = format!("Configuration of pod {}", pod.name());
            all.push(if name.is_empty() {
                Verdict::warn(format!("{} names no Configuration", pod.name())).saw(asked, "none")
            } else if scope
                .find("Configuration", scope.namespace(), name)?
                .is_none()
            {
                Verdict::fail(format!(
                    "{} names the Configuration {name}, which is missing",
                    pod.name()
                ))
                .saw(asked, "not found")
            } else {
                Verdict::pass("").saw(asked, name)
            });
        }
    }
    if scope.with_sidecar().next().is_none() {
        return Err(Verdict::skip("the profile has no service with a sidecar"));
    }
    if all.is_empty() {
        return Err(Verdict::fail("no pod of the app is there")
            .saw(format!("pods of {}", scope.namespace()), "none"));
    }
    Ok(Verdict::worst(all, "there"))
}

fn resiliency(scope: &Scope) -> Found {
    let pubsub = Role::Pubsub.name(scope);
    let all = scope.list("Resiliency", scope.namespace())?;
    let pointer = format!("/spec/targets/components/{pubsub}/outbound");
    let covers = |r: &&Manifest| r.body().pointer(&pointer).is_some();
    let asked = format!("policies for publishing by {pubsub}");
    Ok(match all.iter().find(covers) {
        Some(found) => Verdict::pass(format!("{} covers {pubsub}", found.name())).saw(
            asked,
            found
                .body()
                .pointer(&pointer)
                .map(Value::to_string)
                .unwrap_or_default(),
        ),
        None => {
            Verdict::warn(format!("no policy repeats publications by {pubsub}")).saw(asked, "none")
        }
    })
}

async fn subscriptions(world: &World) -> Found {
    let Some(tasks) = &world.scope.profile.verify.tasks else {
        return Err(Verdict::skip(
            "the profile names no task API (`verify.tasks`)",
        ));
    };
    let topic = tasks.topic.as_str();
    let all = some_sidecars(world).await?;
    let mut topics = Vec::new();
    for sidecar in all {
        let metadata = sidecar.metadata.as_ref().map_err(|error| {
            Verdict::fail(format!("the sidecar of {} does not tell", sidecar.pod)).saw(
                format!("GET /v1.0/metadata at the sidecar of {}", sidecar.pod),
                error,
            )
        })?;
        let own = metadata["subscriptions"].as_array().into_iter().flatten();
        topics.extend(own.filter_map(|s| s["topic"].as_str()));
    }
    topics.sort_unstable();
    topics.dedup();
    let shown = if topics.is_empty() {
        "none".to_owned()
    } else {
        topics.join(", ")
    };
    let asked = "subscriptions in the metadata of the sidecars";
    Ok(match topics.contains(&topic) {
        true => Verdict::pass(format!("subscribed: {shown}")).saw(asked, shown),
        false => Verdict::warn(format!("nobody is subscribed to {topic}")).saw(asked, shown),
    })
}

/// Whether Strimzi says that something is ready, or why not.
fn says_ready(object: &Manifest) -> Verdict {
    let ready = condition(object, "Ready").or_else(|| condition(object, "NotReady"));
    let asked = format!("condition Ready of {} {}", object.kind(), object.name());
    match ready {
        Some(found) if found["type"] == "Ready" && found["status"] == "True" => {
            Verdict::pass("").saw(asked, "True")
        }
        Some(found) => {
            let why = found["message"]
                .as_str()
                .or(found["reason"].as_str())
                .unwrap_or("no reason given");
            Verdict::fail(format!("{} is not ready: {why}", object.name()))
                .saw(asked, found.to_string())
        }
        None => Verdict::fail(format!("{} has no status yet", object.name())).saw(asked, "none"),
    }
}

fn strimzi(scope: &Scope) -> Result<(), Verdict> {
    match scope.profile.kafka.provider {
        KafkaProvider::Strimzi => Ok(()),
        _ => Err(Verdict::skip("Kafka is not run by Strimzi")),
    }
}

fn kafka(scope: &Scope) -> Found {
    strimzi(scope)?;
    let name = crate::render::kafka::cluster(&scope.profile);
    let found = scope.find("Kafka", scope.namespace(), name)?;
    let found = found.ok_or_else(|| {
        Verdict::fail(format!("the Kafka {name} is missing"))
            .saw(format!("Kafka {name}"), "not found")
    })?;
    Ok(Verdict::worst(
        vec![says_ready(found)],
        format!("{name} is ready"),
    ))
}

fn kafka_topics(scope: &Scope) -> Found {
    strimzi(scope)?;
    let mut all = Vec::new();
    for topic in scope.profile.topics() {
        let name = topic.name.as_str();
        let found = scope.list("KafkaTopic", scope.namespace())?.iter();
        let named = |t: &&Manifest| t.name() == name || text(t, "/spec/topicName") == name;
        all.push(match found.clone().find(named) {
            Some(found) => says_ready(found),
            None => Verdict::fail(format!("the KafkaTopic {name} is missing"))
                .saw(format!("KafkaTopic {name}"), "not found"),
        });
    }
    let good = format!("{} ready", all.len());
    Ok(Verdict::worst(all, good))
}
