//! Completes the capture of a process that died, from the spool it left in shared memory. Every reader does
//! this by itself when it opens such a capture; the verb `recover` does it and says what there was.

use crate::exit;
use crate::liveness::{self, Liveness};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use tt_memtrace_wire::spool::{self, Recovered};
use tt_memtrace_wire::{Header, Line, Recovery};

/// What was done with a spool.
#[derive(Debug)]
pub enum Outcome {
    /// There is none: the capture holds all there is.
    Nothing,
    /// The process still runs and writes its capture itself.
    StillRunning,
    /// The capture was completed with what the spool held.
    Completed(Recovery),
}

/// Completes the capture at `path`, if its process is gone and its spool is still there.
///
/// Two readers at once do it once: the spool is locked meanwhile, and removed at the end. A reader that is
/// killed in between leaves the spool as it was, and the next one starts again at the same length.
pub fn complete(path: &Path, header: &Header) -> io::Result<Outcome> {
    let Some(spool_path) = header.spool.as_deref().map(Path::new).filter(|spool| is_ours(spool)) else {
        return Ok(Outcome::Nothing);
    };
    if !spool_path.exists() {
        return Ok(Outcome::Nothing);
    }
    match liveness::of(header) {
        Liveness::Gone => {}
        Liveness::Runs => return Ok(Outcome::StillRunning),
        Liveness::Elsewhere => return Ok(Outcome::Nothing),
    }
    let spool_file = match OpenOptions::new().read(true).write(true).open(spool_path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Outcome::Nothing),
        opened => opened?,
    };
    spool_file.lock()?;
    if !spool_path.exists() {
        return Ok(Outcome::Nothing); // Another reader was faster.
    }
    let mut spool = Vec::new();
    (&spool_file).read_to_end(&mut spool)?;
    if !spool::is_of_process(&spool, header.pid) {
        return Ok(Outcome::Nothing);
    }
    let spill_path = spill_of(path);
    let spill = std::fs::read(&spill_path).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(Vec::new()),
        _ => Err(error),
    })?;
    let mut capture = OpenOptions::new().read(true).write(true).open(path)?;
    let length = capture.metadata()?.len();
    for (word, value) in spool::settle(&spool, spill.len() as u64, length).map_err(io::Error::other)? {
        spool[word * 8..][..8].copy_from_slice(&value.to_ne_bytes());
        spool_file.write_all_at(&value.to_ne_bytes(), word as u64 * 8)?;
    }
    let recovered = spool::recover(&spool, &spill, length).map_err(io::Error::other)?;
    let recovery = append(&mut capture, length, &recovered)?;
    std::fs::remove_file(spool_path)?;
    if spill_path.exists() {
        std::fs::remove_file(&spill_path)?;
    }
    Ok(Outcome::Completed(recovery))
}

fn append(capture: &mut File, length: u64, recovered: &Recovered) -> io::Result<Recovery> {
    let recovery = Recovery {
        recorded: recovered.n,
        recovered: recovered.n_events,
        dropped: recovered.n_dropped,
        unfinished: recovered.n_unfinished,
        unreadable: recovered.n_unreadable,
    };
    let mut lines = recovered.lines.clone();
    Line::Recovery(recovery).write_to(&mut lines);
    if length < recovered.capture_bytes {
        return Err(io::Error::other("the capture is shorter than its spool says; it was cut or replaced"));
    }
    capture.set_len(recovered.capture_bytes)?;
    capture.seek(SeekFrom::Start(recovered.capture_bytes))?;
    capture.write_all(&lines)?;
    Ok(recovery)
}

/// A capture can name any file. Only what the library itself would have created is read and removed.
fn is_ours(spool: &Path) -> bool {
    let name = spool.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let is_in_memory = spool.starts_with("/dev/shm") && name.starts_with("tt-memtrace-");
    spool.is_absolute() && name.ends_with(".spool") && (is_in_memory || name.ends_with(".jsonl.spool"))
}

fn spill_of(capture: &Path) -> PathBuf {
    let mut path = capture.as_os_str().to_owned();
    path.push(".spill");
    path.into()
}

/// Completes the capture if it needs it, and says so. What cannot be completed is still read as far as it goes.
pub fn complete_and_say(path: &Path, header: &Header) -> bool {
    match complete(path, header) {
        Ok(Outcome::Completed(recovery)) => {
            exit::say(format_args!("{}: {}", path.display(), describe(recovery)));
            true
        }
        Ok(_) => false,
        Err(error) => {
            let spool = header.spool.as_deref().unwrap_or_default();
            exit::say(format_args!(
                "{}: cannot be completed from {spool}: {}; the last events are missing here",
                path.display(),
                exit::plain(&error)
            ));
            false
        }
    }
}

/// One line for people.
pub fn describe(recovery: Recovery) -> String {
    let Recovery { recovered, unfinished, unreadable, .. } = recovery;
    let mut text = format!("the process was killed; recovered its last {recovered} events");
    if unfinished > 0 {
        text += &format!(", {unfinished} cut off while being recorded");
    }
    if unreadable > 0 {
        text += &format!(", {unreadable} unreadable");
    }
    text
}
