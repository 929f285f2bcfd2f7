//! An event as 64 bytes: what a thread of the host leaves in the spool, and what a reader makes of it.
//!
//! ```text
//! word 0   clock                               (written by the spool)
//! word 1   kind | flags << 8 | slots << 16 | tid << 32
//! word 2   place | ctx << 32
//! word 3-6 depends on the kind
//! word 7   commit                              (written by the spool, last)
//! ```
//!
//! What does not fit goes on in whole slots behind the first one: names, definitions (as their JSON lines), and
//! allocations with a figure of unusual size, or of which nobody says who owns the memory.

use crate::event::{
    Alloc, BufferType, CbAlloc, CbDealloc, Clash, Dealloc, Event, Failure, Kernel, Place, Request,
    SweepCause, TraceStep,
};

/// The 64-bit words of a record.
pub const WORDS: usize = 8;
/// The bytes of a record.
pub const BYTES: usize = 8 * WORDS;
/// The most slots one record may take; what is longer is cut.
pub const MOST_SLOTS: usize = 240;
/// The bytes that follow a first slot at most.
pub const MOST_TAIL: usize = (MOST_SLOTS - 1) * BYTES;

/// The words of one slot.
pub type Slot = [u64; WORDS];

/// What a record is, in the low byte of word 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// An allocation.
    Alloc = 1,
    /// A deallocation.
    Dealloc,
    /// A deallocation that did not happen.
    Retained,
    /// A circular buffer.
    CbAlloc,
    /// The end of circular buffers.
    CbDealloc,
    /// A program's launch.
    ProgramRun,
    /// An allocator's sweep.
    Sweep,
    /// A mesh device's close.
    Close,
    /// A fork.
    Fork,
    /// A mark.
    Mark,
    /// The beginning of an operation.
    OpBegin,
    /// The end of an operation.
    OpEnd,
    /// A definition: the tail is its JSON line.
    Definition,
    /// The beginning of a phase.
    PhaseBegin,
    /// The end of a phase.
    PhaseEnd,
    /// The load of kernels.
    KernelLoad,
    /// The unload of kernels.
    KernelUnload,
    /// The beginning of a trace.
    TraceBegin,
    /// The end of a trace.
    TraceEnd,
    /// The release of a trace.
    TraceRelease,
    /// A refusal.
    Failure,
}

impl Kind {
    /// All kinds, in the order of their numbers, with the names their lines carry.
    pub const ALL: [(Self, &'static str); 21] = [
        (Self::Alloc, "alloc"),
        (Self::Dealloc, "dealloc"),
        (Self::Retained, "retained"),
        (Self::CbAlloc, "cb_alloc"),
        (Self::CbDealloc, "cb_dealloc"),
        (Self::ProgramRun, "program_run"),
        (Self::Sweep, "sweep"),
        (Self::Close, "close"),
        (Self::Fork, "fork"),
        (Self::Mark, "mark"),
        (Self::OpBegin, "op_begin"),
        (Self::OpEnd, "op_end"),
        (Self::Definition, "definition"),
        (Self::PhaseBegin, "phase_begin"),
        (Self::PhaseEnd, "phase_end"),
        (Self::KernelLoad, "kernel_load"),
        (Self::KernelUnload, "kernel_unload"),
        (Self::TraceBegin, "trace_begin"),
        (Self::TraceEnd, "trace_end"),
        (Self::TraceRelease, "trace_release"),
        (Self::Failure, "failure"),
    ];

    fn from_number(number: u64) -> Option<Self> {
        Self::ALL.into_iter().map(|(kind, _)| kind).find(|kind| u64::from(*kind as u8) == number)
    }
}

mod flag {
    pub const HAS_PLACE: u64 = 1;
    pub const IS_MESH: u64 = 1 << 1;
    pub const HAS_ID: u64 = 1 << 2;
    pub const HAS_SECOND: u64 = 1 << 3;
    pub const IS_VIEW: u64 = 1 << 4;
    pub const IS_HOOKED: u64 = 1 << 5;
    pub const IS_WIDE: u64 = 1 << 6;
    pub const HAS_CORES: u64 = 1 << 7;
}

/// A record that is ready for the spool, but for clock and commit word.
pub struct Encoded<'a> {
    /// The first slot.
    pub slot: Slot,
    /// What follows it, padded to whole slots by the spool.
    pub tail: Tail<'a>,
}

