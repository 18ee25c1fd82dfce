//! The broker itself: what its listeners and its in-process clients share.

use std::io;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::super::faults::Faults;
use super::super::world::{World, hex};
use super::acl::{Acls, Asker, Operation, Resource};
use super::batch::{self, Refusal};
use super::codes::Code;
use super::groups::Groups;
use super::log::{AppendError, Log, Twist};
use super::topics::Topics;
use super::users::Users;
use crate::clock::Clock;

/// The system's name in faults and in the request log.
pub const SYSTEM: &str = "kafka";

/// The faults that only a broker has, and what their arguments mean.
pub const FAULT_KINDS: [(&str, &str); 6] = [
    ("auth-refused", "every password is wrong"),
    ("topic-missing", "TOPIC, or all: as if it did not exist"),
    (
        "leaderless",
        "TOPIC or TOPIC/PARTITION, or all: no broker leads it",
    ),
    (
        "lose-record",
        "TOPIC, or any: acknowledged, but never written",
    ),
    ("double-record", "TOPIC, or any: written twice"),
    ("late-record", "TOPIC, or any: written after the next one"),
];

/// How a broker is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// The broker's number among the nodes of its cluster.
    pub node_id: i32,
    /// Users that may do everything, whatever the rules say.
    pub superusers: Vec<String>,
    /// How many replicas every topic is said to have, whatever is asked for.
    pub fixed_replicas: Option<i16>,
    /// Whether a topic comes to be when somebody asks for it.
    pub auto_create: bool,
    /// How many bytes of a partition are kept.
    pub keep_bytes: u64,
    /// The mechanisms by which users may log in.
    pub mechanisms: Vec<super::Mechanism>,
    /// Whether nothing is allowed that no rule allows, even without rules.
    pub strict: bool,
    /// Whether nobody looks at rules: everybody may do everything.
    pub open: bool,
    /// A system and a kind of its faults that take the broker away as well.
    pub gone_with: Option<(String, String)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            node_id: 1,
            superusers: Vec::new(),
            fixed_replicas: None,
            auto_create: false,
            keep_bytes: 1 << 30,
            mechanisms: super::Mechanism::ALL.to_vec(),
            strict: false,
            open: false,
            gone_with: None,
        }
    }
}

/// Where a batch went.
#[derive(Debug, Clone, Copy)]
pub(super) struct Appended {
    /// The offset of its first record.
    pub(super) offset: i64,
    /// The first offset that the partition still has.
    pub(super) start: i64,
}

/// One node that leads every partition of its cluster.
#[derive(Debug)]
pub struct Broker {
    /// The cluster's name in the world.
    pub name: String,
    /// How it is set up.
    pub options: Options,
    /// The topics and their logs.
    pub topics: Topics,
    /// Who may log in.
    pub users: Users,
    /// Who may do what.
    pub acls: Acls,
    /// The consumer groups.
    pub(super) groups: Groups,
    pub(super) world: Arc<World>,
    /// Clients' timeouts are in real time, whatever the world's clock does.
    pub(super) real: Clock,
    pub(super) cluster_id: String,
    appended: watch::Sender<u64>,
    away: watch::Sender<bool>,
    producers: AtomicI64,
    turn: AtomicU32,
    stop: CancellationToken,
}

