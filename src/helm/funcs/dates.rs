//! Dates and durations.

use super::{Args, FnError, Function, Param, Returned, plain};
use crate::helm::engine::Run;
use crate::helm::gotime::{self, Time};
use crate::helm::object::Object;
use crate::helm::value::{IntKind, Value};

const A: Param = Param::Any;
const S: Param = Param::Str;
const T: Param = Param::Time;

pub(super) const FUNCTIONS: &[Function] = &[
    plain("now", &[], |run, _| Ok(time(run.now()))),
    plain("date", &[S, A], |run, v| {
        let mut args = Args::new(v);
        let layout = args.text();
        Ok(shown(run, &layout, &args.any(), "Local"))
    }),
    plain("dateInZone", &[S, A, S], date_in_zone),
    plain("date_in_zone", &[S, A, S], date_in_zone),
    plain("htmlDate", &[A], |run, v| {
        Ok(shown(run, "2006-01-02", &Args::new(v).any(), "Local"))
    }),
    plain("htmlDateInZone", &[A, S], |run, v| {
        let mut args = Args::new(v);
        let date = args.any();
        Ok(shown(run, "2006-01-02", &date, &args.text()))
    }),
    plain("dateModify", &[S, T], date_modify),
    plain("date_modify", &[S, T], date_modify),
    plain("mustDateModify", &[S, T], must_date_modify),
    plain("must_date_modify", &[S, T], must_date_modify),
    plain("ago", &[A], ago),
    plain("duration", &[A], duration),
    plain("durationRound", &[A], duration_round),
    plain("toDate", &[S, S], |run, v| {
        let mut args = Args::new(v);
        let (layout, text) = (args.text(), args.text());
        let zero = || Time::utc(gotime::ZERO_UNIX, 0);
        Ok(time(
            gotime::parse(&layout, &text, &run.zone()).unwrap_or_else(|_| zero()),
        ))
    }),
    plain("mustToDate", &[S, S], |run, v| {
        let mut args = Args::new(v);
        let (layout, text) = (args.text(), args.text());
        gotime::parse(&layout, &text, &run.zone())
            .map(time)
            .map_err(|error| FnError::text(error.to_string()))
    }),
    plain("unixEpoch", &[T], |_, v| {
        Ok(Value::from(Args::new(v).time().unix.to_string()))
    }),
    plain("mustToDuration", &[A], |_, v| {
        as_duration(&Args::new(v).any())
            .map(|n| Value::Obj(Object::Duration(n)))
            .map_err(FnError::text)
    }),
    plain("durationSeconds", &[A], |_, v| Ok(fraction_of(v, 1e9))),
    plain("durationMinutes", &[A], |_, v| Ok(fraction_of(v, 6e10))),
    plain("durationHours", &[A], |_, v| Ok(fraction_of(v, 3.6e12))),
    plain("durationDays", &[A], |_, v| Ok(fraction_of(v, 8.64e13))),
    plain("durationWeeks", &[A], |_, v| Ok(fraction_of(v, 6.048e14))),
    plain("durationMilliseconds", &[A], |_, v| {
        Ok(whole_of(v, 1_000_000))
    }),
    plain("durationMicroseconds", &[A], |_, v| Ok(whole_of(v, 1_000))),
    plain("durationNanoseconds", &[A], |_, v| Ok(whole_of(v, 1))),
    plain("durationRoundTo", &[A, A], |_, v| {
        Ok(by_multiple(v, gotime::round))
    }),
    plain("durationTruncateTo", &[A, A], |_, v| {
        Ok(by_multiple(v, gotime::truncate))
    }),
];

fn time(time: Time) -> Value {
    Value::Obj(Object::Time(time.into()))
}

/// The time that a value means; anything unknown is now.
fn moment(run: &Run<'_>, value: &Value) -> Time {
    match value {
        Value::Obj(Object::Time(time)) => (**time).clone(),
        Value::Int(unix, IntKind::Int | IntKind::Int64 | IntKind::Int32) => Time::utc(*unix, 0),
        _ => run.now(),
    }
}

fn shown(run: &Run<'_>, layout: &str, date: &Value, zone: &str) -> Value {
    let moment = moment(run, date);
    let local = moment
        .in_zone(zone, &run.zone())
        .unwrap_or_else(|| Time::utc(moment.unix, moment.nanos));
    Value::from(local.format(layout))
}

fn date_in_zone(run: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let mut args = Args::new(values);
    let (layout, date, zone) = (args.text(), args.any(), args.text());
    Ok(shown(run, &layout, &date, &zone))
}

fn date_modify(_: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let mut args = Args::new(values);
    let (change, date) = (args.text(), args.time());
    Ok(match gotime::parse_duration(&change) {
        Ok(nanos) => time(date.plus(nanos)),
        Err(_) => Value::Obj(Object::Time(date)),
    })
}

