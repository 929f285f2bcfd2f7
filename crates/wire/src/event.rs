//! The events of a capture: facts about device memory, in the order in which they happened.
//!
//! Numbers of enumerations are those of the runtime (seen in runs of ttnn 0.66 to 0.81); a number nobody
//! knows yet is kept as given.

use std::fmt;

/// An address on a device, as the runtime gives it: relative to a bank for DRAM and interleaved L1.
pub type Address = u64;

/// When and on which thread an event happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stamp {
    /// The position in this capture, from 1. This is the order of events.
    pub n: u64,
    /// `CLOCK_MONOTONIC` in nanoseconds. It may step back between threads.
    pub t_ns: u64,
    /// The kernel's thread id.
    pub tid: u32,
    /// The number of a context definition (operation, stack, test), or 0 for none.
    pub ctx: u32,
}

/// The memory a buffer is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BufferType {
    /// The DRAM banks of a chip.
    Dram,
    /// The L1 memory of the worker cores, allocated from the top down.
    L1,
    /// Host memory that a device can reach.
    SystemMemory,
    /// The small region of L1 that is reserved when a mesh is opened.
    L1Small,
    /// The region of DRAM for captured commands.
    Trace,
    /// A number this version has no name for.
    Unknown(u32),
}

impl BufferType {
    /// The types that have a name, in the order in which reports list them.
    pub const KNOWN: [Self; 5] = [Self::Dram, Self::L1, Self::L1Small, Self::Trace, Self::SystemMemory];

    /// The runtime's number for this type.
    #[inline(always)]
    pub fn number(self) -> u32 {
        match self {
            Self::Dram => 0,
            Self::L1 => 1,
            Self::SystemMemory => 2,
            Self::L1Small => 3,
            Self::Trace => 4,
            Self::Unknown(number) => number,
        }
    }

    /// The type of a name as [`fmt::Display`] writes it.
    pub fn from_name(name: &str) -> Option<Self> {
        let known = Self::KNOWN.into_iter().find(|known| known.name() == Some(name));
        known.or_else(|| Some(Self::from(name.strip_prefix("TYPE_")?.parse::<u32>().ok()?)))
    }

    pub(crate) fn name(self) -> Option<&'static str> {
        match self {
            Self::Dram => Some("DRAM"),
            Self::L1 => Some("L1"),
            Self::SystemMemory => Some("SYSTEM_MEMORY"),
            Self::L1Small => Some("L1_SMALL"),
            Self::Trace => Some("TRACE"),
            Self::Unknown(_) => None,
        }
    }
}

impl From<u32> for BufferType {
    #[inline(always)]
    fn from(number: u32) -> Self {
        match number {
            0 => Self::Dram,
            1 => Self::L1,
            2 => Self::SystemMemory,
            3 => Self::L1Small,
            4 => Self::Trace,
            other => Self::Unknown(other),
        }
    }
}

impl fmt::Display for BufferType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => f.pad(&format!("TYPE_{}", self.number())),
        }
    }
}

/// How a buffer's pages are spread over banks or cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BufferLayout {
    /// Round-robin over all banks.
    Interleaved,
    /// All in one bank.
    SingleBank,
    /// Shards of rows, one per core.
    HeightSharded,
    /// Shards of columns, one per core.
    WidthSharded,
    /// Shards of rows and columns, one per core.
    BlockSharded,
    /// A number this version has no name for.
    Unknown(u32),
}

impl BufferLayout {
    const KNOWN: [(Self, &'static str); 5] = [
        (Self::Interleaved, "INTERLEAVED"),
        (Self::SingleBank, "SINGLE_BANK"),
        (Self::HeightSharded, "HEIGHT_SHARDED"),
        (Self::WidthSharded, "WIDTH_SHARDED"),
        (Self::BlockSharded, "BLOCK_SHARDED"),
    ];

    /// The runtime's number for this layout.
    #[inline(always)]
    pub fn number(self) -> u32 {
        match self {
            Self::Interleaved => 0,
            Self::SingleBank => 1,
            Self::HeightSharded => 2,
            Self::WidthSharded => 3,
            Self::BlockSharded => 4,
            Self::Unknown(number) => number,
        }
    }

    /// The layout of a name as [`fmt::Display`] writes it.
    pub fn from_name(name: &str) -> Option<Self> {
        let known = Self::KNOWN.into_iter().find(|(_, known)| *known == name).map(|(layout, _)| layout);
        known.or_else(|| Some(Self::from(name.strip_prefix("LAYOUT_")?.parse::<u32>().ok()?)))
    }

    pub(crate) fn name(self) -> Option<&'static str> {
        Self::KNOWN.iter().find(|(known, _)| *known == self).map(|(_, name)| *name)
    }
}

