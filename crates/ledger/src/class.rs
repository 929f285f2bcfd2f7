//! What kind of holder a buffer has.

use serde::Deserialize;
use std::fmt;

/// The kind of a holder, by the first of the [`crate::Rules`] that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The program.
    User,
    /// The runtime, from the opening of the device.
    System,
    /// A cached program, until the cache is cleared.
    ProgramCache,
    /// A region for captured commands.
    Trace,
    /// In the small reserved region of L1.
    #[serde(rename = "l1_small")]
    L1Small,
    /// A tiny sharded L1 buffer, as global semaphores are.
    Semaphore,
    /// A rule of the user's says that it is meant to stay.
    Expected,
    /// Nothing tells who holds it.
    #[default]
    Unattributed,
}

impl Class {
    /// All of them, in the order of reports.
    pub const ALL: [Self; 8] = [
        Self::User,
        Self::Unattributed,
        Self::ProgramCache,
        Self::Semaphore,
        Self::Trace,
        Self::L1Small,
        Self::System,
        Self::Expected,
    ];

    pub(crate) const COUNT: usize = Self::ALL.len();

    /// Its place in [`Self::ALL`].
    pub(crate) fn index(self) -> usize {
        match self {
            Self::User => 0,
            Self::Unattributed => 1,
            Self::ProgramCache => 2,
            Self::Semaphore => 3,
            Self::Trace => 4,
            Self::L1Small => 5,
            Self::System => 6,
            Self::Expected => 7,
        }
    }

    /// The name in reports and rules.
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::System => "system",
            Self::ProgramCache => "program_cache",
            Self::Trace => "trace",
            Self::L1Small => "l1_small",
            Self::Semaphore => "semaphore",
            Self::Expected => "expected",
            Self::Unattributed => "unattributed",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_is_at_its_index() {
        for (at, class) in Class::ALL.into_iter().enumerate() {
            assert_eq!(class.index(), at);
        }
    }
}
