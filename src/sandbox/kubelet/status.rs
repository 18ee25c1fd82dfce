//! A pod's status, computed from its containers' states as the kubelet does.
//! No input or output.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::sandbox::kind::{is_leaving, items, number, text};

/// How a run of a container ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ended {
    /// The exit code.
    pub code: i32,
    /// `Completed`, `Error`, `OOMKilled`.
    pub reason: String,
    /// When it started.
    pub started: String,
    /// When it ended.
    pub finished: String,
    /// The container's id.
    pub id: String,
}

/// What a container is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It does not run yet, or not again yet.
    Waiting {
        /// The word.
        reason: String,
        /// The sentence; may be empty.
        message: String,
    },
    /// It runs since then.
    Running(String),
    /// It ended.
    Ended(Ended),
}

impl State {
    /// Waiting without a sentence.
    pub fn waiting(reason: &str) -> Self {
        Self::Waiting {
            reason: reason.to_owned(),
            message: String::new(),
        }
    }
}

/// A container as its pod's status shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// What it does.
    pub state: State,
    /// How its last run ended.
    pub last: Option<Ended>,
    /// How often it was started again.
    pub restarts: u32,
    /// Whether it has started, by its startup probe.
    pub started: bool,
    /// Whether it is ready, by its readiness probe.
    pub ready: bool,
    /// The id of this run, or the last.
    pub id: String,
}

impl Container {
    /// A container that has not run.
    pub fn new(reason: &str) -> Self {
        Self {
            state: State::waiting(reason),
            last: None,
            restarts: 0,
            started: false,
            ready: false,
            id: String::new(),
        }
    }

    /// A container as an earlier status shows it.
    pub fn from_status(status: &Value) -> Self {
        let state = if let Some(running) = status.pointer("/state/running") {
            State::Running(text(running, "/startedAt").to_owned())
        } else if let Some(ended) = status.pointer("/state/terminated") {
            State::Ended(ended_from(ended))
        } else {
            State::Waiting {
                reason: text(status, "/state/waiting/reason").to_owned(),
                message: text(status, "/state/waiting/message").to_owned(),
            }
        };
        Self {
            state,
            last: status.pointer("/lastState/terminated").map(ended_from),
            restarts: number(status, "/restartCount")
                .and_then(|n| u32::try_from(n).ok())
                .unwrap_or_default(),
            started: status["started"] == true,
            ready: status["ready"] == true,
            id: text(status, "/containerID").to_owned(),
        }
    }

    /// Goes over to another state; how a run ended is remembered.
    pub fn becomes(&mut self, state: State) {
        if let State::Ended(ended) = std::mem::replace(&mut self.state, state) {
            self.last = Some(ended);
        }
    }

    /// Whether it has ended well.
    pub fn succeeded(&self) -> bool {
        matches!(&self.state, State::Ended(ended) if ended.code == 0)
    }

    fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended(_))
    }

    fn status(&self, spec: &Value) -> Value {
        let state = match &self.state {
            State::Waiting { reason, message } if message.is_empty() => {
                json!({"waiting": {"reason": reason}})
            }
            State::Waiting { reason, message } => {
                json!({"waiting": {"reason": reason, "message": message}})
            }
            State::Running(since) => json!({"running": {"startedAt": since}}),
            State::Ended(ended) => json!({"terminated": ended_status(ended)}),
        };
        let last = match &self.last {
            Some(ended) => json!({"terminated": ended_status(ended)}),
            None => json!({}),
        };
        let image = text(spec, "/image");
        let mut status = json!({
            "name": text(spec, "/name"),
            "state": state,
            "lastState": last,
            "ready": self.ready,
            "restartCount": self.restarts,
            "image": super::images::full_name(image),
            "imageID": if self.id.is_empty() { String::new() } else { super::images::id(image) },
            "started": self.started,
        });
        if !self.id.is_empty() {
            status["containerID"] = json!(self.id);
        }
        if let Some(resources) = spec
            .get("resources")
            .filter(|r| r.as_object().is_some_and(|r| !r.is_empty()))
        {
            if let Some(requests) = resources.get("requests") {
                status["allocatedResources"] = requests.clone();
            }
            status["resources"] = resources.clone();
        }
        let mounts: Vec<Value> = items(spec, "/volumeMounts")
            .iter()
            .map(|mount| {
                let mut shown = json!({
                    "mountPath": mount["mountPath"],
                    "name": mount["name"],
                });
                if mount["readOnly"] == true {
                    shown["readOnly"] = json!(true);
                    shown["recursiveReadOnly"] = json!("Disabled");
                }
                shown
            })
            .collect();
        if !mounts.is_empty() {
            status["volumeMounts"] = json!(mounts);
        }
        status
    }
}

