//! The broker by its socket, in bytes written by hand from the protocol
//! guide, and by its in-process client.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::super::faults::Fault;
use super::super::world::World;
use super::*;
use crate::clock::Clock;

struct Lab {
    dir: tempfile::TempDir,
    world: Arc<World>,
    broker: Arc<Broker>,
    addresses: Addresses,
}

async fn lab() -> Lab {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::new(1000.0, CancellationToken::new());
    let world = Arc::new(World::open(dir.path(), clock, 7).unwrap());
    let fleet = Fleet::open(&world).await.unwrap();
    let (broker, addresses) = fleet.add(Wanted::named("main")).await.unwrap();
    broker.users.set("todo", "secret", &Mechanism::ALL);
    let topic = NewTopic {
        name: "t".into(),
        partitions: 2,
        replicas: 1,
        ..NewTopic::default()
    };
    broker.topics.create(&topic, false).unwrap();
    Lab {
        dir,
        world,
        broker,
        addresses,
    }
}

impl Lab {
    fn fault(&self, kind: &str, arg: Option<&str>, nth: u64, times: Option<u64>) {
        self.world.faults.add(Fault {
            id: 0,
            system: "kafka".into(),
            kind: kind.into(),
            arg: arg.map(str::to_owned),
            method: None,
            path: None,
            nth,
            times,
            seen: 0,
            since_ms: u64::try_from(self.world.age().as_millis()).unwrap(),
        });
    }

    async fn values(&self, client: &Client) -> Vec<String> {
        let read = client.fetch("t", 0, 0, Duration::ZERO).await.unwrap().0;
        let text = |record: Record| String::from_utf8(record.value.unwrap()).unwrap();
        read.into_iter().map(text).collect()
    }
}

async fn ask(socket: &mut TcpStream, request: &[u8]) -> Option<Vec<u8>> {
    let length = u32::try_from(request.len()).unwrap();
    socket.write_u32(length).await.ok()?;
    socket.write_all(request).await.ok()?;
    let length = socket.read_u32().await.ok()?;
    let mut reply = vec![0; usize::try_from(length).unwrap()];
    socket.read_exact(&mut reply).await.ok()?;
    Some(reply)
}

fn event(text: &str) -> Record {
    Record {
        value: Some(text.into()),
        ..Record::default()
    }
}

#[tokio::test]
async fn a_version_from_the_future_is_told_the_versions_in_the_oldest_layout() {
    let lab = lab().await;
    let mut socket = TcpStream::connect(&lab.addresses.plain).await.unwrap();
    // ApiVersions version 4, correlation 7, client "c", and its tagged fields.
    let request = [0, 18, 0, 4, 0, 0, 0, 7, 0, 1, b'c', 0, 2, b'x', 2, b'1', 0];
    let reply = ask(&mut socket, &request).await.unwrap();
    assert_eq!(
        reply[..6],
        [0, 0, 0, 7, 0, 35],
        "correlation, UNSUPPORTED_VERSION"
    );
    assert_eq!(reply[6..10], 27_i32.to_be_bytes(), "the number of APIs");
    assert_eq!(reply[10..16], [0, 0, 0, 3, 0, 8], "Produce, 3 to 8");
    assert_eq!(reply.len(), 10 + 27 * 6, "and nothing behind");
}

#[tokio::test]
async fn metadata_is_laid_out_as_the_guide_says() {
    let lab = lab().await;
    let mut socket = TcpStream::connect(&lab.addresses.plain).await.unwrap();
    // Metadata version 1 for the topic "t".
    let request = [0, 3, 0, 1, 0, 0, 0, 9, 0xff, 0xff, 0, 0, 0, 1, 0, 1, b't'];
    let reply = ask(&mut socket, &request).await.unwrap();
    let (host, port) = lab.addresses.plain.split_once(':').unwrap();
    let mut wanted = vec![0, 0, 0, 9];
    wanted.extend([0, 0, 0, 1, 0, 0, 0, 1, 0, 9]); // one broker, node 1
    wanted.extend(host.bytes());
    wanted.extend(port.parse::<i32>().unwrap().to_be_bytes());
    wanted.extend([0xff, 0xff, 0, 0, 0, 1]); // no rack; the controller
    wanted.extend([0, 0, 0, 1, 0, 0, 0, 1, b't', 0, 0, 0, 0, 2]);
    for partition in [0, 1] {
        // No error, number, leader, one replica, one in sync.
        wanted.extend([0, 0, 0, 0, 0, partition, 0, 0, 0, 1]);
        wanted.extend([0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1]);
    }
    assert_eq!(reply, wanted);
}

