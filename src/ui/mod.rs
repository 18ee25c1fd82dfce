//! The only printer. stdout is data, stderr is progress and prose; everything
//! passes the redactor, so that a secret that slipped into a message stays
//! inside.

mod plan_text;
mod reporter;
mod style;
mod table;

pub use plan_text::plan_text;
pub use reporter::Reporter;
pub use style::{Paint, Style};
pub use table::{paragraph, table};

use std::borrow::Cow;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::sync::{Arc, PoisonError, RwLock};

use serde::Serialize;

use crate::secret::{Redactor, Secret};

/// The form of what goes to stdout.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON document, or JSON lines where it streams.
    Json,
    /// One YAML document.
    Yaml,
}

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// A live line for each running step.
    Live,
    /// One line an event.
    Plain,
    /// JSON lines on stdout.
    Json,
    /// Not at all.
    Off,
}

/// How to print.
#[derive(Debug, Clone, Copy)]
pub struct UiOptions {
    /// The form of what goes to stdout.
    pub format: Format,
    /// How progress is shown.
    pub progress: Progress,
    /// Whether stdout may be coloured.
    pub color_stdout: bool,
    /// Whether stderr may be coloured.
    pub color_stderr: bool,
    /// Whether prose that is no warning is left out.
    pub quiet: bool,
    /// Whether the answer to every question is yes.
    pub yes: bool,
}

/// The terminal, or what stands in its place.
#[derive(Debug, Clone)]
pub struct Ui {
    options: UiOptions,
    redactor: Arc<RwLock<Redactor>>,
}

/// What came of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Go on.
    Yes,
    /// Do not.
    No,
    /// There is nobody to ask.
    Nobody,
}

impl Ui {
    /// A printer with these options.
    pub fn new(options: UiOptions) -> Self {
        Self {
            options,
            redactor: Arc::default(),
        }
    }

    /// The options.
    pub fn options(&self) -> UiOptions {
        self.options
    }

    /// Never lets this secret out from now on.
    pub fn learn(&self, secret: &Secret) {
        self.redactor
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .learn(secret);
    }

    /// A text without the secrets that were learned.
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.redactor
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .redact(text)
    }

    /// Colours for stdout.
    pub fn paint(&self) -> Paint {
        Paint::new(self.options.color_stdout)
    }

    /// Colours for stderr.
    pub fn paint_stderr(&self) -> Paint {
        Paint::new(self.options.color_stderr)
    }

    /// Writes data to stdout, with a line end.
    pub fn data(&self, text: &str) -> io::Result<()> {
        let text = self.redact(text);
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        if !text.ends_with('\n') {
            out.write_all(b"\n")?;
        }
        out.flush()
    }

    /// Writes data that must not be altered, such as a token, to stdout.
    pub fn raw(&self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    /// Writes one document to stdout: the text for people, or the value as
    /// JSON or YAML.
    pub fn document(
        &self,
        value: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> io::Result<()> {
        match self.options.format {
            Format::Text => self.data(&text()),
            Format::Json if self.options.progress == Progress::Json => {
                self.data(&serde_json::to_string(value)?)
            }
            Format::Json => self.data(&serde_json::to_string_pretty(value)?),
            Format::Yaml => {
                let text = crate::yaml::to_string(value).map_err(io::Error::other)?;
                self.data(&text)
            }
        }
    }

    /// Writes prose to stderr, unless told to be quiet.
    pub fn say(&self, text: &str) {
        if !self.options.quiet {
            self.stderr(text);
        }
    }

    /// Writes a warning to stderr.
    pub fn warn(&self, text: &str) {
        let paint = self.paint_stderr();
        self.stderr(&format!(
            "{} {text}",
            paint.apply(Style::Warning, "warning:")
        ));
    }

    /// Writes to stderr. A closed stderr is nobody's problem.
    pub fn stderr(&self, text: &str) {
        let text = self.redact(text);
        let mut err = io::stderr().lock();
        let _ = err.write_all(text.trim_end().as_bytes());
        let _ = err.write_all(b"\n");
    }

    /// Asks for a secret, which is not shown as it is typed. Off a terminal it
    /// is the whole standard input.
    pub fn ask_secret(&self, question: &str) -> io::Result<String> {
        let terminal = console::Term::stderr();
        if io::stdin().is_terminal() && terminal.is_term() {
            terminal.write_str(question)?;
            return terminal.read_secure_line();
        }
        let mut text = String::new();
        io::Read::read_to_string(&mut io::stdin().lock(), &mut text)?;
        Ok(text)
    }

    /// Asks a question that only `yes` agrees to.
    pub fn confirm(&self, question: &str) -> Answer {
        if self.options.yes {
            return Answer::Yes;
        }
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return Answer::Nobody;
        }
        let mut err = io::stderr().lock();
        let _ = write!(err, "{question} Type `yes` to go on: ");
        let _ = err.flush();
        let mut line = String::new();
        match io::stdin().lock().read_line(&mut line) {
            Ok(_) if line.trim() == "yes" => Answer::Yes,
            _ => Answer::No,
        }
    }
}
