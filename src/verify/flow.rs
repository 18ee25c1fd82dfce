//! The life of one task, through the public address: created, updated,
//! completed, deleted; and what each step left in Kafka, in the subscriber and
//! in the app's own state.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::check::Verdict;
use super::world::{Answer, World, trace};
use crate::cloudevents::{Event, TraceParent};
use crate::kafka::{At, Client, Offsets, ScanPlan};
use crate::profile::TaskApi;

/// How long events may take to be found, in real time.
const EVENTS_WITHIN: Duration = Duration::from_secs(5);
/// How often the subscriber's progress is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// What the titles of our tasks begin with; the second of their making follows.
/// What is left of a run that was killed is known by it.
pub const TITLE: &str = "todoctl verify";
/// Tasks that are younger may be another run's, in seconds.
const YOUNG: i64 = 120;

/// What is done to the task, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Deed {
    /// It is made.
    Create,
    /// Its title is changed.
    Update,
    /// It is ticked off.
    Complete,
    /// It is removed.
    Delete,
}

impl Deed {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Create, Self::Update, Self::Complete, Self::Delete];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Complete => "complete",
            Self::Delete => "delete",
        }
    }

    /// What the type of its event contains.
    fn stem(self) -> &'static str {
        match self {
            Self::Create => "creat",
            Self::Update => "updat",
            Self::Complete => "complet",
            Self::Delete => "delet",
        }
    }
}

/// An event that was found in Kafka.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The step that it tells of.
    pub deed: Deed,
    /// Its place.
    pub topic: String,
    /// Its place.
    pub partition: i32,
    /// Its place.
    pub offset: i64,
    /// When it was read, from the beginning of the flow.
    pub at: Duration,
    /// When the subscriber was past it.
    pub delivered: Option<Duration>,
    /// The event.
    pub event: Event,
    /// Whether it carries the trace of the request.
    pub traced: bool,
}

/// One step of the task's life.
#[derive(Debug, Clone)]
pub struct Step {
    /// What was done.
    pub deed: Deed,
    /// The request.
    pub asked: String,
    /// Id of the trace that the request belonged to.
    pub trace: String,
    /// When it was sent, from the beginning of the flow.
    pub began: Duration,
    /// What answered.
    pub answer: Result<Answer, Verdict>,
    /// Whether the app's own state shows it, as far as that was looked at.
    pub shown: Option<Result<Duration, Verdict>>,
}

/// Everything that was seen of the task's life.
#[derive(Debug, Default)]
pub struct Flow {
    /// Why there was none.
    pub trouble: Option<Verdict>,
    /// The task's id.
    pub task: Option<String>,
    /// The steps that were done.
    pub steps: Vec<Step>,
    /// The events that were found.
    pub found: Vec<Found>,
    /// Why the events could not be read.
    pub unread: Option<Verdict>,
    /// Why the subscriber's progress is not known.
    pub unseen: Option<Verdict>,
}

impl Flow {
    /// A step, if it came to it.
    pub fn step(&self, deed: Deed) -> Option<&Step> {
        self.steps.iter().find(|step| step.deed == deed)
    }

    /// The events of a step.
    pub fn events(&self, deed: Deed) -> impl Iterator<Item = &Found> {
        self.found.iter().filter(move |found| found.deed == deed)
    }

    /// Lives it.
    pub(super) async fn live(world: &World) -> Self {
        match world.scope.profile.verify.tasks.clone() {
            Some(api) => Actor::new(world, api).live().await,
            None => Self {
                trouble: Some(Verdict::skip(
                    "the profile names no task API (`verify.tasks`)",
                )),
                ..Self::default()
            },
        }
    }
}

