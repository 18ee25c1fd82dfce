//! The account of the probe events: what was taken, lost, doubled or late.

use crate::verify::check::{Found, Verdict};
use crate::verify::probes::Account;
use crate::verify::world::World;

/// Names of events, as many as a reader wants.
fn named(all: &[String]) -> String {
    let shown: Vec<&str> = all.iter().take(5).map(String::as_str).collect();
    match all.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

pub(super) async fn publish(world: &World) -> Found {
    let account = world.account().await?;
    let asked = format!(
        "{} publications to {} partitions",
        account.sent + account.refused.len(),
        account.places
    );
    Ok(match account.refused.first() {
        None => {
            let rate = account.sent as f64 / account.took.as_secs_f64().max(1e-9);
            let taken = format!("{} taken, {rate:.0} a second", account.sent);
            let passed = |words| Verdict::pass(words).saw(asked, "204 each");
            match account.repeated {
                n if n > 0.0 => passed(format!("{taken}; the sidecar had to repeat {n} calls"))
                    .saw(
                        "retries of the sidecar, by its metrics",
                        format!("{n} more"),
                    ),
                _ => passed(taken),
            }
        }
        Some(first) => {
            Verdict::fail(format!("{} refused", account.refused.len())).saw(asked, first)
        }
    })
}

/// A list of the account that should be empty.
async fn nothing(
    world: &World,
    good: &str,
    what: &str,
    list: fn(&Account) -> Vec<String>,
) -> Found {
    let account = world.account().await?;
    if account.sent == 0 {
        return Err(Verdict::fail("no probe event was published")
            .saw("publications", account.refused.join("; ")));
    }
    let all = list(account);
    let asked = format!(
        "{} probe events in {} partitions",
        account.sent, account.places
    );
    Ok(match all.is_empty() {
        true => Verdict::pass(format!("{} of {} {good}", account.sent, account.sent))
            .saw(asked, "all accounted for"),
        false => Verdict::fail(format!("{what}: {}", named(&all))).saw(asked, named(&all)),
    })
}

pub(super) async fn lost(world: &World) -> Found {
    nothing(world, "there", "lost", |account| account.missing.clone()).await
}

pub(super) async fn doubled(world: &World) -> Found {
    nothing(world, "once", "doubled", |account| account.doubled.clone()).await
}

pub(super) async fn reordered(world: &World) -> Found {
    nothing(world, "in order", "out of order", |account| {
        account
            .reordered
            .iter()
            .chain(&account.misplaced)
            .cloned()
            .collect()
    })
    .await
}
