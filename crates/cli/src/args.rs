//! The command line.

use crate::filters::{Filters, IdRange, PeakBelow, Size, Tolerance};
use crate::look::Look;
use clap::{Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use tt_memtrace_wire::socket::LEGACY;

/// Shows the device memory of ttnn and tt-metal programs: what is held on which chip, how much at peak, and
/// what was left.
#[derive(Parser)]
#[command(name = "tt-memtrace", version, max_term_width = 100)]
#[command(after_help = "Begin with: tt-memtrace run -- python model.py")]
pub struct Args {
    /// How reports look.
    #[command(flatten)]
    pub look: Look,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do.
#[derive(Subcommand)]
pub enum Verb {
    /// What does this command do with device memory? Runs it and records every event
    #[command(after_help = "Example: tt-memtrace run -- python train.py")]
    Run(Run),
    /// Where is how much memory held, and when was it most? One screen
    #[command(after_help = "Example: tt-memtrace summary tt-memtrace-train.20260102-030405/")]
    Summary(Summary),
    /// How many allocations of which sizes were there, and which were the largest?
    #[command(after_help = "Example: tt-memtrace stats -n 10 run.jsonl")]
    Stats(Stats),
    /// What was not freed by the program, since when, and what ended it?
    #[command(after_help = "Example: tt-memtrace leaks tt-memtrace-train.20260102-030405/")]
    Leaks(Leaks),
    /// What was live at a given instant?
    #[command(after_help = "Example: tt-memtrace snapshot --at peak run.jsonl\n\n\
        INSTANT is the name of a mark, the number of an event, seconds since the capture began (2.5 or 10s),\n\
        or `peak`: the moment at which some chip held most. A mark named like a number is mark:NAME.")]
    Snapshot(Snapshot),
    /// Which call stacks hold how much memory at a given instant?
    #[command(after_help = "Example: tt-memtrace tree --at peak run.jsonl\n\n\
        INSTANT is that of `snapshot`. Without one: the moment at which some chip held most.")]
    Tree(Tree),
    /// Who is where in L1, and how much room is left between circular buffers and buffers?
    #[command(after_help = "Example: tt-memtrace l1 --at peak run.jsonl\n\n\
        INSTANT is that of `snapshot`. Without one: the moment at which the room was least.")]
    L1(L1),
    /// Did it stay within its budget, and free what it took? Gates for CI: exit code 0, 1, or 125 if it cannot tell
    #[command(
        after_help = "Example: tt-memtrace check --no-leaks --peak-below dram=2GiB tt-memtrace-train.20260102-030405/"
    )]
    Check(Check),
    /// Why was there no room for it, who holds the memory, and what would make it fit?
    #[command(after_help = "Example: tt-memtrace oom tt-memtrace-train.20260102-030405/\n\n\
        Explains refused allocations, and programs whose circular or dataflow buffers clash with L1 buffers,\n\
        whether the program swallowed the exception or not.")]
    Oom(Oom),
    /// What is held right now, by whom? A terminal view of the tracking server, or of a program that is being recorded
    #[command(after_help = "Example: tt-memtrace live tt-memtrace-train.20260102-030405/\n\n\
        Without a capture: what the tracking server of this user knows, see `tt-memtrace serve`. q quits, ? helps.")]
    Live(Live),
    /// Which events were recorded? Prints them as JSON lines
    #[command(after_help = "Example: tt-memtrace parse --kind alloc,dealloc run.jsonl | head")]
    Parse(Parse),
    /// What did a killed process record last? Completes its capture from what it left in memory
    #[command(after_help = "Example: tt-memtrace recover tt-memtrace-train.20260102-030405/\n\n\
        Every other command does this by itself when it opens such a capture.")]
    Recover(Recover),
    /// What do all processes on this machine hold right now? Starts the tracking server, which they report to
    #[command(after_help = "Example: tt-memtrace serve\n\n\
        Processes report to it under `tt-memtrace run --server`, or with TT_MEMTRACE_SERVER=1;\n\
        `tt-memtrace live` and `tt-memtrace ctl` show what it knows.")]
    Serve(Serve),
    /// What does the tracking server know? Asks it, or tells it what to do
    #[command(after_help = "Example: tt-memtrace ctl stats", arg_required_else_help = true)]
    Ctl(Ctl),
    /// Why is nothing recorded here? Checks the library, the environment and the runtime
    #[command(after_help = "Example: tt-memtrace doctor -- python train.py")]
    Doctor(Doctor),
    /// What do the reports look like? Shows them on a sample capture
    #[command(after_help = "Example: tt-memtrace demo")]
    Demo(Demo),
}

impl Verb {
    /// Whether standard output is text for people. What `run` and `parse` say goes to standard error.
    pub fn is_text(&self) -> bool {
        !matches!(self, Self::Run(_) | Self::Parse(_))
    }
}

