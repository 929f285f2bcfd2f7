//! Standard output, written by a thread of its own: whoever reads it slowly, or not at all, holds nobody up.

use crate::clock;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// So many lines wait to be written; what is more is left out and counted.
const N_WAITING: usize = 4096;
/// So long the end of the program waits for what still waits.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where lines go.
#[derive(Clone)]
pub struct Printer {
    lines: Option<SyncSender<Text>>,
    n_left_out: Arc<AtomicU64>,
}

enum Text {
    Lines(String),
    End,
}

impl Printer {
    /// One that writes nothing.
    pub fn quiet() -> Self {
        Self { lines: None, n_left_out: Arc::default() }
    }

    /// One that writes to standard output, and the thread that does it.
    pub fn start() -> (Self, Option<JoinHandle<()>>) {
        let (sender, receiver) = sync_channel(N_WAITING);
        let printer = Self { lines: Some(sender), n_left_out: Arc::default() };
        let n_left_out = Arc::clone(&printer.n_left_out);
        let thread = std::thread::spawn(move || write_all(&receiver, &n_left_out));
        (printer, Some(thread))
    }

    /// A line of the log, behind the time of day.
    pub fn log(&self, text: &str) {
        self.print(format!("{} {text}\n", clock::time_of_day(clock::wall_ns())));
    }

    /// A text as it is.
    pub fn print(&self, text: String) {
        let Some(lines) = &self.lines else { return };
        if let Err(TrySendError::Full(_)) = lines.try_send(Text::Lines(text)) {
            self.n_left_out.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until what was printed before is written, for a while: a reader may have stopped.
    pub fn finish(&self, thread: Option<JoinHandle<()>>) {
        let (Some(lines), Some(thread)) = (&self.lines, thread) else { return };
        let deadline = Instant::now() + PATIENCE;
        while lines.try_send(Text::End).is_err() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        while !thread.is_finished() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn write_all(lines: &Receiver<Text>, n_left_out: &AtomicU64) {
    let mut out = io::stdout();
    while let Ok(Text::Lines(line)) = lines.recv() {
        // Whoever closed the pipe wants no log; the server goes on.
        let _ = out.write_all(line.as_bytes());
        let n = n_left_out.swap(0, Ordering::Relaxed);
        if n > 0 {
            let _ = writeln!(out, "... and {n} lines that standard output was too slow for");
        }
        let _ = out.flush();
    }
}
