//! The coordinator of consumer groups: who is a member, who was given what,
//! and how far each group has read.
//!
//! Members live in memory, as they do for a broker that restarts: clients join
//! again. Committed offsets live in the store. Specified in the protocol
//! guide under "Group membership API" and in KIP-394 (member ids), KIP-345
//! (static members).

mod group;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::json;
use tokio::sync::{Notify, oneshot};

use super::super::store::Store;
use super::codes::Code;
use group::{Group, Member, State};

/// The session timeouts that are accepted, as Kafka's defaults are.
const SESSIONS: (Duration, Duration) = (Duration::from_secs(6), Duration::from_mins(30));
/// A character that no group's or topic's name has.
const SEPARATOR: char = '\u{1f}';

/// Somebody who wants to join.
#[derive(Debug, Clone, Default)]
pub struct Joining {
    /// The group.
    pub group: String,
    /// The id that the coordinator gave, or nothing.
    pub member: String,
    /// The name of a static member.
    pub instance: Option<String>,
    /// What the client calls itself.
    pub client_id: String,
    /// Where it is.
    pub host: String,
    /// Without a heartbeat for so long it is gone.
    pub session: Duration,
    /// How long it may take to join again.
    pub rebalance: Duration,
    /// `consumer`, mostly.
    pub protocol_type: String,
    /// The assignors that it knows, with its metadata for each.
    pub protocols: Vec<(String, Vec<u8>)>,
    /// Whether it knows that it must come back with the id that it is given.
    pub comes_back: bool,
}

/// The answer to joining.
#[derive(Debug, Clone)]
pub struct Joined {
    /// Success or not.
    pub code: Code,
    /// The generation of the group.
    pub generation: i32,
    /// The assignor that all know.
    pub protocol: String,
    /// The member that assigns.
    pub leader: String,
    /// The id of the one who joined.
    pub member: String,
    /// For the leader: every member, static name and metadata.
    pub members: Vec<(String, Option<String>, Vec<u8>)>,
}

/// Who speaks, in requests of members.
#[derive(Debug, Clone, Copy)]
pub struct Who<'a> {
    /// The group.
    pub group: &'a str,
    /// The generation that the member believes in.
    pub generation: i32,
    /// Its id.
    pub member: &'a str,
    /// Its static name.
    pub instance: Option<&'a str>,
}

/// The answer to a sync: the assignment.
pub type Synced = Result<Vec<u8>, Code>;

/// An answer now or later.
#[derive(Debug)]
pub enum Later<T> {
    /// Now.
    Now(T),
    /// When others have done their part.
    Wait(oneshot::Receiver<T>),
}

/// A committed offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The next offset to read.
    pub offset: i64,
    /// What the consumer noted.
    pub metadata: String,
}

/// A group as it is shown.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// `Stable`, `Empty`, `Dead` and so on.
    pub state: &'static str,
    /// `consumer`, mostly.
    pub protocol_type: String,
    /// The assignor.
    pub protocol: String,
    /// The members.
    pub members: Vec<MemberView>,
}

/// A member as it is shown.
#[derive(Debug, Clone)]
pub struct MemberView {
    /// Its id.
    pub id: String,
    /// Its static name.
    pub instance: Option<String>,
    /// What the client calls itself.
    pub client_id: String,
    /// Where it is.
    pub host: String,
    /// Its metadata for the assignor.
    pub metadata: Vec<u8>,
    /// What it was given.
    pub assignment: Vec<u8>,
}

/// All groups of a broker. All methods are short and never await.
#[derive(Debug)]
pub struct Groups {
    store: Arc<Store>,
    table: String,
    held: Mutex<BTreeMap<String, Group>>,
    changed: Arc<Notify>,
}

