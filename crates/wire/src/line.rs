//! A capture's lines: definitions, events, and the header and footer around them.

use crate::event::{Address, BufferType, Event, Stamp};
use crate::version::Version;
use std::fmt;

/// One line of a capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// The first line. Boxed: it is ten times as large as what comes by the million.
    Header(Box<Header>),
    /// Defines a mesh device before the first event that names it.
    Mesh(Mesh),
    /// Tells of a device that is used alone when it is opened.
    Device(Device),
    /// Defines an allocator before the first event that names it.
    Allocator(Allocator),
    /// Defines a set of cores before the first event that names it.
    Cores(Cores),
    /// Defines a text before the first definition that names it.
    Text(Text),
    /// Defines a call stack before the first context that names it.
    Stack(Stack),
    /// Defines a context before the first event that names it.
    Context(Context),
    /// A fact, at its place in the order.
    Event(Stamp, Event),
    /// The last line. Where it is missing, the process was killed or is still running.
    Footer(Footer),
    /// Stands at the end of a capture whose process was killed and whose last events came from its spool.
    Recovery(Recovery),
    /// A kind that a later minor version added; readers pass over it.
    Unknown(String),
}

/// Who wrote the capture, when, and with which settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The version of the format.
    pub version: Version,
    /// The version of tt-memtrace that wrote it.
    pub tool: String,
    /// The process.
    pub pid: u32,
    /// When the process started, in clock ticks since boot: tells two uses of one pid apart.
    pub process_start: u64,
    /// The host's name.
    pub host: String,
    /// The kernel's id of this boot of the host.
    pub boot_id: String,
    /// The pid namespace, as `/proc/self/ns/pid` names it: elsewhere the pid is another process. May be empty.
    pub pid_namespace: String,
    /// The rank in a multi-process job, if there is one.
    pub rank: Option<u32>,
    /// The name of the executable, without its folder.
    pub program: String,
    /// The command line.
    pub command: Vec<String>,
    /// `CLOCK_MONOTONIC` at the same instant as `wall_ns`.
    pub t_ns: u64,
    /// Nanoseconds since 1970-01-01 UTC.
    pub wall_ns: u64,
    /// The runtime that is recorded; absent if the events come through the C symbols alone.
    pub runtime: Option<Runtime>,
    /// Which stacks are recorded: `none`, `python`, `native`, `both`.
    pub stacks: String,
    /// The file that holds events not yet in this capture, while the process lives.
    pub spool: Option<String>,
    /// For a forked child: where its inherited buffers are told.
    pub parent: Option<Parent>,
}

/// The stock runtime that is being recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runtime {
    /// The version of the ttnn package the library belongs to, if it can be told.
    pub version: Option<String>,
    /// The path of the library that holds the runtime.
    pub library: String,
}

/// The process a forked child came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parent {
    /// The parent's capture.
    pub capture: String,
    /// The parent's pid.
    pub pid: u32,
    /// The token of the `fork` event in the parent's capture.
    pub token: u64,
}

/// A mesh device: several chips addressed as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mesh {
    /// Its number; never used again in the process.
    pub mesh_id: u32,
    /// Its chips in mesh order (row by row).
    pub chips: Vec<u32>,
    /// The shape.
    pub rows: u32,
    /// The shape.
    pub cols: u32,
    /// The architecture: `wormhole_b0`, `blackhole`, or `arch_N`.
    pub arch: String,
}

/// A device that belongs to no mesh device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its number.
    pub chip: u32,
    /// The architecture, as for [`Mesh`].
    pub arch: String,
}

/// An allocator of a mesh device. Its answers hold for each chip of the mesh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allocator {
    /// An opaque number of the process.
    pub allocator: u64,
    /// The mesh device it serves.
    pub mesh_id: u32,
    /// A buffer takes a multiple of so many bytes in each bank. Absent for an architecture nobody measured.
    pub bank_rounding_bytes: Option<u64>,
    /// The banks of each memory type.
    pub banks: Vec<Bank>,
}

