//! Mistakes of the user's: told with their place and the way out, and nothing
//! is touched.

use crate::support::Env;

/// Nothing exists: no world, no journal.
fn untouched(env: &Env) -> bool {
    !env.deployment().exists() && env.world_status()["running"] == false
}

#[test]
fn a_mistake_in_a_profile_is_shown_with_its_place_and_the_nearest_key() {
    let env = Env::new();
    let profile = env.file(
        "team.yaml",
        "extends: sandbox\ncloud:\n  nodes:\n    cuont: 2\n    ocpus: many\n",
    );
    for command in ["up", "plan", "down", "status"] {
        let output = env.run(&[command, "-p", &profile]);
        assert_eq!(output.code, Some(2), "{output}");
        for part in [
            "team.yaml:4:5",
            "^^^^^",
            "did you mean `count`?",
            "team.yaml:5:12",
        ] {
            assert!(output.stderr.contains(part), "no `{part}`\n{output}");
        }
    }
    assert!(untouched(&env));
}

#[test]
fn bad_usage_ends_with_2_and_touches_nothing() {
    let env = Env::new();
    for args in [
        &["upp"][..],
        &["up", "--nope"],
        &["up", "--only", "moon"],
        &["up", "--timeout", "soon"],
        &["up", "--set", "cloud.nodes.count"],
        &["up", "--set", "cloud.nodes.cuont=1"],
        &["up", "no-such-plan.json"],
        &["up", "-p", "no-such-profile"],
        &["sandbox", "fault", "moon", "drop"],
    ] {
        let output = env.run(args);
        assert_eq!(output.code, Some(2), "{args:?}\n{output}");
        assert!(output.stderr.starts_with("error"), "{args:?}\n{output}");
    }
    assert!(untouched(&env));
}

#[test]
fn the_real_profile_without_credentials_says_what_to_do() {
    let env = Env::new();
    let output = env.run(&["up", "-p", &env.oke()]);
    assert_eq!(output.code, Some(2), "{output}");
    insta::assert_snapshot!(env.redact(&output.to_string()));
}
