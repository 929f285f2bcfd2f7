//! The earlier server's records: bytes that its description gives, and connections cut and mixed in every way.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it is surprised")]

use proptest::prelude::*;
use tt_memtrace_wire::legacy::{
    Decoder, DeviceFacts, Found, Message, NoRecord, Record, RecordSize, RingBuffer, Totals, Trouble,
};
use tt_memtrace_wire::{BufferType, KernelKind};

const PID: i32 = 108_740;
const WALL_NS: u64 = 1_761_141_045_123_456_789;

fn bytes(hex: &str) -> Vec<u8> {
    hex.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

fn encoded(record: &Record, size: RecordSize) -> Vec<u8> {
    let mut out = Vec::new();
    record.write_to(size, &mut out);
    out
}

/// The head is as given, all behind it is 0, in every size.
fn holds(record: Record, hex: &str) {
    for size in RecordSize::ALL {
        let mut expected = bytes(hex);
        expected.resize(size.bytes(), 0);
        assert_eq!(encoded(&record, size), expected, "{record:?} in {size:?}");
        assert_eq!(Record::parse(&expected), Ok(record), "{size:?}");
    }
}

fn event(message: Message, device_id: i32) -> Record {
    Record { process_id: PID, ..Record::new(message, device_id) }
}

#[test]
fn events_have_their_written_bytes() {
    let alloc = event(Message::Alloc, 3);
    holds(
        Record { size_bytes: 4_194_304, buffer_id: 2_560_032, wall_ns: WALL_NS, ..alloc },
        "01 00 00 00 03 00 00 00 00 00 40 00 00 00 00 00 00 00 00 00 c4 a8 01 00 20 10 27 00 00 00 00 00
         15 9f f1 19 73 d4 70 18",
    );
    holds(
        Record { buffer_id: 2_560_032, ..event(Message::Free, 3) },
        "02 00 00 00 03 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 c4 a8 01 00 20 10 27 00 00 00 00 00
         00 00 00 00 00 00 00 00",
    );
    let cb = event(Message::CbAlloc, 0);
    holds(
        Record { size_bytes: 4096, buffer_id: 101_152, wall_ns: WALL_NS, ..cb },
        "08 00 00 00 00 00 00 00 00 10 00 00 00 00 00 00 00 00 00 00 c4 a8 01 00 20 8b 01 00 00 00 00 00
         15 9f f1 19 73 d4 70 18",
    );
    let kernel = Record { size_bytes: 57_344, kind: 1, ..event(Message::KernelLoad, 0) };
    assert_eq!(kernel.kernel_kind(), KernelKind::Fabric);
    holds(
        Record { buffer_id: 0x55d0_c0ff_ee10, wall_ns: WALL_NS, ..kernel },
        "0a 00 00 00 00 00 00 00 00 e0 00 00 00 00 00 00 01 00 00 00 c4 a8 01 00 10 ee ff c0 d0 55 00 00
         15 9f f1 19 73 d4 70 18",
    );
}

#[test]
fn questions_have_their_written_bytes() {
    holds(Record::new(Message::Query, 5), "03 00 00 00 05 00 00 00");
    holds(Record::new(Message::DeviceInfoQuery, -1), "06 00 00 00 ff ff ff ff");
}

#[test]
fn answers_have_their_written_bytes() {
    let totals = Totals { dram: 14_827_520, l1: 22_528, ..Totals::default() };
    let mut record = Record { totals, ..Record::new(Message::Response, 0) };
    let mut expected = bytes("04");
    expected.resize(40, 0);
    expected.extend(bytes("00 40 e2 00 00 00 00 00 00 58 00 00 00 00 00 00"));
    expected.resize(72, 0);
    assert_eq!(encoded(&record, RecordSize::P1), expected);
    assert_eq!(Record::parse(&expected), Ok(record));

    record.totals = Totals { trace: 134_217_728, circular: 4096, kernels: 208_896, ..totals };
    expected.truncate(64);
    expected.extend(bytes("00 00 00 08 00 00 00 00 00 10 00 00 00 00 00 00 00 30 03 00 00 00 00 00"));
    expected.resize(144, 0);
    assert_eq!(encoded(&record, RecordSize::P4), expected);
    assert_eq!(Record::parse(&expected), Ok(record));

    let device = DeviceFacts { is_available: 1, n_devices: 8, ..DeviceFacts::default() };
    let record = Record { device, ..Record::new(Message::DeviceInfoResponse, -1) };
    let mut expected = bytes("07 00 00 00 ff ff ff ff");
    expected.resize(104, 0);
    expected.extend(bytes("01 00 00 00 08 00 00 00"));
    assert_eq!(encoded(&record, RecordSize::P2), expected);
    assert_eq!(Record::parse(&expected), Ok(record));
}

/// Every field of every size lies where the table says.
#[test]
fn every_field_lies_at_its_offset() {
    let it = Record {
        message: Message::Response,
        device_id: -2,
        size_bytes: 3,
        kind: 4,
        process_id: 5,
        buffer_id: 6,
        wall_ns: 7,
        totals: Totals { dram: 8, l1: 9, l1_small: 10, trace: 11, circular: 12, kernels: 13 },
        device: DeviceFacts {
            total_dram_bytes: 14,
            total_l1_bytes: 15,
            arch: 16,
            n_dram_channels: 17,
            dram_channel_bytes: 18,
            l1_core_bytes: 19,
            is_available: 20,
            n_devices: 21,
        },
        ring_buffer: RingBuffer { total_bytes: 22, used_bytes: 23, n_programs: 24 },
    };
    assert_eq!(it.buffer_type(), BufferType::Trace);
    let common = [(0, 4), (8, 3), (16, 4), (20, 5), (24, 6), (32, 7), (40, 8), (48, 9), (56, 10), (64, 11)];
    let p2 = [(72, 14), (80, 15), (88, 16), (92, 17), (96, 18), (100, 19), (104, 20), (108, 21)];
    let p3 = [(72, 12), (80, 13)].into_iter().chain(p2.map(|(at, value)| (at + 16, value)));
    let p4 = p3.clone().chain([(128, 22), (132, 23), (136, 24)]);
    let tails = [vec![], p2.to_vec(), p3.collect(), p4.collect()];
    for (size, tail) in RecordSize::ALL.into_iter().zip(tails) {
        let mut expected = vec![0; size.bytes()];
        expected[4..8].copy_from_slice(&(-2_i32).to_le_bytes());
        common.into_iter().chain(tail).for_each(|(at, value)| expected[at] = value);
        assert_eq!(encoded(&it, size), expected, "{size:?}");
        assert_eq!(encoded(&Record::parse(&expected).unwrap(), size), expected, "{size:?}");
    }
}

#[test]
fn what_is_no_record_says_why() {
    assert_eq!(Record::parse(&[1; 71]), Err(NoRecord::Length(71)));
    assert_eq!(Record::parse(&[0; 72]), Err(NoRecord::Type(0)));
    assert_eq!(Record::parse(&[13; 72]), Err(NoRecord::Type(13)));
    assert_eq!(Record::parse(&[1; 72]), Err(NoRecord::Padding));
}

/// What a decoder gives for these pieces; between two of them marked so, nothing comes for a while.
fn decoded(peer: Option<i32>, pieces: &[(&[u8], bool)]) -> Result<Vec<Found>, Trouble> {
    let mut decoder = Decoder::new(peer);
    let mut all = Vec::new();
    for (piece, is_pause) in pieces {
        decoder.push(piece);
        while let Some(found) = decoder.next()? {
            all.push(found);
        }
        if *is_pause && let Some(found) = decoder.pause() {
            all.push(found);
            while let Some(found) = decoder.next()? {
                all.push(found);
            }
        }
        assert!(decoder.n_waiting() < 2 * 144, "it keeps {}", decoder.n_waiting());
    }
    while let Some(found) = decoder.finish() {
        all.push(found);
        while let Some(found) = decoder.next()? {
            all.push(found);
        }
    }
    Ok(all)
}

fn records(found: &[Found]) -> Vec<Record> {
    let record = |found: &Found| if let Found::Record(record, _) = found { Some(*record) } else { None };
    found.iter().filter_map(record).collect()
}

fn any_record() -> impl Strategy<Value = Record> {
    let message = prop_oneof![
        Just(Message::Alloc),
        Just(Message::Free),
        Just(Message::Query),
        Just(Message::DumpRemaining),
        Just(Message::DeviceInfoQuery),
        Just(Message::CbAlloc),
        Just(Message::CbFree),
        Just(Message::KernelLoad),
        Just(Message::KernelUnload),
        Just(Message::DumpKernels),
    ];
    (message, -1..40_i32, any::<u64>(), 0..5_u8, any::<u64>(), any::<u64>()).prop_map(
        |(message, device_id, size_bytes, kind, buffer_id, wall_ns)| {
            let record = Record { process_id: PID, ..Record::new(message, device_id) };
            match message {
                Message::Query | Message::DumpRemaining | Message::DeviceInfoQuery | Message::DumpKernels => {
                    Record::new(message, device_id)
                }
                Message::Free => Record { buffer_id, ..record },
                Message::CbFree | Message::KernelUnload => Record { buffer_id, size_bytes, ..record },
                _ => Record { buffer_id, size_bytes, kind, wall_ns, ..record },
            }
        },
    )
}

fn any_size() -> impl Strategy<Value = RecordSize> {
    prop::sample::select(RecordSize::ALL.to_vec())
}

/// Sizes of pieces, and whether there is a pause behind each.
fn any_cuts() -> impl Strategy<Value = Vec<(usize, bool)>> {
    let size = prop_oneof![1..4_usize, 1..200_usize, Just(72), Just(112), Just(128), Just(144), Just(5000)];
    prop::collection::vec((size, any::<bool>()), 1..40)
}

fn cut<'a>(mut bytes: &'a [u8], cuts: &[(usize, bool)]) -> Vec<(&'a [u8], bool)> {
    let mut pieces = Vec::new();
    for (size, is_pause) in cuts.iter().cycle() {
        if bytes.is_empty() {
            break;
        }
        let (piece, rest) = bytes.split_at((*size).min(bytes.len()));
        pieces.push((piece, *is_pause));
        bytes = rest;
    }
    pieces
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn however_a_connection_is_cut_its_records_are_the_same(
        sent in prop::collection::vec(any_record(), 1..30),
        size in any_size(),
        cuts in any_cuts(),
        peer in prop::sample::select(vec![None, Some(PID), Some(7)]),
    ) {
        let mut bytes = Vec::new();
        sent.iter().for_each(|record| record.write_to(size, &mut bytes));
        let found = decoded(peer, &cut(&bytes, &cuts)).unwrap();
        prop_assert_eq!(records(&found), sent);
    }

    #[test]
    fn once_two_records_were_there_answers_are_in_the_askers_size(
        sent in prop::collection::vec(any_record(), 2..30),
        size in any_size(),
        cuts in any_cuts(),
    ) {
        let mut bytes = Vec::new();
        sent.iter().for_each(|record| record.write_to(size, &mut bytes));
        let found = decoded(None, &cut(&bytes, &cuts)).unwrap();
        let sizes = found.iter().skip(1).map(|found| match found {
            Found::Record(_, size) => *size,
            Found::Bad(why) => panic!("{why}"),
        });
        prop_assert!(sizes.clone().all(|known| known == size), "{:?}", sizes.collect::<Vec<_>>());
    }

    #[test]
    fn bytes_of_any_kind_end_in_a_reason_and_take_no_memory(
        bytes in prop::collection::vec(prop_oneof![Just(0_u8), 0..13_u8, any::<u8>()], 0..4000),
        cuts in any_cuts(),
    ) {
        let _ = decoded(Some(PID), &cut(&bytes, &cuts));
    }

    #[test]
    fn a_part_that_is_missing_costs_two_records_at_most(
        sent in prop::collection::vec(any_record(), 6..30),
        size in any_size(),
        at in 2..4_usize,
        gap in 1..144_usize,
    ) {
        let events: Vec<Record> = sent.into_iter().filter(|record| record.process_id == PID).collect();
        prop_assume!(events.len() > at + 2);
        let mut bytes = Vec::new();
        events.iter().for_each(|record| record.write_to(size, &mut bytes));
        let from = at * size.bytes() + 1;
        bytes.drain(from..from + gap.min(size.bytes() - 1));
        let found = records(&decoded(None, &[(&bytes, false)]).unwrap());
        prop_assert_eq!(&found[..at], &events[..at]);
        prop_assert_eq!(&found[found.len() + at + 2 - events.len()..], &events[at + 2..]);
    }
}

