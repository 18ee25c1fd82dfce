//! The journal: an append-only record of what every run did to a deployment,
//! one JSON line an event, on disk before the thing is done.
//!
//! It answers two questions after a crash: what was begun and not ended, and
//! what did the steps know. It is never the only source of truth: inspecting
//! finds things by their tags, and the journal only helps where a far side's
//! lists lag behind.

mod event;
mod store;

pub use event::{Entry, Event, IllegalTransition, Outcome, Record, Status, next_status};
pub use store::{Holder, Journal, JournalError, RunLock};