/// What follows the first slot.
pub enum Tail<'a> {
    /// Nothing: nearly always.
    None,
    /// One more slot, and a text behind it, which is nearly always empty.
    Slot(Slot, &'a [u8]),
    /// Two texts, one behind the other, of which the second is nearly always empty. The number of all bytes is in
    /// word 3, that of the first text in word 4.
    Bytes(&'a [u8], &'a [u8]),
}

/// A record as it was read.
pub enum Decoded {
    /// An event and its context.
    Event(Event, u32),
    /// The JSON line of a definition, with its newline.
    Definition(Vec<u8>),
}

/// Numbers of allocators are kept in a table of the spool; a record carries the position.
pub const MOST_ALLOCATORS: usize = 512;
/// The position that means "none".
const NO_ALLOCATOR: u64 = 0xfff;
/// More than the number of any memory type.
const NO_TYPE: u64 = u64::MAX;

/// Encodes an event. `position` gives the place of an allocator in the spool's table, if there is room.
pub fn encode(event: &Event, ctx: u32, position: impl FnOnce(u64) -> Option<u64>) -> Encoded<'_> {
    match event {
        Event::Alloc(alloc) => match encode_alloc(alloc, ctx, position) {
            Some(slot) => slot.into(),
            None => encode_wide_alloc(alloc, ctx),
        },
        Event::Dealloc(dealloc) => encode_dealloc(dealloc, ctx).into(),
        Event::Retained { place, buffer_type, address, unique_id } => {
            let flags = when(unique_id.is_some(), flag::HAS_ID);
            let payload = [*address, 0, unique_id.unwrap_or(0), number(*buffer_type)];
            rare(Kind::Retained, flags, Some(*place), ctx, payload)
        }
        Event::CbAlloc(cb) => {
            let CbAlloc { place, program, cores, address, size_bytes, globally_allocated } = *cb;
            let flags = when(program.is_some(), flag::HAS_ID) | when(globally_allocated, flag::IS_VIEW);
            let payload = [address, size_bytes, program.unwrap_or(0), u64::from(cores)];
            rare(Kind::CbAlloc, flags, Some(place), ctx, payload)
        }
        Event::CbDealloc(CbDealloc { place, program }) => {
            let flags = when(program.is_some(), flag::HAS_ID);
            rare(Kind::CbDealloc, flags, *place, ctx, [0, 0, program.unwrap_or(0), 0])
        }
        Event::ProgramRun { program, place } => {
            rare(Kind::ProgramRun, 0, Some(*place), ctx, [0, 0, *program, 0])
        }
        Event::Sweep { allocator, cause } => {
            let cause = SweepCause::ALL.iter().position(|(known, _)| known == cause).unwrap_or(0);
            rare(Kind::Sweep, 0, None, ctx, [*allocator, cause as u64, 0, 0])
        }
        Event::Close { place } => rare(Kind::Close, 0, Some(*place), ctx, [0; 4]),
        Event::Fork { token } => rare(Kind::Fork, 0, None, ctx, [*token, 0, 0, 0]),
        Event::Mark { name } => long(Kind::Mark, ctx, name.as_bytes(), None),
        Event::OpBegin { name, arguments } => {
            long(Kind::OpBegin, ctx, name.as_bytes(), arguments.as_ref().map(String::as_bytes))
        }
        Event::PhaseBegin { name } => long(Kind::PhaseBegin, ctx, name.as_bytes(), None),
        Event::PhaseEnd => rare(Kind::PhaseEnd, 0, None, ctx, [0; 4]),
        Event::KernelLoad(Kernel { place, kind, program, size_bytes, n_cores }) => {
            let payload = [*size_bytes, *n_cores, program.unwrap_or(0), u64::from(kind.number())];
            rare(Kind::KernelLoad, when(program.is_some(), flag::HAS_ID), Some(*place), ctx, payload)
        }
        Event::KernelUnload { place, program } => {
            let flags = when(program.is_some(), flag::HAS_ID);
            rare(Kind::KernelUnload, flags, Some(*place), ctx, [0, 0, program.unwrap_or(0), 0])
        }
        Event::Trace { step, place, trace } => {
            let kind = match step {
                TraceStep::Begin => Kind::TraceBegin,
                TraceStep::End => Kind::TraceEnd,
                TraceStep::Release => Kind::TraceRelease,
            };
            rare(kind, 0, Some(*place), ctx, [*trace, 0, 0, 0])
        }
        Event::Failure(Failure::Allocation(request)) => encode_request(request, ctx),
        Event::Failure(Failure::Clash(clash)) => encode_clash(clash, ctx),
        // Losses are told by whoever reads the spool, never put into it.
        Event::OpEnd | Event::Lost(_) => rare(Kind::OpEnd, 0, None, ctx, [0; 4]),
    }
}

