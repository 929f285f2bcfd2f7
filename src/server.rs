//! The connection to the tracking server: it gets the lines of the capture as they are written, and, whenever it comes
//! late or has missed some, what this process holds instead.
//!
//! It must never cost the host anything: nothing here waits, but for the end of the process, and that briefly. A server
//! that is absent is asked for again now and then; one that is too slow misses lines, and gets the state when it has
//! caught up. What it has missed it can count: events are numbered.

mod socket;

pub use socket::close_inherited;

use crate::lifecycle;
use crate::report::{self, Level};
use socket::{NoConnection, Socket};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tt_memtrace_wire::frame::{self, HEAD_BYTES, Hello, Kind, PROTOCOL, Role};
use tt_memtrace_wire::live::Live;
use tt_memtrace_wire::socket::{SHARED, of_user};

/// Between two attempts to connect, each time twice as long.
const SHORTEST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// So many bytes of lines wait for a server that reads slowly; then it misses the next ones.
const MOST_PENDING: usize = 1 << 20;
/// Lines are sent at once when there are so many bytes of them, or somebody waits; else so often, all that came: each
/// time costs both sides more than many events.
const MANY_BYTES: usize = 32 << 10;
const PAUSE: Duration = Duration::from_millis(10);
/// The lines of a state go in frames of about so many bytes.
const FRAME_BYTES: usize = 64 << 10;
/// No frame that a server sends to a recorder is longer.
const MOST_ANSWER: usize = 4 << 10;
/// A server that never stops talking is listened to now and then.
const READS_A_TURN: usize = 16;
/// No flush waits for a server that takes nothing and says nothing for so long.
const STALL: Duration = Duration::from_secs(1);
/// At the end of the process: so long a server may take nothing before it is given up, and so long it may take in all.
/// An unoptimised build, which only tests run, is slow, and so may be their machine.
const END_STALL: Duration = Duration::from_millis(if cfg!(debug_assertions) { 10_000 } else { 200 });
const END_PATIENCE: Duration = Duration::from_secs(if cfg!(debug_assertions) { 20 } else { 1 });

/// What is told to the server.
pub struct Server {
    paths: Vec<PathBuf>,
    header: Vec<u8>,
    live: Live,
    connection: Option<Connection>,
    /// When to try again.
    next: Instant,
    wait: Duration,
    /// Something was said about the server: no more is.
    has_spoken: bool,
    /// The last event, and the dropped ones that were told by then.
    n: u64,
    dropped: u64,
    /// The last line.
    footer: Vec<u8>,
}

struct Connection {
    socket: Socket,
    /// What is to be sent, the bytes of it that were, and those up to which it is the state.
    out: Vec<u8>,
    sent: usize,
    state_end: usize,
    /// Lines were left out: the server needs the state.
    misses: bool,
    /// The last line is under way.
    has_footer: bool,
    answers: Vec<u8>,
    is_welcome: bool,
    /// Up to which event the server has them.
    acked: Option<u64>,
    /// When it was sent to and listened to last.
    looked: Option<Instant>,
    /// When it took or said something last, or had nothing to take.
    moved: Instant,
}

impl Server {
    /// For the value of `TT_MEMTRACE_SERVER`: `1`, or the path of a socket. `header` is the first line of the capture.
    pub fn new(wanted: &OsStr, header: Vec<u8>) -> Self {
        // SAFETY: always succeeds.
        let uid = unsafe { libc::geteuid() };
        let paths = if wanted == "1" {
            vec![of_user(uid), SHARED.into()]
        } else {
            // The host may change its directory later.
            let path = PathBuf::from(OsString::from(wanted));
            vec![std::path::absolute(&path).unwrap_or(path)]
        };
        Self {
            paths,
            header,
            live: Live::new(lifecycle::has_parent()),
            connection: None,
            next: Instant::now(),
            wait: SHORTEST_WAIT,
            has_spoken: false,
            n: 0,
            dropped: 0,
            footer: Vec::new(),
        }
    }

    /// What this process holds, to be told of every event.
    pub fn live(&mut self) -> &mut Live {
        &mut self.live
    }

    /// Takes the lines up to event `n`; `live` was told of them.
    pub fn take(&mut self, lines: &[u8], n: u64, dropped: u64) {
        let n_before = std::mem::replace(&mut self.n, n);
        self.dropped = dropped;
        if let Some(connection) = &mut self.connection {
            if connection.acked == Some(n_before) {
                connection.moved = Instant::now();
            }
            connection.take(lines);
        }
    }

