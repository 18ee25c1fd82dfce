//! The chart engine: Go's `text/template` with Helm's functions, byte for byte.
//!
//! The template language is specified by the documentation of Go's packages
//! `text/template`, `fmt` and `strconv`; the functions by Helm 4's template
//! guide and by sprig 3.3. Values are Go-like ([`value`]): maps are shared by
//! reference, integers and floats stay apart, because charts depend on both.
//!
//! Nothing here does network or file input or output: `lookup` is a hook.

pub mod capabilities;
pub mod chart;
pub mod context;
pub mod dependency;
pub mod engine;
pub mod error;
mod funcs;
pub mod glob;
pub mod gofmt;
pub mod gotime;
mod json;
pub mod kinds;
pub mod manifest;
mod methods;
pub mod object;
pub mod render;
pub mod repo;
pub mod semver;
mod template;
pub mod value;
pub mod values;
pub mod why;
pub mod yaml11;

pub use template::ParseError;
