//! One table over all processes of a run: who held how much.

use super::Summary;
use crate::left::Survivors;
use crate::render;
use crate::report::Report;
use std::io::Write;
use tt_memtrace_ledger::TypeTotals;

/// A row per process and memory type, with the figures of the chip that held most.
pub fn run(report: Report<'_>, out: &mut dyn Write) -> anyhow::Result<u8> {
    let mut rows = Vec::new();
    let mut first_lines = Vec::new();
    let mut table = Vec::new();
    let code = report.run(&mut table, Summary::read, Summary::to_json, |summary, _| {
        rows.extend(rows_of(summary));
        first_lines.push(render::first_line(&summary.replay));
        Ok(())
    })?;
    out.write_all(&table)?; // The first line, if there are several processes.
    for line in first_lines {
        writeln!(out, "{line}")?;
    }
    writeln!(out)?;
    if rows.is_empty() {
        writeln!(out, "no buffer is among what is shown")?;
        return Ok(code);
    }
    let heads =
        [">pid", "program", "type", ">live at end", ">peak", ">of bank", ">peak at", ">left", "chips"];
    render::table(out, &heads, rows)?;
    writeln!(out, "\nlive, peak and left are of the chip that held most of the type in that process")?;
    Ok(code)
}

fn rows_of(summary: &Summary) -> Vec<Vec<String>> {
    let header = &summary.replay.header;
    let left = Survivors::of(&summary.replay).by_chip();
    let mut types: Vec<(&TypeTotals, Vec<u32>)> = Vec::new();
    for (chip, of) in summary.at_end.iter().flat_map(|(chip, types)| types.iter().map(move |of| (*chip, of)))
    {
        match types.iter_mut().find(|(known, _)| known.buffer_type == of.buffer_type) {
            Some((most, chips)) => {
                chips.push(chip);
                if of.tally.bytes.peak > most.tally.bytes.peak {
                    *most = of;
                }
            }
            None => types.push((of, vec![chip])),
        }
    }
    let mut rows = Vec::new();
    for (of, chips) in types {
        let left_on = |chip: &u32| left.get(&(*chip, of.buffer_type)).map_or(0, |left| left.bytes);
        rows.push(vec![
            header.pid.to_string(),
            render::cut(&header.program, 16),
            of.buffer_type.to_string(),
            render::bytes(of.tally.bytes.live),
            render::bytes(of.tally.bytes.peak),
            render::peak_share(of),
            render::moment(of.tally.bytes.peak_at, header),
            render::bytes(chips.iter().map(left_on).max().unwrap_or(0)),
            render::chips(&chips).trim_start_matches("chips ").trim_start_matches("chip ").to_owned(),
        ]);
    }
    rows
}
