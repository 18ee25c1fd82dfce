//! todoctl takes a Todo AI Chatbot from nothing to a verified, event-driven
//! deployment on Oracle Kubernetes Engine, and looks after it.
//!
//! The modules are listed by floor: a module uses modules on lower floors
//! only. `docs/architecture.md` holds the table and `tests/it/tidy.rs` the
//! proof.

// Floor 0: words. No input or output.
pub mod finding;
pub mod manifest;
pub mod names;
pub mod secret;

// Floor 1: the ground. The only places that read YAML, write files, wait, or
// open an HTTP connection.
pub mod clock;
pub mod cloudevents;
pub mod files;
pub mod net;
pub mod yaml;

// Floor 2: clients of outside systems.
pub mod k8s;
pub mod kafka;
pub mod oci;
pub mod redpanda;

// Floor 3: pure engines. No network.
pub mod dapr;
pub mod helm;
pub mod profile;
pub mod render;

// Floors 4 and 5: the way to Kafka, the step engine, which knows no cloud, and
// releases with their charts, which know no steps.
pub mod backbone;
pub mod charts;
pub mod engine;
pub mod images;
pub mod journal;
pub mod plan;
pub mod release;

// Floor 6: what todoctl does.
pub mod observe;
pub mod steps;
pub mod verify;

// Floors 7 and 8: how people see it.
pub mod cli;
pub mod ui;

// The cellar: an embedded world to rehearse in. It shares no protocol code
// with the clients, so that a mistake on one side shows on the other.
pub mod sandbox;
