//! `index.yaml` of an HTTP repository.
//!
//! Large repositories have indexes of ten megabytes for hundreds of charts, of
//! which one is wanted: its part is cut out by indentation and only that is
//! parsed. An index that is laid out otherwise is parsed whole.

use std::cmp::Reverse;

use url::Url;

use super::super::chart::fields::Fields;
use super::super::semver::{Constraint, Version};
use super::super::value::Value;
use super::super::yaml11::{self, YamlError};

/// Why an index does not help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// It is not YAML.
    #[error("the index is not readable")]
    Yaml(#[from] YamlError),
    /// It has no list of charts.
    #[error("the index has no entries")]
    NoEntries,
    /// The chart is not in it.
    #[error("there is no chart named {0:?}")]
    NoChart(String),
    /// No version fits.
    #[error("no version of {name} satisfies {range:?}; the newest is {newest}")]
    NoVersion {
        /// The chart.
        name: String,
        /// What was asked for.
        range: String,
        /// The newest version there is.
        newest: String,
    },
    /// An entry tells no address.
    #[error("{0} has no usable address")]
    NoUrl(String),
}

/// The text of an index, not parsed yet.
#[derive(Debug, Clone, Copy)]
pub struct Index<'a> {
    text: &'a [u8],
}

/// One version of a chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The version as written.
    pub version: String,
    /// The version of what it installs.
    pub app_version: String,
    /// The digest of the archive, usually without prefix.
    pub digest: Option<String>,
    /// Where the archive is.
    pub urls: Vec<String>,
}

impl<'a> Index<'a> {
    /// Takes an index as it came.
    pub fn new(text: &'a [u8]) -> Self {
        Self { text }
    }

    /// The entry that a version or range picks.
    pub fn find(&self, name: &str, range: &str) -> Result<Entry, IndexError> {
        let entries = self.versions(name)?;
        let versions = entries.iter().map(|entry| entry.version.as_str());
        let chosen = choose(versions, range).map(str::to_owned);
        let Some(chosen) = chosen else {
            return Err(match entries.first() {
                None => IndexError::NoChart(name.to_owned()),
                Some(newest) => IndexError::NoVersion {
                    name: name.to_owned(),
                    range: range.to_owned(),
                    newest: newest.version.clone(),
                },
            });
        };
        let mut entries = entries.into_iter();
        let found = entries.find(|entry| entry.version == chosen);
        found.ok_or_else(|| IndexError::NoChart(name.to_owned()))
    }

    /// All usable versions of a chart, the newest first.
    pub fn versions(&self, name: &str) -> Result<Vec<Entry>, IndexError> {
        let list = match self.cut(name).map(yaml11::parse) {
            Some(Ok(Value::Map(map))) => map.get(name).unwrap_or_default(),
            _ => self.parse_whole(name)?,
        };
        let items = list.as_list().unwrap_or_default();
        let mut entries: Vec<(Version, Entry)> = items.iter().filter_map(entry).collect();
        entries.sort_by(|(a, _), (b, _)| Reverse(a).cmp(&Reverse(b)));
        Ok(entries.into_iter().map(|(_, entry)| entry).collect())
    }

    fn parse_whole(&self, name: &str) -> Result<Value, IndexError> {
        let document = yaml11::parse(self.text)?;
        let entries = document.as_map().and_then(|map| map.get_map("entries"));
        let entries = entries.ok_or(IndexError::NoEntries)?;
        entries
            .get(name)
            .ok_or_else(|| IndexError::NoChart(name.to_owned()))
    }

    /// The lines of one chart below `entries:`, in the layout that helm writes.
    fn cut(&self, name: &str) -> Option<&'a [u8]> {
        let mut lines = Lines {
            text: self.text,
            at: 0,
        };
        lines.find(|(_, line)| line.trim_ascii_end() == b"entries:")?;
        let mut depth = None;
        let mut start = None;
        for (at, line) in lines {
            let content = line.trim_ascii_start();
            if content.is_empty() || content.starts_with(b"#") {
                continue;
            }
            let indent = line.len() - content.len();
            let depth = *depth.get_or_insert(indent);
            let next_key = indent < depth || (indent == depth && !content.starts_with(b"-"));
            match start {
                Some(start) if next_key => return self.text.get(start..at),
                None if indent == 0 && depth > 0 => return None,
                None if indent == depth && key_is(content, name) => start = Some(at),
                _ => {}
            }
        }
        self.text.get(start?..)
    }
}

fn key_is(line: &[u8], name: &str) -> bool {
    line.strip_prefix(name.as_bytes())
        .is_some_and(|rest| rest.trim_ascii() == b":")
}

/// Lines with where they begin.
struct Lines<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Lines<'a> {
    type Item = (usize, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.text.get(self.at..).filter(|rest| !rest.is_empty())?;
        let end = rest
            .iter()
            .position(|b| *b == b'\n')
            .map_or(rest.len(), |i| i + 1);
        let at = self.at;
        self.at += end;
        rest.get(..end).map(|line| (at, line))
    }
}

/// An entry that is whole; others are passed over, as helm does.
fn entry(item: &Value) -> Option<(Version, Entry)> {
    let fields = Fields::new(item, "entry").ok()?;
    let version = fields.text("version").ok()?;
    let parsed = Version::parse(&version).ok()?;
    let digest = fields.text("digest").ok()?;
    Some((
        parsed,
        Entry {
            version,
            app_version: fields.text("appVersion").unwrap_or_default(),
            digest: (!digest.is_empty()).then_some(digest),
            urls: fields.texts("urls").ok()?,
        },
    ))
}

