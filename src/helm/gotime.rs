//! Go's `time` package as templates use it: instants with a zone, layouts,
//! durations.

mod duration;
mod layout;

use jiff::Timestamp;
use jiff::tz::TimeZone;

pub use duration::{duration_text, parse_duration, round, truncate};
pub use layout::{LayoutError, parse};

/// Go's zero time, 1 January of the year 1, in seconds since 1970.
pub const ZERO_UNIX: i64 = -62_135_596_800;

/// An instant with the zone it is shown in.
#[derive(Debug, Clone, PartialEq)]
pub struct Time {
    /// Seconds since 1970-01-01T00:00:00Z.
    pub unix: i64,
    /// Nanoseconds within the second.
    pub nanos: u32,
    /// Seconds east of UTC.
    pub offset: i32,
    /// The zone's abbreviation, such as `UTC`.
    pub zone: String,
}

/// A time on the clock and calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Civil {
    /// The year, which may be negative.
    pub year: i64,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
    /// 0 is Sunday.
    pub weekday: u8,
    /// 1 to 366.
    pub year_day: u16,
}

/// The zone of this machine; UTC when that is not known.
pub fn local_zone() -> TimeZone {
    TimeZone::try_system().unwrap_or(TimeZone::UTC)
}

impl Time {
    /// An instant shown in UTC.
    pub fn utc(unix: i64, nanos: u32) -> Self {
        Self {
            unix,
            nanos,
            offset: 0,
            zone: "UTC".to_owned(),
        }
    }

    /// The same instant shown in a named zone, where `Local` is `local`;
    /// `None` when it is unknown.
    pub fn in_zone(&self, name: &str, local: &TimeZone) -> Option<Self> {
        match name {
            "" | "UTC" => Some(Self::utc(self.unix, self.nanos)),
            "Local" => Some(self.in_tz(local)),
            name => Some(self.in_tz(&TimeZone::get(name).ok()?)),
        }
    }

    /// The same instant shown in a zone.
    #[must_use]
    pub fn in_tz(&self, zone: &TimeZone) -> Self {
        let Ok(timestamp) = Timestamp::from_second(self.unix) else {
            return Self::utc(self.unix, self.nanos);
        };
        let info = zone.to_offset_info(timestamp);
        Self {
            unix: self.unix,
            nanos: self.nanos,
            offset: info.offset().seconds(),
            zone: info.abbreviation().to_owned(),
        }
    }

    /// Calendar and clock in the time's own zone.
    pub fn civil(&self) -> Civil {
        let local = self.unix.saturating_add(i64::from(self.offset));
        let days = local.div_euclid(86_400);
        let seconds = local.rem_euclid(86_400);
        let (year, month, day) = date_of(days);
        let small = |n: i64| u8::try_from(n).unwrap_or(0);
        Civil {
            year,
            month,
            day,
            hour: small(seconds / 3600),
            minute: small(seconds / 60 % 60),
            second: small(seconds % 60),
            weekday: small((days + 4).rem_euclid(7)),
            year_day: u16::try_from(days - days_of(year, 1, 1) + 1).unwrap_or(1),
        }
    }

    /// The time some nanoseconds later.
    #[must_use]
    pub fn plus(&self, nanos: i64) -> Self {
        let total =
            i128::from(self.unix) * 1_000_000_000 + i128::from(self.nanos) + i128::from(nanos);
        Self {
            unix: i64::try_from(total.div_euclid(1_000_000_000)).unwrap_or(i64::MAX),
            nanos: u32::try_from(total.rem_euclid(1_000_000_000)).unwrap_or(0),
            ..self.clone()
        }
    }

    /// The same time of day on another date; months overflow into years.
    #[must_use]
    pub fn plus_date(&self, years: i64, months: i64, days: i64) -> Self {
        let civil = self.civil();
        let month = i64::from(civil.month) - 1 + months.clamp(-1_000_000, 1_000_000);
        let year = civil.year + years.clamp(-1_000_000, 1_000_000) + month.div_euclid(12);
        let month = u8::try_from(month.rem_euclid(12) + 1).unwrap_or(1);
        let old = days_of(civil.year, civil.month, civil.day);
        let days = days.clamp(-100_000_000, 100_000_000);
        let new = days_of(year, month, 1) + i64::from(civil.day) - 1 + days;
        Self {
            unix: self.unix + (new - old) * 86_400,
            ..self.clone()
        }
    }

    /// Nanoseconds from `other` to this time, clamped.
    pub fn since(&self, other: &Self) -> i64 {
        let nanos = |t: &Self| i128::from(t.unix) * 1_000_000_000 + i128::from(t.nanos);
        let span = nanos(self) - nanos(other);
        i64::try_from(span).unwrap_or(if span > 0 { i64::MAX } else { i64::MIN })
    }

    /// Go's `Time.String`.
    pub fn to_go_string(&self) -> String {
        self.format("2006-01-02 15:04:05.999999999 -0700 MST")
    }

