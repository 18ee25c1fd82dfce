//! todoctl's Kafka client against a real Apache Kafka. `tests/interop/run kafka`
//! starts the broker and runs this; `cargo test` alone leaves it out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

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
    let before = Instant::now();
    let error = match Client::new(access, Clock::default()) {
        Ok(client) => client.cluster().await.unwrap_err(),
        Err(error) => error,
    };
    let took = before.elapsed();
    let hint = error.hint().unwrap_or_default();
    println!("  {name}: {error} ({hint}) in {:.1} s", took.as_secs_f64());
    assert!(expected(&error), "{name}: {error:?}");
    assert!(took < Duration::from_secs(5), "{name} took {took:?}");
}

#[tokio::main]
async fn main() {
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

    println!("groups");
    for name in kafka.groups().await.unwrap() {
        println!("  {:?}", kafka.group(&name).await.unwrap());
        for lag in kafka.lag(&name).await.unwrap() {
            println!("  {lag:?}: {} behind", lag.behind());
        }
    }
}
