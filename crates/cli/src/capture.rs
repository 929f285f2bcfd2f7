//! Reads a capture line by line. Nothing a file holds can crash, hang or exhaust the reader.

use crate::{exit, orphans, recover};
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use tt_memtrace_wire::{Footer, Header, Line, LineError, Recovery, version};

/// No line of a capture is nearly as long; a longer one is somebody else's file.
const MAX_LINE_BYTES: usize = 16 << 20;

/// A capture that is being read.
pub struct Capture {
    /// Where it is.
    pub path: PathBuf,
    /// Its first line.
    pub header: Header,
    /// Its last line, once it was read.
    pub footer: Option<Footer>,
    /// What was added from the spool of a killed process, once that line was read.
    pub recovery: Option<Recovery>,
    /// Whether the file ends within a line. Normal after a kill, and while the process still writes.
    pub is_torn: bool,
    /// Lines of kinds that a later version added.
    pub n_unknown: u64,
    lines: Lines,
}

impl Capture {
    /// Opens a capture and reads its header. If its process was killed and left a spool, the capture is
    /// completed from that first.
    pub fn open(path: &Path) -> Result<Self, CaptureError> {
        let capture = Self::open_or_clean(path)?;
        if recover::complete_and_say(path, &capture.header) { Self::open_as_is(path) } else { Ok(capture) }
    }

    /// Opens a capture as it lies there. If its process was killed before its first line, what that left is removed.
    pub fn open_or_clean(path: &Path) -> Result<Self, CaptureError> {
        Self::open_as_is(path).inspect_err(|error| {
            if Self::is_unborn(error) {
                orphans::remove_unborn(path);
            }
        })
    }

    /// Opens a capture as it lies there.
    pub fn open_as_is(path: &Path) -> Result<Self, CaptureError> {
        let at = |line, problem| CaptureError { path: path.to_owned(), line, problem };
        let file = open_regular(path).map_err(|error| at(None, Problem::Io(error)))?;
        let reader = BufReader::with_capacity(1 << 18, file);
        let mut lines = Lines { reader, line: Vec::new(), number: 0 };
        let end = lines.advance().map_err(|problem| at(Some(1), problem))?;
        match end {
            LineEnd::Nothing => return Err(at(None, Problem::Empty)),
            LineEnd::Newline | LineEnd::Torn => {}
        }
        let header = match lines.parse() {
            Ok(Line::Header(header)) => *header,
            Ok(_) => return Err(at(Some(1), Problem::Foreign)),
            Err(_) if claims_newer_major(&lines.line) => {
                return Err(at(Some(1), Problem::NewerMajor("a newer version".into())));
            }
            Err(_) if end == LineEnd::Torn && lines.line.starts_with(b"{\"kind\":\"header\"") => {
                return Err(at(Some(1), Problem::Truncated));
            }
            Err(_) => return Err(at(Some(1), Problem::Foreign)),
        };
        if !header.version.is_readable() {
            return Err(at(Some(1), Problem::NewerMajor(format!("version {}", header.version))));
        }
        let is_torn = end == LineEnd::Torn;
        Ok(Self { path: path.to_owned(), header, footer: None, recovery: None, is_torn, n_unknown: 0, lines })
    }

    /// The next line after the header; nothing at the end.
    pub fn next_line(&mut self) -> Result<Option<Line>, CaptureError> {
        let end = self.lines.advance().map_err(|problem| self.error(problem))?;
        if end == LineEnd::Nothing {
            return Ok(None);
        }
        self.is_torn |= end == LineEnd::Torn;
        match self.lines.parse() {
            Ok(line) => {
                self.note(&line);
                Ok(Some(line))
            }
            Err(_) if end == LineEnd::Torn => Ok(None),
            Err(error) => Err(self.error(Problem::Line(error))),
        }
    }

    fn note(&mut self, line: &Line) {
        match line {
            Line::Unknown(_) => self.n_unknown += 1,
            Line::Footer(footer) => self.footer = Some(*footer),
            Line::Recovery(recovery) => self.recovery = Some(*recovery),
            _ => {}
        }
    }

    /// The next line of one of these kinds. The lines between are looked at only as far as to their kind, with which
    /// every line begins.
    pub fn next_of_kind(&mut self, kinds: &[&str]) -> Result<Option<Line>, CaptureError> {
        if self.seek(kinds)?.is_none() {
            return Ok(None);
        }
        // A torn last line is no line.
        self.lines.parse().map(Some).or_else(|error| match self.is_torn {
            true => Ok(None),
            false => Err(self.error(Problem::Line(error))),
        })
    }

