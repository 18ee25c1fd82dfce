//! `verify`: healthy worlds raise no alarm, and each fault is found by exactly
//! the checks that it concerns.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Mutex;

use serde_json::{Value, json};
use todoctl::sandbox::plan;

use crate::support::{Env, UNHURRIED};

mod faults;

use self::faults::{FAULTS, Fault};

/// How many worlds the faults are tried in, side by side.
const WORLDS: usize = 2;
/// The seeds of the worlds that have to be found healthy, and how often each.
const SEEDS: [u64; 8] = [1, 2, 3, 4, 5, 6, 7, 8];
const TIMES: u32 = 3;

/// Codes of the checks that are not well, each with its summary.
fn not_well(report: &Value) -> Vec<(String, String)> {
    let checks = report["checks"].as_array().unwrap();
    let bad = checks
        .iter()
        .filter(|check| matches!(check["status"].as_str(), Some("fail" | "warn")));
    bad.map(|check| {
        (
            check["code"].as_str().unwrap().to_owned(),
            check["summary"].as_str().unwrap().to_owned(),
        )
    })
    .collect()
}

fn verify(env: &Env, more: &[&str]) -> (Option<i32>, Value) {
    let mut args = vec!["verify", "-o", "json"];
    args.extend(more);
    let output = env.run(&args);
    let report = serde_json::from_str(&output.stdout);
    let report = report.unwrap_or_else(|error| panic!("{error}\n{output}"));
    (output.code, report)
}

fn deployed() -> Env {
    let env = Env::new();
    env.ok(&["up"]);
    env
}

#[test]
fn up_ends_with_the_proof_and_nothing_of_it_is_left() {
    let env = Env::new().proving();
    let up = env.ok(&["up"]);
    assert!(up.contains(" passed"), "{up}");
    assert!(!up.contains("fail"), "{up}");
    let (code, report) = verify(&env, &[]);
    assert_eq!((code, not_well(&report)), (Some(0), vec![]));
    let tasks = task_titles(&report);
    assert_eq!(tasks, [""; 0], "left behind");
}

/// The address of the app's tasks.
fn tasks_url(report: &Value) -> String {
    todoctl::net::install_crypto();
    let nodes = report["topology"]["nodes"].as_array().unwrap();
    format!("http://{}/api/tasks", nodes[0]["detail"].as_str().unwrap())
}

/// The titles of the tasks that the app has.
fn task_titles(report: &Value) -> Vec<String> {
    let url = tasks_url(report);
    let body = crate::support::wait_for(async { reqwest::get(url).await?.bytes().await }).unwrap();
    let tasks: Value = serde_json::from_slice(&body).unwrap();
    let titles = tasks
        .as_array()
        .unwrap()
        .iter()
        .map(|task| task["title"].as_str().unwrap());
    titles.map(str::to_owned).collect()
}