impl Groups {
    /// The groups whose offsets are in a table of the store.
    pub fn new(store: Arc<Store>, table: String) -> Self {
        Self {
            store,
            table,
            held: Mutex::default(),
            changed: Arc::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Group>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notified when the next deadline may be another one.
    pub fn changed(&self) -> Arc<Notify> {
        self.changed.clone()
    }

    /// Lets timeouts pass; says when to look again.
    pub fn tick(&self, now: Duration) -> Duration {
        let mut groups = self.lock();
        let mut next = now + Duration::from_mins(1);
        for group in groups.values_mut() {
            group.tick(now);
            next = next.min(group.next_deadline(now));
        }
        groups.retain(|_, group| !group.members.is_empty() || !group.expected.is_empty());
        next
    }

    /// A member joins, or joins again.
    pub fn join(&self, request: Joining, now: Duration) -> Later<Joined> {
        let refused = |code, member: String| {
            Later::Now(Joined {
                code,
                generation: -1,
                protocol: String::new(),
                leader: String::new(),
                member,
                members: Vec::new(),
            })
        };
        if request.group.is_empty() {
            return refused(Code::InvalidGroupId, request.member);
        }
        if request.session < SESSIONS.0 || request.session > SESSIONS.1 {
            return refused(Code::InvalidSessionTimeout, request.member);
        }
        let mut groups = self.lock();
        let group = groups.entry(request.group.clone()).or_default();
        self.changed.notify_one();
        match group.join(request, now) {
            Ok(later) => later,
            Err((code, member)) => refused(code, member),
        }
    }

    /// A member asks for what it was given; the leader says what each gets.
    pub fn sync(
        &self,
        who: Who<'_>,
        assignments: Vec<(String, Vec<u8>)>,
        now: Duration,
    ) -> Later<Synced> {
        let mut groups = self.lock();
        self.changed.notify_one();
        let group = match find(&mut groups, who, now) {
            Ok(group) => group,
            Err(code) => return Later::Now(Err(code)),
        };
        match group.state {
            State::Empty | State::Preparing { .. } => Later::Now(Err(Code::RebalanceInProgress)),
            State::Completing if group.leader == who.member => {
                Later::Now(group.assign(who.member, assignments, now))
            }
            State::Completing => {
                let (tell, wait) = oneshot::channel();
                if let Some(member) = group.members.get_mut(who.member) {
                    member.syncing = Some(tell);
                }
                Later::Wait(wait)
            }
            State::Stable => {
                let member = group.members.get(who.member);
                Later::Now(Ok(member.map(|m| m.assignment.clone()).unwrap_or_default()))
            }
        }
    }

    /// A member says that it lives, and hears whether it has to join again.
    pub fn heartbeat(&self, who: Who<'_>, now: Duration) -> Code {
        match find(&mut self.lock(), who, now) {
            Ok(group) if matches!(group.state, State::Preparing { .. }) => {
                Code::RebalanceInProgress
            }
            Ok(_) => Code::None,
            Err(code) => code,
        }
    }

    /// A member leaves, named by its id or its static name.
    pub fn leave(&self, group: &str, member: &str, instance: Option<&str>, now: Duration) -> Code {
        let mut groups = self.lock();
        self.changed.notify_one();
        let Some(group) = groups.get_mut(group) else {
            return Code::UnknownMemberId;
        };
        let id = match group.by_instance(instance) {
            Some(id) if member.is_empty() || id == member => id,
            Some(_) => return Code::FencedInstanceId,
            None => member.to_owned(),
        };
        group.expected.remove(&id);
        if !group.members.contains_key(&id) {
            return Code::UnknownMemberId;
        }
        group.remove(&[id], now);
        Code::None
    }

    /// Notes how far a group has read.
    pub fn commit(&self, who: Who<'_>, offsets: &[Committed], now: Duration) -> Result<(), Code> {
        let mut groups = self.lock();
        let has_members = groups
            .get(who.group)
            .is_some_and(|group| !group.members.is_empty());
        // A consumer that assigns itself belongs to no generation.
        if who.generation >= 0 || has_members {
            let group = find(&mut groups, who, now)?;
            if group.state == State::Completing {
                return Err(Code::RebalanceInProgress);
            }
        }
        drop(groups);
        let done: Result<(), std::convert::Infallible> = self.store.write(|tx| {
            for one in offsets {
                let key = key(who.group, &one.topic, one.partition);
                let value = json!({
                    "group": who.group,
                    "topic": one.topic,
                    "partition": one.partition,
                    "offset": one.offset,
                    "metadata": one.metadata,
                });
                let same = tx
                    .get(&self.table, &key)
                    .is_some_and(|row| *row.value == value);
                if !same {
                    tx.put(&self.table, &key, value);
                }
            }
            Ok(())
        });
        done.unwrap_or_else(|never| match never {});
        Ok(())
    }

    /// How far a group has read.
    pub fn committed(&self, group: &str) -> Vec<Committed> {
        let rows = self
            .store
            .list(&self.table, &format!("{group}{SEPARATOR}"))
            .0;
        rows.iter()
            .map(|(_, row)| Committed {
                topic: row.value["topic"].as_str().unwrap_or_default().to_owned(),
                partition: row.value["partition"]
                    .as_i64()
                    .and_then(|n| n.try_into().ok())
                    .unwrap_or(0),
                offset: row.value["offset"].as_i64().unwrap_or(-1),
                metadata: row.value["metadata"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned(),
            })
            .collect()
    }

    /// The groups with members or committed offsets, and their protocol types.
    pub fn list(&self) -> Vec<(String, String)> {
        let rows = self.store.list(&self.table, "").0;
        let committed = rows
            .iter()
            .filter_map(|(_, row)| row.value["group"].as_str());
        let mut names: BTreeSet<String> = committed.map(str::to_owned).collect();
        names.extend(self.lock().keys().cloned());
        names
            .into_iter()
            .map(|name| {
                let kind = self.describe(&name).protocol_type;
                (name, kind)
            })
            .collect()
    }

    /// A group as it is shown; one that nobody knows is `Dead`.
    pub fn describe(&self, name: &str) -> View {
        let groups = self.lock();
        let Some(group) = groups.get(name).filter(|g| !g.members.is_empty()) else {
            let known = !self.committed(name).is_empty();
            return View {
                state: if known { "Empty" } else { "Dead" },
                protocol_type: if known { "consumer" } else { "" }.to_owned(),
                ..View::default()
            };
        };
        let view = |(id, member): (&String, &Member)| MemberView {
            id: id.clone(),
            instance: member.request.instance.clone(),
            client_id: member.request.client_id.clone(),
            host: member.request.host.clone(),
            metadata: member.metadata(&group.protocol),
            assignment: member.assignment.clone(),
        };
        View {
            state: match group.state {
                State::Empty => "Empty",
                State::Preparing { .. } => "PreparingRebalance",
                State::Completing => "CompletingRebalance",
                State::Stable => "Stable",
            },
            protocol_type: group.protocol_type().to_owned(),
            protocol: group.protocol.clone(),
            members: group.members.iter().map(view).collect(),
        }
    }

    /// Forgets a group without members.
    pub fn delete(&self, name: &str) -> Code {
        match self.describe(name).state {
            "Dead" => Code::GroupIdNotFound,
            "Empty" => {
                for one in self.committed(name) {
                    self.store
                        .delete(&self.table, &key(name, &one.topic, one.partition));
                }
                Code::None
            }
            _ => Code::NonEmptyGroup,
        }
    }

    /// Forgets what groups have read of a topic that is gone.
    pub fn forget_topic(&self, topic: &str) {
        for (key, row) in self.store.list(&self.table, "").0 {
            if row.value["topic"] == topic {
                self.store.delete(&self.table, &key);
            }
        }
    }
}

fn key(group: &str, topic: &str, partition: i32) -> String {
    format!("{group}{SEPARATOR}{topic}{SEPARATOR}{partition:06}")
}

/// The group of somebody who is a member of its current generation.
fn find<'a>(
    groups: &'a mut BTreeMap<String, Group>,
    who: Who<'_>,
    now: Duration,
) -> Result<&'a mut Group, Code> {
    let group = groups.get_mut(who.group).ok_or(Code::UnknownMemberId)?;
    if let Some(id) = group.by_instance(who.instance)
        && id != who.member
    {
        return Err(Code::FencedInstanceId);
    }
    let member = group
        .members
        .get_mut(who.member)
        .ok_or(Code::UnknownMemberId)?;
    if who.generation != group.generation {
        return Err(Code::IllegalGeneration);
    }
    member.last_seen = now;
    Ok(group)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn groups() -> (tempfile::TempDir, Groups) {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(dir.path()).unwrap());
        (dir, Groups::new(store, "offsets".into()))
    }

