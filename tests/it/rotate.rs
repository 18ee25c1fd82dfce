//! `secrets set`, `list` and `rotate`: values come in, fingerprints come out.

use serde_json::Value;

use crate::support::Env;

const NEW: &str = "a-new-and-secret-value";

/// The row of a secret in `secrets list`.
fn row(env: &Env, name: &str, more: &[&str]) -> Value {
    let mut args = vec!["secrets", "list", "-o", "json"];
    args.extend(more);
    let output = env.run(&args);
    assert_eq!(output.code, Some(0), "{output}");
    let listing: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(listing["schema"], "todoctl/secrets/v1");
    let rows = listing["secrets"].as_array().unwrap();
    let row = rows.iter().find(|row| row["name"] == name);
    row.unwrap_or_else(|| panic!("no {name}\n{output}")).clone()
}

fn fingerprint(text: &str) -> String {
    todoctl::secret::Secret::new(text).fingerprint()
}

#[test]
fn a_value_that_was_set_goes_before_the_profiles_until_it_is_forgotten() {
    let env = Env::new().with("FRESH", NEW);
    let before = row(&env, "cohere-api-key", &[]);
    assert_eq!(before["source"], "the profile");
    assert_eq!(before["usedBy"], serde_json::json!(["backend"]));

    let output = env.run(&["secrets", "set", "cohere-api-key", "--from-env", "FRESH"]);
    assert_eq!(output.code, Some(0), "{output}");
    assert!(output.stderr.contains(&fingerprint(NEW)), "{output}");
    assert!(!output.to_string().contains(NEW), "{output}");
    let after = row(&env, "cohere-api-key", &[]);
    assert_eq!(after["source"], "secrets set");
    assert_eq!(after["fingerprint"], fingerprint(NEW).as_str());

    let output = env.run(&["secrets", "set", "cohere-api-key", "--from-profile"]);
    assert_eq!(output.code, Some(0), "{output}");
    assert_eq!(row(&env, "cohere-api-key", &[]), before);
}

#[test]
fn mistakes_with_secrets_end_with_2() {
    let env = Env::new().with("FRESH", NEW);
    let empty = env.file("empty.txt", "\n");
    for (args, part) in [
        (
            &["coher-api-key", "--from-env", "FRESH"][..],
            "did you mean `cohere-api-key`?",
        ),
        (
            &["cohere-api-key", "--from-env", "NOBODY_HAS_IT"],
            "has no `NOBODY_HAS_IT`",
        ),
        (&["cohere-api-key", "--from-file", &empty], "is empty"),
        (
            &["cohere-api-key", "--from-file", "no-such-file"],
            "cannot read no-such-file",
        ),
    ] {
        let args: Vec<&str> = ["secrets", "set"].iter().chain(args).copied().collect();
        let output = env.run(&args);
        assert_eq!(output.code, Some(2), "{output}");
        assert!(output.stderr.contains(part), "no `{part}`\n{output}");
    }
}

#[test]
fn a_list_shows_what_is_missing_instead_of_failing() {
    let env = Env::new();
    let profile = env.file(
        "team.yaml",
        "extends: sandbox\nsecrets:\n  cohere-api-key: {value: \"${env:NOBODY_HAS_IT}\"}\n",
    );
    let missing = row(&env, "cohere-api-key", &["-p", &profile]);
    assert_eq!(missing["source"], "${env:NOBODY_HAS_IT}");
    assert_eq!(missing.get("fingerprint"), None);
}

#[test]
fn a_rotated_secret_is_in_the_cluster() {
    let env = Env::new().with("FRESH", NEW);
    let output = env.run(&["up"]);
    assert_eq!(output.code, Some(0), "{output}");
    let output = env.run(&["secrets", "rotate", "cohere-api-key", "--from-env", "FRESH"]);
    assert_eq!(output.code, Some(0), "{output}");
    let live = row(&env, "cohere-api-key", &["--live"]);
    assert_eq!(live["inCluster"], fingerprint(NEW).as_str());
    let other = row(&env, "database-url", &["--live"]);
    assert_eq!(other["inCluster"], other["fingerprint"]);
}
