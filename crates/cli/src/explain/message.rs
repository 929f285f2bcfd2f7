//! What the runtime's own message of a refusal says. Its words are not ours and change with its releases (these are of
//! 0.66 to 0.81): what is not recognised is simply not told.

use tt_memtrace_wire::{Address, Range};

/// Behind it stands the sentence, before it the place in the runtime's source.
const SENTENCE: &str = "info:\n";

/// Of a clash: how far the program's buffers reach, and down to where L1 is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// The first address behind the program's buffers.
    pub region_end: Address,
    /// The lowest address of an L1 buffer; absent if the buffers are more than L1 holds.
    pub lowest: Option<Address>,
    /// The cores that it speaks of.
    pub cores: Vec<Range>,
}

/// Of a refused allocation: the allocator's own figures, in bytes of one bank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BankFigures {
    /// What it can hold.
    pub size_bytes: u64,
    /// What is held.
    pub allocated_bytes: u64,
    /// What is free.
    pub free_bytes: u64,
    /// Of that, the most in one piece.
    pub largest_free_bytes: u64,
}

/// The sentence in the message.
pub fn sentence(message: &str) -> &str {
    message.split_once(SENTENCE).map_or(message, |(_, sentence)| sentence).trim()
}

/// Reads the message of a clash.
pub fn reach(message: &str) -> Option<Reach> {
    let text = sentence(message);
    let (_, rest) = text.split_once(" on core range ")?;
    let cores = |until: &str| rest.split_once(until).map_or_else(Vec::new, |(cores, _)| ranges(cores));
    if let Some(region_end) = number_behind(rest, " grow to ") {
        return Some(Reach { region_end, lowest: None, cores: cores(" grow to ") });
    }
    let region_end = number_behind(rest, "region ends at ")?;
    let lowest = Some(number_behind(rest, "L1 buffer allocated at ")?);
    Some(Reach { region_end, lowest, cores: cores(". ") })
}

/// Reads the message of a refused allocation.
pub fn bank_figures(message: &str) -> Option<BankFigures> {
    let text = sentence(message);
    Some(BankFigures {
        size_bytes: number_behind(text, "bank size is ")?,
        allocated_bytes: number_behind(text, "allocated: ")?,
        free_bytes: number_behind(text, " free: ")?,
        largest_free_bytes: number_behind(text, "largest free block: ")?,
    })
}

fn number_behind(text: &str, words: &str) -> Option<u64> {
    let (_, rest) = text.split_once(words)?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// Rectangles as `[0-0 - 7-7]` or `[(x=0,y=0) - (x=7,y=7)]`; none if they are told in another way.
fn ranges(text: &str) -> Vec<Range> {
    let numbers: Option<Vec<u32>> = text
        .split(|c: char| !c.is_ascii_digit())
        .filter(|digits| !digits.is_empty())
        .map(|n| n.parse().ok())
        .collect();
    let numbers = numbers.unwrap_or_default();
    let (corners, rest) = numbers.as_chunks();
    if !rest.is_empty() {
        return Vec::new();
    }
    corners.iter().map(|&[x0, y0, x1, y1]| Range { x0, y0, x1, y1 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "TT_THROW @ /project/tt_metal/impl/program/program.cpp:917: tt::exception\ninfo:\n";

    #[test]
    fn a_clash_tells_where_both_sides_end_and_on_which_cores() {
        let told = |cores: &str, kind: &str| {
            reach(&format!(
                "{HEAD}Statically allocated {kind} buffers in program 0 clash with L1 buffers on core range {cores}. \
                 L1 buffer allocated at 106496 and static {kind} buffer region ends at 116064"
            ))
        };
        let cores = vec![Range { x0: 0, y0: 1, x1: 7, y1: 2 }];
        let expected = Reach { region_end: 116_064, lowest: Some(106_496), cores };
        assert_eq!(told("[0-1 - 7-2]", "dataflow"), Some(expected.clone()));
        assert_eq!(told("[(x=0,y=1) - (x=7,y=2)]", "circular"), Some(expected));
        let two = told("{[0-1 - 7-2], [3-3 - 3-3]}", "circular").unwrap().cores;
        assert_eq!(two, [Range { x0: 0, y0: 1, x1: 7, y1: 2 }, Range { x0: 3, y0: 3, x1: 3, y1: 3 }]);
    }

    #[test]
    fn buffers_beyond_l1_have_no_lowest_buffer() {
        let text = "Statically allocated circular buffers on core range [0-0 - 7-7] grow to 2000000 B which is beyond \
                    max L1 size of 1499136 B";
        let told = reach(&format!("{HEAD}{text}")).unwrap();
        assert_eq!((told.region_end, told.lowest, told.cores.len()), (2_000_000, None, 1));
    }

    #[test]
    fn an_allocation_tells_what_the_allocator_counts() {
        let text = "Out of Memory: Not enough space to allocate 3218227200 B DRAM buffer across 12 banks, where each \
                    bank needs to store 268185600 B, but bank size is 1072693184 B (allocated: 536348672 B, free: \
                    536344512 B, largest free block: 268171264 B).";
        let told = bank_figures(&format!("TT_FATAL @ bank_manager.cpp:514: false\ninfo:\n{text}")).unwrap();
        let expected = BankFigures {
            size_bytes: 1_072_693_184,
            allocated_bytes: 536_348_672,
            free_bytes: 536_344_512,
            largest_free_bytes: 268_171_264,
        };
        assert_eq!(told, expected);
    }

    #[test]
    fn other_words_tell_nothing() {
        for text in
            ["", "info:\n", "Out of Memory", " on core range ", "x on core range y. L1 buffer allocated at z"]
        {
            assert_eq!((reach(text), bank_figures(text)), (None, None), "{text}");
        }
        let huge = format!("on core range  on core range [0-0 - 1-1] grow to {}", "9".repeat(40));
        assert_eq!(reach(&huge), None);
    }
}
