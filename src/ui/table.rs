//! Tables that fit 80 columns.

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
