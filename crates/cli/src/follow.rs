//! Follows a capture that is being written, and answers each mark in it with one line of JSON: what was live, and the
//! peaks since the mark before. That is how a test runner gets figures of each test without doing any accounting.
//!
//! Marks with these endings bound spans; a test is a span, and so is the setup of a fixture that outlives it:
//!
//! * `NAME:begin` opens one.
//! * `NAME:end` closes it. Its answer also says what the span left: what was allocated in it and is live now, or was
//!   only ended by a close, a sweep or the like.
//! * `NAME:hold` closes it, too, but what it holds is meant to stay: it is no longer part of the spans around it.
//! * `NAME:release` says what of that is left.

use crate::capture::Capture;
use crate::liveness::{self, Liveness};
use crate::origin::Origin;
use crate::{json, recover, replay};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tt_memtrace_ledger::{Buffer, Class, Ledger, Moment, Snapshot, Totals};
use tt_memtrace_wire::{Event, Header, Line};

/// How often it is looked whether the process still runs.
const LOOK: Duration = Duration::from_millis(200);
/// Spans that were begun and not ended, and that hold something; the oldest are forgotten.
const MOST_SPANS: usize = 1024;

/// What is followed, and how.
pub struct Wish<'a> {
    /// A capture, or the folder in which it will be.
    pub path: &'a Path,
    /// Whose capture it is.
    pub pid: Option<u32>,
    /// How many buffers are listed of what a span left.
    pub n_largest: usize,
    /// Waits when there is nothing new.
    pub pause: &'a dyn Fn(),
    /// Whether nobody wants answers any more; asked now and then.
    pub is_over: &'a dyn Fn() -> bool,
}

/// Writes the answers until the process has ended.
pub fn run(wish: &Wish<'_>, out: &mut dyn Write) -> anyhow::Result<()> {
    let Some(mut capture) = wait_for(wish)? else { return Ok(()) };
    let mut follower = Follower::new(&capture, wish.n_largest);
    let mut looked = Instant::now();
    loop {
        while let Some(line) = capture.next_written()? {
            if let Some(answer) = follower.see(&line) {
                json::line(out, &answer)?;
                out.flush()?;
            }
        }
        if capture.footer.is_some() || capture.recovery.is_some() {
            break;
        }
        (wish.pause)();
        if looked.elapsed() >= LOOK {
            looked = Instant::now();
            if (wish.is_over)() {
                return Ok(());
            }
            if liveness::of(&capture.header) == Liveness::Gone
                && !recover::complete_and_say(&capture.path, &capture.header)
            {
                break;
            }
        }
    }
    json::line(out, &follower.end(&capture))?;
    out.flush()?;
    Ok(())
}

/// The capture, once it is there with its first line; in a folder, that of the process.
fn wait_for(wish: &Wish<'_>) -> anyhow::Result<Option<Capture>> {
    let path = wish.path;
    let mut looked = Instant::now();
    loop {
        let candidates = if path.is_dir() { in_folder(path) } else { vec![path.to_owned()] };
        for candidate in candidates {
            let Ok(capture) = Capture::open_as_is(&candidate) else { continue };
            if wish.pid.is_none_or(|pid| pid == capture.header.pid)
                && liveness::of(&capture.header) != Liveness::Gone
            {
                return Ok(Some(capture));
            }
            if !path.is_dir() {
                return Ok(Some(Capture::open(&candidate)?));
            }
        }
        (wish.pause)();
        if looked.elapsed() >= LOOK {
            looked = Instant::now();
            if (wish.is_over)() {
                return Ok(None);
            }
        }
    }
}

fn in_folder(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.filter(|path| path.extension().is_some_and(|extension| extension == "jsonl")).collect()
}

/// A part of the capture. Events are told by their numbers.
#[derive(Debug, Clone)]
struct Span {
    name: String,
    begun: Moment,
    /// The last event, once it is over.
    ended_n: u64,
    /// How many survivors there were at its beginning.
    n_survivors: usize,
}

