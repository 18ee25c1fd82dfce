//! The evaluator: walks a tree with a dot, variables and an output.

mod call;

use std::collections::HashMap;
use std::sync::Arc;

use super::ast::{Branch, Command, Expr, ExprKind, Invoke, List, Node, Number, Pipe, Pos, Tree};
use super::field::{self, Member};
use crate::helm::engine::Run;
use crate::helm::error::{Cause, ExecError, Location};
use crate::helm::funcs::Param;
use crate::helm::gofmt;
use crate::helm::object::Object;
use crate::helm::value::{ListType, MapType, UintKind, Value};

/// The definitions that a template can see: its own on top of its parent's.
pub(crate) struct Scope<'p> {
    pub(crate) parent: Option<&'p Self>,
    pub(crate) own: HashMap<Arc<str>, Arc<Tree>>,
}

impl Scope<'_> {
    pub(crate) fn lookup(&self, name: &str) -> Option<Arc<Tree>> {
        let mut scope = Some(self);
        while let Some(current) = scope {
            if let Some(tree) = current.own.get(name) {
                return Some(tree.clone());
            }
            scope = current.parent;
        }
        None
    }
}

/// A value, and whether its static type is `interface {}`: what was read from
/// a map or list is, what a pipeline returned is not. Only errors show it.
#[derive(Clone, Default)]
pub(crate) struct Held {
    pub(crate) value: Value,
    pub(crate) iface: bool,
}

impl Held {
    pub(crate) fn plain(value: Value) -> Self {
        Self {
            value,
            iface: false,
        }
    }

    pub(crate) fn iface(value: Value) -> Self {
        Self { value, iface: true }
    }

    fn type_name(&self) -> &'static str {
        if self.iface {
            "interface {}"
        } else {
            self.value.type_name()
        }
    }
}

/// Why a walk ended early.
pub(crate) enum Fault {
    /// The template failed.
    Exec(Box<ExecError>),
    /// A bound was hit; nothing in the template can catch it.
    Limit(String),
}

/// How a list was left.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Next,
    Break,
    Continue,
}

type Result<T> = std::result::Result<T, Box<Fault>>;

