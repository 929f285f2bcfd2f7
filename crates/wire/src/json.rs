//! JSON text, as fast as can be: a capture's line is written for each event, beside the traced program.
//!
//! There is always so much room at the end that keys, names and numbers are copied in a few words of fixed size.
//! (`Vec::extend` looks for room, and calls `memcpy`, for each of them.) Where the next one goes is handed on as a value
//! and stored once for each field: to store it and load it again takes longer than the copying.

use std::fmt::Display;

/// Integers above this lose digits in readers whose only number is a double, so they are written as strings.
pub(crate) const EXACT_IN_A_DOUBLE: u64 = 1 << 53;

/// So much room is made at once: more than nearly every line takes.
const MORE: usize = 512;
/// So much room there is before a key, a few numbers or the ends of a text are put: more than they take.
const ROOM: usize = 160;
/// More than any key takes.
const MOST_KEY: usize = 23;
/// Longer texts than this are copied by `memcpy`.
const SHORT: usize = 32;
/// A digit and what comes behind it.
const ONE_DIGIT: u64 = u64::from_le_bytes(*b"0,      ");
/// More than any number of eight digits.
const EIGHT_DIGITS: u64 = 100_000_000;
/// Eight characters.
const ZEROS: u64 = u64::from_le_bytes(*b"00000000");

/// A JSON object that is being written, one to a line. The fields come out in the order of the calls. Each has a
/// comma behind it; what ends the object takes the place of the last one.
pub(crate) struct Object<'a> {
    /// What is written, and room behind it.
    out: &'a mut Vec<u8>,
    /// Where the room begins.
    end: usize,
}

/// The key of a field, with its quotes and its colon, and how many bytes that is.
pub(crate) struct Key {
    text: [u8; MOST_KEY],
    length: u8,
}

impl Key {
    /// For [`key!`].
    pub const fn new(name: &str) -> Self {
        let (name, mut text) = (name.as_bytes(), [b':'; MOST_KEY]);
        let (mut i, mut length) = (0, 3);
        while i < name.len() {
            text[i + 1] = name[i];
            (i, length) = (i + 1, length + 1);
        }
        (text[0], text[i + 1]) = (b'"', b'"');
        Self { text, length }
    }
}

/// The key of that name, made when this is compiled.
macro_rules! key {
    ($name:literal) => {
        const { &$crate::json::Key::new($name) }
    };
}
pub(crate) use key;

impl<'a> Object<'a> {
    /// Begins a line with its kind.
    #[inline(never)]
    pub fn of_kind(out: &'a mut Vec<u8>, kind: &str) -> Self {
        let end = out.len();
        let mut object = Self { out, end };
        let at = object.room();
        object.end = put(object.out, at, b"{\"kind\":", 8);
        object.put_text(kind);
        object
    }

    /// Ends the line.
    pub fn end_line(mut self) {
        self.close(*b"}\n");
        self.out.truncate(self.end);
    }

    /// A number; as a string if a double cannot hold it.
    #[inline(never)]
    pub fn number(&mut self, key: &'static Key, value: u64) {
        let at = self.key(key);
        self.end = put_number(self.out, at, value);
    }

    /// A number or null.
    #[inline(never)]
    pub fn optional(&mut self, key: &'static Key, value: Option<u64>) {
        match value {
            Some(value) => self.number(key, value),
            None => self.null(key),
        }
    }

    #[inline(never)]
    fn null(&mut self, key: &'static Key) {
        let at = self.key(key);
        self.end = put(self.out, at, b"null,", 5);
    }

    /// A string.
    #[inline(never)]
    pub fn text(&mut self, key: &'static Key, value: &str) {
        self.end = self.key(key);
        self.put_text(value);
    }

    /// A string of ours, in which nothing has to be escaped.
    #[inline(never)]
    pub fn word(&mut self, key: &'static Key, word: &'static str) {
        self.open(key, b'"');
        self.put_bytes(word.as_bytes());
        self.end_text();
    }

    /// A string or null.
    pub fn optional_text(&mut self, key: &'static Key, value: Option<&str>) {
        match value {
            Some(value) => self.text(key, value),
            None => self.null(key),
        }
    }