#[tokio::test]
async fn nothing_is_answered_before_the_login_and_a_wrong_password_is_told() {
    let lab = lab().await;
    let metadata = [0, 3, 0, 1, 0, 0, 0, 9, 0xff, 0xff, 0, 0, 0, 0];
    let handshake = b"\0\x11\0\x01\0\0\0\x01\xff\xff\0\x05PLAIN";
    let login = |password: &[u8]| {
        let token = [b"\0todo\0", password].concat();
        let head = [0, 36, 0, 0, 0, 0, 0, 2, 0xff, 0xff, 0, 0, 0];
        let length = [u8::try_from(token.len()).unwrap()];
        [&head[..], &length, &token].concat()
    };
    let connect = || TcpStream::connect(&lab.addresses.sasl);
    assert_eq!(ask(&mut connect().await.unwrap(), &metadata).await, None);

    let mut socket = connect().await.unwrap();
    let offered = ask(&mut socket, handshake).await.unwrap();
    assert_eq!(offered[4..10], [0, 0, 0, 0, 0, 3]);
    let refused = ask(&mut socket, &login(b"wrong")).await.unwrap();
    assert_eq!(refused[4..6], [0, 58]);
    assert_eq!(ask(&mut socket, &metadata).await, None);

    let mut socket = connect().await.unwrap();
    ask(&mut socket, handshake).await.unwrap();
    let accepted = ask(&mut socket, &login(b"secret")).await.unwrap();
    assert_eq!(accepted[4..], [0, 0, 0xff, 0xff, 0, 0, 0, 0]);
    assert!(ask(&mut socket, &metadata).await.is_some());
}

#[tokio::test]
async fn what_a_client_appends_is_there_after_a_restart() {
    let lab = lab().await;
    let client = Client::login(&lab.broker, Mechanism::Sha512, "todo", "secret").unwrap();
    for n in 0..5 {
        let place = Place::Partition(0);
        let at = client.append("t", place, event(&n.to_string())).await;
        assert_eq!(at, Ok((0, n)));
    }
    client.commit("group", "t", 0, 3).await.unwrap();
    lab.broker.close();
    let again = World::open(lab.dir.path(), Clock::default(), 7).unwrap();
    let broker = Broker::open(&Arc::new(again), "main", Options::default()).unwrap();
    let client = Client::login(&broker, Mechanism::Plain, "todo", "secret").unwrap();
    let (read, next) = client.fetch("t", 0, 2, Duration::ZERO).await.unwrap();
    assert_eq!((read.len(), read[0].offset, next), (3, 2, 5));
    assert_eq!(client.committed("group", "t", 0).await, Ok(Some(3)));
}

#[tokio::test]
async fn a_waiting_reader_hears_of_an_append_at_once() {
    let lab = lab().await;
    let client = Client::anonymous(&lab.broker);
    let minute = Duration::from_mins(1);
    let (read, _) = tokio::join!(client.fetch("t", 1, 0, minute), async {
        lab.broker
            .real
            .sleep(Duration::from_millis(20))
            .await
            .unwrap();
        client
            .append("t", Place::Partition(1), event("now"))
            .await
            .unwrap();
    });
    assert_eq!(read.unwrap().0.len(), 1);
}

#[tokio::test]
async fn faults_lose_double_and_delay_the_records_that_they_name() {
    let lab = lab().await;
    let client = Client::anonymous(&lab.broker);
    lab.fault("lose-record", Some("t"), 2, Some(1));
    lab.fault("double-record", Some("t"), 3, Some(1));
    lab.fault("late-record", Some("t"), 3, Some(1));
    for text in ["a", "lost", "c", "twice", "late", "f"] {
        client
            .append("t", Place::Partition(0), event(text))
            .await
            .unwrap();
    }
    assert_eq!(
        lab.values(&client).await,
        ["a", "c", "twice", "twice", "f", "late"]
    );
    lab.fault("leaderless", Some("t/1"), 1, None);
    let place = Place::Partition(1);
    let refused = client.append("t", place, event("x")).await;
    assert_eq!(
        refused,
        Err(ClientError::Refused(Code::NotLeaderOrFollower))
    );
    assert!(
        client
            .append("t", Place::Partition(0), event("x"))
            .await
            .is_ok()
    );
    lab.fault("topic-missing", Some("t"), 1, None);
    let refused = client.append("t", Place::Partition(0), event("x")).await;
    assert_eq!(
        refused,
        Err(ClientError::Refused(Code::UnknownTopicOrPartition))
    );
}

#[tokio::test]
async fn a_broker_that_is_away_closes_everything_and_comes_back() {
    let lab = lab().await;
    let client = Client::anonymous(&lab.broker);
    let mut socket = TcpStream::connect(&lab.addresses.plain).await.unwrap();
    let versions = [0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff];
    assert!(ask(&mut socket, &versions).await.is_some());
    // Five minutes at a thousand times the speed.
    lab.fault("away", Some("5m"), 1, None);
    assert_eq!(ask(&mut socket, &versions).await, None);
    let place = Place::Partition(0);
    assert_eq!(
        client.append("t", place, event("x")).await,
        Err(ClientError::Away)
    );
    lab.world.clock.sleep(Duration::from_mins(6)).await.unwrap();
    let mut socket = TcpStream::connect(&lab.addresses.plain).await.unwrap();
    assert!(ask(&mut socket, &versions).await.is_some());
    assert!(client.append("t", place, event("x")).await.is_ok());
}
