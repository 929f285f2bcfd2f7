//! What gates take, as the user types it.

use super::values::Size;
use std::fmt;
use std::str::FromStr;
use tt_memtrace_wire::BufferType;

/// What a limit on a peak is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeakOf {
    /// One memory.
    Type(BufferType),
    /// All memories of a chip together.
    Total,
}

/// A limit on a peak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeakBelow {
    /// Of what.
    pub of: PeakOf,
    /// The most that is allowed.
    pub most: Size,
}

/// By how much a figure may be worse than before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Tolerance {
    /// In per cent of the earlier figure.
    Percent(f64),
    /// In bytes.
    Bytes(u64),
}

impl Tolerance {
    /// In bytes, for this figure.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a size need not be exact to the byte, and casts saturate"
    )]
    pub fn of(self, bytes: u64) -> u64 {
        match self {
            Self::Percent(percent) => (bytes as f64 * percent / 100.0) as u64,
            Self::Bytes(bytes) => bytes,
        }
    }
}

impl FromStr for PeakOf {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let name = text.trim().to_uppercase();
        let known = BufferType::KNOWN.into_iter().find(|known| known.to_string() == name).map(Self::Type);
        let known = known.or_else(|| (name == "TOTAL").then_some(Self::Total));
        known.ok_or_else(|| "expected dram, l1, l1_small, trace, system_memory or total".into())
    }
}

impl fmt::Display for PeakOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Type(buffer_type) => buffer_type.fmt(f),
            Self::Total => f.pad("total"),
        }
    }
}

impl FromStr for PeakBelow {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (of, most) = text.split_once('=').ok_or("expected a memory and a size, as in dram=2GiB")?;
        Ok(Self { of: of.parse()?, most: most.parse()? })
    }
}

impl FromStr for Tolerance {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(percent) = text.trim().strip_suffix('%') else {
            return text.parse().map(|Size(bytes)| Self::Bytes(bytes)).map_err(|why| format!("{why}, or 2%"));
        };
        let percent =
            percent.trim().parse::<f64>().ok().filter(|percent| percent.is_finite() && *percent >= 0.0);
        percent.map(Self::Percent).ok_or_else(|| "expected a percentage as in 2% or 0.5%".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_names_a_memory_and_a_size() {
        let limit = |text: &str| text.parse::<PeakBelow>().map(|limit| (limit.of.to_string(), limit.most.0));
        assert_eq!(limit("dram=1MiB"), Ok(("DRAM".into(), 1 << 20)));
        assert_eq!(limit("total = 5"), Ok(("total".into(), 5)));
        for text in ["dram", "drum=5", "cb=5", "l1=", "=5"] {
            assert!(limit(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_tolerance_is_a_share_or_a_size() {
        let of_thousand = |text: &str| text.parse::<Tolerance>().map(|tolerance| tolerance.of(1000));
        assert_eq!((of_thousand("2%"), of_thousand("0.5 %"), of_thousand("1KiB")), (Ok(20), Ok(5), Ok(1024)));
        for text in ["-1%", "nan%", "x", "%"] {
            assert!(of_thousand(text).is_err(), "{text}");
        }
    }
}
