//! Which containers there are, and each one's log from beginning to end:
//! across lost connections, restarts, and pods that come and go.
//!
//! A connection that breaks is taken up again by time. The API's `sinceTime`
//! goes to the second, so what was seen already is left out by its exact time
//! and by how many lines had that time. When a container has restarted, the
//! rest of its last run is read from `previous` before the new run.

use std::collections::HashMap;
use std::pin::pin;
use std::time::Duration;

use futures::future::LocalBoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::Api;
use kube::api::ListParams;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt as _, watcher as watch_pods};
use tokio::sync::{mpsc, watch};

use super::merge::{LANE_DEPTH, Lane};
use super::seen::{Answer, Seen};
use super::{Source, SourceRef};
use crate::clock::{Backoff, Clock};
use crate::k8s::logs::{Batch, LogQuery};
use crate::k8s::{Class, K8sError, Kube};

/// Which logs are wanted.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The namespace of the pods.
    pub namespace: String,
    /// The label selector of the pods.
    pub selector: String,
    /// The label whose value is the service's name.
    pub service_label: String,
    /// The containers.
    pub containers: Containers,
    /// Whether to go on at the end.
    pub follow: bool,
    /// Not what is older.
    pub since: Option<Timestamp>,
    /// Only so many lines of each container.
    pub tail: Option<i64>,
}

/// Which containers of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Containers {
    /// All of them.
    #[default]
    All,
    /// Those of the app.
    App,
    /// The Dapr sidecar.
    Sidecar,
}

impl Containers {
    fn want(self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::App => name != "daprd",
            Self::Sidecar => name == "daprd",
        }
    }
}

/// What a reader should know besides the lines.
pub type Notes = mpsc::UnboundedSender<String>;

/// Where a container is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct State {
    /// How often it was restarted; the number of the run that the rest of this
    /// speaks of.
    run: i32,
    /// Whether this run has begun.
    started: bool,
    /// Whether this run is over.
    ended: bool,
    /// Whether the pod is gone.
    gone: bool,
}

impl State {
    fn of(status: &ContainerStatus) -> Self {
        let state = status.state.as_ref();
        let running = state.is_some_and(|state| state.running.is_some());
        let ended = state.is_some_and(|state| state.terminated.is_some());
        // Waiting for its next start: the count goes up when that comes, and
        // the log is that of the run before until then.
        let last = status.last_state.as_ref();
        let ran = status.restart_count > 0 || last.is_some_and(|last| last.terminated.is_some());
        let ended = ended || (!running && ran);
        Self {
            run: status.restart_count,
            started: running || ended,
            ended,
            gone: false,
        }
    }
}

/// The containers of a pod that are wanted, and where they are.
fn containers(pod: &Pod, wanted: Containers) -> Vec<(String, State)> {
    let Some(status) = &pod.status else {
        return Vec::new();
    };
    let all = [&status.init_container_statuses, &status.container_statuses];
    all.into_iter()
        .flatten()
        .flatten()
        .filter(|status| wanted.want(&status.name))
        .map(|status| (status.name.clone(), State::of(status)))
        .collect()
}

fn source(pod: &Pod, container: &str, wanted: &Wanted) -> SourceRef {
    let labels = pod.metadata.labels.as_ref();
    let service = labels.and_then(|labels| labels.get(&wanted.service_label));
    SourceRef::new(Source {
        pod: pod.metadata.name.clone().unwrap_or_default(),
        container: container.to_owned(),
        service: service.cloned().unwrap_or_default(),
    })
}

/// Reads the logs of everything that is wanted into lanes. Ends when all is
/// read, or, while following, when the reader of the lanes goes.
pub async fn run(
    kube: &Kube,
    wanted: &Wanted,
    lanes: mpsc::Sender<Lane>,
    notes: &Notes,
) -> Result<(), K8sError> {
    let reader = Reader {
        kube: kube.clone(),
        wanted: wanted.clone(),
        notes: notes.clone(),
    };
    if wanted.follow {
        reader.follow(lanes).await
    } else {
        reader.once(lanes).await
    }
}

