//! Completes the capture of a process that died, from the spool it left in shared memory. Every reader does
//! this by itself when it opens such a capture; the verb `recover` does it and says what there was.

use crate::liveness::{self, Liveness};
use crate::own_file::{self, beside};
use crate::{capture::CaptureError, exit};
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use tt_memtrace_wire::spool::{DeadSpool, ReadAt, Recovered, SpoolError};
use tt_memtrace_wire::{Header, Line, Recovery};

/// What was done with a spool.
#[derive(Debug)]
pub enum Outcome {
    /// There is none: nothing can be added to the capture.
    Nothing,
    /// The process still runs and writes its capture itself.
    StillRunning,
    /// The process ran where its end cannot be seen from here.
    Elsewhere,
    /// The capture was completed with what the spool held.
    Completed(Recovery),
}

/// Completes the capture at `path`, if its process is gone and its spool is still there. The error is one line
/// that says what is in the way and what to do about it.
///
/// Two readers at once do it once: the spool is locked meanwhile, and removed at the end. A reader that is
/// killed in between leaves spool and spill file, and the next one starts again at the same length. Memory does
/// not grow with the spill file.
pub fn complete(path: &Path, header: &Header) -> Result<Outcome, String> {
    let Some(spool_path) = spool_of(path, header)? else { return Ok(Outcome::Nothing) };
    match liveness::of(header) {
        Liveness::Gone => {}
        Liveness::Runs => return Ok(Outcome::StillRunning),
        Liveness::Elsewhere => return Ok(Outcome::Elsewhere),
    }
    let Some(spool_file) = own_file::open(&spool_path)? else { return Ok(Outcome::Nothing) };
    own_file::lock(&spool_file, &spool_path)?;
    if !own_file::is_at(&spool_file, &spool_path) {
        return Ok(Outcome::Nothing); // Another reader was faster.
    }
    look(&spool_file, &spool_path, path, header)?.complete()
}

/// The spool that the capture names, or one beside a capture that was moved together with it.
fn spool_of(capture: &Path, header: &Header) -> Result<Option<PathBuf>, String> {
    let Some(named) = header.spool.as_deref().map(Path::new) else { return Ok(None) };
    if named.symlink_metadata().is_err() {
        let moved = beside(capture, ".spool");
        let was_beside = !named.starts_with(IN_MEMORY);
        return Ok(Some(moved).filter(|moved| was_beside && moved.symlink_metadata().is_ok()));
    }
    if is_ours(named) {
        return Ok(Some(named.to_owned()));
    }
    let named = named.display();
    Err(format!("{named}, which it names as its spool, has no name that a spool has, and is not touched"))
}

/// Where the spools are.
pub const IN_MEMORY: &str = "/dev/shm";

/// A capture can name any file. Only what the library itself would have created is read and removed.
fn is_ours(spool: &Path) -> bool {
    let name = spool.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let is_in_memory = spool.starts_with(IN_MEMORY) && name.starts_with("tt-memtrace-");
    spool.is_absolute() && name.ends_with(".spool") && (is_in_memory || name.ends_with(".jsonl.spool"))
}

/// What a dead process left: its spool, which is locked, its spill file if there is one, and its capture.
struct Left<'a> {
    spool: DeadSpool<'a>,
    spool_file: &'a File,
    spool_path: &'a Path,
    spill: Option<(File, PathBuf)>,
    capture: File,
    capture_path: &'a Path,
}

/// Looks at all of it, and changes nothing.
fn look<'a>(
    spool_file: &'a File,
    spool_path: &'a Path,
    capture_path: &'a Path,
    header: &Header,
) -> Result<Left<'a>, String> {
    let length = length_of(spool_file, spool_path)?;
    let spool = DeadSpool::open(spool_file, length).map_err(|error| unusable(spool_path, &error))?;
    if spool.pid() != header.pid {
        let (path, pid) = (spool_path.display(), spool.pid());
        return Err(format!("{path} is the spool of another process, {pid}: name the capture of that one"));
    }
    let spill = find_spill(&spool, capture_path)?;
    let capture = own_file::open_any(capture_path).map_err(|error| cannot("write", capture_path, &error))?;
    Ok(Left { spool, spool_file, spool_path, spill, capture, capture_path })
}

