//! How a recording begins: the settings, the capture, the spool, and the header, which names the spool.

use crate::config::{self, Config};
use crate::output::{self, Output};
use crate::pipeline::Pipeline;
use crate::process::{self, Process};
use crate::report::{self, Level};
use crate::server::Server;
use crate::sink::{Sink, Spill};
use crate::spool::Spool;
use crate::{attribution, interpose, lifecycle, worker};
use std::io;
use std::path::{Path, PathBuf};
use tt_memtrace_wire::spool::{DURABLE, ORIGIN_BYTES, Origin};
use tt_memtrace_wire::{Header, Line, names, version};

/// What is tried when there is no room for the spool that was asked for.
const SMALL_SPOOL: u64 = 1 << 20;
const SMALLEST_SPOOL: u64 = 128 << 10;

/// Opens the capture and the spool and writes the header, on the thread of the first event: a capture that
/// names its spool exists before that event's call returns. Gives the recording and what starts its worker, or
/// the line that says why not.
pub fn open() -> Result<(Pipeline, impl FnOnce(&'static Pipeline) -> bool), String> {
    if let Some(complaint) = config::switch_complaint(std::env::var_os(names::SWITCH)) {
        return Err(complaint);
    }
    let (config, complaints) = Config::from_env(std::env::vars_os());
    report::set_level(config.log);
    for complaint in complaints {
        report::say(Level::Warn, format_args!("{complaint}"));
    }
    let process = Process::this();
    let cannot = |path: &Path, error: &io::Error| {
        format!("cannot write {}: {error}; nothing is recorded", path.display())
    };
    let wants_file = config.output.is_some() || config.server.is_none();
    let output = wants_file.then(|| output::create(config.output.as_deref(), &process)).transpose();
    let output = output.map_err(|(path, error)| cannot(&path, &error))?;
    match &output {
        Some(Output { path, renamed: true, .. }) => {
            report::say(
                Level::Warn,
                format_args!("the usual name is taken; recording to {}", path.display()),
            );
        }
        Some(Output { path, .. }) => {
            report::say(Level::Info, format_args!("recording to {}", path.display()))
        }
        None => {}
    }
    // Empty where only the tracking server is told.
    let (file, path) = output.map_or((None, PathBuf::new()), |output| (Some(output.file), output.path));
    let forget = |spool: Option<&Spool>| {
        // It has no header, so nobody could read it.
        let _ = std::fs::remove_file(&path);
        spool.inspect(|spool| spool.remove());
    };
    let spool = create_spool(&process, &path, config.spool_bytes).map_err(|error| {
        forget(None);
        format!("cannot reserve a spool in /dev/shm or beside the capture: {error}; nothing is recorded")
    })?;
    let stacks = if config.python_stacks && attribution::begin() { "python" } else { "none" };
    let mut line = Vec::new();
    Line::Header(Box::new(header(process, stacks, &spool))).write_to(&mut line);
    let sink = begin(file, &path, &line, &spool).map_err(|error| {
        forget(Some(&spool));
        cannot(&path, &error)
    })?;
    let spill_bytes = if path.as_os_str().is_empty() { 0 } else { config.spill_bytes };
    let spill = Spill::new(&path, spill_bytes);
    let server = config.server.map(|wanted| Server::new(&wanted, line));
    Ok((Pipeline::new(spool, path), |pipeline| worker::spawn(pipeline, sink, spill, server)))
}

/// Writes the header, on a thread of the host, whose signals are not blocked as the worker's are.
fn begin(file: Option<std::fs::File>, path: &Path, line: &[u8], spool: &Spool) -> io::Result<Sink> {
    let mut sink = file.map_or_else(|| Ok(Sink::nowhere()), |file| Sink::new(file, path.to_owned()))?;
    // Before the file has it: whoever completes the capture of a process that is killed here keeps its header.
    spool.store(DURABLE, line.len() as u64);
    lifecycle::without_signals_of_writing(|| sink.write(line))?;
    Ok(sink)
}

/// In memory if possible: a disk under load would make the host's threads wait for it. Else beside the capture.
/// Where there is no room, or a limit on the size of files, a smaller one serves as well, but fills up sooner.
fn create_spool(process: &Process, capture: &Path, bytes: u64) -> io::Result<Spool> {
    let in_memory = PathBuf::from(format!("/dev/shm/tt-memtrace-{}-{}.spool", process.pid, process.t_ns));
    let mut beside = capture.as_os_str().to_owned();
    beside.push(".spool");
    let beside = Some(PathBuf::from(beside)).filter(|_| !capture.as_os_str().is_empty());
    let (origin, mut failure) = (origin(process, capture), None);
    for bytes in [bytes, bytes.min(SMALL_SPOOL), bytes.min(SMALLEST_SPOOL)] {
        for place in [Some(&in_memory), beside.as_ref()].into_iter().flatten() {
            match Spool::create(place.clone(), usize::try_from(bytes).unwrap_or(usize::MAX), &origin) {
                Ok(spool) => return Ok(spool),
                // The first one tells most: it is about what was asked for.
                Err(error) => failure = failure.or(Some(error)),
            }
        }
    }
    Err(failure.unwrap_or_else(|| io::ErrorKind::OutOfMemory.into()))
}

/// For whoever finds the spool without the capture: see [`Origin`].
fn origin(process: &Process, capture: &Path) -> [u8; ORIGIN_BYTES] {
    let inode = process.pid_namespace.trim_matches(|c: char| !c.is_ascii_digit()).parse();
    let capture = capture.as_os_str().as_encoded_bytes();
    let capture = if capture.is_empty() { Origin::NO_CAPTURE } else { capture };
    Origin::encode(process.start, inode.unwrap_or(0), capture)
}

// Out of line, where it has less to clean up: a quarter of a kilobyte.
#[inline(never)]
fn header(process: Process, stacks: &str, spool: &Spool) -> Header {
    Header {
        version: version::CURRENT,
        tool: env!("CARGO_PKG_VERSION").to_owned(),
        pid: process.pid,
        process_start: process.start,
        host: process.host,
        boot_id: process.boot_id,
        pid_namespace: process.pid_namespace,
        rank: process.rank,
        program: process.program,
        command: process.command,
        t_ns: process.t_ns,
        wall_ns: process.wall_ns,
        runtime: interpose::runtime(),
        stacks: stacks.to_owned(),
        spool: Some(process::text(spool.path().as_os_str().as_encoded_bytes())),
        parent: lifecycle::parent(),
    }
}
