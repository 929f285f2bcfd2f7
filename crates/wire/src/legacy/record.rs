//! One record: what its fields are, and where they lie in each of the four sizes. Numbers are little-endian.

use crate::event::{BufferType, KernelKind};
use std::fmt;

/// Bytes that all sizes have in common; they hold all there is to say of an event.
pub(super) const HEAD_BYTES: usize = 40;

/// The four sizes, oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RecordSize {
    /// 72 bytes: the totals of four memory types.
    P1,
    /// 112 bytes: what a device is, too.
    P2,
    /// 128 bytes: the totals of circular buffers and kernels, too.
    P3,
    /// 144 bytes: the kernels' ring buffer, too.
    P4,
}

impl RecordSize {
    /// All of them, the smallest first.
    pub const ALL: [Self; 4] = [Self::P1, Self::P2, Self::P3, Self::P4];

    /// Bytes of one record.
    pub fn bytes(self) -> usize {
        match self {
            Self::P1 => 72,
            Self::P2 => 112,
            Self::P3 => 128,
            Self::P4 => 144,
        }
    }

    /// The size of so many bytes.
    pub fn from_bytes(bytes: usize) -> Option<Self> {
        Self::ALL.into_iter().find(|size| size.bytes() == bytes)
    }
}

/// What a record says or asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Message {
    /// A buffer was allocated.
    Alloc = 1,
    /// A buffer was freed. Only its chip and address are told.
    Free = 2,
    /// How much of one device is in use?
    Query = 3,
    /// The answer to [`Self::Query`].
    Response = 4,
    /// The server shall print what is live.
    DumpRemaining = 5,
    /// What is this device? Device -1: how many are there?
    DeviceInfoQuery = 6,
    /// The answer to [`Self::DeviceInfoQuery`].
    DeviceInfoResponse = 7,
    /// A circular buffer was placed.
    CbAlloc = 8,
    /// A circular buffer was released.
    CbFree = 9,
    /// The binaries of a program were loaded.
    KernelLoad = 10,
    /// The binaries of a program were released.
    KernelUnload = 11,
    /// The server shall print which kernels are live.
    DumpKernels = 12,
}

impl Message {
    /// All of them, by number.
    pub const ALL: [Self; 12] = [
        Self::Alloc,
        Self::Free,
        Self::Query,
        Self::Response,
        Self::DumpRemaining,
        Self::DeviceInfoQuery,
        Self::DeviceInfoResponse,
        Self::CbAlloc,
        Self::CbFree,
        Self::KernelLoad,
        Self::KernelUnload,
        Self::DumpKernels,
    ];

    /// The number in the first byte of a record.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The message of a number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|message| message.number() == number)
    }

    /// Whether it asks or answers. Who asks sends no pid.
    pub(super) fn is_about_the_server(self) -> bool {
        matches!(
            self,
            Self::Query
                | Self::Response
                | Self::DumpRemaining
                | Self::DeviceInfoQuery
                | Self::DeviceInfoResponse
                | Self::DumpKernels
        )
    }
}

/// Bytes in use on one device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// DRAM.
    pub dram: u64,
    /// L1.
    pub l1: u64,
    /// `L1_SMALL`; with it, as the earlier server did, host memory.
    pub l1_small: u64,
    /// The trace region.
    pub trace: u64,
    /// Circular buffers. From [`RecordSize::P3`].
    pub circular: u64,
    /// Kernels. From [`RecordSize::P3`].
    pub kernels: u64,
}

/// What a device is. From [`RecordSize::P2`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeviceFacts {
    /// Bytes of all DRAM channels.
    pub total_dram_bytes: u64,
    /// Bytes of the L1 of all cores.
    pub total_l1_bytes: u64,
    /// 0 invalid, 1 Grayskull, 2 Wormhole B0, 3 Blackhole, 4 Quasar.
    pub arch: u32,
    /// DRAM channels.
    pub n_dram_channels: u32,
    /// Bytes of one DRAM channel.
    pub dram_channel_bytes: u32,
    /// Bytes of one core's L1.
    pub l1_core_bytes: u32,
    /// 1 if the server knows the device.
    pub is_available: u32,
    /// In the answer about device -1: how many devices there are.
    pub n_devices: u32,
}

