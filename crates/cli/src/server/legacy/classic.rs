//! Prints what the earlier server printed, for native clients as well: a line for each chip, and every ten seconds
//! the sums.

use super::events::Refused;
use super::figures::{self, chips_of, pid_of};
use super::texts::{self, Subject, Sum};
use crate::server::hub::{End, Hub, Observer};
use crate::server::kernels::Kernels;
use crate::server::printer::Printer;
use crate::server::process::ProcessInfo;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tt_memtrace_ledger::{Buffer, Effect, Ledger, Snapshot};
use tt_memtrace_wire::{Alloc, Event, Kernel, Line, Place, Stamp};

/// How often the sums are printed.
const STATISTICS: Duration = Duration::from_secs(10);

/// Prints the texts.
pub struct Classic {
    printer: Printer,
    shown: Mutex<Shown>,
}

/// What texts about totals need: the sums that were printed last.
struct Shown {
    statistics_at: Instant,
    /// Processes that told what they held before they were listened to.
    retold: HashSet<u64>,
    /// Bytes of circular buffers, by process and place.
    circular: HashMap<(u64, Place), u64>,
    /// By chip, over all processes.
    circular_totals: HashMap<u32, u64>,
    kernels: HashMap<u64, Kernels>,
    kernel_totals: HashMap<u32, u64>,
}

impl Classic {
    /// Prints through that printer.
    pub fn new(printer: Printer) -> Self {
        let shown = Shown {
            statistics_at: Instant::now(),
            retold: HashSet::new(),
            circular: HashMap::new(),
            circular_totals: HashMap::new(),
            kernels: HashMap::new(),
            kernel_totals: HashMap::new(),
        };
        Self { printer, shown: Mutex::new(shown) }
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn print(&self, text: &str) {
        self.printer.print(format!("{text}\n"));
    }

    /// A line for each chip that a buffer is on. `n_references` is asked anew, for views of other meshes count.
    fn on_each_chip(
        &self,
        (process, of): (&ProcessInfo, Stamp),
        alloc: &Alloc,
        snapshot: &Snapshot<'_>,
        text: impl Fn(&Subject) -> String,
    ) {
        for device in chips_of(snapshot, alloc.place) {
            let n_references = snapshot.n_references_at(device, alloc.buffer_type, alloc.address);
            let (buffer_id, size_bytes) = (alloc.address, alloc.size_bytes);
            let pid = pid_of(process, of);
            self.print(&text(&Subject { pid, device, buffer_id, size_bytes, n_references }));
        }
    }

    fn allocated(&self, process: &ProcessInfo, stamp: Stamp, alloc: &Alloc, snapshot: &Snapshot<'_>) {
        let text = |it: &Subject| texts::allocated(it, alloc.buffer_type);
        self.on_each_chip((process, stamp), alloc, snapshot, text);
    }

    fn freed(&self, process: &ProcessInfo, buffer: &Buffer, snapshot: &Snapshot<'_>) {
        self.on_each_chip((process, buffer.since), &buffer.alloc, snapshot, texts::freed);
    }

    fn event(&self, process: &ProcessInfo, stamp: Stamp, event: &Event, effect: &Effect, ledger: &Ledger) {
        let snapshot = ledger.snapshot();
        match (event, effect) {
            (Event::Alloc(alloc), Effect::Opened) => self.allocated(process, stamp, alloc, &snapshot),
            (Event::Alloc(alloc), Effect::Merged) if alloc.owns_data.is_none() => {
                self.allocated(process, stamp, alloc, &snapshot);
            }
            (Event::Alloc(alloc), Effect::Replaced(ended)) => {
                let freed = |it: &Subject| texts::freed(&Subject { n_references: 0, ..*it });
                self.on_each_chip((process, ended.buffer.since), &ended.buffer.alloc, &snapshot, freed);
                self.allocated(process, stamp, alloc, &snapshot);
            }
            (Event::Dealloc(_), Effect::Closed(ended)) => self.freed(process, &ended.buffer, &snapshot),
            (Event::Dealloc(_), Effect::Lowered(buffer)) => self.freed(process, buffer, &snapshot),
            (Event::Dealloc(dealloc), Effect::Odd(_)) => {
                for device in chips_of(&snapshot, dealloc.place) {
                    self.print(&texts::unknown_free(pid_of(process, stamp), device, dealloc.address));
                }
            }
            (Event::Retained { place, buffer_type, address, .. }, Effect::Retained) => {
                let live = snapshot.live();
                let is_it = |buffer: &&&Buffer| {
                    let alloc = &buffer.alloc;
                    (alloc.place, alloc.buffer_type, alloc.address) == (*place, *buffer_type, *address)
                };
                if let Some(buffer) = live.iter().rev().find(is_it) {
                    self.allocated(process, buffer.since, &buffer.alloc, &snapshot);
                }
            }
            (_, Effect::Swept(_)) => {
                ledger.survivors().iter().for_each(|ended| self.freed(process, &ended.buffer, &snapshot));
                self.circular(process, &snapshot);
            }
            (Event::CbAlloc(_) | Event::CbDealloc(_), _) => self.circular(process, &snapshot),
            (Event::KernelLoad(kernel), _) => self.loaded(process, stamp, kernel, &snapshot),
            (Event::KernelUnload { place, program }, _) => {
                self.unloaded(process, *place, *program, &snapshot)
            }
            _ => {}
        }
    }

    /// What changed of the circular buffers of a process. The ledger knows the sums; texts tell differences.
    fn circular(&self, process: &ProcessInfo, snapshot: &Snapshot<'_>) {
        let shown = &mut *self.shown();
        for place in snapshot.circular_places() {
            let now = snapshot.circular_bytes(place);
            let before = shown.circular.insert((process.id, place), now).unwrap_or(0);
            if now == before {
                continue;
            }
            for device in chips_of(snapshot, place) {
                let total = shown.circular_totals.entry(device).or_default();
                *total = total.saturating_sub(before).saturating_add(now);
                self.print(&texts::circular(now > before, device, now.abs_diff(before), *total));
            }
        }
    }

    fn loaded(&self, process: &ProcessInfo, stamp: Stamp, kernel: &Kernel, snapshot: &Snapshot<'_>) {
        let bytes = kernel.size_bytes.saturating_mul(kernel.n_cores);
        let shown = &mut *self.shown();
        shown.kernels.entry(process.id).or_default().load(stamp, kernel);
        for device in chips_of(snapshot, kernel.place) {
            let total = shown.kernel_totals.entry(device).or_default();
            *total = total.saturating_add(bytes);
            self.print(&texts::kernel(true, kernel.kind, device, bytes, *total));
        }
    }

    fn unloaded(&self, process: &ProcessInfo, place: Place, program: Option<u64>, snapshot: &Snapshot<'_>) {
        let shown = &mut *self.shown();
        let Some(kernels) = shown.kernels.get_mut(&process.id) else { return };
        for gone in kernels.unload(place, program) {
            for device in chips_of(snapshot, place) {
                let total = shown.kernel_totals.entry(device).or_default();
                *total = total.saturating_sub(gone.bytes);
                self.print(&texts::kernel(false, gone.kind, device, gone.bytes, *total));
            }
        }
    }
}

impl Observer for Classic {
    fn connected(&self, _: &ProcessInfo, _: bool, _: bool) {}

