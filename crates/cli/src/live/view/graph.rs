//! What was held over time.

use super::{View, load, share, title};
use crate::render;
use crate::state::Memory;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

impl View {
    /// A graph of so many rows, its head included; nothing where there is no room for one.
    pub(super) fn graph(&self, width: usize, height: usize) -> Vec<Line<'static>> {
        let Some(buffer_type) = self.graph_type().filter(|_| height >= 2) else { return Vec::new() };
        let graph = self.history.graph(&buffer_type, self.chip, self.state.wall_ns, width);
        let on = self.chip.map_or("all chips".to_owned(), |chip| format!("chip {chip}"));
        let seconds = self.history.span_ns() / 1_000_000_000;
        let head = format!("{buffer_type} on {on}, {seconds} s to now, up to {}", render::bytes(graph.most));
        let style = share(graph.most, self.capacity(&buffer_type)).map_or_else(Style::new, load);
        let mut lines = vec![title(&head)];
        let n_rows = height - 1;
        for row in (0..n_rows).rev() {
            let cell = |column: &Option<u64>| match column {
                None => {
                    if row == 0 {
                        self.glyphs.gap
                    } else {
                        " "
                    }
                }
                Some(bytes) => self.glyphs.eighths[eighths(*bytes, graph.most, n_rows, row)],
            };
            lines.push(Line::from(Span::styled(graph.columns.iter().map(cell).collect::<String>(), style)));
        }
        lines
    }

    /// The memory type that the graph shows: the chosen one, or the first.
    fn graph_type(&self) -> Option<String> {
        let types = self.types();
        types.get(self.graphed.checked_rem(types.len())?).cloned()
    }

    fn types(&self) -> Vec<String> {
        let mut types: Vec<String> = Vec::new();
        for memory in self.shown_chips().flat_map(|chip| &chip.memory) {
            if !types.contains(&memory.buffer_type) {
                types.push(memory.buffer_type.clone());
            }
        }
        types
    }

    fn capacity(&self, buffer_type: &str) -> Option<u64> {
        let memories = self.shown_chips().flat_map(|chip| &chip.memory);
        memories.filter(|of| of.buffer_type == buffer_type).map(Memory::capacity_bytes).sum()
    }
}

/// How much of a cell is filled, from the lowest row 0. What is not nothing shows in the lowest.
fn eighths(bytes: u64, most: u64, n_rows: usize, row: usize) -> usize {
    let n = u128::try_from(n_rows * 8).unwrap_or(0);
    let height = (u128::from(bytes) * n).checked_div(u128::from(most)).unwrap_or(0);
    let height = usize::try_from(height).unwrap_or(0).max(usize::from(bytes > 0));
    // Nothing is a line at the bottom: a gap has none.
    if row == 0 { height.clamp(1, 8) } else { height.saturating_sub(row * 8).min(8) }
}