fn ended_from(value: &Value) -> Ended {
    Ended {
        code: number(value, "/exitCode")
            .and_then(|code| i32::try_from(code).ok())
            .unwrap_or_default(),
        reason: text(value, "/reason").to_owned(),
        started: text(value, "/startedAt").to_owned(),
        finished: text(value, "/finishedAt").to_owned(),
        id: text(value, "/containerID").to_owned(),
    }
}

fn ended_status(ended: &Ended) -> Value {
    json!({
        "exitCode": ended.code,
        "reason": ended.reason,
        "startedAt": ended.started,
        "finishedAt": ended.finished,
        "containerID": ended.id,
    })
}

/// Whether an init container stays.
pub fn is_sidecar(spec: &Value) -> bool {
    text(spec, "/restartPolicy") == "Always"
}

/// The containers of a pod by name.
pub type Containers = BTreeMap<String, Container>;

fn named<'a>(containers: &'a Containers, spec: &Value) -> Option<&'a Container> {
    containers.get(text(spec, "/name"))
}

/// The init containers that are not done: that have not ended well, or have
/// not started if they stay.
fn uninitialised(pod: &Value, containers: &Containers) -> Vec<String> {
    items(pod, "/spec/initContainers")
        .iter()
        .filter(|spec| {
            !named(containers, spec).is_some_and(|c| {
                if is_sidecar(spec) {
                    c.started || c.has_ended()
                } else {
                    c.succeeded()
                }
            })
        })
        .map(|spec| text(spec, "/name").to_owned())
        .collect()
}

/// A pod's phase.
pub fn phase(pod: &Value, containers: &Containers) -> &'static str {
    let policy = text(pod, "/spec/restartPolicy");
    let failed_init = items(pod, "/spec/initContainers").iter().any(|spec| {
        !is_sidecar(spec)
            && named(containers, spec)
                .is_some_and(|c| matches!(&c.state, State::Ended(e) if e.code != 0))
    });
    let leaving = is_leaving(pod);
    if failed_init && policy == "Never" {
        return "Failed";
    }
    let (mut waiting, mut running, mut failed, mut ended) = (0, 0, 0, 0);
    for spec in items(pod, "/spec/containers") {
        let Some(container) = named(containers, spec) else {
            waiting += 1;
            continue;
        };
        match &container.state {
            State::Waiting { .. } if container.last.is_none() => waiting += 1,
            State::Waiting { .. } => {
                ended += 1;
                failed += 1;
            }
            State::Running(_) => running += 1,
            State::Ended(how) => {
                ended += 1;
                failed += usize::from(how.code != 0);
            }
        }
    }
    let init_pending = !uninitialised(pod, containers).is_empty() && ended + running == 0;
    let staying = items(pod, "/spec/initContainers").iter().any(|spec| {
        is_sidecar(spec)
            && named(containers, spec).is_some_and(|c| matches!(c.state, State::Running(_)))
    });
    if init_pending || waiting > 0 {
        "Pending"
    } else if running > 0 || staying || ended == 0 || (policy == "Always" && !leaving) {
        "Running"
    } else if failed == 0 {
        "Succeeded"
    } else if policy == "Never" || leaving {
        "Failed"
    } else {
        "Running"
    }
}

/// What the status needs besides the containers.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The node's address.
    pub host: String,
    /// The pod's address, once it has one.
    pub address: Option<String>,
    /// Now.
    pub now: String,
    /// When the kubelet first saw the pod.
    pub since: String,
}

