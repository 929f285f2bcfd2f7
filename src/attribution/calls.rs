//! Which function a line is calling, from its instructions: for calls that are no frame, as those of the runtime's
//! functions that are made in C++. Only plain dotted names that begin with the runtime's module are read, and nothing
//! where an argument holds a branch.

use super::objects;
use super::python::{Object, Python, read};

/// The module whose functions are named.
const MODULE: &str = "ttnn";
/// More of a function's instructions than this are not read; they are read from its beginning.
const FARTHEST: u16 = 1 << 15;
/// A call whose arguments take more instructions than this is not looked at.
const NEAR: usize = 256;
/// A dotted name has at most so many parts.
const MOST_PARTS: usize = 8;

/// Parts of a tuple and of a byte string.
const TUPLE_ITEMS: usize = 24;
const SIZE: usize = 16;
const BYTES: usize = 32;

/// How the code objects of a release keep their instructions.
pub struct Instructions {
    /// Where the names are that instructions number.
    names: usize,
    start: Start,
    decode: fn(u8) -> Op,
    /// How many units behind each instruction are its cache. Empty if none has one.
    caches: &'static [u8],
}

enum Start {
    /// In a byte string, which lies there.
    Bytes(usize),
    /// In the code object itself.
    Inside(usize),
}

/// What an instruction does to the stack of values.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Op {
    /// Takes so many and leaves so many.
    Moves(u32, u32),
    /// Takes as many as its argument says, each so many times, and so many more; leaves one.
    Builds(u32, u32),
    /// Calls: takes as many arguments as its argument says and so many more values. What is called, or what it is a
    /// method of, is below the arguments and so many of those.
    Calls(u32, u32),
    /// Calls with a tuple and perhaps a dictionary, on top of what is called; takes so many without the latter.
    CallsWithBoth(u32),
    /// Loads the global with that name; the argument is shifted by so many bits, which say that an empty value comes first.
    Global(u32),
    /// Replaces a value by its attribute; shifted likewise: then the value stays.
    Attribute(u32),
    /// Replaces a value by its method and itself.
    Method,
    /// Formats one value, or two if the third bit is set.
    Formats,
    /// The argument goes on in the next instruction.
    Extended,
    /// Whatever else: a branch, a store.
    Other,
}

/// An instruction, and how many units behind it are its cache.
type Decoded = (Op, u8);
/// The cache of an instruction behind which nobody knows what stands.
const NO_END: u8 = u8::MAX;

pub const OF_3_10: Instructions = Instructions {
    names: 64,
    start: Start::Bytes(48),
    decode: |code| match code {
        9 => Op::Moves(0, 0),
        100 | 124 | 135 | 136 => Op::Moves(0, 1),
        10 | 11 | 12 | 15 | 82 => Op::Moves(1, 1),
        16 | 19 | 20 | 22..=27 | 62..=66 | 107 | 117 | 118 => Op::Moves(2, 1),
        162..=165 => Op::Moves(1, 0),
        102..=104 | 133 | 157 => Op::Builds(1, 0),
        105 => Op::Builds(2, 0),
        156 => Op::Builds(1, 1),
        155 => Op::Formats,
        131 => Op::Calls(1, 0),
        141 | 161 => Op::Calls(2, 1),
        142 => Op::CallsWithBoth(2),
        101 | 116 => Op::Global(0),
        106 => Op::Attribute(0),
        160 => Op::Method,
        144 => Op::Extended,
        _ => Op::Other,
    },
    caches: &[],
};

pub const OF_3_12: Instructions = Instructions {
    names: 32,
    start: Start::Inside(192),
    decode: |code| decode_3_12(code).0,
    caches: &CACHES_OF_3_12,
};

const CACHES_OF_3_12: [u8; 256] = {
    let (mut caches, mut code) = ([0; 256], 0_u8);
    loop {
        caches[code as usize] = decode_3_12(code).1;
        if code == u8::MAX {
            break caches;
        }
        code += 1;
    }
};

