//! Names that the library and the command must agree on.

/// The switch: recording is on if it is `1`.
pub const SWITCH: &str = "TT_ALLOC_TRACKING_ENABLED";
/// The prefix of all other variables.
pub const PREFIX: &str = "TT_MEMTRACE_";
/// Where captures go.
pub const OUTPUT: &str = "TT_MEMTRACE_OUTPUT";
/// Which tracking server is told: `1`, or the path of its socket.
pub const SERVER: &str = "TT_MEMTRACE_SERVER";
/// Which call stacks are recorded.
pub const STACKS: &str = "TT_MEMTRACE_STACKS";
/// Where `run` finds the library. `run` sets it for its command, which so knows that misspelt names were said.
pub const LIBRARY: &str = "TT_MEMTRACE_LIB";
/// All variables with [`PREFIX`].
pub const VARIABLES: [&str; 7] =
    [OUTPUT, SERVER, STACKS, "TT_MEMTRACE_SPOOL_SIZE", "TT_MEMTRACE_SPILL_MAX", "TT_MEMTRACE_LOG", LIBRARY];

/// The variable that was probably meant.
///
/// ```
/// assert_eq!(tt_memtrace_wire::names::closest("TT_MEMTRACE_OUTPT"), "TT_MEMTRACE_OUTPUT");
/// ```
pub fn closest(name: &str) -> &'static str {
    let all = VARIABLES.into_iter().chain([SWITCH]);
    all.min_by_key(|known| distance(name, known)).unwrap_or(OUTPUT)
}

/// What a recorded program is called in file names: the script's stem for an interpreter that was given one,
/// else the executable's file name.
///
/// ```
/// use tt_memtrace_wire::names::program;
/// assert_eq!(program(&["/usr/bin/python3", "-u", "demo/llama.py", "--fast"]), "llama");
/// assert_eq!(program(&["python3", "-m", "pytest", "tests"]), "pytest");
/// assert_eq!(program(&["/opt/bin/model", "weights.py"]), "model");
/// ```
pub fn program<S: AsRef<str>>(command: &[S]) -> String {
    let mut words = command.iter().map(AsRef::as_ref);
    let executable = file_name(words.next().unwrap_or_default());
    let name =
        if executable.starts_with("python") { script(words).unwrap_or(executable) } else { executable };
    let mut safe = String::new();
    for c in name.chars().take(64) {
        safe.push(if c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '+') { c } else { '_' });
    }
    if safe.is_empty() { "program".to_owned() } else { safe }
}

fn script<'a>(mut words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    while let Some(word) = words.next() {
        match word {
            "-m" => return words.next(),
            "-c" | "-" => return None,
            "-W" | "-X" => drop(words.next()),
            flag if flag.starts_with('-') => {}
            path => {
                let name = file_name(path);
                return Some(name.strip_suffix(".py").unwrap_or(name));
            }
        }
    }
    None
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// How many changes of a byte lie between two names (Levenshtein).
pub fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_in_a_path() {
        assert_eq!(program(&["python3.10", "a b/c d.py"]), "c_d");
        assert_eq!(program(&["python3", "-X", "dev", "-c", "print()"]), "python3");
        assert_eq!(program::<&str>(&[]), "program");
    }

    #[test]
    fn distance_counts_changes() {
        assert_eq!(distance("OUTPT", "OUTPUT"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("same", "same"), 0);
    }
}
