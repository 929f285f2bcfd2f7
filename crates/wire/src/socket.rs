//! Where the tracking server listens. Found from the user, not from the environment, so that a recorded process and
//! a server that were started from different shells find each other.

use std::path::{Path, PathBuf};

/// Where the socket that a group of users shares is: `serve --group NAME` makes it, clients try it second.
pub const SHARED: &str = "/run/tt-memtrace/tt-memtrace.sock";
/// Where the earlier tracking server listened, and its clients still look.
pub const LEGACY: &str = "/tmp/tt_allocation_server.sock";

/// Where the server of this user listens: in the user's runtime folder where there is one, else in a folder in `/tmp`
/// of which a client has to check that it belongs to the user.
pub fn of_user(uid: u32) -> PathBuf {
    let runtime = PathBuf::from(format!("/run/user/{uid}"));
    if runtime.is_dir() { runtime.join("tt-memtrace.sock") } else { fallback(uid) }
}

/// The place in `/tmp`: `/tmp/tt-memtrace-UID/tt-memtrace.sock`, in a folder of mode 0700.
pub fn fallback(uid: u32) -> PathBuf {
    Path::new("/tmp").join(format!("tt-memtrace-{uid}")).join("tt-memtrace.sock")
}