const fn decode_3_12(code: u8) -> Decoded {
    // Adaptive instructions stand beside the ones they are forms of.
    match code {
        9 | 172 => (Op::Moves(0, 0), 0),
        2 | 84 | 86 | 88 | 100 | 124 | 127 | 136 | 137 => (Op::Moves(0, 1), 0),
        11 | 12 | 15 | 173 => (Op::Moves(1, 1), 0),
        6..=8 | 10 | 13 | 14 | 16 | 18 | 122 => (Op::Moves(2, 1), 1),
        19..=22 | 25 => (Op::Moves(2, 1), 1),
        57..=59 | 107 => (Op::Moves(2, 1), 1),
        117 | 118 => (Op::Moves(2, 1), 0),
        26 => (Op::Moves(3, 1), 0),
        162..=165 => (Op::Moves(1, 0), 0),
        102..=104 | 133 | 157 => (Op::Builds(1, 0), 0),
        105 => (Op::Builds(2, 0), 0),
        156 => (Op::Builds(1, 1), 0),
        155 => (Op::Formats, 0),
        23 | 24 | 28 | 29 | 34 | 38..=48 | 56 | 171 => (Op::Calls(2, 0), 3),
        142 => (Op::CallsWithBoth(3), 0),
        101 => (Op::Global(0), 0),
        111 | 112 | 116 => (Op::Global(1), 4),
        70 | 72 | 73 | 76..=82 | 106 => (Op::Attribute(1), 9),
        144 => (Op::Extended, 0),
        // Others that have a cache, so that the next instruction is found.
        60 | 62..=67 | 92 | 93 | 123 | 141 | 159..=161 | 166..=168 => (Op::Other, 1),
        95 | 113 | 148 | 153 => (Op::Other, 4),
        // Forms that a debugger or a profiler puts in the place of others.
        237.. => (Op::Other, NO_END),
        _ => (Op::Other, 0),
    }
}

#[derive(Clone, Copy)]
struct Step {
    op: Op,
    argument: u32,
}

/// Which units of a function are instructions: others are caches, so that can only be told from the function's beginning.
/// It is kept, because the next call that is asked for is nearly always further on in the same function.
pub struct Found {
    /// The code object; 0 at first.
    code: usize,
    /// The last ones of those found so far, and how many those are.
    ring: [u16; NEAR],
    n: usize,
    /// The one behind them.
    next: u16,
}

impl Default for Found {
    fn default() -> Self {
        Self { code: 0, ring: [0; NEAR], n: 0, next: 0 }
    }
}

impl Found {
    /// Finds the instructions before the unit `last`. False if that is none.
    ///
    /// # Safety
    /// `start` is where the instructions of the code object begin, one of which is at `last`.
    unsafe fn find(&mut self, caches: &[u8], code: Object, start: Object, last: u16) -> bool {
        if self.code != code.addr() || self.next > last {
            (self.code, self.n, self.next) = (code.addr(), 0, 0);
        }
        while self.next < last {
            // SAFETY: the caller's contract.
            let code = unsafe { read::<u8>(start, 2 * usize::from(self.next)) };
            let cache = caches.get(usize::from(code)).copied().unwrap_or(0);
            if cache == NO_END {
                return false;
            }
            self.ring[self.n % NEAR] = self.next;
            self.n += 1;
            self.next += 1 + u16::from(cache);
        }
        self.next == last
    }
}

/// The instructions up to a call, which are read backwards.
struct Steps<'a> {
    found: &'a Found,
    decode: fn(u8) -> Op,
    /// Where the function's instructions begin.
    start: Object,
    /// The next one that is read; none behind the first.
    unit: Option<u16>,
    /// So many were found before it.
    n: usize,
}

impl Steps<'_> {
    /// # Safety
    /// The code object is still there.
    unsafe fn back(&mut self) -> Option<Step> {
        // SAFETY: the caller's contract.
        let (op, mut argument) = unsafe { self.read(self.unit?) };
        let mut shift = 8;
        loop {
            self.unit = match self.n.checked_sub(1) {
                None => None,
                // No longer known. It may belong to the argument.
                Some(n) if self.found.n - n > NEAR => return None,
                Some(n) => {
                    self.n = n;
                    Some(self.found.ring[n % NEAR])
                }
            };
            // SAFETY: as above.
            match self.unit.map(|unit| unsafe { self.read(unit) }) {
                Some((Op::Extended, more)) => argument |= more.wrapping_shl(shift),
                _ => return Some(Step { op, argument }),
            }
            shift += 8;
        }
    }

    unsafe fn read(&self, unit: u16) -> (Op, u32) {
        // SAFETY: an instruction up to the one that is being executed.
        let [code, argument] = unsafe { read::<[u8; 2]>(self.start, 2 * usize::from(unit)) };
        ((self.decode)(code), u32::from(argument))
    }
}

