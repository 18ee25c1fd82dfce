//! The targets, measured: from requests, pods' timestamps and sidecars'
//! metrics.

use std::time::Duration;

use futures::FutureExt as _;
use http::Method;
use jiff::Timestamp;

use crate::verify::check::{Check, Found, Probe, Suite, Verdict};
use crate::verify::flow::Deed;
use crate::verify::metrics::{quantile, since};
use crate::verify::scope::{Scope, condition};
use crate::verify::world::World;

/// The checks of the suite.
pub(super) const CHECKS: &[Check] = &[
    Check {
        code: "slo.response",
        suite: Suite::Slo,
        title: "the app answers fast enough",
        means: "People wait. Either the app is slow, or its pods are short of CPU.",
        mend: "todoctl logs --app --level warn",
        probe: Probe::Ask(|world| response(world).boxed()),
    },
    Check {
        code: "slo.event",
        suite: Suite::Slo,
        title: "an event is in Kafka soon after its request",
        means: "Consumers see changes late: the app publishes late, or the sidecar repeats publications.",
        mend: "todoctl logs --sidecar --level warn",
        probe: Probe::Ask(|world| event(world).boxed()),
    },
    Check {
        code: "slo.publish",
        suite: Suite::Slo,
        title: "the sidecar publishes fast enough",
        means: "The way from the sidecar to the broker is slow: another region, a broker under load, or a login with every connection.",
        mend: "todoctl logs --sidecar --level warn",
        probe: Probe::Ask(|world| publish(world).boxed()),
    },
    Check {
        code: "slo.sidecar-memory",
        suite: Suite::Slo,
        title: "sidecars are small enough",
        means: "A sidecar needs more memory than was planned for it. Above its limit the kernel ends it.",
        mend: "kubectl top pods -A --containers",
        probe: Probe::Ask(|world| memory(world).boxed()),
    },
    Check {
        code: "slo.start",
        suite: Suite::Slo,
        title: "pods are ready soon after they were placed",
        means: "A pod takes long to start: its image is large, its database is slow to wake, or its sidecar waits for the broker.",
        mend: "todoctl logs --sidecar",
        probe: Probe::Look(start),
    },
];

/// How many requests are measured.
const REQUESTS: usize = 20;

fn millis(took: Duration) -> f64 {
    took.as_secs_f64() * 1e3
}

/// The value below which this part of the sorted values lies (nearest rank).
pub(crate) fn percentile(sorted: &[f64], part: f64) -> Option<f64> {
    let wanted = part * sorted.len() as f64;
    let rank = (1..=sorted.len()).find(|rank| *rank as f64 >= wanted);
    sorted.get(rank? - 1).copied()
}

async fn response(world: &World) -> Found {
    let target = f64::from(world.scope.profile.verify.targets.response_ms);
    let services = world.scope.profile.app.services.iter();
    let paths: Vec<&str> = services
        .filter_map(|s| Some(s.ingress.as_ref()?.path.as_str()))
        .collect();
    let Some(path) = paths.iter().min_by_key(|path| path.len()) else {
        return Err(Verdict::skip("the profile has no service behind a path"));
    };
    let mut times = Vec::new();
    for _ in 0..REQUESTS {
        let answer = world.visit(Method::GET, path, &[], None).await?;
        if answer.status.is_server_error() {
            return Err(
                Verdict::fail(format!("{path} answers {}", answer.status.as_u16()))
                    .saw(format!("GET {path}"), answer.shown()),
            );
        }
        times.push(millis(answer.took));
    }
    times.sort_by(f64::total_cmp);
    let most = percentile(&times, 0.95).unwrap_or_default();
    let shown = format!(
        "p50 {:.1} ms, p95 {most:.1} ms, of {REQUESTS}",
        percentile(&times, 0.5).unwrap_or_default()
    );
    let asked = format!("{REQUESTS} times GET {path}");
    Ok(match most <= target {
        true => Verdict::pass(format!("p95 {most:.0} ms of {target:.0}")).saw(asked, shown),
        false => {
            Verdict::fail(format!("p95 {most:.0} ms, the target is {target:.0}")).saw(asked, shown)
        }
    })
}

async fn event(world: &World) -> Found {
    let target = f64::from(world.scope.profile.verify.targets.event_ms);
    let flow = world.flow().await;
    if let Some(trouble) = flow.trouble.as_ref().or(flow.unread.as_ref()) {
        return Err(trouble.clone());
    }
    let mut slowest: Option<(Deed, f64)> = None;
    for step in &flow.steps {
        if let Some(found) = flow.events(step.deed).next() {
            let took = millis(found.at.saturating_sub(step.began));
            if slowest.is_none_or(|(_, most)| took > most) {
                slowest = Some((step.deed, took));
            }
        }
    }
    let Some((deed, took)) = slowest else {
        return Err(
            Verdict::fail("there are no events to measure").saw("events of the task", "none")
        );
    };
    let asked = "from each request to its event in Kafka";
    let shown = format!("at most {took:.1} ms, for the {}", deed.name());
    Ok(match took <= target {
        true => Verdict::pass(format!("at most {took:.0} ms of {target:.0}")).saw(asked, shown),
        false => Verdict::fail(format!(
            "{took:.0} ms for the {}, the target is {target:.0}",
            deed.name()
        ))
        .saw(asked, shown),
    })
}

