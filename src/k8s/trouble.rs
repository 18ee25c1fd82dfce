//! What is wrong with a pod, in words, and whether waiting can help.
//!
//! Judging is pure; the last lines of a log and the last event are fetched
//! for the one pod that a user hears about.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams, LogParams};
use serde_json::Value;

use super::object::ObjectRef;
use super::{K8sError, Kube};
use crate::manifest::Manifest;

/// Pulls are repeated for this long before they count as hopeless.
const PULLS_FOR: Duration = Duration::from_secs(30);
/// A missing Secret or volume may come a little later than the pod.
const CONFIG_FOR: Duration = Duration::from_mins(1);
/// A node that joins takes a pod that fits nowhere else.
const UNSCHEDULABLE_FOR: Duration = Duration::from_mins(3);
/// So many restarts are a loop.
const RESTARTS: i64 = 3;
/// From so many on the kubelet lets a container rest for five minutes, the
/// longest.
const RESTS_LONG: i64 = 6;
/// An image that rests is pulled again after five minutes at most, and a pull
/// takes its time.
const PULLS_AFTER_REST: Duration = Duration::from_mins(8);
/// The end of a log that fits a message.
const LOG_LINES: i64 = 3;
const LOG_WIDTH: usize = 160;

/// The kinds of trouble, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    /// It is starting, or its probes do not succeed.
    NotReady,
    /// It runs again after it had ended, and is not ready.
    Restarted,
    /// No node takes it.
    Unscheduled,
    /// Something that it refers to is not there.
    Config,
    /// Its image cannot be had.
    Pull,
    /// It starts and ends.
    Crash,
    /// Its image has no valid name.
    Name,
}

/// A container when nobody had waited for it yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Before {
    /// How often it had been started again.
    pub(super) restarts: i64,
    /// Whether the kubelet let it rest between two tries.
    pub(super) rests: bool,
}

impl Before {
    /// Whether something had failed already.
    pub(super) fn has_failed(&self) -> bool {
        self.rests || self.restarts > 0
    }
}

/// What keeps a pod from being ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) pod: ObjectRef,
    uid: String,
    pub(super) container: Option<String>,
    pub(super) kind: Kind,
    pub(super) restarts: i64,
    /// The container's state with the kubelet's words.
    pub(super) words: String,
}

impl Trouble {
    /// Whose trouble it is: a pod's, and none of another of the same name.
    pub(super) fn subject(&self) -> String {
        subject(&self.uid, self.container.as_deref().unwrap_or_default())
    }

    /// What does not change while the trouble stays the same.
    pub(super) fn key(&self) -> (String, Kind) {
        (self.subject(), self.kind)
    }

    /// How long it may stand until waiting is in vain; none when it may pass
    /// at any time.
    ///
    /// `before` is the container when the wait began. A trouble of then may
    /// have been for want of what is there by now, as when a run died half way:
    /// it counts once the container was tried again, and once more where that
    /// comes soon.
    pub(super) fn patience(&self, before: Option<&Before>) -> Option<Duration> {
        match self.kind {
            Kind::Name => Some(Duration::ZERO),
            Kind::Crash => {
                let enough = match before.map_or(0, |before| before.restarts) {
                    before if before >= RESTS_LONG => before + 1,
                    before => RESTARTS.max(before + 2),
                };
                (self.restarts >= enough).then_some(Duration::ZERO)
            }
            Kind::Pull if before.is_some_and(|b| b.rests) => Some(PULLS_AFTER_REST),
            Kind::Pull => Some(PULLS_FOR),
            Kind::Config => Some(CONFIG_FOR),
            Kind::Unscheduled => Some(UNSCHEDULABLE_FOR),
            Kind::NotReady | Kind::Restarted => None,
        }
    }

    /// The trouble for people, without what has to be fetched.
    pub(super) fn told(&self) -> String {
        match &self.container {
            Some(container) => {
                format!("container {container} of {}: {}", self.pod, self.words)
            }
            None => format!("{}: {}", self.pod, self.words),
        }
    }
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_default()
}

/// Reason and message, as far as there are any.
fn joined(reason: &str, message: &str) -> String {
    match (reason, message) {
        (reason, "") => reason.to_owned(),
        ("", message) => message.to_owned(),
        (reason, message) => format!("{reason}: {message}"),
    }
}

