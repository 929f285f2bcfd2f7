//! A baseline: the figures of an earlier run, which a later one may not exceed by more than the tolerance.

use super::gate::Gate;
use super::measure::Measured;
use crate::exit::Usage;
use crate::filters::{PeakOf, Tolerance};
use crate::json;
use anyhow::Context;
use serde_json::{Map, Value, json};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use tt_memtrace_wire::BufferType;

const SCHEMA: &str = "tt-memtrace.baseline";

/// The figures of a run: of its worst chip in its worst process.
pub struct Baseline {
    peaks: Vec<(PeakOf, u64)>,
    leaks: u64,
    headroom: Option<u64>,
}

impl Baseline {
    fn of(all: &[Measured]) -> Self {
        let worst = |of| all.iter().filter_map(|measured| measured.peak(of).0).max().unwrap_or(0);
        let types = BufferType::KNOWN.into_iter().map(PeakOf::Type).chain([PeakOf::Total]);
        let leaks = all.iter().filter_map(|measured| measured.leaks().0).max().unwrap_or(0);
        let headroom = all.iter().filter_map(|measured| measured.headroom().0).min();
        Self {
            peaks: types.map(|of| (of, unsigned(worst(of)))).collect(),
            leaks: unsigned(leaks),
            headroom: headroom.map(unsigned),
        }
    }

    /// What a later run is held to.
    pub fn gates(&self, tolerance: &[Tolerance]) -> Vec<Gate> {
        let slack = |bytes: u64| tolerance.iter().map(|tolerance| tolerance.of(bytes)).max().unwrap_or(0);
        let most = |bytes: u64| bytes.saturating_add(slack(bytes));
        let peaks = self.peaks.iter().map(|(of, bytes)| Gate::Peak { of: *of, most: most(*bytes) });
        let headroom =
            self.headroom.map(|bytes| Gate::Headroom { least: bytes.saturating_sub(slack(bytes)) });
        peaks.chain([Gate::Leaks { most: most(self.leaks) }]).chain(headroom).collect()
    }

    fn json(&self) -> Value {
        let peaks = self.peaks.iter().map(|(of, bytes)| (of.to_string(), json::int(*bytes)));
        let fields = json!({
            "peak_bytes": peaks.collect::<Map<String, Value>>(),
            "leaked_bytes": json::int(self.leaks),
            "headroom_bytes": json::optional(self.headroom),
        });
        json::versioned("baseline", fields)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let is_ours =
            value["schema"] == SCHEMA && value["version"].as_str().is_some_and(|v| v.starts_with("1."));
        if !is_ours {
            return Err("is no baseline of this version; write one with check --write-baseline".into());
        }
        let int = |value: &Value| value.as_u64().or_else(|| value.as_str()?.parse().ok());
        let missing = |what: &str| format!("{what} is missing, or no number of bytes");
        let peaks = value["peak_bytes"].as_object().ok_or_else(|| missing("peak_bytes"))?;
        let peak = |(of, bytes): (&String, &Value)| {
            Ok((of.parse::<PeakOf>()?, int(bytes).ok_or_else(|| missing(of))?))
        };
        Ok(Self {
            peaks: peaks.iter().map(peak).collect::<Result<_, String>>()?,
            leaks: int(&value["leaked_bytes"]).ok_or_else(|| missing("leaked_bytes"))?,
            headroom: int(&value["headroom_bytes"]),
        })
    }
}

/// Reads a baseline.
pub fn read(path: &Path) -> anyhow::Result<Baseline> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Baseline::parse(&text).map_err(|why| Usage(format!("{}: {why}", path.display())).into())
}

/// Writes the figures of this run.
pub fn write(path: &Path, all: &[Measured], is_forced: bool) -> anyhow::Result<()> {
    let mut options = OpenOptions::new();
    let options = options.write(true).create(is_forced).truncate(is_forced).create_new(!is_forced);
    let mut file = options.open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            Usage(format!("{} exists; -f replaces it", path.display())).into()
        }
        _ => anyhow::Error::new(error).context(format!("cannot write {}", path.display())),
    })?;
    let mut line = Vec::new();
    json::line(&mut line, &Baseline::of(all).json())?;
    file.write_all(&line).with_context(|| format!("cannot write {}", path.display()))
}

/// A clash is no room at all.
fn unsigned(bytes: i64) -> u64 {
    u64::try_from(bytes).unwrap_or(0)
}
