//! Circular buffers that end outside the L1 of a core: nothing that can run.

mod support;

use support::{Stream, l1};
use tt_memtrace_ledger::What;
use tt_memtrace_wire::*;

const L1_START: Address = 100_000;

/// A T3K with 1,000,000 bytes of L1 on each core, and 24,576 more for small buffers above it.
fn stream() -> Stream {
    let mut stream = Stream::on_t3k();
    let bank = |buffer_type, bank_size_bytes, base_address| Bank {
        buffer_type,
        n_banks: 64,
        bank_size_bytes,
        base_address,
    };
    let banks =
        vec![bank(BufferType::L1, 1_000_000, Some(L1_START)), bank(BufferType::L1Small, 24_576, None)];
    let allocator = Allocator { allocator: 1, mesh_id: 0, bank_rounding_bytes: Some(32), banks };
    let _ = stream.ledger.apply(&Line::Allocator(allocator));
    stream.alloc(l1(Place::Mesh(0), 1_099_968, 32 * 64));
    stream
}

#[test]
fn circular_buffers_that_end_outside_l1_are_odd() {
    for place in [Place::Mesh(0), Place::Chip(3)] {
        let mut stream = stream();
        // Over the buffer, which is a clash but no more, and up to the end of what is there.
        stream.cb(place, 1, L1_START, 1_000_000);
        stream.cb(place, 1, L1_START + 1_000_000, 24_576);
        assert_eq!(stream.ledger.anomalies().total(), 0, "{place:?}");
        stream.cb(place, 2, L1_START + 1_000_000, 24_577);
        stream.cb(place, 2, L1_START + 1_000_000, 24_577);
        let told = stream.ledger.anomalies().first().iter().map(|odd| (odd.place, odd.address, odd.what));
        let what = What::AboveCapacity { live_bytes: 1_024_577, bank_size_bytes: 1_024_576 };
        assert_eq!(told.collect::<Vec<_>>(), [(place, L1_START + 1_000_000, what)]);
    }
}

#[test]
fn circular_buffers_inside_an_l1_buffer_end_where_that_does() {
    let mut stream = stream();
    let cb = CbAlloc {
        place: Place::Chip(0),
        program: Some(1),
        cores: 1,
        address: L1_START,
        size_bytes: u64::MAX,
        globally_allocated: true,
    };
    let _ = stream.event(Event::CbAlloc(cb));
    assert_eq!(stream.ledger.anomalies().total(), 0);
}
