//! The second day: releases that fail, the way back, scaling, the address.

use std::path::Path;

use serde_json::Value;
use todoctl::sandbox::faults::may_change;

use crate::support::page::{Visitor, address, get};
use crate::support::world::things;
use crate::support::{Env, copy_dir, write};

/// Slow enough that a rollout's time limits are longer than this machine
/// takes for it.
const SLOWER: u32 = 100;

fn backend(tag: &str) -> String {
    format!("backend=ghcr.io/example/todo-backend:{tag}")
}

fn json(env: &Env, args: &[&str]) -> Value {
    let mut all = args.to_vec();
    all.extend(["-o", "json"]);
    serde_json::from_str(&env.ok(&all)).unwrap()
}

/// Number, status and description of each revision.
fn history(env: &Env) -> Vec<(u64, String, String)> {
    let found = json(env, &["history"]);
    let rows = found["revisions"].as_array().unwrap().iter();
    rows.map(|row| {
        let text = |key: &str| row[key].as_str().unwrap().to_owned();
        let number = row["revision"].as_u64().unwrap();
        (number, text("status"), text("description"))
    })
    .collect()
}

/// The backend's tag in the revision that is deployed.
fn deployed_tag(env: &Env) -> String {
    let found = json(env, &["history"]);
    let rows = found["revisions"].as_array().unwrap();
    let row = rows.iter().find(|row| row["status"] == "deployed").unwrap();
    let images = row["images"].as_array().unwrap().iter();
    let image = images
        .filter_map(Value::as_str)
        .find(|image| image.contains("backend"));
    image.unwrap().rsplit(':').next().unwrap().to_owned()
}

#[test]
fn the_app_answers_at_the_address_that_up_prints() {
    let env = Env::new();
    let printed = env.ok(&["up"]);
    let url = printed.lines().find(|line| line.contains("URL")).unwrap();
    let address = address(&env);
    assert!(url.ends_with(&format!("http://{address}")), "{url}");
    let (status, page) = get(&address, "/").unwrap();
    assert_eq!(status, "HTTP/1.1 200 OK", "{page}");
    assert!(page.contains("<html"), "{page}");
    let status = env.ok(&["status"]);
    assert!(status.contains("Pods ready"), "{status}");
    assert!(status.contains("todo 4 of 4"), "{status}");
    assert!(!status.contains("Not ready"), "{status}");
}

#[test]
fn images_that_cannot_run_are_refused_before_anything_is_touched() {
    let env = Env::new();
    for (tag, part) in [
        ("missing", "todo-backend:missing does not exist"),
        ("amd64-only", "is not for linux/arm64, but for linux/amd64"),
    ] {
        let image = backend(tag);
        let refused = env.run(&["up", "--image", &image]);
        assert_eq!(refused.code, Some(1), "{refused}");
        for part in [part, "nothing was touched", "hint"] {
            assert!(refused.stderr.contains(part), "no `{part}`\n{refused}");
        }
        let plan = json(&env, &["plan", "--image", &image]);
        let told = plan["obstacles"].to_string();
        assert!(told.contains(part), "{told}");
    }
    let wrote = env.requests(0).into_iter().any(|request| {
        let text = |key: &str| request[key].as_str().unwrap_or_default().to_owned();
        may_change(&text("method"), &text("target"))
    });
    assert!(!wrote);
}

#[test]
fn a_release_that_fails_goes_back_by_itself_and_no_visitor_notices() {
    let env = Env::new();
    env.ok(&["up"]);
    env.stop_world();
    let env = env.at_rate(SLOWER);
    env.start_world();
    env.until_pods_are_ready();
    let address = address(&env);
    for (n, (tag, cause)) in [
        ("crash", "it ended with exit code"),
        ("never-ready", "backend"),
        ("oom", "OOMKilled"),
    ]
    .into_iter()
    .enumerate()
    {
        let visitor = Visitor::new(&address, "/api/health");
        let failed = env.run(&["up", "--image", &backend(tag)]);
        let (asked, misses) = visitor.leave();
        assert_eq!(failed.code, Some(1), "{failed}");
        for part in ["was rolled back to revision", cause] {
            assert!(failed.stderr.contains(part), "no `{part}`\n{failed}");
        }
        assert!(asked > 20, "only {asked} requests");
        assert!(
            misses.is_empty(),
            "{tag}, of {asked}: {misses:#?}\n{failed}"
        );
        let last = history(&env).split_off(2 * n + 1);
        let told: Vec<_> = last.iter().map(|(_, status, _)| status.as_str()).collect();
        assert_eq!(told, ["failed", "deployed"], "{last:?}");
        assert!(last[0].2.contains("failed: "), "{last:?}");
        assert!(last[1].2.contains("Rollback to"), "{last:?}");
        assert_eq!(deployed_tag(&env), "0.2.0");
    }
    assert!(env.ok(&["up"]).starts_with("No changes"));
}