#[test]
fn each_fault_is_found_by_the_checks_that_it_concerns() {
    assert!(FAULTS.len() >= 80, "{} faults", FAULTS.len());
    let next = Mutex::new(FAULTS.iter());
    let wrong = Mutex::new(String::new());
    std::thread::scope(|threads| {
        for _ in 0..WORLDS {
            threads.spawn(|| {
                let env = deployed();
                loop {
                    let Some(fault) = next.lock().unwrap().next() else {
                        return;
                    };
                    if let Some(why) = missed(&env, fault) {
                        writeln!(wrong.lock().unwrap(), "{why}").unwrap();
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{wrong}");
}

/// In what a fault was not found as it should have been.
fn missed(env: &Env, fault: &Fault) -> Option<String> {
    for line in fault.lines {
        env.fault(&read(line));
    }
    let (code, report) = verify(env, &[&UNHURRIED, fault.args].concat());
    env.clear_faults();
    // What was away for a while is not ready before its next probe.
    env.until_pods_are_ready();
    let found = not_well(&report);
    let codes: BTreeSet<&str> = found.iter().map(|(code, _)| code.as_str()).collect();
    let mut wanted: BTreeSet<&str> = fault.checks.iter().copied().collect();
    wanted.extend(fault.also.iter().filter(|code| codes.contains(**code)));
    let fails = report["verdict"] == "fail";
    if codes == wanted && code == Some(if fails { 3 } else { 0 }) {
        return None;
    }
    Some(format!(
        "{}: {code:?}\n  wanted {wanted:?}\n  found  {found:#?}",
        fault.what
    ))
}

/// A fault as a user writes it: `SYSTEM KIND ARG --match 'METHOD GLOB'`, with
/// bars in the place of spaces in the argument.
fn read(line: &str) -> todoctl::sandbox::faults::Fault {
    let (head, wanted) = match line.split_once(" @ ") {
        Some((head, wanted)) => (head, Some(wanted)),
        None => (line, None),
    };
    let mut words = head.splitn(3, ' ');
    let (system, kind) = (words.next().unwrap(), words.next());
    let arg = words.next().unwrap_or_default();
    let mut fault =
        plan::check(system, kind, arg).unwrap_or_else(|error| panic!("{line}: {error}"));
    (fault.method, fault.path) = plan::parse_match(wanted).unwrap();
    fault
}

#[test]
fn healthy_worlds_raise_no_alarm() {
    let seeds = Mutex::new(SEEDS.iter());
    let told = Mutex::new(Vec::new());
    std::thread::scope(|threads| {
        for _ in 0..WORLDS {
            threads.spawn(|| {
                loop {
                    let Some(seed) = seeds.lock().unwrap().next() else {
                        return;
                    };
                    let soak = soak(*seed);
                    told.lock().unwrap().push(soak);
                }
            });
        }
    });
    for soak in told.into_inner().unwrap() {
        assert_eq!(soak["runs"], TIMES);
        let alarms = (&soak["causes"], &soak["warnings"]);
        assert_eq!(alarms, (&json!({}), &json!({})), "{soak:#}");
    }
}

/// What many runs in one world come to.
fn soak(seed: u64) -> Value {
    let env = Env::new();
    let seed = format!("sandbox.seed={seed}");
    env.ok(&["up", "--set", &seed]);
    let times = TIMES.to_string();
    let run = ["verify", "-o", "json", "--set", &seed, "--repeat", &times];
    let output = env.run(&run);
    assert_eq!(output.code, Some(0), "{output}");
    serde_json::from_str(&output.stdout).unwrap()
}

#[test]
fn every_check_has_a_fault_that_it_finds() {
    let covered: BTreeSet<&str> = FAULTS
        .iter()
        .flat_map(|fault| fault.checks)
        .copied()
        .collect();
    // These two need a profile or a history of their own, and have tests below.
    let elsewhere = ["ingress.tls", "events.lag"];
    let missing: Vec<&str> = todoctl::verify::all()
        .map(|check| check.code)
        .filter(|code| !covered.contains(code) && !elsewhere.contains(code))
        .collect();
    assert_eq!(missing, [""; 0], "checks that nothing makes fail");
}

#[test]
fn a_missing_certificate_is_found() {
    let env = deployed();
    let (_, report) = verify(
        &env,
        &["--suite", "ingress", "--set", "ingress.https={secret: web}"],
    );
    let codes: Vec<String> = not_well(&report)
        .into_iter()
        .map(|(code, _)| code)
        .collect();
    assert_eq!(codes, ["ingress.tls"]);
}

#[test]
fn a_subscriber_that_does_not_keep_up_is_found() {
    let env = deployed();
    env.fault(&read("app delay 1000h @ POST /events/*"));
    // An event that is not taken blocks its partition; the probes wait behind.
    crate::events::post_task(&env, "stuck");
    let _ = verify(&env, &["--suite", "events", "--probes", "1800"]);
    let (_, report) = verify(&env, &["--suite", "events"]);
    let codes: Vec<String> = not_well(&report)
        .into_iter()
        .map(|(code, _)| code)
        .collect();
    assert!(codes.contains(&"events.lag".to_owned()), "{report:#}");
}

#[test]
fn what_a_killed_run_leaves_is_removed_by_the_next() {
    let env = deployed();
    let (code, report) = verify(&env, &["--suite", "events"]);
    assert_eq!(code, Some(0), "{report:#}");
    for title in [
        "todoctl verify 1700000000 abc",
        "todoctl verify, the film",
        "milk",
    ] {
        crate::events::post_task(&env, title);
    }
    let (code, report) = verify(&env, &["--suite", "events"]);
    assert_eq!(code, Some(0), "{report:#}");
    assert_eq!(task_titles(&report), ["todoctl verify, the film", "milk"]);
}

#[test]
fn ten_thousand_probe_events_are_accounted_for() {
    let env = deployed();
    let (code, report) = verify(&env, &["--suite", "events", "--probes", "10000"]);
    assert_eq!((code, not_well(&report)), (Some(0), vec![]));
    let checks = report["checks"].as_array().unwrap();
    let lost = checks
        .iter()
        .find(|check| check["code"] == "events.lost")
        .unwrap();
    assert_eq!(lost["summary"], "10000 of 10000 there");
}

#[test]
fn a_single_event_that_is_lost_doubled_or_late_is_named() {
    let env = deployed();
    for (kind, check, says) in [
        ("lose-record", "events.lost", "lost: reminders/"),
        ("double-record", "events.doubled", "doubled: reminders/"),
        (
            "late-record",
            "events.reordered",
            "out of order: reminders/",
        ),
    ] {
        let mut one = read(&format!("kafka {kind} reminders"));
        (one.nth, one.times) = (77, Some(1));
        env.fault(&one);
        let args = ["--suite", "events", "--probes", "900"];
        let (code, report) = verify(&env, &args);
        let found = not_well(&report);
        let [(code_of, summary)] = found.as_slice() else {
            panic!("{kind}: {found:#?}");
        };
        assert_eq!((code, code_of.as_str()), (Some(3), check));
        assert!(summary.starts_with(says), "{summary}");
        assert_eq!(summary.matches("number").count(), 1, "{summary}");
        env.clear_faults();
    }
}

#[test]
fn reports_come_in_all_forms() {
    let env = deployed();
    let file = |name: &str| env.root().join(name).display().to_string();
    let files = ["r.html", "r.md", "r.json", "r.xml"].map(file);
    let mut args = vec!["verify", "--suite", "cluster,ingress"];
    for file in &files {
        args.extend(["--report", file.as_str()]);
    }
    env.ok(&args);
    let [html, md, json, xml] = files.map(|file| std::fs::read_to_string(file).unwrap());
    assert!(
        html.starts_with("<!doctype html>") && !html.contains("<script"),
        "{html}"
    );
    assert!(md.starts_with("# Deployment todo"), "{md}");
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["schema"], "todoctl/verify/v1");
    assert!(
        xml.contains("<testsuite name=\"cluster\" tests=\"15\""),
        "{xml}"
    );
}

#[test]
fn mistakes_are_told_before_anything_is_done() {
    let env = Env::new();
    for (args, words) in [
        (
            &["verify", "--report", "report.pdf"][..],
            "html, md, json, xml",
        ),
        (
            &["verify", "--report", "nowhere/report.html"],
            "there is no folder nowhere",
        ),
        (
            &["verify", "--suite", "weather"],
            "there is no suite `weather`",
        ),
        (&["explain", "events.lots"], "did you mean `events.lost`?"),
    ] {
        let output = env.run(args);
        assert_eq!(output.code, Some(2), "{output}");
        assert!(output.stderr.contains(words), "{output}");
    }
    let text = env.ok(&["explain", "events.lost"]);
    assert!(text.contains("What a failure means"), "{text}");
}

/// The catalogue for people, made from the checks and the faults.
pub(crate) fn page() -> String {
    let mut page = String::from(
        "# What `todoctl verify` checks\n\n\
         Made from the checks themselves and from the faults with which they are tested. Every check \
         rests on evidence, and one that cannot reach its subject fails. `todoctl explain CODE` says the \
         same, offline. `--report FILE.html` makes a page of a run:\n\n\
         ![A report: the verdict, the way of each event, and what the deployment consists of]\
         (images/verify-report.png)\n",
    );
    for suite in todoctl::verify::Suite::ALL {
        writeln!(page, "\n## {suite}\n\nAbout {}.", suite.about()).unwrap();
        for check in todoctl::verify::all().filter(|check| check.suite == suite) {
            writeln!(
                page,
                "\n### {}\n\nHolds when {}.\n\n{}\n\nNext: `{}`",
                check.code, check.title, check.means, check.mend
            )
            .unwrap();
        }
    }
    let checks = todoctl::verify::all().count();
    write!(
        page,
        "\n## How well they find faults\n\n\
         Each fault is set in a rehearsal that works otherwise, and `verify` must name exactly the checks \
         of its row: the one that is about it, and those that cannot hold without it. A test runs them all: \
         {} of {} faults are found, with {checks} checks.\n\n\
         | what is wrong | checks that tell |\n| --- | --- |\n",
        FAULTS.len(),
        FAULTS.len()
    )
    .unwrap();
    for fault in FAULTS {
        writeln!(page, "| {} | {} |", fault.what, fault.checks.join(", ")).unwrap();
    }
    page
}
