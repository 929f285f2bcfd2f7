//! An explained refusal for people.

use super::{Allocation, Clashing, Explanation, Holder, Known, What};
use crate::failures::Refused;
use crate::look::{Tone, paint};
use crate::origin::{self, Origin};
use crate::render;
use std::io::{self, Write};
use tt_memtrace_ledger::{Buffer, LaidOut, Moment, Refusal, Verdict, Way};
use tt_memtrace_wire::{BufferLayout, Failure, Header, Request};

/// So many samples of how a memory grew are shown.
const N_SAMPLES: usize = 6;

/// How much is shown.
#[derive(Debug, Clone, Copy)]
pub struct Extent {
    /// How many rows of each table; 0 for all.
    pub n_rows: usize,
    /// Only the verdict, who holds the memory, and what would make it fit.
    pub is_brief: bool,
}

impl Extent {
    fn of(self, n: usize) -> usize {
        if self.n_rows == 0 { n } else { self.n_rows.min(n) }
    }
}

/// Prints the refusal at which the replay stopped.
pub fn print(refused: &Refused, extent: Extent, out: &mut dyn Write) -> io::Result<()> {
    let Some(explanation) = Explanation::of(refused) else {
        return writeln!(out, "nothing was refused: neither an allocation nor a program");
    };
    let page = Page { refused, explanation: &explanation, header: &refused.replay.header, extent };
    page.print(out)
}

struct Page<'a> {
    refused: &'a Refused,
    explanation: &'a Explanation<'a>,
    header: &'a Header,
    extent: Extent,
}