impl From<u32> for BufferLayout {
    #[inline(always)]
    fn from(number: u32) -> Self {
        match number {
            0 => Self::Interleaved,
            1 => Self::SingleBank,
            2 => Self::HeightSharded,
            3 => Self::WidthSharded,
            4 => Self::BlockSharded,
            other => Self::Unknown(other),
        }
    }
}

impl fmt::Display for BufferLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => f.pad(&format!("LAYOUT_{}", self.number())),
        }
    }
}

/// What a kernel is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KernelKind {
    /// Of the program itself.
    Application,
    /// Of the fabric between chips.
    Fabric,
    /// Of the command queues.
    Dispatch,
    /// A number this version has no name for.
    Unknown(u32),
}

impl KernelKind {
    const KNOWN: [(Self, &'static str); 3] =
        [(Self::Application, "APPLICATION"), (Self::Fabric, "FABRIC"), (Self::Dispatch, "DISPATCH")];

    /// The number of this kind in the C interface.
    pub fn number(self) -> u32 {
        match self {
            Self::Application => 0,
            Self::Fabric => 1,
            Self::Dispatch => 2,
            Self::Unknown(number) => number,
        }
    }

    /// The kind of a name as [`fmt::Display`] writes it.
    pub fn from_name(name: &str) -> Option<Self> {
        let known = Self::KNOWN.into_iter().find(|(_, known)| *known == name).map(|(kind, _)| kind);
        known.or_else(|| Some(Self::from(name.strip_prefix("KERNEL_")?.parse::<u32>().ok()?)))
    }

    pub(crate) fn name(self) -> Option<&'static str> {
        Self::KNOWN.iter().find(|(known, _)| *known == self).map(|(_, name)| *name)
    }
}

impl From<u32> for KernelKind {
    fn from(number: u32) -> Self {
        match number {
            0 => Self::Application,
            1 => Self::Fabric,
            2 => Self::Dispatch,
            other => Self::Unknown(other),
        }
    }
}

impl fmt::Display for KernelKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => f.pad(&format!("KERNEL_{}", self.number())),
        }
    }
}

/// Where something is: on every chip of a mesh device, or on one chip.
///
/// A mesh number is not a chip number. The stock runtime reports buffers per mesh and, from 0.70, circular
/// buffers per chip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// The mesh device of this number; its chips are in its definition.
    Mesh(u32),
    /// The chip of this number.
    Chip(u32),
}

/// A buffer takes memory: the allocator has answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alloc {
    /// On which chips.
    pub place: Place,
    /// The allocator that gave the memory, if it was seen. An opaque number of the process.
    pub allocator: Option<u64>,
    /// The memory it is in.
    pub buffer_type: BufferType,
    /// How it is spread.
    pub layout: BufferLayout,
    /// Where it starts, the same on every chip of the place.
    pub address: Address,
    /// Logical bytes on one chip, without padding.
    pub size_bytes: u64,
    /// Bytes of one page.
    pub page_size_bytes: u64,
    /// Bytes in each bank, aligned to pages but not yet rounded by the allocator.
    pub per_bank_bytes: u64,
    /// On how many cores a sharded buffer resides.
    pub n_cores: Option<u32>,
    /// The number of a `cores` definition: where the shards of an L1 buffer may lie, from ttnn 0.80. If it has more
    /// than [`Self::n_cores`], some hold nothing.
    pub cores: Option<u32>,
    /// The runtime's own number of the buffer, from ttnn 0.80.
    pub unique_id: Option<u64>,
    /// False for a view at another buffer's address, which holds nothing itself. Absent where the source does not
    /// say: then owners and views of one address look the same.
    pub owns_data: Option<bool>,
    /// True for an allocation in a capture that runs nothing: there is no memory behind it.
    pub hooked: bool,
}