fn must_date_modify(_: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let mut args = Args::new(values);
    let (change, date) = (args.text(), args.time());
    let nanos = gotime::parse_duration(&change).map_err(FnError::text)?;
    Ok(time(date.plus(nanos)))
}

fn ago(run: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let then = moment(run, &Args::new(values).any());
    let span = gotime::round(run.now().since(&then), 1_000_000_000);
    Ok(Value::from(gotime::duration_text(span)))
}

fn duration(_: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let seconds = match Args::new(values).any() {
        Value::Str(s) => std::str::from_utf8(&s)
            .ok()
            .and_then(|s| s.strip_prefix('+').unwrap_or(s).parse::<i64>().ok())
            .unwrap_or(0),
        Value::Int(n, IntKind::Int64) => n,
        _ => 0,
    };
    let nanos = seconds.wrapping_mul(1_000_000_000);
    Ok(Value::from(gotime::duration_text(nanos)))
}

fn duration_round(run: &mut Run<'_>, values: Vec<Value>) -> Returned {
    const HOUR: u64 = 3_600_000_000_000;
    let nanos = match Args::new(values).any() {
        Value::Str(s) => gotime::parse_duration(&String::from_utf8_lossy(&s)).unwrap_or(0),
        Value::Int(n, IntKind::Int64) => n,
        Value::Obj(Object::Time(then)) => run.now().since(&then),
        _ => 0,
    };
    let size = nanos.unsigned_abs();
    let units = [
        (HOUR * 24 * 365, "y"),
        (HOUR * 24 * 30, "mo"),
        (HOUR * 24, "d"),
        (HOUR, "h"),
        (HOUR / 60, "m"),
        (HOUR / 3600, "s"),
    ];
    let text = units.iter().find(|(unit, _)| size > *unit).map_or_else(
        || "0s".to_owned(),
        |(unit, name)| format!("{}{name}", size / unit),
    );
    Ok(Value::from(text))
}

#[expect(clippy::cast_possible_truncation, reason = "checked against the range")]
fn seconds_float(seconds: f64) -> Result<i64, String> {
    if !seconds.is_finite() {
        let shown = crate::helm::gofmt::float_g(seconds);
        return Err(format!("invalid duration seconds: {shown}"));
    }
    if seconds.abs() > 9_223_372_036.854_776 {
        let shown = crate::helm::gofmt::float_g(seconds);
        return Err(format!("duration seconds overflow: {shown}"));
    }
    Ok((seconds * 1e9) as i64)
}

fn seconds_int(seconds: i64) -> Result<i64, String> {
    if seconds.unsigned_abs() > 9_223_372_036 {
        return Err(format!("duration seconds overflow: {seconds}"));
    }
    Ok(seconds * 1_000_000_000)
}

/// What the duration helpers read as a duration.
fn as_duration(value: &Value) -> Result<i64, String> {
    match value {
        Value::Nil => Err("invalid duration".to_owned()),
        Value::Obj(Object::Duration(n)) => Ok(*n),
        Value::Str(s) => {
            let text = String::from_utf8_lossy(s);
            let trimmed = text.trim();
            if trimmed.is_empty() {
                return Err("empty duration".to_owned());
            }
            if let Ok(nanos) = gotime::parse_duration(trimmed) {
                return Ok(nanos);
            }
            if let Some(seconds) = super::convert::parse_float(trimmed) {
                return seconds_float(seconds);
            }
            let quoted = crate::helm::gofmt::quote(s);
            Err(format!(
                "could not parse duration {}",
                String::from_utf8_lossy(&quoted)
            ))
        }
        Value::Int(n, _) => seconds_int(*n),
        Value::Uint(n, _) => i64::try_from(*n)
            .map_err(|_| format!("duration seconds overflow: {n}"))
            .and_then(seconds_int),
        Value::Float(f) => seconds_float(*f),
        other => Err(format!("unsupported duration type {}", other.type_name())),
    }
}

#[expect(clippy::cast_precision_loss, reason = "Go converts the same way")]
fn fraction_of(values: Vec<Value>, unit: f64) -> Value {
    let nanos = as_duration(&Args::new(values).any()).unwrap_or(0);
    Value::Float(nanos as f64 / unit)
}

fn whole_of(values: Vec<Value>, unit: i64) -> Value {
    let nanos = as_duration(&Args::new(values).any()).unwrap_or(0);
    Value::int64(nanos / unit)
}

fn by_multiple(values: Vec<Value>, f: fn(i64, i64) -> i64) -> Value {
    let mut args = Args::new(values);
    let Ok(nanos) = as_duration(&args.any()) else {
        return Value::Obj(Object::Duration(0));
    };
    let multiple = as_duration(&args.any()).unwrap_or(0);
    Value::Obj(Object::Duration(f(nanos, multiple)))
}
