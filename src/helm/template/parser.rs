//! Tokens to trees: the grammar of `text/template/parse`, its errors included.

use std::collections::HashMap;
use std::sync::Arc;

use super::ast::{Branch, Command, Expr, ExprKind, Invoke, List, Node, Pipe, Pos, Source, Tree};
use super::lexer::{Kind, Lexer, Token};
use super::number;
use crate::helm::funcs;
use crate::helm::value::Value;

/// How deep parentheses and control blocks may nest in one text.
const MAX_NESTING: usize = 500;

/// Why a text is not a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("template: {file}:{line}: {message}")]
pub struct ParseError {
    /// The template's name.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong there.
    pub message: String,
}

type Result<T> = std::result::Result<T, ParseError>;

/// Parses a text: the trees of its `define`s in the order of their ends, and
/// the text's own tree last.
pub(crate) fn parse(name: &str, text: &Arc<str>) -> Result<Vec<Arc<Tree>>> {
    let source = Arc::new(Source {
        name: name.into(),
        text: text.clone(),
    });
    let mut parser = Parser {
        source: source.clone(),
        text,
        names: HashMap::new(),
        lexer: Lexer::new(text),
        token: [(); 3].map(|()| Token {
            kind: Kind::Eof,
            pos: 0,
            end: 0,
            error: None,
        }),
        peeked: 0,
        vars: vec!["$".into()],
        range_depth: 0,
        depth: 0,
        action: None,
        trees: Vec::new(),
    };
    if u32::try_from(text.len()).is_err() {
        return parser.error("template is larger than 4 GiB");
    }
    let root = parser.file()?;
    parser.add(name.into(), root)?;
    Ok(parser.trees)
}

struct Parser<'a> {
    source: Arc<Source>,
    text: &'a str,
    /// Fields and variables, of which a text has few different ones.
    names: HashMap<&'a str, Arc<str>>,
    lexer: Lexer<'a>,
    /// Up to three tokens of lookahead; the newest is first.
    token: [Token; 3],
    peeked: usize,
    vars: Vec<Arc<str>>,
    range_depth: usize,
    depth: usize,
    /// Where the action that is being read starts. Its line is counted only
    /// for an error, since that takes a walk through the text.
    action: Option<Pos>,
    trees: Vec<Arc<Tree>>,
}

/// What ended a list.
enum End {
    End,
    Else,
}

/// What an action turned out to be.
enum Item {
    Node(Node),
    End,
    Else,
}

impl<'a> Parser<'a> {
    fn next(&mut self) -> Token {
        if self.peeked > 0 {
            self.peeked -= 1;
        } else {
            self.token[0] = self.lexer.next();
        }
        self.current().clone()
    }

    fn current(&self) -> &Token {
        self.token.get(self.peeked).unwrap_or(&self.token[0])
    }

    fn backup(&mut self) {
        self.peeked += 1;
    }

    fn peek(&mut self) -> Token {
        let token = self.next();
        self.backup();
        token
    }

    fn next_solid(&mut self) -> Token {
        loop {
            let token = self.next();
            if token.kind != Kind::Space {
                return token;
            }
        }
    }

    fn peek_solid(&mut self) -> Token {
        let token = self.next_solid();
        self.backup();
        token
    }

