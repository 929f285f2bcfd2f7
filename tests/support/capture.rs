//! A capture, read and checked.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use tt_memtrace_wire::spool::DeadSpool;
use tt_memtrace_wire::{Event, Footer, Header, Line, Recovery, Stamp, version};

/// How far the time of an event may be from the truth: it is read from the processor's counter, and turned into
/// nanoseconds by comparing that with the kernel's clock now and then.
const CLOCK_TOLERANCE_NS: u64 = 5_000_000;

/// All of one capture.
#[derive(Debug)]
pub struct Capture {
    pub path: PathBuf,
    pub header: Header,
    /// Everything between header and footer.
    pub lines: Vec<Line>,
    pub footer: Option<Footer>,
    /// The line that stands in the footer's place if the end came from the spool.
    pub recovery: Option<Recovery>,
    /// Whether the file ends within a line.
    pub is_torn: bool,
}

impl Capture {
    /// Reads a capture and holds it against the schema, the typed reader and the arithmetic of the format.
    pub fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap();
        let is_torn = !text.is_empty() && !text.ends_with('\n');
        let whole = &text[..text.rfind('\n').map_or(0, |newline| newline + 1)];
        let mut lines: Vec<Line> = whole.lines().map(parse).collect();
        assert!(!lines.is_empty(), "{} has no header", path.display());
        let Line::Header(header) = lines.remove(0) else { panic!("{} has no header", path.display()) };
        let footer = match lines.last() {
            Some(Line::Footer(footer)) => Some(*footer),
            _ => None,
        };
        let recovery = match lines.last() {
            Some(Line::Recovery(recovery)) => Some(*recovery),
            _ => None,
        };
        lines.truncate(lines.len() - usize::from(footer.is_some() || recovery.is_some()));
        let capture = Self { path: path.to_owned(), header: *header, lines, footer, recovery, is_torn };
        capture.check();
        capture
    }

    /// The capture of a process that died, completed with what that left in its spool, which is removed.
    pub fn complete(self) -> Self {
        let spool_path = self.spool().unwrap();
        let spill_path = beside(&self.path, ".spill");
        let spill = std::fs::read(&spill_path).unwrap_or_default();
        let capture = std::fs::read(&self.path).unwrap();
        let spool = std::fs::read(&spool_path).unwrap();
        let mut spool = DeadSpool::open(&spool, spool.len() as u64).unwrap();
        assert_eq!(spool.pid(), self.header.pid);
        assert_eq!(spool.origin().capture, self.path.as_os_str().as_encoded_bytes());
        spool.settle(spill.len() as u64, capture.len() as u64).unwrap();
        let mut text = capture[..usize::try_from(spool.journal().capture_bytes).unwrap()].to_vec();
        let added = spool.write_missing(&spill, &mut text).unwrap();
        let recovery = Recovery {
            recorded: added.n,
            recovered: added.n_events,
            dropped: added.n_dropped,
            unfinished: added.n_unfinished,
            unreadable: added.n_unreadable,
        };
        Line::Recovery(recovery).write_to(&mut text);
        std::fs::write(&self.path, text).unwrap();
        self.forget_spool();
        Self::read(&self.path)
    }

    /// The spool, if it is there.
    pub fn spool(&self) -> Option<PathBuf> {
        self.header.spool.as_ref().map(PathBuf::from).filter(|spool| spool.exists())
    }

    /// Removes what a killed process left.
    pub fn forget_spool(&self) {
        if let Some(spool) = self.spool() {
            std::fs::remove_file(spool).unwrap();
        }
        let _ = std::fs::remove_file(beside(&self.path, ".spill"));
    }

    /// The events, in order.
    pub fn events(&self) -> impl Iterator<Item = (Stamp, &Event)> {
        self.lines.iter().filter_map(|line| match line {
            Line::Event(stamp, event) => Some((*stamp, event)),
            _ => None,
        })
    }

    /// The addresses of the allocations, in order.
    pub fn allocated(&self) -> Vec<u64> {
        let events = self.events();
        events
            .filter_map(|(_, event)| if let Event::Alloc(alloc) = event { Some(alloc.address) } else { None })
            .collect()
    }

    /// The names of the marks, in order.
    pub fn marks(&self) -> Vec<&str> {
        let events = self.events();
        events
            .filter_map(|(_, event)| if let Event::Mark { name } = event { Some(&**name) } else { None })
            .collect()
    }

    /// The tokens of the forks, in order.
    pub fn tokens(&self) -> Vec<u64> {
        let events = self.events();
        events
            .filter_map(|(_, event)| if let Event::Fork { token } = event { Some(*token) } else { None })
            .collect()
    }

    /// The sum of all `lost` lines, and how many there are.
    pub fn lost(&self) -> (u64, u64) {
        let lost = self.events().filter_map(|(_, event)| match event {
            Event::Lost(lost) => Some(lost.dropped),
            _ => None,
        });
        lost.fold((0, 0), |(sum, n), dropped| (sum + dropped, n + 1))
    }

    fn check(&self) {
        assert_eq!(self.header.version, version::CURRENT);
        assert_eq!(self.header.tool, env!("CARGO_PKG_VERSION"));
        self.check_positions();
        self.check_times();
        self.check_definitions();
        let counts = [
            self.footer.map(|footer| (footer.recorded, footer.dropped)),
            self.recovery.map(|recovery| (recovery.recorded, recovery.dropped)),
        ];
        for (recorded, dropped) in counts.into_iter().flatten() {
            assert!(!self.is_torn);
            assert_eq!(recorded, self.events().count() as u64, "{}", self.path.display());
            assert_eq!(dropped, self.lost().0, "{}", self.path.display());
            assert_eq!(self.spool(), None, "{}", self.path.display());
            assert!(!beside(&self.path, ".spill").exists());
        }
    }

    fn check_positions(&self) {
        for (position, (stamp, event)) in (1..).zip(self.events()) {
            assert_eq!(stamp.n, position, "{event:?} in {}", self.path.display());
        }
    }

    /// Nothing before the recording began or after it ended, and nothing backwards on one thread.
    fn check_times(&self) {
        let begin = self.header.t_ns - CLOCK_TOLERANCE_NS;
        let end = self.footer.map_or(u64::MAX, |footer| footer.t_ns + CLOCK_TOLERANCE_NS);
        let mut last_of = HashMap::new();
        for (stamp, event) in self.events() {
            assert!((begin..=end).contains(&stamp.t_ns), "{stamp:?} {event:?} not in {begin} to {end}");
            let last = last_of.insert(stamp.tid, stamp.t_ns).unwrap_or(0);
            assert!(stamp.t_ns + CLOCK_TOLERANCE_NS >= last, "{stamp:?} {event:?} steps back from {last}");
        }
    }

    fn check_definitions(&self) {
        let (mut cores, mut meshes, mut allocators) = (HashSet::new(), HashSet::new(), HashSet::new());
        let (mut texts, mut stacks, mut contexts) = (HashSet::new(), HashSet::new(), HashSet::new());
        for line in &self.lines {
            match line {
                Line::Cores(defined) => assert!(cores.insert(defined.cores), "{defined:?} again"),
                Line::Mesh(mesh) => assert!(meshes.insert(mesh.mesh_id), "{mesh:?} again"),
                Line::Allocator(allocator) => {
                    assert!(
                        allocators.insert((allocator.allocator, allocator.mesh_id)),
                        "{allocator:?} again"
                    );
                }
                Line::Text(text) => assert!(texts.insert(text.text), "{text:?} again"),
                Line::Stack(stack) => {
                    assert!(stacks.insert(stack.stack), "{stack:?} again");
                    let mut named = stack.frames.iter().flat_map(|frame| [frame.file, frame.function]);
                    assert!(named.all(|text| texts.contains(&text)), "{stack:?}");
                }
                Line::Context(context) => {
                    assert!(contexts.insert(context.ctx), "{context:?} again");
                    let mut named = [context.op, context.test].into_iter().flatten();
                    assert!(named.all(|text| texts.contains(&text)), "{context:?}");
                    assert!(context.stack.is_none_or(|stack| stacks.contains(&stack)), "{context:?}");
                }
                Line::Event(stamp, event) => {
                    assert!(stamp.ctx == 0 || contexts.contains(&stamp.ctx), "{stamp:?} undefined");
                    if let Event::CbAlloc(cb) = event {
                        assert!(cores.contains(&cb.cores), "{cb:?} undefined");
                    }
                }
                Line::Device(_) => {}
                other => panic!("{other:?} in the middle of {}", self.path.display()),
            }
        }
    }
}

/// `x.jsonl` and what is added to it.
fn beside(capture: &Path, suffix: &str) -> PathBuf {
    let mut path = capture.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

/// A line is valid, typed, and written exactly as the typed writer writes it.
fn parse(text: &str) -> Line {
    if let Some(complaint) = super::complaint(text) {
        panic!("{complaint}");
    }
    let line = Line::parse(text).unwrap();
    let mut again = Vec::new();
    line.write_to(&mut again);
    assert_eq!(String::from_utf8(again).unwrap().strip_suffix('\n'), Some(text));
    line
}
