//! todoctl's Kafka client against a real Apache Kafka. `tests/interop/run kafka`
//! starts the broker and runs this; `cargo test` alone leaves it out.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test with a main of its own, which tells how far it is"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use todoctl::clock::Clock;
use todoctl::kafka::{
    At, Client, Error, KafkaAccess, Mechanism, NewRecord, Sasl, ScanPlan, Standing, Tcp, TopicSpec,
};
use todoctl::net::Trust;
use todoctl::secret::Secret;

fn env(name: &str) -> String {
    std::env::vars()
        .find(|(key, _)| key == name)
        .unwrap_or_else(|| panic!("{name} is not set; start this through tests/interop/run kafka"))
        .1
}

fn ca() -> Trust {
    Trust::Only(std::fs::read(env("KAFKA_CA")).unwrap())
}

fn sasl(mechanism: Mechanism, user: &str, password: &str) -> Option<Sasl> {
    Some(Sasl {
        mechanism,
        username: user.to_owned(),
        password: Secret::new(password),
    })
}

fn access(broker: &str, tls: Option<Trust>, sasl: Option<Sasl>) -> KafkaAccess {
    KafkaAccess {
        brokers: vec![broker.parse().unwrap()],
        tls,
        sasl,
        connector: Arc::new(Tcp),
    }
}

fn client(access: KafkaAccess) -> Client {
    Client::new(access, Clock::default()).unwrap()
}

fn todo() -> KafkaAccess {
    let sasl = sasl(Mechanism::ScramSha256, "todo", &env("KAFKA_PASSWORD"));
    access(&env("KAFKA_SASL_SSL"), Some(ca()), sasl)
}

async fn refused(name: &str, access: KafkaAccess, expected: fn(&Error) -> bool) {
    let clock = Clock::default();
    let error = match Client::new(access, clock.clone()) {
        Ok(client) => client.cluster().await.unwrap_err(),
        Err(error) => error,
    };
    let took = clock.elapsed();
    let hint = error.hint().unwrap_or_default();
    println!("  {name}: {error} ({hint}) in {:.1} s", took.as_secs_f64());
    assert!(expected(&error), "{name}: {error:?}");
    assert!(took < Duration::from_secs(5), "{name} took {took:?}");
}

#[tokio::main]
async fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("lag") => lag().await,
        Some("scan") => scan().await,
        _ => whole().await,
    }
}

