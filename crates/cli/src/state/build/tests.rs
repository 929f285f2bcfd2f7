use super::*;
use tt_memtrace_ledger::Moment;
use tt_memtrace_wire::Line;

const MESH: &str = r#"{"kind":"mesh","mesh_id":0,"chips":[0,1],"rows":1,"cols":2,"arch":"wormhole_b0"}"#;
const ALLOCATOR: &str = r#"{"kind":"allocator","allocator":7,"mesh_id":0,"bank_rounding_bytes":32,"banks":[
    {"type":"DRAM","n_banks":12,"bank_size_bytes":4096,"base_address":0},
    {"type":"L1","n_banks":64,"bank_size_bytes":8192,"base_address":1024}]}"#;

fn header(pid: u32) -> Header {
    let text = format!(
        r#"{{"kind":"header","schema":"tt-memtrace.capture","version":"1.0","pid":{pid},"process_start":1,"host":"h","boot_id":"b","program":"p{pid}","t_ns":100,"wall_ns":1767225600000000100}}"#
    );
    let Line::Header(header) = Line::parse(&text).unwrap() else { panic!("no header") };
    *header
}

fn alloc(n: u64, buffer_type: &str, address: u64, size: u64) -> String {
    format!(
        r#"{{"kind":"alloc","n":{n},"t_ns":{},"tid":1,"mesh_id":0,"allocator":7,"type":"{buffer_type}","layout":"INTERLEAVED","address":{address},"size_bytes":{size},"page_size_bytes":32,"per_bank_bytes":32,"owns_data":true}}"#,
        100 + n
    )
}

fn free(n: u64, address: u64) -> String {
    format!(
        r#"{{"kind":"dealloc","n":{n},"t_ns":{},"tid":1,"mesh_id":0,"type":"DRAM","address":{address}}}"#,
        100 + n
    )
}

fn ledger(lines: &[String]) -> Ledger {
    let mut ledger = Ledger::new();
    apply(&mut ledger, &[MESH.to_owned(), ALLOCATOR.replace('\n', "")]);
    apply(&mut ledger, lines);
    ledger
}

fn apply(ledger: &mut Ledger, lines: &[String]) {
    for line in lines {
        let _ = ledger.apply(&Line::parse(line).unwrap());
    }
}

fn told<'a>(id: u64, header: &'a Header, ledger: &'a Ledger) -> Told<'a> {
    Told {
        id,
        header,
        ledger,
        peer_pid: None,
        uid: None,
        status: "running",
        protocol: "tt-memtrace",
        n_events: 3,
        n_dropped: 1,
        n_skipped: 0,
        has_parent: false,
    }
}