impl Left<'_> {
    fn complete(mut self) -> Result<Outcome, String> {
        let length = length_of(&self.capture, self.capture_path)?;
        if self.spool.is_recovered() && length >= self.spool.recovered_bytes() {
            // An earlier reader was killed before it had removed the files.
            self.remove_files()?;
            return Ok(Outcome::Nothing);
        }
        let spill_bytes = match &self.spill {
            Some((file, path)) => length_of(file, path)?,
            None => 0,
        };
        let changes = self.spool.settle(spill_bytes, length).map_err(|error| self.explain(&error))?;
        let wanted = self.spool.journal().capture_bytes;
        if length < wanted {
            let spool = self.spool_path.display();
            return Err(format!(
                "it has {length} bytes, but {spool} continues it from {wanted}: it was cut or replaced, put it back"
            ));
        }
        self.store(&changes)?;
        let recovery = match self.append(wanted) {
            Ok(recovery) => recovery,
            Err(error) => {
                // Half of it is no use, and may be what fills the disk.
                let _ = self.capture.set_len(wanted);
                return Err(self.explain(&error));
            }
        };
        let length = length_of(&self.capture, self.capture_path)?;
        let changes = self.spool.conclude(length);
        self.store(&changes)?;
        self.remove_files()?;
        Ok(Outcome::Completed(recovery))
    }

    fn append(&mut self, capture_bytes: u64) -> Result<Recovery, SpoolError> {
        self.capture.set_len(capture_bytes)?;
        self.capture.seek(SeekFrom::Start(capture_bytes))?;
        let nothing = Vec::new();
        let spill: &dyn ReadAt = self.spill.as_ref().map_or(&nothing, |(file, _)| file);
        let Recovered { n_events, n, n_unfinished, n_unreadable, n_dropped } =
            self.spool.write_missing(spill, &mut self.capture)?;
        let recovery = Recovery {
            recorded: n,
            recovered: n_events,
            dropped: n_dropped,
            unfinished: n_unfinished,
            unreadable: n_unreadable,
        };
        let mut line = Vec::new();
        Line::Recovery(recovery).write_to(&mut line);
        self.capture.write_all(&line)?;
        // Some file systems tell only now that there was no room.
        self.capture.sync_data()?;
        Ok(recovery)
    }

    fn store(&self, changes: &[(usize, u64)]) -> Result<(), String> {
        changes.iter().try_for_each(|(at, word)| {
            let written = self.spool_file.write_all_at(&word.to_ne_bytes(), *at as u64 * 8);
            written.map_err(|error| cannot("write", self.spool_path, &error))
        })
    }

    /// The spool last: as long as it is there, the next reader knows what to do with the rest.
    fn remove_files(&self) -> Result<(), String> {
        let spill = self.spill.as_ref().map(|(_, path)| path.as_path());
        for path in spill.into_iter().chain([self.spool_path]) {
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(cannot("remove", path, &error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn explain(&self, error: &SpoolError) -> String {
        match error {
            SpoolError::NoSpill { .. } => {
                let [here, there] = spill_paths(&self.spool, self.capture_path);
                let elsewhere =
                    if here == there { String::new() } else { format!(" or {}", there.display()) };
                let (spool, here) = (self.spool_path.display(), here.display());
                format!("{spool} {error}: put that back as {here}{elsewhere}")
            }
            SpoolError::Io(error) => cannot("complete", self.capture_path, error),
            _ => unusable(self.spool_path, error),
        }
    }
}

fn unusable(spool: &Path, error: &SpoolError) -> String {
    let spool = spool.display();
    match error {
        SpoolError::Io(error) => format!("{spool} cannot be read: {}", exit::plain(error)),
        SpoolError::OtherVersion => format!("{spool} {error}"),
        _ => format!("{spool} {error}: it cannot be used any more, remove it if nobody else needs it"),
    }
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> String {
    format!("cannot {what} {}: {}", path.display(), exit::plain(error))
}

fn length_of(file: &File, path: &Path) -> Result<u64, String> {
    Ok(file.metadata().map_err(|error| cannot("read", path, &error))?.len())
}

/// Where the spill file may be: beside the capture as it lies now, and where the process wrote it.
fn spill_paths(spool: &DeadSpool<'_>, capture: &Path) -> [PathBuf; 2] {
    let written = PathBuf::from(std::ffi::OsString::from_vec(spool.origin().capture));
    let here = std::path::absolute(capture).unwrap_or_else(|_| capture.to_owned());
    let there = if written.is_absolute() { &written } else { &here };
    [beside(&here, ".spill"), beside(there, ".spill")]
}

/// The first that has what the journal counts on; else the first that is there.
fn find_spill(spool: &DeadSpool<'_>, capture: &Path) -> Result<Option<(File, PathBuf)>, String> {
    let wanted = spool.journal().spilled_bytes;
    let mut found = None;
    for path in spill_paths(spool, capture) {
        let Some(file) = own_file::open(&path)? else { continue };
        if length_of(&file, &path)? >= wanted {
            return Ok(Some((file, path)));
        }
        found = found.or(Some((file, path)));
    }
    Ok(found)
}

/// Whether the last line is one that ends a capture.
pub fn has_end(path: &Path) -> io::Result<bool> {
    /// Longer than such a line.
    const TAIL: u64 = 4096;
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut tail = vec![0; usize::try_from(length.min(TAIL)).unwrap_or(0)];
    FileExt::read_exact_at(&file, &mut tail, length.saturating_sub(TAIL))?;
    let tail = String::from_utf8_lossy(&tail);
    let last = tail.strip_suffix('\n').and_then(|tail| tail.rsplit('\n').next());
    Ok(last.is_some_and(|line| matches!(Line::parse(line), Ok(Line::Footer(_) | Line::Recovery(_)))))
}

/// Completes the capture if it needs it, and says so. What cannot be completed is still read as far as it goes.
pub fn complete_and_say(path: &Path, header: &Header) -> bool {
    match complete(path, header) {
        Ok(Outcome::Completed(recovery)) => {
            exit::say(format_args!("{}: {}", path.display(), describe(recovery)));
            true
        }
        Ok(_) => false,
        Err(why) => {
            let error = CaptureError::incomplete(path, why);
            exit::say(format_args!("{error}; the last events are missing here"));
            false
        }
    }
}

/// One line for people.
pub fn describe(recovery: Recovery) -> String {
    let Recovery { recovered, unfinished, unreadable, .. } = recovery;
    let last = if recovered == 1 { "event".to_owned() } else { format!("{recovered} events") };
    let mut text = format!("the process was killed; recovered its last {last}");
    if unfinished > 0 {
        text += &format!(", {unfinished} cut off while being recorded");
    }
    if unreadable > 0 {
        text += &format!(", {unreadable} unreadable");
    }
    text
}