/// Why reading a log stopped.
#[derive(Debug, PartialEq, Eq)]
enum Stop {
    /// The log's end, as far as the server is concerned.
    End,
    /// The connection broke, or was refused for now.
    Broken,
    /// Nobody wants the lines any more.
    Unwanted,
}

struct Reader {
    kube: Kube,
    wanted: Wanted,
    notes: Notes,
}

impl Reader {
    fn clock(&self) -> &Clock {
        self.kube.clock()
    }

    /// Reads what there is, each container in a task of its own.
    async fn once(self, lanes: mpsc::Sender<Lane>) -> Result<(), K8sError> {
        let what = format!("list the pods of {}", self.wanted.namespace);
        let params = ListParams::default().labels(&self.wanted.selector);
        let pods = self
            .kube
            .call(&what, async |client| {
                let pods: Api<Pod> = Api::namespaced(client, &self.wanted.namespace);
                pods.list(&params).await
            })
            .await?;
        let readers: FuturesUnordered<_> = pods
            .iter()
            .flat_map(|pod| {
                let all = containers(pod, self.wanted.containers);
                all.into_iter().map(move |(name, state)| (pod, name, state))
            })
            .map(|(pod, name, state)| {
                let (source, lane, out) = self.lane(pod, &name);
                let lanes = lanes.clone();
                let reader = &self;
                async move {
                    if lanes.send(lane).await.is_ok() {
                        drop(lanes);
                        reader.read_to_end(&source, state, &out).await;
                    }
                }
            })
            .collect();
        drop(lanes);
        readers.collect::<()>().await;
        Ok(())
    }

    /// The last run and this one, once.
    async fn read_to_end(&self, source: &Source, state: State, out: &mpsc::Sender<Batch>) {
        let mut seen = Seen::default();
        let begun = state.started || state.ended;
        if state.run > 0 && state.started {
            let query = self.query(source, false, true);
            self.read(source, &query, &mut seen, out).await;
        }
        if begun {
            let query = self.query(source, false, false);
            if self.read(source, &query, &mut seen, out).await == Stop::Broken {
                self.note(format!(
                    "the log of {}/{} is incomplete",
                    source.pod, source.container
                ));
            }
        }
    }

    /// Follows pods as they come and go.
    async fn follow(self, lanes: mpsc::Sender<Lane>) -> Result<(), K8sError> {
        let api: Api<Pod> = Api::namespaced(self.kube.client().clone(), &self.wanted.namespace);
        let config = watcher::Config::default().labels(&self.wanted.selector);
        let mut events = pin!(watch_pods(api, config).default_backoff());
        let mut states: HashMap<(String, String), watch::Sender<State>> = HashMap::new();
        let mut readers: FuturesUnordered<LocalBoxFuture<'_, ()>> = FuturesUnordered::new();
        loop {
            let event = tokio::select! {
                event = events.try_next() => event,
                Some(()) = readers.next() => continue,
                () = lanes.closed() => return Ok(()),
            };
            match event {
                Ok(Some(Event::Apply(pod) | Event::InitApply(pod))) => {
                    for (lane, reader) in self.update(&pod, &mut states) {
                        if lanes.send(lane).await.is_err() {
                            return Ok(());
                        }
                        readers.push(reader);
                    }
                }
                Ok(Some(Event::Delete(pod))) => {
                    let uid = pod.metadata.uid.unwrap_or_default();
                    states.retain(|(of, _), state| {
                        if *of == uid {
                            state.send_modify(|state| state.gone = true);
                        }
                        *of != uid
                    });
                }
                Ok(Some(Event::Init | Event::InitDone)) => {}
                Ok(None) => return Ok(()),
                // The watcher begins again by itself.
                Err(error) => tracing::debug!(%error, "watching pods again"),
            }
        }
    }