fn state(all: &[Told<'_>]) -> State {
    let mut builder = Builder::new(2);
    all.iter().for_each(|told| builder.add(told));
    builder.finish("here".into(), 5)
}

#[test]
fn one_process_has_its_figures_on_each_chip_and_their_sum() {
    let (header, ledger) = (
        header(1),
        ledger(&[alloc(1, "DRAM", 0, 300), alloc(2, "DRAM", 64, 200), free(3, 0), alloc(4, "L1", 8192, 50)]),
    );
    let state = state(&[told(1, &header, &ledger)]);
    let [dram, l1] = state.chips[1].memory.as_slice() else { panic!("{state:?}") };
    assert_eq!((dram.live_bytes, dram.peak_bytes, dram.peak_basis.as_str()), (200, 500, "exact"));
    assert_eq!(
        (dram.bank_size_bytes, dram.n_banks, dram.capacity_bytes()),
        (Some(4096), Some(12), Some(49152))
    );
    assert_eq!(dram.largest_hole_bytes, Some(4096 - 96));
    assert_eq!((l1.buffer_type.as_str(), l1.live_bytes), ("L1", 50));
    // From where circular buffers begin to the lowest buffer.
    assert_eq!(state.chips[1].headroom_bytes, Some(8192 - 1024));
    assert_eq!((state.chips[0].arch.as_deref(), state.chips[0].n_processes), (Some("wormhole_b0"), 1));
    let process = &state.processes[0];
    assert_eq!((process.memory[0].live_bytes, process.memory[0].peak_bytes), (400, 1000));
    assert_eq!((&process.chips[..], state.n_events, state.n_dropped), (&[0, 1][..], 3, 1));
    let holders: Vec<_> = state.holders.iter().map(|of| (of.size_bytes, of.since_wall_ns)).collect();
    assert_eq!(holders, [(200, 1767225600000000102), (50, 1767225600000000104)]);
}

#[test]
fn two_processes_at_one_address_are_two_buffers_and_their_peak_a_lower_bound() {
    let headers = [header(1), header(2)];
    let ledgers = [
        ledger(&[alloc(1, "DRAM", 0, 300), free(2, 0), alloc(3, "DRAM", 0, 100)]),
        ledger(&[alloc(1, "DRAM", 0, 150)]),
    ];
    let state = state(&[told(2, &headers[1], &ledgers[1]), told(1, &headers[0], &ledgers[0])]);
    let dram = &state.chips[0].memory[0];
    assert_eq!((dram.live_bytes, dram.n_buffers, dram.bank_live_bytes), (250, 2, 64));
    assert_eq!((dram.peak_bytes, dram.peak_basis.as_str()), (300, "lower_bound"));
    assert_eq!(state.processes.iter().map(|process| process.pid).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(state.processes[0].memory[0].peak_basis, "exact");
    assert_eq!(state.holders.len(), 2);
}

#[test]
fn what_a_child_inherited_counts_at_its_parent() {
    let headers = [header(1), header(2)];
    let parent = ledger(&[alloc(1, "DRAM", 0, 300)]);
    let mut child = parent.clone();
    child.enter_child(Moment { n: 1, t_ns: 200 });
    apply(&mut child, &[alloc(1, "DRAM", 64, 10)]);
    let child = Told { has_parent: true, ..told(2, &headers[1], &child) };
    let state = state(&[told(1, &headers[0], &parent), child]);
    assert_eq!(state.chips[0].memory[0].live_bytes, 310);
    assert_eq!(state.processes[1].memory[0].live_bytes, 20);
    assert_eq!(state.holders.iter().map(|of| of.size_bytes).collect::<Vec<_>>(), [300, 10]);
}

#[test]
fn what_does_not_add_up_is_told_newest_last() {
    let (header, ledger) = (header(1), ledger(&[free(1, 32), free(2, 64), free(3, 96)]));
    let state = state(&[told(1, &header, &ledger)]);
    assert_eq!((state.processes[0].n_anomalies, state.anomalies.len()), (3, 2));
    assert!(state.anomalies[1].text.starts_with("unknown_deallocation: DRAM at 0x60 on mesh 0"), "{state:?}");
}

#[test]
fn a_state_comes_back_from_json_and_large_numbers_are_strings() {
    let (header, mut ledger) = (header(1), ledger(&[alloc(1, "DRAM", 0, 300)]));
    let _ = ledger.apply(&Line::parse(&alloc(2, "DRAM", 64, u64::MAX)).unwrap());
    let state = state(&[told(1, &header, &ledger)]);
    let text = serde_json::to_string(&state).unwrap();
    assert!(text.contains(r#""size_bytes":"18446744073709551615""#) && text.contains(r#""size_bytes":300"#));
    assert_eq!(serde_json::from_str::<State>(&text).unwrap(), state);
}

#[test]
fn a_holder_names_its_operation_and_the_line_of_the_program() {
    let definitions = [
        r#"{"kind":"text","text":1,"value":"/home/u/model.py"}"#,
        r#"{"kind":"text","text":2,"value":"ttnn.add"}"#,
        r#"{"kind":"stack","stack":1,"frames":[[1,2,17]],"is_cut":false}"#,
        r#"{"kind":"context","ctx":1,"op":2,"stack":1,"test":null}"#,
    ];
    let mut lines = definitions.map(str::to_owned).to_vec();
    lines.push(alloc(1, "DRAM", 0, 300).replacen("\"tid\":1", "\"tid\":1,\"ctx\":1", 1));
    let (header, ledger) = (header(1), ledger(&lines));
    let state = state(&[told(1, &header, &ledger)]);
    let (op, at) = (state.holders[0].op.as_deref(), state.holders[0].at.as_deref());
    assert_eq!((op, at), (Some("ttnn.add"), Some("/home/u/model.py:17")));
}
