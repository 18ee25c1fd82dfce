//! The control plane and the sidecars.

use futures::FutureExt as _;
use serde_json::Value;

use crate::dapr::health::{self, Health, State};
use crate::verify::check::{Check, Found, Probe, Suite, Verdict};
use crate::verify::scope::{Scope, items, text};
use crate::verify::world::{Sidecar, World, has_sidecar};

const RESTART: &str = "kubectl rollout restart deployment -n NAMESPACE SERVICE";

/// The checks of the suite.
pub(super) const CHECKS: &[Check] = &[
    Check {
        code: "dapr.operator",
        suite: Suite::Dapr,
        title: "the operator serves components to sidecars",
        means: "Without the operator no sidecar can start: it reads its components and certificates' roots from there.",
        mend: "todoctl up --only platform",
        probe: Probe::Look(|scope| part(scope, "operator")),
    },
    Check {
        code: "dapr.sentry",
        suite: Suite::Dapr,
        title: "Sentry signs certificates",
        means: "Without Sentry no sidecar gets an identity, and running ones lose theirs within a day.",
        mend: "todoctl up --only platform",
        probe: Probe::Look(|scope| part(scope, "sentry")),
    },
    Check {
        code: "dapr.injector",
        suite: Suite::Dapr,
        title: "the injector adds sidecars to new pods",
        means: "New pods of the app start without a sidecar, and so without events, state and secrets.",
        mend: "todoctl up --only platform",
        probe: Probe::Look(|scope| part(scope, "injector")),
    },
    Check {
        code: "dapr.scheduler",
        suite: Suite::Dapr,
        title: "the scheduler keeps and triggers jobs",
        means: "Jobs are neither kept nor triggered, and sidecars that start do not become ready. Often its volume claim is not bound.",
        mend: "todoctl up --only platform",
        probe: Probe::Look(|scope| part(scope, "scheduler")),
    },
    Check {
        code: "dapr.definitions",
        suite: Suite::Dapr,
        title: "Dapr's resource definitions are served, conversion included",
        means: "Components, subscriptions or configurations cannot be read or written. A conversion webhook in the wrong namespace, or without a certificate, makes subscriptions unreadable.",
        mend: "todoctl up --only platform",
        probe: Probe::Look(|scope| part(scope, "definitions")),
    },
    Check {
        code: "dapr.webhook",
        suite: Suite::Dapr,
        title: "the sidecar webhook is registered with a certificate",
        means: "The API server cannot call the injector, so new pods start without a sidecar. An injector that restarts fills the certificate in.",
        mend: "kubectl rollout restart deployment -n dapr-system dapr-sidecar-injector",
        probe: Probe::Look(|scope| part(scope, "webhook")),
    },
    Check {
        code: "dapr.certificates",
        suite: Suite::Dapr,
        title: "the root and issuer certificates are valid for long enough",
        means: "Dapr's own authority lives for a year and nothing renews it. When it ends, no sidecar can talk to another.",
        mend: "kubectl get secret -n dapr-system dapr-trust-bundle -o yaml",
        probe: Probe::Look(|scope| part(scope, "certificates")),
    },
    Check {
        code: "dapr.configuration",
        suite: Suite::Dapr,
        title: "the control plane's Configuration is there, with mTLS",
        means: "Without `daprsystem` the operator does not start; without mTLS sidecars talk in the clear.",
        mend: "todoctl up --only platform",
        probe: Probe::Look(|scope| part(scope, "configuration")),
    },
    Check {
        code: "dapr.injected",
        suite: Suite::Dapr,
        title: "every pod that should have a sidecar has one",
        means: "A pod was made while the injector was away, or its annotations are not on the pod template.",
        mend: RESTART,
        probe: Probe::Look(injected),
    },
    Check {
        code: "dapr.identity",
        suite: Suite::Dapr,
        title: "every sidecar has the identity that the profile gives it",
        means: "Scopes, subscriptions and calls between services go by the app ID. One that differs sees none of its components.",
        mend: "todoctl up --only app",
        probe: Probe::Ask(|world| identity(world).boxed()),
    },
    Check {
        code: "dapr.ready",
        suite: Suite::Dapr,
        title: "every sidecar says that it is ready",
        means: "The sidecar names the parts that are not ready. `scheduler-watch-hosts` means that no scheduler answers, `runtime` that the app does not listen on its port.",
        mend: "todoctl logs --sidecar --level warn",
        probe: Probe::Ask(|world| ready(world).boxed()),
    },
    Check {
        code: "dapr.skew",
        suite: Suite::Dapr,
        title: "sidecars have the control plane's version",
        means: "The control plane was upgraded and the app's pods were not restarted. Only patch versions are tested together.",
        mend: "todoctl up",
        probe: Probe::Ask(|world| skew(world).boxed()),
    },
    Check {
        code: "dapr.scheduler-link",
        suite: Suite::Dapr,
        title: "every sidecar is connected to a scheduler",
        means: "Jobs of this app are neither taken nor triggered.",
        mend: "todoctl logs --sidecar --grep scheduler",
        probe: Probe::Ask(|world| scheduler_link(world).boxed()),
    },
    Check {
        code: "dapr.app-channel",
        suite: Suite::Dapr,
        title: "every sidecar knows the port of its app",
        means: "Without the app's port a sidecar delivers no events and no jobs.",
        mend: "todoctl up --only app",
        probe: Probe::Ask(|world| app_channel(world).boxed()),
    },
];