    /// Tells the readers of a pod's containers what became of them; makes
    /// readers for those that are new.
    fn update<'a>(
        &'a self,
        pod: &Pod,
        states: &mut HashMap<(String, String), watch::Sender<State>>,
    ) -> Vec<(Lane, LocalBoxFuture<'a, ()>)> {
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let mut fresh = Vec::new();
        for (name, state) in containers(pod, self.wanted.containers) {
            let key = (uid.clone(), name);
            if let Some(known) = states.get(&key) {
                known.send_if_modified(|held| {
                    let news = *held != state;
                    *held = state;
                    news
                });
                continue;
            }
            let (source, lane, out) = self.lane(pod, &key.1);
            let (sender, receiver) = watch::channel(state);
            states.insert(key, sender);
            let reader = async move { self.read_for_ever(&source, receiver, &out).await };
            fresh.push((lane, reader.boxed_local()));
        }
        fresh
    }

    /// All runs of a container, one after the other, until its pod is gone.
    async fn read_for_ever(
        &self,
        source: &Source,
        mut state: watch::Receiver<State>,
        out: &mpsc::Sender<Batch>,
    ) {
        let mut seen = Seen::default();
        let mut read: Option<i32> = None;
        loop {
            let next = |state: &State| state.gone || (state.started && Some(state.run) != read);
            let Ok(now) = state.wait_for(next).await.map(|now| *now) else {
                return;
            };
            if now.gone && (Some(now.run) == read || !now.started) {
                return;
            }
            if !self.catch_up(source, read, now.run, &mut seen, out).await {
                return;
            }
            read = Some(now.run);
            if self
                .read_run(source, now.run, &mut state, &mut seen, out)
                .await
                == Stop::Unwanted
            {
                return;
            }
        }
    }

    /// What earlier runs wrote and was not read yet. False when nobody wants
    /// it.
    async fn catch_up(
        &self,
        source: &Source,
        read: Option<i32>,
        run: i32,
        seen: &mut Seen,
        out: &mpsc::Sender<Batch>,
    ) -> bool {
        if run == 0 {
            return true;
        }
        if let Some(read) = read.filter(|read| run - read > 1) {
            let lost = run - read - 1;
            let of = format!("{}/{}", source.pod, source.container);
            self.note(format!(
                "{of} restarted {} times in a moment: the logs of {lost} run(s) between are gone",
                lost + 1
            ));
        }
        let query = self.query(source, false, true);
        let (stop, answer) = self.read_answer(source, &query, seen, out).await;
        if stop != Stop::End || answer.continues || answer.is_new || seen.cursor.last.is_none() {
            return stop != Stop::Unwanted;
        }
        // What was read last is of this run, or the last one wrote nothing.
        self.read_older(source, query, seen, out).await != Stop::Unwanted
    }

    /// One run, from where the cursor is to its end.
    async fn read_run(
        &self,
        source: &Source,
        run: i32,
        state: &mut watch::Receiver<State>,
        seen: &mut Seen,
        out: &mpsc::Sender<Batch>,
    ) -> Stop {
        let mut backoff = Backoff::new(Duration::from_millis(200), 2.0, Duration::from_secs(10));
        loop {
            let query = self.query(source, true, false);
            let before = seen.cursor;
            let stop = self.read(source, &query, seen, out).await;
            if stop == Stop::Unwanted {
                return stop;
            }
            if seen.cursor != before {
                backoff = Backoff::new(Duration::from_millis(200), 2.0, Duration::from_secs(10));
            }
            // The end of the log is the end of the run, unless it is a server
            // that closes long answers. The pod's status tells; it may lag.
            let pause = backoff.next(self.clock());
            let over = |state: &State| state.gone || state.ended || state.run != run;
            tokio::select! {
                _ = state.wait_for(over) => {}
                paused = self.clock().sleep(pause) => if paused.is_err() {
                    return Stop::Unwanted;
                },
            }
            let now = *state.borrow();
            if now.run != run {
                return Stop::End;
            }
            if now.ended || now.gone {
                // What was written between the end of the stream and the end.
                let rest = self.query(source, false, false);
                return match self.read(source, &rest, seen, out).await {
                    Stop::Broken if !now.gone => continue,
                    stop => stop,
                };
            }
        }
    }

    /// One answer of the server, from the cursor on.
    async fn read(
        &self,
        source: &Source,
        query: &LogQuery,
        seen: &mut Seen,
        out: &mpsc::Sender<Batch>,
    ) -> Stop {
        self.read_answer(source, query, seen, out).await.0
    }

    async fn read_answer(
        &self,
        source: &Source,
        query: &LogQuery,
        seen: &mut Seen,
        out: &mpsc::Sender<Batch>,
    ) -> (Stop, Answer) {
        let mut query = query.clone();
        if let Some(last) = seen.cursor.last {
            query.since = Some(last);
            query.tail = None;
        }
        let mut answer = seen.answer();
        let take = |batch: &mut Batch| seen.take(&mut answer, batch);
        let stop = self.pass_on(source, &query, take, out).await;
        (stop, answer)
    }

    /// What a run wrote that is older than what was read last.
    async fn read_older(
        &self,
        source: &Source,
        mut query: LogQuery,
        seen: &mut Seen,
        out: &mpsc::Sender<Batch>,
    ) -> Stop {
        query.since = seen.end_before().or(query.since);
        query.tail = None;
        let take = |batch: &mut Batch| seen.take_older(batch);
        self.pass_on(source, &query, take, out).await
    }

    /// Passes on what `take` leaves of an answer.
    async fn pass_on(
        &self,
        source: &Source,
        query: &LogQuery,
        mut take: impl FnMut(&mut Batch),
        out: &mpsc::Sender<Batch>,
    ) -> Stop {
        let opened = self
            .kube
            .logs(&self.wanted.namespace, &source.pod, query)
            .await;
        let mut stream = match opened {
            Ok(stream) => stream,
            Err(error)
                if matches!(
                    error.class(),
                    Class::NotFound | Class::Invalid | Class::Denied
                ) =>
            {
                // No such run, or no longer; or we may not see it.
                if error.class() == Class::Denied {
                    self.note(error.to_string());
                }
                return Stop::End;
            }
            Err(error) => {
                tracing::debug!(%error, "a log cannot be opened");
                return Stop::Broken;
            }
        };
        loop {
            let next = tokio::select! {
                next = stream.next() => next,
                () = out.closed() => return Stop::Unwanted,
            };
            let mut batch = match next {
                Ok(Some(batch)) => batch,
                Ok(None) => return Stop::End,
                Err(error) => {
                    tracing::debug!(%error, "a log broke off");
                    return Stop::Broken;
                }
            };
            take(&mut batch);
            if !batch.is_empty() && out.send(batch).await.is_err() {
                return Stop::Unwanted;
            }
        }
    }

    fn query(&self, source: &Source, follow: bool, previous: bool) -> LogQuery {
        LogQuery {
            container: source.container.clone(),
            follow,
            previous,
            since: self.wanted.since,
            tail: self.wanted.tail,
        }
    }

    fn lane(&self, pod: &Pod, container: &str) -> (SourceRef, Lane, mpsc::Sender<Batch>) {
        let (out, batches) = mpsc::channel(LANE_DEPTH);
        let source = source(pod, container, &self.wanted);
        let lane = Lane {
            source: source.clone(),
            batches,
        };
        (source, lane, out)
    }

    fn note(&self, text: String) {
        // Whoever does not listen misses nothing but the note.
        let _ = self.notes.send(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_containers_life_is_read_from_its_status() {
        let state = |status: serde_json::Value| State::of(&serde_json::from_value(status).unwrap());
        let base =
            json!({"name": "app", "image": "", "imageID": "", "ready": false, "restartCount": 2});
        let with = |state: serde_json::Value| {
            let mut status = base.clone();
            status["state"] = state;
            status
        };
        let table = [
            (json!({"running": {}}), (true, false)),
            (json!({"terminated": {"exitCode": 1}}), (true, true)),
            (
                json!({"waiting": {"reason": "CrashLoopBackOff"}}),
                (true, true),
            ),
        ];
        for (life, (started, ended)) in table {
            let got = state(with(life.clone()));
            assert_eq!(
                (got.run, got.started, got.ended),
                (2, started, ended),
                "{life}"
            );
        }
    }
}
