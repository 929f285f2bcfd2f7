//! The picture: what is shown of a state, and how it is laid out. Drawn from values, so that a test draws it too.

mod chips;
mod graph;
mod tables;

use super::glyphs::Glyphs;
use super::history::History;
use crate::render;
use crate::state::{Chip, Process, State};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use std::time::Duration;

/// From this width on more is shown.
const WIDE: usize = 132;

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// A little of all.
    Overview,
    /// The memories of every chip.
    Devices,
    /// The L1 of every chip.
    Cores,
    /// The largest live buffers.
    Holders,
    /// One process, by [`Process::id`].
    Process(u64),
    /// The keys.
    Help,
}

/// What processes are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// What they hold.
    Total,
    /// Their order: those that run, by pid.
    Order,
    /// How many buffers they hold.
    Count,
}

/// What is shown, and how.
#[derive(Debug)]
pub struct View {
    pub(super) state: State,
    pub(super) history: History,
    pub(super) glyphs: Glyphs,
    pub(super) has_colour: bool,
    pub(super) page: Page,
    /// The only chip that is looked at.
    pub(super) chip: Option<u32>,
    pub(super) sort: Sort,
    /// Which of the memory types the graph shows, counted round and round.
    pub(super) graphed: usize,
    /// The row of the process table.
    pub(super) selected: usize,
    pub(super) filter: String,
    pub(super) is_typing: bool,
    pub(super) is_paused: bool,
    pub(super) is_merged: bool,
    /// The newest state, while another is shown.
    pub(super) newest: Option<State>,
    /// Why no states come.
    pub(super) trouble: Option<String>,
    /// All processes have ended.
    pub(super) is_over: bool,
}

impl View {
    /// Shows nothing yet, of states that come in this interval.
    pub fn new(every: Duration, glyphs: Glyphs, has_colour: bool) -> Self {
        Self {
            state: State::default(),
            history: History::new(every),
            glyphs,
            has_colour,
            page: Page::Overview,
            chip: None,
            sort: Sort::Order,
            graphed: 0,
            selected: 0,
            filter: String::new(),
            is_typing: false,
            is_paused: false,
            is_merged: false,
            newest: None,
            trouble: None,
            is_over: false,
        }
    }

    /// Takes a state.
    pub fn take(&mut self, state: State) {
        self.history.note(&state);
        self.trouble = None;
        if self.is_paused { self.newest = Some(state) } else { self.state = state }
    }

    /// No states come, because of this.
    pub fn lack(&mut self, why: String) {
        self.trouble = Some(why);
    }

    /// The last state has come.
    pub fn end(&mut self) {
        self.is_over = true;
    }

    /// Draws all of it.
    pub fn draw(&self, area: Rect, buf: &mut Buffer) {
        let (width, height) = (usize::from(area.width), usize::from(area.height));
        let mut lines = self.head(width);
        lines.truncate(height);
        let n_left = height.saturating_sub(lines.len());
        let has_keys = n_left > 1;
        lines.extend(self.body(width, n_left.saturating_sub(usize::from(has_keys))));
        lines.truncate(height.saturating_sub(usize::from(has_keys)));
        for (y, line) in (area.y..).zip(&lines) {
            self.put(line, y, area, buf);
        }
        if has_keys {
            self.put(&self.keys(), area.bottom().saturating_sub(1), area, buf);
        }
    }

    /// All of it as plain text.
    pub fn text(&self, width: u16) -> String {
        let n_rows = 16 + self.state.chips.len() + self.state.processes.len() + self.state.holders.len();
        let area = Rect::new(0, 0, width, u16::try_from(n_rows).unwrap_or(u16::MAX).clamp(24, 200));
        let mut buf = Buffer::empty(area);
        let lines = [self.head(area.width.into()), self.body(area.width.into(), area.height.into())].concat();
        for (y, line) in (0..area.height).zip(&lines) {
            self.put(line, y, area, &mut buf);
        }
        let row = |y| (0..area.width).map(|x| buf[(x, y)].symbol()).collect::<String>();
        let rows: Vec<String> = (0..area.height).map(|y| row(y).trim_end().to_owned()).collect();
        format!("{}\n", rows.join("\n").trim_end())
    }

    fn put(&self, line: &Line<'_>, y: u16, area: Rect, buf: &mut Buffer) {
        if self.has_colour {
            buf.set_line(area.x, y, line, area.width);
            return;
        }
        let mut plain = line.clone();
        for span in &mut plain.spans {
            (span.style.fg, span.style.bg) = (None, None);
        }
        buf.set_line(area.x, y, &plain, area.width);
    }

