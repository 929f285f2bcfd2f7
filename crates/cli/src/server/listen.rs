//! The socket: where it is, who may connect, and how many at once.

use super::client::{self, refuse};
use super::frames::{Frames, FramesError};
use super::hub::Hub;
use super::legacy::Legacy;
use super::peer::Peer;
use super::process::Protocol;
use super::requests;
use crate::exit::{self, Usage};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::{Group, chown, geteuid};
use serde_json::json;
use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, Permissions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tt_memtrace_wire::frame::{self, Hello, Kind, PROTOCOL, Role};
use tt_memtrace_wire::socket;

/// So many connections are served at once.
const MAX_CONNECTIONS: usize = 1024;
/// So many of one process, so that one cannot keep all others out.
const MAX_OF_ONE: usize = 256;
/// A connection says who it is within this time.
const HELLO_PATIENCE: Duration = Duration::from_secs(5);
/// An answer is taken within this time.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);
/// What a thread of a connection needs, and room to spare for nested JSON in an unoptimised build. There may be a
/// thousand, but only what is used takes memory.
const STACK_BYTES: usize = 1 << 20;
/// Two servers that start at once take turns; so long one waits for its turn.
const TURN_PATIENCE: Duration = Duration::from_secs(2);

/// Where a server listens.
#[derive(Debug, Clone)]
pub struct Place {
    /// The socket.
    pub path: PathBuf,
    /// The group that may connect, besides the user.
    pub group: Option<String>,
}

impl Place {
    /// Where the user wants it; by default where recorded processes of this user look.
    pub fn choose(path: Option<&Path>, group: Option<&str>) -> Self {
        let default = || match group {
            Some(_) => PathBuf::from(socket::SHARED),
            None => socket::of_user(geteuid().as_raw()),
        };
        Self { path: path.map_or_else(default, Path::to_owned), group: group.map(str::to_owned) }
    }

    /// Listens there. What a server that was killed left is replaced; one that runs is not disturbed.
    pub fn bind(&self) -> Result<Socket, Usage> {
        let path = &self.path;
        let cannot = |what: &str, error: &io::Error| {
            Usage(format!("cannot {what} {}: {}", path.display(), exit::plain(error)))
        };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        self.prepare(folder)?;
        let _turn = Turn::take(folder);
        clear(path)?;
        let listener = UnixListener::bind(path).map_err(|error| cannot("listen at", &error))?;
        let metadata = path.symlink_metadata().map_err(|error| cannot("look at", &error))?;
        let socket = Socket { listener, path: path.clone(), identity: (metadata.dev(), metadata.ino()) };
        let mode = match &self.group {
            None => 0o600,
            Some(name) => {
                let group = Group::from_name(name).ok().flatten();
                let group = group.ok_or_else(|| Usage(format!("there is no group {name:?}")))?;
                chown(path, None, Some(group.gid))
                    .map_err(|error| Usage(format!("cannot give {} to {name}: {error}", path.display())))?;
                0o660
            }
        };
        fs::set_permissions(path, Permissions::from_mode(mode))
            .map_err(|error| cannot("set the mode of", &error))?;
        Ok(socket)
    }

    /// The folder of the user in `/tmp` has to be the user's; any other folder is taken as it is.
    fn prepare(&self, folder: &Path) -> Result<(), Usage> {
        let uid = geteuid().as_raw();
        let shown = folder.display();
        if self.path == socket::fallback(uid) {
            let made = DirBuilder::new().mode(0o700).create(folder);
            if let Err(error) = made
                && error.kind() != io::ErrorKind::AlreadyExists
            {
                return Err(Usage(format!("cannot create {shown}: {}", exit::plain(&error))));
            }
            return socket_folder_problem(folder, uid).map_or(Ok(()), |problem| Err(Usage(problem)));
        }
        if self.group.is_some() && self.path == Path::new(socket::SHARED) && !folder.is_dir() {
            let name = self.group.as_deref().unwrap_or_default();
            let made = DirBuilder::new().mode(0o750).create(folder).and_then(|()| {
                let group = Group::from_name(name).ok().flatten().map(|group| group.gid);
                chown(folder, None, group).map_err(io::Error::from)
            });
            return made.map_err(|error| {
                let why = exit::plain(&error);
                Usage(format!(
                    "cannot create {shown}: {why}; as root: install -d -o {} -g {name} -m 0750 {shown}",
                    uid
                ))
            });
        }
        Ok(())
    }
}

