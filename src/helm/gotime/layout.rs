//! Layouts: times shown as, and read by, an example time.

use jiff::tz::TimeZone;

use super::{Civil, DAYS, MONTHS, Time, ZERO_UNIX, days_of};

/// An element of a layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Element {
    LongMonth,
    ShortMonth,
    Month,
    ZeroMonth,
    LongDay,
    ShortDay,
    Day,
    SpaceDay,
    ZeroDay,
    YearDaySpace,
    YearDayZero,
    Hour24,
    Hour12,
    ZeroHour12,
    Minute,
    ZeroMinute,
    Second,
    ZeroSecond,
    LongYear,
    ShortYear,
    UpperHalf,
    LowerHalf,
    Zone,
    /// A numeric zone: whether UTC is `Z`, and its form.
    Offset(bool, Offset),
    /// Digits of the second, and whether trailing zeros go.
    Fraction(usize, bool),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Offset {
    Hours,
    Minutes,
    ColonMinutes,
    Seconds,
    ColonSeconds,
}

/// Elements by the text that stands for them, longest first where one begins
/// another.
const ELEMENTS: &[(&str, Element)] = &[
    ("January", Element::LongMonth),
    ("Jan", Element::ShortMonth),
    ("Monday", Element::LongDay),
    ("Mon", Element::ShortDay),
    ("MST", Element::Zone),
    ("002", Element::YearDayZero),
    ("01", Element::ZeroMonth),
    ("02", Element::ZeroDay),
    ("03", Element::ZeroHour12),
    ("04", Element::ZeroMinute),
    ("05", Element::ZeroSecond),
    ("06", Element::ShortYear),
    ("15", Element::Hour24),
    ("1", Element::Month),
    ("2006", Element::LongYear),
    ("2", Element::Day),
    ("_2006", Element::LongYear),
    ("__2", Element::YearDaySpace),
    ("_2", Element::SpaceDay),
    ("3", Element::Hour12),
    ("4", Element::Minute),
    ("5", Element::Second),
    ("PM", Element::UpperHalf),
    ("pm", Element::LowerHalf),
    ("-070000", Element::Offset(false, Offset::Seconds)),
    ("-07:00:00", Element::Offset(false, Offset::ColonSeconds)),
    ("-0700", Element::Offset(false, Offset::Minutes)),
    ("-07:00", Element::Offset(false, Offset::ColonMinutes)),
    ("-07", Element::Offset(false, Offset::Hours)),
    ("Z070000", Element::Offset(true, Offset::Seconds)),
    ("Z07:00:00", Element::Offset(true, Offset::ColonSeconds)),
    ("Z0700", Element::Offset(true, Offset::Minutes)),
    ("Z07:00", Element::Offset(true, Offset::ColonMinutes)),
    ("Z07", Element::Offset(true, Offset::Hours)),
];

/// Splits a layout at its first element.
fn next_element(layout: &str) -> (&str, Option<Element>, &str) {
    for (i, _) in layout.char_indices() {
        let (before, here) = layout.split_at(i);
        if let Some((element, len)) = element_at(here) {
            return (before, Some(element), here.get(len..).unwrap_or(""));
        }
    }
    (layout, None, "")
}

fn element_at(here: &str) -> Option<(Element, usize)> {
    if here.starts_with(['.', ',']) {
        let digits = here.get(1..)?;
        let digit = digits.chars().next().filter(|c| matches!(c, '0' | '9'))?;
        let len = digits
            .bytes()
            .take_while(|b| char::from(*b) == digit)
            .count();
        let after = digits.as_bytes().get(len);
        if after.is_none_or(|c| !c.is_ascii_digit()) {
            return Some((Element::Fraction(len, digit == '9'), len + 1));
        }
        return None;
    }
    ELEMENTS
        .iter()
        .find(|(text, _)| here.starts_with(text))
        .filter(|(text, _)| {
            // `January` and `Jan` count only where no letter continues them.
            *text != "Jan" || !here.as_bytes().get(3).is_some_and(u8::is_ascii_lowercase)
        })
        .map(|(text, element)| match (*text, *element) {
            // The underscore stays in front of a year.
            ("_2006", _) => (Element::LongYear, 0),
            (text, element) => (element, text.len()),
        })
        .filter(|(_, len)| *len > 0)
}

pub(super) fn format(time: &Time, layout: &str) -> String {
    let civil = time.civil();
    let mut out = String::new();
    let mut rest = layout;
    while !rest.is_empty() {
        let (before, element, after) = next_element(rest);
        out.push_str(before);
        if let Some(element) = element {
            write_element(&mut out, element, time, &civil);
        }
        rest = after;
    }
    out
}

