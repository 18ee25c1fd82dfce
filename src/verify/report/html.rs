//! One self-contained page: no script, no font and no picture from elsewhere.
//!
//! The template escapes everything; the diagrams are built here, from numbers
//! and escaped texts only.

use std::fmt::Write as _;

use handlebars::Handlebars;
use serde_json::{Value, json};

use super::{Leg, Report, Topology};
use crate::verify::check::{Outcome, Status, Suite};

const TEMPLATE: &str = include_str!("../../../templates/verify/report.html.hbs");

pub(super) fn render(report: &Report) -> String {
    let mut handlebars = Handlebars::new();
    handlebars.set_strict_mode(true);
    let page = handlebars.render_template(TEMPLATE, &context(report));
    // The template is a constant and a test renders it; a page that says what
    // went wrong is still better than none.
    page.unwrap_or_else(|error| format!("<!doctype html><title>todoctl</title><p>{error}"))
}

fn context(report: &Report) -> Value {
    let bad = |outcome: &&Outcome| matches!(outcome.status, Status::Fail | Status::Warn);
    let suites = Suite::ALL.into_iter().filter_map(|suite| {
        let checks: Vec<Value> = report.suite(suite).map(check).collect();
        let worst = report.suite(suite).map(|outcome| outcome.status).max()?;
        Some(json!({
            "name": suite.name(),
            "about": suite.about(),
            "status": worst.to_string(),
            "count": checks.len(),
            "open": worst >= Status::Warn,
            "checks": checks,
        }))
    });
    json!({
        "deployment": report.deployment,
        "verdict": report.verdict.to_string(),
        "verdictText": match report.verdict {
            Status::Pass => "It works.",
            Status::Warn => "It works, with warnings.",
            Status::Fail => "It does not work.",
            Status::Skip => "Nothing was checked.",
        },
        "headline": report.headline(),
        "began": report.began,
        "version": env!("CARGO_PKG_VERSION"),
        "problems": report.checks.iter().filter(bad).map(check).collect::<Vec<_>>(),
        "suites": suites.collect::<Vec<_>>(),
        "legs": legs(&report.waterfall),
        "latency": latency(report),
        "topology": topology(&report.topology),
        "nodes": report.topology.nodes.iter().map(|n| json!({"name": n.name, "detail": n.detail, "status": n.status.to_string()})).collect::<Vec<_>>(),
    })
}

fn check(outcome: &Outcome) -> Value {
    json!({
        "code": outcome.code,
        "title": outcome.title,
        "status": outcome.status.to_string(),
        "summary": outcome.summary,
        "mend": outcome.mend,
        "ms": format!("{:.0}", outcome.took_ms),
        "evidence": outcome.evidence,
    })
}

/// The bars of the waterfall, in percent of the longest way.
fn legs(legs: &[Leg]) -> Value {
    let ends = legs
        .iter()
        .flat_map(|leg| [leg.answered, leg.in_kafka, leg.delivered, leg.shown]);
    let end = ends.flatten().fold(1.0_f64, f64::max);
    let begin = legs.iter().map(|leg| leg.sent).fold(end, f64::min);
    let part = |time: f64| time / (end - begin).max(1.0) * 100.0;
    let percent = |at: f64| format!("{:.2}", part(at - begin).clamp(0.0, 100.0));
    let bar = |name: &str, class: &str, from: f64, to: Option<f64>| {
        let to = to?;
        let width = part(to - from).max(0.4);
        Some(json!({
            "name": name,
            "class": class,
            "left": percent(from),
            "width": format!("{width:.2}"),
            "ms": format!("{:.1}", to - from),
        }))
    };
    let rows = legs.iter().map(|leg| {
        let bars: Vec<Value> = [
            bar("request", "request", leg.sent, leg.answered),
            bar("to Kafka", "kafka", leg.sent, leg.in_kafka),
            bar(
                "to the subscriber",
                "subscriber",
                leg.in_kafka.unwrap_or(leg.sent),
                leg.delivered,
            ),
            bar("to the app's state", "state", leg.sent, leg.shown),
        ]
        .into_iter()
        .flatten()
        .collect();
        json!({"deed": leg.deed, "trace": leg.trace, "place": leg.place, "bars": bars})
    });
    json!(rows.collect::<Vec<_>>())
}

/// A dot for each request, and the percentiles.
fn latency(report: &Report) -> Value {
    let slowest = report
        .latencies
        .iter()
        .map(|timed| timed.ms)
        .fold(1.0_f64, f64::max);
    let count = report.latencies.len().max(1);
    let mut dots = String::new();
    for (i, timed) in report.latencies.iter().enumerate() {
        let x = (i as f64 + 0.5) / count as f64 * 100.0;
        let y = 96.0 - timed.ms / slowest * 90.0;
        let label = escape(&format!("{}: {:.1} ms", timed.request, timed.ms));
        // Writing into a String cannot fail.
        let _ = write!(
            dots,
            "<circle cx=\"{x:.2}%\" cy=\"{y:.2}%\" r=\"4\"><title>{label}</title></circle>"
        );
    }
    let percentile = |part| report.latency(part).map(|ms| format!("{ms:.1}"));
    json!({
        "count": report.latencies.len(),
        "slowest": format!("{slowest:.1}"),
        "p50": percentile(0.5),
        "p95": percentile(0.95),
        "p99": percentile(0.99),
        "dots": dots,
    })
}

