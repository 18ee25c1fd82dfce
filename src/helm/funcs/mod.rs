//! The functions of Helm's templates: Go's own, sprig's and Helm's.
//!
//! A function names the Go types of its parameters; the evaluator checks the
//! arguments and only then calls it. Errors read as those of the Go functions.

#![expect(
    clippy::unnecessary_wraps,
    clippy::needless_pass_by_value,
    reason = "every function of the table has the same type"
)]

mod certs;
mod convert;
mod crypto;
mod dates;
mod der;
mod encoding;
mod language;
mod lists;
mod maps;
mod math;
mod merge;
mod paths;
mod primes;
mod regexes;
mod serial;
mod strings;
mod toml;
mod types;
mod versions;
mod words;

use std::collections::HashMap;
use std::sync::LazyLock;

use super::engine::Run;
use super::error::Cause;
use super::object::Object;
use super::template::exec::Scope;
use super::value::{IntKind, List, ListType, Map, MapType, Str, UintKind, Value};

pub(crate) use language::zero_of;
pub(crate) use lists::NIL_PANIC;
pub(crate) use serial::to_yaml_text;

/// The Go type of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Param {
    /// `interface {}`
    Any,
    /// `reflect.Value`, which the language's own functions take
    Reflect,
    Str,
    Int,
    Uint32,
    Float,
    Bool,
    /// `map[string]interface {}`
    Map,
    /// `[]interface {}`
    List,
    Time,
    Duration,
    Certificate,
    Semver,
}

impl Param {
    pub(crate) fn type_name(self) -> &'static str {
        match self {
            Self::Any => "interface {}",
            Self::Reflect => "reflect.Value",
            Self::Str => "string",
            Self::Int => "int",
            Self::Uint32 => "uint32",
            Self::Float => "float64",
            Self::Bool => "bool",
            Self::Map => "map[string]interface {}",
            Self::List => "[]interface {}",
            Self::Time => "time.Time",
            Self::Duration => "time.Duration",
            Self::Certificate => "sprig.certificate",
            Self::Semver => "*semver.Version",
        }
    }

    /// What nil becomes for this type, if the type has a nil.
    pub(crate) fn nil(self) -> Option<Value> {
        match self {
            Self::Any | Self::Reflect | Self::Map | Self::Semver => Some(Value::Nil),
            Self::List => Some(Value::list(Vec::new())),
            _ => None,
        }
    }

    pub(crate) fn accepts(self, value: &Value) -> bool {
        match self {
            Self::Any | Self::Reflect => true,
            Self::Str => matches!(value, Value::Str(_)),
            Self::Int => matches!(value, Value::Int(_, IntKind::Int)),
            Self::Uint32 => matches!(value, Value::Uint(_, UintKind::Uint32)),
            Self::Float => matches!(value, Value::Float(_)),
            Self::Bool => matches!(value, Value::Bool(_)),
            Self::Map => {
                matches!(value, Value::Map(m) if matches!(m.ty(), MapType::Any | MapType::Values))
            }
            Self::List => matches!(value, Value::List(l) if l.ty() == ListType::Any),
            Self::Time => matches!(value, Value::Obj(Object::Time(_))),
            Self::Duration => matches!(value, Value::Obj(Object::Duration(_))),
            Self::Certificate => matches!(value, Value::Obj(Object::Certificate(_))),
            Self::Semver => matches!(value, Value::Obj(Object::Semver(_))),
        }
    }
}

/// Why a function failed.
#[derive(Debug)]
pub(crate) enum FnError {
    Cause(Cause),
    /// A bound of the engine.
    Limit(String),
}

impl FnError {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Cause(Cause::Text(text.into()))
    }
}

