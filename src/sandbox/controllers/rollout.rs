//! The arithmetic of a Deployment's rollout: how many pods of which set, and
//! which conditions follow. No input or output.

use serde_json::{Value, json};

use super::{count, pods};
use crate::sandbox::kind::{condition, text};

/// The numbers of a set that count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Pods asked for.
    pub wanted: i64,
    /// Pods that are available.
    pub available: i64,
}

impl Size {
    /// Of a set.
    pub fn of(set: &Value) -> Self {
        Self {
            wanted: count(set, "/spec/replicas", 0),
            available: count(set, "/status/availableReplicas", 0),
        }
    }
}

/// What a Deployment allows during a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Pods asked for.
    pub replicas: i64,
    /// Pods beyond that.
    pub surge: i64,
    /// Pods that may be missing.
    pub unavailable: i64,
}

impl Bounds {
    /// Of a Deployment. Both zero would never end: one may be missing then.
    pub fn of(deployment: &Value) -> Self {
        let replicas = count(deployment, "/spec/replicas", 1);
        if deployment.pointer("/spec/strategy/type") == Some(&json!("Recreate")) {
            return Self {
                replicas,
                surge: 0,
                unavailable: 0,
            };
        }
        let field =
            |name: &str| deployment.pointer(&format!("/spec/strategy/rollingUpdate/{name}"));
        let surge = pods::scaled(field("maxSurge"), replicas, true);
        let unavailable = pods::scaled(field("maxUnavailable"), replicas, false);
        Self {
            replicas,
            surge,
            unavailable: if surge == 0 && unavailable == 0 {
                1
            } else {
                unavailable.min(replicas)
            },
        }
    }

    /// How many pods there may be.
    pub fn most(self) -> i64 {
        self.replicas + self.surge
    }

    /// How many must be available.
    pub fn least(self) -> i64 {
        self.replicas - self.unavailable
    }
}

/// The new set's next size.
pub fn grow(bounds: Bounds, new: Size, old: &[Size]) -> i64 {
    if new.wanted >= bounds.replicas {
        return bounds.replicas;
    }
    let all = new.wanted + old.iter().map(|set| set.wanted).sum::<i64>();
    let room = bounds.most() - all;
    new.wanted + room.min(bounds.replicas - new.wanted).max(0)
}

/// The old sets' next sizes, oldest first: pods that are not available go
/// first, then as many others as may be missing.
pub fn shrink(bounds: Bounds, new: Size, old: &[Size]) -> Vec<i64> {
    let mut sizes: Vec<i64> = old.iter().map(|set| set.wanted).collect();
    let all = new.wanted + sizes.iter().sum::<i64>();
    let missing = new.wanted - new.available;
    let mut may_go = all - bounds.least() - missing;
    if may_go <= 0 {
        return sizes;
    }
    for (size, set) in sizes.iter_mut().zip(old) {
        let unhealthy = (*size - set.available).max(0).min(may_go);
        *size -= unhealthy;
        may_go -= unhealthy;
    }
    let available = new.available + old.iter().map(|set| set.available).sum::<i64>();
    let mut surplus = available - bounds.least();
    for size in &mut sizes {
        let going = surplus.clamp(0, *size);
        *size -= going;
        surplus -= going;
    }
    sizes
}

/// New sizes when the total changes during a rollout: in proportion, what is
/// left over goes to the largest.
pub fn spread(bounds: Bounds, sizes: &[i64]) -> Vec<i64> {
    let total: i64 = sizes.iter().sum();
    if total == 0 {
        return sizes.to_vec();
    }
    let target = if bounds.replicas > 0 {
        bounds.most()
    } else {
        0
    };
    let mut new: Vec<i64> = sizes.iter().map(|size| size * target / total).collect();
    let mut rest = target - new.iter().sum::<i64>();
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|at| std::cmp::Reverse(sizes.get(*at).copied()));
    for at in order.into_iter().cycle() {
        if rest == 0 {
            break;
        }
        if let Some(size) = new.get_mut(at) {
            *size += 1;
            rest -= 1;
        }
    }
    new
}

/// Whether everything runs in the new form.
pub fn is_complete(deployment: &Value, status: &Value) -> bool {
    let replicas = count(deployment, "/spec/replicas", 1);
    let is = |field: &str| count(status, field, 0) == replicas;
    is("/updatedReplicas") && is("/replicas") && is("/availableReplicas")
}

