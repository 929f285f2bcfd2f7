//! What keys stand for: texts, lines, stacks and contexts, each defined in the capture once.
//!
//! The tables are bounded: one that is full is emptied, and what comes again is defined again, with another number.

use super::frames::{self, Frame, Walk};
use super::python::{Object, Python, read};
use super::{calls, codes, known, objects};
use crate::pipeline::Pipeline;
use crate::table::{Table, find};
use tt_memtrace_wire::{Context, Line, Stack, Text};

/// The most items of a table: seven eighths of a power of two are as many as it holds before it doubles, to 1 MB here.
const MOST: usize = 7 << 12;
/// In the key of a site, stands for all instructions of its function.
const ANY_INSTRUCTION: u64 = u64::MAX;
/// So often a thread's frames are looked at anew.
const MOST_WALKS: usize = 4;
/// What could not be read.
const UNKNOWN: &str = "?";
/// Where the runtime's own Python files are, if it is installed as a package.
const INSTALLED: [&str; 2] = ["/site-packages/ttnn/", "/dist-packages/ttnn/"];
/// The file in which operations are called.
const OPERATIONS: &str = "/ttnn/decorators.py";

/// What the capture already defines: by what it stands for, or 128 bits of that folded, a site, or a number in the first
/// word.
#[derive(Default)]
pub struct Names {
    /// The generation of the code objects that `sites` knows.
    generation: u32,
    sites: Table,
    /// The last site that was found at each depth, from the outermost frame: what a thread does next has most of its
    /// frames from what it did before.
    recent: [Recent; frames::MOST_FRAMES],
    /// Where the instructions are of the function whose call was looked at last.
    calls: calls::Found,
    texts: Table,
    stacks: Table,
    contexts: Table,
    /// The last numbers that were given out.
    n_texts: u32,
    n_stacks: u32,
    n_contexts: u32,
    /// How often code was found that calls operations.
    n_operations: u32,
    /// The folder of the runtime's own Python files, once an operation was seen.
    folder: Option<Box<str>>,
}

/// An instruction of a code object, by its address, and where it is.
#[derive(Clone, Copy, Default)]
struct Recent {
    code: usize,
    at: u32,
    site: Site,
}

/// Where an instruction of a code object is.
#[derive(Clone, Copy, Default)]
struct Site {
    file: u32,
    function: u32,
    line: u32,
    /// Whether the file is the runtime's own.
    is_runtime: bool,
}

/// Gives the context of the calling thread a number and defines it, with everything it names that is new.
pub fn define(pipeline: &Pipeline, python: &Python, walk: &mut Walk) -> u32 {
    let names = &mut *pipeline.names();
    let mut sites = [Site::default(); frames::MOST_FRAMES];
    let mut n_walks = 1;
    // At most: code objects have ended, and the first operation of all is found again.
    while names.has_news(pipeline, python, walk, &mut sites) {
        if n_walks == MOST_WALKS {
            return 0;
        }
        *walk = Walk::here(python, walk.test);
        n_walks += 1;
    }
    // Another thread may have been here first.
    if let Some(number) = known::find(walk.key) {
        return number;
    }
    let (stack, op) = names.stack(pipeline, python, walk, &mut sites[..walk.frames().len()]);
    let test = walk.test.map(|test| names.text(pipeline, &test.id));
    let number = names.context(pipeline, op, stack, test);
    known::insert(walk.key, number);
    number
}

impl Names {
    /// Whether the frames have to be looked at anew, because what was known of them is no longer true, or because
    /// more is known now.
    /// Else `sites` are those of the frames.
    fn has_news(&mut self, pipeline: &Pipeline, python: &Python, walk: &Walk, sites: &mut [Site]) -> bool {
        // Other code objects may be where some were that were read. None that is on this thread's stack can end.
        if self.generation != walk.generation {
            self.forget_sites();
            frames::forget_operations();
            self.generation = codes::generation();
            return true;
        }
        let before = self.n_operations;
        let n = walk.frames().len();
        for (i, (site, frame)) in sites.iter_mut().zip(walk.frames()).enumerate() {
            // SAFETY: the code of a frame of the calling thread.
            *site = unsafe { self.site_at(pipeline, python, n - 1 - i, frame) };
        }
        if self.n_operations == before {
            return false;
        }
        // Which files are the runtime's own is known only now.
        self.forget_sites();
        true
    }

