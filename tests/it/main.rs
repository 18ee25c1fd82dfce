//! Behaviour tests: the built executable against the embedded world, each test
//! in an environment of its own.

mod crash;
mod down;
mod errors;
mod helm_corpus;
mod interrupt;
mod output;
mod plan;
mod profile_errors;
mod secrets;
mod seed;
mod support;
mod up;
mod weather;
