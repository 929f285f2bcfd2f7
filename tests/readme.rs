//! README's table of variables is the list that the library knows, and no link of a page leads nowhere.
#![allow(clippy::unwrap_used, reason = "a test stops where it is surprised")]

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
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

#[test]
fn every_link_of_a_page_leads_to_a_file() {
    let mut pages = vec![project("README.md"), project("python/README.md")];
    add_pages(&project("docs"), &mut pages);
    assert!(pages.len() > 30);
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap();
        let links = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#', ' ']).next());
        for link in links.filter(|link| !link.is_empty() && !link.starts_with("http")) {
            assert!(page.with_file_name(link).exists(), "{}: {link}", page.display());
        }
    }
}

fn add_pages(folder: &Path, pages: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            add_pages(&path, pages);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            pages.push(path);
        }
    }
}
