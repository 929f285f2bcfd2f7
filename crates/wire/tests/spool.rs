//! Reads spools of dead processes: whole ones, as the library leaves them at each step of a write, and damaged ones.
#![allow(clippy::unwrap_used, reason = "a test stops where it is surprised")]

mod image;

use image::{Image, Recovered, recover, token};
use proptest::prelude::*;
use std::ops::Range;
use tt_memtrace_wire::record::{Kind, Slot, encode, encode_definition};
use tt_memtrace_wire::spool::{
    DROPPED, DeadSpool, IDLE, Journal, Layout, MAGIC, ORIGIN, OWNER, Origin, PHASE, RECOVERED, ReadAt, SHAPE,
    SMALL, SPILLING, SpoolError, WRITING,
};
use tt_memtrace_wire::{Event, Line, Lost};

const CORES: &[u8] = b"{\"kind\":\"cores\",\"cores\":1,\"ranges\":[]}\n";

/// The numbers that the forks in recovered lines carry, after checking that `n` counts on.
fn tokens(recovered: &Recovered) -> Vec<u64> {
    let mut n = recovered.n - recovered.n_events;
    let text = std::str::from_utf8(&recovered.lines).unwrap();
    let mut tokens = Vec::new();
    for line in text.lines() {
        let Ok(Line::Event(stamp, event)) = Line::parse(line) else { continue };
        n += 1;
        assert_eq!(stamp.n, n);
        if let Event::Fork { token } = event {
            tokens.push(token);
        }
    }
    assert_eq!(n, recovered.n);
    tokens
}

fn all(range: Range<u64>) -> Vec<u64> {
    range.collect()
}

#[test]
fn segments_are_merged_by_the_clock() {
    let mut image = Image::new(3);
    let owned = [image.owned(0, 1), image.owned(1, 5), image.owned(2, 1)];
    for i in 0..90 {
        image.push(owned[usize::try_from(i * 7 % 3).unwrap()], 1000 + i, token(i));
    }
    let recovered = recover(&image.bytes(), &[], 500).unwrap();
    assert_eq!(tokens(&recovered), all(0..90));
    assert_eq!((recovered.n, recovered.n_unfinished, recovered.n_unreadable), (90, 0, 0));
}

#[test]
fn what_is_durable_is_not_read_again() {
    let mut image = Image::new(2);
    let (a, b) = (image.owned(0, 3), image.owned(1, 4));
    for i in 0..20 {
        image.push(if i % 2 == 0 { a } else { b }, i, token(i));
    }
    image.set_read(a, 5);
    image.set_read(b, 5);
    image.set_durable(Journal { capture_bytes: 100, n: 10, ..Journal::default() });
    let recovered = recover(&image.bytes(), &[], 170).unwrap();
    assert_eq!(tokens(&recovered), all(10..20));
    assert_eq!((recovered.capture_bytes, recovered.n, recovered.n_events), (100, 20, 10));
}

/// A segment with 20 records: 6 are durable, a write of 8 more is under way, 6 came after.
fn in_a_write(phase: u64, before: Journal, after: Journal) -> Image {
    let mut image = Image::new(1);
    let owned = image.owned(0, 7);
    for i in 0..20 {
        image.push(owned, i, token(i));
    }
    image.set_read(owned, 6);
    image.set_pending_read(owned, 14);
    image.set_durable(before);
    image.set_pending(after);
    image.set_phase(phase);
    image
}

#[test]
fn a_write_to_the_capture_counts_if_all_of_it_is_there() {
    let before = Journal { capture_bytes: 600, n: 6, ..Journal::default() };
    let after = Journal { capture_bytes: 1400, n: 14, ..Journal::default() };
    for (phase, length, from, capture_bytes) in [
        (WRITING, 600, 6, 600),
        (WRITING, 601, 6, 600),
        (WRITING, 1399, 6, 600),
        (WRITING, 1400, 14, 1400),
        (WRITING, 1401, 14, 1400),
        (IDLE, 600, 6, 600),
        (IDLE, 1400, 6, 600),
        (77, 1400, 6, 600),
    ] {
        let recovered = recover(&in_a_write(phase, before, after).bytes(), &[], length).unwrap();
        assert_eq!(tokens(&recovered), all(from..20), "{phase} {length}");
        assert_eq!((recovered.capture_bytes, recovered.n), (capture_bytes, 20), "{phase} {length}");
    }
}

