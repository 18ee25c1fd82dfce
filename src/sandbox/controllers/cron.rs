//! Schedules of five fields, as `CronJobs` have them.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan as _};

/// A schedule: the minutes, hours, days and so on that are allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Whether days of the month and of the week both restrict: then either
    /// is enough.
    either_day: bool,
}

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
/// How far ahead a schedule is searched: the longest gap is that between two
/// 29ths of February around a year without one.
const HORIZON_DAYS: i64 = 366 * 9;

impl Schedule {
    /// Reads a schedule; none if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let text = match text.trim() {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            text => text,
        };
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields.as_slice() else {
            return None;
        };
        let mut week = field(weekdays, 0, 7, &WEEKDAYS, 0)?;
        // Sunday is 0 and 7.
        week = (week | week >> 7) & 0x7f;
        let open = |text: &str| text.starts_with('*') || text.starts_with('?');
        Some(Self {
            minutes: field(minutes, 0, 59, &[], 0)?,
            hours: field(hours, 0, 23, &[], 0)?,
            days: field(days, 1, 31, &[], 0)?,
            months: field(months, 1, 12, &MONTHS, 1)?,
            weekdays: week,
            either_day: !open(days) && !open(weekdays),
        })
    }

    /// The first time after this one.
    pub fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let start = after.to_zoned(zone.clone()).datetime();
        let start = start.checked_add(1.minute()).ok()?;
        let mut at = start.with().second(0).subsec_nanosecond(0).build().ok()?;
        let end = at.checked_add(Span::new().days(HORIZON_DAYS)).ok()?;
        let has = |set: u64, value: i8| set >> u32::from(value.unsigned_abs()) & 1 == 1;
        while at < end {
            if !has(self.months, at.month()) || !self.allows_day(at) {
                at = at
                    .date()
                    .tomorrow()
                    .ok()?
                    .to_datetime(jiff::civil::Time::midnight());
            } else if !has(self.hours, at.hour()) {
                at = at
                    .with()
                    .minute(0)
                    .build()
                    .ok()?
                    .checked_add(1.hour())
                    .ok()?;
            } else if has(self.minutes, at.minute()) {
                return Some(at.to_zoned(zone.clone()).ok()?.timestamp());
            } else {
                at = at.checked_add(1.minute()).ok()?;
            }
        }
        None
    }

    fn allows_day(&self, at: DateTime) -> bool {
        let day = self.days >> u32::from(at.day().unsigned_abs()) & 1 == 1;
        let weekday = at.weekday().to_sunday_zero_offset();
        let weekday = self.weekdays >> u32::from(weekday.unsigned_abs()) & 1 == 1;
        if self.either_day {
            day || weekday
        } else {
            day && weekday
        }
    }
}

/// One field as a set of bits: `*`, `*/5`, `1-5`, `1,3`, `mon`, `10-20/2`.
fn field(text: &str, low: u32, high: u32, names: &[&str], first: u32) -> Option<u64> {
    let mut set = 0_u64;
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, step.parse::<u32>().ok().filter(|s| *s > 0)?),
            None => (part, 1),
        };
        let value = |text: &str| -> Option<u32> {
            let text = text.to_lowercase();
            let named = names.iter().position(|name| *name == text);
            match named {
                Some(at) => Some(u32::try_from(at).ok()? + first),
                None => text.parse().ok(),
            }
        };
        let (from, to) = match range {
            "*" | "?" => (low, high),
            range => match range.split_once('-') {
                Some((from, to)) => (value(from)?, value(to)?),
                None if part.contains('/') => (value(range)?, high),
                None => (value(range)?, value(range)?),
            },
        };
        if from < low || to > high || from > to {
            return None;
        }
        let mut at = from;
        while at <= to {
            set |= 1 << at;
            at += step;
        }
    }
    Some(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_time_follows_from_all_fields() {
        // A Saturday.
        let after: Timestamp = "2026-08-29T10:07:30Z".parse().unwrap();
        for (schedule, expected) in [
            ("* * * * *", "2026-08-29T10:08:00Z"),
            ("*/15 * * * *", "2026-08-29T10:15:00Z"),
            ("0 3 * * *", "2026-08-30T03:00:00Z"),
            ("30 9 * * mon-fri", "2026-08-31T09:30:00Z"),
            ("0 0 1 1 *", "2027-01-01T00:00:00Z"),
            ("0 0 13 * 5", "2026-09-04T00:00:00Z"),
            ("0 12 * * 7", "2026-08-30T12:00:00Z"),
            ("0 0 29 2 *", "2028-02-29T00:00:00Z"),
            ("@hourly", "2026-08-29T11:00:00Z"),
            ("5,35 10 * * *", "2026-08-29T10:35:00Z"),
        ] {
            let schedule_of = Schedule::parse(schedule).unwrap();
            let next = schedule_of.next(after, &TimeZone::UTC).unwrap();
            assert_eq!(next.to_string(), expected, "{schedule}");
        }
    }

    #[test]
    fn what_is_no_schedule_is_refused() {
        for text in [
            "",
            "* * * *",
            "60 * * * *",
            "* * 0 * *",
            "a * * * *",
            "*/0 * * * *",
            "5-1 * * * *",
        ] {
            assert_eq!(Schedule::parse(text), None, "{text}");
        }
    }
}
