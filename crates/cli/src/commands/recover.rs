//! `recover`: completes the captures of killed processes.

use crate::args::Recover;
use crate::capture::{Capture, CaptureError};
use crate::json;
use crate::recover::{Outcome, complete, describe};
use crate::sources;
use serde_json::json;
use std::io::Write;

/// Completes each capture and says what there was.
pub fn run(args: &Recover, out: &mut dyn Write) -> anyhow::Result<u8> {
    let mut processes = Vec::new();
    let code = sources::each(&args.captures.captures, |path| {
        let capture = Capture::open_as_is(path)?;
        let outcome = complete(path, &capture.header).map_err(|error| CaptureError::io(path, error))?;
        let (status, text) = match &outcome {
            Outcome::Nothing => ("complete", "nothing to recover".to_owned()),
            Outcome::StillRunning => ("running", "its process still runs and writes it".to_owned()),
            Outcome::Completed(recovery) => ("recovered", describe(*recovery)),
        };
        if !args.captures.json {
            writeln!(out, "{}: {text}", path.display())?;
        }
        let mut process =
            json!({"capture": path.display().to_string(), "pid": capture.header.pid, "status": status});
        if let Outcome::Completed(recovery) = outcome {
            process["recovered"] = json::int(recovery.recovered);
            process["unfinished"] = json::int(recovery.unfinished);
            process["unreadable"] = json::int(recovery.unreadable);
            process["dropped"] = json::int(recovery.dropped);
        }
        processes.push(process);
        Ok(())
    })?;
    if args.captures.json {
        json::line(out, &json!({"schema": "tt-memtrace.recover/1", "processes": processes}))?;
    }
    Ok(code)
}
