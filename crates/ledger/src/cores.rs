//! Sets of cores: which of several values is the first that holds on each core, and cores as few rectangles.

use tt_memtrace_wire::Range;

/// No chip has cores beyond this column or row; what a capture claims there is left out.
pub(crate) const MOST: usize = 256;

/// A value on each core of a chip.
#[derive(Debug, Clone)]
pub(crate) struct CoreMap<T> {
    columns: usize,
    cells: Vec<Option<T>>,
}

/// Sums over sets of cores.
#[derive(Debug, Clone)]
pub(crate) struct CoreSums {
    /// One column and one row more than there are cores: what is added in a corner holds for all cores behind it.
    corners: Vec<u64>,
    columns: usize,
    rows: usize,
}

impl CoreSums {
    pub(crate) fn of<'a>(sets: impl Iterator<Item = (&'a [Range], u64)> + Clone) -> Self {
        let (columns, rows) = extent(sets.clone().map(|(ranges, _)| ranges));
        let mut sums = Self { corners: vec![0; (columns + 1) * (rows + 1)], columns, rows };
        for (ranges, amount) in sets {
            for Clipped { x0, y0, x1, y1 } in ranges.iter().filter_map(clip) {
                let minus = amount.wrapping_neg();
                for (x, y, amount) in
                    [(x0, y0, amount), (x1 + 1, y0, minus), (x0, y1 + 1, minus), (x1 + 1, y1 + 1, amount)]
                {
                    let corner = &mut sums.corners[y * (columns + 1) + x];
                    *corner = corner.wrapping_add(amount);
                }
            }
        }
        sums.sum_up();
        sums
    }

    fn sum_up(&mut self) {
        let width = self.columns + 1;
        for at in 0..self.corners.len() {
            let left = if at % width > 0 { self.corners[at - 1] } else { 0 };
            self.corners[at] = self.corners[at].wrapping_add(left);
        }
        for at in width..self.corners.len() {
            self.corners[at] = self.corners[at].wrapping_add(self.corners[at - width]);
        }
    }

    /// The sum on a core.
    pub(crate) fn at(&self, x: usize, y: usize) -> u64 {
        if x < self.columns && y < self.rows { self.corners[y * (self.columns + 1) + x] } else { 0 }
    }

    pub(crate) fn extent(&self) -> (usize, usize) {
        (self.columns, self.rows)
    }
}

/// Columns and rows that hold all cores of the sets.
fn extent<'a>(sets: impl Iterator<Item = &'a [Range]>) -> (usize, usize) {
    let corners = sets.flat_map(|ranges| ranges.iter().filter_map(clip));
    corners.fold((0, 0), |(columns, rows), c| (columns.max(c.x1 + 1), rows.max(c.y1 + 1)))
}

impl<T: Copy + PartialEq> CoreMap<T> {
    /// Gives each core the value of the first set that contains it. Work grows with the rows of the rectangles and
    /// with the cores, never with both.
    pub(crate) fn of_first<'a>(sets: impl Iterator<Item = (&'a [Range], T)>) -> Self {
        let sets: Vec<_> = sets.collect();
        let (columns, rows) = extent(sets.iter().map(|(ranges, _)| *ranges));
        let mut map = Self { columns, cells: vec![None; columns * rows] };
        // For each core the next one of its row that may be free, so that none is looked at twice.
        let mut free: Vec<usize> = (0..rows * (columns + 1)).map(|at| at % (columns + 1)).collect();
        for (ranges, value) in sets {
            for clipped in ranges.iter().filter_map(clip) {
                for y in clipped.y0..=clipped.y1 {
                    map.fill(&mut free[y * (columns + 1)..][..=columns], y, &clipped, value);
                }
            }
        }
        map
    }

    fn fill(&mut self, free: &mut [usize], y: usize, clipped: &Clipped, value: T) {
        let mut x = next(free, clipped.x0);
        while x <= clipped.x1 {
            self.cells[y * self.columns + x] = Some(value);
            free[x] = x + 1;
            x = next(free, x);
        }
    }

    /// The value of a core.
    pub(crate) fn at(&self, x: usize, y: usize) -> Option<T> {
        if x < self.columns { self.cells.get(y * self.columns + x).copied().flatten() } else { None }
    }

    /// A value for each core of a grid, as `of` gives it.
    pub(crate) fn from_cells(
        (columns, rows): (usize, usize),
        of: impl Fn(usize, usize) -> Option<T>,
    ) -> Self {
        let cells = (0..columns * rows).map(|at| of(at % columns, at / columns)).collect();
        Self { columns, cells }
    }

    /// Columns and rows.
    pub(crate) fn extent(&self) -> (usize, usize) {
        (self.columns, self.rows())
    }

    fn rows(&self) -> usize {
        self.cells.len().checked_div(self.columns).unwrap_or(0)
    }

    /// The values, each with the cores that have it, in the order in which they are met row by row.
    pub(crate) fn groups(&self) -> Vec<(T, Vec<Range>)> {
        let mut groups: Vec<(T, Vec<Range>)> = Vec::new();
        for y in 0..self.rows() {
            let mut x = 0;
            while x < self.columns {
                let value = self.at(x, y);
                let end = (x..self.columns).find(|x| self.at(*x, y) != value).unwrap_or(self.columns);
                if let Some(value) = value {
                    let at = groups.iter().position(|(known, _)| *known == value);
                    let at = at.unwrap_or_else(|| {
                        groups.push((value, Vec::new()));
                        groups.len() - 1
                    });
                    extend(&mut groups[at].1, row(x, end - 1, y));
                }
                x = end;
            }
        }
        groups
    }
}

