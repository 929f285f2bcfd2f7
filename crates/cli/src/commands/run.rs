//! `run`: starts a command under the recorder. The command comes first: its streams, its exit status and its
//! signals are its own, and a problem of the recorder never changes them.

use crate::args::{Run, Stacks};
use crate::capture::Capture;
use crate::exit::{self, Usage, say};
use crate::explain::{self, Explanation, text::Extent};
use crate::failures::{self, Wanted};
use crate::filters::Selection;
use crate::output::{Output, Unusable};
use crate::{preload, render, replay, variables};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use tt_memtrace_wire::names;

/// A summary at the end must not keep the shell waiting.
const MAX_SUMMARY_BYTES: u64 = 256 << 20;

/// Runs the command and gives its exit status.
pub fn run(args: &Run) -> anyhow::Result<u8> {
    for (name, meant) in variables::unknown(variables::in_environment()) {
        say(format_args!("warning: unknown variable {name}, did you mean {meant}?"));
    }
    let library = preload::find().map_err(Usage)?;
    let output = plan(args)?;
    let recording = match output.prepare(args.force) {
        Ok(made) => preload::loadable(&library).map(|path| (path, made)).map_err(|error| exit::plain(&error)),
        Err(Unusable::Refused(usage)) => return Err(usage.into()),
        Err(Unusable::Unwritable(why)) => Err(why),
    };
    let mut command = Command::new(&args.command[0]);
    command.args(&args.command[1..]);
    match &recording {
        Ok((library, _)) => {
            command.env("LD_PRELOAD", preload::variable(library));
            command.env(names::SWITCH, "1").env(names::OUTPUT, output.variable());
            command.env(names::LIBRARY, library);
            if let Some(stacks) = stacks(args.stacks) {
                command.env(names::STACKS, stacks);
            }
            if let Some(server) = &args.server {
                command.env(names::SERVER, server);
            }
        }
        Err(why) => say(format_args!("{why}; the command runs unrecorded")),
    }
    let code = match start(&mut command, &args.command) {
        Ok(child) => {
            let code = status_code(wait(child)?);
            if recording.is_ok() {
                conclude(&output, args, code);
            }
            code
        }
        Err(error) => not_started(&args.command[0], &error),
    };
    if let Ok((_, made)) = recording {
        made.remove_if_empty();
    }
    Ok(code)
}

/// What the variable is set to; a value that is there already stays, unless the option says otherwise.
fn stacks(option: Option<Stacks>) -> Option<&'static str> {
    match option {
        Some(Stacks::None) => Some("none"),
        Some(Stacks::Python) => Some("python"),
        None => std::env::var_os(names::STACKS).is_none_or(|value| value.is_empty()).then_some("python"),
    }
}

fn plan(args: &Run) -> anyhow::Result<Output> {
    let folder = std::env::current_dir()?;
    Ok(match &args.output {
        Some(argument) => Output::parse(argument, &folder)?,
        None => Output::default_for(&args.command, &folder),
    })
}

fn start(command: &mut Command, words: &[OsString]) -> io::Result<(Child, Signals)> {
    let signals = Signals::new(unignored(&[SIGINT, SIGQUIT, SIGTERM, SIGHUP]))?;
    let child = match command.spawn() {
        // A script without an interpreter line: shells and execvp run it with sh.
        Err(error) if error.raw_os_error() == Some(nix::libc::ENOEXEC) => {
            let script = in_path(&words[0]).ok_or(error)?;
            let mut shell = Command::new("/bin/sh");
            shell.arg(script).args(&words[1..]);
            for (name, value) in command.get_envs() {
                value.map(|value| shell.env(name, value));
            }
            shell.spawn()?
        }
        other => other?,
    };
    Ok((child, signals))
}

fn in_path(program: &OsStr) -> Option<PathBuf> {
    if program.as_encoded_bytes().contains(&b'/') {
        return Some(program.into());
    }
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// A signal that is ignored (`nohup`) stays ignored here and in the command.
fn unignored(signals: &[i32]) -> Vec<i32> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    signals.iter().copied().filter(|signal| ignored >> (signal - 1) & 1 == 0).collect()
}

/// The terminal sends its signals to the command as well. SIGTERM and SIGHUP are passed on: where the whole process
/// group gets them, the command gets them twice, which is better than never.
fn wait((mut child, mut signals): (Child, Signals)) -> io::Result<ExitStatus> {
    let pid = i32::try_from(child.id()).map(Pid::from_raw).map_err(io::Error::other)?;
    let handle = signals.handle();
    let forwarder = std::thread::spawn(move || {
        for signal in signals.forever().filter(|signal| [SIGTERM, SIGHUP].contains(signal)) {
            // The command may have ended just now; then there is nobody to tell.
            let _ = Signal::try_from(signal).and_then(|signal| kill(pid, signal));
        }
    });
    let status = child.wait();
    handle.close();
    let _ = forwarder.join();
    status
}