    /// Which of these kinds the next line of one of them has.
    pub fn seek<'a>(&mut self, kinds: &[&'a str]) -> Result<Option<&'a str>, CaptureError> {
        loop {
            let end = self.lines.advance().map_err(|problem| self.error(problem))?;
            if end == LineEnd::Nothing {
                return Ok(None);
            }
            self.is_torn |= end == LineEnd::Torn;
            if let Some(kind) = kinds.iter().find(|kind| is_of_kind(&self.lines.line, kind)) {
                return Ok(Some(*kind));
            }
        }
    }

    /// The next whole line of a capture that is being written; nothing where it ends for now. A line that is not
    /// whole yet is read again from its start.
    pub fn next_written(&mut self) -> Result<Option<Line>, CaptureError> {
        let end = self.lines.advance().map_err(|problem| self.error(problem))?;
        match end {
            LineEnd::Nothing => Ok(None),
            LineEnd::Torn => {
                self.lines.step_back().map_err(|problem| self.error(problem))?;
                Ok(None)
            }
            LineEnd::Newline => {
                let line = self.lines.parse().map_err(|error| self.error(Problem::Line(error)))?;
                self.note(&line);
                Ok(Some(line))
            }
        }
    }

    /// Whether its process has not even written its first line yet.
    pub fn is_unborn(error: &CaptureError) -> bool {
        matches!(error.problem, Problem::Empty | Problem::Truncated)
    }

    fn error(&self, problem: Problem) -> CaptureError {
        CaptureError { path: self.path.clone(), line: Some(self.lines.number), problem }
    }
}

/// A capture may name other files: opening a pipe or a terminal would wait for ever.
fn open_regular(path: &Path) -> io::Result<File> {
    let kind = std::fs::metadata(path)?;
    if kind.is_file() {
        return File::open(path);
    }
    Err(io::Error::other(if kind.is_dir() { "is a directory" } else { "is not a regular file" }))
}

/// A header of another major version need not have our fields, so it is looked at with a softer eye.
fn claims_newer_major(line: &[u8]) -> bool {
    let Ok(header) = serde_json::from_slice::<serde_json::Value>(line) else { return false };
    let version = header["version"].as_str().and_then(tt_memtrace_wire::Version::parse);
    header["schema"] == version::SCHEMA && version.is_some_and(|version| !version.is_readable())
}

fn is_of_kind(line: &[u8], kind: &str) -> bool {
    let rest = line.strip_prefix(b"{\"kind\":\"").and_then(|rest| rest.strip_prefix(kind.as_bytes()));
    rest.is_some_and(|rest| rest.starts_with(b"\""))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LineEnd {
    Newline,
    Torn,
    Nothing,
}

struct Lines {
    reader: BufReader<File>,
    line: Vec<u8>,
    number: u64,
}

impl Lines {
    fn advance(&mut self) -> Result<LineEnd, Problem> {
        self.line.clear();
        let limit = u64::try_from(MAX_LINE_BYTES).unwrap_or(u64::MAX);
        self.reader.by_ref().take(limit).read_until(b'\n', &mut self.line).map_err(Problem::Io)?;
        if self.line.is_empty() {
            return Ok(LineEnd::Nothing);
        }
        self.number += 1;
        if self.line.pop_if(|byte| *byte == b'\n').is_some() {
            return Ok(LineEnd::Newline);
        }
        if self.line.len() >= MAX_LINE_BYTES { Err(Problem::TooLong) } else { Ok(LineEnd::Torn) }
    }

    /// Before the line that was just read. What was read ahead is forgotten: it may be written anew.
    fn step_back(&mut self) -> Result<(), Problem> {
        let bytes = i64::try_from(self.line.len()).unwrap_or(i64::MAX);
        self.reader.seek(SeekFrom::Current(-bytes)).map_err(Problem::Io)?;
        self.number -= 1;
        Ok(())
    }

    fn parse(&self) -> Result<Line, LineError> {
        let text = str::from_utf8(&self.line).map_err(|error| LineError::NotALine(error.to_string()))?;
        Line::parse(text)
    }
}

/// Why a capture cannot be read.
#[derive(Debug)]
pub struct CaptureError {
    path: PathBuf,
    line: Option<u64>,
    problem: Problem,
}

#[derive(Debug)]
enum Problem {
    Io(io::Error),
    Empty,
    Foreign,
    Truncated,
    NewerMajor(String),
    Line(LineError),
    TooLong,
    NoCaptures,
    Incomplete(String),
}

impl CaptureError {
    /// For a directory without a single capture.
    pub fn no_captures(directory: &Path) -> Self {
        Self { path: directory.to_owned(), line: None, problem: Problem::NoCaptures }
    }

    /// For the capture of a killed process that cannot be completed: what is in the way, and what to do about it.
    pub fn incomplete(path: &Path, why: String) -> Self {
        Self { path: path.to_owned(), line: None, problem: Problem::Incomplete(why) }
    }

    /// For a path that cannot be looked at.
    pub fn io(path: &Path, error: io::Error) -> Self {
        Self { path: path.to_owned(), line: None, problem: Problem::Io(error) }
    }
}

impl fmt::Display for CaptureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        match &self.problem {
            Problem::Io(error) => write!(f, ": cannot read: {}", exit::plain(error)),
            Problem::Empty => {
                f.write_str(": the capture is empty: its process was killed at its start, record it again")
            }
            Problem::Foreign => f.write_str(
                ": not a tt-memtrace capture: name a .jsonl file or a directory that `tt-memtrace run` wrote",
            ),
            Problem::Truncated => f.write_str(
                ": the capture is cut off within its first line: copy it again, or record it again",
            ),
            Problem::NewerMajor(theirs) => {
                let ours = version::CURRENT;
                write!(
                    f,
                    ": format {theirs}, this tt-memtrace reads {}.x: use a newer tt-memtrace",
                    ours.major
                )
            }
            Problem::Line(error) => {
                write!(f, ": {error}: the file is damaged, copy it again or cut it before this line")
            }
            Problem::TooLong => f.write_str(
                ": a line of more than 16 MiB: the file is damaged, or is not a tt-memtrace capture",
            ),
            Problem::Incomplete(why) => write!(f, ": cannot be completed: {why}"),
            Problem::NoCaptures => {
                f.write_str(": no capture (*.jsonl) in this directory: name one that `tt-memtrace run` wrote")
            }
        }
    }
}

