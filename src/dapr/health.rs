//! Whether the control plane is well: every part by its own rule.
//!
//! The objects come in as they were read; nothing is asked here. A part that
//! is missing is as bad as one that fails, so the list of parts comes from the
//! profile and not from what is found.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::Value;

use super::TRUST_BUNDLE;
use super::certificate::{Validity, expiries, pem_of};
use crate::manifest::Manifest;
use crate::profile::Profile;

/// The resource definitions of Dapr 1.18.
pub const DEFINITIONS: [&str; 7] = [
    "components.dapr.io",
    "configurations.dapr.io",
    "httpendpoints.dapr.io",
    "mcpservers.dapr.io",
    "resiliencies.dapr.io",
    "subscriptions.dapr.io",
    "workflowaccesspolicies.dapr.io",
];

/// Name of the webhook that adds sidecars.
pub const INJECTOR_WEBHOOK: &str = "dapr-sidecar-injector";

/// Name of the control plane's own Configuration.
pub const CONFIGURATION: &str = "daprsystem";

/// A service of the control plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its name for people.
    pub name: &'static str,
    /// Kind of its workload.
    pub kind: &'static str,
    /// Name of its workload, which is its pods' label `app`, too.
    pub workload: &'static str,
    /// The Services that need an endpoint.
    pub services: &'static [&'static str],
    /// How many pods it has.
    pub replicas: u64,
}

/// The parts that a profile's control plane has.
pub fn parts(profile: &Profile) -> Vec<Part> {
    let replicas = if profile.dapr.ha { 3 } else { 1 };
    let part = |name, kind, workload, services| Part {
        name,
        kind,
        workload,
        services,
        replicas,
    };
    vec![
        part(
            "operator",
            "Deployment",
            "dapr-operator",
            &["dapr-api", "dapr-webhook"],
        ),
        part("sentry", "Deployment", "dapr-sentry", &["dapr-sentry"]),
        part(
            "injector",
            "Deployment",
            "dapr-sidecar-injector",
            &["dapr-sidecar-injector"],
        ),
        part(
            "scheduler",
            "StatefulSet",
            "dapr-scheduler-server",
            &["dapr-scheduler-server-a"],
        ),
    ]
}

/// The objects that [`look`] wants to see: API version, kind and name, all but
/// the definitions and the webhook in Dapr's namespace. `EndpointSlice`s are
/// found by the label `kubernetes.io/service-name`.
pub fn wanted(profile: &Profile) -> Vec<(&'static str, &'static str, &'static str)> {
    let mut wanted: Vec<_> = DEFINITIONS
        .into_iter()
        .map(|name| ("apiextensions.k8s.io/v1", "CustomResourceDefinition", name))
        .collect();
    for part in parts(profile) {
        wanted.push(("apps/v1", part.kind, part.workload));
        let services = part.services.iter();
        wanted.extend(services.map(|name| ("discovery.k8s.io/v1", "EndpointSlice", *name)));
    }
    wanted.extend([
        ("v1", "Secret", TRUST_BUNDLE),
        ("v1", "ConfigMap", TRUST_BUNDLE),
        (
            "admissionregistration.k8s.io/v1",
            "MutatingWebhookConfiguration",
            INJECTOR_WEBHOOK,
        ),
        ("dapr.io/v1alpha1", "Configuration", CONFIGURATION),
    ]);
    wanted
}

/// How well something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// As it should be.
    Good,
    /// It works, and will not for long.
    Warning,
    /// It does not work.
    Bad,
}

/// What was found about one part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// The part, or `definitions`, `webhook`, `certificates`, `configuration`.
    pub name: &'static str,
    /// How well it is.
    pub state: State,
    /// Why.
    pub detail: String,
}

/// The health of everything that the control plane consists of.
pub fn look(profile: &Profile, live: &[Manifest], now: Timestamp) -> Vec<Health> {
    let world = World { live };
    let mut all: Vec<Health> = parts(profile)
        .iter()
        .map(|part| world.part(profile, part))
        .collect();
    all.push(world.definitions(profile));
    all.push(world.webhook());
    all.push(world.certificates(now));
    all.push(world.configuration());
    all
}

struct World<'a> {
    live: &'a [Manifest],
}

fn number(object: &Manifest, pointer: &str) -> u64 {
    let found = object.body().pointer(pointer).and_then(Value::as_u64);
    found.unwrap_or_default()
}

fn bad(name: &'static str, detail: impl Into<String>) -> Health {
    Health {
        name,
        state: State::Bad,
        detail: detail.into(),
    }
}

fn good(name: &'static str, detail: impl Into<String>) -> Health {
    Health {
        name,
        state: State::Good,
        detail: detail.into(),
    }
}

/// Whether a webhook's certificate authority was filled in.
fn has_bundle(object: &Manifest, pointer: &str) -> bool {
    let found = object.body().pointer(pointer).and_then(Value::as_str);
    found.is_some_and(|bundle| !bundle.is_empty())
}

