use super::*;
use crate::state::{Holder, Memory, Note};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

const MIB: u64 = 1 << 20;
const SECOND: u64 = 1_000_000_000;
const BEGAN: u64 = 1_767_225_600 * SECOND;

/// `part` of 16 is held, and a sixteenth more was at the peak.
fn memory(buffer_type: &str, bank_size_bytes: u64, n_banks: u32, part: u64) -> Memory {
    let of_bank = |part: u64| (bank_size_bytes / 16) * part.min(16);
    Memory {
        buffer_type: buffer_type.into(),
        live_bytes: of_bank(part) * u64::from(n_banks),
        peak_bytes: of_bank(part + 1) * u64::from(n_banks),
        peak_basis: "exact".into(),
        n_buffers: part * 10,
        bank_live_bytes: of_bank(part),
        bank_size_bytes: Some(bank_size_bytes),
        n_banks: Some(n_banks),
        largest_hole_bytes: Some(of_bank(16 - part.min(16))),
        baseline_bytes: None,
    }
}

fn chip(chip: u32) -> Chip {
    let part = u64::from(chip % 17);
    Chip {
        chip,
        arch: Some("wormhole_b0".into()),
        memory: vec![memory("DRAM", 1024 * MIB, 12, part), memory("L1", MIB, 64, 16 - part.min(16))],
        headroom_bytes: Some(MIB / 2),
        circular_bytes: MIB / 8,
        n_processes: 1,
    }
}

fn process(id: u64, program: &str, chips: Vec<u32>, part: u64) -> Process {
    Process {
        id,
        pid: 4000 + u32::try_from(id).unwrap(),
        program: program.into(),
        host: "node7".into(),
        status: if part == 0 { "killed" } else { "running" }.into(),
        protocol: "tt-memtrace".into(),
        since_wall_ns: BEGAN,
        n_events: 1_000_000 * part,
        chips,
        memory: vec![memory("DRAM", 1024 * MIB, 12, part), memory("L1", MIB, 64, part)],
        ..Process::default()
    }
}

fn state(n_chips: u32) -> State {
    let all: Vec<u32> = (0..n_chips).collect();
    let holder = |n: u64| Holder {
        process: 1 + n % 2,
        pid: 4001 + u32::try_from(n % 2).unwrap(),
        chips: all.clone(),
        buffer_type: "DRAM".into(),
        address: 0x1000 * n,
        size_bytes: (20 - n) * MIB,
        since_wall_ns: BEGAN + n * SECOND,
        class: "user".into(),
        op: n.is_multiple_of(3).then(|| "ttnn::matmul".into()),
        at: n.is_multiple_of(3).then(|| "/home/someone/a/long/way/to/model.py:123".into()),
    };
    State {
        schema: "tt-memtrace.state".into(),
        version: "1.0".into(),
        source: "/run/user/1000/tt-memtrace.sock".into(),
        wall_ns: BEGAN + 3725 * SECOND,
        since_wall_ns: BEGAN,
        n_events: 12_345_678,
        processes: vec![
            process(1, "decode", all.clone(), 5),
            process(2, "prefill", vec![0], 9),
            process(3, "decode", all.clone(), 0),
        ],
        chips: (0..n_chips).map(chip).collect(),
        holders: (0..12).map(holder).collect(),
        anomalies: vec![Note {
            wall_ns: BEGAN + 3720 * SECOND,
            process: 2,
            text: "double_deallocation: DRAM at 0x60 on mesh 0, freed before by n 17".into(),
        }],
        ..State::default()
    }
}

fn view(n_chips: u32) -> View {
    let mut view = View::new(Duration::from_millis(100), Glyphs::ascii(), false);
    // A ramp of half a minute, ten seconds of silence, and some more.
    for (second, part) in (0..30).map(|n| (n, n / 2)).chain((40..60).map(|n| (n, 4))) {
        for tenth in 0..10 {
            let mut state = state(n_chips);
            state.wall_ns = BEGAN + 3665 * SECOND + second * SECOND + tenth * SECOND / 10;
            state.chips.iter_mut().for_each(|chip| chip.memory[0].live_bytes = part * 768 * MIB);
            view.take(state);
        }
    }
    view.take(state(n_chips));
    view
}

