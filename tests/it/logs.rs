//! `logs -f`: nothing lost and nothing repeated across restarts.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use todoctl::k8s::ObjectRef;
use todoctl::manifest::Manifest;

use crate::release::Cluster;
use crate::support::{Env, until};

/// What a container writes in each of its lives.
const LINES: usize = 40;
/// A crash loop's five minutes take a third of a second.
const RATE: u32 = 900;

/// How often the container restarts while it is followed.
const RESTARTS: u64 = 100;

/// A service that writes its lines and ends with an error.
fn noisy() -> Manifest {
    let mut script: Vec<String> = (0..LINES).map(|n| format!("echo line {n}")).collect();
    script.push("exit 1".to_owned());
    let labels = json!({
        "app.kubernetes.io/name": "noisy", "app.kubernetes.io/component": "noisy",
        "app.kubernetes.io/instance": "todo-app",
    });
    Manifest::new(json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "noisy", "namespace": "todo", "labels": labels},
        "spec": {"containers": [{
            "name": "noisy", "image": "docker.io/library/busybox:1.37",
            "command": ["sh", "-c", script.join("; ")],
        }]},
    }))
    .unwrap()
}

#[test]
fn following_a_crash_loop_loses_and_repeats_nothing() {
    let cluster = Cluster::of(Env::new().at_rate(RATE));
    let client = cluster.client();
    let create = async |object: Manifest| client.kube.create(&object, "test").await.unwrap();
    client.runtime.block_on(async {
        let space = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "todo"}});
        create(Manifest::new(space).unwrap()).await;
    });
    let mut follower = cluster.env.start(&["logs", "-f", "-o", "json"]);
    // Of what ended before, a cluster keeps one life only.
    until("the follower looks at the pods", || {
        let asked = cluster.env.requests(0);
        let pods = |r: &Value| {
            r["target"]
                .as_str()
                .is_some_and(|t| t.contains("todo/pods"))
        };
        asked.iter().any(pods) || follower.has_ended()
    });
    client.runtime.block_on(async { create(noisy()).await });
    let pod = ObjectRef::namespaced("v1", "Pod", "todo", "noisy");
    let mut lives = 0;
    until("the container has restarted often enough", || {
        let live = client
            .runtime
            .block_on(client.kube.get(&pod))
            .unwrap()
            .unwrap();
        let status = live.body().pointer("/status/containerStatuses/0").cloned();
        let count = status.as_ref().and_then(|s| s["restartCount"].as_u64());
        let waits = status.is_some_and(|s| !s["state"]["waiting"].is_null());
        lives = count.unwrap_or_default() + 1;
        lives > RESTARTS && waits || follower.has_ended()
    });
    let last = format!("line {}", LINES - 1);
    until("the last line has arrived", || {
        let count = follower.stdout().matches(&format!("\"{last}\"")).count() as u64;
        count >= lives || follower.has_ended()
    });
    follower.signal("INT");
    let output = follower.wait();
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for line in output.stdout.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let message = line["message"].as_str().unwrap().to_owned();
        *counts.entry(message).or_default() += 1;
    }
    assert_eq!(counts.len(), LINES, "{counts:?}");
    // Another life may have begun in between; a life's lines come together.
    let least = counts.values().min().copied().unwrap();
    let most = counts.values().max().copied().unwrap();
    println!("{least} lives of {LINES} lines");
    assert!(
        least >= lives && most <= least + 1,
        "{lives} lives: {counts:?}"
    );
}
