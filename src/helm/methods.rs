//! Methods of values: `.Files.Get`, `.Capabilities.APIVersions.Has`,
//! versions and times.
//!
//! A method is a function whose first argument is the receiver, which its
//! parameters do not count.

#![expect(
    clippy::unnecessary_wraps,
    reason = "every method of the table has the same type"
)]

use super::funcs::{Args, Call, FnError, Function, Param, Returned, to_yaml_text};
use super::glob::Glob;
use super::gotime;
use super::object::Object;
use super::semver::Version;
use super::value::{List, ListType, Map, MapType, Str, UintKind, Value};

const S: Param = Param::Str;
const I: Param = Param::Int;

type Call1 = fn(&mut super::engine::Run<'_>, Vec<Value>) -> Returned;

const fn method(name: &'static str, params: &'static [Param], call: Call1) -> Function {
    Function {
        name,
        params,
        rest: None,
        call: Call::Plain(call),
    }
}

/// The method of that name, if the value's type has it.
pub(crate) fn find(value: &Value, name: &str) -> Option<&'static Function> {
    let methods: &'static [Function] = match value {
        Value::Map(map) => match map.ty() {
            MapType::Files => FILES,
            MapType::Values => VALUES,
            MapType::Any | MapType::Strings => return None,
        },
        Value::List(list) if list.ty() == ListType::VersionSet => VERSION_SET,
        Value::Obj(object) => match object {
            Object::Time(_) => TIME,
            Object::Duration(_) => DURATION,
            Object::Month(_) | Object::Weekday(_) => STRINGER,
            Object::Semver(_) => SEMVER,
            Object::KubeVersion(_) => KUBE_VERSION,
            Object::Certificate(_) | Object::Capabilities(_) | Object::HelmVersion(_) => {
                return None;
            }
        },
        _ => return None,
    };
    methods.iter().find(|method| method.name == name)
}

const STRINGER: &[Function] = &[method("String", &[], string)];

fn string(_: &mut super::engine::Run<'_>, values: Vec<Value>) -> Returned {
    Ok(Value::from(super::gofmt::sprint_value(
        &Args::new(values).any(),
    )))
}

// ---- files

const FILES: &[Function] = &[
    method("Get", &[S], |_, v| {
        let (files, name) = files_and_name(v);
        Ok(Value::Str(content(&files, &name)))
    }),
    method("GetBytes", &[S], |_, v| {
        let (files, name) = files_and_name(v);
        Ok(Value::Bytes(content(&files, &name)))
    }),
    method("Glob", &[S], |_, v| {
        let (files, pattern) = files_and_name(v);
        let pattern = String::from_utf8_lossy(&pattern).into_owned();
        let glob = Glob::parse(&pattern).unwrap_or_else(Glob::everything);
        let found = files
            .entries()
            .into_iter()
            .filter(|(name, _)| glob.matches(&String::from_utf8_lossy(name)))
            .collect();
        Ok(Value::Map(Map::typed(MapType::Files, found)))
    }),
    method("Lines", &[S], |_, v| {
        let (files, name) = files_and_name(v);
        let content = content(&files, &name);
        if content.is_empty() {
            return Ok(Value::List(List::strings(Vec::<Str>::new())));
        }
        let text = content.strip_suffix(b"\n").unwrap_or(&content);
        let lines = text.split(|c| *c == b'\n').map(Str::from);
        Ok(Value::List(List::strings(lines)))
    }),
    method("AsConfig", &[], |_, v| {
        as_yaml(v, |bytes| Value::str(bytes))
    }),
    method("AsSecrets", &[], |_, v| {
        use base64::Engine as _;
        as_yaml(v, |bytes| {
            Value::from(base64::engine::general_purpose::STANDARD.encode(bytes))
        })
    }),
];

fn files_and_name(values: Vec<Value>) -> (Map, Str) {
    let mut args = Args::new(values);
    (args.map().unwrap_or_default(), args.bytes())
}

fn content(files: &Map, name: &Str) -> Str {
    match files.get(name) {
        Some(Value::Bytes(bytes) | Value::Str(bytes)) => bytes,
        _ => Str::from(&[][..]),
    }
}

/// The files by their base names, as YAML.
fn as_yaml(values: Vec<Value>, encode: impl Fn(&[u8]) -> Value) -> Returned {
    let files = Args::new(values).map().unwrap_or_default();
    let out = Map::new();
    for (name, bytes) in files.entries() {
        let base = name.rsplit(|c| *c == b'/').next().unwrap_or(&name);
        if let Value::Bytes(bytes) | Value::Str(bytes) = bytes {
            out.set(Str::from(base), encode(&bytes));
        }
    }
    Ok(Value::from(to_yaml_text(&Value::Map(out))))
}

// ---- values