/// The state between two lines.
struct Follower {
    header: Header,
    ledger: Ledger,
    open: Vec<Span>,
    held: Vec<Span>,
    last: Moment,
    n_largest: usize,
}

impl Follower {
    fn new(capture: &Capture, n_largest: usize) -> Self {
        let header = capture.header.clone();
        let last = Moment { n: 0, t_ns: header.t_ns };
        let (ledger, _) = replay::initial(&header, &capture.path);
        Self { header, ledger, open: Vec::new(), held: Vec::new(), last, n_largest }
    }

    /// The answer, if the line is a mark.
    fn see(&mut self, line: &Line) -> Option<Value> {
        let _ = self.ledger.apply(line);
        let Line::Event(stamp, event) = line else { return None };
        self.last = (*stamp).into();
        let Event::Mark { name } = event else { return None };
        let judged = self.bound(name);
        let answer = self.answer(name, judged.as_ref());
        self.ledger.restart_peaks(self.last);
        Some(answer)
    }

    /// Opens or closes a span. Gives the one that is to be judged.
    fn bound(&mut self, name: &str) -> Option<Span> {
        let (span, ending) = name.rsplit_once(':')?;
        match ending {
            "begin" => {
                let (begun, n_survivors) = (self.last, self.ledger.survivors().len());
                push(&mut self.open, Span { name: span.to_owned(), begun, ended_n: u64::MAX, n_survivors });
                None
            }
            "end" => take(&mut self.open, span),
            "hold" => {
                let held = take(&mut self.open, span)?;
                push(&mut self.held, Span { ended_n: self.last.n, ..held });
                None
            }
            "release" => take(&mut self.held, span),
            _ => None,
        }
    }

    /// Whether it was allocated in the span, and not in one within it that holds what it allocated.
    fn is_of(&self, span: &Span, buffer: &Buffer) -> bool {
        let is_in = |span: &Span| span.begun.n < buffer.since.n && buffer.since.n <= span.ended_n;
        is_in(span) && !self.held.iter().any(|held| held.begun.n >= span.begun.n && is_in(held))
    }

    fn answer(&self, name: &str, judged: Option<&Span>) -> Value {
        let snapshot = self.ledger.snapshot();
        let left = judged.map_or(Value::Null, |span| self.left(span, snapshot));
        json::versioned(
            "follow",
            json!({
                "mark": name,
                "at": json::moment(self.last, &self.header),
                "n_dropped": json::int(self.ledger.n_dropped()),
                "n_anomalies": json::int(self.ledger.anomalies().total()),
                "chips": snapshot.chips().iter().map(chips).collect::<Vec<_>>(),
                "circular_buffers": self.circular(snapshot),
                "left": left,
                "ended": Value::Null,
            }),
        )
    }

    /// The last line: how the process ended.
    fn end(&self, capture: &Capture) -> Value {
        let dropped = capture.footer.map_or(0, |footer| footer.dropped).max(self.ledger.n_dropped());
        let is_orderly = capture.footer.is_some();
        json::versioned(
            "follow",
            json!({
                "mark": Value::Null,
                "at": json::moment(self.last, &self.header),
                "n_dropped": json::int(dropped),
                "n_anomalies": json::int(self.ledger.anomalies().total()),
                "chips": self.ledger.snapshot().chips().iter().map(chips).collect::<Vec<_>>(),
                "circular_buffers": self.circular(self.ledger.snapshot()),
                "left": Value::Null,
                "ended": if is_orderly { "exited" } else { "killed" },
            }),
        )
    }

    /// How far circular buffers reached since the mark before, and the least room above them, by chip.
    fn circular(&self, snapshot: Snapshot<'_>) -> Vec<Value> {
        let least = snapshot.least_headrooms();
        let footprints = snapshot.circular_footprints();
        let all: std::collections::BTreeSet<u32> = least.keys().chain(footprints.keys()).copied().collect();
        let one = |chip: u32| {
            json!({
                "chip": chip,
                "peak_bytes": footprints.get(&chip).map_or(0, |footprint| footprint.peak_bytes()),
                "headroom_bytes": least.get(&chip).map(|least| least.room.bytes()),
            })
        };
        all.into_iter().map(one).collect()
    }

