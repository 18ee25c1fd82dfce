//! Events: what controllers and kubelets tell people. The same thing told
//! again is counted, and who tells too much about one object is not heard.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::stamp;
use crate::clock::Clock;
use crate::sandbox::api::Api;
use crate::sandbox::kind::text;

/// Events about an object that one source may tell at once.
const BURST: f64 = 25.0;
/// How long until it may tell one more.
const REFILL: Duration = Duration::from_mins(5);
/// Told events that are remembered for counting.
const REMEMBERED: usize = 4096;

/// Takes events and writes them one after the other.
#[derive(Debug, Clone)]
pub struct Recorder {
    sender: mpsc::UnboundedSender<Note>,
}

/// One thing to tell.
#[derive(Debug, Clone)]
pub struct Note {
    /// Who tells, e.g. `replicaset-controller`.
    pub source: &'static str,
    /// The node, for kubelets.
    pub host: String,
    /// The object.
    pub about: Value,
    /// The part of the object, e.g. `spec.containers{app}`.
    pub part: Option<String>,
    /// Whether something is wrong.
    pub warning: bool,
    /// The word.
    pub reason: &'static str,
    /// The sentence.
    pub message: String,
    /// What was being done; only the scheduler says that.
    pub action: Option<&'static str>,
}

impl Recorder {
    /// Starts writing events.
    pub fn start(api: Api, clock: Clock, stop: &CancellationToken) -> Self {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let stop = stop.clone();
        tokio::spawn(async move {
            let mut writer = Writer {
                api,
                clock,
                told: HashMap::new(),
                shares: HashMap::new(),
            };
            loop {
                let note = tokio::select! {
                    () = stop.cancelled() => return,
                    note = receiver.recv() => note,
                };
                let Some(note) = note else { return };
                writer.write(note).await;
            }
        });
        Self { sender }
    }

    /// Tells something about an object.
    pub fn tell(&self, note: Note) {
        // Nobody listens when the cluster is being stopped.
        let _ = self.sender.send(note);
    }

    /// Tells what a controller did.
    pub fn normal(
        &self,
        source: &'static str,
        about: &Value,
        reason: &'static str,
        message: String,
    ) {
        self.tell(Note::new(source, about, reason, message));
    }

    /// Tells what went wrong for a controller.
    pub fn warning(
        &self,
        source: &'static str,
        about: &Value,
        reason: &'static str,
        message: String,
    ) {
        let mut note = Note::new(source, about, reason, message);
        note.warning = true;
        self.tell(note);
    }
}

impl Note {
    /// Something normal.
    pub fn new(source: &'static str, about: &Value, reason: &'static str, message: String) -> Self {
        Self {
            source,
            host: String::new(),
            about: reference(about),
            part: None,
            warning: false,
            reason,
            message,
            action: None,
        }
    }

    fn identity(&self) -> String {
        format!(
            "{}|{}|{}|{}|{}|{}",
            self.source,
            self.host,
            text(&self.about, "/uid"),
            self.part.as_deref().unwrap_or_default(),
            self.reason,
            self.message
        )
    }

    fn object(&self, now: Timestamp) -> Value {
        let namespace = match text(&self.about, "/namespace") {
            "" => "default",
            namespace => namespace,
        };
        let nanos = now.as_nanosecond();
        let mut about = self.about.clone();
        if let Some(part) = &self.part {
            about["fieldPath"] = json!(part);
        }
        let kind = if self.warning { "Warning" } else { "Normal" };
        let mut event = json!({
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": format!("{}.{nanos:x}", text(&self.about, "/name")),
                "namespace": namespace,
            },
            "involvedObject": about,
            "reason": self.reason,
            "message": self.message,
            "type": kind,
            "reportingComponent": self.source,
            "reportingInstance": self.host,
        });
        if let Some(action) = self.action {
            let micros = now.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string();
            event["eventTime"] = json!(micros);
            event["action"] = json!(action);
            event["reportingInstance"] = json!(format!("{}-0", self.source));
        } else {
            let now = stamp(now);
            event["source"] = json!({"component": self.source});
            if !self.host.is_empty() {
                event["source"]["host"] = json!(self.host);
            }
            event["firstTimestamp"] = json!(now);
            event["lastTimestamp"] = json!(now);
            event["count"] = json!(1);
        }
        event
    }
}