/// The name of what is being called, such as `ttnn.distribute_tensor`, if it is a function of the runtime.
///
/// # Safety
/// `code` is the code of a frame of the calling thread, which is at byte `at`. None that `found` knows has ended.
pub unsafe fn called(python: &Python, code: Object, at: u32, found: &mut Found) -> Option<String> {
    let Instructions { start, decode, caches, .. } = &python.layout.instructions;
    let start = match *start {
        Start::Inside(start) => code.wrapping_add(start),
        // SAFETY: a code object has its instructions there.
        Start::Bytes(start) => unsafe { read::<Object>(code, start) }.wrapping_add(BYTES),
    };
    let last = u16::try_from(at / 2).ok().filter(|last| *last <= FARTHEST)?;
    // SAFETY: the caller's contract.
    if !unsafe { found.find(caches, code, start, last) } {
        return None;
    }
    let mut steps = Steps { found, decode: *decode, start, unit: Some(last), n: found.n };
    // SAFETY: as above.
    let call = unsafe { steps.back() }?;
    let above = match call.op {
        Op::Calls(_, more) => call.argument + more,
        Op::CallsWithBoth(_) => 1 + (call.argument & 1),
        _ => return None,
    };
    // SAFETY: as above.
    unsafe { name(python, code, &mut steps, above) }
}

/// The dotted name of the value under so many others.
unsafe fn name(python: &Python, code: Object, steps: &mut Steps<'_>, mut above: u32) -> Option<String> {
    let mut step;
    loop {
        // SAFETY: the caller's contract.
        step = unsafe { steps.back() }?;
        let (takes, leaves) = step.effect()?;
        if above < leaves {
            break;
        }
        above = above - leaves + takes;
    }
    let mut parts: Vec<String> = Vec::new();
    while parts.len() < MOST_PARTS {
        let number = match step.op {
            Op::Global(shift) | Op::Attribute(shift) => step.argument >> shift,
            Op::Method => step.argument,
            _ => return None,
        };
        // SAFETY: the caller's contract.
        parts.push(unsafe { numbered(python, code, number) }?);
        if matches!(step.op, Op::Global(_)) {
            break;
        }
        // SAFETY: the caller's contract.
        step = unsafe { steps.back() }?;
    }
    (parts.len() > 1 && parts.last().is_some_and(|root| root == MODULE)).then(|| {
        parts.reverse();
        parts.join(".")
    })
}

impl Step {
    fn effect(self) -> Option<(u32, u32)> {
        let argument = self.argument;
        Some(match self.op {
            Op::Moves(takes, leaves) => (takes, leaves),
            Op::Builds(each, more) => (each * argument + more, 1),
            Op::Calls(more, _) => (argument + more, 1),
            Op::CallsWithBoth(more) => (more + (argument & 1), 1),
            Op::Global(shift) => (0, 1 + (argument & shift)),
            Op::Attribute(shift) => (1, 1 + (argument & shift)),
            Op::Method => (1, 2),
            Op::Formats => (1 + (argument >> 2 & 1), 1),
            Op::Extended | Op::Other => return None,
        })
    }
}

/// A name of the code object.
unsafe fn numbered(python: &Python, code: Object, number: u32) -> Option<String> {
    // SAFETY: the caller gives a code object.
    let names = unsafe { read::<Object>(code, python.layout.instructions.names) };
    // SAFETY: it has a tuple of names.
    if number as usize >= unsafe { read::<usize>(names, SIZE) } {
        return None;
    }
    // SAFETY: as many items as its size.
    let name = unsafe { read::<Object>(names, TUPLE_ITEMS + 8 * number as usize) };
    // SAFETY: a name is a text.
    unsafe { objects::text(python, name) }
}