#[test]
fn a_write_to_the_spill_file_counts_if_all_of_it_is_there() {
    let mut spill = Vec::new();
    for i in 0..14 {
        spill.extend(image::raw(&token(i), i));
    }
    // Four of the six spilled ones are in the capture.
    let before =
        Journal { capture_bytes: 400, n: 4, spilled_bytes: 6 * 64, unspilled_bytes: 4 * 64, dropped: 0 };
    let after = Journal { spilled_bytes: 14 * 64, ..before };
    for n_bytes in [6 * 64, 6 * 64 + 1, 10 * 64, 14 * 64 - 1, 14 * 64, 14 * 64 + 9] {
        let mut spill = spill.clone();
        spill.resize(n_bytes, 0xee);
        let recovered = recover(&in_a_write(SPILLING, before, after).bytes(), &spill, 400).unwrap();
        assert_eq!(tokens(&recovered), all(4..20), "{n_bytes}");
        assert_eq!((recovered.capture_bytes, recovered.n_unreadable), (400, 0));
    }
    // The file was lost, or a part of it: nothing is done, so that it can be put back.
    for found in [0, 64, 6 * 64 - 1] {
        let spill = &spill[..found];
        let error = recover(&in_a_write(SPILLING, before, after).bytes(), spill, 400).unwrap_err();
        let is_right = matches!(error, SpoolError::NoSpill { wanted: 384, found: n } if n == found as u64);
        assert!(is_right, "{error}");
    }
}

#[test]
fn what_went_from_the_spill_file_to_the_capture_is_not_read_again() {
    let spill: Vec<u8> = (0..6).flat_map(|i| image::raw(&token(i), i)).collect();
    let before =
        Journal { capture_bytes: 200, n: 2, spilled_bytes: 6 * 64, unspilled_bytes: 2 * 64, dropped: 0 };
    let after = Journal { capture_bytes: 500, n: 5, unspilled_bytes: 5 * 64, ..before };
    for (length, from) in [(200, 2), (499, 2), (500, 5)] {
        let mut image = in_a_write(WRITING, before, after);
        image.set_pending_read(0, 6); // A write from the spill file reads nothing from the spool.
        let recovered = recover(&image.bytes(), &spill, length).unwrap();
        assert_eq!(tokens(&recovered), all(from..20), "{length}");
    }
}

#[test]
fn a_record_that_was_never_finished_is_counted_and_not_read() {
    let mut image = Image::new(3);
    for segment in 0..3 {
        let owned = image.owned(segment, 2);
        image.push(owned, 10, token(1));
        image.push_unfinished(owned, 11, token(666));
        // As if a reader were to go on behind it.
        image.push(owned, 12, token(667));
    }
    let recovered = recover(&image.bytes(), &[], 0).unwrap();
    assert_eq!((tokens(&recovered), recovered.n_unfinished), (vec![1, 1, 1], 3));
}

#[test]
fn what_an_earlier_use_of_a_segment_left_is_not_there() {
    let mut image = Image::new(1);
    let first = image.owned(0, 1);
    for i in 0..200 {
        image.push(first, i, token(1000 + i));
    }
    image.set_read(first, 200);
    image.set_pending_read(first, 200);
    let second = image.owned(0, 2);
    assert!(tokens(&recover(&image.bytes(), &[], 0).unwrap()).is_empty());
    for i in 0..3 {
        image.push(second, i, token(i));
    }
    let recovered = recover(&image.bytes(), &[], 0).unwrap();
    assert_eq!((tokens(&recovered), recovered.n_unfinished), (all(0..3), 0));
    image.retire(second);
    assert_eq!(tokens(&recover(&image.bytes(), &[], 0).unwrap()), all(0..3));
    image.free(second);
    assert!(tokens(&recover(&image.bytes(), &[], 0).unwrap()).is_empty());
}