#[test]
fn a_single_request_is_told_after_a_pause_in_each_size() {
    for size in RecordSize::ALL {
        let query = Record::new(Message::Query, 5);
        let bytes = encoded(&query, size);
        for waits_in in [1, 39, 71] {
            let pieces = [(&bytes[..waits_in], true), (&bytes[waits_in..], true)];
            assert_eq!(decoded(None, &pieces), Ok(vec![Found::Record(query, size)]), "{size:?}");
        }
    }
}

#[test]
fn a_monitor_in_lockstep_waits_only_once() {
    for size in RecordSize::ALL {
        let mut decoder = Decoder::new(None);
        let bytes = encoded(&Record::new(Message::DeviceInfoQuery, -1), size);
        decoder.push(&bytes);
        assert_eq!(decoder.next(), Ok(None));
        assert!(decoder.is_unsure() && decoder.pause().is_some());
        for device in 0..40 {
            let query = Record::new(Message::Query, device);
            decoder.push(&encoded(&query, size));
            assert_eq!(decoder.next(), Ok(Some(Found::Record(query, size))));
            assert!(!decoder.is_unsure());
        }
    }
}

#[test]
fn a_type_that_does_not_exist_costs_only_its_own_record() {
    for size in RecordSize::ALL {
        let alloc = Record { size_bytes: 32, ..event(Message::Alloc, 1) };
        let mut odd = encoded(&alloc, size);
        odd[0] = 99;
        let good = encoded(&alloc, size);
        let bytes = [&good[..], &good, &odd, &good, &odd, &good].concat();
        let found = decoded(None, &[(&bytes, false)]).unwrap();
        let kinds: Vec<bool> = found.iter().map(|found| matches!(found, Found::Record(..))).collect();
        assert_eq!(kinds, [true, true, false, true, false, true], "{size:?}");
        let bytes = [&good[..], &good, &odd.repeat(20)].concat();
        assert_eq!(decoded(None, &[(&bytes, false)]), Err(Trouble::TooManyBad(10)));
    }
}