    /// What the span left: sums by memory, class and ending, and the largest.
    fn left(&self, span: &Span, snapshot: Snapshot<'_>) -> Value {
        let live = snapshot.live().into_iter().filter(|buffer| snapshot.is_counted(buffer));
        let live = live.map(|buffer| (buffer, "live".to_owned()));
        let survivors = self.ledger.survivors().get(span.n_survivors..).unwrap_or_default();
        let ended = survivors.iter().map(|ended| (&ended.buffer, ended.ending.to_string()));
        let mut left: Vec<(&Buffer, String)> =
            live.chain(ended).filter(|(buffer, _)| self.is_of(span, buffer)).collect();
        let mut sums: BTreeMap<(String, String, String), (u64, u64)> = BTreeMap::new();
        for (buffer, ending) in &left {
            let key = (buffer.alloc.buffer_type.to_string(), buffer.class.to_string(), ending.clone());
            let (n, bytes) = sums.entry(key).or_default();
            *n += 1;
            *bytes = bytes.saturating_add(buffer.alloc.size_bytes);
        }
        let is_leak = |class: &str| {
            Class::ALL
                .into_iter()
                .any(|known| known.to_string() == class && self.ledger.rules().is_leak(known))
        };
        let sums = sums.into_iter().map(|((buffer_type, class, ending), (n, bytes))| {
            json!({
                "type": buffer_type,
                "is_leak": is_leak(&class),
                "class": class,
                "ending": ending,
                "n_buffers": json::int(n),
                "bytes": json::int(bytes),
            })
        });
        left.sort_by_key(|(buffer, _)| std::cmp::Reverse(buffer.alloc.size_bytes));
        let largest = left.iter().take(self.n_largest).map(|(buffer, ending)| {
            let more = json!({
                "class": buffer.class.to_string(),
                "is_leak": self.ledger.rules().is_leak(buffer.class),
                "ending": ending,
                "since": json::moment(buffer.since.into(), &self.header),
            });
            let more = json::with(more, Origin::of_buffer(snapshot.contexts(), buffer).json());
            json::with(json::buffer(buffer, snapshot.chips_in_order(buffer.place())), more)
        });
        json!({
            "since": json::moment(span.begun, &self.header),
            "sums": sums.collect::<Vec<_>>(),
            "largest": largest.collect::<Vec<_>>(),
        })
    }
}

fn push(spans: &mut Vec<Span>, span: Span) {
    if spans.len() == MOST_SPANS {
        spans.remove(0);
    }
    spans.push(span);
}

/// The newest of that name.
fn take(spans: &mut Vec<Span>, name: &str) -> Option<Span> {
    let at = spans.iter().rposition(|span| span.name == name)?;
    Some(spans.remove(at))
}

