//! Who is there and what they may do: SASL, access rules, producer ids.

use super::super::acl::{Acl, Filter, Operation, Pattern, Resource};
use super::super::broker::Broker;
use super::super::codes::Code;
use super::super::scram::{self, Denied, Exchange, Mechanism};
use super::super::server::Then;
use super::super::wire::{Malformed, Writer};
use super::Call;

/// What a connection has come to.
#[derive(Debug)]
pub struct Session {
    /// The client's address.
    pub host: String,
    /// What the client calls itself.
    pub client_id: String,
    stage: Stage,
    /// Tokens come without a Kafka request around them (handshake version 0).
    bare: bool,
}

#[derive(Debug)]
enum Stage {
    /// Nobody has logged in.
    Unknown,
    /// A mechanism was chosen.
    Chosen(Mechanism),
    /// The client's first SCRAM message was answered.
    Proving(Box<Exchange>),
    /// It is this user.
    User(String),
}

impl Session {
    /// A new connection. Without SASL everybody is `ANONYMOUS`.
    pub fn new(host: String, sasl: bool) -> Self {
        Self {
            host,
            client_id: String::new(),
            stage: match sasl {
                true => Stage::Unknown,
                false => Stage::User("ANONYMOUS".to_owned()),
            },
            bare: false,
        }
    }

    /// The user, once it is proven.
    pub fn user(&self) -> Option<&str> {
        match &self.stage {
            Stage::User(name) => Some(name),
            _ => None,
        }
    }

    /// Whether the next message is a SASL token and nothing else.
    pub fn speaks_bare_sasl(&self) -> bool {
        self.bare && self.user().is_none()
    }