    fn forget_sites(&mut self) {
        self.sites.clear();
        self.recent.fill(Recent::default());
        self.calls = calls::Found::default();
    }

    /// Numbers of the stack and of the operation.
    fn stack(
        &mut self,
        pipeline: &Pipeline,
        python: &Python,
        walk: &Walk,
        sites: &mut [Site],
    ) -> (Option<u32>, Option<u32>) {
        if sites.is_empty() {
            return (None, None);
        }
        let op = self.operation(pipeline, python, walk.frames(), sites);
        let op = op.or_else(|| self.function(pipeline, python, walk.frames(), sites));
        (Some(self.stack_number(pipeline, sites, walk.is_cut)), op)
    }

    /// Gives the frames of operations their names, and says which operation the program's own line called: of those
    /// inside that line the outermost, else the innermost outside.
    fn operation(
        &mut self,
        pipeline: &Pipeline,
        python: &Python,
        frames: &[Frame],
        sites: &mut [Site],
    ) -> Option<u32> {
        let (mut op, mut is_own_line_seen) = (None, false);
        for (frame, site) in frames.iter().zip(sites) {
            if !frame.operation.is_null() {
                // SAFETY: a text that the operation, which is being called, keeps alive.
                let name = unsafe { objects::text(python, frame.operation) };
                let name = self.text(pipeline, name.as_deref().unwrap_or(UNKNOWN));
                site.function = name;
                if !is_own_line_seen || op.is_none() {
                    op = Some(name);
                }
            } else if !site.is_runtime {
                is_own_line_seen = true;
            }
        }
        op
    }

    /// The runtime's public function that the program's own line calls.
    fn function(
        &mut self,
        pipeline: &Pipeline,
        python: &Python,
        frames: &[Frame],
        sites: &[Site],
    ) -> Option<u32> {
        let (frame, _) = frames.iter().zip(sites).find(|(_, site)| !site.is_runtime)?;
        // SAFETY: a frame of the calling thread.
        let name = unsafe { calls::called(python, frame.code, frame.at, &mut self.calls) }?;
        Some(self.text(pipeline, &name))
    }

    fn stack_number(&mut self, pipeline: &Pipeline, sites: &[Site], is_cut: bool) -> u32 {
        let mut key = known::Key::new();
        for site in sites {
            key.add(u64::from(site.file) << 32 | u64::from(site.function), u64::from(site.line));
        }
        key.add(u64::from(is_cut), 1);
        if let Some([number, ..]) = find(&self.stacks, key.words()) {
            return number;
        }
        self.n_stacks += 1;
        let stack = self.n_stacks;
        let frame = |site: &Site| tt_memtrace_wire::Frame {
            file: site.file,
            function: site.function,
            line: site.line,
        };
        let frames = sites.iter().map(frame).collect();
        pipeline.define(|_| Some(Line::Stack(Stack { stack, frames, is_cut })));
        add(&mut self.stacks, key.words(), [stack, 0, 0, 0]);
        stack
    }

    fn context(
        &mut self,
        pipeline: &Pipeline,
        op: Option<u32>,
        stack: Option<u32>,
        test: Option<u32>,
    ) -> u32 {
        let [first, second, third] = [op, stack, test].map(|number| u64::from(number.unwrap_or(0)));
        let key = [first << 32 | second, third];
        if let Some([number, ..]) = find(&self.contexts, key) {
            return number;
        }
        self.n_contexts += 1;
        let ctx = self.n_contexts;
        pipeline.define(|_| Some(Line::Context(Context { ctx, op, stack, test })));
        add(&mut self.contexts, key, [ctx, 0, 0, 0]);
        ctx
    }

