//! What a refusal means: who holds the memory, what is in the way, and what would make it fit.

mod earlier;
pub mod json;
mod message;
pub mod text;

use crate::failures::{Found, Ran, Refused};
use crate::origin::Origin;
use earlier::Earlier;
use message::BankFigures;
use std::cmp::Reverse;
use std::collections::HashMap;
use tt_memtrace_ledger::{
    Buffer, Class, L1Bank, L1Map, L1Program, LaidOut, Launch, Moment, Refusal, Snapshot,
};
use tt_memtrace_wire::{Address, BufferLayout, Clash, Failure, Place, Range, Request};

/// An explained refusal.
pub struct Explanation<'a> {
    /// The refusal.
    pub found: &'a Found,
    /// The ledger at that moment.
    pub snapshot: Snapshot<'a>,
    /// Who asked for it.
    pub origin: Origin<'a>,
    /// Whether that is who launched the program: some programs are refused on a thread of the runtime, which knows
    /// of nobody.
    pub is_of_launch: bool,
    /// What was launched last on that mesh before, another program than the refused one, and by whom.
    pub last_launch: Option<(Launch, Origin<'a>)>,
    /// What was refused.
    pub what: What<'a>,
    /// If a test was refused it: what earlier ones left there.
    pub earlier: Option<Earlier<'a>>,
}

/// What was refused.
pub enum What<'a> {
    /// An allocation.
    Allocation(Allocation<'a>),
    /// A program's launch.
    Clash(Clashing<'a>),
}

/// A refused allocation.
pub struct Allocation<'a> {
    /// What was asked for.
    pub request: &'a Request,
    /// What it would have needed; absent where the bank is not known.
    pub refusal: Option<Refusal<'a>>,
    /// Who holds the memory, the largest first.
    pub holders: Vec<Holder<'a>>,
    /// What the runtime itself counted, if its message is known.
    pub counted: Option<BankFigures>,
}

/// Buffers that are alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder<'a> {
    /// How many.
    pub n: u64,
    /// Bytes of each bank that all of them take.
    pub bank_bytes: u64,
    /// Logical bytes of one.
    pub size_bytes: u64,
    /// How each is spread.
    pub layout: BufferLayout,
    /// What kind of holder has them.
    pub class: Class,
    /// Who made them.
    pub origin: Origin<'a>,
    /// When the oldest was made, and the newest.
    pub since: (Moment, Moment),
}

/// How the end of a program's buffers is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// It was told.
    Exactly,
    /// The program ran when there was room up to there.
    AtMost,
    /// It is not known: the runtime does not report the sizes of dataflow buffers.
    NotAtAll,
}

/// A refused launch.
pub struct Clashing<'a> {
    /// What was recorded of it.
    pub clash: &'a Clash,
    /// The L1 of one core; absent if the runtime did not tell.
    pub bank: Option<L1Bank>,
    /// The first address behind the program's buffers, or a bound of it.
    pub region_end: Option<Address>,
    /// How that is known.
    pub known: Known,
    /// The lowest address of an L1 buffer.
    pub lowest: Option<Address>,
    /// The L1 buffers that start below the end, or below its bound; if neither is known, the lowest ones.
    pub blocking: Vec<&'a Buffer>,
    /// The program's circular buffers, from the lowest.
    pub circular_buffers: Vec<LaidOut<'a>>,
    /// The cores on which they reach highest.
    pub cores: Vec<Range>,
    /// When the same program ran in the least room.
    pub ran: Option<Ran>,
}

impl Clashing<'_> {
    /// By how much the buffers reach into each other; a bound where the end is one.
    pub fn short_bytes(&self) -> Option<u64> {
        Some(self.region_end?.saturating_sub(self.lowest?)).filter(|bytes| *bytes > 0)
    }

    /// Whether the program's buffers are more than all of L1.
    pub fn is_beyond_l1(&self) -> bool {
        self.known == Known::Exactly
            && self.bank.zip(self.region_end).is_some_and(|(bank, end)| end > bank.end)
    }
}

/// Where nothing is known of the end, so many of the lowest buffers are candidates.
const N_CANDIDATES: usize = 20;

impl<'a> Explanation<'a> {
    /// Explains the refusal at which the replay stopped. None if there was none.
    pub fn of(refused: &'a Refused) -> Option<Self> {
        let (found, snapshot) = (refused.found.as_ref()?, refused.replay.ledger.snapshot());
        let what = match &found.failure {
            Failure::Allocation(request) => What::Allocation(Allocation::of(request, snapshot)),
            Failure::Clash(clash) => What::Clash(Clashing::of(clash, refused.ran, snapshot)),
        };
        let origin = |ctx: u32| Origin::of(snapshot.contexts(), snapshot.contexts().find(ctx));
        let last_launch = refused.launch_before.map(|(launch, ctx)| (launch, origin(ctx)));
        let asked = origin(found.stamp.ctx);
        let launched = refused.launched_in.map(origin).filter(|_| !asked.in_any_test().is_known());
        let is_of_launch = launched.is_some();
        let asked = launched.unwrap_or(asked);
        let earlier = Earlier::of(&what, asked.test(), snapshot);
        Some(Self { found, snapshot, origin: asked, is_of_launch, last_launch, what, earlier })
    }