pub(crate) type Returned = Result<Value, FnError>;
type Plain = fn(&mut Run<'_>, Vec<Value>) -> Returned;
type Scoped = fn(&mut Run<'_>, &Scope<'_>, Vec<Value>) -> Returned;

/// How a function is called.
#[derive(Debug)]
pub(crate) enum Call {
    Plain(Plain),
    /// Needs to see the templates.
    Scoped(Scoped),
    /// `and` and `or`: evaluates arguments until one has this truth.
    Logic(bool),
}

/// A function or method: its name and the types of its parameters.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) name: &'static str,
    pub(crate) params: &'static [Param],
    /// The type of any further arguments, if it takes them.
    pub(crate) rest: Option<Param>,
    pub(crate) call: Call,
}

const fn plain(name: &'static str, params: &'static [Param], call: Plain) -> Function {
    Function {
        name,
        params,
        rest: None,
        call: Call::Plain(call),
    }
}

const fn variadic(
    name: &'static str,
    params: &'static [Param],
    rest: Param,
    call: Plain,
) -> Function {
    Function {
        name,
        params,
        rest: Some(rest),
        call: Call::Plain(call),
    }
}

const fn scoped(name: &'static str, params: &'static [Param], call: Scoped) -> Function {
    Function {
        name,
        params,
        rest: None,
        call: Call::Scoped(call),
    }
}

const FAMILIES: [&[Function]; 17] = [
    language::FUNCTIONS,
    strings::FUNCTIONS,
    words::FUNCTIONS,
    lists::FUNCTIONS,
    maps::FUNCTIONS,
    merge::FUNCTIONS,
    math::FUNCTIONS,
    convert::FUNCTIONS,
    types::FUNCTIONS,
    encoding::FUNCTIONS,
    crypto::FUNCTIONS,
    certs::FUNCTIONS,
    dates::FUNCTIONS,
    regexes::FUNCTIONS,
    serial::FUNCTIONS,
    versions::FUNCTIONS,
    paths::FUNCTIONS,
];

static BY_NAME: LazyLock<HashMap<&'static str, &'static Function>> = LazyLock::new(|| {
    FAMILIES
        .iter()
        .flat_map(|family| family.iter())
        .map(|function| (function.name, function))
        .collect()
});

/// The function of that name.
pub(crate) fn find(name: &str) -> Option<&'static Function> {
    BY_NAME.get(name).copied()
}

/// Takes arguments one by one. The evaluator has checked their types, so a
/// mismatch yields an empty value.
pub(crate) struct Args(std::vec::IntoIter<Value>);

impl Args {
    pub(crate) fn new(values: Vec<Value>) -> Self {
        Self(values.into_iter())
    }

    pub(crate) fn any(&mut self) -> Value {
        self.0.next().unwrap_or_default()
    }

    pub(crate) fn rest(self) -> Vec<Value> {
        self.0.collect()
    }

    pub(crate) fn bytes(&mut self) -> Str {
        match self.any() {
            Value::Str(s) => s,
            _ => Str::from(&[][..]),
        }
    }

    pub(crate) fn text(&mut self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    pub(crate) fn int(&mut self) -> i64 {
        match self.any() {
            Value::Int(n, _) => n,
            Value::Obj(Object::Duration(n)) => n,
            Value::Uint(n, _) => i64::try_from(n).unwrap_or(i64::MAX),
            _ => 0,
        }
    }

    pub(crate) fn bool(&mut self) -> bool {
        matches!(self.any(), Value::Bool(true))
    }

    /// A map; nil is `None`.
    pub(crate) fn map(&mut self) -> Option<Map> {
        match self.any() {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    pub(crate) fn list(&mut self) -> List {
        match self.any() {
            Value::List(list) => list,
            _ => List::new(Vec::new()),
        }
    }
}

impl Args {
    /// A time, or the zero time.
    pub(crate) fn time(&mut self) -> std::sync::Arc<super::gotime::Time> {
        match self.any() {
            Value::Obj(Object::Time(time)) => time,
            _ => super::gotime::Time::utc(super::gotime::ZERO_UNIX, 0).into(),
        }
    }
}

/// The names of all functions, in order.
#[cfg(test)]
pub(crate) fn names() -> Vec<&'static str> {
    let mut names: Vec<&'static str> = BY_NAME.keys().copied().collect();
    names.sort_unstable();
    names
}
