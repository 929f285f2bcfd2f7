//! What a filter names and no capture has.

use crate::render;
use std::collections::BTreeSet;
use std::fmt;

/// A filter names what a capture does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Absent {
    /// None of these chips.
    Chips {
        /// In words.
        wanted: String,
        /// Those there are.
        there: Vec<u32>,
    },
    /// No mark of that name, or none after the instant before it.
    Mark {
        /// In words.
        wanted: String,
        /// Those there are.
        there: BTreeSet<String>,
    },
    /// No refusal of that number.
    Failure {
        /// The number.
        wanted: usize,
        /// How many there are.
        there: usize,
    },
}

impl Absent {
    /// What several captures do not have.
    pub fn join(mut self, other: Self) -> Self {
        match (&mut self, other) {
            (Self::Chips { there, .. }, Self::Chips { there: more, .. }) => {
                there.extend(more);
                there.sort_unstable();
                there.dedup();
            }
            (Self::Mark { there, .. }, Self::Mark { there: more, .. }) => there.extend(more),
            (Self::Failure { there, .. }, Self::Failure { there: more, .. }) => *there = more.max(*there),
            _ => {}
        }
        self
    }
}

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chips { wanted, there } if there.is_empty() => {
                write!(f, "there is no {wanted}, nor any other")
            }
            Self::Chips { wanted, there } => {
                write!(f, "there is no {wanted}; there are {}", render::chips(there))
            }
            Self::Failure { wanted, there } => {
                write!(f, "there is no failure {wanted}; there are {there}")
            }
            Self::Mark { wanted, there } if there.is_empty() => {
                write!(f, "there is no {wanted}, nor any other")
            }
            Self::Mark { wanted, there } => {
                let there = there.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
                write!(f, "there is no {wanted}; there are the marks {there}")
            }
        }
    }
}

impl std::error::Error for Absent {}
