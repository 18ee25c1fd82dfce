//! Produce, fetch, and offsets by time.

use std::sync::Arc;
use std::time::Duration;

use super::super::acl::{Operation, Resource};
use super::super::codes::Code;
use super::super::log::Log;
use super::super::server::Then;
use super::super::wire::{Malformed, Reader};
use super::Call;
use super::access::Session;

/// No reply carries more records than this, whatever the client asks for.
const MOST: usize = 50 * 1024 * 1024;

type Topics<'a, T> = Vec<(&'a str, Vec<T>)>;

fn topics<'a, T>(
    r: &mut Reader<'a>,
    mut partition: impl FnMut(&mut Reader<'a>) -> Result<T, Malformed>,
) -> Result<Topics<'a, T>, Malformed> {
    r.array(|r| Ok((r.string()?, r.array(&mut partition)?)))
}

impl Call<'_> {
    /// The log of a partition, for somebody who may do `op` with its topic.
    fn log(
        &self,
        session: &Session,
        op: Operation,
        topic: &str,
        partition: i32,
    ) -> Result<Arc<Log>, Code> {
        if !self.may(session, op, Resource::Topic, topic) {
            return Err(Code::TopicAuthorizationFailed);
        }
        self.broker.log(topic, partition)
    }
}

/// Appends batches. Without acknowledgements there is no reply, and an error
/// closes the connection.
pub fn produce(call: &mut Call<'_>, session: &Session) -> Result<Then, Malformed> {
    let _transactional = call.body.nullable_string()?;
    let acks = call.body.i16()?;
    let _timeout = call.body.i32()?;
    let wanted = topics(&mut call.body, |r| Ok((r.i32()?, r.nullable_bytes()?)))?;
    call.out.count(wanted.len());
    for (topic, partitions) in wanted {
        call.out.string(topic);
        call.out.count(partitions.len());
        for (partition, batch) in partitions {
            let log = call.log(session, Operation::Write, topic, partition);
            let appended = match log {
                _ if !(-1..=1).contains(&acks) => Err(Code::InvalidRequiredAcks),
                Err(code) => Err(code),
                Ok(log) => call.broker.append(topic, &log, batch.unwrap_or_default()),
            };
            call.out.i32(partition);
            call.code(appended.as_ref().err().copied().unwrap_or(Code::None));
            call.out.i64(appended.as_ref().map_or(-1, |at| at.offset));
            call.out.i64(-1);
            if call.version >= 5 {
                call.out.i64(appended.as_ref().map_or(-1, |at| at.start));
            }
            if call.version >= 8 {
                call.out.count(0);
                call.out.nullable_string(None);
            }
        }
    }
    call.out.i32(0);
    Ok(match (acks, call.code) {
        (0, Code::None) => Then::Silence,
        (0, _) => return Err(Malformed("batch, which nobody waits to hear of")),
        _ => Then::Reply,
    })
}

struct Wanted<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
    room: usize,
    log: Result<Arc<Log>, Code>,
}

/// Reads batches; waits for new ones when there are too few.
pub async fn fetch(call: &mut Call<'_>, session: &Session) -> Result<(), Malformed> {
    let r = &mut call.body;
    let version = call.version;
    let _replica = r.i32()?;
    let wait = Duration::from_millis(u64::try_from(r.i32()?).unwrap_or(0));
    let min = usize::try_from(r.i32()?).unwrap_or(0);
    let most = usize::try_from(r.i32()?).unwrap_or(0).min(MOST);
    let committed_only = r.i8()? == 1;
    if version >= 7 {
        let _session_and_epoch = r.i64()?;
    }
    let asked = topics(r, |r| {
        let partition = r.i32()?;
        if version >= 9 {
            let _epoch = r.i32()?;
        }
        let offset = r.i64()?;
        if version >= 5 {
            let _start = r.i64()?;
        }
        Ok((partition, offset, r.i32()?))
    })?;
    let count = asked.len();
    let mut wanted = Vec::new();
    let mut sizes = Vec::new();
    for (topic, partitions) in asked {
        sizes.push(partitions.len());
        for (partition, offset, room) in partitions {
            wanted.push(Wanted {
                topic,
                partition,
                offset,
                room: usize::try_from(room).unwrap_or(0),
                log: call.log(session, Operation::Read, topic, partition),
            });
        }
    }

    let deadline = call.broker.real.elapsed() + wait;
    let mut appends = call.broker.watch_appends();
    let start = call.out.bytes.len();
    loop {
        appends.mark_unchanged();
        call.out.bytes.truncate(start);
        call.throttle(1);
        if version >= 7 {
            // No sessions: every fetch names all its partitions.
            call.out.i16(0);
            call.out.i32(0);
        }
        call.out.count(count);
        let mut found = Found::default();
        let mut rest = wanted.iter();
        for size in &sizes {
            for (n, one) in rest.by_ref().take(*size).enumerate() {
                if n == 0 {
                    call.out.string(one.topic);
                    call.out.count(*size);
                }
                write_partition(call, one, most, committed_only, &mut found);
            }
        }
        call.idle = found.bytes == 0 && !found.error;
        let left = deadline.saturating_sub(call.broker.real.elapsed());
        if found.error || found.bytes >= min || left.is_zero() {
            return Ok(());
        }
        let real = &call.broker.real;
        tokio::select! {
            changed = appends.changed() => if changed.is_err() { return Ok(()) },
            slept = real.sleep(left) => if slept.is_err() { return Ok(()) },
        }
    }
}

