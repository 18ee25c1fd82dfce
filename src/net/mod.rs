//! HTTP for the clients of floor 2: one TLS stack, one retry loop, one wire
//! trace.
//!
//! This module owns how a request leaves the machine: trust roots, timeouts,
//! repeated attempts, how many calls are in flight, and what of it may be
//! traced. It knows no service: what an answer means, and whether to try
//! again, is decided by the [`Classify`] values that a client puts behind the
//! general one. It never prints, and never traces a body or an
//! `authorization` header.
//!
//! The layers of one request, outermost first: retry, wire trace with
//! buffering, preparation (signing), socket. A signature is therefore made for
//! each attempt, and an attempt is over only when its whole body has arrived.

mod client;
mod error;
mod limit;
mod retry;
#[cfg(test)]
pub(crate) mod testing;
mod tls;
mod wire;

pub use client::{Call, Http, HttpBuilder, Prepare, USER_AGENT};
pub use error::{NetError, NetKind, TlsProblem};
pub use limit::{Limiter, Pass};
pub use retry::{
    Again, Attempt, Budget, Classify, Observer, Outcome, Retrying, Transport, Tries, Verdict,
};
pub use tls::{Trust, TrustError, install_crypto};
pub use wire::Answer;
