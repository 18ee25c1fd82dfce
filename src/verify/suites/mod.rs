//! The checks, suite by suite.

mod cluster;
mod components;
mod dapr;
mod events;
mod ingress;
mod jobs;
mod regressions;
mod secrets;
pub(super) mod slo;
mod state;

use super::check::Check;

/// Every check, in the order of reports.
pub fn all() -> impl Iterator<Item = &'static Check> {
    [
        cluster::CHECKS,
        dapr::CHECKS,
        components::CHECKS,
        secrets::CHECKS,
        state::CHECKS,
        jobs::CHECKS,
        ingress::CHECKS,
        events::CHECKS,
        slo::CHECKS,
        regressions::CHECKS,
    ]
    .into_iter()
    .flatten()
}
