//! The protocol of the earlier tracking server, whose patched runtimes, monitors and scripts still speak it: records of
//! a fixed size, back to back, without length, version or check sum. There are four sizes, one per generation of the
//! protocol; a peer does not say which one it uses. `docs/legacy.md` is the same in prose.

mod decoder;
mod record;

pub use decoder::{Decoder, Found, Trouble};
pub use record::{DeviceFacts, Message, NoRecord, Record, RecordSize, RingBuffer, Totals};
