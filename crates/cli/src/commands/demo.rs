//! `demo`: the reports on a sample capture, for a machine that has nothing to record yet.

use crate::args::{By, Demo};
use crate::commands::{leaks, summary::Summary};
use crate::filters::Selection;
use crate::{exit, json};
use serde_json::json;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// Written by hand: three decoding steps on a mesh of 8 chips, with a tensor kept at each step.
const SAMPLE: &str = include_str!("../demo.jsonl");

/// Shows the summary and the leaks of the sample, and the commands that do so for a program.
pub fn run(args: &Demo, out: &mut dyn Write) -> anyhow::Result<u8> {
    let folder = std::env::temp_dir().join(format!("tt-memtrace-demo.{}", std::process::id()));
    std::fs::DirBuilder::new().mode(0o700).create(&folder)?;
    let shown = show(args, &folder.join("sample.jsonl"), out);
    std::fs::remove_dir_all(&folder)?;
    shown
}

fn show(args: &Demo, capture: &Path, out: &mut dyn Write) -> anyhow::Result<u8> {
    std::fs::write(capture, SAMPLE)?;
    let summary = Summary::read(capture, &Selection::default())?;
    if args.json {
        let fields = json!({"filters": {}, "processes": [summary.to_json()]});
        json::line(out, &json::versioned("summary", fields))?;
        return Ok(exit::OK);
    }
    writeln!(out, "This is a sample capture that comes with tt-memtrace. No device was used.\n")?;
    writeln!(out, "$ tt-memtrace summary sample.jsonl")?;
    summary.print(By::Chip, false, out)?;
    writeln!(out, "$ tt-memtrace leaks sample.jsonl")?;
    leaks::print(&leaks::Judged::read(capture, &Selection::default())?, false, out)?;
    writeln!(out, "One tensor of 1 MiB was kept at each step, and one semaphore to the end.")?;
    writeln!(out, "The same for a program of yours:\n")?;
    writeln!(out, "  tt-memtrace run -- python your_script.py")?;
    writeln!(out, "  tt-memtrace leaks tt-memtrace-your_script.*/")?;
    Ok(exit::OK)
}