const BOX: (usize, usize) = (170, 46);
const GAP: (usize, usize) = (52, 16);

/// The diagram as SVG.
fn topology(topology: &Topology) -> String {
    let columns = topology
        .nodes
        .iter()
        .map(|node| node.column + 1)
        .max()
        .unwrap_or(0);
    let of = |column| {
        topology
            .nodes
            .iter()
            .filter(move |node| node.column == column)
    };
    let rows = (0..columns)
        .map(|column| of(column).count())
        .max()
        .unwrap_or(0);
    let width = columns * (BOX.0 + GAP.0) - GAP.0.min(columns * GAP.0) + 2;
    let height = rows * (BOX.1 + GAP.1) + 2;
    // Every column is centred.
    let place = |name: &str| {
        let node = topology.nodes.iter().find(|node| node.name == name)?;
        let row = of(node.column).position(|other| other.name == name)?;
        let free = (rows - of(node.column).count()) * (BOX.1 + GAP.1) / 2;
        Some((
            node.column * (BOX.0 + GAP.0) + 1,
            row * (BOX.1 + GAP.1) + free + 1,
        ))
    };
    let mut svg = format!(
        "<svg viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\" aria-label=\"What talks to what\">"
    );
    for (from, to) in &topology.edges {
        if let (Some((x1, y1)), Some((x2, y2))) = (place(from), place(to)) {
            let (x1, y1, y2) = (x1 + BOX.0, y1 + BOX.1 / 2, y2 + BOX.1 / 2);
            let middle = usize::midpoint(x1, x2);
            let _ = write!(
                svg,
                "<path d=\"M{x1} {y1} C{middle} {y1} {middle} {y2} {x2} {y2}\"/>"
            );
        }
    }
    for node in &topology.nodes {
        if let Some((x, y)) = place(&node.name) {
            let _ = write!(
                svg,
                "<g class=\"{}\"><rect x=\"{x}\" y=\"{y}\" width=\"{}\" height=\"{}\" rx=\"6\"/><text x=\"{}\" y=\"{}\">{}</text><text class=\"more\" x=\"{}\" y=\"{}\">{}</text></g>",
                node.status,
                BOX.0,
                BOX.1,
                x + 10,
                y + 19,
                escape(&short(&node.name, 20)),
                x + 10,
                y + 36,
                escape(&short(&node.detail, 22)),
            );
        }
    }
    svg.push_str("</svg>");
    svg
}

fn short(text: &str, most: usize) -> String {
    match text.chars().count() > most {
        true => text.chars().take(most - 1).chain(['…']).collect(),
        false => text.to_owned(),
    }
}

fn escape(text: &str) -> String {
    handlebars::html_escape(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::check::Evidence;
    use crate::verify::report::{Counts, Node};

    fn report() -> Report {
        Report {
            schema: "todoctl/verify/v1",
            deployment: "<b>todo</b>".to_owned(),
            verdict: Status::Fail,
            began: "2026-11-22T00:00:00Z".to_owned(),
            took_ms: 1234.5,
            counts: Counts {
                fail: 1,
                ..Counts::default()
            },
            checks: vec![Outcome {
                code: "events.create",
                suite: Suite::Events,
                title: "a title",
                status: Status::Fail,
                summary: "<script>alert(1)</script>".to_owned(),
                evidence: vec![Evidence {
                    asked: "a & b".to_owned(),
                    answered: "\"c\"".to_owned(),
                }],
                mend: Some("todoctl up".to_owned()),
                began_ms: 0.0,
                took_ms: 3.0,
            }],
            waterfall: vec![Leg {
                deed: "create",
                trace: "t".to_owned(),
                sent: 0.0,
                answered: Some(5.0),
                shown: None,
                in_kafka: Some(9.0),
                delivered: None,
                place: None,
            }],
            latencies: vec![],
            topology: Topology {
                nodes: vec![Node {
                    name: "<x>".to_owned(),
                    detail: String::new(),
                    status: Status::Pass,
                    column: 0,
                }],
                edges: vec![],
            },
        }
    }

    #[test]
    fn the_page_shows_what_was_found_and_runs_nothing_of_it() {
        let page = report().html();
        assert!(page.starts_with("<!doctype html>"), "{page}");
        for part in [
            "events.create",
            "todoctl up",
            "&lt;script&gt;",
            "It does not work.",
        ] {
            assert!(page.contains(part), "no {part}\n{page}");
        }
        for forbidden in ["<script", "<b>todo", "<x>", "http-equiv", "src="] {
            assert!(!page.contains(forbidden), "{forbidden}");
        }
    }

    #[test]
    fn every_other_form_holds_the_failure() {
        let report = report();
        assert!(
            report.junit().contains("failures=\"1\""),
            "{}",
            report.junit()
        );
        assert!(
            report.markdown().contains("## failed: events.create"),
            "{}",
            report.markdown()
        );
    }
}
