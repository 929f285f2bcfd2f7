//! The judgements as JUnit's XML, which CI systems show beside test results.

use super::gate::{Judgement, Verdict};
use std::fmt::Write;

/// The whole file.
pub fn text(judgements: &[Judgement]) -> String {
    let count = |verdict| judgements.iter().filter(|judgement| judgement.verdict == verdict).count();
    let (failures, skipped) = (count(Verdict::Failed), count(Verdict::NotMeasured));
    let mut text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned();
    let n = judgements.len();
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "<testsuite name=\"tt-memtrace check\" tests=\"{n}\" failures=\"{failures}\" errors=\"0\" \
         skipped=\"{skipped}\">"
    );
    for judgement in judgements {
        let (name, words) = (escaped(&judgement.gate().words()), escaped(&judgement.words()));
        let _ = match judgement.verdict {
            Verdict::Passed => writeln!(text, "  <testcase classname=\"tt-memtrace\" name=\"{name}\"/>"),
            Verdict::Failed => writeln!(
                text,
                "  <testcase classname=\"tt-memtrace\" name=\"{name}\"><failure message=\"{words}\"/></testcase>"
            ),
            Verdict::NotMeasured => writeln!(
                text,
                "  <testcase classname=\"tt-memtrace\" name=\"{name}\"><skipped message=\"not measured: \
                 {words}\"/></testcase>"
            ),
        };
    }
    text + "</testsuite>\n"
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // XML 1.0 has no way to write these.
            c if c < ' ' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
