//! The environment variables of the recorder. A misspelt one would silently lose data, so it is named.

/// Turns the recorder on.
pub const ENABLED: &str = "TT_ALLOC_TRACKING_ENABLED";
/// Where the recorder writes.
pub const OUTPUT: &str = "TT_MEMTRACE_OUTPUT";
/// Where `run` finds the library.
pub const LIBRARY: &str = "TT_MEMTRACE_LIB";

const PREFIX: &str = "TT_MEMTRACE_";
const KNOWN: [&str; 7] = [
    OUTPUT,
    "TT_MEMTRACE_SERVER",
    "TT_MEMTRACE_STACKS",
    "TT_MEMTRACE_SPOOL_SIZE",
    "TT_MEMTRACE_SPILL_MAX",
    "TT_MEMTRACE_LOG",
    LIBRARY,
];

/// For each variable that nobody reads: its name, and what was probably meant.
pub fn unknown(names: impl Iterator<Item = String>) -> Vec<(String, &'static str)> {
    let unknown = names.filter(|name| is_ours(name) && name != ENABLED && !KNOWN.contains(&name.as_str()));
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
    name.starts_with(PREFIX) || (name.starts_with("TT_") && distance(name, ENABLED) <= 4)
}

fn closest(name: &str) -> &'static str {
    let all = KNOWN.into_iter().chain([ENABLED]);
    all.min_by_key(|known| distance(name, known)).unwrap_or(OUTPUT)
}

/// How many letters have to be changed, added or removed.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_variable_is_named_with_the_closest_one() {
        let names =
            ["TT_MEMTRACE_OUTPT", "TT_MEMTRACE_LOG", "TT_METAL_HOME", "TT_ALLOC_TRACKING_ENABLE", "HOME"];
        let found = unknown(names.into_iter().map(str::to_owned));
        let expected = [("TT_ALLOC_TRACKING_ENABLE", ENABLED), ("TT_MEMTRACE_OUTPT", OUTPUT)];
        assert_eq!(found, expected.map(|(name, known)| (name.to_owned(), known)));
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
