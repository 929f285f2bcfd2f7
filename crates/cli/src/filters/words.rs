//! The filters as reports repeat them.

use super::{Between, Chips, Cores, Filters, IdRange, Selection, Size};
use crate::instant::Instant;
use crate::{json, render};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::fmt;
use tt_memtrace_wire::Range;

impl Selection {
    /// The filters but for `--between` in words, for the first line of a report.
    pub fn words(&self) -> Vec<String> {
        let Filters { device, memory, core, min_size, between: _ } = &self.filters;
        let mut words = Vec::new();
        if !device.is_empty() {
            words.push(self.chips_in_words());
        }
        if !memory.is_empty() {
            words.push(memory.iter().map(|memory| memory.name()).collect::<Vec<_>>().join(","));
        }
        words.extend(core.map(|Cores(range)| format!("core {}", render::cores(&[range]))));
        words.extend(min_size.map(|Size(least)| format!("sizes from {}", render::bytes(least))));
        words.extend(self.ids.map(|IdRange(low, high)| format!("id {}", range(low, high))));
        words
    }

    /// The wanted chips.
    pub fn chips_in_words(&self) -> String {
        let chips: Vec<String> = self.filters.device.iter().map(|Chips(a, b)| range(*a, *b)).collect();
        format!("chip {}", chips.join(","))
    }

    /// `--between`, as given.
    pub fn between_in_words(&self) -> Option<String> {
        let Between { from, to } = self.filters.between.as_ref()?;
        let (from, to) = (text(from), text(to));
        Some(format!("from {} to {}", from.as_deref().unwrap_or("start"), to.as_deref().unwrap_or("end")))
    }

    /// The filters for programs: only those that were given.
    pub fn json(&self) -> Value {
        let Filters { device, memory, core, between, min_size } = &self.filters;
        let mut object = Map::new();
        if !device.is_empty() {
            object.insert("device".into(), device.iter().map(|Chips(a, b)| json!([a, b])).collect());
        }
        if !memory.is_empty() {
            object.insert("type".into(), memory.iter().map(|memory| json!(memory.name())).collect());
        }
        if let Some(Cores(Range { x0, y0, x1, y1 })) = core {
            object.insert("core".into(), json!([x0, y0, x1, y1]));
        }
        if let Some(between) = between {
            object.insert("between".into(), json!([text(&between.from), text(&between.to)]));
        }
        if let Some(Size(least)) = min_size {
            object.insert("min_size_bytes".into(), json::int(*least));
        }
        if let Some(IdRange(low, high)) = self.ids {
            object.insert("id_range".into(), json!([json::int(low), json::int(high)]));
        }
        object.into()
    }

    /// The wanted chips of which none is there, in words.
    pub fn absent_chips(&self, there: &BTreeSet<u32>) -> Option<String> {
        let absent = self.filters.device.iter().filter(|Chips(a, b)| there.range(a..=b).next().is_none());
        let absent: Vec<String> = absent.map(|Chips(a, b)| range(*a, *b)).collect();
        (!absent.is_empty()).then(|| format!("chip {}", absent.join(",")))
    }
}

fn text(instant: &Option<Instant>) -> Option<String> {
    instant.as_ref().map(ToString::to_string)
}

fn range<T: PartialEq + fmt::Display>(low: T, high: T) -> String {
    if low == high { low.to_string() } else { format!("{low}-{high}") }
}
