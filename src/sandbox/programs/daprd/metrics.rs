//! The sidecar's metrics in Prometheus' text format, by Dapr's names.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::super::Process;
use super::options::Options;

/// Upper bounds of the histograms, in milliseconds.
const BUCKETS: [f64; 33] = [
    1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 13.0, 16.0, 20.0, 25.0, 30.0, 40.0, 50.0, 65.0, 80.0,
    100.0, 130.0, 160.0, 200.0, 250.0, 300.0, 400.0, 500.0, 650.0, 800.0, 1000.0, 2000.0, 5000.0,
    10000.0, 20000.0, 50000.0,
];

#[derive(Debug, Clone)]
struct Histogram {
    counts: [u64; BUCKETS.len()],
    sum: f64,
    count: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: [0; BUCKETS.len()],
            sum: 0.0,
            count: 0,
        }
    }
}

#[derive(Debug, Default)]
struct Series {
    counters: BTreeMap<(&'static str, String), u64>,
    histograms: BTreeMap<(&'static str, String), Histogram>,
}

/// What the sidecar counts.
#[derive(Debug)]
pub(super) struct Metrics {
    app: String,
    namespace: String,
    series: Mutex<Series>,
}

/// Labels in the order of their names.
fn labels(pairs: &[(&str, &str)]) -> String {
    let mut pairs = pairs.to_vec();
    pairs.sort_unstable();
    let escaped = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"");
    let each = pairs
        .iter()
        .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)));
    each.collect::<Vec<_>>().join(",")
}

fn millis(took: Duration) -> f64 {
    took.as_secs_f64() * 1000.0
}

impl Metrics {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            app: options.app_id.clone(),
            namespace: options.namespace.clone(),
            series: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Series> {
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, name: &'static str, pairs: &[(&str, &str)]) {
        *self
            .lock()
            .counters
            .entry((name, labels(pairs)))
            .or_default() += 1;
    }

    fn observe(&self, name: &'static str, pairs: &[(&str, &str)], took: Duration) {
        let mut series = self.lock();
        let histogram = series.histograms.entry((name, labels(pairs))).or_default();
        let value = millis(took);
        for (count, bound) in histogram.counts.iter_mut().zip(BUCKETS) {
            *count += u64::from(value <= bound);
        }
        histogram.sum += value;
        histogram.count += 1;
    }

    pub(super) fn component_loaded(&self, kind: &str) {
        self.count("dapr_runtime_component_loaded", &[("app_id", &self.app)]);
        let pairs = [("app_id", self.app.as_str()), ("component", kind)];
        self.count("dapr_runtime_component_init_total", &pairs);
    }

    pub(super) fn component_failed(&self, title: &str, reason: &str) {
        let pairs = [
            ("app_id", self.app.as_str()),
            ("componentName", title),
            ("reason", reason),
        ];
        self.count("dapr_runtime_component_init_fail_total", &pairs);
    }

    pub(super) fn published(&self, component: &str, topic: &str, ok: bool, took: Duration) {
        let pairs = [
            ("app_id", self.app.as_str()),
            ("component", component),
            ("namespace", &self.namespace),
            ("success", if ok { "true" } else { "false" }),
            ("topic", topic),
        ];
        self.count("dapr_component_pubsub_egress_count", &pairs);
        self.observe("dapr_component_pubsub_egress_latencies", &pairs, took);
    }

    pub(super) fn delivered(&self, component: &str, topic: &str, status: &str, took: Duration) {
        let pairs = [
            ("app_id", self.app.as_str()),
            ("component", component),
            ("namespace", &self.namespace),
            ("process_status", status),
            (
                "status",
                if status == "success" {
                    "success"
                } else {
                    "failure"
                },
            ),
            ("topic", topic),
        ];
        self.count("dapr_component_pubsub_ingress_count", &pairs);
        self.observe("dapr_component_pubsub_ingress_latencies", &pairs, took);
    }

    pub(super) fn state(&self, component: &str, operation: &str, ok: bool, took: Duration) {
        self.building_block("state", component, operation, ok, took);
    }

