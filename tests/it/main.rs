//! Behaviour tests: one binary, a file for each behaviour.

#![expect(
    clippy::disallowed_types,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests are tests, too, and todoctl is run as a user runs it"
)]

mod docs;
mod helm_corpus;
mod install;
mod tidy;
