//! JSON text, as fast as can be: a capture's line is written for each event, beside the traced program.
//!
//! What is written gathers in a piece of fixed size on the stack, where keys, names and numbers are copied in a few
//! words of fixed size. (A vector is looked at for its room, and calls `memcpy`, for each of them.)

use std::fmt::Display;

/// Integers above this lose digits in readers whose only number is a double, so they are written as strings.
pub(crate) const EXACT_IN_A_DOUBLE: u64 = 1 << 53;

/// The bytes of the piece: more than nearly every line has.
const PIECE: usize = 512;
/// Longer texts than this are copied by `memcpy`.
const SHORT: usize = 32;
/// The digits of the largest number.
const MOST_DIGITS: usize = 20;
/// All numbers of two digits.
const PAIRS: [[u8; 2]; 100] = pairs();

/// A JSON object that is being written, one to a line. The fields come out in the order of the calls. Each has a
/// comma behind it; what ends the object takes the place of the last one.
pub(crate) struct Object<'a> {
    out: &'a mut Vec<u8>,
    piece: [u8; PIECE],
    filled: usize,
}

impl<'a> Object<'a> {
    /// Begins a line with its kind.
    #[inline(never)]
    pub fn of_kind(out: &'a mut Vec<u8>, kind: &str) -> Self {
        let mut object = Self { out, piece: [0; PIECE], filled: 0 };
        object.begin();
        object.text("kind", kind);
        object
    }

    /// Ends the line.
    pub fn end_line(mut self) {
        self.close(*b"}\n");
        self.empty();
    }

    /// A number; as a string if a double cannot hold it.
    #[inline(never)]
    pub fn number(&mut self, key: &'static str, value: u64) {
        self.key(key);
        self.put_number(value);
    }

    /// A number or null.
    #[inline(never)]
    pub fn optional(&mut self, key: &'static str, value: Option<u64>) {
        match value {
            Some(value) => self.number(key, value),
            None => self.null(key),
        }
    }

    #[inline(never)]
    fn null(&mut self, key: &'static str) {
        self.key(key);
        self.put(b"null,", 5);
    }

    /// A string.
    #[inline(never)]
    pub fn text(&mut self, key: &'static str, value: &str) {
        self.key(key);
        self.put_text(value);
    }

    /// A string or null.
    pub fn optional_text(&mut self, key: &'static str, value: Option<&str>) {
        match value {
            Some(value) => self.text(key, value),
            None => self.null(key),
        }
    }

    /// The name of a value if it has one, else the value as it is displayed.
    pub fn name(&mut self, key: &'static str, name: Option<&'static str>, value: impl Display) {
        match name {
            Some(name) => self.text(key, name),
            None => self.displayed(key, &value),
        }
    }

    #[cold]
    #[inline(never)]
    fn displayed(&mut self, key: &'static str, value: &dyn Display) {
        self.text(key, &value.to_string());
    }

    /// True or false.
    #[inline(never)]
    pub fn flag(&mut self, key: &'static str, value: bool) {
        self.key(key);
        self.put_bytes(if value { b"true," } else { b"false," });
    }

    /// True, false or null.
    pub fn optional_flag(&mut self, key: &'static str, value: Option<bool>) {
        match value {
            Some(value) => self.flag(key, value),
            None => self.null(key),
        }
    }

    /// A list; `each` puts an item.
    pub fn list<T>(&mut self, key: &'static str, items: &[T], each: impl Fn(&mut Self, &T)) {
        self.key(key);
        self.put_list(items, each);
    }

    /// An object inside this one, or null.
    pub fn object<T>(&mut self, key: &'static str, value: Option<&T>, fields: impl Fn(&mut Self, &T)) {
        let Some(value) = value else { return self.null(key) };
        self.key(key);
        self.put_object(value, fields);
    }

