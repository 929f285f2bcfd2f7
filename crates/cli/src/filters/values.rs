//! What the filters take, as the user types it.

use crate::instant::Instant;
use std::str::FromStr;
use tt_memtrace_wire::{BufferType, Range};

/// A range of chips, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chips(pub u32, pub u32);

/// A kind of memory that reports tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// Buffers of this type.
    Buffers(BufferType),
    /// Circular buffers.
    Circular,
}

/// A rectangle of cores, both corners included, in the logical coordinates of the runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cores(pub Range);

/// Two instants; an absent one is the beginning or the end of the capture.
#[derive(Debug, Clone, PartialEq)]
pub struct Between {
    /// After this one.
    pub from: Option<Instant>,
    /// Up to this one.
    pub to: Option<Instant>,
}

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// A range of the runtime's own numbers of buffers, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdRange(pub u64, pub u64);

impl Memory {
    /// As reports write it.
    pub fn name(self) -> String {
        match self {
            Self::Buffers(buffer_type) => buffer_type.to_string(),
            Self::Circular => "CB".into(),
        }
    }
}

/// Two numbers as `A-B`, or one.
fn number_range<T: FromStr + PartialOrd + Copy>(text: &str, what: &str) -> Result<(T, T), String> {
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    match (low.trim().parse(), high.trim().parse()) {
        (Ok(low), Ok(high)) if low <= high => Ok((low, high)),
        _ => Err(format!("expected {what}")),
    }
}

impl FromStr for Chips {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        number_range(text, "a chip's number, or two as in 0-3").map(|(a, b)| Self(a, b))
    }
}

impl FromStr for IdRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        number_range(text, "a buffer's unique_id, or two as in 100-200").map(|(a, b)| Self(a, b))
    }
}

impl FromStr for Memory {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let name = text.trim().to_uppercase();
        if name == "CB" {
            return Ok(Self::Circular);
        }
        let unknown = "expected dram, l1, l1_small, trace, system_memory or cb";
        BufferType::from_name(&name).map(Self::Buffers).ok_or_else(|| unknown.into())
    }
}

impl FromStr for Cores {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let corner = |text: &str| {
            let (x, y) = text.split_once(',')?;
            Some((x.trim().parse::<u32>().ok()?, y.trim().parse::<u32>().ok()?))
        };
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (corner(first), corner(last)) {
            (Some((x0, y0)), Some((x1, y1))) if x0 <= x1 && y0 <= y1 => Ok(Self(Range { x0, y0, x1, y1 })),
            _ => {
                Err("expected a core as in 2,3, or the first and the last of a rectangle as in 0,0-7,7"
                    .into())
            }
        }
    }
}

impl FromStr for Between {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (from, to) = text.split_once(',').ok_or("expected two instants, as in 120,200 or warmup,")?;
        let instant = |text: &str| (!text.is_empty()).then(|| Instant::parse(text));
        let between = Self { from: instant(from.trim()), to: instant(to.trim()) };
        let is_backwards = match (&between.from, &between.to) {
            (Some(Instant::Event(from)), Some(Instant::Event(to))) => from > to,
            (Some(Instant::Seconds(from)), Some(Instant::Seconds(to))) => from > to,
            _ => false,
        };
        if is_backwards { Err("the second instant is before the first".into()) } else { Ok(between) }
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = (&text[..end], text[end..].trim_start());
        let expected = || "expected bytes as in 65536, 64KiB, 1.5MiB or 1MB".to_owned();
        let scale = scale(&unit.to_ascii_lowercase()).ok_or_else(expected)?;
        if let Ok(whole) = number.parse::<u64>() {
            return whole.checked_mul(scale).map(Self).ok_or_else(|| "is above 16 EiB".into());
        }
        parts(number, scale).map(Self).ok_or_else(expected)
    }
}

/// The units of sizes. A bare letter is a power of two, as memory sizes are.
fn scale(unit: &str) -> Option<u64> {
    Some(match unit {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return None,
    })
}

/// A decimal fraction of a unit, rounded up to bytes: no buffer below it may match.
fn parts(number: &str, scale: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.')?;
    if fraction.len() > 12 || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    let bytes = digits.checked_mul(scale.into())?.div_ceil(10_u128.pow(u32::try_from(fraction.len()).ok()?));
    bytes.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_binary_and_decimal_units() {
        let sizes = ["0", "65536", "64KiB", "64 kib", "1.5 MiB", "2M", "1MB", "1.0001kb", ".5k", "3b"];
        let bytes = [0, 65536, 65536, 65536, 3 << 19, 2 << 20, 1_000_000, 1001, 512, 3];
        assert_eq!(sizes.map(|text| text.parse::<Size>().unwrap().0), bytes);
        for text in ["", "x", "1x", "1.2.3", "-1", ".", "99999999999999999999", "17179869184g"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }

    #[test]
    fn cores_are_one_or_a_rectangle() {
        let cores = |text: &str| text.parse::<Cores>().ok().map(|Cores(r)| (r.x0, r.y0, r.x1, r.y1));
        assert_eq!(cores("2,3"), Some((2, 3, 2, 3)));
        assert_eq!(cores("0,1-7,6"), Some((0, 1, 7, 6)));
        for text in ["2", "2,", "3,3-2,2", "a,b", "1,2-3"] {
            assert_eq!(cores(text), None, "{text}");
        }
    }

    #[test]
    fn an_interval_may_be_open() {
        let between = |text: &str| text.parse::<Between>().unwrap();
        let mark = |name: &str| Some(Instant::Mark(name.into()));
        assert_eq!(between("a b,"), Between { from: mark("a b"), to: None });
        assert_eq!(between(",2.5"), Between { from: None, to: Some(Instant::Seconds(2.5)) });
        assert!("9,8".parse::<Between>().is_err() && "9".parse::<Between>().is_err());
    }
}
