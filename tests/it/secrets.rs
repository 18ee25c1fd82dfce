//! Secrets appear nowhere but in the cluster.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use crate::support::Env;

/// Planted through a file and through the environment; with characters that
/// every encoding writes differently.
const IN_PROFILE: &str = "p1anted/\"in+profile&=é";
const IN_ENVIRONMENT: &str = "p1anted/\"in+environment&=é";

/// Every form in which a careless program would write a secret.
fn forms(secret: &str) -> Vec<String> {
    let mut forms = vec![secret.to_owned()];
    forms.push(url::form_urlencoded::byte_serialize(secret.as_bytes()).collect());
    let json = serde_json::to_string(secret).unwrap();
    forms.push(json.trim_matches('"').to_owned());
    forms.push(URL_SAFE_NO_PAD.encode(secret));
    // Inside longer base64 a text is written in one of three ways; the parts
    // that depend on its neighbours are cut off.
    for shift in 0..3 {
        let padded = format!("{}{secret}", "x".repeat(shift));
        let text = STANDARD.encode(padded);
        forms.push(text.get(4..text.len() - 4).unwrap().to_owned());
    }
    forms
}

fn search(dir: &Path, forms: &[String], found: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            search(&path, forms, found);
            continue;
        }
        let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
        let name = path.display().to_string();
        for form in forms.iter().filter(|form| text.contains(*form)) {
            found.push(format!("{form} in {name}"));
        }
    }
}

#[test]
fn planted_secrets_appear_in_no_output_log_journal_or_plan() {
    let env = Env::new().with("TEAM_SECRET", IN_ENVIRONMENT);
    let profile = env.file(
        "team.yaml",
        &format!(
            "extends: sandbox\nsecrets:\n  cohere-api-key: {{value: '{IN_PROFILE}'}}\n  \
             better-auth-secret: {{value: \"${{env:TEAM_SECRET}}\"}}\n"
        ),
    );
    let plan = env.root().join("plan.json").display().to_string();
    let runs: [&[&str]; 9] = [
        &["plan", "-p", &profile, "--save", &plan],
        &["plan", "-p", &profile, "-o", "json"],
        &["profile", "-p", &profile, "--explain"],
        &["profile", "-p", &profile, "-o", "json"],
        &["up", "-p", &profile, "-vv"],
        &["up", "-p", &profile, "-o", "json"],
        &["status", "-p", &profile, "-o", "json"],
        &[
            "plan",
            "-p",
            &profile,
            "--set",
            "secrets.cohere-api-key.value=other-secret-value",
        ],
        &["down", "-p", &profile, "--yes", "-vv"],
    ];
    for args in runs {
        let output = env.run(args);
        assert_eq!(output.code, Some(0), "{args:?}\n{output}");
    }
    // Outputs of the commands are files of the environment, too.
    let mut found = Vec::new();
    for secret in [IN_PROFILE, IN_ENVIRONMENT, "other-secret-value"] {
        search(env.root(), &forms(secret), &mut found);
    }
    // The cluster's own store has them, and the user's profile.
    let (expected, found): (Vec<_>, Vec<_>) = found
        .into_iter()
        .partition(|at| at.ends_with("world.jsonl") || at.ends_with("team.yaml"));
    assert!(expected.len() >= 4, "the search is blind: {expected:?}");
    assert_eq!(found, [""; 0]);
}
