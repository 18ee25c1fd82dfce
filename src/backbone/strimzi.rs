//! The brokers that Strimzi runs inside the cluster, reached through the
//! Kubernetes API.
//!
//! Strimzi's brokers advertise the names of their pods below a headless
//! Service, which only pods can look up. The first word of such a name is the
//! pod, and the API server forwards a connection to its port; so a laptop
//! needs no way into the cluster but the API. Certificates are checked against
//! the advertised names all the same.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::{Pod, Secret as SecretObject};
use kube::Api;
use kube::api::ListParams;

use super::{BackboneError, Told};
use crate::k8s::{Class, K8sError, Kube, Patience};
use crate::kafka::{Address, BoxedStream, Connector, Mechanism, Sasl};
use crate::net::Trust;
use crate::profile::{Profile, SaslMechanism};
use crate::render::kafka as rendered;
use crate::secret::Secret;

/// A call for the way to the brokers is an answer or a failure within
/// seconds: a person waits for it.
const PATIENCE: Patience = Patience {
    attempt: Duration::from_secs(3),
    retry: Duration::from_secs(1),
    unauthorized: Duration::ZERO,
};

/// Asks the cluster for the brokers, their authority and the user's password.
pub(super) async fn told(profile: &Profile, kube: &Kube) -> Result<Told, BackboneError> {
    let kube = kube.with_patience(PATIENCE);
    let pods = Pods {
        namespace: profile.app.namespace.to_string(),
        service: format!("{}-kafka-brokers", rendered::cluster(profile)),
        kube,
    };
    let (brokers, tls, sasl) = tokio::try_join!(
        brokers(profile, &pods),
        trust(profile, &pods),
        sasl(profile, &pods)
    )?;
    Ok(Told {
        brokers,
        tls,
        sasl,
        connector: Arc::new(pods),
    })
}

/// The brokers that run, those first that are ready.
async fn brokers(profile: &Profile, pods: &Pods) -> Result<Vec<Address>, BackboneError> {
    let cluster = rendered::cluster(profile);
    let what = format!("list the brokers of Kafka {}/{cluster}", pods.namespace);
    let params =
        ListParams::default().labels(&format!("strimzi.io/cluster={cluster},{BROKER_LABEL}"));
    let namespace = pods.namespace.as_str();
    let found = pods.kube.call(&what, async |client| {
        let api: Api<Pod> = Api::namespaced(client, namespace);
        api.list(&params).await
    });
    let mut found = found.await?.items;
    found.retain(|pod| pod.metadata.deletion_timestamp.is_none());
    found.sort_by_key(|pod| !is_ready(pod));
    if found.first().is_none_or(|pod| !is_ready(pod)) {
        return Err(BackboneError::NoBroker {
            kafka: format!("{namespace}/{cluster}"),
            starting: found.len(),
        });
    }
    let names = found.into_iter().filter_map(|pod| pod.metadata.name);
    Ok(names
        .map(|pod| pods.address(&pod, rendered::port(profile)))
        .collect())
}

/// The label of the pods that are brokers, and not only controllers.
const BROKER_LABEL: &str = "strimzi.io/broker-role=true";

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|s| s.conditions.as_ref());
    let mut all = conditions.into_iter().flatten();
    all.any(|one| one.type_ == "Ready" && one.status == "True")
}

/// The authority that Strimzi made for the brokers. While it is being
/// replaced the secret holds the old one as well.
async fn trust(profile: &Profile, pods: &Pods) -> Result<Option<Trust>, BackboneError> {
    if !profile.kafka.tls {
        return Ok(None);
    }
    let name = rendered::ca_secret(profile);
    let data = pods.secret(&name).await?;
    let mut pem = Vec::new();
    for (key, value) in &data {
        if key.rsplit_once('.').is_some_and(|(_, kind)| kind == "crt") {
            pem.extend_from_slice(&value.0);
            pem.push(b'\n');
        }
    }
    if pem.is_empty() {
        return Err(pods.lacks(&name, "ca.crt"));
    }
    Ok(Some(Trust::Only(pem)))
}

