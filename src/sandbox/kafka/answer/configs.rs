//! The configuration of topics and of the broker, shown and changed.

use super::super::acl::{Operation, Resource};
use super::super::codes::Code;
use super::super::topics::{CONFIGS, TopicError};
use super::super::wire::{Malformed, Reader};
use super::Call;
use super::access::Session;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
/// Where a value comes from.
const OF_TOPIC: i8 = 1;
const OF_BROKER: i8 = 4;
const DEFAULT: i8 = 5;

struct Setting {
    name: String,
    text: String,
    source: i8,
}

/// Shows configurations.
pub fn describe(call: &mut Call<'_>, session: &Session) -> Result<(), Malformed> {
    let wanted = call.body.array(|r| {
        let (kind, name) = (r.i8()?, r.string()?);
        Ok((kind, name, r.nullable_array(Reader::string)?))
    })?;
    call.throttle(0);
    call.out.count(wanted.len());
    for (kind, name, keys) in wanted {
        let found = values(call, session, kind, name);
        call.code(found.as_ref().err().copied().unwrap_or(Code::None));
        call.out.nullable_string(None);
        call.out.i8(kind);
        call.out.string(name);
        let mut shown = found.unwrap_or_default();
        if let Some(keys) = keys {
            shown.retain(|value| keys.contains(&value.name.as_str()));
        }
        let version = call.version;
        call.out.array(shown, |out, value| {
            out.string(&value.name);
            out.nullable_string(Some(&value.text));
            out.bool(kind == BROKER);
            out.i8(value.source);
            out.bool(false);
            out.count(0);
            if version >= 3 {
                // 2 is STRING, 5 is LONG.
                let number = value.text.parse::<i64>().is_ok();
                out.i8(if number { 5 } else { 2 });
                out.nullable_string(None);
            }
        });
    }
    Ok(())
}

fn values(call: &Call<'_>, session: &Session, kind: i8, name: &str) -> Result<Vec<Setting>, Code> {
    match kind {
        TOPIC => {
            if !call.may(session, Operation::DescribeConfigs, Resource::Topic, name) {
                return Err(Code::TopicAuthorizationFailed);
            }
            let topic = call.broker.topics.get(name);
            let topic = topic.ok_or(Code::UnknownTopicOrPartition)?;
            let value = |(key, _): &(&str, &str)| Setting {
                name: (*key).to_owned(),
                text: topic.config(key).to_owned(),
                source: match topic.configs.contains_key(*key) {
                    true => OF_TOPIC,
                    false => DEFAULT,
                },
            };
            Ok(CONFIGS.iter().map(value).collect())
        }
        BROKER => {
            if !call.may_cluster(session, Operation::DescribeConfigs) {
                return Err(Code::ClusterAuthorizationFailed);
            }
            let options = &call.broker.options;
            let pairs = [
                ("auto.create.topics.enable", options.auto_create.to_string()),
                ("broker.id", options.node_id.to_string()),
                ("default.replication.factor", "1".to_owned()),
                ("num.partitions", "1".to_owned()),
            ];
            let value = |(name, value): (&str, String)| Setting {
                name: name.to_owned(),
                text: value,
                source: OF_BROKER,
            };
            Ok(pairs.into_iter().map(value).collect())
        }
        _ => Err(Code::InvalidRequest),
    }
}

/// Changes configurations: all values of a topic at once, or single ones.
pub fn alter(call: &mut Call<'_>, session: &Session, single: bool) -> Result<(), Malformed> {
    let wanted = call.body.array(|r| {
        let (kind, name) = (r.i8()?, r.string()?);
        let changes = r.array(|r| {
            let key = r.string()?.to_owned();
            let op = if single { r.i8()? } else { 0 };
            let value = r.nullable_string()?.map(str::to_owned);
            Ok((key, op, value))
        })?;
        Ok((kind, name, changes))
    })?;
    let only_check = call.body.bool()?;
    call.throttle(0);
    call.out.count(wanted.len());
    for (kind, name, changes) in wanted {
        let may = call.may(session, Operation::AlterConfigs, Resource::Topic, name);
        let done = match kind {
            TOPIC if !may => refuse(Code::TopicAuthorizationFailed, "Authorization failed."),
            TOPIC => alter_topic(call, name, changes, single, only_check),
            _ => refuse(Code::InvalidRequest, "Only topics can be configured here."),
        };
        match done {
            Ok(()) => {
                call.code(Code::None);
                call.out.nullable_string(None);
            }
            Err(error) => {
                call.code(error.code);
                call.out.nullable_string(Some(&error.why));
            }
        }
        call.out.i8(kind);
        call.out.string(name);
    }
    Ok(())
}

fn refuse(code: Code, why: &str) -> Result<(), TopicError> {
    Err(TopicError {
        code,
        why: why.to_owned(),
    })
}

fn alter_topic(
    call: &Call<'_>,
    name: &str,
    asked: Vec<(String, i8, Option<String>)>,
    single: bool,
    only_check: bool,
) -> Result<(), TopicError> {
    let mut changes = Vec::new();
    if !single && let Some(topic) = call.broker.topics.get(name) {
        // What is not named goes back to its default.
        changes.extend(topic.configs.keys().map(|key| (key.clone(), None)));
    }
    for (key, op, value) in asked {
        match op {
            0 => changes.push((key, value)),
            1 => changes.push((key, None)),
            _ => {
                return refuse(
                    Code::InvalidRequest,
                    "Appending to a list is not known here.",
                );
            }
        }
    }
    call.broker.topics.configure(name, &changes, only_check)
}
