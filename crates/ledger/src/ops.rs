//! Which named operations are open on which thread, so far as a class depends on it.

use crate::rules::Rules;

/// What an open operation means for the buffers that come and go in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    OpensDevice,
    ClearsCache,
    Uses,
}

/// Deeper nesting is counted, not told apart: no program nests so deep, but a damaged capture may.
const MAX_DEPTH: usize = 256;

#[derive(Debug, Clone, Default)]
struct Thread {
    tid: u32,
    /// The innermost last.
    open: Vec<Meaning>,
    n_deeper: u64,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Ops {
    /// The threads that have an operation open.
    threads: Vec<Thread>,
    /// Whether the capture tells of ops at all.
    pub(crate) are_recorded: bool,
}

impl Ops {
    /// Whether it puts everything there is to use.
    pub(crate) fn begin(&mut self, tid: u32, name: &str, rules: &Rules) -> bool {
        let meaning = if rules.clears_cache(name) {
            Meaning::ClearsCache
        } else if rules.opens_device(name) {
            Meaning::OpensDevice
        } else {
            self.are_recorded = true;
            Meaning::Uses
        };
        let at = self.threads.iter().position(|thread| thread.tid == tid).unwrap_or_else(|| {
            self.threads.push(Thread { tid, ..Thread::default() });
            self.threads.len() - 1
        });
        let thread = &mut self.threads[at];
        if thread.open.len() < MAX_DEPTH {
            thread.open.push(meaning)
        } else {
            thread.n_deeper += 1
        }
        meaning == Meaning::Uses
    }

    pub(crate) fn end(&mut self, tid: u32) {
        let Some(at) = self.threads.iter().position(|thread| thread.tid == tid) else { return };
        let thread = &mut self.threads[at];
        if thread.n_deeper > 0 {
            thread.n_deeper -= 1;
        } else {
            thread.open.pop();
        }
        if thread.open.is_empty() {
            self.threads.swap_remove(at);
        }
    }

    pub(crate) fn is_open(&self, tid: u32) -> bool {
        self.is_inside(tid, Meaning::Uses)
    }

    pub(crate) fn opens_device(&self, tid: u32) -> bool {
        self.is_inside(tid, Meaning::OpensDevice)
    }

    pub(crate) fn clears_cache(&self, tid: u32) -> bool {
        self.is_inside(tid, Meaning::ClearsCache)
    }

    fn is_inside(&self, tid: u32, meaning: Meaning) -> bool {
        self.threads.iter().any(|thread| thread.tid == tid && thread.open.contains(&meaning))
    }
}
