//! The engine against a toy world: for every step and every way to die there,
//! the next run must end in the world of an undisturbed run.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::journal::{Outcome, Status};
use crate::plan::{Action, Change, Class, Handle, Inputs, Step, StepCx};

/// What happens at a step, once.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Trouble {
    FailBefore,
    FailAfter,
    DieBefore,
    DieAfter,
    Panic,
    Silence,
}

#[derive(Default)]
struct Toy {
    things: Mutex<BTreeMap<String, Value>>,
    made: Mutex<Vec<String>>,
    trouble: Mutex<Option<(&'static str, Trouble)>>,
    died: tokio::sync::Notify,
    unwanted: Mutex<Vec<&'static str>>,
}

impl Toy {
    fn trouble(&self, name: &str) -> Option<Trouble> {
        let mut trouble = self.trouble.lock().unwrap();
        let hit = trouble.is_some_and(|(at, _)| at == name);
        if hit {
            trouble.take().map(|(_, what)| what)
        } else {
            None
        }
    }

    async fn meet(&self, name: &str, change: impl FnOnce()) -> Result<(), StepError> {
        let trouble = self.trouble(name);
        match trouble {
            Some(Trouble::FailBefore) => return Err(StepError::new(Class::Transient, "no")),
            Some(Trouble::DieBefore) => self.die().await,
            Some(Trouble::Panic) => panic!("the step is broken"),
            Some(Trouble::Silence) => futures::future::pending().await,
            _ => {}
        }
        change();
        match trouble {
            Some(Trouble::FailAfter) => Err(StepError::new(Class::Quota, "full")),
            Some(Trouble::DieAfter) => {
                self.die().await;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Never returns: the test drops the whole engine, as a kill would.
    async fn die(&self) {
        self.died.notify_one();
        futures::future::pending::<()>().await;
    }
}

struct Thing {
    name: &'static str,
    needs: Vec<Handle<Value>>,
    size: u32,
}

impl Step<Toy> for Thing {
    type Live = Value;

    fn id(&self) -> StepId {
        format!("toy/{}", self.name).parse().unwrap()
    }

    fn title(&self) -> String {
        self.name.to_owned()
    }

    fn needs(&self) -> Vec<StepId> {
        self.needs.iter().map(|need| need.id().clone()).collect()
    }

    fn system(&self) -> &'static str {
        "toy"
    }

    async fn inspect(&self, cx: &StepCx<Toy>) -> Result<Option<Value>, StepError> {
        Ok(cx.cx.things.lock().unwrap().get(self.name).cloned())
    }

    fn plan(&self, cx: &Toy, _: &Inputs, live: Option<&Value>) -> Change {
        let unwanted = cx.unwanted.lock().unwrap().contains(&self.name);
        match live {
            Some(_) if unwanted => Change::delete("no longer wanted"),
            None if unwanted => Change::none(),
            None => Change::create(&json!({"size": self.size})).then_known("id"),
            Some(live) => {
                Change::update(&json!({"size": live["size"]}), &json!({"size": self.size}))
            }
        }
    }

    async fn apply(&self, cx: &StepCx<Toy>, _: Option<Value>) -> Result<Value, StepError> {
        for need in &self.needs {
            cx.input(need)?;
        }
        let value = json!({"id": self.name, "size": self.size});
        let made = value.clone();
        cx.cx
            .meet(self.name, || {
                let mut things = cx.cx.things.lock().unwrap();
                if things.insert(self.name.to_owned(), made).is_none() {
                    cx.cx.made.lock().unwrap().push(self.name.to_owned());
                }
            })
            .await?;
        Ok(value)
    }

    async fn destroy(&self, cx: &StepCx<Toy>, _: Value) -> Result<(), StepError> {
        cx.cx
            .meet(self.name, || {
                cx.cx.things.lock().unwrap().remove(self.name);
            })
            .await
    }
}

const NAMES: [&str; 5] = ["net", "left", "right", "join", "tail"];

/// A diamond with a tail.
fn graph(size: u32) -> Graph<Toy> {
    let mut graph = Graph::default();
    let mut add = |name, needs| graph.add(Thing { name, needs, size }).unwrap();
    let net = add("net", vec![]);
    let left = add("left", vec![net.clone()]);
    let right = add("right", vec![net]);
    let join = add("join", vec![left, right]);
    add("tail", vec![join]);
    graph
}

struct Bench {
    dir: tempfile::TempDir,
    toy: Arc<Toy>,
}

impl Bench {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            toy: Arc::default(),
        }
    }

