//! What the server knows, in the terms of the earlier one: sums per chip over all processes, and lists.

use super::texts::{self, ChipSums, LoadedKernel, Subject, TYPES};
use crate::clock;
use crate::server::hub::Hub;
use crate::server::process::{ProcessInfo, Protocol};
use std::collections::BTreeMap;
use tt_memtrace_ledger::{Buffer, Snapshot, Totals};
use tt_memtrace_wire::legacy::{DeviceFacts, Totals as InUse};
use tt_memtrace_wire::{BufferType, Place, Stamp};

/// Whose pid a text names: a legacy process's as each of its records says, else that of the recorder's process.
pub fn pid_of(process: &ProcessInfo, stamp: Stamp) -> u32 {
    if process.protocol == Protocol::Legacy { stamp.tid } else { process.header.pid }
}

/// The sums of every chip that was ever used, by number.
fn sums(hub: &Hub) -> Vec<ChipSums> {
    let mut chips: BTreeMap<u32, ChipSums> = BTreeMap::new();
    for process in hub.all() {
        let state = process.lock();
        let snapshot = state.ledger.snapshot();
        for Totals { chips: of, types, .. } in snapshot.chips() {
            for device in of {
                let chip = chips.entry(device).or_default();
                for of_type in &types {
                    if let Some(at) = TYPES.iter().position(|known| *known == of_type.buffer_type) {
                        chip.types[at].n += of_type.tally.buffers.live;
                        let bytes = &mut chip.types[at].bytes;
                        *bytes = bytes.saturating_add(of_type.tally.bytes.live);
                    }
                }
            }
        }
        for cb in snapshot.circular_buffers().iter().filter(|cb| !cb.globally_allocated) {
            for device in chips_of(&snapshot, cb.place) {
                chips.entry(device).or_default().circular.add(cb.size_bytes);
            }
        }
        for (place, _, loaded) in state.kernels.iter() {
            for device in chips_of(&snapshot, place) {
                chips.entry(device).or_default().kernels.add(loaded.bytes);
            }
        }
    }
    chips.into_iter().map(|(device, sums)| ChipSums { device, ..sums }).collect()
}

/// The text of these sums.
pub fn statistics(hub: &Hub) -> String {
    texts::statistics(&sums(hub))
}

/// The chips of a place; a lone chip is one, whether or not a buffer was ever on it.
pub fn chips_of(snapshot: &Snapshot<'_>, place: Place) -> Vec<u32> {
    match place {
        Place::Chip(chip) => vec![chip],
        Place::Mesh(_) => snapshot.chips_of(place).to_vec(),
    }
}

/// What is in use on one chip. Host memory is told as `L1_SMALL`, as it always was.
pub fn in_use(hub: &Hub, device: i32) -> InUse {
    let Ok(device) = u32::try_from(device) else { return InUse::default() };
    let bytes = |buffer_type: BufferType| {
        let key = (device, buffer_type);
        hub.board().cells().find(|(known, _)| *known == key).map_or(0, |(_, cell)| cell.live)
    };
    let place = Place::Chip(device);
    let (mut circular, mut kernels) = (0_u64, 0_u64);
    for process in hub.all() {
        let state = process.lock();
        let snapshot = state.ledger.snapshot();
        let is_here = |of: &Place| *of == place || snapshot.chips_of(*of).contains(&device);
        let places = snapshot.circular_places().filter(is_here);
        circular = places.fold(circular, |sum, of| sum.saturating_add(snapshot.circular_bytes(of)));
        let loaded = state.kernels.iter().filter(|(of, _, _)| is_here(of));
        kernels = loaded.fold(kernels, |sum, (_, _, loaded)| sum.saturating_add(loaded.bytes));
    }
    InUse {
        dram: bytes(BufferType::Dram),
        l1: bytes(BufferType::L1),
        l1_small: bytes(BufferType::L1Small).saturating_add(bytes(BufferType::SystemMemory)),
        trace: bytes(BufferType::Trace),
        circular,
        kernels,
    }
}

