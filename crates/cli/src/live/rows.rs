//! Tables as the live view draws them: numbers to the right, the last column takes what is left and is cut in its
//! middle.

use crate::render::cut;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

/// A column.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Its head; `>` before it puts the column to the right.
    pub head: &'static str,
    /// Whether the rows are sorted by it.
    pub is_sorted: bool,
}

impl From<&'static str> for Column {
    fn from(head: &'static str) -> Self {
        Self { head, is_sorted: false }
    }
}

/// A row: its cells, and how it looks.
#[derive(Debug, Clone, Default)]
pub struct Row {
    /// One for each column.
    pub cells: Vec<String>,
    /// How it looks.
    pub style: Style,
}

/// The head and the rows, no wider than `width`.
pub fn lines(columns: &[Column], rows: &[Row], width: usize, head: Style) -> Vec<Line<'static>> {
    let name = |column: &Column| column.head.trim_start_matches('>');
    let widest = |at: usize| {
        let cells = rows.iter().filter_map(|row| row.cells.get(at)).map(|cell| cell.chars().count());
        cells.chain([name(&columns[at]).len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns.len()).map(widest).collect();
    let sorted = Modifier::BOLD | Modifier::UNDERLINED;
    let style = |column: &Column| if column.is_sorted { head.add_modifier(sorted) } else { head };
    let heads = columns.iter().map(|column| (name(column).to_owned(), style(column)));
    let mut lines = vec![line(columns, &widths, width, heads)];
    for row in rows {
        lines.push(line(columns, &widths, width, row.cells.iter().map(|cell| (cell.clone(), row.style))));
    }
    lines
}

fn line(
    columns: &[Column],
    widths: &[usize],
    width: usize,
    cells: impl Iterator<Item = (String, Style)>,
) -> Line<'static> {
    let mut left = width;
    let mut spans = Vec::new();
    for (at, ((text, style), column)) in cells.zip(columns).enumerate() {
        if at > 0 {
            spans.push(Span::raw("  "));
            left = left.saturating_sub(2);
        }
        let is_last = at + 1 == columns.len();
        let text = if is_last { cut(&text, left) } else { text };
        let gap = " ".repeat(if is_last { 0 } else { widths[at].saturating_sub(text.chars().count()) });
        left = left.saturating_sub(widths[at]);
        let is_right = column.head.starts_with('>');
        // A sorted head is underlined, its padding is not.
        let (before, after) = if is_right { (gap, String::new()) } else { (String::new(), gap) };
        spans.extend([Span::raw(before), Span::styled(text, style), Span::raw(after)]);
    }
    Line::from(spans)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_right_and_the_last_column_is_cut_in_its_middle() {
        let columns = ["pid", ">size", "what"].map(Column::from);
        let row = |cells: [&str; 3]| Row { cells: cells.map(str::to_owned).to_vec(), ..Row::default() };
        let rows = [row(["1", "12.00 KiB", "short"]), row(["4242", "1 B", "a very long description"])];
        let text: Vec<String> =
            lines(&columns, &rows, 28, Style::new()).iter().map(Line::to_string).collect();
        assert_eq!(text, ["pid        size  what", "1     12.00 KiB  short", "4242        1 B  a ve...tion"]);
    }
}