/// The token that the profile's login gives.
pub(super) async fn login(world: &World) -> Result<Option<String>, Verdict> {
    let Some(login) = &world.scope.profile.verify.login else {
        return Ok(None);
    };
    let mut body = serde_json::Map::new();
    for (name, value) in &login.body {
        let secret = value.secret().ok_or_else(|| {
            Verdict::fail(format!("`verify.login.body.{name}` has not been looked up"))
        })?;
        body.insert(name.clone(), json!(secret.expose()));
    }
    let asked = format!("POST {}", login.path);
    let answer = world
        .visit(Method::POST, &login.path, &[], Some(&Value::Object(body)))
        .await?;
    if !answer.status.is_success() {
        return Err(
            Verdict::fail(format!("the login is refused with {}", answer.status))
                .saw(asked, answer.shown()),
        );
    }
    let token = answer
        .json()
        .pointer(&login.token)
        .and_then(Value::as_str)
        .map(str::to_owned);
    match token {
        Some(token) => Ok(Some(token)),
        // The answer may hold what it holds under another name: it is not shown.
        None => Err(
            Verdict::fail(format!("the login's answer has no text at {}", login.token)).saw(
                asked,
                format!("{}, {} bytes", answer.status, answer.body.len()),
            ),
        ),
    }
}

