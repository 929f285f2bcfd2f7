//! What people read: sizes, chips, moments, tables, and the first line of every report.

use crate::left;
use crate::replay::{Replay, Status};
use comfy_table::{CellAlignment, Table, presets};
use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::Path;
use tt_memtrace_ledger::{Moment, Totals, TypeTotals};
use tt_memtrace_wire::{Header, Place};

/// Memory sizes are powers of two, so are the units.
#[expect(clippy::cast_precision_loss, reason = "two decimals are shown")]
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let mut value = n as f64 / 1024.0;
    let mut units = UNITS.iter();
    let mut unit = units.next();
    while value >= 1023.995 {
        value /= 1024.0;
        unit = units.next();
    }
    format!("{value:.2} {}", unit.unwrap_or(&""))
}

/// A count with its noun.
pub fn count(n: u64, noun: &str) -> String {
    let digits = n.to_string();
    let first = digits.len() % 3;
    let mut text = digits[..first].to_owned();
    for group in digits.as_bytes()[first..].chunks(3) {
        if !text.is_empty() {
            text.push(',');
        }
        text.extend(group.iter().map(|digit| char::from(*digit)));
    }
    let plural = if n == 1 || noun.is_empty() { "" } else { "s" };
    format!("{text} {noun}{plural}").trim_end().to_owned()
}

/// `part` of `whole`, in per cent.
#[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
pub fn percent(part: u64, whole: u64) -> String {
    if whole == 0 { String::new() } else { format!("{:.1} %", 100.0 * part as f64 / whole as f64) }
}

/// Seconds since the capture began.
pub fn seconds(t_ns: u64, header: &Header) -> String {
    format!("{:.3} s", crate::json::seconds(t_ns, header))
}

/// When something was, and at which event.
pub fn moment(at: Moment, header: &Header) -> String {
    if at.n == 0 { "start".into() } else { format!("{} (n {})", seconds(at.t_ns, header), at.n) }
}

/// Chips by their numbers: `chip 3`, `chips 0-3,8`.
pub fn chips(chips: &[u32]) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for &chip in chips {
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(chip) => *last = chip,
            _ => ranges.push((chip, chip)),
        }
    }
    let range = |(a, b): &(u32, u32)| if a == b { a.to_string() } else { format!("{a}-{b}") };
    let list = ranges.iter().map(range).collect::<Vec<_>>().join(",");
    match chips.len() {
        0 => "unknown chips".into(),
        1 => format!("chip {list}"),
        _ => format!("chips {list}"),
    }
}

/// The same, saying that the figures are those of one chip.
pub fn each(numbers: &[u32]) -> String {
    let list = chips(numbers);
    if numbers.len() > 1 { format!("{list}, each") } else { list }
}

/// A path as the user would type it here.
pub fn path(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path).display().to_string()
}

/// Where a buffer is.
pub fn place(place: Place, its_chips: &[u32]) -> String {
    match place {
        Place::Mesh(mesh_id) => format!("mesh {mesh_id} ({})", chips(its_chips)),
        Place::Chip(chip) => format!("chip {chip}"),
    }
}

/// Cuts a text in its middle, so that its beginning and its end stay readable.
pub fn cut(text: &str, width: usize) -> String {
    let n = text.chars().count();
    if n <= width {
        return text.to_owned();
    }
    let head = width.saturating_sub(3).div_ceil(2);
    let tail = width.saturating_sub(3) - head;
    let (start, end) = (text.chars().take(head), text.chars().skip(n - tail));
    start.chain("...".chars()).chain(end).collect()
}

