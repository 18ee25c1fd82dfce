//! Crash anywhere: the executable is killed around every single request that
//! may change something, or loses its answer; the next run ends in the same
//! world as an undisturbed one.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::support::world::{Things, difference, things};
use crate::support::{Env, on_write, until};

/// How many points are tried at once: they wait most of the time.
const AT_ONCE: usize = 2;
/// What is brought up: the cloud. A release's every write has its own test.
const UP: [&str; 3] = ["up", "--only", "account,network,cluster"];
/// More requests than any run makes.
const ENOUGH: u64 = 200;

/// What happens to the n-th request.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Blow {
    /// Killed when the request was sent and not yet handled.
    Before,
    /// Killed when it was handled and not yet answered.
    After,
    /// Not killed: the answer is lost.
    ReplyLost,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Ride {
    Up,
    Down,
}

#[test]
fn up_killed_before_any_write_ends_in_the_same_world() {
    everywhere(Ride::Up, Blow::Before);
}

#[test]
fn up_killed_after_any_write_ends_in_the_same_world() {
    everywhere(Ride::Up, Blow::After);
}

#[test]
fn up_that_loses_the_answer_to_any_write_recovers_by_itself() {
    everywhere(Ride::Up, Blow::ReplyLost);
}

#[test]
fn down_killed_before_any_write_leaves_nothing() {
    everywhere(Ride::Down, Blow::Before);
}

#[test]
fn down_killed_after_any_write_leaves_nothing() {
    everywhere(Ride::Down, Blow::After);
}

#[test]
fn down_that_loses_the_answer_to_any_write_recovers_by_itself() {
    everywhere(Ride::Down, Blow::ReplyLost);
}

/// Strikes at the first write, the second, and so on, until there is none.
fn everywhere(ride: Ride, blow: Blow) {
    let deployed = Deployed::new();
    let (next, struck) = (AtomicU64::new(1), AtomicU64::new(0));
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let nth = next.fetch_add(1, Ordering::Relaxed);
                    assert!(nth < ENOUGH, "{ride:?} does not end making requests");
                    match strike(&deployed, ride, blow, nth) {
                        Ok(true) => struck.fetch_add(1, Ordering::Relaxed),
                        Ok(false) => return,
                        Err(why) => {
                            failures.lock().unwrap().push(format!("write {nth}: {why}"));
                            struck.fetch_add(1, Ordering::Relaxed)
                        }
                    };
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    let points = struck.into_inner();
    println!("{ride:?} {blow:?}: {points} points");
    assert!(points > 10, "only {points} points: the faults do not hit");
    assert!(
        failures.is_empty(),
        "{} of {points} points fail:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

/// One point. False when the run has no n-th write.
fn strike(deployed: &Deployed, ride: Ride, blow: Blow, nth: u64) -> Result<bool, String> {
    let (env, args): (_, &[&str]) = match ride {
        Ride::Up => (Env::new(), &UP),
        Ride::Down => (deployed.env.copy(), &["down", "--yes"]),
    };
    env.start_world();
    let kind = match blow {
        Blow::Before => "hold",
        Blow::After => "hold-reply",
        Blow::ReplyLost => "lose-reply",
    };
    env.fault(&on_write(kind, nth));
    let mut run = env.start(args);
    if blow == Blow::ReplyLost {
        let output = run.wait();
        if output.code != Some(0) {
            return Err(format!("does not recover\n{output}"));
        }
        if env.matches() < nth {
            return Ok(false);
        }
    } else {
        let mut hit = false;
        until("the request is held, or the run ends", || {
            hit = env.matches() >= nth;
            hit || run.has_ended()
        });
        if !hit {
            let output = run.wait();
            return match output.code {
                Some(0) => Ok(false),
                _ => Err(format!("the undisturbed run fails\n{output}")),
            };
        }
        run.kill();
        let again = env.run(args);
        if again.code != Some(0) {
            return Err(format!("the second run fails\n{again}"));
        }
    }
    let wanted = match ride {
        Ride::Up => &deployed.things,
        Ride::Down => &Things::new(),
    };
    match difference(wanted, &things(&env)) {
        lines if lines.is_empty() => Ok(true),
        lines => Err(format!("the worlds differ\n  {}", lines.join("\n  "))),
    }
}

/// A deployment that nothing disturbed.
struct Deployed {
    env: Env,
    things: Things,
}

impl Deployed {
    fn new() -> Self {
        let env = Env::new();
        env.ok(&UP);
        let things = things(&env);
        assert!(things.len() > 10, "{things:#?}");
        Self { env, things }
    }
}

#[test]
fn two_undisturbed_runs_end_in_the_same_world() {
    let deployed = Deployed::new();
    let env = Env::new();
    env.ok(&UP);
    assert_eq!(difference(&deployed.things, &things(&env)), [""; 0]);
    env.ok(&["down", "--yes"]);
    assert_eq!(difference(&Things::new(), &things(&env)), [""; 0]);
}
