//! One group: its members and the rounds in which they join, get their
//! assignments, and fall out of time.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::oneshot;

use super::super::broker::Broker;
use super::super::codes::Code;
use super::{Joined, Joining, Later, Synced};

/// How long the first member of a group waits for others. Kafka's own default
/// is three seconds; a rehearsal has no thousand members.
const INITIAL_DELAY: Duration = Duration::from_millis(60);

/// Where a group is in its round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Nobody is in it.
    Empty,
    /// Members join until all have, not before `earliest`, not after `latest`.
    Preparing {
        earliest: Duration,
        latest: Duration,
    },
    /// The leader assigns.
    Completing,
    /// Everybody has an assignment.
    Stable,
}

/// One that has joined, or is joining.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) request: Joining,
    pub(super) assignment: Vec<u8>,
    pub(super) joining: Option<oneshot::Sender<Joined>>,
    pub(super) syncing: Option<oneshot::Sender<Synced>>,
    pub(super) last_seen: Duration,
}

impl Member {
    pub(super) fn metadata(&self, protocol: &str) -> Vec<u8> {
        let mut known = self.request.protocols.iter();
        let found = known.find(|(name, _)| name == protocol);
        found.map_or_else(Vec::new, |(_, metadata)| metadata.clone())
    }

    /// One that waits for an answer is alive as long as it listens.
    fn is_gone(&self, now: Duration) -> bool {
        match (&self.joining, &self.syncing) {
            (Some(waiting), _) => waiting.is_closed(),
            (None, Some(waiting)) => waiting.is_closed(),
            (None, None) => now >= self.last_seen + self.request.session,
        }
    }
}

/// The members of a group and the state of their round.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) state: State,
    pub(super) generation: i32,
    pub(super) protocol: String,
    pub(super) leader: String,
    pub(super) members: BTreeMap<String, Member>,
    /// Ids that were given out and have not come back, and until when.
    pub(super) expected: BTreeMap<String, Duration>,
}

impl Default for Group {
    fn default() -> Self {
        Self {
            state: State::Empty,
            generation: 0,
            protocol: String::new(),
            leader: String::new(),
            members: BTreeMap::new(),
            expected: BTreeMap::new(),
        }
    }
}

impl Group {
    pub(super) fn protocol_type(&self) -> &str {
        let mut members = self.members.values();
        members.next().map_or("", |m| &m.request.protocol_type)
    }

    pub(super) fn by_instance(&self, instance: Option<&str>) -> Option<String> {
        let wanted = instance?;
        let mut members = self.members.iter();
        let found = members.find(|(_, m)| m.request.instance.as_deref() == Some(wanted));
        found.map(|(id, _)| id.clone())
    }

    pub(super) fn join(
        &mut self,
        request: Joining,
        now: Duration,
    ) -> Result<Later<Joined>, (Code, String)> {
        let mut request = request;
        let fits = |other: &Member| {
            let same = other.request.protocol_type == request.protocol_type;
            let knows = |name: &String| other.request.protocols.iter().any(|(n, _)| n == name);
            same && request.protocols.iter().any(|(name, _)| knows(name))
        };
        let others = self.members.iter().filter(|(id, _)| **id != request.member);
        if request.protocols.is_empty() || !others.map(|(_, m)| m).all(fits) {
            return Err((Code::InconsistentGroupProtocol, request.member));
        }
        if request.member.is_empty() {
            let id = format!("{}-{}", request.client_id, Broker::nonce());
            if let Some(old) = self.by_instance(request.instance.as_deref()) {
                self.fence(&old);
            } else if request.comes_back && request.instance.is_none() {
                self.expected.insert(id.clone(), now + request.session);
                return Err((Code::MemberIdRequired, id));
            }
            request.member = id;
        } else if self.expected.remove(&request.member).is_none()
            && !self.members.contains_key(&request.member)
        {
            return Err((Code::UnknownMemberId, request.member));
        }
        let id = request.member.clone();
        let (tell, wait) = oneshot::channel();
        if let Some(member) = self.members.get_mut(&id) {
            let unchanged = member.request.protocols == request.protocols;
            member.request = request;
            member.last_seen = now;
            let settled = matches!(self.state, State::Stable | State::Completing);
            // Kafka lets only the leader ask for a new round without a change.
            let asks = self.state == State::Stable && self.leader == id;
            if settled && unchanged && !asks {
                return Ok(Later::Now(self.joined(&id)));
            }
            member.joining = Some(tell);
        } else {
            let member = Member {
                request,
                assignment: Vec::new(),
                joining: Some(tell),
                syncing: None,
                last_seen: now,
            };
            self.members.insert(id, member);
        }
        self.prepare(now);
        self.try_complete(now);
        Ok(Later::Wait(wait))
    }

