//! Views without an owner, as runtimes tell of them that report only what owns nothing: parts of one buffer count
//! once, and views have a class like any other buffer.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it is surprised")]

mod support;

use support::{Stream, dram};
use tt_memtrace_ledger::Class;
use tt_memtrace_wire::*;

const CHIP: Place = Place::Chip(0);

fn view(id: u64, address: Address, size_bytes: u64) -> Alloc {
    Alloc {
        owns_data: Some(false),
        unique_id: Some(id),
        per_bank_bytes: size_bytes,
        ..dram(CHIP, address, size_bytes)
    }
}

/// A buffer of 4 MiB, its first quarter, and one of its middle.
fn parts() -> [Alloc; 3] {
    [view(1, 1 << 24, 4 << 20), view(2, 1 << 24, 1 << 20), view(3, (1 << 24) + (1 << 20), 1 << 20)]
}

#[test]
fn parts_of_a_buffer_add_nothing_to_it() {
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
        let mut stream = Stream::on_t3k();
        let parts = parts();
        order.into_iter().for_each(|at: usize| stream.alloc(parts[at].clone()));
        assert_eq!(stream.live_on(0, BufferType::Dram), (1, 4 << 20), "{order:?}");
        // The parts live on when the whole goes, and count then.
        let _ = stream.free(&parts[0]);
        assert_eq!(stream.live_on(0, BufferType::Dram), (2, 2 << 20), "{order:?}");
        let _ = stream.free(&parts[2]);
        let _ = stream.free(&parts[1]);
        assert_eq!(stream.live_on(0, BufferType::Dram), (0, 0), "{order:?}");
        assert_eq!(stream.ledger.anomalies().total(), 0);
    }
}

#[test]
fn an_owner_takes_all_its_parts_with_it() {
    let mut stream = Stream::on_t3k();
    let owner = Alloc { owns_data: Some(true), unique_id: Some(9), ..view(9, 1 << 24, 4 << 20) };
    stream.alloc(owner.clone());
    parts().into_iter().for_each(|part| stream.alloc(part));
    assert_eq!(stream.live_on(0, BufferType::Dram), (1, 4 << 20));
    let _ = stream.free(&owner);
    assert_eq!(stream.live_on(0, BufferType::Dram), (0, 0));
    assert_eq!(stream.ledger.snapshot().n_live(), 0);
}

#[test]
fn a_view_that_counts_has_a_class() {
    let mut stream = Stream::on_t3k();
    stream.alloc(view(1, 64, 4096));
    let class = |stream: &Stream| stream.ledger.snapshot().live()[0].class;
    assert_eq!(class(&stream), Class::Unattributed);
    stream.begin("ttnn.add");
    stream.end();
    assert_eq!(class(&stream), Class::System);
    let bytes = |stream: &Stream, class| {
        let at = Class::ALL.iter().position(|known| *known == class).unwrap();
        stream.on(0, BufferType::Dram).classes[at].live
    };
    assert_eq!([Class::System, Class::Unattributed].map(|class| bytes(&stream, class)), [4096, 0]);
    let _ = stream.free(&view(1, 64, 4096));
    assert_eq!([Class::System, Class::Unattributed].map(|class| bytes(&stream, class)), [0, 0]);
}