fn screen(view: &View, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| view.draw(frame.area(), frame.buffer_mut())).unwrap();
    let buffer = terminal.backend().buffer();
    let row =
        |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned() + "\n";
    (0..height).map(row).collect()
}

/// Compares with a file beside this one; `UPDATE=1` writes it.
fn check(name: &str, shown: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/live/view/screens").join(name);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, shown).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), shown, "{name}:\n{shown}");
}

fn press(view: &mut View, keys: &str) -> bool {
    let code = |key| match key {
        '\n' => KeyCode::Enter,
        '\x1b' => KeyCode::Esc,
        '\t' => KeyCode::Tab,
        'v' => KeyCode::Down,
        other => KeyCode::Char(other),
    };
    keys.chars().all(|key| view.press(KeyEvent::new(code(key), KeyModifiers::NONE)))
}

#[test]
fn one_eight_and_thirty_two_chips_are_usable_on_small_and_large_terminals() {
    for n_chips in [1, 8, 32] {
        let view = view(n_chips);
        for (width, height) in [(60, 15), (80, 24), (140, 40)] {
            check(&format!("{n_chips}-chips-{width}x{height}.txt"), &screen(&view, width, height));
        }
    }
}

#[test]
fn every_chip_of_thirty_two_is_on_a_screen_of_80_by_24() {
    let shown = screen(&view(32), 80, 24);
    for chip in 0..32 {
        let is_there = |line: &str| line.split_ascii_whitespace().any(|word| word == chip.to_string());
        assert!(shown.lines().any(is_there), "chip {chip} in\n{shown}");
    }
}

#[test]
fn no_size_is_too_small_and_no_figure_too_large() {
    let mut view = view(32);
    view.state.chips[3].memory[0].live_bytes = u64::MAX;
    view.state.chips[3].memory[0].peak_bytes = u64::MAX;
    view.state.chips[4].memory[0].bank_size_bytes = Some(0);
    view.state.chips[5].memory[0].bank_size_bytes = Some(u64::MAX);
    view.state.processes[1].n_events = u64::MAX;
    view.state.processes[1].memory[0].live_bytes = u64::MAX;
    view.state.processes[1].program = "a\x1b[31m\u{4e2d}\n".repeat(50);
    view.take(view.state.clone());
    for page in [
        Page::Overview,
        Page::Devices,
        Page::Cores,
        Page::Holders,
        Page::Process(2),
        Page::Process(9),
        Page::Help,
    ] {
        view.page = page;
        for width in [0, 1, 2, 3, 7, 20, 59, 80, 131, 132, 300] {
            for height in [0, 1, 2, 3, 5, 8, 24, 100] {
                let mut buf = Buffer::empty(Rect::new(0, 0, width, height));
                view.draw(buf.area, &mut buf);
                assert!(buf.content.iter().all(|cell| !cell.symbol().contains('\x1b')));
            }
        }
    }
}

#[test]
fn what_is_lost_is_in_red_in_the_head() {
    let mut view = view(1);
    view.has_colour = true;
    view.state.n_dropped = 3;
    view.state.n_skipped = 1;
    let mut buf = Buffer::empty(Rect::new(0, 0, 80, 24));
    view.draw(buf.area, &mut buf);
    let row: String = (0..80).map(|x| buf[(x, 1)].symbol()).collect();
    let at = u16::try_from(row.find("3 events DROPPED, 1 event SKIPPED").unwrap()).unwrap();
    assert_eq!((buf[(at, 1)].fg, buf[(at - 3, 1)].fg), (Color::Red, Color::Reset));
    view.has_colour = false;
    view.draw(buf.area, &mut buf);
    assert_ne!(buf[(at, 1)].fg, Color::Yellow);
}

#[test]
fn nothing_is_said_to_be_nothing() {
    let mut view = View::new(Duration::from_secs(1), Glyphs::ascii(), false);
    assert!(screen(&view, 80, 24).contains("waiting for the first figures"));
    view.take(State { wall_ns: BEGAN, ..State::default() });
    assert!(screen(&view, 80, 24).contains("nothing is recorded yet: start a program with `tt-memtrace run"));
    view.take(state(1));
    view.end();
    assert!(screen(&view, 80, 24).contains("all have ended"));
    view.lack("the server is gone".into());
    assert!(screen(&view, 80, 24).contains("the server is gone"));
    view.take(state(1));
    assert!(!screen(&view, 80, 24).contains("the server is gone"));
}