    /// The name of a value if it has one, else the value as it is displayed.
    pub fn name(&mut self, key: &'static Key, name: Option<&'static str>, value: impl Display) {
        match name {
            Some(name) => self.word(key, name),
            None => self.displayed(key, &value),
        }
    }

    #[cold]
    #[inline(never)]
    fn displayed(&mut self, key: &'static Key, value: &dyn Display) {
        self.text(key, &value.to_string());
    }

    /// True or false.
    #[inline(never)]
    pub fn flag(&mut self, key: &'static Key, value: bool) {
        let at = self.key(key);
        let (word, length) = if value { (b"true, ", 5) } else { (b"false,", 6) };
        self.end = put(self.out, at, word, length);
    }

    /// True, false or null.
    pub fn optional_flag(&mut self, key: &'static Key, value: Option<bool>) {
        match value {
            Some(value) => self.flag(key, value),
            None => self.null(key),
        }
    }

    /// A list; `each` puts an item.
    pub fn list<T>(&mut self, key: &'static Key, items: &[T], each: impl Fn(&mut Self, &T)) {
        self.open(key, b'[');
        for item in items {
            each(self, item);
        }
        self.close(*b"],");
    }

    /// An object inside this one, or null.
    pub fn object<T>(&mut self, key: &'static Key, value: Option<&T>, fields: impl Fn(&mut Self, &T)) {
        let Some(value) = value else { return self.null(key) };
        self.open(key, b'{');
        fields(self, value);
        self.close(*b"},");
    }

    /// An object as an item.
    pub fn put_object<T>(&mut self, value: &T, fields: impl Fn(&mut Self, &T)) {
        let at = self.room();
        self.end = put(self.out, at, b"{", 1);
        fields(self, value);
        self.close(*b"},");
    }

    /// A list of a few numbers as an item.
    #[inline(never)]
    pub fn put_numbers(&mut self, numbers: &[u32]) {
        let at = self.room();
        let mut at = put(self.out, at, b"[", 1);
        for number in numbers {
            at = put_number(self.out, at, u64::from(*number));
        }
        self.end = put(self.out, at - 1, b"],", 2);
    }

    /// A number as an item.
    pub fn put_number(&mut self, value: u64) {
        let at = self.room();
        self.end = put_number(self.out, at, value);
    }

    /// A string as an item.
    pub fn put_text(&mut self, value: &str) {
        let at = self.room();
        self.end = put(self.out, at, b"\"", 1);
        let mut rest = value.as_bytes();
        while let Some(at) = rest.iter().position(|byte| matches!(byte, 0..b' ' | b'"' | b'\\')) {
            self.put_bytes(&rest[..at]);
            self.put_escaped(rest[at]);
            rest = &rest[at + 1..];
        }
        self.put_bytes(rest);
        self.end_text();
    }

    #[inline(always)]
    fn end_text(&mut self) {
        let at = self.room();
        self.end = put(self.out, at, b"\",", 2);
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
                return self.put_bytes(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]);
            }
        };
        self.put_bytes(&[b'\\', short]);
    }

    /// Begins an object, a list or a text.
    #[inline(never)]
    fn open(&mut self, key: &'static Key, bracket: u8) {
        let at = self.key(key);
        self.end = put(self.out, at, &[bracket], 1);
    }

    /// Ends an object or a list, in place of the last comma.
    #[inline(never)]
    fn close(&mut self, end: [u8; 2]) {
        let at = self.room();
        let has_comma = at.checked_sub(1).and_then(|last| self.out.get(last)) == Some(&b',');
        self.end = put(self.out, at - usize::from(has_comma), &end, 2);
    }

    /// Puts a key where there is room behind it. The answer is where its value goes.
    #[inline(never)]
    fn key(&mut self, key: &Key) -> usize {
        let at = self.room();
        put(self.out, at, &key.text, usize::from(key.length))
    }

    #[inline(never)]
    fn put_bytes(&mut self, bytes: &[u8]) {
        let at = self.room();
        if let Some(room) = self.out.get_mut(at..at + bytes.len()) {
            copy(room, bytes);
            self.end += bytes.len();
        } else {
            self.out.truncate(at);
            self.out.extend_from_slice(bytes);
            self.end = self.out.len();
        }
    }

    /// Where the next bytes go, of which there may be [`ROOM`].
    #[inline(always)]
    fn room(&mut self) -> usize {
        if self.out.len() < self.end + ROOM {
            self.make_room();
        }
        self.end
    }

    #[inline(never)]
    fn make_room(&mut self) {
        self.out.resize(self.end + MORE, 0);
    }
}