/// How events name an object.
fn reference(object: &Value) -> Value {
    let mut reference = json!({
        "kind": text(object, "/kind"),
        "name": text(object, "/metadata/name"),
        "uid": text(object, "/metadata/uid"),
        "apiVersion": text(object, "/apiVersion"),
        "resourceVersion": text(object, "/metadata/resourceVersion"),
    });
    let namespace = text(object, "/metadata/namespace");
    if !namespace.is_empty() {
        reference["namespace"] = json!(namespace);
    }
    reference
}

/// How much a source may still say about an object.
#[derive(Debug)]
struct Share {
    left: f64,
    at: Duration,
}

impl Share {
    fn take(&mut self, now: Duration) -> bool {
        let refilled = now.saturating_sub(self.at).div_duration_f64(REFILL);
        self.left = (self.left + refilled).min(BURST);
        self.at = now;
        if self.left < 1.0 {
            return false;
        }
        self.left -= 1.0;
        true
    }
}

struct Writer {
    api: Api,
    clock: Clock,
    /// Path and count of what was told.
    told: HashMap<String, (String, u64)>,
    shares: HashMap<String, Share>,
}

impl Writer {
    async fn write(&mut self, note: Note) {
        let elapsed = self.clock.elapsed();
        let share = format!("{}|{}", note.source, text(&note.about, "/uid"));
        let share = self.shares.entry(share).or_insert(Share {
            left: BURST,
            at: elapsed,
        });
        if !share.take(elapsed) {
            return;
        }
        self.forget_old();
        let now = self.clock.now();
        let identity = note.identity();
        let known = self.told.get(&identity).cloned();
        if let Some((path, count)) = known.filter(|_| note.action.is_none()) {
            let patch = json!({"count": count + 1, "lastTimestamp": stamp(now)});
            if self.api.merge(&path, &patch).await.is_ok() {
                self.told.insert(identity, (path, count + 1));
                return;
            }
        }
        let event = note.object(now);
        let namespace = text(&event, "/metadata/namespace");
        let path = format!("/api/v1/namespaces/{namespace}/events");
        // A namespace that is going takes no more events.
        if let Ok(made) = self.api.by_program(note.source).create(&path, &event).await {
            let path = format!("{path}/{}", text(&made, "/metadata/name"));
            self.told.insert(identity, (path, 1));
        }
    }

    fn forget_old(&mut self) {
        if self.told.len() > REMEMBERED {
            self.told.clear();
        }
        if self.shares.len() > REMEMBERED {
            self.shares.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_used_up_and_refilled() {
        let mut share = Share {
            left: BURST,
            at: Duration::ZERO,
        };
        assert_eq!((0..40).filter(|_| share.take(Duration::ZERO)).count(), 25);
        assert!(share.take(REFILL));
        assert!(!share.take(REFILL));
    }

    #[test]
    fn an_event_names_its_object_and_source() {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "a", "namespace": "n", "uid": "u", "resourceVersion": "3"},
        });
        let mut note = Note::new(
            "kubelet",
            &pod,
            "Started",
            "Started container app".to_owned(),
        );
        note.host = "10.0.10.2".to_owned();
        note.part = Some("spec.containers{app}".to_owned());
        let event = note.object(Timestamp::UNIX_EPOCH);
        assert_eq!(event["involvedObject"]["fieldPath"], "spec.containers{app}");
        assert_eq!(
            event["source"],
            json!({"component": "kubelet", "host": "10.0.10.2"})
        );
        assert_eq!(event["metadata"]["namespace"], "n");
        assert_eq!(event["lastTimestamp"], "1970-01-01T00:00:00Z");
    }
}
