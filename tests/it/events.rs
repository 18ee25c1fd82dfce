//! The event backbone: the ways to the brokers, the providers, and what
//! happens to events when Kafka is away.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use regex::Regex;
use serde_json::Value;
use todoctl::sandbox::store::Store;

use crate::support::world::{Things, difference};
use crate::support::{Env, on_write, until};

/// A rehearsal with Redpanda Cloud; the account is the world's own.
const REDPANDA: &str = "extends: sandbox\nkafka:\n  provider: redpanda-cloud\n  redpanda_cloud: \
                        {client_id: x, client_secret: y, region: eu-central-1}\n";
/// A rehearsal with brokers that somebody else runs.
const EXTERNAL: &str = "extends: sandbox\nkafka:\n  provider: external\n  \
                        brokers: [kafka.sandbox.invalid:9093]\n  tls: true\n  \
                        auth: {mechanism: scram-sha-256, username: app, password: rehearsal}\n";
/// A rehearsal whose own brokers are as well guarded as the others' are.
const STRIMZI: &str = "extends: sandbox\nkafka:\n  tls: true\n  auth: {mechanism: scram-sha-512}\n";
/// Slow enough that a busy machine keeps up with what pods do.
const RATE: u32 = 500;
const TOPICS: [&str; 3] = ["reminders", "task-events", "task-updates"];

