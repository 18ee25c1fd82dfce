//! The client against brokers that follow a script, over connections in
//! memory. The bytes are written by hand after the protocol guide, so that a
//! mistake of the codec would show.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use kafka_protocol::records::{
    Compression, Record as Whole, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use super::*;
use crate::clock::Clock;
use crate::secret::Secret;

/// What the broker does when a request of this number comes.
enum Act {
    /// Answers with this body.
    Say(i16, Vec<u8>),
    /// Answers with what comes of the request's body.
    Answer(i16, fn(&[u8]) -> Vec<u8>),
    /// Writes these bytes, whatever came.
    Raw(Vec<u8>),
    /// Hangs up after it has read the request.
    HangUp(i16),
    /// Says nothing for ever.
    Sleep,
}

/// Connections in the order in which they are made, each with its script.
struct Script(Mutex<VecDeque<Vec<Act>>>);

impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Script")
    }
}

#[async_trait]
impl Connector for Script {
    async fn connect(&self, _: &Address) -> io::Result<BoxedStream> {
        let script = self.0.lock().unwrap().pop_front();
        let script = script.ok_or(io::ErrorKind::ConnectionRefused)?;
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        tokio::spawn(play(theirs, script));
        Ok(Box::new(ours))
    }
}

async fn play(mut stream: DuplexStream, script: Vec<Act>) -> io::Result<()> {
    for act in script {
        let length = stream.read_i32().await?;
        let mut frame = vec![0; usize::try_from(length).unwrap()];
        stream.read_exact(&mut frame).await?;
        let key = i16::from_be_bytes(frame[..2].try_into().unwrap());
        let (expected, body) = match act {
            Act::Say(key, body) => (key, body),
            // Number, version, correlation, then the client's name.
            Act::Answer(key, answer) => {
                let name = usize::from(u16::from_be_bytes(frame[8..10].try_into().unwrap()));
                (key, answer(&frame[10 + name..]))
            }
            Act::Raw(bytes) => {
                stream.write_all(&bytes).await?;
                continue;
            }
            Act::HangUp(expected) => {
                assert_eq!(key, expected);
                return Ok(());
            }
            Act::Sleep => return std::future::pending().await,
        };
        assert_eq!(key, expected, "another request than the script expects");
        stream
            .write_i32(i32::try_from(body.len() + 4).unwrap())
            .await?;
        stream.write_all(&frame[4..8]).await?;
        stream.write_all(&body).await?;
    }
    Ok(())
}

fn client(sasl: Option<Sasl>, connections: Vec<Vec<Act>>) -> Client {
    let access = KafkaAccess {
        brokers: vec![Address::new("one", 9092)],
        tls: None,
        sasl,
        connector: Arc::new(Script(Mutex::new(connections.into()))),
    };
    let client = Client::new(access, Clock::default()).unwrap();
    client.with_patience(Duration::from_millis(400))
}

/// Bytes as the guide writes them.
#[derive(Default)]
struct Body(Vec<u8>);

impl Body {
    fn i8(mut self, n: i8) -> Self {
        self.0.extend(n.to_be_bytes());
        self
    }
    fn i16(mut self, n: i16) -> Self {
        self.0.extend(n.to_be_bytes());
        self
    }
    fn i32(mut self, n: i32) -> Self {
        self.0.extend(n.to_be_bytes());
        self
    }
    fn i64(mut self, n: i64) -> Self {
        self.0.extend(n.to_be_bytes());
        self
    }
    fn text(self, text: &str) -> Self {
        let mut this = self.i16(i16::try_from(text.len()).unwrap());
        this.0.extend(text.as_bytes());
        this
    }
    fn bytes(self, bytes: &[u8]) -> Self {
        let mut this = self.i32(i32::try_from(bytes.len()).unwrap());
        this.0.extend(bytes);
        this
    }
}

const PRODUCE: i16 = 0;
const FETCH: i16 = 1;
const LIST_OFFSETS: i16 = 2;
const METADATA: i16 = 3;
const HANDSHAKE: i16 = 17;
const VERSIONS: i16 = 18;
const AUTHENTICATE: i16 = 36;

/// A broker that knows the first versions only: it answers the question about
/// versions with error 35 in the first form, then again as asked.
fn versions() -> [Act; 2] {
    let windows = [
        (PRODUCE, 3, 3),
        (FETCH, 4, 4),
        (LIST_OFFSETS, 1, 1),
        (METADATA, 4, 4),
        (HANDSHAKE, 1, 1),
        (VERSIONS, 0, 0),
        (AUTHENTICATE, 0, 0),
    ];
    let list = |error: i16| {
        let body = Body::default().i16(error).i32(7);
        let body = windows.iter().fold(body, |body, (key, min, max)| {
            body.i16(*key).i16(*min).i16(*max)
        });
        Act::Say(VERSIONS, body.0)
    };
    [list(35), list(0)]
}

