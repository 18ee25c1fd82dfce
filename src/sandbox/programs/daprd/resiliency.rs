//! Resiliency: time limits, retries and circuit breakers for components.

use std::time::Duration;

use serde_json::Value;

use super::super::dapr::time::go_duration;
use super::runtime::Sidecar;

/// Which way a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// To the app.
    Inbound,
    /// To the component.
    Outbound,
}

/// The policy for one component in one direction.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Policy {
    /// How long one try may take.
    pub(super) timeout: Option<Duration>,
    pub(super) retry: Option<Retry>,
    /// The Resiliency's name, the component and the direction, for metrics.
    name: String,
    target: String,
    flow: &'static str,
}

/// How often, and how far apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Retry {
    /// How often after the first time; none is endless.
    pub(super) most: Option<u64>,
    first: Duration,
    exponential: bool,
    longest: Duration,
}

impl Retry {
    fn read(policy: &Value) -> Self {
        let time = |name: &str| policy[name].as_str().and_then(go_duration);
        Self {
            most: match policy["maxRetries"].as_i64() {
                None | Some(i64::MIN..0) => None,
                Some(most) => u64::try_from(most).ok(),
            },
            first: time("duration").unwrap_or(match policy["policy"].as_str() {
                Some("exponential") => Duration::from_millis(500),
                _ => Duration::from_secs(5),
            }),
            exponential: policy["policy"] == "exponential",
            longest: time("maxInterval").unwrap_or(Duration::from_mins(1)),
        }
    }

    /// The pause before try `n`, counted from 1.
    pub(super) fn pause(&self, n: u64) -> Duration {
        if !self.exponential {
            return self.first;
        }
        let factor = 1.5_f64.powi(i32::try_from(n.saturating_sub(1)).unwrap_or(64).min(64));
        self.first.mul_f64(factor).min(self.longest)
    }
}

impl Policy {
    /// What the app's Resiliencies say about a component.
    pub(super) fn of(sidecar: &Sidecar, component: &str, direction: Direction) -> Self {
        let side = match direction {
            Direction::Inbound => "inbound",
            Direction::Outbound => "outbound",
        };
        let mut policy = Self {
            target: component.to_owned(),
            flow: side,
            ..Self::default()
        };
        for resiliency in &sidecar.resiliencies {
            let spec = &resiliency["spec"];
            let target = &spec["targets"]["components"][component][side];
            if target.is_null() {
                continue;
            }
            let name = resiliency["metadata"]["name"].as_str();
            name.unwrap_or_default().clone_into(&mut policy.name);
            if let Some(name) = target["timeout"].as_str() {
                let told = spec["policies"]["timeouts"][name].as_str();
                policy.timeout = told.and_then(go_duration);
            }
            if let Some(name) = target["retry"].as_str() {
                let told = &spec["policies"]["retries"][name];
                policy.retry = (!told.is_null()).then(|| Retry::read(told));
            }
        }
        policy
    }

    /// Does something until it succeeds, cannot succeed, or was tried often
    /// enough.
    pub(super) async fn run<T, E, F>(
        &self,
        sidecar: &Sidecar,
        passes: impl Fn(&E) -> bool,
        mut work: impl FnMut() -> F,
    ) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        let mut tries = 0;
        loop {
            let error = match work().await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            let Some(retry) = self.retry.filter(|_| passes(&error)) else {
                return Err(error);
            };
            if retry.most.is_some_and(|most| tries >= most) {
                return Err(error);
            }
            tries += 1;
            let (name, target) = (&self.name, &self.target);
            sidecar.metrics.policy_activated(name, target, self.flow);
            let slept = sidecar.process.world.clock.sleep(retry.pause(tries)).await;
            if slept.is_err() || sidecar.shutdown.is_cancelled() {
                return Err(error);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn pauses_grow_up_to_their_limit() {
        let policy = json!({"policy": "exponential", "duration": "1s", "maxInterval": "2s", "maxRetries": 5});
        let retry = Retry::read(&policy);
        let pauses: Vec<u128> = (1..=4).map(|n| retry.pause(n).as_millis()).collect();
        assert_eq!(pauses, [1000, 1500, 2000, 2000]);
        assert_eq!(retry.most, Some(5));
        let endless =
            Retry::read(&json!({"policy": "constant", "duration": "10ms", "maxRetries": -1}));
        assert_eq!(
            (endless.most, endless.pause(9)),
            (None, Duration::from_millis(10))
        );
    }
}