#[test]
fn long_records_are_read_whole_and_definitions_come_before_their_use() {
    let mut image = Image::new(2);
    let (a, b) = (image.owned(0, 1), image.owned(1, 1));
    let name = "op ".repeat(60);
    image.push(b, 20, Event::Mark { name: name.clone() });
    image.push_encoded(a, 10, &encode_definition(CORES));
    image.push(a, 30, token(3));
    let recovered = recover(&image.bytes(), &[], 0).unwrap();
    let text = String::from_utf8(recovered.lines).unwrap();
    let lines: Vec<_> = text.lines().map(|line| Line::parse(line).unwrap()).collect();
    assert!(matches!(&lines[0], Line::Cores(cores) if cores.cores == 1));
    assert!(
        matches!(&lines[1], Line::Event(stamp, Event::Mark { name: read }) if stamp.n == 1 && *read == name)
    );
    assert!(matches!(&lines[2], Line::Event(stamp, Event::Fork { token: 3 }) if stamp.n == 2));
}

#[test]
fn dropped_events_are_told_once() {
    let mut image = Image::new(1);
    image.words[DROPPED] = 2;
    image.words[DROPPED + Kind::Alloc as usize] = 30;
    image.words[DROPPED + Kind::OpEnd as usize] = 400;
    image.set_durable(Journal { dropped: 32, n: 9, ..Journal::default() });
    let recovered = recover(&image.bytes(), &[], 0).unwrap();
    let text = String::from_utf8(recovered.lines).unwrap();
    let Ok(Line::Event(stamp, Event::Lost(Lost { dropped: 400 }))) = Line::parse(text.trim_end()) else {
        panic!("{text}")
    };
    assert_eq!((stamp.n, recovered.n, recovered.n_events, recovered.n_dropped), (10, 10, 1, 432));
    image.set_durable(Journal { dropped: 432, n: 10, ..Journal::default() });
    assert_eq!(recover(&image.bytes(), &[], 0).unwrap().n_events, 0);
}

#[test]
fn what_is_no_spool_is_refused() {
    let whole = Image::new(4).bytes();
    assert!(recover(&whole, &[], 0).is_ok());
    for length in [0, 7, 8, 64, 4096, whole.len() / 2, whole.len() - 8, whole.len() - 1] {
        assert!(recover(&whole[..length], &[], 0).is_err(), "{length}");
    }
    let with = |at: usize, word: u64| {
        let mut image = Image::new(4);
        image.words[at] = word;
        recover(&image.bytes(), &[], 0).unwrap_err()
    };
    assert!(matches!(with(0, MAGIC + (1 << 56)), SpoolError::OtherVersion));
    assert!(matches!(with(0, MAGIC + 1), SpoolError::Foreign));
    for shape in [0, 1, 1 << 32, u64::MAX, 65_537 | 1 << 32, 1 | (1 << 21) << 32] {
        assert!(matches!(with(SHAPE, shape), SpoolError::Foreign), "{shape:x}");
    }
    assert!(matches!(with(SHAPE, 5 | 256 << 32), SpoolError::Truncated));
    assert!(matches!(with(SMALL, 5), SpoolError::Foreign));
    // Longer than it says, and larger than any can be: refused before anything of it is read.
    assert!(matches!(with(SHAPE, 3 | 256 << 32), SpoolError::Foreign));
    let shape = Layout { n_segments: 1 << 16, n_slots: 1 << 20, n_small: 0 };
    let bytes = shape.total_words() as u64 * 8;
    assert!(matches!(DeadSpool::open(&Sparse(shape), bytes), Err(SpoolError::Foreign)));
    assert!(Layout::for_bytes(usize::MAX).total_words() < 1 << 40);
}

/// A large file that begins like a spool.
struct Sparse(Layout);

impl ReadAt for Sparse {
    fn read_exact_at(&self, bytes: &mut [u8], at: u64) -> std::io::Result<()> {
        assert!(at == 0 && bytes.len() == 32, "{} bytes at {at}", bytes.len());
        bytes[..8].copy_from_slice(&MAGIC.to_ne_bytes());
        bytes[8..16].copy_from_slice(&self.0.to_word().to_ne_bytes());
        Ok(())
    }
}

#[test]
fn a_spool_belongs_to_one_process() {
    let mut image = Image::new(1);
    image.words[OWNER] = 4242 | 1 << 32;
    let bytes = image.bytes();
    let spool = DeadSpool::open(&bytes, bytes.len() as u64).unwrap();
    assert_eq!((spool.pid(), spool.origin()), (4242, Origin::default()));
}