#[derive(Debug, Default)]
struct Found {
    bytes: usize,
    error: bool,
}

fn write_partition(
    call: &mut Call<'_>,
    wanted: &Wanted<'_>,
    most: usize,
    committed_only: bool,
    found: &mut Found,
) {
    let bounds = wanted.log.as_ref().map(|log| log.bounds());
    let (code, start, next) = match bounds {
        Err(code) => (*code, -1, -1),
        Ok((start, next)) if !(start..=next).contains(&wanted.offset) => {
            (Code::OffsetOutOfRange, start, next)
        }
        Ok((start, next)) => (Code::None, start, next),
    };
    found.error |= code != Code::None;
    call.out.i32(wanted.partition);
    call.code(code);
    call.out.i64(next);
    call.out.i64(next);
    if call.version >= 5 {
        call.out.i64(start);
    }
    // No aborted transactions.
    call.out.i32(if committed_only { 0 } else { -1 });
    if call.version >= 11 {
        call.out.i32(-1);
    }
    let length = call.out.reserve_i32();
    let before = call.out.bytes.len();
    if let (Ok(log), Code::None) = (&wanted.log, code) {
        let room = wanted.room.min(most.saturating_sub(found.bytes));
        let first = found.bytes == 0;
        if log
            .read(wanted.offset, room, first, &mut call.out.bytes)
            .is_err()
        {
            call.out.bytes.truncate(before);
        }
    }
    let size = call.out.bytes.len() - before;
    found.bytes += size;
    call.out.fill_i32(length, i32::try_from(size).unwrap_or(0));
}

/// Where partitions begin, end, or reach a time.
pub fn list_offsets(call: &mut Call<'_>, session: &Session) -> Result<(), Malformed> {
    let version = call.version;
    let _replica = call.body.i32()?;
    if version >= 2 {
        let _isolation = call.body.i8()?;
    }
    let wanted = topics(&mut call.body, |r| {
        let partition = r.i32()?;
        if version >= 4 {
            let _epoch = r.i32()?;
        }
        Ok((partition, r.i64()?))
    })?;
    call.throttle(2);
    call.out.count(wanted.len());
    for (topic, partitions) in wanted {
        call.out.string(topic);
        call.out.count(partitions.len());
        for (partition, time) in partitions {
            let log = call.log(session, Operation::Describe, topic, partition);
            let found = log.and_then(|log| {
                let (start, next) = log.bounds();
                match time {
                    -1 => Ok((next, -1)),
                    -2 => Ok((start, -1)),
                    time => match log.offset_at(time) {
                        Ok(found) => Ok(found.unwrap_or((-1, -1))),
                        Err(_) => Err(Code::KafkaStorage),
                    },
                }
            });
            call.out.i32(partition);
            call.code(found.err().unwrap_or(Code::None));
            let (offset, time) = found.unwrap_or((-1, -1));
            call.out.i64(time);
            call.out.i64(offset);
            if version >= 4 {
                call.out.i32(0);
            }
        }
    }
    Ok(())
}
