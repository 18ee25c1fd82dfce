//! The fault plan: what goes wrong, for which requests, how often.
//!
//! A fault is a row of the store, so it outlives a restart of the sandbox.
//! Transport faults (status, delay, drop, lost reply, away) are served by the
//! HTTP server for every system alike; the others are asked for by the system
//! that knows what they mean, through [`Faults::take`].

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::kafka;
use super::store::{Store, Transaction};

const TABLE: &str = "sandbox/faults";

/// One line of the fault plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fault {
    /// Assigned on adding, in order.
    #[serde(default)]
    pub id: u64,
    /// The system that misbehaves: `oci`, `kube`, …; `*` is any of them.
    pub system: String,
    /// What happens: see [`Faults::KINDS`].
    pub kind: String,
    /// The kind's argument: a status, a duration, a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arg: Option<String>,
    /// Only requests with this method; any when absent. `WRITE` stands for
    /// every request that may change something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Only requests whose path matches this glob (`*` matches anything).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// From the n-th match on, counted from 1.
    #[serde(default = "one")]
    pub nth: u64,
    /// How many matches it hits; none: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
    /// How many requests matched so far.
    #[serde(default)]
    pub seen: u64,
    /// When it was added, in milliseconds of the world's age.
    #[serde(default)]
    pub since_ms: u64,
}

fn one() -> u64 {
    1
}

/// What the plan says to a request.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// Nothing: go on.
    Pass,
    /// Wait, then go on.
    Delay(Duration),
    /// Wait, then do the other thing.
    DelayThen(Duration, Box<Self>),
    /// Answer with this status without doing anything.
    Status(StatusCode),
    /// Close the connection without doing anything.
    Drop,
    /// Do it, then close the connection instead of answering.
    LoseReply,
    /// Keep it waiting, undone, until the fault with this number is cleared;
    /// then do it. It never happens when the client goes away before.
    Hold(u64),
    /// Do it, and keep the answer until the fault with this number is cleared.
    HoldReply(u64),
}

impl Verdict {
    /// The name for the request log; none when nothing happened.
    pub fn name(&self) -> Option<&'static str> {
        match self {
            Self::Pass => None,
            Self::Delay(_) | Self::DelayThen(..) => Some("delay"),
            Self::Status(_) => Some("status"),
            Self::Drop => Some("drop"),
            Self::LoseReply => Some("lose-reply"),
            Self::Hold(_) => Some("hold"),
            Self::HoldReply(_) => Some("hold-reply"),
        }
    }
}

/// The plan, kept in the store.
#[derive(Debug)]
pub struct Faults {
    store: Arc<Store>,
}

impl Faults {
    /// The kinds that every system knows, and their argument.
    pub const KINDS: [(&'static str, &'static str); 7] = [
        ("status", "the HTTP status to answer with, e.g. 429"),
        ("delay", "how long a request waits, e.g. 2s"),
        ("drop", "close the connection before doing anything"),
        ("lose-reply", "do it, but never answer"),
        ("hold", "wait until the faults are cleared before doing it"),
        (
            "hold-reply",
            "do it, but answer when the faults are cleared",
        ),
        ("away", "the whole system is gone, for a time, e.g. 20s"),
    ];

    /// Reads the plan of a store.
    pub fn new(store: Arc<Store>) -> Self {
        Self { store }
    }

    /// All faults, in the order in which they were added.
    pub fn list(&self) -> Vec<Fault> {
        let rows = self.store.list(TABLE, "").0;
        rows.iter()
            .filter_map(|(_, row)| Fault::deserialize(&*row.value).ok())
            .collect()
    }

    /// Whether the plan is empty, which is what it mostly is.
    pub fn is_empty(&self) -> bool {
        self.store.first(TABLE).is_none()
    }