fn connection(acts: impl IntoIterator<Item = Act>) -> Vec<Act> {
    versions().into_iter().chain(acts).collect()
}

/// One broker, one topic of one partition, with these error codes.
fn described(topic: i16, partition: i16, leader: i32) -> Vec<u8> {
    let body = Body::default().i32(0).i32(1).i32(1).text("one").i32(9092);
    let body = body
        .i16(-1)
        .text("c")
        .i32(1)
        .i32(1)
        .i16(topic)
        .text("t")
        .i8(0)
        .i32(1);
    let body = body.i16(partition).i32(0).i32(leader);
    body.i32(1).i32(1).i32(1).i32(1).0
}

fn metadata() -> Act {
    Act::Say(METADATA, described(0, 0, 1))
}

fn offset(error: i16, offset: i64) -> Act {
    let body = Body::default().i32(1).text("t").i32(1).i32(0);
    Act::Say(LIST_OFFSETS, body.i16(error).i64(-1).i64(offset).0)
}

#[tokio::test]
async fn a_cluster_is_described_by_a_broker_of_old_versions() {
    let cluster = client(None, vec![connection([metadata()])])
        .cluster()
        .await
        .unwrap();
    assert_eq!(cluster.controller, Some(1));
    assert_eq!(cluster.brokers[&1], Address::new("one", 9092));
    let partition = &cluster.topics[0].partitions[0];
    assert_eq!(
        (partition.leader, partition.in_sync.as_slice()),
        (Some(1), &[1][..])
    );
}

#[tokio::test]
async fn no_cut_answer_is_fatal() {
    let whole = described(0, 0, 1);
    for length in 0..whole.len() {
        let cut = Act::Say(METADATA, whole[..length].to_vec());
        let error = client(None, vec![connection([cut])])
            .cluster()
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Garbled { .. }), "{length}: {error}");
    }
}

#[tokio::test]
async fn a_moved_leader_is_looked_up_again() {
    const NOT_LEADER: i16 = 6;
    let acts = [
        metadata(),
        offset(NOT_LEADER, -1),
        metadata(),
        offset(0, 42),
    ];
    let offsets = client(None, vec![connection(acts)])
        .offsets(&["t"], At::Latest)
        .await;
    assert_eq!(offsets.unwrap()[&("t".to_owned(), 0)], 42);
}

#[tokio::test]
async fn a_time_behind_the_last_event_is_the_end() {
    let acts = [metadata(), offset(0, -1), offset(0, 7)];
    let at = At::Time(jiff::Timestamp::UNIX_EPOCH);
    let offsets = client(None, vec![connection(acts)])
        .offsets(&["t"], at)
        .await;
    assert_eq!(offsets.unwrap()[&("t".to_owned(), 0)], 7);
}

#[tokio::test]
async fn a_leader_that_does_not_come_back_is_told_in_time() {
    let acts = std::iter::repeat_with(|| Act::Say(METADATA, described(5, 5, -1))).take(50);
    let error = client(None, vec![connection(acts)])
        .offsets(&["t"], At::Latest)
        .await;
    let error = error.unwrap_err();
    assert_eq!(error.to_string(), "partition 0 of `t` has no leader");
}

#[tokio::test]
async fn what_a_topic_lacks_is_told_at_once() {
    for (code, text) in [
        (3, "the topic `t` does not exist"),
        (29, "not authorised for the topic `t`"),
    ] {
        let acts = [Act::Say(METADATA, described(code, 0, 1))];
        let error = client(None, vec![connection(acts)])
            .topics(&["t"])
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), text);
        assert!(error.hint().is_some());
    }
}

/// What a port does, and what it is told to be.
type Case = (Vec<Act>, fn(&Error) -> bool);

#[tokio::test]
async fn every_wrong_port_is_told() {
    let alert = Act::Raw(vec![0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x46]);
    let cases: Vec<Case> = vec![
        (vec![alert], |e| matches!(e, Error::NeedsTls { .. })),
        (vec![Act::HangUp(VERSIONS)], |e| {
            matches!(e, Error::NeedsTls { .. })
        }),
        (vec![Act::Sleep], |e| matches!(e, Error::Silent { .. })),
        (vec![Act::Raw(b"HTTP/1.1 400 Bad Request".to_vec())], |e| {
            matches!(e, Error::Garbled { .. })
        }),
        (connection([Act::HangUp(METADATA)]), |e| {
            matches!(e, Error::NeedsSasl { .. })
        }),
    ];
    for (script, expected) in cases {
        let error = client(None, vec![script]).cluster().await.unwrap_err();
        assert!(expected(&error), "{error:?}");
    }
    let error = client(None, vec![]).cluster().await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }));
    assert!(error.hint().unwrap().contains("nothing listens"));
}

fn todo(mechanism: Mechanism) -> Sasl {
    Sasl {
        mechanism,
        username: "todo".to_owned(),
        password: Secret::new("pencil"),
    }
}

fn offered(error: i16) -> Act {
    Act::Say(
        HANDSHAKE,
        Body::default().i16(error).i32(1).text("SCRAM-SHA-512").0,
    )
}

