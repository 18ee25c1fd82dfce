//! Metadata, and making, growing and deleting topics.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::acl::{Operation, Resource};
use super::super::codes::Code;
use super::super::topics::{NewTopic, Topic, TopicError};
use super::super::wire::{Malformed, Reader};
use super::Call;
use super::access::Session;

/// "Not asked for" in the field of authorized operations.
const NO_OPERATIONS: i32 = i32::MIN;

/// The broker, the topics and who leads their partitions.
pub fn metadata(call: &mut Call<'_>, session: &Session) -> Result<(), Malformed> {
    let asked = call.body.nullable_array(Reader::string)?;
    // In version 0 an empty list asks for all.
    let asked = asked.filter(|names| call.version > 0 || !names.is_empty());
    let creates = call.version < 4 || call.body.bool()?;
    let topics: Vec<(String, Result<Arc<Topic>, Code>)> = if let Some(names) = asked {
        let found = |name: &str| (name.to_owned(), look_up(call, session, name, creates));
        names.into_iter().map(found).collect()
    } else {
        let all = call.broker.topics.all().into_iter();
        all.map(|t| (t.name.clone(), look_up(call, session, &t.name, false)))
            .filter(|(_, found)| found.is_ok())
            .collect()
    };
    let broker = call.broker;
    let node = broker.options.node_id;
    call.throttle(3);
    call.out.count(1);
    call.out.i32(node);
    call.out.string(&call.listener.advertised.0);
    call.out.i32(i32::from(call.listener.advertised.1));
    if call.version >= 1 {
        call.out.nullable_string(None);
    }
    if call.version >= 2 {
        call.out.nullable_string(Some(&broker.cluster_id));
    }
    if call.version >= 1 {
        call.out.i32(node);
    }
    call.out.count(topics.len());
    for (name, found) in topics {
        call.code(found.as_ref().err().copied().unwrap_or(Code::None));
        call.out.string(&name);
        if call.version >= 1 {
            call.out.bool(false);
        }
        let partitions = found.map_or(0, |topic| topic.partitions());
        call.out.i32(partitions);
        for partition in 0..partitions {
            write_partition(call, &name, partition);
        }
        if call.version >= 8 {
            call.out.i32(NO_OPERATIONS);
        }
    }
    if call.version >= 8 {
        call.out.i32(NO_OPERATIONS);
    }
    Ok(())
}

fn write_partition(call: &mut Call<'_>, topic: &str, partition: i32) {
    let node = call.broker.options.node_id;
    let leaderless = call.broker.hit("leaderless", topic, Some(partition));
    call.code(match leaderless {
        true => Code::LeaderNotAvailable,
        false => Code::None,
    });
    call.out.i32(partition);
    call.out.i32(if leaderless { -1 } else { node });
    if call.version >= 7 {
        call.out.i32(0);
    }
    call.out.array([node], super::super::wire::Writer::i32);
    call.out.count(usize::from(!leaderless));
    if !leaderless {
        call.out.i32(node);
    }
    if call.version >= 5 {
        call.out.count(usize::from(leaderless));
        if leaderless {
            call.out.i32(node);
        }
    }
}

/// A topic as this client may see it.
fn look_up(
    call: &Call<'_>,
    session: &Session,
    name: &str,
    creates: bool,
) -> Result<Arc<Topic>, Code> {
    if !call.may(session, Operation::Describe, Resource::Topic, name) {
        return Err(Code::TopicAuthorizationFailed);
    }
    if call.broker.hit("topic-missing", name, None) {
        return Err(Code::UnknownTopicOrPartition);
    }
    let topics = &call.broker.topics;
    if creates && call.broker.options.auto_create && topics.get(name).is_none() {
        let new = NewTopic {
            name: name.to_owned(),
            partitions: -1,
            replicas: -1,
            ..NewTopic::default()
        };
        topics.create(&new, false).map_err(|error| error.code)?;
    }
    topics.get(name).ok_or(Code::UnknownTopicOrPartition)
}

