//! Circular buffers: they belong to programs, not to the allocator. Each program lays them out upwards from one
//! base, so those of two programs overlap; a core's footprint is the highest end, never the sum.
//!
//! A program that was launched and announced none is kept too: it has none of its own, or it was written with
//! dataflow buffers, whose sizes the runtime does not tell (from ttnn 0.78). Nobody can tell which, so every
//! footprint beside it is a lower bound.

use crate::contexts::ContextId;
use crate::tally::Moment;
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, VecDeque};
use tt_memtrace_wire::{Address, CbAlloc, CbDealloc, Cores, Place, Range, Stamp};

/// A circular buffer that was laid out and not released.
pub type Resident = CbAlloc;

/// Programs without sizes are not released by any event, so only so many of a place are kept by name.
const MOST_UNSIZED: usize = 4096;

/// A program's circular buffers are compared with so many of its earlier ones; real programs have fewer.
const MOST_COMPARED: usize = 256;

/// How far up the circular buffers of one chip reach. Programs that announce no sizes are not in it, so it is
/// a lower bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CircularFootprint {
    /// The lowest address a circular buffer had.
    pub base: Address,
    /// The highest end ever.
    pub peak_end: Address,
    /// When it was reached.
    pub peak_at: Moment,
}

impl CircularFootprint {
    /// Bytes above the base.
    pub fn peak_bytes(&self) -> u64 {
        self.peak_end.saturating_sub(self.base)
    }

    fn join(&mut self, other: &Self) {
        self.base = self.base.min(other.base);
        let is_higher = other.peak_end > self.peak_end;
        if is_higher || (other.peak_end == self.peak_end && other.peak_at < self.peak_at) {
            (self.peak_end, self.peak_at) = (other.peak_end, other.peak_at);
        }
    }
}

/// One circular buffer, on the same cores of several chips: a program lays out the same on all.
#[derive(Debug, Clone)]
pub(crate) struct Laid {
    /// Its place is that of the first announcement.
    pub(crate) cb: CbAlloc,
    pub(crate) places: Vec<Place>,
}

impl Laid {
    /// The first address behind it; none if it lies inside an L1 buffer.
    pub(crate) fn own_end(&self) -> Option<Address> {
        own_end(&self.cb)
    }

    /// Whether it is the same on another place.
    fn is_free_for(&self, cb: &CbAlloc) -> bool {
        let what = |cb: &CbAlloc| (cb.cores, cb.address, cb.size_bytes, cb.globally_allocated);
        what(&self.cb) == what(cb) && self.places.len() < MOST_COMPARED && !self.places.contains(&cb.place)
    }
}

/// The first address behind a circular buffer that takes memory of its own.
pub(crate) fn own_end(cb: &CbAlloc) -> Option<Address> {
    (!cb.globally_allocated).then(|| cb.address.saturating_add(cb.size_bytes))
}

/// Bytes of one core that a circular buffer takes itself.
fn own_bytes(cb: &CbAlloc) -> u64 {
    if cb.globally_allocated { 0 } else { cb.size_bytes }
}

fn take_bytes(laid_bytes: &mut FxHashMap<Place, u64>, cb: &CbAlloc, place: Place) {
    if let Some(bytes) = laid_bytes.get_mut(&place) {
        *bytes = bytes.saturating_sub(own_bytes(cb));
    }
}

/// Who made a program lay out its circular buffers. The runtime compiles some programs on threads of its own, which run
/// no Python: then it is who launched the program first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Maker {
    /// The thread that laid them out was doing that.
    LaidOut(ContextId),
    /// The thread that launched it first was doing that.
    Launched(ContextId),
    /// Nothing is known of either thread.
    Unknown,
    /// Nothing is known of the thread that laid them out, and it was not launched yet.
    #[default]
    NotLaunched,
}

impl Maker {
    /// What was being done, as far as it is known.
    pub fn context(self) -> Option<ContextId> {
        match self {
            Self::LaidOut(context) | Self::Launched(context) => Some(context),
            Self::Unknown | Self::NotLaunched => None,
        }
    }

    /// Whether it is the launch that is known, not the layout.
    pub fn is_of_launch(self) -> bool {
        matches!(self, Self::Launched(_))
    }
}

/// A program that announced circular buffers, or was launched, and is not known to be gone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Program {
    pub(crate) laid: Vec<Laid>,
    pub(crate) maker: Maker,
    /// The thread that announced them first.
    announced_by: Option<u32>,
    /// Where it was launched first, and by which thread.
    launched: Option<(Place, u32)>,
}

impl Program {
    /// Where it was launched.
    pub(crate) fn place(&self) -> Option<Place> {
        self.launched.map(|(place, _)| place)
    }