    /// Adds a fault and returns its id.
    pub fn add(&self, mut fault: Fault) -> u64 {
        let done: Result<u64, std::convert::Infallible> = self.store.write(|tx| {
            fault.id = tx.next_revision();
            tx.put(TABLE, &key(fault.id), serde_json::json!(fault));
            Ok(fault.id)
        });
        done.unwrap_or_else(|never| match never {})
    }

    /// Removes every fault; says how many there were.
    pub fn clear(&self) -> usize {
        let faults = self.list();
        for fault in &faults {
            self.store.delete(TABLE, &key(fault.id));
        }
        faults.len()
    }

    /// Waits until a fault is no longer in the plan.
    pub async fn cleared(&self, id: u64) {
        let mut changes = self.store.subscribe();
        while self.store.get(TABLE, &key(id)).is_some() {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// What happens to this request. Counts it against every fault it matches.
    /// `age_ms` is the world's age.
    pub fn judge(&self, system: &str, method: &str, path: &str, age_ms: u64) -> Verdict {
        let mut verdict = Verdict::Pass;
        for fault in self.list() {
            if fault.is_over(age_ms) {
                continue;
            }
            let transport = Self::KINDS.iter().any(|(kind, _)| *kind == fault.kind);
            if transport && fault.matches(system, method, path) && self.hit(&fault) {
                verdict = match (fault.verdict(), verdict) {
                    (Verdict::Delay(d), Verdict::Pass) => Verdict::Delay(d),
                    (Verdict::Delay(d), other) => Verdict::DelayThen(d, Box::new(other)),
                    (new, Verdict::Delay(d)) => Verdict::DelayThen(d, Box::new(new)),
                    (new, Verdict::Pass) => new,
                    (_, first) => first,
                };
            }
        }
        verdict
    }

    /// Whether a fault of this kind hits the subject now (a system's own kinds,
    /// such as `out-of-capacity`); its argument if it does.
    pub fn take(&self, system: &str, kind: &str, subject: &str) -> Option<Option<String>> {
        self.list()
            .into_iter()
            .filter(|f| f.kind == kind && f.matches(system, "", subject))
            .find(|f| self.hit(f))
            .map(|f| f.arg)
    }

    /// For how long a system is still away as a whole; none when it is there.
    /// `age_ms` is the world's age.
    pub fn away(&self, system: &str, age_ms: u64) -> Option<Duration> {
        self.list()
            .iter()
            .filter(|f| f.kind == "away" && f.matches(system, "", ""))
            .filter_map(|f| f.left(age_ms))
            .max()
    }

    /// As [`Self::take`], for a request with this method and path.
    pub fn take_request(
        &self,
        system: &str,
        kind: &str,
        method: &str,
        path: &str,
    ) -> Option<Option<String>> {
        self.list()
            .into_iter()
            .filter(|f| f.kind == kind && f.matches(system, method, path))
            .find(|f| self.hit(f))
            .map(|f| f.arg)
    }

    /// As [`Self::take`], inside a transaction: the count stays only if the
    /// transaction does. `wanted` looks at the argument before it counts.
    pub fn take_in(
        tx: &mut Transaction<'_>,
        system: &str,
        kind: &str,
        subject: &str,
        wanted: impl Fn(Option<&str>) -> bool,
    ) -> Option<Option<String>> {
        Self::list_in(tx)
            .into_iter()
            .filter(|f| {
                f.kind == kind && f.matches(system, "", subject) && wanted(f.arg.as_deref())
            })
            .find(|f| {
                let (counted, hits) = f.counted();
                tx.put(TABLE, &key(f.id), serde_json::json!(counted));
                hits
            })
            .map(|f| f.arg)
    }

    /// All faults, as a transaction sees them.
    pub fn list_in(tx: &Transaction<'_>) -> Vec<Fault> {
        tx.list(TABLE, "")
            .iter()
            .filter_map(|(_, row)| Fault::deserialize(&*row.value).ok())
            .collect()
    }

    /// Counts a match of a fault that was found to concern an answer; true
    /// when it is one of those that it hits.
    pub(super) fn counts(&self, fault: &Fault) -> bool {
        self.hit(fault)
    }

    /// Counts a match; true when it is one of those that the fault hits.
    fn hit(&self, fault: &Fault) -> bool {
        let (counted, hits) = fault.counted();
        self.store
            .put(TABLE, &key(fault.id), serde_json::json!(counted));
        hits
    }
}

impl Fault {
    /// Whether it is about this system and method, whatever the path.
    pub(super) fn concerns(&self, system: &str, method: &str) -> bool {
        let any = Self {
            path: None,
            ..self.clone()
        };
        any.matches(system, method, "")
    }

    fn matches(&self, system: &str, method: &str, path: &str) -> bool {
        let fits = |wanted: &str| match wanted {
            "*" => true,
            "WRITE" => may_change(method, path),
            _ => wanted.eq_ignore_ascii_case(method),
        };
        (self.system == "*" || self.system == system)
            && (method.is_empty() || self.method.as_deref().is_none_or(fits))
            && self
                .path
                .as_deref()
                .is_none_or(|glob| glob_matches(glob, path))
    }

    /// Whether the time for which the system is away has passed.
    fn is_over(&self, age_ms: u64) -> bool {
        self.kind == "away" && self.left(age_ms).is_none()
    }

    /// For how long it still lasts; without a time, for good.
    fn left(&self, age_ms: u64) -> Option<Duration> {
        let Some(time) = self.arg.as_deref().and_then(parse_duration) else {
            return Some(Duration::MAX);
        };
        let until = Duration::from_millis(self.since_ms) + time;
        let left = until.saturating_sub(Duration::from_millis(age_ms));
        Some(left).filter(|left| !left.is_zero())
    }

    /// Whether it will never hit again.
    pub fn is_spent(&self) -> bool {
        self.times
            .is_some_and(|times| self.seen + 1 >= self.nth + times)
    }

    /// The fault after one more match, and whether it hits that one.
    fn counted(&self) -> (Self, bool) {
        let seen = self.seen + 1;
        let past = seen >= self.nth;
        let hits = past && self.times.is_none_or(|times| seen < self.nth + times);
        let counted = Self {
            seen,
            ..self.clone()
        };
        (counted, hits)
    }

    fn verdict(&self) -> Verdict {
        let arg = self.arg.as_deref().unwrap_or_default();
        match self.kind.as_str() {
            "status" => {
                let status = arg
                    .parse()
                    .ok()
                    .and_then(|code| StatusCode::from_u16(code).ok());
                Verdict::Status(status.unwrap_or(StatusCode::SERVICE_UNAVAILABLE))
            }
            "delay" => Verdict::Delay(parse_duration(arg).unwrap_or(Duration::from_secs(1))),
            "lose-reply" => Verdict::LoseReply,
            "hold" => Verdict::Hold(self.id),
            "hold-reply" => Verdict::HoldReply(self.id),
            _ => Verdict::Drop,
        }
    }
}

/// Requests with a body that only ask.
const QUESTIONS: [&str; 6] = [
    "*/kubeconfig/content",
    "*/computeCapacityReports",
    "*/publicIps/actions/getByIpAddress",
    "/20180409/resources",
    "/apis/authorization.k8s.io/*reviews",
    "/apis/authentication.k8s.io/*reviews",
];

/// Whether a request may change something.
pub fn may_change(method: &str, path: &str) -> bool {
    let asks = || QUESTIONS.iter().any(|glob| glob_matches(glob, path));
    match method {
        "GET" | "HEAD" | "OPTIONS" => false,
        _ if kafka::only_asks(method) => false,
        "POST" => !asks(),
        _ => true,
    }
}

fn key(id: u64) -> String {
    format!("{id:012}")
}

/// Reads `250ms`, `20s`, `3m`, `1h` or a plain number of seconds.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let seconds = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()
}

/// Whether a glob matches all of a text; `*` matches any run of characters.
pub fn glob_matches(glob: &str, text: &str) -> bool {
    let mut parts = glob.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<_> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn plan() -> (tempfile::TempDir, Faults) {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(dir.path()).unwrap());
        (dir, Faults::new(store))
    }