/// Encodes an event that has a name, a mark or a beginning, from the name's bytes. They need not be UTF-8. What does
/// not fit is cut.
pub fn encode_text<'a>(kind: Kind, name: &'a [u8], arguments: Option<&'a [u8]>) -> Encoded<'a> {
    long(kind, 0, name, arguments)
}

/// Encodes a definition from its JSON line, newline included.
pub fn encode_definition(line: &[u8]) -> Encoded<'_> {
    long(Kind::Definition, 0, line, None)
}

/// Encodes an allocation into one slot, with nothing in between: what the hottest path does. `None` if a figure is
/// too large for that, its allocator has no place in the spool's table, or nobody says who owns the memory.
#[inline(always)]
pub fn encode_alloc(alloc: &Alloc, ctx: u32, position: impl FnOnce(u64) -> Option<u64>) -> Option<Slot> {
    let (n_cores, cores) = (u64::from(alloc.n_cores.unwrap_or(0)), cores(alloc));
    let unique_id = alloc.unique_id.unwrap_or(0);
    let (buffer_type, layout) = (number(alloc.buffer_type), u64::from(alloc.layout.number()));
    let allocator = match alloc.allocator {
        None => NO_ALLOCATOR,
        Some(number) => position(number)?,
    };
    // One sum and one branch.
    let beyond = alloc.address >> 48
        | n_cores >> 16
        | cores >> 16
        | alloc.size_bytes >> 48
        | alloc.per_bank_bytes >> 40
        | alloc.page_size_bytes >> 24
        | unique_id >> 44
        | buffer_type >> 4
        | layout >> 4
        | u64::from(alloc.owns_data.is_none());
    if beyond != 0 {
        return None;
    }
    let payload = [
        alloc.address | n_cores << 48,
        alloc.size_bytes | cores << 48,
        alloc.per_bank_bytes | alloc.page_size_bytes << 40,
        unique_id | allocator << 44 | buffer_type << 56 | layout << 60,
    ];
    Some(short(Kind::Alloc, alloc_flags(alloc), Some(alloc.place), ctx, payload))
}

/// Encodes any allocation into two slots.
fn encode_wide_alloc(alloc: &Alloc, ctx: u32) -> Encoded<'static> {
    let payload = [alloc.address, alloc.size_bytes, alloc.per_bank_bytes, alloc.page_size_bytes];
    let flags = alloc_flags(alloc) | flag::IS_WIDE | when(alloc.allocator.is_some(), flag::HAS_SECOND);
    let mut slot = short(Kind::Alloc, flags, Some(alloc.place), ctx, payload);
    slot[1] += 1 << 16;
    let (unique_id, n_cores) = (alloc.unique_id.unwrap_or(0), u64::from(alloc.n_cores.unwrap_or(0)));
    let (buffer_type, layout) = (number(alloc.buffer_type), u64::from(alloc.layout.number()));
    let is_silent = u64::from(alloc.owns_data.is_none());
    let more =
        [unique_id, alloc.allocator.unwrap_or(0), n_cores, buffer_type, layout, cores(alloc), is_silent, 0];
    Encoded { slot, tail: Tail::Slot(more, b"") }
}

/// What a failure is, in word 6.
mod refused {
    pub const ALLOCATION: u64 = 0;
    pub const CIRCULAR: u64 = 1;
    pub const DATAFLOW: u64 = 2;
}

/// Refusals come seldom: two slots, figures of any size, and the message.
fn encode_request(request: &Request, ctx: u32) -> Encoded<'_> {
    let Request { place, allocator, buffer_type, layout, .. } = *request;
    let payload = [
        request.size_bytes,
        request.per_bank_bytes.unwrap_or(0),
        request.page_size_bytes,
        refused::ALLOCATION,
    ];
    let flags = when(allocator.is_some(), flag::HAS_SECOND)
        | when(request.n_cores.is_some(), flag::HAS_CORES)
        | when(request.per_bank_bytes.is_some(), flag::HAS_ID);
    let slot = short(Kind::Failure, flags, Some(place), ctx, payload);
    let n_cores = u64::from(request.n_cores.unwrap_or(0));
    let more = [allocator.unwrap_or(0), n_cores, number(buffer_type), u64::from(layout.number())];
    encode_failure(slot, more, request.message.as_deref())
}

