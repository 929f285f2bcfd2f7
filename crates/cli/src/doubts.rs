//! What makes the figures of a capture doubtful: the reasons that `--strict` turns into an error.

use crate::replay::{Replay, Status};
use crate::{exit, render};

/// One line per reason, with the capture's name.
pub fn of(replay: &Replay) -> Vec<String> {
    let mut reasons = losses(replay);
    if replay.status == Status::Stopped {
        reasons.push("the recording stopped before the process ended".into());
    }
    if replay.missing_parent.is_some() {
        reasons.push("the capture of its parent was not found".into());
    }
    if replay.n_unknown > 0 {
        reasons
            .push(format!("{} of kinds this version does not know", render::count(replay.n_unknown, "line")));
    }
    for (kind, n) in replay.ledger.anomalies().counts() {
        reasons.push(format!("{n} {kind}, see tt-memtrace stats"));
    }
    let path = render::path(&replay.path);
    reasons.into_iter().map(|reason| format!("{path}: {reason}")).collect()
}

/// The exit code under `--strict`: says the reasons, which are an error.
pub fn judge(reasons: &[String], code: u8) -> u8 {
    reasons.iter().for_each(|reason| exit::say(format_args!("strict: {reason}")));
    if reasons.is_empty() || code != exit::OK { code } else { exit::DEGRADED }
}

/// Whether events of the process are not in the capture.
pub fn has_losses(replay: &Replay) -> bool {
    !losses(replay).is_empty()
}

/// What of the process's events is not in the capture.
pub fn losses(replay: &Replay) -> Vec<String> {
    let lost = [
        (replay.n_dropped, "event", "DROPPED"),
        (replay.n_unfinished(), "event", "CUT OFF"),
        (replay.n_unreadable(), "record", "UNREADABLE"),
    ];
    let lost = lost.into_iter().filter(|(n, ..)| *n > 0);
    let mut lost: Vec<String> =
        lost.map(|(n, noun, how)| format!("{} {how}", render::count(n, noun))).collect();
    if replay.is_torn && replay.status != Status::Running {
        lost.push("last line TORN".into());
    }
    if replay.may_lack_its_end() {
        lost.push("its last events MAY BE MISSING".into());
    }
    lost
}
