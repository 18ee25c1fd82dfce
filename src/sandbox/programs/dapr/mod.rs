//! Dapr's control plane: operator, sentry, injector, placement and scheduler.
//!
//! Where the real ones speak gRPC to each other and to sidecars, these speak
//! JSON over HTTP on the same ports of the same Services, so that what breaks
//! a real installation (no endpoints, a missing Configuration, an empty trust
//! bundle) breaks this one with the same words.

pub mod inject;
pub mod injector;
pub mod jobs;
pub mod operator;
pub mod placement;
pub mod plane;
pub mod scheduler;
pub mod sentry;
pub mod time;

pub use injector::Injector;
pub use operator::Operator;
pub use placement::Placement;
pub use scheduler::Scheduler;
pub use sentry::Sentry;