#[test]
fn another_protocol_is_refused_by_its_first_bytes() {
    let not_this = |bytes: &[u8]| decoded(None, &[(bytes, false)]).unwrap_err();
    assert_eq!(not_this(b"GET / HTTP/1.1\r\n"), Trouble::NotThis(NoRecord::Type(b'G')));
    assert_eq!(not_this(&[1, 0, 9]), Trouble::NotThis(NoRecord::Padding));
    let mut hello = Vec::new();
    tt_memtrace_wire::frame::put(
        tt_memtrace_wire::frame::Kind::Request,
        b"{\"request\":\"state\"}",
        &mut hello,
    );
    assert!(matches!(not_this(&hello), Trouble::NotThis(_)));
}

#[test]
fn a_forked_child_may_share_its_parents_connection() {
    for size in RecordSize::ALL {
        let alloc = |process_id| Record { size_bytes: 32, process_id, ..Record::new(Message::Alloc, 1) };
        let sent: Vec<Record> = [5, 6, 5, 6, 5].map(alloc).to_vec();
        let bytes: Vec<u8> = sent.iter().flat_map(|record| encoded(record, size)).collect();
        assert_eq!(records(&decoded(Some(5), &[(&bytes, false)]).unwrap()), sent, "{size:?}");
    }
}
