//! One connection to the tracking server's socket: it never blocks, raises no signal, and never touches a descriptor
//! that the host has taken over.

use std::ffi::c_int;
use std::io;
use std::mem;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

/// The descriptor of the process's connection, or -1, and what tells that it still is that connection: for a forked
/// child, which has to close it, or the server would not see the end of its parent.
static DESCRIPTOR: AtomicI32 = AtomicI32::new(-1);
static INODE: AtomicU64 = AtomicU64::new(0);

/// A connection. There is one at a time in a process.
pub struct Socket {
    descriptor: c_int,
    inode: u64,
}

/// Why there is no connection.
pub enum NoConnection {
    /// Nobody listens, or not yet.
    Nobody(io::Error),
    /// Who listens is somebody else.
    Stranger(u32),
}

impl From<io::Error> for NoConnection {
    fn from(error: io::Error) -> Self {
        Self::Nobody(error)
    }
}

impl Socket {
    /// Connects at once or not at all.
    ///
    /// `is_shared`: the socket is one that a group of users shares, in a folder that only the administrator can write,
    /// so its server may be anybody. Else it must be ours or the administrator's.
    pub fn connect(path: &Path, is_shared: bool) -> Result<Self, NoConnection> {
        let address = address(path)?;
        let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        // SAFETY: plain numbers.
        let descriptor = above_standard(checked(unsafe { libc::socket(libc::AF_UNIX, kind, 0) })?)?;
        let this = Self { descriptor, inode: inode(descriptor).unwrap_or(0) };
        INODE.store(this.inode, Ordering::Relaxed);
        DESCRIPTOR.store(descriptor, Ordering::Release);
        let length = libc::socklen_t::try_from(size_of_val(&address)).unwrap_or(0);
        // SAFETY: the address is a whole one, and its length its own.
        checked(unsafe { libc::connect(descriptor, (&raw const address).cast(), length) })?;
        let server = this.uid_of_server()?;
        // SAFETY: always succeeds.
        let own = unsafe { libc::geteuid() };
        if is_shared || server == own || server == 0 { Ok(this) } else { Err(NoConnection::Stranger(server)) }
    }

    fn uid_of_server(&self) -> io::Result<u32> {
        let mut peer = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
        let mut length = libc::socklen_t::try_from(size_of_val(&peer)).unwrap_or(0);
        let (level, name, at) = (libc::SOL_SOCKET, libc::SO_PEERCRED, (&raw mut peer).cast());
        // SAFETY: `peer` is a valid place of that length for the answer.
        checked(unsafe { libc::getsockopt(self.descriptor, level, name, at, &raw mut length) })?;
        Ok(peer.uid)
    }

    /// Sends what the other side has room for: nothing, if none.
    pub fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
        // SAFETY: the pointer and the length are those of a live slice.
        self.moved(|| unsafe { libc::send(self.descriptor, bytes.as_ptr().cast(), bytes.len(), flags) })
    }

    /// Receives what is there: nothing, if the other side said nothing. An error if it has gone.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut has_ended = false;
        let receive = || {
            let (at, length) = (buffer.as_mut_ptr().cast(), buffer.len());
            // SAFETY: the pointer and the length are those of a live slice.
            let n = unsafe { libc::recv(self.descriptor, at, length, libc::MSG_DONTWAIT) };
            has_ended = n == 0;
            n
        };
        let n = self.moved(receive)?;
        if has_ended { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(n) }
    }

    fn moved(&self, mut call: impl FnMut() -> libc::ssize_t) -> io::Result<usize> {
        // A host that closes every descriptor closes ours too, and its next file gets our number.
        if !self.is_ours() {
            return Err(io::ErrorKind::NotConnected.into());
        }
        loop {
            if let Ok(n) = usize::try_from(call()) {
                return Ok(n);
            }
            let error = io::Error::last_os_error();
            match error.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock => return Ok(0),
                _ => return Err(error),
            }
        }
    }

    fn is_ours(&self) -> bool {
        inode(self.descriptor) == Some(self.inode)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.is_ours() {
            // SAFETY: it is ours; who had closed it would have given the number to another file.
            unsafe { libc::close(self.descriptor) };
        }
        DESCRIPTOR.store(-1, Ordering::Relaxed);
    }
}

/// In a forked child, on its only thread: the parent's connection is not ours. Takes no lock and allocates nothing.
pub fn close_inherited() {
    let descriptor = DESCRIPTOR.swap(-1, Ordering::Acquire);
    if descriptor >= 0 && inode(descriptor) == Some(INODE.load(Ordering::Relaxed)) {
        // SAFETY: it is the connection, which this process has no other owner for.
        unsafe { libc::close(descriptor) };
    }
}

/// The number of the socket behind a descriptor; nothing if it is no socket.
fn inode(descriptor: c_int) -> Option<u64> {
    let mut status = mem::MaybeUninit::<libc::stat>::uninit();
    // SAFETY: it is a valid place for the answer.
    if unsafe { libc::fstat(descriptor, status.as_mut_ptr()) } != 0 {
        return None;
    }
    // SAFETY: `fstat` filled it.
    let status = unsafe { status.assume_init() };
    (status.st_mode & libc::S_IFMT == libc::S_IFSOCK).then_some(status.st_ino)
}

fn address(path: &Path) -> io::Result<libc::sockaddr_un> {
    let mut address = libc::sockaddr_un { sun_family: 1, sun_path: [0; 108] };
    let bytes = path.as_os_str().as_bytes();
    // The last byte stays zero.
    if bytes.len() >= address.sun_path.len() || bytes.contains(&0) {
        return Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG));
    }
    for (to, from) in address.sun_path.iter_mut().zip(bytes) {
        *to = from.cast_signed();
    }
    Ok(address)
}

/// Under a number above those of standard input, output and error.
fn above_standard(descriptor: c_int) -> io::Result<c_int> {
    if descriptor > libc::STDERR_FILENO {
        return Ok(descriptor);
    }
    // SAFETY: the descriptor is open.
    let above = checked(unsafe { libc::fcntl(descriptor, libc::F_DUPFD_CLOEXEC, libc::STDERR_FILENO + 1) });
    // SAFETY: the descriptor is ours, and nobody knows it yet.
    unsafe { libc::close(descriptor) };
    above
}

fn checked(answer: c_int) -> io::Result<c_int> {
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}
