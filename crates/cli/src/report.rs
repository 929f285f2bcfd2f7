//! What all reports do alike: read each capture, apply the filters, print text or one JSON object, and say what
//! was left out and what makes the figures doubtful.

use crate::args::Captures;
use crate::exit::{self, Usage};
use crate::filters::{Absent, Filters, IdRange, Selection};
use crate::look::{Tone, paint};
use crate::replay::Replay;
use crate::{doubts, json, render, rules, sources};
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;

/// The report of a verb.
pub struct Report<'a> {
    verb: &'static str,
    options: &'a Captures,
    selection: Selection,
    sums: Sums,
    doubts: Vec<String>,
    absent: Option<Absent>,
}

/// The sums of all captures.
#[derive(Default)]
struct Sums {
    n_processes: u64,
    n_events: u64,
    n_lossy: u64,
    /// The wall clock at the first line and at the last event of any.
    wall_ns: Option<(u64, u64)>,
}

impl<'a> Report<'a> {
    /// An empty report.
    pub fn new(verb: &'static str, options: &'a Captures, filters: &Filters, ids: Option<IdRange>) -> Self {
        let selection = Selection { filters: filters.clone(), ids, interval: None };
        Self { verb, options, selection, sums: Sums::default(), doubts: Vec::new(), absent: None }
    }

    /// The filters, as given.
    pub fn selection(&self) -> &Selection {
        &self.selection
    }

    /// Reads each capture with `read`, and prints what `to_json` or `print` make of it.
    pub fn run<T: AsRef<Replay>>(
        mut self,
        out: &mut dyn Write,
        mut read: impl FnMut(&Path, &Selection) -> anyhow::Result<T>,
        to_json: impl Fn(&T) -> Value,
        mut print: impl FnMut(&T, &mut dyn Write) -> anyhow::Result<()>,
    ) -> anyhow::Result<u8> {
        let (is_json, mut processes, mut text) = (self.options.json, Vec::new(), Vec::new());
        let code = self.each(|report, path, selection| {
            let process = read(path, selection)?;
            report.admit(process.as_ref())?;
            if is_json {
                processes.push(to_json(&process));
                return Ok(());
            }
            print(&process, &mut text)
        })?;
        if is_json {
            json::line(out, &self.object(json!({"processes": processes})))?;
        } else {
            self.print_head(code, out)?;
            out.write_all(&text)?;
        }
        out.flush()?;
        Ok(self.judge(code))
    }

    /// Does something with each capture, and with the filters as they apply to it. A capture that has not what
    /// a filter names is left out, and said to be. If that is all of them, it is an error.
    pub fn each(
        &mut self,
        mut report: impl FnMut(&mut Self, &Path, &Selection) -> anyhow::Result<()>,
    ) -> anyhow::Result<u8> {
        rules::choose(self.options.rules.as_deref())?;
        let (mut n_captures, mut left_out) = (0, Vec::new());
        let code = sources::each(&self.options.captures, |path| {
            n_captures += 1;
            let reported =
                self.selection.of_capture(path).and_then(|selection| report(self, path, &selection));
            let error = match reported {
                Err(error) => error,
                Ok(()) => return Ok(()),
            };
            let absent = error.downcast::<Absent>()?;
            left_out.push(format!("{}: left out, {absent}", render::path(path)));
            self.absent = Some(match self.absent.take() {
                Some(known) => known.join(absent),
                None => absent,
            });
            Ok(())
        })?;
        if let Some(absent) = &self.absent
            && left_out.len() == n_captures
        {
            return Err(Usage(absent.to_string()).into());
        }
        left_out.iter().for_each(exit::say);
        Ok(code)
    }

    /// Makes a capture part of the report's sums and doubts, unless it has none of the wanted chips.
    pub fn admit(&mut self, replay: &Replay) -> anyhow::Result<()> {
        if let Some(wanted) = self.selection.absent_chips(&replay.chips) {
            let there: Vec<u32> = replay.chips.iter().copied().collect();
            let is_none_there = !self.selection.has_chips(&there);
            let absent = Absent::Chips { wanted, there };
            if is_none_there {
                return Err(absent.into());
            }
            exit::say(format_args!("{}: {absent}", render::path(&replay.path)));
        }
        self.doubts.extend(doubts::of(replay));
        self.sums.add(replay);
        Ok(())
    }

    /// An output for programs: schema, version, filters, and these fields.
    pub fn object(&self, fields: Value) -> Value {
        let object = json!({"filters": self.selection.json()});
        json::versioned(self.verb, json::with(object, fields))
    }

    /// The first line of a report on several captures; one capture has its own.
    fn print_head(&self, code: u8, out: &mut dyn Write) -> anyhow::Result<()> {
        let Sums { n_processes, n_events, n_lossy, wall_ns } = &self.sums;
        let Some((first, last)) = wall_ns.filter(|_| *n_processes > 1) else { return Ok(()) };
        let source = match self.options.captures.as_slice() {
            [source] => render::path(source),
            several => render::count(several.len() as u64, "source"),
        };
        let (processes, events) = (render::count(*n_processes, "process"), render::count(*n_events, "event"));
        let filters = render::bracketed(self.selection.words(), self.selection.between_in_words());
        let mut lost = Vec::new();
        if *n_lossy > 0 {
            lost.push(format!("{n_lossy} of them LOSSY"));
        }
        if code == exit::UNREADABLE {
            lost.push("another one UNREADABLE".into());
        }
        let lost =
            if lost.is_empty() { paint(Tone::Good, "complete") } else { paint(Tone::Bad, &lost.join(", ")) };
        let seconds = json::duration(last.saturating_sub(first));
        writeln!(out, "{source}: {processes}, {events} in {seconds:.3} s{filters}, {lost}\n")?;
        Ok(())
    }

    /// The exit code: under `--strict`, doubtful figures are an error.
    pub fn judge(&self, code: u8) -> u8 {
        if self.options.strict { doubts::judge(&self.doubts, code) } else { code }
    }
}

impl Sums {
    fn add(&mut self, replay: &Replay) {
        self.n_processes += 1;
        self.n_events += replay.n_events;
        self.n_lossy += u64::from(doubts::has_losses(replay));
        let began = replay.header.wall_ns;
        let ended = began.saturating_add(replay.last.t_ns.saturating_sub(replay.header.t_ns));
        let (first, last) = self.wall_ns.unwrap_or((began, ended));
        self.wall_ns = Some((first.min(began), last.max(ended)));
    }
}