fn encode_clash(clash: &Clash, ctx: u32) -> Encoded<'_> {
    let flags = when(clash.program.is_some(), flag::HAS_ID);
    let which = if clash.is_dataflow { refused::DATAFLOW } else { refused::CIRCULAR };
    let payload = [0, 0, clash.program.unwrap_or(0), which];
    let slot = short(Kind::Failure, flags, Some(clash.place), ctx, payload);
    encode_failure(slot, [0; 4], clash.message.as_deref())
}

fn encode_failure(mut slot: Slot, [a, b, c, d]: [u64; 4], message: Option<&str>) -> Encoded<'_> {
    let text = message.unwrap_or_default().as_bytes();
    let text = &text[..text.len().min(MOST_TAIL - BYTES)];
    slot[1] += (1 + text.len().div_ceil(BYTES) as u64) << 16;
    let more = [a, b, c, d, u64::from(message.is_some()), text.len() as u64, 0, 0];
    Encoded { slot, tail: Tail::Slot(more, text) }
}

/// The number of a set of cores; they begin at 1.
#[inline(always)]
fn cores(alloc: &Alloc) -> u64 {
    alloc.cores.map_or(0, u64::from)
}

#[inline(always)]
fn alloc_flags(alloc: &Alloc) -> u64 {
    when(alloc.unique_id.is_some(), flag::HAS_ID)
        | when(alloc.owns_data == Some(false), flag::IS_VIEW)
        | when(alloc.hooked, flag::IS_HOOKED)
        | when(alloc.n_cores.is_some(), flag::HAS_CORES)
}

/// Encodes a deallocation, which always fits into one slot.
#[inline(always)]
pub fn encode_dealloc(dealloc: &Dealloc, ctx: u32) -> Slot {
    let Dealloc { place, buffer_type, address, size_bytes, unique_id, hooked } = *dealloc;
    let flags = when(unique_id.is_some(), flag::HAS_ID)
        | when(size_bytes.is_some(), flag::HAS_SECOND)
        | when(hooked, flag::IS_HOOKED);
    let buffer_type = buffer_type.map_or(NO_TYPE, number);
    let payload = [address, size_bytes.unwrap_or(0), unique_id.unwrap_or(0), buffer_type];
    short(Kind::Dealloc, flags, Some(place), ctx, payload)
}

/// The record of an event that was encoded without a context, in that one.
pub fn with_context(mut slot: Slot, ctx: u32) -> Slot {
    slot[2] |= u64::from(ctx) << 32;
    slot
}

/// A record of one slot that is not of the hottest path.
#[inline(never)]
fn rare<'a>(kind: Kind, flags: u64, place: Option<Place>, ctx: u32, payload: [u64; 4]) -> Encoded<'a> {
    short(kind, flags, place, ctx, payload).into()
}

#[inline(always)]
fn short(kind: Kind, flags: u64, place: Option<Place>, ctx: u32, payload: [u64; 4]) -> Slot {
    let (place, more) = match place {
        Some(Place::Mesh(mesh_id)) => (mesh_id, flag::HAS_PLACE | flag::IS_MESH),
        Some(Place::Chip(chip)) => (chip, flag::HAS_PLACE),
        None => (0, 0),
    };
    let what = u64::from(kind as u8) | (flags | more) << 8 | 1 << 16;
    let [a, b, c, d] = payload;
    [0, what, u64::from(place) | u64::from(ctx) << 32, a, b, c, d, 0]
}

impl From<Slot> for Encoded<'_> {
    fn from(slot: Slot) -> Self {
        Self { slot, tail: Tail::None }
    }
}

fn long<'a>(kind: Kind, ctx: u32, name: &'a [u8], more: Option<&'a [u8]>) -> Encoded<'a> {
    let flags = when(more.is_some(), flag::HAS_SECOND);
    let name = &name[..name.len().min(MOST_TAIL)];
    let more = more.unwrap_or_default();
    let more = &more[..more.len().min(MOST_TAIL - name.len())];
    let length = name.len() + more.len();
    let mut slot = short(kind, flags, None, ctx, [length as u64, name.len() as u64, 0, 0]);
    slot[1] += (length.div_ceil(BYTES) as u64) << 16;
    Encoded { slot, tail: Tail::Bytes(name, more) }
}