/// The call stacks that `run` records.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Stacks {
    /// None, and neither operations nor tests.
    None,
    /// Python's, with the operation and the test, in CPython 3.10 and 3.12.
    Python,
}

/// Options of `run`.
#[derive(clap::Args)]
pub struct Run {
    /// Where to record: a directory, a NAME.jsonl, or a name with %p (pid), %h (host), %t (time), %e
    /// (executable), %r (rank) for one file per process [default: tt-memtrace-PROGRAM.TIME/]
    #[arg(short, long, value_name = "PATH")]
    pub output: Option<PathBuf>,
    /// Replace the captures of an earlier run
    #[arg(short, long)]
    pub force: bool,
    /// Also tell the tracking server: that of this user, or the one at this socket
    #[arg(long, value_name = "PATH", num_args = 0..=1, require_equals = true, default_missing_value = "1")]
    pub server: Option<PathBuf>,
    /// No summary at the end
    #[arg(short, long)]
    pub quiet: bool,
    /// Which call stacks are recorded with each event [default: TT_MEMTRACE_STACKS, else python]
    #[arg(long, value_enum, value_name = "WHICH")]
    pub stacks: Option<Stacks>,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}

/// What every report is given.
#[derive(clap::Args)]
pub struct Captures {
    /// Captures, or run directories
    #[arg(required = true, value_name = "CAPTURE")]
    pub captures: Vec<PathBuf>,
    /// One JSON object instead of text
    #[arg(long)]
    pub json: bool,
    /// Also say what was passed over
    #[arg(short, long)]
    pub verbose: bool,
    /// Exit code 4 if events were lost, or something does not add up
    #[arg(long)]
    pub strict: bool,
    /// Which holder a buffer belongs to, and whose survivors are leaks: a file like the shipped
    /// rules.toml (in crates/ledger/src, or in the Python package) [default: that one]
    #[arg(long, value_name = "FILE")]
    pub rules: Option<PathBuf>,
}

/// How `summary` groups its rows.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// Chips first.
    Chip,
    /// Memory types first.
    Type,
    /// Operations, with what each allocated, held when most was held, and left.
    Op,
    /// Lines of Python, likewise.
    Line,
    /// One table over all processes.
    Process,
}

/// Options of `summary`.
#[derive(clap::Args)]
pub struct Summary {
    /// What the rows are grouped by
    #[arg(long, value_enum, default_value = "chip")]
    pub by: By,
    /// What is shown.
    #[command(flatten)]
    pub filters: Filters,
    /// The captures.
    #[command(flatten)]
    pub captures: Captures,
}

/// Options of `stats`.
#[derive(clap::Args)]
pub struct Stats {
    /// How many of the largest allocations to list
    #[arg(short, long, value_name = "N", default_value_t = 5)]
    pub num_largest: usize,
    /// Only buffers with these numbers of the runtime (unique_id, from ttnn 0.80)
    #[arg(long, value_name = "A-B", help_heading = "Filters")]
    pub id_range: Option<IdRange>,
    /// What is shown.
    #[command(flatten)]
    pub filters: Filters,
    /// The captures.
    #[command(flatten)]
    pub captures: Captures,
}

/// Options of `leaks`.
#[derive(clap::Args)]
pub struct Leaks {
    /// Only buffers with these numbers of the runtime (unique_id, from ttnn 0.80)
    #[arg(long, value_name = "A-B", help_heading = "Filters")]
    pub id_range: Option<IdRange>,
    /// What is shown.
    #[command(flatten)]
    pub filters: Filters,
    /// The captures.
    #[command(flatten)]
    pub captures: Captures,
}

/// Options of `snapshot`.
#[derive(clap::Args)]
pub struct Snapshot {
    /// The instant [default: the last event]
    #[arg(long, value_name = "INSTANT", conflicts_with = "at_marks")]
    pub at: Option<String>,
    /// At every mark; with --json a line for each
    #[arg(long)]
    pub at_marks: bool,
    /// How many of the largest buffers to list, 0 for all
    #[arg(short, long, value_name = "N", default_value_t = 20)]
    pub num_largest: usize,
    /// What is shown.
    #[command(flatten)]
    pub filters: Filters,
    /// The captures.
    #[command(flatten)]
    pub captures: Captures,
}

/// Options of `tree`.
#[derive(clap::Args)]
pub struct Tree {
    /// The instant [default: peak]
    #[arg(long, value_name = "INSTANT")]
    pub at: Option<String>,
    /// A line per stack with its bytes, for flame graphs and speedscope
    #[arg(long)]
    pub folded: bool,
    /// Also what holds less than half a percent
    #[arg(long)]
    pub all: bool,
    /// What is shown.
    #[command(flatten)]
    pub filters: Filters,
    /// The captures.
    #[command(flatten)]
    pub captures: Captures,
}