async fn whole() {
    let password = env("KAFKA_PASSWORD");
    let (tls, plain_sasl, plain) = (
        env("KAFKA_SASL_SSL"),
        env("KAFKA_SASL_PLAINTEXT"),
        env("KAFKA_PLAINTEXT"),
    );
    println!("every way in");
    for mechanism in [
        Mechanism::Plain,
        Mechanism::ScramSha256,
        Mechanism::ScramSha512,
    ] {
        let sasl = sasl(mechanism, "todo", &password);
        let cluster = client(access(&tls, Some(ca()), sasl))
            .cluster()
            .await
            .unwrap();
        println!("  {mechanism} over TLS: broker {:?}", cluster.brokers);
    }
    let sha512 = || sasl(Mechanism::ScramSha512, "todo", &password);
    client(access(&plain_sasl, None, sha512()))
        .cluster()
        .await
        .unwrap();
    client(access(&plain, None, None)).cluster().await.unwrap();

    println!("every way to be refused");
    let wrong = sasl(Mechanism::ScramSha256, "todo", "wrong");
    refused("wrong password", access(&tls, Some(ca()), wrong), |e| {
        matches!(e, Error::Denied { .. })
    })
    .await;
    let wrong = sasl(Mechanism::Plain, "todo", "wrong");
    refused(
        "wrong plain password",
        access(&tls, Some(ca()), wrong),
        |e| matches!(e, Error::Denied { .. }),
    )
    .await;
    refused("closed port", access("localhost:1", None, None), |e| {
        matches!(e, Error::Unreachable { .. })
    })
    .await;
    refused(
        "unknown name",
        access("nowhere.invalid:9092", None, None),
        |e| matches!(e, Error::Unreachable { .. }),
    )
    .await;
    refused("plaintext against TLS", access(&tls, None, sha512()), |e| {
        matches!(e, Error::NeedsTls { .. })
    })
    .await;
    refused(
        "TLS against plaintext",
        access(&plain, Some(ca()), None),
        |e| matches!(e, Error::NotTls { .. }),
    )
    .await;
    refused(
        "unknown authority",
        access(&tls, Some(Trust::System), sha512()),
        |e| matches!(e, Error::Tls { .. }),
    )
    .await;
    let sha256 = sasl(Mechanism::ScramSha256, "todo", &password);
    refused(
        "mechanism not offered",
        access(&plain_sasl, None, sha256),
        |e| matches!(e, Error::Mechanism { .. }),
    )
    .await;
    refused("no name", access(&plain_sasl, None, None), |e| {
        matches!(e, Error::NeedsSasl { .. })
    })
    .await;
    refused(
        "a name nobody asks for",
        access(&plain, None, sha512()),
        |e| matches!(e, Error::Mechanism { .. }),
    )
    .await;
    let by_number = tls.replace("localhost", "127.0.0.1");
    refused(
        "another name",
        access(&by_number, Some(ca()), sha512()),
        |e| matches!(e, Error::Tls { .. }),
    )
    .await;

    println!("topics");
    let kafka = client(todo());
    let mut spec = TopicSpec::new("task-events", 3);
    spec.settings = BTreeMap::from([("retention.ms".to_owned(), "604800000".to_owned())]);
    let specs = [spec.clone(), TopicSpec::new("reminders", 3)];
    kafka
        .delete_topics(&["task-events", "reminders", "nothing"])
        .await
        .unwrap();
    assert_eq!(
        kafka.create_topics(&specs).await.unwrap(),
        [Standing::Missing, Standing::Missing]
    );
    assert_eq!(
        kafka.create_topics(&specs).await.unwrap(),
        [Standing::Same, Standing::Same]
    );
    spec.partitions = 2;
    spec.settings
        .insert("cleanup.policy".to_owned(), "compact".to_owned());
    println!("  {:?}", kafka.compare_topics(&[spec]).await.unwrap());
    let grown = TopicSpec::new("reminders", 5);
    println!(
        "  {:?}",
        kafka
            .compare_topics(std::slice::from_ref(&grown))
            .await
            .unwrap()
    );
    kafka.grow_topic("reminders", 5).await.unwrap();
    assert_eq!(
        kafka.compare_topics(&[grown]).await.unwrap(),
        [Standing::Same]
    );
    let missing = kafka.topics(&["missing"]).await.unwrap_err();
    assert!(matches!(missing, Error::TopicMissing { .. }), "{missing}");

    println!("events");
    let records: Vec<NewRecord> = (0..100)
        .map(|i| NewRecord {
            key: (i % 2 == 0).then(|| Bytes::from(format!("task-{i}"))),
            value: Bytes::from(format!("{{\"n\":{i}}}")),
            headers: vec![("content-type".to_owned(), Bytes::from("application/json"))],
            partition: None,
        })
        .collect();
    let stored = kafka.produce_all("task-events", records).await.unwrap();
    assert_eq!(stored.len(), 100);
    let from = kafka.offsets(&["task-events"], At::Earliest).await.unwrap();
    let until = kafka.offsets(&["task-events"], At::Latest).await.unwrap();
    assert_eq!(until.values().sum::<i64>(), 100);
    let mut scan = kafka.scan(&ScanPlan { from, until });
    let mut seen = 0;
    while let Some(chunk) = scan.next().await.unwrap() {
        chunk
            .each(|record| {
                assert!(record.value.unwrap().starts_with(b"{\"n\":"));
                assert_eq!(record.headers.iter().count(), 1);
                seen += 1;
                true
            })
            .unwrap();
    }
    assert_eq!(seen, 100);
    let beyond = BTreeMap::from([(("task-events".to_owned(), 0), 1_000_000)]);
    let mut scan = kafka.scan(&ScanPlan {
        from: beyond,
        until: BTreeMap::new(),
    });
    let error = scan.next().await.unwrap_err();
    println!("  {error}");
    assert!(matches!(error, Error::OutOfRange { .. }));
    let now = Clock::default().now();
    let latest = kafka
        .offsets(&["task-events"], At::Time(now))
        .await
        .unwrap();
    assert_eq!(latest.values().sum::<i64>(), 100);

    println!("a guest");
    let guest = client(access(
        &tls,
        Some(ca()),
        sasl(Mechanism::ScramSha512, "guest", &password),
    ));
    for error in [
        guest.topics(&["task-events"]).await.unwrap_err(),
        guest.lag("todo-backend").await.unwrap_err(),
        guest
            .create_topics(&[TopicSpec::new("more", 1)])
            .await
            .unwrap_err(),
    ] {
        println!("  {error} ({})", error.hint().unwrap_or_default());
        assert!(matches!(error, Error::NotAuthorised { .. }), "{error:?}");
    }
}