    /// Takes a token of the client's; the answer to it.
    fn step(&mut self, broker: &Broker, token: &[u8]) -> Result<String, Refused> {
        let refused = broker.hit("auth-refused", "", None);
        match std::mem::replace(&mut self.stage, Stage::Unknown) {
            Stage::Chosen(Mechanism::Plain) => {
                let denied = Refused::Denied(Mechanism::Plain);
                let (user, password) = scram::plain(token).map_err(|Denied| denied)?;
                let kept = broker.users.credential(user, Mechanism::Plain);
                if refused || !kept.is_some_and(|kept| kept.fits(password)) {
                    return Err(denied);
                }
                self.stage = Stage::User(user.to_owned());
                Ok(String::new())
            }
            Stage::Chosen(mechanism) => {
                let find = |user: &str| broker.users.credential(user, mechanism);
                let (exchange, reply) = Exchange::start(token, &Broker::nonce(), find)
                    .map_err(|Denied| Refused::Denied(mechanism))?;
                if refused {
                    return Err(Refused::Denied(mechanism));
                }
                self.stage = Stage::Proving(Box::new(exchange));
                Ok(reply)
            }
            Stage::Proving(exchange) => {
                let denied = Refused::Denied(exchange.mechanism());
                let verifier = exchange.finish(token).map_err(|Denied| denied)?;
                self.stage = Stage::User(exchange.user);
                Ok(verifier)
            }
            stage @ (Stage::Unknown | Stage::User(_)) => {
                self.stage = stage;
                Err(Refused::State)
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Refused {
    Denied(Mechanism),
    State,
}

impl Refused {
    fn told(self) -> (Code, String) {
        match self {
            Self::Denied(Mechanism::Plain) => (
                Code::SaslAuthenticationFailed,
                "Authentication failed: Invalid username or password".to_owned(),
            ),
            Self::Denied(mechanism) => (
                Code::SaslAuthenticationFailed,
                format!(
                    "Authentication failed during authentication due to invalid credentials \
                     with SASL mechanism {}",
                    mechanism.name()
                ),
            ),
            Self::State => (
                Code::IllegalSaslState,
                "SaslAuthenticate request received after successful authentication".to_owned(),
            ),
        }
    }
}

/// Chooses a mechanism.
pub fn handshake(call: &mut Call<'_>, session: &mut Session) -> Result<(), Malformed> {
    let offered = &call.broker.options.mechanisms;
    let wanted = Mechanism::named(call.body.string()?).filter(|m| offered.contains(m));
    let code = match (&session.stage, wanted) {
        (Stage::User(_), _) => Code::IllegalSaslState,
        (_, None) => Code::UnsupportedSaslMechanism,
        (_, Some(mechanism)) => {
            session.stage = Stage::Chosen(mechanism);
            session.bare = call.version == 0;
            Code::None
        }
    };
    call.code(code);
    call.out
        .array(offered, |out, mechanism| out.string(mechanism.name()));
    Ok(())
}

/// Takes a token. After a refusal the connection is closed.
pub fn authenticate(call: &mut Call<'_>, session: &mut Session) -> Result<Then, Malformed> {
    let token = call.body.bytes()?;
    let (then, reply) = match session.step(call.broker, token) {
        Ok(reply) => {
            call.code(Code::None);
            call.out.nullable_string(None);
            (Then::Reply, reply)
        }
        Err(refused) => {
            let (code, why) = refused.told();
            call.code(code);
            call.out.nullable_string(Some(&why));
            (Then::Close, String::new())
        }
    };
    call.out.bytes(reply.as_bytes());
    if call.version >= 1 {
        call.out.i64(0);
    }
    Ok(then)
}

/// Takes a token that has nothing around it. A refusal is a closed connection.
pub fn bare_sasl(broker: &Broker, session: &mut Session, token: &[u8], out: &mut Writer) -> Then {
    match session.step(broker, token) {
        Ok(reply) => {
            out.bytes.extend(reply.as_bytes());
            Then::Reply
        }
        Err(_) => Then::Close,
    }
}

/// Gives an idempotent producer its id.
pub fn init_producer(call: &mut Call<'_>, session: &Session) -> Result<(), Malformed> {
    let transactional = call.body.nullable_string()?;
    let may = call.may_cluster(session, Operation::IdempotentWrite)
        || call.may_cluster(session, Operation::Write)
        || may_write_somewhere(call, session);
    let code = match transactional {
        // There are no transactions here.
        Some(_) => Code::UnsupportedVersion,
        None if !may => Code::ClusterAuthorizationFailed,
        None => Code::None,
    };
    call.throttle(0);
    call.code(code);
    let granted = code == Code::None;
    call.out.i64(if granted {
        call.broker.new_producer()
    } else {
        -1
    });
    call.out.i16(if granted { 0 } else { -1 });
    Ok(())
}

/// Since Kafka 2.8 leave to write to any topic is enough (KIP-679).
fn may_write_somewhere(call: &Call<'_>, session: &Session) -> bool {
    let topics = call.broker.topics.all();
    let may = |name: &str| call.may(session, Operation::Write, Resource::Topic, name);
    topics.iter().any(|topic| may(&topic.name))
}

/// Reads a filter of rules.
fn filter(call: &mut Call<'_>) -> Result<Filter, Malformed> {
    let r = &mut call.body;
    let resource = Resource::of(r.i8()?);
    let name = r.nullable_string()?.map(str::to_owned);
    let pattern = r.i8()?;
    // 2 is MATCH: whatever covers the name.
    Ok(Filter {
        resource,
        name,
        pattern: Pattern::of(pattern),
        covering: pattern == 2,
        principal: r.nullable_string()?.map(str::to_owned),
        host: r.nullable_string()?.map(str::to_owned),
        operation: Operation::of(r.i8()?),
        allow: match r.i8()? {
            2 => Some(false),
            3 => Some(true),
            _ => None,
        },
    })
}

fn write_rule(out: &mut Writer, acl: &Acl) {
    out.string(&acl.principal);
    out.string(&acl.host);
    out.i8(acl.operation as i8);
    out.i8(if acl.allow { 3 } else { 2 });
}

/// Lists rules, by resource.
pub fn describe_acls(call: &mut Call<'_>, session: &Session) -> Result<(), Malformed> {
    let filter = filter(call)?;
    call.throttle(0);
    if !call.may_cluster(session, Operation::Describe) {
        call.code(Code::ClusterAuthorizationFailed);
        call.out.nullable_string(None);
        call.out.count(0);
        return Ok(());
    }
    call.code(Code::None);
    call.out.nullable_string(None);
    call.out.array(call.broker.acls.list(&filter), |out, acl| {
        out.i8(acl.resource as i8);
        out.string(&acl.name);
        out.i8(acl.pattern as i8);
        out.array([&acl], write_rule);
    });
    Ok(())
}

/// Adds rules.
pub fn create_acls(call: &mut Call<'_>, session: &Session) -> Result<(), Malformed> {
    let rules = call.body.array(|r| {
        let (resource, name, pattern) = (r.i8()?, r.string()?, r.i8()?);
        let (principal, host) = (r.string()?, r.string()?);
        let (operation, permission) = (r.i8()?, r.i8()?);
        let rule = || {
            Some(Acl {
                resource: Resource::of(resource)?,
                name: name.to_owned(),
                pattern: Pattern::of(pattern)?,
                principal: principal.to_owned(),
                host: host.to_owned(),
                operation: Operation::of(operation)?,
                allow: match permission {
                    2 => false,
                    3 => true,
                    _ => return None,
                },
            })
        };
        Ok(rule())
    })?;
    let may = call.may_cluster(session, Operation::Alter);
    call.throttle(0);
    call.out.count(rules.len());
    for rule in rules {
        let code = match rule {
            _ if !may => Code::ClusterAuthorizationFailed,
            None => Code::InvalidRequest,
            Some(rule) => {
                call.broker.acls.add(&rule);
                Code::None
            }
        };
        call.code(code);
        call.out.nullable_string(None);
    }
    Ok(())
}

/// Removes rules.
pub fn delete_acls(call: &mut Call<'_>, session: &Session) -> Result<(), Malformed> {
    let count = call.body.i32()?;
    let may = call.may_cluster(session, Operation::Alter);
    call.throttle(0);
    call.out.i32(count.max(0));
    for _ in 0..count {
        let filter = filter(call)?;
        if !may {
            call.code(Code::ClusterAuthorizationFailed);
            call.out.nullable_string(None);
            call.out.count(0);
            continue;
        }
        call.code(Code::None);
        call.out.nullable_string(None);
        call.out
            .array(call.broker.acls.remove(&filter), |out, acl| {
                out.i16(0);
                out.nullable_string(None);
                out.i8(acl.resource as i8);
                out.string(&acl.name);
                out.i8(acl.pattern as i8);
                write_rule(out, &acl);
            });
    }
    Ok(())
}