/// A part of the control plane, by the rules of [`health::look`].
fn part(scope: &Scope, name: &str) -> Found {
    let live = scope.control_plane()?;
    let all = health::look(&scope.profile, &live, scope.now);
    let Some(Health { state, detail, .. }) = all.into_iter().find(|health| health.name == name)
    else {
        return Err(Verdict::skip(format!("this control plane has no {name}")));
    };
    let verdict = match state {
        State::Good => Verdict::pass(&detail),
        State::Warning => Verdict::warn(&detail),
        State::Bad => Verdict::fail(&detail),
    };
    Ok(verdict.saw(
        format!("objects of {name} in {}", scope.profile.dapr.namespace),
        &detail,
    ))
}

fn injected(scope: &Scope) -> Found {
    let mut all = Vec::new();
    for (service, _) in scope.with_sidecar() {
        for pod in scope
            .pods(service)?
            .into_iter()
            .filter(|pod| text(pod, "/status/phase") == "Running")
        {
            let containers: Vec<&str> = items(pod, "/spec/containers")
                .iter()
                .filter_map(|c| c["name"].as_str())
                .collect();
            let asked = format!("containers of pod {}", pod.name());
            all.push(if has_sidecar(pod) {
                Verdict::pass("").saw(asked, containers.join(", "))
            } else {
                let mend = format!(
                    "kubectl rollout restart deployment -n {} {}",
                    scope.namespace(),
                    service.name
                );
                Verdict::fail(format!("{} has no sidecar", pod.name()))
                    .saw(asked, containers.join(", "))
                    .mend(mend)
            });
        }
    }
    if scope.with_sidecar().next().is_none() {
        return Err(Verdict::skip("the profile has no service with a sidecar"));
    }
    if all.is_empty() {
        return Err(Verdict::fail("no pod of the app is running")
            .saw(format!("pods of {}", scope.namespace()), "none"));
    }
    let good = format!("{} pods with a sidecar", all.len());
    Ok(Verdict::worst(all, good))
}

/// The sidecars; that there are none is a failure, or a reason to skip.
pub(super) async fn some_sidecars(world: &World) -> Result<&[Sidecar], Verdict> {
    world.sidecar().await?;
    world.sidecars().await
}

/// Judges each sidecar by its metadata; one that does not tell fails.
pub(super) async fn by_metadata(
    world: &World,
    good: impl Fn(usize) -> String,
    judge: impl Fn(&Sidecar, &Value) -> Verdict,
) -> Found {
    let all = some_sidecars(world).await?;
    let verdicts = all.iter().map(|sidecar| match &sidecar.metadata {
        Ok(metadata) => judge(sidecar, metadata),
        Err(error) => Verdict::fail(format!("the sidecar of {} does not tell", sidecar.pod)).saw(
            format!("GET /v1.0/metadata at the sidecar of {}", sidecar.pod),
            error,
        ),
    });
    Ok(Verdict::worst(verdicts.collect(), good(all.len())))
}

fn asked(sidecar: &Sidecar, what: &str) -> String {
    format!("{what} in the metadata of {}", sidecar.pod)
}

