//! A folder of its own for each test, and programs that run in it.

use super::{Capture, library, program};
use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// A program that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(300);

/// Where a test takes place. When it ends, every capture in the folder has been checked.
pub struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    pub fn new() -> Self {
        Self { folder: tempfile::Builder::new().prefix("tt-memtrace-test.").tempdir().unwrap() }
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A program of `tests/c` in the folder, under the library, switched on, with `out` for captures.
    pub fn program(&self, source: &str) -> Run {
        self.command(program(source))
    }

    /// The same with any command.
    pub fn command(&self, executable: impl AsRef<OsStr>) -> Run {
        let mut command = Command::new(executable);
        command.current_dir(self.folder.path()).stdin(Stdio::null()).process_group(0);
        for (name, _) in std::env::vars_os() {
            if is_foreign(&name.to_string_lossy()) {
                command.env_remove(name);
            }
        }
        command.env("LD_PRELOAD", library()).env("TT_ALLOC_TRACKING_ENABLED", "1");
        command.env("TT_MEMTRACE_OUTPUT", self.path("out"));
        Run { command }
    }

    /// Every capture in the folder and below, each checked, by path.
    pub fn captures(&self) -> Vec<Capture> {
        self.files().iter().filter(|file| is_capture(file)).map(|path| Capture::read(path)).collect()
    }

    /// The only capture.
    pub fn capture(&self) -> Capture {
        let mut captures = self.captures();
        assert_eq!(captures.len(), 1, "{:?}", self.files());
        captures.remove(0)
    }

    /// The capture of a process.
    pub fn capture_of(&self, pid: u32) -> Capture {
        let capture = self.captures().into_iter().find(|capture| capture.header.pid == pid);
        capture.unwrap_or_else(|| panic!("{pid} left no capture: {:?}", self.files()))
    }

    /// Every file in the folder and below.
    pub fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        collect(self.folder.path(), &mut files);
        files.sort();
        files
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            for capture in self.captures() {
                capture.forget_spool();
            }
        }
    }
}

/// A program that is about to run.
pub struct Run {
    command: Command,
}

impl Run {
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// For whoever runs it beside other things.
    pub fn into_command(self) -> Command {
        self.command
    }

    /// Runs it to the end, and with it every process that it started and that holds its output.
    pub fn run(self) -> Outcome {
        self.run_within(PATIENCE)
    }

    /// The same, with another patience.
    pub fn run_within(mut self, patience: Duration) -> Outcome {
        let mut child = self.command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = read_all(child.stdout.take().unwrap());
        let stderr = read_all(child.stderr.take().unwrap());
        let deadline = Instant::now() + patience;
        let text = |from: &Receiver<String>, child: &mut Child| {
            let text = from.recv_timeout(deadline.saturating_duration_since(Instant::now()));
            text.unwrap_or_else(|_| hangs(child))
        };
        let (stdout, stderr) = (text(&stdout, &mut child), text(&stderr, &mut child));
        Outcome { pid: child.id(), status: child.wait().unwrap(), stdout, stderr }
    }

    /// Runs it with this standard error.
    pub fn run_with_stderr(mut self, stderr: impl Into<Stdio>) -> ExitStatus {
        self.command.stdout(Stdio::null()).stderr(stderr).status().unwrap()
    }
}

/// How a program ended and what it said.
#[derive(Debug)]
pub struct Outcome {
    pub pid: u32,
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    /// Insists on exit status 0 and on nothing said by the library.
    #[track_caller]
    pub fn quiet(self) -> Self {
        assert!(self.status.success() && self.stderr.is_empty(), "{self:#?}");
        self
    }

    /// The number behind a word in what the program printed.
    #[track_caller]
    pub fn number(&self, word: &str) -> u32 {
        let line = self.stdout.lines().find_map(|line| line.strip_prefix(word)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {word} in {self:#?}")).parse().unwrap()
    }

    /// Removes the spool of a process whose capture is removed, so that nothing names it any more.
    pub fn forget_spool(&self) {
        let prefix = format!("tt-memtrace-{}-", self.pid);
        for entry in std::fs::read_dir("/dev/shm").into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(&prefix) {
                std::fs::remove_file(entry.path()).unwrap();
            }
        }
    }

    /// What the library said, without the process's name before it.
    pub fn said(&self) -> Vec<&str> {
        let prefix = format!("tt-memtrace[{}]: ", self.pid);
        self.stderr.lines().map(|line| line.strip_prefix(&prefix).unwrap_or(line)).collect()
    }
}

fn read_all(mut from: impl Read + Send + 'static) -> Receiver<String> {
    let (done, text) = channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).unwrap();
        let _ = done.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    text
}

fn hangs(child: &mut Child) -> ! {
    let group = i32::try_from(child.id()).unwrap();
    // SAFETY: the child leads a group of its own and has not been waited for, so the number is still its.
    unsafe { libc::kill(-group, libc::SIGKILL) };
    child.wait().unwrap();
    panic!("the program hangs");
}

/// Settings of the run of the tests that must not reach the programs.
fn is_foreign(name: &str) -> bool {
    let is_rank = ["OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID", "PMIX_RANK"].contains(&name);
    is_rank || name.starts_with("TT_") || name == "LD_PRELOAD"
}

fn is_capture(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "jsonl")
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { collect(&path, files) } else { files.push(path) }
    }
}