    fn asks(member: &str) -> Joining {
        Joining {
            group: "todo".into(),
            member: member.into(),
            client_id: "client".into(),
            session: Duration::from_secs(10),
            rebalance: Duration::from_secs(30),
            protocol_type: "consumer".into(),
            protocols: vec![("range".into(), b"meta".to_vec())],
            ..Joining::default()
        }
    }

    fn waits(later: Later<Joined>) -> oneshot::Receiver<Joined> {
        match later {
            Later::Wait(wait) => wait,
            Later::Now(joined) => panic!("answered at once: {joined:?}"),
        }
    }

    fn who<'a>(joined: &'a Joined) -> Who<'a> {
        Who {
            group: "todo",
            generation: joined.generation,
            member: &joined.member,
            instance: None,
        }
    }

    /// One member that was given everything.
    fn settled(groups: &Groups) -> Joined {
        let mut wait = waits(groups.join(asks(""), at(0)));
        assert!(wait.try_recv().is_err(), "the first one waits for others");
        groups.tick(at(100));
        let first = wait.try_recv().unwrap();
        let given = vec![(first.member.clone(), b"all".to_vec())];
        let Later::Now(Ok(mine)) = groups.sync(who(&first), given, at(100)) else {
            panic!("the leader's sync answers at once")
        };
        assert_eq!(mine, b"all");
        first
    }

    #[test]
    fn the_second_member_waits_until_the_first_has_joined_again() {
        let (_dir, groups) = groups();
        let first = settled(&groups);
        assert_eq!(groups.describe("todo").state, "Stable");
        let mut second = waits(groups.join(asks(""), at(200)));
        assert!(second.try_recv().is_err(), "the barrier");
        let beat = groups.heartbeat(who(&first), at(300));
        assert_eq!(beat, Code::RebalanceInProgress);
        let mut again = waits(groups.join(asks(&first.member), at(400)));
        let (first, second) = (again.try_recv().unwrap(), second.try_recv().unwrap());
        assert_eq!((first.generation, second.generation), (2, 2));
        assert_eq!(first.leader, first.member);
        assert_eq!((first.members.len(), second.members.len()), (2, 0));
        let Later::Wait(mut theirs) = groups.sync(who(&second), Vec::new(), at(500)) else {
            panic!("a follower waits for the leader")
        };
        let given = vec![
            (first.member.clone(), b"half".to_vec()),
            (second.member.clone(), b"other half".to_vec()),
        ];
        assert!(matches!(
            groups.sync(who(&first), given, at(600)),
            Later::Now(Ok(_))
        ));
        assert_eq!(theirs.try_recv().unwrap(), Ok(b"other half".to_vec()));
        let left = groups.leave("todo", &second.member, None, at(700));
        assert_eq!(left, Code::None);
        let beat = groups.heartbeat(who(&first), at(800));
        assert_eq!(beat, Code::RebalanceInProgress);
    }

    #[test]
    fn a_silent_member_is_out_after_its_session_and_a_late_one_after_the_round() {
        let (_dir, groups) = groups();
        let first = settled(&groups);
        assert_eq!(groups.heartbeat(who(&first), at(5000)), Code::None);
        groups.tick(at(14_000));
        assert_eq!(groups.heartbeat(who(&first), at(14_000)), Code::None);
        groups.tick(at(24_001));
        let beat = groups.heartbeat(who(&first), at(24_001));
        assert_eq!(beat, Code::UnknownMemberId);
    }

    #[test]
    fn a_member_that_never_comes_back_to_the_round_is_left_behind() {
        let (_dir, groups) = groups();
        let first = settled(&groups);
        let mut second = waits(groups.join(asks(""), at(1000)));
        for t in (2000..31_000).step_by(1000) {
            groups.heartbeat(who(&first), at(t));
            groups.tick(at(t));
        }
        assert!(second.try_recv().is_err());
        groups.tick(at(31_001));
        let second = second.try_recv().unwrap();
        assert_eq!(second.leader, second.member);
        assert_eq!(second.members.len(), 1);
    }

    #[test]
    fn a_client_that_comes_back_gets_its_id_first() {
        let (_dir, groups) = groups();
        let mut request = asks("");
        request.comes_back = true;
        let Later::Now(refused) = groups.join(request.clone(), at(0)) else {
            panic!("an id first")
        };
        assert_eq!(refused.code, Code::MemberIdRequired);
        request.member = refused.member;
        let _wait = waits(groups.join(request.clone(), at(0)));
        request.member = "made-up".into();
        let Later::Now(refused) = groups.join(request, at(0)) else {
            panic!("refused")
        };
        assert_eq!(refused.code, Code::UnknownMemberId);
        let mut other = asks("");
        other.protocols = vec![("sticky".into(), Vec::new())];
        let Later::Now(refused) = groups.join(other, at(0)) else {
            panic!("refused")
        };
        assert_eq!(refused.code, Code::InconsistentGroupProtocol);
    }

    #[test]
    fn commits_are_kept_and_checked_against_the_generation() {
        let (_dir, groups) = groups();
        let first = settled(&groups);
        let one = Committed {
            topic: "task-events".into(),
            partition: 2,
            offset: 41,
            metadata: "noted".into(),
        };
        let commits = [one.clone()];
        assert_eq!(groups.commit(who(&first), &commits, at(200)), Ok(()));
        assert_eq!(groups.committed("todo"), [one]);
        let old = Who {
            generation: 0,
            ..who(&first)
        };
        let refused = groups.commit(old, &commits, at(200));
        assert_eq!(refused, Err(Code::IllegalGeneration));
        let alone = Who {
            group: "other",
            generation: -1,
            member: "",
            instance: None,
        };
        assert_eq!(groups.commit(alone, &commits, at(200)), Ok(()));
        assert_eq!(groups.delete("todo"), Code::NonEmptyGroup);
        assert_eq!(groups.delete("other"), Code::None);
        assert_eq!(groups.describe("other").state, "Dead");
    }
}