fn write_element(out: &mut String, element: Element, time: &Time, civil: &Civil) {
    let month = super::month_name(civil.month);
    let day = super::weekday_name(civil.weekday);
    let short = |name: &str| name.get(..3).unwrap_or(name).to_owned();
    let hour12 = match civil.hour % 12 {
        0 => 12,
        hour => hour,
    };
    let text = match element {
        Element::LongMonth => month,
        Element::ShortMonth => short(&month),
        Element::Month => civil.month.to_string(),
        Element::ZeroMonth => format!("{:02}", civil.month),
        Element::LongDay => day,
        Element::ShortDay => short(&day),
        Element::Day => civil.day.to_string(),
        Element::SpaceDay => format!("{:2}", civil.day),
        Element::ZeroDay => format!("{:02}", civil.day),
        Element::YearDaySpace => format!("{:3}", civil.year_day),
        Element::YearDayZero => format!("{:03}", civil.year_day),
        Element::Hour24 => format!("{:02}", civil.hour),
        Element::Hour12 => hour12.to_string(),
        Element::ZeroHour12 => format!("{hour12:02}"),
        Element::Minute => civil.minute.to_string(),
        Element::ZeroMinute => format!("{:02}", civil.minute),
        Element::Second => civil.second.to_string(),
        Element::ZeroSecond => format!("{:02}", civil.second),
        Element::LongYear => format!("{:04}", civil.year),
        Element::ShortYear => format!("{:02}", civil.year.rem_euclid(100)),
        Element::UpperHalf => if civil.hour >= 12 { "PM" } else { "AM" }.to_owned(),
        Element::LowerHalf => if civil.hour >= 12 { "pm" } else { "am" }.to_owned(),
        Element::Zone => zone_name(time),
        Element::Offset(true, _) if time.offset == 0 => "Z".to_owned(),
        Element::Offset(_, form) => offset_text(time.offset, form),
        Element::Fraction(digits, trim) => fraction(time.nanos, digits, trim),
    };
    out.push_str(&text);
}

fn zone_name(time: &Time) -> String {
    if !time.zone.is_empty() {
        return time.zone.clone();
    }
    let minutes = time.offset / 60;
    let mut text = offset_text(time.offset, Offset::Hours);
    if minutes % 60 != 0 {
        text = offset_text(time.offset, Offset::Minutes);
    }
    text
}

fn offset_text(offset: i32, form: Offset) -> String {
    let sign = if offset < 0 { '-' } else { '+' };
    let size = offset.unsigned_abs();
    let (hours, minutes, seconds) = (size / 3600, size / 60 % 60, size % 60);
    match form {
        Offset::Hours => format!("{sign}{hours:02}"),
        Offset::Minutes => format!("{sign}{hours:02}{minutes:02}"),
        Offset::ColonMinutes => format!("{sign}{hours:02}:{minutes:02}"),
        Offset::Seconds => format!("{sign}{hours:02}{minutes:02}{seconds:02}"),
        Offset::ColonSeconds => format!("{sign}{hours:02}:{minutes:02}:{seconds:02}"),
    }
}

fn fraction(nanos: u32, digits: usize, trim: bool) -> String {
    let all = format!("{nanos:09}");
    let mut text = all.get(..digits.min(9)).unwrap_or(&all).to_owned();
    if trim {
        text.truncate(text.trim_end_matches('0').len());
        if text.is_empty() {
            return text;
        }
    }
    format!(".{text}")
}

/// Why a text is not a time by a layout, in Go's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("parsing time {value:?} as {layout:?}: {reason}")]
pub struct LayoutError {
    value: String,
    layout: String,
    reason: String,
}

#[derive(Default)]
struct Parts {
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    year_day: Option<i64>,
    hour: i64,
    minute: i64,
    second: i64,
    nanos: u32,
    afternoon: Option<bool>,
    offset: Option<i32>,
    zone: Option<String>,
    /// The text said `Z`.
    utc: bool,
}

