//! README's table of variables is the list that the library knows.
#![allow(clippy::unwrap_used, reason = "a test stops where it is surprised")]

mod support;

use std::collections::BTreeSet;
use support::project;
use tt_memtrace_wire::names;

#[test]
fn the_readme_lists_every_variable_and_no_other() {
    let readme = std::fs::read_to_string(project("README.md")).unwrap();
    let rows = readme.lines().filter_map(|line| line.strip_prefix("| `TT_"));
    // One row may name several variables.
    let first_columns = rows.filter_map(|row| row.split(" | ").next());
    let listed = first_columns.flat_map(|names| names.split("`, `TT_"));
    let listed = listed.map(|name| format!("TT_{}", name.split(['`', '=']).next().unwrap_or_default()));
    assert_eq!(listed.collect::<BTreeSet<_>>(), known());
}

fn known() -> BTreeSet<String> {
    names::VARIABLES.into_iter().chain([names::SWITCH]).map(str::to_owned).collect()
}