/// A buffer is about to give its memory back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dealloc {
    /// On which chips.
    pub place: Place,
    /// The memory it was in, if the source says.
    pub buffer_type: Option<BufferType>,
    /// Where it started.
    pub address: Address,
    /// Logical bytes on one chip, if the caller knows them.
    pub size_bytes: Option<u64>,
    /// The runtime's own number of the buffer, from ttnn 0.80.
    pub unique_id: Option<u64>,
    /// True where there never was memory behind the buffer (see [`Alloc::hooked`]).
    pub hooked: bool,
}

/// A circular buffer of a program is laid out on a set of cores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CbAlloc {
    /// On which chips.
    pub place: Place,
    /// The runtime's number of the owning program, if it is known.
    pub program: Option<u64>,
    /// The number of a `cores` definition.
    pub cores: u32,
    /// Where it starts, on each of the cores.
    pub address: Address,
    /// Bytes on each of the cores.
    pub size_bytes: u64,
    /// True if it lies inside an L1 buffer and takes no memory of its own.
    pub globally_allocated: bool,
}

/// The circular buffers of a program end, all at once, on one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CbDealloc {
    /// On which chips; absent where the runtime named a device that is gone.
    pub place: Option<Place>,
    /// The owning program; absent: those of every program on the place.
    pub program: Option<u64>,
}

/// The kernel binaries of a program are loaded. This is no memory that somebody holds: what is loaded over time is
/// evicted by the device without a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// On which chips.
    pub place: Place,
    /// What the kernels are for.
    pub kind: KernelKind,
    /// The owning program, if it is known.
    pub program: Option<u64>,
    /// Bytes of the binaries on one core.
    pub size_bytes: u64,
    /// On how many cores.
    pub n_cores: u64,
}

/// What happens to a trace: captured commands that can be replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TraceStep {
    /// From now on commands are captured.
    Begin,
    /// The capture is complete.
    End,
    /// The trace is given up.
    Release,
}

/// An allocation that the runtime refused: what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// On which chips.
    pub place: Place,
    /// The allocator that refused.
    pub allocator: Option<u64>,
    /// The memory it was to be in.
    pub buffer_type: BufferType,
    /// How it was to be spread.
    pub layout: BufferLayout,
    /// Logical bytes on one chip, without padding.
    pub size_bytes: u64,
    /// Bytes of one page.
    pub page_size_bytes: u64,
    /// Bytes in each bank, aligned to pages but not yet rounded by the allocator; absent if it has no such bank.
    pub per_bank_bytes: Option<u64>,
    /// On how many cores a sharded buffer was to reside.
    pub n_cores: Option<u32>,
    /// What the runtime's exception says, without its list of return addresses, if that is known.
    pub message: Option<String>,
}

/// A program that the runtime refused to launch, because its buffers and the L1 buffers meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clash {
    /// On which chips.
    pub place: Place,
    /// Whether its dataflow buffers clash; else its circular buffers.
    pub is_dataflow: bool,
    /// The runtime's number of the program, if it is known.
    pub program: Option<u64>,
    /// As for [`Request::message`].
    pub message: Option<String>,
}

/// What the runtime refused with an exception, whether the caller swallowed that or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// An allocation.
    Allocation(Request),
    /// A program's launch.
    Clash(Clash),
}

impl Failure {
    /// Where it happened.
    pub fn place(&self) -> Place {
        match self {
            Self::Allocation(request) => request.place,
            Self::Clash(clash) => clash.place,
        }
    }

    /// What the runtime's exception says, if that is known.
    pub fn message(&self) -> Option<&str> {
        match self {
            Self::Allocation(request) => request.message.as_deref(),
            Self::Clash(clash) => clash.message.as_deref(),
        }
    }

    /// The word for it in captures and outputs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Allocation(_) => "allocation",
            Self::Clash(Clash { is_dataflow: false, .. }) => "circular_buffer_clash",
            Self::Clash(Clash { is_dataflow: true, .. }) => "dataflow_buffer_clash",
        }
    }
}

