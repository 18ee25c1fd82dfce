//! The nodes' agents: they run the pods that are bound to them, by programs
//! chosen by image, and report as kubelets do.

mod runtime;

pub use runtime::{LogOptions, Output, Runtime, RuntimeError, Usage};
