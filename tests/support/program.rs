//! The programs in `tests/c`, compiled when they or what they include have changed.

use std::ffi::OsStr;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The executable of `tests/c/SOURCE`.
pub fn program(source: &str) -> PathBuf {
    built(source, &[])
}

/// The same, with the sanitizers for addresses and for undefined behaviour.
pub fn sanitized(source: &str) -> PathBuf {
    built(source, &["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"])
}

fn built(source: &str, more: &[&str]) -> PathBuf {
    let source = super::project("tests/c").join(source);
    let is_cpp = source.extension().is_some_and(|extension| extension == "cpp");
    let standard = if is_cpp { "-std=c++17" } else { "-std=gnu11" };
    let flags = [&[standard, "-O1", "-g", "-pthread", "-Wall", "-Wextra"], more].concat();

    let mut hash = DefaultHasher::new();
    flags.hash(&mut hash);
    for file in [&source, &super::project("tests/c/events.h"), &super::project("include/tt_memtrace.h")] {
        fs::read(file).unwrap().hash(&mut hash);
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("programs/{:016x}", hash.finish()));
    let executable = folder.join(source.file_stem().unwrap());
    if !executable.exists() {
        fs::create_dir_all(&folder).unwrap();
        // Other tests may be compiling the same program: each gives its own result the name at once.
        let ours = tempfile::Builder::new().tempfile_in(&folder).unwrap().into_temp_path();
        compile(if is_cpp { "c++" } else { "cc" }, &flags, &source, &ours).unwrap();
        fs::rename(&ours, &executable).unwrap();
    }
    executable
}

/// Compiles and links a program, or returns the compiler's complaints.
pub fn compile(compiler: &str, flags: &[&str], source: &Path, executable: &Path) -> Result<(), String> {
    let mut command = Command::new(compiler);
    command.args(flags).arg("-I").arg(super::project("include")).arg("-o").arg(executable).arg(source);
    let output = command.env_remove("LD_PRELOAD").output().map_err(|error| format!("{compiler}: {error}"))?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// Where a command is, if it is installed.
pub fn find(command: impl AsRef<OsStr>) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join(command.as_ref())).find(|path| path.is_file())
}