    pub(super) fn secret(&self, component: &str, operation: &str, ok: bool, took: Duration) {
        self.building_block("secret", component, operation, ok, took);
    }

    fn building_block(
        &self,
        block: &str,
        component: &str,
        operation: &str,
        ok: bool,
        took: Duration,
    ) {
        let pairs = [
            ("app_id", self.app.as_str()),
            ("component", component),
            ("namespace", &self.namespace),
            ("operation", operation),
            ("success", if ok { "true" } else { "false" }),
        ];
        let (count, latencies) = match block {
            "state" => (
                "dapr_component_state_count",
                "dapr_component_state_latencies",
            ),
            _ => (
                "dapr_component_secret_count",
                "dapr_component_secret_latencies",
            ),
        };
        self.count(count, &pairs);
        self.observe(latencies, &pairs, took);
    }

    pub(super) fn job(&self, ok: bool, took: Duration) {
        let pairs = [
            ("app_id", self.app.as_str()),
            ("namespace", &self.namespace),
            ("operation", "job_trigger_op"),
        ];
        let name = match ok {
            true => "dapr_component_job_success_count",
            false => "dapr_component_job_failure_count",
        };
        self.count(name, &pairs);
        self.observe("dapr_component_job_latencies", &pairs, took);
    }

    pub(super) fn api_called(&self, status: u16, took: Duration) {
        let status = status.to_string();
        let pairs = [("app_id", self.app.as_str()), ("status", &status)];
        self.count("dapr_http_server_request_count", &pairs);
        self.count("dapr_http_server_response_count", &pairs);
        self.observe("dapr_http_server_latency", &pairs, took);
    }

    pub(super) fn app_called(&self, status: u16, took: Duration) {
        let status = status.to_string();
        let pairs = [("app_id", self.app.as_str()), ("status", &status)];
        self.count("dapr_http_client_completed_count", &pairs);
        self.observe("dapr_http_client_roundtrip_latency", &pairs, took);
    }

    pub(super) fn policy_activated(&self, name: &str, target: &str, flow: &str) {
        let pairs = [
            ("app_id", self.app.as_str()),
            ("flow_direction", flow),
            ("name", name),
            ("namespace", &self.namespace),
            ("policy", "retry"),
            ("target", target),
        ];
        self.count("dapr_resiliency_activations_total", &pairs);
    }

    /// All of it, with what every Go process tells about itself.
    pub(super) fn text(&self, process: &Process) -> String {
        let series = self.lock();
        let mut text = String::new();
        let mut before = "";
        for ((name, labels), value) in &series.counters {
            if *name != before {
                let _ = writeln!(text, "# TYPE {name} counter");
                before = name;
            }
            let _ = writeln!(text, "{name}{{{labels}}} {value}");
        }
        for ((name, labels), histogram) in &series.histograms {
            if *name != before {
                let _ = writeln!(text, "# TYPE {name} histogram");
                before = name;
            }
            for (bound, count) in BUCKETS.iter().zip(&histogram.counts) {
                let _ = writeln!(text, "{name}_bucket{{{labels},le=\"{bound}\"}} {count}");
            }
            let _ = writeln!(
                text,
                "{name}_bucket{{{labels},le=\"+Inf\"}} {}",
                histogram.count
            );
            let _ = writeln!(text, "{name}_sum{{{labels}}} {}", histogram.sum);
            let _ = writeln!(text, "{name}_count{{{labels}}} {}", histogram.count);
        }
        drop(series);
        // Drawn from the seed: an idle sidecar's memory varies like this.
        let memory = 62_000_000 + process.world.draw(&process.pod) % 18_000_000;
        let seconds = process.world.age().as_secs_f64();
        let _ = writeln!(text, "# TYPE go_goroutines gauge\ngo_goroutines 181");
        let _ = writeln!(text, "go_memstats_heap_inuse_bytes {}", memory / 2);
        let _ = writeln!(text, "process_cpu_seconds_total {:.2}", seconds * 0.002);
        let _ = writeln!(text, "process_resident_memory_bytes {memory}");
        text
    }
}
