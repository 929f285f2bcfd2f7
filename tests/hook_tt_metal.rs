//! `scripts/hook-tt-metal`: its tests are in Python, as it is.
#![allow(clippy::unwrap_used, reason = "a test stops where it is surprised")]

mod support;

use std::process::Command;
use support::{find, project, skip};

#[test]
fn the_calls_go_into_every_known_layout_of_tt_metal_and_come_out_again() {
    let Some(python) = find("python3") else { return skip("python3") };
    let mut tests = Command::new(python);
    tests.args(["-B", "-m", "unittest", "discover"]).arg(project("tests/hook_tt_metal"));
    let output = tests.env_remove("LD_PRELOAD").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
