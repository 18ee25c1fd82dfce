//! Times as Dapr's API takes them: Go's and ISO 8601's durations, RFC 3339,
//! and schedules with seconds.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

/// A quantity such as `4Mi` in bytes.
pub fn quantity_bytes(text: &str) -> Option<u64> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "" => 1,
        "k" => 1000,
        "M" => 1_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// Go's notation, e.g. `1h30m` or `500ms`; `0` needs no unit.
pub fn go_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let number: f64 = rest[..end].parse().ok()?;
        rest = &rest[end..];
        let units = [
            ("ns", 1e-9),
            ("us", 1e-6),
            ("µs", 1e-6),
            ("ms", 1e-3),
            ("s", 1.0),
            ("m", 60.0),
            ("h", 3600.0),
        ];
        let (unit, factor) = units.into_iter().find(|(unit, _)| rest.starts_with(unit))?;
        rest = &rest[unit.len()..];
        seconds += number * factor;
    }
    (!text.is_empty()).then(|| Duration::try_from_secs_f64(seconds).ok())?
}

/// A point of time relative to `now`: RFC 3339, or a duration from now on in
/// Go's or ISO 8601's notation.
pub fn point(text: &str, now: Timestamp) -> Option<Timestamp> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at);
    }
    if let Some(wait) = go_duration(text) {
        return now.checked_add(wait).ok();
    }
    let span: jiff::Span = text.parse().ok()?;
    let zoned = now.to_zoned(TimeZone::UTC).checked_add(span).ok()?;
    Some(zoned.timestamp())
}

/// When something is repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Schedule {
    /// In equal distances.
    Every(Duration),
    /// At the times that fit.
    Cron(Box<Cron>),
}

/// A cron expression of six fields, seconds first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    zone: TimeZone,
    seconds: BTreeSet<i8>,
    minutes: BTreeSet<i8>,
    hours: BTreeSet<i8>,
    days: BTreeSet<i8>,
    months: BTreeSet<i8>,
    weekdays: BTreeSet<i8>,
    /// Whether a day of the month or a weekday is left open: if neither is,
    /// one of them suffices.
    any_day: bool,
    any_weekday: bool,
}

impl Schedule {
    /// Reads a schedule; the refusal is as the scheduler's.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (zone, rest) = match text.strip_prefix("CRON_TZ=").or(text.strip_prefix("TZ=")) {
            Some(told) => {
                let (name, rest) = told.split_once(' ').unwrap_or((told, ""));
                let zone = TimeZone::get(name).map_err(|_| {
                    format!("provided bad location {name}: unknown time zone {name}")
                })?;
                (zone, rest.trim())
            }
            None => (TimeZone::UTC, text.trim()),
        };
        if let Some(every) = rest.strip_prefix("@every ") {
            let wait = go_duration(every.trim());
            let wait = wait.filter(|wait| !wait.is_zero());
            return wait.map(Self::Every).ok_or_else(|| {
                format!("failed to parse duration {rest}: time: invalid duration {every:?}")
            });
        }
        let fields = match rest {
            "@yearly" | "@annually" => "0 0 0 1 1 *",
            "@monthly" => "0 0 0 1 * *",
            "@weekly" => "0 0 0 * * 0",
            "@daily" | "@midnight" => "0 0 0 * * *",
            "@hourly" => "0 0 * * * *",
            other if other.starts_with('@') => {
                return Err(format!("unrecognized descriptor: {other}"));
            }
            other => other,
        };
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let [seconds, minutes, hours, days, months, weekdays] = fields.as_slice() else {
            return Err(format!(
                "expected exactly 6 fields, found {}: {fields:?}",
                fields.len()
            ));
        };
        let mut weekdays_set = field(weekdays, 0, 7, &WEEKDAYS)?;
        if weekdays_set.remove(&7) {
            weekdays_set.insert(0);
        }
        Ok(Self::Cron(Box::new(Cron {
            zone,
            seconds: field(seconds, 0, 59, &[])?,
            minutes: field(minutes, 0, 59, &[])?,
            hours: field(hours, 0, 23, &[])?,
            days: field(days, 1, 31, &[])?,
            months: field(months, 1, 12, &MONTHS)?,
            weekdays: weekdays_set,
            any_day: matches!(days.chars().next(), Some('*' | '?')),
            any_weekday: matches!(weekdays.chars().next(), Some('*' | '?')),
        })))
    }

    /// The first time after `now`; none if there is none within five years.
    pub fn next(&self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Every(wait) => now.checked_add(*wait).ok(),
            Self::Cron(cron) => cron.next(now),
        }
    }
}

