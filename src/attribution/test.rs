//! The test that pytest runs: it sets a variable of the environment before each phase of a test, and unsets it
//! after. To look for the variable at each event would race with whoever changes the environment, so the functions
//! that do are interposed.

use crate::{guard, state};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

/// What pytest sets: `FILE::TEST (PHASE)`.
const VARIABLE: &CStr = c"PYTEST_CURRENT_TEST";

/// A test.
pub struct Test {
    /// Another one for each test that begins, from 1.
    pub number: u32,
    /// Its id.
    pub id: String,
}

/// Each is leaked: an event on another thread may be reading it.
static CURRENT: AtomicPtr<Test> = AtomicPtr::new(std::ptr::null_mut());
static NUMBER: AtomicU32 = AtomicU32::new(0);

/// The test that runs.
#[inline(always)]
pub fn current() -> Option<&'static Test> {
    // SAFETY: null or a leaked box.
    unsafe { CURRENT.load(Ordering::Acquire).as_ref() }
}

/// Sets a variable of the environment.
///
/// # Safety
/// As in C: both are null or texts that end in a zero byte.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn setenv(name: *const c_char, value: *const c_char, overwrite: c_int) -> c_int {
    type Setenv = unsafe extern "C" fn(*const c_char, *const c_char, c_int) -> c_int;
    static REAL: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
    let Some(real) = next(&REAL, c"setenv") else { return -1 };
    // SAFETY: its declaration in C.
    let real = unsafe { std::mem::transmute::<*mut c_void, Setenv>(real) };
    // SAFETY: the arguments are passed on as they came.
    let result = unsafe { real(name, value, overwrite) };
    // SAFETY: the caller's contract; it has set the variable, so both are texts.
    if result == 0 && unsafe { is_wanted(name) } {
        // SAFETY: as above.
        let value = unsafe { CStr::from_ptr(value) };
        guard::enter(|| begin(&value.to_string_lossy()));
    }
    result
}

/// Removes a variable from the environment.
///
/// # Safety
/// As in C: `name` is null or a text that ends in a zero byte.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn unsetenv(name: *const c_char) -> c_int {
    type Unsetenv = unsafe extern "C" fn(*const c_char) -> c_int;
    static REAL: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
    let Some(real) = next(&REAL, c"unsetenv") else { return -1 };
    // SAFETY: its declaration in C.
    let real = unsafe { std::mem::transmute::<*mut c_void, Unsetenv>(real) };
    // SAFETY: the argument is passed on as it came.
    let result = unsafe { real(name) };
    // SAFETY: the caller's contract; it has removed the variable, so it is a text.
    if result == 0 && unsafe { is_wanted(name) } {
        CURRENT.store(std::ptr::null_mut(), Ordering::Release);
    }
    result
}

/// # Safety
/// `name` is a text that ends in a zero byte.
unsafe fn is_wanted(name: *const c_char) -> bool {
    // SAFETY: the caller's contract.
    state::is_on() && unsafe { CStr::from_ptr(name) } == VARIABLE
}

/// The phases of a test are one test.
fn begin(value: &str) {
    let id = value.rsplit_once('(').and_then(|(id, _)| id.strip_suffix(' ')).unwrap_or(value);
    if current().is_none_or(|test| test.id != id) {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed) + 1;
        CURRENT.store(Box::into_raw(Box::new(Test { number, id: id.to_owned() })), Ordering::Release);
    }
}

/// The function of that name behind ours.
fn next(found: &AtomicPtr<c_void>, name: &CStr) -> Option<*mut c_void> {
    let mut real = found.load(Ordering::Acquire);
    if real.is_null() {
        // SAFETY: the name ends in a zero byte.
        real = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) };
        found.store(real, Ordering::Release);
    }
    (!real.is_null()).then_some(real)
}
