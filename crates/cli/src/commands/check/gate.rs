//! What may be asked of a capture, and the answer.

use super::measure::{At, Measured};
use crate::filters::PeakOf;
use crate::{json, render};
use serde_json::{Value, json};

/// Something that must hold for every capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// The logical bytes of a memory on the worst chip never rise above this.
    Peak {
        /// Of what.
        of: PeakOf,
        /// Bytes.
        most: u64,
    },
    /// What the program should have freed, on the worst chip, logical bytes.
    Leaks {
        /// Bytes.
        most: u64,
    },
    /// The room in L1 between circular buffers and buffers never falls below this.
    Headroom {
        /// Bytes of one core.
        least: u64,
    },
}

/// How a gate stands, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It holds.
    Passed,
    /// Nobody can tell.
    NotMeasured,
    /// It does not hold.
    Failed,
}

impl Verdict {
    /// The word for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::NotMeasured => "not_measured",
            Self::Failed => "failed",
        }
    }
}

/// The answer to a gate: that of the capture that stands worst.
#[derive(Debug, Clone)]
pub struct Judgement {
    gate: Gate,
    /// How it stands.
    pub verdict: Verdict,
    /// What was measured, if anything was, and where.
    measured: Option<i64>,
    at: Option<At>,
    /// Why it could not be measured.
    why: Option<String>,
}

impl Gate {
    /// The gate on each capture; the worst of them counts.
    pub fn judge(self, all: &[Measured]) -> Judgement {
        let none = Judgement {
            gate: self,
            verdict: Verdict::NotMeasured,
            measured: None,
            at: None,
            why: Some("there is no capture".into()),
        };
        let judged = all.iter().map(|measured| self.judge_one(measured));
        // Of two that stand alike, the one that is nearer to its limit, or further behind it.
        judged.max_by_key(|judgement| (judgement.verdict, judgement.excess())).unwrap_or(none)
    }

    fn judge_one(self, measured: &Measured) -> Judgement {
        let (value, at) = match self {
            Self::Peak { of, .. } => measured.peak(of),
            Self::Leaks { .. } => measured.leaks(),
            Self::Headroom { .. } => measured.headroom(),
        };
        let mut judgement =
            Judgement { gate: self, verdict: Verdict::Passed, measured: value, at, why: None };
        if judgement.excess().is_some_and(|excess| excess > 0) {
            // Losses only hide: what was seen is enough for the verdict.
            judgement.verdict = Verdict::Failed;
        } else if let Some(why) = measured.why_not(self) {
            judgement.verdict = Verdict::NotMeasured;
            judgement.why = Some(why);
        }
        judgement
    }

    /// The name for programs.
    fn name(self) -> &'static str {
        match self {
            Self::Peak { .. } => "peak",
            Self::Leaks { .. } => "leaks",
            Self::Headroom { .. } => "headroom",
        }
    }

    fn limit(self) -> u64 {
        match self {
            Self::Peak { most, .. } | Self::Leaks { most } => most,
            Self::Headroom { least } => least,
        }
    }

    /// One line: what must hold.
    pub fn words(self) -> String {
        let limit = render::bytes(self.limit());
        match self {
            Self::Peak { of, .. } => format!("peak of {of} at most {limit} on a chip"),
            Self::Leaks { most: 0 } => "nothing leaked".into(),
            Self::Leaks { .. } => format!("at most {limit} leaked on a chip"),
            Self::Headroom { .. } => format!("at least {limit} between circular buffers and L1 buffers"),
        }
    }
}

impl Judgement {
    /// By how much the figure is on the wrong side of the limit.
    fn excess(&self) -> Option<i64> {
        let limit = i64::try_from(self.gate.limit()).unwrap_or(i64::MAX);
        let measured = self.measured?;
        Some(match self.gate {
            Gate::Headroom { .. } => limit.saturating_sub(measured),
            _ => measured.saturating_sub(limit),
        })
    }

    /// The gate it is about.
    pub fn gate(&self) -> Gate {
        self.gate
    }

    /// One line: what must hold, what was measured, and where.
    pub fn words(&self) -> String {
        let mut words = self.gate.words();
        if let Some(measured) = self.measured {
            let sign = if measured < 0 { "-" } else { "" };
            words += &format!(", measured {sign}{}", render::bytes(measured.unsigned_abs()));
            if let Some(at) = &self.at {
                words += &format!(" {}", at.words);
            }
        }
        if let Some(why) = &self.why {
            words += &format!("; {why}");
        }
        words
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let of = if let Gate::Peak { of, .. } = self.gate { Some(of.to_string()) } else { None };
        let measured = self.measured.map_or(Value::Null, |bytes| match u64::try_from(bytes) {
            Ok(bytes) => json::int(bytes),
            Err(_) => json!(bytes),
        });
        let at = self.at.as_ref();
        json!({
            "gate": self.gate.name(),
            "of": of,
            "limit_bytes": json::int(self.gate.limit()),
            "measured_bytes": measured,
            "verdict": self.verdict.name(),
            "why": self.why,
            "capture": at.map(|at| at.capture.clone()),
            "pid": at.map(|at| at.pid),
            "chips": at.map(|at| at.chips.clone()),
            "n": at.map(|at| json::int(at.n)),
        })
    }
}