impl World<'_> {
    fn find(&self, kind: &str, name: &str) -> Option<&Manifest> {
        let is = |m: &&Manifest| m.kind() == kind && m.name() == name;
        self.live.iter().find(is)
    }

    fn part(&self, profile: &Profile, part: &Part) -> Health {
        let name = part.name;
        let Some(workload) = self.find(part.kind, part.workload) else {
            return bad(name, format!("{} {} is missing", part.kind, part.workload));
        };
        if number(workload, "/status/observedGeneration") < number(workload, "/metadata/generation")
        {
            return bad(name, "the cluster has not taken notice of its newest form");
        }
        let ready = number(workload, "/status/readyReplicas");
        let wanted = number(workload, "/spec/replicas");
        if ready < wanted.max(1) {
            return bad(name, format!("{ready} of {wanted} pods are ready"));
        }
        if let Some(service) = part.services.iter().find(|s| !self.has_endpoint(s)) {
            return bad(name, format!("no pod answers for the service {service}"));
        }
        let image = workload
            .body()
            .pointer("/spec/template/spec/containers/0/image");
        let image = image.and_then(Value::as_str).unwrap_or_default();
        let tag = image.rsplit_once(':').map_or("", |(_, tag)| tag);
        let version = profile.dapr.chart.version.as_deref().unwrap_or(tag);
        let detail = format!("{ready} of {wanted} ready, {tag}");
        if semver::Version::parse(version).is_ok() && tag != version {
            return Health {
                name,
                state: State::Warning,
                detail: format!("{detail}; the profile asks for {version}"),
            };
        }
        good(name, detail)
    }

    fn has_endpoint(&self, service: &str) -> bool {
        let slices = self.live.iter().filter(|m| {
            m.kind() == "EndpointSlice" && m.label("kubernetes.io/service-name") == Some(service)
        });
        slices
            .filter_map(|slice| slice.body().get("endpoints")?.as_array())
            .flatten()
            // No word on it means ready.
            .any(|e| e.pointer("/conditions/ready") != Some(&Value::Bool(false)))
    }

    fn definitions(&self, profile: &Profile) -> Health {
        const NAME: &str = "definitions";
        let established = |crd: &Manifest| {
            let conditions = crd.body().pointer("/status/conditions");
            let conditions = conditions.and_then(Value::as_array).into_iter().flatten();
            conditions
                .into_iter()
                .any(|c| c["type"] == "Established" && c["status"] == "True")
        };
        let missing: Vec<&str> = DEFINITIONS
            .into_iter()
            .filter(|name| {
                let found = self.find("CustomResourceDefinition", name);
                !found.is_some_and(established)
            })
            .collect();
        if !missing.is_empty() {
            return bad(NAME, format!("not served: {}", missing.join(", ")));
        }
        let Some(subscriptions) = self.find("CustomResourceDefinition", "subscriptions.dapr.io")
        else {
            return bad(NAME, "not served: subscriptions.dapr.io");
        };
        let client = "/spec/conversion/webhook/clientConfig";
        let namespace = subscriptions
            .body()
            .pointer(&format!("{client}/service/namespace"));
        if namespace.and_then(Value::as_str) != Some(profile.dapr.namespace.as_str()) {
            return bad(
                NAME,
                "subscriptions are converted by nobody: a wrong namespace",
            );
        }
        if !has_bundle(subscriptions, &format!("{client}/caBundle")) {
            return bad(
                NAME,
                "subscriptions are converted by nobody: no certificate yet",
            );
        }
        good(NAME, format!("{} served", DEFINITIONS.len()))
    }

    fn webhook(&self) -> Health {
        const NAME: &str = "webhook";
        let Some(webhook) = self.find("MutatingWebhookConfiguration", INJECTOR_WEBHOOK) else {
            return bad(NAME, "missing: no pod gets a sidecar");
        };
        if has_bundle(webhook, "/webhooks/0/clientConfig/caBundle") {
            good(NAME, "adds sidecars to new pods")
        } else {
            bad(NAME, "has no certificate yet: no pod gets a sidecar")
        }
    }

    fn certificates(&self, now: Timestamp) -> Health {
        const NAME: &str = "certificates";
        let Some(secret) = self.find("Secret", TRUST_BUNDLE) else {
            return bad(NAME, "the trust bundle is missing");
        };
        let public = self.find("ConfigMap", TRUST_BUNDLE);
        let public = public.and_then(|bundle| pem_of(bundle, "ca.crt"));
        if pem_of(secret, "ca.crt") != public {
            return bad(NAME, "the pods trust another authority than Sentry's");
        }
        let mut worst = good(NAME, String::new());
        let mut seen = BTreeSet::new();
        for found in expiries(secret, now) {
            let health = match found {
                Err(error) => bad(NAME, error.to_string()),
                Ok(expiry) => {
                    let day = expiry.until.strftime("%Y-%m-%d");
                    let state = match expiry.validity {
                        Validity::Good => State::Good,
                        Validity::Ending => State::Warning,
                        Validity::Urgent | Validity::Ended => State::Bad,
                    };
                    let verb = match expiry.validity {
                        Validity::Ended => "ended",
                        _ => "ends",
                    };
                    Health {
                        name: NAME,
                        state,
                        detail: format!("{} {verb} on {day}", expiry.name),
                    }
                }
            };
            seen.insert(health.detail.clone());
            worst.state = worst.state.max(health.state);
        }
        worst.detail = seen.into_iter().collect::<Vec<_>>().join(", ");
        worst
    }

    fn configuration(&self) -> Health {
        const NAME: &str = "configuration";
        match self.find("Configuration", CONFIGURATION) {
            None => bad(NAME, "daprsystem is missing: the operator cannot start"),
            Some(found) => match found.body().pointer("/spec/mtls/enabled") {
                Some(Value::Bool(false)) => Health {
                    name: NAME,
                    state: State::Warning,
                    detail: "sidecars talk to each other without TLS".to_owned(),
                },
                _ => good(NAME, "sidecars talk to each other by TLS"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use serde_json::json;

    fn profile() -> Profile {
        crate::profile::load("sandbox", &[]).unwrap().profile
    }

    fn manifest(body: Value) -> Manifest {
        Manifest::new(body).unwrap()
    }

    fn healthy(profile: &Profile, year: i32) -> Vec<Manifest> {
        let mut params = rcgen::CertificateParams::new(vec!["x".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let encoded = base64::engine::general_purpose::STANDARD.encode(&pem);
        wanted(profile)
            .into_iter()
            .map(|(api, kind, name)| {
                let mut body = json!({"apiVersion": api, "kind": kind, "metadata": {"name": name, "generation": 1}});
                let more = match kind {
                    "CustomResourceDefinition" => json!({
                        "spec": {"conversion": {"webhook": {"clientConfig": {
                            "caBundle": "Zg==", "service": {"namespace": "dapr-system"}}}}},
                        "status": {"conditions": [{"type": "Established", "status": "True"}]},
                    }),
                    "Deployment" | "StatefulSet" => json!({
                        "spec": {"replicas": 1, "template": {"spec": {"containers": [{"image": "ghcr.io/dapr/x:1.18.3"}]}}},
                        "status": {"observedGeneration": 1, "readyReplicas": 1},
                    }),
                    "EndpointSlice" => json!({
                        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
                        "endpoints": [{"conditions": {"ready": true}}],
                    }),
                    "Secret" => json!({"data": {"ca.crt": encoded, "issuer.crt": encoded}}),
                    "ConfigMap" => json!({"data": {"ca.crt": pem}}),
                    "MutatingWebhookConfiguration" => json!({"webhooks": [{"clientConfig": {"caBundle": "Zg=="}}]}),
                    _ => json!({"spec": {"mtls": {"enabled": true}}}),
                };
                for (key, value) in more.as_object().unwrap() {
                    body[key] = value.clone();
                }
                manifest(body)
            })
            .collect()
    }

    fn now() -> Timestamp {
        "2026-11-22T00:00:00Z".parse().unwrap()
    }

    fn troubles(live: &[Manifest]) -> Vec<String> {
        look(&profile(), live, now())
            .into_iter()
            .filter(|health| health.state != State::Good)
            .map(|health| format!("{}: {}", health.name, health.detail))
            .collect()
    }

    #[test]
    fn a_healthy_control_plane_has_no_troubles() {
        let live = healthy(&profile(), 2036);
        assert_eq!(troubles(&live), Vec::<String>::new());
    }

    #[test]
    fn each_missing_object_is_a_trouble() {
        let live = healthy(&profile(), 2036);
        for i in 0..live.len() {
            let mut without = live.clone();
            let gone = without.remove(i);
            assert!(!troubles(&without).is_empty(), "{gone}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let profile = profile();
        let mut live = healthy(&profile, 2026);
        for object in &mut live {
            let mut body = object.body().clone();
            match object.name() {
                "dapr-sentry" if object.kind() == "Deployment" => {
                    body["status"]["readyReplicas"] = json!(0);
                }
                "dapr-operator" => {
                    body["spec"]["template"]["spec"]["containers"][0]["image"] =
                        json!("ghcr.io/dapr/x:1.17.0");
                }
                "dapr-sidecar-injector" if object.kind() == "EndpointSlice" => {
                    body["endpoints"][0]["conditions"]["ready"] = json!(false);
                }
                "subscriptions.dapr.io" => {
                    body["spec"]["conversion"]["webhook"]["clientConfig"]["service"]["namespace"] =
                        json!("replaceme");
                }
                _ => {}
            }
            *object = manifest(body);
        }
        assert_eq!(
            troubles(&live),
            [
                "operator: 1 of 1 ready, 1.17.0; the profile asks for 1.18.3",
                "sentry: 0 of 1 pods are ready",
                "injector: no pod answers for the service dapr-sidecar-injector",
                "definitions: subscriptions are converted by nobody: a wrong namespace",
                "certificates: ca.crt ended on 2026-01-01, issuer.crt ended on 2026-01-01",
            ]
        );
    }
}
