//! The INI dialect of Oracle's config file, which is that of Python's
//! `configparser`: keys in any case, `=` or `:`, comment lines, values that go
//! on in indented lines, and a section `DEFAULT` that the others inherit from.
//! No interpolation.

/// The section that the others inherit from.
const DEFAULT: &str = "DEFAULT";

/// A parsed file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ini {
    sections: Vec<Section>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Section {
    name: String,
    entries: Vec<Entry>,
}

/// A value and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) value: String,
    /// Counted from one.
    pub(super) line: usize,
}

/// A line that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BadLine {
    pub(super) line: usize,
    pub(super) problem: &'static str,
}

impl Ini {
    pub(super) fn parse(text: &str) -> Result<Self, BadLine> {
        let mut ini = Self::default();
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for (index, raw) in text.lines().enumerate() {
            ini.line(index + 1, raw)?;
        }
        Ok(ini)
    }

    fn line(&mut self, line: usize, raw: &str) -> Result<(), BadLine> {
        let text = raw.trim();
        let bad = |problem| Err(BadLine { line, problem });
        if text.is_empty() || text.starts_with(['#', ';']) {
            return Ok(());
        }
        if raw.starts_with([' ', '\t'])
            && let Some(entry) = self.sections.last_mut().and_then(|s| s.entries.last_mut())
        {
            entry.value.push('\n');
            entry.value.push_str(text);
            return Ok(());
        }
        if let Some(rest) = text.strip_prefix('[') {
            let Some((name, _)) = rest.split_once(']') else {
                return bad("the section's name lacks its closing bracket");
            };
            if self
                .sections
                .iter()
                .any(|s| s.name == name && name != DEFAULT)
            {
                return bad("a section of this name is further up already");
            }
            self.sections.push(Section {
                name: name.to_owned(),
                entries: Vec::new(),
            });
            return Ok(());
        }
        let Some(section) = self.sections.last_mut() else {
            return bad("there is no section such as `[DEFAULT]` above it");
        };
        let Some((key, value)) = text.split_once(['=', ':']) else {
            return bad("it is neither a section nor `key=value`");
        };
        let key = key.trim().to_ascii_lowercase();
        if section.entries.iter().any(|e| e.key == key) {
            return bad("the key is in this section already");
        }
        section.entries.push(Entry {
            key,
            value: value.trim().to_owned(),
            line,
        });
        Ok(())
    }

    /// The names of the sections.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.sections.iter().map(|s| s.name.as_str())
    }

    /// Whether the section exists. `DEFAULT` always does.
    pub(super) fn has(&self, section: &str) -> bool {
        section == DEFAULT || self.names().any(|name| name == section)
    }

    /// A value of the section, or else the inherited one.
    pub(super) fn get(&self, section: &str, key: &str) -> Option<&Entry> {
        let find = |name: &str| {
            self.sections
                .iter()
                .filter(|s| s.name == name)
                .flat_map(|s| &s.entries)
                .find(|e| e.key == key)
        };
        find(section).or_else(|| find(DEFAULT))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value<'a>(ini: &'a Ini, section: &str, key: &str) -> Option<(&'a str, usize)> {
        ini.get(section, key).map(|e| (e.value.as_str(), e.line))
    }

    #[test]
    fn profiles_inherit_from_default() {
        let text = "# mine\n[DEFAULT]\nUser = u1\nregion: fra\n\n[work]\nuser=u2\n; note\n";
        let ini = Ini::parse(text).unwrap();
        assert_eq!(value(&ini, "work", "user"), Some(("u2", 7)));
        assert_eq!(value(&ini, "work", "region"), Some(("fra", 4)));
        assert_eq!(value(&ini, "DEFAULT", "user"), Some(("u1", 3)));
        assert_eq!(value(&ini, "work", "tenancy"), None);
        assert!(ini.has("work") && !ini.has("play"));
    }

    #[test]
    fn values_keep_equal_signs_and_go_on_in_indented_lines() {
        let ini = Ini::parse("[DEFAULT]\r\npass_phrase=a=b%c\r\nlong=1\r\n  2\r\n").unwrap();
        assert_eq!(value(&ini, "DEFAULT", "pass_phrase"), Some(("a=b%c", 2)));
        assert_eq!(value(&ini, "DEFAULT", "long"), Some(("1\n2", 3)));
    }

    #[test]
    fn a_bad_line_is_told_with_its_number() {
        let cases = [
            ("user=x\n", 1),
            ("[DEFAULT]\nuser x\n", 2),
            ("[DEFAULT\n", 1),
            ("[DEFAULT]\nuser=a\nUSER=b\n", 3),
            ("[a]\n[a]\n", 2),
        ];
        for (text, line) in cases {
            assert_eq!(Ini::parse(text).unwrap_err().line, line, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC*[\\[\\]=:\n \t;#a-z]{0,80}") {
            let _ = Ini::parse(&text);
        }
    }
}