async fn identity(world: &World) -> Found {
    by_metadata(
        world,
        |n| format!("{n} as the profile says"),
        |sidecar, metadata| {
            let id = metadata["id"].as_str().unwrap_or_default();
            match id == sidecar.app_id {
                true => Verdict::pass("").saw(asked(sidecar, "id"), id),
                false => Verdict::fail(format!(
                    "{} is `{id}`, not `{}`",
                    sidecar.pod, sidecar.app_id
                ))
                .saw(asked(sidecar, "id"), id),
            }
        },
    )
    .await
}

async fn ready(world: &World) -> Found {
    let all = some_sidecars(world).await?;
    let verdicts = all.iter().map(|sidecar| {
        let asked = format!("GET /v1.0/healthz at the sidecar of {}", sidecar.pod);
        match &sidecar.health {
            Ok(answer) if answer.status.is_success() => {
                Verdict::pass("").saw(asked, answer.shown())
            }
            Ok(answer) => {
                let message = answer.json()["message"].as_str().map(str::to_owned);
                let why = message.unwrap_or_else(|| format!("answers {}", answer.status));
                Verdict::fail(format!("{}: {why}", sidecar.pod)).saw(asked, answer.shown())
            }
            Err(error) => Verdict::fail(format!("the sidecar of {} does not answer", sidecar.pod))
                .saw(asked, error),
        }
    });
    Ok(Verdict::worst(
        verdicts.collect(),
        format!("{} ready", all.len()),
    ))
}

async fn skew(world: &World) -> Found {
    let operator = world.scope.find(
        "Deployment",
        world.scope.profile.dapr.namespace.as_str(),
        "dapr-operator",
    )?;
    let image = operator
        .map(|o| text(o, "/spec/template/spec/containers/0/image"))
        .unwrap_or_default();
    let control = image.rsplit_once(':').map_or("", |(_, tag)| tag).to_owned();
    let parsed = semver::Version::parse(&control).ok();
    by_metadata(
        world,
        |n| format!("{n} with {control}"),
        |sidecar, metadata| {
            let own = metadata["runtimeVersion"].as_str().unwrap_or_default();
            let asked = asked(sidecar, "runtimeVersion");
            match (&parsed, semver::Version::parse(own)) {
                (Some(control), Ok(own))
                    if (own.major, own.minor) != (control.major, control.minor) =>
                {
                    Verdict::fail(format!(
                        "{} has {own}, the control plane {control}",
                        sidecar.pod
                    ))
                    .saw(asked, own.to_string())
                }
                (Some(control), Ok(own)) if own != *control => Verdict::warn(format!(
                    "{} has {own}, the control plane {control}",
                    sidecar.pod
                ))
                .saw(asked, own.to_string()),
                (_, Err(_)) => Verdict::warn(format!("{} does not tell its version", sidecar.pod))
                    .saw(asked, own),
                _ => Verdict::pass("").saw(asked, own),
            }
        },
    )
    .await
}

async fn scheduler_link(world: &World) -> Found {
    by_metadata(
        world,
        |n| format!("{n} connected"),
        |sidecar, metadata| {
            let all = metadata
                .pointer("/scheduler/connected_addresses")
                .and_then(Value::as_array);
            let shown = all.map(|all| Value::Array(all.clone()).to_string());
            let asked = asked(sidecar, "scheduler.connected_addresses");
            match all.is_some_and(|all| !all.is_empty()) {
                true => Verdict::pass("").saw(asked, shown.unwrap_or_default()),
                false => Verdict::fail(format!("{} is connected to no scheduler", sidecar.pod))
                    .saw(asked, "none"),
            }
        },
    )
    .await
}

async fn app_channel(world: &World) -> Found {
    let ports = |name: &str| {
        let service = world.scope.profile.service(name)?;
        service.dapr.as_ref()?.app_port.or(Some(service.port))
    };
    by_metadata(
        world,
        |n| format!("{n} know it"),
        |sidecar, metadata| {
            let wanted = ports(&sidecar.service).unwrap_or_default();
            let port = metadata
                .pointer("/appConnectionProperties/port")
                .and_then(Value::as_u64);
            let asked = asked(sidecar, "appConnectionProperties.port");
            let shown = port.map_or_else(|| "none".to_owned(), |port| port.to_string());
            match port == Some(u64::from(wanted)) {
                true => Verdict::pass("").saw(asked, shown),
                false => Verdict::fail(format!(
                    "{} calls port {shown} of its app, not {wanted}",
                    sidecar.pod
                ))
                .saw(asked, shown),
            }
        },
    )
    .await
}
