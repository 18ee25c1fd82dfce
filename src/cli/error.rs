//! Errors at the roof: what todoctl could not do, why, and what to type next.

use std::io;

use serde::Serialize;

use super::exit::Exit;
use crate::engine::Failure;
use crate::finding::{Finding, Findings, Severity};
use crate::journal::JournalError;
use crate::plan::StepError;
use crate::steps::CxError;
use crate::ui::{Format, Style, Ui};

/// A command that did not do what it should.
#[derive(Debug)]
pub(super) struct CliError(Box<Details>);

#[derive(Debug)]
struct Details {
    exit: Exit,
    message: String,
    causes: Vec<String>,
    notes: Vec<String>,
    hint: Option<String>,
    request_id: Option<String>,
    findings: Findings,
}

/// The result of a command.
pub(super) type Result<T = Exit> = std::result::Result<T, CliError>;

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    error: &'a str,
    exit: u8,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    causes: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    notes: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
    #[serde(rename = "requestId", skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    findings: Vec<&'a crate::finding::Finding>,
}

impl CliError {
    /// A failure; the message continues "error: ".
    pub(super) fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// Bad usage: nothing was touched.
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Any error with an exit code of its own.
    pub(super) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self(Box::new(Details {
            exit,
            message: message.into(),
            causes: Vec::new(),
            notes: Vec::new(),
            hint: None,
            request_id: None,
            findings: Findings::default(),
        }))
    }

    /// The same with the next thing to type.
    #[must_use]
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// The same with an error and its causes below it.
    #[must_use]
    pub(super) fn caused_by(mut self, error: &dyn std::error::Error) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            self.0.causes.push(error.to_string());
            next = error.source();
        }
        self.0.causes.dedup();
        self
    }

    /// The same with a next thing to type, where there is none yet.
    #[must_use]
    pub(super) fn or_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint.get_or_insert_with(|| hint.into());
        self
    }

    /// The same, said of something larger: what todoctl could not do comes
    /// first, and what was said before becomes its first cause.
    #[must_use]
    pub(super) fn about(mut self, message: &str) -> Self {
        let said = std::mem::replace(&mut self.0.message, message.to_owned());
        self.0.causes.insert(0, said);
        self
    }

    /// The same with one more line of explanation.
    #[must_use]
    pub(super) fn note(mut self, text: impl Into<String>) -> Self {
        self.0.notes.push(text.into());
        self
    }

    /// The same with findings in front of it.
    #[must_use]
    pub(super) fn findings(
        mut self,
        findings: impl IntoIterator<Item = crate::finding::Finding>,
    ) -> Self {
        for finding in findings {
            self.0.findings.push(finding);
        }
        self
    }

    /// How todoctl ends with it.
    pub(super) fn exit(&self) -> Exit {
        self.0.exit
    }

    /// Prints it: on stderr for people, as a document on stdout for programs.
    pub(super) fn print(&self, ui: &Ui) {
        if ui.options().format != Format::Text {
            let document = Document {
                schema: "todoctl/error/v1",
                error: &self.0.message,
                exit: self.0.exit as u8,
                causes: &self.0.causes,
                notes: &self.0.notes,
                hint: self.0.hint.as_deref(),
                request_id: self.0.request_id.as_deref(),
                findings: self.0.findings.iter().collect(),
            };
            // A reader that went away cannot be told anything.
            let _ = ui.document(&document, String::new);
        }
        ui.stderr(&self.text(ui));
    }

    fn text(&self, ui: &Ui) -> String {
        let paint = ui.paint_stderr();
        let mut text: String = self
            .0
            .findings
            .iter()
            .map(|finding| format!("{finding}\n"))
            .collect();
        text += &format!("{} {}\n", paint.apply(Style::Bad, "error:"), self.0.message);
        for cause in &self.0.causes {
            text += &format!("  caused by: {cause}\n");
        }
        if let Some(id) = &self.0.request_id {
            text += &format!("  request id: {id}\n");
        }
        for note in &self.0.notes {
            text += &format!("  note: {note}\n");
        }
        if let Some(hint) = &self.0.hint {
            text += &format!("  {} {hint}\n", paint.apply(Style::Strong, "hint:"));
        }
        text
    }
}

impl From<Findings> for CliError {
    fn from(findings: Findings) -> Self {
        let is_mistake = |finding: &&Finding| finding.severity == Severity::Error;
        let message = match findings.iter().filter(is_mistake).count() {
            1 => "the profile has a mistake; nothing was touched".to_owned(),
            n => format!("the profile has {n} mistakes; nothing was touched"),
        };
        let mut error = Self::usage(message);
        error.0.findings = findings;
        error
    }
}

impl From<Failure> for CliError {
    fn from(failure: Failure) -> Self {
        let exit = match failure.class {
            crate::plan::Class::Interrupted => Exit::Interrupted,
            _ => Exit::Failed,
        };
        let mut error = Self::new(exit, failure.message);
        error.0.causes = failure.causes;
        error.0.hint = failure.hint;
        error.0.request_id = failure.request_id;
        error
    }
}

impl From<StepError> for CliError {
    fn from(error: StepError) -> Self {
        Failure::from(&error).into()
    }
}

impl From<JournalError> for CliError {
    fn from(error: JournalError) -> Self {
        let hint = match &error {
            JournalError::Io { path, .. } => {
                format!("check that {} can be written", path.display())
            }
            JournalError::Damaged { path, .. } => format!(
                "move {} away and run again: todoctl finds what it made by its tags",
                path.display()
            ),
        };
        Self::failed("cannot keep track of the deployment")
            .caused_by(&error)
            .hint(hint)
    }
}

impl From<io::Error> for CliError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // The reader went away: it has what it wanted.
            io::ErrorKind::BrokenPipe => Self::new(Exit::Done, ""),
            _ => Self::failed("cannot write the output").caused_by(&error),
        }
    }
}

impl From<CxError> for CliError {
    fn from(error: CxError) -> Self {
        let hint = match &error {
            CxError::Config(config) => Some(config.hint.clone()),
            _ => None,
        };
        let this = Self::usage("cannot use Oracle Cloud").caused_by(&error);
        match hint {
            Some(hint) => this.hint(hint),
            None => this,
        }
    }
}