/// The banks of one memory type of an allocator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bank {
    /// The memory type.
    pub buffer_type: BufferType,
    /// How many there are on one chip.
    pub n_banks: u32,
    /// Bytes of one.
    pub bank_size_bytes: u64,
    /// The address at which it starts, if the runtime tells.
    pub base_address: Option<Address>,
}

/// A set of cores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cores {
    /// Its number in this capture.
    pub cores: u32,
    /// Its rectangles.
    pub ranges: Vec<Range>,
}

/// A rectangle of cores; both corners belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Range {
    /// The column of the first corner.
    pub x0: u32,
    /// The row of the first corner.
    pub y0: u32,
    /// The column of the last corner.
    pub x1: u32,
    /// The row of the last corner.
    pub y1: u32,
}

/// A text that stacks and contexts name: a file, a function, an operation, a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// Its number in this capture, from 1.
    pub text: u32,
    /// What it says.
    pub value: String,
}

/// A call stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stack {
    /// Its number in this capture, from 1.
    pub stack: u32,
    /// Its frames, the innermost first.
    pub frames: Vec<Frame>,
    /// Whether there were more frames, further out.
    pub is_cut: bool,
}

/// A line that was being executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Frame {
    /// The number of the text with the file's path.
    pub file: u32,
    /// The number of the text with the function's name; of an operation, with the operation's.
    pub function: u32,
    /// The line in the file, from 1; 0 if it is not known.
    pub line: u32,
}

/// What a thread was doing when an event happened. Equal ones have one number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// Its number in this capture, from 1.
    pub ctx: u32,
    /// The number of the text with the operation's public name.
    pub op: Option<u32>,
    /// The number of the stack.
    pub stack: Option<u32>,
    /// The number of the text with the test's id.
    pub test: Option<u32>,
}

/// How a process ended, as far as it could say so itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ending {
    /// By `exit` or the return of `main`.
    Exit,
    /// By `_exit`, which runs no destructors.
    ImmediateExit,
    /// It lives on, but recording stopped because of a fault of ours, which was said on stderr.
    Stopped,
}

impl Ending {
    pub(crate) const ALL: [(Self, &'static str); 3] =
        [(Self::Exit, "exit"), (Self::ImmediateExit, "_exit"), (Self::Stopped, "stopped")];
}

/// The sums at the end of a capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footer {
    /// When it was written, `CLOCK_MONOTONIC`.
    pub t_ns: u64,
    /// The number of events in this file: the last `n`.
    pub recorded: u64,
    /// Events refused for want of room.
    pub dropped: u64,
    /// How the process ended.
    pub ended: Ending,
}

/// What a killed process left in its spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovery {
    /// The number of events in this file: the last `n`.
    pub recorded: u64,
    /// The events among them that came from the spool.
    pub recovered: u64,
    /// Events refused for want of room.
    pub dropped: u64,
    /// Events that were being recorded when the process died: at most one per thread.
    pub unfinished: u64,
    /// Records that this version could not read.
    pub unreadable: u64,
}

impl Line {
    /// Appends this line and its newline.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        crate::encode::line(self, out);
    }

    /// Whether this defines what events or other definitions name.
    pub fn is_definition(&self) -> bool {
        matches!(
            self,
            Self::Mesh(_)
                | Self::Device(_)
                | Self::Allocator(_)
                | Self::Cores(_)
                | Self::Text(_)
                | Self::Stack(_)
                | Self::Context(_)
        )
    }

    /// Reads one line, without its newline.
    pub fn parse(text: &str) -> Result<Self, LineError> {
        crate::decode::line(text)
    }
}

/// Why a line could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LineError {
    /// It is not a JSON object with a `kind`.
    NotALine(String),
    /// A field is missing or has a value that cannot be.
    Field {
        /// The line's kind.
        kind: String,
        /// The field.
        field: &'static str,
    },
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotALine(why) => write!(f, "not a line of a capture ({why})"),
            Self::Field { kind, field } => {
                write!(f, "a {kind:?} line whose {field:?} is missing or impossible")
            }
        }
    }
}

impl std::error::Error for LineError {}
