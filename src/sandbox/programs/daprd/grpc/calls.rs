//! The calls: what their messages mean, who answers, and how the answer is
//! written. Numbers of fields are those of Dapr's definitions.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderValue, Method, header};
use serde_json::{Value, json};

use super::super::super::super::http::{Body, Reply, Request};
use super::super::publish::Entry;
use super::super::runtime::Sidecar;
use super::super::state::{Operation, Write};
use super::super::{jobs, metadata, publish, secrets, state};
use super::status::Refusal;
use super::wire::{Malformed, Message, Writer};

/// The type of JSON in an `Any`.
const JSON: &str = "type.googleapis.com/google.protobuf.Value";
/// `first-write` among the concurrencies.
const FIRST_WRITE: u64 = 1;

type Pairs = Vec<(String, String)>;

/// A call that was read.
#[derive(Debug)]
pub(super) enum Call {
    Publish {
        pubsub: String,
        topic: String,
        data: Bytes,
        content_type: String,
        metadata: Pairs,
    },
    PublishMany {
        pubsub: String,
        topic: String,
        entries: Vec<Entry>,
    },
    State {
        store: String,
        operation: Operation,
    },
    /// A transaction with an operation that there is not.
    Unsupported {
        store: String,
        kind: String,
    },
    Secret {
        store: String,
        name: String,
        metadata: Pairs,
    },
    Secrets {
        store: String,
    },
    Metadata,
    SetMetadata {
        key: String,
        value: String,
    },
    Schedule {
        name: String,
        job: Value,
    },
    GetJob {
        name: String,
    },
    DeleteJob {
        name: String,
    },
}

impl Call {
    /// The call of a method's name; none if there is no such method here.
    pub(super) fn read(method: &str, bytes: &[u8]) -> Result<Option<Self>, Refusal> {
        let message = Message::read(bytes)?;
        let store = || message.text(1);
        let state = |operation| -> Result<Self, Malformed> {
            Ok(Self::State {
                store: store()?,
                operation,
            })
        };
        Ok(Some(match method {
            "PublishEvent" => Self::Publish {
                pubsub: message.text(1)?,
                topic: message.text(2)?,
                data: Bytes::copy_from_slice(message.bytes(3)),
                content_type: message.text(4)?,
                metadata: message.map(5)?,
            },
            "BulkPublishEvent" | "BulkPublishEventAlpha1" => {
                let of_all = message.map(4)?;
                let entries = message.messages(3)?;
                let entries = entries.iter().map(|entry| one_of_many(entry, &of_all));
                Self::PublishMany {
                    pubsub: message.text(1)?,
                    topic: message.text(2)?,
                    entries: entries.collect::<Result<_, _>>()?,
                }
            }
            "SaveState" => {
                let items = message.messages(2)?;
                let writes = items.iter().map(|item| write(item, false));
                state(Operation::Save(writes.collect::<Result<_, _>>()?))?
            }
            "GetState" => state(Operation::Get(message.text(2)?))?,
            "GetBulkState" => state(Operation::Bulk(message.texts(2)?))?,
            "DeleteState" => state(Operation::Delete(Write {
                key: message.text(2)?,
                value: None,
                etag: etag(&message)?,
                only_first: false,
                ttl: None,
            }))?,
            "ExecuteStateTransaction" => {
                let mut writes = Vec::new();
                for operation in message.messages(2)? {
                    let kind = operation.text(1)?;
                    if !matches!(kind.as_str(), "upsert" | "delete") {
                        let store = store()?;
                        return Ok(Some(Self::Unsupported { store, kind }));
                    }
                    let item = operation.message(2)?.unwrap_or_default();
                    writes.push(write(&item, kind == "delete")?);
                }
                state(Operation::Transaction(writes))?
            }
            "GetSecret" => Self::Secret {
                store: store()?,
                name: message.text(2)?,
                metadata: message.map(3)?,
            },
            "GetBulkSecret" => Self::Secrets { store: store()? },
            "GetMetadata" => Self::Metadata,
            "SetMetadata" => Self::SetMetadata {
                key: message.text(1)?,
                value: message.text(2)?,
            },
            "ScheduleJob" | "ScheduleJobAlpha1" => {
                let told = message.message(1)?.unwrap_or_default();
                let mut job = job(&told)?;
                job["overwrite"] = json!(message.number(2).unwrap_or_default() != 0);
                let name = told.text(1)?;
                Self::Schedule { name, job }
            }
            "GetJob" | "GetJobAlpha1" => Self::GetJob {
                name: message.text(1)?,
            },
            "DeleteJob" | "DeleteJobAlpha1" => Self::DeleteJob {
                name: message.text(1)?,
            },
            _ => return Ok(None),
        }))
    }