const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const MONTHS: [&str; 13] = [
    "", "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];

/// `*`, `a`, `a-b`, each with `/step`, separated by commas.
fn field(text: &str, low: i8, high: i8, names: &[&str]) -> Result<BTreeSet<i8>, String> {
    let wrong = || format!("failed to parse field: {text}");
    let number = |word: &str| -> Result<i8, String> {
        let lower = word.to_ascii_lowercase();
        let named = names
            .iter()
            .position(|name| !name.is_empty() && *name == lower);
        match named.and_then(|at| i8::try_from(at).ok()) {
            Some(at) => Ok(at),
            None => word.parse().map_err(|_| wrong()),
        }
    };
    let mut all = BTreeSet::new();
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step.parse::<i8>().map_err(|_| wrong())?)),
            None => (part, None),
        };
        let (from, to) = match range.split_once('-') {
            Some((from, to)) => (number(from)?, number(to)?),
            None if matches!(range, "*" | "?") => (low, high),
            None => {
                let from = number(range)?;
                (from, if step.is_some() { high } else { from })
            }
        };
        let step = step.unwrap_or(1);
        if from < low || to > high || from > to || step < 1 {
            return Err(wrong());
        }
        all.extend((from..=to).step_by(usize::from(step.unsigned_abs())));
    }
    Ok(all)
}

impl Cron {
    fn next(&self, now: Timestamp) -> Option<Timestamp> {
        let start = now.to_zoned(self.zone.clone()).datetime();
        let mut date = start.date();
        for _ in 0..5 * 366 {
            if self.fits(date) {
                let floor = (date == start.date()).then_some(start);
                if let Some(at) = self.first_of_day(date, floor) {
                    return at.to_zoned(self.zone.clone()).ok().map(|at| at.timestamp());
                }
            }
            date = date.checked_add(1.day()).ok()?;
        }
        None
    }

    fn fits(&self, date: Date) -> bool {
        let day = self.days.contains(&date.day());
        let weekday = self
            .weekdays
            .contains(&date.weekday().to_sunday_zero_offset());
        let days = match self.any_day || self.any_weekday {
            true => day && weekday,
            false => day || weekday,
        };
        self.months.contains(&date.month()) && days
    }

    /// The first time of a day that is after `floor`.
    fn first_of_day(&self, date: Date, floor: Option<DateTime>) -> Option<DateTime> {
        let times = self.hours.iter().flat_map(|hour| {
            let minutes = self.minutes.iter();
            minutes.flat_map(move |minute| {
                let seconds = self.seconds.iter();
                seconds.map(move |second| date.at(*hour, *minute, *second, 0))
            })
        });
        times
            .into_iter()
            .find(|at| floor.is_none_or(|floor| *at > floor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos() {
        for (text, millis) in [
            ("1h30m", Some(5_400_000)),
            ("500ms", Some(500)),
            ("0s", Some(0)),
            ("1.5s", Some(1500)),
            ("5", None),
            ("", None),
            ("1x", None),
        ] {
            let read = go_duration(text).map(|d| d.as_millis());
            assert_eq!(read, millis, "{text}");
        }
    }

    #[test]
    fn schedules_give_the_next_time() {
        let now: Timestamp = "2026-08-20T08:59:59.5Z".parse().unwrap();
        for (text, next) in [
            ("0 0 9 * * *", "2026-08-20T09:00:00Z"),
            ("CRON_TZ=Europe/Berlin 0 0 9 * * *", "2026-08-21T07:00:00Z"),
            ("*/15 * * * * *", "2026-08-20T09:00:00Z"),
            ("0 30 8 * * MON-FRI", "2026-08-21T08:30:00Z"),
            ("0 0 0 29 2 *", "2028-02-29T00:00:00Z"),
            ("@monthly", "2026-09-01T00:00:00Z"),
            ("@every 90s", "2026-08-20T09:01:29.5Z"),
        ] {
            let at = Schedule::parse(text).unwrap().next(now).unwrap();
            assert_eq!(at, next.parse().unwrap(), "{text}");
        }
    }

    #[test]
    fn what_is_no_schedule_is_refused() {
        for text in [
            "0 9 * * *",
            "@often",
            "@every x",
            "0 0 25 * * *",
            "CRON_TZ=Mars/Base 0 0 9 * * *",
            "",
        ] {
            assert!(Schedule::parse(text).is_err(), "{text}");
        }
    }
}
