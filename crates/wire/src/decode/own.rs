//! Allocations and deallocations, which come by the million, exactly as this crate writes them: keys in their order, and
//! nothing between. Invariant: what is read here is what the JSON reader would have read; whatever differs from our own
//! writing is left to that.

use crate::event::{Alloc, BufferLayout, BufferType, Dealloc, Event, Place, Stamp};
use crate::line::Line;

/// No number of so many digits is too large.
const SAFE_DIGITS: usize = 19;

pub(super) fn line(text: &str) -> Option<Line> {
    let mut rest = Rest(text);
    let is_alloc = rest.has("{\"kind\":\"alloc\"");
    if !is_alloc {
        rest.skip("{\"kind\":\"dealloc\"")?;
    }
    let stamp = Stamp {
        n: rest.number(",\"n\":")?,
        t_ns: rest.number(",\"t_ns\":")?,
        tid: rest.small(",\"tid\":")?,
        ctx: rest.small(",\"ctx\":")?,
    };
    let event = if is_alloc { Event::Alloc(rest.alloc()?) } else { Event::Dealloc(rest.dealloc()?) };
    (rest.0 == "}").then_some(Line::Event(stamp, event))
}

/// What is still to be read.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    #[inline]
    fn has(&mut self, text: &str) -> bool {
        let rest = self.0.strip_prefix(text);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    #[inline]
    fn skip(&mut self, text: &str) -> Option<()> {
        self.has(text).then_some(())
    }

    /// JSON has no number with a leading zero.
    #[inline]
    fn digits(&mut self) -> Option<u64> {
        let end = self.0.bytes().position(|byte| !byte.is_ascii_digit())?;
        let (digits, rest) = self.0.split_at(end);
        if end == 0 || end > 1 && digits.starts_with('0') {
            return None;
        }
        self.0 = rest;
        if end > SAFE_DIGITS {
            return digits.parse().ok();
        }
        Some(digits.bytes().fold(0, |value, digit| value * 10 + u64::from(digit - b'0')))
    }

    #[inline]
    fn value(&mut self) -> Option<u64> {
        if !self.has("\"") {
            return self.digits();
        }
        let value = self.digits()?;
        self.skip("\"")?;
        Some(value)
    }

    #[inline]
    fn number(&mut self, key: &str) -> Option<u64> {
        self.skip(key)?;
        self.value()
    }

    /// Never written as a string.
    #[inline]
    fn small(&mut self, key: &str) -> Option<u32> {
        self.skip(key)?;
        u32::try_from(self.digits()?).ok()
    }

    #[inline]
    fn optional(&mut self, key: &str) -> Option<Option<u64>> {
        self.skip(key)?;
        if self.has("null") { Some(None) } else { self.value().map(Some) }
    }

    /// A name. One with an escape is not known to anybody.
    #[inline]
    fn name(&mut self) -> Option<&'a str> {
        self.skip("\"")?;
        let (name, rest) = self.0.split_once('"')?;
        self.0 = rest;
        Some(name)
    }

    fn place(&mut self) -> Option<Place> {
        if self.has(",\"mesh_id\":") {
            return u32::try_from(self.digits()?).ok().map(Place::Mesh);
        }
        self.small(",\"chip\":").map(Place::Chip)
    }

    fn is_hooked(&mut self) -> bool {
        self.has(",\"hooked\":true")
    }

    fn alloc(&mut self) -> Option<Alloc> {
        let place = self.place()?;
        let allocator = self.optional(",\"allocator\":")?;
        self.skip(",\"type\":")?;
        let buffer_type = BufferType::from_name(self.name()?)?;
        self.skip(",\"layout\":")?;
        Some(Alloc {
            place,
            allocator,
            buffer_type,
            layout: BufferLayout::from_name(self.name()?)?,
            address: self.number(",\"address\":")?,
            size_bytes: self.number(",\"size_bytes\":")?,
            page_size_bytes: self.number(",\"page_size_bytes\":")?,
            per_bank_bytes: self.number(",\"per_bank_bytes\":")?,
            n_cores: self.optional(",\"n_cores\":")?.map(u32::try_from).transpose().ok()?,
            cores: if self.has(",\"cores\":") { Some(u32::try_from(self.digits()?).ok()?) } else { None },
            unique_id: self.optional(",\"unique_id\":")?,
            owns_data: self.flag(",\"owns_data\":")?,
            hooked: self.is_hooked(),
        })
    }

    fn dealloc(&mut self) -> Option<Dealloc> {
        let place = self.place()?;
        self.skip(",\"type\":")?;
        let has_type = !self.has("null");
        Some(Dealloc {
            place,
            buffer_type: if has_type { Some(BufferType::from_name(self.name()?)?) } else { None },
            address: self.number(",\"address\":")?,
            size_bytes: self.optional(",\"size_bytes\":")?,
            unique_id: self.optional(",\"unique_id\":")?,
            hooked: self.is_hooked(),
        })
    }

    fn flag(&mut self, key: &str) -> Option<Option<bool>> {
        self.skip(key)?;
        let known = [("true", Some(true)), ("false", Some(false)), ("null", None)];
        known.into_iter().find(|(name, _)| self.has(name)).map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: [&str; 4] = [
        r#"{"kind":"alloc","n":7,"t_ns":1234567890123,"tid":12,"ctx":0,"mesh_id":1,"allocator":3,"type":"L1","layout":"HEIGHT_SHARDED","address":4096,"size_bytes":2048,"page_size_bytes":2048,"per_bank_bytes":1024,"n_cores":4,"cores":2,"unique_id":9,"owns_data":true}"#,
        r#"{"kind":"alloc","n":7,"t_ns":0,"tid":12,"ctx":5,"chip":4294967295,"allocator":null,"type":"TYPE_9","layout":"LAYOUT_9","address":"18446744073709551615","size_bytes":0,"page_size_bytes":9007199254740992,"per_bank_bytes":1,"n_cores":null,"unique_id":null,"owns_data":null,"hooked":true}"#,
        r#"{"kind":"dealloc","n":8,"t_ns":1,"tid":12,"ctx":0,"mesh_id":1,"type":"DRAM","address":4096,"size_bytes":null,"unique_id":9}"#,
        r#"{"kind":"dealloc","n":8,"t_ns":1,"tid":12,"ctx":0,"chip":0,"type":null,"address":"9007199254740993","size_bytes":64,"unique_id":null,"hooked":true}"#,
    ];

    #[test]
    fn our_own_lines_are_read_here_as_json_would_read_them() {
        for text in LINES {
            assert!(line(text).is_some(), "{text}");
            assert_eq!(line(text), super::super::json_line(text).ok(), "{text}");
        }
    }

    /// Each byte in turn replaced, left out or doubled: what is read at all is read as JSON would.
    #[test]
    fn a_line_with_another_byte_anywhere_is_no_other_line_than_in_json() {
        let check = |bytes: &[u8]| {
            let Ok(text) = str::from_utf8(bytes) else { return };
            if let Some(read) = line(text) {
                assert_eq!(Ok(read), super::super::json_line(text), "{text}");
            }
        };
        for bytes in LINES.map(str::as_bytes) {
            for at in 0..bytes.len() {
                let (before, behind) = (&bytes[..at], &bytes[at + 1..]);
                check(&[before, behind].concat());
                check(&[before, &[bytes[at]; 2], behind].concat());
                for other in *b"0918-+.eE\"\\{},: \tnT_" {
                    check(&[before, &[other], behind].concat());
                    check(&[before, &[other], &bytes[at..]].concat());
                }
            }
        }
    }
}