    fn line(&self, process: &ProcessInfo, line: &Line, effect: &Effect, ledger: &Ledger) {
        if let Line::Event(stamp, event) = line {
            self.event(process, *stamp, event, effect, ledger);
        }
    }

    /// What was held before the server began is announced as if it came now.
    fn retold(&self, process: &ProcessInfo, ledger: &Ledger, _: u64) {
        let snapshot = ledger.snapshot();
        self.circular(process, &snapshot);
        if self.shown().retold.insert(process.id) {
            snapshot.live().iter().for_each(|it| self.allocated(process, it.since, &it.alloc, &snapshot));
        }
    }

    fn disconnected(&self, process: &ProcessInfo, why: Option<&str>) {
        if let Some(why) = why {
            self.print(&format!("⚠️  [PID {}] not listened to any longer: {why}", process.header.pid));
        }
    }

    fn ended(&self, process: &ProcessInfo, _: End, ledger: &Ledger) {
        let snapshot = ledger.snapshot();
        let (mut buffers, mut circular, mut loaded) = (Sum::default(), Sum::default(), Sum::default());
        let shown = &mut *self.shown();
        shown.retold.remove(&process.id);
        for buffer in snapshot.live() {
            let chips = chips_of(&snapshot, buffer.place());
            chips.iter().for_each(|_| buffers.add(buffer.alloc.size_bytes));
        }
        for cb in snapshot.circular_buffers().iter().filter(|cb| !cb.globally_allocated) {
            for device in chips_of(&snapshot, cb.place) {
                circular.add(cb.size_bytes);
                let total = shown.circular_totals.entry(device).or_default();
                *total = total.saturating_sub(cb.size_bytes);
            }
        }
        shown.circular.retain(|(id, _), _| *id != process.id);
        for (place, _, of) in shown.kernels.remove(&process.id).unwrap_or_default().iter() {
            for device in chips_of(&snapshot, place) {
                loaded.add(of.bytes);
                let total = shown.kernel_totals.entry(device).or_default();
                *total = total.saturating_sub(of.bytes);
            }
        }
        if [buffers, circular, loaded].iter().any(|sum| sum.n > 0) {
            self.print(&texts::dead(process.header.pid, buffers, circular, loaded));
        }
    }

    fn say(&self, text: &str) {
        self.print(text);
    }

    fn refused(&self, who: &str, refused: &Refused) {
        self.print(&refused.classic().unwrap_or_else(|| format!("⚠️  {who}: {refused}")));
    }

    fn print(&self, text: String) {
        self.printer.print(text);
    }

    fn is_classic(&self) -> bool {
        true
    }

    fn tick(&self, hub: &Hub) {
        let is_time = self.shown().statistics_at.elapsed() >= STATISTICS;
        if is_time {
            self.shown().statistics_at = Instant::now();
            self.print(&figures::statistics(hub));
        }
    }
}
