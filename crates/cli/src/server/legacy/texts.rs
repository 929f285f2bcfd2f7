//! The texts of the earlier tracking server, as its log readers expect them. Sizes are decimal bytes, or MB and KB of
//! powers of 1024 as a C++ stream prints a `double`. Where the earlier server knew less than we do, lines were added,
//! none changed.

use std::fmt::{self, Write as _};
use tt_memtrace_wire::{BufferType, KernelKind};

/// The types in the order of their numbers, in which the earlier server lists them.
pub const TYPES: [BufferType; 5] =
    [BufferType::Dram, BufferType::L1, BufferType::SystemMemory, BufferType::L1Small, BufferType::Trace];
/// Of a memory type with more buffers than this, a dump gives only the sum.
const MOST_LISTED: usize = 10;

/// One buffer on one chip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subject {
    /// Whose it is.
    pub pid: u32,
    /// The chip.
    pub device: u32,
    /// Its address.
    pub buffer_id: u64,
    /// Its bytes.
    pub size_bytes: u64,
    /// How many deallocations it takes to end it.
    pub n_references: u32,
}

/// A size of a C++ stream's default format, in units of so many bytes.
struct Double(u64, u64);

/// Bytes in MB.
fn mb(bytes: u64) -> impl fmt::Display {
    Double(bytes, 1 << 20)
}

fn kb(bytes: u64) -> impl fmt::Display {
    Double(bytes, 1 << 10)
}

impl fmt::Display for Double {
    /// As `%g`: six significant digits, no zeros at the end, powers of ten where those would not fit.
    #[expect(clippy::cast_precision_loss, reason = "six digits are printed")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.0 as f64 / self.1 as f64;
        let scientific = format!("{value:.5e}");
        let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
        let exponent: i32 = exponent.parse().unwrap_or(0);
        if (-4..6).contains(&exponent) {
            let n_decimals = usize::try_from(5 - exponent).unwrap_or(0);
            let text = format!("{value:.n_decimals$}");
            return f.write_str(without_zeros(&text));
        }
        let sign = if exponent < 0 { '-' } else { '+' };
        write!(f, "{}e{sign}{:02}", without_zeros(digits), exponent.unsigned_abs())
    }
}

fn without_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

/// At the start.
pub fn started(path: &str) -> String {
    format!(
        "🚀 Allocation Server started\n   Listening on: {path}\n   Press Ctrl+C to stop\n\
         🔄 Background cleanup thread started (checking every 10s)"
    )
}

/// At the end.
pub fn stopped() -> String {
    "🛑 Allocation Server stopped".into()
}

/// A buffer was allocated, for the first time or again.
pub fn allocated(it: &Subject, buffer_type: BufferType) -> String {
    let Subject { pid, device, buffer_id, size_bytes, n_references } = it;
    let again = if *n_references > 1 { format!(", ref_count={n_references}") } else { String::new() };
    format!(
        "✓ [PID {pid}] Allocated {size_bytes} bytes of {buffer_type} on device {device} (buffer_id={buffer_id:#x}{again})"
    )
}

/// A buffer was freed; `n_references` says how many announcements are left.
pub fn freed(it: &Subject) -> String {
    let Subject { pid, device, buffer_id, size_bytes, n_references } = it;
    let how = match n_references {
        0 => "FINAL".to_owned(),
        left => format!("ref_count={left} remaining"),
    };
    format!("✗ [PID {pid}] Freed buffer {buffer_id:#x} on device {device} ({size_bytes} bytes, {how})")
}

/// Nothing was known at that address.
pub fn unknown_free(pid: u32, device: u32, buffer_id: u64) -> String {
    format!(
        "⚠ [PID {pid}] Deallocation for unknown buffer {buffer_id:#x} on device {device} \
         (allocated before tracking started)"
    )
}

/// A memory type that does not exist.
pub fn bad_type(buffer_type: u8, buffer_id: u64, device: i32) -> String {
    format!("⚠️  Invalid buffer_type {buffer_type} for buffer {buffer_id:#x} on device {device}")
}

/// A chip that cannot be.
pub fn bad_device(device: i32) -> String {
    format!("⚠️  Invalid device_id {device} - ignoring message")
}

/// A size that cannot be.
pub fn bad_size(size_bytes: u64) -> String {
    format!("⚠️  Invalid size {size_bytes} - ignoring message")
}

/// What comes makes no sense any more.
pub fn too_many_errors(n: u32) -> String {
    format!("⚠️  Too many consecutive errors ({n}) - closing connection (likely protocol mismatch)")
}

/// A message that clients do not send.
pub fn unknown_message(number: u8) -> String {
    format!("Unknown message type: {number}")
}

/// A circular buffer came or went.
pub fn circular(is_new: bool, device: u32, bytes: u64, total_bytes: u64) -> String {
    let (bytes, total) = (mb(bytes), mb(total_bytes));
    if is_new {
        format!("✓ [CB_ALLOC] Device {device}: +{bytes} MB (Total: {total} MB)")
    } else {
        format!("✗ [CB_FREE] Device {device}: -{bytes} MB (Total: {total} MB)")
    }
}

