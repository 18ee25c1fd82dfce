//! Paths and URLs, by Go's packages `path` and `net/url`.

use super::{Args, FnError, Function, Param, Returned, plain};
use crate::helm::engine::Run;
use crate::helm::value::{Map, Value};

const S: Param = Param::Str;

pub(super) const FUNCTIONS: &[Function] = &[
    plain("base", &[S], |_, v| text_of(v, base)),
    plain("dir", &[S], |_, v| text_of(v, dir)),
    plain("clean", &[S], |_, v| text_of(v, clean)),
    plain("ext", &[S], |_, v| text_of(v, ext)),
    plain("isAbs", &[S], is_abs),
    plain("osBase", &[S], |_, v| text_of(v, base)),
    plain("osDir", &[S], |_, v| text_of(v, dir)),
    plain("osClean", &[S], |_, v| text_of(v, clean)),
    plain("osExt", &[S], |_, v| text_of(v, ext)),
    plain("osIsAbs", &[S], is_abs),
    plain("urlParse", &[S], url_parse),
    plain("urlJoin", &[Param::Map], url_join),
];

fn text_of(values: Vec<Value>, f: impl Fn(&str) -> String) -> Returned {
    Ok(Value::from(f(&Args::new(values).text())))
}

fn base(path: &str) -> String {
    if path.is_empty() {
        return ".".to_owned();
    }
    match path.trim_end_matches('/') {
        "" => "/".to_owned(),
        rest => rest.rsplit('/').next().unwrap_or(rest).to_owned(),
    }
}

fn dir(path: &str) -> String {
    let head = path
        .rfind('/')
        .map_or("", |at| path.get(..=at).unwrap_or(""));
    clean(head)
}

fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => match parts.last() {
                Some(last) if *last != ".." => {
                    parts.pop();
                }
                _ if rooted => {}
                _ => parts.push(part),
            },
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

fn ext(path: &str) -> String {
    let base = path.rsplit('/').next().unwrap_or(path);
    base.rfind('.')
        .and_then(|at| base.get(at..))
        .unwrap_or("")
        .to_owned()
}

fn is_abs(_: &mut Run<'_>, values: Vec<Value>) -> Returned {
    Ok(Value::Bool(Args::new(values).bytes().starts_with(b"/")))
}

/// `url.QueryEscape`.
pub(super) fn query_escape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for byte in text {
        match byte {
            b' ' => out.push(b'+'),
            b if b.is_ascii_alphanumeric() || b"-_.~".contains(b) => out.push(*b),
            b => out.extend_from_slice(format!("%{b:02X}").as_bytes()),
        }
    }
    out
}

fn escape(text: &str, keep: &[u8]) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) || keep.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

const IN_PATH: &[u8] = b"$&+,/:;=@";
const IN_USER: &[u8] = b"$&+,;=";
const IN_FRAGMENT: &[u8] = b"$&+,/:;=?@!()*";

/// Decodes `%41`; the error is Go's text.
fn unescape(text: &str) -> Result<String, String> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        if *byte != b'%' {
            out.push(*byte);
            at += 1;
            continue;
        }
        let code = text
            .get(at + 1..at + 3)
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        if let Some(code) = code {
            out.push(code);
        } else {
            let shown: String = text.get(at..).unwrap_or("").chars().take(3).collect();
            return Err(format!("invalid URL escape {shown:?}"));
        }
        at += 3;
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}

/// The parts of a URL, decoded but for the query.
#[derive(Debug, Default)]
struct Url {
    scheme: String,
    opaque: String,
    user: Option<(String, Option<String>)>,
    host: String,
    path: String,
    raw_path: String,
    query: String,
    force_query: bool,
    fragment: String,
    has_authority: bool,
}

impl Url {
    fn parse(text: &str) -> Result<Self, String> {
        let parsed = Self::parts(text);
        parsed.map_err(|reason| {
            let quoted = crate::helm::gofmt::quote(text.as_bytes());
            format!("parse {}: {reason}", String::from_utf8_lossy(&quoted))
        })
    }

    fn parts(text: &str) -> Result<Self, String> {
        let mut url = Self::default();
        if text.bytes().any(|b| b < b' ' || b == 0x7f) {
            return Err("net/url: invalid control character in URL".to_owned());
        }
        let (text, fragment) = text.split_once('#').unwrap_or((text, ""));
        url.fragment = unescape(fragment)?;
        if text == "*" {
            "*".clone_into(&mut url.path);
            return Ok(url);
        }
        let mut rest = url.take_scheme(text)?;
        if rest.ends_with('?') && rest.matches('?').count() == 1 {
            url.force_query = true;
            rest = rest.trim_end_matches('?');
        } else if let Some((before, query)) = rest.split_once('?') {
            rest = before;
            query.clone_into(&mut url.query);
        }
        if !rest.starts_with('/') {
            if !url.scheme.is_empty() {
                rest.clone_into(&mut url.opaque);
                return Ok(url);
            }
            if rest
                .split('/')
                .next()
                .is_some_and(|first| first.contains(':'))
            {
                return Err("first path segment in URL cannot contain colon".to_owned());
            }
        }
        let with_authority =
            rest.starts_with("//") && (!url.scheme.is_empty() || !rest.starts_with("///"));
        if with_authority {
            let body = rest.get(2..).unwrap_or("");
            let end = body.find('/').unwrap_or(body.len());
            let (authority, path) = body.split_at(end);
            url.has_authority = true;
            url.take_authority(authority)?;
            rest = path;
        }
        url.path = unescape(rest)?;
        if escape(&url.path, IN_PATH) != rest {
            rest.clone_into(&mut url.raw_path);
        }
        Ok(url)
    }

