//! `parse`: the lines of captures, as JSON lines.

use crate::args::Parse;
use crate::{exit, replay, sources};
use std::io::Write;
use tt_memtrace_wire::Line;

/// Prints the header, definitions, events and footer of each capture.
pub fn run(args: &Parse, out: &mut dyn Write) -> anyhow::Result<u8> {
    let is_wanted = |line: &[u8]| args.kind.is_empty() || args.kind.iter().any(|kind| is_of_kind(line, kind));
    let mut bytes = Vec::new();
    let mut print = |line: &Line, out: &mut dyn Write| {
        bytes.clear();
        line.write_to(&mut bytes);
        if is_wanted(&bytes) { out.write_all(&bytes) } else { Ok(()) }
    };
    sources::each(&args.captures.captures, |path| {
        let mut capture = crate::capture::Capture::open(path)?;
        print(&Line::Header(capture.header.clone()), out)?;
        while let Some(line) = capture.next_line()? {
            if !matches!(line, Line::Unknown(_)) {
                print(&line, out)?;
            }
        }
        if capture.is_torn {
            exit::say(format_args!("{}: the last line is torn, read up to it", path.display()));
        }
        if args.captures.verbose && capture.n_unknown > 0 {
            exit::say(replay::passed_over(path, capture.n_unknown));
        }
        Ok(())
    })
}

/// Every line begins with its kind.
fn is_of_kind(line: &[u8], kind: &str) -> bool {
    let rest = line.strip_prefix(b"{\"kind\":\"").and_then(|rest| rest.strip_prefix(kind.as_bytes()));
    rest.is_some_and(|rest| rest.starts_with(b"\""))
}
