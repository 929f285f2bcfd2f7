//! One connection of an asker: requests, and their answers.

use super::frames::Frames;
use super::hub::Hub;
use super::{client, legacy, picture, texts};
use crate::state::Holder;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::{Value, json};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;
use tt_memtrace_wire::frame::{self, Kind, MAX_PAYLOAD};

/// The requests, as an unknown one is told.
const KNOWN: [&str; 8] = ["state", "follow", "dump", "stats", "kernels", "mark", "baseline", "shutdown"];
/// So many of the largest buffers are told if nobody says how many.
const TOP: usize = 20;
/// So many buffers are in one answer, with all their chips.
const PART: usize = 1000;
/// A viewer is told no more often.
const SHORTEST: Duration = Duration::from_millis(20);

/// What comes after an answer.
enum Next {
    Request,
    /// The rest of an answer that no frame can hold.
    More(Vec<Value>),
    /// The state again and again.
    Follow {
        every: Duration,
        top: usize,
    },
    Stop,
}

/// Answers until the asker ends the connection. Who may not end the server is given nothing to do it with.
pub fn serve(hub: &Hub, mut stream: UnixStream, mut frames: Frames, stop: Option<&(dyn Fn() + Send + Sync)>) {
    // The asker has gone; there is nobody to tell.
    let _ = answer_all(hub, &mut stream, &mut frames, stop);
}

fn answer_all(
    hub: &Hub,
    stream: &mut UnixStream,
    frames: &mut Frames,
    stop: Option<&(dyn Fn() + Send + Sync)>,
) -> io::Result<()> {
    loop {
        let payload = match frames.next() {
            Ok(Some((Kind::Request, payload))) => frames.payload(payload),
            Ok(None) => match frames.fill(stream) {
                Ok(true) => continue,
                _ => return Ok(()),
            },
            Ok(Some((kind, _))) => {
                client::refuse(stream, &format!("a frame {kind:?} where there can be none"));
                return Ok(());
            }
            Err(error) => {
                client::refuse(stream, &error.to_string());
                return Ok(());
            }
        };
        let (answer, next) = match serde_json::from_slice(payload) {
            Ok(request) => answer(hub, &request, stop.is_some()),
            Err(error) => (failure(&format!("not a request: {error}")), Next::Request),
        };
        send(stream, &answer)?;
        match (next, stop) {
            (Next::More(parts), _) => parts.iter().try_for_each(|part| send(stream, part))?,
            (Next::Follow { every, top }, _) => follow(hub, stream, every, top)?,
            (Next::Stop, Some(stop)) => stop(),
            (Next::Request | Next::Stop, _) => {}
        }
    }
}

fn answer(hub: &Hub, request: &Value, may_stop: bool) -> (Value, Next) {
    let top = number(request, "top").unwrap_or(TOP);
    let is_classic = hub.observer.is_classic();
    let state = || json!({"ok": true, "state": picture::state(hub, top)});
    let answer = match request["request"].as_str().unwrap_or_default() {
        "state" => state(),
        "follow" => {
            let every_ms = number(request, "every_ms").and_then(|ms| u64::try_from(ms).ok()).unwrap_or(100);
            let every = Duration::from_millis(every_ms).max(SHORTEST);
            return (state(), Next::Follow { every, top });
        }
        "dump" => {
            let device = number(request, "device").and_then(|device| u32::try_from(device).ok());
            return dump(hub, device, is_classic);
        }
        "stats" => {
            let state = picture::state(hub, top);
            let text = if is_classic { legacy::statistics(hub) } else { texts::stats(&state) };
            json!({"ok": true, "text": text, "state": state})
        }
        "kernels" => {
            let kernels = picture::kernels(hub);
            let text = if is_classic { legacy::dump_kernels(hub) } else { texts::kernels(&kernels) };
            json!({"ok": true, "text": text, "kernels": kernels})
        }
        "mark" => match request["name"].as_str().filter(|name| !name.is_empty()) {
            Some(name) => {
                let name: String = name.chars().filter(|c| !c.is_control()).take(200).collect();
                hub.note(0, format!("mark {name}"));
                hub.observer.say(&format!("mark {name}"));
                json!({"ok": true, "text": format!("marked: {name}")})
            }
            None => failure("a mark needs a name"),
        },
        "baseline" => {
            let is_cleared = request["clear"].as_bool().unwrap_or(false);
            hub.set_baseline(is_cleared);
            let text = if is_cleared { "baseline cleared" } else { "baseline taken" };
            hub.observer.say(text);
            json!({"ok": true, "text": text})
        }
        "shutdown" if may_stop => {
            return (json!({"ok": true, "text": "the server ends"}), Next::Stop);
        }
        "shutdown" => failure("only the user who started the server may end it"),
        other => failure(&format!("unknown request {other:?}, known are: {}", KNOWN.join(", "))),
    };
    (answer, Next::Request)
}

/// All live buffers, or those on one chip: in one answer with a text, or in several that say so.
fn dump(hub: &Hub, device: Option<u32>, is_classic: bool) -> (Value, Next) {
    let mut buffers = picture::state(hub, usize::MAX).holders;
    buffers.retain(|holder| device.is_none_or(|device| holder.chips.contains(&device)));
    if buffers.len() <= PART {
        let text = if is_classic { legacy::dump_remaining(hub, device) } else { texts::dump(&buffers) };
        return (json!({"ok": true, "text": text, "buffers": buffers}), Next::Request);
    }
    let n_parts = buffers.len().div_ceil(PART);
    let part =
        |(i, buffers): (usize, &[Holder])| json!({"ok": true, "more": i + 1 < n_parts, "buffers": buffers});
    let mut parts = buffers.chunks(PART).enumerate().map(part);
    let first = parts.next().unwrap_or_default();
    (first, Next::More(parts.collect()))
}

fn number(request: &Value, field: &str) -> Option<usize> {
    usize::try_from(request[field].as_u64()?).ok()
}

fn failure(why: &str) -> Value {
    json!({"ok": false, "error": why})
}

/// The state over and over, until the asker says something else or has gone. Whoever does not read in time is let go.
fn follow(hub: &Hub, stream: &mut UnixStream, every: Duration, top: usize) -> io::Result<()> {
    while !says_more_within(stream, every) {
        send(stream, &json!({"ok": true, "state": picture::state(hub, top)}))?;
    }
    Ok(())
}

/// Waits; true if the asker said something or ended the connection meanwhile.
fn says_more_within(stream: &UnixStream, time: Duration) -> bool {
    let timeout = PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX);
    let mut wanted = [PollFd::new(stream.as_fd(), PollFlags::POLLIN)];
    poll(&mut wanted, timeout).is_ok_and(|n| n > 0)
}

/// Sends an answer. One that no frame can hold is replaced by the reason.
fn send(stream: &mut UnixStream, answer: &Value) -> io::Result<()> {
    let mut text = answer.to_string();
    if text.len() > MAX_PAYLOAD {
        text = failure(&format!("the answer has {} bytes, ask for fewer buffers", text.len())).to_string();
    }
    let mut bytes = Vec::with_capacity(text.len() + 8);
    frame::put(Kind::Answer, text.as_bytes(), &mut bytes);
    stream.write_all(&bytes)
}
