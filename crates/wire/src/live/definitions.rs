//! The lines of definitions, kept as they are, and the few facts in them on which it depends what has ended. They are
//! lines of our own writing, so looking for a key is enough: the library reads no JSON.

use crate::event::{Alloc, Place};

#[derive(Debug, Default)]
pub(super) struct Definitions {
    /// All lines, and of each the event it was made after and its end.
    bytes: Vec<u8>,
    ends: Vec<(u64, usize)>,
    meshes: Vec<(u32, Vec<u32>)>,
    /// By allocator and mesh: how it rounds.
    roundings: Vec<(u64, u32, Option<u64>)>,
}

/// The chips of a place.
#[derive(Debug, Clone, Copy)]
pub(super) enum Chips<'a> {
    One(u32),
    Of(&'a [u32]),
}

impl<'a> Chips<'a> {
    pub(super) fn contains(self, chip: u32) -> bool {
        match self {
            Self::One(one) => one == chip,
            Self::Of(chips) => chips.contains(&chip),
        }
    }

    pub(super) fn into_iter(self) -> impl Iterator<Item = u32> + use<'a> {
        let (one, chips) = match self {
            Self::One(one) => (Some(one), &[][..]),
            Self::Of(chips) => (None, chips),
        };
        one.into_iter().chain(chips.iter().copied())
    }
}

impl Definitions {
    /// Gives the mesh that the line is about.
    pub(super) fn add(&mut self, n: u64, line: &[u8]) -> Option<Place> {
        self.bytes.extend_from_slice(line);
        self.ends.push((n, self.bytes.len()));
        let is_allocator = line.starts_with(b"{\"kind\":\"allocator\"");
        if !is_allocator && !line.starts_with(b"{\"kind\":\"mesh\"") {
            return None;
        }
        let mesh_id = u32::try_from(numbers(line, b"\"mesh_id\":").next()?).ok()?;
        if is_allocator {
            let allocator = numbers(line, b"\"allocator\":").next()?;
            let rounding = numbers(line, b"\"bank_rounding_bytes\":").next();
            match self.roundings.iter_mut().find(|(known, of, _)| (*known, *of) == (allocator, mesh_id)) {
                Some((.., known)) => *known = rounding,
                None => self.roundings.push((allocator, mesh_id, rounding)),
            }
        } else if self.meshes.iter().all(|(known, _)| *known != mesh_id) {
            let chips = numbers(line, b"\"chips\":[").filter_map(|chip| u32::try_from(chip).ok());
            self.meshes.push((mesh_id, chips.collect()));
        }
        Some(Place::Mesh(mesh_id))
    }

    /// Each line, with the number of the event it was made after.
    pub(super) fn lines(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let mut start = 0;
        self.ends.iter().map(move |&(n, end)| (n, &self.bytes[std::mem::replace(&mut start, end)..end]))
    }

    /// None for a mesh that is not defined.
    pub(super) fn chips(&self, place: Place) -> Chips<'_> {
        match place {
            Place::Chip(chip) => Chips::One(chip),
            Place::Mesh(mesh_id) => {
                let mesh = self.meshes.iter().find(|(known, _)| *known == mesh_id);
                Chips::Of(mesh.map_or(&[], |(_, chips)| chips))
            }
        }
    }

    /// Bytes in each bank, as the buffer's allocator rounds; if that is not known, as its mesh's first one does.
    pub(super) fn round(&self, alloc: &Alloc) -> u64 {
        let rounding = |(.., rounding): &(u64, u32, Option<u64>)| *rounding;
        let mut known = self.roundings.iter().rev();
        let own = known.find(|(allocator, ..)| Some(*allocator) == alloc.allocator).and_then(rounding);
        let mut of_mesh =
            self.roundings.iter().filter(|(_, mesh_id, _)| Place::Mesh(*mesh_id) == alloc.place);
        let unit = own.or_else(|| of_mesh.find_map(rounding)).unwrap_or(1).max(1);
        alloc.per_bank_bytes.div_ceil(unit).saturating_mul(unit)
    }
}

/// The numbers that follow the key, up to what is none. One above 2^53 is in quotes.
fn numbers<'a>(line: &'a [u8], key: &[u8]) -> impl Iterator<Item = u64> + use<'a> {
    let at = line.windows(key.len()).position(|window| window == key);
    let rest = at.map_or(&[][..], |at| &line[at + key.len()..]);
    let parts = rest.split(|byte| *byte == b',');
    parts.map_while(|part| {
        let digits = part.iter().skip_while(|byte| **byte == b'"').take_while(|byte| byte.is_ascii_digit());
        let number = |sum: Option<u64>, digit: &u8| {
            Some(sum.unwrap_or(0).wrapping_mul(10).wrapping_add(u64::from(digit - b'0')))
        };
        digits.fold(None, number)
    })
}
