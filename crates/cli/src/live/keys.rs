//! What the keys do.

use super::view::{Page, Sort, View};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

impl View {
    /// Does what a key is for. False if it is to quit.
    pub fn press(&mut self, key: KeyEvent) -> bool {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return !matches!(key.code, KeyCode::Char('c' | 'd'));
        }
        if self.is_typing {
            self.edit_filter(key.code);
            return true;
        }
        if self.page == Page::Help {
            self.page = Page::Overview;
            return key.code != KeyCode::Char('q');
        }
        match key.code {
            KeyCode::Char('q') => return false,
            KeyCode::Esc => return self.go_back(),
            KeyCode::Char(' ') => self.pause(),
            KeyCode::Char('<' | ',') | KeyCode::Left => self.next_chip(false),
            KeyCode::Char('>' | '.') | KeyCode::Right => self.next_chip(true),
            KeyCode::Up | KeyCode::Char('k') => self.selected = self.selected.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => {
                self.selected = (self.selected + 1).min(self.n_rows().saturating_sub(1));
            }
            KeyCode::Enter => self.drill(),
            KeyCode::Tab => self.graphed = self.graphed.wrapping_add(1),
            KeyCode::Char('d') => self.turn_to(Page::Devices),
            KeyCode::Char('c') => self.turn_to(Page::Cores),
            KeyCode::Char('l') => self.turn_to(Page::Holders),
            KeyCode::Char('?' | 'h') => self.page = Page::Help,
            KeyCode::Char('/') => self.is_typing = true,
            KeyCode::Char('t') => self.sort = Sort::Total,
            KeyCode::Char('o') => self.sort = Sort::Order,
            KeyCode::Char('a') => self.sort = Sort::Count,
            KeyCode::Char('m') => self.is_merged = !self.is_merged,
            _ => {}
        }
        true
    }

    fn edit_filter(&mut self, key: KeyCode) {
        match key {
            KeyCode::Char(letter) => self.filter.push(letter),
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Enter => self.is_typing = false,
            KeyCode::Esc => (self.is_typing, self.filter) = (false, String::new()),
            _ => {}
        }
        self.selected = 0;
    }

    /// Undoes what was narrowed last. False if nothing was.
    fn go_back(&mut self) -> bool {
        if self.page != Page::Overview {
            self.turn_to(Page::Overview);
        } else if !self.filter.is_empty() {
            self.filter.clear();
        } else if self.chip.is_some() {
            self.chip = None;
        } else {
            return false;
        }
        true
    }

    fn pause(&mut self) {
        self.is_paused = !self.is_paused;
        if let Some(newest) = self.newest.take() {
            self.state = newest;
        }
    }

    /// All chips, then each, and all again.
    fn next_chip(&mut self, is_forward: bool) {
        let mut stops = vec![None];
        stops.extend(self.state.chips.iter().map(|chip| Some(chip.chip)));
        let at = stops.iter().position(|stop| *stop == self.chip).unwrap_or(0);
        let step = if is_forward { 1 } else { stops.len() - 1 };
        self.chip = stops[(at + step) % stops.len()];
        self.selected = 0;
    }

    /// The same key again goes back.
    fn turn_to(&mut self, page: Page) {
        self.page = if self.page == page { Page::Overview } else { page };
        self.selected = 0;
    }

    fn drill(&mut self) {
        let processes = self.shown_processes();
        if let (Page::Overview, Some(process)) = (self.page, processes.get(self.selected)) {
            self.page = Page::Process(process.id);
        }
    }

    /// How many rows there are to move through.
    fn n_rows(&self) -> usize {
        match self.page {
            Page::Overview | Page::Process(_) | Page::Help => self.shown_processes().len(),
            Page::Devices => self.state.chips.iter().map(|chip| chip.memory.len()).sum(),
            Page::Cores => self.state.chips.len(),
            Page::Holders => self.state.holders.len(),
        }
    }
}