/// The first of a row, from this column on, that may be free; with shorter ways from then on.
fn next(free: &mut [usize], x: usize) -> usize {
    let mut at = x;
    while let Some(&further) = free.get(at)
        && further != at
    {
        at = further;
    }
    let mut on_the_way = x;
    while on_the_way != at {
        on_the_way = std::mem::replace(&mut free[on_the_way], at);
    }
    at
}

/// Adds a piece of a row: below a rectangle of the same columns, it makes that larger.
fn extend(ranges: &mut Vec<Range>, piece: Range) {
    let above =
        ranges.iter_mut().find(|range| (range.x0, range.x1, range.y1 + 1) == (piece.x0, piece.x1, piece.y0));
    match above {
        Some(range) => range.y1 = piece.y1,
        None => ranges.push(piece),
    }
}

fn row(x0: usize, x1: usize, y: usize) -> Range {
    let narrow = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    Range { x0: narrow(x0), y0: narrow(y), x1: narrow(x1), y1: narrow(y) }
}

struct Clipped {
    x0: usize,
    y0: usize,
    x1: usize,
    y1: usize,
}

/// The part of a rectangle that can exist.
fn clip(range: &Range) -> Option<Clipped> {
    let within = |at: u32| usize::try_from(at).unwrap_or(usize::MAX);
    let (x0, y0) = (within(range.x0), within(range.y0));
    let (x1, y1) = (within(range.x1).min(MOST - 1), within(range.y1).min(MOST - 1));
    (x0 <= x1 && y0 <= y1).then_some(Clipped { x0, y0, x1, y1 })
}

/// How many cores are in rectangles that do not overlap.
pub(crate) fn count(ranges: &[Range]) -> u32 {
    ranges.iter().map(|range| (range.x1 - range.x0 + 1) * (range.y1 - range.y0 + 1)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(x0: u32, y0: u32, x1: u32, y1: u32) -> Range {
        Range { x0, y0, x1, y1 }
    }

    #[test]
    fn each_core_has_the_first_value_that_covers_it() {
        let (all, middle, corner) = ([range(0, 0, 3, 2)], [range(1, 1, 2, 1)], [range(3, 2, 4, 2)]);
        let map = CoreMap::of_first([(&middle[..], 'm'), (&all[..], 'a'), (&corner[..], 'c')].into_iter());
        let rows: Vec<String> =
            (0..3).map(|y| (0..6).map(|x| map.at(x, y).unwrap_or('.')).collect()).collect();
        assert_eq!(rows, ["aaaa..", "amma..", "aaaac."]);
        let groups = map.groups();
        let aaa = vec![range(0, 0, 3, 0), range(0, 1, 0, 1), range(3, 1, 3, 1), range(0, 2, 3, 2)];
        assert_eq!(groups[0], ('a', aaa));
        assert_eq!(groups[1..], [('m', middle.to_vec()), ('c', vec![range(4, 2, 4, 2)])]);
        assert_eq!(groups.iter().map(|(_, ranges)| count(ranges)).collect::<Vec<_>>(), [10, 2, 1]);
    }

    #[test]
    fn sums_are_those_of_the_sets_that_contain_a_core() {
        let (all, middle, corner) = ([range(0, 0, 3, 2)], [range(1, 1, 2, 1)], [range(3, 2, 4, 2)]);
        let sets = [(&all[..], 1), (&middle[..], 10), (&corner[..], 100), (&middle[..], 1000)];
        let sums = CoreSums::of(sets.into_iter());
        let row = |y| (0..6).map(|x| sums.at(x, y)).collect::<Vec<_>>();
        assert_eq!([row(0), row(1)], [[1, 1, 1, 1, 0, 0], [1, 1011, 1011, 1, 0, 0]]);
        assert_eq!([row(2), row(3)], [[1, 1, 1, 101, 100, 0], [0; 6]]);
        assert_eq!(CoreSums::of([(&[range(0, 0, 900, 900)][..], 7)].into_iter()).at(255, 255), 7);
    }

    #[test]
    fn a_full_grid_is_one_rectangle_and_what_cannot_exist_is_left_out() {
        let sets = [range(0, 0, u32::MAX, u32::MAX), range(9, 9, 3, 3), range(300, 0, 301, 0)];
        let map = CoreMap::of_first([(&sets[..], 1)].into_iter());
        assert_eq!(map.groups(), [(1, vec![range(0, 0, 255, 255)])]);
        assert!(CoreMap::<u8>::of_first(std::iter::empty()).groups().is_empty());
    }
}
