//! Where the runtime's own functions are, found when they are first needed: at load time the runtime's
//! libraries are not there yet.
//!
//! Python loads them with `RTLD_LOCAL`, so neither `RTLD_NEXT` nor `RTLD_DEFAULT` sees them. A look-up that
//! came back with our own function would call itself for ever; that is checked.

use once_cell::race::OnceBox;
use std::ffi::{CStr, CString, c_int, c_void};
use std::marker::PhantomData;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// The libraries that have held the runtime: from 0.62 on, and before.
const LIBRARIES: [&CStr; 2] = [c"libtt_metal.so", c"_ttnncpp.so"];

/// The handle of the runtime's library.
static LIBRARY: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());

/// `real!(NAME as TYPE)`: the function of that name in the runtime, a [`Real`].
///
/// The type is the C++ declaration with its ABI written out: `this` first, a `std::vector` through a hidden first
/// argument, a reference as a pointer.
macro_rules! real {
    ($name:path as $type:ty) => {
        // SAFETY: the type stands beside the name, as the public source declares it and runs have shown it.
        unsafe { $crate::interpose::real::Real::<$type>::new($name) }
    };
}
pub(super) use real;

/// A symbol of the runtime as an `F`, a function pointer. Looked up once.
pub struct Real<F> {
    name: &'static CStr,
    found: AtomicPtr<c_void>,
    as_function: PhantomData<F>,
}

impl<F: Copy> Real<F> {
    /// # Safety
    /// `F` is the type of the function of that name, with the C++ ABI written out: `this` first.
    pub const unsafe fn new(name: &'static CStr) -> Self {
        Self { name, found: AtomicPtr::new(ptr::null_mut()), as_function: PhantomData }
    }

    /// The function, if the runtime has it.
    pub fn get(&self) -> Option<F> {
        let mut found = self.found.load(Ordering::Acquire);
        if found.is_null() {
            found = find_once(self.name, &self.found);
        }
        // SAFETY: a function pointer and a data pointer have the same size here, and `new` was promised that
        // the symbol is an `F`.
        (!found.is_null()).then(|| unsafe { std::mem::transmute_copy::<*mut c_void, F>(&found) })
    }
}

/// The address of an object of the runtime, or null.
pub fn object(name: &CStr) -> *const c_void {
    find(name)
}

/// Whether the runtime was built with our C++ adapter (`include/tt_memtrace.hpp`), which defines the marker in the
/// runtime's own library. Then its buffers, circular buffers and programs come through the C interface, and the hooks
/// for them are off: each event comes through one door.
///
/// Only the runtime's library and what that needs is asked: an extension with a marker of its own says nothing about
/// the runtime. The answer is the same at each call, whichever thread asks first: by the time the runtime calls a
/// hook, the library is there.
pub fn is_patched() -> bool {
    const MARKER: &CStr = c"tt_memtrace_patched_runtime";
    static ANSWER: OnceBox<bool> = OnceBox::new();
    *ANSWER.get_or_init(|| {
        let has_marker = |library| !symbol(library, MARKER).is_null();
        let function = find(super::symbols::interposed::TRACK_ALLOCATE);
        let holder = file_of(function).map_or(ptr::null_mut(), open_if_loaded);
        Box::new(has_marker(library()) || has_marker(holder))
    })
}

/// The path of the library that holds the runtime, once it is loaded.
pub fn library_path() -> Option<String> {
    let function = find(super::symbols::interposed::TRACK_ALLOCATE);
    if function.is_null() {
        return None;
    }
    Some(crate::process::text(file_of(function)?.to_bytes()))
}

#[cold]
#[inline(never)]
fn find_once(name: &CStr, place: &AtomicPtr<c_void>) -> *mut c_void {
    let found = find(name);
    place.store(found, Ordering::Release);
    found
}

fn find(name: &CStr) -> *mut c_void {
    let library = library();
    let known = symbol(library, name);
    if !known.is_null() { known } else { search_everything(name) }
}

fn library() -> *mut c_void {
    let known = LIBRARY.load(Ordering::Acquire);
    if !known.is_null() {
        return known;
    }
    let opened = LIBRARIES.iter().map(|name| open_if_loaded(name)).find(|handle| !handle.is_null());
    let opened = opened.unwrap_or(ptr::null_mut());
    LIBRARY.store(opened, Ordering::Release);
    opened
}

fn open_if_loaded(path: &CStr) -> *mut c_void {
    // SAFETY: the path ends in a zero byte; RTLD_NOLOAD loads nothing and runs no code.
    unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOLOAD | libc::RTLD_LAZY) }
}

/// The symbol in that library and those it needs; null if it is not there or is our own.
fn symbol(library: *mut c_void, name: &CStr) -> *mut c_void {
    if library.is_null() {
        return ptr::null_mut();
    }
    // SAFETY: the handle came from `dlopen` and is never closed; the name ends in a zero byte.
    let found = unsafe { libc::dlsym(library, name.as_ptr()) };
    if found.is_null() || file_of(found) == file_of(library_path as *mut c_void) {
        ptr::null_mut()
    } else {
        found
    }
}

/// Looks for the symbol in every loaded library: for a runtime whose library has yet another name.
fn search_everything(name: &CStr) -> *mut c_void {
    extern "C" fn note(info: *mut libc::dl_phdr_info, _: usize, paths: *mut c_void) -> c_int {
        // SAFETY: `paths` is the vector that is passed below, which outlives the walk.
        let paths = unsafe { &mut *paths.cast::<Vec<CString>>() };
        // SAFETY: the loader gives a valid description for the length of this call.
        let path = unsafe { (*info).dlpi_name };
        if !path.is_null() {
            // SAFETY: the loader's names end in a zero byte.
            paths.push(unsafe { CStr::from_ptr(path) }.to_owned());
        }
        0
    }
    let mut paths: Vec<CString> = Vec::new();
    // SAFETY: the callback matches what the loader calls and gets the vector it expects.
    unsafe { libc::dl_iterate_phdr(Some(note), (&raw mut paths).cast()) };
    let handles = paths.iter().filter(|path| !path.is_empty()).map(|path| open_if_loaded(path));
    handles.map(|handle| symbol(handle, name)).find(|found| !found.is_null()).unwrap_or(ptr::null_mut())
}

fn file_of(address: *mut c_void) -> Option<&'static CStr> {
    let mut info = std::mem::MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: `info` is a valid place for the answer; any address may be asked about.
    let found = unsafe { libc::dladdr(address, info.as_mut_ptr()) };
    if found == 0 {
        return None;
    }
    // SAFETY: `dladdr` said that it filled the answer; zeroed, it was valid before.
    let name = unsafe { info.assume_init() }.dli_fname;
    // SAFETY: the loader's names end in a zero byte and live as long as the library, which stays loaded.
    (!name.is_null()).then(|| unsafe { CStr::from_ptr(name) })
}
