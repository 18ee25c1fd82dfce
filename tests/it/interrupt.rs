//! Signals: a first one comes to a safe point, a second one ends at once.

use crate::support::{Env, on_write, until};

/// Interrupts `up` while the fifth write waits, then lets it go on.
fn interrupted_by(signal: &str) {
    let env = Env::new();
    env.start_world();
    env.fault(&on_write("hold", 5));
    let mut run = env.start(&["up"]);
    until("it is in the middle", || {
        env.matches() >= 5 || run.has_ended()
    });
    run.signal(signal);
    until("it says so", || {
        run.stderr().contains("safe point") || run.has_ended()
    });
    env.clear_faults();
    let output = run.wait();
    assert_eq!(output.code, Some(130), "{output}");
    assert!(
        output.stderr.contains("todoctl up"),
        "no next step\n{output}"
    );
    env.ok(&["up"]);
    assert!(env.ok(&["up"]).starts_with("No changes"));
}

#[test]
fn ctrl_c_ends_at_a_safe_point_and_the_next_run_goes_on() {
    interrupted_by("INT");
}

#[test]
fn a_polite_kill_does_the_same() {
    interrupted_by("TERM");
}

#[test]
fn a_second_ctrl_c_ends_at_once() {
    let env = Env::new();
    env.start_world();
    env.fault(&on_write("hold", 5));
    let mut run = env.start(&["up"]);
    until("it is in the middle", || {
        env.matches() >= 5 || run.has_ended()
    });
    run.signal("INT");
    until("it says so", || {
        run.stderr().contains("safe point") || run.has_ended()
    });
    run.signal("INT");
    // The write is still held: only a run that gives up can end.
    let output = run.wait();
    assert_eq!(output.code, Some(130), "{output}");
    env.clear_faults();
    env.ok(&["up"]);
    assert!(env.ok(&["up"]).starts_with("No changes"));
}
