//! `plan`: what `up` would do, saved, and applied exactly or not at all.

use crate::support::Env;

#[test]
fn exit_codes_tell_whether_changes_are_pending() {
    let env = Env::new();
    let plan = ["plan", "--exit-code"];
    assert_eq!(env.run(&plan).code, Some(4));
    env.ok(&["up"]);
    let settled = env.run(&plan);
    assert_eq!(settled.code, Some(0), "{settled}");
    let status = env.ok(&["status"]);
    assert!(!status.contains("Pending"), "{status}");
}

#[test]
fn a_plan_names_what_it_creates_and_what_is_not_known_yet() {
    let env = Env::new();
    let text = env.ok(&["plan"]);
    for part in [
        "Kubernetes cluster",
        "known after apply",
        "to create",
        "free",
    ] {
        assert!(text.contains(part), "no `{part}`\n{text}");
    }
    assert!(env.world_status()["rows"].as_object().unwrap().is_empty());
}

#[test]
fn a_saved_plan_is_applied_as_it_is() {
    let env = Env::new();
    let file = env.root().join("plan.json").display().to_string();
    env.ok(&["plan", "--save", &file]);
    env.ok(&["up", &file]);
    assert!(env.ok(&["up"]).starts_with("No changes"));
    // What it would do is done: the world has moved.
    let stale = env.run(&["up", &file]);
    assert_eq!(stale.code, Some(1), "{stale}");
    assert!(stale.stderr.contains("nothing was touched"), "{stale}");
}

#[test]
fn a_saved_plan_is_refused_when_the_world_has_moved() {
    let env = Env::new();
    let file = env.root().join("plan.json").display().to_string();
    env.ok(&["plan", "--save", &file]);
    env.ok(&["up", "--only", "account,network"]);
    let rows = env.world_status()["rows"].clone();
    let refused = env.run(&["up", &file]);
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(refused.stderr.contains("plan --save"), "{refused}");
    assert_eq!(env.world_status()["rows"], rows);
}

#[test]
fn a_saved_plan_is_refused_when_its_profile_has_changed() {
    let env = Env::new();
    let profile = env.file("team.yaml", "extends: sandbox\ndeployment: todo\n");
    let file = env.root().join("plan.json").display().to_string();
    env.ok(&["plan", "-p", &profile, "--save", &file]);
    env.file(
        "team.yaml",
        "extends: sandbox\ndeployment: todo\napp: {namespace: other}\n",
    );
    let refused = env.run(&["up", &file]);
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(refused.stderr.contains("nothing was touched"), "{refused}");
    assert_eq!(env.world_status()["rows"], serde_json::json!({}));
}