    fn text(&mut self, pipeline: &Pipeline, value: &str) -> u32 {
        let mut key = known::Key::new();
        key.add(value.len() as u64, 0);
        for part in value.as_bytes().chunks(16) {
            let mut words = [0; 16];
            words[..part.len()].copy_from_slice(part);
            let both = u128::from_le_bytes(words);
            let [low, high] =
                [both & u128::from(u64::MAX), both >> 64].map(|half| u64::try_from(half).unwrap_or(0));
            key.add(low, high);
        }
        if let Some([number, ..]) = find(&self.texts, key.words()) {
            return number;
        }
        self.n_texts += 1;
        let text = self.n_texts;
        pipeline.define(|_| Some(Line::Text(Text { text, value: value.to_owned() })));
        add(&mut self.texts, key.words(), [text, 0, 0, 0]);
        text
    }

    /// The site of a frame that has so many around it.
    ///
    /// # Safety
    /// The frame is one of the calling thread's.
    #[inline(always)]
    unsafe fn site_at(&mut self, pipeline: &Pipeline, python: &Python, depth: usize, frame: &Frame) -> Site {
        let (code, at) = (frame.code.addr(), frame.at);
        if let Some(recent) = self.recent.get(depth)
            && (recent.code, recent.at) == (code, at)
        {
            return recent.site;
        }
        // SAFETY: the caller's contract.
        let site = unsafe { self.site(pipeline, python, frame) };
        self.recent[depth] = Recent { code, at, site };
        site
    }

    /// # Safety
    /// The frame is one of the calling thread's.
    #[inline(never)]
    unsafe fn site(&mut self, pipeline: &Pipeline, python: &Python, frame: &Frame) -> Site {
        let key = [frame.code.addr() as u64, u64::from(frame.at)];
        if let Some(site) = self.known_site(key) {
            return site;
        }
        // SAFETY: the caller's contract.
        let function = unsafe { self.function_site(pipeline, python, frame.code) };
        // SAFETY: the frame keeps its code alive.
        let line = unsafe { python.line(frame.code, frame.at) };
        self.add_site(key, Site { line, ..function })
    }

    /// All that is the same for each instruction of the function.
    ///
    /// # Safety
    /// The code is that of one of the calling thread's frames.
    unsafe fn function_site(&mut self, pipeline: &Pipeline, python: &Python, code: Object) -> Site {
        let key = [code.addr() as u64, ANY_INSTRUCTION];
        if let Some(site) = self.known_site(key) {
            return site;
        }
        codes::note_read(code);
        // SAFETY: the frame keeps its code alive, and that its texts.
        let [file, function] = [python.layout.code_file, python.layout.code_name]
            .map(|at| unsafe { code_text(python, code, at) });
        if function.ends_with("__call__")
            && let Some(folder) = file.strip_suffix(OPERATIONS)
        {
            let is_new = frames::note_operation(code) || self.folder.is_none();
            self.n_operations += u32::from(is_new);
            self.folder = Some(format!("{folder}/ttnn/").into());
        }
        let is_runtime = INSTALLED.iter().any(|folder| has(&file, folder))
            || self.folder.as_deref().is_some_and(|folder| file.starts_with(folder));
        let (file, function) = (self.text(pipeline, &file), self.text(pipeline, &function));
        self.add_site(key, Site { file, function, line: 0, is_runtime })
    }

    fn known_site(&self, key: [u64; 2]) -> Option<Site> {
        let [file, function, line, is_runtime] = find(&self.sites, key)?;
        Some(Site { file, function, line, is_runtime: is_runtime != 0 })
    }

    fn add_site(&mut self, key: [u64; 2], site: Site) -> Site {
        let Site { file, function, line, is_runtime } = site;
        add(&mut self.sites, key, [file, function, line, u32::from(is_runtime)]);
        site
    }
}

unsafe fn code_text(python: &Python, code: Object, at: usize) -> String {
    // SAFETY: the caller gives a live code object.
    let object = unsafe { read::<Object>(code, at) };
    // SAFETY: null or an object that the code keeps alive.
    unsafe { objects::text(python, object) }.unwrap_or_else(|| UNKNOWN.to_owned())
}

/// As `contains`, whose code for long texts is ten times as long.
fn has(text: &str, part: &str) -> bool {
    text.as_bytes().windows(part.len()).any(|window| window == part.as_bytes())
}

fn add(table: &mut Table, key: [u64; 2], value: [u32; 4]) {
    if table.len() >= MOST {
        table.clear();
    }
    table.insert(key, value);
}
