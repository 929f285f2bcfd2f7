//! What the worker takes out of a spool, against the simplest way to say it: everything, sorted by the clock.
#![allow(clippy::unwrap_used, reason = "a test stops where it is surprised")]

mod image;

use image::{Image, token};
use proptest::prelude::*;
use tt_memtrace_wire::Event;
use tt_memtrace_wire::record::Slot;
use tt_memtrace_wire::spool::{Batch, Layout, Merge, Moved, SMALL_SLOTS, segment};

const N_SEGMENTS: usize = 5;

/// Events in segments, each with a clock of its own: the position.
fn filled(n_small: usize, pushes: &[(usize, bool)], retired: &[bool]) -> Image {
    let mut image = Image::with_small(N_SEGMENTS, n_small);
    let owned: Vec<usize> = (0..N_SEGMENTS).map(|segment| image.owned(segment, 3)).collect();
    for (clock, (segment, is_long)) in (1..).zip(pushes) {
        let segment = owned[*segment];
        if *is_long && image.room(segment) >= 4 {
            image.push(segment, clock, Event::Mark { name: "m".repeat(150) });
        } else if image.room(segment) >= 1 {
            image.push(segment, clock, token(clock));
        }
    }
    for (segment, is_retired) in retired.iter().enumerate() {
        if *is_retired {
            image.retire(owned[segment]);
        }
    }
    image
}

fn all(batch: &Batch) -> Vec<Vec<Slot>> {
    batch.records().map(<[Slot]>::to_vec).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn pieces_of_any_size_are_the_whole_in_order(
        n_small in 0..N_SEGMENTS,
        pushes in prop::collection::vec((0..N_SEGMENTS, prop::bool::weighted(0.1)), 0..400),
        retired in prop::collection::vec(any::<bool>(), N_SEGMENTS),
        most_slots in 1..50_usize,
    ) {
        let mut image = filled(n_small, &pushes, &retired);
        let layout = image.layout();
        let mut expected = Batch::default();
        for segment in 0..N_SEGMENTS {
            let load = |at: usize| image.words[at];
            expected.scan(layout, &load, segment, None, u64::MAX);
        }
        expected.sort();

        let mut merge = Merge::new(layout);
        let (mut taken, mut n_done) = (Vec::new(), 0);
        merge.find(&|at| image.words[at], &|| layout.n_all());
        prop_assert_eq!(merge.n_slots(), all(&expected).concat().len());
        loop {
            let mut piece = Batch::default();
            merge.take(&|at| image.words[at], most_slots, &mut piece);
            for Moved { segment, generation, read, is_done } in merge.moved() {
                prop_assert_eq!(generation, 3);
                image.words[layout.segment_word(segment, segment::READ)] = generation << 32 | read as u64;
                n_done += usize::from(is_done);
            }
            merge.forget_moved();
            if piece.is_empty() {
                break;
            }
            let piece = all(&piece);
            prop_assert!(piece.len() == 1 || piece.concat().len() <= most_slots);
            taken.extend(piece);
        }
        prop_assert!(merge.is_empty() && merge.n_slots() == 0);
        prop_assert_eq!(taken, all(&expected));
        prop_assert_eq!(n_done, retired.iter().filter(|is_retired| **is_retired).count());
        // All of it is in a file now.
        merge.find(&|at| image.words[at], &|| layout.n_all());
        prop_assert!(merge.is_empty());
    }

    #[test]
    fn segments_lie_side_by_side(bytes in 0..200_usize << 20) {
        let layout = Layout::for_bytes(bytes);
        prop_assert_eq!(Layout::from_words(layout.to_word(), layout.n_small as u64), Some(layout));
        for segment in [0, 1, layout.n_small.saturating_sub(1), layout.n_small, layout.n_segments - 1] {
            let end = layout.slot(segment, layout.slots_of(segment));
            prop_assert_eq!(end, layout.slot(segment + 1, 0));
            prop_assert!(layout.slots_of(segment) >= SMALL_SLOTS);
        }
        let records = (layout.total_words() - layout.slot(0, 0)) * 8;
        prop_assert!(records <= bytes.max(4 * 256 * 64 + bytes / 4), "{records}");
    }
}
