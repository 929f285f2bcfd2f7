//! `doctor`: checks one by one what a recording needs. It says only what it could look at itself, and it
//! changes nothing unless it is asked to clean.

use crate::args::Doctor;
use crate::look::{Tone, paint};
use crate::orphans::{self, Orphan};
use crate::server::ask::Asker;
use crate::{exit, json, preload, render, variables};
use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, access};
use serde_json::json;
use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tt_memtrace_wire::names;

/// The spools of a few processes, at their usual size.
const SHM_BYTES: u64 = 64 << 20;
/// The runtimes that were tried: 0.65 to 0.81.
const TTNN_MINORS: std::ops::RangeInclusive<u32> = 65..=81;
/// The releases of CPython whose frames are read, as `src/attribution` does.
const STACKS_OF: [&str; 2] = ["3.10", "3.12"];

/// How a check came out. The worst one is the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Status {
    Fine,
    /// Recording works, or works for some programs only.
    Doubtful,
    /// Nothing can be recorded.
    Broken,
}

struct Check {
    name: &'static str,
    status: Status,
    text: String,
    remedy: String,
}

impl Check {
    fn fine(name: &'static str, text: impl Into<String>) -> Self {
        Self { name, status: Status::Fine, text: text.into(), remedy: String::new() }
    }

    fn doubtful(name: &'static str, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, status: Status::Doubtful, text: text.into(), remedy: remedy.into() }
    }

    fn broken(name: &'static str, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { status: Status::Broken, ..Self::doubtful(name, text, remedy) }
    }
}

/// Makes all checks and reports on each.
pub fn run(args: &Doctor, out: &mut dyn Write) -> anyhow::Result<u8> {
    let mut checks = library();
    checks.extend(variables());
    checks.push(shared_memory());
    checks.extend(orphaned_spools(args.clean));
    checks.push(output());
    checks.extend(server());
    let python = args.command.first().filter(|word| is_python(word)).cloned();
    checks.extend(runtime(&python.unwrap_or_else(|| "python".into())));
    checks.extend(args.command.first().map(|program| command(program)));
    if args.json {
        json::line(out, &to_json(&checks))?;
    } else {
        print(&checks, out)?;
    }
    Ok(match checks.iter().map(|check| check.status).max() {
        Some(Status::Broken) => exit::USAGE,
        Some(Status::Doubtful) => exit::FOUND,
        Some(Status::Fine) | None => exit::OK,
    })
}

fn print(checks: &[Check], out: &mut dyn Write) -> anyhow::Result<()> {
    for Check { name, status, text, remedy } in checks {
        let mark = match status {
            Status::Fine => (Tone::Good, "ok"),
            Status::Doubtful => (Tone::Odd, "WARN"),
            Status::Broken => (Tone::Bad, "FAIL"),
        };
        let mark = paint(mark.0, &format!("{:<5}", mark.1));
        let remedy = if remedy.is_empty() { String::new() } else { format!(": {remedy}") };
        writeln!(out, "{mark} {name:<14} {text}{remedy}")?;
    }
    Ok(())
}

fn to_json(checks: &[Check]) -> serde_json::Value {
    let check = |check: &Check| {
        let status = match check.status {
            Status::Fine => "ok",
            Status::Doubtful => "warn",
            Status::Broken => "fail",
        };
        json!({"name": check.name, "status": status, "text": check.text, "remedy": check.remedy})
    };
    json::versioned("doctor", json!({"checks": checks.iter().map(check).collect::<Vec<_>>()}))
}

/// Found, reachable for the loader, and silent in a program that never touches the runtime.
fn library() -> Vec<Check> {
    let library = match preload::find() {
        Ok(library) => library,
        Err(why) => return vec![Check::broken("library", why, "build or install it")],
    };
    let mut checks = vec![Check::fine("library", library.display().to_string())];
    let path = match preload::loadable(&library) {
        Ok(path) => path,
        Err(error) => {
            let remedy = "install the library under a path without spaces and colons";
            checks.push(Check::broken("path", error.to_string(), remedy));
            return checks;
        }
    };
    if path != library {
        checks
            .push(Check::fine("path", format!("holds a space or colon, reached through {}", path.display())));
    }
    checks.push(loads(&path));
    checks
}

fn loads(library: &Path) -> Check {
    let mut command = Command::new("/bin/true");
    command.env("LD_PRELOAD", library).env(names::SWITCH, "1");
    match output_of(command) {
        Ok(output) if output.status.success() && output.stderr.is_empty() => {
            Check::fine("loads", "silently, into /bin/true")
        }
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.lines().next().unwrap_or("/bin/true failed").to_owned();
            Check::broken("loads", said, "rebuild the library on this host")
        }
        Err(error) => Check::doubtful("loads", format!("/bin/true: {error}"), "not checked"),
    }
}

