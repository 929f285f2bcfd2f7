//! The terminal: taken when the view begins, and given back however it ends.

use super::glyphs::Glyphs;
use super::server::Server;
use super::source::Source;
use super::view::View;
use crate::server::ask::Unreachable;
use crate::state::State;
use crate::{exit, look};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::{SIGHUP, SIGTERM};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread;
use std::time::Duration;

/// So often the terminal and the source are asked for news.
const TICK: Duration = Duration::from_millis(50);
/// So often it is looked whether there still is a terminal.
const WATCH: Duration = Duration::from_millis(250);
/// So long after a signal the view has to end by itself.
const PATIENCE: Duration = Duration::from_secs(1);
/// So long a server that ended is left alone before it is tried again.
const BEFORE_RETRY: Duration = Duration::from_millis(500);

/// What the source tells.
enum News {
    State(Box<State>),
    /// The server is gone; it is tried again.
    Lack(String),
    /// All processes ended.
    End,
    Failure(anyhow::Error),
}

/// Shows the source on the terminal until the user quits.
pub fn show(source: Source, every: Duration, top: usize) -> anyhow::Result<u8> {
    let signal = Arc::new(AtomicUsize::new(0));
    for number in [SIGTERM, SIGHUP] {
        let value = usize::try_from(number).unwrap_or(0);
        signal_hook::flag::register_usize(number, Arc::clone(&signal), value)?;
    }
    let glyphs = Glyphs::of_locale(|name| std::env::var(name).ok());
    let mut view = View::new(every, glyphs, look::has_colour());
    let (to_view, news) = sync_channel(2);
    // It ends when nobody takes its news any more.
    thread::Builder::new().name("source".into()).spawn(move || feed(source, every, top, &to_view))?;
    let mut guard = Guard::take()?;
    let watched = Arc::clone(&signal);
    thread::Builder::new().name("watch".into()).spawn(move || watch(&watched))?;
    attend(&mut guard.terminal, &mut view, &news, &signal)
}

/// The terminal in raw mode, on its alternate screen. A panic gives it back, too: its hook does it first.
struct Guard {
    terminal: DefaultTerminal,
}

impl Guard {
    fn take() -> anyhow::Result<Self> {
        Ok(Self { terminal: ratatui::try_init()? })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // If that fails there is no terminal any more.
        let _ = ratatui::try_restore();
    }
}

/// Ends the process when the terminal is gone: whoever reads from that is told its end over and over, and the library
/// that reads our keys goes on for ever.
fn watch(signal: &AtomicUsize) {
    loop {
        thread::sleep(WATCH);
        let number = match signal.load(Ordering::Relaxed) {
            0 if is_gone() => SIGHUP,
            0 => continue,
            number => i32::try_from(number).unwrap_or(SIGHUP),
        };
        thread::sleep(PATIENCE);
        let _ = ratatui::try_restore();
        std::process::exit(i32::from(exit::SIGNAL) + number);
    }
}

/// Whether the other side of the terminal was closed.
fn is_gone() -> bool {
    let stdin = std::io::stdin();
    let mut asked = [PollFd::new(&stdin, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    matches!(poll(&mut asked, Some(&now)), Ok(1..)) && asked[0].revents().contains(PollFlags::HUP)
}

fn attend(
    terminal: &mut DefaultTerminal,
    view: &mut View,
    news: &Receiver<News>,
    signal: &AtomicUsize,
) -> anyhow::Result<u8> {
    let mut is_changed = true;
    let mut is_fed = true;
    loop {
        while is_fed {
            match news.try_recv() {
                Ok(News::State(state)) => view.take(*state),
                Ok(News::Lack(why)) => view.lack(why),
                Ok(News::End) => view.end(),
                Ok(News::Failure(error)) => return Err(error),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => is_fed = false,
            }
            is_changed = true;
        }
        if is_changed {
            terminal.draw(|frame| view.draw(frame.area(), frame.buffer_mut()))?;
            is_changed = false;
        }
        if event::poll(TICK)? {
            match event::read()? {
                Event::Key(key) if key.kind != KeyEventKind::Release => {
                    if !view.press(key) {
                        return Ok(exit::OK);
                    }
                    is_changed = true;
                }
                Event::Resize(..) => is_changed = true,
                _ => {}
            }
        }
        match u8::try_from(signal.load(Ordering::Relaxed)).unwrap_or(0) {
            0 => {}
            number => return Ok(exit::SIGNAL.saturating_add(number)),
        }
    }
}

/// Follows the source; a server that ended is looked for again.
fn feed(mut source: Source, every: Duration, top: usize, to_view: &SyncSender<News>) {
    loop {
        let followed =
            source.follow(every, top, |state| Ok(to_view.send(News::State(Box::new(state))).is_ok()));
        let last = match (followed, &source) {
            (Err(error), Source::Server(server)) if error.is::<Unreachable>() => {
                if to_view.send(News::Lack(error.to_string())).is_err() {
                    return;
                }
                let Some(again) = retry(server.path().to_owned(), to_view) else { return };
                source = Source::Server(again);
                continue;
            }
            (Err(error), _) => News::Failure(error),
            (Ok(()), _) => News::End,
        };
        // Nobody may want it any more.
        let _ = to_view.send(last);
        return;
    }
}

/// The server, once it is back. None if nobody waits any more.
fn retry(path: PathBuf, to_view: &SyncSender<News>) -> Option<Server> {
    loop {
        thread::sleep(BEFORE_RETRY);
        match Server::connect(Some(&path)) {
            Ok(server) => return Some(server),
            Err(error) => to_view.send(News::Lack(error.to_string())).ok()?,
        }
    }
}
