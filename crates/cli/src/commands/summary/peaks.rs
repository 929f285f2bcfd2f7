//! What memory was made of when most of it was held: by type, and by class.

use crate::figures::Figures;
use crate::replay::Replay;
use crate::{json, render};
use serde_json::{Map, Value, json};
use std::io::Write;
use tt_memtrace_ledger::{ByClass, Class, Gauge, Tally, Totals};
use tt_memtrace_wire::{BufferType, Header};

/// When the chips held most, in all types together.
pub struct Peaks {
    groups: Vec<Totals>,
    all_chips: Option<(Gauge, Vec<(BufferType, Gauge)>)>,
}

impl Peaks {
    /// Of what is shown.
    pub fn of(figures: &Figures, replay: &Replay) -> Self {
        let mut groups = figures.chips(replay);
        groups.retain(|group| group.total.is_some_and(|total| total.peak > 0));
        Self { groups, all_chips: figures.global(replay) }
    }

    /// For people: a line per group of chips, and one for all chips together if there are several.
    pub fn print(&self, header: &Header, out: &mut dyn Write) -> anyhow::Result<()> {
        for group in &self.groups {
            let Some(total) = group.total else { continue };
            let parts: Vec<String> = group.at_peak.iter().filter_map(words).collect();
            let (bytes, at) = (render::bytes(total.peak), render::moment(total.peak_at, header));
            let chips = render::each(&group.chips);
            writeln!(out, "most at once on {chips}: {bytes} at {at}")?;
            writeln!(out, "  {}", render::cut(&parts.join(", "), 98))?;
        }
        let n_chips: usize = self.groups.iter().map(|group| group.chips.len()).sum();
        if let Some((total, _)) = self.all_chips.as_ref().filter(|_| n_chips > 1) {
            let (bytes, at) = (render::bytes(total.peak), render::moment(total.peak_at, header));
            writeln!(out, "most at once on all {n_chips} chips together: {bytes} at {at}")?;
        }
        Ok(())
    }

    /// For programs: the same, and the peak of each type over all chips.
    pub fn json(&self, header: &Header) -> Value {
        let group = |group: &Totals| {
            let total = group.total.unwrap_or_default();
            let of_type = |(buffer_type, classes): &(BufferType, ByClass)| json!({"type": buffer_type.to_string(), "classes": by_class(classes)});
            json!({
                "chips": group.chips,
                "bytes": json::int(total.peak),
                "at": json::moment(total.peak_at, header),
                "types": group.at_peak.iter().map(of_type).collect::<Vec<_>>(),
            })
        };
        let peak = |gauge: &Gauge| json!({"peak": json::int(gauge.peak), "peak_at": json::moment(gauge.peak_at, header)});
        let all_chips = self.all_chips.as_ref().map(|(total, types)| {
            let of_type = |(buffer_type, gauge): &(BufferType, Gauge)| {
                json::with(json!({"type": buffer_type.to_string()}), peak(gauge))
            };
            let types: Vec<Value> = types.iter().filter(|(_, gauge)| gauge.peak > 0).map(of_type).collect();
            json::with(peak(total), json!({"types": types}))
        });
        json!({"most_at_once": self.groups.iter().map(group).collect::<Vec<_>>(), "all_chips": all_chips})
    }
}

/// One type and the classes it was made of.
fn words((buffer_type, classes): &(BufferType, ByClass)) -> Option<String> {
    let known = Class::ALL.into_iter().zip(classes).filter(|(_, bytes)| **bytes > 0);
    let classes: Vec<String> =
        known.map(|(class, bytes)| format!("{class} {}", render::bytes(*bytes))).collect();
    (!classes.is_empty()).then(|| format!("{buffer_type} {}", classes.join(" + ")))
}

/// What a type was made of at its peak, and each class's own peak, which is at a moment of its own.
pub fn classes(tally: &Tally, header: &Header) -> Value {
    let at_peak = tally.at_peak();
    let own = Class::ALL.into_iter().zip(tally.classes).filter(|(_, gauge)| gauge.peak > 0);
    let own = own.map(|(class, gauge)| {
        let value = json!({
            "live": json::int(gauge.live),
            "own_peak": json::int(gauge.peak),
            "own_peak_at": json::moment(gauge.peak_at, header),
        });
        (class.to_string(), value)
    });
    json!({"at_peak": by_class(&at_peak), "classes": own.collect::<Map<_, _>>()})
}

fn by_class(classes: &ByClass) -> Value {
    let known = Class::ALL.into_iter().zip(classes).filter(|(_, bytes)| **bytes > 0);
    Value::Object(known.map(|(class, bytes)| (class.to_string(), json::int(*bytes))).collect())
}
