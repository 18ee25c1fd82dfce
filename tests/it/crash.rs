//! Crash anywhere: the executable is killed around a request that may change
//! something, or loses its answer; the next run ends in the same world as an
//! undisturbed one.
//!
//! For the cloud that is tried at every single request, and the worlds are
//! compared thing by thing. With the platform and the app in it a world is
//! alive, and a run makes hundreds of requests: there a sample of them is
//! struck, all with `TODOCTL_STRIKE=all`, some with `TODOCTL_STRIKE=20-45`. The
//! next run has to end well, with every release in a state to go on from, and
//! leave nothing to do.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use todoctl::sandbox::faults::may_change;

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

/// What is struck with everything in the world.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Whole {
    /// The platform and the app onto a cluster.
    Up,
    /// From the second revision of the app to the first.
    Rollback,
    /// All of it.
    Down,
}

impl Whole {
    fn args(self) -> &'static [&'static str] {
        match self {
            Self::Up => &["up"],
            Self::Rollback => &["rollback", "1"],
            Self::Down => &["down", "--yes"],
        }
    }

    /// The world before it.
    fn before(self) -> Env {
        let env = Env::new();
        match self {
            Self::Up => drop(env.ok(&UP)),
            Self::Rollback => {
                env.ok(&["up"]);
                env.ok(&[
                    "up",
                    "--image",
                    "backend=ghcr.io/example/todo-backend:0.2.1",
                ]);
            }
            Self::Down => drop(env.ok(&["up"])),
        }
        env.stop_world();
        env
    }

    /// What is not as it should be once it was done again.
    fn wrong(self, env: &Env) -> Result<(), String> {
        if self == Self::Down {
            let left = difference(&Things::new(), &things(env));
            return match left.is_empty() {
                true => Ok(()),
                false => Err(format!("something is left\n  {}", left.join("\n  "))),
            };
        }
        let listed = env.ok(&["history", "--all", "-o", "json"]);
        let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
        let rows = listed["revisions"].as_array().unwrap();
        if let Some(row) = rows.iter().find(|row| row["status"] != "deployed") {
            return Err(format!("a release cannot be gone on from: {row:#}"));
        }
        let again = env.run(&["up"]);
        if again.code == Some(0) && again.stdout.starts_with("No changes") {
            return Ok(());
        }
        let story = env.ok(&["history"]);
        Err(format!("something was left to do\n{again}\n{story}"))
    }
}

#[test]
fn the_whole_of_up_struck_at_any_write_goes_on_from_there() {
    sample(Whole::Up);
}

#[test]
fn a_rollback_struck_at_any_write_is_done_by_the_next() {
    sample(Whole::Rollback);
}

#[test]
fn down_with_everything_in_it_struck_at_any_write_leaves_nothing() {
    sample(Whole::Down);
}

/// How many points are struck where not all are asked for.
const SAMPLE: u64 = 6;

/// Strikes at some writes from the first to the last, in each of the ways.
fn sample(what: Whole) {
    let before = what.before();
    let writes = {
        let env = before.copy();
        env.start_world();
        let from = env.requests(0).len();
        env.ok(what.args());
        let wrote = |request: &serde_json::Value| {
            let text = |key: &str| request[key].as_str().unwrap_or_default().to_owned();
            may_change(&text("method"), &text("target"))
        };
        env.requests(from).iter().filter(|r| wrote(r)).count() as u64
    };
    assert!(writes > 3, "{what:?}: only {writes} writes");
    let blows = [Blow::Before, Blow::After, Blow::ReplyLost];
    let points: Vec<(u64, Blow)> = if let Some((first, last)) = asked_for(writes) {
        let all = first..=last.min(writes);
        all.flat_map(|nth| blows.map(|blow| (nth, blow))).collect()
    } else {
        let spread = (0..SAMPLE).map(|n| 1 + n * (writes - 1) / (SAMPLE - 1));
        spread.zip(blows.into_iter().cycle()).collect()
    };
    let next = AtomicU64::new(0);
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let n = usize::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap();
                    let Some((nth, blow)) = points.get(n).copied() else {
                        return;
                    };
                    if let Err(why) = struck(&before.copy(), what, blow, nth) {
                        let why = format!("write {nth} of {writes}, {blow:?}: {why}");
                        println!("{why}");
                        failures.lock().unwrap().push(why);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    println!("{what:?}: {} points of {writes} writes", points.len());
    assert!(
        failures.is_empty(),
        "{} of {} points fail:\n{}",
        failures.len(),
        points.len(),
        failures.join("\n")
    );
}

/// The first and the last write that `TODOCTL_STRIKE` asks for: `all`, or for
/// instance `20-45`.
fn asked_for(writes: u64) -> Option<(u64, u64)> {
    let asked = std::env::var_os("TODOCTL_STRIKE")?.into_string().ok()?;
    let range = asked.split_once('-');
    let range = range.map(|(first, last)| (first.parse().unwrap(), last.parse().unwrap()));
    Some(range.unwrap_or((1, writes)))
}

/// One point. A run may make fewer writes than the one that was counted.
fn struck(env: &Env, what: Whole, blow: Blow, nth: u64) -> Result<(), String> {
    env.start_world();
    let kind = match blow {
        Blow::Before => "hold",
        Blow::After => "hold-reply",
        Blow::ReplyLost => "lose-reply",
    };
    env.fault(&on_write(kind, nth));
    let mut run = env.start(what.args());
    if blow != Blow::ReplyLost {
        until("the request is held, or the run ends", || {
            env.matches() >= nth || run.has_ended()
        });
    }
    if blow == Blow::ReplyLost || run.has_ended() {
        let output = run.wait();
        if output.code != Some(0) {
            return Err(format!("does not recover by itself\n{output}"));
        }
    } else {
        run.kill();
        env.clear_faults();
        let again = env.run(what.args());
        if again.code != Some(0) {
            return Err(format!("the second run fails\n{again}"));
        }
    }
    what.wrong(env)
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