    /// Where it happened.
    pub fn place(&self) -> Place {
        self.found.failure.place()
    }
}

impl<'a> Allocation<'a> {
    fn of(request: &'a Request, snapshot: Snapshot<'a>) -> Self {
        Self {
            request,
            refusal: snapshot.refusal(request),
            holders: holders(request, snapshot),
            counted: request.message.as_deref().and_then(message::bank_figures),
        }
    }
}

fn holders<'a>(request: &Request, snapshot: Snapshot<'a>) -> Vec<Holder<'a>> {
    let mut holders: HashMap<_, Holder<'_>> = HashMap::new();
    for buffer in snapshot.live() {
        let alloc = &buffer.alloc;
        if alloc.place != request.place
            || alloc.buffer_type != request.buffer_type
            || !snapshot.is_counted(buffer)
        {
            continue;
        }
        let since: Moment = buffer.since.into();
        let origin = Origin::of_buffer(snapshot.contexts(), buffer);
        let key = (origin, buffer.class, alloc.size_bytes, buffer.bank_bytes, alloc.layout);
        let holder = holders.entry(key).or_insert_with(|| Holder {
            n: 0,
            bank_bytes: 0,
            size_bytes: alloc.size_bytes,
            layout: alloc.layout,
            class: buffer.class,
            origin,
            since: (since, since),
        });
        holder.n += 1;
        holder.bank_bytes = holder.bank_bytes.saturating_add(buffer.bank_bytes);
        holder.since = (holder.since.0.min(since), holder.since.1.max(since));
    }
    let mut holders: Vec<Holder<'_>> = holders.into_values().collect();
    holders.sort_by_key(|holder| (Reverse(holder.bank_bytes), holder.since));
    holders
}

impl<'a> Clashing<'a> {
    fn of(clash: &'a Clash, ran: Option<Ran>, snapshot: Snapshot<'a>) -> Self {
        let place = clash.place;
        let map = map_of(place, snapshot);
        let bank = map.as_ref().and_then(|map| map.bank);
        let program = map.and_then(|map| map.programs.into_iter().find(|of| of.program == clash.program));
        let program = program.filter(|_| !clash.is_dataflow);
        let told = clash.message.as_deref().and_then(message::reach);
        let laid = program.as_ref().and_then(|program| program.end);
        let bound = ran.and_then(|ran| ran.lowest.or(bank.map(|bank| bank.end)));
        let (region_end, known) = match (told.as_ref().map(|told| told.region_end).or(laid), bound) {
            (Some(end), _) => (Some(end), Known::Exactly),
            (None, Some(bound)) => (Some(bound), Known::AtMost),
            (None, None) => (None, Known::NotAtAll),
        };
        let mut blocking = snapshot.l1_below(place, region_end.unwrap_or(Address::MAX));
        if region_end.is_none() {
            blocking.truncate(N_CANDIDATES);
        }
        let lowest = snapshot.lowest_l1(place).map(|buffer| buffer.alloc.address);
        Self {
            clash,
            bank,
            region_end,
            known,
            lowest: told.as_ref().and_then(|told| told.lowest).or(lowest),
            blocking,
            cores: told
                .map(|told| told.cores)
                .filter(|cores| !cores.is_empty())
                .unwrap_or_else(|| program.as_ref().map_or_else(Vec::new, highest_cores)),
            circular_buffers: program.map_or_else(Vec::new, |program| program.circular_buffers),
            ran,
        }
    }
}

/// The L1 of a chip of the place: they are alike.
fn map_of(place: Place, snapshot: Snapshot<'_>) -> Option<L1Map<'_>> {
    let chips = match place {
        Place::Chip(chip) => vec![chip],
        Place::Mesh(_) => snapshot.chips_of(place).to_vec(),
    };
    snapshot.l1().into_iter().find(|map| map.chips.iter().any(|chip| chips.contains(chip)))
}

fn highest_cores(program: &L1Program<'_>) -> Vec<Range> {
    let highest = program.circular_buffers.iter().filter(|cb| cb.own_end() == program.end);
    let mut sets: Vec<&LaidOut<'_>> = highest.collect();
    sets.dedup_by_key(|cb| cb.cores);
    sets.iter().flat_map(|cb| cb.ranges.unwrap_or_default()).copied().collect()
}
