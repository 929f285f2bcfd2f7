//! Views that outlive the memory they were at, and views of several buffers at one address of a chip: the smallest
//! streams of what the model of the runtime in `tests/cpp` does on the way.

mod support;

use support::{Stream, dram, view_on};
use tt_memtrace_ledger::Effect;
use tt_memtrace_wire::{Alloc, BufferType, Place};

fn numbered(alloc: Alloc, id: u64) -> Alloc {
    Alloc { unique_id: Some(id), allocator: Some(1), ..alloc }
}

#[test]
fn a_view_of_a_freed_buffer_may_end_while_another_is_at_its_address() {
    let mut stream = Stream::on_t3k();
    let owner = |id| numbered(dram(Place::Mesh(0), 64, 4096), id);
    let view = |id| numbered(view_on(0, &owner(id)), id + 1);
    for id in [0, 10] {
        stream.alloc(owner(id));
        stream.alloc(view(id));
        if id == 0 {
            let _ = stream.free(&owner(0));
        }
    }
    assert_eq!(stream.free(&view(0)), Effect::Expected);
    assert_eq!(stream.live_on(0, BufferType::Dram), (1, 4096));
    let _ = stream.free(&owner(10));
    assert_eq!(stream.free(&view(10)), Effect::Expected);
    assert_eq!(stream.ledger.anomalies().total(), 0);
}

#[test]
fn views_of_two_meshes_at_one_address_of_a_chip_live_side_by_side() {
    let mut stream = Stream::on_t3k();
    stream.define_mesh(1, &[4, 0], 2);
    let owners = [0, 1].map(|mesh| numbered(dram(Place::Mesh(mesh), 64, 4096), 10 * u64::from(mesh)));
    // Of one chip's allocator, as the runtime says.
    let views = owners.each_ref().map(|owner| numbered(view_on(0, owner), owner.unique_id.unwrap_or(0) + 1));
    for at in [0, 1] {
        stream.alloc(owners[at].clone());
        stream.alloc(views[at].clone());
    }
    for view in &views {
        assert!(matches!(stream.free(view), Effect::Closed(_)));
    }
    assert_eq!(stream.live_on(0, BufferType::Dram), (2, 8192));
    assert_eq!(stream.ledger.anomalies().total(), 0);
}
