//! Questions about types.

use super::{Args, Function, Param, Returned, plain};
use crate::helm::value::Value;

const A: Param = Param::Any;
const S: Param = Param::Str;

pub(super) const FUNCTIONS: &[Function] = &[
    plain("typeOf", &[A], |_, v| {
        Ok(Value::str(Args::new(v).any().type_name()))
    }),
    plain("kindOf", &[A], |_, v| {
        Ok(Value::str(Args::new(v).any().kind_name()))
    }),
    plain("typeIs", &[S, A], |_, v| {
        named(v, |name, value| name == value.type_name())
    }),
    plain("typeIsLike", &[S, A], |_, v| {
        named(v, |name, value| {
            let own = value.type_name();
            name == own || own.strip_prefix('*') == Some(name)
        })
    }),
    plain("kindIs", &[S, A], |_, v| {
        named(v, |name, value| name == value.kind_name())
    }),
    plain("deepEqual", &[A, A], |_, v| {
        let mut args = Args::new(v);
        let (a, b) = (args.any(), args.any());
        Ok(Value::Bool(a.deep_equal(&b)))
    }),
];

fn named(values: Vec<Value>, test: impl Fn(&str, &Value) -> bool) -> Returned {
    let mut args = Args::new(values);
    let (name, value) = (args.text(), args.any());
    Ok(Value::Bool(test(&name, &value)))
}
