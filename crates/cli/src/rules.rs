//! The rules that give buffers their classes: the shipped ones, or a file of the user's.

use crate::exit::Usage;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use tt_memtrace_ledger::{Ledger, Rules};

static CHOSEN: OnceLock<Arc<Rules>> = OnceLock::new();

/// Takes the user's rules, for the rest of the process. A file that cannot be used is wrong usage.
pub fn choose(path: Option<&Path>) -> anyhow::Result<()> {
    let Some(path) = path else { return Ok(()) };
    let wrong = |why: String| Usage(format!("--rules {}: {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(crate::exit::plain(&error)))?;
    let rules = Rules::parse(&text).map_err(|error| wrong(error.to_string()))?;
    // Nobody chooses twice.
    let _ = CHOSEN.set(Arc::new(rules));
    Ok(())
}

/// A new ledger with the chosen rules.
pub fn ledger() -> Ledger {
    Ledger::with_rules(CHOSEN.get_or_init(Arc::default).clone())
}
