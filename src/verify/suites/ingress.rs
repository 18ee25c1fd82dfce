//! The way in from the internet.

use futures::FutureExt as _;
use http::Method;
use serde_json::Value;

use super::cluster::workloads::ready_endpoints;
use crate::profile::Service;
use crate::verify::check::{Check, Found, Probe, Suite, Verdict};
use crate::verify::scope::{Scope, items, number, text};
use crate::verify::world::World;

const UP: &str = "todoctl up --only platform";

/// The checks of the suite.
pub(super) const CHECKS: &[Check] = &[
    Check {
        code: "ingress.controller",
        suite: Suite::Ingress,
        title: "the ingress controller runs",
        means: "Nobody routes requests to the app.",
        mend: UP,
        probe: Probe::Look(controller),
    },
    Check {
        code: "ingress.class",
        suite: Suite::Ingress,
        title: "the ingress class exists, and the app's rules use it",
        means: "No controller feels responsible for the app's rules.",
        mend: UP,
        probe: Probe::Look(class),
    },
    Check {
        code: "ingress.rules",
        suite: Suite::Ingress,
        title: "every rule leads to a Service that exists",
        means: "Requests for a path are answered with 502 or 503: its Service is missing, has another port, or has no ready pod.",
        mend: "todoctl up --only app",
        probe: Probe::Look(rules),
    },
    Check {
        code: "ingress.address",
        suite: Suite::Ingress,
        title: "the load balancer has an address",
        means: "Oracle has not made the load balancer, or the allowance for load balancers is used up. Events of the controller's Service tell.",
        mend: "kubectl get events -n nginx-ingress",
        probe: Probe::Look(address),
    },
    Check {
        code: "ingress.page",
        suite: Suite::Ingress,
        title: "the frontend's page is served",
        means: "People see an error instead of the app.",
        mend: "todoctl logs frontend",
        probe: Probe::Ask(|world| page(world).boxed()),
    },
    Check {
        code: "ingress.health",
        suite: Suite::Ingress,
        title: "every service behind a path answers its health path",
        means: "A service does not answer, or says that it is not well.",
        mend: "todoctl logs --app --level error",
        probe: Probe::Ask(|world| health(world).boxed()),
    },
    Check {
        code: "ingress.tls",
        suite: Suite::Ingress,
        title: "the certificate for HTTPS is valid for long enough",
        means: "Browsers refuse the page, or will within days.",
        mend: "kubectl get secrets --field-selector type=kubernetes.io/tls -A",
        probe: Probe::Look(tls),
    },
];

fn controller(scope: &Scope) -> Found {
    if !scope.profile.ingress.install {
        return Err(Verdict::skip("the controller is not todoctl's"));
    }
    let namespace = scope.profile.ingress.namespace.as_str();
    let all = scope.list("Deployment", namespace)?;
    if all.is_empty() {
        return Err(Verdict::fail("the controller's Deployment is missing")
            .saw(format!("Deployments of {namespace}"), "none"));
    }
    let verdicts = all.iter().map(|found| {
        let (wanted, ready) = (
            number(found, "/spec/replicas"),
            number(found, "/status/readyReplicas"),
        );
        let asked = format!("status of Deployment {namespace}/{}", found.name());
        let shown = format!("{ready} of {wanted} ready");
        match ready >= wanted && ready > 0 {
            true => Verdict::pass("").saw(asked, shown),
            false => Verdict::fail(format!("{}: {shown}", found.name())).saw(asked, shown),
        }
    });
    Ok(Verdict::worst(verdicts.collect(), "ready"))
}

fn behind_a_path(scope: &Scope) -> impl Iterator<Item = (&Service, &str)> {
    let services = scope.profile.app.services.iter();
    services.filter_map(|s| Some((s, s.ingress.as_ref()?.path.as_str())))
}

fn class(scope: &Scope) -> Found {
    let wanted = scope.profile.ingress.class.as_str();
    let known = scope
        .cluster("IngressClass")?
        .iter()
        .any(|class| class.name() == wanted);
    let mut all = Vec::new();
    if !known {
        all.push(
            Verdict::fail(format!("there is no ingress class {wanted}"))
                .saw(format!("IngressClass {wanted}"), "not found"),
        );
    }
    let rules = scope.list("Ingress", scope.namespace())?;
    if rules.is_empty() && behind_a_path(scope).next().is_some() {
        all.push(
            Verdict::fail("the app has no Ingress")
                .saw(format!("Ingress objects of {}", scope.namespace()), "none"),
        );
    }
    for ingress in rules {
        let class = text(ingress, "/spec/ingressClassName");
        if class != wanted {
            let asked = format!("class of Ingress {}", ingress.name());
            all.push(
                Verdict::fail(format!(
                    "{} is of class `{class}`, not `{wanted}`",
                    ingress.name()
                ))
                .saw(asked, class),
            );
        }
    }
    Ok(Verdict::worst(all, wanted))
}

