//! Many runs one after the other: how often each check was not well, and how
//! the times are spread.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::check::Status;
use super::report::Report;
use super::suites::slo::percentile;
use crate::clock::human;

/// How often each check was not well, by its code.
type Times = BTreeMap<&'static str, u32>;

/// Many runs together.
#[derive(Default)]
pub struct Soak {
    /// How often it was proved.
    pub runs: u32,
    failed: u32,
    answers: Vec<f64>,
    events: Vec<f64>,
    /// The first report that was not good.
    pub worst: Option<Report>,
    causes: Times,
    warnings: Times,
}

/// What many runs came to: the document `todoctl/soak/v1`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SoakSummary {
    schema: &'static str,
    runs: u32,
    failed: u32,
    took_ms: f64,
    answers: Spread,
    events: Spread,
    causes: Times,
    warnings: Times,
}

/// How measured times are spread, in milliseconds.
#[derive(Serialize)]
struct Spread {
    count: usize,
    p50: Option<f64>,
    p95: Option<f64>,
    p99: Option<f64>,
    max: Option<f64>,
}

impl Spread {
    fn of(times: &[f64]) -> Self {
        let mut sorted = times.to_vec();
        sorted.sort_by(f64::total_cmp);
        Self {
            count: sorted.len(),
            p50: percentile(&sorted, 0.5),
            p95: percentile(&sorted, 0.95),
            p99: percentile(&sorted, 0.99),
            max: sorted.last().copied(),
        }
    }

    fn text(&self) -> String {
        let ms = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1}"));
        format!(
            "{:>7} {:>9} {:>9} {:>9} {:>9}",
            self.count,
            ms(self.p50),
            ms(self.p95),
            ms(self.p99),
            ms(self.max)
        )
    }
}

impl Soak {
    /// Takes one more report in.
    pub fn add(&mut self, report: &Report) {
        self.runs += 1;
        self.answers
            .extend(report.latencies.iter().map(|timed| timed.ms));
        let events = report
            .waterfall
            .iter()
            .filter_map(|leg| Some(leg.in_kafka? - leg.sent));
        self.events.extend(events);
        for outcome in &report.checks {
            let times = match outcome.status {
                Status::Fail => &mut self.causes,
                Status::Warn => &mut self.warnings,
                Status::Pass | Status::Skip => continue,
            };
            *times.entry(outcome.code).or_default() += 1;
        }
        if !report.is_good() {
            self.failed += 1;
            self.worst.get_or_insert_with(|| report.clone());
        }
    }

    /// What it came to in the time that it took.
    pub fn summary(&self, took: Duration) -> SoakSummary {
        SoakSummary {
            schema: "todoctl/soak/v1",
            runs: self.runs,
            failed: self.failed,
            took_ms: took.as_secs_f64() * 1e3,
            answers: Spread::of(&self.answers),
            events: Spread::of(&self.events),
            causes: self.causes.clone(),
            warnings: self.warnings.clone(),
        }
    }
}

impl SoakSummary {
    /// For people.
    pub fn text(&self) -> String {
        let took = human(Duration::from_secs_f64(self.took_ms / 1e3));
        let mut text = format!("{} runs in {took}, {} failed\n\n", self.runs, self.failed);
        let _ = writeln!(
            text,
            "  {:<20} {:>7} {:>9} {:>9} {:>9} {:>9}",
            "milliseconds", "count", "p50", "p95", "p99", "max"
        );
        let _ = writeln!(
            text,
            "  {:<20} {}",
            "answers of the app",
            self.answers.text()
        );
        let _ = writeln!(text, "  {:<20} {}", "events in Kafka", self.events.text());
        for (code, times) in &self.causes {
            let _ = writeln!(text, "  failed {times} times: {code}");
        }
        for (code, times) in &self.warnings {
            let _ = writeln!(text, "  warned {times} times: {code}");
        }
        text
    }
}
