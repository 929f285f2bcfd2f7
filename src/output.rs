//! Which file this process writes. Nothing that exists is ever overwritten.

use crate::process::Process;
use crate::sink;
use std::ffi::{CString, OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// A capture that has just been created.
pub struct Output {
    /// Open for writing, empty.
    pub file: File,
    /// Its absolute path.
    pub path: PathBuf,
    /// True if the wanted name was taken by a file of an earlier run.
    pub renamed: bool,
}

/// Creates the capture of this process. `wanted` is the value of `TT_MEMTRACE_OUTPUT`, if there is one.
///
/// The error holds the path that could not be written.
pub fn create(wanted: Option<&OsStr>, process: &Process) -> Result<Output, (PathBuf, io::Error)> {
    let own_name = format!("tt-memtrace-{}.{}.jsonl", process.program, process.pid);
    let Some(wanted) = wanted else { return next_free(PathBuf::from(own_name)) };
    let (expanded, has_placeholders) = expand(wanted, process);
    let path = PathBuf::from(expanded);
    if has_placeholders {
        return next_free(path);
    }
    if path.as_os_str().as_bytes().ends_with(b".jsonl") {
        // The first process takes the name; the others of the same run stand beside it.
        return match open_new(&path) {
            Ok(file) => Ok(Output { file, path: absolute(path), renamed: false }),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => next_free(numbered(&path, process.pid)),
            Err(e) => Err((path, e)),
        };
    }
    match create_folder(path.as_os_str().as_bytes()) {
        Ok(()) => next_free(path.join(own_name)),
        Err(e) => Err((path, e)),
    }
}

/// With all that it is in. (The standard library's own way takes 3 KB.)
fn create_folder(path: &[u8]) -> io::Result<()> {
    match create_innermost(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            for (at, _) in path.iter().enumerate().filter(|(at, byte)| *at > 0 && **byte == b'/') {
                // What cannot be made is missed at the end.
                let _ = create_innermost(&path[..at]);
            }
            create_innermost(path)
        }
        result => result,
    }
}

fn create_innermost(path: &[u8]) -> io::Result<()> {
    let name = CString::new(path)?;
    // SAFETY: the path ends in a zero byte.
    if unsafe { libc::mkdir(name.as_ptr(), 0o777) } == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    if Path::new(OsStr::from_bytes(path)).is_dir() { Ok(()) } else { Err(error) }
}

/// `x.jsonl`, or `x.1.jsonl` if that exists, and so on.
fn next_free(path: PathBuf) -> Result<Output, (PathBuf, io::Error)> {
    let mut candidate = path.clone();
    for n in 1..10_000 {
        match open_new(&candidate) {
            Ok(file) => return Ok(Output { file, renamed: n > 1, path: absolute(candidate) }),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => candidate = numbered(&path, n),
            Err(e) => return Err((candidate, e)),
        }
    }
    Err((path, io::ErrorKind::AlreadyExists.into()))
}

/// With the number before the extension, if there is one.
fn numbered(path: &Path, n: u32) -> PathBuf {
    let path = path.as_os_str().as_bytes();
    // A dot that a name begins with begins no extension.
    let dot =
        path.iter().rposition(|byte| matches!(byte, b'.' | b'/')).filter(|at| *at > 0 && path[*at] == b'.');
    let at = dot.filter(|at| path[at - 1] != b'/').unwrap_or(path.len());
    let (stem, extension) = path.split_at(at);
    let number = format!(".{n}");
    OsString::from_vec([stem, number.as_bytes(), extension].concat()).into()
}

fn open_new(path: &Path) -> io::Result<File> {
    sink::above_standard(OpenOptions::new().write(true).create_new(true).open(path)?)
}

/// The host may change its directory later; other tools must still find the file.
fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

/// Replaces `%p` (pid), `%h` (host), `%t` (start of recording, seconds since 1970), `%e` (program) and `%r`
/// (rank, or 0). `%%` is a percent sign. An unknown one stays as it is: the command refuses it beforehand.
fn expand(text: &OsStr, process: &Process) -> (OsString, bool) {
    let mut out = Vec::new();
    let mut found = false;
    let mut bytes = text.as_bytes().iter().copied();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let value = match bytes.next() {
            Some(b'p') => process.pid.to_string(),
            Some(b'h') => process.host.clone(),
            Some(b't') => (process.wall_ns / 1_000_000_000).to_string(),
            Some(b'e') => process.program.clone(),
            Some(b'r') => process.rank.unwrap_or(0).to_string(),
            Some(b'%') | None => {
                out.push(b'%');
                continue;
            }
            Some(other) => {
                out.extend_from_slice(&[b'%', other]);
                continue;
            }
        };
        found = true;
        out.extend_from_slice(value.as_bytes());
    }
    (OsString::from_vec(out), found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn process() -> Process {
        Process {
            pid: 42,
            program: "llama".into(),
            host: "node7".into(),
            rank: None,
            wall_ns: 5_000_000_000,
            ..Process::default()
        }
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn placeholders_are_replaced_and_doubled_percent_signs_are_not_placeholders() {
        let expand = |text: &str| expand(OsStr::new(text), &process());
        assert_eq!(expand("%e.%p.%h.%t.%r.jsonl"), ("llama.42.node7.5.0.jsonl".into(), true));
        assert_eq!(expand("100%%/x"), ("100%/x".into(), false));
    }

    #[test]
    fn the_first_process_takes_the_file_and_others_stand_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let wanted = folder.path().join("run.jsonl");
        for _ in 0..3 {
            assert!(create(Some(wanted.as_os_str()), &process()).is_ok());
        }
        assert_eq!(names(folder.path()), ["run.42.1.jsonl", "run.42.jsonl", "run.jsonl"]);
    }

    #[test]
    fn any_other_name_is_a_directory_and_nothing_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let wanted = folder.path().join("a/b");
        assert!(!create(Some(wanted.as_os_str()), &process()).ok().unwrap().renamed);
        assert!(create(Some(wanted.as_os_str()), &process()).ok().unwrap().renamed);
        assert_eq!(names(&wanted), ["tt-memtrace-llama.42.1.jsonl", "tt-memtrace-llama.42.jsonl"]);
    }

    #[test]
    fn what_cannot_be_written_is_named() {
        let (path, _) = create(Some(OsStr::new("/proc/no/such")), &process()).err().unwrap();
        assert_eq!(path, Path::new("/proc/no/such"));
    }
}
