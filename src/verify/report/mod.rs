//! What a run found, in forms for people and programs.

mod html;
mod junit;
mod markdown;
mod topology;

use std::time::Duration;

use serde::Serialize;

pub use self::topology::{Node, Topology};
use super::check::{Outcome, Status, Suite};
use super::flow::{Deed, Flow};
use super::suites::slo::percentile;
use super::world::{Timed, World};

/// Everything that a run found.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    schema: &'static str,
    /// Name of the deployment.
    pub deployment: String,
    /// The worst of all checks; a run with warnings has passed.
    pub verdict: Status,
    /// When it began, in UTC, to the second.
    pub began: String,
    /// How long it took, in milliseconds.
    pub took_ms: f64,
    /// How many checks ended in which way.
    pub counts: Counts,
    /// The checks.
    pub checks: Vec<Outcome>,
    /// The task's way, if one was made.
    pub waterfall: Vec<Leg>,
    /// How long the public address took for each request, in milliseconds.
    pub latencies: Vec<Timed>,
    /// The deployment as found.
    pub topology: Topology,
}

/// How many checks ended in which way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// As it should be.
    pub pass: usize,
    /// It works, but.
    pub warn: usize,
    /// It does not work.
    pub fail: usize,
    /// There was nothing to check.
    pub skip: usize,
}

/// The way of one change of the task, in milliseconds from the beginning.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Leg {
    /// What was done.
    pub deed: &'static str,
    /// Id of its trace.
    pub trace: String,
    /// When the request was sent.
    pub sent: f64,
    /// When it was answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answered: Option<f64>,
    /// When the app's state showed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shown: Option<f64>,
    /// When its event was read from Kafka.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_kafka: Option<f64>,
    /// When the subscriber was past it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivered: Option<f64>,
    /// Where its event is: topic, partition and offset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
}

impl Report {
    pub(super) fn new(world: &World, checks: Vec<Outcome>, took: Duration) -> Self {
        let mut counts = Counts::default();
        for outcome in &checks {
            *match outcome.status {
                Status::Pass => &mut counts.pass,
                Status::Warn => &mut counts.warn,
                Status::Fail => &mut counts.fail,
                Status::Skip => &mut counts.skip,
            } += 1;
        }
        let verdict = match counts {
            Counts { fail: 1.., .. } => Status::Fail,
            Counts { warn: 1.., .. } => Status::Warn,
            Counts { pass: 1.., .. } => Status::Pass,
            _ => Status::Skip,
        };
        Self {
            schema: "todoctl/verify/v1",
            deployment: world.scope.profile.deployment.to_string(),
            verdict,
            began: format!("{:.0}", world.scope.now),
            took_ms: took.as_secs_f64() * 1e3,
            counts,
            checks,
            waterfall: world.flow_if_any().map(legs).unwrap_or_default(),
            latencies: world.answers(),
            topology: Topology::of(world),
        }
    }

    /// Whether nothing failed.
    pub fn is_good(&self) -> bool {
        self.verdict != Status::Fail
    }

    /// The checks of a suite.
    pub fn suite(&self, suite: Suite) -> impl Iterator<Item = &Outcome> {
        self.checks
            .iter()
            .filter(move |outcome| outcome.suite == suite)
    }

    /// In one line: how many checks, and how they ended.
    pub fn headline(&self) -> String {
        let Counts {
            pass,
            warn,
            fail,
            skip,
        } = self.counts;
        let mut parts = vec![format!("{pass} passed")];
        for (count, word) in [(warn, "warned"), (fail, "failed"), (skip, "skipped")] {
            if count > 0 {
                parts.push(format!("{count} {word}"));
            }
        }
        format!(
            "{} checks in {:.1} s: {}",
            self.checks.len(),
            self.took_ms / 1e3,
            parts.join(", ")
        )
    }

    /// A percentile of the public address's answers, in milliseconds.
    pub fn latency(&self, part: f64) -> Option<f64> {
        let mut all: Vec<f64> = self.latencies.iter().map(|timed| timed.ms).collect();
        all.sort_by(f64::total_cmp);
        percentile(&all, part)
    }

    /// The report as Markdown.
    pub fn markdown(&self) -> String {
        markdown::render(self)
    }

    /// The report as `JUnit` XML: a test suite for each suite.
    pub fn junit(&self) -> String {
        junit::render(self)
    }

    /// The report as one self-contained page.
    pub fn html(&self) -> String {
        html::render(self)
    }
}

fn legs(flow: &Flow) -> Vec<Leg> {
    let millis = |at: Duration| at.as_secs_f64() * 1e3;
    let leg = |deed: Deed| {
        let step = flow.step(deed)?;
        // Of several topics the one with a subscriber shows the whole way.
        let all = flow.events(deed);
        let found = all.min_by_key(|found| (found.delivered.is_none(), found.at));
        let answer = step.answer.as_ref().ok();
        Some(Leg {
            deed: deed.name(),
            trace: step.trace.clone(),
            sent: millis(step.began),
            answered: answer.map(|answer| millis(step.began + answer.took)),
            shown: step
                .shown
                .as_ref()
                .and_then(|shown| shown.as_ref().ok())
                .map(|at| millis(*at)),
            in_kafka: found.map(|found| millis(found.at)),
            delivered: found.and_then(|found| found.delivered).map(millis),
            place: found.map(|f| format!("{}/{} offset {}", f.topic, f.partition, f.offset)),
        })
    };
    Deed::ALL.into_iter().filter_map(leg).collect()
}