impl Page<'_> {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", paint(Tone::Head, &self.title()))?;
        if let Some(words) = self.explanation.origin.words() {
            let did = if self.explanation.is_of_launch { "launched" } else { "asked for" };
            writeln!(out, "{did} by {words}")?;
        }
        match &self.explanation.what {
            What::Allocation(allocation) => self.allocation(allocation, out),
            What::Clash(clashing) => self.clash(clashing, out),
        }
    }

    fn title(&self) -> String {
        let Refused { number, n_failures, .. } = self.refused;
        let found = self.explanation.found;
        let place = self.explanation.place();
        let where_ = render::place(place, self.explanation.snapshot.chips_of(place));
        let when = render::moment(found.stamp.into(), self.header);
        let what = match &found.failure {
            Failure::Allocation(request) => {
                format!("{} buffer of {} refused", request.buffer_type, render::bytes(request.size_bytes))
            }
            Failure::Clash(clash) => {
                let kind = if clash.is_dataflow { "dataflow" } else { "circular" };
                let program = clash.program.map_or("a program".into(), |n| format!("program {n}"));
                format!("{kind} buffers of {program} clash with L1 buffers")
            }
        };
        let derived = if found.is_derived { ", not recorded but derived" } else { "" };
        format!("{what} on {where_} at {when}, failure {number} of {n_failures}{derived}")
    }

    fn allocation(&self, allocation: &Allocation<'_>, out: &mut dyn Write) -> io::Result<()> {
        let request = allocation.request;
        let Some(refusal) = &allocation.refusal else {
            return writeln!(out, "{}", paint(Tone::Bad, &no_bank(request)));
        };
        writeln!(out, "{}", paint(Tone::Bad, &verdict(refusal)))?;
        self.earlier_tests(out)?;
        writeln!(out)?;
        self.figures(allocation, refusal, out)?;
        self.holders(allocation, refusal, out)?;
        if !self.extent.is_brief {
            self.growth(refusal.map.end - refusal.map.start, out)?;
            self.pins(refusal, out)?;
        }
        self.ways(refusal, out)
    }

    fn earlier_tests(&self, out: &mut dyn Write) -> io::Result<()> {
        let Some(earlier) = &self.explanation.earlier else { return Ok(()) };
        let (sentence, would_fit) = earlier.words();
        writeln!(out, "{}", if would_fit { paint(Tone::Good, &sentence) } else { sentence })?;
        let n = earlier.lines().len();
        let n_shown = self.extent.of(n);
        for line in earlier.lines().take(n_shown) {
            writeln!(out, "  {line}")?;
        }
        more(n - n_shown, "holder", out)
    }

    fn figures(
        &self,
        allocation: &Allocation<'_>,
        refusal: &Refusal<'_>,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let (request, map) = (allocation.request, &refusal.map);
        let size = map.end - map.start;
        let pages = render::bytes(request.page_size_bytes);
        let spread = match request.n_cores {
            Some(n) => format!("{} on {}", request.layout, render::count(n.into(), "core")),
            None => request.layout.to_string(),
        };
        writeln!(
            out,
            "  needed      {} in each bank: {spread}, pages of {pages}",
            exact(refusal.needed_bytes)
        )?;
        let held = render::bytes(size - map.free_bytes);
        writeln!(
            out,
            "  a bank      {}, of which {held} held and {} free in {}",
            render::bytes(size),
            render::bytes(map.free_bytes),
            render::count(map.holes.len() as u64, "hole"),
        )?;
        if let Some(largest) = map.largest {
            writeln!(out, "  largest     {} at {:#x}", exact(largest.bytes), largest.address)?;
        }
        if refusal.short_bytes > 0 {
            writeln!(out, "  short by    {} in each bank", exact(refusal.short_bytes))?;
        }
        if let Some(counted) = allocation.counted
            && counted.free_bytes != map.free_bytes
        {
            let free = render::bytes(counted.free_bytes);
            writeln!(out, "  the runtime counts {free} free in a bank: something here was not recorded")?;
        }
        if !map.is_sound {
            writeln!(out, "  buffers overlap or lie outside the bank: the holes are only a sketch")?;
        }
        self.launch_before(out)
    }

    fn launch_before(&self, out: &mut dyn Write) -> io::Result<()> {
        let Some((launch, origin)) = self.explanation.last_launch else { return Ok(()) };
        let when = render::moment(launch.at, self.header);
        let whose = origin.words().map_or(String::new(), |words| format!(" by {words}"));
        writeln!(out, "  before it   program {} was launched{whose} at {when}", launch.program)
    }

    fn holders(
        &self,
        allocation: &Allocation<'_>,
        refusal: &Refusal<'_>,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let holders = &allocation.holders;
        if holders.is_empty() {
            return Ok(());
        }
        let size = refusal.map.end - refusal.map.start;
        let columns = Columns::of(holders.iter().map(|holder| holder.origin), self.refused);
        let row = |holder: &Holder<'_>| {
            let (first, last) = holder.since;
            let since = render::moment(first, self.header);
            let to = if first == last { String::new() } else { render::moment(last, self.header) };
            let mut row = vec![
                holder.n.to_string(),
                render::bytes(holder.size_bytes),
                render::bytes(holder.bank_bytes),
                render::percent(holder.bank_bytes, size),
                holder.class.to_string(),
                since,
                to,
            ];
            row.extend(columns.cells(holder.origin, holder.layout, self.refused.mark_before(first.n)));
            row
        };
        let n_shown = self.extent.of(holders.len());
        writeln!(out)?;
        let mut heads = vec![">held by", ">size each", ">per bank", "", "class", ">since", ">up to"];
        heads.extend(columns.heads());
        render::table(out, &heads, holders[..n_shown].iter().map(row).collect())?;
        more(holders.len() - n_shown, "kind", out)
    }

    fn growth(&self, size: u64, out: &mut dyn Write) -> io::Result<()> {
        let samples = spread_out(&self.refused.growth, N_SAMPLES);
        if samples.len() < 2 {
            return Ok(());
        }
        let row = |(at, held): &(Moment, u64)| {
            vec![render::moment(*at, self.header), render::bytes(*held), render::percent(*held, size)]
        };
        writeln!(out)?;
        render::table(out, &[">how it grew", ">per bank", ""], samples.iter().map(row).collect())
    }

    fn pins(&self, refusal: &Refusal<'_>, out: &mut dyn Write) -> io::Result<()> {
        let pins = refusal.map.pins.iter().take(3);
        for (i, pin) in pins.enumerate() {
            if i == 0 {
                writeln!(out)?;
            }
            let (size, joined) = (render::bytes(pin.buffer.bank_bytes), render::bytes(pin.joined_bytes));
            let since = render::moment(pin.buffer.since.into(), self.header);
            let address = pin.buffer.alloc.address;
            writeln!(out, "{size} at {address:#x}, since {since}, keeps a hole of {joined} apart")?;
        }
        Ok(())
    }

    fn ways(&self, refusal: &Refusal<'_>, out: &mut dyn Write) -> io::Result<()> {
        let Some(fewest) = &refusal.fewest else {
            return match refusal.verdict {
                Verdict::TooLarge => writeln!(out, "\nnothing that could be freed makes it fit"),
                _ => Ok(()),
            };
        };
        writeln!(out)?;
        let Some(least) = &refusal.least else {
            writeln!(out, "{}", paint(Tone::Good, &self.way_text(fewest, "no fewer would do")))?;
            return self.buffers(&fewest.buffers, out);
        };
        writeln!(out, "{}", paint(Tone::Good, &self.way_text(least, "no fewer bytes would do")))?;
        self.buffers(&least.buffers, out)?;
        let n = render::count(fewest.buffers.len() as u64, "buffer");
        let (bytes, address) = (render::bytes(fewest.bank_bytes), fewest.hole.address);
        writeln!(out, "or {n} of {bytes} in each bank, from {address:#x} up (no fewer would do)")
    }

    fn buffers(&self, buffers: &[&Buffer], out: &mut dyn Write) -> io::Result<()> {
        let contexts = self.explanation.snapshot.contexts();
        let origin = |buffer: &Buffer| Origin::of_buffer(contexts, buffer);
        let columns = Columns::of(buffers.iter().map(|buffer| origin(buffer)), self.refused);
        let row = |buffer: &&Buffer| {
            let mark = self.refused.mark_before(buffer.since.n);
            let mut row = vec![
                format!("  {:#x}", buffer.alloc.address),
                render::bytes(buffer.alloc.size_bytes),
                render::bytes(buffer.bank_bytes),
                buffer.class.to_string(),
                render::moment(buffer.since.into(), self.header),
            ];
            row.extend(columns.cells(origin(buffer), buffer.alloc.layout, mark));
            row
        };
        let n_shown = self.extent.of(buffers.len());
        let mut heads = vec![">address", ">size", ">per bank", "class", ">since"];
        heads.extend(columns.heads());
        render::table(out, &heads, buffers[..n_shown].iter().map(row).collect())?;
        more(buffers.len() - n_shown, "buffer", out)
    }

    fn way_text(&self, way: &Way<'_>, exact: &str) -> String {
        let n = render::count(way.buffers.len() as u64, "buffer");
        let (bytes, whose) = (render::bytes(way.bank_bytes), self.whose(&way.buffers));
        let moved = if way.can_be_moved { "; moving is enough, other holes have room" } else { "" };
        format!("to make it fit, free {n} of {bytes} in each bank{whose} ({exact}{moved})")
    }

    /// Where all of them were made in one test, or after one mark: in which.
    fn whose(&self, buffers: &[&Buffer]) -> String {
        let contexts = self.explanation.snapshot.contexts();
        let tests = buffers.iter().map(|buffer| Origin::of_buffer(contexts, buffer).test());
        let marks = buffers.iter().map(|buffer| self.refused.mark_before(buffer.since.n));
        match (common(tests), common(marks)) {
            (Some(test), _) => format!(", made in {}", render::cut(&origin::without_folders(test), 60)),
            (None, Some(mark)) => format!(", made after mark {}", render::cut(mark, 60)),
            (None, None) => String::new(),
        }
    }

    fn clash(&self, clashing: &Clashing<'_>, out: &mut dyn Write) -> io::Result<()> {
        let tone = Tone::Bad;
        writeln!(out, "{}", paint(tone, &clash_verdict(clashing)))?;
        self.earlier_tests(out)?;
        writeln!(out)?;
        let whose = if clashing.clash.is_dataflow { "dataflow buffers" } else { "circular buffers" };
        let end = match (clashing.region_end, clashing.known) {
            (Some(end), Known::Exactly) => format!(" up to {end:#x}"),
            (Some(end), _) => format!(" up to {end:#x} at most: so much room there was when it ran"),
            (None, _) => ", size not reported by the runtime".into(),
        };
        writeln!(out, "  from below  {whose}{end}")?;
        if let Some(lowest) = clashing.lowest {
            let n = clashing.blocking.len() as u64;
            let n = if clashing.known == Known::NotAtAll { String::new() } else { below(n) };
            writeln!(out, "  from above  L1 buffers down to {lowest:#x}{n}")?;
        }
        if let Some(short) = clashing.short_bytes() {
            let at_most = if clashing.known == Known::Exactly { "" } else { " at most" };
            writeln!(out, "  short by    {}{at_most}, on each core", exact(short))?;
        }
        if !clashing.cores.is_empty() {
            writeln!(out, "  cores       {}", render::cut(&render::cores(&clashing.cores), 60))?;
        }
        self.ran(clashing, out)?;
        self.launch_before(out)?;
        self.circular_buffers(&clashing.circular_buffers, out)?;
        self.blocking(clashing, out)
    }

    fn ran(&self, clashing: &Clashing<'_>, out: &mut dyn Write) -> io::Result<()> {
        let Some(ran) = clashing.ran else { return Ok(()) };
        let when = render::moment(ran.at, self.header);
        let Some(before) = ran.lowest else {
            return writeln!(out, "  reused      it ran at {when}, when there was no L1 buffer");
        };
        let more = clashing.lowest.and_then(|lowest| before.checked_sub(lowest)).filter(|bytes| *bytes > 0);
        let more = more.map_or(String::new(), |bytes| format!(": {} more room", render::bytes(bytes)));
        writeln!(out, "  reused      it ran at {when}, when L1 buffers went down to {before:#x}{more}")
    }

    fn circular_buffers(&self, all: &[LaidOut<'_>], out: &mut dyn Write) -> io::Result<()> {
        if all.is_empty() || self.extent.is_brief {
            return Ok(());
        }
        let row = |cb: &LaidOut<'_>| {
            vec![
                format!("{:#x}", cb.address),
                format!("{:#x}", cb.address.saturating_add(cb.size_bytes)),
                render::bytes(cb.size_bytes),
                if cb.globally_allocated { "in a buffer".into() } else { String::new() },
                render::cut(&render::cores(cb.ranges.unwrap_or_default()), 40),
            ]
        };
        let n_shown = self.extent.of(all.len());
        writeln!(out)?;
        let heads = [">circular buffer", ">end", ">size per core", "", "cores"];
        render::table(out, &heads, all[..n_shown].iter().map(row).collect())?;
        more(all.len() - n_shown, "circular buffer", out)
    }

    fn blocking(&self, clashing: &Clashing<'_>, out: &mut dyn Write) -> io::Result<()> {
        if clashing.blocking.is_empty() || clashing.is_beyond_l1() {
            return Ok(());
        }
        let n = clashing.blocking.len();
        let all = if n == 1 { "this buffer".into() } else { format!("all of these {n} buffers") };
        let whose = self.whose(&clashing.blocking);
        let text = match clashing.known {
            Known::Exactly => format!("to make it fit, free or move {all}{whose} (no fewer would do)"),
            Known::AtMost => format!("it fits without {all}{whose}, perhaps also without some of them"),
            Known::NotAtAll => "the lowest L1 buffers: free or move from the first one on".into(),
        };
        writeln!(out)?;
        writeln!(out, "{}", paint(Tone::Good, &text))?;
        self.buffers(&clashing.blocking, out)
    }
}