/// The user whose password Strimzi made.
async fn sasl(profile: &Profile, pods: &Pods) -> Result<Option<Sasl>, BackboneError> {
    if profile.kafka.auth.mechanism == SaslMechanism::None {
        return Ok(None);
    }
    let user = profile.kafka.strimzi.user.as_str();
    let data = pods.secret(user).await?;
    let password = data.get("password").map(|bytes| bytes.0.clone());
    let password = password.and_then(|bytes| String::from_utf8(bytes).ok());
    Ok(Some(Sasl {
        // Strimzi manages no other kind of password.
        mechanism: Mechanism::ScramSha512,
        username: user.to_owned(),
        password: password
            .map(Secret::new)
            .ok_or_else(|| pods.lacks(user, "password"))?,
    }))
}

/// The way to the brokers' pods.
#[derive(Clone)]
struct Pods {
    kube: Kube,
    namespace: String,
    /// The headless Service below which they have their names.
    service: String,
}

impl std::fmt::Debug for Pods {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pods of {}/{}", self.namespace, self.service)
    }
}

impl Pods {
    fn address(&self, pod: &str, port: u16) -> Address {
        Address::new(
            format!("{pod}.{}.{}.svc", self.service, self.namespace),
            port,
        )
    }

    /// The pod that advertises a name.
    fn pod<'a>(&self, host: &'a str) -> Option<&'a str> {
        let (pod, rest) = host.split_once('.')?;
        let rest = rest
            .strip_prefix(self.service.as_str())?
            .strip_prefix('.')?;
        let rest = rest.strip_prefix(self.namespace.as_str())?;
        let domain = rest.strip_prefix(".svc")?;
        (domain.is_empty() || domain.starts_with('.')).then_some(pod)
    }

    async fn secret(
        &self,
        name: &str,
    ) -> Result<std::collections::BTreeMap<String, k8s_openapi::ByteString>, BackboneError> {
        let what = format!("read Secret {}/{name}", self.namespace);
        let found = self.kube.call(&what, async |client| {
            let api: Api<SecretObject> = Api::namespaced(client, &self.namespace);
            api.get_opt(name).await
        });
        match found.await?.and_then(|secret| secret.data) {
            Some(data) => Ok(data),
            None => Err(self.lacks(name, "anything")),
        }
    }

    fn lacks(&self, secret: &str, key: &str) -> BackboneError {
        BackboneError::Secret {
            secret: format!("{}/{secret}", self.namespace),
            key: key.to_owned(),
        }
    }
}