/// Whether there was any step forward since the last status.
pub fn has_progressed(old: &Value, new: &Value) -> bool {
    let field = |status: &Value, name: &str| count(status, name, 0);
    let outdated = |status: &Value| field(status, "/replicas") - field(status, "/updatedReplicas");
    field(new, "/updatedReplicas") > field(old, "/updatedReplicas")
        || outdated(new) < outdated(old)
        || field(new, "/readyReplicas") > field(old, "/readyReplicas")
        || field(new, "/availableReplicas") > field(old, "/availableReplicas")
}

/// Sets a condition as the real controller does: its transition time stays if
/// the status does, and nothing changes if status and reason do.
pub fn set_condition(conditions: &mut Vec<Value>, now: &str, kind: &str, is: (&str, &str, &str)) {
    let (status, reason, message) = is;
    let mut since = json!(now);
    if let Some(held) = conditions.iter().find(|c| c["type"] == kind) {
        if held["status"] == status && held["reason"] == reason {
            return;
        }
        if held["status"] == status {
            since = held["lastTransitionTime"].clone();
        }
    }
    conditions.retain(|c| c["type"] != kind);
    conditions.push(json!({
        "type": kind,
        "status": status,
        "lastUpdateTime": now,
        "lastTransitionTime": since,
        "reason": reason,
        "message": message,
    }));
}

/// The condition that says whether enough pods are available.
pub fn set_available(conditions: &mut Vec<Value>, now: &str, enough: bool) {
    let is = if enough {
        (
            "True",
            "MinimumReplicasAvailable",
            "Deployment has minimum availability.",
        )
    } else {
        (
            "False",
            "MinimumReplicasUnavailable",
            "Deployment does not have minimum availability.",
        )
    };
    set_condition(conditions, now, "Available", is);
}

/// The reason of the `Progressing` condition.
pub fn progress_reason(deployment: &Value) -> &str {
    condition(deployment, "Progressing").map_or("", |c| text(c, "/reason"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(wanted: i64, available: i64) -> Size {
        Size { wanted, available }
    }

    const TWO: Bounds = Bounds {
        replicas: 2,
        surge: 1,
        unavailable: 0,
    };

    #[test]
    fn a_rollout_of_two_goes_one_by_one_and_never_below_two() {
        let (mut new, mut old) = (size(0, 0), size(2, 2));
        let mut steps = Vec::new();
        for _ in 0..10 {
            new.wanted = grow(TWO, new, &[old]);
            old.wanted = shrink(TWO, new, &[old])[0];
            old.available = old.available.min(old.wanted);
            steps.push((new.wanted, old.wanted));
            new.available = new.wanted;
            assert!(new.available + old.available >= 2);
            assert!(new.wanted + old.wanted <= 3);
        }
        assert_eq!(steps[..4], [(1, 2), (1, 1), (2, 1), (2, 0)]);
        assert_eq!(steps[9], (2, 0));
    }

    #[test]
    fn old_pods_that_do_not_serve_make_room_first() {
        let bounds = Bounds {
            replicas: 4,
            surge: 1,
            unavailable: 1,
        };
        assert_eq!(
            shrink(bounds, size(0, 0), &[size(3, 1), size(2, 2)]),
            [1, 2]
        );
        assert_eq!(shrink(bounds, size(2, 0), &[size(3, 3)]), [3]);
    }

    #[test]
    fn bounds_follow_the_strategy() {
        let with = |surge: Value, unavailable: Value| {
            Bounds::of(
                &json!({"spec": {"replicas": 10, "strategy": {"rollingUpdate": {
                    "maxSurge": surge, "maxUnavailable": unavailable,
                }}}}),
            )
        };
        let default = with(json!("25%"), json!("25%"));
        assert_eq!((default.most(), default.least()), (13, 8));
        assert_eq!(with(json!(0), json!("0%")).unavailable, 1);
    }

    #[test]
    fn scaling_amid_a_rollout_is_in_proportion() {
        let bounds = Bounds {
            replicas: 10,
            surge: 2,
            unavailable: 1,
        };
        assert_eq!(spread(bounds, &[3, 1]), [9, 3]);
        assert_eq!(spread(bounds, &[0, 0]), [0, 0]);
    }

    #[test]
    fn a_condition_changes_its_time_with_its_status_only() {
        let mut conditions = Vec::new();
        set_condition(&mut conditions, "1", "A", ("True", "x", "m"));
        set_condition(&mut conditions, "2", "A", ("True", "x", "other"));
        assert_eq!(conditions[0]["lastUpdateTime"], "1");
        set_condition(&mut conditions, "3", "A", ("True", "y", "m"));
        assert_eq!(conditions[0]["lastTransitionTime"], "1");
        set_condition(&mut conditions, "4", "A", ("False", "y", "m"));
        assert_eq!(conditions[0]["lastTransitionTime"], "4");
    }
}