/// What all of them have.
fn common<'a>(mut names: impl Iterator<Item = Option<&'a str>>) -> Option<&'a str> {
    let first = names.next().flatten()?;
    names.all(|other| other == Some(first)).then_some(first)
}

/// The last columns of a table of buffers: how they are spread, or rather who made them where that is known; and in
/// which test or after which mark.
struct Columns {
    has_origins: bool,
    has_tests: bool,
    has_marks: bool,
}

impl Columns {
    fn of<'a>(origins: impl Iterator<Item = Origin<'a>>, refused: &Refused) -> Self {
        let mut columns = Self { has_origins: false, has_tests: false, has_marks: refused.has_marks() };
        for origin in origins {
            columns.has_origins |= origin.in_any_test().is_known();
            columns.has_tests |= origin.test().is_some();
        }
        columns
    }

    fn heads(&self) -> Vec<&'static str> {
        let mut heads = if self.has_origins { origin::HEADS.to_vec() } else { vec!["layout"] };
        match (self.has_tests, self.has_marks) {
            (true, _) => heads.push("test"),
            (false, true) => heads.push("after mark"),
            (false, false) => {}
        }
        heads
    }

    fn cells(&self, origin: Origin<'_>, layout: BufferLayout, mark: Option<&str>) -> Vec<String> {
        let mut cells = if self.has_origins { origin.cells().to_vec() } else { vec![layout.to_string()] };
        // The name alone: the file is that of the line, or nearly always the same.
        let test = origin.test().map(|test| test.split_once("::").map_or(test, |(_, name)| name));
        let name = if self.has_tests { test } else { mark };
        if self.has_tests || self.has_marks {
            cells.push(render::cut(name.unwrap_or_default(), 40));
        }
        cells
    }
}

