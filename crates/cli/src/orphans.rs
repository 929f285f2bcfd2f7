//! Spools of killed processes in shared memory: each takes room until its capture is completed, or for ever if
//! nobody opens that. Found by the spools' names, judged by what they hold.

use crate::capture::Capture;
use crate::liveness::{self, Liveness};
use crate::own_file;
use crate::recover::{self, Outcome};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tt_memtrace_wire::spool::{DeadSpool, Origin, SpoolError};

/// A spool that says nothing of its process may be one that is just being made.
const YOUNG: Duration = Duration::from_secs(60);

/// A spool of this user whose process is gone.
pub struct Orphan {
    /// Where it is.
    pub path: PathBuf,
    /// The memory it takes.
    pub bytes: u64,
    /// The capture of its process, if it says so; there need not be one any more.
    capture: Option<PathBuf>,
}

/// All of them. Other users' spools are not looked at.
pub fn all() -> Vec<Orphan> {
    let entries = fs::read_dir(recover::IN_MEMORY).into_iter().flatten().flatten();
    let mut orphans: Vec<_> = entries.filter_map(|entry| orphan(&entry.path())).collect();
    orphans.sort_by(|a, b| a.path.cmp(&b.path));
    orphans
}

fn orphan(path: &Path) -> Option<Orphan> {
    let pid = spool_owner(path.file_name()?.to_str()?)?;
    let file = own_file::open(path).ok()??;
    let metadata = file.metadata().ok()?;
    let origin = match open(&file) {
        Ok(spool) => spool.origin(),
        // Its process had said whose it is before anything else.
        Err(SpoolError::Unmade) => Origin::read(&file).unwrap_or_default(),
        Err(_) => Origin::default(),
    };
    let is_young = || metadata.modified().ok().and_then(|at| at.elapsed().ok()).is_none_or(|age| age < YOUNG);
    if origin == Origin::default() && is_young() {
        return None;
    }
    let namespace = Some(origin.pid_namespace).filter(|inode| *inode != 0);
    let is_gone = liveness::of_process(pid, origin.process_start, namespace) == Liveness::Gone;
    let capture = Some(origin.capture).filter(|path| !path.is_empty());
    let capture = capture.map(|path| PathBuf::from(OsString::from_vec(path)));
    is_gone.then(|| Orphan { path: path.to_owned(), bytes: metadata.len(), capture })
}

/// Removes the spool of a process that is gone and told a tracking server only: no capture names it, so nobody else
/// would. Any other path, which a peer may name as well, is left alone.
pub fn remove_untold(spool: &Path) {
    let is_in_memory = spool.parent() == Some(Path::new(recover::IN_MEMORY));
    if let Some(orphan) = Some(spool).filter(|_| is_in_memory).and_then(orphan)
        && orphan.capture.as_deref().is_some_and(is_none)
    {
        // If that fails, `doctor` lists it.
        let _ = fs::remove_file(spool);
    }
}

/// Removes the spool of a process that was killed before its capture had a first line: nothing names it, and it holds
/// no event.
pub fn remove_unborn(capture: &Path) {
    let Ok(capture) = std::path::absolute(capture) else { return };
    for orphan in all().iter().filter(|orphan| orphan.capture.as_ref() == Some(&capture)) {
        // If that fails, `doctor` lists it.
        let _ = orphan.clean();
    }
}

/// The pid in `tt-memtrace-PID-TIME.spool`.
fn spool_owner(file_name: &str) -> Option<u32> {
    let numbers = file_name.strip_prefix("tt-memtrace-")?.strip_suffix(".spool")?;
    numbers.split_once('-')?.0.parse().ok()
}

fn open(file: &File) -> Result<DeadSpool<'_>, SpoolError> {
    DeadSpool::open(file, file.metadata()?.len())
}

impl Orphan {
    /// Completes its capture, or removes it if it has nothing to add to any. One line on what was done; the error
    /// says why it is kept: no recorded event is ever thrown away.
    pub fn clean(&self) -> Result<String, String> {
        let spool = self.path.display();
        if self.capture.as_deref().is_some_and(is_none) {
            fs::remove_file(&self.path).map_err(|error| format!("cannot remove {spool}: {error}"))?;
            return Ok(format!("removed {spool}: its process told a tracking server, and wrote no capture"));
        }
        if let Some(text) = self.complete()? {
            return Ok(text);
        }
        let Some(file) = own_file::open(&self.path)? else { return Ok(format!("{spool} is gone already")) };
        own_file::lock(&file, &self.path)?;
        if !own_file::is_at(&file, &self.path) {
            return Ok(format!("{spool} is gone already"));
        }
        let n_events = n_events(&file).map_err(|error| format!("{spool} {error}"))?;
        if n_events > 0 {
            let capture =
                self.capture.as_ref().map_or("an unknown capture".into(), |path| path.to_string_lossy());
            return Err(format!(
                "{spool} holds {n_events} events for {capture}, which is not there: recover it where it is now, \
                 or remove the spool"
            ));
        }
        fs::remove_file(&self.path).map_err(|error| format!("cannot remove {spool}: {error}"))?;
        Ok(format!("removed {spool}: it held no event that a capture lacks"))
    }

    /// `None` if its capture is not there, or has another spool.
    fn complete(&self) -> Result<Option<String>, String> {
        let Some(path) = &self.capture else { return Ok(None) };
        let Ok(capture) = Capture::open_as_is(path) else { return Ok(None) };
        if capture.header.spool.as_deref().map(Path::new) != Some(&self.path) {
            return Ok(None);
        }
        let shown = path.display();
        match recover::complete(path, &capture.header).map_err(|why| format!("{shown}: {why}"))? {
            Outcome::Completed(recovery) => Ok(Some(format!("{shown}: {}", recover::describe(recovery)))),
            Outcome::Nothing => Ok(Some(format!("{shown}: nothing to recover"))),
            Outcome::StillRunning | Outcome::Elsewhere => Err(format!("{shown}: its process may still run")),
        }
    }
}

/// The events of a spool that its capture does not have yet, as far as that can be told without the capture.
fn n_events(file: &File) -> Result<u64, SpoolError> {
    let mut spool = match open(file) {
        Err(SpoolError::Unmade) => return Ok(0),
        opened => opened?,
    };
    if spool.is_recovered() {
        return Ok(0);
    }
    // What was just being written counts as not there; without the spill file the rest would have a gap.
    spool.settle(0, 0)?;
    Ok(spool.write_missing(&Vec::new(), &mut io::sink())?.n_events)
}

fn is_none(capture: &Path) -> bool {
    capture.as_os_str().as_encoded_bytes() == Origin::NO_CAPTURE
}

/// The capture that a spool belongs to.
pub fn capture_of(spool: &Path) -> Result<PathBuf, String> {
    let file = own_file::open(spool)?.ok_or("it is not there")?;
    let capture = open(&file).map_err(|error| format!("it {error}"))?.origin().capture;
    if capture.is_empty() {
        Err("it does not say which".into())
    } else if capture == Origin::NO_CAPTURE {
        Err("its process told a tracking server, and wrote none".into())
    } else {
        Ok(OsString::from_vec(capture).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spool_is_known_by_its_name() {
        assert_eq!(spool_owner("tt-memtrace-42-7.spool"), Some(42));
        for name in
            ["tt-memtrace-42.spool", "tt-memtrace-x-7.spool", "tt-memtrace-42-7.spool.spill", "42-7.spool"]
        {
            assert_eq!(spool_owner(name), None, "{name}");
        }
    }
}
