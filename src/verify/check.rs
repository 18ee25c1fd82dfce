//! What a check is, and what comes of it.

use std::fmt;
use std::str::FromStr;

use futures::future::BoxFuture;
use serde::Serialize;

use super::scope::Scope;
use super::world::World;

/// A named group of checks: the first half of their codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Suite {
    /// Nodes, versions, workloads, free allowance.
    Cluster,
    /// Dapr's control plane and the sidecars.
    Dapr,
    /// Dapr's resources, and whether the sidecars have loaded them.
    Components,
    /// The app's secrets and the secrets API.
    Secrets,
    /// The state API.
    State,
    /// The jobs API.
    Jobs,
    /// The way in from the internet.
    Ingress,
    /// Tasks, their events in Kafka, and what came of them.
    Events,
    /// The targets, measured.
    Slo,
    /// What the profile says that the app can do.
    Regressions,
}

impl Suite {
    /// All of them, in the order of reports.
    pub const ALL: [Self; 10] = [
        Self::Cluster,
        Self::Dapr,
        Self::Components,
        Self::Secrets,
        Self::State,
        Self::Jobs,
        Self::Ingress,
        Self::Events,
        Self::Slo,
        Self::Regressions,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Dapr => "dapr",
            Self::Components => "components",
            Self::Secrets => "secrets",
            Self::State => "state",
            Self::Jobs => "jobs",
            Self::Ingress => "ingress",
            Self::Events => "events",
            Self::Slo => "slo",
            Self::Regressions => "regressions",
        }
    }

    /// What its checks are about.
    pub fn about(self) -> &'static str {
        match self {
            Self::Cluster => "nodes, versions, workloads, free allowance",
            Self::Dapr => "control plane and sidecars",
            Self::Components => "Dapr's resources, and whether sidecars have loaded them",
            Self::Secrets => "the app's secrets and the secrets API",
            Self::State => "the state API",
            Self::Jobs => "the jobs API",
            Self::Ingress => "the way in from the internet",
            Self::Events => "tasks, their events in Kafka, and what came of them",
            Self::Slo => "the targets, measured",
            Self::Regressions => "what the profile says that the app can do",
        }
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Suite {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|suite| suite.name() == text);
        found.ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|suite| suite.name()).collect();
            format!("there is no suite `{text}`; there are {}", names.join(", "))
        })
    }
}

/// How a check ended; of several the last in this order counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// There is nothing to check, for a reason that is given.
    Skip,
    /// As it should be.
    Pass,
    /// It works, and will not for long, or not well.
    Warn,
    /// It does not work.
    Fail,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pass => "pass",
            Self::Skip => "skip",
            Self::Warn => "warn",
            Self::Fail => "fail",
        })
    }
}

/// What was asked, and what answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Evidence {
    /// The question: a request, an object, a measurement.
    pub asked: String,
    /// The answer, shortened.
    pub answered: String,
}

/// Longer answers are cut in evidence.
const ANSWER: usize = 400;

/// What a check finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// How it ended.
    pub status: Status,
    /// In one line.
    pub summary: String,
    /// What that rests on.
    pub evidence: Vec<Evidence>,
    /// A better command than the check's own to mend it.
    pub mend: Option<String>,
}

impl Verdict {
    fn new(status: Status, summary: impl Into<String>) -> Self {
        Self {
            status,
            summary: summary.into(),
            evidence: Vec::new(),
            mend: None,
        }
    }

    /// As it should be.
    pub fn pass(summary: impl Into<String>) -> Self {
        Self::new(Status::Pass, summary)
    }

    /// It works, but.
    pub fn warn(summary: impl Into<String>) -> Self {
        Self::new(Status::Warn, summary)
    }

    /// It does not work.
    pub fn fail(summary: impl Into<String>) -> Self {
        Self::new(Status::Fail, summary)
    }

    /// There is nothing to check.
    pub fn skip(reason: impl Into<String>) -> Self {
        Self::new(Status::Skip, reason)
    }

    /// The same, resting on this as well.
    #[must_use]
    pub fn saw(mut self, asked: impl Into<String>, answered: impl AsRef<str>) -> Self {
        let answered = answered.as_ref().trim();
        let mut cut: String = answered.chars().take(ANSWER).collect();
        if cut.len() < answered.len() {
            cut.push('…');
        }
        self.evidence.push(Evidence {
            asked: asked.into(),
            answered: cut,
        });
        self
    }

    /// The same with a better command to mend it.
    #[must_use]
    pub fn mend(mut self, command: impl Into<String>) -> Self {
        self.mend = Some(command.into());
        self
    }

    /// The worst of several, with all their summaries and evidence; a pass
    /// with `good` when there is nothing to say.
    pub fn worst(all: Vec<Self>, good: impl Into<String>) -> Self {
        let status = all.iter().map(|v| v.status).max().unwrap_or(Status::Pass);
        if status == Status::Pass {
            let evidence = all.into_iter().flat_map(|v| v.evidence).collect();
            return Self {
                evidence,
                ..Self::pass(good)
            };
        }
        let worst = all.into_iter().filter(|v| v.status != Status::Pass);
        let mut out = Self::new(status, "");
        for verdict in worst {
            if !out.summary.is_empty() {
                out.summary.push_str("; ");
            }
            out.summary.push_str(&verdict.summary);
            out.evidence.extend(verdict.evidence);
            out.mend = out.mend.or(verdict.mend);
        }
        out
    }
}

/// A verdict that came early: the subject of the check cannot be reached, so
/// there is nothing to go on with.
pub type Found = Result<Verdict, Verdict>;

/// How a check comes to its verdict.
#[derive(Clone, Copy)]
pub enum Probe {
    /// By looking at what was read of the cluster.
    Look(fn(&Scope) -> Found),
    /// By asking something.
    Ask(for<'a> fn(&'a World) -> BoxFuture<'a, Found>),
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Look(_) => "Look",
            Self::Ask(_) => "Ask",
        })
    }
}

/// One check.
#[derive(Debug, Clone, Copy)]
pub struct Check {
    /// Stable code, `suite.name`.
    pub code: &'static str,
    /// The suite that it belongs to.
    pub suite: Suite,
    /// What holds when it passes.
    pub title: &'static str,
    /// What a failure means.
    pub means: &'static str,
    /// The command that mends it, or shows more.
    pub mend: &'static str,
    /// How it is found out.
    pub probe: Probe,
}

/// What came of one check.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// The check's code.
    pub code: &'static str,
    /// Its suite.
    pub suite: Suite,
    /// What holds when it passes.
    pub title: &'static str,
    /// How it ended.
    pub status: Status,
    /// In one line.
    pub summary: String,
    /// What that rests on.
    pub evidence: Vec<Evidence>,
    /// The command that mends it; only for what is not well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
    /// When it began, in milliseconds from the beginning of the run.
    pub began_ms: f64,
    /// How long it took, in milliseconds.
    pub took_ms: f64,
}

impl Outcome {
    pub(super) fn new(check: &Check, verdict: Verdict, began_ms: f64, took_ms: f64) -> Self {
        let well = matches!(verdict.status, Status::Pass | Status::Skip);
        let mend = verdict.mend.unwrap_or_else(|| check.mend.to_owned());
        Self {
            code: check.code,
            suite: check.suite,
            title: check.title,
            status: verdict.status,
            summary: verdict.summary,
            evidence: verdict.evidence,
            mend: (!well).then_some(mend),
            began_ms,
            took_ms,
        }
    }
}