/// Why an allocator gave up everything it held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SweepCause {
    /// The program asked for it.
    Call,
    /// The mesh was being closed.
    Close,
    /// The process was coming to its end without closing the mesh.
    Exit,
}

impl SweepCause {
    pub(crate) const ALL: [(Self, &'static str); 3] =
        [(Self::Call, "call"), (Self::Close, "close"), (Self::Exit, "exit")];
}

/// Events that were refused because there was no room for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lost {
    /// How many since the last such line.
    pub dropped: u64,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A buffer takes memory.
    Alloc(Alloc),
    /// A buffer gives memory back.
    Dealloc(Dealloc),
    /// The buffer whose [`Event::Dealloc`] came last on this thread keeps its memory after all: it was freed
    /// inside a capture that runs nothing.
    Retained {
        /// On which chips.
        place: Place,
        /// The memory it is in.
        buffer_type: BufferType,
        /// Where it starts.
        address: Address,
        /// The runtime's own number of the buffer.
        unique_id: Option<u64>,
    },
    /// A circular buffer is laid out.
    CbAlloc(CbAlloc),
    /// Circular buffers end.
    CbDealloc(CbDealloc),
    /// A program is launched.
    ProgramRun {
        /// The runtime's number of the program.
        program: u64,
        /// Where it is launched.
        place: Place,
    },
    /// An allocator gives up everything it holds, without a deallocation each.
    Sweep {
        /// The allocator, by the number that its allocations carry.
        allocator: u64,
        /// Why.
        cause: SweepCause,
    },
    /// A mesh device, or a device alone, has been closed.
    Close {
        /// Which one.
        place: Place,
    },
    /// The process is about to fork; a child's capture names the token of its fork.
    Fork {
        /// Unique in the capture.
        token: u64,
    },
    /// The program named this moment.
    Mark {
        /// The name, as given.
        name: String,
    },
    /// A named operation begins on this thread.
    OpBegin {
        /// The name, as given.
        name: String,
        /// The arguments as text, if they were given.
        arguments: Option<String>,
    },
    /// The operation that began last on this thread ends.
    OpEnd,
    /// A named phase of this thread's work begins. Phases nest.
    PhaseBegin {
        /// The name, as given.
        name: String,
    },
    /// The phase that began last on this thread ends.
    PhaseEnd,
    /// Kernel binaries are loaded.
    KernelLoad(Kernel),
    /// Kernel binaries are unloaded.
    KernelUnload {
        /// From which chips.
        place: Place,
        /// The owning program; absent: of every program on the place.
        program: Option<u64>,
    },
    /// Something happens to a trace.
    Trace {
        /// What.
        step: TraceStep,
        /// On which chips.
        place: Place,
        /// The runtime's number of the trace.
        trace: u64,
    },
    /// The runtime refused something with an exception.
    Failure(Failure),
    /// Events were refused.
    Lost(Lost),
}

impl Event {
    /// The `kind` of its line.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Alloc(_) => "alloc",
            Self::Dealloc(_) => "dealloc",
            Self::Retained { .. } => "retained",
            Self::CbAlloc(_) => "cb_alloc",
            Self::CbDealloc(_) => "cb_dealloc",
            Self::ProgramRun { .. } => "program_run",
            Self::Sweep { .. } => "sweep",
            Self::Close { .. } => "close",
            Self::Fork { .. } => "fork",
            Self::Mark { .. } => "mark",
            Self::OpBegin { .. } => "op_begin",
            Self::OpEnd => "op_end",
            Self::PhaseBegin { .. } => "phase_begin",
            Self::PhaseEnd => "phase_end",
            Self::KernelLoad(_) => "kernel_load",
            Self::KernelUnload { .. } => "kernel_unload",
            Self::Trace { step: TraceStep::Begin, .. } => "trace_begin",
            Self::Trace { step: TraceStep::End, .. } => "trace_end",
            Self::Trace { step: TraceStep::Release, .. } => "trace_release",
            Self::Failure(_) => "failure",
            Self::Lost(_) => "lost",
        }
    }
}
