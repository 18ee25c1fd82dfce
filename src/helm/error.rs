//! What goes wrong in a template, in Helm's words.

use std::fmt;

use super::template::ParseError;

/// A place in a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The template file, or `gotpl` inside `tpl`.
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// Counted from 0, in bytes.
    pub column: usize,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// A failed evaluation: where, doing what, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecError {
    /// Where; `None` only before the first node.
    pub at: Option<Location>,
    /// The template that was running: a file or a `define`.
    pub template: String,
    /// The expression, as written.
    pub expression: String,
    /// Why; without the text of `cause`.
    pub message: String,
    /// The error inside the template or function that was called.
    pub cause: Option<Box<Cause>>,
}

/// What a function call failed of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// An error in an included template.
    Exec(ExecError),
    /// A template of that name does not exist.
    NoTemplate(String),
    /// Any other text.
    Text(String),
    /// `fail` or `required` spoke.
    Raised(String),
    /// `tpl` failed: the text around, and the error inside.
    Tpl(String, Box<Self>),
}

/// Why a set of templates cannot be rendered. The text is helm's.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TemplateError {
    /// A template is malformed.
    Parse(ParseError),
    /// A template failed.
    Exec(Box<ExecError>),
    /// A bound was hit: output, steps or memory.
    Limit(String),
    /// The engine could not start.
    Engine(String),
}

impl std::error::Error for TemplateError {}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Only the last part of the message is kept, as in helm.
            Self::Parse(error) => {
                let reason = error.message.rsplit(": ").next().unwrap_or("");
                write!(
                    f,
                    "parse error at ({}:{}): {reason}",
                    error.file, error.line
                )
            }
            Self::Exec(error) => f.write_str(&error.helm_text()),
            Self::Limit(text) | Self::Engine(text) => f.write_str(text),
        }
    }
}

impl TemplateError {
    /// Where the template failed, if that is known.
    pub fn location(&self) -> Option<Location> {
        match self {
            Self::Parse(error) => Some(Location {
                file: error.file.clone(),
                line: error.line,
                column: 0,
            }),
            Self::Exec(error) => error.innermost().at.clone(),
            Self::Limit(_) | Self::Engine(_) => None,
        }
    }
}

impl Cause {
    /// The text that Go prints.
    pub fn text(&self) -> String {
        match self {
            Self::Exec(error) => error.go_text(),
            Self::NoTemplate(text) | Self::Text(text) => text.clone(),
            Self::Raised(text) => format!("HELM_ERR_START{text}HELM_ERR_END"),
            Self::Tpl(prefix, inner) => format!("{prefix}{}", inner.text()),
        }
    }

    fn raised(&self) -> Option<&str> {
        match self {
            Self::Raised(text) => Some(text),
            Self::Exec(error) => error.cause.as_ref().and_then(|c| c.raised()),
            Self::Tpl(_, inner) => inner.raised(),
            Self::NoTemplate(_) | Self::Text(_) => None,
        }
    }

    /// Whether the whole chain is of errors that helm can take apart.
    fn traceable(&self) -> bool {
        match self {
            Self::Exec(error) => error.cause.as_ref().is_none_or(|c| c.traceable()),
            Self::NoTemplate(_) => true,
            Self::Text(_) | Self::Raised(_) | Self::Tpl(..) => false,
        }
    }
}

impl ExecError {
    /// The text of `text/template`.
    pub fn go_text(&self) -> String {
        let cause = self.cause.as_ref().map(|c| c.text()).unwrap_or_default();
        match &self.at {
            Some(at) => {
                let name = super::gofmt::quote(self.template.as_bytes());
                format!(
                    "template: {at}: executing {} at <{}>: {}{cause}",
                    String::from_utf8_lossy(&name),
                    self.expression,
                    self.message,
                )
            }
            None => format!("template: {}: {}{cause}", self.template, self.message),
        }
    }

    /// The text of helm 4: a trace, or Go's text when the chain ends in an
    /// error that is not a template's.
    pub fn helm_text(&self) -> String {
        let place = match &self.at {
            Some(at) => at.to_string(),
            None => self.template.clone(),
        };
        if let Some(raised) = self.cause.as_ref().and_then(|c| c.raised()) {
            return format!("execution error at ({place}): {raised}");
        }
        if self.cause.as_ref().is_some_and(|c| !c.traceable()) {
            return self.go_text();
        }
        let mut out = String::new();
        let mut current = Some(self);
        while let Some(error) = current {
            match &error.at {
                Some(at) => {
                    out.push_str(&format!(
                        "{at}\n  executing \"{}\" at <{}>:\n    {}\n",
                        error.template,
                        error.expression,
                        error.message.trim_end_matches(' ')
                    ));
                }
                None => out.push_str(&format!("{}\n  {}\n", error.template, error.message)),
            }
            current = match error.cause.as_deref() {
                Some(Cause::Exec(inner)) => Some(inner),
                Some(Cause::NoTemplate(text)) => {
                    out.push_str(text);
                    out.push('\n');
                    None
                }
                _ => None,
            };
        }
        out.trim().to_owned()
    }

    /// The error at the end of the chain of includes.
    pub fn innermost(&self) -> &Self {
        let mut current = self;
        loop {
            let mut cause = current.cause.as_deref();
            while let Some(Cause::Tpl(_, inner)) = cause {
                cause = Some(inner);
            }
            match cause {
                Some(Cause::Exec(inner)) => current = inner,
                _ => return current,
            }
        }
    }
}