fn variables() -> Vec<Check> {
    let unknown = variables::unknown(variables::in_environment());
    let check = |(name, meant): (String, &str)| {
        Check::doubtful("variables", format!("nobody reads {name}"), format!("did you mean {meant}?"))
    };
    let mut checks: Vec<_> = unknown.into_iter().map(check).collect();
    if checks.is_empty() {
        checks.push(Check::fine("variables", "none is misspelt"));
    }
    checks
}

fn shared_memory() -> Check {
    let name = "shared memory";
    let stat = match statvfs("/dev/shm") {
        Ok(stat) => stat,
        Err(error) => return Check::doubtful(name, format!("/dev/shm: {error}"), "mount a tmpfs there"),
    };
    let free = stat.blocks_available().saturating_mul(stat.fragment_size());
    let text = format!("{} free in /dev/shm", render::bytes(free));
    if free >= SHM_BYTES {
        return Check::fine(name, text);
    }
    Check::doubtful(name, text, format!("make room, {} is enough", render::bytes(SHM_BYTES)))
}

/// Spools of processes that are gone: each takes memory until its capture is opened, or for ever if that is lost.
fn orphaned_spools(cleans: bool) -> Vec<Check> {
    let name = "spools";
    let orphans = orphans::all();
    if orphans.is_empty() {
        return vec![Check::fine(name, "none is left of a killed process")];
    }
    if cleans {
        let clean = |orphan: &Orphan| match orphan.clean() {
            Ok(done) => Check::fine(name, done),
            Err(why) => Check::doubtful(name, why, ""),
        };
        return orphans.iter().map(clean).collect();
    }
    let bytes = render::bytes(orphans.iter().map(|orphan| orphan.bytes).sum());
    let text = format!("{} of killed processes hold {bytes}", orphans.len());
    let remedy = "tt-memtrace doctor --clean completes their captures and removes them";
    vec![Check::doubtful(name, text, remedy)]
}

fn output() -> Check {
    let folder = std::env::current_dir().unwrap_or_default();
    match access(&folder, AccessFlags::W_OK | AccessFlags::X_OK) {
        Ok(()) => Check::fine("output", format!("{} is writable", folder.display())),
        Err(error) => {
            let text = format!("{}: {}", folder.display(), error.desc());
            Check::doubtful("output", text, "give run a writable -o PATH")
        }
    }
}

/// Whether the tracking server answers; nothing if there is none and none is wanted.
fn server() -> Option<Check> {
    let name = "server";
    let wanted = std::env::var_os(names::SERVER).filter(|value| !value.is_empty() && value != "0");
    let path = wanted.as_ref().filter(|value| *value != "1").map(Path::new);
    match (Asker::find(path), wanted.is_some()) {
        (Ok(asker), true) => Some(Check::fine(name, format!("answers at {}", asker.path.display()))),
        (Ok(asker), false) => {
            let told = format!("told by programs with {}=1", names::SERVER);
            Some(Check::fine(name, format!("answers at {}, {told}", asker.path.display())))
        }
        (Err(why), true) => {
            let remedy = "recorded processes find it as soon as it is there";
            Some(Check::doubtful(name, why.to_string(), remedy))
        }
        (Err(_), false) => None,
    }
}

/// Which ttnn that Python would import. It is not imported: that would take seconds and open devices.
fn runtime(python: &OsStr) -> Vec<Check> {
    const QUESTION: &str = "import sys, importlib.metadata as m\n\
        print('%d.%d.%d' % sys.version_info[:3])\n\
        print(sys.implementation.name)\n\
        try: print(m.version('ttnn'))\n\
        except m.PackageNotFoundError: print('')";
    let mut command = Command::new(python);
    command.args(["-c", QUESTION]);
    let name = Path::new(python).display();
    let answer = output_of(command).ok().filter(|output| output.status.success());
    let Some(answer) = answer.and_then(|output| String::from_utf8(output.stdout).ok()) else {
        let remedy = "only C++ programs can be recorded; for Python, activate its environment";
        return vec![Check::doubtful("python", format!("{name} does not run"), remedy)];
    };
    let mut lines = answer.lines().map(str::trim);
    let mut next = || lines.next().unwrap_or_default();
    let (version, implementation) = (next(), next());
    let python = Check::fine("python", format!("{name} {version}"));
    vec![python, stacks(implementation, version), ttnn(next())]
}

