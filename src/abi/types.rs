//! The numbers and structs of `include/tt_memtrace.h`.
//!
//! Structs begin with their own size: a later version adds fields at the end, and takes the smaller structs of
//! earlier callers. What is here is never changed or removed (`tests/abi.rs`).

/// The version of this interface, major << 16 | minor. A minor version adds functions, and fields at the end of
/// structs; a major one would change what is there.
pub const TT_MEMTRACE_ABI_VERSION: u32 = 1 << 16;

/// Stands for "no number" where a field of 32 bits is optional.
pub const TT_MEMTRACE_NONE: u32 = u32::MAX;
/// Stands for "no number" where a field of 64 bits is optional.
pub const TT_MEMTRACE_NONE64: u64 = u64::MAX;

/// `buffer_type`: the DRAM banks.
pub const TT_MEMTRACE_DRAM: u32 = 0;
/// `buffer_type`: the L1 memory of the worker cores.
pub const TT_MEMTRACE_L1: u32 = 1;
/// `buffer_type`: host memory that the device can reach.
pub const TT_MEMTRACE_SYSTEM_MEMORY: u32 = 2;
/// `buffer_type`: the small region of L1.
pub const TT_MEMTRACE_L1_SMALL: u32 = 3;
/// `buffer_type`: the region for captured commands.
pub const TT_MEMTRACE_TRACE: u32 = 4;

/// `flags`: a view at another buffer's address, which holds nothing itself.
pub const TT_MEMTRACE_VIEW: u32 = 1;

/// `kind` of a kernel: of the program itself.
pub const TT_MEMTRACE_KERNEL_APPLICATION: u32 = 0;
/// `kind` of a kernel: of the fabric between chips.
pub const TT_MEMTRACE_KERNEL_FABRIC: u32 = 1;
/// `kind` of a kernel: of the command queues.
pub const TT_MEMTRACE_KERNEL_DISPATCH: u32 = 2;

/// A buffer on a mesh device, or on one device.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types, reason = "the name is the C name")]
pub struct tt_memtrace_buffer {
    /// `sizeof(tt_memtrace_buffer)`.
    pub struct_size: u32,
    /// The mesh device, or TT_MEMTRACE_NONE: then `device_id` counts.
    pub mesh_id: u32,
    /// The device (chip), if `mesh_id` is TT_MEMTRACE_NONE.
    pub device_id: u32,
    /// One of the memory types above. Other numbers are kept as given.
    pub buffer_type: u32,
    /// The runtime's TensorMemoryLayout: 0 interleaved, 1 single bank, 2 height, 3 width, 4 block sharded. Other
    /// numbers are kept as given.
    pub buffer_layout: u32,
    /// TT_MEMTRACE_VIEW or 0. Other bits are ignored.
    pub flags: u32,
    /// Where it starts, the same on each device.
    pub address: u64,
    /// Logical bytes on one device.
    pub size_bytes: u64,
    /// Bytes of one page.
    pub page_size_bytes: u64,
    /// Bytes in each bank, aligned to pages.
    pub per_bank_bytes: u64,
    /// The runtime's own number of the buffer, or TT_MEMTRACE_NONE64.
    pub unique_id: u64,
    /// Any number that tells one allocator from another, or TT_MEMTRACE_NONE64.
    pub allocator: u64,
}

/// A rectangle of cores; both corners belong to it.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types, reason = "the name is the C name")]
pub struct tt_memtrace_core_range {
    /// The column of the first corner.
    pub x0: u32,
    /// The row of the first corner.
    pub y0: u32,
    /// The column of the last corner.
    pub x1: u32,
    /// The row of the last corner.
    pub y1: u32,
}

/// A circular buffer of a program.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types, reason = "the name is the C name")]
pub struct tt_memtrace_circular_buffer {
    /// `sizeof(tt_memtrace_circular_buffer)`.
    pub struct_size: u32,
    /// The mesh device, or TT_MEMTRACE_NONE: then `device_id` counts.
    pub mesh_id: u32,
    /// The device (chip), if `mesh_id` is TT_MEMTRACE_NONE.
    pub device_id: u32,
    /// Not 0 if it lies inside an existing L1 buffer and takes no memory of its own.
    pub globally_allocated: u32,
    /// The owning program, or TT_MEMTRACE_NONE64.
    pub program: u64,
    /// Where it starts on each core.
    pub address: u64,
    /// Bytes on each core.
    pub size_bytes: u64,
    /// The cores.
    pub core_ranges: *const tt_memtrace_core_range,
    /// The number of rectangles at `core_ranges`.
    pub n_core_ranges: u64,
}

/// The kernel binaries of a program.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types, reason = "the name is the C name")]
pub struct tt_memtrace_kernel {
    /// `sizeof(tt_memtrace_kernel)`.
    pub struct_size: u32,
    /// The mesh device, or TT_MEMTRACE_NONE: then `device_id` counts.
    pub mesh_id: u32,
    /// The device (chip), if `mesh_id` is TT_MEMTRACE_NONE.
    pub device_id: u32,
    /// One of the kinds above. Other numbers are kept as given.
    pub kind: u32,
    /// The owning program, or TT_MEMTRACE_NONE64.
    pub program: u64,
    /// Bytes of the binaries on one core.
    pub size_bytes: u64,
    /// On how many cores.
    pub n_cores: u64,
}
