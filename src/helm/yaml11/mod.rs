//! YAML as charts know it: version 1.1, read and written byte for byte as
//! `sigs.k8s.io/yaml` does on top of go-yaml 2.
//!
//! Values take the way of Helm: YAML 1.1, then JSON, then `any`; so every
//! number becomes a float, `yes` and `on` are booleans, and a map key is
//! always a string. The rest of the program reads YAML through
//! [`crate::yaml`]; this module is for charts only.

mod compose;
mod decode;
mod emitter;
mod plain;
mod resolve;
mod scanner;

use std::fmt;

use super::value::Value;

pub use decode::{Located, PathPart};
pub use emitter::{ToYamlError, to_yaml, to_yaml_pretty};
pub(crate) use plain::Plain;
pub use plain::PlainError;

/// Why a text is not YAML, in go-yaml's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct YamlError {
    /// The line as go-yaml counts it, or 0 when it names none.
    pub line: usize,
    /// What is wrong there.
    pub message: String,
}

impl YamlError {
    fn new(line: usize, message: impl Into<String>) -> Self {
        Self {
            line,
            message: message.into(),
        }
    }
}

impl fmt::Display for YamlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Errors of the JSON step carry their own prefix.
        if self.message.starts_with("json:") {
            return f.write_str(&self.message);
        }
        match self.line {
            0 => write!(f, "yaml: {}", self.message),
            line => write!(f, "yaml: line {line}: {}", self.message),
        }
    }
}

/// Reads the first document. An empty text is nil.
pub fn parse(text: &[u8]) -> Result<Value, YamlError> {
    Ok(compose::first(checked(text)?)?.unwrap_or_default())
}

/// Reads the first document, of whose root only these fields matter. What is
/// wrong with the others is an error as well.
pub fn parse_fields(text: &[u8], fields: &[&str]) -> Result<Value, YamlError> {
    Ok(compose::first_fields(checked(text)?, fields)?.unwrap_or_default())
}

/// Reads the first document with the line of every value in it.
pub fn parse_located(text: &[u8]) -> Result<(Value, Vec<Located>), YamlError> {
    Ok(compose::first_located(checked(text)?)?.unwrap_or_default())
}

/// Reads every document of a stream.
pub fn parse_all(text: &[u8]) -> Result<Vec<Value>, YamlError> {
    compose::all(checked(text)?)
}

/// Refuses what the reader of go-yaml refuses before it looks at structure.
fn checked(text: &[u8]) -> Result<&str, YamlError> {
    let text =
        std::str::from_utf8(text).map_err(|_| YamlError::new(0, "invalid leading UTF-8 octet"))?;
    let plain = |byte: &u8| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~');
    if text.as_bytes().iter().all(plain) {
        return Ok(text);
    }
    let readable = |c: char| {
        matches!(c, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{d7ff}'
            | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
    };
    if text.chars().all(readable) {
        Ok(text)
    } else {
        Err(YamlError::new(0, "control characters are not allowed"))
    }
}

#[cfg(test)]
mod tests;