fn status_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| i32::from(exit::SIGNAL) + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(exit::FOUND)
}

fn not_started(program: &OsStr, error: &io::Error) -> u8 {
    let program = Path::new(program).display();
    if error.kind() == io::ErrorKind::NotFound {
        say(format_args!("{program}: command not found"));
        return exit::NOT_FOUND;
    }
    say(format_args!("{program}: {}", exit::plain(error)));
    exit::NOT_EXECUTABLE
}

/// Says on stderr what was recorded and which command shows more.
fn conclude(output: &Output, args: &Run, code: u8) {
    let captures = output.captures();
    for path in &captures {
        // Opening completes what a killed process left; what cannot be read is said by the summary.
        drop(Capture::open(path));
    }
    if args.quiet {
        return;
    }
    if captures.is_empty() {
        let words = args.command.iter().map(|word| render::shell_word(word)).collect::<Vec<_>>();
        let doctor = format!("tt-memtrace doctor -- {}", words.join(" "));
        return say(format_args!("no device-memory event was recorded; why: {doctor}"));
    }
    let n_bytes: u64 = captures.iter().filter_map(|path| Some(path.metadata().ok()?.len())).sum();
    let (lines, mut verb) = if n_bytes > MAX_SUMMARY_BYTES {
        (vec![format!("recorded {}", render::bytes(n_bytes))], "summary")
    } else {
        summary(&captures)
    };
    lines.iter().for_each(say);
    if code != 0 && n_bytes <= MAX_SUMMARY_BYTES && say_why(&captures) {
        verb = "oom";
    }
    say(format_args!("next: tt-memtrace {verb} {}", next_argument(output, &captures)));
}

/// The command failed. If the last thing that happened in a process was a refusal, that is most likely why, and it is
/// explained; of other refusals it is only said that there were some. True if there were any.
fn say_why(captures: &[PathBuf]) -> bool {
    let (mut is_explained, mut has_any) = (false, false);
    for path in captures {
        let Ok((n_failures, is_last_word)) = failures::last_word(path) else { continue };
        if n_failures == 0 {
            continue;
        }
        has_any = true;
        if is_last_word && !is_explained {
            is_explained = explain_last(path).is_ok();
        } else {
            let refusals = render::count(n_failures as u64, "refusal");
            let asked = last_asked(path);
            let who = asked.who.map_or(String::new(), |who| format!("; the last asked for by {who}"));
            say(format_args!("{}: {refusals} of memory, the program went on{who}", render::path(path)));
            asked.earlier_tests.iter().for_each(say);
        }
    }
    has_any
}

/// What is known of the last refusal.
#[derive(Default)]
struct Asked {
    /// The operation, the line and the test.
    who: Option<String>,
    /// Whether it would have fitted without what earlier tests left.
    earlier_tests: Option<String>,
}

fn last_asked(path: &Path) -> Asked {
    let refused = failures::replay_to(path, &Selection::default(), Wanted::Any, None).ok();
    let explanation = refused.as_ref().and_then(Explanation::of);
    explanation.map_or_else(Asked::default, |of| Asked {
        who: of.origin.words(),
        earlier_tests: of.earlier.map(|earlier| earlier.words().0),
    })
}

/// What is said here and the line that follows are at most 30 lines.
fn explain_last(path: &Path) -> anyhow::Result<()> {
    let refused = failures::replay_to(path, &Selection::default(), Wanted::Any, None)?;
    let mut text = Vec::new();
    explain::text::print(&refused, Extent { n_rows: 5, is_brief: true }, &mut text)?;
    let text = String::from_utf8_lossy(&text);
    text.lines().filter(|line| !line.is_empty()).take(29).for_each(say);
    Ok(())
}

/// A run directory by its name, captures in a common folder one by one.
fn next_argument(output: &Output, captures: &[PathBuf]) -> String {
    let word = |path: &Path| render::shell_word(OsStr::new(&render::path(path)));
    match output {
        Output::Directory(path) => word(path),
        Output::File(_) | Output::Pattern(_) => {
            captures.iter().map(|path| word(path)).collect::<Vec<_>>().join(" ")
        }
    }
}

/// At most ten lines, what each process held and what was left; and the verb that shows more of it.
fn summary(captures: &[PathBuf]) -> (Vec<String>, &'static str) {
    let mut lines = Vec::new();
    let mut verb = "summary";
    for path in captures {
        match replay::whole(path) {
            Ok(replay) => {
                lines.extend(render::brief(&replay));
                if !replay.ledger.survivors().is_empty() {
                    verb = "leaks";
                }
            }
            Err(error) => lines.push(format!("{error:#}")),
        }
    }
    if lines.len() > 10 {
        let n_more = lines.len() - 9;
        lines.truncate(9);
        lines.push(format!("... and {n_more} lines more: tt-memtrace summary"));
    }
    (lines, verb)
}
