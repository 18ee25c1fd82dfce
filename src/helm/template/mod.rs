//! Go's `text/template`: lexer, parser and evaluator.
//!
//! Specified by the documentation of the Go package `text/template`; the
//! evaluator's errors are those of the package, word for word.

pub(crate) mod ast;
pub(crate) mod exec;
mod field;
mod lexer;
pub(crate) mod number;
mod parser;
pub(crate) mod stack;

pub use parser::ParseError;
pub(crate) use parser::parse;