#[test]
fn a_spool_tells_of_its_process_and_its_capture() {
    for length in [1, 7, 8, 9, 3560, 3561] {
        let capture: Vec<u8> = (0..length).map(|i| b'a' + u8::try_from(i % 26).unwrap()).collect();
        let origin = Origin { process_start: 77, pid_namespace: 4_026_531_836, capture };
        let mut image = Image::new(1);
        let table = image.words[ORIGIN + 448..].to_vec();
        image.set_origin(&origin);
        assert_eq!(image.words[ORIGIN + 448..], table, "{length}");
        let known = if length > 3560 { Origin { capture: vec![], ..origin } } else { origin };
        assert_eq!(Origin::load(|at| image.words[at]), known);
        // A file that goes no further, and one that was cut.
        let mut bytes = image.bytes();
        bytes.truncate((ORIGIN + 448) * 8);
        assert_eq!(Origin::read(&bytes).unwrap(), known);
        bytes.pop();
        assert!(Origin::read(&bytes).is_err());
    }
    let endless = Origin::load(|_| u64::MAX);
    assert_eq!((endless.process_start, endless.capture.len()), (u64::MAX, 0));
}

#[test]
fn what_was_settled_and_concluded_holds_for_the_next_reader() {
    let before = Journal { capture_bytes: 600, n: 6, ..Journal::default() };
    let after = Journal { capture_bytes: 1400, n: 14, ..Journal::default() };
    for (length, counts) in [(1399, before), (1400, after)] {
        let mut image = in_a_write(WRITING, before, after);
        let bytes = image.bytes();
        let mut spool = DeadSpool::open(&bytes, bytes.len() as u64).unwrap();
        for (at, word) in spool.settle(0, length).unwrap() {
            image.words[at] = word;
        }
        // Whatever length the capture has by then.
        for later in [0, 600, 1399, 1400, 5000] {
            let recovered = recover(&image.bytes(), &[], later).unwrap();
            assert_eq!(tokens(&recovered), all(counts.n..20), "{length} {later}");
            assert_eq!(recovered.capture_bytes, counts.capture_bytes, "{length} {later}");
        }
        assert!(!spool.is_recovered());
        for (at, word) in spool.conclude(4000) {
            image.words[at] = word;
        }
        assert_eq!(image.words[PHASE], RECOVERED);
        let bytes = image.bytes();
        let spool = DeadSpool::open(&bytes, bytes.len() as u64).unwrap();
        assert!(spool.is_recovered());
        assert_eq!((spool.recovered_bytes(), spool.journal()), (4000, counts));
    }
}

#[test]
fn a_spill_file_of_many_pieces_is_read_like_one() {
    let mut spill = Vec::new();
    let mut n = 0;
    // Records of 1 to 17 slots, so that some cross the end of a piece.
    while spill.len() < 5 << 20 {
        let name = format!("{n} {}", "m".repeat(usize::try_from(n % 1000).unwrap()));
        spill.extend(image::raw(&Event::Mark { name }, n));
        n += 1;
    }
    let mut image = Image::new(1);
    let owned = image.owned(0, 1);
    image.push(owned, n, token(n));
    image.set_durable(Journal { spilled_bytes: spill.len() as u64, ..Journal::default() });
    let recovered = recover(&image.bytes(), &spill, 0).unwrap();
    assert_eq!((recovered.n_events, recovered.n_unreadable), (n + 1, 0));
    let text = String::from_utf8(recovered.lines).unwrap();
    for (i, line) in text.lines().take(usize::try_from(n).unwrap()).enumerate() {
        let name = format!("{i} {}", "m".repeat(i % 1000));
        assert!(line.ends_with(&format!("\"name\":\"{name}\"}}")), "{line}");
    }

    // The last record says that it is longer than the file: the rest is counted as unreadable.
    let mut long: Slot = encode(&token(1), 0, |_| None).slot;
    long[1] += 200 << 16;
    spill.extend(long.into_iter().flat_map(u64::to_ne_bytes));
    image.set_durable(Journal { spilled_bytes: spill.len() as u64, ..Journal::default() });
    let recovered = recover(&image.bytes(), &spill, 0).unwrap();
    assert_eq!((recovered.n_events, recovered.n_unreadable), (n + 1, 1));
}

