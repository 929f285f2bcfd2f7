//! `l1` for people.

use super::{Moment, Shown, shown};
use crate::args::L1 as Args;
use crate::explain::{self, text::Extent};
use crate::look::{Tone, paint};
use crate::origin::{self, Origin};
use crate::render;
use std::collections::BTreeMap;
use std::io::{self, Write};
use tt_memtrace_ledger::{
    Basis, Buffer, Contexts, CoreGroup, Headroom, L1Buffer, L1Program, Maker, Residence, Unsized,
};
use tt_memtrace_wire::{Header, Range};

/// A larger grid is no chip's, and no screen's.
const MOST_DRAWN: u32 = 40;

/// One process.
pub fn print(moment: &Moment, args: &Args, out: &mut dyn Write) -> anyhow::Result<()> {
    let replay = moment.as_ref();
    writeln!(out, "{}", render::first_line(replay))?;
    for note in render::notes(replay, args.captures.verbose) {
        writeln!(out, "{note}")?;
    }
    let why = match moment {
        Moment::Instant(_, true) => ", when the room was least",
        Moment::Instant(_, false) => "",
        Moment::Clash(refused) => {
            explain::text::print(refused, Extent { n_rows: args.num_largest, is_brief: false }, out)?;
            writeln!(out)?;
            ""
        }
    };
    writeln!(out, "L1 at {}{why}", render::moment(replay.at, &replay.header))?;
    let maps = shown(replay.ledger.snapshot(), &replay.selection);
    if maps.is_empty() {
        writeln!(out, "no chip's L1 was in use")?;
    }
    for shown in &maps {
        let contexts = replay.ledger.contexts();
        let page = Page { shown, contexts, header: &replay.header, n_largest: args.num_largest };
        writeln!(out)?;
        page.print(out)?;
    }
    writeln!(out)?;
    Ok(())
}

struct Page<'a> {
    shown: &'a Shown<'a>,
    contexts: &'a Contexts,
    header: &'a Header,
    n_largest: usize,
}

