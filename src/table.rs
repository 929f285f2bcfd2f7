//! A small hash table with numbers in it. One type for all there are, which is a fraction of the code.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// By two words, four numbers.
pub type Table = HashMap<[u64; 2], [u32; 4], BuildHasherDefault<Fold>>;

/// What stands there, if anything does.
#[inline(never)]
pub fn find(table: &Table, key: [u64; 2]) -> Option<[u32; 4]> {
    table.get(&key).copied()
}

/// A short hash: the tables are small, and nobody means harm with what is in them.
#[derive(Default)]
pub struct Fold(u64);

impl Hasher for Fold {
    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 32
    }

    fn write(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            self.write_u64(u64::from_ne_bytes(word));
        }
    }

    fn write_usize(&mut self, _: usize) {
        // The length of a key, which is always the same.
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}