/// The ring buffer that kernels are loaded into. From [`RecordSize::P4`]; the earlier server never filled it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RingBuffer {
    /// Its bytes.
    pub total_bytes: u32,
    /// Bytes in use.
    pub used_bytes: u32,
    /// Programs in it.
    pub n_programs: u32,
}

/// One record. What a message does not use is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// What it says or asks.
    pub message: Message,
    /// The chip; -1 asks for their number.
    pub device_id: i32,
    /// Bytes; 0 for [`Message::Free`].
    pub size_bytes: u64,
    /// The runtime's number of the memory type, or of the kind of kernel: see [`Self::buffer_type`] and
    /// [`Self::kernel_kind`].
    pub kind: u8,
    /// The sender's pid, in its own pid namespace; 0 from those who ask.
    pub process_id: i32,
    /// The address, or the number of a program.
    pub buffer_id: u64,
    /// Nanoseconds since 1970; 0 in all messages that release.
    pub wall_ns: u64,
    /// Bytes in use, in answers.
    pub totals: Totals,
    /// What the device is, in answers.
    pub device: DeviceFacts,
    /// The ring buffer, in answers.
    pub ring_buffer: RingBuffer,
}

impl Record {
    /// A record with nothing but this.
    pub fn new(message: Message, device_id: i32) -> Self {
        Self {
            message,
            device_id,
            size_bytes: 0,
            kind: 0,
            process_id: 0,
            buffer_id: 0,
            wall_ns: 0,
            totals: Totals::default(),
            device: DeviceFacts::default(),
            ring_buffer: RingBuffer::default(),
        }
    }

    /// The memory type of an allocation.
    pub fn buffer_type(&self) -> BufferType {
        BufferType::from(u32::from(self.kind))
    }

    /// What loaded kernels are for.
    pub fn kernel_kind(&self) -> KernelKind {
        KernelKind::from(u32::from(self.kind))
    }