impl Page<'_> {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let map = &self.shown.map;
        writeln!(out, "{}", paint(Tone::Head, &self.title()))?;
        self.sides(out)?;
        self.cores(out)?;
        draw(self.shown, out)?;
        self.programs(out)?;
        unsized_programs(&map.unsized_programs, out)?;
        self.buffers(out)
    }

    fn title(&self) -> String {
        let map = &self.shown.map;
        let chips = render::each(&map.chips);
        let Some(bank) = map.bank else { return format!("{chips}: the runtime did not tell the size of L1") };
        let size = render::bytes(bank.end.saturating_sub(bank.start));
        let cores = render::count(bank.n_cores.into(), "core");
        format!("{chips}: {size} of L1 on each of {cores}, from {:#x} to {:#x}", bank.start, bank.end)
    }

    /// What bounds the room, and the room.
    fn sides(&self, out: &mut dyn Write) -> io::Result<()> {
        let (map, Some(room)) = (&self.shown.map, self.shown.room) else {
            return writeln!(out, "  the room is not known: nothing bounds it on one side");
        };
        let above = match self.shown.lowest {
            Some(lowest) => format!("buffers down to {:#x}: {}", room.lowest_reserved, self.what(lowest)),
            None => format!("no buffer below {:#x}", room.lowest_reserved),
        };
        writeln!(out, "  from above  {above}")?;
        let bytes = room_text(room, self.shown.basis);
        let clash = if room.bytes() < 0 { self.clash() } else { String::new() };
        let tone = if room.bytes() < 0 { Tone::Bad } else { Tone::Good };
        writeln!(out, "  room        {}{clash}", paint(tone, &bytes))?;
        let below = match &self.shown.top {
            Some(top) => {
                let at_most = if top.is_of_several { ", one of several of a workload" } else { "" };
                let (end, whose) = (room.highest_end, program_name(top.program));
                let cores = render::cut(&cores_text(&top.ranges), 36);
                format!("circular buffers up to {end:#x}: {whose}{at_most}, on {cores}")
            }
            None => format!("no circular buffer above {:#x}", room.highest_end),
        };
        writeln!(out, "  from below  {below}")?;
        if let Some(least) = map.least {
            let bytes = room_text(least.room, map.least_basis);
            let when = render::moment(least.at, self.header);
            writeln!(
                out,
                "  least room  {bytes} at {when}, between {:#x} and {:#x}",
                least.room.highest_end, least.room.lowest_reserved
            )?;
        }
        Ok(())
    }

    fn clash(&self) -> String {
        let whose = self.shown.top.as_ref().map_or("it".into(), |top| program_name(top.program));
        format!(": {whose} clashes with the buffer if it is launched again")
    }

    fn what(&self, buffer: &Buffer) -> String {
        let per_bank = render::bytes(buffer.bank_bytes);
        let since = render::moment(buffer.since.into(), self.header);
        format!("{} {per_bank} since {since}", buffer.alloc.layout)
    }

    fn cores(&self, out: &mut dyn Write) -> io::Result<()> {
        let map = &self.shown.map;
        if map.cores.is_empty() {
            return Ok(());
        }
        let mut groups: Vec<&CoreGroup> = map.cores.iter().collect();
        groups.sort_by_key(|group| std::cmp::Reverse(group.end));
        let n_shown = self.n_shown(groups.len());
        let heads = [">cores", ">circular", ">program", ">running", ">resident", ">room", "which"];
        writeln!(out)?;
        render::table(out, &heads, groups[..n_shown].iter().map(|group| self.core_row(group)).collect())?;
        if !map.is_residence_known {
            writeln!(out, "+ and what of the buffers whose cores are not known resides there")?;
        }
        more(groups.len() - n_shown, "group", out)
    }

    fn core_row(&self, group: &CoreGroup) -> Vec<String> {
        let start = self.shown.map.bank.map_or(0, |bank| bank.start);
        let reach = |end: Option<u64>| end.map_or("-".into(), |end| render::bytes(end.saturating_sub(start)));
        let whose = match (group.end, group.program) {
            (None, _) => "-".into(),
            (Some(_), program) => program.map_or("?".into(), |program| program.to_string()),
        };
        let at_least = if self.shown.map.is_residence_known { "" } else { "+" };
        vec![
            group.n_cores.to_string(),
            reach(group.end),
            whose,
            reach(group.running_end),
            format!("{}{at_least}", render::bytes(group.resident_bytes)),
            self.shown.room_at(group.end).map_or(String::new(), |room| room_text(room, group.basis)),
            cores_text(&group.ranges),
        ]
    }

    fn programs(&self, out: &mut dyn Write) -> io::Result<()> {
        let programs = &self.shown.map.programs;
        if programs.is_empty() {
            return Ok(());
        }
        let n_shown = self.n_shown(programs.len());
        writeln!(out)?;
        let mut heads = vec!["program", "state", ">circular", ">bytes", ">up to", ">room", "on cores"];
        let has_makers = programs.iter().any(|program| program.maker.context().is_some());
        heads.extend(has_makers.then_some(origin::HEADS).into_iter().flatten());
        let row = |program: &L1Program<'_>| {
            let mut row = self.program_row(program);
            row.extend(has_makers.then(|| self.maker(program.maker)).into_iter().flatten());
            row
        };
        render::table(out, &heads, programs[..n_shown].iter().map(row).collect())?;
        more(programs.len() - n_shown, "program", out)?;
        if programs.iter().any(|program| program.is_of_several) {
            writeln!(
                out,
                "* one of several programs of a workload: announced for every chip, it runs on some of them"
            )?;
        }
        if programs.iter().any(|program| program.maker.is_of_launch()) {
            writeln!(
                out,
                "~ laid out by a thread of the runtime: op and line are those of the first launch"
            )?;
        }
        Ok(())
    }

    /// The operation and the line, or why they are not known.
    fn maker(&self, maker: Maker) -> [String; 2] {
        let [op, line] = Origin::of(self.contexts, maker.context()).cells();
        match maker {
            Maker::LaidOut(_) => [op, line],
            Maker::Launched(_) => [format!("~{op}"), line],
            Maker::Unknown => ["-".into(), "not from Python".into()],
            Maker::NotLaunched => ["-".into(), "not launched yet".into()],
        }
    }

    fn program_row(&self, program: &L1Program<'_>) -> Vec<String> {
        let own = || program.circular_buffers.iter().filter(|cb| !cb.globally_allocated);
        let (n_own, n_all) = (own().count(), program.circular_buffers.len());
        let n_inside = if n_all > n_own { format!(" + {} in buffers", n_all - n_own) } else { String::new() };
        let room =
            program.end.and_then(|end| Some(Headroom { highest_end: end, ..self.shown.room? }.bytes()));
        let lowest = own().map(|cb| cb.address).min().unwrap_or(0);
        let base = self.shown.map.bank.map_or(lowest, |bank| bank.start);
        let mut sets: Vec<(u32, &[Range])> = own().map(|cb| (cb.cores, cb.ranges.unwrap_or(&[]))).collect();
        sets.sort_by_key(|(number, _)| *number);
        sets.dedup_by_key(|(number, _)| *number);
        let ranges: Vec<Range> = sets.iter().flat_map(|(_, ranges)| ranges.iter().copied()).collect();
        vec![
            format!(
                "{}{}",
                program.program.map_or("?".into(), |number| number.to_string()),
                if program.is_of_several { "*" } else { "" }
            ),
            if program.is_running { "running" } else { "resident" }.into(),
            format!("{n_own}{n_inside}"),
            program.end.map_or("-".into(), |end| render::bytes(end.saturating_sub(base))),
            program.end.map_or("-".into(), |end| format!("{end:#x}")),
            room.map_or("-".into(), signed),
            if n_own == 0 { "-".into() } else { cores_text(&ranges) },
        ]
    }

    fn buffers(&self, out: &mut dyn Write) -> io::Result<()> {
        let buffers = &self.shown.map.buffers;
        if buffers.is_empty() {
            return Ok(());
        }
        let n_shown = self.n_shown(buffers.len());
        writeln!(out)?;
        let heads = [">buffer at", ">to", ">per core", "layout", ">since", "resides on"];
        render::table(
            out,
            &heads,
            buffers[..n_shown].iter().map(|buffer| self.buffer_row(buffer)).collect(),
        )?;
        more(buffers.len() - n_shown, "buffer", out)
    }

    fn buffer_row(&self, of: &L1Buffer<'_>) -> Vec<String> {
        let (buffer, alloc) = (of.buffer, &of.buffer.alloc);
        let resides = match of.residence {
            Residence::All => "all cores".into(),
            Residence::On(ranges) => render::cores(ranges),
            Residence::Among(n, ranges) => format!("{n} of {}", render::cores(ranges)),
            Residence::Unknown(n) => format!("{}, not known which", render::count(n.into(), "core")),
        };
        vec![
            format!("{:#x}", alloc.address),
            format!("{:#x}", alloc.address.saturating_add(buffer.bank_bytes)),
            render::bytes(buffer.bank_bytes),
            alloc.layout.to_string(),
            render::moment(buffer.since.into(), self.header),
            resides,
        ]
    }

    fn n_shown(&self, n: usize) -> usize {
        if self.n_largest == 0 { n } else { self.n_largest.min(n) }
    }
}

