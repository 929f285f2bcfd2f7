//! Reads a capture of millions of lines: the few fields that tell events apart by hand, and one line in a
//! thousand, as well as the last of them, with the typed reader.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use tt_memtrace_wire::{Footer, Header, Line, Recovery};

/// What an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Alloc,
    Dealloc,
}

/// What is kept of an allocation or deallocation.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    pub kind: Kind,
    pub t_ns: u64,
    pub tid: u32,
    pub mesh_id: u64,
    pub address: u64,
    pub unique_id: u64,
}

/// A capture, checked: it begins with a header, `n` counts from 1 without a gap, no thread's time steps back,
/// nothing is torn, nothing follows footer or recovery, and their arithmetic is right.
pub struct Long {
    pub header: Header,
    pub events: Vec<Seen>,
    /// The sum of the `lost` lines.
    pub dropped: u64,
    pub footer: Option<Footer>,
    pub recovery: Option<Recovery>,
}

impl Long {
    pub fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.ends_with('\n'), "{} is torn", path.display());
        let mut lines = text.lines();
        let Some(Ok(Line::Header(header))) = lines.next().map(Line::parse) else { panic!("no header") };
        let mut long = Self { header: *header, events: Vec::new(), dropped: 0, footer: None, recovery: None };
        let n_lines = text.lines().count() - 1;
        let (mut n, mut times) = (0, HashMap::new());
        for (i, line) in lines.enumerate() {
            assert!(long.footer.is_none() && long.recovery.is_none(), "{line} behind the end");
            if i % 1000 == 0 || i + 100 > n_lines {
                let parsed = Line::parse(line).unwrap_or_else(|error| panic!("{error} in {line}"));
                assert!(!matches!(parsed, Line::Unknown(_)), "{line}");
            }
            let kind = line.strip_prefix("{\"kind\":\"").and_then(|rest| rest.split('"').next());
            match kind {
                Some("alloc") => long.events.push(seen(Kind::Alloc, line)),
                Some("dealloc") => long.events.push(seen(Kind::Dealloc, line)),
                Some("lost") => long.dropped += number(line, "dropped"),
                Some("footer" | "recovery") => {
                    long.end(Line::parse(line).unwrap(), n);
                    continue;
                }
                Some("mesh" | "cores" | "allocator") => continue,
                _ => panic!("{line} in {}", path.display()),
            }
            n += 1;
            assert_eq!(number(line, "n"), n, "{line}");
            let (tid, t_ns) = (number(line, "tid"), number(line, "t_ns"));
            let before = times.insert(tid, t_ns).unwrap_or(0);
            assert!(t_ns >= before, "{line} steps back from {before}");
        }
        long
    }

    /// Only the number of events but for `lost`, and the last line.
    pub fn count(path: &Path) -> (u64, Line) {
        let (mut n, mut last) = (0, String::new());
        for line in BufReader::new(File::open(path).unwrap()).lines() {
            last = line.unwrap();
            n += u64::from(last.contains("\"n\":") && !last.contains("\"lost\""));
        }
        (n, Line::parse(&last).unwrap())
    }

    fn end(&mut self, line: Line, n: u64) {
        match line {
            Line::Footer(footer) => {
                assert_eq!((footer.recorded, footer.dropped), (n, self.dropped));
                self.footer = Some(footer);
            }
            Line::Recovery(recovery) => {
                assert_eq!((recovery.recorded, recovery.dropped), (n, self.dropped));
                assert_eq!(recovery.unreadable, 0);
                assert!(recovery.recovered <= n);
                self.recovery = Some(recovery);
            }
            other => panic!("{other:?}"),
        }
    }
}

/// The numbers in a file of 64-bit words.
pub fn u64s(path: &Path) -> Vec<u64> {
    let bytes = std::fs::read(path).unwrap();
    bytes.chunks_exact(8).map(|bytes| u64::from_ne_bytes(std::array::from_fn(|i| bytes[i]))).collect()
}

fn seen(kind: Kind, line: &str) -> Seen {
    Seen {
        kind,
        t_ns: number(line, "t_ns"),
        tid: u32::try_from(number(line, "tid")).unwrap(),
        mesh_id: number(line, "mesh_id"),
        address: number(line, "address"),
        unique_id: number(line, "unique_id"),
    }
}

/// The number of a field; the largest if it has none.
fn number(line: &str, name: &str) -> u64 {
    let mut rest = line;
    while let Some(at) = rest.find(name) {
        let is_field = rest[..at].ends_with('"');
        rest = &rest[at + name.len()..];
        if let Some(value) = rest.strip_prefix("\":").filter(|_| is_field) {
            if value.starts_with("null") {
                return u64::MAX;
            }
            let digits = value.trim_start_matches('"');
            let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
            return digits[..end].parse().unwrap_or_else(|_| panic!("{name} is no number in {line}"));
        }
    }
    panic!("no {name} in {line}")
}
