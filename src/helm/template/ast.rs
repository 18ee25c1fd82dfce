//! The parsed template, with the text form that error messages quote.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use crate::helm::funcs::Function;
use crate::helm::value::Value;

/// A byte offset in the source.
pub(crate) type Pos = u32;

/// A template: a file, a `define`, or a text given to `tpl`.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) name: Arc<str>,
    pub(crate) source: Arc<Source>,
    pub(crate) root: List,
}

/// The file that a tree was parsed from.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) name: Arc<str>,
    pub(crate) text: Arc<str>,
}

impl Source {
    /// Line, counted from 1, and byte column, counted from 0.
    pub(crate) fn line_column(&self, pos: Pos) -> (usize, usize) {
        let pos = (pos as usize).min(self.text.len());
        let before = self.text.as_bytes().get(..pos).unwrap_or(&[]);
        let line = 1 + before.iter().filter(|c| **c == b'\n').count();
        let start = before
            .iter()
            .rposition(|c| *c == b'\n')
            .map_or(0, |newline| newline + 1);
        (line, pos - start)
    }
}

impl Tree {
    /// Whether the body is blank, so that it never replaces another.
    pub(crate) fn is_empty(&self) -> bool {
        self.root.nodes.iter().all(|node| match node {
            Node::Text { start, end } => self
                .source
                .text
                .get(*start as usize..*end as usize)
                .is_none_or(|text| text.trim().is_empty()),
            _ => false,
        })
    }
}

#[derive(Debug, Default)]
pub(crate) struct List {
    pub(crate) nodes: Vec<Node>,
}

#[derive(Debug)]
pub(crate) enum Node {
    Text { start: Pos, end: Pos },
    Action { pos: Pos, pipe: Pipe },
    If(Box<Branch>),
    With(Box<Branch>),
    Range(Box<Branch>),
    Template(Box<Invoke>),
    Break,
    Continue,
}

/// An `if`, `with` or `range`.
#[derive(Debug)]
pub(crate) struct Branch {
    pub(crate) pipe: Pipe,
    pub(crate) body: List,
    pub(crate) otherwise: Option<List>,
}

/// A `template` action.
#[derive(Debug)]
pub(crate) struct Invoke {
    pub(crate) pos: Pos,
    pub(crate) name: String,
    pub(crate) pipe: Option<Pipe>,
}

#[derive(Debug)]
pub(crate) struct Pipe {
    pub(crate) pos: Pos,
    pub(crate) assign: bool,
    pub(crate) decl: Vec<Arc<str>>,
    pub(crate) commands: Vec<Command>,
}

#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) args: Vec<Expr>,
}

/// An operand, with where it stands.
#[derive(Debug)]
pub(crate) struct Expr {
    pub(crate) pos: Pos,
    pub(crate) kind: ExprKind,
}

#[derive(Debug)]
pub(crate) enum ExprKind {
    Call(&'static Function),
    Field(Vec<Arc<str>>),
    /// The variable and the fields after it.
    Variable(Arc<str>, Vec<Arc<str>>),
    Chain(Box<Expr>, Vec<Arc<str>>),
    Pipe(Box<Pipe>),
    Dot,
    Nil,
    Bool(bool),
    Number(Box<Number>),
    /// The value and the text it was written as.
    Text(Value, Arc<str>),
}

/// A number literal: all the types it can be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Number {
    pub(crate) text: Arc<str>,
    pub(crate) int: Option<i64>,
    pub(crate) uint: Option<u64>,
    pub(crate) float: Option<f64>,
    pub(crate) complex: Option<(f64, f64)>,
}

impl fmt::Display for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, name) in self.decl.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            f.write_str(name)?;
        }
        if !self.decl.is_empty() {
            f.write_str(if self.assign { " = " } else { " := " })?;
        }
        for (i, command) in self.commands.iter().enumerate() {
            if i > 0 {
                f.write_str(" | ")?;
            }
            write!(f, "{command}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, arg) in self.args.iter().enumerate() {
            if i > 0 {
                f.write_char(' ')?;
            }
            write!(f, "{arg}")?;
        }
        Ok(())
    }
}

fn dotted(f: &mut fmt::Formatter<'_>, fields: &[Arc<str>]) -> fmt::Result {
    fields.iter().try_for_each(|field| write!(f, ".{field}"))
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ExprKind::Call(function) => f.write_str(function.name),
            ExprKind::Field(fields) => dotted(f, fields),
            ExprKind::Variable(name, fields) => {
                f.write_str(name)?;
                dotted(f, fields)
            }
            ExprKind::Chain(inner, fields) => {
                write!(f, "{inner}")?;
                dotted(f, fields)
            }
            ExprKind::Pipe(pipe) => write!(f, "({pipe})"),
            ExprKind::Dot => f.write_char('.'),
            ExprKind::Nil => f.write_str("nil"),
            ExprKind::Bool(b) => write!(f, "{b}"),
            ExprKind::Number(number) => f.write_str(&number.text),
            ExprKind::Text(_, quoted) => f.write_str(quoted),
        }
    }
}

impl fmt::Display for Invoke {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = crate::helm::gofmt::quote(self.name.as_bytes());
        write!(f, "{{{{template {}", String::from_utf8_lossy(&name))?;
        if let Some(pipe) = &self.pipe {
            write!(f, " {pipe}")?;
        }
        f.write_str("}}")
    }
}