/// Kernels came or went.
pub fn kernel(is_new: bool, kind: KernelKind, device: u32, bytes: u64, total_bytes: u64) -> String {
    let (kind, bytes, total) = (kernel_name(kind), mb(bytes), mb(total_bytes));
    if is_new {
        format!("✓ [KERNEL_LOAD] {kind} kernel on Device {device}: +{bytes} MB (Total: {total} MB)")
    } else {
        format!("✗ [KERNEL_UNLOAD] {kind} kernel on Device {device}: -{bytes} MB (Total: {total} MB)")
    }
}

fn kernel_name(kind: KernelKind) -> &'static str {
    match kind {
        KernelKind::Application => "Application",
        KernelKind::Fabric => "Fabric",
        KernelKind::Dispatch => "Dispatch",
        KernelKind::Unknown(_) => "Unknown",
    }
}

/// How many there are, and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum {
    /// How many.
    pub n: u64,
    /// Together.
    pub bytes: u64,
}

impl Sum {
    /// One more.
    pub fn add(&mut self, bytes: u64) {
        self.n += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// A process is over, and this was removed with it.
pub fn dead(pid: u32, buffers: Sum, circular: Sum, kernels: Sum) -> String {
    let mut text = format!(
        "\n⚠️  Detected dead processes, cleaning up orphaned buffers...\n   PID {pid} is dead, removing its buffers...\n"
    );
    let mut removed = |what: &str, sum: Sum| {
        let _ = writeln!(text, "   ✓ Removed {} {what} ({} MB) from PID {pid}", sum.n, mb(sum.bytes));
    };
    removed("buffers", buffers);
    for (what, sum) in [("CBs", circular), ("kernels", kernels)] {
        if sum.n > 0 {
            removed(what, sum);
        }
    }
    text.pop();
    text
}

/// The sums of one chip.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChipSums {
    /// Its number.
    pub device: u32,
    /// Buffers, in the order of [`TYPES`].
    pub types: [Sum; TYPES.len()],
    /// Circular buffers.
    pub circular: Sum,
    /// Kernels.
    pub kernels: Sum,
}

impl ChipSums {
    fn is_empty(&self) -> bool {
        [self.circular, self.kernels].iter().chain(&self.types).all(|sum| sum.n == 0 && sum.bytes == 0)
    }
}

/// What every ten seconds is printed. DRAM and L1 are there always, all other memory where there is some; the total
/// leaves out host memory, circular buffers and kernels.
pub fn statistics(chips: &[ChipSums]) -> String {
    let mut text = String::from("\n📊 Current Statistics:\n");
    let mut n_active = 0;
    for chip in chips.iter().filter(|chip| !chip.is_empty()) {
        let n_buffers: u64 = chip.types.iter().map(|sum| sum.n).sum();
        n_active += n_buffers;
        let _ = writeln!(text, "  Device {}:\n    Buffers: {n_buffers}", chip.device);
        let named = TYPES.iter().map(ToString::to_string).zip(chip.types);
        let more = [("CBs".to_owned(), chip.circular), ("Kernels".to_owned(), chip.kernels)];
        for (at, (name, sum)) in named.chain(more).enumerate() {
            if at < 2 || sum.n > 0 {
                let _ = writeln!(text, "    {name}: {} bytes ({} KB)", sum.bytes, kb(sum.bytes));
            }
        }
        let on_chip = TYPES.iter().zip(chip.types).filter(|(of, _)| **of != BufferType::SystemMemory);
        let total = on_chip.fold(0_u64, |total, (_, sum)| total.saturating_add(sum.bytes));
        let _ = writeln!(text, "    Total: {total} bytes");
    }
    let _ = write!(text, "  Active allocations: {n_active}");
    text
}

/// What is live on each chip; `buffers` by chip, type in the order of [`TYPES`], and address.
pub fn remaining(buffers: &[(BufferType, Subject)]) -> String {
    let mut text = format!("📋 Received DUMP_REMAINING request...\n{}", boxed("REMAINING ALLOCATED BUFFERS"));
    let _ = writeln!(text, "Total tracked allocations: {}", buffers.len());
    if buffers.is_empty() {
        text.push_str("✓ No buffers remaining - perfect cleanup!\n");
    } else {
        for chip in buffers.chunk_by(|a, b| a.1.device == b.1.device) {
            let _ = writeln!(text, "\n  Device {}:", chip[0].1.device);
            chip.chunk_by(|a, b| a.0 == b.0).for_each(|of_type| remaining_of_type(&mut text, of_type));
        }
        let _ = writeln!(text, "\n  Total remaining buffers: {}", buffers.len());
    }
    text.push_str("📋 DUMP_REMAINING complete.");
    text
}

fn remaining_of_type(text: &mut String, buffers: &[(BufferType, Subject)]) {
    let total = buffers.iter().fold(0_u64, |total, (_, it)| total.saturating_add(it.size_bytes));
    let _ = writeln!(text, "    {}: {} buffers, {} MB total", buffers[0].0, buffers.len(), mb(total));
    if buffers.len() > MOST_LISTED {
        return;
    }
    for (_, Subject { pid, buffer_id, size_bytes, n_references, .. }) in buffers {
        let size = kb(*size_bytes);
        let _ =
            writeln!(text, "      - Buffer {buffer_id:#x}: {size} KB (PID {pid}, ref_count={n_references})");
    }
}

/// The kernels of one program on one chip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadedKernel {
    /// The chip.
    pub device: u32,
    /// The program.
    pub id: u64,
    /// Whose it is.
    pub pid: u32,
    /// What it is for.
    pub kind: KernelKind,
    /// Bytes over all cores.
    pub size_bytes: u64,
    /// How long ago it was loaded.
    pub age_s: u64,
}