/// The whole status of a pod; conditions of others are kept.
pub fn pod_status(pod: &Value, containers: &Containers, facts: &Facts) -> Value {
    let phase = phase(pod, containers);
    let statuses = |list: &str| -> Vec<Value> {
        items(pod, list)
            .iter()
            .filter_map(|spec| Some(named(containers, spec)?.status(spec)))
            .collect()
    };
    let mut status = json!({
        "observedGeneration": number(pod, "/metadata/generation").unwrap_or(1),
        "phase": phase,
        "conditions": conditions(pod, containers, phase, facts),
        "hostIP": facts.host,
        "hostIPs": [{"ip": facts.host}],
        "startTime": facts.since,
        "containerStatuses": statuses("/spec/containers"),
    });
    let inits = statuses("/spec/initContainers");
    if !inits.is_empty() {
        status["initContainerStatuses"] = json!(inits);
    }
    if let Some(address) = &facts.address {
        status["podIP"] = json!(address);
        status["podIPs"] = json!([{"ip": address}]);
    }
    if pod.pointer("/status/qosClass").is_none() {
        status["qosClass"] = json!(quality(pod));
    }
    status
}

/// A condition's status with its reason and sentence, which may be empty.
type Judgement = (&'static str, &'static str, String);

fn conditions(pod: &Value, containers: &Containers, phase: &str, facts: &Facts) -> Vec<Value> {
    let yes = || ("True", "", String::new());
    let uninitialised = uninitialised(pod, containers);
    let initialised: Judgement = match phase {
        "Succeeded" => ("True", "PodCompleted", String::new()),
        _ if uninitialised.is_empty() => yes(),
        _ => (
            "False",
            "ContainersNotInitialized",
            format!(
                "containers with incomplete status: [{}]",
                uninitialised.join(" ")
            ),
        ),
    };
    let sidecars = items(pod, "/spec/initContainers")
        .iter()
        .filter(|spec| is_sidecar(spec));
    let unready: Vec<&str> = items(pod, "/spec/containers")
        .iter()
        .chain(sidecars)
        .filter(|spec| !named(containers, spec).is_some_and(|c| c.ready))
        .map(|spec| text(spec, "/name"))
        .collect();
    let containers_ready: Judgement = match phase {
        "Succeeded" => ("False", "PodCompleted", String::new()),
        "Failed" => ("False", "PodFailed", String::new()),
        _ if unready.is_empty() => yes(),
        _ => (
            "False",
            "ContainersNotReady",
            format!("containers with unready status: [{}]", unready.join(" ")),
        ),
    };
    let ready = if containers_ready.0 == "True" {
        gates(pod)
    } else {
        containers_ready.clone()
    };
    let network = if facts.address.is_some() && !matches!(phase, "Succeeded" | "Failed") {
        "True"
    } else {
        "False"
    };
    let held = items(pod, "/status/conditions");
    let generation = number(pod, "/metadata/generation").unwrap_or(1);
    let own = [
        ("PodReadyToStartContainers", (network, "", String::new())),
        ("Initialized", initialised),
        ("Ready", ready),
        ("ContainersReady", containers_ready),
        ("PodScheduled", yes()),
    ];
    let shown = own.iter().map(|(kind, (is, reason, message))| {
        let since = held
            .iter()
            .find(|c| c["type"] == *kind && c["status"] == *is)
            .map_or_else(|| json!(facts.now), |c| c["lastTransitionTime"].clone());
        let mut condition = json!({
            "type": kind,
            "observedGeneration": generation,
            "status": is,
            "lastProbeTime": null,
            "lastTransitionTime": since,
        });
        if !reason.is_empty() {
            condition["reason"] = json!(reason);
        }
        if !message.is_empty() {
            condition["message"] = json!(message);
        }
        condition
    });
    let foreign = held
        .iter()
        .filter(|c| !own.iter().any(|(kind, _)| c["type"] == *kind))
        .cloned();
    shown.chain(foreign).collect()
}

/// Whether others' conditions let the pod be ready.
fn gates(pod: &Value) -> Judgement {
    for gate in items(pod, "/spec/readinessGates") {
        let kind = text(gate, "/conditionType");
        let message = match crate::sandbox::kind::condition(pod, kind) {
            None => {
                format!("corresponding condition of pod readiness gate {kind:?} does not exist.")
            }
            Some(c) if c["status"] != "True" => format!(
                "the status of pod readiness gate {kind:?} is not \"True\", but {}",
                text(c, "/status")
            ),
            Some(_) => continue,
        };
        return ("False", "ReadinessGatesNotReady", message);
    }
    ("True", "", String::new())
}

