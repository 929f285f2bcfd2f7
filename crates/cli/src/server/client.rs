//! One connection of a recorder: frames, then lines, then the ledger. Whatever arrives, only this connection's own
//! process is concerned.

use super::frames::{Frames, FramesError};
use super::hub::{Batch, End, Hub};
use super::peer::Peer;
use super::process::{Process, Protocol};
use crate::liveness;
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, send};
use std::fmt;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use tt_memtrace_wire::frame::{self, FrameError, Kind};
use tt_memtrace_wire::{Footer, Header, Line, LineError, version};

/// Why a recorder is refused, or not listened to any longer.
#[derive(Debug)]
pub enum Refusal {
    /// Its bytes are no frames.
    Frames(FramesError),
    /// A frame of a recorder cannot be of that kind here.
    Misplaced(Kind),
    /// Its header, or a line, is none of a capture.
    Line(LineError),
    /// It says what cannot be.
    Claim(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frames(error) => error.fmt(f),
            Self::Misplaced(kind) => write!(f, "a frame {kind:?} where there can be none"),
            Self::Line(error) => error.fmt(f),
            Self::Claim(why) => f.write_str(why),
        }
    }
}

impl From<FrameError> for Refusal {
    fn from(error: FrameError) -> Self {
        Self::Frames(error.into())
    }
}

impl From<FramesError> for Refusal {
    fn from(error: FramesError) -> Self {
        Self::Frames(error)
    }
}

/// The header of a hello, if its process may be who it says.
pub fn header(line: &[u8], peer: &Peer) -> Result<Header, Refusal> {
    let header = match parse(line) {
        Ok(Line::Header(header)) => *header,
        Ok(_) => return Err(Refusal::Claim("a hello without a header".into())),
        Err(error) => return Err(Refusal::Line(error)),
    };
    if !header.version.is_readable() {
        let (theirs, ours) = (header.version, version::CURRENT.major);
        return Err(Refusal::Claim(format!("format version {theirs}, this tt-memtrace reads {ours}.x")));
    }
    check_claim(&header, peer).map_err(Refusal::Claim)?;
    Ok(header)
}

/// In a container a process has another pid; else it is the one that the kernel says.
fn check_claim(header: &Header, peer: &Peer) -> Result<(), String> {
    let is_here = !header.pid_namespace.is_empty() && header.pid_namespace == liveness::own_namespace();
    let Some(pid) = peer.pid.filter(|_| is_here) else { return Ok(()) };
    if header.pid != pid {
        return Err(format!("pid {pid} says that it is pid {}", header.pid));
    }
    match (peer.start, header.process_start) {
        (Some(start), said) if said != 0 && said != start => Err(format!(
            "pid {pid} says that it started at {said}, it did at {start} (clock ticks since boot)"
        )),
        _ => Ok(()),
    }
}

/// Listens to a recorder until its connection ends. It was welcomed.
pub fn serve(hub: &Hub, stream: UnixStream, frames: Frames, peer: Arc<Peer>, header: Header) {
    let (process, connection) = hub.enter(header, peer, Protocol::Native);
    let mut client = Client { hub, process, connection, stream, frames, unsent_ack: Vec::new() };
    let why = client.listen().err().map(|refusal| refusal.to_string());
    if let Some(why) = &why {
        refuse(&client.stream, why);
    }
    hub.leave(&client.process, connection, why.as_deref());
}

/// Says why a connection ends, if the other side takes it without delay.
pub fn refuse(stream: &UnixStream, why: &str) {
    let mut answer = Vec::new();
    frame::put(Kind::Refused, why.as_bytes(), &mut answer);
    let _ = send(stream.as_raw_fd(), &answer, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL);
}

struct Client<'a> {
    hub: &'a Hub,
    process: Arc<Process>,
    connection: u64,
    stream: UnixStream,
    frames: Frames,
    /// The rest of an acknowledgement of which the socket took only a part.
    unsent_ack: Vec<u8>,
}

impl Client<'_> {
    /// Until the connection ends, or another one of the same process takes over.
    fn listen(&mut self) -> Result<(), Refusal> {
        loop {
            let mut is_told = false;
            while let Some((kind, payload)) = self.frames.next()? {
                let Some(mut batch) = self.hub.batch(&self.process, self.connection) else { return Ok(()) };
                let payload = self.frames.payload(payload);
                let footer = take(&mut batch, kind, payload)?;
                let n = batch.state().n;
                drop(batch);
                is_told |= kind != Kind::StateBegin;
                if let Some(footer) = footer {
                    self.acknowledge(n);
                    self.hub.end(&self.process, End::Exited(footer.ended));
                    return Ok(());
                }
            }
            if is_told {
                let n = self.process.lock().n;
                self.acknowledge(n);
            }
            if !self.process.info.peer.wait_readable(&self.stream).map_err(FramesError::from)? {
                return Ok(()); // The process is dead, and all it sent was received.
            }
            match self.frames.fill(&mut self.stream) {
                Ok(true) => {}
                // A connection that breaks off says nothing of what came before.
                Ok(_) | Err(FramesError::Cut | FramesError::Io(_)) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// A recorder that does not read is not waited for: a later acknowledgement says more.
    fn acknowledge(&mut self, n: u64) {
        if self.unsent_ack.is_empty() {
            frame::put_numbers(Kind::Ack, &[n], &mut self.unsent_ack);
        }
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        match send(self.stream.as_raw_fd(), &self.unsent_ack, flags) {
            Ok(sent) => drop(self.unsent_ack.drain(..sent)),
            Err(Errno::EAGAIN) => self.unsent_ack.clear(),
            Err(_) => {}
        }
    }
}

/// Applies what one frame says. Gives the footer if that is in it.
fn take(batch: &mut Batch<'_>, kind: Kind, payload: &[u8]) -> Result<Option<Footer>, Refusal> {
    match kind {
        Kind::Lines => return lines(batch, payload),
        Kind::StateBegin => {
            let [n, n_dropped] = frame::parse_numbers(kind, payload)?;
            batch.begin_state(n, n_dropped);
        }
        Kind::StateEnd => batch.end_state(),
        Kind::Hello | Kind::Welcome | Kind::Refused | Kind::Ack | Kind::Request | Kind::Answer => {
            return Err(Refusal::Misplaced(kind));
        }
    }
    Ok(None)
}

fn lines(batch: &mut Batch<'_>, payload: &[u8]) -> Result<Option<Footer>, Refusal> {
    let Some(payload) = payload.strip_suffix(b"\n") else {
        return Err(FrameError::BadPayload(Kind::Lines).into());
    };
    for line in payload.split(|byte| *byte == b'\n') {
        match parse(line) {
            Ok(Line::Footer(footer)) => {
                batch.set_dropped(footer.dropped);
                return Ok(Some(footer));
            }
            Ok(line) => batch.apply(&line),
            // A later minor version may have values that this one does not know.
            Err(error @ LineError::Field { .. }) => batch.pass_over(&error),
            Err(error) => return Err(Refusal::Line(error)),
        }
    }
    Ok(None)
}

fn parse(line: &[u8]) -> Result<Line, LineError> {
    let text = str::from_utf8(line).map_err(|error| LineError::NotALine(error.to_string()))?;
    Line::parse(text)
}
