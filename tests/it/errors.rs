//! What the user reads for every class of error: what failed, on what, what
//! the far side said, whether anything changed, and the next thing to type.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;

use crate::support::{Env, Output, new_key, write};

/// stderr from the first `error` on, without what differs between two runs.
fn error(env: &Env, output: &Output) -> String {
    let stderr = env.redact(&output.stderr);
    let lines = stderr.lines().skip_while(|line| !line.starts_with("error"));
    let code = output.code.map_or("signal".to_owned(), |c| c.to_string());
    format!("exit: {code}\n{}", lines.collect::<Vec<_>>().join("\n"))
}

/// `up` with faults.
fn with_faults(faults: &[&str], args: &[&str]) -> String {
    let env = Env::new();
    env.start_world();
    for fault in faults {
        env.fault_line(fault);
    }
    let mut all = vec!["up"];
    all.extend(args);
    let output = env.run(&all);
    error(&env, &output)
}

/// `up` on the real profile, sent somewhere else.
fn elsewhere(env: &Env, endpoint: &str, more: &[&str]) -> String {
    let config = env.world().join("oci/config");
    let sets = [
        format!("cloud.config_file={}", config.display()),
        format!("endpoints.oci={endpoint}"),
        "endpoints.clock_rate=2000".to_owned(),
    ];
    let profile = env.oke();
    let mut args = vec!["up", "-p", &profile];
    args.extend(more);
    for set in &sets {
        args.extend(["--set", set]);
    }
    let output = env.run(&args);
    error(env, &output)
}

/// An environment with credentials, its world running or not.
fn with_credentials() -> (Env, String) {
    let env = Env::new();
    env.start_world();
    let status = env.world_status();
    let endpoint = status["ociEndpoint"].as_str().unwrap().to_owned();
    (env, endpoint)
}

/// Answers every connection with the same bytes.
fn parrot(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = [0; 8192];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    format!("http://{address}")
}

/// A server whose certificate nobody signed that we know.
fn stranger() -> String {
    let signed = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(signed.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![signed.cert.der().clone()], key.unwrap())
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut tls = rustls::ServerConnection::new(config.clone()).unwrap();
            while tls.is_handshaking() {
                if tls.complete_io(&mut stream).is_err() {
                    break;
                }
            }
        }
    });
    format!("https://{address}")
}

#[test]
fn bad_key() {
    let env = Env::new();
    env.start_world();
    write(&env.world().join("oci/key.pem"), &new_key());
    let output = env.run(&["up"]);
    insta::assert_snapshot!(error(&env, &output));
}

#[test]
fn key_that_is_no_key() {
    let env = Env::new();
    env.start_world();
    write(&env.world().join("oci/key.pem"), "nothing of the kind\n");
    let output = env.run(&["up"]);
    insta::assert_snapshot!(error(&env, &output));
}

#[test]
fn wrong_clock() {
    insta::assert_snapshot!(with_faults(&["oci skew 10m"], &[]));
}

#[test]
fn not_authorised() {
    let fault = "oci not-authorized --match POST\u{a0}/20160918/vcns";
    insta::assert_snapshot!(with_faults(&[fault], &[]));
}

#[test]
fn limit_seen_before() {
    let faults = ["oci limit vcn-count 0", "oci limit nat-gateway-count 0"];
    insta::assert_snapshot!(with_faults(&faults, &[]));
}

#[test]
fn quota() {
    insta::assert_snapshot!(with_faults(&["oci quota"], &[]));
}

#[test]
fn capacity() {
    let wait = ["--set", "cloud.nodes.wait_for_capacity=30m"];
    insta::assert_snapshot!(with_faults(&["oci out-of-capacity"], &wait));
}

#[test]
fn conflict() {
    let fault = "oci status 409 --match POST\u{a0}/20160918/vcns";
    insta::assert_snapshot!(with_faults(&[fault], &[]));
}

#[test]
fn throttle() {
    let fault = "oci status 429 --match POST\u{a0}/20160918/vcns";
    insta::assert_snapshot!(with_faults(&[fault], &[]));
}

#[test]
fn stuck_work_request() {
    insta::assert_snapshot!(with_faults(&["oci work-request stuck"], &[]));
}

#[test]
fn failed_work_request() {
    insta::assert_snapshot!(with_faults(&["oci work-request fail"], &[]));
}

#[test]
fn nodes_that_never_register() {
    insta::assert_snapshot!(with_faults(&["oci register-timeout"], &[]));
}

#[test]
fn compartment_not_visible() {
    let fault = "oci not-authorized --match GET\u{a0}/20160918/compartments/*";
    insta::assert_snapshot!(with_faults(&[fault], &[]));
}

#[test]
fn an_answer_that_never_comes() {
    let fault = "oci drop --match POST\u{a0}/20160918/vcns";
    insta::assert_snapshot!(with_faults(&[fault], &[]));
}

#[test]
fn forbidden_in_the_cluster() {
    let fault = "kube status 403 --match PATCH\u{a0}/api/v1/namespaces/todo";
    insta::assert_snapshot!(with_faults(&[fault], &[]));
}

#[test]
fn wrong_region() {
    let (env, endpoint) = with_credentials();
    let region = ["--set", "cloud.region=us-ashburn-1"];
    insta::assert_snapshot!(elsewhere(&env, &endpoint, &region));
}

#[test]
fn unknown_region() {
    let (env, endpoint) = with_credentials();
    let region = ["--set", "cloud.region=eu-frankfurt-9"];
    insta::assert_snapshot!(elsewhere(&env, &endpoint, &region));
}

#[test]
fn connection_refused() {
    let (env, _) = with_credentials();
    insta::assert_snapshot!(elsewhere(&env, "http://127.0.0.1:1", &[]));
}

#[test]
fn tls() {
    let (env, _) = with_credentials();
    insta::assert_snapshot!(elsewhere(&env, &stranger(), &[]));
}

#[test]
fn an_answer_that_is_no_json() {
    let (env, _) = with_credentials();
    let answer = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 20\r\n\
                  connection: close\r\n\r\n<html>Sign in</html>";
    insta::assert_snapshot!(elsewhere(&env, &parrot(answer), &[]));
}

#[test]
fn an_answer_of_a_proxy() {
    let (env, _) = with_credentials();
    let answer = "HTTP/1.1 403 Forbidden\r\ncontent-type: text/html\r\ncontent-length: 33\r\n\
                  connection: close\r\n\r\n<html>Blocked by the proxy</html>";
    insta::assert_snapshot!(elsewhere(&env, &parrot(answer), &[]));
}
