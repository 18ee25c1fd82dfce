//! Arithmetic: integers in 64 bits, decimals for the float functions.

use super::convert::{to_float, to_int};
use super::{Args, FnError, Function, Param, Returned, plain, variadic, words};
use crate::helm::engine::Run;
use crate::helm::value::{List, ListType, Value};

const A: Param = Param::Any;
const I: Param = Param::Int;

pub(super) const FUNCTIONS: &[Function] = &[
    variadic("add", &[], A, |_, v| {
        Ok(Value::int64(
            v.iter().map(to_int).fold(0, i64::wrapping_add),
        ))
    }),
    plain("add1", &[A], |_, v| {
        Ok(Value::int64(to_int(&Args::new(v).any()).wrapping_add(1)))
    }),
    plain("sub", &[A, A], |_, v| {
        integers(v, |a, b| Ok(a.wrapping_sub(b)))
    }),
    plain("div", &[A, A], |_, v| {
        integers(v, |a, b| {
            nonzero(b)?;
            Ok(a.wrapping_div(b))
        })
    }),
    plain("mod", &[A, A], |_, v| {
        integers(v, |a, b| {
            nonzero(b)?;
            Ok(a.wrapping_rem(b))
        })
    }),
    variadic("mul", &[A], A, |_, v| {
        Ok(Value::int64(
            v.iter().map(to_int).fold(1, i64::wrapping_mul),
        ))
    }),
    variadic("max", &[A], A, |_, v| Ok(largest(&v))),
    variadic("biggest", &[A], A, |_, v| Ok(largest(&v))),
    variadic("min", &[A], A, |_, v| {
        Ok(Value::int64(v.iter().map(to_int).min().unwrap_or(0)))
    }),
    variadic("maxf", &[A], A, |_, v| {
        Ok(Value::Float(float_extreme(&v, f64::max)))
    }),
    variadic("minf", &[A], A, |_, v| {
        Ok(Value::Float(float_extreme(&v, f64::min)))
    }),
    variadic("addf", &[], A, |_, v| {
        decimals(Decimal::ZERO, &v, Decimal::add)
    }),
    plain("add1f", &[A], |_, mut v| {
        v.push(Value::int(1));
        decimals(Decimal::ZERO, &v, Decimal::add)
    }),
    variadic("subf", &[A], A, |_, v| first_decimal(&v, Decimal::sub)),
    variadic("mulf", &[A], A, |_, v| first_decimal(&v, Decimal::mul)),
    variadic("divf", &[A], A, |_, v| first_decimal(&v, Decimal::div)),
    plain("floor", &[A], |_, v| {
        Ok(Value::Float(to_float(&Args::new(v).any()).floor()))
    }),
    plain("ceil", &[A], |_, v| {
        Ok(Value::Float(to_float(&Args::new(v).any()).ceil()))
    }),
    variadic("round", &[A, I], Param::Float, round),
    plain("until", &[I], until),
    plain("untilStep", &[I, I, I], until_step),
    variadic("seq", &[], I, seq),
    plain("randInt", &[I, I], rand_int),
];

fn nonzero(n: i64) -> Result<(), FnError> {
    if n == 0 {
        return Err(FnError::text("runtime error: integer divide by zero"));
    }
    Ok(())
}

fn integers(values: Vec<Value>, f: impl Fn(i64, i64) -> Result<i64, FnError>) -> Returned {
    let mut args = Args::new(values);
    let (a, b) = (to_int(&args.any()), to_int(&args.any()));
    f(a, b).map(Value::int64)
}

fn largest(values: &[Value]) -> Value {
    Value::int64(values.iter().map(to_int).max().unwrap_or(0))
}

/// Go's `Max` and `Min` let NaN win, unlike Rust's.
fn float_extreme(values: &[Value], f: fn(f64, f64) -> f64) -> f64 {
    values
        .iter()
        .map(to_float)
        .reduce(|a, b| {
            if a.is_nan() || b.is_nan() {
                f64::NAN
            } else {
                f(a, b)
            }
        })
        .unwrap_or(0.0)
}