/// A size, and the same to the byte.
fn exact(bytes: u64) -> String {
    let (scaled, exact) = (render::bytes(bytes), format!("{bytes} B"));
    if scaled == exact || scaled == bytes.to_string() { scaled } else { format!("{scaled} ({exact})") }
}

fn below(n: u64) -> String {
    match n {
        1 => ", 1 of them starts below that end".into(),
        n => format!(", {n} of them start below that end"),
    }
}

fn no_bank(request: &Request) -> String {
    match request.per_bank_bytes {
        None => format!("NO BANK: no {} was reserved when the mesh was opened", request.buffer_type),
        Some(_) => "the runtime did not tell how large a bank is".into(),
    }
}

/// The verdict, and by which rule.
fn verdict(refusal: &Refusal<'_>) -> String {
    let (needed, free) = (render::bytes(refusal.needed_bytes), render::bytes(refusal.map.free_bytes));
    let largest = render::bytes(refusal.map.largest.map_or(0, |hole| hole.bytes));
    match refusal.verdict {
        Verdict::TooLarge => {
            let bank = render::bytes(refusal.map.end - refusal.map.start);
            format!("TOO LARGE: {needed} are needed in each bank, and a bank has {bank}")
        }
        Verdict::Exhausted => {
            format!("EXHAUSTED: {needed} are needed in each bank, and {free} are free in all")
        }
        Verdict::Fragmented => format!(
            "FRAGMENTED: {free} are free in each bank, enough for the {needed} that are needed, but the largest \
             hole is {largest}"
        ),
        Verdict::OtherReason => {
            format!("REFUSED FOR ANOTHER REASON: {needed} are needed, and a hole of {largest} is free")
        }
    }
}

