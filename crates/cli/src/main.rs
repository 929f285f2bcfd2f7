//! The `tt-memtrace` command: starts programs under the recorder, and reads what was recorded.

#![forbid(unsafe_code)]

mod anomalies;
mod args;
mod capture;
mod clock;
mod commands;
mod doubts;
mod exit;
mod explain;
mod failures;
mod figures;
mod filters;
mod follow;
mod instant;
mod json;
mod left;
mod live;
mod liveness;
mod look;
mod memories;
mod origin;
mod orphans;
mod output;
mod own_file;
mod preload;
mod recover;
mod render;
mod replay;
mod report;
mod rules;
mod server;
mod sources;
mod state;
mod variables;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = args::Args::parse();
    look::choose(args.look, args.verb.is_text());
    exit::code(commands::run(args.verb))
}
