//! The verbs.

mod check;
mod ctl;
mod demo;
mod doctor;
mod l1;
mod leaks;
mod live;
mod oom;
mod parse;
mod recover;
mod run;
mod snapshot;
mod stats;
mod summary;
mod tree;

use crate::args::Verb;
use std::io::{self, BufWriter, Write};

/// Does what was asked and gives the exit code.
pub fn run(verb: Verb) -> anyhow::Result<u8> {
    // Not locked: the server's log and the live view are written by other threads.
    let out = &mut BufWriter::new(io::stdout());
    let code = match verb {
        Verb::Run(run) => return run::run(&run),
        Verb::Serve(serve) => return crate::server::run(&serve),
        Verb::Ctl(ctl) => ctl::run(&ctl, out),
        Verb::Summary(summary) => summary::run(&summary, out),
        Verb::Stats(stats) => stats::run(&stats, out),
        Verb::Leaks(leaks) => leaks::run(&leaks, out),
        Verb::Snapshot(snapshot) => snapshot::run(&snapshot, out),
        Verb::Tree(tree) => tree::run(&tree, out),
        Verb::L1(l1) => l1::run(&l1, out),
        Verb::Check(check) => check::run(&check, out),
        Verb::Oom(oom) => oom::run(&oom, out),
        Verb::Live(live) => live::run(&live, out),
        Verb::Parse(parse) => parse::run(&parse, out),
        Verb::Recover(recover) => recover::run(&recover, out),
        Verb::Doctor(doctor) => doctor::run(&doctor, out),
        Verb::Demo(demo) => demo::run(&demo, out),
    }?;
    out.flush()?;
    Ok(code)
}
