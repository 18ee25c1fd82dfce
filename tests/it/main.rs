//! Behaviour tests: the built executable against the embedded world, each test
//! in an environment of its own.

mod crash;
mod support;