fn rules(scope: &Scope) -> Found {
    let slices = scope.list("EndpointSlice", scope.namespace())?;
    let mut all = Vec::new();
    for ingress in scope.list("Ingress", scope.namespace())? {
        let paths = items(ingress, "/spec/rules").iter();
        for path in paths.flat_map(|rule| {
            rule.pointer("/http/paths")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
        }) {
            let name = path
                .pointer("/backend/service/name")
                .and_then(Value::as_str)
                .unwrap_or_default();
            let port = path
                .pointer("/backend/service/port")
                .cloned()
                .unwrap_or_default();
            let shown = path["path"].as_str().unwrap_or("/");
            let asked = format!("Service {name} behind {shown}");
            let Some(service) = scope.find("Service", scope.namespace(), name)? else {
                all.push(
                    Verdict::fail(format!(
                        "{shown} leads to the Service {name}, which is missing"
                    ))
                    .saw(asked, "not found"),
                );
                continue;
            };
            let has = items(service, "/spec/ports").iter().any(|own| {
                port["number"].is_null() && port["name"] == own["name"]
                    || !port["number"].is_null() && port["number"] == own["port"]
            });
            all.push(if !has {
                Verdict::fail(format!("{shown} leads to a port that {name} does not have"))
                    .saw(asked, port.to_string())
            } else if ready_endpoints(slices, name) == 0 {
                Verdict::fail(format!("{shown} leads to {name}, which has no ready pod"))
                    .saw(asked, "0 ready endpoints")
            } else {
                Verdict::pass("").saw(asked, "ready")
            });
        }
    }
    let good = format!("{} paths", all.len());
    Ok(Verdict::worst(all, good))
}

fn address(scope: &Scope) -> Found {
    let asked = "status.loadBalancer of the controller's Service";
    Ok(match scope.address()? {
        Some(address) => Verdict::pass(format!("http://{address}")).saw(asked, address),
        None => Verdict::fail("the load balancer has no address").saw(asked, "empty"),
    })
}

async fn page(world: &World) -> Found {
    let Some((service, path)) = behind_a_path(&world.scope).min_by_key(|(_, path)| path.len())
    else {
        return Err(Verdict::skip("the profile has no service behind a path"));
    };
    let asked = format!(
        "GET {}",
        world
            .public()?
            .join(path)
            .map_or_else(|_| path.to_owned(), Into::into)
    );
    let answer = world
        .visit(Method::GET, path, &[("accept", "text/html")], None)
        .await?;
    let kind = answer
        .headers
        .get("content-type")
        .and_then(|v| v.to_str().ok())
        .unwrap_or("no type")
        .to_owned();
    let shown = format!(
        "{} {kind}, {} bytes",
        answer.status.as_u16(),
        answer.body.len()
    );
    let took = answer.took.as_secs_f64() * 1e3;
    let mend = format!("todoctl logs {}", service.name);
    Ok(
        if !answer.status.is_success() && !answer.status.is_redirection() {
            Verdict::fail(format!("{path} answers {}", answer.status.as_u16()))
                .saw(asked, answer.shown())
                .mend(mend)
        } else if answer.status.is_success() && answer.body.is_empty() {
            Verdict::fail(format!("{path} is an empty page"))
                .saw(asked, shown)
                .mend(mend)
        } else {
            Verdict::pass(format!("{} in {took:.0} ms", answer.status.as_u16())).saw(asked, shown)
        },
    )
}

async fn health(world: &World) -> Found {
    let mut all = Vec::new();
    for (service, path) in behind_a_path(&world.scope) {
        let Some(health) = &service.health_path else {
            continue;
        };
        let public = format!("{}{health}", path.trim_end_matches('/'));
        let answer = world.visit(Method::GET, &public, &[], None).await?;
        let asked = format!("GET {public} at the public address");
        if answer.status.is_success() {
            all.push(Verdict::pass("").saw(asked, answer.shown()));
            continue;
        }
        // The health path need not be public: then the pod itself is asked.
        let not_public = answer.status == http::StatusCode::NOT_FOUND;
        let pods = world.scope.pods(service)?;
        let inside = match pods.first().filter(|_| not_public) {
            Some(pod) => direct(world, pod.name(), service.port, health).await,
            None => None,
        };
        all.push(match inside {
            Some(status) if status.is_success() => {
                Verdict::pass("").saw(asked, answer.shown()).saw(
                    format!("GET {health} at a pod of {}", service.name),
                    status.to_string(),
                )
            }
            _ => {
                let mend = format!("todoctl logs {}", service.name);
                Verdict::fail(format!("{public} answers {}", answer.status.as_u16()))
                    .saw(asked, answer.shown())
                    .mend(mend)
            }
        });
    }
    if all.is_empty() {
        return Err(Verdict::skip("no service behind a path has a health path"));
    }
    let good = format!("{} healthy", all.len());
    Ok(Verdict::worst(all, good))
}

async fn direct(world: &World, pod: &str, port: u16, path: &str) -> Option<http::StatusCode> {
    let request = http::Request::get(path).body(bytes::Bytes::new()).ok()?;
    let namespace = world.scope.namespace();
    let answer = world
        .kube
        .exchange(
            namespace,
            pod,
            port,
            request,
            crate::verify::world::PATIENCE,
        )
        .await;
    Some(answer.ok()?.status())
}

fn tls(scope: &Scope) -> Found {
    let Some(https) = &scope.profile.ingress.https else {
        return Err(Verdict::skip("the profile asks for no HTTPS"));
    };
    let name = https.secret.as_str();
    let asked = format!("certificate in Secret {name}");
    let Some(found) = scope.find("Secret", scope.namespace(), name)? else {
        return Err(Verdict::fail(format!("the Secret {name} is missing")).saw(asked, "not found"));
    };
    Ok(
        match crate::dapr::certificate::expiry_of(found, "tls.crt", scope.now) {
            Err(error) => {
                Verdict::fail("the certificate makes no sense").saw(asked, error.to_string())
            }
            Ok(expiry) => {
                use crate::dapr::certificate::Validity;
                let day = expiry.until.strftime("%Y-%m-%d").to_string();
                let verdict = match expiry.validity {
                    Validity::Good => Verdict::pass(format!("until {day}")),
                    Validity::Ending | Validity::Urgent => {
                        Verdict::warn(format!("it ends on {day}"))
                    }
                    Validity::Ended => Verdict::fail(format!("it ended on {day}")),
                };
                verdict.saw(asked, day)
            }
        },
    )
}