fn said(error: i16, words: &[u8]) -> Vec<u8> {
    Body::default().i16(error).i16(-1).bytes(words).0
}

#[tokio::test]
async fn a_refused_user_is_told() {
    let acts = connection([offered(0), Act::Say(AUTHENTICATE, said(58, b""))]);
    let error = client(Some(todo(Mechanism::Plain)), vec![acts])
        .cluster()
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the broker one:9092 refused the user `todo` (PLAIN)"
    );
    let acts = connection([offered(33)]);
    let error = client(Some(todo(Mechanism::Plain)), vec![acts])
        .cluster()
        .await
        .unwrap_err();
    let text = "the broker one:9092 does not offer PLAIN, but SCRAM-SHA-512";
    assert_eq!(error.to_string(), text);
}

#[tokio::test]
async fn a_broker_that_does_not_know_the_password_is_an_impostor() {
    // The salt is free to choose, and so is a signature that is none.
    let first = Act::Answer(AUTHENTICATE, |request| {
        let text = String::from_utf8_lossy(&request[4..]).into_owned();
        let nonce = text.rsplit_once("r=").unwrap().1;
        let salt = STANDARD.encode("salt");
        said(0, format!("r={nonce}more,s={salt},i=4096").as_bytes())
    });
    let last = Act::Say(AUTHENTICATE, said(0, b"v=AAAA"));
    let acts = connection([offered(0), first, last]);
    let error = client(Some(todo(Mechanism::ScramSha256)), vec![acts])
        .cluster()
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Impostor { .. }), "{error:?}");
}

#[tokio::test]
async fn a_lost_confirmation_is_not_sent_again() {
    let first = connection([metadata(), metadata()]);
    let second = connection([Act::HangUp(PRODUCE)]);
    let record = NewRecord {
        value: Bytes::from("{}"),
        ..NewRecord::default()
    };
    let kafka = client(None, vec![first, second]);
    let error = kafka.produce("t", record).await.unwrap_err();
    assert!(
        error.to_string().contains("may be stored or not"),
        "{error}"
    );
}

fn batch(base: i64, count: i64) -> Vec<u8> {
    let records: Vec<Whole> = (base..base + count)
        .map(|offset| Whole {
            transactional: false,
            control: false,
            delete_horizon: false,
            partition_leader_epoch: 0,
            producer_id: -1,
            producer_epoch: -1,
            timestamp_type: TimestampType::Creation,
            offset,
            sequence: i32::try_from(offset - base).unwrap() - 1,
            timestamp: 0,
            key: None,
            value: Some(Bytes::from(offset.to_string())),
            headers: std::iter::empty().collect(),
        })
        .collect();
    let mut bytes = bytes::BytesMut::new();
    let options = RecordEncodeOptions {
        version: 2,
        compression: Compression::None,
    };
    RecordBatchEncoder::encode(&mut bytes, &records, &options).unwrap();
    bytes.to_vec()
}

fn fetched(error: i16, records: &[u8]) -> Act {
    let body = Body::default()
        .i32(0)
        .i32(1)
        .text("t")
        .i32(1)
        .i32(0)
        .i16(error);
    Act::Say(FETCH, body.i64(10).i64(10).i32(0).bytes(records).0)
}

async fn read(kafka: &Client, from: i64, until: i64) -> Result<Vec<i64>, Error> {
    let partition = |offset| BTreeMap::from([(("t".to_owned(), 0), offset)]);
    let mut scan = kafka.scan(&ScanPlan {
        from: partition(from),
        until: partition(until),
    });
    let mut offsets = Vec::new();
    while let Some(chunk) = scan.next().await? {
        chunk.each(|record| {
            assert_eq!(record.value, Some(record.offset.to_string().as_bytes()));
            offsets.push(record.offset);
            true
        })?;
    }
    Ok(offsets)
}

#[tokio::test]
async fn reading_goes_on_where_it_stopped_when_the_leader_moves() {
    const NOT_LEADER: i16 = 6;
    let first = connection([metadata(), metadata()]);
    let second = connection([fetched(0, &batch(0, 4)), fetched(NOT_LEADER, &[])]);
    // The batch begins before what was asked for, and ends behind it.
    let third = connection([fetched(0, &batch(2, 6))]);
    let kafka = client(None, vec![first, second, third]);
    assert_eq!(read(&kafka, 1, 7).await.unwrap(), [1, 2, 3, 4, 5, 6]);
}

#[tokio::test]
async fn an_offset_that_is_not_there_is_explained() {
    const OUT_OF_RANGE: i16 = 1;
    let first = connection([metadata(), offset(0, 5), offset(0, 10)]);
    let second = connection([fetched(OUT_OF_RANGE, &[])]);
    let error = read(&client(None, vec![first, second]), 99, 100)
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "offset 99 of `t` partition 0 does not exist: the partition holds 5 to 9"
    );
}
