//! `up`: from nothing to a cluster, and again without a change.

use serde_json::Value;
use todoctl::sandbox::faults::may_change;

use crate::support::Env;
use crate::support::world::{difference, things};

/// The requests that may have changed something.
fn writes(requests: &[Value]) -> Vec<String> {
    requests
        .iter()
        .filter_map(|request| {
            let (method, target) = (request["method"].as_str()?, request["target"].as_str()?);
            let path = target.split('?').next()?;
            let dry = target.contains("dryRun=All");
            (may_change(method, path) && !dry).then(|| format!("{method} {target}"))
        })
        .collect()
}

#[test]
fn up_ends_with_a_summary_and_a_second_run_writes_nothing() {
    let env = Env::new();
    let first = env.run(&["up"]);
    assert_eq!(first.code, Some(0), "{first}");
    for part in ["Deployment todo", "nodes ready", "Next", "kubeconfig"] {
        assert!(first.stdout.contains(part), "no `{part}`\n{first}");
    }
    let before = env.requests(0).len();
    let second = env.ok(&["up"]);
    assert!(second.starts_with("No changes"), "{second}");
    let requests = env.requests(before);
    assert_eq!(writes(&requests), [""; 0]);
    // The cloud by lists; of the cluster every object once, dry runs included.
    let of = |system: &str| requests.iter().filter(|r| r["system"] == system).count();
    let (cloud, cluster) = (of("oci"), of("kube"));
    println!("{cloud} and {cluster} requests of a run without changes");
    assert!(cloud <= 20 && cluster <= 65, "{requests:#?}");
}

#[test]
fn a_lost_journal_makes_no_duplicate() {
    let env = Env::new();
    env.ok(&["up"]);
    std::fs::remove_dir_all(env.deployment()).unwrap();
    let again = env.ok(&["up"]);
    assert!(again.starts_with("No changes"), "{again}");
}

#[test]
fn phases_can_be_chosen_and_left_out() {
    let env = Env::new();
    env.ok(&["up", "--only", "account,network"]);
    let rows = env.world_status()["rows"].clone();
    assert_eq!(rows["oci/vcns"], 1, "{rows:#}");
    assert!(rows["oci/clusters"].is_null(), "{rows:#}");
    env.ok(&["up", "--skip", "platform,app"]);
    let rows = env.world_status()["rows"].clone();
    assert_eq!(rows["oci/clusters"], 1, "{rows:#}");
    let kinds = rows.as_object().unwrap().keys();
    assert_eq!(kinds.filter(|k| k.contains("dapr")).count(), 0, "{rows:#}");
    env.ok(&["up"]);
    assert!(env.ok(&["up"]).starts_with("No changes"));
}

#[test]
fn a_changed_profile_changes_in_place_what_can_be() {
    let env = Env::new();
    env.ok(&["up"]);
    let change = ["up", "--set", "cloud.nodes.count=1"];
    let output = env.run(&change);
    assert_eq!(output.code, Some(0), "{output}");
    assert!(output.stderr.contains("updated"), "{output}");
    let rows = env.world_status()["rows"].clone();
    assert_eq!(rows["oci/node-pools"], 1, "{rows:#}");
    assert!(env.ok(&change).starts_with("No changes"));
}

#[test]
fn gateways_that_the_profile_no_longer_wants_go_with_a_yes_only() {
    let env = Env::new();
    env.ok(&["up"]);
    let mut change = vec!["up", "--set", "cloud.network.private_nodes=false"];
    let before = env.requests(0).len();
    let refused = env.run(&change);
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(refused.stderr.contains("--yes"), "{refused}");
    assert_eq!(writes(&env.requests(before)), [""; 0]);
    change.push("--yes");
    env.ok(&change);
    let rows = env.world_status()["rows"].clone();
    assert!(rows["oci/nat-gateways"].is_null(), "{rows:#}");
    assert!(rows["oci/service-gateways"].is_null(), "{rows:#}");
    assert!(env.ok(&change).starts_with("No changes"));
}

#[test]
fn what_costs_money_needs_to_be_accepted() {
    let env = Env::new();
    let large = [
        "up",
        "--set",
        "cloud.nodes.ocpus=2",
        "--set",
        "cloud.nodes.memory_gb=12",
    ];
    let refused = env.run(&large);
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(refused.stderr.contains("--accept-cost"), "{refused}");
    assert!(refused.stderr.contains("US dollars"), "{refused}");
    assert_eq!(writes(&env.requests(0)), [""; 0]);
    let mut accepted = large.to_vec();
    accepted.push("--accept-cost");
    env.ok(&accepted);
}

#[test]
fn two_runs_at_once_end_as_one() {
    let env = Env::new();
    env.start_world();
    env.fault(&crate::support::on_write("hold", 3));
    let mut first = env.start(&["up"]);
    crate::support::until("the first run works", || {
        env.matches() >= 3 || first.has_ended()
    });
    let second = env.run(&["up"]);
    assert_eq!(second.code, Some(5), "{second}");
    for part in ["`todoctl up` works on", "since 20", "tester"] {
        assert!(second.stderr.contains(part), "no `{part}`\n{second}");
    }
    assert!(
        second.stderr.contains(&format!("process {}", first.pid())),
        "{second}"
    );
    env.clear_faults();
    let first = first.wait();
    assert_eq!(first.code, Some(0), "{first}");
    assert!(env.ok(&["up"]).starts_with("No changes"));
}

#[test]
fn what_somebody_else_made_is_left_alone() {
    let (ours, theirs) = (Env::new(), Env::new());
    // A tenancy has one NAT gateway to give.
    let bare = "cloud.network.private_nodes=false";
    let by_hand = |env: &Env| {
        let other = "deployment=other";
        let phases = "account,network";
        env.ok(&["up", "--set", other, "--set", bare, "--only", phases]);
    };
    by_hand(&ours);
    by_hand(&theirs);
    ours.ok(&["up", "--set", "cloud.compartment=second"]);
    ours.ok(&["down", "--yes", "--set", "cloud.compartment=second"]);
    assert_eq!(difference(&things(&theirs), &things(&ours)), [""; 0]);
}
