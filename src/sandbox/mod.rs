//! The embedded rehearsal world: a process of its own that speaks Oracle's
//! REST API and the Kubernetes API on loopback.
//!
//! It must never import a client module (`oci`, `k8s`), nor be imported by
//! one: both sides implement the protocol from its specification.
pub mod alter;
pub mod api;
pub mod authority;
pub mod cache;
pub mod charts;
pub mod client;
pub mod controllers;
pub mod daemon;
pub mod faults;
#[cfg(unix)]
pub mod foreign;
pub mod http;
pub mod kafka;
pub mod kind;
pub mod kube;
pub mod kubelet;
pub mod oci;
pub mod plan;
pub mod podnet;
pub mod programs;
pub mod redpanda;
pub mod store;
pub mod world;
