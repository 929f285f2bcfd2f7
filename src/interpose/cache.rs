//! The clearing of a mesh's program cache: what is freed meanwhile was held by cached programs.

use super::real::{Real, real};
use super::symbols::interposed;
use crate::{guard, pipeline};
use std::ffi::c_void;
use tt_memtrace_wire::Event;

/// What the shipped rules of the ledger look for.
const OP: &str = "clear_program_cache";

type Clear = unsafe extern "C-unwind" fn(*mut c_void);

/// `MeshDevice::clear_program_cache()`
#[unsafe(export_name = "_ZN2tt8tt_metal11distributed10MeshDevice19clear_program_cacheEv")]
extern "C-unwind" fn clear_program_cache(mesh: *mut c_void) {
    static REAL: Real<Clear> = real!(interposed::CLEAR_PROGRAM_CACHE as Clear);
    clear(&REAL, mesh);
}

/// `MeshDevice::disable_and_clear_program_cache()`
#[unsafe(export_name = "_ZN2tt8tt_metal11distributed10MeshDevice31disable_and_clear_program_cacheEv")]
extern "C-unwind" fn disable_and_clear_program_cache(mesh: *mut c_void) {
    static REAL: Real<Clear> = real!(interposed::DISABLE_AND_CLEAR_PROGRAM_CACHE as Clear);
    clear(&REAL, mesh);
}

fn clear(real: &Real<Clear>, mesh: *mut c_void) {
    let Some(real) = real.get() else { return };
    offer(&Event::OpBegin { name: OP.to_owned(), arguments: None });
    let op = Op;
    // SAFETY: the argument is passed on as it came.
    unsafe { real(mesh) };
    drop(op);
}

/// Ends the operation when it goes, also when an exception passes.
struct Op;

impl Drop for Op {
    fn drop(&mut self) {
        offer(&Event::OpEnd);
    }
}

fn offer(event: &Event) {
    guard::enter(|| {
        if let Some(pipeline) = pipeline::running_or_inherited() {
            pipeline.offer(event);
        }
    });
}