    /// Appends the record in that size; what the size has no room for is left out.
    pub fn write_to(&self, size: RecordSize, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[self.message.number(), 0, 0, 0]);
        out.extend_from_slice(&self.device_id.to_le_bytes());
        put_u64(out, [self.size_bytes]);
        out.extend_from_slice(&[self.kind, 0, 0, 0]);
        out.extend_from_slice(&self.process_id.to_le_bytes());
        put_u64(out, [self.buffer_id, self.wall_ns]);
        let Totals { dram, l1, l1_small, trace, circular, kernels } = self.totals;
        put_u64(out, [dram, l1, l1_small, trace]);
        if size >= RecordSize::P3 {
            put_u64(out, [circular, kernels]);
        }
        if size >= RecordSize::P2 {
            let it = &self.device;
            put_u64(out, [it.total_dram_bytes, it.total_l1_bytes]);
            put_u32(out, [it.arch, it.n_dram_channels, it.dram_channel_bytes, it.l1_core_bytes]);
            put_u32(out, [it.is_available, it.n_devices]);
        }
        if size >= RecordSize::P4 {
            let it = &self.ring_buffer;
            put_u32(out, [it.total_bytes, it.used_bytes, it.n_programs, 0]);
        }
        debug_assert_eq!(out.len() - start, size.bytes());
    }

    /// Reads a record of exactly one of the sizes.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoRecord> {
        let size = RecordSize::from_bytes(bytes.len()).ok_or(NoRecord::Length(bytes.len()))?;
        let mut record = Self::parse_head(bytes)?;
        let mut rest = Fields(bytes.get(HEAD_BYTES..).unwrap_or_default());
        let [dram, l1, l1_small, trace] = rest.u64s();
        let [circular, kernels] = if size >= RecordSize::P3 { rest.u64s() } else { [0; 2] };
        record.totals = Totals { dram, l1, l1_small, trace, circular, kernels };
        if size >= RecordSize::P2 {
            let [total_dram_bytes, total_l1_bytes] = rest.u64s();
            let [arch, n_dram_channels, dram_channel_bytes, l1_core_bytes, is_available, n_devices] =
                rest.u32s();
            record.device = DeviceFacts {
                total_dram_bytes,
                total_l1_bytes,
                arch,
                n_dram_channels,
                dram_channel_bytes,
                l1_core_bytes,
                is_available,
                n_devices,
            };
        }
        if size >= RecordSize::P4 {
            let [total_bytes, used_bytes, n_programs] = rest.u32s();
            record.ring_buffer = RingBuffer { total_bytes, used_bytes, n_programs };
        }
        Ok(record)
    }

    pub(super) fn is_type(number: u8) -> bool {
        Message::from_number(number).is_some()
    }

    /// Whether who sends that type may leave its pid 0.
    pub(super) fn is_of_asker(number: u8) -> bool {
        Message::from_number(number).is_some_and(Message::is_about_the_server)
    }

    /// Reads what all sizes have in common.
    pub(super) fn parse_head(bytes: &[u8]) -> Result<Self, NoRecord> {
        let head: &[u8; HEAD_BYTES] = bytes.first_chunk().ok_or(NoRecord::Length(bytes.len()))?;
        let message = Message::from_number(head[0]).ok_or(NoRecord::Type(head[0]))?;
        if [&head[1..4], &head[17..20]] != [[0; 3]; 2] {
            return Err(NoRecord::Padding);
        }
        let mut fields = Fields(&head[4..]);
        let [device_id] = fields.i32s();
        let [size_bytes] = fields.u64s();
        let [_kind_and_padding] = fields.i32s();
        let [process_id] = fields.i32s();
        let [buffer_id, wall_ns] = fields.u64s();
        let head = Self { size_bytes, kind: head[16], process_id, ..Self::new(message, device_id) };
        Ok(Self { buffer_id, wall_ns, ..head })
    }
}

/// Why bytes are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoRecord {
    /// Not a length that a record has.
    Length(usize),
    /// Not a type that a message has.
    Type(u8),
    /// What every sender leaves 0 is not.
    Padding,
}

impl NoRecord {
    /// Why these bytes begin no record.
    pub(super) fn of_start(bytes: &[u8]) -> Self {
        match bytes.first() {
            Some(number) if Message::from_number(*number).is_none() => Self::Type(*number),
            _ => Self::Padding,
        }
    }
}

impl fmt::Display for NoRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(bytes) => write!(f, "{bytes} bytes, which no record has"),
            Self::Type(number) => write!(f, "message type {number}"),
            Self::Padding => f.write_str("padding that is not 0"),
        }
    }
}

impl std::error::Error for NoRecord {}

fn put_u64<const N: usize>(out: &mut Vec<u8>, numbers: [u64; N]) {
    numbers.iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
}

fn put_u32<const N: usize>(out: &mut Vec<u8>, numbers: [u32; N]) {
    numbers.iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
}

/// The fields that are left; those behind the end are 0.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let (first, rest) = self.0.split_first_chunk().unwrap_or((&[0; N], &[]));
        self.0 = rest;
        *first
    }

    fn u64s<const N: usize>(&mut self) -> [u64; N] {
        std::array::from_fn(|_| u64::from_le_bytes(self.bytes()))
    }

    fn u32s<const N: usize>(&mut self) -> [u32; N] {
        std::array::from_fn(|_| u32::from_le_bytes(self.bytes()))
    }

    fn i32s<const N: usize>(&mut self) -> [i32; N] {
        std::array::from_fn(|_| i32::from_le_bytes(self.bytes()))
    }
}
