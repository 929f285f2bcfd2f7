//! What people read: sizes, chips, moments, tables, and the first line of every report.

mod table;

pub use table::table;

use crate::doubts;
use crate::left::Survivors;
use crate::look::{self, Tone, Units, paint};
use crate::replay::Replay;
use std::ffi::OsStr;
use std::path::Path;
use tt_memtrace_ledger::{Moment, Totals, TypeTotals};
use tt_memtrace_wire::{Header, Place, Range};

/// A size in the units that the user chose.
pub fn bytes(n: u64) -> String {
    match look::units() {
        Units::Iec => scaled(n, 1024.0, ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]),
        Units::Si => scaled(n, 1000.0, ["kB", "MB", "GB", "TB", "PB", "EB"]),
        Units::Bytes => n.to_string(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "two decimals are shown")]
fn scaled(n: u64, step: f64, units: [&str; 6]) -> String {
    let mut value = n as f64;
    if value < step {
        return format!("{n} B");
    }
    let mut unit = "";
    for larger in units {
        if !unit.is_empty() && value < step - 0.005 {
            break;
        }
        value /= step;
        unit = larger;
    }
    format!("{value:.2} {unit}")
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
    let plural = match noun {
        _ if n == 1 || noun.is_empty() => "",
        _ if noun.ends_with('s') => "es",
        _ => "s",
    };
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
    let list = cut(&ranges.iter().map(range).collect::<Vec<_>>().join(","), 28);
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

/// Rectangles of cores: `0,0-7,7 9,9`.
pub fn cores(ranges: &[Range]) -> String {
    let range = |Range { x0, y0, x1, y1 }: &Range| {
        if (x0, y0) == (x1, y1) { format!("{x0},{y0}") } else { format!("{x0},{y0}-{x1},{y1}") }
    };
    ranges.iter().map(range).collect::<Vec<_>>().join(" ")
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

/// The first line of every report: source, range, filters, losses, and an ending that was not in order.
pub fn first_line(replay: &Replay) -> String {
    let Replay { header, .. } = replay;
    format!(
        "{}: {} pid {}, {} in {}{}, {}, {}",
        path(&replay.path),
        cut(&header.program, 30),
        header.pid,
        count(replay.n_events, "event"),
        seconds(replay.last.t_ns, header),
        filters(replay),
        losses(replay),
        replay.status,
    )
}

/// The filters, if there are any: ` [only chip 3; DRAM; from 0.284 s (n 8) to 0.301 s (n 62)]`.
fn filters(replay: &Replay) -> String {
    let interval = replay.selection.interval.map(|_| {
        let (from, to) = replay.range;
        format!("from {} to {}", moment(from, &replay.header), moment(to, &replay.header))
    });
    bracketed(replay.selection.words(), interval)
}

/// Filters as a first line shows them: those that leave something out, and the interval.
pub fn bracketed(mut words: Vec<String>, interval: Option<String>) -> String {
    if let Some(first) = words.first_mut() {
        first.insert_str(0, "only ");
    }
    words.extend(interval);
    if words.is_empty() { String::new() } else { format!(" [{}]", words.join("; ")) }
}

/// What of the process's events is not in the capture.
fn losses(replay: &Replay) -> String {
    let lost = doubts::losses(replay);
    if lost.is_empty() { paint(Tone::Good, "complete") } else { paint(Tone::Bad, &lost.join(", ")) }
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

/// Where the filters leave nothing of a report: what there is without them.
pub fn nothing_shown(replay: &Replay) -> Option<String> {
    if replay.selection.is_all() {
        return None;
    }
    let chips: Vec<u32> = replay.chips.iter().copied().collect();
    let snapshot = replay.ledger.snapshot();
    let used = snapshot.chips().into_iter().flat_map(|group| group.types);
    let mut types: Vec<String> = Vec::new();
    for of in used {
        let name = of.buffer_type.to_string();
        if !types.contains(&name) {
            types.push(name);
        }
    }
    if !snapshot.circular_footprints().is_empty() {
        types.push("circular buffers".into());
    }
    let types = if types.is_empty() { "nothing".into() } else { types.join(", ") };
    Some(format!("the filters keep nothing; the capture has {types} on {}", self::chips(&chips)))
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
    let survivors = Survivors::of(replay);
    let left = survivors.by_chip();
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
    lines.extend(survivors.verdict().lines().map(str::to_owned));
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
    fn a_size_that_would_be_rounded_to_a_unit_is_in_that_unit() {
        let si = |n| scaled(n, 1000.0, ["kB", "MB", "GB", "TB", "PB", "EB"]);
        let sizes = [999, 1000, 999_994, 999_996, 38_797_312, u64::MAX];
        assert_eq!(sizes.map(si), ["999 B", "1.00 kB", "999.99 kB", "1.00 MB", "38.80 MB", "18.45 EB"]);
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
}
