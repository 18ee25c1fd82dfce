//! Consumer groups: joining, assigning, heartbeats, committed offsets.

use std::time::Duration;

use super::super::acl::{Operation, Resource};
use super::super::codes::Code;
use super::super::groups::{Committed, Joined, Joining, Later, View, Who};
use super::super::wire::{Malformed, Reader};
use super::Call;
use super::access::Session;

/// "Not asked for" in the field of authorized operations.
const NO_OPERATIONS: i32 = i32::MIN;

/// This broker coordinates everything, except transactions.
pub fn find_coordinator(call: &mut Call<'_>) -> Result<(), Malformed> {
    let _key = call.body.string()?;
    let kind = if call.version >= 1 {
        call.body.i8()?
    } else {
        0
    };
    call.throttle(1);
    let here = kind == 0;
    call.code(match here {
        true => Code::None,
        false => Code::CoordinatorNotAvailable,
    });
    if call.version >= 1 {
        call.out.nullable_string(None);
    }
    let (host, port) = &call.listener.advertised;
    call.out.i32(if here {
        call.broker.options.node_id
    } else {
        -1
    });
    call.out.string(host);
    call.out.i32(i32::from(*port));
    Ok(())
}

fn millis(value: i32) -> Duration {
    Duration::from_millis(u64::try_from(value).unwrap_or(0))
}

impl Call<'_> {
    fn instance<'a>(
        version: i16,
        since: i16,
        r: &mut Reader<'a>,
    ) -> Result<Option<&'a str>, Malformed> {
        match version >= since {
            true => r.nullable_string(),
            false => Ok(None),
        }
    }
}

/// Joins a group; the answer comes when the round of joining is over.
pub async fn join(call: &mut Call<'_>, session: &Session) -> Result<(), Malformed> {
    let version = call.version;
    let r = &mut call.body;
    let group = r.string()?.to_owned();
    let session_timeout = millis(r.i32()?);
    let rebalance = match version {
        0 => session_timeout,
        _ => millis(r.i32()?),
    };
    let member = r.string()?.to_owned();
    let instance = Call::instance(version, 5, r)?.map(str::to_owned);
    let protocol_type = r.string()?.to_owned();
    let protocols = r.array(|r| Ok((r.string()?.to_owned(), r.bytes()?.to_vec())))?;
    let may = call.may(session, Operation::Read, Resource::Group, &group);
    let joined = if may {
        let request = Joining {
            group,
            member,
            instance,
            client_id: session.client_id.clone(),
            host: format!("/{}", session.host),
            session: session_timeout,
            rebalance,
            protocol_type,
            protocols,
            comes_back: version >= 4,
        };
        let now = call.broker.real.elapsed();
        match call.broker.groups.join(request, now) {
            Later::Now(joined) => joined,
            Later::Wait(wait) => wait
                .await
                .unwrap_or_else(|_| not_joined(Code::UnknownMemberId)),
        }
    } else {
        not_joined(Code::GroupAuthorizationFailed)
    };
    call.throttle(2);
    call.code(joined.code);
    call.out.i32(joined.generation);
    call.out.string(&joined.protocol);
    call.out.string(&joined.leader);
    call.out.string(&joined.member);
    call.out
        .array(joined.members, |out, (id, instance, metadata)| {
            out.string(&id);
            if version >= 5 {
                out.nullable_string(instance.as_deref());
            }
            out.bytes(&metadata);
        });
    Ok(())
}

fn not_joined(code: Code) -> Joined {
    Joined {
        code,
        generation: -1,
        protocol: String::new(),
        leader: String::new(),
        member: String::new(),
        members: Vec::new(),
    }
}

/// Group, generation, member and static name, as most requests begin.
fn who<'a>(r: &mut Reader<'a>, version: i16, static_since: i16) -> Result<Who<'a>, Malformed> {
    Ok(Who {
        group: r.string()?,
        generation: r.i32()?,
        member: r.string()?,
        instance: Call::instance(version, static_since, r)?,
    })
}

