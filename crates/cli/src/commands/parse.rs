//! `parse`: the lines of captures, as JSON lines.

use crate::args::Parse;
use crate::capture::Capture;
use crate::filters::Selection;
use crate::report::Report;
use crate::{exit, render, replay};
use std::collections::BTreeSet;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;
use tt_memtrace_wire::Line;

/// Prints the header, definitions, events and footer of each capture.
pub fn run(args: &Parse, out: &mut dyn Write) -> anyhow::Result<u8> {
    let mut report = Report::new("parse", &args.captures, &args.filters, None);
    let mut printer = Printer { kinds: &args.kind, bytes: Vec::new(), n_printed: 0, passed: BTreeSet::new() };
    let code = report.each(|report, path, selection| {
        if args.captures.strict || args.captures.verbose || !selection.is_all() {
            filtered(&mut printer, args.captures.verbose, report, path, selection, out)
        } else {
            plain(&mut printer, path, out)
        }
    })?;
    if printer.n_printed == 0 && !args.kind.is_empty() {
        let passed = printer.passed.into_iter().collect::<Vec<_>>().join(", ");
        exit::say(format_args!("no line is of kind {}; there are {passed}", args.kind.join(", ")));
    }
    Ok(report.judge(code))
}

/// Every line, as fast as it can be read: no ledger is needed.
fn plain(printer: &mut Printer<'_>, path: &Path, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut capture = Capture::open(path)?;
    printer.print(&Line::Header(Box::new(capture.header.clone())), out)?;
    while let Some(line) = capture.next_line()? {
        printer.print(&line, out)?;
    }
    say_if_torn(path, capture.is_torn);
    Ok(())
}

/// The events that the filters keep, and all lines that are no events: what the events name is defined there.
fn filtered(
    printer: &mut Printer<'_>,
    is_verbose: bool,
    report: &mut Report<'_>,
    path: &Path,
    selection: &Selection,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let replay = replay::selected(path, selection, &mut |_, line, effect, ledger| {
        let is_kept = match line {
            Line::Event(stamp, event) => selection.keeps(*stamp, event, effect, ledger.snapshot()),
            _ => true,
        };
        if is_kept {
            printer.print(line, out)?;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    say_if_torn(path, replay.is_torn);
    if is_verbose {
        exit::say(render::first_line(&replay));
        render::notes(&replay, true).iter().for_each(exit::say);
    }
    report.admit(&replay)
}

/// Standard output holds nothing but lines of captures.
fn say_if_torn(path: &Path, is_torn: bool) {
    if is_torn {
        exit::say(format_args!("{}: the last line is torn, read up to it", render::path(path)));
    }
}

/// Prints lines of the wanted kinds.
struct Printer<'a> {
    kinds: &'a [String],
    bytes: Vec<u8>,
    n_printed: u64,
    /// The kinds of the lines that are not printed.
    passed: BTreeSet<String>,
}

impl Printer<'_> {
    fn print(&mut self, line: &Line, out: &mut dyn Write) -> std::io::Result<()> {
        if matches!(line, Line::Unknown(_)) {
            return Ok(());
        }
        self.bytes.clear();
        line.write_to(&mut self.bytes);
        let kind = kind_of(&self.bytes);
        if self.kinds.is_empty() || self.kinds.iter().any(|wanted| wanted == kind) {
            self.n_printed += 1;
            return out.write_all(&self.bytes);
        }
        if !self.passed.contains(kind) {
            self.passed.insert(kind.to_owned());
        }
        Ok(())
    }
}

/// Every line begins with its kind.
fn kind_of(line: &[u8]) -> &str {
    let kind = line.strip_prefix(b"{\"kind\":\"").and_then(|rest| rest.split(|byte| *byte == b'"').next());
    kind.and_then(|kind| str::from_utf8(kind).ok()).unwrap_or_default()
}