/// Whether a pod is done or leaving.
pub(super) fn is_over(pod: &Manifest) -> bool {
    let body = pod.body();
    body.pointer("/metadata/deletionTimestamp").is_some()
        || text(body, "/status/phase") == "Succeeded"
}

/// The worst trouble of a pod; none when it is ready or over.
pub(super) fn of_pod(pod: &Manifest) -> Option<Trouble> {
    all_of_pod(pod)
        .into_iter()
        .max_by_key(|trouble| trouble.kind)
}

/// What each container of a pod suffers from, or else the pod itself.
pub(super) fn all_of_pod(pod: &Manifest) -> Vec<Trouble> {
    if is_over(pod) {
        return Vec::new();
    }
    let body = pod.body();
    let ready = super::kstatus::condition(body, "Ready");
    if ready.is_some_and(|c| c.status == "True") {
        return Vec::new();
    }
    let named = |container: Option<String>, kind, restarts, words| Trouble {
        pod: ObjectRef::from(pod),
        uid: text(body, "/metadata/uid").to_owned(),
        container,
        kind,
        restarts,
        words,
    };
    let of_containers = statuses(body).filter_map(|status| {
        let (kind, restarts, words) = of_container(status)?;
        let name = text(status, "/name").to_owned();
        Some(named(Some(name), kind, restarts, words))
    });
    let of_containers: Vec<Trouble> = of_containers.collect();
    if !of_containers.is_empty() {
        return of_containers;
    }
    let scheduled = super::kstatus::condition(body, "PodScheduled");
    if let Some(not) = scheduled.filter(|c| c.status == "False") {
        let words = joined(not.reason, not.message);
        return vec![named(None, Kind::Unscheduled, 0, words)];
    }
    let words = match ready {
        Some(ready) if !ready.message.is_empty() => ready.message.to_owned(),
        _ => match text(body, "/status/phase") {
            "" => "nobody has looked at it yet".to_owned(),
            phase => format!("its phase is {phase}"),
        },
    };
    vec![named(None, Kind::NotReady, 0, words)]
}

/// The containers of a pod by [`Trouble::subject`], as they are now.
pub(super) fn containers(pod: &Manifest) -> impl Iterator<Item = (String, Before)> {
    let uid = text(pod.body(), "/metadata/uid");
    statuses(pod.body()).map(move |status| {
        let reason = text(status, "/state/waiting/reason");
        let before = Before {
            restarts: restarts(status),
            rests: matches!(reason, "CrashLoopBackOff" | "ImagePullBackOff"),
        };
        (subject(uid, text(status, "/name")), before)
    })
}

fn subject(pod: &str, container: &str) -> String {
    format!("{pod}/{container}")
}

fn statuses(pod: &Value) -> impl Iterator<Item = &Value> {
    ["/status/initContainerStatuses", "/status/containerStatuses"]
        .into_iter()
        .filter_map(|list| pod.pointer(list)?.as_array())
        .flatten()
}

fn restarts(status: &Value) -> i64 {
    let restarts = status.pointer("/restartCount").and_then(Value::as_i64);
    restarts.unwrap_or(0)
}

/// Kind, restarts and words of a container that is not well.
fn of_container(status: &Value) -> Option<(Kind, i64, String)> {
    let restarts = restarts(status);
    let waiting = status.pointer("/state/waiting");
    if let Some(waiting) = waiting {
        let reason = text(waiting, "/reason");
        let mut words = joined(reason, text(waiting, "/message"));
        let kind = match reason {
            "InvalidImageName" | "ErrImageNeverPull" => Kind::Name,
            "ErrImagePull" | "ImagePullBackOff" | "RegistryUnavailable" | "ImageInspectError" => {
                Kind::Pull
            }
            "CrashLoopBackOff" => {
                // What follows names the container and the pod once more.
                let message = text(waiting, "/message").split(" restarting ").next();
                words = joined(reason, message.unwrap_or_default());
                if let Some(ended) = status.pointer("/lastState/terminated") {
                    words = format!("{}; {words}", exit(ended));
                }
                Kind::Crash
            }
            "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
                Kind::Config
            }
            // Starting, or waiting for an init container.
            _ => return None,
        };
        return Some((kind, restarts, words));
    }
    if let Some(ended) = status.pointer("/state/terminated").filter(|e| failed(e)) {
        return Some((Kind::Crash, restarts, exit(ended)));
    }
    // Between two crashes it runs: what it died of is still the news.
    let ended = status
        .pointer("/lastState/terminated")
        .filter(|e| failed(e))?;
    let is_running = status.pointer("/state/running").is_some();
    let is_ready = status.get("ready") == Some(&Value::Bool(true));
    let words = || format!("{}, and runs again (restart {restarts})", exit(ended));
    (is_running && !is_ready).then(|| (Kind::Restarted, restarts, words()))
}