    /// Whether it announced nothing.
    pub(crate) fn is_unsized(&self) -> bool {
        self.laid.is_empty()
    }

    /// Whether it is one of several programs of a workload, each for other chips. They announce their circular
    /// buffers for all chips, and from threads of the runtime instead of the one that launches them (seen in
    /// every collective and multi-program matmul of ttnn 0.66 to 0.81).
    pub(crate) fn is_of_several(&self) -> bool {
        matches!((self.announced_by, self.launched), (Some(tid), Some((_, launcher))) if tid != launcher)
    }
}

/// The launches on one place.
#[derive(Debug, Clone, Default)]
struct Launches {
    last: u64,
    at: Moment,
    /// Programs that had announced nothing when they were launched first; some have since.
    silent: VecDeque<u64>,
    /// How many of those are no longer kept.
    n_forgotten: u64,
}

/// A program's launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Launch {
    /// The runtime's number of the program.
    pub program: u64,
    /// When it was launched.
    pub at: Moment,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct CircularBuffers {
    programs: FxHashMap<Option<u64>, Program>,
    footprints: FxHashMap<Place, CircularFootprint>,
    /// Bytes of one core of all that is laid out, place by place.
    laid_bytes: FxHashMap<Place, u64>,
    launches: FxHashMap<Place, Launches>,
    cores: FxHashMap<u32, Vec<Range>>,
    /// How many sets of cores have a number that only we gave.
    n_renamed: u32,
}

impl CircularBuffers {
    pub(crate) fn define_cores(&mut self, cores: &Cores) {
        self.cores.insert(cores.cores, cores.ranges.clone());
    }

    /// `context` is that of the thread, if that tells an operation or a line.
    pub(crate) fn open(&mut self, cb: &CbAlloc, stamp: Stamp, context: Option<ContextId>) {
        self.note_footprint(cb, stamp.into());
        let bytes = self.laid_bytes.entry(cb.place).or_default();
        *bytes = bytes.saturating_add(own_bytes(cb));
        let program = self.programs.entry(cb.program).or_default();
        program.announced_by.get_or_insert(stamp.tid);
        if let (Some(context), Maker::Launched(_) | Maker::Unknown | Maker::NotLaunched) =
            (context, program.maker)
        {
            program.maker = Maker::LaidOut(context);
        }
        let mut known = program.laid.iter_mut().take(MOST_COMPARED);
        match known.find(|laid| laid.is_free_for(cb)) {
            Some(laid) => laid.places.push(cb.place),
            None => program.laid.push(Laid { cb: cb.clone(), places: vec![cb.place] }),
        }
    }

    fn note_footprint(&mut self, cb: &CbAlloc, at: Moment) {
        if let Some(peak_end) = own_end(cb) {
            let new = CircularFootprint { base: cb.address, peak_end, peak_at: at };
            self.footprints.entry(cb.place).and_modify(|known| known.join(&new)).or_insert(new);
        }
    }

    /// `is_on` tells whether a place is, or is on a chip of, the deallocation's place; `ended` is told of each
    /// circular buffer that ends. Gives how many did.
    pub(crate) fn close(
        &mut self,
        dealloc: &CbDealloc,
        is_on: impl Fn(Place) -> bool,
        mut ended: impl FnMut(&CbAlloc, Place),
    ) -> usize {
        let mut n_ended = 0;
        let laid_bytes = &mut self.laid_bytes;
        let mut count = |cb: &CbAlloc, place| {
            n_ended += 1;
            take_bytes(laid_bytes, cb, place);
            ended(cb, place);
        };
        if dealloc.program.is_none() {
            self.programs.retain(|_, program| {
                let was_silent = program.is_unsized();
                let is_elsewhere = program.place().is_none_or(|place| !is_on(place));
                release(program, &is_on, &mut count);
                if was_silent { is_elsewhere } else { !program.is_unsized() }
            });
        } else if let Some(program) = self.programs.get_mut(&dealloc.program) {
            release(program, &is_on, &mut count);
            if program.is_unsized() {
                self.programs.remove(&dealloc.program);
            }
        }
        n_ended
    }

    /// `context` as in [`Self::open`].
    pub(crate) fn launch(&mut self, program: u64, place: Place, stamp: Stamp, context: Option<ContextId>) {
        let launches = self.launches.entry(place).or_default();
        (launches.last, launches.at) = (program, stamp.into());
        let known = self.programs.entry(Some(program)).or_default();
        if known.launched.is_some() {
            return;
        }
        known.launched = Some((place, stamp.tid));
        if known.maker == Maker::NotLaunched {
            known.maker = context.map_or(Maker::Unknown, Maker::Launched);
        }
        if !known.is_unsized() {
            return;
        }
        launches.silent.push_back(program);
        if launches.silent.len() > MOST_UNSIZED
            && let Some(oldest) = launches.silent.pop_front()
            && self.programs.get(&Some(oldest)).is_some_and(Program::is_unsized)
        {
            self.programs.remove(&Some(oldest));
            launches.n_forgotten += 1;
        }
    }