/// Options of `l1`.
#[derive(clap::Args)]
pub struct L1 {
    /// The instant [default: when the room was least]
    #[arg(long, value_name = "INSTANT")]
    pub at: Option<String>,
    /// When a program was refused last because its buffers clash with L1 buffers, and why
    #[arg(long, conflicts_with = "at")]
    pub clash: bool,
    /// How many groups of cores, programs and buffers to list, 0 for all
    #[arg(short, long, value_name = "N", default_value_t = 10)]
    pub num_largest: usize,
    /// What is shown.
    #[command(flatten)]
    pub filters: Filters,
    /// The captures.
    #[command(flatten)]
    pub captures: Captures,
}

/// Options of `check`.
#[derive(clap::Args)]
pub struct Check {
    /// Nothing may be left that the program should have freed
    #[arg(long, help_heading = "Gates")]
    pub no_leaks: bool,
    /// The most that any chip may hold at once, in logical bytes: dram, l1, l1_small, trace,
    /// system_memory, or total. May be repeated
    #[arg(long, value_name = "TYPE=SIZE", value_delimiter = ',', help_heading = "Gates")]
    pub peak_below: Vec<PeakBelow>,
    /// The least room that must stay between circular buffers and L1 buffers on every core
    #[arg(long, value_name = "SIZE", help_heading = "Gates")]
    pub headroom_above: Option<Size>,
    /// Gates from a file: `leaks = "0"`, `headroom = "64KiB"`, `[peak]` with `dram = "2GiB"`
    #[arg(long, value_name = "FILE", help_heading = "Gates")]
    pub budget: Option<PathBuf>,
    /// No figure may be worse than in this file, which --write-baseline wrote
    #[arg(long, value_name = "FILE", help_heading = "Gates")]
    pub baseline: Option<PathBuf>,
    /// By how much a figure may be worse than the baseline's: 2%, 64KiB. Of several, the largest
    #[arg(long, value_name = "SLACK", value_delimiter = ',', requires = "baseline", help_heading = "Gates")]
    pub tolerance: Vec<Tolerance>,
    /// Write the figures of these captures as a baseline for later runs
    #[arg(long, value_name = "FILE")]
    pub write_baseline: Option<PathBuf>,
    /// Replace an existing baseline
    #[arg(short, long)]
    pub force: bool,
    /// Also write the result as JUnit XML
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// What is shown.
    #[command(flatten)]
    pub filters: Filters,
    /// The captures.
    #[command(flatten)]
    pub captures: Captures,
}

/// Options of `oom`.
#[derive(clap::Args)]
pub struct Oom {
    /// Which of the refusals, counted from 1 [default: the last]
    #[arg(long, value_name = "N", value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..))]
    pub failure: Option<usize>,
    /// How many rows of each table, 0 for all
    #[arg(short, long, value_name = "N", default_value_t = 10)]
    pub num_largest: usize,
    /// What is shown.
    #[command(flatten)]
    pub filters: Filters,
    /// The captures.
    #[command(flatten)]
    pub captures: Captures,
}

/// Options of `live`.
#[derive(clap::Args)]
pub struct Live {
    /// A capture that is being written, or a run directory [default: the tracking server]
    #[arg(value_name = "CAPTURE", conflicts_with = "socket")]
    pub capture: Option<PathBuf>,
    /// The socket of the tracking server [default: that of this user]
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// One picture as plain text, then end
    #[arg(long)]
    pub once: bool,
    /// One JSON object; with --interval one in each interval, a line each
    #[arg(long)]
    pub json: bool,
    /// Milliseconds between two pictures [default on a terminal: 100]
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(10..=3_600_000))]
    pub interval: Option<u64>,
    /// How many of the largest buffers, and of the newest things that do not add up, to know
    #[arg(short, long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub num_largest: u16,
}

impl Live {
    /// [`Self::num_largest`].
    pub fn top(&self) -> usize {
        self.num_largest.into()
    }
}

/// Options of `parse`.
#[derive(clap::Args)]
pub struct Parse {
    /// Only lines of these kinds
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    pub kind: Vec<String>,
    /// What is shown.
    #[command(flatten)]
    pub filters: Filters,
    /// The captures.
    #[command(flatten)]
    pub captures: Captures,
}

/// Options of `recover`.
#[derive(clap::Args)]
pub struct Recover {
    /// The captures; a spool stands for the capture that it belongs to.
    #[command(flatten)]
    pub captures: Captures,
}

