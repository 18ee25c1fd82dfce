//! `sandbox animate`: only an API server without nodes is brought to life, and
//! one that is not there yet is waited for. What it does there is tried on a
//! real one in `tests/interop/real_api.sh`.

use serde_json::json;

use crate::support::{Env, until};

/// A kubeconfig with a token instead of the program that makes one.
fn with_token(env: &Env) -> String {
    let (mut kubeconfig, token) = env.kubeconfig();
    kubeconfig["users"][0]["user"] = json!({ "token": token });
    env.file("plain.kubeconfig", &kubeconfig.to_string())
}

#[test]
fn a_cluster_with_nodes_of_its_own_is_left_alone() {
    let env = Env::new();
    env.ok(&["up", "--only", "account,network,cluster"]);
    let kubeconfig = with_token(&env);
    let output = env.run(&["sandbox", "animate", "--kubeconfig", &kubeconfig]);
    assert_eq!(output.code, Some(2), "{output}");
    assert!(output.stderr.contains("nodes of its own"), "{output}");
}

#[test]
fn a_login_that_only_a_program_makes_is_no_login() {
    let env = Env::new();
    env.ok(&["up", "--only", "account,network,cluster"]);
    let kubeconfig = env.file("exec.kubeconfig", &env.ok(&["kubeconfig"]));
    let output = env.run(&["sandbox", "animate", "--kubeconfig", &kubeconfig]);
    assert_eq!(output.code, Some(2), "{output}");
    let why = "the user has neither a token nor a certificate";
    assert!(output.stderr.contains(why), "{output}");
}

#[test]
fn a_server_that_is_not_there_yet_is_waited_for() {
    let env = Env::new();
    let kubeconfig = env.file(
        "early.kubeconfig",
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
         clusters: [{name: k, cluster: {server: 'https://127.0.0.1:9'}}]\n\
         users: [{name: u, user: {token: t}}]\n\
         contexts: [{name: c, context: {cluster: k, user: u}}]\n",
    );
    let mut running = env.start(&["sandbox", "animate", "--kubeconfig", &kubeconfig]);
    until("it says what it waits for", || {
        running.stderr().contains("--egress-selector-config-file=")
    });
    assert!(!running.has_ended());
    let again = env.run(&["sandbox", "animate", "--kubeconfig", &kubeconfig]);
    assert_eq!(again.code, Some(1), "{again}");
    assert!(again.stderr.contains("it is in use (pid"), "{again}");
    running.signal("INT");
    let output = running.wait();
    assert_eq!(output.code, Some(130), "{output}");
}
