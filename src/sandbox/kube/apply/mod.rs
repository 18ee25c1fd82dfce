//! Who owns which field: server-side apply and the tracking of every other
//! write, by the rules of Kubernetes' structured merge (`managedFields` with
//! `fieldsV1`).
//!
//! Pure: values in, values out. The schema decides what a field is: the items
//! of a keyed list are fields of their own, an atomic list is one.

mod compare;
mod fields;
pub mod managed;
mod merge;
mod remove;
pub mod set;

#[cfg(test)]
mod properties;

pub use compare::{Comparison, compare};
pub use fields::{field_set, step_of};
pub use merge::{MergeError, merge};
pub use remove::{name_fields, remove};