/// After a group has read 40 of the 100 events.
async fn lag() {
    println!("a consumer group");
    let kafka = client(todo());
    assert!(
        kafka
            .groups()
            .await
            .unwrap()
            .contains(&"todo-backend".to_owned())
    );
    let group = kafka.group("todo-backend").await.unwrap();
    let lag = kafka.lag("todo-backend").await.unwrap();
    let behind: i64 = lag.iter().map(todoctl::kafka::Lag::behind).sum();
    println!("  {group:?}, {behind} behind");
    assert_eq!(behind, 60);
    assert_eq!(group.state, "Empty");
    assert_eq!(kafka.lag("nobody").await.unwrap(), []);
}

/// Reads the topic `scan` from its beginning to its end, after it was filled
/// with a million events.
async fn scan() {
    const TOPIC: &str = "scan";
    let kafka = client(access(&env("KAFKA_PLAINTEXT"), None, None));
    let kafka = kafka.with_patience(Duration::from_secs(60));
    let made = kafka
        .create_topics(&[TopicSpec::new(TOPIC, 3)])
        .await
        .unwrap();
    if made == [Standing::Missing] {
        for batch in 0..1000 {
            let record = |i: i32| NewRecord {
                key: Some(format!("task-{i}").into()),
                value: event(i).into(),
                partition: Some(batch % 3),
                ..NewRecord::default()
            };
            let records = (batch * 1000..(batch + 1) * 1000).map(record).collect();
            kafka.produce_all(TOPIC, records).await.unwrap();
        }
    }
    let clock = Clock::default();
    let from = kafka.offsets(&[TOPIC], At::Earliest).await.unwrap();
    let until = kafka.offsets(&[TOPIC], At::Latest).await.unwrap();
    let mut scan = kafka.scan(&ScanPlan { from, until });
    let (mut events, mut bytes) = (0, 0);
    while let Some(chunk) = scan.next().await.unwrap() {
        let each = |record: todoctl::kafka::Record<'_>| {
            events += 1;
            bytes += record.value.map_or(0, <[u8]>::len) + record.key.map_or(0, <[u8]>::len);
            true
        };
        chunk.each(each).unwrap();
    }
    let seconds = clock.elapsed().as_secs_f64();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap_or_default();
    println!("{events} events, {bytes} bytes in {seconds:.2} s, {peak}");
}

/// An event as Dapr writes it.
fn event(n: i32) -> String {
    serde_json::json!({
        "specversion": "1.0", "id": format!("e-{n}"), "source": "todo-backend",
        "type": "com.dapr.event.sent", "datacontenttype": "application/json",
        "time": "2026-11-22T02:00:00Z", "topic": "task-events", "pubsubname": "kafka-pubsub",
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "tracestate": "",
        "data": {"task_id": n, "user_id": "u-1", "title": "buy milk", "completed": false},
    })
    .to_string()
}
