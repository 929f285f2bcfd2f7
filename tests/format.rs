//! `docs/capture.schema.json`, `docs/format.md` and the code that writes captures say the same.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it is surprised")]

mod support;

use serde_json::{Value, json};
use std::collections::BTreeSet;
use support::{complaint, project, schema};
use tt_memtrace_wire::{
    Alloc, Allocator, Bank, BufferType, CbAlloc, CbDealloc, Clash, Context, Cores, Dealloc, Device, Ending,
    Event, Failure, Footer, Frame, Header, Kernel, Line, Lost, Mesh, Parent, Place, Range, Recovery, Request,
    Runtime, Stack, Stamp, SweepCause, Text, TraceStep, version,
};

#[test]
fn the_schema_is_a_schema() {
    jsonschema::draft202012::meta::validate(&schema()).unwrap();
}

#[test]
fn every_kind_of_line_is_valid_with_small_numbers_and_with_the_greatest() {
    let mut kinds = BTreeSet::new();
    for number in [1, 1 << 53, (1 << 53) + 1, u64::MAX] {
        for line in lines(number, Some(number)).into_iter().chain(lines(number, None)) {
            let text = text(&line);
            assert_eq!(complaint(&text), None);
            kinds.insert(kind(&text));
        }
    }
    let known: BTreeSet<String> = known_kinds().into_iter().collect();
    assert_eq!(kinds, known);
}

#[test]
fn a_key_too_many_a_key_too_few_and_a_wrong_type_are_all_caught() {
    for line in lines(5, Some(5)) {
        let value: Value = serde_json::from_str(&text(&line)).unwrap();
        let keys: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
        let mut typo = value.clone();
        typo["adress"] = json!(1);
        assert!(complaint(&typo.to_string()).is_some(), "{typo}");
        for key in keys.iter().filter(|key| *key != "hooked" && *key != "kind") {
            let mut without = value.clone();
            without.as_object_mut().unwrap().remove(key);
            let is_optional = match value["kind"].as_str() {
                Some("cb_dealloc") => key == "mesh_id" || key == "chip",
                Some("alloc") => key == "cores",
                Some("op_begin") => key == "arguments",
                _ => false,
            };
            assert_eq!(complaint(&without.to_string()).is_none(), is_optional, "{without}");
            let mut wrong = value.clone();
            wrong[key] = json!([-1.5]);
            assert!(complaint(&wrong.to_string()).is_some(), "{wrong}");
        }
    }
}

#[test]
fn two_places_negative_numbers_and_unknown_kinds_are_caught() {
    let close = r#"{"kind":"close","n":1,"t_ns":1,"tid":1,"ctx":0,"mesh_id":1}"#;
    assert_eq!(complaint(close), None);
    for (good, bad) in [
        ("\"mesh_id\":1", "\"mesh_id\":-1"),
        ("\"mesh_id\":1", "\"mesh_id\":4294967296"),
        ("\"n\":1", "\"n\":0"),
        ("\"t_ns\":1", "\"t_ns\":9007199254740993"),
        ("\"t_ns\":1", "\"t_ns\":\"12\""),
        ("\"kind\":\"close\"", "\"kind\":\"closed\""),
    ] {
        assert!(complaint(&close.replace(good, bad)).is_some(), "{bad}");
    }
    let run = r#"{"kind":"program_run","n":1,"t_ns":1,"tid":1,"ctx":0,"mesh_id":1,"chip":1,"program":1}"#;
    assert!(complaint(run).is_some());
}

#[test]
fn the_document_has_a_table_with_the_schemas_keys_for_every_kind() {
    let document = std::fs::read_to_string(project("docs/format.md")).unwrap();
    let common = table(section(&document, "### Every event"));
    for kind in known_kinds() {
        let definition = schema()["$defs"][&kind]["properties"].clone();
        let mut expected: BTreeSet<String> = definition.as_object().unwrap().keys().cloned().collect();
        expected.remove("kind");
        let mut told = table(section(&document, &format!("### `{kind}`")));
        if expected.contains("n") {
            told.extend(common.clone());
        }
        assert_eq!(told, expected, "{kind}");
    }
}

#[test]
fn the_captures_that_come_with_the_project_are_valid() {
    let mut n_lines = 0;
    for folder in ["crates/ledger/tests/streams", "crates/cli/src"] {
        for entry in std::fs::read_dir(project(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "jsonl") {
                for line in std::fs::read_to_string(&path).unwrap().lines() {
                    assert_eq!(complaint(line), None, "{}", path.display());
                    n_lines += 1;
                }
            }
        }
    }
    assert!(n_lines > 0);
}

fn known_kinds() -> Vec<String> {
    serde_json::from_value(schema()["properties"]["kind"]["enum"].clone()).unwrap()
}

fn section<'a>(document: &'a str, heading: &str) -> &'a str {
    let (_, after) = document.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no {heading}"));
    after.split_once("\n#").map_or(after, |(section, _)| section)
}

/// The names in the first column of the first table.
fn table(section: &str) -> BTreeSet<String> {
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once(" | "));
    rows.flat_map(|(names, _)| names.split(", ")).map(|name| name.replace('`', "")).collect()
}

fn text(line: &Line) -> String {
    let mut bytes = Vec::new();
    line.write_to(&mut bytes);
    String::from_utf8(bytes).unwrap()
}

fn kind(text: &str) -> String {
    serde_json::from_str::<Value>(text).unwrap()["kind"].as_str().unwrap().to_owned()
}