    /// Connects if it is time to, sends what there is room for, and reads what the server says. If nobody waits for
    /// that, only now and then.
    pub fn turn(&mut self, is_urgent: bool) {
        if self.connection.is_none() && Instant::now() >= self.next {
            self.connect();
        }
        let Some(connection) = &mut self.connection else { return };
        if !is_urgent && connection.may_wait() {
            return;
        }
        let outcome = connection.turn();
        if connection.is_welcome {
            self.wait = SHORTEST_WAIT;
        }
        match outcome {
            Ok(()) if connection.misses && connection.is_drained() => self.tell_state(),
            Ok(()) => {}
            Err(Lost::Connection) => self.try_later(),
            Err(Lost::Refused(why)) => {
                self.say(format_args!("the tracking server refuses this process: {why}"));
                (self.connection, self.wait) = (None, LONGEST_WAIT);
                self.try_later();
            }
        }
    }

    /// Whether the server has everything up to this event, if there is one that takes anything at all.
    pub fn has(&self, n: u64) -> bool {
        let has_it = |connection: &Connection| {
            connection.acked.is_some_and(|acked| acked >= n) || connection.moved.elapsed() > STALL
        };
        self.connection.as_ref().is_none_or(has_it)
    }

    /// Tells the last line, and waits until the server has it, as long as it takes what it is sent.
    pub fn finish(&mut self, footer: &[u8]) {
        self.footer = footer.to_vec();
        if let Some(connection) = &mut self.connection {
            connection.take_footer(footer);
        }
        let started = Instant::now();
        let (mut moved, mut before) = (started, None);
        while let Some(connection) = &self.connection {
            let now = (connection.sent, connection.misses, connection.acked);
            let is_done = connection.is_drained() && connection.has_footer && self.has(self.n);
            if before != Some(now) {
                (before, moved) = (Some(now), Instant::now());
            }
            if is_done || moved.elapsed() > END_STALL || started.elapsed() > END_PATIENCE {
                break;
            }
            self.turn(true);
            std::thread::sleep(Duration::from_micros(200));
        }
        self.connection = None;
    }

    fn connect(&mut self) {
        let mut first = None;
        for path in &self.paths {
            match Socket::connect(path, path == Path::new(SHARED)) {
                Ok(socket) => {
                    let mut connection = Connection::new(socket);
                    Hello { version: PROTOCOL, role: Role::Recorder, header: &self.header }
                        .put(&mut connection.out);
                    self.connection = Some(connection);
                    return self.tell_state();
                }
                Err(error) => first = first.or(Some((path.clone(), error))),
            }
        }
        match first {
            Some((path, NoConnection::Stranger(uid))) => self.say(format_args!(
                "the tracking server at {} belongs to another user ({uid}); it is told nothing",
                path.display()
            )),
            // It is there, and others are connecting, too.
            Some((_, NoConnection::Nobody(error))) if error.kind() == io::ErrorKind::WouldBlock => {}
            Some((path, NoConnection::Nobody(_))) => self.say(format_args!(
                "no tracking server at {} (start one: tt-memtrace serve); trying again quietly",
                path.display()
            )),
            None => {}
        }
        self.try_later();
    }

    fn try_later(&mut self) {
        // After the first connection the server may come and go without a word.
        self.has_spoken |= self.connection.take().is_some_and(|connection| connection.is_welcome);
        self.next = Instant::now() + self.wait;
        self.wait = (self.wait * 2).min(LONGEST_WAIT);
    }

    fn say(&mut self, message: std::fmt::Arguments<'_>) {
        if !std::mem::replace(&mut self.has_spoken, true) {
            report::say(Level::Warn, message);
        }
    }

    fn tell_state(&mut self) {
        let Some(connection) = &mut self.connection else { return };
        let mut lines = Vec::new();
        self.live.write_to(&mut lines);
        connection.tell_state(&lines, self.n, self.dropped);
        if !self.footer.is_empty() {
            connection.take_footer(&self.footer);
        }
    }
}

/// Why a connection ends.
enum Lost {
    Connection,
    Refused(String),
}

impl From<io::Error> for Lost {
    fn from(_: io::Error) -> Self {
        Self::Connection
    }
}

