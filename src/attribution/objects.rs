//! Texts and attributes of Python objects, read where they lie.

use super::python::{Attributes, Layout, Object, Python, read};

/// `ob_type` of every object.
const TYPE: usize = 8;
/// Parts of a text.
const TEXT_LENGTH: usize = 16;
const TEXT_HASH: usize = 24;
const TEXT_STATE: usize = 32;
/// The hash of a text that nobody has asked for it.
const NO_HASH: u64 = u64::MAX;
/// More characters of a text are cut off; so many fit into a definition however they are escaped.
const LONGEST_TEXT: usize = 2048;
/// Parts of a dict.
const DICT_KEYS: usize = 32;
const DICT_VALUES: usize = 40;
/// An instance with more attributes than this is no operation.
const MOST_ATTRIBUTES: usize = 32;
/// The attribute of an operation that is its public name.
const NAME: &[u8] = b"python_fully_qualified_name";

/// What tells one text from another: where it is, and its hash. Another text may be at the same place later.
///
/// # Safety
/// `text` is null or a text.
#[inline(always)]
pub unsafe fn identity(python: &Python, text: Object) -> (u64, u64) {
    if text.is_null() {
        return (0, 0);
    }
    // SAFETY: the caller's contract.
    let hash = unsafe { read::<u64>(text, TEXT_HASH) };
    if hash != NO_HASH {
        return (text.addr() as u64, hash);
    }
    // SAFETY: as above.
    let content = unsafe { fold(python, text) };
    (text.addr() as u64, content)
}

/// For a text that nobody has asked for its hash.
#[cold]
unsafe fn fold(python: &Python, text: Object) -> u64 {
    // SAFETY: the caller gives a text.
    let Some((start, width, length)) = (unsafe { characters(python, text) }) else { return 0 };
    (0..width * length).fold(NO_HASH, |folded, i| {
        // SAFETY: as many bytes as its characters take.
        (folded ^ u64::from(unsafe { read::<u8>(text, start + i) })).wrapping_mul(0x100_0000_01b3)
    })
}

/// Where a text's characters begin, the bytes of one, and how many are looked at; `None` if they are not kept in the
/// usual way.
unsafe fn characters(python: &Python, text: Object) -> Option<(usize, usize, usize)> {
    // SAFETY: the caller gives a text.
    let length = unsafe { read::<usize>(text, TEXT_LENGTH) }.min(LONGEST_TEXT);
    // SAFETY: as above.
    let state = unsafe { read::<u32>(text, TEXT_STATE) };
    let (width, is_compact, is_ascii) = (state >> 2 & 7, state >> 5 & 1 != 0, state >> 6 & 1 != 0);
    let start = if is_ascii { python.layout.ascii } else { python.layout.wide };
    (is_compact && matches!(width, 1 | 2 | 4)).then_some((start, width as usize, length))
}

/// The characters of a text; `None` if it is not one of those whose characters we know to find.
///
/// # Safety
/// `text` is null or a live object.
pub unsafe fn text(python: &Python, text: Object) -> Option<String> {
    // SAFETY: the caller's contract.
    if !unsafe { is_text(python, text) } {
        return None;
    }
    // SAFETY: it is a text.
    let (start, width, length) = unsafe { characters(python, text) }?;
    let character = |i: usize| match width {
        // SAFETY: as many characters of that width.
        1 => u32::from(unsafe { read::<u8>(text, start + i) }),
        // SAFETY: as above.
        2 => u32::from(unsafe { read::<u16>(text, start + 2 * i) }),
        // SAFETY: as above.
        _ => unsafe { read::<u32>(text, start + 4 * i) },
    };
    let replaced = |code: u32| char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
    Some((0..length).map(|i| replaced(character(i))).collect())
}

/// The text that is the public name of an operation; null if the object is none.
///
/// # Safety
/// `object` is null or a live object whose attributes nobody changes meanwhile.
#[inline]
pub unsafe fn operation_name(python: &Python, object: Object) -> Object {
    // SAFETY: the caller's contract.
    let found = unsafe { attribute(python, object) };
    let name = found.unwrap_or(std::ptr::null());
    // SAFETY: what an attribute holds is null or alive as long as the instance.
    if unsafe { is_text(python, name) } { name } else { std::ptr::null() }
}

#[inline(always)]
unsafe fn is_text(python: &Python, object: Object) -> bool {
    // SAFETY: the caller's contract: null or a live object.
    !object.is_null() && unsafe { read::<Object>(object, TYPE) } == python.text_type
}