    fn take_scheme<'t>(&mut self, text: &'t str) -> Result<&'t str, String> {
        for (i, c) in text.char_indices() {
            match c {
                'a'..='z' | 'A'..='Z' => {}
                '0'..='9' | '+' | '-' | '.' if i > 0 => {}
                ':' if i == 0 => return Err("missing protocol scheme".to_owned()),
                ':' => {
                    self.scheme = text.get(..i).unwrap_or("").to_lowercase();
                    return Ok(text.get(i + 1..).unwrap_or(""));
                }
                _ => break,
            }
        }
        Ok(text)
    }

    fn take_authority(&mut self, authority: &str) -> Result<(), String> {
        let host = match authority.rsplit_once('@') {
            None => authority,
            Some((user, host)) => {
                let (name, password) = match user.split_once(':') {
                    Some((name, password)) => (name, Some(unescape(password)?)),
                    None => (user, None),
                };
                self.user = Some((unescape(name)?, password));
                host
            }
        };
        let port = host.rfind(':').and_then(|at| host.get(at + 1..));
        if !host.ends_with(']')
            && let Some(port) = port
            && !port.bytes().all(|c| c.is_ascii_digit())
        {
            let shown = format!(":{port}");
            return Err(format!("invalid port {shown:?} after host"));
        }
        self.host = unescape(host)?;
        Ok(())
    }

    fn hostname(&self) -> &str {
        if let Some(inner) = self.host.strip_prefix('[') {
            return inner.split(']').next().unwrap_or(inner);
        }
        match self.host.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|c| c.is_ascii_digit()) => host,
            _ => &self.host,
        }
    }

    fn user_text(&self) -> String {
        match &self.user {
            None => String::new(),
            Some((name, None)) => escape(name, IN_USER),
            Some((name, Some(password))) => {
                format!("{}:{}", escape(name, IN_USER), escape(password, IN_USER))
            }
        }
    }

    fn text(&self) -> String {
        let mut out = String::new();
        if !self.scheme.is_empty() {
            out.push_str(&self.scheme);
            out.push(':');
        }
        if self.opaque.is_empty() {
            let authority = !self.host.is_empty() || self.user.is_some();
            if !self.scheme.is_empty() || authority {
                if authority || !self.path.is_empty() {
                    let rootless =
                        self.host.is_empty() && self.user.is_none() && !self.has_authority;
                    if !rootless
                        || self.path.starts_with("//")
                        || authority
                        || !self.scheme.is_empty()
                    {
                        out.push_str("//");
                    }
                }
                if self.user.is_some() {
                    out.push_str(&self.user_text());
                    out.push('@');
                }
                out.push_str(&escape(&self.host, b"$&+,;=:[]<>\"!'()*"));
            }
            let path = if self.raw_path.is_empty() {
                escape(&self.path, IN_PATH)
            } else {
                self.raw_path.clone()
            };
            if !path.is_empty() && !path.starts_with('/') && !self.host.is_empty() {
                out.push('/');
            }
            if out.is_empty() && path.split('/').next().is_some_and(|s| s.contains(':')) {
                out.push_str("./");
            }
            out.push_str(&path);
        } else {
            out.push_str(&self.opaque);
        }
        if self.force_query || !self.query.is_empty() {
            out.push('?');
            out.push_str(&self.query);
        }
        if !self.fragment.is_empty() {
            out.push('#');
            out.push_str(&escape(&self.fragment, IN_FRAGMENT));
        }
        out
    }
}

fn url_parse(_: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let url = Url::parse(&Args::new(values).text())
        .map_err(|error| FnError::text(format!("unable to parse url: {error}")))?;
    let map = Map::new();
    map.set("scheme", url.scheme.as_str());
    map.set("host", url.host.as_str());
    map.set("hostname", url.hostname());
    map.set("path", url.path.as_str());
    map.set("query", url.query.as_str());
    map.set("opaque", url.opaque.as_str());
    map.set("fragment", url.fragment.as_str());
    map.set("userinfo", url.user_text());
    Ok(Value::Map(map))
}

fn url_join(_: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let map = Args::new(values).map().unwrap_or_default();
    let part = |key: &str| match map.get(key) {
        None => Ok(String::new()),
        Some(Value::Str(s)) => Ok(String::from_utf8_lossy(&s).into_owned()),
        Some(Value::Nil) => Err(FnError::text(super::NIL_PANIC)),
        Some(other) => Err(FnError::text(format!(
            "unable to parse {key} key, must be of type string, but {} found",
            other.kind_name()
        ))),
    };
    let mut url = Url {
        scheme: part("scheme")?,
        host: part("host")?,
        path: part("path")?,
        query: part("query")?,
        opaque: part("opaque")?,
        fragment: part("fragment")?,
        ..Url::default()
    };
    let user = part("userinfo")?;
    if !user.is_empty() {
        let parsed = Url::parse(&format!("proto://{user}@host"))
            .map_err(|error| FnError::text(format!("unable to parse userinfo in dict: {error}")))?;
        url.user = parsed.user;
    }
    Ok(Value::from(url.text()))
}
