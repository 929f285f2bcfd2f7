//! The one thread of ours: takes what waits, numbers it, writes it. And how a recording begins.

use crate::config::{self, Config};
use crate::output::{self, Output};
use crate::pipeline::{Item, Pipeline};
use crate::process::Process;
use crate::report::{self, Level};
use crate::sink::Sink;
use crate::state::{self, State};
use crate::{clock, guard, interpose, lifecycle};
use std::time::Duration;
use tt_memtrace_wire::{Ending, Event, Footer, Header, Line, Lost, Stamp, version};

/// The worker sleeps between these while nothing comes, longer each time.
const SHORTEST_SLEEP: Duration = Duration::from_micros(500);
const LONGEST_SLEEP: Duration = Duration::from_millis(20);
/// Lines are handed to the kernel in about this size.
const CHUNK: usize = 256 * 1024;

/// Opens the capture and writes its header, on the thread of the first event: a capture exists before that
/// event's call returns. Gives the recording and what starts its worker, or the line that says why not.
pub fn open() -> Result<(Pipeline, impl FnOnce(&'static Pipeline) -> bool), String> {
    if let Some(complaint) = config::switch_complaint(std::env::var_os(&*config::SWITCH.to_string_lossy())) {
        return Err(complaint);
    }
    let (config, complaints) = Config::from_env(std::env::vars_os());
    report::set_level(config.log);
    for complaint in complaints {
        report::say(Level::Warn, complaint);
    }
    let process = Process::this();
    let cannot = |path: &std::path::Path, error: &std::io::Error| {
        format!("cannot write {}: {error}; nothing is recorded", path.display())
    };
    let Output { file, path, renamed } =
        output::create(config.output.as_deref(), &process).map_err(|(path, error)| cannot(&path, &error))?;
    if renamed {
        report::say(Level::Warn, format_args!("the usual name is taken; recording to {}", path.display()));
    } else {
        report::say(Level::Info, format_args!("recording to {}", path.display()));
    }
    let mut sink = Sink::new(file, path.clone()).map_err(|error| cannot(&path, &error))?;
    let mut line = Vec::new();
    Line::Header(header(process)).write_to(&mut line);
    // On a thread of the host, whose signals are not blocked as the worker's are.
    let written = lifecycle::without_signals_of_writing(|| sink.write(&line));
    written.map_err(|error| cannot(&path, &error))?;
    Ok((Pipeline::new(path), |pipeline| spawn(pipeline, sink)))
}

fn header(process: Process) -> Header {
    Header {
        version: version::CURRENT,
        tool: env!("CARGO_PKG_VERSION").to_owned(),
        pid: process.pid,
        process_start: process.start,
        host: process.host,
        boot_id: process.boot_id,
        rank: process.rank,
        program: process.program,
        command: process.command,
        t_ns: process.t_ns,
        wall_ns: process.wall_ns,
        runtime: interpose::runtime(),
        stacks: "none".to_owned(),
        spool: None,
        parent: lifecycle::parent(),
    }
}

/// Starts the thread with all signals blocked: the host's handlers run on the host's threads.
fn spawn(pipeline: &'static Pipeline, sink: Sink) -> bool {
    let spawned = lifecycle::with_signals_blocked(|| {
        std::thread::Builder::new().name("tt-memtrace".to_owned()).spawn(move || run(pipeline, sink))
    });
    match spawned {
        Ok(handle) => {
            pipeline.set_worker(handle.thread().clone());
            true
        }
        Err(error) => {
            report::say(Level::Error, format_args!("cannot start a thread: {error}; nothing is recorded"));
            false
        }
    }
}

fn run(pipeline: &Pipeline, sink: Sink) {
    guard::stay_inside();
    let mut writer = Writer { sink, lines: Vec::with_capacity(CHUNK), n: 0, dropped: 0 };
    let mut sleep = SHORTEST_SLEEP;
    loop {
        // Asked first: what is taken afterwards is then all there will be.
        let ending = pipeline.ending();
        let taken = pipeline.take();
        let is_idle = taken.items.is_empty();
        let written = writer.write(taken.items, taken.dropped);
        if let Err(error) = written {
            let path = writer.sink.path().display();
            report::say(Level::Error, format_args!("cannot write {path}: {error}; recording stops here"));
            state::set(State::Stopped);
            return pipeline.set_finished();
        }
        pipeline.set_written(taken.accepted);
        if let Some(ending) = ending {
            // A failure here loses the footer alone; the capture then reads as one of a killed process.
            let _ = writer.footer(ending);
            return pipeline.set_finished();
        }
        if is_idle {
            std::thread::park_timeout(sleep);
            sleep = (sleep * 2).min(LONGEST_SLEEP);
        } else {
            sleep = SHORTEST_SLEEP;
        }
    }
}

struct Writer {
    sink: Sink,
    lines: Vec<u8>,
    /// The number of the last event.
    n: u64,
    /// Refused events that the capture already tells of.
    dropped: u64,
}

impl Writer {
    fn write(&mut self, batches: Vec<Vec<Item>>, dropped: u64) -> std::io::Result<()> {
        for item in batches.into_iter().flatten() {
            match item {
                Item::Event { t_ns, tid, event } => self.event(t_ns, tid, event),
                Item::Definition(line) => line.write_to(&mut self.lines),
            }
            if self.lines.len() >= CHUNK {
                self.hand_over()?;
            }
        }
        if dropped > self.dropped {
            let lost = Lost { dropped: dropped - self.dropped };
            self.dropped = dropped;
            self.event(clock::monotonic_ns(), clock::thread_id(), Event::Lost(lost));
        }
        self.hand_over()
    }

    fn event(&mut self, t_ns: u64, tid: u32, event: Event) {
        self.n += 1;
        Line::Event(Stamp { n: self.n, t_ns, tid, ctx: 0 }, event).write_to(&mut self.lines);
    }

    fn footer(&mut self, ended: Ending) -> std::io::Result<()> {
        let footer = Footer { t_ns: clock::monotonic_ns(), recorded: self.n, dropped: self.dropped, ended };
        Line::Footer(footer).write_to(&mut self.lines);
        self.hand_over()
    }

    fn hand_over(&mut self) -> std::io::Result<()> {
        if !self.lines.is_empty() {
            self.sink.write(&self.lines)?;
            self.lines.clear();
        }
        Ok(())
    }
}
