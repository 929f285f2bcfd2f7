//! The numbers of contexts that were defined, by their keys: a table that is read without a lock.

use std::sync::atomic::{AtomicU64, Ordering};

const PLACES: usize = 1 << 13;
/// A key is in one of so many places.
const NEAR: usize = 8;

/// Stands for everything that makes a context: 96 bits of it are compared.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key {
    a: u64,
    b: u64,
}

impl Key {
    pub fn new() -> Self {
        Self { a: 0x243f_6a88_85a3_08d3, b: 0x1319_8a2e_0370_7344 }
    }

    /// Folds two words in: a multiplication of 64 by 64 bits, whose halves are laid over each other.
    #[inline(always)]
    pub fn add(&mut self, x: u64, y: u64) {
        let product = u128::from(self.a ^ x) * u128::from(y ^ 0xa409_3822_299f_31d0);
        let [low, high] =
            [product & u128::from(u64::MAX), product >> 64].map(|half| u64::try_from(half).unwrap_or(0));
        self.a = low ^ high ^ x.rotate_left(32);
        self.b = (self.b.rotate_left(23) ^ x).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ y;
    }

    /// All of it.
    pub fn words(self) -> [u64; 2] {
        [self.a, self.b]
    }

    /// The word that is looked for; 0 is an empty place.
    fn word(self) -> u64 {
        self.a.max(1)
    }

    /// The half of the other word that stands beside the number.
    fn check(self) -> u64 {
        self.b.wrapping_mul(0xc2b2_ae3d_27d4_eb4f) >> 32
    }
}

struct Place {
    word: AtomicU64,
    /// The check in the upper half, the number in the lower: both are read at once.
    rest: AtomicU64,
}

static TABLE: [Place; PLACES] =
    [const { Place { word: AtomicU64::new(0), rest: AtomicU64::new(0) } }; PLACES];

#[inline]
fn near(key: Key) -> impl Iterator<Item = &'static Place> {
    let start = usize::try_from(key.word() >> 32).unwrap_or(0);
    (0..NEAR).map(move |i| &TABLE[(start + i) % PLACES])
}

/// The number of a context, if it is there.
#[inline]
pub fn find(key: Key) -> Option<u32> {
    for place in near(key) {
        match place.word.load(Ordering::Acquire) {
            0 => return None,
            word if word == key.word() => {
                let rest = place.rest.load(Ordering::Acquire);
                if rest >> 32 == key.check() {
                    return u32::try_from(rest & 0xffff_ffff).ok();
                }
            }
            _ => {}
        }
    }
    None
}

/// Adds a number; where there is no room, an old one goes. By one thread at a time.
pub fn insert(key: Key, number: u32) {
    let is_free = |place: &&Place| matches!(place.word.load(Ordering::Relaxed), 0) || holds(place, key);
    let old = || &TABLE[(usize::try_from(key.word() >> 32).unwrap_or(0) + number as usize % NEAR) % PLACES];
    let place = near(key).find(is_free).unwrap_or_else(old);
    // The check tells a word and a number apart that are not of one key.
    place.rest.store(key.check() << 32 | u64::from(number), Ordering::Release);
    place.word.store(key.word(), Ordering::Release);
}

fn holds(place: &Place, key: Key) -> bool {
    place.word.load(Ordering::Relaxed) == key.word()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(words: &[u64]) -> Key {
        let mut key = Key::new();
        words.chunks(2).for_each(|pair| key.add(pair[0], pair[1]));
        key
    }

    #[test]
    fn what_was_added_last_is_found_and_nothing_else_is() {
        for i in 0..30_000_u32 {
            let key = key(&[0x7f00_0000_0000 + u64::from(i) * 16, u64::from(i % 7)]);
            assert_eq!(find(key), None);
            insert(key, i);
            assert_eq!(find(key), Some(i));
        }
        assert_eq!(find(key(&[0x7f00_0000_0000 + 29_999 * 16, 4])), Some(29_999));
        assert_eq!(find(key(&[0x7f00_0000_0000 + 29_999 * 16, 5])), None);
    }

    #[test]
    fn order_and_every_word_count() {
        let all = [[1, 2, 3, 4], [3, 4, 1, 2], [2, 1, 3, 4], [1, 2, 3, 5], [0, 0, 0, 0], [0, 0, 0, 1]];
        for (i, a) in all.iter().enumerate() {
            for b in &all[i + 1..] {
                assert_ne!((key(a).word(), key(a).check()), (key(b).word(), key(b).check()));
            }
        }
    }
}
