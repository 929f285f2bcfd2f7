//! Asks the tracking server.

use crate::exit::{self, Unreachable};
use crate::state::State;
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::geteuid;
use serde::Deserialize;
use serde_json::{Value, json};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tt_memtrace_wire::frame::{self, HEAD_BYTES, Hello, Kind, PROTOCOL, Role};
use tt_memtrace_wire::socket;

/// A server that says nothing for so long is not waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection to the server.
pub struct Server {
    stream: UnixStream,
    path: PathBuf,
}

#[derive(Deserialize)]
struct Answer {
    ok: bool,
    error: Option<String>,
    state: Option<State>,
}

impl Server {
    /// Connects to the socket that was named, else to that of this user, else to that which users share.
    pub fn connect(named: Option<&Path>) -> Result<Self, Unreachable> {
        let uid = geteuid().as_raw();
        let usual = [socket::of_user(uid), socket::fallback(uid), PathBuf::from(socket::SHARED)];
        let candidates = named.map_or_else(|| usual.to_vec(), |path| vec![path.to_owned()]);
        let mut why = String::new();
        for path in candidates {
            match Self::open(&path) {
                Ok(server) => return Ok(server),
                Err(error) if why.is_empty() => why = format!("{}: {}", path.display(), exit::plain(&error)),
                Err(_) => {}
            }
        }
        Err(Unreachable(format!(
            "no tracking server answers ({why}): start `tt-memtrace serve`, or name a capture that is being written"
        )))
    }

    fn open(path: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(path)?;
        check_owner(&stream, path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut server = Self { stream, path: path.to_owned() };
        let mut hello = Vec::new();
        Hello { version: PROTOCOL, role: Role::Asker, header: b"" }.put(&mut hello);
        server.stream.write_all(&hello)?;
        let (kind, payload) = server.receive()?;
        match kind {
            Kind::Welcome => Ok(server),
            Kind::Refused => Err(io::Error::other(String::from_utf8_lossy(&payload).into_owned())),
            _ => Err(io::Error::other("its welcome is none")),
        }
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the server knows now.
    pub fn state(&mut self, top: usize) -> Result<State, Unreachable> {
        self.ask(&json!({"request": "state", "top": top}))?;
        self.answer()
    }

    /// Gives a state in each interval, as long as they are wanted.
    pub fn follow(
        &mut self,
        every: Duration,
        top: usize,
        mut show: impl FnMut(State) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let every_ms = u64::try_from(every.as_millis()).unwrap_or(u64::MAX);
        let limit = |error| self.lost(&error);
        self.stream.set_read_timeout(Some(PATIENCE.saturating_add(every))).map_err(limit)?;
        self.ask(&json!({"request": "follow", "every_ms": every_ms, "top": top}))?;
        while show(self.answer()?)? {}
        Ok(())
    }

    fn ask(&mut self, request: &Value) -> Result<(), Unreachable> {
        let mut bytes = Vec::new();
        frame::put(Kind::Request, request.to_string().as_bytes(), &mut bytes);
        self.stream.write_all(&bytes).map_err(|error| self.lost(&error))
    }

    fn answer(&mut self) -> Result<State, Unreachable> {
        let (kind, payload) = self.receive().map_err(|error| self.lost(&error))?;
        let wrong = |why: &dyn std::fmt::Display| {
            let path = self.path.display();
            Unreachable(format!("the server at {path} answers what this version does not understand ({why})"))
        };
        if kind != Kind::Answer {
            return Err(wrong(&String::from_utf8_lossy(&payload)));
        }
        let answer: Answer = serde_json::from_slice(&payload).map_err(|error| wrong(&error))?;
        match answer.state {
            Some(state) if answer.ok => Ok(state),
            _ => Err(wrong(&answer.error.unwrap_or_default())),
        }
    }

    fn receive(&mut self) -> io::Result<(Kind, Vec<u8>)> {
        let mut head = [0; HEAD_BYTES];
        self.stream.read_exact(&mut head)?;
        let (kind, length) = frame::parse_head(head).map_err(io::Error::other)?;
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload)?;
        Ok((kind, payload))
    }

    fn lost(&self, error: &io::Error) -> Unreachable {
        let why = match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {
                "it ended".to_owned()
            }
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "it says nothing".to_owned(),
            _ => exit::plain(error),
        };
        Unreachable(format!("the connection to the server at {} is gone: {why}", self.path.display()))
    }
}

/// Whoever makes a socket in a folder that others can write to could tell us anything.
fn check_owner(stream: &UnixStream, path: &Path) -> io::Result<()> {
    let uid = getsockopt(stream, PeerCredentials)?.uid();
    let is_trusted = uid == 0 || uid == geteuid().as_raw() || path == Path::new(socket::SHARED);
    if is_trusted { Ok(()) } else { Err(io::Error::other(format!("its server runs as user {uid}"))) }
}