#[test]
fn a_length_beyond_the_segment_ends_it() {
    for n in [0, 2, 240, 241, 0xffff] {
        let mut image = Image::new(2);
        let (a, b) = (image.owned(0, 1), image.owned(1, 1));
        for i in 0..20 {
            image.push(a, i, token(i));
        }
        let mut last: Slot = encode(&token(99), 0, |_| None).slot;
        last[0] = 30;
        last[1] = last[1] & !0xffff_0000 | n << 16;
        image.set_slot(a, 250, last);
        image.set_slot(a, 20, last);
        image.push(b, 50, token(50));
        let recovered = recover(&image.bytes(), &[], 0).unwrap();
        assert!(tokens(&recovered).starts_with(&all(0..20)) && tokens(&recovered).ends_with(&[50]), "{n}");
    }
}

/// A busy spool: three segments, one of them used before, a spill file, a write under way.
fn busy() -> (Vec<u8>, Vec<u8>) {
    let mut image = Image::new(3);
    let old = image.owned(1, 1);
    for i in 0..250 {
        image.push(old, i, token(i));
    }
    let owned = [image.owned(0, 1), image.owned(1, 2), image.owned(2, 1)];
    for i in 0..120 {
        let segment = owned[usize::try_from(i % 3).unwrap()];
        match i % 10 {
            4 => image.push(segment, 1000 + i, Event::Mark { name: "m".repeat(usize::try_from(i).unwrap()) }),
            7 => image.push_encoded(segment, 1000 + i, &encode_definition(CORES)),
            _ => image.push(segment, 1000 + i, token(i)),
        }
    }
    image.retire(owned[2]);
    image.set_pending_read(owned[0], 9);
    let before = Journal { capture_bytes: 400, n: 4, dropped: 1, spilled_bytes: 640, unspilled_bytes: 128 };
    image.set_durable(before);
    image.set_pending(Journal { capture_bytes: 900, n: 8, unspilled_bytes: 256, ..before });
    image.set_phase(WRITING);
    image.words[DROPPED] = 3;
    (image.bytes(), (0..10).flat_map(|i| image::raw(&token(i), i)).collect())
}

/// What no input may exceed: a line is at most a record's bytes, six-fold if all of them are escaped.
fn is_bounded(recovered: &Recovered, spool: &[u8], spill: &[u8]) -> bool {
    recovered.lines.len() <= 8 * (spool.len() + spill.len()) + 4096 && recovered.n_unfinished <= 3
}

