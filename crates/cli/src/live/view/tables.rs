//! Who holds it: processes, their largest buffers, and what does not add up.

use super::{Page, Sort, View, WIDE, clock, is_there, losses, title};
use crate::live::rows::{self, Column, Row};
use crate::render;
use crate::state::{Holder, Memory, Process};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use std::cmp::Reverse;

impl View {
    /// The processes that are shown, in their order.
    pub(in crate::live) fn shown_processes(&self) -> Vec<Process> {
        let is_shown = |process: &&Process| {
            let text = format!("{} {} {} {}", process.pid, process.program, process.host, process.status);
            self.chip.is_none_or(|chip| process.chips.contains(&chip)) && self.has(&text)
        };
        let mut processes: Vec<Process> = Vec::new();
        for process in self.state.processes.iter().filter(is_shown) {
            match processes.iter_mut().find(|known| self.is_merged && known.program == process.program) {
                Some(known) => merge(known, process),
                None => processes.push(process.clone()),
            }
        }
        let sum = |process: &Process, of: fn(&Memory) -> u64| {
            process.memory.iter().map(of).fold(0, u64::saturating_add)
        };
        match self.sort {
            Sort::Order => {}
            Sort::Total => processes.sort_by_key(|process| Reverse(sum(process, |memory| memory.live_bytes))),
            Sort::Count => processes.sort_by_key(|process| Reverse(sum(process, |memory| memory.n_buffers))),
        }
        processes
    }

