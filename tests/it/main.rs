//! Behaviour tests: one binary, a file for each behaviour.

mod docs;
mod install;
mod tidy;