/// What is wrong with the folder of a user's socket in `/tmp`, where anybody could have made one.
pub fn socket_folder_problem(folder: &Path, uid: u32) -> Option<String> {
    let shown = folder.display();
    let metadata = match folder.symlink_metadata() {
        Ok(metadata) => metadata,
        Err(error) => return Some(format!("cannot look at {shown}: {}", exit::plain(&error))),
    };
    if !metadata.is_dir() || metadata.uid() != uid {
        let owner = metadata.uid();
        return Some(format!(
            "{shown} is not a folder of user {uid} (owner {owner}): remove it, or use --socket"
        ));
    }
    if metadata.mode() & 0o077 != 0 {
        let mode = metadata.mode() & 0o777;
        return Some(format!("{shown} is open to others (mode {mode:o}): chmod 700 {shown}"));
    }
    None
}

/// Held while a socket is put in the place of another, so that two servers that start at once do not both do it.
struct Turn(Option<File>);

impl Turn {
    fn take(folder: &Path) -> Self {
        let Ok(file) = File::open(folder) else { return Self(None) };
        let deadline = Instant::now() + TURN_PATIENCE;
        while Instant::now() < deadline {
            match file.try_lock() {
                Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(10)),
                _ => break,
            }
        }
        Self(Some(file))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let _ = self.0.take().map(|file| file.unlock());
    }
}

/// Removes the socket of a server that is gone.
fn clear(path: &Path) -> Result<(), Usage> {
    let shown = path.display();
    match path.symlink_metadata() {
        Ok(metadata) if metadata.file_type().is_socket() => {}
        Ok(_) => {
            return Err(Usage(format!("{shown} is no socket, and is not touched: use another --socket")));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Usage(format!("cannot look at {shown}: {}", exit::plain(&error)))),
    }
    match UnixStream::connect(path) {
        Ok(stream) => {
            let pid = getsockopt(&stream, PeerCredentials).map_or(0, |credentials| credentials.pid());
            Err(Usage(format!(
                "a server listens at {shown} already (pid {pid}): end it with tt-memtrace ctl --socket {shown} shutdown, \
                 or take another socket"
            )))
        }
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path)
            .map_err(|error| Usage(format!("cannot remove {shown}: {}", exit::plain(&error)))),
        Err(error) => {
            Err(Usage(format!("cannot tell whether a server listens at {shown}: {}", exit::plain(&error))))
        }
    }
}

/// A socket that is listened at; removed when it is dropped.
pub struct Socket {
    /// The listener.
    pub listener: UnixListener,
    path: PathBuf,
    identity: (u64, u64),
}