    fn fault(kind: &str, arg: Option<&str>, nth: u64, times: Option<u64>) -> Fault {
        Fault {
            id: 0,
            system: "oci".into(),
            kind: kind.into(),
            arg: arg.map(Into::into),
            method: Some("POST".into()),
            path: Some("/20160918/*".into()),
            nth,
            times,
            seen: 0,
            since_ms: 0,
        }
    }

    #[test]
    fn a_fault_hits_from_the_nth_match_for_so_many_times() {
        let (_dir, plan) = plan();
        plan.add(fault("status", Some("429"), 2, Some(2)));
        let codes: Vec<_> = (0..5)
            .map(|_| match plan.judge("oci", "POST", "/20160918/vcns", 0) {
                Verdict::Status(code) => code.as_u16(),
                _ => 0,
            })
            .collect();
        assert_eq!(codes, [0, 429, 429, 0, 0]);
        assert!(matches!(
            plan.judge("oci", "GET", "/20160918/vcns", 0),
            Verdict::Pass
        ));
        assert!(matches!(
            plan.judge("kube", "POST", "/20160918/vcns", 0),
            Verdict::Pass
        ));
    }

    #[test]
    fn write_means_what_may_change_something_on_any_system() {
        let (_dir, plan) = plan();
        plan.add(Fault {
            system: "*".into(),
            method: Some("WRITE".into()),
            path: None,
            ..fault("hold", None, 1, None)
        });
        for (system, method, path, held) in [
            ("oci", "GET", "/20160918/vcns", false),
            ("oci", "POST", "/20160918/vcns", true),
            ("oci", "DELETE", "/20180222/clusters/x", true),
            (
                "oci",
                "POST",
                "/20180222/clusters/x/kubeconfig/content",
                false,
            ),
            ("kube", "PATCH", "/api/v1/namespaces/todo", true),
            (
                "kube",
                "POST",
                "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
                false,
            ),
        ] {
            let verdict = plan.judge(system, method, path, 0);
            assert_eq!(
                matches!(verdict, Verdict::Hold(_)),
                held,
                "{method} {path}: {verdict:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_held_request_goes_on_when_the_faults_are_cleared() {
        let (_dir, plan) = plan();
        let id = plan.add(fault("hold", None, 1, None));
        let (mut waiting, clear) = (Box::pin(plan.cleared(id)), || plan.clear());
        assert!((&mut waiting).now_or_never().is_none());
        clear();
        waiting.await;
    }

    #[test]
    fn a_system_that_is_away_comes_back() {
        let (_dir, plan) = plan();
        let mut away = fault("away", Some("20s"), 1, None);
        (away.since_ms, away.method, away.path) = (1000, None, None);
        plan.add(away);
        let judge = |age| plan.judge("oci", "GET", "/", age);
        assert!(matches!(judge(20_999), Verdict::Drop));
        assert!(matches!(judge(21_000), Verdict::Pass));
    }

    #[test]
    fn globs_match_whole_paths() {
        for (glob, text, want) in [
            ("/a/*", "/a/b/c", true),
            ("/a/*/c", "/a/b/c", true),
            ("/a", "/a/b", false),
            ("*", "", true),
            ("*vcns", "/2016/vcns", true),
            ("a*a", "a", false),
        ] {
            assert_eq!(glob_matches(glob, text), want, "{glob} {text}");
        }
    }

    #[test]
    fn durations_parse() {
        assert_eq!(parse_duration("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(parse_duration("3m"), Some(Duration::from_mins(3)));
        assert_eq!(parse_duration("5 parsecs"), None);
    }
}