#[inline]
unsafe fn attribute(python: &Python, object: Object) -> Option<Object> {
    if object.is_null() {
        return None;
    }
    // SAFETY: a live object has a type.
    let its_type = unsafe { read::<Object>(object, TYPE) };
    match python.layout.attributes {
        Attributes::Dict { type_dict_offset } => {
            // SAFETY: inside the type.
            let offset = unsafe { read::<isize>(its_type, type_dict_offset) };
            let offset = usize::try_from(offset).ok().filter(|offset| *offset > 0)?;
            // SAFETY: the type says that there is a dict or null.
            let dict = unsafe { read::<Object>(object, offset) };
            // SAFETY: null or a dict.
            unsafe { in_dict(python.layout, dict, old_keys) }
        }
        Attributes::Managed { type_flags, managed, before, type_keys } => {
            // SAFETY: inside the type.
            if unsafe { read::<u64>(its_type, type_flags) } & managed == 0 {
                return None;
            }
            // SAFETY: the flag says that there is such a word in front of the instance.
            let word = unsafe { read::<Object>(object.wrapping_sub(before), 0) };
            if word.addr() & 1 == 0 {
                // SAFETY: null or a dict.
                return unsafe { in_dict(python.layout, word, new_keys) };
            }
            // SAFETY: only types of instances with such values have the flag, and they have these keys.
            let keys = unsafe { read::<Object>(its_type, type_keys) };
            // SAFETY: keys of that release.
            let (entries, n, size) = unsafe { new_keys(keys) }?;
            // SAFETY: as many entries as the keys say.
            let i = unsafe { position(python.layout, entries, n, size) }?;
            // SAFETY: the values are one byte behind the word, and as many as the keys.
            Some(unsafe { read::<Object>(word, 1 + 8 * i) })
        }
    }
}

/// Where entries begin, how many there are, and how many words each has; the key is the one before the value.
type Entries = (Object, usize, usize);

#[inline]
unsafe fn in_dict(
    layout: &Layout,
    dict: Object,
    keys: unsafe fn(Object) -> Option<Entries>,
) -> Option<Object> {
    if dict.is_null() {
        return None;
    }
    // SAFETY: a dict has keys.
    let its_keys = unsafe { read::<Object>(dict, DICT_KEYS) };
    // SAFETY: keys of that release.
    let (entries, n, size) = unsafe { keys(its_keys) }?;
    // SAFETY: inside the dict.
    let values = unsafe { read::<Object>(dict, DICT_VALUES) };
    // SAFETY: as many entries as the keys say.
    let i = unsafe { position(layout, entries, n, size) }?;
    if values.is_null() {
        // SAFETY: the last word of an entry.
        Some(unsafe { read::<Object>(entries, 8 * (size * i + size - 1)) })
    } else {
        // SAFETY: a dict with values apart has as many as keys.
        Some(unsafe { read::<Object>(values, 8 * i) })
    }
}

/// Up to 3.10: size, number of entries, and an index of one byte for each place if there are few.
unsafe fn old_keys(keys: Object) -> Option<Entries> {
    // SAFETY: the caller gives keys of that release.
    let size = unsafe { read::<usize>(keys, 8) };
    // SAFETY: as above.
    let n = unsafe { read::<usize>(keys, 32) };
    // SAFETY: small keys have an index of `size` bytes behind the header.
    (size <= 0x80).then(|| (unsafe { keys.add(40 + size) }, n, 3))
}

/// From 3.11: the index's length as a power of two, and a kind; all kinds but the general one have no hashes.
unsafe fn new_keys(keys: Object) -> Option<Entries> {
    if keys.is_null() {
        return None;
    }
    // SAFETY: the caller gives keys of that release.
    let log2_index = unsafe { read::<u8>(keys, 9) };
    // SAFETY: as above.
    let is_general = unsafe { read::<u8>(keys, 10) } == 0;
    // SAFETY: as above.
    let n = unsafe { read::<usize>(keys, 24) };
    // SAFETY: the index is behind the header.
    (log2_index <= 7)
        .then(|| (unsafe { keys.add(32 + (1 << log2_index)) }, n, if is_general { 3 } else { 2 }))
}

/// The position of [`NAME`] among the keys.
#[inline]
unsafe fn position(layout: &Layout, entries: Object, n: usize, size: usize) -> Option<usize> {
    (0..n.min(MOST_ATTRIBUTES)).find(|i| {
        // SAFETY: the second last word of an entry is its key, or null.
        let key = unsafe { read::<Object>(entries, 8 * (size * i + size - 2)) };
        // SAFETY: names of attributes are texts, ASCII ones if they have this length and these characters.
        !key.is_null() && unsafe { is_name(layout, key) }
    })
}

#[inline]
unsafe fn is_name(layout: &Layout, key: Object) -> bool {
    // SAFETY: the key of an attribute is a text.
    if unsafe { read::<usize>(key, TEXT_LENGTH) } != NAME.len() {
        return false;
    }
    // SAFETY: as above.
    let state = unsafe { read::<u32>(key, TEXT_STATE) };
    // SAFETY: a compact ASCII text has its bytes there.
    state >> 5 & 3 == 3 && unsafe { read::<[u8; NAME.len()]>(key, layout.ascii) } == *NAME
}
