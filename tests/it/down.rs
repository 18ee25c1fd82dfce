//! `down`: nothing is left, and nothing goes without a yes.

use crate::support::Env;

#[test]
fn down_leaves_every_store_empty_and_says_what_it_looked_at() {
    let env = Env::new();
    env.ok(&["up"]);
    let said = env.ok(&["down", "--yes"]);
    for part in [
        "is gone",
        "instances",
        "boot volumes",
        "load balancers",
        "none",
    ] {
        assert!(said.contains(part), "no `{part}`\n{said}");
    }
    let rows = env.world_status()["rows"].clone();
    assert_eq!(rows, serde_json::json!({}), "{rows:#}");
    let again = env.ok(&["down", "--yes"]);
    assert!(again.starts_with("Nothing to remove"), "{again}");
}

#[test]
fn down_without_a_yes_and_a_terminal_touches_nothing() {
    let env = Env::new();
    env.ok(&["up"]);
    let rows = env.world_status()["rows"].clone();
    let refused = env.run(&["down"]);
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(refused.stderr.contains("nothing was touched"), "{refused}");
    assert!(refused.stderr.contains("--yes"), "{refused}");
    assert_eq!(env.world_status()["rows"], rows);
}

#[test]
fn down_can_keep_the_cluster() {
    let env = Env::new();
    env.ok(&["up"]);
    env.ok(&["down", "--yes", "--keep-cluster"]);
    let rows = env.world_status()["rows"].clone();
    assert_eq!(rows["oci/clusters"], 1, "{rows:#}");
    let kinds: Vec<_> = rows.as_object().unwrap().keys().collect();
    assert!(!kinds.iter().any(|k| k.contains("secrets")), "{rows:#}");
    env.ok(&["up"]);
    assert!(env.ok(&["up"]).starts_with("No changes"));
}

#[test]
fn down_finds_everything_without_a_journal() {
    let env = Env::new();
    env.ok(&["up"]);
    std::fs::remove_dir_all(env.deployment()).unwrap();
    env.ok(&["down", "--yes"]);
    assert_eq!(env.world_status()["rows"], serde_json::json!({}));
}
