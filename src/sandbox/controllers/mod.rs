//! The cluster's controllers: Kubernetes' own, written as clients of its API,
//! so that they animate any API server. Each acts under the identity that the
//! real one has, because admission webhooks ask who makes pods.
//!
//! Periods are the world's time. Nothing polls: a controller looks at an
//! object when it, or what it owns, changes.

pub mod accounts;
pub mod autoscaler;
pub mod budgets;
pub mod claims;
pub mod cron;
pub mod cronjob;
pub mod daemonset;
pub mod deployment;
pub mod endpoints;
pub mod events;
pub mod job;
pub mod labels;
pub mod pods;
pub mod proxy;
pub mod queue;
pub mod replicaset;
pub mod resources;
pub mod revisions;
pub mod rollout;
pub mod scheduler;
pub mod statefulset;
#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use self::claims::Disks;
use self::events::Recorder;
use super::api::Api;
use super::cache::{Cache, Client, Minding, News};
use super::kind::{Kind, key_of};
use super::kubelet::probe::Crowd;
use super::podnet::PodNet;
use super::world::World;
use crate::clock::Clock;

/// What the controllers and kubelets of a cluster share.
#[derive(Debug)]
pub struct Plane {
    /// The world around.
    pub world: Arc<World>,
    /// The cluster's name in draws and logs, e.g. its OCID.
    pub cluster: String,
    /// The API server as an administrator, and the copy of its collections.
    pub client: Client,
    /// The pods' network.
    pub net: Arc<PodNet>,
    /// Where block volumes come from, once the cloud is there.
    pub disks: Arc<OnceLock<Arc<dyn Disks>>>,
    /// Takes events.
    pub events: Recorder,
    /// Who is being probed.
    pub crowd: Crowd,
    /// Ends everything.
    pub stop: CancellationToken,
}

/// What a cluster stands on.
#[derive(Debug, Default)]
pub struct Ground {
    /// The pods' network.
    pub net: Arc<PodNet>,
    /// Where block volumes come from, once the cloud is there.
    pub disks: Arc<OnceLock<Arc<dyn Disks>>>,
}

impl Plane {
    /// Starts following the collections of an API server. The client must be
    /// allowed to do everything and to act in all names.
    pub fn start(
        world: Arc<World>,
        cluster: &str,
        api: Api,
        ground: Ground,
        stop: &CancellationToken,
    ) -> Arc<Self> {
        let cache = Arc::new(Cache::default());
        cache.follow(&api, &world.clock, stop);
        Arc::new(Self {
            events: Recorder::start(api.clone(), world.clock.clone(), stop),
            crowd: Crowd::default(),
            cluster: cluster.to_owned(),
            client: Client { api, cache },
            net: ground.net,
            disks: ground.disks,
            stop: stop.clone(),
            world,
        })
    }

    /// The world's clock.
    pub fn clock(&self) -> &Clock {
        &self.world.clock
    }

    /// The copy of the collections.
    pub fn cache(&self) -> &Arc<Cache> {
        &self.client.cache
    }

    /// Follows the objects of a name; see [`Cache::mind`].
    pub async fn mind(&self, what: (Kind, &str)) -> Minding {
        let api = &self.client.api;
        let cache = self.cache();
        cache.mind(api, what, self.clock(), &self.stop).await
    }

    /// Now, as objects say it.
    pub fn now(&self) -> String {
        stamp(self.clock().now())
    }

    /// How long ago a time was, in the world's time.
    pub fn since(&self, time: &str) -> Duration {
        let Ok(then) = time.parse::<Timestamp>() else {
            return Duration::ZERO;
        };
        let past = self.clock().now().duration_since(then);
        Duration::try_from(past)
            .unwrap_or_default()
            .mul_f64(self.clock().rate())
    }

    /// All that is known, as if it were news.
    fn everything(&self) -> Vec<News> {
        let of = |kind: Kind| {
            self.cache()
                .list(kind, "")
                .into_iter()
                .map(move |object| News {
                    kind,
                    key: key_of(&object).into(),
                    before: None,
                    after: Some(object),
                })
        };
        Kind::followed().flat_map(of).collect()
    }
}

/// A time with seconds, as objects have it.
pub fn stamp(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A number field of an object, or what it is by default.
pub(crate) fn count(object: &Value, pointer: &str, default: i64) -> i64 {
    object
        .pointer(pointer)
        .and_then(Value::as_i64)
        .unwrap_or(default)
}

/// Runs all controllers of a plane.
pub fn run(plane: &Arc<Plane>) {
    let all: [(&'static str, Arc<dyn queue::Controller>); 13] = [
        ("accounts", Arc::new(accounts::Accounts::new(plane))),
        ("deployments", Arc::new(deployment::Deployments::new(plane))),
        ("replicasets", Arc::new(replicaset::ReplicaSets::new(plane))),
        (
            "statefulsets",
            Arc::new(statefulset::StatefulSets::new(plane)),
        ),
        ("daemonsets", Arc::new(daemonset::DaemonSets::new(plane))),
        ("jobs", Arc::new(job::Jobs::new(plane))),
        ("cronjobs", Arc::new(cronjob::CronJobs::new(plane))),
        ("autoscalers", Arc::new(autoscaler::Autoscalers::new(plane))),
        ("claims", Arc::new(claims::Claims::new(plane))),
        ("budgets", Arc::new(budgets::Budgets::new(plane))),
        ("endpoints", Arc::new(endpoints::Endpoints::new(plane))),
        ("proxy", Arc::new(proxy::Proxy::new(plane))),
        ("scheduler", Arc::new(scheduler::Scheduler::new(plane))),
    ];
    for (name, controller) in all {
        let plane = plane.clone();
        tokio::spawn(async move {
            plane.cache().synced().await;
            queue::run(plane, controller, name).await;
        });
    }
}
