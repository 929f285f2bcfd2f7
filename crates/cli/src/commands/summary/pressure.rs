//! How evenly the chips are used, and which one runs out of a memory first.

use crate::figures::ByChip;
use crate::{json, render};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tt_memtrace_ledger::{Snapshot, Tightest, TypeTotals};
use tt_memtrace_wire::{BufferType, Header};

/// One memory type over all chips, by bytes per bank at each chip's own peak. Buffers alone: what circular
/// buffers take of L1 is not in it.
pub struct Pressure {
    buffer_type: BufferType,
    n_chips: u64,
    /// The highest peak over the mean of the peaks; 1 if all chips are used alike.
    skew: f64,
    /// The chips with the least room left, relative to their banks.
    fullest: Vec<u32>,
    peak_bank_bytes: u64,
    bank_size_bytes: u64,
    /// The smallest that the largest hole of any mesh ever was.
    tightest: Option<Tightest>,
}

/// The types whose bank sizes the runtime told. Chips that held nothing count for the mean.
pub fn of(at_end: &ByChip, chips: &[u32], snapshot: Snapshot<'_>) -> Vec<Pressure> {
    let mut by_type: BTreeMap<usize, Vec<(u32, &TypeTotals)>> = BTreeMap::new();
    for (chip, types) in at_end {
        for of in types {
            let known = BufferType::KNOWN.iter().position(|known| *known == of.buffer_type);
            by_type.entry(known.unwrap_or(BufferType::KNOWN.len())).or_default().push((*chip, of));
        }
    }
    let maps = snapshot.address_maps();
    let pressures = by_type.values().filter_map(|of| {
        let pressure = pressure(of, chips.len().max(of.len()))?;
        let maps = maps.iter().filter(|map| map.buffer_type == pressure.buffer_type);
        let maps = maps.filter(|map| snapshot.chips_of(map.place).iter().any(|chip| chips.contains(chip)));
        let tightest = maps.filter_map(|map| map.tightest).min_by_key(|tightest| tightest.bytes);
        Some(Pressure { tightest, ..pressure })
    });
    pressures.collect()
}

fn pressure(of: &[(u32, &TypeTotals)], n_chips: usize) -> Option<Pressure> {
    let size = |of: &TypeTotals| of.bank.as_ref().map_or(0, |bank| bank.bank_size_bytes);
    let peak = |of: &TypeTotals| of.tally.bank_bytes.peak;
    // a is fuller than b if peak_a / size_a > peak_b / size_b.
    let is_as_full = |a: &TypeTotals, b: &TypeTotals| {
        u128::from(peak(a)) * u128::from(size(b)) >= u128::from(peak(b)) * u128::from(size(a))
    };
    let sized = || of.iter().filter(|(_, of)| size(of) > 0);
    let (_, fullest) = sized().copied().reduce(|a, b| if is_as_full(a.1, b.1) { a } else { b })?;
    let chips = sized().filter(|(_, of)| is_as_full(of, fullest)).map(|(chip, _)| *chip);
    let peaks = of.iter().map(|(_, of)| peak(of));
    Some(Pressure {
        buffer_type: fullest.buffer_type,
        n_chips: n_chips as u64,
        skew: skew(peaks.clone().max().unwrap_or(0), peaks.map(u128::from).sum(), n_chips),
        fullest: chips.collect(),
        peak_bank_bytes: peak(fullest),
        bank_size_bytes: size(fullest),
        tightest: None,
    })
}

#[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
fn skew(most: u64, sum: u128, n_chips: usize) -> f64 {
    if sum == 0 { 1.0 } else { most as f64 * n_chips as f64 / sum as f64 }
}

impl Pressure {
    fn free_bytes(&self) -> u64 {
        self.bank_size_bytes.saturating_sub(self.peak_bank_bytes)
    }

    /// One line for people.
    pub fn words(&self, header: &Header) -> String {
        let Self { buffer_type, skew, fullest, bank_size_bytes, .. } = self;
        let (free, share) =
            (render::bytes(self.free_bytes()), render::percent(self.free_bytes(), *bank_size_bytes));
        let first = match fullest.len() as u64 {
            _ if self.n_chips == 1 => String::new(),
            n if n == self.n_chips => "all chips are used alike; ".to_owned(),
            _ => format!("{} runs out first (skew {skew:.2}); ", render::chips(fullest)),
        };
        let hole = self.tightest.map(|Tightest { bytes, at }| {
            let (bytes, at) = (render::bytes(bytes), render::moment(at, header));
            format!("\n  its largest hole was smallest, {bytes}, at {at}")
        });
        let hole = hole.unwrap_or_default();
        format!("{buffer_type}: {first}at its peak {free} ({share}) of a bank was free{hole}")
    }

    /// The same for programs.
    pub fn json(&self, header: &Header) -> Value {
        json!({
            "type": self.buffer_type.to_string(),
            "n_chips": self.n_chips,
            "skew": self.skew,
            "fullest_chips": self.fullest,
            "peak_bank_bytes": json::int(self.peak_bank_bytes),
            "free_bank_bytes": json::int(self.free_bytes()),
            "bank_size_bytes": json::int(self.bank_size_bytes),
            "smallest_largest_hole": self.tightest.map(|tightest| json::tightest(tightest, header)),
        })
    }
}
