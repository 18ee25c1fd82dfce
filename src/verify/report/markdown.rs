//! Markdown, for issues and job summaries.

use std::fmt::Write as _;

use super::Report;
use crate::verify::check::{Outcome, Status, Suite};

pub(super) fn render(report: &Report) -> String {
    let mut text = String::new();
    write(&mut text, report);
    text
}

fn write(text: &mut String, report: &Report) {
    let mut line = |args: std::fmt::Arguments<'_>| {
        // Writing into a String cannot fail.
        let _ = writeln!(text, "{args}");
    };
    line(format_args!(
        "# Deployment {}: {}\n",
        cell(&report.deployment),
        word(report.verdict)
    ));
    line(format_args!(
        "{}. Begun {}.\n",
        report.headline(),
        report.began
    ));
    let bad = |outcome: &&Outcome| matches!(outcome.status, Status::Fail | Status::Warn);
    for outcome in report.checks.iter().filter(bad) {
        line(format_args!(
            "## {}: {}\n",
            word(outcome.status),
            outcome.code
        ));
        line(format_args!("{}\n", cell(&outcome.summary)));
        for evidence in &outcome.evidence {
            line(format_args!(
                "- {}: {}",
                code(&evidence.asked),
                code(&evidence.answered)
            ));
        }
        if let Some(mend) = &outcome.mend {
            line(format_args!("\nNext: {}\n", code(mend)));
        }
    }
    for suite in Suite::ALL {
        let all: Vec<&Outcome> = report.suite(suite).collect();
        if all.is_empty() {
            continue;
        }
        line(format_args!(
            "## {suite}\n\n| check | result | what was found | ms |\n| --- | --- | --- | --- |"
        ));
        for outcome in all {
            line(format_args!(
                "| {} | {} | {} | {:.0} |",
                outcome.code,
                outcome.status,
                cell(&outcome.summary),
                outcome.took_ms
            ));
        }
        line(format_args!(""));
    }
    if !report.waterfall.is_empty() {
        line(format_args!(
            "## The task's way\n\n| change | answered | in Kafka | taken by the subscriber | event |\n| --- | --- | --- | --- | --- |"
        ));
        for leg in &report.waterfall {
            let after = |at: Option<f64>| {
                at.map_or_else(|| "-".to_owned(), |at| format!("{:.0} ms", at - leg.sent))
            };
            line(format_args!(
                "| {} | {} | {} | {} | {} |",
                leg.deed,
                after(leg.answered),
                after(leg.in_kafka),
                after(leg.delivered),
                leg.place.as_deref().unwrap_or("-"),
            ));
        }
    }
}

fn word(status: Status) -> &'static str {
    match status {
        Status::Pass => "passed",
        Status::Warn => "passed with warnings",
        Status::Fail => "failed",
        Status::Skip => "nothing was checked",
    }
}

/// Text within a line of a table: nothing in it is markup.
fn cell(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '|' | '<' | '>' | '*' | '_' | '`' | '[' | ']' | '\\' | '#' => {
                out.push('\\');
                out.push(c);
            }
            '\n' | '\r' => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// Text as code, whatever is in it.
fn code(text: &str) -> String {
    let one_line = text.replace(['\n', '\r'], " ");
    let longest = one_line
        .split(|c| c != '`')
        .map(str::len)
        .max()
        .unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    format!("{fence} {one_line} {fence}")
}
