//! Who is at the other end of a connection, as the kernel says, and whether it still lives.

use crate::liveness::{self, Liveness};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// The process that made a connection. Nothing here is what it says itself.
#[derive(Debug)]
pub struct Peer {
    /// Its pid here; absent where its pid namespace cannot be seen from here.
    pub pid: Option<u32>,
    /// The user it ran as when it connected.
    pub uid: u32,
    /// When it started, in clock ticks since boot.
    pub start: Option<u64>,
    /// Names the process itself, so that a later one of the same pid is not taken for it.
    pidfd: Option<OwnedFd>,
}

impl Peer {
    /// Asks the kernel.
    pub fn of(stream: &UnixStream) -> io::Result<Self> {
        let credentials = getsockopt(stream, PeerCredentials)?;
        let pid = Some(credentials.pid()).filter(|pid| *pid > 0);
        let pidfd = pid.and_then(Pid::from_raw).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        let pid = pid.and_then(|pid| u32::try_from(pid).ok());
        let start = pid.and_then(liveness::start_of);
        Ok(Self { pid, uid: credentials.uid(), start, pidfd })
    }

    /// Whether the process is gone; `None` if that cannot be seen from here. It is never asked by a signal: one that
    /// may not be sent says nothing of whether the process lives.
    pub fn is_dead(&self) -> Option<bool> {
        if let Some(pidfd) = &self.pidfd {
            return Some(is_ready(pidfd.as_fd()));
        }
        let start = self.start.unwrap_or(0);
        Some(liveness::of_process(self.pid?, start, None) == Liveness::Gone)
    }

    /// Waits until there is something to read. False if there is nothing and will be nothing, because the process
    /// is dead: another may hold its end of the connection open.
    pub fn wait_readable(&self, stream: &UnixStream) -> io::Result<bool> {
        let mut wanted = vec![PollFd::new(stream.as_fd(), PollFlags::POLLIN)];
        wanted.extend(self.pidfd.as_ref().map(|pidfd| PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)));
        loop {
            match poll(&mut wanted, PollTimeout::NONE) {
                Ok(_) => return Ok(wanted[0].any().unwrap_or(true)),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn is_ready(fd: BorrowedFd<'_>) -> bool {
    let mut wanted = [PollFd::new(fd, PollFlags::POLLIN)];
    poll(&mut wanted, PollTimeout::ZERO).is_ok_and(|n| n > 0)
}