/// What the evaluator looks at, for error messages.
#[derive(Clone, Copy)]
enum At<'t> {
    Nothing,
    Expr(&'t Expr),
    Pipe(&'t Pipe),
    Command(&'t Command),
    Invoke(&'t Invoke),
}

/// One execution of one template.
struct Frame<'t, 's, 'o> {
    tree: &'t Tree,
    scope: &'s Scope<'s>,
    vars: Vec<(Arc<str>, Held)>,
    at: At<'t>,
    out: &'o mut Vec<u8>,
    /// Whether `out` is the file's output, whose lines are tracked.
    top: bool,
    depth: usize,
}

/// Templates invoked by `template` may nest this deep.
const MAX_TEMPLATE_DEPTH: usize = 100_000;

/// Executes a tree.
pub(crate) fn execute(
    run: &mut Run<'_>,
    scope: &Scope<'_>,
    tree: &Tree,
    data: Value,
    out: &mut Vec<u8>,
    top: bool,
) -> Result<()> {
    let dot = Held::plain(data);
    let mut frame = Frame {
        tree,
        scope,
        vars: vec![("$".into(), dot.clone())],
        at: At::Nothing,
        out,
        top,
        depth: 0,
    };
    frame.list(run, &dot, &tree.root)?;
    Ok(())
}

impl<'t> Frame<'t, '_, '_> {
    fn fail<T>(&self, message: impl Into<String>) -> Result<T> {
        self.fail_with(message.into(), None)
    }

    fn fail_with<T>(&self, message: String, cause: Option<Cause>) -> Result<T> {
        let (pos, expression) = match self.at {
            At::Nothing => (0, String::new()),
            At::Expr(expr) => (expr.pos, shown(expr)),
            At::Pipe(pipe) => (pipe.pos, pipe.to_string()),
            At::Command(command) => (
                command.args.first().map_or(0, |arg| arg.pos),
                command.to_string(),
            ),
            At::Invoke(invoke) => (invoke.pos, invoke.to_string()),
        };
        let (line, column) = self.tree.source.line_column(pos);
        Err(Box::new(Fault::Exec(Box::new(ExecError {
            at: Some(Location {
                file: self.tree.source.name.to_string(),
                line,
                column,
            }),
            template: self.tree.name.to_string(),
            expression,
            message,
            cause: cause.map(Box::new),
        }))))
    }

    fn list(&mut self, run: &mut Run<'_>, dot: &Held, list: &'t List) -> Result<Flow> {
        for node in &list.nodes {
            let flow = self.node(run, dot, node)?;
            if flow != Flow::Next {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }

    fn node(&mut self, run: &mut Run<'_>, dot: &Held, node: &'t Node) -> Result<Flow> {
        run.step()?;
        match node {
            Node::Text { start, end } => {
                let text = self.tree.source.text.as_bytes();
                if let Some(text) = text.get(*start as usize..*end as usize) {
                    self.mark(run, *start);
                    self.out.extend_from_slice(text);
                    run.check_output(self.out.len())?;
                }
            }
            Node::Action { pos, pipe } => {
                let value = self.pipeline(run, dot, pipe)?;
                if pipe.decl.is_empty() {
                    self.mark(run, *pos);
                    self.print(&value);
                    run.check_output(self.out.len())?;
                }
            }
            Node::If(branch) => return self.if_or_with(run, dot, branch, false),
            Node::With(branch) => return self.if_or_with(run, dot, branch, true),
            Node::Range(branch) => return self.range(run, dot, branch),
            Node::Template(invoke) => self.template(run, dot, invoke)?,
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::Next)
    }

    fn mark(&self, run: &mut Run<'_>, pos: Pos) {
        if self.top {
            run.mark(self.out.len(), &self.tree.source, pos);
        }
    }

    fn print(&mut self, value: &Value) {
        match value {
            Value::Nil => self.out.extend_from_slice(b"<no value>"),
            // The text of an addressable struct is that of its String method.
            Value::Obj(Object::KubeVersion(version)) => {
                self.out.extend_from_slice(version.version.as_bytes());
            }
            value => gofmt::write_value(self.out, value),
        }
    }

    fn if_or_with(
        &mut self,
        run: &mut Run<'_>,
        dot: &Held,
        branch: &'t Branch,
        with: bool,
    ) -> Result<Flow> {
        let mark = self.vars.len();
        let value = self.pipeline(run, dot, &branch.pipe)?;
        let flow = if value.truth() {
            if with {
                self.list(run, &Held::plain(value), &branch.body)?
            } else {
                self.list(run, dot, &branch.body)?
            }
        } else if let Some(otherwise) = &branch.otherwise {
            self.list(run, dot, otherwise)?
        } else {
            Flow::Next
        };
        self.vars.truncate(mark);
        Ok(flow)
    }

    fn range(&mut self, run: &mut Run<'_>, dot: &Held, branch: &'t Branch) -> Result<Flow> {
        let outer = self.vars.len();
        let value = self.pipeline(run, dot, &branch.pipe)?;
        let mark = self.vars.len();
        let mut ran = false;
        let iface_int = |i: usize| Held::plain(Value::int(i64::try_from(i).unwrap_or(i64::MAX)));
        match &value {
            Value::Nil => {}
            Value::Int(n, kind) => {
                self.one_variable(branch, &value)?;
                for i in 0..*n {
                    ran = true;
                    let item = Held::plain(Value::Int(i, *kind));
                    if self.iterate(run, branch, mark, Held::default(), item)? == Flow::Break {
                        break;
                    }
                }
            }
            Value::Uint(n, kind) => {
                self.one_variable(branch, &value)?;
                for i in 0..*n {
                    ran = true;
                    let item = Held::plain(Value::Uint(i, *kind));
                    if self.iterate(run, branch, mark, Held::default(), item)? == Flow::Break {
                        break;
                    }
                }
            }
            Value::Obj(Object::Duration(n)) => {
                self.one_variable(branch, &value)?;
                for i in 0..*n {
                    ran = true;
                    let item = Held::plain(Value::Obj(Object::Duration(i)));
                    if self.iterate(run, branch, mark, Held::default(), item)? == Flow::Break {
                        break;
                    }
                }
            }
            Value::List(list) => {
                let iface = list.ty() == ListType::Any;
                for (i, item) in list.items().iter().enumerate() {
                    ran = true;
                    let item = Held {
                        value: item.clone(),
                        iface,
                    };
                    if self.iterate(run, branch, mark, iface_int(i), item)? == Flow::Break {
                        break;
                    }
                }
            }
            Value::Bytes(bytes) => {
                for (i, byte) in bytes.iter().enumerate() {
                    ran = true;
                    let item = Held::plain(Value::Uint(u64::from(*byte), UintKind::Uint8));
                    if self.iterate(run, branch, mark, iface_int(i), item)? == Flow::Break {
                        break;
                    }
                }
            }
            Value::Map(map) => {
                let iface = matches!(map.ty(), MapType::Any | MapType::Values);
                for (key, item) in map.entries() {
                    ran = true;
                    let item = Held { value: item, iface };
                    let key = Held::plain(Value::Str(key));
                    if self.iterate(run, branch, mark, key, item)? == Flow::Break {
                        break;
                    }
                }
            }
            other => {
                let shown = gofmt::sprint_value(other);
                return self.fail(format!(
                    "range can't iterate over {}",
                    String::from_utf8_lossy(&shown)
                ));
            }
        }
        let mut flow = Flow::Next;
        if !ran && let Some(otherwise) = &branch.otherwise {
            flow = self.list(run, dot, otherwise)?;
        }
        self.vars.truncate(outer);
        Ok(flow)
    }

    fn one_variable(&self, branch: &Branch, value: &Value) -> Result<()> {
        if branch.pipe.decl.len() > 1 {
            let shown = gofmt::sprint_value(value);
            return self.fail(format!(
                "can't use {} to iterate over more than one variable",
                String::from_utf8_lossy(&shown)
            ));
        }
        Ok(())
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "the loop hands the values over; copies would hide whose they are"
    )]
    fn iterate(
        &mut self,
        run: &mut Run<'_>,
        branch: &'t Branch,
        mark: usize,
        index: Held,
        item: Held,
    ) -> Result<Flow> {
        run.step()?;
        let pipe = &branch.pipe;
        match (pipe.decl.as_slice(), pipe.assign) {
            ([], _) => {}
            ([only], true) => self.assign(only, item.clone())?,
            ([first, second, ..], true) => {
                self.assign(first, index)?;
                self.assign(second, item.clone())?;
            }
            ([_], false) => self.set_top(mark, 1, item.clone()),
            ([_, _, ..], false) => {
                self.set_top(mark, 1, item.clone());
                self.set_top(mark, 2, index);
            }
        }
        let flow = self.list(run, &item, &branch.body)?;
        self.vars.truncate(mark);
        Ok(flow)
    }

    /// Sets the n-th variable from the top of the range's own.
    fn set_top(&mut self, mark: usize, n: usize, held: Held) {
        if let Some((_, slot)) = mark.checked_sub(n).and_then(|i| self.vars.get_mut(i)) {
            *slot = held;
        }
    }

    fn assign(&mut self, name: &str, held: Held) -> Result<()> {
        match self.vars.iter_mut().rev().find(|(n, _)| **n == *name) {
            Some((_, slot)) => {
                *slot = held;
                Ok(())
            }
            None => self.fail(format!("undefined variable: {name}")),
        }
    }

    fn template(&mut self, run: &mut Run<'_>, dot: &Held, invoke: &'t Invoke) -> Result<()> {
        self.at = At::Invoke(invoke);
        let Some(tree) = self.scope.lookup(&invoke.name) else {
            let name = gofmt::quote(invoke.name.as_bytes());
            return self.fail(format!(
                "template {} not defined",
                String::from_utf8_lossy(&name)
            ));
        };
        if self.depth >= MAX_TEMPLATE_DEPTH || !run.stack.has_room() {
            return self.fail(format!(
                "exceeded maximum template depth ({MAX_TEMPLATE_DEPTH})"
            ));
        }
        let value = match &invoke.pipe {
            Some(pipe) => self.pipeline(run, dot, pipe)?,
            None => Value::Nil,
        };
        let dot = Held::plain(value);
        let mut frame = Frame {
            tree: &tree,
            scope: self.scope,
            vars: vec![("$".into(), dot.clone())],
            at: At::Nothing,
            out: self.out,
            top: self.top,
            depth: self.depth + 1,
        };
        frame.list(run, &dot, &tree.root)?;
        Ok(())
    }

    fn pipeline(&mut self, run: &mut Run<'_>, dot: &Held, pipe: &'t Pipe) -> Result<Value> {
        self.at = At::Pipe(pipe);
        if !run.stack.has_room() {
            return self.fail("exceeded maximum evaluation depth");
        }
        let mut value: Option<Value> = None;
        for command in &pipe.commands {
            value = Some(self.command(run, dot, command, value.take())?.value);
        }
        let value = value.unwrap_or_default();
        for name in &pipe.decl {
            let held = Held::plain(value.clone());
            if pipe.assign {
                self.assign(name, held)?;
            } else {
                self.vars.push((name.clone(), held));
            }
        }
        Ok(value)
    }

    fn command(
        &mut self,
        run: &mut Run<'_>,
        dot: &Held,
        command: &'t Command,
        last: Option<Value>,
    ) -> Result<Held> {
        let Some((first, args)) = command.args.split_first() else {
            return self.fail("empty command");
        };
        let bare = args.is_empty() && last.is_none();
        match &first.kind {
            ExprKind::Field(fields) => {
                self.at = At::Expr(first);
                self.fields(run, dot, dot.clone(), first, fields, args, last)
            }
            ExprKind::Chain(inner, fields) => {
                self.chain(run, dot, first, inner, fields, args, last)
            }
            ExprKind::Call(function) => {
                self.at = At::Expr(first);
                self.call(run, dot, function, At::Command(command), args, last)
            }
            ExprKind::Pipe(pipe) => {
                self.not_a_function(first, bare)?;
                self.pipeline(run, dot, pipe).map(Held::plain)
            }
            ExprKind::Variable(name, fields) => {
                self.variable(run, dot, first, name, fields, args, last)
            }
            kind => {
                self.at = At::Expr(first);
                self.not_a_function(first, bare)?;
                match kind {
                    ExprKind::Bool(b) => Ok(Held::plain(Value::Bool(*b))),
                    ExprKind::Dot => Ok(dot.clone()),
                    ExprKind::Number(number) => self.ideal(number).map(Held::plain),
                    ExprKind::Text(value, _) => Ok(Held::plain(value.clone())),
                    _ => self.fail("nil is not a command"),
                }
            }
        }
    }

    fn not_a_function(&self, first: &Expr, bare: bool) -> Result<()> {
        if bare {
            return Ok(());
        }
        self.fail(format!(
            "can't give argument to non-function {}",
            shown(first)
        ))
    }

    /// A literal without an expected type.
    fn ideal(&self, number: &Number) -> Result<Value> {
        let text = &number.text;
        if let Some((re, im)) = number.complex {
            return Ok(Value::Complex(re, im));
        }
        let hex = text.len() > 2
            && (text.starts_with("0x") || text.starts_with("0X"))
            && !text.contains(['p', 'P']);
        if let Some(f) = number.float
            && !hex
            && !text.starts_with('\'')
            && text.contains(['.', 'e', 'E', 'p', 'P'])
        {
            return Ok(Value::Float(f));
        }
        match number.int {
            Some(n) => Ok(Value::int(n)),
            None => self.fail(format!("{text} overflows int")),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "a call in all its parts")]
    fn variable(
        &mut self,
        run: &mut Run<'_>,
        dot: &Held,
        expr: &'t Expr,
        name: &str,
        fields: &'t [Arc<str>],
        args: &'t [Expr],
        last: Option<Value>,
    ) -> Result<Held> {
        self.at = At::Expr(expr);
        let held = self.vars.iter().rev().find(|(n, _)| **n == *name);
        let Some((_, held)) = held else {
            return self.fail(format!("undefined variable: {name}"));
        };
        let held = held.clone();
        if fields.is_empty() {
            self.not_a_function(expr, args.is_empty() && last.is_none())?;
            return Ok(held);
        }
        self.fields(run, dot, held, expr, fields, args, last)
    }

    #[expect(clippy::too_many_arguments, reason = "a call in all its parts")]
    fn chain(
        &mut self,
        run: &mut Run<'_>,
        dot: &Held,
        expr: &'t Expr,
        inner: &'t Expr,
        fields: &'t [Arc<str>],
        args: &'t [Expr],
        last: Option<Value>,
    ) -> Result<Held> {
        self.at = At::Expr(expr);
        if matches!(inner.kind, ExprKind::Nil) {
            return self.fail(format!("indirection through explicit nil in {expr}"));
        }
        let receiver = self.arg(run, dot, Param::Any, inner)?;
        self.fields(run, dot, receiver, expr, fields, args, last)
    }

    /// Walks the fields; the last one may be a method that takes arguments.
    #[expect(clippy::too_many_arguments, reason = "a call in all its parts")]
    fn fields(
        &mut self,
        run: &mut Run<'_>,
        dot: &Held,
        mut receiver: Held,
        expr: &'t Expr,
        fields: &'t [Arc<str>],
        args: &'t [Expr],
        mut last: Option<Value>,
    ) -> Result<Held> {
        let count = fields.len();
        for (i, name) in fields.iter().enumerate() {
            let is_last = i + 1 == count;
            let (args, last) = if is_last {
                (args, last.take())
            } else {
                (&[] as &[Expr], None)
            };
            receiver = self.one_field(run, dot, &receiver, expr, name, args, last)?;
        }
        Ok(receiver)
    }

    #[expect(clippy::too_many_arguments, reason = "a call in all its parts")]
    fn one_field(
        &mut self,
        run: &mut Run<'_>,
        dot: &Held,
        receiver: &Held,
        expr: &'t Expr,
        name: &str,
        args: &'t [Expr],
        last: Option<Value>,
    ) -> Result<Held> {
        if receiver.value.is_nil() {
            if receiver.iface {
                return self.fail(format!("nil pointer evaluating interface {{}}.{name}"));
            }
            if run.strict() {
                let name = gofmt::quote(name.as_bytes());
                return self.fail(format!(
                    "nil data; no entry for key {}",
                    String::from_utf8_lossy(&name)
                ));
            }
            return Ok(Held::default());
        }
        let has_args = !args.is_empty() || last.is_some();
        match field::find(&receiver.value, name) {
            Member::Method(method) => {
                let receiver = receiver.value.clone();
                let mut values = vec![receiver];
                self.arguments(run, dot, method, args, last, &mut values)?;
                self.at = At::Expr(expr);
                self.invoke(run, method, values).map(Held::iface)
            }
            Member::Field(_) if has_args => self.fail(format!(
                "{name} has arguments but cannot be invoked as function"
            )),
            Member::Field(value) => Ok(Held::plain(value)),
            Member::Entry(_) | Member::Absent(_) if has_args => {
                self.fail(format!("{name} is not a method but has arguments"))
            }
            Member::Entry(held) => Ok(held),
            Member::Absent(_) if run.strict() => {
                let name = gofmt::quote(name.as_bytes());
                self.fail(format!(
                    "map has no entry for key {}",
                    String::from_utf8_lossy(&name)
                ))
            }
            Member::Absent(zero) => Ok(zero),
            Member::None => self.fail(format!(
                "can't evaluate field {name} in type {}",
                receiver.type_name()
            )),
        }
    }
}

/// An expression as error messages quote it.
fn shown(expr: &Expr) -> String {
    match &expr.kind {
        // A pipe that is an argument is quoted without its parentheses.
        ExprKind::Pipe(pipe) => pipe.to_string(),
        _ => expr.to_string(),
    }
}
