//! The version of the capture format, and who can read what.

use std::fmt;

/// A version of the capture format. A minor version only adds fields and kinds; a major one may remove them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    /// Readers refuse a major version they do not know.
    pub major: u32,
    /// Readers ignore what a later minor version added.
    pub minor: u32,
}

/// The version this code writes.
pub const CURRENT: Version = Version { major: 1, minor: 0 };

/// The `schema` of a capture's header.
pub const SCHEMA: &str = "tt-memtrace.capture";

impl Version {
    /// Reads `major.minor`.
    pub fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.split_once('.')?;
        Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? })
    }

    /// Whether this code can read a capture of that version.
    pub fn is_readable(self) -> bool {
        self.major == CURRENT.major
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}
