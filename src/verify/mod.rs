//! Proof that a deployment works.
//!
//! A [`check::Check`] has a stable code, and comes to a verdict with evidence:
//! what was asked, and what answered. Some look at what was read of the cluster
//! once ([`scope`]); others ask: the public address, the sidecars, Kafka
//! ([`world`]). All of them run at once, so that a run takes as long as its
//! slowest check. One that cannot reach its subject fails; nothing passes by
//! silence.
//!
//! Nothing of the deployment is changed. What a probe makes is removed, or
//! vanishes by itself when the run is killed: state keys and jobs have a time
//! to live, probe events have expired before they are sent, and tasks that were
//! left behind are removed by the next run.

pub mod check;
pub mod flow;
pub mod metrics;
pub mod probes;
pub mod report;
mod run;
pub mod scope;
pub mod soak;
mod suites;
pub mod world;

pub use check::{Check, Evidence, Outcome, Status, Suite, Verdict};
pub use report::Report;
pub use run::{Told, run};
pub use soak::Soak;
pub use suites::all;
pub use world::{Ways, World};

/// The check with this code.
pub fn find(code: &str) -> Option<&'static Check> {
    all().find(|check| check.code == code)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_are_unique_and_begin_with_their_suite() {
        let mut seen = BTreeSet::new();
        for check in all() {
            assert!(seen.insert(check.code), "{} twice", check.code);
            let (suite, name) = check.code.split_once('.').unwrap();
            assert_eq!(suite, check.suite.name());
            assert!(
                name.chars().all(|c| c.is_ascii_lowercase() || c == '-'),
                "{name}"
            );
        }
        for suite in Suite::ALL {
            assert!(all().any(|check| check.suite == suite), "{suite} is empty");
        }
    }
}
