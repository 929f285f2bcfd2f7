//! The files: the capture, with whole lines only whatever happens to the disk or to our file descriptor, and
//! the spill file, which holds raw records while the capture cannot keep up.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// A capture that is being written.
pub struct Sink {
    /// Never closed: its number may be one of the host's files by then. None where only the tracking server is told.
    file: Option<ManuallyDrop<File>>,
    path: PathBuf,
    identity: (u64, u64),
    /// Bytes of whole lines in the file.
    length: u64,
}

impl Sink {
    /// Writes to `file`, which is empty and stands at `path`.
    pub fn new(file: File, path: PathBuf) -> io::Result<Self> {
        let identity = identity(&file.metadata()?);
        Ok(Self { file: Some(ManuallyDrop::new(file)), path, identity, length: 0 })
    }

    /// Writes nothing.
    pub fn nowhere() -> Self {
        Self { file: None, path: PathBuf::new(), identity: (0, 0), length: 0 }
    }

    /// Bytes of whole lines.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Where the capture is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends whole lines. If that fails the file is cut back to the last whole line.
    pub fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.file.is_some() {
            self.check_descriptor()?;
        }
        if let Some(file) = &mut self.file
            && let Err(error) = file.write_all(lines)
        {
            // Nothing more can be done if cutting fails as well: readers cope with a torn last line.
            let _ = file.set_len(self.length);
            return Err(error);
        }
        self.length += lines.len() as u64;
        Ok(())
    }

    /// A host that closes every descriptor (a daemon) closes ours too, and its next file gets our number.
    fn check_descriptor(&mut self) -> io::Result<()> {
        let metadata = self.file.as_ref().and_then(|file| file.metadata().ok());
        if metadata.is_some_and(|metadata| self.is_ours(&metadata)) {
            return Ok(());
        }
        let mut file = above_standard(OpenOptions::new().write(true).open(&self.path)?)?;
        if !self.is_ours(&file.metadata()?) {
            return Err(io::Error::other("the file was replaced by another"));
        }
        file.seek(SeekFrom::Start(self.length))?;
        self.file = Some(ManuallyDrop::new(file));
        Ok(())
    }

    /// The length counts, too: the inode of a removed capture is given to the next file that is created.
    fn is_ours(&self, metadata: &Metadata) -> bool {
        identity(metadata) == self.identity && metadata.len() == self.length
    }
}

/// The file under a number above those of standard input, output and error: a host that has closed one of these
/// does not expect its next message to go into a capture.
pub fn above_standard(file: File) -> io::Result<File> {
    if file.as_raw_fd() > libc::STDERR_FILENO {
        return Ok(file);
    }
    // SAFETY: the descriptor is open.
    let number = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_DUPFD_CLOEXEC, libc::STDERR_FILENO + 1) };
    if number < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and nobody else has it.
    Ok(unsafe { File::from_raw_fd(number) })
}

/// The spill file, `<capture>.spill`. It is created when it is first needed, and opened for each use: it is
/// used rarely, and a descriptor of ours would be one more that a host can close.
pub struct Spill {
    path: PathBuf,
    most: u64,
    exists: bool,
    has_failed: bool,
}

impl Spill {
    /// For this capture, with at most so many bytes.
    pub fn new(capture: &Path, most: u64) -> Self {
        let mut path = capture.as_os_str().to_owned();
        path.push(".spill");
        Self { path: path.into(), most, exists: false, has_failed: false }
    }

    /// Puts the bytes at that offset, the end of what counts. False if there is no room for them.
    pub fn append(&mut self, at: u64, bytes: &[u8]) -> bool {
        if self.has_failed || at + bytes.len() as u64 > self.most {
            return false;
        }
        let written = self.open().and_then(|file| file.write_all_at(bytes, at));
        // Not said: what is dropped because of it is counted and told.
        self.has_failed = written.is_err();
        !self.has_failed
    }

    /// Fills `bytes` with what counts from that offset on.
    pub fn read(&mut self, from: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.open()?.read_exact_at(bytes, from)
    }

    /// Nothing in it counts any more.
    pub fn empty(&mut self) {
        // If it keeps its length, that would pass for the end of the next write: then there is no next one.
        self.has_failed = self.open().and_then(|file| file.set_len(0)).is_err();
    }

    /// Removes the file.
    pub fn remove(&self) {
        if self.exists {
            // It may be gone already; nobody needs to know.
            let _ = std::fs::remove_file(&self.path);
        }
    }

    fn open(&mut self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(!self.exists).open(&self.path)?;
        self.exists = true;
        Ok(file)
    }
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_that_the_host_closed_is_opened_again_and_the_hosts_file_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.jsonl");
        let mut sink = Sink::new(File::create(&path).unwrap(), path.clone()).unwrap();
        sink.write(b"one\n").unwrap();

        let theirs = File::create(folder.path().join("theirs")).unwrap();
        // SAFETY: both descriptors are open; this is what a host does to us.
        unsafe { libc::dup2(theirs.as_raw_fd(), sink.file.as_ref().unwrap().as_raw_fd()) };
        sink.write(b"two\n").unwrap();

        assert_eq!(std::fs::read(&path).unwrap(), b"one\ntwo\n");
        assert_eq!(std::fs::read(folder.path().join("theirs")).unwrap(), b"");
    }

    #[test]
    fn a_spill_file_that_cannot_be_emptied_is_not_used_again() {
        let folder = tempfile::tempdir().unwrap();
        let (path, away) = (folder.path().join("x.jsonl.spill"), folder.path().join("away"));
        let mut spill = Spill::new(&folder.path().join("x.jsonl"), 1 << 20);
        assert!(spill.append(0, &[7; 640]));

        std::fs::rename(&path, &away).unwrap();
        spill.empty();
        std::fs::rename(&away, &path).unwrap();
        // A reader would take the old length for the end of this write.
        assert!(!spill.append(0, &[8; 64]));
        assert_eq!(std::fs::read(&path).unwrap(), [7; 640]);

        spill.empty();
        assert!(spill.append(0, &[9; 64]));
        assert_eq!(std::fs::read(&path).unwrap(), [9; 64]);
    }
}
