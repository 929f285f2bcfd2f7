//! Where `run` records: a run directory, one file, or one file per process by a pattern.

use crate::exit::{self, Usage};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use tt_memtrace_wire::names;

/// Where the recorder writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// One capture per process in this directory.
    Directory(PathBuf),
    /// The first process takes this file, others `STEM.PID.jsonl` beside it.
    File(PathBuf),
    /// Exactly there, once `%p` and the like are replaced.
    Pattern(PathBuf),
}

/// Why the output cannot be used.
#[derive(Debug)]
pub enum Unusable {
    /// Something is there that must not be lost; the command is not started.
    Refused(Usage),
    /// Nothing can be written there; the command runs unrecorded.
    Unwritable(String),
}

impl Output {
    /// Reads the argument of `-o`. `folder` is absolute and without symbolic placeholders.
    pub fn parse(argument: &Path, folder: &Path) -> Result<Self, Usage> {
        let path = folder.join(argument);
        if check_placeholders(argument.as_os_str().as_bytes())? {
            return Ok(Self::Pattern(PathBuf::from(escape(folder)).join(argument)));
        }
        let path = PathBuf::from(OsString::from_vec(unescape(path.as_os_str().as_bytes())));
        let is_file = path.extension().is_some_and(|extension| extension == "jsonl");
        Ok(if is_file { Self::File(path) } else { Self::Directory(path) })
    }

    /// The run directory of a command that starts now, one that is not there yet.
    pub fn default_for(command: &[OsString], folder: &Path) -> Self {
        let time = jiff::Zoned::now().strftime("%Y%m%d-%H%M%S");
        let words: Vec<_> = command.iter().map(|word| word.to_string_lossy()).collect();
        let name = format!("tt-memtrace-{}.{time}", names::program(&words));
        let names = std::iter::once(name.clone()).chain((2..1000).map(|n| format!("{name}-{n}")));
        let free = names.map(|name| folder.join(name)).find(|path| path.symlink_metadata().is_err());
        Self::Directory(free.unwrap_or_else(|| folder.join(name)))
    }

    /// Makes room for the captures: creates the directory, and with `force` removes those of an earlier run.
    pub fn prepare(&self, force: bool) -> Result<Made, Unusable> {
        match self {
            Self::Directory(path) => prepare_directory(path, force),
            Self::File(path) => prepare_file(path, force).map(|()| Made(None)),
            Self::Pattern(path) => writable_folder(path).map(|()| Made(None)),
        }
    }

    /// The value of `TT_MEMTRACE_OUTPUT`, in which a percent sign is written twice.
    pub fn variable(&self) -> OsString {
        match self {
            Self::Directory(path) | Self::File(path) => escape(path),
            Self::Pattern(path) => path.clone().into_os_string(),
        }
    }

    /// The captures that are there now; of a pattern, those that could be of it. A folder that the pattern
    /// makes up is not looked into.
    pub fn captures(&self) -> Vec<PathBuf> {
        match self {
            Self::Directory(path) => jsonl_in(path).unwrap_or_default(),
            Self::File(path) => siblings(path),
            Self::Pattern(path) => matching(path),
        }
    }
}

/// The directory that was made for this run, if there was none.
pub struct Made(Option<PathBuf>);

impl Made {
    /// Removes it again if nothing was recorded into it.
    pub fn remove_if_empty(&self) {
        if let Some(path) = &self.0 {
            // It fails if the directory is not empty, and then it must stay.
            let _ = fs::remove_dir(path);
        }
    }
}

fn prepare_directory(path: &Path, force: bool) -> Result<Made, Unusable> {
    let is_new = !path.exists();
    match fs::create_dir_all(path) {
        Err(_) if path.exists() && !path.is_dir() => {
            return Err(refused(path, "is not a directory; name a new one, or a file ending in .jsonl"));
        }
        other => other.map_err(|error| unwritable(path, &error))?,
    }
    let is_empty = fs::read_dir(path).map_err(|error| unwritable(path, &error))?.next().is_none();
    if !is_empty && !force {
        return Err(refused(path, "is not empty; -f replaces the captures in it"));
    }
    let old = jsonl_in(path).map_err(|error| unwritable(path, &error))?;
    remove(&old)?;
    access(path)?;
    Ok(Made(is_new.then(|| path.to_owned())))
}

fn prepare_file(path: &Path, force: bool) -> Result<(), Unusable> {
    let is_there = path.symlink_metadata().is_ok();
    if is_there && !force {
        return Err(refused(path, "exists; -f replaces it"));
    }
    if path.is_dir() {
        return Err(refused(path, "is a directory; only captures are replaced"));
    }
    if force {
        remove(&siblings(path))?;
    }
    writable_folder(path)
}

fn remove(captures: &[PathBuf]) -> Result<(), Unusable> {
    captures.iter().try_for_each(|path| fs::remove_file(path).map_err(|error| unwritable(path, &error)))
}

/// A folder that the pattern itself makes up cannot be checked beforehand.
fn writable_folder(path: &Path) -> Result<(), Unusable> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().as_bytes().contains(&b'%') => access(folder),
        _ => Ok(()),
    }
}

