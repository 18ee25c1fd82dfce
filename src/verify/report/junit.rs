//! `JUnit` XML, as CI systems read it.

use std::fmt::Write as _;

use super::Report;
use crate::verify::check::{Outcome, Status, Suite};

pub(super) fn render(report: &Report) -> String {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let counts = report.counts;
    line(
        &mut xml,
        format_args!(
            "<testsuites name=\"todoctl verify {}\" tests=\"{}\" failures=\"{}\" skipped=\"{}\" time=\"{:.3}\">",
            escape(&report.deployment),
            report.checks.len(),
            counts.fail,
            counts.skip,
            report.took_ms / 1e3
        ),
    );
    for suite in Suite::ALL {
        let cases: Vec<&Outcome> = report.suite(suite).collect();
        if cases.is_empty() {
            continue;
        }
        let count = |status| cases.iter().filter(|case| case.status == status).count();
        let time: f64 = cases.iter().map(|case| case.took_ms).sum::<f64>() / 1e3;
        line(
            &mut xml,
            format_args!(
                "  <testsuite name=\"{suite}\" tests=\"{}\" failures=\"{}\" errors=\"0\" skipped=\"{}\" time=\"{time:.3}\" timestamp=\"{}\">",
                cases.len(),
                count(Status::Fail),
                count(Status::Skip),
                report.began.get(..19).unwrap_or(&report.began),
            ),
        );
        for case in cases {
            one(&mut xml, case);
        }
        line(&mut xml, format_args!("  </testsuite>"));
    }
    xml.push_str("</testsuites>\n");
    xml
}

fn one(xml: &mut String, case: &Outcome) {
    let head = format!(
        "    <testcase classname=\"todoctl.{}\" name=\"{}: {}\" time=\"{:.3}\"",
        case.suite,
        case.code,
        escape(case.title),
        case.took_ms / 1e3
    );
    let evidence: Vec<String> = case
        .evidence
        .iter()
        .map(|e| format!("{}: {}", e.asked, e.answered))
        .collect();
    let text = escape(&evidence.join("\n"));
    let summary = escape(&case.summary);
    match case.status {
        Status::Pass => line(xml, format_args!("{head}/>")),
        Status::Skip => line(
            xml,
            format_args!("{head}><skipped message=\"{summary}\"/></testcase>"),
        ),
        Status::Warn => line(
            xml,
            format_args!("{head}><system-out>warning: {summary}\n{text}</system-out></testcase>"),
        ),
        Status::Fail => {
            let mend = case
                .mend
                .as_deref()
                .map(|mend| format!("\nnext: {mend}"))
                .unwrap_or_default();
            line(
                xml,
                format_args!(
                    "{head}><failure message=\"{summary}\" type=\"{}\">{text}{}</failure></testcase>",
                    case.code,
                    escape(&mend)
                ),
            );
        }
    }
}

fn line(xml: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing into a String cannot fail.
    let _ = writeln!(xml, "{text}");
}

/// Text for attributes and elements; what XML cannot hold at all is left out.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\t' | '\n' => out.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_xml_cannot_hold_is_escaped_or_left_out() {
        assert_eq!(
            escape("a<b>&\"c\"\u{1b}[0m\n"),
            "a&lt;b&gt;&amp;&quot;c&quot;[0m\n"
        );
    }
}
