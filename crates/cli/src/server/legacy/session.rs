//! One connection of a client of the earlier server.
//!
//! Its runtimes send without guarding against a closed connection, and die of that. So a connection that told of
//! memory is never closed from here, whatever comes: it is read and ignored. All connections of a process are one
//! process of the hub, and whoever only asks is none.

use super::events::{self, Circular, Refused};
use super::figures;
use crate::clock;
use crate::server::hub::Hub;
use crate::server::peer::Peer;
use crate::server::process::{Process, Protocol};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, send};
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tt_memtrace_wire::legacy::{Decoder, Found, Message, Record, RecordSize};
use tt_memtrace_wire::{Header, Line, Stamp, names, version};

/// After so long without a byte, a first record is taken to be whole.
const PAUSE: Duration = Duration::from_millis(20);
/// So long half a first record is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// So many buffers of one process are known at once.
const MOST_LIVE: usize = 1 << 21;
/// So much is read at once.
const CHUNK_BYTES: usize = 16 << 10;

/// All that speak the protocol.
pub struct Legacy {
    hub: Arc<Hub>,
    desks: Mutex<Vec<Arc<Desk>>>,
}

/// A process that told of memory.
struct Desk {
    process: Arc<Process>,
    state: Mutex<DeskState>,
}

struct DeskState {
    /// The hub's number of the latest connection.
    connection: u64,
    n_connections: usize,
    circular: Circular,
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, DeskState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Legacy {
    /// Nobody has connected yet.
    pub fn new(hub: Arc<Hub>) -> Self {
        Self { hub, desks: Mutex::default() }
    }

    /// Serves a connection until it ends.
    pub fn serve(&self, stream: UnixStream, peer: Arc<Peer>) {
        let pid = peer.pid.and_then(|pid| i32::try_from(pid).ok());
        let decoder = Decoder::new(pid);
        let mut session = Session {
            legacy: self,
            stream,
            peer,
            decoder,
            desk: None,
            records: Vec::new(),
            is_ignored: false,
            is_orphaned: false,
        };
        // A connection that breaks off says nothing of what came before.
        let _ = session.listen();
        session.leave();
    }

    /// The process of a connection that tells of memory.
    fn enter(&self, peer: &Arc<Peer>, claimed_pid: i32) -> Arc<Desk> {
        let mut desks = self.desks.lock().unwrap_or_else(PoisonError::into_inner);
        desks.retain(|desk| !desk.process.lock().status.is_over());
        let is_same = |desk: &&Arc<Desk>| {
            let known = &desk.process.info.peer;
            peer.pid.is_some() && (known.pid, known.start, known.uid) == (peer.pid, peer.start, peer.uid)
        };
        if let Some(desk) = desks.iter().find(is_same) {
            let desk = Arc::clone(desk);
            let mut state = desk.lock();
            if state.n_connections == 0 {
                let header = desk.process.info.header.clone();
                state.connection = self.hub.enter(header, Arc::clone(peer), Protocol::Legacy).1;
            }
            state.n_connections += 1;
            drop(state);
            return desk;
        }
        let (process, connection) =
            self.hub.enter(header(peer, claimed_pid), Arc::clone(peer), Protocol::Legacy);
        let state = DeskState { connection, n_connections: 1, circular: Circular::default() };
        let desk = Arc::new(Desk { process, state: Mutex::new(state) });
        desks.push(Arc::clone(&desk));
        desk
    }

    fn leave(&self, desk: &Desk) {
        let mut state = desk.lock();
        state.n_connections = state.n_connections.saturating_sub(1);
        if state.n_connections == 0 {
            self.hub.leave(&desk.process, state.connection, None);
        }
    }
}

/// What would stand in the header of a capture, as far as the kernel tells.
fn header(peer: &Peer, claimed_pid: i32) -> Header {
    let words = peer.pid.and_then(|pid| std::fs::read_to_string(format!("/proc/{pid}/cmdline")).ok());
    let words = words.unwrap_or_default();
    let command: Vec<String> = words.split_terminator('\0').map(str::to_owned).collect();
    let now = clock::wall_ns();
    Header {
        version: version::CURRENT,
        tool: String::new(),
        pid: u32::try_from(claimed_pid).ok().filter(|pid| *pid > 0).or(peer.pid).unwrap_or(0),
        // Of processes that cannot be seen from here, each is another one.
        process_start: peer.start.unwrap_or(now),
        host: String::new(),
        boot_id: String::new(),
        pid_namespace: String::new(),
        rank: None,
        program: names::program(&command),
        command,
        t_ns: 0,
        wall_ns: now,
        runtime: None,
        stacks: "none".into(),
        spool: None,
        parent: None,
    }
}

struct Session<'a> {
    legacy: &'a Legacy,
    stream: UnixStream,
    peer: Arc<Peer>,
    decoder: Decoder,
    /// Where its process sits, once it told of memory.
    desk: Option<Arc<Desk>>,
    /// What was told and is not yet in the ledger.
    records: Vec<Record>,
    /// What comes is not looked at any more.
    is_ignored: bool,
    /// Its process is dead, and nothing came since.
    is_orphaned: bool,
}