/// The quality of service class.
fn quality(pod: &Value) -> &'static str {
    let all = || {
        items(pod, "/spec/containers")
            .iter()
            .chain(items(pod, "/spec/initContainers"))
    };
    let has = |container: &Value, path: &str| container.pointer(path).is_some();
    let any = all().any(|c| {
        ["requests", "limits"].iter().any(|group| {
            has(c, &format!("/resources/{group}/cpu"))
                || has(c, &format!("/resources/{group}/memory"))
        })
    });
    let guaranteed = all().all(|c| {
        ["cpu", "memory"].iter().all(|name| {
            let limit = c.pointer(&format!("/resources/limits/{name}"));
            let request = c.pointer(&format!("/resources/requests/{name}"));
            limit.is_some() && (request.is_none() || request == limit)
        })
    });
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(state: State, ready: bool) -> Container {
        Container {
            state,
            started: ready,
            ready,
            ..Container::new("")
        }
    }

    fn ended(code: i32) -> State {
        State::Ended(Ended {
            code,
            ..Ended::default()
        })
    }

    fn pod(policy: &str) -> Value {
        json!({"spec": {"restartPolicy": policy, "containers": [{"name": "a"}, {"name": "b"}]}})
    }

    fn both(a: State, b: State) -> Containers {
        BTreeMap::from([
            ("a".to_owned(), container(a, true)),
            ("b".to_owned(), container(b, true)),
        ])
    }

    #[test]
    fn phases_follow_from_states_and_policy() {
        let running = || State::Running(String::new());
        for (policy, a, b, expected) in [
            ("Always", State::waiting(""), running(), "Pending"),
            ("Always", running(), running(), "Running"),
            ("Always", running(), ended(1), "Running"),
            ("Always", ended(0), ended(0), "Running"),
            ("OnFailure", ended(0), ended(0), "Succeeded"),
            ("OnFailure", ended(0), ended(1), "Running"),
            ("Never", ended(0), ended(1), "Failed"),
            ("Never", ended(0), running(), "Running"),
        ] {
            let shown = format!("{policy} {a:?} {b:?}");
            assert_eq!(phase(&pod(policy), &both(a, b)), expected, "{shown}");
        }
    }

    #[test]
    fn a_status_survives_being_read_back() {
        let held = Container {
            state: State::Running("2026-01-01T00:00:00Z".to_owned()),
            last: Some(Ended {
                code: 1,
                reason: "Error".to_owned(),
                ..Ended::default()
            }),
            restarts: 3,
            started: true,
            ready: true,
            id: "cri-o://1".to_owned(),
        };
        let status = held.status(&json!({"name": "a", "image": "x:1"}));
        assert_eq!(Container::from_status(&status), held);
    }

    #[test]
    fn conditions_say_what_is_missing_and_keep_those_of_others() {
        let mut containers = both(State::Running(String::new()), State::waiting(""));
        containers.get_mut("b").unwrap().ready = false;
        let mut pod = pod("Always");
        pod["status"]["conditions"] = json!([
            {"type": "Ready", "status": "False", "lastTransitionTime": "before"},
            {"type": "Mine", "status": "True"},
        ]);
        let facts = Facts {
            host: "10.0.10.2".to_owned(),
            address: Some("10.244.0.5".to_owned()),
            now: "now".to_owned(),
            since: "now".to_owned(),
        };
        let status = pod_status(&pod, &containers, &facts);
        let find = |kind: &str| {
            let all = status["conditions"].as_array().unwrap();
            all.iter().find(|c| c["type"] == kind).cloned().unwrap()
        };
        assert_eq!(find("Ready")["lastTransitionTime"], "before");
        assert_eq!(
            find("ContainersReady")["message"],
            "containers with unready status: [b]"
        );
        assert_eq!(find("Mine")["status"], "True");
        assert_eq!(status["qosClass"], "BestEffort");
    }
}