fn more(n: usize, noun: &str, out: &mut dyn Write) -> io::Result<()> {
    if n == 0 {
        return Ok(());
    }
    writeln!(out, "... and {} more, -n 0 shows all", render::count(n as u64, noun))
}

fn unsized_programs(programs: &Unsized, out: &mut dyn Write) -> io::Result<()> {
    let n = programs.count();
    if n == 0 {
        return Ok(());
    }
    let which = render::count(n, "program");
    let numbers = programs.programs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let said = format!("unsized: {which} ran and announced no circular buffers: ");
    writeln!(out, "\n{said}{}", render::cut(&numbers, 100 - said.len()))?;
    writeln!(
        out,
        "(they have none of their own, or dataflow buffers: the runtime does not tell how large those are)"
    )
}

/// The cores of the grid, where they differ: how much of L1 is taken from both sides.
fn draw(shown: &Shown<'_>, out: &mut dyn Write) -> io::Result<()> {
    let (map, Some(bank)) = (&shown.map, shown.map.bank) else { return Ok(()) };
    let size = bank.end.saturating_sub(bank.start);
    let mut cells: BTreeMap<(u32, u32), String> = BTreeMap::new();
    for group in &map.cores {
        let Some(room) = group.end.and(shown.room_at(group.end)) else { continue };
        let taken = taken(room.bytes(), size);
        for range in group.ranges.iter().filter(|range| range.x1 < MOST_DRAWN && range.y1 < MOST_DRAWN) {
            let row = |y| (range.x0..=range.x1).map(move |x| (x, y));
            cells.extend((range.y0..=range.y1).flat_map(row).map(|core| (core, taken.clone())));
        }
    }
    let columns = cells.keys().map(|(x, _)| x + 1).max().unwrap_or(0);
    let rows = cells.keys().map(|(_, y)| y + 1).max().unwrap_or(0);
    let is_even = cells.values().all(|taken| Some(taken) == cells.values().next());
    if is_even && cells.len() == (columns * rows) as usize {
        return Ok(());
    }
    writeln!(out, "\nper cent of L1 taken on each core, from both sides (! clash, . nothing announced)")?;
    let head: String = (0..columns).map(|x| format!("{x:>4}")).collect();
    writeln!(out, "{}", paint(Tone::Head, &format!("    {head}")))?;
    for y in 0..rows {
        let cell = |x| cells.get(&(x, y)).map_or(".", String::as_str);
        let row: String = (0..columns).map(|x| format!("{:>4}", cell(x))).collect();
        writeln!(out, "{y:>4}{row}")?;
    }
    Ok(())
}

