//! Texts that several commands print: the bill, obstacles, failures, ends.

use std::fmt::Write as _;

use super::error::CliError;
use super::exit::Exit;
use crate::engine::{RunReport, StepEnd};
use crate::finding::Finding;
use crate::journal::Outcome;
use crate::plan::Action;
use crate::steps::guard::Bill;
use crate::ui::{Paint, Style, table};

/// The bill, line by line.
pub(super) fn bill_text(bill: &Bill, paint: Paint) -> String {
    let number = |n: f64| format!("{n:.0}");
    let rows: Vec<_> = bill
        .lines
        .iter()
        .map(|line| {
            let cost = match line.is_beyond() {
                true => format!("{:.2}", line.monthly),
                false => "free".to_owned(),
            };
            let item = match line.unit {
                "" => line.item.to_owned(),
                unit => format!("{} ({unit})", line.item),
            };
            vec![
                item,
                number(line.planned),
                number(line.others),
                number(line.free),
                cost,
            ]
        })
        .collect();
    let mut text = table(
        &["item", "planned", "others", "free", "usd/month"],
        &rows,
        78,
    );
    let total = match bill.is_beyond() {
        true => {
            let total = format!(
                "about {:.2} US dollars a month at list prices",
                bill.monthly()
            );
            paint.apply(Style::Warning, &total)
        }
        false => "within the free allowance".to_owned(),
    };
    let _ = writeln!(text, "Cost: {total}.");
    text
}

/// What makes a plan impossible or doubtful.
pub(super) fn obstacles_text(obstacles: &[Finding]) -> String {
    obstacles
        .iter()
        .map(|finding| format!("{finding}\n"))
        .collect()
}

/// `12 created, 3 unchanged`.
pub(super) fn counts_text(report: &RunReport) -> String {
    let counts = report.counts();
    let actions = [
        Action::Create,
        Action::Update,
        Action::Replace,
        Action::Delete,
        Action::None,
    ];
    let parts: Vec<_> = actions
        .into_iter()
        .filter_map(|action| {
            counts
                .get(&action)
                .map(|n| format!("{n} {}", action.done()))
        })
        .collect();
    match parts.is_empty() {
        true => "nothing to do".to_owned(),
        false => parts.join(", "),
    }
}

/// The error of a run that did not reach its end; `what` completes "could
/// not".
pub(super) fn run_error(report: &RunReport, what: &str, command: &str) -> CliError {
    let blocked = report
        .steps
        .iter()
        .filter(|step| matches!(step.end, StepEnd::Blocked { .. }))
        .count();
    let mut failures = report.failures();
    let Some(first) = failures.next() else {
        return CliError::new(
            Exit::Interrupted,
            format!("interrupted: could not {what} to the end"),
        )
        .note(counts_text(report))
        .hint(format!(
            "run `todoctl {command}` again: it goes on from here"
        ));
    };
    let StepEnd::Failed(failure) = &first.end else {
        return CliError::failed(format!("could not {what}"));
    };
    let mut error = CliError::from(failure.clone()).about(&format!(
        "could not {what}: {} failed ({})",
        first.title, first.id
    ));
    for step in failures {
        if let StepEnd::Failed(failure) = &step.end {
            error = error.note(format!("also {}: {}", step.title, failure.message));
        }
    }
    if blocked > 0 {
        error = error.note(format!("{blocked} step(s) that need it were not started"));
    }
    error
        .note(format!("done so far: {}", counts_text(report)))
        .or_hint(format!(
            "mend it, then run `todoctl {command}` again: it goes on from here"
        ))
}

/// The exit code of a run.
pub(super) fn exit_of(outcome: Outcome) -> Exit {
    match outcome {
        Outcome::Done => Exit::Done,
        Outcome::Failed => Exit::Failed,
        Outcome::Interrupted => Exit::Interrupted,
    }
}