async fn publish(world: &World) -> Found {
    const NAME: &str = "dapr_component_pubsub_egress_latencies";
    let target = f64::from(world.scope.profile.verify.targets.publish_ms);
    let sidecar = world.sidecar().await?;
    let before = sidecar.metrics.as_ref().map(|m| m.buckets(NAME, &[]));
    let before = before.unwrap_or_default();
    // Something has to be published to be measured.
    world.account().await?;
    let now = world.metrics(sidecar).await.map_err(|error| {
        Verdict::fail(format!("the sidecar of {} shows no metrics", sidecar.pod))
            .saw(format!("metrics of {}", sidecar.pod), error)
    })?;
    let buckets = since(&before, &now.buckets(NAME, &[]));
    let asked = format!("{NAME} of {}, during this run", sidecar.pod);
    // The sidecar measures in its own seconds, which may be faster than ours.
    let rate = world.scope.profile.endpoints.clock_rate.max(1.0);
    let Some(most) = quantile(&buckets, 0.95).map(|ms| ms / rate) else {
        return Ok(
            Verdict::fail("the sidecar has not measured its publications").saw(asked, "no samples"),
        );
    };
    let count = buckets.last().map_or(0.0, |(_, count)| *count);
    let shown = format!("p95 {most:.1} ms of {count:.0}");
    Ok(match most <= target {
        true => Verdict::pass(format!("p95 {most:.0} ms of {target:.0}")).saw(asked, shown),
        false => {
            Verdict::fail(format!("p95 {most:.0} ms, the target is {target:.0}")).saw(asked, shown)
        }
    })
}

async fn memory(world: &World) -> Found {
    const NAME: &str = "process_resident_memory_bytes";
    let target = f64::from(world.scope.profile.verify.targets.sidecar_memory_mb);
    let all = super::dapr::some_sidecars(world).await?;
    let verdicts = all.iter().map(|sidecar| {
        let asked = format!("{NAME} of {}", sidecar.pod);
        let held = match &sidecar.metrics {
            Err(error) => {
                return Verdict::fail(format!("the sidecar of {} shows no metrics", sidecar.pod))
                    .saw(asked, error);
            }
            Ok(metrics) => metrics.sum(NAME, &[]),
        };
        let Some(held) = held.map(|bytes| bytes / 1e6) else {
            return Verdict::fail(format!(
                "the sidecar of {} does not tell its memory",
                sidecar.pod
            ))
            .saw(asked, "no sample");
        };
        let shown = format!("{held:.0} MB");
        match held <= target {
            true => Verdict::pass("").saw(asked, shown),
            false => Verdict::fail(format!(
                "{} holds {held:.0} MB, the target is {target:.0}",
                sidecar.pod
            ))
            .saw(asked, shown),
        }
    });
    Ok(Verdict::worst(
        verdicts.collect(),
        format!("each below {target:.0} MB"),
    ))
}

fn start(scope: &Scope) -> Found {
    let target = f64::from(scope.profile.verify.targets.start_s);
    let mut all = Vec::new();
    let mut most: f64 = 0.0;
    for (service, _) in scope.with_sidecar() {
        for pod in scope.pods(service)? {
            let at = |kind: &str| -> Option<Timestamp> {
                let found = condition(pod, kind).filter(|c| c["status"] == "True")?;
                found["lastTransitionTime"].as_str()?.parse().ok()
            };
            let asked = format!("conditions PodScheduled and Ready of {}", pod.name());
            let (Some(placed), Some(ready)) = (at("PodScheduled"), at("Ready")) else {
                all.push(
                    Verdict::fail(format!("{} is not ready", pod.name())).saw(asked, "no time"),
                );
                continue;
            };
            // A pod that has restarted became ready more than once.
            let took = ready.duration_since(placed).as_secs_f64();
            let restarted = crate::verify::scope::items(pod, "/status/containerStatuses")
                .iter()
                .any(|c| c["restartCount"].as_u64() > Some(0));
            most = most.max(took);
            let shown = format!("{took:.0} s");
            all.push(if took <= target {
                Verdict::pass("").saw(asked, shown)
            } else if restarted {
                Verdict::warn(format!(
                    "{} became ready {took:.0} s after it was placed, with restarts",
                    pod.name()
                ))
                .saw(asked, shown)
            } else {
                Verdict::fail(format!(
                    "{} took {took:.0} s, the target is {target:.0}",
                    pod.name()
                ))
                .saw(asked, shown)
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
    Ok(Verdict::worst(
        all,
        format!("at most {most:.0} s of {target:.0}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let sorted: Vec<f64> = (1..=20).map(f64::from).collect();
        assert_eq!(percentile(&sorted, 0.5), Some(10.0));
        assert_eq!(percentile(&sorted, 0.95), Some(19.0));
        assert_eq!(percentile(&sorted, 1.0), Some(20.0));
        assert_eq!(percentile(&[], 0.5), None);
    }
}
