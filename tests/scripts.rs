//! Scripts say how they are used, and do nothing that they were not asked for.
#![allow(clippy::unwrap_used, reason = "a test stops where it is surprised")]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};
use support::project;

/// Hands its options on to a Python program, which refuses them once everything is built.
const HANDS_ON: &str = "full";

fn scripts() -> Vec<PathBuf> {
    let files = ["scripts", "scripts/mock-ttnn"].into_iter().flat_map(|folder| {
        std::fs::read_dir(project(folder)).unwrap().map(|entry| entry.unwrap()).collect::<Vec<_>>()
    });
    let scripts = files.filter(|file| {
        let of = file.metadata().unwrap();
        // The stand-in for a compiler takes what a compiler takes.
        of.is_file() && of.permissions().mode() & 0o100 != 0 && file.file_name() != "riscv-tt-elf-g++"
    });
    scripts.map(|file| file.path()).collect()
}

fn run(script: &PathBuf, option: &str) -> Output {
    Command::new(script).arg(option).output().unwrap()
}

#[test]
fn every_script_tells_its_usage() {
    assert!(scripts().len() > 10);
    for script in scripts() {
        let name = script.file_name().unwrap().to_str().unwrap();
        for option in ["-h", "--help"] {
            let output = run(&script, option);
            let said = String::from_utf8(output.stdout).unwrap();
            assert!(output.status.success() && output.stderr.is_empty(), "{name} {option}");
            assert!(said.starts_with(&format!("usage: {name}")) && said.lines().count() > 2, "{said}");
        }
    }
}

#[test]
fn every_script_refuses_an_option_that_it_does_not_have() {
    for script in scripts().into_iter().filter(|script| !script.ends_with(HANDS_ON)) {
        let output = run(&script, "--no-such-option");
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{}: {said}", script.display());
        assert!(output.stdout.is_empty() && said.contains("usage: "), "{said}");
    }
}