impl Broker {
    /// Opens a broker of a world, with what it held before.
    pub fn open(world: &Arc<World>, name: &str, options: Options) -> io::Result<Arc<Self>> {
        let table = |what: &str| format!("kafka/{name}/{what}");
        let notes = |what: &str| format!("sandbox/kafka/{name}/{what}");
        let store = world.store.clone();
        let meta = notes("meta");
        let made = store.get(&meta, "cluster").and_then(|row| {
            let id = row.value.as_str()?;
            Some(id.to_owned())
        });
        let cluster_id = made.unwrap_or_else(|| {
            let id = world.letters(&meta, 22);
            store.put(&meta, "cluster", json!(id));
            id
        });
        let topics = Topics::open(
            store.clone(),
            table("topics"),
            world.dir.join("kafka").join(name),
            options.fixed_replicas,
        )?;
        let stop = world.clock.cancellation().child_token();
        let producers = store.get(&meta, "producers");
        let producers = producers.and_then(|row| row.value.as_i64()).unwrap_or(1000);
        let broker = Arc::new(Self {
            name: name.to_owned(),
            topics,
            users: Users::new(store.clone(), table("users")),
            acls: Acls::new(store.clone(), table("acls")),
            groups: Groups::new(store.clone(), notes("offsets")),
            real: Clock::new(1.0, stop.clone()),
            world: world.clone(),
            options,
            cluster_id,
            appended: watch::channel(0).0,
            away: watch::channel(false).0,
            producers: AtomicI64::new(producers),
            turn: AtomicU32::new(0),
            stop,
        });
        tokio::spawn(follow_faults(Arc::downgrade(&broker)));
        tokio::spawn(follow_groups(Arc::downgrade(&broker)));
        Ok(broker)
    }

    /// Removes everything that a closed broker held.
    pub fn destroy(world: &World, name: &str) {
        let (things, notes) = (format!("kafka/{name}/"), format!("sandbox/kafka/{name}/"));
        world
            .store
            .clear(|table| table.starts_with(&things) || table.starts_with(&notes));
        // What stays behind is removed when a broker of that name is opened.
        let _ = std::fs::remove_dir_all(world.dir.join("kafka").join(name));
    }

    /// Ends every listener and every connection.
    pub fn close(&self) {
        self.stop.cancel();
    }

    /// Ends with the broker.
    pub(super) fn stopped(&self) -> &CancellationToken {
        &self.stop
    }

    /// Whether the fault plan says that the broker is gone.
    pub fn is_away(&self) -> bool {
        self.time_away().is_some()
    }

    fn time_away(&self) -> Option<Duration> {
        let faults = &self.world.faults;
        if faults.is_empty() {
            return None;
        }
        if let Some((system, kind)) = &self.options.gone_with
            && faults
                .list()
                .iter()
                .any(|f| f.system == *system && f.kind == *kind)
        {
            return Some(Duration::MAX);
        }
        faults.away(SYSTEM, self.age_ms())
    }

    pub(super) fn age_ms(&self) -> u64 {
        u64::try_from(self.world.age().as_millis()).unwrap_or(u64::MAX)
    }

    /// Changes to true while the broker is away.
    pub(super) fn watch_away(&self) -> watch::Receiver<bool> {
        self.away.subscribe()
    }

    /// Changes whenever something was appended to any log.
    pub(super) fn watch_appends(&self) -> watch::Receiver<u64> {
        self.appended.subscribe()
    }

    /// A number that no producer had before.
    pub(super) fn new_producer(&self) -> i64 {
        let id = self.producers.fetch_add(1, Ordering::Relaxed);
        let meta = format!("sandbox/kafka/{}/meta", self.name);
        self.world.store.put(&meta, "producers", json!(id + 1));
        id
    }

    /// Whether somebody may do something with a resource.
    pub(super) fn may(&self, who: Asker<'_>, op: Operation, on: Resource, name: &str) -> bool {
        self.options.open
            || self.options.superusers.iter().any(|user| user == who.user)
            || (!self.options.strict && self.acls.is_empty())
            || self.acls.allow(who, op, on, name)
    }

    /// Whether a fault of the broker's own kinds hits a topic, and the
    /// partition if it is about one.
    pub(super) fn hit(&self, kind: &str, topic: &str, partition: Option<i32>) -> bool {
        if self.world.faults.is_empty() {
            return false;
        }
        let both = partition.map(|partition| format!("{topic}/{partition}"));
        let wanted =
            |arg: Option<&str>| arg.is_none_or(|arg| arg == topic || both.as_deref() == Some(arg));
        let subject = format!("/{topic}");
        let done: Result<_, std::convert::Infallible> = self
            .world
            .store
            .write(|tx| Ok(Faults::take_in(tx, SYSTEM, kind, &subject, wanted).is_some()));
        done.unwrap_or_else(|never| match never {})
    }

