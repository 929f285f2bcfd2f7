//! `oom`: why the runtime refused an allocation or a program, and what would make it fit.

use crate::args::Oom as Args;
use crate::explain::text::Extent;
use crate::explain::{self, json as explained};
use crate::failures::{self, Refused, Wanted};
use crate::filters::Selection;
use crate::report::Report;
use crate::{json, render};
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;

/// Explains a refusal of each capture.
pub fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<u8> {
    let report = Report::new("oom", &args.captures, &args.filters, None);
    let read =
        |path: &Path, selection: &Selection| failures::replay_to(path, selection, Wanted::Any, args.failure);
    report.run(out, read, to_json, |refused, out| print(refused, args, out))
}

fn to_json(refused: &Refused) -> Value {
    let fields = json!({"n_failures": refused.n_failures, "failure": explained::of(refused)});
    json::process(&refused.replay, fields)
}

fn print(refused: &Refused, args: &Args, out: &mut dyn Write) -> anyhow::Result<()> {
    let replay = &refused.replay;
    writeln!(out, "{}", render::first_line(replay))?;
    for note in render::notes(replay, args.captures.verbose) {
        writeln!(out, "{note}")?;
    }
    explain::text::print(refused, Extent { n_rows: args.num_largest, is_brief: false }, out)?;
    writeln!(out)?;
    Ok(())
}