    fn text(&self, token: &Token) -> &'a str {
        token.text(self.text)
    }

    fn name(&mut self, text: &'a str) -> Arc<str> {
        self.names
            .entry(text)
            .or_insert_with(|| text.into())
            .clone()
    }

    fn field(&mut self, text: &'a str) -> Arc<str> {
        self.name(text.strip_prefix('.').unwrap_or(text))
    }

    fn line(&self, pos: Pos) -> usize {
        self.source.line_column(pos).0
    }

    fn error<T>(&self, message: impl Into<String>) -> Result<T> {
        Err(ParseError {
            file: self.source.name.to_string(),
            line: self.line(self.token[0].pos),
            message: message.into(),
        })
    }

    fn unexpected<T>(&self, token: &Token, context: &str) -> Result<T> {
        if let Some(message) = &token.error {
            let mut extra = String::new();
            let started = self.action.map(|pos| self.line(pos));
            if let Some(started) = started.filter(|line| *line != self.line(token.pos)) {
                extra = format!(" in action started at {}:{started}", self.source.name);
                if message.ends_with(" action") {
                    extra = extra.replacen(" in action", "", 1);
                }
            }
            return self.error(format!("{message}{extra}"));
        }
        self.error(format!(
            "unexpected {} in {context}",
            token.shown(&self.source.text)
        ))
    }

    fn expect(&mut self, kind: Kind, context: &str) -> Result<Token> {
        let token = self.next_solid();
        if token.kind == kind {
            Ok(token)
        } else {
            self.unexpected(&token, context)
        }
    }

    fn deeper<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.depth += 1;
        if self.depth > MAX_NESTING {
            return self.error("max expression depth exceeded");
        }
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    /// Adds a tree. Of two with one name at most one may have a body.
    fn add(&mut self, name: Arc<str>, root: List) -> Result<()> {
        let tree = Tree {
            name,
            source: self.source.clone(),
            root,
        };
        match self.trees.iter().position(|t| t.name == tree.name) {
            None => self.trees.push(Arc::new(tree)),
            Some(at) if self.trees.get(at).is_some_and(|t| t.is_empty()) => {
                self.trees.remove(at);
                self.trees.push(Arc::new(tree));
            }
            Some(_) if tree.is_empty() => {}
            Some(_) => {
                let quoted = quote(&tree.name);
                return self.error(format!(
                    "template: multiple definition of template {quoted}"
                ));
            }
        }
        Ok(())
    }

    fn file(&mut self) -> Result<List> {
        let mut root = List::default();
        while self.peek().kind != Kind::Eof {
            if self.peek().kind == Kind::LeftDelim {
                let delim = self.next();
                if self.next_solid().kind == Kind::Define {
                    self.definition()?;
                    continue;
                }
                self.token[1] = delim;
                self.peeked = 2;
            }
            match self.text_or_action()? {
                Item::Node(node) => root.nodes.push(node),
                Item::End => return self.error("unexpected {{end}}"),
                Item::Else => return self.error("unexpected {{else}}"),
            }
        }
        Ok(root)
    }

    /// Parses with variables and range depth of its own.
    fn separate<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let vars = std::mem::replace(&mut self.vars, vec!["$".into()]);
        let range_depth = std::mem::take(&mut self.range_depth);
        let action = self.action.take();
        let parsed = parse(self)?;
        self.vars = vars;
        self.range_depth = range_depth;
        self.action = action;
        Ok(parsed)
    }

    fn definition(&mut self) -> Result<()> {
        const CONTEXT: &str = "define clause";
        self.separate(|p| {
            let token = p.next_solid();
            let name = p.template_name(&token, CONTEXT)?;
            p.expect(Kind::RightDelim, CONTEXT)?;
            let (body, end) = p.list()?;
            if matches!(end, End::Else) {
                return p.error(format!("unexpected {{{{else}}}} in {CONTEXT}"));
            }
            p.add(name.into(), body)
        })
    }

    fn list(&mut self) -> Result<(List, End)> {
        self.deeper(|p| {
            let mut list = List::default();
            while p.peek_solid().kind != Kind::Eof {
                match p.text_or_action()? {
                    Item::Node(node) => list.nodes.push(node),
                    Item::End => return Ok((list, End::End)),
                    Item::Else => return Ok((list, End::Else)),
                }
            }
            p.error("unexpected EOF")
        })
    }

    fn text_or_action(&mut self) -> Result<Item> {
        let token = self.next_solid();
        match token.kind {
            Kind::Text => Ok(Item::Node(Node::Text {
                start: token.pos,
                end: token.end,
            })),
            Kind::LeftDelim => {
                self.action = Some(token.pos);
                let item = self.action();
                if item.is_ok() {
                    self.action = None;
                }
                item
            }
            _ => self.unexpected(&token, "input"),
        }
    }

    fn action(&mut self) -> Result<Item> {
        let token = self.next_solid();
        let node = match token.kind {
            Kind::Block => self.block()?,
            Kind::Break => {
                self.jump("{{break}}")?;
                Node::Break
            }
            Kind::Continue => {
                self.jump("{{continue}}")?;
                Node::Continue
            }
            Kind::Else => {
                let next = self.peek_solid();
                if !matches!(next.kind, Kind::If | Kind::With) {
                    self.expect(Kind::RightDelim, "else")?;
                }
                return Ok(Item::Else);
            }
            Kind::End => {
                self.expect(Kind::RightDelim, "end")?;
                return Ok(Item::End);
            }
            Kind::If => Node::If(Box::new(self.control("if")?)),
            Kind::Range => Node::Range(Box::new(self.control("range")?)),
            Kind::With => Node::With(Box::new(self.control("with")?)),
            Kind::Template => self.template()?,
            _ => {
                self.backup();
                let pos = self.peek().pos;
                let pipe = self.pipeline("command", Kind::RightDelim)?;
                Node::Action { pos, pipe }
            }
        };
        Ok(Item::Node(node))
    }

    fn jump(&mut self, what: &str) -> Result<()> {
        let token = self.next_solid();
        if token.kind != Kind::RightDelim {
            return self.unexpected(&token, what);
        }
        if self.range_depth == 0 {
            return self.error(format!("{what} outside {{{{range}}}}"));
        }
        Ok(())
    }

    fn control(&mut self, context: &str) -> Result<Branch> {
        let scope = self.vars.len();
        let branch = self.deeper(|p| p.control_inner(context))?;
        self.vars.truncate(scope);
        Ok(branch)
    }

    fn control_inner(&mut self, context: &str) -> Result<Branch> {
        let pipe = self.pipeline(context, Kind::RightDelim)?;
        let is_range = usize::from(context == "range");
        self.range_depth += is_range;
        let (body, end) = self.list()?;
        self.range_depth -= is_range;
        let otherwise = match end {
            End::End => None,
            End::Else => Some(self.otherwise(context)?),
        };
        Ok(Branch {
            pipe,
            body,
            otherwise,
        })
    }

    fn otherwise(&mut self, context: &str) -> Result<List> {
        let next = self.peek().kind;
        let node = match (context, next) {
            ("if", Kind::If) => {
                self.next();
                Node::If(Box::new(self.control("if")?))
            }
            ("with", Kind::With) => {
                self.next();
                Node::With(Box::new(self.control("with")?))
            }
            _ => {
                let (list, end) = self.list()?;
                if matches!(end, End::Else) {
                    return self.error("expected end; found {{else}}");
                }
                return Ok(list);
            }
        };
        Ok(List { nodes: vec![node] })
    }

    fn template_name(&mut self, token: &Token, context: &str) -> Result<String> {
        if !matches!(token.kind, Kind::String | Kind::RawString) {
            return self.unexpected(token, context);
        }
        let name = self.unquote(token)?;
        Ok(String::from_utf8_lossy(&name).into_owned())
    }

    fn unquote(&self, token: &Token) -> Result<Vec<u8>> {
        match number::unquote(token.text(&self.source.text)) {
            Some(text) => Ok(text),
            None => self.error("invalid syntax"),
        }
    }

    fn block(&mut self) -> Result<Node> {
        const CONTEXT: &str = "block clause";
        let token = self.next_solid();
        let name = self.template_name(&token, CONTEXT)?;
        let pipe = self.pipeline(CONTEXT, Kind::RightDelim)?;
        let body_name: Arc<str> = name.as_str().into();
        self.separate(|p| {
            let (body, end) = p.list()?;
            if matches!(end, End::Else) {
                return p.error(format!("unexpected {{{{else}}}} in {CONTEXT}"));
            }
            p.add(body_name, body)
        })?;
        Ok(Node::Template(Box::new(Invoke {
            pos: token.pos,
            name,
            pipe: Some(pipe),
        })))
    }

    fn template(&mut self) -> Result<Node> {
        const CONTEXT: &str = "template clause";
        let token = self.next_solid();
        let name = self.template_name(&token, CONTEXT)?;
        let mut pipe = None;
        if self.next_solid().kind != Kind::RightDelim {
            self.backup();
            pipe = Some(self.pipeline(CONTEXT, Kind::RightDelim)?);
        }
        Ok(Node::Template(Box::new(Invoke {
            pos: token.pos,
            name,
            pipe,
        })))
    }

    fn pipeline(&mut self, context: &str, end: Kind) -> Result<Pipe> {
        let mut pipe = Pipe {
            pos: self.peek_solid().pos,
            assign: false,
            decl: Vec::new(),
            commands: Vec::new(),
        };
        while self.declaration(&mut pipe, context)? {}
        loop {
            let token = self.next_solid();
            match token.kind {
                kind if kind == end => {
                    self.check_pipeline(&pipe, context)?;
                    return Ok(pipe);
                }
                Kind::Bool
                | Kind::CharConstant
                | Kind::Complex
                | Kind::Dot
                | Kind::Field
                | Kind::Identifier
                | Kind::Number
                | Kind::Nil
                | Kind::RawString
                | Kind::String
                | Kind::Variable
                | Kind::LeftParen => {
                    self.backup();
                    let command = self.command()?;
                    pipe.commands.push(command);
                }
                _ => return self.unexpected(&token, context),
            }
        }
    }

    /// Reads one `$v :=` or `$v,`. Returns whether another may follow.
    fn declaration(&mut self, pipe: &mut Pipe, context: &str) -> Result<bool> {
        let variable = self.peek_solid();
        if variable.kind != Kind::Variable {
            return Ok(false);
        }
        self.next();
        let after = self.peek();
        let next = self.peek_solid();
        let name = self.name(self.text(&variable));
        match next.kind {
            Kind::Assign | Kind::Declare => {
                pipe.assign = next.kind == Kind::Assign;
                self.next_solid();
                pipe.decl.push(name.clone());
                self.vars.push(name);
                Ok(false)
            }
            Kind::Char if next.text(&self.source.text) == "," => {
                self.next_solid();
                pipe.decl.push(name.clone());
                self.vars.push(name);
                if context == "range" && pipe.decl.len() < 2 {
                    return match self.peek_solid().kind {
                        Kind::Variable | Kind::RightDelim | Kind::RightParen => Ok(true),
                        _ => self.error("range can only initialize variables"),
                    };
                }
                self.error(format!("too many declarations in {context}"))
            }
            _ if after.kind == Kind::Space => {
                self.token[1] = after;
                self.token[2] = variable;
                self.peeked = 3;
                Ok(false)
            }
            _ => {
                self.token[1] = variable;
                self.peeked = 2;
                Ok(false)
            }
        }
    }

    fn check_pipeline(&self, pipe: &Pipe, context: &str) -> Result<()> {
        if pipe.commands.is_empty() {
            return self.error(format!("missing value for {context}"));
        }
        for (i, command) in pipe.commands.iter().enumerate().skip(1) {
            let inert = command.args.first().is_some_and(|arg| {
                matches!(
                    arg.kind,
                    ExprKind::Bool(_)
                        | ExprKind::Dot
                        | ExprKind::Nil
                        | ExprKind::Number(_)
                        | ExprKind::Text(..)
                )
            });
            if inert {
                return self.error(format!(
                    "non executable command in pipeline stage {}",
                    i + 1
                ));
            }
        }
        Ok(())
    }

    fn command(&mut self) -> Result<Command> {
        let mut command = Command { args: Vec::new() };
        loop {
            self.peek_solid();
            if let Some(operand) = self.operand()? {
                command.args.push(operand);
            }
            let token = self.next();
            match token.kind {
                Kind::Space => continue,
                Kind::RightDelim | Kind::RightParen => self.backup(),
                Kind::Bar => {}
                _ => return self.unexpected(&token, "operand"),
            }
            break;
        }
        if command.args.is_empty() {
            return self.error("empty command");
        }
        Ok(command)
    }

    fn operand(&mut self) -> Result<Option<Expr>> {
        let Some(node) = self.term()? else {
            return Ok(None);
        };
        let first = self.peek();
        if first.kind != Kind::Field {
            return Ok(Some(node));
        }
        let mut fields = Vec::new();
        while self.peek().kind == Kind::Field {
            let token = self.next();
            fields.push(self.field(self.text(&token)));
        }
        let kind = match node.kind {
            ExprKind::Field(mut own) => {
                own.extend(fields);
                ExprKind::Field(own)
            }
            ExprKind::Variable(name, mut own) => {
                own.extend(fields);
                ExprKind::Variable(name, own)
            }
            ExprKind::Bool(_)
            | ExprKind::Text(..)
            | ExprKind::Number(_)
            | ExprKind::Nil
            | ExprKind::Dot => {
                return self.error(format!(
                    "unexpected . after term {}",
                    quote(&node.to_string())
                ));
            }
            kind => {
                let inner = Expr {
                    pos: node.pos,
                    kind,
                };
                ExprKind::Chain(Box::new(inner), fields)
            }
        };
        Ok(Some(Expr {
            pos: first.pos,
            kind,
        }))
    }

    fn term(&mut self) -> Result<Option<Expr>> {
        let token = self.next_solid();
        let text = self.text(&token);
        let kind = match token.kind {
            Kind::Identifier => match funcs::find(text) {
                Some(function) => ExprKind::Call(function),
                None => return self.error(format!("function {} not defined", quote(text))),
            },
            Kind::Dot => ExprKind::Dot,
            Kind::Nil => ExprKind::Nil,
            Kind::Variable => match self.vars.iter().find(|v| ***v == *text) {
                Some(name) => ExprKind::Variable(name.clone(), Vec::new()),
                None => return self.error(format!("undefined variable {}", quote(text))),
            },
            Kind::Field => ExprKind::Field(vec![self.field(text)]),
            Kind::Bool => ExprKind::Bool(text == "true"),
            Kind::CharConstant | Kind::Complex | Kind::Number => match number::number(text) {
                Ok(number) => ExprKind::Number(Box::new(number)),
                Err(message) => return self.error(message),
            },
            Kind::LeftParen => {
                let pipe =
                    self.deeper(|p| p.pipeline("parenthesized pipeline", Kind::RightParen))?;
                let pos = pipe.pos;
                return Ok(Some(Expr {
                    pos,
                    kind: ExprKind::Pipe(Box::new(pipe)),
                }));
            }
            Kind::String | Kind::RawString => {
                ExprKind::Text(Value::from(self.unquote(&token)?), text.into())
            }
            _ => {
                self.backup();
                return Ok(None);
            }
        };
        Ok(Some(Expr {
            pos: token.pos,
            kind,
        }))
    }
}

fn quote(text: &str) -> String {
    String::from_utf8_lossy(&crate::helm::gofmt::quote(text.as_bytes())).into_owned()
}
