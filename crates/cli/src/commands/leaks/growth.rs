//! What becomes more from one repetition of a mark to the next.

use crate::filters::Selection;
use crate::{json, render};
use serde_json::{Value, json};
use std::io::Write;
use tt_memtrace_ledger::{GroupTrend, Growth, Trend, TypeTrend};
use tt_memtrace_wire::Header;

/// So many groups of buffers are shown of each series.
const N_GROUPS: usize = 5;

/// The series with enough marks to be judged, and of each what the filters keep.
pub fn trends(growth: &Growth, selection: &Selection) -> Vec<Trend> {
    let mut trends = growth.trends();
    for trend in &mut trends {
        trend.types.retain(|of| selection.has_type(of.buffer_type) && selection.has_chips(&of.chips));
        trend.groups.retain(|group| selection.has_type(group.of.buffer_type));
    }
    trends.retain(|trend| !trend.types.is_empty());
    trends
}

/// For people: a line per memory type that grows; one line says so where none does.
pub fn print(trends: &[Trend], header: &Header, out: &mut dyn Write) -> anyhow::Result<()> {
    for trend in trends {
        let marks = format!("{} marks {:?}", render::count(trend.n_marks, ""), trend.name);
        let (from, upto) = (render::moment(trend.from, header), render::moment(trend.upto, header));
        let growing: Vec<&TypeTrend> =
            trend.types.iter().filter(|of| of.line.grows || of.in_bank.grows).collect();
        if growing.is_empty() {
            writeln!(out, "steady over {marks}, judged from {from} to {upto}")?;
            continue;
        }
        writeln!(out, "GROWS over {marks}, judged from {from} to {upto}:")?;
        for of in growing {
            let (more, bank) = (rate(of.line.per_mark), rate(of.in_bank.per_mark));
            let end =
                of.marks_left().map_or_else(String::new, |left| format!(", full after {} more", whole(left)));
            let chips = render::each(&of.chips);
            writeln!(
                out,
                "  {} by {more} from mark to mark ({bank} per bank) on {chips}{end}",
                of.buffer_type
            )?;
        }
        for group in trend.groups.iter().take(N_GROUPS) {
            writeln!(out, "    {}", words(group))?;
        }
    }
    Ok(())
}

fn words(group: &GroupTrend) -> String {
    let size = render::bytes(group.of.size_bytes);
    let (buffer_type, class) = (group.of.buffer_type, group.of.class);
    let live = render::count(group.n_live, "");
    format!(
        "{:+.2} buffers of {size} {buffer_type}, {class}, from mark to mark; {live} at the last",
        group.line.per_mark
    )
}

/// Bytes, which may become fewer.
fn rate(per_mark: f64) -> String {
    let sign = if per_mark < 0.0 { "-" } else { "" };
    format!("{sign}{}", render::bytes(rounded(per_mark.abs())))
}

fn whole(number: f64) -> String {
    render::count(rounded(number), "mark")
}

/// Of a number that is not negative; beyond 64 bits, the most they hold.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "such casts saturate")]
fn rounded(number: f64) -> u64 {
    number.round() as u64
}

/// For programs.
pub fn json(trend: &Trend, header: &Header) -> Value {
    let of_type = |of: &TypeTrend| {
        json!({
            "type": of.buffer_type.to_string(),
            "chips": of.chips,
            "grows": of.line.grows || of.in_bank.grows,
            "bytes_per_mark": of.line.per_mark,
            "bank_bytes_per_mark": of.in_bank.per_mark,
            "free_in_bank": json::optional(of.free_in_bank),
            "marks_left": of.marks_left(),
        })
    };
    let group = |group: &GroupTrend| {
        json!({
            "type": group.of.buffer_type.to_string(),
            "size_bytes": json::int(group.of.size_bytes),
            "class": group.of.class.to_string(),
            "n_live": json::int(group.n_live),
            "buffers_per_mark": group.line.per_mark,
            "bytes_per_mark": group.bytes_per_mark(),
        })
    };
    json!({
        "marks": trend.name,
        "n_marks": json::int(trend.n_marks),
        "from": json::moment(trend.from, header),
        "to": json::moment(trend.upto, header),
        "types": trend.types.iter().map(of_type).collect::<Vec<_>>(),
        "groups": trend.groups.iter().map(group).collect::<Vec<_>>(),
        "has_all_groups": trend.has_all_groups,
    })
}