    /// What the fault plan does to a batch for a topic.
    pub(super) fn twist(&self, topic: &str) -> Twist {
        let kinds = [
            ("lose-record", Twist::Lose),
            ("double-record", Twist::Double),
            ("late-record", Twist::Late),
        ];
        let hit = kinds
            .into_iter()
            .find(|(kind, _)| self.hit(kind, topic, None));
        hit.map_or(Twist::None, |(_, twist)| twist)
    }

    /// The log of a partition, as the fault plan lets clients see it.
    pub(super) fn log(&self, topic: &str, partition: i32) -> Result<Arc<Log>, Code> {
        if self.hit("topic-missing", topic, None) {
            return Err(Code::UnknownTopicOrPartition);
        }
        if self.hit("leaderless", topic, Some(partition)) {
            return Err(Code::NotLeaderOrFollower);
        }
        let held = self.topics.get(topic);
        held.and_then(|topic| topic.log(partition).cloned())
            .ok_or(Code::UnknownTopicOrPartition)
    }

    /// Checks a batch and appends it.
    pub(super) fn append(&self, topic: &str, log: &Log, batch: &[u8]) -> Result<Appended, Code> {
        let header = batch::verify(batch).map_err(|refusal| match refusal {
            Refusal::Corrupt => Code::CorruptMessage,
            Refusal::Invalid => Code::InvalidRecord,
        })?;
        let held = self
            .topics
            .get(topic)
            .ok_or(Code::UnknownTopicOrPartition)?;
        let largest = held.config("max.message.bytes").parse::<usize>();
        if largest.is_ok_and(|largest| header.size > largest) {
            return Err(Code::MessageTooLarge);
        }
        let appended = log.append(batch, &header, self.twist(topic));
        let offset = appended.map_err(|error| match error {
            AppendError::OutOfOrder => Code::OutOfOrderSequence,
            AppendError::OldEpoch => Code::InvalidProducerEpoch,
            AppendError::Io(_) => Code::KafkaStorage,
        })?;
        // A log that cannot be trimmed just stays longer.
        let _ = log.trim(held.keep_bytes(self.options.keep_bytes));
        self.appended.send_modify(|count| *count += 1);
        Ok(Appended {
            offset,
            start: log.bounds().0,
        })
    }

    /// Deletes a topic and what groups have read of it; whether it was there.
    pub fn delete_topic(&self, name: &str) -> bool {
        let was = self.topics.delete(name);
        if was {
            self.groups.forget_topic(name);
        }
        was
    }

    /// A number that is another one every time, to spread what has no key.
    pub(super) fn turn(&self) -> u32 {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    /// A nonce that nobody can guess.
    pub(super) fn nonce() -> String {
        hex(&super::users::salt())
    }
}

/// Keeps `away` as the fault plan says.
async fn follow_faults(broker: Weak<Broker>) {
    let Some(mut changes) = broker.upgrade().map(|b| b.world.store.subscribe()) else {
        return;
    };
    loop {
        let Some(held) = broker.upgrade() else { return };
        let left = held.time_away();
        held.away
            .send_if_modified(|away| std::mem::replace(away, left.is_some()) != left.is_some());
        let (clock, stop) = (held.world.clock.clone(), held.stop.clone());
        drop(held);
        // An hour, so that a broker that nobody holds is let go.
        let wait = left.unwrap_or(Duration::MAX).min(Duration::from_hours(1));
        tokio::select! {
            () = stop.cancelled() => return,
            changed = changes.changed() => if changed.is_err() { return },
            slept = clock.sleep(wait) => if slept.is_err() { return },
        }
    }
}

/// Lets the groups' timeouts pass.
async fn follow_groups(broker: Weak<Broker>) {
    loop {
        let Some(held) = broker.upgrade() else { return };
        let now = held.real.elapsed();
        let next = held.groups.tick(now);
        let (clock, stop) = (held.real.clone(), held.stop.clone());
        let changed = held.groups.changed();
        drop(held);
        let wait = next.saturating_sub(now).min(Duration::from_mins(1));
        tokio::select! {
            () = stop.cancelled() => return,
            () = changed.notified() => {}
            slept = clock.sleep(wait.max(Duration::from_millis(5))) => {
                if slept.is_err() { return }
            }
        }
    }
}