fn access(folder: &Path) -> Result<(), Unusable> {
    use nix::unistd::AccessFlags;
    nix::unistd::access(folder, AccessFlags::W_OK | AccessFlags::X_OK)
        .map_err(|error| unwritable(folder, &error.into()))
}

fn refused(path: &Path, why: &str) -> Unusable {
    Unusable::Refused(Usage(format!("{} {why}", path.display())))
}

fn unwritable(path: &Path, error: &io::Error) -> Unusable {
    Unusable::Unwritable(format!("cannot write {}: {}", path.display(), exit::plain(error)))
}

fn jsonl_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The file itself, and the `STEM.PID.jsonl` or `STEM.PID.N.jsonl` of the other processes.
fn siblings(path: &Path) -> Vec<PathBuf> {
    let stem = path.file_stem().unwrap_or_default().as_bytes();
    let is_other = |candidate: &PathBuf| {
        let name = candidate.file_stem().unwrap_or_default().as_bytes();
        let pid = name.strip_prefix(stem).and_then(|rest| rest.strip_prefix(b"."));
        let is_number = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
        pid.is_some_and(|pid| pid.split(|byte| *byte == b'.').all(is_number))
    };
    let all = path.parent().and_then(|folder| jsonl_in(folder).ok()).unwrap_or_default();
    all.into_iter().filter(|candidate| candidate == path || is_other(candidate)).collect()
}

fn matching(pattern: &Path) -> Vec<PathBuf> {
    let (Some(folder), Some(name)) = (pattern.parent(), pattern.file_name()) else { return Vec::new() };
    let folder = PathBuf::from(OsString::from_vec(unescape(folder.as_os_str().as_bytes())));
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let named = entries.filter(|entry| matches(name.as_bytes(), entry.file_name().as_bytes()));
    let mut found: Vec<_> = named.map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    found.sort();
    found
}

/// Whether a name can come of a pattern: a placeholder stands for any text.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match pattern {
        [] => name.is_empty(),
        [b'%', b'%', rest @ ..] => name.strip_prefix(b"%").is_some_and(|name| matches(rest, name)),
        [b'%', _, rest @ ..] => (0..=name.len()).any(|at| matches(rest, &name[at..])),
        [byte, rest @ ..] => {
            name.split_first().is_some_and(|(first, name)| first == byte && matches(rest, name))
        }
    }
}

/// Whether there is a placeholder that differs between processes or runs; an unknown one is an error.
fn check_placeholders(text: &[u8]) -> Result<bool, Usage> {
    let mut bytes = text.iter();
    let mut found = false;
    while bytes.any(|byte| *byte == b'%') {
        match bytes.next() {
            Some(b'%') => {}
            Some(b'p' | b'h' | b't' | b'e' | b'r') => found = true,
            other => {
                let shown = other.map_or(String::new(), |byte| char::from(*byte).to_string());
                let known = "%p, %h, %t, %e, %r and %%";
                return Err(Usage(format!("-o: unknown placeholder %{shown}; there are {known}")));
            }
        }
    }
    Ok(found)
}

fn escape(path: &Path) -> OsString {
    let mut escaped = Vec::new();
    for &byte in path.as_os_str().as_bytes() {
        escaped.extend(std::iter::repeat_n(byte, if byte == b'%' { 2 } else { 1 }));
    }
    OsString::from_vec(escaped)
}

fn unescape(text: &[u8]) -> Vec<u8> {
    let mut plain: Vec<u8> = Vec::new();
    let mut is_second = false;
    for &byte in text {
        is_second = byte == b'%' && !is_second && plain.last() == Some(&b'%');
        if !is_second {
            plain.push(byte);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(argument: &str) -> Output {
        Output::parse(Path::new(argument), Path::new("/at/50%")).unwrap()
    }

    #[test]
    fn the_argument_tells_directory_file_and_pattern_apart() {
        assert_eq!(parse("runs"), Output::Directory("/at/50%/runs".into()));
        assert_eq!(parse("/x/a.jsonl"), Output::File("/x/a.jsonl".into()));
        assert_eq!(parse("a%%b"), Output::Directory("/at/50%/a%b".into()));
        assert_eq!(parse("r.%p.jsonl"), Output::Pattern("/at/50%%/r.%p.jsonl".into()));
        assert_eq!(parse("runs").variable(), "/at/50%%/runs");
        assert!(matches(b"r.%p.%h%%.jsonl", b"r.12.node7%.jsonl") && !matches(b"r.%p.jsonl", b"r.12.json"));
        let error = Output::parse(Path::new("a.%q"), Path::new("/")).unwrap_err().to_string();
        assert_eq!(error, "-o: unknown placeholder %q; there are %p, %h, %t, %e, %r and %%");
    }

    #[test]
    fn only_captures_of_the_same_name_are_replaced() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["r.jsonl", "r.12.jsonl", "r.x.jsonl", "s.jsonl", "r.12.txt"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let output = Output::File(folder.path().join("r.jsonl"));
        assert!(matches!(output.prepare(false), Err(Unusable::Refused(_))));
        output.prepare(true).unwrap();
        let mut left: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["r.12.txt", "r.x.jsonl", "s.jsonl"]);
    }
}
