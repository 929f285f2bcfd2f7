//! `ctl`: asks the tracking server and prints its answer.

use crate::args::{Ctl, CtlRequest};
use crate::exit::{self, Usage};
use crate::follow;
use crate::json::{self, versioned};
use crate::server::{ask::Asker, texts};
use crate::state::Holder;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::time::Duration;

/// How often `--follow` looks.
const PAUSE: Duration = Duration::from_millis(1);
/// How often it does if standard input tells it to, besides that.
const PAUSE_IF_TOLD: Duration = Duration::from_millis(10);

/// Asks once.
pub fn run(args: &Ctl, out: &mut dyn Write) -> anyhow::Result<u8> {
    if let Some(path) = &args.follow {
        let pause: &dyn Fn() = if args.on_input { &until_told } else { &|| std::thread::sleep(PAUSE) };
        let (pid, n_largest) = (args.pid, args.num_largest);
        follow::run(&follow::Wish { path, pid, n_largest, pause, is_over: &is_unwanted }, out)?;
        return Ok(exit::OK);
    }
    let Some(wanted) = &args.request else {
        return Err(Usage("nothing to ask; say what, as in: tt-memtrace ctl stats".into()).into());
    };
    let mut asker = Asker::find(args.socket.as_deref())?;
    let request = request(wanted);
    asker.request(&request)?;
    let mut answer = asker.answer()?;
    if answer["more"] == true {
        let buffers = all_buffers(&mut asker, answer)?;
        answer = json!({"text": texts::dump(&buffers), "buffers": buffers});
    }
    if let CtlRequest::State { .. } = wanted {
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
    Ok(exit::OK)
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

/// Waits until something comes in at standard input, and takes that.
fn until_told() {
    let stdin = std::io::stdin();
    let mut polled = [PollFd::new(&stdin, PollFlags::IN)];
    let pause = Timespec { tv_sec: 0, tv_nsec: PAUSE_IF_TOLD.subsec_nanos().into() };
    let is_told = matches!(poll(&mut polled, Some(&pause)), Ok(1..));
    if is_told && !matches!(stdin.lock().read(&mut [0; 4096]), Ok(1..)) {
        // Nobody will tell any more.
        std::thread::sleep(PAUSE_IF_TOLD);
    }
}

/// Whether nobody reads standard output any more.
fn is_unwanted() -> bool {
    let stdout = std::io::stdout();
    let mut polled = [PollFd::new(&stdout, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    matches!(poll(&mut polled, Some(&now)), Ok(1..))
        && polled[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
}