#[test]
fn dapr_takes_its_sidecars_along_and_never_goes_below_the_floor() {
    let env = Env::new();
    let older = ["--set", "dapr.chart.version=1.18.2"];
    env.ok(&[&["up"][..], &older].concat());
    let plan = env.ok(&["plan"]);
    for change in ["daprd:1.18.2", "annotations.checksum/dapr"] {
        assert!(plan.contains(change), "{plan}");
    }
    env.ok(&["up"]);
    assert!(env.ok(&["up"]).starts_with("No changes"));
    let report = env.run(&["verify", "--suite", "dapr"]);
    assert_eq!(report.code, Some(0), "{report}");
    assert!(report.stdout.contains("14 of 14"), "{report}");

    let chart = env.root().join("dapr");
    let stand_in = concat!(env!("CARGO_MANIFEST_DIR"), "/templates/sandbox/charts/dapr");
    copy_dir(Path::new(stand_in), &chart);
    let metadata = std::fs::read_to_string(chart.join("Chart.yaml")).unwrap();
    for (version, why, next) in [
        (
            "1.17.6",
            "cannot read the certificates that 1.18.3",
            "1.17.7 is the oldest",
        ),
        (
            "1.20.0",
            "Dapr 1.18.3 cannot become 1.20.0",
            "the newest 1.19 first",
        ),
    ] {
        let other = metadata.replace("1.18.3", version);
        write(&chart.join("Chart.yaml"), &other);
        let profile = format!(
            "extends: sandbox\ndapr: {{chart: {{path: {}, repo: null, name: null, version: null}}}}\n",
            chart.display()
        );
        let profile = env.file("todo.yaml", &profile);
        let refused = env.run(&["up", "-p", &profile]);
        assert_eq!(refused.code, Some(1), "{refused}");
        for part in [why, next] {
            assert!(refused.stderr.contains(part), "no `{part}`\n{refused}");
        }
    }
}

#[test]
fn rollback_goes_to_any_revision_and_the_tables_fit() {
    let env = Env::new();
    env.ok(&["up"]);
    for tag in ["0.2.1", "0.2.2"] {
        env.ok(&["up", "--image", &backend(tag)]);
        assert_eq!(deployed_tag(&env), tag);
    }
    let visitor = Visitor::new(&address(&env), "/api/health");
    for (to, tag) in [("1", "0.2.0"), ("2", "0.2.1"), ("3", "0.2.2")] {
        let done = json(&env, &["rollback", to]);
        assert_eq!(done["rolledBackTo"].to_string(), to, "{done}");
        assert_eq!(deployed_tag(&env), tag);
    }
    env.ok(&["rollback"]);
    assert_eq!(deployed_tag(&env), "0.2.1");
    let (asked, misses) = visitor.leave();
    assert!(misses.is_empty(), "of {asked}: {misses:#?}");
    assert!(env.ok(&["plan"]).contains("0.2.0"));
    for args in [
        &["history"][..],
        &["history", "--all"],
        &["status"],
        &["plan"],
    ] {
        let text = env.ok(args);
        let long = text.lines().find(|line| line.chars().count() > 80);
        // A folder of a test's own is longer than anybody's home.
        let long = long.filter(|line| !line.contains("Journal"));
        assert_eq!(long, None, "{args:?}\n{text}");
    }
}

#[test]
fn a_scaled_service_stays_scaled_until_the_profile_says_another_number() {
    let env = Env::new();
    env.ok(&["up"]);
    env.ok(&["up", "--image", &backend("0.2.1")]);
    assert!(env.ok(&["scale", "backend", "2"]).contains("has 2 pods"));
    assert_eq!(deployed_tag(&env), "0.2.1", "scaling changes nothing else");
    let status = json(&env, &["status"]);
    assert_eq!(status["scaled"][0]["replicas"], 2, "{status}");
    env.ok(&["up"]);
    assert_eq!(deployed_tag(&env), "0.2.0");
    assert_eq!(json(&env, &["status"])["scaled"][0]["replicas"], 2);
    assert!(env.ok(&["up"]).starts_with("No changes"));
    assert!(env.ok(&["scale", "backend", "2"]).contains("already"));

    let profile = ["--set", "app.services.backend.replicas=3"];
    let plan = env.ok(&["plan", profile[0], profile[1]]);
    assert!(plan.contains("replicas: 2 -> 3"), "{plan}");

    for (args, code, part) in [
        (["scale", "backend", "60"], 1, "do not fit onto the nodes"),
        (["scale", "bakend", "2"], 2, "did you mean `backend`?"),
    ] {
        let refused = env.run(&args);
        assert_eq!(refused.code, Some(code), "{refused}");
        assert!(refused.stderr.contains(part), "no `{part}`\n{refused}");
    }
    let same = ["up", "--set", "app.services.backend.replicas=2"];
    env.ok(&same);
    assert!(env.ok(&same).starts_with("No changes"));
    let plan = env.ok(&["plan"]);
    assert!(plan.contains("replicas: 2 -> 1"), "{plan}");
    assert!(env.ok(&["scale", "backend", "3"]).contains("has 3 pods"));
    env.ok(&["scale", "backend", "1"]);
    assert!(json(&env, &["status"])["scaled"].is_null());
    assert!(env.ok(&["up"]).starts_with("No changes"));
}