const VALUES: &[Function] = &[
    method("AsMap", &[], |_, v| {
        let map = Args::new(v).map().unwrap_or_default();
        Ok(Value::Map(map.as_any()))
    }),
    method("YAML", &[], |_, v| {
        let yaml = super::yaml11::to_yaml(&Args::new(v).any());
        yaml.map(Value::from)
            .map_err(|error| FnError::text(error.to_string()))
    }),
    method("Table", &[S], |_, v| {
        let mut args = Args::new(v);
        let (mut map, path) = (args.map().unwrap_or_default(), args.text());
        for name in path.split('.') {
            match map.get_map(name) {
                Some(inner) => map = inner,
                None => {
                    return Err(FnError::text(format!("{name:?} is not a table")));
                }
            }
        }
        Ok(Value::Map(map.seen_as(MapType::Values)))
    }),
    method("PathValue", &[S], |_, v| {
        let mut args = Args::new(v);
        let (mut map, path) = (args.map().unwrap_or_default(), args.text());
        let (tables, last) = path.rsplit_once('.').unwrap_or(("", &path));
        for name in tables.split('.').filter(|name| !name.is_empty()) {
            match map.get_map(name) {
                Some(inner) => map = inner,
                None => {
                    return Err(FnError::text(format!("{name:?} is not a value")));
                }
            }
        }
        match map.get(last) {
            Some(Value::Map(_)) | None => Err(FnError::text(format!("{last:?} is not a value"))),
            Some(value) => Ok(value),
        }
    }),
];

// ---- capabilities

const VERSION_SET: &[Function] = &[method("Has", &[S], |_, v| {
    let mut args = Args::new(v);
    let set = args.list();
    let wanted = Value::Str(args.bytes());
    Ok(Value::Bool(
        set.items().iter().any(|item| item.deep_equal(&wanted)),
    ))
})];

const KUBE_VERSION: &[Function] = &[
    method("String", &[], kube_version),
    method("GitVersion", &[], kube_version),
];

fn kube_version(_: &mut super::engine::Run<'_>, values: Vec<Value>) -> Returned {
    match Args::new(values).any() {
        Value::Obj(Object::KubeVersion(version)) => Ok(Value::str(&version.version)),
        _ => Ok(Value::Nil),
    }
}

// ---- versions

const V: Param = Param::Semver;

const SEMVER: &[Function] = &[
    method("String", &[], string),
    method("Original", &[], |_, v| with(v, |s| Value::str(&s.original))),
    method("Major", &[], |_, v| with(v, |s| uint(s.major))),
    method("Minor", &[], |_, v| with(v, |s| uint(s.minor))),
    method("Patch", &[], |_, v| with(v, |s| uint(s.patch))),
    method("Prerelease", &[], |_, v| {
        with(v, |s| Value::str(&s.prerelease))
    }),
    method("Metadata", &[], |_, v| with(v, |s| Value::str(&s.metadata))),
    method("IncMajor", &[], |_, v| {
        with(v, |s| version(bumped(s, s.major + 1, 0, 0)))
    }),
    method("IncMinor", &[], |_, v| {
        with(v, |s| version(bumped(s, s.major, s.minor + 1, 0)))
    }),
    method("IncPatch", &[], |_, v| {
        with(v, |s| {
            // A prerelease comes before its release.
            let patch = s.patch + u64::from(s.prerelease.is_empty());
            version(bumped(s, s.major, s.minor, patch))
        })
    }),
    method("Compare", &[V], |_, v| {
        compare(v, |o| Value::int(i64::from(o as i8)))
    }),
    method("Equal", &[V], |_, v| compare(v, |o| Value::Bool(o.is_eq()))),
    method("LessThan", &[V], |_, v| {
        compare(v, |o| Value::Bool(o.is_lt()))
    }),
    method("LessThanEqual", &[V], |_, v| {
        compare(v, |o| Value::Bool(o.is_le()))
    }),
    method("GreaterThan", &[V], |_, v| {
        compare(v, |o| Value::Bool(o.is_gt()))
    }),
    method("GreaterThanEqual", &[V], |_, v| {
        compare(v, |o| Value::Bool(o.is_ge()))
    }),
];

fn uint(n: u64) -> Value {
    Value::Uint(n, UintKind::Uint64)
}

fn version(version: Version) -> Value {
    Value::Obj(Object::Semver(version.into()))
}

fn with(values: Vec<Value>, f: impl Fn(&Version) -> Value) -> Returned {
    match Args::new(values).any() {
        Value::Obj(Object::Semver(version)) => Ok(f(&version)),
        _ => Ok(Value::Nil),
    }
}

fn bumped(from: &Version, major: u64, minor: u64, patch: u64) -> Version {
    let prefix = if from.original.starts_with('v') {
        "v"
    } else {
        ""
    };
    Version {
        major,
        minor,
        patch,
        prerelease: String::new(),
        metadata: String::new(),
        original: format!("{prefix}{major}.{minor}.{patch}"),
    }
}

fn compare(values: Vec<Value>, f: impl Fn(std::cmp::Ordering) -> Value) -> Returned {
    let mut args = Args::new(values);
    match (args.any(), args.any()) {
        (Value::Obj(Object::Semver(a)), Value::Obj(Object::Semver(b))) => Ok(f(a.cmp(&b))),
        _ => Err(FnError::text(super::funcs::NIL_PANIC)),
    }
}

// ---- times

