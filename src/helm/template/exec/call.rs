//! Calling functions: how arguments are evaluated, and which Go type takes
//! which value.

use super::super::ast::{Expr, ExprKind};
use super::{At, Fault, Frame, Held, Result, shown};
use crate::helm::engine::Run;
use crate::helm::error::Cause;
use crate::helm::funcs::{Call, FnError, Function, Param};
use crate::helm::object::Object;
use crate::helm::value::{IntKind, UintKind, Value};

impl<'t> Frame<'t, '_, '_> {
    pub(super) fn call(
        &mut self,
        run: &mut Run<'_>,
        dot: &Held,
        function: &'static Function,
        at: At<'t>,
        args: &'t [Expr],
        last: Option<Value>,
    ) -> Result<Held> {
        run.step()?;
        if let Call::Logic(stop_at) = function.call {
            self.count_args(function, args.len(), last.is_some())?;
            let mut held = Held::default();
            for arg in args {
                held = self.arg(run, dot, Param::Reflect, arg)?;
                if held.value.truth() == stop_at {
                    return Ok(held);
                }
            }
            if let Some(last) = last {
                held = Held::plain(last);
            }
            return Ok(held);
        }
        let mut values = Vec::with_capacity(args.len() + 1);
        self.arguments(run, dot, function, args, last, &mut values)?;
        let before = self.at;
        self.at = at;
        if function.name == "call"
            && let Some(value) = values.first().filter(|value| !value.is_nil())
        {
            let name = args.first().map(shown).unwrap_or_default();
            let text = format!("non-function {name} of type {}", value.type_name());
            return self.fail_with("error calling call: ".to_owned(), Some(Cause::Text(text)));
        }
        let value = self.invoke(run, function, values)?;
        self.at = before;
        Ok(Held::iface(value))
    }

    fn count_args(&self, function: &Function, written: usize, piped: bool) -> Result<()> {
        let given = written + usize::from(piped);
        let fixed = function.params.len();
        if function.rest.is_some() {
            if given < fixed {
                return self.fail(format!(
                    "wrong number of args for {}: want at least {fixed} got {written}",
                    function.name
                ));
            }
        } else if given != fixed {
            return self.fail(format!(
                "wrong number of args for {}: want {fixed} got {given}",
                function.name
            ));
        }
        Ok(())
    }

    pub(super) fn arguments(
        &mut self,
        run: &mut Run<'_>,
        dot: &Held,
        function: &'static Function,
        args: &'t [Expr],
        last: Option<Value>,
        values: &mut Vec<Value>,
    ) -> Result<()> {
        self.count_args(function, args.len(), last.is_some())?;
        let param = |i: usize| {
            function
                .params
                .get(i)
                .copied()
                .or(function.rest)
                .unwrap_or(Param::Any)
        };
        for (i, arg) in args.iter().enumerate() {
            let held = self.arg(run, dot, param(i), arg)?;
            values.push(held.value);
        }
        if let Some(last) = last {
            let held = self.validate(Held::plain(last), param(args.len()))?;
            values.push(held.value);
        }
        Ok(())
    }

    pub(super) fn invoke(
        &mut self,
        run: &mut Run<'_>,
        function: &'static Function,
        values: Vec<Value>,
    ) -> Result<Value> {
        let returned = match function.call {
            Call::Plain(call) => call(run, values),
            Call::Scoped(call) => call(run, self.scope, values),
            Call::Logic(_) => Ok(Value::Nil),
        };
        match returned {
            Ok(value) => {
                run.charge(&value)?;
                Ok(value)
            }
            Err(FnError::Limit(text)) => Err(Box::new(Fault::Limit(text))),
            Err(FnError::Cause(cause)) => {
                self.fail_with(format!("error calling {}: ", function.name), Some(cause))
            }
        }
    }

    pub(super) fn arg(
        &mut self,
        run: &mut Run<'_>,
        dot: &Held,
        param: Param,
        expr: &'t Expr,
    ) -> Result<Held> {
        self.at = At::Expr(expr);
        match &expr.kind {
            ExprKind::Dot => self.validate(dot.clone(), param),
            ExprKind::Nil => match param.nil() {
                Some(value) => Ok(Held::plain(value)),
                None => self.fail(format!("cannot assign nil to {}", param.type_name())),
            },
            ExprKind::Field(fields) => {
                let held = self.fields(run, dot, dot.clone(), expr, fields, &[], None)?;
                self.validate(held, param)
            }
            ExprKind::Variable(name, fields) => {
                let held = self.variable(run, dot, expr, name, fields, &[], None)?;
                self.validate(held, param)
            }
            ExprKind::Pipe(pipe) => {
                let value = self.pipeline(run, dot, pipe)?;
                self.validate(Held::plain(value), param)
            }
            ExprKind::Call(function) => {
                let held = self.call(run, dot, function, At::Expr(expr), &[], None)?;
                self.validate(held, param)
            }
            ExprKind::Chain(inner, fields) => {
                let held = self.chain(run, dot, expr, inner, fields, &[], None)?;
                self.validate(held, param)
            }
            ExprKind::Bool(_) | ExprKind::Number(_) | ExprKind::Text(..) => {
                self.literal(param, expr).map(Held::plain)
            }
        }
    }

    fn literal(&self, param: Param, expr: &Expr) -> Result<Value> {
        let found = |kind: &str| self.fail(format!("expected {kind}; found {}", shown(expr)));
        match (param, &expr.kind) {
            (Param::Any | Param::Reflect | Param::Bool, ExprKind::Bool(b)) => Ok(Value::Bool(*b)),
            (Param::Any | Param::Reflect, ExprKind::Number(number)) => self.ideal(number),
            (Param::Any | Param::Reflect | Param::Str, ExprKind::Text(value, _)) => {
                Ok(value.clone())
            }
            (Param::Bool, _) => found("bool"),
            (Param::Str, _) => found("string"),
            (Param::Int, ExprKind::Number(number)) => match number.int {
                Some(n) => Ok(Value::Int(n, IntKind::Int)),
                None => found("integer"),
            },
            (Param::Duration, ExprKind::Number(number)) => match number.int {
                Some(n) => Ok(Value::Obj(Object::Duration(n))),
                None => found("integer"),
            },
            (Param::Int | Param::Duration, _) => found("integer"),
            (Param::Uint32, ExprKind::Number(number)) => match number.uint {
                Some(n) => Ok(Value::Uint(n & 0xffff_ffff, UintKind::Uint32)),
                None => found("unsigned integer"),
            },
            (Param::Uint32, _) => found("unsigned integer"),
            (Param::Float, ExprKind::Number(number)) => match number.float {
                Some(f) => Ok(Value::Float(f)),
                None => found("float"),
            },
            (Param::Float, _) => found("float"),
            _ => self.fail(format!(
                "can't handle {} for arg of type {}",
                shown(expr),
                param.type_name()
            )),
        }
    }

    fn validate(&self, held: Held, param: Param) -> Result<Held> {
        if held.value.is_nil() {
            if matches!(param, Param::Any | Param::Reflect) {
                return Ok(held);
            }
            if held.iface {
                return self.fail(format!(
                    "wrong type for value; expected {}; got interface {{}}",
                    param.type_name()
                ));
            }
            return match param.nil() {
                Some(value) => Ok(Held::plain(value)),
                None => self.fail(format!("invalid value; expected {}", param.type_name())),
            };
        }
        if param.accepts(&held.value) {
            return Ok(held);
        }
        self.fail(format!(
            "wrong type for value; expected {}; got {}",
            param.type_name(),
            held.value.type_name()
        ))
    }
}