    /// A static member came back under a new id: the old one is out.
    fn fence(&mut self, id: &str) {
        if let Some(old) = self.members.remove(id) {
            if let Some(waiting) = old.syncing {
                let _ = waiting.send(Err(Code::FencedInstanceId));
            }
            if self.leader == id {
                self.leader.clear();
            }
        }
    }

    /// Begins a round of joining.
    fn prepare(&mut self, now: Duration) {
        if matches!(self.state, State::Preparing { .. }) {
            return;
        }
        for member in self.members.values_mut() {
            if let Some(waiting) = member.syncing.take() {
                let _ = waiting.send(Err(Code::RebalanceInProgress));
            }
        }
        let longest = self.members.values().map(|m| m.request.rebalance).max();
        let delay = match self.state {
            State::Empty => INITIAL_DELAY,
            _ => Duration::ZERO,
        };
        self.state = State::Preparing {
            earliest: now + delay,
            latest: now + longest.unwrap_or_default().max(delay),
        };
    }

    /// Ends the round of joining when everybody is there, or time is up.
    fn try_complete(&mut self, now: Duration) {
        let State::Preparing { earliest, latest } = self.state else {
            return;
        };
        let all = self.members.values().all(|m| m.joining.is_some()) && self.expected.is_empty();
        if now < latest && (!all || now < earliest) {
            return;
        }
        self.members.retain(|_, member| member.joining.is_some());
        self.generation += 1;
        if self.members.is_empty() {
            self.state = State::Empty;
            return;
        }
        if !self.members.contains_key(&self.leader) {
            self.leader = self.members.keys().next().cloned().unwrap_or_default();
        }
        self.protocol = self.elect();
        self.state = State::Completing;
        let ids: Vec<_> = self.members.keys().cloned().collect();
        for id in ids {
            let answer = self.joined(&id);
            if let Some(member) = self.members.get_mut(&id) {
                member.assignment.clear();
                member.last_seen = now;
                if let Some(waiting) = member.joining.take() {
                    let _ = waiting.send(answer);
                }
            }
        }
    }

    /// The first of the leader's assignors that all know.
    fn elect(&self) -> String {
        let leader = self.members.get(&self.leader);
        let offers = leader
            .map(|m| m.request.protocols.iter())
            .into_iter()
            .flatten();
        let knows = |m: &Member, name: &str| m.request.protocols.iter().any(|(n, _)| n == name);
        offers
            .map(|(name, _)| name.clone())
            .find(|name| self.members.values().all(|m| knows(m, name)))
            .unwrap_or_default()
    }

    fn joined(&self, id: &str) -> Joined {
        let listed = |(id, m): (&String, &Member)| {
            (
                id.clone(),
                m.request.instance.clone(),
                m.metadata(&self.protocol),
            )
        };
        let leads = self.leader == id;
        Joined {
            code: Code::None,
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            member: id.to_owned(),
            members: if leads {
                self.members.iter().map(listed).collect()
            } else {
                Vec::new()
            },
        }
    }

    pub(super) fn assign(
        &mut self,
        leader: &str,
        given: Vec<(String, Vec<u8>)>,
        now: Duration,
    ) -> Synced {
        for (id, assignment) in given {
            if let Some(member) = self.members.get_mut(&id) {
                member.assignment = assignment;
            }
        }
        self.state = State::Stable;
        for member in self.members.values_mut() {
            member.last_seen = now;
            if let Some(waiting) = member.syncing.take() {
                let _ = waiting.send(Ok(member.assignment.clone()));
            }
        }
        let own = self.members.get(leader);
        Ok(own.map(|m| m.assignment.clone()).unwrap_or_default())
    }

    pub(super) fn remove(&mut self, ids: &[String], now: Duration) {
        for id in ids {
            self.members.remove(id);
        }
        if self.members.is_empty() && self.expected.is_empty() {
            self.state = State::Empty;
            self.generation += 1;
            return;
        }
        if self.state != State::Empty {
            self.prepare(now);
        }
        self.try_complete(now);
    }

    pub(super) fn tick(&mut self, now: Duration) {
        self.expected.retain(|_, until| now < *until);
        let gone = self.members.iter().filter(|(_, m)| m.is_gone(now));
        let gone: Vec<_> = gone.map(|(id, _)| id.clone()).collect();
        if !gone.is_empty() {
            self.remove(&gone, now);
        }
        self.try_complete(now);
    }

    pub(super) fn next_deadline(&self, now: Duration) -> Duration {
        let session = |m: &Member| match (&m.joining, &m.syncing) {
            // Whether one that waits still listens has to be looked at.
            (Some(_), _) | (_, Some(_)) => now + Duration::from_millis(500),
            (None, None) => m.last_seen + m.request.session,
        };
        let round = match self.state {
            State::Preparing { earliest, latest } => {
                Some(if now < earliest { earliest } else { latest })
            }
            _ => None,
        };
        let sessions = self.members.values().map(session);
        let all = sessions.chain(round).chain(self.expected.values().copied());
        all.min().unwrap_or(now + Duration::from_mins(1))
    }
}