/// Chips with the same figures: what is live, and the peaks since the mark before.
fn chips(totals: &Totals) -> Value {
    let types = totals.types.iter().map(|of| {
        json!({
            "type": of.buffer_type.to_string(),
            "live_bytes": json::int(of.tally.bytes.live),
            "peak_bytes": json::int(of.tally.bytes.peak),
            "peak_n": json::int(of.tally.bytes.peak_at.n),
            "live_bank_bytes": json::int(of.tally.bank_bytes.live),
            "peak_bank_bytes": json::int(of.tally.bank_bytes.peak),
            "n_buffers": json::int(of.tally.buffers.live),
            "bank_size_bytes": json::optional(of.bank.as_ref().map(|bank| bank.bank_size_bytes)),
        })
    });
    json!({"chips": totals.chips, "types": types.collect::<Vec<_>>()})
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = r#"{"kind":"header","schema":"tt-memtrace.capture","version":"1.0","pid":1,"process_start":2,"program":"p","t_ns":0,"wall_ns":0,"boot_id":"none","host":""}"#;
    const MESH: &str = r#"{"kind":"mesh","mesh_id":0,"chips":[0,1],"rows":1,"cols":2,"arch":"wormhole_b0"}"#;
    const FOOTER: &str = r#"{"kind":"footer","t_ns":9,"recorded":0,"dropped":0,"ended":"exit"}"#;

    fn alloc(n: u64, address: u64, size: u64) -> String {
        format!(
            r#"{{"kind":"alloc","n":{n},"t_ns":{n},"tid":1,"mesh_id":0,"type":"DRAM","layout":"INTERLEAVED","address":{address},"size_bytes":{size},"page_size_bytes":{size},"per_bank_bytes":{size},"owns_data":true}}"#
        )
    }

    fn free(n: u64, address: u64) -> String {
        format!(
            r#"{{"kind":"dealloc","n":{n},"t_ns":{n},"tid":1,"mesh_id":0,"type":"DRAM","address":{address}}}"#
        )
    }

    fn mark(n: u64, name: &str) -> String {
        format!(r#"{{"kind":"mark","n":{n},"t_ns":{n},"tid":1,"name":"{name}"}}"#)
    }

    fn answers(lines: &[String]) -> Vec<Value> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), lines.iter().map(|line| format!("{line}\n")).collect::<String>())
            .unwrap();
        let mut out = Vec::new();
        let wish = Wish { path: file.path(), pid: None, n_largest: 10, pause: &|| (), is_over: &|| true };
        run(&wish, &mut out).unwrap();
        str::from_utf8(&out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn bytes_left(answer: &Value) -> Vec<u64> {
        answer["left"]["largest"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["size_bytes"].as_u64().unwrap())
            .collect()
    }

    #[test]
    fn a_mark_tells_the_peak_since_the_one_before_and_what_is_live() {
        let answers = answers(&[
            HEADER.into(),
            MESH.into(),
            mark(1, "t:begin"),
            alloc(2, 64, 100),
            alloc(3, 264, 50),
            free(4, 64),
            mark(5, "t:call"),
            alloc(6, 1064, 7),
            free(7, 1064),
            mark(8, "t:end"),
            FOOTER.into(),
        ]);
        let dram = |answer: &Value| {
            let dram = &answer["chips"][0]["types"][0];
            (dram["peak_bytes"].as_u64().unwrap(), dram["live_bytes"].as_u64().unwrap())
        };
        assert_eq!(answers.len(), 4);
        assert_eq!((dram(&answers[1]), dram(&answers[2])), ((150, 50), (57, 50)));
        assert_eq!(bytes_left(&answers[2]), [50]);
        assert_eq!((&answers[3]["mark"], &answers[3]["ended"]), (&Value::Null, &json!("exited")));
    }

    #[test]
    fn what_a_fixture_holds_is_not_left_by_the_test_but_by_the_fixture() {
        let answers = answers(&[
            HEADER.into(),
            MESH.into(),
            mark(1, "t:begin"),
            mark(2, "f:begin"),
            alloc(3, 64, 100),
            alloc(4, 264, 30),
            mark(5, "f:hold"),
            alloc(6, 1064, 7),
            mark(7, "t:end"),
            free(8, 64),
            mark(9, "f:release"),
            FOOTER.into(),
        ]);
        assert_eq!((bytes_left(&answers[3]), bytes_left(&answers[4])), (vec![7], vec![30]));
    }

    #[test]
    fn what_a_close_took_away_was_left_all_the_same() {
        let close = r#"{"kind":"close","n":3,"t_ns":3,"tid":1,"mesh_id":0}"#;
        let answers = answers(&[
            HEADER.into(),
            MESH.into(),
            mark(1, "t:begin"),
            alloc(2, 64, 100),
            close.into(),
            mark(4, "t:end"),
            mark(5, "u:begin"),
            mark(6, "u:end"),
            FOOTER.into(),
        ]);
        assert_eq!((bytes_left(&answers[1]), bytes_left(&answers[3])), (vec![100], vec![]));
        assert_eq!(answers[1]["left"]["sums"][0]["ending"], "close");
    }
}