    /// Name and version of the API's part, as a Configuration allows them.
    pub(super) fn group(&self) -> (&'static str, &'static str) {
        let group = match self {
            Self::Publish { .. } | Self::PublishMany { .. } => "publish",
            Self::State { .. } | Self::Unsupported { .. } => "state",
            Self::Secret { .. } | Self::Secrets { .. } => "secrets",
            Self::Metadata | Self::SetMetadata { .. } => "metadata",
            Self::Schedule { .. } | Self::GetJob { .. } | Self::DeleteJob { .. } => "jobs",
        };
        (group, "v1.0")
    }

    pub(super) fn name(&self) -> String {
        let (method, path, _) = self.target();
        format!("{method} {path}")
    }

    /// The request of the HTTP API that means the same: method, path and query.
    pub(super) fn target(&self) -> (Method, String, Pairs) {
        let (post, get, delete) = (Method::POST, Method::GET, Method::DELETE);
        let (method, segments): (_, Vec<&str>) = match self {
            Self::Publish { pubsub, topic, .. } => (post, vec!["publish", pubsub, topic]),
            Self::PublishMany { pubsub, topic, .. } => {
                (post, vec!["publish", "bulk", pubsub, topic])
            }
            Self::State { store, operation } => match operation {
                Operation::Save(_) => (post, vec!["state", store]),
                Operation::Get(key) => (get, vec!["state", store, key]),
                Operation::Bulk(_) => (post, vec!["state", store, "bulk"]),
                Operation::Delete(write) => (delete, vec!["state", store, &write.key]),
                Operation::Transaction(_) => (post, vec!["state", store, "transaction"]),
            },
            Self::Unsupported { store, .. } => (post, vec!["state", store, "transaction"]),
            Self::Secret { store, name, .. } => (get, vec!["secrets", store, name]),
            Self::Secrets { store } => (get, vec!["secrets", store, "bulk"]),
            Self::Metadata => (get, vec!["metadata"]),
            Self::SetMetadata { key, .. } => (Method::PUT, vec!["metadata", key]),
            Self::Schedule { name, .. } => (post, vec!["jobs", name]),
            Self::GetJob { name } => (get, vec!["jobs", name]),
            Self::DeleteJob { name } => (delete, vec!["jobs", name]),
        };
        let mut path = String::from("/v1.0");
        for segment in segments {
            path.push('/');
            path.extend(url::form_urlencoded::byte_serialize(segment.as_bytes()));
        }
        let query = match self {
            Self::Publish { metadata, .. } => {
                let named = metadata.iter();
                let named = named.map(|(key, value)| (format!("metadata.{key}"), value.clone()));
                named.collect()
            }
            _ => Vec::new(),
        };
        (method, path.replace('+', "%20"), query)
    }

    /// Has it answered.
    pub(super) async fn ask(&self, sidecar: &Arc<Sidecar>, request: &Request) -> Reply {
        match self {
            Self::Publish {
                pubsub,
                topic,
                data,
                content_type,
                ..
            } => {
                let mut headers = request.headers.clone();
                if let Ok(value) = HeaderValue::from_str(content_type) {
                    headers.insert(header::CONTENT_TYPE, value);
                }
                let request = Request {
                    method: request.method.clone(),
                    target: request.target.clone(),
                    path: request.path.clone(),
                    query: request.query.clone(),
                    headers,
                    body: data.clone(),
                    upgrade: None,
                };
                publish::one(sidecar, &request, pubsub, topic).await
            }
            Self::PublishMany {
                pubsub,
                topic,
                entries,
            } => publish::bulk_call(sidecar, request, (pubsub, topic), entries).await,
            Self::State { store, operation } => state::perform(sidecar, store, operation),
            Self::Unsupported { kind, .. } => state::unsupported(kind),
            Self::Secret {
                store,
                name,
                metadata,
            } => {
                let mut pairs = metadata.iter();
                let namespace = pairs.find(|(key, _)| key == "namespace");
                let namespace = namespace.map(|(_, value)| value.as_str());
                secrets::get(sidecar, store, name, namespace).await
            }
            Self::Secrets { store } => secrets::bulk(sidecar, store).await,
            Self::Metadata => metadata::get(sidecar),
            Self::SetMetadata { key, value } => metadata::put(sidecar, key, value.as_bytes()),
            Self::Schedule { name, job } => match jobs::named(sidecar, name) {
                Ok(name) => jobs::schedule(sidecar, job, name).await,
                Err(reply) => reply,
            },
            Self::GetJob { name } => {
                let held = match jobs::named(sidecar, name) {
                    Ok(name) => jobs::held(sidecar, name).await,
                    Err(reply) => Err(reply),
                };
                held.map_or_else(|reply| reply, |job| Reply::json(http::StatusCode::OK, &job))
            }
            Self::DeleteJob { name } => match jobs::named(sidecar, name) {
                Ok(name) => jobs::delete(sidecar, name).await,
                Err(reply) => reply,
            },
        }
    }