/// Hands assignments out; a follower waits for the leader's.
pub async fn sync(call: &mut Call<'_>) -> Result<(), Malformed> {
    let who = who(&mut call.body, call.version, 3)?;
    let given = call
        .body
        .array(|r| Ok((r.string()?.to_owned(), r.bytes()?.to_vec())))?;
    let now = call.broker.real.elapsed();
    let synced = match call.broker.groups.sync(who, given, now) {
        Later::Now(synced) => synced,
        Later::Wait(wait) => wait.await.unwrap_or(Err(Code::UnknownMemberId)),
    };
    call.throttle(1);
    call.code(synced.as_ref().err().copied().unwrap_or(Code::None));
    call.out.bytes(&synced.unwrap_or_default());
    Ok(())
}

/// A sign of life.
pub fn heartbeat(call: &mut Call<'_>) -> Result<(), Malformed> {
    let who = who(&mut call.body, call.version, 3)?;
    let code = call
        .broker
        .groups
        .heartbeat(who, call.broker.real.elapsed());
    call.idle = code == Code::None;
    call.throttle(1);
    call.code(code);
    Ok(())
}

/// Members leave.
pub fn leave(call: &mut Call<'_>) -> Result<(), Malformed> {
    let group = call.body.string()?;
    let members = match call.version >= 3 {
        true => call
            .body
            .array(|r| Ok((r.string()?, r.nullable_string()?)))?,
        false => vec![(call.body.string()?, None)],
    };
    let now = call.broker.real.elapsed();
    let codes: Vec<_> = members
        .iter()
        .map(|(member, instance)| call.broker.groups.leave(group, member, *instance, now))
        .collect();
    call.throttle(1);
    if call.version < 3 {
        call.code(codes.first().copied().unwrap_or(Code::None));
        return Ok(());
    }
    call.code(Code::None);
    call.out.count(members.len());
    for ((member, instance), code) in members.into_iter().zip(codes) {
        call.out.string(member);
        call.out.nullable_string(instance);
        call.code(code);
    }
    Ok(())
}

/// Notes how far a group has read.
pub fn commit(call: &mut Call<'_>, session: &Session) -> Result<(), Malformed> {
    let version = call.version;
    let who = who(&mut call.body, version, 7)?;
    if (2..=4).contains(&version) {
        let _retention = call.body.i64()?;
    }
    let mut offsets = Vec::new();
    let topics = call.body.array(|r| {
        let topic = r.string()?;
        let partitions = r.array(|r| {
            let (partition, offset) = (r.i32()?, r.i64()?);
            if version >= 6 {
                let _epoch = r.i32()?;
            }
            offsets.push(Committed {
                topic: topic.to_owned(),
                partition,
                offset,
                metadata: r.nullable_string()?.unwrap_or_default().to_owned(),
            });
            Ok(partition)
        })?;
        Ok((topic, partitions))
    })?;
    let may = call.may(session, Operation::Read, Resource::Group, who.group);
    let now = call.broker.real.elapsed();
    let here = |one: &Committed| {
        let topic = call.broker.topics.get(&one.topic);
        topic.is_some_and(|topic| topic.log(one.partition).is_some())
    };
    offsets.retain(here);
    let done = match may {
        true => call.broker.groups.commit(who, &offsets, now),
        false => Err(Code::GroupAuthorizationFailed),
    };
    call.throttle(3);
    call.out.count(topics.len());
    for (topic, partitions) in topics {
        call.out.string(topic);
        call.out.count(partitions.len());
        for partition in partitions {
            let kept = offsets
                .iter()
                .any(|o| o.topic == topic && o.partition == partition);
            call.out.i32(partition);
            call.code(match done {
                Err(code) => code,
                Ok(()) if !kept => Code::UnknownTopicOrPartition,
                Ok(()) => Code::None,
            });
        }
    }
    Ok(())
}