/// Whether it can be told which line, operation and test allocated something.
fn stacks(implementation: &str, version: &str) -> Check {
    let name = "stacks";
    let release = version.rsplit_once('.').map_or(version, |(release, _)| release);
    if implementation == "cpython" && STACKS_OF.contains(&release) {
        return Check::fine(name, format!("lines and operations of Python {release} are recorded"));
    }
    let read = STACKS_OF.join(" and ");
    let text = format!("of {implementation} {release} only buffers are recorded");
    Check::doubtful(name, text, format!("lines and operations are read from CPython {read}"))
}

fn ttnn(version: &str) -> Check {
    if version.is_empty() {
        let remedy = "pip install ttnn, or activate its environment";
        return Check::doubtful("ttnn", "not installed for this python", remedy);
    }
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().ok());
    let is_known = numbers.next() == Some(Some(0))
        && numbers.next().flatten().is_some_and(|minor| TTNN_MINORS.contains(&minor));
    if is_known {
        return Check::fine("ttnn", version);
    }
    let text = format!("{version} was not tried, 0.65 to 0.81 were");
    Check::doubtful("ttnn", text, "compare a small run with ttnn.get_memory_view")
}

fn is_python(word: &OsString) -> bool {
    let name = Path::new(word).file_name().unwrap_or_default();
    name.as_encoded_bytes().starts_with(b"python")
}

/// The loader ignores `LD_PRELOAD` in privileged and in statically linked programs.
fn command(program: &OsStr) -> Check {
    let name = "command";
    let Some(path) = find_in_path(program) else {
        let text = format!("{} is not found", Path::new(program).display());
        return Check::broken(name, text, "check its spelling and PATH");
    };
    let shown = path.display();
    let mode = path.metadata().map_or(0, |found| found.permissions().mode());
    if mode & 0o6000 != 0 {
        let remedy = "record the program it starts instead";
        return Check::broken(name, format!("{shown} is setuid or setgid, nothing can be preloaded"), remedy);
    }
    if mode & 0o111 == 0 {
        return Check::broken(name, format!("{shown} is not executable"), "chmod +x it");
    }
    if is_static(&path) {
        let remedy = "link it dynamically, or record another program";
        return Check::broken(
            name,
            format!("{shown} is statically linked, nothing can be preloaded"),
            remedy,
        );
    }
    Check::fine(name, shown.to_string())
}

/// A file that names no loader is a static program, if it is an ELF file at all.
fn is_static(path: &Path) -> bool {
    const PT_INTERP: u32 = 3;
    let mut file = Vec::new();
    let head = std::fs::File::open(path).and_then(|opened| opened.take(1 << 16).read_to_end(&mut file));
    let number = |at: usize, n: usize| {
        let bytes = file.get(at..at.checked_add(n)?)?;
        Some(bytes.iter().rev().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte)))
    };
    let headers = || {
        let start = usize::try_from(number(32, 8)?).ok()?;
        let (size, n) = (usize::try_from(number(54, 2)?).ok()?, usize::try_from(number(56, 2)?).ok()?);
        Some((0..n).filter_map(move |i| start.checked_add(i * size)).collect::<Vec<_>>())
    };
    let is_elf64 = file.starts_with(b"\x7fELF\x02\x01");
    let names_loader = |at: usize| number(at, 4) == Some(u64::from(PT_INTERP));
    head.is_ok() && is_elf64 && headers().is_some_and(|headers| !headers.into_iter().any(names_loader))
}

fn find_in_path(program: &OsStr) -> Option<PathBuf> {
    if program.as_encoded_bytes().contains(&b'/') {
        return Some(PathBuf::from(program)).filter(|path| path.is_file());
    }
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join(program)).find(|path| path.is_file())
}

fn output_of(mut command: Command) -> std::io::Result<Output> {
    command.stdin(Stdio::null()).output()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_that_was_not_tried_is_doubtful() {
        assert_eq!(ttnn("0.81.1").status, Status::Fine);
        assert_eq!(ttnn("0.65.0").status, Status::Fine);
        for version in ["", "0.90.0", "1.66.0", "dev"] {
            assert_eq!(ttnn(version).status, Status::Doubtful, "{version}");
        }
    }

    #[test]
    fn stacks_of_a_release_that_nobody_reads_are_doubtful() {
        assert_eq!(stacks("cpython", "3.10.13").status, Status::Fine);
        assert_eq!(stacks("cpython", "3.12.1").status, Status::Fine);
        for (implementation, version) in
            [("cpython", "3.11.7"), ("cpython", "3.1.0"), ("pypy", "3.10.14"), ("", "")]
        {
            assert_eq!(
                stacks(implementation, version).status,
                Status::Doubtful,
                "{implementation} {version}"
            );
        }
    }

    #[test]
    fn this_program_is_dynamic() {
        assert!(!is_static(&std::env::current_exe().unwrap()));
        assert_eq!(command(OsStr::new("/no/such")).status, Status::Broken);
    }
}