/// Go's `time.ParseInLocation`.
///
/// # Errors
/// When the text does not fit the layout.
pub fn parse(layout: &str, value: &str, local: &TimeZone) -> Result<Time, LayoutError> {
    let fail = |reason: String| LayoutError {
        value: value.to_owned(),
        layout: layout.to_owned(),
        reason,
    };
    let mut parts = Parts::default();
    let mut rest = value;
    let mut format = layout;
    while !format.is_empty() {
        let (before, element, after) = next_element(format);
        let element_text = format
            .get(before.len()..format.len() - after.len())
            .unwrap_or("");
        let cannot = |rest: &str, what: &str| fail(format!("cannot parse {rest:?} as {what:?}"));
        rest = rest
            .strip_prefix(before)
            .ok_or_else(|| cannot(rest, before))?;
        if let Some(element) = element {
            rest = read_element(&mut parts, element, rest)
                .ok_or_else(|| cannot(rest, element_text))?;
        }
        // A fraction may follow the seconds though the layout has none.
        let seconds = matches!(element, Some(Element::Second | Element::ZeroSecond));
        if seconds && !matches!(element_at(after), Some((Element::Fraction(..), _))) {
            rest = read_fraction(&mut parts, rest, None).unwrap_or(rest);
        }
        format = after;
    }
    if !rest.is_empty() {
        return Err(fail(format!("extra text: {rest:?}")));
    }
    parts.into_time(local).map_err(|what| {
        let mut error = fail(String::new());
        error.reason = format!("{what} out of range");
        error
    })
}

impl Parts {
    fn into_time(self, zone: &TimeZone) -> Result<Time, &'static str> {
        let year = self.year.unwrap_or(0);
        let (mut month, mut day) = (self.month.unwrap_or(1), self.day.unwrap_or(1));
        if let Some(year_day) = self.year_day {
            let date = super::date_of(days_of(year, 1, 1) + year_day - 1);
            (month, day) = (i64::from(date.1), i64::from(date.2));
        }
        let month = u8::try_from(month)
            .ok()
            .filter(|m| (1..=12).contains(m))
            .ok_or("month")?;
        let day = u8::try_from(day).map_err(|_| "day")?;
        let checked = days_of(year, month, day.max(1));
        if day < 1 || super::date_of(checked) != (year, month, day) {
            return Err("day");
        }
        let mut hour = self.hour;
        match self.afternoon {
            Some(true) if hour < 12 => hour += 12,
            Some(false) if hour == 12 => hour = 0,
            _ => {}
        }
        if hour > 23 {
            return Err("hour");
        }
        if self.minute > 59 {
            return Err("minute");
        }
        if self.second > 59 {
            return Err("second");
        }
        let local = checked * 86_400 + hour * 3600 + self.minute * 60 + self.second;
        let local = local.max(ZERO_UNIX - 400 * 366 * 86_400);
        Ok(self.placed(local, zone))
    }

    /// The instant of a local time, by the first that is known of: `Z`, an
    /// offset, the name of a zone, the local zone.
    fn placed(self, local: i64, zone: &TimeZone) -> Time {
        let known = |unix: i64| Time::utc(unix, self.nanos).in_tz(zone);
        if self.utc {
            return Time::utc(local, self.nanos);
        }
        if let Some(offset) = self.offset {
            let found = known(local - i64::from(offset));
            let named = self.zone.as_ref().is_none_or(|name| *name == found.zone);
            return if found.offset == offset && named {
                found
            } else {
                Time {
                    unix: local - i64::from(offset),
                    nanos: self.nanos,
                    offset,
                    zone: self.zone.unwrap_or_default(),
                }
            };
        }
        let Some(name) = self.zone else {
            // Beside a change of the clocks either answer is right.
            let first = known(local - i64::from(known(local).offset));
            return known(local - i64::from(first.offset));
        };
        // The name may be that of the other half of the year.
        let half_year = 182 * 86_400;
        let same_name = [0, half_year, -half_year]
            .into_iter()
            .map(|shift| known(local + shift))
            .find(|found| found.zone == name);
        if let Some(found) = same_name {
            return known(local - i64::from(found.offset));
        }
        // Go takes the time for UTC, and shows it in the zone that it names.
        let hours = name.strip_prefix("GMT").and_then(|h| h.parse().ok());
        Time {
            unix: local,
            nanos: self.nanos,
            offset: hours.map_or(0, |hours: i32| hours * 3600),
            zone: name,
        }
    }
}

fn digits(text: &str, least: usize, most: usize) -> Option<(i64, &str)> {
    let len = text
        .bytes()
        .take(most)
        .take_while(u8::is_ascii_digit)
        .count();
    if len < least {
        return None;
    }
    let (number, rest) = text.split_at(len);
    Some((number.parse().ok()?, rest))
}

fn named<'t>(names: &[&str], text: &'t str, short: bool) -> Option<(i64, &'t str)> {
    names.iter().enumerate().find_map(|(i, name)| {
        let name = if short { name.get(..3)? } else { name };
        let head = text.get(..name.len())?;
        head.eq_ignore_ascii_case(name).then(|| {
            (
                i64::try_from(i).unwrap_or(0) + 1,
                text.get(name.len()..).unwrap_or(""),
            )
        })
    })
}