#[inline(always)]
fn when(condition: bool, flag: u64) -> u64 {
    if condition { flag } else { 0 }
}

#[inline(always)]
fn number(buffer_type: BufferType) -> u64 {
    u64::from(buffer_type.number())
}

/// How many slots the record that begins with this one takes, from 1 to [`MOST_SLOTS`].
pub fn n_slots(first: &Slot) -> usize {
    n_slots_of(first[1])
}

/// The same, from word 1 alone.
pub fn n_slots_of(what: u64) -> usize {
    usize::try_from(what >> 16 & 0xffff).unwrap_or(1).clamp(1, MOST_SLOTS)
}

/// The number of a record's [`Kind`].
pub fn kind_number(first: &Slot) -> usize {
    usize::try_from(first[1] & 0xff).unwrap_or(0)
}

/// The thread that wrote the record.
pub fn tid(first: &Slot) -> u32 {
    high(first[1])
}

/// Decodes a record from its slots. `allocator` gives the number at a position of the spool's table.
///
/// `None` if it is no record of this version.
pub fn decode(slots: &[Slot], allocator: impl Fn(u64) -> Option<u64>) -> Option<Decoded> {
    let first = slots.first()?;
    let kind = Kind::from_number(first[1] & 0xff)?;
    let flags = first[1] >> 8 & 0xff;
    let has = |flag: u64| flags & flag != 0;
    let place = match (has(flag::HAS_PLACE), has(flag::IS_MESH)) {
        (true, true) => Some(Place::Mesh(low(first[2]))),
        (true, false) => Some(Place::Chip(low(first[2]))),
        (false, _) => None,
    };
    let [_, _, _, a, b, c, d, _] = *first;
    let id = has(flag::HAS_ID).then_some(c);
    let event = match kind {
        Kind::Alloc => Event::Alloc(decode_alloc(slots, place?, flags, allocator)?),
        Kind::Dealloc => Event::Dealloc(Dealloc {
            place: place?,
            buffer_type: u32::try_from(d).ok().map(BufferType::from),
            address: a,
            size_bytes: has(flag::HAS_SECOND).then_some(b),
            unique_id: id,
            hooked: has(flag::IS_HOOKED),
        }),
        Kind::Retained => {
            Event::Retained { place: place?, buffer_type: low(d).into(), address: a, unique_id: id }
        }
        Kind::CbAlloc => Event::CbAlloc(CbAlloc {
            place: place?,
            program: id,
            cores: low(d),
            address: a,
            size_bytes: b,
            globally_allocated: has(flag::IS_VIEW),
        }),
        Kind::CbDealloc => Event::CbDealloc(CbDealloc { place, program: id }),
        Kind::ProgramRun => Event::ProgramRun { program: c, place: place? },
        Kind::Sweep => {
            let (cause, _) = SweepCause::ALL.get(usize::try_from(b).ok()?)?;
            Event::Sweep { allocator: a, cause: *cause }
        }
        Kind::Close => Event::Close { place: place? },
        Kind::Fork => Event::Fork { token: a },
        Kind::Mark => Event::Mark { name: text(&name_bytes(slots)?) },
        Kind::OpBegin => {
            let bytes = name_bytes(slots)?;
            let (name, arguments) = bytes.split_at_checked(usize::try_from(b).ok()?)?;
            Event::OpBegin { name: text(name), arguments: has(flag::HAS_SECOND).then(|| text(arguments)) }
        }
        Kind::OpEnd => Event::OpEnd,
        Kind::PhaseBegin => Event::PhaseBegin { name: text(&name_bytes(slots)?) },
        Kind::PhaseEnd => Event::PhaseEnd,
        Kind::KernelLoad => Event::KernelLoad(Kernel {
            place: place?,
            kind: low(d).into(),
            program: id,
            size_bytes: a,
            n_cores: b,
        }),
        Kind::KernelUnload => Event::KernelUnload { place: place?, program: id },
        Kind::TraceBegin => Event::Trace { step: TraceStep::Begin, place: place?, trace: a },
        Kind::TraceEnd => Event::Trace { step: TraceStep::End, place: place?, trace: a },
        Kind::TraceRelease => Event::Trace { step: TraceStep::Release, place: place?, trace: a },
        Kind::Failure => Event::Failure(decode_failure(slots, place?, flags)?),
        Kind::Definition => return Some(Decoded::Definition(name_bytes(slots)?)),
    };
    Some(Decoded::Event(event, high(first[2])))
}

