//! `recover`: completes the captures of killed processes.

use crate::args::Recover;
use crate::capture::{Capture, CaptureError};
use crate::liveness::{self, Liveness};
use crate::recover::{Outcome, complete, describe, has_end};
use crate::{doubts, json, orphans, sources};
use serde_json::json;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Completes each capture and says what there was.
pub fn run(args: &Recover, out: &mut dyn Write) -> anyhow::Result<u8> {
    let (mut processes, mut lossy) = (Vec::new(), Vec::new());
    let code = sources::each(&args.captures.captures, |path| {
        let path = &capture(path)?;
        let capture = Capture::open_or_clean(path)?;
        let outcome = complete(path, &capture.header).map_err(|why| CaptureError::incomplete(path, why))?;
        let is_lost =
            || liveness::of(&capture.header) == Liveness::Gone && has_end(path).is_ok_and(|has| !has);
        let (status, text) = match &outcome {
            Outcome::Nothing if is_lost() => (
                "lost",
                "its spool is gone, as after a restart, and what was not in the file with it".to_owned(),
            ),
            Outcome::Nothing => ("complete", "nothing to recover".to_owned()),
            Outcome::StillRunning => ("running", "its process still runs and writes it".to_owned()),
            Outcome::Elsewhere => {
                ("elsewhere", "its process ran in another container or host: recover it there".to_owned())
            }
            Outcome::Completed(recovery) => ("recovered", describe(*recovery)),
        };
        if !args.captures.json {
            writeln!(out, "{}: {text}", path.display())?;
        }
        let mut process =
            json!({"capture": path.display().to_string(), "pid": capture.header.pid, "status": status});
        if status == "lost" {
            lossy.push(format!("{}: its last events were lost", path.display()));
        }
        if let Outcome::Completed(recovery) = outcome {
            if recovery.dropped + recovery.unfinished + recovery.unreadable > 0 {
                lossy.push(format!("{}: events were lost", path.display()));
            }
            process["recovered"] = json::int(recovery.recovered);
            process["unfinished"] = json::int(recovery.unfinished);
            process["unreadable"] = json::int(recovery.unreadable);
            process["dropped"] = json::int(recovery.dropped);
        }
        processes.push(process);
        Ok(())
    })?;
    if args.captures.json {
        json::line(out, &json::versioned("recover", json!({"processes": processes})))?;
    }
    Ok(if args.captures.strict { doubts::judge(&lossy, code) } else { code })
}

/// A spool stands for its capture.
fn capture(path: &Path) -> Result<PathBuf, CaptureError> {
    if path.extension().is_none_or(|extension| extension != "spool") {
        return Ok(path.to_owned());
    }
    orphans::capture_of(path)
        .map_err(|why| CaptureError::incomplete(path, format!("its capture is not known: {why}")))
}
