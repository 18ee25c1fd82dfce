//! Behaviour tests: the built executable against the embedded world, each test
//! in an environment of its own.

#![expect(
    clippy::disallowed_types,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "helpers of tests are tests, too, and todoctl is run as a user runs it"
)]

mod animate;
mod crash;
mod day2;
mod docs;
mod down;
mod errors;
mod events;
mod fuzz;
mod helm_corpus;
mod install;
mod interrupt;
mod logs;
mod output;
mod plan;
mod profile_errors;
mod release;
mod rotate;
mod secrets;
mod seed;
mod support;
mod tidy;
mod up;
mod verify;
mod weather;
