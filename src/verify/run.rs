//! All checks at once.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;

use super::check::{Check, Outcome, Probe, Suite, Verdict};
use super::report::Report;
use super::world::World;

/// No check may take longer, in real time.
const LIMIT: Duration = Duration::from_secs(30);

/// Who is told as checks end: the outcome, how many have ended, and how many
/// there are.
pub type Told<'a> = &'a (dyn Fn(&Outcome, usize, usize) + Send + Sync);

/// Runs the checks of these suites; of all when there are none.
pub async fn run(world: &Arc<World>, suites: &[Suite], told: Told<'_>) -> Report {
    let began = world.clock.elapsed();
    let wanted: Vec<&Check> = super::all()
        .filter(|check| suites.is_empty() || suites.contains(&check.suite))
        .collect();
    let mut running: FuturesUnordered<_> = wanted
        .iter()
        .enumerate()
        .map(|(place, check)| async move { (place, one(world, check, began).await) })
        .collect();
    let mut outcomes: Vec<Option<Outcome>> = vec![None; wanted.len()];
    let mut ended = 0;
    while let Some((place, outcome)) = running.next().await {
        ended += 1;
        told(&outcome, ended, wanted.len());
        if let Some(slot) = outcomes.get_mut(place) {
            *slot = Some(outcome);
        }
    }
    drop(running);
    let took = world.clock.elapsed().saturating_sub(began);
    Report::new(world, outcomes.into_iter().flatten().collect(), took)
}

async fn one(world: &World, check: &Check, run_began: Duration) -> Outcome {
    let millis = |d: Duration| d.as_secs_f64() * 1e3;
    let began = world.clock.elapsed();
    let found = match check.probe {
        Probe::Look(look) => look(&world.scope),
        Probe::Ask(ask) => match tokio::time::timeout(LIMIT, ask(world)).await {
            Ok(found) => found,
            Err(_) => Err(
                Verdict::fail(format!("no result within {} s", LIMIT.as_secs()))
                    .saw(check.title, "nothing"),
            ),
        },
    };
    let took = world.clock.elapsed().saturating_sub(began);
    let verdict = found.unwrap_or_else(|early| early);
    Outcome::new(
        check,
        verdict,
        millis(began.saturating_sub(run_began)),
        millis(took),
    )
}
