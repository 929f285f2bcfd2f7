//! A budget file: gates that a project keeps beside its code.

use super::gate::Gate;
use crate::exit::Usage;
use crate::filters::{PeakOf, Size};
use anyhow::Context;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Budget {
    #[serde(default)]
    peak: BTreeMap<String, String>,
    leaks: Option<String>,
    headroom: Option<String>,
}

/// Reads the file. An unknown key is an error: a misspelt limit would hold for ever.
pub fn read(path: &Path) -> anyhow::Result<Vec<Gate>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text).map_err(|why| Usage(format!("{}: {why}", path.display())).into())
}

fn parse(text: &str) -> Result<Vec<Gate>, String> {
    let budget: Budget = toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
    let size = |what: &str, text: &str| {
        text.parse().map(|Size(bytes)| bytes).map_err(|why| format!("{what}: {why}"))
    };
    let mut gates = Vec::new();
    for (of, most) in &budget.peak {
        let most = size(&format!("peak.{of}"), most)?;
        gates.push(Gate::Peak { of: of.parse::<PeakOf>().map_err(|why| format!("peak.{of}: {why}"))?, most });
    }
    if let Some(most) = &budget.leaks {
        gates.push(Gate::Leaks { most: size("leaks", most)? });
    }
    if let Some(least) = &budget.headroom {
        gates.push(Gate::Headroom { least: size("headroom", least)? });
    }
    if gates.is_empty() {
        return Err("no limit in it; say peak.dram, leaks or headroom".into());
    }
    Ok(gates)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tt_memtrace_wire::BufferType;

    #[test]
    fn each_limit_is_a_gate() {
        let gates =
            parse("leaks = \"0 B\"\nheadroom = \"64KiB\"\n[peak]\ndram = \"1GiB\"\ntotal = \"2GiB\"\n");
        let dram = PeakOf::Type(BufferType::Dram);
        assert_eq!(
            gates.unwrap(),
            [
                Gate::Peak { of: dram, most: 1 << 30 },
                Gate::Peak { of: PeakOf::Total, most: 2 << 30 },
                Gate::Leaks { most: 0 },
                Gate::Headroom { least: 64 << 10 },
            ]
        );
    }

    #[test]
    fn what_is_misspelt_is_refused() {
        for (text, said) in [
            ("", "no limit"),
            ("leak = \"0\"", "unknown field `leak`"),
            ("[peak]\ndrum = \"1GiB\"", "peak.drum: expected"),
            ("leaks = \"many\"", "leaks: expected bytes"),
            ("leaks = 0", "invalid type"),
        ] {
            let why = parse(text).unwrap_err();
            assert!(why.contains(said), "{text}: {why}");
        }
    }
}
