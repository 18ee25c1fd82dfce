//! Quantities, and what pods ask of nodes.

use serde_json::Value;

use crate::sandbox::kind::{items, text};

/// Cpu and memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// Thousandths of a cpu.
    pub cpu: i64,
    /// Bytes.
    pub memory: i64,
}

impl Amount {
    /// Of a list of resources, e.g. `requests` or `allocatable`.
    pub fn of(resources: Option<&Value>) -> Self {
        let field = |name: &str| resources.and_then(|r| r.get(name)).map_or(0, millis);
        Self {
            cpu: field("cpu"),
            memory: field("memory") / 1000,
        }
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            cpu: self.cpu + other.cpu,
            memory: self.memory + other.memory,
        }
    }

    /// The larger of both, each by itself.
    #[must_use]
    pub fn or_more(self, other: Self) -> Self {
        Self {
            cpu: self.cpu.max(other.cpu),
            memory: self.memory.max(other.memory),
        }
    }
}

/// A quantity in thousandths; zero if it is none.
pub fn millis(quantity: &Value) -> i64 {
    let owned;
    let text = match quantity {
        Value::String(text) => text.as_str(),
        Value::Number(number) => {
            owned = number.to_string();
            &owned
        }
        _ => return 0,
    };
    let end = text
        .find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '+' | '-')))
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let number: f64 = number.parse().unwrap_or_default();
    let factor = match suffix {
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "" => 1.0,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "Ki" => 1024.0,
        "Mi" => 1_048_576.0,
        "Gi" => 1_073_741_824.0,
        "Ti" => 1_099_511_627_776.0,
        "Pi" => 1_125_899_906_842_624.0,
        exponent => exponent
            .strip_prefix(['e', 'E'])
            .and_then(|e| e.parse::<i32>().ok())
            .map_or(0.0, |e| 10_f64.powi(e)),
    };
    round(number * factor * 1000.0)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a float that is too large becomes the largest whole number"
)]
fn round(number: f64) -> i64 {
    number.ceil() as i64
}

/// What a pod asks of its node: all containers together, or the largest step
/// of its initialisation; init containers that stay count in both.
pub fn requests(pod: &Value) -> Amount {
    let of = |container: &Value| Amount::of(container.pointer("/resources/requests"));
    let mut staying = Amount::default();
    let mut most = Amount::default();
    for container in items(pod, "/spec/initContainers") {
        if text(container, "/restartPolicy") == "Always" {
            staying = staying.plus(of(container));
            most = most.or_more(staying);
        } else {
            most = most.or_more(staying.plus(of(container)));
        }
    }
    let running = items(pod, "/spec/containers")
        .iter()
        .fold(staying, |sum, container| sum.plus(of(container)));
    most.or_more(running)
        .plus(Amount::of(pod.pointer("/spec/overhead")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn quantities_are_read_with_their_suffixes() {
        for (quantity, expected) in [
            (json!("100m"), 100),
            (json!("2"), 2000),
            (json!(2), 2000),
            (json!("1.5"), 1500),
            (json!("1Ki"), 1_024_000),
            (json!("2e3"), 2_000_000),
            (json!("nonsense"), 0),
        ] {
            assert_eq!(millis(&quantity), expected, "{quantity}");
        }
    }

    #[test]
    fn a_pod_asks_for_its_largest_moment() {
        let container = |cpu: &str| json!({"resources": {"requests": {"cpu": cpu}}});
        let mut sidecar = container("50m");
        sidecar["restartPolicy"] = json!("Always");
        let pod = json!({"spec": {
            "initContainers": [sidecar, container("400m")],
            "containers": [container("100m"), container("200m")],
        }});
        assert_eq!(requests(&pod).cpu, 450);
    }
}
