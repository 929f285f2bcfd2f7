//! The Python in this process: whether its objects lie as we know them, and the few functions that are called.
//!
//! Object layouts are private to each release of CPython and do not change within one. Those of 3.10 and 3.12, which
//! ttnn is made for, are known from their public headers (`Include/cpython/frameobject.h`, `code.h`, `pystate.h`,
//! `internal/pycore_frame.h`, `pycore_dict.h`).

use super::calls::{self, Instructions};
use super::codes;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// Any object of Python's, or another of its structures.
pub type Object = *const u8;

/// Where things lie in the structures of one release, in bytes.
pub struct Layout {
    /// What `Py_GetVersion` begins with.
    version: &'static [u8],
    /// The sizes of the two types that say whether this is the usual build.
    code_size: usize,
    frame_size: usize,
    /// The thread state's frame, or its C frame, which begins with the frame.
    pub thread_frame: usize,
    pub has_c_frame: bool,
    pub frame_back: usize,
    pub frame_code: usize,
    /// The first local variable.
    pub frame_local: usize,
    pub instruction: Instruction,
    pub code_file: usize,
    pub code_name: usize,
    /// Where the characters of a text begin, ASCII or others.
    pub ascii: usize,
    pub wide: usize,
    pub attributes: Attributes,
    pub instructions: Instructions,
}

/// How a frame says where it is.
#[derive(Clone, Copy)]
pub enum Instruction {
    /// By the number of the instruction, two bytes each.
    Number { at: usize },
    /// By a pointer to it, behind a header of the code; one byte says whether the frame is C's own.
    Pointer { at: usize, code_start: usize, owner: usize, owned_by_c: u8 },
}

/// How an instance keeps its attributes.
#[derive(Clone, Copy)]
pub enum Attributes {
    /// In a dict, whose place in the instance the type tells.
    Dict { type_dict_offset: usize },
    /// In values that the type has the keys for, or in a dict: a word in front of the instance tells.
    Managed { type_flags: usize, managed: u64, before: usize, type_keys: usize },
}

const LAYOUTS: [Layout; 2] = [
    Layout {
        version: b"3.10.",
        code_size: 176,
        frame_size: 360,
        thread_frame: 24,
        has_c_frame: false,
        frame_back: 24,
        frame_code: 32,
        frame_local: 352,
        instruction: Instruction::Number { at: 96 },
        code_file: 104,
        code_name: 112,
        ascii: 48,
        wide: 72,
        attributes: Attributes::Dict { type_dict_offset: 288 },
        instructions: calls::OF_3_10,
    },
    Layout {
        version: b"3.12.",
        code_size: 192,
        frame_size: 120,
        thread_frame: 56,
        has_c_frame: true,
        frame_back: 8,
        frame_code: 0,
        frame_local: 72,
        instruction: Instruction::Pointer { at: 56, code_start: 192, owner: 70, owned_by_c: 3 },
        code_file: 112,
        code_name: 128,
        ascii: 40,
        wide: 56,
        attributes: Attributes::Managed { type_flags: 168, managed: 1 << 4, before: 24, type_keys: 880 },
        instructions: calls::OF_3_12,
    },
];

/// Parts of a type object, the same in every release.
const TYPE_NAME: usize = 24;
const TYPE_SIZE: usize = 32;

/// A Python whose frames can be read.
pub struct Python {
    pub layout: &'static Layout,
    /// `PyUnicode_Type`.
    pub text_type: Object,
    /// `PyGILState_GetThisThreadState`: answers also when the GIL is released.
    thread_state: unsafe extern "C" fn() -> Object,
    /// `_Py_IsFinalizing`.
    is_finalizing: unsafe extern "C" fn() -> c_int,
    /// `PyCode_Addr2Line`: only reads the code's table.
    line: unsafe extern "C" fn(Object, c_int) -> c_int,
}

// SAFETY: function pointers, and a pointer to a static object of which only the address is used.
unsafe impl Send for Python {}
// SAFETY: as above.
unsafe impl Sync for Python {}

/// Leaked: used until the very end.
static FOUND: AtomicPtr<Python> = AtomicPtr::new(ptr::null_mut());

/// The Python of this process, once [`find`] has found it.
#[inline(always)]
pub fn found() -> Option<&'static Python> {
    // SAFETY: null or a leaked box.
    unsafe { FOUND.load(Ordering::Acquire).as_ref() }
}