#[test]
fn the_graph_has_a_gap_where_nothing_was_seen() {
    let view = view(1);
    let shown = screen(&view, 80, 24);
    let lines: Vec<&str> = shown.lines().collect();
    let head = lines.iter().position(|line| line.starts_with("DRAM on all chips, 60 s to now")).unwrap();
    let foot = lines[head + 1..].iter().find(|line| line.contains('.')).unwrap();
    // Ten of sixty seconds are a sixth of 80 columns.
    let gap = foot.matches('.').count();
    assert!((11..=15).contains(&gap), "{gap} in {foot}");
    assert!(foot.starts_with('_') && foot.ends_with('#'), "{foot}");
}

#[test]
fn keys_choose_chips_processes_and_pages() {
    let mut view = view(8);
    assert!(press(&mut view, ">>") && view.chip == Some(1));
    assert!(screen(&view, 80, 24).contains("only chip 1"));
    assert!(!screen(&view, 80, 24).contains("prefill"), "it is on chip 0 only");
    assert!(press(&mut view, "<<") && view.chip.is_none());
    assert!(press(&mut view, "<") && view.chip == Some(7) && press(&mut view, "\x1b") && view.chip.is_none());
    assert!(press(&mut view, "v\n") && view.page == Page::Process(2));
    assert!(screen(&view, 80, 24).contains("prefill pid 4002, running"));
    assert!(press(&mut view, "\x1bd") && view.page == Page::Devices && press(&mut view, "d"));
    assert!(press(&mut view, "c") && screen(&view, 100, 24).contains("circular"));
    assert!(press(&mut view, "l") && view.page == Page::Holders);
    assert!(screen(&view, 100, 24).contains("odd, 00:00:05 ago, pid 4002: double_deallocation"));
    assert!(press(&mut view, "?") && screen(&view, 80, 24).contains("merge processes"));
    assert!(press(&mut view, "x") && view.page == Page::Overview);
    assert!(!press(&mut view, "\x1b"), "at the top escape quits");
    assert!(!press(&mut view, "q"));
    let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert!(!view.press(control_c));
}

#[test]
fn keys_sort_merge_and_filter_processes() {
    let mut view = view(1);
    let pids = |view: &View| view.shown_processes().iter().map(|process| process.pid).collect::<Vec<_>>();
    assert_eq!(pids(&view), [4001, 4002, 4003]);
    assert!(press(&mut view, "t") && pids(&view) == [4002, 4001, 4003]);
    assert!(press(&mut view, "o") && pids(&view) == [4001, 4002, 4003]);
    assert!(press(&mut view, "a") && pids(&view) == [4002, 4001, 4003]);
    assert!(press(&mut view, "om") && pids(&view) == [4001, 4002]);
    assert_eq!(view.shown_processes()[0].status, "several");
    assert!(press(&mut view, "m/PREF") && view.is_typing && pids(&view) == [4002]);
    assert!(press(&mut view, "q") && view.filter == "PREFq" && pids(&view).is_empty());
    assert!(press(&mut view, "\x1b") && pids(&view).len() == 3);
    assert!(press(&mut view, "/4001\n") && !view.is_typing && pids(&view) == [4001]);
    assert!(press(&mut view, "\x1b") && view.filter.is_empty());
}

#[test]
fn a_pause_holds_the_picture_and_loses_no_history() {
    let mut view = view(1);
    let before = screen(&view, 80, 24);
    assert!(press(&mut view, " "));
    let mut later = state(1);
    later.wall_ns += 5 * SECOND;
    later.n_events += 1;
    view.take(later);
    assert!(screen(&view, 80, 24).contains("PAUSED"));
    assert!(!screen(&view, 80, 24).contains("12,345,679"));
    assert!(press(&mut view, " ") && screen(&view, 80, 24).contains("12,345,679"));
    assert_ne!(before, screen(&view, 80, 24));
}

#[test]
fn tab_turns_the_graph_to_another_memory() {
    let mut view = view(1);
    assert!(screen(&view, 80, 24).contains("DRAM on all chips"));
    assert!(press(&mut view, "\t") && screen(&view, 80, 24).contains("L1 on all chips"));
    assert!(press(&mut view, "\t") && screen(&view, 80, 24).contains("DRAM on all chips"));
}