#[async_trait]
impl Connector for Pods {
    async fn connect(&self, address: &Address) -> io::Result<BoxedStream> {
        let pod = self.pod(&address.host).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotFound,
                format!(
                    "no pod of {}/{} has that name",
                    self.namespace, self.service
                ),
            )
        })?;
        let stream = self.kube.dial(&self.namespace, pod, address.port).await;
        Ok(Box::new(stream.map_err(io::Error::other)?))
    }

    fn advice(&self, source: &io::Error) -> Option<String> {
        let inner = source.get_ref().and_then(|e| e.downcast_ref::<K8sError>());
        Some(match inner {
            Some(error) if error.class() != Class::NotFound => error.hint()?.to_owned(),
            _ => "the broker's pod may be starting: look with `todoctl status`".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::k8s::script::{Script, json_status, ok};

    const PODS: &str = "GET /api/v1/namespaces/todo/pods";

    fn profile(sets: &[&str]) -> Profile {
        let sets: Vec<String> = sets.iter().map(|s| (*s).to_owned()).collect();
        crate::profile::load("sandbox", &sets).unwrap().profile
    }

    fn pods(ready: &[(&str, bool)]) -> serde_json::Value {
        let items = ready.iter().map(|(name, ready)| {
            let status = if *ready { "True" } else { "False" };
            json!({
                "metadata": {"name": name},
                "status": {"conditions": [{"type": "Ready", "status": status}]},
            })
        });
        json!({"metadata": {}, "items": items.collect::<Vec<_>>()})
    }

    fn secret(data: &serde_json::Value) -> serde_json::Value {
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": data})
    }

    #[tokio::test]
    async fn the_cluster_tells_where_the_brokers_are_and_how_to_log_in() {
        let profile = profile(&["kafka.tls=true", "kafka.auth.mechanism=scram-sha-512"]);
        let ca = json!({"ca.crt": "bmV3", "ca-old.crt": "b2xk", "ca.p12": "AAA="});
        let user = json!({"password": "cHc=", "sasl.jaas.config": "eA=="});
        let (kube, _) = Script::new()
            .answer(
                PODS,
                ok(&pods(&[("todo-dual-0", false), ("todo-dual-1", true)])),
            )
            .answer(
                "GET /api/v1/namespaces/todo/secrets/todo-cluster-ca-cert",
                ok(&secret(&ca)),
            )
            .answer(
                &format!(
                    "GET /api/v1/namespaces/todo/secrets/{}",
                    profile.kafka.strimzi.user
                ),
                ok(&secret(&user)),
            )
            .kube();
        let told = told(&profile, &kube).await.unwrap();
        let addresses: Vec<String> = told.brokers.iter().map(ToString::to_string).collect();
        assert_eq!(
            addresses,
            [
                "todo-dual-1.todo-kafka-brokers.todo.svc:9093",
                "todo-dual-0.todo-kafka-brokers.todo.svc:9093"
            ]
        );
        assert!(matches!(told.tls, Some(Trust::Only(pem)) if pem == b"old\nnew\n"));
        let sasl = told.sasl.unwrap();
        assert_eq!(sasl.mechanism, Mechanism::ScramSha512);
        assert_eq!(sasl.password.expose(), "pw");
    }

    #[tokio::test]
    async fn brokers_that_do_not_run_are_an_answer_at_once() {
        for (ready, starting) in [(&[][..], 0), (&[("todo-dual-0", false)][..], 1)] {
            let (kube, script) = Script::new().answer(PODS, ok(&pods(ready))).kube();
            let error = told(&profile(&[]), &kube).await.unwrap_err();
            assert!(
                matches!(error, BackboneError::NoBroker { starting: n, .. } if n == starting),
                "{error}"
            );
            assert_eq!(script.seen().len(), 1);
        }
    }

    #[tokio::test]
    async fn a_secret_that_is_missing_is_named() {
        let (kube, _) = Script::new()
            .answer(PODS, ok(&pods(&[("todo-dual-0", true)])))
            .answer(
                "GET /api/v1/namespaces/todo/secrets/todo-cluster-ca-cert",
                json_status(404, "NotFound", "not found"),
            )
            .kube();
        let error = told(&profile(&["kafka.tls=true"]), &kube).await;
        let error = error.unwrap_err().to_string();
        assert!(error.contains("todo/todo-cluster-ca-cert"), "{error}");
    }

    #[test]
    fn a_broker_s_name_leads_to_its_pod() {
        let (kube, _) = Script::new().kube();
        let pods = Pods {
            kube,
            namespace: "todo".to_owned(),
            service: "k-kafka-brokers".to_owned(),
        };
        for (host, pod) in [
            ("k-dual-0.k-kafka-brokers.todo.svc", Some("k-dual-0")),
            (
                "k-dual-0.k-kafka-brokers.todo.svc.cluster.local",
                Some("k-dual-0"),
            ),
            ("k-dual-0.k-kafka-brokers.other.svc", None),
            ("k-dual-0.k-kafka-brokers.todo.svcx", None),
            ("k-kafka-bootstrap.todo.svc", None),
            ("localhost", None),
        ] {
            assert_eq!(pods.pod(host), pod, "{host}");
        }
        assert_eq!(pods.pod(&pods.address("p", 1).host), Some("p"));
    }
}