    /// RFC 3339 with nanoseconds, as JSON holds it.
    pub fn to_rfc3339(&self) -> String {
        self.format("2006-01-02T15:04:05.999999999Z07:00")
    }

    /// Go's `Time.Format`.
    pub fn format(&self, layout: &str) -> String {
        layout::format(self, layout)
    }
}

/// Days since 1970 of a date in the proleptic Gregorian calendar.
pub(super) fn days_of(year: i64, month: u8, day: u8) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let shifted = (i64::from(month) + 9) % 12;
    let of_year = (153 * shifted + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn date_of(days: i64) -> (i64, u8, u8) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = u8::try_from(of_year - (153 * shifted + 2) / 5 + 1).unwrap_or(1);
    let month = u8::try_from(if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    })
    .unwrap_or(1);
    let year = year + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

/// Go's `Month.String`.
pub fn month_name(month: u8) -> String {
    usize::from(month)
        .checked_sub(1)
        .and_then(|i| MONTHS.get(i))
        .map_or_else(|| format!("%!Month({month})"), |name| (*name).to_owned())
}

/// Go's `Weekday.String`.
pub fn weekday_name(day: u8) -> String {
    DAYS.get(usize::from(day))
        .map_or_else(|| format!("%!Weekday({day})"), |name| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_format_as_in_go() {
        let time = Time::utc(1_136_239_445, 123_000_000);
        let cases = [
            ("2006-01-02T15:04:05Z07:00", "2006-01-02T22:04:05Z"),
            (
                "Mon Jan _2 15:04:05 MST 2006",
                "Mon Jan  2 22:04:05 UTC 2006",
            ),
            ("15:04:05.000", "22:04:05.123"),
            ("15:04:05.999999", "22:04:05.123"),
        ];
        for (layout, expected) in cases {
            assert_eq!(time.format(layout), expected, "{layout}");
        }
    }

    #[test]
    fn dates_convert_both_ways() {
        for days in [-719_528, -1, 0, 59, 11_016, 20_000, 2_932_896] {
            let (year, month, day) = date_of(days);
            assert_eq!(days_of(year, month, day), days);
        }
        assert_eq!(date_of(0), (1970, 1, 1));
        assert_eq!(Time::utc(ZERO_UNIX, 0).civil().year, 1);
    }

    #[test]
    fn durations_print_and_parse() {
        let cases = [
            (0, "0s"),
            (1_500_000_000, "1.5s"),
            (95_000_000_000, "1m35s"),
            (3_600_000_000_000, "1h0m0s"),
            (1_500, "1.5\u{b5}s"),
            (-2_000_000, "-2ms"),
        ];
        for (nanos, text) in cases {
            assert_eq!(duration_text(nanos), text);
            assert_eq!(parse_duration(text), Ok(nanos));
        }
        assert_eq!(parse_duration("1h30m"), Ok(5_400_000_000_000));
        assert!(parse_duration("1x").is_err());
        assert!(parse_duration("").is_err());
    }

    #[test]
    fn layouts_parse_as_in_go() {
        let time = parse("2006-01-02 15:04:05", "2024-02-29 12:30:00", &TimeZone::UTC).unwrap();
        assert_eq!(time.to_rfc3339(), "2024-02-29T12:30:00Z");
        let time = parse(
            "2006-01-02T15:04:05Z07:00",
            "2024-01-01T00:00:00+02:00",
            &TimeZone::UTC,
        )
        .unwrap();
        assert_eq!(time.unix, 1_704_060_000);
        assert!(parse("2006-01-02", "2024-13-01", &TimeZone::UTC).is_err());
    }

    #[test]
    fn times_without_an_offset_are_local() {
        let zone = TimeZone::get("America/New_York").unwrap();
        let layout = "2006-01-02 15:04 MST";
        for (layout, text, want) in [
            (
                "2006-01-02 15:04",
                "2024-07-01 12:00",
                "2024-07-01 12:00 -0400 EDT",
            ),
            (
                "2006-01-02 15:04",
                "2024-01-01 12:00",
                "2024-01-01 12:00 -0500 EST",
            ),
            (layout, "2024-01-01 12:00 EST", "2024-01-01 12:00 -0500 EST"),
            (layout, "2024-01-01 12:00 UTC", "2024-01-01 12:00 +0000 UTC"),
            (layout, "2024-01-01 12:00 CET", "2024-01-01 12:00 +0000 CET"),
            (
                "2006-01-02 15:04Z07:00",
                "2024-01-01 12:00Z",
                "2024-01-01 12:00 +0000 UTC",
            ),
            (
                "2006-01-02 15:04Z07:00",
                "2024-01-01 12:00-05:00",
                "2024-01-01 12:00 -0500 EST",
            ),
            (
                "2006-01-02 15:04Z07:00",
                "2024-01-01 12:00+01:00",
                "2024-01-01 12:00 +0100 +0100",
            ),
        ] {
            let time = parse(layout, text, &zone).unwrap();
            assert_eq!(time.format("2006-01-02 15:04 -0700 MST"), want, "{text}");
        }
    }
}