/// What comes next on a connection.
enum Wait {
    Bytes,
    /// Nothing came for as long as was waited.
    Nothing,
    /// The process is dead, though another may hold its connection.
    Dead,
}

impl Session<'_> {
    fn listen(&mut self) -> io::Result<()> {
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut was_pause = false;
        loop {
            let is_whole = self.decoder.n_waiting() == 0 || self.decoder.size().is_some();
            let time = match () {
                () if self.is_ignored || is_whole => None,
                () if self.decoder.is_unsure() && !was_pause => Some(PAUSE),
                () => Some(PATIENCE),
            };
            match self.wait(time)? {
                Wait::Bytes => was_pause = false,
                Wait::Nothing => {
                    if let Some(found) = self.decoder.pause() {
                        if !self.take_all(Some(found)) {
                            return Ok(());
                        }
                    } else if time == Some(PATIENCE) {
                        self.refuse(&Refused::Half(self.decoder.n_waiting()));
                        return Ok(());
                    }
                    was_pause = true;
                    continue;
                }
                Wait::Dead => {
                    self.leave();
                    (self.is_ignored, self.is_orphaned) = (true, true);
                    continue;
                }
            }
            let n = self.stream.read(&mut chunk)?;
            if self.is_ignored && n > 0 {
                if std::mem::take(&mut self.is_orphaned) {
                    self.refuse(&Refused::Over);
                }
                continue;
            }
            self.decoder.push(chunk.get(..n).unwrap_or_default());
            if !self.take_all(None) {
                return Ok(());
            }
            if n == 0 {
                while let Some(found) = self.decoder.finish() {
                    let _ = self.take_all(Some(found));
                }
                return Ok(());
            }
        }
    }

    /// Waits for bytes: so long, or until there are some.
    fn wait(&self, time: Option<Duration>) -> io::Result<Wait> {
        if time.is_none() && !(self.is_ignored && self.desk.is_none()) {
            let is_readable = self.peer.wait_readable(&self.stream)?;
            return Ok(if is_readable { Wait::Bytes } else { Wait::Dead });
        }
        let timeout =
            time.map_or(PollTimeout::NONE, |time| PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX));
        loop {
            match poll(&mut [PollFd::new(self.stream.as_fd(), PollFlags::POLLIN)], timeout) {
                Ok(0) => return Ok(Wait::Nothing),
                Ok(_) => return Ok(Wait::Bytes),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Takes this and all that is whole by now. False if the connection is to be closed.
    fn take_all(&mut self, first: Option<Found>) -> bool {
        if let Some(found) = first {
            self.take(found);
        }
        let trouble = loop {
            match self.decoder.next() {
                Ok(Some(found)) => self.take(found),
                Ok(None) => break None,
                Err(trouble) => break Some(trouble),
            }
        };
        self.tell();
        let Some(trouble) = trouble else { return true };
        self.refuse(&Refused::Bytes(trouble));
        self.is_ignored = self.desk.is_some();
        self.is_ignored
    }

    fn take(&mut self, found: Found) {
        let (record, size) = match found {
            Found::Record(record, size) => (record, size),
            Found::Bad(why) => return self.refuse(&Refused::Record(why)),
        };
        let hub = &self.legacy.hub;
        match record.message {
            Message::Query => {
                self.tell();
                let totals = figures::in_use(hub, record.device_id);
                self.answer(&Record { totals, ..Record::new(Message::Response, record.device_id) }, size);
            }
            Message::DeviceInfoQuery => {
                self.tell();
                let device = figures::facts(hub, record.device_id);
                self.answer(
                    &Record { device, ..Record::new(Message::DeviceInfoResponse, record.device_id) },
                    size,
                );
            }
            Message::DumpRemaining => {
                self.tell();
                hub.observer.print(figures::dump_remaining(hub, None) + "\n");
            }
            Message::DumpKernels => {
                self.tell();
                hub.observer.print(figures::dump_kernels(hub) + "\n");
            }
            _ => self.records.push(record),
        }
    }

    /// Puts what was told into the ledger.
    fn tell(&mut self) {
        let Some(first) = self.records.first() else { return };
        let is_told =
            |record: &Record| !matches!(record.message, Message::Response | Message::DeviceInfoResponse);
        if self.desk.is_none() && self.records.iter().any(is_told) {
            let desk = self.legacy.enter(&self.peer, first.process_id);
            self.note_claim(first.process_id);
            self.desk = Some(desk);
        }
        let records = std::mem::take(&mut self.records);
        let Some(desk) = self.desk.clone() else {
            return records.iter().for_each(|record| self.refuse(&Refused::Message(record.message.number())));
        };
        let mut state = desk.lock();
        let Some(mut batch) = self.legacy.hub.batch(&desk.process, state.connection) else {
            self.is_ignored = true;
            return self.refuse(&Refused::Over);
        };
        let info = &desk.process.info;
        for record in &records {
            let is_full =
                record.message == Message::Alloc && batch.state().ledger.snapshot().n_live() >= MOST_LIVE;
            let event =
                if is_full { Err(Refused::TooMany) } else { events::event(record, &mut state.circular) };
            match event {
                Ok(event) => {
                    let stamp = Stamp {
                        n: batch.state().n + 1,
                        t_ns: clock::wall_ns().saturating_sub(info.header.wall_ns),
                        // Records know no threads. This keeps the pid that each one names.
                        tid: u32::try_from(record.process_id).unwrap_or(0),
                        ctx: 0,
                    };
                    batch.apply(&Line::Event(stamp, event));
                }
                Err(refused) => self.refuse(&refused),
            }
        }
        drop(batch);
        drop(state);
        self.records = records;
        self.records.clear();
    }

    /// A pid that is not the one the kernel says is only told: in a container it is another.
    fn note_claim(&self, claimed_pid: i32) {
        if let Some(pid) = self.peer.pid
            && i32::try_from(pid) != Ok(claimed_pid)
        {
            let text =
                format!("pid {pid} says that it is pid {claimed_pid}; its buffers are those of pid {pid}");
            self.legacy.hub.observer.say(&text);
        }
    }

    fn answer(&self, record: &Record, size: RecordSize) {
        let mut bytes = Vec::new();
        record.write_to(size, &mut bytes);
        // Whoever does not take its answer has gone.
        let _ = send(self.stream.as_raw_fd(), &bytes, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL);
    }

    fn refuse(&self, refused: &Refused) {
        let who = match self.peer.pid {
            Some(pid) => format!("pid {pid} (legacy)"),
            None => format!("a legacy process of user {}", self.peer.uid),
        };
        self.legacy.hub.observer.refused(&who, refused);
    }

    fn leave(&mut self) {
        if let Some(desk) = self.desk.take() {
            self.legacy.leave(&desk);
        }
    }
}
