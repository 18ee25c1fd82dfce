//! The sidecar: `daprd` as an app sees it. Components, the HTTP API on 3500
//! and the same by gRPC on 50001, the public one on 3501, metrics on 9090, subscriptions and jobs.
//!
//! It talks to the control plane, the brokers and the app over the pods'
//! network only. State is kept in the world's store, as if in the database
//! that the component names. Specified in the Dapr API reference and, where
//! that is silent, by what version 1.18 does.

#![expect(
    clippy::result_large_err,
    reason = "a refusal is the reply itself, made at most once for a request"
)]

mod api;
mod app;
mod bus;
mod components;
mod config;
mod deliver;
mod envelope;
mod errors;
mod grpc;
mod health;
mod invoke;
mod jobs;
mod kafka;
mod metadata;
mod metrics;
mod options;
mod plane;
mod publish;
mod resiliency;
mod runtime;
mod secrets;
mod state;
mod subscribe;
#[cfg(test)]
mod tests;

use async_trait::async_trait;

use super::{Exit, Process, Program};

/// The image `dapr/daprd`.
pub struct Daprd;

#[async_trait]
impl Program for Daprd {
    async fn run(&self, process: Process) -> Exit {
        runtime::run(process).await
    }
}