/// What a chip is, as far as a recorder told; for -1, how many chips there are.
pub fn facts(hub: &Hub, device: i32) -> DeviceFacts {
    let mut facts = DeviceFacts::default();
    let mut n_devices = 0;
    for process in hub.all() {
        let state = process.lock();
        let snapshot = state.ledger.snapshot();
        for totals in snapshot.chips() {
            let highest = totals.chips.iter().max().map_or(0, |highest| highest.saturating_add(1));
            n_devices = n_devices.max(highest);
            let is_asked = u32::try_from(device).is_ok_and(|device| totals.chips.contains(&device));
            if is_asked {
                learn(&mut facts, &totals, &snapshot);
            }
        }
    }
    if device == -1 {
        return DeviceFacts { n_devices, is_available: u32::from(n_devices > 0), ..facts };
    }
    facts
}

fn learn(facts: &mut DeviceFacts, totals: &Totals, snapshot: &Snapshot<'_>) {
    let bank = |wanted| {
        let of = totals.types.iter().find(|of| of.buffer_type == wanted)?;
        let bank = of.bank.as_ref()?;
        let all = bank.bank_size_bytes.saturating_mul(u64::from(bank.n_banks));
        Some((all, bank.n_banks, u32::try_from(bank.bank_size_bytes).unwrap_or(u32::MAX)))
    };
    if let Some((all, n_banks, one)) = bank(BufferType::Dram) {
        (facts.total_dram_bytes, facts.n_dram_channels, facts.dram_channel_bytes) = (all, n_banks, one);
        facts.is_available = 1;
    }
    if let Some((all, _, one)) = bank(BufferType::L1) {
        (facts.total_l1_bytes, facts.l1_core_bytes) = (all, one);
        facts.is_available = 1;
    }
    let meshes = snapshot.places().into_iter().filter_map(|of| match of.place {
        Some(Place::Mesh(mesh_id)) => snapshot.mesh(mesh_id),
        _ => None,
    });
    let mut here = meshes.filter(|mesh| totals.chips.iter().any(|chip| mesh.chips.contains(chip)));
    if let Some(mesh) = here.next() {
        facts.arch = arch_number(&mesh.arch);
    }
}

fn arch_number(name: &str) -> u32 {
    match name {
        "grayskull" => 1,
        "wormhole_b0" => 2,
        "blackhole" => 3,
        "quasar" => 4,
        _ => 0,
    }
}

/// The text of all live buffers, on one chip or all.
pub fn dump_remaining(hub: &Hub, device: Option<u32>) -> String {
    let mut all: Vec<(BufferType, Subject)> = Vec::new();
    for process in hub.all() {
        let state = process.lock();
        let snapshot = state.ledger.snapshot();
        for buffer in snapshot.live() {
            let Buffer { alloc, since, .. } = buffer;
            let subjects = chips_of(&snapshot, alloc.place).into_iter().map(|device| Subject {
                pid: pid_of(&process.info, *since),
                device,
                buffer_id: alloc.address,
                size_bytes: alloc.size_bytes,
                n_references: buffer.n_references(),
            });
            let wanted = subjects.filter(|it| device.is_none_or(|device| it.device == device));
            all.extend(wanted.map(|it| (alloc.buffer_type, it)));
        }
    }
    all.sort_by_key(|(buffer_type, it)| (it.device, buffer_type.number(), it.buffer_id, it.pid));
    texts::remaining(&all)
}

/// The text of all loaded kernels.
pub fn dump_kernels(hub: &Hub) -> String {
    let now = clock::wall_ns();
    let mut all: Vec<LoadedKernel> = Vec::new();
    for process in hub.all() {
        let state = process.lock();
        let snapshot = state.ledger.snapshot();
        for (place, program, loaded) in state.kernels.iter() {
            let age_ns = now.saturating_sub(process.info.wall_ns(loaded.at.t_ns));
            all.extend(chips_of(&snapshot, place).into_iter().map(|device| LoadedKernel {
                device,
                id: program.unwrap_or(0),
                pid: pid_of(&process.info, loaded.at),
                kind: loaded.kind,
                size_bytes: loaded.bytes,
                age_s: age_ns / 1_000_000_000,
            }));
        }
    }
    all.sort_by_key(|it| (it.device, it.id, it.pid));
    texts::kernels(&all)
}
