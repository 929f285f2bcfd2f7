//! The frames of the calling thread, and the key that stands for them.

use super::codes;
use super::known::Key;
use super::objects;
use super::python::{Instruction, Layout, Object, Python, read};
use super::test::Test;
use crate::state;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// Frames further out are left away.
pub const MOST_FRAMES: usize = 32;

/// A frame in 3.10 whose first instruction is still to come: what traces calls is told of it before.
pub const NOT_BEGUN: u32 = u32::MAX;

/// The codes of `FastOperation.__call__` and `Operation.__call__`, once they were seen: `self` is the operation.
static OPERATIONS: [AtomicPtr<u8>; 2] = [const { AtomicPtr::new(ptr::null_mut()) }; 2];

/// A frame.
#[derive(Clone, Copy)]
pub struct Frame {
    pub code: Object,
    /// The instruction, in bytes from the first, or [`NOT_BEGUN`].
    pub at: u32,
    /// If it is the call of an operation: the text with its name.
    pub operation: Object,
}

/// What a thread is doing.
pub struct Walk {
    /// Stands for all of it. Equal keys are equal stacks, operations and tests of one generation.
    pub key: Key,
    /// The number that [`codes::generation`] had before the first frame was read.
    pub generation: u32,
    /// The test that runs.
    pub test: Option<&'static Test>,
    /// Whether there are more frames, further out.
    pub is_cut: bool,
    frames: [MaybeUninit<Frame>; MOST_FRAMES],
    n: usize,
}

impl Walk {
    /// The calling thread's.
    #[inline]
    pub fn here(python: &Python, test: Option<&'static Test>) -> Self {
        let generation = codes::generation();
        let mut key = Key::new();
        key.add(
            u64::from(generation) << 32 | u64::from(state::generation()),
            test.map_or(0, |test| u64::from(test.number)),
        );
        let frames = [const { MaybeUninit::uninit() }; MOST_FRAMES];
        let mut walk = Self { key, generation, test, is_cut: false, frames, n: 0 };
        let thread = python.thread_state();
        if !thread.is_null() {
            // SAFETY: the state of the calling thread.
            let innermost = unsafe { innermost(python.layout, thread) };
            // SAFETY: the frames of the calling thread stand still while it is here.
            unsafe { walk.follow(python, innermost) };
        }
        walk
    }

    /// Whether nothing is known of the thread.
    pub fn is_empty(&self) -> bool {
        self.n == 0 && self.test.is_none()
    }

    /// The frames, the innermost first.
    pub fn frames(&self) -> &[Frame] {
        let first = self.frames.as_ptr().cast::<Frame>();
        // SAFETY: so many were written.
        unsafe { std::slice::from_raw_parts(first, self.n) }
    }

    /// # Safety
    /// `frame` is null or a frame of the calling thread.
    #[inline(always)]
    unsafe fn follow(&mut self, python: &Python, mut frame: Object) {
        let layout = python.layout;
        let [first, second] =
            [&OPERATIONS[0], &OPERATIONS[1]].map(|code| code.load(Ordering::Acquire).cast_const());
        while !frame.is_null() {
            // SAFETY: a frame of the calling thread.
            let (code, at) = unsafe { position(layout, frame) };
            // SAFETY: as above.
            let back = unsafe { read::<Object>(frame, layout.frame_back) };
            if let Some(at) = at {
                if self.n == MOST_FRAMES {
                    self.is_cut = true;
                    break;
                }
                self.key.add(code.addr() as u64, u64::from(at) + 1);
                let mut operation = ptr::null();
                if code == first || code == second {
                    // SAFETY: a frame has room for its locals, and `__call__` has at least `self`, which lives as
                    // long as the call. A local is null or an object in any case.
                    operation = unsafe { operation_of(python, frame) };
                    // SAFETY: null or a text.
                    let (text, content) = unsafe { objects::identity(python, operation) };
                    self.key.add(text, content);
                }
                self.frames[self.n].write(Frame { code, at, operation });
                self.n += 1;
            }
            frame = back;
        }
        self.key.add(u64::from(self.is_cut), 0);
    }
}

/// # Safety
/// `thread` is the calling thread's state.
#[inline(always)]
unsafe fn innermost(layout: &Layout, thread: Object) -> Object {
    // SAFETY: the caller's contract.
    let frame = unsafe { read::<Object>(thread, layout.thread_frame) };
    if layout.has_c_frame && !frame.is_null() {
        // SAFETY: a C frame begins with the frame.
        return unsafe { read::<Object>(frame, 0) };
    }
    frame
}

/// The frame's code, and the instruction it is at; none for a frame that is C's own.
#[inline(always)]
unsafe fn position(layout: &Layout, frame: Object) -> (Object, Option<u32>) {
    // SAFETY: the caller gives a frame.
    let code = unsafe { read::<Object>(frame, layout.frame_code) };
    let at = match layout.instruction {
        Instruction::Number { at } => {
            // SAFETY: as above.
            let number = unsafe { read::<i32>(frame, at) };
            Some(u32::try_from(number).map_or(NOT_BEGUN, |number| 2 * number))
        }
        Instruction::Pointer { at, code_start, owner, owned_by_c } => {
            // SAFETY: as above.
            if unsafe { read::<u8>(frame, owner) } == owned_by_c {
                None
            } else {
                // SAFETY: as above.
                let pointer = unsafe { read::<usize>(frame, at) };
                u32::try_from(pointer.wrapping_sub(code.addr() + code_start)).ok()
            }
        }
    };
    (code, at)
}

unsafe fn operation_of(python: &Python, frame: Object) -> Object {
    // SAFETY: the caller gives a frame whose code has a local variable.
    let object = unsafe { read::<Object>(frame, python.layout.frame_local) };
    // SAFETY: a local is null or a live object.
    unsafe { objects::operation_name(python, object) }
}

/// From now on, frames of this code are calls of operations. True if that is new.
pub fn note_operation(code: Object) -> bool {
    let is_free = |place: &&AtomicPtr<u8>| place.load(Ordering::Relaxed).is_null();
    let is_known = OPERATIONS.iter().any(|place| place.load(Ordering::Relaxed).cast_const() == code);
    let place = OPERATIONS.iter().find(is_free).filter(|_| !is_known);
    place.inspect(|place| place.store(code.cast_mut(), Ordering::Release)).is_some()
}

/// The code objects may be others by now.
pub fn forget_operations() {
    for place in &OPERATIONS {
        place.store(ptr::null_mut(), Ordering::Release);
    }
}
