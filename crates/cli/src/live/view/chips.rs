//! The chips: a bar for each memory type, in full where there is room, else in a grid.

use super::{View, WIDE, load, share, title};
use crate::render;
use crate::state::{Chip, Memory};
use ratatui::style::Style;
use ratatui::text::{Line, Span};

/// The least width of a chip in the grid, with bars of two cells.
const LEAST_CELL: usize = 18;
/// What of a cell of the grid is no bar: number, letters, per cents, gap.
const CELL_TEXT: usize = 14;

impl View {
    /// All chips in no more rows than that; if it cannot be, the first ones.
    pub(super) fn chips(&self, width: usize, height: usize) -> Vec<Line<'static>> {
        let chips: Vec<&Chip> = self.shown_chips().collect();
        let n_rows: usize = chips.iter().map(|chip| shown(chip).count()).sum();
        if n_rows <= height {
            return chips.iter().flat_map(|chip| self.chip_rows(chip, width)).collect();
        }
        let n_columns = chips.len().div_ceil(height.max(1)).clamp(1, (width / LEAST_CELL).max(1));
        let rows = chips.chunks(n_columns).map(|chips| {
            Line::from(chips.iter().flat_map(|chip| self.cell(chip, width / n_columns)).collect::<Vec<_>>())
        });
        let mut lines: Vec<Line<'static>> = rows.collect();
        if lines.len() > height {
            let n_hidden = chips.len().saturating_sub(n_columns * height.saturating_sub(1));
            lines.truncate(height.saturating_sub(1));
            lines.push(Line::from(format!("... and {n_hidden} more chips: d")));
        }
        lines
    }

    /// Every memory of every chip.
    pub(super) fn devices(&self, width: usize) -> Vec<Line<'static>> {
        let chips = self.shown_chips().flat_map(|chip| self.chip_rows(chip, width));
        chips.skip(self.selected).collect()
    }

    /// The L1 of every chip.
    pub(super) fn cores(&self, width: usize) -> Vec<Line<'static>> {
        let mut lines = vec![title("L1 of the worst core: circular buffers, room, and buffers")];
        for chip in self.shown_chips().skip(self.selected) {
            let Some(l1) = chip.memory.iter().find(|memory| memory.buffer_type == "L1") else { continue };
            let text = format!(
                " circular {:>10}  room {:>10}  buffers {:>10}  largest hole {:>10}",
                render::bytes(chip.circular_bytes),
                optional(chip.headroom_bytes),
                render::bytes(l1.bank_live_bytes),
                optional(l1.largest_hole_bytes),
            );
            let n_cells = width.saturating_sub(text.chars().count() + 9).clamp(0, 40);
            let size = l1.bank_size_bytes;
            let circular = share(chip.circular_bytes, size).unwrap_or(0.0);
            let room = share(chip.headroom_bytes.unwrap_or(0), size).unwrap_or(0.0);
            // From the lowest address: circular buffers, room, and where buffers may be.
            let (low, free, high) = self.glyphs.bar(n_cells, circular, circular + room);
            let high = high.replace(self.glyphs.room, self.glyphs.peak);
            let free = free.replace(self.glyphs.peak, self.glyphs.room);
            let bar = [Span::styled(low, Style::new().fg(ratatui::style::Color::Cyan)), Span::raw(free)];
            let buffers = Span::styled(high, load(1.0 - room));
            let name = Span::raw(format!("chip {:>3} ", chip.chip));
            lines.push(Line::from([vec![name], bar.to_vec(), vec![buffers, Span::raw(text)]].concat()));
        }
        lines
    }

    /// A row for each memory of a chip.
    fn chip_rows(&self, chip: &Chip, width: usize) -> Vec<Line<'static>> {
        let arch = chip.arch.as_deref().filter(|_| width >= WIDE).unwrap_or_default();
        let row = |(at, memory): (usize, &Memory)| {
            let name = if at == 0 { format!("chip {:>3} {arch}", chip.chip) } else { String::new() };
            let name_width = if width >= WIDE { 21 } else { 8 };
            let used = used(memory);
            let percent = used.map_or("    ".into(), |used| format!("{:>3.0}%", 100.0 * used));
            let room =
                if memory.buffer_type == "L1" { chip.headroom_bytes } else { memory.largest_hole_bytes };
            let sign = if memory.peak_basis == "lower_bound" { ">=" } else { "  " };
            let mut text = format!(
                " {percent} {:>10} peak{sign}{:>10} room {:>10}",
                render::bytes(memory.live_bytes),
                render::bytes(memory.peak_bytes),
                optional(room),
            );
            if width >= WIDE {
                text.push_str(&format!("  {}", render::count(memory.n_buffers, "buffer")));
            }
            text.push_str(&delta(memory));
            let kind = format!("{:<9}", render::cut(&memory.buffer_type, 9));
            let n_cells = width.saturating_sub(name_width + 1 + 9 + 49 + if width >= WIDE { 34 } else { 0 });
            let mut spans = vec![Span::raw(format!("{name:<name_width$} ")), Span::raw(kind)];
            spans.extend(self.bar(memory, n_cells.clamp(3, 60)));
            spans.push(Span::raw(text));
            Line::from(spans)
        };
        shown(chip).enumerate().map(row).collect()
    }

    /// A chip in the grid: DRAM and L1.
    fn cell(&self, chip: &Chip, width: usize) -> Vec<Span<'static>> {
        let n_cells = (width.saturating_sub(CELL_TEXT) / 2).max(1);
        let mut spans = vec![Span::raw(format!("{:>3} ", chip.chip))];
        let mut n_taken = 4;
        for (letter, name) in [("D", "DRAM"), ("L", "L1")] {
            spans.push(Span::raw(letter));
            match chip.memory.iter().find(|memory| memory.buffer_type == name) {
                Some(memory) => {
                    spans.extend(self.bar(memory, n_cells));
                    let percent = used(memory).map_or("  ?".into(), |used| format!("{:>3.0}", 100.0 * used));
                    spans.push(Span::raw(percent));
                }
                None => spans.push(Span::raw(format!("{:<1$}", "", n_cells + 3))),
            }
            spans.push(Span::raw(" "));
            n_taken += n_cells + 5;
        }
        spans.push(Span::raw(" ".repeat(width.saturating_sub(n_taken))));
        spans
    }

    fn bar(&self, memory: &Memory, n_cells: usize) -> [Span<'static>; 3] {
        let used = used(memory).unwrap_or(0.0);
        let peak = share(memory.peak_bytes, memory.capacity_bytes()).unwrap_or(0.0);
        let (now, most, room) = self.glyphs.bar(n_cells, used, peak.max(used));
        [Span::styled(now, load(used)), Span::styled(most, load(peak)), Span::raw(room)]
    }
}

/// The memories that were ever used.
fn shown(chip: &Chip) -> impl Iterator<Item = &Memory> {
    chip.memory.iter()
}

/// The share of a bank that is taken: what decides whether the next buffer fits.
fn used(memory: &Memory) -> Option<f64> {
    share(memory.bank_live_bytes, memory.bank_size_bytes)
}

/// What came or went since the baseline.
fn delta(memory: &Memory) -> String {
    let Some(baseline) = memory.baseline_bytes else { return String::new() };
    let sign = if memory.live_bytes < baseline { "-" } else { "+" };
    format!("  {sign}{} since the baseline", render::bytes(memory.live_bytes.abs_diff(baseline)))
}

fn optional(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "?".into(), render::bytes)
}