    /// An object as an item.
    pub fn put_object<T>(&mut self, value: &T, fields: impl Fn(&mut Self, &T)) {
        self.begin();
        fields(self, value);
        self.close(*b"},");
    }

    /// A list as an item.
    pub fn put_list<T>(&mut self, items: &[T], each: impl Fn(&mut Self, &T)) {
        self.put(b"[", 1);
        for item in items {
            each(self, item);
        }
        self.close(*b"],");
    }

    /// A number as an item.
    #[inline(always)]
    pub fn put_number(&mut self, value: u64) {
        let is_text = value > EXACT_IN_A_DOUBLE;
        if is_text {
            self.put(b"\"", 1);
        }
        // From the last digit to the first. So many bytes as there can be are copied from there.
        let mut digits = [0; 2 * MOST_DIGITS];
        let (mut at, mut rest) = (MOST_DIGITS, value);
        while rest > 99 {
            at -= 2;
            set_pair(&mut digits, at, rest % 100);
            rest /= 100;
        }
        at -= 2;
        set_pair(&mut digits, at, rest);
        if rest < 10 {
            at += 1;
        }
        if let Some(digits) = digits.get(at..).and_then(|digits| digits.first_chunk::<MOST_DIGITS>()) {
            self.put(digits, MOST_DIGITS - at);
        }
        if is_text {
            self.put(b"\"", 1);
        }
        self.put(b",", 1);
    }

    /// A string as an item.
    pub fn put_text(&mut self, value: &str) {
        self.put(b"\"", 1);
        let mut rest = value.as_bytes();
        while let Some(at) = rest.iter().position(|byte| matches!(byte, 0..b' ' | b'"' | b'\\')) {
            self.put_bytes(&rest[..at]);
            self.put_escaped(rest[at]);
            rest = &rest[at + 1..];
        }
        self.put_bytes(rest);
        self.put(b"\",", 2);
    }

    /// A byte that may not stand in a string as it is.
    #[cold]
    fn put_escaped(&mut self, byte: u8) {
        let short = match byte {
            b'"' | b'\\' => byte,
            8 => b'b',
            12 => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            _ => {
                let digit = |digit: u8| b"0123456789abcdef"[usize::from(digit)];
                return self.put(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)], 6);
            }
        };
        self.put(&[b'\\', short], 2);
    }

    #[inline(never)]
    fn begin(&mut self) {
        self.put(b"{", 1);
    }

    /// Ends an object or a list, in place of the last comma.
    #[inline(never)]
    fn close(&mut self, end: [u8; 2]) {
        if self.filled.checked_sub(1).and_then(|last| self.piece.get(last)) == Some(&b',') {
            self.filled -= 1;
        }
        self.put(&end, 2);
    }

    #[inline(never)]
    fn key(&mut self, key: &'static str) {
        self.put(b"\"", 1);
        self.put_bytes(key.as_bytes());
        self.put(b"\":", 2);
    }

    /// The first `length` of `N` bytes. All are copied: what is too much is overwritten by what comes next.
    #[inline(always)]
    fn put<const N: usize>(&mut self, bytes: &[u8; N], length: usize) {
        if self.filled > PIECE - N {
            self.empty();
        }
        if let Some(room) = self.piece.get_mut(self.filled..).and_then(|room| room.first_chunk_mut()) {
            *room = *bytes;
            self.filled += length;
        }
    }

    #[inline(always)]
    fn put_bytes(&mut self, bytes: &[u8]) {
        if bytes.len() > PIECE - self.filled {
            self.empty();
        }
        match self.piece.get_mut(self.filled..).and_then(|room| room.get_mut(..bytes.len())) {
            Some(room) => {
                copy(room, bytes);
                self.filled += bytes.len();
            }
            None => self.out.extend_from_slice(bytes),
        }
    }

    /// Moves the piece to where it is wanted, but for a comma that may have to give way.
    #[inline(never)]
    fn empty(&mut self) {
        let filled = self.piece.get(..self.filled).unwrap_or_default();
        match filled.split_last() {
            Some((b',', rest)) => {
                self.out.extend_from_slice(rest);
                self.piece[0] = b',';
                self.filled = 1;
            }
            _ => {
                self.out.extend_from_slice(filled);
                self.filled = 0;
            }
        }
    }
}

