//! Files that a capture names, and that are changed or removed: opened so that nothing they may be makes us wait,
//! follow, or touch what is another user's.

use crate::exit;
use nix::libc::{O_NOFOLLOW, O_NONBLOCK};
use nix::unistd::geteuid;
use std::fs::{File, FileType, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Opens a regular file of this user for reading and writing. `None` if it is not there; the error says what is
/// in the way, and what to do.
pub fn open(path: &Path) -> Result<Option<File>, String> {
    let shown = path.display();
    let cannot = |error: io::Error| format!("cannot open {shown}: {}", exit::plain(&error));
    // Looked at before it is opened, which may do something to a device; and again afterwards.
    match path.symlink_metadata() {
        Ok(found) => check(path, &found)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(cannot(error)),
    }
    let mut options = OpenOptions::new();
    match options.read(true).write(true).custom_flags(O_NOFOLLOW | O_NONBLOCK).open(path) {
        Ok(file) => {
            check(path, &file.metadata().map_err(cannot)?)?;
            Ok(Some(file))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(cannot(error)),
    }
}

/// Opens a file that the user named, whosever it is, for reading and writing.
pub fn open_any(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).custom_flags(O_NONBLOCK).open(path)
}

fn check(path: &Path, found: &Metadata) -> Result<(), String> {
    let path = path.display();
    if !found.is_file() {
        let kind = kind(found.file_type());
        return Err(format!(
            "{path} is {kind}, not a file, and is not touched: remove it if it should not be there"
        ));
    }
    if found.uid() != geteuid().as_raw() {
        let owner = found.uid();
        return Err(format!("{path} belongs to user {owner}: run `tt-memtrace recover` as that user"));
    }
    Ok(())
}

fn kind(kind: FileType) -> &'static str {
    if kind.is_symlink() {
        "a symbolic link"
    } else if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

/// Waits until no other reader works on the file.
pub fn lock(file: &File, path: &Path) -> Result<(), String> {
    file.lock().map_err(|error| format!("cannot lock {}: {}", path.display(), exit::plain(&error)))
}

/// Whether the open file is still the one at that path.
pub fn is_at(file: &File, path: &Path) -> bool {
    let identity = |found: Metadata| (found.dev(), found.ino());
    let at = path.symlink_metadata().map(identity).ok();
    at.is_some() && at == file.metadata().map(identity).ok()
}

/// The path with something added to its name.
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_users_file_is_not_opened() {
        // A file of root's, or, for root, one that was given away.
        let given = tempfile::NamedTempFile::new().unwrap();
        let is_root = geteuid().is_root();
        let path = if is_root { given.path() } else { Path::new("/etc/passwd") };
        if is_root {
            std::os::unix::fs::chown(path, Some(4711), None).unwrap();
        }
        let owner = if is_root { 4711 } else { 0 };
        let wanted = format!("{} belongs to user {owner}: ", path.display());
        assert!(open(path).unwrap_err().starts_with(&wanted));
        assert!(open(Path::new("/no/such/file")).unwrap().is_none());
    }
}
