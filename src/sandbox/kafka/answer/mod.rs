//! The answer to every request, one function each; the layouts are those of
//! the protocol guide's message tables.

pub mod access;
pub mod configs;
pub mod groups;
pub mod records;
pub mod topics;

pub use access::{Session, bare_sasl};

use super::acl::{Asker, Operation, Resource};
use super::broker::Broker;
use super::codes::{Api, Code, SERVED};
use super::server::{Listener, Then};
use super::wire::{Malformed, Reader, Writer};

/// A request while it is answered.
pub struct Call<'a> {
    /// Who answers.
    pub broker: &'a Broker,
    /// By which of its sockets.
    pub listener: &'a Listener,
    /// The version of the API; −1 is one that is not served.
    pub version: i16,
    /// The request behind its header.
    pub body: Reader<'a>,
    /// The reply, begun with its header.
    pub out: &'a mut Writer,
    /// The first error in the reply, for the request log.
    pub code: Code,
    /// Whether there was nothing to say, so that the log need not know.
    pub idle: bool,
}

impl Call<'_> {
    /// Writes an error code.
    fn code(&mut self, code: Code) {
        if self.code == Code::None {
            self.code = code;
        }
        self.out.i16(code.number());
    }

    /// Writes the throttle time, from the version on that has it.
    fn throttle(&mut self, since: i16) {
        if self.version >= since {
            self.out.i32(0);
        }
    }

    /// Whether the client may do something.
    fn may(&self, session: &Session, op: Operation, on: Resource, name: &str) -> bool {
        let who = Asker {
            user: session.user().unwrap_or_default(),
            host: &session.host,
        };
        self.broker.may(who, op, on, name)
    }

    /// Whether the client may do something with the whole cluster.
    fn may_cluster(&self, session: &Session, op: Operation) -> bool {
        self.may(session, op, Resource::Cluster, "kafka-cluster")
    }
}

/// Answers a request.
pub async fn answer(
    call: &mut Call<'_>,
    session: &mut Session,
    api: Api,
) -> Result<Then, Malformed> {
    match api {
        Api::ApiVersions => versions(call),
        Api::SaslHandshake => access::handshake(call, session)?,
        Api::SaslAuthenticate => return access::authenticate(call, session),
        Api::Produce => return records::produce(call, session),
        Api::Fetch => records::fetch(call, session).await?,
        Api::ListOffsets => records::list_offsets(call, session)?,
        Api::Metadata => topics::metadata(call, session)?,
        Api::CreateTopics => topics::create(call, session)?,
        Api::DeleteTopics => topics::delete(call, session)?,
        Api::CreatePartitions => topics::create_partitions(call, session)?,
        Api::DescribeConfigs => configs::describe(call, session)?,
        Api::AlterConfigs => configs::alter(call, session, false)?,
        Api::IncrementalAlterConfigs => configs::alter(call, session, true)?,
        Api::InitProducerId => access::init_producer(call, session)?,
        Api::DescribeAcls => access::describe_acls(call, session)?,
        Api::CreateAcls => access::create_acls(call, session)?,
        Api::DeleteAcls => access::delete_acls(call, session)?,
        Api::FindCoordinator => groups::find_coordinator(call)?,
        Api::JoinGroup => groups::join(call, session).await?,
        Api::SyncGroup => groups::sync(call).await?,
        Api::Heartbeat => groups::heartbeat(call)?,
        Api::LeaveGroup => groups::leave(call)?,
        Api::OffsetCommit => groups::commit(call, session)?,
        Api::OffsetFetch => groups::fetch_offsets(call, session)?,
        Api::DescribeGroups => groups::describe(call, session)?,
        Api::ListGroups => groups::list(call, session),
        Api::DeleteGroups => groups::delete(call, session)?,
    }
    Ok(Then::Reply)
}

/// A version that is not served is told so in the layout of version 0, which
/// every client can read.
fn versions(call: &mut Call<'_>) {
    let code = match call.version {
        -1 => Code::UnsupportedVersion,
        _ => Code::None,
    };
    call.out.i16(code.number());
    call.out.array(SERVED, |out, (_, key, min, max)| {
        out.i16(key);
        out.i16(min);
        out.i16(max);
    });
    call.throttle(1);
}