fn exit_code(ended: &Value) -> i64 {
    let code = ended.get("exitCode").and_then(Value::as_i64);
    code.unwrap_or(0)
}

fn failed(ended: &Value) -> bool {
    exit_code(ended) != 0
}

/// How a container ended.
fn exit(ended: &Value) -> String {
    let code = exit_code(ended);
    let words = match text(ended, "/reason") {
        "" | "Error" => format!("it ended with exit code {code}"),
        reason => format!("it ended with exit code {code} ({reason})"),
    };
    match text(ended, "/message").trim() {
        "" => words,
        message => format!("{words}: {message}"),
    }
}

impl Kube {
    /// The end of the log of a container that does not run: of the attempt
    /// before when this one has said nothing. Empty when it cannot be had.
    pub(super) async fn last_lines(&self, trouble: &Trouble) -> String {
        let Some(container) = &trouble.container else {
            return String::new();
        };
        for previous in [true, false] {
            let params = LogParams {
                container: Some(container.clone()),
                previous,
                tail_lines: Some(LOG_LINES),
                limit_bytes: Some(4096),
                ..LogParams::default()
            };
            let namespace = trouble.pod.namespace.clone().unwrap_or_default();
            let what = format!("read the log of {}", trouble.pod);
            let log = self
                .call(&what, async |client| {
                    let pods: Api<Pod> = Api::namespaced(client, &namespace);
                    pods.logs(&trouble.pod.name, &params).await
                })
                .await;
            let lines = log.map(|log| shortened(&log)).unwrap_or_default();
            if !lines.is_empty() {
                return lines;
            }
        }
        String::new()
    }

    /// The last warning about an object; empty when there is none.
    pub(super) async fn last_event(&self, object: &ObjectRef) -> Result<String, K8sError> {
        let what = format!("list the events of {object}");
        let template = ObjectRef {
            api_version: "v1".to_owned(),
            kind: "Event".to_owned(),
            namespace: object.namespace.clone(),
            name: String::new(),
        };
        let api = self.api(&template).await?;
        let fields = format!(
            "involvedObject.kind={},involvedObject.name={},type=Warning",
            object.kind, object.name
        );
        let params = ListParams::default().fields(&fields).limit(100);
        let found = self
            .call(&what, async |client| api(client).list(&params).await)
            .await?;
        let last = found.items.iter().map(|event| &event.data).max_by_key(|e| {
            let time = text(e, "/lastTimestamp");
            let time = if time.is_empty() {
                text(e, "/eventTime")
            } else {
                time
            };
            time.to_owned()
        });
        Ok(last.map_or_else(String::new, |event| {
            joined(text(event, "/reason"), text(event, "/message"))
        }))
    }
}

