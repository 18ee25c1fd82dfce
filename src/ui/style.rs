//! Colours: a hint, never the only carrier of a meaning.

use anstyle::{AnsiColor, Effects, Style as Ansi};

/// What a piece of text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// A heading or an important name.
    Strong,
    /// Secondary text.
    Dim,
    /// Something good or new.
    Good,
    /// Something that changes or wants attention.
    Warning,
    /// Something bad or going away.
    Bad,
}

impl Style {
    fn ansi(self) -> Ansi {
        let color = |color: AnsiColor| Ansi::new().fg_color(Some(color.into()));
        match self {
            Self::Strong => Ansi::new().effects(Effects::BOLD),
            Self::Dim => Ansi::new().effects(Effects::DIMMED),
            Self::Good => color(AnsiColor::Green),
            Self::Warning => color(AnsiColor::Yellow),
            Self::Bad => color(AnsiColor::Red),
        }
    }
}

/// Colours text, or leaves it alone.
#[derive(Debug, Clone, Copy)]
pub struct Paint {
    enabled: bool,
}

impl Paint {
    /// A painter that paints, or one that does not.
    pub fn new(enabled: bool) -> Self {
        Self { enabled }
    }

    /// The text in a style.
    pub fn apply(self, style: Style, text: &str) -> String {
        let mut styled = String::with_capacity(text.len());
        self.write(&mut styled, style, |out| out.push_str(text));
        styled
    }

    /// Appends in a style what `write` appends.
    pub fn write(self, to: &mut String, style: Style, write: impl FnOnce(&mut String)) {
        if !self.enabled {
            return write(to);
        }
        let ansi = style.ansi();
        to.push_str(&ansi.render().to_string());
        write(to);
        to.push_str(&ansi.render_reset().to_string());
    }
}
