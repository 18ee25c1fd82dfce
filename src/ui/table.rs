//! Tables and paragraphs that fit 80 columns.

use comfy_table::{ContentArrangement, Table, presets};

/// A table with a heading row and no lines. Cells wrap inside `width`.
pub fn table(heading: &[&str], rows: &[Vec<String>], width: u16) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(width);
    table.set_header(heading.iter().map(|text| text.to_uppercase()));
    for row in rows {
        table.add_row(row);
    }
    let text = table.to_string();
    text.lines()
        .map(|line| line.trim_end().to_owned() + "\n")
        .collect()
}

/// A text in lines of at most `width` characters, each behind `indent` spaces.
/// Words that are longer than a line are broken.
pub fn paragraph(text: &str, indent: usize, width: usize) -> String {
    let room = width.saturating_sub(indent).max(1);
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    let mut length = 0;
    for word in text.split_whitespace() {
        let letters: Vec<char> = word.chars().collect();
        if length > 0 && length + 1 + letters.len() > room {
            lines.push(std::mem::take(&mut line));
            length = 0;
        }
        for piece in letters.chunks(room) {
            if length > 0 && length + 1 + piece.len() > room {
                lines.push(std::mem::take(&mut line));
                length = 0;
            }
            if length > 0 {
                line.push(' ');
                length += 1;
            }
            line.extend(piece);
            length += piece.len();
        }
    }
    if length > 0 {
        lines.push(line);
    }
    let spaces = " ".repeat(indent);
    lines
        .iter()
        .map(|line| format!("{spaces}{line}\n"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_keep_their_width() {
        assert_eq!(paragraph("one two three", 2, 9), "  one two\n  three\n");
        assert_eq!(
            paragraph("a verylongword b", 0, 6),
            "a\nverylo\nngword\nb\n"
        );
        assert_eq!(paragraph("", 4, 10), "");
    }
}