struct Actor<'a> {
    world: &'a World,
    api: TaskApi,
    begun: Duration,
    headers: Vec<(&'static str, String)>,
    /// Each step's trace id, before its request is sent.
    traces: Mutex<BTreeMap<Deed, String>>,
    task: Mutex<Option<Value>>,
    found: Mutex<Vec<Found>>,
    news: Notify,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'a> Actor<'a> {
    fn new(world: &'a World, api: TaskApi) -> Self {
        Self {
            world,
            api,
            begun: world.clock.elapsed(),
            headers: Vec::new(),
            traces: Mutex::default(),
            task: Mutex::default(),
            found: Mutex::default(),
            news: Notify::new(),
        }
    }

    fn now(&self) -> Duration {
        self.world.clock.elapsed().saturating_sub(self.begun)
    }

    async fn live(mut self) -> Flow {
        let mut flow = Flow::default();
        match self.world.token().await {
            Ok(Some(token)) => self
                .headers
                .push(("authorization", format!("Bearer {token}"))),
            Ok(None) => {}
            Err(why) => {
                flow.trouble = Some(why);
                return flow;
            }
        }
        self.sweep().await;
        // What they have counted before the task is made; a check compares.
        let _ = self.world.sidecars().await;
        let offsets = self.offsets().await;
        let (mut steps, mut unread, mut unseen) = (Vec::new(), None, None);
        match &offsets {
            Err(why) => {
                unread = Some(why.clone());
                steps = self.act().await;
            }
            Ok((client, from)) => {
                let act = async {
                    let steps = self.act().await;
                    self.settle(&steps).await;
                    steps
                };
                tokio::select! {
                    done = act => steps = done,
                    // It ends only by failing.
                    why = self.collect(client, from) => unread = Some(why),
                    why = self.watch(client) => unseen = Some(why),
                }
            }
        }
        if steps.is_empty() && unread.is_some() {
            steps = self.act().await;
        }
        flow.task = lock(&self.task).as_ref().map(id_text);
        flow.steps = steps;
        flow.unread = unread;
        flow.unseen = unseen;
        flow.found = std::mem::take(&mut *lock(&self.found));
        flow.found.sort_by_key(|f| (f.deed, f.at));
        flow
    }

    /// Where the topics end before anything happens.
    async fn offsets(&self) -> Result<(&'a Client, Offsets), Verdict> {
        let client = self.world.kafka()?;
        let topics = self.world.scope.profile.topics();
        let names: Vec<&str> = topics.iter().map(|topic| topic.name.as_str()).collect();
        let read = client.offsets(&names, At::Latest).await;
        let offsets = read.map_err(|error| {
            Verdict::fail("the topics cannot be read").saw(
                format!("latest offsets of {}", names.join(", ")),
                super::scope::words(&error),
            )
        })?;
        Ok((client, offsets))
    }

    async fn visit(
        &self,
        method: Method,
        path: &str,
        trace: Option<&str>,
        body: Option<&Value>,
    ) -> Result<Answer, Verdict> {
        let own = self
            .headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()));
        let headers: Vec<_> = own
            .chain(trace.map(|trace| ("traceparent", trace)))
            .collect();
        self.world.visit(method, path, &headers, body).await
    }

    /// Removes what runs that were killed have left.
    async fn sweep(&self) {
        let Ok(answer) = self.visit(Method::GET, &self.api.path, None, None).await else {
            return;
        };
        let listed = answer.json();
        let all = listed
            .as_array()
            .or_else(|| listed.get("tasks")?.as_array())
            .cloned();
        let now = self.world.clock.now().as_second();
        let ours = |task: &&Value| {
            let made = made_at(task["title"].as_str().unwrap_or_default());
            made.is_some_and(|made| now - made > YOUNG)
        };
        for task in all.iter().flatten().filter(ours) {
            let path = format!("{}/{}", self.api.path, id_text(&task["id"]));
            // What cannot be removed now is tried again next time.
            let _ = self.visit(Method::DELETE, &path, None, None).await;
        }
    }

    /// Does everything to the task that can be done. Whatever fails, it is
    /// removed in the end.
    async fn act(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for deed in Deed::ALL {
            if deed != Deed::Create && lock(&self.task).is_none() {
                break;
            }
            steps.push(self.step(deed).await);
        }
        steps
    }

    async fn step(&self, deed: Deed) -> Step {
        let (header, trace) = trace();
        lock(&self.traces).insert(deed, trace.clone());
        let id = lock(&self.task).as_ref().map(id_text).unwrap_or_default();
        let one = format!("{}/{id}", self.api.path);
        let second = self.world.scope.now.as_second();
        let title = format!("{TITLE} {second} {}", self.world.run);
        let (method, path, body) = match deed {
            Deed::Create => (
                Method::POST,
                self.api.path.clone(),
                Some(json!({"title": title})),
            ),
            Deed::Update => (
                Method::PUT,
                one.clone(),
                Some(json!({"title": format!("{title}, changed")})),
            ),
            Deed::Complete => (Method::PATCH, format!("{one}/complete"), None),
            Deed::Delete => (Method::DELETE, one.clone(), None),
        };
        let asked = format!("{method} {path}");
        let began = self.now();
        let answer = self
            .visit(method, &path, Some(&header), body.as_ref())
            .await;
        if deed == Deed::Create
            && let Ok(answer) = &answer
            && answer.status.is_success()
        {
            let id = answer.json().get("id").filter(|id| !id.is_null()).cloned();
            *lock(&self.task) = id;
            self.news.notify_waiters();
        }
        let shown = match (deed, lock(&self.task).as_ref().map(id_text)) {
            (Deed::Create | Deed::Delete, Some(id)) => Some(id),
            _ => None,
        };
        let shown = match shown {
            Some(id) => Some(self.shown(deed, &format!("{}/{id}", self.api.path)).await),
            None => None,
        };
        Step {
            deed,
            asked,
            trace,
            began,
            answer,
            shown,
        }
    }

    /// Whether the app's state shows the task, or no longer does.
    async fn shown(&self, deed: Deed, path: &str) -> Result<Duration, Verdict> {
        let answer = self.visit(Method::GET, path, None, None).await?;
        let (right, wanted) = match deed {
            Deed::Delete => (answer.status == http::StatusCode::NOT_FOUND, "404"),
            _ => (answer.status.is_success(), "the task"),
        };
        match right {
            true => Ok(self.now()),
            false => Err(Verdict::fail(format!(
                "after the {} the app shows no {wanted}",
                deed.name()
            ))
            .saw(format!("GET {path}"), answer.shown())),
        }
    }

    /// Notes the events as they come.
    async fn collect(&self, client: &Client, from: &Offsets) -> Verdict {
        let mut scan = client.scan(&ScanPlan {
            from: from.clone(),
            until: Offsets::new(),
        });
        loop {
            let chunk = match scan.next().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => return Verdict::fail("the topics have ended"),
                Err(error) => {
                    return Verdict::fail("the topics cannot be read")
                        .saw("fetch from the brokers", super::scope::words(&error));
                }
            };
            let at = self.now();
            let read = chunk.each(|record| {
                let event =
                    Event::from_record(record.headers.iter(), record.value.unwrap_or_default());
                if let Some((deed, traced)) = self.deed_of(&event) {
                    lock(&self.found).push(Found {
                        deed,
                        topic: chunk.topic.to_string(),
                        partition: chunk.partition,
                        offset: record.offset,
                        at,
                        delivered: None,
                        event,
                        traced,
                    });
                }
                true
            });
            if let Err(error) = read {
                return Verdict::fail("a batch of events cannot be read").saw(
                    format!("{}/{}", chunk.topic, chunk.partition),
                    super::scope::words(&error),
                );
            }
            self.news.notify_waiters();
        }
    }

    /// The step that an event tells of, and whether it carries its trace.
    fn deed_of(&self, event: &Event) -> Option<(Deed, bool)> {
        let carried = ["traceparent", "traceid"].into_iter().find_map(|name| {
            let text = event.attribute(name)?;
            let parent: Option<TraceParent> = text.parse().ok();
            Some(parent.map_or_else(|| text.to_owned(), |parent| parent.trace))
        });
        if let Some(carried) = carried {
            let traces = lock(&self.traces);
            if let Some((deed, _)) = traces.iter().find(|(_, trace)| **trace == carried) {
                return Some((*deed, true));
            }
        }
        let task = event.fields().get("data")?.get("task_id")?;
        let ours = lock(&self.task).as_ref().map(id_text)?;
        let kind = event.attribute("type")?;
        let deed = Deed::ALL
            .into_iter()
            .find(|deed| kind.contains(deed.stem()))?;
        (id_text(task) == ours).then_some((deed, false))
    }

    /// The topic's events that were found, of steps that were answered well.
    fn settled(&self, steps: &[Step]) -> bool {
        let found = lock(&self.found);
        let topic = self.api.topic.as_str();
        steps
            .iter()
            .filter(|step| step.answer.as_ref().is_ok_and(|a| a.status.is_success()))
            .all(|step| {
                let mut all = found
                    .iter()
                    .filter(|f| f.deed == step.deed && f.topic == topic);
                all.any(|f| f.delivered.is_some() || !self.is_subscribed())
            })
    }

    fn is_subscribed(&self) -> bool {
        self.group().is_some()
    }

    /// The consumer group that gets the task's events.
    fn group(&self) -> Option<String> {
        let (_, app_id) = self.world.scope.with_sidecar().next()?;
        Some(app_id.to_owned())
    }

    /// Waits until everything has arrived, or for long enough.
    async fn settle(&self, steps: &[Step]) {
        let limit = self.world.clock.deadline(EVENTS_WITHIN);
        while !limit.passed() && !self.settled(steps) {
            let news = self.news.notified();
            tokio::select! {
                () = news => {}
                _ = self.world.clock.sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Notes how far the subscriber is.
    async fn watch(&self, client: &Client) -> Verdict {
        let Some(group) = self.group() else {
            return futures::future::pending().await;
        };
        loop {
            let waiting = lock(&self.found)
                .iter()
                .any(|found| found.delivered.is_none());
            if waiting {
                let Ok(lag) = client.lag(&group).await else {
                    // The group may be in the middle of a rebalance; that the
                    // events have not arrived is what counts in the end.
                    let _ = self.world.clock.sleep(LOOK_EVERY * 10).await;
                    continue;
                };
                let now = self.now();
                for found in lock(&self.found)
                    .iter_mut()
                    .filter(|f| f.delivered.is_none())
                {
                    let place = lag
                        .iter()
                        .find(|l| l.topic == found.topic && l.partition == found.partition);
                    if place
                        .and_then(|l| l.committed)
                        .is_some_and(|c| c > found.offset)
                    {
                        found.delivered = Some(now);
                    }
                }
                self.news.notify_waiters();
            }
            if self.world.clock.sleep(LOOK_EVERY).await.is_err() {
                return Verdict::fail("interrupted");
            }
        }
    }
}

/// The second in which a task of ours was made, by its title.
fn made_at(title: &str) -> Option<i64> {
    let rest = title.strip_prefix(TITLE)?.trim_start();
    rest.split(' ').next()?.parse().ok()
}

/// An id as a text, whether it is a number or a text.
pub(super) fn id_text(id: &Value) -> String {
    id.as_str().map_or_else(|| id.to_string(), str::to_owned)
}