impl Entry {
    /// Where the archive is: its own address, or relative to the repository's,
    /// whose query goes along.
    pub fn url(&self, repository: &Url) -> Result<Url, IndexError> {
        let none = || IndexError::NoUrl(self.version.clone());
        let text = self.urls.first().ok_or_else(none)?;
        if let Ok(url) = Url::parse(text) {
            return match url.scheme() {
                "http" | "https" => Ok(url),
                _ => Err(none()),
            };
        }
        let mut url = folder(repository).join(text).map_err(|_| none())?;
        url.set_query(repository.query());
        Ok(url)
    }
}

/// The address of a repository's index.
pub fn url(repository: &Url) -> Url {
    let mut url = folder(repository);
    let path = format!("{}index.yaml", url.path());
    url.set_path(&path);
    url
}

/// The address with a final slash, so that others can be relative to it.
fn folder(repository: &Url) -> Url {
    let mut url = repository.clone();
    let path = format!("{}/", repository.path().trim_end_matches('/'));
    url.set_path(&path);
    url
}

/// The version that a text picks: the very same text first, then the newest
/// that satisfies it as a range. Empty picks the newest that is no prerelease.
pub fn choose<'a>(versions: impl Iterator<Item = &'a str>, range: &str) -> Option<&'a str> {
    let versions: Vec<&str> = versions.collect();
    if let Some(same) = versions.iter().find(|version| **version == range) {
        return Some(same);
    }
    let range = if range.is_empty() { "*" } else { range };
    let range = Constraint::parse(range).ok()?;
    versions
        .into_iter()
        .filter_map(|text| Some((Version::parse(text).ok()?, text)))
        .filter(|(version, _)| range.matches(version))
        .max_by(|(a, _), (b, _)| a.cmp(b))
        .map(|(_, text)| text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const INDEX: &str = "apiVersion: v1\nentries:\n  other:\n  - version: 9.0.0\n    urls: [o.tgz]\n  dapr:\n  - version: 1.2.0\n    digest: abc\n    description: |\n      text\n\n      dapr:\n    urls:\n    - charts/dapr-1.2.0.tgz\n  - version: 1.10.0\n    urls: [https://cdn.example.com/d.tgz]\n  - version: broken\n  - null\n  - version: 2.0.0-rc.1\n    urls: [x]\n  z-last:\n  - version: 1.0.0\ngenerated: \"2026\"\n";

    #[test]
    fn the_newest_stable_version_is_the_default() {
        let cases = [
            ("", "1.10.0"),
            ("1.2.0", "1.2.0"),
            ("~1.2", "1.2.0"),
            (">0.0.0-0", "2.0.0-rc.1"),
            ("2.0.0-rc.1", "2.0.0-rc.1"),
            ("v1.2.0", "1.2.0"),
        ];
        for (range, want) in cases {
            let entry = Index::new(INDEX.as_bytes()).find("dapr", range).unwrap();
            assert_eq!(entry.version, want, "{range:?}");
        }
    }

    #[test]
    fn only_the_wanted_part_is_parsed() {
        let index = Index::new(INDEX.as_bytes());
        let part = std::str::from_utf8(index.cut("dapr").unwrap()).unwrap();
        assert!(
            part.starts_with("  dapr:\n") && part.ends_with("[x]\n"),
            "{part}"
        );
        let last = std::str::from_utf8(index.cut("z-last").unwrap()).unwrap();
        assert!(last.ends_with("version: 1.0.0\n"));
        // Rubbish elsewhere does no harm.
        let broken = INDEX.replace("[o.tgz]", "[}");
        assert!(Index::new(broken.as_bytes()).find("dapr", "").is_ok());
    }

    #[test]
    fn an_index_in_json_is_read_too() {
        let json = br#"{"apiVersion":"v1","entries":{"a":[{"version":"1.0.0","urls":["a.tgz"]}]}}"#;
        assert_eq!(Index::new(json).find("a", "").unwrap().version, "1.0.0");
    }

    #[test]
    fn what_is_missing_is_told() {
        let index = Index::new(INDEX.as_bytes());
        assert!(matches!(
            index.find("nope", ""),
            Err(IndexError::NoChart(_))
        ));
        let error = index.find("dapr", ">3").unwrap_err().to_string();
        assert!(error.contains("the newest is 2.0.0-rc.1"), "{error}");
        assert!(Index::new(b"").find("a", "").is_err());
        assert!(Index::new(b"entries: 3").find("a", "").is_err());
    }

    #[test]
    fn addresses_are_relative_to_the_repository() {
        let entry = |url: &str| Entry {
            version: "1".to_owned(),
            app_version: String::new(),
            digest: None,
            urls: vec![url.to_owned()],
        };
        let cases = [
            (
                "https://e.com/charts",
                "a.tgz",
                "https://e.com/charts/a.tgz",
            ),
            (
                "https://e.com/charts/?t=1",
                "x/a.tgz",
                "https://e.com/charts/x/a.tgz?t=1",
            ),
            ("https://e.com/charts", "/a.tgz", "https://e.com/a.tgz"),
            (
                "https://e.com",
                "https://o.com/a.tgz",
                "https://o.com/a.tgz",
            ),
        ];
        for (base, url, want) in cases {
            let base = Url::parse(base).unwrap();
            assert_eq!(entry(url).url(&base).unwrap().as_str(), want);
        }
        let base = Url::parse("https://e.com/c?t=1").unwrap();
        assert_eq!(url(&base).as_str(), "https://e.com/c/index.yaml?t=1");
        assert!(entry("file:///etc/passwd").url(&base).is_err());
    }

    proptest! {
        #[test]
        fn no_index_panics(text in "(entries:\n|  a:\n|  - version: 1.0.0\n|    urls: \\[x\\]\n|  b: &x\n|\\PC{0,8}\n){0,12}") {
            let _ = Index::new(text.as_bytes()).find("a", "");
        }
    }
}