/// The last lines of a log on one line, none of them endless, and without
/// what would steer a terminal.
fn shortened(log: &str) -> String {
    let plain = console::strip_ansi_codes(log);
    let lines: Vec<String> = plain
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(|line| line.chars().filter(|c| !c.is_control()))
        .map(|line| line.take(LOG_WIDTH).collect())
        .collect();
    let from = lines.len().saturating_sub(3);
    lines.get(from..).unwrap_or_default().join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(status: &Value) -> Manifest {
        Manifest::new(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "p", "namespace": "n"}, "status": status
        }))
        .unwrap()
    }

    fn told(status: &Value) -> Option<(String, Kind)> {
        of_pod(&pod(status)).map(|trouble| (trouble.told(), trouble.kind))
    }

    fn waiting(reason: &str, restarts: i64) -> Trouble {
        let state = json!({"waiting": {"reason": reason}});
        let status = json!({"name": "c", "state": state, "restartCount": restarts});
        of_pod(&pod(&json!({"containerStatuses": [status]}))).unwrap()
    }

    #[test]
    fn the_worst_container_is_named_with_its_state() {
        let status = json!({"phase": "Pending", "containerStatuses": [
            {"name": "daprd", "state": {"waiting": {"reason": "ContainerCreating"}}},
            {"name": "app", "restartCount": 2,
             "state": {"waiting": {
                 "reason": "CrashLoopBackOff",
                 "message": "back-off 20s restarting failed container=app pod=p_n(1)",
             }},
             "lastState": {"terminated": {"exitCode": 3, "reason": "Error"}}},
        ]});
        let (words, kind) = told(&status).unwrap();
        assert_eq!(kind, Kind::Crash);
        assert_eq!(
            words,
            "container app of Pod n/p: it ended with exit code 3; CrashLoopBackOff: back-off 20s"
        );
    }

    #[test]
    fn a_pod_that_is_well_is_no_trouble() {
        let ready = json!([{"type": "Ready", "status": "True"}]);
        for status in [
            json!({"phase": "Running", "conditions": ready}),
            json!({"phase": "Succeeded"}),
        ] {
            assert_eq!(told(&status), None);
        }
    }

    #[test]
    fn what_a_container_died_of_is_told_while_it_runs_again() {
        let status = |ready: bool, code: i64| {
            json!({"phase": "Running", "containerStatuses": [{
                "name": "app", "restartCount": 1, "ready": ready,
                "state": {"running": {}},
                "lastState": {"terminated": {"exitCode": code, "reason": "Error"}},
            }]})
        };
        let (words, kind) = told(&status(false, 3)).unwrap();
        assert_eq!(kind, Kind::Restarted);
        assert_eq!(
            words,
            "container app of Pod n/p: it ended with exit code 3, and runs again (restart 1)"
        );
        for other in [status(true, 3), status(false, 0)] {
            assert_eq!(told(&other).unwrap().1, Kind::NotReady);
        }
        let trouble = of_pod(&pod(&status(false, 3))).unwrap();
        assert_eq!(trouble.patience(None), None);
    }

    #[test]
    fn patience_depends_on_the_kind_of_trouble() {
        let now = Some(Duration::ZERO);
        for (reason, restarts, wanted) in [
            ("InvalidImageName", 0, now),
            ("ErrImagePull", 0, Some(PULLS_FOR)),
            ("CreateContainerConfigError", 0, Some(CONFIG_FOR)),
            ("CrashLoopBackOff", 1, None),
            ("CrashLoopBackOff", 3, now),
        ] {
            let got = waiting(reason, restarts).patience(None);
            assert_eq!(got, wanted, "{reason} {restarts}");
        }
        let unscheduled = json!({"conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2 nodes"}
        ]});
        let trouble = of_pod(&pod(&unscheduled)).unwrap();
        assert_eq!(trouble.told(), "Pod n/p: Unschedulable: 0/2 nodes");
        assert_eq!(trouble.patience(None), Some(UNSCHEDULABLE_FOR));
    }

    #[test]
    fn what_was_so_before_the_wait_is_given_another_try() {
        let now = Some(Duration::ZERO);
        for (reason, rests, restarts, later, wanted) in [
            ("CrashLoopBackOff", true, 4, 4, None),
            ("CrashLoopBackOff", true, 4, 5, None),
            ("CrashLoopBackOff", true, 4, 6, now),
            ("CrashLoopBackOff", true, 9, 9, None),
            ("CrashLoopBackOff", true, 9, 10, now),
            // It ran at the first look.
            ("CrashLoopBackOff", false, 4, 5, None),
            ("CrashLoopBackOff", false, 0, 2, None),
            ("CrashLoopBackOff", false, 0, 3, now),
            ("ImagePullBackOff", true, 0, 0, Some(PULLS_AFTER_REST)),
            ("ImagePullBackOff", false, 0, 0, Some(PULLS_FOR)),
        ] {
            let before = Before { restarts, rests };
            let got = waiting(reason, later).patience(Some(&before));
            assert_eq!(got, wanted, "{reason} {rests} {restarts} {later}");
        }
    }

    #[test]
    fn a_log_is_cut_to_its_last_lines() {
        assert_eq!(shortened("a\n\nb\nc\nd\n"), "b | c | d");
        assert_eq!(shortened(&"x".repeat(500)).len(), LOG_WIDTH);
        assert_eq!(shortened(""), "");
        assert_eq!(shortened("\u{1b}[31mred\u{1b}[0m\tx\u{7}\n"), "redx");
    }
}
