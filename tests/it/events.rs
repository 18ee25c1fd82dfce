//! The event backbone: the ways to the brokers, the providers, and what
//! happens to events when Kafka is away.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use regex::Regex;
use serde_json::Value;

use crate::support::{Env, on_write, until};

/// A rehearsal with Redpanda Cloud; the account is the world's own.
const REDPANDA: &str = "extends: sandbox\nkafka:\n  provider: redpanda-cloud\n  redpanda_cloud: \
                        {client_id: x, client_secret: y, region: eu-central-1}\n";
/// A rehearsal with brokers that somebody else runs.
const EXTERNAL: &str = "extends: sandbox\nkafka:\n  provider: external\n  \
                        brokers: [kafka.sandbox.invalid:9093]\n  tls: true\n  \
                        auth: {mechanism: scram-sha-256, username: app, password: rehearsal}\n";
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

/// All events of the tasks' topic, by the title of the task.
fn events(env: &Env) -> BTreeMap<String, usize> {
    let said = env.ok(&[
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
    for line in said.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let title = line["event"]["data"]["title"].as_str().unwrap();
        *titles.entry(title.to_owned()).or_default() += 1;
    }
    titles
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

    env.fault_line("kafka away 10h");
    for n in 0..5 {
        post_task(&env, &format!("away {n}"));
    }
    let output = env.run(&["events", "topics"]);
    assert_eq!(output.code, Some(1), "{output}");
    assert!(output.stderr.contains("hint:"), "{output}");
    env.clear_faults();
    until("every event is there", || events(&env).len() == told + 5);
    let all = events(&env);
    assert!(all.values().all(|times| *times == 1), "{all:?}");
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
    everywhere(REDPANDA, "redpanda", "hold", 6);
}

#[test]
fn redpanda_s_steps_survive_a_crash_after_any_write() {
    everywhere(REDPANDA, "redpanda", "hold-reply", 6);
}

#[test]
fn redpanda_s_steps_survive_the_loss_of_any_answer() {
    everywhere(REDPANDA, "redpanda", "lose-reply", 6);
}

#[test]
fn the_topics_of_an_external_kafka_survive_a_crash_before_any_write() {
    everywhere(EXTERNAL, "kafka", "hold", 1);
}

/// Strikes at the first write to a system, the second, and so on, until there
/// is none. The next run ends as an undisturbed one would, and finds nothing
/// to do.
fn everywhere(profile: &str, system: &str, kind: &str, fewest: u64) {
    let mut points = 0;
    for nth in 1.. {
        let env = Env::new();
        let profile = env.file("team.yaml", profile);
        let up = ["-p", &profile, "up", "--only", "kafka"];
        env.start_world();
        let mut fault = on_write(kind, nth);
        system.clone_into(&mut fault.system);
        env.fault(&fault);
        let mut run = env.start(&up);
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
            assert_eq!(output.code, Some(0), "write {nth} of {system}: {output}");
        }
        if !hit {
            break;
        }
        points += 1;
        env.ok(&up);
        assert_eq!(topics(&env, &["-p", &profile]), TOPICS, "write {nth}");
        let rows = env.world_status()["rows"]["redpanda/clusters"].clone();
        assert!(rows.as_u64().unwrap_or(1) == 1, "write {nth}: {rows}");
        let again = env.ok(&up);
        assert!(!again.contains("created"), "write {nth}: {again}");
    }
    assert!(
        points >= fewest,
        "only {points} points: the faults do not hit"
    );
}