fn decode_alloc(
    slots: &[Slot],
    place: Place,
    flags: u64,
    allocator: impl Fn(u64) -> Option<u64>,
) -> Option<Alloc> {
    let [_, _, _, a, b, c, d, _] = *slots.first()?;
    let has = |flag: u64| flags & flag != 0;
    let mut alloc = Alloc {
        place,
        allocator: None,
        buffer_type: BufferType::Dram,
        layout: 0.into(),
        address: a,
        size_bytes: b,
        page_size_bytes: d,
        per_bank_bytes: c,
        n_cores: None,
        cores: None,
        unique_id: None,
        owns_data: Some(!has(flag::IS_VIEW)),
        hooked: has(flag::IS_HOOKED),
    };
    if has(flag::IS_WIDE) {
        let [unique_id, number, n_cores, buffer_type, layout, cores, is_silent, _] = *slots.get(1)?;
        alloc.owns_data = alloc.owns_data.filter(|_| is_silent == 0);
        alloc.unique_id = has(flag::HAS_ID).then_some(unique_id);
        alloc.allocator = has(flag::HAS_SECOND).then_some(number);
        alloc.n_cores = has(flag::HAS_CORES).then_some(low(n_cores));
        alloc.buffer_type = low(buffer_type).into();
        alloc.layout = low(layout).into();
        alloc.cores = Some(low(cores)).filter(|cores| *cores != 0);
        return Some(alloc);
    }
    let position = d >> 44 & 0xfff;
    alloc.address = a & ((1 << 48) - 1);
    alloc.size_bytes = b & ((1 << 48) - 1);
    alloc.cores = Some(low(b >> 48)).filter(|cores| *cores != 0);
    alloc.per_bank_bytes = c & ((1 << 40) - 1);
    alloc.page_size_bytes = c >> 40;
    alloc.unique_id = has(flag::HAS_ID).then_some(d & ((1 << 44) - 1));
    alloc.n_cores = has(flag::HAS_CORES).then_some(low(a >> 48));
    alloc.buffer_type = low(d >> 56 & 0xf).into();
    alloc.layout = low(d >> 60).into();
    if position != NO_ALLOCATOR {
        alloc.allocator = Some(allocator(position)?);
    }
    Some(alloc)
}

fn decode_failure(slots: &[Slot], place: Place, flags: u64) -> Option<Failure> {
    let [first, rest @ ..] = slots else { return None };
    let [_, _, _, a, b, c, d, _] = *first;
    let [allocator, n_cores, buffer_type, layout, has_message, length, ..] = *rest.first()?;
    let message = if has_message == 0 { None } else { Some(text(&bytes(rest, length)?)) };
    let has = |flag: u64| flags & flag != 0;
    if d == refused::ALLOCATION {
        return Some(Failure::Allocation(Request {
            place,
            allocator: has(flag::HAS_SECOND).then_some(allocator),
            buffer_type: low(buffer_type).into(),
            layout: low(layout).into(),
            size_bytes: a,
            page_size_bytes: c,
            per_bank_bytes: has(flag::HAS_ID).then_some(b),
            n_cores: has(flag::HAS_CORES).then_some(low(n_cores)),
            message,
        }));
    }
    Some(Failure::Clash(Clash {
        place,
        is_dataflow: d == refused::DATAFLOW,
        program: has(flag::HAS_ID).then_some(c),
        message,
    }))
}

#[inline(never)]
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The bytes of a name or a definition.
fn name_bytes(slots: &[Slot]) -> Option<Vec<u8>> {
    bytes(slots, slots.first()?[3])
}

/// So many bytes that follow the first of these slots.
fn bytes(slots: &[Slot], length: u64) -> Option<Vec<u8>> {
    let (_, rest) = slots.split_first()?;
    let length = usize::try_from(length).ok()?;
    let mut bytes: Vec<u8> = rest.iter().flatten().flat_map(|word| word.to_ne_bytes()).collect();
    if bytes.len() < length {
        return None;
    }
    bytes.truncate(length);
    Some(bytes)
}

fn low(word: u64) -> u32 {
    u32::try_from(word & 0xffff_ffff).unwrap_or(0)
}

fn high(word: u64) -> u32 {
    u32::try_from(word >> 32).unwrap_or(0)
}
