//! Captures of many events, read quickly and kept small; and the command that recovers them.
#![allow(dead_code, unused_imports, reason = "each test file uses a part of this")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it is surprised")]

mod reader;
mod tool;

pub use reader::{Kind, Long, u64s};
pub use tool::{recover, tool};
