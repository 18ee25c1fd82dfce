//! The broker for whoever lives in the same process: what a client library
//! would be, without a socket. It is subject to the fault plan and to the
//! rules like any other client, and its requests go to the request log.

use std::sync::Arc;
use std::time::Duration;

use super::super::faults::Verdict;
use super::acl::{Asker, Operation, Resource};
use super::batch::{self, Record};
use super::broker::{Broker, SYSTEM};
use super::codes::{Api, Code};
use super::groups::{Committed, Who};
use super::scram::Mechanism;

/// Why the broker did not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// It is not there.
    #[error("dial tcp: connect: connection refused")]
    Away,
    /// The connection was closed instead of an answer.
    #[error("EOF")]
    Dropped,
    /// User or password are wrong.
    #[error("SASL authentication failed")]
    Denied,
    /// It answered with an error.
    #[error("kafka server: {0:?}")]
    Refused(Code),
}

/// Where a record goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// To this partition.
    Partition(i32),
    /// To the partition of the record's key; without one, to any.
    Key,
}

/// Somebody who is logged in.
#[derive(Debug, Clone)]
pub struct Client {
    broker: Arc<Broker>,
    user: String,
}

const HERE: &str = "127.0.0.1";

impl Client {
    /// Logs in, as over a socket that asks for it.
    pub fn login(
        broker: &Arc<Broker>,
        mechanism: Mechanism,
        user: &str,
        password: &str,
    ) -> Result<Self, ClientError> {
        if broker.is_away() {
            return Err(ClientError::Away);
        }
        let refused = broker.hit("auth-refused", "", None);
        let kept = broker.users.credential(user, mechanism);
        let fits = kept.is_some_and(|kept| kept.fits(password));
        if refused || !fits || !broker.options.mechanisms.contains(&mechanism) {
            return Err(ClientError::Denied);
        }
        Ok(Self {
            broker: broker.clone(),
            user: user.to_owned(),
        })
    }

    /// Connects as over a socket without authentication.
    pub fn anonymous(broker: &Arc<Broker>) -> Self {
        Self {
            broker: broker.clone(),
            user: "ANONYMOUS".to_owned(),
        }
    }

    /// Appends a record; its partition and offset once it is acknowledged.
    pub async fn append(
        &self,
        topic: &str,
        place: Place,
        record: Record,
    ) -> Result<(i32, i64), ClientError> {
        let work = || {
            self.check(Operation::Write, Resource::Topic, topic)?;
            let held = self.broker.topics.get(topic);
            let held = held.ok_or(ClientError::Refused(Code::UnknownTopicOrPartition))?;
            let partition = match place {
                Place::Partition(partition) => partition,
                Place::Key => {
                    let count = held.partitions().max(1);
                    let of_key = record.key.as_deref().map(super::crc::crc32c);
                    let number = of_key.unwrap_or_else(|| self.broker.turn());
                    i32::try_from(u64::from(number) % u64::from(count.cast_unsigned())).unwrap_or(0)
                }
            };
            let log = self
                .broker
                .log(topic, partition)
                .map_err(ClientError::Refused)?;
            let batch = batch::build(std::slice::from_ref(&record));
            let appended = self.broker.append(topic, &log, &batch);
            appended
                .map(|at| (partition, at.offset))
                .map_err(ClientError::Refused)
        };
        self.exchange(Api::Produce, topic, work).await
    }

    /// The records of a partition from an offset on, and the offset to go on
    /// from. Waits up to `wait` of real time when there are none.
    pub async fn fetch(
        &self,
        topic: &str,
        partition: i32,
        offset: i64,
        wait: Duration,
    ) -> Result<(Vec<Record>, i64), ClientError> {
        let deadline = self.broker.real.elapsed() + wait;
        let mut appends = self.broker.watch_appends();
        let mut away = self.broker.watch_away();
        loop {
            appends.mark_unchanged();
            let (records, next) = self.fetch_now(topic, partition, offset)?;
            let left = deadline.saturating_sub(self.broker.real.elapsed());
            if !records.is_empty() || next > offset || left.is_zero() {
                if records.is_empty() {
                    return Ok((records, next));
                }
                let found = Ok((records, next));
                return self.exchange(Api::Fetch, topic, || found).await;
            }
            tokio::select! {
                _ = appends.changed() => {}
                _ = away.wait_for(|away| *away) => return Err(ClientError::Away),
                slept = self.broker.real.sleep(left) => {
                    slept.map_err(|_| ClientError::Away)?;
                }
            }
        }
    }