/// Looks for a Python whose frames can be read.
pub fn find() -> bool {
    if found().is_none()
        && let Some(python) = look()
    {
        FOUND.store(Box::into_raw(Box::new(python)), Ordering::Release);
    }
    found().is_some()
}

fn look() -> Option<Python> {
    let version = symbol(c"Py_GetVersion")?;
    // SAFETY: in every release it takes nothing and returns a static text.
    let version = unsafe { std::mem::transmute::<*mut c_void, extern "C" fn() -> *const c_char>(version) }();
    // SAFETY: a static text that ends in a zero byte.
    let version = unsafe { CStr::from_ptr(version) }.to_bytes();
    let layout = LAYOUTS.iter().find(|layout| version.starts_with(layout.version))?;
    // A build for debugging references, in which every object begins with two words more.
    if symbol(c"_Py_PrintReferences").is_some() {
        return None;
    }
    let (code_type, frame_type) = (symbol(c"PyCode_Type")?, symbol(c"PyFrame_Type")?);
    // SAFETY: these symbols are type objects in every release.
    let are_usual = unsafe { is_type(code_type, c"code", layout.code_size) };
    // SAFETY: as above.
    if !are_usual || !unsafe { is_type(frame_type, c"frame", layout.frame_size) } {
        return None;
    }
    let (thread_state, is_finalizing) =
        (symbol(c"PyGILState_GetThisThreadState")?, symbol(c"_Py_IsFinalizing")?);
    let line = symbol(c"PyCode_Addr2Line")?;
    codes::watch(code_type.cast());
    Some(Python {
        layout,
        text_type: symbol(c"PyUnicode_Type")?.cast_const().cast(),
        // SAFETY: its declaration in these releases.
        thread_state: unsafe {
            std::mem::transmute::<*mut c_void, unsafe extern "C" fn() -> Object>(thread_state)
        },
        // SAFETY: as above.
        is_finalizing: unsafe {
            std::mem::transmute::<*mut c_void, unsafe extern "C" fn() -> c_int>(is_finalizing)
        },
        // SAFETY: as above.
        line: unsafe {
            std::mem::transmute::<*mut c_void, unsafe extern "C" fn(Object, c_int) -> c_int>(line)
        },
    })
}

fn symbol(name: &CStr) -> Option<*mut c_void> {
    // SAFETY: the name ends in a zero byte.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    (!found.is_null()).then_some(found)
}

/// # Safety
/// `object` is a type object.
unsafe fn is_type(object: *mut c_void, name: &CStr, size: usize) -> bool {
    // SAFETY: the caller's contract.
    let its_name = unsafe { read::<*const c_char>(object.cast_const().cast(), TYPE_NAME) };
    // SAFETY: a type's name is a text that ends in a zero byte.
    let its_name = unsafe { CStr::from_ptr(its_name) };
    // SAFETY: the caller's contract.
    its_name == name && unsafe { read::<usize>(object.cast_const().cast(), TYPE_SIZE) } == size
}

impl Python {
    /// The state of the calling thread; null if it runs no Python, or Python is coming to its end: then the states of
    /// threads go away while they run.
    #[inline(always)]
    pub fn thread_state(&self) -> Object {
        // SAFETY: may be called at any time, on any thread.
        if unsafe { (self.is_finalizing)() } != 0 {
            return ptr::null();
        }
        // SAFETY: as above.
        unsafe { (self.thread_state)() }
    }

    /// The line of an instruction of a code object; 0 if it has none. Before the first one, that of its definition.
    ///
    /// # Safety
    /// `code` is a code object that the calling thread keeps alive.
    pub unsafe fn line(&self, code: Object, at: u32) -> u32 {
        // SAFETY: the caller's contract.
        let line = unsafe { (self.line)(code, c_int::try_from(at).unwrap_or(-1)) };
        u32::try_from(line).unwrap_or(0)
    }
}

/// # Safety
/// A `T` lies there.
#[inline(always)]
pub unsafe fn read<T: Copy>(object: Object, at: usize) -> T {
    // SAFETY: the caller's contract.
    let place = unsafe { object.add(at) };
    // SAFETY: the caller's contract.
    unsafe { place.cast::<T>().read_unaligned() }
}
