//! Invariants of ownership under random writes.
