//! What goes wrong at Oracle without anybody's fault, and how a run rides it
//! out.

use crate::support::Env;
use crate::support::world::things;

#[test]
fn a_full_fault_domain_is_left_for_another() {
    let env = Env::new();
    env.start_world();
    for place in ["AD-1/FAULT-DOMAIN-1", "AD-1/FAULT-DOMAIN-2", "AD-2"] {
        env.fault_line(&format!("oci out-of-capacity {place}"));
    }
    let output = env.run(&["up"]);
    assert_eq!(output.code, Some(0), "{output}");
    assert!(output.stdout.contains("2 nodes ready"), "{output}");
    env.clear_faults();
    assert!(env.ok(&["up"]).starts_with("No changes"));
}

#[test]
fn capacity_that_comes_back_in_time_is_waited_for() {
    let env = Env::new();
    env.start_world();
    env.fault_line("oci out-of-capacity --times 4");
    let output = env.run(&["up"]);
    assert_eq!(output.code, Some(0), "{output}");
    let launches = env.requests(0);
    let launches = launches.iter().filter(|r| {
        let target = r["target"].as_str().unwrap_or_default();
        r["method"] != "GET" && target.contains("/nodePools")
    });
    assert!(launches.count() > 1, "{output}");
}

#[test]
fn capacity_that_never_comes_back_ends_in_time_and_the_next_run_goes_on() {
    let env = Env::new();
    env.start_world();
    env.fault_line("oci out-of-capacity");
    let output = env.run(&["up", "--set", "cloud.nodes.wait_for_capacity=30m"]);
    assert_eq!(output.code, Some(1), "{output}");
    assert!(output.stderr.contains("capacity"), "{output}");
    assert!(output.stderr.contains("hint:"), "{output}");
    env.clear_faults();
    env.ok(&["up"]);
    assert!(env.ok(&["up"]).starts_with("No changes"));
    // The pools of other places are gone; ghosts of them may still be there.
    let things = things(&env);
    let pools: Vec<_> = things
        .iter()
        .filter(|(name, _)| name.starts_with("oci/node-pools "))
        .flat_map(|(_, all)| all)
        .collect();
    assert_eq!(pools.len(), 1, "{pools:#?}");
}

#[test]
fn everything_that_a_tenancy_lacks_is_listed_at_once() {
    let env = Env::new();
    env.start_world();
    for limit in ["cluster-count 0", "nat-gateway-count 0", "vcn-count 0"] {
        env.fault_line(&format!("oci limit {limit}"));
    }
    let output = env.run(&["up"]);
    assert_eq!(output.code, Some(1), "{output}");
    for part in [
        "cluster-count",
        "nat-gateway-count",
        "vcn-count",
        "nothing was touched",
    ] {
        assert!(output.stderr.contains(part), "no `{part}`\n{output}");
    }
    assert_eq!(env.world_status()["rows"], serde_json::json!({}));
}

#[test]
fn a_storm_of_throttling_and_lost_answers_ends_well() {
    let env = Env::new();
    env.start_world();
    for (nth, fault) in [
        "oci status 429",
        "oci status 503",
        "kube status 429",
        "oci drop",
        "oci lose-reply",
        "kube drop",
    ]
    .iter()
    .enumerate()
    {
        env.fault_line(&format!("{fault} --nth {} --times 3", 2 + 5 * nth));
    }
    let output = env.run(&["up"]);
    assert_eq!(output.code, Some(0), "{output}");
    env.clear_faults();
    assert!(env.ok(&["up"]).starts_with("No changes"));
}
