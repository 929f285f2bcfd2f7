//! `check`: gates for CI. Did the program stay within its budget, and did it free what it took?

mod baseline;
mod budget;
mod gate;
mod junit;
mod measure;

use crate::args::Check;
use crate::capture::CaptureError;
use crate::exit::{self, Usage};
use crate::look::{Tone, paint};
use crate::report::Report;
use crate::{json, render};
use anyhow::Context;
use gate::{Gate, Judgement, Verdict};
use measure::Measured;
use serde_json::{Value, json};
use std::fmt;
use std::io::Write;

/// Measures every capture and judges every gate. The code is 0, 1 if a gate failed, or 125 if something could not be
/// measured: `git bisect run` skips such a commit.
pub fn run(args: &Check, out: &mut dyn Write) -> anyhow::Result<u8> {
    let gates = gates(args)?;
    if gates.is_empty() && args.write_baseline.is_none() {
        let why = "no gate; say what to check: --no-leaks, --peak-below dram=1GiB, --headroom-above 64KiB, \
                   --budget FILE or --baseline FILE";
        return Err(Usage(why.into()).into());
    }
    match judged(args, &gates, out) {
        // Everything above 125 and between 1 and 124 would be the program's fault to `git bisect run`.
        Err(error) if error.is::<CaptureError>() || error.is::<Unmeasured>() => {
            exit::say(format_args!("{error:#}"));
            Ok(exit::UNMEASURED)
        }
        other => other,
    }
}

/// There is nothing to measure, and why.
#[derive(Debug)]
struct Unmeasured(String);

impl fmt::Display for Unmeasured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unmeasured {}

/// Those of the command line and of both files.
fn gates(args: &Check) -> anyhow::Result<Vec<Gate>> {
    let mut gates = Vec::new();
    if args.no_leaks {
        gates.push(Gate::Leaks { most: 0 });
    }
    gates.extend(args.peak_below.iter().map(|peak| Gate::Peak { of: peak.of, most: peak.most.0 }));
    gates.extend(args.headroom_above.map(|least| Gate::Headroom { least: least.0 }));
    if let Some(path) = &args.budget {
        gates.extend(budget::read(path)?);
    }
    if let Some(path) = &args.baseline {
        gates.extend(baseline::read(path)?.gates(&args.tolerance));
    }
    Ok(gates)
}

fn judged(args: &Check, gates: &[Gate], out: &mut dyn Write) -> anyhow::Result<u8> {
    let mut report = Report::new("check", &args.captures, &args.filters, None);
    let mut all: Vec<Measured> = Vec::new();
    let code = report.each(|report, path, selection| {
        let measured = Measured::read(path, selection)?;
        report.admit(measured.as_ref())?;
        all.push(measured);
        Ok(())
    });
    let code = match code {
        // A filter names what no capture has.
        Err(error) if error.is::<Usage>() => return Err(Unmeasured(error.to_string()).into()),
        other => other?,
    };
    let judgements: Vec<Judgement> = gates.iter().map(|gate| gate.judge(&all)).collect();
    if let Some(path) = &args.write_baseline {
        // A later run would be held to figures that are too low.
        if let Some(why) = all.iter().find_map(Measured::doubt) {
            return Err(Unmeasured(format!("no baseline written: {why}")).into());
        }
        if code != exit::OK || all.is_empty() {
            return Err(Unmeasured("no baseline written: a capture could not be read".into()).into());
        }
        baseline::write(path, &all, args.force)?;
        exit::say(format_args!("baseline written to {}", path.display()));
    }
    if let Some(path) = &args.junit {
        std::fs::write(path, junit::text(&judgements))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    let worst = judgements.iter().map(|judgement| judgement.verdict).max().unwrap_or(Verdict::Passed);
    // A capture that could not be read may have failed any gate.
    let worst = if code == exit::OK { worst } else { worst.max(Verdict::NotMeasured) };
    if args.captures.json {
        let fields = json!({
            "verdict": worst.name(),
            "gates": judgements.iter().map(Judgement::json).collect::<Vec<Value>>(),
        });
        json::line(out, &report.object(fields))?;
    } else {
        print(&judgements, &all, out)?;
    }
    out.flush()?;
    let code = match worst {
        Verdict::Passed => exit::OK,
        Verdict::Failed => exit::FOUND,
        Verdict::NotMeasured => exit::UNMEASURED,
    };
    Ok(report.judge(code))
}

fn print(judgements: &[Judgement], all: &[Measured], out: &mut dyn Write) -> anyhow::Result<()> {
    for measured in all {
        writeln!(out, "{}", render::first_line(measured.as_ref()))?;
        for note in render::notes(measured.as_ref(), false) {
            writeln!(out, "{note}")?;
        }
    }
    for judgement in judgements {
        let (tone, word) = match judgement.verdict {
            Verdict::Passed => (Tone::Good, "ok"),
            Verdict::Failed => (Tone::Bad, "FAILED"),
            Verdict::NotMeasured => (Tone::Odd, "NOT MEASURED"),
        };
        writeln!(out, "{}: {}", paint(tone, word), judgement.words())?;
    }
    Ok(())
}