fn read_element<'t>(parts: &mut Parts, element: Element, text: &'t str) -> Option<&'t str> {
    let (number, rest) = match element {
        Element::LongYear => digits(text, 4, 4)?,
        Element::ShortYear
        | Element::ZeroMonth
        | Element::ZeroDay
        | Element::ZeroHour12
        | Element::ZeroMinute
        | Element::ZeroSecond => digits(text, 2, 2)?,
        Element::Hour24 | Element::Month | Element::Day | Element::Hour12 => digits(text, 1, 2)?,
        Element::Minute | Element::Second => digits(text, 1, 2)?,
        Element::SpaceDay => digits(text.strip_prefix(' ').unwrap_or(text), 1, 2)?,
        Element::YearDayZero => digits(text, 3, 3)?,
        Element::YearDaySpace => digits(text.trim_start_matches(' '), 1, 3)?,
        Element::LongMonth => named(&MONTHS, text, false)?,
        Element::ShortMonth => named(&MONTHS, text, true)?,
        Element::LongDay => named(&DAYS, text, false)?,
        Element::ShortDay => named(&DAYS, text, true)?,
        Element::UpperHalf | Element::LowerHalf => {
            let half = text.get(..2)?;
            parts.afternoon = Some(match half {
                "PM" | "pm" => true,
                "AM" | "am" => false,
                _ => return None,
            });
            return text.get(2..);
        }
        Element::Zone => {
            let len = text.bytes().take_while(u8::is_ascii_uppercase).count();
            if len < 3 {
                return None;
            }
            let (zone, rest) = text.split_at(len);
            parts.zone = Some(zone.to_owned());
            return Some(rest);
        }
        Element::Offset(z, form) => return read_offset(parts, z, form, text),
        Element::Fraction(count, trim) => {
            return match (trim, text.starts_with(['.', ','])) {
                (true, false) => Some(text),
                (true, true) => read_fraction(parts, text, None),
                (false, _) => read_fraction(parts, text, Some(count)),
            };
        }
    };
    match element {
        Element::LongYear => parts.year = Some(number),
        Element::ShortYear => {
            parts.year = Some(number + if number >= 69 { 1900 } else { 2000 });
        }
        Element::ZeroMonth | Element::Month | Element::LongMonth | Element::ShortMonth => {
            parts.month = Some(number);
        }
        Element::ZeroDay | Element::Day | Element::SpaceDay => parts.day = Some(number),
        Element::YearDayZero | Element::YearDaySpace => parts.year_day = Some(number),
        Element::Hour24 | Element::Hour12 | Element::ZeroHour12 => parts.hour = number,
        Element::Minute | Element::ZeroMinute => parts.minute = number,
        Element::Second | Element::ZeroSecond => parts.second = number,
        _ => {}
    }
    Some(rest)
}

fn read_fraction<'t>(parts: &mut Parts, text: &'t str, count: Option<usize>) -> Option<&'t str> {
    let body = text.strip_prefix(['.', ','])?;
    let len = body.bytes().take_while(u8::is_ascii_digit).count();
    let len = match count {
        Some(count) if len < count => return None,
        Some(count) => count,
        None if len == 0 => return None,
        None => len,
    };
    let (number, rest) = body.split_at(len);
    let padded: String = number.chars().chain("000000000".chars()).take(9).collect();
    parts.nanos = padded.parse().ok()?;
    Some(rest)
}

fn read_offset<'t>(parts: &mut Parts, z: bool, form: Offset, text: &'t str) -> Option<&'t str> {
    if z && let Some(rest) = text.strip_prefix('Z') {
        parts.utc = true;
        return Some(rest);
    }
    let (sign, mut rest) = match text.as_bytes().first()? {
        b'+' => (1, text.get(1..)?),
        b'-' => (-1, text.get(1..)?),
        _ => return None,
    };
    let (units, colon) = match form {
        Offset::Hours => (1, false),
        Offset::Minutes => (2, false),
        Offset::ColonMinutes => (2, true),
        Offset::Seconds => (3, false),
        Offset::ColonSeconds => (3, true),
    };
    let mut total = 0;
    for (i, size) in [3600, 60, 1].into_iter().enumerate().take(units) {
        if i > 0 && colon {
            rest = rest.strip_prefix(':')?;
        }
        let (number, after) = digits(rest, 2, 2)?;
        total += i32::try_from(number).ok()? * size;
        rest = after;
    }
    parts.offset = Some(sign * total);
    Some(rest)
}