fn outcome(call: &mut Call<'_>, outcome: Result<(), TopicError>) {
    match outcome {
        Ok(()) => {
            call.code(Code::None);
            call.out.nullable_string(None);
        }
        Err(error) => {
            call.code(error.code);
            call.out.nullable_string(Some(&error.why));
        }
    }
}

fn refused(code: Code, why: &str) -> TopicError {
    TopicError {
        code,
        why: why.to_owned(),
    }
}

struct Wanted {
    topic: NewTopic,
    /// Partitions that were put on nodes by hand.
    assigned: Vec<(i32, Vec<i32>)>,
}

/// Makes topics.
pub fn create(call: &mut Call<'_>, session: &Session) -> Result<(), Malformed> {
    let wanted = call.body.array(|r| {
        let name = r.string()?.to_owned();
        let (partitions, replicas) = (r.i32()?, r.i16()?);
        let assigned = r.array(|r| Ok((r.i32()?, r.array(Reader::i32)?)))?;
        let configs = r.array(|r| {
            let name = r.string()?.to_owned();
            Ok((name, r.nullable_string()?.unwrap_or_default().to_owned()))
        })?;
        Ok(Wanted {
            topic: NewTopic {
                name,
                partitions,
                replicas,
                configs: BTreeMap::from_iter(configs),
            },
            assigned,
        })
    })?;
    let _timeout = call.body.i32()?;
    let only_check = call.body.bool()?;
    call.throttle(2);
    call.out.count(wanted.len());
    for one in wanted {
        let done = create_one(call, session, &one, only_check);
        call.out.string(&one.topic.name);
        outcome(call, done);
    }
    Ok(())
}

fn create_one(
    call: &Call<'_>,
    session: &Session,
    wanted: &Wanted,
    only_check: bool,
) -> Result<(), TopicError> {
    let may = call.may_cluster(session, Operation::Create)
        || call.may(
            session,
            Operation::Create,
            Resource::Topic,
            &wanted.topic.name,
        );
    if !may {
        return Err(refused(
            Code::TopicAuthorizationFailed,
            "Authorization failed.",
        ));
    }
    let mut topic = wanted.topic.clone();
    if !wanted.assigned.is_empty() {
        let here = [call.broker.options.node_id];
        if wanted.assigned.iter().any(|(_, nodes)| *nodes != here) {
            let why = "Replica assignment names brokers that do not exist.";
            return Err(refused(Code::InvalidReplicaAssignment, why));
        }
        topic.partitions = i32::try_from(wanted.assigned.len()).unwrap_or(i32::MAX);
        topic.replicas = 1;
    }
    call.broker.topics.create(&topic, only_check)
}

/// Deletes topics, and what groups have read of them.
pub fn delete(call: &mut Call<'_>, session: &Session) -> Result<(), Malformed> {
    let names = call.body.array(Reader::string)?;
    call.throttle(1);
    call.out.count(names.len());
    for name in names {
        let code = if !call.may(session, Operation::Delete, Resource::Topic, name) {
            Code::TopicAuthorizationFailed
        } else if call.broker.delete_topic(name) {
            Code::None
        } else {
            Code::UnknownTopicOrPartition
        };
        call.out.string(name);
        call.code(code);
    }
    Ok(())
}

/// Gives topics more partitions.
pub fn create_partitions(call: &mut Call<'_>, session: &Session) -> Result<(), Malformed> {
    let wanted = call.body.array(|r| {
        let (name, count) = (r.string()?, r.i32()?);
        r.nullable_array(|r| r.array(Reader::i32))?;
        Ok((name, count))
    })?;
    let _timeout = call.body.i32()?;
    let only_check = call.body.bool()?;
    call.throttle(0);
    call.out.count(wanted.len());
    for (name, count) in wanted {
        let may = call.may(session, Operation::Alter, Resource::Topic, name);
        let done = match may {
            true => call.broker.topics.grow(name, count, only_check),
            false => Err(refused(
                Code::TopicAuthorizationFailed,
                "Authorization failed.",
            )),
        };
        call.out.string(name);
        outcome(call, done);
    }
    Ok(())
}