    /// The processes, in so many rows; the chosen one is among them.
    pub(super) fn processes(&self, width: usize, height: usize) -> Vec<Line<'static>> {
        let processes = self.shown_processes();
        let n_shown = height.saturating_sub(1);
        if n_shown == 0 {
            return Vec::new();
        }
        let first = self.selected.min(processes.len().saturating_sub(1)).saturating_sub(n_shown - 1);
        let (is_wide, has_peaks) = (width >= WIDE, width >= 72);
        let mut columns = vec![
            Column { head: ">pid", is_sorted: self.sort == Sort::Order },
            "status".into(),
            "chips".into(),
            Column { head: ">DRAM", is_sorted: self.sort == Sort::Total },
            ">peak".into(),
            ">L1".into(),
            ">peak".into(),
        ];
        if !has_peaks {
            columns.truncate(4);
            columns.push(">L1".into());
        }
        if is_wide {
            let buffers = Column { head: ">buffers", is_sorted: self.sort == Sort::Count };
            columns.extend([
                buffers,
                ">events".into(),
                ">lost".into(),
                ">odd".into(),
                "since".into(),
                "host".into(),
            ]);
        }
        columns.push("program".into());
        let row = |(at, process): (usize, &Process)| {
            let of = |name| process.memory.iter().find(|memory| memory.buffer_type == name);
            let live = |name| of(name).map_or(String::new(), |memory| render::bytes(memory.live_bytes));
            let peak = |name| of(name).map_or(String::new(), |memory| render::bytes(memory.peak_bytes));
            let mut cells = vec![
                process.pid.to_string(),
                process.status.clone(),
                chip_list(&process.chips),
                live("DRAM"),
            ];
            cells.extend(has_peaks.then(|| peak("DRAM")));
            cells.push(live("L1"));
            cells.extend(has_peaks.then(|| peak("L1")));
            if is_wide {
                let n_buffers: u64 = process.memory.iter().map(|memory| memory.n_buffers).sum();
                cells.extend([
                    render::count(n_buffers, ""),
                    render::count(process.n_events, ""),
                    process.n_dropped.saturating_add(process.n_skipped).to_string(),
                    process.n_anomalies.to_string(),
                    clock(self.state.wall_ns.saturating_sub(process.since_wall_ns)),
                    render::cut(&process.host, 16),
                ]);
            }
            let rank = process.rank.map_or(String::new(), |rank| format!(" (rank {rank})"));
            cells.push(format!("{}{rank}{}", process.program, self.mark(process)));
            let is_chosen = at == self.selected && processes.len() > 1;
            let reversed = if is_chosen { Modifier::REVERSED } else { Modifier::empty() };
            let style =
                if is_there(process) { Style::new() } else { Style::new().add_modifier(Modifier::DIM) };
            Row { cells, style: style.add_modifier(reversed) }
        };
        let shown: Vec<Row> = processes.iter().enumerate().skip(first).take(n_shown).map(row).collect();
        rows::lines(&columns, &shown, width, head())
    }

    /// What a narrow table has no columns for.
    fn mark(&self, process: &Process) -> String {
        let lost = losses(process.n_dropped, process.n_skipped);
        if lost.is_empty() { String::new() } else { format!(", {lost}") }
    }

    /// The largest buffers, in so many rows.
    pub(super) fn holders(&self, width: usize, height: usize) -> Vec<Line<'static>> {
        let of_page = |holder: &&Holder| match self.page {
            Page::Process(id) => holder.process == id,
            _ => self.chip.is_none_or(|chip| holder.chips.contains(&chip)),
        };
        let is_shown = |holder: &&Holder| {
            let (op, at) =
                (holder.op.as_deref().unwrap_or_default(), holder.at.as_deref().unwrap_or_default());
            self.has(&format!("{} {} {} {op} {at}", holder.pid, holder.buffer_type, holder.class))
        };
        let row = |holder: &Holder| {
            let what = [holder.op.as_deref(), holder.at.as_deref()];
            let what = what.into_iter().flatten().collect::<Vec<_>>().join(" at ");
            let mut cells = vec![
                render::bytes(holder.size_bytes),
                holder.buffer_type.clone(),
                chip_list(&holder.chips),
                holder.pid.to_string(),
                clock(self.state.wall_ns.saturating_sub(holder.since_wall_ns)),
                format!("{:#x}", holder.address),
                holder.class.clone(),
            ];
            cells.push(what);
            Row { cells, style: Style::new() }
        };
        let n_skipped = if self.page == Page::Holders { self.selected } else { 0 };
        let shown = self.state.holders.iter().filter(of_page).filter(is_shown).skip(n_skipped);
        let rows: Vec<Row> = shown.take(height.saturating_sub(1)).map(row).collect();
        if rows.is_empty() || height < 2 {
            return Vec::new();
        }
        let columns =
            [">largest", "type", "chips", ">pid", ">for", ">address", "class", "op"].map(Column::from);
        rows::lines(&columns, &rows, width, head())
    }

    /// The newest things that do not add up, in so many rows.
    pub(super) fn anomalies(&self, width: usize, height: usize) -> Vec<Line<'static>> {
        let process = |id| self.state.processes.iter().find(|process| process.id == id);
        let of_page = |id| !matches!(self.page, Page::Process(shown) if shown != id);
        let newest = self.state.anomalies.iter().rev().filter(|note| of_page(note.process)).take(height);
        let line = |note: &crate::state::Note| {
            let pid = process(note.process).map_or(0, |process| process.pid);
            let ago = clock(self.state.wall_ns.saturating_sub(note.wall_ns));
            let text = render::cut(&format!("odd, {ago} ago, pid {pid}: {}", note.text), width);
            Line::from(Span::styled(text, Style::new().fg(Color::Yellow)))
        };
        newest.map(line).collect()
    }

    /// All of one process.
    pub(super) fn process(&self, id: u64, width: usize, height: usize) -> Vec<Line<'static>> {
        let Some(process) = self.state.processes.iter().find(|process| process.id == id) else {
            return vec![Line::default(), Line::from("this process is no longer known")];
        };
        let mut lines = vec![title(&format!("{} pid {}, {}", process.program, process.pid, process.status))];
        let rank = process.rank.map_or("no rank".into(), |rank| format!("rank {rank}"));
        let loss = losses(process.n_dropped, process.n_skipped);
        let loss = if loss.is_empty() { "complete".into() } else { loss };
        let since = clock(self.state.wall_ns.saturating_sub(process.since_wall_ns));
        let (events, odd) =
            (render::count(process.n_events, "event"), render::count(process.n_anomalies, "anomaly"));
        lines.push(Line::from(format!("host {}, {rank}, {events} in {since}, {loss}, {odd}", process.host)));
        lines.push(Line::from(render::chips(&process.chips)));
        let row = |memory: &Memory| Row {
            cells: vec![
                memory.buffer_type.clone(),
                render::bytes(memory.live_bytes),
                render::bytes(memory.peak_bytes),
                memory.peak_basis.replace('_', " "),
                render::count(memory.n_buffers, ""),
                render::bytes(memory.bank_live_bytes),
                memory.bank_size_bytes.map_or("?".into(), render::bytes),
                memory.largest_hole_bytes.map_or("?".into(), render::bytes),
            ],
            style: Style::new(),
        };
        let columns = ["memory", ">held", ">peak", "basis", ">buffers", ">in a bank", ">of", ">largest hole"]
            .map(Column::from);
        let rows: Vec<Row> = process.memory.iter().map(row).collect();
        lines.extend(rows::lines(&columns, &rows, width, head()));
        let anomalies = self.anomalies(width, 4);
        let left = height.saturating_sub(lines.len() + anomalies.len());
        [lines, self.holders(width, left), anomalies].concat()
    }

    /// Whether the filter keeps this.
    fn has(&self, text: &str) -> bool {
        self.filter.is_empty() || text.to_lowercase().contains(&self.filter.to_lowercase())
    }
}

fn head() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

/// Adds another process of the same program.
fn merge(known: &mut Process, more: &Process) {
    known.status = if known.status == more.status { more.status.clone() } else { "several".into() };
    known.chips.extend(&more.chips);
    known.chips.sort_unstable();
    known.chips.dedup();
    for (sum, of) in [
        (&mut known.n_events, more.n_events),
        (&mut known.n_dropped, more.n_dropped),
        (&mut known.n_skipped, more.n_skipped),
        (&mut known.n_anomalies, more.n_anomalies),
    ] {
        *sum = sum.saturating_add(of);
    }
    for memory in &more.memory {
        match known.memory.iter_mut().find(|of| of.buffer_type == memory.buffer_type) {
            Some(of) => {
                of.live_bytes = of.live_bytes.saturating_add(memory.live_bytes);
                of.peak_bytes = of.peak_bytes.max(memory.peak_bytes).max(of.live_bytes);
                of.n_buffers = of.n_buffers.saturating_add(memory.n_buffers);
            }
            None => known.memory.push(memory.clone()),
        }
    }
}

/// `0-3,8`
fn chip_list(chips: &[u32]) -> String {
    let list = render::chips(chips);
    render::cut(list.trim_start_matches("chips ").trim_start_matches("chip "), 12)
}