/// Tells how far a group has read; −1 where it has not.
pub fn fetch_offsets(call: &mut Call<'_>, session: &Session) -> Result<(), Malformed> {
    let group = call.body.string()?;
    let asked = call
        .body
        .nullable_array(|r| Ok((r.string()?.to_owned(), r.array(Reader::i32)?)))?;
    let may = call.may(session, Operation::Describe, Resource::Group, group);
    let known = if may {
        call.broker.groups.committed(group)
    } else {
        Vec::new()
    };
    let asked = asked.unwrap_or_else(|| by_topic(&known));
    let code = match may {
        true => Code::None,
        false => Code::GroupAuthorizationFailed,
    };
    call.throttle(3);
    call.out.count(asked.len());
    for (topic, partitions) in asked {
        call.out.string(&topic);
        call.out.count(partitions.len());
        for partition in partitions {
            let found = known
                .iter()
                .find(|o| o.topic == topic && o.partition == partition);
            call.out.i32(partition);
            call.out.i64(found.map_or(-1, |o| o.offset));
            if call.version >= 5 {
                call.out.i32(-1);
            }
            call.out
                .nullable_string(Some(found.map_or("", |o| o.metadata.as_str())));
            // From version 2 on the group's error is told once, below.
            call.code(if call.version >= 2 { Code::None } else { code });
        }
    }
    if call.version >= 2 {
        call.code(code);
    }
    Ok(())
}

fn by_topic(known: &[Committed]) -> Vec<(String, Vec<i32>)> {
    let mut topics: Vec<(String, Vec<i32>)> = Vec::new();
    for one in known {
        match topics.iter_mut().find(|(name, _)| *name == one.topic) {
            Some((_, partitions)) => partitions.push(one.partition),
            None => topics.push((one.topic.clone(), vec![one.partition])),
        }
    }
    topics
}

/// Shows groups with their members.
pub fn describe(call: &mut Call<'_>, session: &Session) -> Result<(), Malformed> {
    let version = call.version;
    let names = call.body.array(Reader::string)?;
    call.throttle(1);
    call.out.count(names.len());
    for name in names {
        let may = call.may(session, Operation::Describe, Resource::Group, name);
        let (code, view) = match may {
            true => (Code::None, call.broker.groups.describe(name)),
            false => (Code::GroupAuthorizationFailed, View::default()),
        };
        call.code(code);
        call.out.string(name);
        call.out.string(view.state);
        call.out.string(&view.protocol_type);
        call.out.string(&view.protocol);
        call.out.array(view.members, |out, member| {
            out.string(&member.id);
            if version >= 4 {
                out.nullable_string(member.instance.as_deref());
            }
            out.string(&member.client_id);
            out.string(&member.host);
            out.bytes(&member.metadata);
            out.bytes(&member.assignment);
        });
        if version >= 3 {
            call.out.i32(NO_OPERATIONS);
        }
    }
    Ok(())
}

/// Lists the groups that the client may see.
pub fn list(call: &mut Call<'_>, session: &Session) {
    let mut groups = call.broker.groups.list();
    groups.retain(|(name, _)| call.may(session, Operation::Describe, Resource::Group, name));
    call.throttle(1);
    call.code(Code::None);
    call.out.array(groups, |out, (name, kind)| {
        out.string(&name);
        out.string(&kind);
    });
}

/// Forgets groups without members.
pub fn delete(call: &mut Call<'_>, session: &Session) -> Result<(), Malformed> {
    let names = call.body.array(Reader::string)?;
    call.throttle(0);
    call.out.count(names.len());
    for name in names {
        let may = call.may(session, Operation::Delete, Resource::Group, name);
        let code = match may {
            true => call.broker.groups.delete(name),
            false => Code::GroupAuthorizationFailed,
        };
        call.out.string(name);
        call.code(code);
    }
    Ok(())
}
