//! What a request is about, read ahead of answering it: topics or a group, for
//! the fault plan and the request log.

use super::codes::Api;
use super::wire::{Malformed, Reader};

/// The topics or the group that a request names, as a path: `/task-events`,
/// `/task-events,reminders`, or `/`.
pub fn path(api: Api, version: i16, body: Reader<'_>) -> String {
    let names = names(api, version, body).unwrap_or_default();
    format!("/{}", names.join(","))
}

fn names(api: Api, version: i16, mut r: Reader<'_>) -> Result<Vec<&str>, Malformed> {
    match api {
        Api::Produce => {
            r.nullable_string()?;
            r.take(2 + 4)?;
            topics(&mut r, |r| {
                r.i32()?;
                r.nullable_bytes().map(drop)
            })
        }
        Api::Fetch => {
            r.take(4 + 4 + 4 + 4 + 1 + if version >= 7 { 8 } else { 0 })?;
            let before_offset = if version >= 9 { 4 } else { 0 };
            let after_offset = if version >= 5 { 8 } else { 0 };
            topics(&mut r, |r| {
                r.take(4 + before_offset + 8 + after_offset + 4).map(drop)
            })
        }
        Api::ListOffsets => {
            r.take(4 + usize::from(version >= 2))?;
            let epoch = if version >= 4 { 4 } else { 0 };
            topics(&mut r, |r| r.take(4 + epoch + 8).map(drop))
        }
        Api::Metadata | Api::DeleteTopics => r.array(Reader::string),
        Api::CreateTopics => r.array(|r| {
            let name = r.string()?;
            r.take(4 + 2)?;
            r.array(|r| {
                r.i32()?;
                r.array(Reader::i32)
            })?;
            r.array(|r| Ok((r.string()?, r.nullable_string()?)))?;
            Ok(name)
        }),
        Api::OffsetCommit
        | Api::OffsetFetch
        | Api::FindCoordinator
        | Api::JoinGroup
        | Api::Heartbeat
        | Api::LeaveGroup
        | Api::SyncGroup => Ok(vec![r.string()?]),
        _ => Ok(Vec::new()),
    }
}

fn topics<'a>(
    r: &mut Reader<'a>,
    mut partition: impl FnMut(&mut Reader<'a>) -> Result<(), Malformed>,
) -> Result<Vec<&'a str>, Malformed> {
    r.array(|r| {
        let name = r.string()?;
        r.array(&mut partition)?;
        Ok(name)
    })
}

/// Whether a request with this name changes nothing, whoever asks it.
pub fn only_asks(name: &str) -> bool {
    [
        Api::Fetch,
        Api::ListOffsets,
        Api::Metadata,
        Api::OffsetFetch,
        Api::FindCoordinator,
        Api::Heartbeat,
        Api::DescribeGroups,
        Api::ListGroups,
        Api::SaslHandshake,
        Api::SaslAuthenticate,
        Api::ApiVersions,
        Api::DescribeAcls,
        Api::DescribeConfigs,
    ]
    .iter()
    .any(|api| format!("{api:?}").eq_ignore_ascii_case(name))
}