/// Copies as many bytes as both have: a short text as its first and its last words, which may overlap.
#[inline(always)]
fn copy(to: &mut [u8], from: &[u8]) {
    match from.len() {
        0..4 => to.iter_mut().zip(from).for_each(|(to, from)| *to = *from),
        4..8 => copy_ends::<4>(to, from),
        8..16 => copy_ends::<8>(to, from),
        16..=SHORT => copy_ends::<16>(to, from),
        _ => to.copy_from_slice(from),
    }
}

#[inline(always)]
fn copy_ends<const N: usize>(to: &mut [u8], from: &[u8]) {
    if let (Some(to), Some(from)) = (to.first_chunk_mut::<N>(), from.first_chunk()) {
        *to = *from;
    }
    if let (Some(to), Some(from)) = (to.last_chunk_mut::<N>(), from.last_chunk()) {
        *to = *from;
    }
}

#[inline(always)]
fn set_pair(digits: &mut [u8; 2 * MOST_DIGITS], at: usize, pair: u64) {
    let pair = usize::try_from(pair).ok().and_then(|pair| PAIRS.get(pair));
    if let (Some(to), Some(pair)) = (digits.get_mut(at..).and_then(|to| to.first_chunk_mut()), pair) {
        *to = *pair;
    }
}

const fn pairs() -> [[u8; 2]; 100] {
    let mut pairs = [[b'0'; 2]; 100];
    let mut i = 0;
    while i < 99 {
        let [tens, ones] = pairs[i];
        i += 1;
        pairs[i] = if ones == b'9' { [tens + 1, b'0'] } else { [tens, ones + 1] };
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line with one field, and what comes before the field.
    fn line(field: impl Fn(&mut Object<'_>)) -> String {
        let mut out = b"before".to_vec();
        let mut object = Object::of_kind(&mut out, "x");
        field(&mut object);
        object.end_line();
        let line = String::from_utf8(out).unwrap();
        line.strip_prefix("before{\"kind\":\"x\",\"key\":").unwrap().strip_suffix("}\n").unwrap().to_owned()
    }

    #[test]
    fn every_character_is_written_as_serde_json_writes_it() {
        for character in (0..0x300).chain([0x2028, 0xffff, 0x1f600]).filter_map(char::from_u32) {
            let value = format!("a{character}{character}b");
            assert_eq!(line(|o| o.text("key", &value)), serde_json::to_string(&value).unwrap());
        }
    }

    #[test]
    fn every_length_of_number_is_written_in_full() {
        for value in (0..20).flat_map(|n| [10_u64.pow(n) - 1, 10_u64.pow(n)]).chain([42, u64::MAX]) {
            let quote = if value > EXACT_IN_A_DOUBLE { "\"" } else { "" };
            assert_eq!(line(|o| o.number("key", value)), format!("{quote}{value}{quote}"));
        }
    }

    #[test]
    fn what_is_longer_than_the_piece_is_written_in_full_wherever_the_piece_ends() {
        for length in (0..2 * PIECE).chain([10 * PIECE]) {
            let (text, numbers) = ("t".repeat(length), vec![7; length]);
            let written = line(|o| {
                o.list("key", &[&text], |o, text| o.put_text(text));
                o.list("numbers", &numbers, |o, number| o.put_number(*number));
                o.object("empty", Some(&()), |_, ()| {});
            });
            let numbers = serde_json::to_string(&numbers).unwrap();
            assert_eq!(written, format!("[\"{text}\"],\"numbers\":{numbers},\"empty\":{{}}"), "{length}");
        }
    }
}