const TIME: &[Function] = &[
    method("String", &[], string),
    method("Format", &[S], |_, v| {
        let mut args = Args::new(v);
        let time = args.time();
        let layout = args.text();
        Ok(Value::from(time.format(&layout)))
    }),
    method("Unix", &[], |_, v| time(v, |t| Value::int64(t.unix))),
    method("UnixNano", &[], |_, v| {
        time(v, |t| {
            let nanos = t.unix.wrapping_mul(1_000_000_000);
            Value::int64(nanos.wrapping_add(i64::from(t.nanos)))
        })
    }),
    method("UnixMilli", &[], |_, v| {
        time(v, |t| {
            Value::int64(t.unix * 1000 + i64::from(t.nanos / 1_000_000))
        })
    }),
    method("Year", &[], |_, v| time(v, |t| Value::int(t.civil().year))),
    method("Month", &[], |_, v| {
        time(v, |t| Value::Obj(Object::Month(t.civil().month)))
    }),
    method("Day", &[], |_, v| {
        time(v, |t| Value::int(i64::from(t.civil().day)))
    }),
    method("Hour", &[], |_, v| {
        time(v, |t| Value::int(i64::from(t.civil().hour)))
    }),
    method("Minute", &[], |_, v| {
        time(v, |t| Value::int(i64::from(t.civil().minute)))
    }),
    method("Second", &[], |_, v| {
        time(v, |t| Value::int(i64::from(t.civil().second)))
    }),
    method("Nanosecond", &[], |_, v| {
        time(v, |t| Value::int(i64::from(t.nanos)))
    }),
    method("Weekday", &[], |_, v| {
        time(v, |t| Value::Obj(Object::Weekday(t.civil().weekday)))
    }),
    method("YearDay", &[], |_, v| {
        time(v, |t| Value::int(i64::from(t.civil().year_day)))
    }),
    method("IsZero", &[], |_, v| {
        time(v, |t| {
            Value::Bool(t.unix == gotime::ZERO_UNIX && t.nanos == 0)
        })
    }),
    method("UTC", &[], |_, v| {
        time(v, |t| {
            Value::Obj(Object::Time(gotime::Time::utc(t.unix, t.nanos).into()))
        })
    }),
    method("Add", &[Param::Duration], |_, v| {
        let mut args = Args::new(v);
        let time = args.time();
        Ok(Value::Obj(Object::Time(time.plus(args.int()).into())))
    }),
    method("AddDate", &[I, I, I], |_, v| {
        let mut args = Args::new(v);
        let time = args.time();
        let moved = time.plus_date(args.int(), args.int(), args.int());
        Ok(Value::Obj(Object::Time(moved.into())))
    }),
    method("Sub", &[Param::Time], |_, v| {
        let mut args = Args::new(v);
        let (a, b) = (args.time(), args.time());
        Ok(Value::Obj(Object::Duration(a.since(&b))))
    }),
    method("Before", &[Param::Time], |_, v| {
        times(v, |o| Value::Bool(o.is_lt()))
    }),
    method("After", &[Param::Time], |_, v| {
        times(v, |o| Value::Bool(o.is_gt()))
    }),
    method("Equal", &[Param::Time], |_, v| {
        times(v, |o| Value::Bool(o.is_eq()))
    }),
];

fn time(values: Vec<Value>, f: impl Fn(&gotime::Time) -> Value) -> Returned {
    Ok(f(&Args::new(values).time()))
}

fn times(values: Vec<Value>, f: impl Fn(std::cmp::Ordering) -> Value) -> Returned {
    let mut args = Args::new(values);
    let (a, b) = (args.time(), args.time());
    Ok(f((a.unix, a.nanos).cmp(&(b.unix, b.nanos))))
}

#[expect(clippy::cast_precision_loss, reason = "Go converts the same way")]
const DURATION: &[Function] = &[
    method("String", &[], string),
    method("Seconds", &[], |_, v| {
        Ok(Value::Float(Args::new(v).int() as f64 / 1e9))
    }),
    method("Minutes", &[], |_, v| {
        Ok(Value::Float(Args::new(v).int() as f64 / 6e10))
    }),
    method("Hours", &[], |_, v| {
        Ok(Value::Float(Args::new(v).int() as f64 / 3.6e12))
    }),
    method("Milliseconds", &[], |_, v| {
        Ok(Value::int64(Args::new(v).int() / 1_000_000))
    }),
    method("Microseconds", &[], |_, v| {
        Ok(Value::int64(Args::new(v).int() / 1_000))
    }),
    method("Nanoseconds", &[], |_, v| {
        Ok(Value::int64(Args::new(v).int()))
    }),
    method("Round", &[Param::Duration], |_, v| {
        let mut args = Args::new(v);
        Ok(Value::Obj(Object::Duration(gotime::round(
            args.int(),
            args.int(),
        ))))
    }),
    method("Truncate", &[Param::Duration], |_, v| {
        let mut args = Args::new(v);
        Ok(Value::Obj(Object::Duration(gotime::truncate(
            args.int(),
            args.int(),
        ))))
    }),
];