/// `PROPTEST_CASES=1000000 cargo test -p tt-memtrace-wire --test spool` looks for long.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").map_or(300, |n| n.parse().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn flipped_bytes_break_nothing(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..40),
        in_headers in prop::collection::vec((0..(1024 + 24) * 8_usize, any::<u8>()), 0..12),
        spill_flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..20),
        length in prop_oneof![0..1000_u64, any::<u64>()],
    ) {
        let (mut spool, mut spill) = busy();
        for (at, byte) in flips {
            let at = at.index(spool.len());
            spool[at] = byte;
        }
        for (at, byte) in in_headers {
            // Beyond the magic, which would end the matter at once.
            spool[at.max(8)] = byte;
        }
        for (at, byte) in spill_flips {
            let at = at.index(spill.len());
            spill[at] = byte;
        }
        if let Ok(recovered) = recover(&spool, &spill, length) {
            prop_assert!(is_bounded(&recovered, &spool, &spill));
        }
    }

    #[test]
    fn words_of_any_value_break_nothing(
        words in prop::collection::vec((0..1048_usize, prop_oneof![any::<u64>(), 0..300_u64, Just(u64::MAX)]), 1..30),
    ) {
        let (mut spool, spill) = busy();
        for (at, word) in words {
            spool[at.max(1) * 8..][..8].copy_from_slice(&word.to_ne_bytes());
        }
        if let Ok(recovered) = recover(&spool, &spill, 500) {
            prop_assert!(is_bounded(&recovered, &spool, &spill));
        }
    }

    #[test]
    fn cut_files_break_nothing(spool_cut in any::<prop::sample::Index>(), spill_cut in any::<prop::sample::Index>()) {
        let (spool, spill) = busy();
        let (spool, spill) = (&spool[..spool_cut.index(spool.len())], &spill[..spill_cut.index(spill.len())]);
        prop_assert!(recover(spool, spill, 500).is_err());
        let whole = busy().0;
        match recover(&whole, spill, 500) {
            Ok(recovered) => prop_assert!(is_bounded(&recovered, &whole, spill)),
            Err(error) => prop_assert!(matches!(error, SpoolError::NoSpill { wanted: 640, .. }), "{}", error),
        }
    }

    #[test]
    fn a_spill_file_of_noise_is_read_within_bounds(
        mut spill in prop::collection::vec(any::<u8>(), 0..20_000),
        firsts in prop::collection::vec((any::<prop::sample::Index>(), 0..20_u64, 0..300_u64), 0..200),
        unspilled_bytes in prop_oneof![Just(0), 0..20_000_u64, any::<u64>()],
        spilled_bytes in prop_oneof![Just(None), (0..20_000_u64).prop_map(Some), any::<u64>().prop_map(Some)],
    ) {
        // Noise has lengths that reach beyond its end; some of it is given kinds and lengths that make sense.
        for (at, kind, n_slots) in firsts {
            let at = at.index(spill.len() / 64 + 1) * 64 + 8;
            if let Some(word) = spill.get_mut(at..at + 4) {
                word.copy_from_slice(&u32::try_from(kind | n_slots << 16).unwrap().to_ne_bytes());
            }
        }
        let spilled_bytes = spilled_bytes.unwrap_or(spill.len() as u64);
        let mut image = Image::new(1);
        let owned = image.owned(0, 1);
        image.push(owned, 1, token(1));
        image.set_durable(Journal { spilled_bytes, unspilled_bytes, ..Journal::default() });
        match recover(&image.bytes(), &spill, 0) {
            Ok(recovered) => {
                prop_assert!(recovered.lines.len() <= 8 * spill.len() + 4096);
                let text = String::from_utf8_lossy(&recovered.lines);
                let is_line = |line: &str| Line::parse(line).is_ok();
                prop_assert!(text.lines().all(is_line));
                prop_assert!(text.lines().count() as u64 >= recovered.n_events);
                let is_last_there = text.ends_with("\"token\":1}\n");
                prop_assert!(is_last_there, "{}", text);
            }
            Err(error) => {
                let is_too_long = spilled_bytes > unspilled_bytes && spilled_bytes > spill.len() as u64;
                prop_assert!(is_too_long && matches!(error, SpoolError::NoSpill { .. }), "{}", error);
            }
        }
    }

    #[test]
    fn noise_is_refused_or_read_within_bounds(
        noise in prop::collection::vec(any::<u8>(), 0..3000),
        shape in (1..4_u64, 1..300_u64),
    ) {
        let _ = recover(&noise, &noise, 0);
        let mut spool = vec![0_u8; Layout { n_segments: 3, n_slots: 300, n_small: 0 }.total_words() * 8];
        for (i, byte) in spool.iter_mut().enumerate() {
            *byte = noise.get(i % noise.len().max(1)).copied().unwrap_or(1);
        }
        spool[..8].copy_from_slice(&MAGIC.to_ne_bytes());
        spool[SHAPE * 8..][..8].copy_from_slice(&(shape.0 | shape.1 << 32).to_ne_bytes());
        // Noise may say that the spill file is longer, or that the spool is.
        if let Ok(recovered) = recover(&spool, &noise, 77) {
            prop_assert!(is_bounded(&recovered, &spool, &noise));
        }
    }

    #[test]
    fn every_recovered_line_is_a_line_whatever_was_damaged(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..30),
    ) {
        let (mut spool, spill) = busy();
        let data = Layout { n_segments: 3, n_slots: 256, n_small: 0 }.slot(0, 0) * 8;
        for (at, byte) in flips {
            let at = data + at.index(spool.len() - data);
            spool[at] = byte;
        }
        let recovered = recover(&spool, &spill, 500).unwrap();
        let text = String::from_utf8_lossy(&recovered.lines);
        let n = text.lines().filter(|line| matches!(Line::parse(line), Ok(Line::Event(..)))).count();
        prop_assert_eq!(n as u64, recovered.n_events, "{}", text);
        for line in text.lines() {
            prop_assert!(Line::parse(line).is_ok(), "{}", line);
        }
    }
}