/// What is taken of L1 where so much room is left, in whole per cent.
fn taken(room_bytes: i64, size_bytes: u64) -> String {
    let Ok(room) = u64::try_from(room_bytes) else { return "!".into() };
    let taken = u128::from(size_bytes.saturating_sub(room)) * 100;
    taken.checked_div(size_bytes.into()).unwrap_or(100).to_string()
}

fn room_text(room: Headroom, of_end: Basis) -> String {
    let bytes = signed(room.bytes());
    match of_end.of_room() {
        Basis::Exact => bytes,
        Basis::LowerBound => format!("{bytes} or more"),
        Basis::UpperBound => format!("{bytes} or less"),
        Basis::Estimate => format!("about {bytes}"),
    }
}

fn signed(bytes: i64) -> String {
    format!("{}{}", if bytes < 0 { "-" } else { "" }, render::bytes(bytes.unsigned_abs()))
}

fn program_name(program: Option<u64>) -> String {
    program.map_or("a program without a number".into(), |number| format!("program {number}"))
}

fn cores_text(ranges: &[Range]) -> String {
    if ranges.is_empty() { "cores that were not told".into() } else { render::cores(ranges) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_what_is_not_left() {
        let taken = [1000, 991, 990, 1, 0, -1].map(|room| taken(room, 1000));
        assert_eq!(taken, ["0", "0", "1", "99", "100", "!"]);
    }

    #[test]
    fn a_bound_of_the_end_is_the_opposite_one_of_the_room() {
        let room = Headroom { lowest_reserved: 5000, highest_end: 3000 };
        assert_eq!(room_text(room, Basis::LowerBound), "1.95 KiB or less");
        assert_eq!(room_text(Headroom { lowest_reserved: 10, ..room }, Basis::Exact), "-2.92 KiB");
    }
}