    /// The message that says what a good reply says.
    pub(super) fn encode(&self, reply: &Reply) -> Vec<u8> {
        let bytes = match &reply.body {
            Body::Full(bytes) => bytes.clone(),
            Body::Stream(_) => Bytes::new(),
        };
        let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let header = |name: &str| {
            let value = reply
                .headers
                .get(name)
                .and_then(|value| value.to_str().ok());
            value.unwrap_or_default()
        };
        let writer = Writer::default();
        let writer = match self {
            Self::State { operation, .. } => match operation {
                Operation::Get(_) => {
                    let writer = writer.bytes(1, &bytes).text(2, header("etag"));
                    match header("metadata.ttlExpireTime") {
                        "" => writer,
                        at => writer.pair(3, "ttlExpireTime", at),
                    }
                }
                Operation::Bulk(_) => {
                    let items = body.as_array().into_iter().flatten();
                    writer.messages(1, items, |item| {
                        let data = match &item["data"] {
                            Value::Null if item["etag"].is_null() => String::new(),
                            data => data.to_string(),
                        };
                        Writer::default()
                            .json_text(1, &item["key"])
                            .text(2, &data)
                            .json_text(3, &item["etag"])
                    })
                }
                _ => writer,
            },
            Self::Secret { .. } => writer.map(1, &body),
            Self::Secrets { .. } => {
                let secrets = body.as_object().into_iter().flatten();
                secrets.fold(writer, |writer, (name, data)| {
                    let data = Writer::default().map(1, data);
                    writer.message(1, Writer::default().text(1, name).message(2, data))
                })
            }
            Self::Metadata => about(&body),
            Self::GetJob { name } => writer.message(1, written(name, &body)),
            _ => writer,
        };
        writer.finish()
    }
}

/// A `BulkPublishRequestEntry`. What is told of all holds for those that tell
/// something of themselves, as with Dapr.
fn one_of_many(entry: &Message<'_>, of_all: &Pairs) -> Result<Entry, Malformed> {
    let own = entry.map(4)?;
    let known = |name: &str| own.is_empty() || own.iter().any(|(own, _)| own == name);
    let others = of_all.iter().filter(|(name, _)| !known(name)).cloned();
    Ok(Entry {
        id: entry.text(1)?,
        content_type: entry.text(3)?,
        metadata: others.chain(own.clone()).collect(),
        body: entry.bytes(2).to_vec(),
    })
}

fn etag(message: &Message<'_>) -> Result<Option<String>, Malformed> {
    let etag = message.message(3)?.map(|etag| etag.text(1)).transpose()?;
    Ok(etag.filter(|etag| !etag.is_empty()))
}

/// A `StateItem`.
fn write(item: &Message<'_>, deletes: bool) -> Result<Write, Malformed> {
    let metadata = item.map(4)?;
    let mut pairs = metadata.iter();
    let ttl = pairs.find(|(key, _)| key == "ttlInSeconds");
    let ttl = ttl.and_then(|(_, text)| text.parse::<i64>().ok());
    let options = item.message(5)?.unwrap_or_default();
    Ok(Write {
        key: item.text(1)?,
        value: (!deletes).then(|| Bytes::copy_from_slice(item.bytes(2))),
        etag: etag(item)?,
        only_first: options.number(1) == Some(FIRST_WRITE),
        ttl: ttl.filter(|ttl| *ttl > 0),
    })
}

/// A `Job` as the HTTP API has it.
fn job(message: &Message<'_>) -> Result<Value, Malformed> {
    let mut job = json!({});
    for (number, name) in [(2, "schedule"), (4, "dueTime"), (5, "ttl")] {
        if message.maybe(number).is_some() {
            job[name] = json!(message.text(number)?);
        }
    }
    if let Some(repeats) = message.number(3) {
        job["repeats"] = json!(repeats);
    }
    if let Some(any) = message.message(6)? {
        let (kind, bytes) = (any.text(1)?, any.bytes(2));
        if kind == JSON {
            job["data"] = Message::read(bytes)?.json()?;
        } else if !(kind.is_empty() && bytes.is_empty()) {
            job["data"] = serde_json::from_slice(bytes)
                .unwrap_or_else(|_| json!(String::from_utf8_lossy(bytes)));
            job[jobs::ANY] = json!({"type": kind, "base64": STANDARD.encode(bytes)});
        }
    }
    if let Some(policy) = message.message(7)? {
        if let Some(constant) = policy.message(2)? {
            let mut told = json!({});
            if let Some(interval) = constant.message(1)? {
                let seconds = interval.number(1).unwrap_or_default();
                let nanos = interval.number(2).unwrap_or_default();
                told["interval"] = match nanos {
                    0 => json!(format!("{seconds}s")),
                    _ => json!(format!("{seconds}.{nanos:09}s")),
                };
            }
            if let Some(most) = constant.number(2) {
                told["maxRetries"] = json!(most);
            }
            job["failurePolicy"] = json!({ "constant": told });
        } else {
            job["failurePolicy"] = json!({"drop": {}});
        }
    }
    Ok(job)
}