impl std::error::Error for CaptureError {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const HEADER: &str = r#"{"kind":"header","schema":"tt-memtrace.capture","version":"1.0","pid":1,"process_start":2,"program":"p","t_ns":0,"wall_ns":0}"#;

    fn read(content: &str) -> Result<(u64, bool), String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        let mut capture = Capture::open(file.path()).map_err(|error| error.to_string())?;
        let mut n = 0;
        while capture.next_line().map_err(|error| error.to_string())?.is_some() {
            n += 1;
        }
        Ok((n, capture.is_torn))
    }

    fn close(n: u32) -> String {
        format!(r#"{{"kind":"close","n":{n},"t_ns":1,"tid":2,"mesh_id":0}}"#)
    }

    #[test]
    fn a_torn_last_line_is_read_up_to_and_said() {
        assert_eq!(read(&format!("{HEADER}\n{}\n", close(1))), Ok((1, false)));
        assert_eq!(read(&format!("{HEADER}\n{}\n{}", close(1), &close(2)[..20])), Ok((1, true)));
        assert_eq!(read(&format!("{HEADER}\n{}\n{}", close(1), close(2))), Ok((2, true)));
    }

    #[test]
    fn a_capture_is_followed_line_by_line_while_it_is_written() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let cut = close(2).len() / 2;
        write!(file, "{HEADER}\n{}\n{}", close(1), &close(2)[..cut]).unwrap();
        let mut capture = Capture::open_as_is(file.path()).unwrap();
        assert!(capture.next_written().unwrap().is_some());
        assert!(capture.next_written().unwrap().is_none() && capture.next_written().unwrap().is_none());
        writeln!(file, "{}", &close(2)[cut..]).unwrap();
        assert!(matches!(capture.next_written(), Ok(Some(Line::Event(stamp, _))) if stamp.n == 2));
        // What recovery does: the torn line is cut off, and another one comes in its place.
        write!(file, "{}", &close(3)[..cut]).unwrap();
        assert!(capture.next_written().unwrap().is_none());
        let length = file.as_file().metadata().unwrap().len() - cut as u64;
        file.as_file().set_len(length).unwrap();
        file.as_file_mut().seek(SeekFrom::End(0)).unwrap();
        writeln!(file, "{}", close(4)).unwrap();
        assert!(matches!(capture.next_written(), Ok(Some(Line::Event(stamp, _))) if stamp.n == 4));
    }

    #[test]
    fn what_cannot_be_read_is_named_with_its_line() {
        for (content, said) in [
            ("", "is empty"),
            ("{\"kind\":\"header\",\"sch", "cut off within its first line"),
            ("hello\n", ":1: not a tt-memtrace capture"),
            ("{\"a\":1}\n", ":1: not a tt-memtrace capture"),
            (
                "{\"kind\":\"header\",\"schema\":\"tt-memtrace.capture\",\"version\":\"2.3\"}\n",
                "a newer version",
            ),
            (&HEADER.replace("1.0", "2.0"), "format version 2.0, this tt-memtrace reads 1.x"),
            (&format!("{HEADER}\nrubbish\n{}\n", close(1)), ":2: not a line of a capture"),
        ] {
            let error = read(content).unwrap_err();
            assert!(error.contains(said), "{error}");
            assert!(!error.contains('\n'));
        }
    }
}
