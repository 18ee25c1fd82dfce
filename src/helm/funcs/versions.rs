//! Semantic versions.

use super::{Args, FnError, Function, Param, Returned, plain};
use crate::helm::engine::Run;
use crate::helm::object::Object;
use crate::helm::semver::{Constraint, Version};
use crate::helm::value::Value;

const S: Param = Param::Str;

pub(super) const FUNCTIONS: &[Function] = &[
    plain("semver", &[S], |_, v| {
        let version = parsed(&Args::new(v).text())?;
        Ok(Value::Obj(Object::Semver(version.into())))
    }),
    plain("semverCompare", &[S, S], compare),
];

fn parsed(text: &str) -> Result<Version, FnError> {
    Version::parse(text).map_err(|error| FnError::text(error.to_string()))
}

fn compare(_: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let mut args = Args::new(values);
    let (constraint, version) = (args.text(), args.text());
    let constraint =
        Constraint::parse(&constraint).map_err(|error| FnError::text(error.to_string()))?;
    Ok(Value::Bool(constraint.matches(&parsed(&version)?)))
}