/// A `Job` from what the scheduler keeps.
fn written(name: &str, job: &Value) -> Writer {
    let mut writer = Writer::default().text(1, name.trim());
    writer = writer.json_text(2, &job["schedule"]);
    if let Some(repeats) = job["repeats"].as_u64() {
        writer = writer.told(3, repeats);
    }
    writer = writer
        .json_text(4, &job["dueTime"])
        .json_text(5, &job["ttl"]);
    let any = &job[jobs::ANY];
    if any.is_object() {
        let bytes = STANDARD.decode(any["base64"].as_str().unwrap_or_default());
        let bytes = bytes.unwrap_or_default();
        let any = Writer::default().json_text(1, &any["type"]);
        writer = writer.message(6, any.bytes(2, &bytes));
    } else if !job["data"].is_null() {
        let value = Writer::json(&job["data"]).finish();
        let any = Writer::default().text(1, JSON).bytes(2, &value);
        writer = writer.message(6, any);
    }
    let policy = &job["failurePolicy"];
    let constant = &policy["constant"];
    if constant.is_object() {
        let mut told = Writer::default();
        if let Some((seconds, nanos)) = constant["interval"].as_str().and_then(interval) {
            told = told.message(1, Writer::default().number(1, seconds).number(2, nanos));
        }
        if let Some(most) = constant["maxRetries"].as_u64() {
            told = told.told(2, most);
        }
        writer = writer.message(7, Writer::default().message(2, told));
    } else if policy["drop"].is_object() {
        writer = writer.message(7, Writer::default().message(1, Writer::default()));
    }
    writer
}

/// Seconds and nanoseconds of a duration as JSON writes it.
fn interval(text: &str) -> Option<(u64, u64)> {
    let (whole, part) = match text.strip_suffix('s')?.split_once('.') {
        Some((whole, part)) => (whole, format!("{part:0<9}")),
        None => (text.strip_suffix('s')?, String::new()),
    };
    let part = match part.as_str() {
        "" => 0,
        part => part.get(..9)?.parse().ok()?,
    };
    Some((whole.parse().ok()?, part))
}

/// A `GetMetadataResponse`.
fn about(body: &Value) -> Writer {
    let list = |name: &str| body[name].as_array().into_iter().flatten();
    let app = &body["appConnectionProperties"];
    let actors = &body["actorRuntime"];
    let runtime = match actors["runtimeStatus"].as_str() {
        Some("DISABLED") => 1,
        Some("RUNNING") => 2,
        _ => 0,
    };
    let runtime = Writer::default()
        .number(1, runtime)
        .number(3, u64::from(actors["hostReady"] == json!(true)))
        .json_text(4, &actors["placement"]);
    let addresses = &body["scheduler"]["connected_addresses"];
    Writer::default()
        .json_text(1, &body["id"])
        .messages(3, list("components"), |one| {
            Writer::default()
                .json_text(1, &one["name"])
                .json_text(2, &one["type"])
                .json_text(3, &one["version"])
                .texts(4, &one["capabilities"])
        })
        .map(4, &body["extended"])
        .messages(5, list("subscriptions"), subscription)
        .message(
            7,
            Writer::default()
                .number(1, app["port"].as_u64().unwrap_or_default())
                .json_text(2, &app["protocol"])
                .json_text(3, &app["channelAddress"]),
        )
        .json_text(8, &body["runtimeVersion"])
        .texts(9, &body["enabledFeatures"])
        .message(10, runtime)
        .message(11, Writer::default().texts(1, addresses))
        .messages(15, list("resiliencies"), |one| {
            Writer::default().json_text(1, &one["name"])
        })
}

fn subscription(one: &Value) -> Writer {
    let rules = one["rules"].as_array().into_iter().flatten();
    let rules = Writer::default().messages(1, rules, |rule| {
        Writer::default()
            .json_text(1, &rule["match"])
            .json_text(2, &rule["path"])
    });
    let kind = match one["type"].as_str() {
        Some("DECLARATIVE") => 1,
        Some("PROGRAMMATIC") => 2,
        _ => 0,
    };
    Writer::default()
        .json_text(1, &one["pubsubname"])
        .json_text(2, &one["topic"])
        .message(4, rules)
        .json_text(5, &one["deadLetterTopic"])
        .number(6, kind)
}
