//! What programs read: documents, streams, kubeconfigs, tokens; and a reader
//! that goes away.

use std::io::{BufRead as _, BufReader};

use serde_json::Value;

use crate::support::Env;

fn document(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|why| panic!("{why}\n{text}"))
}

#[test]
fn every_command_has_a_document_with_a_schema() {
    let env = Env::new();
    env.ok(&["up"]);
    for (args, schema) in [
        (&["plan"][..], "todoctl/plan/v1"),
        (&["status"], "todoctl/status/v1"),
    ] {
        let mut args = args.to_vec();
        args.extend(["-o", "json"]);
        let value = document(&env.ok(&args));
        assert_eq!(value["schema"], schema, "{value:#}");
    }
    document(&env.ok(&["sandbox", "status", "-o", "json"]));
    document(&env.ok(&["profile", "-o", "json"]));
    document(&env.ok(&["schema"]));
}

#[test]
fn runs_stream_lines_of_json_and_end_with_a_report() {
    let env = Env::new();
    for (args, schema) in [
        (&["up", "-o", "json"][..], "todoctl/run/v1"),
        (&["down", "--yes", "-o", "json"], "todoctl/down/v1"),
    ] {
        let text = env.ok(args);
        let lines: Vec<_> = text.lines().map(document).collect();
        let (last, events) = lines.split_last().unwrap();
        assert!(events.len() > 20, "{text}");
        for event in events {
            assert!(event["event"].is_string(), "{event}");
        }
        assert_eq!(last["schema"], schema, "{last:#}");
        assert_eq!(last["outcome"], "done", "{last:#}");
    }
}

#[test]
fn render_prints_every_release_without_a_world() {
    let env = Env::new();
    let text = env.ok(&["render"]);
    let mut from = 0;
    for release in ["dapr", "nginx-ingress", "todo-app"] {
        let header = format!("---\n# Source: {release}/templates/");
        let found = text.get(from..).and_then(|rest| rest.find(&header));
        from += found.unwrap_or_else(|| panic!("no {header:?} after byte {from} of {text}"));
    }
    // What the charts' edits change, as `up` does.
    assert!(text.contains("-allow-empty-ingress-host=true"), "{text}");
    let objects = document(&env.ok(&["render", "-o", "json"]));
    let kinds: Vec<_> = objects
        .as_array()
        .unwrap()
        .iter()
        .map(|o| &o["kind"])
        .collect();
    for kind in ["Namespace", "Component", "Deployment", "Secret", "Ingress"] {
        assert!(kinds.contains(&&Value::from(kind)), "{kinds:?}");
    }
    let status = document(&env.ok(&["sandbox", "status", "-o", "json"]));
    assert_eq!(status["running"], false, "{status}");
    let output = env.run(&["render", "--show-only", "templates/x.yaml"]);
    assert_eq!(output.code, Some(2), "{output}");
}

#[test]
fn an_error_is_a_document_too() {
    let env = Env::new();
    let output = env.run(&["up", "-p", "no-such", "-o", "json"]);
    assert_eq!(output.code, Some(2), "{output}");
    let error = document(output.stdout.lines().last().unwrap_or_default());
    assert_eq!(error["schema"], "todoctl/error/v1");
    assert_eq!(error["exit"], 2);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let env = Env::new();
    for args in [&["up", "-o", "json"][..], &["schema"], &["plan"]] {
        let mut command = env.command(args);
        let stderr = env.root().join("broken-pipe.err");
        command
            .stdout(std::process::Stdio::piped())
            .stderr(std::fs::File::create(&stderr).unwrap());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        let mut reader = BufReader::new(child.stdout.take().unwrap());
        reader.read_line(&mut line).unwrap();
        drop(reader);
        let status = child.wait().unwrap();
        let said = std::fs::read_to_string(stderr).unwrap();
        assert_eq!(status.code(), Some(0), "{args:?}: {said}");
        assert!(!said.contains("pipe"), "{args:?}: {said}");
    }
}

#[test]
fn the_kubeconfig_parses_and_its_token_command_works() {
    let env = Env::new();
    env.ok(&["up"]);
    let text = env.ok(&["kubeconfig"]);
    let config: Value = todoctl::yaml::from_str(&text, "kubeconfig").unwrap();
    assert_eq!(config["kind"], "Config", "{text}");
    let exec = &config["users"][0]["user"]["exec"];
    assert_eq!(exec["command"], env!("CARGO_BIN_EXE_todoctl"), "{text}");
    let args: Vec<_> = exec["args"].as_array().unwrap().iter().collect();
    let args: Vec<_> = args.iter().map(|arg| arg.as_str().unwrap()).collect();
    let credential = document(&env.ok(&args));
    assert_eq!(credential["kind"], "ExecCredential");
    assert_eq!(
        credential["apiVersion"],
        "client.authentication.k8s.io/v1beta1"
    );
    assert!(credential["status"]["token"].as_str().unwrap().len() > 100);
}