impl Connection {
    fn new(socket: Socket) -> Self {
        Self {
            socket,
            out: Vec::new(),
            sent: 0,
            state_end: 0,
            misses: false,
            has_footer: false,
            answers: Vec::new(),
            is_welcome: false,
            acked: None,
            looked: None,
            moved: Instant::now(),
        }
    }

    fn may_wait(&self) -> bool {
        let has_just_looked = self.looked.is_some_and(|looked| looked.elapsed() < PAUSE);
        has_just_looked && self.out.len() - self.sent < MANY_BYTES
    }

    fn is_drained(&self) -> bool {
        self.sent == self.out.len()
    }

    fn take(&mut self, lines: &[u8]) {
        let n_waiting = self.out.len() - self.sent.max(self.state_end);
        self.misses |= n_waiting + lines.len() > MOST_PENDING;
        if !self.misses {
            self.put_lines(lines);
        }
    }

    fn take_footer(&mut self, footer: &[u8]) {
        if !self.misses && !self.has_footer {
            self.put_lines(footer);
            self.has_footer = true;
        }
    }

    fn tell_state(&mut self, lines: &[u8], n: u64, dropped: u64) {
        frame::put_numbers(Kind::StateBegin, &[n, dropped], &mut self.out);
        self.put_lines(lines);
        frame::put(Kind::StateEnd, &[], &mut self.out);
        self.state_end = self.out.len();
        self.misses = false;
    }

    /// Whole lines in each frame.
    fn put_lines(&mut self, mut lines: &[u8]) {
        while !lines.is_empty() {
            let most = lines.len().min(FRAME_BYTES);
            let is_end = |byte: &u8| *byte == b'\n';
            // A line that is longer than a frame goes alone.
            let last = lines[..most].iter().rposition(is_end);
            let end = last.or_else(|| lines.iter().position(is_end)).map_or(lines.len(), |at| at + 1);
            let (now, later) = lines.split_at(end);
            frame::put(Kind::Lines, now, &mut self.out);
            lines = later;
        }
    }

    fn turn(&mut self) -> Result<(), Lost> {
        self.looked = Some(Instant::now());
        while !self.is_drained() {
            let n = self.socket.send(&self.out[self.sent..]);
            // Who refuses ends the connection; why, is still to be read.
            let Ok(n) = n else { break };
            if n == 0 {
                break;
            }
            self.sent += n;
            self.moved = Instant::now();
        }
        if self.is_drained() {
            self.out.clear();
            if self.out.capacity() > MOST_PENDING {
                self.out = Vec::new();
            }
            (self.sent, self.state_end) = (0, 0);
        } else if self.sent > MOST_PENDING {
            self.out.drain(..self.sent);
            self.state_end = self.state_end.saturating_sub(self.sent);
            self.sent = 0;
        }
        let mut buffer = [0; 512];
        for _ in 0..READS_A_TURN {
            let n = self.socket.receive(&mut buffer)?;
            if n == 0 {
                return Ok(());
            }
            self.answers.extend_from_slice(&buffer[..n]);
            while let Some((kind, length)) = self.answer()? {
                let payload = &self.answers[HEAD_BYTES..HEAD_BYTES + length];
                match kind {
                    Kind::Welcome => self.is_welcome = true,
                    Kind::Refused => return Err(Lost::Refused(one_line(payload))),
                    Kind::Ack => {
                        let [acked] = frame::parse_numbers(kind, payload).map_err(|_| Lost::Connection)?;
                        self.acked = Some(acked);
                        self.moved = Instant::now();
                    }
                    _ => return Err(Lost::Connection),
                }
                self.answers.drain(..HEAD_BYTES + length);
            }
        }
        Ok(())
    }

    /// The kind and the length of the next whole answer.
    fn answer(&self) -> Result<Option<(Kind, usize)>, Lost> {
        let Some((head, rest)) = self.answers.split_first_chunk::<HEAD_BYTES>() else { return Ok(None) };
        let (kind, length) = frame::parse_head(*head).map_err(|_| Lost::Connection)?;
        if length > MOST_ANSWER {
            return Err(Lost::Connection);
        }
        Ok((rest.len() >= length).then_some((kind, length)))
    }
}

/// What a stranger says, fit for a terminal.
fn one_line(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(&text[..text.len().min(200)]);
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
