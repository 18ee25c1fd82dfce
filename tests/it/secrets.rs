//! Secrets appear nowhere but in the cluster.

use crate::support::Env;
use crate::support::leaks::{below, holds, is_the_cluster, release_records};

/// Planted in every source that there is; with characters that every encoding
/// writes differently.
const IN_PROFILE: &str = "p1anted/\"in+profile&=é";
const IN_ENVIRONMENT: &str = "p1anted/\"in+environment&=é";
const IN_FILE: &str = "p1anted/\"in+file&=é";
const IN_ARGUMENT: &str = "p1anted/\"in+argument&=é";
const KEPT: &str = "p1anted/\"kept&=é";
const ALL: [&str; 5] = [IN_PROFILE, IN_ENVIRONMENT, IN_FILE, IN_ARGUMENT, KEPT];

/// A team with secrets from everywhere.
const TEAM: &str = "extends: sandbox
secrets:
  cohere-api-key: {value: 'PROFILE'}
  better-auth-secret: {value: \"${env:TEAM_SECRET}\"}
verify:
  login: {path: /api/auth/login, body: {email: probe@example.com, password: \"${file:FILE}\"}}
";

#[test]
fn planted_secrets_appear_in_no_output_log_journal_plan_report_or_release() {
    let env = Env::new()
        .with("TEAM_SECRET", IN_ENVIRONMENT)
        .with("KEPT", KEPT)
        .proving();
    let file = env.file("password.txt", IN_FILE);
    let profile = TEAM.replace("PROFILE", IN_PROFILE).replace("FILE", &file);
    let profile = env.file("team.yaml", &profile);
    let in_root = |name: &str| env.root().join(name).display().to_string();
    let plan = in_root("plan.json");
    let reports = ["r.html", "r.md", "r.json", "r.xml"].map(in_root);
    let mut proof = vec!["verify"];
    for report in &reports {
        proof.extend(["--report", report]);
    }
    let auth = format!("secrets.better-auth-secret.value='{IN_ARGUMENT}'");
    let runs: &[&[&str]] = &[
        &["plan", "--save", &plan],
        &["plan", "-o", "json"],
        &["profile", "--explain"],
        &["profile", "-o", "json"],
        &["render"],
        &["up", "-vv"],
        &["up", "-o", "json"],
        &proof,
        &["verify", "-o", "json", "-vv"],
        &["status", "-o", "json"],
        &["history", "-o", "json"],
        &["secrets", "list"],
        &["secrets", "set", "cohere-api-key", "--from-env", "KEPT"],
        &["secrets", "rotate", "cohere-api-key", "--from-env", "KEPT"],
        &[
            "events",
            "tail",
            "task-events",
            "--from",
            "earliest",
            "--no-follow",
        ],
        &["logs", "--tail", "1000"],
        &["plan", "--set", &auth],
        &["scale", "frontend", "2", "-vv"],
        &["rollback", "--yes", "-vv"],
        &["sandbox", "status", "-o", "json"],
    ];
    for args in runs {
        let args = [&["-p", &profile], *args].concat();
        let output = env.run(&args);
        assert_eq!(output.code, Some(0), "{args:?}\n{output}");
    }
    env.stop_world();
    let records = release_records(&env);
    assert!(records.len() >= 3, "{} records", records.len());
    assert!(!records.iter().any(|record| holds(record, &ALL)));
    env.ok(&["-p", &profile, "down", "--yes", "-vv"]);
    // Outputs of the commands are files of the environment, too.
    let own = |name: &str| in_root(&format!("home/{name}"));
    let homes = [own("team.yaml"), own("password.txt")];
    let found = below(env.root(), &ALL, |path| {
        let is_kept = path.ends_with("secrets.json");
        is_kept
            || is_the_cluster(path)
            || homes.iter().any(|home| path.as_os_str() == home.as_str())
    });
    assert_eq!(found, [""; 0]);
    let everywhere = below(env.root(), &ALL, |_| false);
    assert!(everywhere.len() >= 3, "the search is blind: {everywhere:?}");
}