/// A word as a shell reads it.
pub fn shell_word(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+%@".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.into_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// Writes rows under their heads. A head that begins with `>` is of a column of numbers.
pub fn table(out: &mut dyn Write, heads: &[&str], rows: Vec<Vec<String>>) -> io::Result<()> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(heads.iter().map(|head| head.trim_start_matches('>')));
    table.add_rows(rows);
    for (column, head) in table.column_iter_mut().zip(heads) {
        column.set_padding((0, 2));
        if head.starts_with('>') {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for line in table.lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// The first line of every report: source, range, losses, and an ending that was not in order.
pub fn first_line(replay: &Replay) -> String {
    let Replay { header, .. } = replay;
    let lost = match replay.n_dropped {
        0 => "complete".into(),
        n => format!("{} DROPPED", count(n, "event")),
    };
    let mut line = format!(
        "{}: {} pid {}, {} in {}, {lost}, {}",
        path(&replay.path),
        cut(&header.program, 30),
        header.pid,
        count(replay.n_events, "event"),
        seconds(replay.last.t_ns, header),
        replay.status,
    );
    if replay.n_unfinished > 0 {
        line.push_str(&format!(", {} cut off", count(replay.n_unfinished, "event")));
    }
    if replay.is_torn && replay.status != Status::Running {
        line.push_str(", last line torn");
    }
    line
}

/// What the reader must know besides: a parent that was not found, lines that were passed over.
pub fn notes(replay: &Replay, is_verbose: bool) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(why) = &replay.missing_parent {
        notes.push(format!(
            "forked: inherited buffers are unknown, the parent's capture was not found ({why}); \
             unknown deallocations are expected"
        ));
    }
    if is_verbose && replay.n_unknown > 0 {
        notes.push(crate::replay::passed_over(&replay.path, replay.n_unknown));
    }
    notes
}

/// Chips whose figures are equal come together.
pub fn collapse(groups: &[Totals]) -> Vec<Totals> {
    let mut merged: Vec<Totals> = Vec::new();
    for group in groups.iter().filter(|group| !group.types.is_empty()) {
        match merged.iter_mut().find(|known| known.types == group.types) {
            Some(known) => {
                known.chips.extend(&group.chips);
                known.chips.sort_unstable();
            }
            None => merged.push(group.clone()),
        }
    }
    merged
}

/// The share of its bank that a type had at its peak.
pub fn peak_share(totals: &TypeTotals) -> String {
    totals
        .bank
        .as_ref()
        .map_or(String::new(), |bank| percent(totals.tally.bank_bytes.peak, bank.bank_size_bytes))
}

/// A few lines on one process: what it held at most, and what was left.
pub fn brief(replay: &Replay) -> Vec<String> {
    let mut lines = vec![first_line(replay)];
    let left = left::by_chip(replay);
    for group in collapse(&replay.at_end) {
        for totals in &group.types {
            let mut line = format!(
                "{}: {} peak {}",
                each(&group.chips),
                totals.buffer_type,
                bytes(totals.tally.bytes.peak)
            );
            line.push_str(&match peak_share(totals) {
                share if share.is_empty() => String::new(),
                share => format!(" ({share} of a bank)"),
            });
            let most = group.chips.iter().map(|chip| left.get(&(*chip, totals.buffer_type)));
            let most = most.flatten().map(|left| left.bytes).max().unwrap_or(0);
            line.push_str(&format!(", left {}", bytes(most)));
            lines.push(line);
        }
    }
    lines.push(left::verdict(replay));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_in_powers_of_two() {
        let sizes = [0, 1023, 1024, 45056, 1_048_575, 1 << 30, u64::MAX];
        let texts = ["0 B", "1023 B", "1.00 KiB", "44.00 KiB", "1.00 MiB", "1.00 GiB", "16.00 EiB"];
        assert_eq!(sizes.map(bytes), texts);
    }

    #[test]
    fn counts_and_chips_are_short() {
        assert_eq!(count(1_234_567, "event"), "1,234,567 events");
        assert_eq!(count(1, "event"), "1 event");
        assert_eq!(count(999, ""), "999");
        assert_eq!(each(&[0, 1, 2, 3, 8]), "chips 0-3,8, each");
        assert_eq!(each(&[5]), "chip 5");
        assert_eq!(cut("abcdefghij", 7), "ab...ij");
        assert_eq!(shell_word(OsStr::new("a b'c")), "'a b'\\''c'");
    }

    #[test]
    fn tables_align_numbers_to_the_right() {
        let mut out = Vec::new();
        let rows = vec![vec!["a".into(), "1".into()], vec!["bb".into(), "100".into()]];
        table(&mut out, &["x", ">number"], rows).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "x   number\na        1\nbb     100\n");
    }
}