    fn engine(&self, size: u32) -> Engine<Toy> {
        engine_in(
            self.dir.path(),
            &self.toy,
            graph(size),
            Clock::new(20_000.0, CancellationToken::new()),
        )
    }

    async fn up(&self, size: u32) -> RunReport {
        let engine = self.engine(size);
        let plan = engine.plan().await.unwrap();
        engine.execute(&plan).await
    }

    async fn down(&self) -> RunReport {
        let engine = self.engine(1);
        let plan = engine.plan().await.unwrap();
        engine.destroy(&plan).await
    }

    fn things(&self) -> BTreeMap<String, Value> {
        self.toy.things.lock().unwrap().clone()
    }
}

fn engine_in(dir: &Path, toy: &Arc<Toy>, graph: Graph<Toy>, clock: Clock) -> Engine<Toy> {
    let journal = Arc::new(Journal::open(dir, "run", clock.clone()).unwrap());
    Engine::new(
        graph,
        toy.clone(),
        clock,
        journal,
        Limits::new(4, &[]),
        Arc::new(|_| {}),
    )
}

fn ends(report: &RunReport) -> Vec<(String, StepEnd)> {
    report
        .steps
        .iter()
        .map(|s| (s.title.clone(), s.end.clone()))
        .collect()
}

#[tokio::test]
async fn a_second_run_changes_nothing() {
    let bench = Bench::new();
    let report = bench.up(1).await;
    assert_eq!(report.outcome, Outcome::Done);
    assert_eq!(report.counts(), [(Action::Create, 5)].into());
    assert!(bench.engine(1).plan().await.unwrap().is_empty());
    assert_eq!(bench.up(1).await.counts(), [(Action::None, 5)].into());
}

#[tokio::test]
async fn a_changed_profile_updates_in_place() {
    let bench = Bench::new();
    bench.up(1).await;
    let plan = bench.engine(2).plan().await.unwrap();
    assert_eq!(plan.counts(), [(Action::Update, 5)].into());
    bench.up(2).await;
    assert!(bench.things().values().all(|thing| thing["size"] == 2));
    assert_eq!(bench.toy.made.lock().unwrap().len(), 5);
}

#[tokio::test]
async fn whatever_happens_at_any_step_the_next_run_finishes_the_job() {
    let calm = Bench::new();
    calm.up(1).await;
    for name in NAMES {
        use Trouble::{DieAfter, DieBefore, FailAfter, FailBefore, Panic, Silence};
        for trouble in [FailBefore, FailAfter, DieBefore, DieAfter, Panic, Silence] {
            let bench = Bench::new();
            *bench.toy.trouble.lock().unwrap() = Some((name, trouble));
            tokio::select! {
                report = bench.up(1) => assert_eq!(report.outcome, Outcome::Failed, "{name} {trouble:?}"),
                () = bench.toy.died.notified() => {}
            }
            let report = bench.up(1).await;
            assert_eq!(report.outcome, Outcome::Done, "{name} {trouble:?}");
            assert_eq!(bench.things(), calm.things(), "{name} {trouble:?}");
            let mut made = bench.toy.made.lock().unwrap().clone();
            made.sort();
            made.dedup();
            assert_eq!(
                made.len(),
                5,
                "{name} {trouble:?}: something was made twice"
            );

            *bench.toy.trouble.lock().unwrap() = Some((name, trouble));
            tokio::select! {
                _ = bench.down() => {}
                () = bench.toy.died.notified() => {}
            }
            assert_eq!(
                bench.down().await.outcome,
                Outcome::Done,
                "{name} {trouble:?}"
            );
            assert_eq!(bench.things(), BTreeMap::new(), "{name} {trouble:?}");
        }
    }
}

#[tokio::test]
async fn a_failure_blocks_its_dependants_and_nothing_else() {
    let bench = Bench::new();
    *bench.toy.trouble.lock().unwrap() = Some(("left", Trouble::FailBefore));
    let report = bench.up(1).await;
    let by: StepId = "toy/left".parse().unwrap();
    let created = StepEnd::Done {
        action: Action::Create,
    };
    let ends = ends(&report);
    assert_eq!(ends[0].1, created);
    assert!(matches!(&ends[1].1, StepEnd::Failed(f) if f.message == "no"));
    assert_eq!(ends[2].1, created);
    assert_eq!(ends[3].1, StepEnd::Blocked { by: by.clone() });
    assert_eq!(ends[4].1, StepEnd::Blocked { by });
}

#[tokio::test]
async fn a_silent_step_fails_with_what_was_seen_last() {
    let bench = Bench::new();
    *bench.toy.trouble.lock().unwrap() = Some(("net", Trouble::Silence));
    let report = bench.up(1).await;
    let StepEnd::Failed(failure) = &report.steps[0].end else {
        panic!("{report:?}")
    };
    assert_eq!(failure.class, Class::Timeout);
    assert!(
        failure.message.starts_with("no progress for "),
        "{}",
        failure.message
    );
}

#[tokio::test]
async fn a_panic_is_a_bug_of_one_step() {
    let bench = Bench::new();
    *bench.toy.trouble.lock().unwrap() = Some(("right", Trouble::Panic));
    let report = bench.up(1).await;
    let StepEnd::Failed(failure) = &report.steps[2].end else {
        panic!("{report:?}")
    };
    assert_eq!(
        (failure.class, failure.message.as_str()),
        (Class::Bug, "the step is broken")
    );
    assert_eq!(
        report.steps[1].end,
        StepEnd::Done {
            action: Action::Create
        }
    );
}

#[tokio::test]
async fn what_is_no_longer_wanted_goes_after_everything_else() {
    let bench = Bench::new();
    bench.up(1).await;
    bench.toy.unwanted.lock().unwrap().push("tail");
    let report = bench.up(1).await;
    assert_eq!(
        report.steps[4].end,
        StepEnd::Done {
            action: Action::Delete
        }
    );
    assert!(!bench.things().contains_key("tail"));
}

#[tokio::test]
async fn cancelling_before_a_run_starts_nothing_and_says_so() {
    let bench = Bench::new();
    let plan = bench.engine(1).plan().await.unwrap();
    let cancel = CancellationToken::new();
    let clock = Clock::new(20_000.0, cancel.clone());
    let engine = engine_in(bench.dir.path(), &bench.toy, graph(1), clock);
    cancel.cancel();
    let report = engine.execute(&plan).await;
    assert_eq!(report.outcome, Outcome::Interrupted);
    assert!(
        report.steps.iter().all(|s| s.end == StepEnd::NotStarted),
        "{report:?}"
    );
    assert!(bench.things().is_empty());
}

#[tokio::test]
async fn the_journal_tells_what_was_begun_and_not_ended() {
    let bench = Bench::new();
    *bench.toy.trouble.lock().unwrap() = Some(("join", Trouble::DieAfter));
    tokio::select! {
        _ = bench.up(1) => panic!("it should have died"),
        () = bench.toy.died.notified() => {}
    }
    let journal = Journal::open(bench.dir.path(), "later", Clock::default()).unwrap();
    let status = |name: &str| {
        journal
            .record(&format!("toy/{name}").parse().unwrap())
            .map(|record| record.status)
    };
    assert_eq!(status("left"), Some(Status::Present));
    assert_eq!(status("join"), Some(Status::Started));
    assert_eq!(status("tail"), None);
}

#[tokio::test]
async fn the_critical_path_is_the_longest_chain() {
    let bench = Bench::new();
    let report = bench.up(1).await;
    assert!(report.critical <= report.took + Duration::from_secs(1));
}