/// The world's application, as its users reach it.
pub(crate) fn post_task(env: &Env, title: &str) {
    let world = std::fs::read_to_string(env.world().join("world.jsonl")).unwrap();
    let address = Regex::new(r#""ingress":\[\{"ip":"(127\.[0-9.]+)""#).unwrap();
    let address = &address.captures_iter(&world).last().unwrap()[1];
    let mut stream = TcpStream::connect((address, 8080)).unwrap();
    let body = format!(r#"{{"title":"{title}"}}"#);
    write!(
        stream,
        "POST /api/tasks HTTP/1.1\r\nhost: todo\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
}

/// The names of the topics that the command lists.
fn topics(env: &Env, options: &[&str]) -> Vec<String> {
    let args = [&["events", "topics", "-o", "json"], options].concat();
    let said: Value = serde_json::from_str(&env.ok(&args)).unwrap();
    let listed = said["topics"].as_array().unwrap().iter();
    let mut names: Vec<_> = listed
        .map(|topic| topic["name"].as_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

/// All events of the tasks' topic, by the title of the task; none that can be
/// seen while Kafka cannot be reached.
fn events(env: &Env) -> BTreeMap<String, usize> {
    let said = env.run(&[
        "events",
        "tail",
        "task-events",
        "--from",
        "earliest",
        "--no-follow",
        "-o",
        "json",
    ]);
    let mut titles = BTreeMap::new();
    if said.code != Some(0) {
        assert!(said.stderr.contains("there is no way to Kafka"), "{said}");
        return titles;
    }
    for line in said.stdout.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let title = line["event"]["data"]["title"].as_str().unwrap();
        *titles.entry(title.to_owned()).or_default() += 1;
    }
    titles
}

#[test]
fn up_ends_with_topics_and_a_component_that_works_on_strimzi() {
    proven(STRIMZI, &[]);
}

#[test]
fn up_ends_with_topics_and_a_component_that_works_on_redpanda_cloud() {
    proven(REDPANDA, &["components.kafka", "components.kafka-topics"]);
}

#[test]
fn up_ends_with_topics_and_a_component_that_works_on_an_external_kafka() {
    proven(EXTERNAL, &["components.kafka", "components.kafka-topics"]);
}

/// `up` with its proof in the end: the topics are there, and every check of
/// components and events passes, but for those that have nothing to look at.
fn proven(profile: &str, nothing_to_see: &[&str]) {
    let env = Env::new().at_rate(RATE).proving();
    let profile = env.file("team.yaml", profile);
    let said = env.ok(&["up", "-p", &profile, "-o", "json"]);
    let report = said.lines().last().unwrap();
    let report: Value = serde_json::from_str(report).unwrap();
    let listed = env.ok(&["events", "topics", "-p", &profile, "-o", "json"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let mut topics: Vec<_> = listed["topics"]
        .as_array()
        .unwrap()
        .iter()
        .map(|topic| {
            let partitions = topic["partitions"].as_array().unwrap();
            assert!(partitions.iter().all(|p| p["leader"].is_i64()), "{topic:#}");
            (topic["name"].as_str().unwrap(), partitions.len())
        })
        .collect();
    topics.sort_unstable();
    assert_eq!(topics, TOPICS.map(|name| (name, 3)));
    let checks = report["verify"]["checks"].as_array().unwrap();
    let ours = checks.iter().filter(|check| {
        let code = check["code"].as_str().unwrap();
        code.starts_with("components.") || code.starts_with("events.")
    });
    let mut passed = 0;
    for check in ours {
        let code = check["code"].as_str().unwrap();
        let wanted = match nothing_to_see.contains(&code) {
            true => "skip",
            false => "pass",
        };
        assert_eq!(check["status"], wanted, "{check:#}");
        passed += usize::from(wanted == "pass");
    }
    assert!(passed > 25, "only {passed} checks");
}

/// What the checks of events say: the exit code and the report.
fn verify(env: &Env) -> (Option<i32>, Value) {
    let output = env.run(&["verify", "--suite", "events", "-o", "json"]);
    let report = serde_json::from_str(&output.stdout).unwrap();
    (output.code, report)
}

/// Status and summary of a check.
fn found(report: &Value, code: &str) -> (String, String) {
    let checks = report["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["code"] == code).unwrap();
    let text = |name: &str| check[name].as_str().unwrap().to_owned();
    (text("status"), text("summary"))
}

#[test]
fn what_the_sidecar_had_to_repeat_is_told_and_what_came_of_it() {
    let env = Env::new().at_rate(RATE);
    env.ok(&["up"]);
    // Three partitions are published to at once. Kafka's own client tries each
    // five times again: one at least needs the sidecar's repetition, which is
    // given up after 36 times.
    let fault = [
        "sandbox",
        "fault",
        "kafka",
        "drop",
        "--match",
        "Produce /reminders",
    ];
    env.ok(&[&fault[..], &["--times", "20"]].concat());
    let (code, report) = verify(&env);
    assert_eq!(code, Some(0), "{report:#}");
    let (status, summary) = found(&report, "events.publish");
    assert!(
        status == "pass" && summary.contains("had to repeat"),
        "{summary}"
    );
    for code in ["events.lost", "events.doubled", "events.once"] {
        assert_eq!(found(&report, code).0, "pass", "{code}");
    }
    // Stored, but nobody heard: the second try is a second event.
    env.clear_faults();
    let fault = [
        "sandbox",
        "fault",
        "kafka",
        "lose-reply",
        "--match",
        "Produce /reminders",
    ];
    env.ok(&[&fault[..], &["--times", "1"]].concat());
    let (code, report) = verify(&env);
    assert_eq!(code, Some(3), "{report:#}");
    assert_eq!(found(&report, "events.lost").0, "pass");
    let (status, summary) = found(&report, "events.doubled");
    assert_eq!(status, "fail");
    assert!(summary.contains("doubled: reminders/"), "{summary}");
    env.clear_faults();
    let (code, report) = verify(&env);
    assert_eq!(code, Some(0), "{report:#}");
    let (_, summary) = found(&report, "events.publish");
    assert!(!summary.contains("repeat"), "{summary}");
}

#[test]
fn a_task_s_event_shows_at_once_and_none_is_lost_while_kafka_is_away() {
    let env = Env::new().at_rate(RATE);
    env.ok(&["up"]);
    assert_eq!(topics(&env, &[]), TOPICS);
    let mut tail = env.start(&["events", "tail", "--max", "1", "-o", "json"]);
    // The tail begins where the topics end when it begins.
    let mut told = 0;
    until("the tail has shown an event", || {
        post_task(&env, &format!("there {told}"));
        told += 1;
        tail.has_ended()
    });
    let said = tail.wait();
    assert_eq!(said.code, Some(0), "{said}");
    assert!(said.stdout.contains("task.created"), "{said}");

    env.fault_line("kafka away 10000h");
    for n in 0..5 {
        post_task(&env, &format!("away {n}"));
    }
    let output = env.run(&["events", "topics"]);
    assert_eq!(output.code, Some(1), "{output}");
    assert!(output.stderr.contains("hint:"), "{output}");
    let (code, report) = verify(&env);
    assert_eq!(code, Some(3), "{report:#}");
    let brokers = found(&report, "events.brokers");
    assert_eq!(brokers.0, "fail", "{brokers:?}");
    // By then its pod may have been found unready.
    let known = ["the brokers do not answer", "there is no way to Kafka"];
    assert!(known.contains(&brokers.1.as_str()), "{brokers:?}");
    until("the status names the broker's pod", || {
        let status = env.ok(&["status"]);
        status.contains("Not ready") && status.contains("unready status: [kafka]")
    });
    // Nobody can say that events were lost as long as nobody can look.
    let (status, summary) = found(&report, "events.lost");
    assert!(status == "fail" && !summary.contains("lost"), "{summary}");
    env.clear_faults();
    // Its pod is ready again only after the next probe.
    let mut all = BTreeMap::new();
    until("every event is there", || {
        all = events(&env);
        (0..5).all(|n| all.contains_key(&format!("away {n}")))
    });
    // The probes of `verify` have a title of their own.
    let mut ours = all.iter().filter(|(title, _)| !title.contains("verify"));
    assert!(ours.all(|(_, times)| *times == 1), "{all:?}");
    assert!((0..told).all(|n| all.contains_key(&format!("there {n}"))));
    until("the app's consumer is back", || verify(&env).0 == Some(0));
}

#[test]
fn brokers_behind_tls_and_a_login_are_reached_through_the_cluster() {
    let env = Env::new().at_rate(RATE);
    let secure = [
        "--set",
        "kafka.tls=true",
        "--set",
        "kafka.auth.mechanism=scram-sha-512",
    ];
    let with = |args: &[&str]| -> String { env.ok(&[args, &secure[..]].concat()) };
    with(&["up"]);
    assert_eq!(topics(&env, &secure), TOPICS);
    with(&[
        "events",
        "publish",
        "reminders",
        "--data",
        r#"{"task_id": 7}"#,
    ]);
    let said = with(&[
        "events",
        "tail",
        "reminders",
        "--from",
        "earliest",
        "--no-follow",
    ]);
    assert!(said.contains("todoctl.event.published"), "{said}");
    env.fault_line("kafka auth-refused");
    let output = env.run(&[&["verify", "--suite", "events"], &secure[..]].concat());
    assert_eq!(output.code, Some(3), "{output}");
    assert!(output.stdout.contains("events.brokers"), "{output}");
    env.clear_faults();
    // The profile without them means another Kafka than the one that runs.
    let output = env.run(&["events", "topics"]);
    assert_eq!(output.code, Some(1), "{output}");
    assert!(output.stderr.contains("todoctl status"), "{output}");
}

#[test]
fn redpanda_cloud_is_made_used_and_removed() {
    let env = Env::new().at_rate(RATE);
    let profile = env.file("redpanda.yaml", REDPANDA);
    let with = |args: &[&str]| -> Vec<String> {
        let args = [&["-p", &profile], args].concat();
        args.into_iter().map(str::to_owned).collect()
    };
    let run = |args: &[&str]| {
        let args = with(args);
        env.run(&args.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let ok = |args: &[&str]| {
        let output = run(args);
        assert_eq!(output.code, Some(0), "{output}");
        output.stdout
    };
    ok(&["up"]);
    assert!(ok(&["up"]).starts_with("No changes"));
    assert_eq!(topics(&env, &["-p", &profile]), TOPICS);
    post_task(&env, "first");
    let status = ok(&["status"]);
    assert!(status.contains("deleted after"), "{status}");
    env.fault_line("redpanda trial-ended");
    let output = run(&["up"]);
    assert_ne!(output.code, Some(0), "{output}");
    assert!(output.stderr.contains("is suspended"), "{output}");
    assert!(output.stderr.contains("add a card"), "{output}");
    env.clear_faults();
    ok(&["down", "--yes"]);
    let rows = env.world_status()["rows"].clone();
    let left: Vec<_> = rows.as_object().unwrap().keys().collect();
    assert!(
        left.iter().all(|name| !name.contains("redpanda")),
        "{left:?}"
    );
}

#[test]
fn topics_of_an_external_kafka_grow_and_never_shrink() {
    let env = Env::new();
    let profile = env.file("external.yaml", EXTERNAL);
    let two = "kafka.topics=[{name: task-events, partitions: 2}]";
    env.ok(&["-p", &profile, "up", "--only", "kafka", "--set", two]);
    let grown = env.ok(&["-p", &profile, "plan"]);
    assert!(grown.contains("partitions.task-events: 2 -> 3"), "{grown}");
    env.ok(&["-p", &profile, "up", "--only", "kafka"]);
    assert_eq!(topics(&env, &["-p", &profile]), TOPICS);
    let kept = env.ok(&["-p", &profile, "plan", "--set", two]);
    assert!(kept.contains("cannot take partitions away"), "{kept}");
    assert!(!kept.contains("~ Kafka topics"), "{kept}");
}

#[test]
fn redpanda_s_steps_survive_a_crash_before_any_write() {
    everywhere(&ON_REDPANDA, "hold");
}

#[test]
fn redpanda_s_steps_survive_a_crash_after_any_write() {
    everywhere(&ON_REDPANDA, "hold-reply");
}

#[test]
fn redpanda_s_steps_survive_the_loss_of_any_answer() {
    everywhere(&ON_REDPANDA, "lose-reply");
}

#[test]
fn the_topics_of_an_external_kafka_survive_whatever_is_struck() {
    for kind in ["hold", "hold-reply", "lose-reply"] {
        everywhere(&ON_EXTERNAL, kind);
    }
}

#[test]
fn redpanda_s_cluster_is_removed_whatever_is_struck() {
    for kind in ["hold", "hold-reply", "lose-reply"] {
        everywhere(&OFF_REDPANDA, kind);
    }
}

/// What is struck at every write to a system.
struct Ride {
    profile: &'static str,
    system: &'static str,
    /// Whether it is `down`, after an undisturbed `up`.
    down: bool,
    /// How many writes it makes at least.
    fewest: u64,
}

/// A token, the cluster, the user, five access rules, three topics.
const ON_REDPANDA: Ride = Ride {
    profile: REDPANDA,
    system: "redpanda",
    down: false,
    fewest: 11,
};

/// A token, and the cluster with all that is in it.
const OFF_REDPANDA: Ride = Ride {
    down: true,
    fewest: 2,
    ..ON_REDPANDA
};

/// All topics at once.
const ON_EXTERNAL: Ride = Ride {
    profile: EXTERNAL,
    system: "kafka",
    down: false,
    fewest: 1,
};

/// Strikes at the first write to a system, the second, and so on, until there
/// is none. The next run ends in the world of an undisturbed one, and finds
/// nothing to do.
fn everywhere(ride: &Ride, kind: &str) {
    let begin = || {
        let env = Env::new();
        let profile = env.file("team.yaml", ride.profile);
        let up = ["up", "-p", &profile, "--only", "kafka"].map(str::to_owned);
        let down = ["down", "-p", &profile, "--yes"].map(str::to_owned);
        match ride.down {
            false => env.start_world(),
            true => drop(env.ok(&up.each_ref().map(String::as_str))),
        }
        match ride.down {
            false => (env, up.to_vec()),
            true => (env, down.to_vec()),
        }
    };
    let undisturbed = {
        let (env, args) = begin();
        env.ok(&args.iter().map(String::as_str).collect::<Vec<_>>());
        kept(&env)
    };
    assert_eq!(undisturbed.is_empty(), ride.down, "{undisturbed:#?}");
    let mut points = 0;
    for nth in 1.. {
        let (env, args) = begin();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut fault = on_write(kind, nth);
        ride.system.clone_into(&mut fault.system);
        env.fault(&fault);
        let mut run = env.start(&args);
        let mut hit = false;
        until("the request is struck, or the run ends", || {
            // In this order: the last request may come just before the end.
            let ended = run.has_ended();
            hit = env.matches() >= nth;
            hit || ended
        });
        if hit && kind != "lose-reply" {
            run.kill();
            env.clear_faults();
        } else {
            let output = run.wait();
            assert_eq!(output.code, Some(0), "{kind} at write {nth}: {output}");
        }
        if !hit {
            break;
        }
        points += 1;
        env.ok(&args);
        let again = env.ok(&args);
        assert!(!again.contains("created"), "{kind} at write {nth}: {again}");
        let differs = difference(&undisturbed, &kept(&env));
        assert_eq!(differs, [""; 0], "{kind} at write {nth}");
    }
    println!("{kind} at {points} writes to {}", ride.system);
    assert!(
        points >= ride.fewest,
        "only {points} points: the faults do not hit"
    );
}

/// What the brokers outside the cluster hold, and what Redpanda Cloud does,
/// without what chance decides. Stops the world.
fn kept(env: &Env) -> Things {
    env.stop_world();
    let store = Store::open(&env.world()).unwrap();
    let id = Regex::new("[a-v0-9]{20}").unwrap();
    let mut all = Things::new();
    for (table, _) in store.tables() {
        let system = table.split('/').next().unwrap();
        if !["kafka", "redpanda"].contains(&system) {
            continue;
        }
        for (key, row) in store.list(&table, "").0 {
            let mut value = Value::clone(&row.value);
            if let Some(fields) = value.as_object_mut() {
                let chance = ["made", "madeMs", "readyMs", "group"];
                fields.retain(|name, _| !chance.contains(&name.as_str()));
            }
            for credential in value.as_array_mut().into_iter().flatten() {
                *credential = credential["mechanism"].take();
            }
            let name = format!("{table} {key}");
            let name = id.replace_all(&name, "[ID]").into_owned();
            all.entry(name).or_default().push(value);
        }
    }
    all
}
