//! Jobs and cron jobs.

use serde_json::{Value, json};

use super::at::At;
use super::pod;
use crate::sandbox::kube::cluster::text;
use crate::sandbox::kube::status::Cause;

/// The names of a cron job's jobs have eleven characters more.
const NAME: usize = 52;

pub(super) fn job(old: Option<&Value>, new: &Value, out: &mut Vec<Cause>) {
    let at = At::new(&new["spec"], "spec");
    spec(&at, out);
    let Some(old) = old else { return };
    let fixed = [
        "completions",
        "selector",
        "template",
        "completionMode",
        "podFailurePolicy",
    ];
    for field in fixed {
        let was = old.pointer(&format!("/spec/{field}"));
        if was != new.pointer(&format!("/spec/{field}")) {
            out.push(at.invalid(field, "field is immutable"));
        }
    }
}

fn spec(at: &At<'_>, out: &mut Vec<Cause>) {
    for field in [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
    ] {
        at.at_least(field, 0, out);
    }
    at.one_of("completionMode", &["NonIndexed", "Indexed"], out);
    if at.text("completionMode") == "Indexed" && !at.has("completions") {
        let detail = "when completion mode is Indexed";
        out.push(at.missing("completions", detail));
    }
    at.one_of(
        "podReplacementPolicy",
        &["Failed", "TerminatingOrFailed"],
        out,
    );
    let template = at.field("template").field("spec");
    pod::spec(&template, out);
    let policy = pod::policy(template.value);
    if matches!(policy, "" | "Always") {
        let detail = "valid values: \"OnFailure\", \"Never\"";
        out.push(template.missing("restartPolicy", detail));
    }
}

pub(super) fn cron_job(new: &Value, out: &mut Vec<Cause>) {
    let name = text(new, "/metadata/name");
    let at = At::new(&new["spec"], "spec");
    let schedule = at.text("schedule");
    if schedule.is_empty() {
        out.push(at.missing("schedule", ""));
    } else if schedule.contains("TZ") {
        let detail = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
        out.push(at.invalid("schedule", detail));
    } else if let Some(wrong) = wrong_schedule(schedule) {
        out.push(at.invalid("schedule", &wrong));
    }
    at.at_least("startingDeadlineSeconds", 0, out);
    at.one_of("concurrencyPolicy", &["Allow", "Forbid", "Replace"], out);
    at.at_least("successfulJobsHistoryLimit", 0, out);
    at.at_least("failedJobsHistoryLimit", 0, out);
    let zone = at.text("timeZone");
    if !zone.is_empty() && jiff::tz::TimeZone::get(zone).is_err() {
        out.push(at.invalid("timeZone", &format!("unknown time zone {zone}")));
    }
    spec(&at.field("jobTemplate").field("spec"), out);
    if name.len() > NAME {
        let detail = "must be no more than 52 characters";
        out.push(Cause::invalid("metadata.name", &json!(name), detail));
    }
}

/// What is wrong with a schedule.
fn wrong_schedule(schedule: &str) -> Option<String> {
    if let Some(word) = schedule.strip_prefix('@') {
        let known = [
            "yearly", "annually", "monthly", "weekly", "daily", "midnight", "hourly",
        ];
        let fits = known.contains(&word) || word.starts_with("every ");
        return (!fits).then(|| format!("unrecognized descriptor: {schedule}"));
    }
    let fields: Vec<&str> = schedule.split_whitespace().collect();
    if fields.len() != 5 {
        return Some(format!(
            "expected exactly 5 fields, found {}: [{}]",
            fields.len(),
            fields.join(" ")
        ));
    }
    let ranges = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 6)];
    fields
        .iter()
        .zip(ranges)
        .flat_map(|(field, range)| field.split(',').map(move |part| (part, range)))
        .find_map(|(part, range)| wrong_part(part, range))
}

fn wrong_part(part: &str, (least, most): (u32, u32)) -> Option<String> {
    let names = "jan feb mar apr may jun jul aug sep oct nov dec sun mon tue wed thu fri sat";
    let (span, _) = part.split_once('/').unwrap_or((part, ""));
    if matches!(span, "*" | "?") {
        return None;
    }
    let (first, last) = span.split_once('-').unwrap_or((span, span));
    let mut bounds = [0; 2];
    for (bound, text) in bounds.iter_mut().zip([first, last]) {
        if names.split(' ').any(|n| n.eq_ignore_ascii_case(text)) {
            return None;
        }
        let Ok(number) = text.parse::<u32>() else {
            return Some(format!(
                "failed to parse int from {text}: strconv.Atoi: parsing {text:?}: invalid syntax"
            ));
        };
        *bound = number;
    }
    let [first, last] = bounds;
    if first < least {
        return Some(format!(
            "beginning of range ({first}) below minimum ({least}): {part}"
        ));
    }
    if last > most {
        return Some(format!(
            "end of range ({last}) above maximum ({most}): {part}"
        ));
    }
    (first > last)
        .then(|| format!("beginning of range ({first}) beyond end of range ({last}): {part}"))
}
