//! The reference Todo app: the frontend and the backend that the rehearsal
//! runs in the place of a team's own images.
//!
//! An image is taken for the app's by its name: `todo-frontend` and
//! `todo-backend`, whatever the registry. Tags of the rehearsal (`crash`,
//! `oom`) misbehave as any image's do.

mod backend;
mod database;
mod events;
mod frontend;
mod tasks;
#[cfg(test)]
mod tests;

use super::Process;

pub use backend::Backend;
pub use frontend::Frontend;

/// Where an app listens: `PORT`, or the first port that its container declares.
fn port(process: &Process, otherwise: u16) -> u16 {
    let told = process.env.get("PORT").and_then(|port| port.parse().ok());
    told.or_else(|| process.ports.first().copied())
        .unwrap_or(otherwise)
}