/// Options of `serve`.
#[derive(clap::Args)]
pub struct Serve {
    /// Where to listen [default: /run/user/UID/tt-memtrace.sock, or /tmp/tt-memtrace-UID/tt-memtrace.sock]
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// Let the members of this group in, at /run/tt-memtrace/tt-memtrace.sock
    #[arg(long, value_name = "NAME")]
    pub group: Option<String>,
    /// Give Prometheus the figures at http://ADDR:PORT/metrics, and programs the state at /state.json
    #[arg(long, value_name = "ADDR:PORT", value_parser = address, help_heading = "Metrics")]
    pub metrics: Option<SocketAddr>,
    /// Also give the figures of each process, labelled with its pid
    #[arg(long, requires = "metrics", help_heading = "Metrics")]
    pub metrics_pids: bool,
    /// ADDR may be one that other hosts reach; whoever does can read the figures
    #[arg(long, requires = "metrics", help_heading = "Metrics")]
    pub metrics_public: bool,
    /// Also serve runtimes, monitors and scripts that know only the earlier allocation server
    #[arg(long, value_name = "PATH", num_args = 0..=1, default_missing_value = LEGACY)]
    pub legacy: Option<PathBuf>,
    /// Print what the earlier allocation server printed, for programs that read its log
    #[arg(long)]
    pub classic: bool,
    /// Print nothing
    #[arg(short, long)]
    pub quiet: bool,
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "expected an address in digits and a port, as 127.0.0.1:9464 or [::1]:9464".into())
}

/// Options of `ctl`.
#[derive(clap::Args)]
pub struct Ctl {
    /// Where the server listens [default: where `serve` does]
    #[arg(long, value_name = "PATH", global = true)]
    pub socket: Option<PathBuf>,
    /// One JSON object instead of text
    #[arg(long, global = true)]
    pub json: bool,
    /// Follow a capture that is being written, or a directory in which it will be, and answer each mark in it with a line
    /// of JSON: what is live, the peaks since the mark before, and what a span left. No server is asked
    #[arg(long, value_name = "CAPTURE", conflicts_with = "socket")]
    pub follow: Option<PathBuf>,
    /// With --follow: the process whose capture it is
    #[arg(long, requires = "follow")]
    pub pid: Option<u32>,
    /// With --follow: how many of the largest buffers that were left are listed
    #[arg(short, long, value_name = "N", default_value_t = 5, requires = "follow")]
    pub num_largest: usize,
    /// With --follow: look at once when anything comes in at standard input, else seldom
    #[arg(long, requires = "follow")]
    pub on_input: bool,
    /// What it is asked.
    #[command(subcommand)]
    pub request: Option<CtlRequest>,
}

/// What a server is asked.
#[derive(Subcommand)]
pub enum CtlRequest {
    /// Every live buffer
    Dump {
        /// Only on this chip
        #[arg(long, value_name = "CHIP")]
        device: Option<u32>,
    },
    /// Processes and chips: what is held, and how much it was at most
    Stats,
    /// The kernel binaries that are loaded
    Kernels,
    /// Put a mark with this name into the server's log
    Mark {
        /// The name
        name: String,
    },
    /// Compare all later figures with those of now
    Baseline {
        /// Compare no longer
        #[arg(long)]
        clear: bool,
    },
    /// All that is known now, as JSON
    State {
        /// How many of the largest buffers
        #[arg(long, value_name = "N", default_value_t = 20)]
        top: usize,
    },
    /// End the server
    Shutdown,
}

/// Options of `doctor`.
#[derive(clap::Args)]
pub struct Doctor {
    /// Complete the captures of killed processes, and remove spools that hold nothing any more
    #[arg(long)]
    pub clean: bool,
    /// One JSON object instead of text
    #[arg(long)]
    pub json: bool,
    /// The command that is to be recorded
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}

/// Options of `demo`.
#[derive(clap::Args)]
pub struct Demo {
    /// The summary of the sample as one JSON object
    #[arg(long)]
    pub json: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn every_verb_begins_with_a_question_and_ends_with_an_example() {
        Args::command().debug_assert();
        for verb in Args::command().get_subcommands() {
            let about = verb.get_about().unwrap().to_string();
            let example = verb.get_after_help().unwrap().to_string();
            assert!(about.contains('?'), "{about}");
            assert!(example.contains(&format!("Example: tt-memtrace {}", verb.get_name())), "{example}");
        }
    }

    #[test]
    fn every_verb_has_a_page_that_begins_with_its_question() {
        let pages = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/verbs");
        for verb in Args::command().get_subcommands() {
            let page = std::fs::read_to_string(pages.join(format!("{}.md", verb.get_name()))).unwrap();
            let about = verb.get_about().unwrap().to_string();
            let question = about.split_inclusive('?').next().unwrap();
            assert!(
                page.starts_with(&format!("# tt-memtrace {}\n\n**{question}", verb.get_name())),
                "{page}"
            );
        }
    }
}