impl Drop for Socket {
    fn drop(&mut self) {
        let found = self.path.symlink_metadata().map(|metadata| (metadata.dev(), metadata.ino()));
        if found.is_ok_and(|found| found == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Who may connect, and who is connected.
pub struct Door {
    hub: Arc<Hub>,
    /// Whether whoever the socket's mode lets in may stay.
    is_for_group: bool,
    stop: Arc<dyn Fn() + Send + Sync>,
    connected: Mutex<HashMap<Option<u32>, usize>>,
    legacy: Legacy,
}

/// Counts a connection while it lasts.
struct Seat {
    door: Arc<Door>,
    pid: Option<u32>,
}

impl Door {
    /// Nobody is connected yet; `stop` ends the server.
    pub fn new(hub: Arc<Hub>, is_for_group: bool, stop: Arc<dyn Fn() + Send + Sync>) -> Self {
        let legacy = Legacy::new(Arc::clone(&hub));
        Self { hub, is_for_group, stop, connected: Mutex::default(), legacy }
    }

    /// Serves a new connection in a thread of its own.
    pub fn open(self: &Arc<Self>, stream: UnixStream, protocol: Protocol) {
        let Ok(peer) = Peer::of(&stream) else { return };
        let seat = match self.admit(&peer) {
            Ok(seat) => seat,
            Err(why) => {
                if protocol == Protocol::Native {
                    refuse(&stream, &why);
                }
                return self.hub.observer.say(&format!("refused {}: {why}", shown(&peer)));
            }
        };
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
        let served = thread.spawn(move || {
            let door = Arc::clone(&seat.door);
            door.serve(stream, Arc::new(peer), protocol);
            drop(seat);
        });
        if let Err(error) = served {
            self.hub.observer.say(&format!("cannot serve a connection: {}", exit::plain(&error)));
        }
    }

    fn admit(self: &Arc<Self>, peer: &Peer) -> Result<Seat, String> {
        let is_own = peer.uid == geteuid().as_raw() || peer.uid == 0;
        if !is_own && !self.is_for_group {
            return Err(format!("user {} may not use this server", peer.uid));
        }
        let mut connected = self.connected.lock().unwrap_or_else(PoisonError::into_inner);
        let n_all: usize = connected.values().sum();
        let n_own = connected.entry(peer.pid).or_default();
        if n_all >= MAX_CONNECTIONS || *n_own >= MAX_OF_ONE {
            return Err("too many connections".into());
        }
        *n_own += 1;
        Ok(Seat { door: Arc::clone(self), pid: peer.pid })
    }

    /// Serves a connection until it ends.
    pub fn serve(&self, stream: UnixStream, peer: Arc<Peer>, protocol: Protocol) {
        match protocol {
            Protocol::Native => self.serve_native(stream, peer),
            Protocol::Legacy => self.legacy.serve(stream, peer),
        }
    }

    /// The hello, and then by the role that it names.
    fn serve_native(&self, mut stream: UnixStream, peer: Arc<Peer>) {
        let mut frames = Frames::new();
        let refused = match self.greet(&mut stream, &mut frames, &peer) {
            Ok(Some(header)) => return client::serve(&self.hub, stream, frames, peer, header),
            Ok(None) => {
                let is_own = peer.uid == geteuid().as_raw() || peer.uid == 0;
                return requests::serve(&self.hub, stream, frames, is_own.then_some(&*self.stop));
            }
            Err(why) => why,
        };
        // Who only looked whether somebody listens is nothing to tell of.
        if refused != SILENT {
            refuse(&stream, &refused);
            self.hub.observer.say(&format!("refused {}: {refused}", shown(&peer)));
        }
    }

    /// Reads the hello and answers it. Gives the header of a recorder.
    fn greet(
        &self,
        stream: &mut UnixStream,
        frames: &mut Frames,
        peer: &Peer,
    ) -> Result<Option<tt_memtrace_wire::Header>, String> {
        let payload = hello(stream, frames)?;
        let hello = Hello::parse(frames.payload(payload)).map_err(|error| error.to_string())?;
        if hello.version.major != PROTOCOL.major {
            return Err(format!("protocol {}, this server speaks {PROTOCOL}", hello.version));
        }
        let header = match hello.role {
            Role::Asker => None,
            Role::Recorder => {
                Some(client::header(hello.header, peer).map_err(|refusal| refusal.to_string())?)
            }
        };
        let mut welcome = Vec::new();
        let text = json!({
            "protocol": PROTOCOL.to_string(),
            "tool": env!("CARGO_PKG_VERSION"),
            "pid": std::process::id(),
        });
        frame::put(Kind::Welcome, text.to_string().as_bytes(), &mut welcome);
        let set = stream.set_read_timeout(None).and(stream.set_write_timeout(Some(ANSWER_PATIENCE)));
        set.and(stream.write_all(&welcome)).map_err(|error| exit::plain(&error))?;
        Ok(header)
    }
}

/// Why nothing was said to a connection that ended at once.
const SILENT: &str = "it said nothing";

/// Waits for the hello, however slowly it comes, no longer than it may take.
fn hello(stream: &mut UnixStream, frames: &mut Frames) -> Result<std::ops::Range<usize>, String> {
    let deadline = Instant::now() + HELLO_PATIENCE;
    let late = || format!("no hello within {} s", HELLO_PATIENCE.as_secs());
    loop {
        match frames.next().map_err(|error| error.to_string())? {
            Some((Kind::Hello, payload)) => return Ok(payload),
            Some((kind, _)) => return Err(format!("a frame {kind:?} before the hello")),
            None => {}
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(late());
        }
        stream.set_read_timeout(Some(left)).map_err(|error| exit::plain(&error))?;
        match frames.fill(stream) {
            Ok(true) => {}
            Ok(false) => return Err(SILENT.into()),
            Err(FramesError::Io(error)) if is_timeout(&error) => return Err(late()),
            Err(error) => return Err(error.to_string()),
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// A peer in a line of the log.
fn shown(peer: &Peer) -> String {
    match peer.pid {
        Some(pid) => format!("pid {pid} (user {})", peer.uid),
        None => format!("a process of user {} in another pid namespace", peer.uid),
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut connected = self.door.connected.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(n) = connected.get_mut(&self.pid) {
            *n = n.saturating_sub(1);
        }
        connected.retain(|_, n| *n > 0);
    }
}