#[test]
fn what_is_wrong_with_daprs_resources_is_told_before_anything_is_touched() {
    let env = Env::new();
    let component = |name: &str, of: &str, metadata: &str, scope: &str| {
        format!(
            "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{name: {name}, namespace: \
             todo}}\nspec:\n  type: {of}\n  version: v1\n  metadata:\n{metadata}scopes: [{scope}]\n"
        )
    };
    let good = "  - {name: brokers, value: 'b:9092'}\n  - {name: authType, value: none}\n";
    let login = "  - {name: brokers, value: 'b:9092'}\n  - {name: authType, value: password}\n  \
                 - {name: saslUsername, value: u}\n  - {name: saslPassword, value: p}\n  \
                 - {name: saslMechanism, value: SCRAM-SHA-256}\n";
    let secret = "  - {name: brokers, secretKeyRef: {name: app-secretz, key: brokers}}\n  \
                  - {name: authType, value: none}\n";
    for (name, text, part) in [
        (
            "typo",
            component(
                "a",
                "pubsub.kafka",
                &good.replace("brokers", "broker"),
                "backend",
            ),
            "did you mean `brokers`?",
        ),
        (
            "sasl",
            component("a", "pubsub.kafka", login, "backend"),
            "SHA-256",
        ),
        (
            "secret",
            component("a", "pubsub.kafka", secret, "backend"),
            "app-secretz",
        ),
        (
            "scope",
            component("a", "pubsub.kafka", good, "bakend"),
            "did you mean `backend`?",
        ),
        (
            "type",
            component("a", "scheduler.jobs", good, "backend"),
            "invented type",
        ),
    ] {
        env.file(&format!("{name}-component.yaml"), &text);
        let profile = env.file(
            &format!("{name}.yaml"),
            &format!("extends: sandbox\ndapr: {{files: [{name}-component.yaml]}}\n"),
        );
        let refused = env.run(&["up", "-p", &profile]);
        assert_eq!(refused.code, Some(2), "{name}\n{refused}");
        for part in [part, "nothing was touched"] {
            assert!(
                refused.stderr.contains(part),
                "{name}: no `{part}`\n{refused}"
            );
        }
    }
}

#[test]
fn a_chart_of_ones_own_gets_sidecars_and_images_from_the_profile() {
    let env = Env::new();
    let service = |name: &str, port: u16| {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {{{{ .Release.Name }}}}-{name}}}\n\
             spec:\n  selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    \
             metadata: {{labels: {{app: {name}}}}}\n    spec:\n      containers:\n      \
             - {{name: {name}, image: 'example.com/none:0', ports: [{{containerPort: {port}}}]}}\n\
             ---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\n\
             spec: {{selector: {{app: {name}}}, ports: [{{port: {port}}}]}}\n"
        )
    };
    let ingress = "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: own}\n\
        spec: {ingressClassName: nginx, rules: [{http: {paths: [{path: /, pathType: Prefix, \
        backend: {service: {name: frontend, port: {number: 3000}}}}]}}]}\n";
    env.file(
        "own/Chart.yaml",
        "apiVersion: v2\nname: own\nversion: 0.1.0\n",
    );
    env.file("own/templates/frontend.yaml", &service("frontend", 3000));
    env.file("own/templates/backend.yaml", &service("backend", 8000));
    env.file("own/templates/ingress.yaml", ingress);
    let profile = env.file("own.yaml", "extends: sandbox\napp: {chart: {path: own}}\n");
    env.ok(&["up", "-p", &profile]);
    assert!(env.ok(&["up", "-p", &profile]).starts_with("No changes"));
    let things = things(&env);
    let of = |part: &str| {
        let found = things
            .iter()
            .find(|(name, _)| name.contains("deployments") && name.contains(part));
        found.unwrap_or_else(|| panic!("{:?}", things.keys())).1[0].to_string()
    };
    assert!(of("todo-app-backend").contains("\"dapr.io/app-id\":\"backend\""));
    assert!(of("todo-app-backend").contains("ghcr.io/example/todo-backend:0.2.0"));
    assert!(!of("todo-app-frontend").contains("dapr.io/enabled"));
}
