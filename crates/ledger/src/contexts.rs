//! What threads were doing when events happened: operation, call stack, test.

use crate::rules::Rules;
use rustc_hash::FxHashMap;
use tt_memtrace_wire::{Context, Stack, Text};

/// A context that a ledger knows. Unlike the number in a capture it stays the same in a forked child.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContextId(u32);

/// A line that was being executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallSite<'a> {
    /// The file's path.
    pub file: &'a str,
    /// The function's name; of an operation, the operation's.
    pub function: &'a str,
    /// The line in the file, from 1; 0 if it is not known.
    pub line: u32,
}

/// What a context means for the buffers that are allocated in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// The runtime opens a device.
    OpensDevice,
    /// The program uses one.
    Uses,
}

/// Every context of a capture, and of the parents of a forked child's. The memory is that of the definitions.
#[derive(Debug, Clone, Default)]
pub struct Contexts {
    texts: Vec<Box<str>>,
    stacks: Vec<Known>,
    contexts: Vec<Resolved>,
    /// From the numbers of this capture to the positions above.
    text_numbers: FxHashMap<u32, u32>,
    stack_numbers: FxHashMap<u32, u32>,
    context_numbers: FxHashMap<u32, u32>,
    /// The folders that hold the runtime's own Python files, each with a slash at its end.
    runtime_folders: Vec<Box<str>>,
}

#[derive(Debug, Clone)]
struct Known {
    /// File, function and line of each frame.
    frames: Box<[(u32, u32, u32)]>,
    is_cut: bool,
}

#[derive(Debug, Clone, Copy)]
struct Resolved {
    op: Option<u32>,
    stack: Option<u32>,
    test: Option<u32>,
    meaning: Meaning,
}

/// Where every operation is called: in the folder of the runtime's Python files.
const CALLS_OPERATIONS: &str = "/ttnn/decorators.py";

impl Contexts {
    /// The name of the operation, such as `ttnn.add`: the one that the program's own line called.
    pub fn op(&self, id: ContextId) -> Option<&str> {
        self.text(self.get(id)?.op?)
    }

    /// The id of the test.
    pub fn test(&self, id: ContextId) -> Option<&str> {
        self.text(self.get(id)?.test?)
    }

    /// The call stack, the innermost frame first; none if it is not known.
    pub fn frames(&self, id: ContextId) -> impl DoubleEndedIterator<Item = CallSite<'_>> {
        let stack = self.stack(id);
        stack.map(|stack| &*stack.frames).unwrap_or_default().iter().map(|frame| self.site(*frame))
    }

    /// The pytest fixture that was being set up: the function that pytest's own caller of fixtures had called.
    ///
    /// That caller is `call_fixture_func` of `_pytest/fixtures.py` (seen in pytest 7.2 and 9.2).
    pub fn fixture(&self, id: ContextId) -> Option<&str> {
        let mut called = None;
        for site in self.frames(id) {
            if site.function == "call_fixture_func" && site.file.ends_with("_pytest/fixtures.py") {
                return called;
            }
            called = Some(site.function);
        }
        None
    }

    /// Whether the stack had more frames, further out.
    pub fn is_cut(&self, id: ContextId) -> bool {
        self.stack(id).is_some_and(|stack| stack.is_cut)
    }

    /// The program's own line: the innermost one outside the runtime's Python files, or if there is none, the
    /// outermost.
    pub fn line(&self, id: ContextId) -> Option<CallSite<'_>> {
        let own = self.frames(id).find(|site| !self.is_runtime(site.file));
        own.or_else(|| self.frames(id).next_back())
    }

    pub(crate) fn meaning(&self, id: ContextId) -> Option<Meaning> {
        Some(self.get(id)?.meaning)
    }

    /// The context of a number in the capture that is being read; none for 0 and for a number nobody defined.
    pub fn find(&self, number: u32) -> Option<ContextId> {
        self.context_numbers.get(&number).copied().map(ContextId)
    }

    /// That of a number, if it tells an operation or a stack: a thread that runs no Python has only the test.
    pub(crate) fn telling(&self, number: u32) -> Option<ContextId> {
        let tells = |id: &ContextId| self.get(*id).is_some_and(|of| of.op.or(of.stack).is_some());
        self.find(number).filter(tells)
    }

    pub(crate) fn define_text(&mut self, text: &Text) {
        if let Some(folder) = text.value.strip_suffix(CALLS_OPERATIONS) {
            self.runtime_folders.push(format!("{folder}/ttnn/").into());
        }
        let position = position(&mut self.texts, text.value.as_str().into());
        self.text_numbers.insert(text.text, position);
    }

    pub(crate) fn define_stack(&mut self, stack: &Stack) {
        let text = |number| self.text_numbers.get(&number).copied().unwrap_or(u32::MAX);
        let frames = stack.frames.iter().map(|frame| (text(frame.file), text(frame.function), frame.line));
        let known = Known { frames: frames.collect(), is_cut: stack.is_cut };
        let position = position(&mut self.stacks, known);
        self.stack_numbers.insert(stack.stack, position);
    }

    pub(crate) fn define_context(&mut self, context: &Context, rules: &Rules) {
        let text = |number: Option<u32>| self.text_numbers.get(&number?).copied();
        let stack = context.stack.and_then(|number| self.stack_numbers.get(&number).copied());
        let (op, test) = (text(context.op), text(context.test));
        let opens = |site: CallSite<'_>| self.is_runtime(site.file) && rules.opens_device(site.function);
        let opens_device = op.and_then(|op| self.text(op)).is_some_and(|op| rules.opens_device(op))
            || self.frames_of(stack).any(opens);
        let meaning = if opens_device { Meaning::OpensDevice } else { Meaning::Uses };
        let position = position(&mut self.contexts, Resolved { op, stack, test, meaning });
        self.context_numbers.insert(context.ctx, position);
    }

    /// A forked child's capture has numbers of its own; what its parent's buffers refer to stays.
    pub(crate) fn enter_child(&mut self) {
        self.text_numbers.clear();
        self.stack_numbers.clear();
        self.context_numbers.clear();
    }

    fn get(&self, id: ContextId) -> Option<&Resolved> {
        self.contexts.get(id.0 as usize)
    }

    fn stack(&self, id: ContextId) -> Option<&Known> {
        self.stacks.get(self.get(id)?.stack? as usize)
    }

    fn frames_of(&self, stack: Option<u32>) -> impl Iterator<Item = CallSite<'_>> {
        let stack = stack.and_then(|stack| self.stacks.get(stack as usize));
        stack.into_iter().flat_map(|stack| stack.frames.iter().map(|frame| self.site(*frame)))
    }

    fn site(&self, (file, function, line): (u32, u32, u32)) -> CallSite<'_> {
        let text = |position| self.text(position).unwrap_or("?");
        CallSite { file: text(file), function: text(function), line }
    }

    fn text(&self, position: u32) -> Option<&str> {
        self.texts.get(position as usize).map(|text| &**text)
    }

    fn is_runtime(&self, file: &str) -> bool {
        let installed = ["/site-packages/ttnn/", "/dist-packages/ttnn/"];
        installed.iter().any(|folder| file.contains(folder))
            || self.runtime_folders.iter().any(|folder| file.starts_with(&**folder))
    }
}

/// Adds an item and gives its position.
fn position<T>(items: &mut Vec<T>, item: T) -> u32 {
    items.push(item);
    u32::try_from(items.len() - 1).unwrap_or(u32::MAX)
}
