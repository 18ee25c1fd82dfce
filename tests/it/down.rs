//! `down`: nothing is left, and nothing goes without a yes.

use k8s_openapi::api::core::v1::Service;

use crate::support::{Env, until, wait_for};

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

/// Makes a Service of type `LoadBalancer` outside the app's namespace, as a user
/// would with kubectl.
async fn expose_something(kubeconfig: &str) {
    let kubeconfig = kube::config::Kubeconfig::from_yaml(kubeconfig).unwrap();
    let options = kube::config::KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .unwrap();
    let client = kube::Client::try_from(config).unwrap();
    let services: kube::Api<Service> = kube::Api::namespaced(client, "default");
    let service = serde_json::json!({
        "metadata": {"name": "exposed"},
        "spec": {"type": "LoadBalancer", "ports": [{"port": 80}], "selector": {"app": "x"}},
    });
    let service = serde_json::from_value(service).unwrap();
    services
        .create(&kube::api::PostParams::default(), &service)
        .await
        .unwrap();
}

#[test]
fn down_sweeps_the_load_balancer_that_the_cluster_made() {
    let env = Env::new();
    env.ok(&["up"]);
    let kubeconfig = env.ok(&["kubeconfig"]);
    wait_for(expose_something(&kubeconfig));
    // The ingress controller has one already.
    until("the cloud controller makes a load balancer", || {
        env.world_status()["rows"]["oci/load-balancers"] == 2
    });
    env.ok(&["down", "--yes"]);
    let rows = env.world_status()["rows"].clone();
    assert_eq!(rows, serde_json::json!({}), "{rows:#}");
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
