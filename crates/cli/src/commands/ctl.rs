//! `ctl`: asks the tracking server and prints its answer.

use crate::args::{Ctl, CtlRequest};
use crate::json::{self, versioned};
use crate::server::{ask::Asker, texts};
use crate::state::Holder;
use serde_json::{Value, json};
use std::io::Write;

/// Asks once.
pub fn run(args: &Ctl, out: &mut dyn Write) -> anyhow::Result<u8> {
    let mut asker = Asker::find(args.socket.as_deref())?;
    let request = request(&args.request);
    asker.request(&request)?;
    let mut answer = asker.answer()?;
    if answer["more"] == true {
        let buffers = all_buffers(&mut asker, answer)?;
        answer = json!({"text": texts::dump(&buffers), "buffers": buffers});
    }
    if let CtlRequest::State { .. } = args.request {
        json::line(out, &answer["state"])?;
    } else if args.json {
        let fields = json!({
            "source": asker.path.display().to_string(),
            "request": request["request"],
            "text": answer["text"],
            "state": answer["state"],
            "buffers": answer["buffers"],
            "kernels": answer["kernels"],
        });
        json::line(out, &versioned("ctl", fields))?;
    } else {
        let text = answer["text"].as_str().unwrap_or_default();
        writeln!(out, "{}", text.trim_end())?;
    }
    Ok(crate::exit::OK)
}

/// A dump comes in parts where it is long.
fn all_buffers(asker: &mut Asker, mut part: Value) -> anyhow::Result<Vec<Holder>> {
    let mut all = Vec::new();
    loop {
        all.extend(serde_json::from_value::<Vec<Holder>>(part["buffers"].take())?);
        if part["more"] != true {
            return Ok(all);
        }
        part = asker.answer()?;
    }
}

fn request(of: &CtlRequest) -> Value {
    match of {
        CtlRequest::Dump { device } => json!({"request": "dump", "device": device}),
        CtlRequest::Stats => json!({"request": "stats"}),
        CtlRequest::Kernels => json!({"request": "kernels"}),
        CtlRequest::Mark { name } => json!({"request": "mark", "name": name}),
        CtlRequest::Baseline { clear } => json!({"request": "baseline", "clear": clear}),
        CtlRequest::State { top } => json!({"request": "state", "top": top}),
        CtlRequest::Shutdown => json!({"request": "shutdown"}),
    }
}
