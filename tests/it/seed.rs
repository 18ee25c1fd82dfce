//! The same seed brings the same world and the same story.

use serde_json::Value;

use crate::support::Env;
use crate::support::world::things;

/// The report of `up` without its times, and what exists after it.
fn story(seed: u64, rate: u32) -> (Value, Vec<String>, f64) {
    let env = Env::new().at_rate(rate);
    let set = format!("sandbox.seed={seed}");
    // What runs inside the cluster names and times itself.
    let only = ["--only", "account,network,cluster"];
    let text = env.ok(&["up", "-o", "json", "--set", &set, only[0], only[1]]);
    let mut report: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    let seconds = report["seconds"].as_f64().unwrap();
    let fields = report.as_object_mut().unwrap();
    for volatile in ["seconds", "criticalSeconds", "run"] {
        fields.remove(volatile);
    }
    for step in report["steps"].as_array_mut().unwrap() {
        step.as_object_mut().unwrap().remove("seconds");
    }
    env.stop_world();
    let store = todoctl::sandbox::store::Store::open(&env.world()).unwrap();
    let mut ids = Vec::new();
    for kind in todoctl::sandbox::oci::Kind::ALL {
        for (id, row) in store.list(kind.table(), "").0 {
            ids.push(format!("{id} {}", row.value["body"]["lifecycleState"]));
        }
    }
    drop(store);
    assert!(things(&env).len() > 10);
    (report, ids, seconds)
}

#[test]
fn the_same_seed_brings_the_same_ids_states_and_report() {
    let (first, second, other) = (story(3, 2000), story(3, 2000), story(4, 2000));
    assert_eq!(first.0, second.0);
    assert_eq!(first.1, second.1);
    assert_eq!(first.0["outcome"], "done");
    assert_ne!(first.1, other.1);
}

#[test]
fn a_creation_of_many_minutes_rehearses_in_moments() {
    let started = crate::support::now();
    let (_, _, seconds) = story(7, 600);
    println!(
        "{:.0} emulated minutes in {:.1} s",
        seconds / 60.0,
        started.elapsed().as_secs_f64()
    );
    assert!(seconds >= 600.0, "{seconds}");
}