/// A decimal number: `coefficient × 10^exponent`. Operations that would not
/// fit fall back to floats.
#[derive(Debug, Clone, Copy)]
enum Decimal {
    Exact(i128, i32),
    Float(f64),
}

/// Digits after the point of a quotient.
const DIVISION_DIGITS: i32 = 16;

impl Decimal {
    const ZERO: Self = Self::Exact(0, 0);

    /// The shortest decimal that reads as the float.
    fn of(f: f64) -> Self {
        let text = format!("{f:e}");
        let parsed = text.split_once('e').and_then(|(mantissa, exponent)| {
            let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
            let digits: i128 = format!("{whole}{part}").parse().ok()?;
            let exponent: i32 = exponent.parse().ok()?;
            Some(Self::Exact(
                digits,
                exponent - i32::try_from(part.len()).ok()?,
            ))
        });
        parsed.unwrap_or(Self::Float(f))
    }

    fn float(self) -> f64 {
        match self {
            Self::Exact(digits, exponent) => {
                format!("{digits}e{exponent}").parse().unwrap_or(f64::NAN)
            }
            Self::Float(f) => f,
        }
    }

    /// Both coefficients at the smaller exponent.
    fn aligned(self, other: Self) -> Option<(i128, i128, i32)> {
        let (Self::Exact(a, ea), Self::Exact(b, eb)) = (self, other) else {
            return None;
        };
        let exponent = ea.min(eb);
        let scale = |n: i128, e: i32| {
            let power = u32::try_from(e.checked_sub(exponent)?).ok()?;
            n.checked_mul(10_i128.checked_pow(power)?)
        };
        Some((scale(a, ea)?, scale(b, eb)?, exponent))
    }

    fn add(self, other: Self) -> Result<Self, FnError> {
        Ok(self
            .aligned(other)
            .and_then(|(a, b, e)| Some(Self::Exact(a.checked_add(b)?, e)))
            .unwrap_or_else(|| Self::Float(self.float() + other.float())))
    }

    fn sub(self, other: Self) -> Result<Self, FnError> {
        Ok(self
            .aligned(other)
            .and_then(|(a, b, e)| Some(Self::Exact(a.checked_sub(b)?, e)))
            .unwrap_or_else(|| Self::Float(self.float() - other.float())))
    }

    fn mul(self, other: Self) -> Result<Self, FnError> {
        if let (Self::Exact(a, ea), Self::Exact(b, eb)) = (self, other)
            && let (Some(product), Some(exponent)) = (a.checked_mul(b), ea.checked_add(eb))
        {
            return Ok(Self::Exact(product, exponent));
        }
        Ok(Self::Float(self.float() * other.float()))
    }

    fn div(self, other: Self) -> Result<Self, FnError> {
        if other.float() == 0.0 {
            return Err(FnError::text("decimal division by 0"));
        }
        Ok(self
            .divided(other)
            .unwrap_or_else(|| Self::Float(self.float() / other.float())))
    }

    /// The quotient to 16 digits after the point, halves away from zero.
    fn divided(self, other: Self) -> Option<Self> {
        let (Self::Exact(a, ea), Self::Exact(b, eb)) = (self, other) else {
            return None;
        };
        let shift = ea.checked_sub(eb)?.checked_add(DIVISION_DIGITS)?;
        let power = 10_i128.checked_pow(shift.unsigned_abs())?;
        let (a, b) = if shift >= 0 {
            (a.checked_mul(power)?, b)
        } else {
            (a, b.checked_mul(power)?)
        };
        let (quotient, rest) = (a.checked_div(b)?, a.checked_rem(b)?);
        let up = rest.unsigned_abs().checked_mul(2)? >= b.unsigned_abs();
        let step = if up { a.signum() * b.signum() } else { 0 };
        Some(Self::Exact(quotient + step, -DIVISION_DIGITS))
    }
}