/// The kernels that are loaded, by chip.
pub fn kernels(kernels: &[LoadedKernel]) -> String {
    let mut text = format!("📋 Received DUMP_KERNELS request...\n{}", boxed("DETAILED KERNEL ALLOCATIONS"));
    let _ = writeln!(text, "Total kernels: {}", kernels.len());
    for chip in kernels.chunk_by(|a, b| a.device == b.device) {
        let total = chip.iter().fold(0_u64, |total, it| total.saturating_add(it.size_bytes));
        let _ = writeln!(text, "\n  Device {}: {} MB ({} kernels)", chip[0].device, mb(total), chip.len());
        for LoadedKernel { id, pid, size_bytes, age_s, .. } in chip {
            let size = kb(*size_bytes);
            let _ = writeln!(text, "      - Kernel {id:#x}: {size} KB (PID {pid}, age {age_s}s)");
        }
    }
    text.push_str("📋 DUMP_KERNELS complete.");
    text
}

fn boxed(title: &str) -> String {
    let bar = "═".repeat(58);
    format!("╔{bar}╗\n║{title:^58}║\n╚{bar}╝\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_printed_as_a_cpp_stream_prints_a_double() {
        let kb = |bytes| kb(bytes).to_string();
        // printf("%g") of the same quotients.
        for (bytes, text) in [
            (0, "0"),
            (12, "0.0117188"),
            (12_288, "12"),
            (22_528, "22"),
            (14_827_520, "14480"),
            (1_023_999_999, "1e+06"),
            (1_073_741_824 + 512, "1.04858e+06"),
            (123_456, "120.562"),
            (1, "0.000976562"),
            (u64::MAX, "1.80144e+16"),
        ] {
            assert_eq!(kb(bytes), text, "{bytes}");
        }
        assert_eq!(mb(1).to_string(), "9.53674e-07");
        assert_eq!(mb(105).to_string(), "0.000100136");
        assert_eq!(mb(104).to_string(), "9.91821e-05");
    }

    #[test]
    fn a_dump_lists_the_buffers_of_a_type_if_there_are_few() {
        let buffer = |buffer_id| {
            let it = Subject { pid: 7, device: 1, buffer_id, size_bytes: 1024, n_references: 2 };
            (BufferType::L1, it)
        };
        let few: Vec<_> = (1..=10).map(buffer).collect();
        let text = remaining(&few);
        let line = "    L1: 10 buffers, 0.00976562 MB total\n      - Buffer 0x1: 1 KB (PID 7, ref_count=2)\n";
        assert!(text.contains(line), "{text}");
        let many: Vec<_> = (1..=11).map(buffer).collect();
        let text = remaining(&many);
        assert!(
            text.contains("    L1: 11 buffers, 0.0107422 MB total\n\n  Total remaining buffers: 11\n"),
            "{text}"
        );
        assert!(
            remaining(&[])
                .contains("Total tracked allocations: 0\n✓ No buffers remaining - perfect cleanup!\n")
        );
    }

    #[test]
    fn statistics_leave_out_chips_that_hold_nothing_and_host_memory() {
        let sum = |n, bytes| Sum { n, bytes };
        let types = [sum(1, 1024), sum(0, 0), sum(1, 4096), sum(2, 96), sum(0, 0)];
        let chips = [
            ChipSums { device: 3, ..ChipSums::default() },
            ChipSums { device: 31, types, ..ChipSums::default() },
        ];
        assert_eq!(
            statistics(&chips),
            "\n📊 Current Statistics:\n  Device 31:\n    Buffers: 4\n    DRAM: 1024 bytes (1 KB)\n    L1: 0 bytes (0 KB)\n    \
             SYSTEM_MEMORY: 4096 bytes (4 KB)\n    L1_SMALL: 96 bytes (0.09375 KB)\n    Total: 1120 bytes\n  Active allocations: 4"
        );
        assert_eq!(statistics(&[]), "\n📊 Current Statistics:\n  Active allocations: 0");
    }
}
