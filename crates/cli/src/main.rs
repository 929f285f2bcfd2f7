//! The `tt-memtrace` command: starts programs under the recorder, and reads what was recorded.

#![forbid(unsafe_code)]

mod args;
mod capture;
mod commands;
mod exit;
mod json;
mod left;
mod liveness;
mod output;
mod preload;
mod recover;
mod render;
mod replay;
mod sources;
mod variables;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = args::Args::parse();
    exit::code(commands::run(args.verb))
}