type Operation = fn(Decimal, Decimal) -> Result<Decimal, FnError>;

fn decimals(start: Decimal, values: &[Value], operation: Operation) -> Returned {
    let mut result = start;
    for value in values {
        let f = to_float(value);
        if !f.is_finite() {
            return Err(FnError::text(format!(
                "Cannot create a Decimal from {}",
                crate::helm::gofmt::float_g(f)
            )));
        }
        result = operation(result, Decimal::of(f))?;
    }
    Ok(Value::Float(result.float()))
}

fn first_decimal(values: &[Value], operation: Operation) -> Returned {
    let (first, rest) = values.split_first().unwrap_or((&Value::Nil, &[]));
    let first = to_float(first);
    if !first.is_finite() {
        return Err(FnError::text(format!(
            "Cannot create a Decimal from {}",
            crate::helm::gofmt::float_g(first)
        )));
    }
    decimals(Decimal::of(first), rest, operation)
}

fn round(_: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let mut args = Args::new(values);
    let value = to_float(&args.any());
    let places = args.int();
    let round_on = match args.rest().first() {
        Some(Value::Float(f)) => *f,
        _ => 0.5,
    };
    let power = 10_f64.powf(to_float(&Value::int(places)));
    let digit = power * value;
    let rounded = if digit.fract() >= round_on {
        digit.ceil()
    } else {
        digit.floor()
    };
    Ok(Value::Float(rounded / power))
}

fn steps(run: &mut Run<'_>, start: i64, stop: i64, step: i64) -> Result<Vec<i64>, FnError> {
    let span = i128::from(stop) - i128::from(start);
    let step_wide = i128::from(step);
    if step_wide == 0 || span == 0 || (span > 0) != (step_wide > 0) {
        return Ok(Vec::new());
    }
    let count = (span.abs() + step_wide.abs() - 1) / step_wide.abs();
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    run.afford(count.saturating_mul(size_of::<Value>()))?;
    run.work(count)?;
    let mut out = Vec::with_capacity(count);
    let mut current = i128::from(start);
    for _ in 0..count {
        out.push(i64::try_from(current).unwrap_or(i64::MAX));
        current += step_wide;
    }
    Ok(out)
}

fn int_list(numbers: Vec<i64>) -> Value {
    Value::List(List::typed(
        ListType::Ints,
        numbers.into_iter().map(Value::int).collect(),
    ))
}

fn until(run: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let n = Args::new(values).int();
    let step = if n < 0 { -1 } else { 1 };
    steps(run, 0, n, step).map(int_list)
}

fn until_step(run: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let mut args = Args::new(values);
    let (start, stop, step) = (args.int(), args.int(), args.int());
    steps(run, start, stop, step).map(int_list)
}

fn seq(run: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let params: Vec<i64> = values.iter().map(to_int).collect();
    let toward = |start: i64, end: i64| if end < start { -1 } else { 1 };
    let (start, end, step) = match params.as_slice() {
        [end] => (1, *end, toward(1, *end)),
        [start, end] => (*start, *end, toward(*start, *end)),
        [start, step, end] => {
            if end < start && *step > 0 {
                return Ok(Value::str(""));
            }
            (*start, *end, *step)
        }
        _ => return Ok(Value::str("")),
    };
    let stop = end.saturating_add(toward(start, end));
    let numbers = steps(run, start, stop, step)?;
    run.afford(numbers.len().saturating_mul(20))?;
    let texts: Vec<String> = numbers.iter().map(i64::to_string).collect();
    Ok(Value::from(texts.join(" ")))
}

fn rand_int(run: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let mut args = Args::new(values);
    let (low, high) = (args.int(), args.int());
    let span = i128::from(high) - i128::from(low);
    let Some(span) = u64::try_from(span).ok().filter(|n| *n > 0) else {
        return Err(FnError::text("invalid argument to Intn"));
    };
    let picked = words::below(run, span);
    Ok(Value::int(low.wrapping_add_unsigned(picked)))
}
