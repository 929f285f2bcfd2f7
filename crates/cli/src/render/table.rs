//! Tables of at most 100 columns.

use super::cut;
use crate::look::{Tone, paint};
use comfy_table::{CellAlignment, Table, presets};
use std::io::{self, Write};

/// The widest a table may be.
const MAX_COLUMNS: usize = 100;

/// Writes rows under their heads. A head that begins with `>` is of a column of numbers. If the table were too
/// wide, the columns move closer, and the texts of the widest column of texts are cut in their middle.
pub fn table(out: &mut dyn Write, heads: &[&str], mut rows: Vec<Vec<String>>) -> io::Result<()> {
    let mut text = laid_out(heads, &rows, 2);
    if excess(&text) > 0 {
        text = laid_out(heads, &rows, 1);
    }
    let texts = heads.iter().enumerate().filter(|(_, head)| !head.starts_with('>'));
    let width_of = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widest = texts.map(|(column, _)| (width_of(column), column)).max();
    if let (Some((width, column)), true) = (widest, excess(&text) > 0) {
        let room = width.saturating_sub(excess(&text)).max(8);
        rows.iter_mut().for_each(|row| row[column] = cut(&row[column], room));
        text = laid_out(heads, &rows, 1);
    }
    for (i, line) in text.iter().enumerate() {
        let line = if i == 0 { paint(Tone::Head, line) } else { line.clone() };
        writeln!(out, "{line}")?;
    }
    Ok(())
}

/// How much wider than allowed the lines are.
fn excess(lines: &[String]) -> usize {
    let width = lines.iter().map(|line| line.chars().count()).max().unwrap_or(0);
    width.saturating_sub(MAX_COLUMNS)
}

fn laid_out(heads: &[&str], rows: &[Vec<String>], gap: u16) -> Vec<String> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(heads.iter().map(|head| head.trim_start_matches('>')));
    table.add_rows(rows);
    for (column, head) in table.column_iter_mut().zip(heads) {
        column.set_padding((0, gap));
        if head.starts_with('>') {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_align_numbers_to_the_right() {
        let mut out = Vec::new();
        let rows = vec![vec!["a".into(), "1".into()], vec!["bb".into(), "100".into()]];
        table(&mut out, &["x", ">number"], rows).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "x   number\na        1\nbb     100\n");
    }
}
