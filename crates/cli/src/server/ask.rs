//! The other side: asks a running server.

use super::frames::Frames;
use super::listen::socket_folder_problem;
use crate::exit;
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::geteuid;
use serde_json::{Value, json};
use std::fmt;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tt_memtrace_wire::frame::{self, Hello, Kind, PROTOCOL, Role};
use tt_memtrace_wire::socket;

/// A server that says nothing for so long is taken for stopped.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection to a server.
pub struct Asker {
    /// Where it listens.
    pub path: PathBuf,
    stream: UnixStream,
    frames: Frames,
}

/// Why a server cannot be asked: one line, with what to do about it.
#[derive(Debug)]
pub struct Unreachable(pub String);

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unreachable {}

impl Asker {
    /// Finds the server: at that path, or this user's, or that of a group.
    pub fn find(path: Option<&Path>) -> Result<Self, Unreachable> {
        let Some(path) = path else {
            let own = socket::of_user(geteuid().as_raw());
            return match Self::connect(&own) {
                Err(first) => Self::connect(Path::new(socket::SHARED)).map_err(|_| first),
                found => found,
            };
        };
        Self::connect(path)
    }

    /// Connects to the server at a path.
    pub fn connect(path: &Path) -> Result<Self, Unreachable> {
        let shown = path.display();
        let uid = geteuid().as_raw();
        if path == socket::fallback(uid)
            && let Some(folder) = path.parent().filter(|folder| folder.exists())
            && let Some(problem) = socket_folder_problem(folder, uid)
        {
            return Err(Unreachable(problem));
        }
        let stream = UnixStream::connect(path).map_err(|error| {
            let why = match error.kind() {
                io::ErrorKind::NotFound => "there is none".into(),
                io::ErrorKind::ConnectionRefused => "it is gone".into(),
                _ => exit::plain(&error),
            };
            Unreachable(format!("no tracking server at {shown} ({why}): start one: tt-memtrace serve"))
        })?;
        let broken = |why: String| Unreachable(format!("the server at {shown} cannot be asked: {why}"));
        let plain = |error: io::Error| broken(exit::plain(&error));
        let owner = getsockopt(&stream, PeerCredentials).map_err(|error| plain(error.into()))?.uid();
        let is_shared = path == Path::new(socket::SHARED);
        if owner != uid && owner != 0 && uid != 0 && !is_shared {
            return Err(Unreachable(format!(
                "the server at {shown} belongs to user {owner}, it is not asked"
            )));
        }
        let set = stream.set_read_timeout(Some(PATIENCE)).and(stream.set_write_timeout(Some(PATIENCE)));
        set.map_err(plain)?;
        let mut asker = Self { path: path.to_owned(), stream, frames: Frames::new() };
        let mut hello = Vec::new();
        Hello { version: PROTOCOL, role: Role::Asker, header: b"" }.put(&mut hello);
        asker.stream.write_all(&hello).map_err(plain)?;
        match asker.next() {
            Ok((Kind::Welcome, _)) => Ok(asker),
            Ok((Kind::Refused, why)) => Err(broken(format!("it refuses: {}", String::from_utf8_lossy(&why)))),
            Ok((kind, _)) => Err(broken(format!("it says {kind:?} instead of a welcome"))),
            Err(why) => Err(broken(why)),
        }
    }

    /// Sends a request.
    pub fn request(&mut self, request: &Value) -> Result<(), Unreachable> {
        let mut bytes = Vec::new();
        frame::put(Kind::Request, request.to_string().as_bytes(), &mut bytes);
        self.stream.write_all(&bytes).map_err(|error| self.broken(&exit::plain(&error)))
    }

    /// Waits for an answer; `ok` of it is true.
    pub fn answer(&mut self) -> Result<Value, Unreachable> {
        let payload = match self.next() {
            Ok((Kind::Answer, payload)) => payload,
            Ok((Kind::Refused, why)) => return Err(self.broken(&String::from_utf8_lossy(&why))),
            Ok((kind, _)) => return Err(self.broken(&format!("it says {kind:?} instead of an answer"))),
            Err(why) => return Err(self.broken(&why)),
        };
        let answer: Value =
            serde_json::from_slice(&payload).map_err(|error| self.broken(&format!("no answer: {error}")))?;
        if answer["ok"] == json!(true) {
            return Ok(answer);
        }
        Err(Unreachable(answer["error"].as_str().unwrap_or("the server gives no reason").to_owned()))
    }

    fn broken(&self, why: &str) -> Unreachable {
        Unreachable(format!("the server at {} cannot be asked: {why}", self.path.display()))
    }

    fn next(&mut self) -> Result<(Kind, Vec<u8>), String> {
        loop {
            if let Some((kind, payload)) = self.frames.next().map_err(|error| error.to_string())? {
                return Ok((kind, self.frames.payload(payload).to_vec()));
            }
            match self.frames.fill(&mut self.stream) {
                Ok(true) => {}
                Ok(false) => return Err("it ended the connection".into()),
                Err(error) => return Err(error.to_string()),
            }
        }
    }
}