fn clash_verdict(clashing: &Clashing<'_>) -> String {
    if clashing.is_beyond_l1() {
        return "TOO LARGE: its buffers reach beyond the end of L1, also where nothing else is in it".into();
    }
    match (clashing.short_bytes(), clashing.known) {
        (Some(short), Known::Exactly) => {
            format!("CLASH: its buffers reach {} into the L1 buffers", render::bytes(short))
        }
        (Some(short), _) => {
            format!("CLASH: by {} at most, in so much more room it ran", render::bytes(short))
        }
        (None, Known::NotAtAll) => {
            "CLASH: nobody knows by how much, the runtime does not report these sizes".into()
        }
        (None, _) => "REFUSED FOR ANOTHER REASON: its buffers end below the lowest L1 buffer".into(),
    }
}

fn more(n: usize, what: &str, out: &mut dyn Write) -> io::Result<()> {
    if n == 0 { Ok(()) } else { writeln!(out, "... and {} more", render::count(n as u64, what)) }
}

/// So many of the samples, the last one among them.
fn spread_out<T: Copy>(samples: &[T], n: usize) -> Vec<T> {
    let last = samples.len().saturating_sub(1);
    let mut at: Vec<usize> = (0..n).map(|i| last * i / (n - 1)).collect();
    at.dedup();
    at.into_iter().filter_map(|at| samples.get(at)).copied().collect()
}