/// The first `length` of `N` bytes. All are copied: what is too much is overwritten by what comes next. The answer is
/// where that goes.
#[inline(always)]
fn put<const N: usize>(out: &mut [u8], at: usize, bytes: &[u8; N], length: usize) -> usize {
    if let Some(room) = out.get_mut(at..).and_then(|room| room.first_chunk_mut()) {
        *room = *bytes;
    }
    at + length
}

#[inline(never)]
fn put_number(out: &mut [u8], at: usize, value: u64) -> usize {
    if let digit @ 0..10 = value {
        return put(out, at, &(digit | ONE_DIGIT).to_le_bytes(), 2);
    }
    if value > EXACT_IN_A_DOUBLE {
        let at = put(out, at, b"\"", 1);
        let at = put_digits(out, at, value);
        return put(out, at, b"\",", 2);
    }
    let at = put_digits(out, at, value);
    put(out, at, b",", 1)
}

#[inline(never)]
fn put_digits(out: &mut [u8], mut at: usize, value: u64) -> usize {
    let (rest, mut first) = (eight_digits(value % EIGHT_DIGITS), 1);
    if value >= EIGHT_DIGITS {
        at = put_digits(out, at, value / EIGHT_DIGITS);
    } else {
        first = rest | 1 << 56;
    }
    let n_zeros = first.trailing_zeros() / 8;
    let digits = (rest | ZEROS) >> (8 * n_zeros);
    put(out, at, &digits.to_le_bytes(), 8 - n_zeros as usize)
}

/// Eight digits, each in a byte, the first one in the lowest.
#[inline(always)]
fn eight_digits(value: u64) -> u64 {
    // Two halves of four digits, four quarters of two, eight single ones. A product and a shift divide them all.
    let halves = (value / 10_000) | ((value % 10_000) << 32);
    let hundreds = (halves * 10_486) >> 20 & 0x7f_0000_007f;
    let quarters = hundreds | (halves - 100 * hundreds) << 16;
    let tens = (quarters * 103) >> 10 & 0xf_000f_000f_000f;
    tens | (quarters - 10 * tens) << 8
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
            assert_eq!(line(|o| o.text(key!("key"), &value)), serde_json::to_string(&value).unwrap());
        }
    }

    #[test]
    fn every_length_of_number_is_written_in_full() {
        let powers = (0..20).flat_map(|n| [10_u64.pow(n) - 1, 10_u64.pow(n), 7 * 10_u64.pow(n.min(18))]);
        // Each of the first makes up either half of eight digits with others.
        let others = (0..10_000).flat_map(|n| [n, 10_000 * n + 4_207, 90_310_000 + n, u64::MAX / (n + 1)]);
        for value in powers.chain(others) {
            let quote = if value > EXACT_IN_A_DOUBLE { "\"" } else { "" };
            assert_eq!(line(|o| o.number(key!("key"), value)), format!("{quote}{value}{quote}"));
        }
    }

    #[test]
    fn what_takes_more_than_the_room_made_at_once_is_written_in_full_wherever_that_ends() {
        for length in (0..2 * MORE).chain([10 * MORE]) {
            let (text, numbers) = ("t".repeat(length), vec![7; length]);
            let written = line(|o| {
                o.list(key!("key"), &[&text], |o, text| o.put_text(text));
                o.list(key!("numbers"), &numbers, |o, number| o.put_number(*number));
                o.object(key!("empty"), Some(&()), |_, ()| {});
            });
            let numbers = serde_json::to_string(&numbers).unwrap();
            assert_eq!(written, format!("[\"{text}\"],\"numbers\":{numbers},\"empty\":{{}}"), "{length}");
        }
    }
}