    /// A mesh is closed: no program of it can be launched again, though the runtime says so only later. Gives
    /// those programs.
    pub(crate) fn leave(&mut self, place: Place) -> Vec<Program> {
        self.launches.remove(&place);
        let gone = self.programs.extract_if(|_, program| program.place() == Some(place));
        let gone: Vec<Program> = gone.map(|(_, program)| program).collect();
        for laid in gone.iter().flat_map(|program| &program.laid) {
            laid.places.iter().for_each(|place| take_bytes(&mut self.laid_bytes, &laid.cb, *place));
        }
        gone
    }

    /// Bytes of one core of all circular buffers that are laid out on a place, as if none lay over another.
    pub(crate) fn laid_bytes(&self, place: Place) -> u64 {
        self.laid_bytes.get(&place).copied().unwrap_or(0)
    }

    pub(crate) fn last_launch(&self, place: Place) -> Option<Launch> {
        let launches = self.launches.get(&place)?;
        Some(Launch { program: launches.last, at: launches.at })
    }

    /// The places that ever had circular buffers.
    pub(crate) fn places(&self) -> impl Iterator<Item = Place> + use<'_> {
        self.laid_bytes.keys().copied()
    }

    /// Programs that were launched on the place and announced nothing, but are no longer known by number.
    pub(crate) fn n_forgotten(&self, place: Place) -> u64 {
        self.launches.get(&place).map_or(0, |launches| launches.n_forgotten)
    }

    /// The places on which programs were launched.
    pub(crate) fn launch_places(&self) -> impl Iterator<Item = Place> + use<'_> {
        self.launches.keys().copied()
    }

    pub(crate) fn programs(&self) -> impl Iterator<Item = (Option<u64>, &Program)> {
        self.programs.iter().map(|(number, program)| (*number, program))
    }

    pub(crate) fn program(&self, number: Option<u64>) -> Option<&Program> {
        self.programs.get(&number)
    }

    pub(crate) fn residents(&self) -> impl Iterator<Item = Resident> + use<'_> {
        let laid = self.programs.values().flat_map(|program| &program.laid);
        laid.flat_map(|laid| laid.places.iter().map(|place| CbAlloc { place: *place, ..laid.cb.clone() }))
    }

    pub(crate) fn ranges(&self, cores: u32) -> Option<&[Range]> {
        self.cores.get(&cores).map(Vec::as_slice)
    }

    /// Per chip; `chips_of` gives those of a place.
    pub(crate) fn footprints<'a>(
        &'a self,
        chips_of: impl Fn(Place) -> &'a [u32],
    ) -> BTreeMap<u32, CircularFootprint> {
        let mut by_chip: BTreeMap<u32, CircularFootprint> = BTreeMap::new();
        for (place, footprint) in &self.footprints {
            let lone = if let Place::Chip(chip) = place { Some(*chip) } else { None };
            for chip in lone.into_iter().chain(chips_of(*place).iter().copied().filter(|c| Some(*c) != lone))
            {
                by_chip.entry(chip).and_modify(|known| known.join(footprint)).or_insert(*footprint);
            }
        }
        by_chip
    }

    /// A forked child numbers its sets of cores anew: what it inherited gets numbers from the upper end. Gives the
    /// new ones by the old ones.
    pub(crate) fn rename_cores(&mut self) -> FxHashMap<u32, u32> {
        let mut renamed = FxHashMap::default();
        for (old, ranges) in std::mem::take(&mut self.cores) {
            let new = u32::MAX - self.n_renamed;
            self.n_renamed += 1;
            renamed.insert(old, new);
            self.cores.insert(new, ranges);
        }
        let laid = self.programs.values_mut().flat_map(|program| &mut program.laid);
        laid.for_each(|laid| laid.cb.cores = renamed.get(&laid.cb.cores).copied().unwrap_or(laid.cb.cores));
        renamed
    }

    /// Peaks begin anew, from what is resident now.
    pub(crate) fn restart(&mut self, at: Moment) {
        self.footprints.clear();
        let residents: Vec<Resident> = self.residents().collect();
        residents.iter().for_each(|cb| self.note_footprint(cb, at));
    }
}

fn release(program: &mut Program, is_on: impl Fn(Place) -> bool, mut ended: impl FnMut(&CbAlloc, Place)) {
    program.laid.retain_mut(|Laid { cb, places }| {
        places.retain(|place| {
            let stays = !is_on(*place);
            if !stays {
                ended(cb, *place);
            }
            stays
        });
        !places.is_empty()
    });
}
