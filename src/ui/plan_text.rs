//! A plan, for people.

use std::fmt::Write as _;

use super::{Paint, Style, paragraph};
use crate::plan::{Action, FieldChange, Plan, Planned, shorten};

/// The longest value that is shown in full.
const VALUE_WIDTH: usize = 48;
/// No line is longer.
const WIDTH: usize = 80;

/// The plan as text: one block for each step to which something happens.
pub fn plan_text(plan: &Plan, paint: Paint) -> String {
    let mut text = String::new();
    for step in plan.pending() {
        let change = &step.change;
        let style = style_of(change.action);
        let mark = paint.apply(style, change.action.symbol());
        let name = paint.apply(Style::Strong, &step.title);
        let id = paint.apply(Style::Dim, step.id.as_str());
        let length = step.title.chars().count() + step.id.as_str().len() + 4;
        let between = if length > WIDTH { "\n    " } else { "  " };
        let _ = writeln!(text, "{mark} {name}{between}{id}");
        if let Some(reason) = &change.reason {
            text += &paragraph(&format!("because {reason}"), 4, WIDTH);
        }
        for field in &change.fields {
            text += &field_text(field, change.action);
        }
    }
    // What is not as the profile says and cannot be changed.
    for step in &plan.steps {
        if let (Action::None, Some(reason)) = (step.change.action, &step.change.reason) {
            let mark = paint.apply(Style::Warning, "!");
            let name = paint.apply(Style::Strong, &step.title);
            let id = paint.apply(Style::Dim, step.id.as_str());
            let _ = writeln!(text, "{mark} {name}  {id}\n    left as it is: {reason}");
        }
    }
    if !text.is_empty() {
        text.push('\n');
    }
    let _ = writeln!(text, "{}", summary(plan));
    text
}

/// `Plan: 12 to create, 1 to change, 0 to delete.`
fn summary(plan: &Plan) -> String {
    if plan.is_empty() {
        return "No changes: everything is as the profile says.".to_owned();
    }
    let counts = plan.counts();
    let count = |action| counts.get(&action).copied().unwrap_or(0);
    let mut text = format!(
        "Plan: {} to create, {} to change, ",
        count(Action::Create),
        count(Action::Update)
    );
    if count(Action::Replace) > 0 {
        let _ = write!(text, "{} to replace, ", count(Action::Replace));
    }
    let _ = write!(text, "{} to delete.", count(Action::Delete));
    text
}

fn style_of(action: Action) -> Style {
    match action {
        Action::Create => Style::Good,
        Action::Delete | Action::Replace => Style::Bad,
        Action::Update | Action::None => Style::Warning,
    }
}

/// A field on one line where that fits, or else on a line for its path and one
/// for each value.
fn field_text(field: &FieldChange, action: Action) -> String {
    let show = |planned: &Planned, width: usize| match planned {
        Planned::Value(value) => shorten(value, width),
        Planned::KnownAfterApply => "(known after apply)".to_owned(),
        Planned::Secret(fingerprint) => format!("(secret {fingerprint})"),
    };
    let path = &field.path;
    let mark = match (&field.before, &field.after) {
        (None, Some(_)) if action != Action::Create => "+ ",
        (Some(_), None) => "- ",
        _ => "",
    };
    let values: Vec<&Planned> = field.before.iter().chain(&field.after).collect();
    let shown: Vec<_> = values.iter().map(|v| show(v, VALUE_WIDTH)).collect();
    let line = match shown.is_empty() {
        true => format!("    {mark}{path}"),
        false => format!("    {mark}{path}: {}", shown.join(" -> ")),
    };
    if line.chars().count() <= WIDTH {
        return line + "\n";
    }
    let mut text = paragraph(&format!("{mark}{path}:"), 4, WIDTH);
    for (i, value) in values.iter().enumerate() {
        let arrow = if i == 0 { "  " } else { "->" };
        let _ = writeln!(text, "     {arrow} {}", show(value, WIDTH - 8));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Change, PlannedStep};
    use serde_json::json;

    #[test]
    fn long_fields_take_more_lines_and_none_is_too_long() {
        let path = "spec.template.spec.containers[daprd].securityContext";
        let long = "x".repeat(100);
        let change = Change::update(&json!({path: long}), &json!({path: "short"}));
        let text = field_text(&change.fields[0], Action::Update);
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(
            text.lines().all(|line| line.chars().count() <= WIDTH),
            "{text}"
        );
        assert!(text.ends_with("     -> short\n"), "{text}");
    }

    #[test]
    fn a_plan_shows_what_changes_and_what_only_the_far_side_knows() {
        let step = |id: &str, title: &str, change| PlannedStep {
            id: id.parse().unwrap(),
            title: title.to_owned(),
            change,
            live: None,
            certain: true,
            kept: false,
        };
        let plan = Plan {
            steps: vec![
                step(
                    "network/vcn",
                    "virtual network",
                    Change::create(&json!({"cidr": "10.0.0.0/16"})).then_known("id"),
                ),
                step(
                    "cluster/nodes",
                    "node pool",
                    Change::update(&json!({"size": 2}), &json!({"size": 1})),
                ),
                step(
                    "network/nat",
                    "NAT gateway",
                    Change::delete("nodes are public now"),
                ),
                step("network/ok", "unchanged", Change::none()),
            ],
        };
        assert_eq!(
            plan_text(&plan, Paint::new(false)),
            "+ virtual network  network/vcn\n    cidr: 10.0.0.0/16\n    id: (known after apply)\n\
             ~ node pool  cluster/nodes\n    size: 2 -> 1\n\
             - NAT gateway  network/nat\n    because nodes are public now\n\n\
             Plan: 1 to create, 1 to change, 1 to delete.\n"
        );
    }
}