    fn fetch_now(
        &self,
        topic: &str,
        partition: i32,
        offset: i64,
    ) -> Result<(Vec<Record>, i64), ClientError> {
        if self.broker.is_away() {
            return Err(ClientError::Away);
        }
        self.check(Operation::Read, Resource::Topic, topic)?;
        let log = self
            .broker
            .log(topic, partition)
            .map_err(ClientError::Refused)?;
        let (start, next) = log.bounds();
        if !(start..=next).contains(&offset) {
            return Err(ClientError::Refused(Code::OffsetOutOfRange));
        }
        let mut bytes = Vec::new();
        log.read(offset, 1 << 20, true, &mut bytes)
            .map_err(|_| ClientError::Refused(Code::KafkaStorage))?;
        let mut rest = bytes.as_slice();
        let mut found = Vec::new();
        let mut next = offset;
        while let Ok(header) = batch::Header::read(rest) {
            let records =
                batch::records(rest).map_err(|_| ClientError::Refused(Code::CorruptMessage))?;
            found.extend(records.into_iter().filter(|r| r.offset >= offset));
            next = header.next_offset();
            rest = rest.get(header.size..).unwrap_or_default();
        }
        Ok((found, next))
    }

    /// The first offset kept in each partition, and the one behind the last.
    pub async fn bounds(&self, topic: &str) -> Result<Vec<(i64, i64)>, ClientError> {
        let work = || {
            self.check(Operation::Describe, Resource::Topic, topic)?;
            self.broker.log(topic, 0).map_err(ClientError::Refused)?;
            let held = self.broker.topics.get(topic);
            Ok(held.map_or_else(Vec::new, |t| {
                t.logs.iter().map(|log| log.bounds()).collect()
            }))
        };
        self.exchange(Api::ListOffsets, topic, work).await
    }

    /// Notes how far a group without members has read.
    pub async fn commit(
        &self,
        group: &str,
        topic: &str,
        partition: i32,
        offset: i64,
    ) -> Result<(), ClientError> {
        let work = || {
            self.check(Operation::Read, Resource::Group, group)?;
            let who = Who {
                group,
                generation: -1,
                member: "",
                instance: None,
            };
            let one = Committed {
                topic: topic.to_owned(),
                partition,
                offset,
                metadata: String::new(),
            };
            let now = self.broker.real.elapsed();
            let done = self.broker.groups.commit(who, &[one], now);
            done.map_err(ClientError::Refused)
        };
        self.exchange(Api::OffsetCommit, group, work).await
    }

    /// How far a group has read a partition; none where it has not.
    pub async fn committed(
        &self,
        group: &str,
        topic: &str,
        partition: i32,
    ) -> Result<Option<i64>, ClientError> {
        let work = || {
            self.check(Operation::Describe, Resource::Group, group)?;
            let known = self.broker.groups.committed(group);
            let found = known
                .iter()
                .find(|o| o.topic == topic && o.partition == partition);
            Ok(found.map(|o| o.offset))
        };
        self.exchange(Api::OffsetFetch, group, work).await
    }

    fn check(&self, op: Operation, on: Resource, name: &str) -> Result<(), ClientError> {
        let who = Asker {
            user: &self.user,
            host: HERE,
        };
        match self.broker.may(who, op, on, name) {
            true => Ok(()),
            false if on == Resource::Group => {
                Err(ClientError::Refused(Code::GroupAuthorizationFailed))
            }
            false => Err(ClientError::Refused(Code::TopicAuthorizationFailed)),
        }
    }

    /// One request as the fault plan and the log see it.
    async fn exchange<T>(
        &self,
        api: Api,
        about: &str,
        work: impl FnOnce() -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        let world = &self.broker.world;
        if self.broker.is_away() {
            return Err(ClientError::Away);
        }
        let (name, path) = (format!("{api:?}"), format!("/{about}"));
        let started = world.clock.elapsed();
        let entry = world.requests.begin(SYSTEM, &name, &path);
        let verdict = super::server::judge(&self.broker, &name, &path).await;
        let done = match verdict {
            Verdict::Drop | Verdict::Status(_) => Err(ClientError::Dropped),
            _ => work(),
        };
        let status = match &done {
            Ok(_) => 200,
            Err(ClientError::Refused(code)) => code.number().unsigned_abs(),
            Err(_) => 0,
        };
        let took = world.clock.elapsed().saturating_sub(started);
        world
            .requests
            .finish(&entry, status, Some(&self.user), took, verdict.name());
        match verdict {
            Verdict::LoseReply => return Err(ClientError::Dropped),
            Verdict::HoldReply(fault) => world.faults.cleared(fault).await,
            _ => {}
        }
        done
    }
}
