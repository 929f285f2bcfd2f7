//! Misspelt environment variables: one that nobody reads would silently lose data, so it is named.

use tt_memtrace_wire::names::{PREFIX, SWITCH, VARIABLES, closest, distance};

/// For each variable that nobody reads: its name, and what was probably meant.
pub fn unknown(names: impl Iterator<Item = String>) -> Vec<(String, &'static str)> {
    let unknown = names.filter(|name| is_ours(name) && name != SWITCH && !VARIABLES.contains(&name.as_str()));
    let mut unknown: Vec<_> = unknown.map(|name| (name.clone(), closest(&name))).collect();
    unknown.sort();
    unknown
}

/// The names in this process's environment that are text.
pub fn in_environment() -> impl Iterator<Item = String> {
    std::env::vars_os().filter_map(|(name, _)| name.into_string().ok())
}

/// Ours by the prefix, or nearly the name of the switch.
fn is_ours(name: &str) -> bool {
    name.starts_with(PREFIX) || (name.starts_with("TT_") && distance(name, SWITCH) <= 4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tt_memtrace_wire::names::OUTPUT;

    #[test]
    fn a_misspelt_variable_is_named_with_the_closest_one() {
        let names =
            ["TT_MEMTRACE_OUTPT", "TT_MEMTRACE_LOG", "TT_METAL_HOME", "TT_ALLOC_TRACKING_ENABLE", "HOME"];
        let found = unknown(names.into_iter().map(str::to_owned));
        let expected = [("TT_ALLOC_TRACKING_ENABLE", SWITCH), ("TT_MEMTRACE_OUTPT", OUTPUT)];
        assert_eq!(found, expected.map(|(name, known)| (name.to_owned(), known)));
    }
}