/// One line of each kind with these numbers.
fn lines(number: u64, optional: Option<u64>) -> Vec<Line> {
    let small = u32::try_from(number).unwrap_or(u32::MAX);
    let stamp = Stamp { n: number, t_ns: number, tid: small, ctx: small };
    let mut lines: Vec<Line> =
        events(number, optional).into_iter().map(|event| Line::Event(stamp, event)).collect();
    let bank =
        Bank { buffer_type: small.into(), n_banks: small, bank_size_bytes: number, base_address: optional };
    lines.extend([
        Line::Header(Box::new(header(number, optional))),
        Line::Mesh(Mesh {
            mesh_id: small,
            chips: vec![small],
            rows: small,
            cols: small,
            arch: format!("arch_{small}"),
        }),
        Line::Device(Device { chip: small, arch: "wormhole_b0".into() }),
        Line::Allocator(Allocator {
            allocator: number,
            mesh_id: small,
            bank_rounding_bytes: optional,
            banks: vec![bank],
        }),
        Line::Cores(Cores { cores: small, ranges: vec![Range { x0: 0, y0: small, x1: small, y1: 0 }] }),
        Line::Text(Text { text: small, value: "\u{e9}/model.py".into() }),
        Line::Stack(Stack {
            stack: small,
            frames: vec![Frame { file: small, function: small, line: 0 }],
            is_cut: optional.is_some(),
        }),
        Line::Context(Context {
            ctx: small,
            op: optional.map(|_| small),
            stack: optional.map(|_| small),
            test: optional.map(|_| small),
        }),
        Line::Recovery(Recovery {
            recorded: number,
            recovered: number,
            dropped: number,
            unfinished: number,
            unreadable: number,
        }),
        Line::Footer(Footer {
            t_ns: number,
            recorded: number,
            dropped: number,
            ended: Ending::ImmediateExit,
        }),
    ]);
    lines
}

fn header(number: u64, optional: Option<u64>) -> Header {
    let small = u32::try_from(number).unwrap_or(u32::MAX);
    Header {
        version: version::CURRENT,
        tool: "0.1.0".into(),
        pid: small,
        process_start: number,
        host: "\u{e9}\"\\\n".into(),
        boot_id: String::new(),
        pid_namespace: String::new(),
        rank: optional.map(|_| small),
        program: "program".into(),
        command: vec!["program".into(), String::new()],
        t_ns: number,
        wall_ns: number,
        runtime: optional.map(|_| Runtime { version: None, library: "/lib/libtt_metal.so".into() }),
        stacks: if optional.is_some() { "python" } else { "none" }.into(),
        spool: optional.map(|_| "/dev/shm/tt-memtrace-1-2.spool".into()),
        parent: optional.map(|token| Parent { capture: "/tmp/x.jsonl".into(), pid: small, token }),
    }
}

fn events(number: u64, optional: Option<u64>) -> Vec<Event> {
    let small = u32::try_from(number).unwrap_or(u32::MAX);
    let buffer_type = BufferType::from(small);
    let place = if optional.is_some() { Place::Mesh(small) } else { Place::Chip(small) };
    vec![
        Event::Alloc(Alloc {
            place,
            allocator: optional,
            buffer_type,
            layout: small.into(),
            address: number,
            size_bytes: number,
            page_size_bytes: number,
            per_bank_bytes: number,
            n_cores: optional.map(|_| small),
            cores: optional.map(|_| small),
            unique_id: optional,
            owns_data: optional.map(|id| id % 2 == 0),
            hooked: optional.is_some(),
        }),
        Event::Dealloc(Dealloc {
            place,
            buffer_type: optional.map(|_| buffer_type),
            address: number,
            size_bytes: Some(number),
            unique_id: optional,
            hooked: optional.is_some(),
        }),
        Event::Retained { place, buffer_type, address: number, unique_id: optional },
        Event::CbAlloc(CbAlloc {
            place,
            program: optional,
            cores: small,
            address: number,
            size_bytes: number,
            globally_allocated: false,
        }),
        Event::CbDealloc(CbDealloc { place: optional.map(|_| place), program: optional }),
        Event::ProgramRun { program: number, place },
        Event::Sweep { allocator: number, cause: SweepCause::Exit },
        Event::Close { place },
        Event::Fork { token: number },
        Event::Mark { name: "\u{fffd}\u{1}".into() },
        Event::OpBegin { name: String::new(), arguments: optional.map(|_| "(\"x\", 1)".into()) },
        Event::OpEnd,
        Event::PhaseBegin { name: "prefill".into() },
        Event::PhaseEnd,
        Event::KernelLoad(Kernel {
            place,
            kind: small.into(),
            program: optional,
            size_bytes: number,
            n_cores: number,
        }),
        Event::KernelUnload { place, program: optional },
        Event::Trace { step: TraceStep::Begin, place, trace: number },
        Event::Trace { step: TraceStep::End, place, trace: number },
        Event::Trace { step: TraceStep::Release, place, trace: number },
        Event::Failure(Failure::Allocation(Request {
            place,
            allocator: optional,
            buffer_type,
            layout: small.into(),
            size_bytes: number,
            page_size_bytes: number,
            per_bank_bytes: optional,
            n_cores: optional.map(|_| small),
            message: optional.map(|_| "Out of Memory".into()),
        })),
        Event::Failure(Failure::Clash(Clash {
            place,
            is_dataflow: optional.is_some(),
            program: optional,
            message: optional.map(|_| "a \"clash\"\nof two lines".into()),
        })),
        Event::Lost(Lost { dropped: number }),
    ]
}
