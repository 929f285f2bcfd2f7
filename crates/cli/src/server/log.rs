//! The server's own log: who comes and goes, what is wrong, and once a minute where things stand.

use super::hub::{Counts, End, Hub, Observer};
use super::picture;
use super::printer::Printer;
use super::process::ProcessInfo;
use crate::render;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tt_memtrace_ledger::{Effect, Ledger};
use tt_memtrace_wire::{BufferType, Ending, Header, Line};

/// How often it says where things stand.
const SUMMARY: Duration = Duration::from_secs(60);
/// So many lines of one kind a second; the rest is counted.
const PER_SECOND: u64 = 20;

/// Prints the log.
pub struct Log {
    printer: Printer,
    state: Mutex<Told>,
}

/// What was said lately.
struct Told {
    /// Since when the lines below are counted.
    second: Instant,
    n_anomalies: u64,
    n_says: u64,
    n_left_out: u64,
    summary_at: Instant,
    counts: Counts,
}

impl Log {
    /// Prints through that printer.
    pub fn new(printer: Printer) -> Self {
        let now = Instant::now();
        let told = Told {
            second: now,
            n_anomalies: 0,
            n_says: 0,
            n_left_out: 0,
            summary_at: now,
            counts: Counts::default(),
        };
        Self { printer, state: Mutex::new(told) }
    }

    /// Whether another line of that kind may be said in this second.
    fn may_say(&self, count: impl Fn(&mut Told) -> &mut u64) -> bool {
        let told = &mut *self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if told.second.elapsed() >= Duration::from_secs(1) {
            (told.second, told.n_anomalies, told.n_says) = (Instant::now(), 0, 0);
            if told.n_left_out > 0 {
                self.printer.log(&format!("... and {} more", render::count(told.n_left_out, "such line")));
                told.n_left_out = 0;
            }
        }
        let n = count(told);
        *n += 1;
        let may_say = *n <= PER_SECOND;
        told.n_left_out += u64::from(!may_say);
        may_say
    }
}

impl Observer for Log {
    fn connected(&self, process: &ProcessInfo, is_back: bool, is_orphan: bool) {
        let back = if is_back { ", is back" } else { "" };
        self.printer.log(&format!("{} connected{back}", who(process)));
        if is_orphan && !is_back {
            self.printer.log(&format!(
                "{}: what it inherited at its fork is not known here; it may free what it never allocated",
                who(process)
            ));
        }
    }

    fn line(&self, process: &ProcessInfo, line: &Line, effect: &Effect, _: &Ledger) {
        match (line, effect) {
            (Line::Mesh(mesh), _) => {
                self.printer.log(&format!(
                    "{} opened {} ({})",
                    who(process),
                    render::chips(&mesh.chips),
                    mesh.arch
                ));
            }
            (Line::Event(stamp, _), Effect::Odd(what)) if self.may_say(|told| &mut told.n_anomalies) => {
                let what = what.kind().replace('_', " ");
                self.printer.log(&format!("{}: {what} (event {})", who(process), stamp.n));
            }
            (Line::Event(_, tt_memtrace_wire::Event::Lost(lost)), _) => {
                let dropped = render::count(lost.dropped, "event");
                self.printer.log(&format!("{}: {dropped} DROPPED by its recorder", who(process)));
            }
            _ => {}
        }
    }

    fn retold(&self, process: &ProcessInfo, ledger: &Ledger, n_skipped: u64) {
        let skipped = match n_skipped {
            0 => String::new(),
            n => format!(", {} not seen here", render::count(n, "event")),
        };
        if n_skipped > 0 || ledger.snapshot().n_live() > 0 {
            self.printer.log(&format!("{} holds {}{skipped}", who(process), held(ledger)));
        }
    }

    fn disconnected(&self, process: &ProcessInfo, why: Option<&str>) {
        match why {
            Some(why) => self.printer.log(&format!("{}: not listened to any longer: {why}", who(process))),
            None => self.printer.log(&format!("{} disconnected, still running", who(process))),
        }
    }

    fn ended(&self, process: &ProcessInfo, how: End, ledger: &Ledger) {
        let (n, held) = (ledger.snapshot().n_live(), held(ledger));
        let n_orphaned = render::count(u64::try_from(n).unwrap_or(u64::MAX), "orphaned buffer");
        let text = match how {
            End::Exited(Ending::Exit) if n == 0 => "exited".into(),
            End::Exited(Ending::Exit) => format!("exited, still holding {held}"),
            End::Exited(Ending::ImmediateExit) => format!("exited by _exit, still holding {held}"),
            End::Exited(Ending::Stopped) => "stopped recording".into(),
            End::Unsaid if n == 0 => "ended".into(),
            End::Unsaid => format!("ended: {n_orphaned} removed ({held})"),
            End::Killed if n == 0 => "was killed, holding nothing".into(),
            End::Killed => format!("was killed: {n_orphaned} removed ({held})"),
            End::Vanished => format!("was not heard of any more: {n_orphaned} removed ({held})"),
        };
        self.printer.log(&format!("{} {text}", who(process)));
    }

    fn say(&self, text: &str) {
        if self.may_say(|told| &mut told.n_says) {
            self.printer.log(text);
        }
    }

    fn print(&self, text: String) {
        self.printer.print(text);
    }

    fn tick(&self, hub: &Hub) {
        let told = &mut *self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if told.summary_at.elapsed() < SUMMARY {
            return;
        }
        told.summary_at = Instant::now();
        let counts = picture::counts(hub);
        if counts != told.counts {
            told.counts = counts;
            self.printer.log(&super::texts::summary(&picture::state(hub, 0)));
        }
    }
}

/// `pid 4242 python3`; of a process in a container also its pid here.
pub fn who(process: &ProcessInfo) -> String {
    let Header { pid, program, .. } = &process.header;
    let program: String = program.chars().filter(|c| !c.is_control()).collect();
    let program = render::cut(&program, 30);
    match process.peer.pid {
        Some(here) if here != *pid => format!("pid {here} ({pid} in its container) {program}"),
        _ => format!("pid {pid} {program}"),
    }
}

/// What a process holds, over all its chips.
fn held(ledger: &Ledger) -> String {
    let snapshot = ledger.snapshot();
    let types = snapshot.global().1.into_iter().filter(|(_, bytes)| bytes.live > 0);
    let word = |(buffer_type, bytes): (BufferType, tt_memtrace_ledger::Gauge)| {
        format!("{buffer_type} {}", render::bytes(bytes.live))
    };
    let types: Vec<String> = types.map(word).collect();
    if types.is_empty() { "nothing".into() } else { types.join(", ") }
}