    /// Source, how long, how much, and in red what is missing.
    fn head(&self, width: usize) -> Vec<Line<'static>> {
        let state = &self.state;
        let n_running = state.processes.iter().filter(|process| is_there(process)).count();
        let n_running = u64::try_from(n_running).unwrap_or(u64::MAX);
        let mut first = vec![
            Span::styled("tt-memtrace live ", Style::new().add_modifier(Modifier::BOLD)),
            Span::raw(render::cut(&state.source, width.saturating_sub(40).max(20))),
        ];
        if self.is_paused {
            first.push(Span::styled("  PAUSED", Style::new().fg(Color::Yellow).add_modifier(Modifier::BOLD)));
        }
        if let Some(chip) = self.chip {
            first.push(Span::styled(format!("  only chip {chip}"), Style::new().fg(Color::Cyan)));
        }
        if !self.filter.is_empty() || self.is_typing {
            let cursor = if self.is_typing { "_" } else { "" };
            first.push(Span::styled(format!("  /{}{cursor}", self.filter), Style::new().fg(Color::Cyan)));
        }
        let bad = Style::new().fg(Color::Red).add_modifier(Modifier::BOLD);
        let mut second = vec![Span::raw(format!(
            "{} of {}, {}, {}, ",
            n_running,
            render::count(u64::try_from(state.processes.len()).unwrap_or(u64::MAX), "process"),
            render::count(state.n_events, "event"),
            clock(state.wall_ns.saturating_sub(state.since_wall_ns)),
        ))];
        second.push(match losses(state.n_dropped, state.n_skipped) {
            text if text.is_empty() => Span::styled("complete", Style::new().fg(Color::Green)),
            text => Span::styled(text, bad),
        });
        if self.is_over {
            second.push(Span::raw(", all have ended"));
        }
        let trouble = self.trouble.iter().map(|why| Line::from(Span::styled(why.clone(), bad)));
        [Line::from(first), Line::from(second)].into_iter().chain(trouble).collect()
    }

    fn body(&self, width: usize, height: usize) -> Vec<Line<'static>> {
        if self.page == Page::Help {
            return HELP.lines().map(Line::from).collect();
        }
        if self.state.wall_ns == 0 {
            return vec![Line::default(), Line::from("waiting for the first figures ...")];
        }
        if self.state.processes.is_empty() {
            let nothing = "nothing is recorded yet: start a program with `tt-memtrace run --server -- CMD`";
            return vec![Line::default(), Line::from(nothing)];
        }
        match self.page {
            Page::Overview | Page::Help => self.overview(width, height),
            Page::Devices => self.devices(width),
            Page::Cores => self.cores(width),
            Page::Holders => [self.holders(width, height), self.anomalies(width, 4)].concat(),
            Page::Process(id) => self.process(id, width, height),
        }
    }

    /// The parts share the rows: chips first, then who holds it.
    fn overview(&self, width: usize, height: usize) -> Vec<Line<'static>> {
        let anomalies = self.anomalies(width, if height >= 30 { 4 } else { 1 });
        let n_anomalies = if height >= 10 { anomalies.len() } else { 0 };
        let left = height.saturating_sub(n_anomalies);
        let chips = self.chips(width, (left / 2).max(1));
        let left = left.saturating_sub(chips.len());
        let graph = self.graph(width, if left >= 18 { 6 } else { left.saturating_sub(6).min(3) });
        let left = left.saturating_sub(graph.len());
        let processes = self.processes(width, left - left / 2);
        let holders = self.holders(width, left.saturating_sub(processes.len()));
        let anomalies = anomalies.into_iter().take(n_anomalies).collect();
        [chips, graph, processes, holders, anomalies].concat()
    }

    fn keys(&self) -> Line<'static> {
        let keys = match self.page {
            _ if self.is_typing => "type to filter  enter keep  esc drop",
            Page::Help => "any key goes back",
            Page::Overview => "q quit  space pause  < > chip  enter process  d c l pages  / filter  ? help",
            _ => "esc back  q quit  space pause  < > chip  up down  / filter  ? help",
        };
        Line::from(Span::styled(keys, Style::new().add_modifier(Modifier::DIM)))
    }

    /// The chips that are looked at.
    fn shown_chips(&self) -> impl Iterator<Item = &Chip> {
        self.state.chips.iter().filter(|chip| self.chip.is_none_or(|wanted| wanted == chip.chip))
    }
}

fn is_there(process: &Process) -> bool {
    !matches!(process.status.as_str(), "exited" | "killed")
}

/// What is not in the figures: `3 events DROPPED, 2 events SKIPPED`.
fn losses(n_dropped: u64, n_skipped: u64) -> String {
    let lost = [(n_dropped, "DROPPED"), (n_skipped, "SKIPPED")];
    let lost = lost.into_iter().filter(|(n, _)| *n > 0);
    lost.map(|(n, how)| format!("{} {how}", render::count(n, "event"))).collect::<Vec<_>>().join(", ")
}

/// Hours, minutes and seconds.
fn clock(ns: u64) -> String {
    let seconds = ns / 1_000_000_000;
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// A head of a part of the picture.
fn title(text: &str) -> Line<'static> {
    Line::from(Span::styled(text.to_owned(), Style::new().add_modifier(Modifier::BOLD)))
}

/// From green to red, by how much of it is taken. The figure stands beside it.
fn load(share: f64) -> Style {
    Style::new().fg(match share {
        share if share >= 0.85 => Color::Red,
        share if share >= 0.6 => Color::Yellow,
        _ => Color::Green,
    })
}

#[expect(clippy::cast_precision_loss, reason = "a share is shown in whole per cent")]
fn share(part: u64, whole: Option<u64>) -> Option<f64> {
    whole.filter(|whole| *whole > 0).map(|whole| part as f64 / whole as f64)
}

const HELP: &str = "
q, ctrl-c   quit            esc      back; at the top: quit
space       pause, go on    /        filter by program, pid, type, class, op
< >         one chip after the other, or all
up down     choose a process         enter    show only it
d           devices: every chip, every memory type
c           cores: the L1 of every chip, circular buffers and the room above
l           the largest live buffers and what does not add up
t o a       sort processes by bytes held, by order, by number of buffers
m           merge processes of one program
tab         another memory type in the graph

Bars: # held now, - held at the peak, . never held. Per cent are of a bank.
room: L1: between circular buffers and buffers, on the worst core;
other memories: the largest hole in a bank.
>= before a peak: it is a lower bound.";

#[cfg(test)]
mod tests;
