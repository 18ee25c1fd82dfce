//! What stands before a node or a document: directives, anchors, aliases and
//! tags.

use super::{Kind, Result, Scanner, Tag, token_at};

impl<'a> Scanner<'a> {
    pub(super) fn fetch_directive(&mut self) -> Result<()> {
        self.unroll_indent(-1);
        self.remove_simple_key()?;
        self.simple_key_allowed = false;
        let mark = self.mark;
        self.skip();
        let name = self.word(|c| c.is_ascii_alphanumeric() || c == b'_' || c == b'-');
        if name.is_empty() {
            return self.error("could not find expected directive name");
        }
        if !self.is_blankz_at(0) {
            return self.error("found unexpected non-alphabetical character");
        }
        let kind = match name {
            "YAML" => self.version_directive()?,
            "TAG" => self.tag_directive()?,
            _ => return self.error("found unknown directive name"),
        };
        self.skip_blanks();
        if self.at(0) == b'#' {
            self.skip_to_break();
        }
        if !self.is_breakz() {
            return self.error("did not find expected comment or line break");
        }
        if self.is_break() {
            self.skip_line();
        }
        self.tokens.push_back(token_at(kind, mark));
        Ok(())
    }

    pub(super) fn skip_blanks(&mut self) {
        while self.is_blank() {
            self.skip();
        }
    }

    /// The characters, all of them ASCII, that are accepted.
    fn word(&mut self, accept: impl Fn(u8) -> bool) -> &'a str {
        let start = self.mark.index;
        self.skip_until(|byte| !accept(byte));
        self.part(start, self.mark.index)
    }

    fn version_directive(&mut self) -> Result<Kind<'a>> {
        self.skip_blanks();
        let major = self.version_number()?;
        if self.at(0) != b'.' {
            return self.error("did not find expected digit or '.' character");
        }
        self.skip();
        let minor = self.version_number()?;
        Ok(Kind::VersionDirective(major, minor))
    }

    fn version_number(&mut self) -> Result<u32> {
        let digits = self.word(|c| c.is_ascii_digit());
        if digits.len() > 2 {
            return self.error("found extremely long version number");
        }
        match digits.parse() {
            Ok(n) => Ok(n),
            Err(_) => self.error("did not find expected version number"),
        }
    }

    fn tag_directive(&mut self) -> Result<Kind<'a>> {
        self.skip_blanks();
        let handle = self.tag_handle(true)?;
        if !self.is_blank() {
            return self.error("did not find expected whitespace");
        }
        self.skip_blanks();
        let rest = self.tag_uri("")?;
        if !self.is_blankz_at(0) {
            return self.error("did not find expected whitespace or line break");
        }
        Ok(Kind::TagDirective(Box::new(Tag { handle, rest })))
    }

    pub(super) fn fetch_anchor(&mut self, alias: bool) -> Result<()> {
        self.save_simple_key()?;
        self.simple_key_allowed = false;
        let mark = self.mark;
        self.skip();
        let name = self.word(|c| c.is_ascii_alphanumeric() || c == b'_' || c == b'-');
        let follows = self.is_blankz_at(0)
            || matches!(
                self.at(0),
                b'?' | b':' | b',' | b']' | b'}' | b'%' | b'@' | b'`'
            );
        if name.is_empty() || !follows {
            return self.error("did not find expected alphabetic or numeric character");
        }
        let kind = if alias {
            Kind::Alias(name)
        } else {
            Kind::Anchor(name)
        };
        self.tokens.push_back(token_at(kind, mark));
        Ok(())
    }

    pub(super) fn fetch_tag(&mut self) -> Result<()> {
        self.save_simple_key()?;
        self.simple_key_allowed = false;
        let mark = self.mark;
        let (handle, rest) = if self.at(1) == b'<' {
            self.skip();
            self.skip();
            let uri = self.tag_uri("")?;
            if self.at(0) != b'>' {
                return self.error("did not find the expected '>'");
            }
            self.skip();
            (String::new(), uri)
        } else {
            let handle = self.tag_handle(false)?;
            if handle.len() > 1 && handle.ends_with('!') {
                let rest = self.tag_uri("")?;
                (handle, rest)
            } else {
                let rest = self.tag_uri(&handle)?;
                if rest.is_empty() {
                    (String::new(), "!".to_owned())
                } else {
                    ("!".to_owned(), rest)
                }
            }
        };
        if !self.is_blankz_at(0) {
            return self.error("did not find expected whitespace or line break");
        }
        let tag = Box::new(Tag { handle, rest });
        self.tokens.push_back(token_at(Kind::Tag(tag), mark));
        Ok(())
    }

    fn tag_handle(&mut self, directive: bool) -> Result<String> {
        if self.at(0) != b'!' {
            return self.error("did not find expected '!'");
        }
        self.skip();
        let mut handle = "!".to_owned();
        handle.push_str(self.word(|c| c.is_ascii_alphanumeric() || c == b'_' || c == b'-'));
        if self.at(0) == b'!' {
            self.skip();
            handle.push('!');
        } else if directive && handle != "!" {
            return self.error("did not find expected '!'");
        }
        Ok(handle)
    }

    /// A tag's URI. `head` is a handle that turned out to be part of it.
    fn tag_uri(&mut self, head: &str) -> Result<String> {
        let mut out: Vec<u8> = head.bytes().skip(1).collect();
        let had_head = !head.is_empty();
        while !self.ended()
            && (self.at(0).is_ascii_alphanumeric()
                || b"_-;/?:@&=+$,.!~*'()[]%".contains(&self.at(0)))
        {
            if self.at(0) == b'%' {
                let digits = [self.at(1), self.at(2)];
                let byte = std::str::from_utf8(&digits)
                    .ok()
                    .and_then(|d| u8::from_str_radix(d, 16).ok());
                let Some(byte) = byte else {
                    return self.error("did not find URI escaped octet");
                };
                out.push(byte);
                for _ in 0..3 {
                    self.skip();
                }
            } else {
                out.push(self.at(0));
                self.skip();
            }
        }
        if out.is_empty() && !had_head {
            return self.error("did not find expected tag URI");
        }
        Ok(String::from_utf8_lossy(&out).into_owned())
    }
}
